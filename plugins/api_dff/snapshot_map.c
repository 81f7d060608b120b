/* SPDX-License-Identifier: Apache-2.0 */
/* Arena and hash map of a snapshot. */
#include "snapshot_map.h"

#include <sodium.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK ((size_t)64 << 10)

struct snap_chunk {
    struct snap_chunk *next;
    alignas(16) char room[];
};

void *snap_alloc(struct snap_arena *a, size_t n)
{
    n = (n + 15) & ~(size_t)15;
    if (n > a->left) {
        /* What does not fit well gets a chunk of its own and leaves the newest one in use. */
        size_t size = n > CHUNK / 4 ? n : CHUNK;
        struct snap_chunk *c = calloc(1, sizeof *c + size);
        if (c == NULL) {
            return NULL;
        }
        c->next = a->chunks;
        a->chunks = c;
        if (size == n) {
            return c->room;
        }
        a->p = c->room;
        a->left = size;
    }
    void *p = a->p;
    a->p += n;
    a->left -= n;
    return p;
}

tn_str snap_copy(struct snap_arena *a, tn_str s)
{
    char *p = snap_alloc(a, s.n + 1);
    if (p != NULL && s.n > 0) {
        memcpy(p, s.s, s.n);
    }
    return (tn_str){p, p != NULL ? s.n : 0};
}

void snap_arena_finish(struct snap_arena *a)
{
    for (struct snap_chunk *c = a->chunks, *next; c != NULL; c = next) {
        next = c->next;
        free(c);
    }
    *a = (struct snap_arena){0};
}

static uint64_t hash_of(const struct snap_map *m, tn_str id)
{
    uint64_t h;
    _Static_assert(crypto_shorthash_BYTES == sizeof h, "SipHash-2-4 has 64 bits");
    _Static_assert(crypto_shorthash_KEYBYTES == sizeof m->key, "and a key of 128");
    crypto_shorthash((unsigned char *)&h, (const unsigned char *)id.s, id.n, m->key);
    return h;
}

/* The slot of that id or the free one where it belongs; needs cap > n. */
static struct snap_slot *slot_of(const struct snap_map *m, uint64_t hash, tn_str id)
{
    for (size_t i = hash;; i++) {
        struct snap_slot *slot = &m->slots[i & (m->cap - 1)];
        if (slot->item == NULL) {
            return slot;
        }
        const tn_str *key = slot->item;
        if (slot->hash == hash && key->n == id.n && memcmp(key->s, id.s, id.n) == 0) {
            return slot;
        }
    }
}

static int grow(struct snap_map *m)
{
    struct snap_map wide = *m;
    wide.cap = m->cap != 0 ? m->cap * 2 : 64;
    wide.slots = calloc(wide.cap, sizeof *wide.slots);
    if (wide.slots == NULL) {
        return 0;
    }
    for (size_t i = 0; i < m->cap; i++) {
        if (m->slots[i].item != NULL) {
            *slot_of(&wide, m->slots[i].hash, *(const tn_str *)m->slots[i].item) = m->slots[i];
        }
    }
    free(m->slots);
    *m = wide;
    return 1;
}

int snap_map_put(struct snap_map *m, void *item)
{
    tn_str id = *(const tn_str *)item;
    if (m->n * 2 >= m->cap && !grow(m)) {
        return 0;
    }
    uint64_t hash = hash_of(m, id);
    struct snap_slot *slot = slot_of(m, hash, id);
    m->n += slot->item == NULL;
    *slot = (struct snap_slot){hash, item};
    return 1;
}

void *snap_map_get(const struct snap_map *m, tn_str id)
{
    return m->n == 0 || id.s == NULL ? NULL : slot_of(m, hash_of(m, id), id)->item;
}

void snap_map_finish(struct snap_map *m)
{
    free(m->slots);
    m->slots = NULL;
    m->n = m->cap = 0;
}
