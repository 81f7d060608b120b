/* SPDX-License-Identifier: Apache-2.0 */
/* The globals of a script: a copy of its template plus the few values that differ from call to
 * call, and getting rid of them afterwards. */
#include "pyshim/shim.h"

#include "kernel/base/str.h"
#include <string.h>

#define N shim.n

/* A value of `vars`, or `dflt`; borrowed. */
static PyObject *var(PyObject *vars, const char *name, PyObject *dflt)
{
    PyObject *v = vars ? PyDict_GetItemString(vars, name) : NULL;
    return v ? v : dflt;
}

static PyObject *func_id(PyObject *script, PyObject *func)
{
    return PyUnicode_FromFormat("%U.%U", script, func);
}

static Py_ssize_t template_size; /* members of every template, the first of every copy */

/* What is the same in every call of the script; the members that vary get their place, so that
 * the copy never grows them. */
static PyObject *template_new(struct script *s)
{
    PyObject *d = PyDict_New(), *zero = PyLong_FromLong(0);
    int rc = d && zero ? 0 : -1;
    const struct {
        PyObject *key, *val;
    } rows[] = {
        {N.name, s->id},
        {N.doc, Py_None},
        {N.file, s->id},
        {N.builtins, shim.builtins},
        {N.dff, Py_None},
        {N.debug, Py_False},
        {N.task_id, N.empty},
        {N.root_task_id, N.text_root},
        {N.script_set_id, s->set_id},
        {N.script_id, s->id},
        {N.func_id, Py_None},
        {N.func_name, Py_None},
        {N.func_chain, Py_None},
        {N.origin, N.empty},
        {N.origin_id, N.empty},
        {N.trigger_time, zero},
        {N.trigger_time_ms, zero},
        {N.start_time, zero},
        {N.start_time_ms, zero},
        {N.eta, Py_None},
        {N.delay, zero},
        {N.cron_expr, Py_None},
        {N.cron_job_delay, zero},
        {N.cron_job_exec_mode, Py_None},
        {N.crontab, Py_None},
        {N.crontab_delay, zero},
        {N.crontab_exec_mode, Py_None},
        {N.queue, zero},
        {N.http_request, Py_None},
    };
    for (size_t i = 0; rc == 0 && i < sizeof(rows) / sizeof(rows[0]); i++) {
        rc = PyDict_SetItem(d, rows[i].key, rows[i].val);
    }
    Py_XDECREF(zero);
    if (rc < 0) {
        Py_CLEAR(d);
        return NULL;
    }
    template_size = PyDict_GET_SIZE(d);
    memset(s->numbers, 0, sizeof(s->numbers)); /* as in the rows above */
    return d;
}

/* Sets d[key] = v and gives up v; -1 when v is NULL. */
static int set_take(PyObject *d, PyObject *key, PyObject *v_take)
{
    int rc = v_take ? PyDict_SetItem(d, key, v_take) : -1;
    Py_XDECREF(v_take);
    return rc;
}

/* Keeps a text that seldom changes from call to call in the template. */
static int keep(struct script *s, PyObject **cache, PyObject *key, tn_str text)
{
    if (str_is_py(*cache, text)) {
        return 0;
    }
    PyObject *v = str_py(text);
    if (v == NULL || PyDict_SetItem(s->globals, key, v) < 0) {
        Py_XDECREF(v);
        return -1;
    }
    Py_XSETREF(*cache, v);
    return 0;
}

/* The same with numbers: at a high rate many calls share their milliseconds. */
static int keep_numbers(struct script *s, const struct task *t)
{
    const struct lang_call *c = t->call;
    const struct {
        PyObject *key;
        int64_t value;
    } rows[SCRIPT_NUMBERS] = {
        {N.trigger_time, c->trigger_us / 1000000},
        {N.trigger_time_ms, c->trigger_us / 1000},
        {N.start_time, t->start_us / 1000000},
        {N.start_time_ms, t->start_us / 1000},
        {N.queue, c->queue},
    };
    for (size_t i = 0; i < SCRIPT_NUMBERS; i++) {
        if (s->numbers[i] != rows[i].value) {
            if (set_take(s->globals, rows[i].key, PyLong_FromLongLong(rows[i].value)) < 0) {
                return -1;
            }
            s->numbers[i] = rows[i].value;
        }
    }
    return 0;
}

static int keep_func(struct script *s, tn_str func)
{
    if (s->func_name != NULL && str_is_py(s->func_name, func)) {
        return 0;
    }
    PyObject *name = func.n ? str_py(func) : Py_NewRef(Py_None);
    PyObject *id = name == NULL ? NULL : name == Py_None ? Py_NewRef(s->id) : func_id(s->id, name);
    if (name && name != Py_None) {
        PyUnicode_InternInPlace(&name);
    }
    if (id == NULL || PyDict_SetItem(s->globals, N.func_name, name) < 0 ||
        PyDict_SetItem(s->globals, N.func_id, id) < 0) {
        Py_XDECREF(id);
        Py_XDECREF(name);
        return -1;
    }
    Py_XSETREF(s->func_name, name);
    Py_XSETREF(s->func_id, id);
    return 0;
}

static PyObject *call_chain(const struct script *s, PyObject *vars)
{
    PyObject *given = var(vars, "callChain", NULL), *chain;
    if (given != NULL && PyList_Check(given)) {
        chain = PyList_GetSlice(given, 0, PyList_GET_SIZE(given));
        if (chain != NULL &&
            (PyList_GET_SIZE(chain) == 0 ||
             PyObject_RichCompareBool(PyList_GET_ITEM(chain, PyList_GET_SIZE(chain) - 1),
                                      s->func_id, Py_EQ) == 0) &&
            PyList_Append(chain, s->func_id) < 0) {
            Py_CLEAR(chain);
        }
        return chain;
    }
    chain = PyList_New(1);
    if (chain != NULL) {
        PyList_SET_ITEM(chain, 0, Py_NewRef(s->func_id));
    }
    return chain;
}

/* Values of scheduled and nested calls (spec 2.6); each legacy name is a twin. */
static int set_vars(PyObject *d, PyObject *vars)
{
    const struct {
        const char *name;
        PyObject *key, *twin;
    } rows[] = {
        {"rootTaskId", N.root_task_id, NULL},
        {"eta", N.eta, NULL},
        {"delay", N.delay, NULL},
        {"cronExpr", N.cron_expr, N.crontab},
        {"cronJobDelay", N.cron_job_delay, N.crontab_delay},
        {"cronJobExecMode", N.cron_job_exec_mode, N.crontab_exec_mode},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        PyObject *v = var(vars, rows[i].name, NULL);
        if (v == NULL || (v == Py_None && rows[i].key != N.eta)) {
            continue;
        }
        if (PyDict_SetItem(d, rows[i].key, v) < 0 ||
            (rows[i].twin && PyDict_SetItem(d, rows[i].twin, v) < 0)) {
            return -1;
        }
    }
    return 0;
}

/* The vars of the last call: those of an API are the same text in every call. */
static struct {
    char text[256];
    size_t n;
    PyObject *dict; /* nobody changes it; NULL: none */
    bool plain;     /* nothing in it differs from what the template has */
} known_vars;

static int has_only_defaults(PyObject *vars)
{
    Py_ssize_t pos = 0;
    PyObject *k, *v;
    while (PyDict_Next(vars, &pos, &k, &v)) {
        bool zero = PyLong_CheckExact(v) && PyLong_AsLong(v) == 0;
        if (PyUnicode_CompareWithASCIIString(k, "taskRecordLimit") != 0 &&
            !(zero && PyUnicode_CompareWithASCIIString(k, "delay") == 0)) {
            PyErr_Clear();
            return 0;
        }
    }
    PyErr_Clear();
    return 1;
}

/* The vars as a dict (a new reference, only to be read); *ret_plain: the template says the same. */
static PyObject *vars_of(tn_str text, bool *ret_plain)
{
    if (known_vars.dict == NULL || known_vars.n != text.n ||
        memcmp(known_vars.text, text.s, text.n) != 0) {
        PyObject *vars = value_in_dict(text, "vars");
        *ret_plain = vars != NULL && has_only_defaults(vars);
        if (vars == NULL || text.n > sizeof(known_vars.text)) {
            return vars;
        }
        Py_XSETREF(known_vars.dict, vars);
        memcpy(known_vars.text, text.s, text.n);
        known_vars.n = text.n;
        known_vars.plain = *ret_plain;
    }
    *ret_plain = known_vars.plain;
    return Py_NewRef(known_vars.dict);
}

/* A copy of the entry script's template with the values of this call; `keep_too`: or what the last call has left. */
static PyObject *task_values(struct task *t, bool keep_too)
{
    const struct lang_call *c = t->call;
    struct script *s = t->entry;
    PyObject *vars = NULL, *d = NULL;
    bool plain = true;
    if (s->globals == NULL && (s->globals = template_new(s)) == NULL) {
        return NULL;
    }
    if (keep_func(s, c->func) < 0 || keep(s, &s->origin, N.origin, c->origin) < 0 ||
        keep(s, &s->origin_id, N.origin_id, c->origin_id) < 0 || keep_numbers(s, t) < 0 ||
        (c->vars.n && (vars = vars_of(c->vars, &plain)) == NULL)) {
        return NULL;
    }
    t->plain = plain;
    d = keep_too && plain && !t->debug ? keep_take(t) : NULL;
    d = d ? d : PyDict_Copy(s->globals);
    if (d == NULL || set_take(d, N.task_id, str_py(c->task_id)) < 0 ||
        set_take(d, N.func_chain, call_chain(s, plain ? NULL : vars)) < 0 ||
        PyDict_SetItem(d, N.http_request, t->http) < 0 ||
        (t->debug && PyDict_SetItem(d, N.debug, Py_True) < 0) ||
        (!plain && set_vars(d, vars) < 0)) {
        Py_CLEAR(d);
    }
    Py_XDECREF(vars);
    return d;
}

PyObject *globals_entry(struct task *t)
{
    PyObject *d = task_values(t, true);
    if (d != NULL && set_take(d, N.dff, dff_new(t->entry->id)) < 0) {
        Py_CLEAR(d);
    }
    return d;
}

PyObject *globals_import(struct task *t, PyObject *id)
{
    /* From the call again, not from the entry's globals: the script may have changed those. */
    if (t->base == NULL && (t->base = task_values(t, false)) == NULL) {
        return NULL;
    }
    PyObject *d = PyDict_Copy(t->base);
    if (d != NULL && (PyDict_SetItem(d, N.name, id) < 0 || PyDict_SetItem(d, N.file, id) < 0 ||
                      set_take(d, N.dff, dff_new(id)) < 0)) {
        Py_CLEAR(d);
    }
    return d;
}

Py_ssize_t globals_given(void)
{
    return template_size;
}

int globals_refresh(PyObject *dict, PyObject *from)
{
    PyObject *const keys[] = {
        N.func_name,    N.func_id,         N.origin,     N.origin_id,     N.queue,
        N.trigger_time, N.trigger_time_ms, N.start_time, N.start_time_ms,
    };
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (PyDict_SetItem(dict, keys[i], PyDict_GetItem(from, keys[i])) < 0) {
            return -1;
        }
    }
    return 0;
}

int globals_forget(PyObject *dict)
{
    return PyDict_SetItem(dict, N.http_request, Py_None) < 0 ||
                   PyDict_SetItem(dict, N.dff, Py_None) < 0
               ? -1
               : 0;
}

void globals_drop(PyObject *dict)
{
    Py_ssize_t pos = template_size, held = 1;
    PyObject *k, *v;
    /* Functions of the module refer to its dict. When each of them is held by the dict alone and
     * nobody else holds the dict, the two only keep each other alive: emptying the dict frees all
     * at once and the collector never sees it. Anything else (threads, callbacks, classes) is left
     * to the collector: somebody may still need these names. What the template brought is no function
     * and stands first; should that ever be wrong, the count is too low and nothing is emptied. */
    while (PyDict_Next(dict, &pos, &k, &v)) {
        if (PyFunction_Check(v) && PyFunction_GET_GLOBALS(v) == dict && Py_REFCNT(v) == 1) {
            held++;
        }
    }
    if (Py_REFCNT(dict) == held) {
        PyDict_Clear(dict);
    }
    Py_DECREF(dict);
}
