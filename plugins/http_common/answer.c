/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of the kernel's answer: validators, compression, and headers that are the connection's.
 * How it is written to the client is the engine's. */
#include "plugins/http_common/http.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/* Fields that belong to the connection or that the engine writes itself, by the length of their names. */
static const char *const managed[][2] = {
    [2] = {"te"},
    [7] = {"upgrade", "trailer"},
    [10] = {"connection", "keep-alive"},
    [14] = {"content-length"},
    [16] = {"proxy-connection"},
    [17] = {"transfer-encoding"},
};

/* Media types that shrink. "x/" stands for the whole family. */
static const char *const compressible[] = {
    "text/",           "application/json",         "application/javascript", "application/xml",
    "image/svg+xml",   "application/x-ndjson",     "application/xhtml+xml",  "application/wasm",
    "application/csv", "application/problem+json",
};

void answer_drop(const tn_http_reply *r)
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

bool answer_usual(tn_str name)
{
    /* by length; a length has at most three */
    static const char *const usual[][3] = {
        [10] = {"X-Trace-Id"},
        [13] = {"X-Client-Time", "X-Dff-Version", "Last-Modified"},
        [14] = {"X-Request-Time", "X-Request-Cost"},
        [15] = {"X-Response-Time"},
        [23] = {"X-Dff-Release-Timestamp"},
    };
    if (name.n >= sizeof usual / sizeof usual[0]) {
        return false;
    }
    for (size_t i = 0; i < 3 && usual[name.n][i] != NULL; i++) {
        if (memcmp(name.s, usual[name.n][i], name.n) == 0) {
            return true;
        }
    }
    return false;
}

bool answer_managed(tn_str name)
{
    if (name.n >= sizeof managed / sizeof managed[0]) {
        return false;
    }
    for (size_t i = 0; i < 2 && managed[name.n][i] != NULL; i++) {
        if (text_equal_ci(name, managed[name.n][i])) {
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

/* By length first: an answer has a dozen headers and few of them matter here. */
void answer_note(struct answer *a, tn_str name, tn_str value)
{
    switch (name.n) {
    case 4:
        if (text_equal_ci(name, "etag")) {
            a->etag = value;
        } else if (text_equal_ci(name, "vary")) {
            a->vary = true;
        } else if (text_equal_ci(name, "date")) {
            a->date = true;
        }
        break;
    case 10:
        if (text_equal_ci(name, "connection") && text_equal_ci(value, "close")) {
            a->close = true;
        }
        break;
    case 12:
        if (text_equal_ci(name, "content-type")) {
            a->type = value;
        }
        break;
    case 16:
        if (text_equal_ci(name, "content-encoding")) {
            a->coding = true;
        }
        break;
    case 22:
        if (text_equal_ci(name, "x-content-type-options")) {
            a->nosniff = true;
        }
        break;
    default:
        break;
    }
}

tn_rc answer_init(struct answer *a, const tn_http_reply *r, tn_err *err)
{
    *a = (struct answer){.r = *r};
    if (r->status < 200 || r->status > 999) {
        return fe_host->fail(err, TN_E_INVAL, "status %u cannot be sent: use 200 to 999",
                             r->status);
    }
    return TN_OK;
}

tn_rc answer_refused(tn_str name, const char *why, tn_err *err)
{
    return fe_host->fail(err, TN_E_INVAL, "header \"%.*s\" cannot be sent: %s",
                         (int)(name.n > 64 ? 64 : name.n), name.s != NULL ? name.s : "", why);
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

bool answer_has_body(uint32_t status)
{
    return status != 204 && status != 304;
}

static void body_free(tn_http_reply *r)
{
    if (r->body_free != NULL) {
        r->body_free(r->body_owner);
    }
    r->body_free = NULL;
    r->body = (const uint8_t *)"";
    r->body_len = 0;
}

/* RFC 9110 section 13.1.2: the client's copy may still be good. */
static void validate(struct answer *a, const tn_http_req *req)
{
    if (a->etag.s == NULL) {
        a->etag = (tn_str){a->made, make_etag(&a->r, a->made)};
        a->add_etag = true;
    }
    tn_str wanted = tn_http_header(req, "if-none-match");
    if (wanted.s != NULL && text_etag_match(wanted, a->etag) &&
        (req->method.s[0] == 'G' || req->method.s[0] == 'H')) {
        a->r.status = 304;
    }
}

static void compress_body(struct answer *a, const struct message *m)
{
    tn_http_reply *r = &a->r;
    tn_str accept = tn_http_header(&m->req, "accept-encoding");
    size_t n = 0;
    uint8_t *small = accept.s != NULL && text_quality(accept, "gzip") > 0
                         ? gzip(r->body, r->body_len, (int)m->conf->gzip_level, &n)
                         : NULL;
    a->add_vary = !a->vary;
    if (small != NULL) {
        body_free(r);
        r->body = small;
        r->body_len = n;
        r->body_free = free;
        r->body_owner = small;
        a->add_gzip = true;
    }
}

void answer_settle(struct answer *a, const struct message *m)
{
    tn_http_reply *r = &a->r;
    bool in_memory = r->fd < 0 && r->body_len > 0;
    if (in_memory && (r->flags & TN_REPLY_ETAG) && r->status == 200) {
        validate(a, &m->req);
    }
    if (in_memory && answer_has_body(r->status) && m->conf->gzip &&
        !(r->flags & TN_REPLY_NO_GZIP) && !a->coding &&
        r->body_len >= (size_t)m->conf->gzip_min.n && is_compressible(a->type)) {
        compress_body(a, m);
    }
    if (!answer_has_body(r->status) && r->fd < 0) {
        body_free(r);
    }
}
