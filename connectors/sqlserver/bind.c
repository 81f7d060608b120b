/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters: copies of the values, each in the type that SQL Server would take it for. */
#include "sqlserver.h"

#include "common/civil.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PARAMS_MAX 2100 /* of a request, says the server */
#define DIGITS_MAX 38
#define DAY_US     86400000000
#define OLD_DAYS   (-79257ll) /* 1753-01-01: FreeTDS sends the first days of the calendar wrongly */

static tn_rc big(struct ss_param *p, const void *data, size_t n, tn_err *err)
{
    p->big = malloc(n + 1);
    if (p->big == NULL) {
        return ss_host->fail(err, TN_E_NOMEM, "no memory for the parameters");
    }
    memcpy(p->big, n != 0 ? data : "", n);
    ((char *)p->big)[n] = '\0';
    p->len = (SQLLEN)n;
    return TN_OK;
}

/* nvarchar counts in halves of UTF-16. */
static size_t halves(const char *s, size_t n)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char b = (unsigned char)s[i];
        k += (b & 0xc0) != 0x80 ? b >= 0xf0 ? 2 : 1 : 0;
    }
    return k;
}

static tn_rc bind_text(struct ss_param *p, const char *s, size_t n, tn_err *err)
{
    size_t size = halves(s, n);
    p->ctype = SQL_C_CHAR;
    p->type = size > 4000 ? SQL_WLONGVARCHAR : SQL_WVARCHAR;
    p->size = size != 0 ? size : 1;
    return big(p, s, n, err);
}

/* Behind the E: the end of the text, or where something else begins. */
static size_t read_exponent(const char *s, size_t i, size_t n, int *ret)
{
    bool minus = i < n && s[i] == '-';
    int v = 0;
    for (i += i < n && (s[i] == '-' || s[i] == '+');
         i < n && s[i] >= '0' && s[i] <= '9' && v < 1000; i++) {
        v = v * 10 + (s[i] - '0');
    }
    *ret = minus ? -v : v;
    return i;
}

/* "-12.50", "1E+3" as digits with a point, for there is no other form of a decimal. */
static tn_rc bind_decimal(struct ss_param *p, const char *s, size_t n, tn_err *err)
{
    char digits[DIGITS_MAX + 1], out[2 * DIGITS_MAX + 4];
    int nd = 0, scale = 0, exponent = 0;
    size_t i = 0, o = 0;
    bool minus = n != 0 && s[0] == '-', point = false, bad = n == 0;
    for (i = n != 0 && (s[0] == '-' || s[0] == '+'); i < n && !bad; i++) {
        if (s[i] == '.' && !point) {
            point = true;
        } else if (s[i] >= '0' && s[i] <= '9') {
            scale += point;
            if (nd > 0 || s[i] != '0') {
                bad = nd == DIGITS_MAX;
                digits[nd < DIGITS_MAX ? nd++ : 0] = s[i];
            }
        } else if (s[i] == 'E' || s[i] == 'e') {
            i = read_exponent(s, i + 1, n, &exponent);
            bad = i != n;
        } else {
            bad = true;
        }
    }
    scale -= exponent;
    for (; scale < 0 && nd < DIGITS_MAX && nd > 0; scale++) {
        digits[nd++] = '0';
    }
    scale = nd == 0 && scale < 0 ? 0 : scale;
    if (bad || scale < 0 || scale > DIGITS_MAX) {
        return ss_host->fail(
            err, TN_E_INVAL,
            "SQL Server has no decimal like %.*s: at most %d digits, and no NaN or infinity",
            (int)(n < 60 ? n : 60), s, DIGITS_MAX);
    }
    if (minus) {
        out[o++] = '-';
    }
    for (int k = nd > scale ? nd : scale; k > 0; k--) {
        if (k == scale) {
            out[o++] = '.';
        }
        out[o++] = k > nd ? '0' : digits[nd - k];
    }
    if (nd == 0 && scale == 0) {
        out[o++] = '0';
    }
    p->ctype = SQL_C_CHAR;
    p->type = SQL_NUMERIC;
    p->size = (SQLULEN)(nd > scale ? nd : scale > 0 ? scale : 1);
    p->scale = (SQLSMALLINT)scale;
    return big(p, out, o, err);
}

static void bind_moment(struct ss_param *p, int64_t us)
{
    int64_t days = us / DAY_US - (us % DAY_US < 0), y;
    int month, day;
    civil_date(days, &y, &month, &day);
    us -= days * DAY_US;
    p->u.time = (SQL_TIMESTAMP_STRUCT){(SQLSMALLINT)y,
                                       (SQLUSMALLINT)month,
                                       (SQLUSMALLINT)day,
                                       (SQLUSMALLINT)(us / 3600000000),
                                       (SQLUSMALLINT)(us / 60000000 % 60),
                                       (SQLUSMALLINT)(us / 1000000 % 60),
                                       (SQLUINTEGER)(us % 1000000 * 1000)};
    p->ctype = SQL_C_TYPE_TIMESTAMP;
    p->type = SQL_TYPE_TIMESTAMP;
    p->size = 27;
    p->scale = 7;
    p->len = sizeof p->u.time;
}

/* What FreeTDS cannot send in its own type goes as text, which the server converts where it is used. */
static tn_rc bind_as_text(struct ss_param *p, const tn_val *v, tn_err *err)
{
    char text[64];
    int64_t us = v->u.i, days = us / DAY_US - (us % DAY_US < 0), y, clock = us - days * DAY_US;
    int month, day, n = 0;
    if (v->type == TN_T_DATE) {
        civil_date(us, &y, &month, &day);
        n = snprintf(text, sizeof text, "%04lld-%02d-%02d", (long long)y, month, day);
        return bind_text(p, text, (size_t)n, err);
    }
    if (v->type == TN_T_TIME) {
        civil_date(days, &y, &month, &day);
        n = snprintf(text, sizeof text, "%04lld-%02d-%02d ", (long long)y, month, day);
    } else if (us < 0 || us >= DAY_US) {
        return ss_host->fail(
            err, TN_E_INVAL,
            "SQL Server has no lengths of time: a timedelta can only be bound as a time of day");
    }
    n += snprintf(text + n, sizeof text - (size_t)n, "%02lld:%02lld:%02lld.%06lld%s",
                  (long long)(clock / 3600000000), (long long)(clock / 60000000 % 60),
                  (long long)(clock / 1000000 % 60), (long long)(clock % 1000000),
                  v->type == TN_T_TIME && !(v->flags & TN_V_NAIVE) ? " +00:00" : "");
    return bind_text(p, text, (size_t)n, err);
}

static tn_rc bind_one(struct ss_param *p, const tn_val *v, tn_err *err)
{
    int64_t y;
    int month, day;
    switch (v->type) {
    case TN_T_BOOL:
        *p = (struct ss_param){
            .ctype = SQL_C_BIT, .type = SQL_BIT, .size = 1, .len = 1, .u.bit = v->u.i != 0};
        return TN_OK;
    case TN_T_INT:
        *p = (struct ss_param){
            .ctype = SQL_C_SBIGINT, .type = SQL_BIGINT, .size = 19, .len = 8, .u.i = v->u.i};
        if (v->u.i >= INT32_MIN && v->u.i <= INT32_MAX) { /* what TOP, OFFSET and functions want */
            p->type = SQL_INTEGER;
            p->size = 10;
        }
        return TN_OK;
    case TN_T_FLOAT:
        *p = (struct ss_param){
            .ctype = SQL_C_DOUBLE, .type = SQL_DOUBLE, .size = 53, .len = 8, .u.f = v->u.f};
        return v->u.f - v->u.f == 0.0
                   ? TN_OK
                   : ss_host->fail(err, TN_E_INVAL, "SQL Server has neither NaN nor infinity");
    case TN_T_STR:
        return bind_text(p, v->u.s, v->n, err);
    case TN_T_DECIMAL:
        return bind_decimal(p, v->u.s, v->n, err);
    case TN_T_BYTES:
        p->ctype = SQL_C_BINARY;
        p->type = v->n > 8000 ? SQL_LONGVARBINARY : SQL_VARBINARY;
        p->size = v->n != 0 ? v->n : 1;
        return big(p, v->u.b, v->n, err);
    case TN_T_DATE:
        if (v->u.i < OLD_DAYS) {
            return bind_as_text(p, v, err);
        }
        civil_date(v->u.i, &y, &month, &day);
        p->u.date = (SQL_DATE_STRUCT){(SQLSMALLINT)y, (SQLUSMALLINT)month, (SQLUSMALLINT)day};
        p->ctype = SQL_C_TYPE_DATE;
        p->type = SQL_TYPE_DATE;
        p->size = 10;
        p->len = sizeof p->u.date;
        return TN_OK;
    case TN_T_TIME:
        if ((v->flags & TN_V_NAIVE) && v->u.i >= OLD_DAYS * DAY_US) {
            bind_moment(p, v->u.i);
            return TN_OK;
        }
        return bind_as_text(p, v, err);
    case TN_T_CLOCK:
    case TN_T_SPAN:
        return bind_as_text(p, v, err);
    default:
        return ss_host->fail(err, TN_E_INVAL, "a value of type %u cannot be a parameter", v->type);
    }
}

tn_rc ss_params(const struct sql_text *t, struct ss_job *job, tn_err *err)
{
    tn_rc rc = TN_OK;
    if (t->nbinds > PARAMS_MAX) {
        return ss_host->fail(
            err, TN_E_LIMIT,
            "SQL Server takes at most %d values with a statement, here are %u; send them in parts",
            PARAMS_MAX, t->nbinds);
    }
    job->params = calloc(t->nbinds + 1, sizeof *job->params);
    if (job->params == NULL) {
        return ss_host->fail(err, TN_E_NOMEM, "no memory for the parameters");
    }
    job->nparams = t->nbinds;
    for (uint32_t i = 0; rc == TN_OK && i < t->nbinds; i++) {
        rc = bind_one(&job->params[i], t->binds[i], err);
    }
    return rc;
}
