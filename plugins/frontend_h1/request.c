/* SPDX-License-Identifier: Apache-2.0 */
/* Reading one request: head, body, hand-over.
 *
 * It is received into the exchange's own memory and taken apart there; a body that fits behind its head
 * stays where it is. The answer may come at any time after begin(): while the body is still being read
 * (it is then read and thrown away), from within submit(), or much later. So every step ends after the
 * call that may have ended the exchange. */
#include "plugins/frontend_h1/h1.h"
#include <stdlib.h>
#include <string.h>

/* ---- the body ------------------------------------------------------------------------------------------- */

/* From here the rest of the body is only read so that the client gets to see the answer. */
static void discard(struct exchange *ex)
{
    ex->discard = true;
    ex->drain_until = ex->received + (uint64_t)ex->server->conf->drain_body.n;
    body_destroy(ex->body);
    ex->body = NULL;
    upload_destroy(ex->upload, true);
    ex->upload = NULL;
}

static void malformed(struct exchange *ex, uint32_t status, const char *text)
{
    discard(ex);
    fe_host->http->malformed(fe_host->ctx, &ex->msg.req, status, text);
}

/* Nothing more of the body can be read: the answer, whenever it comes, is the last. */
static void lost(struct exchange *ex, const char *text)
{
    ex->broken = true;
    if (!ex->answered && !ex->discard) {
        malformed(ex, 400, text);
    } else {
        ex->last = true;
        if (ex->sent) {
            exchange_leave(ex);
        }
    }
}

/* Prepares for the body that the headers announce. */
static void expect_body(struct exchange *ex)
{
    struct message *m = &ex->msg;
    uint64_t length = m->content_length;
    if (length != UINT64_MAX && length > m->plan.max_body) {
        malformed(ex, 413, "the request body is too large");
        return;
    }
    if (upload_wanted(m)) {
        struct text_refusal why;
        ex->upload = upload_create(m, &why);
        if (ex->upload == NULL) {
            malformed(ex, why.status, why.text);
        }
        return;
    }
    if (length <= ex->cap - ex->used && length <= m->plan.spool_above) {
        ex->in_place = true;
        return;
    }
    ex->body = body_create(message_spool_dir(m), length, m->plan.spool_above);
    if (ex->body == NULL) {
        malformed(ex, 503, "no memory for the request body");
    }
}

static void body_piece(struct exchange *ex, const char *p, size_t n)
{
    struct text_refusal why;
    ex->received += n;
    if (!ex->discard && ex->received > ex->msg.plan.max_body) {
        malformed(ex, 413, "the request body is too large");
    }
    if (ex->discard) {
        if (ex->received > ex->drain_until && ex->conn != NULL && !ex->last) {
            lost(ex, "");
        }
        return;
    }
    if (ex->upload != NULL) {
        if (!upload_add(ex->upload, p, n, &why)) {
            malformed(ex, why.status, why.text);
        }
    } else if (body_add(ex->body, p, n) != TN_OK) {
        malformed(ex, 503, "no room for the request body");
    }
}

/* The request is complete: hand it over. */
static void submit(struct exchange *ex)
{
    struct message *m = &ex->msg;
    struct text_refusal why;
    if (ex->body != NULL && body_done(ex->body, &m->req.body, &m->req.body_len) != TN_OK) {
        malformed(ex, 503, "no room for the request body");
        return;
    }
    if (ex->upload != NULL && !upload_done(ex->upload, &why)) {
        malformed(ex, why.status, why.text);
        return;
    }
    ex->handed_over = true;
    fe_host->http->submit(fe_host->ctx, &m->req);
}

/* The last byte of the request was taken. */
static void request_complete(struct exchange *ex)
{
    struct conn *c = ex->conn;
    ex->reading = READ_DONE;
    if (ex->sent) {
        exchange_leave(ex);
        return;
    }
    if (c->phase != PHASE_SEND) {
        conn_phase(c, PHASE_CALL);
    }
    if (!ex->discard && !ex->answered) {
        submit(ex);
    }
}

/* ---- steps ------------------------------------------------------------------------------------------------ */

static bool grow(struct exchange *ex)
{
    const struct http_conf *conf = ex->server->conf;
    size_t cap = (size_t)conf->max_request_line.n + (size_t)conf->max_header_bytes.n + 64;
    char *p = ex->cap < cap ? malloc(cap) : NULL;
    if (p == NULL) {
        message_refuse(&ex->msg, ex->cap < cap ? 503 : 431, "the request head is too large");
        return false;
    }
    memcpy(p, ex->mem, ex->n); /* nothing points into it yet */
    ex->mem = p;
    ex->cap = cap;
    return true;
}

/* The headers are complete. */
static void begin(struct exchange *ex, const struct head *h)
{
    struct message *m = &ex->msg;
    struct conn *c = ex->conn;
    bool body = m->content_length != 0;
    if (c->phase == PHASE_HEAD) { /* it came in pieces */
        m->req.start_ns = server_now(ex->server);
        m->req.start_us = ex->server->wall_us;
    }
    ex->keep = m->req.flags & TN_REQ_HTTP10 ? h->keep_alive && !h->close : !h->close;
    ex->continued = !m->expect_continue || (m->req.flags & TN_REQ_HTTP10);
    ex->reading = !body ? READ_DONE : m->content_length == UINT64_MAX ? READ_CHUNKS : READ_BODY;
    conn_phase(c, body ? PHASE_BODY : PHASE_CALL);
    ex->kernel = true;
    fe_host->http->begin(fe_host->ctx, ex->server, &m->req, &m->plan);
    if (c->dead || c->ex != ex) {
        return; /* answered for good */
    }
    bool unwanted = ex->answered || (m->plan.flags & TN_PLAN_ANSWERED);
    if (!body) {
        if (!unwanted) {
            submit(ex);
        }
        return;
    }
    if (unwanted) {
        discard(ex);
    } else {
        expect_body(ex);
    }
    if (c->dead || c->ex != ex) {
        return;
    }
    if (!ex->continued && !ex->discard) {
        ex->continued = ex->used < ex->n; /* it comes without being asked for */
        if (!ex->continued && !send_continue(ex)) {
            conn_close(c);
        }
        ex->continued = true;
    }
}

static bool step_head(struct exchange *ex)
{
    struct message *m = &ex->msg;
    struct conn *c = ex->conn;
    enum scan_result r = scan_head(&ex->scan, ex->mem, ex->n, m);
    if (r == SCAN_MORE && (ex->n < ex->cap || grow(ex))) {
        if (c->phase != PHASE_HEAD) {
            conn_phase(c, PHASE_HEAD);
        }
        return false;
    }
    struct head h = {.msg = m};
    if (r == SCAN_HEAD && parse_head(&ex->scan, ex->mem, &h) &&
        head_finish(&h, ex->server->peers, (tn_str){c->peer, c->peer_n}, c->trusted)) {
        ex->used = ex->scan.end;
        begin(ex, &h);
    } else {
        exchange_refuse(ex);
    }
    return true;
}

/* Bytes of a body with a length. */
static void length_piece(struct exchange *ex, const char *p, size_t n)
{
    struct conn *c = ex->conn;
    body_piece(ex, p, n);
    if (!c->dead && c->ex == ex && ex->received == ex->msg.content_length) {
        request_complete(ex);
    }
}

static bool step_body(struct exchange *ex)
{
    uint64_t left = ex->msg.content_length - ex->received;
    size_t n = ex->n - ex->used;
    if (ex->in_place && !ex->discard) {
        if (n < left) {
            return false;
        }
        ex->msg.req.body = (const uint8_t *)ex->mem + ex->used;
        ex->msg.req.body_len = (size_t)left;
        ex->used += (size_t)left;
        ex->received += left;
        request_complete(ex);
        return true;
    }
    if (n == 0) {
        return false;
    }
    const char *p = ex->mem + ex->used;
    n = n < left ? n : (size_t)left;
    ex->used += n;
    length_piece(ex, p, n);
    return true;
}

/* One piece of a chunked body, never more, so that nothing is touched that the kernel let go. */
static bool step_chunks(struct exchange *ex)
{
    size_t used = 0, n = 0;
    const char *p = NULL;
    if (ex->used == ex->n) {
        return false;
    }
    enum chunk_result r = chunked_feed(&ex->chunked, ex->server->conf, ex->mem + ex->used,
                                       ex->n - ex->used, &used, &p, &n);
    ex->used += used;
    switch (r) {
    case CHUNK_DATA:
        body_piece(ex, p, n);
        break;
    case CHUNK_SIZE:
        if (!ex->discard && ex->chunked.left > ex->msg.plan.max_body - ex->received) {
            malformed(ex, 413, "the request body is too large");
        }
        if (ex->discard && ex->conn != NULL && !ex->last &&
            ex->chunked.left > ex->drain_until - ex->received) {
            lost(ex, "");
        }
        break;
    case CHUNK_END:
        request_complete(ex);
        break;
    case CHUNK_BAD:
        lost(ex, "the chunks of the body are malformed");
        break;
    default:
        break;
    }
    return true;
}

bool request_step(struct exchange *ex)
{
    if (ex->broken) {
        return false;
    }
    switch (ex->reading) {
    case READ_HEAD:
        return ex->n > ex->scan.at && step_head(ex);
    case READ_BODY:
        return step_body(ex);
    case READ_CHUNKS:
        return step_chunks(ex);
    default:
        return false;
    }
}

size_t request_room(struct exchange *ex, char **ret)
{
    struct server *s = ex->server;
    if (ex->broken || ex->reading == READ_DONE) {
        return 0;
    }
    if (ex->reading == READ_HEAD || (ex->in_place && !ex->discard)) {
        *ret = ex->mem + ex->n;
        return ex->cap - ex->n;
    }
    uint64_t left = ex->msg.content_length - ex->received;
    if (ex->reading == READ_BODY && left >= EX_BUF) {
        *ret = s->in;
        return left < SERVER_IN ? (size_t)left : SERVER_IN;
    }
    /* what was there has been taken: the memory behind the head is free again */
    ex->n = ex->used = ex->scan.end;
    *ret = ex->mem + ex->n;
    return ex->cap - ex->n;
}

void request_received(struct exchange *ex, const char *p, size_t n)
{
    if (p == ex->server->in) {
        length_piece(ex, p, n);
    } else {
        ex->n += n;
    }
}
