/* SPDX-License-Identifier: Apache-2.0 */
/* The host table of the hub: thin adapters from the plugin contract to the kernel's parts. */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/log.h"
#include "kernel/base/rnd.h"
#include "kernel/base/str.h"
#include "kernel/hub/hub.h"
#include "kernel/hub/schedules_host.h"
#include "kernel/hub/subs_host.h"
#include "kernel/hub/tasks.h"
#include "kernel/value/json.h"
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- core ------------------------------------------------------------------------------------ */
static void core_log(void *ctx, int32_t level, const char *fmt, ...)
{
    const struct hub_plugin *hp = ctx;
    va_list ap;
    va_start(ap, fmt);
    log_from(level, hp->plug->desc.name, fmt, ap);
    va_end(ap);
}

static void *core_alloc(void *ctx, size_t n)
{
    (void)ctx;
    return malloc(n);
}

static void core_free(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

static void core_count(void *ctx, const char *metric, int64_t delta)
{
    struct hub *h = host_hub(ctx);
    pthread_mutex_lock(&h->lock);
    int64_t *v = map_get(&h->counters, str_of(metric));
    if (v == NULL) {
        v = calloc(1, sizeof *v);
        if (v != NULL && map_put(&h->counters, str_of(metric), v, NULL) != 0) {
            free(v);
            v = NULL;
        }
    }
    if (v != NULL) {
        *v += delta;
    }
    pthread_mutex_unlock(&h->lock);
}

static void core_mask(void *ctx, tn_str secret)
{
    (void)ctx;
    log_mask(secret);
}

static const char *core_setting(void *ctx, const char *name)
{
    const struct settings *s = &host_hub(ctx)->settings;
    /* Secrets that only the hub may know; settings_dff() never gives them out. */
    if (strcmp(name, "AUTO_SETUP_ADMIN_PASSWORD") == 0) {
        return s->auto_setup_admin_password.s;
    }
    if (strcmp(name, "AUTO_SETUP_AK_SECRET") == 0) {
        return s->auto_setup_ak_secret.s;
    }
    if (strcmp(name, "SECRET") == 0) {
        return s->secret.s;
    }
    if (strcmp(name, "TENON_DATA") == 0) {
        return s->data;
    }
    if (strcmp(name, "TENON_CORS_ORIGIN") == 0) {
        return s->cors_origin;
    }
    if (strcmp(name, "TENON_WEB_BASE_URL") == 0) {
        return s->web_base_url;
    }
    if (strcmp(name, "TENON_CRON_SECONDS") == 0) {
        return s->cron_seconds ? "true" : "false";
    }
    if (strcmp(name, "TENON_TRUSTED_PROXIES") == 0) {
        return s->trusted_proxies;
    }
    if (strcmp(name, "TENON_CLEAN_EVERY_MS") == 0) {
        static _Thread_local char text[24];
        snprintf(text, sizeof text, "%lld", (long long)s->clean_every.ms);
        return text;
    }
    return settings_dff(s, name);
}

/* ---- loop ------------------------------------------------------------------------------------ */
static tn_rc hl_watch(void *ctx, int32_t fd, uint32_t events, void (*cb)(void *, uint32_t),
                      void *user, tn_watch **ret, tn_err *err)
{
    return loop_watch(host_hub(ctx)->loop, fd, events, cb, user, ret, err);
}

static void hl_watch_change(void *ctx, tn_watch *w, uint32_t events)
{
    loop_watch_change(host_hub(ctx)->loop, w, events);
}

static void hl_unwatch(void *ctx, tn_watch *w)
{
    loop_unwatch(host_hub(ctx)->loop, w);
}

static tn_rc hl_timer(void *ctx, void (*cb)(void *), void *user, tn_timer **ret, tn_err *err)
{
    return loop_timer(host_hub(ctx)->loop, cb, user, ret, err);
}

static void hl_timer_set(void *ctx, tn_timer *t, uint64_t at_ns)
{
    loop_timer_set(host_hub(ctx)->loop, t, at_ns);
}

static void hl_timer_free(void *ctx, tn_timer *t)
{
    loop_timer_free(host_hub(ctx)->loop, t);
}

static tn_rc hl_prepare(void *ctx, uint64_t (*cb)(void *), void *user, tn_err *err)
{
    return loop_prepare(host_hub(ctx)->loop, cb, user, err);
}

static void hl_post(void *ctx, void (*cb)(void *), void *user)
{
    loop_post(host_hub(ctx)->loop, cb, user);
}

static tn_rc hl_defer(void *ctx, void (*cb)(void *), void *user, tn_err *err)
{
    return loop_defer(host_hub(ctx)->loop, cb, user, err);
}

const tn_host_loop hostloop_ops = {
    .size = sizeof hostloop_ops,
    .watch = hl_watch,
    .watch_change = hl_watch_change,
    .unwatch = hl_unwatch,
    .timer = hl_timer,
    .timer_set = hl_timer_set,
    .timer_free = hl_timer_free,
    .prepare = hl_prepare,
    .post = hl_post,
    .defer = hl_defer,
};

/* ---- entities -------------------------------------------------------------------------------- */
/* Gives the contents of b to the caller as owned text; b is empty afterwards. */
static tn_rc text_take(struct buf *b, tn_text *ret, tn_err *err)
{
    if (b->failed) {
        buf_finish(b);
        return err_set(err, TN_E_LIMIT, "the result is too large");
    }
    ret->s = buf_take(b, &ret->n);
    return ret->s != NULL ? TN_OK : err_set(err, TN_E_NOMEM, "no memory for the result");
}

static tn_rc text_done(tn_rc rc, struct buf *b, tn_text *ret, tn_err *err)
{
    if (rc != TN_OK || ret == NULL) {
        buf_finish(b);
        return rc;
    }
    return text_take(b, ret, err);
}

static tn_rc ent_begin(void *ctx, tn_txn **ret, tn_err *err)
{
    struct store_txn *t;
    tn_rc rc = store_begin(host_hub(ctx)->store, &t, err);
    if (rc == TN_OK) {
        *ret = (tn_txn *)t;
    }
    return rc;
}

static tn_rc ent_commit(void *ctx, tn_txn *t, tn_err *err)
{
    return store_commit(host_hub(ctx)->store, (struct store_txn *)t, err);
}

static void ent_rollback(void *ctx, tn_txn *t)
{
    store_rollback(host_hub(ctx)->store, (struct store_txn *)t);
}

static tn_rc ent_list(void *ctx, tn_txn *t, const char *entity, const tn_list *q, tn_text *ret_rows,
                      int64_t *ret_total, tn_err *err)
{
    struct buf b = BUF_INIT(0);
    tn_rc rc = store_list(host_hub(ctx)->store, (struct store_txn *)t, entity, q, &b, ret_total,
                          err);
    return text_done(rc, &b, ret_rows, err);
}

static tn_rc ent_insert(void *ctx, tn_txn *t, const char *entity, tn_str row, tn_text *ret_id,
                        tn_err *err)
{
    struct buf b = BUF_INIT(0);
    if (records_has(host_hub(ctx), entity)) {
        return err_set(err, TN_E_UNSUPP, "rows of entity %s come by host->records->put() only",
                       entity);
    }
    tn_rc rc = store_insert(host_hub(ctx)->store, (struct store_txn *)t, entity, row, &b, err);
    return text_done(rc, &b, ret_id, err);
}

static tn_rc ent_update(void *ctx, tn_txn *t, const char *entity, const tn_filter *f, uint32_t nf,
                        tn_str patch, int64_t *ret_count, tn_err *err)
{
    if (records_has(host_hub(ctx), entity)) {
        return err_set(err, TN_E_UNSUPP, "rows of entity %s never change", entity);
    }
    return store_update(host_hub(ctx)->store, (struct store_txn *)t, entity, f, nf, patch,
                        ret_count, err);
}

static tn_rc ent_remove(void *ctx, tn_txn *t, const char *entity, const tn_filter *f, uint32_t nf,
                        int64_t *ret_count, tn_err *err)
{
    if (records_has(host_hub(ctx), entity)) {
        return records_remove(host_hub(ctx), entity, f, nf, ret_count, err);
    }
    return store_remove(host_hub(ctx)->store, (struct store_txn *)t, entity, f, nf, ret_count, err);
}

static tn_rc ent_sql(void *ctx, tn_txn *t, const char *sql, tn_str params, tn_text *ret_rows,
                     int64_t *ret_affected, tn_err *err)
{
    struct buf b = BUF_INIT(0);
    tn_rc rc = store_sql(host_hub(ctx)->store, (struct store_txn *)t, sql, params, &b, ret_affected,
                         err);
    return text_done(rc, &b, ret_rows, err);
}

const tn_host_entities entities_ops = {
    .size = sizeof entities_ops,
    .begin = ent_begin,
    .commit = ent_commit,
    .rollback = ent_rollback,
    .list = ent_list,
    .insert = ent_insert,
    .update = ent_update,
    .remove = ent_remove,
    .sql = ent_sql,
};

/* ---- auth ------------------------------------------------------------------------------------ */
static tn_rc au_password_hash(void *ctx, tn_str password, tn_text *ret, tn_err *err)
{
    struct buf b = BUF_INIT(0);
    return text_done(keys_password_hash(host_hub(ctx)->keys, password, &b, err), &b, ret, err);
}

static tn_rc au_password_verify(void *ctx, tn_str password, tn_str phc, tn_err *err)
{
    return keys_password_verify(host_hub(ctx)->keys, password, phc, err);
}

/* Whatever is sealed or opened is a secret: from now on no log line and no record shows it. */
static tn_rc au_seal(void *ctx, tn_str plain, tn_str aad, tn_text *ret, tn_err *err)
{
    struct buf b = BUF_INIT(0);
    log_mask(plain);
    return text_done(keys_seal(host_hub(ctx)->keys, plain, aad, &b, err), &b, ret, err);
}

static tn_rc au_open(void *ctx, tn_str sealed, tn_str aad, tn_text *ret, tn_err *err)
{
    struct buf b = BUF_INIT(0);
    tn_rc rc = keys_unseal(host_hub(ctx)->keys, sealed, aad, &b, err);
    if (rc == TN_OK) {
        log_mask(buf_str(&b));
    }
    return text_done(rc, &b, ret, err);
}

static void au_derive(void *ctx, const char *purpose, uint8_t ret[32])
{
    keys_derive(host_hub(ctx)->keys, purpose, ret);
}

static tn_rc au_session_put(void *ctx, tn_str subject, tn_str session, uint32_t ttl_s, tn_err *err)
{
    return sessions_put(host_hub(ctx)->sessions, subject, session, ttl_s, err);
}

static tn_rc au_session_check(void *ctx, tn_str subject, tn_str session, tn_err *err)
{
    return sessions_check(host_hub(ctx)->sessions, subject, session, err);
}

static void au_session_drop(void *ctx, tn_str subject, tn_str session, tn_str except)
{
    sessions_drop(host_hub(ctx)->sessions, subject, session, except);
}

static tn_rc au_session_list(void *ctx, tn_text *ret, tn_err *err)
{
    struct buf b = BUF_INIT(0);
    return text_done(sessions_list(host_hub(ctx)->sessions, &b, err), &b, ret, err);
}

static int32_t au_equal(const void *a, size_t na, const void *b, size_t nb)
{
    return na == nb && (na == 0 || sodium_memcmp(a, b, na) == 0);
}

const tn_host_auth auth_ops = {
    .size = sizeof auth_ops,
    .password_hash = au_password_hash,
    .password_verify = au_password_verify,
    .seal = au_seal,
    .open = au_open,
    .derive_key = au_derive,
    .session_put = au_session_put,
    .session_check = au_session_check,
    .session_drop = au_session_drop,
    .session_list = au_session_list,
    .equal = au_equal,
    .random = rnd_bytes,
    .random_id = rnd_id,
};

/* Frontends need names for spooled files and authentication methods compare and draw; neither needs
 * passwords, keys or sessions of the platform. */
static const tn_host_auth plain_auth_ops = {
    .size = sizeof plain_auth_ops,
    .equal = au_equal,
    .random = rnd_bytes,
    .random_id = rnd_id,
};

static tn_rc api_plugins(void *ctx, uint32_t kind, tn_text *ret, tn_err *err)
{
    const struct plug_registry *r = &host_hub(ctx)->registry;
    struct buf b = BUF_INIT(0);
    buf_addc(&b, '[');
    for (size_t i = 0; i < r->n; i++) {
        if (r->plugs[i]->desc.kind == kind) {
            buf_adds(&b, b.len > 1 ? "," : "");
            plug_about(r->plugs[i], &b);
        }
    }
    buf_addc(&b, ']');
    return text_take(&b, ret, err);
}

/* Each kind sees only what it needs. */
void host_fill(struct hub_plugin *hp)
{
    tn_host *t = &hp->host;
    *t = (tn_host){
        .size = sizeof *t,
        .abi_major = TN_ABI_MAJOR,
        .abi_minor = TN_ABI_MINOR,
        .ctx = hp,
        .log = core_log,
        .fail = err_set,
        .now_ns = clock_mono_ns,
        .wall_us = clock_wall_us,
        .alloc = core_alloc,
        .free = core_free,
        .count = core_count,
        .mask = core_mask,
        .setting = core_setting,
        .json = &json_host_ops,
    };
    switch (hp->plug->desc.kind) {
    case TN_KIND_FRONTEND:
        t->loop = &hostloop_ops;
        t->http = &exchange_http_ops;
        t->auth = &plain_auth_ops;
        break;
    case TN_KIND_API:
        t->loop = &hostloop_ops;
        t->http = &exchange_http_ops;
        t->calls = &services_calls_ops;
        t->entities = &entities_ops;
        t->auth = &auth_ops;
        t->auths = &auths_ops;
        t->records = &records_ops;
        t->tasks = &tasks_ops;
        t->schedules = &schedules_ops;
        t->subs = &subs_ops;
        t->cache = &hostcache_ops;
        t->metrics = &metrics_ops;
        t->plugins = api_plugins;
        break;
    case TN_KIND_TRIGGER:
        t->loop = &hostloop_ops;
        t->calls = &services_calls_ops;
        t->tasks = &tasks_ops;
        t->schedules = &schedules_ops;
        t->subs = &subs_ops;
        t->auth = &plain_auth_ops;
        break;
    case TN_KIND_AUTH: /* compares and draws; its configuration arrives opened */
        t->auth = &plain_auth_ops;
        break;
    default:
        break;
    }
}
