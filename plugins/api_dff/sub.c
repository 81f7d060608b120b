/* SPDX-License-Identifier: Apache-2.0 */
/* Topic handlers of connectors (spec 4.17) as subscriptions of the kernel, and what is told of them. */
#include "sub.h"
#include "connector.h"
#include "task_submit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define CTX          api.host->ctx
#define HANDLERS_MAX 200 /* of one connector */

static const struct call_kind kind_connector = {
    .origin = {"connector", 9},
    .queue = 6,
    .timeout_s = 35,
    .expires_s = 900,
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static json_t
    *known; /* (lock) connectors that have subscriptions: true, or why they have none after all */
static bool started; /* (lock) */

/* ---- handlers -------------------------------------------------------------------------------- */
static const json_t *handlers_of(const json_t *row)
{
    return json_object_get(json_object_get(row, "configJSON"), "topicHandlers");
}

/* Why a handler is not subscribed; NULL = it is. */
static const char *unusable(const json_t *h)
{
    const char *topic = row_text(h, "topic"), *func = row_text(h, "funcId");
    const char *dot = strrchr(func, '.');
    if (topic[0] == '\0') {
        return "it has no topic";
    }
    if (func[0] == '\0') {
        return "it has no function";
    }
    return dot == NULL || dot == func || dot[1] == '\0' ? "its funcId is no id of a function"
                                                        : NULL;
}

static bool enabled(const json_t *h)
{
    return !json_is_true(json_object_get(h, "isDisabled")) && unusable(h) == NULL;
}

/* The plans of one connector, with the texts they borrow. */
struct plans {
    tn_sub_plan plan[HANDLERS_MAX];
    tn_task_req task[HANDLERS_MAX];
    char *label[HANDLERS_MAX];
    uint32_t n;
};

/* A function that does not exist (yet) makes tasks that fail and say so: consumption goes on. */
static void plan_add(struct plans *p, const json_t *row, const json_t *h,
                     const struct snapshot *snap)
{
    const char *func = row_text(h, "funcId"), *how = row_text(h, "delivery");
    const json_t *config = json_object_get(row, "configJSON");
    const struct snap_func *f = snapshot_func(snap, text_of(func));
    json_t *label = json_pack("{s:O}", "topic", json_object_get(h, "topic"));
    tn_task_req *t = &p->task[p->n];
    int64_t since_us = 0;
    if (f != NULL) {
        task_req_of_func(f, &kind_connector, text_of(row_text(row, "id")), NULL, t);
    } else {
        const char *dot = strrchr(func, '.');
        *t = (tn_task_req){.size = sizeof *t,
                           .script = {func, (size_t)(dot - func)},
                           .func = text_of(dot + 1),
                           .origin = kind_connector.origin,
                           .origin_id = text_of(row_text(row, "id")),
                           .queue = kind_connector.queue,
                           .timeout_ms = kind_connector.timeout_s * 1000,
                           .expires_ms = kind_connector.expires_s * 1000};
    }
    p->label[p->n] = json_dumps(label, JSON_COMPACT);
    json_decref(label);
    t->label = text_of(p->label[p->n]);
    bool own = f != NULL && f->expires_s != 0; /* else what a broker keeps may wait for as long */
    iso_parse(text_of(row_text(row, "updateTime")), &since_us);
    p->plan[p->n] = (tn_sub_plan){
        .size = sizeof *p->plan,
        .since_us = since_us,
        .flags = (json_is_true(json_object_get(config, "multiSubClient")) ? TN_SUB_MULTI : 0) |
                 (strcmp(how, "memory") == 0 ? TN_SUB_MEMORY : 0) | (own ? 0 : TN_SUB_KEPT),
        .topic = text_of(row_text(h, "topic")),
        .func = text_of(func),
        .task = t,
    };
    p->n++;
}

static void plans_free(struct plans *p)
{
    for (uint32_t i = 0; p != NULL && i < p->n; i++) {
        free(p->label[i]);
    }
    free(p);
}

/* The configuration as the trigger gets it: text of a JSON object with open secrets; free_secret(). */
static char *config_text(const json_t *row, tn_err *err)
{
    json_t *config = connector_config(row, err);
    if (config == NULL) {
        return NULL;
    }
    json_object_del(config, "topicHandlers");
    json_object_del(config, "multiSubClient");
    json_object_del(config, "meta");
    char *text = json_dumps(config, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(config);
    return text;
}

static void free_secret(char *text)
{
    if (text != NULL) {
        explicit_bzero(text, strlen(text));
        free(text);
    }
}

/* ---- keeping the kernel up to date ----------------------------------------------------------- */
static tn_rc drop(const char *id, tn_err *err)
{
    const tn_str none = {"{}", 2};
    tn_rc rc = api.host->subs->put(CTX, text_of(id), TN_STR(""), none, NULL, 0, err);
    json_object_del(known, id); /* last: id may be its key */
    return rc;
}

static tn_rc put(const json_t *row, const struct snapshot *snap, tn_err *err)
{
    const char *id = row_text(row, "id");
    struct plans *p = calloc(1, sizeof *p);
    char *config = p != NULL ? config_text(row, err) : NULL;
    const json_t *h;
    size_t i;
    tn_rc rc = p == NULL        ? api.host->fail(err, TN_E_NOMEM, "no memory for subscriptions")
               : config == NULL ? err->rc
                                : TN_OK;
    json_array_foreach(handlers_of(row), i, h)
    {
        if (rc == TN_OK && p->n < HANDLERS_MAX && enabled(h)) {
            plan_add(p, row, h, snap);
        }
    }
    if (rc == TN_OK && p->n > 0) {
        json_object_set_new(known, id, json_true());
        rc = api.host->subs->put(CTX, text_of(id), text_of(row_text(row, "type")), text_of(config),
                                 p->plan, p->n, err);
    } else if (rc == TN_OK && json_object_get(known, id) != NULL) {
        rc = drop(id, err);
    }
    free_secret(config);
    plans_free(p);
    return rc;
}

static bool any_enabled(const json_t *row)
{
    const json_t *h;
    size_t i;
    json_array_foreach(handlers_of(row), i, h)
    {
        if (enabled(h)) {
            return true;
        }
    }
    return false;
}

/* One connector that cannot be subscribed does not hold up the others. */
static void sync_rows(const json_t *rows, const struct snapshot *snap, json_t *seen)
{
    json_t *row;
    size_t i;
    json_array_foreach(rows, i, row)
    {
        const char *id = row_text(row, "id");
        tn_err err = TN_ERR_INIT;
        json_object_set_new(seen, id, json_true());
        if ((any_enabled(row) || json_object_get(known, id) != NULL) &&
            put(row, snap, &err) != TN_OK) {
            api.host->log(CTX, TN_LOG_ERROR, "subscriptions of connector %s: %s", id, err.msg);
            json_object_set_new(known, id, json_string(err.msg));
        }
    }
}

tn_rc subs_sync(tn_err *err)
{
    static const char *const by_id[] = {"id"};
    tn_list q = {.size = sizeof q, .sort = by_id, .nsort = 1, .limit = -1};
    struct snapshot *snap = NULL;
    const char *id;
    json_t *yes;
    void *next;
    pthread_mutex_lock(&lock);
    if (!started) {
        pthread_mutex_unlock(&lock);
        return TN_OK;
    }
    json_t *rows = store_rows(NULL, "connector", &q, NULL, err), *seen = json_object();
    tn_rc rc = rows != NULL ? snapshot_load(api.host, &snap, err) : err->rc;
    if (rc == TN_OK) {
        sync_rows(rows, snap, seen);
        json_object_foreach_safe(known, next, id, yes)
        {
            if (json_object_get(seen, id) == NULL) {
                sub_last_drop(id);
                rc = drop(id, err);
            }
        }
    }
    snapshot_free(snap);
    json_decref(rows);
    json_decref(seen);
    pthread_mutex_unlock(&lock);
    return rc;
}

tn_rc subs_start(tn_err *err)
{
    tn_rc rc = sub_last_start(err);
    if (rc != TN_OK || api.host->subs == NULL) {
        return rc;
    }
    pthread_mutex_lock(&lock);
    known = json_object();
    started = true;
    pthread_mutex_unlock(&lock);
    return subs_sync(err);
}

/* ---- what is told ---------------------------------------------------------------------------- */
static const json_t *find_status(const json_t *all, const json_t *h)
{
    const json_t *one;
    size_t i;
    json_array_foreach(all, i, one)
    {
        if (json_equal(json_object_get(one, "topic"), json_object_get(h, "topic")) &&
            json_equal(json_object_get(one, "funcId"), json_object_get(h, "funcId"))) {
            return one;
        }
    }
    return NULL;
}

/* Of a handler that the kernel knows nothing of, though nothing is wrong with it: the place it has among the enabled ones. */
static json_t *why_missing(const char *id, size_t place)
{
    if (place >= HANDLERS_MAX) {
        return json_sprintf("a connector has %d enabled topic handlers at most", HANDLERS_MAX);
    }
    pthread_mutex_lock(&lock);
    const char *why = json_string_value(json_object_get(known, id));
    json_t *text = json_string(why != NULL ? why : "it is not subscribed yet");
    pthread_mutex_unlock(&lock);
    return text;
}

json_t *sub_info_rows(const json_t *row, tn_err *err)
{
    const char *id = row_text(row, "id");
    size_t place = 0;
    tn_text text = {NULL, 0};
    json_t *out = json_array();
    const json_t *h;
    size_t i;
    if (api.host->subs->status(CTX, text_of(id), &text, err) != TN_OK) {
        json_decref(out);
        return NULL;
    }
    json_t *all = json_loadb(text.s, text.n, 0, NULL);
    api.host->free(CTX, text.s);
    json_array_foreach(handlers_of(row), i, h)
    {
        const json_t *one = find_status(all, h);
        const char *why = unusable(h);
        bool off = json_is_true(json_object_get(h, "isDisabled"));
        json_t *item = json_pack("{s:s, s:O?, s:O?}", "connectorId", id, "topic",
                                 json_object_get(h, "topic"), "funcId",
                                 json_object_get(h, "funcId"));
        if (one != NULL) {
            json_object_update_missing(item, (json_t *)(uintptr_t)one);
        } else {
            json_object_set_new(item, "state", json_string(off ? "disabled" : "failed"));
            json_object_set_new(item, "error",
                                off           ? json_null()
                                : why != NULL ? json_string(why)
                                              : why_missing(id, place));
        }
        place += enabled(h);
        json_t *last = sub_last_get(id, row_text(h, "topic"), row_text(h, "funcId"));
        if (last != NULL) {
            json_object_set_new(item, "lastConsumed", last);
        }
        json_array_append_new(out, item);
    }
    json_decref(all);
    return out;
}
