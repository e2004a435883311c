/* SPDX-License-Identifier: Apache-2.0 */
/* A store that answers by a script, on the test's own loop: the answers that no real store gives on demand. It checks every
 * signature with the verifying side of common/s3/sign.h. */
#ifndef GFS_TEST_S3_SCRIPT_H
#define GFS_TEST_S3_SCRIPT_H

#include "exercise.h"

struct script_step {
	const char *expect; /* the request's head must hold it */
	const char *answer; /* sent as it stands; NULL: the connection is closed; "hang": nothing ever comes */
	bool early;         /* answer when the head is there, without waiting for the body */
	bool close;         /* afterwards */
	size_t flood;       /* this many bytes of '<' follow the answer */
};

struct script {
	struct exercise *x;
	struct event *listener;
	int fd, port;
	const struct script_step *steps;
	size_t n, at;
	struct script_conn *conns;
	char last_head[8192];
	size_t last_body;
};

void script_begin(struct script *s, struct exercise *x);
void script_end(struct script *s);
void script_set(struct script *s, const struct script_step *steps, size_t n);
/* All steps were used. */
void script_done(struct script *s);
#define SCRIPT(s, ...) \
	script_set(s, (const struct script_step[]){__VA_ARGS__}, \
	           sizeof((const struct script_step[]){__VA_ARGS__}) / sizeof(struct script_step))

#endif
