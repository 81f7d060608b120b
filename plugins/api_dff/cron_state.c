/* SPDX-License-Identifier: Apache-2.0 */
/* What scripts set for cron jobs while they run: an expression that counts for some time, and a
 * pause. Kept in the store and in memory; the services behind DFF.CRON_JOB (spec 3.5). */
#include "cron.h"
#include "service.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define CTX    api.host->ctx
#define ENTITY "cronJobState"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static json_t *states; /* id -> row */

static int64_t time_of(const json_t *row, const char *key)
{
    int64_t us = 0;
    const char *text = row_text(row, key);
    return text[0] != '\0' && iso_parse(text_of(text), &us) ? us : 0;
}

/* The row as it counts now. Called with the lock. */
static struct cron_state state_read(const json_t *row)
{
    struct cron_state st = {.paused_until_us = time_of(row, "pauseExpireTime")};
    int64_t now = api.host->wall_us(), until = time_of(row, "dynamicCronExprExpireTime");
    const char *expr = row_text(row, "dynamicCronExpr");
    if (expr[0] != '\0' && strlen(expr) <= CRON_EXPR_MAX && (until == 0 || until > now)) {
        strcpy(st.expr, expr);
        st.expr_until_us = until;
    }
    if (st.paused_until_us <= now) {
        st.paused_until_us = 0;
    }
    return st;
}

struct cron_state cron_state_of(tn_str id)
{
    pthread_mutex_lock(&lock);
    char *key = text_dup(id);
    struct cron_state st = state_read(key != NULL ? json_object_get(states, key) : NULL);
    pthread_mutex_unlock(&lock);
    free(key);
    return st;
}

static json_t *iso_json(int64_t us)
{
    char text[ISO_LEN + 1];
    if (us == 0) {
        return json_null();
    }
    iso_time(us, text);
    return json_string(text);
}

void cron_state_row(json_t *row)
{
    struct cron_state st = cron_state_of(text_of(row_text(row, "id")));
    json_object_set_new(row, "dynamicCronExpr",
                        st.expr[0] != '\0' ? json_string(st.expr) : json_null());
    json_object_set_new(row, "dynamicCronExprExpireTime", iso_json(st.expr_until_us));
    json_object_set_new(row, "isPaused", json_boolean(st.paused_until_us != 0));
    json_object_set_new(row, "pauseExpireTime", iso_json(st.paused_until_us));
}

/* ---- changing -------------------------------------------------------------------------------- */
/* Sets members of the job's row, in the store first. */
static tn_rc state_set(const char *id, json_t *patch_take, tn_err *err)
{
    pthread_mutex_lock(&lock);
    json_t *old = json_object_get(states, id);
    json_t *row = old != NULL ? json_copy(old) : json_pack("{s:s}", "id", id);
    json_object_update(row, patch_take);
    tn_rc rc = old != NULL ? store_patch(NULL, ENTITY, "id", text_of(id), patch_take, err)
                           : store_insert(NULL, ENTITY, row, NULL, err);
    if (rc == TN_OK) {
        json_object_set(states, id, row);
    }
    pthread_mutex_unlock(&lock);
    json_decref(row);
    json_decref(patch_take);
    return rc == TN_OK ? cron_sync_job(text_of(id), err) : rc;
}

void cron_state_drop(tn_str id)
{
    tn_err err = TN_ERR_INIT;
    char *key = text_dup(id);
    pthread_mutex_lock(&lock);
    if (key != NULL && json_object_del(states, key) == 0 &&
        store_delete(NULL, ENTITY, "id", id, NULL, &err) != TN_OK) {
        api.host->log(CTX, TN_LOG_ERROR, "state of cron job %s stays behind: %s", key, err.msg);
    }
    pthread_mutex_unlock(&lock);
    free(key);
}

/* A job that is not there: one of the store that was deleted. */
static bool is_orphan(const char *id)
{
    tn_err err = TN_ERR_INIT;
    if (strncmp(id, CRON_AUTO, sizeof CRON_AUTO - 1) == 0) {
        return false;
    }
    json_t *row = cron_job_row(text_of(id), &err);
    json_decref(row);
    return row == NULL && err.rc == TN_E_NOTFOUND;
}

tn_rc cron_state_clean(int64_t *n, tn_err *err)
{
    const char *id;
    json_t *row;
    void *next;
    tn_rc rc = TN_OK;
    pthread_mutex_lock(&lock);
    json_object_foreach_safe(states, next, id, row)
    {
        struct cron_state st = state_read(row);
        bool spent = st.expr[0] == '\0' && st.paused_until_us == 0;
        if (rc == TN_OK && (spent || is_orphan(id))) {
            rc = store_delete(NULL, ENTITY, "id", text_of(id), NULL, err);
            if (rc == TN_OK) {
                json_object_del(states, id);
                ++*n;
            }
        }
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

/* ---- services -------------------------------------------------------------------------------- */
/* The job must be there: a job of the store or a function that runs by itself. */
static tn_rc job_known(const char *id, tn_err *err)
{
    json_t *row;
    if (strncmp(id, CRON_AUTO, sizeof CRON_AUTO - 1) == 0) {
        row = store_one(NULL, "func", "id", text_of(id + sizeof CRON_AUTO - 1), NULL, 0, err);
    } else {
        row = cron_job_row(text_of(id), err);
    }
    json_decref(row);
    return row != NULL
               ? TN_OK
               : api.host->fail(err, err->rc, "EntityNotFound: Cron Job not found: `%.200s`", id);
}

/* Unix seconds as a moment; null is 0. */
static tn_rc until_of(const json_t *seconds, bool must, int64_t *ret, tn_err *err)
{
    double s = json_number_value(seconds);
    if (!json_is_number(seconds) && (must || (seconds != NULL && !json_is_null(seconds)))) {
        return api.host->fail(err, TN_E_INVAL, "`expires` should be a number of seconds");
    }
    if (!(s >= 0 && s <= 86400.0 * 366 * 1000)) {
        return api.host->fail(err, TN_E_INVAL, "`expires` is not within the next 900 years");
    }
    *ret = (int64_t)(s * 1e6);
    return TN_OK;
}

static tn_rc set_expr(const char *id, const json_t *ask, json_t **ret, tn_err *err)
{
    const char *expr = row_text(ask, "cronExpr");
    int64_t until;
    tn_rc rc = job_known(id, err);
    if (rc == TN_OK && strlen(expr) > CRON_EXPR_MAX) {
        rc = api.host->fail(err, TN_E_INVAL, "the cron expression has more than %d bytes",
                            CRON_EXPR_MAX);
    }
    rc = rc == TN_OK ? until_of(json_object_get(ask, "expireTime"), false, &until, err) : rc;
    if (rc == TN_OK) {
        rc = api.host->schedules->check(CTX, text_of(expr), TN_STR(""), err);
        rc = rc == TN_E_UNSUPP ? TN_OK : rc;
    }
    if (rc == TN_OK) {
        rc = state_set(id,
                       json_pack("{s:s, s:o}", "dynamicCronExpr", expr, "dynamicCronExprExpireTime",
                                 iso_json(until)),
                       err);
    }
    if (rc == TN_OK) {
        *ret = json_pack("{s:s, s:o}", "cronExpr", expr, "expireTime", iso_json(until));
    }
    return rc;
}

static tn_rc get_expr(const char *id, const json_t *ask, json_t **ret, tn_err *err)
{
    (void)ask;
    (void)err;
    struct cron_state st = cron_state_of(text_of(id));
    *ret = st.expr[0] != '\0' ? json_string(st.expr) : json_null();
    return TN_OK;
}

static tn_rc all_expr(const char *id, const json_t *ask, json_t **ret, tn_err *err)
{
    const char *key;
    json_t *row;
    (void)id;
    (void)ask;
    (void)err;
    *ret = json_object();
    pthread_mutex_lock(&lock);
    json_object_foreach(states, key, row)
    {
        struct cron_state st = state_read(row);
        if (st.expr[0] != '\0') {
            json_object_set_new(*ret, key, json_string(st.expr));
        }
    }
    pthread_mutex_unlock(&lock);
    return TN_OK;
}

static tn_rc clear_expr(const char *id, const json_t *ask, json_t **ret, tn_err *err)
{
    (void)ask;
    *ret = NULL;
    tn_rc rc = job_known(id, err);
    if (rc == TN_OK && cron_state_of(text_of(id)).expr[0] != '\0') {
        rc = state_set(id, json_pack("{s:n, s:n}", "dynamicCronExpr", "dynamicCronExprExpireTime"),
                       err);
    }
    if (rc == TN_OK) {
        *ret = json_null();
    }
    return rc;
}

static tn_rc pause_job(const char *id, const json_t *ask, json_t **ret, tn_err *err)
{
    int64_t until;
    tn_rc rc = job_known(id, err);
    rc = rc == TN_OK ? until_of(json_object_get(ask, "expireTime"), true, &until, err) : rc;
    if (rc == TN_OK) {
        rc = state_set(id, json_pack("{s:o}", "pauseExpireTime", iso_json(until)), err);
    }
    if (rc == TN_OK) {
        *ret = json_pack("{s:o}", "pauseExpireTime", iso_json(until));
    }
    return rc;
}

static const struct service {
    const char *name;
    bool needs_id;
    tn_rc (*run)(const char *id, const json_t *ask, json_t **ret, tn_err *err);
} services[] = {
    {"cron.set", true, set_expr},      {"cron.get", true, get_expr},
    {"cron.get_all", false, all_expr}, {"cron.clear", true, clear_expr},
    {"cron.pause", true, pause_job},
};

static void serve(void *user, tn_str payload, void *token)
{
    const struct service *s = user;
    tn_err err = TN_ERR_INIT;
    json_t *ask = service_payload(payload, token), *answer = NULL;
    if (ask == NULL) {
        return;
    }
    const char *id = row_text(ask, "id");
    tn_rc rc = TN_OK;
    if (s->needs_id && (id[0] == '\0' || strlen(id) > 300)) {
        rc = api.host->fail(&err, TN_E_INVAL, "%s needs the id of a cron job", s->name);
    }
    rc = rc == TN_OK ? s->run(id, ask, &answer, &err) : rc;
    json_decref(ask);
    if (rc == TN_OK) {
        service_answer(token, answer);
    } else {
        service_refuse_err(token, &err);
    }
}

tn_rc cron_state_start(tn_err *err)
{
    tn_list q = {.size = sizeof q, .limit = -1};
    json_t *rows = store_rows(NULL, ENTITY, &q, NULL, err), *row;
    size_t i;
    if (rows == NULL) {
        return err->rc;
    }
    states = json_object();
    json_array_foreach(rows, i, row)
    {
        json_object_set(states, row_text(row, "id"), row);
    }
    json_decref(rows);
    tn_rc rc = TN_OK;
    for (size_t k = 0; rc == TN_OK && k < sizeof services / sizeof *services; k++) {
        rc = api.host->calls->service(CTX, services[k].name, 0, serve,
                                      (void *)(uintptr_t)&services[k], err);
    }
    return rc;
}
