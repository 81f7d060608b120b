/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's side of the http table in the stub host: what becomes of requests, a few paths whose answers the tests and the benchmark
 * know. */
#include "stub.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

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
        host_loop.timer_set(NULL, p->timer, 0);
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
    host_loop.timer_set(NULL, p->timer, now_ns() + (us != 0 ? us : 1000) * 1000);
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
        host_loop.timer(NULL, timer_done, p, &p->timer, NULL);
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
            host_loop.timer(NULL, timer_done, p, &p->timer, NULL);
        }
        host_loop.timer_set(NULL, p->timer, now_ns() + 20000000);
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
            host_loop.timer(NULL, timer_done, p, &p->timer, NULL);
        }
        host_loop.timer_set(NULL, p->timer, now_ns() + num_arg(req, "us", 1000) * 1000);
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

const tn_host_http host_http = {
    .size = sizeof host_http,
    .begin = http_begin,
    .submit = http_submit,
    .abort = http_abort,
    .malformed = http_malformed,
};

void stub_requests_release(void)
{
    while (open_list.next != &open_list) {
        release(open_list.next->req);
        counts.aborted += 1000000;
    }
}

void stub_requests_finish(void)
{
    while (spare != NULL) {
        struct pending *p = spare;
        spare = p->next;
        if (p->timer != NULL) {
            host_loop.timer_free(NULL, p->timer);
        }
        free(p);
    }
}
