/* SPDX-License-Identifier: Apache-2.0 */
/* What a script gives to a method as a job: the statement with its own placeholders, and copies of the values. */
#include "oracle.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* None is the word NULL, because a bound one needs a type; in rows that are sent as arrays each place keeps its variable. */
static const struct sql_dialect plain = {
    .flags = SQL_COLON_PARAMS | SQL_NULL_TEXT | SQL_Q_QUOTES, .quote = '"', .fold = 'u'};
static const struct sql_dialect for_rows = {
    .flags = SQL_COLON_PARAMS | SQL_Q_QUOTES, .quote = '"', .fold = 'u'};

static tn_rc no_memory(tn_err *err)
{
    return ora_host->fail(err, TN_E_NOMEM, "no memory for the statement");
}

/* The label in front is not kept: the server shows it in v$session, and statements that differ are parsed anew. */
static tn_rc take_sql(struct ora_job *job, const struct sql_text *t, tn_err *err)
{
    job->sql_len = t->n - t->label;
    job->sql = malloc(job->sql_len + 1);
    if (job->sql == NULL) {
        return no_memory(err);
    }
    memcpy(job->sql, t->sql + t->label, job->sql_len + 1);
    return TN_OK;
}

/* ---- names ------------------------------------------------------------------------------------------- */

static tn_rc take_name(const tn_val *key, char **ret, tn_err *err)
{
    if (key->type != TN_T_STR || key->n == 0 || key->n > 128 ||
        memchr(key->u.s, '\0', key->n) != NULL) {
        return ora_host->fail(err, TN_E_INVAL, "the name of a variable has 1 to 128 bytes");
    }
    *ret = malloc((size_t)key->n + 1);
    if (*ret == NULL) {
        return no_memory(err);
    }
    memcpy(*ret, key->u.s, key->n);
    (*ret)[key->n] = '\0';
    return TN_OK;
}

static tn_rc take_named(struct ora_job *job, const tn_val *map, tn_err *err)
{
    const tn_val **values = calloc((size_t)map->n + 1, sizeof *values);
    tn_rc rc = values != NULL ? TN_OK : no_memory(err);
    job->names = calloc((size_t)map->n + 1, sizeof *job->names);
    rc = job->names != NULL ? rc : no_memory(err);
    for (uint32_t i = 0; rc == TN_OK && i < map->n; i++) {
        rc = take_name(&map->u.map[i].key, &job->names[i], err);
        job->nnames += rc == TN_OK;
        values[i] = &map->u.map[i].val;
    }
    rc = rc == TN_OK ? ora_values_copy(values, map->n, 1, &job->in, err) : rc;
    free(values);
    return rc;
}

static tn_rc take_listed(struct ora_job *job, const tn_val *list, tn_err *err)
{
    const tn_val **values = calloc((size_t)list->n + 1, sizeof *values);
    if (values == NULL) {
        return no_memory(err);
    }
    for (uint32_t i = 0; i < list->n; i++) {
        values[i] = &list->u.list[i];
    }
    tn_rc rc = ora_values_copy(values, list->n, 1, &job->in, err);
    free(values);
    return rc;
}

/* ---- rows -------------------------------------------------------------------------------------------- */

/* A list of lists of the same length; NULL: it is something else. */
static const tn_val *rows_in(const tn_val *v)
{
    if (v->type != TN_T_LIST || v->n == 0) {
        return NULL;
    }
    for (uint32_t i = 0; i < v->n; i++) {
        if (v->u.list[i].type != TN_T_LIST || v->u.list[i].n == 0 ||
            v->u.list[i].n != v->u.list[0].n) {
            return NULL;
        }
    }
    return v;
}

/* The rows of `… VALUES ?`, which in most versions of Oracle is no statement; NULL: it is another one. */
static const tn_val *rows_of(tn_str sql, const tn_val *params)
{
    const char *p = sql.s + sql.n;
    while (p > sql.s && strchr(" \t\r\n\f\v", p[-1]) != NULL) {
        p--;
    }
    if (params == NULL || params->type != TN_T_LIST || params->n == 0 || p == sql.s ||
        *--p != '?') {
        return NULL;
    }
    while (p > sql.s && strchr(" \t\r\n\f\v", p[-1]) != NULL) {
        p--;
    }
    return p - sql.s > 7 && strncasecmp(p - 6, "VALUES", 6) == 0
               ? rows_in(&params->u.list[params->n - 1])
               : NULL;
}

/* t was made of the first row, whose values are its last ones; what is in front of them is the same for each row. */
static tn_rc take_rows(struct ora_job *job, const struct sql_text *t, const tn_val *rows,
                       tn_err *err)
{
    uint32_t n = rows->u.list[0].n, before = t->nbinds - n;
    bool fits = t->nbinds >= n && (uint64_t)t->nbinds * rows->n <= UINT32_MAX;
    for (uint32_t k = 0; fits && k < n; k++) {
        fits = t->binds[before + k] == &rows->u.list[0].u.list[k];
    }
    if (!fits) {
        return ora_host->fail(
            err, TN_E_INVAL,
            "the statement takes %u values and a row has %u; each ? of a statement for many rows is one "
            "value",
            t->nbinds, n);
    }
    const tn_val **values = malloc(((size_t)t->nbinds * rows->n + 1) * sizeof *values);
    if (values == NULL) {
        return no_memory(err);
    }
    for (uint32_t i = 0; i < rows->n; i++) {
        for (uint32_t k = 0; k < t->nbinds; k++) {
            values[(size_t)i * t->nbinds + k] = k < before ? t->binds[k]
                                                           : &rows->u.list[i].u.list[k - before];
        }
    }
    tn_rc rc = ora_values_copy(values, t->nbinds, rows->n, &job->in, err);
    free(values);
    job->many = true;
    return rc;
}

/* The last of the parameters as its first row alone. */
static tn_rc fill_values(struct ora_job *job, tn_str sql, const tn_val *params, const tn_val *rows,
                         tn_err *err)
{
    struct sql_text t = {.sql = NULL};
    tn_val one = {.type = TN_T_LIST, .n = 1, .u.list = rows->u.list}, all = *params;
    tn_val *copy = malloc(params->n * sizeof *copy);
    if (copy == NULL) {
        return no_memory(err);
    }
    memcpy(copy, params->u.list, params->n * sizeof *copy);
    copy[params->n - 1] = one;
    all.u.list = copy;
    tn_rc rc = sql_translate(ora_host, &for_rows, sql, &all, &t, err);
    if (rc == TN_OK) {
        rc = take_sql(job, &t, err);
        rc = rc == TN_OK ? take_rows(job, &t, rows, err) : rc;
        sql_text_finish(&t);
    }
    free(copy);
    return rc;
}

/* ---- methods ----------------------------------------------------------------------------------------- */

tn_rc ora_fill(struct ora_job *job, tn_str sql, const tn_val *params, tn_err *err)
{
    const tn_val *rows = job->method == ORA_NON_QUERY ? rows_of(sql, params) : NULL;
    struct sql_text t = {.sql = NULL};
    if (rows != NULL) {
        return fill_values(job, sql, params, rows, err);
    }
    tn_rc rc = sql_translate(ora_host, &plain, sql, params, &t, err);
    if (rc != TN_OK) {
        return rc;
    }
    rc = take_sql(job, &t, err);
    bool mine = t.nbinds == 0 && params != NULL && params->n != 0 &&
                memchr(t.sql, ':', t.n) != NULL;
    if (rc == TN_OK && mine && (params->type == TN_T_LIST || params->type == TN_T_MAP)) {
        job->own = true;
        rc = params->type == TN_T_MAP ? take_named(job, params, err)
                                      : take_listed(job, params, err);
    } else if (rc == TN_OK) {
        rc = ora_values_copy(t.binds, t.nbinds, 1, &job->in, err);
    }
    sql_text_finish(&t);
    return rc;
}

tn_rc ora_fill_many(struct ora_job *job, tn_str sql, const tn_val *rows, bool keep_errors,
                    tn_err *err)
{
    struct sql_text t = {.sql = NULL};
    if (rows == NULL || rows_in(rows) == NULL) {
        return ora_host->fail(err, TN_E_INVAL, "rows: a list of lists of the same length");
    }
    tn_rc rc = sql_translate(ora_host, &for_rows, sql, &rows->u.list[0], &t, err);
    if (rc == TN_OK) {
        rc = take_sql(job, &t, err);
        rc = rc == TN_OK ? take_rows(job, &t, rows, err) : rc;
        sql_text_finish(&t);
    }
    job->keep_errors = keep_errors;
    return rc;
}

tn_rc ora_fill_call(struct ora_job *job, tn_str sql, const tn_val *in, const tn_val *out,
                    tn_err *err)
{
    struct sql_text t = {.sql = NULL};
    if ((in != NULL && in->type != TN_T_MAP && in->type != TN_T_NULL) ||
        (out != NULL && out->type != TN_T_MAP && out->type != TN_T_NULL)) {
        return ora_host->fail(err, TN_E_INVAL, "params and out: dicts by the names of variables");
    }
    tn_rc rc = sql_translate(ora_host, &plain, sql, NULL, &t, err);
    if (rc != TN_OK) {
        return rc;
    }
    rc = take_sql(job, &t, err);
    sql_text_finish(&t);
    if (rc == TN_OK && in != NULL && in->type == TN_T_MAP) {
        rc = take_named(job, in, err);
    }
    uint32_t n = out != NULL && out->type == TN_T_MAP ? out->n : 0;
    job->out = rc == TN_OK ? calloc((size_t)n + 1, sizeof *job->out) : NULL;
    rc = rc == TN_OK && job->out == NULL ? no_memory(err) : rc;
    for (uint32_t i = 0; rc == TN_OK && i < n; i++) {
        job->nout = i + 1;
        rc = take_name(&out->u.map[i].key, &job->out[i].name, err);
        rc = rc == TN_OK ? ora_out_kind(&out->u.map[i].val, &job->out[i], err) : rc;
        for (uint32_t k = 0; rc == TN_OK && k < job->nnames; k++) {
            if (strcasecmp(job->names[k], job->out[i].name) == 0) {
                rc = ora_host->fail(
                    err, TN_E_INVAL,
                    "%s goes in and comes out: take two names, BEGIN :b := :a; p(:b); END;",
                    job->names[k]);
            }
        }
    }
    return rc;
}
