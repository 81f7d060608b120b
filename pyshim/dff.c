/* SPDX-License-Identifier: Apache-2.0 */
/* The DFF object of a script: one per script and task, members from one table (spec 3.5). */
#include "pyshim/shim.h"

struct dff {
    PyObject_HEAD PyObject *script_id;
    PyObject *own; /* dict of members that belong to this object, or NULL */
};

static PyTypeObject dff_type;
static PyObject *members;   /* dict: name -> object that is the same in every script */
static PyObject *factories; /* dict: name -> callable(script_id) for those that are not */

PyObject *dff_new(PyObject *script_id)
{
    /* Tracked by the collector only once it holds something (own_set). */
    struct dff *d = PyObject_GC_New(struct dff, &dff_type);
    if (d != NULL) {
        d->script_id = Py_NewRef(script_id);
        d->own = NULL;
    }
    return (PyObject *)d;
}

static void dff_dealloc(PyObject *self)
{
    struct dff *d = (struct dff *)self;
    PyObject_GC_UnTrack(self);
    Py_XDECREF(d->own);
    Py_DECREF(d->script_id);
    PyObject_GC_Del(self);
}

static int dff_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((struct dff *)self)->own);
    return 0;
}

static int dff_clear(PyObject *self)
{
    Py_CLEAR(((struct dff *)self)->own);
    return 0;
}

static int own_set(struct dff *d, PyObject *name, PyObject *v)
{
    if (d->own == NULL) {
        d->own = PyDict_New();
        if (d->own == NULL) {
            return -1;
        }
        PyObject_GC_Track((PyObject *)d);
    }
    return v ? PyDict_SetItem(d->own, name, v) : PyDict_DelItem(d->own, name);
}

static PyObject *dff_getattro(PyObject *self, PyObject *name)
{
    struct dff *d = (struct dff *)self;
    PyObject *v = d->own ? PyDict_GetItemWithError(d->own, name) : NULL;
    if (v == NULL) {
        v = PyDict_GetItemWithError(members, name);
    }
    if (v != NULL) {
        return Py_NewRef(v);
    }
    PyObject *make = PyDict_GetItemWithError(factories, name);
    if (make != NULL) {
        v = PyObject_CallOneArg(make, d->script_id);
        if (v != NULL && own_set(d, name, v) < 0) {
            Py_CLEAR(v);
        }
        return v;
    }
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (PyUnicode_GET_LENGTH(name) > 1 && PyUnicode_READ_CHAR(name, 0) == '_') {
        return PyObject_GenericGetAttr(self, name);
    }
    Py_RETURN_NONE; /* so that scripts can test for members of other versions */
}

static int dff_setattro(PyObject *self, PyObject *name, PyObject *v)
{
    return own_set((struct dff *)self, name, v);
}

static PyObject *dff_repr(PyObject *self)
{
    return PyUnicode_FromFormat("<DFF of %U>", ((struct dff *)self)->script_id);
}

static PyObject *dff_dir(PyObject *self, PyObject *unused)
{
    PyObject *list = PyDict_Keys(members), *more = list ? PyDict_Keys(factories) : NULL;
    (void)self;
    (void)unused;
    if (more == NULL ||
        PyList_SetSlice(list, PyList_GET_SIZE(list), PyList_GET_SIZE(list), more) < 0) {
        Py_CLEAR(list);
    }
    Py_XDECREF(more);
    return list;
}

static PyMethodDef dff_methods[] = {
    {"__dir__", dff_dir, METH_NOARGS, "names of the members"},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject dff_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "DFF",
    .tp_basicsize = sizeof(struct dff),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_traverse = dff_traverse,
    .tp_clear = dff_clear,
    .tp_doc = "what the platform offers to a script",
    .tp_dealloc = dff_dealloc,
    .tp_getattro = dff_getattro,
    .tp_setattro = dff_setattro,
    .tp_repr = dff_repr,
    .tp_methods = dff_methods,
};

/* Adds the lower-case spelling of every name. */
static int add_lower(PyObject *dict)
{
    PyObject *keys = PyDict_Keys(dict);
    int rc = keys ? 0 : -1;
    for (Py_ssize_t i = 0; rc == 0 && i < PyList_GET_SIZE(keys); i++) {
        PyObject *k = PyList_GET_ITEM(keys, i), *low = PyObject_CallMethod(k, "lower", NULL);
        if (low != NULL) {
            PyUnicode_InternInPlace(&low);
        }
        rc = low ? PyDict_SetItem(dict, low, PyDict_GetItem(dict, k)) : -1;
        Py_XDECREF(low);
    }
    Py_XDECREF(keys);
    return rc;
}

int dff_init(void)
{
    if (PyType_Ready(&dff_type) < 0) {
        return -1;
    }
    members = PyObject_GetAttrString(shim.m_dff, "MEMBERS");
    factories = PyObject_GetAttrString(shim.m_dff, "FACTORIES");
    if (members == NULL || factories == NULL ||
        PyDict_SetItemString(members, "API", api_object()) < 0 ||
        PyDict_SetItemString(members, "LOG", PyDict_GetItemString(shim.builtins, "print")) < 0 ||
        PyDict_SetItemString(members, "VAR", PyDict_GetItemString(shim.builtins, "print_var")) <
            0 ||
        PyDict_SetItemString(members, "EVAL", PyDict_GetItemString(shim.builtins, "eval")) < 0 ||
        PyDict_SetItemString(members, "EXEC", PyDict_GetItemString(shim.builtins, "exec")) < 0) {
        return -1;
    }
    return add_lower(members) < 0 || add_lower(factories) < 0 ? -1 : 0;
}
