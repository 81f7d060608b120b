/* SPDX-License-Identifier: Apache-2.0 */
/* Positions: where a group that never was here begins, and what is committed. */
#include "consumer.h"

#include <poll.h>

#define ASK_MS    1000
#define BEGIN_NS  5000000000ull /* for committed positions and ends of partitions */
#define COMMIT_NS 300000000ull
#define LAG_NS    1000000000ull
#define ENDS_MS   300

/* ---- where reading begins ---------------------------------------------------------------------------- */

/* The group was here before when one partition of the topic has a position: then those without one are new. */
static bool topic_known(const rd_kafka_topic_partition_list_t *parts, const char *topic)
{
    for (int i = 0; i < parts->cnt; i++) {
        if (parts->elems[i].offset >= 0 && strcmp(parts->elems[i].topic, topic) == 0) {
            return true;
        }
    }
    return false;
}

/* Is another attempt worth while? A broker that has just made a topic does not know its leader yet. */
static bool again(const struct consumer *c, uint64_t end_ns)
{
    struct pollfd fd = {.fd = c->info->stop_fd, .events = POLLIN};
    return kafka_host->now_ns() < end_ns && poll(&fd, 1, 100) == 0;
}

static rd_kafka_resp_err_t ask_committed(const struct consumer *c,
                                         rd_kafka_topic_partition_list_t *parts, uint64_t end_ns)
{
    rd_kafka_resp_err_t code;
    do {
        code = rd_kafka_committed(c->rk, parts, ASK_MS);
        for (int i = 0; code == RD_KAFKA_RESP_ERR_NO_ERROR && i < parts->cnt; i++) {
            code = parts->elems[i].err;
        }
    } while (code != RD_KAFKA_RESP_ERR_NO_ERROR && again(c, end_ns));
    return code;
}

/* Offsets of the list, which are times in ms, RD_KAFKA_OFFSET_BEGINNING or _END, become those of messages; a time after
 * the last message leaves what `otherwise` has. */
static rd_kafka_resp_err_t ask_offsets(const struct consumer *c,
                                       rd_kafka_topic_partition_list_t *parts,
                                       const rd_kafka_topic_partition_list_t *otherwise,
                                       uint64_t end_ns)
{
    rd_kafka_resp_err_t code;
    do {
        rd_kafka_topic_partition_list_t *asked = rd_kafka_topic_partition_list_copy(parts);
        code = rd_kafka_offsets_for_times(c->rk, asked, ASK_MS);
        for (int i = 0; code == RD_KAFKA_RESP_ERR_NO_ERROR && i < asked->cnt; i++) {
            code = asked->elems[i].err;
        }
        for (int i = 0; code == RD_KAFKA_RESP_ERR_NO_ERROR && i < asked->cnt; i++) {
            int64_t at = asked->elems[i].offset;
            parts->elems[i].offset = at >= 0 || otherwise == NULL ? at : otherwise->elems[i].offset;
        }
        rd_kafka_topic_partition_list_destroy(asked);
    } while (code != RD_KAFKA_RESP_ERR_NO_ERROR && again(c, end_ns));
    return code;
}

/* Where partitions without a position begin. `end` is what was sent since the subscription is wanted, as far as times of
 * messages tell; so nothing is passed over when the topic is made, or we come, later. */
static rd_kafka_resp_err_t ask_begin(const struct consumer *c,
                                     rd_kafka_topic_partition_list_t *news, uint64_t end_ns)
{
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_topic_partition_list_t *times = rd_kafka_topic_partition_list_copy(news);
    if (news->cnt > 0) {
        code = ask_offsets(c, news, NULL, end_ns);
    }
    for (int i = 0; i < times->cnt; i++) {
        if (times->elems[i].offset == RD_KAFKA_OFFSET_END && c->info->since_us > 0) {
            times->elems[i].offset = c->info->since_us / 1000;
        }
    }
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR && news->cnt > 0) {
        code = ask_offsets(c, times, news, end_ns);
    }
    for (int i = 0; i < news->cnt; i++) {
        news->elems[i].offset = times->elems[i].offset;
    }
    rd_kafka_topic_partition_list_destroy(times);
    return code;
}

static bool from_the_beginning(const struct kafka_conf *conf)
{
    const char *from = conf->kafka_sub_offset;
    return strcmp(from, "smallest") == 0 || strcmp(from, "earliest") == 0 ||
           strcmp(from, "beginning") == 0;
}

tn_rc positions_begin(struct consumer *c, rd_kafka_topic_partition_list_t *parts)
{
    uint64_t end_ns = kafka_host->now_ns() + BEGIN_NS;
    bool low = c->seen || from_the_beginning(c->conf), dirty = false;
    if (parts->cnt == 0 || strcmp(c->conf->kafka_sub_offset, "error") == 0) {
        c->parts = rd_kafka_topic_partition_list_copy(parts);
        for (int i = 0; i < parts->cnt; i++) {
            c->parts->elems[i].offset = RD_KAFKA_OFFSET_INVALID;
        }
        return TN_OK;
    }
    rd_kafka_resp_err_t code = ask_committed(c, parts, end_ns);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return kafka_failed(&c->trouble, code, "the group's positions cannot be asked for", c->err);
    }
    rd_kafka_topic_partition_list_t *news = rd_kafka_topic_partition_list_new(parts->cnt);
    for (int i = 0; i < parts->cnt; i++) {
        const rd_kafka_topic_partition_t *p = &parts->elems[i];
        if (p->offset < 0) {
            bool begin = low || topic_known(parts, p->topic);
            rd_kafka_topic_partition_list_add(news, p->topic, p->partition)->offset =
                begin ? RD_KAFKA_OFFSET_BEGINNING : RD_KAFKA_OFFSET_END;
        }
    }
    code = ask_begin(c, news, end_ns);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        for (int i = 0, n = 0; i < parts->cnt; i++) {
            rd_kafka_topic_partition_t *p = &parts->elems[i];
            if (p->offset < 0) {
                p->offset = news->elems[n++].offset;
                dirty = true;
            }
        }
        c->parts = rd_kafka_topic_partition_list_copy(parts);
        c->dirty = dirty;
        c->commit_at_ns = 0;
    }
    rd_kafka_topic_partition_list_destroy(news);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR
               ? TN_OK
               : kafka_failed(&c->trouble, code, "the ends of partitions cannot be asked for",
                              c->err);
}

void positions_forget(struct consumer *c)
{
    if (c->parts != NULL) {
        rd_kafka_topic_partition_list_destroy(c->parts);
        c->parts = NULL;
    }
    c->dirty = false;
    c->last_part = 0;
}

/* ---- what is committed ------------------------------------------------------------------------------- */

void positions_store(struct consumer *c, const struct pending *p)
{
    rd_kafka_topic_partition_t *at = &c->parts->elems[p->part];
    at->offset = p->offset + 1;
    c->dirty = true;
}

void positions_commit(struct consumer *c)
{
    if (c->dirty && kafka_host->now_ns() >= c->commit_at_ns) {
        c->dirty = rd_kafka_commit(c->rk, c->parts, 1) != RD_KAFKA_RESP_ERR_NO_ERROR;
        c->commit_at_ns = kafka_host->now_ns() + COMMIT_NS;
    }
}

void positions_committed(rd_kafka_t *rk, rd_kafka_resp_err_t code,
                         rd_kafka_topic_partition_list_t *parts, void *consumer)
{
    struct consumer *c = consumer;
    (void)rk;
    for (int i = 0; parts != NULL && code == RD_KAFKA_RESP_ERR_NO_ERROR && i < parts->cnt; i++) {
        code = parts->elems[i].offset >= 0 ? parts->elems[i].err : code;
    }
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        consumer_tell(c); /* from here on nothing is passed over, whatever happens to us */
    } else if (code == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED ||
               code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) {
        consumer_give_up(
            c, kafka_failed(&c->trouble, code, "the group's positions cannot be kept", c->err));
    } else if (c->parts != NULL && code != RD_KAFKA_RESP_ERR__NO_OFFSET) {
        c->dirty = true;
    }
}

/* ---- how far behind ---------------------------------------------------------------------------------- */

/* The ends of partitions; who reads hears them with the messages, who is paused has to ask. False: not known. */
static bool ends_of(struct consumer *c, rd_kafka_topic_partition_list_t *parts)
{
    for (int i = 0; i < parts->cnt; i++) {
        rd_kafka_topic_partition_t *p = &parts->elems[i];
        int64_t low = 0;
        if (c->nheld > 0) {
            p->offset = RD_KAFKA_OFFSET_END;
        } else if (rd_kafka_get_watermark_offsets(c->rk, p->topic, p->partition, &low,
                                                  &p->offset) != RD_KAFKA_RESP_ERR_NO_ERROR ||
                   p->offset < 0) {
            return false;
        }
    }
    return c->nheld == 0 ||
           rd_kafka_offsets_for_times(c->rk, parts, ENDS_MS) == RD_KAFKA_RESP_ERR_NO_ERROR;
}

void positions_lag(struct consumer *c)
{
    uint64_t now = kafka_host->now_ns();
    if (now < c->lag_at_ns || kafka_host->subs->size < sizeof *kafka_host->subs) {
        return;
    }
    c->lag_at_ns = now + (c->nheld > 0 ? 5 * LAG_NS : LAG_NS);
    int64_t lag = c->parts != NULL ? 0 : -1;
    rd_kafka_topic_partition_list_t *ends = c->parts != NULL
                                                ? rd_kafka_topic_partition_list_copy(c->parts)
                                                : NULL;
    if (ends != NULL && !ends_of(c, ends)) {
        lag = -1;
    }
    for (int i = 0; lag >= 0 && i < c->parts->cnt; i++) {
        int64_t at = c->parts->elems[i].offset, end = ends->elems[i].offset;
        lag = at < 0 || end < 0 ? -1 : lag + (end > at ? end - at : 0);
    }
    if (ends != NULL) {
        rd_kafka_topic_partition_list_destroy(ends);
    }
    kafka_host->subs->lag(kafka_host->ctx, c->sub, lag);
}
