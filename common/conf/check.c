/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one row of the schema cannot say: rules across settings, sites and policy. All faults are reported, not just the first.
 * Called by load.c; pure but for the report.
 */
#include "config.h"

#include "schema.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "../gen.h"
#include "../log.h"
#include "pattern.h"

struct checker {
	const struct conf *conf;
	struct conf_report *report;
};

static unsigned line_of(const struct checker *ck, const char *path)
{
	const struct setting *row = schema_find(&schema_conf, slice_str(path));

	return row ? ck->conf->origins->conf[row - schema_conf.v] : 0;
}

/* Reports at the line of the setting. */
static void require(const struct checker *ck, bool good, const char *path, const char *text)
{
	if (!good)
		report_error(ck->report, ck->conf->path, line_of(ck, path), path, "%s", text);
}

int conf_check_addr(const char *addr, unsigned *port_out)
{
	const char *colon = strrchr(addr, ':'), *p;
	unsigned long port;
	char *end;

	if (!colon || !isdigit((unsigned char)colon[1]) || strlen(addr) > 255)
		return GFS_ERR_INVALID;
	port = strtoul(colon + 1, &end, 10);
	if (*end || port > 65535)
		return GFS_ERR_INVALID;
	if (port_out)
		*port_out = (unsigned)port;
	if (addr[0] == '[') {
		if (colon == addr || colon[-1] != ']' || colon - addr < 4)
			return GFS_ERR_INVALID;
		for (p = addr + 1; p < colon - 1; p++)
			if (!isxdigit((unsigned char)*p) && !strchr(":.%", *p))
				return GFS_ERR_INVALID;
		return 0;
	}
	for (p = addr; p < colon; p++)
		if (!isalnum((unsigned char)*p) && !strchr(".-_*", *p))
			return GFS_ERR_INVALID;
	return 0;
}

static bool absolute(const char *path)
{
	return path[0] == '/' && strlen(path) < 1024;
}

static void check_global(const struct checker *ck)
{
	const struct conf *c = ck->conf;
	enum log_level level;

	require(ck, c->global.cluster_name[0] != '\0', "global.cluster_name", "must not be empty");
	require(ck, strlen(c->global.cluster_name) <= 255, "global.cluster_name", "is longer than 255 bytes");
	require(ck, strlen(c->global.node_name) <= GEN_NODE_MAX && !strchr(c->global.node_name, '@') &&
	        gen_node_valid(slice_str(c->global.node_name)), "global.node_name", "must be at most 63 of A-Z a-z 0-9 . _ -");
	require(ck, log_parse_level(slice_str(c->global.log_level), &level), "global.log_level",
	        "must be DEBUG, INFO, WARN, WARNING or ERROR");
	require(ck, c->global.log_file[0] == '\0' || strcmp(c->global.log_file, "syslog") == 0 || absolute(c->global.log_file),
	        "global.log_file", "must be an absolute path, syslog, or empty");
	/* a Unix socket's address holds 107 bytes */
	require(ck, absolute(c->global.run_dir) && strlen(c->global.run_dir) <= 80, "global.run_dir",
	        "must be an absolute path of at most 80 bytes");
	require(ck, absolute(c->global.state_dir), "global.state_dir", "must be an absolute path");
}

static void check_addresses(const struct checker *ck)
{
	const struct conf *c = ck->conf;
	const char *form = "must be :PORT, HOST:PORT or [IPV6]:PORT";
	bool s3 = c->s3.listen_addr[0] != '\0';
	unsigned api_port = 0, s3_port = 0;

	require(ck, conf_check_addr(c->coordinator.listen_addr, &api_port) == 0, "coordinator.listen_addr", form);
	require(ck, !s3 || conf_check_addr(c->s3.listen_addr, &s3_port) == 0, "s3.listen_addr", form);
	require(ck, !s3 || s3_port == 0 || strcmp(c->s3.listen_addr, c->coordinator.listen_addr) != 0, "s3.listen_addr",
	        "is coordinator.listen_addr already");
	require(ck, c->global.metrics_port == 0 || c->global.metrics_port != api_port, "global.metrics_port",
	        "is the port of coordinator.listen_addr already: leave it out, /metrics is there too");
	require(ck, !s3 || c->global.metrics_port == 0 || c->global.metrics_port != s3_port, "global.metrics_port",
	        "is the port of s3.listen_addr already");
}

static void check_resilience(const struct checker *ck)
{
	const struct conf *c = ck->conf;

	if (c->resilience.retry.enabled) {
		require(ck, c->resilience.retry.max_attempts >= 1, "resilience.retry.max_attempts", "must be at least 1");
		require(ck, c->resilience.retry.multiplier >= 1.0, "resilience.retry.multiplier", "must be at least 1");
		require(ck, c->resilience.retry.max_delay_ms == 0 ||
		        c->resilience.retry.initial_delay_ms <= c->resilience.retry.max_delay_ms, "resilience.retry.initial_delay",
		        "must not be longer than resilience.retry.max_delay");
	}
	require(ck, c->resilience.health_poll_interval_ms >= 100, "resilience.health_poll_interval", "must be at least 100ms");
	require(ck, !c->cache.enabled || c->cache.max_bytes > 0, "cache.max_bytes", "must be more than 0 when the cache is enabled");
	require(ck, c->replication.retry_initial_ms <= c->replication.retry_max_ms, "replication.retry_initial",
	        "must not be longer than replication.retry_max");
}

/* ---- sites ---- */

static bool same_place(const struct site_conf *a, const struct site_conf *b)
{
	if (a->kind != b->kind || strcmp(a->prefix, b->prefix) != 0)
		return false;
	if (a->kind == SITE_KIND_FILE)
		return strcmp(a->file_path, b->file_path) == 0;
	return strcmp(a->s3_bucket, b->s3_bucket) == 0 && strcmp(a->s3_endpoint, b->s3_endpoint) == 0;
}

static void check_site(const struct checker *ck, size_t i)
{
	const struct conf *c = ck->conf;
	const struct site_conf *site = &c->sites[i];
	char field[96], why[256];
	const char *part;

	if (site->line == 0)
		return; /* load.c told already */
	if (site_conf_check(site, &part, why, sizeof(why)) != 0) {
		snprintf(field, sizeof(field), "sites[%zu].%s", i, part);
		report_error(ck->report, c->path, site->line, field, "%s", why);
		return;
	}
	if (site->cargoship_enabled && site->cargoship_endpoint[0] == '\0') {
		snprintf(field, sizeof(field), "sites[%zu].cargoship.endpoint", i);
		report_error(ck->report, c->path, site->line, field, "is missing, though cargoship.enabled is true");
	}
	for (size_t k = 0; k < i; k++) {
		if (c->sites[k].name && strcmp(c->sites[k].name, site->name) == 0) {
			snprintf(field, sizeof(field), "sites[%zu].name", i);
			report_error(ck->report, c->path, site->line, field, "'%s' is the name of sites[%zu] already", site->name, k);
		}
		if (same_place(&c->sites[k], site)) {
			snprintf(field, sizeof(field), "sites[%zu]", i);
			report_error(ck->report, c->path, site->line, field, "is the same place as sites[%zu] ('%s')", k, c->sites[k].name);
		}
	}
}

static void check_sites(const struct checker *ck)
{
	const struct conf *c = ck->conf;
	unsigned primaries = 0;

	for (size_t i = 0; i < c->n_sites; i++) {
		check_site(ck, i);
		primaries += c->sites[i].role == ROLE_PRIMARY;
	}
	if (c->n_sites == 0) {
		report_warning(ck->report, c->path, 0, "sites", "there are none yet: nothing can be stored until one is added");
		return;
	}
	if (c->n_sites > CONF_SITES_MAX)
		report_error(ck->report, c->path, c->sites[CONF_SITES_MAX].line, "sites", "are %zu: at most %d are served", c->n_sites,
		             CONF_SITES_MAX);
	if (primaries == 0)
		report_error(ck->report, c->path, c->sites[0].line, "sites", "at least one site must have the role primary");
	else if (c->routing.write_min > primaries)
		report_error(ck->report, c->path, line_of(ck, "routing.write_min"), "routing.write_min",
		             "is more than the number of primary sites (%u)", primaries);
}

/* ---- policy ---- */

static const struct site_conf *find_site(const struct conf *c, const char *name)
{
	for (size_t i = 0; i < c->n_sites; i++)
		if (strcmp(c->sites[i].name, name) == 0)
			return &c->sites[i];
	return NULL;
}

static bool rule_has_roles(const struct policy_rule *r)
{
	for (int i = 0; i < ROLE_COUNT; i++)
		if (r->roles[i])
			return true;
	return false;
}

static bool rule_takes(const struct policy_rule *r, const struct site_conf *site)
{
	if (rule_has_roles(r) && !r->roles[site->role])
		return false;
	if (strs_count(r->target_sites) == 0)
		return true;
	for (char **name = r->target_sites; *name; name++)
		if (strcmp(*name, site->name) == 0)
			return true;
	return false;
}

static void rule_error(const struct checker *ck, size_t i, const char *part, const char *text)
{
	char field[96];

	snprintf(field, sizeof(field), "policy.rules[%zu]%s%s", i, *part ? "." : "", part);
	report_error(ck->report, ck->conf->path, ck->conf->rules[i].line, field, "%s", text);
}

static void rule_warning(const struct checker *ck, size_t i, const char *part, const char *text)
{
	char field[96];

	snprintf(field, sizeof(field), "policy.rules[%zu].%s", i, part);
	report_warning(ck->report, ck->conf->path, ck->conf->rules[i].line, field, "%s", text);
}

static void check_rule_targets(const struct checker *ck, size_t i)
{
	const struct conf *c = ck->conf;
	const struct policy_rule *r = &c->rules[i];
	char text[256];
	bool known = true, taken = false;

	for (char **name = r->target_sites; name && *name; name++)
		if (!find_site(c, *name)) {
			snprintf(text, sizeof(text), "there is no site '%.63s'", *name);
			rule_error(ck, i, "target_sites", text);
			known = false;
		}
	for (size_t k = 0; k < c->n_sites; k++)
		taken |= rule_takes(r, &c->sites[k]);
	if (!known || taken || c->n_sites == 0)
		return;
	/* A name is taken, a role may still get its site at run time. */
	if (strs_count(r->target_sites))
		rule_error(ck, i, "", "its target_sites have none of its target_roles: what it matches could be stored nowhere");
	else
		rule_warning(ck, i, "target_roles", "no site has such a role yet: what it matches can be stored nowhere");
}

static bool rule_has_op(const struct policy_rule *r, int op)
{
	bool all = true;

	for (int i = 0; i < OP_KIND_COUNT; i++)
		all = all && !r->ops[i];
	return all || r->ops[op];
}

/* A rule that comes before this one and takes whatever it matches for this operation, or NULL. */
static const struct policy_rule *shadow_of(const struct conf *c, size_t i, int op)
{
	const struct policy_rule *r = &c->rules[i];

	for (size_t k = 0; k < c->n_rules; k++) {
		const struct policy_rule *other = &c->rules[k];
		bool before = other->priority < r->priority || (other->priority == r->priority && k < i);

		if (before && rule_has_op(other, op) && pattern_covers(slice_str(other->key_pattern), slice_str(r->key_pattern)))
			return other;
	}
	return NULL;
}

static void check_rule_reached(const struct checker *ck, size_t i)
{
	const struct policy_rule *r = &ck->conf->rules[i], *shadow = NULL, *last;
	char text[256];

	for (int op = 0; op < OP_KIND_COUNT; op++) {
		if (!rule_has_op(r, op))
			continue;
		last = shadow_of(ck->conf, i, op);
		if (!last)
			return;
		shadow = shadow ? shadow : last;
	}
	snprintf(text, sizeof(text), "can never match: rule '%.63s' (line %u) comes first and takes all that it could", shadow->name,
	         shadow->line);
	rule_error(ck, i, "", text);
}

static void check_rules(const struct checker *ck)
{
	const struct conf *c = ck->conf;
	const char *fault;

	for (size_t i = 0; i < c->n_rules; i++) {
		const struct policy_rule *r = &c->rules[i];

		if (r->name[0] == '\0')
			rule_error(ck, i, "name", "is missing");
		for (size_t k = 0; k < i && r->name[0]; k++)
			if (strcmp(c->rules[k].name, r->name) == 0)
				rule_error(ck, i, "name", "is the name of an earlier rule already");
		fault = pattern_fault(slice_str(r->key_pattern));
		if (fault)
			rule_error(ck, i, "key_pattern", fault);
		else
			check_rule_reached(ck, i);
		check_rule_targets(ck, i);
	}
}

static void check_legacy(const struct checker *ck)
{
	const struct conf *c = ck->conf;
	const struct conf_origins *o = c->origins;
	char field[64];

	for (size_t i = 0; i < o->n_legacy; i++) {
		const struct legacy_policy *p = &o->legacy[i];

		snprintf(field, sizeof(field), "policies[%zu]", i);
		if (p->name[0] == '\0')
			report_error(ck->report, c->path, p->line, field, "name is missing");
		if (p->path_pattern[0] == '\0')
			report_error(ck->report, c->path, p->line, field, "path_pattern is missing");
		if (p->primary[0] && !find_site(c, p->primary))
			report_error(ck->report, c->path, p->line, field, "primary: there is no site '%.63s'", p->primary);
		for (char **name = p->replicate_to; name && *name; name++)
			if (!find_site(c, *name))
				report_error(ck->report, c->path, p->line, field, "replicate_to: there is no site '%.63s'", *name);
	}
}

void conf_check(const struct conf *conf, struct conf_report *report)
{
	const struct checker ck = {conf, report};

	check_global(&ck);
	check_addresses(&ck);
	check_resilience(&ck);
	check_sites(&ck);
	check_rules(&ck);
	check_legacy(&ck);
}
