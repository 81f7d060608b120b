/* SPDX-License-Identifier: Apache-2.0 */
/* Sync APIs (and their old name, auth links): the public way to call a function (spec 2.1, 2.3). */
#include "call_run.h"
#include "gate.h"

static const struct call_kind sync_kind = {
    .origin = {"syncAPI", 7},
    .queue = 1,
    .timeout_s = 35,
    .expires_s = 0,
    .unbox = true,
};

static enum call_form form_of(const tn_match *match)
{
    if (match->nparams < 2 || text_is(match->params[1], "normal")) {
        return FORM_NORMAL;
    }
    return text_is(match->params[1], "simplified") || text_is(match->params[1], "s") ? FORM_SIMPLE
                                                                                     : FORM_OTHER;
}

static bool detail_id(struct call_refusal *why, const char *key, tn_str id)
{
    str_printf(&why->detail, "{\"%s\":", key);
    add_quote(&why->detail, id);
    str_puts(&why->detail, "}");
    return true;
}

/* The checks of spec 2.3 behind the API auth in their order, up to the throttling. */
static bool check(const struct snap_api *sapi, tn_str id, struct call_refusal *why)
{
    if (sapi->disabled) {
        detail_id(why, "id", id);
        return call_refuse(why, EBizCondition, "SyncAPIDisabled", "This Sync API is disabled");
    }
    int64_t wall_us = api.host->wall_us();
    if (sapi->expire_us != 0 && sapi->expire_us <= wall_us) {
        detail_id(why, "id", id);
        return call_refuse(why, EBizCondition, "SyncAPIExpired", "This Sync API is expired");
    }
    return sapi->nrules == 0 || throttle_pass(sapi, wall_us, why);
}

static bool prepare(const struct snap_api *sapi, const tn_http_req *req, const tn_match *match,
                    struct call_input *in, tn_str *kwargs, struct call_opts *opts,
                    struct call_refusal *why)
{
    const tn_http_pair *hidden = NULL;
    uint32_t nhidden = sapi->gate != NULL ? gate_takes(sapi->gate, &hidden) : 0;
    if (!check(sapi, match->params[0], why) ||
        !kwargs_read_without(req, form_of(match), hidden, nhidden, in, why) ||
        !options_parse(in->options, opts, why)) {
        return false;
    }
    if (sapi->bad_kwargs) {
        detail_id(why, "id", sapi->id);
        return call_refuse(why, EBizBadData, NULL,
                           "The configured kwargs of this Sync API are no object");
    }
    if (!kwargs_merge(sapi, in->kwargs, kwargs, why)) {
        return false;
    }
    if (sapi->func == NULL) {
        detail_id(why, "funcId", sapi->func_id);
        return call_refuse(why, EClientNotFound, NULL, "No such Func");
    }
    return true;
}

static void sync_go(struct call *c);

/* May this call go on? False: it is answered, or its function is being asked. */
static bool pass_gate(struct call *c, const struct snap_api *sapi, struct call_input *in)
{
    struct call_refusal why = {0};
    bool open = sapi->auth_id.s == NULL ||
                (c->passed != NULL && c->gate == sapi->gate); /* its function has agreed */
    if (!open) {
        switch (gate_check(sapi->gate, sapi->auth_id, c->req, &why)) {
        case GATE_OPEN:
            open = true;
            break;
        case GATE_ASK:
            if (kwargs_read(c->req, FORM_OTHER, in, &why)) {
                gate_ask(c, sapi->gate, in, sync_go);
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

/* From the look-up to the broker; again from the start when an auth function has agreed. */
static void sync_go(struct call *c)
{
    struct call_refusal why = {0};
    struct call_input in;
    struct call_opts opts;
    tn_str kwargs;
    const tn_match *match = c->match;
    const struct snap_api *sapi = snapshot_api(calls_snapshot(), SNAP_SYNC, match->params[0]);
    if (sapi == NULL) {
        detail_id(&why, "id", match->params[0]);
        call_refuse(&why, EClientNotFound, NULL, "No such Sync API");
        respond_refusal(c, &why);
    } else if (!pass_gate(c, sapi, &in)) {
        return;
    } else if (prepare(sapi, c->req, match, &in, &kwargs, &opts, &why)) {
        struct call_target target = {.kind = &sync_kind,
                                     .func = sapi->func,
                                     .origin_id = sapi->id,
                                     .record_limit = sapi->record_limit};
        call_start_func(c, &target, &in, kwargs, &opts);
    } else {
        respond_refusal(c, &why);
    }
    call_refusal_finish(&why);
}

static void sync_start(tn_http_req *req, const tn_match *match)
{
    struct call *c = call_new(req, NULL);
    if (c != NULL) {
        c->match = match;
        sync_go(c);
    }
}

static void sync_call(void *inst, tn_http_req *req, const tn_match *match)
{
    (void)inst;
    if (api_credential_fast(req, match, sync_start)) {
        sync_start(req, match);
    }
}

#define CALL_ROUTES(base, text)                                                                    \
    {.method = "GET",                                                                              \
     .path = base "/:id",                                                                          \
     .permission = "public",                                                                       \
     .flags = TN_ROUTE_LOOP,                                                                       \
     .handler = sync_call,                                                                         \
     .doc = text},                                                                                 \
        {.method = "GET",                                                                          \
         .path = base "/:id/:format",                                                              \
         .permission = "public",                                                                   \
         .flags = TN_ROUTE_LOOP,                                                                   \
         .handler = sync_call,                                                                     \
         .doc = text},                                                                             \
        {.method = "GET",                                                                          \
         .path = base "/:id/:format/*",                                                            \
         .permission = "public",                                                                   \
         .flags = TN_ROUTE_LOOP,                                                                   \
         .handler = sync_call,                                                                     \
         .doc = text},                                                                             \
        {.method = "POST",                                                                         \
         .path = base "/:id",                                                                      \
         .permission = "public",                                                                   \
         .flags = TN_ROUTE_LOOP,                                                                   \
         .handler = sync_call,                                                                     \
         .doc = text},                                                                             \
        {.method = "POST",                                                                         \
         .path = base "/:id/:format",                                                              \
         .permission = "public",                                                                   \
         .flags = TN_ROUTE_LOOP | TN_ROUTE_MULTIPART,                                              \
         .handler = sync_call,                                                                     \
         .doc = text},                                                                             \
    {                                                                                              \
        .method = "POST", .path = base "/:id/:format/*", .permission = "public",                   \
        .flags = TN_ROUTE_LOOP | TN_ROUTE_MULTIPART, .handler = sync_call, .doc = text             \
    }

const tn_route call_routes[] = {
    CALL_ROUTES("/api/v1/sync", "Calls the function of a sync API and waits for its result."),
    CALL_ROUTES("/api/v1/al", "Calls the function of an auth link (the old name of sync APIs)."),
    {.method = NULL},
};
