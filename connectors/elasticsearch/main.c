/* SPDX-License-Identifier: Apache-2.0 */
/* Elasticsearch connector: settings, nodes, the table of methods, and the contract's functions. */
#include "common/args.h"
#include "common/json_put.h"
#include "elastic.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

const tn_host *es_host; /* set once by load() */

static const char *const auths[] = {"auto", "none", "basic", "bearer", "apikey", "aws", NULL};

static const tn_field fields[] = {
    {HTTP_FIELD(struct es_conf, http, host), .dflt = "127.0.0.1", .min = 1, .max = 4000,
     .doc = "Server; several with commas (each may have :port) are asked in turn."},
    {HTTP_FIELD(struct es_conf, http, port), .dflt = "9200", .min = 1, .max = 65535,
     .doc = "TCP port."},
    HTTP_FIELDS_COMMON(struct es_conf, http),
    {HTTP_FIELD(struct es_conf, http, auth), .dflt = "auto", .choices = auths,
     .doc =
         "auto: Basic when there is a user; apikey: the password is an encoded key; bearer: a token; aws: signatures with user "
         "and password as key id and secret."},
    {TN_FIELD(struct es_conf, region), .dflt = "us-east-1", .max = 64,
     .doc = "Region of auth aws."},
    {TN_FIELD(struct es_conf, service), .dflt = "es", .max = 64,
     .doc = "Service of auth aws: es, or aoss."},
    {TN_FIELD(struct es_conf, gzip), .dflt = "true", .doc = "Pack bodies of 2 KiB and more."},
    {TN_FIELD(struct es_conf, retries), .dflt = "3", .min = 0, .max = 10,
     .doc =
         "Further attempts after 429, and, where it does no harm, after 502, 503, 504 and lost connections."},
    {TN_FIELD(struct es_conf, dead), .dflt = "5s", .min = 100, .max = 600000,
     .doc =
         "How long a node that did not answer is left alone; doubled each time, up to 16 times that."},
    {TN_FIELD(struct es_conf, batch), .dflt = "5M", .min = 1024, .max = 104857600,
     .doc = "Bytes of actions that one request of bulk() has."},
    {0},
};

/*  name, arguments, what help() says, flags  */
#define METHODS(X)                                                                                                                    \
    X(check, "", "Asks for the list of indices.", 0)                                                                                  \
    X(query, "method:str, path:any=None, query:any=None, body:any=None",                                                              \
      "(status, body) of a request; 'GET /path' as the only argument will do. body: dict, list (as NDJSON) or text. "                 \
      "An error from status 400 on.",                                                                                                 \
      TN_M_TUPLE)                                                                                                                     \
    X(bulk, "actions:any, index:any=None, refresh:any=None, raise_errors:any=True",                                                   \
      "Runs dicts of _op_type (index, create, update, delete), _index, _id and a document, in batches: {done, failed, took, errors: " \
      "[{position, op, index, id, status, error}]}. raise_errors: QueryError when one failed.",                                       \
      0)                                                                                                                              \
    X(scan_start, "index:str, body:any=None, size:any=1000, keep:any='1m', by:any='scroll'",                                          \
      "All hits of a search, one by one; by='pit': a point in time with search_after.", 0)                                            \
    X(scan_next, "", "The hits of the next page; an empty list at the end.", 0)
enum {
    NONE,
#define AS_ID(name, args, doc, flags) M_##name,
    METHODS(AS_ID)
#undef AS_ID
        COUNT
};
static const tn_method methods[] = {
#define AS_ROW(name, args, doc, flags) {#name, args, doc, M_##name, flags},
    METHODS(AS_ROW)
#undef AS_ROW
        {0}};

enum { R_NONE, R_PAIR, R_JSON };
struct result {
    int form;
    struct http_reply reply;
    struct grow text;
};

/* ---- life -------------------------------------------------------------------------------------------- */

static tn_rc on_load(const tn_host *host, tn_err *err)
{
    (void)err;
    es_host = host;
    return TN_OK;
}

/* "a, b:9201, [::1]:9202" */
static tn_rc take_nodes(struct es *es, tn_err *err)
{
    const char *p = es->conf->http.host;
    while (*p != '\0') {
        size_t n = strcspn(p, ","), from = 0, end = n;
        const char *colon = NULL;
        while (from < end && p[from] == ' ') {
            from++;
        }
        while (end > from && p[end - 1] == ' ') {
            end--;
        }
        if (end > from) {
            const char *close = memchr(p + from, ']', end - from);
            colon = memrchr(p + from, ':', end - from);
            if (colon != NULL &&
                (colon < close ||
                 (close == NULL && memchr(p + from, ':', (size_t)(colon - p) - from) != NULL))) {
                colon = NULL; /* it is a part of an address */
            }
            if (es->nnodes == NODES_MAX) {
                return es_host->fail(err, TN_E_CONFIG, "host names more than %d nodes", NODES_MAX);
            }
            struct es_node *node = &es->node[es->nnodes++];
            size_t len = colon != NULL ? (size_t)(colon - p) - from : end - from;
            char *stop = NULL;
            node->port = colon != NULL ? strtoll(colon + 1, &stop, 10) : es->conf->http.port;
            if (len != 0 &&
                len < sizeof node->host) { /* a URL is what it is most often mistaken for */
                memcpy(node->host, p + from, len);
                tn_rc rc = http_check_host(es_host, node->host, err);
                if (rc != TN_OK) {
                    return rc;
                }
            }
            if (len == 0 || len >= sizeof node->host || node->port < 1 || node->port > 65535 ||
                (colon != NULL && stop != p + end)) {
                return es_host->fail(err, TN_E_CONFIG,
                                     "`%.*s` of host is no node; write name or name:port",
                                     (int)(end - from), p + from);
            }
        }
        p += n + (p[n] == ',');
    }
    return es->nnodes != 0 ? TN_OK : es_host->fail(err, TN_E_CONFIG, "host names no node");
}

static tn_rc on_attach(void *inst, const void *conf, tn_err *err)
{
    struct es *es = inst;
    es->conf = conf;
    tn_rc rc = take_nodes(es, err);
    return rc == TN_OK ? http_attach(es_host, err) : rc;
}

static void on_detach(void *inst)
{
    (void)inst;
    http_detach();
}

static void drop(struct es_conn *c)
{
    http_close(c->http);
    grow_free(&c->cursor);
    grow_free(&c->keep);
    grow_free(&c->body);
    grow_free(&c->after);
    free(c);
}

/* Did one of the family answer? They greet with a version and a tagline, name themselves in a header (Elasticsearch from 7.14 on),
 * and repeat the status in what they refuse (not every distribution has "/"). A 403 may come from one in front who forbids "/". */
static bool of_the_family(const struct http_reply *r)
{
    tn_str body = {r->body.s, r->body.n};
    if (r->status == 403 || http_find(r, "x-elastic-product") != NULL) {
        return true;
    }
    if (!json_valid(body)) {
        return false;
    }
    return r->status < 400 ? json_kind(json_member(body, "version")) == '{' ||
                                 json_kind(json_member(body, "tagline")) == '"'
                           : json_kind(json_member(body, "error")) != 0 &&
                                 json_int(json_member(body, "status"), 0) == r->status;
}

/* Signed in or not: a key may be forbidden to look at the cluster and still be good. */
static tn_rc hello(struct es_conn *c, uint64_t deadline_ns, tn_err *err)
{
    struct http_reply r = {.status = 0};
    const struct es_req req = {
        .method = "GET", .path = TN_STR("/"), .safe = true, .deadline_ns = deadline_ns};
    tn_rc rc = es_send(c, &req, &r, err);
    if (rc == TN_OK) {
        rc = r.status == 401 || r.status >= 429 ? es_refused(&r, err)
             : http_wants_tls(&r)               ? es_host->fail(err, TN_E_UNAVAIL, HTTP_WANTS_TLS)
             : of_the_family(&r)
                 ? TN_OK
                 : es_host->fail(err, TN_E_UNAVAIL,
                                 "the answer to GET / (status %ld) is none of an Elasticsearch or "
                                 "OpenSearch; is this an Elasticsearch?",
                                 r.status);
        http_reply_free(&r);
    }
    return rc;
}

static tn_rc on_open(void *inst, uint64_t deadline_ns, void **ret_conn, tn_err *err)
{
    struct es_conn *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return es_host->fail(err, TN_E_NOMEM, "no memory for a connection");
    }
    c->inst = inst;
    c->next = (uint32_t)(es_host->now_ns() /
                         1000); /* workers do not all begin with the first node */
    tn_rc rc = http_open(es_host, &c->inst->conf->http, &c->http, err);
    rc = rc == TN_OK ? hello(c, deadline_ns, err) : rc;
    if (rc != TN_OK) {
        drop(c);
        return rc;
    }
    *ret_conn = c;
    return TN_OK;
}

static tn_rc on_check(void *inst, void *conn, uint64_t deadline_ns, tn_err *err)
{
    (void)inst;
    return hello(conn, deadline_ns, err);
}

static tn_rc on_reset(void *inst, void *conn, tn_err *err)
{
    (void)inst, (void)err;
    es_scan_stop(conn);
    return TN_OK;
}

static void on_close(void *inst, void *conn, uint32_t why)
{
    (void)inst, (void)why;
    drop(conn);
}

static void on_cancel(void *inst, void *conn)
{
    (void)inst;
    http_cancel(((struct es_conn *)conn)->http);
}

/* ---- methods ----------------------------------------------------------------------------------------- */

/* A list of dicts is NDJSON (for _bulk and _msearch), a text is sent as it is. */
static tn_rc put_body(const tn_val *v, struct grow *to, const char **ret_type, tn_err *err)
{
    tn_rc rc = TN_OK;
    *ret_type = "application/json";
    if (v->type == TN_T_LIST) {
        *ret_type = "application/x-ndjson";
        for (uint32_t i = 0; rc == TN_OK && i < v->n; i++) {
            rc = json_put(es_host, to, &v->u.list[i], err);
            grow_char(to, '\n');
        }
    } else if (v->type == TN_T_STR || v->type == TN_T_BYTES) {
        grow_put(to, v->u.s, v->n);
        *ret_type = v->n != 0 && v->u.s[v->n - 1] == '\n' ? "application/x-ndjson"
                                                          : "application/json";
    } else {
        rc = json_put(es_host, to, v, err);
    }
    return rc == TN_OK && to->rc != TN_OK ? es_host->fail(err, to->rc, "no memory for the body")
                                          : rc;
}

/* What only reads may be asked twice; POST does with searches, which are many. */
static bool reads(const char *method, tn_str path)
{
    static const char *const searches[] = {"_search",  "_count",    "_msearch",    "_mget",
                                           "_analyze", "_validate", "_field_caps", "_explain"};
    if (strcmp(method, "POST") != 0) {
        return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0 ||
               strcmp(method, "OPTIONS") == 0;
    }
    size_t n = 0;
    while (n < path.n && path.s[n] != '?') {
        n++;
    }
    for (size_t i = 0; i < sizeof searches / sizeof *searches; i++) {
        size_t len = strlen(searches[i]);
        if (n > len && path.s[n - len - 1] == '/' &&
            memcmp(path.s + n - len, searches[i], len) == 0) {
            return true;
        }
    }
    return false;
}

static tn_rc run_query(struct es_conn *c, const tn_val *v, uint64_t deadline_ns, struct result *r,
                       tn_err *err)
{
    struct grow path = {0}, body = {0};
    char method[16];
    const char *type = NULL;
    size_t n = 0, from;
    while (n < v[0].n && v[0].u.s[n] != ' ' && n < 15) {
        char ch = v[0].u.s[n];
        method[n++] = (char)(ch >= 'a' && ch <= 'z' ? ch - 32 : ch);
    }
    method[n] = '\0';
    for (from = n; from < v[0].n && v[0].u.s[from] == ' '; from++) {}
    tn_str rest = v[1].type == TN_T_STR ? (tn_str){v[1].u.s, v[1].n}
                                        : (tn_str){v[0].u.s + from, v[0].n - from};
    if (n == 0 || strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != n ||
        (n < v[0].n && v[0].u.s[n] != ' ')) {
        return es_host->fail(err, TN_E_INVAL, "`%s` is no method of HTTP", method);
    }
    if (v[1].type != TN_T_STR && v[1].type != TN_T_NULL) {
        return es_host->fail(err, TN_E_INVAL, "a path is text");
    }
    if (rest.n == 0 || rest.s[0] != '/') {
        grow_char(&path, '/');
    }
    grow_put(&path, rest.s, rest.n);
    tn_rc rc = http_query(es_host, &path, &v[2], err);
    if (rc == TN_OK && (path.rc != TN_OK || (memmem(path.s, path.n, "?format=", 8) == NULL &&
                                             memmem(path.s, path.n, "&format=", 8) == NULL))) {
        grow_text(&path, memchr(path.s, '?', path.n) == NULL ? "?format=json" : "&format=json");
    }
    rc = rc == TN_OK && v[3].type != TN_T_NULL ? put_body(&v[3], &body, &type, err) : rc;
    const struct es_req req = {
        .method = method,
        .path = {path.s, path.n},
        .body = {type != NULL ? (body.s != NULL ? body.s : "") : NULL, body.n},
        .type = type,
        .safe = reads(method, (tn_str){path.s, path.n}),
        .deadline_ns = deadline_ns};
    rc = rc == TN_OK ? es_ask(c, &req, &r->reply, err) : rc;
    r->form = R_PAIR;
    grow_free(&body);
    grow_free(&path);
    return rc;
}

static tn_rc run_bulk(struct es_conn *c, const tn_val *v, uint64_t deadline_ns, struct result *r,
                      tn_err *err)
{
    bool errors = false;
    char first[300];
    r->form = R_JSON;
    tn_rc rc = es_bulk(c, &v[0], &v[1], &v[2], deadline_ns, &r->text, &errors, err);
    bool quiet = v[3].type == TN_T_NULL ||
                 ((v[3].type == TN_T_BOOL || v[3].type == TN_T_INT) && v[3].u.i == 0);
    if (rc == TN_OK && errors && !quiet) {
        struct json_iter it;
        tn_str key, one = {NULL, 0}, all = {r->text.s, r->text.n};
        if (json_iter(&it, json_member(all, "errors"))) {
            json_next(&it, &key, &one);
        }
        json_plain(one, first, sizeof first);
        rc = es_host->fail(err, TN_E_REMOTE,
                           "%lld actions failed, %lld were carried out; the first: %s",
                           (long long)json_int(json_member(all, "failed"), 0),
                           (long long)json_int(json_member(all, "done"), 0), first);
        if (err != NULL) {
            err->native = (int32_t)json_int(json_member(one, "status"), 0);
        }
    }
    return rc;
}

static tn_rc work(struct es_conn *c, uint32_t method, const tn_val *v, uint64_t deadline_ns,
                  struct result *r, tn_err *err)
{
    const struct es_req list = {.method = "GET",
                                .path = TN_STR("/_cat/indices?format=json"),
                                .safe = true,
                                .deadline_ns = deadline_ns};
    tn_rc rc;
    switch (method) {
    case M_check:
        rc = es_ask(c, &list, &r->reply, err);
        return rc;
    case M_query:
        return run_query(c, v, deadline_ns, r, err);
    case M_bulk:
        return run_bulk(c, v, deadline_ns, r, err);
    case M_scan_start:
        es_scan_stop(c);
        return es_scan_start(c, v, deadline_ns, err);
    default:
        r->form = R_JSON;
        return es_scan_next(c, deadline_ns, &r->text, err);
    }
}

static void result_drop(struct result *r)
{
    if (r != NULL) {
        http_reply_free(&r->reply);
        grow_free(&r->text);
        free(r);
    }
}

#define ARGS_MAX 8

static tn_rc on_invoke(void *inst, void *conn, uint32_t method, const tn_args *a,
                       uint64_t deadline_ns, tn_result *ret, tn_err *err)
{
    struct es_conn *c = conn;
    tn_val all[ARGS_MAX];
    (void)inst;
    if (method == NONE || method >= COUNT) {
        return es_host->fail(err, TN_E_UNSUPP, "there is no method %u", method);
    }
    if (deadline_ns != 0 && es_host->now_ns() >= deadline_ns) {
        return es_host->fail(err, TN_E_TIMEOUT, "the deadline had passed before the start");
    }
    tn_rc rc = args_complete(es_host, &methods[method - 1], a, all, ARGS_MAX, err);
    struct result *r = rc == TN_OK ? calloc(1, sizeof *r) : NULL;
    if (rc == TN_OK && r == NULL) {
        rc = es_host->fail(err, TN_E_NOMEM, "no memory for a result");
    }
    if (rc == TN_OK) {
        http_enter(c->http);
        rc = work(c, method, all, deadline_ns, r, err);
        http_leave(c->http);
    }
    if (rc != TN_OK) {
        result_drop(r);
        return rc;
    }
    *ret = (tn_result){r, method, 0};
    return TN_OK;
}

/* JSON, or bytes that are none (a HEAD has no body: None). */
static tn_rc emit_body(const struct grow *body, tn_sink *sink)
{
    tn_val v = {.type = TN_T_NULL};
    tn_str text = {body->s, body->n};
    if (json_valid(text)) {
        v = (tn_val){.type = TN_T_STR, .flags = TN_V_JSON, .n = (uint32_t)body->n, .u.s = body->s};
    } else if (body->n != 0) {
        v = (tn_val){.type = TN_T_BYTES, .n = (uint32_t)body->n, .u.b = (const uint8_t *)body->s};
    }
    return sink->ops->scalar(sink, &v);
}

/* Hits and outcomes are JSON as a whole. */
static tn_rc on_emit(void *inst, const tn_result *result, tn_sink *sink, tn_err *err)
{
    const struct result *r = result->native;
    const tn_val none = {.type = TN_T_NULL}, status = {.type = TN_T_INT, .u.i = r->reply.status};
    (void)inst, (void)err;
    if (r->form == R_NONE) {
        return sink->ops->scalar(sink, &none);
    }
    if (r->form == R_JSON) {
        return emit_body(&r->text, sink);
    }
    tn_rc rc = sink->ops->list_begin(sink, 2);
    rc = rc == TN_OK ? sink->ops->scalar(sink, &status) : rc;
    rc = rc == TN_OK ? emit_body(&r->reply.body, sink) : rc;
    return rc == TN_OK ? sink->ops->list_end(sink) : rc;
}

static void on_free(void *inst, tn_result *r)
{
    (void)inst;
    result_drop(r->native);
    r->native = NULL;
}

static const tn_connector_ops ops = {
    .size = sizeof ops,
    .methods = methods,
    .open = on_open,
    .check = on_check,
    .reset = on_reset,
    .close = on_close,
    .invoke = on_invoke,
    .emit = on_emit,
    .result_free = on_free,
    .cancel = on_cancel,
};

TN_PLUGIN(.kind = TN_KIND_CONNECTOR, .flags = TN_P_THREAD_SAFE, .name = "elasticsearch",
          .version = "1.0.0", .summary = "Elasticsearch and OpenSearch",
          .caps = TN_CAP_CANCEL | TN_CAP_STREAM, .config = fields,
          .conf_size = sizeof(struct es_conf), .inst_size = sizeof(struct es), .load = on_load,
          .attach = on_attach, .detach = on_detach, .ops = &ops)
