/* SPDX-License-Identifier: Apache-2.0 */
/* From calls to durable tasks: one transaction, one answer after its sync. */
#include "task_batch.h"
#include "idempotency.h"

#define RETRY_S 5 /* advice when the store refuses */

struct text_at {
    size_t at, n;
};
struct task_batch {
    struct call *c;
    uint32_t n, cap;
    bool many, save_result;
    struct idem idem;
    struct stored_without without; /* headers; the same for all of a request */
    struct str text;               /* arguments and values, moves while it grows */
    tn_task_req *reqs;
    struct text_at *args, *vars;
    char (*keys)[IDEM_HEX]; /* NULL without a key */
};
/* What is left of a batch while the store works. */
struct task_accept {
    struct call *c; /* NULL: the client has gone */
    bool many, save_result;
};

void task_batch_free(struct task_batch *b)
{
    if (b != NULL) {
        str_free(&b->text);
        free(b->reqs);
        free(b->args);
        free(b->vars);
        free(b->keys);
        free(b);
    }
}

struct task_batch *task_batch_open(struct call *c, uint32_t cap, bool many,
                                   struct call_refusal *why)
{
    struct task_batch *b = calloc(1, sizeof *b);
    tn_str who = c->managed != NULL ? text_of(c->managed->user.id) : (tn_str){NULL, 0};
    if (b == NULL) {
        call_refuse(why, ESysLimitReached, NULL, "Out of memory");
        return NULL;
    }
    b->c = c;
    b->cap = cap;
    b->many = many;
    if (!idem_read(c->req, who, &b->idem, why)) {
        task_batch_free(b);
        return NULL;
    }
    b->reqs = calloc(cap, sizeof *b->reqs);
    b->args = calloc(cap, sizeof *b->args);
    b->vars = calloc(cap, sizeof *b->vars);
    b->keys = b->idem.given ? calloc(cap, sizeof *b->keys) : NULL;
    if (b->reqs == NULL || b->args == NULL || b->vars == NULL ||
        (b->idem.given && b->keys == NULL)) {
        task_batch_free(b);
        call_refuse(why, ESysLimitReached, NULL, "Out of memory");
        return NULL;
    }
    return b;
}

bool task_batch_add(struct task_batch *b, const struct call_target *t, tn_str kwargs,
                    const struct call_opts *o, struct call_refusal *why)
{
    if (b->n == b->cap) {
        return call_refuse(why, EClientBadRequest, NULL, "More than %u calls in one request",
                           (unsigned)b->cap);
    }
    tn_task_req *r = &b->reqs[b->n];
    b->without = t->without;
    task_req_of_func(t->func, t->kind, t->origin_id, o, r);
    b->args[b->n].at = b->text.n;
    add(&b->text, kwargs);
    b->args[b->n].n = b->text.n - b->args[b->n].at;
    b->vars[b->n].at = b->text.n;
    call_vars_write(&b->text, o, t->record_limit);
    b->vars[b->n].n = b->text.n - b->vars[b->n].at;
    if (b->keys != NULL) {
        idem_key(&b->idem, b->n, b->keys[b->n]);
        r->idempotency = text_of(b->keys[b->n]);
        r->fingerprint = text_of(b->idem.print);
    }
    b->save_result |= o->save_result;
    b->n++;
    return !b->text.failed || call_refuse(why, ESysLimitReached, NULL, "Out of memory");
}

bool task_refuse(struct call_refusal *why, tn_rc rc, const tn_err *err)
{
    switch (rc) {
    case TN_E_CONFLICT:
        return idem_conflict(why);
    case TN_E_LIMIT:
    case TN_E_UNAVAIL:
        why->retry_s = RETRY_S;
        if (strcmp(err->state, "53100") == 0) {
            return call_refuse(why, ESysStorageFull, NULL, "%s", err->msg);
        }
        return call_refuse(why, ESysLimitReached,
                           strcmp(err->state, "40003") == 0 ? "OutcomeUnknown" : NULL, "%s",
                           err->msg);
    case TN_E_INVAL:
        return call_refuse(why, EClientBadRequest, NULL, "%s", err->msg);
    case TN_E_NOTFOUND:
        return call_refuse(why, EClientNotFound, NULL, "%s", err->msg);
    default:
        break;
    }
    api.host->log(api.host->ctx, TN_LOG_ERROR, "a task is refused: %s", err->msg);
    return call_refuse(why, ESys, NULL, "%s",
                       api.dev ? err->msg : "An unexpected error occurred, see the log");
}

/* The answer to accepted tasks. */
static void answer_ids(struct call *c, bool many, bool save_result, const tn_task_receipt *got,
                       uint32_t n)
{
    struct str data = {0}, more = {0};
    bool replayed = false;
    add_lit(&data, "{");
    str_puts(&data, many ? "\"ids\":[" : "\"id\":");
    for (uint32_t i = 0; i < n; i++) {
        str_puts(&data, i > 0 ? "," : "");
        add_quote(&data, got[i].id);
        replayed |= got[i].duplicate == 1;
    }
    str_puts(&data, many ? "]}" : "}");
    if (save_result && n == 1) { /* as 1.x did (spec 2.12) */
        add_lit(&more, ",\"taskId\":");
        add_quote(&more, got[0].id);
        add_lit(&more, ",\"resultURL\":\"/api/v1/func-result?taskId=");
        add(&more, got[0].id);
        add_lit(&more, "\"");
        add(&more, (tn_str){"", 1}); /* NUL */
    }
    if (data.failed || more.failed) {
        respond_failed(c, "Out of memory");
    } else {
        respond_data(c, str_view(&data), more.n > 0 ? more.s : NULL,
                     replayed ? &idem_replayed : NULL);
    }
    str_free(&data);
    str_free(&more);
}

static void accept_done(void *user, tn_rc rc, const tn_task_receipt *receipts, uint32_t n,
                        const tn_err *err)
{
    struct task_accept *a = user;
    struct call *c = a->c;
    if (c != NULL) {
        c->accept = NULL;
        if (rc == TN_OK) {
            answer_ids(c, a->many, a->save_result, receipts, n);
        } else {
            struct call_refusal why = {0};
            task_refuse(&why, rc, err);
            respond_refusal(c, &why);
            call_refusal_finish(&why);
        }
    }
    free(a);
}

void task_batch_orphan(struct call *c)
{
    if (c->accept != NULL) {
        c->accept->c = NULL;
        c->accept = NULL;
    }
}

/* In a dry run nothing is stored; the ids lead nowhere. */
static void answer_dry(struct call *c, bool many, uint32_t n)
{
    char(*ids)[30] = calloc(n, sizeof *ids);
    tn_task_receipt *got = calloc(n, sizeof *got);
    for (uint32_t i = 0; ids != NULL && got != NULL && i < n; i++) {
        memcpy(ids[i], "task-", 5);
        api.host->auth->random_id(ids[i] + 5, 24);
        got[i].id = text_of(ids[i]);
    }
    if (ids != NULL && got != NULL) {
        answer_ids(c, many, false, got, n);
    } else {
        respond_failed(c, "Out of memory");
    }
    free(ids);
    free(got);
}

static bool batch_submit(struct task_batch *b, tn_str http, struct call_refusal *why)
{
    tn_err err = TN_ERR_INIT;
    struct call *c = b->c;
    if (api.host->tasks == NULL) {
        return call_refuse(why, ENotImplemented, NULL, "This platform keeps no durable tasks");
    }
    if (text_bool(tn_http_header(c->req, "x-dff-dry-run")) == 1) {
        answer_dry(c, b->many, b->n);
        return true;
    }
    struct task_accept *a = calloc(1, sizeof *a);
    if (a == NULL) {
        return call_refuse(why, ESysLimitReached, NULL, "Out of memory");
    }
    *a = (struct task_accept){c, b->many, b->save_result};
    for (uint32_t i = 0; i < b->n; i++) {
        b->reqs[i].args = (tn_str){b->text.s + b->args[i].at, b->args[i].n};
        b->reqs[i].vars = (tn_str){b->text.s + b->vars[i].at, b->vars[i].n};
        b->reqs[i].http = http;
    }
    c->accept = a;
    tn_rc rc = api.host->tasks->submit(api.host->ctx, b->reqs, b->n, accept_done, a, &err);
    if (rc != TN_OK) {
        c->accept = NULL;
        free(a);
        return task_refuse(why, rc, &err);
    }
    return true;
}

void task_batch_submit(struct task_batch *b, tn_str query, tn_str body)
{
    struct call_refusal why = {0};
    struct str *http = &calls.scratch.http;
    httpreq_write_stored(http, b->c->req, query, body, &b->without);
    bool ok = !http->failed || call_refuse(&why, ESysLimitReached, NULL, "Out of memory");
    if (!ok || !batch_submit(b, str_view(http), &why)) {
        respond_refusal(b->c, &why);
    }
    call_refusal_finish(&why);
    task_batch_free(b);
}

void call_start_task(struct call *c, const struct call_target *t, const struct call_input *in,
                     tn_str kwargs, const struct call_opts *o)
{
    struct call_refusal why = {0};
    struct task_batch *b = task_batch_open(c, 1, false, &why);
    if (b != NULL && task_batch_add(b, t, kwargs, o, &why)) {
        task_batch_submit(b, in->query, in->body);
    } else {
        task_batch_free(b);
        respond_refusal(c, &why);
    }
    call_refusal_finish(&why);
}
