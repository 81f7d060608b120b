/* SPDX-License-Identifier: Apache-2.0 */
/* Which subscriptions there are: compared with what the api wants, started, stopped, kept. */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"
#include "kernel/conf/conf.h"
#include "kernel/hub/subs_int.h"
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* ---- plans ----------------------------------------------------------------------------------- */
static const size_t task_texts[] = {
    offsetof(tn_task_req, script), offsetof(tn_task_req, func),
    offsetof(tn_task_req, origin), offsetof(tn_task_req, origin_id),
    offsetof(tn_task_req, vars),   offsetof(tn_task_req, retry_on),
    offsetof(tn_task_req, label),  offsetof(tn_task_req, overlap_key),
};
#define TASK_TEXTS (sizeof task_texts / sizeof *task_texts)

static tn_str *text_at(tn_task_req *t, size_t i)
{
    return (tn_str *)(void *)((char *)t + task_texts[i]);
}

static struct sub_plan *plan_new(const tn_sub_plan *plan)
{
    const tn_task_req *given = plan->task;
    tn_task_req task = {0}, kept = {0};
    memcpy(&task, given, given->size < sizeof task ? given->size : sizeof task);
    kept = task;
    kept.id = kept.root_id = kept.args = kept.http = kept.idempotency = (tn_str){NULL, 0};
    kept.fingerprint = kept.schedule = kept.reason = (tn_str){NULL, 0};
    kept.trigger_us = kept.due_us = 0;
    size_t bytes = 0;
    for (size_t i = 0; i < TASK_TEXTS; i++) {
        bytes += text_at(&task, i)->n;
    }
    struct sub_plan *p = malloc(sizeof *p + bytes);
    if (p == NULL) {
        return NULL;
    }
    char *at = (char *)(p + 1);
    atomic_init(&p->refs, 1);
    p->kept = (plan->flags & TN_SUB_KEPT) != 0;
    p->task = kept;
    p->task.size = sizeof p->task;
    for (size_t i = 0; i < TASK_TEXTS; i++) {
        tn_str *s = text_at(&p->task, i);
        if (s->s != NULL) {
            memcpy(at, s->s, s->n);
            s->s = at;
            at += s->n;
        }
    }
    return p;
}

void plan_unref(struct sub_plan *p)
{
    if (p != NULL && atomic_fetch_sub(&p->refs, 1) == 1) {
        free(p);
    }
}

/* ---- one subscription ------------------------------------------------------------------------ */
tn_sub *sub_ref(tn_sub *u)
{
    atomic_fetch_add(&u->refs, 1);
    return u;
}

void sub_unref(tn_sub *u)
{
    if (u == NULL || atomic_fetch_sub(&u->refs, 1) != 1) {
        return;
    }
    flow_finish(u);
    plan_unref(u->plan);
    if (u->conf != NULL) {
        conf_free(u->source.ops->sub_config, u->conf);
        free(u->conf);
    }
    if (u->stop_fd >= 0) {
        close(u->stop_fd);
    }
    if (u->done_fd >= 0) {
        close(u->done_fd);
    }
    sub_unref(u->after);
    pthread_mutex_destroy(&u->lock);
    free(u->connector);
    free(u->topic);
    free(u->func);
    free(u);
}

/* Hex of a digest over texts with a zero byte behind each. */
static void digest(const tn_str *texts, size_t n, char *ret, size_t bytes)
{
    unsigned char out[crypto_generichash_BYTES_MIN];
    crypto_generichash_state st;
    crypto_generichash_init(&st, NULL, 0, sizeof out);
    for (size_t i = 0; i < n; i++) {
        crypto_generichash_update(&st, (const unsigned char *)texts[i].s, texts[i].n);
        crypto_generichash_update(&st, (const unsigned char *)"", 1);
    }
    crypto_generichash_final(&st, out, sizeof out);
    sodium_bin2hex(ret, 2 * bytes + 1, out, bytes);
}

static bool has_field(const tn_field *f, const char *name)
{
    while (f->name != NULL && strcmp(f->name, name) != 0) {
        f++;
    }
    return f->name != NULL;
}

/* The rows of the plugin's table out of the connector's configuration; an empty value is the default, as
 * for connectors. */
static tn_rc conf_make(tn_sub *u, tn_str config, tn_err *err)
{
    const tn_trigger_ops *ops = u->source.ops;
    struct conf all, own;
    struct conf_problems problems = {.text = BUF_INIT(0)};
    conf_init(&all);
    conf_init(&own);
    tn_rc rc = conf_read_json(&all, "configJSON", config, err);
    for (size_t i = 0; rc == TN_OK && i < all.n; i++) {
        const char *value = all.items[i].joined != NULL ? all.items[i].joined : all.items[i].value;
        char key[256];
        conf_snake(all.items[i].key, key, sizeof key);
        if (value[0] != '\0' && has_field(ops->sub_config, key)) {
            rc = conf_set(&own, key, value, all.items[i].where);
        }
    }
    u->conf = rc == TN_OK ? calloc(1, ops->sub_conf_size + 1ul) : NULL;
    if (rc == TN_OK && u->conf == NULL) {
        rc = err_set(err, TN_E_NOMEM, "no memory for a configuration");
    }
    if (rc == TN_OK && conf_bind(&own, "", ops->sub_config, u->conf, &problems) != TN_OK) {
        rc = err_set(err, TN_E_CONFIG, "the configuration does not suit: %.300s",
                     problems.text.data != NULL ? problems.text.data : "?");
    }
    conf_problems_finish(&problems);
    conf_wipe(&own);
    conf_wipe(&all);
    return rc;
}

static tn_sub *sub_new(struct subs *s, tn_str connector, const tn_sub_plan *p)
{
    tn_sub *u = calloc(1, sizeof *u);
    if (u == NULL) {
        return NULL;
    }
    u->s = s;
    atomic_init(&u->refs, 1);
    list_init(&u->link);
    list_init(&u->waiting);
    list_init(&u->under_way);
    list_init(&u->done);
    pthread_mutex_init(&u->lock, NULL);
    u->flags = p->flags & ~TN_SUB_KEPT;
    u->lag = -1;
    u->since_ms = clock_wall_us() / 1000;
    if (p->size >= offsetof(tn_sub_plan, since_us) + sizeof p->since_us) {
        u->wanted_us = p->since_us;
    }
    u->connector = str_dup(connector);
    u->topic = str_dup(p->topic);
    u->func = str_dup(p->func);
    u->plan = plan_new(p);
    u->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    u->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (u->connector == NULL || u->topic == NULL || u->func == NULL || u->plan == NULL ||
        u->stop_fd < 0 || u->done_fd < 0) {
        sub_unref(u);
        return NULL;
    }
    return u;
}

/* (subs.lock) */
static void stop_one(tn_sub *u)
{
    uint64_t one = 1;
    if (!u->stopping) {
        u->stopping = true;
        u->s->nlive--;
        ssize_t n = write(u->stop_fd, &one, sizeof one);
        (void)n;
    }
}

/* (subs.lock) */
static bool may_leave(tn_sub *u)
{
    bool empty = false;
    if (u->stopping && u->ended) {
        pthread_mutex_lock(&u->lock);
        empty = u->nwaiting == 0 && u->nunder_way == 0;
        pthread_mutex_unlock(&u->lock);
    }
    return empty;
}

void sub_leave(tn_sub *u)
{
    pthread_mutex_lock(&u->s->lock);
    bool gone = !list_empty(&u->link) && may_leave(u);
    if (gone) {
        list_del(&u->link);
    }
    pthread_mutex_unlock(&u->s->lock);
    if (gone) {
        sub_unref(u);
    }
}

/* ---- all of them ----------------------------------------------------------------------------- */
/* (put_lock) The one that is wanted and there already, with this configuration. */
static tn_sub *find_same(struct subs *s, const char *uid, const char *config_id, uint32_t flags)
{
    tn_sub *found = NULL;
    pthread_mutex_lock(&s->lock);
    list_for_each(it, &s->all) {
        tn_sub *u = list_entry(it, tn_sub, link);
        if (!u->stopping && strcmp(u->uid, uid) == 0 && strcmp(u->config_id, config_id) == 0 &&
            u->flags == flags) {
            found = u;
            break;
        }
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

/* Into the list; whoever has its uid stops, and must end before it begins. */
static tn_rc enter(struct subs *s, tn_sub *u, tn_err *err)
{
    tn_rc rc = TN_OK;
    pthread_mutex_lock(&s->lock);
    if (s->drained) {
        rc = err_set(err, TN_E_UNAVAIL, "the platform stops");
    } else if (s->nlive >= SUBS_MAX) {
        rc = err_set(err, TN_E_LIMIT, "there are %d subscriptions already", SUBS_MAX);
    } else {
        list_for_each(it, &s->all) {
            tn_sub *old = list_entry(it, tn_sub, link);
            if (strcmp(old->uid, u->uid) == 0) {
                stop_one(old);
                sub_unref(u->after); /* the newest of them waits for those before */
                u->after = sub_ref(old);
            }
        }
        list_push_back(&s->all, &u->link);
        s->nlive++;
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

static void plan_swap(tn_sub *u, const tn_sub_plan *plan)
{
    struct sub_plan *p = plan_new(plan);
    pthread_mutex_lock(&u->lock);
    struct sub_plan *old = p != NULL ? u->plan : NULL;
    u->plan = p != NULL ? p : u->plan;
    pthread_mutex_unlock(&u->lock);
    plan_unref(old);
}

static tn_rc start_one(struct subs *s, tn_str connector, tn_str config, const char *type,
                       const tn_sub_plan *p, const char *uid, const char *config_id, tn_err *err)
{
    tn_err why = TN_ERR_INIT;
    tn_sub *u = sub_new(s, connector, p);
    if (u == NULL) {
        return err_set(err, TN_E_NOMEM, "no memory for a subscription");
    }
    memcpy(u->uid, uid, sizeof u->uid);
    memcpy(u->config_id, config_id, sizeof u->config_id);
    tn_rc rc = s->deps.source(s->deps.user, type, &u->source, &why);
    rc = rc == TN_OK ? conf_make(u, config, &why) : rc;
    tn_rc entered = enter(s, u, err);
    if (entered != TN_OK) {
        sub_unref(u);
        return entered;
    }
    rc = rc == TN_OK ? sub_thread_start(u, &why) : rc;
    if (rc != TN_OK) {
        sub_state_set(u, SUB_FAILED, why.msg);
        log_warn("connector %s cannot subscribe %s: %s", u->connector, u->topic, why.msg);
        pthread_mutex_lock(&s->lock);
        u->ended = true;
        pthread_mutex_unlock(&s->lock);
    }
    return TN_OK;
}

static bool wanted(const char *uid, char (*uids)[17], uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (strcmp(uid, uids[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Stops what is not in `uids`. */
static void stop_others(struct subs *s, tn_str connector, char (*uids)[17], uint32_t n)
{
    tn_sub *gone[64];
    size_t ngone;
    do {
        ngone = 0;
        pthread_mutex_lock(&s->lock);
        list_for_each(it, &s->all) {
            tn_sub *u = list_entry(it, tn_sub, link);
            if (str_is(connector, u->connector) && !wanted(u->uid, uids, n)) {
                stop_one(u);
            }
            if (ngone < 64 && may_leave(u)) { /* who holds messages leaves when they are stored */
                gone[ngone++] = sub_ref(u);
            }
        }
        pthread_mutex_unlock(&s->lock);
        for (size_t i = 0; i < ngone; i++) {
            sub_leave(gone[i]);
            sub_unref(gone[i]);
        }
    } while (ngone == 64);
}

tn_rc subs_put(struct subs *s, tn_str connector, tn_str type, tn_str config,
               const tn_sub_plan *plans, uint32_t n, tn_err *err)
{
    tn_rc rc = TN_OK;
    uint32_t made = 0;
    char config_id[33], *kind = str_dup(type);
    char(*uids)[17] = calloc(n + 1ul, sizeof *uids);
    const tn_str whole[] = {type, config};
    if (uids == NULL || kind == NULL || n > SUBS_MAX) {
        rc = n > SUBS_MAX
                 ? err_set(err, TN_E_LIMIT,
                           "connector \"%.*s\" has %u subscriptions, at most %d are possible",
                           (int)connector.n, connector.s, n, SUBS_MAX)
                 : err_set(err, TN_E_NOMEM, "no memory for subscriptions");
        goto undo;
    }
    digest(whole, 2, config_id, 16);
    pthread_mutex_lock(&s->put_lock);
    const char *at = (const char *)plans; /* elements are as large as the caller's header says */
    for (uint32_t i = 0; i < n; i++, at += plans->size) {
        const tn_sub_plan *p = (const tn_sub_plan *)(const void *)at;
        const tn_str names[] = {connector, p->topic, p->func};
        digest(names, 3, uids[i], 8);
    }
    stop_others(s, connector, uids, n);
    at = (const char *)plans;
    for (; rc == TN_OK && made < n; made++, at += plans->size) {
        const tn_sub_plan *p = (const tn_sub_plan *)(const void *)at;
        if (wanted(uids[made], uids, made)) {
            continue; /* the same handler twice, maybe with another way of delivery: the first counts */
        }
        tn_sub *same = find_same(s, uids[made], config_id, p->flags & ~TN_SUB_KEPT);
        if (same != NULL) {
            plan_swap(same, p);
        } else {
            rc = start_one(s, connector, config, kind, p, uids[made], config_id, err);
        }
    }
    pthread_mutex_unlock(&s->put_lock);
undo:
    free(uids);
    free(kind);
    return rc;
}

/* ---- life ------------------------------------------------------------------------------------ */
tn_rc subs_create(struct loop *loop, const struct subs_deps *deps, struct subs **ret, tn_err *err)
{
    struct subs *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return err_set(err, TN_E_NOMEM, "no memory for subscriptions");
    }
    s->loop = loop;
    s->deps = *deps;
    tn_rc rc = loop_timer(loop, flow_retry, s, &s->timer, err);
    if (rc != TN_OK) {
        free(s);
        return rc;
    }
    pthread_mutex_init(&s->put_lock, NULL);
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->changed, &attr);
    pthread_condattr_destroy(&attr);
    list_init(&s->all);
    *ret = s;
    return TN_OK;
}

void subs_drain(struct subs *s)
{
    pthread_mutex_lock(&s->lock);
    s->drained = true;
    list_for_each(it, &s->all) {
        stop_one(list_entry(it, tn_sub, link));
    }
    pthread_mutex_unlock(&s->lock);
}

int subs_busy(struct subs *s)
{
    int busy = 0;
    pthread_mutex_lock(&s->lock);
    busy = s->nthreads > 0;
    list_for_each(it, &s->all) {
        tn_sub *u = list_entry(it, tn_sub, link);
        pthread_mutex_lock(&u->lock);
        busy |= u->nunder_way > 0 || (u->nwaiting > 0 && u->held[0] == '\0');
        pthread_mutex_unlock(&u->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return busy;
}

#define PATIENCE_S 10 /* plugins have three seconds, and may be in the middle of connecting */
int subs_stop(struct subs *s)
{
    struct timespec end;
    if (s == NULL) {
        return 1;
    }
    subs_drain(s);
    atomic_store(&s->stopped, 1);
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&s->lock);
    int rc = 0;
    while (s->nthreads > 0 && rc == 0) {
        rc = pthread_cond_timedwait(&s->changed, &s->lock, &end);
    }
    uint32_t left = s->nthreads;
    pthread_mutex_unlock(&s->lock);
    if (left > 0) {
        log_error("%u subscriptions did not stop within %d s", left, PATIENCE_S);
        return 0;
    }
    loop_timer_free(s->loop, s->timer);
    s->timer = NULL;
    return 1;
}

void subs_destroy(struct subs *s)
{
    if (s == NULL) {
        return;
    }
    for (struct list *l; (l = list_pop_front(&s->all)) != NULL;) {
        sub_unref(list_entry(l, tn_sub, link));
    }
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->put_lock);
    free(s);
}
