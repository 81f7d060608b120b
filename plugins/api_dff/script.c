/* SPDX-License-Identifier: Apache-2.0 */
/* Scripts (spec 1.4): list, get, add, modify with the draft guard, delete. Publishing is publish.c.
 */
#include "rows.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define CTX api.host->ctx
#define ENT api.host->entities

static const char example[] =
    "@DFF.API('Hello, world')\n"
    "def hello_world(name=''):\n"
    "    '''\n"
    "    A first function.\n"
    "\n"
    "    Parameters:\n"
    "        name {str} Who is greeted\n"
    "    '''\n"
    "    return f'Hello, world! {name}'\n"
    "\n"
    "# Not decorated: for trying things out in the editor, never published.\n"
    "def test_hello_world():\n"
    "    result = hello_world('from the editor')\n"
    "    assert result == 'Hello, world! from the editor'\n"
    "    return result\n";

/* ---- rows ------------------------------------------------------------------------------------ */
static void script_row(struct api_req *r, json_t *row)
{
    (void)r;
    row_lock(row, "_lu_", "");
    row_lock(row, "_slu_", "sset_");
}

static uint32_t script_extra(struct api_req *r, const char **ret, uint32_t cap)
{
    uint32_t n = 0;
    if (n < cap && json_is_true(json_object_get(r->query, "_withCode"))) {
        ret[n++] = "code";
    }
    if (n < cap && json_is_true(json_object_get(r->query, "_withCodeDraft"))) {
        ret[n++] = "codeDraft";
    }
    return n;
}

/* scriptName: the part of the id after the set; ids that begin with it are looked up first, because
 * the filter is an expression and not a column. */
static bool script_filters(struct api_req *r, struct filters *f)
{
    const char *name = json_string_value(json_object_get(r->query, "scriptName"));
    if (name == NULL) {
        return true;
    }
    json_t *params = json_pack("[i, s]", (int)utf8_chars(text_of(name)), name);
    char *text = params != NULL ? json_dumps(params, JSON_COMPACT) : NULL;
    json_decref(params);
    tn_text rows = {0};
    tn_err err = TN_ERR_INIT;
    int64_t affected;
    tn_rc rc = text != NULL ? ENT->sql(CTX, NULL,
                                       "SELECT id FROM biz_main_script WHERE "
                                       "SUBSTR(id, LENGTH(scriptSetId) + 3, ?) = ?",
                                       text_of(text), &rows, &affected, &err)
                            : api.host->fail(&err, TN_E_NOMEM, "no memory for a list");
    free(text);
    json_t *found = rc == TN_OK ? json_loadb(rows.s, rows.n, 0, NULL) : NULL;
    if (rc == TN_OK) {
        api.host->free(CTX, rows.s);
    } else {
        api_fail_err(r, &err);
        return false;
    }
    json_t *ids = json_array();
    for (size_t i = 0; i < json_array_size(found); i++) {
        json_array_append(ids, json_object_get(json_array_get(found, i), "id"));
    }
    json_array_append_new(ids, json_string("")); /* no match at all is an empty list */
    filters_add(f, "scpt.id", TN_OP_IN, ids);
    json_decref(ids);
    json_decref(found);
    return true;
}

static void script_get(struct api_req *r)
{
    static const char *const codes[] = {"code", "codeDraft"};
    tn_err err = TN_ERR_INIT;
    json_t *row = store_one(NULL, "script", "id", api_param(r, 0), codes, 2, &err);
    if (row != NULL) {
        script_row(r, row);
        api_ok(r, row);
    } else if (err.rc == TN_E_NOTFOUND) {
        crud_no_such(r, "script", api_param(r, 0));
    } else {
        api_fail_err(r, &err);
    }
}

/* ---- changes --------------------------------------------------------------------------------- */
static bool refuse_lock(struct change *c, const char *sub, const char *what)
{
    api_fail(c->r, EBizCondition, sub, NULL, "This %s is locked by other user", what);
    return false;
}

/* Turns codeDraft or codeDraftBase64 into codeDraft + codeDraftMD5. Sets *ret_given. */
static bool draft_take(struct change *c, json_t *data, bool *ret_given)
{
    const json_t *b64 = json_object_get(data, "codeDraftBase64");
    *ret_given = false;
    if (b64 != NULL) {
        size_t n = json_string_length(b64), len = 0;
        unsigned char *raw = malloc(n + 1);
        const char *end = NULL;
        json_t *text = NULL;
        if (raw != NULL &&
            sodium_base642bin(raw, n + 1, json_string_value(b64), n, " \r\n", &len, &end,
                              sodium_base64_VARIANT_ORIGINAL) == 0 &&
            *end == '\0' && memchr(raw, '\0', len) == NULL) {
            text = json_stringn((const char *)raw, len);
        }
        free(raw);
        if (text == NULL) {
            api_fail(c->r, EClientBadRequest, NULL,
                     json_pack("{s:s}", "message",
                               "Field `data.codeDraftBase64` is not UTF-8 text in base64."),
                     "Invalid request body");
            return false;
        }
        json_object_set_new(data, "codeDraft", text);
        json_object_del(data, "codeDraftBase64");
    }
    const json_t *draft = json_object_get(data, "codeDraft");
    if (draft != NULL) {
        char md5[33];
        md5_hex(json_string_value(draft), json_string_length(draft), md5);
        json_object_set_new(data, "codeDraftMD5", json_string(md5));
        *ret_given = true;
    }
    return true;
}

static bool script_before_add(struct change *c, json_t *data)
{
    tn_err err = TN_ERR_INIT;
    bool given;
    char *set_id = set_of_script(row_text(data, "id"));
    json_t *set = store_one(c->txn, "scriptSet", "id", text_of(set_id), NULL, 0, &err);
    bool ok = false;
    if (set == NULL && err.rc == TN_E_NOTFOUND) {
        crud_no_such(c->r, "script set", text_of(set_id));
    } else if (set == NULL) {
        api_fail_err(c->r, &err);
    } else if (row_locked_for(c->r, set)) {
        refuse_lock(c, "AddingScriptNotAllowed", "Script Set");
    } else {
        if (json_object_get(data, "codeDraft") == NULL &&
            json_object_get(data, "codeDraftBase64") == NULL) {
            json_object_set_new(data, "codeDraft", json_string(example));
        }
        json_object_set_new(data, "scriptSetId", json_string(set_id));
        json_object_set_new(data, "code", json_string(""));
        ok = draft_take(c, data, &given);
    }
    json_decref(set);
    free(set_id);
    return ok;
}

static bool script_before_modify(struct change *c, const json_t *old, json_t *data)
{
    json_t *set = json_pack("{s:O?}", "lockedByUserId",
                            json_object_get(old, "sset_lockedByUserId"));
    bool locked = row_locked_for(c->r, old) || row_locked_for(c->r, set);
    json_decref(set);
    bool given;
    if (locked) {
        return refuse_lock(c, "ModifyingScriptNotAllowed", "Script or Script Set");
    }
    const char *prev = json_string_value(json_object_get(c->r->body, "prevCodeDraftMD5"));
    if (prev != NULL && prev[0] != '\0' && strcmp(prev, row_text(old, "codeDraftMD5")) != 0) {
        api_fail(c->r, EBizRequestConflict, "scriptDraftAlreadyChanged", NULL,
                 "Code draft has been changed by other user");
        return false;
    }
    if (!draft_take(c, data, &given)) {
        return false;
    }
    crud_flag_text(data, "isLocked", "lockedByUserId", c->r->user.id);
    c->answer = json_pack("{s:O?}", "codeDraftMD5",
                          given ? json_object_get(data, "codeDraftMD5") : NULL);
    return true;
}

static bool script_before_delete(struct change *c, const json_t *old)
{
    tn_err err = TN_ERR_INIT;
    json_t *set = json_pack("{s:O?}", "lockedByUserId",
                            json_object_get(old, "sset_lockedByUserId"));
    bool locked = row_locked_for(c->r, old) || row_locked_for(c->r, set);
    json_decref(set);
    if (locked) {
        return refuse_lock(c, "DeletingScriptNotAllowed", "Script or Script Set");
    }
    if (funcs_drop(c->txn, row_text(old, "id"), &err) != TN_OK) {
        api_fail_err(c->r, &err);
        return false;
    }
    return true;
}

/* First the functions leave the snapshot, then the code goes. */
static tn_rc script_gone(struct api_req *r, tn_err *err)
{
    tn_rc rc = funcs_changed(err);
    if (rc == TN_OK) {
        api.host->calls->code_drop(CTX, api_param(r, 0));
        api.host->calls->code_commit(CTX);
    }
    return rc;
}

const struct crud script_crud = {
    .entity = "script",
    .label = "script",
    .dup_sub = "DuplicatedScriptID",
    .before_add = script_before_add,
    .before_modify = script_before_modify,
};
static const struct crud script_delete_crud = {
    .entity = "script",
    .label = "script",
    .before_delete = script_before_delete,
    .changed = script_gone,
};

static void script_delete(struct api_req *r)
{
    code_lock();
    crud_delete(r);
    code_unlock();
}

/* ---- tables ---------------------------------------------------------------------------------- */
/* clang-format off */
static const char *const sort[] = {"seq", "id", "createTime", "updateTime", NULL};
static const char *const fuzzy[] = {"scpt.id", "scpt.title", "scpt.description", "sset.id",
                                    "sset.title", "sset.description", NULL};
static const char *const fulltext[] = {"scpt.id", "scpt.code", "scpt.codeDraft", NULL};
static const struct list_spec script_list = {
    .entity = "script", .paging = PAGE_NORMAL, .sort = sort, .fuzzy = fuzzy, .fulltext = fulltext,
    .extra_for = script_extra, .filters = script_filters, .row = script_row};
static const struct field list_query[] = {
    {.name = "_withCode", .type = F_BOOL},
    {.name = "_withCodeDraft", .type = F_BOOL},
    {.name = "id", .type = F_COMMA, .op = TN_OP_IN, .column = "scpt.id"},
    {.name = "scriptSetId", .type = F_COMMA, .op = TN_OP_IN, .column = "scpt.scriptSetId"},
    {.name = "scriptName", .type = F_STR},
    {.name = NULL}};
static const struct field add_data[] = {
    {.name = "id", .type = F_STR, .flags = FF_REQUIRED, .min = 1, .max = 64,
     .pattern = PAT_SCRIPT_ID},
    {.name = "title", .type = F_STR, .flags = FF_NULL},
    {.name = "description", .type = F_STR, .flags = FF_NULL},
    {.name = "type", .type = F_STR, .choices = "python|markdown"},
    {.name = "codeDraft", .type = F_STR},
    {.name = "codeDraftBase64", .type = F_STR},
    {.name = NULL}};
static const struct field modify_data[] = {
    {.name = "title", .type = F_STR, .flags = FF_NULL},
    {.name = "description", .type = F_STR, .flags = FF_NULL},
    {.name = "codeDraft", .type = F_STR},
    {.name = "codeDraftBase64", .type = F_STR},
    {.name = "isLocked", .type = F_BOOL, .flags = FF_NULL},
    {.name = NULL}};
static const struct field add_body[] = {
    {.name = "data", .type = F_OBJ, .flags = FF_REQUIRED, .sub = add_data}, {.name = NULL}};
static const struct field modify_body[] = {
    {.name = "prevCodeDraftMD5", .type = F_STR},
    {.name = "data", .type = F_OBJ, .flags = FF_REQUIRED, .sub = modify_data},
    {.name = NULL}};

const struct api_route script_routes[] = {
    {"GET", "/api/v1/scripts/do/list", "general_r", "Lists scripts", list_run, list_query, NULL,
     &script_list, API_FIELDS | API_EXPORT},
    {"GET", "/api/v1/scripts/:id/do/get", "general_r", "One script with its code and draft",
     script_get,
     NULL, NULL, NULL, 0},
    {"POST", "/api/v1/scripts/do/add", "general_w", "Adds a script", crud_add, NULL, add_body,
     &script_crud, 0},
    {"POST", "/api/v1/scripts/:id/do/modify", "general_w", "Saves a draft or changes a script",
     crud_modify, NULL, modify_body, &script_crud, 0},
    {"GET", "/api/v1/scripts/:id/do/delete", "general_w",
     "Deletes a script with its functions and published code", script_delete, NULL, NULL,
     &script_delete_crud, 0},
    {.method = NULL}};
/* clang-format on */
