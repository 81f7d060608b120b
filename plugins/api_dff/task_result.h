/* SPDX-License-Identifier: Apache-2.0 */
/* A task's JSON (host->tasks->get) seen as what callers know: a result, a state, a 1.x record. */
#pragma once
#include "call.h"

struct task_view {
    bool ended;
    uint32_t state;           /* TN_TASK_* */
    tn_str origin, origin_id; /* without escapes */
    tn_call_result result;    /* when it has ended; borrowed from the JSON and `text` */
    tn_json_member m[64];
    uint32_t n;
    struct str text; /* what had to be unescaped or put together */
};
/* False: the JSON is not a task. task_view_finish() in any case. */
bool task_view(tn_str json, struct task_view *ret);
void task_view_finish(struct task_view *v);
/* Raw JSON of a member, "null" when there is none. */
tn_str task_member(const struct task_view *v, const char *name);
/* What the caller of a public API may know: no arguments, no logs, nothing of the installation. */
void task_write_public(const struct task_view *v, struct str *out);
/* {request, startTime, endTime, status, result} of 1.x (spec 2.12); value: result as JSON. */
void task_write_legacy(const struct task_view *v, struct str *out, tn_str value);
/* Answers with the result as a sync API would; a task that has not ended is EBizCondition.TaskNotEnded. */
void task_respond_result(struct call *c, const struct task_view *v);
