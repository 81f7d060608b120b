/* SPDX-License-Identifier: Apache-2.0 */
/* Running one call, between the call_*.c and task_*.c files only. Loop thread. */
#pragma once
#include "call.h"

/* Defaults of one entry point (spec 2.1). */
struct call_kind {
    tn_str origin;
    uint32_t queue, timeout_s;
    uint32_t expires_s; /* 0: as long as the timeout */
    bool unbox;
};

/* Queue, timeout and expires of one call: its option, else DFF.API's, else the kind's. */
struct call_limits {
    uint32_t queue, timeout_ms, expires_ms;
};
void call_limits(const struct snap_func *f, const struct call_kind *kind, const struct call_opts *o,
                 struct call_limits *ret);

/* What is called, and in whose name. */
struct call_target {
    const struct call_kind *kind;
    const struct snap_func *func;
    tn_str origin_id;
    int64_t record_limit;          /* of the API's row, -1 = default */
    tn_str code;                   /* draft code, absent = published */
    struct stored_without without; /* for what is stored of the request */
};

/* A call object that lives until the request is released; NULL: answered already. */
struct call *call_new(tn_http_req *req, struct api_req *managed);
/* Answers from the cache or submits. Leads to exactly one answer. */
void call_start_func(struct call *c, const struct call_target *t, const struct call_input *in,
                     tn_str kwargs, const struct call_opts *o);
/* task_batch.c: stores it as a task and answers with its id, when it is durable; spec 2.9. */
void call_start_task(struct call *c, const struct call_target *t, const struct call_input *in,
                     tn_str kwargs, const struct call_opts *o);
/* Submits; a refusal of the broker is answered. */
void call_hand_over(struct call *c, tn_call_req *r);

/* call_later.c: submits when eta or delay says so; copies r. The client waits no longer than a call
 * may take at all. */
void call_later_submit(struct call *c, const tn_call_req *r, const struct call_opts *o);
void call_later_cancel(struct call *c);

/* call_many.c: POST func-many, the run() of a managed route. */
void func_many_run(struct api_req *r);
