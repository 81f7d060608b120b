/* SPDX-License-Identifier: Apache-2.0 */
/* Routes over what scripts have put into DFF.STORE (spec Appendix A, funcStoreAPI). */
#include "rows.h"

static void store_get(struct api_req *r)
{
    tn_err err = TN_ERR_INIT;
    json_t *row = store_one(NULL, "funcStore", "id", api_param(r, 0), NULL, 0, &err);
    if (row != NULL) {
        api_ok(r, row);
    } else if (err.rc == TN_E_NOTFOUND) {
        crud_no_such(r, "func store", api_param(r, 0));
    } else {
        api_fail_err(r, &err);
    }
}

static const struct crud func_store_crud = {.entity = "funcStore", .label = "func store"};

/* clang-format off */
static const char *const sort[] = {"seq", "scope", "key", "createTime", "updateTime", NULL};
static const char *const fuzzy[] = {"fnst.scope", "fnst.key", NULL};
static const struct list_spec func_store_list = {.entity = "funcStore", .paging = PAGE_NORMAL,
                                                 .sort = sort, .fuzzy = fuzzy};
static const struct field list_query[] = {
    {.name = "id", .type = F_COMMA, .op = TN_OP_IN, .column = "fnst.id"},
    {.name = "scope", .type = F_STR, .op = TN_OP_LIKE, .column = "fnst.scope"},
    {.name = "key", .type = F_STR, .op = TN_OP_LIKE, .column = "fnst.key"},
    {.name = NULL}};

const struct api_route func_store_routes[] = {
    {"GET", "/api/v1/func-stores/do/list", "general_r", "Lists what scripts have stored", list_run,
     list_query, NULL, &func_store_list, API_EXPORT},
    {"GET", "/api/v1/func-stores/:id/do/get", "general_r", "One stored value", store_get, NULL,
     NULL, NULL, 0},
    {"GET", "/api/v1/func-stores/:id/do/delete", "general_w", "Deletes a stored value",
     crud_delete, NULL, NULL, &func_store_crud, 0},
    {.method = NULL}};
/* clang-format on */
