/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that lives as long as one call or one table: bump allocation, freed at once. */
#include "kernel/base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_ALIGN   16
#define ARENA_DEFAULT 4096

struct arena_chunk {
    struct arena_chunk *older;
    size_t used, cap;
    alignas(ARENA_ALIGN) char data[];
};

void arena_init(struct arena *a, size_t chunk_size)
{
    *a = (struct arena){NULL, chunk_size};
}

void arena_finish(struct arena *a)
{
    if (a == NULL) {
        return;
    }
    while (a->chunk != NULL) {
        struct arena_chunk *older = a->chunk->older;
        free(a->chunk);
        a->chunk = older;
    }
}

void arena_reset(struct arena *a)
{
    while (a->chunk != NULL && a->chunk->older != NULL) {
        struct arena_chunk *older = a->chunk->older;
        free(a->chunk);
        a->chunk = older;
    }
    if (a->chunk != NULL) {
        a->chunk->used = 0;
    }
}

void *arena_alloc(struct arena *a, size_t n)
{
    if (n > SIZE_MAX / 2) {
        return NULL;
    }
    n = n == 0 ? ARENA_ALIGN : (n + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (a->chunk == NULL || n > a->chunk->cap - a->chunk->used) {
        size_t cap = a->chunk_size != 0 ? a->chunk_size : ARENA_DEFAULT;
        cap = n > cap ? n : cap;
        struct arena_chunk *chunk = aligned_alloc(
            ARENA_ALIGN, (sizeof *chunk + cap + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1));
        if (chunk == NULL) {
            return NULL;
        }
        chunk->older = a->chunk;
        chunk->used = 0;
        chunk->cap = cap;
        a->chunk = chunk;
    }
    void *p = a->chunk->data + a->chunk->used;
    a->chunk->used += n;
    return memset(p, 0, n);
}

char *arena_dup(struct arena *a, tn_str s)
{
    char *p = s.n < SIZE_MAX ? arena_alloc(a, s.n + 1) : NULL;
    if (p != NULL && s.n != 0) {
        memcpy(p, s.s, s.n);
    }
    return p;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *p = n >= 0 ? arena_alloc(a, (size_t)n + 1) : NULL;
    if (p != NULL) {
        va_start(ap, fmt);
        vsnprintf(p, (size_t)n + 1, fmt, ap);
        va_end(ap);
    }
    return p;
}
