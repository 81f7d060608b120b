/* SPDX-License-Identifier: Apache-2.0 */
/* Figures of every function, counted on the loop thread without a lock and read from any thread. */
#include "kernel/hub/metrics.h"
#include "kernel/base/err.h"
#include "kernel/base/str.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define FUNCS_MAX 1000
#define SLOTS     4096

/* Upper bounds in microseconds; 1 ms to 5 min. */
static const int64_t bounds[METRICS_BUCKETS - 1] = {
    1000,   2500,    5000,    10000,   25000,    50000,    100000,   250000,
    500000, 1000000, 2500000, 5000000, 10000000, 60000000, 300000000};

/* One writer: a load and a store are enough, and readers never see half a figure. */
typedef _Atomic uint64_t figure;

struct metrics_fn {
    uint64_t hash;
    figure statuses[TN_CALL_STATUSES], buckets[METRICS_BUCKETS], sum_us, wait_us;
    size_t script_n, func_n;
    char names[]; /* script, function */
};

struct metrics {
    pthread_mutex_t lock; /* slots and n against readers */
    struct metrics_fn *slots[SLOTS];
    struct metrics_fn *rest; /* all functions beyond FUNCS_MAX */
    unsigned n;
};

static void add(figure *f, uint64_t n)
{
    atomic_store_explicit(f, atomic_load_explicit(f, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static struct metrics_fn *fn_create(tn_str script, tn_str func, uint64_t hash)
{
    struct metrics_fn *f = calloc(1, sizeof *f + script.n + func.n);
    if (f != NULL) {
        f->hash = hash;
        f->script_n = script.n;
        f->func_n = func.n;
        memcpy(f->names, script.s, script.n);
        memcpy(f->names + script.n, func.s, func.n);
    }
    return f;
}

tn_rc metrics_create(struct metrics **ret, tn_err *err)
{
    struct metrics *m = calloc(1, sizeof *m);
    if (m == NULL || (m->rest = fn_create(TN_STR(""), TN_STR("(others)"), 0)) == NULL) {
        free(m);
        return err_set(err, TN_E_NOMEM, "no memory for metrics");
    }
    pthread_mutex_init(&m->lock, NULL);
    *ret = m;
    return TN_OK;
}

void metrics_destroy(struct metrics *m)
{
    if (m == NULL) {
        return;
    }
    for (size_t i = 0; i < SLOTS; i++) {
        free(m->slots[i]);
    }
    free(m->rest);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

static int is(const struct metrics_fn *f, tn_str script, tn_str func, uint64_t hash)
{
    return f->hash == hash && f->script_n == script.n && f->func_n == func.n &&
           memcmp(f->names, script.s, script.n) == 0 &&
           memcmp(f->names + script.n, func.s, func.n) == 0;
}

struct metrics_fn *metrics_of(struct metrics *m, tn_str script, tn_str func, uint64_t hash)
{
    size_t i = hash & (SLOTS - 1);
    while (m->slots[i] != NULL && !is(m->slots[i], script, func, hash)) {
        i = (i + 1) & (SLOTS - 1);
    }
    if (m->slots[i] != NULL) {
        return m->slots[i];
    }
    struct metrics_fn *f = m->n < FUNCS_MAX ? fn_create(script, func, hash) : NULL;
    if (f == NULL) {
        return m->rest;
    }
    pthread_mutex_lock(&m->lock);
    m->slots[i] = f;
    m->n++;
    pthread_mutex_unlock(&m->lock);
    return f;
}

void metrics_ended(struct metrics_fn *f, uint32_t status, int64_t run_us, int64_t wait_us)
{
    unsigned i = 0;
    if (f == NULL || status >= TN_CALL_STATUSES) {
        return;
    }
    add(&f->statuses[status], 1);
    if (run_us < 0 || status == TN_CALL_EXPIRED || status == TN_CALL_OVERLOAD) {
        return; /* it never ran */
    }
    while (i < METRICS_BUCKETS - 1 && run_us > bounds[i]) {
        i++;
    }
    add(&f->buckets[i], 1);
    add(&f->sum_us, (uint64_t)run_us);
    add(&f->wait_us, wait_us > 0 ? (uint64_t)wait_us : 0);
}

static void write_figures(struct buf *out, const char *key, const figure *f, size_t n)
{
    buf_printf(out, ",\"%s\":[", key);
    for (size_t i = 0; i < n; i++) {
        buf_printf(out, "%s%llu", i > 0 ? "," : "",
                   (unsigned long long)atomic_load_explicit(&f[i], memory_order_relaxed));
    }
    buf_addc(out, ']');
}

static void write_fn(struct buf *out, const struct metrics_fn *f)
{
    buf_adds(out, "{\"script\":");
    buf_quote(out, (tn_str){f->names, f->script_n});
    buf_adds(out, ",\"func\":");
    buf_quote(out, (tn_str){f->names + f->script_n, f->func_n});
    write_figures(out, "statuses", f->statuses, TN_CALL_STATUSES);
    write_figures(out, "buckets", f->buckets, METRICS_BUCKETS);
    buf_printf(out, ",\"sumUs\":%llu,\"waitUs\":%llu}",
               (unsigned long long)atomic_load_explicit(&f->sum_us, memory_order_relaxed),
               (unsigned long long)atomic_load_explicit(&f->wait_us, memory_order_relaxed));
}

void metrics_write(struct metrics *m, struct buf *out)
{
    buf_adds(out, "{\"boundsUs\":[");
    for (size_t i = 0; i < METRICS_BUCKETS - 1; i++) {
        buf_printf(out, "%s%lld", i > 0 ? "," : "", (long long)bounds[i]);
    }
    buf_adds(out, "],\"rows\":[");
    write_fn(out, m->rest);
    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < SLOTS; i++) {
        if (m->slots[i] != NULL) {
            buf_addc(out, ',');
            write_fn(out, m->slots[i]);
        }
    }
    pthread_mutex_unlock(&m->lock);
    buf_adds(out, "]}");
}
