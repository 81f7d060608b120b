/* SPDX-License-Identifier: Apache-2.0 */
/* The rules for a request head, RFC 9110 and RFC 9112. What passes here is unambiguous; whatever two
 * parsers could read differently is refused. */
#include "plugins/http_common/http.h"
#include <string.h>

static const char methods[][8] = {"GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"};

bool head_method(struct head *h, tn_str method)
{
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (strlen(methods[i]) == method.n && memcmp(methods[i], method.s, method.n) == 0) {
            h->msg->req.method = (tn_str){methods[i], method.n};
            return true;
        }
    }
    h->msg->req.method = TN_STR("?");
    bool known = (method.n == 5 && memcmp(method.s, "TRACE", 5) == 0) ||
                 (method.n == 7 && memcmp(method.s, "CONNECT", 7) == 0);
    message_refuse(h->msg, known ? 405 : 501, "the request method is not supported");
    return false;
}

bool head_count(struct head *h, size_t name_n, size_t value_n)
{
    const struct http_conf *conf = h->msg->conf;
    h->bytes += name_n + value_n + 4;
    if (h->msg->req.nheaders >= conf->max_headers || h->bytes > (size_t)conf->max_header_bytes.n) {
        message_refuse(h->msg, 431, "the request has too many or too large header fields");
        return false;
    }
    return true;
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

/* RFC 9112 section 9.3: options that decide whether the connection lives on. */
static void note_connection(struct head *h, tn_str name, tn_str value)
{
    if (memcmp(name.s, "connection", name.n) != 0) {
        return;
    }
    for (tn_str item; text_next_item(&value, &item);) {
        h->close = h->close || text_equal_ci(item, "close");
        h->keep_alive = h->keep_alive || text_equal_ci(item, "keep-alive");
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
        remember(name, value, "expect", &h->expect_value, &h->expect);
        break;
    case 10:
        note_connection(h, name, value);
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

void head_field(struct head *h, tn_str name, tn_str value)
{
    tn_http_pair *pair = &h->msg->headers[h->msg->req.nheaders++];
    pair->name = name;
    pair->value = value;
    note_field(h, name, value);
}

/* host [ ":" port ] of RFC 3986 section 3.2.2, or "[" IPv6 "]" [ ":" port ]. */
static bool host_ok(tn_str h)
{
    static const char marks[256] = {
        ['-'] = 1,  ['.'] = 1, ['_'] = 1, ['~'] = 1, ['%'] = 1, ['!'] = 1, ['$'] = 1, ['&'] = 1,
        ['\''] = 1, ['('] = 1, [')'] = 1, ['*'] = 1, ['+'] = 1, [','] = 1, [';'] = 1, ['='] = 1,
    };
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
            if (!alnum && !marks[c]) {
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
    struct message *m = h->msg;
    if (h->host > 1) {
        message_refuse(m, 400, "the request has more than one Host");
    } else if (h->host == 0 && !(m->req.flags & TN_REQ_HTTP10)) {
        message_refuse(m, 400, "the request has no Host");
    } else if (h->host == 1 && !host_ok(h->host_value)) {
        message_refuse(m, 400, "Host is not a host name or address with an optional port");
    } else if (t->host.s != NULL && !host_ok(t->host)) {
        message_refuse(m, 400, "the authority of the request target is not a host");
    } else if (t->host.s != NULL && h->host == 1) {
        /* RFC 9112 section 3.2.2: the target's authority counts, Host is replaced */
        for (uint32_t i = 0; i < m->req.nheaders; i++) {
            if (text_equal_ci(m->headers[i].name, "host")) {
                m->headers[i].value = t->host;
            }
        }
    }
}

/* Message framing, RFC 9112 section 6: the rules against request smuggling. */
static void check_framing(struct head *h)
{
    struct message *m = h->msg;
    tn_str len = h->length_value;
    m->content_length = 0;
    if (h->coding > 0) {
        if (m->req.flags & TN_REQ_HTTP10) {
            message_refuse(m, 400, "HTTP/1.0 has no Transfer-Encoding");
        } else if (h->length > 0) {
            message_refuse(m, 400, "Content-Length and Transfer-Encoding exclude each other");
        } else if (h->coding > 1 || !text_equal_ci(h->coding_value, "chunked")) {
            message_refuse(m, 501, "only the transfer coding \"chunked\" is supported");
        }
        m->content_length = UINT64_MAX;
    } else if (h->length > 1) {
        message_refuse(m, 400, "the request has more than one Content-Length");
    } else if (h->length == 1) {
        if (len.n == 0 || len.n > 18) {
            message_refuse(m, len.n == 0 ? 400 : 413, "Content-Length is not acceptable");
        }
        for (size_t i = 0; i < len.n; i++) {
            if (len.s[i] < '0' || len.s[i] > '9') {
                message_refuse(m, 400, "Content-Length is not a number");
                break;
            }
            m->content_length = m->content_length * 10 + (uint64_t)(len.s[i] - '0');
        }
    }
    if (h->content_coding.s != NULL && !text_equal_ci(h->content_coding, "identity")) {
        message_refuse(m, 415, "a compressed request body is not supported");
    }
    if (h->expect > 0) {
        m->expect_continue = text_equal_ci(h->expect_value, "100-continue");
        if (!m->expect_continue) {
            message_refuse(m, 417, "the only supported expectation is 100-continue");
        }
    }
}

/* Scheme and peer, from a proxy where one is trusted. */
static void read_origin(struct head *h, const struct peers *peers, tn_str peer, bool trusted)
{
    struct message *m = h->msg;
    m->req.scheme = TN_STR("http");
    const char *p = message_copy(m, peer.s, peer.n);
    m->req.peer = (tn_str){p, p != NULL ? peer.n : 0};
    if (!trusted) {
        return;
    }
    tn_str client = peers_forwarded(peers, h->forwarded_for);
    if (client.s != NULL) {
        m->req.peer = client;
        m->req.flags |= TN_REQ_TRUSTED_PROXY;
    }
    if (text_equal_ci(h->forwarded_proto, "https")) {
        m->req.scheme = TN_STR("https");
        m->req.flags |= TN_REQ_TRUSTED_PROXY;
    }
}

static void read_query(struct message *m)
{
    tn_str query = m->req.query;
    if (query.n == 0) {
        return;
    }
    size_t most = 1;
    for (size_t i = 0; i < query.n; i++) {
        most += query.s[i] == '&';
    }
    if (most > (size_t)m->conf->max_fields) {
        message_refuse(m, 400, "the query has too many fields");
        return;
    }
    tn_http_pair *args = message_alloc(m, most * sizeof *args, _Alignof(tn_http_pair));
    char *room = message_alloc(m, query.n + 1, 1);
    if (args == NULL || room == NULL) {
        message_refuse(m, 503, "no memory for the request");
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
    m->req.args = args;
    m->req.nargs = n;
}

bool head_finish(struct head *h, const struct peers *peers, tn_str peer, bool trusted)
{
    struct message *m = h->msg;
    struct text_target t = {0};
    struct text_refusal why;
    char *room = message_alloc(m, m->req.target.n + 2, 1);
    if (room == NULL) {
        message_refuse(m, 503, "no memory for the request");
        return false;
    }
    if (!text_target(m->req.method, m->req.target, room, &t, &why)) {
        message_refuse(m, why.status, why.text);
        return false;
    }
    m->req.path = t.path;
    m->req.query = t.query;
    check_host(h, &t);
    check_framing(h);
    read_origin(h, peers, peer, trusted);
    read_query(m);
    return m->refused == 0;
}
