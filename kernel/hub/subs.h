/* SPDX-License-Identifier: Apache-2.0 */
/* Subscriptions: for each (connector, topic, function) one holder, a thread in the trigger plugin of the
 * connector's type, a bounded buffer, and the way of its messages into the durable queue. */
#pragma once
#include "kernel/hub/loop.h"
#include <tenon/trigger.h>

struct buf;
struct subs;

/* A trigger plugin that is ready to consume. */
struct sub_source {
    const tn_trigger_ops *ops;
    void *inst;
};

/* What subscriptions need of their surroundings; tests have their own. */
struct subs_deps {
    void *user;
    /* The plugin for connectors of this type, loaded; TN_E_NOTFOUND or why it cannot be used. */
    tn_rc (*source)(void *user, const char *type, struct sub_source *ret, tn_err *err);
    /* Does this hub hold the subscription `uid`? Asked before each run of consume(). With several hubs on
     * one store this is where the lock is taken and renewed; one hub holds everything. */
    int (*holds)(void *user, tn_str uid);
    /* As tn_host_tasks.submit. */
    tn_rc (*submit)(void *user, const tn_task_req *reqs, uint32_t n,
                    void (*done)(void *, tn_rc, const tn_task_receipt *, uint32_t, const tn_err *),
                    void *done_user, tn_err *);
    /* One call in memory; done() on the loop thread: TN_OK when it has run, else why it cannot be begun now. Loop
     * thread. */
    void (*call)(void *user, const tn_task_req *req, void (*done)(void *, tn_rc, const char *why),
                 void *done_user);
    int64_t (*waiting)(void *user, uint32_t queue); /* any thread */
    int64_t waiting_max; /* tasks in a queue; beyond it messages stay in their buffers */
};

tn_rc subs_create(struct loop *loop, const struct subs_deps *deps, struct subs **ret, tn_err *err);
/* Nothing is read from brokers any more; what is in the buffers is still stored. Any thread. */
void subs_drain(struct subs *s);
/* Messages are on their way into the queue. */
int subs_busy(struct subs *s);
/* Waits for the threads; 0 when one of them hangs in its plugin: then nothing may be destroyed. */
int subs_stop(struct subs *s);
void subs_destroy(struct subs *s);

/* As tn_host_subs. */
tn_rc subs_put(struct subs *s, tn_str connector, tn_str type, tn_str config,
               const tn_sub_plan *plans, uint32_t n, tn_err *err);
tn_rc subs_status(struct subs *s, tn_str connector, struct buf *ret, tn_err *err);
void subs_consuming(struct subs *s, tn_sub *u);
tn_rc subs_deliver(struct subs *s, tn_sub *u, tn_str topic, tn_str message, uint64_t tag,
                   uint32_t flags, tn_err *err);
void subs_lag(struct subs *s, tn_sub *u, int64_t messages);
uint32_t subs_done(struct subs *s, tn_sub *u, tn_sub_done *ret, uint32_t cap);
