/* SPDX-License-Identifier: Apache-2.0 */
/* Scratch folders: where scripts put temporary files. One per worker, empty at the start of every call. */
#pragma once
#include <limits.h>
#include <sys/types.h>
#include <tenon/types.h>

struct scratch {
    char path[PATH_MAX];
    int fd;      /* of the folder, -1 = none */
    int watched; /* the kernel tells when something is made in it */
};
/* Worker: makes ROOT/w-<pid> for user and group, mode 0700. */
tn_rc scratch_open(struct scratch *s, const char *root, uid_t uid, gid_t gid, tn_err *err);
/* Worker, main thread, with the rights it will have: from now on the kernel tells this thread when something is made
 * in the folder. Where it cannot, every scratch_clean() looks. */
void scratch_watch(struct scratch *s);
/* Worker, after a call: 1 when nothing was left or all of it could be removed at once, 0 when there is too
 * much: then the worker leaves, and the janitor does the rest. No system call when nothing was made, one when the
 * folder is not watched. */
int scratch_clean(struct scratch *s);
/* Removes what is in the folder; stops after `budget` entries (0: never). 1 = empty now. */
int scratch_empty(int fd, unsigned budget);

/* Zygote: the folder of a worker that has ended. 1 when something is left for the janitor. */
int scratch_ended(const char *root, pid_t pid);
/* Zygote, at its start: folders of workers that are gone. 1 when there is work for the janitor. */
int scratch_sweep(const char *root);
/* The janitor, a process of its own: empties and removes what was put aside. */
_Noreturn void scratch_janitor(const char *root);
