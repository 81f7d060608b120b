/* SPDX-License-Identifier: Apache-2.0 */
/* Namespaces that need not be made again. The top level of a script runs in every call; where it only
 * defines (fold.py), running it again gives what the last call found, unless something was changed or is
 * still in somebody's hands. Both can be seen, and then the namespace is dropped and the script runs. */
#include "pyshim/shim.h"

#include <stddef.h>
#include <string.h>

#define KEPT_MAX   16   /* scripts: each namespace is private memory of the worker */
#define FUNCS_MAX  128  /* of a script */
#define BOXES_MAX  64   /* lists, dicts and tuples of its literals */
#define ITEMS_MAX  1024 /* of a list */
#define MISSES_MAX 8    /* calls that changed something, one after the other: it does not pay */

#define FUNC_FROM sizeof(PyObject)
#define FUNC_END  (offsetof(PyFunctionObject, vectorcall) + sizeof(vectorcallfunc))

/* What a function has to itself: annotations (a tuple until somebody looks), defaults of keywords. */
struct own {
    PyObject *v;      /* held, so that nothing else can take its place in memory; or NULL */
    uint64_t version; /* of a dict */
};
/* A function and all that it was made of. What else these pointers name lives as long as the script's code. */
struct func {
    PyFunctionObject *f; /* its only owner is the namespace */
    uint64_t attrs;      /* version of its __dict__ */
    struct own hints, kwdefaults;
    unsigned char made[FUNC_END - FUNC_FROM];
};
/* A container that the script can change. */
struct box {
    PyObject *v;
    Py_ssize_t refs;
    uint64_t version; /* of a dict */
    PyObject *items;  /* of a list: a tuple */
};
struct kept {
    PyObject *dict;
    uint64_t version;  /* of dict when the call began */
    uint64_t template; /* of the script's template when its values were taken over */
    uint64_t modules;  /* of sys.modules when all imports were as they are here */
    bool attributes;   /* some import takes a module's attribute */
    unsigned nfuncs, nboxes;
    struct func *funcs;
    struct box *boxes;
};

static struct script *ring[KEPT_MAX]; /* who has one, the oldest is at ring_next */
static unsigned ring_next;

void keep_free(struct script *s)
{
    struct kept *k = s->kept;
    if (k == NULL) {
        return;
    }
    s->kept = NULL;
    for (unsigned i = 0; i < KEPT_MAX; i++) {
        ring[i] = ring[i] == s ? NULL : ring[i];
    }
    for (unsigned i = 0; i < k->nfuncs; i++) {
        Py_XDECREF(k->funcs[i].hints.v);
        Py_XDECREF(k->funcs[i].kwdefaults.v);
    }
    for (unsigned i = 0; i < k->nboxes; i++) {
        Py_XDECREF(k->boxes[i].items);
    }
    globals_drop(k->dict);
    PyMem_Free(k->boxes);
    PyMem_Free(k->funcs);
    PyMem_Free(k);
}

/* ---- taking down ---------------------------------------------------------------------------------- */

static struct own own_of(PyObject *v)
{
    return (struct own){Py_XNewRef(v), v != NULL && PyDict_CheckExact(v) ? dict_version(v) : 0};
}

/* As it was, and with nobody but the function and us? */
static bool same_own(const struct own *o)
{
    return o->v == NULL || !PyDict_CheckExact(o->v) ||
           (Py_REFCNT(o->v) == 2 && dict_version(o->v) == o->version);
}

static int add_func(struct kept *k, PyFunctionObject *f)
{
    if (k->nfuncs == FUNCS_MAX || Py_REFCNT(f) != 1) {
        return -1;
    }
    struct func *p = &k->funcs[k->nfuncs++];
    p->f = f;
    p->attrs = f->func_dict ? dict_version(f->func_dict) : 0;
    p->hints = own_of(f->func_annotations);
    p->kwdefaults = own_of(f->func_kwdefaults);
    memcpy(p->made, (const char *)f + FUNC_FROM, sizeof(p->made));
    return 0;
}

static bool is_constant(PyObject *v)
{
    return v == Py_None || PyUnicode_CheckExact(v) || PyLong_CheckExact(v) || PyBool_Check(v) ||
           PyFloat_CheckExact(v);
}

/* A literal: its containers, the inner ones first; -1: it is none, or too much. */
static int add_boxes(struct kept *k, PyObject *v)
{
    unsigned before = k->nboxes;
    PyObject *key, *item;
    Py_ssize_t pos = 0;
    if (is_constant(v)) {
        return 0;
    }
    if (PyDict_CheckExact(v)) {
        while (PyDict_Next(v, &pos, &key, &item)) {
            if (add_boxes(k, item) < 0) {
                return -1;
            }
        }
    } else if (PyList_CheckExact(v) || PyTuple_CheckExact(v)) {
        Py_ssize_t n = PySequence_Fast_GET_SIZE(v);
        for (; pos < n; pos++) {
            if (n > ITEMS_MAX || add_boxes(k, PySequence_Fast_GET_ITEM(v, pos)) < 0) {
                return -1;
            }
        }
        if (PyTuple_CheckExact(v) && k->nboxes == before) {
            return 0; /* it can be a constant of the code, which others hold, too */
        }
    } else {
        return -1;
    }
    if (k->nboxes == BOXES_MAX) {
        return -1;
    }
    struct box *b = &k->boxes[k->nboxes++];
    *b = (struct box){.v = v, .version = PyDict_CheckExact(v) ? dict_version(v) : 0};
    return PyList_CheckExact(v) && (b->items = PyList_AsTuple(v)) == NULL ? -1 : 0;
}

/* Are the imports what they would be now? */
static bool same_imports(struct kept *k, PyObject *imports)
{
    PyObject *modules = PyImport_GetModuleDict();
    uint64_t version = dict_version(modules);
    if (k->modules == version && !k->attributes) {
        return true;
    }
    k->attributes = false;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(imports); i++) {
        PyObject *row = PyTuple_GET_ITEM(imports, i), *attr = PyTuple_GET_ITEM(row, 2);
        PyObject *v = PyDict_GetItem(modules, PyTuple_GET_ITEM(row, 1));
        if (v != NULL && attr != Py_None) {
            k->attributes = true;
            v = PyModule_CheckExact(v) ? PyDict_GetItem(PyModule_GetDict(v), attr) : NULL;
        }
        if (v == NULL || v != PyDict_GetItem(k->dict, PyTuple_GET_ITEM(row, 0))) {
            return false;
        }
    }
    k->modules = version;
    return true;
}

static bool is_imported(PyObject *imports, PyObject *name)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(imports); i++) {
        if (PyUnicode_Compare(PyTuple_GET_ITEM(PyTuple_GET_ITEM(imports, i), 0), name) == 0) {
            return true;
        }
    }
    return false;
}

static int take_down(struct kept *k, PyObject *imports)
{
    Py_ssize_t pos = globals_given();
    PyObject *name, *v;
    while (PyDict_Next(k->dict, &pos, &name, &v)) {
        int rc = PyFunction_Check(v) && PyFunction_GET_GLOBALS(v) == k->dict
                     ? add_func(k, (PyFunctionObject *)v)
                 : is_imported(imports, name) ? 0
                                              : add_boxes(k, v);
        if (rc < 0) {
            return -1;
        }
    }
    for (unsigned i = 0; i < k->nboxes; i++) {
        k->boxes[i].refs = Py_REFCNT(k->boxes[i].v);
    }
    return same_imports(k, imports) ? 0 : -1;
}

/* The script has just run: remembers what it has made. */
static void record(struct task *t)
{
    struct script *s = t->entry;
    struct kept *k = PyMem_Calloc(1, sizeof(*k));
    struct func *funcs = PyMem_Calloc(FUNCS_MAX, sizeof(*funcs));
    struct box *boxes = PyMem_Calloc(BOXES_MAX, sizeof(*boxes));
    if (k == NULL || funcs == NULL || boxes == NULL) {
        PyMem_Free(boxes);
        PyMem_Free(funcs);
        PyMem_Free(k);
        return;
    }
    *k = (struct kept){.dict = Py_NewRef(t->globals),
                       .template = dict_version(s->globals),
                       .funcs = funcs,
                       .boxes = boxes};
    s->kept = k;
    if (take_down(k, s->imports) < 0) {
        PyErr_Clear();
        keep_free(s);
        s->misses = MISSES_MAX; /* nor will it be possible next time */
        return;
    }
    /* The tables were made for the largest script: give back the rest. */
    funcs = PyMem_Realloc(k->funcs, (k->nfuncs ? k->nfuncs : 1) * sizeof(*funcs));
    k->funcs = funcs ? funcs : k->funcs;
    boxes = PyMem_Realloc(k->boxes, (k->nboxes ? k->nboxes : 1) * sizeof(*boxes));
    k->boxes = boxes ? boxes : k->boxes;
    if (ring[ring_next] != NULL) {
        keep_free(ring[ring_next]);
    }
    ring[ring_next] = s;
    ring_next = (ring_next + 1) % KEPT_MAX;
}

/* ---- the way of a call ------------------------------------------------------------------------------ */

PyObject *keep_take(struct task *t)
{
    struct script *s = t->entry;
    if (s->kept == NULL) {
        return NULL;
    }
    if (!same_imports(s->kept, s->imports)) {
        keep_free(s);
        return NULL;
    }
    uint64_t version = dict_version(s->globals);
    if (s->kept->template != version && globals_refresh(s->kept->dict, s->globals) < 0) {
        PyErr_Clear();
        keep_free(s);
        return NULL;
    }
    s->kept->template = version;
    t->kept = true;
    return Py_NewRef(s->kept->dict);
}

void keep_begin(struct task *t)
{
    struct script *s = t->entry;
    if (!t->kept && t->plain && !t->debug && s->imports != NULL && s->misses < MISSES_MAX) {
        keep_free(s);
        record(t);
        t->kept = s->kept != NULL;
    }
    if (t->kept) {
        s->kept->version = dict_version(t->globals);
    }
}

/* Is all as the top level has made it, and nobody's but ours? `held`: references to the dict besides its functions'. */
static bool untouched(const struct kept *k, Py_ssize_t held)
{
    if (dict_version(k->dict) != k->version || Py_REFCNT(k->dict) != held + (Py_ssize_t)k->nfuncs) {
        return false;
    }
    for (unsigned i = 0; i < k->nfuncs; i++) {
        const struct func *p = &k->funcs[i];
        const PyFunctionObject *f = p->f;
        if (Py_REFCNT(f) != 1 ||
            memcmp(p->made, (const char *)f + FUNC_FROM, sizeof(p->made)) != 0 ||
            (f->func_dict != NULL && dict_version(f->func_dict) != p->attrs) ||
            !same_own(&p->hints) || !same_own(&p->kwdefaults)) {
            return false;
        }
    }
    for (unsigned i = 0; i < k->nboxes; i++) {
        const struct box *b = &k->boxes[i];
        if (Py_REFCNT(b->v) != b->refs ||
            (PyDict_CheckExact(b->v) && dict_version(b->v) != b->version)) {
            return false;
        }
        if (b->items != NULL) {
            Py_ssize_t n = PyTuple_GET_SIZE(b->items);
            if (PyList_GET_SIZE(b->v) != n ||
                memcmp(PySequence_Fast_ITEMS(b->v), PySequence_Fast_ITEMS(b->items),
                       (size_t)n * sizeof(PyObject *)) != 0) {
                return false;
            }
        }
    }
    return true;
}

void keep_settle(struct task *t)
{
    struct script *s = t->entry;
    if (!t->kept || s->kept == NULL) {
        return; /* its code was replaced while it ran */
    }
    /* Two references: ours, and that of the task's list of modules. */
    if (!untouched(s->kept, 2) || globals_forget(s->kept->dict) < 0) {
        PyErr_Clear();
        s->misses++;
        keep_free(s);
        return;
    }
    s->misses = 0;
}
