/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-1 (RFC 3174) and HMAC over it (RFC 2104): access keys of the contract sign with it, nothing
 * else may. */
#include "ak_sign.h"

#include <string.h>

struct sha1 {
    uint32_t h[5];
    uint64_t bytes;
    uint8_t block[64];
};

static uint32_t rotl(uint32_t v, unsigned by)
{
    return v << by | v >> (32 - by);
}

static void sha1_block(uint32_t h[5], const uint8_t *p)
{
    static const uint32_t k[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
    uint32_t w[80];
    for (unsigned i = 0; i < 16; i++) {
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
               (uint32_t)p[4 * i + 2] << 8 | (uint32_t)p[4 * i + 3];
    }
    for (unsigned i = 16; i < 80; i++) {
        w[i] = rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    }
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (unsigned i = 0; i < 80; i++) {
        uint32_t f = i < 20              ? (b & c) | (~b & d)
                     : i >= 40 && i < 60 ? (b & c) | (b & d) | (c & d)
                                         : b ^ c ^ d;
        uint32_t t = rotl(a, 5) + f + e + k[i / 20] + w[i];
        e = d;
        d = c;
        c = rotl(b, 30);
        b = a;
        a = t;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
}

static void sha1_init(struct sha1 *s)
{
    *s = (struct sha1){.h = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}};
}

static void sha1_add(struct sha1 *s, const void *data, size_t n)
{
    const uint8_t *p = data;
    while (n > 0) {
        size_t at = s->bytes % 64, take = 64 - at < n ? 64 - at : n;
        memcpy(s->block + at, p, take);
        s->bytes += take;
        p += take;
        n -= take;
        if (s->bytes % 64 == 0) {
            sha1_block(s->h, s->block);
        }
    }
}

static void sha1_end(struct sha1 *s, uint8_t ret[SHA1_LEN])
{
    uint64_t bits = s->bytes * 8;
    sha1_add(s, "\x80", 1);
    while (s->bytes % 64 != 56) {
        sha1_add(s, "", 1);
    }
    uint8_t length[8];
    for (unsigned i = 0; i < 8; i++) {
        length[i] = (uint8_t)(bits >> (56 - 8 * i));
    }
    sha1_add(s, length, sizeof length);
    for (unsigned i = 0; i < SHA1_LEN; i++) {
        ret[i] = (uint8_t)(s->h[i / 4] >> (24 - 8 * (i % 4)));
    }
    explicit_bzero(s, sizeof *s);
}

void sha1(const void *data, size_t n, uint8_t ret[SHA1_LEN])
{
    struct sha1 s;
    sha1_init(&s);
    sha1_add(&s, data, n);
    sha1_end(&s, ret);
}

void hmac_sha1(tn_str key, const tn_str *parts, size_t nparts, uint8_t ret[SHA1_LEN])
{
    uint8_t pad[64] = {0};
    struct sha1 s;
    if (key.n > sizeof pad) {
        sha1(key.s, key.n, pad);
    } else if (key.n > 0) {
        memcpy(pad, key.s, key.n);
    }
    for (unsigned i = 0; i < sizeof pad; i++) {
        pad[i] ^= 0x36;
    }
    sha1_init(&s);
    sha1_add(&s, pad, sizeof pad);
    for (size_t i = 0; i < nparts; i++) {
        sha1_add(&s, parts[i].s, parts[i].n);
    }
    sha1_end(&s, ret);
    for (unsigned i = 0; i < sizeof pad; i++) {
        pad[i] ^= 0x36 ^ 0x5c;
    }
    sha1_init(&s);
    sha1_add(&s, pad, sizeof pad);
    sha1_add(&s, ret, SHA1_LEN);
    sha1_end(&s, ret);
    explicit_bzero(pad, sizeof pad);
}
