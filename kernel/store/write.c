/* SPDX-License-Identifier: Apache-2.0 */
/* Changing rows: insert, update and remove by the entity's table, and free SQL. */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/rnd.h"
#include "kernel/base/str.h"
#include "kernel/store/internal.h"
#include "kernel/value/json.h"

#include <stdlib.h>
#include <string.h>

#define MEMBERS_MAX 256
#define PARAMS_MAX  10000

/* The members of one JSON object, keys unescaped. */
struct members {
    uint32_t n;
    tn_json_member m[MEMBERS_MAX];
};

static tn_rc read_members(struct stmt *q, tn_str row, struct members **ret, tn_err *err)
{
    uint32_t kind;
    struct members *all = arena_alloc(&q->mem, sizeof *all);
    if (!all) {
        return err_set(err, TN_E_NOMEM, "no memory for a row");
    }
    tn_rc rc = json_scan(row, &kind, all->m, MEMBERS_MAX, &all->n, err);
    if (rc) {
        return rc;
    }
    if (kind != TN_JSON_OBJECT || all->n == MEMBERS_MAX) {
        return err_set(err, TN_E_INVAL,
                       "a row of entity %s must be a JSON object of less than %d keys", q->e->name,
                       MEMBERS_MAX);
    }
    for (uint32_t i = 0; i < all->n; i++) {
        tn_json_member *m = &all->m[i];
        if (m->flags & TN_JSON_KEY_ESCAPED) {
            char *key = arena_alloc(&q->mem, m->key.n);
            if (!key) {
                return err_set(err, TN_E_NOMEM, "no memory for a row");
            }
            m->key = (tn_str){key, json_unquote(m->key, key, m->key.n)};
        }
    }
    *ret = all;
    return TN_OK;
}

static const tn_json_member *find(const struct members *all, const char *name)
{
    for (uint32_t i = 0; i < all->n; i++) {
        if (str_is(all->m[i].key, name)) {
            return &all->m[i];
        }
    }
    return NULL;
}

/* Own columns; of the kernel's three those that `allow` names. */
static tn_rc own_column(const tn_entity *e, tn_str name, int insert, const tn_column **ret,
                        tn_err *err)
{
    const tn_column *c = entity_column(e, name);
    if (!c || c == &entity_seq ||
        (!insert && (c == &entity_create_time || c == &entity_update_time))) {
        return err_set(err, TN_E_INVAL, "entity %s has no column %.*s that can be set", e->name,
                       name.n > 200 ? 200 : (int)name.n, name.s);
    }
    *ret = c;
    return TN_OK;
}

/* ---- insert ---------------------------------------------------------------------------------- */

static tn_rc insert_id(struct stmt *q, const tn_json_member *given, tn_val *ret, tn_err *err)
{
    const tn_entity *e = q->e;
    const tn_column *col = entity_column(e, TN_STR("id"));
    if (given && given->kind != TN_JSON_NULL) {
        tn_rc rc = cell_parse(col, given->kind, given->value, &q->mem, ret, err);
        return rc || ret->n
                   ? rc
                   : err_set(err, TN_E_INVAL, "entity %s: the id must not be empty", e->name);
    }
    size_t prefix = strlen(e->id_prefix ? e->id_prefix : ""),
           random = e->id_random ? e->id_random : 12;
    char *id = arena_alloc(&q->mem, prefix + random + 1);
    if (!id) {
        return err_set(err, TN_E_NOMEM, "no memory for an id");
    }
    memcpy(id, e->id_prefix ? e->id_prefix : "", prefix);
    rnd_id(id + prefix, random);
    *ret = (tn_val){.type = TN_T_STR, .n = (uint32_t)(prefix + random), .u.s = id};
    return TN_OK;
}

/* Columns that need a value and neither got one nor have a default. */
static tn_rc check_complete(const tn_entity *e, const struct members *all, tn_err *err)
{
    for (const tn_column *c = e->columns; c->name; c++) {
        if ((c->flags & TN_COL_NOT_NULL) && !c->dflt && strcmp(c->name, "id") != 0 &&
            !find(all, c->name)) {
            return err_set(err, TN_E_INVAL, "entity %s: column %s needs a value", e->name, c->name);
        }
    }
    return TN_OK;
}

static tn_rc build_insert(struct stmt *q, tn_str row, tn_val *ret_id, tn_err *err)
{
    const tn_entity *e = q->e;
    struct members *all;
    tn_val *values, now = {.type = TN_T_INT, .u.i = clock_wall_us()};
    uint32_t n = 0;
    tn_rc rc = read_members(q, row, &all, err);
    rc = rc ? rc : check_complete(e, all, err);
    if (rc) {
        return rc;
    }
    if (!(values = arena_alloc(&q->mem, (all->n + 3) * sizeof *values))) {
        return err_set(err, TN_E_NOMEM, "no memory for a row");
    }
    stmt_add(q, "INSERT INTO ");
    stmt_name(q, e->table);
    stmt_add(q, " (");
    if ((rc = insert_id(q, find(all, "id"), &values[n++], err))) {
        return rc;
    }
    stmt_name(q, "id");
    for (uint32_t i = 0; i < all->n; i++) {
        const tn_json_member *m = &all->m[i];
        const tn_column *c = NULL;
        if ((rc = own_column(e, m->key, 1, &c, err))) {
            return rc;
        }
        if (strcmp(c->name, "id") == 0) {
            continue;
        }
        if (c->dflt && m->kind == TN_JSON_NULL && (c->flags & TN_COL_NOT_NULL)) {
            continue; /* null where it cannot be: the default */
        }
        tn_val *v = &values[n++];
        if ((rc = cell_parse(c, m->kind, m->value, &q->mem, v, err)) ||
            (rc = cell_seal(q, c, (tn_str){values[0].u.s, values[0].n}, v, err))) {
            return rc;
        }
        stmt_add(q, ", ");
        stmt_name(q, c->name);
    }
    const tn_column *times[] = {&entity_create_time, &entity_update_time};
    for (int i = 0; i < 2; i++) {
        if (!find(all, times[i]->name)) {
            stmt_add(q, ", ");
            stmt_name(q, times[i]->name);
            values[n++] = now;
        }
    }
    stmt_add(q, ") VALUES (");
    for (uint32_t i = 0; i < n; i++) {
        stmt_add(q, i ? "," : "");
        stmt_bind(q, values[i]);
    }
    stmt_add(q, ")");
    *ret_id = values[0];
    return stmt_check(q, err);
}

static tn_rc run_write(struct store *s, struct store_txn *t, struct stmt *q, int64_t *ret_count,
                       tn_err *err)
{
    struct lease l;
    tn_rc rc = lease_take(s, t, 1, &l, err);
    if (rc == TN_OK) {
        rc = lease_exec(&l, buf_str(&q->sql), q->params, q->n, ret_count, err);
        lease_give(&l);
    }
    return rc;
}

tn_rc store_insert(struct store *s, struct store_txn *t, const char *entity, tn_str row,
                   struct buf *ret_id, tn_err *err)
{
    const tn_entity *e;
    struct stmt q;
    tn_val id = {.type = TN_T_NULL};
    int64_t n;
    tn_rc rc = entity_get(s, entity, &e, err);
    if (rc) {
        return rc;
    }
    stmt_init(&q, s, e);
    rc = build_insert(&q, row, &id, err);
    rc = rc ? rc : run_write(s, t, &q, &n, err);
    if (rc == TN_OK && ret_id && buf_add(ret_id, id.u.s, id.n) < 0) {
        rc = err_set(err, TN_E_NOMEM, "no memory for the id of a new row");
    }
    stmt_finish(&q);
    return rc;
}

/* ---- update and remove ----------------------------------------------------------------------- */

/* The rows are chosen by their seq in a query of its own, which may join like a list does. */
static tn_rc add_chosen(struct stmt *q, const tn_filter *f, uint32_t nf, tn_err *err)
{
    struct buf head = q->sql;
    if (nf == 0) {
        return err_set(err, TN_E_INVAL, "entity %s: changing all rows needs a filter that says so",
                       q->e->name);
    }
    buf_init(&q->sql, head.max);
    tn_rc rc = stmt_where(q, f, nf, NULL, err);
    struct buf where = q->sql;
    q->sql = head;
    if (rc == TN_OK) {
        struct ref seq = {q->e->alias, &entity_seq};
        stmt_add(q, " WHERE ");
        stmt_name(q, "seq");
        stmt_add(q, " IN (SELECT ");
        stmt_ref(q, &seq);
        rc = stmt_from(q, err);
        buf_add(&q->sql, where.data, where.len);
        stmt_add(q, ")");
    }
    buf_finish(&where);
    return rc ? rc : stmt_check(q, err);
}

static tn_rc build_update(struct stmt *q, tn_str patch, tn_err *err)
{
    struct members *all;
    tn_rc rc = read_members(q, patch, &all, err);
    if (rc) {
        return rc;
    }
    stmt_add(q, "UPDATE ");
    stmt_name(q, q->e->table);
    stmt_add(q, " SET ");
    for (uint32_t i = 0; i < all->n; i++) {
        const tn_json_member *m = &all->m[i];
        const tn_column *c = NULL;
        tn_val v;
        if ((rc = own_column(q->e, m->key, 0, &c, err)) ||
            (rc = cell_parse(c, m->kind, m->value, &q->mem, &v, err))) {
            return rc;
        }
        if (c->flags & TN_COL_SEALED) {
            return err_set(err, TN_E_INVAL, "column %s is sealed for its row and cannot be changed",
                           c->name);
        }
        if (strcmp(c->name, "id") == 0 && v.n == 0) {
            return err_set(err, TN_E_INVAL, "entity %s: the id must not be empty", q->e->name);
        }
        stmt_name(q, c->name);
        stmt_add(q, " = ");
        stmt_bind(q, v);
        stmt_add(q, ", ");
    }
    stmt_name(q, "updateTime");
    stmt_add(q, " = ");
    stmt_bind_int(q, clock_wall_us());
    return TN_OK;
}

static tn_rc change(struct store *s, struct store_txn *t, const char *entity, const tn_filter *f,
                    uint32_t nf, const tn_str *patch, int64_t *ret_count, tn_err *err)
{
    const tn_entity *e;
    struct stmt q;
    int64_t n = 0;
    tn_rc rc = entity_get(s, entity, &e, err);
    if (rc) {
        return rc;
    }
    stmt_init(&q, s, e);
    if (patch) {
        rc = build_update(&q, *patch, err);
    } else {
        stmt_add(&q, "DELETE FROM ");
        stmt_name(&q, e->table);
    }
    rc = rc ? rc : add_chosen(&q, f, nf, err);
    rc = rc ? rc : run_write(s, t, &q, &n, err);
    stmt_finish(&q);
    if (rc == TN_OK && ret_count) {
        *ret_count = n;
    }
    return rc;
}

tn_rc store_update(struct store *s, struct store_txn *t, const char *entity, const tn_filter *f,
                   uint32_t nf, tn_str patch, int64_t *ret_count, tn_err *err)
{
    return change(s, t, entity, f, nf, &patch, ret_count, err);
}

tn_rc store_remove(struct store *s, struct store_txn *t, const char *entity, const tn_filter *f,
                   uint32_t nf, int64_t *ret_count, tn_err *err)
{
    return change(s, t, entity, f, nf, NULL, ret_count, err);
}

/* ---- free SQL -------------------------------------------------------------------------------- */

/* Statements that begin so only read in every dialect; everything else goes to the writer. */
static int only_reads(const char *sql)
{
    static const char *const words[] = {"SELECT", "VALUES", "EXPLAIN"};
    sql += strspn(sql, " \t\r\n(");
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        size_t n = strlen(words[i]);
        if (strlen(sql) > n && str_ieq((tn_str){sql, n}, str_of(words[i]))) {
            return 1;
        }
    }
    return 0;
}

static tn_rc read_params(struct stmt *q, tn_str params, tn_err *err)
{
    uint32_t kind;
    tn_str item;
    size_t at = 0;
    if (!params.s || params.n == 0) {
        return TN_OK;
    }
    params = str_trim(params);
    tn_rc rc = json_scan(params, &kind, NULL, 0, NULL, err);
    if (rc) {
        return rc;
    }
    if (kind != TN_JSON_ARRAY) {
        return err_set(err, TN_E_INVAL, "SQL parameters must be a JSON array");
    }
    while (cell_next_item(params, &at, &item, &kind)) {
        tn_val v = {.type = TN_T_NULL};
        if (q->n == PARAMS_MAX) {
            return err_set(err, TN_E_LIMIT, "more than %d SQL parameters", PARAMS_MAX);
        }
        if (kind == TN_JSON_BOOL) {
            v.type = TN_T_BOOL;
            v.u.i = item.s[0] == 't';
        } else if (kind == TN_JSON_NUMBER) {
            v.type = str_to_i64(item, &v.u.i) ? TN_T_INT : TN_T_FLOAT;
            if (v.type == TN_T_FLOAT && !str_to_f64(item, &v.u.f)) {
                return err_set(err, TN_E_INVAL, "an SQL parameter is no number");
            }
        } else if (kind != TN_JSON_NULL) { /* text; arrays and objects as their JSON text */
            char *p = kind == TN_JSON_STRING ? arena_alloc(&q->mem, item.n) : NULL;
            if (kind == TN_JSON_STRING && !p) {
                return err_set(err, TN_E_NOMEM, "no memory for an SQL parameter");
            }
            v.type = TN_T_STR;
            v.n = (uint32_t)(p ? json_unquote(item, p, item.n) : item.n);
            v.u.s = p ? p : item.s;
        }
        stmt_bind(q, v);
    }
    return stmt_check(q, err);
}

/* JSON, and the number of changed rows on the side. */
struct sql_sink {
    struct json_sink json;
    tn_sink_ops ops;
    const tn_sink_ops *base;
    int64_t affected;
};

static tn_rc on_table_end(tn_sink *sink, int64_t affected)
{
    struct sql_sink *s = container_of(container_of(sink, struct json_sink, sink), struct sql_sink,
                                      json);
    s->affected = affected;
    return s->base->table_end(sink, affected);
}

tn_rc store_sql(struct store *s, struct store_txn *t, const char *sql, tn_str params,
                struct buf *ret_rows, int64_t *ret_affected, tn_err *err)
{
    struct buf unwanted = BUF_INIT(0);
    struct buf *rows = ret_rows ? ret_rows : &unwanted;
    struct sql_sink sink;
    struct stmt q;
    struct lease l;
    size_t before = rows->len;
    stmt_init(&q, s, NULL);
    json_sink_init(&sink.json, rows);
    sink.base = sink.json.sink.ops;
    sink.ops = *sink.base;
    sink.ops.table_end = on_table_end;
    sink.json.sink.ops = &sink.ops;
    sink.affected = -1;
    tn_rc rc = read_params(&q, params, err);
    rc = rc ? rc : lease_take(s, t, !only_reads(sql), &l, err);
    if (rc == TN_OK) {
        rc = lease_query(&l, str_of(sql), q.params, q.n, &sink.json.sink, err);
        lease_give(&l);
    }
    if (rc) {
        rows->len = before;
    } else if (ret_affected) {
        *ret_affected = sink.affected < 0 ? 0 : sink.affected;
    }
    buf_finish(&unwanted);
    stmt_finish(&q);
    return rc;
}
