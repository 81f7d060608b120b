/* SPDX-License-Identifier: Apache-2.0 */
/* Text search where columns are sealed: the database cannot look into them, so rows are read newest first, opened and compared here,
 * until the page is full. As LIKE: any of the columns contains it, without regard to the case of ASCII letters. */
#include "kernel/base/err.h"
#include "kernel/base/str.h"
#include "kernel/store/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ROUND       100 /* rows that are read at once: their texts are in memory together */
#define COLUMNS_MAX 32
#define TEXT_MAX    4096 /* bytes to search for */
#define HITS_MAX    10000

struct hunt {
    tn_sink sink;
    struct store *s;
    const tn_entity *e;
    const tn_list *l;
    struct ref cols[COLUMNS_MAX];
    struct buf opened, *seqs;
    uint32_t round; /* rows of this one */
    int64_t last;   /* seq of its last row */
    int64_t hits, taken;
    int full; /* nothing more is of interest */
    int over; /* more hits than may be shown */
};

static unsigned char fold(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static int contains(tn_str text, tn_str part)
{
    for (size_t i = 0; part.n <= text.n && i <= text.n - part.n; i++) {
        size_t k = 0;
        while (k < part.n && fold(text.s[i + k]) == fold(part.s[k])) {
            k++;
        }
        if (k == part.n) {
            return 1;
        }
    }
    return 0;
}

/* cells: seq, id, then the columns. */
static int matches(struct hunt *h, const tn_val *cells)
{
    for (uint32_t i = 0; i < h->l->nfuzzy; i++) {
        const struct ref *r = &h->cols[i];
        tn_val v = cells[2 + i];
        char number[24];
        tn_str text = {NULL, 0};
        if (r->alias == h->e->alias && (r->col->flags & TN_COL_SEALED)) {
            v = cell_open(h->s, h->e, r->col, &cells[1], &v, &h->opened);
        }
        if (v.type == TN_T_STR || v.type == TN_T_BYTES) {
            text = (tn_str){v.u.s, v.n};
        } else if (v.type == TN_T_INT) {
            text = (tn_str){number, (size_t)snprintf(number, sizeof number, "%" PRId64, v.u.i)};
        }
        if (text.s && contains(text, h->l->fuzzy)) {
            return 1;
        }
    }
    return 0;
}

static tn_rc on_table(tn_sink *sink, const tn_col *cols, uint32_t ncols, int64_t hint)
{
    (void)cols;
    (void)hint;
    return ncols == 2 + container_of(sink, struct hunt, sink)->l->nfuzzy ? TN_OK : TN_E_INTERNAL;
}

static tn_rc on_row(tn_sink *sink, const tn_val *cells)
{
    struct hunt *h = container_of(sink, struct hunt, sink);
    h->round++;
    h->last = cells[0].u.i;
    if (h->full || !matches(h, cells)) {
        return TN_OK;
    }
    h->hits++;
    int shown = h->hits > h->l->offset && (h->l->limit < 0 || h->taken < h->l->limit);
    if (shown && h->taken == HITS_MAX) {
        h->over = h->full = 1;
    } else if (shown) {
        buf_adds(h->seqs, h->taken++ ? "," : "");
        buf_addi(h->seqs, h->last);
    }
    h->full |= !(h->l->flags & TN_LIST_COUNT) && h->l->limit >= 0 && h->taken >= h->l->limit;
    return h->seqs->failed ? TN_E_LIMIT : TN_OK;
}

static tn_rc on_table_end(tn_sink *sink, int64_t affected)
{
    (void)sink;
    (void)affected;
    return TN_OK;
}

static const tn_sink_ops hunt_ops = {
    .size = sizeof hunt_ops, .table_begin = on_table, .row = on_row, .table_end = on_table_end};

static tn_rc select_hunted(struct stmt *q, struct hunt *h, tn_err *err)
{
    const struct ref own[] = {{h->e->alias, &entity_seq},
                              {h->e->alias, entity_column(h->e, TN_STR("id"))}};
    tn_rc rc = TN_OK;
    stmt_add(q, "SELECT ");
    stmt_ref(q, &own[0]);
    stmt_add(q, ", ");
    stmt_ref(q, &own[1]);
    for (uint32_t i = 0; i < h->l->nfuzzy && rc == TN_OK; i++) {
        rc = stmt_resolve(q, "search", h->l->fuzzy_columns[i], &h->cols[i], err);
        if (rc == TN_OK) {
            stmt_add(q, ", ");
            stmt_ref(q, &h->cols[i]);
        }
    }
    return rc;
}

/* The next rows below the marker. */
static tn_rc one_round(struct lease *lease, struct hunt *h, int64_t marker, tn_err *err)
{
    static const char *const newest[] = {"-seq"};
    struct stmt q;
    tn_list part = *h->l;
    part.fuzzy = (tn_str){NULL, 0};
    part.sort = newest;
    part.nsort = 1;
    part.marker = marker;
    h->round = 0;
    stmt_init(&q, lease->s, h->e);
    tn_rc rc = select_hunted(&q, h, err);
    rc = rc ? rc : stmt_from_where(&q, &part, 0, err);
    stmt_add(&q, " LIMIT ");
    stmt_bind_int(&q, ROUND);
    rc = rc ? rc : stmt_check(&q, err);
    rc = rc ? rc : lease_query(lease, buf_str(&q.sql), q.params, q.n, &h->sink, err);
    stmt_finish(&q);
    return rc;
}

int search_needed(const tn_entity *e, const tn_list *l)
{
    return l->fuzzy.s && l->fuzzy.n && entity_sealed(e);
}

tn_rc search_rows(struct lease *lease, const tn_entity *e, const tn_list *l, struct buf *ret_seqs,
                  int64_t *ret_total, tn_err *err)
{
    struct hunt h = {.sink = {&hunt_ops, NULL}, .s = lease->s, .e = e, .l = l, .seqs = ret_seqs};
    if (l->nfuzzy == 0 || l->nfuzzy > COLUMNS_MAX || l->fuzzy.n > TEXT_MAX) {
        return err_set(err, TN_E_INVAL,
                       "entity %s is searched in 1 to %d columns for at most %d bytes", e->name,
                       COLUMNS_MAX, TEXT_MAX);
    }
    buf_init(&h.opened, 0);
    buf_addc(ret_seqs, '[');
    tn_rc rc = TN_OK;
    int64_t marker = l->marker > 0 ? l->marker : INT64_MAX;
    do {
        rc = one_round(lease, &h, marker, err);
        marker = h.last;
    } while (rc == TN_OK && h.round == ROUND && !h.full);
    buf_addc(ret_seqs, ']');
    buf_finish(&h.opened);
    if (rc == TN_OK && h.over) {
        rc = err_set(err, TN_E_LIMIT, "more than %d rows match; ask for them in pages", HITS_MAX);
    }
    *ret_total = l->flags & TN_LIST_COUNT ? h.hits : -1;
    return rc;
}
