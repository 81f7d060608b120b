/* SPDX-License-Identifier: Apache-2.0 */
/* Connectors as Python objects: Conn refers to a pool (or holds one connection of it), its methods are
 * made from the plugin's table. */
#include "pyshim/conn.h"

#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/str.h"
#include <stdio.h>
#include <string.h>

#define PARAMS_MAX  16
#define VARARGS_MAX 1024

struct conn {
    PyObject_HEAD struct pool *pool;
    struct pool_conn *taken; /* a transaction or stream: this connection and no other */
    uint64_t serial;         /* of the call that took it */
    int busy;                /* a thread works on `taken` */
};

struct param {
    PyObject *name, *dflt; /* dflt NULL: required */
    char type;             /* 's' str, 'i' int, 0 anything */
};
struct method {
    PyObject_HEAD vectorcallfunc call;
    const tn_method *row;
    PyObject *name;
    uint32_t nparams, nrequired;
    int varargs; /* the last parameter takes the rest */
    struct param params[PARAMS_MAX];
};

static PyTypeObject conn_type, method_type;

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
static PyObject *raise_err(tn_rc rc, const tn_err *err)
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
 * sends at the same moment. */
static bool call_is_over(uint64_t deadline_ns)
{
    if (clock_mono_ns() < deadline_ns || !_PyOS_IsMainThread()) {
        return false;
    }
    for (int i = 0; i < 20 && !timeout_pending(); i++) {
        struct timespec ms = {0, 5000000};
        Py_BEGIN_ALLOW_THREADS nanosleep(&ms, NULL);
        Py_END_ALLOW_THREADS
    }
    return PyErr_CheckSignals() < 0;
}

/* ---- who asks ---------------------------------------------------------------------------------------- */

/* "set__script:12" of the innermost frame that belongs to a script. */
static void where_now(char *out, size_t cap)
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

static struct task *running(void)
{
    if (shim.task == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "connectors can only be used while a call runs");
    }
    return shim.task;
}

static uint64_t deadline_of(const struct task *t)
{
    return t->start_ns + t->call->timeout_ms * NS_PER_MS;
}

/* ---- methods ----------------------------------------------------------------------------------------- */

static int want_type(const struct method *m, const struct param *p, PyObject *v)
{
    bool ok = p->type == 's' ? PyUnicode_Check(v) : p->type == 'i' ? PyLong_Check(v) : true;
    if (ok || (p->dflt == Py_None && v == Py_None)) {
        return 0;
    }
    PyErr_Format(PyExc_TypeError, "%U(): %U must be %s, not %s", m->name, p->name,
                 p->type == 's' ? "str" : "int", Py_TYPE(v)->tp_name);
    return -1;
}

/* Sorts arguments into slots[nparams]; what is beyond goes to the connector as it is. */
static int bind_args(const struct method *m, PyObject *const *args, size_t n, PyObject *kwnames,
                     PyObject **slots)
{
    for (uint32_t i = 0; i < m->nparams; i++) {
        slots[i] = i < n ? args[i] : NULL;
    }
    if (n > m->nparams && (!m->varargs || n - m->nparams > VARARGS_MAX)) {
        PyErr_Format(PyExc_TypeError, "%U() takes at most %u arguments (%zu given)", m->name,
                     m->varargs ? m->nparams + VARARGS_MAX : m->nparams, n);
        return -1;
    }
    for (Py_ssize_t k = 0; kwnames != NULL && k < PyTuple_GET_SIZE(kwnames); k++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, k);
        uint32_t i = 0;
        while (i < m->nparams && PyUnicode_Compare(m->params[i].name, name) != 0) {
            i++;
        }
        if (i == m->nparams || slots[i] != NULL) {
            PyErr_Format(PyExc_TypeError, "%U() got %s argument '%U'", m->name,
                         i == m->nparams ? "an unexpected keyword" : "multiple values for", name);
            return -1;
        }
        slots[i] = args[n + (size_t)k];
    }
    for (uint32_t i = 0; i < m->nparams; i++) {
        if (slots[i] == NULL && (slots[i] = m->params[i].dflt) == NULL) {
            PyErr_Format(PyExc_TypeError, "%U() misses its argument '%U'", m->name,
                         m->params[i].name);
            return -1;
        }
        if (want_type(m, &m->params[i], slots[i]) < 0) {
            return -1;
        }
    }
    return 0;
}

/* The lock is not held. */
static tn_rc work(struct conn *c, const struct method *m, const tn_args *args, uint64_t owner,
                  const char *where, uint64_t deadline_ns, struct pool_conn **ret_pc,
                  tn_result *ret, tn_err *err)
{
    *ret_pc = c->taken;
    tn_rc rc = c->taken != NULL ? TN_OK
                                : pool_acquire(c->pool, owner, where, 0, deadline_ns, ret_pc, err);
    return rc == TN_OK ? pool_invoke(*ret_pc, m->row->id, args, deadline_ns, ret, err) : rc;
}

static PyObject *describe(struct pool *pool, tn_result *result)
{
    struct conn_out out;
    tn_err err = TN_ERR_INIT;
    conn_out_start(&out);
    tn_rc rc = pool_emit(pool, result, &out.sink, &err);
    PyObject *v = rc == TN_OK ? conn_out_take(&out) : raise_err(rc, &err);
    conn_out_finish(&out);
    return v;
}

static PyObject *invoke(struct conn *c, const struct method *m, const tn_args *args)
{
    struct task *t = running();
    struct pool_conn *pc = NULL;
    tn_result result = {NULL, 0, 0};
    tn_err err = TN_ERR_INIT;
    char where[POOL_WHERE_MAX];
    PyObject *v = NULL;
    if (t == NULL) {
        return NULL;
    }
    if (c->busy || (c->serial != 0 && (c->taken == NULL || c->serial != shim.serial))) {
        PyErr_SetString(PyExc_RuntimeError,
                        c->busy ? "another thread uses this transaction or stream at the moment"
                                : "this transaction or stream has ended");
        return NULL;
    }
    uint64_t serial = shim.serial, deadline_ns = deadline_of(t);
    tn_rc rc;
    where_now(where, sizeof where);
    c->busy = c->taken != NULL;
    Py_BEGIN_ALLOW_THREADS rc = work(c, m, args, serial, where, deadline_ns, &pc, &result, &err);
    Py_END_ALLOW_THREADS c->busy = 0;
    if (rc == TN_OK) {
        v = describe(c->pool, &result);
        pool_result_free(c->pool, &result);
    } else if (rc != TN_E_TIMEOUT || !call_is_over(deadline_ns)) {
        raise_err(rc, &err);
    }
    if (pc != NULL && c->taken == NULL) {
        if (shim.task != NULL && shim.serial == serial) {
            pool_put(pc);
        } else {
            Py_BEGIN_ALLOW_THREADS pool_release(pc); /* the call of this thread has ended */
            Py_END_ALLOW_THREADS
        }
    }
    return v;
}

static PyObject *method_call(PyObject *self, PyObject *const *args, size_t nargsf,
                             PyObject *kwnames)
{
    const struct method *m = (const struct method *)self;
    size_t n = (size_t)PyVectorcall_NARGS(nargsf);
    PyObject *slots[PARAMS_MAX], *v = NULL;
    if (n == 0 || !PyObject_TypeCheck(args[0], &conn_type)) {
        return PyErr_Format(PyExc_TypeError, "%U() is a method of connectors", m->name);
    }
    if (bind_args(m, args + 1, n - 1, kwnames, slots) < 0) {
        return NULL;
    }
    uint32_t more = n - 1 > m->nparams ? (uint32_t)(n - 1 - m->nparams) : 0;
    tn_val few[PARAMS_MAX + 8];
    struct conn_in in = {.keep = NULL};
    arena_init(&in.a, 2048);
    tn_val *vals = more <= 8 ? few : arena_alloc(&in.a, (m->nparams + more) * sizeof *vals);
    int rc = vals != NULL ? 0 : -1;
    if (rc < 0) {
        PyErr_NoMemory();
    }
    for (uint32_t i = 0; rc == 0 && i < m->nparams + more; i++) {
        rc = conn_in_value(&in, i < m->nparams ? slots[i] : args[1 + i], &vals[i]);
    }
    if (rc == 0) {
        const tn_args a = {.pos = vals, .npos = m->nparams + more};
        v = invoke((struct conn *)args[0], m, &a);
    }
    conn_in_finish(&in);
    return v;
}

/* ---- from "sql:str, params:list=[]" ------------------------------------------------------------------ */

static PyObject *literal(const char *p, size_t n)
{
    PyObject *ast = PyImport_ImportModule("ast");
    PyObject *v = ast ? PyObject_CallMethod(ast, "literal_eval", "s#", p, (Py_ssize_t)n) : NULL;
    Py_XDECREF(ast);
    return v;
}

static int add_param(struct method *m, tn_str text)
{
    const char *colon = memchr(text.s, ':', text.n), *end = text.s + text.n;
    const char *type = colon ? colon + 1 : end, *dflt = memchr(type, '=', (size_t)(end - type));
    tn_str name = str_trim((tn_str){text.s, (size_t)((colon ? colon : end) - text.s)});
    tn_str kind = str_trim((tn_str){type, (size_t)((dflt ? dflt : end) - type)});
    if (name.n > 1 && name.s[0] == '*') {
        m->varargs = 1;
        return 0;
    }
    if (m->nparams == PARAMS_MAX) {
        PyErr_Format(PyExc_SystemError, "method %s has more than %d parameters", m->row->name,
                     PARAMS_MAX);
        return -1;
    }
    struct param *p = &m->params[m->nparams++];
    p->type = str_is(kind, "str") ? 's' : str_is(kind, "int") ? 'i' : 0;
    p->name = str_py(name);
    if (p->name != NULL) {
        PyUnicode_InternInPlace(&p->name);
    }
    if (dflt != NULL) {
        tn_str d = str_trim((tn_str){dflt + 1, (size_t)(end - dflt - 1)});
        p->dflt = literal(d.s, d.n);
    }
    return p->name != NULL && (dflt == NULL || p->dflt != NULL) ? 0 : -1;
}

static PyObject *method_new(const tn_method *row)
{
    struct method *m = PyObject_New(struct method, &method_type);
    if (m == NULL) {
        return NULL;
    }
    memset(&m->call, 0, sizeof *m - offsetof(struct method, call));
    m->call = method_call;
    m->row = row;
    m->name = PyUnicode_FromString(row->name);
    int depth = 0, rc = m->name ? 0 : -1;
    for (const char *p = row->args ? row->args : "", *from = p; rc == 0; p++) {
        depth += (*p == '[' || *p == '{') - (*p == ']' || *p == '}');
        if ((*p == ',' && depth == 0) || *p == '\0') {
            tn_str one = str_trim((tn_str){from, (size_t)(p - from)});
            rc = one.n != 0 ? add_param(m, one) : 0;
            from = p + 1;
        }
        if (*p == '\0') {
            break;
        }
    }
    if (rc < 0) {
        Py_CLEAR(m);
    }
    return (PyObject *)m;
}

static void method_dealloc(PyObject *self)
{
    struct method *m = (struct method *)self;
    for (uint32_t i = 0; i < m->nparams; i++) {
        Py_XDECREF(m->params[i].name);
        Py_XDECREF(m->params[i].dflt);
    }
    Py_XDECREF(m->name);
    PyObject_Free(self);
}

static PyObject *method_get(PyObject *self, PyObject *obj, PyObject *type)
{
    (void)type;
    return obj == NULL || obj == Py_None ? Py_NewRef(self) : PyMethod_New(self, obj);
}

static PyObject *method_doc(PyObject *self, void *unused)
{
    const tn_method *row = ((struct method *)self)->row;
    (void)unused;
    return PyUnicode_FromFormat("%s(%s)\n%s", row->name, row->args ? row->args : "",
                                row->doc ? row->doc : "");
}

static PyObject *method_name(PyObject *self, void *unused)
{
    (void)unused;
    return Py_NewRef(((struct method *)self)->name);
}

static PyGetSetDef method_getset[] = {
    {"__doc__", method_doc, NULL, NULL, NULL},
    {"__name__", method_name, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyTypeObject method_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "tenon.ConnectorMethod",
    .tp_basicsize = sizeof(struct method),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR,
    .tp_dealloc = method_dealloc,
    .tp_vectorcall_offset = offsetof(struct method, call),
    .tp_call = PyVectorcall_Call,
    .tp_descr_get = method_get,
    .tp_getset = method_getset,
};

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
        running() == NULL) {
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
        return raise_err(rc, &err);
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
    PyTypeObject *type = Py_TYPE(self);
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
    type->tp_free(self);
    Py_DECREF(type);
}

static int conn_traverse(PyObject *self, visitproc visit, void *arg)
{
#if PY_VERSION_HEX >= 0x03090000
    Py_VISIT(Py_TYPE(self));
#endif
    return 0;
}

/* _take() -> a helper of the same class with a connection of its own */
static PyObject *conn_take(PyObject *self, PyObject *unused)
{
    struct conn *c = (struct conn *)self;
    struct task *t = running();
    struct pool_conn *pc = NULL;
    tn_err err = TN_ERR_INIT;
    char where[POOL_WHERE_MAX];
    tn_rc rc;
    (void)unused;
    if (t == NULL) {
        return NULL;
    }
    uint64_t serial = shim.serial, deadline_ns = deadline_of(t);
    where_now(where, sizeof where);
    Py_BEGIN_ALLOW_THREADS rc = pool_acquire(c->pool, serial, where, 1, deadline_ns, &pc, &err);
    Py_END_ALLOW_THREADS if (rc != TN_OK)
    {
        return rc == TN_E_TIMEOUT && call_is_over(deadline_ns) ? NULL : raise_err(rc, &err);
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

/* _probe(): connects past the pool, checks, closes */
static PyObject *conn_probe(PyObject *self, PyObject *unused)
{
    struct conn *c = (struct conn *)self;
    struct task *t = running();
    tn_err err = TN_ERR_INIT;
    tn_rc rc;
    (void)unused;
    if (t == NULL) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS rc = pool_probe(c->pool, deadline_of(t), &err);
    Py_END_ALLOW_THREADS if (rc != TN_OK)
    {
        return raise_err(rc, &err);
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

static PyMethodDef conn_methods[] = {
    {"_take", conn_take, METH_NOARGS, NULL},
    {"_give", conn_give, METH_NOARGS, NULL},
    {"_probe", conn_probe, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};
static PyGetSetDef conn_getset[] = {{"_id", conn_id, NULL, NULL, NULL},
                                    {NULL, NULL, NULL, NULL, NULL}};

static PyTypeObject conn_type = {
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
        PyObject *v = method_new(m);
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
    if (conn_in_init() < 0 || conn_out_init() < 0 || PyType_Ready(&conn_type) < 0 ||
        PyType_Ready(&method_type) < 0 || PyModule_AddFunctions(module, functions) < 0) {
        return -1;
    }
    Py_INCREF(&conn_type);
    return PyModule_AddObject(module, "Conn", (PyObject *)&conn_type);
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
    if (shim.env.pools != NULL && shim.in_child) {
        Py_BEGIN_ALLOW_THREADS pools_end(shim.env.pools, shim.serial, leaked, NULL);
        Py_END_ALLOW_THREADS
    }
}
