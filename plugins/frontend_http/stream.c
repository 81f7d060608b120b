/* SPDX-License-Identifier: Apache-2.0 */
/* Answers whose body comes in pieces (server-sent events). The kernel's pieces wait in one buffer;
 * libmicrohttpd fetches from it whenever the socket takes more, and is suspended while it is empty. */
#include "fe.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define STREAM_MAX  (1u << 20)  /* bytes that may wait for a client */
#define STREAM_KEEP (64u << 10) /* a buffer up to that size is kept while it is empty */

struct stream {
    char *buf;
    size_t at, n, cap; /* bytes at .. n wait */
    bool ended;
};

void stream_free(struct stream *st)
{
    if (st != NULL) {
        free(st->buf);
        free(st);
    }
}

/* libmicrohttpd wants the next bytes. */
static ssize_t stream_read(void *cls, uint64_t pos, char *out, size_t max)
{
    struct exchange *ex = cls;
    struct stream *st = ex->stream;
    (void)pos;
    ex->server->events++;
    size_t n = st->n - st->at;
    if (n == 0) {
        if (st->ended) {
            return MHD_CONTENT_READER_END_OF_STREAM;
        }
        if (ex->conn->killed) {
            return MHD_CONTENT_READER_END_WITH_ERROR;
        }
        conn_phase(ex->conn, PHASE_STREAM);
        ex->suspended = true;
        MHD_suspend_connection(ex->mhd);
        return 0;
    }
    n = n < max ? n : max;
    memcpy(out, st->buf + st->at, n);
    st->at += n;
    if (st->at == st->n) {
        st->at = st->n = 0;
        if (st->cap > STREAM_KEEP) {
            free(st->buf);
            st->buf = NULL;
            st->cap = 0;
        }
    }
    return (ssize_t)n;
}

tn_rc stream_begin(struct exchange *ex, const tn_http_reply *head, tn_err *err)
{
    if (ex->conn == NULL || ex->answered) {
        return fe_host->fail(err, TN_E_CANCELED, "the client has gone");
    }
    struct stream *st = calloc(1, sizeof *st);
    if (st == NULL) {
        return fe_host->fail(err, TN_E_NOMEM, "no memory for a stream");
    }
    tn_rc rc = reply_build_stream(ex, head, stream_read, &ex->response, err);
    if (rc != TN_OK) {
        free(st);
        return rc == TN_E_NOMEM ? fe_host->fail(err, rc, "no memory for a stream") : rc;
    }
    unsigned ms = (unsigned)ex->server->conf->http.send_timeout.ms;
    setsockopt(ex->conn->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
    ex->stream = st;
    ex->status = head->status;
    ex->answered = true;
    exchange_answer(ex);
    return TN_OK;
}

/* Room for n bytes more at the end; what has been sent goes first. */
static bool reserve(struct stream *st, size_t n)
{
    if (st->cap - st->n >= n) {
        return true;
    }
    if (st->at > 0) {
        memmove(st->buf, st->buf + st->at, st->n - st->at);
        st->n -= st->at;
        st->at = 0;
    }
    size_t cap = st->cap > 0 ? st->cap : 4096;
    while (cap - st->n < n) {
        cap *= 2;
    }
    char *buf = cap == st->cap ? st->buf : realloc(st->buf, cap);
    if (buf == NULL) {
        return false;
    }
    st->buf = buf;
    st->cap = cap;
    return true;
}

/* Something is there for libmicrohttpd again. */
static void wake(struct exchange *ex)
{
    if (ex->queued && ex->suspended) {
        conn_phase(ex->conn, PHASE_SEND);
        exchange_unsuspend(ex);
    }
}

tn_rc stream_send(struct exchange *ex, tn_str data, tn_err *err)
{
    struct stream *st = ex->stream;
    if (ex->conn == NULL || ex->conn->killed || st->ended) {
        return fe_host->fail(err, TN_E_CANCELED, "the client has gone");
    }
    size_t waits = st->n - st->at;
    if (data.n > STREAM_MAX - waits) {
        return fe_host->fail(err, TN_E_LIMIT, "%zu bytes wait for this client already", waits);
    }
    if (data.n == 0) {
        return TN_OK;
    }
    if (!reserve(st, data.n)) {
        return fe_host->fail(err, TN_E_LIMIT, "no memory for %zu bytes more", data.n);
    }
    memcpy(st->buf + st->n, data.s, data.n);
    st->n += data.n;
    wake(ex);
    return TN_OK;
}

void stream_end(struct exchange *ex)
{
    ex->stream->ended = true;
    if (ex->conn != NULL) {
        wake(ex);
    }
}
