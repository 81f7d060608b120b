/* SPDX-License-Identifier: Apache-2.0 */
/* _DFF_HTTP_REQUEST: a dict that is filled when somebody looks at it, from raw text that came with the
 * call or that the hub is asked for. */
#include "kernel/ipc/frame.h"
#include "pyshim/shim.h"

struct req {
    PyDictObject dict;
    const char *raw; /* NULL: filled (or empty) */
    size_t n;
    bool ask; /* the hub has the text */
};
static PyTypeObject req_type;
static PyObject *headers_type; /* tenon_shim.task.Headers */

/* The text from the hub as bytes. Other threads run meanwhile. */
static PyObject *fetch(void)
{
    tn_rc rc = TN_OK;
    PyObject *text = bridge_ask(IPC_SERVICE_HTTP, shim.task->call->task_id, &rc);
    if (text == NULL && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_RuntimeError, "the HTTP request of this call cannot be found");
    }
    return text;
}

int httpreq_fill(PyObject *self)
{
    struct req *r = (struct req *)self;
    PyObject *text = NULL;
    if (r->raw == NULL && !r->ask) {
        return 0;
    }
    tn_str raw = {r->raw, r->n};
    if (r->ask) {
        text = fetch();
        if (!r->ask) { /* another thread was faster */
            Py_XDECREF(text);
            PyErr_Clear();
            return 0;
        }
        if (text == NULL) {
            return -1;
        }
        raw = (tn_str){PyBytes_AS_STRING(text), (size_t)PyBytes_GET_SIZE(text)};
    }
    r->raw = NULL; /* first: updating must not come back here */
    r->ask = false;
    PyObject *d = value_in_dict(raw, "the HTTP request"), *h, *own;
    int rc = d ? PyDict_Merge(self, d, 1) : -1;
    if (rc == 0 && (h = PyDict_GetItem(d, shim.n.headers)) != NULL && PyDict_Check(h)) {
        if (headers_type == NULL) {
            headers_type = PyObject_GetAttrString(shim.m_task, "Headers");
        }
        own = headers_type ? PyObject_CallOneArg(headers_type, h) : NULL;
        rc = own ? PyDict_SetItem(self, shim.n.headers, own) : -1;
        Py_XDECREF(own);
    }
    Py_XDECREF(d);
    Py_XDECREF(text);
    return rc;
}

static PyObject
    *spare; /* of a call that never looked at it: making one costs more than most scripts */

PyObject *httpreq_new(const struct lang_call *call)
{
    PyObject *self = spare ? spare : PyObject_CallNoArgs((PyObject *)&req_type);
    spare = NULL;
    if (self != NULL && (call->flags & IPC_CALL_HTTP)) {
        ((struct req *)self)->ask = true;
    } else if (self != NULL && call->http.n > 2) {
        ((struct req *)self)->raw = call->http.s;
        ((struct req *)self)->n = call->http.n;
    }
    return self;
}

void httpreq_end(PyObject *req_take)
{
    if (Py_REFCNT(req_take) > 1 && httpreq_fill(req_take) < 0) {
        PyErr_Clear();
    }
    ((struct req *)req_take)->raw = NULL;
    ((struct req *)req_take)->ask = false;
    if (spare == NULL && Py_REFCNT(req_take) == 1 && PyDict_GET_SIZE(req_take) == 0) {
        spare = req_take;
    } else {
        Py_DECREF(req_take);
    }
}

/* Slots: fill, then what dict does. */
static PyObject *req_subscript(PyObject *self, PyObject *key)
{
    return httpreq_fill(self) < 0 ? NULL : PyDict_Type.tp_as_mapping->mp_subscript(self, key);
}
static int req_ass_subscript(PyObject *self, PyObject *key, PyObject *v)
{
    return httpreq_fill(self) < 0 ? -1 : PyDict_Type.tp_as_mapping->mp_ass_subscript(self, key, v);
}
static Py_ssize_t req_length(PyObject *self)
{
    return httpreq_fill(self) < 0 ? -1 : PyDict_GET_SIZE(self);
}
static int req_contains(PyObject *self, PyObject *key)
{
    return httpreq_fill(self) < 0 ? -1 : PyDict_Contains(self, key);
}
static PyObject *req_iter(PyObject *self)
{
    return httpreq_fill(self) < 0 ? NULL : PyDict_Type.tp_iter(self);
}
static PyObject *req_repr(PyObject *self)
{
    return httpreq_fill(self) < 0 ? NULL : PyDict_Type.tp_repr(self);
}
static PyObject *req_compare(PyObject *self, PyObject *other, int op)
{
    return httpreq_fill(self) < 0 ? NULL : PyDict_Type.tp_richcompare(self, other, op);
}
static PyObject *req_or(PyObject *a, PyObject *b)
{
    if ((Py_TYPE(a) == &req_type && httpreq_fill(a) < 0) ||
        (Py_TYPE(b) == &req_type && httpreq_fill(b) < 0)) {
        return NULL;
    }
    return PyDict_Type.tp_as_number->nb_or(a, b);
}

/* Methods: fill, then call the one of dict with the same arguments. The name is the one of the
 * C function, so each needs a row. */
static PyObject *pass(PyObject *self, const char *name, PyObject *args, PyObject *kw)
{
    if (httpreq_fill(self) < 0) {
        return NULL;
    }
    PyObject *m = PyObject_GetAttrString((PyObject *)&PyDict_Type, name), *all, *ret = NULL;
    Py_ssize_t n = PyTuple_GET_SIZE(args);
    all = m ? PyTuple_New(n + 1) : NULL;
    if (all != NULL) {
        PyTuple_SET_ITEM(all, 0, Py_NewRef(self));
        for (Py_ssize_t i = 0; i < n; i++) {
            PyTuple_SET_ITEM(all, i + 1, Py_NewRef(PyTuple_GET_ITEM(args, i)));
        }
        ret = PyObject_Call(m, all, kw);
    }
    Py_XDECREF(all);
    Py_XDECREF(m);
    return ret;
}
#define METHODS(X)                                                                                 \
    X(get)                                                                                         \
    X(keys)                                                                                        \
    X(values)                                                                                      \
    X(items) X(copy) X(pop) X(popitem) X(update) X(setdefault) X(clear) X(__reversed__) X(__ior__)
#define X(name)                                                                                    \
    static PyObject *req_##name(PyObject *self, PyObject *args, PyObject *kw)                      \
    {                                                                                              \
        return pass(self, #name, args, kw);                                                        \
    }
METHODS(X)
#undef X

/* copy.copy, copy.deepcopy and pickle see a plain dict. */
static PyObject *req_reduce(PyObject *self, PyObject *unused)
{
    PyObject *d = httpreq_fill(self) < 0 ? NULL : PyDict_Copy(self), *ret;
    (void)unused;
    ret = d ? Py_BuildValue("O(O)", &PyDict_Type, d) : NULL;
    Py_XDECREF(d);
    return ret;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-function-type"
static PyMethodDef req_methods[] = {
#define X(name) {#name, (PyCFunction)req_##name, METH_VARARGS | METH_KEYWORDS, NULL},
    METHODS(X)
#undef X
        {"__reduce__", req_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};
#pragma GCC diagnostic pop

static PyMappingMethods req_mapping = {req_length, req_subscript, req_ass_subscript};
static PySequenceMethods req_sequence = {.sq_contains = req_contains};
static PyNumberMethods req_number = {.nb_or = req_or};

static PyTypeObject req_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "DFF.HTTPRequest",
    .tp_basicsize = sizeof(struct req),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_base = &PyDict_Type,
    .tp_iter = req_iter,
    .tp_repr = req_repr,
    .tp_richcompare = req_compare,
    .tp_as_mapping = &req_mapping,
    .tp_as_sequence = &req_sequence,
    .tp_as_number = &req_number,
    .tp_methods = req_methods,
};

/* A child that a script forks cannot ask the hub, so what it may look at is fetched before. */
static PyObject *before_fork(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    if (shim.task != NULL && shim.task->http != NULL && httpreq_fill(shim.task->http) < 0) {
        PyErr_Clear(); /* the child finds out when it looks */
    }
    Py_RETURN_NONE;
}

static int watch_forks(void)
{
    static PyMethodDef def = {"fetch_request", before_fork, METH_NOARGS, NULL};
    PyObject *os = PyImport_ImportModule("os"), *ret = NULL;
    PyObject *add = os ? PyObject_GetAttrString(os, "register_at_fork") : NULL;
    PyObject *args = PyTuple_New(0), *kw = PyDict_New(), *f = PyCFunction_New(&def, NULL);
    if (add && args && kw && f && PyDict_SetItemString(kw, "before", f) == 0) {
        ret = PyObject_Call(add, args, kw);
    }
    Py_XDECREF(f);
    Py_XDECREF(kw);
    Py_XDECREF(args);
    Py_XDECREF(add);
    Py_XDECREF(os);
    Py_XDECREF(ret);
    return ret ? 0 : -1;
}

int httpreq_init(void)
{
    req_type.tp_hash = PyObject_HashNotImplemented;
    return PyType_Ready(&req_type) < 0 ? -1 : watch_forks();
}
