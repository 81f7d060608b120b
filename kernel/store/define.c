/* SPDX-License-Identifier: Apache-2.0 */
/* Tables from entity definitions: missing tables, columns and indexes are made, nothing is
 * dropped. */
#include "kernel/base/err.h"
#include "kernel/base/str.h"
#include "kernel/store/migrate.h"

#include <string.h>

tn_val val_str(const char *z)
{
    tn_val v = {.type = TN_T_STR, .n = (uint32_t)strlen(z), .u.s = z};
    return v;
}

/* ---- small results --------------------------------------------------------------------------- */

struct text_sink {
    tn_sink sink;
    void (*each)(void *user, tn_str text);
    void *user;
    int64_t number; /* the last integer seen */
};

static tn_rc on_begin(tn_sink *sink, const tn_col *cols, uint32_t ncols, int64_t hint)
{
    (void)sink;
    (void)cols;
    (void)hint;
    return ncols ? TN_OK : TN_E_INTERNAL;
}

static tn_rc on_row(tn_sink *sink, const tn_val *cells)
{
    struct text_sink *s = container_of(sink, struct text_sink, sink);
    if (cells[0].type == TN_T_INT) {
        s->number = cells[0].u.i;
    } else if (s->each && (cells[0].type == TN_T_STR || cells[0].type == TN_T_BYTES)) {
        s->each(s->user, (tn_str){cells[0].u.s, cells[0].n});
    }
    return TN_OK;
}

static tn_rc on_end(tn_sink *sink, int64_t affected)
{
    (void)sink;
    (void)affected;
    return TN_OK;
}

static const tn_sink_ops text_ops = {
    .size = sizeof text_ops, .table_begin = on_begin, .row = on_row, .table_end = on_end};

tn_rc lease_texts(struct lease *l, const char *sql, const tn_val *params, uint32_t n,
                  void (*each)(void *user, tn_str text), void *user, tn_err *err)
{
    struct text_sink s = {.sink = {&text_ops, NULL}, .each = each, .user = user};
    return lease_query(l, str_of(sql), params, n, &s.sink, err);
}

tn_rc lease_int(struct lease *l, const char *sql, const tn_val *params, uint32_t n, int64_t *ret,
                tn_err *err)
{
    struct text_sink s = {.sink = {&text_ops, NULL}};
    tn_rc rc = lease_query(l, str_of(sql), params, n, &s.sink, err);
    *ret = s.number;
    return rc;
}

/* ---- what is there --------------------------------------------------------------------------- */

static void remember(void *user, tn_str name)
{
    map_put(user, name, user, NULL);
}

/* The table's columns as the keys of `ret`; empty when there is no such table. */
static tn_rc columns_of(struct lease *l, const tn_entity *e, struct map *ret, tn_err *err)
{
    tn_val table = val_str(e->table);
    map_init(ret);
    return lease_texts(l, l->s->d->columns, &table, 1, remember, ret, err);
}

tn_rc define_pending(struct lease *l, const tn_entity *entities, int *ret_new, int *ret_changes,
                     tn_err *err)
{
    *ret_new = 1; /* until one of the tables is there */
    *ret_changes = 0;
    for (const tn_entity *e = entities; e && e->name; e++) {
        struct map have;
        if (e->flags & TN_ENTITY_RECORDS) { /* side_define() makes them */
            continue;
        }
        tn_rc rc = columns_of(l, e, &have, err);
        if (rc == TN_OK && have.used) {
            *ret_new = 0;
            for (const tn_column *c = e->columns; c->name; c++) {
                *ret_changes |= !map_get(&have, str_of(c->name));
            }
        }
        map_finish(&have, NULL);
        if (rc) {
            return rc;
        }
    }
    return TN_OK;
}

/* ---- making ---------------------------------------------------------------------------------- */

/* "name" TYPE [NOT NULL] [DEFAULT literal]; defaults are literals of the definition's author. */
static void add_column(struct stmt *q, const tn_column *c, int later)
{
    const struct dialect *d = q->s->d;
    int is_id = strcmp(c->name, "id") == 0;
    int not_null = is_id || (c->flags & TN_COL_NOT_NULL);
    stmt_name(q, c->name);
    stmt_add(q, " ");
    stmt_add(q, is_id ? d->key_type : d->types[c->type]);
    stmt_add(q, not_null ? " NOT NULL" : "");
    if (c->dflt || (not_null && later)) { /* rows that are there already need a value */
        stmt_add(q, " DEFAULT ");
        stmt_add(q, c->dflt ? c->dflt : d->blank[c->type]);
    }
}

static tn_rc run(struct lease *l, struct stmt *q, tn_err *err)
{
    tn_rc rc = stmt_check(q, err);
    rc = rc ? rc : lease_exec(l, buf_str(&q->sql), NULL, 0, NULL, err);
    buf_clear(&q->sql);
    return rc;
}

/* A time that is filled in for SQL of scripts, as the original's database does (DFF.SYS_DB). */
static void add_stamp(struct stmt *q, const tn_column *c)
{
    stmt_add(q, ", ");
    add_column(q, c, 0);
    stmt_add(q, " DEFAULT ");
    stmt_add(q, q->s->d->now);
}

static tn_rc create_table(struct lease *l, struct stmt *q, tn_err *err)
{
    stmt_add(q, "CREATE TABLE ");
    stmt_name(q, q->e->table);
    stmt_add(q, " (");
    stmt_name(q, "seq");
    stmt_add(q, " ");
    stmt_add(q, q->s->d->seq_column);
    for (const tn_column *c = q->e->columns; c->name; c++) {
        stmt_add(q, ", ");
        add_column(q, c, 0);
    }
    add_stamp(q, &entity_create_time);
    add_stamp(q, &entity_update_time);
    stmt_add(q, ")");
    return run(l, q, err);
}

static tn_rc add_missing(struct lease *l, struct stmt *q, const struct map *have, tn_err *err)
{
    tn_rc rc = TN_OK;
    for (const tn_column *c = q->e->columns; c->name && rc == TN_OK; c++) {
        if (!map_get(have, str_of(c->name))) {
            stmt_add(q, "ALTER TABLE ");
            stmt_name(q, q->e->table);
            stmt_add(q, " ADD COLUMN ");
            add_column(q, c, 1);
            rc = run(l, q, err);
        }
    }
    return rc;
}

/* Index "<table>__<columns>"; columns is "a" or "a,b". */
static tn_rc create_index(struct lease *l, struct stmt *q, const char *columns, int unique,
                          tn_err *err)
{
    tn_str rest = str_of(columns), name;
    char *index = arena_printf(&q->mem, "%s__%s", q->e->table, columns);
    if (!index) {
        return err_set(err, TN_E_NOMEM, "no memory for an index");
    }
    for (char *p = index; *p; p++) {
        *p = *p == ',' ? '_' : *p;
    }
    stmt_add(q, unique ? "CREATE UNIQUE INDEX IF NOT EXISTS " : "CREATE INDEX IF NOT EXISTS ");
    stmt_name(q, index);
    stmt_add(q, " ON ");
    stmt_name(q, q->e->table);
    for (const char *before = " ("; str_split(&rest, ',', &name); before = ", ") {
        stmt_add(q, before);
        stmt_name(q, entity_column(q->e, name)->name);
    }
    stmt_add(q, ")");
    return run(l, q, err);
}

static tn_rc create_indexes(struct lease *l, struct stmt *q, tn_err *err)
{
    tn_rc rc = TN_OK;
    for (const tn_column *c = q->e->columns; c->name && rc == TN_OK; c++) {
        int unique = (c->flags & TN_COL_UNIQUE) || strcmp(c->name, "id") == 0;
        if (unique || (c->flags & TN_COL_INDEX)) {
            rc = create_index(l, q, c->name, unique, err);
        }
    }
    for (const char *const *u = q->e->uniques; u && *u && rc == TN_OK; u++) {
        rc = create_index(l, q, *u, 1, err);
    }
    return rc;
}

tn_rc define_tables(struct lease *l, const tn_entity *entities, tn_err *err)
{
    tn_rc rc = TN_OK;
    for (const tn_entity *e = entities; e && e->name && rc == TN_OK; e++) {
        struct map have;
        struct stmt q;
        if (e->flags & TN_ENTITY_RECORDS) {
            continue;
        }
        stmt_init(&q, l->s, e);
        rc = columns_of(l, e, &have, err);
        if (rc == TN_OK) {
            rc = have.used ? add_missing(l, &q, &have, err) : create_table(l, &q, err);
        }
        rc = rc ? rc : create_indexes(l, &q, err);
        map_finish(&have, NULL);
        stmt_finish(&q);
    }
    return rc;
}
