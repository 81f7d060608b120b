/* SPDX-License-Identifier: Apache-2.0 */
/* What main.c (life), flow.c (messages) and positions.c (where reading begins, what is committed) share. One thread uses all
 * of it; the library's callbacks run in that thread, too. */
#pragma once
#include "connectors/kafka/kafka.h"

#define PENDING_MAX 16384 /* a power of two, above what the kernel lets wait */
#define HELD_MAX    64

struct pending { /* a message that was delivered */
    int64_t offset;
    int32_t part;
    bool settled; /* its fate is known */
};
struct consumer {
    const struct kafka_conf *conf;
    const tn_sub_info *info;
    tn_sub *sub;
    rd_kafka_t *rk;
    struct kafka_trouble trouble;
    int wake_fd; /* readable: the library has something */
    bool leaving;
    bool told; /* consuming() was said */
    bool seen; /* the topic was looked at by this run: what appears from now on is new */
    /* positions */
    rd_kafka_topic_partition_list_t
        *parts; /* assigned to us; offset: to be committed, < 0: nothing */
    bool dirty; /* something there is not committed */
    uint64_t commit_at_ns, lag_at_ns;
    /* messages: numbers, which are their tags, from the oldest that is not settled */
    uint64_t first, next;
    struct pending *pending;            /* number % PENDING_MAX */
    int32_t last_part;                  /* of the message before */
    rd_kafka_message_t *held[HELD_MAX]; /* there was no room for them, in order */
    uint32_t nheld;
    tn_rc rc; /* what ends this run, told in err */
    tn_err *err;
};

void consumer_give_up(struct consumer *c, tn_rc rc);
bool consumer_stops(const struct consumer *c); /* stop_fd is readable */
void consumer_tell(struct consumer *c);        /* consuming(), once */

/* ---- positions.c ---- */
/* The assigned partitions with the offsets to read from; those of a group that never was here are committed soon. */
tn_rc positions_begin(struct consumer *c, rd_kafka_topic_partition_list_t *parts);
/* They are somebody else's from now on. */
void positions_forget(struct consumer *c);
void positions_store(struct consumer *c, const struct pending *p);
/* Commits without waiting what is dirty; when that fails it is dirty again. */
void positions_commit(struct consumer *c);
/* Tells now and then how far behind the group is. */
void positions_lag(struct consumer *c);
void positions_committed(rd_kafka_t *rk, rd_kafka_resp_err_t code,
                         rd_kafka_topic_partition_list_t *parts, void *consumer);

/* ---- flow.c ---- */
/* What the library has now; true: there may be more at once. */
bool flow_read(struct consumer *c);
/* What became of messages; then those that are held, when there is room. */
void flow_settle(struct consumer *c);
/* Waits until the fate of all that was delivered is known, but not longer. */
void flow_drain(struct consumer *c, uint64_t longest_ns);
/* Held messages are dropped, and what is under way means nothing any more: it comes again from the committed position. */
void flow_forget(struct consumer *c);
