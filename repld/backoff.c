/* SPDX-License-Identifier: Apache-2.0 */
/* Exponential back-off with jitter, and the schedule of re-checks. Pure: no time, no random numbers of its own. */
#include "config.h"

#include "backoff.h"

int64_t backoff_delay_ms(unsigned attempts, int64_t initial_ms, int64_t max_ms, uint64_t random)
{
	int64_t delay = initial_ms < 1 ? 1 : initial_ms;

	if (max_ms < delay)
		max_ms = delay;
	for (unsigned i = 1; i < attempts && delay < max_ms; i++)
		delay = delay > max_ms / 2 ? max_ms : delay * 2;
	int64_t fixed = delay - delay / 2;
	return fixed + (int64_t)(random % (uint64_t)(delay - fixed + 1));
}

int64_t backoff_watch_ms(unsigned step)
{
	static const int64_t after_ms[BACKOFF_WATCH_STEPS] = {1000, 9000, 50000, 840000};

	if (step < 1)
		step = 1;
	return after_ms[(step > BACKOFF_WATCH_STEPS ? BACKOFF_WATCH_STEPS : step) - 1];
}
