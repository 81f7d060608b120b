/* SPDX-License-Identifier: Apache-2.0 */
/* The growing text buffer of call_out.h: growth, JSON strings, numbers, base64. */
#include "plugins/api_dff/call_out.h"


char *out_room(struct out *o, size_t more)
{
    if (o->cap - o->n >= more && o->p != NULL) {
        return o->p + o->n;
    }
    if (o->bad || more > OUT_MAX || o->n + more > OUT_MAX) {
        o->bad = 1;
        return NULL;
    }
    size_t cap = o->cap != 0 ? o->cap : 1024;
    while (cap < o->n + more) {
        cap *= 2;
    }
    char *p = realloc(o->p, cap);
    if (p == NULL) {
        o->bad = 1;
        return NULL;
    }
    o->p = p;
    o->cap = cap;
    return p + o->n;
}

#define ONES  0x0101010101010101ull
#define HIGHS 0x8080808080808080ull

/* No byte needs escaping or checking: printable ASCII without '"' and '\\'. False alarms (a byte
 * behind a special one) only cost the slow path. */
static int plain(const char *s, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t w;
        memcpy(&w, s + i, 8);
        uint64_t quote = w ^ (ONES * '"'), slash = w ^ (ONES * '\\');
        if ((w | (w - ONES * 0x20) | (quote - ONES) | (slash - ONES)) & HIGHS) {
            return 0;
        }
    }
    for (; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\') {
            return 0;
        }
    }
    return 1;
}

void out_quote(struct out *o, const tn_host_json *json, tn_str s)
{
    if (s.s == NULL) {
        s = TN_STR("");
    }
    if (plain(s.s, s.n)) {
        char *to = out_room(o, s.n + 2);
        if (to != NULL) {
            *to = '"';
            memcpy(to + 1, s.s, s.n);
            to[s.n + 1] = '"';
            o->n += s.n + 2;
        }
        return;
    }
    size_t need = json->quote(s, o->p != NULL ? o->p + o->n : NULL, o->cap - o->n);
    if (need > o->cap - o->n || o->p == NULL) {
        char *to = out_room(o, need);
        if (to == NULL) {
            return;
        }
        json->quote(s, to, need);
    }
    o->n += need;
}

void out_int(struct out *o, int64_t v)
{
    char text[24];
    char *p = text + sizeof text;
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do {
        *--p = (char)('0' + u % 10);
        u /= 10;
    } while (u != 0);
    if (v < 0) {
        *--p = '-';
    }
    out_put(o, p, (size_t)(text + sizeof text - p));
}

void out_base64(struct out *o, const uint8_t *p, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t need = (n + 2) / 3 * 4;
    char *to = out_room(o, need);
    if (to == NULL) {
        return;
    }
    o->n += need;
    for (; n >= 3; n -= 3, p += 3) {
        uint32_t v = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
        *to++ = digits[v >> 18];
        *to++ = digits[v >> 12 & 63];
        *to++ = digits[v >> 6 & 63];
        *to++ = digits[v & 63];
    }
    if (n > 0) {
        uint32_t v = (uint32_t)p[0] << 16 | (n == 2 ? (uint32_t)p[1] << 8 : 0);
        *to++ = digits[v >> 18];
        *to++ = digits[v >> 12 & 63];
        *to++ = n == 2 ? digits[v >> 6 & 63] : '=';
        *to++ = '=';
    }
}
