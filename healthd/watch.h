/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watch over one site: probes it at once, then every interval with jitter (sooner while its state is in question, or when
 * traffic fails), each probe under a deadline; takes what workers and repld tell of it; feeds verdict, breaker and latency and
 * publishes what they say. A site in its first use is claimed instead of probed: its marker is written once, and the supervisor is
 * told. watch.c asks the site, watch_judge.c draws the conclusions.
 */
#ifndef GFS_WATCH_H
#define GFS_WATCH_H

#include "breaker.h"
#include "healthd.h"
#include "latency.h"
#include "runs.h"
#include "verdict.h"

struct msg_outcomes;
struct site_op;

/* What traffic told, over all processes. */
struct watch_traffic {
	uint64_t goods, faults; /* ever */
	struct runs runs;
	int64_t fault_ms;       /* real time of the last fault, 0: none */
	int64_t trouble_ms;     /* monotonic time at which a reader last waited in vain, 0: never */
};

struct watch {
	struct healthd *h;
	uint32_t id;
	const struct site_conf *conf; /* of the table in use */
	bool claimed;
	struct site *site;            /* NULL when it could not be opened: then the reason is in status */
	struct site_op *probe;        /* running, or NULL */
	bool claiming;                /* a claim runs: it cannot be cancelled, so a watch that ends meanwhile lives until it is done */
	bool ended;
	int64_t started_us;           /* of the last probe or claim, monotonic */
	int64_t asked_us, late_ms;    /* of its last attempt, which is late after so long */
	struct event *timer;          /* the next probe */
	struct event *deadline;       /* of the running one */
	struct event *late;           /* when the running one is late, while traffic fails */
	struct event *retry;          /* the end of the circuit's cooldown */
	uint64_t probes_good, probes_failed;
	struct verdict verdict;
	struct breaker breaker;
	struct latency latency;
	struct watch_traffic traffic;
	struct site_status status;    /* as published */
};

/* before: the site's row on the board when it is to be believed, or NULL. */
struct watch *watch_create(struct healthd *h, const struct site_conf *conf, const struct site_status *before);
void watch_destroy(struct watch **w); /* the row on the board stays */
bool watch_is_asking(const struct watch *w); /* a probe or claim runs */
/* Unless one runs or ran a moment ago. */
void watch_probe_soon(struct watch *w);

/* ---- watch_judge.c ---- */
/* err 0 = a good probe. */
void watch_judge_probe(struct watch *w, int err, const char *reason, int64_t latency_us);
void watch_judge_outcomes(struct watch *w, const struct msg_outcomes *m);
void watch_judge_late(struct watch *w);  /* the probe that runs is late, and traffic fails */
void watch_judge_retry(struct watch *w); /* the cooldown of its circuit is over */
void watch_restore(struct watch *w, const struct site_status *before);
void watch_publish(struct watch *w);
/* How long a probe may take before it is called late. */
int64_t watch_late_ms(const struct watch *w);

#endif
