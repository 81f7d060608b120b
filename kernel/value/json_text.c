/* SPDX-License-Identifier: Apache-2.0 */
/* JSON strings: quoting, unquoting and comparing them without allocation. */
#include "kernel/value/json_text.h"
#include "kernel/base/map.h"

#include <stdio.h>
#include <string.h>

size_t json_utf8(const char *p, const char *end)
{
    const unsigned char *u = (const unsigned char *)p;
    size_t left = (size_t)(end - p), n;
    unsigned low = 0x80, high = 0xbf; /* range of the second byte (RFC 3629 section 4) */
    if (left == 0) {
        return 0;
    }
    if (u[0] < 0x80) {
        return 1;
    }
    if (u[0] >= 0xc2 && u[0] <= 0xdf) {
        n = 2;
    } else if (u[0] >= 0xe0 && u[0] <= 0xef) {
        n = 3;
        low = u[0] == 0xe0 ? 0xa0 : 0x80;
        high = u[0] == 0xed ? 0x9f : 0xbf;
    } else if (u[0] >= 0xf0 && u[0] <= 0xf4) {
        n = 4;
        low = u[0] == 0xf0 ? 0x90 : 0x80;
        high = u[0] == 0xf4 ? 0x8f : 0xbf;
    } else {
        return 0;
    }
    if (left < n || u[1] < low || u[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < n; i++) {
        if ((u[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return n;
}

/* Appends within cap and counts what would have been needed; pieces are never cut in two. */
struct out {
    char *p;
    size_t n, cap;
};

static void put(struct out *o, const char *s, size_t n)
{
    if (n && o->n <= o->cap && n <= o->cap - o->n) {
        memcpy(o->p + o->n, s, n);
    }
    o->n += n;
}

size_t json_quote(tn_str s, char *out, size_t cap)
{
    static const char names[32] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    struct out o = {out, 0, out ? cap : 0};
    const char *p = s.s ? s.s : "", *end = p + s.n;
    put(&o, "\"", 1);
    while (p < end) {
        const char *run = p;
        unsigned c = 0;
        size_t n = 1;
        while (p < end) {
            c = (unsigned char)*p;
            if (c < 0x20 || c == '"' || c == '\\' || (c >= 0x80 && !(n = json_utf8(p, end)))) {
                break;
            }
            p += n;
            n = 1;
        }
        put(&o, run, (size_t)(p - run));
        if (p == end) {
            break;
        }
        p++;
        if (c >= 0x80) {
            put(&o, "\xef\xbf\xbd", 3);
        } else if (c == '"' || c == '\\' || (c < sizeof names && names[c])) {
            put(&o, (char[2]){'\\', c < 0x20 ? names[c] : (char)c}, 2);
        } else {
            char text[8];
            put(&o, text, (size_t)snprintf(text, sizeof text, "\\u%04x", c));
        }
    }
    put(&o, "\"", 1);
    return o.n;
}

static size_t put_utf8(uint32_t u, char out[4])
{
    if (u < 0x80) {
        out[0] = (char)u;
        return 1;
    }
    if (u < 0x800) {
        out[0] = (char)(0xc0 | u >> 6);
        out[1] = (char)(0x80 | (u & 0x3f));
        return 2;
    }
    if (u < 0x10000) {
        out[0] = (char)(0xe0 | u >> 12);
        out[1] = (char)(0x80 | (u >> 6 & 0x3f));
        out[2] = (char)(0x80 | (u & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | u >> 18);
    out[1] = (char)(0x80 | (u >> 12 & 0x3f));
    out[2] = (char)(0x80 | (u >> 6 & 0x3f));
    out[3] = (char)(0x80 | (u & 0x3f));
    return 4;
}

int json_hex4(const char *p, const char *end, uint32_t *ret)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) {
        int d = p + i < end ? json_hex(p[i]) : -1;
        if (d < 0) {
            return -1;
        }
        v = v << 4 | (uint32_t)d;
    }
    *ret = v;
    return 0;
}

/* Decodes the escape at p (behind the backslash) into out; returns the bytes consumed. Text that
 * json_scan() accepted always decodes; anything else becomes U+FFFD, never a read past the end. */
static size_t unescape(const char *p, const char *end, char out[4], size_t *ret_n)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    uint32_t u, low;
    const char *at;
    *ret_n = put_utf8(0xfffd, out);
    if (p >= end) {
        return 0;
    }
    if (*p != 'u') {
        at = memchr(from, *p, sizeof from - 1);
        if (at) {
            out[0] = to[at - from];
            *ret_n = 1;
        }
        return 1;
    }
    if (json_hex4(p + 1, end, &u) < 0) {
        return 1;
    }
    if (u < 0xd800 || u > 0xdfff) {
        *ret_n = put_utf8(u, out);
        return 5;
    }
    if (u <= 0xdbff && end - p >= 11 && p[5] == '\\' && p[6] == 'u' &&
        json_hex4(p + 7, end, &low) == 0 && low >= 0xdc00 && low <= 0xdfff) {
        *ret_n = put_utf8(0x10000 + ((u - 0xd800) << 10 | (low - 0xdc00)), out);
        return 11;
    }
    return 5;
}

/* Without the quotes, when they are there. */
static tn_str inner(tn_str raw)
{
    if (raw.s && raw.n >= 2 && raw.s[0] == '"' && raw.s[raw.n - 1] == '"') {
        return (tn_str){raw.s + 1, raw.n - 2};
    }
    return (tn_str){raw.s ? raw.s : "", raw.s ? raw.n : 0};
}

size_t json_unquote(tn_str raw, char *out, size_t cap)
{
    struct out o = {out, 0, out ? cap : 0};
    tn_str in = inner(raw);
    const char *p = in.s, *end = p + in.n;
    while (p < end) {
        const char *slash = memchr(p, '\\', (size_t)(end - p));
        put(&o, p, (size_t)((slash ? slash : end) - p));
        if (!slash) {
            break;
        }
        char text[4];
        size_t n;
        p = slash + 1;
        p += unescape(p, end, text, &n);
        put(&o, text, n);
    }
    return o.n;
}

/* One decoded byte after the other. */
struct cursor {
    const char *p, *end;
    char text[4];
    size_t n, i;
    int escaped;
};

static void cursor_init(struct cursor *c, const tn_json_member *m)
{
    c->escaped = (m->flags & TN_JSON_KEY_ESCAPED) != 0;
    tn_str in = c->escaped ? inner(m->key) : m->key;
    c->p = in.s;
    c->end = in.s + in.n;
    c->n = c->i = 0;
}

static int cursor_next(struct cursor *c)
{
    if (c->i < c->n) {
        return (unsigned char)c->text[c->i++];
    }
    if (c->p >= c->end) {
        return -1;
    }
    if (!c->escaped || *c->p != '\\') {
        return (unsigned char)*c->p++;
    }
    c->p++;
    c->p += unescape(c->p, c->end, c->text, &c->n);
    c->i = 1;
    return (unsigned char)c->text[0];
}

int json_key_eq(const tn_json_member *a, const tn_json_member *b)
{
    if (!((a->flags | b->flags) & TN_JSON_KEY_ESCAPED)) {
        return a->key.n == b->key.n && memcmp(a->key.s, b->key.s, a->key.n) == 0;
    }
    struct cursor x, y;
    int c;
    cursor_init(&x, a);
    cursor_init(&y, b);
    do {
        c = cursor_next(&x);
        if (c != cursor_next(&y)) {
            return 0;
        }
    } while (c >= 0);
    return 1;
}

uint64_t json_key_hash(const tn_json_member *m)
{
    /* In chunks, so that an escaped key hashes like its plain form without a buffer for all of
     * it. */
    char text[256];
    uint64_t hash = 0;
    struct cursor c;
    cursor_init(&c, m);
    for (size_t n = sizeof text; n == sizeof text;) {
        if (c.escaped) {
            int b;
            for (n = 0; n < sizeof text && (b = cursor_next(&c)) >= 0;) {
                text[n++] = (char)b;
            }
            hash = hash * 31 + map_hash(text, n);
        } else {
            n = (size_t)(c.end - c.p) < sizeof text ? (size_t)(c.end - c.p) : sizeof text;
            hash = hash * 31 + map_hash(c.p, n);
            c.p += n;
        }
    }
    return hash;
}

const tn_host_json json_host_ops = {
    .size = sizeof json_host_ops,
    .scan = json_scan,
    .quote = json_quote,
    .unquote = json_unquote,
};
