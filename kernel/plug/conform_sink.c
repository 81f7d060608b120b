/* SPDX-License-Identifier: Apache-2.0 */
/* A sink that believes nothing: checks that a description nests and that its values are whole. */
#include "kernel/plug/conform.h"

#include "kernel/base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LEVELS (sizeof((struct conform_sink *)0)->levels / sizeof(struct conform_level))

static void complain(struct conform_sink *s, const char *fmt, ...) TN_PRINTF(2, 3);
static void complain(struct conform_sink *s, const char *fmt, ...)
{
    if (s->problem[0] == '\0') {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(s->problem, sizeof s->problem, fmt, ap);
        va_end(ap);
    }
}

static tn_rc enter(struct conform_sink *s)
{
    s->calls++;
    if (s->fail_at != 0 && s->calls > s->fail_at) {
        s->after_error++;
    }
    return s->fail_at != 0 && s->calls >= s->fail_at ? TN_E_CANCELED : TN_OK;
}

static void check_value(struct conform_sink *s, const tn_val *v, unsigned depth)
{
    if (v == NULL || v->type >= TN_T_TYPES || depth > LEVELS) {
        complain(s, "a value is NULL, of unknown type %u or nested more than %zu deep",
                 v != NULL ? v->type : 0u, LEVELS);
        return;
    }
    bool text = v->type == TN_T_STR || v->type == TN_T_DECIMAL;
    double number;
    if ((text || v->type == TN_T_BYTES) && v->n != 0 && v->u.s == NULL) {
        complain(s, "a text or bytes value of %u bytes is at NULL", v->n);
    } else if (text && !str_utf8_valid((tn_str){v->u.s, v->n})) {
        complain(s, "a text is not UTF-8; emit it as BYTES");
    } else if (v->type == TN_T_DECIMAL && !str_to_f64((tn_str){v->u.s, v->n}, &number) &&
               !str_ieq((tn_str){v->u.s, v->n}, str_of("NaN"))) {
        complain(s, "DECIMAL \"%.*s\" is no number", (int)(v->n < 40 ? v->n : 40), v->u.s);
    } else if (v->type == TN_T_BOOL && v->u.i != 0 && v->u.i != 1) {
        complain(s, "a BOOL is %lld", (long long)v->u.i);
    }
    if (v->type == TN_T_CLOCK && (v->u.i < 0 || v->u.i >= 86400000000)) {
        complain(s, "a CLOCK is %lld, not a time of day in microseconds", (long long)v->u.i);
    }
    for (uint32_t i = 0; v->type == TN_T_LIST && i < v->n; i++) {
        check_value(s, &v->u.list[i], depth + 1);
    }
    for (uint32_t i = 0; v->type == TN_T_MAP && i < v->n; i++) {
        check_value(s, &v->u.map[i].key, depth + 1);
        check_value(s, &v->u.map[i].val, depth + 1);
    }
}

static struct conform_level *top(struct conform_sink *s)
{
    return s->depth != 0 ? &s->levels[s->depth - 1] : NULL;
}

/* A value may stand here: counts it. */
static void place(struct conform_sink *s, const char *what)
{
    struct conform_level *l = top(s);
    if (l == NULL) {
        if (s->done++ != 0) {
            complain(s, "%s follows a complete result; there is only one", what);
        }
    } else if (l->kind == 't') {
        complain(s, "%s stands inside a table; only row() may", what);
    } else if (l->kind == 'm' && !l->has_key) {
        complain(s, "%s stands in a map without key()", what);
    } else {
        l->has_key = 0;
    }
}

static void push(struct conform_sink *s, char kind, uint32_t ncols, const tn_col *cols)
{
    if (s->depth == LEVELS) {
        complain(s, "nested more than %zu deep", LEVELS);
        return;
    }
    s->levels[s->depth++] = (struct conform_level){kind, 0, ncols, cols};
}

static void pop(struct conform_sink *s, char kind, const char *what)
{
    struct conform_level *l = top(s);
    if (l == NULL || l->kind != kind) {
        complain(s, "%s without its begin", what);
        return;
    }
    if (l->has_key) {
        complain(s, "a map ends after key()");
    }
    s->depth--;
}

static tn_rc on_scalar(tn_sink *sink, const tn_val *v)
{
    struct conform_sink *s = sink->self;
    place(s, "scalar()");
    check_value(s, v, 0);
    return enter(s);
}

static tn_rc on_list_begin(tn_sink *sink, int64_t hint)
{
    (void)hint;
    place(sink->self, "list_begin()");
    push(sink->self, 'l', 0, NULL);
    return enter(sink->self);
}

static tn_rc on_list_end(tn_sink *sink)
{
    pop(sink->self, 'l', "list_end()");
    return enter(sink->self);
}

static tn_rc on_map_begin(tn_sink *sink, int64_t hint)
{
    (void)hint;
    place(sink->self, "map_begin()");
    push(sink->self, 'm', 0, NULL);
    return enter(sink->self);
}

static tn_rc on_key(tn_sink *sink, const char *key, uint32_t len)
{
    struct conform_sink *s = sink->self;
    struct conform_level *l = top(s);
    if (l == NULL || l->kind != 'm' || l->has_key) {
        complain(s, "key(\"%.*s\") stands outside a map or after another key", (int)len, key);
    } else {
        l->has_key = 1;
    }
    if (key == NULL || !str_utf8_valid((tn_str){key, len})) {
        complain(s, "a key is not UTF-8");
    }
    return enter(s);
}

static tn_rc on_map_end(tn_sink *sink)
{
    pop(sink->self, 'm', "map_end()");
    return enter(sink->self);
}

static tn_rc on_table_begin(tn_sink *sink, const tn_col *cols, uint32_t ncols, int64_t hint)
{
    (void)hint;
    struct conform_sink *s = sink->self;
    place(s, "table_begin()");
    for (uint32_t i = 0; i < ncols; i++) {
        if (cols[i].name == NULL || !str_utf8_valid((tn_str){cols[i].name, cols[i].name_len}) ||
            cols[i].type >= TN_T_TYPES) {
            complain(s, "column %u has no UTF-8 name or an unknown type", i);
        }
    }
    push(s, 't', ncols, cols);
    return enter(s);
}

static tn_rc on_row(tn_sink *sink, const tn_val *cells)
{
    struct conform_sink *s = sink->self;
    struct conform_level *l = top(s);
    if (l == NULL || l->kind != 't') {
        complain(s, "row() stands outside a table");
    }
    for (uint32_t i = 0; l != NULL && l->kind == 't' && i < l->ncols; i++) {
        check_value(s, &cells[i], 0);
    }
    return enter(s);
}

static tn_rc on_table_end(tn_sink *sink, int64_t affected)
{
    (void)affected;
    pop(sink->self, 't', "table_end()");
    return enter(sink->self);
}

void conform_sink_init(struct conform_sink *s, unsigned fail_at)
{
    static const tn_sink_ops ops = {.size = sizeof ops,
                                    .scalar = on_scalar,
                                    .list_begin = on_list_begin,
                                    .list_end = on_list_end,
                                    .map_begin = on_map_begin,
                                    .key = on_key,
                                    .map_end = on_map_end,
                                    .table_begin = on_table_begin,
                                    .row = on_row,
                                    .table_end = on_table_end};
    memset(s, 0, sizeof *s);
    s->sink = (tn_sink){&ops, s};
    s->fail_at = fail_at;
}

const char *conform_sink_verdict(struct conform_sink *s)
{
    if (s->problem[0] == '\0' && s->fail_at == 0 && s->depth != 0) {
        complain(s, "the description ends with %u begin(s) open", s->depth);
    }
    if (s->problem[0] == '\0' && s->fail_at == 0 && s->done != 1) {
        complain(s, "the description holds no result; None is a scalar of TN_T_NULL");
    }
    if (s->problem[0] == '\0' && s->after_error != 0) {
        complain(s, "%d more call(s) after the sink had failed", s->after_error);
    }
    return s->problem[0] != '\0' ? s->problem : NULL;
}
