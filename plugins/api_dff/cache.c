/* SPDX-License-Identifier: Apache-2.0 */
/* Results of functions with cache_result: bounded in bytes and entries, least recently used first out,
 * each with its own time to live. Loop thread only. */
#include "call.h"

#include <sodium.h>

/* One result may not push out everything else. */
#define ENTRY_SHARE   8
/* Canonical form costs text * depth; beyond this many bytes of kwargs the text itself is the key. */
#define CANONICAL_MAX (64u << 10)

struct use {
    struct use *newer, *older;
};

struct entry {
    struct use use;      /* first: ring through cache.uses */
    struct entry *chain; /* same bucket */
    uint8_t key[32];
    uint64_t expires_ns;
    uint32_t value_kind;
    size_t bytes; /* with this struct */
    size_t value_len, control_len;
    char text[]; /* value, control */
};

struct cache {
    struct use uses;        /* .older: most recent, .newer: least recent */
    struct entry **buckets; /* keys are hashes already: their first bytes pick the bucket */
    size_t mask, n, bytes, max_n, max_bytes;
    uint64_t hits, misses, evicted;
};

struct cache *cache_create(size_t max_bytes, size_t max_entries)
{
    struct cache *c = calloc(1, sizeof *c);
    size_t buckets = 64;
    while (buckets < max_entries) {
        buckets *= 2;
    }
    if (c != NULL) {
        c->buckets = calloc(buckets, sizeof *c->buckets);
    }
    if (c == NULL || c->buckets == NULL) {
        free(c);
        return NULL;
    }
    c->mask = buckets - 1;
    c->max_n = max_entries;
    c->max_bytes = max_bytes;
    c->uses.newer = c->uses.older = &c->uses;
    return c;
}

static struct entry **bucket_of(struct cache *c, const uint8_t key[32])
{
    uint64_t h;
    memcpy(&h, key, sizeof h);
    return &c->buckets[h & c->mask];
}

static void use_unlink(struct use *u)
{
    u->newer->older = u->older;
    u->older->newer = u->newer;
}

static void use_front(struct cache *c, struct use *u)
{
    u->older = c->uses.older;
    u->newer = &c->uses;
    u->older->newer = u;
    c->uses.older = u;
}

static struct entry **entry_find(struct cache *c, const uint8_t key[32])
{
    struct entry **at = bucket_of(c, key);
    while (*at != NULL && memcmp((*at)->key, key, 32) != 0) {
        at = &(*at)->chain;
    }
    return at;
}

static void entry_remove(struct cache *c, struct entry **at)
{
    struct entry *e = *at;
    *at = e->chain;
    use_unlink(&e->use);
    c->n--;
    c->bytes -= e->bytes;
    free(e);
}

void cache_destroy(struct cache *c)
{
    if (c == NULL) {
        return;
    }
    while (c->uses.older != &c->uses) {
        entry_remove(c, entry_find(c, ((struct entry *)c->uses.older)->key));
    }
    free(c->buckets);
    free(c);
}

bool cache_get(struct cache *c, const uint8_t key[32], uint64_t now_ns, tn_call_result *ret)
{
    struct entry **at = entry_find(c, key), *e = *at;
    if (e == NULL || e->expires_ns <= now_ns) {
        c->misses++;
        if (e != NULL) {
            entry_remove(c, at);
        }
        return false;
    }
    c->hits++;
    use_unlink(&e->use);
    use_front(c, &e->use);
    *ret = (tn_call_result){.size = sizeof *ret, .status = TN_CALL_SUCCESS, .value_fd = -1};
    ret->value_kind = e->value_kind;
    ret->value = (tn_str){e->text, e->value_len};
    ret->value_len = e->value_len;
    ret->control = (tn_str){e->text + e->value_len, e->control_len};
    return true;
}

void cache_put(struct cache *c, const uint8_t key[32], uint64_t now_ns, uint32_t ttl_s,
               const tn_call_result *result)
{
    size_t text = result->value.n + result->control.n, bytes = sizeof(struct entry) + text;
    struct entry **at = entry_find(c, key);
    if (*at != NULL) {
        entry_remove(c, at);
    }
    if (result->status != TN_CALL_SUCCESS || result->value_fd >= 0 || ttl_s == 0 ||
        bytes > c->max_bytes / ENTRY_SHARE) {
        return;
    }
    struct entry *e = malloc(bytes);
    if (e == NULL) {
        return;
    }
    while (c->n > 0 && (c->n >= c->max_n || c->bytes + bytes > c->max_bytes)) {
        entry_remove(c, entry_find(c, ((struct entry *)c->uses.newer)->key));
        c->evicted++;
    }
    memcpy(e->key, key, sizeof e->key);
    e->expires_ns = now_ns + (uint64_t)ttl_s * 1000000000u;
    e->value_kind = result->value_kind;
    e->bytes = bytes;
    e->value_len = result->value.n;
    e->control_len = result->control.n;
    if (result->value.n > 0) {
        memcpy(e->text, result->value.s, result->value.n);
    }
    if (result->control.n > 0) {
        memcpy(e->text + result->value.n, result->control.s, result->control.n);
    }
    at = bucket_of(c, key);
    e->chain = *at;
    *at = e;
    use_front(c, &e->use);
    c->n++;
    c->bytes += bytes;
}

void cache_drop(struct cache *c, const uint8_t key[32])
{
    struct entry **at = entry_find(c, key);
    if (*at != NULL) {
        entry_remove(c, at);
    }
}

void cache_status(const struct cache *c, struct str *out)
{
    str_printf(out,
               "{\"entries\":%zu,\"bytes\":%zu,\"hits\":%llu,\"misses\":%llu,\"evicted\":%llu}",
               c->n, c->bytes, (unsigned long long)c->hits, (unsigned long long)c->misses,
               (unsigned long long)c->evicted);
}

/* ---- keys ------------------------------------------------------------------------------------------------ */

static int by_key(const void *a, const void *b)
{
    const tn_json_member *x = a, *y = b;
    size_t n = x->key.n < y->key.n ? x->key.n : y->key.n;
    int c = memcmp(x->key.s, y->key.s, n);
    return c != 0 ? c : (x->key.n > y->key.n) - (x->key.n < y->key.n);
}

static void canonical(struct str *out, tn_str json, uint32_t kind);

/* One object: members sorted by key, without blanks; a key given twice counts once. */
static void canonical_object(struct str *out, tn_str json)
{
    tn_json_member few[16], *m = few;
    uint32_t cap = 16, n = 0;
    if (api.host->json->scan(json, NULL, m, cap, &n, NULL) != TN_OK) {
        out->failed = true;
        return;
    }
    if (n == cap) {
        cap = SCRATCH_MEMBERS;
        m = malloc(cap * sizeof *m);
        if (m == NULL || api.host->json->scan(json, NULL, m, cap, &n, NULL) != TN_OK) {
            out->failed = true;
            free(m);
            return;
        }
    }
    qsort(m, n, sizeof *m, by_key);
    add_lit(out, "{");
    for (uint32_t i = 0; i < n; i++) {
        add(out, m[i].key);
        add_lit(out, ":");
        canonical(out, m[i].value, m[i].kind);
        add_lit(out, ",");
    }
    add_lit(out, "}");
    if (m != few) {
        free(m);
    }
}

/* Arrays are split at their own commas; objects in them are sorted too. */
static void canonical_array(struct str *out, tn_str json)
{
    size_t depth = 0, start = 1;
    bool quoted = false;
    add_lit(out, "[");
    for (size_t i = 1; i < json.n; i++) {
        char c = json.s[i];
        if (quoted) {
            i += c == '\\';
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (depth == 0 && (c == ',' || c == ']')) {
            tn_str item = {json.s + start, i - start};
            while (item.n > 0 && (unsigned char)item.s[0] <= ' ') {
                item.s++;
                item.n--;
            }
            while (item.n > 0 && (unsigned char)item.s[item.n - 1] <= ' ') {
                item.n--;
            }
            uint32_t kind = item.n == 0        ? TN_JSON_NULL
                            : item.s[0] == '{' ? TN_JSON_OBJECT
                            : item.s[0] == '[' ? TN_JSON_ARRAY
                                               : TN_JSON_NUMBER;
            canonical(out, item, kind);
            add_lit(out, ",");
            start = i + 1;
        } else {
            depth += c == '{' || c == '[';
            depth -= c == '}' || c == ']';
        }
    }
    add_lit(out, "]");
}

static void canonical(struct str *out, tn_str json, uint32_t kind)
{
    if (kind == TN_JSON_OBJECT) {
        canonical_object(out, json);
    } else if (kind == TN_JSON_ARRAY) {
        canonical_array(out, json);
    } else {
        add(out, json);
    }
}

void cache_key(const struct snap_func *f, tn_str kwargs, uint8_t ret[32])
{
    struct str *text = &calls.scratch.http; /* not written yet when the cache is asked */
    str_clear(text);
    if (kwargs.n <= CANONICAL_MAX) {
        while (kwargs.n > 0 && (unsigned char)kwargs.s[0] <= ' ') {
            kwargs.s++;
            kwargs.n--;
        }
        canonical(text, kwargs, TN_JSON_OBJECT);
        if (!text->failed) {
            kwargs = str_view(text);
        }
    }
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, 32);
    crypto_generichash_update(&state, (const unsigned char *)f->id.s,
                              f->id.n + 1); /* with its NUL */
    crypto_generichash_update(&state, (const unsigned char *)f->code_key.s, f->code_key.n + 1);
    crypto_generichash_update(&state, (const unsigned char *)kwargs.s, kwargs.n);
    crypto_generichash_final(&state, ret, 32);
    str_clear(text);
}
