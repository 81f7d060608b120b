/* SPDX-License-Identifier: Apache-2.0 */
/* Results: as the server has them, or series as lists of dicts. */
#include "influx.h"

#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 4096

/* ---- a series as a table ------------------------------------------------------------------------------ */

struct names {
    tn_col *cols;
    struct grow text; /* unescaped names, one after the other */
    uint32_t n;
    char tags[32];
};

static int has_name(const struct names *s, const char *name)
{
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->cols[i].name_len == strlen(name) &&
            memcmp(s->cols[i].name, name, s->cols[i].name_len) == 0) {
            return 1;
        }
    }
    return 0;
}

/* Names of the columns; the last one is that of the tags, which gives way to columns of this name. */
static tn_rc take_names(struct names *s, tn_str columns)
{
    struct json_iter it;
    tn_str key, value;
    size_t at = 0;
    uint32_t n = 0;
    for (int more = json_iter(&it, columns);
         more && json_next(&it, &key, &value) && n < COLUMNS_MAX; n++) {
        json_text(&s->text, value);
        grow_char(&s->text, '\0'); /* names of InfluxDB have none */
    }
    s->cols = calloc((size_t)n + 2, sizeof *s->cols);
    if (s->cols == NULL || s->text.rc != TN_OK) {
        return TN_E_NOMEM;
    }
    for (; s->n < n; s->n++) {
        size_t len = strlen(s->text.s + at);
        s->cols[s->n] = (tn_col){s->text.s + at, (uint32_t)len, TN_T_NULL};
        at += len + 1;
    }
    strcpy(s->tags, "tags");
    while (has_name(s, s->tags) && strlen(s->tags) + 1 < sizeof s->tags) {
        memmove(s->tags + 1, s->tags, strlen(s->tags) + 1);
        s->tags[0] = '_';
    }
    s->cols[s->n++] = (tn_col){s->tags, (uint32_t)strlen(s->tags), TN_T_NULL};
    return TN_OK;
}

static tn_rc emit_row(const struct names *s, tn_str row, tn_str tags, tn_val *cells, tn_sink *sink)
{
    struct json_iter it;
    tn_str key, value;
    uint32_t i = 0;
    for (int more = json_iter(&it, row); more && i + 1 < s->n && json_next(&it, &key, &value);
         i++) {
        cells[i] = json_value(value);
    }
    for (; i < s->n; i++) {
        cells[i] = (tn_val){.type = TN_T_NULL};
    }
    cells[s->n - 1] = json_value(tags.s != NULL ? tags : TN_STR("{}"));
    return sink->ops->row(sink, cells);
}

static tn_rc emit_series(tn_str series, tn_sink *sink)
{
    struct names s = {.n = 0};
    struct json_iter it;
    tn_str key, row, tags = json_member(series, "tags");
    tn_rc rc = take_names(&s, json_member(series, "columns"));
    tn_val *cells = rc == TN_OK ? calloc(s.n, sizeof *cells) : NULL;
    rc = rc == TN_OK && cells == NULL ? TN_E_NOMEM : rc;
    rc = rc == TN_OK ? sink->ops->table_begin(sink, s.cols, s.n, -1) : rc;
    for (int more = rc == TN_OK && json_iter(&it, json_member(series, "values"));
         more && rc == TN_OK && json_next(&it, &key, &row);) {
        rc = emit_row(&s, row, tags, cells, sink);
    }
    rc = rc == TN_OK ? sink->ops->table_end(sink, -1) : rc;
    free(cells);
    free(s.cols);
    grow_free(&s.text);
    return rc;
}

/* ---- results ----------------------------------------------------------------------------------------- */

/* One result of the server: as it is, or with its series as lists of dicts. */
static tn_rc emit_result(tn_str result, bool dicts, tn_sink *sink)
{
    struct json_iter it, series;
    tn_str key, value, none;
    bool partial = json_kind(json_member(result, "partial")) == 't', whole = !partial;
    if (!dicts) {
        const tn_val v = {
            .type = TN_T_STR, .flags = TN_V_JSON, .n = (uint32_t)result.n, .u.s = result.s};
        return sink->ops->scalar(sink, &v);
    }
    tn_rc rc = sink->ops->map_begin(sink, -1);
    for (int more = json_iter(&it, result); more && rc == TN_OK && json_next(&it, &key, &value);) {
        rc = sink->ops->key(sink, key.s + 1, (uint32_t)key.n - 2);
        if (rc == TN_OK && json_is(key, "series") && json_iter(&series, value)) {
            rc = sink->ops->list_begin(sink, -1);
            while (rc == TN_OK && json_next(&series, &none, &value)) {
                partial |= json_kind(json_member(value, "partial")) == 't';
                rc = emit_series(value, sink);
            }
            rc = rc == TN_OK ? sink->ops->list_end(sink) : rc;
        } else if (rc == TN_OK) {
            const tn_val v = json_value(value);
            rc = sink->ops->scalar(sink, &v);
        }
    }
    if (rc == TN_OK && whole &&
        partial) { /* a list of rows cannot say that the server cut it off */
        const tn_val yes = {.type = TN_T_BOOL, .u.i = 1};
        rc = sink->ops->key(sink, "partial", 7);
        rc = rc == TN_OK ? sink->ops->scalar(sink, &yes) : rc;
    }
    return rc == TN_OK ? sink->ops->map_end(sink) : rc;
}

/* The result of one statement, a list of those of several. */
static tn_rc emit_results(const struct ix_result *r, tn_sink *sink)
{
    struct json_iter it, count;
    tn_str key, value, results = json_member((tn_str){r->text.s, r->text.n}, "results");
    uint32_t n = 0;
    for (int more = json_iter(&count, results); more && json_next(&count, &key, &value);) {
        n++;
    }
    tn_rc rc = n != 1 ? sink->ops->list_begin(sink, n) : TN_OK;
    for (int more = json_iter(&it, results); more && rc == TN_OK && json_next(&it, &key, &value);) {
        rc = emit_result(value, r->dicts, sink);
    }
    return rc == TN_OK && n != 1 ? sink->ops->list_end(sink) : rc;
}

tn_rc ix_emit(void *inst, const tn_result *result, tn_sink *sink, tn_err *err)
{
    const struct ix_result *r = result->native;
    const tn_val none = {.type = TN_T_NULL}, yes = {.type = TN_T_BOOL, .u.i = 1};
    tn_str text = {r->text.s, r->text.n};
    tn_rc rc;
    (void)inst;
    switch (r->form) {
    case IX_TRUE:
        return sink->ops->scalar(sink, &yes);
    case IX_RESULTS:
        return emit_results(r, sink);
    case IX_SERIES:
        if (text.n != 0) {
            return emit_series(text, sink);
        }
        rc = sink->ops->list_begin(sink, 0);
        return rc == TN_OK ? sink->ops->list_end(sink) : rc;
    case IX_JSON: {
        const tn_val v = {
            .type = TN_T_STR, .flags = TN_V_JSON, .n = (uint32_t)text.n, .u.s = text.s};
        return sink->ops->scalar(sink, &v);
    }
    case IX_CSV:
        return ix_csv_emit(ix_host, text, sink, err);
    default:
        return sink->ops->scalar(sink, &none);
    }
}
