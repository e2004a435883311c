/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of the supervisor's start that touch the system: configuration, directories, doors, privileges, background. Each
 * step returns -1 to go on or the exit code, having said why on stderr or in the log.
 */
#ifndef GFS_START_H
#define GFS_START_H

struct supervisor;

int start_conf(struct supervisor *s);
/* "syslog" when there is no log file and no terminal to write to, for the children too; NULL: as configured. */
const char *start_log_dest(const struct supervisor *s);
int start_log(struct supervisor *s);
/* Goes to the background unless -f; the waiting process ends with what start_done() or our death tells. */
int start_background(struct supervisor *s);
/* run_dir and state_dir, and that no other supervisor runs on them. */
int start_dirs(struct supervisor *s);
int start_doors(struct supervisor *s);
int start_privileges(struct supervisor *s);
int start_boards(struct supervisor *s);
void start_done(struct supervisor *s);

#endif
