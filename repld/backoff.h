/* SPDX-License-Identifier: Apache-2.0 */
/* When a failed copy or delete is tried again, and when a site with an unknown outcome is asked again. Pure. */
#ifndef GFS_REPLD_BACKOFF_H
#define GFS_REPLD_BACKOFF_H

#include <stdint.h>

/* The wait after the attempts-th failure (1 = the first): initial, doubled each time, never above max; of that, half is fixed
 * and half chosen by random, so that many rows that failed together do not come back together. At least 1 ms. */
int64_t backoff_delay_ms(unsigned attempts, int64_t initial_ms, int64_t max_ms, uint64_t random);

/* A mutation with an unknown outcome may still surface: its site is asked again 1 s, 10 s, 1 min and 15 min after it. */
#define BACKOFF_WATCH_STEPS 4
/* The wait before check number step (1 to BACKOFF_WATCH_STEPS), counted from the check before it. */
int64_t backoff_watch_ms(unsigned step);

#endif
