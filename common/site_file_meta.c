/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sidecars: what is known of an object beside its bytes. One text file per version, ROOT/.globalfs/meta/HH/HASH.INODE (HASH:
 * 16 hex digits of hash64(prefix and key), HH its first two), so that the rename that switches the data switches the
 * metadata with it. Written and synced before that rename; the old one is removed after it.
 *
 *   globalfs-meta 1
 *   key=a/b%20c          inode, size, mtime_ns: of the file it belongs to. A sidecar that does not fit its file is ignored:
 *   inode=1234           the file is then one that was put behind our back.
 *   size=11
 *   mtime_ns=1763722000123456789
 *   gen=0193...-node1:HASH:67108864      gen_tag_format(): generation, bound to the key, and part size
 *   etag=5eb63bbbe01eeed093cb22bb8f5acdc3
 *   crc64=16 hex digits                  optional, like the two below
 *   type=text/plain
 *   meta.NAME=VALUE
 *   sum=16 hex digits                    hash64() of everything above: a cut or damaged file is no sidecar
 *
 * In values every byte but printable ASCII, and '%', is %XX.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "map.h"
#include "site_file.h"
#include "strbuf.h"
#include "xalloc.h"

#define HEADER "globalfs-meta 1\n"

int64_t file_mtime_ns(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

static void add_escaped(struct strbuf *out, struct slice v)
{
	size_t i;

	for (i = 0; i < v.n; i++) {
		unsigned char c = (unsigned char)v.p[i];

		if (c > 0x20 && c < 0x7f && c != '%')
			strbuf_addc(out, (char)c);
		else
			strbuf_addf(out, "%%%02X", c);
	}
}

static void add_line(struct strbuf *out, const char *name, struct slice value)
{
	strbuf_adds(out, name);
	strbuf_addc(out, '=');
	add_escaped(out, value);
	strbuf_addc(out, '\n');
}

void file_meta_format(const struct file_meta *m, struct strbuf *out)
{
	const struct object_info *info = m->info;
	char tag[GEN_TAG_MAX];
	size_t i;

	strbuf_adds(out, HEADER);
	add_line(out, "key", m->full_key);
	strbuf_addf(out, "inode=%" PRIu64 "\nsize=%" PRIu64 "\nmtime_ns=%" PRId64 "\n", m->inode, m->size, m->mtime_ns);
	add_line(out, "gen", slice_str(gen_tag_format(&info->gen, m->key, info->part_size, tag)));
	add_line(out, "etag", slice_str(info->etag));
	if (info->has_crc64)
		strbuf_addf(out, "crc64=%016" PRIx64 "\n", info->crc64);
	if (info->content_type)
		add_line(out, "type", slice_str(info->content_type));
	for (i = 0; i < info->meta.n; i++) {
		strbuf_adds(out, "meta.");
		add_line(out, info->meta.v[i].name, slice_str(info->meta.v[i].value));
	}
	strbuf_addf(out, "sum=%016" PRIx64 "\n", hash64(strbuf_str(out), out->n));
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place. False for a broken escape or a NUL. */
static bool unescape(struct slice *v_io, char *p)
{
	size_t i, o = 0, n = v_io->n;
	int hi, lo;

	for (i = 0; i < n; i++) {
		if (p[i] != '%') {
			p[o++] = p[i];
			continue;
		}
		if (n - i < 3)
			return false;
		hi = hex_digit(p[i + 1]);
		lo = hex_digit(p[i + 2]);
		if (hi < 0 || lo < 0 || hi + lo == 0)
			return false;
		p[o++] = (char)(hi << 4 | lo);
		i += 2;
	}
	*v_io = slice_of(p, o);
	return true;
}

static bool value_u64(struct slice v, int base, uint64_t *out)
{
	char text[24], *end;

	if (v.n == 0 || v.n >= sizeof(text))
		return false;
	memcpy(text, v.p, v.n);
	text[v.n] = '\0';
	errno = 0;
	*out = strtoull(text, &end, base);
	return errno == 0 && *end == '\0';
}

static bool value_is(struct slice v, uint64_t want)
{
	uint64_t got;

	return value_u64(v, 10, &got) && got == want;
}

enum { SAW_KEY = 1, SAW_INODE = 2, SAW_SIZE = 4, SAW_MTIME = 8, SAW_GEN = 16, SAW_ALL = 31 };

/* Unknown names are left to later versions. */
static bool take_line(const struct file_meta *m, struct slice name, struct slice v, struct object_info *info, unsigned *saw)
{
	if (slice_eq_str(name, "key"))
		return *saw |= SAW_KEY, slice_eq(v, m->full_key);
	if (slice_eq_str(name, "inode"))
		return *saw |= SAW_INODE, value_is(v, m->inode);
	if (slice_eq_str(name, "size"))
		return *saw |= SAW_SIZE, value_is(v, m->size);
	if (slice_eq_str(name, "mtime_ns"))
		return *saw |= SAW_MTIME, value_is(v, (uint64_t)m->mtime_ns);
	if (slice_eq_str(name, "gen"))
		return *saw |= SAW_GEN, gen_tag_parse(v, m->key, &info->gen, &info->part_size) == 0;
	if (slice_eq_str(name, "etag")) {
		if (v.n >= ETAG_MAX)
			return false;
		memcpy(info->etag, v.p, v.n);
		info->etag[v.n] = '\0';
	} else if (slice_eq_str(name, "crc64")) {
		info->has_crc64 = true;
		return value_u64(v, 16, &info->crc64);
	} else if (slice_eq_str(name, "type") && !info->content_type) {
		info->content_type = xstrndup(v.p, v.n);
	} else if (slice_starts_with(name, SLICE_LIT("meta."))) {
		return meta_add(&info->meta, slice_of(name.p + 5, name.n - 5), v) == 0;
	}
	return true;
}

/* The text up to its sum, when the sum is right. */
static bool body_of(struct slice text, struct slice *body_out)
{
	const size_t sum_n = strlen("sum=") + 16 + 1;
	uint64_t sum;

	if (text.n < strlen(HEADER) + sum_n || !slice_starts_with(text, SLICE_LIT(HEADER)))
		return false;
	*body_out = slice_of(text.p, text.n - sum_n);
	return memcmp(text.p + body_out->n, "sum=", 4) == 0 && text.p[text.n - 1] == '\n' &&
	       value_u64(slice_of(text.p + body_out->n + 4, 16), 16, &sum) && sum == hash64(body_out->p, body_out->n);
}

/* Walks the lines of p, which it changes. */
static bool take_lines(const struct file_meta *m, char *p, size_t n, struct object_info *info)
{
	char *end = p + n, *nl, *eq;
	struct slice value;
	unsigned saw = 0;

	for (; p < end; p = nl + 1) {
		nl = memchr(p, '\n', (size_t)(end - p));
		eq = nl ? memchr(p, '=', (size_t)(nl - p)) : NULL;
		if (!eq)
			return false;
		value = slice_of(eq + 1, (size_t)(nl - eq - 1));
		if (!unescape(&value, eq + 1) || !take_line(m, slice_of(p, (size_t)(eq - p)), value, info, &saw))
			return false;
	}
	return saw == SAW_ALL;
}

bool file_meta_parse(struct slice text, const struct file_meta *m)
{
	char copy[FILE_META_MAX];
	struct object_info info = {0};
	struct slice body;

	if (text.n > sizeof(copy) || !body_of(text, &body))
		return false;
	memcpy(copy, body.p, body.n);
	if (!take_lines(m, copy + strlen(HEADER), body.n - strlen(HEADER), &info)) {
		object_info_free(&info);
		return false;
	}
	info.size = m->size;
	info.mtime_ms = m->mtime_ns / 1000000;
	info.gen_tagged = true;
	*m->info = info;
	return true;
}

static void meta_path(struct slice full_key, uint64_t inode, char *buf, size_t cap, bool under_root)
{
	uint64_t h = hash64(full_key.p, full_key.n);

	snprintf(buf, cap, "%smeta/%02x/%016" PRIx64 ".%" PRIu64, under_root ? KEY_RESERVED_DIR "/" : "", (unsigned)(h >> 56), h,
	         inode);
}

/* At least min digits, without printf: lists make two of these per row. */
static char *add_hex(char *p, uint64_t v, unsigned min)
{
	unsigned digits = min;

	while (digits < 16 && v >> (4 * digits))
		digits++;
	for (unsigned i = digits; i-- > 0;)
		*p++ = "0123456789abcdef"[v >> (4 * i) & 15];
	return p;
}

/*
 * An object that was put behind our back. Its ETag is two hashes of modification time, size and inode: it changes
 * whenever the file does, and its "-0" (no number of parts) keeps clients from taking it for the MD5 of the bytes.
 */
void file_plain_etag(const struct stat *st, char etag[ETAG_MAX])
{
	char text[80], *p = text;

	*p++ = '+';
	p = add_hex(p, (uint64_t)file_mtime_ns(st), 1);
	*p++ = ' ';
	p = add_hex(p, (uint64_t)st->st_size, 1);
	*p++ = ' ';
	p = add_hex(p, (uint64_t)st->st_ino, 1);
	etag = add_hex(etag, hash64(text, (size_t)(p - text)), 16);
	etag = add_hex(etag, hash64(text + 1, (size_t)(p - text) - 1), 16);
	memcpy(etag, "-0", sizeof("-0"));
}

static void info_plain(const struct site_file *sf, const struct stat *st, struct object_info *info)
{
	*info = (struct object_info){.size = (uint64_t)st->st_size, .mtime_ms = file_mtime_ns(st) / 1000000};
	file_plain_etag(st, info->etag);
	info->gen = gen_derive(info->mtime_ms, sf->base.conf.name);
}

bool file_meta_read_row(int meta, struct slice full_key, size_t prefix_n, const struct stat *st, struct object_info *out)
{
	struct file_meta m = {full_key, slice_of(full_key.p + prefix_n, full_key.n - prefix_n), st->st_ino, (uint64_t)st->st_size,
	                      file_mtime_ns(st), out};
	uint64_t h = hash64(full_key.p, full_key.n);
	char path[64], text[FILE_META_MAX], *p = path;
	ssize_t n;
	int fd;

	p = add_hex(p, h >> 56, 2);
	*p++ = '/';
	p = add_hex(p, h, 16);
	snprintf(p, 24, ".%" PRIu64, m.inode);
	fd = file_openat(meta, path, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0)
		return false;
	n = pread(fd, text, sizeof(text), 0);
	close(fd);
	return n > 0 && file_meta_parse(slice_of(text, (size_t)n), &m);
}

int file_meta_read(const struct site_file *sf, int root, const struct file_name *name, uint64_t resolve, struct file_found *out)
{
	const struct stat *st = &out->st;
	struct file_meta m = {file_name_full(name), file_name_key(name), st->st_ino, (uint64_t)st->st_size, file_mtime_ns(st),
	                      &out->info};
	char path[96], text[FILE_META_MAX];
	ssize_t n;
	int fd;

	meta_path(m.full_key, m.inode, path, sizeof(path), true);
	fd = file_openat(root, path, O_RDONLY | O_NONBLOCK, resolve);
	if (fd < 0 && errno == EAGAIN)
		return EAGAIN;
	n = fd < 0 ? -1 : resolve ? file_read_now(fd, text, sizeof(text), 0) : pread(fd, text, sizeof(text), 0);
	if (n < 0 && fd >= 0 && resolve) {
		close(fd);
		return EAGAIN;
	}
	if (fd >= 0)
		close(fd);
	if (n < 0 || !file_meta_parse(slice_of(text, (size_t)n), &m))
		info_plain(sf, st, &out->info);
	return 0;
}

int file_meta_write(struct site_file *sf, int root, const struct file_meta *m)
{
	struct strbuf text;
	char path[96];
	int dir, fd, e = 0;

	meta_path(m->full_key, m->inode, path, sizeof(path), false);
	*strrchr(path, '/') = '\0';
	dir = file_own_dir(root, path);
	if (dir < 0)
		return errno;
	strbuf_init(&text, FILE_META_MAX);
	file_meta_format(m, &text);
	fd = strbuf_failed(&text) ? -1 : file_openat(dir, path + strlen(path) + 1, O_WRONLY | O_CREAT | O_TRUNC, 0);
	if (fd < 0)
		e = strbuf_failed(&text) ? ENOMEM : errno;
	else
		e = file_write_all(fd, text.p, text.n);
	if (e == 0 && (file_sync(sf, fd) < 0 || (file_fs_of(sf, dir) < FILE_FS_NAMES && fsync(dir) < 0)))
		e = errno;
	if (fd >= 0)
		close(fd);
	if (e && fd >= 0)
		unlinkat(dir, path + strlen(path) + 1, 0);
	close(dir);
	strbuf_free(&text);
	return e;
}

void file_meta_unlink(int root, struct slice full_key, uint64_t inode)
{
	char path[96];

	meta_path(full_key, inode, path, sizeof(path), true);
	unlinkat(root, path, 0);
}
