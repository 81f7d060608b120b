/* SPDX-License-Identifier: Apache-2.0 */
/* Hash map from text to pointer: open addressing, SipHash-1-3 with a per-process random key. */
#pragma once
#include <tenon/types.h>

struct map_slot {
    tn_str key; /* owned copy */
    void *value;
    uint64_t hash;
};
struct map {
    struct map_slot *slots;
    size_t cap, used, filled; /* filled counts tombstones too */
};
#define MAP_INIT                                                                                   \
    {                                                                                              \
        NULL, 0, 0, 0                                                                              \
    }

void map_init(struct map *m);
void map_finish(struct map *m, void (*free_value)(void *)); /* free_value may be NULL */
void *map_get(const struct map *m, tn_str key);             /* NULL: absent */
/* Copies the key. Returns 0, -1 no memory. *ret_old (may be NULL) gets a replaced value or NULL. */
int map_put(struct map *m, tn_str key, void *value, void **ret_old);
void *map_del(struct map *m, tn_str key); /* the removed value or NULL */
/* for (size_t i = 0; map_next(m, &i, &key, &value);) ; no put/del inside but of the current key */
int map_next(const struct map *m, size_t *i, tn_str *ret_key, void **ret_value);
uint64_t map_hash(const void *p, size_t n); /* the seeded hash */
