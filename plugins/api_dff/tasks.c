/* SPDX-License-Identifier: Apache-2.0 */
/* Durable tasks, dead letters and queues for those who signed in (ours; the original keeps none). What
 * only reads or writes the store runs here on a helper thread; what watches is in task_live.c. */
#include "idempotency.h"
#include "rows.h"
#include "task_live.h"
#include "task_wait.h"

#include <string.h>

#define CTX   api.host->ctx
#define TASKS api.host->tasks

static bool kept(struct api_req *r)
{
    if (TASKS == NULL) {
        api_fail(r, ENotImplemented, NULL, NULL, "This platform keeps no durable tasks");
    }
    return TASKS != NULL;
}

/* The JSON of :id, host->free() it. False: answered. */
static bool read_task(struct api_req *r, tn_text *ret)
{
    tn_err err = TN_ERR_INIT;
    tn_str id = api_param(r, 0);
    if (!kept(r)) {
        return false;
    }
    tn_rc rc = id.n <= TASK_ID_MAX ? TASKS->get(CTX, id, ret, &err) : TN_E_NOTFOUND;
    if (rc == TN_E_NOTFOUND) {
        crud_no_such(r, "task", id);
    } else if (rc != TN_OK) {
        api_fail_err(r, &err);
    }
    return rc == TN_OK;
}

static void task_get(struct api_req *r)
{
    tn_text json = {0};
    if (read_task(r, &json)) {
        api_ok_text(r, (tn_str){json.s, json.n});
        api.host->free(CTX, json.s);
    }
}

/* What it printed, while it runs too. */
static void task_logs(struct api_req *r)
{
    tn_text json = {0};
    tn_json_member m[64];
    uint32_t kind, n = 0;
    struct str data = {0};
    tn_str state = TN_STR("null"), logs = TN_STR("null");
    if (!read_task(r, &json)) {
        return;
    }
    if (api.host->json->scan((tn_str){json.s, json.n}, &kind, m, 64, &n, NULL) != TN_OK) {
        n = 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        state = text_is(m[i].key, "state") ? m[i].value : state;
        logs = text_is(m[i].key, "logs") ? m[i].value : logs;
    }
    str_puts(&data, "{\"id\":");
    str_quote_any(&data, api_param(r, 0));
    str_puts(&data, ",\"state\":");
    str_text(&data, state);
    str_puts(&data, ",\"logs\":");
    str_text(&data, logs);
    str_char(&data, '}');
    api_ok_text(r, str_view(&data));
    str_free(&data);
    api.host->free(CTX, json.s);
}

/* ---- dead letters --------------------------------------------------------------------------------- */
/* Keys of redrives are apart from those of calls. */
static const tn_str redrive_scope = {"dead-letters/do/redrive", 23};

static tn_rc redrive_once(struct api_req *r, const struct idem *idem, const struct filters *f,
                          int64_t *ret_count, tn_err *err)
{
    char key[IDEM_HEX];
    uint32_t replayed = 0;
    idem_key(idem, 0, key);
    tn_rc rc = TASKS->redrive_once(CTX, f->f, f->n, redrive_scope, text_of(key),
                                   text_of(idem->print), ret_count, &replayed, err);
    r->replayed = rc == TN_OK && replayed;
    return rc;
}

void idem_answer(struct api_req *r, tn_rc rc, json_t *data_take, const tn_err *err)
{
    struct call_refusal why = {0};
    if (rc == TN_OK) {
        api_ok(r, data_take);
    } else if (rc == TN_E_CONFLICT) {
        idem_conflict(&why);
        api_fail(r, why.code, why.sub, NULL, "%s", why.message);
    } else {
        api_fail_err(r, err);
    }
    call_refusal_finish(&why);
}

static void answer_count(struct api_req *r, tn_rc rc, int64_t count, const tn_err *err)
{
    idem_answer(r, rc, rc == TN_OK ? json_pack("{s:I}", "count", (json_int_t)count) : NULL, err);
}

/* idem: NULL without a key. */
static void letters_change(struct api_req *r, const char *sub,
                           tn_rc (*change)(void *ctx, const tn_filter *f, uint32_t n,
                                           int64_t *ret_count, tn_err *err),
                           const struct idem *idem)
{
    struct filters f = {0};
    tn_err err = TN_ERR_INIT;
    int64_t count = 0;
    tn_rc rc;
    list_query_filters(r, r->route->query, &f);
    if (f.n == 0 && !f.failed) {
        api_fail(r, EBizCondition, sub, NULL, "At least one condition should been specified");
    } else if (f.failed) {
        api_fail(r, EClientBadRequest, NULL, NULL, "Too many filters");
    } else {
        rc = r->dry_run     ? TN_OK
             : idem != NULL ? redrive_once(r, idem, &f, &count, &err)
                            : change(CTX, f.f, f.n, &count, &err);
        answer_count(r, rc, count, &err);
    }
    filters_free(&f);
}

static void letters_redrive(struct api_req *r)
{
    struct idem idem;
    struct call_refusal why = {0};
    if (!kept(r)) {
        return;
    }
    if (!idem_read(r->http, text_of(r->user.id), &idem, &why)) {
        api_fail(r, why.code, NULL, NULL, "%s", why.message);
    } else {
        letters_change(r, "RedriveConditionNotSpecified", TASKS->redrive,
                       idem.given ? &idem : NULL);
    }
    call_refusal_finish(&why);
}

static void letters_purge(struct api_req *r)
{
    if (kept(r)) {
        letters_change(r, "PurgeConditionNotSpecified", TASKS->purge, NULL);
    }
}

static bool only_dead(struct api_req *r, struct filters *f)
{
    (void)r;
    filters_eq(f, "state", TN_STR("dead"));
    return true;
}

/* ---- queues --------------------------------------------------------------------------------------- */
static void queues_list(struct api_req *r)
{
    tn_text json = {0};
    tn_err err = TN_ERR_INIT;
    if (!kept(r)) {
        return;
    }
    if (TASKS->status(CTX, &json, &err) == TN_OK) {
        api_ok_text(r, (tn_str){json.s, json.n});
        api.host->free(CTX, json.s);
    } else {
        api_fail_err(r, &err);
    }
}

static void queue_modify(struct api_req *r)
{
    tn_str text = api_param(r, 0);
    int64_t queue = -1;
    if (!text_is(text, "all") && (!text_int(text, &queue) || queue < 0 || queue > 9)) {
        crud_no_such(r, "queue", text);
    } else if (kept(r)) {
        bool on = json_is_true(json_object_get(json_object_get(r->body, "data"), "isPaused"));
        tn_err err = TN_ERR_INIT;
        if (r->dry_run || TASKS->pause_keep(CTX, (int32_t)queue, on, &err) == TN_OK) {
            api_ok(r, json_pack("{s:s%, s:b}", "id", text.s, text.n, "isPaused", on));
        } else {
            api_fail_err(r, &err);
        }
    }
}

/* clang-format off */
static const char *const sort[] = {"seq", "triggerTimeMs", "endTimeMs", NULL};
static const struct list_spec task_list = {.paging = PAGE_NORMAL, .sort = sort};
static const struct list_spec letter_list = {.paging = PAGE_NORMAL, .sort = sort,
                                             .filters = only_dead};
#define IN(n) {.name = n, .type = F_COMMA, .op = TN_OP_IN, .column = n}
#define FILTERS                                                                                   \
    IN("id"), IN("rootId"), IN("scriptId"), IN("funcId"), IN("origin"), IN("originId"),           \
    {.name = "queue", .type = F_INT, .min = 0, .max = 9, .op = TN_OP_EQ, .column = "queue"},      \
    {.name = "triggeredAfter", .type = F_INT, .op = TN_OP_GE, .column = "triggerTimeMs"},         \
    {.name = "triggeredBefore", .type = F_INT, .op = TN_OP_LT, .column = "triggerTimeMs"}
static const struct field task_query[] = {FILTERS, IN("state"), {.name = NULL}};
static const struct field letter_query[] = {FILTERS, {.name = NULL}};
static const struct field wait_query[] = {
    {.name = "timeout", .type = F_STR, .max = 16}, {.name = NULL}};
static const struct field result_query[] = {
    {.name = "wait", .type = F_STR, .max = 16}, {.name = "unbox", .type = F_BOOL}, {.name = NULL}};
static const struct field events_query[] = {
    {.name = "lastEventId", .type = F_STR, .max = 20}, {.name = NULL}};
static const struct field legacy_query[] = {
    {.name = "taskId", .type = F_STR, .flags = FF_REQUIRED, .min = 1, .max = TASK_ID_MAX},
    {.name = "returnType", .type = F_STR, .choices = "ALL|raw|repr|jsonDumps"},
    {.name = "unfold", .type = F_BOOL}, {.name = "unbox", .type = F_BOOL}, {.name = NULL}};
static const struct field cancel_body[] = {
    {.name = "graceSeconds", .type = F_INT, .min = 0, .max = 3600}, {.name = NULL}};
static const struct field queue_data[] = {
    {.name = "isPaused", .type = F_BOOL, .flags = FF_REQUIRED}, {.name = NULL}};
static const struct field queue_body[] = {
    {.name = "data", .type = F_OBJ, .flags = FF_REQUIRED, .sub = queue_data}, {.name = NULL}};

const struct api_route task_routes[] = {
    {"GET", "/api/v1/tasks/do/list", "general_r", "Lists durable tasks", list_run, task_query, NULL,
     &task_list, API_FIELDS | API_EXPORT},
    {"GET", "/api/v1/tasks/:id/do/get", "general_r", "A task with arguments, result and attempts",
     task_get, NULL, NULL, NULL, 0},
    {"GET", "/api/v1/tasks/:id/do/wait", "general_r",
     "A task when it has ended, or as it is after timeout= seconds (30; 0 to 60)", task_wait_run,
     wait_query, NULL, NULL, 0},
    {"GET", "/api/v1/tasks/:id/result", "general_r",
     "The result of a task, answered as a sync API would", task_result_run, result_query, NULL,
     NULL, 0},
    {"GET", "/api/v1/tasks/:id/logs", "general_r", "What a task has printed so far", task_logs,
     NULL, NULL, NULL, 0},
    {"GET", "/api/v1/tasks/:id/events", "general_r",
     "Server-sent events of a task: state, log, progress, end; resumes behind Last-Event-ID",
     task_events_run, events_query, NULL, NULL, 0},
    {"GET", "/api/v1/tasks/:id/do/why", "general_r", "The one rule that holds a queued task",
     task_why_run, NULL, NULL, NULL, 0},
    {"POST", "/api/v1/tasks/:id/do/cancel", "general_w",
     "Cancels a task: a queued one at once, a running one softly and after graceSeconds (5) hard",
     task_cancel_run, NULL, cancel_body, NULL, 0},
    {"GET", "/api/v1/func-result", "general_r",
     "The result of a task in the form of version 1.x", func_result_run, legacy_query, NULL, NULL,
     0},
    {"GET", "/api/v1/dead-letters/do/list", "general_r", "Lists tasks whose attempts all failed",
     list_run, letter_query, NULL, &letter_list, API_FIELDS | API_EXPORT},
    {"POST", "/api/v1/dead-letters/do/redrive", "general_w",
     "Queues the filtered dead letters again, under their ids", letters_redrive, letter_query, NULL,
     NULL, 0},
    {"POST", "/api/v1/dead-letters/do/purge", "general_w", "Deletes the filtered dead letters",
     letters_purge, letter_query, NULL, NULL, 0},
    {"GET", "/api/v1/queues/do/list", "general_r", "State of the ten queues", queues_list, NULL,
     NULL, NULL, 0},
    {"POST", "/api/v1/queues/:queue/do/modify", "general_w",
     "Pauses or resumes a queue, or \"all\" of them", queue_modify, NULL, queue_body, NULL, 0},
    {.method = NULL}};
/* clang-format on */
