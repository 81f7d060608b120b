/* SPDX-License-Identifier: Apache-2.0 */
/* Requests: URL, headers, body, deadline, and another attempt where it can do no harm. */
#include "common/aws4.h"
#include "common/json_put.h"
#include "web.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static int given(const tn_val *v)
{
    return v != NULL && v->type != TN_T_NULL;
}

/* ---- URL --------------------------------------------------------------------------------------------- */

/* "scheme://…"; whether the scheme will do is decided later. */
static int whole_url(tn_str url)
{
    size_t i = 0;
    while (i < url.n &&
           ((url.s[i] >= 'a' && url.s[i] <= 'z') || (url.s[i] >= 'A' && url.s[i] <= 'Z') ||
            (i != 0 && url.s[i] >= '0' && url.s[i] <= '9') ||
            (i != 0 && strchr("+-.", url.s[i]) != NULL))) {
        i++;
    }
    return i != 0 && url.n - i >= 3 && memcmp(url.s + i, "://", 3) == 0;
}

/* Does the URL lead to the configured host? Only that one gets its credentials. */
static int ours(const struct web_conf *conf, const struct grow *url)
{
    struct grow base = {0};
    int same = 0;
    if (conf->http.host != NULL && conf->http.host[0] != '\0') {
        http_base(&conf->http, conf->http.host, conf->http.port, &base);
        same = base.rc == TN_OK && url->n >= base.n && strncasecmp(base.s, url->s, base.n) == 0 &&
               (url->s[base.n] == '\0' || strchr("/?#", url->s[base.n]) != NULL);
    }
    grow_free(&base);
    return same;
}

static tn_rc put_url(const struct web_conf *conf, const struct web_call *call, struct grow *url,
                     tn_err *err)
{
    const char *host = conf->http.host, *prefix = conf->path != NULL ? conf->path : "";
    if (!whole_url(call->url)) {
        if (host == NULL || host[0] == '\0') {
            return web_host->fail(
                err, TN_E_INVAL,
                "`%.*s` is not a whole URL and no host is configured; write http://… or https://…",
                (int)(call->url.n < 200 ? call->url.n : 200), call->url.s);
        }
        size_t n = strlen(prefix);
        while (n > 0 && prefix[n - 1] == '/') {
            n--;
        }
        http_base(&conf->http, host, conf->http.port, url);
        if (n != 0 && prefix[0] != '/') {
            grow_char(url, '/');
        }
        grow_put(url, prefix, n);
        if (call->url.n == 0 || strchr("/?", call->url.s[0]) == NULL) {
            grow_char(url, '/');
        }
    }
    const char *hash = call->url.n != 0 ? memchr(call->url.s, '#', call->url.n) : NULL;
    size_t n = hash != NULL ? (size_t)(hash - call->url.s)
                            : call->url.n; /* what follows is not sent */
    http_escape(url, (tn_str){call->url.s, n}, "!$&'()*+,;=:@/?[]%");
    if (url->rc != TN_OK) {
        return web_host->fail(err, url->rc, "the URL is too long");
    }
    return call->params != NULL ? http_query(web_host, url, call->params, err) : TN_OK;
}

/* ---- headers and body -------------------------------------------------------------------------------- */

/* Where a message ends is not for scripts to say: with another length the rest of the body would be the next request of a
 * connection that others use, too. *ret_skip: the header says what is sent anyway. */
static tn_rc check_framing(tn_str name, tn_str value, size_t body_len, bool *ret_skip, tn_err *err)
{
    char own[24];
    int n = snprintf(own, sizeof own, "%zu", body_len);
    *ret_skip = false;
    if (name.n == 17 && strncasecmp(name.s, "transfer-encoding", 17) == 0) {
        return web_host->fail(err, TN_E_INVAL,
                              "Transfer-Encoding cannot be set: a body is sent with its length");
    }
    if (name.n == 14 && strncasecmp(name.s, "content-length", 14) == 0) {
        *ret_skip = value.n == (size_t)n && memcmp(value.s, own, value.n) == 0;
        return *ret_skip ? TN_OK
                         : web_host->fail(
                               err, TN_E_INVAL,
                               "Content-Length is `%.*s` and the body has %s bytes; leave it out",
                               (int)(value.n < 40 ? value.n : 40), value.s, own);
    }
    return TN_OK;
}

static tn_rc put_headers(const tn_val *headers, size_t body_len, struct grow *to, bool *ret_type,
                         tn_err *err)
{
    tn_rc rc = TN_OK;
    bool skip = false;
    if (!given(headers)) {
        return TN_OK;
    }
    if (headers->type != TN_T_MAP) {
        return web_host->fail(err, TN_E_INVAL, "headers is a dict of texts");
    }
    for (uint32_t i = 0; rc == TN_OK && i < headers->n; i++) {
        const tn_val *k = &headers->u.map[i].key, *v = &headers->u.map[i].val;
        struct grow text = {0};
        tn_str value = {v->u.s, v->n};
        if (v->type == TN_T_NULL) {
            continue;
        }
        if (v->type != TN_T_STR) {
            rc = json_put(web_host, &text, v, err);
            value = (tn_str){text.s, text.n};
        }
        if (rc == TN_OK && k->type != TN_T_STR) {
            rc = web_host->fail(err, TN_E_INVAL, "names of headers are texts");
        }
        if (rc == TN_OK) {
            *ret_type |= k->n == 12 && strncasecmp(k->u.s, "content-type", 12) == 0;
            rc = check_framing((tn_str){k->u.s, k->n}, value, body_len, &skip, err);
        }
        if (rc == TN_OK && !skip) {
            rc = http_header(web_host, to, (tn_str){k->u.s, k->n}, value, err);
        }
        grow_free(&text);
    }
    return rc;
}

/* Body of `json` or `data`; *ret_type: the content type it implies. */
static tn_rc put_body(const struct web_call *call, struct grow *to, const void **ret, size_t *ret_n,
                      const char **ret_type, tn_err *err)
{
    const tn_val *data = call->data;
    tn_rc rc = TN_OK;
    *ret = NULL;
    *ret_n = 0;
    *ret_type = NULL;
    if (given(call->json) && given(data)) {
        return web_host->fail(err, TN_E_INVAL, "a request has json or data, not both");
    }
    if (given(call->json)) {
        rc = json_put(web_host, to, call->json, err);
        *ret_type = "application/json";
    } else if (given(data) && (data->type == TN_T_STR || data->type == TN_T_BYTES)) {
        *ret = data->n != 0 ? data->u.s : "";
        *ret_n = data->n;
        *ret_type = data->type == TN_T_STR ? "text/plain; charset=utf-8"
                                           : "application/octet-stream";
        return TN_OK;
    } else if (given(data) && data->type == TN_T_MAP) {
        rc = http_query(web_host, to, data, err); /* begins with "?" */
        *ret = to->n != 0 ? to->s + 1 : "";
        *ret_n = to->n != 0 ? to->n - 1 : 0;
        *ret_type = "application/x-www-form-urlencoded";
        return rc;
    } else if (given(data)) {
        return web_host->fail(err, TN_E_INVAL,
                              "data is text, bytes or a dict (sent as a form); lists go into json");
    } else {
        return TN_OK;
    }
    *ret = to->s;
    *ret_n = to->n;
    return rc;
}

/* ---- asking ------------------------------------------------------------------------------------------ */

uint64_t web_timeout_ns(const struct web_conf *conf, const tn_val *timeout)
{
    double s = !given(timeout)               ? (double)conf->timeout.ms / 1e3
               : timeout->type == TN_T_FLOAT ? timeout->u.f
               : timeout->type == TN_T_INT   ? (double)timeout->u.i
               : timeout->type == TN_T_SPAN  ? (double)timeout->u.i / 1e6
                                             : 0;
    return s > 0 ? (uint64_t)((s < 86400 ? s : 86400) * 1e9) : 0;
}

static uint64_t within(const struct web_conf *conf, const tn_val *timeout, uint64_t deadline_ns)
{
    uint64_t ns = web_timeout_ns(conf, timeout),
             end = ns != 0 ? web_host->now_ns() + ns : deadline_ns;
    return deadline_ns == 0 || end < deadline_ns ? end : deadline_ns;
}

static int safe(const char *method)
{
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0 ||
           strcmp(method, "OPTIONS") == 0;
}

static tn_rc sign(const struct web_conf *conf, const struct http_req *req, struct grow *headers,
                  tn_err *err)
{
    const struct aws4 keys = {conf->http.user != NULL ? conf->http.user : "",
                              conf->http.password.s != NULL ? conf->http.password.s : "",
                              conf->region, conf->service, conf->http.tls_server_name};
    return aws4_sign(web_host, &keys, req->method, req->url, req->body, req->body_len,
                     web_host->wall_us(), headers, err);
}

static tn_rc one_attempt(struct web_conn *c, struct http_req *req, const struct web_call *call,
                         struct http_reply *ret, tn_err *err)
{
    const struct web_conf *conf = c->inst->conf;
    struct grow headers = {0};
    const struct grow *plain = req->headers;
    tn_rc rc = TN_OK;
    if (strcmp(conf->http.auth, "aws") == 0 && (req->flags & HTTP_NO_AUTH) == 0) {
        grow_put(&headers, plain->s, plain->n);
        rc = sign(conf, req, &headers, err);
        req->headers = &headers;
        req->redirects = 0; /* a signature is for one URL */
    }
    if (rc == TN_OK) {
        rc = call->stream ? http_start(c->http, req, ret, err) : http_send(c->http, req, ret, err);
    }
    req->headers = plain;
    grow_free(&headers);
    return rc;
}

/* 1: another attempt may go better, and does no harm. */
static int again(tn_rc rc, const tn_err *why, const struct http_reply *r)
{
    if (rc != TN_OK) {
        return rc == TN_E_UNAVAIL && strncmp(why->msg, "TLS:", 4) != 0;
    }
    return r->status == 429 || (r->status >= 502 && r->status <= 504);
}

static tn_rc refused(const struct http_req *req, const struct http_reply *r, tn_err *err)
{
    tn_rc rc = r->status == 401 || r->status == 403   ? TN_E_DENIED
               : r->status == 429 || r->status == 503 ? TN_E_UNAVAIL
                                                      : TN_E_REMOTE;
    char url[160];
    http_shown(req->url, url, sizeof url);
    web_host->fail(err, rc, "%s %s answers %ld: %.200s", req->method, url, r->status,
                   r->body.n != 0 ? r->body.s : "no text");
    if (err != NULL) {
        err->native = (int32_t)r->status;
        err->flags |= r->status == 429 || r->status >= 502 ? TN_ERR_RETRY : 0;
    }
    return rc;
}

static tn_rc attempts(struct web_conn *c, struct http_req *req, const struct web_call *call,
                      struct http_reply *ret, tn_err *err)
{
    for (uint32_t n = 0;; n++) {
        tn_err why = TN_ERR_INIT;
        tn_rc rc = one_attempt(c, req, call, ret, &why);
        int more = safe(req->method) && (int64_t)n < c->inst->conf->retries && again(rc, &why, ret);
        if (more) {
            more = http_pause(c->http, n, req->deadline_ns, &rc, ret, &why);
        }
        if (!more) {
            if (rc != TN_OK && err != NULL) {
                *err = why;
            }
            return rc;
        }
        if (rc == TN_OK) {
            http_reply_free(ret);
        }
    }
}

tn_rc web_ask(struct web_conn *c, const struct web_call *call, uint64_t deadline_ns,
              struct http_reply *ret, tn_err *err)
{
    const struct web_conf *conf = c->inst->conf;
    struct grow url = {0}, headers = {0}, body = {0};
    struct http_req req = {.method = call->method,
                           .redirects = (uint32_t)conf->redirects,
                           .deadline_ns = within(conf, call->timeout, deadline_ns)};
    bool typed = false;
    const char *type = NULL;
    struct http_reply reply = {.status = 0};
    tn_rc rc = put_url(conf, call, &url, err);
    if (rc == TN_OK && given(call->redirects)) {
        req.redirects = call->redirects->type == TN_T_BOOL
                            ? (call->redirects->u.i ? req.redirects : 0)
                        : call->redirects->type == TN_T_INT && call->redirects->u.i >= 0 &&
                                call->redirects->u.i <= 20
                            ? (uint32_t)call->redirects->u.i
                            : 0;
    }
    rc = rc == TN_OK ? put_body(call, &body, &req.body, &req.body_len, &type, err) : rc;
    rc = rc == TN_OK ? put_headers(call->headers, req.body_len, &headers, &typed, err) : rc;
    if (rc == TN_OK && type != NULL && !typed) {
        rc = http_header(web_host, &headers, TN_STR("Content-Type"), (tn_str){type, strlen(type)},
                         err);
    }
    if (rc == TN_OK) {
        req.url = url.s;
        req.headers = &headers;
        req.flags = (safe(call->method) ? HTTP_REPEATABLE : 0) |
                    (conf->block_private ? HTTP_BLOCK_PRIVATE : 0) |
                    (ours(conf, &url) ? 0
                     : conf->http.host != NULL && conf->http.host[0] != '\0'
                         ? HTTP_NO_AUTH | HTTP_ELSEWHERE
                         : HTTP_NO_AUTH);
        rc = attempts(c, &req, call, &reply, err);
    }
    if (rc == TN_OK && call->raise && reply.status >= 400) {
        rc = refused(&req, &reply, err);
        http_stop(c->http);
        http_reply_free(&reply);
    }
    if (rc == TN_OK) {
        *ret = reply;
    }
    grow_free(&body);
    grow_free(&headers);
    grow_free(&url);
    return rc;
}
