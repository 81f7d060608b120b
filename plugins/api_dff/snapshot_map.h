/* SPDX-License-Identifier: Apache-2.0 */
/* What a snapshot is kept in: an arena that is freed as a whole, and a hash map of rows keyed by the
 * id that is their first member. */
#pragma once
#include <tenon/types.h>

struct snap_chunk;
struct snap_arena {
    struct snap_chunk *chunks;
    char *p; /* free room of the newest chunk */
    size_t left;
};
/* Zeroed, aligned for any type; NULL without memory. */
void *snap_alloc(struct snap_arena *a, size_t n);
/* A NUL-terminated copy; s == NULL without memory. */
tn_str snap_copy(struct snap_arena *a, tn_str s);
void snap_arena_finish(struct snap_arena *a);

struct snap_slot {
    uint64_t hash;
    void *item; /* starts with a tn_str: its key */
};
struct snap_map {
    unsigned char key[16]; /* of SipHash: ids come from outside */
    struct snap_slot *slots;
    size_t n, cap; /* cap: power of two, at most half full */
};
/* Adds or replaces. 0 without memory. */
int snap_map_put(struct snap_map *m, void *item);
void *snap_map_get(const struct snap_map *m, tn_str id);
void snap_map_finish(struct snap_map *m);
