/* SPDX-License-Identifier: Apache-2.0 */
/* The progress bar. Contract in progress.h. */
#include "config.h"

#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/clock.h"

#define FIRST_AFTER_MS 700
#define EVERY_MS 200

static void human(int64_t bytes, char buf[16])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double v = (double)bytes;
	int i = 0;

	for (; v >= 1024 && i < 4; i++)
		v /= 1024;
	snprintf(buf, 16, i ? "%.1f %s" : "%.0f %s", v, units[i]);
}

void progress_line(const struct progress *p, int64_t done, int64_t now_ms, int columns, char *buf, int cap)
{
	int64_t elapsed = now_ms - p->start_ms > 0 ? now_ms - p->start_ms : 1, rate = (done - p->first) * 1000 / elapsed, left;
	char have[16], all[16], speed[16], tail[96];
	int width, n;

	human(done, have);
	human(rate, speed);
	if (p->total > 0) {
		human(p->total, all);
		left = rate > 0 ? (p->total - done) / rate : -1;
		n = snprintf(tail, sizeof(tail), " %3d%% %s of %s, %s/s", (int)(done * 100 / p->total), have, all, speed);
		if (left >= 3600 && left < 360000)
			snprintf(tail + n, sizeof(tail) - (size_t)n, ", %d:%02d:%02d left", (int)(left / 3600), (int)(left / 60 % 60),
			         (int)(left % 60));
		else if (left >= 0 && left < 3600)
			snprintf(tail + n, sizeof(tail) - (size_t)n, ", %d:%02d left", (int)(left / 60), (int)(left % 60));
	} else {
		snprintf(tail, sizeof(tail), " %s, %s/s", have, speed);
	}
	width = columns - 1 - (int)strlen(tail);
	if (width < 8)
		width = 8;
	n = (int)strlen(p->label);
	if (n > width)
		snprintf(buf, (size_t)cap, "...%s%s", p->label + n - width + 3, tail);
	else
		snprintf(buf, (size_t)cap, "%s%s", p->label, tail);
}

void progress_begin(struct progress *p, const char *label, int64_t first, int64_t total, bool enabled)
{
	*p = (struct progress){.label = label, .total = total, .first = first, .start_ms = clock_mono_ms(),
	                       .enabled = enabled && isatty(STDERR_FILENO)};
}

void progress_update(struct progress *p, int64_t done)
{
	int64_t now;
	struct winsize ws = {0};
	char line[512];

	if (!p->enabled)
		return;
	now = clock_mono_ms();
	if (now - p->start_ms < FIRST_AFTER_MS || now - p->shown_ms < EVERY_MS)
		return;
	ioctl(STDERR_FILENO, TIOCGWINSZ, &ws);
	progress_line(p, done, now, ws.ws_col > 20 ? ws.ws_col : 80, line, sizeof(line));
	fprintf(stderr, "\r%s\033[K", line);
	p->shown = true;
	p->shown_ms = now;
}

void progress_end(struct progress *p)
{
	if (p->shown)
		fputs("\r\033[K", stderr);
	p->shown = false;
}
