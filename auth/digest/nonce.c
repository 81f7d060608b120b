/* SPDX-License-Identifier: Apache-2.0 */
/* Nonces that prove their origin and age, and which counts of them were used. */
#include "digest.h"

#include <stdlib.h>
#include <string.h>

static void put64(uint64_t v, uint8_t out[8])
{
    for (int i = 0; i < 8; i++) {
        out[i] = (uint8_t)(v >> (56 - 8 * i));
    }
}

static bool nonce_text(const struct nonces *n, uint64_t stamp, char ret[NONCE_LEN + 1])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t raw[8 + 32];
    put64(stamp, raw);
    if (!hash_mac(n->key, raw, 8, raw + 8)) {
        return false;
    }
    for (size_t i = 0; i < NONCE_LEN / 2; i++) {
        ret[2 * i] = digits[raw[i] >> 4];
        ret[2 * i + 1] = digits[raw[i] & 15];
    }
    ret[NONCE_LEN] = '\0';
    return true;
}

bool nonce_make(struct nonces *n, uint64_t now_us, char ret[NONCE_LEN + 1])
{
    n->last = now_us > n->last ? now_us : n->last + 1;
    return nonce_text(n, n->last, ret);
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum nonce_state nonce_check(const struct nonces *n, uint64_t now_us, tn_str nonce,
                             uint64_t *ret_stamp)
{
    char right[NONCE_LEN + 1];
    uint64_t stamp = 0;
    if (nonce.n != NONCE_LEN) {
        return NONCE_FOREIGN;
    }
    for (size_t i = 0; i < 16; i++) {
        int d = digit(nonce.s[i]);
        if (d < 0) {
            return NONCE_FOREIGN;
        }
        stamp = stamp << 4 | (uint64_t)d;
    }
    if (!nonce_text(n, stamp, right) || !hash_equal(nonce, (tn_str){right, NONCE_LEN})) {
        return NONCE_FOREIGN;
    }
    *ret_stamp = stamp;
    return now_us > stamp && now_us - stamp > n->life_us ? NONCE_STALE : NONCE_GOOD;
}

/* The place of this nonce, or the one it may take; NULL: it has been forgotten already. */
static struct nonce_use *place_of(struct nonces *n, uint64_t now_us, uint64_t stamp)
{
    struct nonce_use *oldest = &n->used[0];
    for (size_t i = 0; i < NONCES; i++) {
        struct nonce_use *u = &n->used[i];
        if (u->stamp == stamp) {
            return u;
        }
        if (u->stamp < oldest->stamp) {
            oldest = u;
        }
    }
    if (stamp <= n->floor) {
        return NULL;
    }
    if (oldest->stamp != 0 && now_us - oldest->stamp <= n->life_us) {
        if (oldest->stamp > stamp) {
            return NULL; /* this one is the oldest: it has no place */
        }
        n->floor = oldest->stamp;
    }
    *oldest = (struct nonce_use){stamp, 0, 0};
    return oldest;
}

enum nonce_count nonce_use(struct nonces *n, uint64_t now_us, uint64_t stamp, uint32_t nc)
{
    if (n->used == NULL) {
        n->used = calloc(NONCES, sizeof *n->used);
        if (n->used == NULL) {
            return COUNT_STALE; /* what cannot be remembered is not accepted */
        }
    }
    struct nonce_use *u = place_of(n, now_us, stamp);
    if (u == NULL) {
        return COUNT_STALE;
    }
    if (nc > u->top) {
        uint32_t step = nc - u->top;
        u->seen = step < 64 ? u->seen << step | 1 : 1;
        u->top = nc;
        return COUNT_NEW;
    }
    uint32_t back = u->top - nc;
    if (nc == 0 || back >= 64 || (u->seen >> back & 1) != 0) {
        return COUNT_SEEN;
    }
    u->seen |= (uint64_t)1 << back;
    return COUNT_NEW;
}
