/* SPDX-License-Identifier: Apache-2.0 */
/* Connectors: typed access to a database, broker or service over kernel-owned pools. */
#ifndef TENON_CONNECTOR_H
#define TENON_CONNECTOR_H

#include <tenon/value.h>

#define TN_CAP_QUERY  (1u << 0) /* has query(sql, params) */
#define TN_CAP_TXN    (1u << 1) /* transactions */
#define TN_CAP_CANCEL (1u << 2) /* cancel() is effective */
#define TN_CAP_STREAM (1u << 3) /* large results need not fit in memory */
#define TN_CAP_STORE  (1u << 4) /* may carry the platform's own store */

/* Becomes a method of the Python object that DFF.CONN() returns. */
typedef struct tn_method {
    const char *name;  /* NULL ends the table */
    const char *args;  /* "sql:str, params:list=[]": names, types and defaults of the parameters */
    const char *doc;   /* what it does, what it returns, which errors */
    uint32_t id;       /* handed to invoke() */
    uint32_t flags;    /* TN_M_* */
} tn_method;
#define TN_M_TUPLE (1u << 0) /* a list that is the whole result becomes a tuple in Python */

typedef struct tn_args {
    const tn_val *pos;  /* positional, npos values */
    uint32_t npos;
    uint32_t nkw;
    const tn_pair *kw;  /* by keyword, nkw pairs with STR keys */
} tn_args;

/* Result of invoke(): owned by the plugin, given back with result_free(). */
typedef struct tn_result {
    void *native;
    uint32_t method;
    uint32_t flags;
} tn_result;

/* close() reasons */
#define TN_CLOSE_NORMAL 0
#define TN_CLOSE_BROKEN 1 /* do not say goodbye to the peer */

/* All deadlines are absolute CLOCK_MONOTONIC nanoseconds, 0 = none. One connection is used by one
 * thread at a time; cancel() alone may be called from another thread while invoke() runs. */
typedef struct tn_connector_ops {
    uint32_t size;
    uint32_t rsvd;
    const tn_method *methods;
    tn_rc (*open)(void *inst, uint64_t deadline_ns, void **ret_conn, tn_err *);
    tn_rc (*check)(void *inst, void *conn, uint64_t deadline_ns, tn_err *);
    tn_rc (*reset)(void *inst, void *conn, tn_err *);  /* to the state just after open() */
    void (*close)(void *inst, void *conn, uint32_t why);
    /* May block until the deadline; the interpreter lock is not held. */
    tn_rc (*invoke)(void *inst, void *conn, uint32_t method, const tn_args *, uint64_t deadline_ns,
                    tn_result *ret, tn_err *);
    /* Describes the result to the sink; never blocks; the interpreter lock may be held. */
    tn_rc (*emit)(void *inst, const tn_result *, tn_sink *, tn_err *);
    void (*result_free)(void *inst, tn_result *);
    /* Ends the invoke() under way with TN_E_CANCELED, whatever the peer does; never blocks. The next one is not
     * concerned. */
    void (*cancel)(void *inst, void *conn);
} tn_connector_ops;

#endif
