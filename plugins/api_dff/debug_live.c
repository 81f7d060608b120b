/* SPDX-License-Identifier: Apache-2.0 */
/* Debugger runs that are watched while they run. A run belongs to nobody: a client that lost its
 * connection comes back with Last-Event-ID and misses nothing, and what it printed stays for a while. */
#include "debug_live.h"
#include "sse.h"

#include <stdlib.h>
#include <sys/mman.h>

#define CTX       api.host->ctx
#define RUNS_MAX  64                   /* that run or are kept */
#define BYTES_MAX ((size_t)32 << 20)   /* of all that have ended */
#define KEEP_NS   (60ull * 1000000000) /* after the end */
#define ID_LEN    (sizeof "task-" - 1 + 24)

struct run {
    struct run *next; /* newer ones */
    struct follower *followers;
    tn_call *task; /* NULL: it has ended */
    uint64_t ended_ns;
    struct str log, end; /* end: what func-draft answers as data */
    char id[ID_LEN + 1];
};
/* One client; lives as long as its request. */
struct follower {
    struct follower *next;
    struct run *run;
    struct call *c;
    tn_timer *timer;
    uint64_t at; /* log bytes it has */
};
static struct run *runs; /* the oldest first */

/* ---- clients -------------------------------------------------------------------------------------- */
static void leave(struct follower *f)
{
    struct follower **at = &f->run->followers;
    while (*at != NULL && *at != f) {
        at = &(*at)->next;
    }
    if (*at != NULL) {
        *at = f->next;
    }
    if (f->timer != NULL) {
        api.host->loop->timer_free(CTX, f->timer);
    }
    f->c->follower = NULL;
    free(f);
}

void debug_live_leave(struct call *c)
{
    if (c->follower != NULL) {
        leave(c->follower);
    }
}

static void finish(struct follower *f)
{
    tn_http_req *req = f->c->req;
    leave(f);
    api.host->http->stream_end(CTX, req);
}

/* False: f is gone, or will be with its request. */
static bool send_text(struct follower *f, const struct str *text)
{
    tn_err err = TN_ERR_INIT;
    tn_rc rc = text->failed ? TN_E_NOMEM
                            : api.host->http->stream_send(CTX, f->c->req, str_view(text), &err);
    if (rc == TN_OK) {
        api.host->loop->timer_set(CTX, f->timer, api.host->now_ns() + SSE_PING_NS);
    } else if (rc !=
               TN_E_CANCELED) { /* reads too slowly: it may come back for what it has missed */
        finish(f);
    }
    return rc == TN_OK;
}

static bool send_event(struct follower *f, const char *name, tn_str data)
{
    struct str text = {0};
    sse_event(&text, f->at, name, data);
    bool ok = send_text(f, &text);
    str_free(&text);
    return ok;
}

/* What the run has printed and f has not seen. */
static bool send_log(struct follower *f)
{
    struct str data = {0};
    const struct run *r = f->run;
    if (f->at >= r->log.n) {
        return true;
    }
    add_lit(&data, "{\"text\":");
    add_quote(&data, (tn_str){r->log.s + f->at, r->log.n - f->at});
    add_lit(&data, "}");
    f->at = r->log.n;
    bool ok = send_event(f, "log", str_view(&data));
    str_free(&data);
    return ok;
}

static void send_end(struct follower *f)
{
    if (send_log(f) && send_event(f, "end", str_view(&f->run->end))) {
        finish(f);
    }
}

static void on_ping(void *user)
{
    struct str text = {0};
    add(&text, SSE_PING);
    send_text(user, &text);
    str_free(&text);
}

static void refuse(struct call *c, enum api_code code, const char *text)
{
    struct call_refusal why = {0};
    call_refuse(&why, code, NULL, "%s", text);
    respond_refusal(c, &why);
    call_refusal_finish(&why);
}

/* c follows r from now on; answered in any case. */
static void follow(struct call *c, struct run *r)
{
    tn_err err = TN_ERR_INIT;
    struct follower *f = calloc(1, sizeof *f);
    if (f == NULL || api.host->loop->timer(CTX, on_ping, f, &f->timer, &err) != TN_OK) {
        free(f);
        refuse(c, ESysLimitReached, "Out of memory");
        return;
    }
    f->run = r;
    f->c = c;
    f->at = sse_resume_from(c->req);
    f->next = r->followers;
    r->followers = f;
    c->follower = f;
    tn_rc rc = sse_begin(c, &err);
    if (rc == TN_E_CANCELED) {
        return; /* the client has gone, and f with its request */
    }
    if (rc != TN_OK) {
        leave(f);
        refuse(c, rc == TN_E_UNSUPP ? ENotImplemented : ESys, err.msg);
        return;
    }
    struct str data = {0};
    str_printf(&data, "{\"id\":\"%s\",\"state\":\"%s\"}", r->id,
               r->task != NULL ? "running" : "ended");
    if (send_event(f, "state", str_view(&data))) {
        if (r->task == NULL) {
            send_end(f);
        } else {
            send_log(f);
        }
    }
    str_free(&data);
}

/* ---- runs ----------------------------------------------------------------------------------------- */
static void run_free(struct run *r)
{
    if (r->task != NULL) {
        api.host->calls->orphan(CTX, r->task);
    }
    str_free(&r->log);
    str_free(&r->end);
    free(r);
}

/* Forgets runs that have ended long ago, and the oldest while they are too many or too large. Followers
 * of an ended run have had their end. */
static void prune(void)
{
    uint64_t now = api.host->now_ns();
    size_t bytes = 0, n = 0;
    for (const struct run *r = runs; r != NULL; r = r->next) {
        bytes += r->task == NULL ? r->log.n + r->end.n : 0;
        n++;
    }
    for (struct run **at = &runs; *at != NULL;) {
        struct run *r = *at;
        bool old = now - r->ended_ns > KEEP_NS || bytes > BYTES_MAX || n >= RUNS_MAX;
        if (r->task != NULL || r->followers != NULL || !old) {
            at = &r->next;
            continue;
        }
        bytes -= r->log.n + r->end.n;
        n--;
        *at = r->next;
        run_free(r);
    }
}

static void on_log(void *user, tn_str text)
{
    struct run *r = user;
    add(&r->log, text);
    for (struct follower *f = r->followers, *next; f != NULL; f = next) {
        next = f->next;
        send_log(f);
    }
}

static void on_done(void *user, const tn_call_result *result)
{
    struct run *r = user;
    tn_call_result seen = *result;
    void *map = MAP_FAILED;
    if (seen.value_fd >= 0 && seen.value_len > 0) {
        map = mmap(NULL, seen.value_len, PROT_READ, MAP_SHARED, seen.value_fd, 0);
        if (map != MAP_FAILED) {
            seen.value = (tn_str){map, seen.value_len};
        } else {
            seen.status = TN_CALL_CRASHED;
        }
    }
    call_debug_report(&seen, &r->end);
    if (map != MAP_FAILED) {
        munmap(map, seen.value_len);
    }
    r->task = NULL;
    r->ended_ns = api.host->now_ns();
    if (r->log.n < result->logs.n) { /* the last lines came with the result */
        tn_str rest = {result->logs.s + r->log.n, result->logs.n - r->log.n};
        add(&r->log, rest);
    }
    for (struct follower *f = r->followers, *next; f != NULL; f = next) {
        next = f->next;
        send_end(f);
    }
}

static struct run *run_create(void)
{
    struct run *r = NULL, **last = &runs;
    size_t n = 0;
    prune();
    while (*last != NULL) {
        last = &(*last)->next;
        n++;
    }
    if (n < RUNS_MAX && (r = calloc(1, sizeof *r)) != NULL) {
        memcpy(r->id, "task-", 5);
        api.host->auth->random_id(r->id + 5, 24);
        *last = r;
    }
    return r;
}

static void run_drop(struct run *r)
{
    struct run **at = &runs;
    while (*at != r) {
        at = &(*at)->next;
    }
    *at = r->next;
    run_free(r);
}

/* ---- routes --------------------------------------------------------------------------------------- */
bool debug_live_wanted(const tn_http_req *req)
{
    return text_has(tn_http_header(req, "accept"), "text/event-stream");
}

void debug_live_start(struct call *c, tn_call_req *req)
{
    tn_err err = TN_ERR_INIT;
    struct run *r = run_create();
    if (r == NULL) {
        refuse(c, ESysLimitReached, "Too many debugger runs are watched at once");
        return;
    }
    req->size = sizeof *req;
    req->task_id = (tn_str){r->id, ID_LEN};
    req->user = r;
    req->done = on_done;
    req->log = on_log;
    tn_rc rc = api.host->calls->submit(CTX, req, &r->task, &err);
    if (rc != TN_OK) {
        r->task = NULL;
        run_drop(r);
        refuse(c, rc == TN_E_LIMIT ? ESysLimitReached : ESys, err.msg);
        return;
    }
    follow(c, r);
}

void debug_live_follow(struct call *c, tn_str id)
{
    prune();
    for (struct run *r = runs; r != NULL; r = r->next) {
        if (text_is(id, r->id)) {
            follow(c, r);
            return;
        }
    }
    refuse(c, EClientNotFound, "No such debugger run, or it ended more than a minute ago");
}

void debug_live_stop(void)
{
    while (runs != NULL) {
        struct run *r = runs;
        runs = r->next;
        while (r->followers != NULL) {
            leave(r->followers);
        }
        run_free(r);
    }
}
