/* SPDX-License-Identifier: Apache-2.0 */
/* The cleaner (spec 5.7): what nobody can reach any more, step by step; one that fails does not keep the
 * others from running. Age and bytes of records are the kernel's own work. */
#include "call.h"
#include "cron.h"
#include "record.h"
#include "service.h"
#include "store.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CTX       api.host->ctx
#define FIRST_NS  (15ull * 1000000000)
#define STAMP_LEN 14    /* YYYYMMDDHHmmss, UTC */
#define FILES_MAX 10000 /* that one run removes from a folder */

/* ---- files whose time has passed ---------------------------------------------------------------- */

static bool is_due(const char *name, const char *now)
{
    for (size_t i = 0; i < STAMP_LEN; i++) {
        if (name[i] < '0' || name[i] > '9') {
            return false;
        }
    }
    return name[STAMP_LEN] == '_' && memcmp(name, now, STAMP_LEN) < 0;
}

static tn_rc clean_folder(const char *folder, int64_t *n, tn_err *err)
{
    char now[STAMP_LEN + 2];
    time_t t = (time_t)(api.host->wall_us() / 1000000);
    struct tm tm;
    gmtime_r(&t, &tm);
    strftime(now, sizeof now, "%Y%m%d%H%M%S", &tm);
    int fd = openat(calls.resources_fd, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (d == NULL) {
        if (fd >= 0) {
            close(fd);
        }
        return api.host->fail(err, TN_E_UNAVAIL, "folder %s of the resources cannot be read",
                              folder);
    }
    for (struct dirent *e; *n < FILES_MAX && (e = readdir(d)) != NULL;) {
        if (strlen(e->d_name) > STAMP_LEN && is_due(e->d_name, now) &&
            unlinkat(fd, e->d_name, 0) == 0) {
            ++*n;
        }
    }
    closedir(d);
    return TN_OK;
}

static tn_rc clean_uploads(int64_t *n, tn_err *err)
{
    return clean_folder(api_setting("UPLOAD_TEMP_ROOT_FOLDER", ".uploads"), n, err);
}

static tn_rc clean_downloads(int64_t *n, tn_err *err)
{
    return clean_folder(api_setting("DOWNLOAD_TEMP_ROOT_FOLDER", ".downloads"), n, err);
}

/* ---- rows ---------------------------------------------------------------------------------------- */

static tn_rc run_sql(const char *sql, tn_text *ret_rows, int64_t *n, tn_err *err)
{
    return api.host->entities->sql(CTX, NULL, sql, TN_STR("[]"), ret_rows, n, err);
}

/* The newest rows of histories stay; operation and task records are cut when they are written. */
static tn_rc clean_histories(int64_t *n, tn_err *err)
{
    static const struct {
        const char *table;
        int keep;
    } kept[] = {{"biz_main_script_publish_history", 5000},
                {"biz_main_script_recover_point", 1000},
                {"biz_main_script_set_export_history", 1000},
                {"biz_main_script_set_import_history", 1000}};
    tn_rc rc = TN_OK;
    for (size_t i = 0; rc == TN_OK && i < sizeof kept / sizeof *kept; i++) {
        char sql[256];
        int64_t gone = 0;
        snprintf(
            sql, sizeof sql,
            "DELETE FROM %s WHERE seq <= (SELECT seq FROM %s ORDER BY seq DESC LIMIT 1 OFFSET %d)",
            kept[i].table, kept[i].table, kept[i].keep);
        rc = run_sql(sql, NULL, &gone, err);
        *n += rc == TN_OK ? gone : 0;
    }
    return rc;
}

/* Records of APIs and cron jobs that are no more. */
static tn_rc clean_orphans(int64_t *n, tn_err *err)
{
    static const char sql[] =
        "SELECT DISTINCT originId FROM biz_main_task_record_func WHERE origin IN ('syncAPI', "
        "'asyncAPI', 'cronJob') AND originId NOT IN (SELECT id FROM biz_main_sync_api UNION ALL "
        "SELECT id FROM biz_main_async_api UNION ALL SELECT id FROM biz_main_cron_job) LIMIT 200";
    tn_text text = {NULL, 0};
    tn_rc rc = run_sql(sql, &text, NULL, err);
    json_t *rows = rc == TN_OK ? json_loadb(text.s, text.n, 0, NULL) : NULL;
    api.host->free(CTX, text.s);
    json_t *ids = json_array();
    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_array_append(ids, json_object_get(json_array_get(rows, i), "originId"));
    }
    json_decref(rows);
    char *list = json_array_size(ids) > 0 ? json_dumps(ids, JSON_COMPACT) : NULL;
    json_decref(ids);
    if (list != NULL) {
        tn_filter f = {.column = "originId", .op = TN_OP_IN, .value = text_of(list)};
        rc = api.host->entities->remove(CTX, NULL, "taskRecordFunc", &f, 1, n, err);
    }
    free(list);
    return rc;
}

/* Their last outcomes. */
static tn_rc clean_outcomes(int64_t *n, tn_err *err)
{
    return run_sql("DELETE FROM tn_last_task_status WHERE id NOT IN (SELECT id FROM "
                   "biz_main_sync_api UNION ALL SELECT id FROM biz_main_async_api UNION ALL SELECT "
                   "id FROM biz_main_cron_job)",
                   NULL, n, err);
}

/* ---- runs ---------------------------------------------------------------------------------------- */

static const struct {
    const char *what;
    tn_rc (*run)(int64_t *n, tn_err *err);
} steps[] = {{"uploaded files", clean_uploads},
             {"files of large results", clean_downloads},
             {"expired values of DFF.STORE", store_clean},
             {"rows of histories", clean_histories},
             {"records of deleted APIs and jobs", clean_orphans},
             {"last outcomes of deleted APIs and jobs", clean_outcomes},
             {"expired expressions and pauses of cron jobs", cron_state_clean}};

static tn_timer *timer;
static uint64_t every_ns;

static void again(void *user)
{
    (void)user;
    api.host->loop->timer_set(CTX, timer, api.host->now_ns() + every_ns);
}

static void run_on_helper(void *user)
{
    (void)user;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        tn_err err = TN_ERR_INIT;
        int64_t n = 0;
        if (steps[i].run(&n, &err) != TN_OK) {
            api.host->log(CTX, TN_LOG_WARNING, "cleaner: %s stay for now: %s", steps[i].what,
                          err.msg);
        } else if (n > 0) {
            api.host->log(CTX, TN_LOG_INFO, "cleaner: %lld %s removed", (long long)n,
                          steps[i].what);
        }
    }
    api.host->loop->post(CTX, again, NULL);
}

static void on_due(void *user)
{
    (void)user;
    if (api.host->loop->defer(CTX, run_on_helper, NULL, NULL) != TN_OK) {
        again(NULL); /* busy: the next time will do */
    }
}

static void begin(void *user)
{
    tn_err err = TN_ERR_INIT;
    (void)user;
    if (api.host->loop->timer(CTX, on_due, NULL, &timer, &err) != TN_OK) {
        api.host->log(CTX, TN_LOG_ERROR, "no cleaner: %s", err.msg);
        return;
    }
    uint64_t first = every_ns < FIRST_NS ? every_ns : FIRST_NS;
    api.host->loop->timer_set(CTX, timer, api.host->now_ns() + first);
}

tn_rc cleaner_start(tn_err *err)
{
    (void)err;
    every_ns = (uint64_t)api_setting_int("TENON_CLEAN_EVERY_MS", 300000) * 1000000;
    api.host->loop->post(CTX, begin, NULL);
    return TN_OK;
}
