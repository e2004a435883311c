/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP/1.1 proxy in front of an S3 store on 127.0.0.1, which passes bytes through unchanged and does harm on command. The
 * program fault_proxy drives it by lines, tests/s3 on its own loop. fault_core.c has the listener and the faults' times,
 * fault_pair.c one connection to a client with its own to the store.
 */
#ifndef GFS_TEST_FAULT_CORE_H
#define GFS_TEST_FAULT_CORE_H

#include <event2/event.h>
#include <netinet/in.h>
#include <stdio.h>

#include "fault_rule.h"

struct fault_core {
	struct event_base *base;
	struct sockaddr_in store;
	int port, reserve_fd; /* a bound socket that keeps the port while nobody listens */
	int listen_fd;
	struct event *listener, *tick;
	struct fault_rule *rules;
	unsigned last_id;
	uint64_t random;
	int64_t began_ms;
	bool refusing, frozen, muted;
	struct fault_pair *pairs;
	unsigned n_open; /* connections of clients */
	uint64_t n_requests, n_faults, up_bytes; /* bytes of requests */
	uint64_t cut_up_after; /* the connection ends on which up_bytes pass this; 0: never */
	FILE *log; /* may be NULL */
};

/* False: no such store, or no port. */
bool fault_core_begin(struct fault_core *c, struct event_base *base, const char *store, uint64_t seed);
void fault_core_end(struct fault_core *c);
int64_t fault_core_now_ms(const struct fault_core *c); /* since fault_core_begin() */
/* Takes a line as in fault_rule.h. Returns its id, or 0 and why. */
unsigned fault_core_add(struct fault_core *c, const char *line, const char **why_out);
bool fault_core_remove(struct fault_core *c, unsigned id); /* 0: all of them */
void fault_core_drop(struct fault_core *c);                /* ends every connection */
void fault_core_log(struct fault_core *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* For fault_pair.c: the fault of a request, or NULL. It may be gone when the loop has turned. */
const struct fault_rule *fault_core_pick(struct fault_core *c, const char *method, const char *path);
void fault_pair_create(struct fault_core *c, int fd); /* takes fd */
void fault_pair_destroy(struct fault_pair *p, bool reset);
void fault_pair_thaw(struct fault_pair *p); /* frozen has changed */
void fault_pair_release(struct fault_pair *p, unsigned rule); /* that fault is over: its slow answers go on at full speed */
struct fault_pair *fault_pair_next(struct fault_pair *p);

#endif
