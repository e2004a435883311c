/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of a directory too large for memory, for site_file_dir.c: sorted runs in an unlinked file, of which any window can be
 * read back. Samples of the runs stay in memory; sorted together they say where windows begin and end, so that runs need not be
 * merged. Blocks; used on pool threads.
 */
#ifndef GFS_SITE_FILE_SPILL_H
#define GFS_SITE_FILE_SPILL_H

#include "site_file_dir.h"

struct file_spill;

/* In the directory dir. sample: bytes of a run from one sample to the next. NULL: no file can be made there. */
struct file_spill *file_spill_create(const char *dir, size_t sample);
void file_spill_destroy(struct file_spill **sp);
/* Writes d's names, which are sorted, as one run. 0 or an errno; EFBIG when they are too many. */
int file_spill_run(struct file_spill *sp, const struct file_dir *d) GFS_MUST_USE;
void file_spill_seal(struct file_spill *sp); /* after the last run, before the first window */
size_t file_spill_bytes(const struct file_spill *sp); /* of memory */

/* The window in which a name lies: [lo, hi), hi.p NULL at the end. Borrowed from the spill. */
void file_spill_window(const struct file_spill *sp, struct slice name, struct slice *lo_out, struct slice *hi_out);
/* Calls add for every name in [lo, hi), in no order, until it returns an errno. 0 or an errno. */
typedef int file_spill_add(void *arg, struct slice text, enum file_dirent_kind kind);
int file_spill_read(const struct file_spill *sp, struct slice lo, struct slice hi, file_spill_add *add, void *arg) GFS_MUST_USE;

#endif
