/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments of connector methods: Python objects as tagged values. */
#include "pyshim/conn.h"

#include <datetime.h>
#include <string.h>

#define DEPTH_MAX 16
#define ITEMS_MAX (1u << 24)

static PyObject *decimal_type, *uuid_type, *enum_type;

int conn_in_init(void)
{
    PyDateTime_IMPORT;
    PyObject *uuid = PyImport_ImportModule("uuid"), *enums = PyImport_ImportModule("enum");
    decimal_type = Py_XNewRef(shim.decimal_type);
    uuid_type = uuid ? PyObject_GetAttrString(uuid, "UUID") : NULL;
    enum_type = enums ? PyObject_GetAttrString(enums, "Enum") : NULL;
    Py_XDECREF(uuid);
    Py_XDECREF(enums);
    return PyDateTimeAPI && uuid_type && enum_type ? 0 : -1;
}

void conn_in_finish(struct conn_in *in)
{
    arena_finish(&in->a);
    Py_CLEAR(in->keep);
}

static int no_memory(void)
{
    PyErr_NoMemory();
    return -1;
}

static int hold(struct conn_in *in, PyObject *v)
{
    if (in->keep == NULL && (in->keep = PyList_New(0)) == NULL) {
        return -1;
    }
    return PyList_Append(in->keep, v);
}

static int too_long(void)
{
    PyErr_SetString(PyExc_ValueError, "a value for a connector is longer than 4 GiB");
    return -1;
}

/* Text of v, which somebody else keeps alive. */
static int put_text(PyObject *v, uint8_t type, tn_val *ret)
{
    Py_ssize_t n;
    const char *p = PyUnicode_AsUTF8AndSize(v, &n);
    if (p == NULL) {
        return -1;
    }
    if ((uint64_t)n > UINT32_MAX) {
        return too_long();
    }
    *ret = (tn_val){.type = type, .n = (uint32_t)n, .u.s = p};
    return 0;
}

/* str(v), as an own object. */
static int put_str_of(struct conn_in *in, PyObject *v, uint8_t type, tn_val *ret)
{
    PyObject *text = PyObject_Str(v);
    int rc = text != NULL && hold(in, text) == 0 ? put_text(text, type, ret) : -1;
    Py_XDECREF(text);
    return rc;
}

static int put_int(struct conn_in *in, PyObject *v, tn_val *ret)
{
    int overflow;
    long long i = PyLong_AsLongLongAndOverflow(v, &overflow);
    if (overflow != 0) {
        return put_str_of(in, v, TN_T_DECIMAL, ret); /* exact, whatever its size */
    }
    *ret = (tn_val){.type = TN_T_INT, .u.i = i};
    return i == -1 && PyErr_Occurred() ? -1 : 0;
}

static int put_bytes(struct conn_in *in, PyObject *v, tn_val *ret)
{
    Py_buffer b;
    if (PyBytes_Check(v)) {
        if ((uint64_t)PyBytes_GET_SIZE(v) > UINT32_MAX) {
            return too_long();
        }
        *ret = (tn_val){.type = TN_T_BYTES,
                        .n = (uint32_t)PyBytes_GET_SIZE(v),
                        .u.b = (const uint8_t *)PyBytes_AS_STRING(v)};
        return 0;
    }
    if (PyObject_GetBuffer(v, &b, PyBUF_SIMPLE) < 0) {
        return -1;
    }
    uint8_t *copy = (uint64_t)b.len > UINT32_MAX ? NULL : arena_alloc(&in->a, (size_t)b.len + 1);
    if (copy != NULL) {
        memcpy(copy, b.buf, (size_t)b.len);
        *ret = (tn_val){.type = TN_T_BYTES, .n = (uint32_t)b.len, .u.b = copy};
    }
    PyBuffer_Release(&b);
    return copy != NULL ? 0 : no_memory();
}

/* Days since 1970-01-01 of a proleptic Gregorian date. */
static int64_t days_of(int y, int m, int d)
{
    int64_t yy = y - (m <= 2), era = yy / 400, yoe = yy - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

/* -1 with an exception set: a 64-bit number of microseconds is 292,000 years. */
static int span_us(PyObject *delta, int64_t *ret)
{
    const int64_t days = PyDateTime_DELTA_GET_DAYS(delta), most = INT64_MAX / 86400000000 - 1;
    if (days > most || days < -most) {
        PyErr_Format(PyExc_OverflowError,
                     "a timedelta of %lld days is longer than a value for a "
                     "connector can be (%lld days)",
                     (long long)days, (long long)most);
        return -1;
    }
    *ret = (days * 86400 + PyDateTime_DELTA_GET_SECONDS(delta)) * 1000000 +
           PyDateTime_DELTA_GET_MICROSECONDS(delta);
    return 0;
}

/* The offset of v, a datetime or time, in microseconds; *ret_naive: it has no zone. */
static int offset_us(PyObject *v, bool *ret_naive, int64_t *ret)
{
    PyObject *offset = PyObject_CallMethod(v, "utcoffset", NULL);
    int rc = offset == NULL ? -1 : 0;
    *ret = 0;
    *ret_naive = offset == Py_None;
    if (rc == 0 && offset != Py_None) {
        rc = span_us(offset, ret);
    }
    Py_XDECREF(offset);
    return rc;
}

static int put_datetime(PyObject *v, tn_val *ret)
{
    int64_t us = days_of(PyDateTime_GET_YEAR(v), PyDateTime_GET_MONTH(v), PyDateTime_GET_DAY(v));
    us = ((us * 24 + PyDateTime_DATE_GET_HOUR(v)) * 60 + PyDateTime_DATE_GET_MINUTE(v)) * 60;
    us = (us + PyDateTime_DATE_GET_SECOND(v)) * 1000000 + PyDateTime_DATE_GET_MICROSECOND(v);
    int64_t offset;
    bool naive;
    if (offset_us(v, &naive, &offset) < 0) {
        return -1;
    }
    *ret = (tn_val){.type = TN_T_TIME, .flags = naive ? TN_V_NAIVE : 0, .u.i = us - offset};
    return 0;
}

static int put_moment(PyObject *v, tn_val *ret)
{
    if (PyDateTime_Check(v)) {
        return put_datetime(v, ret);
    }
    if (PyDate_Check(v)) {
        *ret = (tn_val){
            .type = TN_T_DATE,
            .u.i = days_of(PyDateTime_GET_YEAR(v), PyDateTime_GET_MONTH(v), PyDateTime_GET_DAY(v))};
    } else if (PyDelta_Check(v)) {
        *ret = (tn_val){.type = TN_T_SPAN};
        return span_us(v, &ret->u.i);
    } else {
        int64_t offset;
        bool naive;
        if (offset_us(v, &naive, &offset) < 0) {
            return -1;
        }
        int64_t s = (PyDateTime_TIME_GET_HOUR(v) * 60 + PyDateTime_TIME_GET_MINUTE(v)) * 60 +
                    PyDateTime_TIME_GET_SECOND(v);
        *ret = (tn_val){.type = TN_T_CLOCK,
                        .flags = naive ? 0 : TN_V_ZONE,
                        .n = (uint32_t)(int32_t)(offset / 1000000),
                        .u.i = s * 1000000 + PyDateTime_TIME_GET_MICROSECOND(v)};
    }
    return 0;
}

static int put_list(struct conn_in *in, PyObject *v, tn_val *ret)
{
    PyObject *seq = PySequence_Tuple(v); /* a snapshot that owns its items */
    if (seq == NULL || hold(in, seq) < 0) {
        Py_XDECREF(seq);
        return -1;
    }
    Py_DECREF(seq); /* kept by the list */
    Py_ssize_t n = PyTuple_GET_SIZE(seq);
    tn_val *items = n <= ITEMS_MAX ? arena_alloc(&in->a, ((size_t)n + 1) * sizeof *items) : NULL;
    if (items == NULL) {
        return no_memory();
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        if (conn_in_value(in, PyTuple_GET_ITEM(seq, i), &items[i]) < 0) {
            return -1;
        }
    }
    *ret = (tn_val){.type = TN_T_LIST,
                    .flags = PyAnySet_Check(v) ? TN_V_SET : 0,
                    .n = (uint32_t)n,
                    .u.list = items};
    return 0;
}

static int put_dict(struct conn_in *in, PyObject *v, tn_val *ret)
{
    PyObject *items = PyDict_Items(v), *k;
    if (items == NULL || hold(in, items) < 0) {
        Py_XDECREF(items);
        return -1;
    }
    Py_DECREF(items);
    Py_ssize_t n = PyList_GET_SIZE(items);
    tn_pair *pairs = n <= ITEMS_MAX ? arena_alloc(&in->a, ((size_t)n + 1) * sizeof *pairs) : NULL;
    if (pairs == NULL) {
        return no_memory();
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *pair = PyList_GET_ITEM(items, i);
        k = PyTuple_GET_ITEM(pair, 0);
        if ((PyUnicode_Check(k) ? put_text(k, TN_T_STR, &pairs[i].key)
                                : put_str_of(in, k, TN_T_STR, &pairs[i].key)) < 0 ||
            conn_in_value(in, PyTuple_GET_ITEM(pair, 1), &pairs[i].val) < 0) {
            return -1;
        }
    }
    *ret = (tn_val){.type = TN_T_MAP, .n = (uint32_t)n, .u.map = pairs};
    return 0;
}

static int put_nested(struct conn_in *in, PyObject *v, tn_val *ret)
{
    if (in->depth >= DEPTH_MAX) {
        PyErr_Format(PyExc_ValueError, "a value for a connector is nested deeper than %d levels",
                     DEPTH_MAX);
        return -1;
    }
    in->depth++;
    int rc = PyDict_Check(v) ? put_dict(in, v, ret) : put_list(in, v, ret);
    in->depth--;
    return rc;
}

/* What its type turns into an object of Python itself: v.item() or v.tolist(), as NumPy's have them. */
static int put_made(struct conn_in *in, PyObject *v, const char *method, tn_val *ret)
{
    PyObject *made = PyObject_CallMethod(v, method, NULL);
    int rc = made != NULL && hold(in, made) == 0 ? 0 : -1;
    Py_XDECREF(made);
    if (rc == 0 && in->depth < DEPTH_MAX) {
        in->depth++;
        rc = conn_in_value(in, made, ret);
        in->depth--;
        return rc;
    }
    return rc < 0 ? rc : put_nested(in, v, ret); /* too deep */
}

/* Objects whose str() only says what they are; stored as a text nobody would notice that something is wrong. */
static int says_nothing(PyObject *v)
{
    return PyIter_Check(v) || PyType_Check(v) || PyModule_Check(v) || PyFunction_Check(v) ||
           PyCFunction_Check(v) || PyMethod_Check(v) ||
           (Py_TYPE(v)->tp_str == PyBaseObject_Type.tp_str &&
            Py_TYPE(v)->tp_repr == PyBaseObject_Type.tp_repr);
}

/* Neither a value nor a list: its text, as in the original, when it has one of its own. */
static int put_other(struct conn_in *in, PyObject *v, tn_val *ret)
{
    if (PyRange_Check(v) || PyDictKeys_Check(v) || PyDictValues_Check(v)) {
        return put_nested(in, v, ret);
    }
    if (PyObject_HasAttrString(v, "__array__")) {
        PyObject *shape = PyObject_GetAttrString(v, "shape");
        int scalar = shape != NULL && PyTuple_Check(shape) && PyTuple_GET_SIZE(shape) == 0;
        Py_XDECREF(shape);
        PyErr_Clear();
        const char *method = scalar ? "item" : "tolist";
        if (PyObject_HasAttrString(v, method)) {
            return put_made(in, v, method, ret);
        }
    }
    if (says_nothing(v)) {
        PyErr_Format(PyExc_TypeError, "a value for a connector cannot be a %s%s",
                     Py_TYPE(v)->tp_name,
                     PyIter_Check(v)       ? "; make a list of it"
                     : PyCallable_Check(v) ? "; it was not called"
                                           : "");
        return -1;
    }
    return put_str_of(in, v, TN_T_STR, ret);
}

int conn_in_value(struct conn_in *in, PyObject *v, tn_val *ret)
{
    if (PyUnicode_Check(v)) {
        return put_text(v, TN_T_STR, ret);
    }
    if (v == Py_None) {
        *ret = (tn_val){.type = TN_T_NULL};
        return 0;
    }
    if (PyBool_Check(v)) {
        *ret = (tn_val){.type = TN_T_BOOL, .u.i = v == Py_True};
        return 0;
    }
    if (PyLong_Check(v)) {
        return put_int(in, v, ret);
    }
    if (PyFloat_Check(v)) {
        *ret = (tn_val){.type = TN_T_FLOAT, .u.f = PyFloat_AS_DOUBLE(v)};
        return 0;
    }
    if (PyList_Check(v) || PyTuple_Check(v) || PyAnySet_Check(v) || PyDict_Check(v)) {
        return put_nested(in, v, ret);
    }
    if (PyBytes_Check(v) || PyByteArray_Check(v) || PyMemoryView_Check(v)) {
        return put_bytes(in, v, ret);
    }
    if (PyDate_Check(v) || PyTime_Check(v) || PyDelta_Check(v)) {
        return put_moment(v, ret);
    }
    if (PyObject_IsInstance(v, decimal_type) == 1) {
        return put_str_of(in, v, TN_T_DECIMAL, ret);
    }
    if (PyObject_IsInstance(v, enum_type) == 1) {
        PyObject *inner = PyObject_GetAttrString(v, "value");
        int rc = inner != NULL && hold(in, inner) == 0 ? conn_in_value(in, inner, ret) : -1;
        Py_XDECREF(inner);
        return rc;
    }
    return PyErr_Occurred() ? -1 : put_other(in, v, ret);
}
