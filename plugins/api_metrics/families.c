/* SPDX-License-Identifier: Apache-2.0 */
/* The metric families: simple ones are rows of a table, those with labels a function each. */
#include "out.h"

#include <stdio.h>
#include <string.h>

static const char *const statuses[TN_CALL_STATUSES] = {
    "success", "failure", "timeout", "expired", "skipped", "crashed", "overload", "canceled"};

static double number(const json_t *v)
{
    return json_is_boolean(v) ? json_is_true(v) : json_number_value(v);
}

/* The member at "a/b/c". */
static const json_t *at(const json_t *v, const char *path)
{
    char key[64];
    while (v != NULL && *path != '\0') {
        size_t n = strcspn(path, "/");
        snprintf(key, sizeof key, "%.*s", (int)n, path);
        v = json_object_get(v, key);
        path += n + (path[n] == '/');
    }
    return v;
}

/* ---- one number each -------------------------------------------------------------------------- */
/* clang-format off */
static const struct {
    const char *name, *type, *path, *help;
    double unit;
} plain[] = {
    {"tenon_up", "gauge", "ready", "1 while calls are taken", 1},
    {"tenon_calls_in_use", "gauge", "platform/broker/calls/inUse", "Calls that the broker holds", 1},
    {"tenon_calls_queued", "gauge", "platform/broker/calls/queued", "Calls that wait for a worker", 1},
    {"tenon_calls_running", "gauge", "platform/broker/calls/claimed", "Calls that workers have", 1},
    {"tenon_worker_forks_total", "counter", "platform/broker/forks", "Workers that were started", 1},
    {"tenon_worker_kills_total", "counter", "platform/broker/kills", "Workers that were killed at a limit", 1},
    {"tenon_worker_crashes_total", "counter", "platform/broker/crashes", "Workers that died by themselves", 1},
    {"tenon_calls_requeued_total", "counter", "platform/broker/requeues", "Calls taken back from a worker", 1},
    {"tenon_code_generation", "gauge", "platform/generation", "Number of publications in this process", 1},
    {"tenon_http_requests_open", "gauge", "platform/exchanges", "Requests between frontend and api", 1},
    {"tenon_records_pending", "gauge", "records/pending", "Records that wait to be written", 1},
    {"tenon_records_written_total", "counter", "records/written", "Records written", 1},
    {"tenon_records_dropped_total", "counter", "records/dropped", "Records that did not fit or could not be written", 1},
    {"tenon_records_refused_total", "counter", "records/refused", "Records that the store refused", 1},
    {"tenon_records_pruned_total", "counter", "records/pruned", "Records removed by count, age or bytes", 1},
    {"process_cpu_seconds_total", "counter", "process/cpuSeconds", "Processor time of the hub", 1},
    {"process_resident_memory_bytes", "gauge", "process/residentBytes", "Resident memory of the hub", 1},
    {"process_open_fds", "gauge", "process/openFds", "Open descriptors of the hub", 1},
    {"process_max_fds", "gauge", "process/maxFds", "Descriptors that the hub may open", 1},
    {"process_start_time_seconds", "gauge", "process/startTimeMs", "When the hub began", 1e-3},
};
/* clang-format on */

static void write_plain(struct out *o, const json_t *all)
{
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        const json_t *v = at(all, plain[i].path);
        if (v != NULL) {
            out_family(o, plain[i].name, plain[i].type, plain[i].help);
            out_sample(o, plain[i].name, NULL, NULL, 0, number(v) * plain[i].unit);
        }
    }
}

/* A family with one label, a sample for each member of an object. */
static void write_members(struct out *o, const json_t *from, const char *name, const char *type,
                          const char *help, const char *label)
{
    const char *key;
    json_t *v;
    if (json_object_size(from) == 0) {
        return;
    }
    out_family(o, name, type, help);
    json_object_foreach((json_t *)(uintptr_t)from, key, v)
    {
        out_sample(o, name, NULL, &(struct label){label, key}, 1, number(v));
    }
}

/* ---- functions -------------------------------------------------------------------------------- */
static void func_labels(const json_t *row, struct label ret[3])
{
    ret[0] = (struct label){"script", json_string_value(json_object_get(row, "script"))};
    ret[1] = (struct label){"func", json_string_value(json_object_get(row, "func"))};
    ret[2] = (struct label){NULL, NULL};
}

static bool is_used(const json_t *row)
{
    const json_t *s = json_object_get(row, "statuses");
    double n = 0;
    for (size_t i = 0; i < json_array_size(s); i++) {
        n += number(json_array_get(s, i));
    }
    return n > 0;
}

static void write_calls(struct out *o, const json_t *rows)
{
    static const char name[] = "tenon_function_calls_total";
    out_family(o, name, "counter", "Ended calls of published functions by outcome");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i), *s = json_object_get(row, "statuses");
        struct label l[3];
        func_labels(row, l);
        for (size_t k = 0; k < TN_CALL_STATUSES; k++) {
            double n = number(json_array_get(s, k));
            if (n > 0) { /* an outcome that never was is left out: fewer series */
                l[2] = (struct label){"status", statuses[k]};
                out_sample(o, name, NULL, l, 3, n);
            }
        }
    }
}

static void write_histogram(struct out *o, const char *name, const json_t *row,
                            const json_t *bounds)
{
    const json_t *buckets = json_object_get(row, "buckets");
    double sum = 0;
    struct label l[3];
    func_labels(row, l);
    for (size_t i = 0; i < json_array_size(buckets); i++) {
        char le[32] = "+Inf";
        if (i < json_array_size(bounds)) {
            snprintf(le, sizeof le, "%g", number(json_array_get(bounds, i)) / 1e6);
        }
        sum += number(json_array_get(buckets, i));
        l[2] = (struct label){"le", le};
        out_sample(o, name, "_bucket", l, 3, sum);
    }
    out_sample(o, name, "_sum", l, 2, number(json_object_get(row, "sumUs")) / 1e6);
    out_sample(o, name, "_count", l, 2, sum);
}

static void write_functions(struct out *o, const json_t *functions)
{
    static const char run[] = "tenon_function_duration_seconds";
    static const char wait[] = "tenon_function_wait_seconds_total";
    const json_t *rows = json_object_get(functions, "rows");
    write_calls(o, rows);
    out_family(o, run, "histogram", "Execution time of calls that ran");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        if (is_used(json_array_get(rows, i))) {
            write_histogram(o, run, json_array_get(rows, i),
                            json_object_get(functions, "boundsUs"));
        }
    }
    out_family(o, wait, "counter", "Time that calls waited for a worker");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        if (is_used(row)) {
            struct label l[3];
            func_labels(row, l);
            out_sample(o, wait, NULL, l, 2, number(json_object_get(row, "waitUs")) / 1e6);
        }
    }
}

/* ---- workers and queues ------------------------------------------------------------------------ */
static void write_groups(struct out *o, const json_t *groups)
{
    static const struct {
        const char *member, *name, *help;
    } f[] = {{"workers", "tenon_workers", "Worker processes of a group"},
             {"busy", "tenon_workers_busy", "Workers that run a call"},
             {"idle", "tenon_workers_idle", "Workers that wait for a call"},
             {"workersMax", "tenon_workers_limit", "Workers that a group may have"},
             {"queued", "tenon_group_queued", "Calls that wait in a group"}};
    for (size_t k = 0; k < sizeof f / sizeof f[0]; k++) {
        out_family(o, f[k].name, "gauge", f[k].help);
        for (size_t i = 0; i < json_array_size(groups); i++) {
            const json_t *g = json_array_get(groups, i);
            struct label l = {"group", json_string_value(json_object_get(g, "name"))};
            out_sample(o, f[k].name, NULL, &l, 1, number(json_object_get(g, f[k].member)));
        }
    }
}

static void write_queues(struct out *o, const json_t *status)
{
    static const struct {
        const char *member, *name, *help;
    } f[] = {{"waiting", "tenon_queue_waiting", "Durable tasks that are due"},
             {"delayed", "tenon_queue_delayed", "Durable tasks that are due later"},
             {"running", "tenon_queue_running", "Durable tasks that run"},
             {"limit", "tenon_queue_limit", "Durable tasks that may wait, 0 = no limit"}};
    const json_t *queues = json_is_array(status) ? status : json_object_get(status, "queues");
    for (size_t k = 0; k < sizeof f / sizeof f[0] && json_array_size(queues) > 0; k++) {
        out_family(o, f[k].name, "gauge", f[k].help);
        for (size_t i = 0; i < json_array_size(queues); i++) {
            char text[24];
            const json_t *q = json_array_get(queues, i);
            snprintf(text, sizeof text, "%lld",
                     (long long)json_integer_value(json_object_get(q, "queue")));
            out_sample(o, f[k].name, NULL, &(struct label){"queue", text}, 1,
                       number(json_object_get(q, f[k].member)));
        }
    }
}

static void write_pools(struct out *o, const json_t *pools)
{
    static const struct {
        const char *name, *type, *help, *label;
        const char *members[9];
    } f[] = {
        {"tenon_pool_connections",
         "gauge",
         "Connections that workers hold",
         "state",
         {"opening", "idle", "leased"}},
        {"tenon_pool_waiting", "gauge", "Calls that wait for a connection", NULL, {"waiting"}},
        {"tenon_pool_leases_total", "counter", "Connections lent to calls", NULL, {"leases"}},
        {"tenon_pool_queries_total", "counter", "Operations on connections", NULL, {"queries"}},
        {"tenon_pool_events_total",
         "counter",
         "What happened to connections",
         "event",
         {"opened", "failed", "waits", "acquireTimeouts", "broken", "resetFailures", "leaked",
          "queryErrors", "breakerTrips"}}};
    const char *id;
    json_t *pool;
    for (size_t k = 0; k < sizeof f / sizeof f[0] && json_object_size(pools) > 0; k++) {
        out_family(o, f[k].name, f[k].type, f[k].help);
        json_object_foreach((json_t *)(uintptr_t)pools, id, pool)
        {
            for (size_t i = 0; i < 9 && f[k].members[i] != NULL; i++) {
                struct label l[2] = {{"pool", id}, {f[k].label, f[k].members[i]}};
                out_sample(o, f[k].name, NULL, l, f[k].label != NULL ? 2 : 1,
                           number(json_object_get(pool, f[k].members[i])));
            }
        }
    }
}

/* Resident memory and processor time of the workers, from their pids. */
static void write_worker_processes(struct out *o, const json_t *workers)
{
    double resident = 0, ticks = 0;
    for (size_t i = 0; i < json_array_size(workers); i++) {
        char path[64], line[1024];
        long long pages = 0;
        unsigned long long user = 0, sys = 0;
        long long pid = json_integer_value(json_object_get(json_array_get(workers, i), "pid"));
        snprintf(path, sizeof path, "/proc/%lld/statm", pid);
        FILE *f = fopen(path, "re");
        if (f != NULL) {
            resident += fscanf(f, "%*d %lld", &pages) == 1 ? (double)pages : 0;
            fclose(f);
        }
        snprintf(path, sizeof path, "/proc/%lld/stat", pid);
        f = fopen(path, "re");
        if (f != NULL) {
            const char *end = fgets(line, sizeof line, f) != NULL ? strrchr(line, ')') : NULL;
            if (end != NULL &&
                sscanf(end + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user,
                       &sys) == 2) {
                ticks += (double)(user + sys);
            }
            fclose(f);
        }
    }
    out_family(o, "tenon_workers_resident_memory_bytes", "gauge",
               "Resident memory of all workers, shared pages counted in each");
    out_sample(o, "tenon_workers_resident_memory_bytes", NULL, NULL, 0, resident * 4096);
    out_family(o, "tenon_workers_cpu_seconds", "gauge", "Processor time of the workers that live");
    out_sample(o, "tenon_workers_cpu_seconds", NULL, NULL, 0, ticks / 100);
}

void families_write(struct out *o, const json_t *all, const json_t *queues)
{
    write_plain(o, all);
    write_functions(o, json_object_get(all, "functions"));
    write_groups(o, at(all, "platform/broker/groups"));
    write_members(o, at(all, "platform/broker/totals"), "tenon_calls_total", "counter",
                  "Ended calls of every kind by outcome", "status");
    write_queues(o, queues);
    write_pools(o, json_object_get(all, "pools"));
    write_worker_processes(o, at(all, "platform/broker/workers"));
    write_members(o, json_object_get(all, "files"), "tenon_store_file_bytes", "gauge",
                  "Size of a file of the store", "file");
    write_members(o, at(all, "platform/counters"), "tenon_events_total", "counter",
                  "Events that plugins count", "event");
}
