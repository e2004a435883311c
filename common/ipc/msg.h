/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages: structs, pack and unpack, all from messages.def. On the wire a message is a msgpack array [type, id, {field: value}].
 * id: of the call it belongs to; 0 for a message that expects no reply. Each side numbers its own calls; in a reply the top
 * bit of the id is set (MSG_REPLY_BIT), so that a reply is never taken for a call. Channels set and clear that bit.
 *
 * Strings in a struct msg are slices that borrow: when packing from the caller, after unpacking from the frame. Lists after
 * unpacking belong to the message: msg_free() frees them.
 */
#ifndef GFS_MSG_H
#define GFS_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../error.h"
#include "../slice.h"
#include "../strbuf.h"

#define MSG_MAX_BYTES 65536
#define MSG_PROTO 1
#define MSG_REPLY_BIT ((uint64_t)1 << 63)

enum peer_role {
	PEER_NONE = 0,
	PEER_SUPERVISOR = 1,
	PEER_WORKER = 2,
	PEER_HEALTHD = 4,
	PEER_REPLD = 8,
	PEER_CACHED = 16,
	PEER_CTL = 32,
	PEER_MONITOR = 64, /* the read-only socket */
	PEER_ANY = 127,
};

enum msg_type {
#define MESSAGE(name, NAME, number, senders, prose) MSG_##NAME = number,
#include "messages.def"
#undef MESSAGE
};

/* Bits of LOCATED_MANY's flags. */
#define MSG_LOCATED_KNOWN   1u
#define MSG_LOCATED_DELETED 2u
#define MSG_LOCATED_DECIDED 4u

struct msg_u64s {
	const uint64_t *v;
	size_t n;
};
struct msg_strs {
	const struct slice *v;
	size_t n;
};

#define MSG_C_U64 uint64_t
#define MSG_C_I64 int64_t
#define MSG_C_BOOL bool
#define MSG_C_STR struct slice
#define MSG_C_U64S struct msg_u64s
#define MSG_C_STRS struct msg_strs
#define MSG_MEMBER_REQ(name, type) MSG_C_##type name;
#define MSG_MEMBER_OPT(name, type) bool has_##name; MSG_C_##type name;
#define MSG_MEMBER(name, type, need, prose) MSG_MEMBER_##need(name, type)
#define MESSAGE(name, NAME, number, senders, prose) struct msg_##name { MSG_FIELDS_##name(MSG_MEMBER) };
#include "messages.def"
#undef MESSAGE
#undef MSG_MEMBER

struct msg {
	enum msg_type type;
	uint64_t id;
	union {
#define MESSAGE(name, NAME, number, senders, prose) struct msg_##name name;
#include "messages.def"
#undef MESSAGE
	};
};

const char *msg_name(int type);       /* "BEGIN"; "unknown" */
unsigned msg_senders(int type);       /* enum peer_role bits; 0 for an unknown type */
const char *peer_role_name(unsigned role); /* "worker" */

/* Appends the frame. 0, GFS_ERR_TOO_LARGE past MSG_MAX_BYTES, GFS_ERR_NOMEM. */
int msg_pack(const struct msg *m, struct strbuf *out) GFS_MUST_USE;
/* Walks the whole frame before it allocates anything. Unknown fields are ignored. 0; GFS_ERR_PROTOCOL for a malformed frame, an
 * unknown type, a missing, mistyped or doubled field; GFS_ERR_NOMEM. */
int msg_unpack(const void *p, size_t n, struct msg *out) GFS_MUST_USE;
void msg_free(struct msg *m);
/* "BEGIN id=4 key=a/b op=1 ..." for debug logs */
void msg_dump(const struct msg *m, struct strbuf *out);

#endif
