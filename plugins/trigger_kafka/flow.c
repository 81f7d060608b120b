/* SPDX-License-Identifier: Apache-2.0 */
/* Messages: out of the library into the platform's buffer, and from what became of them to positions. While there is no room
 * the partitions are paused, and asking goes on, so that the group keeps us. */
#include "consumer.h"

#include <poll.h>

#define TURN_MAX 1000 /* messages before the rest is looked at */

static void pause_all(struct consumer *c, bool stop)
{
    if (c->parts != NULL && c->parts->cnt > 0) {
        rd_kafka_topic_partition_list_t *parts = rd_kafka_topic_partition_list_copy(c->parts);
        if (stop) {
            rd_kafka_pause_partitions(c->rk, parts);
        } else {
            rd_kafka_resume_partitions(c->rk, parts);
        }
        rd_kafka_topic_partition_list_destroy(parts);
    }
}

/* ---- in ---------------------------------------------------------------------------------------------- */

/* Which of the assigned partitions it is from; -1: of none, which is not ours any more. */
static int32_t part_of(struct consumer *c, const char *topic, int32_t partition)
{
    int32_t n = c->parts != NULL ? c->parts->cnt : 0;
    for (int32_t i = 0; i < n; i++) {
        int32_t at = (c->last_part + i) % n;
        const rd_kafka_topic_partition_t *p = &c->parts->elems[at];
        if (p->partition == partition && strcmp(p->topic, topic) == 0) {
            c->last_part = at;
            return at;
        }
    }
    return -1;
}

static void advance(struct consumer *c)
{
    while (c->first < c->next && c->pending[c->first % PENDING_MAX].settled) {
        positions_store(c, &c->pending[c->first++ % PENDING_MAX]);
    }
}

/* TN_E_LIMIT: there is no room; the message is still the caller's. */
static tn_rc deliver(struct consumer *c, const rd_kafka_message_t *m)
{
    const char *topic = rd_kafka_topic_name(m->rkt);
    tn_err own = TN_ERR_INIT;
    struct pending p = {.offset = m->offset, .part = part_of(c, topic, m->partition)};
    if (c->next - c->first == PENDING_MAX) {
        return TN_E_LIMIT;
    }
    if (p.part < 0) {
        return TN_OK;
    }
    tn_rc rc = kafka_host->subs->deliver(kafka_host->ctx, c->sub, (tn_str){topic, strlen(topic)},
                                         (tn_str){m->payload != NULL ? m->payload : "", m->len},
                                         c->next, TN_DELIVER_TELL, &own);
    if (rc == TN_OK || rc == TN_E_INVAL) { /* too large: counted, and passed over */
        p.settled = rc == TN_E_INVAL;
        c->pending[c->next++ % PENDING_MAX] = p;
        advance(c);
        return TN_OK;
    }
    if (rc != TN_E_LIMIT) {
        *c->err = own;
    }
    return rc;
}

static void hold(struct consumer *c, rd_kafka_message_t *m)
{
    c->held[c->nheld++] = m;
    pause_all(c, true);
}

/* Errors that come in place of a message. */
static void take_error(struct consumer *c, rd_kafka_resp_err_t code)
{
    if (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
        code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC) {
        c->seen = true; /* it may be made yet: then it is read from its beginning */
        consumer_tell(c);
    } else if (code != RD_KAFKA_RESP_ERR__PARTITION_EOF && code != RD_KAFKA_RESP_ERR__TRANSPORT &&
               code != RD_KAFKA_RESP_ERR__TIMED_OUT &&
               code != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE) {
        consumer_give_up(c, kafka_failed(&c->trouble, code, "the topic cannot be read", c->err));
    }
}

bool flow_read(struct consumer *c)
{
    for (int i = 0; c->rc == TN_OK && c->nheld < HELD_MAX; i++) {
        rd_kafka_message_t *m = i < TURN_MAX ? rd_kafka_consumer_poll(c->rk, 0) : NULL;
        if (m == NULL) {
            return i == TURN_MAX;
        }
        tn_rc rc = TN_OK;
        if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            take_error(c, m->err);
        } else {
            rc = c->nheld == 0 ? deliver(c, m) : TN_E_LIMIT;
        }
        if (rc == TN_E_LIMIT) {
            hold(c, m);
            continue;
        }
        rd_kafka_message_destroy(m);
        consumer_give_up(c, rc);
    }
    return false;
}

/* ---- out --------------------------------------------------------------------------------------------- */

/* What can never be stored is passed over like what was stored: it would come again and again. */
static void take_done(struct consumer *c)
{
    tn_sub_done done[256];
    uint32_t n;
    do {
        n = kafka_host->subs->done(kafka_host->ctx, c->sub, done, 256);
        for (uint32_t i = 0; i < n; i++) {
            if (done[i].tag >= c->first && done[i].tag < c->next) {
                c->pending[done[i].tag % PENDING_MAX].settled = true;
            }
        }
    } while (n == 256);
    advance(c);
}

void flow_settle(struct consumer *c)
{
    uint32_t given = 0;
    take_done(c);
    while (given < c->nheld && c->rc == TN_OK) {
        tn_rc rc = deliver(c, c->held[given]);
        if (rc == TN_E_LIMIT) {
            break;
        }
        rd_kafka_message_destroy(c->held[given++]);
        consumer_give_up(c, rc);
    }
    if (given > 0) {
        c->nheld -= given;
        memmove(c->held, c->held + given, c->nheld * sizeof *c->held);
        if (c->nheld == 0) {
            pause_all(c, false);
        }
    }
}

void flow_drain(struct consumer *c, uint64_t longest_ns)
{
    uint64_t end_ns = kafka_host->now_ns() + longest_ns;
    take_done(c);
    while (c->first < c->next && kafka_host->now_ns() < end_ns) {
        struct pollfd fd = {.fd = c->info->done_fd, .events = POLLIN};
        poll(&fd, 1, 50);
        take_done(c);
    }
}

void flow_forget(struct consumer *c)
{
    while (c->nheld > 0) {
        rd_kafka_message_destroy(c->held[--c->nheld]);
    }
    c->first = c->next;
}
