/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answering SHOW (a daemon's control.c). A document larger than one frame goes out in pieces, from a snapshot that the channel
 * keeps until it has been read, so that the pieces fit together:
 *
 *   if (!show_resume(ch, m))
 *           show_reply(ch, m, &json);   json: the document for m->show.what
 */
#ifndef GFS_SHOW_H
#define GFS_SHOW_H

#include "channel.h"

/* True when m asked for the rest of a document that is being read, and has been answered. */
bool show_resume(struct channel *ch, const struct msg *m);
/* Answers with the document's piece at m->show.offset; takes json's bytes. A failed json is answered with an error. */
void show_reply(struct channel *ch, const struct msg *m, struct strbuf *json);

#endif
