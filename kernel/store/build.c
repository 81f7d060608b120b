/* SPDX-License-Identifier: Apache-2.0 */
/* Building SQL: names come from entity tables, values are bound, nothing else gets in. */
#include "kernel/base/err.h"
#include "kernel/base/str.h"
#include "kernel/store/internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

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
    stmt_name(q, r->alias); /* NOLINT(clang-analyzer-core.CallAndMessage) */
    stmt_add(q, ".");
    stmt_name(q, r->col->name);
}

/* ---- names ----------------------------------------------------------------------------------- */

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
                    return err_set(err, TN_E_INVAL,
                                   "entity %s: join %s needs %s, which comes later", e->name,
                                   e->joins[i].alias, e->joins[k].alias);
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

static tn_rc order_by(struct stmt *q, const char *name, int down, int *first, int *unique,
                      tn_err *err)
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
