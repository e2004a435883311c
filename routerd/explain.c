/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The routing of a read in words, for people who ask why: pure, see route.h. Says what route.c ranked a site by, in the order in
 * which it counts.
 */
#include "config.h"

#include "route.h"

#include <stdio.h>
#include <time.h>

static void add_names(char *const *names, struct strbuf *out)
{
	for (char *const *name = names; *name; name++)
		strbuf_addf(out, "%s%s", name == names ? "" : ", ", *name);
}

/* Why the rule leaves the site out. */
static void explain_unrouted(const struct policy_rule *rule, struct strbuf *out)
{
	bool any = false, names = rule && rule->target_sites && rule->target_sites[0];

	strbuf_addf(out, "rule %s sends reads to ", rule && rule->name ? rule->name : "");
	for (int r = 0; rule && r < ROLE_COUNT; r++) {
		if (!rule->roles[r])
			continue;
		strbuf_addf(out, "%s%s", any ? " and " : "", site_role_name((enum site_role)r));
		any = true;
	}
	strbuf_adds(out, any && names ? " sites among " : any ? " sites" : "");
	if (names)
		add_names(rule->target_sites, out);
	strbuf_adds(out, " only");
}

static void add_place(unsigned place, struct strbuf *out)
{
	static const char *const words[] = {"first", "second", "third"};
	unsigned teens = place % 100;

	if (place <= 3)
		strbuf_adds(out, words[place - 1]);
	else
		strbuf_addf(out, "%u%s", place, teens >= 11 && teens <= 13 ? "th" : place % 10 == 1 ? "st" : place % 10 == 2 ? "nd"
		                        : place % 10 == 3 ? "rd" : "th");
}

static void add_nearness(const struct route_site *s, struct strbuf *out)
{
	if (s->nearness == 0)
		strbuf_adds(out, ", never measured");
	else
		strbuf_addf(out, ", number %u by latency (%.1f ms)", s->nearness, (double)s->latency_us / 1000);
}

static void add_reason(const char *before, const char *reason, struct strbuf *out)
{
	if (reason[0])
		strbuf_addf(out, "%s%s", before, reason);
}

static void add_circuit(const struct route_case *c, struct strbuf *out)
{
	time_t until = (time_t)(c->retry_ms / 1000);
	struct tm tm;
	char text[16];

	if (c->site->circuit == CIRCUIT_HALF_OPEN) {
		strbuf_adds(out, ", circuit half-open");
	} else if (c->site->circuit == CIRCUIT_OPEN) {
		strbuf_adds(out, ", circuit open");
		if (c->retry_ms > 0 && gmtime_r(&until, &tm) && strftime(text, sizeof(text), "%H:%M:%S", &tm))
			strbuf_addf(out, " until %s UTC", text);
	} else {
		return;
	}
	add_reason(", site: ", c->reason, out);
}

static void add_health(const struct route_case *c, struct strbuf *out)
{
	switch (c->site->state) {
	case SITE_STATE_UP:
		strbuf_adds(out, ", up");
		break;
	case SITE_STATE_UNKNOWN:
		strbuf_adds(out, ", health not known");
		break;
	default:
		strbuf_addf(out, ", %s", site_state_name(c->site->state));
		if (c->site->circuit == CIRCUIT_CLOSED)
			add_reason(": ", c->reason, out);
	}
	add_circuit(c, out);
}

void route_explain(const struct route_case *c, struct strbuf *out)
{
	if (c->place == 0) {
		explain_unrouted(c->rule, out);
		return;
	}
	add_place(c->place, out);
	strbuf_addf(out, ": %s", site_role_name(c->site->conf->role));
	if (c->order == ORDER_LATENCY)
		add_nearness(c->site, out);
	add_health(c, out);
	if (c->site->conf->drained)
		strbuf_adds(out, ", drained: a last resort");
	else if (route_site_rests(c->site))
		strbuf_adds(out, ", not in use yet: a last resort");
	if (!c->currency_known)
		strbuf_adds(out, ", whether it is current is not known");
	else if (!c->site->stale)
		strbuf_adds(out, ", current");
	else if (c->lacks[0])
		strbuf_addf(out, ", lags: has not got generation %s yet", c->lacks);
	else
		strbuf_adds(out, ", lags: a newer write may not have reached it yet");
}
