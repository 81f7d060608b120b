/* SPDX-License-Identifier: Apache-2.0 */
/* Task records as callers see them (spec 1.11): lists with filters and counts. */
#include "list.h"
#include "record.h"
#include "rows.h"
#include "store.h"

#include <string.h>

#define TREE_MAX 5000 /* tasks of one tree that a list shows */

static bool fresh(struct api_req *r)
{
    tn_err err = TN_ERR_INIT;
    if (api.host->records->flush(api.host->ctx, &err) == TN_OK) {
        return true;
    }
    api_fail_err(r, &err);
    return false;
}

/* Rows of free SQL with parameters (taken); NULL: answered. */
static json_t *sql_rows(struct api_req *r, const char *sql, json_t *params_take)
{
    tn_err err = TN_ERR_INIT;
    tn_text text = {NULL, 0};
    char *params = json_dumps(params_take, JSON_COMPACT);
    json_decref(params_take);
    tn_rc rc = params == NULL ? api.host->fail(&err, TN_E_NOMEM, "no memory")
                              : api.host->entities->sql(api.host->ctx, NULL, sql, text_of(params),
                                                        &text, NULL, &err);
    free(params);
    json_t *rows = rc == TN_OK ? json_loadb(text.s, text.n, 0, NULL) : NULL;
    api.host->free(api.host->ctx, text.s);
    if (rows == NULL) {
        api_fail_err(r, &err);
    }
    return rows;
}

static bool plain_filters(struct api_req *r, struct filters *f)
{
    (void)f;
    return fresh(r);
}

/* rootTaskId=X means X and all below it. */
static bool tree_filters(struct api_req *r, struct filters *f)
{
    const json_t *root = json_object_get(r->query, "rootTaskId");
    if (!fresh(r)) {
        return false;
    }
    if (!json_is_string(root)) {
        return true;
    }
    json_t *rows = sql_rows(
        r,
        "SELECT id FROM biz_main_task_record_func WHERE id = ? OR rootTaskId = ? "
        "ORDER BY seq DESC LIMIT ?",
        json_pack("[O, O, i]", root, root, TREE_MAX));
    if (rows == NULL) {
        return false;
    }
    json_t *ids = json_array();
    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_array_append(ids, json_object_get(json_array_get(rows, i), "id"));
    }
    json_decref(rows);
    if (json_array_size(ids) == 0) {
        json_array_append_new(ids, json_string("")); /* no task has that id */
    }
    filters_add(f, "task.id", TN_OP_IN, ids);
    json_decref(ids);
    return true;
}

/* "?, ?, ?" for n values, at most 100: a page. */
static void marks(struct str *sql, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        str_puts(sql, i > 0 ? ", ?" : "?");
    }
}

static bool count_subs(struct api_req *r, json_t *rows)
{
    struct str sql = {0};
    size_t n = json_array_size(rows);
    json_t *ids = json_array();
    str_puts(&sql, "SELECT rootTaskId AS id, COUNT(*) AS n FROM biz_main_task_record_func WHERE "
                   "rootTaskId IN (");
    marks(&sql, n);
    str_puts(&sql, ") GROUP BY rootTaskId");
    for (size_t i = 0; i < n; i++) {
        json_t *row = json_array_get(rows, i);
        json_array_append(ids, json_object_get(row, "id"));
        json_object_set_new(row, "subTaskCount", json_integer(0));
    }
    json_t *counts = n > 0 && !sql.failed ? sql_rows(r, sql.s, ids) : json_array();
    if (n == 0) {
        json_decref(ids);
    }
    str_free(&sql);
    for (size_t i = 0; i < json_array_size(counts); i++) {
        const json_t *c = json_array_get(counts, i);
        for (size_t k = 0; k < n; k++) {
            json_t *row = json_array_get(rows, k);
            if (json_equal(json_object_get(row, "id"), json_object_get(c, "id"))) {
                json_object_set(row, "subTaskCount", json_object_get(c, "n"));
            }
        }
    }
    bool ok = counts != NULL;
    json_decref(counts);
    return ok;
}

/* {"<id>": {groupId, count}}; ids without records are left out. */
static void func_count(struct api_req *r)
{
    const char *field = row_text(r->query, "groupField");
    const json_t *ids = json_object_get(r->query, "groupIds");
    size_t n = json_array_size(ids);
    bool by_func = strcmp(field, "funcId") == 0;
    if (n > 1000) {
        api_fail(r, EClientBadRequest, NULL, NULL, "%zu groupIds, at most 1000 are counted at once",
                 n);
        return;
    }
    if (!fresh(r)) {
        return;
    }
    struct str sql = {0};
    str_printf(
        &sql,
        "SELECT %s AS groupId, COUNT(*) AS count FROM biz_main_task_record_func WHERE %s IN (",
        by_func ? "funcId" : "originId", by_func ? "funcId" : "originId");
    marks(&sql, n);
    str_printf(&sql, ") GROUP BY %s", by_func ? "funcId" : "originId");
    json_t *rows = n > 0 ? sql_rows(r, sql.s, json_deep_copy(ids)) : json_array();
    str_free(&sql);
    if (rows == NULL) {
        return;
    }
    json_t *map = json_object();
    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i);
        json_object_set(map, row_text(row, "groupId"), row);
    }
    json_decref(rows);
    api_ok(r, map);
}

/* clang-format off */
static const char *const task_fuzzy[] = {"task.id", "task.name", "task.exceptionType",
    "task.exceptionTEXT", "task.tracebackTEXT", "task.status", NULL};
static const char *const func_fuzzy[] = {"task.id", "task.rootTaskId", "task.scriptSetId",
    "task.scriptId", "task.funcId", "task.origin", "task.originId", "task.exceptionType",
    "task.exceptionTEXT", "task.tracebackTEXT", "task.printLogsTEXT", "task.returnValueJSON",
    "task.status", NULL};
static const struct list_spec task_list = {.entity = "taskRecord", .paging = PAGE_SIMPLE,
                                           .fuzzy = task_fuzzy, .filters = plain_filters};
static const struct list_spec func_list = {.entity = "taskRecordFunc", .paging = PAGE_SIMPLE,
                                           .fuzzy = func_fuzzy, .filters = tree_filters,
                                           .rows = count_subs};
#define EQ(n) {.name = n, .type = F_STR, .op = TN_OP_EQ, .column = "task." n}
#define STATUS                                                                                    \
    {.name = "status", .type = F_STR, .op = TN_OP_EQ, .column = "task.status",                    \
     .choices = "success|failure|timeout|skip|expire|cancel"}
static const struct field task_query[] = {EQ("id"), EQ("name"), EQ("queue"), STATUS,
                                          {.name = NULL}};
static const struct field func_query[] = {EQ("id"), {.name = "rootTaskId", .type = F_STR},
    EQ("scriptSetId"), EQ("scriptId"), EQ("funcId"), EQ("origin"), EQ("originId"), EQ("queue"),
    STATUS, {.name = NULL}};
static const struct field count_query[] = {
    {.name = "groupField", .type = F_STR, .flags = FF_REQUIRED, .choices = "originId|funcId"},
    {.name = "groupIds", .type = F_COMMA, .flags = FF_REQUIRED}, {.name = NULL}};

const struct api_route task_record_routes[] = {
    {"GET", "/api/v1/task-records/do/list", "general_r", "Lists records of system tasks", list_run,
     task_query, NULL, &task_list, API_FIELDS},
    {"GET", "/api/v1/task-records/func/do/list", "general_r", "Lists records of function tasks",
     list_run, func_query, NULL, &func_list, API_FIELDS},
    {"GET", "/api/v1/task-records/func/do/get-count", "general_r",
     "Counts records of function tasks by origin or function", func_count, count_query, NULL, NULL,
     0},
    {.method = NULL}};
/* clang-format on */
