/* SPDX-License-Identifier: Apache-2.0 */
/* A host for a frontend without the rest of Tenon: a small event loop, the kernel's side of the
 * http table, and a few paths whose answers the tests and the benchmark know.
 *
 *   stub_host PLUGIN.so PORT DIR [key=value ...]     prints "READY", stops on SIGTERM
 *
 * Exit status 0 means: drained, and every request that began was released. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <tenon/tenon.h>
#include <time.h>
#include <unistd.h>

static const tn_plugin *plugin;
static const tn_frontend_ops *ops;
static void *inst;
static const char *dir;
static volatile sig_atomic_t stopping;
static struct {
    uint64_t begun, submitted, aborted, released, malformed, answered, limited, canceled;
} counts;

static void die(const char *what, const char *why)
{
    fprintf(stderr, "stub_host: %s: %s\n", what, why);
    exit(1);
}

/* ---- loop ---------------------------------------------------------------------------------------------- */

struct tn_watch {
    int fd;
    int dead;
    void (*cb)(void *, uint32_t);
    void *user;
    struct tn_watch *next_dead;
};
struct tn_timer {
    struct tn_timer *next;
    uint64_t at;
    void (*cb)(void *);
    void *user;
};
static int ep;
static struct tn_timer *timers;
static struct tn_watch *dead;
static uint64_t (*prepare_cb)(void *);
static void *prepare_user;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int64_t wall_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static tn_rc loop_watch(void *ctx, int32_t fd, uint32_t events, void (*cb)(void *, uint32_t),
                        void *user, tn_watch **ret, tn_err *err)
{
    (void)ctx;
    (void)err;
    tn_watch *w = calloc(1, sizeof *w);
    w->fd = fd;
    w->cb = cb;
    w->user = user;
    struct epoll_event e = {.events = events, .data.ptr = w};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) != 0) {
        free(w);
        return TN_E_INTERNAL;
    }
    *ret = w;
    return TN_OK;
}

static void loop_change(void *ctx, tn_watch *w, uint32_t events)
{
    (void)ctx;
    struct epoll_event e = {.events = events, .data.ptr = w};
    epoll_ctl(ep, EPOLL_CTL_MOD, w->fd, &e);
}

static void loop_unwatch(void *ctx, tn_watch *w)
{
    (void)ctx;
    if (epoll_ctl(ep, EPOLL_CTL_DEL, w->fd, NULL) != 0) {
        die("unwatch", strerror(errno)); /* the plugin closed the descriptor too early */
    }
    w->dead = 1;
    w->next_dead = dead;
    dead = w;
}

static tn_rc loop_timer(void *ctx, void (*cb)(void *), void *user, tn_timer **ret, tn_err *err)
{
    (void)ctx;
    (void)err;
    tn_timer *t = calloc(1, sizeof *t);
    t->cb = cb;
    t->user = user;
    *ret = t;
    return TN_OK;
}

static void timer_out(tn_timer *t)
{
    for (tn_timer **p = &timers; *p != NULL; p = &(*p)->next) {
        if (*p == t) {
            *p = t->next;
            break;
        }
    }
    t->at = 0;
}

static void loop_timer_set(void *ctx, tn_timer *t, uint64_t at)
{
    (void)ctx;
    if (t->at != 0) {
        timer_out(t);
    }
    t->at = at;
    if (at == 0) {
        return;
    }
    tn_timer **p = &timers;
    while (*p != NULL && (*p)->at <= at) {
        p = &(*p)->next;
    }
    t->next = *p;
    *p = t;
}

static void loop_timer_free(void *ctx, tn_timer *t)
{
    (void)ctx;
    if (t->at != 0) {
        timer_out(t);
    }
    free(t);
}

static tn_rc loop_prepare(void *ctx, uint64_t (*cb)(void *), void *user, tn_err *err)
{
    (void)ctx;
    (void)err;
    prepare_cb = cb;
    prepare_user = user;
    return TN_OK;
}

static const tn_host_loop host_loop = {
    .size = sizeof host_loop,
    .watch = loop_watch,
    .watch_change = loop_change,
    .unwatch = loop_unwatch,
    .timer = loop_timer,
    .timer_set = loop_timer_set,
    .timer_free = loop_timer_free,
    .prepare = loop_prepare,
};

/* ---- requests --------------------------------------------------------------------------------------------- */

struct pending {
    struct pending *prev, *next;
    tn_http_req *req;
    tn_timer *timer;
    uint64_t streamed; /* pieces of its stream so far */
    int stream;
};
static struct pending open_list = {&open_list, &open_list, NULL, NULL, 0, 0};
static struct pending *spare;

static void release(tn_http_req *req)
{
    struct pending *p = req->kernel;
    p->prev->next = p->next;
    p->next->prev = p->prev;
    if (p->timer != NULL) {
        loop_timer_set(NULL, p->timer, 0);
    }
    p->next = spare;
    spare = p;
    counts.released++;
    ops->release(inst, req);
}

static tn_rc send_reply(tn_http_req *req, tn_http_reply *r)
{
    tn_err err = TN_ERR_INIT;
    r->size = sizeof *r;
    tn_rc rc = ops->reply(inst, req, r, &err);
    if (rc == TN_E_INVAL) {
        tn_http_reply again = {.size = sizeof again,
                               .status = 500,
                               .fd = -1,
                               .body = (const uint8_t *)"refused\n",
                               .body_len = 8};
        rc = ops->reply(inst, req, &again, NULL);
    }
    if (rc != TN_OK) {
        die("reply", err.msg);
    }
    counts.answered++;
    release(req);
    return rc;
}

static void text_reply(tn_http_req *req, uint32_t status, const char *type, const char *body,
                       size_t n, void (*body_free)(void *), uint32_t flags)
{
    tn_http_pair h = {TN_STR("Content-Type"), {type, strlen(type)}};
    tn_http_reply r = {.status = status,
                       .headers = &h,
                       .nheaders = 1,
                       .fd = -1,
                       .flags = flags,
                       .body = (const uint8_t *)body,
                       .body_len = n,
                       .body_free = body_free,
                       .body_owner = (void *)(uintptr_t)body};
    send_reply(req, &r);
}

static void small_reply(tn_http_req *req)
{
    static const char body[] = "{\"result\":3}";
    text_reply(req, 200, "application/json", body, sizeof body - 1, NULL, 0);
}

static tn_str arg(const tn_http_req *req, const char *name)
{
    for (uint32_t i = 0; i < req->nargs; i++) {
        if (req->args[i].name.n == strlen(name) &&
            memcmp(req->args[i].name.s, name, req->args[i].name.n) == 0) {
            return req->args[i].value;
        }
    }
    return (tn_str){NULL, 0};
}

static uint64_t num_arg(const tn_http_req *req, const char *name, uint64_t dflt)
{
    tn_str v = arg(req, name);
    char buf[32] = "";
    if (v.s == NULL || v.n >= sizeof buf) {
        return dflt;
    }
    memcpy(buf, v.s, v.n);
    return strtoull(buf, NULL, 10);
}

static int path_is(const tn_http_req *req, const char *path)
{
    size_t n = strlen(path);
    return req->path.n == n && memcmp(req->path.s, path, n) == 0;
}

static void quoted(FILE *f, tn_str s)
{
    fputc('"', f);
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.s[i];
        if (c < 0x20 || c >= 0x7F || c == '"' || c == '\\') {
            fprintf(f, "\\u%04x", c); /* bytes as Latin-1 */
        } else {
            fputc(c, f);
        }
    }
    fputc('"', f);
}

static void pairs(FILE *f, const char *name, const tn_http_pair *p, uint32_t n)
{
    fprintf(f, ",\"%s\":[", name);
    for (uint32_t i = 0; i < n; i++) {
        fprintf(f, "%s[", i > 0 ? "," : "");
        quoted(f, p[i].name);
        fputc(',', f);
        quoted(f, p[i].value);
        fputc(']', f);
    }
    fputc(']', f);
}

/* Everything the frontend understood, as JSON. */
static void echo(tn_http_req *req)
{
    char *text = NULL;
    size_t n = 0;
    uint32_t sum = 0;
    FILE *f = open_memstream(&text, &n);
    for (size_t i = 0; i < req->body_len; i++) {
        sum = sum * 31 + req->body[i];
    }
    struct {
        const char *name;
        tn_str v;
    } s[] = {
        {"method", req->method},
        {"target", req->target},
        {"path", req->path},
        {"query", req->query},
        {"scheme", req->scheme},
        {"peer", req->peer},
        {"body", {(const char *)req->body, req->body_len < 4096 ? req->body_len : 0}},
    };
    fprintf(f, "{\"length\":%zu,\"sum\":%u,\"flags\":%u", req->body_len, sum, req->flags);
    for (size_t i = 0; i < sizeof s / sizeof s[0]; i++) {
        fprintf(f, ",\"%s\":", s[i].name);
        quoted(f, s[i].v);
    }
    pairs(f, "headers", req->headers, req->nheaders);
    pairs(f, "args", req->args, req->nargs);
    fprintf(f, ",\"parts\":[");
    for (uint32_t i = 0; i < req->nparts; i++) {
        const tn_http_part *p = &req->parts[i];
        struct {
            const char *name;
            tn_str v;
        } m[] = {
            {"name", p->name},         {"type", p->type},
            {"encoding", p->encoding}, {"value", p->value.n < 4096 ? p->value : (tn_str){"", 0}},
            {"path", p->path},
        };
        fprintf(f, "%s{\"size\":%llu", i > 0 ? "," : "", (unsigned long long)p->size);
        for (size_t k = 0; k < sizeof m / sizeof m[0]; k++) {
            fprintf(f, ",\"%s\":", m[k].name);
            quoted(f, m[k].v);
        }
        if (p->filename.s != NULL) {
            fprintf(f, ",\"filename\":");
            quoted(f, p->filename);
        }
        fputc('}', f);
    }
    fprintf(f, "]}\n");
    fclose(f);
    text_reply(req, 200, "application/json", text, n, free, TN_REPLY_NO_GZIP);
}

static void stats(tn_http_req *req)
{
    char *text = NULL;
    size_t n = 0;
    uint64_t open = 0, fds = 0;
    struct rusage ru;
    for (struct pending *p = open_list.next; p != &open_list; p = p->next) {
        open++;
    }
    for (int fd = 0; fd < 20000; fd++) {
        fds += fcntl(fd, F_GETFD) >= 0;
    }
    long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (statm == NULL || fscanf(statm, "%*d %ld", &pages) != 1) {
        pages = 0;
    }
    if (statm != NULL) {
        fclose(statm);
    }
    getrusage(RUSAGE_SELF, &ru);
    FILE *f = open_memstream(&text, &n);
    fprintf(
        f,
        "{\"begun\":%llu,\"submitted\":%llu,\"aborted\":%llu,\"released\":%llu,"
        "\"malformed\":%llu,\"answered\":%llu,\"limited\":%llu,\"canceled\":%llu,\"open\":%llu,\"fds\":%llu,\"active\":%u,"
        "\"rss_kb\":%ld,\"maxrss_kb\":%ld,\"cpu_ms\":%ld}\n",
        (unsigned long long)counts.begun, (unsigned long long)counts.submitted,
        (unsigned long long)counts.aborted, (unsigned long long)counts.released,
        (unsigned long long)counts.malformed, (unsigned long long)counts.answered,
        (unsigned long long)counts.limited, (unsigned long long)counts.canceled,
        (unsigned long long)open, (unsigned long long)fds, ops->active(inst),
        pages * (sysconf(_SC_PAGESIZE) / 1024), ru.ru_maxrss,
        (ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000 +
            (ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1000);
    fclose(f);
    text_reply(req, 200, "application/json", text, n, free, TN_REPLY_NO_GZIP);
}

/* A file with n bytes, answered by descriptor. */
static void file_reply(tn_http_req *req)
{
    static unsigned serial;
    char path[4200];
    uint64_t n = num_arg(req, "n", 10);
    snprintf(path, sizeof path, "%s/answer-%u", dir, serial++);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    char block[4096];
    memset(block, 'f', sizeof block);
    for (uint64_t left = n; left > 0;) {
        size_t k = left < sizeof block ? (size_t)left : sizeof block;
        if (write(fd, block, k) != (ssize_t)k) {
            die(path, strerror(errno));
        }
        left -= k;
    }
    uint64_t off = num_arg(req, "off", 0);
    tn_http_reply r = {.status = (uint32_t)num_arg(req, "c", 200),
                       .fd = fd,
                       .fd_off = off,
                       .fd_len = n - off,
                       .fd_path = path,
                       .flags = TN_REPLY_DELETE};
    send_reply(req, &r);
}

static void big_reply(tn_http_req *req)
{
    uint64_t n = num_arg(req, "n", 4096);
    char *p = malloc(n + 1);
    memset(p, 'b', n);
    tn_str type = arg(req, "type");
    char buf[128] = "text/plain";
    if (type.s != NULL && type.n < sizeof buf) {
        memcpy(buf, type.s, type.n);
        buf[type.n] = '\0';
    }
    text_reply(req, (uint32_t)num_arg(req, "c", 200), buf, p, n, free,
               (uint32_t)num_arg(req, "flags", 0));
}

static void header_reply(tn_http_req *req)
{
    tn_http_pair h[32] = {{arg(req, "name"), arg(req, "value")},
                          {arg(req, "name2"), arg(req, "value2")}};
    uint32_t n = (uint32_t)num_arg(req, "times", h[1].name.s != NULL ? 2 : 1);
    for (uint32_t i = 2; i < n && i < 32; i++) {
        h[i] = h[0];
    }
    tn_http_reply r = {.status = (uint32_t)num_arg(req, "c", 200),
                       .headers = h,
                       .nheaders = n < 32 ? n : 32,
                       .fd = -1,
                       .body = (const uint8_t *)"ok\n",
                       .body_len = 3};
    send_reply(req, &r);
}

/* Pieces of a stream: n (0 = without end) of `size` bytes, one every `us`; 0: as they go. */
static void stream_more(struct pending *p)
{
    tn_http_req *req = p->req;
    uint64_t n = num_arg(req, "n", 3), us = num_arg(req, "us", 0);
    size_t size = (size_t)num_arg(req, "size", 10);
    char *piece = malloc(size);
    memset(piece, 's', size);
    tn_rc rc = TN_OK;
    do {
        if (n != 0 && p->streamed == n) {
            free(piece);
            ops->stream_end(inst, req);
            counts.answered++;
            release(req);
            return;
        }
        rc = ops->stream_send(inst, req, (tn_str){piece, size}, NULL);
        p->streamed += rc == TN_OK;
    } while (rc == TN_OK && us == 0);
    free(piece);
    counts.limited += rc == TN_E_LIMIT;
    counts.canceled += rc == TN_E_CANCELED;
    loop_timer_set(NULL, p->timer, now_ns() + (us != 0 ? us : 1000) * 1000);
}

static void timer_done(void *user)
{
    struct pending *p = user;
    p->timer->at = 0;
    if (p->stream) {
        stream_more(p);
    } else {
        small_reply(p->req);
    }
}

static void stream_reply(struct pending *p)
{
    tn_http_pair h[2] = {{TN_STR("Content-Type"), TN_STR("text/event-stream")},
                         {arg(p->req, "name"), arg(p->req, "value")}};
    tn_http_reply r = {.size = sizeof r,
                       .status = (uint32_t)num_arg(p->req, "c", 200),
                       .headers = h,
                       .nheaders = h[1].name.s != NULL ? 2 : 1,
                       .fd = -1};
    tn_err err = TN_ERR_INIT;
    if (p->timer == NULL) {
        loop_timer(NULL, timer_done, p, &p->timer, NULL);
    }
    if (ops->stream(inst, p->req, &r, &err) != TN_OK) {
        text_reply(p->req, 500, "text/plain", "refused\n", 8, NULL, 0);
        return;
    }
    p->stream = 1;
    stream_more(p);
}

static void http_begin(void *ctx, void *front, tn_http_req *req, tn_http_plan *plan)
{
    (void)ctx;
    if (front != inst) {
        die("begin", "wrong instance");
    }
    struct pending *p = spare;
    if (p != NULL) {
        spare = p->next;
    } else {
        p = calloc(1, sizeof *p);
    }
    p->req = req;
    p->stream = 0;
    p->streamed = 0;
    p->prev = open_list.prev;
    p->next = &open_list;
    p->prev->next = p->next->prev = p;
    req->kernel = p;
    counts.begun++;
    plan->max_body = num_arg(req, "max", 512u << 20);
    plan->spool_above = num_arg(req, "spool", 1u << 20);
    plan->upload_dir = dir;
    plan->upload_stamp = "20260101120000";
    if (path_is(req, "/upload")) {
        plan->flags |= TN_PLAN_MULTIPART;
    } else if (path_is(req, "/nowhere")) {
        plan->flags |= TN_PLAN_ANSWERED;
        text_reply(req, 404, "text/plain", "no\n", 3, NULL, 0);
    } else if (path_is(req, "/early")) { /* answered later, but without the body */
        plan->flags |= TN_PLAN_ANSWERED;
        if (p->timer == NULL) {
            loop_timer(NULL, timer_done, p, &p->timer, NULL);
        }
        loop_timer_set(NULL, p->timer, now_ns() + 20000000);
    }
}

static void http_submit(void *ctx, tn_http_req *req)
{
    (void)ctx;
    struct pending *p = req->kernel;
    counts.submitted++;
    if (path_is(req, "/fast")) {
        small_reply(req);
    } else if (path_is(req, "/slow")) {
        if (p->timer == NULL) {
            loop_timer(NULL, timer_done, p, &p->timer, NULL);
        }
        loop_timer_set(NULL, p->timer, now_ns() + num_arg(req, "us", 1000) * 1000);
    } else if (path_is(req, "/stream")) {
        stream_reply(p);
    } else if (path_is(req, "/never")) {
        ; /* until the client leaves */
    } else if (path_is(req, "/file")) {
        file_reply(req);
    } else if (path_is(req, "/big")) {
        big_reply(req);
    } else if (path_is(req, "/header")) {
        header_reply(req);
    } else if (path_is(req, "/empty")) {
        text_reply(req, (uint32_t)num_arg(req, "c", 204), "text/plain", "", 0, NULL, 0);
    } else if (path_is(req, "/close")) {
        text_reply(req, 200, "text/plain", "bye\n", 4, NULL, TN_REPLY_CLOSE);
    } else if (path_is(req, "/stats")) {
        stats(req);
    } else {
        echo(req);
    }
}

static void http_abort(void *ctx, tn_http_req *req)
{
    (void)ctx;
    counts.aborted++;
    release(req);
}

static void http_malformed(void *ctx, tn_http_req *req, uint32_t status, const char *text)
{
    (void)ctx;
    counts.malformed++;
    text_reply(req, status, "text/plain", text, strlen(text), NULL, 0);
}

static const tn_host_http host_http = {
    .size = sizeof host_http,
    .begin = http_begin,
    .submit = http_submit,
    .abort = http_abort,
    .malformed = http_malformed,
};

/* ---- the rest of the host ------------------------------------------------------------------------------------ */

static void host_log(void *ctx, int32_t level, const char *fmt, ...)
{
    va_list ap;
    (void)ctx;
    va_start(ap, fmt);
    fprintf(stderr, "[%d] ", level);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}

static tn_rc host_fail(tn_err *err, tn_rc rc, const char *fmt, ...)
{
    va_list ap;
    if (err != NULL) {
        va_start(ap, fmt);
        vsnprintf(err->msg, sizeof err->msg, fmt, ap);
        va_end(ap);
        err->rc = rc;
    }
    return rc;
}

static void *host_alloc(void *ctx, size_t n)
{
    (void)ctx;
    return malloc(n);
}

static void host_free(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

static void host_count(void *ctx, const char *metric, int64_t delta)
{
    (void)ctx;
    (void)metric;
    (void)delta;
}

static const char *host_setting(void *ctx, const char *name)
{
    (void)ctx;
    (void)name;
    return NULL;
}

static void host_random(void *buf, size_t n)
{
    uint8_t *p = buf;
    for (size_t i = 0; i < n; i++) {
        p[i] = (uint8_t)rand();
    }
}

static void host_random_id(char *ret, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ret[i] = "0123456789abcdefghijklmnopqrstuvwxyz"[rand() % 36];
    }
    ret[n] = '\0';
}

static const tn_host_auth host_auth = {
    .size = sizeof host_auth,
    .random = host_random,
    .random_id = host_random_id,
};
static const tn_host host = {
    .size = sizeof host,
    .abi_major = TN_ABI_MAJOR,
    .log = host_log,
    .fail = host_fail,
    .now_ns = now_ns,
    .wall_us = wall_us,
    .alloc = host_alloc,
    .free = host_free,
    .count = host_count,
    .setting = host_setting,
    .loop = &host_loop,
    .http = &host_http,
    .auth = &host_auth,
};

/* ---- configuration and start ------------------------------------------------------------------------------------ */

static int64_t scaled(const char *text, const char *units, const int64_t *factor)
{
    char *end;
    int64_t n = strtoll(text, &end, 10);
    for (size_t i = 0; units[i] != '\0'; i++) {
        if (*end == units[i]) {
            return n * (end[1] == 's' && units[i] == 'm' ? 1 : factor[i]);
        }
    }
    return n;
}

static void set_field(const tn_field *f, char *conf, const char *text)
{
    static const int64_t ms[] = {1000, 60000, 3600000}, bytes[] = {1024, 1048576};
    void *at = conf + f->offset;
    switch (f->type) {
    case TN_C_BOOL:
        *(bool *)at = strcmp(text, "true") == 0;
        break;
    case TN_C_INT:
        *(int64_t *)at = strtoll(text, NULL, 10);
        break;
    case TN_C_STR:
        *(const char **)at = text;
        break;
    case TN_C_DUR:
        ((tn_dur *)at)->ms = scaled(text, "smh", ms);
        break;
    case TN_C_BYTES:
        ((tn_bytes *)at)->n = scaled(text, "kM", bytes);
        break;
    default:
        die(f->name, "unknown type");
    }
}

static void configure(char *conf, int n, char **settings)
{
    for (const tn_field *f = plugin->config; f->name != NULL; f++) {
        if (f->dflt != NULL) {
            set_field(f, conf, f->dflt);
        }
    }
    for (int i = 0; i < n; i++) {
        char *eq = strchr(settings[i], '=');
        const tn_field *f = plugin->config;
        while (f->name != NULL && (eq == NULL || strlen(f->name) != (size_t)(eq - settings[i]) ||
                                   strncmp(f->name, settings[i], strlen(f->name)) != 0)) {
            f++;
        }
        if (f->name == NULL) {
            die(settings[i], "no such setting");
        }
        set_field(f, conf, eq + 1);
    }
}

static int listen_on(int port)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr = {htonl(INADDR_LOOPBACK)}};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 1024) != 0) {
        die("listen", strerror(errno));
    }
    return fd;
}

static void on_term(int sig)
{
    (void)sig;
    stopping = 1;
}

static void run(void)
{
    int draining = 0;
    uint64_t give_up = 0;
    for (;;) {
        if (stopping && !draining) {
            draining = 1;
            give_up = now_ns() + 5000000000u;
            ops->drain(inst);
        }
        if (draining && (ops->active(inst) == 0 || now_ns() > give_up)) {
            return;
        }
        uint64_t wait = prepare_cb(prepare_user), now = now_ns();
        if (timers != NULL) {
            uint64_t t = timers->at > now ? timers->at - now : 0;
            wait = t < wait ? t : wait;
        }
        struct timespec ts = {(time_t)(wait / 1000000000u), (long)(wait % 1000000000u)};
        if (wait > 100000000u) {
            ts = (struct timespec){0, 100000000};
        }
        struct epoll_event ev[64];
        int n = epoll_pwait2(ep, ev, 64, &ts, NULL);
        for (int i = 0; i < n; i++) {
            tn_watch *w = ev[i].data.ptr;
            if (!w->dead) {
                w->cb(w->user, ev[i].events);
            }
        }
        while (dead != NULL) {
            tn_watch *w = dead;
            dead = w->next_dead;
            free(w);
        }
        now = now_ns();
        while (timers != NULL && timers->at <= now) {
            tn_timer *t = timers;
            timers = t->next;
            t->at = 0;
            t->cb(t->user);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        die("usage", "stub_host PLUGIN.so PORT DIR [key=value ...]");
    }
    void *so = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (so == NULL) {
        die(argv[1], dlerror());
    }
    tn_entry entry = NULL;
    *(void **)&entry = dlsym(so, TN_ENTRY);
    plugin = entry();
    ops = plugin->ops;
    dir = argv[3];
    ep = epoll_create1(EPOLL_CLOEXEC);
    char *conf = calloc(1, plugin->conf_size);
    inst = calloc(1, plugin->inst_size);
    configure(conf, argc - 4, argv + 4);
    struct rlimit rl;
    getrlimit(RLIMIT_NOFILE, &rl);
    rl.rlim_cur = rl.rlim_max < 20000 ? rl.rlim_max : 20000;
    setrlimit(RLIMIT_NOFILE, &rl);
    struct sigaction sa = {.sa_handler = on_term};
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    tn_err err = TN_ERR_INIT;
    int32_t fd = listen_on(atoi(argv[2]));
    if (plugin->load(&host, &err) != TN_OK || plugin->attach(inst, conf, &err) != TN_OK ||
        ops->start(inst, &fd, 1, &err) != TN_OK) {
        die("start", err.msg);
    }
    puts("READY");
    fflush(stdout);
    run();
    ops->stop(inst);
    while (open_list.next != &open_list) { /* what stop() did not abort */
        release(open_list.next->req);
        counts.aborted += 1000000;
    }
    plugin->detach(inst);
    int accepting = 0;
    socklen_t len = sizeof accepting;
    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepting, &len);
    bool ok = counts.begun == counts.released && accepting == 1 &&
              counts.begun == counts.answered + counts.aborted;
    fprintf(stderr, "begun %llu answered %llu aborted %llu released %llu listening %d\n",
            (unsigned long long)counts.begun, (unsigned long long)counts.answered,
            (unsigned long long)counts.aborted, (unsigned long long)counts.released, accepting);
    while (spare != NULL) {
        struct pending *p = spare;
        spare = p->next;
        if (p->timer != NULL) {
            loop_timer_free(NULL, p->timer);
        }
        free(p);
    }
    while (dead != NULL) {
        struct tn_watch *w = dead;
        dead = w->next_dead;
        free(w);
    }
    free(conf);
    free(inst);
    return ok ? 0 : 1;
}
