/* SPDX-License-Identifier: Apache-2.0 */
/* The pure parts of the frontends by tables: targets, queries, lists, and multipart cut everywhere. */
#include "plugins/http_common/multipart.h"
#include "plugins/http_common/text.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static tn_str str(const char *s)
{
    return (tn_str){s, strlen(s)};
}

static void same(tn_str have, const char *want)
{
    if (have.n != strlen(want) || memcmp(have.s, want, have.n) != 0) {
        fail_msg("\"%.*s\" instead of \"%s\"", (int)have.n, have.s, want);
    }
}

static void test_target(void **state)
{
    static const struct {
        const char *target, *path, *query; /* path NULL: refused */
    } cases[] = {
        {"/", "/", ""},           {"/a?b", "/a", "b"},
        {"/a/../..", "/", ""},    {"/a/b/../c/.", "/a/c/", ""},
        {"/%2E%2e/x", "/x", ""},  {"/a%2Fb", "/a%2Fb", ""},
        {"//..//a", "//a", ""},   {"http://h", "/", ""},
        {"http://h?q", "/", "q"}, {"/%25%32%66", "/%2f", ""},
        {"/%", NULL, NULL},       {"/%0", NULL, NULL},
        {"/%1f", NULL, NULL},     {"", NULL, NULL},
        {"a", NULL, NULL},        {"/%ff", NULL, NULL},
        {"*", NULL, NULL},        {"ftp://h/", NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char room[64];
        struct text_target t;
        struct text_refusal why = {0, NULL};
        bool ok = text_target(TN_STR("GET"), str(cases[i].target), room, &t, &why);
        if (ok != (cases[i].path != NULL)) {
            fail_msg("%s: %s", cases[i].target, ok ? "accepted" : why.text);
        }
        if (ok) {
            same(t.path, cases[i].path);
            same(t.query, cases[i].query);
        } else {
            assert_int_equal(why.status, 400);
        }
    }
}

static void test_query(void **state)
{
    static const char *const cases[][2] = {
        {"a+b%20c", "a b c"}, {"%2", "%2"}, {"%zz", "%zz"}, {"%41%4", "A%4"}, {"", ""}, {"%", "%"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char room[64];
        size_t n = text_query_decode(str(cases[i][0]), room);
        same((tn_str){room, n}, cases[i][1]);
    }
    tn_str q = str("&a=1&&b&=c&"), name, value;
    assert_true(text_next_field(&q, &name, &value));
    same(name, "a");
    same(value, "1");
    assert_true(text_next_field(&q, &name, &value));
    same(name, "b");
    same(value, "");
    assert_true(text_next_field(&q, &name, &value));
    same(name, "");
    same(value, "c");
    assert_false(text_next_field(&q, &name, &value));
}

static void test_lists(void **state)
{
    (void)state;
    tn_str list = str(" a , \"b,\\\"c\" ,, d;e=\"f\" "), item;
    assert_true(text_next_item(&list, &item));
    same(item, "a");
    assert_true(text_next_item(&list, &item));
    same(item, "\"b,\\\"c\"");
    assert_true(text_next_item(&list, &item));
    same(item, "d;e=\"f\"");
    same(text_param(item, "e"), "f");
    assert_null(text_param(item, "x").s);
    assert_false(text_next_item(&list, &item));
    assert_int_equal(text_quality(str("gzip;q=0.5"), "gzip"), 500);
    assert_int_equal(text_quality(str("*;q=0.1, gzip;q=0"), "gzip"), 0);
    assert_int_equal(text_quality(str("gzip;q=1.5"), "gzip"), 0);
    assert_int_equal(text_quality(str("br, GZIP"), "gzip"), 1000);
    assert_true(text_etag_match(str("\"a\", W/\"b\""), str("W/\"b\"")));
    assert_true(text_etag_match(str("\"b\""), str("W/\"b\"")));
    assert_false(text_etag_match(str("\"bb\""), str("W/\"b\"")));
}

static void test_headers(void **state)
{
    (void)state;
    assert_null(text_header_refused(str("X-A"), str("b\tc \xe9")));
    assert_null(text_header_refused(str("X-A"), str("")));
    assert_non_null(text_header_refused(str(""), str("b")));
    assert_non_null(text_header_refused(str("X A"), str("b")));
    assert_non_null(text_header_refused(str("X-A"), str("b\r\nX-B: c")));
    assert_non_null(text_header_refused(str("X-A"), (tn_str){"a\0b", 3}));
}

/* What a parse reported, as text. */
struct record {
    char text[4096];
    size_t n;
};

static void put(struct record *r, const char *s, size_t n)
{
    assert_true(r->n + n < sizeof r->text);
    memcpy(r->text + r->n, s, n);
    r->n += n;
    r->text[r->n] = '\0';
}

static bool begin(void *user, const struct multipart_head *h, struct text_refusal *why)
{
    (void)why;
    put(user, h->name.s, h->name.n);
    if (h->filename.s != NULL) {
        put(user, "@", 1);
        put(user, h->filename.s, h->filename.n);
    }
    put(user, "=", 1);
    return true;
}

static bool data(void *user, const char *p, size_t n, struct text_refusal *why)
{
    (void)why;
    put(user, p, n);
    return true;
}

static bool end(void *user, struct text_refusal *why)
{
    (void)why;
    put(user, ";", 1);
    return true;
}

#define D "Content-Disposition: form-data; "
static void test_multipart_cut_everywhere(void **state)
{
    static const struct multipart_events events = {begin, data, end};
    static const char body[] =
        "pre\r\n--bo\r\n--bound\r\n" D "name=\"a\"\r\n\r\n1\r\n--boun\r\r\n-\r\n--bound  \r\n" D
        "name=\"f\"; filename=\"C:\\d\\x\"\r\nContent-Type: a/b\r\n\r\n\r\n\r\n--bound\r\n" D
        "name=e\r\n\r\n\r\n--bound--\r\n--bound\r\nepilogue";
    static const char want[] = "a=1\r\n--boun\r\r\n-;f@x=\r\n;e=;";
    (void)state;
    for (size_t cut = 0; cut < sizeof body; cut++) {
        for (size_t step = 1; step < 40; step += 7) {
            struct record r = {.n = 0};
            struct text_refusal why = {0, NULL};
            struct multipart *m = multipart_create(str("multipart/form-data; boundary=bound"),
                                                   &events, &r, &why);
            assert_non_null(m);
            size_t first = cut < sizeof body - 1 ? cut : sizeof body - 1;
            assert_true(multipart_feed(m, body, first, &why));
            for (size_t i = first; i < sizeof body - 1; i += step) {
                size_t n = sizeof body - 1 - i < step ? sizeof body - 1 - i : step;
                assert_true(multipart_feed(m, body + i, n, &why));
            }
            assert_true(multipart_finish(m, &why));
            multipart_destroy(m);
            assert_string_equal(r.text, want);
        }
    }
}

static void test_base_name(void **state)
{
    (void)state;
    same(multipart_base_name(str("/a/b")), "b");
    same(multipart_base_name(str("a\\b/c\\d")), "d");
    same(multipart_base_name(str("a/")), "");
    same(multipart_base_name(str("x")), "x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_target),    cmocka_unit_test(test_query),
        cmocka_unit_test(test_lists),     cmocka_unit_test(test_headers),
        cmocka_unit_test(test_base_name), cmocka_unit_test(test_multipart_cut_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
