/* SPDX-License-Identifier: Apache-2.0 */
/* libmongoc's streams on ours: every wait ends with the operation, and an error says at which step. */
#include "mongodb.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_TYPE 100 /* none of libmongoc's own */

static uint64_t limit_of(const struct mg_line *l)
{
    const struct mg_conn *c = l->c;
    return c->opening && l->limit_ns != 0 && l->limit_ns < c->deadline_ns ? l->limit_ns
                                                                          : c->deadline_ns;
}

/* The first failure is the cause; what follows are its consequences. */
static void keep(struct mg_conn *c, const tn_err *why)
{
    if (c->why.rc == TN_OK) {
        c->why = *why;
    }
}

/* ---- reading and writing ----------------------------------------------------------------------------- */

static ssize_t on_writev(mongoc_stream_t *vt, mongoc_iovec_t *iov, size_t n, int32_t timeout_ms)
{
    struct mg_line *l = (struct mg_line *)vt;
    tn_err why = TN_ERR_INIT;
    ssize_t sum = 0;
    (void)timeout_ms;
    if (atomic_load(&l->c->canceled)) { /* libmongoc would ask once more, on another line */
        errno = EPIPE;
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        tn_rc rc = stream_write(&l->s, iov[i].iov_base, iov[i].iov_len, limit_of(l), &why);
        if (rc != TN_OK) {
            keep(l->c, &why);
            errno = rc == TN_E_TIMEOUT ? ETIMEDOUT : EPIPE;
            return -1;
        }
        mg_message_sent(l, iov[i].iov_base, iov[i].iov_len);
        sum += (ssize_t)iov[i].iov_len;
    }
    return sum;
}

tn_rc mg_line_read(struct mg_line *l, void *p, size_t cap, size_t *ret_n, tn_err *err)
{
    return stream_read(&l->s, p, cap, limit_of(l), ret_n, err);
}

/* At least `least` bytes, up to n, of messages that were read whole. */
static ssize_t take(struct mg_line *l, uint8_t *p, size_t n, size_t least)
{
    size_t got = 0;
    while (got < least || (got == 0 && n != 0)) {
        if (l->msg_at == l->msg_n && mg_message(l) != TN_OK) {
            return -1;
        }
        size_t some = n - got < l->msg_n - l->msg_at ? n - got : l->msg_n - l->msg_at;
        memcpy(p + got, l->msg + l->msg_at, some);
        l->msg_at += some;
        got += some;
    }
    if (l->msg_at == l->msg_n) {
        mg_message_drop(l);
    }
    return (ssize_t)got;
}

static ssize_t on_readv(mongoc_stream_t *vt, mongoc_iovec_t *iov, size_t n, size_t least,
                        int32_t timeout_ms)
{
    struct mg_line *l = (struct mg_line *)vt;
    size_t sum = 0;
    (void)timeout_ms;
    for (size_t i = 0; i < n && (i == 0 || sum < least); i++) {
        size_t missing = least > sum ? least - sum : 0;
        size_t want = missing < iov[i].iov_len ? missing : iov[i].iov_len;
        ssize_t got = iov[i].iov_len == 0 ? 0 : take(l, iov[i].iov_base, iov[i].iov_len, want);
        if (got < 0) {
            errno = l->c->why.rc == TN_E_TIMEOUT ? ETIMEDOUT : ECONNRESET;
            return -1;
        }
        sum += (size_t)got;
    }
    return (ssize_t)sum;
}

static int ready(const struct mg_line *l)
{
    return l->msg_at < l->msg_n || l->at < l->end ||
           (l->s.ssl != NULL && SSL_pending(l->s.ssl) > 0);
}

/* Used while members are looked at, a few at a time. After the deadline everything has failed. */
static ssize_t on_poll(mongoc_stream_poll_t *polls, size_t n, int32_t timeout_ms)
{
    struct pollfd fds[64];
    ssize_t some = 0;
    if (n == 0 || n > sizeof fds / sizeof *fds) {
        errno = EINVAL;
        return -1;
    }
    const struct mg_line *first = (struct mg_line *)polls[0].stream;
    int left = net_left_ms(mg_host, limit_of(first));
    for (size_t i = 0; i < n; i++) {
        const struct mg_line *l = (struct mg_line *)polls[i].stream;
        fds[i] = (struct pollfd){l->s.fd, (short)polls[i].events, 0};
        polls[i].revents = left == 0 ? POLLERR : ready(l) ? polls[i].events & POLLIN : 0;
        some += polls[i].revents != 0;
    }
    if (some != 0) {
        return some;
    }
    some = poll(fds, n, timeout_ms < 0 || (left >= 0 && left < timeout_ms) ? left : timeout_ms);
    for (size_t i = 0; i < n; i++) {
        polls[i].revents = some > 0 ? fds[i].revents : 0;
    }
    return some;
}

/* ---- the rest of libmongoc's table ------------------------------------------------------------------- */

static void unlink_line(struct mg_line *l)
{
    pthread_mutex_lock(&l->c->lock);
    for (struct mg_line **at = &l->c->lines; *at != NULL; at = &(*at)->next) {
        if (*at == l) {
            *at = l->next;
            break;
        }
    }
    pthread_mutex_unlock(&l->c->lock);
}

static int on_close(mongoc_stream_t *vt)
{
    struct mg_line *l = (struct mg_line *)vt;
    unlink_line(l);
    stream_close(&l->s, 0);
    return 0;
}

static void on_destroy(mongoc_stream_t *vt)
{
    on_close(vt);
    mg_message_drop((struct mg_line *)vt);
    free(vt);
}

static int on_flush(mongoc_stream_t *vt)
{
    (void)vt;
    return 0;
}

static int on_setsockopt(mongoc_stream_t *vt, int level, int name, void *value, mongoc_socklen_t n)
{
    return setsockopt(((struct mg_line *)vt)->s.fd, level, name, value, n);
}

static bool on_check_closed(mongoc_stream_t *vt)
{
    struct mg_line *l = (struct mg_line *)vt;
    return l->s.fd < 0 || stream_stale(&l->s);
}

static bool on_timed_out(mongoc_stream_t *vt)
{
    return ((struct mg_line *)vt)->c->why.rc == TN_E_TIMEOUT;
}

static bool on_should_retry(mongoc_stream_t *vt)
{
    (void)vt;
    return false;
}

/* There is no get_base_stream(): libmongoc would follow what it returns. */
static const mongoc_stream_t table = {
    .type = STREAM_TYPE,
    .destroy = on_destroy,
    .close = on_close,
    .flush = on_flush,
    .writev = on_writev,
    .readv = on_readv,
    .setsockopt = on_setsockopt,
    .check_closed = on_check_closed,
    .poll = on_poll,
    .failed = on_destroy,
    .timed_out = on_timed_out,
    .should_retry = on_should_retry,
};

/* ---- dialling ---------------------------------------------------------------------------------------- */

mongoc_stream_t *mg_dial(const mongoc_uri_t *uri, const mongoc_host_list_t *host, void *user,
                         bson_error_t *error)
{
    struct mg_conn *c = user;
    struct mg_line *l = calloc(1, sizeof *l);
    tn_err why = TN_ERR_INIT;
    uint64_t now = mg_host->now_ns(), until = c->deadline_ns;
    const mongoc_host_list_t *hosts = mongoc_uri_get_hosts(uri);
    if (l == NULL) {
        bson_set_error(error, MONGOC_ERROR_STREAM, MONGOC_ERROR_STREAM_CONNECT, "no memory");
        return NULL;
    }
    if (until > now && hosts != NULL && hosts->next != NULL) {
        until = now + (until - now) / 2; /* a member that is down leaves time for the others */
    }
    l->vt = table;
    l->c = c;
    l->limit_ns = until;
    l->s.fd = -1;
    tn_rc rc =
        host->family == AF_UNIX
            ? mg_host->fail(&why, TN_E_CONFIG, "sockets of the file system are not supported")
            : stream_open(&l->s, mg_host, &c->inst->tls, host->host, host->port, until, &why);
    if (rc != TN_OK) {
        keep(c, &why);
        bson_set_error(error, MONGOC_ERROR_STREAM, MONGOC_ERROR_STREAM_CONNECT, "%.400s", why.msg);
        free(l);
        return NULL;
    }
    pthread_mutex_lock(&c->lock);
    l->next = c->lines;
    c->lines = l;
    pthread_mutex_unlock(&c->lock);
    return &l->vt;
}

bool mg_stale(const struct mg_conn *c)
{
    for (struct mg_line *l = c->lines; l != NULL; l = l->next) {
        if (l->s.fd < 0 || l->msg_at < l->msg_n || l->at < l->end || stream_stale(&l->s)) {
            return true;
        }
    }
    return false;
}
