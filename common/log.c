/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log of log.h. Called from everywhere, on any thread: a line is built on the stack and leaves in one write(2), so lines
 * of several processes and threads never mix. Owns the log's descriptor; the destination is set once at start, before threads.
 */
#include "config.h"

#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINE_MAX 4096

static struct {
	enum log_level level;
	const char *ident; /* borrowed */
	char *path;        /* of the file, else NULL */
	int fd;
	bool syslog;
} logger = {.level = LOG_LVL_INFO, .fd = STDERR_FILENO};

static const char *const level_names[] = {"ERROR", "WARN", "INFO", "DEBUG"};

static const char *log_ident(void)
{
	return logger.ident ? logger.ident : program_invocation_short_name;
}

static int log_open_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);

	if (fd < 0)
		return GFS_ERR_IO;
	if (logger.fd != STDERR_FILENO)
		close(logger.fd);
	logger.fd = fd;
	return 0;
}

int log_open(const char *ident, const char *dest)
{
	logger.ident = ident;
	logger.syslog = false;
	free(logger.path);
	logger.path = NULL;
	if (!dest || !*dest) {
		if (logger.fd != STDERR_FILENO)
			close(logger.fd);
		logger.fd = STDERR_FILENO;
		return 0;
	}
	if (strcmp(dest, "syslog") == 0) {
		openlog(ident, LOG_PID | LOG_NDELAY, LOG_DAEMON);
		logger.syslog = true;
		return 0;
	}
	logger.path = strdup(dest);
	return logger.path ? log_open_file(dest) : GFS_ERR_NOMEM;
}

int log_reopen(void)
{
	return logger.path ? log_open_file(logger.path) : 0;
}

void log_set_level(enum log_level level)
{
	logger.level = level;
}

enum log_level log_get_level(void)
{
	return logger.level;
}

bool log_parse_level(struct slice text, enum log_level *out)
{
	static const struct {
		const char *name;
		enum log_level level;
	} names[] = {
		{"DEBUG", LOG_LVL_DEBUG}, {"INFO", LOG_LVL_INFO}, {"WARN", LOG_LVL_WARN}, {"WARNING", LOG_LVL_WARN},
		{"ERROR", LOG_LVL_ERROR},
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (slice_caseeq_str(text, names[i].name)) {
			*out = names[i].level;
			return true;
		}
	}
	return false;
}

static int log_prefix(char *buf, size_t cap, enum log_level level)
{
	struct timespec ts;
	struct tm tm;
	size_t n;

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	n = strftime(buf, cap, "%Y-%m-%dT%H:%M:%S", &tm);
	return (int)n + snprintf(buf + n, cap - n, ".%03ldZ %s[%d] %s ", ts.tv_nsec / 1000000, log_ident(), (int)getpid(),
	                         level_names[level]);
}

/* A line break or an escape sequence in a value would forge or hide lines. */
static void log_flatten(char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
			p[i] = ' ';
}

static void GFS_PRINTF(2, 0) log_line(enum log_level level, const char *fmt, va_list ap)
{
	static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
	char line[LOG_LINE_MAX + 1];
	int saved = errno, head, n;
	size_t len;

	if (level > logger.level)
		return;
	head = logger.syslog ? 0 : log_prefix(line, 160, level);
	if (head >= 160)
		head = 159;
	n = vsnprintf(line + head, LOG_LINE_MAX - (size_t)head, fmt, ap);
	if (n < 0)
		n = 0;
	len = (size_t)head + (size_t)n;
	if (len > LOG_LINE_MAX - 1) {
		len = LOG_LINE_MAX - 1;
		memcpy(line + len - 3, "...", 3);
	}
	log_flatten(line + head, len - (size_t)head);
	if (logger.syslog) {
		line[len] = '\0';
		syslog(priorities[level], "%s", line);
	} else {
		line[len++] = '\n';
		/* A full disk must not stop a daemon: a line that cannot be written is lost. */
		while (write(logger.fd, line, len) < 0 && errno == EINTR)
			;
	}
	errno = saved;
}

#define LOG_FUNCTION(name, level) \
	void name(const char *fmt, ...) \
	{ \
		va_list ap; \
		va_start(ap, fmt); \
		log_line(level, fmt, ap); \
		va_end(ap); \
	}
LOG_FUNCTION(log_debug, LOG_LVL_DEBUG)
LOG_FUNCTION(log_info, LOG_LVL_INFO)
LOG_FUNCTION(log_warn, LOG_LVL_WARN)
LOG_FUNCTION(log_error, LOG_LVL_ERROR)

static bool log_bare(struct slice value)
{
	size_t i;

	for (i = 0; i < value.n; i++) {
		char c = value.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("_./:@+-", c))))
			return false;
	}
	return value.n > 0;
}

const char *log_quote(char *buf, size_t cap, struct slice value)
{
	static const char digits[] = "0123456789abcdef";
	size_t i, n = 0;

	gfs_assert(cap >= 16);
	if (log_bare(value) && value.n < cap) {
		memcpy(buf, value.p, value.n);
		buf[value.n] = '\0';
		return buf;
	}
	buf[n++] = '"';
	for (i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];

		if (n + 4 + 5 > cap) { /* the longest escape, then "..." with quote and NUL */
			memcpy(buf + n, "...", 3);
			n += 3;
			break;
		}
		if (c == '"' || c == '\\') {
			buf[n++] = '\\';
			buf[n++] = (char)c;
		} else if (c < 0x20 || c == 0x7f) {
			buf[n++] = '\\';
			buf[n++] = 'x';
			buf[n++] = digits[c >> 4];
			buf[n++] = digits[c & 15];
		} else {
			buf[n++] = (char)c;
		}
	}
	buf[n++] = '"';
	buf[n] = '\0';
	return buf;
}

void fatal(int code, const char *fmt, ...)
{
	va_list ap, again;

	va_start(ap, fmt);
	va_copy(again, ap);
	fprintf(stderr, "%s: ", log_ident());
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	if (logger.syslog || logger.path)
		log_line(LOG_LVL_ERROR, fmt, again);
	va_end(again);
	va_end(ap);
	exit(code);
}

void panic(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line(LOG_LVL_ERROR, fmt, ap);
	va_end(ap);
	abort();
}

bool log_limit_take(struct log_limit *l, int64_t now_ms, unsigned *held_back_out)
{
	*held_back_out = 0;
	if (l->lines == 0 || now_ms - l->since_ms >= LOG_LIMIT_MS) {
		l->since_ms = now_ms;
		l->lines = 0;
	}
	if (l->lines == LOG_LIMIT_LINES) {
		l->held_back++;
		return false;
	}
	l->lines++;
	*held_back_out = l->held_back;
	l->held_back = 0;
	return true;
}
