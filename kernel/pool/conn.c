/* SPDX-License-Identifier: Apache-2.0 */
/* One connection: opening behind the breaker, checking, working, closing. Whose it is: lease.c. */
#include "kernel/pool/pool_int.h"

#include "kernel/base/err.h"
#include "kernel/base/rnd.h"
#include "kernel/base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How often a worker that sleeps on a connection looks whether it is missed. */
#define SEAT_LOOK_NS (200 * NS_PER_MS)

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

/* ---- opening ----------------------------------------------------------------------------------------- */

/* p->lock is not held. Replacing it is staggered, so that connections of one age do not all go at once. */
static tn_rc open_native(struct pool *p, struct pool_conn *c, uint64_t deadline_ns, tn_err *err)
{
    uint64_t now = clock_mono_ns(), limit = now + pool_ns(p->s.connect);
    int whole = deadline_ns == 0 || limit <= deadline_ns;
    tn_err why = TN_ERR_INIT;
    uint32_t noise;
    tn_rc rc = p->ops->open(p->pi.inst, pool_earlier(limit, deadline_ns), &c->native, &why);
    why.msg[sizeof why.msg - 1] = '\0';
    rnd_bytes(&noise, sizeof noise);
    uint64_t life = pool_ns(p->s.life), tenth = life / 10;
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
        *err = why;
        name_it(p, err);
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

tn_rc pool_conn_open(struct pool *p, uint64_t deadline_ns, struct pool_conn **ret, tn_err *err)
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

/* ---- closing ----------------------------------------------------------------------------------------- */

static void destroy(struct pool_conn *c)
{
    struct pool *p = c->pool;
    if (c->native != NULL) {
        p->ops->close(p->pi.inst, c->native, c->broken ? TN_CLOSE_BROKEN : TN_CLOSE_NORMAL);
    }
    seats_give(c);
    free(c);
}

void pool_conn_drop(struct pool_conn *c)
{
    struct pool *p = c->pool;
    pthread_mutex_lock(&p->lock);
    p->count.broken += c->broken != 0;
    take_out(c);
    pthread_mutex_unlock(&p->lock);
    destroy(c);
    pool_unref(p);
}

bool pool_conn_foreign(const struct pool_conn *c)
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
        uint64_t at = c->used_ns + pool_ns(p->s.idle);
        at = p->n > (unsigned)p->s.min ? pool_earlier(at, c->expires_ns) : c->expires_ns;
        at = p->s.max_total != 0 && at > now ? pool_earlier(at, now + SEAT_LOOK_NS) : at;
        if (c->state == POOL_IDLE && (all || at <= now)) {
            take_out(c);
            list_push_back(&out, &c->link);
        } else if (c->state == POOL_IDLE) {
            next = pool_earlier(next, at);
        }
    }
    pthread_mutex_unlock(&p->lock);
    for (struct list *l; (l = list_pop_front(&out)) != NULL;) {
        destroy(list_entry(l, struct pool_conn, link));
    }
    return next;
}

/* ---- checking and working ---------------------------------------------------------------------------- */

bool pool_conn_good(struct pool *p, struct pool_conn *c, uint64_t deadline_ns)
{
    uint64_t now = clock_mono_ns();
    bool good = now < c->expires_ns;
    if (good && now - c->used_ns >= pool_ns(p->s.check) && p->ops->check != NULL) {
        uint64_t limit = pool_earlier(now + pool_ns(p->s.connect), deadline_ns);
        c->state = POOL_OPENING; /* nobody else takes it meanwhile */
        pthread_mutex_unlock(&p->lock);
        good = p->ops->check(p->pi.inst, c->native, limit, NULL) == TN_OK;
        pthread_mutex_lock(&p->lock);
        c->state = POOL_IDLE;
        c->used_ns = clock_mono_ns();
        c->broken = !good;
        p->count.broken += !good;
    }
    if (!good) {
        take_out(c);
        pthread_mutex_unlock(&p->lock);
        destroy(c);
        pthread_mutex_lock(&p->lock);
    }
    return good;
}

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
    uint64_t limit = p->s.query.ms != 0 ? clock_mono_ns() + pool_ns(p->s.query) : 0;
    tn_err why = TN_ERR_INIT;
    if (pool_conn_foreign(c)) {
        return err_set(
            err, TN_E_UNAVAIL,
            "connector `%s`: this connection belongs to the process that forked this one", p->id);
    }
    if (c->broken || c->native == NULL) {
        return err_set(err, TN_E_UNAVAIL,
                       "connector `%s`: the connection of this transaction is lost", p->id);
    }
    deadline_ns = pool_earlier(deadline_ns, limit);
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
    uint64_t limit = pool_earlier(clock_mono_ns() + pool_ns(p->s.connect), deadline_ns);
    tn_rc rc = p->ops->open(p->pi.inst, limit, &native, err);
    if (rc == TN_OK) {
        rc = p->ops->check(p->pi.inst, native, limit, err);
        p->ops->close(p->pi.inst, native, rc == TN_OK ? TN_CLOSE_NORMAL : TN_CLOSE_BROKEN);
    }
    return rc;
}
