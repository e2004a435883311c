/* SPDX-License-Identifier: Apache-2.0 */
/* routerd's command line (options.h). Strings borrow from argv. */
#include "config.h"

#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/conf/conf.h"
#include "common/log.h"

enum { OPT_BIND = 256, OPT_KEY, OPT_POLL };

static const struct option longs[] = {
	{"config", required_argument, NULL, 'c'}, {"log-level", required_argument, NULL, 'l'},
	{"bind-addr", required_argument, NULL, OPT_BIND}, {"api-key", required_argument, NULL, OPT_KEY},
	{"health-poll-interval", required_argument, NULL, OPT_POLL}, {"version", no_argument, NULL, 'V'},
	{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0},
};

static void usage(FILE *to)
{
	fputs("usage: routerd [-c FILE] [-f] [-l LEVEL] [-n] [-V]\n"
	      "  -c, --config FILE                configuration (default " GFS_SYSCONFDIR "/globalfs.yaml)\n"
	      "  -f                               stay in the foreground\n"
	      "  -l, --log-level LEVEL            DEBUG, INFO, WARN or ERROR\n"
	      "  -n                               check the configuration and exit\n"
	      "  -V, --version                    print the version and exit\n"
	      "      --bind-addr ADDRESS          instead of coordinator.listen_addr\n"
	      "      --api-key KEY                what clients must send (better: GLOBALFS_API_KEY in the environment)\n"
	      "      --health-poll-interval TIME  instead of resilience.health_poll_interval\n", to);
}

static int refuse(const char *what, const char *value)
{
	fprintf(stderr, "routerd: %s: %s\n", value, what);
	return 2;
}

static int take_option(int opt, struct options *o)
{
	enum log_level level;

	switch (opt) {
	case 'c':
		o->conf_path = optarg;
		return -1;
	case 'f':
		o->foreground = true;
		return -1;
	case 'l':
		o->log_level = optarg;
		return log_parse_level(slice_str(optarg), &level) ? -1 : refuse("a log level is DEBUG, INFO, WARN or ERROR", optarg);
	case 'n':
		o->check_only = true;
		return -1;
	case OPT_BIND:
		o->bind_addr = optarg;
		return -1;
	case OPT_KEY:
		o->api_key = optarg;
		return -1;
	case OPT_POLL:
		if (conf_parse_duration(slice_str(optarg), &o->poll_interval_ms) || o->poll_interval_ms < 100 ||
		    o->poll_interval_ms > INT32_MAX)
			return refuse("a poll interval is a duration of at least 100ms, like 30s", optarg);
		return -1;
	case 'V':
		puts("routerd " PACKAGE_VERSION);
		return 0;
	case 'h':
		usage(stdout);
		return 0;
	default:
		usage(stderr);
		return 2;
	}
}

int options_parse(int argc, char **argv, struct options *out)
{
	int opt, code = -1;

	*out = (struct options){0};
	while (code < 0 && (opt = getopt_long(argc, argv, "c:fhl:nV", longs, NULL)) != -1)
		code = take_option(opt, out);
	if (code < 0 && optind < argc) {
		fprintf(stderr, "routerd: %s: too many arguments\n", argv[optind]);
		code = 2;
	}
	if (code < 0 && !out->conf_path && access(GFS_SYSCONFDIR "/globalfs.yaml", F_OK) == 0)
		out->conf_path = GFS_SYSCONFDIR "/globalfs.yaml";
	return code;
}
