/* SPDX-License-Identifier: Apache-2.0 */
/* The value of a reply: its kind, so that nobody after us needs to parse it, and its text. */
#include "pyshim/shim.h"

static int text_reply(struct lang_reply *reply, const char *p, Py_ssize_t n)
{
    if (p == NULL) {
        return -1;
    }
    reply->value_kind = TN_VALUE_TEXT;
    if (buf_add(&reply->value, p, (size_t)n) < 0) {
        PyErr_Format(PyExc_MemoryError, "the text of %zd bytes is larger than an answer may be", n);
        return -1;
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
        return -1;
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
