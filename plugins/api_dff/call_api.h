/* SPDX-License-Identifier: Apache-2.0 */
/* Public calls of sync and async APIs, and what else is behind the same API auth. Loop thread. */
#pragma once
#include "task_submit.h"

/* What distinguishes the two kinds of API. */
struct api_kind {
    enum snap_kind snap;
    const struct call_kind *call;
    const char *no_such, *disabled_sub, *disabled, *bad_kwargs;
    void (*run)(struct call *c, const struct call_target *t, const struct call_input *in,
                tn_str kwargs, const struct call_opts *o);
};
extern const struct api_kind api_kinds[SNAP_KINDS];

/* tn_route.data of a route behind the API auth of its first path parameter: act() runs when the API
 * exists and its gate is open, and leads to exactly one answer. */
struct api_action {
    const struct api_kind *kind;
    void (*act)(struct call *c, const struct api_kind *kind, const struct snap_api *a);
};
/* tn_route.handler of these routes. */
void api_action_call(void *inst, tn_http_req *req, const tn_match *match);

/* Checks 3 to 5 of spec 2.3: disabled, expired, throttled. */
bool api_check(const struct api_kind *kind, const struct snap_api *a, struct call_refusal *why);
/* Fixed kwargs and placeholders, and that the function exists. */
bool api_merge(const struct api_kind *kind, const struct snap_api *a, tn_str given, tn_str *ret,
               struct call_refusal *why);
/* The target of a call through that API. */
struct call_target api_target(const struct api_kind *kind, const struct snap_api *a);
/* Fields of query and body that scripts do not get to see: the gate's, and for what is stored the
 * session's. Borrowed until the next call. */
uint32_t api_hidden(const struct api_kind *kind, const struct snap_api *a,
                    const tn_http_pair **ret);

/* call_many.c, task_call.c */
void act_call_many(struct call *c, const struct api_kind *kind, const struct snap_api *a);
void act_task(struct call *c, const struct api_kind *kind, const struct snap_api *a);
void act_task_result(struct call *c, const struct api_kind *kind, const struct snap_api *a);
