/* SPDX-License-Identifier: Apache-2.0 */
/* Hash map from text to pointer: open addressing with linear probing, SipHash-1-3. */
#include "kernel/base/map.h"

#include "kernel/base/rnd.h"
#include "kernel/base/str.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const char tombstone[1]; /* key.s of a removed slot; NULL is a slot that never held a key */
static uint64_t seed[2];

static void make_seed(void)
{
    rnd_bytes(seed, sizeof seed);
}

static inline uint64_t rotl(uint64_t x, int b)
{
    return (x << b) | (x >> (64 - b));
}

#define SIP_ROUND                                                                                  \
    do {                                                                                           \
        v0 += v1, v1 = rotl(v1, 13) ^ v0, v0 = rotl(v0, 32);                                       \
        v2 += v3, v3 = rotl(v3, 16) ^ v2;                                                          \
        v0 += v3, v3 = rotl(v3, 21) ^ v0;                                                          \
        v2 += v1, v1 = rotl(v1, 17) ^ v2, v2 = rotl(v2, 32);                                       \
    } while (0)

/* SipHash-1-3 (Aumasson, Bernstein 2012). The seed is per process image and survives fork, because
 * inherited maps must stay readable. */
uint64_t map_hash(const void *p, size_t n)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_seed);
    uint64_t v0 = seed[0] ^ 0x736f6d6570736575u, v1 = seed[1] ^ 0x646f72616e646f6du;
    uint64_t v2 = seed[0] ^ 0x6c7967656e657261u, v3 = seed[1] ^ 0x7465646279746573u;
    const unsigned char *in = p;
    uint64_t m, last = (uint64_t)n << 56;
    for (; n >= 8; n -= 8, in += 8) {
        memcpy(&m, in, 8);
        v3 ^= m;
        SIP_ROUND;
        v0 ^= m;
    }
    if (n >= 4) { /* the rest in two reads that may overlap */
        uint32_t low, high;
        memcpy(&low, in, 4);
        memcpy(&high, in + n - 4, 4);
        last |= low | (uint64_t)high << (8 * (n - 4));
    } else if (n > 0) {
        last |= in[0] | (uint64_t)in[n / 2] << (8 * (n / 2)) | (uint64_t)in[n - 1] << (8 * (n - 1));
    }
    v3 ^= last;
    SIP_ROUND;
    v0 ^= last;
    v2 ^= 0xff;
    SIP_ROUND;
    SIP_ROUND;
    SIP_ROUND;
    return v0 ^ v1 ^ v2 ^ v3;
}

void map_init(struct map *m)
{
    *m = (struct map)MAP_INIT;
}

static int slot_live(const struct map_slot *slot)
{
    return slot->key.s != NULL && slot->key.s != tombstone;
}

void map_finish(struct map *m, void (*free_value)(void *))
{
    if (m == NULL) {
        return;
    }
    for (size_t i = 0; i < m->cap; i++) {
        if (slot_live(&m->slots[i])) {
            free((char *)m->slots[i].key.s);
            if (free_value != NULL) {
                free_value(m->slots[i].value);
            }
        }
    }
    free(m->slots);
    map_init(m);
}

/* The slot that holds key, or NULL. */
static struct map_slot *find(const struct map *m, tn_str key, uint64_t hash)
{
    if (m->cap == 0) {
        return NULL;
    }
    for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
        struct map_slot *slot = &m->slots[i];
        if (slot->key.s == NULL) {
            return NULL;
        }
        if (slot->hash == hash && slot->key.s != tombstone && str_eq(slot->key, key)) {
            return slot;
        }
    }
}

#define SMALL 8 /* a table of that many slots is looked through faster than a key is hashed */

void *map_get(const struct map *m, tn_str key)
{
    if (m->cap == SMALL) {
        for (size_t i = 0; i < SMALL; i++) {
            if (m->slots[i].key.n == key.n && slot_live(&m->slots[i]) &&
                str_eq(m->slots[i].key, key)) {
                return m->slots[i].value;
            }
        }
        return NULL;
    }
    const struct map_slot *slot = find(m, key, m->cap != 0 ? map_hash(key.s, key.n) : 0);
    return slot != NULL ? slot->value : NULL;
}

/* Moves everything into a table of at least twice the live keys; tombstones vanish. */
static int rehash(struct map *m)
{
    size_t cap = SMALL;
    while (cap < (m->used + 1) * 2) {
        cap *= 2;
    }
    struct map_slot *slots = calloc(cap, sizeof *slots);
    if (slots == NULL) {
        return -1;
    }
    for (size_t i = 0; i < m->cap; i++) {
        if (slot_live(&m->slots[i])) {
            size_t at = m->slots[i].hash & (cap - 1);
            while (slots[at].key.s != NULL) {
                at = (at + 1) & (cap - 1);
            }
            slots[at] = m->slots[i];
        }
    }
    free(m->slots);
    m->slots = slots;
    m->cap = cap;
    m->filled = m->used;
    return 0;
}

int map_put(struct map *m, tn_str key, void *value, void **ret_old)
{
    uint64_t hash = map_hash(key.s, key.n);
    struct map_slot *slot = find(m, key, hash);
    if (slot != NULL) {
        if (ret_old != NULL) {
            *ret_old = slot->value;
        }
        slot->value = value;
        return 0;
    }
    if ((m->filled + 1) * 4 > m->cap * 3 && rehash(m) < 0) {
        return -1;
    }
    char *copy = str_dup(key);
    if (copy == NULL) {
        return -1;
    }
    size_t i = hash & (m->cap - 1);
    while (slot_live(&m->slots[i])) {
        i = (i + 1) & (m->cap - 1);
    }
    if (m->slots[i].key.s == NULL) {
        m->filled++;
    }
    m->slots[i] = (struct map_slot){{copy, key.n}, value, hash};
    m->used++;
    if (ret_old != NULL) {
        *ret_old = NULL;
    }
    return 0;
}

void *map_del(struct map *m, tn_str key)
{
    struct map_slot *slot = find(m, key, m->cap != 0 ? map_hash(key.s, key.n) : 0);
    if (slot == NULL) {
        return NULL;
    }
    void *value = slot->value;
    free((char *)slot->key.s);
    *slot = (struct map_slot){{tombstone, 0}, NULL, 0};
    m->used--;
    return value;
}

int map_next(const struct map *m, size_t *i, tn_str *ret_key, void **ret_value)
{
    for (; *i < m->cap; (*i)++) {
        const struct map_slot *slot = &m->slots[*i];
        if (slot_live(slot)) {
            if (ret_key != NULL) {
                *ret_key = slot->key;
            }
            if (ret_value != NULL) {
                *ret_value = slot->value;
            }
            (*i)++;
            return 1;
        }
    }
    return 0;
}
