/* SPDX-License-Identifier: Apache-2.0 */
/* Failed API authentications: the more of them, the longer the next one has to wait.
 *
 * Counted per API and client address (of IPv6 its network of 64 bits), and per API over all addresses. The waits are short (30 s and
 * 10 s), and an address that passed lately is not held up by the failures of others: nobody can lock
 * a right credential out for long. The table is bounded; two keys that share a slot only make the
 * newer one start at nothing. Counters of addresses that have failed a few times are kept over a restart
 * (gate_keep.c). Loop thread only. */
#include "gate_slow.h"
#include "peer.h"

#include <sodium.h>
#include <string.h>

#define SLOTS        8192 /* a power of two */
#define NS_PER_S     UINT64_C(1000000000)
#define FREE_TRIES   10 /* failures of one address before it waits */
#define KEEP_FROM    3  /* failures from which on a counter outlives a restart */
#define LONGEST_S    30
#define API_FAILURES 300 /* of one API in one window, all addresses */
#define API_WINDOW_S 10
#define TRUST_S      86400 /* how long a success keeps an address out of the API's count */

struct slot {
    uint64_t key;
    uint64_t last_ns, until_ns, passed_ns;
    uint32_t failures;
    bool kept, changed; /* it is in the store; it differs from what is there */
};
static struct slot slots[SLOTS];
static unsigned char secret[crypto_shorthash_KEYBYTES];
static size_t take_at; /* where slow_take() goes on */

static struct slot *slot_of(tn_str api_id, tn_str address)
{
    unsigned char text[256];
    char network[PEER_NETWORK];
    uint64_t key;
    address = peer_network(address, network);
    size_t na = api_id.n < 128 ? api_id.n : 128, nb = address.n < 127 ? address.n : 127;
    memcpy(text, api_id.s, na);
    text[na] = 0;
    if (nb > 0) {
        memcpy(text + na + 1, address.s, nb);
    }
    crypto_shorthash((unsigned char *)&key, text, na + 1 + nb, secret);
    struct slot *s = &slots[key & (SLOTS - 1)];
    if (s->key != key) {
        *s = (struct slot){.key = key};
    }
    return s;
}

static int64_t seconds_up(uint64_t ns)
{
    return (int64_t)((ns + NS_PER_S - 1) / NS_PER_S);
}

static void changed(struct slot *s)
{
    if (s->kept || s->failures >= KEEP_FROM) {
        s->changed = true;
        slow_keep();
    }
}

int64_t slow_wait(tn_str api_id, tn_str address, uint64_t now_ns)
{
    const struct slot *one = slot_of(api_id, address);
    if (one->until_ns > now_ns) {
        return seconds_up(one->until_ns - now_ns);
    }
    if (one->passed_ns != 0 && now_ns - one->passed_ns < TRUST_S * NS_PER_S) {
        return 0;
    }
    const struct slot *all = slot_of(api_id, TN_STR(""));
    return all->until_ns > now_ns ? seconds_up(all->until_ns - now_ns) : 0;
}

void slow_failed(tn_str api_id, tn_str address, uint64_t now_ns)
{
    struct slot *one = slot_of(api_id, address);
    if (now_ns - one->last_ns > SLOW_FORGET_S * NS_PER_S) {
        one->failures = 0;
    }
    one->last_ns = now_ns;
    if (one->failures < UINT32_MAX) {
        one->failures++;
    }
    if (one->failures >= FREE_TRIES) {
        uint32_t more = one->failures - FREE_TRIES;
        uint64_t wait = more < 5 ? UINT64_C(1) << more : LONGEST_S;
        one->until_ns = now_ns + (wait < LONGEST_S ? wait : LONGEST_S) * NS_PER_S;
    }
    changed(one);
    /* The API's own window begins with its first failure. */
    struct slot *all = slot_of(api_id, TN_STR(""));
    if (now_ns - all->last_ns > API_WINDOW_S * NS_PER_S) {
        all->last_ns = now_ns;
        all->failures = 0;
    }
    if (++all->failures > API_FAILURES) {
        all->until_ns = all->last_ns + API_WINDOW_S * NS_PER_S;
    }
}

void slow_passed(tn_str api_id, tn_str address, uint64_t now_ns)
{
    struct slot *one = slot_of(api_id, address);
    if (one->failures > 0) {
        one->failures = 0;
        changed(one);
    }
    one->passed_ns = now_ns;
}

/* ---- kept over a restart --------------------------------------------------------------------- */
void slow_begin(const unsigned char key[16], const struct slow_count *kept, size_t n)
{
    int64_t wall_ms = api.host->wall_us() / 1000;
    uint64_t now = api.host->now_ns();
    memcpy(secret, key, sizeof secret);
    for (size_t i = 0; i < n; i++) {
        const struct slow_count *c = &kept[i];
        int64_t ago = wall_ms - c->last_ms, wait = c->until_ms - wall_ms;
        wait = wait > LONGEST_S * 1000 ? LONGEST_S * 1000 : wait; /* the clock was set */
        ago = ago < 0 ? 0 : ago;
        slots[c->key & (SLOTS - 1)] = (struct slot){
            .key = c->key,
            .failures = c->failures,
            .last_ns = now > (uint64_t)ago * 1000000 ? now - (uint64_t)ago * 1000000 : 0,
            .until_ns = wait > 0 ? now + (uint64_t)wait * 1000000 : 0,
            .kept = true,
        };
    }
}

/* Monotonic to wall clock. */
static int64_t wall_of(uint64_t ns, uint64_t now, int64_t wall_ms)
{
    return wall_ms + ((int64_t)ns - (int64_t)now) / 1000000;
}

size_t slow_take(struct slow_count *ret, size_t max)
{
    int64_t wall_ms = api.host->wall_us() / 1000;
    uint64_t now = api.host->now_ns();
    size_t n = 0;
    for (size_t i = 0; i < SLOTS && n < max; i++) {
        struct slot *s = &slots[take_at++ & (SLOTS - 1)];
        if (s->changed) {
            s->changed = false;
            s->kept = s->failures > 0;
            ret[n++] = (struct slow_count){.key = s->key,
                                           .failures = s->failures,
                                           .last_ms = wall_of(s->last_ns, now, wall_ms),
                                           .until_ms = wall_of(s->until_ns, now, wall_ms)};
        }
    }
    return n;
}
