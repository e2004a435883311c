/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The yardstick of durable PUTs: THREADS threads that each write a file of SIZE bytes under a temporary name, fsync it, rename it
 * into place and fsync the directory, for SECONDS. Prints files per second. What the filesystem can do, without any server.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct bench {
	const char *dir;
	size_t size;
	atomic_bool stop;
	atomic_ulong files;
	atomic_int next_thread;
	atomic_bool failed;
};

static bool write_one(const struct bench *b, int dirfd, const char *buf, int thread, unsigned long i)
{
	char tmp[64], name[64];
	int fd;
	bool ok;

	snprintf(tmp, sizeof(tmp), ".tmp-%d", thread);
	snprintf(name, sizeof(name), "f-%d-%lu", thread, i);
	fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return false;
	ok = write(fd, buf, b->size) == (ssize_t)b->size && fsync(fd) == 0;
	close(fd);
	return ok && renameat(dirfd, tmp, dirfd, name) == 0 && fsync(dirfd) == 0;
}

static void *run(void *arg)
{
	struct bench *b = arg;
	int thread = atomic_fetch_add(&b->next_thread, 1);
	char *buf = calloc(1, b->size ? b->size : 1);
	int dirfd = open(b->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (unsigned long i = 0; !atomic_load(&b->stop); i++) {
		if (dirfd < 0 || !buf || !write_one(b, dirfd, buf, thread, i)) {
			atomic_store(&b->failed, true);
			break;
		}
		atomic_fetch_add(&b->files, 1);
	}
	if (dirfd >= 0)
		close(dirfd);
	free(buf);
	return NULL;
}

int main(int argc, char **argv)
{
	struct bench b = {0};
	struct timespec pause = {0};
	pthread_t threads[256];
	int n;

	if (argc != 5) {
		fprintf(stderr, "usage: durable DIR THREADS SECONDS SIZE\n");
		return 2;
	}
	b.dir = argv[1];
	n = atoi(argv[2]);
	pause.tv_sec = atoi(argv[3]);
	b.size = (size_t)atol(argv[4]);
	if (n < 1 || n > 256)
		return 2;
	for (int i = 0; i < n; i++)
		if (pthread_create(&threads[i], NULL, run, &b))
			return 1;
	nanosleep(&pause, NULL);
	atomic_store(&b.stop, true);
	for (int i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	if (atomic_load(&b.failed)) {
		fprintf(stderr, "durable: a write failed\n");
		return 1;
	}
	printf("%.0f\n", (double)atomic_load(&b.files) / (double)pause.tv_sec);
	return 0;
}
