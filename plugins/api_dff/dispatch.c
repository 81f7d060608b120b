/* SPDX-License-Identifier: Apache-2.0 */
/* The way of every managed request: trace, credential, privilege, validation, handler; and the way
 * of its answer back. */
#include "form.h"
#include "idempotency.h"
#include "list.h"
#include "operation.h"
#include "schema.h"
#include "session.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JSON_TYPE "application/json; charset=utf-8"

/* ---- answers --------------------------------------------------------------------------------- */
static void stamp_req(struct api_stamp *s, struct api_req *r)
{
    api_stamp_as(s, r->http, r->trace);
    if (r->cookie != NULL) {
        api_stamp_header(s, TN_STR("Set-Cookie"), text_of(r->cookie));
    }
    if (r->replayed) {
        api_stamp_header(s, idem_replayed.name, idem_replayed.value);
    }
}

void api_ok_text(struct api_req *r, tn_str data_json)
{
    struct api_stamp s;
    struct str b = {0};
    stamp_req(&s, r);
    api_envelope_head(&b);
    str_text(&b, data_json.n > 0 ? data_json : TN_STR("null"));
    api_envelope_tail(&b, &s, NULL);
    operation_note(r, &s, 200, NULL, NULL);
    api_send(r->http, &s, 200, JSON_TYPE, &b, NULL);
}

static int add_chunk(const char *s, size_t n, void *user)
{
    str_add(user, s, n);
    return ((struct str *)user)->failed ? -1 : 0;
}

void api_ok_page(struct api_req *r, json_t *data_take, json_t *page_info_take)
{
    if ((r->route->flags & API_FIELDS) != 0) {
        list_pick_fields(data_take, query_arg(r->http, "fields"));
    }
    tn_str format = query_arg(r->http, "export");
    if ((r->route->flags & API_EXPORT) != 0 && format.n > 0) {
        list_export(r, data_take, format);
        json_decref(data_take);
        json_decref(page_info_take);
        return;
    }
    struct api_stamp s;
    struct str b = {0}, more = {0};
    stamp_req(&s, r);
    api_envelope_head(&b);
    if (data_take == NULL) {
        str_puts(&b, "null");
    } else {
        json_dump_callback(data_take, add_chunk, &b, JSON_COMPACT | JSON_ENCODE_ANY);
    }
    if (page_info_take != NULL) {
        str_puts(&more, ",\"pageInfo\":");
        json_dump_callback(page_info_take, add_chunk, &more, JSON_COMPACT);
    }
    api_envelope_tail(&b, &s, more.s);
    str_free(&more);
    operation_note(r, &s, 200, data_take, NULL);
    json_decref(data_take);
    json_decref(page_info_take);
    api_send(r->http, &s, 200, JSON_TYPE, &b, NULL);
}

void api_ok(struct api_req *r, json_t *data_take)
{
    api_ok_page(r, data_take, NULL);
}

void api_fail(struct api_req *r, enum api_code code, const char *sub, json_t *detail_take,
              const char *fmt, ...)
{
    char message[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    char *detail = detail_take != NULL ? json_dumps(detail_take, JSON_COMPACT) : NULL;
    struct api_stamp s;
    stamp_req(&s, r);
    operation_note(r, &s, api_code_status(code), detail_take, message);
    json_decref(detail_take);
    api_error_with(r->http, &s, code, sub, text_of(detail), message);
    free(detail);
}

void api_fail_err(struct api_req *r, const tn_err *err)
{
    switch (err->rc) {
    case TN_E_NOTFOUND:
        api_fail(r, EClientNotFound, NULL, NULL, "%s", err->msg);
        return;
    case TN_E_CONFLICT:
        if (err->state[0] != '\0') { /* a column; the message is the data base's, with its path */
            api_fail(r, EClientDuplicated, err->state, NULL,
                     "There is a row with this `%s` already", err->state);
        } else {
            api_fail(r, EClientDuplicated, NULL, NULL, "%s", err->msg);
        }
        return;
    case TN_E_INVAL:
        api_fail(r, EClientBadRequest, NULL, NULL, "%s", err->msg);
        return;
    case TN_E_LIMIT:
        api_fail(r, ESysLimitReached, NULL, NULL, "%s", err->msg);
        return;
    case TN_E_UNAVAIL:
        api_fail(r, ESysLimitReached, NULL, NULL, "%s", err->msg);
        return;
    default:
        break;
    }
    if (strcmp(err->state, "53100") == 0) {
        api_fail(r, ESysStorageFull, NULL, NULL, "%s", err->msg);
        return;
    }
    api.host->log(api.host->ctx, TN_LOG_ERROR, "%.*s %.*s (%s): %s", (int)r->http->method.n,
                  r->http->method.s, (int)r->http->path.n, r->http->path.s, r->trace, err->msg);
    api_fail(r, ESys, NULL, NULL, "%s",
             api.dev ? err->msg
                     : "An unexpected error occurred, the log names it by this trace id");
}

tn_str api_param(const struct api_req *r, uint32_t i)
{
    return i < r->nparams ? r->params[i] : (tn_str){NULL, 0};
}

/* ---- requests -------------------------------------------------------------------------------- */
static void req_free(void *user)
{
    struct api_req *r = user;
    json_decref(r->user.row);
    json_decref(r->query);
    json_decref(r->body);
    json_decref(r->sent);
    free(r->cookie);
    free(r->state);
    free(r);
}

/* The body as JSON (spec 0.4); NULL when it is no JSON, or, with the reason in err, JSON that we cannot hold. An absent body
 * is an empty object. */
static json_t *body_parse(const tn_http_req *req, tn_err *err)
{
    tn_str text = {(const char *)req->body, req->body_len};
    tn_str type = tn_http_header(req, "content-type");
    if (text.s == NULL || text.n == 0) {
        return json_object();
    }
    if (text_has(type, "x-www-form-urlencoded")) {
        return form_parse(text);
    }
    if (type.n > 0 && !text_has(type, "json")) {
        return json_stringn(text.s, text.n);
    }
    uint32_t kind, n;
    if (api.host->json->scan(text, &kind, NULL, 0, &n, NULL) != TN_OK) {
        return NULL;
    }
    json_error_t why = {.position = 0};
    json_t *body = json_loadb(text.s, text.n, 0, &why);
    if (body == NULL) {
        const char *near = strstr(why.text, " near "); /* what follows repeats the body */
        size_t len = near != NULL ? (size_t)(near - why.text) : strlen(why.text);
        api.host->fail(err, TN_E_INVAL, "Not usable at byte %d: %.*s", why.position, (int)len,
                       why.text);
    }
    return body;
}

/* curl -d sends JSON as a form unless told otherwise, and then every field is missing. */
static const char *type_hint(const tn_http_req *req)
{
    tn_str type = tn_http_header(req, "content-type");
    const char *text = (const char *)req->body;
    bool looks = req->body_len > 0 && text != NULL && (text[0] == '{' || text[0] == '[');
    return looks && type.n > 0 && !text_has(type, "json")
               ? " JSON needs the header Content-Type: application/json."
               : "";
}

static bool validate(struct api_req *r)
{
    char why[768];
    r->query = schema_query(r->route->query, r->http, why, sizeof why);
    if (r->query == NULL) {
        api_fail(r, EClientBadRequest, NULL, json_pack("{s:s}", "message", why),
                 "Invalid request query");
        return false;
    }
    if (r->route->body == NULL && (r->route->flags & API_ANY_BODY) == 0) {
        return true;
    }
    tn_err err = TN_ERR_INIT;
    json_t *body = body_parse(r->http, &err);
    if (body == NULL) {
        api_fail(r, EClientBadRequest, NULL,
                 err.msg[0] != '\0' ? json_pack("{s:s}", "message", err.msg) : NULL,
                 "Invalid request body");
        return false;
    }
    if ((r->route->flags & API_ANY_BODY) != 0) {
        r->body = body;
        return true;
    }
    if (json_is_object(body)) {
        r->body = schema_body(r->route->body, body, why, sizeof why);
    } else {
        snprintf(why, sizeof why, "Request body should be a JSON object.");
    }
    json_decref(body);
    if (r->body == NULL) {
        api_fail(r, EClientBadRequest, NULL,
                 json_pack("{s:s+}", "message", why, type_hint(r->http)), "Invalid request body");
    }
    return r->body != NULL;
}

void api_dispatch(void *inst, tn_http_req *req, const tn_match *match)
{
    (void)inst;
    struct api_req *r = calloc(1, sizeof *r);
    if (r == NULL) {
        api_error(req, ESysLimitReached, NULL, (tn_str){NULL, 0}, "Out of memory");
        return;
    }
    r->http = req;
    r->route = match->route->data;
    r->params = match->params;
    r->nparams = match->nparams;
    r->dry_run = text_bool(tn_http_header(req, "x-dff-dry-run")) == 1;
    api_trace(req, r->trace);
    api.host->http->on_release(api.host->ctx, req, req_free, r);
    if (session_authenticate(r) && session_authorize(r, r->route->permission) && validate(r)) {
        operation_begin(r);
        r->route->run(r);
    }
}
