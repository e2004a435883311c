/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the kinds of sites only (site_file.c, site_s3.c, site_fault.c): the table of operations behind site.h and what every
 * handle begins with. site.c dispatches; it also counts the open operations, so that a closed site is freed after the last.
 * A wrapper opens what it wraps with an environment that has no observer, else its operations count twice.
 * A kind calls site_op_began() when it makes a handle and site_op_ended() when it frees it (after its done callback returned).
 */
#ifndef GFS_SITE_IMPL_H
#define GFS_SITE_IMPL_H

#include "conf/conf.h"
#include "site.h"

struct site_ops {
	struct site_get *(*get)(struct site *, const struct site_get_req *, const struct site_get_cbs *, void *arg);
	void (*get_resume)(struct site_get *);
	void (*get_cancel)(struct site_get *);
	struct site_op *(*head)(struct site *, struct slice key, unsigned flags, site_head_cb *, void *arg);
	struct site_op *(*list)(struct site *, const struct site_list_req *, site_list_cb *, void *arg);
	void (*op_cancel)(struct site_op *);
	struct site_put *(*put)(struct site *, const struct site_put_req *, const struct site_put_cbs *, void *arg);
	void (*put_write)(struct site_put *, const void *p, size_t n);
	void (*put_end)(struct site_put *);
	void (*put_complete)(struct site_put *, const char *etag, bool has_crc64, uint64_t crc64);
	void (*put_abort)(struct site_put *);
	void (*del)(struct site *, struct slice key, unsigned flags, site_done_cb *, void *arg);
	struct site_op *(*probe)(struct site *, site_probe_cb *, void *arg);
	void (*claim)(struct site *, site_done_cb *, void *arg);
	void (*destroy)(struct site *); /* frees the kind's struct, whose first member is struct site */
};

/* First member of each kind's own struct. */
struct site {
	const struct site_ops *ops;
	const struct site_env *env;
	struct site_conf conf; /* a copy */
	size_t open_ops;
	bool closing;
};

/* First member of each kind's handles, zeroed before the kind sets site; the meter is site.c's. */
struct site_meter;
struct site_get {
	struct site *site;
	struct site_meter *meter;
};
struct site_op {
	struct site *site;
	struct site_meter *meter;
};
struct site_put {
	struct site *site;
	struct site_meter *meter;
};

void site_op_began(struct site *site);
void site_op_ended(struct site *site); /* may free the site */

/* Fills in result for an error: outcome FAILED (or UNKNOWN), reason borrowed. */
struct site_result site_result_make(enum site_outcome outcome, int err, const char *reason);

/* The marker's text: one line "globalfs-site 1 NAMESPACE-UUID SITE-ID\n". Compare: 0, GFS_ERR_SITE_FOREIGN, GFS_ERR_SITE_MARKER. */
#define SITE_MARKER_KEY ".globalfs/site"
#define SITE_MARKER_MAX 128
void site_marker_format(const char *namespace_id, uint32_t site_id, char buf[SITE_MARKER_MAX]);
int site_marker_check(struct slice text, const char *namespace_id, uint32_t site_id) GFS_MUST_USE;

/* Constructors of the kinds. */
int site_file_open(const struct site_env *env, const struct site_conf *conf, struct site **out, char *why, size_t cap) GFS_MUST_USE;
int site_s3_open(const struct site_env *env, const struct site_conf *conf, struct site **out, char *why, size_t cap) GFS_MUST_USE;

#endif
