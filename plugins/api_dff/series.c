/* SPDX-License-Identifier: Apache-2.0 */
/* Figures over time (spec 1.12): sampled every minute, kept for a day in steps of ten minutes. */
#include "watch.h"

#include <pthread.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#define STEP_MS   600000 /* one point */
#define POINTS    144    /* a day */
#define SERIES    1200   /* with labels; further functions are left out */
#define SAMPLE_NS (60ull * 1000000000ull)
#define MB        1048576.0

/* How samples of one step become a point. */
enum fold { LAST, SUM };
struct series {
    char name[32], label[160]; /* label "" = a series without labels */
    float points[POINTS];
};
static struct {
    pthread_mutex_t lock;
    struct series *s;
    unsigned n;
    int64_t step; /* number of the newest point */
    tn_timer *timer;
    json_t *before;          /* figures of the last sample, for differences */
    double cpu_s, workers_s; /* processor times then */
    int64_t at_us;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Holds the lock. NULL: no room. */
static struct series *series_of(const char *name, const char *label)
{
    for (unsigned i = 0; i < all.n; i++) {
        if (strcmp(all.s[i].name, name) == 0 && strcmp(all.s[i].label, label) == 0) {
            return &all.s[i];
        }
    }
    if (all.n == SERIES || strlen(label) >= sizeof all.s->label) {
        return NULL;
    }
    struct series *s = &all.s[all.n++];
    memset(s, 0, sizeof *s);
    snprintf(s->name, sizeof s->name, "%s", name);
    snprintf(s->label, sizeof s->label, "%s", label);
    return s;
}

static void point(const char *name, const char *label, double value, enum fold fold)
{
    struct series *s = series_of(name, label);
    if (s != NULL) {
        float *p = &s->points[all.step % POINTS];
        *p = (float)(fold == SUM ? (double)*p + value : value);
    }
}

/* Points between the last sample and now are zero. */
static void advance(int64_t now_us)
{
    int64_t step = now_us / 1000 / STEP_MS;
    if (step - all.step > POINTS) {
        all.step = step - POINTS;
    }
    while (all.step < step) {
        all.step++;
        for (unsigned i = 0; i < all.n; i++) {
            all.s[i].points[all.step % POINTS] = 0;
        }
    }
}

/* Processor seconds and proportional memory of one process. */
static void process_figures(long long pid, double *cpu_s, double *pss)
{
    char path[64], line[1024];
    unsigned long long user = 0, sys = 0, kb;
    snprintf(path, sizeof path, "/proc/%lld/stat", pid);
    FILE *f = fopen(path, "re");
    if (f != NULL) {
        const char *end = fgets(line, sizeof line, f) != NULL ? strrchr(line, ')') : NULL;
        if (end != NULL && sscanf(end + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
                                  &user, &sys) == 2) {
            *cpu_s += (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
        }
        fclose(f);
    }
    snprintf(path, sizeof path, "/proc/%lld/smaps_rollup", pid);
    f = fopen(path, "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        if (sscanf(line, "Pss: %llu kB", &kb) == 1) {
            *pss += (double)kb * 1024;
            break;
        }
    }
    if (f != NULL) {
        fclose(f);
    }
}

static double number_at(const json_t *v, const char *a, const char *b)
{
    return json_number_value(json_object_get(json_object_get(v, a), b));
}

/* Calls of a function so far, by its row. */
static double calls_of(const json_t *row)
{
    double n = 0;
    const json_t *s = json_object_get(row, "statuses");
    for (size_t i = 0; i < json_array_size(s); i++) {
        n += json_number_value(json_array_get(s, i));
    }
    return n;
}

static double calls_before(const char *id)
{
    return json_number_value(json_object_get(all.before, id));
}

static void sample_functions(const json_t *figures)
{
    const json_t *rows = json_object_get(json_object_get(figures, "functions"), "rows");
    json_t *now = json_object();
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        char id[160];
        snprintf(id, sizeof id, "%s.%s", json_string_value(json_object_get(row, "script")),
                 json_string_value(json_object_get(row, "func")));
        double n = calls_of(row), more = n - calls_before(id);
        if (n > 0) {
            json_object_set_new(now, id, json_real(n));
            point("funcCallCount", id, more > 0 ? more : 0, SUM);
        }
    }
    json_decref(all.before);
    all.before = now;
}

static void sample_queues(void)
{
    json_t *queues = queues_read();
    for (size_t i = 0; i < json_array_size(queues); i++) {
        const json_t *q = json_array_get(queues, i);
        char label[24];
        snprintf(label, sizeof label, "%lld",
                 (long long)json_integer_value(json_object_get(q, "queue")));
        point("workerQueueLength", label, json_number_value(json_object_get(q, "waiting")), LAST);
        point("delayQueueLength", label, json_number_value(json_object_get(q, "delayed")), LAST);
    }
    json_decref(queues);
}

static void sample_processes(const json_t *figures, const char *host, int64_t now_us)
{
    const json_t *broker = json_object_get(json_object_get(figures, "platform"), "broker");
    const json_t *workers = json_object_get(broker, "workers");
    double cpu = 0, pss = 0, hub = number_at(figures, "process", "cpuSeconds");
    double seconds = (double)(now_us - all.at_us) / 1e6;
    for (size_t i = 0; i < json_array_size(workers); i++) {
        process_figures(json_integer_value(json_object_get(json_array_get(workers, i), "pid")),
                        &cpu, &pss);
    }
    if (all.at_us != 0 && seconds > 0) {
        double busy = cpu > all.workers_s ? cpu - all.workers_s : 0; /* workers come and go */
        point("serverCPUPercent", host, (hub - all.cpu_s) / seconds * 100, LAST);
        point("workerCPUPercent", host, busy / seconds * 100, LAST);
    }
    all.cpu_s = hub;
    all.workers_s = cpu;
    double resident = number_at(figures, "process", "residentBytes");
    point("serverMemoryRSS", host, resident / MB, LAST);
    point("workerMemoryPSS", host, pss / MB, LAST);
}

static void sample_files(const json_t *figures)
{
    const char *name;
    json_t *v;
    json_object_foreach(json_object_get(figures, "files"), name, v)
    {
        point("dbTableTotalUsed", name, json_number_value(v) / MB, LAST);
    }
}

static void sample(void *user)
{
    tn_err err = TN_ERR_INIT;
    struct utsname u;
    (void)user;
    json_t *figures = figures_read(&err);
    if (figures == NULL) {
        return;
    }
    const char *host = uname(&u) == 0 ? u.nodename : "localhost";
    int64_t now = api.host->wall_us();
    pthread_mutex_lock(&all.lock);
    advance(now);
    sample_processes(figures, host, now);
    sample_files(figures);
    sample_functions(figures);
    sample_queues();
    all.at_us = now;
    pthread_mutex_unlock(&all.lock);
    json_decref(figures);
}

static void tick(void *user)
{
    (void)user;
    api.host->loop->timer_set(api.host->ctx, all.timer, api.host->now_ns() + SAMPLE_NS);
    api.host->loop->defer(api.host->ctx, sample, NULL,
                          NULL); /* full queue: no sample this minute */
}

/* Timers belong to the loop thread. */
static void start_timer(void *user)
{
    (void)user;
    if (api.host->loop->timer(api.host->ctx, tick, NULL, &all.timer, NULL) == TN_OK) {
        tick(NULL);
    }
}

tn_rc series_start(tn_err *err)
{
    if (api.host->metrics == NULL) {
        return TN_OK;
    }
    all.s = calloc(SERIES, sizeof *all.s);
    if (all.s == NULL) {
        return api.host->fail(err, TN_E_NOMEM, "no memory for series");
    }
    api.host->loop->post(api.host->ctx, start_timer, NULL);
    return TN_OK;
}

static json_t *points_of(const struct series *s)
{
    json_t *list = json_array();
    for (int64_t i = all.step - POINTS + 1; i <= all.step; i++) {
        double v = (double)s->points[(i + POINTS) % POINTS];
        json_array_append_new(list, json_pack("[I, f]", (json_int_t)(i * STEP_MS), v));
    }
    return list;
}

json_t *series_all(void)
{
    static const char *const names[] = {
        "serverCPUPercent",     "serverMemoryRSS",          "serverMemoryHeapTotal",
        "serverMemoryHeapUsed", "serverMemoryHeapExternal", "workerCPUPercent",
        "workerMemoryPSS",      "dbTableTotalUsed",         "dbTableDataUsed",
        "dbTableIndexUsed",     "cacheDBKeyUsed",           "cacheDBMemoryUsed",
        "funcCallCount",        "delayQueueLength",         "workerQueueLength",
        "matchedRouteCount"};
    json_t *out = json_object();
    sample(NULL); /* what has happened since the last minute, too */
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        json_object_set_new(out, names[i], json_object());
    }
    pthread_mutex_lock(&all.lock);
    for (unsigned i = 0; i < all.n; i++) {
        json_object_set_new(json_object_get(out, all.s[i].name), all.s[i].label,
                            points_of(&all.s[i]));
    }
    pthread_mutex_unlock(&all.lock);
    return out;
}
