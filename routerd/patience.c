/* SPDX-License-Identifier: Apache-2.0 */
/* Waits of a read and the budget of hedges: pure, see patience.h. */
#include "config.h"

#include "patience.h"

#define PATIENCE_MIN_MS 500
#define PATIENCE_UNKNOWN_MS 2000
#define PATIENCE_TIMES_P95 16
#define HEDGE_FLOOR_US 2000 /* below that a second request costs more than it gains */
#define HEDGE_BURST_READS 200 /* what so many reads earn can be saved up, */
#define HEDGE_BURST_MAX 10.0  /* but no more hedges than that */
#define HEDGE_RECENT 64     /* then what was counted so far counts half */
#define HEDGE_ENOUGH 16     /* below that nothing is concluded */
#define HEDGE_WORTH 8       /* one in so many must win */
#define HEDGE_BROWNOUT 10.0  /* then so many times fewer are sent */

int64_t patience_ms(int64_t p95_us)
{
	int64_t ms;

	if (p95_us <= 0)
		return PATIENCE_UNKNOWN_MS;
	if (p95_us >= (int64_t)PATIENCE_MAX_MS * 1000)
		return PATIENCE_MAX_MS;
	ms = p95_us * PATIENCE_TIMES_P95 / 1000;
	if (ms < PATIENCE_MIN_MS)
		return PATIENCE_MIN_MS;
	return ms < PATIENCE_MAX_MS ? ms : PATIENCE_MAX_MS;
}

int64_t patience_hedge_us(int64_t p95_us)
{
	if (p95_us <= 0)
		return 0;
	return p95_us > HEDGE_FLOOR_US ? p95_us : HEDGE_FLOOR_US;
}

int64_t patience_retry_ms(const struct conf *conf, unsigned n, uint64_t chance)
{
	const double most = (double)conf->resilience.retry.max_delay_ms;
	double ms = (double)conf->resilience.retry.initial_delay_ms;

	for (unsigned i = 0; i < n && ms < most && conf->resilience.retry.multiplier > 1; i++)
		ms *= conf->resilience.retry.multiplier;
	if (ms > most)
		ms = most;
	return ms < 1 ? 0 : (int64_t)(chance % ((uint64_t)ms + 1));
}

bool hedge_budget_brownout(const struct hedge_budget *b)
{
	return b->sent >= HEDGE_ENOUGH && b->won * HEDGE_WORTH < b->sent;
}

void hedge_budget_earn(struct hedge_budget *b, double share)
{
	double most = share * HEDGE_BURST_READS;

	if (share > 0 && most < 1)
		most = 1;
	if (most > HEDGE_BURST_MAX)
		most = HEDGE_BURST_MAX;
	b->saved += hedge_budget_brownout(b) ? share / HEDGE_BROWNOUT : share;
	if (!b->begun || b->saved > most)
		b->saved = most;
	b->begun = true;
}

bool hedge_budget_take(struct hedge_budget *b)
{
	if (b->saved < 1)
		return false;
	b->saved -= 1;
	if (++b->sent >= HEDGE_RECENT) {
		b->sent /= 2;
		b->won /= 2;
	}
	return true;
}

void hedge_budget_won(struct hedge_budget *b)
{
	if (b->won < b->sent)
		b->won++;
}
