/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP connector: settings, the table of methods, and the contract's functions. */
#include "web.h"

#include <stdlib.h>
#include <string.h>

const tn_host *web_host; /* set once by load() */

static const char *const auths[] = {"auto", "none", "basic", "bearer", "apikey", "aws", NULL};

static const tn_field fields[] = {
    {HTTP_FIELD(struct web_conf, http, host), .max = 255,
     .doc = "Server that paths are asked of; empty: only whole URLs can be asked."},
    {HTTP_FIELD(struct web_conf, http, port), .dflt = "0", .min = 0, .max = 65535,
     .doc = "TCP port; 0: 80, or 443 with TLS."},
    HTTP_FIELDS_COMMON(struct web_conf, http),
    {HTTP_FIELD(struct web_conf, http, auth), .dflt = "auto", .choices = auths,
     .doc =
         "What the server gets of user and password: auto: Basic when there is a user; bearer, apikey: the "
         "password as a token; aws: a signature (version 4). Other hosts get nothing."},
    {TN_FIELD(struct web_conf, region), .dflt = "us-east-1", .max = 64,
     .doc = "Region of auth aws."},
    {TN_FIELD(struct web_conf, service), .dflt = "execute-api", .max = 64,
     .doc = "Service of auth aws."},
    {TN_FIELD(struct web_conf, path), .max = 1000, .doc = "Put in front of every path."},
    {TN_FIELD(struct web_conf, timeout), .dflt = "30s", .min = 0, .max = 86400000,
     .doc = "Longest time of a request when the script names none; 0: as long as the call has."},
    {TN_FIELD(struct web_conf, redirects), .dflt = "5", .min = 0, .max = 20,
     .doc =
         "Redirects that are followed; credentials stay with their host, and https never becomes http."},
    {TN_FIELD(struct web_conf, retries), .dflt = "2", .min = 0, .max = 10,
     .doc =
         "Further attempts of GET, HEAD and OPTIONS after a lost connection or a status 429, 502, 503, 504."},
    {TN_FIELD(struct web_conf, block_private), .dflt = "false",
     .doc =
         "Refuse hosts with an address that is not of the public internet, also after redirects."},
    {0},
};

/* Parameters of methods; each kind of method has its own order. */
enum { URL, METHOD, PARAMS, HEADERS, JSON, DATA, TIMEOUT, PARSE, REDIRECTS, RAISE, SLOTS, END };
#define TAIL       "timeout:any=None, parse:str='auto', redirects:any=None, raise_for_status:any=False"
#define READ_ARGS  "url:str, params:any=None, headers:any=None, " TAIL
#define BODY_ARGS  "url:str, data:any=None, json:any=None, params:any=None, headers:any=None, " TAIL
#define TAIL_SLOTS TIMEOUT, PARSE, REDIRECTS, RAISE, END
enum { K_READ, K_BODY, K_REQUEST, K_QUERY, K_STREAM };
static const uint8_t orders[][12] = {
    [K_READ] = {URL, PARAMS, HEADERS, TAIL_SLOTS},
    [K_BODY] = {URL, DATA, JSON, PARAMS, HEADERS, TAIL_SLOTS},
    [K_REQUEST] = {METHOD, URL, DATA, JSON, PARAMS, HEADERS, TAIL_SLOTS},
    [K_QUERY] = {METHOD, URL, PARAMS, JSON, END},
    [K_STREAM] = {URL, METHOD, DATA, JSON, PARAMS, HEADERS, TIMEOUT, REDIRECTS, END},
};

#define ANSWER                                                                                     \
    "; {status, url, headers, body}, the body as JSON, text or bytes by its content type."
/*  id, arguments, what help() says, kind, verb  */
#define METHODS(X)                                                                                                  \
    X(check, "", "Asks the configured host something cheap.", K_READ, NULL)                                         \
    X(get, READ_ARGS, "GET" ANSWER, K_READ, "GET")                                                                  \
    X(head, READ_ARGS, "HEAD" ANSWER, K_READ, "HEAD")                                                               \
    X(options, READ_ARGS, "OPTIONS" ANSWER, K_READ, "OPTIONS")                                                      \
    X(delete, BODY_ARGS, "DELETE" ANSWER, K_BODY, "DELETE")                                                         \
    X(post, BODY_ARGS, "POST of json= or data= (text, bytes, or a dict as a form)" ANSWER, K_BODY,                  \
      "POST")                                                                                                       \
    X(put, BODY_ARGS, "PUT" ANSWER, K_BODY, "PUT")                                                                  \
    X(patch, BODY_ARGS, "PATCH" ANSWER, K_BODY, "PATCH")                                                            \
    X(request, "method:str, " BODY_ARGS, "A request with any method" ANSWER, K_REQUEST, NULL)                       \
    X(query, "method:str, path:any=None, query:any=None, body:any=None",                                            \
      "(status, body) of a path; 'GET /path' as the only argument will do. QueryError from status 400 on.",         \
      K_QUERY, NULL)                                                                                                \
    X(stream_start,                                                                                                 \
      "url:str, method:str='GET', data:any=None, json:any=None, params:any=None, headers:any=None, "                \
      "timeout:any=None, redirects:any=None",                                                                       \
      "Pieces of the body of an answer, as bytes; timeout is the longest wait for one. QueryError from status 400 " \
      "on.",                                                                                                        \
      K_STREAM, NULL)                                                                                               \
    X(stream_next, "size:int=65536", "The next piece, an empty list at the end.", K_READ, NULL)
enum {
    NONE,
#define AS_ID(name, args, doc, kind, verb) M_##name,
    METHODS(AS_ID)
#undef AS_ID
        COUNT
};
static const tn_method methods[] = {
#define AS_ROW(name, args, doc, kind, verb)                                                        \
    {#name, args, doc, M_##name, M_##name == M_query ? TN_M_TUPLE : 0},
    METHODS(AS_ROW)
#undef AS_ROW
        {0}};
static const struct {
    const char *verb;
    uint8_t kind;
} verbs[] = {
#define AS_VERB(name, args, doc, kind, verb) [M_##name] = {verb, kind},
    METHODS(AS_VERB)
#undef AS_VERB
};

/* ---- life -------------------------------------------------------------------------------------------- */

static tn_rc on_load(const tn_host *host, tn_err *err)
{
    (void)err;
    web_host = host;
    return TN_OK;
}

static tn_rc on_attach(void *inst, const void *conf, tn_err *err)
{
    struct web *w = inst;
    w->conf = conf;
    tn_rc rc = w->conf->http.host != NULL ? http_check_host(web_host, w->conf->http.host, err)
                                          : TN_OK;
    return rc == TN_OK ? http_attach(web_host, err) : rc;
}

static void on_detach(void *inst)
{
    (void)inst;
    http_detach();
}

static tn_rc on_open(void *inst, uint64_t deadline_ns, void **ret_conn, tn_err *err)
{
    struct web *w = inst;
    struct web_conn *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return web_host->fail(err, TN_E_NOMEM, "no memory for a connection");
    }
    if (deadline_ns != 0 &&
        web_host->now_ns() >= deadline_ns) { /* nothing else is asked before the first request */
        free(c);
        return web_host->fail(err, TN_E_TIMEOUT, "no time is left for a connection");
    }
    c->inst = w;
    tn_rc rc = http_open(web_host, &w->conf->http, &c->http, err);
    if (rc != TN_OK) {
        free(c);
        return rc;
    }
    *ret_conn = c;
    return TN_OK;
}

static void on_close(void *inst, void *conn, uint32_t why)
{
    struct web_conn *c = conn;
    (void)inst, (void)why;
    http_close(c->http);
    free(c);
}

static void on_cancel(void *inst, void *conn)
{
    (void)inst;
    http_cancel(((struct web_conn *)conn)->http);
}

static tn_rc on_reset(void *inst, void *conn, tn_err *err)
{
    struct web_conn *c = conn;
    (void)inst, (void)err;
    http_stop(c->http);
    c->streaming = false;
    return TN_OK;
}

/* Any answer will do, unless it refuses our credentials, or us for not speaking TLS. */
static tn_rc ping(struct web_conn *c, uint64_t deadline_ns, tn_err *err)
{
    struct web_call call = {.method = "HEAD", .url = TN_STR("")};
    struct http_reply r = {.status = 0};
    if (c->inst->conf->http.host == NULL || c->inst->conf->http.host[0] == '\0') {
        return TN_OK;
    }
    tn_rc rc = web_ask(c, &call, deadline_ns, &r, err);
    if (rc == TN_OK && r.status == 400) { /* why does not stand in the answer to a HEAD */
        http_reply_free(&r);
        call.method = "GET";
        rc = web_ask(c, &call, deadline_ns, &r, err);
    }
    if (rc == TN_OK && http_wants_tls(&r)) {
        rc = web_host->fail(err, TN_E_UNAVAIL, HTTP_WANTS_TLS);
    }
    if (rc == TN_OK && r.status == 401) {
        rc = web_host->fail(err, TN_E_DENIED,
                            "sign-in: the server answers 401; check auth, user and password");
    }
    http_reply_free(&r);
    return rc;
}

/* Between calls nothing is asked: a server that has gone is noticed by the request itself. */
static tn_rc on_check(void *inst, void *conn, uint64_t deadline_ns, tn_err *err)
{
    struct web_conn *c = conn;
    (void)inst;
    return c->used ? TN_OK : ping(c, deadline_ns, err);
}

/* ---- methods ----------------------------------------------------------------------------------------- */

static tn_str text_of(const tn_val *v)
{
    return v != NULL && v->type == TN_T_STR ? (tn_str){v->u.s, v->n} : (tn_str){NULL, 0};
}

/* "GET /path" of one argument; the method in upper case. */
static tn_rc take_method(tn_str text, char room[32], tn_str *ret_rest, tn_err *err)
{
    size_t n = 0;
    *ret_rest = (tn_str){NULL, 0};
    while (n < text.n && text.s[n] != ' ') {
        n++;
    }
    if (n < text.n) {
        size_t from = n;
        while (from < text.n && text.s[from] == ' ') {
            from++;
        }
        *ret_rest = (tn_str){text.s + from, text.n - from};
    }
    for (size_t i = 0; i < n && i < 31; i++) {
        char ch = text.s[i];
        room[i] = (char)(ch >= 'a' && ch <= 'z' ? ch - 32 : ch);
        if (room[i] < 'A' || room[i] > 'Z') {
            n = 0;
        }
    }
    room[n < 31 ? n : 31] = '\0';
    return n > 0 && n < 31
               ? TN_OK
               : web_host->fail(err, TN_E_INVAL, "`%.*s` is no method of HTTP",
                                (int)(text.n < 60 ? text.n : 60), text.s != NULL ? text.s : "");
}

static tn_rc ask(struct web_conn *c, uint32_t method, const tn_args *a, uint64_t deadline_ns,
                 struct web_result *r, tn_err *err)
{
    const tn_val *slots[SLOTS] = {NULL};
    char verb[32];
    tn_str rest;
    uint8_t kind = verbs[method].kind;
    for (uint32_t i = 0; i < a->npos && i < sizeof orders[0] && orders[kind][i] != END; i++) {
        slots[orders[kind][i]] = &a->pos[i];
    }
    struct web_call call = {.method = verbs[method].verb,
                            .url = text_of(slots[URL]),
                            .params = slots[PARAMS],
                            .headers = slots[HEADERS],
                            .json = slots[JSON],
                            .data = slots[DATA],
                            .timeout = slots[TIMEOUT],
                            .redirects = slots[REDIRECTS],
                            .raise = slots[RAISE] != NULL && slots[RAISE]->type == TN_T_BOOL &&
                                     slots[RAISE]->u.i,
                            .stream = kind == K_STREAM};
    tn_str parse = text_of(slots[PARSE]);
    tn_rc rc = TN_OK;
    if (call.method == NULL) {
        rc = take_method(slots[METHOD] != NULL ? text_of(slots[METHOD]) : TN_STR("GET"), verb,
                         &rest, err);
        call.method = verb;
        call.url = rc == TN_OK && kind == K_QUERY && rest.n != 0 ? rest : call.url;
        if (rc == TN_OK && kind != K_QUERY && rest.s != NULL) {
            rc = web_host->fail(err, TN_E_INVAL, "a method of HTTP has no blank");
        }
    }
    if (kind == K_QUERY && slots[METHOD] == NULL) {
        return web_host->fail(err, TN_E_INVAL,
                              "query() needs a method, or a text like 'GET /path'");
    }
    if (rc == TN_OK && call.url.s == NULL) {
        call.url = kind == K_QUERY ? TN_STR("/") : call.url;
        rc = kind == K_QUERY ? TN_OK : web_host->fail(err, TN_E_INVAL, "the URL must be text");
    }
    call.raise |= kind == K_QUERY || kind == K_STREAM;
    if (kind == K_QUERY && call.json != NULL &&
        (call.json->type == TN_T_STR || call.json->type == TN_T_BYTES)) {
        call.data = call.json; /* a text is a body already */
        call.json = NULL;
    }
    rc = rc == TN_OK ? web_ask(c, &call, deadline_ns, &r->reply, err) : rc;
    r->form = kind == K_QUERY ? WEB_PAIR : kind == K_STREAM ? WEB_NONE : WEB_DICT;
    c->streaming = rc == TN_OK && kind == K_STREAM;
    c->piece_ns = web_timeout_ns(c->inst->conf, call.timeout);
    return rc == TN_OK && r->form != WEB_NONE
               ? web_look(r, parse.s != NULL ? parse : TN_STR("auto"), err)
               : rc;
}

/* Whatever has come, so that a slow source is not waited for longer than it takes. */
static tn_rc next_piece(struct web_conn *c, const tn_args *a, uint64_t deadline_ns,
                        struct web_result *r, tn_err *err)
{
    int64_t want = a->npos > 0 && a->pos[0].type == TN_T_INT ? a->pos[0].u.i : 65536;
    size_t n = 0, size = want < 1 ? 1 : want > 16777216 ? 16777216 : (size_t)want;
    char *room = grow_room(&r->reply.body, size);
    tn_rc rc = c->streaming ? TN_OK : web_host->fail(err, TN_E_INVAL, "no answer is being read");
    if (rc == TN_OK && room == NULL) {
        rc = web_host->fail(err, TN_E_NOMEM, "no memory for %zu bytes", size);
    }
    uint64_t end = c->piece_ns != 0 ? web_host->now_ns() + c->piece_ns : 0;
    rc = rc == TN_OK
             ? http_read(c->http,
                         end != 0 && (deadline_ns == 0 || end < deadline_ns) ? end : deadline_ns,
                         room, size, &n, err)
             : rc;
    r->reply.body.n = rc == TN_OK ? n : 0;
    r->form = WEB_CHUNK;
    r->shown = WEB_BYTES;
    return rc;
}

static void result_drop(struct web_result *r)
{
    if (r != NULL) {
        http_reply_free(&r->reply);
        free(r);
    }
}

static tn_rc on_invoke(void *inst, void *conn, uint32_t method, const tn_args *a,
                       uint64_t deadline_ns, tn_result *ret, tn_err *err)
{
    struct web_conn *c = conn;
    (void)inst;
    if (method == NONE || method >= COUNT) {
        return web_host->fail(err, TN_E_UNSUPP, "there is no method %u", method);
    }
    if (deadline_ns != 0 && web_host->now_ns() >= deadline_ns) {
        return web_host->fail(err, TN_E_TIMEOUT, "the deadline had passed before the start");
    }
    struct web_result *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return web_host->fail(err, TN_E_NOMEM, "no memory for a result");
    }
    http_enter(c->http);
    c->used = true;
    tn_rc rc;
    if (method == M_check) {
        r->form = WEB_NONE;
        rc = ping(c, deadline_ns, err);
    } else if (method == M_stream_next) {
        rc = next_piece(c, a, deadline_ns, r, err);
    } else {
        rc = c->streaming
                 ? web_host->fail(err, TN_E_INVAL, "an answer is being read on this connection")
                 : ask(c, method, a, deadline_ns, r, err);
    }
    http_leave(c->http);
    if (rc != TN_OK) {
        result_drop(r);
        return rc;
    }
    *ret = (tn_result){r, method, 0};
    return TN_OK;
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
    .emit = web_emit,
    .result_free = on_free,
    .cancel = on_cancel,
};

TN_PLUGIN(.kind = TN_KIND_CONNECTOR, .flags = TN_P_THREAD_SAFE, .name = "http", .version = "1.0.0",
          .summary = "HTTP and HTTPS", .caps = TN_CAP_CANCEL | TN_CAP_STREAM, .config = fields,
          .conf_size = sizeof(struct web_conf), .inst_size = sizeof(struct web), .load = on_load,
          .attach = on_attach, .detach = on_detach, .ops = &ops)
