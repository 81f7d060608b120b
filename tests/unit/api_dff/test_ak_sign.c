/* SPDX-License-Identifier: Apache-2.0 */
/* Access-key signatures: SHA-1 and HMAC vectors of the RFCs, the dialects against literal output. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "plugins/api_dff/ak_sign.h"

static void assert_mac(const uint8_t mac[SHA1_LEN], const char *want)
{
    char hex[2 * SHA1_LEN + 1];
    sodium_bin2hex(hex, sizeof hex, mac, SHA1_LEN);
    assert_string_equal(hex, want);
}

static void sha1_follows_rfc_3174(void **state)
{
    (void)state;
    uint8_t mac[SHA1_LEN];
    char million[1000000];
    memset(million, 'a', sizeof million);
    sha1("abc", 3, mac);
    assert_mac(mac, "a9993e364706816aba3e25717850c26c9cd0d89d");
    sha1("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, mac);
    assert_mac(mac, "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    sha1(million, sizeof million, mac);
    assert_mac(mac, "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
    sha1("", 0, mac);
    assert_mac(mac, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
}

static void hmac_follows_rfc_2202(void **state)
{
    (void)state;
    char ones[20], long_key[80], fifty[50];
    memset(ones, 0x0b, sizeof ones);
    memset(long_key, 0xaa, sizeof long_key);
    memset(fifty, 0xdd, sizeof fifty);
    const struct {
        tn_str key, data;
        const char *mac;
    } cases[] = {
        {{ones, 20}, TN_STR("Hi There"), "b617318655057264e28bc0b6fb378c8ef146be00"},
        {TN_STR("Jefe"), TN_STR("what do ya want for nothing?"),
         "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"},
        {{long_key, 20}, {fifty, 50}, "125d7342b9ac11cd91a39af48aa17b4f63f175d3"},
        {{long_key, 80},
         TN_STR("Test Using Larger Than Block-Size Key - Hash Key First"),
         "aa4ae5e15272d00e95705637ce8a3b55ed402112"},
        {{long_key, 80},
         TN_STR("Test Using Larger Than Block-Size Key and Larger Than One Block-Size Data"),
         "e8e99d0f45237d786d6bbaa7965c7808bbff1a91"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t mac[SHA1_LEN];
        hmac_sha1(cases[i].key, &cases[i].data, 1, mac);
        assert_mac(mac, cases[i].mac);
        for (size_t cut = 0; cut <= cases[i].data.n; cut++) { /* in two parts it is the same */
            const tn_str two[] = {{cases[i].data.s, cut},
                                  {cases[i].data.s + cut, cases[i].data.n - cut}};
            hmac_sha1(cases[i].key, two, 2, mac);
            assert_mac(mac, cases[i].mac);
        }
    }
}

static const char *const names[AK_DIALECTS] = {"python", "node", "go", "go 1.21"};

static void the_dialects_write_as_the_sdks_do(void **state)
{
    (void)state;
    /* JSON text; python, node, go (1.22 and later); NULL = as the one before */
    static const struct {
        const char *text, *want[3];
    } cases[] = {
        {"{}", {"{}", NULL, NULL}},
        {"{\"b\":1,\"a\":[true,false,null,{}],\"B\":\"\"}",
         {"{\"B\":\"\",\"a\":[true,false,null,{}],\"b\":1}", NULL, NULL}},
        {"\"a\\\"b\\\\c\\n\\t\\r\\b\\f\\u0001\\u007f/\"",
         {"\"a\\\"b\\\\c\\n\\t\\r\\b\\f\\u0001\x7f/\"", "\"a\"b\\c\n\t\r\b\f\x01\x7f/\"",
          "\"a\\\"b\\\\c\\n\\t\\r\\b\\f\\u0001\x7f/\""}},
        {"\"<a&b>\"", {"\"<a&b>\"", NULL, "\"\\u003ca\\u0026b\\u003e\""}},
        {"\"\\u4e2d\\u2028\\u2029\\ud83d\\ude00\\u202a\"",
         {"\"\xe4\xb8\xad\xe2\x80\xa8\xe2\x80\xa9\xf0\x9f\x98\x80\xe2\x80\xaa\"", NULL,
          "\"\xe4\xb8\xad\\u2028\\u2029\xf0\x9f\x98\x80\xe2\x80\xaa\""}},
        {"1.0", {"1.0", "1", "1"}},
        {"-0.0", {"-0.0", "0", "-0"}},
        {"0.1", {"0.1", NULL, NULL}},
        {"-1.5", {"-1.5", NULL, NULL}},
        {"100.25", {"100.25", NULL, NULL}},
        {"0.30000000000000004", {"0.30000000000000004", NULL, NULL}},
        {"1e16", {"1e+16", "10000000000000000", NULL}},
        {"123456789012345680.0", {"1.2345678901234568e+17", "123456789012345680", NULL}},
        {"1e15", {"1000000000000000.0", "1000000000000000", NULL}},
        {"1e20", {"1e+20", "100000000000000000000", NULL}},
        {"1e21", {"1e+21", NULL, NULL}},
        {"1.5e300", {"1.5e+300", NULL, NULL}},
        {"0.0001", {"0.0001", NULL, NULL}},
        {"0.00001", {"1e-05", "0.00001", NULL}},
        {"0.0000015", {"1.5e-06", "0.0000015", NULL}},
        {"0.0000001", {"1e-07", "1e-7", NULL}},
        {"5e-324", {"5e-324", NULL, NULL}},
        {"1.7976931348623157e308", {"1.7976931348623157e+308", NULL, NULL}},
        {"9007199254740993", {"9007199254740993", "9007199254740992", "9007199254740993"}},
        {"-9223372036854775808",
         {"-9223372036854775808", "-9223372036854776000", "-9223372036854775808"}},
        /* U+FF5E sorts behind U+1F600 in UTF-16, before it by code point */
        {"{\"\\uff5e\":1,\"\\ud83d\\ude00\":2,\"z\":3}",
         {"{\"z\":3,\"\xef\xbd\x9e\":1,\"\xf0\x9f\x98\x80\":2}",
          "{\"z\":3,\"\xf0\x9f\x98\x80\":2,\"\xef\xbd\x9e\":1}",
          "{\"z\":3,\"\xef\xbd\x9e\":1,\"\xf0\x9f\x98\x80\":2}"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *v = json_loads(cases[i].text, JSON_DECODE_ANY, NULL);
        const char *want = NULL;
        assert_non_null(v);
        for (int d = AK_PYTHON; d <= AK_GO; d++) {
            struct str out = {0};
            want = cases[i].want[d] != NULL ? cases[i].want[d] : want;
            assert_true(ak_canonical(v, (enum ak_dialect)d, &out));
            if (strcmp(out.s, want) != 0) {
                fail_msg("%s in %s: %s, not %s", cases[i].text, names[d], out.s, want);
            }
            str_free(&out);
        }
        json_decref(v);
    }
    json_t *v = json_string("\b\f\n");
    struct str out = {0};
    assert_true(ak_canonical(v, AK_GO_1_21, &out));
    assert_string_equal(out.s, "\"\\u0008\\u000c\\n\"");
    str_free(&out);
    json_decref(v);
}

static void deep_values_are_not_followed(void **state)
{
    (void)state;
    json_t *v = json_array();
    for (int i = 0; i < 100; i++) {
        v = json_pack("[o]", v);
    }
    struct str out = {0};
    assert_false(ak_canonical(v, AK_PYTHON, &out));
    str_free(&out);
    json_decref(v);
}

/* What Python's hashlib and hmac say about these requests. */
static void signatures_are_right_in_every_dialect_and_wrong_otherwise(void **state)
{
    (void)state;
    static const char text[] = "{\"q\": \"a\\\"<b\", \"n\": 1.0}"; /* not canonical as it is */
    static const char *const bodies[] = {"{\"n\":1.0,\"q\":\"a\\\"<b\"}",
                                         "{\"n\":1,\"q\":\"a\"<b\"}",
                                         "{\"n\":1,\"q\":\"a\\\"\\u003cb\"}", text};
    json_t *parsed = json_loads(text, 0, NULL);
    struct ak_signed s = {.method = TN_STR("POST"),
                          .target = TN_STR("/api/v1/x?a=%20b"),
                          .timestamp = TN_STR("1700000000"),
                          .nonce = TN_STR("n-1"),
                          .body = TN_STR(text),
                          .parsed = parsed};
    s.body.n = sizeof text - 1;
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        char md5[33], sign[AK_SIGN_LEN + 1];
        md5_hex(bodies[i], strlen(bodies[i]), md5);
        ak_sign(&s, TN_STR("secret"), md5, sign);
        s.sign = text_of(sign);
        assert_true(ak_sign_ok(&s, TN_STR("secret")));
        assert_false(ak_sign_ok(&s, TN_STR("Secret")));
        sign[39] = sign[39] == '0' ? '1' : '0';
        assert_false(ak_sign_ok(&s, TN_STR("secret")));
        s.sign.n = 39;
        assert_false(ak_sign_ok(&s, TN_STR("secret")));
    }
    json_decref(parsed);
    s.parsed = NULL;
    s.body = (tn_str){NULL, 0};
    s.method = TN_STR("GET");
    s.sign = TN_STR("764699c9c23f714f3d82b2e5e0bf4e6c7d60c08e");
    assert_true(ak_sign_ok(&s, TN_STR("secret")));
    s.nonce = TN_STR("n-2");
    assert_false(ak_sign_ok(&s, TN_STR("secret")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha1_follows_rfc_3174),
        cmocka_unit_test(hmac_follows_rfc_2202),
        cmocka_unit_test(the_dialects_write_as_the_sdks_do),
        cmocka_unit_test(deep_values_are_not_followed),
        cmocka_unit_test(signatures_are_right_in_every_dialect_and_wrong_otherwise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
