/* SPDX-License-Identifier: Apache-2.0 */
/* Sync APIs (spec 1.9) and their legacy twin, auth links: the same rows and handlers under two
 * names. */
#include "rows.h"

#include <stdlib.h>
#include <string.h>

/* ---- rules ----------------------------------------------------------------------------------- */
static bool func_exists(struct change *c, const json_t *data)
{
    const char *func_id = json_string_value(json_object_get(data, "funcId"));
    if (func_id == NULL) {
        return true;
    }
    tn_err err = TN_ERR_INIT;
    json_t *func = store_one(c->txn, "func", "id", text_of(func_id), NULL, 0, &err);
    if (func == NULL && err.rc == TN_E_NOTFOUND) {
        api_fail(c->r, EClientNotFound, NULL,
                 json_pack("{s:s, s:s}", "entity", "func", "id", func_id), "No such Func");
    } else if (func == NULL) {
        api_fail_err(c->r, &err);
    }
    json_decref(func);
    return func != NULL;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Tags are a sorted set. */
static void tags_sort(json_t *data)
{
    json_t *tags = json_object_get(data, "tagsJSON");
    size_t n = json_array_size(tags);
    const char **list = n > 0 ? malloc(n * sizeof *list) : NULL;
    if (list == NULL) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        list[i] = json_string_value(json_array_get(tags, i));
    }
    qsort(list, n, sizeof *list, by_text);
    json_t *sorted = json_array();
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || strcmp(list[i], list[i - 1]) != 0) {
            json_array_append_new(sorted, json_string(list[i]));
        }
    }
    free(list);
    json_object_set_new(data, "tagsJSON", sorted);
}

static bool before_add(struct change *c, json_t *data)
{
    if (json_is_null(json_object_get(data, "id"))) {
        json_object_del(data, "id");
    }
    tags_sort(data);
    return func_exists(c, data);
}

static bool before_modify(struct change *c, const json_t *old, json_t *data)
{
    (void)old;
    tags_sort(data);
    return func_exists(c, data);
}

static tn_rc changed(struct api_req *r, tn_err *err)
{
    (void)r;
    return snapshot_reload(err);
}

const struct crud sync_api_crud = {
    .entity = "syncAPI",
    .label = "sync API",
    .url = "/api/v1/sync/",
    .origin = true,
    .before_add = before_add,
    .before_modify = before_modify,
    .changed = changed,
};

static void sync_row(struct api_req *r, json_t *row)
{
    (void)r;
    json_object_set_new(row, "lastTaskStatus", json_null());
}

/* ---- tables ---------------------------------------------------------------------------------- */
/* clang-format off */
static const char *const sort[] = {"seq", "funcId", NULL};
static const char *const fuzzy[] = {
    "sapi.id", "sapi.funcId", "sapi.funcCallKwargsJSON", "sapi.tagsJSON", "sapi.originId",
    "sapi.note",
    "func.title", "func.description", "func.tagsJSON", NULL};
static const struct list_spec sync_list = {.entity = "syncAPI", .paging = PAGE_NORMAL, .sort = sort,
                                           .fuzzy = fuzzy, .row = sync_row};

#define FILTERS(origin_type, origin_op)                                                           \
    {.name = "id", .type = F_COMMA, .op = TN_OP_IN, .column = "sapi.id"},                         \
    {.name = "funcId", .type = F_COMMA, .op = TN_OP_IN, .column = "sapi.funcId"},                 \
    {.name = "tags", .type = F_COMMA, .op = TN_OP_JSON_HAS_ALL, .column = "sapi.tagsJSON"},       \
    {.name = "origin", .type = origin_type, .op = origin_op, .column = "sapi.origin"},            \
    {.name = "originId", .type = origin_type, .op = origin_op, .column = "sapi.originId"},        \
    {.name = "func_scriptSetId", .type = F_COMMA, .op = TN_OP_IN, .column = "func.scriptSetId"},  \
    {.name = "func_scriptId", .type = F_COMMA, .op = TN_OP_IN, .column = "func.scriptId"},        \
    {.name = "func_tags", .type = F_COMMA, .op = TN_OP_JSON_HAS_ALL, .column = "func.tagsJSON"},  \
    {.name = NULL}
static const struct field list_query[] = {FILTERS(F_STR, TN_OP_EQ)};
static const struct field many_query[] = {FILTERS(F_COMMA, TN_OP_IN)};

static const struct field tag[] = {{.name = "tag", .type = F_STR, .max = 64}};
#define RULE(n) {.name = n, .type = F_INT, .flags = FF_NULL, .min = 1, .max = INT32_MAX}
static const struct field throttling[] = {RULE("bySecond"), RULE("byMinute"), RULE("byHour"),
                                          RULE("byDay"), RULE("byMonth"), RULE("byYear"),
                                          {.name = NULL}};
#define TARGET(must)                                                                              \
    {.name = "funcId", .type = F_STR, .flags = must, .min = 1, .max = 256},                       \
    {.name = "funcCallKwargsJSON", .type = F_JSON, .flags = must}
#define COMMON                                                                                    \
    {.name = "tagsJSON", .type = F_ARR, .flags = FF_NULL, .sub = tag},                            \
    {.name = "apiAuthId", .type = F_STR, .flags = FF_NULL, .max = 64},                            \
    {.name = "taskRecordLimit", .type = F_INT, .flags = FF_NULL, .min = 0, .max = 10000},         \
    {.name = "isDisabled", .type = F_BOOL},                                                       \
    {.name = "note", .type = F_STR, .flags = FF_NULL}
#define SINGLE                                                                                    \
    {.name = "expireTime", .type = F_TIME, .flags = FF_NULL},                                     \
    {.name = "throttlingJSON", .type = F_OBJ, .flags = FF_NULL, .sub = throttling},               \
    {.name = "showInDoc", .type = F_BOOL}
static const struct field add_data[] = {
    {.name = "id", .type = F_STR, .flags = FF_NULL, .min = 1, .max = 64, .pattern = PAT_OWN_ID},
    TARGET(FF_REQUIRED), COMMON, SINGLE, {.name = NULL}};
static const struct field modify_data[] = {TARGET(0), COMMON, SINGLE, {.name = NULL}};
static const struct field many_data[] = {TARGET(0), COMMON, {.name = NULL}};
static const struct field add_item[] = {{.name = "data", .type = F_OBJ, .sub = add_data}};
#define DATA(t, s) {{.name = "data", .type = t, .flags = FF_REQUIRED, .sub = s}, {.name = NULL}}
static const struct field add_body[] = DATA(F_OBJ, add_data);
static const struct field modify_body[] = DATA(F_OBJ, modify_data);
static const struct field modify_many_body[] = DATA(F_OBJ, many_data);
static const struct field add_many_body[] = {
    {.name = "data", .type = F_ARR, .flags = FF_REQUIRED, .min = 1, .sub = add_item},
     {.name = NULL}};

/* One table, two names. */
#define ROUTES(base, what)                                                                        \
    {"GET", base "/do/list", "general_r", "Lists " what, list_run, list_query, NULL, &sync_list,  \
     API_FIELDS | API_EXPORT},                                                                    \
    {"POST", base "/do/add", "general_w", "Adds one of the " what, crud_add, NULL, add_body,      \
     &sync_api_crud, 0},                                                                          \
    {"POST", base "/:id/do/modify", "general_w", "Changes one of the " what, crud_modify, NULL,   \
     modify_body, &sync_api_crud, 0},                                                             \
    {"GET", base "/:id/do/delete", "general_w", "Deletes one of the " what, crud_delete, NULL,    \
     NULL, &sync_api_crud, 0},                                                                    \
    {"POST", base "/do/add-many", "general_w", "Adds several " what, crud_add_many, NULL,         \
     add_many_body, &sync_api_crud, 0},                                                           \
    {"POST", base "/do/modify-many", "general_w", "Changes the filtered " what, crud_modify_many, \
     many_query, modify_many_body, &sync_api_crud, 0},                                            \
    {"GET", base "/do/delete-many", "general_w", "Deletes the filtered " what, crud_delete_many,  \
     many_query, NULL, &sync_api_crud, 0}

const struct api_route sync_api_routes[] = {
    ROUTES("/api/v1/sync-apis", "sync APIs"),
    ROUTES("/api/v1/auth-links", "sync APIs (legacy name: auth links)"),
    {.method = NULL}};
/* clang-format on */
