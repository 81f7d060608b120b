/* SPDX-License-Identifier: Apache-2.0 */
/* The life of connections: opening, leasing to a call, working, giving back, closing. */
#include "kernel/pool/pool_int.h"

#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/log.h"
#include "kernel/base/rnd.h"
#include "kernel/base/str.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEAT_LOOK_NS                                                                               \
    (200 *                                                                                         \
     NS_PER_MS) /* how often a worker that sleeps on a connection looks whether it is missed */

static uint64_t earlier(uint64_t a, uint64_t b) /* of two deadlines, 0 = none */
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

static uint64_t ms_ns(tn_dur d)
{
    return (uint64_t)d.ms * NS_PER_MS;
}

/* "connector `id`: " before the text of err; everything else stays. */
static void name_it(const struct pool *p, tn_err *err)
{
    if (err != NULL) {
        tn_err was = *err;
        err_set(err, was.rc, "connector `%s`: %s", p->id,
                was.msg[0] != '\0' ? was.msg : err_rc_name(was.rc));
        err->flags = was.flags;
        err->native = was.native;
        memcpy(err->state, was.state, sizeof err->state);
    }
}

/* ---- opening and closing ----------------------------------------------------------------------------- */

/* p->lock is not held. Replacing it is staggered, so that connections of one age do not all go at once. */
static tn_rc open_native(struct pool *p, struct pool_conn *c, uint64_t deadline_ns, tn_err *err)
{
    uint64_t now = clock_mono_ns(), limit = now + ms_ns(p->s.connect);
    int whole = deadline_ns == 0 || limit <= deadline_ns;
    tn_err why = TN_ERR_INIT;
    uint32_t noise;
    tn_rc rc = p->ops->open(p->pi.inst, earlier(limit, deadline_ns), &c->native, &why);
    rnd_bytes(&noise, sizeof noise);
    uint64_t life = ms_ns(p->s.life), tenth = life / 10;
    c->opened_ns = c->used_ns = clock_mono_ns();
    c->expires_ns = c->opened_ns + life - tenth + (tenth != 0 ? noise % (2 * tenth) : 0);
    pthread_mutex_lock(&p->lock);
    if (rc == TN_OK) {
        p->count.opened++;
        p->failures = 0;
        p->blocked_ns = 0;
    } else {
        p->count.failed++;
        /* A call with little time left says nothing about the server. */
        if (whole && ++p->failures >= BREAKER_FAILURES) {
            p->blocked_ns = c->opened_ns + BREAKER_NS;
            p->count.breaker_trips++;
        }
        snprintf(p->last_error, sizeof p->last_error, "%.*s",
                 (int)str_utf8_cut(str_of(why.msg), sizeof p->last_error - 1), why.msg);
    }
    pthread_mutex_unlock(&p->lock);
    if (rc != TN_OK && err != NULL) {
        why.rc = rc;
        why.msg[sizeof why.msg - 1] = '\0';
        name_it(p, &why);
        *err = why;
    }
    return rc;
}

/* p->lock is held: c leaves the pool and belongs to the caller alone. */
static void take_out(struct pool_conn *c)
{
    list_del(&c->link);
    c->pool->n--;
    pthread_cond_signal(&c->pool->freed);
}

static void destroy(struct pool_conn *c)
{
    struct pool *p = c->pool;
    if (c->native != NULL) {
        p->ops->close(p->pi.inst, c->native, c->broken ? TN_CLOSE_BROKEN : TN_CLOSE_NORMAL);
    }
    seats_give(c);
    free(c);
}

/* Ends a lease by closing its connection. */
static void drop(struct pool_conn *c)
{
    struct pool *p = c->pool;
    pthread_mutex_lock(&p->lock);
    p->count.broken += c->broken != 0;
    take_out(c);
    pthread_mutex_unlock(&p->lock);
    destroy(c);
    pool_unref(p);
}

/* A connection of the process that forked this one: it is not touched any more. */
static bool foreign(const struct pool_conn *c)
{
    pools_own(c->pool->all);
    return c->epoch != c->pool->all->epoch;
}

uint64_t pool_trim(struct pool *p, uint64_t now, int all)
{
    uint64_t next = 0;
    struct list out;
    list_init(&out);
    all = all || seats_wanted(p); /* idle here, missed elsewhere */
    pthread_mutex_lock(&p->lock);
    list_for_each_safe(it, &p->conns) {
        struct pool_conn *c = list_entry(it, struct pool_conn, link);
        uint64_t at = c->used_ns + ms_ns(p->s.idle);
        at = p->n > (unsigned)p->s.min ? earlier(at, c->expires_ns) : c->expires_ns;
        at = p->s.max_total != 0 && at > now ? earlier(at, now + SEAT_LOOK_NS) : at;
        if (c->state == POOL_IDLE && (all || at <= now)) {
            take_out(c);
            list_push_back(&out, &c->link);
        } else if (c->state == POOL_IDLE) {
            next = earlier(next, at);
        }
    }
    pthread_mutex_unlock(&p->lock);
    for (struct list *l; (l = list_pop_front(&out)) != NULL;) {
        destroy(list_entry(l, struct pool_conn, link));
    }
    return next;
}

/* ---- leasing ----------------------------------------------------------------------------------------- */

static void lease(struct pool_conn *c, uint64_t owner, const char *where, int exclusive)
{
    if (c->state != POOL_LEASED) {
        c->leased_ns = clock_mono_ns();
        c->fresh = 1;
        c->pool->count.leases++;
        atomic_fetch_add(&c->pool->refs, 1); /* the caller has one, so it does not grow from 0 */
    }
    c->state = POOL_LEASED;
    c->owner = owner;
    c->busy = 1;
    c->exclusive = exclusive;
    snprintf(c->where, sizeof c->where, "%.*s",
             (int)str_utf8_cut(str_of(where), sizeof c->where - 1), where);
}

/* p->lock is held. The best connection there is: for ordinary work the call's own session, else the idle
 * one that was used last; for exclusive work first one without a session. NULL: none. */
static struct pool_conn *choose(struct pool *p, uint64_t owner, int exclusive)
{
    struct pool_conn *own = NULL, *idle = NULL;
    list_for_each(it, &p->conns) {
        struct pool_conn *c = list_entry(it, struct pool_conn, link);
        if (c->state == POOL_LEASED && c->owner == owner && !c->busy && !c->exclusive) {
            own = c;
        } else if (c->state == POOL_IDLE && (idle == NULL || c->used_ns > idle->used_ns)) {
            idle = c;
        }
    }
    if (exclusive) {
        return idle != NULL || p->n < (unsigned)p->s.max ? idle : own;
    }
    return own != NULL ? own : idle;
}

/* p->lock is held. Who has the connections, for the one who did not get any. */
static tn_rc refuse(struct pool *p, tn_err *err)
{
    struct buf who = BUF_INIT(4096);
    uint64_t now = clock_mono_ns();
    p->count.acquire_timeouts++;
    list_for_each(it, &p->conns) {
        const struct pool_conn *c = list_entry(it, struct pool_conn, link);
        uint64_t ms = (now - c->leased_ns) / NS_PER_MS;
        if (c->state == POOL_OPENING) {
            buf_printf(&who, "%sone is being opened", who.len != 0 ? ", " : "");
        } else {
            buf_printf(&who, "%s%s for %llu.%llu s%s", who.len != 0 ? ", " : "", c->where,
                       (unsigned long long)(ms / 1000), (unsigned long long)(ms % 1000 / 100),
                       c->exclusive ? " (transaction or stream)"
                       : c->busy    ? " (working)"
                                    : "");
        }
    }
    tn_rc rc = err_set(err, TN_E_LIMIT,
                       "connector `%s`: all %u connections of this worker are in use: %.*s; end "
                       "transactions and streams earlier, or raise pool.max",
                       p->id, p->n, (int)str_utf8_cut(buf_str(&who), 300), buf_str(&who).s);
    buf_finish(&who);
    return rc;
}

/* p->lock is held. The seats are other workers', or in other pools of this connector. */
static tn_rc refuse_seat(struct pool *p, tn_err *err)
{
    p->count.acquire_timeouts++;
    return err_set(err, TN_E_LIMIT,
                   "connector `%s`: all %lld connections that pool.max_total allows to all workers "
                   "together are in use, %u of them here; end transactions and streams earlier, or "
                   "raise pool.max_total or pool.acquire",
                   p->id, (long long)p->s.max_total, p->n);
}

static tn_rc breaker(struct pool *p, uint64_t now, tn_err *err)
{
    uint64_t ms = (p->blocked_ns - now) / NS_PER_MS;
    err_set(err, TN_E_UNAVAIL,
            "connector `%s` is not tried for another %llu.%llu s, because the last %d attempts to "
            "connect failed: %s",
            p->id, (unsigned long long)(ms / 1000), (unsigned long long)(ms % 1000 / 100),
            BREAKER_FAILURES, p->last_error);
    if (err != NULL) {
        err->flags = TN_ERR_RETRY;
    }
    return TN_E_UNAVAIL;
}

/* p->lock is held and released meanwhile. No seat is free: TN_OK and NULL. */
static tn_rc open_new(struct pool *p, uint64_t deadline_ns, struct pool_conn **ret, tn_err *err)
{
    uint64_t now = clock_mono_ns();
    if (now < p->blocked_ns) {
        return breaker(p, now, err);
    }
    struct pool_conn *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return err_set(err, TN_E_NOMEM, "no memory for a connection to %s", p->id);
    }
    c->pool = p;
    c->state = POOL_OPENING;
    c->epoch = p->all->epoch;
    if (!seats_take(c)) {
        free(c);
        *ret = NULL;
        return TN_OK;
    }
    list_push_back(&p->conns, &c->link);
    p->n++;
    if (p->blocked_ns != 0) {
        p->blocked_ns = now + BREAKER_NS; /* half open: one tries, the others go on waiting */
    }
    pthread_mutex_unlock(&p->lock);
    tn_rc rc = open_native(p, c, deadline_ns, err);
    pthread_mutex_lock(&p->lock);
    if (rc != TN_OK) {
        take_out(c);
        seats_give(c);
        free(c);
        return rc;
    }
    *ret = c;
    return TN_OK;
}

/* p->lock is held and released meanwhile: 1 when c, which was idle, may be used; 0: it was closed. */
static int still_good(struct pool *p, struct pool_conn *c, uint64_t deadline_ns)
{
    uint64_t now = clock_mono_ns();
    if (now >= c->expires_ns) {
        take_out(c);
        pthread_mutex_unlock(&p->lock);
        destroy(c);
        pthread_mutex_lock(&p->lock);
        return 0;
    }
    if (now - c->used_ns < ms_ns(p->s.check) || p->ops->check == NULL) {
        return 1;
    }
    c->state = POOL_OPENING; /* nobody else takes it meanwhile */
    pthread_mutex_unlock(&p->lock);
    tn_rc rc = p->ops->check(p->pi.inst, c->native, earlier(now + ms_ns(p->s.connect), deadline_ns),
                             NULL);
    pthread_mutex_lock(&p->lock);
    if (rc == TN_OK) {
        c->state = POOL_IDLE;
        c->used_ns = clock_mono_ns();
        return 1;
    }
    c->broken = 1;
    p->count.broken++;
    take_out(c);
    pthread_mutex_unlock(&p->lock);
    destroy(c);
    pthread_mutex_lock(&p->lock);
    return 0;
}

/* p->lock is held. TN_E_TIMEOUT: until has passed. */
static tn_rc wait_free(struct pool *p, uint64_t until)
{
    struct timespec ts = {(time_t)(until / NS_PER_S), (long)(until % NS_PER_S)};
    p->waiting++;
    int e = pthread_cond_timedwait(&p->freed, &p->lock, &ts);
    p->waiting--;
    return e == ETIMEDOUT ? TN_E_TIMEOUT : TN_OK;
}

static tn_rc wait_counted(struct pool *p, uint64_t until)
{
    p->count.waits++;
    return wait_free(p, until);
}

/* Pools of the same connector in this worker, with other options: what is idle there has a seat as well. */
static void close_idle_siblings(struct pool *p)
{
    struct pool *each[POOL_POOLS_MAX];
    size_t n = 0;
    pthread_mutex_lock(&p->all->lock);
    list_for_each(it, &p->all->all) {
        struct pool *q = list_entry(it, struct pool, link);
        if (q != p && strcmp(q->id, p->id) == 0) {
            atomic_fetch_add(&q->refs, 1); /* it stays while we work on it */
            each[n++] = q;
        }
    }
    pthread_mutex_unlock(&p->all->lock);
    for (size_t i = 0; i < n; i++) {
        pool_trim(each[i], clock_mono_ns(), 1);
        atomic_fetch_sub(&each[i]->refs, 1);
    }
}

/* p->lock is held and released meanwhile. No seat was free when the bell stood at `heard`. Who has begun to wait goes before who
 * comes. False: until has passed. */
static bool wait_seat(struct pool *p, uint32_t heard, uint64_t until, bool first)
{
    if (clock_mono_ns() >= until) {
        return false;
    }
    p->count.waits += first;
    p->waiting++;
    atomic_fetch_add(&p->all->seekers, 1);
    seats_wait(p, true);
    pthread_mutex_unlock(&p->lock);
    close_idle_siblings(p);
    seats_sleep(p, heard, until);
    pthread_mutex_lock(&p->lock);
    atomic_fetch_sub(&p->all->seekers, 1);
    p->waiting--;
    return true;
}

tn_rc pool_acquire(struct pool *p, uint64_t owner, const char *where, int exclusive,
                   uint64_t deadline_ns, struct pool_conn **ret, tn_err *err)
{
    uint64_t until = earlier(clock_mono_ns() + ms_ns(p->s.acquire), deadline_ns);
    pools_own(p->all);
    pthread_mutex_lock(&p->lock);
    tn_rc rc = TN_OK;
    bool queued = false;
    for (struct pool_conn *c = NULL; rc == TN_OK;) {
        uint32_t heard = seats_heard(p);
        c = choose(p, owner, exclusive);
        if (c != NULL && (c->state == POOL_LEASED || still_good(p, c, until))) {
            lease(c, owner, where, exclusive);
            *ret = c;
            break;
        }
        if (c != NULL) {
            continue; /* it was closed; look again */
        }
        if (p->n < (unsigned)p->s.max) {
            if (queued || !seats_wanted(p)) {
                rc = open_new(p, deadline_ns, &c, err);
            }
            if (rc == TN_OK && c != NULL) {
                lease(c, owner, where, exclusive);
                *ret = c;
                break;
            }
            if (rc == TN_OK && !wait_seat(p, heard, until, !queued)) {
                rc = refuse_seat(p, err);
            }
            queued = true;
        } else if (clock_mono_ns() >= until || wait_counted(p, until) != TN_OK) {
            c = choose(p, owner, exclusive);
            rc = c == NULL && p->n >= (unsigned)p->s.max ? refuse(p, err) : TN_OK;
        }
    }
    if (queued) {
        seats_wait(p, false); /* another thread of ours that waits says so again */
    }
    pthread_mutex_unlock(&p->lock);
    return rc;
}

void pool_put(struct pool_conn *c)
{
    struct pool *p = c->pool;
    if (foreign(c)) {
        return;
    }
    if (c->broken && !c->exclusive) {
        drop(c); /* the call's session is gone with it; the next operation opens another */
        return;
    }
    pthread_mutex_lock(&p->lock);
    c->busy = 0;
    c->used_ns = clock_mono_ns();
    pthread_cond_signal(&p->freed);
    pthread_mutex_unlock(&p->lock);
    seats_idle(p);
}

void pool_release(struct pool_conn *c)
{
    struct pool *p = c->pool;
    tn_err err = TN_ERR_INIT;
    if (foreign(c)) {
        return;
    }
    if (!c->broken && p->ops->reset(p->pi.inst, c->native, &err) != TN_OK) {
        log_info("connector `%s`: a connection is closed because it cannot be reset: %s", p->id,
                 err.msg);
        c->broken = 1;
        pthread_mutex_lock(&p->lock);
        p->count.reset_failures++;
        pthread_mutex_unlock(&p->lock);
    }
    if (c->broken || seats_wanted(p)) {
        drop(c);
        return;
    }
    pthread_mutex_lock(&p->lock);
    c->state = POOL_IDLE;
    c->busy = c->exclusive = 0;
    c->owner = 0;
    c->used_ns = clock_mono_ns();
    pthread_cond_signal(&p->freed);
    pthread_mutex_unlock(&p->lock);
    seats_idle(p);
    pool_unref(p);
}

/* One that the call holds and nobody works on; it is marked, so that each is found once. */
static struct pool_conn *take_leased(struct pool *p, uint64_t owner)
{
    struct pool_conn *found = NULL;
    pthread_mutex_lock(&p->lock);
    list_for_each(it, &p->conns) {
        struct pool_conn *c = list_entry(it, struct pool_conn, link);
        if (c->state == POOL_LEASED && c->owner <= owner && !c->busy) {
            c->busy = 1; /* an older owner: a thread that outlived its call */
            p->count.leaked += c->exclusive != 0;
            found = c;
            break;
        }
    }
    pthread_mutex_unlock(&p->lock);
    return found;
}

void pools_end(struct pools *ps, uint64_t owner,
               void (*leaked)(void *user, const char *id, const char *where), void *user)
{
    struct pool *each[POOL_POOLS_MAX];
    size_t n = 0;
    pools_own(ps);
    pthread_mutex_lock(&ps->lock);
    list_for_each(it, &ps->all) {
        struct pool *p = list_entry(it, struct pool, link);
        if (atomic_load(&p->refs) != 0) {
            atomic_fetch_add(&p->refs, 1); /* it stays while we work on it */
            each[n++] = p;
        }
    }
    pthread_mutex_unlock(&ps->lock);
    for (size_t i = 0; i < n; i++) {
        for (struct pool_conn *c; (c = take_leased(each[i], owner)) != NULL;) {
            if (c->exclusive) {
                leaked(user, each[i]->id, c->where);
            }
            pool_release(c);
        }
        pool_unref(each[i]);
    }
}

/* ---- working ----------------------------------------------------------------------------------------- */

/* The connection had died while it was idle; the call has no state on it. */
static tn_rc reopen(struct pool_conn *c, uint64_t deadline_ns, tn_err *err)
{
    struct pool *p = c->pool;
    p->ops->close(p->pi.inst, c->native, TN_CLOSE_BROKEN);
    c->native = NULL;
    pthread_mutex_lock(&p->lock);
    p->count.broken++;
    pthread_mutex_unlock(&p->lock);
    tn_rc rc = open_native(p, c, deadline_ns, err);
    c->broken = rc != TN_OK;
    return rc;
}

static tn_rc work(struct pool_conn *c, uint32_t method, const tn_args *args, uint64_t deadline_ns,
                  tn_result *ret, tn_err *err)
{
    const struct pool *p = c->pool;
    cancel_from_here(c);
    tn_rc rc = p->ops->invoke(p->pi.inst, c->native, method, args, deadline_ns, ret, err);
    cancel_to_here(c);
    return rc;
}

tn_rc pool_invoke(struct pool_conn *c, uint32_t method, const tn_args *args, uint64_t deadline_ns,
                  tn_result *ret, tn_err *err)
{
    struct pool *p = c->pool;
    const uint32_t dead = TN_ERR_RETRY | TN_ERR_CONN_BROKEN;
    uint64_t limit = p->s.query.ms != 0 ? clock_mono_ns() + ms_ns(p->s.query) : 0;
    tn_err why = TN_ERR_INIT;
    if (foreign(c)) {
        return err_set(
            err, TN_E_UNAVAIL,
            "connector `%s`: this connection belongs to the process that forked this one", p->id);
    }
    if (c->broken || c->native == NULL) {
        return err_set(err, TN_E_UNAVAIL,
                       "connector `%s`: the connection of this transaction is lost", p->id);
    }
    deadline_ns = earlier(deadline_ns, limit);
    tn_rc rc = work(c, method, args, deadline_ns, ret, &why);
    if (rc != TN_OK && (why.flags & dead) == dead && c->fresh) {
        c->fresh = 0;
        rc = reopen(c, deadline_ns, &why);
        if (rc == TN_OK) {
            why = (tn_err)TN_ERR_INIT;
            rc = work(c, method, args, deadline_ns, ret, &why);
        } else if (err != NULL) {
            *err = why; /* it names the connector already */
            return rc;
        }
    }
    c->fresh = 0;
    c->broken |= rc != TN_OK && (why.flags & TN_ERR_CONN_BROKEN) != 0;
    pthread_mutex_lock(&p->lock);
    p->count.queries++;
    p->count.query_errors += rc != TN_OK;
    pthread_mutex_unlock(&p->lock);
    if (rc != TN_OK && err != NULL) {
        why.rc = rc;
        why.msg[sizeof why.msg - 1] = '\0';
        *err = why;
        name_it(p, err);
    }
    return rc;
}

tn_rc pool_emit(struct pool *p, const tn_result *result, tn_sink *sink, tn_err *err)
{
    return p->ops->emit(p->pi.inst, result, sink, err);
}

void pool_result_free(struct pool *p, tn_result *result)
{
    p->ops->result_free(p->pi.inst, result);
}

tn_rc pool_probe(struct pool *p, uint64_t deadline_ns, tn_err *err)
{
    void *native = NULL;
    uint64_t limit = earlier(clock_mono_ns() + ms_ns(p->s.connect), deadline_ns);
    tn_rc rc = p->ops->open(p->pi.inst, limit, &native, err);
    if (rc == TN_OK) {
        rc = p->ops->check(p->pi.inst, native, limit, err);
        p->ops->close(p->pi.inst, native, rc == TN_OK ? TN_CLOSE_NORMAL : TN_CLOSE_BROKEN);
    }
    return rc;
}
