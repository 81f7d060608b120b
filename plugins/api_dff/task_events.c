/* SPDX-License-Identifier: Apache-2.0 */
/* Server-sent events of one task. The kernel's watch delivers; here they get their names, their ids, a
 * state to begin with, and a sign of life when nothing happens. */
#include "task_events.h"
#include "sse.h"
#include "task_batch.h"
#include "task_wait.h"

#define CTX   api.host->ctx
#define TASKS api.host->tasks
#define HTTP  api.host->http

struct task_events {
    struct call *c; /* NULL: the client has gone while a helper thread reads the state */
    tn_task_watch *watch;
    tn_timer *timer;
    uint64_t log_seq;    /* bytes of the log sent so far */
    bool reading, moved; /* moved: a newer state than the one being read came */
    tn_text json;
    tn_err err;
    size_t id_len;
    char id[TASK_ID_MAX + 1];
};

static void events_free(struct task_events *e)
{
    if (e->watch != NULL) {
        TASKS->unwatch(CTX, e->watch);
        e->watch = NULL;
    }
    if (e->timer != NULL) {
        api.host->loop->timer_free(CTX, e->timer);
        e->timer = NULL;
    }
    if (e->reading) {
        e->c = NULL; /* read_done() frees it */
        return;
    }
    api.host->free(CTX, e->json.s);
    free(e);
}

void task_events_cancel(struct call *c)
{
    if (c->events != NULL) {
        events_free(c->events);
        c->events = NULL;
    }
}

static void events_end(struct task_events *e)
{
    struct call *c = e->c;
    c->events = NULL;
    events_free(e);
    HTTP->stream_end(CTX, c->req);
}

/* False: the stream is over, e is gone. */
static bool send_text(struct task_events *e, const struct str *text)
{
    tn_err err = TN_ERR_INIT;
    tn_rc rc = text->failed ? TN_E_NOMEM : HTTP->stream_send(CTX, e->c->req, str_view(text), &err);
    if (rc == TN_E_CANCELED) {
        return false; /* the release follows and cancels */
    }
    if (rc != TN_OK) { /* reads too slowly: it may come back for what it has missed */
        events_end(e);
        return false;
    }
    api.host->loop->timer_set(CTX, e->timer, api.host->now_ns() + SSE_PING_NS);
    return true;
}

static bool send_event(struct task_events *e, const char *name, tn_str data)
{
    struct str text = {0};
    sse_event(&text, e->log_seq, name, data);
    bool ok = send_text(e, &text);
    str_free(&text);
    return ok;
}

static void on_event(void *user, const tn_task_event *ev)
{
    struct task_events *e = user;
    struct str data = {0};
    switch (ev->kind) {
    case TN_EVENT_LOG:
        e->log_seq = ev->seq;
        add_lit(&data, "{\"text\":");
        add_quote(&data, ev->text);
        add_lit(&data, "}");
        send_event(e, "log", str_view(&data));
        break;
    case TN_EVENT_STATE:
        e->moved = true;
        send_event(e, "state", ev->text);
        break;
    case TN_EVENT_PROGRESS:
        send_event(e, "progress", ev->text);
        break;
    case TN_EVENT_END:
        e->moved = true;
        if (send_event(e, "end", ev->text)) {
            events_end(e);
        }
        break;
    default:
        e->moved = true;
        if (send_event(e, "error", TN_STR("{\"message\":\"No such task\"}"))) {
            events_end(e);
        }
    }
    str_free(&data);
}

static void on_ping(void *user)
{
    struct str text = {0};
    add(&text, SSE_PING);
    send_text(user, &text);
    str_free(&text);
}

/* ---- the state to begin with ---------------------------------------------------------------------- */
static void refuse(struct task_events *e, tn_rc rc, const tn_err *err)
{
    struct call_refusal why = {0};
    struct call *c = e->c;
    if (rc == TN_E_NOTFOUND) {
        task_unknown(&why, (tn_str){e->id, e->id_len});
    } else if (rc == TN_E_UNSUPP) {
        call_refuse(&why, ENotImplemented, NULL, "%s", err->msg);
    } else {
        task_refuse(&why, rc, err);
    }
    c->events = NULL;
    events_free(e);
    respond_refusal(c, &why);
    call_refusal_finish(&why);
}

static void state_read(void *user)
{
    struct task_events *e = user;
    tn_err err = TN_ERR_INIT;
    e->reading = false;
    if (e->c == NULL) {
        events_free(e);
        return;
    }
    if (e->err.rc != TN_OK) {
        refuse(e, e->err.rc, &e->err);
        return;
    }
    tn_rc rc = sse_begin(e->c, &err);
    if (rc == TN_E_CANCELED) {
        return; /* the client has gone, and e with its request */
    }
    if (rc != TN_OK) {
        refuse(e, rc, &err);
        return;
    }
    rc = TASKS->watch(CTX, (tn_str){e->id, e->id_len}, e->log_seq, on_event, e, &e->watch, &err);
    if (rc != TN_OK) {
        events_end(e);
    } else if (!e->moved) {
        send_event(e, "state", (tn_str){e->json.s, e->json.n});
    }
}

static void read_on_helper(void *user)
{
    struct task_events *e = user;
    e->err.rc = TASKS->get(CTX, (tn_str){e->id, e->id_len}, &e->json, &e->err);
    api.host->loop->post(CTX, state_read, e);
}

void task_events(struct call *c, tn_str id)
{
    struct call_refusal why = {0};
    struct task_events *e = NULL;
    tn_err err = TN_ERR_INIT;
    if (TASKS == NULL || HTTP->stream == NULL) {
        call_refuse(&why, ENotImplemented, NULL, "This platform streams no events of tasks");
    } else if (id.n == 0 || id.n > TASK_ID_MAX) {
        task_unknown(&why, id);
    } else if ((e = calloc(1, sizeof *e)) == NULL) {
        call_refuse(&why, ESysLimitReached, NULL, "Out of memory");
    }
    if (e == NULL) {
        respond_refusal(c, &why);
        call_refusal_finish(&why);
        return;
    }
    e->c = c;
    e->log_seq = sse_resume_from(c->req);
    e->id_len = id.n;
    memcpy(e->id, id.s, id.n);
    e->err = (tn_err)TN_ERR_INIT;
    c->events = e;
    tn_rc rc = api.host->loop->timer(CTX, on_ping, e, &e->timer, &err);
    if (rc == TN_OK) {
        e->reading = true;
        rc = api.host->loop->defer(CTX, read_on_helper, e, &err);
        e->reading = rc == TN_OK;
    }
    if (rc != TN_OK) {
        refuse(e, rc, &err);
    }
}
