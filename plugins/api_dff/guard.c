/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of failed sign-ins, per user name and per client address (of IPv6 its network of 64 bits), kept in the store so that a
 * restart forgives nothing (reliability F, spec 8.3). */
#include "guard.h"
#include "peer.h"
#include "store.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define CTX               api.host->ctx
#define ENT               api.host->entities
#define ADDRESS_THRESHOLD 50
#define ADDRESS_MAX_WAIT                                                                           \
    60 /* s; short, because an address may be a proxy with everybody behind it */
#define FORGET_MS (3600 * 1000LL)

static pthread_mutex_t guard_mutex = PTHREAD_MUTEX_INITIALIZER;

int64_t guard_delay_ms(int64_t failures, int64_t threshold, int64_t max_s)
{
    if (failures < threshold) {
        return 0;
    }
    int64_t s = 60;
    for (int64_t n = threshold; n < failures && s < max_s; n++) {
        s *= 2;
    }
    return (s < max_s ? s : max_s) * 1000;
}

struct counter {
    char id[129];
    int64_t failures, wait_until, last;
    bool stored;
};

static tn_rc counter_read(tn_txn *txn, struct counter *c, const char *kind, tn_str name,
                          tn_err *err)
{
    /* Hashed: the name may be anything a stranger typed. */
    char md5[33], network[PEER_NETWORK];
    name = strcmp(kind, "addr") == 0 ? peer_network(name, network) : name;
    md5_hex(name.s, name.n, md5);
    snprintf(c->id, sizeof c->id, "%s-%s", kind, md5);
    c->failures = c->wait_until = c->last = 0;
    json_t *row = store_one(txn, "signInGuard", "id", text_of(c->id), NULL, 0, err);
    c->stored = row != NULL;
    if (row == NULL) {
        return err->rc == TN_E_NOTFOUND ? TN_OK : err->rc;
    }
    c->failures = json_integer_value(json_object_get(row, "failures"));
    c->wait_until = json_integer_value(json_object_get(row, "waitUntilMs"));
    c->last = json_integer_value(json_object_get(row, "lastMs"));
    json_decref(row);
    return TN_OK;
}

static tn_rc counter_write(tn_txn *txn, const struct counter *c, tn_err *err)
{
    json_t *row = json_pack("{s:I, s:I, s:I}", "failures", (json_int_t)c->failures, "waitUntilMs",
                            (json_int_t)c->wait_until, "lastMs", (json_int_t)c->last);
    tn_rc rc;
    if (c->stored) {
        rc = store_patch(txn, "signInGuard", "id", text_of(c->id), row, err);
    } else {
        json_object_set_new(row, "id", json_string(c->id));
        rc = store_insert(txn, "signInGuard", row, NULL, err);
    }
    json_decref(row);
    return rc;
}

static tn_rc enter_locked(tn_txn *txn, tn_str username, tn_str address, int64_t *ret_wait,
                          tn_err *err)
{
    int64_t now = api.host->wall_us() / 1000;
    const int64_t longest[] = {api_setting_int("BAD_SINGIN_TEMPORARILY_LOCK_MAX_WAIT", 900),
                               ADDRESS_MAX_WAIT};
    const int64_t thresholds[] = {api_setting_int("BAD_SINGIN_TEMPORARILY_LOCK_COUNT", 10),
                                  ADDRESS_THRESHOLD};
    struct counter c[2] = {{.id = ""}, {.id = ""}};
    tn_rc rc = counter_read(txn, &c[0], "user", username, err);
    if (rc == TN_OK) {
        rc = counter_read(txn, &c[1], "addr", address, err);
    }
    *ret_wait = 0;
    for (int i = 0; rc == TN_OK && i < 2; i++) {
        int64_t left = (c[i].wait_until - now + 999) / 1000;
        *ret_wait = left > *ret_wait ? left : *ret_wait;
    }
    for (int i = 0; rc == TN_OK && *ret_wait == 0 && i < 2; i++) {
        /* An address is many people: only the last hour counts. */
        if (i == 1 && now - c[i].last > FORGET_MS) {
            c[i].failures = 0;
        }
        c[i].failures++;
        c[i].last = now;
        c[i].wait_until = now + guard_delay_ms(c[i].failures, thresholds[i], longest[i]);
        rc = counter_write(txn, &c[i], err);
    }
    return rc;
}

/* Old rows of names that nobody has tried for a day. */
static void forget_old(tn_txn *txn)
{
    struct filters f = {0};
    json_t *limit = json_integer(api.host->wall_us() / 1000 - 24 * FORGET_MS);
    filters_add(&f, "lastMs", TN_OP_LT, limit);
    json_decref(limit);
    int64_t count;
    ENT->remove(CTX, txn, "signInGuard", f.f, f.n, &count, NULL);
    filters_free(&f);
}

int64_t guard_enter(tn_str username, tn_str address, tn_err *err)
{
    static unsigned entries;
    tn_txn *txn;
    int64_t wait = 0;
    pthread_mutex_lock(&guard_mutex);
    tn_rc rc = ENT->begin(CTX, &txn, err);
    if (rc == TN_OK) {
        if (entries++ % 64 == 0) {
            forget_old(txn);
        }
        rc = enter_locked(txn, username, address, &wait, err);
        if (rc == TN_OK) {
            rc = ENT->commit(CTX, txn, err);
        } else {
            ENT->rollback(CTX, txn);
        }
    }
    pthread_mutex_unlock(&guard_mutex);
    return rc == TN_OK ? wait : -1;
}

/* The counter of a user name goes, and an address gets its attempt back. */
static void forgive(tn_str username, const tn_str *address)
{
    tn_err err = TN_ERR_INIT;
    struct counter c = {.id = ""};
    tn_txn *txn;
    pthread_mutex_lock(&guard_mutex);
    tn_rc rc = ENT->begin(CTX, &txn, &err);
    if (rc == TN_OK) {
        rc = counter_read(txn, &c, "user", username, &err);
        if (rc == TN_OK && c.stored) {
            rc = store_delete(txn, "signInGuard", "id", text_of(c.id), NULL, &err);
        }
        if (rc == TN_OK && address != NULL) {
            rc = counter_read(txn, &c, "addr", *address, &err);
            if (rc == TN_OK && c.stored && c.failures > 0) {
                c.failures--;
                c.wait_until = 0;
                rc = counter_write(txn, &c, &err);
            }
        }
        if (rc == TN_OK) {
            rc = ENT->commit(CTX, txn, &err);
        } else {
            ENT->rollback(CTX, txn);
        }
    }
    pthread_mutex_unlock(&guard_mutex);
    if (rc != TN_OK) {
        api.host->log(CTX, TN_LOG_WARNING, "sign-in counters: %s", err.msg);
    }
}

void guard_success(tn_str username, tn_str address)
{
    forgive(username, &address);
}

void guard_forget(tn_str username)
{
    forgive(username, NULL);
}

int64_t guard_wait(tn_str username)
{
    struct counter c = {.id = ""};
    tn_err err = TN_ERR_INIT;
    if (counter_read(NULL, &c, "user", username, &err) != TN_OK) {
        return 0;
    }
    int64_t left = (c.wait_until - api.host->wall_us() / 1000 + 999) / 1000;
    return left > 0 ? left : 0;
}
