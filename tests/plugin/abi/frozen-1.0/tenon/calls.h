/* SPDX-License-Identifier: Apache-2.0 */
/* Submitting function calls to the broker, and what comes back. */
#ifndef TENON_CALLS_H
#define TENON_CALLS_H

#include <tenon/types.h>

/* tn_call_req.flags */
#define TN_CALL_DEBUG    (1u << 0) /* debugger run: `code` replaces the script's published code */
#define TN_CALL_NO_FUNC  (1u << 1) /* execute the script only (publish check) */

typedef struct tn_call tn_call;

/* tn_call_result.status */
#define TN_CALL_SUCCESS  0
#define TN_CALL_FAILURE  1 /* the script raised; `error` holds the report */
#define TN_CALL_TIMEOUT  2 /* soft or hard deadline */
#define TN_CALL_EXPIRED  3 /* waited longer than expires_ms, never started */
#define TN_CALL_SKIPPED  4 /* the script raised a Warning */
#define TN_CALL_CRASHED  5 /* the worker process died; `error` says how */
#define TN_CALL_OVERLOAD 6 /* the queue is full; retry_ms says when to come back */
#define TN_CALL_CANCELED 7
#define TN_CALL_STATUSES 8

/* tn_call_result.value_kind: what `value` holds, so that nobody needs to parse it */
#define TN_VALUE_NONE   0 /* None: value is empty */
#define TN_VALUE_TEXT   1 /* str: value is the raw UTF-8 text, not JSON */
#define TN_VALUE_NUMBER 2 /* JSON number */
#define TN_VALUE_BOOL   3 /* true / false */
#define TN_VALUE_JSON   4 /* JSON array or object */

typedef struct tn_call_result {
    uint32_t size;
    uint32_t status;      /* TN_CALL_* */
    uint32_t value_kind;  /* TN_VALUE_* */
    uint32_t retry_ms;    /* OVERLOAD: advice for Retry-After */
    tn_str task_id;       /* "task-" + 12 */
    tn_str value;         /* borrowed; empty when value_fd is used */
    int32_t value_fd;     /* >= 0: a sealed memfd with value_len bytes; the callee that keeps it
                             dup()s it, the kernel closes it after done() */
    uint32_t cost_us;     /* execution time in the worker */
    uint64_t value_len;
    tn_str control;       /* JSON object of response control keys (spec 2.8), empty = none */
    tn_str error;         /* JSON {"exception","exceptionType","traceback"}, empty on success; with
                             "exceptionBases" when the type is derived from others below Exception */
    tn_str logs;          /* printed lines, '\n' separated */
    int64_t trigger_us, start_us, end_us;  /* wall clock, microseconds UTC; 0 = not reached */
    uint64_t peak_bytes;  /* peak memory of the worker while it ran, 0 unknown */
    uint32_t outside;     /* CRASHED: 1 = somebody else killed the worker (SIGKILL that was not ours) */
    uint32_t rsvd;
} tn_call_result;

typedef struct tn_call_req {
    uint32_t size;
    uint32_t flags;       /* TN_CALL_* */
    tn_str script;        /* "set__script" */
    tn_str func;          /* "plus"; empty with TN_CALL_NO_FUNC */
    tn_str origin;        /* "syncAPI" */
    tn_str origin_id;
    tn_str args;          /* JSON object: keyword arguments; empty = {} */
    tn_str http;          /* JSON object of spec 2.5; empty = {} */
    tn_str vars;          /* JSON object of further task values (spec 3.2, 2.6), empty = none */
    tn_str code;          /* source text, with TN_CALL_DEBUG */
    uint32_t queue;       /* 0..9 */
    uint32_t timeout_ms;  /* execution limit, 1000..3600000 */
    uint32_t expires_ms;  /* limit of the wait in the queue, 0 = none */
    uint32_t result_ttl;  /* seconds a result stays cached (RESP_LARGE_DATA keeps its file as long) */
    void *user;
    /* Loop thread, exactly once for every accepted submit; never from inside submit(). All of
     * `result` is borrowed until done() returns. */
    void (*done)(void *user, const tn_call_result *result);
    tn_str task_id;       /* what the script sees as its task, at most 47 bytes; absent = generated */
    /* Loop thread, before done(): printed lines as they come, '\n' separated; NULL = with the result
     * only. Must not submit or orphan. */
    void (*log)(void *user, tn_str text);
    int64_t trigger_us;   /* what the script sees as its trigger time, wall clock; 0 = now */
    uint32_t expires_seen_ms; /* what it sees as its expiry when that was judged elsewhere; 0 = expires_ms */
    uint32_t rsvd;
    /* Instead of `http`: writes that text when somebody looks at it, which most scripts never do. Loop
     * thread, with `user`: between submit() and done(), and from inside orphan() for a call that goes on.
     * Borrowed until the next one is asked for; s == NULL: no memory. Must not submit or orphan. */
    tn_str (*http_text)(void *user);
} tn_call_req;

#endif
