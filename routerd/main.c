/* SPDX-License-Identifier: Apache-2.0 */
/* routerd: the supervisor, or, started by it as `routerd --worker N`, one of its workers. */
#include "config.h"

#include <string.h>

#include "options.h"
#include "supervisor.h"
#include "worker.h"

int main(int argc, char **argv)
{
	struct options options;
	int code;

	if (argc > 1 && strcmp(argv[1], "--worker") == 0)
		return worker_main(argc, argv);
	code = options_parse(argc, argv, &options);
	return code >= 0 ? code : supervisor_main(&options);
}
