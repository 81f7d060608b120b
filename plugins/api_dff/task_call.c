/* SPDX-License-Identifier: Apache-2.0 */
/* Results for those who may only call: a task of an async API, behind that API's own auth. The id is as
 * hard to guess as a token, and a task of anything else does not exist here. */
#include "call_api.h"
#include "task_result.h"
#include "task_wait.h"

/* The task of this request's API, else refused. */
static bool own_task(struct call *c, tn_str json, struct task_view *v)
{
    const tn_match *match = c->match;
    tn_str api_id = match->params[0];
    struct call_refusal why = {0};
    bool ok = json.s != NULL && task_view(json, v);
    if (ok && text_is(v->origin, "asyncAPI") && v->origin_id.n == api_id.n &&
        memcmp(v->origin_id.s, api_id.s, api_id.n) == 0) {
        return true;
    }
    if (ok || json.s == NULL) {
        task_unknown(&why, match->params[1]);
    } else {
        call_refuse(&why, ESys, NULL, "The stored task cannot be read");
    }
    respond_refusal(c, &why);
    call_refusal_finish(&why);
    return false;
}

static void show_state(struct call *c, tn_str json)
{
    struct task_view v = {.n = 0};
    struct str data = {0};
    if (own_task(c, json, &v)) {
        task_write_public(&v, &data);
        respond_data(c, str_view(&data), NULL, NULL);
    }
    str_free(&data);
    task_view_finish(&v);
}

static void show_result(struct call *c, tn_str json)
{
    struct task_view v = {.n = 0};
    if (own_task(c, json, &v)) {
        task_respond_result(c, &v);
    }
    task_view_finish(&v);
}

static void wait_and(struct call *c, void (*done)(struct call *c, tn_str json))
{
    struct call_refusal why = {0};
    uint32_t ms;
    if (task_wait_seconds(c->req, "wait", 0, &ms, &why)) {
        task_wait(c, c->match->params[1], ms, done);
    } else {
        respond_refusal(c, &why);
    }
    call_refusal_finish(&why);
}

void act_task(struct call *c, const struct api_kind *kind, const struct snap_api *a)
{
    (void)kind, (void)a;
    wait_and(c, show_state);
}

void act_task_result(struct call *c, const struct api_kind *kind, const struct snap_api *a)
{
    (void)kind, (void)a;
    wait_and(c, show_result);
}
