/* SPDX-License-Identifier: Apache-2.0 */
/* Imports of ordinary modules, which every call repeats: remembered while sys.modules is unchanged. */
#include "pyshim/shim.h"

/* What "import name" and "from name import x" gave last time. It counts while sys.modules has not
 * changed since; CPython's own way costs ten times as much for a module that is there. */
#define SEEN_SLOTS 256
static struct seen {
    PyObject *name, *module;
    bool from;
} seen[SEEN_SLOTS];
static uint64_t seen_version;

static struct seen *seen_slot(PyObject *name, bool from)
{
    return &seen[((uintptr_t)name >> 4 ^ (uintptr_t)name >> 12 ^ from) % SEEN_SLOTS];
}

static void seen_forget(PyObject *modules)
{
    for (size_t i = 0; i < SEEN_SLOTS; i++) {
        Py_CLEAR(seen[i].name);
        Py_CLEAR(seen[i].module);
    }
    seen_version = dict_version(modules);
}

static PyObject *seen_get(PyObject *name, bool from)
{
    PyObject *modules = PyImport_GetModuleDict();
    if (dict_version(modules) != seen_version) {
        seen_forget(modules);
        return NULL;
    }
    struct seen *s = seen_slot(name, from);
    return s->name == name && s->from == from ? Py_NewRef(s->module) : NULL;
}

/* A package is left out with "from": its parts may have to be imported. */
static void seen_put(PyObject *name, bool from, PyObject *module)
{
    PyObject *modules = PyImport_GetModuleDict(), *spec, *dict;
    if (!PyUnicode_CheckExact(name) || !PyModule_CheckExact(module) ||
        dict_version(modules) != seen_version) {
        return;
    }
    dict = PyModule_GetDict(module);
    spec = PyDict_GetItemString(dict, "__spec__");
    if (spec == NULL || (from && PyDict_GetItemString(dict, "__path__") != NULL)) {
        return;
    }
    PyObject *busy = PyObject_GetAttrString(spec, "_initializing");
    if (busy == Py_False) {
        struct seen *s = seen_slot(name, from);
        Py_INCREF(name);
        Py_XSETREF(s->name, name);
        Py_INCREF(module);
        Py_XSETREF(s->module, module);
        s->from = from;
    }
    Py_XDECREF(busy);
    PyErr_Clear();
}

PyObject *importer_plain(PyObject *const v[5], int level)
{
    bool from = v[3] != NULL && v[3] != Py_None;
    PyObject *module = level == 0 ? seen_get(v[0], from) : NULL;
    if (module == NULL) {
        module = PyImport_ImportModuleLevelObject(v[0], v[1], v[2], v[3], level);
        if (module != NULL && level == 0) {
            seen_put(v[0], from, module);
        }
    }
    return module;
}
