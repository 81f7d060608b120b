/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters: every value goes to the server beside the statement, with the type that the same literal
 * would have in SQL; texts have none, so the server takes them for what the place needs. */
#include "postgresql.h"

#include "common/civil.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Object identifiers of built-in types (src/include/catalog/pg_type.dat); they never change. */
enum {
    OID_BOOL = 16,
    OID_BYTEA = 17,
    OID_INT8 = 20,
    OID_INT4 = 23,
    OID_FLOAT8 = 701,
    OID_DATE = 1082,
    OID_TIME = 1083,
    OID_TIMESTAMP = 1114,
    OID_TIMESTAMPTZ = 1184,
    OID_INTERVAL = 1186,
    OID_TIMETZ = 1266,
    OID_NUMERIC = 1700
};

#define TEXT_MAX 64 /* bytes of any formatted number or time */

static int date(char *out, size_t cap, int64_t days, int *ret_bc)
{
    int64_t y;
    int m, d;
    civil_date(days, &y, &m, &d);
    *ret_bc = y < 1; /* a moment of year 1 east of Greenwich, in UTC */
    return snprintf(out, cap, "%04" PRId64 "-%02d-%02d", *ret_bc ? 1 - y : y, m, d);
}

static int clock_text(char *out, size_t cap, int64_t us)
{
    return snprintf(out, cap, "%02" PRId64 ":%02d:%02d.%06d", us / 3600000000,
                    (int)(us / 60000000 % 60), (int)(us / 1000000 % 60), (int)(us % 1000000));
}

static int moment(char *out, size_t cap, const tn_val *v)
{
    const int64_t day = 86400000000;
    int64_t days = v->u.i / day - (v->u.i % day < 0);
    int bc, n = date(out, cap, days, &bc);
    n += snprintf(out + n, cap - (size_t)n, " ");
    n += clock_text(out + n, cap - (size_t)n, v->u.i - days * day);
    return n + snprintf(out + n, cap - (size_t)n, "%s%s", v->flags & TN_V_NAIVE ? "" : "+00",
                        bc ? " BC" : "");
}

/* A float as its shortest exact text, which SQL reads as numeric, as it does a literal. */
static int number(char *out, double f)
{
    for (int digits = 15; digits <= 17; digits++) {
        int n = snprintf(out, TEXT_MAX, "%.*g", digits, f);
        if (digits == 17 || strtod(out, NULL) == f) {
            return n;
        }
    }
    return 0;
}

/* Type and text of one value; out has TEXT_MAX bytes. */
static tn_rc format(const tn_val *v, char *out, Oid *ret_type, tn_err *err)
{
    switch (v->type) {
    case TN_T_BOOL:
        *ret_type = OID_BOOL;
        snprintf(out, TEXT_MAX, "%s", v->u.i ? "t" : "f");
        return TN_OK;
    case TN_T_INT:
        *ret_type = v->u.i >= INT32_MIN && v->u.i <= INT32_MAX ? OID_INT4 : OID_INT8;
        snprintf(out, TEXT_MAX, "%" PRId64, v->u.i);
        return TN_OK;
    case TN_T_FLOAT:
        *ret_type = isfinite(v->u.f) ? OID_NUMERIC : OID_FLOAT8;
        if (isfinite(v->u.f)) {
            number(out, v->u.f);
        } else {
            snprintf(out, TEXT_MAX, "%s",
                     isnan(v->u.f) ? "NaN"
                     : v->u.f < 0  ? "-Infinity"
                                   : "Infinity");
        }
        return TN_OK;
    case TN_T_TIME:
        *ret_type = v->flags & TN_V_NAIVE ? OID_TIMESTAMP : OID_TIMESTAMPTZ;
        moment(out, TEXT_MAX, v);
        return TN_OK;
    case TN_T_DATE: {
        int bc; /* Python has no such date */
        *ret_type = OID_DATE;
        date(out, TEXT_MAX, v->u.i, &bc);
        return TN_OK;
    }
    case TN_T_CLOCK: {
        int32_t zone = v->flags & TN_V_ZONE ? (int32_t)v->n : 0;
        int n = clock_text(out, TEXT_MAX, v->u.i), at = zone < 0 ? -zone : zone;
        *ret_type = v->flags & TN_V_ZONE ? OID_TIMETZ : OID_TIME;
        if (v->flags & TN_V_ZONE) {
            snprintf(out + n, (size_t)(TEXT_MAX - n), "%c%02d:%02d:%02d", zone < 0 ? '-' : '+',
                     at / 3600, at / 60 % 60, at % 60);
        }
        return TN_OK;
    }
    case TN_T_SPAN:
        *ret_type = OID_INTERVAL;
        snprintf(out, TEXT_MAX, "%" PRId64 " seconds %d microseconds", v->u.i / 1000000,
                 (int)(v->u.i % 1000000));
        return TN_OK;
    default:
        return pg_host->fail(err, TN_E_INVAL, "a value of type %u cannot be a parameter", v->type);
    }
}

/* Memory for texts that need a copy: libpq wants a NUL behind them. */
static size_t copy_size(const tn_val *v)
{
    return v->type == TN_T_STR || v->type == TN_T_DECIMAL  ? (size_t)v->n + 1
           : v->type == TN_T_NULL || v->type == TN_T_BYTES ? 0
                                                           : TEXT_MAX;
}

static tn_rc bind_one(struct pg_binds *b, int i, const tn_val *v, char *text, tn_err *err)
{
    b->types[i] = 0;
    switch (v->type) {
    case TN_T_NULL:
        return TN_OK;
    case TN_T_BYTES:
        b->types[i] = OID_BYTEA;
        b->values[i] = v->n != 0 ? (const char *)v->u.b : "";
        b->lengths[i] = (int)v->n;
        b->formats[i] = 1;
        return v->n <= INT32_MAX ? TN_OK
                                 : pg_host->fail(err, TN_E_LIMIT, "a value is longer than 2 GiB");
    case TN_T_DECIMAL:
        b->types[i] = OID_NUMERIC;
        /* fall through */
    case TN_T_STR:
        if (v->n != 0 && memchr(v->u.s, '\0', v->n) != NULL) {
            return pg_host->fail(err, TN_E_INVAL,
                                 "parameter %d has a NUL character, which PostgreSQL texts cannot "
                                 "hold; pass bytes",
                                 i + 1);
        }
        memcpy(text, v->n != 0 ? v->u.s : "", v->n);
        text[v->n] = '\0';
        b->values[i] = text;
        return TN_OK;
    default:
        b->values[i] = text;
        return format(v, text, &b->types[i], err);
    }
}

tn_rc pg_bind(const struct sql_text *t, struct pg_binds *ret, tn_err *err)
{
    struct pg_binds b = {.n = (int)t->nbinds};
    size_t n = t->nbinds + 1, text = 1, used = 0;
    for (uint32_t i = 0; i < t->nbinds; i++) {
        text += copy_size(t->binds[i]);
    }
    b.types = calloc(n, sizeof *b.types);
    b.values = calloc(n, sizeof *b.values);
    b.lengths = calloc(n, sizeof *b.lengths);
    b.formats = calloc(n, sizeof *b.formats);
    b.text = malloc(text);
    tn_rc rc = b.types && b.values && b.lengths && b.formats && b.text
                   ? TN_OK
                   : pg_host->fail(err, TN_E_NOMEM, "no memory for the parameters");
    for (uint32_t i = 0; rc == TN_OK && i < t->nbinds; i++) {
        rc = bind_one(&b, (int)i, t->binds[i], b.text + used, err);
        used += copy_size(t->binds[i]);
    }
    if (rc != TN_OK) {
        pg_binds_finish(&b);
        return rc;
    }
    *ret = b;
    return TN_OK;
}

void pg_binds_finish(struct pg_binds *b)
{
    free(b->types);
    free(b->values);
    free(b->lengths);
    free(b->formats);
    free(b->text);
    *b = (struct pg_binds){.n = 0};
}
