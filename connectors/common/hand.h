/* SPDX-License-Identifier: Apache-2.0 */
/* A thread for each connection that does what blocks in a client library without deadlines of its own: the caller goes
 * when its deadline has come, whatever the library does. Compiled into each plugin that names it. */
#pragma once
#include <stdbool.h>
#include <tenon/tenon.h>

/* A piece of work. It owns all it needs, because its caller may have gone. Embedded as the first member. */
struct hand_job {
    tn_rc (*work)(void *conn, struct hand_job *job, tn_err *err); /* in the thread */
    void (*free)(struct hand_job *job);
    int left_ms; /* until the caller's deadline when work() begins; -1: it has none */
    tn_rc rc;
    tn_err err;
};
struct hand_ops {
    void (*stop)(void *conn); /* the caller's thread, while work() runs: it shall come back soon */
    void (*goodbye)(void *conn); /* in the thread, at its end: says goodbye to the peer */
    void (*free)(void *conn);    /* the last one: of the memory */
    const char *late;            /* what to say when a job was late: the text of an error */
};
struct hand;

/* The connection belongs to the thread afterwards and is given back to ops->free; on failure it stays the caller's. */
tn_rc hand_start(const tn_host *host, const struct hand_ops *ops, void *conn, struct hand **ret,
                 tn_err *err);
/* Runs a job in the thread until the deadline or hand_cancel(); then it is stopped, and when that does not help at once the
 * job is left behind. TN_OK: the job is the caller's again; otherwise it is gone or will be. Late is TN_E_TIMEOUT or
 * TN_E_CANCELED, and the connection must not be used again (TN_ERR_CONN_BROKEN). `opening`: there is nothing to stop yet,
 * late jobs are left behind at once, and another attempt may be made (TN_ERR_RETRY). */
tn_rc hand_do(struct hand *h, struct hand_job *job, uint64_t deadline_ns, bool opening,
              tn_err *err);
/* An operation begins: what was canceled before was another one. */
void hand_begin(struct hand *h);
/* Any thread, from hand_begin() to the operation's end: its job under way comes back soon with TN_E_CANCELED, and so do
 * those that it would begin from now on, at once. */
void hand_cancel(struct hand *h);
/* Ends the thread, which says goodbye; waits for it only a moment. The connection must not be used any more. */
void hand_end(struct hand *h);
