/* SPDX-License-Identifier: Apache-2.0 */
/* Values of a statement: parameters of the server where it has them, else literals that cannot end early. */
#include "clickhouse.h"

#include "common/civil.h"
#include "common/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_US 86400000000

/* ---- pieces ------------------------------------------------------------------------------------------ */

/* The inside of a text between single quotes: nothing in it can end it, nor begin a line. */
static void quote(struct ch_out *out, const uint8_t *p, size_t n)
{
    static const char from[] = "\b\f\r\n\t\\'", to[] = "bfrnt\\'";
    for (size_t i = 0; i < n; i++) {
        const char *at = p[i] != 0 ? memchr(from, p[i], sizeof from - 1) : NULL;
        if (at != NULL) {
            ch_put8(out, '\\');
            ch_put8(out, (uint8_t)to[at - from]);
        } else if (p[i] == 0) {
            ch_put(out, "\\0", 2);
        } else {
            ch_put8(out, p[i]);
        }
    }
}

static int date(char *out, size_t cap, int64_t days)
{
    int64_t y;
    int m, d;
    civil_date(days, &y, &m, &d);
    return snprintf(out, cap, "%04" PRId64 "-%02d-%02d", y, m, d);
}

/* "2026-01-31 08:30:00", with `digits` behind the point. */
static int moment(char *out, size_t cap, int64_t us, bool fraction)
{
    int64_t days = us / DAY_US - (us % DAY_US < 0), rest = us - days * DAY_US;
    int n = date(out, cap, days);
    n += snprintf(out + n, cap - (size_t)n, " %02d:%02d:%02d", (int)(rest / 3600000000),
                  (int)(rest / 60000000 % 60), (int)(rest / 1000000 % 60));
    if (fraction) {
        n += snprintf(out + n, cap - (size_t)n, ".%06d", (int)(rest % 1000000));
    }
    return n;
}

/* The shortest text that is this number again; it has a point or an exponent, so that it is no whole number. */
static int floating(char *out, size_t cap, double f)
{
    int n = 0;
    if (!isfinite(f)) {
        return snprintf(out, cap, "%s", isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
    }
    for (int digits = 15; digits <= 17; digits++) {
        n = snprintf(out, cap, "%.*g", digits, f);
        if (strtod(out, NULL) == f) {
            break;
        }
    }
    if (strpbrk(out, ".e") == NULL) {
        n += snprintf(out + n, cap - (size_t)n, ".0");
    }
    return n;
}

static bool digits_only(const tn_val *v)
{
    for (uint32_t i = v->n != 0 && v->u.s[0] == '-'; i < v->n; i++) {
        if (v->u.s[i] < '0' || v->u.s[i] > '9') {
            return false;
        }
    }
    return v->n != 0;
}

/* Digits behind the point, those an exponent leaves; -1: "NaN", "Infinity". */
static int scale_of(const tn_val *v)
{
    int64_t scale = 0, exponent = 0;
    bool point = false;
    for (uint32_t i = 0; i < v->n; i++) {
        char ch = v->u.s[i];
        if (ch == 'E' || ch == 'e') {
            char text[16];
            snprintf(text, sizeof text, "%.*s", (int)(v->n - i - 1), v->u.s + i + 1);
            exponent = strtol(text, NULL, 10);
            break;
        }
        if (ch != '.' && ch != '-' && ch != '+' && (ch < '0' || ch > '9')) {
            return -1;
        }
        scale += point && ch != '.';
        point |= ch == '.';
    }
    scale -= exponent;
    return scale < 0 ? 0 : scale > 76 ? -1 : (int)scale;
}

/* Its type and text as a decimal of this server. */
static tn_rc decimal(const tn_val *v, bool old, uint32_t *ret_bits, int *ret_scale,
                     char text[CH_NUMBER_TEXT], tn_err *err)
{
    uint8_t number[32];
    int scale = scale_of(v);
    uint32_t width = 0;
    for (uint32_t w = 4; w <= (old ? 16u : 32u) && width == 0 && scale >= 0; w *= 2) {
        static const int most[] = {9, 18, 38, 76};
        int digits = most[w == 4 ? 0 : w == 8 ? 1 : w == 16 ? 2 : 3];
        if (scale <= digits && ch_number_parse(v->u.s, v->n, w, true, (uint32_t)scale, number)) {
            size_t n = ch_number_text(number, w, true, 0, text); /* digits, with a sign */
            width = n - (text[0] == '-') <= (size_t)digits ? w : 0;
        }
    }
    if (width == 0) {
        return ch_host->fail(err, TN_E_INVAL,
                             "the decimal %.*s does not fit into a type of this server",
                             (int)(v->n < 90 ? v->n : 90), v->u.s);
    }
    text[ch_number_text(number, width, true, (uint32_t)scale, text)] = '\0';
    *ret_bits = width * 8;
    *ret_scale = scale;
    return TN_OK;
}

/* ---- literals ---------------------------------------------------------------------------------------- */

static tn_rc literal(struct ch_binder *b, struct ch_out *out, const tn_val *v, tn_err *err)
{
    bool old = b->c->rev < CH_REV_TEXT_SETTINGS; /* before DateTime64 and 256 bits */
    char text[CH_NUMBER_TEXT + 64], number[CH_NUMBER_TEXT];
    int n = 0, scale = 0;
    uint32_t bits = 0;
    tn_rc rc = TN_OK;
    switch (v->type) {
    case TN_T_NULL:
        n = snprintf(text, sizeof text, "NULL");
        break;
    case TN_T_BOOL:
        n = snprintf(text, sizeof text, "%d", v->u.i != 0);
        break;
    case TN_T_INT: /* a blank, so that no comment begins with "--" */
        n = snprintf(text, sizeof text, "%s%" PRId64, v->u.i < 0 ? " " : "", v->u.i);
        break;
    case TN_T_FLOAT:
        text[0] = ' ';
        n = 1 + floating(text + 1, sizeof text - 1, v->u.f);
        break;
    case TN_T_DECIMAL:
        if (digits_only(v) && v->n < 90) {
            n = snprintf(text, sizeof text, " %.*s", (int)v->n, v->u.s);
            break;
        }
        rc = decimal(v, old, &bits, &scale, number, err);
        n = rc == TN_OK ? snprintf(text, sizeof text, "toDecimal%u('%s', %d)", bits, number, scale)
                        : 0;
        break;
    case TN_T_TIME: {
        bool fraction = !old && v->u.i % 1000000 != 0, naive = (v->flags & TN_V_NAIVE) != 0;
        char when[64];
        if (!naive && !fraction) { /* seconds know no zone */
            int64_t seconds = v->u.i / 1000000 - (v->u.i % 1000000 < 0);
            n = snprintf(text, sizeof text, "toDateTime(%" PRId64 ")", seconds < 0 ? 0 : seconds);
            break;
        }
        moment(when, sizeof when, v->u.i, fraction);
        n = snprintf(text, sizeof text, fraction ? "toDateTime64('%s', 6%s)" : "toDateTime('%s'%s)",
                     when, naive ? "" : ", 'UTC'");
        break;
    }
    case TN_T_DATE:
        n = snprintf(text, sizeof text, "toDate('");
        n += date(text + n, sizeof text - (size_t)n, v->u.i);
        n += snprintf(text + n, sizeof text - (size_t)n, "')");
        break;
    case TN_T_CLOCK:
        n = snprintf(text, sizeof text, "'%02d:%02d:%02d'", (int)(v->u.i / 3600000000),
                     (int)(v->u.i / 60000000 % 60), (int)(v->u.i / 1000000 % 60));
        break;
    case TN_T_SPAN:
        if (v->u.i % 1000000 != 0 && old) {
            return ch_host->fail(
                err, TN_E_INVAL,
                "a timedelta with a part of a second is nothing this server knows");
        }
        n = v->u.i % 1000000 != 0
                ? snprintf(text, sizeof text, "toIntervalMicrosecond(%" PRId64 ")", v->u.i)
                : snprintf(text, sizeof text, "toIntervalSecond(%" PRId64 ")", v->u.i / 1000000);
        break;
    case TN_T_STR:
    case TN_T_BYTES:
        ch_put8(out, '\'');
        quote(out, v->n != 0 ? v->u.b : (const uint8_t *)"", v->n);
        ch_put8(out, '\'');
        return TN_OK;
    default:
        return ch_host->fail(err, TN_E_INVAL, "a value of type %u cannot be a parameter", v->type);
    }
    ch_put(out, text, (size_t)n);
    return rc;
}

/* ---- parameters -------------------------------------------------------------------------------------- */

/* The server's type for a value, and the value as that type's text; strings are told by v itself. */
static tn_rc typed(const tn_val *v, char type[40], char text[CH_NUMBER_TEXT], tn_err *err)
{
    uint8_t number[32];
    uint32_t bits;
    int scale;
    bool naive = (v->flags & TN_V_NAIVE) != 0;
    switch (v->type) {
    case TN_T_BOOL:
        snprintf(type, 40, "Bool");
        snprintf(text, CH_NUMBER_TEXT, "%s", v->u.i ? "true" : "false");
        return TN_OK;
    case TN_T_INT:
        snprintf(type, 40, "Int64");
        snprintf(text, CH_NUMBER_TEXT, "%" PRId64, v->u.i);
        return TN_OK;
    case TN_T_FLOAT:
        snprintf(type, 40, "Float64");
        floating(text, CH_NUMBER_TEXT, v->u.f);
        return TN_OK;
    case TN_T_DECIMAL:
        if (digits_only(v)) {
            const char *name = ch_number_parse(v->u.s, v->n, 8, false, 0, number)    ? "UInt64"
                               : ch_number_parse(v->u.s, v->n, 16, true, 0, number)  ? "Int128"
                               : ch_number_parse(v->u.s, v->n, 16, false, 0, number) ? "UInt128"
                               : ch_number_parse(v->u.s, v->n, 32, true, 0, number)  ? "Int256"
                               : ch_number_parse(v->u.s, v->n, 32, false, 0, number) ? "UInt256"
                                                                                     : NULL;
            if (name == NULL) {
                return ch_host->fail(err, TN_E_INVAL,
                                     "a whole number of %u digits does not fit into 256 bits",
                                     v->n);
            }
            snprintf(type, 40, "%s", name);
            snprintf(text, CH_NUMBER_TEXT, "%.*s", (int)v->n, v->u.s);
            return TN_OK;
        }
        if (decimal(v, false, &bits, &scale, text, err) != TN_OK) {
            return TN_E_INVAL;
        }
        snprintf(type, 40, "Decimal%u(%d)", bits, scale);
        return TN_OK;
    case TN_T_TIME: {
        bool fine = v->u.i % 1000000 != 0 || v->u.i < 0 || v->u.i / 1000000 > UINT32_MAX;
        const char *names[] = {"DateTime('UTC')", "DateTime", "DateTime64(6, 'UTC')",
                               "DateTime64(6)"};
        snprintf(type, 40, "%s", names[2 * fine + naive]);
        moment(text, CH_NUMBER_TEXT, v->u.i, fine);
        return TN_OK;
    }
    case TN_T_DATE:
        snprintf(type, 40, v->u.i >= 0 && v->u.i <= UINT16_MAX ? "Date" : "Date32");
        date(text, CH_NUMBER_TEXT, v->u.i);
        return TN_OK;
    case TN_T_CLOCK:
        snprintf(type, 40, "String");
        snprintf(text, CH_NUMBER_TEXT, "%02d:%02d:%02d", (int)(v->u.i / 3600000000),
                 (int)(v->u.i / 60000000 % 60), (int)(v->u.i / 1000000 % 60));
        return TN_OK;
    default:
        return ch_host->fail(err, TN_E_INVAL, "a value of type %u cannot be a parameter", v->type);
    }
}

/* Text of a text: the server reads it twice, as a quoted setting and with the escapes of tab separated values. */
static tn_rc parameter(struct ch_binder *b, struct ch_out *out, const tn_val *v, tn_err *err)
{
    char type[40] = "String", text[CH_NUMBER_TEXT], name[24], place[80];
    struct ch_out once = {.p = NULL}, twice = {.p = NULL};
    tn_rc rc = TN_OK;
    if (v->type == TN_T_STR || v->type == TN_T_BYTES) {
        quote(&once, v->n != 0 ? v->u.b : (const uint8_t *)"", v->n);
    } else {
        rc = typed(v, type, text, err);
        if (rc != TN_OK) {
            return rc;
        }
        ch_put(&once, text, strlen(text));
    }
    ch_put8(&twice, '\'');
    quote(&twice, once.p, once.n);
    ch_put8(&twice, '\'');
    int n = snprintf(name, sizeof name, "_p%u", ++b->n);
    ch_put_text(&b->params, name, (size_t)n);
    ch_putv(&b->params, 2); /* a setting of the client's own */
    ch_put_text(&b->params, (const char *)twice.p, twice.n);
    b->params.failed |= once.failed || twice.failed;
    ch_out_finish(&once);
    ch_out_finish(&twice);
    n = snprintf(place, sizeof place, "{%s:%s}", name, type);
    ch_put(out, place, (size_t)n);
    return TN_OK;
}

tn_rc ch_bind(void *binder, struct sql_text *out, const tn_val *v, tn_err *err)
{
    struct ch_binder *b = binder;
    struct ch_out text = {.p = NULL};
    bool server = !b->literals && v->type != TN_T_NULL && v->type != TN_T_SPAN;
    tn_rc rc = server ? parameter(b, &text, v, err) : literal(b, &text, v, err);
    if (rc == TN_OK && text.failed) {
        rc = ch_host->fail(err, TN_E_NOMEM, "no memory for the statement");
    }
    rc = rc == TN_OK ? sql_text_put(ch_host, out, (const char *)text.p, text.n, err) : rc;
    ch_out_finish(&text);
    return rc;
}
