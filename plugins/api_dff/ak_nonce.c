/* SPDX-License-Identifier: Apache-2.0 */
/* Nonces of access keys. A row of the store is the truth, its unique id settles races; a small table
 * in memory answers repeated replays without a look into the store. */
#include "ak_nonce.h"
#include "store.h"

#include <pthread.h>
#include <sodium.h>
#include <string.h>

#define CTX    api.host->ctx
#define ENT    api.host->entities
#define ENTITY "accessKeyNonce"
#define TABLE  "wat_main_access_key_nonce"

#define DIGEST      24
#define SLOTS       8192     /* of the table in memory, about 256 KiB */
#define ROWS_MAX    1000000  /* remembered at most */
#define PRUNE_EVERY 256      /* nonces */
#define FULL_RETRY  10000000 /* microseconds between prunes while nothing more fits */

struct slot {
    uint8_t digest[DIGEST];
    int64_t until_ms;
};
static struct {
    pthread_mutex_t lock;
    struct slot slots[SLOTS];
    unsigned used; /* since the last prune */
    bool pruned, pruning, full;
    int64_t pruned_us;
} nonces = {.lock = PTHREAD_MUTEX_INITIALIZER};

int64_t ak_window_s(void)
{
    int64_t v = api_setting_int("_WEB_AK_TIMESTAMP_DIFF_LIMIT", 900);
    return v > 0 ? v : 900;
}

/* Never shorter than a signature can be valid, or a replay would find its nonce forgotten. */
static int64_t ttl_ms(void)
{
    int64_t ttl = api_setting_int("_WEB_AK_NONCE_TTL", 86400), least = 2 * ak_window_s();
    return (ttl > least ? ttl : least) * 1000;
}

static int64_t now_ms(void)
{
    return api.host->wall_us() / 1000;
}

static void digest_of(tn_str ak, tn_str nonce, uint8_t ret[DIGEST], char ret_hex[2 * DIGEST + 1])
{
    crypto_generichash_state st;
    uint64_t n = ak.n; /* (ab, c) is not (a, bc) */
    crypto_generichash_init(&st, NULL, 0, DIGEST);
    crypto_generichash_update(&st, (const unsigned char *)&n, sizeof n);
    crypto_generichash_update(&st, (const unsigned char *)ak.s, ak.n);
    crypto_generichash_update(&st, (const unsigned char *)nonce.s, nonce.n);
    crypto_generichash_final(&st, ret, DIGEST);
    sodium_bin2hex(ret_hex, 2 * DIGEST + 1, ret, DIGEST);
}

static struct slot *slot_of(const uint8_t digest[DIGEST])
{
    uint32_t at;
    memcpy(&at, digest, sizeof at);
    return &nonces.slots[at % SLOTS];
}

static bool in_memory(const uint8_t digest[DIGEST])
{
    pthread_mutex_lock(&nonces.lock);
    const struct slot *s = slot_of(digest);
    bool known = s->until_ms > now_ms() && memcmp(s->digest, digest, DIGEST) == 0;
    pthread_mutex_unlock(&nonces.lock);
    return known;
}

static void memorise(const uint8_t digest[DIGEST], int64_t until_ms)
{
    pthread_mutex_lock(&nonces.lock);
    struct slot *s = slot_of(digest);
    memcpy(s->digest, digest, DIGEST);
    s->until_ms = until_ms;
    pthread_mutex_unlock(&nonces.lock);
}

/* ---- pruning --------------------------------------------------------------------------------- */
/* TN_OP_LT of the store is enough for deletes by age; returns the rows that are left, -1 = error. */
static int64_t prune_until(int64_t limit_ms, tn_err *err)
{
    struct filters f = {0};
    json_t *limit = json_integer(limit_ms);
    filters_add(&f, "expireMs", TN_OP_LT, limit);
    json_decref(limit);
    int64_t count = 0, left = -1;
    tn_rc rc = f.failed ? api.host->fail(err, TN_E_NOMEM, "no memory to prune nonces")
                        : ENT->remove(CTX, NULL, ENTITY, f.f, f.n, &count, err);
    filters_free(&f);
    tn_text text = {0};
    if (rc == TN_OK) {
        rc = ENT->sql(CTX, NULL, "SELECT COUNT(*) AS n FROM " TABLE, TN_STR("[]"), &text, &count,
                      err);
    }
    if (rc == TN_OK) {
        json_t *rows = json_loadb(text.s, text.n, 0, NULL);
        const json_t *n = json_object_get(json_array_get(rows, 0), "n");
        left = json_is_integer(n) ? json_integer_value(n) : -1;
        json_decref(rows);
        api.host->free(CTX, text.s);
    }
    return left;
}

/* Forgets what has expired; when too much is left, also what is old enough that its signature is no
 * longer accepted anyway. */
static void prune(void)
{
    tn_err err = TN_ERR_INIT;
    int64_t now = now_ms(), left = prune_until(now, &err);
    if (left >= ROWS_MAX) {
        left = prune_until(now + ttl_ms() - 2000 * ak_window_s(), &err);
    }
    if (left < 0) {
        api.host->log(CTX, TN_LOG_WARNING, "nonces of access keys are not pruned: %s", err.msg);
    }
    pthread_mutex_lock(&nonces.lock);
    nonces.full = left >= ROWS_MAX;
    nonces.pruned_us = api.host->wall_us();
    nonces.pruning = false;
    pthread_mutex_unlock(&nonces.lock);
}

static void prune_now_and_then(void)
{
    pthread_mutex_lock(&nonces.lock);
    int64_t since = api.host->wall_us() - nonces.pruned_us;
    bool mine = !nonces.pruning && (!nonces.pruned || (nonces.full ? since < 0 || since > FULL_RETRY
                                                                   : nonces.used >= PRUNE_EVERY));
    if (mine) {
        nonces.pruned = nonces.pruning = true;
        nonces.used = 0;
    }
    pthread_mutex_unlock(&nonces.lock);
    if (mine) {
        prune();
    }
}

/* ---- use ------------------------------------------------------------------------------------- */
/* The stored time until which it is remembered, 0 = none, -1 = error. */
static int64_t stored_until(const char *id, tn_err *err)
{
    json_t *row = store_one(NULL, ENTITY, "id", text_of(id), NULL, 0, err);
    if (row == NULL) {
        return err->rc == TN_E_NOTFOUND ? 0 : -1;
    }
    int64_t until = json_integer_value(json_object_get(row, "expireMs"));
    json_decref(row);
    return until > now_ms() ? until : 0;
}

tn_rc ak_nonce_check(tn_str ak, tn_str nonce, tn_err *err)
{
    uint8_t digest[DIGEST];
    char id[2 * DIGEST + 1];
    digest_of(ak, nonce, digest, id);
    if (in_memory(digest)) {
        return api.host->fail(err, TN_E_CONFLICT, "this nonce was used before");
    }
    int64_t until = stored_until(id, err);
    if (until > 0) {
        memorise(digest, until);
        return api.host->fail(err, TN_E_CONFLICT, "this nonce was used before");
    }
    return until < 0 ? err->rc : TN_OK;
}

tn_rc ak_nonce_use(tn_str ak, tn_str nonce, tn_err *err)
{
    uint8_t digest[DIGEST];
    char id[2 * DIGEST + 1];
    digest_of(ak, nonce, digest, id);
    prune_now_and_then();
    pthread_mutex_lock(&nonces.lock);
    bool full = nonces.full;
    nonces.used++;
    pthread_mutex_unlock(&nonces.lock);
    if (full) {
        return api.host->fail(err, TN_E_LIMIT,
                              "more than %d requests were signed with access keys within %lld "
                              "seconds, try again later",
                              ROWS_MAX, (long long)(2 * ak_window_s()));
    }
    int64_t until = now_ms() + ttl_ms();
    json_t *row = json_pack("{s:s, s:I}", "id", id, "expireMs", (json_int_t)until);
    tn_txn *txn = NULL;
    /* An expired row of the same nonce may still be there. */
    tn_rc rc = ENT->begin(CTX, &txn, err);
    if (rc == TN_OK) {
        struct filters f = {0};
        json_t *now = json_integer(now_ms());
        int64_t count;
        filters_eq(&f, "id", text_of(id));
        filters_add(&f, "expireMs", TN_OP_LT, now);
        json_decref(now);
        rc = f.failed ? api.host->fail(err, TN_E_NOMEM, "no memory for a nonce")
                      : ENT->remove(CTX, txn, ENTITY, f.f, f.n, &count, err);
        filters_free(&f);
        if (rc == TN_OK) {
            rc = store_insert(txn, ENTITY, row, NULL, err);
        }
        if (rc == TN_OK) {
            rc = ENT->commit(CTX, txn, err);
        } else {
            ENT->rollback(CTX, txn);
        }
    }
    json_decref(row);
    if (rc == TN_OK || rc == TN_E_CONFLICT) {
        memorise(digest, until);
    }
    return rc;
}
