/* SPDX-License-Identifier: Apache-2.0 */
/* What DFF.CONN asks for: configurations with opened secrets, lists, and changes made by scripts. */
#include "connector.h"
#include "service.h"
#include "sub.h"

#include <stdlib.h>
#include <string.h>

#define CTX api.host->ctx

/* {"id"} -> {"id", "type", "config"}; NOTFOUND. */
static void conn_get(void *user, tn_str payload, void *token)
{
    tn_err err = TN_ERR_INIT;
    json_t *ask = json_loadb(payload.s, payload.n, 0, NULL);
    json_t *row = store_one(NULL, "connector", "id", text_of(row_text(ask, "id")), NULL, 0, &err);
    json_t *config = row != NULL ? connector_config(row, &err) : NULL;
    (void)user;
    if (config != NULL) {
        service_answer(token, json_pack("{s:O, s:O, s:o}", "id", json_object_get(row, "id"), "type",
                                        json_object_get(row, "type"), "config", config));
    } else {
        service_refuse_err(token, &err);
    }
    json_decref(row);
    json_decref(ask);
}

/* -> [{"id", "title", "type"}] */
static void conn_list(void *user, tn_str payload, void *token)
{
    static const char *const by_id[] = {"id"};
    tn_err err = TN_ERR_INIT;
    tn_list q = {.size = sizeof q, .sort = by_id, .nsort = 1, .limit = -1};
    json_t *rows = store_rows(NULL, "connector", &q, NULL, &err), *out = json_array(), *row;
    size_t i;
    (void)user;
    (void)payload;
    if (rows == NULL) {
        json_decref(out);
        service_refuse_err(token, &err);
        return;
    }
    json_array_foreach(rows, i, row)
    {
        json_array_append_new(out, json_pack("{s:O, s:O, s:O}", "id", json_object_get(row, "id"),
                                             "title", json_object_get(row, "title"), "type",
                                             json_object_get(row, "type")));
    }
    json_decref(rows);
    service_answer(token, out);
}

static tn_rc save(const json_t *ask, tn_err *err)
{
    const char *id = row_text(ask, "id"), *type = row_text(ask, "type");
    json_t *config = json_object_get(ask, "config");
    tn_txn *txn;
    if (id[0] == '\0' || strlen(id) > 64 ||
        strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") !=
            strlen(id) ||
        (id[0] >= '0' && id[0] <= '9')) {
        return api.host->fail(err, TN_E_INVAL, "`%.80s` is no id of a connector", id);
    }
    if (!connector_type_known(type)) {
        return api.host->fail(err, TN_E_INVAL, "`%.40s` is no type of connectors", type);
    }
    if (!json_is_object(config)) {
        return api.host->fail(err, TN_E_INVAL, "the config of connector `%s` is no dict", id);
    }
    json_t *sealed = connector_seal(id, json_deep_copy(config), NULL, err);
    if (sealed == NULL) {
        return err->rc;
    }
    json_t *row = json_pack("{s:s, s:s, s:o, s:O?, s:O?}", "id", id, "type", type, "configJSON",
                            sealed, "title", json_object_get(ask, "title"), "description",
                            json_object_get(ask, "description"));
    tn_rc rc = api.host->entities->begin(CTX, &txn, err);
    if (rc == TN_OK) {
        json_t *old = store_one(txn, "connector", "id", text_of(id), NULL, 0, err);
        if (old == NULL && err->rc != TN_E_NOTFOUND) {
            rc = err->rc;
        } else if (old != NULL && json_is_true(json_object_get(old, "isBuiltin"))) {
            rc = api.host->fail(err, TN_E_DENIED, "connector `%s` is built in", id);
        } else if (old != NULL) {
            json_object_del(row, "id");
            rc = store_patch(txn, "connector", "id", text_of(id), row, err);
        } else {
            rc = store_insert(txn, "connector", row, NULL, err);
        }
        json_decref(old);
        if (rc == TN_OK) {
            rc = api.host->entities->commit(CTX, txn, err);
        } else {
            api.host->entities->rollback(CTX, txn);
        }
    }
    json_decref(row);
    return rc;
}

static void changed(void)
{
    tn_err err = TN_ERR_INIT;
    api.host->calls->data_changed(CTX);
    if (subs_sync(&err) != TN_OK) {
        api.host->log(CTX, TN_LOG_ERROR, "subscriptions are not up to date: %s", err.msg);
    }
}

static void conn_save(void *user, tn_str payload, void *token)
{
    tn_err err = TN_ERR_INIT;
    json_t *ask = json_loadb(payload.s, payload.n, 0, NULL);
    (void)user;
    if (save(ask, &err) == TN_OK) {
        changed();
        api.host->calls->answer(CTX, token, TN_OK, TN_STR("{}"));
    } else {
        service_refuse_err(token, &err);
    }
    json_decref(ask);
}

static void conn_delete(void *user, tn_str payload, void *token)
{
    tn_err err = TN_ERR_INIT;
    json_t *ask = json_loadb(payload.s, payload.n, 0, NULL);
    json_t *row = store_one(NULL, "connector", "id", text_of(row_text(ask, "id")), NULL, 0, &err);
    tn_rc rc = row != NULL || err.rc == TN_E_NOTFOUND ? TN_OK : err.rc;
    (void)user;
    if (row != NULL && json_is_true(json_object_get(row, "isBuiltin"))) {
        rc = api.host->fail(&err, TN_E_DENIED, "connector `%s` is built in", row_text(ask, "id"));
    } else if (row != NULL) {
        rc = store_delete(NULL, "connector", "id", text_of(row_text(ask, "id")), NULL, &err);
    }
    if (rc == TN_OK) {
        changed();
        api.host->calls->answer(CTX, token, TN_OK, TN_STR("{}"));
    } else {
        service_refuse_err(token, &err);
    }
    json_decref(row);
    json_decref(ask);
}

tn_rc connector_services(tn_err *err)
{
    static const struct {
        const char *name;
        void (*run)(void *, tn_str, void *);
    } all[] = {{"conn.get", conn_get},
               {"conn.list", conn_list},
               {"conn.save", conn_save},
               {"conn.delete", conn_delete}};
    tn_rc rc = connector_run_start(err);
    for (size_t i = 0; rc == TN_OK && i < sizeof all / sizeof *all; i++) {
        rc = api.host->calls->service(CTX, all[i].name, 0, all[i].run, NULL, err);
    }
    return rc;
}
