/* SPDX-License-Identifier: Apache-2.0 */
/* Growable byte buffer with a hard bound; a failed append sticks, so callers check once. */
#pragma once
#include <tenon/types.h>
#include <stdarg.h>

struct buf {
    char *data; /* NULL while empty; always NUL-terminated after len bytes otherwise */
    size_t len, cap;
    size_t max; /* bytes; 0 = 1 GiB */
    int failed; /* not 0: an append did not fit (BUF_FULL) or memory ran out; contents up to len
                      stay valid */
};
#define BUF_FULL 1
#define BUF_INIT(max_)                                                                             \
    {                                                                                              \
        NULL, 0, 0, (max_), 0                                                                      \
    }

void buf_init(struct buf *b, size_t max);
void buf_finish(struct buf *b);
void buf_clear(struct buf *b);                       /* keeps the memory */
char *buf_reserve(struct buf *b, size_t n);          /* room for n more bytes, NULL on failure */
int buf_add(struct buf *b, const void *p, size_t n); /* 0, or -1 (failed is set) */
int buf_adds(struct buf *b, const char *s);
int buf_addc(struct buf *b, char c);
int buf_addstr(struct buf *b, tn_str s);
int buf_printf(struct buf *b, const char *fmt, ...) TN_PRINTF(2, 3);
int buf_vprintf(struct buf *b, const char *fmt, va_list ap);
int buf_addi(struct buf *b, int64_t v);         /* decimal, no printf */
int buf_quote(struct buf *b, tn_str s);         /* as a JSON string with quotes; invalid UTF-8
                                                        becomes U+FFFD */
char *buf_take(struct buf *b, size_t *ret_len); /* malloc()ed, NUL-terminated; b is empty after */
static inline tn_str buf_str(const struct buf *b)
{
    return (tn_str){b->data ? b->data : "", b->len};
}
