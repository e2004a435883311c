/* SPDX-License-Identifier: Apache-2.0 */
/* HELLO, see hello.h. */
#include "config.h"

#include "hello.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../proc.h"

#define PEER_DAEMONS (PEER_SUPERVISOR | PEER_WORKER | PEER_HEALTHD | PEER_REPLD | PEER_CACHED)

void hello_fill(enum peer_role self, struct msg *out)
{
	pid_t pid = getpid();

	*out = (struct msg){.type = MSG_HELLO};
	out->hello.role = self;
	out->hello.proto = MSG_PROTO;
	out->hello.build = slice_str(PACKAGE_VERSION);
	out->hello.pid = (uint64_t)pid;
	out->hello.start = proc_start_time(pid);
}

/* A daemon's role is for processes of our own user or root; root itself (the supervisor) listens to children that have dropped
 * privileges and knows them by pid. */
static bool uid_may_be_daemon(uid_t uid)
{
	uid_t mine = geteuid();

	return uid == mine || uid == 0 || mine == 0;
}

static bool role_known(uint64_t role)
{
	return role && (role & (role - 1)) == 0 && (role & ~(uint64_t)(PEER_DAEMONS | PEER_CTL)) == 0;
}

int hello_check(const struct msg *m, int sock, enum peer_role self, bool monitor, struct hello_peer *out,
                char *why, size_t cap)
{
	const struct msg_hello *h = &m->hello;
	struct ucred cred = {0};
	socklen_t len = sizeof(cred);
	uint64_t start;

	memset(out, 0, sizeof(*out));
	if (m->type != MSG_HELLO) {
		snprintf(why, cap, "first message is %s, not HELLO", msg_name((int)m->type));
		return GFS_ERR_PROTOCOL;
	}
	if (h->proto != MSG_PROTO) {
		snprintf(why, cap, "peer (build %.*s) speaks protocol %" PRIu64 ", this program (build %s) speaks %d: "
		         "restart the older one",
		         (int)(h->build.n < 40 ? h->build.n : 40), h->build.p, h->proto, PACKAGE_VERSION, MSG_PROTO);
		return GFS_ERR_VERSION;
	}
	if (!role_known(h->role)) {
		snprintf(why, cap, "HELLO with unknown role %" PRIu64, h->role);
		return GFS_ERR_PROTOCOL;
	}
	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) || h->pid != (uint64_t)cred.pid) {
		snprintf(why, cap, "HELLO says pid %" PRIu64 ", the kernel says %d", h->pid, (int)cred.pid);
		return GFS_ERR_FORBIDDEN;
	}
	start = proc_start_time(cred.pid);
	if (start && start != h->start) {
		snprintf(why, cap, "HELLO tells a wrong start time of pid %d", (int)cred.pid);
		return GFS_ERR_FORBIDDEN;
	}
	if (monitor ? h->role != PEER_CTL : (h->role & PEER_DAEMONS) && self != PEER_CTL && !uid_may_be_daemon(cred.uid)) {
		snprintf(why, cap, "user %u may not connect as %s here", (unsigned)cred.uid, peer_role_name((unsigned)h->role));
		return GFS_ERR_FORBIDDEN;
	}
	*out = (struct hello_peer){monitor ? PEER_MONITOR : (enum peer_role)h->role, cred.pid, cred.uid, h->start};
	return GFS_OK;
}
