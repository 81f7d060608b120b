/* SPDX-License-Identifier: Apache-2.0 */
/* Methods of connectors, made from the plugin's table: sorting arguments, working without the
 * interpreter lock, describing the result. */
#include "pyshim/conn.h"

#include "kernel/base/err.h"
#include "kernel/base/str.h"
#include <string.h>

#define PARAMS_MAX  16
#define VARARGS_MAX 1024

struct param {
    PyObject *name, *dflt; /* dflt NULL: required */
    char type;             /* 's' str, 'i' int, 0 anything */
};
struct method {
    PyObject_HEAD vectorcallfunc call;
    const tn_method *row;
    PyObject *name;
    uint32_t nparams;
    int varargs; /* what is beyond the parameters goes to the connector as it is */
    int options; /* so do keywords without a parameter */
    struct param params[PARAMS_MAX];
};

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

/* Sorts arguments into slots[nparams]; what is beyond goes to the connector as it is. others has the index of
 * each keyword that is an option. */
static int bind_args(const struct method *m, PyObject *const *args, size_t n, PyObject *kwnames,
                     PyObject **slots, Py_ssize_t *others, uint32_t *ret_nothers)
{
    *ret_nothers = 0;
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
        if (i == m->nparams && m->options && *ret_nothers < PARAMS_MAX) {
            others[(*ret_nothers)++] = k;
            continue;
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

/* The lock is not held, so nothing of Python may be asked: `main_thread` is told. */
static tn_rc work(struct conn *c, const struct method *m, const tn_args *args, uint64_t owner,
                  const char *where, uint64_t deadline_ns, bool main_thread,
                  struct pool_conn **ret_pc, tn_result *ret, tn_err *err)
{
    *ret_pc = c->taken;
    tn_rc rc = c->taken != NULL ? TN_OK
                                : pool_acquire(c->pool, owner, where, 0, deadline_ns, ret_pc, err);
    if (rc == TN_OK && main_thread && timeout_pending()) {
        return err_set(err, TN_E_CANCELED, "the call shall end"); /* it waited for a connection */
    }
    return rc == TN_OK ? pool_invoke(*ret_pc, m->row->id, args, deadline_ns, ret, err) : rc;
}

static PyObject *describe(struct pool *pool, tn_result *result)
{
    struct conn_out out;
    tn_err err = TN_ERR_INIT;
    conn_out_start(&out);
    tn_rc rc = pool_emit(pool, result, &out.sink, &err);
    PyObject *v = rc == TN_OK ? conn_out_take(&out) : conn_raise(rc, &err);
    conn_out_finish(&out);
    return v;
}

static PyObject *invoke(struct conn *c, const struct method *m, const tn_args *args)
{
    struct task *t = conn_task();
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
    uint64_t serial = shim.serial, deadline_ns = conn_deadline(t);
    tn_rc rc;
    bool main_thread = _PyOS_IsMainThread();
    conn_where(where, sizeof where);
    c->busy = c->taken != NULL;
    Py_BEGIN_ALLOW_THREADS rc = work(c, m, args, serial, where, deadline_ns, main_thread, &pc,
                                     &result, &err);
    Py_END_ALLOW_THREADS c->busy = 0;
    if (rc == TN_OK) {
        v = describe(c->pool, &result);
        if (v != NULL && (m->row->flags & TN_M_TUPLE) != 0 && PyList_Check(v)) {
            Py_SETREF(v, PyList_AsTuple(v));
        }
        pool_result_free(c->pool, &result);
    } else if (!conn_call_is_over(rc, deadline_ns)) {
        conn_raise(rc, &err);
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
    Py_ssize_t others[PARAMS_MAX];
    uint32_t nothers;
    if (n == 0 || !PyObject_TypeCheck(args[0], &conn_base_type)) {
        return PyErr_Format(PyExc_TypeError, "%U() is a method of connectors", m->name);
    }
    if (bind_args(m, args + 1, n - 1, kwnames, slots, others, &nothers) < 0) {
        return NULL;
    }
    uint32_t more = n - 1 > m->nparams ? (uint32_t)(n - 1 - m->nparams) : 0;
    tn_val few[PARAMS_MAX + 8];
    tn_pair options[PARAMS_MAX];
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
    for (uint32_t i = 0; rc == 0 && i < nothers; i++) {
        rc = conn_in_value(&in, PyTuple_GET_ITEM(kwnames, others[i]), &options[i].key);
        rc = rc == 0 ? conn_in_value(&in, args[n + (size_t)others[i]], &options[i].val) : rc;
    }
    if (rc == 0) {
        const tn_args a = {.pos = vals, .npos = m->nparams + more, .kw = options, .nkw = nothers};
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
        m->options |= name.s[1] == '*';
        m->varargs |= name.s[1] != '*';
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

PyObject *conn_method_new(const tn_method *row)
{
    struct method *m = PyObject_New(struct method, &conn_method_type);
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

PyTypeObject conn_method_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "tenon.ConnectorMethod",
    .tp_basicsize = sizeof(struct method),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR,
    .tp_dealloc = method_dealloc,
    .tp_vectorcall_offset = offsetof(struct method, call),
    .tp_call = PyVectorcall_Call,
    .tp_descr_get = method_get,
    .tp_getset = method_getset,
};
