/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHOW. What is counted comes from memory; rows and ages are read from the journal's file by a connection of their own on the
 * pool, so that no operator's question holds up a write.
 */
#include "config.h"

#include "control.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/ipc/show.h"
#include "common/log.h"
#include "common/pool.h"
#include "common/xalloc.h"
#include "copies.h"
#include "journal.h"
#include "keys.h"
#include "queue.h"
#include "resolve.h"
#include "slots.h"
#include "tasks.h"
#include "writes.h"

#define ROWS_MAX 1000 /* rows of a listing */
#define AGES_MAX 1024

enum { SHOW_SUMMARY, SHOW_QUEUE, SHOW_PARKED, SHOW_COPIES, SHOW_TOPICS };
static const char *const topics[SHOW_TOPICS] = {"", "queue", "parked", "copies"};

struct show_row {
	char *key;
	size_t key_n;
	uint32_t site;
	bool parked, deleted, unconfirmed;
	unsigned attempts, watch;
	int err;
	int64_t next_ms, since_ms;
	uint64_t bytes;
};

struct show_job {
	struct repld *r;
	uint64_t peer, call;
	int topic;
	char *path;
	/* from the pool */
	struct show_row *rows;
	size_t n_rows;
	struct {
		uint32_t site;
		int64_t since_ms;
	} ages[AGES_MAX];
	size_t n_ages;
	bool failed;
};

/* ---- on the pool: the journal's file ---- */

static void read_ages(struct show_job *job, sqlite3 *db)
{
	static const char sql[] = "SELECT site,min(since_ms) FROM pending WHERE site<>0 AND unconfirmed=1 GROUP BY site";
	sqlite3_stmt *s;

	if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK) {
		job->failed = true;
		return;
	}
	while (sqlite3_step(s) == SQLITE_ROW && job->n_ages < AGES_MAX) {
		job->ages[job->n_ages].site = (uint32_t)sqlite3_column_int64(s, 0);
		job->ages[job->n_ages++].since_ms = sqlite3_column_int64(s, 1);
	}
	sqlite3_finalize(s);
}

static void read_rows(struct show_job *job, sqlite3 *db)
{
	static const char sql[] = "SELECT p.key,p.site,p.parked,p.attempts,p.err,p.next_ms,p.since_ms,p.bytes,p.watch,"
				  "v.deleted,p.unconfirmed "
				  "FROM pending p LEFT JOIN version v ON v.key=p.key AND v.slot=0 WHERE p.site<>0 AND "
				  "(?1=0 OR p.parked=1) LIMIT ?2";
	sqlite3_stmt *s;

	if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK) {
		job->failed = true;
		return;
	}
	sqlite3_bind_int(s, 1, job->topic == SHOW_PARKED);
	sqlite3_bind_int(s, 2, ROWS_MAX);
	job->rows = xcalloc(ROWS_MAX, sizeof(*job->rows));
	while (sqlite3_step(s) == SQLITE_ROW && job->n_rows < ROWS_MAX) {
		struct show_row *row = &job->rows[job->n_rows++];

		row->key_n = (size_t)sqlite3_column_bytes(s, 0);
		row->key = xmemdup(sqlite3_column_blob(s, 0), row->key_n);
		row->site = (uint32_t)sqlite3_column_int64(s, 1);
		row->parked = sqlite3_column_int(s, 2);
		row->attempts = (unsigned)sqlite3_column_int(s, 3);
		row->err = sqlite3_column_int(s, 4);
		row->next_ms = sqlite3_column_int64(s, 5);
		row->since_ms = sqlite3_column_int64(s, 6);
		row->bytes = (uint64_t)sqlite3_column_int64(s, 7);
		row->watch = (unsigned)sqlite3_column_int(s, 8);
		row->deleted = sqlite3_column_int(s, 9);
		row->unconfirmed = sqlite3_column_int(s, 10);
	}
	sqlite3_finalize(s);
}

static void show_work(void *arg)
{
	struct show_job *job = arg;
	sqlite3 *db = NULL;

	if (sqlite3_open_v2(job->path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) == SQLITE_OK) {
		sqlite3_busy_timeout(db, 1000);
		if (job->topic == SHOW_SUMMARY)
			read_ages(job, db);
		else
			read_rows(job, db);
	} else {
		job->failed = true;
	}
	sqlite3_close(db);
}

/* ---- the documents ---- */

static int64_t age_of(const struct show_job *job, uint32_t site)
{
	for (size_t i = 0; i < job->n_ages; i++)
		if (job->ages[i].site == site) {
			int64_t ms = clock_real_ms() - job->ages[i].since_ms;

			return ms > 0 ? ms : 0;
		}
	return 0;
}

static void print_site(const struct show_job *job, const struct repl_site *rs, struct strbuf *sb)
{
	strbuf_adds(sb, "{\"site\":");
	strbuf_add_json(sb, slice_str(rs->name ? rs->name : ""));
	strbuf_addf(sb, ",\"id\":%" PRIu32 ",\"state\":\"%s\",\"pending\":%" PRIu64 ",\"parked\":%" PRIu64 ",\"bytes\":%" PRIu64
		    ",\"oldest_age_ms\":%" PRId64 ",\"drained\":%s,\"removed\":%s}",
		    rs->id, site_state_name(rs->state), rs->rows, rs->parked, rs->bytes, age_of(job, rs->id),
		    rs->drained ? "true" : "false", rs->present ? "false" : "true");
}

static void print_journal(struct repld *r, struct strbuf *sb)
{
	struct journal_stats js = {0};

	if (r->journal)
		journal_get_stats(r->journal, &js);
	strbuf_addf(sb,
		    "\"journal\":{\"usable\":%s,\"commits\":%" PRIu64 ",\"jobs\":%" PRIu64 ",\"failed\":%" PRIu64
		    ",\"queued\":%zu,\"mean_commit_us\":%" PRId64 ",\"worst_commit_us\":%" PRId64 "}",
		    repld_refusal(r) ? "false" : "true", js.commits, js.jobs, js.failed, js.queued,
		    js.commits ? js.commit_us / (int64_t)js.commits : 0, js.worst_us);
}

static void print_summary(const struct show_job *job, struct strbuf *sb)
{
	struct repld *r = job->r;
	const struct repl_site *rs;
	uint64_t parked, depth = queue_depth(r, &parked);

	strbuf_addf(sb, "{\"queue_depth\":%" PRIu64 ",\"parked\":%" PRIu64 ",\"open_writes\":%zu,\"in_doubt\":%zu,\"waiting\":%zu,",
		    depth, parked, writes_count(r->writes), resolve_count(r->resolver), slots_waiting(r->slots));
	strbuf_addf(sb, "\"active\":%zu,\"keys_in_memory\":%zu,\"superseded\":%" PRIu64 ",\"withdrawn\":%" PRIu64,
		    tasks_count(r->tasks), keys_count(r->keys), r->superseded, r->withdrawn);
	strbuf_addf(sb, ",\"rolled_forward\":%" PRIu64 ",\"conflicts\":%" PRIu64, r->rolled_forward, r->conflicts);
	strbuf_addf(sb, ",\"proofs\":{\"hash\":%" PRIu64 ",\"etag\":%" PRIu64 ",\"size\":%" PRIu64 "}", r->proofs[0], r->proofs[1],
		    r->proofs[2]);
	if (repld_refusal(r)) {
		strbuf_adds(sb, ",\"refusal\":");
		strbuf_add_json(sb, slice_str(repld_refusal(r)));
	}
	strbuf_adds(sb, ",\"sites\":[");
	for (size_t i = 0, n = 0; (rs = queue_site_at(r, i)); i++) {
		if (!rs->present && rs->rows == 0)
			continue;
		if (n++)
			strbuf_addc(sb, ',');
		print_site(job, rs, sb);
	}
	strbuf_adds(sb, "],");
	print_journal(r, sb);
	strbuf_adds(sb, "}\n");
}

static void print_rows(const struct show_job *job, struct strbuf *sb)
{
	strbuf_adds(sb, "{\"rows\":[");
	for (size_t i = 0; i < job->n_rows; i++) {
		const struct show_row *row = &job->rows[i];
		const struct repl_site *rs = queue_site(job->r, row->site);

		strbuf_adds(sb, i ? ",\n{\"key\":" : "\n{\"key\":");
		strbuf_add_json(sb, slice_of(row->key, row->key_n));
		strbuf_adds(sb, ",\"site\":");
		strbuf_add_json(sb, slice_str(rs && rs->name ? rs->name : ""));
		strbuf_addf(sb, ",\"op\":\"%s\",\"bytes\":%" PRIu64 ",\"attempts\":%u,\"parked\":%s,\"held\":%s,\"watch\":%u,"
			    "\"next_ms\":%" PRId64 ",\"age_ms\":%" PRId64 ",\"error\":",
			    !row->unconfirmed ? "check" : row->deleted ? "delete" : "copy", row->bytes, row->attempts,
			    row->parked ? "true" : "false", rs && rs->drained ? "true" : "false", row->watch, row->next_ms,
			    clock_real_ms() - row->since_ms);
		strbuf_add_json(sb, slice_str(row->err ? gfs_err_text(row->err) : ""));
		strbuf_addc(sb, '}');
	}
	strbuf_addf(sb, "],\"truncated\":%s}\n", job->n_rows == ROWS_MAX ? "true" : "false");
}

static void show_done(void *arg)
{
	struct show_job *job = arg;
	struct peer *p = job->r->peers ? peers_get(job->r, job->peer) : NULL;
	struct strbuf sb = STRBUF_INIT;

	if (p && job->failed && job->topic != SHOW_SUMMARY) {
		peer_error(job->r, job->peer, job->call, GFS_ERR_UNAVAILABLE, "the journal could not be read");
	} else if (p) {
		struct msg m = {.type = MSG_SHOW, .id = job->call, .show = {.what = slice_str(topics[job->topic])}};

		if (job->topic == SHOW_SUMMARY)
			print_summary(job, &sb);
		else
			print_rows(job, &sb);
		show_reply(p->ch, &m, &sb);
	}
	strbuf_free(&sb);
	for (size_t i = 0; i < job->n_rows; i++)
		free(job->rows[i].key);
	free(job->rows);
	free(job->path);
	free(job);
}

/* Known in memory. */
static void show_copies(struct repld *r, struct peer *p, const struct msg *m)
{
	struct strbuf sb = STRBUF_INIT;

	copies_print(r, &sb);
	show_reply(p->ch, m, &sb);
	strbuf_free(&sb);
}

void control_show(struct repld *r, struct peer *p, const struct msg *m)
{
	struct show_job *job;

	int topic = 0;

	while (topic < SHOW_TOPICS && !slice_eq_str(m->show.what, topics[topic]))
		topic++;
	if (topic == SHOW_TOPICS) {
		peer_error(r, p->id, m->id, GFS_ERR_USAGE, "topics are: queue, parked, copies; none for the summary");
		return;
	}
	if (show_resume(p->ch, m))
		return;
	if (topic == SHOW_COPIES) {
		show_copies(r, p, m);
		return;
	}
	job = xcalloc(1, sizeof(*job));
	job->r = r;
	job->peer = p->id;
	job->call = m->id;
	job->topic = topic;
	if (!r->journal) {
		job->failed = true;
		show_done(job);
		return;
	}
	job->path = xstrdup(journal_path(r->journal));
	pool_submit(r->pool, show_work, show_done, job);
}
