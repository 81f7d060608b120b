/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules in the hub: the trigger plugin that carries them, the durable queue they end in, and the
 * host table. */
#include "kernel/base/err.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"
#include "kernel/hub/schedules_host.h"
#include "kernel/hub/tasks_int.h"
#include "kernel/store/jobs.h"
#include <stdlib.h>

/* ---- what they need -------------------------------------------------------------------------- */
static struct hub_plugin *plugin_of(void *user)
{
    return user;
}

static tn_rc dep_submit(void *user, const tn_task_req *reqs, uint32_t n,
                        void (*done)(void *, tn_rc, const tn_task_receipt *, uint32_t,
                                     const tn_err *),
                        void *done_user, tn_err *err)
{
    return tasks_ops.submit(plugin_of(user), reqs, n, done, done_user, err);
}

static struct jobs *jobs_of(void *user)
{
    return tasks_jobs(plugin_of(user)->hub);
}

static tn_rc dep_cursors(void *user, tn_rc (*each)(void *, tn_str, int64_t), void *each_user,
                         tn_err *err)
{
    return jobs_cursors(jobs_of(user), each, each_user, err);
}

static tn_rc dep_cursors_put(void *user, const tn_str *ids, const int64_t *us, uint32_t n,
                             tn_err *err)
{
    return jobs_cursors_put(jobs_of(user), ids, us, n, err);
}

static tn_rc dep_cursor_drop(void *user, tn_str id, tn_err *err)
{
    return jobs_cursor_drop(jobs_of(user), id, err);
}

static tn_rc dep_history(void *user, tn_str id, int64_t limit, int64_t offset, struct buf *ret,
                         tn_err *err)
{
    return jobs_history(jobs_of(user), id, limit, offset, ret, err);
}

static int64_t dep_waiting(void *user, uint32_t queue)
{
    return atomic_load(&plugin_of(user)->hub->tasks->queues[queue].waiting);
}

static int64_t setting_number(const struct hub *h, const char *key, int64_t dflt)
{
    const char *text = settings_dff(&h->settings, key);
    int64_t v = text != NULL ? strtoll(text, NULL, 10) : 0;
    return v > 0 ? v : dflt;
}

/* ---- life ------------------------------------------------------------------------------------ */
int schedules_wants(const struct plug *p)
{
    return p->desc.kind == TN_KIND_TRIGGER && (p->desc.caps & TN_CAP_SCHEDULE) != 0;
}

tn_rc schedules_open(struct hub *h, tn_err *err)
{
    static struct hub_plugin self; /* the kernel's own context for host tables */
    self.hub = h;
    const struct schedules_deps deps = {
        .user = &self,
        .submit = dep_submit,
        .cursors = dep_cursors,
        .cursors_put = dep_cursors_put,
        .cursor_drop = dep_cursor_drop,
        .history = dep_history,
        .waiting = dep_waiting,
        .limit_scale = setting_number(h, "_WORKER_QUEUE_LIMIT_SCALE_CRON_JOB", 10),
        .limit_least = setting_number(h, "_WORKER_QUEUE_LIMIT_MIN", 10000),
    };
    return schedules_create(h->loop, &deps, &h->schedules, err);
}

void schedules_adopt(struct hub *h)
{
    struct plug *first = NULL;
    for (size_t i = 0; i < h->nplugins; i++) {
        struct hub_plugin *hp = &h->plugins[i];
        if (!schedules_wants(hp->plug)) {
            continue;
        }
        if (first != NULL) {
            log_warn("trigger %s is not used: schedules are carried by trigger %s",
                     hp->plug->desc.name, first->desc.name);
            continue;
        }
        first = hp->plug;
        schedules_trigger(h->schedules, hp->plug->ops, hp->pi.inst, hp->plug->desc.name);
    }
}

/* ---- the host table -------------------------------------------------------------------------- */
static struct schedules *of(void *ctx)
{
    return host_hub(ctx)->schedules;
}

static tn_rc text_of_buf(tn_rc rc, struct buf *b, tn_text *ret, tn_err *err)
{
    if (rc == TN_OK && !b->failed) {
        ret->s = buf_take(b, &ret->n);
    }
    buf_finish(b);
    return rc != TN_OK || ret->s != NULL ? rc
                                         : err_set(err, TN_E_NOMEM, "no memory for the result");
}

static tn_rc sc_put(void *ctx, const tn_schedule *in, uint32_t n, tn_err *err)
{
    return schedules_put(of(ctx), in, n, err);
}

static void sc_drop(void *ctx, tn_str id)
{
    schedules_drop(of(ctx), id);
}

static tn_rc sc_check(void *ctx, tn_str expr, tn_str zone, tn_err *err)
{
    return schedules_check(of(ctx), expr, zone, err);
}

static uint32_t sc_next(void *ctx, tn_str expr, tn_str zone, int64_t after_us, int64_t *ret_us,
                        uint32_t n)
{
    return schedules_next(of(ctx), expr, zone, after_us, ret_us, n);
}

static void sc_pause(void *ctx, int64_t until_us)
{
    schedules_pause(of(ctx), until_us);
}

static tn_rc sc_history(void *ctx, tn_str id, int64_t limit, int64_t offset, tn_text *ret,
                        tn_err *err)
{
    struct buf b = BUF_INIT(0);
    *ret = (tn_text){NULL, 0};
    return text_of_buf(schedules_history(of(ctx), id, limit, offset, &b, err), &b, ret, err);
}

static tn_rc sc_status(void *ctx, tn_text *ret, tn_err *err)
{
    struct buf b = BUF_INIT(0);
    *ret = (tn_text){NULL, 0};
    return text_of_buf(schedules_status(of(ctx), &b, err), &b, ret, err);
}

static tn_rc sc_fire(void *ctx, const tn_fire *fires, uint32_t n, tn_err *err)
{
    return schedules_fire(of(ctx), fires, n, err);
}

const tn_host_schedules schedules_ops = {
    .size = sizeof schedules_ops,
    .put = sc_put,
    .drop = sc_drop,
    .check = sc_check,
    .next = sc_next,
    .pause = sc_pause,
    .history = sc_history,
    .status = sc_status,
    .fire = sc_fire,
};
