/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The meter between callers and sites whose process has an observer (site_env.observer): one small record per operation stands
 * between the caller's callbacks and the kind's, takes the times, counts the bytes, and tells the observer once when the
 * operation has ended. For site.c only, which calls this instead of the kind's operations. Without an observer none of it runs.
 *
 * The record ends before the caller's done callback is called, or with the cancel: a caller may cancel from inside any of its
 * callbacks, so nothing here touches the record after it has called one.
 */
#ifndef GFS_SITE_METER_H
#define GFS_SITE_METER_H

#include "site_impl.h"

struct site_get *site_meter_get(struct site *site, const struct site_get_req *req, const struct site_get_cbs *cbs, void *arg);
struct site_op *site_meter_head(struct site *site, struct slice key, unsigned flags, site_head_cb *cb, void *arg);
struct site_op *site_meter_list(struct site *site, const struct site_list_req *req, site_list_cb *cb, void *arg);
struct site_op *site_meter_probe(struct site *site, site_probe_cb *cb, void *arg);
struct site_put *site_meter_put(struct site *site, const struct site_put_req *req, const struct site_put_cbs *cbs, void *arg);
void site_meter_delete(struct site *site, struct slice key, unsigned flags, site_done_cb *cb, void *arg);

/* The handle's meter, taken out of it by who is about to cancel; NULL is nothing. Frees it. */
void site_meter_cancelled(struct site_meter *m);
void site_meter_expired(struct site_meter *m);
void site_meter_written(struct site_meter *m, size_t n);

#endif
