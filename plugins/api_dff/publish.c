/* SPDX-License-Identifier: Apache-2.0 */
/* Publishing (architecture section 11): a worker runs the draft once and reports its functions,
 * then one transaction stores code, functions and history, then the kernel gets the code and the
 * snapshot is swapped, then the caller hears about it. helper thread -> loop -> worker -> loop ->
 * helper thread. */
#include "integration.h"
#include "rows.h"

#include <stdlib.h>
#include <string.h>

#define CTX             api.host->ctx
#define ENT             api.host->entities
#define CHECK_TIMEOUT_S 60

struct publish {
    struct api_req *r;
    char *id;          /* script */
    json_t *draft;     /* checked code */
    json_t *note;      /* text or NULL */
    struct str report; /* task response of the check, JSON */
    bool submitted;
    tn_err err;
};

static void publish_free(struct publish *p)
{
    free(p->id);
    json_decref(p->draft);
    json_decref(p->note);
    str_free(&p->report);
    free(p);
}

/* ---- after the check, helper thread ---------------------------------------------------------- */
static tn_rc publish_rows(struct publish *p, tn_txn *txn, const json_t *api_funcs,
                          int64_t *ret_version)
{
    tn_err *err = &p->err;
    /* Read again inside the transaction: parallel publishes count one after the other. */
    json_t *row = store_one(txn, "script", "id", text_of(p->id), NULL, 0, err);
    if (row == NULL) {
        return err->rc;
    }
    int64_t version = json_integer_value(json_object_get(row, "publishVersion")) + 1;
    json_decref(row);
    char md5[33];
    md5_hex(json_string_value(p->draft), json_string_length(p->draft), md5);
    json_t *patch = json_pack("{s:O, s:s, s:I}", "code", p->draft, "codeMD5", md5, "publishVersion",
                              (json_int_t)version);
    json_t *history = json_pack("{s:s, s:I, s:O, s:O?}", "scriptId", p->id, "scriptPublishVersion",
                                (json_int_t)version, "scriptCode_cache", p->draft, "note", p->note);
    tn_rc rc = store_patch(txn, "script", "id", text_of(p->id), patch, err);
    if (rc == TN_OK) {
        rc = funcs_drop(txn, p->id, err);
    }
    if (rc == TN_OK) {
        rc = funcs_store(txn, p->id, api_funcs, err);
    }
    if (rc == TN_OK) {
        rc = store_insert(txn, "scriptPublishHistory", history, NULL, err);
    }
    json_decref(patch);
    json_decref(history);
    *ret_version = version;
    return rc;
}

/* Stores, hands the code over, swaps the snapshot; under the code lock so that the store, the
 * kernel and the snapshot see publishes in one order. */
static tn_rc publish_store(struct publish *p, const json_t *api_funcs, int64_t *ret_version)
{
    tn_err *err = &p->err;
    tn_txn *txn;
    code_lock();
    tn_rc rc = ENT->begin(CTX, &txn, err);
    if (rc == TN_OK) {
        rc = publish_rows(p, txn, api_funcs, ret_version);
        if (rc == TN_OK) {
            rc = store_finish(p->r, txn, err);
        } else {
            ENT->rollback(CTX, txn);
        }
    }
    if (rc == TN_OK && !p->r->dry_run) {
        rc = api.host->calls->code_put(
            CTX, text_of(p->id),
            (tn_str){json_string_value(p->draft), json_string_length(p->draft)}, (tn_str){NULL, 0},
            err);
        if (rc == TN_OK) {
            api.host->calls->code_commit(CTX);
            rc = funcs_changed(err);
        }
    }
    code_unlock();
    return rc;
}

static void publish_finish(void *user)
{
    struct publish *p = user;
    struct api_req *r = p->r;
    json_t *report = json_loadb(str_view(&p->report).s, p->report.n, 0, NULL);
    const json_t *result = json_object_get(report, "result");
    const char *status = row_text(result, "status");
    const json_t *funcs = json_object_get(result, "apiFuncs");
    int64_t version = 0;
    if (!p->submitted) {
        api_fail_err(r, &p->err);
    } else if (strcmp(status, "success") != 0) {
        const char *why = row_text(result, "exception");
        json_incref(report);
        api_fail(r, EScriptPublishFailed, NULL, report, "Script publishing failed%s%.500s",
                 why[0] != '\0' ? ": " : "", why);
    } else if (publish_store(p, funcs, &version) != TN_OK) {
        if (p->err.rc == TN_E_NOTFOUND) {
            crud_no_such(r, "script", text_of(p->id));
        } else {
            api_fail_err(r, &p->err);
        }
    } else {
        if (!r->dry_run) {
            autorun_published(p->id);
        }
        api_ok(r, json_pack("{s:s, s:I, s:o}", "id", p->id, "publishVersion", (json_int_t)version,
                            "apiFuncs",
                            json_is_array(funcs) ? json_incref((json_t *)funcs) : json_array()));
    }
    json_decref(report);
    publish_free(p);
}

/* ---- the check, loop thread ------------------------------------------------------------------ */
static void publish_defer(struct publish *p)
{
    tn_err err = TN_ERR_INIT;
    if (api.host->loop->defer(CTX, publish_finish, p, &err) != TN_OK) {
        api_fail(p->r, ESysLimitReached, NULL, NULL, "Script publishing failed: %s", err.msg);
        publish_free(p);
    }
}

static void publish_checked(void *user, const tn_call_result *result)
{
    struct publish *p = user;
    if (result->status == TN_CALL_OVERLOAD) {
        p->submitted = false;
        api.host->fail(&p->err, TN_E_LIMIT, "all workers are busy, publish again in %u ms",
                       result->retry_ms);
    } else {
        call_debug_report(result, &p->report);
    }
    publish_defer(p);
}

static void publish_submit(void *user)
{
    struct publish *p = user;
    tn_call *call;
    tn_call_req req = {
        .size = sizeof req,
        .flags = TN_CALL_DEBUG | TN_CALL_NO_FUNC,
        .script = text_of(p->id),
        .func = TN_STR(""),
        .origin = TN_STR("direct"),
        .origin_id = text_of(p->id),
        .code = {json_string_value(p->draft), json_string_length(p->draft)},
        .queue = 5,
        .timeout_ms = CHECK_TIMEOUT_S * 1000,
        .expires_ms = CHECK_TIMEOUT_S * 1000,
        .user = p,
        .done = publish_checked,
    };
    p->submitted = true;
    if (api.host->calls->submit(CTX, &req, &call, &p->err) != TN_OK) {
        p->submitted = false;
        publish_defer(p);
    }
}

/* ---- the request, helper thread -------------------------------------------------------------- */
static void publish_run(struct api_req *r)
{
    static const char *const codes[] = {"codeDraft"};
    tn_err err = TN_ERR_INIT;
    json_t *row = store_one(NULL, "script", "id", api_param(r, 0), codes, 1, &err);
    if (row == NULL) {
        if (err.rc == TN_E_NOTFOUND) {
            crud_no_such(r, "script", api_param(r, 0));
        } else {
            api_fail_err(r, &err);
        }
        return;
    }
    json_t *set = json_pack("{s:O?}", "lockedByUserId",
                            json_object_get(row, "sset_lockedByUserId"));
    bool locked = row_locked_for(r, row) || row_locked_for(r, set);
    json_decref(set);
    struct publish *p = locked ? NULL : calloc(1, sizeof *p);
    if (p == NULL) {
        if (locked) {
            api_fail(r, EBizCondition, "PublishingScriptNotAllowed", NULL,
                     "This Script or Script Set is locked by other user");
        } else {
            api_fail(r, ESysLimitReached, NULL, NULL, "Out of memory");
        }
        json_decref(row);
        return;
    }
    *p = (struct publish){.r = r, .err = TN_ERR_INIT};
    p->id = text_dup(api_param(r, 0));
    json_t *draft = json_object_get(row, "codeDraft");
    p->draft = json_is_string(draft) ? json_incref(draft) : json_string("");
    /* A copy: the request may be freed by the loop thread while this job is still being taken down.
     */
    p->note = json_copy(json_object_get(json_object_get(r->body, "data"), "note"));
    bool markdown = strcmp(row_text(row, "type"), "markdown") == 0;
    json_decref(row);
    if (markdown) {
        /* Nothing to run: text is published as it is and exports no function. */
        p->submitted = true;
        str_puts(&p->report, "{\"result\":{\"status\":\"success\",\"apiFuncs\":[]}}");
        publish_finish(p);
    } else {
        api.host->loop->post(CTX, publish_submit, p);
    }
}

/* ---- history --------------------------------------------------------------------------------- */
/* clang-format off */
static const char *const sort[] = {"seq", NULL};
static const char *const fuzzy[] = {"scph.scriptCode_cache", "scph.note", NULL};
static const char *const fulltext[] = {"scph.scriptCode_cache", NULL};
static const struct list_spec history_list = {.entity = "scriptPublishHistory",
                                              .paging = PAGE_NORMAL, .sort = sort, .fuzzy = fuzzy,
                                              .fulltext = fulltext};
static const struct field history_query[] = {
    {.name = "id", .type = F_COMMA, .op = TN_OP_IN, .column = "scph.id"},
    {.name = "scriptId", .type = F_COMMA, .op = TN_OP_IN, .column = "scph.scriptId"},
    {.name = "scriptPublishVersion", .type = F_COMMA, .op = TN_OP_IN,
     .column = "scph.scriptPublishVersion"},
    {.name = NULL}};
static const struct field publish_data[] = {{.name = "note", .type = F_STR, .flags = FF_NULL},
                                            {.name = NULL}};
static const struct field publish_body[] = {{.name = "data", .type = F_OBJ, .sub = publish_data},
                                            {.name = NULL}};

const struct api_route publish_routes[] = {
    {"POST", "/api/v1/scripts/:id/do/publish", "general_w",
     "Checks the draft and makes it the published code; when it returns, every later call sees it",
     publish_run, NULL, publish_body, NULL, 0},
    {"GET", "/api/v1/script-publish-history/do/list", "general_r", "Lists what was published",
     list_run, history_query, NULL, &history_list, API_FIELDS | API_EXPORT},
    {.method = NULL}};
/* clang-format on */
