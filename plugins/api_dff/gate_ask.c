/* SPDX-License-Identifier: Apache-2.0 */
/* A gate whose method asks a function: the request waits for its answer like for any call, then goes on
 * or is refused. Nothing blocks; a client that leaves takes the question with it. */
#include "call_run.h"
#include "gate.h"

static const struct call_kind kind_auth = {
    .origin = {"apiAuth", 7},
    .queue = 1,
    .timeout_s = 35,
    .expires_s = 900,
};

static void ask_done(void *user, const tn_call_result *result)
{
    struct call *c = user;
    struct call_refusal why = {0};
    c->task = NULL;
    if (result->status == TN_CALL_OVERLOAD) { /* says nothing about the credential */
        respond_result(c, result, false);
    } else if (gate_judge(c->gate, c->req, result, &why) == GATE_OPEN) {
        c->passed(c);
    } else {
        respond_refusal(c, &why);
    }
    call_refusal_finish(&why);
}

void gate_ask(struct call *c, struct gate *g, const struct call_input *in,
              void (*passed)(struct call *c))
{
    struct call_scratch *x = &calls.scratch;
    struct call_refusal why = {0};
    tn_err err = TN_ERR_INIT;
    struct str args = {0};
    const struct snap_func *f = snapshot_func(calls_snapshot(), gate_func(g));
    if (g != c->gate) {
        gate_unref(c->gate);
        c->gate = gate_ref(g);
    }
    c->passed = passed;
    if (f == NULL) {
        call_refuse(&why, EAPIAuth, NULL, "Func Auth failed: its function does not exist");
        respond_refusal(c, &why);
        call_refusal_finish(&why);
        return;
    }
    httpreq_write(&x->http, c->req, in->query, in->body);
    add_lit(&args, "{\"req\":");
    add(&args, str_view(&x->http));
    add_lit(&args, "}");
    static const struct call_opts none = {.unbox = -1};
    struct call_limits limits;
    call_limits(f, &kind_auth, &none, &limits);
    tn_call_req r = {
        .size = sizeof r,
        .script = f->script,
        .func = f->name,
        .origin = kind_auth.origin,
        .origin_id = gate_auth_id(g),
        .args = str_view(&args),
        .http = str_view(&x->http),
        .queue = limits.queue,
        .timeout_ms = limits.timeout_ms,
        .expires_ms = limits.expires_ms,
        .user = c,
        .done = ask_done,
    };
    tn_rc rc = args.failed || x->http.failed
                   ? api.host->fail(&err, TN_E_NOMEM, "Out of memory")
                   : api.host->calls->submit(api.host->ctx, &r, &c->task, &err);
    str_free(&args);
    if (rc != TN_OK) {
        why.retry_s = rc == TN_E_LIMIT;
        call_refuse(&why, rc == TN_E_LIMIT ? ESysLimitReached : ESys, NULL, "%s", err.msg);
        respond_refusal(c, &why);
        call_refusal_finish(&why);
    }
}
