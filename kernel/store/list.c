/* SPDX-License-Identifier: Apache-2.0 */
/* Lists: an entity's rows with their joins, filtered, sorted and paged, as JSON text. */
#include "kernel/base/err.h"
#include "kernel/base/str.h"
#include "kernel/store/internal.h"
#include "kernel/value/json.h"

#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX 256

/* One shown column: the key in the row and the type that decides how the cell looks. */
struct shown {
    tn_str key; /* `"key":` ready to be copied */
    const tn_column *col;
    int sealed;
};

struct row_sink {
    tn_sink sink;
    struct buf *out;
    struct store *s;
    const tn_entity *e;
    struct buf opened;
    uint32_t n;
    uint32_t sealed; /* 1: some may be sealed, and behind the shown ones comes the id */
    struct shown cols[SHOWN_MAX];
    int64_t rows;
};

static struct row_sink *self(tn_sink *sink)
{
    return container_of(sink, struct row_sink, sink);
}

static tn_rc on_table(tn_sink *sink, const tn_col *cols, uint32_t ncols, int64_t hint)
{
    (void)cols;
    (void)hint;
    return ncols == self(sink)->n + self(sink)->sealed ? TN_OK : TN_E_INTERNAL;
}

static tn_rc on_row(tn_sink *sink, const tn_val *cells)
{
    struct row_sink *s = self(sink);
    buf_adds(s->out, s->rows++ ? ",{" : "{");
    for (uint32_t i = 0; i < s->n; i++) {
        const struct shown *c = &s->cols[i];
        buf_addstr(s->out, c->key);
        if (c->sealed) {
            tn_val v = cell_open(s->s, s->e, c->col, &cells[s->n], &cells[i], &s->opened);
            cell_write(s->out, c->col, &v);
        } else {
            cell_write(s->out, c->col, &cells[i]);
        }
    }
    buf_addc(s->out, '}');
    return s->out->failed ? TN_E_LIMIT : TN_OK;
}

static tn_rc on_table_end(tn_sink *sink, int64_t affected)
{
    (void)sink;
    (void)affected;
    return TN_OK;
}

static const tn_sink_ops row_ops = {
    .size = sizeof row_ops,
    .table_begin = on_table,
    .row = on_row,
    .table_end = on_table_end,
};

/* ---- columns --------------------------------------------------------------------------------- */

static int named(const char *const *names, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++) {
        if (names[i] && strcmp(names[i], name) == 0) {
            return 1;
        }
    }
    return 0;
}

/* Names are identifiers, so the key needs no escaping. */
static tn_rc show(struct stmt *q, struct row_sink *s, const char *alias, const char *prefix,
                  const tn_column *col, tn_err *err)
{
    struct ref r = {alias, col};
    if (s->n == SHOWN_MAX) {
        return err_set(err, TN_E_LIMIT, "entity %s shows more than %d columns", q->e->name,
                       SHOWN_MAX);
    }
    char *key = arena_printf(&q->mem, "%s\"%s%s\":", s->n ? "," : "", prefix ? prefix : "",
                             col->name);
    if (!key) {
        return err_set(err, TN_E_NOMEM, "no memory for a list");
    }
    stmt_add(q, s->n ? ", " : "SELECT ");
    stmt_ref(q, &r);
    s->cols[s->n++] = (struct shown){str_of(key), col,
                                     alias == q->e->alias && (col->flags & TN_COL_SEALED) != 0};
    return TN_OK;
}

/* Names in extra and omit come from callers: a wrong one would silently show or hide nothing. */
static tn_rc check_names(const tn_entity *e, const char *what, const char *const *names, uint32_t n,
                         tn_err *err)
{
    for (uint32_t i = 0; i < n; i++) {
        if (!entity_column(e, str_of(names[i]))) {
            return err_set(err, TN_E_INVAL, "%s: entity %s has no column %.200s", what, e->name,
                           names[i] ? names[i] : "(null)");
        }
    }
    return TN_OK;
}

static tn_rc select_columns(struct stmt *q, struct row_sink *s, const tn_list *l, tn_err *err)
{
    const tn_entity *e = q->e;
    tn_rc rc = check_names(e, "extra", l->extra, l->nextra, err);
    rc = rc ? rc : check_names(e, "omit", l->omit, l->nomit, err);
    if (rc == TN_OK && !named(l->omit, l->nomit, "seq")) {
        rc = show(q, s, e->alias, NULL, &entity_seq, err);
    }
    for (const tn_column *c = e->columns; c->name && rc == TN_OK; c++) {
        int hidden = (c->flags & TN_COL_HIDDEN) && !named(l->extra, l->nextra, c->name);
        if (!hidden && !named(l->omit, l->nomit, c->name)) {
            rc = show(q, s, e->alias, NULL, c, err);
        }
    }
    for (uint32_t i = 0; i < entity_joins(e) && rc == TN_OK; i++) {
        const tn_entity *other;
        const char *const *c = e->joins[i].columns;
        if (!c || !*c) {
            continue;
        }
        q->joins |= 1u << i;
        rc = entity_get(q->s, e->joins[i].entity, &other, err);
        for (; rc == TN_OK && *c; c++) {
            rc = show(q, s, e->joins[i].alias, e->joins[i].prefix, entity_column(other, str_of(*c)),
                      err);
        }
    }
    if (rc == TN_OK && !named(l->omit, l->nomit, "createTime")) {
        rc = show(q, s, e->alias, NULL, &entity_create_time, err);
    }
    if (rc == TN_OK && !named(l->omit, l->nomit, "updateTime")) {
        rc = show(q, s, e->alias, NULL, &entity_update_time, err);
    }
    if (rc == TN_OK && entity_sealed(e)) {
        struct ref id = {e->alias, entity_column(e, TN_STR("id"))};
        stmt_add(q, s->n ? ", " : "SELECT ");
        stmt_ref(q, &id);
        s->sealed = 1;
    }
    return rc;
}

/* ---- statements ------------------------------------------------------------------------------ */

/* FROM comes before what decides which joins it needs: build the end first, then put it behind. */
tn_rc stmt_from_where(struct stmt *q, const tn_list *l, int count, tn_err *err)
{
    struct buf head = q->sql;
    buf_init(&q->sql, head.max);
    tn_rc rc = stmt_where(q, l->filters, l->nfilters, l, err);
    if (rc == TN_OK && !count) {
        rc = stmt_order(q, l->sort, l->nsort, err);
    }
    struct buf tail = q->sql;
    q->sql = head;
    rc = rc ? rc : stmt_from(q, err);
    if (rc == TN_OK) {
        buf_add(&q->sql, tail.data, tail.len);
        q->sql.failed |= tail.failed;
    }
    buf_finish(&tail);
    return rc;
}

static tn_rc run_select(struct lease *lease, const tn_entity *e, const tn_list *l,
                        struct buf *ret_rows, int64_t *ret_n, tn_err *err)
{
    struct stmt q;
    struct row_sink *s = calloc(1, sizeof *s); /* too large for a helper thread's stack */
    if (!s) {
        return err_set(err, TN_E_NOMEM, "no memory for a list");
    }
    stmt_init(&q, lease->s, e);
    s->sink.ops = &row_ops;
    s->out = ret_rows;
    s->s = lease->s;
    s->e = e;
    buf_init(&s->opened, 0);
    tn_rc rc = select_columns(&q, s, l, err);
    rc = rc ? rc : stmt_from_where(&q, l, 0, err);
    if (rc == TN_OK && (l->limit >= 0 || l->offset > 0)) {
        stmt_add(&q, " LIMIT ");
        stmt_bind_int(&q, l->limit >= 0 ? l->limit : INT64_MAX);
        stmt_add(&q, " OFFSET ");
        stmt_bind_int(&q, l->offset > 0 ? l->offset : 0);
    }
    rc = rc ? rc : stmt_check(&q, err);
    if (rc == TN_OK) {
        buf_addc(ret_rows, '[');
        rc = lease_query(lease, buf_str(&q.sql), q.params, q.n, &s->sink, err);
        buf_addc(ret_rows, ']');
    }
    *ret_n = s->rows;
    stmt_finish(&q);
    buf_finish(&s->opened);
    free(s);
    return rc;
}

/* One number of one row. */
struct count_sink {
    tn_sink sink;
    int64_t value;
};

static tn_rc count_row(tn_sink *sink, const tn_val *cells)
{
    container_of(sink, struct count_sink, sink)->value = cells[0].u.i;
    return TN_OK;
}

static tn_rc count_table(tn_sink *sink, const tn_col *cols, uint32_t ncols, int64_t hint)
{
    (void)sink;
    (void)cols;
    (void)hint;
    return ncols == 1 ? TN_OK : TN_E_INTERNAL;
}

static tn_rc run_count(struct lease *lease, const tn_entity *e, const tn_list *l, int64_t *ret,
                       tn_err *err)
{
    static const tn_sink_ops ops = {.size = sizeof ops,
                                    .table_begin = count_table,
                                    .row = count_row,
                                    .table_end = on_table_end};
    struct count_sink s = {.sink = {&ops, NULL}};
    struct stmt q;
    tn_list all = *l;
    all.marker = 0; /* all matching rows, wherever this page begins */
    stmt_init(&q, lease->s, e);
    stmt_add(&q, "SELECT count(*)");
    tn_rc rc = stmt_from_where(&q, &all, 1, err);
    rc = rc ? rc : stmt_check(&q, err);
    rc = rc ? rc : lease_query(lease, buf_str(&q.sql), q.params, q.n, &s.sink, err);
    stmt_finish(&q);
    if (rc == TN_OK) {
        *ret = s.value;
    }
    return rc;
}

/* A caller built against an older header hands over a shorter struct. */
static void take_list(const tn_list *theirs, tn_list *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->limit = -1;
    if (theirs) {
        memcpy(ret, theirs, theirs->size < sizeof *ret ? theirs->size : sizeof *ret);
    }
}

/* First which rows, then those rows. */
static tn_rc run_search(struct lease *lease, const tn_entity *e, const tn_list *l,
                        struct buf *ret_rows, int64_t *ret_total, tn_err *err)
{
    struct buf seqs = BUF_INIT(0);
    int64_t n = 0;
    tn_rc rc = search_rows(lease, e, l, &seqs, ret_total, err);
    if (rc == TN_OK) {
        const tn_filter only = {.column = "seq", .op = TN_OP_IN, .value = buf_str(&seqs)};
        tn_list found = *l;
        found.filters = &only;
        found.nfilters = 1;
        found.fuzzy = (tn_str){NULL, 0};
        found.nsort = 0;
        found.limit = -1;
        found.offset = found.marker = 0;
        rc = run_select(lease, e, &found, ret_rows, &n, err);
    }
    buf_finish(&seqs);
    return rc;
}

tn_rc store_list(struct store *s, struct store_txn *t, const char *entity, const tn_list *list,
                 struct buf *ret_rows, int64_t *ret_total, tn_err *err)
{
    const tn_entity *e;
    struct lease lease;
    tn_list l;
    int64_t n = 0, total = -1;
    size_t before = ret_rows->len;
    take_list(list, &l);
    tn_rc rc = entity_get(s, entity, &e, err);
    rc = rc ? rc : lease_take(s, t, 0, &lease, err);
    if (rc) {
        return rc;
    }
    if (search_needed(e, &l)) {
        rc = run_search(&lease, e, &l, ret_rows, &total, err);
        l.flags &= ~TN_LIST_COUNT;
    } else {
        rc = run_select(&lease, e, &l, ret_rows, &n, err);
    }
    if (rc == TN_OK && (l.flags & TN_LIST_COUNT)) {
        int whole = l.offset <= 0 && l.marker <= 0 && (l.limit < 0 || n < l.limit);
        total = n;
        rc = whole ? TN_OK : run_count(&lease, e, &l, &total, err);
    }
    lease_give(&lease);
    if (rc) {
        ret_rows->len = before;
    } else if (ret_total) {
        *ret_total = total;
    }
    return rc;
}
