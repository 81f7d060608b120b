/* SPDX-License-Identifier: Apache-2.0 */
/* DFF.STORE (spec 3.5): durable values by scope and key, and the end of those whose time is up.
 * Values travel as JSON text inside text, so that nothing about them changes on the way. */
#include "service.h"

#include <stdlib.h>
#include <string.h>

#define CTX       api.host->ctx
#define ENT       api.host->entities
#define NAME_MAX_ 256         /* characters of a scope and of a key */
#define VALUE_MAX (16u << 20) /* bytes of a value's JSON text */

/* Still there at that time; the second is rounded up when it is set, so never too early. */
#define LIVE "(expireAt IS NULL OR expireAt > ?)"

static int64_t now_s(void)
{
    return api.host->wall_us() / 1000000;
}

static tn_rc run_sql(tn_txn *txn, const char *sql, json_t *params_take, json_t **ret_rows,
                     int64_t *ret_affected, tn_err *err)
{
    char *params = params_take != NULL ? json_dumps(params_take, JSON_COMPACT) : NULL;
    tn_text rows = {0};
    int64_t affected = 0;
    json_decref(params_take);
    if (params == NULL) {
        return api.host->fail(err, TN_E_NOMEM, "no memory for a statement");
    }
    tn_rc rc = ENT->sql(CTX, txn, sql, text_of(params), ret_rows != NULL ? &rows : NULL, &affected,
                        err);
    free(params);
    if (rc == TN_OK && ret_rows != NULL) {
        *ret_rows = json_loadb(rows.s, rows.n, JSON_ALLOW_NUL, NULL);
        api.host->free(CTX, rows.s);
        if (*ret_rows == NULL) {
            return api.host->fail(err, TN_E_INTERNAL, "rows of the store are not readable");
        }
    }
    if (rc == TN_OK && ret_affected != NULL) {
        *ret_affected = affected;
    }
    return rc;
}

/* "fnst-" + md5(key + "-" + scope) */
static void row_id(tn_str key, tn_str scope, char ret[38])
{
    struct str b = {0};
    str_text(&b, key);
    str_char(&b, '-');
    str_text(&b, scope);
    memcpy(ret, "fnst-", 5);
    md5_hex(str_view(&b).s, b.n, ret + 5);
    str_free(&b);
}

static bool name_fits(const char *what, tn_str s, tn_err *err)
{
    if (s.n == 0 || utf8_chars(s) > NAME_MAX_) {
        api.host->fail(err, TN_E_INVAL, "a %s of DFF.STORE must have 1 to %d characters, not %zu",
                       what, NAME_MAX_, utf8_chars(s));
        return false;
    }
    return true;
}

/* ---- set --------------------------------------------------------------------------------------- */

static tn_rc set_one(tn_txn *txn, const json_t *ask, tn_str scope, const json_t *item, tn_err *err)
{
    const json_t *k = json_array_get(item, 0), *v = json_array_get(item, 1);
    const json_t *at = json_object_get(ask, "expireAt");
    json_int_t now = api.host->wall_us();
    tn_str key = {json_string_value(k), json_string_length(k)};
    char id[38];
    int64_t n = 0;
    if (!json_is_string(k) || !json_is_string(v)) {
        return api.host->fail(err, TN_E_INVAL, "an item of DFF.STORE is [key, JSON text]");
    }
    if (!name_fits("key", key, err)) {
        return err->rc;
    }
    if (json_string_length(v) > VALUE_MAX) {
        return api.host->fail(err, TN_E_LIMIT,
                              "the value of \"%.*s\" has %zu bytes as JSON; DFF.STORE takes %u",
                              (int)key.n, key.s, json_string_length(v), VALUE_MAX);
    }
    row_id(key, scope, id);
    bool keep = json_is_true(json_object_get(ask, "notExists"));
    tn_rc rc = run_sql(txn, "DELETE FROM biz_main_func_store WHERE id = ? AND NOT " LIVE,
                       json_pack("[s,I]", id, (json_int_t)now_s()), NULL, NULL, err);
    if (rc == TN_OK && !keep) {
        rc = run_sql(txn,
                     "UPDATE biz_main_func_store SET \"valueJSON\" = ?, \"expireAt\" = ?, "
                     "\"updateTime\" = ? WHERE id = ?",
                     json_pack("[O,O?,I,s]", v, at, now, id), NULL, &n, err);
    } else if (rc == TN_OK) {
        json_t *rows = NULL;
        rc = run_sql(txn, "SELECT id FROM biz_main_func_store WHERE id = ?", json_pack("[s]", id),
                     &rows, NULL, err);
        n = (int64_t)json_array_size(rows);
        json_decref(rows);
    }
    if (rc == TN_OK && n == 0) {
        rc = run_sql(
            txn,
            "INSERT INTO biz_main_func_store (id, scope, \"key\", \"valueJSON\", \"expireAt\", "
            "\"createTime\", \"updateTime\") VALUES (?, ?, ?, ?, ?, ?, ?)",
            json_pack("[s,s%,O,O,O?,I,I]", id, scope.s, scope.n, k, v, at, now, now), NULL, NULL,
            err);
    }
    return rc;
}

static void do_set(const json_t *ask, tn_str scope, void *token)
{
    const json_t *items = json_object_get(ask, "items");
    tn_err err = TN_ERR_INIT;
    tn_txn *txn = NULL;
    tn_rc rc = ENT->begin(CTX, &txn, &err);
    for (size_t i = 0; rc == TN_OK && i < json_array_size(items); i++) {
        rc = set_one(txn, ask, scope, json_array_get(items, i), &err);
    }
    if (rc == TN_OK) {
        rc = ENT->commit(CTX, txn, &err);
    } else {
        ENT->rollback(CTX, txn);
    }
    if (rc == TN_OK) {
        service_answer(token, json_null());
    } else {
        service_refuse_err(token, &err);
    }
}

/* ---- get, list, delete ---------------------------------------------------------------------------- */

static void do_get(const json_t *ask, tn_str scope, void *token)
{
    const json_t *keys = json_object_get(ask, "keys");
    json_t *found = json_array();
    tn_err err = TN_ERR_INIT;
    for (size_t i = 0; i < json_array_size(keys); i++) {
        json_t *k = json_array_get(keys, i), *rows = NULL;
        char id[38];
        row_id((tn_str){json_string_value(k), json_string_length(k)}, scope, id);
        if (run_sql(NULL, "SELECT \"valueJSON\" FROM biz_main_func_store WHERE id = ? AND " LIVE,
                    json_pack("[s,I]", id, (json_int_t)now_s()), &rows, NULL, &err) != TN_OK) {
            json_decref(found);
            service_refuse_err(token, &err);
            return;
        }
        if (json_array_size(rows) == 1) {
            json_array_append_new(
                found,
                json_pack("[O,O]", k, json_object_get(json_array_get(rows, 0), "valueJSON")));
        }
        json_decref(rows);
    }
    service_answer(token, found);
}

/* `*` is any text, `?` one character; both in UTF-8. */
static bool wildcard(tn_str p, tn_str s)
{
    size_t i = 0, k = 0, star = SIZE_MAX, mark = 0;
    while (k < s.n) {
        if (i < p.n && p.s[i] == '*') {
            star = i++;
            mark = k;
        } else if (i < p.n && (p.s[i] == '?' || p.s[i] == s.s[k])) {
            bool one = p.s[i] == '?';
            i++;
            k++;
            while (one && k < s.n && ((unsigned char)s.s[k] & 0xC0) == 0x80) {
                k++;
            }
        } else if (star != SIZE_MAX) {
            i = star + 1;
            k = ++mark;
        } else {
            return false;
        }
    }
    while (i < p.n && p.s[i] == '*') {
        i++;
    }
    return i == p.n;
}

static void do_list(const json_t *ask, tn_str scope, void *token)
{
    bool values = json_is_true(json_object_get(ask, "values"));
    tn_str pattern = service_text(ask, "pattern");
    json_t *rows = NULL, *found = json_array();
    tn_err err = TN_ERR_INIT;
    if (run_sql(
            NULL,
            values
                ? "SELECT \"key\" AS k, \"valueJSON\" AS v FROM biz_main_func_store WHERE scope = ? "
                  "AND " LIVE " ORDER BY seq"
                : "SELECT \"key\" AS k FROM biz_main_func_store WHERE scope = ? AND " LIVE
                  " ORDER BY seq",
            json_pack("[s%,I]", scope.s, scope.n, (json_int_t)now_s()), &rows, NULL,
            &err) != TN_OK) {
        json_decref(found);
        service_refuse_err(token, &err);
        return;
    }
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i), *k = json_object_get(row, "k");
        if (wildcard(pattern, (tn_str){json_string_value(k), json_string_length(k)})) {
            json_array_append_new(found, json_pack("[O,O?]", k, json_object_get(row, "v")));
        }
    }
    json_decref(rows);
    service_answer(token, found);
}

static void do_delete(const json_t *ask, tn_str scope, void *token)
{
    const json_t *keys = json_object_get(ask, "keys");
    tn_err err = TN_ERR_INIT;
    tn_txn *txn = NULL;
    int64_t n = 0, all = 0;
    tn_rc rc = ENT->begin(CTX, &txn, &err);
    for (size_t i = 0; rc == TN_OK && i < json_array_size(keys); i++) {
        const json_t *k = json_array_get(keys, i);
        char id[38];
        row_id((tn_str){json_string_value(k), json_string_length(k)}, scope, id);
        rc = run_sql(txn, "DELETE FROM biz_main_func_store WHERE id = ?", json_pack("[s]", id),
                     NULL, &n, &err);
        all += n;
    }
    if (rc == TN_OK) {
        rc = ENT->commit(CTX, txn, &err);
    } else {
        ENT->rollback(CTX, txn);
    }
    if (rc == TN_OK) {
        service_answer(token, json_integer(all));
    } else {
        service_refuse_err(token, &err);
    }
}

static void store_run(void *user, tn_str payload, void *token)
{
    static const struct {
        const char *op;
        void (*run)(const json_t *ask, tn_str scope, void *token);
    } ops[] = {{"set", do_set}, {"get", do_get}, {"list", do_list}, {"delete", do_delete}};
    json_t *ask = service_payload(payload, token);
    tn_err err = TN_ERR_INIT;
    size_t i = 0;
    (void)user;
    if (ask == NULL) {
        return;
    }
    tn_str op = service_text(ask, "op"), scope = service_text(ask, "scope");
    while (i < sizeof ops / sizeof *ops && !text_is(op, ops[i].op)) {
        i++;
    }
    if (i == sizeof ops / sizeof *ops) {
        service_refuse(token, TN_E_INVAL, "DFF.STORE has no operation \"%.*s\"", (int)op.n, op.s);
    } else if (!name_fits("scope", scope, &err)) {
        service_refuse_err(token, &err);
    } else {
        ops[i].run(ask, scope, token);
    }
    json_decref(ask);
}

/* ---- the cleaner's step (spec 5.7) ------------------------------------------------------------------ */

tn_rc store_clean(int64_t *n, tn_err *err)
{
    return run_sql(NULL, "DELETE FROM biz_main_func_store WHERE NOT " LIVE,
                   json_pack("[I]", (json_int_t)now_s()), NULL, n, err);
}

tn_rc store_service(tn_err *err)
{
    return api.host->calls->service(CTX, "store.run", 0, store_run, NULL, err);
}
