/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of Kafka topics call functions: a member of a consumer group for each subscription. A position is committed only
 * when all messages before it are durable tasks, so what a dead hub had not stored comes again. */
#include "consumer.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

const tn_host *kafka_host;

#define REACH_NS  5000000000ull
#define DRAIN_NS  1000000000ull
#define LEAVE_NS  1000000000ull
#define TOPIC_MAX 250 /* with its zero; what a broker allows */

void consumer_give_up(struct consumer *c, tn_rc rc)
{
    c->rc = c->rc == TN_OK ? rc : c->rc;
}

bool consumer_stops(const struct consumer *c)
{
    struct pollfd fd = {.fd = c->info->stop_fd, .events = POLLIN};
    return poll(&fd, 1, 0) == 1;
}

void consumer_tell(struct consumer *c)
{
    if (!c->told && !c->leaving) {
        c->told = true;
        kafka_host->subs->consuming(kafka_host->ctx, c->sub);
    }
}

/* ---- what the library calls -------------------------------------------------------------------------- */

static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t what,
                         rd_kafka_topic_partition_list_t *parts, void *opaque)
{
    struct consumer *c = opaque;
    if (c->parts != NULL) { /* what was stored meanwhile need not come again, to whomever */
        if (!rd_kafka_assignment_lost(rk)) {
            flow_drain(c, DRAIN_NS);
            c->commit_at_ns = 0;
            positions_commit(c);
        }
        flow_forget(c);
        positions_forget(c);
    }
    if (what != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS || c->leaving) {
        rd_kafka_assign(rk, NULL);
        return;
    }
    tn_rc rc = positions_begin(c, parts);
    rd_kafka_assign(rk, rc == TN_OK ? parts : NULL);
    consumer_give_up(c, rc);
    c->seen = true;
    if (rc == TN_OK && c->dirty) {
        positions_commit(c);
    } else if (rc == TN_OK) {
        consumer_tell(c);
    }
}

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    struct consumer *c = opaque;
    kafka_note(&c->trouble, code, reason);
    if (code == RD_KAFKA_RESP_ERR__FATAL) {
        char why[200] = "";
        rd_kafka_resp_err_t cause = rd_kafka_fatal_error(rk, why, sizeof why);
        consumer_give_up(c, kafka_failed(&c->trouble, cause, why, c->err));
    } else if (kafka_hopeless(code) || code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
        consumer_give_up(c, kafka_failed(&c->trouble, RD_KAFKA_RESP_ERR__TIMED_OUT,
                                         "no broker can be asked", c->err));
    }
}

/* ---- joining ----------------------------------------------------------------------------------------- */

static void set_all(struct consumer *c, struct kafka_setup *s)
{
    const struct kafka_conf *conf = c->conf;
    const tn_sub_info *info = c->info;
    bool strict = strcmp(conf->kafka_sub_offset, "error") == 0;
    char name[400];
    kafka_set_common(s, conf);
    /* one client for one function, so the broker's lists can name it */
    snprintf(name, sizeof name, "%s-%.*s", conf->application,
             (int)(info->func.n < 300 ? info->func.n : 300), info->func.s);
    kafka_set(s, "client.id", name);
    if (conf->group_id != NULL && conf->group_id[0] != '\0') {
        snprintf(name, sizeof name, "%s", conf->group_id);
    } else { /* one for each function, so that each gets every message */
        snprintf(name, sizeof name, "tenon-%.*s", (int)info->uid.n, info->uid.s);
    }
    kafka_set(s, "group.id", name);
    kafka_set(s, "enable.auto.commit", "false");
    kafka_set(s, "enable.auto.offset.store", "false");
    /* where a group begins is decided by positions_begin(); this is for a position that the broker has deleted */
    kafka_set(s, "auto.offset.reset", strict ? "error" : "earliest");
    kafka_set(s, "queued.max.messages.kbytes", "16384");
    kafka_set_int(s, "session.timeout.ms", conf->session_timeout.ms);
    kafka_set_int(s, "heartbeat.interval.ms", conf->session_timeout.ms / 3);
    kafka_set(s, "allow.auto.create.topics", "false");
    kafka_set(s, "topic.metadata.refresh.interval.ms", "3000"); /* a topic that is made later */
    kafka_set(s, "topic.metadata.propagation.max.ms", "1000");
    rd_kafka_conf_set_opaque(s->conf, c);
    rd_kafka_conf_set_rebalance_cb(s->conf, on_rebalance);
    rd_kafka_conf_set_offset_commit_cb(s->conf, positions_committed);
    rd_kafka_conf_set_error_cb(s->conf, on_error);
}

static void wake_by(struct consumer *c, int fd)
{
    static const uint64_t one = 1;
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(c->rk);
    rd_kafka_queue_io_event_enable(queue, fd, fd >= 0 ? &one : NULL, fd >= 0 ? sizeof one : 0);
    rd_kafka_queue_destroy(queue);
}

static tn_rc join(struct consumer *c)
{
    const tn_str given = c->info->topic;
    char topic[TOPIC_MAX];
    struct kafka_setup s = {NULL, TN_OK, c->err};
    if (given.n == 0 || given.n >= sizeof topic || memchr(given.s, '\0', given.n) != NULL) {
        return kafka_host->fail(c->err, TN_E_CONFIG,
                                "the topic is too long or none: it has 1 to %d characters",
                                TOPIC_MAX - 1);
    }
    memcpy(topic, given.s, given.n);
    topic[given.n] = '\0';
    s.conf = rd_kafka_conf_new();
    set_all(c, &s);
    tn_rc rc = kafka_new(&s, RD_KAFKA_CONSUMER, &c->rk);
    if (rc != TN_OK) {
        return rc;
    }
    rd_kafka_poll_set_consumer(c->rk);
    wake_by(c, c->wake_fd);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t code = rd_kafka_subscribe(c->rk, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR
               ? TN_OK
               : kafka_failed(&c->trouble, code, "the topic cannot be subscribed", c->err);
}

/* ---- life -------------------------------------------------------------------------------------------- */

/* Until the subscription is to end (TN_OK) or something fails. */
static tn_rc attend(struct consumer *c)
{
    bool more = false;
    while (c->rc == TN_OK) {
        struct pollfd fds[] = {{.fd = c->info->stop_fd, .events = POLLIN},
                               {.fd = c->info->done_fd, .events = POLLIN},
                               {.fd = c->wake_fd, .events = POLLIN}};
        int n = poll(fds, 3, more ? 0 : c->dirty || !c->told ? 100 : 1000);
        if (n < 0 && errno != EINTR) {
            return kafka_host->fail(c->err, TN_E_INTERNAL, "poll: %s", strerror(errno));
        }
        if (n > 0 && fds[0].revents != 0) {
            return TN_OK;
        }
        if (n > 0 && fds[2].revents != 0) {
            eventfd_t some;
            eventfd_read(c->wake_fd, &some);
        }
        flow_settle(c);
        more = flow_read(c);
        positions_commit(c);
        positions_lag(c);
    }
    return consumer_stops(c) ? TN_OK : c->rc;
}

/* Tells the group, so that others need not wait for the end of the session. What is being stored is still committed. */
static void part(struct consumer *c)
{
    uint64_t end_ns;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(c->rk);
    flow_drain(c, DRAIN_NS);
    c->commit_at_ns = 0;
    positions_commit(c);
    end_ns = kafka_host->now_ns() + LEAVE_NS;
    rd_kafka_error_t *error = rd_kafka_consumer_close_queue(c->rk, queue);
    while (error == NULL && !rd_kafka_consumer_closed(c->rk) && kafka_host->now_ns() < end_ns) {
        rd_kafka_queue_poll_callback(queue, 20);
    }
    rd_kafka_error_destroy(error);
    rd_kafka_queue_destroy(queue);
}

static void finish(struct consumer *c, tn_rc rc)
{
    c->leaving = true;
    if (c->rk != NULL) {
        wake_by(c, -1);
        if (rc != TN_E_UNAVAIL && rc != TN_E_TIMEOUT && rc != TN_E_DENIED) {
            part(c);
        }
        flow_forget(c);
        rd_kafka_destroy_flags(c->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    }
    positions_forget(c);
    if (c->wake_fd >= 0) {
        close(c->wake_fd);
    }
    free(c->pending);
}

static tn_rc consume(void *inst, tn_sub *sub, const tn_sub_info *info, tn_err *err)
{
    tn_err own = TN_ERR_INIT;
    struct consumer c = {.conf = info->conf, .info = info, .sub = sub, .err = &own, .wake_fd = -1};
    (void)inst;
    tn_rc rc = kafka_reach(c.conf, kafka_host->now_ns() + REACH_NS, &own);
    if (rc == TN_OK) {
        c.pending = calloc(PENDING_MAX, sizeof *c.pending);
        c.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        rc = c.pending != NULL && c.wake_fd >= 0
                 ? join(&c)
                 : kafka_host->fail(&own, TN_E_NOMEM,
                                    "no memory or descriptor for the subscription");
    }
    rc = rc == TN_OK ? attend(&c) : rc;
    finish(&c, rc);
    if (rc != TN_OK && err != NULL) {
        *err = own;
    }
    return rc;
}

static tn_rc on_load(const tn_host *host, tn_err *err)
{
    (void)err;
    kafka_host = host;
    return TN_OK;
}

static const tn_trigger_ops ops = {
    .size = sizeof ops,
    .sub_config = kafka_fields,
    .sub_conf_size = sizeof(struct kafka_conf),
    .consume = consume,
};

TN_PLUGIN(.kind = TN_KIND_TRIGGER, .flags = TN_P_THREAD_SAFE, .name = "kafka", .version = "1.0.0",
          .summary = "Messages of Kafka topics call functions", .caps = TN_CAP_SUBSCRIBE,
          .load = on_load, .ops = &ops)
