/* SPDX-License-Identifier: Apache-2.0 */
/* JSON strings, numbers and base64 for call_out.h. */
#include "call_out.h"

#define ONES  0x0101010101010101ull
#define HIGHS 0x8080808080808080ull

/* Is one of eight bytes other than ASCII, a control, '"' or '\\'? False alarms (a byte behind a special
 * one) only cost the slow path. */
static inline bool special(uint64_t w)
{
    uint64_t quote = w ^ (ONES * '"'), slash = w ^ (ONES * '\\');
    return ((w | (w - ONES * 0x20) | (quote - ONES) | (slash - ONES)) & HIGHS) != 0;
}

/* No byte needs escaping or checking. */
static bool plain(const char *s, size_t n)
{
    uint64_t w;
    if (n < 8) {
        memset(&w, 'x', sizeof w);
        memcpy(&w, s, n);
        return !special(w);
    }
    for (size_t i = 0; i + 8 <= n; i += 8) {
        memcpy(&w, s + i, 8);
        if (special(w)) {
            return false;
        }
    }
    memcpy(&w, s + n - 8, 8); /* the rest, with some that were looked at */
    return !special(w);
}

char *str_room_for(struct str *b, size_t n)
{
    if (b->cap - b->n <= n) {
        size_t cap = (b->n + n + 1) * 2;
        char *s = b->failed || n > ((size_t)1 << 40) ? NULL : realloc(b->s, cap);
        if (s == NULL) {
            b->failed = true;
            return NULL;
        }
        b->s = s;
        b->cap = cap;
    }
    char *to = b->s + b->n;
    b->n += n;
    return to;
}

void add_quote(struct str *b, tn_str t)
{
    if (t.s == NULL) {
        t = TN_STR("");
    }
    if (plain(t.s, t.n)) {
        char *p = str_room_for(b, t.n + 2);
        if (p != NULL) {
            p[0] = '"';
            memcpy(p + 1, t.s, t.n);
            p[t.n + 1] = '"';
        }
        return;
    }
    size_t need = api.host->json->quote(t, NULL, 0);
    char *to = str_room_for(b, need);
    if (to != NULL) {
        api.host->json->quote(t, to, need);
    }
}

void add_int(struct str *b, int64_t v)
{
    char text[24];
    char *end = text + sizeof text, *p = end;
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do {
        *--p = (char)('0' + u % 10);
        u /= 10;
    } while (u != 0);
    if (v < 0) {
        *--p = '-';
    }
    add(b, (tn_str){p, (size_t)(end - p)});
}

void add_base64(struct str *b, const uint8_t *p, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t need = (n + 2) / 3 * 4;
    char *to = str_room_for(b, need);
    if (to == NULL) {
        return;
    }
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
