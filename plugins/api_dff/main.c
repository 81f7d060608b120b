/* SPDX-License-Identifier: Apache-2.0 */
/* The api plugin of the DFF vocabulary: its descriptor, its routes, its start. */
#include "connector.h"
#include "cron.h"
#include "entities.h"
#include "gate_slow.h"
#include "integration.h"
#include "localhost.h"
#include "operation.h"
#include "record.h"
#include "rows.h"
#include "schema.h"
#include "service.h"
#include "sub.h"
#include "watch.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define ROUTES_MAX 512

struct api_context api;

const char *api_setting(const char *name, const char *dflt)
{
    const char *v = api.host->setting(api.host->ctx, name);
    return v != NULL && v[0] != '\0' ? v : dflt;
}

int64_t api_setting_int(const char *name, int64_t dflt)
{
    int64_t v;
    return text_int(text_of(api.host->setting(api.host->ctx, name)), &v) ? v : dflt;
}

bool api_setting_bool(const char *name, bool dflt)
{
    int yes = text_bool(text_of(api.host->setting(api.host->ctx, name)));
    return yes >= 0 ? yes == 1 : dflt;
}

/* ---- routes ---------------------------------------------------------------------------------- */
static tn_route routes[ROUTES_MAX]; /* filled once by load() from the tables below */

/* clang-format off: a line each, so that parallel changes merge */
static const struct api_route *const tables[] = {
    index_routes,       openapi_routes,        auth_routes,
    user_routes,        script_set_routes,     script_routes,
    publish_routes,     func_routes,           env_routes,
    func_api_routes,    monitor_routes,        api_auth_routes,
    access_key_routes,  task_routes,           call_api_routes,
    task_record_routes, system_setting_routes, operation_routes,
    overview_routes,    debug_routes,          connector_routes,
    func_store_routes,  func_cache_routes,     cron_job_routes,
    cron_view_routes,   flag_routes,           integration_routes,
};
/* clang-format on */

const tn_route *api_routes(void)
{
    return routes;
}

static tn_rc routes_fill(tn_err *err)
{
    size_t n = 0;
    for (const tn_route *c = call_routes; c->method != NULL; c++) {
        if (n == ROUTES_MAX - 1) {
            return api.host->fail(err, TN_E_LIMIT, "more than %d routes", ROUTES_MAX - 1);
        }
        routes[n++] = *c;
    }
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
        for (const struct api_route *a = tables[t]; a->method != NULL; a++) {
            if (n == ROUTES_MAX - 1) {
                return api.host->fail(err, TN_E_LIMIT, "more than %d routes", ROUTES_MAX - 1);
            }
            routes[n++] = (tn_route){.method = a->method,
                                     .path = a->path,
                                     .permission = a->permission,
                                     .flags = (a->flags & API_MULTIPART) != 0 ? TN_ROUTE_MULTIPART
                                                                              : 0,
                                     .handler = api_dispatch,
                                     .data = a,
                                     .doc = a->doc};
        }
    }
    routes[n] = (tn_route){.method = NULL};
    return TN_OK;
}

/* ---- refusals -------------------------------------------------------------------------------- */
static void preflight(tn_http_req *req)
{
    struct api_stamp s;
    struct str none = {0};
    api_stamp(&s, req);
    tn_str wanted = tn_http_header(req, "access-control-request-headers");
    api_stamp_header(&s, TN_STR("Access-Control-Allow-Methods"),
                     TN_STR("GET, HEAD, PUT, PATCH, POST, DELETE"));
    if (wanted.n > 0 && wanted.n <= 4096) {
        api_stamp_header(&s, TN_STR("Access-Control-Allow-Headers"), wanted);
    }
    api_stamp_header(&s, TN_STR("Access-Control-Max-Age"), TN_STR("86400"));
    if (api_send(req, &s, 200, "text/plain; charset=utf-8", &none, NULL) != TN_OK) {
        api_error(req, EClientBadRequest, NULL, (tn_str){NULL, 0}, "Bad preflight request");
    }
}

/* Who is told why nothing matched: status of the router or frontend to our vocabulary. */
static void refuse(void *inst, tn_http_req *req, uint32_t status, const char *text)
{
    (void)inst;
    if (status == 404 && text_is(req->method, "OPTIONS")) {
        preflight(req);
        return;
    }
    if (status == 404) {
        struct str detail = {0};
        str_puts(&detail, "{\"method\":");
        str_quote_any(&detail, req->method);
        str_puts(&detail, ",\"url\":");
        /* The query may hold a token; the path says what was not found. */
        str_quote_any(&detail, req->path);
        str_char(&detail, '}');
        api_error(req, EClientNotFound, NULL, str_view(&detail), "No such route");
        str_free(&detail);
        return;
    }
    enum api_code code = status == 503 || status == 408 ? ESysLimitReached
                         : status >= 500                ? ESysWebServer
                                                        : EClientBadRequest;
    api_error(req, code, NULL, (tn_str){NULL, 0}, "%s",
              status == 413  ? "Request body is too large (setting body_max)"
              : text != NULL ? text
                             : "Invalid request");
}

/* ---- life ------------------------------------------------------------------------------------ */
static tn_rc load(const tn_host *host, tn_err *err)
{
    api.host = host;
    if (sodium_init() < 0) {
        return host->fail(err, TN_E_INTERNAL, "libsodium does not start");
    }
    json_object_seed(0); /* before any thread: the first object would seed lazily */
    return routes_fill(err);
}

static tn_rc published_code(tn_err *err)
{
    static const char *const extra[] = {"code"};
    static const char *const omit[] = {"description"};
    struct filters f = {0};
    json_t *zero = json_integer(0);
    filters_add(&f, "scpt.publishVersion", TN_OP_GT, zero);
    json_decref(zero);
    tn_list q = {.size = sizeof q,
                 .filters = f.f,
                 .nfilters = f.n,
                 .extra = extra,
                 .nextra = 1,
                 .omit = omit,
                 .nomit = 1,
                 .limit = -1};
    json_t *rows = store_rows(NULL, "script", &q, NULL, err);
    filters_free(&f);
    tn_rc rc = rows != NULL ? TN_OK : err->rc;
    for (size_t i = 0; rc == TN_OK && i < json_array_size(rows); i++) {
        const json_t *s = json_array_get(rows, i);
        if (strcmp(row_text(s, "type"), "python") == 0) {
            rc = api.host->calls->code_put(api.host->ctx, text_of(row_text(s, "id")),
                                           text_of(row_text(s, "code")), (tn_str){NULL, 0}, err);
        }
    }
    json_decref(rows);
    api.host->calls->code_commit(api.host->ctx);
    return rc;
}

static tn_rc start(void *inst, tn_err *err)
{
    (void)inst;
    api.dev = strcmp(api_setting("MODE", "prod"), "dev") == 0;
    api.version = api_setting("VERSION", "0.1.0");
    api.release = api_setting("RELEASE_TIMESTAMP", "0");
    const char *secret = api_setting("SECRET", "");
    if (secret[0] != '\0') {
        /* Long secrets are hashed first, as HMAC does with keys beyond its block (RFC 2104). */
        size_t n = strlen(secret);
        if (n > sizeof api.jwt_key) {
            crypto_hash_sha256(api.jwt_key, (const unsigned char *)secret, n);
            n = crypto_hash_sha256_BYTES;
        } else {
            memcpy(api.jwt_key, secret, n);
        }
        api.jwt_key_len = n;
    } else {
        api.host->auth->derive_key(api.host->ctx, "jwt", api.jwt_key);
        api.jwt_key_len = 32;
    }
    if (api.dev) {
        api.host->log(api.host->ctx, TN_LOG_WARNING,
                      "DEVELOPMENT MODE: admin/admin may sign in, captchas are off, errors tell "
                      "internals. Never let others reach this platform.");
    }
    /* clang-format off: a line each, so that parallel changes merge */
    static tn_rc (*const steps[])(tn_err *) = {
        first_start,     localhost_start,  env_services,    store_service,     entity_services,
        sysdb_service,   task_services,    connector_start, sign_service,      published_code,
        snapshot_reload, call_start,       record_start,    record_keep_start, cleaner_start,
        series_start,    cron_state_start, cron_sync_start, flags_start,       subs_start,
        autorun_start,   slow_start,
    };
    /* clang-format on */
    tn_rc rc = TN_OK;
    for (size_t i = 0; rc == TN_OK && i < sizeof steps / sizeof *steps; i++) {
        *err = (tn_err)TN_ERR_INIT;
        rc = steps[i](err);
    }
    return rc;
}

static void detach(void *inst)
{
    (void)inst;
    sysdb_stop();
    slow_stop();
    record_keep_stop();
}

static const char *const prefixes[] = {"/", NULL};
static const tn_api_ops ops = {
    .size = sizeof ops,
    .prefixes = prefixes,
    .routes = routes,
    .refuse = refuse,
    .start = start,
    .plan = call_plan,
    .entities = api_entities,
    .migrations = api_migrations,
};

TN_PLUGIN(.kind = TN_KIND_API, .name = "dff", .version = "0.1.0",
          .summary = "HTTP API of the DataFlux Func vocabulary", .load = load, .detach = detach,
          .ops = &ops)
