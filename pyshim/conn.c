/* SPDX-License-Identifier: Apache-2.0 */
/* Connectors as Python objects: Conn refers to a pool, or holds one connection of it. */
#include "pyshim/conn.h"

#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/str.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

#define EARLY_NS 2000000u /* libraries that count milliseconds are early by one */

/* ---- errors ------------------------------------------------------------------------------------------ */

static const char *class_of(tn_rc rc)
{
    static const struct {
        tn_rc rc;
        const char *name;
    } rows[] = {
        {TN_E_UNAVAIL, "ConnUnavailable"}, {TN_E_TIMEOUT, "ConnTimeout"},
        {TN_E_CANCELED, "ConnCanceled"},   {TN_E_REMOTE, "QueryError"},
        {TN_E_NOTFOUND, "QueryError"},     {TN_E_CONFLICT, "ConflictError"},
        {TN_E_CONFIG, "ConfigError"},      {TN_E_DENIED, "Denied"},
        {TN_E_LIMIT, "LimitExceeded"},     {TN_E_UNSUPP, "NotSupported"},
        {TN_E_INVAL, "InvalidArgument"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].rc == rc) {
            return rows[i].name;
        }
    }
    return "ConnError";
}

/* The exception of the class that rc means, with what the connector knows. */
PyObject *conn_raise(tn_rc rc, const tn_err *err)
{
    if (PyErr_Occurred()) {
        return NULL; /* a sink has set it */
    }
    if (rc == TN_E_NOMEM) {
        return PyErr_NoMemory();
    }
    PyObject *m = PyImport_ImportModule("tenon_shim.errors");
    PyObject *cls = m ? PyObject_GetAttrString(m, class_of(rc)) : NULL;
    tn_str text = str_of(err->msg[0] ? err->msg : err_rc_name(rc));
    PyObject *e = NULL;
    if (cls != NULL) {
        PyObject *msg = PyUnicode_DecodeUTF8(text.s, (Py_ssize_t)text.n, "replace");
        e = msg ? PyObject_CallFunction(
                      cls, "OiNO", msg, (int)err->native,
                      PyUnicode_DecodeUTF8(err->state,
                                           (Py_ssize_t)strnlen(err->state, sizeof err->state),
                                           "replace"),
                      err->flags & TN_ERR_RETRY ? Py_True : Py_False)
                : NULL;
        Py_XDECREF(msg);
    }
    if (e != NULL) {
        PyErr_SetObject(cls, e);
    }
    Py_XDECREF(e);
    Py_XDECREF(cls);
    Py_XDECREF(m);
    return NULL;
}

/* The connector ran into the deadline of the call itself: that is the call's TaskTimeout, which the hub
 * sends at the same moment. Or the call was canceled, and the operation with it. */
bool conn_call_is_over(tn_rc rc, uint64_t deadline_ns)
{
    bool late = rc == TN_E_TIMEOUT && clock_mono_ns() + EARLY_NS >= deadline_ns;
    if (!_PyOS_IsMainThread() || (!late && !timeout_pending())) {
        return false;
    }
    for (int i = 0; i < 150 && !timeout_pending(); i++) { /* the grace is a second */
        struct timespec ms = {0, 5000000};
        Py_BEGIN_ALLOW_THREADS nanosleep(&ms, NULL);
        Py_END_ALLOW_THREADS
    }
    return PyErr_CheckSignals() < 0;
}

/* ---- who asks ---------------------------------------------------------------------------------------- */

/* "set__script:12" of the innermost frame that belongs to a script. */
void conn_where(char *out, size_t cap)
{
    PyFrameObject *f = (PyFrameObject *)Py_XNewRef((PyObject *)PyEval_GetFrame());
    snprintf(out, cap, "a thread");
    for (int depth = 0; f != NULL && depth < 64; depth++) {
        PyCodeObject *code = PyFrame_GetCode(f);
        const char *name = code ? PyUnicode_AsUTF8(code->co_filename) : NULL;
        if (name != NULL && name[0] != '<' && strstr(name, "__") != NULL &&
            strchr(name, '/') == NULL) {
            snprintf(out, cap, "%s:%d", name, PyFrame_GetLineNumber(f));
            Py_XDECREF((PyObject *)code);
            break;
        }
        PyErr_Clear();
        Py_XDECREF((PyObject *)code);
        PyFrameObject *back = PyFrame_GetBack(f);
        Py_DECREF((PyObject *)f);
        f = back;
    }
    Py_XDECREF((PyObject *)f);
}

struct task *conn_task(void)
{
    if (shim.task == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "connectors can only be used while a call runs");
    }
    return shim.task;
}

uint64_t conn_deadline(const struct task *t)
{
    return t->start_ns + t->call->timeout_ms * NS_PER_MS;
}

/* ---- Conn -------------------------------------------------------------------------------------------- */

/* Conn(id, type, config as JSON text, strict=False) */
static PyObject *conn_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    const char *id, *kind, *config;
    Py_ssize_t nconfig;
    int strict = 0;
    tn_err err = TN_ERR_INIT;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "sss#|p", &id, &kind, &config, &nconfig, &strict) ||
        conn_task() == NULL) {
        return NULL;
    }
    struct conn *c = (struct conn *)type->tp_alloc(type, 0);
    if (c == NULL) {
        return NULL;
    }
    tn_rc rc = shim.env.pools != NULL
                   ? pools_get(shim.env.pools, id, kind, (tn_str){config, (size_t)nconfig}, strict,
                               &c->pool, &err)
                   : err_set(&err, TN_E_UNSUPP, "there are no connectors here");
    if (rc != TN_OK) {
        Py_DECREF(c);
        return conn_raise(rc, &err);
    }
    return (PyObject *)c;
}

/* Gives the taken connection back; a transaction that is still open is rolled back by the reset. */
static void give(struct conn *c)
{
    struct pool_conn *pc = c->taken;
    c->taken = NULL;
    if (pc != NULL && c->serial == shim.serial && shim.task != NULL) {
        Py_BEGIN_ALLOW_THREADS pool_release(pc);
        Py_END_ALLOW_THREADS
    }
}

static void conn_dealloc(PyObject *self)
{
    struct conn *c = (struct conn *)self;
    PyObject_GC_UnTrack(self);
    if (c->taken != NULL && shim.task != NULL && c->serial == shim.serial &&
        shim.env.print != NULL) {
        char line[256];
        snprintf(line, sizeof line,
                 "[CONN] a transaction or stream of connector `%s` was forgotten and is ended",
                 pool_id(c->pool));
        shim.env.print(shim.env.ctx, str_of(line));
    }
    give(c);
    pool_unref(c->pool);
    Py_TYPE(self)->tp_free(self); /* the class is released by its own deallocator */
}

/* Subclasses are collected; nothing in here can be part of a cycle. */
static int conn_traverse(PyObject *self, visitproc visit, void *arg)
{
    (void)self;
    (void)visit;
    (void)arg;
    return 0;
}

/* _take() -> a helper of the same class with a connection of its own */
static PyObject *conn_take(PyObject *self, PyObject *unused)
{
    struct conn *c = (struct conn *)self;
    struct task *t = conn_task();
    struct pool_conn *pc = NULL;
    tn_err err = TN_ERR_INIT;
    char where[POOL_WHERE_MAX];
    tn_rc rc;
    (void)unused;
    if (t == NULL) {
        return NULL;
    }
    uint64_t serial = shim.serial, deadline_ns = conn_deadline(t);
    conn_where(where, sizeof where);
    Py_BEGIN_ALLOW_THREADS rc = pool_acquire(c->pool, serial, where, 1, deadline_ns, &pc, &err);
    Py_END_ALLOW_THREADS if (rc != TN_OK)
    {
        return conn_call_is_over(rc, deadline_ns) ? NULL : conn_raise(rc, &err);
    }
    struct conn *taken = (struct conn *)Py_TYPE(self)->tp_alloc(Py_TYPE(self), 0);
    if (taken == NULL) {
        pool_release(pc);
        return NULL;
    }
    pool_ref(c->pool);
    taken->pool = c->pool;
    taken->taken = pc;
    taken->serial = serial;
    return (PyObject *)taken;
}

/* _give(): the connection goes back; again is no error */
static PyObject *conn_give(PyObject *self, PyObject *unused)
{
    struct conn *c = (struct conn *)self;
    (void)unused;
    if (c->busy) {
        PyErr_SetString(PyExc_RuntimeError, "another thread uses this transaction or stream");
        return NULL;
    }
    give(c);
    Py_RETURN_NONE;
}

/* _fail(): as _give(), and `_failed` says so from then on */
static PyObject *conn_fail(PyObject *self, PyObject *unused)
{
    ((struct conn *)self)->failed = true;
    return conn_give(self, unused);
}

/* _probe(): connects past the pool, checks, closes */
static PyObject *conn_probe(PyObject *self, PyObject *unused)
{
    struct conn *c = (struct conn *)self;
    struct task *t = conn_task();
    tn_err err = TN_ERR_INIT;
    tn_rc rc;
    (void)unused;
    if (t == NULL) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS rc = pool_probe(c->pool, conn_deadline(t), &err);
    Py_END_ALLOW_THREADS if (rc != TN_OK)
    {
        return conn_raise(rc, &err);
    }
    Py_RETURN_NONE;
}

static PyObject *conn_repr(PyObject *self)
{
    const struct conn *c = (const struct conn *)self;
    return PyUnicode_FromFormat("<%s connector `%s`%s>", pool_plugin(c->pool)->name,
                                pool_id(c->pool), c->serial ? ", taken out" : "");
}

static PyObject *conn_id(PyObject *self, void *unused)
{
    (void)unused;
    return PyUnicode_FromString(pool_id(((struct conn *)self)->pool));
}

static PyObject *conn_failed(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(((struct conn *)self)->failed);
}

static PyMethodDef conn_methods[] = {
    {"_take", conn_take, METH_NOARGS, NULL},
    {"_give", conn_give, METH_NOARGS, NULL},
    {"_fail", conn_fail, METH_NOARGS, NULL},
    {"_probe", conn_probe, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};
static PyGetSetDef conn_getset[] = {{"_id", conn_id, NULL, NULL, NULL},
                                    {"_failed", conn_failed, NULL, NULL, NULL},
                                    {NULL, NULL, NULL, NULL, NULL}};

PyTypeObject conn_base_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "tenon.Connector",
    .tp_basicsize = sizeof(struct conn),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = conn_new,
    .tp_dealloc = conn_dealloc,
    .tp_traverse = conn_traverse,
    .tp_repr = conn_repr,
    .tp_methods = conn_methods,
    .tp_getset = conn_getset,
};

/* ---- module ------------------------------------------------------------------------------------------ */

static PyObject *names_of(const tn_plugin *d)
{
    PyObject *list = PyList_New(0);
    for (const tn_field *f = d->config; list != NULL && f != NULL && f->name != NULL; f++) {
        PyObject *row = Py_BuildValue("(sszi)", f->name, f->doc ? f->doc : "", f->dflt,
                                      (int)(f->flags & TN_F_REQUIRED) != 0);
        if (row == NULL || PyList_Append(list, row) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(row);
    }
    return list;
}

/* conn_plugin(type) -> (methods by name, [(setting, text, default, required)], caps), None: no such type */
static PyObject *py_plugin(PyObject *self, PyObject *type)
{
    const char *name = PyUnicode_AsUTF8(type);
    (void)self;
    if (name == NULL) {
        return NULL;
    }
    const struct plug *p = shim.env.pools ? pools_plugin(shim.env.pools, name) : NULL;
    if (p == NULL) {
        Py_RETURN_NONE;
    }
    PyObject *methods = PyDict_New(), *fields = names_of(&p->desc);
    for (const tn_method *m = ((const tn_connector_ops *)p->ops)->methods; methods && m->name;
         m++) {
        PyObject *v = conn_method_new(m);
        if (v == NULL || PyDict_SetItemString(methods, m->name, v) < 0) {
            Py_CLEAR(methods);
        }
        Py_XDECREF(v);
    }
    PyObject *ret = methods && fields
                        ? Py_BuildValue("(OOK)", methods, fields, (unsigned long long)p->desc.caps)
                        : NULL;
    Py_XDECREF(methods);
    Py_XDECREF(fields);
    return ret;
}

static PyMethodDef functions[] = {
    {"conn_plugin", py_plugin, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

int conn_init(PyObject *module)
{
    if (conn_in_init() < 0 || conn_out_init() < 0 || PyType_Ready(&conn_base_type) < 0 ||
        PyType_Ready(&conn_method_type) < 0 || PyModule_AddFunctions(module, functions) < 0) {
        return -1;
    }
    Py_INCREF(&conn_base_type);
    return PyModule_AddObject(module, "Conn", (PyObject *)&conn_base_type);
}

static void leaked(void *user, const char *id, const char *where)
{
    char line[POOL_WHERE_MAX + 160];
    (void)user;
    snprintf(
        line, sizeof line,
        "[CONN] connector `%s`: the transaction or stream of %s was not ended; it is ended now, "
        "and nothing of it is kept",
        id, where);
    shim.env.print(shim.env.ctx, str_of(line));
}

void conn_end(void)
{
    if (shim.env.pools != NULL && shim.in_child && pools_used(shim.env.pools)) {
        Py_BEGIN_ALLOW_THREADS pools_end(shim.env.pools, shim.serial, leaked, NULL);
        Py_END_ALLOW_THREADS
    }
}
