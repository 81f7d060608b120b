/* SPDX-License-Identifier: Apache-2.0 */
/* Subscriptions in the hub: the trigger plugins that speak to brokers, loaded when a connector of their
 * type first has a subscription; the queue and the workers their messages end in; the host table. */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/rnd.h"
#include "kernel/base/str.h"
#include "kernel/hub/subs_host.h"
#include "kernel/hub/tasks_int.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- plugins --------------------------------------------------------------------------------- */
struct source {
    struct hub_plugin hp;
    int tried;
    tn_err err; /* why it cannot be used; err.rc TN_OK when it can */
};
struct sub_sources {
    pthread_mutex_t lock;
    struct hub_plugin self; /* the kernel's own context for host tables */
    struct source *all;
    size_t n;
};

static tn_rc sources_create(struct hub *h, tn_err *err)
{
    struct sub_sources *a = calloc(1, sizeof *a);
    struct source *all = calloc(h->registry.n + 1, sizeof *all);
    if (a == NULL || all == NULL) {
        free(a);
        free(all);
        return err_set(err, TN_E_NOMEM, "no memory for triggers");
    }
    pthread_mutex_init(&a->lock, NULL);
    a->self.hub = h;
    a->all = all;
    for (size_t i = 0; i < h->registry.n; i++) {
        struct plug *p = h->registry.plugs[i];
        if (p->desc.kind == TN_KIND_TRIGGER && (p->desc.caps & TN_CAP_SUBSCRIBE) != 0) {
            all[a->n].hp.hub = h;
            all[a->n++].hp.plug = p;
        }
    }
    h->sub_sources = a;
    return TN_OK;
}

/* Its own section of the configuration, then the plugin is ready for any number of connectors. */
static void source_try(struct hub *h, struct source *s)
{
    char prefix[80];
    s->tried = 1;
    s->err = (tn_err)TN_ERR_INIT;
    host_fill(&s->hp);
    snprintf(prefix, sizeof prefix, "trigger.%s.", s->hp.plug->desc.name);
    tn_rc rc = plug_load(s->hp.plug, &s->hp.host, &s->err);
    if (rc == TN_OK) {
        rc = plug_attach(s->hp.plug, h->settings.conf, prefix, &s->hp.pi, NULL, &s->err);
    }
    s->err.rc = rc;
}

static tn_rc dep_source(void *user, const char *type, struct sub_source *ret, tn_err *err)
{
    struct hub *h = host_hub(user);
    struct sub_sources *a = h->sub_sources;
    tn_rc rc = err_set(err, TN_E_NOTFOUND, "no trigger plugin consumes from connectors of type %s",
                       type);
    pthread_mutex_lock(&a->lock);
    for (size_t i = 0; i < a->n; i++) {
        struct source *s = &a->all[i];
        if (strcmp(s->hp.plug->desc.name, type) != 0) {
            continue;
        }
        if (!s->tried) {
            source_try(h, s);
        }
        rc = s->err.rc;
        if (rc == TN_OK) {
            *ret = (struct sub_source){s->hp.plug->ops, s->hp.pi.inst};
        } else {
            err_set(err, rc, "%s", s->err.msg);
        }
        break;
    }
    pthread_mutex_unlock(&a->lock);
    return rc;
}

/* ---- the queue ------------------------------------------------------------------------------- */
/* One hub on its store holds every subscription. */
static int dep_holds(void *user, tn_str uid)
{
    (void)user;
    (void)uid;
    return 1;
}

static tn_rc dep_submit(void *user, const tn_task_req *reqs, uint32_t n,
                        void (*done)(void *, tn_rc, const tn_task_receipt *, uint32_t,
                                     const tn_err *),
                        void *done_user, tn_err *err)
{
    return tasks_ops.submit(user, reqs, n, done, done_user, err);
}

static int64_t dep_waiting(void *user, uint32_t queue)
{
    return atomic_load(&host_hub(user)->tasks->queues[queue % JOB_QUEUES].waiting);
}

/* ---- calls in memory ------------------------------------------------------------------------- */
struct sub_call {
    struct hub *hub;
    tn_task_info info;
    char id[32];
    void (*done)(void *, tn_rc, const char *why);
    void *user;
};

static uint32_t state_of(uint32_t status)
{
    switch (status) {
    case TN_CALL_SUCCESS:
        return TN_TASK_SUCCEEDED;
    case TN_CALL_TIMEOUT:
        return TN_TASK_TIMEOUT;
    case TN_CALL_EXPIRED:
        return TN_TASK_EXPIRED;
    case TN_CALL_SKIPPED:
        return TN_TASK_SKIPPED;
    case TN_CALL_CANCELED:
        return TN_TASK_CANCELED;
    default:
        return TN_TASK_FAILED;
    }
}

static const char busy[] = "all workers of its queue are busy";

static void call_done(void *user, const tn_call_result *result)
{
    struct sub_call *c = user;
    bool again = result->status == TN_CALL_OVERLOAD;
    if (!again) {
        c->info.state = state_of(result->status);
        tk_tell_info(c->hub->tasks, &c->info, result);
    }
    c->done(c->user, again ? TN_E_LIMIT : TN_OK, again ? busy : "");
    free(c);
}

static tn_str kept(char **at, tn_str s)
{
    tn_str copy = {*at, s.n};
    if (s.n > 0) {
        memcpy(*at, s.s, s.n);
    }
    *at += s.n;
    return copy;
}

/* A message as a call; listeners hear of it as of a task, but no row is ever written. */
static void dep_call(void *user, const tn_task_req *t, void (*done)(void *, tn_rc, const char *why),
                     void *done_user)
{
    struct hub *h = host_hub(user);
    size_t bytes = t->script.n + t->func.n + t->origin.n + t->origin_id.n + t->label.n + t->args.n;
    struct sub_call *c = malloc(sizeof *c + bytes);
    tn_err err = TN_ERR_INIT;
    tn_call *call;
    if (c == NULL) {
        done(done_user, TN_E_NOMEM, "no memory for a call");
        return;
    }
    char *at = (char *)(c + 1);
    *c = (struct sub_call){.hub = h, .done = done, .user = done_user};
    memcpy(c->id, "task-", 5);
    rnd_id(c->id + 5, 24);
    c->info = (tn_task_info){
        .size = sizeof c->info,
        .id = str_of(c->id),
        .root_id = str_of(c->id),
        .script = kept(&at, t->script),
        .func = kept(&at, t->func),
        .origin = kept(&at, t->origin),
        .origin_id = kept(&at, t->origin_id),
        .args = kept(&at, t->args),
        .label = kept(&at, t->label),
        .trigger_us = t->trigger_us,
        .due_us = t->trigger_us,
        .queue = t->queue,
        .attempt = 1,
        .max_attempts = 1,
        .timeout_ms = t->timeout_ms,
        .expires_ms = t->expires_ms,
    };
    const tn_call_req req = {
        .size = sizeof req,
        .script = c->info.script,
        .func = c->info.func,
        .origin = c->info.origin,
        .origin_id = c->info.origin_id,
        .args = c->info.args,
        .queue = t->queue,
        .timeout_ms = t->timeout_ms,
        .expires_ms = t->expires_ms,
        .user = c,
        .done = call_done,
        .task_id = c->info.id,
        .trigger_us = t->trigger_us,
    };
    tn_rc rc = broker_submit(h->broker, &req, &call, &err);
    if (rc != TN_OK) {
        free(c);
        done(done_user, rc, rc == TN_E_LIMIT ? busy : err.msg);
    }
}

/* ---- life ------------------------------------------------------------------------------------ */
tn_rc subs_open(struct hub *h, tn_err *err)
{
    const char *least = settings_dff(&h->settings, "_WORKER_QUEUE_LIMIT_MIN");
    int64_t most = 0;
    tn_rc rc = sources_create(h, err);
    if (rc != TN_OK) {
        return rc;
    }
    const struct subs_deps deps = {
        .user = &h->sub_sources->self,
        .source = dep_source,
        .holds = dep_holds,
        .submit = dep_submit,
        .call = dep_call,
        .waiting = dep_waiting,
        .waiting_max = str_to_i64(str_of(least), &most) && most > 0 ? most : 10000,
    };
    return subs_create(h->loop, &deps, &h->subs, err);
}

void subs_close(struct hub *h)
{
    subs_destroy(h->subs);
    h->subs = NULL;
    if (h->sub_sources != NULL) {
        for (size_t i = 0; i < h->sub_sources->n; i++) {
            plug_detach(&h->sub_sources->all[i].hp.pi);
        }
        pthread_mutex_destroy(&h->sub_sources->lock);
        free(h->sub_sources->all);
        free(h->sub_sources);
        h->sub_sources = NULL;
    }
}

/* ---- the host table -------------------------------------------------------------------------- */
static struct subs *of(void *ctx)
{
    return host_hub(ctx)->subs;
}

static tn_rc su_put(void *ctx, tn_str connector, tn_str type, tn_str config,
                    const tn_sub_plan *plans, uint32_t n, tn_err *err)
{
    return subs_put(of(ctx), connector, type, config, plans, n, err);
}

static tn_rc su_status(void *ctx, tn_str connector, tn_text *ret, tn_err *err)
{
    struct buf b = BUF_INIT(0);
    tn_rc rc = subs_status(of(ctx), connector, &b, err);
    if (rc == TN_OK) {
        ret->s = buf_take(&b, &ret->n);
    }
    buf_finish(&b);
    return rc;
}

static void su_consuming(void *ctx, tn_sub *u)
{
    subs_consuming(of(ctx), u);
}

static tn_rc su_deliver(void *ctx, tn_sub *u, tn_str topic, tn_str message, uint64_t tag,
                        uint32_t flags, tn_err *err)
{
    return subs_deliver(of(ctx), u, topic, message, tag, flags, err);
}

static uint32_t su_done(void *ctx, tn_sub *u, tn_sub_done *ret, uint32_t cap)
{
    return subs_done(of(ctx), u, ret, cap);
}

static void su_lag(void *ctx, tn_sub *u, int64_t messages)
{
    subs_lag(of(ctx), u, messages);
}

const tn_host_subs subs_ops = {
    .size = sizeof subs_ops,
    .put = su_put,
    .status = su_status,
    .consuming = su_consuming,
    .deliver = su_deliver,
    .done = su_done,
    .lag = su_lag,
};
