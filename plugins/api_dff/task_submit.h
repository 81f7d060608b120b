/* SPDX-License-Identifier: Apache-2.0 */
/* From a function and what its caller asked for to a durable task (host->tasks, host->schedules):
 * async calls, cron jobs, sub-calls. */
#pragma once
#include "call_run.h"

/* Entry points that make tasks (spec 2.1). */
extern const struct call_kind kind_async, kind_cron, kind_integration;

/* Fills `ret` for one call of f: names, queue, timeout and expires (o's, else DFF.API's, else the
 * kind's), the start by eta or delay, delivery and retries by DFF.API. The rest is zeroed, for the
 * caller to set: args, http, vars, root_id, id, idempotency, schedule ... o may be NULL. Texts are
 * borrowed from f, kind and origin_id. Any thread that may look at f. */
void task_req_of_func(const struct snap_func *f, const struct call_kind *kind, tn_str origin_id,
                      const struct call_opts *o, tn_task_req *ret);

/* Appends the object of values that only some calls have (tn_call_req.vars): eta, delay,
 * taskRecordLimit; nothing when there are none. record_limit: of the row that is called, -1 =
 * default. */
void call_vars_write(struct str *out, const struct call_opts *o, int64_t record_limit);
