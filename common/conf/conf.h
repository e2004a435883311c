/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration as the daemons use it. Every setting is one row of schema.def (path, type, default, range, effect,
 * prose); load.c fills this from YAML by that table, check.c checks across fields, print.c writes it back with the origin of
 * every value. Immutable once loaded; owned by conf_destroy(). Durations are milliseconds, sizes bytes.
 */
#ifndef GFS_CONF_H
#define GFS_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../error.h"
#include "../slice.h"
#include "../strbuf.h"

enum site_role { ROLE_PRIMARY, ROLE_BACKUP, ROLE_BURST, ROLE_COUNT };
enum site_kind { SITE_KIND_FILE, SITE_KIND_S3 };
enum s3_addressing { S3_PATH, S3_VIRTUAL };
enum op_kind { OP_READ, OP_WRITE, OP_DELETE, OP_KIND_COUNT };
enum route_order { ORDER_ROLE, ORDER_LATENCY };
enum on_missing { MISSING_ALL, MISSING_AUTHORITATIVE };

#define CONF_SITES_MAX 64 /* sites that one suite serves */

/* One site as configured: from sites[] of the file, or from state_dir/sites (added by the API). */
struct site_conf {
	uint32_t id;        /* 0 until the registry gave one */
	bool claimed;       /* the marker was written once; from the registry */
	bool drained;       /* administrative state; from the registry */
	bool runtime;       /* added by the API, not by the file */
	char *name;         /* [A-Za-z0-9._-]{1,63} */
	enum site_role role;
	enum site_kind kind;
	char *prefix;       /* put before every key; "" for none */
	unsigned line;      /* in the file, for errors; 0 at run time */
	/* file */
	char *file_path;
	/* s3 */
	char *s3_bucket, *s3_region, *s3_endpoint; /* region "" = us-east-1; endpoint "" = AWS */
	enum s3_addressing addressing;             /* default: path with an endpoint, else virtual */
	char *access_key, *secret_key, *session_token; /* "" = environment, then profile file */
	char *profile, *credentials_file;
	char *ca_file;      /* "" = the system's */
	bool tls_verify;
	char *proxy;        /* "" = none; the environment is not asked */
	/* both */
	int64_t connect_timeout_ms, first_byte_timeout_ms, stall_timeout_ms;
	uint32_t max_connections;
	/* accepted, without effect here */
	char *mount_point, *cargoship_endpoint;
	bool cargoship_enabled;
};

struct policy_rule {
	char *name;
	char *key_pattern;
	bool ops[OP_KIND_COUNT];     /* all false = all */
	bool roles[ROLE_COUNT];      /* all false = any role */
	char **target_sites;         /* names; NULL-terminated, or NULL */
	int priority;
	unsigned line;
};

struct conf {
	char *path;                  /* of the file; "" for defaults only */
	struct {
		char *cluster_name, *node_name, *log_level, *log_file, *user;
		bool metrics_enabled;
		uint32_t metrics_port;   /* 0: not set, metrics on the API's listener only */
		char *run_dir, *state_dir;
	} global;
	struct {
		char *listen_addr;       /* ":8090", "127.0.0.1:8090", "[::1]:8090" */
		char *api_key;           /* "" = none; flag and GLOBALFS_API_KEY win */
		uint32_t workers;        /* 0: one per CPU */
		char **etcd_endpoints;   /* NULL-terminated; empty by default */
		int64_t lease_timeout_ms, health_check_interval_ms, shutdown_timeout_ms;
	} coordinator;
	struct site_conf *sites;
	size_t n_sites;
	struct policy_rule *rules;
	size_t n_rules;
	struct {
		uint32_t max_concurrent_transfers;
		uint64_t transfer_chunk_size, cache_size;
	} performance;
	struct {
		int64_t health_poll_interval_ms;  /* 0 = coordinator.health_check_interval */
		int64_t probe_timeout_ms;
		struct {
			bool enabled;
			uint32_t threshold;
			int64_t cooldown_ms;
		} circuit_breaker;
		struct {
			bool enabled;
			uint32_t max_attempts;
			int64_t initial_delay_ms, max_delay_ms;
			double multiplier;
		} retry;
	} resilience;
	struct {
		bool enabled;
		uint64_t max_bytes;
		int64_t ttl_ms;
	} cache;
	struct {
		uint64_t max_object_bytes;        /* 0 = none */
		uint32_t max_connections, max_head_bytes, max_headers;
		int64_t header_timeout_ms, idle_timeout_ms, stall_timeout_ms;
		uint64_t min_rate;                /* bytes/s below which a client's body is given up, measured over stall_timeout */
		uint64_t spool_bytes;             /* per worker */
	} limits;
	struct {
		char *root_bucket, *listen_addr, *region; /* listen_addr "" = the S3 door is shut */
	} s3;
	struct {
		enum route_order order;
		enum on_missing on_missing;
		uint32_t write_min;               /* 0 = all primaries */
		int64_t read_deadline_ms;         /* for the first byte, over all attempts */
		bool hedge;
		double hedge_share;               /* of the reads, that may be hedged */
	} routing;
	struct {
		int64_t in_doubt_ms;              /* before an intent whose owner died may be withdrawn */
		int64_t retry_initial_ms, retry_max_ms;
		uint32_t retry_attempts;          /* then the copy is parked */
	} replication;
	struct conf_origins *origins;    /* common/conf's own: where each value came from */
};

/* Errors are collected, not just the first: each is "FILE:LINE: field: sentence". Warnings likewise. */
struct conf_report {
	struct strbuf errors, warnings;
	unsigned n_errors, n_warnings;
};
void conf_report_free(struct conf_report *r);
/* To standard error, a line each: "WHO: warning: FILE:LINE: ..." and "WHO: FILE:LINE: ...". */
void conf_report_print(const struct conf_report *r, const char *who);

/* Loads and checks. path NULL = defaults only; fd >= 0: read from it instead (path is then the name for messages).
 * Returns 0 with *conf_out, or GFS_ERR_CONFIG (report says why), GFS_ERR_IO (likewise). */
int conf_load(const char *path, int fd, struct conf **conf_out, struct conf_report *report) GFS_MUST_USE;
int conf_load_text(const char *name, struct slice yaml, struct conf **conf_out, struct conf_report *report) GFS_MUST_USE;
void conf_destroy(struct conf **conf);

/* The effective configuration as YAML or JSON; with origins every line says "# default" or "# FILE:LINE". Secrets print as
 * "***". */
void conf_print_yaml(const struct conf *conf, bool origins, struct strbuf *out);
/* Durations in nanoseconds, sizes in bytes. */
void conf_print_json(const struct conf *conf, struct strbuf *out);
/* A commented template that itself validates. */
void conf_print_template(struct strbuf *out);
/* The schema as mdoc source for globalfs.yaml.5, one .It per key. */
void conf_print_mdoc(struct strbuf *out);

/* One site from the short form "file:///srv/a" or "s3://bucket[/prefix]?region=R&endpoint=URL&addressing=path"; fills
 * the fields of an initialised site. 0 or GFS_ERR_CONFIG with a sentence. */
int site_conf_from_uri(struct site_conf *site, struct slice uri, char *why, size_t cap) GFS_MUST_USE;
void site_conf_uri(const struct site_conf *site, struct strbuf *out); /* the short form, without credentials */
void site_conf_init(struct site_conf *site); /* the schema's defaults */
void site_conf_copy(struct site_conf *dst, const struct site_conf *src);
void site_conf_free(struct site_conf *site);
/* Checks one site by itself (name, role, bucket or path ...): 0 or GFS_ERR_CONFIG with field and sentence. */
int site_conf_check(const struct site_conf *site, const char **field_out, char *why, size_t cap) GFS_MUST_USE;

const char *site_role_name(enum site_role role);
bool site_role_parse(struct slice text, enum site_role *out);

/* "100ms", "30s", "1h30m", "0" -> ms. "64MiB", "1GB", "65536" -> bytes. 0 or GFS_ERR_INVALID. */
int conf_parse_duration(struct slice text, int64_t *ms_out) GFS_MUST_USE;
int conf_parse_size(struct slice text, uint64_t *bytes_out) GFS_MUST_USE;
void conf_format_duration(int64_t ms, char buf[32]);
void conf_format_size(uint64_t bytes, char buf[32]); /* exact: "64MiB", "65537" */

#endif
