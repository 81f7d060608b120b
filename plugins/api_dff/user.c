/* SPDX-License-Identifier: Apache-2.0 */
/* Users (spec 1.2): list with sessions, get, add, modify, delete. */
#include "guard.h"
#include "rows.h"
#include "session.h"

#include <stdlib.h>
#include <string.h>

#define CTX  api.host->ctx
#define AUTH api.host->auth

static void user_row(struct api_req *r, json_t *row)
{
    static const char *const lists[] = {"markers", "roles", "customPrivileges"};
    (void)r;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        if (!json_is_array(json_object_get(row, lists[i]))) {
            json_object_set_new(row, lists[i], json_array());
        }
    }
}

/* ---- list: users with live sessions first, the most recent one on top ------------------------ */
static double last_access(const json_t *user)
{
    const json_t *sessions = json_object_get(user, "sessions"), *s;
    double last = -1;
    size_t i;
    json_array_foreach((json_t *)sessions, i, s)
    {
        const json_t *at = json_object_get(s, "lastAccessTime");
        double v = json_is_number(at) ? json_number_value(at) : 0;
        int64_t us;
        if (json_is_string(at) && iso_parse(text_of(json_string_value(at)), &us)) {
            v = (double)us / 1e6;
        }
        last = v > last ? v : last;
    }
    return last;
}

static int by_last_access(const void *a, const void *b)
{
    double x = last_access(*(json_t *const *)a), y = last_access(*(json_t *const *)b);
    return x < y ? 1 : x > y ? -1 : 0;
}

static bool user_rows(struct api_req *r, json_t *rows)
{
    tn_text text = {0};
    tn_err err = TN_ERR_INIT;
    if (AUTH->session_list(CTX, &text, &err) != TN_OK) {
        api_fail_err(r, &err);
        return false;
    }
    json_t *all = json_loadb(text.s, text.n, 0, NULL);
    api.host->free(CTX, text.s);
    size_t n = json_array_size(rows);
    json_t **order = n > 0 ? calloc(n, sizeof *order) : NULL;
    for (size_t i = 0; order != NULL && i < n; i++) {
        order[i] = json_incref(json_array_get(rows, i));
        json_t *own = json_object_get(all, row_text(order[i], "id"));
        json_object_set_new(order[i], "sessions",
                            json_is_array(own) ? json_incref(own) : json_array());
    }
    json_decref(all);
    /* An own order was asked for: leave it. */
    if (order != NULL && query_arg(r->http, "sort").n == 0) {
        qsort(order, n, sizeof *order, by_last_access);
        json_array_clear(rows);
        for (size_t i = 0; i < n; i++) {
            json_array_append(rows, order[i]);
        }
    }
    for (size_t i = 0; order != NULL && i < n; i++) {
        json_decref(order[i]);
    }
    free(order);
    return true;
}

static void user_get(struct api_req *r)
{
    tn_err err = TN_ERR_INIT;
    json_t *row = store_one(NULL, "user", "id", api_param(r, 0), NULL, 0, &err);
    if (row != NULL) {
        user_row(r, row);
        api_ok(r, row);
    } else if (err.rc == TN_E_NOTFOUND) {
        crud_no_such(r, "user", api_param(r, 0));
    } else {
        api_fail_err(r, &err);
    }
}

/* ---- changes --------------------------------------------------------------------------------- */
/* Text "a,b" to a list; every name must be a privilege. False: answered. */
static bool privileges_take(struct change *c, json_t *data)
{
    const char *text = json_string_value(json_object_get(data, "customPrivileges"));
    if (text == NULL) {
        return true;
    }
    json_t *list = json_array();
    for (const char *p = text; *p != '\0';) {
        size_t n = strcspn(p, ", ");
        uint32_t bit = n > 0 ? privilege_bit((tn_str){p, n}) : 0;
        if (n > 0 && bit == 0) {
            json_decref(list);
            api_fail(c->r, EClientBadRequest, NULL,
                     json_pack("{s:s%}", "privilege", p, n > 64 ? (size_t)64 : n),
                     "There is no such privilege");
            return false;
        }
        /* Nobody hands out more than he holds. */
        if ((bit & ~c->r->user.privileges) != 0) {
            json_t *detail = json_pack("{s:[s%]}", "requiredPrivileges", p, n);
            json_decref(list);
            api_fail(c->r, EUserPrivilege, NULL, detail, "Privilege is not satisfied");
            return false;
        }
        if (n > 0) {
            json_array_append_new(list, json_stringn(p, n));
        }
        p += n;
        p += strspn(p, ", ");
    }
    json_object_set_new(data, "customPrivileges", list);
    return true;
}

static bool needs(struct change *c, const json_t *data, const char *field, const char *privilege)
{
    uint32_t bit = privilege_bit(text_of(privilege));
    if (json_object_get(data, field) == NULL || (c->r->user.privileges & bit) != 0) {
        return true;
    }
    api_fail(c->r, EUserPrivilege, NULL, json_pack("{s:[s]}", "requiredPrivileges", privilege),
             "Privilege is not satisfied");
    return false;
}

static bool password_take(struct change *c, json_t *data)
{
    const char *password = json_string_value(json_object_get(data, "password"));
    tn_err err = TN_ERR_INIT;
    tn_text phc = {0};
    if (password == NULL) {
        return true;
    }
    if (AUTH->password_hash(CTX, text_of(password), &phc, &err) != TN_OK) {
        api_fail_err(c->r, &err);
        return false;
    }
    json_object_set_new(data, "passwordHash", json_string(phc.s));
    json_object_del(data, "password");
    api.host->free(CTX, phc.s);
    return true;
}

static bool username_free(struct change *c, const json_t *data, const char *own_id)
{
    const char *username = json_string_value(json_object_get(data, "username"));
    if (username == NULL) {
        return true;
    }
    tn_err err = TN_ERR_INIT;
    json_t *other = store_one(c->txn, "user", "username", text_of(username), NULL, 0, &err);
    bool taken = other != NULL && strcmp(row_text(other, "id"), own_id) != 0;
    json_decref(other);
    if (taken) {
        api_fail(c->r, EClientDuplicated, "username", NULL, "Username is already used: %s",
                 username);
    }
    return !taken;
}

static bool user_fields(struct change *c, json_t *data, const char *own_id)
{
    return needs(c, data, "roles", "user_roleSetting") &&
           needs(c, data, "customPrivileges", "user_customPrivilege") && privileges_take(c, data) &&
           username_free(c, data, own_id) && password_take(c, data);
}

static bool user_before_add(struct change *c, json_t *data)
{
    return user_fields(c, data, "");
}

static bool sa_refused(struct change *c, const json_t *old)
{
    if (user_has_role(old, "sa")) {
        api_fail(c->r, EBizCondition, "adminUserCannotBeModified", NULL,
                 "Admin user cannot be modified or deleted");
        return true;
    }
    return false;
}

/* Who reads the localhost token owns the machine: he may give a forgotten administrator a new password. */
static bool is_rescue(const struct change *c, const json_t *data)
{
    return strcmp(c->r->user.auth_type, BY_LOCALHOST) == 0 && json_object_size(data) == 1 &&
           json_object_get(data, "password") != NULL;
}

static bool user_before_modify(struct change *c, const json_t *old, json_t *data)
{
    return (is_rescue(c, data) || !sa_refused(c, old)) && user_fields(c, data, row_text(old, "id"));
}

/* Who is disabled, gets another password or other rights has to sign in again; who gets a password may do so at once,
 * however often the old one was tried. */
static tn_rc user_modified(struct api_req *r, tn_err *err)
{
    const json_t *data = json_object_get(r->body, "data");
    if (json_is_true(json_object_get(data, "isDisabled")) ||
        json_object_get(data, "passwordHash") || json_object_get(data, "roles") ||
        json_object_get(data, "customPrivileges")) {
        AUTH->session_drop(CTX, api_param(r, 0), (tn_str){NULL, 0}, (tn_str){NULL, 0});
    }
    json_t *user = json_object_get(data, "passwordHash") ? user_load("id", api_param(r, 0), err)
                                                         : NULL;
    if (user != NULL) {
        guard_forget(text_of(row_text(user, "username")));
    }
    json_decref(user);
    return TN_OK;
}

static bool user_before_delete(struct change *c, const json_t *old)
{
    tn_err err = TN_ERR_INIT;
    if (sa_refused(c, old)) {
        return false;
    }
    if (store_delete(c->txn, "accessKey", "ak.userId", text_of(row_text(old, "id")), NULL, &err) !=
        TN_OK) {
        api_fail_err(c->r, &err);
        return false;
    }
    return true;
}

static tn_rc user_deleted(struct api_req *r, tn_err *err)
{
    (void)err;
    AUTH->session_drop(CTX, api_param(r, 0), (tn_str){NULL, 0}, (tn_str){NULL, 0});
    return TN_OK;
}

const struct crud user_crud = {.entity = "user",
                               .label = "user",
                               .before_add = user_before_add,
                               .before_modify = user_before_modify,
                               .changed = user_modified};
static const struct crud user_add_crud = {
    .entity = "user", .label = "user", .before_add = user_before_add};
static const struct crud user_delete_crud = {.entity = "user",
                                             .label = "user",
                                             .before_delete = user_before_delete,
                                             .changed = user_deleted};

/* ---- tables ---------------------------------------------------------------------------------- */
/* clang-format off */
static const char *const sort[] = {"seq", "username", "name", "isDisabled", NULL};
static const char *const fuzzy[] = {"u.id", "u.username", "u.name", "u.email", "u.mobile", NULL};
static const struct list_spec user_list = {.entity = "user", .paging = PAGE_NONE, .sort = sort,
                                           .fuzzy = fuzzy, .row = user_row, .rows = user_rows};
static const struct field list_query[] = {
    {.name = "id", .type = F_COMMA, .op = TN_OP_IN, .column = "u.id"},
    {.name = "username", .type = F_STR, .op = TN_OP_LIKE, .column = "u.username"},
    {.name = "name", .type = F_STR, .op = TN_OP_LIKE, .column = "u.name"},
    {.name = "email", .type = F_STR, .op = TN_OP_LIKE, .column = "u.email"},
    {.name = "mobile", .type = F_INT, .op = TN_OP_LIKE, .column = "u.mobile"},
    {.name = "isDisabled", .type = F_BOOL, .op = TN_OP_BOOL, .column = "u.isDisabled"},
    {.name = NULL}};
static const struct field role[] = {
    {.name = "role", .type = F_STR, .choices = "admin|user|readonlyUser|customUser"}};
#define FIELDS(must)                                                                              \
    {.name = "username", .type = F_STR, .flags = must, .min = must, .max = 30},                   \
    {.name = "password", .type = F_STR, .flags = must, .min = 1, .max = 100},                     \
    {.name = "name", .type = F_STR, .flags = must, .max = 50},                                    \
    {.name = "email", .type = F_STR, .flags = FF_NULL, .max = 100},                               \
    {.name = "mobile", .type = F_STR, .flags = FF_NULL, .max = 20},                               \
    {.name = "roles", .type = F_ARR, .flags = (must) | FF_NULL, .sub = role},                     \
    {.name = "customPrivileges", .type = F_STR, .flags = FF_NULL},                                \
    {.name = "isDisabled", .type = F_BOOL}, {.name = NULL}
static const struct field add_data[] = {FIELDS(FF_REQUIRED)};
static const struct field modify_data[] = {FIELDS(0)};
static const struct field add_body[] = {
    {.name = "data", .type = F_OBJ, .flags = FF_REQUIRED, .sub = add_data}, {.name = NULL}};
static const struct field modify_body[] = {
    {.name = "data", .type = F_OBJ, .flags = FF_REQUIRED, .sub = modify_data}, {.name = NULL}};

const struct api_route user_routes[] = {
    {"GET", "/api/v1/users/do/list", "user_r", "Lists users with their sessions", list_run,
     list_query,
     NULL, &user_list, API_TOKEN_ONLY | API_FIELDS | API_EXPORT},
    {"GET", "/api/v1/users/:id/do/get", "user_r", "One user", user_get, NULL, NULL, NULL,
     API_TOKEN_ONLY | API_FIELDS},
    {"POST", "/api/v1/users/do/add", "user_w", "Adds a user", crud_add, NULL, add_body,
     &user_add_crud,
     API_TOKEN_ONLY},
    {"POST", "/api/v1/users/:id/do/modify", "user_w", "Changes a user", crud_modify, NULL,
     modify_body,
     &user_crud, API_TOKEN_ONLY},
    {"GET", "/api/v1/users/:id/do/delete", "user_w",
     "Deletes a user with its sessions and access keys", crud_delete, NULL, NULL, &user_delete_crud,
     API_TOKEN_ONLY},
    {.method = NULL}};
/* clang-format on */
