/* SPDX-License-Identifier: Apache-2.0 */
/* The checksum of frames, names of types, frames there and back, and blocks that claim more than comes. */
#include "tests/unit/base/unit.h"

#include "clickhouse/frame.h"
#include "tests/unit/clickhouse/said.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- CityHash ---------------------------------------------------------------------------------------- */

/* Made by clickhouse-cityhash 1.0.2.4, of bytes i * 7 + 3: every branch, and both sides of its bounds. */
static const struct {
    size_t n;
    uint64_t sum[2];
} sums[] = {
    {0, {0x3df09dfc64c09a2b, 0x3cb540c392e51e29}},
    {1, {0x39379490ccb55d55, 0x2af2b13064cd571f}},
    {3, {0x3108fa6b1da16986, 0x32301bf0c250612d}},
    {4, {0x2321e75aee8d6c41, 0xcea6b327f605358d}},
    {7, {0x9ef90f69597e95c7, 0x4987956c9782ee8f}},
    {8, {0xb6ad7c9a5953432f, 0x9f0e02109921888c}},
    {9, {0x5601ccf1e058519a, 0xf8512fca28333fef}},
    {15, {0x5a8299d8ab8f2f47, 0x8ea0a478a90d3277}},
    {16, {0x21e79cab7f9c2b79, 0xa35615c235313f7a}},
    {17, {0x0cd5bb13faea6e4c, 0x32bf719178f6bbfe}},
    {24, {0x11cc4c88526863b8, 0x3292188780f057f0}},
    {32, {0x67cfab8404eec7e9, 0x80cd3c27f5bd61ee}},
    {33, {0x094bbf1d5b6ddb61, 0x10572bd58efa7aaf}},
    {48, {0x1bae09b8435c660d, 0xa281faacdbab77b6}},
    {127, {0x1f1c2a3c62829942, 0x5d5820604b01deea}},
    {128, {0x11d00b10d6694d31, 0x108fb9e5b83fdff4}},
    {143, {0x201689145f2ebee2, 0xdf56bd91c3fb4dd0}},
    {144, {0xd639167b9b85767d, 0x07a10bf4573107c6}},
    {145, {0xde654d669366fc2a, 0xd2f68f547b37d6f5}},
    {175, {0x820471fe256f049a, 0xbd5b5205ff7ad428}},
    {255, {0x217ad8cf08bbe4ca, 0x1a5bb4038d2f32ff}},
    {256, {0x86696dd596ccf44b, 0x9fd9b2b0b79abdae}},
    {1000, {0x984b538c7b372373, 0xf6e6cbc56b688720}},
};

static uint8_t *pattern(size_t n)
{
    uint8_t *p = malloc(n + 1);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++) {
        p[i] = (uint8_t)(i * 7 + 3);
    }
    return p;
}

static void test_city(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++) {
        uint8_t *p = pattern(sums[i].n), *exact = realloc(p, sums[i].n != 0 ? sums[i].n : 1);
        uint64_t got[2];
        ch_city128(exact, sums[i].n, got);
        if (got[0] != sums[i].sum[0] || got[1] != sums[i].sum[1]) {
            fail_msg("%zu bytes: %016llx %016llx", sums[i].n, (unsigned long long)got[0],
                     (unsigned long long)got[1]);
        }
        free(exact);
    }
}

/* ---- types ------------------------------------------------------------------------------------------- */

static const struct {
    const char *text;
    uint8_t kind;
    uint32_t width, n;
    uint16_t scale;
} good[] = {
    {"UInt8", CH_UINT, 1, 0, 0},
    {"Int256", CH_INT, 32, 0, 0},
    {"FixedString(16)", CH_FIXED, 16, 0, 0},
    {"Decimal(9, 2)", CH_DECIMAL, 4, 0, 2},
    {"Decimal(18,4)", CH_DECIMAL, 8, 0, 4},
    {"Decimal(38, 38)", CH_DECIMAL, 16, 0, 38},
    {"Decimal(76, 0)", CH_DECIMAL, 32, 0, 0},
    {"Decimal64(3)", CH_DECIMAL, 8, 0, 3},
    {"DateTime", CH_DATETIME, 4, 0, 0},
    {"DateTime('Asia/Shanghai')", CH_DATETIME, 4, 0, 0},
    {"DateTime64(6, 'UTC')", CH_DATETIME64, 8, 0, 6},
    {"Enum8('a' = -1, 'it\\'s' = 2)", CH_ENUM, 1, 2, 0},
    {"Nullable(Nothing)", CH_NULLABLE, 0, 1, 0},
    {"Array(Array(Nullable(String)))", CH_ARRAY, 0, 1, 0},
    {"Tuple(a UInt8, `b c` String, Date)", CH_TUPLE, 0, 3, 0},
    {"Tuple()", CH_TUPLE, 0, 0, 0},
    {"Map(LowCardinality(String), UInt8)", CH_MAP, 0, 2, 0},
    {"LowCardinality(Nullable(String))", CH_LOW, 0, 1, 0},
    {"Nested(a UInt8, b Array(String))", CH_ARRAY, 0, 1, 0},
    {"SimpleAggregateFunction(groupArrayArray(5), Array(UInt8))", CH_ARRAY, 0, 1, 0},
    {"Point", CH_TUPLE, 0, 2, 0},
    {"IntervalDay", CH_INT, 8, 0, 0},
};
static const char *const malformed[] = {"",
                                        " ",
                                        "(",
                                        "Array",
                                        "Array(",
                                        "Array()",
                                        "Array(UInt8",
                                        "Array(UInt8))",
                                        "UInt8 x",
                                        "UInt8(3)",
                                        "FixedString(0)",
                                        "FixedString(99999999999)",
                                        "Decimal",
                                        "Decimal(77, 1)",
                                        "Decimal(5, 6)",
                                        "DateTime64(10)",
                                        "DateTime('UTC",
                                        "Enum8()",
                                        "Enum8('a')",
                                        "Enum8('a' = 40000)",
                                        "Enum8('a\\' = 1)",
                                        "Nullable(Nullable(String))",
                                        "Nullable(UInt8, UInt8)",
                                        "Map(String)",
                                        "LowCardinality(Array(String))",
                                        "SimpleAggregateFunction(sum)",
                                        "Tuple(`a UInt8)"};
static const char *const unknown[] = {"AggregateFunction(sum, UInt8)", "Variant(UInt8)", "JSON",
                                      "Array(Dynamic)"};

static tn_rc parse(const char *text, struct ch_mem *m, struct ch_type **ret)
{
    size_t n = strlen(text);
    char *exact = malloc(n + 1); /* so that a sanitizer sees a byte too many */
    assert_non_null(exact);
    memcpy(exact, text, n);
    char *cut = realloc(exact, n != 0 ? n : 1);
    tn_rc rc = ch_type_parse(&host, m, cut, n, ret, NULL);
    free(cut); /* what was parsed keeps no more than pointers to its name */
    return rc;
}

static void test_types(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct ch_mem m = {.max = 1 << 20};
        struct ch_type *t = NULL;
        if (parse(good[i].text, &m, &t) != TN_OK || t->kind != good[i].kind ||
            t->width != good[i].width || t->n != good[i].n || t->scale != good[i].scale) {
            fail_msg("%s: %s", good[i].text, said);
        }
        ch_mem_finish(&m);
    }
}

static void test_labels(void **state)
{
    struct ch_mem m = {.max = 1 << 20};
    struct ch_type *t = NULL;
    (void)state;
    assert_int_equal(parse("Enum16('x\\x41\\t' = 7, 'it\\'s' = -300)", &m, &t), TN_OK);
    assert_int_equal(t->labels[0].n, 4);
    assert_memory_equal(t->labels[0].s, "it's", 4);
    assert_int_equal(t->labels[0].value, -300);
    assert_int_equal(t->labels[1].n, 3);
    assert_memory_equal(t->labels[1].s, "xA\t", 3);
    ch_mem_finish(&m);
}

/* Each of three hundred is found, what lies between them is not. */
static void test_many_labels(void **state)
{
    struct ch_mem m = {.max = 1 << 20};
    struct ch_scratch scratch = {.chunk = NULL};
    struct ch_type *t = NULL;
    char text[8000] = "Enum16(", *end = text + 7;
    (void)state;
    for (int i = 299; i >= 0; i--) {
        end += snprintf(end, (size_t)(text + sizeof text - end), "'v%d' = %d%s", i, i * 3 - 400,
                        i != 0 ? ", " : ")");
    }
    assert_int_equal(parse(text, &m, &t), TN_OK);
    for (int16_t v = -402; v < 502; v++) {
        struct ch_col col = {.type = t, .n = 1, .fixed = (uint8_t *)&v};
        char want[16];
        tn_val got;
        ch_cell(&scratch, &col, 0, &got);
        if (v < -400 || v > 497 || (v + 400) % 3 != 0) {
            assert_int_equal(got.type, TN_T_INT);
            assert_int_equal(got.u.i, v);
        } else {
            assert_int_equal(got.n, snprintf(want, sizeof want, "v%d", (v + 400) / 3));
            assert_memory_equal(got.u.s, want, got.n);
        }
    }
    ch_scratch_finish(&scratch);
    ch_mem_finish(&m);
}

static void test_no_types(void **state)
{
    char deep[40 * 7 + 40];
    struct ch_mem m = {.max = 1 << 20};
    struct ch_type *t = NULL;
    (void)state;
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        if (parse(malformed[i], &m, &t) != TN_E_UNAVAIL) {
            fail_msg("counts as a type: %s", malformed[i]);
        }
    }
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        assert_int_equal(parse(unknown[i], &m, &t), TN_E_UNSUPP);
        assert_non_null(strstr(said, i == 0 ? "finalizeAggregation(" : "CAST("));
    }
    deep[0] = '\0';
    for (int i = 0; i < 40; i++) {
        strcat(deep, "Array(");
    }
    assert_int_equal(parse(deep, &m, &t), TN_E_UNSUPP);
    assert_non_null(strstr(said, "deeper than 32"));
    ch_mem_finish(&m);
    m.max = 64; /* too little for the second label */
    assert_int_equal(parse("Enum8('a' = 1, 'b' = 2)", &m, &t), TN_E_LIMIT);
    ch_mem_finish(&m);
}

/* ---- frames and blocks ------------------------------------------------------------------------------- */

static void test_frames(void **state)
{
    static const size_t sizes[] = {1, 100, 1 << 20, (1 << 20) + 1, 3 << 20};
    (void)state;
    for (size_t i = 0; i < 2 * sizeof sizes / sizeof *sizes; i++) {
        size_t n = sizes[i / 2];
        uint8_t *p = pattern(n), *back = malloc(n);
        struct ch_out out = {.p = NULL};
        struct ch_in body = {.host = &host};
        assert_int_equal(ch_frame_write(&out, i % 2 ? CH_LZ4 : CH_ZSTD, p, n), TN_OK);
        struct ch_in raw = {.host = &host, .buf = out.p, .n = out.n, .more = ends};
        while (raw.at < raw.n) {
            assert_int_equal(ch_frame_read(&raw, &body), TN_OK);
        }
        body.more = ends;
        ch_get(&body, back, n);
        assert_int_equal(body.rc, TN_OK);
        assert_int_equal(body.at, body.n);
        assert_memory_equal(p, back, n);
        out.p[out.n / 2] ^= 1; /* a bit that fell over */
        raw = (struct ch_in){.host = &host, .buf = out.p, .n = out.n, .more = ends};
        body.at = body.n = 0;
        while (ch_frame_read(&raw, &body) == TN_OK) {}
        assert_non_null(strstr(said, "with a wrong checksum"));
        ch_out_finish(&out);
        free(body.buf);
        free(back);
        free(p);
    }
}

/* A block of one column that claims four thousand million values and sends none: nothing is allocated for them. */
static void test_claims(void **state)
{
    static const char *const types[] = {"UInt256",
                                        "FixedString(16777216)",
                                        "String",
                                        "Array(UInt8)",
                                        "Nullable(Int64)",
                                        "LowCardinality(String)",
                                        "Map(String, String)",
                                        "Tuple(String, UUID)"};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct ch_out out = {.p = NULL};
        struct ch_block b = {.ncols = 0};
        ch_putv(&out, 1);
        ch_putv(&out, UINT32_MAX - 1);
        ch_putz(&out, "a");
        ch_putz(&out, types[i]);
        if (strncmp(types[i], "Low", 3) == 0) {
            ch_put64(&out, 1);
            ch_put64(&out, 0x200);
            ch_put64(&out, UINT32_MAX - 1);
        }
        struct ch_in in = {.host = &host, .buf = out.p, .n = out.n, .more = ends};
        assert_int_equal(ch_block_read(&in, 0, (size_t)1 << 62, &b), TN_E_UNAVAIL);
        assert_string_equal(said, "the end");
        in = (struct ch_in){.host = &host, .buf = out.p, .n = out.n, .more = ends};
        tn_rc small = ch_block_read(&in, 0, 1 << 20, &b);
        assert_true(small == TN_E_LIMIT || small == TN_E_UNAVAIL);
        ch_out_finish(&out);
    }
}

/* A text that claims to be long, and one that is longer than the bound. */
static void test_long_texts(void **state)
{
    (void)state;
    for (int there = 0; there < 2; there++) {
        struct ch_out out = {.p = NULL};
        struct ch_block b = {.ncols = 0};
        uint8_t *p = pattern(5 << 20);
        ch_putv(&out, 1);
        ch_putv(&out, 1);
        ch_putz(&out, "a");
        ch_putz(&out, "String");
        ch_putv(&out, there ? 5u << 20 : 3ull << 30);
        ch_put(&out, p, there ? 5u << 20 : 10);
        struct ch_in in = {.host = &host, .buf = out.p, .n = out.n, .more = ends};
        assert_int_equal(ch_block_read(&in, 0, (size_t)1 << 40, &b), there ? TN_OK : TN_E_UNAVAIL);
        if (there) {
            assert_int_equal(b.cols[0].ends[0], 5 << 20);
            assert_memory_equal(b.cols[0].bytes, p, 5 << 20);
            ch_block_finish(&b);
            in = (struct ch_in){.host = &host, .buf = out.p, .n = out.n, .more = ends};
            assert_int_equal(ch_block_read(&in, 0, 5 << 20, &b), TN_E_LIMIT);
        }
        ch_out_finish(&out);
        free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_city),     cmocka_unit_test(test_types),
        cmocka_unit_test(test_labels),   cmocka_unit_test(test_many_labels),
        cmocka_unit_test(test_no_types), cmocka_unit_test(test_frames),
        cmocka_unit_test(test_claims),   cmocka_unit_test(test_long_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
