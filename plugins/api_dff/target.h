/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that call a function (spec 1.9: sync APIs, async APIs, cron jobs) and API auth: the rules and
 * field tables they share. */
#pragma once
#include "crud.h"

/* The function of that id must exist; NULL passes. False: answered. */
bool target_func_exists(struct change *c, const char *func_id);
/* Hooks of struct crud: no null id, tags are a sorted set, the function exists. */
bool target_before_add(struct change *c, json_t *data);
bool target_before_modify(struct change *c, const json_t *old, json_t *data);
tn_rc target_changed(struct api_req *r, tn_err *err); /* the next call sees it */

/* Filters of lists and of the many-forms; `a`: alias of the entity. Lists compare origins whole. */
/* clang-format off */
#define TARGET_FILTERS(a, origin_type, origin_op)                                                 \
    {.name = "id", .type = F_COMMA, .op = TN_OP_IN, .column = a ".id"},                           \
    {.name = "funcId", .type = F_COMMA, .op = TN_OP_IN, .column = a ".funcId"},                   \
    {.name = "tags", .type = F_COMMA, .op = TN_OP_JSON_HAS_ALL, .column = a ".tagsJSON"},         \
    {.name = "origin", .type = origin_type, .op = origin_op, .column = a ".origin"},              \
    {.name = "originId", .type = origin_type, .op = origin_op, .column = a ".originId"},          \
    {.name = "func_scriptSetId", .type = F_COMMA, .op = TN_OP_IN, .column = "func.scriptSetId"},  \
    {.name = "func_scriptId", .type = F_COMMA, .op = TN_OP_IN, .column = "func.scriptId"},        \
    {.name = "func_tags", .type = F_COMMA, .op = TN_OP_JSON_HAS_ALL, .column = "func.tagsJSON"}

/* Columns of _fuzzySearch. */
#define TARGET_FUZZY(a)                                                                           \
    a ".id", a ".funcId", a ".funcCallKwargsJSON", a ".tagsJSON", a ".originId", a ".note",       \
    "func.title", "func.description", "func.tagsJSON", NULL

/* Body fields; must: FF_REQUIRED in add. */
#define TARGET_ID                                                                                 \
    {.name = "id", .type = F_STR, .flags = FF_NULL, .min = 1, .max = 64, .pattern = PAT_OWN_ID}
#define TARGET_FUNC(must)                                                                         \
    {.name = "funcId", .type = F_STR, .flags = must, .min = 1, .max = 256},                       \
    {.name = "funcCallKwargsJSON", .type = F_JSON, .flags = must}
#define TARGET_COMMON                                                                             \
    {.name = "tagsJSON", .type = F_ARR, .flags = FF_NULL, .sub = target_tag},                     \
    {.name = "taskRecordLimit", .type = F_INT, .flags = FF_NULL, .min = 0, .max = 10000},         \
    {.name = "isDisabled", .type = F_BOOL},                                                       \
    {.name = "note", .type = F_STR, .flags = FF_NULL}
extern const struct field target_tag[];

/* A whole body: {"data": …}. */
#define TARGET_DATA(t, s)                                                                         \
    {{.name = "data", .type = t, .flags = FF_REQUIRED, .min = t == F_ARR, .sub = s}, {.name = NULL}}

/* Routes of one resource name. x: the prefix of its list_spec x_list, its tables x_list_query,
 * x_many_query, x_add_body, x_modify_body, x_add_many_body, x_modify_many_body, and x_crud. */
#define TARGET_ROUTES(base, what, x)                                                              \
    {"GET", base "/do/list", "general_r", "Lists " what, list_run, x##_list_query, NULL,          \
     &x##_list, API_FIELDS | API_EXPORT},                                                         \
    {"POST", base "/do/add", "general_w", "Adds one of the " what, crud_add, NULL, x##_add_body,  \
     &x##_crud, 0},                                                                               \
    {"POST", base "/:id/do/modify", "general_w", "Changes one of the " what, crud_modify, NULL,   \
     x##_modify_body, &x##_crud, 0},                                                              \
    {"GET", base "/:id/do/delete", "general_w", "Deletes one of the " what, crud_delete, NULL,    \
     NULL, &x##_crud, 0},                                                                         \
    {"POST", base "/do/add-many", "general_w", "Adds several " what, crud_add_many, NULL,         \
     x##_add_many_body, &x##_crud, 0},                                                            \
    {"POST", base "/do/modify-many", "general_w", "Changes the filtered " what, crud_modify_many, \
     x##_many_query, x##_modify_many_body, &x##_crud, 0},                                         \
    {"GET", base "/do/delete-many", "general_w", "Deletes the filtered " what, crud_delete_many,  \
     x##_many_query, NULL, &x##_crud, 0}
/* clang-format on */
