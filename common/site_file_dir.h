/* SPDX-License-Identifier: Apache-2.0 */
/* Sorted snapshots of directories (site_file_dir.c), used by site_file_list.c on pool threads. */
#ifndef GFS_SITE_FILE_DIR_H
#define GFS_SITE_FILE_DIR_H

#include <fcntl.h>

#include "site_file.h"

struct file_spill;

enum file_dirent_kind { FILE_ENT_OBJECT, FILE_ENT_DIR, FILE_ENT_PIECE /* holds the rest of a segment */ };

struct file_dirent {
	uint32_t off; /* of the decoded text in names */
	uint16_t len;
	uint8_t kind;
};

/* Immutable once made, but for refs and used_ms (under the site's lock). */
struct file_dir {
	unsigned refs;
	struct stat st;
	bool in_piece;
	bool settled;              /* the directory's times tell whether it changed since */
	int64_t taken_ms, used_ms;
	char *from, *cut;          /* holds the names in [from, cut); cut NULL: up to the end */
	size_t from_n, cut_n;
	struct file_dirent *v;     /* in byte order of the decoded text */
	size_t n, cap;
	char *names;
	size_t names_n, names_cap;
	size_t bytes;
	struct file_spill *spill;  /* all names are there and none here; never seen outside site_file_dir.c */
};

static inline struct slice file_dir_text(const struct file_dir *d, size_t i)
{
	return slice_of(d->names + d->v[i].off, d->v[i].len);
}

struct file_dir_want {
	bool in_piece;     /* the directory is one */
	bool continuing;   /* a snapshot made for an earlier page of the same list will do */
	struct slice from;
};
/* A snapshot of the directory fd that begins at or before the text from and reaches beyond it. 0 or an errno. */
int file_dir_get(struct site_file *sf, int fd, const struct file_dir_want *want, struct file_dir **out) GFS_MUST_USE;
void file_dir_release(struct site_file *sf, struct file_dir **d);
/* Index of the first entry >= from. */
size_t file_dir_seek(const struct file_dir *d, struct slice from);

/* The ends of pages, to know the next page of the same list. */
void file_dirs_page_ended(struct site_file *sf, struct slice last_key);
bool file_dirs_page_goes_on(struct site_file *sf, struct slice start_after);
void file_dirs_clear(struct site_file *sf);
void file_dirs_set_window(struct file_dirs *dirs, size_t bytes); /* of memory for one directory's names; for tests */

#endif
