/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures against the examples of Amazon's documentation (S3: "Signature Calculations for the Authorization Header"). */
#include "tests/unit/base/unit.h"

#include "common/aws4.h"
#include "kernel/base/err.h"

#include <string.h>

static const tn_host host = {.fail = err_set};
static const struct aws4 s3 = {"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                               "us-east-1", "s3", NULL};
static const struct aws4 es = {"AKIDEXAMPLE", "secret", "eu-west-1", "es", NULL},
                         named = {"AKIDEXAMPLE", "secret", "eu-west-1", "es", "Real.name"};

#define MAY_24 1369353600000000 /* 2013-05-24T00:00:00Z */

static void test_documented(void **state)
{
    static const struct {
        const char *url, *signature;
    } cases[] = {
        {"https://examplebucket.s3.amazonaws.com/?lifecycle",
         "Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543\r\n"},
        {"https://examplebucket.s3.amazonaws.com:443?prefix=J&max-keys=2",
         "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7\r\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct grow headers = {0};
        assert_int_equal(
            aws4_sign(&host, &s3, "GET", cases[i].url, NULL, 0, MAY_24, &headers, NULL), TN_OK);
        assert_non_null(strstr(headers.s, "X-Amz-Date: 20130524T000000Z\r\n"));
        assert_non_null(strstr(
            headers.s, "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "));
        if (strstr(headers.s, cases[i].signature) == NULL) {
            fail_msg("%s: %s", cases[i].url, headers.s);
        }
        grow_free(&headers);
    }
}

/* What is encoded in a path is encoded once more, except for S3; parameters are sorted and get an equals sign. */
static void test_canonical(void **state)
{
    struct grow text = {0};
    (void)state;
    aws4_canonical(&es, "PUT", "http://User:pw@Node:9200/a%20b/_doc?z=1&a=&b#x", "D", "H", &text);
    assert_string_equal(
        text.s,
        "PUT\n/a%2520b/_doc\na=&b=&z=1\nhost:node:9200\nx-amz-content-sha256:H\nx-amz-date:D\n\n"
        "host;x-amz-content-sha256;x-amz-date\nH");
    grow_clear(&text);
    aws4_canonical(&s3, "GET", "http://n:80/a%20b", "D", "H", &text);
    assert_non_null(strstr(text.s, "GET\n/a%20b\n\nhost:n\n"));
    grow_clear(&text);
    aws4_canonical(&es, "GET", "https://a:b@c@[::1]:9200/x?u=http://y@z/", "D", "H", &text);
    assert_non_null(strstr(text.s, "GET\n/x\nu=http://y@z/\nhost:[::1]:9200\n"));
    grow_clear(&text);
    aws4_canonical(&es, "GET", "h?u=http://y", "D", "H",
                   &text); /* no scheme, though one stands in it */
    assert_non_null(strstr(text.s, "GET\n/\nu=http://y\nhost:h\n"));
    grow_free(&text);
}

/* With tls_server_name the header Host has that name, and so has what is signed; without TLS it means nothing. */
static void test_server_name(void **state)
{
    static const struct {
        const char *url, *host;
    } cases[] = {{"https://10.0.0.1:9200/x", "\nhost:real.name:9200\n"},
                 {"https://10.0.0.1:443/", "\nhost:real.name\n"},
                 {"https://[::1]/", "\nhost:real.name\n"},
                 {"https://[::1]:1/", "\nhost:real.name:1\n"},
                 {"http://10.0.0.1:9200/", "\nhost:10.0.0.1:9200\n"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct grow text = {0};
        aws4_canonical(&named, "GET", cases[i].url, "D", "H", &text);
        if (strstr(text.s, cases[i].host) == NULL) {
            fail_msg("%s: %s", cases[i].url, text.s);
        }
        grow_free(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_documented),
                                       cmocka_unit_test(test_server_name),
                                       cmocka_unit_test(test_canonical)};
    return cmocka_run_group_tests_name("aws4", tests, NULL, NULL);
}
