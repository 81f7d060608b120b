/* SPDX-License-Identifier: Apache-2.0 */
/* Records of durable tasks: async APIs, cron jobs, sub-tasks. The queue tells of every start and end. */
#include "record.h"
#include "store.h"

#include <string.h>

/* What only some tasks have travels in their vars (spec 2.6). */
struct vars {
    int64_t limit;
    tn_str root_id, cron_expr, call_chain, eta;
};

static tn_str plain(const tn_json_member *m)
{
    return m->kind == TN_JSON_STRING && m->value.n > 2 ? (tn_str){m->value.s + 1, m->value.n - 2}
                                                       : (tn_str){NULL, 0};
}

static void vars_read(tn_str text, struct vars *v)
{
    tn_json_member m[64];
    uint32_t kind, n = 0;
    *v = (struct vars){.limit = -1};
    if (text.n == 0 || api.host->json->scan(text, &kind, m, 64, &n, NULL) != TN_OK) {
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (text_is(m[i].key, "taskRecordLimit") && m[i].kind == TN_JSON_NUMBER) {
            text_int(m[i].value, &v->limit);
        } else if (text_is(m[i].key, "rootTaskId")) {
            v->root_id = plain(&m[i]);
        } else if (text_is(m[i].key, "cronExpr")) {
            v->cron_expr = plain(&m[i]);
        } else if (text_is(m[i].key, "eta")) {
            v->eta = plain(&m[i]);
        } else if (text_is(m[i].key, "callChain") && m[i].kind == TN_JSON_ARRAY) {
            v->call_chain = m[i].value;
        }
    }
}

const char *record_state_name(uint32_t state)
{
    static const char *const names[TN_TASK_STATES] = {
        [TN_TASK_SUCCEEDED] = "success", [TN_TASK_FAILED] = "failure",
        [TN_TASK_TIMEOUT] = "timeout",   [TN_TASK_EXPIRED] = "expire",
        [TN_TASK_SKIPPED] = "skip",      [TN_TASK_CANCELED] = "cancel",
        [TN_TASK_DEAD] = "failure"};
    return state < TN_TASK_STATES ? names[state] : NULL;
}

static void on_task(void *user, const tn_task_info *t, const tn_call_result *r)
{
    (void)user;
    const char *status = record_state_name(t->state);
    struct vars v;
    if (r == NULL && status == NULL) {
        record_last(t->origin_id, NULL);
        return;
    }
    if (r != NULL) {
        record_last(t->origin_id, r);
    }
    vars_read(t->vars, &v);
    uint32_t limit = record_limit_of(t->origin, v.limit);
    if (limit == 0 || status == NULL) {
        return;
    }
    int64_t wait = t->due_us - t->trigger_us;
    struct record_src src = {.script = t->script,
                             .func = t->func,
                             .origin = t->origin,
                             .origin_id = t->origin_id,
                             .args = t->args,
                             .eta = v.eta,
                             .delay_s = wait > 0 ? (uint32_t)(wait / 1000000) : 0,
                             .queue = t->queue,
                             .timeout_ms = t->timeout_ms,
                             .expires_ms = t->expires_ms};
    bool root = t->root_id.n == 0 ||
                (t->root_id.n == t->id.n && memcmp(t->root_id.s, t->id.s, t->id.n) == 0);
    struct record_end end = {.result = r,
                             .status = status,
                             .id = t->id,
                             .root_id = root ? v.root_id : t->root_id,
                             .cron_expr = v.cron_expr,
                             .call_chain = v.call_chain,
                             .trigger_us = t->trigger_us,
                             .attempt = t->attempt,
                             .max_attempts = t->max_attempts};
    struct str row = {0};
    record_head(&row, &src);
    record_tail(&row, &end);
    if (!row.failed) {
        api.host->records->put(api.host->ctx, "taskRecordFunc", t->origin_id, limit,
                               str_view(&row));
    }
    str_free(&row);
}

/* The stored switch, as it was left. */
static tn_rc load_switch(tn_err *err)
{
    json_t *row = store_one(NULL, "systemSetting", "id", TN_STR("LOCAL_FUNC_TASK_RECORD_ENABLED"),
                            NULL, 0, err);
    if (row == NULL) {
        return err->rc == TN_E_NOTFOUND ? TN_OK : err->rc;
    }
    const char *value = json_string_value(json_object_get(row, "value"));
    bool on = value == NULL || strcmp(value, "false") != 0;
    json_decref(row);
    return record_enable(on, err);
}

tn_rc record_start(tn_err *err)
{
    tn_rc rc = load_switch(err);
    if (rc != TN_OK || api.host->tasks == NULL) {
        return rc;
    }
    *err = (tn_err)TN_ERR_INIT;
    return api.host->tasks->listen(api.host->ctx, on_task, NULL, err);
}
