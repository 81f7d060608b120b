/* SPDX-License-Identifier: Apache-2.0 */
/* One call: globals, execution of the script, the function, the answer, cleaning up. */
#include "pyshim/shim.h"

#include "kernel/base/clock.h"
#include <sys/resource.h>

/* The function of the script by its name; borrowed. */
static PyObject *find_func(struct task *t)
{
    PyObject *f = PyDict_GetItemWithError(t->globals, t->entry->func_name);
    if (f == NULL || !PyCallable_Check(f)) {
        if (!PyErr_Occurred()) {
            PyObject *e = PyObject_GetAttrString(shim.m_task, "EntityNotFound");
            if (e != NULL) {
                PyErr_Format(e,
                             f ? "`%U` in script `%U` is not a function"
                               : "Function `%U` not found in script `%U`",
                             t->entry->func_name, t->entry->id);
                Py_DECREF(e);
            }
        }
        return NULL;
    }
    return f;
}

static PyObject *call_func(struct task *t)
{
    PyObject *kwargs = value_in_dict(t->call->args, "kwargs"), *v = NULL;
    PyObject *f = kwargs ? find_func(t) : NULL;
    if (f != NULL) {
        Py_INCREF(f);
        v = PyObject_VectorcallDict(f, NULL, 0, kwargs);
        Py_DECREF(f);
    }
    Py_XDECREF(kwargs);
    return v;
}

PyObject *run_script(struct task *t)
{
    PyObject *code, *done, *v = NULL;
    t->globals = globals_entry(t);
    if (t->globals == NULL || importer_enter(t) < 0 ||
        (t->entry->uses_request && httpreq_fill(t->http) < 0)) {
        return NULL;
    }
    if (t->kept) {
        done = Py_NewRef(Py_None);
    } else {
        code = Py_NewRef(t->entry->code);
        done = PyEval_EvalCode(code, t->globals, t->globals);
        Py_DECREF(code);
    }
    if (done != NULL) {
        Py_DECREF(done);
        t->modules->owner = 0;
        keep_begin(t);
        v = t->call->flags & TN_CALL_NO_FUNC ? Py_NewRef(Py_None) : call_func(t);
    }
    if (t->state != NULL) {
        /* Threads of DFF.THREAD are joined here, still under the time limit. */
        PyObject *type, *value, *trace, *end;
        PyErr_Fetch(&type, &value, &trace);
        end = PyObject_CallMethod(shim.m_task, "finish", "OO", t->state, v ? Py_True : Py_False);
        if (v == NULL) {
            PyErr_Restore(type, value, trace);
        } else if (end == NULL) {
            Py_CLEAR(v);
        }
        Py_XDECREF(end);
    }
    if (v != NULL && PyExceptionInstance_Check(v)) {
        PyException_SetTraceback(v, Py_None);
        PyErr_SetObject((PyObject *)Py_TYPE(v), v);
        Py_CLEAR(v);
    }
    return v;
}

/* The serialisation failed: the text of the original, with the reason. */
static void not_serialisable(void)
{
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyObject *limit = PyObject_GetAttrString(shim.m_task, "OutputLimit");
    bool passes = limit == NULL || !PyErr_GivenExceptionMatches(type, PyExc_Exception) ||
                  PyErr_GivenExceptionMatches(type, limit);
    Py_XDECREF(limit);
    if (passes) {
        PyErr_Restore(type, value, trace);
        return;
    }
    PyErr_NormalizeException(&type, &value, &trace);
    PyErr_Format(PyExc_Exception, "Func Response cannot been serialized: %S", value);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
}

static int answer(struct task *t, PyObject *v)
{
    PyObject *data = NULL, *control = NULL;
    int rc = -1;
    if ((PyObject *)Py_TYPE(v) != shim.resp_type) {
        rc = value_reply(t->reply, v);
    } else {
        data = PyObject_GetAttrString(v, "data");
        control = data ? PyObject_GetAttrString(v, "control") : NULL;
        if (control != NULL) {
            rc = value_reply(t->reply, data);
        }
        if (rc == 0 && PyDict_Check(control) && PyDict_GET_SIZE(control) != 0) {
            rc = value_out(&t->reply->control, control);
        }
    }
    Py_XDECREF(control);
    Py_XDECREF(data);
    if (rc < 0) {
        not_serialisable();
    }
    return rc;
}

static void run_published(struct task *t)
{
    bool missing = false;
    PyObject *v = NULL;
    t->entry = code_get(t->call->script, &missing);
    if (missing) {
        PyObject *id = str_py(t->call->script),
                 *e = PyObject_GetAttrString(shim.m_task, "EntityNotFound");
        if (id != NULL && e != NULL) {
            PyErr_Format(e, "Script not found: `%U`", id);
        }
        Py_XDECREF(e);
        Py_XDECREF(id);
    }
    if (t->entry != NULL) {
        v = run_script(t);
    }
    if (v != NULL && answer(t, v) == 0) {
        t->reply->status = TN_CALL_SUCCESS;
    } else {
        report_failure(t);
    }
    Py_XDECREF(v);
}

#define PEAK_EVERY 512 /* short calls: so that slow growth is seen */

/* ru_maxrss only grows; asking costs a system call, so most short calls do not. */
static uint64_t peak(uint64_t cost_ns)
{
    static uint64_t last;
    if (last == 0 || shim.serial % PEAK_EVERY == 0 || cost_ns > NS_PER_MS) {
        struct rusage ru;
        if (getrusage(RUSAGE_SELF, &ru) == 0) {
            last = (uint64_t)ru.ru_maxrss * 1024;
        }
    }
    return last;
}

static void clean(struct task *t)
{
    Py_CLEAR(t->state);
    Py_CLEAR(t->api_funcs);
    Py_CLEAR(t->print_logs);
    if (t->globals != NULL) {
        Py_DECREF(t->globals); /* the list of modules has another reference */
    }
    Py_CLEAR(t->base);
    importer_leave(t);
    Py_CLEAR(t->secrets);
    if (t->http != NULL) {
        httpreq_end(t->http);
        t->http = NULL;
    }
    conn_end(); /* after the objects of the script: they may hold transactions */
    if (t->debug) {
        code_free(t->entry);
    }
}

void shim_idle(void)
{
    if (shim.main_thread == NULL) {
        shim.main_thread = PyEval_SaveThread();
    }
}

/* Are there no threads but this one? Also those of C code count once they have asked for the lock, and the ones that ask
 * for it later get it when the next call runs, or when there is none. */
static bool is_alone(void)
{
    return PyThreadState_Next(PyInterpreterState_ThreadHead(PyInterpreterState_Get())) == NULL;
}

void shim_run(const struct lang_call *call, struct lang_reply *reply)
{
    /* Static: a thread that outlives its call must find memory, if not its call, behind the pointer. */
    static struct task t;
    if (shim.main_thread != NULL) {
        PyEval_RestoreThread(shim.main_thread);
        shim.main_thread = NULL;
    }
    t = (struct task){.call = call, .reply = reply, .debug = (call->flags & TN_CALL_DEBUG) != 0};
    shim.serial++;
    t.start_us = call->start_us;
    t.start_ns = t.last_print_ns = call->start_ns;
    shim.task = &t;
    builtins_check();
    timeout_begin();
    t.http = httpreq_new(call);
    if (t.http == NULL) {
        report_failure(&t);
    } else if (t.debug) {
        debug_run(&t);
    } else {
        run_published(&t);
    }
    timeout_end();
    reply->retire = t.retire;
    clean(&t);
    shim.task = NULL;
    reply->end_ns = clock_mono_ns();
    if (!t.debug) {
        reply->peak_bytes = peak(reply->end_ns - t.start_ns);
    }
    PyErr_Clear();
#if PY_VERSION_HEX >= 0x030A0000
    PyGC_Enable(); /* a script may have left it off */
#endif
    if (!is_alone()) {
        shim_idle(); /* threads that scripts left behind may run */
    }
}
