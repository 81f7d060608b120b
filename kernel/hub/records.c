/* SPDX-License-Identifier: Apache-2.0 */
/* Records (host->records): what happened, gathered in memory and written by a thread of its own.
 *
 * put() copies a row under a lock and goes: no system call but at most two a second that wake the
 * thread. Of each group only the newest `limit` rows wait, because older ones would be removed at
 * once; so a function that is called ten thousand times a second costs as many writes as its limit
 * says and not more. */
#include "kernel/hub/records_int.h"
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"

#include <stdlib.h>
#include <string.h>

#define GATHER_NS (500 * NS_PER_MS)  /* a row waits so long for others */
#define BYTES_MAX ((size_t)32 << 20) /* of all rows that wait */
#define ROW_MAX   ((size_t)2 << 20)
#define GROUP_MAX 512

struct record_group {
    struct list rows;
    uint32_t n;
};

static const tn_entity *entity_of(const struct records *x, const char *name)
{
    for (unsigned i = 0; x != NULL && i < x->nentities; i++) {
        if (strcmp(x->entities[i]->name, name) == 0) {
            return x->entities[i];
        }
    }
    return NULL;
}

int records_has(const struct hub *h, const char *entity)
{
    return entity != NULL && entity_of(h->records, entity) != NULL;
}

/* ---- putting --------------------------------------------------------------------------------- */

static void forget(struct records *x, struct record_group *g, struct record *r)
{
    list_del(&r->link);
    list_del(&r->of_group);
    g->n--;
    x->n--;
    x->bytes -= sizeof *r + r->group_n + r->n;
    free(r);
}

static struct record_group *group_of(struct records *x, const tn_entity *e, tn_str group)
{
    char key[GROUP_MAX + 64];
    size_t n = strlen(e->name);
    memcpy(key, e->name, n + 1);
    memcpy(key + n + 1, group.s, group.n);
    tn_str name = {key, n + 1 + group.n};
    struct record_group *g = map_get(&x->groups, name);
    if (g == NULL && (g = calloc(1, sizeof *g)) != NULL) {
        list_init(&g->rows);
        if (map_put(&x->groups, name, g, NULL) < 0) {
            free(g);
            g = NULL;
        }
    }
    return g;
}

/* Holds the lock. False: it does not fit. */
static int add(struct records *x, struct record *r, tn_str group)
{
    size_t bytes = sizeof *r + r->group_n + r->n;
    struct record_group *g = group_of(x, r->entity, group);
    if (g == NULL) {
        return 0;
    }
    while (g->n >= r->limit) {
        forget(x, g, list_entry(g->rows.next, struct record, of_group));
    }
    if (x->bytes + bytes > BYTES_MAX) {
        return 0;
    }
    list_push_back(&x->rows, &r->link);
    list_push_back(&g->rows, &r->of_group);
    g->n++;
    x->bytes += bytes;
    if (x->n++ == 0) {
        pthread_cond_signal(&x->wake);
    }
    return 1;
}

static void rec_put(void *ctx, const char *entity, tn_str group, uint32_t limit, tn_str row)
{
    struct records *x = host_hub(ctx)->records;
    const tn_entity *e = entity_of(x, entity);
    if (limit == 0 || e == NULL) {
        return;
    }
    if (group.n > GROUP_MAX) {
        group.n = GROUP_MAX;
    }
    struct record *r = row.n <= ROW_MAX ? malloc(sizeof *r + group.n + row.n) : NULL;
    if (r != NULL) {
        r->entity = e;
        r->limit = limit;
        r->group_n = (uint32_t)group.n;
        r->n = row.n;
        memcpy(r->text, group.s != NULL ? group.s : "", group.n);
        memcpy(r->text + group.n, row.s, row.n);
    }
    pthread_mutex_lock(&x->lock);
    if (r == NULL || !add(x, r, (tn_str){r->text, group.n})) {
        x->dropped++;
        free(r);
    }
    pthread_mutex_unlock(&x->lock);
}

static tn_rc rec_flush(void *ctx, tn_err *err)
{
    struct records *x = host_hub(ctx)->records;
    if (x == NULL || !x->started) {
        return err_set(err, TN_E_UNAVAIL, "records are not kept");
    }
    pthread_mutex_lock(&x->lock);
    uint64_t ticket = ++x->wanted;
    pthread_cond_signal(&x->wake);
    while (x->done < ticket && !x->closing) {
        pthread_cond_wait(&x->flushed, &x->lock);
    }
    pthread_mutex_unlock(&x->lock);
    return TN_OK;
}

const tn_host_records records_ops = {
    .size = sizeof records_ops, .put = rec_put, .flush = rec_flush};

/* ---- the thread ------------------------------------------------------------------------------ */

static void until(struct timespec *t, uint64_t at_ns)
{
    t->tv_sec = (time_t)(at_ns / NS_PER_S);
    t->tv_nsec = (long)(at_ns % NS_PER_S);
}

/* Holds the lock: waits for something to do; at_ns: the next cleaning step. */
static void gather(struct records *x, uint64_t at_ns)
{
    struct timespec t;
    until(&t, at_ns);
    while (x->n == 0 && x->wanted == x->done && !x->closing && clock_mono_ns() < at_ns) {
        pthread_cond_timedwait(&x->wake, &x->lock, &t);
    }
    uint64_t full = clock_mono_ns() + GATHER_NS;
    until(&t, full);
    while (x->n > 0 && x->wanted == x->done && !x->closing && x->bytes < BYTES_MAX / 2 &&
           clock_mono_ns() < full) {
        pthread_cond_timedwait(&x->wake, &x->lock, &t);
    }
}

static void take(struct records *x, struct list *ret)
{
    list_init(ret);
    if (!list_empty(&x->rows)) {
        *ret = x->rows;
        ret->next->prev = ret->prev->next = ret;
        list_init(&x->rows);
    }
    map_finish(&x->groups, free);
    map_init(&x->groups);
    x->bytes = x->n = 0;
}

static void *records_main(void *arg)
{
    struct records *x = arg;
    uint64_t every = (uint64_t)x->hub->settings.clean_every.ms * NS_PER_MS;
    uint64_t next = clock_mono_ns() + every;
    unsigned step = 0;
    pthread_mutex_lock(&x->lock);
    for (;;) {
        struct list rows;
        gather(x, next);
        uint64_t ticket = x->wanted;
        int closing = x->closing;
        take(x, &rows);
        pthread_mutex_unlock(&x->lock);
        records_write(x, &rows);
        if (!closing && clock_mono_ns() >= next && !records_clean(x, &step)) {
            step = 0;
            next = clock_mono_ns() + every;
        }
        pthread_mutex_lock(&x->lock);
        x->done = ticket;
        pthread_cond_broadcast(&x->flushed);
        if (closing && list_empty(&x->rows)) {
            break;
        }
    }
    pthread_mutex_unlock(&x->lock);
    return NULL;
}

/* ---- life ------------------------------------------------------------------------------------ */

tn_rc records_create(struct hub *h, tn_err *err)
{
    struct records *x = calloc(1, sizeof *x);
    pthread_condattr_t attr;
    if (x == NULL) {
        return err_set(err, TN_E_NOMEM, "no memory for records");
    }
    x->hub = h;
    h->records = x;
    pthread_mutex_init(&x->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&x->wake, &attr);
    pthread_condattr_destroy(&attr);
    pthread_cond_init(&x->flushed, NULL);
    list_init(&x->rows);
    map_init(&x->groups);
    tn_rc rc = side_open(h->store, "records", 0, NULL, &x->side, err);
    if (rc == TN_OK) {
        int e = pthread_create(&x->thread, NULL, records_main, x);
        x->started = e == 0;
        rc = e != 0 ? err_sys(err, e, "starting the thread for records") : TN_OK;
    }
    return rc;
}

tn_rc records_define(struct hub *h, const char *owner, const tn_entity *entities, tn_err *err)
{
    struct records *x = h->records;
    for (const tn_entity *e = entities; e->name != NULL; e++) {
        if (!(e->flags & TN_ENTITY_RECORDS)) {
            continue;
        }
        const tn_column *c = e->columns;
        while (c->name != NULL && strcmp(c->name, "recordGroup") != 0) {
            c++;
        }
        if (c->name == NULL || !(c->flags & TN_COL_HIDDEN) || !(c->flags & TN_COL_INDEX)) {
            return err_set(err, TN_E_INVAL,
                           "entity %s of records needs a hidden, indexed column "
                           "recordGroup",
                           e->name);
        }
        if (x->nentities == RECORDS_ENTITIES) {
            return err_set(err, TN_E_LIMIT, "more than %d entities of records", RECORDS_ENTITIES);
        }
        x->entities[x->nentities++] = e;
    }
    return side_define(x->side, owner, entities, err);
}

void records_destroy(struct hub *h)
{
    struct records *x = h->records;
    if (x == NULL) {
        return;
    }
    pthread_mutex_lock(&x->lock);
    x->closing = 1;
    pthread_cond_signal(&x->wake);
    pthread_cond_broadcast(&x->flushed);
    pthread_mutex_unlock(&x->lock);
    if (x->started) {
        pthread_join(x->thread, NULL);
    }
    side_close(x->side);
    map_finish(&x->groups, free);
    pthread_cond_destroy(&x->wake);
    pthread_cond_destroy(&x->flushed);
    pthread_mutex_destroy(&x->lock);
    free(x);
    h->records = NULL;
}

void records_status(struct hub *h, struct buf *out)
{
    struct records *x = h->records;
    struct side_stats st = {0};
    if (x == NULL || !x->started) {
        buf_adds(out, "{}");
        return;
    }
    side_stats(x->side, &st);
    pthread_mutex_lock(&x->lock);
    buf_printf(out,
               "{\"pending\":%zu,\"written\":%llu,\"dropped\":%llu,\"refused\":%llu,"
               "\"pruned\":%llu,\"bytes\":%lld}",
               x->n, (unsigned long long)x->written, (unsigned long long)x->dropped,
               (unsigned long long)x->refused, (unsigned long long)x->pruned, (long long)st.bytes);
    pthread_mutex_unlock(&x->lock);
}
