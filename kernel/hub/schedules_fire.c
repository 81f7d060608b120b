/* SPDX-License-Identifier: Apache-2.0 */
/* Due occurrences on their way into the durable queue: first in memory, then one transaction after
 * the other, again until it worked; and a watch over what takes too long. */
#include "kernel/base/buf.h"
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/killpoint.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"
#include "kernel/hub/schedules_int.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRED_MAX 250000 /* occurrences in memory; beyond it the trigger is asked to wait */
#define BATCH     2048   /* requests of one transaction */
#define BEHIND_US 1000000
#define LATE_NS   (5 * (int64_t)NS_PER_S)
#define AGAIN_NS  (NS_PER_S / 5)
#define WATCH_NS  NS_PER_S

/* ---- handing over (the trigger's thread) ----------------------------------------------------- */
static struct fired *fired_new(const tn_fire *fires, uint32_t n)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < n; i++) {
        bytes += fires[i].id.n + fires[i].reason.n;
    }
    struct fired *f = malloc(sizeof *f + n * sizeof *f->fires + bytes);
    if (f == NULL) {
        return NULL;
    }
    *f = (struct fired){.fires = (tn_fire *)(f + 1), .n = n, .since_ns = (int64_t)clock_mono_ns()};
    char *at = (char *)(f->fires + n);
    for (uint32_t i = 0; i < n; i++) {
        tn_fire *to = &f->fires[i];
        *to = fires[i];
        tn_str *const texts[] = {&to->id, &to->reason};
        for (int k = 0; k < 2; k++) {
            if (texts[k]->s != NULL) {
                memcpy(at, texts[k]->s, texts[k]->n);
                texts[k]->s = at;
                at += texts[k]->n;
            }
        }
    }
    return f;
}

tn_rc schedules_fire(struct schedules *s, const tn_fire *fires, uint32_t n, tn_err *err)
{
    if (n == 0) {
        return TN_OK;
    }
    struct fired *f = fired_new(fires, n);
    if (f == NULL) {
        return err_set(err, TN_E_LIMIT, "no memory for %u due occurrences", n);
    }
    pthread_mutex_lock(&s->lock);
    if (s->nfired + n > FIRED_MAX) {
        uint64_t waiting = s->nfired;
        s->refused++;
        pthread_mutex_unlock(&s->lock);
        free(f);
        return err_set(err, TN_E_LIMIT, "%llu due occurrences wait to be written (at most %d)",
                       (unsigned long long)waiting, FIRED_MAX);
    }
    bool kick = !s->writing;
    s->writing = true;
    list_push_back(&s->fired, &f->link);
    s->nfired += n;
    for (uint32_t i = 0; i < n; i++) {
        struct plan *p = map_get(&s->plans, fires[i].id);
        if (p != NULL && fires[i].occurrence_us > p->cursor_us) {
            p->cursor_us = fires[i].occurrence_us;
        }
    }
    pthread_mutex_unlock(&s->lock);
    if (kick) {
        loop_post(s->loop, fired_kick, s);
    }
    return TN_OK;
}

/* ---- from occurrences to requests (a helper thread) ------------------------------------------ */
struct batch {
    struct schedules *s;
    tn_task_req reqs[BATCH];
    uint32_t n;
    uint32_t nfires;                /* occurrences in it */
    int64_t room[SCHEDULES_QUEUES]; /* how many more a queue may take */
    char reasons[SCHEDULES_QUEUES][160];
    struct buf texts; /* variables that differ from the plan's */
    struct {
        uint32_t req;
        size_t at, n;
    } vars[BATCH];
    uint32_t nvars;
};

/* "$delay" as a value in the task's variables stands for the delay of the occurrence. */
static void vars_delay(struct batch *b, tn_task_req *req, uint32_t delay_s)
{
    static const char mark[] = "\"$delay\"";
    const char *hit = req->vars.n > 0 ? memmem(req->vars.s, req->vars.n, mark, sizeof mark - 1)
                                      : NULL;
    if (hit == NULL) {
        return;
    }
    size_t at = b->texts.len, before = (size_t)(hit - req->vars.s);
    buf_add(&b->texts, req->vars.s, before);
    buf_addi(&b->texts, delay_s);
    buf_add(&b->texts, hit + sizeof mark - 1, req->vars.n - before - (sizeof mark - 1));
    b->vars[b->nvars].req = b->n;
    b->vars[b->nvars].at = at;
    b->vars[b->nvars++].n = b->texts.len - at;
}

static void add(struct batch *b, const struct plan *p, const tn_fire *f, uint32_t outcome,
                tn_str reason, uint32_t delay_s)
{
    tn_task_req *r = &b->reqs[b->n];
    bool runs = outcome == TN_OCCUR_RUN || outcome == TN_OCCUR_LATE;
    int64_t now = clock_wall_us();
    *r = p->task;
    r->id = (tn_str){NULL, 0};
    r->schedule = p->sched.id;
    r->occurrence_us = f->occurrence_us;
    r->delay_s = delay_s;
    r->outcome = outcome;
    r->reason = reason;
    /* What is caught up begins to wait now; it would have expired long ago. */
    r->trigger_us = outcome == TN_OCCUR_LATE ? now : f->occurrence_us;
    /* The queue goes by this time: what was noticed long after it stays behind what was before it. */
    r->due_us = (outcome == TN_OCCUR_LATE || now - f->due_us > BEHIND_US ? now : f->due_us) +
                (int64_t)delay_s * 1000000;
    if (runs) {
        vars_delay(b, r, delay_s);
    }
    b->n++;
}

/* Requests of one occurrence; 0 = they do not fit any more. Called with the lock. */
static bool add_fire(struct batch *b, const struct plan *p, const tn_fire *f)
{
    static const uint32_t at_once[] = {0};
    const uint32_t *delays = p->sched.ndelays > 0 ? p->sched.delays_s : at_once;
    uint32_t n = p->sched.ndelays > 0 ? p->sched.ndelays : 1, queue = p->task.queue;
    bool runs = f->outcome == TN_OCCUR_RUN || f->outcome == TN_OCCUR_LATE;
    if (b->n + (runs ? n : 1) > BATCH) {
        return false;
    }
    if (runs && p->task.func.n == 0) {
        add(b, p, f, TN_OCCUR_SKIP, TN_STR("its function does not exist"), delays[0]);
    } else if (runs && b->room[queue] < n) {
        b->s->over_limit++;
        add(b, p, f, TN_OCCUR_SKIP, str_of(b->reasons[queue]), delays[0]);
    } else if (!runs) {
        add(b, p, f, f->outcome, f->reason, delays[0]);
    } else {
        b->room[queue] -= n;
        for (uint32_t i = 0; i < n; i++) {
            add(b, p, f, f->outcome, f->reason, delays[i]);
        }
    }
    return true;
}

/* How much more each queue takes (spec 5.3). Called with the lock. */
static void limits(struct batch *b)
{
    const struct schedules *s = b->s;
    for (uint32_t q = 0; q < SCHEDULES_QUEUES; q++) {
        int64_t limit = s->deps.limit_scale * s->by_queue[q];
        limit = limit > s->deps.limit_least ? limit : s->deps.limit_least;
        int64_t waiting = s->deps.waiting(s->deps.user, q);
        b->room[q] = limit - waiting;
        snprintf(b->reasons[q], sizeof b->reasons[q],
                 "queue %u is over its limit: %lld tasks wait in it (at most %lld for schedules)",
                 q, (long long)waiting, (long long)limit);
    }
}

static void batch_done(void *user, tn_rc rc, const tn_task_receipt *receipts, uint32_t n,
                       const tn_err *err);

/* Fills a batch from the front of the line, without taking anything away yet. The lock is held until
 * the texts of the plans have been copied by submit(). */
static void batch_write(void *user)
{
    struct schedules *s = user;
    struct batch *b = malloc(sizeof *b);
    tn_err err = TN_ERR_INIT;
    tn_rc rc = b != NULL ? TN_OK : err_set(&err, TN_E_NOMEM, "no memory for a batch");
    pthread_mutex_lock(&s->lock);
    if (rc == TN_OK) {
        b->s = s;
        b->n = b->nfires = b->nvars = 0;
        buf_init(&b->texts, 0);
        limits(b);
        bool room = true;
        list_for_each(it, &s->fired) {
            struct fired *f = list_entry(it, struct fired, link);
            for (f->taken = 0; room && f->taken < f->n; f->taken += room) {
                if (s->one_by_one && b->nfires == 1) {
                    room = false;
                    break;
                }
                const struct plan *p = map_get(&s->plans, f->fires[f->taken].id);
                /* A schedule that was dropped meanwhile has no occurrences any more. */
                room = p == NULL || add_fire(b, p, &f->fires[f->taken]);
                b->nfires += room;
            }
            if (!room) {
                break;
            }
        }
        for (uint32_t i = 0; i < b->nvars; i++) {
            b->reqs[b->vars[i].req].vars = (tn_str){b->texts.data + b->vars[i].at, b->vars[i].n};
        }
        rc = b->texts.failed ? err_set(&err, TN_E_NOMEM, "no memory for a batch") : TN_OK;
    }
    if (rc == TN_OK && b->n > 0) {
        TN_KILLPOINT("cron-tick");
        rc = s->deps.submit(s->deps.user, b->reqs, b->n, batch_done, s, &err);
    }
    pthread_mutex_unlock(&s->lock);
    bool empty = rc == TN_OK && b->n == 0;
    if (b != NULL) {
        buf_finish(&b->texts);
        free(b);
    }
    if (rc != TN_OK || empty) {
        batch_done(s, rc, NULL, 0, &err);
    }
}

/* ---- afterwards (loop thread, or the helper when nothing was submitted) ----------------------- */
static void fired_again(void *user)
{
    struct schedules *s = user;
    if (s->timer != NULL) {
        loop_timer_set(s->loop, s->timer, clock_mono_ns() + AGAIN_NS);
    }
}

/* One request that can never be written must not hold up all others: after such an error occurrences
 * are written one by one, and the one that fails again is given up. Called with the lock. */
static tn_rc poison(struct schedules *s, tn_rc rc, const tn_err *err)
{
    bool never = rc == TN_E_INVAL;
    if (!never || list_empty(&s->fired)) {
        s->one_by_one = s->one_by_one && rc != TN_OK;
        return rc;
    }
    if (!s->one_by_one) {
        s->one_by_one = true;
        return TN_E_UNAVAIL;
    }
    const struct fired *f = list_entry(s->fired.next, struct fired, link);
    log_error("an occurrence of schedule \"%.*s\" cannot be recorded and is given up: %s",
              (int)f->fires[0].id.n, f->fires[0].id.s, err->msg);
    return TN_OK; /* as if it had been written */
}

static void batch_done(void *user, tn_rc rc, const tn_task_receipt *receipts, uint32_t n,
                       const tn_err *err)
{
    struct schedules *s = user;
    (void)receipts;
    (void)n;
    TN_KILLPOINT("cron-written");
    pthread_mutex_lock(&s->lock);
    rc = poison(s, rc, err);
    s->writing = false;
    list_for_each_safe(it, &s->fired) {
        struct fired *f = list_entry(it, struct fired, link);
        if (rc != TN_OK) {
            f->taken = 0;
            continue;
        }
        s->nfired -= f->taken;
        s->written += f->taken;
        f->n -= f->taken;
        f->fires += f->taken;
        f->taken = 0;
        if (f->n == 0) {
            list_del(&f->link);
            free(f);
        }
    }
    if (rc == TN_OK) {
        s->alerted = false;
    }
    bool more = !list_empty(&s->fired);
    s->writing = more && rc == TN_OK;
    uint64_t waiting = s->nfired;
    pthread_mutex_unlock(&s->lock);
    if (atomic_load(&s->stopping)) {
        return; /* the loop may have gone */
    }
    if (rc != TN_OK) {
        log_warn("%llu due occurrences of schedules are not written yet: %s",
                 (unsigned long long)waiting, err->msg);
        loop_post(s->loop, fired_again, s);
    } else if (more) {
        loop_post(s->loop, fired_kick, s);
    }
}

void fired_kick(void *user)
{
    struct schedules *s = user;
    tn_err err = TN_ERR_INIT;
    if (atomic_load(&s->stopping)) {
        return; /* not on record, so they come again after the start */
    }
    if (s->timer != NULL) {
        loop_timer_set(s->loop, s->timer, clock_mono_ns() + WATCH_NS);
    }
    if (loop_defer(s->loop, batch_write, s, &err) != TN_OK) {
        batch_done(s, err.rc, NULL, 0, &err);
    }
}

/* Every second while something waits: says so once when it takes more than five, and starts writing
 * when nobody else does. */
void fired_watch(void *user)
{
    struct schedules *s = user;
    bool kick = false, late = false;
    pthread_mutex_lock(&s->lock);
    uint64_t waiting = s->nfired;
    int64_t age = 0;
    if (waiting > 0) {
        const struct fired *oldest = list_entry(s->fired.next, struct fired, link);
        age = (int64_t)clock_mono_ns() - oldest->since_ns;
        late = age > LATE_NS && !s->alerted;
        s->alerted = s->alerted || late;
        s->late_alerts += late;
        kick = !s->writing;
        s->writing = true;
    }
    pthread_mutex_unlock(&s->lock);
    if (late) {
        log_alert("%llu due occurrences of schedules are not in the queue after %.1f s; they are "
                  "written as soon as the store takes them",
                  (unsigned long long)waiting, (double)age / 1e9);
    }
    if (kick) {
        fired_kick(s);
    } else if (waiting > 0 && s->timer != NULL) {
        loop_timer_set(s->loop, s->timer, clock_mono_ns() + WATCH_NS);
    }
}

void fired_finish(struct schedules *s)
{
    for (struct list *l; (l = list_pop_front(&s->fired)) != NULL;) {
        free(list_entry(l, struct fired, link));
    }
}
