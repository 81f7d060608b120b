/* SPDX-License-Identifier: Apache-2.0 */
/* Environment variables (spec 1.7): CRUD with sealed passwords, and what DFF.ENV asks for. */
#include "rows.h"
#include "secret.h"
#include "service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CTX api.host->ctx

static bool is_password(const char *type)
{
    return strcmp(type, "password") == 0;
}

/* Seals or opens `value` for the variable `id`; the text is bound to its row. New reference. */
static json_t *env_crypt(const char *id, const char *value, bool seal, tn_err *err)
{
    struct str aad = {0};
    str_printf(&aad, "biz_main_env_variable|valueTEXT|%s", id);
    json_t *text = secret_crypt(str_view(&aad).s, value, seal, err);
    str_free(&aad);
    return text;
}

/* Decides by the resulting type how the value is stored; a change of type alone re-seals or opens
 * what is there. False: answered. */
static bool value_take(struct change *c, const char *id, const json_t *old, json_t *data)
{
    const char *was = old != NULL ? row_text(old, "autoTypeCasting") : "string";
    const char *given = json_string_value(json_object_get(data, "autoTypeCasting"));
    const char *type = given != NULL ? given : was;
    const char *fresh = json_string_value(json_object_get(data, "valueTEXT"));
    tn_err err = TN_ERR_INIT;
    json_t *text = NULL;
    if (fresh != NULL) {
        text = is_password(type) ? env_crypt(id, fresh, true, &err) : json_string(fresh);
    } else if (old == NULL) {
        text = is_password(type) ? env_crypt(id, "", true, &err) : json_string("");
    } else if (is_password(type) != is_password(was)) {
        text = env_crypt(id, row_text(old, "valueTEXT"), is_password(type), &err);
    } else {
        return true;
    }
    if (text == NULL) {
        api_fail_err(c->r, &err);
        return false;
    }
    json_object_set_new(data, "valueTEXT", text);
    return true;
}

static bool env_before_add(struct change *c, json_t *data)
{
    return value_take(c, row_text(data, "id"), NULL, data);
}

static bool env_before_modify(struct change *c, const json_t *old, json_t *data)
{
    return value_take(c, row_text(old, "id"), old, data);
}

static tn_rc env_changed(struct api_req *r, tn_err *err)
{
    (void)r;
    (void)err;
    api.host->calls->data_changed(CTX);
    return TN_OK;
}

const struct crud env_crud = {
    .entity = "envVariable",
    .label = "env variable",
    .dup_sub = "DuplicatedEnvVariableID",
    .pin = true,
    .before_add = env_before_add,
    .before_modify = env_before_modify,
    .changed = env_changed,
};

static void env_row(struct api_req *r, json_t *row)
{
    (void)r;
    row_pinned(row);
    if (is_password(row_text(row, "autoTypeCasting"))) {
        json_object_del(row, "valueTEXT");
    }
}

/* ---- DFF.ENV.save -------------------------------------------------------------------------------- */
static tn_rc put_checked(const json_t *ask, const char *id, const char *type, tn_err *err)
{
    static const char *const copied[] = {"title", "description"};
    const char *value = row_text(ask, "value");
    json_t *text = is_password(type) ? env_crypt(id, value, true, err) : json_string(value);
    json_t *row = text != NULL ? json_pack("{s:s, s:s, s:o}", "id", id, "autoTypeCasting", type,
                                           "valueTEXT", text)
                               : NULL;
    tn_txn *txn = NULL;
    int64_t had = 0;
    tn_rc rc = row == NULL ? (err->rc != TN_OK ? err->rc : TN_E_NOMEM)
                           : api.host->entities->begin(CTX, &txn, err);
    for (size_t i = 0; i < 2; i++) {
        if (json_is_string(json_object_get(ask, copied[i]))) {
            json_object_set(row, copied[i], json_object_get(ask, copied[i]));
        }
    }
    if (rc == TN_OK) {
        json_t *old = store_one(txn, "envVariable", "id", text_of(id), NULL, 0, NULL);
        had = old != NULL;
        json_decref(old);
        if (had) {
            json_object_del(row, "id");
        }
        rc = had ? store_patch(txn, "envVariable", "id", text_of(id), row, err)
                 : store_insert(txn, "envVariable", row, NULL, err);
    }
    json_decref(row);
    if (rc == TN_OK) {
        return api.host->entities->commit(CTX, txn, err);
    }
    api.host->entities->rollback(CTX, txn);
    return rc;
}

tn_rc env_put(const json_t *ask, tn_err *err)
{
    static const char types[] = "|string|password|integer|float|boolean|json|commaArray|";
    const char *id = row_text(ask, "id"), *type = row_text(ask, "type");
    size_t n = strlen(id), good = 0;
    char wanted[40];
    while (good < n && (id[good] == '_' || (id[good] >= 'a' && id[good] <= 'z') ||
                        (id[good] >= 'A' && id[good] <= 'Z') ||
                        (good > 0 && id[good] >= '0' && id[good] <= '9'))) {
        good++;
    }
    if (n == 0 || n > 64 || good < n) {
        return api.host->fail(
            err, TN_E_INVAL,
            "the id of an env variable is 1 to 64 letters, digits and underscores, "
            "not \"%.80s\"",
            id);
    }
    snprintf(wanted, sizeof wanted, "|%.32s|", type);
    if (strstr(types, wanted) == NULL) {
        return api.host->fail(err, TN_E_INVAL, "\"%.32s\" is no type of env variables", type);
    }
    return put_checked(ask, id, type, err);
}

/* ---- services for scripts -------------------------------------------------------------------- */
/* "env.get": the id, as it is or as {"id": …} -> {"id", "type", "value"}; passwords
 * arrive in clear because the script's cast needs them. */
static void env_get(void *user, tn_str payload, void *token)
{
    (void)user;
    tn_err err = TN_ERR_INIT;
    json_t *ask = json_loadb(payload.s, payload.n, JSON_DECODE_ANY, NULL);
    const json_t *member = json_is_object(ask) ? json_object_get(ask, "id") : ask;
    tn_str id = json_is_string(member)
                    ? (tn_str){json_string_value(member), json_string_length(member)}
                    : payload;
    json_t *row = store_one(NULL, "envVariable", "id", id, NULL, 0, &err);
    json_decref(ask);
    if (row == NULL) {
        api.host->calls->answer(CTX, token, err.rc, text_of(err.msg));
        return;
    }
    const char *type = row_text(row, "autoTypeCasting"), *name = row_text(row, "id");
    json_t *value = is_password(type) ? env_crypt(name, row_text(row, "valueTEXT"), false, &err)
                                      : json_incref(json_object_get(row, "valueTEXT"));
    if (value == NULL) {
        api.host->log(CTX, TN_LOG_ERROR, "env variable %s: %s", name, err.msg);
        api.host->calls->answer(CTX, token, TN_E_INTERNAL,
                                TN_STR("the value of this env variable cannot be opened"));
    } else {
        service_answer(token,
                       json_pack("{s:s, s:s, s:o}", "id", name, "type", type, "value", value));
    }
    json_decref(row);
}

/* "env.keys" -> ["id", …] */
static void env_keys(void *user, tn_str payload, void *token)
{
    static const char *const by_id[] = {"id"};
    (void)user;
    (void)payload;
    tn_err err = TN_ERR_INIT;
    tn_list q = {.size = sizeof q, .sort = by_id, .nsort = 1, .limit = -1};
    json_t *rows = store_rows(NULL, "envVariable", &q, NULL, &err);
    if (rows == NULL) {
        api.host->calls->answer(CTX, token, err.rc, text_of(err.msg));
        return;
    }
    json_t *ids = json_array();
    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_array_append(ids, json_object_get(json_array_get(rows, i), "id"));
    }
    json_decref(rows);
    service_answer(token, ids);
}

tn_rc env_services(tn_err *err)
{
    tn_rc rc = api.host->calls->service(CTX, "env.get", 0, env_get, NULL, err);
    return rc == TN_OK ? api.host->calls->service(CTX, "env.keys", 0, env_keys, NULL, err) : rc;
}

/* ---- tables ---------------------------------------------------------------------------------- */
/* clang-format off */
static const char *const sort[] = {"seq", "id", NULL};
static const char *const fuzzy[] = {"evar.id", "evar.title", "evar.description", "evar.valueTEXT",
    NULL};
static const struct list_spec env_list = {.entity = "envVariable", .paging = PAGE_NORMAL,
                                          .sort = sort, .fuzzy = fuzzy, .row = env_row};
static const struct field list_query[] = {
    {.name = "id", .type = F_COMMA, .op = TN_OP_IN, .column = "evar.id"}, {.name = NULL}};
#define TYPES "string|password|integer|float|boolean|json|commaArray"
#define FIELDS(must)                                                                              \
    {.name = "title", .type = F_STR, .flags = FF_NULL},                                           \
    {.name = "description", .type = F_STR, .flags = FF_NULL},                                     \
    {.name = "autoTypeCasting", .type = F_STR, .flags = must, .choices = TYPES},                  \
    {.name = "valueTEXT", .type = F_STR}, {.name = "isPinned", .type = F_BOOL, .flags = FF_NULL}, \
    {.name = NULL}
static const struct field add_data[] = {
    {.name = "id", .type = F_STR, .flags = FF_REQUIRED, .max = 64, .pattern = PAT_IDENT},
    FIELDS(FF_REQUIRED)};
static const struct field modify_data[] = {FIELDS(0)};
static const struct field add_body[] = {
    {.name = "data", .type = F_OBJ, .flags = FF_REQUIRED, .sub = add_data}, {.name = NULL}};
static const struct field modify_body[] = {
    {.name = "data", .type = F_OBJ, .flags = FF_REQUIRED, .sub = modify_data}, {.name = NULL}};

const struct api_route env_routes[] = {
    {"GET", "/api/v1/env-variables/do/list", "general_r", "Lists env variables", list_run,
     list_query,
     NULL, &env_list, API_FIELDS | API_EXPORT},
    {"POST", "/api/v1/env-variables/do/add", "general_w", "Adds an env variable", crud_add, NULL,
     add_body, &env_crud, 0},
    {"POST", "/api/v1/env-variables/:id/do/modify", "general_w", "Changes an env variable",
     crud_modify, NULL, modify_body, &env_crud, 0},
    {"GET", "/api/v1/env-variables/:id/do/delete", "general_w", "Deletes an env variable",
     crud_delete, NULL, NULL, &env_crud, 0},
    {.method = NULL}};
/* clang-format on */
