/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor's parts. One thread, no plugins. */
#pragma once
#include "kernel/conf/settings.h"
#include <sys/types.h>

#define LISTEN_MAX 16

struct listeners {
    int fds[LISTEN_MAX];
    unsigned n;
};
/* Binds every address of the comma-separated list ("ADDR:PORT", "[ADDR6]:PORT", ":PORT" = all). */
tn_rc listen_open(struct listeners *l, const char *list, tn_err *err);
void listen_close(struct listeners *l);

/* Creates the data folder (0700) and takes its lock; a held lock is TN_E_CONFLICT naming the holder. */
tn_rc lock_take(const char *data, int *ret_fd, tn_err *err);

/* sd_notify(3) without its library: text as "READY=1\n..." to $NOTIFY_SOCKET; nothing without it. */
void notify_send(const char *text);
/* WatchdogSec of the unit in ns, when it is meant for this process (sd_watchdog_enabled(3)); 0 = none. */
uint64_t notify_watchdog_ns(void);

/* tenond --doctor: what was found about lock, addresses and limits, as lines of kernel/base/finding.h. */
void supervisor_doctor(const struct settings *s, struct buf *out);

/* tenond: runs until it is told to stop. argv without the program name. Returns the exit code. */
int supervisor_main(int argc, char **argv);
