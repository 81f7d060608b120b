/* SPDX-License-Identifier: Apache-2.0 */
/* The hot path's way of writing into a `struct str`: appends that fit are inlined, strings that need
 * no escape are copied, and everything from outside is made valid UTF-8 on the way. */
#pragma once
#include "api.h"

#include <stdlib.h>
#include <string.h>

static inline void add(struct str *b, tn_str t)
{
    if (b->cap - b->n > t.n && !b->failed) {
        memcpy(b->s + b->n, t.s != NULL ? t.s : "", t.n);
        b->n += t.n;
    } else {
        str_add(b, t.s != NULL ? t.s : "", t.n);
    }
}
#define add_lit(b, literal) add((b), TN_STR(literal))

/* As a JSON string with quotes; bytes that are not UTF-8 become U+FFFD. */
void add_quote(struct str *b, tn_str t);
void add_int(struct str *b, int64_t v);
/* Base64 with padding (RFC 4648 section 4). */
void add_base64(struct str *b, const uint8_t *p, size_t n);

/* Appends n bytes that the caller fills at once; NULL (and failed) without memory. */
char *str_room_for(struct str *b, size_t n);

/* The text written since `from`. */
static inline tn_str str_since(const struct str *b, size_t from)
{
    return (tn_str){b->s != NULL ? b->s + from : "", b->n - from};
}

/* Empty again; memory that one unusually large call made grow is given back. */
static inline void str_reset(struct str *b)
{
    if (b->cap > (1u << 20)) {
        str_free(b);
    }
    str_clear(b);
}
