/* SPDX-License-Identifier: Apache-2.0 */
/* One call on the loop thread: object, defaults, cache, submission, answer, release. */
#include "gate.h"
#include "task_batch.h"
#include "task_events.h"
#include "task_wait.h"

/* Recycled objects; more than ever wait at once are given back. */
#define FREE_MAX 1024

struct calls calls = {.resources_fd = -1};

/* The request has been answered or its client has gone. */
static void call_release(void *user)
{
    struct call *c = user;
    if (c->task != NULL) {
        api.host->calls->orphan(api.host->ctx, c->task);
    }
    call_later_cancel(c);
    task_batch_orphan(c);
    task_wait_cancel(c);
    task_events_cancel(c);
    gate_unref(c->gate);
    if (calls.nfree < FREE_MAX) {
        c->next = calls.free;
        calls.free = c;
        calls.nfree++;
    } else {
        free(c);
    }
}

struct call *call_new(tn_http_req *req, struct api_req *managed)
{
    struct call *c = calls.free;
    if (c != NULL) {
        calls.free = c->next;
        calls.nfree--;
    } else {
        c = malloc(sizeof *c);
        if (c == NULL) {
            api_error(req, ESysLimitReached, NULL, (tn_str){NULL, 0}, "Out of memory");
            return NULL;
        }
    }
    c->req = req;
    c->managed = managed;
    c->task = NULL;
    c->later = NULL;
    c->accept = NULL;
    c->wait = NULL;
    c->events = NULL;
    c->gate = NULL;
    c->passed = NULL;
    c->match = NULL;
    c->next = NULL;
    c->return_type = RETURN_PLAIN;
    c->unbox = true;
    c->draft = false;
    c->cache_s = 0;
    api.host->http->on_release(api.host->ctx, req, call_release, c);
    return c;
}

static void call_done(void *user, const tn_call_result *result)
{
    struct call *c = user;
    c->task = NULL;
    respond_result(c, result, false);
}

void call_hand_over(struct call *c, tn_call_req *r)
{
    tn_err err = TN_ERR_INIT;
    r->size = sizeof *r;
    r->user = c;
    r->done = call_done;
    tn_rc rc = api.host->calls->submit(api.host->ctx, r, &c->task, &err);
    if (rc != TN_OK) {
        struct call_refusal why = {.retry_s = rc == TN_E_LIMIT};
        call_refuse(&why, rc == TN_E_LIMIT ? ESysLimitReached : ESys, NULL, "%s", err.msg);
        respond_refusal(c, &why);
        call_refusal_finish(&why);
    }
}

void call_start_func(struct call *c, const struct call_target *t, const struct call_input *in,
                     tn_str kwargs, const struct call_opts *o)
{
    const struct snap_func *f = t->func;
    struct call_scratch *x = &calls.scratch;
    struct str vars = {0};
    tn_call_result kept;
    c->return_type = o->return_type;
    c->unbox = o->unbox >= 0 ? o->unbox != 0 : t->kind->unbox;
    if (f->cache_s > 0 && !c->draft) {
        c->cache_s = f->cache_s;
        cache_key(f, kwargs, c->cache_key);
        if (cache_get(calls.cache, c->cache_key, api.host->now_ns(), &kept)) {
            if (respond_result(c, &kept, true)) {
                return;
            }
            cache_drop(calls.cache, c->cache_key);
        }
    }
    httpreq_write(&x->http, c->req, in->query, in->body);
    call_vars_write(&vars, o, t->record_limit);
    if (x->http.failed || vars.failed) {
        str_free(&vars);
        respond_failed(c, "Out of memory");
        return;
    }
    struct call_limits limits;
    call_limits(f, t->kind, o, &limits);
    tn_call_req r = {
        .script = f->script,
        .func = f->name,
        .origin = t->kind->origin,
        .origin_id = t->origin_id,
        .args = kwargs,
        .http = str_view(&x->http),
        .vars = str_view(&vars),
        .queue = limits.queue,
        .timeout_ms = limits.timeout_ms,
        .expires_ms = limits.expires_ms,
        .result_ttl = f->cache_s,
    };
    if (t->code.s != NULL) {
        r.flags = TN_CALL_DEBUG | (f->name.n == 0 ? TN_CALL_NO_FUNC : 0);
        r.code = t->code;
    }
    if (o->eta_us != 0 || o->delay_s != 0) {
        call_later_submit(c, &r, o);
    } else {
        call_hand_over(c, &r);
    }
    str_free(&vars);
}
