/* SPDX-License-Identifier: Apache-2.0 */
/* API auth rows (spec 1.8): passwords and field values are sealed in the store; passwords never leave
 * it. A change counts for the next call. */
#include "gate.h"
#include "rows.h"
#include "target.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a list of secrets of one type looks like, in requests and in the store. */
struct secrets {
    const char *type, *list, *name, *plain, *cipher;
};
static const struct secrets kinds[] = {
    {"fixedField", "fields", "name", "value", "valueCipher"},
    {"httpBasic", "users", "username", "password", "passwordCipher"},
    {"httpDigest", "users", "username", "password", "passwordCipher"},
};

static const struct secrets *secrets_of(const char *type)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(type, kinds[i].type) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}

/* ---- writing ---------------------------------------------------------------------------------------- */
static TN_PRINTF(2, 3) bool bad(struct change *c, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    api_fail(c->r, EClientBadRequest, NULL, NULL, "%s", text);
    return false;
}

static const json_t *item_named(const json_t *list, const char *key, const char *name)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (strcmp(row_text(json_array_get(list, i), key), name) == 0) {
            return json_array_get(list, i);
        }
    }
    return NULL;
}

/* Seals what is new and keeps what was; the list then is as the store has it. False: answered. */
static bool seal_list(struct change *c, const struct secrets *k, const char *id, const json_t *old,
                      json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *item = json_array_get(list, i), *sealed = NULL;
        const char *name = row_text(item, k->name);
        const char *plain = json_string_value(json_object_get(item, k->plain));
        tn_err err = TN_ERR_INIT;
        if (name[0] == '\0') {
            return bad(c, "%s of an API auth must not be empty", k->name);
        }
        if (strcmp(k->list, "users") == 0) {
            const json_t *same = item_named(list, k->name, name);
            if (same != item) {
                return bad(c, "User %.128s is given twice", name);
            }
            if (strlen(name) > 127 || (strcmp(k->type, "httpBasic") == 0 && strchr(name, ':'))) {
                return bad(c, "User %.40s: a name has at most 127 bytes, for httpBasic no colon",
                           name);
            }
            if (plain == NULL) {
                sealed = json_incref(json_object_get(item_named(old, k->name, name), k->cipher));
                if (sealed == NULL) {
                    return bad(c, "User %.128s is new and needs a password", name);
                }
            }
        }
        if (sealed == NULL) {
            sealed = gate_crypt(id, name, plain != NULL ? plain : "", true, &err);
        }
        if (sealed == NULL) {
            api_fail_err(c->r, &err);
            return false;
        }
        json_object_del(item, k->plain);
        json_object_set_new(item, k->cipher, sealed);
    }
    return true;
}

/* The function of a func row must be there. False: answered. */
static bool func_exists(struct change *c, const json_t *config)
{
    const char *func_id = row_text(config, "funcId");
    return func_id[0] != '\0' ? target_func_exists(c, func_id)
                              : bad(c, "%s is required for an API auth of type func", "funcId");
}

/* Leaves of `data.configJSON` what belongs to the type, sealed. False: answered. */
static bool config_take(struct change *c, const char *type, const char *id, const json_t *old,
                        json_t *data)
{
    const struct secrets *k = secrets_of(type);
    json_t *config = json_object_get(data, "configJSON"), *kept = json_object();
    bool ok;
    if (!json_is_object(config)) { /* nothing given: nothing changes */
        json_decref(kept);
        json_object_del(data, "configJSON");
        return true;
    }
    if (k == NULL) {
        ok = func_exists(c, config);
        json_object_set(kept, "funcId", json_object_get(config, "funcId"));
    } else {
        json_t *list = json_object_get(config, k->list);
        list = json_is_array(list) ? json_incref(list) : json_array();
        ok = seal_list(c, k, id, json_object_get(json_object_get(old, "configJSON"), k->list),
                       list);
        json_object_set_new(kept, k->list, list);
    }
    json_object_set_new(data, "configJSON", kept);
    return ok;
}

static void name_to_title(json_t *data)
{
    json_t *name = json_object_get(data, "name");
    if (name != NULL && json_object_get(data, "title") == NULL) {
        json_object_set(data, "title", name);
    }
    json_object_del(data, "name");
}

static bool before_add(struct change *c, json_t *data)
{
    char id[5 + 12 + 1] = "apia-"; /* here and not in the store, because secrets are bound to it */
    api.host->auth->random_id(id + 5, 12);
    json_object_set_new(data, "id", json_string(id));
    name_to_title(data);
    return config_take(c, row_text(data, "type"), id, NULL, data);
}

static bool before_modify(struct change *c, const json_t *old, json_t *data)
{
    name_to_title(data);
    return config_take(c, row_text(old, "type"), row_text(old, "id"), old, data);
}

const struct crud api_auth_crud = {
    .entity = "apiAuth",
    .label = "API auth",
    .before_add = before_add,
    .before_modify = before_modify,
    .changed = target_changed,
};

/* ---- reading ---------------------------------------------------------------------------------------- */
/* Users without their passwords; fields with their values, which the page shows and sends back. */
static void config_show(json_t *row)
{
    const struct secrets *k = secrets_of(row_text(row, "type"));
    json_t *list = k != NULL ? json_object_get(json_object_get(row, "configJSON"), k->list) : NULL;
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *item = json_array_get(list, i);
        const char *sealed = json_string_value(json_object_get(item, k->cipher));
        tn_err err = TN_ERR_INIT;
        if (sealed != NULL && strcmp(k->list, "fields") == 0) {
            json_t *value = gate_crypt(row_text(row, "id"), row_text(item, k->name), sealed, false,
                                       &err);
            json_object_set_new(item, k->plain, value != NULL ? value : json_null());
        }
        json_object_del(item, k->cipher);
    }
}

/* The columns of `from` under a prefix; JSON columns as text (spec 8.2 item 22). */
static void show_func(json_t *row, const char *func_id)
{
    static const char *const shown[] = {
        "id",         "name",        "title",      "description",
        "definition", "argsJSON",    "kwargsJSON", "extraConfigJSON",
        "category",   "integration", "tagsJSON"};
    tn_err err = TN_ERR_INIT;
    json_t *func = store_one(NULL, "func", "id", text_of(func_id), NULL, 0, &err), *v;
    const char *key;
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        char name[40];
        snprintf(name, sizeof name, "func_%s", shown[i]);
        v = json_object_get(func, shown[i]);
        if (json_is_object(v) || json_is_array(v)) {
            char *text = json_dumps(v, JSON_COMPACT);
            json_object_set_new(row, name, text != NULL ? json_string(text) : json_null());
            free(text);
        } else {
            json_object_set_new(row, name, v != NULL ? json_incref(v) : json_null());
        }
    }
    json_object_foreach(func, key, v)
    {
        if (strncmp(key, "scpt_", 5) == 0 || strncmp(key, "sset_", 5) == 0) {
            json_object_set(row, key, v);
        }
    }
    json_decref(func);
}

/* What a fixed field must hold is a password by another name. Who may change it needs it, because a change must send all
 * of it again (spec 1.8); who may only read gets asterisks. */
static void hide_values(const struct api_req *r, json_t *row)
{
    json_t *field;
    size_t i;
    if (r->has_user && (r->user.privileges & P_general_w) != 0) {
        return;
    }
    json_array_foreach(json_object_get(json_object_get(row, "configJSON"), "fields"), i, field)
    {
        json_object_set_new(field, "value", json_string("*****"));
    }
}

static void auth_row(struct api_req *r, json_t *row)
{
    json_t *title = json_object_get(row, "title");
    json_object_set_new(row, "name", title != NULL ? json_incref(title) : json_null());
    config_show(row);
    hide_values(r, row);
    if (strcmp(row_text(row, "type"), "func") == 0) {
        show_func(row, row_text(json_object_get(row, "configJSON"), "funcId"));
    }
}

/* ---- tables ----------------------------------------------------------------------------------------- */
/* clang-format off */
static const char *const sort[] = {"id", "seq", NULL};
static const char *const fuzzy[] = {"apia.id", "apia.title", "apia.configJSON", "apia.note", NULL};
static const struct list_spec auth_list = {.entity = "apiAuth", .paging = PAGE_NORMAL,
                                           .sort = sort, .fuzzy = fuzzy, .row = auth_row};
#define TYPES "fixedField|httpBasic|httpDigest|func"
static const struct field list_query[] = {
    {.name = "id", .type = F_COMMA, .op = TN_OP_IN, .column = "apia.id"},
    {.name = "type", .type = F_COMMA, .op = TN_OP_IN, .column = "apia.type"},
    {.name = "title", .type = F_STR, .op = TN_OP_LIKE, .column = "apia.title"},
    {.name = "name", .type = F_STR, .op = TN_OP_LIKE, .column = "apia.title"},
    {.name = "note", .type = F_STR, .op = TN_OP_LIKE, .column = "apia.note"},
    {.name = NULL}};
static const struct field one_field[] = {
    {.name = "location", .type = F_STR, .flags = FF_REQUIRED, .choices = "header|query|body"},
    {.name = "name", .type = F_STR, .flags = FF_REQUIRED, .max = 128},
    {.name = "value", .type = F_STR, .flags = FF_REQUIRED, .max = 1024}, {.name = NULL}};
#define USER(must)                                                                                \
    {.name = "username", .type = F_STR, .flags = FF_REQUIRED, .max = 127},                        \
    {.name = "password", .type = F_STR, .flags = must, .max = 1024}, {.name = NULL}
static const struct field add_user[] = {USER(FF_REQUIRED)};
static const struct field modify_user[] = {USER(0)};
static const struct field fields_item[] = {{.name = "field", .type = F_OBJ, .sub = one_field}};
static const struct field add_users[] = {{.name = "user", .type = F_OBJ, .sub = add_user}};
static const struct field modify_users[] = {{.name = "user", .type = F_OBJ, .sub = modify_user}};
#define CONFIG(users_)                                                                            \
    {.name = "fields", .type = F_ARR, .sub = fields_item},                                        \
    {.name = "users", .type = F_ARR, .sub = users_},                                              \
    {.name = "funcId", .type = F_STR, .max = 256}, {.name = NULL}
static const struct field add_config[] = {CONFIG(add_users)};
static const struct field modify_config[] = {CONFIG(modify_users)};
#define TITLE                                                                                     \
    {.name = "title", .type = F_STR, .flags = FF_NULL, .max = 256},                               \
    {.name = "name", .type = F_STR, .flags = FF_NULL, .max = 256},                                \
    {.name = "note", .type = F_STR, .flags = FF_NULL}
static const struct field add_data[] = {
    TITLE, {.name = "type", .type = F_STR, .flags = FF_REQUIRED, .choices = TYPES},
    {.name = "configJSON", .type = F_OBJ, .flags = FF_REQUIRED, .sub = add_config}, {.name = NULL}};
static const struct field modify_data[] = {
    TITLE, {.name = "configJSON", .type = F_OBJ, .sub = modify_config}, {.name = NULL}};
static const struct field add_body[] = {
    {.name = "data", .type = F_OBJ, .flags = FF_REQUIRED, .sub = add_data}, {.name = NULL}};
static const struct field modify_body[] = {
    {.name = "data", .type = F_OBJ, .flags = FF_REQUIRED, .sub = modify_data}, {.name = NULL}};

const struct api_route api_auth_routes[] = {
    {"GET", "/api/v1/api-auth/do/list", "general_r", "Lists API auth", list_run, list_query, NULL,
     &auth_list, API_FIELDS | API_EXPORT},
    {"POST", "/api/v1/api-auth/do/add", "general_w", "Adds an API auth", crud_add, NULL, add_body,
     &api_auth_crud, 0},
    {"POST", "/api/v1/api-auth/:id/do/modify", "general_w", "Changes an API auth", crud_modify,
     NULL, modify_body, &api_auth_crud, 0},
    {"GET", "/api/v1/api-auth/:id/do/delete", "general_w", "Deletes an API auth", crud_delete,
     NULL, NULL, &api_auth_crud, 0},
    {.method = NULL}};
/* clang-format on */
