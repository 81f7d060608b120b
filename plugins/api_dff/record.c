/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of function tasks: whether one is kept, its head and its tail. */
#include "record.h"
#include "call_out.h"
#include "store.h"

#include <stdatomic.h>

static _Atomic bool enabled = true;

uint32_t record_limit_of(tn_str origin, int64_t limit)
{
    static const struct {
        const char *origin, *setting;
    } kept[] = {{"direct", "_TASK_RECORD_FUNC_LIMIT_DIRECT"},
                {"integration", "_TASK_RECORD_FUNC_LIMIT_INTEGRATION"},
                {"connector", "_TASK_RECORD_FUNC_LIMIT_CONNECTOR"}};
    int64_t max = 10000;
    if (!atomic_load_explicit(&enabled, memory_order_relaxed) || api.host->records == NULL) {
        return 0;
    }
    for (size_t i = 0; limit < 0 && i < sizeof kept / sizeof *kept; i++) {
        if (text_is(origin, kept[i].origin)) {
            limit = api_setting_int(kept[i].setting, 1000);
        }
    }
    return limit <= 0 ? 0 : (uint32_t)(limit < max ? limit : max);
}

tn_rc record_enable(bool on, tn_err *err)
{
    atomic_store(&enabled, on);
    if (on) {
        return TN_OK;
    }
    tn_rc rc = api.host->records->flush(api.host->ctx, err);
    tn_filter all = {.column = "seq", .op = TN_OP_GT, .value = TN_STR("0")};
    return rc != TN_OK ? rc
                       : api.host->entities->remove(api.host->ctx, NULL, "taskRecordFunc", &all, 1,
                                                    NULL, err);
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Bytes of the script set's name in a script id. */
static size_t set_bytes(tn_str script)
{
    for (size_t i = 0; i + 1 < script.n; i++) {
        if (script.s[i] == '_' && script.s[i + 1] == '_') {
            return i;
        }
    }
    return script.n;
}

static void member_text(struct str *out, const char *key, tn_str value)
{
    str_puts(out, ",\"");
    str_puts(out, key);
    str_puts(out, "\":");
    if (value.s == NULL) {
        add_lit(out, "null");
    } else {
        add_quote(out, value);
    }
}

static void member_int(struct str *out, const char *key, int64_t value)
{
    str_puts(out, ",\"");
    str_puts(out, key);
    str_puts(out, "\":");
    add_int(out, value);
}

void record_head(struct str *out, const struct record_src *s)
{
    add_lit(out, "{\"scriptSetId\":");
    add_quote(out, (tn_str){s->script.s, set_bytes(s->script)});
    add_lit(out, ",\"scriptId\":");
    add_quote(out, s->script);
    add_lit(out, ",\"funcId\":\"");
    add(out, s->script); /* both are identifiers: nothing to escape */
    add_lit(out, ".");
    add(out, s->func);
    add_lit(out, "\",\"funcCallKwargsJSON\":");
    record_args(out, s->args);
    add_lit(out, ",\"origin\":");
    add_quote(out, s->origin);
    add_lit(out, ",\"originId\":");
    add_quote(out, s->origin_id);
    if (s->eta.n > 0) {
        member_text(out, "eta", s->eta);
    }
    member_int(out, "delay", s->delay_s);
    member_int(out, "queue", s->queue);
    member_int(out, "timeout", s->timeout_ms / 1000);
    member_int(out, "expires", s->expires_ms / 1000);
    str_puts(out, s->ignore_result ? ",\"ignoreResult\":true" : ",\"ignoreResult\":false");
}

const char *record_status(const tn_call_result *r)
{
    static const char *const names[TN_CALL_STATUSES] = {
        [TN_CALL_SUCCESS] = "success", [TN_CALL_FAILURE] = "failure", [TN_CALL_TIMEOUT] = "timeout",
        [TN_CALL_EXPIRED] = "expire",  [TN_CALL_SKIPPED] = "skip",    [TN_CALL_CRASHED] = "failure",
        [TN_CALL_OVERLOAD] = "expire", [TN_CALL_CANCELED] = "cancel"};
    return r->status < TN_CALL_STATUSES ? names[r->status] : "failure";
}

static void tail_error(struct str *out, tn_str error)
{
    static const struct {
        const char *member, *column;
    } map[] = {{"exceptionType", "exceptionType"},
               {"exception", "exceptionTEXT"},
               {"traceback", "tracebackTEXT"}};
    tn_json_member m[16];
    uint32_t kind, n = 0;
    if (error.n == 0 || api.host->json->scan(error, &kind, m, 16, &n, NULL) != TN_OK) {
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        for (size_t k = 0; k < sizeof map / sizeof *map; k++) {
            if (text_is(m[i].key, map[k].member) && m[i].kind == TN_JSON_STRING) {
                str_printf(out, ",\"%s\":", map[k].column);
                record_json(out, m[i].value);
            }
        }
    }
}

static void tail_value(struct str *out, const tn_call_result *r)
{
    add_lit(out, ",\"returnValueJSON\":");
    if (r->value_kind == TN_VALUE_NONE) {
        add_lit(out, "null");
    } else if (r->value_fd >= 0) {
        str_printf(out, "\"(%llu bytes, too large for a record)\"",
                   (unsigned long long)r->value_len);
    } else if (r->value_kind == TN_VALUE_TEXT) {
        if (r->value.n > (64u << 10)) {
            record_json(out, r->value);
        } else {
            add_quote(out, r->value);
        }
    } else {
        record_json(out, r->value);
    }
    if (r->control.n > 0) {
        add_lit(out, ",\"responseControlJSON\":");
        record_json(out, r->control);
    }
}

void record_tail(struct str *out, const struct record_end *e)
{
    const tn_call_result *r = e->result;
    /* A task was triggered by its schedule or its caller, long before its worker got it. */
    int64_t trigger = e->trigger_us != 0 || r == NULL ? e->trigger_us : r->trigger_us;
    int64_t end = r != NULL && r->end_us != 0 ? r->end_us : api.host->wall_us();
    int64_t start = r != NULL && r->start_us != 0 ? r->start_us : end;
    member_text(out, "id", e->id);
    member_text(out, "rootTaskId", e->root_id.n > 0 ? e->root_id : TN_STR("ROOT"));
    if (e->cron_expr.n > 0) {
        member_text(out, "cronExpr", e->cron_expr);
    }
    if (e->call_chain.n > 0) {
        add_lit(out, ",\"callChainJSON\":");
        record_json(out, e->call_chain);
    }
    member_int(out, "triggerTimeMs", trigger / 1000);
    member_int(out, "startTimeMs", start / 1000);
    member_int(out, "endTimeMs", end / 1000);
    member_int(out, "attempt", e->attempt != 0 ? e->attempt : 1);
    member_int(out, "maxAttempts", e->max_attempts != 0 ? e->max_attempts : 1);
    member_text(out, "status",
                text_of(e->status != NULL ? e->status
                        : r != NULL       ? record_status(r)
                                          : "failure"));
    if (r != NULL) {
        member_int(out, "costMs", r->cost_us / 1000);
        member_int(out, "peakMemoryUsage", (int64_t)r->peak_bytes);
        tail_error(out, r->error);
        if (r->logs.n > 0) {
            add_lit(out, ",\"printLogsTEXT\":");
            record_logs(out, r->logs);
        }
        if (r->status == TN_CALL_SUCCESS) {
            tail_value(out, r);
        }
    }
    add_lit(out, "}");
}
