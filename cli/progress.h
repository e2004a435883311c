/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A progress bar on standard error, only when that is a terminal and the transfer takes longer than a moment. One line, rewritten;
 * taken away at the end.
 */
#ifndef GFSCTL_PROGRESS_H
#define GFSCTL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	const char *label; /* borrowed */
	int64_t total;     /* -1: unknown */
	int64_t first;     /* bytes that were there before */
	int64_t start_ms, shown_ms;
	bool enabled, shown;
};

void progress_begin(struct progress *p, const char *label, int64_t first, int64_t total, bool enabled);
void progress_update(struct progress *p, int64_t done);
void progress_end(struct progress *p);

/* The line itself, for a terminal of so many columns; pure. */
void progress_line(const struct progress *p, int64_t done, int64_t now_ms, int columns, char *buf, int cap);

#endif
