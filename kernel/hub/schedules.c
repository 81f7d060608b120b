/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules and the trigger that knows when they are due: adding, dropping, asking. */
#include "kernel/base/buf.h"
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/log.h"
#include "kernel/base/proc.h"
#include "kernel/base/str.h"
#include "kernel/hub/schedules_int.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define DELAYS_MAX 1000

/* ---- plans ----------------------------------------------------------------------------------- */
/* Every text of a request, for copying. */
static const size_t task_texts[] = {
    offsetof(tn_task_req, script),      offsetof(tn_task_req, func),
    offsetof(tn_task_req, origin),      offsetof(tn_task_req, origin_id),
    offsetof(tn_task_req, root_id),     offsetof(tn_task_req, args),
    offsetof(tn_task_req, http),        offsetof(tn_task_req, vars),
    offsetof(tn_task_req, retry_on),    offsetof(tn_task_req, overlap_key),
    offsetof(tn_task_req, idempotency), offsetof(tn_task_req, fingerprint),
    offsetof(tn_task_req, label),
};
#define TASK_TEXTS (sizeof task_texts / sizeof *task_texts)

static tn_str *text_at(tn_task_req *t, size_t i)
{
    return (tn_str *)(void *)((char *)t + task_texts[i]);
}

static void move(tn_str *s, char **at)
{
    if (s->s != NULL) {
        memcpy(*at, s->s, s->n);
        s->s = *at;
        *at += s->n;
    }
}

static tn_rc plan_new(const tn_schedule *given, struct plan **ret, tn_err *err)
{
    tn_schedule in = {0};
    tn_task_req task = {0};
    memcpy(&in, given, given->size < sizeof in ? given->size : sizeof in);
    if (in.task == NULL || in.id.n == 0 || in.ndelays > DELAYS_MAX) {
        return err_set(err, TN_E_INVAL,
                       "schedule \"%.*s\": it needs an id, a task, and at most %d delays",
                       (int)in.id.n, in.id.n > 0 ? in.id.s : "", DELAYS_MAX);
    }
    memcpy(&task, in.task, in.task->size < sizeof task ? in.task->size : sizeof task);
    if (task.queue >= SCHEDULES_QUEUES) {
        return err_set(err, TN_E_INVAL, "schedule \"%.*s\": queue %u is not within 0..9",
                       (int)in.id.n, in.id.s, task.queue);
    }
    size_t bytes = in.id.n + in.expr.n + in.timezone.n + in.ndelays * sizeof(uint32_t);
    for (size_t i = 0; i < TASK_TEXTS; i++) {
        bytes += text_at(&task, i)->n;
    }
    struct plan *p = malloc(sizeof *p + bytes);
    if (p == NULL) {
        return err_set(err, TN_E_NOMEM, "no memory for a schedule");
    }
    *p = (struct plan){.sched = in, .task = task};
    p->sched.size = sizeof p->sched;
    p->task.size = sizeof p->task;
    p->sched.task = NULL; /* the trigger gets none; `task` beside it is ours */
    char *at = (char *)(p + 1);
    if (in.ndelays > 0) {
        memcpy(at, in.delays_s, in.ndelays * sizeof(uint32_t));
        p->sched.delays_s = (const uint32_t *)(void *)at;
        at += in.ndelays * sizeof(uint32_t);
    }
    move(&p->sched.id, &at);
    move(&p->sched.expr, &at);
    move(&p->sched.timezone, &at);
    for (size_t i = 0; i < TASK_TEXTS; i++) {
        move(text_at(&p->task, i), &at);
    }
    *ret = p;
    return TN_OK;
}

void plan_free(void *plan)
{
    free(plan);
}

/* Do both make the same occurrences? Then the cursor goes on. */
static bool same_times(const struct plan *a, const struct plan *b)
{
    return str_eq(a->sched.expr, b->sched.expr) && str_eq(a->sched.timezone, b->sched.timezone) &&
           (a->sched.flags & TN_SCHED_DISABLED) == (b->sched.flags & TN_SCHED_DISABLED);
}

static void count_queue(struct schedules *s, const struct plan *p, int by)
{
    if (p != NULL && (p->sched.flags & TN_SCHED_DISABLED) == 0 && p->sched.expr.n > 0) {
        s->by_queue[p->task.queue] += by;
    }
}

/* ---- life ------------------------------------------------------------------------------------ */
tn_rc schedules_create(struct loop *loop, const struct schedules_deps *deps, struct schedules **ret,
                       tn_err *err)
{
    struct schedules *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return err_set(err, TN_E_NOMEM, "no memory for schedules");
    }
    s->loop = loop;
    s->deps = *deps;
    s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->stop_fd < 0 || loop_timer(loop, fired_watch, s, &s->timer, err) != TN_OK) {
        int e = errno;
        if (s->stop_fd >= 0) {
            close(s->stop_fd);
        }
        free(s);
        return err_set(err, TN_E_INTERNAL, "schedules: %s", strerror(e));
    }
    pthread_mutex_init(&s->put_lock, NULL);
    pthread_mutex_init(&s->lock, NULL);
    map_init(&s->cursors);
    map_init(&s->plans);
    list_init(&s->fired);
    *ret = s;
    return TN_OK;
}

void schedules_stop(struct schedules *s)
{
    if (s == NULL) {
        return;
    }
    atomic_store(&s->stopping, 1);
    if (s->running) {
        uint64_t one = 1;
        ssize_t n = write(s->stop_fd, &one, sizeof one);
        (void)n;
        pthread_join(s->thread, NULL);
        s->running = false;
    }
    loop_timer_free(s->loop, s->timer);
    s->timer = NULL;
}

void schedules_destroy(struct schedules *s)
{
    if (s == NULL) {
        return;
    }
    fired_finish(s);
    map_finish(&s->cursors, free);
    map_finish(&s->plans, plan_free);
    pthread_mutex_destroy(&s->put_lock);
    pthread_mutex_destroy(&s->lock);
    close(s->stop_fd);
    free(s);
}

void schedules_trigger(struct schedules *s, const tn_trigger_ops *ops, void *inst, const char *name)
{
    s->ops = ops;
    s->inst = inst;
    s->name = name;
}

/* A trigger that gives up is started again: schedules must not stop because of one error. */
static void *trigger_thread(void *user)
{
    struct schedules *s = user;
    proc_title("tn-schedules");
    while (!atomic_load(&s->stopping)) {
        tn_err err = TN_ERR_INIT;
        tn_rc rc = s->ops->run(s->inst, s->stop_fd, &err);
        if (!atomic_load(&s->stopping)) {
            log_alert("trigger %s stopped%s%s; it is started again", s->name,
                      rc != TN_OK ? ": " : "", rc != TN_OK ? err.msg : "");
            usleep(1000000);
        }
    }
    return NULL;
}

tn_rc schedules_run(struct schedules *s, tn_err *err)
{
    if (s->ops == NULL || s->running) {
        return TN_OK;
    }
    int rc = pthread_create(&s->thread, NULL, trigger_thread, s);
    if (rc != 0) {
        return err_set(err, TN_E_INTERNAL, "trigger %s: no thread: %s", s->name, strerror(rc));
    }
    s->running = true;
    return TN_OK;
}

static tn_rc no_trigger(tn_err *err)
{
    return err_set(err, TN_E_UNSUPP, "no trigger plugin for schedules is loaded");
}

/* ---- put and drop ---------------------------------------------------------------------------- */
static tn_rc cursor_found(void *user, tn_str id, int64_t us)
{
    struct schedules *s = user;
    int64_t *v = malloc(sizeof *v);
    if (v == NULL || map_put(&s->cursors, id, v, NULL) != 0) {
        free(v);
        return TN_E_NOMEM;
    }
    *v = us;
    return TN_OK;
}

/* Where the schedule goes on; *ret_new: this is to be written before it may fire. */
static int64_t cursor_of(struct schedules *s, const struct plan *p, int64_t now_us, bool *ret_new)
{
    int64_t us = now_us;
    *ret_new = true;
    pthread_mutex_lock(&s->lock);
    const struct plan *old = map_get(&s->plans, p->sched.id);
    if (old != NULL && same_times(old, p)) {
        us = old->cursor_us;
        *ret_new = false;
    }
    pthread_mutex_unlock(&s->lock);
    int64_t *found = map_del(&s->cursors, p->sched.id);
    if (old == NULL && found != NULL) {
        us = *found;
        *ret_new = false;
    }
    free(found);
    return us;
}

static tn_rc plan_install(struct schedules *s, struct plan *p, tn_err *err)
{
    void *old = NULL;
    p->sched.cursor_us = p->cursor_us;
    pthread_mutex_lock(&s->lock);
    if (map_put(&s->plans, p->sched.id, p, &old) != 0) {
        pthread_mutex_unlock(&s->lock);
        plan_free(p);
        return err_set(err, TN_E_NOMEM, "no memory for a schedule");
    }
    count_queue(s, old, -1);
    count_queue(s, p, 1);
    pthread_mutex_unlock(&s->lock);
    plan_free(old);
    return s->ops->schedule_put(s->inst, &p->sched, err);
}

tn_rc schedules_put(struct schedules *s, const tn_schedule *in, uint32_t n, tn_err *err)
{
    if (s->ops == NULL) {
        return no_trigger(err);
    }
    struct plan **plans = calloc(n + 1ul, sizeof *plans);
    tn_str *ids = calloc(n + 1ul, sizeof *ids);
    int64_t *us = calloc(n + 1ul, sizeof *us), now_us = clock_wall_us();
    uint32_t fresh = 0, made = 0;
    tn_rc rc = plans != NULL && ids != NULL && us != NULL ? TN_OK : TN_E_NOMEM;
    pthread_mutex_lock(&s->put_lock);
    if (rc == TN_OK && !s->cursors_read) {
        rc = s->deps.cursors(s->deps.user, cursor_found, s, err);
        s->cursors_read = rc == TN_OK;
    }
    const char *at = (const char *)in; /* elements are as large as the caller's header says */
    for (; rc == TN_OK && made < n; made++, at += in->size) {
        rc = plan_new((const tn_schedule *)(const void *)at, &plans[made], err);
        if (rc != TN_OK) {
            break;
        }
        bool is_new;
        plans[made]->cursor_us = cursor_of(s, plans[made], now_us, &is_new);
        if (is_new) {
            ids[fresh] = plans[made]->sched.id;
            us[fresh++] = now_us;
        }
    }
    if (rc == TN_OK && fresh > 0) {
        rc = s->deps.cursors_put(s->deps.user, ids, us, fresh, err);
    }
    for (uint32_t i = 0; i < made; i++) {
        if (rc == TN_OK) {
            rc = plan_install(s, plans[i], err);
        } else {
            plan_free(plans[i]);
        }
    }
    pthread_mutex_unlock(&s->put_lock);
    free(plans);
    free(ids);
    free(us);
    return rc == TN_E_NOMEM && err != NULL && err->rc == TN_OK
               ? err_set(err, rc, "no memory for schedules")
               : rc;
}

void schedules_drop(struct schedules *s, tn_str id)
{
    if (s->ops == NULL) {
        return;
    }
    tn_err err = TN_ERR_INIT;
    pthread_mutex_lock(&s->put_lock);
    s->ops->schedule_drop(s->inst, id);
    pthread_mutex_lock(&s->lock);
    struct plan *p = map_del(&s->plans, id);
    count_queue(s, p, -1);
    pthread_mutex_unlock(&s->lock);
    plan_free(p);
    free(map_del(&s->cursors, id));
    if (s->deps.cursor_drop(s->deps.user, id, &err) != TN_OK) {
        log_error("schedule \"%.*s\" is gone, but not its history: %s", (int)id.n, id.s, err.msg);
    }
    pthread_mutex_unlock(&s->put_lock);
}

/* ---- asking ---------------------------------------------------------------------------------- */
tn_rc schedules_check(struct schedules *s, tn_str expr, tn_str zone, tn_err *err)
{
    return s->ops == NULL ? no_trigger(err) : s->ops->schedule_check(s->inst, expr, zone, err);
}

uint32_t schedules_next(struct schedules *s, tn_str expr, tn_str zone, int64_t after_us,
                        int64_t *ret_us, uint32_t n)
{
    return s->ops == NULL ? 0 : s->ops->schedule_next(s->inst, expr, zone, after_us, ret_us, n);
}

void schedules_pause(struct schedules *s, int64_t until_us)
{
    if (s->ops != NULL) {
        s->ops->schedule_pause(s->inst, until_us);
    }
}

tn_rc schedules_history(struct schedules *s, tn_str id, int64_t limit, int64_t offset,
                        struct buf *ret, tn_err *err)
{
    return s->deps.history(s->deps.user, id, limit, offset, ret, err);
}

tn_rc schedules_status(struct schedules *s, struct buf *ret, tn_err *err)
{
    char trigger[2048] = "null";
    if (s->ops != NULL && s->ops->schedule_status != NULL) {
        tn_rc rc = s->ops->schedule_status(s->inst, trigger, sizeof trigger, err);
        if (rc != TN_OK) {
            return rc;
        }
    }
    pthread_mutex_lock(&s->lock);
    const struct fired *oldest = list_empty(&s->fired)
                                     ? NULL
                                     : list_entry(s->fired.next, struct fired, link);
    int64_t age = oldest != NULL ? (int64_t)clock_mono_ns() - oldest->since_ns : 0;
    buf_printf(ret,
               "{\"schedules\":%zu,\"waitingToBeWritten\":%llu,\"oldestWaitsMs\":%lld,"
               "\"written\":%llu,\"refused\":%llu,\"lateAlerts\":%llu,\"overLimit\":%llu,"
               "\"trigger\":%s}",
               s->plans.used, (unsigned long long)s->nfired, (long long)age / 1000000,
               (unsigned long long)s->written, (unsigned long long)s->refused,
               (unsigned long long)s->late_alerts, (unsigned long long)s->over_limit, trigger);
    pthread_mutex_unlock(&s->lock);
    return ret->failed ? err_set(err, TN_E_NOMEM, "no memory for the status") : TN_OK;
}
