/* SPDX-License-Identifier: Apache-2.0 */
/* Values written as JSON, sinks that write, record and build trees, and the bridge to Jansson. */
#include "kernel/base/str.h"
#include "kernel/value/bridge.h"
#include "kernel/value/record.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define STR(s_)                                                                                    \
    {                                                                                              \
        .type = TN_T_STR, .n = sizeof(s_) - 1, .u.s = s_                                           \
    }
#define INT(i_)                                                                                    \
    {                                                                                              \
        .type = TN_T_INT, .u.i = i_                                                                \
    }
#define FLOAT(f_)                                                                                  \
    {                                                                                              \
        .type = TN_T_FLOAT, .u.f = f_                                                              \
    }
#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static const uint8_t raw[] = {0xff, 0x00, 0x10, 0x80};
static const tn_val items[] = {INT(1), STR("x"), {.type = TN_T_NULL}};
static const tn_pair pairs[] = {{STR("k\""), INT(1)},
                                {STR("l"), {.type = TN_T_LIST, .n = 3, .u.list = items}}};

static void writes_every_type(void **state)
{
    static const struct {
        tn_val v;
        const char *json;
    } cases[] = {
        {{.type = TN_T_NULL}, "null"},
        {{.type = TN_T_BOOL, .u.i = 1}, "true"},
        {{.type = TN_T_BOOL}, "false"},
        {INT(INT64_MIN), "-9223372036854775808"},
        {INT(INT64_MAX), "9223372036854775807"},
        {FLOAT(0.1), "0.1"},
        {FLOAT(1), "1.0"},
        {FLOAT(-0.0), "-0.0"},
        {FLOAT(1e300), "1e+300"},
        {FLOAT(1.0 / 3), "0.3333333333333333"},
        {FLOAT(5e-324), "4.94065645841247e-324"},
        {FLOAT(NAN), "null"},
        {FLOAT(INFINITY), "null"},
        {FLOAT(-INFINITY), "null"},
        {STR("a\"\n"), "\"a\\\"\\n\""},
        {{.type = TN_T_STR, .flags = TN_V_JSON, .n = 7, .u.s = "[1, 2 ]"}, "[1, 2 ]"},
        {{.type = TN_T_STR, .flags = TN_V_JSON, .n = 2, .u.s = "[1"}, "\"[1\""},
        {{.type = TN_T_BYTES, .n = 3, .u.b = (const uint8_t *)"abc"}, "\"abc\""},
        {{.type = TN_T_BYTES, .n = 4, .u.b = raw}, "\"/wAQgA==\""},
        {{.type = TN_T_BYTES, .n = 3, .u.b = raw}, "\"/wAQ\""},
        {{.type = TN_T_BYTES, .n = 2, .u.b = raw}, "\"/wA=\""},
        {{.type = TN_T_BYTES, .n = 0}, "\"\""},
        {{.type = TN_T_DECIMAL, .n = 5, .u.s = "12.50"}, "12.50"},
        {{.type = TN_T_DECIMAL, .n = 30, .u.s = "123456789012345678901234567890"},
         "123456789012345678901234567890"},
        {{.type = TN_T_DECIMAL, .n = 3, .u.s = "NaN"}, "\"NaN\""},
        {{.type = TN_T_DECIMAL, .n = 4, .u.s = "1e,2"}, "\"1e,2\""},
        {{.type = TN_T_TIME, .u.i = 0}, "\"1970-01-01T00:00:00.000Z\""},
        {{.type = TN_T_TIME, .u.i = 1767225600123000}, "\"2026-01-01T00:00:00.123Z\""},
        {{.type = TN_T_TIME, .u.i = 1767225600123456}, "\"2026-01-01T00:00:00.123456Z\""},
        {{.type = TN_T_TIME, .flags = TN_V_NAIVE, .u.i = -1}, "\"1969-12-31T23:59:59.999999\""},
        {{.type = TN_T_DATE, .u.i = 0}, "\"1970-01-01\""},
        {{.type = TN_T_DATE, .u.i = 11016}, "\"2000-02-29\""},
        {{.type = TN_T_DATE, .u.i = -719162}, "\"0001-01-01\""},
        {{.type = TN_T_LIST, .n = 3, .u.list = items}, "[1,\"x\",null]"},
        {{.type = TN_T_LIST}, "[]"},
        {{.type = TN_T_MAP}, "{}"},
        {{.type = TN_T_MAP, .n = 2, .u.map = pairs}, "{\"k\\\"\":1,\"l\":[1,\"x\",null]}"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct buf out = BUF_INIT(0);
        json_t *tree = NULL, *want = json_loads(cases[i].json, JSON_DECODE_ANY, NULL);
        assert_int_equal(json_write(&out, &cases[i].v, NULL), TN_OK);
        assert_string_equal(out.data, cases[i].json);
        assert_int_equal(bridge_to_json(&cases[i].v, &tree, NULL), TN_OK);
        if (want) { /* numbers beyond 64 bits are text in a tree */
            assert_true(json_equal(tree, want));
        }
        json_decref(tree);
        json_decref(want);
        buf_finish(&out);
    }
}

static void refuses_what_is_no_json(void **state)
{
    const tn_pair number_key[] = {{INT(1), INT(2)}};
    const tn_val bad[] = {{.type = 77}, {.type = TN_T_MAP, .n = 1, .u.map = number_key}};
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct buf out = BUF_INIT(0);
        json_t *tree = NULL;
        assert_int_equal(json_write(&out, &bad[i], NULL), TN_E_INVAL);
        assert_int_equal(bridge_to_json(&bad[i], &tree, NULL), TN_E_INVAL);
        buf_finish(&out);
    }
    tn_val nest[JSON_MAX_DEPTH + 2];
    memset(nest, 0, sizeof nest);
    for (int i = 0; i <= JSON_MAX_DEPTH; i++) {
        nest[i] = (tn_val){.type = TN_T_LIST, .n = 1, .u.list = &nest[i + 1]};
    }
    struct buf out = BUF_INIT(0), small = BUF_INIT(4);
    json_t *tree = NULL;
    assert_int_equal(json_write(&out, &nest[1], NULL), TN_OK);
    assert_int_equal(json_write(&out, &nest[0], NULL), TN_E_LIMIT);
    assert_int_equal(bridge_to_json(&nest[0], &tree, NULL), TN_E_LIMIT);
    assert_int_equal(bridge_to_json(&nest[1], &tree, NULL), TN_OK);
    json_decref(tree);
    const tn_val text = STR("longer than four");
    assert_int_equal(json_write(&small, &text, NULL), TN_E_LIMIT);
    buf_finish(&out);
    buf_finish(&small);
}

/* The same description for all three sinks. */
static tn_rc describe(tn_sink *s)
{
    const tn_col cols[] = {{"id", 2, TN_T_INT}, {"n\"", 2, TN_T_STR}};
    const tn_val rows[2][2] = {{INT(1), STR("a")}, {INT(2), {.type = TN_T_NULL}}};
    const tn_val one = INT(7), deep = {.type = TN_T_LIST, .n = 3, .u.list = items};
    tn_rc rc = s->ops->map_begin(s, -1);
    rc = rc ? rc : s->ops->key(s, "rows", 4);
    rc = rc ? rc : s->ops->table_begin(s, cols, 2, 2);
    rc = rc ? rc : s->ops->row(s, rows[0]);
    rc = rc ? rc : s->ops->row(s, rows[1]);
    rc = rc ? rc : s->ops->table_end(s, -1);
    rc = rc ? rc : s->ops->key(s, "list", 4);
    rc = rc ? rc : s->ops->list_begin(s, 3);
    rc = rc ? rc : s->ops->scalar(s, &one);
    rc = rc ? rc : s->ops->scalar(s, &deep);
    rc = rc ? rc : s->ops->map_begin(s, 0);
    rc = rc ? rc : s->ops->map_end(s);
    rc = rc ? rc : s->ops->list_end(s);
    return rc ? rc : s->ops->map_end(s);
}
#define WANT                                                                                       \
    "{\"rows\":[{\"id\":1,\"n\\\"\":\"a\"},{\"id\":2,\"n\\\"\":null}],\"list\":[7,[1,\"x\",null],{}]}"

static void sinks_agree(void **state)
{
    struct buf json = BUF_INIT(0), record = BUF_INIT(0);
    struct json_sink j;
    struct record_sink r;
    struct bridge_sink b;
    tn_err err = TN_ERR_INIT;
    (void)state;
    json_sink_init(&j, &json);
    assert_int_equal(describe(&j.sink), TN_OK);
    assert_string_equal(json.data, WANT);
    record_sink_init(&r, &record);
    assert_int_equal(describe(&r.sink), TN_OK);
    assert_string_equal(
        record.data,
        "map -1\nkey \"rows\"\ntable id:INT n\":STR\nrow 1 \"a\"\nrow 2 null\ntable_end -1\n"
        "key \"list\"\nlist 3\nscalar 7\nscalar [1 \"x\" null]\nmap 0\nmap_end\nlist_end\nmap_end\n");
    bridge_sink_init(&b, &err);
    assert_null(bridge_sink_take(&b));
    assert_int_equal(describe(&b.sink), TN_OK);
    json_t *tree = bridge_sink_take(&b), *want = json_loads(WANT, 0, NULL);
    assert_true(json_equal(tree, want));
    json_decref(tree);
    json_decref(want);
    bridge_sink_finish(&b);
    for (uint32_t at = 1; at <= r.calls; at++) {
        record_sink_init(&r, &record);
        r.fail_at = at;
        r.fail_rc = TN_E_CANCELED;
        assert_int_equal(describe(&r.sink), TN_E_CANCELED);
    }
    buf_finish(&json);
    buf_finish(&record);
}

/* A plugin that describes nonsense gets an error, not a broken text. */
static void sinks_refuse_nonsense(void **state)
{
    struct buf json = BUF_INIT(0);
    struct json_sink j;
    struct bridge_sink b;
    const tn_val one = INT(1);
    (void)state;
    json_sink_init(&j, &json);
    assert_int_equal(j.sink.ops->list_end(&j.sink), TN_E_INTERNAL);
    bridge_sink_init(&b, NULL);
    assert_int_equal(b.sink.ops->map_end(&b.sink), TN_E_INTERNAL);
    assert_int_equal(b.sink.ops->map_begin(&b.sink, 0), TN_OK);
    assert_int_equal(b.sink.ops->scalar(&b.sink, &one), TN_E_INTERNAL);
    assert_int_equal(b.sink.ops->list_end(&b.sink), TN_E_INTERNAL);
    assert_int_equal(b.sink.ops->key(&b.sink, "k", 1), TN_OK);
    assert_int_equal(b.sink.ops->map_end(&b.sink), TN_E_INTERNAL);
    assert_null(bridge_sink_take(&b));
    bridge_sink_finish(&b);
    bridge_sink_init(&b, NULL);
    assert_int_equal(b.sink.ops->scalar(&b.sink, &one), TN_OK);
    assert_int_equal(b.sink.ops->scalar(&b.sink, &one), TN_E_INTERNAL);
    bridge_sink_finish(&b);
    json_sink_init(&j, &json);
    bridge_sink_init(&b, NULL);
    tn_rc rc = TN_OK, rc2 = TN_OK;
    int depth = 0;
    while (rc == TN_OK && depth < 1000) {
        rc = j.sink.ops->list_begin(&j.sink, -1);
        rc2 = rc2 ? rc2 : b.sink.ops->list_begin(&b.sink, -1);
        depth++;
    }
    assert_int_equal(rc, TN_E_LIMIT);
    assert_int_equal(rc2, TN_E_LIMIT);
    assert_int_equal(depth, JSON_MAX_DEPTH + 1);
    bridge_sink_finish(&b);
    buf_finish(&json);
}

static void trees_become_values(void **state)
{
    struct arena a;
    json_t *tree, *back;
    tn_val v;
    tn_err err = TN_ERR_INIT;
    (void)state;
    arena_init(&a, 0);
    assert_int_equal(bridge_parse(TN_STR(WANT), &tree, &err), TN_OK);
    assert_int_equal(bridge_from_json(tree, &a, &v, &err), TN_OK);
    assert_int_equal(bridge_to_json(&v, &back, &err), TN_OK);
    assert_true(json_equal(tree, back));
    json_decref(tree);
    json_decref(back);
    assert_int_equal(bridge_parse(TN_STR("[\"\\ud800\"]"), &tree, &err), TN_E_INVAL);
    assert_int_equal(bridge_parse(TN_STR("123456789012345678901234567890"), &tree, &err),
                     TN_E_INVAL);
    assert_int_equal(bridge_parse(TN_STR("{\"a\":1,}"), &tree, &err), TN_E_INVAL);
    arena_finish(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_every_type),   cmocka_unit_test(refuses_what_is_no_json),
        cmocka_unit_test(sinks_agree),         cmocka_unit_test(sinks_refuse_nonsense),
        cmocka_unit_test(trees_become_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
