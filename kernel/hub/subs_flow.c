/* SPDX-License-Identifier: Apache-2.0 */
/* Messages: from the trigger into a bounded buffer, in batches into the durable queue (or one by one
 * into calls in memory), and their fate back to the trigger, so that it can acknowledge. */
#include "kernel/base/buf.h"
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/killpoint.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"
#include "kernel/hub/subs_int.h"
#include "kernel/store/jobs.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AGAIN_NS    (NS_PER_S / 5)
#define BATCH_BYTES (8u << 20)

/* ---- into the buffer (the thread of consume()) ----------------------------------------------- */
static struct sub_msg *msg_new(tn_sub *u, tn_str topic, tn_str message)
{
    struct buf b = BUF_INIT(0);
    buf_adds(&b, "{\"topic\":");
    buf_quote(&b, topic);
    buf_adds(&b, ",\"message\":");
    buf_quote(&b, message);
    buf_addc(&b, '}');
    struct sub_msg *m = b.failed ? NULL : malloc(sizeof *m + b.len);
    if (m != NULL) {
        *m = (struct sub_msg){.sub = u, .n = b.len};
        memcpy(m->args, b.data, b.len);
    }
    buf_finish(&b);
    return m;
}

/* (u->lock) */
static void count_slot(tn_sub *u)
{
    uint64_t slot = clock_mono_ns() / SUB_SLOT_NS;
    if (u->slots[slot % SUB_SLOTS].slot != slot) {
        u->slots[slot % SUB_SLOTS].slot = slot;
        u->slots[slot % SUB_SLOTS].n = 0;
    }
    u->slots[slot % SUB_SLOTS].n++;
    u->received++;
}

/* (u->lock) Is there room? Else it is told, or thrown away. */
static tn_rc admit(tn_sub *u, size_t n, uint32_t flags, tn_err *err)
{
    uint32_t messages = u->nwaiting + u->nunder_way;
    if (messages < SUB_MESSAGES && (messages == 0 || u->bytes + n <= SUB_BYTES)) {
        return TN_OK;
    }
    if ((flags & TN_DELIVER_DROP) != 0) {
        count_slot(u);
        u->dropped++;
    } else {
        u->full = true;
    }
    return err_set(err, TN_E_LIMIT, "%u messages of %s wait already: %s", messages, u->topic,
                   u->held[0] != '\0' ? u->held : "they are being stored");
}

static void count_dropped(tn_sub *u)
{
    pthread_mutex_lock(&u->lock);
    count_slot(u);
    u->dropped++;
    pthread_mutex_unlock(&u->lock);
}

/* Escapes make up to six bytes of one: what no queue ever takes must not hold up those behind it. */
static bool storable(tn_sub *u, const struct sub_msg *m)
{
    pthread_mutex_lock(&u->lock);
    size_t bytes = m->n + u->plan->task.vars.n + u->plan->task.label.n;
    pthread_mutex_unlock(&u->lock);
    return bytes <= JOB_BYTES_MAX;
}

tn_rc subs_deliver(struct subs *s, tn_sub *u, tn_str topic, tn_str message, uint64_t tag,
                   uint32_t flags, tn_err *err)
{
    (void)s;
    if (message.n > TN_DELIVER_MAX || topic.n > UINT16_MAX) {
        count_dropped(u);
        return err_set(err, TN_E_INVAL, "a message of %zu bytes is dropped (at most %u)", message.n,
                       TN_DELIVER_MAX);
    }
    pthread_mutex_lock(&u->lock);
    tn_rc rc = admit(u, message.n, flags, err);
    pthread_mutex_unlock(&u->lock);
    if (rc != TN_OK) {
        return (flags & TN_DELIVER_DROP) != 0 ? TN_OK : rc;
    }
    bool text = str_utf8_valid(message) && str_utf8_valid(topic);
    struct sub_msg *m = msg_new(u, topic, message); /* only this thread adds: the room stays */
    if (m == NULL) {
        return err_set(err, TN_E_LIMIT, "no memory for a message of %s", u->topic);
    }
    if (!storable(u, m)) {
        size_t bytes = m->n;
        free(m);
        count_dropped(u);
        return err_set(err, TN_E_INVAL,
                       "a message of %zu bytes is dropped: as JSON it has %zu (at most %u)",
                       message.n, bytes, JOB_BYTES_MAX);
    }
    m->tag = tag;
    m->flags = flags;
    pthread_mutex_lock(&u->lock);
    m->run = u->run;
    count_slot(u);
    u->replaced += !text;
    list_push_back(&u->waiting, &m->link);
    u->nwaiting++;
    u->bytes += m->n;
    pthread_mutex_unlock(&u->lock);
    TN_KILLPOINT("sub-delivered");
    flow_pump(u);
    return TN_OK;
}

/* ---- fates (u->lock) ------------------------------------------------------------------------- */
static void wake(const tn_sub *u)
{
    uint64_t one = 1;
    ssize_t n = write(u->done_fd, &one, sizeof one);
    (void)n;
}

/* It is off both lists already. */
static void settle(tn_sub *u, struct sub_msg *m, tn_rc rc)
{
    u->bytes -= m->n;
    u->accepted += rc == TN_OK;
    u->dropped += rc != TN_OK;
    if ((m->flags & TN_DELIVER_TELL) != 0 && m->run == u->run) {
        m->rc = rc;
        list_push_back(&u->done, &m->link);
        wake(u);
    } else {
        free(m);
    }
}

static void room_made(tn_sub *u)
{
    if (u->full && u->nwaiting + u->nunder_way < SUB_MESSAGES / 10 * 9) {
        u->full = false;
        wake(u);
    }
}

static void hold(tn_sub *u, const char *why)
{
    snprintf(u->held, sizeof u->held, "%.*s", (int)str_utf8_cut(str_of(why), sizeof u->held - 1),
             why);
}

static void put_back(tn_sub *u)
{
    while (!list_empty(&u->under_way)) {
        struct list *last = u->under_way.prev;
        list_del(last);
        list_push_front(&u->waiting, last);
    }
    u->nwaiting += u->nunder_way;
    u->nunder_way = 0;
}

uint32_t subs_done(struct subs *s, tn_sub *u, tn_sub_done *ret, uint32_t cap)
{
    uint64_t count;
    uint32_t n = 0;
    (void)s;
    pthread_mutex_lock(&u->lock);
    ssize_t got = read(u->done_fd, &count, sizeof count);
    (void)got; /* nothing was in it: then nothing is told */
    while (n < cap && !list_empty(&u->done)) {
        struct sub_msg *m = list_entry(list_pop_front(&u->done), struct sub_msg, link);
        ret[n++] = (tn_sub_done){.tag = m->tag, .rc = m->rc};
        free(m);
    }
    if (!list_empty(&u->done)) {
        wake(u);
    }
    pthread_mutex_unlock(&u->lock);
    return n;
}

/* What the broker will send again is not stored a second time; the rest goes its way. */
void flow_run_ended(tn_sub *u)
{
    uint64_t count;
    pthread_mutex_lock(&u->lock);
    u->run++;
    u->full = false;
    u->lag = -1;
    for (struct list *l; (l = list_pop_front(&u->done)) != NULL;) {
        free(list_entry(l, struct sub_msg, link));
    }
    list_for_each_safe(it, &u->waiting) {
        struct sub_msg *m = list_entry(it, struct sub_msg, link);
        if ((m->flags & TN_DELIVER_TELL) != 0) {
            list_del(&m->link);
            u->nwaiting--;
            u->bytes -= m->n;
            free(m);
        }
    }
    ssize_t got = read(u->done_fd, &count, sizeof count);
    (void)got;
    pthread_mutex_unlock(&u->lock);
}

void flow_finish(tn_sub *u)
{
    struct list *const lists[] = {&u->waiting, &u->under_way, &u->done};
    for (int i = 0; i < 3; i++) {
        for (struct list *l; (l = list_pop_front(lists[i])) != NULL;) {
            free(list_entry(l, struct sub_msg, link));
        }
    }
}

/* ---- out of the buffer: durable (any thread) ------------------------------------------------- */
static void arm(void *subs)
{
    struct subs *s = subs;
    if (s->timer != NULL) {
        loop_timer_set(s->loop, s->timer, clock_mono_ns() + AGAIN_NS);
    }
}

static void arm_soon(struct subs *s)
{
    if (!atomic_exchange(&s->armed, true) && !atomic_load(&s->stopped)) {
        loop_post(s->loop, arm, s);
    }
}

static void stored(void *user, tn_rc rc, const tn_task_receipt *receipts, uint32_t n,
                   const tn_err *err);

/* (u->lock) The first ones of those that wait. */
static uint32_t take(tn_sub *u, uint32_t most)
{
    size_t bytes = 0;
    while (u->nunder_way < most && !list_empty(&u->waiting)) {
        struct sub_msg *m = list_entry(u->waiting.next, struct sub_msg, link);
        if (u->nunder_way > 0 && bytes + m->n > BATCH_BYTES) {
            break;
        }
        bytes += m->n;
        list_del(&m->link);
        list_push_back(&u->under_way, &m->link);
        u->nwaiting--;
        u->nunder_way++;
    }
    return u->nunder_way;
}

static void task_of(const tn_sub *u, const struct sub_msg *m, int64_t now_us, tn_task_req *ret)
{
    *ret = u->plan->task;
    ret->args = (tn_str){m->args, m->n};
    ret->trigger_us = now_us;
    if (u->plan->kept && (m->flags & TN_DELIVER_TELL) != 0) {
        ret->expires_ms = 0;
    }
}

/* (u->lock) */
static tn_rc submit(tn_sub *u, tn_err *err)
{
    const struct subs_deps *d = &u->s->deps;
    uint32_t queue = u->plan->task.queue, i = 0;
    int64_t waiting = d->waiting(d->user, queue), now = clock_wall_us();
    if (waiting >= d->waiting_max) {
        return err_set(err, TN_E_LIMIT, "queue %u holds %lld tasks (at most %lld for messages)",
                       queue, (long long)waiting, (long long)d->waiting_max);
    }
    tn_task_req *reqs = calloc(SUB_BATCH, sizeof *reqs);
    if (reqs == NULL) {
        return err_set(err, TN_E_NOMEM, "no memory for a batch of messages");
    }
    take(u, u->single > 0 ? 1 : SUB_BATCH);
    list_for_each(it, &u->under_way) {
        task_of(u, list_entry(it, struct sub_msg, link), now, &reqs[i++]);
    }
    u->submitting = true;
    sub_ref(u);
    tn_rc rc = d->submit(d->user, reqs, i, stored, u, err);
    if (rc != TN_OK) {
        u->submitting = false;
        put_back(u);
        atomic_fetch_sub(&u->refs, 1); /* the caller has one */
    }
    free(reqs);
    return rc;
}

static void pump_calls(void *sub);

void flow_pump(tn_sub *u)
{
    tn_err err = TN_ERR_INIT;
    tn_rc rc = TN_OK;
    bool post = false;
    pthread_mutex_lock(&u->lock);
    if ((u->flags & TN_SUB_MEMORY) != 0) {
        post = !u->posted && u->nwaiting > 0 && !atomic_load(&u->s->stopped);
        u->posted |= post;
    } else if (!u->submitting && u->nwaiting > 0) {
        rc = submit(u, &err);
        hold(u, rc == TN_OK ? "" : err.msg);
    }
    pthread_mutex_unlock(&u->lock);
    if (post) {
        loop_post(u->s->loop, pump_calls, sub_ref(u));
    }
    if (rc != TN_OK) {
        arm_soon(u->s);
    }
}

/* Loop thread. */
static void stored(void *user, tn_rc rc, const tn_task_receipt *receipts, uint32_t n,
                   const tn_err *err)
{
    tn_sub *u = user;
    (void)receipts;
    (void)n;
    TN_KILLPOINT("sub-stored");
    pthread_mutex_lock(&u->lock);
    u->submitting = false;
    bool never = rc == TN_E_INVAL;
    if (never && u->nunder_way == 1) {
        log_error("connector %s: a message of %s cannot be stored and is dropped: %s", u->connector,
                  u->topic, err->msg);
    }
    if (rc == TN_OK || (never && u->nunder_way == 1)) {
        u->single -= u->single > 0;
        for (struct list *l; (l = list_pop_front(&u->under_way)) != NULL;) {
            u->nunder_way--;
            settle(u, list_entry(l, struct sub_msg, link), rc);
        }
        room_made(u);
        rc = TN_OK;
    } else {
        u->single = never ? u->nunder_way : u->single;
        put_back(u);
        if (!never) {
            hold(u, err->msg);
        }
    }
    pthread_mutex_unlock(&u->lock);
    if (rc == TN_OK || never) {
        flow_pump(u);
    } else {
        arm_soon(u->s);
    }
    sub_leave(u);
    sub_unref(u);
}

void flow_retry(void *subs)
{
    struct subs *s = subs;
    tn_sub *some[64];
    size_t n = 0;
    atomic_store(&s->armed, false);
    pthread_mutex_lock(&s->lock);
    list_for_each(it, &s->all) {
        tn_sub *u = list_entry(it, tn_sub, link);
        pthread_mutex_lock(&u->lock);
        if (u->held[0] != '\0' && n < 64) {
            some[n++] = sub_ref(u);
        }
        pthread_mutex_unlock(&u->lock);
    }
    pthread_mutex_unlock(&s->lock);
    for (size_t i = 0; i < n; i++) {
        flow_pump(some[i]);
        sub_unref(some[i]);
    }
    if (n ==
        64) { /* the first ones may keep what is there for themselves; the others get their turn */
        pthread_mutex_lock(&s->lock);
        for (size_t i = 0; i < n / 2; i++) {
            struct list *first = list_pop_front(&s->all);
            list_push_back(&s->all, first);
        }
        pthread_mutex_unlock(&s->lock);
        arm_soon(s);
    }
}

/* ---- out of the buffer: calls in memory (loop thread) ---------------------------------------- */
static void called(void *user, tn_rc rc, const char *why)
{
    struct sub_msg *m = user;
    tn_sub *u = m->sub;
    pthread_mutex_lock(&u->lock);
    list_del(&m->link);
    u->nunder_way--;
    if (rc != TN_OK) { /* it stays at the front */
        list_push_front(&u->waiting, &m->link);
        u->nwaiting++;
        hold(u, why);
    } else {
        hold(u, "");
        settle(u, m, TN_OK);
        room_made(u);
    }
    pthread_mutex_unlock(&u->lock);
    if (rc != TN_OK) {
        arm_soon(u->s);
    } else {
        flow_pump(u);
    }
    sub_leave(u);
    sub_unref(u);
}

static void pump_calls(void *sub)
{
    tn_sub *u = sub;
    const struct subs_deps *d = &u->s->deps;
    pthread_mutex_lock(&u->lock);
    u->posted = false;
    u->held[0] = '\0';
    while (u->nwaiting > 0 && u->nunder_way < SUB_CALLS && u->held[0] == '\0') {
        struct sub_msg *m = list_entry(list_pop_front(&u->waiting), struct sub_msg, link);
        struct sub_plan *p = u->plan;
        tn_task_req req;
        u->nwaiting--;
        u->nunder_way++;
        list_push_back(&u->under_way, &m->link);
        task_of(u, m, clock_wall_us(), &req);
        atomic_fetch_add(&p->refs, 1);
        sub_ref(u);
        pthread_mutex_unlock(&u->lock);
        d->call(d->user, &req, called, m);
        plan_unref(p);
        pthread_mutex_lock(&u->lock);
    }
    pthread_mutex_unlock(&u->lock);
    sub_unref(u);
}
