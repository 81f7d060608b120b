/* SPDX-License-Identifier: Apache-2.0 */
/* The request head: copied out of libmicrohttpd and validated; what the library hides is concluded
 * from the pointers that it hands out. The rules themselves are in http_common/head.c. */
#include "fe.h"
#include <string.h>

#define FIELD_MEMORY  64   /* what libmicrohttpd spends on a header field besides its text */
#define ANSWER_MEMORY 1024 /* must be left for the headers of an answer */

struct fields {
    struct head head; /* first */
    struct exchange *ex;
    size_t cookies;       /* libmicrohttpd parses a copy of them */
    const char *expected; /* where the next field must begin in libmicrohttpd's buffer */
};

void head_target(struct exchange *ex, const char *uri)
{
    ex->line = uri;
    ex->line_n = uri != NULL ? strlen(uri) : 0;
    if (ex->line_n > (size_t)ex->server->conf->http.max_request_line.n) {
        message_refuse(&ex->msg, 414, "the request target is too long");
        return;
    }
    const char *p = message_copy(&ex->msg, uri != NULL ? uri : "", ex->line_n);
    ex->msg.req.target = (tn_str){p, p != NULL ? ex->line_n : 0};
    /* libmicrohttpd would parse the query into its own list, with memory for every field; it reads
     * the text after "?" only when this function has returned, and finds none. */
    char *query = ex->line_n > 0 ? memchr((char *)(uintptr_t)uri, '?', ex->line_n) : NULL;
    if (query != NULL) {
        query[1] = '\0';
    }
}

static bool field_ok(struct exchange *ex, tn_str name, tn_str value)
{
    if (name.n == 0) {
        message_refuse(&ex->msg, 400, "a header name is empty");
        return false;
    }
    for (size_t i = 0; i < name.n; i++) {
        if (!text_is_tchar((unsigned char)name.s[i])) {
            message_refuse(&ex->msg, 400, "a header name has a character that is not allowed");
            return false;
        }
    }
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.s[i];
        if ((c < 0x20 && c != '\t') || c == 0x7F) {
            message_refuse(&ex->msg, 400, "a header value has a control character");
            return false;
        }
    }
    return true;
}

static enum MHD_Result each_field(void *cls, enum MHD_ValueKind kind, const char *name,
                                  size_t name_n, const char *value, size_t value_n)
{
    struct fields *f = cls;
    struct message *m = f->head.msg;
    (void)kind;
    if (value == NULL) {
        value = "";
        value_n = 0;
    }
    if (!head_count(&f->head, name_n, value_n)) {
        return MHD_NO;
    }
    if (f->expected != NULL) {
        if (name != f->expected) {
            message_refuse(m, 400, "the header section is malformed");
            return MHD_NO;
        }
        f->expected = value + value_n + 2;
    }
    tn_str v = text_trim((tn_str){value, value_n});
    if (!field_ok(f->ex, (tn_str){name, name_n}, v)) {
        return MHD_NO;
    }
    char *p = message_alloc(m, name_n + v.n + 2, 1);
    if (p == NULL) {
        message_refuse(m, 503, "no memory for the request");
        return MHD_NO;
    }
    text_lower(p, name, name_n);
    p[name_n] = '\0';
    char *q = p + name_n + 1;
    memcpy(q, v.s, v.n);
    q[v.n] = '\0';
    head_field(&f->head, (tn_str){p, name_n}, (tn_str){q, v.n});
    if (name_n == 6 && memcmp(p, "cookie", 6) == 0) {
        f->cookies += v.n;
    }
    if (f->head.coding > 0 && f->head.coding_value.s == q && v.n != value_n) {
        /* libmicrohttpd compares it with the blanks at its end, and would read until the end of
         * the connection */
        message_refuse(m, 400, "Transfer-Encoding has blanks at its end");
        return MHD_NO;
    }
    return MHD_YES;
}

bool head_read(struct exchange *ex, const char *method, const char *version)
{
    struct message *m = &ex->msg;
    struct fields f = {.head = {.msg = m}, .ex = ex};
    size_t method_n = strlen(method);
    if (strcmp(version, "HTTP/1.0") == 0) {
        m->req.flags |= TN_REQ_HTTP10;
    } else if (strcmp(version, "HTTP/1.1") != 0) {
        message_refuse(m, 505, "only HTTP/1.0 and HTTP/1.1 are supported");
    }
    if (ex->server->raw_layout) {
        /* libmicrohttpd works in place: pointers tell what it skipped or cut */
        if (ex->line != method + method_n + 1 || version != ex->line + ex->line_n + 1) {
            message_refuse(m, 400, "the request line is malformed");
        }
        f.expected = version + strlen(version) + 2;
    }
    if (!head_method(&f.head, (tn_str){method, method_n}) || m->refused != 0) {
        return false;
    }
    MHD_get_connection_values_n(ex->mhd, MHD_HEADER_KIND, each_field, &f);
    if (m->refused != 0) {
        return false;
    }
    if (f.expected != NULL) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(
            ex->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
        if (info == NULL || method + info->header_size != f.expected + 2) {
            message_refuse(m, 400, "the header section is malformed");
            return false;
        }
    }
    ex->head_memory = method_n + ex->line_n + 16 + f.head.bytes + m->req.nheaders * FIELD_MEMORY +
                      f.cookies * 2;
    if (ex->head_memory + ANSWER_MEMORY > (size_t)ex->server->conf->connection_memory.n) {
        message_refuse(m, 431, "the request head is too large");
        return false;
    }
    const struct conn *c = ex->conn;
    return head_finish(&f.head, ex->server->peers, (tn_str){c->peer, c->peer_n}, c->trusted);
}

struct trailers {
    struct exchange *ex;
    size_t bytes;
    uint32_t n;
    bool bad;
};

static enum MHD_Result each_trailer(void *cls, enum MHD_ValueKind kind, const char *name,
                                    size_t name_n, const char *value, size_t value_n)
{
    struct trailers *t = cls;
    const struct http_conf *conf = t->ex->msg.conf;
    (void)kind;
    t->bytes += name_n + value_n + 4;
    t->n++;
    t->bad = t->n > conf->max_headers || t->bytes > (size_t)conf->max_header_bytes.n ||
             text_header_refused((tn_str){name, name_n}, (tn_str){value, value_n}) != NULL;
    return t->bad ? MHD_NO : MHD_YES;
}

bool head_trailers(struct exchange *ex)
{
    struct trailers t = {.ex = ex};
    if (ex->msg.content_length == UINT64_MAX) {
        MHD_get_connection_values_n(ex->mhd, MHD_FOOTER_KIND, each_trailer, &t);
    }
    return !t.bad;
}
