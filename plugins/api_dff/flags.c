/* SPDX-License-Identifier: Apache-2.0 */
/* Temporary flags (spec 1.12): values with an end, of which pauseCronJobs stops all schedules. */
#include "cron.h"

#include <string.h>

#define CTX    api.host->ctx
#define ENTITY "temporaryFlag"
#define PAUSE  "pauseCronJobs"

static const char *const names[] = {"restartAllServers", "restartAllWorkersAndBeat", PAUSE, NULL};

static bool is_flag(struct api_req *r, tn_str id)
{
    for (const char *const *n = names; *n != NULL; n++) {
        if (text_is(id, *n)) {
            return true;
        }
    }
    api_fail(r, EClientUnsupported, NULL, json_pack("{s:s%}", "id", id.s, id.n),
             "Unsupported temporary flag");
    return false;
}

/* {value, ttl}; ttl -1: for ever, both null: not set. Seconds round up. */
static json_t *flag_json(const json_t *row)
{
    int64_t until, now = api.host->wall_us();
    const char *text = row_text(row, "expireTime");
    bool ends = text[0] != '\0' && iso_parse(text_of(text), &until);
    if (row == NULL || (ends && until <= now)) {
        return json_pack("{s:n, s:n}", "value", "ttl");
    }
    return json_pack("{s:O?, s:I}", "value", json_object_get(row, "valueJSON"), "ttl",
                     ends ? (json_int_t)((until - now + US - 1) / US) : (json_int_t)-1);
}

/* Tells the kernel until when nothing runs. */
static void pause_apply(const json_t *row)
{
    int64_t until = INT64_MAX;
    json_t *now = flag_json(row);
    if (json_is_null(json_object_get(now, "ttl"))) {
        until = 0;
    } else if (row_text(row, "expireTime")[0] != '\0') {
        iso_parse(text_of(row_text(row, "expireTime")), &until);
    }
    json_decref(now);
    api.host->schedules->pause(CTX, until);
}

static void get_run(struct api_req *r)
{
    json_t *data = json_object();
    const json_t *ids = json_object_get(r->query, "id");
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const char *id = json_string_value(json_array_get(ids, i));
        tn_err err = TN_ERR_INIT;
        if (!is_flag(r, text_of(id))) {
            json_decref(data);
            return;
        }
        json_t *row = store_one(NULL, ENTITY, "id", text_of(id), NULL, 0, &err);
        json_object_set_new(data, id, flag_json(row));
        json_decref(row);
    }
    api_ok(r, data);
}

static void set_run(struct api_req *r)
{
    tn_err err = TN_ERR_INIT;
    tn_txn *txn = NULL;
    char iso[ISO_LEN + 1];
    json_t *value = json_object_get(r->body, "value");
    json_int_t expires = json_integer_value(json_object_get(r->body, "expires"));
    tn_str id = api_param(r, 0);
    if (!is_flag(r, id)) {
        return;
    }
    if (expires < 0) {
        expires = 0;
    }
    iso_time(api.host->wall_us() + expires * US, iso);
    json_t *row = json_pack("{s:s%, s:o, s:o}", "id", id.s, id.n, "valueJSON",
                            value != NULL ? json_incref(value)
                                          : json_integer(api.host->wall_us() / US),
                            "expireTime", expires > 0 ? json_string(iso) : json_null());
    tn_rc rc = api.host->entities->begin(CTX, &txn, &err);
    if (rc == TN_OK) {
        rc = store_delete(txn, ENTITY, "id", id, NULL, &err);
        rc = rc == TN_OK ? store_insert(txn, ENTITY, row, NULL, &err) : rc;
        if (rc == TN_OK) {
            rc = store_finish(r, txn, &err);
        } else {
            api.host->entities->rollback(CTX, txn);
        }
    }
    if (rc == TN_OK && text_is(id, PAUSE) && !r->dry_run) {
        pause_apply(row);
    }
    json_decref(row);
    if (rc == TN_OK) {
        api_ok(r, NULL);
    } else {
        api_fail_err(r, &err);
    }
}

static void clear_run(struct api_req *r)
{
    tn_err err = TN_ERR_INIT;
    tn_txn *txn = NULL;
    tn_str id = api_param(r, 0);
    if (!is_flag(r, id)) {
        return;
    }
    tn_rc rc = api.host->entities->begin(CTX, &txn, &err);
    if (rc == TN_OK) {
        rc = store_delete(txn, ENTITY, "id", id, NULL, &err);
        if (rc == TN_OK) {
            rc = store_finish(r, txn, &err);
        } else {
            api.host->entities->rollback(CTX, txn);
        }
    }
    if (rc == TN_OK && text_is(id, PAUSE) && !r->dry_run) {
        pause_apply(NULL);
    }
    if (rc == TN_OK) {
        api_ok(r, NULL);
    } else {
        api_fail_err(r, &err);
    }
}

tn_rc flags_start(tn_err *err)
{
    json_t *row = store_one(NULL, ENTITY, "id", TN_STR(PAUSE), NULL, 0, err);
    if (row != NULL) {
        pause_apply(row);
        json_decref(row);
    } else if (err->rc == TN_E_NOTFOUND) {
        *err = (tn_err)TN_ERR_INIT;
    }
    return err->rc;
}

/* clang-format off */
static const struct field get_query[] = {{.name = "id", .type = F_COMMA}, {.name = NULL}};
static const struct field set_body[] = {
    {.name = "value", .type = F_ANY}, {.name = "expires", .type = F_INT, .min = 0, .max = INT32_MAX},
    {.name = NULL}};
const struct api_route flag_routes[] = {
    {"GET", "/api/v1/temporary-flags/do/get", "user_r", "Values of temporary flags", get_run,
     get_query, NULL, NULL, 0},
    {"POST", "/api/v1/temporary-flags/:id/do/set", "user_w",
     "Sets a temporary flag; pauseCronJobs stops all cron jobs", set_run, NULL, set_body, NULL, 0},
    {"GET", "/api/v1/temporary-flags/:id/do/clear", "user_w", "Clears a temporary flag", clear_run,
     NULL, NULL, NULL, 0},
    {.method = NULL}};
/* clang-format on */
