/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault_proxy [--seed N] [--log FILE] [--schedule FILE] HOST:PORT: stands before the S3 store at that port of this host as an
 * HTTP proxy and does it harm on command. Prints "port N", then takes commands from standard input, a line each, and answers
 * each with a line "ok ..." or "error ..."; ends when standard input does.
 *
 *   fault KIND[:ARG] [option=value ...]   as in fault_rule.h; answers with its id
 *   off ID | clear                        that fault ends; all end
 *   drop                                  every connection ends
 *   schedule FILE                         lines AT_MS FOR_MS FAULT..., counted from now; FOR_MS 0: for good; "seed N"; # comments
 *   sync                                  what is logged is in the file
 *   stats                                 connections, requests, faults
 *
 * The log's lines: MS fault ID KIND METHOD TARGET when a request meets one; MS req METHOD TARGET STATUS up=N down=N us=N fault=KIND
 * end=done|cut|gone when it is over (gone: the client went first); MS begin|end ID KIND of a fault's time.
 */
#include "config.h"

#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/strbuf.h"
#include "fault_core.h"

struct proxy {
	struct fault_core core;
	struct event *commands;
	struct strbuf in;
};

static void answer(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

/* One line of a schedule. Returns why it is wrong, or NULL. */
static const char *schedule_line(struct fault_core *c, const char *line)
{
	long long at, how_long;
	const char *why = NULL;
	char text[2048], fault[1500];
	unsigned long long seed;

	if (line[strspn(line, " \t\r\n")] == '\0' || line[0] == '#')
		return NULL;
	if (sscanf(line, "seed %llu", &seed) == 1) {
		c->random = seed * 0x9e3779b97f4a7c15ULL + 1;
		return NULL;
	}
	if (sscanf(line, "%lld %lld %1499[^\n]", &at, &how_long, fault) != 3)
		return "not AT_MS FOR_MS FAULT";
	snprintf(text, sizeof(text), "%s at=%lld for=%lld", fault, at, how_long);
	return fault_core_add(c, text, &why) ? NULL : why;
}

static const char *schedule(struct fault_core *c, const char *path, unsigned *lines_out)
{
	FILE *f = fopen(path, "r");
	const char *why = NULL;
	char line[2048];

	*lines_out = 0;
	if (!f)
		return "cannot be opened";
	while (!why && fgets(line, sizeof(line), f)) {
		why = schedule_line(c, line);
		*lines_out += 1;
	}
	fclose(f);
	return why;
}

static void command(struct fault_core *c, char *line)
{
	const char *why = NULL;
	unsigned n = 0;

	if (strncmp(line, "fault ", 6) == 0) {
		n = fault_core_add(c, line + 6, &why);
	} else if (strncmp(line, "off ", 4) == 0) {
		n = (unsigned)atoi(line + 4);
		if (n == 0 || !fault_core_remove(c, n))
			why = "no such id";
	} else if (strcmp(line, "clear") == 0) {
		fault_core_remove(c, 0);
	} else if (strcmp(line, "drop") == 0) {
		fault_core_drop(c);
	} else if (strncmp(line, "schedule ", 9) == 0) {
		why = schedule(c, line + 9, &n);
	} else if (strcmp(line, "sync") == 0) {
		if (c->log)
			fflush(c->log);
	} else if (strcmp(line, "stats") == 0) {
		answer("ok open=%u requests=%llu faults=%llu", c->n_open, (unsigned long long)c->n_requests,
		       (unsigned long long)c->n_faults);
		return;
	} else {
		why = "no such command";
	}
	if (why)
		answer("error %s", why);
	else
		answer("ok %u", n);
}

static void on_command(evutil_socket_t fd, short what, void *arg)
{
	struct proxy *x = arg;
	char buf[4096], *line, *end;
	ssize_t n = read(fd, buf, sizeof(buf));
	size_t rest;

	(void)what;
	if (n <= 0) {
		event_base_loopbreak(x->core.base);
		return;
	}
	strbuf_add(&x->in, buf, (size_t)n);
	line = x->in.p;
	while ((end = strchr(line, '\n'))) {
		*end = '\0';
		command(&x->core, line);
		line = end + 1;
	}
	rest = x->in.n - (size_t)(line - x->in.p);
	memmove(x->in.p, line, rest);
	strbuf_truncate(&x->in, rest);
}

static int usage(void)
{
	fprintf(stderr, "usage: fault_proxy [--seed N] [--log FILE] [--schedule FILE] HOST:PORT\n");
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"seed", required_argument, NULL, 's'}, {"log", required_argument, NULL, 'l'},
		{"schedule", required_argument, NULL, 't'}, {0}};
	struct proxy x = {0};
	const char *log = NULL, *plan = NULL, *why;
	unsigned long long seed = 1;
	unsigned n;
	int o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (o == 's')
			seed = strtoull(optarg, NULL, 10);
		else if (o == 'l')
			log = optarg;
		else if (o == 't')
			plan = optarg;
		else
			return usage();
	}
	if (optind + 1 != argc)
		return usage();
	signal(SIGPIPE, SIG_IGN);
	if (!fault_core_begin(&x.core, event_base_new(), argv[optind], seed)) {
		fprintf(stderr, "fault_proxy: cannot stand before %s\n", argv[optind]);
		return 1;
	}
	if (log && !(x.core.log = fopen(log, "w"))) {
		perror(log);
		return 1;
	}
	if (plan && (why = schedule(&x.core, plan, &n))) {
		fprintf(stderr, "fault_proxy: %s line %u: %s\n", plan, n, why);
		return 1;
	}
	x.commands = event_new(x.core.base, STDIN_FILENO, EV_READ | EV_PERSIST, on_command, &x);
	event_add(x.commands, NULL);
	answer("port %d", x.core.port);
	event_base_dispatch(x.core.base);
	fault_core_end(&x.core);
	event_free(x.commands);
	event_base_free(x.core.base);
	strbuf_free(&x.in);
	if (x.core.log)
		fclose(x.core.log);
	return 0;
}
