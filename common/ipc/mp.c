/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The strict msgpack reader behind msg.c. One function reads a value's head (kind, number, count) and everything else
 * asks it, so that there is one place where a byte of the frame is trusted.
 */
#include "config.h"

#include "mp.h"

#include <string.h>

enum mp_kind { MP_NIL, MP_BOOL, MP_UINT, MP_NEG, MP_FLOAT, MP_BYTES, MP_ARRAY, MP_MAP, MP_EXT };

struct mp_head {
	enum mp_kind kind;
	uint64_t u; /* the number (MP_NEG: two's complement), 0 or 1, or the count of bytes, elements or pairs */
};

static bool mp_be(struct mp *r, size_t width, uint64_t *out)
{
	uint64_t v = 0;

	if ((size_t)(r->end - r->p) < width)
		return false;
	for (size_t i = 0; i < width; i++)
		v = v << 8 | *r->p++;
	*out = v;
	return true;
}

static bool mp_int(struct mp *r, size_t width, struct mp_head *h)
{
	unsigned shift = 64 - 8 * (unsigned)width;

	if (!mp_be(r, width, &h->u))
		return false;
	/* sign-extend */
	if (h->u >> (8 * width - 1)) {
		h->kind = MP_NEG;
		h->u |= shift ? ~(uint64_t)0 << (64 - shift) : 0;
	} else {
		h->kind = MP_UINT;
	}
	return true;
}

/* Heads with a byte of their own, 0xc0 to 0xdf. */
static bool mp_head_long(struct mp *r, uint8_t b, struct mp_head *h)
{
	static const struct {
		uint8_t kind, width;
	} t[32] = {
		[0x00] = {MP_NIL, 0}, [0x02] = {MP_BOOL, 0}, [0x03] = {MP_BOOL, 0},
		[0x04] = {MP_BYTES, 1}, [0x05] = {MP_BYTES, 2}, [0x06] = {MP_BYTES, 4},
		[0x07] = {MP_EXT, 1}, [0x08] = {MP_EXT, 2}, [0x09] = {MP_EXT, 4},
		[0x0a] = {MP_FLOAT, 4}, [0x0b] = {MP_FLOAT, 8},
		[0x0c] = {MP_UINT, 1}, [0x0d] = {MP_UINT, 2}, [0x0e] = {MP_UINT, 4}, [0x0f] = {MP_UINT, 8},
		[0x19] = {MP_BYTES, 1}, [0x1a] = {MP_BYTES, 2}, [0x1b] = {MP_BYTES, 4},
		[0x1c] = {MP_ARRAY, 2}, [0x1d] = {MP_ARRAY, 4}, [0x1e] = {MP_MAP, 2}, [0x1f] = {MP_MAP, 4},
	};
	uint8_t i = b & 0x1f;

	if (b == 0xc1) /* never used, by the specification */
		return false;
	if (b >= 0xd0 && b <= 0xd3)
		return mp_int(r, (size_t)1 << (b - 0xd0), h);
	if (b >= 0xd4 && b <= 0xd8) {
		h->kind = MP_EXT;
		h->u = (uint64_t)1 << (b - 0xd4);
		return true;
	}
	h->kind = t[i].kind;
	h->u = h->kind == MP_BOOL ? b & 1 : 0;
	return t[i].width == 0 || mp_be(r, t[i].width, &h->u);
}

/* How many bytes at least must follow a head. */
static uint64_t mp_min_bytes(const struct mp_head *h)
{
	switch (h->kind) {
	case MP_BYTES:
	case MP_ARRAY:
		return h->u;
	case MP_MAP:
		return 2 * h->u;
	case MP_EXT:
		return h->u + 1;
	default:
		return 0;
	}
}

static bool mp_head(struct mp *r, struct mp_head *h)
{
	uint8_t b;

	if (r->p == r->end)
		return false;
	b = *r->p++;
	if (b < 0x80)
		*h = (struct mp_head){MP_UINT, b};
	else if (b < 0x90)
		*h = (struct mp_head){MP_MAP, b & 0x0f};
	else if (b < 0xa0)
		*h = (struct mp_head){MP_ARRAY, b & 0x0f};
	else if (b < 0xc0)
		*h = (struct mp_head){MP_BYTES, b & 0x1f};
	else if (b >= 0xe0)
		*h = (struct mp_head){MP_NEG, (uint64_t)(int64_t)(int8_t)b};
	else if (!mp_head_long(r, b, h))
		return false;
	return mp_min_bytes(h) <= (uint64_t)(r->end - r->p);
}

bool mp_u64(struct mp *r, uint64_t *out)
{
	struct mp_head h;

	if (!mp_head(r, &h) || h.kind != MP_UINT)
		return false;
	*out = h.u;
	return true;
}

bool mp_i64(struct mp *r, int64_t *out)
{
	struct mp_head h;

	if (!mp_head(r, &h) || (h.kind != MP_NEG && (h.kind != MP_UINT || h.u > INT64_MAX)))
		return false;
	memcpy(out, &h.u, sizeof(*out));
	return true;
}

bool mp_bool(struct mp *r, bool *out)
{
	struct mp_head h;

	if (!mp_head(r, &h) || h.kind != MP_BOOL)
		return false;
	*out = h.u;
	return true;
}

bool mp_str(struct mp *r, struct slice *out)
{
	struct mp_head h;

	if (!mp_head(r, &h) || h.kind != MP_BYTES)
		return false;
	*out = slice_of((const char *)r->p, (size_t)h.u);
	r->p += h.u;
	return true;
}

static bool mp_count(struct mp *r, enum mp_kind kind, size_t *n_out)
{
	struct mp_head h;

	if (!mp_head(r, &h) || h.kind != kind)
		return false;
	*n_out = (size_t)h.u;
	return true;
}

bool mp_array(struct mp *r, size_t *n_out)
{
	return mp_count(r, MP_ARRAY, n_out);
}

bool mp_map(struct mp *r, size_t *n_out)
{
	return mp_count(r, MP_MAP, n_out);
}

/* Without recursion: left[] counts the values still to come on each level. Float bytes were consumed with their head. */
bool mp_skip(struct mp *r)
{
	uint64_t left[MP_DEPTH_MAX + 1] = {1};
	size_t depth = 0;

	for (;;) {
		struct mp_head h;

		while (left[depth] == 0) {
			if (depth-- == 0)
				return true;
		}
		left[depth]--;
		if (!mp_head(r, &h))
			return false;
		if (h.kind == MP_BYTES || h.kind == MP_EXT) {
			r->p += mp_min_bytes(&h);
		} else if (h.kind == MP_ARRAY || h.kind == MP_MAP) {
			if (depth == MP_DEPTH_MAX)
				return false;
			left[++depth] = mp_min_bytes(&h);
		}
	}
}
