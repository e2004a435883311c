/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of a file site (site_file*.c only). A directory that holds objects as plain files:
 *
 *   ROOT/<path of prefix + key>       the bytes (site_file_path.c says how a key becomes a path)
 *   ROOT/.globalfs/site               the marker (site_file_probe.c)
 *   ROOT/.globalfs/tmp/               files and directories in the making, named PID.STARTTIME.NUMBER (site_file_tmp.c)
 *   ROOT/.globalfs/meta/HH/NAME       the sidecars (site_file_meta.c)
 *
 * Two kinds of functions live here. Those that say "blocks" run on a pool thread (or, given RESOLVE_CACHED, on the loop) and
 * touch the disk; they use of struct site_file only what is fixed after open and what its lock guards. The others run on the
 * loop. Within this folder of files an errno travels as a positive int; struct file_err is what the caller will be told.
 *
 * Locks: flock() on ROOT/.globalfs. Shared around the one step that makes an object appear or vanish; exclusive while a file
 * is turned into a directory of the same name or back, so that neither can swallow a version put at the same moment,
 * by whatever process.
 */
#ifndef GFS_SITE_FILE_H
#define GFS_SITE_FILE_H

#include <linux/openat2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "key.h"
#include "site_impl.h"

struct event;
struct file_dirs;
struct file_infos;

#define FILE_PREFIX_MAX 512              /* bytes of a site's prefix */
#define FILE_PATH_MAX   20000            /* of an encoded path: 11 bytes for every empty segment of prefix and key */
#define FILE_PIECE      (256u << 10)     /* bytes of one read from the pool */
#define FILE_INLINE_MAX (16u << 10)      /* a range up to this is handed over as bytes, even to who can take a descriptor */
#define FILE_OBJ        ".gfs-obj"       /* the object whose path is also a directory, inside it */

/* ---- errors ---- */
struct file_err {
	int err;       /* GFS_OK or what the caller is told */
	char why[200];
};
/* Both return err->err. The text becomes the reason. */
int file_fail(struct file_err *err, int code, const char *fmt, ...) GFS_PRINTF(3, 4);
int file_fail_errno(struct file_err *err, int errnum, const char *what);
struct site_result file_result(const struct file_err *err, enum site_outcome otherwise);

/* ---- the site ---- */
/* What a filesystem makes durable beyond what was asked for; each includes the ones before it. */
enum file_fs {
	FILE_FS_PLAIN, /* nothing that we know of */
	FILE_FS_NAMES, /* with a new file its name (ext4 without a journal) */
	FILE_FS_LINKS, /* with a name the inode, whose count of links has changed with it (XFS) */
	FILE_FS_WHOLE, /* with anything all that was done before, but for bytes not yet written out (ext4, tmpfs) */
};

struct file_marker_id {
	dev_t dev;
	ino_t ino;
	struct timespec mtime, ctime;
	bool known;
};

struct site_file {
	struct site base;
	uint64_t start_time;         /* of this process, in names of temporary files */
	bool have_proc;              /* /proc/self/fd is there: nameless temporary files can be linked */
	atomic_uint_fast64_t tmp_seq;
	pthread_mutex_t lock;        /* guards marker, fs and dirs */
	struct file_marker_id marker; /* the marker file that was last read and found to be ours */
	enum file_fs fs;             /* of device fs_dev, when known */
	dev_t fs_dev;
	bool fs_known;
	struct file_dirs *dirs;
	struct file_infos *infos;    /* loop only */
	int cached_root;             /* loop only, -1: none */
	struct event *drop_root, *drop_dirs;
};

static inline struct site_file *site_file_of(struct site *site)
{
	return (struct site_file *)site;
}

/* ---- names (site_file_path.c, pure) ---- */
/* The path of a full key (prefix and key), relative to ROOT. 0, or GFS_ERR_KEY_INVALID when it has no path. */
int file_path_encode(struct slice full_key, char *buf, size_t cap, size_t *n_out) GFS_MUST_USE;

enum file_text {
	FILE_TEXT_BAD,   /* not a name of ours */
	FILE_TEXT_WHOLE, /* a whole segment, or its last piece */
	FILE_TEXT_PIECE, /* the directory holds the rest of the segment */
	FILE_TEXT_OBJ,   /* FILE_OBJ */
};
/* What a name in a directory stands for. in_piece: the directory is a FILE_TEXT_PIECE. The text is part of name, or empty. */
enum file_text file_name_decode(struct slice name, bool in_piece, struct slice *text_out);
/* The name of a segment text that needs no split, NULL when it needs one; buf holds NAME_MAX + 1. */
const char *file_name_encode(struct slice text, bool in_piece, char *buf);

/* The name of a piece that is not the last: text has exactly file_piece_size() bytes, else NULL. */
const char *file_piece_encode(struct slice text, bool in_piece, char *buf);
size_t file_piece_size(bool in_piece);

/* A key as the operations carry it. */
struct file_name {
	char *full; /* prefix and key, NUL-terminated; owned */
	size_t full_n, prefix_n;
	char *path; /* owned */
	size_t path_n;
};
int file_name_make(const struct site_file *sf, struct slice key, unsigned flags, struct file_name *out, struct file_err *err)
	GFS_MUST_USE;
/* The checks and the path alone, without memory. */
int file_name_path(const struct site_file *sf, struct slice key, unsigned flags, struct file_name *scratch,
                   struct file_err *err) GFS_MUST_USE;
void file_name_free(struct file_name *name);
static inline struct slice file_name_full(const struct file_name *n)
{
	return slice_of(n->full, n->full_n);
}
static inline struct slice file_name_key(const struct file_name *n)
{
	return slice_of(n->full + n->prefix_n, n->full_n - n->prefix_n);
}

/* ---- root and lookups (site_file_root.c), block ---- */
#define FILE_RESOLVE (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)
/* Descriptor of a file under at, or -1 with errno. A path of any length. resolve: 0 or RESOLVE_CACHED. */
int file_openat(int at, const char *path, uint64_t flags, uint64_t resolve);
/* Reads what is in memory: like pread(), or -1 with EAGAIN when the disk would have to be read. */
ssize_t file_read_now(int fd, void *p, size_t n, uint64_t off);
int file_write_all(int fd, const char *p, size_t n); /* 0 or an errno */
/* A fresh descriptor of ROOT. */
int file_root_open(const struct site_file *sf, int *fd_out, struct file_err *err) GFS_MUST_USE;
/* 0 when ROOT holds our marker: one fstatat() when it is the marker seen last. */
int file_root_check(struct site_file *sf, int root, struct file_err *err) GFS_MUST_USE;
/* Both at once. */
int file_root_open_checked(struct site_file *sf, int *fd_out, struct file_err *err) GFS_MUST_USE;
/* Opens a directory of ours under ROOT ("tmp", "meta/ab"), making what is missing, durably. -1 with errno. */
int file_own_dir(int root, const char *name);
/* flock on ROOT/.globalfs; op is LOCK_SH or LOCK_EX. Returns the descriptor to close, or -1 with errno. */
int file_lock(int root, int op);
enum file_fs file_fs_of(struct site_file *sf, int fd);
/*
 * Makes a file durable before the name it is given next can be: by fsync. With FILE_FS_WHOLE by writing its bytes out and waiting
 * for that: the commit that makes the name durable (the fsync of its directory) does the rest, and flushes the disk first. That
 * spares a commit per file. 0, or -1 with errno.
 */
int file_sync(struct site_file *sf, int fd);
/* The same for one that file_tree_place() will name: below FILE_FS_LINKS that names it in tmp first and syncs it then, for its
 * count of links changes with the name. Until then it is enough that a failure to write shows. */
int file_sync_nameless(struct site_file *sf, int fd);

/* ---- sidecars (site_file_meta.c) ---- */
struct file_meta {
	struct slice full_key, key;
	uint64_t inode, size;
	int64_t mtime_ns;
	struct object_info *info; /* gen, etag, part size, checksum, content type, metadata */
};
#define FILE_META_MAX (24u << 10)
int64_t file_mtime_ns(const struct stat *st);
void file_meta_format(const struct file_meta *m, struct strbuf *out);
/* Fills the fields of m->info that a sidecar holds when the text fits the key, inode, size and time in m; else false, and
 * nothing was touched. */
bool file_meta_parse(struct slice text, const struct file_meta *m);
/* Blocks. Writes the sidecar of a file, and file_sync()s it with its name. 0 or an errno. */
int file_meta_write(struct site_file *sf, int root, const struct file_meta *m);
void file_meta_unlink(int root, struct slice full_key, uint64_t inode);

/* ---- looking an object up (site_file_look.c) ---- */
struct file_found {
	int fd; /* owned; -1: none */
	struct stat st;
	struct object_info info; /* owned */
};
/* Blocks. Fills out->info for out->st: from the sidecar that fits, else as of an object put behind our back. 0, or EAGAIN with
 * RESOLVE_CACHED when the disk would have to be read. */
int file_meta_read(const struct site_file *sf, int root, const struct file_name *name, uint64_t resolve,
                   struct file_found *out);
/* Blocks. For lists: whether the file has a sidecar that fits it, with what that says (owned). meta: FILE_META_DIR, open. */
#define FILE_META_DIR KEY_RESERVED_DIR "/meta"
bool file_meta_read_row(int meta, struct slice full_key, size_t prefix_n, const struct stat *st,
                        struct object_info *out) GFS_MUST_USE;
void file_plain_etag(const struct stat *st, char etag[ETAG_MAX]); /* of an object that was put behind our back */
/* Opens the regular file that holds an object: 0, ENOENT when there is none, EAGAIN (see above), or another errno. */
int file_object_open(int root, const char *path, uint64_t resolve, int *fd_out, struct stat *st_out) GFS_MUST_USE;
/* Blocks. Open, and its metadata of the same version. An absent object makes it check the marker. */
int file_look(struct site_file *sf, int root, const struct file_name *name, struct file_found *out, struct file_err *err)
	GFS_MUST_USE;
/* The same on the loop, without blocking; the metadata from memory when it is there, pinned until file_info_unpin().
 * 0, or EAGAIN when the pool has to do it. */
struct file_info;
int file_look_cached(struct site_file *sf, const struct file_name *name, int *fd_out, struct file_info **info_out) GFS_MUST_USE;
const struct object_info *file_info_of(const struct file_info *fi);
void file_info_unpin(struct file_info **fi);
/* Keeps what the pool found for the next lookup; takes nothing. */
void file_info_keep(struct site_file *sf, const struct file_name *name, const struct file_found *found);
struct file_infos *file_infos_create(void);
void file_infos_destroy(struct file_infos **infos);
void file_root_drop(struct site_file *sf);
void file_found_free(struct file_found *f);

/* ---- temporary files (site_file_tmp.c), block ---- */
#define FILE_TMP_NAME_MAX 80
struct file_tmp {
	int fd;                        /* -1: none */
	char name[FILE_TMP_NAME_MAX];  /* "" when it has none */
};
void file_tmp_name(struct site_file *sf, char buf[FILE_TMP_NAME_MAX]);
int file_tmp_create(struct site_file *sf, int root, struct file_tmp *out); /* 0 or an errno */
void file_tmp_discard(const struct site_file *sf, struct file_tmp *tmp);
void file_tmp_sweep(struct site_file *sf, int root);

/* ---- making and removing objects in the tree (site_file_tree.c), block ---- */
struct file_change {
	struct site_file *sf;
	int root;
	const struct file_name *name;
	struct file_err *err;
	/* out */
	bool done;      /* it has taken effect: an error after that leaves it unknown whether it is durable */
	uint64_t inode; /* of the version that was replaced or removed, 0 when none */
};
/* The one step that makes tmp the object: linked or renamed to its path. Directories are made as needed. */
int file_tree_place(struct file_change *change, struct file_tmp *tmp);
/* Removes the object and the directories that are empty then. */
int file_tree_remove(struct file_change *change);

/* ---- operations ---- */
struct site_get *site_file_get(struct site *site, const struct site_get_req *req, const struct site_get_cbs *cbs, void *arg);
void site_file_get_resume(struct site_get *op);
void site_file_get_cancel(struct site_get *op);
struct site_op *site_file_head(struct site *site, struct slice key, unsigned flags, site_head_cb *cb, void *arg);
struct site_op *site_file_list(struct site *site, const struct site_list_req *req, site_list_cb *cb, void *arg);
struct site_op *site_file_probe(struct site *site, site_probe_cb *cb, void *arg);
void site_file_claim(struct site *site, site_done_cb *cb, void *arg);
struct site_put *site_file_put(struct site *site, const struct site_put_req *req, const struct site_put_cbs *cbs, void *arg);
void site_file_put_write(struct site_put *op, const void *p, size_t n);
void site_file_put_end(struct site_put *op);
void site_file_put_complete(struct site_put *op, const char *etag, bool has_crc64, uint64_t crc64);
void site_file_put_abort(struct site_put *op);
void site_file_delete(struct site *site, struct slice key, unsigned flags, site_done_cb *cb, void *arg);

/* Handles of head, list and probe begin with this; cancel only marks them, the job's end frees them. */
struct file_op {
	struct site_op base;
	atomic_bool cancelled;
};
void site_file_op_cancel(struct site_op *op);
/* Runs fn(arg) from the loop, soon. */
void file_defer(struct site_file *sf, void (*fn)(void *arg), void *arg);
void file_submit(struct site_file *sf, void (*work)(void *arg), void (*done)(void *arg), void *arg);

/* ---- directory snapshots for lists (site_file_dir.c) ---- */
struct file_dirs *file_dirs_create(void);
void file_dirs_destroy(struct file_dirs **dirs);

#endif
