/* SPDX-License-Identifier: Apache-2.0 */
/* Requests between frontends and apis: match, hand over, answer once, release once. */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/fd.h"
#include "kernel/base/list.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"
#include "kernel/hub/hub.h"
#include <stdlib.h>

#define SPOOL_ABOVE (1u << 20)
#define POOL_MAX    512

struct release_cb {
    void (*cb)(void *user);
    void *user;
};
struct exchange {
    struct list link; /* pool or open list */
    struct hub *hub;
    struct hub_plugin *front;
    tn_http_req *req;
    struct router_hit hit;
    tn_match match;
    struct release_cb release[4];
    unsigned nrelease;
    uint8_t submitted, replied, aborted, streaming;
    uint8_t held; /* a helper thread runs the handler */
};
struct exchanges {
    struct list open, pool;
    size_t nopen, npool;
};

tn_rc exchanges_create(struct hub *h, tn_err *err)
{
    struct exchanges *x = calloc(1, sizeof *x);
    if (x == NULL) {
        return err_set(err, TN_E_NOMEM, "no memory for exchanges");
    }
    list_init(&x->open);
    list_init(&x->pool);
    h->exchanges = x;
    return TN_OK;
}

void exchanges_destroy(struct hub *h)
{
    struct exchanges *x = h->exchanges;
    if (x == NULL) {
        return;
    }
    for (struct list *l; (l = list_pop_front(&x->pool)) != NULL;) {
        free(list_entry(l, struct exchange, link));
    }
    for (struct list *l; (l = list_pop_front(&x->open)) != NULL;) {
        free(list_entry(l, struct exchange, link));
    }
    free(x);
    h->exchanges = NULL;
}

size_t exchanges_open(const struct hub *h)
{
    return h->exchanges->nopen;
}

static const tn_frontend_ops *front_ops(const struct exchange *e)
{
    return e->front->plug->ops;
}

static const tn_api_ops *api_ops(const struct exchange *e)
{
    return e->hit.api->plug->ops;
}

static void exchange_release(struct exchange *e)
{
    struct exchanges *x = e->hub->exchanges;
    while (e->nrelease > 0) {
        struct release_cb *r = &e->release[--e->nrelease];
        r->cb(r->user);
    }
    e->req->kernel = NULL;
    front_ops(e)->release(e->front->pi.inst, e->req);
    list_del(&e->link);
    x->nopen--;
    if (x->npool < POOL_MAX) {
        list_push_front(&x->pool, &e->link);
        x->npool++;
    } else {
        free(e);
    }
}

static void reply_drop(const tn_http_reply *reply)
{
    if (reply->body_free != NULL) {
        reply->body_free(reply->body_owner);
    }
    if (reply->fd >= 0) {
        int fd = reply->fd;
        fd_close(&fd);
    }
}

static void reply_plain(struct exchange *e, uint32_t status, const char *text)
{
    tn_http_pair type = {TN_STR("content-type"), TN_STR("text/plain; charset=utf-8")};
    tn_http_reply r = {.size = sizeof r,
                       .status = status,
                       .headers = &type,
                       .nheaders = 1,
                       .body = (const uint8_t *)text,
                       .body_len = strlen(text),
                       .fd = -1};
    tn_err err = TN_ERR_INIT;
    e->replied = 1;
    if (front_ops(e)->reply(e->front->pi.inst, e->req, &r, &err) != TN_OK) {
        log_error("plain reply refused by %s: %s", e->front->plug->desc.name, err.msg);
    }
    exchange_release(e);
}

/* No route, or a rule of the protocol was broken: the api answers in its own vocabulary. */
static void refuse(struct exchange *e, uint32_t status, const char *text)
{
    if (e->hit.api != NULL && api_ops(e)->refuse != NULL) {
        api_ops(e)->refuse(e->hit.api->pi.inst, e->req, status, text);
    } else {
        reply_plain(e, status, text);
    }
}

static int is_multipart(const tn_http_req *req)
{
    tn_str type = tn_http_header(req, "content-type");
    return type.n >= 10 && strncasecmp(type.s, "multipart/", 10) == 0;
}

static void http_begin(void *ctx, void *frontend_inst, tn_http_req *req, tn_http_plan *plan)
{
    struct hub_plugin *front = ctx;
    struct hub *h = front->hub;
    struct exchanges *x = h->exchanges;
    (void)frontend_inst;
    struct list *l = list_pop_front(&x->pool);
    struct exchange *e;
    if (l != NULL) {
        e = list_entry(l, struct exchange, link);
        x->npool--;
    } else {
        e = malloc(sizeof *e);
    }
    plan->flags = 0;
    plan->spool_above = SPOOL_ABOVE;
    plan->max_body = (uint64_t)h->settings.body_max.n;
    plan->upload_dir = NULL;
    plan->upload_stamp = NULL;
    req->kernel = e;
    if (e == NULL) {
        /* submit() answers nothing without an exchange, so refuse here; the frontend copes. */
        tn_http_reply r = {.size = sizeof r, .status = 503, .flags = TN_REPLY_CLOSE, .fd = -1};
        const tn_frontend_ops *ops = front->plug->ops;
        plan->flags = TN_PLAN_ANSWERED;
        ops->reply(front->pi.inst, req, &r, NULL);
        ops->release(front->pi.inst, req);
        return;
    }
    list_push_back(&x->open, &e->link);
    x->nopen++;
    e->hub = h;
    e->front = front;
    e->req = req;
    e->nrelease = 0;
    e->submitted = e->replied = e->aborted = e->streaming = e->held = 0;
    if (!router_match(h->router, req->method, req->path, &e->hit)) {
        plan->flags = TN_PLAN_ANSWERED;
        refuse(e, 404, "no such route");
        return;
    }
    e->match = (tn_match){e->hit.route, e->hit.params, e->hit.nparams, 0};
    if (e->hit.route->flags & TN_ROUTE_MULTIPART) {
        plan->flags |= TN_PLAN_MULTIPART;
        if (is_multipart(
                req)) { /* files go to disk and may be larger than what is kept in memory */
            plan->max_body = (uint64_t)h->settings.upload_max.n;
        }
    }
    if (e->hit.route->max_body != 0) {
        plan->max_body = e->hit.route->max_body;
    }
    if (api_ops(e)->plan != NULL) {
        api_ops(e)->plan(e->hit.api->pi.inst, req, &e->match, plan);
    }
}

/* The handler returned on its helper thread; from here an abort may release. */
static void helper_left(void *user)
{
    struct exchange *e = user;
    e->held = 0;
    if (e->replied) {
        exchange_release(e);
    }
}

static void helper_run(void *user)
{
    struct exchange *e = user;
    e->hit.route->handler(e->hit.api->pi.inst, e->req, &e->match);
    loop_post(e->hub->loop, helper_left, e);
}

static void http_submit(void *ctx, tn_http_req *req)
{
    struct hub *h = host_hub(ctx);
    struct exchange *e = req->kernel;
    e->submitted = 1;
    if (e->hit.route->flags & TN_ROUTE_LOOP) {
        e->hit.route->handler(e->hit.api->pi.inst, req, &e->match);
        return;
    }
    e->held = 1;
    tn_err err = TN_ERR_INIT;
    if (loop_defer(h->loop, helper_run, e, &err) != TN_OK) {
        e->held = 0;
        refuse(e, 503, err.msg);
    }
}

static void http_abort(void *ctx, tn_http_req *req)
{
    (void)ctx;
    struct exchange *e = req->kernel;
    e->aborted = 1;
    if (e->streaming) { /* only the loop thread sends, and on_release() tells the sender */
        e->streaming = 0;
        e->replied = 1;
        if (!e->held) {
            exchange_release(e);
        }
        return;
    }
    /* Not handed over yet, or a handler that lives on this thread: nobody else can touch it. */
    if (!e->replied && (!e->submitted || (e->hit.route->flags & TN_ROUTE_LOOP))) {
        e->replied = 1;
        exchange_release(e);
    }
}

static void http_malformed(void *ctx, tn_http_req *req, uint32_t status, const char *text)
{
    (void)ctx;
    refuse(req->kernel, status, text);
}

static tn_rc reply_now(struct exchange *e, const tn_http_reply *reply, tn_err *err)
{
    if ((e->replied || e->streaming) && !e->aborted) {
        log_error("a request was answered twice (%.*s)", (int)e->req->path.n, e->req->path.s);
        reply_drop(reply);
        return TN_OK;
    }
    if (e->aborted) {
        reply_drop(reply);
    } else {
        tn_rc rc = front_ops(e)->reply(e->front->pi.inst, e->req, reply, err);
        if (rc != TN_OK) {
            return rc;
        }
    }
    e->replied = 1;
    if (!e->held) {
        exchange_release(e);
    }
    return TN_OK;
}

/* A reply from a helper thread, carried to the loop thread. */
struct carried {
    struct exchange *e;
    tn_http_reply reply;
    tn_http_pair headers[];
};

static void reply_carried(void *user)
{
    struct carried *c = user;
    tn_err err = TN_ERR_INIT;
    if (reply_now(c->e, &c->reply, &err) != TN_OK) {
        log_error("reply refused: %s", err.msg);
        reply_plain(c->e, 500, "the answer had a header that is not allowed\n");
    }
    free(c);
}

static tn_rc http_reply(void *ctx, tn_http_req *req, const tn_http_reply *reply, tn_err *err)
{
    struct hub *h = host_hub(ctx);
    struct exchange *e = req->kernel;
    if (e == NULL) {
        log_error("an answer came for a request that was already answered");
        reply_drop(reply);
        return TN_OK;
    }
    if (hub_on_loop(h)) {
        return reply_now(e, reply, err);
    }
    size_t text = reply->fd_path != NULL ? strlen(reply->fd_path) + 1 : 0;
    for (uint32_t i = 0; i < reply->nheaders; i++) {
        text += reply->headers[i].name.n + reply->headers[i].value.n;
    }
    struct carried *c = malloc(sizeof *c + reply->nheaders * sizeof *c->headers + text);
    if (c == NULL) {
        reply_drop(reply);
        abort(); /* an answer that cannot be carried would hang its caller for ever */
    }
    c->e = e;
    c->reply = *reply;
    char *p = (char *)&c->headers[reply->nheaders];
    for (uint32_t i = 0; i < reply->nheaders; i++) {
        const tn_http_pair *from = &reply->headers[i];
        memcpy(p, from->name.s, from->name.n);
        c->headers[i].name = (tn_str){p, from->name.n};
        p += from->name.n;
        memcpy(p, from->value.s ? from->value.s : "", from->value.n);
        c->headers[i].value = (tn_str){p, from->value.n};
        p += from->value.n;
    }
    c->reply.headers = c->headers;
    if (reply->fd_path != NULL) {
        c->reply.fd_path = memcpy(p, reply->fd_path, strlen(reply->fd_path) + 1);
    }
    loop_post(h->loop, reply_carried, c);
    return TN_OK;
}

static tn_rc http_stream(void *ctx, tn_http_req *req, const tn_http_reply *head, tn_err *err)
{
    (void)ctx;
    struct exchange *e = req->kernel;
    const tn_frontend_ops *ops = front_ops(e);
    if (e->replied || e->streaming) {
        return err_set(err, TN_E_CONFLICT, "the request was answered already");
    }
    if (e->aborted) { /* a route of a helper thread: the request was kept for its answer */
        e->replied = 1;
        if (!e->held) {
            exchange_release(e);
        }
        return err_set(err, TN_E_CANCELED, "the client has gone");
    }
    if (ops->stream == NULL) {
        return err_set(err, TN_E_UNSUPP, "frontend %s cannot stream answers",
                       e->front->plug->desc.name);
    }
    tn_rc rc = ops->stream(e->front->pi.inst, req, head, err);
    if (rc == TN_OK) {
        e->streaming = 1;
    }
    return rc;
}

static tn_rc http_stream_send(void *ctx, tn_http_req *req, tn_str data, tn_err *err)
{
    (void)ctx;
    struct exchange *e = req->kernel;
    if (!e->streaming) {
        return err_set(err, TN_E_CANCELED, "the client has gone");
    }
    return front_ops(e)->stream_send(e->front->pi.inst, req, data, err);
}

static void http_stream_end(void *ctx, tn_http_req *req)
{
    (void)ctx;
    struct exchange *e = req->kernel;
    if (!e->streaming) {
        return;
    }
    e->streaming = 0;
    e->replied = 1;
    front_ops(e)->stream_end(e->front->pi.inst, req);
    if (!e->held) {
        exchange_release(e); /* the frontend keeps what it has to send */
    }
}

static void http_on_release(void *ctx, tn_http_req *req, void (*cb)(void *user), void *user)
{
    (void)ctx;
    struct exchange *e = req->kernel;
    if (e->nrelease == sizeof e->release / sizeof e->release[0]) {
        log_alert("more than 4 release callbacks on one request");
        abort();
    }
    e->release[e->nrelease++] = (struct release_cb){cb, user};
}

/* RFC 9110 section 5.1 and 5.5: a token as name; no control characters in the value. */
static tn_rc http_header_check(tn_str name, tn_str value, tn_err *err)
{
    static const char tchars[] = "!#$%&'*+-.^_`|~";
    if (name.n == 0) {
        return err_set(err, TN_E_INVAL, "a header needs a name");
    }
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.s[i];
        int alnum = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
        if (!alnum && (c == 0 || strchr(tchars, c) == NULL)) {
            return err_set(err, TN_E_INVAL, "header name \"%.*s\": byte 0x%02x is not allowed",
                           (int)(name.n > 64 ? 64 : name.n), name.s, c);
        }
    }
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.s[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return err_set(err, TN_E_INVAL, "header %.*s: byte 0x%02x is not allowed in its value",
                           (int)(name.n > 64 ? 64 : name.n), name.s, c);
        }
    }
    return TN_OK;
}

const tn_host_http exchange_http_ops = {
    .size = sizeof exchange_http_ops,
    .begin = http_begin,
    .submit = http_submit,
    .abort = http_abort,
    .malformed = http_malformed,
    .reply = http_reply,
    .on_release = http_on_release,
    .header_check = http_header_check,
    .stream = http_stream,
    .stream_send = http_stream_send,
    .stream_end = http_stream_end,
};
