/* SPDX-License-Identifier: Apache-2.0 */
/* Imports of scripts: a name with "__" is looked up among the published scripts first (spec 3.3).
 * Each runs once per task in globals of its own; cycles and threads get what Python gives them. */
#include "pyshim/shim.h"

#include <string.h>
#include <time.h>

/* Makes `dict` the __dict__ of the module: scripts execute in a dict that we prepared. */
static int module_adopt(PyObject *module, PyObject *dict)
{
    Py_ssize_t at = PyModule_Type.tp_dictoffset;
    if (at <= 0) {
        PyErr_SetString(PyExc_SystemError,
                        "modules of this Python version keep their dict elsewhere");
        return -1;
    }
    PyObject **slot = (PyObject **)((char *)module + at);
    Py_INCREF(dict);
    Py_XSETREF(*slot, dict);
    return 0;
}

static PyObject *module_of(struct task_module *m)
{
    if (m->module == NULL) {
        m->module = PyModule_NewObject(m->name);
        if (m->module != NULL && module_adopt(m->module, m->dict) < 0) {
            Py_CLEAR(m->module);
        }
    }
    return Py_XNewRef(m->module);
}

static struct task_module *add_module(struct task *t, PyObject *name, PyObject *dict_take)
{
    struct task_module *m = dict_take ? PyMem_Calloc(1, sizeof(*m)) : NULL, **end = &t->modules;
    if (m == NULL) {
        if (dict_take != NULL) {
            Py_DECREF(dict_take);
            PyErr_NoMemory();
        }
        return NULL;
    }
    m->name = Py_NewRef(name);
    m->dict = dict_take;
    m->owner = PyThread_get_thread_ident();
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = m;
    return m;
}

/* Puts the module into sys.modules until the task ends, unless a module of that name is there. */
static int list_module(struct task_module *m)
{
    PyObject *modules = PyImport_GetModuleDict(), *module;
    int known = PyDict_Contains(modules, m->name);
    if (known != 0) {
        return known < 0 ? -1 : 0;
    }
    module = module_of(m);
    if (module == NULL || PyDict_SetItem(modules, m->name, module) < 0) {
        Py_XDECREF(module);
        return -1;
    }
    Py_DECREF(module);
    m->listed = true;
    return 0;
}

static void unlist_module(struct task_module *m)
{
    PyObject *modules = PyImport_GetModuleDict();
    if (m->listed && PyDict_GetItem(modules, m->name) == m->module &&
        PyDict_DelItem(modules, m->name) < 0) {
        PyErr_Clear();
    }
}

static void free_module(struct task *t, struct task_module *m)
{
    unlist_module(m);
    Py_XDECREF(m->module);
    if (m->dict == t->globals) {
        keep_settle(t);
    }
    globals_drop(m->dict);
    Py_DECREF(m->name);
    PyMem_Free(m);
}

static void remove_module(struct task *t, struct task_module *m)
{
    struct task_module **at = &t->modules;
    while (*at != m) {
        at = &(*at)->next;
    }
    *at = m->next;
    free_module(t, m);
}

/* Waits until another thread has executed m. Two threads that wait for each other see a partial
 * module instead, as with Python's own imports. */
static int wait_ready(struct task *t, struct task_module *m)
{
    unsigned long me = PyThread_get_thread_ident();
    const struct timespec pause = {0, 1000000};
    uint64_t serial = shim.serial;
    int rc = 0;
    while (m->owner != 0 && m->owner != me && rc == 0) {
        for (struct task_module *x = m->waits; x != NULL; x = x->waits) {
            if (x->owner == me) {
                return 0;
            }
        }
        for (struct task_module *x = t->modules; x; x = x->next) {
            x->waits = x->owner == me ? m : x->waits;
        }
        Py_BEGIN_ALLOW_THREADS nanosleep(&pause, NULL);
        Py_END_ALLOW_THREADS if (!task_goes_on(serial))
        {
            return -1;
        }
        rc = PyErr_CheckSignals();
    }
    for (struct task_module *x = t->modules; x; x = x->next) {
        x->waits = x->owner == me ? NULL : x->waits;
    }
    return rc;
}

static PyObject *execute(struct task *t, struct script *s)
{
    PyObject *code = Py_NewRef(s->code);
    uint64_t serial = shim.serial;
    struct task_module *m = add_module(t, s->id, globals_import(t, s->id));
    PyObject *module = m ? module_of(m) : NULL;
    if (module != NULL && ((s->uses_request && httpreq_fill(t->http) < 0) ||
                           (s->uses_modules && list_module(m) < 0))) {
        Py_CLEAR(module);
    }
    PyObject *done = module ? PyEval_EvalCode(code, m->dict, m->dict) : NULL;
    Py_DECREF(code);
    if (!task_goes_on(serial)) {
        Py_XDECREF(done);
        Py_XDECREF(module);
        return NULL;
    }
    if (m != NULL) {
        m->owner = 0;
        m->waits = NULL;
    }
    if (done == NULL) {
        Py_CLEAR(module);
        if (m != NULL) {
            PyObject *type, *value, *trace;
            PyErr_Fetch(&type, &value, &trace);
            remove_module(t, m);
            PyErr_Restore(type, value, trace);
        }
        return NULL;
    }
    Py_DECREF(done);
    return module;
}

static struct task_module *find_module(const struct task *t, PyObject *id)
{
    struct task_module *m = t->modules;
    while (m != NULL && m->name != id && PyUnicode_Compare(m->name, id) != 0) {
        m = m->next;
    }
    return m;
}

/* The module of a script; NULL without an exception: there is no such script. */
static PyObject *import_script(struct task *t, PyObject *id)
{
    struct task_module *m = find_module(t, id);
    bool missing;
    Py_ssize_t n;
    const char *p;
    if (m == NULL) {
        p = PyUnicode_AsUTF8AndSize(id, &n);
        struct script *s = p ? code_get((tn_str){p, (size_t)n}, &missing) : NULL;
        if (s == NULL) {
            return NULL;
        }
        m = find_module(t, id); /* another thread may have been faster while we asked */
        if (m == NULL) {
            return execute(t, s);
        }
    }
    return wait_ready(t, m) < 0 ? NULL : module_of(m);
}

/* "__x" belongs to the set of the importing script. */
static PyObject *absolute(PyObject *name, PyObject *globals)
{
    const char *text = (const char *)PyUnicode_1BYTE_DATA(name);
    PyObject *from;
    if (strncmp(text, "__", 2) != 0) {
        return Py_NewRef(name);
    }
    from = globals && PyDict_Check(globals) ? PyDict_GetItem(globals, shim.n.name) : NULL;
    const char *id = from && PyUnicode_Check(from) ? PyUnicode_AsUTF8(from) : NULL;
    const char *sep = id ? strstr(id, "__") : NULL;
    if (sep == NULL) {
        return Py_NewRef(name);
    }
    PyObject *set = PyUnicode_FromStringAndSize(id, sep - id);
    PyObject *full = set ? PyUnicode_Concat(set, name) : NULL;
    Py_XDECREF(set);
    return full;
}

static bool may_be_script(PyObject *name)
{
    if (!PyUnicode_Check(name) || !PyUnicode_IS_COMPACT_ASCII(name)) {
        return false;
    }
    const char *text = (const char *)PyUnicode_1BYTE_DATA(name);
    const char *sep = strstr(text, "__");
    return sep != NULL && strchr(text, '.') == NULL && strcmp(text, "__future__") != 0 &&
           strcmp(text, "__main__") != 0 && strlen(text) == (size_t)PyUnicode_GET_LENGTH(name);
}

static PyObject *find(PyObject *name, PyObject *globals)
{
    PyObject *id = absolute(name, globals);
    PyObject *module = id ? import_script(shim.task, id) : NULL;
    Py_XDECREF(id);
    return module;
}

/* The names of "from a__b import x": the text is the one the original uses. */
static int check_names(PyObject *module, PyObject *fromlist)
{
    PyObject *seq = PySequence_Fast(fromlist, "fromlist must be a sequence");
    PyObject *dict = PyModule_GetDict(module);
    int rc = seq ? 0 : -1;
    for (Py_ssize_t i = 0; rc == 0 && i < PySequence_Fast_GET_SIZE(seq); i++) {
        PyObject *x = PySequence_Fast_GET_ITEM(seq, i);
        if (PyUnicode_Check(x) && PyUnicode_CompareWithASCIIString(x, "*") != 0 &&
            PyDict_Contains(dict, x) == 0) {
            PyErr_Format(PyExc_ImportError, "CustomImport: Cannot import name `%U`", x);
            rc = -1;
        }
    }
    Py_XDECREF(seq);
    return rc;
}

static PyObject *py_import(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                           PyObject *kwnames)
{
    static const char *const names[] = {"name", "globals", "locals", "fromlist", "level"};
    PyObject *v[5] = {NULL};
    int level = 0;
    (void)self;
    for (Py_ssize_t i = 0; i < nargs && i < 5; i++) {
        v[i] = args[i];
    }
    for (Py_ssize_t k = 0; kwnames && k < PyTuple_GET_SIZE(kwnames); k++) {
        for (int i = 0; i < 5; i++) {
            if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, k), names[i]) == 0) {
                v[i] = args[nargs + k];
            }
        }
    }
    if (v[0] == NULL || !PyUnicode_Check(v[0])) {
        PyErr_SetString(PyExc_TypeError, "__import__() needs a module name");
        return NULL;
    }
    if (v[4] != NULL && (level = (int)PyLong_AsLong(v[4])) == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (level == 0 && shim.task != NULL && may_be_script(v[0])) {
        PyObject *module = find(v[0], v[1]);
        if (module == NULL && PyErr_Occurred()) {
            return NULL;
        }
        if (module != NULL && v[3] != NULL && v[3] != Py_None && check_names(module, v[3]) < 0) {
            Py_CLEAR(module);
            return NULL;
        }
        if (module != NULL) {
            return module;
        }
    }
    return importer_plain(v, level);
}

/* find_script(name, globals) -> module or None: importlib.import_module asks it (task.py). */
static PyObject *py_find_script(PyObject *self, PyObject *args)
{
    PyObject *name, *globals;
    (void)self;
    if (!PyArg_ParseTuple(args, "UO", &name, &globals)) {
        return NULL;
    }
    if (shim.task == NULL || !may_be_script(name)) {
        Py_RETURN_NONE;
    }
    PyObject *module = find(name, globals);
    if (module == NULL && !PyErr_Occurred()) {
        Py_RETURN_NONE;
    }
    return module;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-function-type"
static PyMethodDef import_method = {"__import__", (PyCFunction)py_import,
                                    METH_FASTCALL | METH_KEYWORDS, "imports a script or a module"};
static PyMethodDef find_method = {"find_script", py_find_script, METH_VARARGS,
                                  "module of a published script, or None"};
#pragma GCC diagnostic pop

int importer_init(PyObject *builtins)
{
    PyObject *f = PyCFunction_New(&import_method, NULL), *g = PyCFunction_New(&find_method, NULL);
    PyObject *bridge = PyImport_ImportModule("_tenon");
    int rc = f && g && bridge && PyDict_SetItemString(builtins, "__import__", f) == 0
                 ? PyObject_SetAttrString(bridge, "find_script", g)
                 : -1;
    Py_XDECREF(bridge);
    Py_XDECREF(g);
    Py_XDECREF(f);
    return rc;
}

int importer_enter(struct task *t)
{
    struct task_module *m = add_module(t, t->entry->id, Py_NewRef(t->globals));
    return m == NULL || (t->entry->uses_modules && list_module(m) < 0) ? -1 : 0;
}

void importer_leave(struct task *t)
{
    /* Importers first: they hold what they imported. */
    while (t->modules != NULL) {
        struct task_module *m = t->modules;
        t->modules = m->next;
        free_module(t, m);
    }
}
