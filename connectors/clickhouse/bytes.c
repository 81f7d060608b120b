/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing of bytes; memory in pieces. Integers are little endian, as this machine's are. */
#include "bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "columns are used as they arrive");

/* ---- memory ------------------------------------------------------------------------------------------ */

struct ch_piece {
    struct ch_piece *next, *prev;
    size_t n;
    size_t rsvd; /* what follows is aligned for anything */
};

static void link_in(struct ch_mem *m, struct ch_piece *p)
{
    p->prev = NULL;
    p->next = m->first;
    if (m->first != NULL) {
        m->first->prev = p;
    }
    m->first = p;
}

void *ch_alloc(struct ch_mem *m, size_t n, size_t size, tn_rc *ret_rc)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes) || bytes > m->max || m->used > m->max - bytes) {
        *ret_rc = TN_E_LIMIT;
        return NULL;
    }
    struct ch_piece *p = calloc(1, sizeof *p + bytes);
    if (p == NULL) {
        *ret_rc = TN_E_NOMEM;
        return NULL;
    }
    p->n = bytes;
    m->used += bytes;
    link_in(m, p);
    return p + 1;
}

void *ch_resize(struct ch_mem *m, void *old, size_t n, tn_rc *ret_rc)
{
    struct ch_piece *p = (struct ch_piece *)old - 1, *moved;
    size_t rest = m->used - p->n;
    if (n > m->max || rest > m->max - n) {
        *ret_rc = TN_E_LIMIT;
        return NULL;
    }
    moved = realloc(p, sizeof *p + n);
    if (moved == NULL) {
        *ret_rc = TN_E_NOMEM;
        return NULL;
    }
    moved->n = n;
    m->used = rest + n;
    if (moved->prev != NULL) {
        moved->prev->next = moved;
    } else {
        m->first = moved;
    }
    if (moved->next != NULL) {
        moved->next->prev = moved;
    }
    return moved + 1;
}

void ch_mem_finish(struct ch_mem *m)
{
    for (struct ch_piece *p = m->first, *next; p != NULL; p = next) {
        next = p->next;
        free(p);
    }
    m->first = NULL;
    m->used = 0;
}

/* ---- coming in --------------------------------------------------------------------------------------- */

tn_rc ch_in_fail(struct ch_in *in, tn_rc rc, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    if (in->rc == TN_OK) {
        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        in->rc = in->host->fail(in->err, rc, "%s", text);
    }
    return in->rc;
}

static int fill(struct ch_in *in)
{
    if (in->rc == TN_OK && in->at == in->n) {
        in->at = in->n = 0;
        in->rc = in->more(in, in->err);
    }
    return in->rc == TN_OK;
}

void ch_get(struct ch_in *in, void *to, size_t n)
{
    uint8_t *p = to;
    while (n != 0) {
        if (!fill(in)) {
            memset(p, 0, n);
            return;
        }
        size_t k = in->n - in->at < n ? in->n - in->at : n;
        memcpy(p, in->buf + in->at, k);
        in->at += k;
        p += k;
        n -= k;
    }
}

uint8_t ch_get8(struct ch_in *in)
{
    return in->rc == TN_OK && (in->at < in->n || fill(in)) ? in->buf[in->at++] : 0;
}

uint32_t ch_get32(struct ch_in *in)
{
    uint32_t v;
    ch_get(in, &v, sizeof v);
    return v;
}

uint64_t ch_get64(struct ch_in *in)
{
    uint64_t v;
    ch_get(in, &v, sizeof v);
    return v;
}

uint64_t ch_getv(struct ch_in *in)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint8_t b = ch_get8(in);
        v |= shift < 64 ? (uint64_t)(b & 0x7f) << shift : 0;
        if ((b & 0x80) == 0) {
            return v;
        }
    }
    ch_in_fail(in, TN_E_UNAVAIL,
               "the server does not speak ClickHouse's native protocol: a number "
               "has more than ten bytes");
    return 0;
}

static size_t length(struct ch_in *in, size_t most, const char *what)
{
    uint64_t n = ch_getv(in);
    if (n > most) {
        ch_in_fail(in, TN_E_UNAVAIL,
                   "the server does not speak ClickHouse's native protocol: %s of %llu bytes", what,
                   (unsigned long long)n);
        return 0;
    }
    return in->rc == TN_OK ? (size_t)n : 0;
}

const char *ch_get_text(struct ch_in *in, struct ch_mem *m, size_t most, const char *what,
                        size_t *ret_n)
{
    size_t n = length(in, most, what);
    tn_rc rc = TN_OK;
    char *p = in->rc == TN_OK ? ch_alloc(m, n + 1, 1, &rc) : NULL;
    *ret_n = 0;
    if (p == NULL) {
        ch_in_fail(in, rc, "no memory for %s", what);
        return "";
    }
    ch_get(in, p, n);
    *ret_n = in->rc == TN_OK ? n : 0;
    return p;
}

void ch_get_short(struct ch_in *in, char *to, size_t cap, size_t most, const char *what)
{
    size_t n = length(in, most, what), kept = n < cap ? n : cap - 1;
    ch_get(in, to, kept);
    to[in->rc == TN_OK ? kept : 0] = '\0';
    for (char drop[64]; n > kept && in->rc == TN_OK;) {
        size_t k = n - kept < sizeof drop ? n - kept : sizeof drop;
        ch_get(in, drop, k);
        n -= k;
    }
}

uint8_t *ch_get_array(struct ch_in *in, struct ch_mem *m, size_t n, size_t width)
{
    tn_rc rc = TN_OK;
    size_t bytes = 0, have = 0;
    uint8_t *p = NULL;
    if (in->rc != TN_OK) {
        return NULL;
    }
    if (__builtin_mul_overflow(n, width, &bytes) || bytes > m->max || m->used > m->max - bytes) {
        ch_in_fail(in, TN_E_LIMIT, CH_TOO_LARGE);
        return NULL;
    }
    do {
        size_t cap = bytes - have <= have + CH_STEP ? bytes : have * 2 + CH_STEP;
        uint8_t *more = p == NULL ? ch_alloc(m, cap, 1, &rc) : ch_resize(m, p, cap, &rc);
        if (more == NULL) {
            ch_in_fail(in, rc, "no memory for a column");
            return NULL;
        }
        p = more;
        ch_get(in, p + have, cap - have);
        have = cap;
    } while (have < bytes && in->rc == TN_OK);
    return in->rc == TN_OK ? p : NULL;
}

/* ---- going out --------------------------------------------------------------------------------------- */

void ch_put(struct ch_out *out, const void *p, size_t n)
{
    if (out->cap - out->n < n && !out->failed) {
        size_t cap = (out->cap + n) * 2 + 256;
        uint8_t *more = realloc(out->p, cap);
        out->failed = more == NULL;
        if (more != NULL) {
            out->p = more;
            out->cap = cap;
        }
    }
    if (!out->failed && n != 0) {
        memcpy(out->p + out->n, p, n);
        out->n += n;
    }
}

void ch_put8(struct ch_out *out, uint8_t v)
{
    ch_put(out, &v, 1);
}

void ch_put32(struct ch_out *out, uint32_t v)
{
    ch_put(out, &v, sizeof v);
}

void ch_put64(struct ch_out *out, uint64_t v)
{
    ch_put(out, &v, sizeof v);
}

void ch_putv(struct ch_out *out, uint64_t v)
{
    uint8_t b[10];
    size_t n = 0;
    for (; v >= 0x80; v >>= 7) {
        b[n++] = (uint8_t)(v | 0x80);
    }
    b[n++] = (uint8_t)v;
    ch_put(out, b, n);
}

void ch_put_text(struct ch_out *out, const char *s, size_t n)
{
    ch_putv(out, n);
    ch_put(out, s, n);
}

void ch_putz(struct ch_out *out, const char *z)
{
    z = z != NULL ? z : "";
    ch_put_text(out, z, strlen(z));
}

void ch_out_finish(struct ch_out *out)
{
    free(out->p);
    *out = (struct ch_out){.p = NULL};
}
