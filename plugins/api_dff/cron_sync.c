/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps the kernel's schedules equal to what the store says: jobs, functions that run by themselves,
 * what scripts have set. Only what has changed is handed on, so it may be called at every change. */
#include "cron.h"
#include "sub.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CTX   api.host->ctx
#define SCHED api.host->schedules
#define CHUNK 1024 /* schedules that are handed over together, rows that are read at a time */
#define TICK  1000000000ull

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static json_t *known;               /* (lock) id -> what the kernel was told, as text */
static _Atomic int64_t next_change; /* when something that scripts set runs out, us; 0 = nothing */
static bool started;                /* (lock) cron_sync_start() was here */
static bool told;                   /* (lock) that there is no trigger */

#define COLUMNS                                                                                     \
    "SELECT seq, id, funcId, funcCallKwargsJSON, cronExpr, timezone, expireTime, taskRecordLimit, " \
    "isDisabled, overlapPolicy, catchUpPolicy, catchUpWindow FROM biz_main_cron_job"

/* ---- rows ------------------------------------------------------------------------------------ */
static tn_str member(const json_t *row, const char *key)
{
    const json_t *v = json_object_get(row, key);
    return json_is_string(v) ? (tn_str){json_string_value(v), json_string_length(v)}
                             : (tn_str){NULL, 0};
}

static int64_t number(const json_t *row, const char *key, int64_t dflt)
{
    const json_t *v = json_object_get(row, key);
    return json_is_integer(v) ? json_integer_value(v) : json_is_boolean(v) ? json_is_true(v) : dflt;
}

struct cron_job cron_job_of(const json_t *row)
{
    return (struct cron_job){
        .id = member(row, "id"),
        .func_id = member(row, "funcId"),
        .expr = member(row, "cronExpr"),
        .timezone = member(row, "timezone"),
        .kwargs = member(row, "funcCallKwargsJSON"),
        .overlap = member(row, "overlapPolicy"),
        .catchup = member(row, "catchUpPolicy"),
        .catchup_window_s = number(row, "catchUpWindow", 86400),
        .expires_us = number(row, "expireTime", 0),
        .record_limit = number(row, "taskRecordLimit", -1),
        .disabled = number(row, "isDisabled", 0) != 0,
    };
}

static json_t *rows_of(const char *sql, const char *id, tn_err *err)
{
    tn_text text = {0};
    json_t *params = id != NULL ? json_pack("[s]", id) : json_array();
    char *p = json_dumps(params, JSON_COMPACT);
    json_decref(params);
    tn_rc rc = p != NULL ? api.host->entities->sql(CTX, NULL, sql, text_of(p), &text, NULL, err)
                         : api.host->fail(err, TN_E_NOMEM, "no memory for cron jobs");
    free(p);
    if (rc != TN_OK) {
        return NULL;
    }
    json_t *rows = json_loadb(text.s, text.n, JSON_ALLOW_NUL, NULL);
    api.host->free(CTX, text.s);
    if (!json_is_array(rows)) {
        json_decref(rows);
        api.host->fail(err, TN_E_INTERNAL, "rows of cron jobs are not readable");
        return NULL;
    }
    return rows;
}

json_t *cron_job_row(tn_str id, tn_err *err)
{
    char *key = text_dup(id);
    json_t *rows = key != NULL ? rows_of(COLUMNS " WHERE id = ?", key, err)
                               : (api.host->fail(err, TN_E_NOMEM, "out of memory"), NULL);
    json_t *row = json_incref(json_array_get(rows, 0));
    if (rows != NULL && row == NULL) {
        api.host->fail(err, TN_E_NOTFOUND, "no cron job %.200s", key);
    }
    json_decref(rows);
    free(key);
    return row;
}

/* ---- what the kernel was told ---------------------------------------------------------------- */
static void sign(const struct cron_plan *p, char ret[33])
{
    const tn_schedule *s = &p->sched;
    const tn_task_req *t = &p->task;
    struct str b = {0};
    const tn_str texts[] = {s->expr, s->timezone, t->script,      t->func,    t->origin,
                            t->args, t->vars,     t->overlap_key, t->retry_on};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        str_add(&b, (const char *)&texts[i].n, sizeof texts[i].n);
        str_add(&b, texts[i].s != NULL ? texts[i].s : "", texts[i].n);
    }
    const int64_t numbers[] = {s->flags,      s->catchup,         s->catchup_window_s,
                               s->spread_s,   s->paused_until_us, s->expires_us,
                               t->flags,      t->queue,           t->timeout_ms,
                               t->expires_ms, t->max_attempts,    t->backoff_ms,
                               t->jitter_pct, t->overlap,         t->backoff_max_ms,
                               s->ndelays};
    str_add(&b, (const char *)numbers, sizeof numbers);
    str_add(&b, (const char *)s->delays_s, s->ndelays * sizeof *s->delays_s);
    md5_hex(str_view(&b).s, str_view(&b).n, ret);
    str_free(&b);
}

/* Plans that are handed over together. */
struct chunk {
    struct cron_plan plans[CHUNK];
    tn_schedule scheds[CHUNK];
    char ids[CHUNK][328]; /* NUL-terminated, for `known` */
    char signs[CHUNK][33];
    uint32_t n;
    tn_rc rc;
};

static void chunk_flush(struct chunk *c, tn_err *err)
{
    if (c->n > 0 && c->rc == TN_OK) {
        c->rc = SCHED->put(CTX, c->scheds, c->n, err);
    }
    for (uint32_t i = 0; i < c->n; i++) {
        if (c->rc == TN_OK) {
            json_object_set_new(known, c->ids[i], json_string(c->signs[i]));
        }
        cron_plan_free(&c->plans[i]);
    }
    c->n = 0;
}

static void chunk_add(struct chunk *c, const struct cron_job *j, const struct snapshot *snap,
                      json_t *seen, tn_err *err)
{
    struct cron_plan *p = &c->plans[c->n];
    struct cron_state st = cron_state_of(j->id);
    int64_t soon = atomic_load(&next_change);
    if (j->id.n == 0 || j->id.n >= sizeof c->ids[0]) {
        return;
    }
    if (st.expr_until_us != 0 && (soon == 0 || st.expr_until_us < soon)) {
        atomic_store(&next_change, st.expr_until_us);
    }
    cron_plan_make(j, snapshot_func(snap, j->func_id), &st, p);
    memcpy(c->ids[c->n], j->id.s, j->id.n);
    c->ids[c->n][j->id.n] = '\0';
    sign(p, c->signs[c->n]);
    if (seen != NULL) {
        json_object_set_new(seen, c->ids[c->n], json_true());
    }
    const char *was = json_string_value(json_object_get(known, c->ids[c->n]));
    if (was != NULL && strcmp(was, c->signs[c->n]) == 0) {
        cron_plan_free(p);
        return;
    }
    c->scheds[c->n] = p->sched;
    c->scheds[c->n].id = text_of(c->ids[c->n]);
    c->scheds[c->n].task = &p->task;
    if (++c->n == CHUNK) {
        chunk_flush(c, err);
    }
}

/* A function that runs by itself is a job without a row. */
static void chunk_add_auto(struct chunk *c, const struct snap_func *f, const struct snapshot *snap,
                           json_t *seen, tn_err *err)
{
    char id[328];
    if (f->id.n + sizeof CRON_AUTO > sizeof id) {
        return;
    }
    memcpy(id, CRON_AUTO, sizeof CRON_AUTO - 1);
    memcpy(id + sizeof CRON_AUTO - 1, f->id.s, f->id.n);
    const struct cron_job j = {
        .id = {id, sizeof CRON_AUTO - 1 + f->id.n},
        .func_id = f->id,
        .expr = f->auto_cron,
        .kwargs = TN_STR("{}"),
        .catchup_window_s = 86400,
        .record_limit = -1,
        .automatic = true,
    };
    chunk_add(c, &j, snap, seen, err);
}

/* Drops what is not there any more. */
static void forget(json_t *seen)
{
    const char *id;
    json_t *sign_text;
    void *next;
    json_object_foreach_safe(known, next, id, sign_text)
    {
        if (json_object_get(seen, id) == NULL) {
            SCHED->drop(CTX, text_of(id));
            json_object_del(known, id);
        }
    }
}

static tn_rc sync_end(struct chunk *c, tn_err *err)
{
    chunk_flush(c, err);
    tn_rc rc = c->rc;
    free(c);
    if (rc == TN_E_UNSUPP) {
        if (!told) {
            api.host->log(CTX, TN_LOG_WARNING, "cron jobs do not run: %s", err->msg);
            told = true;
        }
        *err = (tn_err)TN_ERR_INIT;
        return TN_OK;
    }
    return rc;
}

static struct chunk *sync_begin(tn_err *err)
{
    struct chunk *c = calloc(1, sizeof *c);
    if (known == NULL) {
        known = json_object();
    }
    if (c == NULL) {
        api.host->fail(err, TN_E_NOMEM, "no memory for cron jobs");
    }
    return c;
}

/* The jobs of the store, page after page: whoever changes one meanwhile waits for the lock and
 * brings it up to date after us. */
static tn_rc add_rows(struct chunk *c, const struct snapshot *snap, json_t *seen, tn_err *err)
{
    json_int_t last = -1;
    for (bool more = true; more;) {
        char sql[512];
        json_t *row;
        size_t i;
        snprintf(sql, sizeof sql, COLUMNS " WHERE seq > %lld ORDER BY seq LIMIT %d",
                 (long long)last, CHUNK);
        json_t *rows = rows_of(sql, NULL, err);
        if (rows == NULL) {
            return err->rc;
        }
        more = json_array_size(rows) == CHUNK;
        json_array_foreach(rows, i, row)
        {
            struct cron_job j = cron_job_of(row);
            chunk_add(c, &j, snap, seen, err);
            last = json_integer_value(json_object_get(row, "seq"));
        }
        chunk_flush(c, err); /* what waits in it borrows from these rows */
        json_decref(rows);
    }
    return TN_OK;
}

tn_rc cron_sync(tn_err *err)
{
    struct snapshot *snap = NULL;
    const struct snap_func *f;
    pthread_mutex_lock(&lock);
    if (!started) {
        pthread_mutex_unlock(&lock);
        return TN_OK;
    }
    atomic_store(&next_change, 0);
    struct chunk *c = sync_begin(err);
    tn_rc rc = c != NULL ? snapshot_load(api.host, &snap, err) : err->rc; /* our own: no lock */
    /* The first time there is nothing to forget. */
    json_t *seen = json_object_size(known) > 0 ? json_object() : NULL;
    rc = rc == TN_OK ? add_rows(c, snap, seen, err) : rc;
    for (size_t i = 0; rc == TN_OK && snapshot_each_auto(snap, &i, &f);) {
        if (f->auto_cron.n > 0) {
            chunk_add_auto(c, f, snap, seen, err);
        }
    }
    if (rc == TN_OK) {
        rc = sync_end(c, err);
        c = NULL;
    }
    if (rc == TN_OK && seen != NULL) {
        forget(seen);
    }
    free(c);
    snapshot_free(snap);
    json_decref(seen);
    pthread_mutex_unlock(&lock);
    return rc;
}

tn_rc funcs_changed(tn_err *err)
{
    tn_rc rc = snapshot_reload(err);
    rc = rc == TN_OK ? cron_sync(err) : rc;
    return rc == TN_OK ? subs_sync(err) : rc;
}

tn_rc cron_sync_job(tn_str id, tn_err *err)
{
    if (text_has_prefix(id, CRON_AUTO)) {
        return cron_sync(err);
    }
    struct snapshot *snap = NULL;
    pthread_mutex_lock(&lock);
    json_t *row = cron_job_row(id, err);
    struct chunk *c = row != NULL ? sync_begin(err) : NULL;
    tn_rc rc = err->rc;
    if (row == NULL && err->rc == TN_E_NOTFOUND) { /* deleted */
        char *key = text_dup(id);
        *err = (tn_err)TN_ERR_INIT;
        rc = TN_OK;
        if (key != NULL && json_object_del(known, key) == 0) {
            SCHED->drop(CTX, id);
        }
        free(key);
    } else if (c != NULL && (rc = snapshot_load(api.host, &snap, err)) == TN_OK) {
        struct cron_job j = cron_job_of(row);
        chunk_add(c, &j, snap, NULL, err);
        rc = sync_end(c, err);
        c = NULL;
    }
    free(c);
    snapshot_free(snap);
    json_decref(row);
    pthread_mutex_unlock(&lock);
    return rc;
}

/* ---- what runs out --------------------------------------------------------------------------- */
static tn_timer *timer; /* loop thread */

static void tick_sync(void *user)
{
    tn_err err = TN_ERR_INIT;
    (void)user;
    if (cron_sync(&err) != TN_OK) {
        api.host->log(CTX, TN_LOG_ERROR, "cron jobs are not up to date: %s", err.msg);
        atomic_store(&next_change, api.host->wall_us() + 5000000);
    }
}

static void tick(void *user)
{
    tn_err err = TN_ERR_INIT;
    int64_t at = atomic_load(&next_change);
    (void)user;
    if (at != 0 && at <= api.host->wall_us()) {
        atomic_store(&next_change, 0);
        if (api.host->loop->defer(CTX, tick_sync, NULL, &err) != TN_OK) {
            atomic_store(&next_change, at);
        }
    }
    api.host->loop->timer_set(CTX, timer, api.host->now_ns() + TICK);
}

static void timer_start(void *user)
{
    tn_err err = TN_ERR_INIT;
    (void)user;
    if (api.host->loop->timer(CTX, tick, NULL, &timer, &err) != TN_OK) {
        api.host->log(CTX, TN_LOG_ERROR, "expressions set by scripts will not run out: %s",
                      err.msg);
        return;
    }
    tick(NULL);
}

tn_rc cron_sync_start(tn_err *err)
{
    pthread_mutex_lock(&lock);
    started = true;
    pthread_mutex_unlock(&lock);
    api.host->loop->post(CTX, timer_start, NULL);
    return cron_sync(err);
}
