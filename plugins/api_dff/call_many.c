/* SPDX-License-Identifier: Apache-2.0 */
/* Several calls in one request, accepted in one transaction: func-many, and for one async API do/call-many
 * (ours). A call that is refused refuses all of them. */
#include "call_api.h"
#include "task_batch.h"

#include <stdio.h>

static const struct call_kind kind_many = {
    .origin = {"direct", 6},
    .queue = 1,
    .timeout_s = 35,
    .expires_s = 900,
};

/* One item of `calls`. */
struct item {
    tn_str func_id; /* absent: not given */
    tn_str kwargs, options;
};

static bool bad_body(struct call_refusal *why, const char *message)
{
    str_puts(&why->detail, "{\"message\":");
    add_quote(&why->detail, text_of(message));
    str_puts(&why->detail, "}");
    return call_refuse(why, EClientBadRequest, NULL, "Invalid request body");
}

/* The array `calls` of the body, borrowed from it. */
static bool read_calls(const tn_http_req *req, tn_str *ret, struct call_refusal *why)
{
    tn_json_member *m = calls.scratch.members;
    tn_str body = {(const char *)req->body, req->body_len};
    uint32_t kind = TN_JSON_NULL, n = 0;
    if (body.s == NULL || body.n == 0) {
        return bad_body(why, "Field `calls` is missing.");
    }
    if (api.host->json->scan(body, &kind, m, SCRATCH_MEMBERS, &n, NULL) != TN_OK ||
        kind != TN_JSON_OBJECT) {
        return call_refuse(why, EClientBadRequest, NULL, "Invalid request body");
    }
    for (uint32_t i = 0; i < n; i++) {
        if (text_is(m[i].key, "calls")) {
            *ret = json_inside(m[i].value);
            if (m[i].kind == TN_JSON_ARRAY && ret->n == 0) {
                return bad_body(why, "Field `calls` value `[]` is not valid. (minLength = 1)");
            }
            return m[i].kind == TN_JSON_ARRAY ||
                   call_refuse_field(why, "calls", m[i].value, "array");
        }
    }
    return bad_body(why, "Field `calls` is missing.");
}

static uint32_t count_items(tn_str rest)
{
    uint32_t n = 0;
    tn_str item;
    while (n <= TASK_BATCH_MAX && json_item(&rest, &item)) {
        n++;
    }
    return n;
}

/* Function ids have no escapes; another text is no function's id. */
static bool read_item(tn_str text, uint32_t at, struct item *ret, struct call_refusal *why)
{
    tn_json_member m[32];
    uint32_t kind = TN_JSON_NULL, n = 0;
    char name[40];
    *ret = (struct item){.kwargs = TN_STR("{}")};
    if (api.host->json->scan(text, &kind, m, sizeof m / sizeof *m, &n, NULL) != TN_OK ||
        kind != TN_JSON_OBJECT) {
        snprintf(name, sizeof name, "calls[%u]", (unsigned)at);
        return call_refuse_field(why, name, text, "object");
    }
    for (uint32_t i = 0; i < n; i++) {
        if (text_is(m[i].key, "kwargs")) {
            snprintf(name, sizeof name, "calls[%u].kwargs", (unsigned)at);
            if (!kwargs_object(&m[i], name, &ret->kwargs, why)) {
                return false;
            }
        } else if (text_is(m[i].key, "options")) {
            ret->options = m[i].value;
        } else if (text_is(m[i].key, "funcId") && m[i].kind == TN_JSON_STRING) {
            ret->func_id = (tn_str){m[i].value.s + 1, m[i].value.n - 2};
        }
    }
    return true;
}

/* target() finds what an item calls and merges its kwargs. */
typedef bool find_target(const void *user, const struct item *it, struct call_target *ret,
                         tn_str *kwargs, struct call_refusal *why);

static bool fill(struct task_batch *b, tn_str rest, find_target *find, const void *user,
                 struct call_refusal *why)
{
    tn_str text, kwargs;
    struct item it;
    struct call_opts opts;
    struct call_target target;
    for (uint32_t i = 0; json_item(&rest, &text); i++) {
        kwargs_reset();
        if (!read_item(text, i, &it, why) || !options_parse(it.options, &opts, why) ||
            !find(user, &it, &target, &kwargs, why) ||
            !task_batch_add(b, &target, kwargs, &opts, why)) {
            return false;
        }
    }
    return true;
}

static void start_many(struct call *c, find_target *find, const void *user)
{
    struct call_refusal why = {0};
    tn_str items;
    struct task_batch *b = NULL;
    bool ok = read_calls(c->req, &items, &why);
    uint32_t n = ok ? count_items(items) : 0;
    if (n > TASK_BATCH_MAX) {
        ok = call_refuse(&why, EClientBadRequest, NULL, "More than %d calls in one request",
                         TASK_BATCH_MAX);
    }
    b = ok ? task_batch_open(c, n, true, &why) : NULL;
    if (b != NULL && fill(b, items, find, user, &why)) {
        /* The body is all the calls; each task has its own arguments already. */
        task_batch_submit(b, TN_STR("{}"), TN_STR("{}"));
    } else {
        task_batch_free(b);
        respond_refusal(c, &why);
    }
    call_refusal_finish(&why);
}

/* ---- func-many ---------------------------------------------------------------------------------------------- */
static bool find_func(const void *user, const struct item *it, struct call_target *ret,
                      tn_str *kwargs, struct call_refusal *why)
{
    (void)user;
    *ret = (struct call_target){.kind = &kind_many,
                                .func = snapshot_func(calls_snapshot(), it->func_id),
                                .origin_id = TN_STR("direct"),
                                .record_limit = -1};
    *kwargs = it->kwargs;
    if (ret->func == NULL) {
        str_puts(&why->detail, "{\"funcId\":");
        add_quote(&why->detail, it->func_id);
        str_puts(&why->detail, "}");
        return call_refuse(why, EClientNotFound, NULL, "No such Func");
    }
    return true;
}

static void func_many_on_loop(void *user)
{
    struct api_req *r = user;
    struct call *c = call_new(r->http, r);
    if (c != NULL) {
        start_many(c, find_func, NULL);
    }
}

void func_many_run(struct api_req *r)
{
    api.host->loop->post(api.host->ctx, func_many_on_loop, r);
}

/* ---- do/call-many of an async API --------------------------------------------------------------------------- */
struct api_and_kind {
    const struct api_kind *kind;
    const struct snap_api *a;
};

static bool find_api(const void *user, const struct item *it, struct call_target *ret,
                     tn_str *kwargs, struct call_refusal *why)
{
    const struct api_and_kind *of = user;
    *ret = api_target(of->kind, of->a);
    return api_merge(of->kind, of->a, it->kwargs, kwargs, why);
}

void act_call_many(struct call *c, const struct api_kind *kind, const struct snap_api *a)
{
    struct api_and_kind of = {kind, a};
    struct call_refusal why = {0};
    if (api_check(kind, a, &why)) {
        start_many(c, find_api, &of);
    } else {
        respond_refusal(c, &why);
    }
    call_refusal_finish(&why);
}
