/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A site in memory behind the contract of site.h whose every step a test can script: what it answers, where it fails, where it
 * hangs. Everything happens from the loop, one step per round. Borrowed: the struct of knobs belongs to the test.
 */
#ifndef GFS_FAKE_SITE_H
#define GFS_FAKE_SITE_H

#include "common/site_impl.h"

#define FAKE_OBJECTS 16

enum fake_put_fault { FAKE_PUT_FINE, FAKE_PUT_FAILS_AT_ONCE, FAKE_PUT_FAILS_AT_END, FAKE_PUT_FAILS_COMPLETING, FAKE_PUT_UNKNOWN };

struct fake_object {
	const char *key, *body;
	struct gen gen;
	int64_t mtime_ms;
};

struct fake_store {
	struct fake_object objects[FAKE_OBJECTS]; /* in key order */
	size_t n;
	int read_err;          /* of get, head and list */
	unsigned read_faults;  /* with read_err: only the next n; 0 = all */
	bool hangs;            /* reads never end by themselves */
	unsigned slow_ms;      /* before the answer to a get or head */
	unsigned retry_after_s; /* told with read_err */
	bool cut;              /* gets fail after half of the range */
	size_t cut_bytes;      /* with cut: after so many bytes instead; 1 + the number */
	unsigned cuts;         /* with cut: only the next n; 0 = all */
	bool as_fd;            /* gets hand a descriptor when they may */
	size_t fd_bytes;       /* with as_fd: the file has become so short; 0 = it is whole */
	const char *etag;      /* of all objects, instead of their own */
	bool no_tags;          /* copies lost their metadata */
	bool ignores_if_match;
	enum fake_put_fault put_fault;
	int delete_err;
	unsigned page;         /* rows of a list page; 0 = as asked */
	int list_err;          /* of pages of lists, after the first good_pages of this store */
	unsigned good_pages;
	bool list_hangs;       /* instead of list_err */
	bool heads_hang;
	bool bare_groups;      /* with a delimiter, lists tell groups and not their keys */
	int probe_err;
	/* what happened */
	unsigned gets, heads, lists, puts, completes, aborts, deletes, cancels;
	char put_body[64], put_etag[ETAG_MAX], put_type[64];
	uint64_t put_bytes;
};

struct site *fake_site_open(const struct site_env *env, const struct site_conf *conf, struct fake_store *store);

#endif
