/* SPDX-License-Identifier: Apache-2.0 */
/* Python objects to JSON by the table of spec 3.9: a fast form when everything in the value has one,
 * otherwise the whole value again in the tolerant form. */
#include "pyshim/value_write.h"

#include <datetime.h>
#include <math.h>

#define MAX_DEPTH 512 /* containers; beyond it is a cycle or an accident */

/* The containers that are open, for telling a cycle from depth. */
struct nest {
    const struct nest *up;
    PyObject *o;
};
static int put(struct writer *w, PyObject *v, const struct nest *up);

static int put_str(struct writer *w, PyObject *v)
{
    Py_ssize_t n;
    const char *p = PyUnicode_AsUTF8AndSize(v, &n); /* fails on lone surrogates */
    return p == NULL ? -1 : write_utf8(w, p, (size_t)n);
}

static int put_repr(struct writer *w, PyObject *v)
{
    PyObject *text = PyObject_Repr(v);
    if (text == NULL) {
        return -1;
    }
    int rc = put_str(w, text);
    Py_DECREF(text);
    return rc;
}

static int put_bytes(struct writer *w, PyObject *v)
{
    PyObject *text = PyUnicode_DecodeUTF8(PyBytes_AS_STRING(v), PyBytes_GET_SIZE(v), "strict");
    if (text == NULL) {
        return -1;
    }
    int rc = put_str(w, text);
    Py_DECREF(text);
    return rc;
}

static int put_long(struct writer *w, PyObject *v)
{
    int over;
    long long n = PyLong_AsLongLongAndOverflow(v, &over);
    if (over == 0) {
        if (n == -1 && PyErr_Occurred()) {
            return -1;
        }
        if (n >= 0 && n < 10) {
            return write_char(w, (char)('0' + n));
        }
        return buf_addi(w->out, n) < 0 ? write_no_memory(w->out) : 0;
    }
    PyObject *text = PyLong_Type.tp_repr(v); /* a subclass may print itself differently */
    if (text == NULL) {
        return -1;
    }
    int rc = write_add(w, (const char *)PyUnicode_1BYTE_DATA(text),
                       (size_t)PyUnicode_GET_LENGTH(text));
    Py_DECREF(text);
    return rc;
}

static int put_double(struct writer *w, double v)
{
    if (!isfinite(v)) {
        w->retry = !w->tolerant;
        return write_add(w, "null", 4);
    }
    if (w->plain) {
        char *text = PyOS_double_to_string(v, 'r', 0, Py_DTSF_ADD_DOT_0, NULL);
        int rc = text ? write_add(w, text, strlen(text)) : -1;
        PyMem_Free(text);
        return rc;
    }
    return number_out(w->out, v) < 0 ? write_no_memory(w->out) : 0;
}

/* The number as a float where that is exact, else all of its digits. */
static int put_decimal(struct writer *w, PyObject *v)
{
    PyObject *f = PyNumber_Float(v), *back = NULL, *text = NULL;
    int rc = -1;
    if (f == NULL) {
        if (PyErr_ExceptionMatches(PyExc_ValueError)) { /* signalling NaN */
            PyErr_Clear();
            return put_double(w, NAN);
        }
        return -1;
    }
    double d = PyFloat_AS_DOUBLE(f);
    if (!w->tolerant || !isfinite(d)) {
        PyObject *finite = isfinite(d) ? Py_NewRef(Py_False)
                                       : PyObject_CallMethod(v, "is_finite", NULL);
        int exact = finite == NULL ? -1 : PyObject_IsTrue(finite);
        Py_XDECREF(finite);
        if (exact <= 0) { /* exact: finite, but beyond a float */
            rc = exact < 0 ? -1 : put_double(w, d);
            goto undo_float;
        }
        if (!w->tolerant) {
            w->retry = true;
            rc = 0;
            goto undo_float;
        }
    } else {
        text = PyObject_Repr(f);
        back = text ? PyObject_CallOneArg(shim.decimal_type, text) : NULL;
        int same = back ? PyObject_RichCompareBool(back, v, Py_EQ) : -1;
        Py_CLEAR(text);
        if (same != 0) {
            rc = same < 0 ? -1 : put_double(w, d);
            goto undo_float;
        }
    }
    text = PyObject_Str(v);
    if (text != NULL) {
        Py_ssize_t n;
        const char *p = PyUnicode_AsUTF8AndSize(text, &n);
        rc = p ? write_add(w, p, (size_t)n) : -1;
        Py_DECREF(text);
    }
undo_float:
    Py_XDECREF(back);
    Py_DECREF(f);
    return rc;
}

static int put_datetime(struct writer *w, PyObject *v)
{
    PyObject *text = PyObject_CallMethod(v, "isoformat", NULL);
    PyObject *zone = text ? PyObject_CallMethod(v, "utcoffset", NULL) : NULL;
    PyObject *full = NULL;
    if (zone != NULL) {
        full = zone == Py_None ? PyUnicode_FromFormat("%U+00:00", text) : Py_NewRef(text);
    }
    int rc = full && PyUnicode_Check(full) ? put_str(w, full) : -1;
    if (rc < 0 && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_TypeError, "isoformat() did not return text");
    }
    Py_XDECREF(full);
    Py_XDECREF(zone);
    Py_XDECREF(text);
    return rc;
}

static int put_key(struct writer *w, PyObject *k)
{
    if (PyUnicode_Check(k)) {
        return put_str(w, k);
    }
    if (k == Py_None) {
        return write_add(w, "\"null\"", 6);
    }
    if (PyBool_Check(k)) {
        return k == Py_True ? write_add(w, "\"true\"", 6) : write_add(w, "\"false\"", 7);
    }
    if (PyBytes_Check(k)) {
        return put_bytes(w, k);
    }
    PyObject *text = PyLong_Check(k)    ? PyLong_Type.tp_repr(k)
                     : PyFloat_Check(k) ? PyFloat_Type.tp_repr(k)
                                        : PyObject_Str(k);
    if (text == NULL) {
        return -1;
    }
    int rc = put_str(w, text);
    Py_DECREF(text);
    return rc;
}

static int put_pair(struct writer *w, PyObject *k, PyObject *v, bool first, const struct nest *here)
{
    if ((!first && write_char(w, ',') < 0) || put_key(w, k) < 0 || write_char(w, ':') < 0) {
        return -1;
    }
    return put(w, v, here);
}

/* A dict with methods of its own (a lazy request, a ChainMap-like subclass) is asked for its items. */
static int put_items(struct writer *w, PyObject *v, const struct nest *here)
{
    PyObject *items = PyMapping_Items(v);
    int rc = items ? 0 : -1;
    for (Py_ssize_t i = 0; rc == 0 && !w->retry && i < PyList_GET_SIZE(items); i++) {
        PyObject *pair = PyList_GET_ITEM(items, i);
        if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
            PyErr_SetString(PyExc_TypeError, "items() must return pairs");
            rc = -1;
            break;
        }
        rc = put_pair(w, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1), i == 0, here);
    }
    Py_XDECREF(items);
    return rc;
}

static int put_dict(struct writer *w, PyObject *v, const struct nest *here)
{
    Py_ssize_t pos = 0, n = PyDict_GET_SIZE(v);
    PyObject *k, *item;
    int rc = 0;
    if (write_char(w, '{') < 0) {
        return -1;
    }
    if (!PyDict_CheckExact(v)) {
        rc = put_items(w, v, here);
        return rc < 0 ? -1 : write_char(w, '}');
    }
    for (bool first = true; rc == 0 && !w->retry && PyDict_Next(v, &pos, &k, &item);
         first = false) {
        Py_INCREF(k);
        Py_INCREF(item);
        rc = put_pair(w, k, item, first, here);
        Py_DECREF(k);
        Py_DECREF(item);
        if (rc == 0 && PyDict_GET_SIZE(v) != n) {
            PyErr_SetString(PyExc_RuntimeError, "dictionary changed size during serialisation");
            rc = -1;
        }
    }
    return rc < 0 ? -1 : write_char(w, '}');
}

static int put_list(struct writer *w, PyObject *v, const struct nest *here)
{
    int rc = write_char(w, '[');
    for (Py_ssize_t i = 0; rc == 0 && !w->retry && i < PySequence_Fast_GET_SIZE(v); i++) {
        PyObject *item = Py_NewRef(PySequence_Fast_GET_ITEM(v, i));
        rc = i != 0 ? write_char(w, ',') : 0;
        rc = rc < 0 ? rc : put(w, item, here);
        Py_DECREF(item);
    }
    return rc < 0 ? -1 : write_char(w, ']');
}

/* Calls v.name(); *ret stays NULL without an exception when there is no such method. */
static int call_hook(PyObject *v, const char *name, PyObject **ret)
{
    PyObject *m = PyObject_GetAttrString(v, name);
    *ret = NULL;
    if (m == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return -1;
        }
        PyErr_Clear();
        return 0;
    }
    if (PyCallable_Check(m)) {
        *ret = PyObject_CallNoArgs(m);
        Py_DECREF(m);
        return *ret ? 0 : -1;
    }
    Py_DECREF(m);
    return 0;
}

/* toDict() gives a value, __json__() gives JSON text; both belong to the fast form only. */
static int put_hooked(struct writer *w, PyObject *v, const struct nest *here)
{
    PyObject *sub;
    int rc;
    if (PyType_Check(v)) {
        w->retry = true;
        return 0;
    }
    if (call_hook(v, "toDict", &sub) < 0) {
        return -1;
    }
    if (sub == NULL) {
        if (call_hook(v, "__json__", &sub) < 0) {
            return -1;
        }
        if (sub == NULL) {
            w->retry = true;
            return 0;
        }
        Py_ssize_t n;
        PyObject *text = PyBytes_Check(sub) ? PyUnicode_FromEncodedObject(sub, "utf-8", "strict")
                                            : Py_NewRef(sub);
        const char *p = text && PyUnicode_Check(text) ? PyUnicode_AsUTF8AndSize(text, &n) : NULL;
        if (p == NULL && !PyErr_Occurred()) {
            PyErr_SetString(PyExc_TypeError, "__json__() must return JSON text");
        }
        Py_SETREF(sub, p ? value_in((tn_str){p, (size_t)n}) : NULL);
        Py_XDECREF(text);
        if (sub == NULL) {
            return -1;
        }
    }
    rc = put(w, sub, here);
    Py_DECREF(sub);
    return rc;
}

static int put_other(struct writer *w, PyObject *v, const struct nest *here)
{
    if (PyBytes_Check(v)) {
        return put_bytes(w, v);
    }
    if (PyObject_TypeCheck(v, (PyTypeObject *)shim.decimal_type)) {
        return put_decimal(w, v);
    }
    if (!w->tolerant) {
        return put_hooked(w, v, here);
    }
    return PyDateTime_Check(v) ? put_datetime(w, v) : put_repr(w, v);
}

static int too_deep(const struct nest *here)
{
    for (const struct nest *a = here; a != NULL; a = a->up) {
        for (const struct nest *b = a->up; b != NULL; b = b->up) {
            if (a->o == b->o) {
                PyErr_SetString(PyExc_ValueError, "Circular reference detected");
                return -1;
            }
        }
    }
    PyErr_Format(PyExc_ValueError, "the value is nested deeper than %d", MAX_DEPTH);
    return -1;
}

static int put_nested(struct writer *w, PyObject *v, const struct nest *up)
{
    struct nest here = {up, v};
    PyObject *sub = NULL;
    int rc;
    if (w->depth == MAX_DEPTH) {
        return too_deep(&here);
    }
    w->depth++;
    if (PyDict_Check(v)) {
        rc = put_dict(w, v, &here);
    } else if (PyList_Check(v)) {
        rc = put_list(w, v, &here);
    } else if (PyTuple_Check(v)) {
        rc = w->tolerant && !PyTuple_CheckExact(v) ? call_hook(v, "_asdict", &sub) : 0;
        if (rc == 0) {
            rc = sub && PyDict_Check(sub) ? put_dict(w, sub, &here) : put_list(w, v, &here);
        }
        Py_XDECREF(sub);
    } else {
        rc = put_other(w, v, &here);
    }
    w->depth--;
    return rc;
}

static int put(struct writer *w, PyObject *v, const struct nest *up)
{
    if (PyUnicode_Check(v)) {
        return put_str(w, v);
    }
    if (v == Py_None) {
        return write_add(w, "null", 4);
    }
    if (v == Py_True) {
        return write_add(w, "true", 4);
    }
    if (v == Py_False) {
        return write_add(w, "false", 5);
    }
    if (PyLong_Check(v)) {
        return put_long(w, v);
    }
    if (PyFloat_Check(v)) {
        return put_double(w, PyFloat_AS_DOUBLE(v));
    }
    return put_nested(w, v, up);
}

static int write_value(struct buf *out, PyObject *v, bool plain)
{
    struct writer w = {out, false, plain, false, 0};
    size_t from = out->len;
    if (PyDateTimeAPI == NULL) {
        PyDateTime_IMPORT;
        if (PyDateTimeAPI == NULL) {
            return -1;
        }
    }
    int rc = put(&w, v, NULL);
    if (rc == 0 && w.retry) {
        out->len = from;
        w = (struct writer){out, true, plain, false, 0};
        rc = put(&w, v, NULL);
    }
    if (rc < 0) {
        out->len = from;
    }
    return rc;
}

int value_out(struct buf *out, PyObject *v)
{
    return write_value(out, v, false);
}

int value_out_plain(struct buf *out, PyObject *v)
{
    return write_value(out, v, true);
}
