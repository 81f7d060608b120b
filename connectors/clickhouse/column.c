/* SPDX-License-Identifier: Apache-2.0 */
/* Reading blocks: columns one after the other, each with its name, its type and its values. What a length claims is
 * charged before memory is used for it. */
#include "native.h"

#include <string.h>

#define REV_BLOCK_INFO   51903
#define REV_CUSTOM       54454
#define SPARSE_LAST      (1ull << 62) /* the last group of a sparse column: only defaults follow */
#define LOW_MORE_KEYS    (1u << 9)
#define LOW_GLOBAL_KEYS  (1u << 8)
#define LOW_KEYS_VERSION 1
#define ITEM_BYTES       sizeof(tn_val) /* what a value in a list will need when it is told */

struct reading {
    struct ch_in *in;
    struct ch_mem *mem;
    const uint8_t
        *kinds; /* serialisation of each part of the type: 0 plain, 1 sparse; NULL: all plain */
    size_t at_kind;
    const char *name; /* of the column */
};

static void *take(struct reading *r, size_t n, size_t size)
{
    tn_rc rc = TN_OK;
    void *p = r->in->rc == TN_OK ? ch_alloc(r->mem, n, size, &rc) : NULL;
    if (p == NULL) {
        ch_in_fail(r->in, rc, "%s", rc == TN_E_LIMIT ? CH_TOO_LARGE : "no memory for a column");
    }
    return p;
}

/* An array of n items into which item number *cap is to go: longer, but not by more than what has come. */
static uint32_t *longer(struct reading *r, uint32_t *p, size_t n, size_t *cap)
{
    tn_rc rc = TN_OK;
    size_t want = n - *cap <= *cap + CH_STEP ? n : *cap * 2 + CH_STEP;
    uint32_t *more = p == NULL ? ch_alloc(r->mem, want, sizeof *p, &rc)
                               : ch_resize(r->mem, p, want * sizeof *p, &rc);
    if (more == NULL) {
        ch_in_fail(r->in, rc, "%s", rc == TN_E_LIMIT ? CH_TOO_LARGE : "no memory for a column");
        return p;
    }
    *cap = want;
    return more;
}

static void broken(struct reading *r, const char *what)
{
    ch_in_fail(r->in, TN_E_UNAVAIL,
               "the server does not speak ClickHouse's native protocol: column `%.80s`: %s",
               r->name, what);
}

static void read_col(struct reading *r, const struct ch_type *t, size_t n, struct ch_col *col);

/* ---- what stands before the values ------------------------------------------------------------------- */

static void read_prefix(struct reading *r, const struct ch_type *t)
{
    if (t->kind == CH_LOW && ch_get64(r->in) != LOW_KEYS_VERSION) {
        broken(r, "a LowCardinality of an unknown version");
    }
    for (uint32_t i = 0; t->sub != NULL && t->kind != CH_LOW && i < t->n && r->in->rc == TN_OK;
         i++) {
        read_prefix(r, t->sub[i]);
    }
}

/* A byte for the type and, of a tuple, for what is in it. */
static void read_kinds(struct reading *r, const struct ch_type *t, struct ch_out *out)
{
    uint8_t kind = ch_get8(r->in);
    if (kind > 1) {
        broken(r, "it is serialised in an unknown way");
    }
    ch_put8(out, kind);
    for (uint32_t i = 0; t->kind == CH_TUPLE && i < t->n && r->in->rc == TN_OK; i++) {
        read_kinds(r, t->sub[i], out);
    }
}

static uint8_t next_kind(struct reading *r)
{
    return r->kinds != NULL ? r->kinds[r->at_kind++] : 0;
}

/* ---- columns ----------------------------------------------------------------------------------------- */

/* Room for `need` bytes more; it doubles as long as that is allowed. */
static int more_bytes(struct reading *r, struct ch_col *col, size_t *cap, size_t used, size_t need)
{
    tn_rc rc = TN_OK;
    size_t most = *cap + (r->mem->max - r->mem->used), want = *cap * 2 + need + 1024;
    want = want < most ? want : used + need;
    uint8_t *more = want >= UINT32_MAX   ? (rc = TN_E_LIMIT, NULL)
                    : col->bytes != NULL ? ch_resize(r->mem, col->bytes, want, &rc)
                                         : ch_alloc(r->mem, want, 1, &rc);
    if (more == NULL) {
        ch_in_fail(r->in, rc, "%s", rc == TN_E_LIMIT ? CH_TOO_LARGE : "no memory for a column");
        return 0;
    }
    col->bytes = more;
    *cap = want;
    return 1;
}

static void read_strings(struct reading *r, size_t n, struct ch_col *col)
{
    size_t cap = 0, used = 0, ends = 0;
    for (size_t i = 0; i < n && r->in->rc == TN_OK; i++) {
        uint64_t len = ch_getv(r->in);
        col->ends = i == ends ? longer(r, col->ends, n, &ends) : col->ends;
        if (r->in->rc == TN_OK && len > cap - used + (r->mem->max - r->mem->used)) {
            ch_in_fail(r->in, TN_E_LIMIT, CH_TOO_LARGE);
        }
        while (len != 0 && r->in->rc == TN_OK) {
            size_t part = len < CH_STEP ? (size_t)len : CH_STEP;
            if (part > cap - used && !more_bytes(r, col, &cap, used, part)) {
                return;
            }
            ch_get(r->in, col->bytes + used, part);
            used += part;
            len -= part;
        }
        if (r->in->rc == TN_OK) {
            col->ends[i] = (uint32_t)used;
        }
    }
}

/* Where each value's items end; *ret_total of them in all. */
static void read_ends(struct reading *r, size_t n, struct ch_col *col, size_t *ret_total)
{
    uint64_t last = 0;
    size_t cap = 0;
    for (size_t i = 0; i < n && r->in->rc == TN_OK; i++) {
        uint64_t end = ch_get64(r->in);
        col->ends = i == cap ? longer(r, col->ends, n, &cap) : col->ends;
        if (r->in->rc == TN_OK && (end < last || end >= UINT32_MAX)) {
            broken(r, "the ends of its arrays do not rise");
        }
        if (r->in->rc == TN_OK) {
            col->ends[i] = (uint32_t)end;
            last = end;
        }
    }
    if (r->in->rc == TN_OK && last > (r->mem->max - r->mem->used) / ITEM_BYTES) {
        ch_in_fail(r->in, TN_E_LIMIT, CH_TOO_LARGE);
    }
    r->mem->used += r->in->rc == TN_OK ? (size_t)last * ITEM_BYTES : 0; /* for telling it */
    *ret_total = r->in->rc == TN_OK ? (size_t)last : 0;
}

static void read_index(struct reading *r, size_t n, uint32_t bytes, size_t keys, struct ch_col *col)
{
    size_t cap = 0;
    for (size_t i = 0; i < n && r->in->rc == TN_OK; i++) {
        uint64_t at = 0;
        ch_get(r->in, &at, bytes);
        col->pick = i == cap ? longer(r, col->pick, n, &cap) : col->pick;
        if (r->in->rc == TN_OK && at >= keys) {
            broken(r, "an index beyond its dictionary");
        }
        if (r->in->rc == TN_OK) {
            col->pick[i] = (uint32_t)at;
        }
    }
}

static void read_low(struct reading *r, const struct ch_type *t, size_t n, struct ch_col *col)
{
    const struct ch_type *in = t->sub[0];
    uint64_t flags = ch_get64(r->in);
    if (r->in->rc == TN_OK &&
        ((flags & 0xff) > 3 || (flags & LOW_GLOBAL_KEYS) || !(flags & LOW_MORE_KEYS))) {
        broken(r, "a LowCardinality with a dictionary that was not sent");
    }
    uint64_t keys = ch_get64(r->in);
    if (r->in->rc == TN_OK && keys >= UINT32_MAX) {
        broken(r, "a dictionary that is too large");
    }
    col->sub = take(r, 1, sizeof *col->sub);
    const uint8_t *kinds = r->kinds;
    r->kinds = NULL;          /* they tell of the columns, not of a dictionary */
    if (r->in->rc == TN_OK) { /* of a Nullable the first key stands for NULL */
        read_col(r, in->kind == CH_NULLABLE ? in->sub[0] : in, (size_t)keys, col->sub);
    }
    r->kinds = kinds;
    if (ch_get64(r->in) != n && r->in->rc == TN_OK) {
        broken(r, "an index of another length");
    }
    read_index(r, n, 1u << (flags & 3), (size_t)keys, col);
}

/* Groups of defaults, each but the last followed by one value. */
static void read_sparse(struct reading *r, const struct ch_type *t, size_t n, struct ch_col *col)
{
    size_t row = 0;
    uint32_t values = 0;
    col->sparse = 1;
    col->sub = take(r, 1, sizeof *col->sub);
    col->pick = take(r, n, sizeof *col->pick);
    while (r->in->rc == TN_OK) {
        uint64_t group = ch_getv(r->in), defaults = group & ~SPARSE_LAST;
        if (defaults > n - row || (!(group & SPARSE_LAST) && defaults == n - row)) {
            broken(r, "a sparse column that is longer than the block");
            return;
        }
        row += (size_t)defaults;
        if (group & SPARSE_LAST) {
            break;
        }
        col->pick[row++] = ++values;
    }
    const uint8_t *kinds = r->kinds;
    r->kinds = NULL;
    if (r->in->rc == TN_OK && row != n) {
        broken(r, "a sparse column that is shorter than the block");
    }
    if (r->in->rc == TN_OK) {
        read_col(r, t, values, col->sub);
    }
    r->kinds = kinds;
}

static void read_inner(struct reading *r, const struct ch_type *t, size_t n, struct ch_col *col)
{
    uint32_t nsub = t->kind == CH_MAP || t->kind == CH_TUPLE ? t->n : 1;
    const uint8_t *kinds = r->kinds;
    size_t total = n;
    if (t->kind == CH_NULLABLE) {
        col->fixed = ch_get_array(r->in, r->mem, n, 1);
    } else if (t->kind != CH_TUPLE) {
        read_ends(r, n, col, &total);
    }
    col->sub = take(r, nsub, sizeof *col->sub);
    r->kinds = t->kind == CH_TUPLE ? kinds : NULL;
    for (uint32_t i = 0; i < nsub && r->in->rc == TN_OK; i++) {
        read_col(r, t->sub[i], total, &col->sub[i]);
    }
    r->kinds = kinds;
    if (t->kind == CH_TUPLE && nsub == 0) {
        ch_get_array(r->in, r->mem, n, 1); /* Tuple() is a byte */
    }
}

static void read_col(struct reading *r, const struct ch_type *t, size_t n, struct ch_col *col)
{
    col->type = t;
    col->n = n;
    if (n == 0 || r->in->rc != TN_OK) {
        return;
    }
    if (next_kind(r) == 1) {
        read_sparse(r, t, n, col);
    } else if (t->kind == CH_STRING) {
        read_strings(r, n, col);
    } else if (t->kind == CH_LOW) {
        read_low(r, t, n, col);
    } else if (t->kind >= CH_NULLABLE) {
        read_inner(r, t, n, col);
    } else {
        col->fixed = ch_get_array(r->in, r->mem, n, t->width);
    }
}

/* ---- blocks ------------------------------------------------------------------------------------------ */

static void read_info(struct ch_in *in)
{
    for (;;) {
        uint64_t field = ch_getv(in);
        if (field == 1) {
            ch_get8(in); /* overflows */
        } else if (field == 2) {
            ch_get32(in); /* number of the bucket */
        } else if (field == 0 || in->rc != TN_OK) {
            return;
        } else {
            ch_in_fail(in, TN_E_UNAVAIL,
                       "the server does not speak ClickHouse's native protocol: field %llu of a "
                       "block",
                       (unsigned long long)field);
        }
    }
}

static void read_column(struct ch_in *in, uint32_t rev, struct ch_block *b, uint32_t i)
{
    size_t n = 0, name_n = 0;
    struct ch_type *t = NULL;
    struct reading r = {.in = in, .mem = &b->mem};
    struct ch_out kinds = {.p = NULL};
    b->names[i] = ch_get_text(in, &b->mem, CH_NAME_MAX, "the name of a column", &name_n);
    b->name_lens[i] = (uint32_t)name_n;
    r.name = b->names[i];
    const char *text = ch_get_text(in, &b->mem, CH_TYPE_MAX, "the type of a column", &n);
    if (in->rc == TN_OK) {
        in->rc = ch_type_parse(in->host, &b->mem, text, n, &t, in->err);
    }
    if (in->rc == TN_OK && rev >= REV_CUSTOM && ch_get8(in) != 0) {
        read_kinds(&r, t, &kinds);
        r.kinds = kinds.p;
        if (kinds.failed) {
            ch_in_fail(in, TN_E_NOMEM, "no memory for a column");
        }
    }
    if (in->rc == TN_OK && b->nrows != 0) {
        read_prefix(&r, t);
    }
    if (in->rc == TN_OK) {
        read_col(&r, t, b->nrows, &b->cols[i]);
    }
    ch_out_finish(&kinds);
}

tn_rc ch_block_read(struct ch_in *in, uint32_t rev, size_t max, struct ch_block *ret)
{
    struct ch_block b = {.mem = {.max = max}};
    struct reading r = {.in = in, .mem = &b.mem, .name = ""};
    if (rev >= REV_BLOCK_INFO) {
        read_info(in);
    }
    uint64_t ncols = ch_getv(in), nrows = ch_getv(in);
    if (in->rc == TN_OK && (ncols > CH_COLUMNS_MAX || nrows >= UINT32_MAX)) {
        ch_in_fail(
            in, TN_E_UNAVAIL,
            "the server does not speak ClickHouse's native protocol: a block of %llu columns "
            "and %llu rows",
            (unsigned long long)ncols, (unsigned long long)nrows);
    }
    b.ncols = in->rc == TN_OK ? (uint32_t)ncols : 0;
    b.nrows = b.ncols != 0 ? (size_t)nrows : 0;
    b.names = take(&r, b.ncols, sizeof *b.names);
    b.name_lens = take(&r, b.ncols, sizeof *b.name_lens);
    b.cols = take(&r, b.ncols, sizeof *b.cols);
    for (uint32_t i = 0; i < b.ncols && in->rc == TN_OK; i++) {
        read_column(in, rev, &b, i);
    }
    if (in->rc != TN_OK) {
        ch_block_finish(&b);
        return in->rc;
    }
    *ret = b;
    return TN_OK;
}

void ch_block_finish(struct ch_block *b)
{
    ch_mem_finish(&b->mem);
    *b = (struct ch_block){.mem = {.first = NULL}};
}
