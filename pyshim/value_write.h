/* SPDX-License-Identifier: Apache-2.0 */
/* The writer behind value_out.c: bytes into the buffer, text as JSON strings. */
#pragma once
#include "pyshim/shim.h"

#include <string.h>

struct writer {
    struct buf *out;
    bool tolerant;
    bool plain; /* floats and text as Python's own encoder writes them */
    bool retry; /* the fast form does not exist: start over */
    int depth;
};

/* Sets MemoryError unless an exception is set; returns -1. */
int write_no_memory(const struct buf *out);
/* UTF-8 text with its quotes. */
int write_utf8(struct writer *w, const char *p, size_t n);

static inline int write_add(struct writer *w, const char *p, size_t n)
{
    struct buf *b = w->out;
    if (b->cap - b->len > n) {
        memcpy(b->data + b->len, p, n);
        b->len += n;
        b->data[b->len] = '\0';
        return 0;
    }
    return buf_add(b, p, n) < 0 ? write_no_memory(b) : 0;
}

static inline int write_char(struct writer *w, char c)
{
    return write_add(w, &c, 1);
}
