/* SPDX-License-Identifier: Apache-2.0 */
/* The value of a reply: its kind, so that nobody after us needs to parse it, and its text. */
#include "pyshim/shim.h"
#include "pyshim/value_write.h"

/* What did not fit did so because the answer would be too large, or for want of memory. */
static int output_limit(const struct buf *b)
{
    if (b->failed != BUF_FULL) {
        return write_no_memory(b);
    }
    PyErr_Clear();
    PyObject *type = PyObject_GetAttrString(shim.m_task, "OutputLimit");
    if (type != NULL) {
        PyErr_Format(type, "the result is larger than its limit of %zu bytes (worker_result)",
                     b->max);
        Py_DECREF(type);
    }
    return -1;
}

static int text_reply(struct lang_reply *reply, const char *p, Py_ssize_t n)
{
    if (p == NULL) {
        return -1;
    }
    reply->value_kind = TN_VALUE_TEXT;
    if (buf_add(&reply->value, p, (size_t)n) < 0) {
        return output_limit(&reply->value);
    }
    return 0;
}

int value_reply(struct lang_reply *reply, PyObject *v)
{
    Py_ssize_t n = 0;
    const char *p;
    if (v == Py_None) {
        reply->value_kind = TN_VALUE_NONE;
        return 0;
    }
    if (PyUnicode_Check(v)) {
        p = PyUnicode_AsUTF8AndSize(v, &n);
        return text_reply(reply, p, n);
    }
    if (value_out(&reply->value, v) < 0) {
        return reply->value.failed ? output_limit(&reply->value) : -1;
    }
    /* Objects of other classes become texts, numbers, arrays ...: the JSON tells which. */
    switch (reply->value.len ? reply->value.data[0] : 'n') {
    case '{':
    case '[':
        reply->value_kind = TN_VALUE_JSON;
        return 0;
    case 't':
    case 'f':
        reply->value_kind = TN_VALUE_BOOL;
        return 0;
    case 'n':
        reply->value_kind = TN_VALUE_NONE;
        buf_clear(&reply->value);
        return 0;
    case '"': {
        PyObject *text = value_in(buf_str(&reply->value));
        if (text == NULL) {
            return -1;
        }
        buf_clear(&reply->value);
        p = PyUnicode_AsUTF8AndSize(text, &n);
        int rc = text_reply(reply, p, n);
        Py_DECREF(text);
        return rc;
    }
    default:
        reply->value_kind = TN_VALUE_NUMBER;
        return 0;
    }
}
