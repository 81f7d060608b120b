/* SPDX-License-Identifier: Apache-2.0 */
/* What durable calls need of the broker besides: cancelling, printed lines so far, free workers. */
#include "kernel/base/clock.h"
#include "kernel/hub/broker_int.h"

/* What has not started goes back to its group first: then there is nothing to interrupt. A running one
 * gets the soft signal; should its start not have been seen yet, link_look() does that. */
void broker_cancel(struct broker *b, tn_call *c, uint32_t grace_ms)
{
    (void)b;
    if (c->state == CALL_CLAIMED) {
        link_revoke(c->link);
    }
    if (c->state == CALL_QUEUED) {
        list_del(&c->node);
        call_fail(c, TN_CALL_CANCELED, "Cancelled", NULL, 0, "the call was cancelled");
        return;
    }
    c->cancel = 1;
    c->grace_ns = grace_ms * NS_PER_MS;
    struct link *l = c->link;
    if (c->state == CALL_CLAIMED && l->sent.next == &c->node && l->started && !l->killed) {
        deadline_cancel(l);
    }
}

tn_str broker_logs(const tn_call *call)
{
    return buf_str(&call->logs);
}

int broker_started(const tn_call *call)
{
    return call->state == CALL_CLAIMED;
}

unsigned broker_workers(const struct broker *b, uint32_t queue, unsigned *ret_max)
{
    const struct group *g = queue < sizeof(b->by_queue) / sizeof(*b->by_queue) ? b->by_queue[queue]
                                                                               : NULL;
    *ret_max = g ? g->conf.workers_max : 0;
    return g ? g->nworkers : 0;
}
