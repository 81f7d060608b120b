/* SPDX-License-Identifier: Apache-2.0 */
/* Types that Debian's server is too old for: a block that ClickHouse 26.9 wrote (modern.native, by chdb-core 26.9.0, FORMAT
 * Native), read, told, written again and read once more. */
#include "tests/unit/base/unit.h"

#include "tests/unit/clickhouse/said.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the server itself told of each column (FORMAT Vertical), as show() writes it. */
static const struct {
    const char *name, *value;
} expected[] = {
    {"m", "{'a': 1, 'b': 2}"},
    {"m0", "{}"},
    {"d6", "time 1767254400123456"},
    {"d1", "time -500000"},
    {"d32", "date -16374"},
    {"i128", "json -170141183460469231731687303715884105728"},
    {"u256", "json 115792089237316195423570985008687907853269984665640564039457584007913129639935"},
    {"dec", "decimal -12345678901234567890123456789012345678901234567890.1230000000"},
    {"b", "true"},
    {"ip4", "addr 1.2.3.4"},
    {"ip6", "addr 2001:db8:0:0:0:0:0:1"},
    {"u", "uuid 61f0c404-5cb3-11e7-907b-a6006ad3dba0"},
    {"pt", "(1.5, 2.5)"},
    {"poly", "[[(1, 2), (3, 4)]]"},
    {"tn", "(1, 'x')"},
    {"bf", "1.5"},
    {"lc", "'low'"},
    {"lcn", "null"},
    {"lca", "['p', 'q', 'p']"},
    {"e", "'x'"},
    {"iv", "3"},
    {"t0", "()"},
    {"nn", "[null]"},
    {"nest", "[(1, 'a')]"},
    {"tm", "span 45296000000"},
    {"tm64", "span -45296789000"},
    {"fs", "'ab'"},
    {"s", "'\xc3\xbcx'"},
    {"saf", "5"},
    {"mm", "{'k': {1: 'v'}}"},
    {"lcna", "[null, 'z', null, 'z']"},
};
#define COLUMNS (sizeof expected / sizeof *expected)

/* ---- a value as text --------------------------------------------------------------------------------- */

struct shown {
    char text[400];
    size_t n;
};

static void add(struct shown *s, const char *fmt, ...) TN_PRINTF(2, 3);
static void add(struct shown *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    s->n += (size_t)vsnprintf(s->text + s->n, sizeof s->text - s->n, fmt, ap);
    va_end(ap);
    assert_true(s->n < sizeof s->text);
}

static void show(struct shown *s, const tn_val *v)
{
    const bool fixed = (v->flags & TN_V_TUPLE) != 0;
    switch (v->type) {
    case TN_T_NULL:
        add(s, "null");
        break;
    case TN_T_BOOL:
        add(s, "%s", v->u.i != 0 ? "true" : "false");
        break;
    case TN_T_INT:
        add(s, "%lld", (long long)v->u.i);
        break;
    case TN_T_FLOAT:
        add(s, "%g", v->u.f);
        break;
    case TN_T_DECIMAL:
        add(s, "decimal %.*s", (int)v->n, v->u.s);
        break;
    case TN_T_STR:
        if (v->flags == 0) {
            add(s, "'%.*s'", (int)v->n, v->u.s);
        } else {
            add(s, "%s %.*s",
                v->flags & TN_V_JSON   ? "json"
                : v->flags & TN_V_UUID ? "uuid"
                                       : "addr",
                (int)v->n, v->u.s);
        }
        break;
    case TN_T_LIST:
        add(s, "%s", fixed ? "(" : "[");
        for (uint32_t i = 0; i < v->n; i++) {
            add(s, "%s", i != 0 ? ", " : "");
            show(s, &v->u.list[i]);
        }
        add(s, "%s", fixed ? ")" : "]");
        break;
    case TN_T_MAP:
        add(s, "{");
        for (uint32_t i = 0; i < v->n; i++) {
            add(s, "%s", i != 0 ? ", " : "");
            show(s, &v->u.map[i].key);
            add(s, ": ");
            show(s, &v->u.map[i].val);
        }
        add(s, "}");
        break;
    default:
        add(s, "%s %lld",
            v->type == TN_T_TIME   ? "time"
            : v->type == TN_T_DATE ? "date"
                                   : "span",
            (long long)v->u.i);
    }
}

static void compare(const struct ch_block *b)
{
    struct ch_scratch scratch = {.chunk = NULL};
    assert_int_equal(b->nrows, 2);
    assert_int_equal(b->ncols, COLUMNS);
    for (uint32_t i = 0; i < COLUMNS; i++) {
        assert_string_equal(b->names[i], expected[i].name);
        for (size_t row = 0; row < b->nrows; row++) {
            struct shown s = {.n = 0};
            tn_val v;
            ch_cell(&scratch, &b->cols[i], row, &v);
            show(&s, &v);
            if (strcmp(s.text, expected[i].value) != 0) {
                fail_msg("%s, row %zu: %s, not %s", expected[i].name, row, s.text,
                         expected[i].value);
            }
        }
    }
    ch_scratch_finish(&scratch);
}

/* ---- the block --------------------------------------------------------------------------------------- */

static uint8_t *load(size_t *ret_n)
{
    const char *root = getenv("TENON_ROOT");
    char path[4096];
    snprintf(path, sizeof path, "%s/tests/unit/clickhouse/modern.native", root ? root : ".");
    FILE *f = fopen(path, "rb");
    uint8_t *p = malloc(4096);
    assert_non_null(f);
    assert_non_null(p);
    *ret_n = fread(p, 1, 4096, f);
    fclose(f);
    return p;
}

static void read_block(uint8_t *p, size_t n, struct ch_block *ret)
{
    struct ch_in in = {.host = &host, .buf = p, .n = n, .more = ends};
    if (ch_block_read(&in, 0, 1 << 20, ret) != TN_OK) {
        fail_msg("%s", said);
    }
    assert_int_equal(in.at, n); /* to its last byte */
}

static void test_read(void **state)
{
    struct ch_block b;
    size_t n;
    uint8_t *p = load(&n);
    (void)state;
    read_block(p, n, &b);
    compare(&b);
    ch_block_finish(&b);
    free(p);
}

static void test_write(void **state)
{
    struct ch_block b, again;
    struct ch_out out = {.p = NULL};
    struct ch_scratch scratch = {.chunk = NULL};
    size_t n;
    uint8_t *p = load(&n);
    (void)state;
    read_block(p, n, &b);
    ch_putv(&out, b.ncols);
    ch_putv(&out, b.nrows);
    for (uint32_t i = 0; i < b.ncols; i++) {
        const struct ch_type *t = b.cols[i].type;
        struct ch_writer w = {&host, &out, NULL, b.names[i], NULL};
        tn_val v[2];
        const tn_val *cells[2] = {&v[0], &v[1]};
        for (size_t row = 0; row < 2; row++) {
            ch_cell(&scratch, &b.cols[i], row, &v[row]);
        }
        ch_put_text(&out, b.names[i], b.name_lens[i]);
        ch_put_text(&out, t->text, t->text_n);
        if (ch_column_write(&w, t, cells, 2) != TN_OK) {
            fail_msg("%s: %s", b.names[i], said);
        }
    }
    assert_false(out.failed);
    const char *keep = getenv("TENON_TEST_KEEP"); /* for another reader of the format */
    if (keep != NULL) {
        FILE *f = fopen(keep, "wb");
        assert_non_null(f);
        fwrite(out.p, 1, out.n, f);
        fclose(f);
    }
    read_block(out.p, out.n, &again);
    compare(&again);
    ch_block_finish(&again);
    ch_block_finish(&b);
    ch_scratch_finish(&scratch);
    ch_out_finish(&out);
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_read), cmocka_unit_test(test_write)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
