/* SPDX-License-Identifier: Apache-2.0 */
/* Functions of the integration autoRun (spec 5.5): started as durable tasks at the launch of the platform
 * and after each publication of their script. Those with an expression are cron jobs (cron_sync.c). */
#include "integration.h"
#include "snapshot.h"
#include "task_submit.h"

#include <stdlib.h>
#include <string.h>

#define CTX       api.host->ctx
#define LAUNCH_NS 5000000000ull /* after the start */

static void accepted(void *user, tn_rc rc, const tn_task_receipt *receipts, uint32_t n,
                     const tn_err *err)
{
    (void)user;
    (void)receipts;
    (void)n;
    if (rc != TN_OK) {
        api.host->log(CTX, TN_LOG_ERROR, "a function of the integration autoRun does not run: %s",
                      err->msg);
    }
}

static tn_timer *launch_timer;

/* why: "onSystemLaunch", "onScriptPublish". */
static void run(const struct snap_func *f, const char *why)
{
    struct str origin_id = {0};
    tn_task_req req;
    tn_err err = TN_ERR_INIT;
    str_printf(&origin_id, "autoRun.%s-%.*s", why, (int)f->id.n, f->id.s);
    if (!origin_id.failed) {
        task_req_of_func(f, &kind_integration, str_view(&origin_id), NULL, &req);
        req.args = TN_STR("{}");
        if (api.host->tasks->submit(CTX, &req, 1, accepted, NULL, &err) != TN_OK) {
            accepted(NULL, err.rc, NULL, 0, &err);
        }
    }
    str_free(&origin_id);
}

static void launched(void *user)
{
    const struct snap_func *f;
    (void)user;
    api.host->loop->timer_free(CTX, launch_timer);
    launch_timer = NULL;
    for (size_t i = 0; snapshot_each_auto(calls_snapshot(), &i, &f);) {
        if (f->on_launch) {
            run(f, "onSystemLaunch");
        }
    }
}

static void published(void *user)
{
    char *script = user;
    const struct snap_func *f;
    for (size_t i = 0; snapshot_each_auto(calls_snapshot(), &i, &f);) {
        if (f->on_publish && text_is(f->script, script)) {
            run(f, "onScriptPublish");
        }
    }
    free(script);
}

void autorun_published(const char *script_id)
{
    char *script = api.host->tasks != NULL ? strdup(script_id) : NULL;
    if (script != NULL) {
        api.host->loop->post(CTX, published, script);
    }
}

static void start_timer(void *user)
{
    tn_err err = TN_ERR_INIT;
    (void)user;
    if (api.host->loop->timer(CTX, launched, NULL, &launch_timer, &err) == TN_OK) {
        api.host->loop->timer_set(CTX, launch_timer, api.host->now_ns() + LAUNCH_NS);
    } else {
        api.host->log(CTX, TN_LOG_ERROR, "no function runs at the launch: %s", err.msg);
    }
}

tn_rc autorun_start(tn_err *err)
{
    (void)err;
    if (api.host->tasks != NULL) {
        api.host->loop->post(CTX, start_timer, NULL);
    }
    return TN_OK;
}
