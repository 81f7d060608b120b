/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at cron jobs: their next runs, what became of each occurrence, what ran lately; and running
 * one now. */
#include "cron.h"
#include "idempotency.h"

#include <stdlib.h>
#include <string.h>

#define CTX      api.host->ctx
#define SCHED    api.host->schedules
#define NEXT_MAX 100

/* The row of :id; NULL: answered. */
static json_t *job_row(struct api_req *r)
{
    tn_err err = TN_ERR_INIT;
    json_t *row = cron_job_row(api_param(r, 0), &err);
    if (row == NULL && err.rc == TN_E_NOTFOUND) {
        tn_str id = api_param(r, 0);
        api_fail(r, EClientNotFound, NULL, json_pack("{s:s%}", "id", id.s, id.n),
                 "No such Cron Job");
    } else if (row == NULL) {
        api_fail_err(r, &err);
    }
    return row;
}

/* ---- next runs ------------------------------------------------------------------------------- */
static json_t *next_runs(struct api_req *r, tn_str expr, tn_str zone)
{
    int64_t at[NEXT_MAX];
    json_int_t want = json_integer_value(json_object_get(r->query, "n"));
    uint32_t n = want < 1 ? 10 : want > NEXT_MAX ? NEXT_MAX : (uint32_t)want;
    json_t *list = json_array();
    expr = cron_by_minute(expr);
    n = expr.n > 0 ? SCHED->next(CTX, expr, zone, api.host->wall_us(), at, n) : 0;
    for (uint32_t i = 0; i < n; i++) {
        char text[ISO_LEN + 1];
        iso_time(at[i], text);
        json_array_append_new(list, json_string(text));
    }
    return list;
}

/* Why a job has no next run, null when it has. */
static json_t *no_run(const struct cron_job *j, const struct snap_func *f, tn_str expr, int64_t now,
                      const json_t *runs)
{
    return json_array_size(runs) > 0
               ? json_null()
               : json_string(f == NULL     ? "its function does not exist"
                             : j->disabled ? "it is disabled"
                             : j->expires_us != 0 && j->expires_us <= now ? "it has expired"
                             : expr.n == 0                                ? "it has no expression"
                                           : "no date matches its expression");
}

static json_t *zone_json(tn_str zone)
{
    return zone.n > 0 ? json_stringn(zone.s, zone.n) : json_string(api_setting("TIMEZONE", "UTC"));
}

static void next_run(struct api_req *r)
{
    tn_err err = TN_ERR_INIT;
    struct snapshot *snap = NULL;
    json_t *row = job_row(r);
    if (row == NULL) {
        return;
    }
    struct cron_job j = cron_job_of(row);
    struct cron_state st = cron_state_of(j.id);
    if (snapshot_load(api.host, &snap, &err) != TN_OK) {
        api_fail_err(r, &err);
    } else {
        tn_str expr;
        const struct snap_func *f = snapshot_func(snap, j.func_id);
        enum cron_source from = cron_effective(&j, f, &st, &expr);
        int64_t now = api.host->wall_us();
        bool runs = !j.disabled && f != NULL && (j.expires_us == 0 || j.expires_us > now);
        json_t *data = json_pack("{s:s, s:s%, s:o, s:b, s:o}", "cronExprSource", cron_sources[from],
                                 "cronExpr", expr.s, expr.n, "timezone", zone_json(j.timezone),
                                 "isActive", runs, "nextRuns",
                                 runs ? next_runs(r, expr, j.timezone) : json_array());
        json_object_set_new(data, "noRunReason",
                            no_run(&j, f, expr, now, json_object_get(data, "nextRuns")));
        json_object_set_new(data, "id", json_stringn(j.id.s, j.id.n));
        cron_state_row(data);
        json_object_del(data, "id");
        api_ok(r, data);
    }
    snapshot_free(snap);
    json_decref(row);
}

static void preview_run(struct api_req *r)
{
    tn_str expr = text_of(row_text(r->query, "cronExpr")),
           zone = text_of(row_text(r->query, "timezone"));
    if (!cron_check(r, expr.n > 0 ? expr : TN_STR(" "), zone)) {
        return;
    }
    api_ok(r, json_pack("{s:s%, s:o, s:o}", "cronExpr", expr.s, expr.n, "timezone", zone_json(zone),
                        "nextRuns", next_runs(r, expr, zone)));
}

/* ---- what was -------------------------------------------------------------------------------- */
static tn_rc history(tn_str id, int64_t limit, int64_t offset, json_t **ret, tn_err *err)
{
    tn_text text = {0};
    tn_rc rc = SCHED->history(CTX, id, limit, offset, &text, err);
    if (rc == TN_OK) {
        *ret = json_loadb(text.s, text.n, 0, NULL);
        api.host->free(CTX, text.s);
    }
    return rc;
}

static void history_run(struct api_req *r)
{
    tn_err err = TN_ERR_INIT;
    json_t *row = job_row(r), *rows = NULL, *item;
    if (row == NULL) {
        return;
    }
    json_decref(row);
    json_int_t size = json_integer_value(json_object_get(r->query, "pageSize"));
    json_int_t page = json_integer_value(json_object_get(r->query, "pageNumber"));
    size = size < 1 ? 10 : size > 1000 ? 1000 : size;
    page = page < 1 ? 1 : page > 99999 ? 99999 : page;
    if (history(api_param(r, 0), size, (page - 1) * size, &rows, &err) != TN_OK) {
        api_fail_err(r, &err);
        return;
    }
    size_t i, n = json_array_size(rows);
    json_array_foreach(rows, i, item)
    {
        char text[ISO_LEN + 1];
        iso_time(json_integer_value(json_object_get(item, "occurrenceTimeMs")) * 1000, text);
        json_object_set_new(item, "occurrenceTime", json_string(text));
    }
    api_ok_page(r, rows,
                json_pack("{s:s, s:I, s:I, s:I, s:b}", "pagingStyle", "simple", "pageSize", size,
                          "count", (json_int_t)n, "pageNumber", page, "isFirstPage", page == 1));
}

static int newest(const void *a, const void *b)
{
    json_int_t x = json_integer_value(json_array_get(*(json_t *const *)a, 0));
    json_int_t y = json_integer_value(json_array_get(*(json_t *const *)b, 0));
    return x < y ? 1 : x > y ? -1 : 0;
}

/* Tasks that were started by hand; they belong to no schedule. */
static tn_rc manual_runs(tn_str id, int64_t since_us, uint32_t limit, json_t *to, tn_err *err)
{
    struct filters f = {0};
    tn_text text = {0};
    json_t *since = json_integer(since_us / 1000), *row;
    filters_eq(&f, "origin", TN_STR("cronJob"));
    filters_eq(&f, "originId", id);
    filters_add(&f, "triggerTimeMs", TN_OP_GE, since);
    json_decref(since);
    tn_list q = {.size = sizeof q, .filters = f.f, .nfilters = f.n, .limit = limit};
    int64_t total;
    tn_rc rc = api.host->tasks->list(CTX, &q, &text, &total, err);
    filters_free(&f);
    if (rc != TN_OK) {
        return rc;
    }
    json_t *rows = json_loadb(text.s, text.n, 0, NULL);
    api.host->free(CTX, text.s);
    size_t i;
    json_array_foreach(rows, i, row)
    {
        if (strcmp(row_text(json_object_get(row, "label"), "execMode"), "manual") == 0) {
            json_int_t ms = json_integer_value(json_object_get(row, "triggerTimeMs"));
            json_array_append_new(to, json_pack("[I, s]", ms / 1000, "manual"));
        }
    }
    json_decref(rows);
    return TN_OK;
}

/* Spec 1.9: [[seconds, "cronJob"|"manual"], …], newest first. */
static void recent_run(struct api_req *r)
{
    tn_err err = TN_ERR_INIT;
    int64_t limit = api_setting_int("_RECENT_CRON_JOB_TRIGGERED_LIMIT", 3000);
    int64_t since = api.host->wall_us() -
                    api_setting_int("_RECENT_CRON_JOB_TRIGGERED_EXPIRES", 259200) * US;
    json_t *row = job_row(r), *all = json_array(), *item;
    bool more = row != NULL;
    json_decref(row);
    if (row == NULL) {
        json_decref(all);
        return;
    }
    tn_rc rc = manual_runs(api_param(r, 0), since, (uint32_t)limit, all, &err);
    for (int64_t offset = 0; rc == TN_OK && more && (int64_t)json_array_size(all) < limit;) {
        json_t *rows = NULL;
        rc = history(api_param(r, 0), 1000, offset, &rows, &err);
        more = json_array_size(rows) == 1000;
        offset += 1000;
        size_t i;
        json_array_foreach(rows, i, item)
        {
            json_int_t ms = json_integer_value(json_object_get(item, "occurrenceTimeMs"));
            const char *outcome = row_text(item, "outcome");
            if (ms * 1000 < since) {
                more = false;
                break;
            }
            if (strcmp(outcome, "ran") == 0 || strcmp(outcome, "late") == 0) {
                json_array_append_new(all, json_pack("[I, s]", ms / 1000, "cronJob"));
            }
        }
        json_decref(rows);
    }
    if (rc != TN_OK) {
        json_decref(all);
        api_fail_err(r, &err);
        return;
    }
    size_t n = json_array_size(all);
    json_t **sorted = n > 0 ? malloc(n * sizeof *sorted) : NULL, *data = json_array();
    for (size_t i = 0; sorted != NULL && i < n; i++) {
        sorted[i] = json_array_get(all, i);
    }
    if (sorted != NULL) {
        qsort(sorted, n, sizeof *sorted, newest);
    }
    for (size_t i = 0; sorted != NULL && i < n && (int64_t)i < limit; i++) {
        json_array_append(data, sorted[i]);
    }
    free(sorted);
    json_decref(all);
    api_ok(r, data);
}

/* The scheduler as a whole: schedules, lateness, what waits. */
static void status_run(struct api_req *r)
{
    tn_err err = TN_ERR_INIT;
    tn_text text = {0};
    if (SCHED->status(CTX, &text, &err) != TN_OK) {
        api_fail_err(r, &err);
        return;
    }
    api_ok_text(r, (tn_str){text.s, text.n});
    api.host->free(CTX, text.s);
}

/* ---- now ------------------------------------------------------------------------------------- */
static void run_accepted(void *user, tn_rc rc, const tn_task_receipt *receipts, uint32_t n,
                         const tn_err *err)
{
    struct api_req *r = user;
    if (rc == TN_OK && n == 1 && receipts[0].duplicate == 1) {
        r->replayed = true;
    }
    idem_answer(r, rc, NULL, err);
}

static void run_now(struct api_req *r)
{
    tn_err err = TN_ERR_INIT;
    struct snapshot *snap = NULL;
    struct idem idem;
    struct call_refusal why = {0};
    char key[IDEM_HEX];
    json_t *row = job_row(r);
    if (row == NULL) {
        return;
    }
    if (!idem_read(r->http, text_of(r->user.id), &idem, &why)) {
        api_fail(r, why.code, why.sub, NULL, "%s", why.message);
        call_refusal_finish(&why);
        json_decref(row);
        return;
    }
    struct cron_job j = cron_job_of(row);
    struct cron_state st = cron_state_of(j.id);
    const struct snap_func *f = NULL;
    tn_rc rc = snapshot_load(api.host, &snap, &err);
    if (rc != TN_OK) {
        api_fail_err(r, &err);
    } else if ((f = snapshot_func(snap, j.func_id)) == NULL) {
        api_fail(r, EClientNotFound, NULL, json_pack("{s:s%}", "funcId", j.func_id.s, j.func_id.n),
                 "No such Func");
    } else {
        struct cron_plan p;
        cron_plan_manual(&j, f, &st, &p);
        p.task.label = TN_STR("{\"execMode\":\"manual\"}");
        if (idem.given) {
            idem_key(&idem, 0, key);
            p.task.idempotency = text_of(key);
            p.task.fingerprint = text_of(idem.print);
        }
        rc = api.host->tasks->submit(CTX, &p.task, 1, run_accepted, r, &err);
        if (rc != TN_OK) { /* else run_accepted() answers, maybe before we are here */
            api_fail_err(r, &err);
        }
        cron_plan_free(&p);
    }
    snapshot_free(snap);
    json_decref(row);
}

/* ---- tables ---------------------------------------------------------------------------------- */
/* clang-format off */
static const struct field next_query[] = {{.name = "n", .type = F_INT, .min = 1, .max = NEXT_MAX},
                                          {.name = NULL}};
static const struct field preview_query[] = {
    {.name = "cronExpr", .type = F_STR, .flags = FF_REQUIRED, .max = 256},
    {.name = "timezone", .type = F_STR, .max = 64},
    {.name = "n", .type = F_INT, .min = 1, .max = NEXT_MAX}, {.name = NULL}};
static const struct field page_query[] = {{.name = "pageSize", .type = F_INT},
                                          {.name = "pageNumber", .type = F_INT}, {.name = NULL}};
#define VIEWS(base)                                                                               \
    {"GET", base "/:id/next-runs/do/list", "general_r",                                           \
     "The next runs of a cron job, by the code that starts them", next_run, next_query, NULL, NULL, \
     0},                                                                                          \
    {"GET", base "/:id/history/do/list", "general_r",                                             \
     "What became of each occurrence of a cron job: ran, skipped, late, missed", history_run,     \
     page_query, NULL, NULL, API_FIELDS},                                                         \
    {"GET", base "/:id/recent-triggered/do/list", "general_r",                                    \
     "When a cron job was started in the last three days, and how", recent_run, NULL, NULL, NULL, 0}
const struct api_route cron_view_routes[] = {
    VIEWS("/api/v1/cron-jobs"),
    VIEWS("/api/v1/crontab-configs"),
    {"GET", "/api/v1/cron-expressions/do/preview", "general_r",
     "The next runs of an expression that is not saved", preview_run, preview_query, NULL, NULL, 0},
    {"GET", "/api/v1/cron-status/do/get", "general_r",
     "The scheduler: schedules, lateness, what waits to be written", status_run, NULL, NULL, NULL, 0},
    {"POST", "/api/v1/cron/:id", "general_r", "Starts a cron job now", run_now, NULL, NULL, NULL,
     API_ANY_BODY},
    {.method = NULL}};
/* clang-format on */
