/* SPDX-License-Identifier: Apache-2.0 */
/* One request from its first line to the end of its answer.
 *
 * libmicrohttpd calls exchange_uri() when the request line is there, exchange_access() once when the
 * headers are complete, once per piece of body and once more when the request is complete, and
 * exchange_completed() at the end whatever the end was. An answer can only be queued on a kept
 * connection in that last call or later, so it waits in ex->response until then.
 *
 * Two sides hold an exchange: libmicrohttpd (ex->conn) and the kernel (ex->kernel). Whoever lets go
 * last frees it. */
#include "fe.h"
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define POOL_MAX 1024
#define PARK_NS  2000000u /* longest time parked */

static struct conn *conn_of(struct MHD_Connection *mhd)
{
    return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

/* ---- memory ------------------------------------------------------------------------------------------ */

static struct exchange *exchange_get(struct server *s)
{
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
    memset((char *)ex + sizeof ex->msg, 0, sizeof *ex - sizeof ex->msg);
    ex->server = s;
    return ex;
}

static void exchange_free(struct exchange *ex)
{
    struct server *s = ex->server;
    if (ex->response != NULL) {
        MHD_destroy_response(ex->response);
    }
    body_destroy(ex->body);
    upload_destroy(ex->upload, !ex->handed_over);
    stream_free(ex->stream);
    message_finish(&ex->msg);
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

/* ---- waiting -------------------------------------------------------------------------------------------- */

/* The kernel has the request, and libmicrohttpd wants to know what to do meanwhile. Suspending costs
 * two epoll_ctl() and an event that means nothing; so an exchange is parked first: it stays in
 * libmicrohttpd's ready list and is looked at every time that runs. Calls that take long are
 * suspended, and so are those that are too many. (Never at once: libmicrohttpd would read from the
 * socket when it is resumed, and take the half-closed connection of a client for a dead one.) */
static void wait(struct exchange *ex)
{
    struct server *s = ex->server;
    if (!ex->waiting) {
        ex->waiting = true;
        s->parked++;
        conn_phase(ex->conn, PHASE_CALL);
    } else if (s->parked > s->park_limit || s->now_ns >= ex->conn->phase_ns + PARK_NS) {
        s->parked--;
        ex->suspended = true;
        MHD_suspend_connection(ex->mhd);
    }
}

/* Nobody waits any more for this exchange. */
static void stop_waiting(struct exchange *ex)
{
    if (ex->waiting) {
        ex->waiting = false;
        ex->server->parked -= ex->suspended ? 0 : 1;
    }
}

/* ---- answers ------------------------------------------------------------------------------------------ */

/* Gives the answer to libmicrohttpd. May end the exchange: touch nothing of it afterwards but what
 * the kernel's hold protects. */
static enum MHD_Result queue(struct exchange *ex)
{
    struct MHD_Response *response = ex->response;
    ex->response = NULL;
    ex->queued = true;
    conn_phase(ex->conn, PHASE_SEND);
    enum MHD_Result ok = MHD_queue_response(ex->mhd, ex->status, response);
    MHD_destroy_response(response);
    return ok;
}

/* Answers a request that the kernel never saw, and closes. */
static enum MHD_Result queue_refusal(struct exchange *ex)
{
    fe_host->count(fe_host->ctx, "http_refused_requests", 1);
    ex->response = reply_refusal(ex->msg.refused, ex->msg.refused_text);
    ex->status = ex->msg.refused;
    return ex->response != NULL ? queue(ex) : MHD_NO;
}

void exchange_unsuspend(struct exchange *ex)
{
    if (ex->gone != NULL) {
        fe_host->loop->unwatch(fe_host->ctx, ex->gone);
        ex->gone = NULL;
    }
    ex->watched = false;
    if (ex->suspended) {
        ex->suspended = false;
        MHD_resume_connection(ex->mhd);
        ex->server->kick = ex->server->resumed = true;
    }
}

void exchange_answer(struct exchange *ex)
{
    if (ex->waiting) {
        stop_waiting(ex);
        ex->server->answers++;
        queue(ex);
        if (ex->conn != NULL) {
            exchange_unsuspend(ex);
        }
        ex->server->kick = true;
    }
}

tn_rc exchange_reply(struct exchange *ex, const tn_http_reply *r, tn_err *err)
{
    if (ex->conn == NULL || ex->answered) {
        answer_drop(r);
        return TN_OK;
    }
    tn_rc rc = reply_build(ex, r, &ex->response, &ex->status, err);
    if (rc == TN_E_INVAL) {
        return rc;
    }
    ex->answered = true;
    if (rc != TN_OK) {
        fe_host->log(fe_host->ctx, TN_LOG_ERROR,
                     "http: no memory for an answer, connection closed");
        conn_kill(ex->conn);
        stop_waiting(ex);
        exchange_unsuspend(ex);
        return TN_OK;
    }
    exchange_answer(ex);
    return TN_OK;
}

/* ---- the request --------------------------------------------------------------------------------------- */

void *exchange_uri(void *cls, const char *uri, struct MHD_Connection *mhd)
{
    struct listener *l = cls;
    struct conn *c = conn_of(mhd);
    struct exchange *ex = c != NULL ? exchange_get(l->server) : NULL;
    if (ex == NULL) {
        return NULL;
    }
    ex->conn = c;
    ex->mhd = mhd;
    c->ex = ex;
    conn_phase(c, PHASE_HEAD);
    l->server->events++;
    message_init(&ex->msg, &l->server->conf->http, ++l->server->last_id, c->phase_ns,
                 fe_host->wall_us());
    ex->msg.req.frontend = ex;
    head_target(ex, uri);
    return ex;
}

/* From here the rest of the body is only read so that the client gets to see the answer. */
static void drain(struct exchange *ex)
{
    ex->draining_body = true;
    ex->drain_until = ex->received + (uint64_t)ex->server->conf->http.drain_body.n;
    body_destroy(ex->body);
    ex->body = NULL;
    upload_destroy(ex->upload, true);
    ex->upload = NULL;
}

static void malformed(struct exchange *ex, uint32_t status, const char *text)
{
    drain(ex);
    fe_host->http->malformed(fe_host->ctx, &ex->msg.req, status, text);
}

/* Prepares for the body that the headers announce. */
static void expect_body(struct exchange *ex)
{
    if (ex->msg.content_length != UINT64_MAX && ex->msg.content_length > ex->msg.plan.max_body) {
        malformed(ex, 413, "the request body is too large");
        return;
    }
    if (upload_wanted(&ex->msg)) {
        struct text_refusal why;
        ex->upload = upload_create(&ex->msg, &why);
        if (ex->upload == NULL) {
            malformed(ex, why.status, why.text);
        }
        return;
    }
    ex->body = body_create(message_spool_dir(&ex->msg), ex->msg.content_length,
                           ex->msg.plan.spool_above);
    if (ex->body == NULL) {
        malformed(ex, 503, "no memory for the request body");
    }
}

/* The headers are complete. Nothing can be answered here without losing the connection, unless that
 * is wanted. */
static enum MHD_Result head_complete(struct exchange *ex, const char *method, const char *version)
{
    if (!head_read(ex, method, version)) {
        return queue_refusal(ex);
    }
    bool body = ex->msg.content_length != 0;
    conn_phase(ex->conn, body ? PHASE_BODY : PHASE_CALL);
    ex->kernel = true;
    fe_host->http->begin(fe_host->ctx, ex->server, &ex->msg.req, &ex->msg.plan);
    if (!body) {
        return MHD_YES;
    }
    if (ex->answered || (ex->msg.plan.flags & TN_PLAN_ANSWERED)) {
        drain(ex);
    } else {
        expect_body(ex);
    }
    /* An unwanted body: read it when that is cheap, so that the client sees the answer and the
     * connection lives on; else answer now and close. */
    if (ex->draining_body && ex->response != NULL &&
        (ex->msg.expect_continue ||
         (ex->msg.content_length != UINT64_MAX && ex->msg.content_length > ex->drain_until))) {
        return queue(ex);
    }
    return MHD_YES;
}

static enum MHD_Result body_piece(struct exchange *ex, const char *data, size_t n)
{
    ex->received += n;
    ex->server->kick = true; /* there may be more in the socket */
    if (!ex->draining_body && ex->received > ex->msg.plan.max_body) {
        malformed(ex, 413, "the request body is too large");
    }
    if (ex->draining_body) {
        return ex->received > ex->drain_until ? MHD_NO : MHD_YES;
    }
    struct text_refusal why;
    if (ex->upload != NULL) {
        if (!upload_add(ex->upload, data, n, &why)) {
            malformed(ex, why.status, why.text);
        }
    } else if (body_add(ex->body, data, n) != TN_OK) {
        malformed(ex, 503, "no room for the request body");
    }
    return MHD_YES;
}

/* The request is complete: hand it over. */
static void submit(struct exchange *ex)
{
    ex->submitted = true;
    if (!head_trailers(ex)) {
        malformed(ex, 400, "the trailer section of the body is malformed");
        return;
    }
    if (ex->body != NULL &&
        body_done(ex->body, &ex->msg.req.body, &ex->msg.req.body_len) != TN_OK) {
        malformed(ex, 503, "no room for the request body");
        return;
    }
    struct text_refusal why;
    if (ex->upload != NULL && !upload_done(ex->upload, &why)) {
        malformed(ex, why.status, why.text);
        return;
    }
    ex->handed_over = true;
    fe_host->http->submit(fe_host->ctx, &ex->msg.req);
}

/* Called when the request is complete and, while it is parked, every time libmicrohttpd runs. */
static enum MHD_Result request_complete(struct exchange *ex)
{
    if (ex->conn->killed) {
        return MHD_NO;
    }
    if (!ex->submitted && !ex->answered && !(ex->msg.plan.flags & TN_PLAN_ANSWERED) &&
        !ex->draining_body) {
        submit(ex);
    }
    if (ex->response != NULL) {
        return queue(ex);
    }
    if (!ex->queued) {
        wait(ex);
    }
    return MHD_YES;
}

enum MHD_Result exchange_access(void *cls, struct MHD_Connection *mhd, const char *url,
                                const char *method, const char *version, const char *data,
                                size_t *size, void **con_cls)
{
    struct exchange *ex = *con_cls;
    (void)cls;
    (void)mhd;
    (void)url;
    if (ex == NULL) {
        return MHD_NO;
    }
    ex->server->events++;
    if (!ex->head_done) {
        ex->head_done = true;
        return head_complete(ex, method, version);
    }
    if (*size > 0) {
        size_t n = *size;
        *size = 0;
        return body_piece(ex, data, n);
    }
    return request_complete(ex);
}

void exchange_completed(void *cls, struct MHD_Connection *mhd, void **con_cls,
                        enum MHD_RequestTerminationCode why)
{
    struct exchange *ex = *con_cls;
    (void)cls;
    (void)mhd;
    (void)why;
    *con_cls = NULL;
    if (ex == NULL) {
        return;
    }
    if (ex->gone != NULL) {
        fe_host->loop->unwatch(fe_host->ctx, ex->gone);
        ex->gone = NULL;
    }
    stop_waiting(ex);
    ex->conn->ex = NULL;
    conn_phase(ex->conn, PHASE_IDLE);
    if (ex->server->draining) {
        conn_kill(ex->conn);
    }
    ex->conn = NULL;
    ex->mhd = NULL;
    if (!ex->kernel) {
        exchange_free(ex);
    } else if (!ex->answered || ex->stream != NULL) {
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

/* ---- clients that leave during a long call --------------------------------------------------------------- */

static void client_event(void *user, uint32_t events)
{
    struct exchange *ex = user;
    (void)events;
    fe_host->count(fe_host->ctx, "http_clients_gone", 1);
    conn_kill(ex->conn);
    stop_waiting(ex);
    exchange_unsuspend(ex);
}

void exchange_watch_gone(struct exchange *ex)
{
    if (!ex->suspended || ex->watched) {
        return;
    }
    /* libmicrohttpd has taken the descriptor out of its own set, so nobody else looks at it. */
    ex->watched = true;
    if (fe_host->loop->watch(fe_host->ctx, ex->conn->fd, EPOLLRDHUP, client_event, ex, &ex->gone,
                             NULL) != TN_OK) {
        ex->gone = NULL;
    }
}
