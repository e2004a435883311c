/* SPDX-License-Identifier: Apache-2.0 */
/* The S3 site's contract against a real store, named by GFS_TEST_S3_ENDPOINT, _ACCESS_KEY and _SECRET_KEY (tests/helpers/rgw.sh).
 * Without one it is skipped. Arguments: the names of the tests to run. */
#include "config.h"

#include <stdlib.h>

#include "common/log.h"
#include "exercise.h"

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {{"objects", test_objects}, {"lists", test_lists}, {"faults", test_faults}, {"stream", test_stream}};

int main(int argc, char **argv)
{
	if (!getenv("GFS_TEST_S3_ENDPOINT")) {
		printf("skipped: GFS_TEST_S3_ENDPOINT is not set\n");
		return 77;
	}
	if (getenv("GFS_TEST_DEBUG"))
		log_set_level(LOG_LVL_DEBUG);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		bool wanted = argc == 1;

		for (int k = 1; k < argc; k++)
			wanted = wanted || strcmp(argv[k], tests[i].name) == 0;
		if (!wanted)
			continue;
		tests[i].run();
		printf("%s: %u checks, %u failed\n", tests[i].name, n_checks, n_failed);
	}
	return n_failed > 0;
}
