/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for a task: watched on the loop, read on a helper thread. */
#include "task_wait.h"
#include "task_batch.h"

#define CTX   api.host->ctx
#define TASKS api.host->tasks

struct task_wait {
    struct call *c; /* NULL: the client has gone while a helper thread reads */
    void (*done)(struct call *c, tn_str json);
    tn_task_watch *watch;
    tn_timer *timer;
    tn_text json;
    tn_err err;
    size_t id_len;
    char id[TASK_ID_MAX + 1];
};

static void wait_free(struct task_wait *w)
{
    if (w->watch != NULL) {
        TASKS->unwatch(CTX, w->watch);
    }
    if (w->timer != NULL) {
        api.host->loop->timer_free(CTX, w->timer);
    }
    api.host->free(CTX, w->json.s);
    free(w);
}

/* The call has its answer; json absent: there is no such task. */
static void wait_end(struct task_wait *w, tn_str json)
{
    struct call *c = w->c;
    c->wait = NULL;
    w->done(c, json);
    wait_free(w);
}

/* ---- read as it is ---------------------------------------------------------------------------------- */
static void read_done(void *user)
{
    struct task_wait *w = user;
    if (w->c == NULL) {
        wait_free(w);
    } else if (w->err.rc == TN_OK || w->err.rc == TN_E_NOTFOUND) {
        wait_end(w, w->err.rc == TN_OK ? (tn_str){w->json.s, w->json.n} : (tn_str){NULL, 0});
    } else {
        struct call_refusal why = {0};
        w->c->wait = NULL;
        task_refuse(&why, w->err.rc, &w->err);
        respond_refusal(w->c, &why);
        call_refusal_finish(&why);
        wait_free(w);
    }
}

static void read_on_helper(void *user)
{
    struct task_wait *w = user;
    w->err.rc = TASKS->get(CTX, (tn_str){w->id, w->id_len}, &w->json, &w->err);
    api.host->loop->post(CTX, read_done, w);
}

static void start_read(struct task_wait *w)
{
    w->err = (tn_err)TN_ERR_INIT;
    tn_rc rc = api.host->loop->defer(CTX, read_on_helper, w, &w->err);
    if (rc != TN_OK) {
        w->err.rc = rc;
        api.host->loop->post(CTX, read_done, w);
    }
}

/* ---- wait for its end ------------------------------------------------------------------------------- */
static void on_event(void *user, const tn_task_event *e)
{
    struct task_wait *w = user;
    if (e->kind == 0 || e->kind == TN_EVENT_END) {
        wait_end(w, e->kind == 0 ? (tn_str){NULL, 0} : e->text);
    }
}

static void on_timer(void *user)
{
    struct task_wait *w = user;
    TASKS->unwatch(CTX, w->watch);
    w->watch = NULL;
    start_read(w);
}

void task_wait(struct call *c, tn_str id, uint32_t ms, void (*done)(struct call *c, tn_str json))
{
    struct call_refusal why = {0};
    tn_err err = TN_ERR_INIT;
    tn_rc rc = TN_OK;
    struct task_wait *w = NULL;
    if (TASKS == NULL) {
        call_refuse(&why, ENotImplemented, NULL, "This platform keeps no durable tasks");
    } else if (id.n == 0 || id.n > TASK_ID_MAX) {
        task_unknown(&why, id);
    } else if ((w = calloc(1, sizeof *w)) == NULL) {
        call_refuse(&why, ESysLimitReached, NULL, "Out of memory");
    }
    if (w == NULL) {
        respond_refusal(c, &why);
        call_refusal_finish(&why);
        return;
    }
    w->c = c;
    w->done = done;
    w->id_len = id.n;
    memcpy(w->id, id.s, id.n);
    c->wait = w;
    if (ms == 0) {
        start_read(w);
        return;
    }
    rc = api.host->loop->timer(CTX, on_timer, w, &w->timer, &err);
    if (rc == TN_OK) {
        api.host->loop->timer_set(CTX, w->timer, api.host->now_ns() + (uint64_t)ms * 1000000);
        rc = TASKS->watch(CTX, (tn_str){w->id, w->id_len}, UINT64_MAX, on_event, w, &w->watch,
                          &err);
    }
    if (rc != TN_OK) {
        c->wait = NULL;
        task_refuse(&why, rc, &err);
        respond_refusal(c, &why);
        call_refusal_finish(&why);
        wait_free(w);
    }
}

void task_wait_cancel(struct call *c)
{
    struct task_wait *w = c->wait;
    if (w == NULL) {
        return;
    }
    c->wait = NULL;
    if (w->watch != NULL) {
        wait_free(w);
    } else {
        w->c = NULL; /* a helper thread has it */
    }
}

bool task_unknown(struct call_refusal *why, tn_str id)
{
    str_puts(&why->detail, "{\"entity\":\"task\",\"id\":");
    add_quote(&why->detail, (tn_str){id.s, id.n < TASK_ID_MAX ? id.n : TASK_ID_MAX});
    str_puts(&why->detail, "}");
    return call_refuse(why, EClientNotFound, NULL, "No such task");
}

bool task_wait_seconds(const tn_http_req *req, const char *name, uint32_t dflt, uint32_t *ret_ms,
                       struct call_refusal *why)
{
    char text[24] = "", *end = text;
    double s = dflt;
    for (uint32_t i = 0; i < req->nargs; i++) {
        tn_str v = req->args[i].value;
        if (text_is(req->args[i].name, name)) {
            bool fits = v.n > 0 && v.n < sizeof text;
            memcpy(text, fits ? v.s : "", fits ? v.n : 0);
            text[fits ? v.n : 0] = '\0';
            s = strtod(text, &end);
            if (!fits || *end != '\0' || !(s >= 0 && s <= TASK_WAIT_MAX_S)) {
                return call_refuse(why, EClientBadRequest, NULL,
                                   "Field `%s` should be 0 to %d seconds", name, TASK_WAIT_MAX_S);
            }
        }
    }
    *ret_ms = (uint32_t)(s * 1000);
    return true;
}
