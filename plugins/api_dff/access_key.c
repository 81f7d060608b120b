/* SPDX-License-Identifier: Apache-2.0 */
/* Access keys (spec 1.2): rows with secret, both spellings of the title, and the secret's seal. */
#include "rows.h"

#include <stdlib.h>
#include <string.h>

#define CTX        api.host->ctx
#define AUTH       api.host->auth
#define SECRET_LEN 32
#define ID_LEN     16

/* ---- the secret ------------------------------------------------------------------------------ */
static void aad_of(struct str *aad, const char *id)
{
    str_printf(aad, "wat_main_access_key|secretCipher|%s", id);
}

tn_rc access_key_secret(const json_t *row, tn_text *ret, tn_err *err)
{
    const char *sealed = row_text(row, "secretCipher");
    struct str aad = {0};
    if (sealed[0] != '\0' && strncmp(sealed, "tn1:", 4) != 0) { /* an imported row may be plain */
        size_t n = strlen(sealed);
        ret->s = api.host->alloc(CTX, n + 1);
        if (ret->s == NULL) {
            return api.host->fail(err, TN_E_NOMEM, "no memory for a secret");
        }
        memcpy(ret->s, sealed, n + 1);
        ret->n = n;
        return TN_OK;
    }
    aad_of(&aad, row_text(row, "id"));
    tn_rc rc = AUTH->open(CTX, text_of(sealed), str_view(&aad), ret, err);
    str_free(&aad);
    return rc;
}

static json_t *secret_shown(const json_t *row)
{
    tn_text secret = {0};
    tn_err err = TN_ERR_INIT;
    if (access_key_secret(row, &secret, &err) != TN_OK) {
        api.host->log(CTX, TN_LOG_WARNING, "the secret of access key %s cannot be opened: %s",
                      row_text(row, "id"), err.msg);
        return json_null();
    }
    json_t *text = json_stringn(secret.s, secret.n);
    explicit_bzero(secret.s, secret.n);
    api.host->free(CTX, secret.s);
    return text != NULL ? text : json_null();
}

/* ---- rows ------------------------------------------------------------------------------------ */
/* "a, b" as a list. */
static json_t *events_of(const char *text)
{
    json_t *list = json_array();
    for (const char *p = text + strspn(text, ", "); *p != '\0'; p += strspn(p, ", ")) {
        size_t n = strcspn(p, ", ");
        json_array_append_new(list, json_stringn(p, n));
        p += n;
    }
    return list;
}

static void key_shape(struct api_req *r, json_t *row)
{
    /* Managing keys must not become a way to act as somebody mightier: only the owner and the
     * administrator read a secret. */
    bool own = strcmp(row_text(row, "u_id"), r->user.id) == 0;
    json_object_set_new(row, "secret", own || r->user.is_sa ? secret_shown(row) : json_null());
    json_object_del(row, "secretCipher");
    json_object_set(row, "name", json_object_get(row, "title"));
    json_object_set_new(row, "webhookEvents", events_of(row_text(row, "webhookEvents")));
}

static void key_row(struct api_req *r, json_t *row)
{
    key_shape(r, row);
    json_object_del(row, "userId"); /* a list has it as u_id */
}

static const char *const hidden[] = {"secretCipher", NULL};

/* The row of :id; NULL: answered. */
static json_t *key_find(struct api_req *r)
{
    tn_err err = TN_ERR_INIT;
    json_t *row = store_one(NULL, "accessKey", "id", api_param(r, 0), hidden, 1, &err);
    if (row == NULL && err.rc == TN_E_NOTFOUND) {
        crud_no_such(r, "access key", api_param(r, 0));
    } else if (row == NULL) {
        api_fail_err(r, &err);
    }
    return row;
}

static void key_get(struct api_req *r)
{
    json_t *row = key_find(r);
    if (row != NULL) {
        key_shape(r, row);
        api_ok_page(r, row, NULL);
    }
}

static void key_test_webhook(struct api_req *r)
{
    json_t *row = key_find(r);
    if (row != NULL) {
        json_decref(row);
        api_ok(r, NULL);
    }
}

/* ---- changes --------------------------------------------------------------------------------- */
/* `name` is the old spelling of `title`. False: there is an empty title or, where one is needed,
 * none; answered. */
static bool title_take(struct change *c, json_t *data, bool needed)
{
    const json_t *name = json_object_get(data, "name");
    if (name != NULL && json_object_get(data, "title") == NULL) {
        json_object_set(data, "title", (json_t *)name);
    }
    json_object_del(data, "name");
    const char *title = json_string_value(json_object_get(data, "title"));
    if (title != NULL ? title[0] != '\0' : !needed) {
        return true;
    }
    api_fail(c->r, EClientBadRequest, NULL,
             json_pack("{s:s}", "message",
                       title == NULL ? "Field `data.title` is missing."
                                     : "Field `data.title` should not be empty."),
             "Invalid request body");
    return false;
}

static bool key_before_add(struct change *c, json_t *data)
{
    char id[3 + ID_LEN + 1] = "ak-", secret[SECRET_LEN + 1];
    struct str aad = {0};
    tn_text sealed = {0};
    tn_err err = TN_ERR_INIT;
    if (!title_take(c, data, true)) {
        return false;
    }
    AUTH->random_id(id + 3, ID_LEN);
    AUTH->random_id(secret, SECRET_LEN);
    aad_of(&aad, id);
    tn_rc rc = AUTH->seal(CTX, text_of(secret), str_view(&aad), &sealed, &err);
    str_free(&aad);
    explicit_bzero(secret, sizeof secret);
    if (rc != TN_OK) {
        api_fail_err(c->r, &err);
        return false;
    }
    json_object_set_new(data, "id", json_string(id));
    json_object_set_new(data, "userId", json_string(c->r->user.id));
    json_object_set_new(data, "secretCipher", json_stringn(sealed.s, sealed.n));
    api.host->free(CTX, sealed.s);
    return true;
}

static bool key_before_modify(struct change *c, const json_t *old, json_t *data)
{
    (void)old;
    return title_take(c, data, false);
}

static const struct crud key_crud = {.entity = "accessKey",
                                     .label = "access key",
                                     .before_add = key_before_add,
                                     .before_modify = key_before_modify};

/* ---- tables ---------------------------------------------------------------------------------- */
/* clang-format off */
static const char *const sort[] = {"seq", NULL};
static const char *const fuzzy[] = {"ak.id", "ak.title", NULL};
static const struct list_spec key_list = {.entity = "accessKey", .paging = PAGE_NORMAL, .sort = sort,
                                          .fuzzy = fuzzy, .extra = hidden, .row = key_row};
static const struct field list_query[] = {
    {.name = "id", .type = F_COMMA, .op = TN_OP_IN, .column = "ak.id"},
    {.name = "name", .type = F_STR, .op = TN_OP_LIKE, .column = "ak.title"},
    {.name = "title", .type = F_STR, .op = TN_OP_LIKE, .column = "ak.title"},
    {.name = NULL}};
static const struct field data_fields[] = {
    {.name = "name", .type = F_STR, .max = 256},
    {.name = "title", .type = F_STR, .max = 256},
    {.name = "webhookURL", .type = F_STR, .flags = FF_NULL, .max = 4096},
    {.name = "webhookEvents", .type = F_STR, .flags = FF_NULL, .max = 4096},
    {.name = "allowWebhookEcho", .type = F_BOOL},
    {.name = NULL}};
static const struct field change_body[] = {
    {.name = "data", .type = F_OBJ, .flags = FF_REQUIRED, .sub = data_fields}, {.name = NULL}};

const struct api_route access_key_routes[] = {
    {"GET", "/api/v1/access-keys/do/list", "accessKey_r", "Lists access keys", list_run, list_query,
     NULL, &key_list, API_TOKEN_ONLY | API_FIELDS | API_EXPORT},
    {"GET", "/api/v1/access-keys/:id/do/get", "accessKey_r", "One access key", key_get, NULL, NULL,
     NULL, API_TOKEN_ONLY | API_FIELDS},
    {"POST", "/api/v1/access-keys/do/add", "accessKey_w", "Adds an access key of the caller",
     crud_add, NULL, change_body, &key_crud, API_TOKEN_ONLY},
    {"POST", "/api/v1/access-keys/:id/do/modify", "accessKey_w", "Changes an access key",
     crud_modify, NULL, change_body, &key_crud, API_TOKEN_ONLY},
    {"GET", "/api/v1/access-keys/:id/do/delete", "accessKey_w", "Deletes an access key", crud_delete,
     NULL, NULL, &key_crud, API_TOKEN_ONLY},
    {"GET", "/api/v1/access-keys/:id/do/test-webhook", "accessKey_r", "Says that the key exists",
     key_test_webhook, NULL, NULL, NULL, API_TOKEN_ONLY},
    {.method = NULL}};
/* clang-format on */
