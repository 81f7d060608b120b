/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP request as scripts see it in _DFF_HTTP_REQUEST (spec 2.5), written straight into JSON. */
#include "call.h"
#include "mask.h"

/* Node joins repeated headers; these it keeps only once. */
static bool once_only(tn_str name)
{
    static const char *const names[] = {
        "age",
        "authorization",
        "content-length",
        "content-type",
        "etag",
        "expires",
        "from",
        "host",
        "if-modified-since",
        "if-unmodified-since",
        "last-modified",
        "location",
        "max-forwards",
        "proxy-authorization",
        "referer",
        "retry-after",
        "server",
        "user-agent",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (text_is(name, names[i])) {
            return true;
        }
    }
    return false;
}

static bool same(tn_str a, tn_str b)
{
    return a.n == b.n && memcmp(a.s, b.s, a.n) == 0;
}

/* Values of all headers of the name of header `first`, as one JSON string. */
static void write_joined(struct str *out, const tn_http_req *req, uint32_t first)
{
    struct str joined = {0};
    const char *glue = text_is(req->headers[first].name, "cookie") ? "; " : ", ";
    str_text(&joined, req->headers[first].value);
    for (uint32_t i = first + 1; i < req->nheaders && !once_only(req->headers[first].name); i++) {
        if (same(req->headers[i].name, req->headers[first].name)) {
            str_puts(&joined, glue);
            str_text(&joined, req->headers[i].value);
        }
    }
    add_quote(out, str_view(&joined));
    out->failed |= joined.failed;
    str_free(&joined);
}

/* Headers that carry a credential, ours or by their name anybody's. */
static bool is_credential(tn_str name)
{
    static const char *const parts[] = {"auth", "cookie", "credential", "key", "x-dff-ak-sign"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (text_has(name, parts[i])) {
            return true;
        }
    }
    return mask_key(name);
}

/* One that an API's own auth reads (tn_auth_ops.takes). */
static bool is_taken(tn_str name, const struct stored_without *w)
{
    bool taken = false;
    for (uint32_t i = 0; i < w->n; i++) {
        taken |= text_is(w->takes[i].name, "header") && same(w->takes[i].value, name);
    }
    return taken;
}

/* stored: NULL when the request is not kept. */
static void write_headers(struct str *out, const tn_http_req *req,
                          const struct stored_without *stored)
{
    add_lit(out, "{");
    bool first = true;
    for (uint32_t i = 0; i < req->nheaders; i++) {
        bool again = false, before = false;
        for (uint32_t k = 0; k < req->nheaders; k++) {
            if (k != i && req->headers[k].name.n == req->headers[i].name.n &&
                same(req->headers[k].name, req->headers[i].name)) {
                again = true;
                before |= k < i;
            }
        }
        if (before) {
            continue;
        }
        if (!first) {
            add_lit(out, ",");
        }
        first = false;
        add_quote(out, req->headers[i].name);
        add_lit(out, ":");
        if (stored != NULL &&
            (is_credential(req->headers[i].name) || is_taken(req->headers[i].name, stored))) {
            add_lit(out, "\"*****\"");
        } else if (again) {
            write_joined(out, req, i);
        } else {
            add_quote(out, req->headers[i].value);
        }
    }
    add_lit(out, "}");
}

/* Host without the port; an IPv6 literal keeps its brackets away. */
static tn_str host_name(tn_str host)
{
    if (host.n > 0 && host.s[0] == '[') {
        const char *close = memchr(host.s, ']', host.n);
        return close != NULL ? (tn_str){host.s + 1, (size_t)(close - host.s) - 1} : host;
    }
    const char *colon = host.n > 0 ? memchr(host.s, ':', host.n) : NULL;
    return colon != NULL ? (tn_str){host.s, (size_t)(colon - host.s)} : host;
}

/* The addresses of X-Forwarded-For, only when the peer is a proxy that is trusted. */
static void write_ips(struct str *out, const tn_http_req *req)
{
    tn_str list = (req->flags & TN_REQ_TRUSTED_PROXY) != 0 ? tn_http_header(req, "x-forwarded-for")
                                                           : (tn_str){NULL, 0};
    bool first = true;
    add_lit(out, "[");
    while (list.n > 0) {
        const char *comma = memchr(list.s, ',', list.n);
        tn_str ip = {list.s, comma != NULL ? (size_t)(comma - list.s) : list.n};
        list.n -= ip.n + (comma != NULL);
        list.s += ip.n + (comma != NULL);
        while (ip.n > 0 && *ip.s == ' ') {
            ip.s++;
            ip.n--;
        }
        while (ip.n > 0 && ip.s[ip.n - 1] == ' ') {
            ip.n--;
        }
        if (ip.n > 0) {
            str_puts(out, first ? "" : ",");
            first = false;
            add_quote(out, ip);
        }
    }
    add_lit(out, "]");
}

static void write_request(struct str *out, const tn_http_req *req, tn_str query, tn_str body,
                          const struct stored_without *stored)
{
    const char *mark = req->target.n > 0 ? memchr(req->target.s, '?', req->target.n) : NULL;
    tn_str url = {req->target.s, mark != NULL ? (size_t)(mark - req->target.s) : req->target.n};
    tn_str host = tn_http_header(req, "host");
    tn_str with = tn_http_header(req, "x-requested-with");
    add_lit(out, "{\"method\":");
    add_quote(out, req->method);
    add_lit(out, ",\"originalUrl\":");
    add_quote(out, stored != NULL ? url : req->target);
    add_lit(out, ",\"url\":");
    add_quote(out, url);
    add_lit(out, ",\"host\":");
    add_quote(out, host);
    add_lit(out, ",\"hostname\":");
    add_quote(out, host_name(host));
    add_lit(out, ",\"protocol\":");
    add_quote(out, req->scheme);
    add_lit(out, ",\"headers\":");
    write_headers(out, req, stored);
    add_lit(out, ",\"query\":");
    add(out, query);
    add_lit(out, ",\"body\":");
    add(out, body);
    add_lit(out, ",\"ip\":");
    add_quote(out, req->peer);
    add_lit(out, ",\"ips\":");
    write_ips(out, req);
    if (with.n == 14 && strncasecmp(with.s, "XMLHttpRequest", 14) == 0) {
        add_lit(out, ",\"xhr\":true}");
    } else {
        add_lit(out, ",\"xhr\":false}");
    }
}

void httpreq_write(struct str *out, const tn_http_req *req, tn_str query, tn_str body)
{
    write_request(out, req, query, body, NULL);
}

void httpreq_write_stored(struct str *out, const tn_http_req *req, tn_str query, tn_str body,
                          const struct stored_without *without)
{
    write_request(out, req, query, body, without);
}
