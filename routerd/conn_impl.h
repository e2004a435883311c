/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client connection from inside: for conn.c (states, events, deadlines), conn_in.c (heads and bodies), conn_out.c (output),
 * request.c and response.c only.
 *
 * One function drives it: conn_run() steps the state until nothing more can be done, then arms events. Whatever happens (an event,
 * a call of the handler) only notes what is wanted and calls conn_run(); called from inside itself it returns at once and the
 * outer one goes on. So handlers may call anything from anywhere, and no recursion grows with what a client pipelines.
 */
#ifndef GFS_CONN_IMPL_H
#define GFS_CONN_IMPL_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/uio.h>

#include "block.h"
#include "common/http/fields.h"
#include "conn.h"
#include "request.h"
#include "worker.h"

#define CONN_PEER_MAX 64
#define CONN_SCRATCH_BYTES 65536
#define CONN_TURN_BYTES (1 << 20)      /* moved for one connection before the others get their turn */
#define CONN_DISCARD_MAX 65536         /* an unread body up to this is read away to keep the connection */
#define CONN_OUT_HIGH (256 * 1024)
#define CONN_OUT_LOW (64 * 1024)

struct conn_list {
	struct worker *w;
	struct conn *first, *walk; /* walk: the next one of a walk in progress */
	size_t count;
	struct block_pool blocks;
	char *scratch;             /* CONN_SCRATCH_BYTES, for what is used up before anybody else runs */
	struct event *tick, *empty_ev;
	int64_t tick_ms, ticked_ms;
	size_t max_head_bytes;
	uint64_t id_state;         /* of request ids */
	int64_t date_s;
	char date[HTTP_DATE_LEN + 1];
	void (*empty)(void *arg);
	void *empty_arg;
};

enum conn_state {
	CONN_IDLE,    /* between requests */
	CONN_HEAD,    /* some bytes of a head have come */
	CONN_BUSY,    /* a request is with its handler, or its response is going out */
	CONN_DISCARD, /* reading away the rest of a small body nobody wanted */
	CONN_LINGER,  /* our side is shut, reading away what the client still sends, so that it gets to see our answer */
	CONN_CLOSED,
	CONN_STATE_COUNT,
};

struct conn_body {
	bool chunked, ended;
	bool need_continue;  /* the client waits for 100 */
	int err;             /* framing or time-out; sticky */
	uint64_t left;       /* not chunked: bytes still to come */
	struct http_chunked chunk;
	request_body_cb *cb; /* the read that is open, or NULL */
	char *buf;
	size_t cap, got;
};

struct conn_reply {
	bool no_body, chunked, ended, cut, keep_alive;
	bool drain_wanted;   /* response_write() returned false */
	bool has_length;
	uint64_t left;       /* of the length */
};

struct conn_file {
	int fd; /* -1: none, or it is over and done() has not run yet */
	uint64_t off, left;
	uint64_t resident_end;    /* bytes before this may be sent without waiting for the disk */
	struct readahead *job;    /* running on the pool */
	int64_t job_since_ms, stall_ms;
	void (*done)(struct request *req, uint64_t left); /* NULL: no file */
};

struct conn {
	struct conn_list *list;
	struct conn *prev, *next;
	conn_handler *handler;
	int fd;
	enum conn_state state;
	bool running;
	bool readable;   /* no read has come back short since the last event */
	bool wr_blocked; /* the socket took less than it was given */
	bool broken;     /* the client is gone */
	bool peer_eof;   /* the client has shut its side; it may still read */
	bool read_armed, write_armed, later;
	bool was_waiting;
	bool slow;       /* was given up for it */
	unsigned served;
	size_t turn_left; /* of CONN_TURN_BYTES */
	struct event read_ev, write_ev, later_ev;
	struct block *in;
	size_t scanned;   /* by http_head_length() */
	struct request *req;
	struct conn_body body;
	struct conn_reply reply;
	struct block *out_first, *out_last;
	size_t out_bytes;
	struct conn_file file;
	int64_t deadline_ms; /* of the state; INT64_MAX: none */
	int64_t linger_end_ms;
	uint64_t rate_bytes;  /* moved in the current window of limits.stall_timeout */
	uint64_t rate_queued; /* in the kernel when the window began */
	int64_t rate_wait_ms;
	char peer[CONN_PEER_MAX];
};

/* conn.c */
void conn_run(struct conn *c); /* c may be gone when it returns */
void conn_set_state(struct conn *c, enum conn_state state);
void conn_later(struct conn *c); /* conn_run() from the loop */
void conn_arm(struct conn *c);
void conn_linger_on(struct conn *c); /* the client is still sending */

/* conn_in.c: steps return true when the state's step is to run again */
bool conn_step_head(struct conn *c);
bool conn_step_discard(struct conn *c);
bool conn_step_linger(struct conn *c);
bool conn_step_body(struct conn *c); /* true: a callback ran */
void conn_read_ahead(struct conn *c);

/* conn_out.c */
bool conn_out_pending(const struct conn *c);
void conn_out_add(struct conn *c, const void *p, size_t n);
void conn_out_send(struct conn *c, struct iovec *iov, int n); /* now if it is worth it; what is left is copied */
void conn_out_flush(struct conn *c);
void conn_out_file(struct conn *c, const struct response_file *file);
bool conn_out_file_over(struct conn *c); /* true: the file was over, and its owner knows now */
void conn_out_file_watch(struct conn *c, int64_t now_ms); /* gives up a disk that hangs */
void conn_out_clear(struct conn *c);

/* request.c */
/* Copies the head and parses it. True: it is for the handler; false: it has been refused. */
bool conn_request_begin(struct conn *c, const char *head, size_t n);
void conn_request_refuse(struct conn *c, int status, const char *why); /* answers what has no head to speak of */
void conn_request_end(struct conn *c, bool aborted); /* counts, logs, frees c->req */

#endif
