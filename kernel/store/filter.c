/* SPDX-License-Identifier: Apache-2.0 */
/* WHERE: filters, text search and the page marker, every value bound. */
#include "kernel/base/err.h"
#include "kernel/base/str.h"
#include "kernel/store/internal.h"
#include "kernel/value/json.h"

#include <string.h>

#define IN_MAX   10000 /* values of one IN; SQLite's bound for all parameters is 32766 */
#define LIKE_MAX 4096  /* bytes of a text to search for */

struct value {
    uint32_t kind;
    tn_str raw;
};

static tn_rc bad_value(const tn_filter *f, const char *want, tn_err *err)
{
    return err_set(err, TN_E_INVAL, "filter %s needs %s, not %.*s", f->column, want,
                   f->value.n > 100 ? 100 : (int)f->value.n, f->value.s ? f->value.s : "");
}

/* The text of a JSON string, or of a number as it stands. */
static tn_rc text_of(struct stmt *q, const tn_filter *f, const struct value *v, tn_str *ret,
                     tn_err *err)
{
    if (v->kind == TN_JSON_NUMBER) {
        *ret = v->raw;
        return TN_OK;
    }
    if (v->kind != TN_JSON_STRING) {
        return bad_value(f, "text", err);
    }
    char *text = arena_alloc(&q->mem, v->raw.n);
    if (!text) {
        return err_set(err, TN_E_NOMEM, "no memory for a filter");
    }
    *ret = (tn_str){text, json_unquote(v->raw, text, v->raw.n)};
    return TN_OK;
}

static tn_rc add_like(struct stmt *q, const struct ref *r, tn_str text, int anywhere, tn_err *err)
{
    if (text.n > LIKE_MAX) {
        return err_set(err, TN_E_LIMIT, "the text to search for in %s is longer than %d bytes",
                       r->col->name, LIKE_MAX);
    }
    if (memchr(text.s, '\0', text.n)) { /* databases end a pattern there: it matches nothing */
        stmt_add(q, "0 = 1");
        return TN_OK;
    }
    char *p = arena_alloc(&q->mem, text.n * 2 + 2);
    if (!p) {
        return err_set(err, TN_E_NOMEM, "no memory for a filter");
    }
    size_t n = 0;
    if (anywhere) {
        p[n++] = '%';
    }
    for (size_t i = 0; i < text.n; i++) {
        if (text.s[i] == '%' || text.s[i] == '_' || text.s[i] == '\\') {
            p[n++] = '\\';
        }
        p[n++] = text.s[i];
    }
    p[n++] = '%';
    stmt_ref(q, r);
    stmt_add(q, " LIKE ");
    stmt_bind_str(q, (tn_str){p, n});
    stmt_add(q, " ESCAPE '\\'");
    return TN_OK;
}

static tn_rc add_null(struct stmt *q, const struct ref *r, int is_null)
{
    stmt_ref(q, r);
    stmt_add(q, is_null ? " IS NULL" : " IS NOT NULL");
    return TN_OK;
}

static tn_rc add_compare(struct stmt *q, const tn_filter *f, const struct ref *r,
                         const struct value *v, tn_err *err)
{
    static const char *const ops[] = {
        [TN_OP_EQ] = " = ",  [TN_OP_NE] = " <> ", [TN_OP_LT] = " < ",
        [TN_OP_LE] = " <= ", [TN_OP_GT] = " > ",  [TN_OP_GE] = " >= "};
    tn_val val;
    if (v->kind == TN_JSON_NULL && f->op <= TN_OP_NE) {
        return add_null(q, r, f->op == TN_OP_EQ);
    }
    tn_rc rc = cell_parse_filter(r->col, v->kind, v->raw, &q->mem, &val, err);
    if (rc == TN_OK) {
        stmt_ref(q, r);
        stmt_add(q, ops[f->op]);
        stmt_bind(q, val);
    }
    return rc;
}

static tn_rc add_in(struct stmt *q, const tn_filter *f, const struct ref *r, const struct value *v,
                    tn_err *err)
{
    struct value item;
    size_t at = 0;
    uint32_t n = 0;
    if (v->kind != TN_JSON_ARRAY) {
        tn_filter one = *f;
        one.op = TN_OP_EQ;
        return add_compare(q, &one, r, v, err);
    }
    while (cell_next_item(v->raw, &at, &item.raw, &item.kind)) {
        tn_val val;
        tn_rc rc = cell_parse_filter(r->col, item.kind, item.raw, &q->mem, &val, err);
        if (rc) {
            return rc;
        }
        if (n++ == 0) {
            stmt_ref(q, r);
            stmt_add(q, " IN (");
        } else {
            stmt_add(q, ",");
        }
        if (n > IN_MAX) {
            return err_set(err, TN_E_LIMIT, "filter %s has more than %d values", f->column, IN_MAX);
        }
        stmt_bind(q, val);
    }
    stmt_add(q, n ? ")" : "0 = 1"); /* any of nothing */
    return TN_OK;
}

static tn_rc truth_of(const tn_filter *f, const struct value *v, int *ret, tn_err *err)
{
    static const char *const yes[] = {"true", "1", "\"true\"", "\"1\""};
    static const char *const no[] = {"false", "0", "\"false\"", "\"0\""};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        if (str_is(v->raw, yes[i]) || str_is(v->raw, no[i])) {
            *ret = str_is(v->raw, yes[i]);
            return TN_OK;
        }
    }
    return bad_value(f, "true or false", err);
}

static tn_rc add_json_has_all(struct stmt *q, const tn_filter *f, const struct ref *r,
                              const struct value *v, tn_err *err)
{
    tn_str array = v->raw;
    if (r->col->type != TN_COL_JSON) {
        return err_set(err, TN_E_INVAL, "filter %s: the column does not hold JSON", f->column);
    }
    if (v->kind != TN_JSON_ARRAY) {
        char *p = arena_printf(&q->mem, "[%.*s]", (int)array.n, array.s);
        if (!p) {
            return err_set(err, TN_E_NOMEM, "no memory for a filter");
        }
        array = str_of(p);
    }
    for (const char *p = q->s->d->json_has_all; *p; p++) {
        if (p[0] == '%' && p[1] == 'p') {
            stmt_bind_str(q, array);
            p++;
        } else if (p[0] == '%' && p[1] == 'c') {
            stmt_ref(q, r);
            p++;
        } else {
            buf_addc(&q->sql, *p);
        }
    }
    return TN_OK;
}

static tn_rc add_filter(struct stmt *q, const tn_filter *f, tn_err *err)
{
    struct ref r = {NULL, NULL};
    struct value v = {.raw = str_trim(f->value)};
    tn_str text = {NULL, 0};
    int yes;
    tn_rc rc = stmt_resolve(q, "filter", f->column, &r, err);
    if (rc) {
        return rc;
    }
    if (json_scan(v.raw, &v.kind, NULL, 0, NULL, err) != TN_OK) {
        return bad_value(f, "a JSON value", err);
    }
    if ((r.col->flags & TN_COL_SEALED) && f->op != TN_OP_ISNULL) {
        return err_set(err, TN_E_INVAL,
                       "filter %s: the column is sealed, only text search finds it", f->column);
    }
    switch (f->op) {
    case TN_OP_EQ:
    case TN_OP_NE:
    case TN_OP_LT:
    case TN_OP_LE:
    case TN_OP_GT:
    case TN_OP_GE:
        return add_compare(q, f, &r, &v, err);
    case TN_OP_IN:
        return add_in(q, f, &r, &v, err);
    case TN_OP_LIKE:
    case TN_OP_PRELIKE:
        rc = text_of(q, f, &v, &text, err);
        return rc ? rc : add_like(q, &r, text, f->op == TN_OP_LIKE, err);
    case TN_OP_ISNULL:
        rc = truth_of(f, &v, &yes, err);
        return rc ? rc : add_null(q, &r, yes);
    case TN_OP_BOOL: /* NULL counts as false */
        if ((rc = truth_of(f, &v, &yes, err)) == TN_OK) {
            stmt_add(q, "COALESCE(");
            stmt_ref(q, &r);
            stmt_add(q, yes ? ", 0) <> 0" : ", 0) = 0");
        }
        return rc;
    case TN_OP_JSON_HAS_ALL:
        return add_json_has_all(q, f, &r, &v, err);
    default:
        return err_set(err, TN_E_INVAL, "filter %s: there is no operator %u", f->column, f->op);
    }
}

static tn_rc add_fuzzy(struct stmt *q, const tn_list *list, tn_err *err)
{
    if (list->nfuzzy == 0) {
        return err_set(err, TN_E_INVAL, "entity %s has no columns to search in", q->e->name);
    }
    stmt_add(q, "(");
    for (uint32_t i = 0; i < list->nfuzzy; i++) {
        struct ref r = {NULL, NULL};
        tn_rc rc = stmt_resolve(q, "search", list->fuzzy_columns[i], &r, err);
        stmt_add(q, i ? " OR " : "");
        rc = rc ? rc : add_like(q, &r, list->fuzzy, 1, err);
        if (rc) {
            return rc;
        }
    }
    stmt_add(q, ")");
    return TN_OK;
}

tn_rc stmt_where(struct stmt *q, const tn_filter *f, uint32_t nf, const tn_list *list, tn_err *err)
{
    const char *word = " WHERE ";
    tn_rc rc = TN_OK;
    for (uint32_t i = 0; i < nf && rc == TN_OK; i++, word = " AND ") {
        stmt_add(q, word);
        rc = add_filter(q, &f[i], err);
    }
    if (rc == TN_OK && list && list->fuzzy.s && list->fuzzy.n) {
        stmt_add(q, word);
        word = " AND ";
        rc = add_fuzzy(q, list, err);
    }
    if (rc == TN_OK && list && list->marker > 0) {
        struct ref r = {q->e->alias, &entity_seq};
        stmt_add(q, word);
        stmt_ref(q, &r);
        stmt_add(q, " < ");
        stmt_bind_int(q, list->marker);
    }
    return rc;
}
