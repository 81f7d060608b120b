/* SPDX-License-Identifier: Apache-2.0 */
/* Reading one task for a request: as it is, or when it has ended. Loop thread. */
#pragma once
#include "call.h"

#define TASK_WAIT_MAX_S 60
#define TASK_ID_MAX     64

/* done() gets the task as JSON (host->tasks->get), borrowed, or absent when there is no such task; never
 * from inside this call. ms 0: as it is now; else when it ends or ms have passed. When reading fails,
 * or the client goes, done() does not run and the request is answered or released. */
void task_wait(struct call *c, tn_str id, uint32_t ms, void (*done)(struct call *c, tn_str json));
void task_wait_cancel(struct call *c);

/* "No such task" as a refusal. Returns false. */
bool task_unknown(struct call_refusal *why, tn_str id);
/* `wait`, `timeout`: seconds of a query field, 0..60; dflt when absent. False: refused. */
bool task_wait_seconds(const tn_http_req *req, const char *name, uint32_t dflt, uint32_t *ret_ms,
                       struct call_refusal *why);
