/* SPDX-License-Identifier: Apache-2.0 */
/* Records of function tasks (spec 5.4): when one is kept, how its row is written, and what was the last
 * outcome of each API. */
#pragma once
#include "api.h"

/* ---- whether ---------------------------------------------------------------------------------- */
/* Rows kept of an origin: `limit` of its API or job when it is not negative, else the default of its
 * kind (1000 for direct, integration and connector, 0 for APIs and cron jobs); 0 when records are
 * switched off. Any thread. */
uint32_t record_limit_of(tn_str origin, int64_t limit);
/* LOCAL_FUNC_TASK_RECORD_ENABLED as stored; false removes every row. Helper thread. */
tn_rc record_enable(bool on, tn_err *err);

/* ---- the row: a head when the call begins, a tail when it has ended ------------------------------- */
struct record_src {
    tn_str script, func;
    tn_str origin, origin_id;
    tn_str args; /* JSON object */
    tn_str eta;  /* ISO 8601, absent = none */
    uint32_t delay_s, queue, timeout_ms, expires_ms;
    bool ignore_result;
};
void record_head(struct str *out, const struct record_src *s);

struct record_end {
    const tn_call_result *result; /* NULL: never ran */
    const char *status;           /* NULL: of the result */
    tn_str id, root_id;           /* root_id absent: it is the root */
    tn_str cron_expr;             /* absent = none */
    tn_str call_chain;            /* JSON array, absent = none */
    int64_t trigger_us;           /* 0 = as the result says */
    uint32_t attempt, max_attempts;
};
void record_tail(struct str *out, const struct record_end *e);
const char *record_status(const tn_call_result *r);

/* record_text.c: printed lines reduced as spec 3.6 says: lines of 3000 characters, 20,000 from the
 * beginning and 30,000 from the end of the whole. */
void record_logs(struct str *out, tn_str logs);
/* JSON text, or a text that tells its size when it is larger than a record may hold. */
void record_json(struct str *out, tn_str json);
/* Arguments: values of members whose name says password, secret or token are masked. */
void record_args(struct str *out, tn_str json);

/* ---- the last outcome of an API or cron job (spec 1.9) --------------------------------------------- */
/* Loop thread. result NULL: started. */
void record_last(tn_str origin_id, const tn_call_result *result);
/* Any thread: null or {status, timestamp, exceptionType, exceptionTEXT}; a new reference. */
json_t *record_last_get(tn_str origin_id);
/* One row {id, status, atUs, exceptionType, exceptionTEXT} that has changed since it was taken last; NULL:
 * there is none (or no memory). And back, at the start; what has happened since wins. */
json_t *record_last_take(void);
void record_last_again(tn_str origin_id); /* it could not be written */
bool record_last_waits(void);             /* there is one to be taken */
void record_last_put(const json_t *row);

/* record_keep.c: some outcome has changed. Loop thread. */
void record_keep(void);
tn_rc record_keep_start(tn_err *err); /* start(): reads what was kept */
void record_keep_stop(void);          /* detach(): writes what has changed */

/* Status (spec 2.10) of a terminal state of tasks; NULL: it goes on. */
const char *record_state_name(uint32_t state);

/* record_task.c: durable tasks, through host->tasks->listen(). Helper thread, once. */
tn_rc record_start(tn_err *err);

/* Route tables of what is recorded, ended by a NULL method. */
extern const struct api_route task_record_routes[], system_setting_routes[];
