/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules: what each one runs, its cursor, and the way of due occurrences from the trigger into the
 * durable queue. Order is kept: one batch is written after the other, so a cursor never moves past an
 * occurrence that is not on record. */
#pragma once
#include "kernel/base/list.h"
#include "kernel/base/map.h"
#include "kernel/hub/loop.h"
#include <pthread.h>
#include <tenon/trigger.h>

struct buf;

/* What schedules need of their surroundings; tests have their own. */
struct schedules_deps {
    void *user;
    /* As tn_host_tasks.submit. */
    tn_rc (*submit)(void *user, const tn_task_req *reqs, uint32_t n,
                    void (*done)(void *, tn_rc, const tn_task_receipt *, uint32_t, const tn_err *),
                    void *done_user, tn_err *);
    /* Helper threads, may block. */
    tn_rc (*cursors)(void *user, tn_rc (*each)(void *, tn_str id, int64_t us), void *each_user,
                     tn_err *);
    tn_rc (*cursors_put)(void *user, const tn_str *ids, const int64_t *us, uint32_t n, tn_err *);
    tn_rc (*cursor_drop)(void *user, tn_str id, tn_err *);
    tn_rc (*history)(void *user, tn_str id, int64_t limit, int64_t offset, struct buf *, tn_err *);
    int64_t (*waiting)(void *user, uint32_t queue); /* any thread */
    /* Limit of a queue: max(scale * enabled schedules that use it, least). */
    int64_t limit_scale, limit_least;
};

struct schedules;
tn_rc schedules_create(struct loop *loop, const struct schedules_deps *deps, struct schedules **ret,
                       tn_err *err);
/* Ends the trigger's thread; nothing is fired any more. Loop thread. */
void schedules_stop(struct schedules *s);
void schedules_destroy(struct schedules *s);
/* The trigger that knows expressions; before any put(). Borrowed. */
void schedules_trigger(struct schedules *s, const tn_trigger_ops *ops, void *inst,
                       const char *name);
/* Starts its thread. */
tn_rc schedules_run(struct schedules *s, tn_err *err);

/* As tn_host_schedules. */
tn_rc schedules_put(struct schedules *s, const tn_schedule *in, uint32_t n, tn_err *err);
void schedules_drop(struct schedules *s, tn_str id);
tn_rc schedules_check(struct schedules *s, tn_str expr, tn_str zone, tn_err *err);
uint32_t schedules_next(struct schedules *s, tn_str expr, tn_str zone, int64_t after_us,
                        int64_t *ret_us, uint32_t n);
void schedules_pause(struct schedules *s, int64_t until_us);
tn_rc schedules_status(struct schedules *s, struct buf *ret, tn_err *err);
tn_rc schedules_history(struct schedules *s, tn_str id, int64_t limit, int64_t offset,
                        struct buf *ret, tn_err *err);
tn_rc schedules_fire(struct schedules *s, const tn_fire *fires, uint32_t n, tn_err *err);
