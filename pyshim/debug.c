/* SPDX-License-Identifier: Apache-2.0 */
/* Debugger runs and the publish check: the outcome is the value of the call (spec 2.10). */
#include "pyshim/shim.h"

#include "kernel/base/clock.h"
#include "kernel/base/fd.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "5" makes the kernel forget the high-water mark of the resident set. */
static void reset_peak(void)
{
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (write(fd, "5", 1) < 0) {
            /* The peak of the process is reported instead. */
        }
        close(fd);
    }
}

static uint64_t read_peak(void)
{
    char *text = NULL;
    size_t n;
    uint64_t kb = 0;
    if (fd_read_file("/proc/self/status", 65536, &text, &n) == 0) {
        const char *p = strstr(text, "VmHWM:");
        kb = p ? strtoull(p + 6, NULL, 10) : 0;
    }
    free(text);
    return kb * 1024;
}

/* What a call gave: text of the value and the response control. Both new references or NULL. */
static int look_at(PyObject *v, PyObject **ret_text, PyObject **ret_control)
{
    PyObject *data = Py_NewRef(v), *control = NULL;
    if ((PyObject *)Py_TYPE(v) == shim.resp_type) {
        Py_SETREF(data, PyObject_GetAttrString(v, "data"));
        control = PyObject_GetAttrString(v, "control");
        if (data == NULL || control == NULL) {
            Py_XDECREF(data);
            Py_XDECREF(control);
            return -1;
        }
    }
    PyObject *text = data == Py_None ? Py_NewRef(Py_None) : PyObject_Repr(data);
    Py_DECREF(data);
    if (text == NULL) {
        Py_XDECREF(control);
        return -1;
    }
    *ret_text = text;
    *ret_control = control ? control : PyDict_New();
    return 0;
}

static int set(PyObject *d, const char *key, PyObject *v)
{
    return PyDict_SetItemString(d, key, v ? v : Py_None);
}

/* The result, in the order of the original. */
static PyObject *result(struct task *t, PyObject *text, PyObject *control, PyObject *report)
{
    static const char *const parts[] = {"status", "exception", "exceptionType", "traceback"};
    PyObject *d = PyDict_New(), *ok = PyUnicode_FromString("success"), *cost = NULL, *mem = NULL;
    int rc = d && ok ? 0 : -1;
    t->reply->peak_bytes = read_peak();
    cost = PyFloat_FromDouble((double)((clock_mono_ns() - t->start_ns) / 1000) / 1e6);
    mem = PyLong_FromUnsignedLongLong(t->reply->peak_bytes);
    if (rc < 0 || !cost || !mem || set(d, "returnValue", text) < 0 ||
        set(d, "responseControl", control) < 0 || set(d, "apiFuncs", t->api_funcs) < 0 ||
        set(d, "printLogs", t->print_logs) < 0) {
        rc = -1;
    }
    for (size_t i = 0; rc == 0 && i < 4; i++) {
        PyObject *v = report ? PyDict_GetItemString(report, parts[i]) : NULL;
        rc = set(d, parts[i], v == NULL && i == 0 ? ok : v);
    }
    if (rc == 0) {
        rc = set(d, "cost", cost) < 0 || set(d, "peakMemroyUsage", mem) < 0 ? -1 : 0;
    }
    Py_XDECREF(mem);
    Py_XDECREF(cost);
    Py_XDECREF(ok);
    if (rc < 0) {
        Py_CLEAR(d);
    }
    return d;
}

void debug_run(struct task *t)
{
    PyObject *v = NULL, *text = NULL, *control = NULL, *report = NULL, *all = NULL;
    t->api_funcs = PyList_New(0);
    t->print_logs = PyList_New(0);
    reset_peak();
    if (t->api_funcs != NULL && t->print_logs != NULL) {
        t->entry = code_draft(t->call->script, t->call->code);
    }
    if (t->entry != NULL) {
        v = run_script(t);
    }
    if (v == NULL || look_at(v, &text, &control) < 0) {
        report = report_dict(true);
    }
    timeout_end();
    all = result(t, text, control, report);
    t->reply->status = TN_CALL_SUCCESS;
    t->reply->value_kind = TN_VALUE_JSON;
    if (all == NULL || value_out(&t->reply->value, all) < 0) {
        report_failure(t);
    }
    Py_XDECREF(all);
    Py_XDECREF(report);
    Py_XDECREF(control);
    Py_XDECREF(text);
    Py_XDECREF(v);
}
