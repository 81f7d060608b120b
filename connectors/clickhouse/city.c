/* SPDX-License-Identifier: Apache-2.0 */
/* CityHash 1.0.2 of 128 bits (Pike and Alakuijala, 2011), which frames are summed with. */
#include "frame.h"

#include <string.h>

static const uint64_t k0 = 0xc3a5c85c97cb3127, k1 = 0xb492b66fbe98f273, k2 = 0x9ae16a3b2f90404f,
                      k3 = 0xc949d7c7509e6557, kmul = 0x9ddfea08eb382d69;

struct pair {
    uint64_t a, b;
};
struct state {
    struct pair v, w;
    uint64_t x, y, z;
};

static uint64_t at64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint64_t at32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint64_t rotate(uint64_t v, unsigned by)
{
    return v >> (by & 63) | v << (-by & 63);
}

static uint64_t fold(uint64_t v)
{
    return v ^ v >> 47;
}

static uint64_t mix(uint64_t low, uint64_t high)
{
    uint64_t a = fold((low ^ high) * kmul);
    return fold((high ^ a) * kmul) * kmul;
}

/* Up to 16 bytes. */
static uint64_t brief(const uint8_t *p, size_t n)
{
    if (n > 8) {
        uint64_t b = at64(p + n - 8);
        return mix(at64(p), rotate(b + n, (unsigned)n)) ^ b;
    }
    if (n >= 4) {
        return mix(n + (at32(p) << 3), at32(p + n - 4));
    }
    if (n != 0) {
        uint32_t y = p[0] + ((uint32_t)p[n >> 1] << 8), z = (uint32_t)n + ((uint32_t)p[n - 1] << 2);
        return fold(y * k2 ^ z * k3) * k2;
    }
    return k2;
}

/* 32 bytes and two seeds. */
static struct pair weak(const uint8_t *p, uint64_t a, uint64_t b)
{
    uint64_t z = at64(p + 24), c;
    a += at64(p);
    b = rotate(b + a + z, 21);
    c = a;
    a += at64(p + 8) + at64(p + 16);
    b += rotate(a, 44);
    return (struct pair){a + z, b + c};
}

/* Less than 128 bytes. */
static struct pair murmur(const uint8_t *p, size_t n, struct pair seed)
{
    uint64_t a = seed.a, b = seed.b, c, d;
    if (n <= 16) {
        a = fold(a * k1) * k1;
        c = b * k1 + brief(p, n);
        d = fold(a + (n >= 8 ? at64(p) : c));
    } else {
        c = mix(at64(p + n - 8) + k1, a);
        d = mix(b + n, c + at64(p + n - 16));
        a += d;
        for (size_t left = n;; left -= 16, p += 16) {
            a = (a ^ fold(at64(p) * k1) * k1) * k1;
            b ^= a;
            c = (c ^ fold(at64(p + 8) * k1) * k1) * k1;
            d ^= c;
            if (left <= 32) {
                break;
            }
        }
    }
    a = mix(a, c);
    b = mix(d, b);
    return (struct pair){a ^ b, mix(b, a)};
}

static void round64(struct state *s, const uint8_t *p)
{
    uint64_t x = rotate(s->x + s->y + s->v.a + at64(p + 16), 37) * k1;
    uint64_t y = rotate(s->y + s->v.b + at64(p + 48), 42) * k1;
    x ^= s->w.b;
    y ^= s->v.a;
    uint64_t z = rotate(s->z ^ s->w.a, 33);
    s->v = weak(p, s->v.b * k1, x + s->w.a);
    s->w = weak(p + 32, z + s->w.b, y);
    s->x = z; /* they change places */
    s->z = x;
    s->y = y;
}

static struct pair seeded(const uint8_t *p, size_t n, struct pair seed)
{
    if (n < 128) {
        return murmur(p, n, seed);
    }
    struct state s = {.x = seed.a, .y = seed.b, .z = n * k1};
    s.v.a = rotate(s.y ^ k1, 49) * k1 + at64(p);
    s.v.b = rotate(s.v.a, 42) * k1 + at64(p + 8);
    s.w.a = rotate(s.y + s.z, 35) * k1 + s.x;
    s.w.b = rotate(s.x + at64(p + 88), 53) * k1;
    for (; n >= 128; p += 128, n -= 128) {
        round64(&s, p);
        round64(&s, p + 64);
    }
    s.y += rotate(s.w.a, 37) * k0 + s.z;
    s.x += rotate(s.v.a + s.z, 49) * k0;
    for (size_t done = 32; done < n + 32;
         done += 32) { /* from the end, into what was hashed already */
        s.y = rotate(s.y - s.x, 42) * k0 + s.v.b;
        s.w.a += at64(p + n - done + 16);
        s.x = rotate(s.x, 49) * k0 + s.w.a;
        s.w.a += s.v.a;
        s.v = weak(p + n - done, s.v.a, s.v.b);
    }
    s.x = mix(s.x, s.v.a);
    s.y = mix(s.y, s.w.a);
    return (struct pair){mix(s.x + s.v.b, s.w.b) + s.y, mix(s.x + s.w.b, s.y + s.v.b)};
}

void ch_city128(const uint8_t *p, size_t n, uint64_t ret[2])
{
    struct pair h;
    if (n >= 16) {
        h = seeded(p + 16, n - 16, (struct pair){at64(p) ^ k3, at64(p + 8)});
    } else if (n >= 8) {
        h = seeded(NULL, 0, (struct pair){at64(p) ^ n * k0, at64(p + n - 8) ^ k1});
    } else {
        h = seeded(p, n, (struct pair){k0, k1});
    }
    ret[0] = h.a;
    ret[1] = h.b;
}
