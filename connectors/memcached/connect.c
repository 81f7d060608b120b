/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: one to each server of the list, made when they are needed and again when they broke while idle. */
#include "memcached.h"

#include <stdio.h>
#include <stdlib.h>

#define KEPT_BYTES (1u << 20) /* of a buffer, from one call to the next */

/* The first connection reads the list and the certificates; the others use what it made. */
static tn_rc prepare(struct mc *inst, tn_err *err)
{
    const struct mc_conf *conf = inst->conf;
    tn_rc rc = TN_OK;
    pthread_mutex_lock(&inst->lock);
    if (!inst->made) {
        rc = mc_ring_init(&inst->ring, conf->servers, strcmp(conf->distribution, "ketama") == 0,
                          err);
        if (rc == TN_OK) {
            rc = stream_tls_init(mc_host, conf->tls, conf->tls_ca, conf->tls_cert, conf->tls_key.s,
                                 &inst->tls, err);
            if (rc != TN_OK) {
                mc_ring_finish(&inst->ring);
            }
        }
        inst->made = rc == TN_OK;
    }
    pthread_mutex_unlock(&inst->lock);
    return rc;
}

/* ---- one server -------------------------------------------------------------------------------------- */

/* What cancel() ends; -1: nothing. */
static void show(struct mc_conn *c, int fd)
{
    pthread_mutex_lock(&c->fd_lock);
    c->fd = fd;
    pthread_mutex_unlock(&c->fd_lock);
}

void mc_idle(struct mc_conn *c)
{
    show(c, -1);
}

static void shut(struct mc_conn *c, struct mc_node *node, bool polite)
{
    if (node->up) {
        show(c, -1);
        stream_close(&node->stream, polite);
        node->up = false;
    }
    free(node->in);
    node->in = NULL;
    node->at = node->n = node->cap = 0;
}

/* A server that wants a password says so to the first command; only then it is sent, because it would be stored as a value
 * by a server that wants none. */
static tn_rc sign_in(struct mc *inst, struct mc_node *node, uint64_t deadline_ns, tn_err *err)
{
    const struct mc_conf *conf = inst->conf;
    const char *user = conf->user != NULL ? conf->user : "";
    const char *password = conf->password.s != NULL ? conf->password.s : "";
    struct message_buf b = {NULL, 0, 0, false};
    tn_str line = {NULL, 0};
    message_puts(&b, "version\r\n");
    tn_rc rc = mc_send(node, &b, deadline_ns, err);
    rc = rc == TN_OK ? mc_line(node, deadline_ns, &line, err) : rc;
    if (rc != TN_OK || mc_begins(line, "VERSION ")) {
        bool idle = rc == TN_OK && (user[0] != '\0' || password[0] != '\0');
        free(b.s);
        return idle ? mc_host->fail(err, TN_E_CONFIG,
                                    "sign-in: the server wants no password; leave user and "
                                    "password empty, or start it with -Y")
                    : rc;
    }
    if (!mc_begins(line, "CLIENT_ERROR unauthenticated")) {
        free(b.s);
        return mc_unexpected(line, err);
    }
    if (password[0] == '\0') {
        free(b.s);
        return mc_host->fail(err, TN_E_DENIED,
                             "sign-in: the server asks for a password and none is configured");
    }
    b.n = 0;
    message_puts(&b, "set auth 0 0 ");
    message_put_int(&b, (int64_t)(strlen(user) + 1 + strlen(password)));
    message_puts(&b, "\r\n");
    message_puts(&b, user);
    message_puts(&b, " ");
    message_puts(&b, password);
    message_puts(&b, "\r\n");
    rc = mc_send(node, &b, deadline_ns, err);
    rc = rc == TN_OK ? mc_line(node, deadline_ns, &line, err) : rc;
    if (b.s != NULL) {
        explicit_bzero(b.s, b.n);
    }
    free(b.s);
    if (rc == TN_OK && !mc_is(line, "STORED")) {
        rc = mc_begins(line, "CLIENT_ERROR")
                 ? mc_host->fail(err, TN_E_DENIED, "sign-in: %.*s; check user and password",
                                 (int)(line.n < 100 ? line.n : 100), line.s)
                 : mc_unexpected(line, err);
    }
    return rc;
}

/* Connects to server i; a failure is remembered, so that the next operations need not wait for it as well. */
static tn_rc node_connect(struct mc_conn *c, uint32_t i, uint64_t deadline_ns, tn_err *err)
{
    struct mc *inst = c->inst;
    const struct mc_server *server = &inst->ring.server[i];
    struct mc_node *node = &c->node[i];
    tn_err own = TN_ERR_INIT;
    shut(c, node, false);
    node->max = (size_t)inst->conf->max_result.n;
    tn_rc rc = stream_open(&node->stream, mc_host, &inst->tls, server->host, server->port,
                           deadline_ns, &own);
    node->up = rc == TN_OK;
    rc = rc == TN_OK ? sign_in(inst, node, deadline_ns, &own) : rc;
    if (rc == TN_OK) {
        return TN_OK;
    }
    shut(c, node, false);
    node->down_until_ns = mc_host->now_ns() + (uint64_t)inst->conf->retry_after.ms * 1000000u;
    node->why_rc = rc;
    snprintf(node->why, sizeof node->why, "%.150s", own.msg);
    mc_host->fail(err, rc, "%s%s%.400s", c->inst->ring.n > 1 ? server->host : "",
                  c->inst->ring.n > 1 ? ": " : "", own.msg);
    if (err != NULL) {
        err->flags |= own.flags & ~TN_ERR_CONN_BROKEN;
    }
    return rc;
}

static uint64_t sooner(const struct mc_conn *c, uint64_t deadline_ns, uint32_t shares)
{
    uint64_t now = mc_host->now_ns();
    uint64_t at = now + (uint64_t)c->inst->conf->connect_timeout.ms * 1000000u;
    if (deadline_ns == 0) {
        return at;
    }
    uint64_t share = deadline_ns > now ? now + (deadline_ns - now) / shares : now;
    return at < share ? at : share;
}

/* What is left of a reply is nobody's: it must not be taken for the next one. */
tn_rc mc_node_ready(struct mc_conn *c, uint32_t i, uint64_t deadline_ns, struct mc_node **ret,
                    tn_err *err)
{
    struct mc_node *node = &c->node[i];
    tn_rc rc = TN_OK;
    if (node->up && (node->at != node->n || (c->fresh && stream_stale(&node->stream)))) {
        shut(c, node, false);
    }
    if (!node->up && c->inst->ring.n > 1 && mc_host->now_ns() < node->down_until_ns) {
        const struct mc_server *server = &c->inst->ring.server[i];
        return mc_host->fail(err, node->why_rc, "%.200s port %u has failed a moment ago: %s",
                             server->host, server->port, node->why);
    }
    if (!node->up) {
        rc = node_connect(c, i, sooner(c, deadline_ns, 1), err);
        if (rc != TN_OK && c->inst->ring.n == 1) {
            mc_broken(rc, err); /* the pool opens another one */
        }
    }
    if (rc == TN_OK && atomic_load(&c->canceled)) {
        rc = mc_host->fail(err, TN_E_CANCELED, "the command was told to stop");
    }
    if (rc == TN_OK) {
        show(c, node->stream.fd);
        *ret = node;
    }
    return rc;
}

tn_rc mc_node_for(struct mc_conn *c, tn_str key, uint64_t deadline_ns, uint32_t *ret, tn_err *err)
{
    const struct mc_ring *ring = &c->inst->ring;
    uint32_t tries = c->inst->conf->failover ? ring->n : 1;
    tn_rc rc = TN_OK;
    for (uint32_t attempt = 0; attempt < tries; attempt++) {
        struct mc_node *node;
        uint32_t i = mc_ring_pick(ring, key.s, key.n, attempt);
        rc = mc_node_ready(c, i, deadline_ns, &node, err);
        if (rc == TN_OK) {
            *ret = i;
            return TN_OK;
        }
    }
    return rc;
}

tn_rc mc_node_judge(struct mc_conn *c, struct mc_node *node, tn_rc rc, const tn_err *err)
{
    if (rc != TN_OK && err->flags & TN_ERR_CONN_BROKEN) {
        shut(c, node, false);
    }
    return rc;
}

/* ---- the contract's functions ------------------------------------------------------------------------ */

static void drop(struct mc_conn *c, bool polite)
{
    for (uint32_t i = 0; c->node != NULL && i < c->inst->ring.n; i++) {
        shut(c, &c->node[i], polite);
    }
    free(c->node);
    free(c->out.s);
    pthread_mutex_destroy(&c->fd_lock);
    free(c);
}

/* Good when one server answers: keys of the others are errors, or move, and they are tried again later. */
tn_rc mc_open(void *inst, uint64_t deadline_ns, void **ret_conn, tn_err *err)
{
    struct mc *mc = inst;
    tn_rc rc = prepare(mc, err);
    struct mc_conn *c = rc == TN_OK ? calloc(1, sizeof *c) : NULL;
    if (rc != TN_OK || c == NULL) {
        return rc != TN_OK ? rc : mc_host->fail(err, TN_E_NOMEM, "no memory for a connection");
    }
    c->inst = mc;
    c->fd = -1;
    pthread_mutex_init(&c->fd_lock, NULL);
    c->node = calloc(mc->ring.n, sizeof *c->node);
    if (c->node == NULL) {
        rc = mc_host->fail(err, TN_E_NOMEM, "no memory for a connection");
    }
    bool any = false;
    for (uint32_t i = 0; c->node != NULL && i < mc->ring.n; i++) {
        tn_rc one = node_connect(c, i, sooner(c, deadline_ns, mc->ring.n - i), any ? NULL : err);
        any |= one == TN_OK;
        rc = any ? TN_OK : one;
    }
    if (rc != TN_OK) {
        drop(c, false);
        return rc;
    }
    c->fresh = true;
    *ret_conn = c;
    return TN_OK;
}

/* Every server says its version. */
tn_rc mc_check(void *inst, void *conn, uint64_t deadline_ns, tn_err *err)
{
    struct mc_conn *c = conn;
    tn_rc rc = TN_OK;
    (void)inst;
    for (uint32_t i = 0; rc == TN_OK && i < c->inst->ring.n; i++) {
        struct mc_node *node = NULL;
        tn_err own = TN_ERR_INIT;
        tn_str line;
        rc = mc_node_ready(c, i, deadline_ns, &node, err);
        if (rc != TN_OK) {
            break;
        }
        message_puts(mc_request(c), "version\r\n");
        rc = mc_send(node, &c->out, deadline_ns, &own);
        rc = rc == TN_OK ? mc_line(node, deadline_ns, &line, &own) : rc;
        rc = rc == TN_OK && !mc_begins(line, "VERSION ") ? mc_unexpected(line, &own) : rc;
        rc = mc_node_judge(c, node, rc, &own);
        if (rc != TN_OK && err != NULL) {
            *err = own;
        }
    }
    mc_idle(c);
    return rc;
}

/* The protocol knows no session. Memory that one large value needed is not kept for the next call. */
tn_rc mc_reset(void *inst, void *conn, tn_err *err)
{
    struct mc_conn *c = conn;
    (void)inst, (void)err;
    if (c->out.cap > KEPT_BYTES) {
        message_free(&c->out);
    }
    for (uint32_t i = 0; i < c->inst->ring.n; i++) {
        struct mc_node *node = &c->node[i];
        if (node->cap > KEPT_BYTES && node->at == node->n) {
            free(node->in);
            node->in = NULL;
            node->at = node->n = node->cap = 0;
        }
    }
    c->fresh = true;
    atomic_store(&c->canceled, false);
    return TN_OK;
}

void mc_close(void *inst, void *conn, uint32_t why)
{
    (void)inst;
    drop(conn, why == TN_CLOSE_NORMAL);
}

void mc_cancel(void *inst, void *conn)
{
    struct mc_conn *c = conn;
    (void)inst;
    if (atomic_load(&c->working)) { /* a late one must not end a healthy connection */
        atomic_store(&c->canceled, true);
        pthread_mutex_lock(&c->fd_lock);
        if (c->fd >= 0) {
            struct stream s = {.fd = c->fd};
            stream_interrupt(&s);
        }
        pthread_mutex_unlock(&c->fd_lock);
    }
}
