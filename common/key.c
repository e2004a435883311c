/* SPDX-License-Identifier: Apache-2.0 */
/* Which keys are allowed: pure, called at every door and by every site. */
#include "config.h"

#include "key.h"

#include "utf8.h"

bool utf8_valid(struct slice s)
{
	size_t i, len;

	for (i = 0; i < s.n; i += len) {
		len = utf8_step(s.p + i, s.n - i);
		if (len == 0)
			return false;
	}
	return true;
}

static const char *segment_fault(struct slice seg, bool first)
{
	if (slice_eq_str(seg, ".") || slice_eq_str(seg, ".."))
		return "key has a segment \".\" or \"..\"";
	if (first && slice_eq_str(seg, KEY_RESERVED_DIR))
		return "keys under \".globalfs/\" are reserved";
	if (slice_starts_with(seg, SLICE_LIT(".gfs-")))
		return "segments that begin with \".gfs-\" are reserved";
	return NULL;
}

static const char *key_fault(struct slice key)
{
	const char *why = NULL;
	size_t start, end;

	if (key.n == 0)
		return "key is empty";
	if (key.n > KEY_MAX)
		return "key is longer than 1088 bytes";
	if (memchr(key.p, '\0', key.n))
		return "key holds a NUL byte";
	if (!utf8_valid(key))
		return "key is not valid UTF-8";
	for (start = 0; start <= key.n && !why; start = end + 1) {
		for (end = start; end < key.n && key.p[end] != '/'; end++)
			;
		why = segment_fault(slice_of(key.p + start, end - start), start == 0);
	}
	return why;
}

int key_check(struct slice key, const char **why_out)
{
	const char *why = key_fault(key);

	if (why_out)
		*why_out = why ? why : "";
	return why ? GFS_ERR_KEY_INVALID : 0;
}
