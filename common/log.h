/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logging: one line per event, key=value, to stderr, a file or syslog. A line:
 *   2026-11-21T10:00:00.123Z healthd[812] INFO event=state site=onprem old=up new=down why="connect timeout" fails=3
 * Values with spaces, quotes or control characters are quoted and escaped by log_event's %-free helpers below. The level is
 * the only mutable global of the suite (house style). Each line is one write(2), so that processes may share a file.
 */
#ifndef GFS_LOG_H
#define GFS_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "slice.h"

enum log_level { LOG_LVL_ERROR, LOG_LVL_WARN, LOG_LVL_INFO, LOG_LVL_DEBUG };

/* ident: "healthd"; borrowed for ever. dest: "" or NULL = stderr, "syslog", or a file's path (appended, mode 0640).
 * Returns 0 or GFS_ERR_IO when the file cannot be opened (then stderr is used). */
int log_open(const char *ident, const char *dest) GFS_MUST_USE;
int log_reopen(void); /* after logrotate, on SIGHUP; 0 or GFS_ERR_IO */
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
/* DEBUG, INFO, WARN, WARNING, ERROR in any case; false when it is none of them. */
bool log_parse_level(struct slice text, enum log_level *out);

/* fmt holds the whole "key=value ..." text. Use log_quote() for any value that did not come from us. */
void log_debug(const char *fmt, ...) GFS_PRINTF(1, 2);
void log_info(const char *fmt, ...) GFS_PRINTF(1, 2);
void log_warn(const char *fmt, ...) GFS_PRINTF(1, 2);
void log_error(const char *fmt, ...) GFS_PRINTF(1, 2);

/* A value safe to put behind "key=": bare when it is only [A-Za-z0-9_./:@+-], else quoted with \" \\ \xNN escapes and cut
 * to fit. Returns buf. Example: log_warn("event=put key=%s", log_quote(q, sizeof(q), key)) with char q[LOG_QUOTE_MAX]. */
#define LOG_QUOTE_MAX 512
const char *log_quote(char *buf, size_t cap, struct slice value);

/* Keeps what happens again and again from filling the log: at most LOG_LIMIT_LINES in LOG_LIMIT_MS. All zero: nothing said yet. */
#define LOG_LIMIT_LINES 10
#define LOG_LIMIT_MS 10000

struct log_limit {
	int64_t since_ms;
	unsigned lines, held_back;
};

/* True when the line may be written; then *held_back_out of its kind were not since the last one. Pure. */
bool log_limit_take(struct log_limit *l, int64_t now_ms, unsigned *held_back_out) GFS_MUST_USE;

/* fatal: the environment refuses us, before ready only; prints "ident: text" and exits with code (1, or 78 for bad
 * configuration). panic: a promise of ours is broken; logs and aborts. No byte from outside may reach either. */
void fatal(int code, const char *fmt, ...) GFS_PRINTF(2, 3) __attribute__((noreturn));
void panic(const char *fmt, ...) GFS_PRINTF(1, 2) __attribute__((noreturn));

#define gfs_assert(cond) \
	do { \
		if (!(cond)) \
			panic("assertion failed: %s (%s:%d)", #cond, __FILE__, __LINE__); \
	} while (0)

#endif
