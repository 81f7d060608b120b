/* SPDX-License-Identifier: Apache-2.0 */
/* The language host table: what a worker needs from a language. pyshim implements it for Python, the
 * echo host (kernel/worker/echo.c) in C for tests of transport and kill. */
#pragma once
#include "kernel/base/buf.h"
#include <tenon/calls.h>
#include <tenon/host.h>

struct pools;

/* One call as the worker hands it to the language. Borrowed until run() returns. */
struct lang_call {
    tn_str task_id, script, func, origin, origin_id, args, http, vars, code;
    uint64_t generation, data_gen;
    int64_t trigger_us, start_us; /* wall clock; start_us: now */
    uint64_t start_ns;            /* now, CLOCK_MONOTONIC */
    uint32_t timeout_ms, flags, queue, result_ttl, expires_ms;
};
/* The answer; buffers are cleared by the worker before run(). */
struct lang_reply {
    uint32_t status;     /* TN_CALL_SUCCESS, FAILURE, TIMEOUT, SKIPPED */
    uint32_t value_kind; /* TN_VALUE_* */
    struct buf value;    /* see TN_VALUE_* */
    struct buf control;  /* JSON object or empty */
    struct buf error;    /* JSON {"exception","exceptionType","traceback"} or empty */
    uint64_t peak_bytes;
    uint64_t end_ns; /* CLOCK_MONOTONIC at its end; 0: the worker asks the clock */
    uint32_t retire; /* threads of the call would not end: the worker leaves after this reply */
};
/* What the worker offers to the language. Valid from child() on; before that only log and setting.
 * ask() blocks: release the interpreter lock around it. It may be called from any thread of the
 * script (serialised inside). */
struct lang_env {
    void *ctx;
    /* Question to a service of the hub ("code.get", "env.get" ...). ret is appended to. rc other than
     * TN_OK: err holds the service's text. */
    tn_rc (*ask)(void *ctx, const char *service, tn_str payload, struct buf *ret, tn_err *err);
    /* A printed line (without '\n') of the running call; streamed to the hub. */
    void (*print)(void *ctx, tn_str line);
    void (*log)(void *ctx, int level, const char *fmt, ...) TN_PRINTF(3, 4);
    /* Platform setting by its DFF name, e.g. "RESOURCE_ROOT_PATH", "TIMEZONE"; NULL unknown or secret
     * (SECRET never enters a worker: DFF.SIGN asks the service "sign"). */
    const char *(*setting)(void *ctx, const char *name);
    /* Connections to databases and brokers; NULL: this process has none (the zygote). */
    struct pools *pools;
    /* A failure looks as if a limit was met ("MemoryLimit", "ProcessLimit", "OpenFilesLimit",
     * "FileSizeLimit"): 1 and a sentence with limit and peak in out, or 0 when it was not. May be NULL. */
    int (*limit)(void *ctx, const char *kind, char *out, size_t n);
    /* Folder for temporary files, empty at the start of every call; NULL before child(). */
    const char *scratch;
};
struct lang_host {
    uint32_t size;
    const char *name; /* "python", "echo" */
    tn_rc (*boot)(const struct lang_env *env,
                  tn_err *err); /* zygote, once; stays single-threaded */
    /* Zygote, in idle time: compile and keep published code so that forks have it. source or marshal
     * (compiled form) is given. Never executes user code. The compiled form is appended to ret_marshal
     * (may be NULL): the hub hands it to workers, which trust it because only the zygote makes it. */
    tn_rc (*preload)(tn_str script, uint64_t generation, tn_str source, tn_str marshal,
                     struct buf *ret_marshal, tn_err *err);
    void (*unload)(tn_str script);                           /* the script was deleted */
    void (*freeze)(void);                                    /* zygote, before every fork */
    tn_rc (*child)(const struct lang_env *env, tn_err *err); /* worker, right after fork */
    void (*run)(const struct lang_call *call, struct lang_reply *reply);
    /* Worker: no call is there, it will sleep. Lets threads run that scripts left behind. May be NULL. */
    void (*idle)(void);
    /* Async-signal-safe: the soft deadline of the running call has passed, or it is canceled; raise TaskTimeout. Only
     * called while run() is on the stack. */
    void (*soft_timeout)(int canceled);
    /* Async-signal-safe: write the stacks of all threads to fd. */
    void (*dump_stacks)(int fd);
    void (*finish)(void);         /* worker leaves in an orderly way */
    const char *(*version)(void); /* after boot(), like "3.11.2"; static */
};
extern const struct lang_host lang_python; /* pyshim */
extern const struct lang_host lang_echo;   /* kernel/worker/echo.c */
