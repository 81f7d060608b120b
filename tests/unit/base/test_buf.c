/* SPDX-License-Identifier: Apache-2.0 */
/* struct buf: growth, the bound, numbers, JSON strings. */
#include "unit.h"

#include "kernel/base/buf.h"
#include "kernel/base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void grows_and_stays_terminated(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(0);
    assert_string_equal(buf_str(&b).s, "");
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(buf_adds(&b, "ab"), 0);
        assert_int_equal(buf_addc(&b, 'c'), 0);
        assert_int_equal(b.data[b.len], '\0');
    }
    assert_int_equal(b.len, 3000);
    buf_clear(&b);
    assert_int_equal(b.len, 0);
    assert_string_equal(b.data, "");
    buf_printf(&b, "%d %s", 7, "x");
    assert_string_equal(b.data, "7 x");
    buf_finish(&b);
    assert_null(b.data);
}

static void bound_sticks(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(10);
    assert_int_equal(buf_add(&b, "0123456789", 10), 0);
    assert_int_equal(buf_addc(&b, 'x'), -1);
    assert_int_equal(b.failed, 1);
    assert_int_equal(buf_add(&b, "", 0), -1); /* a failed buffer takes nothing more */
    assert_string_equal(b.data, "0123456789");
    buf_clear(&b);
    assert_int_equal(buf_adds(&b, "again"), 0);
    assert_null(buf_reserve(&b, 6));
    buf_finish(&b);
    struct buf one = BUF_INIT(3);
    assert_int_equal(buf_printf(&one, "%s", "four"), -1);
    assert_int_equal(one.len, 0);
    buf_finish(&one);
    assert_null(buf_reserve(&one, SIZE_MAX)); /* no overflow */
}

static void long_printf(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(0);
    char text[1000];
    memset(text, 'y', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(buf_printf(&b, "<%s>", text), 0);
    assert_int_equal(b.len, 1001);
    assert_int_equal(b.data[1000], '>');
    buf_finish(&b);
}

static void integers(void **state)
{
    (void)state;
    static const int64_t cases[] = {0,   1,    -1,    9,       10,        99,
                                    100, -100, 12345, 1000000, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf b = BUF_INIT(0);
        char want[32];
        snprintf(want, sizeof want, "%" PRId64, cases[i]);
        buf_addi(&b, cases[i]);
        assert_string_equal(b.data, want);
        buf_finish(&b);
    }
}

static void quoting(void **state)
{
    (void)state;
    static const struct {
        tn_str in;
        const char *out;
    } cases[] = {
        {{"", 0}, "\"\""},
        {{NULL, 0}, "\"\""},
        {{"plain text of more than eight", 29}, "\"plain text of more than eight\""},
        {{"a\"b\\c/", 6}, "\"a\\\"b\\\\c/\""},
        {{"\b\f\n\r\t", 5}, "\"\\b\\f\\n\\r\\t\""},
        {{"\0\x01\x1f\x7f", 4}, "\"\\u0000\\u0001\\u001F\x7f\""},
        {{"1234567\n", 8}, "\"1234567\\n\""},
        {{"12345678\n12345678\"", 18}, "\"12345678\\n12345678\\\"\""},
        {{"\xE6\xA6\xAB\xE5\x8D\xAF", 6}, "\"\xE6\xA6\xAB\xE5\x8D\xAF\""},
        {{"a\xE2\x80\xA8z", 5}, "\"a\xE2\x80\xA8z\""}, /* U+2028 stays raw */
        {{"\xF0\x9F\x98\x80!", 5}, "\"\xF0\x9F\x98\x80!\""},
        {{"\xFF", 1}, "\"\xEF\xBF\xBD\""},
        {{"a\x80"
          "b",
          3},
         "\"a\xEF\xBF\xBD"
         "b\""},
        {{"\xC0\xAF", 2}, "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},                 /* overlong */
        {{"\xED\xA0\x80", 3}, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""}, /* surrogate */
        {{"\xE2\x82", 2}, "\"\xEF\xBF\xBD\""},                             /* cut off: one part */
        {{"\xF0\x9F\x98"
          "x",
          4},
         "\"\xEF\xBF\xBDx\""},
        {{"\xF4\x90\x80\x80", 4}, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf b = BUF_INIT(0);
        assert_int_equal(buf_quote(&b, cases[i].in), 0);
        assert_string_equal(b.data, cases[i].out);
        buf_finish(&b);
    }
}

/* The eight-at-a-time scan must see every byte value at every position. */
static void quoting_every_byte_everywhere(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        for (size_t at = 0; at < 24; at++) {
            char text[24];
            memset(text, 'a', sizeof text);
            text[at] = (char)c;
            struct buf b = BUF_INIT(0);
            buf_quote(&b, (tn_str){text, sizeof text});
            int escaped = c < 0x20 || c == '"' || c == '\\';
            size_t more = c >= 0x80 ? 2 : !escaped ? 0 : b.data[at + 2] == 'u' ? 5 : 1;
            assert_int_equal(b.len, sizeof text + 2 + more);
            assert_int_equal(b.data[at + 1], escaped ? '\\' : c >= 0x80 ? (char)0xEF : (char)c);
            assert_true(str_utf8_valid(buf_str(&b)));
            buf_finish(&b);
        }
    }
}

static void quoting_out_of_room(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(8);
    assert_int_equal(buf_quote(&b, TN_STR("\n\n\n\n\n")), -1);
    assert_int_equal(b.failed, 1);
    buf_finish(&b);
}

static void taking(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(0);
    size_t n = 99;
    char *p = buf_take(&b, &n);
    assert_string_equal(p, "");
    assert_int_equal(n, 0);
    free(p);
    buf_adds(&b, "mine");
    p = buf_take(&b, &n);
    assert_string_equal(p, "mine");
    assert_int_equal(n, 4);
    assert_null(b.data);
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_and_stays_terminated),
        cmocka_unit_test(bound_sticks),
        cmocka_unit_test(long_printf),
        cmocka_unit_test(integers),
        cmocka_unit_test(quoting),
        cmocka_unit_test(quoting_every_byte_everywhere),
        cmocka_unit_test(quoting_out_of_room),
        cmocka_unit_test(taking),
    };
    return RUN(tests);
}
