/* SPDX-License-Identifier: Apache-2.0 */
/* Results of connectors as Python objects: rows become dicts without a tree in between. */
#include "pyshim/conn.h"

#include <datetime.h>
#include <string.h>

static PyObject *json_loads, *uuid_type, *address_of;

static PyObject *member(const char *module, const char *name)
{
    PyObject *m = PyImport_ImportModule(module), *v = m ? PyObject_GetAttrString(m, name) : NULL;
    Py_XDECREF(m);
    return v;
}

int conn_out_init(void)
{
    PyDateTime_IMPORT;
    json_loads = member("json", "loads");
    return PyDateTimeAPI && json_loads ? 0 : -1;
}

/* UUIDs and addresses; their modules are loaded by the first one. */
static PyObject *make_object(const tn_val *v)
{
    PyObject **type = v->flags & TN_V_UUID ? &uuid_type : &address_of;
    if (*type == NULL) {
        *type = v->flags & TN_V_UUID ? member("uuid", "UUID") : member("ipaddress", "ip_address");
    }
    return *type ? PyObject_CallFunction(*type, "s#", v->u.s, (Py_ssize_t)v->n) : NULL;
}

/* ---- values ------------------------------------------------------------------------------------------ */

static void civil(int64_t days, int *y, int *m, int *d)
{
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    *d = (int)(doy - (153 * mp + 2) / 5 + 1);
    *m = (int)(mp < 10 ? mp + 3 : mp - 9);
    *y = (int)(yoe + era * 400 + (*m <= 2));
}

/* The zone of v, borrowed: UTC, none, or the one that its server told. A column has nearly always one and the same. */
static PyObject *zone_of(const tn_val *v)
{
    static PyObject *last;
    static int32_t offset;
    int32_t mine = v->flags & TN_V_ZONE ? (int32_t)v->n : 0;
    if (v->flags & TN_V_NAIVE || mine == 0) {
        return v->flags & TN_V_NAIVE ? Py_None : PyDateTime_TimeZone_UTC;
    }
    if (last == NULL || offset != mine) {
        PyObject *delta = PyDelta_FromDSU(0, mine, 0);
        PyObject *zone = delta ? PyTimeZone_FromOffset(delta) : NULL;
        Py_XDECREF(delta);
        if (zone == NULL) {
            return NULL;
        }
        Py_XSETREF(last, zone);
        offset = mine;
    }
    return last;
}

static PyObject *make_time(const tn_val *v)
{
    const int64_t day = 86400000000;
    int64_t at = v->u.i + (v->flags & TN_V_ZONE ? (int32_t)v->n * (int64_t)1000000 : 0);
    int64_t days = at / day - (at % day < 0), us = at - days * day;
    PyObject *zone = zone_of(v);
    int y, m, d;
    if (zone == NULL) {
        return NULL;
    }
    civil(days, &y, &m, &d);
    return PyDateTimeAPI->DateTime_FromDateAndTime(
        y, m, d, (int)(us / 3600000000), (int)(us / 60000000 % 60), (int)(us / 1000000 % 60),
        (int)(us % 1000000), zone, PyDateTimeAPI->DateTimeType);
}

static PyObject *make_clock(const tn_val *v)
{
    PyObject *zone = v->flags & TN_V_ZONE ? zone_of(v) : Py_None;
    return zone
               ? PyDateTimeAPI->Time_FromTime((int)(v->u.i / 3600000000),
                                              (int)(v->u.i / 60000000 % 60),
                                              (int)(v->u.i / 1000000 % 60), (int)(v->u.i % 1000000),
                                              zone, PyDateTimeAPI->TimeType)
               : NULL;
}

static PyObject *make_date(const tn_val *v)
{
    int y, m, d;
    civil(v->u.i, &y, &m, &d);
    return PyDate_FromDate(y, m, d);
}

static PyObject *make_span(const tn_val *v)
{
    const int64_t day = 86400000000;
    int64_t days = v->u.i / day - (v->u.i % day < 0), us = v->u.i - days * day;
    return PyDelta_FromDSU((int)days, (int)(us / 1000000), (int)(us % 1000000));
}

static PyObject *make_text(const tn_val *v)
{
    if (v->flags & TN_V_JSON) {
        PyObject *parsed = value_in((tn_str){v->u.s, v->n});
        if (parsed == NULL) { /* our reader is strict; the one of Python has no bounds */
            PyErr_Clear();
            parsed = PyObject_CallFunction(json_loads, "s#", v->u.s, (Py_ssize_t)v->n);
        }
        return parsed;
    }
    if (v->flags & (TN_V_UUID | TN_V_ADDR)) {
        return make_object(v);
    }
    return PyUnicode_DecodeUTF8(v->n ? v->u.s : "", (Py_ssize_t)v->n, "surrogateescape");
}

static PyObject *make(const tn_val *v, unsigned depth);

static PyObject *make_items(const tn_val *v, unsigned depth)
{
    if (depth >= 64) {
        PyErr_SetString(PyExc_ValueError, "a result is nested deeper than 64 levels");
        return NULL;
    }
    bool fixed = v->type == TN_T_LIST && (v->flags & TN_V_TUPLE) != 0;
    PyObject *o = fixed                  ? PyTuple_New(v->n)
                  : v->type == TN_T_LIST ? PyList_New(v->n)
                                         : PyDict_New();
    for (uint32_t i = 0; o != NULL && i < v->n; i++) {
        PyObject *item = make(v->type == TN_T_LIST ? &v->u.list[i] : &v->u.map[i].val, depth + 1);
        if (item == NULL) {
            Py_CLEAR(o);
        } else if (fixed) {
            PyTuple_SET_ITEM(o, i, item);
        } else if (v->type == TN_T_LIST) {
            PyList_SET_ITEM(o, i, item);
        } else {
            PyObject *key = make(&v->u.map[i].key, depth + 1);
            if (key == NULL || PyDict_SetItem(o, key, item) < 0) {
                Py_CLEAR(o);
            }
            Py_XDECREF(key);
            Py_DECREF(item);
        }
    }
    return o;
}

static PyObject *make(const tn_val *v, unsigned depth)
{
    switch (v->type) {
    case TN_T_NULL:
        Py_RETURN_NONE;
    case TN_T_BOOL:
        return PyBool_FromLong(v->u.i != 0);
    case TN_T_INT:
        return PyLong_FromLongLong(v->u.i);
    case TN_T_FLOAT:
        return PyFloat_FromDouble(v->u.f);
    case TN_T_STR:
        return make_text(v);
    case TN_T_BYTES:
        return PyBytes_FromStringAndSize((const char *)v->u.b, (Py_ssize_t)v->n);
    case TN_T_DECIMAL: {
        PyObject *text = PyUnicode_DecodeASCII(v->u.s, (Py_ssize_t)v->n, NULL);
        PyObject *d = text ? PyObject_CallOneArg(shim.decimal_type, text) : NULL;
        Py_XDECREF(text);
        return d;
    }
    case TN_T_TIME:
        return make_time(v);
    case TN_T_DATE:
        return make_date(v);
    case TN_T_CLOCK:
        return make_clock(v);
    case TN_T_SPAN:
        return make_span(v);
    case TN_T_LIST:
    case TN_T_MAP:
        return make_items(v, depth);
    default:
        PyErr_Format(PyExc_SystemError, "a connector described a value of unknown type %d",
                     v->type);
        return NULL;
    }
}

/* ---- the sink ---------------------------------------------------------------------------------------- */

#define SELF(sink) ((struct conn_out *)(sink)->self)

/* Puts v, a new reference or NULL, where the next value belongs. */
static tn_rc place(struct conn_out *o, PyObject *v)
{
    int rc = v != NULL ? 0 : -1;
    if (rc < 0) {
        return TN_E_INTERNAL; /* the exception is set */
    }
    if (o->depth == 0) {
        Py_XSETREF(o->root, v);
        return TN_OK;
    }
    PyObject *top = o->stack[o->depth - 1];
    if (PyList_Check(top)) {
        rc = PyList_Append(top, v);
    } else if (o->key != NULL) {
        rc = PyDict_SetItem(top, o->key, v);
        Py_CLEAR(o->key);
    } else {
        PyErr_SetString(PyExc_SystemError, "a connector described a map value without its key");
        rc = -1;
    }
    Py_DECREF(v);
    return rc == 0 ? TN_OK : TN_E_INTERNAL;
}

static tn_rc open_item(struct conn_out *o, PyObject *v)
{
    if (o->depth >= sizeof o->stack / sizeof *o->stack) {
        Py_XDECREF(v);
        PyErr_SetString(PyExc_ValueError, "a result is nested too deeply");
        return TN_E_LIMIT;
    }
    tn_rc rc = place(o, v);
    if (rc == TN_OK) {
        o->stack[o->depth++] = v;
    }
    return rc;
}

static tn_rc on_scalar(tn_sink *s, const tn_val *v)
{
    return place(SELF(s), make(v, 0));
}

static tn_rc on_list(tn_sink *s, int64_t hint)
{
    (void)hint;
    return open_item(SELF(s), PyList_New(0));
}

static tn_rc on_map(tn_sink *s, int64_t hint)
{
    (void)hint;
    return open_item(SELF(s), PyDict_New());
}

static tn_rc on_end(tn_sink *s)
{
    struct conn_out *o = SELF(s);
    o->depth -= o->depth != 0;
    return TN_OK;
}

static tn_rc on_key(tn_sink *s, const char *p, uint32_t n)
{
    struct conn_out *o = SELF(s);
    Py_XSETREF(o->key, PyUnicode_DecodeUTF8(p, (Py_ssize_t)n, "surrogateescape"));
    return o->key != NULL ? TN_OK : TN_E_INTERNAL;
}

static void drop_names(struct conn_out *o)
{
    for (uint32_t i = 0; o->names != NULL && i < o->ncols; i++) {
        Py_XDECREF(o->names[i]);
    }
    PyMem_Free(o->names);
    o->names = NULL;
    o->ncols = 0;
}

static tn_rc on_table(tn_sink *s, const tn_col *cols, uint32_t n, int64_t hint)
{
    struct conn_out *o = SELF(s);
    (void)hint;
    drop_names(o);
    o->names = PyMem_Calloc((size_t)n + 1, sizeof *o->names);
    if (o->names == NULL) {
        PyErr_NoMemory();
        return TN_E_NOMEM;
    }
    o->ncols = n;
    for (uint32_t i = 0; i < n; i++) {
        o->names[i] = PyUnicode_DecodeUTF8(cols[i].name, (Py_ssize_t)cols[i].name_len,
                                           "surrogateescape");
        if (o->names[i] == NULL) {
            return TN_E_INTERNAL;
        }
        PyUnicode_InternInPlace(&o->names[i]); /* scripts look rows up by literals, which are */
    }
    tn_rc rc = open_item(o, PyList_New(0));
    o->table = rc == TN_OK ? o->stack[o->depth - 1] : NULL;
    return rc;
}

static tn_rc on_row(tn_sink *s, const tn_val *cells)
{
    struct conn_out *o = SELF(s);
    PyObject *row = o->table ? PyDict_New() : NULL;
    if (row == NULL) {
        return TN_E_INTERNAL;
    }
    for (uint32_t i = 0; i < o->ncols; i++) {
        PyObject *v = make(&cells[i], 0);
        if (v == NULL || PyDict_SetItem(row, o->names[i], v) < 0) {
            Py_XDECREF(v);
            Py_DECREF(row);
            return TN_E_INTERNAL;
        }
        Py_DECREF(v);
    }
    int rc = PyList_Append(o->table, row);
    Py_DECREF(row);
    return rc == 0 ? TN_OK : TN_E_NOMEM;
}

static tn_rc on_table_end(tn_sink *s, int64_t affected)
{
    struct conn_out *o = SELF(s);
    (void)affected;
    drop_names(o);
    o->table = NULL;
    return on_end(s);
}

static const tn_sink_ops ops = {
    .size = sizeof ops,
    .scalar = on_scalar,
    .list_begin = on_list,
    .list_end = on_end,
    .map_begin = on_map,
    .key = on_key,
    .map_end = on_end,
    .table_begin = on_table,
    .row = on_row,
    .table_end = on_table_end,
};

void conn_out_start(struct conn_out *o)
{
    memset(o, 0, sizeof *o);
    o->sink = (tn_sink){&ops, o};
}

PyObject *conn_out_take(struct conn_out *o)
{
    PyObject *root = o->root;
    o->root = NULL;
    if (root == NULL && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_SystemError, "a connector described no result");
    }
    return root;
}

void conn_out_finish(struct conn_out *o)
{
    drop_names(o);
    Py_CLEAR(o->key);
    Py_CLEAR(o->root);
}
