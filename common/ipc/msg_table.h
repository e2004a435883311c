/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The message table as data, filled from messages.def in msg.c: one row per message, one field table per row with the place
 * of each field in struct msg. The generic pack, unpack and dump run on it; so do the unit tests, the fuzz corpus and the
 * program that prints the table of gfs-ipc(7).
 */
#ifndef GFS_MSG_TABLE_H
#define GFS_MSG_TABLE_H

#include "msg.h"

enum msg_field_type { MSG_F_U64, MSG_F_I64, MSG_F_BOOL, MSG_F_STR, MSG_F_U64S, MSG_F_STRS };

#define MSG_FIELDS_MAX 32 /* of one message; a set of fields fits in a uint32_t */

struct msg_field {
	const char *name;
	enum msg_field_type type;
	bool required;
	size_t off;     /* of the value in struct msg */
	size_t has_off; /* of has_<field>; unused when required */
	const char *prose;
};

struct msg_row {
	int type;
	const char *name;  /* "BEGIN" */
	unsigned senders;  /* enum peer_role bits */
	const char *prose;
	const struct msg_field *(*fields)(size_t *n_out);
};

const struct msg_row *msg_table_row(int type);   /* NULL when there is no such message */
const struct msg_row *msg_table_next(const struct msg_row *after); /* NULL: first; returns NULL at the end; by number */
const char *msg_field_type_name(enum msg_field_type type);

#endif
