/* SPDX-License-Identifier: Apache-2.0 */
/* From the stored form of a task to results and views. */
#include "task_result.h"

/* In the order of TN_TASK_*: how get() writes them, what a broker would have said, the word of 1.x. */
static const struct {
    const char *name;
    uint32_t status;
    const char *legacy;
} states[TN_TASK_STATES] = {
    [TN_TASK_QUEUED] = {"queued", 0, "waiting"},
    [TN_TASK_RUNNING] = {"running", 0, "pending"},
    [TN_TASK_RETRYING] = {"retrying", 0, "pending"},
    [TN_TASK_SUCCEEDED] = {"succeeded", TN_CALL_SUCCESS, "success"},
    [TN_TASK_FAILED] = {"failed", TN_CALL_FAILURE, "failure"},
    [TN_TASK_TIMEOUT] = {"timeout", TN_CALL_TIMEOUT, "timeout"},
    [TN_TASK_EXPIRED] = {"expired", TN_CALL_EXPIRED, "expire"},
    [TN_TASK_SKIPPED] = {"skipped", TN_CALL_SKIPPED, "skip"},
    /* TN_CALL_CANCELED is the platform's doing and says nothing about the function */
    [TN_TASK_CANCELED] = {"canceled", TN_CALL_FAILURE, "canceled"},
    [TN_TASK_DEAD] = {"dead", TN_CALL_FAILURE, "failure"},
};

static const tn_json_member *find(const struct task_view *v, const char *name)
{
    for (uint32_t i = 0; i < v->n; i++) {
        if (text_is(v->m[i].key, name)) {
            return v->m[i].kind != TN_JSON_NULL ? &v->m[i] : NULL;
        }
    }
    return NULL;
}

tn_str task_member(const struct task_view *v, const char *name)
{
    const tn_json_member *m = find(v, name);
    return m != NULL ? m->value : TN_STR("null");
}

static tn_str plain(const struct task_view *v, const char *name)
{
    const tn_json_member *m = find(v, name);
    return m != NULL && m->kind == TN_JSON_STRING ? (tn_str){m->value.s + 1, m->value.n - 2}
                                                  : TN_STR("");
}

static int64_t number(const struct task_view *v, const char *name)
{
    int64_t n = 0;
    const tn_json_member *m = find(v, name);
    return m != NULL && m->kind == TN_JSON_NUMBER && text_int(m->value, &n) ? n : 0;
}

/* The value of a success, the report of anything else. */
static bool view_result(struct task_view *v)
{
    static const uint32_t kinds[] = {
        [TN_JSON_NULL] = TN_VALUE_NONE,     [TN_JSON_BOOL] = TN_VALUE_BOOL,
        [TN_JSON_NUMBER] = TN_VALUE_NUMBER, [TN_JSON_STRING] = TN_VALUE_TEXT,
        [TN_JSON_ARRAY] = TN_VALUE_JSON,    [TN_JSON_OBJECT] = TN_VALUE_JSON,
    };
    static const char *const report[] = {"exception", "exceptionType", "traceback"};
    tn_call_result *r = &v->result;
    const tn_json_member *value = find(v, "result"), *control = find(v, "responseControl");
    *r = (tn_call_result){.size = sizeof *r,
                          .status = states[v->state].status,
                          .task_id = plain(v, "id"),
                          .value_fd = -1,
                          .trigger_us = number(v, "triggerTimeMs") * 1000,
                          .start_us = number(v, "startTimeMs") * 1000,
                          .end_us = number(v, "endTimeMs") * 1000};
    if (r->status == TN_CALL_SUCCESS) {
        r->value_kind = value != NULL ? kinds[value->kind] : TN_VALUE_NONE;
        r->value = value != NULL ? value->value : TN_STR("");
        r->control = control != NULL && control->kind == TN_JSON_OBJECT ? control->value
                                                                        : TN_STR("");
        if (r->value_kind == TN_VALUE_TEXT) {
            size_t need = api.host->json->unquote(value->value, NULL, 0);
            char *to = str_room_for(&v->text, need);
            if (to == NULL) {
                return false;
            }
            api.host->json->unquote(value->value, to, need);
            r->value = (tn_str){to, need};
        }
        return true;
    }
    if (find(v, "exception") != NULL) {
        for (size_t i = 0; i < sizeof report / sizeof *report; i++) {
            str_printf(&v->text, "%s\"%s\":", i == 0 ? "{" : ",", report[i]);
            add(&v->text, task_member(v, report[i]));
        }
        add_lit(&v->text, "}");
        r->error = str_view(&v->text);
    }
    return !v->text.failed;
}

bool task_view(tn_str json, struct task_view *ret)
{
    uint32_t kind = TN_JSON_NULL;
    ret->text = (struct str){0};
    ret->n = 0;
    if (api.host->json->scan(json, &kind, ret->m, sizeof ret->m / sizeof *ret->m, &ret->n, NULL) !=
            TN_OK ||
        kind != TN_JSON_OBJECT) {
        return false;
    }
    tn_str state = plain(ret, "state");
    for (ret->state = 0; ret->state < TN_TASK_STATES; ret->state++) {
        if (text_is(state, states[ret->state].name)) {
            break;
        }
    }
    if (ret->state == TN_TASK_STATES) {
        return false;
    }
    ret->ended = ret->state >= TN_TASK_SUCCEEDED;
    ret->origin = plain(ret, "origin");
    ret->origin_id = plain(ret, "originId");
    return !ret->ended || view_result(ret);
}

void task_view_finish(struct task_view *v)
{
    str_free(&v->text);
}

void task_write_public(const struct task_view *v, struct str *out)
{
    static const char *const shown[] = {
        "id",        "state",       "attempt",       "maxAttempts", "triggerTimeMs",
        "dueTimeMs", "startTimeMs", "endTimeMs",     "costMs",      "progress",
        "result",    "exception",   "exceptionType", "traceback"};
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        str_printf(out, "%s\"%s\":", i == 0 ? "{" : ",", shown[i]);
        add(out, task_member(v, shown[i]));
    }
    add_lit(out, "}");
}

static void write_time(struct str *out, const char *key, int64_t us)
{
    char iso[ISO_LEN + 1];
    iso_time(us, iso);
    str_printf(out, us > 0 ? ",\"%s\":\"%s\"" : ",\"%s\":null", key, iso);
}

void task_write_legacy(const struct task_view *v, struct str *out, tn_str value)
{
    static const char *const request[] = {"funcId", "args", "origin", "originId", "queue"};
    static const char *const names[] = {"funcId", "funcCallKwargs", "origin", "originId", "queue"};
    for (size_t i = 0; i < sizeof request / sizeof *request; i++) {
        str_printf(out, "%s\"%s\":", i == 0 ? "{\"request\":{" : ",", names[i]);
        add(out, task_member(v, request[i]));
    }
    add_lit(out, "}");
    write_time(out, "startTime", number(v, "startTimeMs") * 1000);
    write_time(out, "endTime", number(v, "endTimeMs") * 1000);
    str_printf(out, ",\"status\":\"%s\",\"result\":", states[v->state].legacy);
    add(out, value);
    for (size_t i = 0; v->ended && i < 3; i++) {
        static const char *const report[] = {"exception", "exceptionType", "traceback"};
        str_printf(out, ",\"%s\":", report[i]);
        add(out, task_member(v, report[i]));
    }
    add_lit(out, "}");
}

void task_respond_result(struct call *c, const struct task_view *v)
{
    if (v->ended) {
        respond_result(c, &v->result, false);
        return;
    }
    struct call_refusal why = {0};
    str_printf(&why.detail, "{\"state\":\"%s\"}", states[v->state].name);
    why.retry_s = 1;
    call_refuse(&why, EBizCondition, "TaskNotEnded", "The task has not ended yet");
    respond_refusal(c, &why);
    call_refusal_finish(&why);
}
