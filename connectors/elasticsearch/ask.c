/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to a cluster: nodes in turn, those that do not answer left alone for a while, other attempts after a pause. */
#include "common/aws4.h"
#include "common/gzip.h"
#include "common/label.h"
#include "elastic.h"

#include <string.h>

#define GZIP_FROM 2048 /* bytes */

/* ---- nodes ------------------------------------------------------------------------------------------- */

/* The next node that is not dead; when all are, the one that may rise first. */
static uint32_t pick(struct es_conn *c)
{
    uint32_t n = c->inst->nnodes, best = c->next % n;
    uint64_t now = es_host->now_ns();
    for (uint32_t i = 0; i < n; i++) {
        uint32_t k = (c->next + i) % n;
        if (c->dead_until_ns[k] <= now) {
            c->next = k + 1;
            return k;
        }
        best = c->dead_until_ns[k] < c->dead_until_ns[best] ? k : best;
    }
    c->next = best + 1;
    return best;
}

static void mark(struct es_conn *c, uint32_t node, bool alive)
{
    uint64_t ms = (uint64_t)c->inst->conf->dead.ms;
    if (alive) {
        c->failures[node] = 0;
        c->dead_until_ns[node] = 0;
    } else if (c->inst->nnodes > 1) {
        c->failures[node] += c->failures[node] < 5;
        c->dead_until_ns[node] = es_host->now_ns() + (ms << (c->failures[node] - 1)) * 1000000;
    }
}

/* ---- errors ------------------------------------------------------------------------------------------ */

static void reason_of(tn_str body, char *to, size_t cap)
{
    char type[80], reason[300];
    tn_str error = json_valid(body) ? json_member(body, "error") : (tn_str){NULL, 0};
    if (json_kind(error) != '{') {
        json_plain(error.s != NULL ? error : body, to, cap);
        return;
    }
    struct json_iter it;
    tn_str key, first, causes = json_member(error, "root_cause");
    if (json_kind(causes) == '[' && json_iter(&it, causes) && json_next(&it, &key, &first)) {
        error = first;
    }
    json_plain(json_member(error, "type"), type, sizeof type);
    json_plain(json_member(error, "reason"), reason, sizeof reason);
    struct grow text = {.max = cap - 1};
    grow_printf(&text, "%.70s: %.250s", type, reason);
    json_plain((tn_str){text.s, text.n}, to, cap);
    grow_free(&text);
}

tn_rc es_refused(const struct http_reply *r, tn_err *err)
{
    char why[360] = "";
    tn_str body = {r->body.s, r->body.n};
    tn_rc rc = r->status == 401 || r->status == 403                         ? TN_E_DENIED
               : r->status == 409                                           ? TN_E_CONFLICT
               : r->status == 413                                           ? TN_E_LIMIT
               : r->status == 429 || (r->status >= 502 && r->status <= 504) ? TN_E_UNAVAIL
                                                                            : TN_E_REMOTE;
    if (body.n != 0) {
        reason_of(body, why, sizeof why);
    }
    es_host->fail(err, rc, "%sstatus %ld%s%s", r->status == 401 ? "sign-in: " : "", r->status,
                  why[0] != '\0' ? ": " : "", why);
    if (err != NULL) {
        err->native = (int32_t)r->status;
        err->flags |= rc == TN_E_UNAVAIL ? TN_ERR_RETRY : 0;
    }
    return rc;
}

/* ---- one attempt ------------------------------------------------------------------------------------- */

static tn_rc put_headers(const struct es_conf *conf, const struct es_req *req,
                         const struct http_req *http, struct grow *to, bool packed, tn_err *err)
{
    char label[LABEL_MAX];
    size_t n = label_caller(es_host, label);
    tn_rc rc = TN_OK;
    if (req->body.s != NULL) {
        rc = http_header(es_host, to, TN_STR("Content-Type"),
                         (tn_str){req->type, strlen(req->type)}, err);
    }
    if (packed) {
        grow_text(to, "Content-Encoding: gzip\r\n");
    }
    if (n != 0) { /* stands in the list of tasks and in the slow log */
        grow_printf(to, "X-Opaque-Id: %s\r\n", label);
    }
    if (rc == TN_OK && strcmp(conf->http.auth, "aws") == 0) {
        const struct aws4 keys = {conf->http.user != NULL ? conf->http.user : "",
                                  conf->http.password.s != NULL ? conf->http.password.s : "",
                                  conf->region, conf->service, conf->http.tls_server_name};
        rc = aws4_sign(es_host, &keys, http->method, http->url, http->body, http->body_len,
                       es_host->wall_us(), to, err);
    }
    return rc;
}

static tn_rc attempt(struct es_conn *c, uint32_t node, const struct es_req *req,
                     struct http_reply *ret, tn_err *err)
{
    const struct es_conf *conf = c->inst->conf;
    const struct es_node *to = &c->inst->node[node];
    struct grow url = {0}, headers = {0}, packed = {0};
    bool pack = conf->gzip && req->body.n >= GZIP_FROM;
    tn_rc rc = pack ? gzip_put(es_host, &packed, req->body.s, req->body.n, err) : TN_OK;
    http_base(&conf->http, to->host, to->port, &url);
    http_escape(&url, req->path, "!$&'()*+,;=:@/?%");
    struct http_req http = {.method = req->method,
                            .url = url.s,
                            .headers = &headers,
                            .body = pack ? packed.s : req->body.s,
                            .body_len = pack ? packed.n : req->body.n,
                            .flags = HTTP_NODE | (req->safe ? HTTP_REPEATABLE : 0),
                            .deadline_ns = req->deadline_ns};
    if (rc == TN_OK && url.rc != TN_OK) {
        rc = es_host->fail(err, TN_E_NOMEM, "no memory for a URL");
    }
    rc = rc == TN_OK ? put_headers(conf, req, &http, &headers, pack, err) : rc;
    rc = rc == TN_OK ? http_send(c->http, &http, ret, err) : rc;
    grow_free(&packed);
    grow_free(&headers);
    grow_free(&url);
    return rc;
}

/* ---- attempts ---------------------------------------------------------------------------------------- */

static bool busy(long status)
{
    return status == 429 || (status >= 502 && status <= 504);
}

/* Is another attempt worth it, and harmless? Nothing was sent (RETRY), or it was and may be sent again. A 429 was refused
 * before anything happened. */
static bool again(const struct es_req *req, tn_rc rc, const tn_err *why, const struct http_reply *r)
{
    if (rc != TN_OK) {
        return rc == TN_E_UNAVAIL && strncmp(why->msg, "TLS:", 4) != 0 &&
               (req->safe || (why->flags & TN_ERR_RETRY) != 0);
    }
    return busy(r->status) && (req->safe || r->status == 429);
}

tn_rc es_send(struct es_conn *c, const struct es_req *req, struct http_reply *ret, tn_err *err)
{
    uint32_t tries = (uint32_t)c->inst->conf->retries;
    tries = tries + 1 < c->inst->nnodes ? c->inst->nnodes : tries + 1;
    for (uint32_t n = 0;; n++) {
        tn_err why = TN_ERR_INIT;
        uint32_t node = pick(c);
        tn_rc rc = attempt(c, node, req, ret, &why);
        if (rc == TN_E_UNAVAIL || rc == TN_E_TIMEOUT ||
            (rc == TN_OK && busy(ret->status) && ret->status != 429)) {
            mark(c, node, false);
        } else if (rc == TN_OK) {
            mark(c, node, true);
        }
        bool more = n + 1 < tries && again(req, rc, &why, ret);
        /* another node is asked at once; after a round, or when told to wait, there is a pause */
        if (more && (rc == TN_OK || n + 1 >= c->inst->nnodes)) {
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

tn_rc es_ask(struct es_conn *c, const struct es_req *req, struct http_reply *ret, tn_err *err)
{
    tn_rc rc = es_send(c, req, ret, err);
    if (rc == TN_OK && ret->status >= 400) {
        rc = es_refused(ret, err);
        http_reply_free(ret);
    }
    return rc;
}
