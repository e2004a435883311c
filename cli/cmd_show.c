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

/* What is asked, and what came so far. */
struct view {
	const char *dir, *daemon, *topic;
	struct strbuf document;
	bool more;
	char why[512];
};

/* One piece. 0, or an error with a sentence in why. */
static int ask(struct view *v)
{
	struct msg m = {.type = MSG_SHOW, .show = {.what = slice_str(v->topic), .offset = v->document.n}}, reply;
	struct strbuf frame = STRBUF_INIT;
	int err;

	memset(&reply, 0, sizeof(reply));
	v->more = false;
	err = link_ask(v->dir, v->daemon, &m, ASK_MS, &reply, &frame);
	if (err == 0 && reply.type == MSG_SHOWN) {
		strbuf_add_slice(&v->document, reply.shown.json);
		v->more = reply.shown.more && reply.shown.json.n > 0;
		if (strbuf_failed(&v->document)) {
			snprintf(v->why, sizeof(v->why), "its answer is too long");
			err = GFS_ERR_TOO_LARGE;
		}
	} else if (err == 0) {
		snprintf(v->why, sizeof(v->why), "answered with %s", msg_name(reply.type));
		err = GFS_ERR_PROTOCOL;
	} else if (reply.type == MSG_ERROR && reply.error.has_text) {
		snprintf(v->why, sizeof(v->why), "%.*s", (int)(reply.error.text.n < 400 ? reply.error.text.n : 400), reply.error.text.p);
	} else {
		snprintf(v->why, sizeof(v->why), "%s", gfs_err_text(err));
	}
	msg_free(&reply);
	strbuf_free(&frame);
	return err;
}

static int print_document(struct ctl *ctl, const struct view *v)
{
	json_error_t why;
	json_t *json = json_loadb(v->document.n ? v->document.p : "", v->document.n, JSON_DECODE_ANY, &why);

	if (!json) {
		ctl_error("%s: its answer is not JSON: %s", v->daemon, why.text);
		return EXIT_FAILED;
	}
	ctl->out->document(json);
	json_decref(json);
	return EXIT_OK;
}

static int show_failed(const struct view *v, int err)
{
	if (err == GFS_ERR_CONNECT)
		ctl_error("%s: not running, or its socket is not ours to use: %s/%s.sock", v->daemon, v->dir, v->daemon);
	else
		ctl_error("%s: %s", v->daemon, v->why);
	if (err == GFS_ERR_TIMEOUT || err == GFS_ERR_CONNECT || err == GFS_ERR_UNAVAILABLE)
		return EXIT_UNREACHABLE;
	return gfs_err_exit(err);
}

static int show(struct ctl *ctl, const char *daemon)
{
	struct view v = {.daemon = daemon, .topic = ctl->args->n_operands ? ctl->args->operands[0] : ""};
	char *dir = run_dir(ctl), *monitor;
	int err, code;

	if (!dir)
		return EXIT_FAILED;
	monitor = xasprintf("%s/monitor", dir);
	strbuf_init(&v.document, DOCUMENT_MAX);
	v.dir = dir;
	err = ask(&v);
	if (err == GFS_ERR_CONNECT || err == GFS_ERR_FORBIDDEN) {
		v.dir = monitor;
		if (ask(&v) == 0)
			err = 0;
		else
			v.dir = dir;
	}
	while (!err && v.more)
		err = ask(&v);
	code = err ? show_failed(&v, err) : print_document(ctl, &v);
	strbuf_free(&v.document);
	free(monitor);
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
