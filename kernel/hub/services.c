/* SPDX-License-Identifier: Apache-2.0 */
/* What running scripts ask for: published code (kept here) and the services of api plugins. Also
 * the host's view of the broker. */
#include "kernel/base/err.h"
#include "kernel/base/killpoint.h"
#include "kernel/base/list.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"
#include "kernel/hub/cache.h"
#include "kernel/hub/hub.h"
#include "kernel/ipc/frame.h"
#include "kernel/value/json.h"
#include <sodium.h>
#include <stdlib.h>

struct entry {               /* published code of one script */
    char *source;
    size_t source_n;
    char *marshal;           /* from the zygote, NULL until it compiled */
    size_t marshal_n;
    uint64_t generation;     /* at which it was put */
    char id[33];             /* BLAKE2b-128 of the source, hex */
};
struct stage {               /* put/drop of one thread before its commit */
    struct stage *next;
    pthread_t thread;
    char *script;
    struct entry *entry;     /* NULL = drop */
};
struct service {
    uint32_t flags;
    void (*handler)(void *user, tn_str payload, void *token);
    void *user;
};
struct code {
    pthread_mutex_t lock;
    struct map entries;      /* script id -> struct entry * */
    struct stage *staged;
    uint64_t generation;
};
struct services {
    struct map by_name;      /* written before the loop runs, then read only */
};

static void entry_free(void *p)
{
    struct entry *e = p;
    if (e != NULL) {
        free(e->source);
        free(e->marshal);
        free(e);
    }
}

tn_rc services_create(struct hub *h, tn_err *err)
{
    h->code = calloc(1, sizeof *h->code);
    h->services = calloc(1, sizeof *h->services);
    if (h->code == NULL || h->services == NULL) {
        free(h->code);
        free(h->services);
        h->code = NULL;
        h->services = NULL;
        return err_set(err, TN_E_NOMEM, "no memory for services");
    }
    pthread_mutex_init(&h->code->lock, NULL);
    map_init(&h->code->entries);
    map_init(&h->services->by_name);
    return TN_OK;
}

void services_destroy(struct hub *h)
{
    if (h->code != NULL) {
        while (h->code->staged != NULL) {
            struct stage *s = h->code->staged;
            h->code->staged = s->next;
            entry_free(s->entry);
            free(s->script);
            free(s);
        }
        map_finish(&h->code->entries, entry_free);
        pthread_mutex_destroy(&h->code->lock);
        free(h->code);
    }
    if (h->services != NULL) {
        map_finish(&h->services->by_name, free);
        free(h->services);
    }
}

/* ---- published code -------------------------------------------------------------------------- */
static tn_rc stage_add(struct code *c, tn_str script, struct entry *entry, tn_err *err)
{
    struct stage *s = calloc(1, sizeof *s);
    char *name = str_dup(script);
    if (s == NULL || name == NULL) {
        free(s);
        free(name);
        entry_free(entry);
        return err_set(err, TN_E_NOMEM, "no memory to publish %.*s", (int)script.n, script.s);
    }
    s->thread = pthread_self();
    s->script = name;
    s->entry = entry;
    pthread_mutex_lock(&c->lock);
    struct stage **at = &c->staged;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = s;
    pthread_mutex_unlock(&c->lock);
    return TN_OK;
}

static tn_rc calls_code_put(void *ctx, tn_str script, tn_str source, tn_str marshal, tn_err *err)
{
    struct hub *h = host_hub(ctx);
    struct entry *e = calloc(1, sizeof *e);
    TN_KILLPOINT("publish");
    if (e != NULL) {
        e->source = str_dup(source);
        e->source_n = source.n;
        if (marshal.n > 0) {
            e->marshal = str_dup(marshal);
            e->marshal_n = e->marshal != NULL ? marshal.n : 0;
        }
    }
    if (e == NULL || e->source == NULL) {
        entry_free(e);
        return err_set(err, TN_E_NOMEM, "no memory to publish %.*s", (int)script.n, script.s);
    }
    unsigned char sum[16];
    crypto_generichash(sum, sizeof sum, (const unsigned char *)source.s, source.n, NULL, 0);
    sodium_bin2hex(e->id, sizeof e->id, sum, sizeof sum);
    return stage_add(h->code, script, e, err);
}

static void calls_code_drop(void *ctx, tn_str script)
{
    tn_err err = TN_ERR_INIT;
    if (stage_add(host_hub(ctx)->code, script, NULL, &err) != TN_OK) {
        log_error("%s", err.msg);
    }
}

/* What the loop thread has to do after a commit, in order. */
struct changed {
    struct hub *hub;
    uint64_t generation;
    char *script;
    struct buf source;
    int drop;
};

static void changed_apply(void *user)
{
    struct changed *c = user;
    if (c->script == NULL) {
        broker_generation(c->hub->broker, c->generation);
    } else if (c->drop) {
        broker_unload(c->hub->broker, str_of(c->script));
    } else {
        broker_preload(c->hub->broker, str_of(c->script), c->generation, buf_str(&c->source));
    }
    buf_finish(&c->source);
    free(c->script);
    free(c);
}

static void changed_post(struct hub *h, uint64_t generation, const char *script,
                         const struct entry *e)
{
    struct changed *c = calloc(1, sizeof *c);
    if (c == NULL) {
        log_alert("no memory to announce generation %llu", (unsigned long long)generation);
        abort();
    }
    c->hub = h;
    c->generation = generation;
    buf_init(&c->source, 0);
    if (script != NULL) {
        c->script = str_dup(str_of(script));
        c->drop = e == NULL;
        if (e != NULL) {
            buf_add(&c->source, e->source, e->source_n);
        }
        if (c->script == NULL || c->source.failed) {
            buf_finish(&c->source);
            free(c->script);
            free(c);
            return; /* preloading only saves time */
        }
    }
    loop_post(h->loop, changed_apply, c);
}

static uint64_t calls_code_commit(void *ctx)
{
    struct hub *h = host_hub(ctx);
    struct code *c = h->code;
    pthread_mutex_lock(&c->lock);
    uint64_t generation = ++c->generation;
    /* The new generation is announced before anything else this thread posts, so an answer that
     * says "published" is sent after it. */
    changed_post(h, generation, NULL, NULL);
    for (struct stage **at = &c->staged; *at != NULL;) {
        struct stage *s = *at;
        if (!pthread_equal(s->thread, pthread_self())) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        if (s->entry != NULL) {
            s->entry->generation = generation;
            void *old = NULL;
            if (map_put(&c->entries, str_of(s->script), s->entry, &old) != 0) {
                log_alert("no memory to publish %s", s->script);
                abort();
            }
            entry_free(old);
        } else {
            entry_free(map_del(&c->entries, str_of(s->script)));
        }
        changed_post(h, generation, s->script, s->entry);
        free(s->script);
        free(s);
    }
    pthread_mutex_unlock(&c->lock);
    TN_KILLPOINT("published");
    return generation;
}

void services_compiled(void *user, tn_str script, uint64_t generation, tn_str marshal)
{
    struct code *c = ((struct hub *)user)->code;
    pthread_mutex_lock(&c->lock);
    struct entry *e = map_get(&c->entries, script);
    if (e != NULL && e->generation == generation && e->marshal == NULL && marshal.n > 0) {
        e->marshal = str_dup(marshal);
        e->marshal_n = e->marshal != NULL ? marshal.n : 0;
    }
    pthread_mutex_unlock(&c->lock);
}

/* payload {"script":"a__b","have":"<id>"} -> one JSON line, then source or compiled bytes. */
static void code_get(struct hub *h, tn_str payload, void *token)
{
    tn_json_member m[4];
    uint32_t kind, n = 0;
    tn_err err = TN_ERR_INIT;
    char script[600], have[80];
    size_t script_n = 0, have_n = 0;
    if (json_scan(payload, &kind, m, 4, &n, &err) != TN_OK || kind != TN_JSON_OBJECT) {
        broker_answer(h->broker, token, TN_E_INVAL, TN_STR("code.get wants {\"script\":…}"));
        return;
    }
    for (uint32_t i = 0; i < n && i < 4; i++) {
        if (m[i].kind != TN_JSON_STRING) {
            continue;
        }
        if (str_is(m[i].key, "script")) {
            script_n = json_unquote(m[i].value, script, sizeof script);
        } else if (str_is(m[i].key, "have")) {
            have_n = json_unquote(m[i].value, have, sizeof have);
        }
    }
    if (script_n == 0 || script_n > sizeof script) {
        broker_answer(h->broker, token, TN_E_NOTFOUND, TN_STR("no such script"));
        return;
    }
    struct buf out = BUF_INIT(0);
    tn_rc rc = TN_E_NOTFOUND;
    pthread_mutex_lock(&h->code->lock);
    const struct entry *e = map_get(&h->code->entries, (tn_str){script, script_n});
    if (e != NULL) {
        int same = have_n == 32 && memcmp(have, e->id, 32) == 0;
        buf_printf(&out, "{\"kind\":\"%s\",\"md5\":\"%s\",\"version\":%llu}\n",
                   same ? "same" : e->marshal != NULL ? "marshal" : "source", e->id,
                   (unsigned long long)e->generation);
        if (!same) {
            buf_add(&out, e->marshal != NULL ? e->marshal : e->source,
                    e->marshal != NULL ? e->marshal_n : e->source_n);
        }
        rc = out.failed ? TN_E_NOMEM : TN_OK;
    }
    pthread_mutex_unlock(&h->code->lock);
    broker_answer(h->broker, token, rc, rc == TN_OK ? buf_str(&out) : TN_STR("no such script"));
    buf_finish(&out);
}

/* ---- services -------------------------------------------------------------------------------- */
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
        code_get(h, payload, token);
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
               (unsigned long long)h->code->generation);
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
    .code_put = calls_code_put,
    .code_drop = calls_code_drop,
    .code_commit = calls_code_commit,
    .service = calls_service,
    .answer = calls_answer,
    .data_changed = calls_data_changed,
    .status = calls_status,
};
