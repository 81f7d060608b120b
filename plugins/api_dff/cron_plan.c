/* SPDX-License-Identifier: Apache-2.0 */
/* A cron job as a schedule: which expression counts, what an occurrence runs (spec 5.2). */
#include "cron.h"

#include <stdio.h>
#include <string.h>

#define CTX   api.host->ctx
#define SCHED api.host->schedules

const char *const cron_sources[] = {"none", "own", "fixed", "dynamic"};

static const struct call_kind kind_auto = {
    .origin = {"integration", 11},
    .queue = 2,
    .timeout_s = 35,
    .expires_s = 900,
};

static const struct policy {
    const char *name;
    uint32_t value;
} overlaps[] = {{"skip", TN_OVERLAP_SKIP},
                {"bufferOne", TN_OVERLAP_BUFFER_ONE},
                {"bufferAll", TN_OVERLAP_BUFFER_ALL},
                {"cancelOther", TN_OVERLAP_CANCEL},
                {"allowAll", TN_OVERLAP_ALLOW},
                {NULL, TN_OVERLAP_SKIP}},
  catchups[] = {{"none", TN_CATCHUP_NONE},
                {"last", TN_CATCHUP_LAST},
                {"all", TN_CATCHUP_ALL},
                {NULL, TN_CATCHUP_NONE}};

static uint32_t policy_of(const struct policy *p, tn_str name)
{
    while (p->name != NULL && !text_is(name, p->name)) {
        p++;
    }
    return p->value;
}

enum cron_source cron_effective(const struct cron_job *j, const struct snap_func *f,
                                const struct cron_state *st, tn_str *ret)
{
    enum cron_source from = CRON_NONE;
    *ret = TN_STR("");
    if (st->expr[0] != '\0') {
        *ret = text_of(st->expr);
        from = CRON_DYNAMIC;
    } else if (f != NULL && f->cron_expr.n > 0) {
        *ret = f->cron_expr;
        from = CRON_FIXED;
    } else if (j->expr.n > 0) {
        *ret = j->expr;
        from = CRON_OWN;
    }
    return from;
}

static bool blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

tn_str cron_by_minute(tn_str expr)
{
    size_t fields = 0, first_end = 0, second = 0;
    for (size_t i = 0; i < expr.n; i++) {
        if (!blank(expr.s[i]) && (i == 0 || blank(expr.s[i - 1]))) {
            fields++;
            second = fields == 2 ? i : second;
        }
        if (fields == 1 && !blank(expr.s[i])) {
            first_end = i + 1;
        }
    }
    if (fields != 6 || api_setting_bool("TENON_CRON_SECONDS", false)) {
        return expr;
    }
    char seconds[CRON_EXPR_MAX + 16];
    int64_t at = -1;
    snprintf(seconds, sizeof seconds, "%.*s * * * * *", (int)first_end, expr.s);
    uint32_t n = SCHED->next(CTX, text_of(seconds), TN_STR("UTC"), -1000000, &at, 1);
    return n == 1 && at == 0 ? (tn_str){expr.s + second, expr.n - second} : (tn_str){NULL, 0};
}

bool cron_check(struct api_req *r, tn_str expr, tn_str zone)
{
    tn_err err = TN_ERR_INIT;
    if (zone.n > 0) {
        tn_rc rc = SCHED->check(CTX, TN_STR("* * * * *"), zone, &err);
        if (rc != TN_OK && rc != TN_E_UNSUPP) {
            api_fail(r, EClientBadRequest, "InvalidTimezone",
                     json_pack("{s:s%}", "timezone", zone.s, zone.n), "%s", err.msg);
            return false;
        }
    }
    tn_rc rc = expr.n > 0 ? SCHED->check(CTX, expr, zone, &err) : TN_OK;
    if (rc != TN_OK && rc != TN_E_UNSUPP) {
        api_fail(r, EClientBadRequest, "InvalidCronExpression",
                 json_pack("{s:s%}", "cronExpr", expr.s, expr.n), "Invalid cron expression: %s",
                 err.msg);
        return false;
    }
    return true;
}

/* ---- plans ----------------------------------------------------------------------------------------- */
static void task_make(const struct cron_job *j, const struct snap_func *f, tn_str expr,
                      const char *mode, const char *delay, struct cron_plan *p)
{
    const struct call_kind *kind = j->automatic ? &kind_auto : &kind_cron;
    struct str key = {0};
    snprintf(p->origin_id, sizeof p->origin_id, "%.*s", (int)j->id.n, j->id.s);
    if (f == NULL) { /* nothing to run: the kernel skips what has no function */
        p->task = (tn_task_req){.size = sizeof p->task,
                                .origin = kind->origin,
                                .origin_id = text_of(p->origin_id),
                                .queue = kind->queue};
    } else {
        task_req_of_func(f, kind, text_of(p->origin_id), NULL, &p->task);
    }
    p->task.args = j->kwargs;
    str_printf(&p->vars, "{\"cronExpr\":");
    str_quote_any(&p->vars, expr);
    str_printf(&p->vars, ",\"cronJobDelay\":%s,\"cronJobExecMode\":\"%s\"", delay, mode);
    if (j->record_limit >= 0) {
        str_printf(&p->vars, ",\"taskRecordLimit\":%lld", (long long)j->record_limit);
    }
    str_puts(&p->vars, "}");
    p->task.vars = str_view(&p->vars);
    /* One key for a job, its function and the way it was started, as short as a digest. */
    str_printf(&key, "%.*s\n%.*s\n%s", (int)j->id.n, j->id.s, (int)j->func_id.n, j->func_id.s,
               mode);
    char digest[33];
    md5_hex(str_view(&key).s, str_view(&key).n, digest);
    str_free(&key);
    snprintf(p->overlap_key, sizeof p->overlap_key, "cron-%s", digest);
    p->task.overlap_key = text_of(p->overlap_key);
    p->task.overlap = policy_of(overlaps, j->overlap);
}

void cron_plan_make(const struct cron_job *j, const struct snap_func *f,
                    const struct cron_state *st, struct cron_plan *p)
{
    static const uint32_t none = 0;
    tn_str expr;
    *p = (struct cron_plan){0};
    enum cron_source from = cron_effective(j, f, st, &expr);
    task_make(j, f, expr, "cronJob", "\"$delay\"", p);
    expr = from != CRON_NONE ? cron_by_minute(expr) : TN_STR("");
    if (expr.n < sizeof p->expr) { /* longer ones cannot be saved, and would not be read */
        memcpy(p->expr, expr.s != NULL ? expr.s : "", expr.n);
    }
    int64_t spread = api_setting_int("_FUNC_TASK_DISTRIBUTION_RANGE", 0);
    p->sched = (tn_schedule){
        .size = sizeof p->sched,
        .flags = j->disabled ? TN_SCHED_DISABLED : 0,
        .id = j->id,
        .expr = text_of(p->expr),
        .timezone = j->timezone,
        .catchup = policy_of(catchups, j->catchup),
        .catchup_window_s = (uint32_t)j->catchup_window_s,
        .spread_s = spread > 0 && spread < 86400 ? (uint32_t)spread : 0,
        .ndelays = f != NULL ? f->ndelays : 0,
        .delays_s = f != NULL && f->ndelays > 0 ? f->delays : &none,
        .paused_until_us = st->paused_until_us,
        .expires_us = j->expires_us,
        .task = &p->task,
    };
}

void cron_plan_manual(const struct cron_job *j, const struct snap_func *f,
                      const struct cron_state *st, struct cron_plan *p)
{
    tn_str expr;
    *p = (struct cron_plan){0};
    cron_effective(j, f, st, &expr);
    task_make(j, f, expr, "manual", "0", p);
}

void cron_plan_free(struct cron_plan *p)
{
    str_free(&p->vars);
}
