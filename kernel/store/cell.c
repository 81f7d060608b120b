/* SPDX-License-Identifier: Apache-2.0 */
/* One column's value: from JSON to what is stored, and back, by the column's type. */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/str.h"
#include "kernel/store/internal.h"
#include "kernel/value/json.h"

#include <math.h>
#include <string.h>

static tn_rc wrong(const tn_column *col, const char *want, tn_str raw, tn_err *err)
{
    int n = raw.n > 80 ? 80 : (int)raw.n;
    while (n > 0 && n < (int)raw.n && ((unsigned char)raw.s[n] & 0xc0) == 0x80) {
        n--;
    }
    return err_set(err, TN_E_INVAL, "column %s must be %s, not %.*s%s", col->name, want, n, raw.s,
                   n < (int)raw.n ? "..." : "");
}

static tn_rc no_memory(tn_err *err)
{
    return err_set(err, TN_E_NOMEM, "no memory for a value");
}

/* ---- reading --------------------------------------------------------------------------------- */

static tn_rc fits(const tn_column *col, tn_str text, tn_err *err)
{
    size_t n = col->max_len && text.n > col->max_len ? str_utf8_len(text) : 0;
    if (n > col->max_len) {
        return err_set(err, TN_E_INVAL, "column %s takes at most %u characters, not %zu: %.*s...",
                       col->name, col->max_len, n, 32, text.s);
    }
    if (text.n > INT32_MAX) {
        return err_set(err, TN_E_LIMIT, "column %s: a value is larger than 2 GiB", col->name);
    }
    return TN_OK;
}

static tn_rc unquote(tn_str raw, struct arena *mem, tn_str *ret, tn_err *err)
{
    char *p = arena_alloc(mem, raw.n); /* unquoting never makes text longer */
    if (!p) {
        return no_memory(err);
    }
    *ret = (tn_str){p, json_unquote(raw, p, raw.n)};
    return TN_OK;
}

static void set_text(tn_val *v, tn_str text)
{
    v->type = TN_T_STR;
    v->n = (uint32_t)text.n;
    v->u.s = text.s;
}

static tn_rc parse_text(const tn_column *col, uint32_t kind, tn_str raw, struct arena *mem,
                        tn_val *ret, tn_err *err)
{
    tn_str text = {NULL, 0};
    if (kind != TN_JSON_STRING) {
        return wrong(col, "text", raw, err);
    }
    tn_rc rc = unquote(raw, mem, &text, err);
    rc = rc ? rc : fits(col, text, err);
    if (rc == TN_OK && col->type == TN_COL_STR && memchr(text.s, '\0', text.n)) {
        rc = wrong(col, "text without NUL characters", raw, err); /* keys and names are compared */
    }
    if (rc == TN_OK) {
        set_text(ret, text);
    }
    return rc;
}

static tn_rc parse_int(const tn_column *col, uint32_t kind, tn_str raw, tn_val *ret, tn_err *err)
{
    double f;
    ret->type = TN_T_INT;
    if (kind == TN_JSON_NUMBER && str_to_i64(raw, &ret->u.i)) {
        return TN_OK;
    }
    /* JavaScript has one number type: 1.0 and 1e3 are integers too while they are exact. */
    if (kind == TN_JSON_NUMBER && str_to_f64(raw, &f) && f == floor(f) &&
        fabs(f) <= 9007199254740992.0) {
        ret->u.i = (int64_t)f;
        return TN_OK;
    }
    return wrong(col, "an integer of 64 bits", raw, err);
}

static tn_rc parse_bool(const tn_column *col, uint32_t kind, tn_str raw, tn_val *ret, tn_err *err)
{
    ret->type = TN_T_INT;
    if (kind == TN_JSON_BOOL || str_is(raw, "0") || str_is(raw, "1")) {
        ret->u.i = raw.s[0] == 't' || raw.s[0] == '1';
        return TN_OK;
    }
    return wrong(col, "true or false", raw, err);
}

static tn_rc parse_time(const tn_column *col, uint32_t kind, tn_str raw, struct arena *mem,
                        tn_val *ret, tn_err *err)
{
    tn_str text = {NULL, 0};
    ret->type = TN_T_INT;
    if (kind == TN_JSON_NUMBER && str_to_i64(raw, &ret->u.i)) {
        return TN_OK;
    }
    if (kind == TN_JSON_STRING) {
        tn_rc rc = unquote(raw, mem, &text, err);
        if (rc || cell_parse_time(text, &ret->u.i)) {
            return rc;
        }
    }
    return wrong(col, "a time like \"2026-01-31T12:00:00.000Z\" or microseconds since 1970", raw,
                 err);
}

static tn_rc parse_list(const tn_column *col, uint32_t kind, tn_str raw, struct arena *mem,
                        tn_val *ret, tn_err *err)
{
    tn_str item, text = {NULL, 0};
    uint32_t item_kind;
    size_t at = 0, n = 0;
    if (kind == TN_JSON_STRING) { /* "a,b" as it is stored */
        return parse_text(col, kind, raw, mem, ret, err);
    }
    if (kind != TN_JSON_ARRAY) {
        return wrong(col, "an array of texts", raw, err);
    }
    char *p = arena_alloc(mem, raw.n);
    if (!p) {
        return no_memory(err);
    }
    while (cell_next_item(raw, &at, &item, &item_kind)) {
        tn_str one = item;
        if (item_kind == TN_JSON_STRING) {
            tn_rc rc = unquote(item, mem, &one, err);
            if (rc) {
                return rc;
            }
        } else if (item_kind != TN_JSON_NUMBER) {
            return wrong(col, "an array of texts", raw, err);
        }
        if (one.n == 0 || memchr(one.s, ',', one.n) || memchr(one.s, '\0', one.n)) {
            return wrong(col, "an array of texts that are not empty and have no comma", raw, err);
        }
        if (n) {
            p[n++] = ',';
        }
        memcpy(p + n, one.s, one.n);
        n += one.n;
    }
    text = (tn_str){p, n};
    tn_rc rc = fits(col, text, err);
    if (rc == TN_OK) {
        set_text(ret, text);
    }
    return rc;
}

tn_rc cell_parse(const tn_column *col, uint32_t kind, tn_str raw, struct arena *mem, tn_val *ret,
                 tn_err *err)
{
    tn_rc rc;
    memset(ret, 0, sizeof *ret);
    if (kind == TN_JSON_NULL) {
        if (!(col->flags & TN_COL_NOT_NULL)) {
            return TN_OK;
        }
        if (col->type != TN_COL_JSON) { /* JSON's null is a value of its own */
            return wrong(col, "a value", raw, err);
        }
    }
    switch (col->type) {
    case TN_COL_STR:
    case TN_COL_TEXT:
        return parse_text(col, kind, raw, mem, ret, err);
    case TN_COL_JSON:
        rc = fits(col, raw, err);
        if (rc == TN_OK) {
            set_text(ret, raw);
        }
        return rc;
    case TN_COL_INT:
        return parse_int(col, kind, raw, ret, err);
    case TN_COL_BOOL:
        return parse_bool(col, kind, raw, ret, err);
    case TN_COL_TIME:
        return parse_time(col, kind, raw, mem, ret, err);
    case TN_COL_LIST:
        return parse_list(col, kind, raw, mem, ret, err);
    default:
        return err_set(err, TN_E_INTERNAL, "column %s has no type", col->name);
    }
}

/* Query strings bring everything as text, so numbers and booleans are read from text as well. */
tn_rc cell_parse_filter(const tn_column *col, uint32_t kind, tn_str raw, struct arena *mem,
                        tn_val *ret, tn_err *err)
{
    tn_str text = {NULL, 0};
    tn_rc rc;
    memset(ret, 0, sizeof *ret);
    if (kind == TN_JSON_NULL || kind == TN_JSON_OBJECT ||
        (kind == TN_JSON_ARRAY && col->type != TN_COL_JSON)) {
        return wrong(col, "compared with a text, number or boolean", raw, err);
    }
    switch (col->type) {
    case TN_COL_INT:
    case TN_COL_BOOL:
        if (kind == TN_JSON_STRING) {
            if ((rc = unquote(raw, mem, &text, err))) {
                return rc;
            }
            if (col->type == TN_COL_BOOL) {
                kind = str_is(text, "true") || str_is(text, "false") ? TN_JSON_BOOL
                                                                     : TN_JSON_NUMBER;
                return parse_bool(col, kind, text, ret, err);
            }
            return parse_int(col, TN_JSON_NUMBER, text, ret, err);
        }
        return col->type == TN_COL_BOOL ? parse_bool(col, kind, raw, ret, err)
                                        : parse_int(col, kind, raw, ret, err);
    case TN_COL_TIME:
        return parse_time(col, kind, raw, mem, ret, err);
    default:
        if (kind == TN_JSON_STRING) {
            if ((rc = unquote(raw, mem, &text, err))) {
                return rc;
            }
            raw = text;
        }
        set_text(ret, raw);
        return TN_OK;
    }
}

int cell_next_item(tn_str array, size_t *at, tn_str *ret, uint32_t *ret_kind)
{
    static const char blanks[] = " \t\r\n";
    const char *p = array.s + (*at ? *at : 1), *end = array.s + array.n - 1, *from;
    int depth = 0;
    while (p < end && (memchr(blanks, *p, 4) || *p == ',')) {
        p++;
    }
    if (p >= end) {
        return 0;
    }
    from = p;
    *ret_kind = *p == '"'                ? TN_JSON_STRING
                : *p == '['              ? TN_JSON_ARRAY
                : *p == '{'              ? TN_JSON_OBJECT
                : *p == 'n'              ? TN_JSON_NULL
                : *p == 't' || *p == 'f' ? TN_JSON_BOOL
                                         : TN_JSON_NUMBER;
    for (; p < end && (depth > 0 || *p != ','); p++) {
        if (*p == '"') {
            for (p++; p < end && *p != '"'; p++) {
                p += *p == '\\';
            }
        } else if (*p == '[' || *p == '{') {
            depth++;
        } else if (*p == ']' || *p == '}') {
            depth--;
        }
    }
    *at = (size_t)(p - array.s);
    while (p > from && memchr(blanks, p[-1], 4)) {
        p--;
    }
    *ret = (tn_str){from, (size_t)(p - from)};
    return 1;
}

/* ---- times ----------------------------------------------------------------------------------- */

static int number(const char **p, const char *end, int width, int *ret)
{
    int v = 0;
    for (int i = 0; i < width; i++, (*p)++) {
        if (*p >= end || **p < '0' || **p > '9') {
            return 0;
        }
        v = v * 10 + (**p - '0');
    }
    *ret = v;
    return 1;
}

static int literal(const char **p, const char *end, const char *any)
{
    if (*p < end && **p && strchr(any, **p)) {
        (*p)++;
        return 1;
    }
    return 0;
}

static int days_of_month(int y, int m)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return m == 2 && ((y % 4 == 0 && y % 100 != 0) || y % 400 == 0) ? 29 : days[m - 1];
}

int cell_parse_time(tn_str text, int64_t *ret_us)
{
    const char *p = text.s, *end = text.s + text.n;
    int y, m, d, hour = 0, min = 0, sec = 0, zone_h = 0, zone_m = 0, west = 0;
    int64_t frac = 0;
    if (!number(&p, end, 4, &y) || !literal(&p, end, "-") || !number(&p, end, 2, &m) ||
        !literal(&p, end, "-") || !number(&p, end, 2, &d)) {
        return 0;
    }
    if (literal(&p, end, "Tt ")) {
        if (!number(&p, end, 2, &hour) || !literal(&p, end, ":") || !number(&p, end, 2, &min)) {
            return 0;
        }
        if (literal(&p, end, ":") && !number(&p, end, 2, &sec)) {
            return 0;
        }
        if (literal(&p, end, ".,")) {
            int64_t scale = 100000;
            const char *from = p;
            for (; p < end && *p >= '0' && *p <= '9'; p++, scale /= 10) {
                frac += (*p - '0') * scale;
            }
            if (p == from) {
                return 0;
            }
        }
        if (p < end && (*p == '+' || *p == '-')) {
            west = *p++ == '-';
            if (!number(&p, end, 2, &zone_h) || (literal(&p, end, ":") && p == end) ||
                (p < end && !number(&p, end, 2, &zone_m))) {
                return 0;
            }
        } else {
            literal(&p, end, "Zz");
        }
    }
    if (p != end || m < 1 || m > 12 || d < 1 || d > days_of_month(y, m) || hour > 23 || min > 59 ||
        sec > 60 || zone_h > 15 || zone_m > 59) {
        return 0;
    }
    int64_t yy = y - (m <= 2), era = (yy >= 0 ? yy : yy - 399) / 400, yoe = yy - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    int64_t days = era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
    int64_t zone = (zone_h * 60 + zone_m) * 60;
    int64_t seconds = days * 86400 + hour * 3600 + min * 60 + sec - (west ? -zone : zone);
    *ret_us = seconds * 1000000 + frac;
    return 1;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void write_list(struct buf *out, tn_str text)
{
    tn_str item;
    int n = 0;
    buf_addc(out, '[');
    while (text.n && str_split(&text, ',', &item)) {
        buf_adds(out, n++ ? "," : "");
        buf_quote(out, item);
    }
    buf_addc(out, ']');
}

void cell_write(struct buf *out, const tn_column *col, const tn_val *v)
{
    tn_str text = {v->u.s, v->n};
    int is_text = v->type == TN_T_STR || v->type == TN_T_BYTES;
    if (v->type == TN_T_NULL) {
        buf_adds(out, col->type == TN_COL_LIST ? "[]" : "null");
    } else if (col->type == TN_COL_BOOL && v->type == TN_T_INT) {
        buf_adds(out, v->u.i ? "true" : "false");
    } else if (col->type == TN_COL_TIME && v->type == TN_T_INT) {
        char iso[64];
        size_t n = clock_iso(v->u.i, iso);
        buf_addc(out, '"');
        buf_add(out, iso, n);
        buf_addc(out, '"');
    } else if (col->type == TN_COL_LIST && is_text) {
        write_list(out, text);
    } else if (col->type == TN_COL_JSON && is_text) {
        tn_val json = {.type = TN_T_STR, .flags = TN_V_JSON, .n = v->n, .u.s = v->u.s};
        json_write(out, &json, NULL); /* looks again: others may have written into the file */
    } else if (is_text) {
        buf_quote(out, text);
    } else {
        json_write(out, v, NULL);
    }
}
