/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Durations and sizes as people write them, and back. Called by the loader, gfsctl and whoever prints a setting. Pure.
 */
#include "config.h"

#include "conf.h"

#include <inttypes.h>
#include <stdio.h>

struct unit {
	const char *name;
	int64_t factor;
};

/* A number with an optional fraction of at most 9 digits: value = whole + frac / frac_scale. Returns the bytes read; 0 = none. */
static size_t scan_number(struct slice s, uint64_t *whole_out, uint64_t *frac_out, uint64_t *frac_scale_out)
{
	size_t i = 0, digits;

	*whole_out = *frac_out = 0;
	*frac_scale_out = 1;
	for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++) {
		if (*whole_out > (UINT64_MAX - 9) / 10)
			return 0;
		*whole_out = *whole_out * 10 + (uint64_t)(s.p[i] - '0');
	}
	if (i == 0 || i == s.n || s.p[i] != '.')
		return i;
	for (digits = 0, i++; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++, digits++) {
		if (digits == 9)
			return 0;
		*frac_out = *frac_out * 10 + (uint64_t)(s.p[i] - '0');
		*frac_scale_out *= 10;
	}
	return digits ? i : 0;
}

static const struct unit *scan_unit(const struct unit *units, struct slice s)
{
	const struct unit *best = NULL;

	for (; units->name; units++)
		if (slice_starts_with(s, slice_str(units->name)) && (!best || strlen(units->name) > strlen(best->name)))
			best = units;
	return best;
}

int conf_parse_duration(struct slice text, int64_t *ms_out)
{
	/* in nanoseconds, so that 500us and 1ms500us add up before they are rounded */
	static const struct unit units[] = {{"ns", 1}, {"us", 1000}, {"\xc2\xb5s", 1000}, {"ms", 1000000}, {"s", 1000000000},
	                                    {"m", 60000000000}, {"h", 3600000000000}, {"d", 86400000000000}, {NULL, 0}};
	const struct unit *unit;
	uint64_t whole, frac, scale;
	__int128 ns = 0;
	size_t n;

	if (slice_eq_str(text, "0")) {
		*ms_out = 0;
		return 0;
	}
	if (text.n == 0 || text.n > 64)
		return GFS_ERR_INVALID;
	while (text.n > 0) {
		n = scan_number(text, &whole, &frac, &scale);
		if (n == 0)
			return GFS_ERR_INVALID;
		text = slice_of(text.p + n, text.n - n);
		unit = scan_unit(units, text);
		if (!unit)
			return GFS_ERR_INVALID;
		text = slice_of(text.p + strlen(unit->name), text.n - strlen(unit->name));
		ns += (__int128)whole * unit->factor + (__int128)frac * unit->factor / (__int128)scale;
		if (ns > (__int128)INT64_MAX) /* some 292 years: the least that a number of milliseconds holds by far */
			return GFS_ERR_INVALID;
	}
	*ms_out = (int64_t)((ns + 999999) / 1000000);
	return 0;
}

static const struct unit binary_units[] = {{"PiB", (int64_t)1 << 50}, {"TiB", (int64_t)1 << 40}, {"GiB", (int64_t)1 << 30},
                                           {"MiB", (int64_t)1 << 20}, {"KiB", (int64_t)1 << 10}, {NULL, 0}};

int conf_parse_size(struct slice text, uint64_t *bytes_out)
{
	static const struct unit units[] = {
		{"B", 1}, {"KB", 1000}, {"kB", 1000}, {"MB", 1000000}, {"GB", 1000000000}, {"TB", 1000000000000},
		{"PB", 1000000000000000}, {"K", 1024}, {"k", 1024}, {"M", (int64_t)1 << 20}, {"G", (int64_t)1 << 30},
		{"T", (int64_t)1 << 40}, {"P", (int64_t)1 << 50}, {"KiB", 1024}, {"MiB", (int64_t)1 << 20},
		{"GiB", (int64_t)1 << 30}, {"TiB", (int64_t)1 << 40}, {"PiB", (int64_t)1 << 50}, {NULL, 0}};
	const struct unit *unit;
	uint64_t whole, frac, scale;
	unsigned __int128 bytes;
	size_t n;

	n = scan_number(text, &whole, &frac, &scale);
	if (n == 0)
		return GFS_ERR_INVALID;
	text = slice_of(text.p + n, text.n - n);
	while (text.n > 0 && text.p[0] == ' ')
		text = slice_of(text.p + 1, text.n - 1);
	if (text.n == 0) {
		if (frac)
			return GFS_ERR_INVALID;
		*bytes_out = whole;
		return whole <= INT64_MAX ? 0 : GFS_ERR_INVALID;
	}
	unit = scan_unit(units, text);
	if (!unit || strlen(unit->name) != text.n)
		return GFS_ERR_INVALID;
	bytes = (unsigned __int128)whole * (uint64_t)unit->factor;
	if (((unsigned __int128)frac * (uint64_t)unit->factor) % scale)
		return GFS_ERR_INVALID; /* not a whole number of bytes */
	bytes += (unsigned __int128)frac * (uint64_t)unit->factor / scale;
	if (bytes > INT64_MAX)
		return GFS_ERR_INVALID;
	*bytes_out = (uint64_t)bytes;
	return 0;
}

void conf_format_duration(int64_t ms, char buf[32])
{
	static const struct unit units[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {NULL, 0}};
	const struct unit *u;
	size_t n = 0;

	if (ms <= 0) {
		snprintf(buf, 32, "0s");
		return;
	}
	buf[0] = '\0';
	for (u = units; u->name; u++) {
		if (ms < u->factor)
			continue;
		n += (size_t)snprintf(buf + n, 32 - n, "%" PRId64 "%s", ms / u->factor, u->name);
		ms %= u->factor;
	}
}

void conf_format_size(uint64_t bytes, char buf[32])
{
	const struct unit *u;

	for (u = binary_units; u->name; u++)
		if (bytes > 0 && bytes % (uint64_t)u->factor == 0) {
			snprintf(buf, 32, "%" PRIu64 "%s", bytes / (uint64_t)u->factor, u->name);
			return;
		}
	snprintf(buf, 32, "%" PRIu64, bytes);
}
