/* SPDX-License-Identifier: Apache-2.0 */
/* Answers: the kernel's description becomes a response of libmicrohttpd, validated before anything is
 * sent, compressed or reduced to 304 where that is allowed. */
#include "fe.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/* Fields that belong to the connection or that libmicrohttpd writes itself. */
static const char *const managed[] = {
    "connection", "content-length", "transfer-encoding", "keep-alive", "upgrade",
    "te",         "trailer",        "proxy-connection",
};

/* Media types that shrink. "x/" stands for the whole family. */
static const char *const compressible[] = {
    "text/",           "application/json",         "application/javascript", "application/xml",
    "image/svg+xml",   "application/x-ndjson",     "application/xhtml+xml",  "application/wasm",
    "application/csv", "application/problem+json",
};

void reply_drop(const tn_http_reply *r)
{
    if (r->body_free != NULL) {
        r->body_free(r->body_owner);
    }
    if (r->fd >= 0) {
        close(r->fd);
    }
    if ((r->flags & TN_REPLY_DELETE) && r->fd_path != NULL) {
        unlink(r->fd_path);
    }
}

static bool is_managed(tn_str name)
{
    if (name.n == 0 || strchr("ckptu", name.s[0] | 0x20) == NULL) {
        return false; /* most names of an answer begin with X- */
    }
    for (size_t i = 0; i < sizeof managed / sizeof managed[0]; i++) {
        if (text_equal_ci(name, managed[i])) {
            return true;
        }
    }
    return false;
}

static bool is_compressible(tn_str type)
{
    size_t n = 0;
    while (n < type.n && type.s[n] != ';' && type.s[n] != ' ') {
        n++;
    }
    for (size_t i = 0; i < sizeof compressible / sizeof compressible[0]; i++) {
        size_t k = strlen(compressible[i]);
        bool family = compressible[i][k - 1] == '/';
        if ((family ? n > k : n == k) && text_equal_ci((tn_str){type.s, k}, compressible[i])) {
            return true;
        }
    }
    return false;
}

/* What libmicrohttpd and this file add: status line, Date, Content-Length, Connection, validators. */
#define OWN_HEADERS 320
/* Only clients of HTTP/1.0 get streams in blocks of that size; for others chunks are made in the
 * connection's own memory. */
#define STREAM_BLOCK 4096

/* What the answer's own headers say. */
struct seen {
    tn_str type, etag;
    bool coding, vary, nosniff, close;
};

/* By length first: an answer has a dozen headers and few of them matter here. */
static void note(struct seen *seen, tn_str name, tn_str value)
{
    switch (name.n) {
    case 4:
        if (text_equal_ci(name, "etag")) {
            seen->etag = value;
        } else if (text_equal_ci(name, "vary")) {
            seen->vary = true;
        }
        break;
    case 10:
        if (text_equal_ci(name, "connection") && text_equal_ci(value, "close")) {
            seen->close = true;
        }
        break;
    case 12:
        if (text_equal_ci(name, "content-type")) {
            seen->type = value;
        }
        break;
    case 16:
        if (text_equal_ci(name, "content-encoding")) {
            seen->coding = true;
        }
        break;
    case 22:
        if (text_equal_ci(name, "x-content-type-options")) {
            seen->nosniff = true;
        }
        break;
    default:
        break;
    }
}

static tn_rc inspect(const struct exchange *ex, const tn_http_reply *r, struct seen *seen,
                     tn_err *err)
{
    size_t memory = (size_t)ex->server->conf->connection_memory.n, need = OWN_HEADERS;
    for (uint32_t i = 0; i < r->nheaders; i++) {
        tn_str name = r->headers[i].name, value = r->headers[i].value;
        const char *bad = text_header_refused(name, value);
        if (bad != NULL) {
            return fe_host->fail(err, TN_E_INVAL, "header \"%.*s\" cannot be sent: %s",
                                 (int)(name.n > 64 ? 64 : name.n), name.s != NULL ? name.s : "",
                                 bad);
        }
        need += name.n + value.n + 4;
        note(seen, name, value);
    }
    if (need + ex->head_memory > memory) {
        return fe_host->fail(
            err, TN_E_INVAL,
            "%zu bytes of headers cannot be sent: connection_memory is %zu and the "
            "request holds %zu of it",
            need, memory, ex->head_memory);
    }
    if (r->status < 200 || r->status > 999) {
        return fe_host->fail(err, TN_E_INVAL, "status %u cannot be sent: use 200 to 999",
                             r->status);
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

/* ---- compression and validators ------------------------------------------------------------------------ */

/* The whole answer at once: bodies in memory are bounded by what a call may return. NULL: not worth
 * it. */
static uint8_t *gzip(const uint8_t *body, size_t n, int level, size_t *ret_n)
{
    z_stream z = {0};
    if (n > UINT32_MAX / 2 ||
        deflateInit2(&z, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        return NULL;
    }
    /* an answer that does not shrink is sent as it is, so n - 1 bytes of room are enough */
    uint8_t *out = malloc(n);
    z.next_in = (Bytef *)(uintptr_t)body;
    z.avail_in = (uInt)n;
    z.next_out = out;
    z.avail_out = (uInt)(n - 1);
    bool ok = out != NULL && deflate(&z, Z_FINISH) == Z_STREAM_END;
    *ret_n = z.total_out;
    deflateEnd(&z);
    if (!ok) {
        free(out);
        return NULL;
    }
    return out;
}

/* A fast 64-bit hash with good mixing; an ETag only has to change when the body does. */
static uint64_t hash(const uint8_t *p, size_t n)
{
    uint64_t h = 0x9E3779B97F4A7C15u ^ n, w;
    while (n >= 8) {
        memcpy(&w, p, 8);
        h = (h ^ w) * 0xFF51AFD7ED558CCDu;
        h ^= h >> 32;
        p += 8;
        n -= 8;
    }
    w = 0;
    memcpy(&w, p, n);
    h = (h ^ w) * 0xC4CEB9FE1A85EC53u;
    h ^= h >> 29;
    h *= 0xBF58476D1CE4E5B9u;
    return h ^ (h >> 32);
}

static size_t make_etag(const tn_http_reply *r, char *buf)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t h = hash(r->body, r->body_len);
    size_t n = 0;
    memcpy(buf, "W/\"", 3);
    n = 3;
    for (int shift = 60; shift >= 0; shift -= 4) {
        buf[n++] = digits[h >> shift & 15];
    }
    buf[n++] = '"';
    buf[n] = '\0';
    return n;
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
        if (value.n > 0 && !is_managed(r->headers[i].name) &&
            !add_pair(res, r->headers[i].name, value)) {
            return false;
        }
    }
    return true;
}

/* What every answer carries. */
static bool add_head(const struct exchange *ex, struct MHD_Response *res, const tn_http_reply *r,
                     const struct seen *seen)
{
    bool close = (r->flags & TN_REPLY_CLOSE) || seen->close || ex->server->draining;
    return add_headers(res, r) && (seen->nosniff || add(res, "X-Content-Type-Options", "nosniff")) &&
           (!close || add(res, "Connection", "close"));
}

static bool body_allowed(uint32_t status)
{
    return status != 204 && status != 304;
}

tn_rc reply_build(struct exchange *ex, const tn_http_reply *given, struct MHD_Response **ret,
                  uint32_t *ret_status, tn_err *err)
{
    const struct fe_conf *conf = ex->server->conf;
    struct seen seen = {0};
    tn_http_reply r = *given;
    char etag[24];
    bool compressed = false, vary = false;
    tn_rc rc = inspect(ex, given, &seen, err);
    if (rc != TN_OK) {
        reply_drop(given);
        return rc;
    }
    bool in_memory = r.fd < 0 && r.body_len > 0;
    if (in_memory && (r.flags & TN_REPLY_ETAG) && r.status == 200) {
        if (seen.etag.s == NULL) {
            seen.etag = (tn_str){etag, make_etag(&r, etag)};
        } else {
            r.flags &= ~TN_REPLY_ETAG; /* it is among the headers */
        }
        tn_str wanted = tn_http_header(&ex->req, "if-none-match");
        if (wanted.s != NULL && text_etag_match(wanted, seen.etag) &&
            (ex->req.method.s[0] == 'G' || ex->req.method.s[0] == 'H')) {
            r.status = 304;
        }
    } else {
        r.flags &= ~TN_REPLY_ETAG;
    }
    if (in_memory && body_allowed(r.status) && conf->gzip && !(r.flags & TN_REPLY_NO_GZIP) &&
        !seen.coding && r.body_len >= (size_t)conf->gzip_min.n && is_compressible(seen.type)) {
        vary = !seen.vary;
        tn_str accept = tn_http_header(&ex->req, "accept-encoding");
        size_t n = 0;
        uint8_t *small = accept.s != NULL && text_quality(accept, "gzip") > 0
                             ? gzip(r.body, r.body_len, (int)conf->gzip_level, &n)
                             : NULL;
        if (small != NULL) {
            if (r.body_free != NULL) {
                r.body_free(r.body_owner);
            }
            r.body = small;
            r.body_len = n;
            r.body_free = free;
            r.body_owner = small;
            compressed = true;
        }
    }
    if (!body_allowed(r.status) && r.fd < 0) {
        if (r.body_free != NULL) {
            r.body_free(r.body_owner);
        }
        r.body = (const uint8_t *)"";
        r.body_len = 0;
        r.body_free = NULL;
    }
    struct MHD_Response *res = r.fd >= 0 ? file_response(&r) : memory_response(&r);
    if (res == NULL) {
        return TN_E_NOMEM;
    }
    bool ok = add_head(ex, res, &r, &seen) &&
              (!(r.flags & TN_REPLY_ETAG) || add(res, "ETag", etag)) &&
              (!vary || add(res, "Vary", "Accept-Encoding")) &&
              (!compressed || add(res, "Content-Encoding", "gzip"));
    if (!ok) {
        MHD_destroy_response(res);
        return TN_E_NOMEM;
    }
    *ret = res;
    *ret_status = r.status;
    return TN_OK;
}

tn_rc reply_build_stream(struct exchange *ex, const tn_http_reply *head,
                         MHD_ContentReaderCallback read, struct MHD_Response **ret, tn_err *err)
{
    struct seen seen = {0};
    tn_rc rc = inspect(ex, head, &seen, err);
    if (rc != TN_OK) {
        return rc;
    }
    if (!body_allowed(head->status)) {
        return fe_host->fail(err, TN_E_INVAL, "status %u has no body to stream", head->status);
    }
    /* libmicrohttpd 0.9.75 sends a last chunk after the head of an answer to HEAD */
    struct MHD_Response *res =
        text_equal_ci(ex->req.method, "head")
            ? MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT)
            : MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, read, ex, NULL);
    if (res == NULL) {
        return TN_E_NOMEM;
    }
    if (!add_head(ex, res, head, &seen)) {
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
