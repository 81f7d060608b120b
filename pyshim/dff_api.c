/* SPDX-License-Identifier: Apache-2.0 */
/* DFF.API(...): the decorator. Options are checked once per version of the code and remembered with
 * the function's code object, so that decorating again costs next to nothing. Where all options are
 * literals the decorator itself is a constant of the code (tenon_shim/fold.py). */
#include "pyshim/shim.h"

#include <marshal.h>

#define ARGS_MAX 20

#if PY_VERSION_HEX >= 0x030C0000
#define code_extra_index PyUnstable_Eval_RequestCodeExtraIndex
#define code_extra_get   PyUnstable_Code_GetExtra
#define code_extra_set   PyUnstable_Code_SetExtra
#else
#define code_extra_index _PyEval_RequestCodeExtraIndex
#define code_extra_get   _PyCode_GetExtra
#define code_extra_set   _PyCode_SetExtra
#endif

/* The arguments of one DFF.API(...) call: what the expression evaluates to. */
struct deco {
    PyObject_HEAD vectorcallfunc vectorcall;
    Py_ssize_t nargs; /* positional ones; the rest by keyword */
    Py_ssize_t n;
    PyObject *kwnames; /* tuple or NULL */
    bool constant;     /* of a code object: the same in every call */
    PyObject *args[ARGS_MAX];
};

/* What is remembered with a code object. */
struct record {
    Py_ssize_t nargs, n;
    PyObject *kwnames;
    PyObject *deco;     /* the constant it came from, or NULL */
    PyObject *attrs;    /* __dict__ of the decorated function, shared while nobody changes it */
    uint64_t version;   /* of attrs when it was made */
    struct boxes boxes; /* lists and dicts in attrs */
    PyObject *args[];
};

static PyTypeObject api_type, deco_type;
static Py_ssize_t extra_index = -1;
static PyObject *fold_mark;    /* fold.MARK */
static PyObject *fold_defines; /* fold.DEFINES */
static struct deco *spare;     /* one decorator object at a time is the rule */

static void record_free(void *p)
{
    struct record *r = p;
    if (r == NULL) {
        return;
    }
    for (Py_ssize_t i = 0; i < r->n; i++) {
        Py_DECREF(r->args[i]);
    }
    Py_XDECREF(r->kwnames);
    Py_XDECREF(r->deco);
    boxes_free(&r->boxes);
    Py_XDECREF(r->attrs);
    PyMem_Free(r);
}

static void deco_clear(struct deco *d)
{
    for (Py_ssize_t i = 0; i < d->n; i++) {
        Py_DECREF(d->args[i]);
    }
    Py_CLEAR(d->kwnames);
    d->n = 0;
}

static void deco_dealloc(PyObject *self)
{
    struct deco *d = (struct deco *)self;
    deco_clear(d);
    if (spare == NULL) {
        spare = d;
    } else {
        PyObject_Free(self);
    }
}

/* Equal and of the same plain type: a list written in the script is a new object each time. */
static bool same_value(PyObject *a, PyObject *b)
{
    if (a == b) {
        return true;
    }
    if (Py_TYPE(a) != Py_TYPE(b) ||
        !(PyList_CheckExact(a) || PyTuple_CheckExact(a) || PyDict_CheckExact(a) ||
          PyUnicode_CheckExact(a) || PyLong_CheckExact(a))) {
        return false;
    }
    int eq = PyObject_RichCompareBool(a, b, Py_EQ);
    if (eq < 0) {
        PyErr_Clear();
    }
    return eq > 0;
}

static bool same_options(const struct record *r, const struct deco *d)
{
    if (r->deco == (const PyObject *)d) {
        return true;
    }
    if (r->n != d->n || r->nargs != d->nargs || r->kwnames != d->kwnames) {
        return false;
    }
    for (Py_ssize_t i = 0; i < r->n; i++) {
        if (!same_value(r->args[i], d->args[i])) {
            return false;
        }
    }
    return true;
}

static void remember(PyObject *code, struct deco *d, PyObject *attrs)
{
    struct record *r = PyMem_Malloc(sizeof(*r) + (size_t)d->n * sizeof(PyObject *));
    int rc = 0;
    if (r == NULL) {
        return;
    }
    r->nargs = d->nargs;
    r->n = d->n;
    r->kwnames = Py_XNewRef(d->kwnames);
    r->deco = d->constant ? Py_NewRef((PyObject *)d) : NULL;
    r->attrs = Py_NewRef(attrs);
    r->version = dict_version(attrs);
    r->boxes = (struct boxes){0};
    PyObject *key, *value;
    Py_ssize_t pos = 0;
    while (PyDict_Next(attrs, &pos, &key, &value) && rc == 0) {
        rc = boxes_add(&r->boxes, value);
    }
    for (Py_ssize_t i = 0; i < d->n; i++) {
        /* Mutable options are kept as copies: the script may change its own. */
        PyObject *v = d->args[i];
        PyObject *copy = PyList_CheckExact(v)   ? PyList_GetSlice(v, 0, PyList_GET_SIZE(v))
                         : PyDict_CheckExact(v) ? PyDict_Copy(v)
                                                : Py_NewRef(v);
        r->args[i] = copy ? copy : Py_NewRef(Py_None);
    }
    PyErr_Clear();
    if (rc < 0 || code_extra_set(code, extra_index, r) < 0) {
        PyErr_Clear();
        record_free(r);
    }
}

static PyObject *deco_kwargs(const struct deco *d)
{
    PyObject *kw = PyDict_New();
    for (Py_ssize_t i = d->nargs; kw && i < d->n; i++) {
        if (PyDict_SetItem(kw, PyTuple_GET_ITEM(d->kwnames, i - d->nargs), d->args[i]) < 0) {
            Py_CLEAR(kw);
        }
    }
    return kw;
}

/* First time for this code, other options, a debugger run, or not a plain function. */
static PyObject *decorate_slow(struct deco *d, PyObject *func)
{
    PyObject *args = PyTuple_New(d->nargs), *kw = deco_kwargs(d), *attrs = NULL, *ret = NULL;
    struct task *t = shim.task;
    for (Py_ssize_t i = 0; args && i < d->nargs; i++) {
        PyTuple_SET_ITEM(args, i, Py_NewRef(d->args[i]));
    }
    if (args == NULL || kw == NULL) {
        goto undo_args;
    }
    attrs = PyObject_CallMethod(shim.m_api, "decorate", "OOOO", func, args, kw,
                                t && t->api_funcs ? t->api_funcs : Py_None);
    if (attrs == NULL) {
        goto undo_args;
    }
    ret = Py_NewRef(func);
    if (PyFunction_Check(func) && PyDict_CheckExact(attrs)) {
        PyFunctionObject *f = (PyFunctionObject *)func;
        if (f->func_dict == NULL) {
            f->func_dict = Py_NewRef(attrs);
            remember(f->func_code, d, attrs);
        } else if (PyDict_Update(f->func_dict, attrs) < 0) {
            Py_CLEAR(ret);
        }
    }
undo_args:
    Py_XDECREF(attrs);
    Py_XDECREF(kw);
    Py_XDECREF(args);
    return ret;
}

static PyObject *deco_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    struct deco *d = (struct deco *)self;
    struct record *r = NULL;
    if (PyVectorcall_NARGS(nargsf) != 1 || kwnames != NULL) {
        PyErr_SetString(PyExc_TypeError, "DFF.API(...) decorates one function");
        return NULL;
    }
    PyObject *func = args[0];
    if (PyFunction_Check(func) && shim.task != NULL && shim.task->api_funcs == NULL) {
        PyFunctionObject *f = (PyFunctionObject *)func;
        if (f->func_dict == NULL && code_extra_get(f->func_code, extra_index, (void **)&r) == 0 &&
            r != NULL && dict_version(r->attrs) == r->version && boxes_same(&r->boxes) &&
            same_options(r, d)) {
            f->func_dict = Py_NewRef(r->attrs);
            return Py_NewRef(func);
        }
    }
    return decorate_slow(d, func);
}

static void deco_fill(struct deco *d, PyObject *const *args, Py_ssize_t nargs, Py_ssize_t n,
                      PyObject *kwnames)
{
    d->vectorcall = deco_call;
    d->constant = false;
    d->nargs = nargs;
    d->n = n;
    d->kwnames = Py_XNewRef(kwnames);
    for (Py_ssize_t i = 0; i < n; i++) {
        d->args[i] = Py_NewRef(args[i]);
    }
}

static PyObject *api_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    Py_ssize_t n = nargs + (kwnames ? PyTuple_GET_SIZE(kwnames) : 0);
    struct deco *d = spare;
    (void)self;
    if (n > ARGS_MAX) {
        PyErr_SetString(PyExc_TypeError, "DFF.API() takes at most 18 options");
        return NULL;
    }
    if (d != NULL) {
        spare = NULL;
        PyObject_Init((PyObject *)d, &deco_type);
    } else if ((d = PyObject_New(struct deco, &deco_type)) == NULL) {
        return NULL;
    }
    deco_fill(d, args, nargs, n, kwnames);
    return (PyObject *)d;
}

/* ---- constants ------------------------------------------------------------------------------------ */

/* The decorator that a mark of fold.py stands for, or NULL with an exception. */
static PyObject *deco_of_mark(PyObject *mark)
{
    PyObject *text = PyTuple_GET_ITEM(mark, 1), *ret = NULL, *values, *names;
    Py_ssize_t nargs;
    PyObject *options = PyMarshal_ReadObjectFromString(PyBytes_AS_STRING(text),
                                                       PyBytes_GET_SIZE(text));
    if (options == NULL || !PyArg_ParseTuple(options, "O!nO!", &PyTuple_Type, &values, &nargs,
                                             &PyTuple_Type, &names)) {
        Py_XDECREF(options);
        return NULL;
    }
    Py_ssize_t n = PyTuple_GET_SIZE(values), nnames = PyTuple_GET_SIZE(names);
    if (nargs < 0 || nargs + nnames != n || n > ARGS_MAX) {
        PyErr_SetString(PyExc_ValueError, "the options of a decorator do not fit together");
    } else {
        struct deco *d = PyObject_New(struct deco, &deco_type);
        if (d != NULL) {
            deco_fill(d, PySequence_Fast_ITEMS(values), nargs, n, nnames ? names : NULL);
            d->constant = true;
        }
        ret = (PyObject *)d;
    }
    Py_DECREF(options);
    return ret;
}

static bool is_mark(PyObject *v)
{
    return PyTuple_CheckExact(v) && PyTuple_GET_SIZE(v) == 2 &&
           PyUnicode_CheckExact(PyTuple_GET_ITEM(v, 0)) &&
           PyBytes_CheckExact(PyTuple_GET_ITEM(v, 1)) &&
           PyUnicode_Compare(PyTuple_GET_ITEM(v, 0), fold_mark) == 0;
}

PyObject *api_constants(PyObject *code)
{
    PyObject *consts = PyObject_GetAttrString(code, "co_consts"), *all = NULL, *ret = NULL, *kw;
    Py_ssize_t n = consts ? PyTuple_GET_SIZE(consts) : 0, marks = 0;
    all = consts ? PyTuple_New(n) : NULL;
    for (Py_ssize_t i = 0; all != NULL && i < n; i++) {
        PyObject *v = PyTuple_GET_ITEM(consts, i);
        bool mark = is_mark(v);
        PyObject *now = mark ? deco_of_mark(v) : Py_NewRef(v);
        marks += mark;
        if (now == NULL) {
            Py_CLEAR(all);
        } else {
            PyTuple_SET_ITEM(all, i, now);
        }
    }
    if (all != NULL && marks == 0) {
        ret = Py_NewRef(code);
    } else if (all != NULL && (kw = Py_BuildValue("{s:O}", "co_consts", all)) != NULL) {
        PyObject *replace = PyObject_GetAttrString(code, "replace");
        ret = replace ? PyObject_Call(replace, shim.empty_tuple, kw) : NULL;
        Py_XDECREF(replace);
        Py_DECREF(kw);
    }
    Py_XDECREF(all);
    Py_XDECREF(consts);
    return ret;
}

PyObject *api_defines(PyObject *code)
{
    PyObject *consts = PyObject_GetAttrString(code, "co_consts"), *last, *ret = NULL;
    Py_ssize_t n = consts ? PyTuple_GET_SIZE(consts) : 0;
    last = n ? PyTuple_GET_ITEM(consts, n - 1) : NULL;
    if (last != NULL && PyTuple_CheckExact(last) && PyTuple_GET_SIZE(last) == 2 &&
        PyUnicode_CheckExact(PyTuple_GET_ITEM(last, 0)) &&
        PyUnicode_Compare(PyTuple_GET_ITEM(last, 0), fold_defines) == 0 &&
        PyTuple_CheckExact(PyTuple_GET_ITEM(last, 1))) {
        ret = PyTuple_GET_ITEM(last, 1);
    }
    Py_XDECREF(consts); /* the code holds them */
    PyErr_Clear();
    return ret;
}

struct api {
    PyObject_HEAD vectorcallfunc vectorcall;
};
static struct api api;

static PyTypeObject api_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "DFF.API",
    .tp_basicsize = sizeof(struct api),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_doc = "API(title=None, category=None, ...): publishes the decorated function",
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(struct api, vectorcall),
};
static PyTypeObject deco_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "DFF.API.decorator",
    .tp_basicsize = sizeof(struct deco),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_dealloc = deco_dealloc,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(struct deco, vectorcall),
};

int api_init(void)
{
    if (PyType_Ready(&api_type) < 0 || PyType_Ready(&deco_type) < 0) {
        return -1;
    }
    fold_mark = PyObject_GetAttrString(shim.m_fold, "MARK");
    fold_defines = PyObject_GetAttrString(shim.m_fold, "DEFINES");
    if (fold_mark == NULL || !PyUnicode_Check(fold_mark) || fold_defines == NULL ||
        !PyUnicode_Check(fold_defines)) {
        return -1;
    }
    PyObject_Init((PyObject *)&api, &api_type);
    api.vectorcall = api_call;
    extra_index = code_extra_index(record_free);
    if (extra_index < 0) {
        PyErr_SetString(PyExc_RuntimeError, "no place for data at code objects");
        return -1;
    }
    return 0;
}

PyObject *api_object(void)
{
    return (PyObject *)&api;
}
