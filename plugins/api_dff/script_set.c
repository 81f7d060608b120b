/* SPDX-License-Identifier: Apache-2.0 */
/* Script sets (spec 1.3): list, add, modify, delete, clone. */
#include "rows.h"

#include <stdlib.h>
#include <string.h>

#define CTX api.host->ctx
#define ENT api.host->entities

static const char *const codes[] = {"code", "codeDraft", NULL};

/* Scripts of one set as rows, by id. */
static json_t *set_scripts(tn_txn *txn, const char *set_id, bool with_code, tn_err *err)
{
    struct filters f = {0};
    static const char *const by_id[] = {"id"};
    filters_eq(&f, "scpt.scriptSetId", text_of(set_id));
    tn_list q = {.size = sizeof q,
                 .filters = f.f,
                 .nfilters = f.n,
                 .sort = by_id,
                 .nsort = 1,
                 .extra = codes,
                 .nextra = with_code ? 2 : 0,
                 .limit = -1};
    json_t *rows = store_rows(txn, "script", &q, NULL, err);
    filters_free(&f);
    return rows;
}

/* md5 of the key-sorted JSON of what the set consists of (spec 1.3). */
static json_t *set_md5(const json_t *set, const json_t *scripts)
{
    static const char *const of_set[] = {"id", "title", "description", "requirements"};
    static const char *const of_script[] = {"id", "title", "description", "type", "codeMD5"};
    json_t *list = json_array(), *all = json_object();
    json_object_set_new(all, "scriptSet", json_object());
    for (size_t i = 0; i < sizeof of_set / sizeof *of_set; i++) {
        json_object_set(all, of_set[i], json_object_get(set, of_set[i]));
    }
    for (size_t i = 0; i < json_array_size(scripts); i++) {
        json_t *one = json_object();
        for (size_t k = 0; k < sizeof of_script / sizeof *of_script; k++) {
            json_object_set(one, of_script[k],
                            json_object_get(json_array_get(scripts, i), of_script[k]));
        }
        json_array_append_new(list, one);
    }
    json_object_set_new(all, "scripts", list);
    char *text = json_dumps(all, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(all);
    char hex[33] = "";
    if (text != NULL) {
        md5_hex(text, strlen(text), hex);
    }
    free(text);
    return json_string(hex);
}

static void set_row(struct api_req *r, json_t *row)
{
    (void)r;
    row_lock(row, "_lu_", "");
    row_pinned(row);
    json_object_set_new(row, "isLocked",
                        json_boolean(json_is_string(json_object_get(row, "lockedByUserId"))));
}

static bool set_rows(struct api_req *r, json_t *rows)
{
    if (json_object_get(r->query, "_withScripts") == NULL ||
        !json_is_true(json_object_get(r->query, "_withScripts"))) {
        return true;
    }
    bool with_code = json_is_true(json_object_get(r->query, "_withScriptCode"));
    for (size_t i = 0; i < json_array_size(rows); i++) {
        tn_err err = TN_ERR_INIT;
        json_t *row = json_array_get(rows, i);
        json_t *scripts = set_scripts(NULL, row_text(row, "id"), with_code, &err);
        if (scripts == NULL) {
            api_fail_err(r, &err);
            return false;
        }
        for (size_t k = 0; k < json_array_size(scripts); k++) {
            json_t *s = json_array_get(scripts, k);
            json_object_del(s, "codeDraft");
            row_lock(s, "_lu_", "");
            row_lock(s, "_slu_", "sset_");
        }
        json_object_set_new(row, "md5", set_md5(row, scripts));
        json_object_set_new(row, "scripts", scripts);
    }
    return true;
}

/* ---- changes --------------------------------------------------------------------------------- */
static bool set_before_modify(struct change *c, const json_t *old, json_t *data)
{
    if (row_locked_for(c->r, old)) {
        api_fail(c->r, EBizCondition, "ModifyingScriptSetNotAllowed", NULL,
                 "This Script Set is locked by other user");
        return false;
    }
    crud_flag_text(data, "isLocked", "lockedByUserId", c->r->user.id);
    return true;
}

static bool set_before_delete(struct change *c, const json_t *old)
{
    tn_err err = TN_ERR_INIT;
    const char *id = row_text(old, "id");
    if (row_locked_for(c->r, old)) {
        api_fail(c->r, EBizCondition, "DeletingScriptSetNotAllowed", NULL,
                 "This Script Set is locked by other user");
        return false;
    }
    if (store_delete(c->txn, "func", "func.scriptSetId", text_of(id), NULL, &err) != TN_OK ||
        store_delete(c->txn, "script", "scpt.scriptSetId", text_of(id), NULL, &err) != TN_OK) {
        api_fail_err(c->r, &err);
        return false;
    }
    return true;
}

const struct crud script_set_crud = {
    .entity = "scriptSet",
    .label = "script set",
    .dup_sub = "DuplicatedScriptSetID",
    .origin = true,
    .pin = true,
    .before_modify = set_before_modify,
    .before_delete = set_before_delete,
};

/* Published code of the set goes with it. */
static void set_delete(struct api_req *r)
{
    tn_err err = TN_ERR_INIT;
    char *set_id = text_dup(api_param(r, 0));
    code_lock();
    json_t *scripts = set_scripts(NULL, set_id != NULL ? set_id : "", false, &err);
    if (scripts == NULL) {
        api_fail_err(r, &err);
        goto undo_lock;
    }
    struct change c = {.r = r, .crud = &script_set_crud};
    if (ENT->begin(CTX, &c.txn, &err) != TN_OK) {
        api_fail_err(r, &err);
        goto undo_scripts;
    }
    json_t *old = store_one(c.txn, "scriptSet", "id", text_of(set_id), NULL, 0, &err);
    if (old == NULL) {
        ENT->rollback(CTX, c.txn);
        if (err.rc == TN_E_NOTFOUND) {
            crud_no_such(r, "script set", text_of(set_id));
        } else {
            api_fail_err(r, &err);
        }
        goto undo_scripts;
    }
    bool ok = set_before_delete(&c, old);
    if (!ok || store_delete(c.txn, "scriptSet", "id", text_of(set_id), NULL, &err) != TN_OK) {
        ENT->rollback(CTX, c.txn);
        if (ok) {
            api_fail_err(r, &err);
        }
        goto undo_old;
    }
    if (store_finish(r, c.txn, &err) != TN_OK || (!r->dry_run && funcs_changed(&err) != TN_OK)) {
        api_fail_err(r, &err);
        goto undo_old;
    }
    for (size_t i = 0; !r->dry_run && i < json_array_size(scripts); i++) {
        api.host->calls->code_drop(CTX, text_of(row_text(json_array_get(scripts, i), "id")));
    }
    api.host->calls->code_commit(CTX);
    api_ok(r, json_pack("{s:s}", "id", set_id));
undo_old:
    json_decref(old);
undo_scripts:
    json_decref(scripts);
undo_lock:
    code_unlock();
    free(set_id);
}

/* ---- clone ----------------------------------------------------------------------------------- */
/* Copies one script and its functions. */
static tn_rc clone_script(tn_txn *txn, const json_t *script, const char *new_set,
                          const char *new_id, tn_err *err)
{
    static const char *const copied[] = {"title",   "description", "type",        "code",
                                         "codeMD5", "codeDraft",   "codeDraftMD5"};
    json_t *row = json_pack("{s:s, s:s, s:i}", "id", new_id, "scriptSetId", new_set,
                            "publishVersion", 1);
    for (size_t i = 0; i < sizeof copied / sizeof *copied; i++) {
        json_object_set(row, copied[i], json_object_get(script, copied[i]));
    }
    tn_rc rc = store_insert(txn, "script", row, NULL, err);
    json_decref(row);
    json_t *funcs = rc == TN_OK ? store_where(txn, "func", "func.scriptId",
                                              text_of(row_text(script, "id")), NULL, 0, err)
                                : NULL;
    if (funcs == NULL) {
        return rc == TN_OK ? err->rc : rc;
    }
    for (size_t i = 0; rc == TN_OK && i < json_array_size(funcs); i++) {
        static const char *const keep[] = {
            "name",        "title",      "description",     "definition",
            "argsJSON",    "kwargsJSON", "extraConfigJSON", "category",
            "integration", "tagsJSON",   "defOrder"};
        const json_t *f = json_array_get(funcs, i);
        struct str id = {0};
        str_printf(&id, "%s.%s", new_id, row_text(f, "name"));
        json_t *copy = json_pack("{s:s, s:s, s:s}", "id", str_view(&id).s, "scriptSetId", new_set,
                                 "scriptId", new_id);
        for (size_t k = 0; k < sizeof keep / sizeof *keep; k++) {
            json_object_set(copy, keep[k], json_object_get(f, keep[k]));
        }
        rc = store_insert(txn, "func", copy, NULL, err);
        json_decref(copy);
        str_free(&id);
    }
    json_decref(funcs);
    return rc;
}

/* Hands the copies' published code to the kernel; after the commit, because staged code cannot be
 * taken back. */
static tn_rc clone_publish(const char *set_id, tn_err *err)
{
    json_t *scripts = set_scripts(NULL, set_id, true, err);
    tn_rc rc = scripts != NULL ? TN_OK : err->rc;
    for (size_t i = 0; rc == TN_OK && i < json_array_size(scripts); i++) {
        const json_t *s = json_array_get(scripts, i);
        const char *code = row_text(s, "code");
        if (code[0] != '\0') {
            rc = api.host->calls->code_put(CTX, text_of(row_text(s, "id")), text_of(code),
                                           (tn_str){NULL, 0}, err);
        }
    }
    json_decref(scripts);
    api.host->calls->code_commit(CTX);
    return rc;
}

static bool clone_all(struct api_req *r, tn_txn *txn, const json_t *set, const char *new_id)
{
    tn_err err = TN_ERR_INIT;
    const char *old_id = row_text(set, "id");
    json_t *row = json_pack(
        "{s:s, s:O, s:O, s:O, s:s, s:s}", "id", new_id, "title", json_object_get(set, "title"),
        "description", json_object_get(set, "description"), "requirements",
        json_object_get(set, "requirements"), "origin", "user", "originId", r->user.id);
    tn_rc rc = store_insert(txn, "scriptSet", row, NULL, &err);
    if (rc != TN_OK) {
        crud_fail(r, &script_set_crud, row, &err);
        json_decref(row);
        return false;
    }
    json_decref(row);
    json_t *scripts = set_scripts(txn, old_id, true, &err);
    if (scripts == NULL) {
        api_fail_err(r, &err);
        return false;
    }
    bool ok = true;
    for (size_t i = 0; ok && i < json_array_size(scripts); i++) {
        const json_t *s = json_array_get(scripts, i);
        struct str id = {0};
        str_printf(&id, "%s%s", new_id, row_text(s, "id") + strlen(old_id));
        if (id.n > 64) {
            api_fail(r, EBizCondition, "ClonedScriptIDTooLong", NULL,
                     "Cloned Script ID is too long: %s", id.s);
            ok = false;
        } else if (clone_script(txn, s, new_id, str_view(&id).s, &err) != TN_OK) {
            api_fail_err(r, &err);
            ok = false;
        }
        str_free(&id);
    }
    json_decref(scripts);
    return ok;
}

static void set_clone(struct api_req *r)
{
    tn_err err = TN_ERR_INIT;
    tn_str id = api_param(r, 0);
    const char *new_id = row_text(r->body, "newId");
    tn_txn *txn;
    code_lock();
    if (ENT->begin(CTX, &txn, &err) != TN_OK) {
        api_fail_err(r, &err);
        goto undo_lock;
    }
    json_t *set = store_one(txn, "scriptSet", "id", id, NULL, 0, &err);
    if (set == NULL || !clone_all(r, txn, set, new_id)) {
        ENT->rollback(CTX, txn);
        if (set == NULL && err.rc == TN_E_NOTFOUND) {
            crud_no_such(r, "script set", id);
        } else if (set == NULL) {
            api_fail_err(r, &err);
        }
        goto undo_set;
    }
    if (store_finish(r, txn, &err) != TN_OK) {
        api_fail_err(r, &err);
        goto undo_set;
    }
    if (!r->dry_run && (clone_publish(new_id, &err) != TN_OK || funcs_changed(&err) != TN_OK)) {
        api_fail_err(r, &err);
        goto undo_set;
    }
    api_ok(r, json_pack("{s:s}", "id", new_id));
undo_set:
    json_decref(set);
undo_lock:
    code_unlock();
}

/* ---- tables ---------------------------------------------------------------------------------- */
/* clang-format off */
static const char *const sort[] = {"seq", "id", NULL};
static const char *const fuzzy[] = {"sset.id", "sset.title", "sset.description",
    "sset.requirements",
                                    "sset.originId", NULL};
static const struct list_spec set_list = {.entity = "scriptSet", .paging = PAGE_NORMAL,
    .sort = sort,
                                          .fuzzy = fuzzy, .row = set_row, .rows = set_rows};
static const struct field list_query[] = {
    {.name = "_withScripts", .type = F_BOOL},
    {.name = "_withScriptCode", .type = F_BOOL},
    {.name = "id", .type = F_COMMA, .op = TN_OP_IN, .column = "sset.id"},
    {.name = "origin", .type = F_STR, .op = TN_OP_EQ, .column = "sset.origin"},
    {.name = "originId", .type = F_STR, .op = TN_OP_EQ, .column = "sset.originId"},
    {.name = NULL}};
static const struct field add_data[] = {
    {.name = "id", .type = F_STR, .flags = FF_REQUIRED, .min = 1, .max = 60, .pattern = PAT_SET_ID},
    {.name = "title", .type = F_STR, .flags = FF_NULL},
    {.name = "description", .type = F_STR, .flags = FF_NULL},
    {.name = "requirements", .type = F_STR, .flags = FF_NULL},
    {.name = "isPinned", .type = F_BOOL, .flags = FF_NULL},
    {.name = NULL}};
static const struct field modify_data[] = {
    {.name = "title", .type = F_STR, .flags = FF_NULL},
    {.name = "description", .type = F_STR, .flags = FF_NULL},
    {.name = "requirements", .type = F_STR, .flags = FF_NULL},
    {.name = "isLocked", .type = F_BOOL, .flags = FF_NULL},
    {.name = "isPinned", .type = F_BOOL, .flags = FF_NULL},
    {.name = NULL}};
static const struct field add_body[] = {
    {.name = "data", .type = F_OBJ, .flags = FF_REQUIRED, .sub = add_data}, {.name = NULL}};
static const struct field modify_body[] = {
    {.name = "data", .type = F_OBJ, .flags = FF_REQUIRED, .sub = modify_data}, {.name = NULL}};
static const struct field clone_body[] = {
    {.name = "newId", .type = F_STR, .flags = FF_REQUIRED, .min = 1, .max = 60,
     .pattern = PAT_SET_ID},
    {.name = NULL}};

const struct api_route script_set_routes[] = {
    {"GET", "/api/v1/script-sets/do/list", "general_r", "Lists script sets", list_run, list_query,
     NULL, &set_list, API_FIELDS | API_EXPORT},
    {"POST", "/api/v1/script-sets/do/add", "general_w", "Adds a script set", crud_add, NULL,
     add_body,
     &script_set_crud, 0},
    {"POST", "/api/v1/script-sets/:id/do/modify", "general_w", "Changes a script set", crud_modify,
     NULL, modify_body, &script_set_crud, 0},
    {"GET", "/api/v1/script-sets/:id/do/delete", "general_w",
     "Deletes a script set with its scripts and functions", set_delete, NULL, NULL, NULL, 0},
    {"POST", "/api/v1/script-sets/:id/do/clone", "general_w",
     "Copies a script set with its scripts and functions", set_clone, NULL, clone_body, NULL, 0},
    {.method = NULL}};
/* clang-format on */
