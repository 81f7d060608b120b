/* SPDX-License-Identifier: Apache-2.0 */
/* Answers whose body comes in pieces (server-sent events): each is a chunk, sent at once; what the
 * socket does not take waits in one bounded buffer.
 *
 * The kernel is never told of a broken connection from within its own call: it learns it from the next
 * event of the socket. */
#include "plugins/frontend_h1/h1.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct stream {
    struct backlog b;
    bool chunks; /* else the bare bytes, until the connection closes */
    bool ended;  /* no more pieces */
    bool done;   /* the kernel knows that */
    bool dead;   /* nobody reads: HEAD, or the connection is broken */
};

void stream_free(struct stream *st)
{
    if (st != NULL) {
        backlog_free(&st->b);
        free(st);
    }
}

bool stream_orphaned(const struct exchange *ex)
{
    return ex->stream != NULL && !ex->stream->done;
}

bool stream_over(const struct exchange *ex)
{
    const struct stream *st = ex->stream;
    return st != NULL && !ex->sent && st->b.at == st->b.n && (st->ended || st->dead);
}

/* Nobody will read what waits: the event that follows closes the connection. */
static void broken(struct exchange *ex)
{
    ex->stream->dead = true;
    shutdown(ex->conn->fd, SHUT_RDWR);
}

/* Sends the pieces, and keeps what the socket does not take; there is room for all of them. */
static void push(struct exchange *ex, struct iovec *iov, size_t n)
{
    struct stream *st = ex->stream;
    size_t done = 0;
    if (st->b.n == 0) {
        ssize_t k = send_bytes(ex->conn->fd, iov, n, 0);
        if (k < 0) {
            broken(ex);
            return;
        }
        done = (size_t)k;
    }
    for (size_t i = 0; i < n; i++) {
        size_t skip = done < iov[i].iov_len ? done : iov[i].iov_len;
        done -= skip;
        memcpy(st->b.buf + st->b.n, (char *)iov[i].iov_base + skip, iov[i].iov_len - skip);
        st->b.n += iov[i].iov_len - skip;
    }
    if (st->b.n > 0 && ex->conn->phase != PHASE_SEND) {
        ex->acked_ns = 0;
        conn_phase(ex->conn, PHASE_SEND);
    }
}

void stream_flush(struct exchange *ex)
{
    struct stream *st = ex->stream;
    if (st->b.at < st->b.n && !st->dead) {
        struct iovec iov = {st->b.buf + st->b.at, st->b.n - st->b.at};
        ssize_t k = send_bytes(ex->conn->fd, &iov, 1, 0);
        if (k < 0) {
            broken(ex);
            return;
        }
        backlog_sent(&st->b, (size_t)k);
        if (st->b.n == 0) {
            conn_phase(ex->conn, PHASE_STREAM);
        }
    }
}

tn_rc stream_begin(struct exchange *ex, const tn_http_reply *head, tn_err *err)
{
    if (ex->conn == NULL || ex->answered) {
        return fe_host->fail(err, TN_E_CANCELED, "the client has gone");
    }
    struct stream *st = calloc(1, sizeof *st);
    tn_str bytes = {NULL, 0};
    bool body = false;
    if (st == NULL) {
        return fe_host->fail(err, TN_E_NOMEM, "no memory for a stream");
    }
    tn_rc rc = send_stream_head(ex, head, &bytes, &body, err);
    if (rc == TN_OK && !backlog_reserve(&st->b, bytes.n)) {
        rc = fe_host->fail(err, TN_E_NOMEM, "no memory for a stream");
    }
    if (rc != TN_OK) {
        stream_free(st);
        return rc;
    }
    unsigned ms = (unsigned)ex->server->conf->send_timeout.ms;
    setsockopt(ex->conn->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
    st->chunks = !(ex->msg.req.flags & TN_REQ_HTTP10);
    ex->stream = st;
    ex->answered = true;
    conn_phase(ex->conn, PHASE_STREAM);
    struct iovec iov = {(void *)(uintptr_t)bytes.s, bytes.n};
    push(ex, &iov, 1);
    st->dead = st->dead || !body;
    conn_later(ex->conn);
    return TN_OK;
}

tn_rc stream_send(struct exchange *ex, tn_str data, tn_err *err)
{
    struct stream *st = ex->stream;
    if (ex->conn == NULL || st->dead || st->ended) {
        return fe_host->fail(err, TN_E_CANCELED, "the client has gone");
    }
    size_t waits = st->b.n - st->b.at;
    if (data.n > BACKLOG_MAX - waits || waits > BACKLOG_MAX) {
        return fe_host->fail(err, TN_E_LIMIT, "%zu bytes wait for this client already", waits);
    }
    if (data.n == 0) {
        return TN_OK; /* an empty chunk would be the last */
    }
    char size[24];
    int n = snprintf(size, sizeof size, "%zx\r\n", data.n);
    if (!backlog_reserve(&st->b, data.n + (size_t)n + 2)) {
        return fe_host->fail(err, TN_E_LIMIT, "no memory for %zu bytes more", data.n);
    }
    struct iovec iov[3] = {{size, (size_t)n}, {(void *)(uintptr_t)data.s, data.n}, {"\r\n", 2}};
    push(ex, st->chunks ? iov : iov + 1, st->chunks ? 3 : 1);
    return TN_OK;
}

void stream_stop(struct exchange *ex)
{
    struct stream *st = ex->stream;
    if (st->ended || ex->conn == NULL) {
        return;
    }
    st->ended = true;
    if (!st->dead && st->chunks) {
        struct iovec iov = {"0\r\n\r\n", 5};
        if (backlog_reserve(&st->b, iov.iov_len)) {
            push(ex, &iov, 1);
        } else {
            broken(ex);
        }
    }
    if (!st->dead) {
        conn_later(ex->conn);
    }
}

void stream_end(struct exchange *ex)
{
    ex->stream->done = true;
    stream_stop(ex);
}
