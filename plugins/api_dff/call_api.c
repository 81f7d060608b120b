/* SPDX-License-Identifier: Apache-2.0 */
/* Sync and async APIs (and their old names, auth links and batches): the public ways to call a
 * function (spec 2.1, 2.3). */
#include "call_api.h"
#include "gate.h"

static const struct call_kind kind_sync = {
    .origin = {"syncAPI", 7},
    .queue = 1,
    .timeout_s = 35,
    .expires_s = 0,
    .unbox = true,
};

const struct api_kind api_kinds[SNAP_KINDS] = {
    [SNAP_SYNC] = {SNAP_SYNC, &kind_sync, "No such Sync API", "SyncAPIDisabled",
                   "This Sync API is disabled",
                   "The configured kwargs of this Sync API are no object", call_start_func},
    [SNAP_ASYNC] = {SNAP_ASYNC, &kind_async, "No such Async API", "AsyncAPIDisabled",
                    "This Async API is disabled",
                    "The configured kwargs of this Async API are no object", call_start_task},
};

static enum call_form form_of(const tn_match *match)
{
    if (match->nparams < 2 || text_is(match->params[1], "normal")) {
        return FORM_NORMAL;
    }
    return text_is(match->params[1], "simplified") || text_is(match->params[1], "s") ? FORM_SIMPLE
                                                                                     : FORM_OTHER;
}

static void detail_id(struct call_refusal *why, const char *key, tn_str id)
{
    str_printf(&why->detail, "{\"%s\":", key);
    add_quote(&why->detail, id);
    str_puts(&why->detail, "}");
}

bool api_check(const struct api_kind *kind, const struct snap_api *a, struct call_refusal *why)
{
    if (a->disabled) {
        detail_id(why, "id", a->id);
        return call_refuse(why, EBizCondition, kind->disabled_sub, "%s", kind->disabled);
    }
    if (a->expire_us == 0 && a->nrules == 0) {
        return true;
    }
    int64_t wall_us = api.host->wall_us();
    if (a->expire_us != 0 && a->expire_us <= wall_us) {
        detail_id(why, "id", a->id);
        return call_refuse(why, EBizCondition, "SyncAPIExpired", "This Sync API is expired");
    }
    return a->nrules == 0 || throttle_pass(a, wall_us, why);
}

bool api_merge(const struct api_kind *kind, const struct snap_api *a, tn_str given, tn_str *ret,
               struct call_refusal *why)
{
    if (a->bad_kwargs) {
        detail_id(why, "id", a->id);
        return call_refuse(why, EBizBadData, NULL, "%s", kind->bad_kwargs);
    }
    if (!kwargs_merge(a, given, ret, why)) {
        return false;
    }
    if (a->func == NULL) {
        detail_id(why, "funcId", a->func_id);
        return call_refuse(why, EClientNotFound, NULL, "No such Func");
    }
    return true;
}

struct call_target api_target(const struct api_kind *kind, const struct snap_api *a)
{
    struct call_target t = {
        .kind = kind->call, .func = a->func, .origin_id = a->id, .record_limit = a->record_limit};
    t.without.n = a->gate != NULL ? gate_takes(a->gate, &t.without.takes) : 0;
    return t;
}

uint32_t api_hidden(const struct api_kind *kind, const struct snap_api *a, const tn_http_pair **ret)
{
    static tn_http_pair list[64] = {{{"query", 5}, {"xDFFAuthToken", 13}}};
    uint32_t n = a->gate != NULL ? gate_takes(a->gate, ret) : 0;
    if (kind->snap == SNAP_SYNC || n >= sizeof list / sizeof *list) {
        return n;
    }
    for (uint32_t i = 0; i < n; i++) {
        list[i + 1] = (*ret)[i];
    }
    *ret = list;
    return n + 1;
}

/* A call of the API's function. */
static void act_call(struct call *c, const struct api_kind *kind, const struct snap_api *a)
{
    struct call_refusal why = {0};
    struct call_input in;
    struct call_opts opts;
    tn_str kwargs;
    const tn_http_pair *hidden = NULL;
    uint32_t nhidden = api_hidden(kind, a, &hidden);
    if (api_check(kind, a, &why) &&
        kwargs_read_without(c->req, form_of(c->match), hidden, nhidden, &in, &why) &&
        options_parse(in.options, &opts, &why) && api_merge(kind, a, in.kwargs, &kwargs, &why)) {
        struct call_target target = api_target(kind, a);
        c->form = form_of(c->match);
        c->hold = kind->snap == SNAP_SYNC && call_request_holds(c->req, nhidden);
        kind->run(c, &target, &in, kwargs, &opts);
    } else {
        respond_refusal(c, &why);
    }
    call_refusal_finish(&why);
}

static void action_go(struct call *c);

/* May this call go on? False: it is answered, or its function is being asked. */
static bool pass_gate(struct call *c, const struct snap_api *a)
{
    struct call_refusal why = {0};
    struct call_input in;
    bool open = a->auth_id.s == NULL ||
                (c->passed != NULL && c->gate == a->gate); /* its function has agreed */
    if (!open) {
        switch (gate_check(a->gate, a->auth_id, c->req, &why)) {
        case GATE_OPEN:
            open = true;
            break;
        case GATE_ASK:
            if (kwargs_read(c->req, FORM_OTHER, &in, &why)) {
                gate_ask(c, a->gate, &in, action_go);
                break;
            }
            /* fall through */
        case GATE_CLOSED:
            respond_refusal(c, &why);
            break;
        }
    }
    call_refusal_finish(&why);
    return open;
}

/* From the look-up to the action; again from the start when an auth function has agreed. */
static void action_go(struct call *c)
{
    const struct api_action *action = c->match->route->data;
    tn_str id = c->match->params[0];
    const struct snap_api *a = snapshot_api(calls_snapshot(), action->kind->snap, id);
    if (a == NULL) {
        struct call_refusal why = {0};
        detail_id(&why, "id", id);
        call_refuse(&why, EClientNotFound, NULL, "%s", action->kind->no_such);
        respond_refusal(c, &why);
        call_refusal_finish(&why);
    } else if (pass_gate(c, a)) {
        action->act(c, action->kind, a);
    }
}

static void action_start(tn_http_req *req, const tn_match *match)
{
    struct call *c = call_new(req, NULL);
    if (c != NULL) {
        c->match = match;
        action_go(c);
    }
}

void api_action_call(void *inst, tn_http_req *req, const tn_match *match)
{
    (void)inst;
    if (api_credential_fast(req, match, action_start)) {
        action_start(req, match);
    }
}

static const struct api_action call_sync = {&api_kinds[SNAP_SYNC], act_call};
static const struct api_action call_async = {&api_kinds[SNAP_ASYNC], act_call};
static const struct api_action call_async_many = {&api_kinds[SNAP_ASYNC], act_call_many};
static const struct api_action task_state = {&api_kinds[SNAP_ASYNC], act_task};
static const struct api_action task_value = {&api_kinds[SNAP_ASYNC], act_task_result};

/* clang-format off */
#define ROUTE(method_, path_, flags_, action, text)                                               \
    {.method = method_, .path = path_, .permission = "public", .flags = TN_ROUTE_LOOP | (flags_), \
     .handler = api_action_call, .data = &action, .doc = text}
#define CALL_ROUTES(base, action, text)                                                           \
    ROUTE("GET", base "/:id", 0, action, text),                                                   \
    ROUTE("GET", base "/:id/:format", 0, action, text),                                           \
    ROUTE("GET", base "/:id/:format/*", 0, action, text),                                         \
    ROUTE("POST", base "/:id", 0, action, text),                                                  \
    ROUTE("POST", base "/:id/:format", TN_ROUTE_MULTIPART, action, text),                         \
    ROUTE("POST", base "/:id/:format/*", TN_ROUTE_MULTIPART, action, text)
/* What only async APIs have; ours. */
#define TASK_ROUTES(base)                                                                         \
    ROUTE("POST", base "/:id/do/call-many", 0, call_async_many,                                   \
          "Calls the function several times in one transaction."),                                \
    ROUTE("GET", base "/:id/tasks/:taskId", 0, task_state,                                        \
          "State and result of a call of this API; wait=SECONDS waits for its end."),             \
    ROUTE("GET", base "/:id/tasks/:taskId/result", 0, task_value,                                 \
          "Result of a call of this API, answered as a sync API would.")

const tn_route call_routes[] = {
    CALL_ROUTES("/api/v1/sync", call_sync,
                "Calls the function of a sync API and waits for its result."),
    CALL_ROUTES("/api/v1/al", call_sync,
                "Calls the function of an auth link (the old name of sync APIs)."),
    CALL_ROUTES("/api/v1/async", call_async,
                "Calls the function of an async API; answers when the call is stored durably."),
    TASK_ROUTES("/api/v1/async"),
    CALL_ROUTES("/api/v1/bat", call_async,
                "Calls the function of a batch (the old name of async APIs)."),
    TASK_ROUTES("/api/v1/bat"),
    {.method = NULL},
};
/* clang-format on */
