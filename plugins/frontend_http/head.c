/* SPDX-License-Identifier: Apache-2.0 */
/* The request head: copied out of libmicrohttpd and validated (RFC 9110, RFC 9112). What leaves this
 * file is unambiguous; whatever two parsers could read differently is refused. */
#include "fe.h"
#include <stdlib.h>
#include <string.h>

#define FIELD_MEMORY  64   /* what libmicrohttpd spends on a header field besides its text */
#define ANSWER_MEMORY 1024 /* must be left for the headers of an answer */

static const char methods[][8] = {"GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"};

/* What one pass over the header fields remembers. */
struct head {
    struct exchange *ex;
    size_t bytes, cookies;
    const char *expected; /* where the next field must begin in libmicrohttpd's buffer */
    uint32_t host, length, coding, expect; /* how often they occur */
    tn_str host_value, length_value, coding_value, expect_value, content_coding;
    tn_str forwarded_for, forwarded_proto;
};

static char *copy(struct exchange *ex, const char *s, size_t n)
{
    char *p = exchange_alloc(ex, n + 1, 1);
    if (p == NULL) {
        exchange_refuse(ex, 503, "no memory for the request");
        return NULL;
    }
    memcpy(p, s, n);
    p[n] = '\0';
    return p;
}

void head_target(struct exchange *ex, const char *uri)
{
    ex->line = uri;
    ex->line_n = uri != NULL ? strlen(uri) : 0;
    if (ex->line_n > (size_t)ex->server->conf->max_request_line.n) {
        exchange_refuse(ex, 414, "the request target is too long");
        return;
    }
    const char *p = copy(ex, uri != NULL ? uri : "", ex->line_n);
    ex->req.target = (tn_str){p, p != NULL ? ex->line_n : 0};
    /* libmicrohttpd would parse the query into its own list, with memory for every field; it reads
     * the text after "?" only when this function has returned, and finds none. */
    char *query = ex->line_n > 0 ? memchr((char *)(uintptr_t)uri, '?', ex->line_n) : NULL;
    if (query != NULL) {
        query[1] = '\0';
    }
}

static bool method_read(struct exchange *ex, const char *method)
{
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (strcmp(methods[i], method) == 0) {
            ex->req.method = (tn_str){methods[i], strlen(methods[i])};
            return true;
        }
    }
    ex->req.method = TN_STR("?");
    bool known = strcmp(method, "TRACE") == 0 || strcmp(method, "CONNECT") == 0;
    exchange_refuse(ex, known ? 405 : 501, "the request method is not supported");
    return false;
}

static void remember(tn_str name, tn_str value, const char *want, tn_str *ret, uint32_t *count)
{
    if (memcmp(name.s, want, name.n) == 0) {
        *ret = value;
        if (count != NULL) {
            ++*count;
        }
    }
}

/* Fields with a meaning for the frontend, told apart by their length first. */
static void note_field(struct head *h, tn_str name, tn_str value)
{
    switch (name.n) {
    case 4:
        remember(name, value, "host", &h->host_value, &h->host);
        break;
    case 6:
        if (memcmp(name.s, "cookie", 6) == 0) {
            h->cookies += value.n; /* libmicrohttpd parses a copy */
        }
        remember(name, value, "expect", &h->expect_value, &h->expect);
        break;
    case 14:
        remember(name, value, "content-length", &h->length_value, &h->length);
        break;
    case 15:
        remember(name, value, "x-forwarded-for", &h->forwarded_for, NULL);
        break;
    case 16:
        remember(name, value, "content-encoding", &h->content_coding, NULL);
        break;
    case 17:
        remember(name, value, "transfer-encoding", &h->coding_value, &h->coding);
        remember(name, value, "x-forwarded-proto", &h->forwarded_proto, NULL);
        break;
    default:
        break;
    }
}

static bool field_ok(struct exchange *ex, tn_str name, tn_str value)
{
    if (name.n == 0) {
        exchange_refuse(ex, 400, "a header name is empty");
        return false;
    }
    for (size_t i = 0; i < name.n; i++) {
        if (!text_is_tchar((unsigned char)name.s[i])) {
            exchange_refuse(ex, 400, "a header name has a character that is not allowed");
            return false;
        }
    }
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.s[i];
        if ((c < 0x20 && c != '\t') || c == 0x7F) {
            exchange_refuse(ex, 400, "a header value has a control character");
            return false;
        }
    }
    return true;
}

static enum MHD_Result each_field(void *cls, enum MHD_ValueKind kind, const char *name,
                                  size_t name_n, const char *value, size_t value_n)
{
    struct head *h = cls;
    struct exchange *ex = h->ex;
    const struct fe_conf *conf = ex->server->conf;
    (void)kind;
    if (value == NULL) {
        value = "";
        value_n = 0;
    }
    h->bytes += name_n + value_n + 4;
    if (ex->req.nheaders >= conf->max_headers || h->bytes > (size_t)conf->max_header_bytes.n) {
        exchange_refuse(ex, 431, "the request has too many or too large header fields");
        return MHD_NO;
    }
    if (h->expected != NULL) {
        if (name != h->expected) {
            exchange_refuse(ex, 400, "the header section is malformed");
            return MHD_NO;
        }
        h->expected = value + value_n + 2;
    }
    tn_str v = text_trim((tn_str){value, value_n});
    if (!field_ok(ex, (tn_str){name, name_n}, v)) {
        return MHD_NO;
    }
    char *p = exchange_alloc(ex, name_n + v.n + 2, 1);
    if (p == NULL) {
        exchange_refuse(ex, 503, "no memory for the request");
        return MHD_NO;
    }
    text_lower(p, name, name_n);
    p[name_n] = '\0';
    char *q = p + name_n + 1;
    memcpy(q, v.s, v.n);
    q[v.n] = '\0';
    tn_http_pair *pair = &ex->headers[ex->req.nheaders++];
    pair->name = (tn_str){p, name_n};
    pair->value = (tn_str){q, v.n};
    note_field(h, pair->name, pair->value);
    if (h->coding > 0 && h->coding_value.s == q && v.n != value_n) {
        /* libmicrohttpd compares it with the blanks at its end, and would read until the end of
         * the connection */
        exchange_refuse(ex, 400, "Transfer-Encoding has blanks at its end");
        return MHD_NO;
    }
    return MHD_YES;
}

/* host [ ":" port ] of RFC 3986 section 3.2.2, or "[" IPv6 "]" [ ":" port ]. */
static bool host_ok(tn_str h)
{
    size_t i = 0;
    if (h.n == 0) {
        return false;
    }
    if (h.s[0] == '[') {
        for (i = 1; i < h.n && h.s[i] != ']'; i++) {
            if (text_hex((unsigned char)h.s[i]) < 0 && h.s[i] != ':' && h.s[i] != '.') {
                return false;
            }
        }
        if (i == h.n || i < 3) {
            return false;
        }
        i++;
    } else {
        for (; i < h.n && h.s[i] != ':'; i++) {
            unsigned char c = (unsigned char)h.s[i];
            bool alnum = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
            if (!alnum && (c == 0 || strchr("-._~%!$&'()*+,;=", c) == NULL)) {
                return false;
            }
        }
        if (i == 0) {
            return false;
        }
    }
    if (i == h.n) {
        return true;
    }
    if (h.s[i] != ':' || h.n - i > 6) {
        return false;
    }
    for (i++; i < h.n; i++) {
        if (h.s[i] < '0' || h.s[i] > '9') {
            return false;
        }
    }
    return true;
}

static void check_host(struct head *h, const struct text_target *t)
{
    struct exchange *ex = h->ex;
    if (h->host > 1) {
        exchange_refuse(ex, 400, "the request has more than one Host");
    } else if (h->host == 0 && !(ex->req.flags & TN_REQ_HTTP10)) {
        exchange_refuse(ex, 400, "the request has no Host");
    } else if (h->host == 1 && !host_ok(h->host_value)) {
        exchange_refuse(ex, 400, "Host is not a host name or address with an optional port");
    } else if (t->host.s != NULL && !host_ok(t->host)) {
        exchange_refuse(ex, 400, "the authority of the request target is not a host");
    } else if (t->host.s != NULL && h->host == 1) {
        /* RFC 9112 section 3.2.2: the target's authority counts, Host is replaced */
        for (uint32_t i = 0; i < ex->req.nheaders; i++) {
            if (text_equal_ci(ex->headers[i].name, "host")) {
                ex->headers[i].value = t->host;
            }
        }
    }
}

/* Message framing, RFC 9112 section 6: the rules against request smuggling. */
static void check_framing(struct head *h)
{
    struct exchange *ex = h->ex;
    tn_str len = h->length_value;
    ex->content_length = 0;
    if (h->coding > 0) {
        if (ex->req.flags & TN_REQ_HTTP10) {
            exchange_refuse(ex, 400, "HTTP/1.0 has no Transfer-Encoding");
        } else if (h->length > 0) {
            exchange_refuse(ex, 400, "Content-Length and Transfer-Encoding exclude each other");
        } else if (h->coding > 1 || !text_equal_ci(h->coding_value, "chunked")) {
            exchange_refuse(ex, 501, "only the transfer coding \"chunked\" is supported");
        }
        ex->content_length = UINT64_MAX;
    } else if (h->length > 1) {
        exchange_refuse(ex, 400, "the request has more than one Content-Length");
    } else if (h->length == 1) {
        if (len.n == 0 || len.n > 18) {
            exchange_refuse(ex, len.n == 0 ? 400 : 413, "Content-Length is not acceptable");
        }
        for (size_t i = 0; i < len.n; i++) {
            if (len.s[i] < '0' || len.s[i] > '9') {
                exchange_refuse(ex, 400, "Content-Length is not a number");
                break;
            }
            ex->content_length = ex->content_length * 10 + (uint64_t)(len.s[i] - '0');
        }
    }
    if (h->content_coding.s != NULL && !text_equal_ci(h->content_coding, "identity")) {
        exchange_refuse(ex, 415, "a compressed request body is not supported");
    }
    if (h->expect > 0) {
        ex->expect_continue = text_equal_ci(h->expect_value, "100-continue");
        if (!ex->expect_continue) {
            exchange_refuse(ex, 417, "the only supported expectation is 100-continue");
        }
    }
}

/* Scheme and peer, from a proxy where one is trusted. */
static void read_origin(struct head *h)
{
    struct exchange *ex = h->ex;
    struct conn *c = ex->conn;
    ex->req.scheme = TN_STR("http");
    const char *p = copy(ex, c->peer, c->peer_n);
    ex->req.peer = (tn_str){p, p != NULL ? c->peer_n : 0};
    if (!c->trusted) {
        return;
    }
    tn_str client = peers_forwarded(ex->server->peers, h->forwarded_for);
    if (client.s != NULL) {
        ex->req.peer = client;
        ex->req.flags |= TN_REQ_TRUSTED_PROXY;
    }
    if (text_equal_ci(h->forwarded_proto, "https")) {
        ex->req.scheme = TN_STR("https");
        ex->req.flags |= TN_REQ_TRUSTED_PROXY;
    }
}

static void read_query(struct exchange *ex)
{
    tn_str query = ex->req.query;
    if (query.n == 0) {
        return;
    }
    size_t most = 1;
    for (size_t i = 0; i < query.n; i++) {
        most += query.s[i] == '&';
    }
    if (most > (size_t)ex->server->conf->max_fields) {
        exchange_refuse(ex, 400, "the query has too many fields");
        return;
    }
    tn_http_pair *args = exchange_alloc(ex, most * sizeof *args, _Alignof(tn_http_pair));
    char *room = exchange_alloc(ex, query.n + 1, 1);
    if (args == NULL || room == NULL) {
        exchange_refuse(ex, 503, "no memory for the request");
        return;
    }
    uint32_t n = 0;
    for (tn_str name, value; text_next_field(&query, &name, &value); n++) {
        size_t k = text_query_decode(name, room);
        args[n].name = (tn_str){room, k};
        room += k;
        k = text_query_decode(value, room);
        args[n].value = (tn_str){room, k};
        room += k;
    }
    ex->req.args = args;
    ex->req.nargs = n;
}

bool head_read(struct exchange *ex, const char *method, const char *version)
{
    struct head h = {.ex = ex};
    struct text_target t = {0};
    struct text_refusal why;
    size_t method_n = strlen(method);
    ex->req.headers = ex->headers;
    if (strcmp(version, "HTTP/1.0") == 0) {
        ex->req.flags |= TN_REQ_HTTP10;
    } else if (strcmp(version, "HTTP/1.1") != 0) {
        exchange_refuse(ex, 505, "only HTTP/1.0 and HTTP/1.1 are supported");
    }
    if (ex->server->raw_layout) {
        /* libmicrohttpd works in place: pointers tell what it skipped or cut */
        if (ex->line != method + method_n + 1 || version != ex->line + ex->line_n + 1) {
            exchange_refuse(ex, 400, "the request line is malformed");
        }
        h.expected = version + strlen(version) + 2;
    }
    if (!method_read(ex, method) || ex->refused != 0) {
        return false;
    }
    MHD_get_connection_values_n(ex->mhd, MHD_HEADER_KIND, each_field, &h);
    if (ex->refused != 0) {
        return false;
    }
    if (h.expected != NULL) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(
            ex->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
        if (info == NULL || method + info->header_size != h.expected + 2) {
            exchange_refuse(ex, 400, "the header section is malformed");
            return false;
        }
    }
    ex->head_memory = method_n + ex->line_n + 16 + h.bytes + ex->req.nheaders * FIELD_MEMORY +
                      h.cookies * 2;
    if (ex->head_memory + ANSWER_MEMORY > (size_t)ex->server->conf->connection_memory.n) {
        exchange_refuse(ex, 431, "the request head is too large");
        return false;
    }
    char *room = exchange_alloc(ex, ex->req.target.n + 2, 1);
    if (room == NULL) {
        exchange_refuse(ex, 503, "no memory for the request");
        return false;
    }
    if (!text_target(ex->req.method, ex->req.target, room, &t, &why)) {
        exchange_refuse(ex, why.status, why.text);
        return false;
    }
    ex->req.path = t.path;
    ex->req.query = t.query;
    check_host(&h, &t);
    check_framing(&h);
    read_origin(&h);
    read_query(ex);
    return ex->refused == 0;
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
    const struct fe_conf *conf = t->ex->server->conf;
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
    if (ex->content_length == UINT64_MAX) {
        MHD_get_connection_values_n(ex->mhd, MHD_FOOTER_KIND, each_trailer, &t);
    }
    return !t.bad;
}
