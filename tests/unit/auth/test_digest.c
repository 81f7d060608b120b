/* SPDX-License-Identifier: Apache-2.0 */
/* Digest: the vectors of RFC 7616 section 3.9.1, the header parser, nonces and their counts. */
#include "auth/digest/hash.c"
#include "auth/digest/header.c"
#define digit nonce_digit
#include "auth/digest/nonce.c"
#undef digit

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static tn_str z(const char *s)
{
    tn_str t = {s, strlen(s)};
    return t;
}

static void test_vectors(void **state)
{
    static const char *const right[ALGS] = {
        [ALG_SHA256] = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        [ALG_MD5] = "8ca523f5e9506fed4657c9700eebdbec"};
    (void)state;
    for (enum algorithm alg = ALG_SHA256; alg < ALGS; alg++) {
        char ha1[HEX_MAX + 1], ha2[HEX_MAX + 1], got[HEX_MAX + 1];
        const tn_str a1[] = {z("Mufasa"), z("http-auth@example.org"), z("Circle of Life")};
        const tn_str a2[] = {z("GET"), z("/dir/index.html")};
        assert_true(hash_hex(alg, a1, 3, ha1) && hash_hex(alg, a2, 2, ha2));
        const tn_str all[] = {z(ha1),        z("7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"),
                              z("00000001"), z("f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"),
                              z("auth"),     z(ha2)};
        assert_true(hash_hex(alg, all, 6, got));
        assert_string_equal(got, right[alg]);
    }
    assert_true(hash_equal(z("abc"), z("abc")) && !hash_equal(z("abc"), z("abd")) &&
                !hash_equal(z("abc"), z("abcd")) && hash_equal(z(""), z("")));
}

static tn_rc parse(const char *text, struct digest_header *h)
{
    const char *why = "";
    return header_parse(z(text), h, &why);
}

static void test_header(void **state)
{
    struct digest_header h;
    (void)state;
    assert_int_equal(parse("username=\"a \\\"b\\\\\", URI = \"/x,y\" ,, nc=00000001,foo=bar", &h),
                     TN_OK);
    assert_true(hash_equal(h.value[D_USERNAME], z("a \"b\\")));
    assert_true(hash_equal(h.value[D_URI], z("/x,y")));
    assert_true(hash_equal(h.value[D_NC], z("00000001")));
    assert_null(h.value[D_NONCE].s);
    static const char *const broken[] = {"a",       "=b",        "a=",    "a=\"b",      "a=\"b\\",
                                         "a=b c=d", "nc=1,NC=2", "a=b;c", "a=\"\x01\"", "\"a\"=b"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        assert_int_equal(parse(broken[i], &h), TN_E_INVAL);
    }
    static char longest[HEADER_MAX + 2];
    memset(longest, 'a', sizeof longest - 1);
    assert_int_equal(parse(longest, &h), TN_E_INVAL);
    assert_int_equal(parse("", &h), TN_OK);
}

static void test_username(void **state)
{
    struct digest_header h;
    char room[USERNAME_MAX];
    tn_str name;
    (void)state;
    assert_int_equal(parse("username*=UTF-8''J%c3%A4s", &h), TN_OK);
    assert_true(header_username(&h, room, &name) && hash_equal(name, z("J\xc3\xa4s")));
    static const char *const bad[] = {"username*=UTF-8''%4",
                                      "username*=UTF-8''",
                                      "username*=UTF-8'x",
                                      "username*=utf8''a",
                                      "nc=1",
                                      "username=\"\"",
                                      "username=a, username*=UTF-8''a"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(parse(bad[i], &h), TN_OK);
        assert_false(header_username(&h, room, &name));
    }
}

static void test_nonces(void **state)
{
    struct nonces n = {.key = {7}, .life_us = 300000000}, other = {.key = {8}, .life_us = 1};
    char a[NONCE_LEN + 1], b[NONCE_LEN + 1];
    uint64_t stamp = 0, now = 1000000000;
    (void)state;
    assert_true(nonce_make(&n, now, a) && nonce_make(&n, now, b));
    assert_string_not_equal(a, b);
    assert_int_equal(nonce_check(&n, now, z(a), &stamp), NONCE_GOOD);
    assert_int_equal(stamp, now);
    assert_int_equal(nonce_check(&n, now + 300000000, z(a), &stamp), NONCE_GOOD);
    assert_int_equal(nonce_check(&n, now + 300000001, z(a), &stamp), NONCE_STALE);
    assert_int_equal(nonce_check(&other, now, z(a), &stamp), NONCE_FOREIGN);
    assert_int_equal(nonce_check(&n, now, z("0123"), &stamp), NONCE_FOREIGN);
    for (size_t i = 0; i < NONCE_LEN; i++) {
        char c = a[i];
        a[i] = c == '0' ? '1' : '0';
        assert_int_equal(nonce_check(&n, now, z(a), &stamp), NONCE_FOREIGN);
        a[i] = c;
    }
    static const struct {
        uint32_t nc;
        enum nonce_count is;
    } counts[] = {{0, COUNT_SEEN},   {1, COUNT_NEW},          {1, COUNT_SEEN},
                  {5, COUNT_NEW},    {3, COUNT_NEW},          {3, COUNT_SEEN},
                  {68, COUNT_NEW},   {5, COUNT_SEEN},         {4, COUNT_SEEN},
                  {6, COUNT_NEW},    {200, COUNT_NEW},        {137, COUNT_NEW},
                  {136, COUNT_SEEN}, {UINT32_MAX, COUNT_NEW}, {UINT32_MAX, COUNT_SEEN}};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        assert_int_equal(nonce_use(&n, now, now, counts[i].nc), counts[i].is);
    }
    free(n.used);
}

/* More nonces than there are places: what was pushed out is stale, never new again. */
static void test_full_table(void **state)
{
    struct nonces n = {.key = {7}, .life_us = 300000000};
    uint64_t first = 1000000000, last = first + 2 * NONCES;
    (void)state;
    for (uint64_t t = first; t < last; t++) {
        assert_int_equal(nonce_use(&n, last, t, 1), COUNT_NEW);
    }
    for (uint64_t t = first; t < last; t++) {
        assert_int_equal(nonce_use(&n, last, t, 1), t < last - NONCES ? COUNT_STALE : COUNT_SEEN);
    }
    /* Aged ones give their places without making younger ones stale. */
    uint64_t later = last + 400000000;
    assert_int_equal(nonce_use(&n, later, later, 1), COUNT_NEW);
    assert_int_equal(nonce_use(&n, later, later - 1000, 1), COUNT_NEW);
    free(n.used);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),    cmocka_unit_test(test_header),
        cmocka_unit_test(test_username),   cmocka_unit_test(test_nonces),
        cmocka_unit_test(test_full_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
