/* SPDX-License-Identifier: Apache-2.0 */
/* Waits of a read and the budget of hedges: pure, see patience.h. */
#include "config.h"

#include "patience.h"

#define PATIENCE_MIN_MS 500
#define PATIENCE_MAX_MS 5000
#define PATIENCE_TIMES_P95 16
#define HEDGE_FLOOR_US 2000 /* below that a second request costs more than it gains */
#define HEDGE_BURST 10.0
#define HEDGE_RECENT 64     /* then what was counted so far counts half */
#define HEDGE_ENOUGH 16     /* below that nothing is concluded */
#define HEDGE_WORTH 8       /* one in so many must win */
#define HEDGE_BROWNOUT_COST 10.0

int64_t patience_ms(int64_t p95_us)
{
	int64_t ms;

	if (p95_us <= 0 || p95_us >= (int64_t)PATIENCE_MAX_MS * 1000)
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

void hedge_budget_earn(struct hedge_budget *b, double share)
{
	b->saved = b->begun ? b->saved + share : HEDGE_BURST;
	b->begun = true;
	if (b->saved > HEDGE_BURST)
		b->saved = HEDGE_BURST;
}

bool hedge_budget_brownout(const struct hedge_budget *b)
{
	return b->sent >= HEDGE_ENOUGH && b->won * HEDGE_WORTH < b->sent;
}

bool hedge_budget_take(struct hedge_budget *b)
{
	double cost = hedge_budget_brownout(b) ? HEDGE_BROWNOUT_COST : 1;

	if (b->saved < cost)
		return false;
	b->saved -= cost;
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
