/* SPDX-License-Identifier: Apache-2.0 */
/* System settings (spec 1.12): stored values over defaults, and what a change of one has to do. */
#include "record.h"
#include "rows.h"
#include "store.h"

#include <stdlib.h>
#include <string.h>

#define RECORD_SWITCH "LOCAL_FUNC_TASK_RECORD_ENABLED"

/* What a setting is now, its default included; a new reference, null when it is unknown and unset. */
static json_t *value_of(const char *id, tn_err *err)
{
    json_t *all = system_settings(err);
    json_t *v = all != NULL ? json_incref(json_object_get(all, id)) : NULL;
    if (all == NULL) {
        return NULL;
    }
    json_decref(all);
    return v != NULL ? v : json_null();
}

static bool applied(struct api_req *r, const char *id)
{
    tn_err err = TN_ERR_INIT;
    if (r->dry_run || strcmp(id, RECORD_SWITCH) != 0) {
        return true;
    }
    json_t *now = value_of(id, &err);
    tn_rc rc = now != NULL ? record_enable(!json_is_false(now), &err) : err.rc;
    json_decref(now);
    if (rc != TN_OK) {
        api_fail_err(r, &err);
    }
    return rc == TN_OK;
}

static void setting_get(struct api_req *r)
{
    tn_err err = TN_ERR_INIT;
    json_t *all = system_settings(&err), *ids = json_object_get(r->query, "id");
    if (all == NULL) {
        api_fail_err(r, &err);
        return;
    }
    if (json_array_size(ids) > 0) {
        json_t *some = json_object();
        for (size_t i = 0; i < json_array_size(ids); i++) {
            const char *id = json_string_value(json_array_get(ids, i));
            json_t *v = id != NULL ? json_object_get(all, id) : NULL;
            if (v != NULL) {
                json_object_set(some, id, v);
            }
        }
        json_decref(all);
        all = some;
    }
    api_ok(r, all);
}

/* Stores the text of the value, in one transaction with the look at what was there. */
static tn_rc store_value(struct api_req *r, tn_str id, const char *text, tn_err *err)
{
    tn_txn *txn = NULL;
    json_t *row = json_pack("{s:s%, s:s}", "id", id.s, id.n, "value", text);
    tn_rc rc = row == NULL ? api.host->fail(err, TN_E_INVAL, "this is no id of a setting")
                           : api.host->entities->begin(api.host->ctx, &txn, err);
    int64_t gone = 0;
    rc = rc ? rc : store_delete(txn, "systemSetting", "id", id, &gone, err);
    rc = rc ? rc : store_insert(txn, "systemSetting", row, NULL, err);
    json_decref(row);
    if (rc != TN_OK) {
        api.host->entities->rollback(api.host->ctx, txn);
        return rc;
    }
    return store_finish(r, txn, err);
}

static void setting_set(struct api_req *r)
{
    tn_err err = TN_ERR_INIT;
    char *id = text_dup(api_param(r, 0));
    json_t *value = json_object_get(json_object_get(r->body, "data"), "value");
    json_t *old = id != NULL ? value_of(id, &err) : NULL;
    char *text = json_dumps(value != NULL ? value : json_null(), JSON_COMPACT | JSON_ENCODE_ANY);
    tn_rc rc = old == NULL || text == NULL ? TN_E_NOMEM
                                           : store_value(r, api_param(r, 0), text, &err);
    if (rc != TN_OK) {
        api_fail_err(r, &err);
    } else if (applied(r, id)) {
        api_ok(r, json_pack("{s:O, s:O?}", "oldValue", old, "newValue", value));
    }
    json_decref(old);
    free(text);
    free(id);
}

static void setting_delete(struct api_req *r)
{
    tn_err err = TN_ERR_INIT;
    char *id = text_dup(api_param(r, 0));
    tn_txn *txn = NULL;
    tn_rc rc = api.host->entities->begin(api.host->ctx, &txn, &err);
    int64_t gone = 0;
    rc = rc ? rc : store_delete(txn, "systemSetting", "id", api_param(r, 0), &gone, &err);
    if (rc == TN_OK) {
        rc = store_finish(r, txn, &err);
    } else {
        api.host->entities->rollback(api.host->ctx, txn);
    }
    if (rc != TN_OK || id == NULL) {
        api_fail_err(r, &err);
    } else if (applied(r, id)) {
        api_ok(r, NULL);
    }
    free(id);
}

static const struct field get_query[] = {{.name = "id", .type = F_COMMA}, {.name = NULL}};
static const struct field set_data[] = {{.name = "value", .type = F_ANY, .flags = FF_NULL},
                                        {.name = NULL}};
static const struct field set_body[] = {
    {.name = "data", .type = F_OBJ, .flags = FF_REQUIRED, .sub = set_data}, {.name = NULL}};

const struct api_route system_setting_routes[] = {
    {"GET", "/api/v1/system-settings/do/get", "systemSetting_r", "Settings with their defaults",
     setting_get, get_query, NULL, NULL, 0},
    {"POST", "/api/v1/system-settings/:id/do/set", "systemSetting_w", "Sets one", setting_set, NULL,
     set_body, NULL, API_TOKEN_ONLY},
    {"GET", "/api/v1/system-settings/:id/do/delete", "systemSetting_w", "Back to its default",
     setting_delete, NULL, NULL, NULL, API_TOKEN_ONLY},
    {.method = NULL}};
