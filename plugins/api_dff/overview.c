/* SPDX-License-Identifier: Apache-2.0 */
/* The overview of the platform and the report for who looks for a fault (spec 1.12). */
#include "rows.h"
#include "store.h"
#include "watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#define QUEUES 10

static const json_t *broker_of(const json_t *figures)
{
    return json_object_get(json_object_get(figures, "platform"), "broker");
}

/* ---- services --------------------------------------------------------------------------------- */
static json_t *service(const char *name, json_int_t pid, int64_t uptime_s, json_t *queues_take)
{
    struct utsname u;
    return json_pack("{s:s, s:I, s:s, s:I, s:s, s:s, s:o, s:i}", "hostname",
                     uname(&u) == 0 ? u.nodename : "localhost", "pid", pid, "name", name, "uptime",
                     (json_int_t)uptime_s, "version", api.version, "edition", "Tenon", "queues",
                     queues_take, "ttl", 60);
}

static json_t *services(const json_t *figures)
{
    const json_t *process = json_object_get(figures, "process");
    const json_t *workers = json_object_get(broker_of(figures), "workers");
    int64_t started = json_integer_value(json_object_get(process, "startTimeMs"));
    int64_t uptime = api.host->wall_us() / 1000000 - started / 1000;
    json_int_t pid = json_integer_value(json_object_get(process, "pid"));
    json_t *list = json_array();
    json_array_append_new(list, service("server", pid, uptime, json_null()));
    json_array_append_new(list, service("beat", pid, uptime, json_null()));
    for (size_t i = 0; i < json_array_size(workers); i++) {
        const json_t *w = json_array_get(workers, i);
        json_t *queues = json_array();
        bool debug = strcmp(row_text(w, "group"), "debug") == 0;
        for (int q = 0; q < QUEUES; q++) {
            if (debug == (q == 5)) {
                json_array_append_new(queues, json_integer(q));
            }
        }
        json_array_append_new(
            list, service("worker", json_integer_value(json_object_get(w, "pid")), uptime, queues));
    }
    return list;
}

/* ---- queues ----------------------------------------------------------------------------------- */
static json_t *queues(const json_t *figures)
{
    json_t *status = queues_read(), *list = json_array();
    const json_t *groups = json_object_get(broker_of(figures), "groups");
    for (int q = 0; q < QUEUES; q++) {
        const json_t *mine = NULL;
        const json_t *group = json_array_get(groups, q == 5 && json_array_size(groups) > 1 ? 1 : 0);
        for (size_t i = 0; i < json_array_size(status); i++) {
            const json_t *s = json_array_get(status, i);
            mine = json_integer_value(json_object_get(s, "queue")) == q ? s : mine;
        }
        json_int_t waiting = json_integer_value(json_object_get(mine, "waiting"));
        json_int_t limit = json_integer_value(json_object_get(mine, "limit"));
        json_int_t workers = json_integer_value(json_object_get(group, "workers"));
        json_array_append_new(
            list, json_pack("{s:I, s:I, s:I, s:I, s:o, s:o}", "workerCount",
                            workers > 0 ? 1LL : 0LL, "processCount", workers, "delayQueueLength",
                            json_integer_value(json_object_get(mine, "delayed")),
                            "workerQueueLength", waiting, "workerQueueLimit",
                            limit > 0 ? json_integer(limit) : json_null(), "workerQueueLoad",
                            limit > 0 ? json_real((double)waiting / (double)limit) : json_null()));
    }
    json_decref(status);
    return list;
}

/* ---- entities --------------------------------------------------------------------------------- */
static json_t *count_of(const char *sql, const char *member)
{
    tn_text text = {NULL, 0};
    tn_err err = TN_ERR_INIT;
    if (api.host->entities->sql(api.host->ctx, NULL, sql, TN_STR("[]"), &text, NULL, &err) !=
        TN_OK) {
        return json_null();
    }
    json_t *rows = json_loadb(text.s, text.n, 0, NULL);
    json_t *n = json_incref(json_object_get(json_array_get(rows, 0), member));
    api.host->free(api.host->ctx, text.s);
    json_decref(rows);
    return n != NULL ? n : json_null();
}

static json_t *entities(void)
{
    static const struct {
        const char *name, *table;
        bool enabled;
    } kinds[] = {{"scriptSet", "biz_main_script_set", false},
                 {"script", "biz_main_script", false},
                 {"func", "biz_main_func", false},
                 {"connector", "biz_main_connector", false},
                 {"envVariable", "biz_main_env_variable", false},
                 {"syncAPI", "biz_main_sync_api", true},
                 {"asyncAPI", "biz_main_async_api", true},
                 {"cronJob", "biz_main_cron_job", true},
                 {"fileService", "biz_main_file_service", true},
                 {"user", "wat_main_user", true}};
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char sql[160];
        snprintf(sql, sizeof sql, "SELECT COUNT(*) AS n FROM %s", kinds[i].table);
        json_t *row = json_pack("{s:s, s:o}", "name", kinds[i].name, "count", count_of(sql, "n"));
        if (kinds[i].enabled) {
            snprintf(sql, sizeof sql, "SELECT COUNT(*) AS n FROM %s WHERE isDisabled = 0",
                     kinds[i].table);
            json_object_set_new(row, "countEnabled", count_of(sql, "n"));
        }
        json_array_append_new(list, row);
    }
    return list;
}

/* ---- cron ------------------------------------------------------------------------------------- */
/* Triggers of the last day as their records tell, down to a second on average. */
static json_t *biz_metrics(void)
{
    static const struct {
        const char *unit;
        double per_day;
    } units[] = {{"Second", 86400}, {"Minute", 1440}, {"Hour", 24}, {"Day", 1}};
    char sql[200];
    snprintf(sql, sizeof sql,
             "SELECT COUNT(*) AS n FROM biz_main_task_record_func WHERE origin = 'cronJob' AND "
             "triggerTimeMs > %lld",
             (long long)(api.host->wall_us() / 1000 - 86400000));
    json_t *n = count_of(sql, "n"), *list = json_array();
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        json_array_append_new(list,
                              json_pack("{s:s, s:o, s:f, s:b}", "title", "Cron Job", "subTitle",
                                        json_sprintf("Triggers Per %s", units[i].unit), "value",
                                        json_number_value(n) / units[i].per_day, "isBuiltin", 1));
    }
    json_decref(n);
    return list;
}

static bool wanted(const struct api_req *r, const char *section)
{
    const json_t *list = json_object_get(r->query, "sections");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *one = json_string_value(json_array_get(list, i));
        if (one != NULL && strcmp(one, section) == 0) {
            return true;
        }
    }
    return json_array_size(list) == 0;
}

static void overview(struct api_req *r)
{
    tn_err err = TN_ERR_INIT;
    json_t *figures = figures_read(&err);
    if (figures == NULL) {
        api_fail_err(r, &err);
        return;
    }
    json_t *out = json_object();
    if (wanted(r, "services")) {
        json_object_set_new(out, "services", services(figures));
    }
    if (wanted(r, "queues")) {
        json_object_set_new(out, "queues", queues(figures));
    }
    if (wanted(r, "bizMetrics")) {
        json_object_set_new(out, "bizMetrics", biz_metrics());
    }
    if (wanted(r, "bizEntities")) {
        json_object_set_new(out, "bizEntities", entities());
    }
    json_decref(figures);
    api_ok(r, out);
}

static void report(struct api_req *r)
{
    tn_err err = TN_ERR_INIT;
    struct utsname u;
    json_t *figures = figures_read(&err);
    if (figures == NULL) {
        api_fail_err(r, &err);
        return;
    }
    memset(&u, 0, sizeof u);
    uname(&u);
    json_t *queue_list = queues(figures), *service_list = services(figures);
    api_ok(r,
           json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o}", "version", api.version, "system",
                     u.sysname, "kernel", u.release, "machine", u.machine, "services", service_list,
                     "queues", queue_list, "entities", entities(), "figures", figures));
}

static const struct field overview_query[] = {{.name = "sections", .type = F_COMMA},
                                              {.name = NULL}};
const struct api_route overview_routes[] = {
    {"GET", "/api/v1/func/overview", "general_r", "Services, queues, triggers and counts", overview,
     overview_query, NULL, NULL, 0},
    {"GET", "/api/v1/system-report", "general_r", "Everything about the running platform", report,
     NULL, NULL, NULL, 0},
    {.method = NULL}};
