/* SPDX-License-Identifier: Apache-2.0 */
/* The hashes of RFC 7616 by libcrypto. MD5 is there for clients that know nothing else. */
#include "digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

const char *const algorithm_names[ALGS] = {[ALG_SHA256] = "SHA-256", [ALG_MD5] = "MD5"};

static void hex_of(const unsigned char *p, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        *out++ = digits[p[i] >> 4];
        *out++ = digits[p[i] & 15];
    }
    *out = '\0';
}

bool hash_hex(enum algorithm alg, const tn_str *parts, size_t n, char ret[HEX_MAX + 1])
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL &&
              EVP_DigestInit_ex(ctx, alg == ALG_MD5 ? EVP_md5() : EVP_sha256(), NULL) == 1;
    for (size_t i = 0; ok && i < n; i++) {
        ok = (i == 0 || EVP_DigestUpdate(ctx, ":", 1) == 1) &&
             (parts[i].n == 0 || EVP_DigestUpdate(ctx, parts[i].s, parts[i].n) == 1);
    }
    ok = ok && EVP_DigestFinal_ex(ctx, sum, &len) == 1 && len * 2 <= HEX_MAX;
    EVP_MD_CTX_free(ctx);
    if (ok) {
        hex_of(sum, len, ret);
    }
    return ok;
}

bool hash_mac(const uint8_t key[32], const void *data, size_t n, uint8_t ret[32])
{
    unsigned len = 32;
    return HMAC(EVP_sha256(), key, 32, data, n, ret, &len) != NULL && len == 32;
}

bool hash_equal(tn_str a, tn_str b)
{
    return a.n == b.n && (a.n == 0 || CRYPTO_memcmp(a.s, b.s, a.n) == 0);
}
