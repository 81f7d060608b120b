/* SPDX-License-Identifier: Apache-2.0 */
/* Scripts and functions of a snapshot, with what DFF.API(...) said about a function. */
#include "snapshot_int.h"

/* Script columns that become part of a function. */
struct script_row {
    tn_str id, code_key;
};

static uint32_t row_option(const json_t *extra, const char *key, int64_t max)
{
    const json_t *v = json_object_get(extra, key);
    double d = json_is_integer(v) ? (double)json_integer_value(v)
               : json_is_real(v)  ? json_real_value(v)
                                  : 0;
    return d >= 1 && d <= (double)max ? (uint32_t)d : 0;
}

tn_rc snap_add_script(const tn_host *host, struct snapshot *s, const json_t *row)
{
    (void)host;
    tn_str id = snap_row_text(row, "id"), md5 = snap_row_text(row, "codeMD5");
    struct script_row *r = snap_alloc(&s->arena, sizeof *r);
    struct str key = {0};
    if (id.s == NULL) {
        return TN_OK;
    }
    add(&key, md5);
    add_lit(&key, ":");
    add_int(&key, snap_row_int(row, "publishVersion", 0));
    if (r != NULL) {
        r->id = snap_copy(&s->arena, id);
        r->code_key = snap_copy(&s->arena, str_view(&key));
    }
    str_free(&key);
    return r != NULL && r->code_key.s != NULL && snap_map_put(&s->scripts, r) ? TN_OK : TN_E_NOMEM;
}

/* A duration in seconds, maybe with a fraction, as milliseconds. */
static uint32_t option_ms(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    double d = json_is_number(v) ? json_number_value(v) : 0;
    return d > 0 && d <= 86400 ? (uint32_t)(d * 1000) : 0;
}

static int32_t row_priority(const json_t *extra)
{
    json_int_t v = json_integer_value(json_object_get(extra, "priority"));
    return v >= -100 && v <= 100 ? (int32_t)v : 0;
}

/* delivery= and retry= of DFF.API; what publishing checked is not checked again, only bounded. */
static bool add_retry(struct snapshot *s, const json_t *extra, struct snap_retry *ret)
{
    const json_t *o = json_object_get(extra, "retry"), *on = json_object_get(o, "on");
    const json_t *jitter = json_object_get(o, "jitter");
    ret->at_most_once = text_is(snap_row_text(extra, "delivery"), "at_most_once");
    ret->dead_letter = json_is_true(json_object_get(o, "deadLetter"));
    ret->max_attempts = row_option(o, "maxAttempts", 1000);
    ret->backoff_ms = option_ms(o, "backoff");
    ret->backoff_max_ms = option_ms(o, "maxBackoff");
    if (json_is_number(jitter) && json_number_value(jitter) > 0 && json_number_value(jitter) <= 1) {
        ret->jitter_pct = (uint32_t)(json_number_value(jitter) * 100 + 0.5);
    }
    if (json_array_size(on) > 0) {
        char *text = json_dumps(on, JSON_COMPACT);
        ret->on = text != NULL ? snap_copy(&s->arena, text_of(text)) : (tn_str){NULL, 0};
        free(text);
        return ret->on.s != NULL;
    }
    return true;
}

/* fixed_cron_expr=, delayed_cron_job= and when an autoRun integration runs. */
static bool add_cron(struct snapshot *s, const json_t *row, const json_t *extra,
                     struct snap_func *f)
{
    tn_str fixed = snap_row_text(extra, "fixedCronExpr");
    const json_t *by_itself = text_is(snap_row_text(row, "integration"), "autoRun")
                                  ? json_object_get(extra, "integrationConfig")
                                  : NULL;
    tn_str own = snap_row_text(by_itself, "cronExpr");
    const json_t *delays = json_object_get(extra, "delayedCronJob");
    if (fixed.n > 0) {
        f->cron_expr = snap_copy(&s->arena, fixed);
    }
    if (own.n > 0) {
        f->auto_cron = snap_copy(&s->arena, own);
    }
    f->on_launch = json_is_true(json_object_get(by_itself, "onSystemLaunch"));
    f->on_publish = json_is_true(json_object_get(by_itself, "onScriptPublish"));
    uint32_t n = json_array_size(delays) < 1000 ? (uint32_t)json_array_size(delays) : 1000;
    uint32_t *to = n > 0 ? snap_alloc(&s->arena, n * sizeof *to) : NULL;
    for (uint32_t i = 0; to != NULL && i < n; i++) {
        json_int_t v = json_integer_value(json_array_get(delays, i));
        to[i] = v > 0 && v <= 86400 * 366 ? (uint32_t)v : 0;
    }
    f->delays = to;
    f->ndelays = n;
    return (n == 0 || to != NULL) && (fixed.n == 0 || f->cron_expr.s != NULL);
}

tn_rc snap_add_func(const tn_host *host, struct snapshot *s, const json_t *row)
{
    (void)host;
    tn_str id = snap_row_text(row, "id"), name = snap_row_text(row, "name"),
           script = snap_row_text(row, "scriptId");
    struct snap_func *f = snap_alloc(&s->arena, sizeof *f);
    if (id.s == NULL || name.s == NULL || script.s == NULL) {
        return TN_OK;
    }
    if (f == NULL) {
        return TN_E_NOMEM;
    }
    const struct script_row *of = snap_map_get(&s->scripts, script);
    f->id = snap_copy(&s->arena, id);
    f->name = snap_copy(&s->arena, name);
    f->script = snap_copy(&s->arena, script);
    f->code_key = of != NULL ? of->code_key : TN_STR("");
    json_t *extra = snap_row_json(row, "extraConfigJSON");
    f->timeout_s = row_option(extra, "timeout", 3600);
    f->expires_s = row_option(extra, "expires", 86400);
    f->queue = row_option(extra, "queue", 9);
    f->priority = row_priority(extra);
    f->cache_s = row_option(extra, "cacheResult", INT32_MAX);
    bool ok = add_retry(s, extra, &f->retry) && add_cron(s, row, extra, f);
    json_decref(extra);
    return ok && f->id.s != NULL && f->name.s != NULL && f->script.s != NULL &&
                   snap_map_put(&s->funcs, f)
               ? TN_OK
               : TN_E_NOMEM;
}
