/* SPDX-License-Identifier: Apache-2.0 */
/* libmicrohttpd daemons in the hub's event loop, their connections, and every time limit: the
 * library's own timeouts stay off because they are idle-based and know no phases. */
#include "fe.h"
#include <errno.h>
#include <linux/tcp.h> /* tcpi_bytes_acked is not in netinet/tcp.h */
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define NS_PER_MS       1000000ULL
#define SWEEP_NS        (250 * NS_PER_MS)
#define GONE_NS         (1000 * NS_PER_MS) /* calls longer than this look for clients that left */
#define PARK_MIN        16
#define PARK_MAX        1024
#define PARK_PER_ANSWER 32
#define PARK_LOOK_NS    (1 * NS_PER_MS)
#define IDLE_RUNS       8
/* MHD_ALLOW_SUSPEND_RESUME without MHD_USE_ITC: resuming happens on this thread, a wake-up
 * descriptor would only cost a system call for every answer. */
#define MHD_SUSPEND     ((unsigned)MHD_ALLOW_SUSPEND_RESUME & ~(unsigned)MHD_USE_ITC)

static void nodes_init(struct list_node *n)
{
    n->prev = n->next = n;
}

static void nodes_append(struct list_node *head, struct list_node *n)
{
    n->prev = head->prev;
    n->next = head;
    head->prev->next = n;
    head->prev = n;
}

static void nodes_remove(struct list_node *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    nodes_init(n);
}

void conn_phase(struct conn *c, enum phase phase)
{
    c->phase = (uint8_t)phase;
    c->phase_ns = fe_host->now_ns();
    c->peeked = false;
}

void conn_kill(struct conn *c)
{
    if (!c->killed) {
        c->killed = true;
        shutdown(c->fd, SHUT_RDWR);
        /* A connection that libmicrohttpd does not read from (its buffer is full of a chunk extension)
         * is not in its epoll set either and would never learn of it. */
        MHD_set_connection_option(c->mhd, MHD_CONNECTION_OPTION_TIMEOUT, 1U);
    }
}

static uint64_t dur_ns(tn_dur d)
{
    return (uint64_t)d.ms * NS_PER_MS;
}

/* Bytes that the client has acknowledged on this connection. */
static uint64_t acknowledged(int fd)
{
    struct tcp_info info = {0};
    socklen_t n = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) != 0) {
        return 0;
    }
    return info.tcpi_bytes_acked;
}

static bool send_stalled(struct conn *c, uint64_t now)
{
    uint64_t acked = acknowledged(c->fd);
    if (acked - c->progress >= http_send_least(&c->server->conf->http) ||
        c->progress_ns < c->phase_ns) {
        c->progress = acked;
        c->progress_ns = now;
    }
    return now - c->progress_ns > dur_ns(c->server->conf->http.send_timeout);
}

static bool body_too_slow(const struct conn *c, uint64_t age)
{
    const struct http_conf *conf = &c->server->conf->http;
    uint64_t grace = dur_ns(conf->body_grace);
    if (age <= grace || c->ex == NULL) {
        return false;
    }
    uint64_t due = (age - grace) / NS_PER_MS * (uint64_t)conf->body_rate.n / 1000;
    return c->ex->received < due;
}

/* libmicrohttpd takes a short read for an empty socket; when data and the end of the stream came
 * together, its edge-triggered epoll never tells it about the end. One look in every phase finds it. */
static bool ended(struct conn *c)
{
    char byte;
    if (c->peeked) {
        return false;
    }
    c->peeked = true;
    return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static bool overdue(struct conn *c, uint64_t now)
{
    const struct http_conf *conf = &c->server->conf->http;
    uint64_t age = now - c->phase_ns;
    if (age > GONE_NS && c->phase <= PHASE_BODY && ended(c)) {
        return true;
    }
    switch (c->phase) {
    case PHASE_NEW:
    case PHASE_HEAD:
        return age > dur_ns(conf->header_timeout);
    case PHASE_IDLE:
        return age > dur_ns(conf->idle_timeout);
    case PHASE_BODY:
        return body_too_slow(c, age);
    case PHASE_SEND:
        return age > GONE_NS && send_stalled(c, now); /* PHASE_STREAM: TCP_USER_TIMEOUT */
    default:
        if (age > GONE_NS && c->ex != NULL) {
            exchange_watch_gone(c->ex);
        }
        return false;
    }
}

static void sweep(void *user)
{
    struct server *s = user;
    uint64_t now = fe_host->now_ns();
    for (struct list_node *n = s->conns.next, *next; n != &s->conns; n = next) {
        struct conn *c = (struct conn *)n;
        next = n->next;
        if (c->killed) {
            s->kick = true; /* for the timeout of conn_kill() */
        } else if (overdue(c, now)) {
            fe_host->count(fe_host->ctx, "http_timeouts", 1);
            conn_kill(c);
        }
    }
    s->sweeping = s->nconns > 0;
    if (s->sweeping) {
        fe_host->loop->timer_set(fe_host->ctx, s->sweep, now + SWEEP_NS);
    }
}

/* ---- callbacks of libmicrohttpd ------------------------------------------------------------------- */

static enum MHD_Result accept_policy(void *cls, const struct sockaddr *addr, socklen_t n)
{
    struct server *s = ((struct listener *)cls)->server;
    (void)n;
    if (peers_full(s->peers, addr, (uint32_t)s->conf->http.max_per_ip)) {
        fe_host->count(fe_host->ctx, "http_refused_per_ip", 1);
        return MHD_NO;
    }
    return MHD_YES;
}

static struct conn *conn_create(struct server *s, struct MHD_Connection *mhd)
{
    struct conn *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return NULL;
    }
    c->server = s;
    c->mhd = mhd;
    c->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    const struct sockaddr *sa =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
    if (sa != NULL && (sa->sa_family == AF_INET || sa->sa_family == AF_INET6)) {
        memcpy(c->addr, sa,
               sa->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
        c->peer_n = (uint8_t)peers_text(sa, c->peer);
        c->counted = peers_enter(s->peers, sa);
        c->trusted = peers_trusted(s->peers, sa);
    }
    nodes_append(&s->conns, &c->link);
    s->nconns++;
    conn_phase(c, PHASE_NEW);
    if (!s->sweeping) {
        s->sweeping = true;
        fe_host->loop->timer_set(fe_host->ctx, s->sweep, c->phase_ns + SWEEP_NS);
    }
    return c;
}

static void conn_destroy(struct conn *c)
{
    if (c->counted) {
        peers_leave(c->server->peers, (const struct sockaddr *)c->addr);
    }
    c->server->nconns--;
    nodes_remove(&c->link);
    free(c);
}

static void notify_connection(void *cls, struct MHD_Connection *mhd, void **context,
                              enum MHD_ConnectionNotificationCode what)
{
    ((struct listener *)cls)->server->events++;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        *context = conn_create(((struct listener *)cls)->server, mhd);
    } else if (*context != NULL) {
        struct conn *c = *context;
        c->server->kick =
            true; /* at its limit libmicrohttpd accepts again only when it runs again */
        conn_destroy(c);
        *context = NULL;
    }
}

/* Targets are decoded by head.c: MHD's decoding would only cost time. */
static size_t unescape_nothing(void *cls, struct MHD_Connection *mhd, char *text)
{
    (void)cls;
    (void)mhd;
    return strlen(text);
}

/* ---- the loop --------------------------------------------------------------------------------------- */

static void run(struct listener *l)
{
    l->server->now_ns = fe_host->now_ns();
    MHD_run(l->mhd);
}

static void epoll_ready(void *user, uint32_t events)
{
    (void)events;
    run(user);
}

/* A parked exchange costs a look at every run, a suspended one four system calls in its life: park
 * as many as the answers of one run pay for. */
static void adapt_parking(struct server *s)
{
    if (s->answers == 0) {
        return;
    }
    s->batch += s->answers - s->batch / 16;
    s->answers = 0;
    s->park_limit = PARK_MIN + s->batch * PARK_PER_ANSWER / 16;
    if (s->park_limit > PARK_MAX) {
        s->park_limit = PARK_MAX;
    }
}

static uint64_t prepare(void *user)
{
    struct server *s = user;
    if (s->stopped || s->listeners == NULL) {
        return UINT64_MAX;
    }
    if (s->kick) {
        s->kick = s->resumed; /* the first run only takes a resumed one back, the second sends */
        s->resumed = false;
        adapt_parking(s);
        for (uint32_t i = 0; i < s->nlisteners; i++) {
            run(&s->listeners[i]);
        }
    }
    if (s->kick) {
        return 0;
    }
    if (s->parked > 0) {
        /* libmicrohttpd takes parked exchanges for work and says "at once" for ever. What else it
         * may have left over is rare (a head or a file that came or went in pieces): look soon. */
        uint64_t now = fe_host->now_ns(), due = s->now_ns + PARK_LOOK_NS;
        s->kick = now >= due;
        return s->kick ? 0 : due - now;
    }
    for (uint32_t i = 0; i < s->nlisteners && !s->kick; i++) {
        MHD_UNSIGNED_LONG_LONG ms = 1;
        s->kick = MHD_get_timeout(s->listeners[i].mhd, &ms) == MHD_YES && ms == 0;
    }
    /* A connection whose buffer is full of something that never ends (a chunk extension) counts as
     * work for ever, too: when nothing came of several runs, do not spin. */
    s->idle_runs = s->kick && s->events == s->events_seen ? s->idle_runs + 1 : 0;
    s->events_seen = s->events;
    if (s->kick && s->idle_runs > IDLE_RUNS) {
        return PARK_LOOK_NS;
    }
    return s->kick ? 0 : UINT64_MAX;
}

/* STRICT_FOR_CLIENT stays 0: head.c checks what it would check, and libmicrohttpd 0.9.75 sends the
 * head of its own answer about a missing Host twice. */
static tn_rc listener_open(struct listener *l, int fd, uint32_t limit, tn_err *err)
{
    const struct fe_conf *conf = l->server->conf;
    l->mhd = MHD_start_daemon((unsigned)MHD_USE_EPOLL | (unsigned)MHD_USE_TURBO | MHD_SUSPEND, 0,
                              accept_policy, l, exchange_access, l, MHD_OPTION_LISTEN_SOCKET, fd,
                              MHD_OPTION_CONNECTION_LIMIT, limit, MHD_OPTION_CONNECTION_TIMEOUT, 0U,
                              MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)conf->connection_memory.n,
                              MHD_OPTION_STRICT_FOR_CLIENT, 0, MHD_OPTION_NOTIFY_CONNECTION,
                              notify_connection, l, MHD_OPTION_NOTIFY_COMPLETED, exchange_completed,
                              l, MHD_OPTION_URI_LOG_CALLBACK, exchange_uri, l,
                              MHD_OPTION_UNESCAPE_CALLBACK, unescape_nothing, NULL,
                              MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
    if (l->mhd == NULL) {
        return fe_host->fail(err, TN_E_UNAVAIL,
                             "libmicrohttpd does not take listening socket %d: %s", fd,
                             strerror(errno));
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(l->mhd, MHD_DAEMON_INFO_EPOLL_FD);
    return fe_host->loop->watch(fe_host->ctx, info->epoll_fd, EPOLLIN, epoll_ready, l, &l->watch,
                                err);
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
    tn_rc rc;
    nodes_init(&s->conns);
    s->listeners = calloc(n > 0 ? n : 1, sizeof *s->listeners);
    if (s->listeners == NULL) {
        return fe_host->fail(err, TN_E_NOMEM, "no memory for %u listeners", n);
    }
    s->park_limit = PARK_MIN;
    s->peers = peers_create(peers_setting(fe_host, s->conf->http.trusted_proxies), err);
    if (s->peers == NULL) {
        rc = TN_E_CONFIG;
        goto undo_listeners;
    }
    rc = fe_host->loop->timer(fe_host->ctx, sweep, s, &s->sweep, err);
    if (rc != TN_OK) {
        goto undo_peers;
    }
    /* A client that closes while a file is sent must not end the process. */
    signal(SIGPIPE, SIG_IGN);
    s->raw_layout = layout_probe((size_t)s->conf->connection_memory.n);
    if (!s->raw_layout) {
        fe_host->log(
            fe_host->ctx, TN_LOG_WARNING,
            "http: libmicrohttpd %s keeps request heads in another form than expected; bare "
            "line feeds and folded lines are not refused",
            MHD_get_version());
    }
    uint32_t limit = peers_connections(&s->conf->http);
    for (uint32_t i = 0; i < n; i++) {
        s->listeners[i].server = s;
        s->nlisteners = i + 1;
        rc = listener_open(&s->listeners[i], fds[i], limit, err);
        if (rc != TN_OK) {
            goto undo_daemons;
        }
    }
    rc = fe_host->loop->prepare(fe_host->ctx, prepare, s, err);
    if (rc != TN_OK) {
        goto undo_daemons;
    }
    return TN_OK;

undo_daemons:
    server_stop(s);
    return rc;
undo_peers:
    peers_destroy(s->peers);
    s->peers = NULL;
undo_listeners:
    free(s->listeners);
    s->listeners = NULL;
    s->nlisteners = 0;
    return rc;
}

void server_drain(struct server *s)
{
    if (s->draining || s->stopped) {
        return;
    }
    s->draining = true;
    for (uint32_t i = 0; i < s->nlisteners; i++) {
        if (s->listeners[i].mhd != NULL) {
            MHD_quiesce_daemon(s->listeners[i].mhd);
        }
    }
    for (struct list_node *n = s->conns.next; n != &s->conns; n = n->next) {
        struct conn *c = (struct conn *)n;
        if (c->phase == PHASE_IDLE || c->phase == PHASE_NEW) {
            conn_kill(c);
        } else if (c->ex != NULL && c->ex->stream != NULL) {
            stream_end(c->ex); /* nobody knows when it would end; its client comes again */
        }
    }
    s->kick = true;
}

void server_stop(struct server *s)
{
    if (s->stopped || s->listeners == NULL) {
        return;
    }
    server_drain(s); /* the sockets belong to the supervisor: a quiesced daemon leaves them alone */
    s->stopped = true;
    for (struct list_node *n = s->conns.next; n != &s->conns; n = n->next) {
        struct conn *c = (struct conn *)n;
        if (c->ex != NULL) {
            exchange_unsuspend(c->ex); /* libmicrohttpd aborts the process on a suspended one */
        }
    }
    for (uint32_t i = 0; i < s->nlisteners; i++) {
        struct listener *l = &s->listeners[i];
        if (l->watch != NULL) {
            fe_host->loop->unwatch(fe_host->ctx, l->watch);
        }
        if (l->mhd != NULL) {
            MHD_stop_daemon(l->mhd);
        }
    }
    fe_host->loop->timer_free(fe_host->ctx, s->sweep);
    peers_destroy(s->peers);
    free(s->listeners);
    s->listeners = NULL;
    s->nlisteners = 0;
    exchange_pool_free(s);
}
