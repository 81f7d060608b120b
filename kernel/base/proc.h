/* SPDX-License-Identifier: Apache-2.0 */
/* Processes: pidfds, sub-reaping, finding and killing descendants. */
#pragma once
#include <stddef.h>
#include <sys/types.h>

int proc_pidfd(pid_t pid); /* -1 errno */
int proc_subreaper(void);  /* orphans of descendants come to us */
/* Children of this process by /proc/self/task/self/children (works for the single-threaded
 * zygote and supervisor). Returns the count, at most cap are stored; -1 errno. */
int proc_children(pid_t *ret, size_t cap);
/* The same by the parents in /proc/PID/stat: slower, but every kernel has that; proc_children falls
 * back to it by itself. */
int proc_children_scan(pid_t *ret, size_t cap);
/* SIGKILL and reap every child that is not in keep[], again and again until none is left (their own
 * children are adopted through sub-reaping). Returns how many were killed. */
int proc_kill_strays(const pid_t *keep, size_t nkeep);
void proc_title(const char *title);             /* PR_SET_NAME, cut at 15 bytes */
long proc_memory(pid_t pid, const char *field); /* kB from /proc/PID/smaps_rollup, e.g.
                                                               "Private_Dirty"; -1 */
