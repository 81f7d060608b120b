/* SPDX-License-Identifier: Apache-2.0 */
/* What running scripts ask for, the services of api plugins, and the host's view of the broker. */
#include "kernel/base/err.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"
#include "kernel/hub/cache.h"
#include "kernel/hub/hub.h"
#include "kernel/ipc/frame.h"
#include <stdlib.h>

struct service {
    uint32_t flags;
    void (*handler)(void *user, tn_str payload, void *token);
    void *user;
};
struct services {
    struct map by_name; /* written before the loop runs, then read only */
};

tn_rc services_create(struct hub *h, tn_err *err)
{
    h->services = calloc(1, sizeof *h->services);
    if (h->services == NULL) {
        return err_set(err, TN_E_NOMEM, "no memory for services");
    }
    map_init(&h->services->by_name);
    return TN_OK;
}

void services_destroy(struct hub *h)
{
    if (h->services != NULL) {
        map_finish(&h->services->by_name, free);
        free(h->services);
    }
}

static tn_rc calls_service(void *ctx, const char *name, uint32_t flags,
                           void (*handler)(void *user, tn_str payload, void *token), void *user,
                           tn_err *err)
{
    struct hub *h = host_hub(ctx);
    struct service *s = malloc(sizeof *s);
    if (s == NULL) {
        return err_set(err, TN_E_NOMEM, "no memory for service %s", name);
    }
    *s = (struct service){flags, handler, user};
    tn_rc rc = TN_OK;
    pthread_mutex_lock(&h->lock);
    if (map_get(&h->services->by_name, str_of(name)) != NULL) {
        rc = err_set(err, TN_E_CONFLICT, "service %s is registered twice", name);
    } else if (map_put(&h->services->by_name, str_of(name), s, NULL) != 0) {
        rc = err_set(err, TN_E_NOMEM, "no memory for service %s", name);
    }
    pthread_mutex_unlock(&h->lock);
    if (rc != TN_OK) {
        free(s);
    }
    return rc;
}

struct question {
    struct hub *hub;
    struct service service;
    void *token;
    size_t n;
    char payload[];
};

static void question_run(void *user)
{
    struct question *q = user;
    q->service.handler(q->service.user, (tn_str){q->payload, q->n}, q->token);
    free(q);
}

void services_ask(void *user, tn_str service, tn_str payload, void *token)
{
    struct hub *h = user;
    if (str_is(service, "code.get")) {
        code_ask(h, payload, token);
        return;
    }
    if (str_is(service, IPC_SERVICE_HTTP)) {
        broker_request(h->broker, payload, token);
        return;
    }
    if (str_is(service, "config.get")) {
        struct buf out = BUF_INIT(0);
        settings_dff_json(&h->settings, &out);
        broker_answer(h->broker, token, out.failed ? TN_E_NOMEM : TN_OK, buf_str(&out));
        buf_finish(&out);
        return;
    }
    if (str_is(service, "pools.put")) {
        pools_watch_put(h, payload);
        broker_answer(h->broker, token, TN_OK, TN_STR(""));
        return;
    }
    if (str_is(service, "cache.run")) {
        hostcache_ask(h, payload, token);
        return;
    }
    pthread_mutex_lock(&h->lock);
    const struct service *s = map_get(&h->services->by_name, service);
    pthread_mutex_unlock(&h->lock);
    if (s == NULL) {
        broker_answer(h->broker, token, TN_E_UNSUPP, TN_STR("this platform has no such service"));
        return;
    }
    if (s->flags & TN_SERVICE_LOOP) {
        s->handler(s->user, payload, token);
        return;
    }
    struct question *q = malloc(sizeof *q + payload.n);
    tn_err err = TN_ERR_INIT;
    if (q == NULL) {
        broker_answer(h->broker, token, TN_E_NOMEM, TN_STR("no memory"));
        return;
    }
    *q = (struct question){h, *s, token, payload.n};
    if (payload.n > 0) {
        memcpy(q->payload, payload.s, payload.n);
    }
    if (loop_defer(h->loop, question_run, q, &err) != TN_OK) {
        free(q);
        broker_answer(h->broker, token, TN_E_LIMIT, str_of(err.msg));
    }
}

struct answer {
    struct hub *hub;
    void *token;
    tn_rc rc;
    size_t n;
    char payload[];
};

static void answer_give(void *user)
{
    struct answer *a = user;
    broker_answer(a->hub->broker, a->token, a->rc, (tn_str){a->payload, a->n});
    free(a);
}

static void calls_answer(void *ctx, void *token, tn_rc rc, tn_str payload)
{
    struct hub *h = host_hub(ctx);
    if (hub_on_loop(h)) {
        broker_answer(h->broker, token, rc, payload);
        return;
    }
    struct answer *a = malloc(sizeof *a + payload.n);
    if (a == NULL) {
        log_alert("no memory for the answer to a script");
        abort();
    }
    *a = (struct answer){h, token, rc, payload.n};
    if (payload.n > 0) {
        memcpy(a->payload, payload.s, payload.n);
    }
    loop_post(h->loop, answer_give, a);
}

static void data_gen_apply(void *user)
{
    struct hub *h = user;
    broker_data_gen(h->broker, atomic_load(&h->data_gen));
}

static void calls_data_changed(void *ctx)
{
    struct hub *h = host_hub(ctx);
    atomic_fetch_add(&h->data_gen, 1);
    loop_post(h->loop, data_gen_apply, h);
}

/* ---- calls ----------------------------------------------------------------------------------- */
static tn_rc calls_submit(void *ctx, const tn_call_req *req, tn_call **ret, tn_err *err)
{
    tn_call_req r; /* a plugin built against an older header hands over less */
    memset(&r, 0, sizeof r);
    memcpy(&r, req, req->size < sizeof r ? req->size : sizeof r);
    return broker_submit(host_hub(ctx)->broker, &r, ret, err);
}

static void calls_orphan(void *ctx, tn_call *call)
{
    broker_orphan(host_hub(ctx)->broker, call);
}

struct status_wait {
    struct hub *hub;
    struct buf out;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    int done, left; /* left: who asked has gone, as the loop has ended */
};

static void status_fill(struct hub *h, struct buf *out)
{
    buf_adds(out, "{\"broker\":");
    broker_status(h->broker, out);
    buf_adds(out, ",\"cache\":");
    cache_status(h->cache, out);
    buf_adds(out, ",\"isolation\":");
    broker_isolation(h->broker, out);
    buf_printf(out, ",\"exchanges\":%zu,\"generation\":%llu,\"counters\":{", exchanges_open(h),
               (unsigned long long)code_generation(h));
    pthread_mutex_lock(&h->lock);
    tn_str key;
    void *value;
    int first = 1;
    for (size_t i = 0; map_next(&h->counters, &i, &key, &value);) {
        if (!first) {
            buf_addc(out, ',');
        }
        first = 0;
        buf_quote(out, key);
        buf_addc(out, ':');
        buf_addi(out, *(int64_t *)value);
    }
    pthread_mutex_unlock(&h->lock);
    buf_adds(out, "}}");
}

static void status_free(struct status_wait *w)
{
    pthread_cond_destroy(&w->cond);
    pthread_mutex_destroy(&w->lock);
    buf_finish(&w->out);
    free(w);
}

static void status_run(void *user)
{
    struct status_wait *w = user;
    pthread_mutex_lock(&w->lock);
    int left = w->left;
    if (!left) {
        status_fill(w->hub, &w->out);
        w->done = 1;
        pthread_cond_signal(&w->cond);
    }
    pthread_mutex_unlock(&w->lock);
    if (left) {
        status_free(w);
    }
}

/* From a helper thread: the loop writes it. A loop that has ended runs nothing any more until the helpers are gone, so
 * nobody waits for it. */
static tn_rc status_ask(struct hub *h, struct buf *out, tn_err *err)
{
    struct status_wait *w = calloc(1, sizeof(*w));
    if (!w) {
        return err_set(err, TN_E_NOMEM, "no memory for the status");
    }
    w->hub = h;
    buf_init(&w->out, 0);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->cond, NULL);
    loop_post(h->loop, status_run, w);
    pthread_mutex_lock(&w->lock);
    while (!w->done && !atomic_load(&h->ended)) {
        struct timespec at;
        clock_gettime(CLOCK_REALTIME, &at);
        at.tv_nsec += 50000000;
        at.tv_sec += at.tv_nsec / 1000000000;
        at.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&w->cond, &w->lock, &at);
    }
    int done = w->done;
    w->left = !done;
    pthread_mutex_unlock(&w->lock);
    if (!done) {
        return err_set(err, TN_E_UNAVAIL, "the platform stops"); /* status_run() frees it */
    }
    *out = w->out;
    buf_init(&w->out, 0);
    status_free(w);
    return TN_OK;
}

static tn_rc calls_status(void *ctx, tn_text *ret, tn_err *err)
{
    struct hub *h = host_hub(ctx);
    struct buf out = BUF_INIT(0);
    if (hub_on_loop(h)) {
        status_fill(h, &out);
    } else {
        tn_rc rc = status_ask(h, &out, err);
        if (rc) {
            return rc;
        }
    }
    ret->s = buf_take(&out, &ret->n);
    return ret->s != NULL ? TN_OK : err_set(err, TN_E_NOMEM, "no memory for the status");
}

const tn_host_calls services_calls_ops = {
    .size = sizeof services_calls_ops,
    .submit = calls_submit,
    .orphan = calls_orphan,
    .code_put = code_put,
    .code_drop = code_drop,
    .code_commit = code_commit,
    .service = calls_service,
    .answer = calls_answer,
    .data_changed = calls_data_changed,
    .status = calls_status,
};
