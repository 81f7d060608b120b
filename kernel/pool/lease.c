/* SPDX-License-Identifier: Apache-2.0 */
/* Who has which connection: choosing one, waiting for one, giving it back, the end of a call. */
#include "kernel/pool/pool_int.h"

#include "kernel/base/err.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- taking ------------------------------------------------------------------------------------------ */

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
    uint64_t began = clock_mono_ns();
    uint64_t until = pool_earlier(began + pool_ns(p->s.acquire), deadline_ns);
    pools_own(p->all);
    pthread_mutex_lock(&p->lock);
    tn_rc rc = TN_OK;
    bool queued = false;
    for (struct pool_conn *c = NULL; rc == TN_OK;) {
        uint32_t heard = seats_heard(p);
        c = choose(p, owner, exclusive);
        if (c != NULL && (c->state == POOL_LEASED || pool_conn_good(p, c, until))) {
            lease(c, owner, where, exclusive);
            *ret = c;
            break;
        }
        if (c != NULL) {
            continue; /* it was closed; look again */
        }
        if (atomic_load(&p->all->cancel_ns) > began) {
            rc = err_set(err, TN_E_CANCELED,
                         "the call was canceled while it waited for a connection");
        } else if (p->n < (unsigned)p->s.max) {
            if (queued || !seats_wanted(p)) {
                rc = pool_conn_open(p, deadline_ns, &c, err);
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

/* ---- giving back ------------------------------------------------------------------------------------- */

void pool_put(struct pool_conn *c)
{
    struct pool *p = c->pool;
    if (pool_conn_foreign(c)) {
        return;
    }
    if (c->broken && !c->exclusive) {
        pool_conn_drop(
            c); /* the call's session is gone with it; the next operation opens another */
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
    if (pool_conn_foreign(c)) {
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
        pool_conn_drop(c);
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
    pools_own(ps);
    size_t n = pools_hold(ps, each);
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
