/* SPDX-License-Identifier: Apache-2.0 */
/* The cache that scripts share: a data structure server with the commands, types and errors of Redis 7,
 * in the hub's memory and bounded, or a real Redis behind the same door. Requests and answers are RESP2
 * (https://redis.io/docs/reference/protocol-spec/), so neither the caller nor its tests can tell the
 * two apart. Nothing in it survives a restart of the hub. Loop thread only. */
#pragma once
#include "kernel/base/buf.h"
#include "kernel/hub/loop.h"

/* One command of the embedded server at a time `now_ms` (Unix time), without a loop: blocking pops of
 * an empty list answer nil at once. `request` is an array of bulk strings; `out` gets one reply. */
struct cache_db;
struct cache_db *cache_db_create(uint64_t max_bytes); /* NULL: no memory */
void cache_db_destroy(struct cache_db *db);
void cache_db_run(struct cache_db *db, tn_str request, int64_t now_ms, struct buf *out);

struct cache_conf {
    uint64_t max_bytes; /* of the embedded one; a write beyond is answered with -OOM */
    const char *host;   /* Redis server; NULL or "": embedded */
    uint16_t port;
    int64_t database;
    const char *user, *password; /* "" = none */
};
struct cache;
tn_rc cache_create(struct loop *l, const struct cache_conf *conf, struct cache **ret, tn_err *err);
void cache_stop(struct cache *c);    /* before the loop's end: who still waits is answered */
void cache_destroy(struct cache *c); /* after it */

/* Runs one command. done() is called once, now or later, with one RESP2 reply; errors of every kind
 * ("-ERR …", "-OOM …", "-UNAVAIL …" when a Redis server does not answer) are replies too. wanted()
 * (may be NULL) is asked before a popped element is handed to somebody who has waited for it: 0 means
 * that he is gone and the next one gets it. */
struct cache_ask {
    void (*done)(void *user, tn_str reply);
    int (*wanted)(void *user);
    void *user;
};
void cache_run(struct cache *c, tn_str request, const struct cache_ask *ask);
/* JSON object: keys, bytes, limit, waiting, commands. */
void cache_status(const struct cache *c, struct buf *out);
