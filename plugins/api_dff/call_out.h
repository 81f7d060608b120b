/* SPDX-License-Identifier: Apache-2.0 */
/* A growing text buffer for what a call sends to the broker and to the client. */
#pragma once
#include <stdlib.h>
#include <string.h>
#include <tenon/host.h>

/* Beyond this many bytes no text of one call grows: larger bodies are a defect or an attack. */
#define OUT_MAX ((size_t)1 << 30)

/* Zeroed is empty. After a failed allocation `bad` is set and nothing is appended any more, so that
 * callers check once, at the end. */
struct out {
    char *p;
    size_t n, cap;
    int bad;
};

/* Room for `more` bytes behind n; NULL (and bad) when there is none. Not counted into n. */
char *out_room(struct out *o, size_t more);
/* Appends s as a JSON string with quotes. */
void out_quote(struct out *o, const tn_host_json *json, tn_str s);
void out_int(struct out *o, int64_t v);
/* Appends bytes in base64 with padding (RFC 4648 section 4). */
void out_base64(struct out *o, const uint8_t *p, size_t n);

static inline void out_put(struct out *o, const char *s, size_t n)
{
    char *to = o->cap - o->n >= n ? o->p + o->n : out_room(o, n);
    if (to != NULL && n > 0) {
        memcpy(to, s, n);
        o->n += n;
    }
}

#define out_lit(o, literal) out_put((o), (literal), sizeof(literal) - 1)

static inline void out_str(struct out *o, tn_str s)
{
    out_put(o, s.s, s.n);
}

static inline void out_text(struct out *o, const char *s)
{
    out_put(o, s, strlen(s));
}

static inline void out_char(struct out *o, char c)
{
    out_put(o, &c, 1);
}

static inline tn_str out_view(const struct out *o)
{
    return (tn_str){o->p != NULL ? o->p : "", o->n};
}

/* The text written since `from`. */
static inline tn_str out_since(const struct out *o, size_t from)
{
    return (tn_str){o->p != NULL ? o->p + from : "", o->n - from};
}

/* Keeps the memory for the next call unless one unusually large call made it grow. */
static inline void out_reset(struct out *o)
{
    if (o->cap > (1u << 20)) {
        free(o->p);
        o->p = NULL;
        o->cap = 0;
    }
    o->n = 0;
    o->bad = 0;
}

static inline void out_finish(struct out *o)
{
    free(o->p);
    *o = (struct out){0};
}
