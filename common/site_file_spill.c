/* SPDX-License-Identifier: Apache-2.0 */
/* See site_file_spill.h. A record is the length of a name, its kind, and the name. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "site_file_spill.h"
#include "xalloc.h"

#define SPILL_BYTES_MAX (256u << 20)
#define WINDOW_SAMPLES 24
#define BUFFER (64u << 10)
#define RECORD_MAX (2 + NAME_MAX)

struct sample {
	uint64_t at;   /* of its record in the file */
	uint32_t text; /* in texts */
	uint16_t len;
};

struct run {
	uint64_t at, end;
	size_t first, n; /* of its samples */
};

struct file_spill {
	int fd;
	size_t sample;
	uint64_t n_bytes;
	struct run *runs;
	size_t n_runs;
	struct sample *samples; /* in order within each run */
	size_t n_samples, cap_samples;
	struct sample *sorted;  /* all of them, once sealed */
	char *texts;
	size_t n_texts, cap_texts;
};

struct file_spill *file_spill_create(const char *dir, size_t sample)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	struct file_spill *sp;

	if (fd < 0)
		return NULL;
	sp = xcalloc(1, sizeof(*sp));
	sp->fd = fd;
	sp->sample = sample;
	return sp;
}

void file_spill_destroy(struct file_spill **sp_io)
{
	struct file_spill *sp = *sp_io;

	*sp_io = NULL;
	if (!sp)
		return;
	close(sp->fd);
	free(sp->runs);
	free(sp->samples);
	free(sp->sorted);
	free(sp->texts);
	free(sp);
}

size_t file_spill_bytes(const struct file_spill *sp)
{
	return sizeof(*sp) + 2 * sp->n_samples * sizeof(struct sample) + sp->cap_texts + sp->n_runs * sizeof(struct run);
}

static struct slice sample_text(const struct file_spill *sp, const struct sample *s)
{
	return slice_of(sp->texts + s->text, s->len);
}

/* ---- writing ---- */

static void add_sample(struct file_spill *sp, struct slice text)
{
	if (sp->n_samples == sp->cap_samples) {
		sp->cap_samples = sp->cap_samples ? 2 * sp->cap_samples : 64;
		sp->samples = xreallocarray(sp->samples, sp->cap_samples, sizeof(*sp->samples));
	}
	if (sp->cap_texts - sp->n_texts < text.n) {
		sp->cap_texts = 2 * sp->cap_texts + text.n + 1024;
		sp->texts = xreallocarray(sp->texts, sp->cap_texts, 1);
	}
	memcpy(sp->texts + sp->n_texts, text.p, text.n);
	sp->samples[sp->n_samples++] = (struct sample){sp->n_bytes, (uint32_t)sp->n_texts, (uint16_t)text.n};
	sp->n_texts += text.n;
}

int file_spill_run(struct file_spill *sp, const struct file_dir *d)
{
	char buf[BUFFER];
	size_t n = 0;
	uint64_t next = sp->n_bytes;
	struct run *run;
	int e = 0;

	if (d->n == 0)
		return 0;
	sp->runs = xreallocarray(sp->runs, sp->n_runs + 1, sizeof(*sp->runs));
	run = &sp->runs[sp->n_runs++];
	*run = (struct run){.at = sp->n_bytes, .first = sp->n_samples};
	for (size_t i = 0; i < d->n && e == 0; i++) {
		struct slice text = file_dir_text(d, i);

		if (sp->n_bytes >= next) {
			add_sample(sp, text);
			next = sp->n_bytes + sp->sample;
		}
		buf[n++] = (char)text.n;
		buf[n++] = (char)d->v[i].kind;
		memcpy(buf + n, text.p, text.n);
		n += text.n;
		sp->n_bytes += 2 + text.n;
		if (n > sizeof(buf) - RECORD_MAX) {
			e = file_write_all(sp->fd, buf, n);
			n = 0;
		}
	}
	run->end = sp->n_bytes;
	run->n = sp->n_samples - run->first;
	if (e == 0 && sp->n_bytes > SPILL_BYTES_MAX)
		e = EFBIG;
	return e ? e : file_write_all(sp->fd, buf, n);
}

static int sample_cmp(const void *a, const void *b, void *arg)
{
	return slice_cmp(sample_text(arg, a), sample_text(arg, b));
}

void file_spill_seal(struct file_spill *sp)
{
	sp->sorted = xcalloc(sp->n_samples ? sp->n_samples : 1, sizeof(*sp->sorted));
	memcpy(sp->sorted, sp->samples, sp->n_samples * sizeof(*sp->sorted));
	qsort_r(sp->sorted, sp->n_samples, sizeof(*sp->sorted), sample_cmp, sp);
}

/* ---- reading ---- */

/* How many of v are before text; or_equal: or the same. */
static size_t samples_before(const struct file_spill *sp, const struct sample *v, size_t n, struct slice text, bool or_equal)
{
	size_t lo = 0, hi = n, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (slice_cmp(sample_text(sp, &v[mid]), text) < (or_equal ? 1 : 0))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

void file_spill_window(const struct file_spill *sp, struct slice name, struct slice *lo_out, struct slice *hi_out)
{
	size_t k = samples_before(sp, sp->sorted, sp->n_samples, name, true), i;

	/* Windows begin at every WINDOW_SAMPLES-th sample; the same text may be one of several of them. */
	i = k > 0 ? (k - 1) / WINDOW_SAMPLES * WINDOW_SAMPLES : 0;
	*lo_out = i > 0 ? sample_text(sp, &sp->sorted[i]) : slice_of("", 0);
	for (i += WINDOW_SAMPLES; i < sp->n_samples && slice_cmp(sample_text(sp, &sp->sorted[i]), name) <= 0; i += WINDOW_SAMPLES)
		;
	*hi_out = i < sp->n_samples ? sample_text(sp, &sp->sorted[i]) : slice_of(NULL, 0);
}

/* Parses whole records; *used_out: their bytes. */
static int take_records(const char *p, size_t n, struct slice lo, struct slice hi, file_spill_add *add, void *arg, size_t *used_out)
{
	size_t at = 0;
	int e = 0;

	while (e == 0 && n - at >= 2 && n - at >= 2 + (size_t)(unsigned char)p[at]) {
		struct slice text = slice_of(p + at + 2, (unsigned char)p[at]);

		if (slice_cmp(text, lo) >= 0 && (!hi.p || slice_cmp(text, hi) < 0))
			e = add(arg, text, (enum file_dirent_kind)p[at + 1]);
		at += 2 + text.n;
	}
	*used_out = at;
	return e;
}

static int read_run(const struct file_spill *sp, const struct run *run, struct slice lo, struct slice hi, file_spill_add *add,
                    void *arg)
{
	const struct sample *v = sp->samples + run->first;
	size_t first = samples_before(sp, v, run->n, lo, false), used;
	size_t last = hi.p ? samples_before(sp, v, run->n, hi, false) : run->n;
	uint64_t at = first > 0 ? v[first - 1].at : run->at, end = last < run->n ? v[last].at : run->end;
	char buf[BUFFER];
	ssize_t n;
	int e = 0;

	for (; at < end && e == 0; at += used) {
		n = pread(sp->fd, buf, end - at < sizeof(buf) ? end - at : sizeof(buf), (off_t)at);
		if (n < 0)
			return errno;
		e = take_records(buf, (size_t)n, lo, hi, add, arg, &used);
		if (e == 0 && used == 0)
			return EIO;
	}
	return e;
}

int file_spill_read(const struct file_spill *sp, struct slice lo, struct slice hi, file_spill_add *add, void *arg)
{
	int e = 0;

	for (size_t i = 0; i < sp->n_runs && e == 0; i++)
		e = read_run(sp, &sp->runs[i], lo, hi, add, arg);
	return e;
}
