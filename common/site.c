/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The front of every storage site: opens the right kind, dispatches its operations, and frees a closed site when its last
 * operation has ended. In a process that has an observer, every operation passes through a meter (site_meter.c).
 */
#include "config.h"

#include "site.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"
#include "site_impl.h"
#include "site_meter.h"

int site_open(const struct site_env *env, const struct site_conf *conf, struct site **site_out, char *why, size_t cap)
{
	switch (conf->kind) {
	case SITE_KIND_FILE:
		return site_file_open(env, conf, site_out, why, cap);
	case SITE_KIND_S3:
		return site_s3_open(env, conf, site_out, why, cap);
	}
	snprintf(why, cap, "site %s: unknown kind", conf->name);
	return GFS_ERR_CONFIG;
}

static void site_free(struct site *site)
{
	site_conf_free(&site->conf);
	site->ops->destroy(site);
}

void site_close(struct site **site_io)
{
	struct site *site = *site_io;

	*site_io = NULL;
	if (!site)
		return;
	gfs_assert(!site->closing);
	site->closing = true;
	if (site->open_ops == 0)
		site_free(site);
}

void site_op_began(struct site *site)
{
	site->open_ops++;
}

void site_op_ended(struct site *site)
{
	gfs_assert(site->open_ops > 0);
	if (--site->open_ops == 0 && site->closing)
		site_free(site);
}

bool site_busy(const struct site *site)
{
	return site->open_ops > 0;
}

const struct site_conf *site_conf_of(const struct site *site)
{
	return &site->conf;
}

uint32_t site_id(const struct site *site)
{
	return site->conf.id;
}

const char *site_name(const struct site *site)
{
	return site->conf.name;
}

struct site_get *site_get(struct site *site, const struct site_get_req *req, const struct site_get_cbs *cbs, void *arg)
{
	return site->env->observer ? site_meter_get(site, req, cbs, arg) : site->ops->get(site, req, cbs, arg);
}

void site_get_resume(struct site_get *op)
{
	op->site->ops->get_resume(op);
}

void site_get_cancel(struct site_get **op_io)
{
	struct site_get *op = *op_io;

	*op_io = NULL;
	if (!op)
		return;
	site_meter_cancelled(op->meter);
	op->site->ops->get_cancel(op);
}

void site_get_expire(struct site_get **op_io)
{
	struct site_get *op = *op_io;

	*op_io = NULL;
	if (!op)
		return;
	site_meter_expired(op->meter);
	op->site->ops->get_cancel(op);
}

struct site_op *site_head(struct site *site, struct slice key, unsigned flags, site_head_cb *cb, void *arg)
{
	return site->env->observer ? site_meter_head(site, key, flags, cb, arg) : site->ops->head(site, key, flags, cb, arg);
}

struct site_op *site_list(struct site *site, const struct site_list_req *req, site_list_cb *cb, void *arg)
{
	return site->env->observer ? site_meter_list(site, req, cb, arg) : site->ops->list(site, req, cb, arg);
}

struct slice site_list_group(struct slice key, struct slice prefix, struct slice delimiter)
{
	const char *at;

	if (delimiter.n == 0 || key.n < prefix.n + delimiter.n)
		return slice_of(NULL, 0);
	at = memmem(key.p + prefix.n, key.n - prefix.n, delimiter.p, delimiter.n);
	return at ? slice_of(key.p, (size_t)(at - key.p) + delimiter.n) : slice_of(NULL, 0);
}

void site_op_cancel(struct site_op **op_io)
{
	struct site_op *op = *op_io;

	*op_io = NULL;
	if (!op)
		return;
	site_meter_cancelled(op->meter);
	op->site->ops->op_cancel(op);
}

void site_op_expire(struct site_op **op_io)
{
	struct site_op *op = *op_io;

	*op_io = NULL;
	if (!op)
		return;
	site_meter_expired(op->meter);
	op->site->ops->op_cancel(op);
}

struct site_put *site_put(struct site *site, const struct site_put_req *req, const struct site_put_cbs *cbs, void *arg)
{
	return site->env->observer ? site_meter_put(site, req, cbs, arg) : site->ops->put(site, req, cbs, arg);
}

void site_put_write(struct site_put *op, const void *p, size_t n)
{
	gfs_assert(n > 0);
	site_meter_written(op->meter, n);
	op->site->ops->put_write(op, p, n);
}

void site_put_end(struct site_put *op)
{
	op->site->ops->put_end(op);
}

void site_put_complete(struct site_put *op, const char *etag, bool has_crc64, uint64_t crc64)
{
	op->site->ops->put_complete(op, etag, has_crc64, crc64);
}

void site_put_abort(struct site_put **op_io)
{
	struct site_put *op = *op_io;

	*op_io = NULL;
	if (!op)
		return;
	site_meter_cancelled(op->meter);
	op->site->ops->put_abort(op);
}

void site_delete(struct site *site, struct slice key, unsigned flags, site_done_cb *cb, void *arg)
{
	if (site->env->observer)
		site_meter_delete(site, key, flags, cb, arg);
	else
		site->ops->del(site, key, flags, cb, arg);
}

struct site_op *site_probe(struct site *site, site_probe_cb *cb, void *arg)
{
	return site->env->observer ? site_meter_probe(site, cb, arg) : site->ops->probe(site, cb, arg);
}

void site_claim(struct site *site, site_done_cb *cb, void *arg)
{
	site->ops->claim(site, cb, arg);
}

struct site_result site_result_make(enum site_outcome outcome, int err, const char *reason)
{
	return (struct site_result){
		.outcome = outcome,
		.err = err,
		.connected = true,
		.reason = reason ? reason : (err ? gfs_err_text(err) : ""),
	};
}

bool site_result_is_fault(const struct site_result *r)
{
	switch (r->err) {
	case GFS_OK:
	case GFS_ERR_NO_SUCH_KEY:
	case GFS_ERR_PRECONDITION:
	case GFS_ERR_RANGE:
	case GFS_ERR_INVALID:
	case GFS_ERR_KEY_INVALID:
	case GFS_ERR_META_INVALID:
	case GFS_ERR_TOO_LARGE:
	case GFS_ERR_CANCELLED:
	case GFS_ERR_FORBIDDEN:
	case GFS_ERR_SUPERSEDED:
	case GFS_ERR_BUSY:
		return false;
	default:
		return true;
	}
}

void site_marker_format(const char *namespace_id, uint32_t id, char buf[SITE_MARKER_MAX])
{
	snprintf(buf, SITE_MARKER_MAX, "globalfs-site 1 %s %" PRIu32 "\n", namespace_id, id);
}

int site_marker_check(struct slice text, const char *namespace_id, uint32_t id)
{
	char want[SITE_MARKER_MAX];

	site_marker_format(namespace_id, id, want);
	return slice_eq_str(text, want) ? GFS_OK : GFS_ERR_SITE_FOREIGN;
}
