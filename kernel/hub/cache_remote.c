/* SPDX-License-Identifier: Apache-2.0 */
/* The cache on a Redis server: requests and replies pass through as they are. Commands of all scripts
 * share one pipelined connection; one that may wait at the server gets a connection of its own.
 * Connecting (names, AUTH, SELECT) happens on helper threads, everything else on the loop. */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/fd.h"
#include "kernel/base/list.h"
#include "kernel/base/log.h"
#include "kernel/hub/cache_int.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define CONNECT_S  3
#define ANSWER_NS  (30 * NS_PER_S) /* of a command that does not wait */
#define OPEN_MAX   64              /* connections for waiting commands */
#define QUEUE_MAX  10000           /* commands that wait for their answer */
#define BUFFER_MAX (256u << 20)

struct pending {
    struct list link;
    struct cache_ask ask;
    uint64_t since_ns;
};
struct conn {
    struct list link; /* in remote.conns */
    struct remote *remote;
    tn_watch *watch;
    int fd, dialed; /* -1: not yet; dialed is the helper thread's until it has posted */
    bool shared, dialing;
    char why[256]; /* the helper's */
    struct list pending;
    size_t npending;
    struct buf out, in;
    size_t sent;
};
struct remote {
    struct loop *loop;
    char *host, *user, *password;
    char port[8];
    int64_t database;
    struct list conns;
    size_t nconns;
    tn_timer *timer;
    uint64_t commands, failures;
    char why[256]; /* of the last failure */
};

/* ---- connecting, on a helper thread -------------------------------------------------------------------------- */

static int dial(const struct remote *r, char *why, size_t cap)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    int e = getaddrinfo(r->host, r->port, &hints, &list), fd = -1;
    snprintf(why, cap, "%s", e != 0 ? gai_strerror(e) : "no address");
    for (const struct addrinfo *a = list; e == 0 && a != NULL && fd < 0; a = a->ai_next) {
        const struct timeval limit = {.tv_sec = CONNECT_S};
        fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        if (fd < 0) {
            continue;
        }
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit); /* bounds connect() too */
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        if (connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
            snprintf(why, cap, "%s", errno == EINPROGRESS ? "no answer" : strerror(errno));
            fd_close(&fd);
        }
    }
    if (list != NULL) {
        freeaddrinfo(list);
    }
    return fd;
}

static void add_bulk(struct buf *b, const char *s)
{
    buf_printf(b, "$%zu\r\n%s\r\n", strlen(s), s);
}

/* AUTH and SELECT; each must answer +OK. */
static int greet(const struct remote *r, int fd, char *why, size_t cap)
{
    struct buf out = BUF_INIT(0);
    char number[24], in[512];
    int wanted = 1, rc = -1;
    size_t n = 0;
    if (r->password[0] != '\0') {
        buf_printf(&out, "*%d\r\n$4\r\nAUTH\r\n", r->user[0] != '\0' ? 3 : 2);
        if (r->user[0] != '\0') {
            add_bulk(&out, r->user);
        }
        add_bulk(&out, r->password);
        wanted++;
    }
    snprintf(number, sizeof number, "%lld", (long long)r->database);
    buf_adds(&out, "*2\r\n$6\r\nSELECT\r\n");
    add_bulk(&out, number);
    if (out.failed || fd_write_all(fd, out.data, out.len) != 0) {
        snprintf(why, cap, "%s", strerror(errno));
        goto done;
    }
    while (wanted > 0 && n < sizeof in - 1) {
        ssize_t got = recv(fd, in + n, sizeof in - 1 - n, 0);
        if (got <= 0) {
            snprintf(why, cap, "%s", got == 0 ? "it closed the connection" : "no answer");
            goto done;
        }
        n += (size_t)got;
        in[n] = '\0';
        for (char *nl; wanted > 0 && (nl = strstr(in, "\r\n")) != NULL; wanted--) {
            *nl = '\0';
            if (in[0] != '+') {
                snprintf(why, cap, "%.200s", in);
                goto done;
            }
            n -= (size_t)(nl + 2 - in);
            memmove(in, nl + 2, n + 1);
        }
    }
    rc = wanted == 0 ? 0 : -1;
done:
    buf_finish(&out);
    return rc;
}

static void connected(void *user);

static void connect_run(void *user)
{
    struct conn *c = user;
    c->dialed = dial(c->remote, c->why, sizeof c->why);
    if (c->dialed >= 0 && (greet(c->remote, c->dialed, c->why, sizeof c->why) != 0 ||
                           fd_nonblock(c->dialed, 1) != 0)) {
        fd_close(&c->dialed);
    }
    loop_post(c->remote->loop, connected, c);
}

/* ---- connections, on the loop ---------------------------------------------------------------------------------- */

static void conn_free(struct conn *c)
{
    list_del(&c->link);
    c->remote->nconns--;
    fd_close(&c->fd);
    fd_close(&c->dialed);
    buf_finish(&c->out);
    buf_finish(&c->in);
    free(c);
}

/* Tells everybody why; what is still being dialed stays until the helper thread is done with it. */
static void conn_fail(struct conn *c, const char *why)
{
    struct remote *r = c->remote;
    struct buf text = BUF_INIT(1024);
    snprintf(r->why, sizeof r->why, "%s", why);
    buf_printf(&text, "-UNAVAIL the Redis server of the cache at %s:%s: %s\r\n", r->host, r->port,
               why);
    if (c->watch != NULL) {
        loop_unwatch(r->loop, c->watch);
        c->watch = NULL;
    }
    r->failures += c->npending > 0;
    while (!list_empty(&c->pending)) {
        struct pending *p = list_entry(c->pending.next, struct pending, link);
        list_del(&p->link);
        c->npending--;
        p->ask.done(p->ask.user, buf_str(&text));
        free(p);
    }
    buf_finish(&text);
    if (!c->dialing) {
        conn_free(c);
    }
}

static void flush(struct conn *c)
{
    while (c->sent < c->out.len) {
        ssize_t n = send(c->fd, c->out.data + c->sent, c->out.len - c->sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            break; /* EAGAIN, or an error that the next read reports too */
        }
        c->sent += (size_t)n;
    }
    if (c->sent == c->out.len) {
        buf_clear(&c->out);
        c->sent = 0;
    }
    loop_watch_change(c->remote->loop, c->watch, EPOLLIN | (c->out.len > 0 ? EPOLLOUT : 0));
}

/* Answers with every complete reply; -1: the server speaks something else. */
static int take_replies(struct conn *c)
{
    size_t at = 0;
    while (at < c->in.len) {
        tn_str rest = {c->in.data + at, c->in.len - at};
        size_t n = resp_reply_size(rest);
        if (n == SIZE_MAX || (n > 0 && list_empty(&c->pending))) {
            return -1;
        }
        if (n == 0) {
            break;
        }
        struct pending *p = list_entry(c->pending.next, struct pending, link);
        list_del(&p->link);
        c->npending--;
        p->ask.done(p->ask.user, (tn_str){rest.s, n});
        free(p);
        at += n;
    }
    memmove(c->in.data, c->in.data + at, c->in.len - at);
    c->in.len -= at;
    return 0;
}

static void on_event(void *user, uint32_t events)
{
    struct conn *c = user;
    char chunk[65536];
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
        ssize_t n = recv(c->fd, chunk, sizeof chunk, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            conn_fail(c, n == 0 ? "the connection was closed; commands under way may have been done"
                                : strerror(errno));
            return;
        }
        if (n > 0 && (buf_add(&c->in, chunk, (size_t)n) != 0 || take_replies(c) != 0)) {
            conn_fail(c, c->in.failed ? "its answer is too large" : "it does not speak RESP");
            return;
        }
    }
    if ((events & EPOLLOUT) != 0) {
        flush(c);
    }
}

static void connected(void *user)
{
    struct conn *c = user;
    struct remote *r = c->remote;
    tn_err err = TN_ERR_INIT;
    c->dialing = false;
    if (c->dialed < 0) {
        log_warn("cache: no connection to Redis at %s:%s: %s", r->host, r->port, c->why);
        conn_fail(c, c->why);
        return;
    }
    c->fd = c->dialed;
    c->dialed = -1;
    if (loop_watch(r->loop, c->fd, EPOLLIN, on_event, c, &c->watch, &err) != TN_OK) {
        c->watch = NULL;
        conn_fail(c, err.msg);
        return;
    }
    flush(c);
}

static struct conn *conn_open(struct remote *r, bool shared, tn_err *err)
{
    struct conn *c = calloc(1, sizeof *c);
    if (c == NULL) {
        err_set(err, TN_E_NOMEM, "no memory for a connection");
        return NULL;
    }
    *c = (struct conn){.remote = r, .fd = -1, .dialed = -1, .shared = shared, .dialing = true};
    buf_init(&c->out, BUFFER_MAX);
    buf_init(&c->in, BUFFER_MAX);
    list_init(&c->pending);
    if (loop_defer(r->loop, connect_run, c, err) != TN_OK) {
        free(c);
        return NULL;
    }
    list_push_back(&r->conns, &c->link);
    r->nconns++;
    return c;
}

/* The connection for a command: the shared one, or for one that waits an idle other one. */
static struct conn *conn_for(struct remote *r, bool blocking, tn_err *err)
{
    list_for_each(it, &r->conns) {
        struct conn *c = list_entry(it, struct conn, link);
        if (c->shared == !blocking && (!blocking || c->npending == 0)) {
            return c;
        }
    }
    if (r->nconns >= OPEN_MAX) {
        err_set(err, TN_E_LIMIT, "%d connections are open already", OPEN_MAX);
        return NULL;
    }
    return conn_open(r, !blocking, err);
}

void remote_run(struct remote *r, tn_str request, bool blocking, const struct cache_ask *ask)
{
    tn_err err = TN_ERR_INIT;
    struct conn *c = conn_for(r, blocking, &err);
    struct pending *p = c != NULL && c->npending < QUEUE_MAX ? malloc(sizeof *p) : NULL;
    size_t before = c != NULL ? c->out.len : 0;
    if (p != NULL && buf_addstr(&c->out, request) != 0) {
        c->out.len = before;
        c->out.failed = 0;
        free(p);
        p = NULL;
    }
    if (p == NULL) {
        struct buf text = BUF_INIT(1024);
        buf_printf(&text, "-UNAVAIL the Redis server of the cache at %s:%s: %s\r\n", r->host,
                   r->port, c == NULL ? err.msg : "too many commands wait for it");
        ask->done(ask->user, buf_str(&text));
        buf_finish(&text);
        return;
    }
    r->commands++;
    *p = (struct pending){.ask = *ask, .since_ns = blocking ? UINT64_MAX : clock_mono_ns()};
    list_push_back(&c->pending, &p->link);
    c->npending++;
    if (c->fd >= 0 && before == 0) {
        flush(c);
    }
}

/* A server that hangs is left, so that scripts hear of it. */
static void on_timer(void *user)
{
    struct remote *r = user;
    uint64_t now = clock_mono_ns();
    list_for_each_safe(it, &r->conns) {
        struct conn *c = list_entry(it, struct conn, link);
        const struct pending *p = list_empty(&c->pending)
                                      ? NULL
                                      : list_entry(c->pending.next, struct pending, link);
        if (c->fd >= 0 && p != NULL && p->since_ns < now && now - p->since_ns > ANSWER_NS) {
            conn_fail(c, "no answer for 30 seconds");
        }
    }
    loop_timer_set(r->loop, r->timer, now + NS_PER_S);
}

tn_rc remote_create(struct loop *l, const struct cache_conf *conf, struct remote **ret, tn_err *err)
{
    struct remote *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return err_set(err, TN_E_NOMEM, "no memory for the cache");
    }
    r->loop = l;
    list_init(&r->conns);
    r->host = str_dup(str_of(conf->host));
    r->user = str_dup(str_of(conf->user ? conf->user : ""));
    r->password = str_dup(str_of(conf->password ? conf->password : ""));
    r->database = conf->database;
    snprintf(r->port, sizeof r->port, "%u", conf->port);
    tn_rc rc = r->host && r->user && r->password
                   ? loop_timer(l, on_timer, r, &r->timer, err)
                   : err_set(err, TN_E_NOMEM, "no memory for the cache");
    if (rc != TN_OK) {
        remote_stop(r);
        remote_destroy(r);
        return rc;
    }
    loop_timer_set(l, r->timer, clock_mono_ns() + NS_PER_S);
    *ret = r;
    return TN_OK;
}

void remote_stop(struct remote *r)
{
    if (r == NULL) {
        return;
    }
    list_for_each_safe(it, &r->conns) {
        conn_fail(list_entry(it, struct conn, link), "the platform is stopping");
    }
    if (r->timer != NULL) {
        loop_timer_free(r->loop, r->timer);
        r->timer = NULL;
    }
}

void remote_destroy(struct remote *r)
{
    if (r == NULL) {
        return;
    }
    while (!list_empty(&r->conns)) {
        conn_free(list_entry(r->conns.next, struct conn, link));
    }
    free(r->host);
    free(r->user);
    free(r->password);
    free(r);
}

void remote_status(const struct remote *r, struct buf *out)
{
    size_t waiting = 0;
    list_for_each(it, &r->conns) {
        waiting += list_entry(it, struct conn, link)->npending;
    }
    buf_printf(out, "{\"type\":\"redis\",\"connections\":%zu,\"waiting\":%zu,\"commands\":%llu,",
               r->nconns, waiting, (unsigned long long)r->commands);
    buf_printf(out, "\"failures\":%llu,\"lastFailure\":", (unsigned long long)r->failures);
    buf_quote(out, str_of(r->why));
    buf_addc(out, '}');
}
