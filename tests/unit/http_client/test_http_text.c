/* SPDX-License-Identifier: Apache-2.0 */
/* Headers, queries, addresses and growing text of the HTTP layer of connectors. */
#include "tests/unit/base/unit.h"

#include "common/http.h"
#include "kernel/base/err.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const tn_host host = {.fail = err_set};

static void test_addresses(void **state)
{
    static const char *const closed[] = {"0.0.0.0",
                                         "10.1.2.3",
                                         "100.64.0.1",
                                         "100.127.255.255",
                                         "127.0.0.1",
                                         "127.255.0.1",
                                         "169.254.169.254",
                                         "172.16.0.1",
                                         "172.31.255.255",
                                         "192.168.0.1",
                                         "192.0.0.8",
                                         "192.0.2.1",
                                         "198.18.0.1",
                                         "198.51.100.7",
                                         "203.0.113.9",
                                         "224.0.0.1",
                                         "255.255.255.255",
                                         "::",
                                         "::1",
                                         "fc00::1",
                                         "fd00:ec2::254",
                                         "fe80::1",
                                         "fec0::1",
                                         "ff02::1",
                                         "2001:db8::1",
                                         "2001::1",
                                         "::ffff:127.0.0.1",
                                         "::ffff:10.0.0.1",
                                         "64:ff9b::7f00:1",
                                         "2002:7f00:1::",
                                         "100::1",
                                         "64:ff9b:1::7f00:1",
                                         "::127.0.0.1",
                                         "::ffff:0:7f00:1",
                                         "5f00::1",
                                         "4000::1",
                                         "3fff::1"};
    static const char *const open[] = {"1.1.1.1",          "9.255.255.255", "11.0.0.0",
                                       "100.63.255.255",   "100.128.0.0",   "126.0.0.1",
                                       "128.0.0.1",        "172.15.0.1",    "172.32.0.1",
                                       "192.167.0.1",      "192.169.0.1",   "223.255.255.255",
                                       "2606:4700::1111",  "2a00::1",       "::ffff:8.8.8.8",
                                       "64:ff9b::808:808", "2002:808:808::"};
    (void)state;
    for (size_t i = 0; i < sizeof closed / sizeof *closed + sizeof open / sizeof *open; i++) {
        int want = i < sizeof closed / sizeof *closed;
        const char *text = want ? closed[i] : open[i - sizeof closed / sizeof *closed];
        struct sockaddr_in in = {.sin_family = AF_INET};
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
        int v4 = inet_pton(AF_INET, text, &in.sin_addr) == 1;
        assert_true(v4 || inet_pton(AF_INET6, text, &in6.sin6_addr) == 1);
        if (http_private(v4 ? (struct sockaddr *)&in : (struct sockaddr *)&in6) != want) {
            fail_msg("%s is %s", text, want ? "private" : "public");
        }
    }
}

static void test_headers(void **state)
{
    static const struct {
        tn_str name, value;
        const char *want; /* NULL: refused */
    } cases[] = {
        {{"A", 1}, {"b", 1}, "A: b\r\n"},
        {{"X-Y", 3}, {"", 0}, "X-Y;\r\n"},
        {{"", 0}, {"b", 1}, NULL},
        {{"A b", 3}, {"b", 1}, NULL},
        {{"A:", 2}, {"b", 1}, NULL},
        {{"A\r\n", 3}, {"b", 1}, NULL},
        {{"A", 1}, {"b\r\nC: d", 7}, NULL},
        {{"A", 1}, {"b\0c", 3}, NULL},
        {{"A", 1}, {"t\tt", 3}, "A: t\tt\r\n"},
        {{"A", 1}, {"\xc3\xbc", 2}, "A: \xc3\xbc\r\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct grow to = {0};
        tn_err err = TN_ERR_INIT;
        tn_rc rc = http_header(&host, &to, cases[i].name, cases[i].value, &err);
        assert_int_equal(rc, cases[i].want != NULL ? TN_OK : TN_E_INVAL);
        if (rc == TN_OK) {
            assert_string_equal(to.s, cases[i].want);
        }
        grow_free(&to);
    }
}

static void test_names(void **state)
{
    static const char *const hosts[] = {"a.example", "127.0.0.1", "::1", "[::1]", "x_y"};
    static const char *const none[] = {"http://a", "a/b", "u@h", "a b", "a?b", "a\n", "a#b"};
    tn_err err = TN_ERR_INIT;
    (void)state;
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        assert_int_equal(http_check_host(&host, hosts[i], &err), TN_OK);
    }
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        assert_int_equal(http_check_host(&host, none[i], &err), TN_E_CONFIG);
    }
    assert_int_equal(http_check_host(&host, "https://ann:secret@a.example:9200/?k=v", &err),
                     TN_E_CONFIG);
    assert_non_null(strstr(err.msg, "`https://a.example:9200/`"));
    assert_true(http_named("Authorization: x", "authorization"));
    assert_true(http_named("authorization;", "authorization"));
    assert_false(http_named("Authorization-Extra: x", "authorization"));
    assert_false(http_named("Authoriz: x", "authorization"));
}

static void test_shown(void **state)
{
    static const char *const cases[][2] = {
        {"http://a/b?c#d", "http://a/b"},         {"http://u:p@a/b@c", "http://a/b@c"},
        {"http://u:p@q@a", "http://a"},           {"u:p@a/b", "a/b"},
        {"https://a:1/x?u=p@q", "https://a:1/x"},
    };
    char to[40];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        http_shown(cases[i][0], to, sizeof to);
        assert_string_equal(to, cases[i][1]);
    }
    http_shown("http://a/b", to, 9);
    assert_string_equal(to, "http://a");
}

static void test_servers_of_tls(void **state)
{
    struct http_reply r = {.status = 400};
    (void)state;
    assert_false(http_wants_tls(&r));
    grow_text(&r.body, "Client sent an HTTP request to an HTTPS server.\n");
    assert_true(http_wants_tls(&r));
    r.status = 200;
    assert_false(http_wants_tls(&r));
    http_reply_free(&r);
}

static void test_queries(void **state)
{
    const tn_val list[] = {{.type = TN_T_INT, .u.i = -1},
                           {.type = TN_T_NULL},
                           {.type = TN_T_STR, .n = 3, .u.s = "a&b"}};
    const tn_pair map[] = {
        {{.type = TN_T_STR, .n = 1, .u.s = "l"}, {.type = TN_T_LIST, .n = 3, .u.list = list}},
        {{
             .type = TN_T_STR,
             .n = 3,
             .u.s = "f =",
         },
         {.type = TN_T_FLOAT, .u.f = 0.1}},
        {{.type = TN_T_STR, .n = 1, .u.s = "t"}, {.type = TN_T_BOOL, .u.i = 1}}};
    const tn_val params = {.type = TN_T_MAP, .n = 3, .u.map = map};
    const tn_val text = {.type = TN_T_STR, .n = 8, .u.s = "?a=b c&d"},
                 bad = {.type = TN_T_INT, .u.i = 1};
    const tn_pair deep[] = {{{.type = TN_T_STR, .n = 1, .u.s = "l"}, params}};
    const tn_val nested = {.type = TN_T_MAP, .n = 1, .u.map = deep};
    struct grow url = {0};
    tn_err err = TN_ERR_INIT;
    (void)state;
    grow_text(&url, "http://h/");
    assert_int_equal(http_query(&host, &url, &params, &err), TN_OK);
    assert_string_equal(url.s, "http://h/?l=-1&l=a%26b&f%20%3D=0.1&t=true");
    assert_int_equal(http_query(&host, &url, &text, &err), TN_OK);
    assert_non_null(strstr(url.s, "&t=true&a=b%20c&d"));
    assert_int_equal(http_query(&host, &url, &bad, &err), TN_E_INVAL);
    assert_int_equal(http_query(&host, &url, &nested, &err), TN_E_INVAL);
    grow_free(&url);
}

static void test_bounds(void **state)
{
    struct grow g = {.max = 10};
    (void)state;
    grow_text(&g, "12345");
    grow_printf(&g, "%s", "67890");
    assert_string_equal(g.s, "1234567890");
    grow_char(&g, 'x');
    assert_int_equal(g.rc, TN_E_LIMIT);
    grow_text(&g, "");
    assert_int_equal(g.n, 10);
    grow_clear(&g);
    assert_int_equal(g.rc, TN_OK);
    for (int i = 0; i < 3; i++) {
        grow_free(&g);
        assert_int_equal(g.max, 10);
    }
    struct grow big = {0};
    char *long_text = malloc(3000);
    memset(long_text, 'y', 2999);
    long_text[2999] = '\0';
    grow_printf(&big, "%s", long_text);
    assert_int_equal(big.n, 2999);
    assert_string_equal(big.s, long_text);
    free(long_text);
    grow_free(&big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),      cmocka_unit_test(test_headers),
        cmocka_unit_test(test_names),          cmocka_unit_test(test_shown),
        cmocka_unit_test(test_servers_of_tls), cmocka_unit_test(test_queries),
        cmocka_unit_test(test_bounds)};
    return cmocka_run_group_tests_name("http_text", tests, NULL, NULL);
}
