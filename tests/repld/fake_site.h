/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A site in memory behind the contract of site.h, for scripted interleavings: operations end from the loop, a put
 * can be stopped
 * before or inside its completing act, the next operations can be made to fail or to end with an unknown outcome.
 */
#ifndef GFS_FAKE_SITE_H
#define GFS_FAKE_SITE_H

#include "common/sites.h"
#include "common/site_impl.h"

#define FAKE_MAX 8

struct fake_site;

/* The fakes of one test, by site id. */
struct fake_world {
	struct fake_site *v[FAKE_MAX]; /* created by fake_world_init(), live until fake_world_free() */
	struct event_base *base;
};

struct fake_knobs {
	bool down;              /* every operation fails with CONNECT */
	bool hold_prepared;     /* puts stop before `prepared` */
	bool hold_complete;     /* puts stop inside the completing act */
	unsigned fail_puts, fail_deletes, unknown_puts; /* the next n */
	/* counted */
	unsigned gets, puts, completes, deletes, heads;
};

void fake_world_init(struct fake_world *w, struct event_base *base);
void fake_world_free(struct fake_world *w);
struct fake_knobs *fake_knobs(struct fake_world *w, uint32_t id);
/* For a repld_open_site of the test. */
int fake_open(struct fake_world *w, const struct site_env *env, const struct site_conf *conf, struct site **out);
/* Lets go what is held. */
void fake_release(struct fake_world *w, uint32_t id);
/* Puts or removes an object directly. body as text; gen NULL: untagged, with mtime now. */
void fake_set(struct fake_world *w, uint32_t id, const char *key, const char *body, const struct gen *gen);
void fake_unset(struct fake_world *w, uint32_t id, const char *key);
/* The body, or NULL; *gen_out may be NULL. */
const char *fake_get(struct fake_world *w, uint32_t id, const char *key, struct gen *gen_out);
void fake_etag(const char *body, char etag_out[ETAG_MAX]);

#endif
