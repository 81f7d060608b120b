/* SPDX-License-Identifier: Apache-2.0 */
/* What a client of a stream has not taken yet: one buffer, bounded by who fills it. */
#include "plugins/http_common/http.h"
#include <stdlib.h>
#include <string.h>

#define KEEP (64u << 10) /* a buffer up to that size is kept while it is empty */

bool backlog_reserve(struct backlog *b, size_t n)
{
    if (b->cap - b->n >= n) {
        return true;
    }
    if (b->at > 0) {
        memmove(b->buf, b->buf + b->at, b->n - b->at);
        b->n -= b->at;
        b->at = 0;
    }
    size_t cap = b->cap > 0 ? b->cap : 4096;
    while (cap - b->n < n) {
        cap *= 2;
    }
    char *buf = cap == b->cap ? b->buf : realloc(b->buf, cap);
    if (buf == NULL) {
        return false;
    }
    b->buf = buf;
    b->cap = cap;
    return true;
}

void backlog_sent(struct backlog *b, size_t n)
{
    b->at += n;
    if (b->at < b->n) {
        return;
    }
    b->at = b->n = 0;
    if (b->cap > KEEP) {
        backlog_free(b);
    }
}

void backlog_free(struct backlog *b)
{
    free(b->buf);
    *b = (struct backlog){NULL, 0, 0, 0};
}
