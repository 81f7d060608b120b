/* SPDX-License-Identifier: Apache-2.0 */
/* One connection: what the socket says, requests one after the other, and an end that the client
 * notices.
 *
 * A connection is watched once, edge-triggered, and never touched by epoll_ctl(2) again: what it may
 * still have to say is remembered in c->readable. While a request is with the kernel nothing is read, so
 * a client can be ahead by one receive buffer and what the socket holds. */
#include "plugins/frontend_h1/h1.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <unistd.h>

#define STEPS_MAX 64 /* in a row, then others come first */

static void on_event(void *user, uint32_t events);

struct conn *conn_create(struct server *s, int fd, const struct sockaddr *addr)
{
    struct conn *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return NULL;
    }
    c->server = s;
    c->fd = fd;
    if (fe_host->loop->watch(fe_host->ctx, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, on_event,
                             c, &c->watch, NULL) != TN_OK) {
        free(c);
        return NULL;
    }
    if (addr->sa_family == AF_INET || addr->sa_family == AF_INET6) {
        memcpy(c->addr, addr,
               addr->sa_family == AF_INET ? sizeof(struct sockaddr_in)
                                          : sizeof(struct sockaddr_in6));
        c->peer_n = (uint8_t)peers_text(addr, c->peer);
        c->counted = peers_enter(s->peers, addr);
        c->trusted = peers_trusted(s->peers, addr);
    }
    c->prev = s->conns.prev;
    c->next = &s->conns;
    c->prev->next = c->next->prev = c;
    s->nconns++;
    conn_phase(c, PHASE_NEW);
    return c;
}

void conn_phase(struct conn *c, enum phase phase)
{
    c->phase = (uint8_t)phase;
    c->phase_ns = server_now(c->server);
}

void conn_close(struct conn *c)
{
    struct server *s = c->server;
    struct exchange *ex = c->ex;
    if (c->dead) {
        return;
    }
    c->dead = true;
    c->ex = NULL;
    fe_host->loop->unwatch(fe_host->ctx, c->watch);
    close(c->fd);
    if (c->counted) {
        peers_leave(s->peers, (const struct sockaddr *)c->addr);
    }
    c->prev->next = c->next;
    c->next->prev = c->prev;
    c->next = s->graves;
    s->graves = c;
    s->nconns--;
    server_resume(s);
    if (ex != NULL) {
        exchange_abort(ex);
    }
}

/* Closing a socket that has unread bytes resets the connection, and the answer may be lost on the
 * way: so only our side is closed until the client has closed its own (RFC 9112 section 9.6). */
void conn_finish(struct conn *c, bool more)
{
    if ((!more && !c->readable) || shutdown(c->fd, SHUT_WR) != 0) {
        conn_close(c);
    } else {
        c->readable = true;
        conn_phase(c, PHASE_LINGER);
    }
}

void conn_next(struct conn *c)
{
    struct exchange *old = c->ex, *ex = NULL;
    size_t n = old->n - old->used;
    c->ex = NULL;
    conn_phase(c, n > 0 ? PHASE_HEAD : PHASE_IDLE);
    if (n == 0) {
        return;
    }
    ex = exchange_get(c);
    if (ex == NULL || !exchange_adopt(ex, old->mem + old->used, n)) {
        if (ex != NULL) {
            exchange_free(ex);
        }
        conn_close(c);
        return;
    }
    c->ex = ex;
}

void conn_later(struct conn *c)
{
    struct server *s = c->server;
    if (c->running || c->ready || c->dead || !(c->readable || c->ended || c->ex != NULL)) {
        return;
    }
    c->ready = true;
    c->next_ready = NULL;
    *s->ready_end = c;
    s->ready_end = &c->next_ready;
}

/* Throws away what the client still sends. false: nothing more is there. */
static bool drop(struct conn *c)
{
    ssize_t n = recv(c->fd, c->server->in, SERVER_IN, 0);
    if (n > 0) {
        c->dropped += (uint64_t)n;
        c->readable = n == SERVER_IN || c->ended;
        if (c->dropped > (uint64_t)c->server->conf->drain_body.n) {
            conn_close(c);
        }
        return c->readable;
    }
    if (n < 0 && errno == EINTR) {
        return true;
    }
    if (n < 0 && errno == EAGAIN) {
        c->readable = false;
    } else {
        conn_close(c);
    }
    return false;
}

/* One recv(2). false: nothing came, or nothing may be read now. */
static bool receive(struct conn *c)
{
    bool fresh = c->ex == NULL;
    if (fresh) {
        c->ex = exchange_get(c);
        if (c->ex == NULL) {
            conn_close(c);
            return false;
        }
    }
    struct exchange *ex = c->ex;
    char *p;
    size_t room = request_room(ex, &p);
    if (room == 0) {
        return false;
    }
    ssize_t n = recv(c->fd, p, room, 0);
    if (n > 0) {
        c->readable = (size_t)n == room || c->ended;
        request_received(ex, p, (size_t)n);
        return true;
    }
    if (n < 0 && errno == EINTR) {
        return true;
    }
    if (n < 0 && errno == EAGAIN) {
        c->readable = false;
        if (fresh) {
            c->ex = NULL;
            exchange_free(ex);
        }
    } else {
        conn_close(c); /* between two requests, or in the middle of one that cannot be answered */
    }
    return false;
}

void conn_run(struct conn *c)
{
    c->running = true;
    for (unsigned steps = 0; !c->dead; steps++) {
        bool more;
        if (c->phase == PHASE_LINGER) {
            more = drop(c);
        } else {
            if (c->ex != NULL && stream_over(c->ex)) {
                exchange_sent(c->ex);
            }
            more = (c->ex != NULL && request_step(c->ex)) ||
                   (!c->dead && (c->readable || c->ended) && receive(c));
        }
        if (!more) {
            break;
        }
        if (steps == STEPS_MAX) {
            c->running = false;
            conn_later(c);
            break;
        }
    }
    c->running = false;
}

/* The socket takes more of an answer. */
static void writable(struct exchange *ex)
{
    if (ex->stream != NULL) {
        stream_flush(ex);
    } else if (ex->rest != NULL) {
        enum sent how = send_more(ex);
        if (how == SEND_ALL) {
            exchange_sent(ex);
        } else if (how == SEND_FAILED) {
            conn_close(ex->conn);
        }
    }
}

static void on_event(void *user, uint32_t events)
{
    struct conn *c = user;
    if ((events & EPOLLERR) ||
        ((events & EPOLLHUP) && c->phase >= PHASE_CALL && c->phase <= PHASE_STREAM)) {
        fe_host->count(fe_host->ctx, "http_clients_gone", 1);
        conn_close(c);
        return;
    }
    c->readable = c->readable || (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP));
    c->ended = c->ended || (events & (EPOLLRDHUP | EPOLLHUP));
    if ((events & EPOLLOUT) && c->ex != NULL) {
        c->running = true;
        writable(c->ex);
        c->running = false;
    }
    if (!c->dead) {
        conn_run(c);
    }
}
