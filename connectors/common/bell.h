/* SPDX-License-Identifier: Apache-2.0 */
/* Wakes an operation that waits for a socket, from another thread: how cancel() reaches it whatever the server does.
 * Compiled into each plugin that names it; needs net. */
#pragma once
#include <stdatomic.h>
#include <tenon/tenon.h>

struct bell {
    int fd;           /* an eventfd */
    atomic_bool rung; /* since bell_hush() */
};
/* TN_E_LIMIT: the process has no descriptor left. A bell that was zeroed and not opened may be closed. */
tn_rc bell_open(const tn_host *host, struct bell *b, tn_err *err);
void bell_close(struct bell *b);
/* From any thread: what waits now, or begins to before bell_hush(), ends. */
void bell_ring(struct bell *b);
/* At the start of an operation: what was rung for an earlier one is forgotten. */
void bell_hush(struct bell *b);
/* As net_wait(); TN_E_CANCELED: the bell was rung, which counts before the socket does. */
tn_rc bell_wait(const tn_host *host, struct bell *b, int fd, short events, uint64_t deadline_ns);
