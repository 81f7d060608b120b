/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that lives as long as one call or one table: bump allocation, freed at once. */
#pragma once
#include <tenon/types.h>

struct arena_chunk;
struct arena {
    struct arena_chunk *chunk;
    size_t chunk_size; /* bytes of a new chunk, 0 = 4096 */
};
void arena_init(struct arena *a, size_t chunk_size);
void arena_finish(struct arena *a);
void arena_reset(struct arena *a);            /* keeps the first chunk */
void *arena_alloc(struct arena *a, size_t n); /* 16-byte aligned, zeroed; NULL no memory */
char *arena_dup(struct arena *a, tn_str s);   /* NUL-terminated */
char *arena_printf(struct arena *a, const char *fmt, ...) TN_PRINTF(2, 3);
