/* SPDX-License-Identifier: Apache-2.0 */
/* api_metrics: GET /metrics and GET /healthz, and who may read them. */
#include "out.h"

#include <stdlib.h>
#include <string.h>
#include <tenon/config.h>
#include <tenon/plugin.h>

static const tn_host *host;

struct conf {
    bool open;       /* to everybody */
    tn_secret token; /* who shows it may read from anywhere */
};
static const tn_field fields[] = {
    {TN_FIELD(struct conf, open), .dflt = "false",
     .doc = "Show /metrics to everybody; else to clients on this machine and to those with the "
            "token."},
    {TN_FIELD(struct conf, token), .max = 256,
     .doc = "Whoever sends \"Authorization: Bearer TOKEN\" may read /metrics from anywhere; empty: "
            "nobody."},
    {.name = NULL},
};
struct inst {
    const struct conf *conf;
};

/* ---- access ----------------------------------------------------------------------------------- */
static bool is_loopback(tn_str peer)
{
    return (peer.n == 3 && memcmp(peer.s, "::1", 3) == 0) ||
           (peer.n > 4 && memcmp(peer.s, "127.", 4) == 0);
}

static bool has_token(const struct conf *conf, const tn_http_req *req)
{
    tn_str given = tn_http_header(req, "authorization");
    static const char bearer[] = "Bearer ";
    size_t n = sizeof bearer - 1, want = conf->token.s != NULL ? strlen(conf->token.s) : 0;
    return want > 0 && given.n > n && memcmp(given.s, bearer, n) == 0 &&
           host->auth->equal(given.s + n, given.n - n, conf->token.s, want) != 0;
}

/* A request that came through a proxy on this machine is not from this machine: X-Forwarded-For says
 * that there was one, whether the frontend believed it or not. */
static bool may_read(const struct conf *conf, const tn_http_req *req)
{
    return conf->open || has_token(conf, req) ||
           (is_loopback(req->peer) && tn_http_header(req, "x-forwarded-for").s == NULL &&
            tn_http_header(req, "forwarded").s == NULL);
}

/* ---- answers ---------------------------------------------------------------------------------- */
static void answer(tn_http_req *req, uint32_t status, const char *type, char *body_take, size_t n)
{
    tn_http_pair headers[] = {{TN_STR("content-type"), {type, strlen(type)}},
                              {TN_STR("cache-control"), TN_STR("no-store")},
                              {TN_STR("www-authenticate"), TN_STR("Bearer realm=\"metrics\"")}};
    tn_http_reply reply = {.size = sizeof reply,
                           .status = status,
                           .headers = headers,
                           .nheaders = status == 401 ? 3 : 2,
                           .fd = -1,
                           .body = (const uint8_t *)body_take,
                           .body_len = n,
                           .body_free = body_take != NULL ? free : NULL,
                           .body_owner = body_take};
    host->http->reply(host->ctx, req, &reply, NULL);
}

static void plain(tn_http_req *req, uint32_t status, const char *text)
{
    char *copy = strdup(text);
    answer(req, status, "text/plain; charset=utf-8", copy, copy != NULL ? strlen(copy) : 0);
}

static json_t *parsed(tn_text *text)
{
    json_t *v = text->s != NULL ? json_loadb(text->s, text->n, 0, NULL) : NULL;
    host->free(host->ctx, text->s);
    return v;
}

static void metrics(void *inst, tn_http_req *req, const tn_match *match)
{
    const struct inst *in = inst;
    tn_err err = TN_ERR_INIT;
    tn_text text = {NULL, 0}, tasks = {NULL, 0};
    (void)match;
    if (!may_read(in->conf, req)) {
        plain(req, 401,
              "metrics are shown on this machine, or to whoever has the token of "
              "api.metrics.token\n");
        return;
    }
    if (host->metrics->read(host->ctx, &text, &err) != TN_OK) {
        host->log(host->ctx, TN_LOG_ERROR, "figures: %s", err.msg);
        plain(req, 503, "no figures\n");
        return;
    }
    if (host->tasks != NULL && host->tasks->status(host->ctx, &tasks, &err) != TN_OK) {
        tasks = (tn_text){NULL, 0};
    }
    json_t *all = parsed(&text), *queues = parsed(&tasks);
    struct out o = {0};
    families_write(&o, all, queues);
    json_decref(all);
    json_decref(queues);
    if (o.failed || o.s == NULL) {
        free(o.s);
        plain(req, 503, "no memory for the figures\n");
        return;
    }
    answer(req, 200, "text/plain; version=0.0.4; charset=utf-8", o.s, o.n);
}

static void health(void *inst, tn_http_req *req, const tn_match *match)
{
    tn_text text = {NULL, 0};
    tn_err err = TN_ERR_INIT;
    (void)inst;
    (void)match;
    tn_rc rc = host->metrics->health(host->ctx, &text, &err);
    char *copy = text.s != NULL ? malloc(text.n + 1) : NULL;
    if (copy != NULL) {
        memcpy(copy, text.s, text.n);
        copy[text.n] = '\n';
    }
    host->free(host->ctx, text.s);
    answer(req, rc == TN_OK ? 200 : 503, "application/json", copy, copy != NULL ? text.n + 1 : 0);
}

/* Another method, a path below ours, a body that is too large. */
static void refuse(void *inst, tn_http_req *req, uint32_t status, const char *text)
{
    (void)inst;
    (void)text;
    plain(req, status, status == 404 ? "GET /metrics or GET /healthz\n" : "not here\n");
}

/* ---- life ------------------------------------------------------------------------------------- */
static tn_rc load(const tn_host *h, tn_err *err)
{
    if (h->metrics == NULL || h->http == NULL || h->auth == NULL) {
        return h->fail(err, TN_E_UNSUPP, "api_metrics needs the hub's figures");
    }
    host = h;
    return TN_OK;
}

static tn_rc attach(void *inst, const void *conf, tn_err *err)
{
    (void)err;
    ((struct inst *)inst)->conf = conf;
    return TN_OK;
}

static const tn_route routes[] = {
    {.method = "GET",
     .path = "/metrics",
     .permission = "public", /* may_read() decides */
     .handler = metrics,
     .doc = "Figures in the text format of Prometheus."},
    {.method = "GET",
     .path = "/healthz",
     .permission = "public",
     .flags = TN_ROUTE_LOOP,
     .handler = health,
     .doc = "Is the platform alive and ready?"},
    {.method = NULL},
};
static const char *const prefixes[] = {"/metrics", "/healthz", NULL};
static const tn_api_ops ops = {
    .size = sizeof ops, .prefixes = prefixes, .routes = routes, .refuse = refuse};

TN_PLUGIN(.kind = TN_KIND_API, .name = "metrics", .version = "0.1.0",
          .summary = "Figures for Prometheus and health checks", .config = fields,
          .conf_size = sizeof(struct conf), .inst_size = sizeof(struct inst), .load = load,
          .attach = attach, .ops = &ops)
