/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mount that hangs, for tests: preloaded into a suite, it lets every look at a file's status sleep in the threads of the process
 * that HANG_IN names, as long as the file that HANG_WHEN names exists. Built by the test that needs it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int fstatat(int fd, const char *path, struct stat *st, int flags)
{
	const char *when = getenv("HANG_WHEN"), *in = getenv("HANG_IN");

	if (when && in && strcmp(in, program_invocation_short_name) == 0 && syscall(SYS_gettid) != getpid()) {
		while (access(when, F_OK) == 0)
			usleep(20000);
	}
	return (int)syscall(SYS_newfstatat, fd, path, st, flags);
}
