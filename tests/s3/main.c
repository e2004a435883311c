/* SPDX-License-Identifier: Apache-2.0 */
/* The S3 site's contract: against scripted answers, and against the real store that GFS_TEST_S3_ENDPOINT, _ACCESS_KEY and
 * _SECRET_KEY name (tests/helpers/rgw.sh prints them), if there is one. Arguments: the names of the tests to run. */
#include "config.h"

#include <signal.h>
#include <stdlib.h>

#include "common/log.h"
#include "exercise.h"

static const struct {
	const char *name;
	void (*run)(void);
	bool needs_store;
} tests[] = {
	{"scripted", test_scripted, false}, {"objects", test_objects, true}, {"lists", test_lists, true}, {"faults", test_faults,
	     true},
	{"stream", test_stream, true},
};

int main(int argc, char **argv)
{
	bool store = getenv("GFS_TEST_S3_ENDPOINT") != NULL;

	signal(SIGPIPE, SIG_IGN); /* of the relay */
	if (getenv("GFS_TEST_DEBUG"))
		log_set_level(LOG_LVL_DEBUG);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		bool wanted = argc == 1;

		for (int k = 1; k < argc; k++)
			wanted = wanted || strcmp(argv[k], tests[i].name) == 0;
		if (!wanted)
			continue;
		if (tests[i].needs_store && !store) {
			printf("%s: skipped, GFS_TEST_S3_ENDPOINT is not set\n", tests[i].name);
			continue;
		}
		tests[i].run();
		printf("%s: %u checks, %u failed\n", tests[i].name, n_checks, n_failed);
	}
	return n_failed > 0;
}
