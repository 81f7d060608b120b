/* SPDX-License-Identifier: Apache-2.0 */
/* Dying at a named place, in test builds. */
#include "kernel/base/killpoint.h"

#ifdef TN_TEST_BUILD
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void killpoint(const char *name)
{
    static _Atomic long passed; /* per process; only one point is armed at a time */
    const char *armed = getenv("TENON_TEST_KILLPOINT");
    size_t n = strlen(name);
    char *file;
    if (!armed || strncmp(armed, name, n) != 0 || armed[n] != ':') {
        return;
    }
    long at = strtol(armed + n + 1, &file, 10);
    if (*file == ':' && atomic_fetch_add(&passed, 1) + 1 >= at && unlink(file + 1) == 0) {
        kill(getpid(), SIGKILL);
    }
}
#else
typedef int killpoint_none; /* a file may not be empty (C11 6.9) */
#endif
