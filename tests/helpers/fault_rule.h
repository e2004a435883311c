/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One fault of the fault proxy: what it does, to which requests, how often and when. Pure: parsing a line, matching a request.
 *
 *   KIND[:ARG] [method=M] [path=PREFIX] [p=0..1] [times=N] [at=MS] [for=MS] [retry-after=S]
 *
 *   refuse            the listener is closed and every connection ends; reopens on the same port
 *   freeze            nothing moves on any connection; goes on afterwards (a stopped process)
 *   mute              every answer that begins is dropped, and its connection ends, whenever its request came
 *   hang              the request is taken and never answered
 *   reset[:N]         RST at the request, or after N bytes of the answer's body
 *   lost              the request reaches the store, its answer is dropped and the connection ends
 *   first-byte:MS     the answer begins MS later
 *   slow:N            N bytes of answer a second
 *   cut:N, stall:N    after N bytes of the answer's body the connection ends, or nothing more comes
 *   cut-up:N          after N bytes of the request's body both connections end
 *   503 429 500 ...   that status, the store does not see the request
 *   wrong-length:+-N  Content-Length differs by N from what is sent; when bigger, the connection ends after the body
 *   wrong-etag        another ETag in the answer
 *   wrong-bytes[:N]   byte N of the answer's body is flipped
 * refuse, freeze and mute are the whole store's: they take no method, path, p or times.
 */
#ifndef GFS_TEST_FAULT_RULE_H
#define GFS_TEST_FAULT_RULE_H

#include <stdbool.h>
#include <stdint.h>

enum fault_kind {
	FAULT_NONE,
	FAULT_REFUSE,
	FAULT_FREEZE,
	FAULT_MUTE,
	FAULT_HANG,
	FAULT_RESET,
	FAULT_LOST,
	FAULT_FIRST_BYTE,
	FAULT_SLOW,
	FAULT_CUT,
	FAULT_STALL,
	FAULT_CUT_UP,
	FAULT_STATUS,
	FAULT_LENGTH,
	FAULT_ETAG,
	FAULT_BYTES,
};

struct fault_rule {
	struct fault_rule *next;
	unsigned id;
	enum fault_kind kind;
	int64_t arg; /* -1: none was given */
	unsigned retry_after_s;
	char name[32]; /* as it was written, with its argument */
	char method[16];
	char path[1200];
	double p;
	int64_t times;             /* how many more; -1: no limit */
	int64_t from_ms, until_ms; /* of the caller's clock */
	bool active;               /* the caller's: its time has come */
};

bool fault_kind_is_global(enum fault_kind kind); /* it is not about single requests */
/* Returns owned, or NULL and why. The line is written into. now_ms: what at= and for= count from. */
struct fault_rule *fault_rule_parse(char *line, int64_t now_ms, const char **why_out);
/* dice: 0 to 1, drawn for every rule that fits. Counts down times. */
bool fault_rule_takes(struct fault_rule *r, const char *method, const char *path, double dice);
bool fault_rule_fits(const struct fault_rule *r, const char *method, const char *path);

#endif
