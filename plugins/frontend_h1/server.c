/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets, the list of connections, and every time limit. */
#include "plugins/frontend_h1/h1.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define NS_PER_MS  1000000ULL
#define SWEEP_NS   (250 * NS_PER_MS)
#define GONE_NS    (1000 * NS_PER_MS) /* a call this long ends when its client stops sending */
#define LINGER_NS  (2000 * NS_PER_MS)
#define ACCEPT_MAX 64 /* in one turn of the loop */

uint64_t server_now(struct server *s)
{
    if (s->now_ns == 0) {
        s->now_ns = fe_host->now_ns();
        s->wall_us = fe_host->wall_us();
    }
    return s->now_ns;
}

/* ---- time --------------------------------------------------------------------------------------------- */

static uint64_t dur_ns(tn_dur d)
{
    return (uint64_t)d.ms * NS_PER_MS;
}

static bool body_too_slow(const struct conn *c, uint64_t age)
{
    const struct http_conf *conf = c->server->conf;
    uint64_t grace = dur_ns(conf->body_grace);
    if (age <= grace || c->ex == NULL) {
        return false;
    }
    const struct exchange *ex = c->ex;
    uint64_t got = ex->received + (ex->in_place ? ex->n - ex->used : 0);
    return got < (age - grace) / NS_PER_MS * (uint64_t)conf->body_rate.n / 1000;
}

static bool overdue(struct conn *c, uint64_t now)
{
    const struct http_conf *conf = c->server->conf;
    uint64_t age = now > c->phase_ns ? now - c->phase_ns : 0;
    switch (c->phase) {
    case PHASE_NEW:
    case PHASE_HEAD:
        return age > dur_ns(conf->header_timeout);
    case PHASE_IDLE:
        return age > dur_ns(conf->idle_timeout);
    case PHASE_BODY:
        return body_too_slow(c, age);
    case PHASE_SEND:
        return age > GONE_NS && !send_progress(c->ex, now, dur_ns(conf->send_timeout));
    case PHASE_LINGER:
        return age > LINGER_NS;
    default:
        return age > GONE_NS && c->ended;
    }
}

static void sweep(void *user)
{
    struct server *s = user;
    s->now_ns = 0; /* the turn may have been long */
    uint64_t now = server_now(s);
    if (s->paused) {
        server_resume(s);
    }
    for (struct conn *c = s->conns.next, *next; c != &s->conns; c = next) {
        next = c->next;
        if (overdue(c, now)) {
            fe_host->count(fe_host->ctx,
                           c->phase == PHASE_CALL ? "http_clients_gone" : "http_timeouts", 1);
            conn_close(c);
        }
    }
    s->sweeping = s->nconns > 0 || s->paused;
    if (s->sweeping) {
        fe_host->loop->timer_set(fe_host->ctx, s->sweep, now + SWEEP_NS);
    }
}

static void sweep_later(struct server *s)
{
    if (!s->sweeping) {
        s->sweeping = true;
        fe_host->loop->timer_set(fe_host->ctx, s->sweep, server_now(s) + SWEEP_NS);
    }
}

/* ---- accepting ------------------------------------------------------------------------------------------ */

static void pause_accepting(struct server *s)
{
    s->paused = true;
    sweep_later(s);
    for (uint32_t i = 0; i < s->nlisteners; i++) {
        if (s->listeners[i].watch != NULL) {
            fe_host->loop->watch_change(fe_host->ctx, s->listeners[i].watch, 0);
        }
    }
}

void server_resume(struct server *s)
{
    if (!s->paused || s->draining) {
        return;
    }
    s->paused = false;
    for (uint32_t i = 0; i < s->nlisteners; i++) {
        if (s->listeners[i].watch != NULL) {
            fe_host->loop->watch_change(fe_host->ctx, s->listeners[i].watch, EPOLLIN);
        }
    }
}

static void accept_one(struct server *s, int fd, const struct sockaddr *addr)
{
    if (peers_full(s->peers, addr, (uint32_t)s->conf->max_per_ip)) {
        fe_host->count(fe_host->ctx, "http_refused_per_ip", 1);
        close(fd);
        return;
    }
    if (conn_create(s, fd, addr) == NULL) {
        close(fd);
        return;
    }
    sweep_later(s);
}

static void on_listener(void *user, uint32_t events)
{
    struct listener *l = user;
    struct server *s = l->server;
    (void)events;
    for (int i = 0; i < ACCEPT_MAX && l->watch != NULL; i++) {
        union {
            struct sockaddr sa;
            struct sockaddr_storage storage;
        } addr = {.sa = {.sa_family = AF_UNSPEC}};
        socklen_t n = sizeof addr;
        if (s->nconns >= s->limit) {
            pause_accepting(s);
            return;
        }
        int fd = accept4(l->fd, &addr.sa, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            accept_one(s, fd, &addr.sa);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            fe_host->log(fe_host->ctx, TN_LOG_ERROR, "http: cannot accept a connection: %s",
                         strerror(errno));
            pause_accepting(s);
            return;
        }
    }
}

/* ---- the loop ---------------------------------------------------------------------------------------------- */

static void bury(struct server *s)
{
    while (s->graves != NULL) {
        struct conn *c = s->graves;
        s->graves = c->next;
        free(c);
    }
}

/* Connections with work that no event announces, in the order in which they got it. */
static void run_ready(struct server *s)
{
    struct conn *c = s->ready;
    s->ready = NULL;
    s->ready_end = &s->ready;
    while (c != NULL) {
        struct conn *next = c->next_ready;
        c->ready = false;
        if (!c->dead) {
            conn_run(c);
        }
        c = next;
    }
}

static uint64_t prepare(void *user)
{
    struct server *s = user;
    if (s->stopped) {
        return UINT64_MAX;
    }
    if (s->ready != NULL) {
        run_ready(s);
    }
    if (s->ready == NULL && s->graves != NULL) {
        bury(s);
    }
    s->now_ns = 0; /* time passes while the loop sleeps */
    return s->ready != NULL ? 0 : UINT64_MAX;
}

void server_configure(struct server *s, const void *conf)
{
    s->conf = conf;
}

uint32_t server_active(const struct server *s)
{
    return s->nconns;
}

tn_rc server_start(struct server *s, const int32_t *fds, uint32_t n, tn_err *err)
{
    tn_rc rc = TN_E_NOMEM;
    s->conns.prev = s->conns.next = &s->conns;
    s->ready_end = &s->ready;
    s->limit = peers_connections(s->conf);
    s->listeners = calloc(n > 0 ? n : 1, sizeof *s->listeners);
    s->in = malloc(SERVER_IN);
    s->out = malloc(SEND_BUF);
    if (s->listeners == NULL || s->in == NULL || s->out == NULL) {
        fe_host->fail(err, TN_E_NOMEM, "no memory for %u listeners", n);
        goto undo;
    }
    s->peers = peers_create(peers_setting(fe_host, s->conf->trusted_proxies), err);
    if (s->peers == NULL) {
        rc = TN_E_CONFIG;
        goto undo;
    }
    signal(SIGPIPE, SIG_IGN); /* sendfile(2) cannot be told otherwise */
    rc = fe_host->loop->timer(fe_host->ctx, sweep, s, &s->sweep, err);
    for (uint32_t i = 0; rc == TN_OK && i < n; i++) {
        struct listener *l = &s->listeners[i];
        int one = 1;
        *l = (struct listener){.server = s, .fd = fds[i]};
        s->nlisteners = i + 1;
        /* accepted sockets inherit it: answers leave in one piece and need not wait for more */
        setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        rc = fe_host->loop->watch(fe_host->ctx, l->fd, EPOLLIN, on_listener, l, &l->watch, err);
    }
    if (rc == TN_OK) {
        rc = fe_host->loop->prepare(fe_host->ctx, prepare, s, err);
    }
    if (rc == TN_OK) {
        return TN_OK;
    }
undo:
    server_stop(s);
    return rc;
}

void server_drain(struct server *s)
{
    if (s->draining || s->stopped) {
        return;
    }
    s->draining = true;
    for (uint32_t i = 0; i < s->nlisteners; i++) {
        if (s->listeners[i].watch != NULL) {
            fe_host->loop->unwatch(fe_host->ctx, s->listeners[i].watch);
            s->listeners[i].watch = NULL;
        }
    }
    for (struct conn *c = s->conns.next, *next; c != &s->conns; c = next) {
        next = c->next;
        if (c->phase == PHASE_IDLE || c->phase == PHASE_NEW) {
            conn_close(c);
        } else if (c->ex != NULL && c->ex->stream != NULL) {
            stream_stop(c->ex); /* nobody knows when it would end; its client comes again */
        }
    }
}

void server_stop(struct server *s)
{
    if (s->stopped) {
        return;
    }
    if (s->conns.next != NULL) { /* else it was never started */
        server_drain(s);
        while (s->conns.next != &s->conns) {
            conn_close(s->conns.next);
        }
    }
    s->stopped = true;
    s->ready = NULL;
    bury(s);
    if (s->sweep != NULL) {
        fe_host->loop->timer_free(fe_host->ctx, s->sweep);
    }
    peers_destroy(s->peers);
    exchange_pool_free(s);
    free(s->listeners);
    free(s->in);
    free(s->out);
    s->listeners = NULL;
    s->nlisteners = 0;
    s->sweep = NULL;
    s->peers = NULL;
    s->in = s->out = NULL;
}
