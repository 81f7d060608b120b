/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks that scripts make (spec 3.5): DFF.FUNC, BLUEPRINT, SYNC_API.call and the like; and the progress
 * they tell. On the loop: functions are looked up in the snapshot. */
#include "service.h"
#include "task_submit.h"

#include <stdlib.h>
#include <string.h>

#define CTX         api.host->ctx
#define CHAIN_MAX   5 /* functions in a row that call each other (spec appendix C) */
#define MEMBERS_MAX 16

/* Members of the payload as raw JSON, so that arguments stay exactly what the script gave. */
struct ask {
    tn_json_member m[MEMBERS_MAX];
    uint32_t n;
    char text[4][300]; /* unescaped funcId, origin, originId, rootTaskId */
};

static tn_str raw(const struct ask *a, const char *name)
{
    for (uint32_t i = 0; i < a->n; i++) {
        if (text_is(a->m[i].key, name) && a->m[i].kind != TN_JSON_NULL) {
            return a->m[i].value;
        }
    }
    return (tn_str){NULL, 0};
}

/* A text member, unescaped into slot i; absent when it is missing or too long. */
static tn_str text(struct ask *a, const char *name, size_t i)
{
    tn_str v = raw(a, name);
    size_t n = v.n >= 2 && v.s[0] == '"' ? api.host->json->unquote(v, a->text[i], sizeof a->text[i])
                                         : 0;
    return n > 0 && n <= sizeof a->text[i] ? (tn_str){a->text[i], n} : (tn_str){NULL, 0};
}

/* A whole number between low and high; false: it is another value. Absent is 0. */
static bool number(const struct ask *a, const char *name, int64_t low, int64_t high, int64_t *ret)
{
    tn_str v = raw(a, name);
    *ret = 0;
    return v.s == NULL || (text_int(v, ret) && *ret >= low && *ret <= high);
}

/* Whether the chain has room for f and does not hold it; false: answered. */
static bool chain_ok(const struct ask *a, tn_str func_id, void *token)
{
    tn_str chain = raw(a, "callChain");
    json_t *list = chain.s != NULL ? json_loadb(chain.s, chain.n, 0, NULL) : NULL;
    bool circular = false;
    size_t n = json_array_size(list);
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_array_get(list, i);
        circular = circular || text_is(func_id, json_is_string(id) ? json_string_value(id) : "");
    }
    json_decref(list);
    if (circular) {
        service_refuse(token, TN_E_INVAL, "FuncCircularCall: `%.*s` is already in the call chain",
                       (int)func_id.n, func_id.s);
    } else if (n >= CHAIN_MAX) {
        service_refuse(
            token, TN_E_INVAL,
            "FuncCallChainTooLong: %zu functions call each other already, %d is the most", n,
            CHAIN_MAX);
    }
    return !circular && n < CHAIN_MAX;
}

static void submitted(void *token, tn_rc rc, const tn_task_receipt *receipts, uint32_t n,
                      const tn_err *err)
{
    if (rc == TN_OK && n == 1) {
        service_answer(token, json_pack("{s:s%}", "id", receipts[0].id.s, receipts[0].id.n));
    } else {
        service_refuse_err(token, err);
    }
}

/* Values that the sub-task sees (spec 3.2). */
static void vars_write(const struct ask *a, struct str *out)
{
    static const char *const names[] = {"rootTaskId", "callChain", "taskRecordLimit"};
    for (size_t i = 0; i < 3; i++) {
        tn_str v = raw(a, names[i]);
        if (v.s != NULL) {
            str_printf(out, "%s\"%s\":", out->n == 0 ? "{" : ",", names[i]);
            str_text(out, v);
        }
    }
    if (out->n > 0) {
        str_char(out, '}');
    }
}

static void submit(struct ask *a, const struct snap_func *f, const struct call_kind *kind,
                   const struct call_opts *o, int64_t trigger_ms, void *token)
{
    tn_task_req req;
    struct str vars = {0};
    tn_err err = TN_ERR_INIT;
    task_req_of_func(f, kind, text(a, "originId", 2), o, &req);
    tn_str root = text(a, "rootTaskId", 3);
    vars_write(a, &vars);
    req.root_id = root;
    req.args = raw(a, "kwargs");
    req.vars = str_view(&vars);
    req.trigger_us = trigger_ms > 0 ? trigger_ms * 1000 : req.trigger_us;
    if (vars.failed) {
        service_refuse(token, TN_E_NOMEM, "no memory for a task");
    } else if (api.host->tasks->submit(CTX, &req, 1, submitted, token, &err) != TN_OK) {
        service_refuse_err(token, &err);
    }
    str_free(&vars);
}

/* The defaults of what is called; FUNC takes the caller's queue (spec 2.1). */
static struct call_kind kind_of(struct ask *a, int64_t current_queue)
{
    struct call_kind k = {.queue = 1, .timeout_s = 35, .expires_s = 900};
    tn_str kind = raw(a, "kind");
    if (text_is(kind, "\"asyncAPI\"")) {
        k = kind_async;
    } else if (text_is(kind, "\"cronJob\"")) {
        k = kind_cron;
    } else if (text_is(kind, "\"syncAPI\"")) {
        k.expires_s = 0;
    } else if (current_queue > 0) {
        k.queue = (uint32_t)current_queue;
    }
    k.origin = text(a, "origin", 1);
    return k;
}

static bool payload_read(struct ask *a, tn_str payload, void *token)
{
    uint32_t kind;
    tn_err err = TN_ERR_INIT;
    if (api.host->json->scan(payload, &kind, a->m, MEMBERS_MAX, &a->n, &err) != TN_OK) {
        service_refuse_err(token, &err);
        return false;
    }
    a->n = a->n < MEMBERS_MAX ? a->n : MEMBERS_MAX;
    return true;
}

/* A name too long for any function is told in part. */
static void no_function(const struct ask *a, tn_str id, void *token)
{
    tn_str v = raw(a, "funcId");
    if (id.s == NULL && v.n > 2) {
        id = (tn_str){v.s + 1, v.n - 2 < 300 ? v.n - 2 : 300};
    }
    service_refuse(token, TN_E_NOTFOUND, "EntityNotFound: Function not found: `%.*s`", (int)id.n,
                   id.s != NULL ? id.s : "");
}

/* "task.submit" {"kind", "funcId", "kwargs", "origin", "originId", "rootTaskId"?, "callChain"?, "queue"?,
 * "currentQueue"?, "timeout"?, "expires"?, "triggerTimeMs"?, "taskRecordLimit"?} -> {"id"} */
static void task_submit(void *user, tn_str payload, void *token)
{
    struct ask a = {.n = 0};
    int64_t queue, current, timeout, expires, trigger;
    (void)user;
    if (!payload_read(&a, payload, token)) {
        return;
    }
    if (!number(&a, "queue", 1, 9, &queue)) {
        service_refuse(token, TN_E_INVAL,
                       "BadEntityCall: `queue` should be an integer between 1 and 9");
        return;
    }
    if (!number(&a, "currentQueue", 0, 9, &current) || !number(&a, "timeout", 1, 3600, &timeout) ||
        !number(&a, "expires", 1, 86400, &expires) ||
        !number(&a, "triggerTimeMs", 0, INT64_MAX / 1000, &trigger)) {
        service_refuse(token, TN_E_INVAL, "BadEntityCall: an option of the call is out of range");
        return;
    }
    tn_str id = text(&a, "funcId", 0), args = raw(&a, "kwargs");
    const struct snap_func *f = id.s != NULL ? snapshot_func(calls_snapshot(), id) : NULL;
    if (f == NULL) {
        no_function(&a, id, token);
    } else if (args.n > 0 && args.s[0] != '{') {
        service_refuse(token, TN_E_INVAL, "BadEntityCall: `kwargs` should be an object");
    } else if (api.host->tasks == NULL) {
        service_refuse(token, TN_E_UNSUPP, "this platform has no durable tasks");
    } else if (chain_ok(&a, id, token)) {
        const struct call_kind kind = kind_of(&a, current);
        const struct call_opts o = {.queue = (uint32_t)queue,
                                    .timeout_s = (uint32_t)timeout,
                                    .expires_s = (uint32_t)expires,
                                    .unbox = -1};
        submit(&a, f, &kind, &o, trigger, token);
    }
}

/* "task.progress" {"id", "value"} */
static void task_progress(void *user, tn_str payload, void *token)
{
    struct ask a = {.n = 0};
    tn_err err = TN_ERR_INIT;
    (void)user;
    if (!payload_read(&a, payload, token)) {
        return;
    }
    tn_str value = raw(&a, "value");
    tn_rc rc = TN_OK;
    if (api.host->tasks != NULL) {
        rc = api.host->tasks->progress(CTX, text(&a, "id", 0), value.s ? value : TN_STR("null"),
                                       &err);
    }
    /* A call that is no durable task has nobody who watches: that is no error of the script. */
    if (rc == TN_OK || rc == TN_E_NOTFOUND) {
        service_answer(token, json_null());
    } else {
        service_refuse_err(token, &err);
    }
}

tn_rc task_services(tn_err *err)
{
    tn_rc rc = api.host->calls->service(CTX, "task.submit", TN_SERVICE_LOOP, task_submit, NULL,
                                        err);
    return rc == TN_OK ? api.host->calls->service(CTX, "task.progress", TN_SERVICE_LOOP,
                                                  task_progress, NULL, err)
                       : rc;
}
