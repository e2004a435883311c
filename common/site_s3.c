/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A site on an S3 store (architecture 3): opens it, knows its address, and holds the table of operations; the operations are in
 * site_s3_*.c. Owns the credentials, the clock's offset, idle curl handles, and the queue of requests that wait for a connection.
 */
#include "config.h"

#include "site_s3.h"

#include <stdio.h>
#include <stdlib.h>

#include "http/fields.h"
#include "xalloc.h"

static void s3_destroy(struct site *site)
{
	struct s3_site *s = s3_site_of(site);

	for (unsigned i = 0; i < s->n_idle; i++)
		curl_easy_cleanup(s->idle[i]);
	s3_creds_destroy(&s->creds);
	free(s->origin);
	free(s->host);
	free(s->base_path);
	free(s->region);
	free(s);
}

static const struct site_ops s3_ops = {
	.get = s3_get,
	.get_resume = s3_get_resume,
	.get_cancel = s3_get_cancel,
	.head = s3_head,
	.list = s3_list,
	.op_cancel = s3_op_cancel,
	.put = s3_put,
	.put_write = s3_put_write,
	.put_end = s3_put_end,
	.put_complete = s3_put_complete,
	.put_abort = s3_put_abort,
	.del = s3_delete,
	.probe = s3_probe,
	.claim = s3_claim,
	.destroy = s3_destroy,
};

void s3_op_cancel(struct site_op *base)
{
	struct s3_op *op = (struct s3_op *)base;

	s3_req_cancel(&op->rq);
	op->free(op);
}

static bool is_default_port(const struct url *u)
{
	return u->port.n == 0 || slice_eq_str(u->port, slice_eq_str(u->scheme, "https") ? "443" : "80");
}

/* Endpoint, bucket and addressing -> origin, Host and the path before keys. */
static void set_address(struct s3_site *s, const struct url *u)
{
	const struct site_conf *conf = &s->site.conf;
	struct strbuf host = STRBUF_INIT, path = STRBUF_INIT, origin = STRBUF_INIT;
	struct slice base = u->path;

	if (conf->addressing == S3_VIRTUAL)
		strbuf_addf(&host, "%s.", conf->s3_bucket);
	strbuf_addf(&host, u->ipv6 ? "[%.*s]" : "%.*s", (int)u->host.n, u->host.p);
	/* as curl writes the Host field: without a default port */
	if (!is_default_port(u))
		strbuf_addf(&host, ":%.*s", (int)u->port.n, u->port.p);
	while (base.n > 0 && base.p[base.n - 1] == '/')
		base.n--;
	strbuf_add_slice(&path, base);
	if (conf->addressing == S3_PATH) {
		strbuf_addc(&path, '/');
		url_encode(slice_str(conf->s3_bucket), false, &path);
	}
	strbuf_addf(&origin, "%.*s://%s", (int)u->scheme.n, u->scheme.p, strbuf_str(&host));
	s->origin = xstrdup(strbuf_str(&origin));
	s->host = xstrdup(strbuf_str(&host));
	s->base_path = xstrdup(strbuf_str(&path));
	strbuf_free(&host);
	strbuf_free(&path);
	strbuf_free(&origin);
}

static char *endpoint_of(const struct site_conf *conf, const char *region)
{
	if (conf->s3_endpoint && *conf->s3_endpoint)
		return strstr(conf->s3_endpoint, "://") ? xstrdup(conf->s3_endpoint) : xasprintf("https://%s", conf->s3_endpoint);
	return xasprintf("https://s3.%s.amazonaws.com%s", region, strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
}

int site_s3_open(const struct site_env *env, const struct site_conf *conf, struct site **out, char *why, size_t cap)
{
	const char *region = conf->s3_region && *conf->s3_region ? conf->s3_region : "us-east-1";
	char *endpoint = endpoint_of(conf, region);
	struct s3_site *s;
	struct url u;

	if (!conf->s3_bucket || !*conf->s3_bucket) {
		snprintf(why, cap, "site %s: no bucket", conf->name);
		free(endpoint);
		return GFS_ERR_CONFIG;
	}
	if (url_parse(slice_str(endpoint), &u) || u.host.n == 0 || u.query.n > 0 ||
	    (!slice_eq_str(u.scheme, "http") && !slice_eq_str(u.scheme, "https"))) {
		snprintf(why, cap, "site %s: endpoint \"%s\" is not an http or https URL", conf->name, endpoint);
		free(endpoint);
		return GFS_ERR_CONFIG;
	}
	s = xcalloc(1, sizeof(*s));
	s->site.ops = &s3_ops;
	s->site.env = env;
	site_conf_copy(&s->site.conf, conf);
	s->creds = s3_creds_create(&s->site.conf);
	s->region = xstrdup(region);
	TAILQ_INIT(&s->waiting);
	set_address(s, &u);
	free(endpoint);
	*out = &s->site;
	return 0;
}
