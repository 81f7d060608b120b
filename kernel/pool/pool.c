/* SPDX-License-Identifier: Apache-2.0 */
/* The pools of a process: finding them by connector and configuration, sweeping, figures. */
#include "kernel/pool/pool_int.h"

#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POOL_LINGER_NS (300 * NS_PER_S) /* a pool that nobody used for so long is given up */

const tn_field pool_fields[] = {
    {TN_FIELD(struct pool_settings, min), .dflt = "0", .min = 0, .max = 64,
     .doc = "Connections a worker keeps open although nobody uses them."},
    {TN_FIELD(struct pool_settings, max), .dflt = "2", .min = 1, .max = 64,
     .doc = "Connections a worker opens at most."},
    {TN_FIELD(struct pool_settings, max_total), .dflt = "0", .min = 0, .max = 1024,
     .doc =
         "Connections that all workers together have at most; 0: max for each worker, and no other limit."},
    {TN_FIELD(struct pool_settings, idle), .dflt = "60s", .min = 0, .max = 86400000,
     .doc = "A connection that was not used for so long is closed."},
    {TN_FIELD(struct pool_settings, life), .dflt = "30m", .min = 1000, .max = 604800000,
     .doc = "Age at which a connection is replaced, give or take a tenth."},
    {TN_FIELD(struct pool_settings, connect), .dflt = "3s", .min = 10, .max = 60000,
     .doc = "Longest time for connecting, TLS and signing in together."},
    {TN_FIELD(struct pool_settings, acquire), .dflt = "5s", .min = 1, .max = 600000,
     .doc = "Longest wait for a connection when all are in use."},
    {TN_FIELD(struct pool_settings, check), .dflt = "15s", .min = 0, .max = 86400000,
     .doc = "A connection that was idle for longer is checked before it is used."},
    {TN_FIELD(struct pool_settings, query), .dflt = "0ms", .min = 0, .max = 3600000,
     .doc = "Longest time of one operation; 0: as long as the call has."},
    {0},
};

tn_rc pools_create(const struct plug_registry *plugs, struct pools **ret, tn_err *err)
{
    struct pools *ps = calloc(1, sizeof *ps);
    if (ps == NULL) {
        return err_set(err, TN_E_NOMEM, "no memory for connection pools");
    }
    pthread_mutex_init(&ps->lock, NULL);
    pthread_mutex_init(&ps->seats_lock, NULL);
    list_init(&ps->all);
    seats_open(ps);
    cancel_own(ps);
    ps->plugs = plugs;
    ps->pid = ps->heir = getpid();
    *ret = ps;
    return TN_OK;
}

const struct plug *pools_plugin(const struct pools *ps, const char *type)
{
    const struct plug *p = plug_find(ps->plugs, TN_KIND_CONNECTOR, type);
    return p != NULL && p->loaded ? p : NULL;
}

/* A process that a script forked has the parent's sockets: a word on them would corrupt the parent's
 * sessions. They are forgotten, not closed; the kernel closes the descriptors with the process. */
void pools_own(struct pools *ps)
{
    pid_t pid = getpid(), was = atomic_load(&ps->heir);
    if (atomic_load(&ps->pid) == pid) {
        return;
    }
    if (was == pid || !atomic_compare_exchange_strong(&ps->heir, &was, pid)) {
        while (atomic_load(&ps->pid) != pid) { /* another thread of the new process is at it */
            sched_yield();
        }
        return;
    }
    pthread_mutex_init(&ps->lock, NULL); /* only this thread came along */
    pthread_mutex_init(&ps->seats_lock, NULL);
    list_init(&ps->seated); /* the locks stayed with the parent */
    atomic_store(&ps->seekers, 0);
    list_for_each(it, &ps->all) {
        struct pool *p = list_entry(it, struct pool, link);
        pthread_mutex_init(&p->lock, NULL);
        pthread_cond_init(&p->freed, NULL);
        pthread_cond_init(&p->calm, NULL);
        list_init(&p->conns);
        p->n = p->waiting = 0;
    }
    cancel_own(ps);
    ps->epoch++;
    atomic_store(&ps->pid, pid);
}

/* ---- configuration ----------------------------------------------------------------------------------- */

static bool known(const tn_plugin *d, const char *key)
{
    const tn_field *tables[] = {d->config, pool_fields};
    for (size_t t = 0; t < 2; t++) {
        const char *name = t == 0 ? key : strncmp(key, "pool.", 5) == 0 ? key + 5 : "";
        for (const tn_field *f = tables[t]; f != NULL && f->name != NULL; f++) {
            if (strcmp(f->name, name) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Copies from `all` what the plugin knows and what is not empty. */
static tn_rc choose(const struct conf *all, const tn_plugin *d, int strict, struct conf *ret,
                    tn_err *err)
{
    for (size_t i = 0; i < all->n; i++) {
        const struct conf_item *it = &all->items[i];
        const char *value = it->joined != NULL ? it->joined : it->value;
        char key[256];
        conf_snake(it->key, key, sizeof key);
        if (value[0] == '\0') {
            continue;
        }
        if (known(d, key)) {
            if (conf_set(ret, key, value, it->where) != TN_OK) {
                return err_set(err, TN_E_NOMEM, "no memory for the configuration");
            }
        } else if (strict) {
            const char *near = d->config != NULL ? conf_did_you_mean(key, d->config) : NULL;
            return err_set(err, TN_E_CONFIG, "connectors of type %s have no setting `%s`%s%s%s",
                           d->name, it->key, near != NULL ? "; did you mean `" : "",
                           near != NULL ? near : "", near != NULL ? "`?" : "");
        }
    }
    return TN_OK;
}

static tn_rc configure(struct pool *p, struct plug *plug, int strict, tn_err *err)
{
    struct conf all, mine;
    struct conf_problems problems = {.text = BUF_INIT(4096)};
    conf_init(&all);
    conf_init(&mine);
    tn_rc rc = conf_read_json(&all, p->id, (tn_str){p->config, p->nconfig}, err);
    if (rc == TN_OK) {
        rc = choose(&all, &plug->desc, strict, &mine, err);
    }
    if (rc == TN_OK) {
        rc = conf_bind(&mine, "pool.", pool_fields, &p->s, &problems);
        if (rc == TN_OK) {
            rc = plug_attach(plug, &mine, "", &p->pi, &problems, err);
        }
        if (rc == TN_E_CONFIG && problems.errors != 0) {
            tn_str told = buf_str(&problems.text);
            told.n -= told.n != 0 && told.s[told.n - 1] == '\n';
            err_set(err, rc, "%.*s", (int)str_utf8_cut(told, 480), told.s);
        }
    }
    if (rc == TN_OK && p->s.min > p->s.max) {
        plug_detach(&p->pi);
        rc = err_set(err, TN_E_CONFIG, "%s: pool.min = %lld is more than pool.max = %lld", p->id,
                     (long long)p->s.min, (long long)p->s.max);
    }
    if (rc == TN_OK && p->s.max_total != 0 && p->s.min > p->s.max_total) {
        plug_detach(&p->pi);
        rc = err_set(err, TN_E_CONFIG, "%s: pool.min = %lld is more than pool.max_total = %lld",
                     p->id, (long long)p->s.min, (long long)p->s.max_total);
    }
    conf_problems_finish(&problems);
    conf_wipe(&mine);
    conf_wipe(&all);
    return rc;
}

static tn_rc pool_new(struct pools *ps, const char *id, struct plug *plug, tn_str config,
                      int strict, struct pool **ret, tn_err *err)
{
    struct pool *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return err_set(err, TN_E_NOMEM, "no memory for the pool of %s", id);
    }
    pthread_condattr_t attr;
    p->id = str_dup(str_of(id));
    p->type = str_dup(str_of(plug->desc.name));
    p->config = str_dup(config);
    p->nconfig = config.n;
    p->all = ps;
    p->ops = plug->ops;
    list_init(&p->conns);
    tn_rc rc = p->id != NULL && p->type != NULL && p->config != NULL
                   ? configure(p, plug, strict, err)
                   : err_set(err, TN_E_NOMEM, "no memory for the pool of %s", id);
    if (rc != TN_OK) {
        free(p->id);
        free(p->type);
        if (p->config != NULL) {
            explicit_bzero(p->config, p->nconfig);
            free(p->config);
        }
        free(p);
        return rc;
    }
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&p->freed, &attr);
    pthread_cond_init(&p->calm, NULL);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&p->lock, NULL);
    *ret = p;
    return TN_OK;
}

void pool_free(struct pool *p)
{
    pool_trim(p, 0, 1);
    if (p->n != 0) {
        log_error("pool %s is given up with %u connections in use", p->id, p->n);
        return;
    }
    plug_detach(&p->pi);
    pthread_cond_destroy(&p->freed);
    pthread_cond_destroy(&p->calm);
    pthread_mutex_destroy(&p->lock);
    explicit_bzero(p->config, p->nconfig);
    free(p->config);
    free(p->id);
    free(p->type);
    free(p);
}

/* ---- finding ----------------------------------------------------------------------------------------- */

/* ps->lock is held. The pool that was not used for longest and that nobody refers to leaves the list. */
static struct pool *take_oldest(struct pools *ps, uint64_t before)
{
    struct pool *oldest = NULL;
    list_for_each(it, &ps->all) {
        struct pool *p = list_entry(it, struct pool, link);
        if (atomic_load(&p->refs) == 0 && p->used_ns < before &&
            (oldest == NULL || p->used_ns < oldest->used_ns)) {
            oldest = p;
        }
    }
    if (oldest != NULL) {
        list_del(&oldest->link);
        ps->n--;
    }
    return oldest;
}

tn_rc pools_get(struct pools *ps, const char *id, const char *type, tn_str config, int strict,
                struct pool **ret, tn_err *err)
{
    struct plug *plug = plug_find(ps->plugs, TN_KIND_CONNECTOR, type);
    if (plug == NULL || !plug->loaded) {
        return err_set(err, TN_E_UNSUPP, "connector `%s`: type `%s` is not supported", id, type);
    }
    pools_own(ps);
    pthread_mutex_lock(&ps->lock);
    struct pool *found = NULL, *out = NULL;
    list_for_each(it, &ps->all) {
        struct pool *p = list_entry(it, struct pool, link);
        if (strcmp(p->id, id) == 0 && strcmp(p->type, type) == 0 && p->nconfig == config.n &&
            memcmp(p->config, config.s, config.n) == 0) {
            found = p;
            break;
        }
    }
    tn_rc rc = TN_OK;
    if (found == NULL && ps->n >= POOL_POOLS_MAX && (out = take_oldest(ps, UINT64_MAX)) == NULL) {
        rc = err_set(err, TN_E_LIMIT,
                     "connector `%s`: this worker already uses %d connectors at once", id,
                     POOL_POOLS_MAX);
    }
    if (found == NULL && rc == TN_OK &&
        (rc = pool_new(ps, id, plug, config, strict, &found, err)) == TN_OK) {
        list_push_back(&ps->all, &found->link);
        ps->n++;
    }
    if (rc == TN_OK) {
        atomic_fetch_add(&found->refs, 1);
        *ret = found;
    }
    pthread_mutex_unlock(&ps->lock);
    if (out != NULL) {
        pool_free(out);
    }
    return rc;
}

int pools_used(const struct pools *ps)
{
    return atomic_load_explicit(&ps->n, memory_order_relaxed) != 0;
}

size_t pools_hold(struct pools *ps, struct pool *each[POOL_POOLS_MAX])
{
    size_t n = 0;
    pthread_mutex_lock(&ps->lock);
    list_for_each(it, &ps->all) {
        struct pool *p = list_entry(it, struct pool, link);
        if (atomic_load(&p->refs) != 0) {
            atomic_fetch_add(&p->refs, 1);
            each[n++] = p;
        }
    }
    pthread_mutex_unlock(&ps->lock);
    return n;
}

void pool_ref(struct pool *p)
{
    atomic_fetch_add(&p->refs, 1);
}

void pool_unref(struct pool *p)
{
    if (p != NULL) {
        atomic_store(&p->used_ns, clock_mono_ns());
        atomic_fetch_sub(&p->refs, 1);
    }
}

uint64_t pools_sweep(struct pools *ps)
{
    uint64_t now = clock_mono_ns(), next = 0;
    pools_own(ps);
    for (struct pool *p; now > POOL_LINGER_NS;) {
        pthread_mutex_lock(&ps->lock);
        p = take_oldest(ps, now - POOL_LINGER_NS);
        pthread_mutex_unlock(&ps->lock);
        if (p == NULL) {
            break;
        }
        pool_free(p);
    }
    list_for_each(it, &ps->all) { /* no call runs, so nobody changes the list */
        uint64_t at = pool_trim(list_entry(it, struct pool, link), now, 0);
        next = pool_earlier(next, at);
    }
    return next;
}

void pools_destroy(struct pools *ps)
{
    if (ps == NULL) {
        return;
    }
    pools_own(ps);
    cancel_finish(ps);
    for (struct list *l; (l = list_pop_front(&ps->all)) != NULL;) {
        pool_free(list_entry(l, struct pool, link));
    }
    seats_close(ps);
    pthread_mutex_destroy(&ps->seats_lock);
    pthread_mutex_destroy(&ps->lock);
    free(ps);
}

/* ---- figures ----------------------------------------------------------------------------------------- */

uint64_t pools_status(struct pools *ps, struct buf *out)
{
    uint64_t sum = 0;
    unsigned k = 0;
    pools_own(ps);
    pthread_mutex_lock(&ps->lock);
    buf_addc(out, '[');
    list_for_each(it, &ps->all) {
        struct pool *p = list_entry(it, struct pool, link);
        unsigned states[POOL_STATES] = {0};
        pthread_mutex_lock(&p->lock);
        list_for_each(c, &p->conns) {
            states[list_entry(c, struct pool_conn, link)->state]++;
        }
        const struct {
            const char *name;
            uint64_t v;
        } figures[] = {
            {"opening", states[POOL_OPENING]},
            {"idle", states[POOL_IDLE]},
            {"leased", states[POOL_LEASED]},
            {"max", (uint64_t)p->s.max},
            {"waiting", p->waiting},
            {"opened", p->count.opened},
            {"failed", p->count.failed},
            {"leases", p->count.leases},
            {"waits", p->count.waits},
            {"acquireTimeouts", p->count.acquire_timeouts},
            {"broken", p->count.broken},
            {"resetFailures", p->count.reset_failures},
            {"leaked", p->count.leaked},
            {"queries", p->count.queries},
            {"queryErrors", p->count.query_errors},
            {"breakerTrips", p->count.breaker_trips},
        };
        buf_adds(out, k++ != 0 ? ",{\"id\":" : "{\"id\":");
        buf_quote(out, str_of(p->id));
        buf_adds(out, ",\"type\":");
        buf_quote(out, str_of(p->type));
        for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
            buf_printf(out, ",\"%s\":%llu", figures[i].name, (unsigned long long)figures[i].v);
            sum = sum * 31 + figures[i].v;
        }
        buf_addc(out, '}');
        pthread_mutex_unlock(&p->lock);
    }
    buf_addc(out, ']');
    pthread_mutex_unlock(&ps->lock);
    return sum;
}

const char *pool_id(const struct pool *p)
{
    return p->id;
}

const tn_plugin *pool_plugin(const struct pool *p)
{
    return &p->pi.plug->desc;
}

const tn_method *pool_methods(const struct pool *p)
{
    return p->ops->methods;
}

struct pool *pool_of(const struct pool_conn *c)
{
    return c->pool;
}
