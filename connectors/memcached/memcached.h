/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the memcached connector share. */
#pragma once
#include "common/message.h"
#include "common/stream.h"
#include "common/tape.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <tenon/tenon.h>

#define MC_SERVERS_MAX 64
#define MC_KEY_MAX     250 /* of the protocol */

struct mc_conf {
    const char *servers, *user, *distribution, *tls, *tls_ca, *tls_cert;
    tn_secret password, tls_key;
    bool failover;
    tn_dur connect_timeout, retry_after;
    tn_bytes max_result;
};

/* ---- ring.c: which server has a key ---- */
struct mc_server {
    char host[256];
    uint16_t port;
    uint32_t weight;
};
struct mc_point {
    uint32_t at, server;
};
struct mc_ring {
    struct mc_server server[MC_SERVERS_MAX];
    uint32_t n, npoints;
    struct mc_point *points; /* ketama: sorted; modulo: a bucket for each unit of weight */
    bool ketama;
};
/* servers: "host:port:weight, …"; port 11211, weight 1. TN_E_CONFIG names what is wrong. */
tn_rc mc_ring_init(struct mc_ring *r, const char *servers, bool ketama, tn_err *err);
void mc_ring_finish(struct mc_ring *r);
/* The server of a key; attempt 1, 2, … : where it goes when the ones before are out of order. */
uint32_t mc_ring_pick(const struct mc_ring *r, const char *key, size_t n, uint32_t attempt);

struct mc { /* an instance */
    const struct mc_conf *conf;
    pthread_mutex_t lock;
    struct mc_ring ring;
    struct stream_tls tls;
    bool made; /* ring and tls, by the first connection */
};

/* ---- wire.c: lines and blocks ---- */

struct mc_node { /* the connection to one server */
    struct stream stream;
    bool up;
    uint64_t down_until_ns; /* not tried again before */
    char why[160];          /* why it is down */
    tn_rc why_rc;
    char *in; /* what was read: [at, n) is not used yet */
    size_t at, n, cap;
    size_t max; /* most bytes of one value */
};
tn_rc mc_send(struct mc_node *node, const struct message_buf *b, uint64_t deadline_ns, tn_err *err);
/* A line without its end, or n bytes of a value with their end; borrowed until the next one. */
tn_rc mc_line(struct mc_node *node, uint64_t deadline_ns, tn_str *ret, tn_err *err);
tn_rc mc_block(struct mc_node *node, size_t n, uint64_t deadline_ns, const char **ret, tn_err *err);
/* "VALUE key flags bytes [token]": the parts. False: it is none. */
struct mc_head {
    tn_str key;
    uint32_t flags;
    size_t bytes;
    uint64_t token;
};
bool mc_head(tn_str line, struct mc_head *ret);
/* A line that is no answer to what was asked: an error of the server by its class, or another protocol. */
tn_rc mc_unexpected(tn_str line, tn_err *err);
static inline bool mc_is(tn_str line, const char *text)
{
    return line.n == strlen(text) && memcmp(line.s, text, line.n) == 0;
}
static inline bool mc_begins(tn_str line, const char *text)
{
    return line.n >= strlen(text) && memcmp(line.s, text, strlen(text)) == 0;
}
tn_rc mc_broken(tn_rc rc, tn_err *err); /* marks the error: the connection is not used again */

/* ---- value.c: values of scripts as flags and bytes, as python-memcached has them ---- */
tn_rc mc_encode(const tn_val *v, int64_t min_compress, struct message_buf *ret, uint32_t *ret_flags,
                tn_err *err);
tn_rc mc_decode(uint32_t flags, const char *s, size_t n, size_t max, struct tape *out, tn_err *err);

/* ---- connect.c ---- */
struct mc_conn {
    struct mc *inst;
    struct mc_node *node; /* one for each server */
    struct message_buf out;
    bool fresh;                    /* nothing was sent since the connection was given out */
    atomic_bool working, canceled; /* an invoke() runs; somebody wants it to end */
    pthread_mutex_t fd_lock;
    int fd; /* what cancel() ends; -1: none */
};
/* The buffer of requests, empty. */
static inline struct message_buf *mc_request(struct mc_conn *c)
{
    c->out.n = 0;
    c->out.failed = false;
    return &c->out;
}
tn_rc mc_open(void *inst, uint64_t deadline_ns, void **ret_conn, tn_err *err);
tn_rc mc_check(void *inst, void *conn, uint64_t deadline_ns, tn_err *err);
tn_rc mc_reset(void *inst, void *conn, tn_err *err);
void mc_close(void *inst, void *conn, uint32_t why);
void mc_cancel(void *inst, void *conn);
void mc_idle(struct mc_conn *c); /* nothing is left that cancel() may end */
/* Server i, connected; a connection that died while it was idle is made again. */
tn_rc mc_node_ready(struct mc_conn *c, uint32_t i, uint64_t deadline_ns, struct mc_node **ret,
                    tn_err *err);
/* The server that has the key, with failover when that is wanted. */
tn_rc mc_node_for(struct mc_conn *c, tn_str key, uint64_t deadline_ns, uint32_t *ret, tn_err *err);
/* After an error: a node whose connection is broken is closed. Returns rc. */
tn_rc mc_node_judge(struct mc_conn *c, struct mc_node *node, tn_rc rc, const tn_err *err);

/* ---- methods: args are complete, absent ones None ---- */
struct mc_call {
    struct mc_conn *c;
    const tn_val *a;
    const char *verb; /* word of the protocol */
    uint64_t deadline_ns;
    struct tape *out;
    tn_err *err;
};
typedef tn_rc mc_method(struct mc_call *k);
mc_method mc_get, mc_gat, mc_get_multi, mc_store, mc_cas, mc_delete, mc_count, mc_touch,
    mc_set_multi, mc_delete_multi, mc_stats, mc_flush, mc_version, mc_meta;
/* args.c: a key by the rules of the protocol; a number (also as text); prefix + key into ret (MC_KEY_MAX bytes). */
tn_rc mc_key(const tn_val *v, tn_str *ret, tn_err *err);
tn_rc mc_key_with(const tn_val *prefix, const tn_val *v, char *room, tn_str *ret, tn_err *err);
tn_rc mc_number(const tn_val *v, const char *what, int64_t dflt, int64_t min, int64_t max,
                int64_t *ret, tn_err *err);

extern const tn_host *mc_host;
