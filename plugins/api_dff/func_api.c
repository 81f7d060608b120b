/* SPDX-License-Identifier: Apache-2.0 */
/* Sync and async APIs (spec 1.9) and their legacy names, auth links and batches: the same rows and
 * handlers under two names each. */
#include "record.h"
#include "rows.h"
#include "target.h"

static const struct crud sync_api_crud = {
    .entity = "syncAPI",
    .label = "sync API",
    .url = "/api/v1/sync/",
    .origin = true,
    .before_add = target_before_add,
    .before_modify = target_before_modify,
    .changed = target_changed,
};
static const struct crud async_api_crud = {
    .entity = "asyncAPI",
    .label = "async API",
    .url = "/api/v1/async/",
    .origin = true,
    .before_add = target_before_add,
    .before_modify = target_before_modify,
    .changed = target_changed,
};

static void api_row(struct api_req *r, json_t *row)
{
    (void)r;
    json_object_set_new(row, "lastTaskStatus", record_last_get(text_of(row_text(row, "id"))));
}

/* clang-format off */
static const char *const sort[] = {"seq", "funcId", NULL};
static const char *const sync_fuzzy[] = {TARGET_FUZZY("sapi")};
static const char *const async_fuzzy[] = {TARGET_FUZZY("aapi")};
static const struct list_spec sync_api_list = {.entity = "syncAPI", .paging = PAGE_NORMAL,
                                               .sort = sort, .fuzzy = sync_fuzzy, .row = api_row};
static const struct list_spec async_api_list = {.entity = "asyncAPI", .paging = PAGE_NORMAL,
                                                .sort = sort, .fuzzy = async_fuzzy,
                                                .row = api_row};

static const struct field sync_api_list_query[] = {TARGET_FILTERS("sapi", F_STR, TN_OP_EQ),
                                                   {.name = NULL}};
static const struct field sync_api_many_query[] = {TARGET_FILTERS("sapi", F_COMMA, TN_OP_IN),
                                                   {.name = NULL}};
static const struct field async_api_list_query[] = {TARGET_FILTERS("aapi", F_STR, TN_OP_EQ),
                                                    {.name = NULL}};
static const struct field async_api_many_query[] = {TARGET_FILTERS("aapi", F_COMMA, TN_OP_IN),
                                                    {.name = NULL}};

#define RULE(n) {.name = n, .type = F_INT, .flags = FF_NULL, .min = 1, .max = INT32_MAX}
static const struct field throttling[] = {RULE("bySecond"), RULE("byMinute"), RULE("byHour"),
                                          RULE("byDay"), RULE("byMonth"), RULE("byYear"),
                                          {.name = NULL}};
#define COMMON TARGET_COMMON, {.name = "apiAuthId", .type = F_STR, .flags = FF_NULL, .max = 64}
#define SHOWN  {.name = "showInDoc", .type = F_BOOL}
#define LIMITS                                                                                    \
    {.name = "expireTime", .type = F_TIME, .flags = FF_NULL},                                     \
    {.name = "throttlingJSON", .type = F_OBJ, .flags = FF_NULL, .sub = throttling}
static const struct field sync_add[] = {TARGET_ID, TARGET_FUNC(FF_REQUIRED), COMMON, LIMITS, SHOWN,
                                        {.name = NULL}};
static const struct field sync_modify[] = {TARGET_FUNC(0), COMMON, LIMITS, SHOWN, {.name = NULL}};
static const struct field async_add[] = {TARGET_ID, TARGET_FUNC(FF_REQUIRED), COMMON, SHOWN,
                                         {.name = NULL}};
static const struct field async_modify[] = {TARGET_FUNC(0), COMMON, SHOWN, {.name = NULL}};
static const struct field both_many[] = {TARGET_FUNC(0), COMMON, {.name = NULL}};
static const struct field sync_item[] = {{.name = "data", .type = F_OBJ, .sub = sync_add}};
static const struct field async_item[] = {{.name = "data", .type = F_OBJ, .sub = async_add}};

static const struct field sync_api_add_body[] = TARGET_DATA(F_OBJ, sync_add);
static const struct field sync_api_modify_body[] = TARGET_DATA(F_OBJ, sync_modify);
static const struct field sync_api_add_many_body[] = TARGET_DATA(F_ARR, sync_item);
static const struct field sync_api_modify_many_body[] = TARGET_DATA(F_OBJ, both_many);
static const struct field async_api_add_body[] = TARGET_DATA(F_OBJ, async_add);
static const struct field async_api_modify_body[] = TARGET_DATA(F_OBJ, async_modify);
static const struct field async_api_add_many_body[] = TARGET_DATA(F_ARR, async_item);
static const struct field async_api_modify_many_body[] = TARGET_DATA(F_OBJ, both_many);

const struct api_route func_api_routes[] = {
    TARGET_ROUTES("/api/v1/sync-apis", "sync APIs", sync_api),
    TARGET_ROUTES("/api/v1/auth-links", "sync APIs (legacy name: auth links)", sync_api),
    TARGET_ROUTES("/api/v1/async-apis", "async APIs", async_api),
    TARGET_ROUTES("/api/v1/batches", "async APIs (legacy name: batches)", async_api),
    {.method = NULL}};
/* clang-format on */
