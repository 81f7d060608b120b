/* SPDX-License-Identifier: Apache-2.0 */
/* Building SQL: names come from entity tables, values are bound, nothing else gets in. */
#include "kernel/base/err.h"
#include "kernel/base/str.h"
#include "kernel/store/internal.h"
#include "kernel/value/json.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define IN_MAX   10000 /* values of one IN; SQLite's bound for all parameters is 32766 */
#define LIKE_MAX 4096  /* bytes of a text to search for */

void stmt_init(struct stmt *q, struct store *s, const tn_entity *e)
{
    memset(q, 0, sizeof *q);
    q->s = s;
    q->e = e;
    buf_init(&q->sql, 4 << 20);
    arena_init(&q->mem, 0);
}

void stmt_finish(struct stmt *q)
{
    buf_finish(&q->sql);
    arena_finish(&q->mem);
    free(q->params);
    q->params = NULL;
}

tn_rc stmt_check(const struct stmt *q, tn_err *err)
{
    if (q->failed || q->sql.failed) {
        return err_set(err, TN_E_NOMEM, "no memory for an SQL statement");
    }
    return TN_OK;
}

void stmt_add(struct stmt *q, const char *sql)
{
    buf_adds(&q->sql, sql);
}

void stmt_name(struct stmt *q, const char *name)
{
    buf_addc(&q->sql, q->s->d->quote); /* identifiers were checked: no quote is in them */
    buf_adds(&q->sql, name);
    buf_addc(&q->sql, q->s->d->quote);
}

void stmt_bind(struct stmt *q, tn_val v)
{
    if (q->n == q->cap) {
        uint32_t cap = q->cap ? q->cap * 2 : 16;
        tn_val *params = realloc(q->params, cap * sizeof *params);
        if (!params) {
            q->failed = 1;
            return;
        }
        q->params = params;
        q->cap = cap;
    }
    q->params[q->n++] = v;
    buf_addc(&q->sql, '?');
}

void stmt_bind_int(struct stmt *q, int64_t i)
{
    tn_val v = {.type = TN_T_INT, .u.i = i};
    stmt_bind(q, v);
}

void stmt_bind_str(struct stmt *q, tn_str s)
{
    tn_val v = {.type = TN_T_STR, .n = (uint32_t)s.n, .u.s = s.s};
    stmt_bind(q, v);
}

void stmt_ref(struct stmt *q, const struct ref *r)
{
    stmt_name(q, r->alias);
    stmt_add(q, ".");
    stmt_name(q, r->col->name);
}

/* ---- names ------------------------------------------------------------------------------------ */

tn_rc stmt_resolve(struct stmt *q, const char *what, const char *name, struct ref *ret, tn_err *err)
{
    const tn_entity *e = q->e;
    const char *dot = name ? strchr(name, '.') : NULL;
    tn_str alias = dot ? (tn_str){name, (size_t)(dot - name)} : str_of(e->alias);
    tn_str column = str_of(dot ? dot + 1 : name);
    struct ref r = {0};
    if (str_is(alias, e->alias)) {
        r.alias = e->alias;
        r.col = entity_column(e, column);
    }
    for (uint32_t i = 0; !r.alias && i < entity_joins(e); i++) {
        const tn_entity *other;
        if (str_is(alias, e->joins[i].alias) &&
            entity_get(q->s, e->joins[i].entity, &other, NULL) == TN_OK) {
            r.alias = e->joins[i].alias;
            r.col = entity_column(other, column);
            q->joins |= 1u << i;
        }
    }
    if (!r.col) {
        return err_set(err, TN_E_INVAL, "%s: entity %s has no column %.200s", what, e->name,
                       name ? name : "(null)");
    }
    *ret = r;
    return TN_OK;
}

tn_rc stmt_from(struct stmt *q, tn_err *err)
{
    const tn_entity *e = q->e;
    struct ref r[32];
    tn_rc rc;
    /* A join may hang on an earlier one: from the last to the first, each marks what it needs. */
    for (uint32_t i = entity_joins(e); i-- > 0;) {
        if (q->joins >> i & 1) {
            if ((rc = stmt_resolve(q, "join", e->joins[i].on_left, &r[i], err))) {
                return rc;
            }
            for (uint32_t k = i; k < entity_joins(e); k++) {
                if (strcmp(r[i].alias, e->joins[k].alias) == 0) {
                    return err_set(err, TN_E_INVAL, "entity %s: join %s needs %s, which comes later",
                                   e->name, e->joins[i].alias, e->joins[k].alias);
                }
            }
        }
    }
    stmt_add(q, " FROM ");
    stmt_name(q, e->table);
    stmt_add(q, " AS ");
    stmt_name(q, e->alias);
    for (uint32_t i = 0; i < entity_joins(e); i++) {
        const tn_join *j = &e->joins[i];
        const tn_entity *other;
        if (!(q->joins >> i & 1)) {
            continue;
        }
        if ((rc = entity_get(q->s, j->entity, &other, err))) {
            return rc;
        }
        stmt_add(q, " LEFT JOIN ");
        stmt_name(q, other->table);
        stmt_add(q, " AS ");
        stmt_name(q, j->alias);
        stmt_add(q, " ON ");
        stmt_ref(q, &r[i]);
        stmt_add(q, " = ");
        stmt_name(q, j->alias);
        stmt_add(q, ".");
        stmt_name(q, j->on_right);
    }
    return TN_OK;
}

static tn_rc order_by(struct stmt *q, const char *name, int down, int *first, int *unique, tn_err *err)
{
    struct ref r;
    tn_rc rc = stmt_resolve(q, "sort", name, &r, err);
    if (rc) {
        return rc;
    }
    stmt_add(q, *first ? " ORDER BY " : ", ");
    stmt_ref(q, &r);
    stmt_add(q, down ? " DESC" : " ASC");
    *first = 0;
    *unique |= r.col == &entity_seq && r.alias == q->e->alias;
    return TN_OK;
}

/* "scpt.seq DESC, scpt.id" of the definition, word by word through the same lookup. */
static tn_rc default_order(struct stmt *q, int *first, int *unique, tn_err *err)
{
    tn_str rest = str_of(q->e->order), part;
    while (q->e->order && str_split(&rest, ',', &part)) {
        char name[160];
        part = str_trim(part);
        const char *blank = memchr(part.s, ' ', part.n);
        size_t n = blank ? (size_t)(blank - part.s) : part.n;
        tn_str way = blank ? str_trim((tn_str){blank, part.n - n}) : TN_STR("ASC");
        int down = str_ieq(way, TN_STR("DESC"));
        if (n >= sizeof name || (!down && !str_ieq(way, TN_STR("ASC")))) {
            return err_set(err, TN_E_INVAL, "entity %s: cannot read the order %s", q->e->name,
                           q->e->order);
        }
        memcpy(name, part.s, n);
        name[n] = '\0';
        tn_rc rc = order_by(q, name, down, first, unique, err);
        if (rc) {
            return rc;
        }
    }
    return TN_OK;
}

tn_rc stmt_order(struct stmt *q, const char *const *sort, uint32_t n, tn_err *err)
{
    int first = 1, unique = 0;
    tn_rc rc = n ? TN_OK : default_order(q, &first, &unique, err);
    for (uint32_t i = 0; i < n && rc == TN_OK; i++) {
        int down = sort[i] && sort[i][0] == '-';
        rc = order_by(q, sort[i] ? sort[i] + down : NULL, down, &first, &unique, err);
    }
    if (rc == TN_OK && !unique) {
        rc = order_by(q, "seq", 1, &first, &unique, err);
    }
    return rc;
}

/* ---- conditions ---------------------------------------------------------------------------------- */

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
static tn_rc text_of(struct stmt *q, const tn_filter *f, const struct value *v, tn_str *ret, tn_err *err)
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
    static const char *const ops[] = {[TN_OP_EQ] = " = ",  [TN_OP_NE] = " <> ", [TN_OP_LT] = " < ",
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
    struct ref r;
    struct value v = {.raw = str_trim(f->value)};
    tn_str text;
    int yes;
    tn_rc rc = stmt_resolve(q, "filter", f->column, &r, err);
    if (rc) {
        return rc;
    }
    if (json_scan(v.raw, &v.kind, NULL, 0, NULL, err) != TN_OK) {
        return bad_value(f, "a JSON value", err);
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
        struct ref r;
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
