/* SPDX-License-Identifier: Apache-2.0 */
/* Messages: into the platform's buffer, and from what became of them to FIN. What finds no room is given back. */
#include "consumer.h"

#include <stdlib.h>

#define REQUEUE_MS 1000
#define FULL_NS    1000000000ull

static tn_rc hand_over(struct consumer *c, tn_str body)
{
    return nsq_host->subs->deliver(nsq_host->ctx, c->sub, (tn_str){c->topic, strlen(c->topic)},
                                   body, c->next, TN_DELIVER_TELL, c->err);
}

tn_rc flow_deliver(struct consumer *c, struct link *l, const char id[ID_SIZE], tn_str body)
{
    struct pending p = {.link = l->number, .since_ns = nsq_host->now_ns()};
    memcpy(p.id, id, ID_SIZE);
    tn_rc rc = c->full || c->next - c->first == PENDING_MAX ? TN_E_LIMIT : hand_over(c, body);
    switch (rc) {
    case TN_OK:
        c->pending[c->next++ % PENDING_MAX] = p;
        return TN_OK;
    case TN_E_INVAL: /* too large: counted, and not wanted again */
        link_say(l, "FIN", id, -1);
        return TN_OK;
    case TN_E_LIMIT:
        link_say(l, "REQ", id, REQUEUE_MS);
        if (!c->full) {
            c->full = true;
            links_ready(c, false);
        }
        c->full_until_ns = nsq_host->now_ns() + FULL_NS;
        return TN_OK;
    default:
        return rc;
    }
}

/* What can never be stored is finished like what was stored: it would come again and again. */
void flow_settle(struct consumer *c)
{
    tn_sub_done done[256];
    uint32_t n;
    do {
        n = nsq_host->subs->done(nsq_host->ctx, c->sub, done, 256);
        for (uint32_t i = 0; i < n; i++) {
            struct pending *p = &c->pending[done[i].tag % PENDING_MAX];
            struct link *l = link_by(c, p->link);
            if (done[i].tag < c->first || done[i].tag >= c->next) {
                continue;
            }
            p->settled = true;
            if (l != NULL) { /* else its node sends it again */
                link_say(l, "FIN", p->id, -1);
            }
        }
    } while (n == 256);
    while (c->first < c->next && c->pending[c->first % PENDING_MAX].settled) {
        c->first++;
    }
    if (c->full && nsq_host->now_ns() >= c->full_until_ns) {
        c->full = false;
        links_ready(c, true);
    }
}

void flow_touch(struct consumer *c)
{
    uint64_t now = nsq_host->now_ns();
    for (uint64_t i = c->first; i < c->next; i++) {
        struct pending *p = &c->pending[i % PENDING_MAX];
        struct link *l = p->settled ? NULL : link_by(c, p->link);
        if (l != NULL && now - p->since_ns > l->c.msg_timeout_ms * 500000ull) {
            link_say(l, "TOUCH", p->id, -1);
            p->since_ns = now;
        }
    }
}
