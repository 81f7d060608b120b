/* SPDX-License-Identifier: Apache-2.0 */
/* Text helpers and error reports. */
#include "unit.h"

#include "kernel/base/err.h"
#include "kernel/base/str.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

static void splitting(void **state)
{
    (void)state;
    tn_str rest = str_of("a,,b,"), piece;
    const char *want[] = {"a", "", "b", ""};
    for (int i = 0; i < 4; i++) {
        assert_true(str_split(&rest, ',', &piece));
        assert_true(str_is(piece, want[i]));
    }
    assert_false(str_split(&rest, ',', &piece));
    rest = (tn_str){"", 0};
    assert_true(str_split(&rest, ',', &piece)); /* empty text is one empty piece */
    assert_int_equal(piece.n, 0);
    assert_false(str_split(&rest, ',', &piece));
    rest = (tn_str){NULL, 0};
    assert_false(str_split(&rest, ',', &piece));
}

static void comparing(void **state)
{
    (void)state;
    assert_true(str_ieq(str_of("Content-Type"), str_of("content-tYPE")));
    assert_false(str_ieq(str_of("a"), str_of("ab")));
    assert_false(str_ieq(str_of("["), str_of("{"))); /* differ by 0x20 but are no letters */
    assert_true(str_prefix(str_of("DFF_X"), "DFF_"));
    assert_false(str_prefix(str_of("DF"), "DFF_"));
    assert_true(str_prefix((tn_str){NULL, 0}, ""));
    assert_true(str_is(str_trim(str_of(" \t a b\t ")), "a b"));
    assert_int_equal(str_trim(str_of("  ")).n, 0);
    char *copy = str_dup((tn_str){"abc", 2});
    assert_string_equal(copy, "ab");
    free(copy);
}

static void whole_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        int64_t v;
    } cases[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"+7", true, 7},
        {"007", true, 7},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"99999999999999999999", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"1 ", false, 0},
        {" 1", false, 0},
        {"1x", false, 0},
        {"0x10", false, 0},
        {"--1", false, 0},
        {"1.0", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t v = 42;
        assert_int_equal(str_to_i64(str_of(cases[i].text), &v), cases[i].good);
        assert_true(v == (cases[i].good ? cases[i].v : 42));
    }
}

static void fractions(void **state)
{
    (void)state;
    double v = 0;
    setlocale(LC_ALL, "de_DE.UTF-8"); /* where installed, strtod would want a comma */
    assert_true(str_to_f64(str_of("1.5"), &v));
    assert_true(v == 1.5);
    assert_true(str_to_f64(str_of("-2e3"), &v));
    assert_true(v == -2000);
    const char *bad[] = {"", "nan", "inf", "0x1p3", "1.5x", "1e999", " 1", "1,5", "e5", "."};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(str_to_f64(str_of(bad[i]), &v));
    }
    assert_false(str_to_f64((tn_str){"1\0", 2}, &v));
    setlocale(LC_ALL, "C");
}

static void utf8(void **state)
{
    (void)state;
    assert_true(str_utf8_valid(str_of("a\xC3\xA9\xE6\xA6\xAB\xF4\x8F\xBF\xBF")));
    assert_int_equal(str_utf8_len(str_of("a\xC3\xA9\xE6\xA6\xAB\xF4\x8F\xBF\xBF")), 4);
    const char *bad[] = {"\x80",
                         "\xC1\xBF",
                         "\xE0\x80\x80",
                         "\xED\xBF\xBF",
                         "\xF0\x80\x80\x80",
                         "\xF5\x80\x80\x80",
                         "\xE6\xA6",
                         "a\xFF"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(str_utf8_valid(str_of(bad[i])));
    }
    assert_true(str_utf8_valid((tn_str){"\0", 1}));
    tn_str s = str_of("ab\xE6\xA6\xAB");
    assert_int_equal(str_utf8_cut(s, 5), 5);
    assert_int_equal(str_utf8_cut(s, 4), 2);
    assert_int_equal(str_utf8_cut(s, 3), 2);
    assert_int_equal(str_utf8_cut(s, 2), 2);
    assert_int_equal(str_utf8_cut(s, 0), 0);
}

static void distances(void **state)
{
    (void)state;
    assert_int_equal(str_distance("", ""), 0);
    assert_int_equal(str_distance("listen", "lisen"), 1);
    assert_int_equal(str_distance("listen", "lisetn"), 1); /* a swap */
    assert_int_equal(str_distance("kitten", "sitting"), 3);
    assert_int_equal(str_distance("abc", ""), 3);
    char longer[80];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(str_distance(longer, "x"), 79);
}

static void errors(void **state)
{
    (void)state;
    tn_err err = TN_ERR_INIT;
    assert_int_equal(err_set(&err, TN_E_LIMIT, "%s is %d", "n", 7), TN_E_LIMIT);
    assert_int_equal(err.rc, TN_E_LIMIT);
    assert_string_equal(err.msg, "n is 7");
    err_set(&err, err.rc, "wrapped: %s", err.msg); /* its own text as argument */
    assert_string_equal(err.msg, "wrapped: n is 7");
    assert_int_equal(err_set(NULL, TN_E_INVAL, "nobody looks"), TN_E_INVAL);
    assert_int_equal(err_sys(&err, ENOENT, "open %s", "/x"), TN_E_NOTFOUND);
    assert_int_equal(err.native, ENOENT);
    assert_string_equal(err.msg, "open /x: No such file or directory");
    assert_int_equal(err_sys(NULL, EMFILE, "x"), TN_E_LIMIT);
    char text[600];
    memset(text, 'a', sizeof text);
    memcpy(text + 486, "\xE6\xA6\xAB", 4); /* would be cut in the middle */
    err_set(&err, TN_E_INVAL, "%s", text);
    assert_int_equal(strlen(err.msg), 486);
    assert_true(str_utf8_valid(str_of(err.msg)));
    assert_string_equal(err_rc_name(TN_OK), "TN_OK");
    assert_string_equal(err_rc_name(TN_E_CONFLICT), "TN_E_CONFLICT");
    assert_string_equal(err_rc_name(-14), "TN_E_?");
    assert_string_equal(err_rc_name(1), "TN_E_?");
    assert_string_equal(err_rc_name(INT32_MIN), "TN_E_?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splitting), cmocka_unit_test(comparing), cmocka_unit_test(whole_numbers),
        cmocka_unit_test(fractions), cmocka_unit_test(utf8),      cmocka_unit_test(distances),
        cmocka_unit_test(errors),
    };
    return RUN(tests);
}
