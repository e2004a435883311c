/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dates of HTTP (RFC 9110 section 5.6.7) and RFC 3339, without the C library's locale or time zone. Called by the front
 * doors and the sites.
 */
#include "config.h"

#include <stdio.h>

#include "fields.h"

struct civil {
	int64_t year;
	unsigned month, day, hour, minute, second; /* month from 1 */
};

static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
static const char weekdays[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};

#define DAY_S 86400

/* Days since 1970-01-01 in the proleptic Gregorian calendar; years count from March, so that the leap day is the last. */
static int64_t days_from_civil(int64_t year, unsigned month, unsigned day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year = (153 * (int64_t)(month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static struct civil civil_from_s(int64_t s)
{
	int64_t days = (s >= 0 ? s : s - (DAY_S - 1)) / DAY_S, rest = s - days * DAY_S;
	int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t day_of_era = z - era * 146097;
	int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t mp = (5 * day_of_year + 2) / 153;
	unsigned month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);

	return (struct civil){
		.year = year_of_era + era * 400 + (month <= 2),
		.month = month,
		.day = (unsigned)(day_of_year - (153 * mp + 2) / 5 + 1),
		.hour = (unsigned)(rest / 3600),
		.minute = (unsigned)(rest / 60 % 60),
		.second = (unsigned)(rest % 60),
	};
}

static unsigned days_in_month(int64_t year, unsigned month)
{
	static const unsigned char days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

/* A leap second (60) reads as the second after it. */
static int civil_to_ms(const struct civil *c, int64_t *ms_out)
{
	if (c->month < 1 || c->month > 12 || c->day < 1 || c->day > days_in_month(c->year, c->month) || c->hour > 23 ||
	    c->minute > 59 || c->second > 60)
		return GFS_ERR_INVALID;
	*ms_out = (days_from_civil(c->year, c->month, c->day) * DAY_S + c->hour * 3600 + c->minute * 60 + c->second) * 1000;
	return 0;
}

static int64_t floor_s(int64_t ms)
{
	return ms / 1000 - (ms % 1000 < 0);
}

/* Years beyond four digits have no form in either format; they are cut to what can be written. */
static int64_t clamp_s(int64_t s)
{
	const int64_t min = -62167219200, max = 253402300799; /* 0000-01-01T00:00:00Z, 9999-12-31T23:59:59Z */

	return s < min ? min : s > max ? max : s;
}

void http_date_format(int64_t ms, char buf[HTTP_DATE_LEN + 1])
{
	int64_t s = clamp_s(floor_s(ms));
	struct civil c = civil_from_s(s);
	int64_t days = (s >= 0 ? s : s - (DAY_S - 1)) / DAY_S;

	snprintf(buf, HTTP_DATE_LEN + 1, "%s, %02u %s %04u %02u:%02u:%02u GMT", weekdays[((days + 4) % 7 + 7) % 7], c.day % 100,
	         months[(c.month - 1) % 12], (unsigned)c.year % 10000, c.hour % 100, c.minute % 100, c.second % 100);
}

void http_rfc3339_format(int64_t ms, bool millis, char buf[32])
{
	int64_t s = clamp_s(floor_s(ms));
	struct civil c = civil_from_s(s);
	unsigned frac = s == floor_s(ms) ? (unsigned)(ms - s * 1000) : 0;
	int n = snprintf(buf, 32, "%04u-%02u-%02uT%02u:%02u:%02u", (unsigned)c.year % 10000, c.month % 100, c.day % 100,
	                 c.hour % 100, c.minute % 100, c.second % 100);

	if (millis)
		snprintf(buf + n, 32 - (size_t)n, ".%03uZ", frac % 1000);
	else
		snprintf(buf + n, 32 - (size_t)n, "Z");
}

/* ---- reading ---- */

struct scan {
	const char *p, *end;
	bool bad;
};

static unsigned take_digits(struct scan *s, unsigned n)
{
	unsigned v = 0;

	for (unsigned i = 0; i < n; i++) {
		if (s->p == s->end || *s->p < '0' || *s->p > '9') {
			s->bad = true;
			return 0;
		}
		v = v * 10 + (unsigned)(*s->p++ - '0');
	}
	return v;
}

static void take_text(struct scan *s, const char *text)
{
	size_t n = strlen(text);

	if ((size_t)(s->end - s->p) < n || memcmp(s->p, text, n) != 0)
		s->bad = true;
	else
		s->p += n;
}

static unsigned take_month(struct scan *s)
{
	for (unsigned i = 0; i < 12; i++)
		if (s->end - s->p >= 3 && memcmp(s->p, months[i], 3) == 0) {
			s->p += 3;
			return i + 1;
		}
	s->bad = true;
	return 1;
}

static void take_time(struct scan *s, struct civil *c)
{
	c->hour = take_digits(s, 2);
	take_text(s, ":");
	c->minute = take_digits(s, 2);
	take_text(s, ":");
	c->second = take_digits(s, 2);
}

/* Sun, 06 Nov 1994 08:49:37 GMT */
static struct civil take_imf(struct scan *s)
{
	struct civil c = {0};

	take_text(s, ", ");
	c.day = take_digits(s, 2);
	take_text(s, " ");
	c.month = take_month(s);
	take_text(s, " ");
	c.year = take_digits(s, 4);
	take_text(s, " ");
	take_time(s, &c);
	take_text(s, " GMT");
	return c;
}

/* Sunday, 06-Nov-94 08:49:37 GMT: the part behind the weekday. Two digits of a year mean 1970 to 2069. */
static struct civil take_rfc850(struct scan *s)
{
	struct civil c = {0};

	take_text(s, ", ");
	c.day = take_digits(s, 2);
	take_text(s, "-");
	c.month = take_month(s);
	take_text(s, "-");
	c.year = take_digits(s, 2);
	c.year += c.year < 70 ? 2000 : 1900;
	take_text(s, " ");
	take_time(s, &c);
	take_text(s, " GMT");
	return c;
}

/* Sun Nov  6 08:49:37 1994 */
static struct civil take_asctime(struct scan *s)
{
	struct civil c = {0};

	take_text(s, " ");
	c.month = take_month(s);
	take_text(s, " ");
	if (s->p < s->end && *s->p == ' ') {
		s->p++;
		c.day = take_digits(s, 1);
	} else {
		c.day = take_digits(s, 2);
	}
	take_text(s, " ");
	take_time(s, &c);
	take_text(s, " ");
	c.year = take_digits(s, 4);
	return c;
}

int http_date_parse(struct slice text, int64_t *ms_out)
{
	struct scan s = {.p = text.p, .end = text.p + text.n};
	struct civil c;
	size_t letters = 0;

	while (letters < text.n && ((unsigned char)text.p[letters] | 0x20) >= 'a' && ((unsigned char)text.p[letters] | 0x20) <= 'z')
		letters++;
	if (letters < 3 || letters > 9)
		return GFS_ERR_INVALID;
	s.p += letters;
	if (letters > 3)
		c = take_rfc850(&s);
	else if (s.p < s.end && *s.p == ',')
		c = take_imf(&s);
	else
		c = take_asctime(&s);
	if (s.bad || s.p != s.end)
		return GFS_ERR_INVALID;
	return civil_to_ms(&c, ms_out);
}

static unsigned take_fraction_ms(struct scan *s)
{
	unsigned ms = 0, digits = 0;

	for (; s->p < s->end && *s->p >= '0' && *s->p <= '9'; s->p++, digits++)
		if (digits < 3)
			ms = ms * 10 + (unsigned)(*s->p - '0');
	if (digits == 0)
		s->bad = true;
	for (; digits < 3; digits++)
		ms *= 10;
	return ms;
}

/* "Z" or "+hh:mm": milliseconds east of UTC. */
static int64_t take_offset_ms(struct scan *s)
{
	unsigned hours, minutes;
	char sign = s->p < s->end ? *s->p++ : 0;

	if (sign == 'Z' || sign == 'z')
		return 0;
	if (sign != '+' && sign != '-') {
		s->bad = true;
		return 0;
	}
	hours = take_digits(s, 2);
	take_text(s, ":");
	minutes = take_digits(s, 2);
	if (hours > 23 || minutes > 59)
		s->bad = true;
	return (sign == '-' ? -1 : 1) * ((int64_t)hours * 60 + minutes) * 60000;
}

int http_rfc3339_parse(struct slice text, int64_t *ms_out)
{
	struct scan s = {.p = text.p, .end = text.p + text.n};
	struct civil c = {0};
	unsigned frac_ms = 0;
	int64_t offset_ms;
	int err;

	c.year = take_digits(&s, 4);
	take_text(&s, "-");
	c.month = take_digits(&s, 2);
	take_text(&s, "-");
	c.day = take_digits(&s, 2);
	if (s.p < s.end && (*s.p == 'T' || *s.p == 't' || *s.p == ' '))
		s.p++;
	else
		s.bad = true;
	take_time(&s, &c);
	if (!s.bad && s.p < s.end && *s.p == '.') {
		s.p++;
		frac_ms = take_fraction_ms(&s);
	}
	offset_ms = take_offset_ms(&s);
	if (s.bad || s.p != s.end)
		return GFS_ERR_INVALID;
	err = civil_to_ms(&c, ms_out);
	if (!err)
		*ms_out += (int64_t)frac_ms - offset_ms;
	return err;
}
