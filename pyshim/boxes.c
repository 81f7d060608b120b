/* SPDX-License-Identifier: Apache-2.0 */
/* Literals that a script can change: what their containers hold, taken down, and whether they still hold it. */
#include "pyshim/shim.h"

#include <string.h>

#define BOXES_MAX 1024 /* containers of one collection */
#define ITEMS_MAX 1024 /* of a list */

struct box {
    PyObject *v;      /* borrowed: whoever collects them holds the outermost */
    Py_ssize_t refs;  /* -1: not taken down */
    uint64_t version; /* of a dict */
    PyObject *items;  /* of a list: a tuple */
};

static bool is_constant(PyObject *v)
{
    return v == Py_None || PyUnicode_CheckExact(v) || PyLong_CheckExact(v) || PyBool_Check(v) ||
           PyFloat_CheckExact(v);
}

static int append(struct boxes *b, PyObject *v)
{
    if (b->n == b->room) {
        unsigned room = b->room ? 2 * b->room : 8;
        struct box *p = room > BOXES_MAX ? NULL : PyMem_Realloc(b->v, room * sizeof(*p));
        if (p == NULL) {
            return -1;
        }
        b->v = p;
        b->room = room;
    }
    struct box *p = &b->v[b->n++];
    *p = (struct box){.v = v, .refs = -1, .version = PyDict_CheckExact(v) ? dict_version(v) : 0};
    return PyList_CheckExact(v) && (p->items = PyList_AsTuple(v)) == NULL ? -1 : 0;
}

int boxes_add(struct boxes *b, PyObject *v)
{
    unsigned before = b->n;
    PyObject *key, *item;
    Py_ssize_t pos = 0;
    if (is_constant(v)) {
        return 0;
    }
    if (PyDict_CheckExact(v)) {
        while (PyDict_Next(v, &pos, &key, &item)) {
            if (boxes_add(b, item) < 0) {
                return -1;
            }
        }
    } else if (PyList_CheckExact(v) || PyTuple_CheckExact(v)) {
        Py_ssize_t n = PySequence_Fast_GET_SIZE(v);
        for (; pos < n; pos++) {
            if (n > ITEMS_MAX || boxes_add(b, PySequence_Fast_GET_ITEM(v, pos)) < 0) {
                return -1;
            }
        }
        if (PyTuple_CheckExact(v) && b->n == before) {
            return 0; /* it can be a constant of the code, which others hold, too */
        }
    } else {
        return -1;
    }
    return append(b, v);
}

void boxes_close(struct boxes *b)
{
    struct box *p = b->n ? PyMem_Realloc(b->v, b->n * sizeof(*p)) : NULL;
    if (p != NULL) { /* gives back what was too much */
        b->v = p;
        b->room = b->n;
    }
    for (unsigned i = 0; i < b->n; i++) {
        b->v[i].refs = Py_REFCNT(b->v[i].v);
    }
}

bool boxes_same(const struct boxes *b)
{
    for (unsigned i = 0; i < b->n; i++) {
        const struct box *p = &b->v[i];
        if ((p->refs >= 0 && Py_REFCNT(p->v) != p->refs) ||
            (PyDict_CheckExact(p->v) && dict_version(p->v) != p->version)) {
            return false;
        }
        if (p->items != NULL) {
            Py_ssize_t n = PyTuple_GET_SIZE(p->items);
            if (PyList_GET_SIZE(p->v) != n ||
                (n > 0 && memcmp(PySequence_Fast_ITEMS(p->v), PySequence_Fast_ITEMS(p->items),
                                 (size_t)n * sizeof(PyObject *)) != 0)) {
                return false;
            }
        }
    }
    return true;
}

void boxes_free(struct boxes *b)
{
    for (unsigned i = 0; i < b->n; i++) {
        Py_XDECREF(b->v[i].items);
    }
    PyMem_Free(b->v);
    *b = (struct boxes){0};
}
