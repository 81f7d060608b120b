/* SPDX-License-Identifier: Apache-2.0 */
/* Growable byte buffer with a hard bound. */
#include "kernel/base/buf.h"

#include "kernel/base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUF_MAX_DEFAULT ((size_t)1 << 30)
#define BUF_CAP_FIRST   64

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf)BUF_INIT(max);
}

void buf_finish(struct buf *b)
{
    if (b == NULL) {
        return;
    }
    free(b->data);
    buf_init(b, b->max);
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->failed = 0;
    if (b->data != NULL) {
        b->data[0] = '\0';
    }
}

char *buf_reserve(struct buf *b, size_t n)
{
    if (b->data != NULL && n < b->cap - b->len) { /* < leaves room for the NUL */
        return b->data + b->len;
    }
    size_t max = b->max != 0 ? b->max : BUF_MAX_DEFAULT;
    if (b->failed) {
        return NULL;
    }
    if (n > max || b->len > max - n) {
        b->failed = BUF_FULL;
        return NULL;
    }
    size_t need = b->len + n + 1;
    size_t cap = b->cap != 0 ? b->cap : BUF_CAP_FIRST;
    while (cap < need) {
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    }
    if (cap > max + 1) {
        cap = max + 1; /* so that the fast path above can never pass the bound */
    }
    char *data = realloc(b->data, cap);
    if (data == NULL) {
        b->failed = BUF_FULL + 1;
        return NULL;
    }
    b->data = data;
    b->cap = cap;
    data[b->len] = '\0';
    return data + b->len;
}

int buf_add(struct buf *b, const void *p, size_t n)
{
    if (b->failed) {
        return -1;
    }
    char *at = buf_reserve(b, n);
    if (at == NULL) {
        return -1;
    }
    if (n != 0) {
        memcpy(at, p, n);
    }
    b->len += n;
    at[n] = '\0';
    return 0;
}

int buf_adds(struct buf *b, const char *s)
{
    return buf_add(b, s, strlen(s));
}

int buf_addc(struct buf *b, char c)
{
    if (b->failed || (b->cap - b->len < 2 && buf_reserve(b, 1) == NULL)) {
        return -1;
    }
    b->data[b->len++] = c;
    b->data[b->len] = '\0';
    return 0;
}

int buf_addstr(struct buf *b, tn_str s)
{
    return buf_add(b, s.s, s.n);
}

int buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
    char small[256];
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    int rc = -1;
    if (n < 0) {
        b->failed = 1;
    } else if ((size_t)n < sizeof small) {
        rc = buf_add(b, small, (size_t)n);
    } else if (!b->failed) {
        char *at = buf_reserve(b, (size_t)n);
        if (at != NULL) {
            vsnprintf(at, (size_t)n + 1, fmt, again);
            b->len += (size_t)n;
            rc = 0;
        }
    }
    va_end(again);
    return rc;
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int rc = buf_vprintf(b, fmt, ap);
    va_end(ap);
    return rc;
}

int buf_addi(struct buf *b, int64_t v)
{
    static const char pairs[] =
        "00010203040506070809101112131415161718192021222324252627282930313233"
        "34353637383940414243444546474849505152535455565758596061626364656667"
        "6869707172737475767778798081828384858687888990919293949596979899";
    char text[20];
    char *p = text + sizeof text;
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    while (u >= 100) {
        p -= 2;
        memcpy(p, pairs + u % 100 * 2, 2);
        u /= 100;
    }
    if (u >= 10) {
        p -= 2;
        memcpy(p, pairs + u * 2, 2);
    } else {
        *--p = (char)('0' + u);
    }
    if (v < 0) {
        *--p = '-';
    }
    return buf_add(b, p, (size_t)(text + sizeof text - p));
}

/* How an ASCII byte stands in a JSON string: 0 as it is, 'u': \u00XX, else backslash and that
 * letter. */
static const char quote_kind[128] = {
    'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'b',         't',           'n', 'u',
    'f', 'r', 'u', 'u', 'u', 'u', 'u', 'u', 'u',         'u',           'u', 'u',
    'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', ['"'] = '"', ['\\'] = '\\',
};

/* Bytes at the start of p that need no look at the table, eight at a time. A byte with the top bit
 * set, below 0x20, '"' or '\\' leaves a top bit in `odd`; a borrow can only add false alarms. */
static size_t quote_clean(const char *p, size_t n)
{
    const uint64_t ones = 0x0101010101010101u;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t x;
        memcpy(&x, p + i, 8);
        uint64_t odd = x | (x - ones * 0x20) | ((x ^ ones * '"') - ones) |
                       ((x ^ ones * '\\') - ones);
        if ((odd & ones * 0x80) != 0) {
            break;
        }
    }
    while (i < n && (unsigned char)p[i] < 0x80 && quote_kind[(unsigned char)p[i]] == 0) {
        i++;
    }
    return i;
}

/* str_utf8_step() with a short way for most characters of three bytes (U+1000 to U+CFFF, U+E000 to
 * U+FFFF: CJK, kana, Hangul). */
static inline int multibyte(const char *p, size_t n)
{
    const unsigned char *u = (const unsigned char *)p;
    if (n >= 3 && u[0] > 0xE0 && u[0] <= 0xEF && u[0] != 0xED && (u[1] & 0xC0) == 0x80 &&
        (u[2] & 0xC0) == 0x80) {
        return 3;
    }
    return str_utf8_step(p, n);
}

int buf_quote(struct buf *b, tn_str s)
{
    static const char hex[] = "0123456789ABCDEF";
    if (buf_reserve(b, s.n + 2) == NULL || b->failed) {
        return -1;
    }
    buf_addc(b, '"');
    size_t i = 0;
    while (i < s.n) {
        size_t run = quote_clean(s.s + i, s.n - i);
        /* Valid multi-byte characters join the run, so that Chinese text is one copy as well. */
        int step = 0;
        while (i + run < s.n && (unsigned char)s.s[i + run] >= 0x80 &&
               (step = multibyte(s.s + i + run, s.n - i - run)) > 0) {
            run += (size_t)step;
        }
        buf_add(b, s.s + i, run);
        i += run;
        if (i == s.n) {
            break;
        }
        unsigned char c = (unsigned char)s.s[i];
        if (c >= 0x80) { /* the loop above stopped here: ill-formed */
            buf_add(b, "\xEF\xBF\xBD", 3);
            i += (size_t)-step;
            continue;
        }
        char kind = quote_kind[c];
        if (kind == 'u') {
            buf_add(b, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
            i++;
        } else if (kind != 0) {
            buf_add(b, (char[]){'\\', kind}, 2);
            i++;
        }
    }
    return buf_addc(b, '"');
}

char *buf_take(struct buf *b, size_t *ret_len)
{
    char *data = b->data != NULL ? b->data : calloc(1, 1);
    if (ret_len != NULL && data != NULL) {
        *ret_len = b->len;
    }
    buf_init(b, b->max);
    return data;
}
