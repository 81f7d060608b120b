/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of NSQ topics call functions: one connection to every nsqd that has the topic. A message is finished when it is a
 * durable task; what a dead hub had not finished, nsqd sends again. */
#include "consumer.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define LEAVE_NS   1500000000ull
#define SILENCE_NS 15000000000ull /* three heartbeats: the node is gone */

const tn_host *nsq_host;

bool consumer_stops(const struct consumer *c)
{
    struct pollfd fd = {.fd = c->info->stop_fd, .events = POLLIN};
    return poll(&fd, 1, 0) == 1;
}

/* ---- one turn ---------------------------------------------------------------------------------------- */

/* Who is gone is looked for at once. */
static void drop_gone(struct consumer *c)
{
    uint32_t before = c->nlinks;
    for (uint32_t i = c->nlinks; i > 0; i--) {
        struct link *l = c->link[i - 1];
        if (l->gone || nsq_host->now_ns() - l->heard_ns > SILENCE_NS) {
            link_end(l, false);
            c->link[i - 1] = c->link[--c->nlinks];
        }
    }
    if (c->nlinks != before) {
        c->look_at_ns = 0;
        links_ready(c, !c->full);
    }
}

static void turn(struct consumer *c, const struct pollfd *fds, bool reading)
{
    for (uint32_t i = 0; reading && i < c->nlinks; i++) {
        struct link *l = c->link[i];
        if (fds[i].revents != 0) {
            tn_err own = TN_ERR_INIT;
            l->gone = link_take(c, l, &own) != TN_OK || l->gone;
            if (l->gone) {
                *c->err = own;
            }
        }
    }
    flow_settle(c);
    flow_touch(c);
    for (uint32_t i = 0; i < c->nlinks; i++) {
        link_flush(c->link[i]);
    }
    drop_gone(c);
}

/* Until the subscription is to end (TN_OK): then what is being stored is still finished; or nobody can be reached. */
static tn_rc attend(struct consumer *c)
{
    uint64_t stop_at = 0;
    for (;;) {
        struct pollfd fds[LINKS_MAX + 2];
        uint32_t n = c->nlinks;
        for (uint32_t i = 0; i < n; i++) {
            fds[i] = (struct pollfd){.fd = stop_at == 0 ? c->link[i]->c.stream.fd : -1,
                                     .events = POLLIN};
        }
        fds[n] = (struct pollfd){.fd = stop_at == 0 ? c->info->stop_fd : -1, .events = POLLIN};
        fds[n + 1] = (struct pollfd){.fd = c->info->done_fd, .events = POLLIN};
        if (poll(fds, n + 2, stop_at != 0 ? 50 : 500) < 0 && errno != EINTR) {
            return nsq_host->fail(c->err, TN_E_INTERNAL, "poll: %s", strerror(errno));
        }
        if (stop_at == 0 && consumer_stops(c)) {
            stop_at = nsq_host->now_ns() + LEAVE_NS;
            c->full = true; /* whatever is still on its way is given back */
            links_ready(c, false);
        }
        if (stop_at != 0) {
            c->full_until_ns = UINT64_MAX;
        }
        turn(c, fds, stop_at == 0);
        if (stop_at == 0 && nsq_host->now_ns() >= c->look_at_ns) {
            tn_rc rc = nodes_look(c);
            if (rc != TN_OK) {
                return rc;
            }
        }
        if (stop_at != 0 && (c->first == c->next || nsq_host->now_ns() >= stop_at)) {
            return TN_OK;
        }
    }
}

/* ---- life -------------------------------------------------------------------------------------------- */

static tn_rc begin(struct consumer *c)
{
    const char *channel = c->conf->channel;
    const tn_str topic = c->info->topic, func = c->info->func;
    if (!nsq_name_ok(topic.s, topic.n)) {
        return nsq_host->fail(
            c->err, TN_E_CONFIG,
            "the topic must be 1 to 64 letters, digits and `._-`, with or without "
            "#ephemeral behind them");
    }
    memcpy(c->topic, topic.s, topic.n);
    if (channel != NULL && channel[0] != '\0') {
        if (!nsq_name_ok(channel, strlen(channel))) {
            return nsq_host->fail(c->err, TN_E_CONFIG,
                                  "the channel must be 1 to 64 letters, digits and `._-`, with or "
                                  "without #ephemeral behind them");
        }
        snprintf(c->channel, sizeof c->channel, "%s", channel);
    } else { /* one for each handler, so that each gets every message */
        snprintf(c->channel, sizeof c->channel, "tenon-%.*s", (int)c->info->uid.n, c->info->uid.s);
    }
    snprintf(c->about, sizeof c->about, "%.*s", (int)(func.n < 200 ? func.n : 200), func.s);
    c->nsq.conf = c->conf;
    nsq_http_conf(&c->nsq);
    c->nsq.tcp = strcmp(c->conf->protocol, "tcp") == 0;
    c->pending = calloc(PENDING_MAX, sizeof *c->pending);
    return c->pending != NULL
               ? nsq_prepare_tls(&c->nsq, c->err)
               : nsq_host->fail(c->err, TN_E_NOMEM, "no memory for the subscription");
}

static tn_rc consume(void *inst, tn_sub *sub, const tn_sub_info *info, tn_err *err)
{
    tn_err own = TN_ERR_INIT;
    struct consumer c = {.conf = info->conf, .info = info, .sub = sub, .err = &own};
    (void)inst;
    pthread_mutex_init(&c.nsq.lock, NULL);
    tn_rc rc = begin(&c);
    rc = rc == TN_OK ? nodes_look(&c) : rc;
    rc = rc == TN_OK ? attend(&c) : rc;
    while (c.nlinks > 0) {
        link_end(c.link[--c.nlinks], rc == TN_OK);
    }
    free(c.pending);
    stream_tls_finish(&c.nsq.tls);
    pthread_mutex_destroy(&c.nsq.lock);
    if (rc != TN_OK && err != NULL) {
        *err = own;
    }
    return rc;
}

static tn_rc on_load(const tn_host *host, tn_err *err)
{
    (void)err;
    nsq_host = host;
    return TN_OK;
}

static tn_rc on_attach(void *inst, const void *conf, tn_err *err)
{
    (void)inst, (void)conf;
    return http_attach(nsq_host, err);
}

static void on_detach(void *inst)
{
    (void)inst;
    http_detach();
}

static const tn_trigger_ops ops = {
    .size = sizeof ops,
    .sub_config = nsq_fields,
    .sub_conf_size = sizeof(struct nsq_conf),
    .consume = consume,
};

TN_PLUGIN(.kind = TN_KIND_TRIGGER, .flags = TN_P_THREAD_SAFE, .name = "nsq", .version = "1.0.0",
          .summary = "Messages of NSQ topics call functions", .caps = TN_CAP_SUBSCRIBE,
          .load = on_load, .attach = on_attach, .detach = on_detach, .ops = &ops)
