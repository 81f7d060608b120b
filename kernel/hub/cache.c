/* SPDX-License-Identifier: Apache-2.0 */
/* The cache on the hub's loop: embedded or remote; who waits in a blocking pop, expiry by timer. */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/list.h"
#include "kernel/hub/cache_int.h"

#include <stdlib.h>

#define WAITERS_MAX 4096
#define SWEEP_NS    NS_PER_S
#define SWEEP_KEYS  10000

struct waiter {
    struct list link;
    struct cache_ask ask;
    uint64_t until_ns; /* UINT64_MAX: for ever */
    size_t n;
    char request[];
};
struct cache {
    struct loop *loop;
    struct cache_db *db;   /* NULL with a Redis server */
    struct remote *remote; /* NULL without */
    struct words words;
    tn_timer *timer;
    struct list waiters; /* first come, first served */
    size_t nwaiters;
};

/* The time of the next look: somebody's patience, or keys that may have to go. */
static void timer_arm(struct cache *c)
{
    uint64_t at = c->db->due.n > 0 ? clock_mono_ns() + SWEEP_NS : 0;
    list_for_each(it, &c->waiters) {
        const struct waiter *w = list_entry(it, struct waiter, link);
        if (w->until_ns != UINT64_MAX && (at == 0 || w->until_ns < at)) {
            at = w->until_ns;
        }
    }
    loop_timer_set(c->loop, c->timer, at);
}

static void waiter_end(struct cache *c, struct waiter *w, tn_str reply)
{
    list_del(&w->link);
    c->nwaiters--;
    w->ask.done(w->ask.user, reply);
    free(w);
}

static void on_timer(void *user)
{
    struct cache *c = user;
    uint64_t now = clock_mono_ns();
    list_for_each_safe(it, &c->waiters) {
        struct waiter *w = list_entry(it, struct waiter, link);
        if (w->until_ns <= now) {
            waiter_end(c, w, TN_STR("*-1\r\n"));
        }
    }
    c->db->now_ms = clock_wall_us() / 1000;
    keys_sweep(c->db, SWEEP_KEYS);
    timer_arm(c);
}

tn_rc cache_create(struct loop *l, const struct cache_conf *conf, struct cache **ret, tn_err *err)
{
    struct cache *c = calloc(1, sizeof *c);
    tn_rc rc = TN_OK;
    if (c == NULL) {
        return err_set(err, TN_E_NOMEM, "no memory for the cache");
    }
    c->loop = l;
    list_init(&c->waiters);
    if (conf->host != NULL && conf->host[0] != '\0') {
        rc = remote_create(l, conf, &c->remote, err);
    } else {
        c->db = cache_db_create(conf->max_bytes);
        rc = c->db != NULL ? loop_timer(l, on_timer, c, &c->timer, err)
                           : err_set(err, TN_E_NOMEM, "no memory for the cache");
    }
    if (rc != TN_OK) {
        cache_stop(c);
        cache_destroy(c);
        return rc;
    }
    *ret = c;
    return TN_OK;
}

void cache_stop(struct cache *c)
{
    if (c == NULL) {
        return;
    }
    while (!list_empty(&c->waiters)) {
        waiter_end(c, list_entry(c->waiters.next, struct waiter, link),
                   TN_STR("-UNAVAIL the platform is stopping\r\n"));
    }
    if (c->timer != NULL) {
        loop_timer_free(c->loop, c->timer);
        c->timer = NULL;
    }
    remote_stop(c->remote);
}

void cache_destroy(struct cache *c)
{
    if (c == NULL) {
        return;
    }
    cache_db_destroy(c->db);
    remote_destroy(c->remote);
    free(c->words.v);
    free(c);
}

/* ---- blocking pops ---------------------------------------------------------------------------------------- */

static bool asks_for(const struct waiter *w, tn_str key)
{
    /* The key is one of the bulk strings: "\n" + key + "\r\n" stands in the request. A value that
     * looks like it costs a look in vain, nothing else. */
    tn_str s = {w->request, w->n};
    for (const char *p; key.n < s.n && (p = memmem(s.s, s.n, key.s, key.n)) != NULL;) {
        if (p > w->request && p[-1] == '\n' && p + key.n < s.s + s.n && p[key.n] == '\r') {
            return true;
        }
        s.n -= (size_t)(p + 1 - s.s);
        s.s = p + 1;
    }
    return false;
}

/* Something was pushed to the list `key`: those who wait for it are served in their order. */
static void serve(struct cache *c, tn_str key, int64_t now_ms)
{
    char *name = str_dup(key); /* the key may go with its last element */
    tn_str s = {name, key.n};
    list_for_each_safe(it, &c->waiters) {
        struct waiter *w = list_entry(it, struct waiter, link);
        struct buf reply = BUF_INIT(0);
        if (name == NULL || !asks_for(w, s)) {
            continue;
        }
        if (w->ask.wanted != NULL && !w->ask.wanted(w->ask.user)) {
            waiter_end(c, w, TN_STR("*-1\r\n"));
            continue;
        }
        cache_db_run(c->db, (tn_str){w->request, w->n}, now_ms, &reply);
        bool served = c->db->block_ms < 0;
        if (served) {
            waiter_end(c, w, buf_str(&reply));
        }
        buf_finish(&reply);
        if (!served) {
            break; /* nothing left of what was pushed */
        }
    }
    free(name);
}

/* False: too many wait already. */
static bool wait_for(struct cache *c, tn_str request, const struct cache_ask *ask)
{
    struct waiter *w = c->nwaiters < WAITERS_MAX ? malloc(sizeof *w + request.n) : NULL;
    if (w == NULL) {
        return false;
    }
    uint64_t ns = (uint64_t)c->db->block_ms * NS_PER_MS;
    w->ask = *ask;
    w->until_ns = ns == 0 ? UINT64_MAX : clock_mono_ns() + ns;
    w->n = request.n;
    memcpy(w->request, request.s, request.n);
    list_push_back(&c->waiters, &w->link);
    c->nwaiters++;
    return true;
}

/* ---- one command ---------------------------------------------------------------------------------------------- */

/* Only commands of the table pass: others (SUBSCRIBE, MULTI, CLIENT …) would change the connection that
 * all scripts share, and the two kinds of cache would differ. */
static void run_remote(struct cache *c, tn_str request, const struct cache_ask *ask)
{
    struct buf reply = BUF_INIT(4096), script = BUF_INIT(0);
    const struct cmd_row *row = cmd_read(&c->words, request, &reply);
    if (row != NULL) {
        bool step = step_request(row, &c->words, &script);
        remote_run(c->remote, step ? buf_str(&script) : request, (row->flags & CMD_BLOCK) != 0,
                   ask);
    } else {
        ask->done(ask->user, buf_str(&reply));
    }
    buf_finish(&script);
    buf_finish(&reply);
}

void cache_run(struct cache *c, tn_str request, const struct cache_ask *ask)
{
    if (c->remote != NULL) {
        run_remote(c, request, ask);
        return;
    }
    struct buf reply = BUF_INIT(0);
    int64_t now_ms = clock_wall_us() / 1000;
    size_t due = c->db->due.n;
    cache_db_run(c->db, request, now_ms, &reply);
    bool waits = c->db->block_ms >= 0;
    tn_str pushed = c->db->pushed;
    if (waits && !wait_for(c, request, ask)) {
        waits = false;
        buf_clear(&reply);
        buf_adds(&reply, "-ERR too many scripts wait for lists already\r\n");
    }
    if (pushed.s != NULL && c->nwaiters > 0) {
        serve(c, pushed, now_ms);
    }
    if (waits || (due == 0 && c->db->due.n > 0)) {
        timer_arm(c);
    }
    if (!waits) {
        ask->done(ask->user,
                  reply.failed ? TN_STR("-OOM the reply is too large\r\n") : buf_str(&reply));
    }
    buf_finish(&reply);
}

void cache_status(const struct cache *c, struct buf *out)
{
    if (c->remote != NULL) {
        remote_status(c->remote, out);
        return;
    }
    buf_printf(out, "{\"type\":\"embedded\",\"keys\":%zu,\"bytes\":%llu,\"limit\":%llu,",
               c->db->keys.used, (unsigned long long)c->db->used, (unsigned long long)c->db->max);
    buf_printf(out, "\"waiting\":%zu,\"commands\":%llu}", c->nwaiters,
               (unsigned long long)c->db->commands);
}
