/* SPDX-License-Identifier: Apache-2.0 */
/* The change engine: one transaction, the entity's hooks, one answer. */
#include "crud.h"

#include <stdlib.h>
#include <string.h>

#define CTX api.host->ctx
#define ENT api.host->entities

void crud_no_such(struct api_req *r, const char *label, tn_str id)
{
    api_fail(r, EClientNotFound, NULL, json_pack("{s:s, s:s%}", "entity", label, "id", id.s, id.n),
             "No such data");
}

void crud_fail(struct api_req *r, const struct crud *crud, const json_t *data, const tn_err *err)
{
    bool id_taken = err->rc == TN_E_CONFLICT && strcmp(err->state, "id") == 0;
    const char *id = json_string_value(json_object_get(data, "id"));
    if (id_taken) {
        api_fail(r, crud->dup_sub != NULL ? EBizCondition : EClientDuplicated,
                 crud->dup_sub != NULL ? crud->dup_sub : "id", NULL, "ID of %s already exists: %s",
                 crud->label, id != NULL ? id : "");
    } else {
        api_fail_err(r, err);
    }
}

void crud_flag_time(json_t *data, const char *flag, const char *column)
{
    const json_t *v = json_object_get(data, flag);
    if (v != NULL) {
        char now[ISO_LEN + 1];
        iso_time(api.host->wall_us(), now);
        json_object_set_new(data, column, json_is_true(v) ? json_string(now) : json_null());
        json_object_del(data, flag);
    }
}

void crud_flag_text(json_t *data, const char *flag, const char *column, const char *text)
{
    const json_t *v = json_object_get(data, flag);
    if (v != NULL) {
        json_object_set_new(data, column, json_is_true(v) ? json_string(text) : json_null());
        json_object_del(data, flag);
    }
}

static bool change_begin(struct change *c, struct api_req *r)
{
    *c = (struct change){.r = r, .crud = r->route->data};
    tn_err err = TN_ERR_INIT;
    if (ENT->begin(CTX, &c->txn, &err) != TN_OK) {
        api_fail_err(r, &err);
        return false;
    }
    return true;
}

/* A hook refused and has answered. */
static void change_drop(struct change *c)
{
    ENT->rollback(CTX, c->txn);
    json_decref(c->answer);
}

static void change_commit(struct change *c)
{
    tn_err err = TN_ERR_INIT;
    if (store_finish(c->r, c->txn, &err) != TN_OK ||
        (c->crud->changed != NULL && !c->r->dry_run && c->crud->changed(c->r, &err) != TN_OK)) {
        json_decref(c->answer);
        api_fail_err(c->r, &err);
        return;
    }
    api_ok(c->r, c->answer);
}

static json_t *id_answer(const struct crud *crud, const char *id)
{
    json_t *answer = json_pack("{s:s}", "id", id);
    if (crud->url != NULL) {
        struct str url = {0};
        str_puts(&url, crud->url);
        str_puts(&url, id);
        json_object_set_new(answer, "url", json_string(str_view(&url).s));
        str_free(&url);
    }
    return answer;
}

/* This answer, with what the hooks added. */
static void change_answer(struct change *c, json_t *answer_take)
{
    if (c->answer != NULL) {
        json_object_update(answer_take, c->answer);
        json_decref(c->answer);
    }
    c->answer = answer_take;
}

/* Inserts one row; ret_id is malloc. False: answered, the transaction is still open. */
static bool add_one(struct change *c, json_t *data, char **ret_id)
{
    const struct crud *crud = c->crud;
    tn_err err = TN_ERR_INIT;
    if (crud->origin) {
        json_object_set_new(data, "origin", json_string(c->r->has_user ? "user" : "UNKNOWN"));
        json_object_set_new(data, "originId",
                            json_string(c->r->has_user ? c->r->user.id : "UNKNOWN"));
    }
    if (crud->pin) {
        crud_flag_time(data, "isPinned", "pinTime");
    }
    if (crud->before_add != NULL && !crud->before_add(c, data)) {
        return false;
    }
    if (store_insert(c->txn, crud->entity, data, ret_id, &err) != TN_OK) {
        crud_fail(c->r, crud, data, &err);
        return false;
    }
    return true;
}

void crud_add(struct api_req *r)
{
    struct change c;
    char *id = NULL;
    if (!change_begin(&c, r)) {
        return;
    }
    if (!add_one(&c, json_object_get(r->body, "data"), &id)) {
        change_drop(&c);
        return;
    }
    change_answer(&c, id_answer(c.crud, id));
    free(id);
    change_commit(&c);
}

void crud_add_many(struct api_req *r)
{
    struct change c;
    if (!change_begin(&c, r)) {
        return;
    }
    json_t *ids = json_array(), *list = json_object_get(r->body, "data");
    for (size_t i = 0; i < json_array_size(list); i++) {
        char *id = NULL;
        if (!add_one(&c, json_array_get(list, i), &id)) {
            json_decref(ids);
            change_drop(&c);
            return;
        }
        json_array_append_new(ids, json_string(id));
        free(id);
    }
    json_decref(c.answer);
    c.answer = json_pack("{s:o}", "ids", ids);
    change_commit(&c);
}

static uint32_t names_count(const char *const *names)
{
    uint32_t n = 0;
    while (names != NULL && names[n] != NULL) {
        n++;
    }
    return n;
}

/* The row of :id inside the transaction; NULL: answered and rolled back. */
static json_t *change_row(struct change *c, tn_str id)
{
    tn_err err = TN_ERR_INIT;
    json_t *old = store_one(c->txn, c->crud->entity, "id", id, c->crud->extra,
                            names_count(c->crud->extra), &err);
    if (old == NULL) {
        change_drop(c);
        if (err.rc == TN_E_NOTFOUND) {
            crud_no_such(c->r, c->crud->label, id);
        } else {
            api_fail_err(c->r, &err);
        }
    }
    return old;
}

/* Applies the patch to one row. False: answered (the transaction is still open). */
static bool modify_one(struct change *c, const json_t *old, json_t *data)
{
    tn_err err = TN_ERR_INIT;
    if (c->crud->pin) {
        crud_flag_time(data, "isPinned", "pinTime");
    }
    if (c->crud->before_modify != NULL && !c->crud->before_modify(c, old, data)) {
        return false;
    }
    const char *id = json_string_value(json_object_get(old, "id"));
    if (store_patch(c->txn, c->crud->entity, "id", text_of(id), data, &err) != TN_OK) {
        crud_fail(c->r, c->crud, data, &err);
        return false;
    }
    return true;
}

static bool delete_one(struct change *c, const json_t *old)
{
    tn_err err = TN_ERR_INIT;
    if (c->crud->before_delete != NULL && !c->crud->before_delete(c, old)) {
        return false;
    }
    const char *id = json_string_value(json_object_get(old, "id"));
    if (store_delete(c->txn, c->crud->entity, "id", text_of(id), NULL, &err) != TN_OK) {
        api_fail_err(c->r, &err);
        return false;
    }
    return true;
}

static void change_one(struct api_req *r, bool remove)
{
    struct change c;
    if (!change_begin(&c, r)) {
        return;
    }
    json_t *old = change_row(&c, api_param(r, 0));
    if (old == NULL) {
        return;
    }
    if (remove ? delete_one(&c, old) : modify_one(&c, old, json_object_get(r->body, "data"))) {
        const json_t *id = json_object_get(old, "id");
        change_answer(&c, remove ? json_pack("{s:O}", "id", id)
                                 : id_answer(c.crud, json_string_value(id)));
        change_commit(&c);
    } else {
        change_drop(&c);
    }
    json_decref(old);
}

void crud_modify(struct api_req *r)
{
    change_one(r, false);
}

void crud_delete(struct api_req *r)
{
    change_one(r, true);
}

/* Rows that the query's filters name; NULL: answered and rolled back. */
static json_t *many_rows(struct change *c, const char *sub)
{
    struct filters f = {0};
    tn_err err = TN_ERR_INIT;
    list_query_filters(c->r, c->r->route->query, &f);
    json_t *rows = NULL;
    if (f.n == 0 && !f.failed) {
        api_fail(c->r, EBizCondition, sub, NULL, "At least one condition should been specified");
    } else {
        tn_list q = {.size = sizeof q,
                     .filters = f.f,
                     .nfilters = f.n,
                     .extra = c->crud->extra,
                     .nextra = names_count(c->crud->extra),
                     .limit = -1};
        rows = f.failed ? (api.host->fail(&err, TN_E_INVAL, "too many filters"), NULL)
                        : store_rows(c->txn, c->crud->entity, &q, NULL, &err);
        if (rows == NULL) {
            api_fail_err(c->r, &err);
        }
    }
    filters_free(&f);
    if (rows == NULL) {
        change_drop(c);
    }
    return rows;
}

/* modify-many merges the given kwargs into what is stored; everything else is replaced. */
static json_t *many_patch(const json_t *data, const json_t *old)
{
    json_t *patch = json_deep_copy(data);
    const json_t *kwargs = json_object_get(patch, "funcCallKwargsJSON");
    const json_t *stored = json_object_get(old, "funcCallKwargsJSON");
    if (json_is_object(kwargs) && json_is_object(stored)) {
        json_t *merged = json_deep_copy(stored);
        json_object_update(merged, (json_t *)kwargs);
        json_object_set_new(patch, "funcCallKwargsJSON", merged);
    }
    return patch;
}

static void change_many(struct api_req *r, const char *sub, const char *key, bool remove)
{
    struct change c;
    if (!change_begin(&c, r)) {
        return;
    }
    json_t *rows = many_rows(&c, sub);
    if (rows == NULL) {
        return;
    }
    json_t *ids = json_array(), *old;
    size_t i;
    bool ok = true;
    json_array_foreach(rows, i, old)
    {
        json_t *patch = remove ? NULL : many_patch(json_object_get(r->body, "data"), old);
        ok = remove ? delete_one(&c, old) : modify_one(&c, old, patch);
        json_decref(patch);
        if (!ok) {
            break;
        }
        json_array_append(ids, json_object_get(old, "id"));
    }
    json_decref(rows);
    if (!ok) {
        json_decref(ids);
        change_drop(&c);
        return;
    }
    json_decref(c.answer);
    c.answer = json_pack("{s:o}", key, ids);
    change_commit(&c);
}

void crud_modify_many(struct api_req *r)
{
    change_many(r, "ModifyConditionNotSpecified", "ids", false);
}

void crud_delete_many(struct api_req *r)
{
    change_many(r, "DeleteConditionNotSpecified", "id", true);
}
