/* SPDX-License-Identifier: Apache-2.0 */
/* The clocks of the system, for I/O code; pure modules take the time as an argument. */
#include "config.h"

#include "clock.h"

#include <time.h>

static int64_t clock_us(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_mono_ms(void)
{
	return clock_us(CLOCK_MONOTONIC) / 1000;
}

int64_t clock_mono_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

int64_t clock_real_ms(void)
{
	return clock_us(CLOCK_REALTIME) / 1000;
}
