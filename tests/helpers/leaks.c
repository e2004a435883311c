/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In the sanitizer build: Criterion's runner leaks a little of its own, which must not fail the program. The tests themselves run
 * in processes that Criterion names "boxfort-worker"; there leaks are looked for. Linked into every Criterion program.
 */
#include "config.h"

#include <errno.h>
#include <string.h>

int __lsan_is_turned_off(void); /* asked by LeakSanitizer at the end of each process */

int __lsan_is_turned_off(void)
{
	return strcmp(program_invocation_short_name, "boxfort-worker") != 0;
}
