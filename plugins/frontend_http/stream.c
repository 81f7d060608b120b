/* SPDX-License-Identifier: Apache-2.0 */
/* Answers whose body comes in pieces (server-sent events). The kernel's pieces wait in one buffer;
 * libmicrohttpd fetches from it whenever the socket takes more, and is suspended while it is empty. */
#include "fe.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct stream {
    struct backlog b;
    bool ended;
};

void stream_free(struct stream *st)
{
    if (st != NULL) {
        backlog_free(&st->b);
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
    size_t n = st->b.n - st->b.at;
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
    memcpy(out, st->b.buf + st->b.at, n);
    backlog_sent(&st->b, n);
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
    size_t waits = st->b.n - st->b.at;
    if (data.n > BACKLOG_MAX - waits) {
        return fe_host->fail(err, TN_E_LIMIT, "%zu bytes wait for this client already", waits);
    }
    if (data.n == 0) {
        return TN_OK;
    }
    if (!backlog_reserve(&st->b, data.n)) {
        return fe_host->fail(err, TN_E_LIMIT, "no memory for %zu bytes more", data.n);
    }
    memcpy(st->b.buf + st->b.n, data.s, data.n);
    st->b.n += data.n;
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
