/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests: a site in a process of its own kind (event loop, pool, environment) and its operations as calls that wait for
 * their end. One struct per test.
 */
#ifndef GFS_TEST_SITE_SYNC_H
#define GFS_TEST_SITE_SYNC_H

#include "common/site_impl.h"

struct site_sync {
	struct event_base *base;
	struct pool *pool;
	struct site_env env;
	struct site_conf conf;
	struct site *site;
	char dir[64]; /* made by mkdtemp, removed by site_sync_end() */
	/* of the last operation */
	bool done;
	int err;
	enum site_outcome outcome;
	char reason[256];
	char etag[ETAG_MAX];
	struct object_info info; /* owned */
	bool have_info;
	char *body;
	size_t body_n;
	uint64_t off, len, object_size;
	int fd;
	unsigned n_data;
	struct site_list_entry *list; /* keys owned */
	size_t n_list;
	bool more;
	char *next_after;
	size_t next_after_n;
	bool pause; /* data() asks for a pause each time */
	struct site_get *get;
	struct site_put *put;
	struct slice delimiter; /* of lists */
	unsigned n_ready;
	bool prepared;
};

/* A file site on a fresh directory, claimed. */
void site_sync_begin(struct site_sync *s, const char *prefix);
/* On a directory that is there, and may have been claimed before. */
void site_sync_begin_at(struct site_sync *s, const char *dir, const char *prefix);
void site_sync_reopen(struct site_sync *s);
void site_sync_detach(struct site_sync *s); /* the directory stays */
void site_sync_end(struct site_sync *s);
/* Runs the loop until *flag. */
void site_sync_wait(struct site_sync *s, const bool *flag);

struct gen site_sync_gen(uint64_t n);
int site_sync_put(struct site_sync *s, struct slice key, const void *p, size_t n, const char *etag); /* returns err */
void site_sync_put_begin(struct site_sync *s, struct slice key, int64_t size);
void site_sync_put_write(struct site_sync *s, const void *p, size_t n);
void site_sync_put_end(struct site_sync *s);
int site_sync_put_complete(struct site_sync *s, const char *etag);
int site_sync_get(struct site_sync *s, const struct site_get_req *req);
int site_sync_get_all(struct site_sync *s, struct slice key);
int site_sync_head(struct site_sync *s, struct slice key);
int site_sync_delete(struct site_sync *s, struct slice key);
int site_sync_list(struct site_sync *s, struct slice prefix, struct slice start_after, unsigned limit);
int site_sync_probe(struct site_sync *s);
int site_sync_claim(struct site_sync *s);

#endif
