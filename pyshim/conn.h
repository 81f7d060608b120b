/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of connectors in Python: objects, arguments in, results out. */
#pragma once
#include "kernel/base/arena.h"
#include "kernel/pool/pool.h"
#include "pyshim/shim.h"

/* A value of a script for a connector. `a` holds copies, `keep` owns what is only borrowed: another
 * thread of the script may empty a list while the connector works without the lock. */
struct conn_in {
    struct arena a;
    PyObject *keep; /* list or NULL */
    unsigned depth;
};
int conn_in_init(void);
/* -1 with an exception set. */
int conn_in_value(struct conn_in *in, PyObject *v, tn_val *ret);
void conn_in_finish(struct conn_in *in);

/* A sink that builds Python objects; needs the interpreter lock. */
struct conn_out {
    tn_sink sink;
    PyObject *root;      /* complete when the description is */
    PyObject *stack[32]; /* open lists and dicts, borrowed from their parents or root */
    PyObject *key;       /* waits for its value */
    unsigned depth;
    PyObject **names; /* of the columns of the open table */
    PyObject *table;
    uint32_t ncols;
};
int conn_out_init(void);
void conn_out_start(struct conn_out *o);
/* The result, a new reference, or NULL with an exception set. */
PyObject *conn_out_take(struct conn_out *o);
void conn_out_finish(struct conn_out *o);

/* ---- conn.c ---- */
struct conn {
    PyObject_HEAD struct pool *pool;
    struct pool_conn *taken; /* a transaction or stream: this connection and no other */
    uint64_t serial;         /* of the call that took it */
    int busy;                /* a thread works on `taken` */
    bool failed; /* the transaction could not be ended as wanted: nothing of it is left */
};
extern PyTypeObject conn_base_type;
/* The running call; NULL with an exception set. */
struct task *conn_task(void);
uint64_t conn_deadline(const struct task *t); /* CLOCK_MONOTONIC */
/* "set__script:12" of the innermost frame that belongs to a script. */
void conn_where(char *out, size_t cap);
/* Sets the exception that rc means, unless one is set; always NULL. */
PyObject *conn_raise(tn_rc rc, const tn_err *err);
/* An operation failed with rc at the deadline of the call itself, or because the call shall end: then that is the
 * call's TaskTimeout, which is set. */
bool conn_call_is_over(tn_rc rc, uint64_t deadline_ns);

/* ---- conn_method.c ---- */
extern PyTypeObject conn_method_type;
PyObject *conn_method_new(const tn_method *row);
