/* SPDX-License-Identifier: Apache-2.0 */
/* JSON that is cut where it stands, and JSON of values. */
#include "tests/unit/base/unit.h"

#include "common/gzip.h"
#include "common/json_cut.h"
#include "common/json_put.h"
#include "kernel/base/err.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static const tn_host host = {.fail = err_set};

static tn_str str(const char *s)
{
    return (tn_str){s, strlen(s)};
}

static void test_valid(void **state)
{
    static const char *const good[] = {
        "0",     "-0.5e+10", " [1, {\"a\" : [ ]} ] \n", "\"\\u00fc\\n\"", "{}", "null", "true",
        "false", "\"\"",     "{\"a\":1,\"a\":2}",       "\"\xc3\xbc\""};
    static const char *const bad[] = {"",         " ",          "01",    "1.",       ".5",
                                      "+1",       "1e",         "-",     "[1,]",     "{\"a\"}",
                                      "{\"a\":}", "{a:1}",      "[1 2]", "\"\\x\"",  "\"\\u12g4\"",
                                      "\"a",      "\"\t\"",     "nul",   "truex",    "[",
                                      "]",        "{\"a\":1,}", "1 2",   "\"\xff\"", "NaN"};
    char deep[500] = {0};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (!json_valid(str(good[i]))) {
            fail_msg("%s is JSON", good[i]);
        }
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (json_valid(str(bad[i]))) {
            fail_msg("%s is no JSON", bad[i]);
        }
    }
    memset(deep, '[', 200);
    memset(deep + 200, ']', 200);
    assert_true(json_valid(str(deep)));
    memset(deep, '[', 202);
    memset(deep + 202, ']', 202);
    assert_false(json_valid(str(deep)));
}

static void test_cut(void **state)
{
    tn_str text = str(
        "{\"a\": [1, \"x,]}\\\"\", {\"b\": null}], \"n\": -5, \"f\" : 2.5 , \"a2\":\"\xc3\xbc\", \"big\": 18446744073709551615, \"n\":7}");
    struct json_iter it;
    tn_str key, value;
    char room[8];
    (void)state;
    assert_true(json_valid(text));
    tn_str a = json_member(text, "a");
    assert_true(json_iter(&it, a));
    assert_true(json_next(&it, &key, &value) && json_int(value, 0) == 1 && key.s == NULL);
    assert_true(json_next(&it, &key, &value) && json_kind(value) == '"' &&
                (json_value(value).flags & TN_V_JSON) != 0);
    assert_true(json_next(&it, &key, &value) && json_kind(value) == '{' &&
                json_kind(json_member(value, "b")) == 'n');
    assert_false(json_next(&it, &key, &value));
    assert_int_equal(json_int(json_member(text, "n"), 0), 7);
    assert_true(json_value(json_member(text, "f")).u.f == 2.5);
    assert_int_equal(json_value(json_member(text, "a2")).n, 2);
    assert_int_equal(json_value(json_member(text, "big")).flags, TN_V_JSON);
    assert_null(json_member(text, "none").s);
    assert_int_equal(json_int(str("9223372036854775807"), 0), INT64_MAX);
    assert_int_equal(json_int(str("-9223372036854775808"), 0), INT64_MIN);
    assert_int_equal(json_int(str("9223372036854775808"), 3), 3);
    assert_int_equal(json_int(str("\"5\""), 3), 3);
    json_plain(str("\"abcdef\xc3\xbc\""), room, sizeof room);
    assert_string_equal(room, "abcdef");
    json_plain(str("\"\\u003c\\\"\\n\\u00fc\""), room, sizeof room);
    assert_string_equal(room, "<\" \xc3\xbc"); /* as people read it, on one line */
    json_plain(str("no \\n JSON"), room, sizeof room);
    assert_string_equal(room, "no \\n J");
    struct grow plain = {0};
    json_text(&plain, str("\"a\\n\\\"\\u00fc\\ud83d\\ude00\\ud83dx\\/\""));
    assert_string_equal(plain.s, "a\n\"\xc3\xbc\xf0\x9f\x98\x80\xef\xbf\xbdx/");
    grow_free(&plain);
    assert_false(json_iter(&it, str("5")));
    assert_true(json_iter(&it, str(" [ ] ")) && !json_next(&it, &key, &value));
}

static void check_put(const tn_val *v, const char *want)
{
    struct grow to = {0};
    tn_rc rc = json_put(&host, &to, v, NULL);
    if (want == NULL) {
        assert_int_equal(rc, TN_E_INVAL);
    } else {
        assert_int_equal(rc, TN_OK);
        assert_string_equal(to.s, want);
        assert_true(json_valid((tn_str){to.s, to.n}));
    }
    grow_free(&to);
}

static void test_put(void **state)
{
    static const uint8_t raw[] = {0xff};
    const tn_val items[] = {
        {.type = TN_T_NULL}, {.type = TN_T_BOOL, .u.i = 1}, {.type = TN_T_INT, .u.i = INT64_MIN}};
    const tn_pair map[] = {
        {{.type = TN_T_INT, .u.i = 1}, {.type = TN_T_LIST, .n = 3, .u.list = items}},
        {{.type = TN_T_STR, .n = 1, .u.s = "\n"}, {.type = TN_T_SPAN, .u.i = 1500000}}};
    const tn_pair list_key[] = {
        {{.type = TN_T_LIST, .n = 0, .u.list = items}, {.type = TN_T_NULL}}};
    const struct {
        tn_val v;
        const char *want;
    } cases[] = {
        {{.type = TN_T_STR, .n = 6, .u.s = "a\"\\\n\x01\0"}, "\"a\\\"\\\\\\n\\u0001\\u0000\""},
        {{.type = TN_T_STR, .n = 3, .u.s = "\xe6\x95\xb0"}, "\"\xe6\x95\xb0\""},
        {{.type = TN_T_FLOAT, .u.f = 0.1}, "0.1"},
        {{.type = TN_T_FLOAT, .u.f = 1e300}, "1e+300"},
        {{.type = TN_T_FLOAT, .u.f = 3}, "3.0"},
        {{.type = TN_T_FLOAT, .u.f = 1.0 / 3}, "0.3333333333333333"},
        {{.type = TN_T_FLOAT, .u.f = NAN}, NULL},
        {{.type = TN_T_FLOAT, .u.f = INFINITY}, NULL},
        {{.type = TN_T_DECIMAL, .n = 5, .u.s = "12.50"}, "12.50"},
        {{.type = TN_T_DECIMAL, .n = 3, .u.s = "NaN"}, NULL},
        {{.type = TN_T_DECIMAL, .n = 9, .u.s = "-Infinity"}, NULL},
        {{.type = TN_T_BYTES, .n = 1, .u.b = raw}, NULL},
        {{.type = TN_T_TIME, .u.i = 1767225600250000}, "\"2026-01-01T00:00:00.250000Z\""},
        {{.type = TN_T_TIME, .flags = TN_V_NAIVE, .u.i = -1}, "\"1969-12-31T23:59:59.999999\""},
        {{.type = TN_T_DATE, .u.i = 20454}, "\"2026-01-01\""},
        {{.type = TN_T_CLOCK, .u.i = 30600000000}, "\"08:30:00\""},
        {{.type = TN_T_MAP, .n = 2, .u.map = map},
         "{\"1\":[null,true,-9223372036854775808],\"\\n\":1.5}"},
        {{.type = TN_T_MAP, .n = 1, .u.map = list_key}, NULL},
        {{.type = TN_T_LIST, .n = 0, .u.list = items}, "[]"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_put(&cases[i].v, cases[i].want);
    }
}

static void test_gzip(void **state)
{
    struct grow packed = {0};
    unsigned char out[100];
    char text[] = "some text, some text, some text";
    z_stream z = {0};
    (void)state;
    grow_text(&packed, "before");
    assert_int_equal(gzip_put(&host, &packed, text, sizeof text, NULL), TN_OK);
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    z.next_in = (unsigned char *)packed.s + 6;
    z.avail_in = (unsigned)packed.n - 6;
    z.next_out = out;
    z.avail_out = sizeof out;
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    assert_memory_equal(out, text, sizeof text);
    inflateEnd(&z);
    grow_free(&packed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_valid), cmocka_unit_test(test_cut),
                                       cmocka_unit_test(test_put), cmocka_unit_test(test_gzip)};
    return cmocka_run_group_tests_name("json_text", tests, NULL, NULL);
}
