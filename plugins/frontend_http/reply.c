/* SPDX-License-Identifier: Apache-2.0 */
/* Answers: the kernel's description becomes a response of libmicrohttpd, validated before anything is
 * sent. */
#include "fe.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What libmicrohttpd and this file add: status line, Date, Content-Length, Connection, validators. */
#define OWN_HEADERS  320
/* Only clients of HTTP/1.0 get streams in blocks of that size; for others chunks are made in the
 * connection's own memory. */
#define STREAM_BLOCK 4096

static tn_rc inspect(const struct exchange *ex, struct answer *a, tn_err *err)
{
    size_t memory = (size_t)ex->server->conf->connection_memory.n, need = OWN_HEADERS;
    for (uint32_t i = 0; i < a->r.nheaders; i++) {
        tn_str name = a->r.headers[i].name, value = a->r.headers[i].value;
        const char *bad = text_header_refused(name, value);
        if (bad != NULL) {
            return answer_refused(name, bad, err);
        }
        need += name.n + value.n + 4;
        answer_note(a, name, value);
    }
    if (need + ex->head_memory > memory) {
        return fe_host->fail(
            err, TN_E_INVAL,
            "%zu bytes of headers cannot be sent: connection_memory is %zu and the "
            "request holds %zu of it",
            need, memory, ex->head_memory);
    }
    return TN_OK;
}

/* ---- owners of bodies ------------------------------------------------------------------------------- */

/* A body with a free function needs a cell for both; static bodies need none. */
struct owner {
    void (*free)(void *owner);
    void *owner;
};

static void owner_free(void *cls)
{
    struct owner *o = cls;
    o->free(o->owner);
    free(o);
}

/* A file that goes when its answer has gone. libmicrohttpd closes descriptors itself, so deleting
 * before it reads is enough: the open descriptor keeps the bytes. */
static struct MHD_Response *file_response(const tn_http_reply *r)
{
    struct MHD_Response *res = MHD_create_response_from_fd_at_offset64(r->fd_len, r->fd, r->fd_off);
    if (res == NULL) {
        close(r->fd);
    }
    if ((r->flags & TN_REPLY_DELETE) && r->fd_path != NULL) {
        unlink(r->fd_path);
    }
    return res;
}

static struct MHD_Response *memory_response(const tn_http_reply *r)
{
    if (r->body_free == NULL || r->body_len == 0) {
        if (r->body_free != NULL) {
            r->body_free(r->body_owner);
        }
        return MHD_create_response_from_buffer(r->body_len, (void *)(uintptr_t)r->body,
                                               MHD_RESPMEM_PERSISTENT);
    }
    struct owner *o = malloc(sizeof *o);
    if (o == NULL) {
        r->body_free(r->body_owner);
        return NULL;
    }
    *o = (struct owner){r->body_free, r->body_owner};
    struct MHD_Response *res = MHD_create_response_from_buffer_with_free_callback_cls(
        r->body_len, (void *)(uintptr_t)r->body, owner_free, o);
    if (res == NULL) {
        owner_free(o);
    }
    return res;
}

/* ---- assembling ------------------------------------------------------------------------------------------ */

static bool add(struct MHD_Response *res, const char *name, const char *value)
{
    return MHD_add_response_header(res, name, value) == MHD_YES;
}

/* The same for borrowed text, which has no NUL at its end. */
static bool add_pair(struct MHD_Response *res, tn_str name, tn_str value)
{
    char buf[1024], *p = buf;
    if (name.n + value.n + 2 > sizeof buf) {
        p = malloc(name.n + value.n + 2);
        if (p == NULL) {
            return false;
        }
    }
    memcpy(p, name.s, name.n);
    p[name.n] = '\0';
    memcpy(p + name.n + 1, value.s, value.n);
    p[name.n + 1 + value.n] = '\0';
    bool ok = add(res, p, p + name.n + 1);
    if (p != buf) {
        free(p);
    }
    return ok;
}

static bool add_headers(struct MHD_Response *res, const tn_http_reply *r)
{
    for (uint32_t i = 0; i < r->nheaders; i++) {
        tn_str value = text_trim(r->headers[i].value);
        /* libmicrohttpd cannot send an empty value, and leaving it out means the same */
        if (value.n > 0 && !answer_managed(r->headers[i].name) &&
            !add_pair(res, r->headers[i].name, value)) {
            return false;
        }
    }
    return true;
}

/* What every answer carries. */
static bool add_head(const struct exchange *ex, struct MHD_Response *res, const struct answer *a)
{
    bool close = (a->r.flags & TN_REPLY_CLOSE) || a->close || ex->server->draining;
    return add_headers(res, &a->r) &&
           (a->nosniff || add(res, "X-Content-Type-Options", "nosniff")) &&
           (!close || add(res, "Connection", "close"));
}

tn_rc reply_build(struct exchange *ex, const tn_http_reply *given, struct MHD_Response **ret,
                  uint32_t *ret_status, tn_err *err)
{
    struct answer a;
    tn_rc rc = answer_init(&a, given, err);
    if (rc == TN_OK) {
        rc = inspect(ex, &a, err);
    }
    if (rc != TN_OK) {
        answer_drop(given);
        return rc;
    }
    answer_settle(&a, &ex->msg);
    struct MHD_Response *res = a.r.fd >= 0 ? file_response(&a.r) : memory_response(&a.r);
    if (res == NULL) {
        return TN_E_NOMEM;
    }
    bool ok = add_head(ex, res, &a) && (!a.add_etag || add(res, "ETag", a.made)) &&
              (!a.add_vary || add(res, "Vary", "Accept-Encoding")) &&
              (!a.add_gzip || add(res, "Content-Encoding", "gzip"));
    if (!ok) {
        MHD_destroy_response(res);
        return TN_E_NOMEM;
    }
    *ret = res;
    *ret_status = a.r.status;
    return TN_OK;
}

tn_rc reply_build_stream(struct exchange *ex, const tn_http_reply *head,
                         MHD_ContentReaderCallback read, struct MHD_Response **ret, tn_err *err)
{
    struct answer a;
    tn_rc rc = answer_init(&a, head, err);
    if (rc == TN_OK) {
        rc = inspect(ex, &a, err);
    }
    if (rc != TN_OK) {
        return rc;
    }
    if (!answer_has_body(head->status)) {
        return fe_host->fail(err, TN_E_INVAL, "status %u has no body to stream", head->status);
    }
    /* libmicrohttpd 0.9.75 sends a last chunk after the head of an answer to HEAD */
    struct MHD_Response *res =
        text_equal_ci(ex->msg.req.method, "head")
            ? MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT)
            : MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, read, ex, NULL);
    if (res == NULL) {
        return TN_E_NOMEM;
    }
    if (!add_head(ex, res, &a)) {
        MHD_destroy_response(res);
        return TN_E_NOMEM;
    }
    *ret = res;
    return TN_OK;
}

struct MHD_Response *reply_refusal(uint32_t status, const char *text)
{
    char body[256];
    size_t n = strlen(text);
    (void)status;
    if (n > sizeof body - 2) {
        n = sizeof body - 2;
    }
    memcpy(body, text, n);
    body[n++] = '\n';
    struct MHD_Response *res = MHD_create_response_from_buffer(n, body, MHD_RESPMEM_MUST_COPY);
    if (res != NULL &&
        (!add(res, "Content-Type", "text/plain; charset=utf-8") ||
         !add(res, "X-Content-Type-Options", "nosniff") || !add(res, "Connection", "close"))) {
        MHD_destroy_response(res);
        return NULL;
    }
    return res;
}
