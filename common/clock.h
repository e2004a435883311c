/* SPDX-License-Identifier: Apache-2.0 */
/* Time. Pure modules take it as an argument; only I/O code asks here. */
#ifndef GFS_CLOCK_H
#define GFS_CLOCK_H

#include <stdint.h>

int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);
int64_t clock_real_ms(void); /* since 1970, UTC */

#endif
