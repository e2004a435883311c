/* SPDX-License-Identifier: Apache-2.0 */
/* routerd's command line: its own letters and the long flags of the Go coordinator. */
#ifndef GFS_OPTIONS_H
#define GFS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct options {
	const char *conf_path; /* NULL: none given */
	const char *log_level; /* NULL: the configuration's */
	const char *bind_addr; /* NULL: the configuration's */
	char *api_key;         /* NULL: the environment's, else the configuration's; start_api_key() wipes it */
	int64_t poll_interval_ms; /* 0: the configuration's */
	bool foreground, check_only;
};

/* Returns -1 when the start goes on, else the exit code (help, version, or wrong usage, already printed). */
int options_parse(int argc, char **argv, struct options *out);

#endif
