/* SPDX-License-Identifier: Apache-2.0 */
/* The whole engine frontend_h1 on one connection: what it understands may not depend on how the bytes
 * are cut, every request that began is released, and nothing is read that was not received. Input:
 * a byte of options, then pieces, each a length and so many bytes; length 0 lets waiting calls answer,
 * 255 ends what the client sends. */
#include "plugins/frontend_h1/h1.h"
#include "kernel/base/err.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <tenon/plugin.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
const tn_plugin *tn_plugin_v1(void);

#define OPTION_LATER 1u /* calls are answered later */
#define OPTION_SMALL 2u /* bodies are limited, little of them is drained */
#define OPTION_SPOOL 4u /* bodies go to a file */
#define OPEN_MAX     4096

struct tn_watch {
    void (*cb)(void *user, uint32_t events);
    void *user;
    bool dead;
};
struct tn_timer {
    int unused;
};

/* One run of an input. */
static struct run {
    uint8_t options;
    struct server server;
    struct http_conf conf;
    struct tn_watch watch;
    struct tn_timer timer;
    uint64_t (*prepare)(void *user);
    void *prepare_user;
    tn_http_req *waiting;
    uint64_t begun, released, understood; /* a hash of every request in order */
} * run;

static void understand(const void *p, size_t n)
{
    const uint8_t *s = p;
    for (size_t i = 0; i < n; i++) {
        run->understood = (run->understood ^ s[i]) * 0x100000001B3u;
    }
    run->understood = (run->understood ^ n ^ 0x9E37u) * 0x100000001B3u;
}

/* ---- the host ------------------------------------------------------------------------------------- */

static void host_log(void *ctx, int32_t level, const char *fmt, ...)
{
    (void)ctx;
    (void)level;
    (void)fmt;
}

static uint64_t now_ns(void)
{
    return 1000000000u;
}

static int64_t wall_us(void)
{
    return 1700000000000000;
}

static void count(void *ctx, const char *metric, int64_t delta)
{
    (void)ctx;
    (void)metric;
    (void)delta;
}

static tn_rc watch(void *ctx, int32_t fd, uint32_t events, void (*cb)(void *, uint32_t), void *user,
                   tn_watch **ret, tn_err *err)
{
    (void)ctx;
    (void)fd;
    (void)events;
    (void)err;
    run->watch = (struct tn_watch){cb, user, false};
    *ret = &run->watch;
    return TN_OK;
}

static void watch_change(void *ctx, tn_watch *w, uint32_t events)
{
    (void)ctx;
    (void)w;
    (void)events;
}

static void unwatch(void *ctx, tn_watch *w)
{
    (void)ctx;
    w->dead = true;
}

static tn_rc timer(void *ctx, void (*cb)(void *), void *user, tn_timer **ret, tn_err *err)
{
    (void)ctx;
    (void)cb;
    (void)user;
    (void)err;
    *ret = &run->timer;
    return TN_OK;
}

static void timer_set(void *ctx, tn_timer *t, uint64_t at)
{
    (void)ctx;
    (void)t;
    (void)at;
}

static void timer_free(void *ctx, tn_timer *t)
{
    (void)ctx;
    (void)t;
}

static tn_rc prepare(void *ctx, uint64_t (*cb)(void *), void *user, tn_err *err)
{
    (void)ctx;
    (void)err;
    run->prepare = cb;
    run->prepare_user = user;
    return TN_OK;
}

static void answer(tn_http_req *req, uint32_t status)
{
    const tn_frontend_ops *ops = tn_plugin_v1()->ops;
    tn_http_pair header = {TN_STR("X-A"), TN_STR("b")};
    tn_http_reply r = {.size = sizeof r,
                       .status = status,
                       .headers = &header,
                       .nheaders = 1,
                       .body = (const uint8_t *)"{}",
                       .body_len = 2,
                       .fd = -1};
    if (ops->reply(&run->server, req, &r, NULL) != TN_OK) {
        abort();
    }
    run->released++;
    ops->release(&run->server, req);
}

static void http_begin(void *ctx, void *inst, tn_http_req *req, tn_http_plan *plan)
{
    (void)ctx;
    (void)inst;
    run->begun++;
    understand(req->method.s, req->method.n);
    understand(req->target.s, req->target.n);
    understand(req->path.s, req->path.n);
    for (uint32_t i = 0; i < req->nheaders; i++) {
        understand(req->headers[i].name.s, req->headers[i].name.n);
        understand(req->headers[i].value.s, req->headers[i].value.n);
    }
    for (uint32_t i = 0; i < req->nargs; i++) {
        understand(req->args[i].name.s, req->args[i].name.n);
        understand(req->args[i].value.s, req->args[i].value.n);
    }
    plan->max_body = run->options & OPTION_SMALL ? 64 : 1 << 20;
    plan->spool_above = run->options & OPTION_SPOOL ? 8 : 1 << 20;
    if (req->path.n > 1 && req->path.s[1] == '4') {
        plan->flags |= TN_PLAN_ANSWERED;
        answer(req, 404);
    }
}

static void http_submit(void *ctx, tn_http_req *req)
{
    (void)ctx;
    understand(req->body, req->body_len);
    if (run->options & OPTION_LATER) {
        run->waiting = req;
    } else {
        answer(req, 200);
    }
}

static void http_abort(void *ctx, tn_http_req *req)
{
    const tn_frontend_ops *ops = tn_plugin_v1()->ops;
    (void)ctx;
    if (run->waiting == req) {
        run->waiting = NULL;
    }
    run->released++;
    ops->release(&run->server, req);
}

static void http_malformed(void *ctx, tn_http_req *req, uint32_t status, const char *text)
{
    (void)ctx;
    understand(text, strlen(text));
    answer(req, status);
}

static const tn_host_loop loop = {.size = sizeof loop,
                                  .watch = watch,
                                  .watch_change = watch_change,
                                  .unwatch = unwatch,
                                  .timer = timer,
                                  .timer_set = timer_set,
                                  .timer_free = timer_free,
                                  .prepare = prepare};
static const tn_host_http http = {.size = sizeof http,
                                  .begin = http_begin,
                                  .submit = http_submit,
                                  .abort = http_abort,
                                  .malformed = http_malformed};
static const tn_host host = {.size = sizeof host,
                             .log = host_log,
                             .fail = err_set,
                             .now_ns = now_ns,
                             .wall_us = wall_us,
                             .count = count,
                             .loop = &loop,
                             .http = &http};

/* ---- one connection --------------------------------------------------------------------------------- */

static void turn(int client, uint32_t events)
{
    char sink[4096];
    if (!run->watch.dead) {
        run->watch.cb(run->watch.user, events | EPOLLOUT);
    }
    while (run->prepare(run->prepare_user) == 0) {}
    while (read(client, sink, sizeof sink) > 0) {}
}

static void let_answer(int client)
{
    for (int i = 0; i < OPEN_MAX && run->waiting != NULL; i++) {
        tn_http_req *req = run->waiting;
        run->waiting = NULL;
        answer(req, 200);
        turn(client, 0);
    }
}

/* pieces: as the input cuts them, or all that the client sends at once. */
static uint64_t play(const uint8_t *data, size_t n, bool pieces)
{
    struct run r = {.options = data[0]};
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int sv[2];
    run = &r;
    r.conf = (struct http_conf){.max_connections = 8,
                                .max_headers = 64,
                                .max_fields = 100,
                                .max_request_line = {512},
                                .max_header_bytes = {1024},
                                .drain_body = {r.options & OPTION_SMALL ? 128 : 1 << 20}};
    r.server.conf = &r.conf;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv) != 0 ||
        server_start(&r.server, NULL, 0, NULL) != TN_OK ||
        conn_create(&r.server, sv[0], (struct sockaddr *)&addr) == NULL) {
        abort();
    }
    bool ended = false;
    for (size_t at = 1; at < n && !ended;) {
        size_t k = data[at++];
        if (k == 255) {
            ended = true;
        } else if (k == 0 && pieces) {
            let_answer(sv[1]);
        } else {
            k = k < n - at ? k : n - at;
            if (k > 0 && write(sv[1], data + at, k) == (ssize_t)k && pieces) {
                turn(sv[1], EPOLLIN);
            }
            at += k;
        }
    }
    turn(sv[1], EPOLLIN);
    let_answer(sv[1]);
    shutdown(sv[1], SHUT_WR);
    turn(sv[1], EPOLLIN | EPOLLRDHUP);
    let_answer(sv[1]);
    server_stop(&r.server);
    close(sv[1]);
    if (r.begun != r.released || r.waiting != NULL || !r.watch.dead) {
        abort(); /* a request or a connection was lost */
    }
    return r.understood;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static bool loaded;
    if (n < 2 || n > 32768) {
        return 0;
    }
    if (!loaded) {
        loaded = true;
        if (tn_plugin_v1()->load(&host, NULL) != TN_OK) {
            abort();
        }
    }
    if (play(data, n, true) != play(data, n, false)) {
        abort(); /* two parsers in one: how a request is cut must not matter */
    }
    return 0;
}
