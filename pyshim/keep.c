/* SPDX-License-Identifier: Apache-2.0 */
/* Namespaces that need not be made again. The top level of a script runs in every call; where it only
 * defines (fold.py), running it again gives what the last call found, unless something was changed or is
 * still in somebody's hands. Both can be seen, and then the namespace is dropped and the script runs. */
#include "pyshim/shim.h"

#include <stddef.h>
#include <string.h>

#define KEPT_MAX   16  /* scripts: each namespace is private memory of the worker */
#define FUNCS_MAX  128 /* of a script */
#define MISSES_MAX 8   /* calls that changed something, one after the other: it does not pay */

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
struct kept {
    PyObject *dict;
    uint64_t version;  /* of dict when the call began */
    uint64_t template; /* of the script's template when its values were taken over */
    uint64_t modules;  /* of sys.modules when all imports were as they are here */
    bool attributes;   /* some import takes a module's attribute */
    unsigned nfuncs;
    struct func *funcs;
    struct boxes
        boxes; /* lists, dicts and tuples of its literals, and of what describes its functions */
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
    boxes_free(&k->boxes);
    globals_drop(k->dict);
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
    PyObject *key, *v;
    Py_ssize_t pos = 0;
    while (f->func_dict != NULL && PyDict_Next(f->func_dict, &pos, &key, &v)) {
        if (boxes_add(&k->boxes, v) < 0) {
            return -1;
        }
    }
    struct func *p = &k->funcs[k->nfuncs++];
    p->f = f;
    p->attrs = f->func_dict ? dict_version(f->func_dict) : 0;
    p->hints = own_of(f->func_annotations);
    p->kwdefaults = own_of(f->func_kwdefaults);
    memcpy(p->made, (const char *)f + FUNC_FROM, sizeof(p->made));
    return 0;
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
                                              : boxes_add(&k->boxes, v);
        if (rc < 0) {
            return -1;
        }
    }
    boxes_close(&k->boxes);
    return same_imports(k, imports) ? 0 : -1;
}

/* The script has just run: remembers what it has made. */
static void record(struct task *t)
{
    struct script *s = t->entry;
    struct kept *k = PyMem_Calloc(1, sizeof(*k));
    struct func *funcs = PyMem_Calloc(FUNCS_MAX, sizeof(*funcs));
    if (k == NULL || funcs == NULL) {
        PyMem_Free(funcs);
        PyMem_Free(k);
        return;
    }
    *k = (struct kept){
        .dict = Py_NewRef(t->globals), .template = dict_version(s->globals), .funcs = funcs};
    s->kept = k;
    if (take_down(k, s->imports) < 0) {
        PyErr_Clear();
        keep_free(s);
        s->misses = MISSES_MAX; /* nor will it be possible next time */
        return;
    }
    /* The table was made for the largest script: give back the rest. */
    funcs = PyMem_Realloc(k->funcs, (k->nfuncs ? k->nfuncs : 1) * sizeof(*funcs));
    k->funcs = funcs ? funcs : k->funcs;
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
    return boxes_same(&k->boxes);
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
