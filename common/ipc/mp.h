/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A strict reader of msgpack frames for bytes that nobody vouches for: a cursor over the frame that never allocates, never
 * reads past the end, and checks every count against the bytes that are left. msgpack-c's own unpacker reserves memory by what
 * a frame claims, before it looks at what the frame holds. Format: the msgpack specification, "Formats". Writing is
 * msgpack-c's packer.
 */
#ifndef GFS_MP_H
#define GFS_MP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../error.h"
#include "../slice.h"

struct mp {
	const uint8_t *p, *end;
};

static inline struct mp mp_init(const void *p, size_t n)
{
	const uint8_t *b = p;

	return (struct mp){b, b + n};
}

/* Each takes one value off the front: true, or false with the cursor anywhere when the value is of another type, does not fit
 * or is cut short. */
bool mp_u64(struct mp *r, uint64_t *out);
bool mp_i64(struct mp *r, int64_t *out);
bool mp_bool(struct mp *r, bool *out);
bool mp_str(struct mp *r, struct slice *out); /* str or bin; borrows from the frame */
bool mp_array(struct mp *r, size_t *n_out);   /* at least n bytes follow */
bool mp_map(struct mp *r, size_t *n_out);     /* at least 2n bytes follow */
bool mp_skip(struct mp *r);                   /* any value, nested at most MP_DEPTH_MAX deep */

#define MP_DEPTH_MAX 16

#endif
