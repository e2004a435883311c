/* SPDX-License-Identifier: Apache-2.0 */
/* The circuit of one site: see breaker.h. */
#include "config.h"

#include "breaker.h"

int64_t breaker_cooldown_ms(const struct breaker *b, const struct breaker_conf *conf)
{
	return conf->cooldown_ms << b->doublings;
}

static struct breaker breaker_open(struct breaker b, const struct breaker_conf *conf, bool doubled, int64_t now_ms)
{
	b.doublings = !doubled ? 0 : b.doublings < BREAKER_DOUBLINGS_MAX ? b.doublings + 1 : b.doublings;
	b.state = CIRCUIT_OPEN;
	b.was_open = true;
	b.opened_ms = now_ms;
	b.retry_ms = now_ms + breaker_cooldown_ms(&b, conf);
	return b;
}

struct breaker breaker_after_faults(struct breaker b, const struct breaker_conf *conf, unsigned run, int64_t now_ms)
{
	bool soon = b.was_open && now_ms - b.closed_ms < 2 * breaker_cooldown_ms(&b, conf);

	if (!conf->enabled || b.state != CIRCUIT_CLOSED || run < conf->threshold)
		return b;
	return breaker_open(b, conf, soon, now_ms);
}

struct breaker breaker_after_time(struct breaker b, int64_t now_ms)
{
	if (b.state == CIRCUIT_OPEN && now_ms >= b.retry_ms)
		b.state = CIRCUIT_HALF_OPEN;
	return b;
}

struct breaker breaker_after_probe(struct breaker b, const struct breaker_conf *conf, bool good, int64_t now_ms)
{
	if (b.state != CIRCUIT_HALF_OPEN)
		return b;
	if (!good)
		return breaker_open(b, conf, true, now_ms);
	b.state = CIRCUIT_CLOSED;
	b.closed_ms = now_ms;
	b.retry_ms = 0;
	return b;
}

struct breaker breaker_after_return(struct breaker b, const struct breaker_conf *conf, int64_t now_ms)
{
	int64_t first_ms = b.opened_ms + conf->cooldown_ms;

	if (b.state != CIRCUIT_OPEN)
		return b;
	if (first_ms < now_ms)
		first_ms = now_ms;
	if (first_ms < b.retry_ms)
		b.retry_ms = first_ms;
	return b;
}

struct breaker breaker_reopened(int64_t retry_ms, int64_t now_ms)
{
	return (struct breaker){.state = CIRCUIT_OPEN, .was_open = true, .opened_ms = now_ms, .retry_ms = retry_ms};
}
