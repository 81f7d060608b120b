/* SPDX-License-Identifier: Apache-2.0 */
/* Row shaping and the lock rules that sets and scripts share. */
#include "rows.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t code_mutex = PTHREAD_MUTEX_INITIALIZER;

void code_lock(void)
{
    pthread_mutex_lock(&code_mutex);
}

void code_unlock(void)
{
    pthread_mutex_unlock(&code_mutex);
}

void row_rename(json_t *row, const char *from, const char *to)
{
    json_t *v = json_object_get(row, from);
    if (v != NULL) {
        json_object_set(row, to, v);
        json_object_del(row, from);
    }
}

void row_lock(json_t *row, const char *from, const char *to)
{
    char a[64], b[64];
    snprintf(a, sizeof a, "%susername", from);
    snprintf(b, sizeof b, "%slockedByUserUsername", to);
    row_rename(row, a, b);
    snprintf(a, sizeof a, "%sname", from);
    snprintf(b, sizeof b, "%slockedByUserName", to);
    row_rename(row, a, b);
}

void row_pinned(json_t *row)
{
    json_object_set_new(row, "isPinned",
                        json_boolean(json_is_string(json_object_get(row, "pinTime"))));
}

const char *row_text(const json_t *row, const char *key)
{
    const char *s = json_string_value(json_object_get(row, key));
    return s != NULL ? s : "";
}

bool row_locked_for(const struct api_req *r, const json_t *row)
{
    const char *owner = row_text(row, "lockedByUserId");
    return owner[0] != '\0' && !r->user.is_sa && strcmp(owner, r->user.id) != 0;
}

char *set_of_script(const char *script_id)
{
    const char *mid = strstr(script_id, "__");
    return text_dup(
        (tn_str){script_id, mid != NULL ? (size_t)(mid - script_id) : strlen(script_id)});
}

tn_rc funcs_drop(tn_txn *txn, const char *script_id, tn_err *err)
{
    return store_delete(txn, "func", "func.scriptId", text_of(script_id), NULL, err);
}

static tn_rc func_store_one(tn_txn *txn, const char *script_id, const char *set_id, const json_t *f,
                            size_t order, tn_err *err)
{
    const char *name = row_text(f, "name");
    struct str id = {0};
    str_printf(&id, "%s.%s", script_id, name);
    if (name[0] == '\0' || utf8_chars(str_view(&id)) > 253) {
        tn_rc rc = api.host->fail(err, TN_E_INVAL, "function id %s is empty or longer than 253",
                                  str_view(&id).s);
        str_free(&id);
        return rc;
    }
    json_t *category = json_object_get(f, "category"), *def_order = json_object_get(f, "defOrder");
    json_t *definition = json_object_get(f, "definition");
    json_t *row = json_pack(
        "{s:s, s:s, s:s, s:s, s:O?, s:O?, s:o, s:O?, s:O?, s:O?, s:o, s:O?, s:O?, s:o}", "id",
        str_view(&id).s, "scriptSetId", set_id, "scriptId", script_id, "name", name, "title",
        json_object_get(f, "title"), "description", json_object_get(f, "description"), "definition",
        json_is_string(definition) ? json_incref(definition) : json_string(""), "argsJSON",
        json_object_get(f, "args"), "kwargsJSON", json_object_get(f, "kwargs"), "extraConfigJSON",
        json_object_get(f, "extraConfig"), "category",
        json_is_string(category) ? json_incref(category) : json_string("general"), "integration",
        json_object_get(f, "integration"), "tagsJSON", json_object_get(f, "tags"), "defOrder",
        json_is_integer(def_order) ? json_incref(def_order) : json_integer((json_int_t)order));
    tn_rc rc = row != NULL ? store_insert(txn, "func", row, NULL, err)
                           : api.host->fail(err, TN_E_NOMEM, "no memory for function %s", name);
    json_decref(row);
    str_free(&id);
    return rc;
}

tn_rc funcs_store(tn_txn *txn, const char *script_id, const json_t *api_funcs, tn_err *err)
{
    char *set_id = set_of_script(script_id);
    tn_rc rc = set_id != NULL ? TN_OK : api.host->fail(err, TN_E_NOMEM, "no memory for functions");
    for (size_t i = 0; rc == TN_OK && i < json_array_size(api_funcs); i++) {
        rc = func_store_one(txn, script_id, set_id, json_array_get(api_funcs, i), i, err);
    }
    free(set_id);
    return rc;
}
