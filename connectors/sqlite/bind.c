/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters: every value is bound by SQLite itself, none ever becomes part of the SQL text. */
#include "common/civil.h"
#include "sqlite.h"

#include <stdio.h>
#include <string.h>

static const char *type_name(unsigned type)
{
    static const char *const names[TN_T_TYPES] = {
        "null", "bool", "int",  "float", "text",        "bytes",         "decimal",
        "time", "date", "list", "map",   "time of day", "length of time"};
    return type < TN_T_TYPES ? names[type] : "unknown";
}

/* "YYYY-MM-DD"; SQLite's own date functions read it. */
static int date_text(char *out, size_t cap, int64_t days)
{
    int64_t y;
    int m, d;
    civil_date(days, &y, &m, &d);
    return snprintf(out, cap, "%04lld-%02d-%02d", (long long)y, m, d);
}

static int bind_time(sqlite3_stmt *stmt, int i, const tn_val *v)
{
    const int64_t day = 86400000000;
    int64_t days = v->u.i / day - (v->u.i % day < 0), rest = v->u.i - days * day;
    char text[64];
    int n = date_text(text, sizeof text, days);
    n += snprintf(text + n, sizeof text - (size_t)n, " %02d:%02d:%02d.%06d%s",
                  (int)(rest / 3600000000), (int)(rest / 60000000 % 60), (int)(rest / 1000000 % 60),
                  (int)(rest % 1000000), v->flags & TN_V_NAIVE ? "" : "+00:00");
    return sqlite3_bind_text(stmt, i, text, n, SQLITE_TRANSIENT);
}

static int bind_clock(sqlite3_stmt *stmt, int i, const tn_val *v)
{
    char text[48];
    uint64_t u = v->u.i < 0 ? 0 - (uint64_t)v->u.i : (uint64_t)v->u.i;
    int n = snprintf(text, sizeof text, "%s%02llu:%02d:%02d.%06d", v->u.i < 0 ? "-" : "",
                     (unsigned long long)(u / 3600000000), (int)(u / 60000000 % 60),
                     (int)(u / 1000000 % 60), (int)(u % 1000000));
    return sqlite3_bind_text(stmt, i, text, n, SQLITE_TRANSIENT);
}

static int bind_date(sqlite3_stmt *stmt, int i, const tn_val *v)
{
    char text[32];
    int n = date_text(text, sizeof text, v->u.i);
    return sqlite3_bind_text(stmt, i, text, n, SQLITE_TRANSIENT);
}

/* The caller's memory outlives the statement's run, and bindings are cleared after it: no
 * copies, unless the statement is read piece by piece (keep). */
static tn_rc bind_one(struct conn *c, sqlite3_stmt *stmt, int i, const tn_val *v, bool keep,
                      tn_err *err)
{
    const sqlite3_destructor_type life = keep ? SQLITE_TRANSIENT : SQLITE_STATIC;
    int code;
    switch (v->type) {
    case TN_T_NULL:
        code = sqlite3_bind_null(stmt, i);
        break;
    case TN_T_BOOL:
        code = sqlite3_bind_int(stmt, i, v->u.i != 0);
        break;
    case TN_T_INT:
        code = sqlite3_bind_int64(stmt, i, v->u.i);
        break;
    case TN_T_FLOAT:
        code = sqlite3_bind_double(stmt, i, v->u.f);
        break;
    case TN_T_STR:
    case TN_T_DECIMAL:
        code = sqlite3_bind_text64(stmt, i, v->u.s ? v->u.s : "", v->n, life, SQLITE_UTF8);
        break;
    case TN_T_BYTES:
        code = sqlite3_bind_blob64(stmt, i, v->u.b ? v->u.b : (const uint8_t *)"", v->n, life);
        break;
    case TN_T_TIME:
        code = bind_time(stmt, i, v);
        break;
    case TN_T_CLOCK:
    case TN_T_SPAN:
        code = bind_clock(stmt, i, v);
        break;
    case TN_T_DATE:
        code = bind_date(stmt, i, v);
        break;
    default:
        return sq_fail(err, TN_E_INVAL,
                       "sqlite: parameter %d is a %s; give one parameter per value, or JSON text",
                       i, type_name(v->type));
    }
    return code == SQLITE_OK ? TN_OK : sq_error(c, code, "binding a parameter", err);
}

static tn_rc check_count(sqlite3_stmt *stmt, uint32_t n, tn_err *err)
{
    int want = sqlite3_bind_parameter_count(stmt);
    return (uint32_t)want == n
               ? TN_OK
               : sq_fail(err, TN_E_INVAL, "sqlite: the statement has %d parameters, %u were given",
                         want, n);
}

static tn_rc bind_list(struct conn *c, sqlite3_stmt *stmt, const tn_val *items, uint32_t n,
                       bool keep, tn_err *err)
{
    tn_rc rc = check_count(stmt, n, err);
    for (uint32_t i = 0; rc == TN_OK && i < n; i++) {
        rc = bind_one(c, stmt, (int)i + 1, &items[i], keep, err);
    }
    return rc;
}

tn_rc sq_bind_each(struct conn *c, sqlite3_stmt *stmt, const tn_val *const *values, uint32_t n,
                   bool keep, tn_err *err)
{
    tn_rc rc = check_count(stmt, n, err);
    for (uint32_t i = 0; rc == TN_OK && i < n; i++) {
        rc = bind_one(c, stmt, (int)i + 1, values[i], keep, err);
    }
    return rc;
}

static tn_rc bind_map(struct conn *c, sqlite3_stmt *stmt, const tn_val *params, bool keep,
                      tn_err *err)
{
    int want = sqlite3_bind_parameter_count(stmt);
    for (int i = 1; i <= want; i++) {
        const char *name = sqlite3_bind_parameter_name(stmt, i);
        const tn_val *v = NULL;
        for (uint32_t k = 0; name && k < params->n; k++) {
            const tn_val *key = &params->u.map[k].key;
            if (key->type == TN_T_STR && key->n == strlen(name + 1) &&
                memcmp(key->u.s, name + 1, key->n) == 0) {
                v = &params->u.map[k].val;
            }
        }
        if (!v) {
            return sq_fail(err, TN_E_INVAL, "sqlite: no value is given for parameter %s (%d)",
                           name ? name : "?", i);
        }
        tn_rc rc = bind_one(c, stmt, i, v, keep, err);
        if (rc) {
            return rc;
        }
    }
    return TN_OK;
}

/* A list is positional, a map names its parameters (:name), a scalar is a list of one. */
tn_rc sq_bind(struct conn *c, sqlite3_stmt *stmt, const tn_val *params, bool keep, tn_err *err)
{
    if (!params || params->type == TN_T_NULL) {
        return bind_list(c, stmt, NULL, 0, keep, err);
    }
    if (params->type == TN_T_LIST) {
        return bind_list(c, stmt, params->u.list, params->n, keep, err);
    }
    if (params->type == TN_T_MAP) {
        return bind_map(c, stmt, params, keep, err);
    }
    return bind_list(c, stmt, params, 1, keep, err);
}
