/* SPDX-License-Identifier: Apache-2.0 */
/* JSON scanning and quoting: what RFC 8259 allows, what it forbids, and every bound from both
 * sides. */
#include "kernel/base/str.h"
#include "kernel/value/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define RAW(lit)                                                                                   \
    {                                                                                              \
        (lit), sizeof(lit) - 1                                                                     \
    }

static const tn_str good[] = {
    RAW("0"),
    RAW("-0"),
    RAW("1"),
    RAW("-1"),
    RAW("10"),
    RAW("123456789012345678901234567890"),
    RAW("1.0"),
    RAW("0.1"),
    RAW("-0.0"),
    RAW("1e1"),
    RAW("1E1"),
    RAW("1e+1"),
    RAW("1e-1"),
    RAW("0e0"),
    RAW("1.5e300"),
    RAW("1e400"),
    RAW("\"\""),
    RAW("\"a\""),
    RAW("\"\\\"\""),
    RAW("\"\\\\\""),
    RAW("\"\\/\\b\\f\\n\\r\\t\""),
    RAW("\"\\u0000\""),
    RAW("\"\\u00e9\""),
    RAW("\"\\uD834\\uDd1e\""),
    RAW("\"\\uffff\""),
    RAW("\"\x7f\""),
    RAW("\"\xc2\x80\""),
    RAW("\"\xe0\xa0\x80\""),
    RAW("\"\xed\x9f\xbf\""),
    RAW("\"\xee\x80\x80\""),
    RAW("\"\xf0\x90\x80\x80\""),
    RAW("\"\xf4\x8f\xbf\xbf\""),
    RAW("\"\xe2\x80\xa8\""),
    RAW("\"abcdefgh\""),
    RAW("\"abcdefg\\n\""),
    RAW("\"abcdefghijklmnop\xc3\xa9zzzzzzzz\""),
    RAW("true"),
    RAW("false"),
    RAW("null"),
    RAW(" null "),
    RAW("\t\r\n null\n"),
    RAW("[]"),
    RAW("[ ]"),
    RAW("{}"),
    RAW("{ }"),
    RAW("[1]"),
    RAW("[1,2]"),
    RAW("[ 1 , 2 ]"),
    RAW("[[],[[]]]"),
    RAW("[{}]"),
    RAW("{\"a\":1}"),
    RAW("{\"a\":1,\"b\":[{}]}"),
    RAW("{\"\":0}"),
    RAW("{ \"a\" : { \"b\" : { } } , \"c\" : [ ] }"),
    RAW("{\"a\":{\"b\":1},\"c\":[1,{\"d\":2}]}"),
    RAW("[\"a\",1.5,null,true,{\"k\":\"v\"}]"),
    RAW("[0,-0,0.0e-0]"),
};

static const tn_str bad[] = {
    RAW(""),
    RAW(" "),
    RAW("\xef\xbb\xbf{}"),
    RAW("\0"),
    RAW("nul"),
    RAW("nulL"),
    RAW("True"),
    RAW("nullx"),
    RAW("null null"),
    RAW("NaN"),
    RAW("Infinity"),
    RAW("-Infinity"),
    RAW("undefined"),
    RAW("'a'"),
    RAW("+1"),
    RAW("01"),
    RAW("-01"),
    RAW("00"),
    RAW("-"),
    RAW("--1"),
    RAW("1."),
    RAW(".5"),
    RAW("1.e1"),
    RAW("1e"),
    RAW("1e+"),
    RAW("1E-"),
    RAW("0x10"),
    RAW("1_0"),
    RAW("1a"),
    RAW("- 1"),
    RAW("1 2"),
    RAW("0.1.2"),
    RAW("1e1.5"),
    RAW("\""),
    RAW("\"a"),
    RAW("\"a\\"),
    RAW("\"\\"),
    RAW("\"\\u"),
    RAW("\"\\u123"),
    RAW("\"\\u12g4\""),
    RAW("\"\\x41\""),
    RAW("\"\\a\""),
    RAW("\"\\'\""),
    RAW("\"\\U0041\""),
    RAW("\"\n\""),
    RAW("\"\t\""),
    RAW("\"\x1f\""),
    RAW("\"\0\""),
    RAW("\"\\ud800\""),
    RAW("\"\\udc00\""),
    RAW("\"\\ud800\\ud800\""),
    RAW("\"\\ud800x\""),
    RAW("\"\\ud800\\n\""),
    RAW("\"\\udc00\\ud800\""),
    RAW("\"\\ud800\\u0041\""),
    RAW("\"\\ud83d"),
    RAW("\"\x80\""),
    RAW("\"\xc0\x80\""),
    RAW("\"\xc1\xbf\""),
    RAW("\"\xc3\""),
    RAW("\"\xc3\x28\""),
    RAW("\"\xe0\x9f\xbf\""),
    RAW("\"\xe2\x82\""),
    RAW("\"\xed\xa0\x80\""),
    RAW("\"\xed\xbf\xbf\""),
    RAW("\"\xf0\x8f\xbf\xbf\""),
    RAW("\"\xf4\x90\x80\x80\""),
    RAW("\"\xf5\x80\x80\x80\""),
    RAW("\"\xf8\x88\x80\x80\x80\""),
    RAW("\"\xff\""),
    RAW("\"\xfe\""),
    RAW("\"abcdefgh\xe2\x82\""),
    RAW("\"\xf0\x90\x80\""),
    RAW("\"\xe2"),
    RAW("["),
    RAW("]"),
    RAW("[1"),
    RAW("[1,"),
    RAW("[1,]"),
    RAW("[,1]"),
    RAW("[,]"),
    RAW("[1,,2]"),
    RAW("[1 2]"),
    RAW("[1}"),
    RAW("[1]]"),
    RAW("[[1]"),
    RAW("{"),
    RAW("}"),
    RAW("{]"),
    RAW("[}"),
    RAW("{\"a\"}"),
    RAW("{\"a\":}"),
    RAW("{\"a\":1,}"),
    RAW("{,}"),
    RAW("{,\"a\":1}"),
    RAW("{\"a\" 1}"),
    RAW("{\"a\"::1}"),
    RAW("{a:1}"),
    RAW("{'a':1}"),
    RAW("{1:1}"),
    RAW("{null:1}"),
    RAW("{\"a\":1 \"b\":2}"),
    RAW("{\"a\":1}}"),
    RAW("{\"a\":1"),
    RAW("{\"a\":1,"),
    RAW("{\"a\""),
    RAW("{\"a\":"),
    RAW("{\"a\":1]"),
    RAW("[\"a\":1]"),
    RAW("{\"a\",1}"),
    RAW("/**/1"),
    RAW("1//x"),
    RAW("[1]x"),
    RAW("\x0b"
        "1"),
    RAW("\x0c[]"),
    RAW("1\0"),
    RAW("[1]\0"),
    RAW("{\"a\xff\":1}"),
    RAW("\xa0[]"),
    RAW("[true,fals]"),
    RAW("[\"\\\"]"),
    RAW("{\"\\ud800\":1}"),
    RAW("#1"),
    RAW("*"),
    RAW(":"),
    RAW(","),
};

/* From a block of exactly its size, so that the sanitizer sees a read past the end. */
static tn_rc scan_exact(tn_str text, tn_err *err)
{
    char *copy = malloc(text.n ? text.n : 1);
    memcpy(copy, text.s, text.n);
    tn_rc rc = json_scan((tn_str){copy, text.n}, NULL, NULL, 0, NULL, err);
    free(copy);
    return rc;
}

static void accepts_what_rfc8259_allows(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        tn_err err = TN_ERR_INIT;
        if (scan_exact(good[i], &err) != TN_OK) {
            fail_msg("%.*s: %s", (int)good[i].n, good[i].s, err.msg);
        }
    }
}

static void refuses_everything_else(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        tn_err err = TN_ERR_INIT;
        tn_rc rc = scan_exact(bad[i], &err);
        if (rc != TN_E_INVAL || !strstr(err.msg, "byte ")) {
            fail_msg("case %zu \"%.*s\": rc %d, %s", i, (int)bad[i].n, bad[i].s, rc, err.msg);
        }
    }
}

/* Every beginning of a good object is bad: nothing is accepted that is cut. */
static void refuses_every_cut(void **state)
{
    const tn_str text = TN_STR(
        "{\"a\":[1.5e1,\"\\ud834\\udd1e\xc3\xa9\",true,{\"b\":null}],\"c\":\"\"}");
    (void)state;
    for (size_t n = 0; n < text.n; n++) {
        assert_int_equal(scan_exact((tn_str){text.s, n}, NULL), TN_E_INVAL);
    }
    assert_int_equal(scan_exact(text, NULL), TN_OK);
}

static void names_the_offset(void **state)
{
    tn_err err = TN_ERR_INIT;
    (void)state;
    assert_int_equal(scan_exact(TN_STR("{\"a\": 1, \"b\" 2}"), &err), TN_E_INVAL);
    assert_non_null(strstr(err.msg, "byte 13 ('2')"));
    assert_int_equal(scan_exact(TN_STR("[\"abcdefghijkl\x01\"]"), &err), TN_E_INVAL);
    assert_non_null(strstr(err.msg, "byte 14 (0x01)"));
    assert_int_equal(scan_exact(TN_STR("[1, 2"), &err), TN_E_INVAL);
    assert_non_null(strstr(err.msg, "ends at byte 5"));
}

static void bounds_the_depth(void **state)
{
    char text[4 * JSON_MAX_DEPTH + 16];
    tn_err err = TN_ERR_INIT;
    (void)state;
    for (int depth = JSON_MAX_DEPTH; depth <= JSON_MAX_DEPTH + 1; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        assert_int_equal(scan_exact((tn_str){text, 2 * (size_t)depth}, &err),
                         depth <= JSON_MAX_DEPTH ? TN_OK : TN_E_LIMIT);
    }
    assert_non_null(strstr(err.msg, "64"));
    /* A million of them must not be a matter of stack. */
    char *many = malloc(1000000);
    memset(many, '[', 1000000);
    assert_int_equal(scan_exact((tn_str){many, 1000000}, &err), TN_E_LIMIT);
    free(many);
}

static char *object_of(int keys, size_t *ret_n)
{
    char *text = malloc((size_t)keys * 16 + 16);
    size_t n = 0;
    text[n++] = '{';
    for (int i = 0; i < keys; i++) {
        n += (size_t)sprintf(text + n, "%s\"k%d\":%d", i ? "," : "", i, i);
    }
    text[n++] = '}';
    *ret_n = n;
    return text;
}

static void bounds_the_keys(void **state)
{
    (void)state;
    for (int keys = JSON_MAX_KEYS; keys <= JSON_MAX_KEYS + 1; keys++) {
        size_t n;
        char *text = object_of(keys, &n);
        assert_int_equal(scan_exact((tn_str){text, n}, NULL),
                         keys <= JSON_MAX_KEYS ? TN_OK : TN_E_LIMIT);
        free(text);
    }
}

static void returns_members(void **state)
{
    tn_json_member m[8];
    uint32_t kind = 99, n = 99;
    (void)state;
    tn_str text = TN_STR(
        " {\"n\":null, \"b\" : true,\"i\":-1.5,\"s\":\"a\\n\",\"a\":[1,{\"x\":2}] ,"
        "\"o\":{\"a\":{}}, \"\\u0065\":0 } ");
    assert_int_equal(json_scan(text, &kind, m, 8, &n, NULL), TN_OK);
    assert_int_equal(kind, TN_JSON_OBJECT);
    assert_int_equal(n, 7);
    static const struct {
        const char *key, *value;
        uint32_t kind, flags;
    } want[] = {
        {"n", "null", TN_JSON_NULL, 0},
        {"b", "true", TN_JSON_BOOL, 0},
        {"i", "-1.5", TN_JSON_NUMBER, 0},
        {"s", "\"a\\n\"", TN_JSON_STRING, 0},
        {"a", "[1,{\"x\":2}]", TN_JSON_ARRAY, 0},
        {"o", "{\"a\":{}}", TN_JSON_OBJECT, 0},
        {"\"\\u0065\"", "0", TN_JSON_NUMBER, TN_JSON_KEY_ESCAPED},
    };
    for (uint32_t i = 0; i < n; i++) {
        assert_true(str_is(m[i].key, want[i].key));
        assert_true(str_is(m[i].value, want[i].value));
        assert_int_equal(m[i].kind, want[i].kind);
        assert_int_equal(m[i].flags, want[i].flags);
    }
    assert_int_equal(json_scan(TN_STR("[{\"a\":1}]"), &kind, m, 8, &n, NULL), TN_OK);
    assert_int_equal(kind, TN_JSON_ARRAY);
    assert_int_equal(n, 0);
    assert_int_equal(json_scan(TN_STR("{\"a\":1,\"b\":2,\"c\":3}"), &kind, m, 2, &n, NULL), TN_OK);
    assert_int_equal(n, 2);
}

static void last_duplicate_wins(void **state)
{
    tn_json_member m[8];
    uint32_t n = 0;
    (void)state;
    assert_int_equal(json_scan(TN_STR("{\"a\":1,\"b\":2,\"a\":[3],\"\\u0062\":4,\"b\\u0000\":5}"),
                               NULL, m, 8, &n, NULL),
                     TN_OK);
    assert_int_equal(n, 3);
    assert_true(str_is(m[0].value, "[3]"));
    assert_int_equal(m[0].kind, TN_JSON_ARRAY);
    assert_true(str_is(m[1].value, "4"));
    assert_true(str_is(m[2].value, "5"));
    /* Also when the array is full already. */
    assert_int_equal(json_scan(TN_STR("{\"a\":1,\"b\":2,\"a\":3}"), NULL, m, 1, &n, NULL), TN_OK);
    assert_int_equal(n, 1);
    assert_true(str_is(m[0].value, "3"));
}

/* Beyond SCAN_NARROW members the hash table takes over: same answers, and still fast. */
static void wide_objects(void **state)
{
    static tn_json_member m[JSON_MAX_KEYS];
    size_t len;
    uint32_t n = 0;
    (void)state;
    char *text = object_of(JSON_MAX_KEYS, &len);
    assert_int_equal(json_scan((tn_str){text, len}, NULL, m, JSON_MAX_KEYS, &n, NULL), TN_OK);
    assert_int_equal(n, JSON_MAX_KEYS);
    assert_true(str_is(m[9999].key, "k9999"));
    free(text);

    char dup[4096];
    size_t at = (size_t)sprintf(dup, "{");
    for (int i = 0; i < 100; i++) { /* 50 keys, each twice, every second time escaped */
        at += (size_t)sprintf(dup + at, i < 50 ? "%s\"x%d\":%d" : "%s\"\\u0078%d\":%d",
                              i ? "," : "", i % 50, i);
    }
    at += (size_t)sprintf(dup + at, "}");
    assert_int_equal(json_scan((tn_str){dup, at}, NULL, m, 100, &n, NULL), TN_OK);
    assert_int_equal(n, 50);
    assert_true(str_is(m[0].value, "50"));
    assert_true(str_is(m[49].value, "99"));
}

static void quotes(void **state)
{
    static const struct {
        tn_str in;
        const char *out;
    } cases[] = {
        {RAW(""), "\"\""},
        {RAW("plain"), "\"plain\""},
        {RAW("\"\\/"), "\"\\\"\\\\/\""},
        {RAW("\b\f\n\r\t"), "\"\\b\\f\\n\\r\\t\""},
        {RAW("\0\x01\x1f\x7f"), "\"\\u0000\\u0001\\u001f\x7f\""},
        {RAW("\xe6\xa6\xab\xf0\x9f\x98\x80"), "\"\xe6\xa6\xab\xf0\x9f\x98\x80\""},
        {RAW("a\xff"
             "b"),
         "\"a\xef\xbf\xbd"
         "b\""},
        {RAW("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {RAW("\xe2\x82"), "\"\xef\xbf\xbd\xef\xbf\xbd\""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char out[128];
        size_t n = json_quote(cases[i].in, out, sizeof out);
        assert_int_equal(n, strlen(cases[i].out));
        assert_memory_equal(out, cases[i].out, n);
        assert_int_equal(json_quote(cases[i].in, NULL, 0), n);
        /* What does not fit is counted and nothing is written past cap. */
        for (size_t cap = 0; cap < n; cap++) {
            char *small = malloc(cap ? cap : 1);
            assert_int_equal(json_quote(cases[i].in, small, cap), n);
            free(small);
        }
        assert_int_equal(json_scan((tn_str){out, n}, NULL, NULL, 0, NULL, NULL), TN_OK);
    }
}

static void unquotes(void **state)
{
    static const struct {
        const char *in;
        tn_str out;
    } cases[] = {
        {"\"\"", RAW("")},
        {"\"abc\"", RAW("abc")},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", RAW("\"\\/\b\f\n\r\t")},
        {"\"\\u0041\\u00e9\\u20ac\\u0000\"", RAW("A\xc3\xa9\xe2\x82\xac\0")},
        {"\"\\ud834\\udd1ex\"", RAW("\xf0\x9d\x84\x9ex")},
        {"\"\\uD834\\uDD1E\"", RAW("\xf0\x9d\x84\x9e")},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char out[64];
        size_t n = json_unquote(str_of(cases[i].in), out, sizeof out);
        assert_int_equal(n, cases[i].out.n);
        assert_memory_equal(out, cases[i].out.s, n);
        assert_int_equal(json_unquote(str_of(cases[i].in), NULL, 0), n);
    }
    /* Never past the end, whatever it is given. */
    for (size_t i = 0; i < COUNT(bad); i++) {
        char out[64], *copy = malloc(bad[i].n ? bad[i].n : 1);
        memcpy(copy, bad[i].s, bad[i].n);
        json_unquote((tn_str){copy, bad[i].n}, out, sizeof out);
        free(copy);
    }
    assert_int_equal(json_unquote((tn_str){NULL, 0}, NULL, 0), 0);
}

static void round_trips(void **state)
{
    (void)state;
    char in[64], quoted[512], back[64];
    unsigned seed = 7;
    for (int round = 0; round < 20000; round++) {
        size_t n = 0;
        while (n < 40) { /* random code points, as UTF-8 through \u escapes */
            unsigned c = (seed = seed * 1103515245u + 12345u) >> 8;
            n += (size_t)snprintf(in + n, sizeof in - n, "%c", (int)(c % 127 + 1));
        }
        size_t q = json_quote((tn_str){in, n}, quoted, sizeof quoted);
        assert_int_equal(json_scan((tn_str){quoted, q}, NULL, NULL, 0, NULL, NULL), TN_OK);
        assert_int_equal(json_unquote((tn_str){quoted, q}, back, sizeof back), n);
        assert_memory_equal(in, back, n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_what_rfc8259_allows),
        cmocka_unit_test(refuses_everything_else),
        cmocka_unit_test(refuses_every_cut),
        cmocka_unit_test(names_the_offset),
        cmocka_unit_test(bounds_the_depth),
        cmocka_unit_test(bounds_the_keys),
        cmocka_unit_test(returns_members),
        cmocka_unit_test(last_duplicate_wins),
        cmocka_unit_test(wide_objects),
        cmocka_unit_test(quotes),
        cmocka_unit_test(unquotes),
        cmocka_unit_test(round_trips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
