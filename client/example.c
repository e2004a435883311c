/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An example of libglobalfs: stores standard input under a key, reads it back and lists its neighbours.
 *
 *   cc example.c $(pkg-config --cflags --libs globalfs) -o example
 *   ./example http://localhost:8090 notes/today </etc/motd
 */
#include <globalfs.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int failed(struct globalfs *gfs, const char *what)
{
	const struct globalfs_error *e = globalfs_error(gfs);

	fprintf(stderr, "%s: %s (%s, HTTP status %ld, request %s)\n", what, e->message, globalfs_code_text(e->code), e->status,
	        e->request_id);
	if (e->retry_after_s >= 0)
		fprintf(stderr, "try again in %ld s\n", e->retry_after_s);
	return 1;
}

static long from_file(void *arg, void *data, size_t size)
{
	size_t n = fread(data, 1, size, arg);

	return ferror((FILE *)arg) ? -1 : (long)n;
}

static int to_file(void *arg, const struct globalfs_object *object, const void *data, size_t size)
{
	(void)object;
	return fwrite(data, 1, size, arg) != size;
}

static int print_entry(void *arg, const struct globalfs_entry *entry)
{
	(void)arg;
	printf("%12" PRId64 "  %s\n", entry->size, entry->key);
	return 0;
}

int main(int argc, char **argv)
{
	struct globalfs_pair note = {"origin", "example"};
	struct globalfs_put_options put = {.content_type = "text/plain", .metadata = &note, .n_metadata = 1};
	struct globalfs_list_options list = {.limit = 10};
	const struct globalfs_object *object;
	const char *etag;
	struct globalfs *gfs;
	int code = 0;

	if (argc != 3) {
		fprintf(stderr, "usage: example URL KEY\n");
		return 2;
	}
	if (globalfs_open(argv[1], &gfs) != 0) {
		fprintf(stderr, "%s is no address\n", argv[1]);
		return 2;
	}
	list.prefix = argv[2];
	if (globalfs_put_stream(gfs, argv[2], from_file, stdin, -1, &put, &etag) != 0)
		code = failed(gfs, "put");
	else
		printf("stored, ETag %s\n", etag);
	if (!code && globalfs_get(gfs, argv[2], NULL, to_file, stdout, &object) != 0)
		code = failed(gfs, "get");
	if (!code)
		printf("read %" PRId64 " bytes from site %s\n", object->size, object->site);
	if (!code && globalfs_list(gfs, &list, print_entry, NULL, NULL) != 0)
		code = failed(gfs, "list");
	globalfs_close(&gfs);
	return code;
}
