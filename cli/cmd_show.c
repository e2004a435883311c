/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gfsctl router|health|repl|cache show: a daemon's view of itself over its control socket, asked for in pieces of one message
 * each. Without access to the operators' socket the monitors' one is tried, which takes the same question.
 */
#include "config.h"

#include "ctl.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/conf/conf.h"
#include "common/ipc/link.h"
#include "common/xalloc.h"

#define ASK_MS 5000
#define DOCUMENT_MAX (256u << 20)

/* Returns owned, or NULL after the error was told. */
static char *run_dir(struct ctl *ctl)
{
	const char *given = args_get(ctl->args, "run-dir"), *path;
	struct conf_report report = {0};
	struct conf *conf;
	char *dir = NULL;

	if (given)
		return xstrdup(given);
	path = ctl_config_path(ctl);
	if (conf_load(path, -1, &conf, &report) == 0)
		dir = xstrdup(conf->global.run_dir);
	else
		ctl_error("cannot find the daemons' sockets: %.400s", strbuf_str(&report.errors));
	conf_report_free(&report);
	conf_destroy(&conf);
	return dir;
}

/* One piece. 0, an error told already (text in why), or GFS_ERR_CONNECT. */
static int ask(const char *dir, const char *daemon, const char *topic, struct strbuf *document, bool *more, char *why, size_t cap)
{
	struct msg m = {.type = MSG_SHOW, .show = {.what = slice_str(topic), .offset = document->n}}, reply;
	struct strbuf frame = STRBUF_INIT;
	int err;

	memset(&reply, 0, sizeof(reply));
	*more = false;
	err = link_ask(dir, daemon, &m, ASK_MS, &reply, &frame);
	if (err == 0 && reply.type == MSG_SHOWN) {
		strbuf_add_slice(document, reply.shown.json);
		*more = reply.shown.more && reply.shown.json.n > 0;
	} else if (err == 0) {
		snprintf(why, cap, "answered with %s", msg_name(reply.type));
		err = GFS_ERR_PROTOCOL;
	} else if (reply.type == MSG_ERROR && reply.error.has_text) {
		snprintf(why, cap, "%.*s", (int)reply.error.text.n, reply.error.text.p);
	} else {
		snprintf(why, cap, "%s", gfs_err_text(err));
	}
	msg_free(&reply);
	strbuf_free(&frame);
	return err;
}

static int print_document(struct ctl *ctl, const struct strbuf *document, const char *daemon)
{
	json_error_t why;
	json_t *v = json_loadb(document->n ? document->p : "", document->n, JSON_DECODE_ANY, &why);

	if (!v) {
		ctl_error("%s: its answer is not JSON: %s", daemon, why.text);
		return EXIT_FAILED;
	}
	ctl->out->document(v);
	json_decref(v);
	return EXIT_OK;
}

static int show(struct ctl *ctl, const char *daemon)
{
	const char *topic = ctl->args->n_operands ? ctl->args->operands[0] : "";
	char *dir = run_dir(ctl), *monitor, why[512] = "";
	struct strbuf document;
	bool more = true;
	int err, code;

	if (!dir)
		return EXIT_FAILED;
	strbuf_init(&document, DOCUMENT_MAX);
	err = ask(dir, daemon, topic, &document, &more, why, sizeof(why));
	if (err == GFS_ERR_CONNECT || err == GFS_ERR_FORBIDDEN) {
		monitor = xasprintf("%s/monitor", dir);
		if (ask(monitor, daemon, topic, &document, &more, why, sizeof(why)) == 0) {
			free(dir);
			dir = monitor;
			err = 0;
		} else {
			free(monitor);
		}
	}
	while (!err && more)
		err = ask(dir, daemon, topic, &document, &more, why, sizeof(why));
	if (!err && strbuf_failed(&document)) {
		snprintf(why, sizeof(why), "its answer is too long");
		err = GFS_ERR_TOO_LARGE;
	}
	if (err == GFS_ERR_CONNECT)
		ctl_error("%s: not running, or its socket is not ours to use: %s/%s.sock", daemon, dir, daemon);
	else if (err)
		ctl_error("%s: %s", daemon, why);
	code = err ? (err == GFS_ERR_CONNECT || err == GFS_ERR_TIMEOUT || err == GFS_ERR_UNAVAILABLE ? EXIT_UNREACHABLE : gfs_err_exit(err))
	           : print_document(ctl, &document, daemon);
	strbuf_free(&document);
	free(dir);
	return code;
}

int run_router_show(struct ctl *ctl)
{
	return show(ctl, "routerd");
}

int run_health_show(struct ctl *ctl)
{
	return show(ctl, "healthd");
}

int run_repl_show(struct ctl *ctl)
{
	return show(ctl, "repld");
}

int run_cache_show(struct ctl *ctl)
{
	return show(ctl, "cached");
}
