/* SPDX-License-Identifier: Apache-2.0 */
/* print() of scripts: each line gets its stamps and goes to the log of the call (spec 3.6). */
#include "pyshim/shim.h"

#include "kernel/base/clock.h"
#include <string.h>

#define DEBUG_LOG_MAX (4u << 20) /* bytes kept for the debugger's answer */
#define LINE_MAX_     (1u << 20) /* bytes of one line */

/* "MM-DD HH:MM:SS" in the platform's zone; computed once per second. */
static const char *stamp(int64_t sec)
{
    static int64_t last = -1;
    static char text[16];
    if (sec == last) {
        return text;
    }
    PyObject *v = PyObject_CallMethod(shim.m_task, "stamp", "L", (long long)sec);
    const char *p = v && PyUnicode_Check(v) ? PyUnicode_AsUTF8(v) : NULL;
    if (p == NULL) {
        PyErr_Clear();
        p = "00-00 00:00:00";
    }
    snprintf(text, sizeof(text), "%.14s", p);
    last = sec;
    Py_XDECREF(v);
    return text;
}

/* Passwords the task has read become *****; returns a new reference. */
static PyObject *masked(struct task *t, PyObject *line)
{
    Py_INCREF(line);
    for (Py_ssize_t i = 0; t->secrets && i < PyList_GET_SIZE(t->secrets); i++) {
        PyObject *stars = PyUnicode_FromString("*****");
        PyObject *next = stars ? PyUnicode_Replace(line, PyList_GET_ITEM(t->secrets, i), stars, -1)
                               : NULL;
        Py_XDECREF(stars);
        if (next == NULL) {
            Py_DECREF(line);
            return NULL;
        }
        Py_SETREF(line, next);
    }
    return line;
}

static void keep_line(struct task *t, const struct buf *line)
{
    if (t->print_logs == NULL || t->print_bytes > DEBUG_LOG_MAX) {
        return;
    }
    t->print_bytes += line->len;
    PyObject *v = t->print_bytes > DEBUG_LOG_MAX
                      ? PyUnicode_FromString("(more lines are not shown)")
                      : str_py(buf_str(line));
    if (v == NULL || PyList_Append(t->print_logs, v) < 0) {
        PyErr_Clear();
    }
    Py_XDECREF(v);
}

static int print_text(PyObject *text)
{
    struct task *t = shim.task;
    struct buf line = BUF_INIT(LINE_MAX_ + 64);
    if (t == NULL) {
        return 0; /* a thread that outlived its call */
    }
    PyObject *clean = masked(t, text);
    PyObject *bytes = clean ? PyUnicode_AsEncodedString(clean, "utf-8", "replace") : NULL;
    Py_XDECREF(clean);
    if (bytes == NULL) {
        return -1;
    }
    uint64_t now = clock_mono_ns();
    size_t n = (size_t)PyBytes_GET_SIZE(bytes);
    buf_printf(&line, "[%s] [+%llums] [%llums] ", stamp(clock_wall_us() / 1000000),
               (unsigned long long)((now - t->last_print_ns) / NS_PER_MS),
               (unsigned long long)((now - t->start_ns) / NS_PER_MS));
    t->last_print_ns = now;
    if (n > LINE_MAX_) {
        n = LINE_MAX_;
        while (n > 0 && ((unsigned char)PyBytes_AS_STRING(bytes)[n] & 0xC0) == 0x80) {
            n--;
        }
    }
    buf_add(&line, PyBytes_AS_STRING(bytes), n);
    Py_DECREF(bytes);
    if (line.failed) {
        buf_finish(&line);
        PyErr_NoMemory();
        return -1;
    }
    keep_line(t, &line);
    tn_str out = buf_str(&line);
    Py_BEGIN_ALLOW_THREADS shim.env.print(shim.env.ctx, out);
    Py_END_ALLOW_THREADS buf_finish(&line);
    return 0;
}

int print_line(const char *text, Py_ssize_t n)
{
    PyObject *v = PyUnicode_DecodeUTF8(text, n, "replace");
    int rc = v ? print_text(v) : -1;
    Py_XDECREF(v);
    return rc;
}

/* str(v); one that fails prints nothing (as in the original), but a time limit passes through. */
static PyObject *text_of(PyObject *v)
{
    PyObject *s = PyObject_Str(v);
    if (s == NULL && PyErr_ExceptionMatches(PyExc_Exception)) {
        PyErr_Clear();
        return Py_NewRef(shim.n.empty);
    }
    return s;
}

static PyObject *join(PyObject *const *args, Py_ssize_t n, PyObject *sep)
{
    if (n == 1) {
        return text_of(args[0]);
    }
    PyObject *list = PyList_New(0), *ret = NULL, *s = NULL;
    for (Py_ssize_t i = 0; list && i < n; i++) {
        s = text_of(args[i]);
        if (s == NULL || PyList_Append(list, s) < 0) {
            goto undo_list;
        }
        Py_CLEAR(s);
    }
    if (list != NULL) {
        PyObject *blank = sep ? Py_NewRef(sep) : PyUnicode_FromString(" ");
        ret = blank ? PyUnicode_Join(blank, list) : NULL;
        Py_XDECREF(blank);
    }
undo_list:
    Py_XDECREF(s);
    Py_XDECREF(list);
    return ret;
}

static PyObject *py_print(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                          PyObject *kwnames)
{
    PyObject *sep = NULL, *text;
    (void)self;
    for (Py_ssize_t i = 0; kwnames && i < PyTuple_GET_SIZE(kwnames); i++) {
        PyObject *k = PyTuple_GET_ITEM(kwnames, i), *v = args[nargs + i];
        if (PyUnicode_CompareWithASCIIString(k, "sep") == 0 && v != Py_None) {
            if (!PyUnicode_Check(v)) {
                return PyErr_Format(PyExc_TypeError, "sep must be None or a string, not %s",
                                    Py_TYPE(v)->tp_name);
            }
            sep = v;
        }
    }
    text = join(args, nargs, sep);
    if (text == NULL) {
        return NULL;
    }
    int rc = print_text(text);
    Py_DECREF(text);
    if (rc < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *py_print_var(PyObject *self, PyObject *args, PyObject *kw)
{
    (void)self;
    PyObject *f = PyObject_GetAttrString(shim.m_task, "print_var");
    PyObject *ret = f ? PyObject_Call(f, args, kw) : NULL;
    Py_XDECREF(f);
    return ret;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-function-type"
static PyMethodDef print_methods[] = {
    {"print", (PyCFunction)py_print, METH_FASTCALL | METH_KEYWORDS,
     "print(*values, sep=' ')\n\nWrites one line to the log of the call."},
    {"print_var", (PyCFunction)py_print_var, METH_VARARGS | METH_KEYWORDS,
     "print_var(*values, **named)\n\nWrites type, value and size of each."},
    {NULL, NULL, 0, NULL},
};
#pragma GCC diagnostic pop

int print_init(PyObject *builtins)
{
    for (PyMethodDef *m = print_methods; m->ml_name; m++) {
        PyObject *f = PyCFunction_New(m, NULL);
        int rc = f ? PyDict_SetItemString(builtins, m->ml_name, f) : -1;
        Py_XDECREF(f);
        if (rc < 0) {
            return -1;
        }
    }
    return 0;
}
