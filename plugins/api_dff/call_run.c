/* SPDX-License-Identifier: Apache-2.0 */
/* One call on the loop thread: object, defaults, cache, submission, answer, release. */
#include "debug_live.h"
#include "gate.h"
#include "record.h"
#include "task_batch.h"
#include "task_events.h"
#include "task_wait.h"
#include "task_submit.h"

/* Recycled objects; more than ever wait at once are given back. */
#define FREE_MAX 1024

struct calls calls = {.resources_fd = -1};

/* ---- records ---------------------------------------------------------------------------------- */
#define RECORD_KEEP (16u << 10) /* of the buffer, for the next call */

static void record_start_call(struct call *c, const struct call_target *t, const tn_call_req *r,
                              const struct call_opts *o)
{
    c->api = t->kind->unbox; /* direct calls have no row that would show it */
    c->record_limit = c->draft ? 0 : record_limit_of(t->kind->origin, t->record_limit);
    if (c->record_limit == 0 && !c->api) {
        return;
    }
    str_clear(&c->record);
    c->record.failed = false;
    add(&c->record, t->origin_id);
    c->record_origin_n = (uint32_t)t->origin_id.n;
    if (c->record_limit > 0) {
        char iso[ISO_LEN + 1] = "";
        if (o->eta_us != 0) {
            iso_time(o->eta_us, iso);
        }
        struct record_src src = {.script = r->script,
                                 .func = r->func,
                                 .origin = r->origin,
                                 .origin_id = r->origin_id,
                                 .args = r->args,
                                 .eta = {iso, strlen(iso)},
                                 .delay_s = o->delay_s,
                                 .queue = r->queue,
                                 .timeout_ms = r->timeout_ms,
                                 .expires_ms = r->expires_ms};
        record_head(&c->record, &src);
    }
}

static void record_end_call(struct call *c, const struct record_end *end)
{
    tn_str group = {c->record.s, c->record_origin_n};
    if (c->api && end->result != NULL) {
        record_last(group, end->result);
    }
    if (c->record_limit > 0 && end->id.n > 0) {
        record_tail(&c->record, end);
        if (!c->record.failed) {
            tn_str row = {c->record.s + group.n, c->record.n - group.n};
            group.s = c->record.s; /* it may have moved */
            api.host->records->put(api.host->ctx, "taskRecordFunc", group, c->record_limit, row);
        }
    }
    c->record_limit = 0;
    c->api = false;
    if (c->record.cap > RECORD_KEEP) {
        str_free(&c->record);
    }
}

/* The client has gone before the answer: what the function still does, nobody will know. */
static void record_abandoned(struct call *c)
{
    char id[5 + 24 + 1] = "task-";
    tn_call_result gone = {
        .size = sizeof gone,
        .status = TN_CALL_CANCELED,
        .value_fd = -1,
        .error = TN_STR("{\"exception\":\"The client left before the function had ended\","
                        "\"exceptionType\":\"ClientGone\"}")};
    api.host->auth->random_id(id + 5, 24);
    struct record_end end = {
        .result = &gone, .id = {id, sizeof id - 1}, .trigger_us = c->req->start_us};
    record_end_call(c, &end);
}

/* The request has been answered or its client has gone. */
static void call_release(void *user)
{
    struct call *c = user;
    c->leaving = true;
    if (c->task != NULL) {
        api.host->calls->orphan(api.host->ctx, c->task);
        if (c->record_limit > 0) {
            record_abandoned(c);
        }
    }
    call_later_cancel(c);
    task_batch_orphan(c);
    task_wait_cancel(c);
    task_events_cancel(c);
    debug_live_leave(c);
    gate_unref(c->gate);
    if (calls.nfree < FREE_MAX) {
        c->next = calls.free;
        calls.free = c;
        calls.nfree++;
    } else {
        str_free(&c->record);
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
        c->record = (struct str){0};
    }
    c->req = req;
    c->managed = managed;
    c->task = NULL;
    c->later = NULL;
    c->accept = NULL;
    c->wait = NULL;
    c->events = NULL;
    c->follower = NULL;
    c->gate = NULL;
    c->passed = NULL;
    c->match = NULL;
    c->next = NULL;
    c->return_type = RETURN_PLAIN;
    c->unbox = true;
    c->draft = false;
    c->record_limit = 0;
    c->api = false;
    c->hold = false;
    c->leaving = false;
    c->cache_s = 0;
    api.host->http->on_release(api.host->ctx, req, call_release, c);
    return c;
}

static void call_done(void *user, const tn_call_result *result)
{
    struct call *c = user;
    c->task = NULL;
    if (c->record_limit > 0 || c->api) { /* before the answer, which releases c */
        struct record_end end = {.result = result, .id = result->task_id};
        record_end_call(c, &end);
    }
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
    str_reset(&x->vars);
    call_vars_write(&x->vars, o, t->record_limit);
    struct call_limits limits;
    call_limits(f, t->kind, o, &limits);
    tn_call_req r = {
        .script = f->script,
        .func = f->name,
        .origin = t->kind->origin,
        .origin_id = t->origin_id,
        .args = kwargs,
        .vars = str_view(&x->vars),
        .queue = limits.queue,
        .timeout_ms = limits.timeout_ms,
        .expires_ms = limits.expires_ms,
        .result_ttl = f->cache_s,
    };
    bool later = o->eta_us != 0 || o->delay_s != 0;
    if (!call_request_put(c, f, in, later, &r) || x->vars.failed) {
        respond_failed(c, "Out of memory");
        return;
    }
    if (t->code.s != NULL) {
        r.flags = TN_CALL_DEBUG | (f->name.n == 0 ? TN_CALL_NO_FUNC : 0);
        r.code = t->code;
    }
    record_start_call(c, t, &r, o);
    if (c->draft && debug_live_wanted(c->req)) {
        debug_live_start(c, &r);
    } else if (later) {
        call_later_submit(c, &r, o);
    } else {
        call_hand_over(c, &r);
    }
}
