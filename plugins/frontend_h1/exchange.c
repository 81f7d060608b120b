/* SPDX-License-Identifier: Apache-2.0 */
/* One request and its answer: memory, who holds it, how it ends. How it is read is in request.c.
 *
 * Two sides hold an exchange: the connection (ex->conn) and the kernel (ex->kernel). Whoever lets go
 * last frees it. */
#include "plugins/frontend_h1/h1.h"
#include <stdlib.h>
#include <string.h>

#define POOL_MAX 1024

/* ---- memory ------------------------------------------------------------------------------------------ */

struct exchange *exchange_get(struct conn *c)
{
    struct server *s = c->server;
    struct exchange *ex = s->pool;
    if (ex != NULL) {
        s->pool = ex->next_free;
        s->npool--;
    } else {
        ex = malloc(sizeof *ex);
        if (ex == NULL) {
            return NULL;
        }
    }
    message_init(&ex->msg, s->conf, ++s->last_id, server_now(s), s->wall_us);
    memset((char *)ex + sizeof ex->msg, 0, offsetof(struct exchange, buf) - sizeof ex->msg);
    ex->msg.req.frontend = ex;
    ex->server = s;
    ex->conn = c;
    ex->mem = ex->buf;
    ex->cap = sizeof ex->buf;
    return ex;
}

void exchange_free(struct exchange *ex)
{
    struct server *s = ex->server;
    send_forget(ex);
    stream_free(ex->stream);
    body_destroy(ex->body);
    upload_destroy(ex->upload, !ex->handed_over);
    message_finish(&ex->msg);
    if (ex->mem != ex->buf) {
        free(ex->mem);
    }
    if (s->npool < POOL_MAX && !s->stopped) {
        ex->next_free = s->pool;
        s->pool = ex;
        s->npool++;
    } else {
        free(ex);
    }
}

void exchange_pool_free(struct server *s)
{
    while (s->pool != NULL) {
        struct exchange *ex = s->pool;
        s->pool = ex->next_free;
        free(ex);
    }
    s->npool = 0;
}

/* ---- answers ------------------------------------------------------------------------------------------ */

void exchange_leave(struct exchange *ex)
{
    struct conn *c = ex->conn;
    bool last = ex->last || ex->server->draining;
    bool more = ex->broken || ex->reading != READ_DONE || ex->used < ex->n;
    if (!last) {
        conn_next(c);
    } else {
        c->ex = NULL;
    }
    exchange_abort(ex);
    if (last) {
        conn_finish(c, more);
    }
}

void exchange_sent(struct exchange *ex)
{
    ex->sent = true;
    if (ex->last || ex->reading == READ_DONE) {
        exchange_leave(ex);
    } else {
        conn_phase(ex->conn, PHASE_BODY); /* the rest of the body, thrown away */
    }
}

static void after_send(struct exchange *ex, enum sent how)
{
    if (how == SEND_FAILED) {
        conn_close(ex->conn);
    } else if (how == SEND_ALL) {
        exchange_sent(ex);
    } else {
        conn_phase(ex->conn, PHASE_SEND);
    }
}

tn_rc exchange_reply(struct exchange *ex, const tn_http_reply *r, tn_err *err)
{
    struct conn *c = ex->conn;
    if (c == NULL || ex->answered) {
        answer_drop(r);
        return TN_OK;
    }
    enum sent how = SEND_FAILED;
    tn_rc rc = send_answer(ex, r, &how, err);
    if (rc == TN_E_INVAL) {
        return rc;
    }
    if (rc != TN_OK) {
        fe_host->log(fe_host->ctx, TN_LOG_ERROR,
                     "http: no memory for an answer, connection closed");
    }
    ex->answered = true;
    after_send(ex, how);
    conn_later(c);
    return TN_OK;
}

void exchange_refuse(struct exchange *ex)
{
    tn_http_pair type = {TN_STR("Content-Type"), TN_STR("text/plain; charset=utf-8")};
    char text[256];
    size_t n = strlen(ex->msg.refused_text);
    if (n > sizeof text - 1) {
        n = sizeof text - 1;
    }
    memcpy(text, ex->msg.refused_text, n);
    text[n] = '\n';
    tn_http_reply r = {.size = sizeof r,
                       .status = ex->msg.refused,
                       .headers = &type,
                       .nheaders = 1,
                       .flags = TN_REPLY_CLOSE | TN_REPLY_NO_GZIP,
                       .body = (const uint8_t *)text,
                       .body_len = n + 1,
                       .fd = -1};
    enum sent how = SEND_FAILED;
    fe_host->count(fe_host->ctx, "http_refused_requests", 1);
    ex->broken = ex->answered = true;
    send_answer(ex, &r, &how, NULL);
    /* such a text fits into any socket that has nothing else to send */
    after_send(ex, how == SEND_REST ? SEND_FAILED : how);
}

void exchange_abort(struct exchange *ex)
{
    ex->conn = NULL;
    if (!ex->kernel) {
        exchange_free(ex);
    } else if (!ex->answered || stream_orphaned(ex)) {
        ex->answered = true;
        fe_host->http->abort(fe_host->ctx, &ex->msg.req); /* may release */
    }
}

void exchange_release(struct exchange *ex)
{
    ex->kernel = false;
    if (ex->conn == NULL) {
        exchange_free(ex);
    }
}

bool exchange_adopt(struct exchange *ex, const char *p, size_t n)
{
    if (n > ex->cap) {
        char *mem = malloc(n);
        if (mem == NULL) {
            return false;
        }
        ex->mem = mem;
        ex->cap = n;
    }
    memcpy(ex->mem, p, n);
    ex->n = n;
    return true;
}
