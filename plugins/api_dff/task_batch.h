/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks of one request, accepted together: all are durable before the answer, or none is there. Loop
 * thread. */
#pragma once
#include "task_submit.h"

#define TASK_BATCH_MAX 10000
struct task_batch;

/* For up to cap tasks of the request of c. many: the answer is {"ids": [...]}, else {"id": ...}. NULL:
 * `why` says it. */
struct task_batch *task_batch_open(struct call *c, uint32_t cap, bool many,
                                   struct call_refusal *why);
/* One more; kwargs are copied, everything else has to live until the submission. */
bool task_batch_add(struct task_batch *b, const struct call_target *t, tn_str kwargs,
                    const struct call_opts *o, struct call_refusal *why);
/* Submits what was added and answers when it is durable. query, body: what all of them see as the
 * request's. Takes b in every case and leads to one answer. */
void task_batch_submit(struct task_batch *b_take, tn_str query, tn_str body);
void task_batch_free(struct task_batch *b); /* without submitting; NULL is allowed */
/* The client has gone; what was submitted stays. */
void task_batch_orphan(struct call *c);
/* An error of host->tasks in words. Returns false. */
bool task_refuse(struct call_refusal *why, tn_rc rc, const tn_err *err);
