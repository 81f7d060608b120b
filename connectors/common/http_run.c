/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP requests: waiting within a deadline, redirects, answers whole or in pieces. */
#include "common/http_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FOR_EVER_MS 1000 /* without a deadline the loop still looks around */

/* ---- the transfer ------------------------------------------------------------------------------------ */

void http_stop(struct http *h)
{
    if (h->active) {
        curl_multi_remove_handle(h->multi, h->easy);
        h->active = false;
    }
    h->pull = h->paused = false;
    grow_clear(&h->in);
    h->in_off = 0;
}

void http_enter(struct http *h)
{
    atomic_store(&h->canceled, false);
    atomic_store(&h->working, true);
}

void http_leave(struct http *h)
{
    atomic_store(&h->working, false);
    atomic_store(&h->canceled, false);
}

static void take_messages(struct http *h)
{
    int left;
    for (CURLMsg *m = curl_multi_info_read(h->multi, &left); m != NULL;
         m = curl_multi_info_read(h->multi, &left)) {
        if (m->msg == CURLMSG_DONE) {
            h->done = true;
            h->code = m->data.result;
        }
    }
}

/* Until the headers are there, or (body) something of the body; or the end. */
static int arrived(const struct http *h, int body)
{
    return h->done || (body ? h->in.n > h->in_off : h->pull && h->headers_done);
}

static tn_rc drive(struct http *h, int body, uint64_t deadline_ns, tn_err *err)
{
    for (;;) {
        int running = 0;
        CURLMcode code = curl_multi_perform(h->multi, &running);
        take_messages(h);
        if (code != CURLM_OK) {
            h->stop = HTTP_STOP_MEMORY;
            return http_failed(h, 0, err);
        }
        if (atomic_load(&h->canceled) || (h->done && h->code != CURLE_OK)) {
            return http_failed(h, 0, err);
        }
        if (arrived(h, body)) {
            return TN_OK;
        }
        int left = net_left_ms(h->host, deadline_ns);
        if (left == 0) {
            return http_failed(h, 1, err);
        }
        curl_multi_poll(h->multi, NULL, 0, left < 0 || left > FOR_EVER_MS ? FOR_EVER_MS : left,
                        NULL);
    }
}

/* Whatever ended with an error has no connection worth keeping; libcurl closes it itself. */
static tn_rc ended(struct http *h, tn_rc rc)
{
    if (rc != TN_OK) {
        http_stop(h);
    }
    return rc;
}

/* ---- redirects --------------------------------------------------------------------------------------- */

/* Scheme, host and port of a URL as libcurl reads it, "https://h:443". */
static tn_rc origin(const char *url, struct grow *ret)
{
    static const CURLUPart parts[] = {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT};
    CURLU *u = curl_url();
    tn_rc rc = u != NULL && curl_url_set(u, CURLUPART_URL, url, CURLU_URLENCODE) == CURLUE_OK
                   ? TN_OK
                   : TN_E_INVAL;
    for (int i = 0; rc == TN_OK && i < 3; i++) {
        char *text = NULL;
        rc = curl_url_get(u, parts[i], &text, CURLU_DEFAULT_PORT) == CURLUE_OK ? TN_OK : TN_E_INVAL;
        grow_printf(ret, "%s%s", i == 1 ? "://" : i == 2 ? ":" : "", rc == TN_OK ? text : "");
        curl_free(text);
    }
    curl_url_cleanup(u);
    return rc == TN_OK ? ret->rc : rc;
}

static int same_origin(const char *a, const char *b)
{
    struct grow x = {0}, y = {0};
    int same = origin(a, &x) == TN_OK && origin(b, &y) == TN_OK && strcasecmp(x.s, y.s) == 0;
    grow_free(&x);
    grow_free(&y);
    return same;
}

/* libcurl reads "https:/host", too: what it reads decides. */
static int is_https(const char *url)
{
    struct grow from = {0};
    int is = origin(url, &from) == TN_OK && strncasecmp(from.s, "https:", 6) == 0;
    grow_free(&from);
    return is;
}

/* Where a redirect leads. libcurl may know the server by the name of its certificate only (tls_server_name): what leads there
 * leads to host. */
static tn_rc target(const struct http *h, const char *to, struct grow *ret)
{
    CURLU *u = h->renamed ? curl_url() : NULL;
    char *name = NULL, *whole = NULL, own[sizeof h->host_name + 2];
    snprintf(own, sizeof own, strchr(h->host_name, ':') != NULL ? "[%s]" : "%s", h->host_name);
    if (u != NULL && curl_url_set(u, CURLUPART_URL, to, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_HOST, &name, 0) == CURLUE_OK &&
        strcasecmp(name, h->conf->tls_server_name) == 0 &&
        curl_url_set(u, CURLUPART_HOST, own, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_URL, &whole, 0) == CURLUE_OK) {
        to = whole;
    }
    grow_text(ret, to);
    curl_free(name);
    curl_free(whole);
    curl_url_cleanup(u);
    return ret->rc;
}

/* What the name of a header says about it. */
static int is_secret(const char *line)
{
    static const char *const names[] = {"authorization", "cookie", "proxy-authorization"},
                             *const ends[] = {"-key", "-token", "-secret"};
    size_t n = strcspn(line, ":;");
    for (size_t i = 0; i < 3; i++) {
        size_t len = strlen(ends[i]);
        if (http_named(line, names[i]) ||
            (n > len && strncasecmp(line + n - len, ends[i], len) == 0)) {
            return 1;
        }
    }
    return 0;
}

/* Headers without credentials: another host gets none of ours. */
static void strip(struct http *h)
{
    struct grow kept = {0};
    const struct grow *all = h->request.headers;
    for (const char *p = all != NULL ? all->s : NULL, *end; p != NULL && *p != '\0'; p = end) {
        end = strstr(p, "\r\n") + 2;
        if (!is_secret(p)) {
            grow_put(&kept, p, (size_t)(end - p));
        }
    }
    grow_free(&h->kept);
    h->kept = kept;
    h->request.headers = &h->kept;
    h->request.flags = (h->request.flags & ~HTTP_NODE) | HTTP_NO_AUTH | HTTP_ELSEWHERE;
}

/* 1: the answer sends us elsewhere and we may go there; url becomes the new place. */
static int redirected(struct http *h, struct grow *url, tn_rc *ret_rc, tn_err *err)
{
    long status = h->reply->status;
    const char *to = NULL;
    struct http_req *req = &h->request;
    struct grow there = {0};
    if ((status != 301 && status != 302 && status != 303 && status != 307 && status != 308) ||
        req->redirects == 0 || curl_easy_getinfo(h->easy, CURLINFO_REDIRECT_URL, &to) != CURLE_OK ||
        to == NULL) {
        return 0;
    }
    if (target(h, to, &there) != TN_OK) {
        *ret_rc = h->host->fail(err, TN_E_NOMEM, "no memory for a URL");
        grow_free(&there);
        return 0;
    }
    to = there.s;
    if (is_https(url->s) && !is_https(to)) {
        grow_free(&there);
        *ret_rc = h->host->fail(
            err, TN_E_DENIED,
            "%.200s redirects from https to something that is not; that is not followed",
            h->host_name);
        return 0;
    }
    if (!same_origin(url->s, to)) {
        strip(h);
    }
    if ((status == 303 && strcmp(req->method, "HEAD") != 0) ||
        (status < 303 && strcmp(req->method, "POST") == 0)) {
        req->method = "GET";
        req->body = NULL;
        req->body_len = 0;
    }
    req->redirects--;
    grow_free(url);
    *url = there;
    return 1;
}

/* ---- requests ---------------------------------------------------------------------------------------- */

static tn_rc once(struct http *h, const char *url, tn_err *err)
{
    h->stop = HTTP_STOP_NONE;
    h->code = CURLE_OK;
    h->what[0] = '\0';
    h->done = h->headers_done = h->paused = h->connected = false;
    h->lines = 0;
    h->sent = 0;
    h->begun = 0;
    grow_clear(&h->reply->headers);
    grow_clear(&h->reply->body);
    tn_rc rc = http_prepare(h, url, h->request.deadline_ns, err);
    if (rc == TN_OK && curl_multi_add_handle(h->multi, h->easy) != CURLM_OK) {
        rc = h->host->fail(err, TN_E_NOMEM, "no memory for the request");
    }
    if (rc == TN_OK) {
        h->active = true;
        rc = drive(h, 0, h->request.deadline_ns, err);
    }
    if (rc == TN_OK && !h->headers_done) { /* libcurl takes what came for the whole */
        h->code = CURLE_PARTIAL_FILE;
        rc = http_failed(h, 0, err);
    }
    if (rc == TN_OK) {
        curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &h->reply->status);
    }
    return rc;
}

static tn_rc run(struct http *h, const struct http_req *req, int pull, struct http_reply *ret,
                 tn_err *err)
{
    tn_rc rc = TN_OK;
    *ret = (struct http_reply){.headers.max = HTTP_HEADERS_MAX,
                               .body.max = (size_t)h->conf->max_result.n};
    grow_text(&ret->url, req->url);
    http_stop(h);
    h->request = *req;
    h->req = &h->request;
    h->reply = ret;
    do {
        http_stop(h);
        h->pull = pull;
        rc = ret->url.rc == TN_OK ? once(h, ret->url.s, err)
                                  : h->host->fail(err, TN_E_NOMEM, "no memory for a URL");
    } while (rc == TN_OK && redirected(h, &ret->url, &rc, err));
    if (rc != TN_OK || !pull) {
        http_stop(h);
    }
    h->reply = NULL;
    if (rc != TN_OK) {
        http_reply_free(ret);
    }
    return rc;
}

tn_rc http_send(struct http *h, const struct http_req *req, struct http_reply *ret, tn_err *err)
{
    return run(h, req, 0, ret, err);
}

tn_rc http_start(struct http *h, const struct http_req *req, struct http_reply *ret, tn_err *err)
{
    return run(h, req, 1, ret, err);
}

tn_rc http_read(struct http *h, uint64_t deadline_ns, void *p, size_t cap, size_t *ret_n,
                tn_err *err)
{
    if (h->in.n == h->in_off && !h->active) {
        *ret_n = 0;
        return TN_OK;
    }
    if (h->in.n == h->in_off && h->paused) {
        h->paused = false;
        curl_easy_pause(h->easy, CURLPAUSE_CONT);
    }
    tn_rc rc = h->in.n == h->in_off ? drive(h, 1, deadline_ns, err) : TN_OK;
    size_t left = h->in.n - h->in_off, n = left < cap ? left : cap;
    if (rc == TN_OK) {
        if (n != 0) {
            memcpy(p, h->in.s + h->in_off, n);
            h->in_off += n;
        } else {
            http_stop(h);
        }
        *ret_n = n;
    }
    return ended(h, rc);
}

/* ---- other attempts ---------------------------------------------------------------------------------- */

int64_t http_backoff(const struct http *h, uint32_t n, const struct http_reply *r)
{
    const char *after = r != NULL ? http_find(r, "retry-after") : NULL;
    if (after != NULL && after[0] >= '0' &&
        after[0] <= '9') { /* seconds; a date is not worth a parser */
        long long s = strtoll(after, NULL, 10);
        return s > 3600 ? 3600000 : s * 1000;
    }
    int64_t ms = 100ll << (n < 6 ? n : 6);
    return ms / 2 + (int64_t)(h->host->now_ns() / 1000 % (uint64_t)ms);
}

tn_rc http_nap(struct http *h, int64_t ms, uint64_t deadline_ns, tn_err *err)
{
    uint64_t until = h->host->now_ns() + (uint64_t)ms * 1000000;
    if (deadline_ns != 0 && until >= deadline_ns) {
        return TN_E_TIMEOUT;
    }
    for (int left = net_left_ms(h->host, until); left > 0; left = net_left_ms(h->host, until)) {
        if (atomic_load(&h->canceled)) {
            return h->host->fail(err, TN_E_CANCELED, "the request was told to stop");
        }
        curl_multi_poll(h->multi, NULL, 0, left, NULL);
    }
    return TN_OK;
}

bool http_pause(struct http *h, uint32_t n, uint64_t deadline_ns, tn_rc *rc,
                struct http_reply *reply, tn_err *err)
{
    tn_rc nap = http_nap(h, http_backoff(h, n, *rc == TN_OK ? reply : NULL), deadline_ns, err);
    if (nap == TN_E_CANCELED) {
        if (*rc == TN_OK) {
            http_reply_free(reply);
        }
        *rc = nap;
    }
    return nap == TN_OK;
}
