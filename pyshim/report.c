/* SPDX-License-Identifier: Apache-2.0 */
/* From the exception that is set to the report of the call (spec 3.7). */
#include "pyshim/shim.h"

static PyObject *fetch(void)
{
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    if (value != NULL && trace != NULL) {
        PyException_SetTraceback(value, trace);
    }
    Py_XDECREF(type);
    Py_XDECREF(trace);
    return value;
}

/* When the report cannot be made (out of memory, endless recursion in a __str__). */
static PyObject *minimal(PyObject *exc)
{
    const char *name = exc ? Py_TYPE(exc)->tp_name : "SystemError";
    bool timeout = exc && (PyObject *)Py_TYPE(exc) == shim.timeout_type;
    PyErr_Clear();
    return Py_BuildValue("{s:s,s:s,s:s,s:s}", "status", timeout ? "timeout" : "failure",
                         "exception", name, "exceptionType", name, "traceback", "");
}

PyObject *report_dict(bool debug)
{
    PyObject *exc = fetch(), *ret = NULL;
    struct task *t = shim.task;
    timeout_end(); /* what happened is known: the deadline must not interrupt the report */
    if (exc != NULL) {
        ret = PyObject_CallMethod(shim.m_report, "report", "OOO", exc, debug ? Py_True : Py_False,
                                  t && t->secrets ? t->secrets : Py_None);
        if (ret != NULL && !PyDict_Check(ret)) {
            Py_CLEAR(ret);
        }
    }
    if (ret == NULL) {
        ret = minimal(exc);
    }
    Py_XDECREF(exc);
    return ret;
}

static uint32_t status_of(PyObject *text)
{
    static const struct {
        const char *text;
        uint32_t status;
    } rows[] = {{"timeout", TN_CALL_TIMEOUT}, {"skip", TN_CALL_SKIPPED}};
    for (size_t i = 0; text && i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (PyUnicode_CompareWithASCIIString(text, rows[i].text) == 0) {
            return rows[i].status;
        }
    }
    return TN_CALL_FAILURE;
}

void report_failure(struct task *t)
{
    PyObject *d = report_dict(false);
    struct lang_reply *reply = t->reply;
    reply->status = TN_CALL_FAILURE;
    reply->value_kind = TN_VALUE_NONE;
    buf_clear(&reply->value);
    buf_clear(&reply->control);
    buf_clear(&reply->error);
    if (d != NULL) {
        reply->status = status_of(PyDict_GetItemString(d, "status"));
        if (PyDict_DelItemString(d, "status") < 0 || value_out(&reply->error, d) < 0) {
            PyErr_Clear();
            buf_clear(&reply->error);
        }
        Py_DECREF(d);
    }
    if (reply->error.len == 0) {
        PyErr_Clear();
        buf_adds(&reply->error, "{\"exception\":\"MemoryError\",\"exceptionType\":\"MemoryError\","
                                "\"traceback\":\"\"}");
    }
}
