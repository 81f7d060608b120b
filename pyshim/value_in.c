/* SPDX-License-Identifier: Apache-2.0 */
/* Strict JSON text to Python objects, in one pass and without a tree between (RFC 8259). */
#include "pyshim/shim.h"

#include <string.h>

#define MAX_DEPTH  64
#define MAX_DIGITS 4300 /* as CPython bounds int(str): longer ones take quadratic time */

/* Object keys repeat from call to call; interned ones also make keyword matching a pointer
 * comparison. Direct-mapped, so bounded. */
#define KEY_SLOTS 512
#define KEY_MAX   40
static PyObject *key_cache[KEY_SLOTS];

struct reader {
    const char *start, *p, *end;
    int depth;
};

static PyObject *read_value(struct reader *r);

static PyObject *bad(struct reader *r, const char *what)
{
    return PyErr_Format(PyExc_ValueError, "Invalid JSON at byte %zd: %s",
                        (Py_ssize_t)(r->p - r->start), what);
}

static inline void skip_blank(struct reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\t' || *r->p == '\r')) {
        r->p++;
    }
}

/* End of the run of plain ASCII text: stops at a quote, a backslash, a control or a high byte. */
static const char *plain_end(const char *p, const char *end)
{
    const uint64_t ones = 0x0101010101010101ull, high = 0x8080808080808080ull;
    while (end - p >= 8) {
        uint64_t w, q, s, c;
        memcpy(&w, p, 8);
        q = w ^ (ones * '"');
        s = w ^ (ones * '\\');
        c = w - ones * 0x20;
        if ((((q - ones) & ~q) | ((s - ones) & ~s) | (c & ~w) | w) & high) {
            break;
        }
        p += 8;
    }
    while (p < end && (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x80 && *p != '"' &&
           *p != '\\') {
        p++;
    }
    return p;
}

static int hex4(const char *p, unsigned *ret)
{
    unsigned v = 0;
    for (int i = 0; i < 4; i++) {
        unsigned char c = (unsigned char)p[i];
        unsigned d = c >= '0' && c <= '9'   ? c - '0' + 0u
                     : c >= 'a' && c <= 'f' ? c - 'a' + 10u
                     : c >= 'A' && c <= 'F' ? c - 'A' + 10u
                                            : 16u;
        if (d > 15) {
            return -1;
        }
        v = v << 4 | d;
    }
    *ret = v;
    return 0;
}

static char *put_utf8(char *o, unsigned c)
{
    if (c < 0x80) {
        *o++ = (char)c;
    } else if (c < 0x800) {
        *o++ = (char)(0xC0 | c >> 6);
        *o++ = (char)(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        *o++ = (char)(0xE0 | c >> 12);
        *o++ = (char)(0x80 | (c >> 6 & 0x3F));
        *o++ = (char)(0x80 | (c & 0x3F));
    } else {
        *o++ = (char)(0xF0 | c >> 18);
        *o++ = (char)(0x80 | (c >> 12 & 0x3F));
        *o++ = (char)(0x80 | (c >> 6 & 0x3F));
        *o++ = (char)(0x80 | (c & 0x3F));
    }
    return o;
}

/* One \u escape, r->p on the 'u'; surrogates must come in pairs. */
static int read_unicode(struct reader *r, unsigned *ret)
{
    unsigned c, low;
    if (r->end - r->p < 5 || hex4(r->p + 1, &c) < 0) {
        bad(r, "\\u needs four hexadecimal digits");
        return -1;
    }
    r->p += 5;
    if (c >= 0xDC00 && c <= 0xDFFF) {
        bad(r, "lone low surrogate");
        return -1;
    }
    if (c >= 0xD800 && c <= 0xDBFF) {
        if (r->end - r->p < 6 || r->p[0] != '\\' || r->p[1] != 'u' || hex4(r->p + 2, &low) < 0 ||
            low < 0xDC00 || low > 0xDFFF) {
            bad(r, "lone high surrogate");
            return -1;
        }
        r->p += 6;
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
    }
    *ret = c;
    return 0;
}

/* The whole string has escapes or bytes above ASCII; r->p is after the opening quote. */
static PyObject *read_string_slow(struct reader *r)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *stop = r->p;
    while (stop < r->end && *stop != '"') {
        stop += *stop == '\\' && r->end - stop > 1 ? 2 : 1;
    }
    if (stop >= r->end) {
        r->p = r->end;
        return bad(r, "the string does not end");
    }
    /* Unescaped text is never longer than the escaped one. */
    char *text = PyMem_Malloc((size_t)(stop - r->p) + 1), *o = text;
    PyObject *ret = NULL;
    if (text == NULL) {
        return PyErr_NoMemory();
    }
    while (r->p < stop) {
        unsigned char c = (unsigned char)*r->p;
        if (c < 0x20) {
            bad(r, "control character in a string");
            goto undo_text;
        }
        if (c != '\\') {
            *o++ = (char)c;
            r->p++;
            continue;
        }
        r->p++;
        if (*r->p == 'u') {
            unsigned u;
            if (read_unicode(r, &u) < 0) {
                goto undo_text;
            }
            o = put_utf8(o, u);
            continue;
        }
        const char *hit = *r->p ? strchr(from, *r->p) : NULL;
        if (hit == NULL) {
            bad(r, "unknown escape");
            goto undo_text;
        }
        *o++ = to[hit - from];
        r->p++;
    }
    r->p = stop + 1;
    ret = PyUnicode_DecodeUTF8(text, o - text, "strict");
    if (ret == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
        PyErr_Clear();
        bad(r, "the string is not valid UTF-8");
    }
undo_text:
    PyMem_Free(text);
    return ret;
}

static PyObject *ascii_new(const char *p, size_t n)
{
    PyObject *s = PyUnicode_New((Py_ssize_t)n, 127);
    if (s != NULL && n != 0) {
        memcpy(PyUnicode_1BYTE_DATA(s), p, n);
    }
    return s;
}

/* r->p is on the opening quote. */
static PyObject *read_string(struct reader *r)
{
    const char *from = ++r->p, *stop = plain_end(from, r->end);
    if (stop < r->end && *stop == '"') {
        r->p = stop + 1;
        return ascii_new(from, (size_t)(stop - from));
    }
    return read_string_slow(r);
}

static PyObject *read_key(struct reader *r)
{
    const char *from = r->p + 1, *stop = plain_end(from, r->end);
    size_t n = (size_t)(stop - from);
    uint64_t h = n * 0x9E3779B97F4A7C15ull;
    if (stop >= r->end || *stop != '"' || n > KEY_MAX) {
        return read_string(r);
    }
    for (size_t i = 0; i < n; i++) {
        h = (h ^ (unsigned char)from[i]) * 0x100000001B3ull;
    }
    PyObject **slot = &key_cache[(h ^ h >> 32) % KEY_SLOTS], *s = *slot;
    r->p = stop + 1;
    if (s == NULL || (size_t)PyUnicode_GET_LENGTH(s) != n ||
        memcmp(PyUnicode_1BYTE_DATA(s), from, n) != 0) {
        s = ascii_new(from, n);
        if (s == NULL) {
            return NULL;
        }
        PyUnicode_InternInPlace(&s);
        Py_XSETREF(*slot, s);
    }
    return Py_NewRef(s);
}

static PyObject *read_float(struct reader *r, const char *from)
{
    char small[64], *text = small;
    size_t n = (size_t)(r->p - from);
    if (n >= sizeof(small)) {
        text = PyMem_Malloc(n + 1);
        if (text == NULL) {
            return PyErr_NoMemory();
        }
    }
    memcpy(text, from, n);
    text[n] = '\0';
    double v = PyOS_string_to_double(text, NULL, PyExc_OverflowError);
    if (text != small) {
        PyMem_Free(text);
    }
    if (v == -1.0 && PyErr_Occurred()) {
        PyErr_Clear();
        r->p = from;
        return bad(r, "the number is too large for a float");
    }
    return PyFloat_FromDouble(v);
}

static PyObject *read_big(struct reader *r, const char *from)
{
    size_t n = (size_t)(r->p - from);
    char text[MAX_DIGITS + 2];
    if (n > MAX_DIGITS) {
        r->p = from;
        return bad(r, "the integer has more than 4300 digits");
    }
    memcpy(text, from, n);
    text[n] = '\0';
    return PyLong_FromString(text, NULL, 10);
}

static inline bool at_digit(const struct reader *r)
{
    return r->p < r->end && *r->p >= '0' && *r->p <= '9';
}

static PyObject *read_number(struct reader *r)
{
    const char *from = r->p;
    bool neg = *r->p == '-', real = false;
    int64_t v = 0;
    r->p += neg;
    const char *first = r->p;
    if (!at_digit(r)) {
        return bad(r, "a value was expected");
    }
    for (; at_digit(r); r->p++) {
        if (r->p - first < 18) {
            v = v * 10 + (*r->p - '0');
        }
    }
    size_t digits = (size_t)(r->p - first);
    if (digits > 1 && *first == '0') {
        r->p = first;
        return bad(r, "a number must not start with 0");
    }
    if (r->p < r->end && *r->p == '.') {
        real = true;
        r->p++;
        if (!at_digit(r)) {
            return bad(r, "a digit was expected after the point");
        }
        while (at_digit(r)) {
            r->p++;
        }
    }
    if (r->p < r->end && (*r->p == 'e' || *r->p == 'E')) {
        real = true;
        r->p++;
        r->p += r->p < r->end && (*r->p == '+' || *r->p == '-');
        if (!at_digit(r)) {
            return bad(r, "a digit was expected in the exponent");
        }
        while (at_digit(r)) {
            r->p++;
        }
    }
    if (real) {
        return read_float(r, from);
    }
    return digits <= 18 ? PyLong_FromLongLong(neg ? -v : v) : read_big(r, from);
}

static PyObject *read_list(struct reader *r)
{
    PyObject *list = PyList_New(0), *item;
    if (list == NULL) {
        return NULL;
    }
    r->p++;
    skip_blank(r);
    if (r->p < r->end && *r->p == ']') {
        r->p++;
        return list;
    }
    for (;;) {
        item = read_value(r);
        if (item == NULL || PyList_Append(list, item) < 0) {
            Py_XDECREF(item);
            goto undo_list;
        }
        Py_DECREF(item);
        skip_blank(r);
        if (r->p >= r->end || (*r->p != ',' && *r->p != ']')) {
            bad(r, "\",\" or \"]\" was expected");
            goto undo_list;
        }
        if (*r->p++ == ']') {
            return list;
        }
    }
undo_list:
    Py_DECREF(list);
    return NULL;
}

static int read_pair(struct reader *r, PyObject *dict)
{
    PyObject *key, *val;
    skip_blank(r);
    if (r->p >= r->end || *r->p != '"') {
        bad(r, "a key in quotes was expected");
        return -1;
    }
    key = read_key(r);
    if (key == NULL) {
        return -1;
    }
    skip_blank(r);
    if (r->p >= r->end || *r->p != ':') {
        bad(r, "\":\" was expected");
        goto undo_key;
    }
    r->p++;
    val = read_value(r);
    if (val == NULL) {
        goto undo_key;
    }
    int rc = PyDict_SetItem(dict, key, val);
    Py_DECREF(key);
    Py_DECREF(val);
    return rc;
undo_key:
    Py_DECREF(key);
    return -1;
}

static int read_pairs(struct reader *r, PyObject *dict)
{
    r->p++;
    skip_blank(r);
    if (r->p < r->end && *r->p == '}') {
        r->p++;
        return 0;
    }
    for (;;) {
        if (read_pair(r, dict) < 0) {
            return -1;
        }
        skip_blank(r);
        if (r->p >= r->end || (*r->p != ',' && *r->p != '}')) {
            bad(r, "\",\" or \"}\" was expected");
            return -1;
        }
        if (*r->p++ == '}') {
            return 0;
        }
    }
}

static PyObject *read_dict(struct reader *r)
{
    PyObject *dict = PyDict_New();
    if (dict != NULL && read_pairs(r, dict) < 0) {
        Py_CLEAR(dict);
    }
    return dict;
}

static PyObject *read_word(struct reader *r, const char *word, size_t n, PyObject *v)
{
    if ((size_t)(r->end - r->p) < n || memcmp(r->p, word, n) != 0) {
        return bad(r, "a value was expected");
    }
    r->p += n;
    return Py_NewRef(v);
}

static PyObject *read_value(struct reader *r)
{
    PyObject *v;
    skip_blank(r);
    if (r->p >= r->end) {
        return bad(r, "the text ends too early");
    }
    switch (*r->p) {
    case '"':
        return read_string(r);
    case 't':
        return read_word(r, "true", 4, Py_True);
    case 'f':
        return read_word(r, "false", 5, Py_False);
    case 'n':
        return read_word(r, "null", 4, Py_None);
    case '[':
    case '{':
        if (r->depth == MAX_DEPTH) {
            return bad(r, "nested deeper than 64");
        }
        r->depth++;
        v = *r->p == '[' ? read_list(r) : read_dict(r);
        r->depth--;
        return v;
    default:
        return read_number(r);
    }
}

PyObject *value_in(tn_str text)
{
    struct reader r = {text.s, text.s, text.s + text.n, 0};
    PyObject *v = read_value(&r);
    if (v == NULL) {
        return NULL;
    }
    skip_blank(&r);
    if (r.p != r.end) {
        Py_DECREF(v);
        return bad(&r, "text after the value");
    }
    return v;
}

PyObject *value_in_dict(tn_str text, const char *what)
{
    if (text.n == 0) {
        return PyDict_New();
    }
    PyObject *v = value_in(text);
    if (v != NULL && !PyDict_Check(v)) {
        PyErr_Format(PyExc_TypeError, "%s must be a JSON object, not %s", what,
                     Py_TYPE(v)->tp_name);
        Py_CLEAR(v);
    }
    return v;
}
