/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker in one process with scripted sites and a scripted repld, driven by real HTTP over a socket pair. Sites 1 and 2 are
 * primaries "one" and "two" unless the test says otherwise.
 */
#ifndef GFS_FRONT_WORLD_H
#define GFS_FRONT_WORLD_H

#include "fake_repld.h"
#include "fake_site.h"
#include "routerd/worker.h"

#define FRONT_SITES 4

struct front_world {
	struct conf *conf; /* the test may change it */
	struct worker w;
	struct fake_store stores[FRONT_SITES]; /* by id - 1 */
	struct site_conf confs[FRONT_SITES];
	struct worker_site sites[FRONT_SITES];
	char dir[64];
	int fd;
	struct strbuf got;
	bool eof;
	/* of the last answer */
	int status;
	const char *body;
};

/* roles: one letter per site: p(rimary) b(ackup) u (burst). All keys clean, no word from healthd. */
void front_world_init(struct front_world *f, const char *roles);
void front_world_free(struct front_world *f);
void front_dirty(struct front_world *f, const char *key);
void front_site_state(struct front_world *f, uint32_t id, enum site_state state);
/* Sends a request "GET k" with more header lines and a body, waits for the end of the connection, and takes the answer apart.
 * Returns the status, 0 when the connection ended without one. */
int front_ask(struct front_world *f, const char *method, const char *key, const char *headers, const char *body);
void front_begin(struct front_world *f, const char *text); /* sends only */
void front_turn(struct front_world *f);                    /* one round of the loop */
int front_finish(struct front_world *f);
const char *front_header(struct front_world *f, const char *name); /* NULL when absent; borrowed until the next call */
void front_store(struct front_world *f, uint32_t id, const char *key, const char *body, uint64_t hlc);

#endif
