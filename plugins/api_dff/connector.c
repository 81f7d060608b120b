/* SPDX-License-Identifier: Apache-2.0 */
/* Connectors (spec 1.6): rows with sealed secrets, tried out before they are kept. */
#include "connector.h"
#include "sub.h"

#include <stdlib.h>
#include <string.h>

#define CTX api.host->ctx

/* ---- add and modify ----------------------------------------------------------------------------------- */

static bool before_add(struct change *c, json_t *data)
{
    tn_err err = TN_ERR_INIT;
    json_t *config = connector_seal(
        row_text(data, "id"), json_deep_copy(json_object_get(data, "configJSON")), NULL, &err);
    if (config == NULL) {
        api_fail_err(c->r, &err);
        return false;
    }
    json_object_set_new(data, "configJSON", config);
    return true;
}

static bool refuse_builtin(struct api_req *r, const json_t *old, bool modify)
{
    if (json_is_true(json_object_get(old, "isBuiltin"))) {
        api_fail(r, EBizCondition,
                 modify ? "ModifyingBuiltinConnectorNotAllowed"
                        : "DeletingBuiltinConnectorNotAllowed",
                 NULL, "Cannot %s builtin Connector", modify ? "modify" : "delete");
        return true;
    }
    return false;
}

static bool before_modify(struct change *c, const json_t *old, json_t *data)
{
    const json_t *given = json_object_get(data, "configJSON");
    tn_err err = TN_ERR_INIT;
    if (refuse_builtin(c->r, old, true)) {
        return false;
    }
    if (given == NULL) {
        return true;
    }
    json_t *config = connector_merge(old, given, &err);
    config = config != NULL ? connector_seal(row_text(old, "id"), config,
                                             json_object_get(old, "configJSON"), &err)
                            : NULL;
    if (config == NULL) {
        api_fail_err(c->r, &err);
        return false;
    }
    json_object_set_new(data, "configJSON", config);
    return true;
}

static bool before_delete(struct change *c, const json_t *old)
{
    return !refuse_builtin(c->r, old, false);
}

static tn_rc changed(struct api_req *r, tn_err *err)
{
    (void)r;
    api.host->calls->data_changed(CTX);
    return subs_sync(err);
}

static const struct crud connector_crud = {
    .entity = "connector",
    .label = "connector",
    .dup_sub = "DuplicatedConnectorID",
    .pin = true,
    .before_add = before_add,
    .before_modify = before_modify,
    .before_delete = before_delete,
    .changed = changed,
};

/* ---- trying out --------------------------------------------------------------------------------------- */

static void not_run(struct api_req *r, const char *sub, const char *what, const char *late,
                    const struct connector_result *res)
{
    json_t *detail = json_pack("{s:O?, s:O?, s:O?}", "exception",
                               json_object_get(res->error, "exception"), "exceptionType",
                               json_object_get(res->error, "exceptionType"), "traceback",
                               json_object_get(res->error, "traceback"));
    if (res->refused != NULL) {
        json_decref(detail);
        api_fail(r, ESysLimitReached, NULL, NULL, "%s: %s", what, res->refused);
    } else if (res->timeout) {
        json_object_set_new(detail, "exceptionType", json_string("ConnTimeout"));
        json_object_set_new(detail, "exception", json_string(late));
        api_fail(r, EClientBadRequest, sub, detail, "%s timeout", what);
    } else {
        api_fail(r, EClientBadRequest, sub, detail, "%s failed", what);
    }
}

static void not_connected(struct api_req *r, const struct connector_result *res)
{
    not_run(
        r, "ConnectingToConnectorFailed", "Connecting to Connector",
        "no answer within 15 s; check host and port, what really listens there, and whether it is "
        "overloaded",
        res);
}

/* The configuration must have its required fields; a uri says where the host is. True: answered. */
static bool refuse_incomplete(struct api_req *r, const char *type, const json_t *config)
{
    const json_t *fields = connector_type_fields(type), *must;
    size_t i;
    json_array_foreach(json_object_get(fields, "requiredFields"), i, must)
    {
        const char *name = json_string_value(must);
        bool by_uri = strcmp(name, "host") == 0 && json_object_get(config, "uri") != NULL;
        if (!by_uri && connector_member(config, name) == NULL) {
            json_t *detail = json_deep_copy(fields); /* other threads answer, too */
            json_object_set_new(detail, "missingField", json_string(name));
            api_fail(r, EClientBadRequest, "InvalidConnectorConfigJSON", detail,
                     "Invalid Connector config JSON");
            return true;
        }
    }
    return false;
}

static json_t *test_args(const char *id, const char *type, json_t *config_take)
{
    return json_pack("{s:s, s:s, s:o}", "id", id, "type", type, "config", config_take);
}

static void add_tested(struct api_req *r, const struct connector_result *res)
{
    if (res->ok) {
        crud_add(r);
    } else {
        not_connected(r, res);
    }
}

static void add(struct api_req *r)
{
    json_t *data = json_object_get(r->body, "data");
    const json_t *config = json_object_get(data, "configJSON");
    const char *id = row_text(data, "id"), *type = row_text(data, "type");
    tn_err err = TN_ERR_INIT;
    if (strncmp(id, "dataflux_", 9) == 0) {
        api_fail(r, EBizCondition, "ReservedConnectorIDPrefix", NULL,
                 "Cannot use a ID of reserved prefix: dataflux_");
        return;
    }
    json_t *same = store_one(NULL, "connector", "id", text_of(id), NULL, 0, &err);
    json_decref(same);
    if (same != NULL) {
        api_fail(r, EBizCondition, "DuplicatedConnectorID", NULL,
                 "ID of connector already exists: %s", id);
    } else if (err.rc != TN_E_NOTFOUND) {
        api_fail_err(r, &err);
    } else if (!refuse_incomplete(r, type, config)) {
        if (json_is_true(json_object_get(r->body, "skipTest"))) {
            crud_add(r);
        } else {
            connector_run(r, "test", test_args(id, type, json_deep_copy(config)), add_tested);
        }
    }
}

/* The row of :id, or NULL after answering. */
static json_t *row_of(struct api_req *r)
{
    tn_err err = TN_ERR_INIT;
    json_t *row = store_one(NULL, "connector", "id", api_param(r, 0), NULL, 0, &err);
    if (row == NULL && err.rc == TN_E_NOTFOUND) {
        crud_no_such(r, "connector", api_param(r, 0));
    } else if (row == NULL) {
        api_fail_err(r, &err);
    }
    return row;
}

static void modify_tested(struct api_req *r, const struct connector_result *res)
{
    if (res->ok) {
        crud_modify(r);
    } else {
        not_connected(r, res);
    }
}

static void modify(struct api_req *r)
{
    const json_t *given = json_object_get(json_object_get(r->body, "data"), "configJSON");
    tn_err err = TN_ERR_INIT;
    json_t *old = row_of(r);
    if (old == NULL) {
        return;
    }
    if (refuse_builtin(r, old, true)) {
        json_decref(old);
        return;
    }
    if (given == NULL || json_is_true(json_object_get(r->body, "skipTest"))) {
        crud_modify(r);
    } else {
        json_t *config = connector_merge(old, given, &err);
        if (config == NULL) {
            api_fail_err(r, &err);
        } else {
            connector_run(r, "test", test_args(row_text(old, "id"), row_text(old, "type"), config),
                          modify_tested);
        }
    }
    json_decref(old);
}

static void test_done(struct api_req *r, const struct connector_result *res)
{
    if (res->ok) {
        api_ok(r, json_pack("{s:s}", "checkResult", "OK"));
    } else {
        not_connected(r, res);
    }
}

static void test(struct api_req *r)
{
    tn_err err = TN_ERR_INIT;
    json_t *row = row_of(r), *config = row != NULL ? connector_config(row, &err) : NULL;
    if (config != NULL) {
        connector_run(r, "test", test_args(row_text(row, "id"), row_text(row, "type"), config),
                      test_done);
    } else if (row != NULL) {
        api_fail_err(r, &err);
    }
    json_decref(row);
}

/* ---- the debug panel ---------------------------------------------------------------------------------- */

static void query_done(struct api_req *r, const struct connector_result *res)
{
    if (res->ok) {
        api_ok(r, res->value != NULL ? json_incref(res->value) : json_null());
    } else {
        not_run(
            r, res->timeout ? "QueryTimeout" : "QueryFailed", "Query",
            "the statement took longer than 15 s and was stopped; narrow it down, or run it in a "
            "script with a timeout of its own",
            res);
    }
}

static void query(struct api_req *r)
{
    json_t *row = row_of(r);
    if (row != NULL) {
        const char *as = json_string_value(json_object_get(r->body, "returnType"));
        connector_run(r, "query",
                      json_pack("{s:O, s:O, s:O?, s:s}", "id", json_object_get(row, "id"),
                                "statement", json_object_get(r->body, "queryStatement"), "database",
                                json_object_get(r->body, "database"), "return_type",
                                as != NULL ? as : "json"),
                      query_done);
        json_decref(row);
    }
}

/* What its subscriptions are doing, and what they consumed. */
static void sub_info(struct api_req *r)
{
    tn_err err = TN_ERR_INIT;
    json_t *row = row_of(r), *out = row != NULL ? sub_info_rows(row, &err) : NULL;
    if (out != NULL) {
        api_ok(r, out);
    } else if (row != NULL) {
        api_fail_err(r, &err);
    }
    json_decref(row);
}

/* ---- tables ------------------------------------------------------------------------------------------- */

static void connector_row(struct api_req *r, json_t *row)
{
    (void)r;
    row_pinned(row);
    connector_strip(json_object_get(row, "configJSON"));
}

/* clang-format off */
static const char *const sort[] = {"id", "seq", NULL};
static const char *const fuzzy[] = {"cnct.id", "cnct.title", "cnct.description", NULL};
static const struct list_spec connector_list = {.entity = "connector", .paging = PAGE_NORMAL,
                                                .sort = sort, .fuzzy = fuzzy, .row = connector_row};
static const struct field list_query[] = {
    {.name = "id", .type = F_COMMA, .op = TN_OP_IN, .column = "cnct.id"},
    {.name = "type", .type = F_COMMA, .op = TN_OP_IN, .column = "cnct.type"}, {.name = NULL}};
/* configJSON is any object: what a type understands is in its plugin's table, which the test in the
 * worker checks. */
static struct field add_data[] = {
    {.name = "id", .type = F_STR, .flags = FF_REQUIRED, .max = 64, .pattern = PAT_IDENT},
    {.name = "title", .type = F_STR, .flags = FF_NULL, .max = 256},
    {.name = "description", .type = F_STR, .flags = FF_NULL},
    {.name = "type", .type = F_STR, .flags = FF_REQUIRED}, /* choices: connector_start() */
    {.name = "configJSON", .type = F_JSON, .flags = FF_REQUIRED},
    {.name = "isPinned", .type = F_BOOL, .flags = FF_NULL}, {.name = NULL}};
static const struct field modify_data[] = {
    {.name = "title", .type = F_STR, .flags = FF_NULL, .max = 256},
    {.name = "description", .type = F_STR, .flags = FF_NULL},
    {.name = "configJSON", .type = F_JSON},
    {.name = "isPinned", .type = F_BOOL, .flags = FF_NULL}, {.name = NULL}};
static const struct field add_body[] = {
    {.name = "skipTest", .type = F_BOOL, .flags = FF_NULL},
    {.name = "data", .type = F_OBJ, .flags = FF_REQUIRED, .sub = add_data}, {.name = NULL}};
static const struct field modify_body[] = {
    {.name = "skipTest", .type = F_BOOL, .flags = FF_NULL},
    {.name = "data", .type = F_OBJ, .flags = FF_REQUIRED, .sub = modify_data}, {.name = NULL}};
static const struct field query_body[] = {
    {.name = "database", .type = F_STR, .flags = FF_NULL},
    {.name = "queryStatement", .type = F_STR, .flags = FF_REQUIRED},
    {.name = "returnType", .type = F_STR, .flags = FF_NULL, .choices = "repr|json"}, {.name = NULL}};

const struct api_route connector_routes[] = {
    {"GET", "/api/v1/connectors/do/list", "general_r", "Lists connectors", list_run, list_query, NULL,
     &connector_list, API_FIELDS | API_EXPORT},
    {"POST", "/api/v1/connectors/do/add", "general_w", "Adds a connector after trying it out", add,
     NULL, add_body, &connector_crud, 0},
    {"POST", "/api/v1/connectors/:id/do/modify", "general_w", "Changes a connector", modify, NULL,
     modify_body, &connector_crud, 0},
    {"GET", "/api/v1/connectors/:id/do/delete", "general_w", "Deletes a connector", crud_delete, NULL,
     NULL, &connector_crud, 0},
    {"POST", "/api/v1/connectors/:id/do/query", "general_w", "Runs a statement of the debug panel",
     query, NULL, query_body, NULL, 0},
    {"GET", "/api/v1/connectors/:id/do/test", "general_w", "Tries a connector out", test, NULL, NULL,
     NULL, 0},
    {"GET", "/api/v1/connectors/:id/sub-info/do/list", "general_r",
     "Lists what the subscriptions of a connector consumed", sub_info, NULL, NULL, NULL, 0},
    {.method = NULL}};
/* clang-format on */

tn_rc connector_start(tn_err *err)
{
    tn_rc rc = connector_types_start(err);
    for (struct field *f = add_data; rc == TN_OK && f->name != NULL; f++) {
        if (strcmp(f->name, "type") == 0) {
            f->choices = connector_type_choices();
        }
    }
    return rc == TN_OK ? connector_services(err) : rc;
}
