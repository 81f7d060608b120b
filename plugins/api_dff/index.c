/* SPDX-License-Identifier: Apache-2.0 */
/* What the platform says about itself (spec 1.12): system-info, image-info, ping, echo. */
#include "rows.h"
#include "sign_in.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#define CTX api.host->ctx

/* ---- system-info ----------------------------------------------------------------------------- */
/* clang-format off */
/* Settings with their defaults as JSON text. */
static const struct {
    const char *id, *dflt;
} settings[] = {
    {"DATAFLUX_FUNC_ID", "null"},
    {"CUSTOM_SITE_TITLE_ENABLED", "false"},
    {"CUSTOM_SITE_TITLE_TEXT", "null"},
    {"CUSTOM_FAVICON_ENABLED", "false"},
    {"CUSTOM_FAVICON_IMAGE_SRC", "null"},
    {"CUSTOM_LOGO_ENABLED", "false"},
    {"CUSTOM_LOGO_IMAGE_SRC", "null"},
    {"NOTICE_BAR_ENABLED", "false"},
    {"NOTICE_BAR_TEXT", "null"},
    {"NOTICE_BAR_COLOR", "\"#FF6600\""},
    {"NAVI_DOC_LINK_ENABLED", "true"},
    {"NAVI_DOC_LINK_URL", "\"https://func.guance.com/#/doc-index\""},
    {"LOCAL_FUNC_TASK_RECORD_ENABLED", "true"},
    {"GUANCE_DATA_UPLOAD_ENABLED", "false"},
    {"GUANCE_DATA_UPLOAD_URL", "null"},
    {"GUANCE_DATA_SITE_NAME", "null"},
    {"OFFICIAL_SCRIPT_MARKET_ENABLED", "true"},
    {"SCRIPT_SET_HIDDEN_OFFICIAL_SCRIPT_MARKET", "true"},
    {"SCRIPT_SET_HIDDEN_BUILTIN", "true"},
    {"SCRIPT_SET_HIDDEN_BLUEPRINT", "true"},
};
/* clang-format on */

json_t *system_settings(tn_err *err)
{
    tn_list q = {.size = sizeof q, .limit = -1};
    json_t *rows = store_rows(NULL, "systemSetting", &q, NULL, err);
    if (rows == NULL) {
        return NULL;
    }
    json_t *all = json_object();
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        json_object_set_new(all, settings[i].id,
                            json_loads(settings[i].dflt, JSON_DECODE_ANY, NULL));
    }
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        json_t *value = json_loads(row_text(row, "value"), JSON_DECODE_ANY, NULL);
        if (value != NULL && json_object_get(all, row_text(row, "id")) != NULL) {
            json_object_set(all, row_text(row, "id"), value);
        }
        json_decref(value);
    }
    json_decref(rows);
    return all;
}

enum { I_TEXT, I_INT, I_LIST, I_BYTES };
/* clang-format off */
/* Keys whose value is a setting, with the default of spec 6.3. */
static const struct {
    const char *key, *setting, *dflt;
    int kind;
} infos[] = {
    {"MODE", "MODE", "prod", I_TEXT},
    {"WEB_BASE_URL", "WEB_BASE_URL", "", I_TEXT},
    {"WEB_INNER_BASE_URL", "WEB_INNER_BASE_URL", "", I_TEXT},
    {"_PIP_INSTALL_DIR", "_EXTRA_PYTHON_PACKAGE_INSTALL_DIR", "extra-python-packages", I_TEXT},
    {"_WEB_CLIENT_ID_HEADER", NULL, "X-Dff-Client-Id", I_TEXT},
    {"_WEB_CLIENT_TIME_HEADER", NULL, "X-Client-Time", I_TEXT},
    {"_WEB_AUTH_HEADER", NULL, "X-Dff-Auth-Token", I_TEXT},
    {"_WEB_AUTH_QUERY", NULL, "xDFFAuthToken", I_TEXT},
    {"_WEB_AUTH_COOKIE", NULL, "xDFFAuthToken", I_TEXT},
    {"_WEB_TRACE_ID_HEADER", NULL, "X-Trace-Id", I_TEXT},
    {"_WEB_PULL_LOG_TRACE_ID", NULL, "TRACE-PULL-LOG", I_TEXT},
    {"_FUNC_EXPORT_FILENAME", "_FUNC_EXPORT_FILENAME", "dataflux-func", I_TEXT},
    {"_FUNC_ARGUMENT_PLACEHOLDER_LIST", "_FUNC_ARGUMENT_PLACEHOLDER_LIST",
     "INPUT_BY_CALLER,FROM_PARAMETER", I_LIST},
    {"_FUNC_TASK_TIMEOUT_DEBUGGER", "_FUNC_TASK_TIMEOUT_DEBUGGER", "60", I_INT},
    {"_FUNC_TASK_TIMEOUT_DEFAULT", "_FUNC_TASK_TIMEOUT_DEFAULT", "35", I_INT},
    {"_FUNC_TASK_TIMEOUT_MIN", "_FUNC_TASK_TIMEOUT_MIN", "1", I_INT},
    {"_FUNC_TASK_TIMEOUT_MAX", "_FUNC_TASK_TIMEOUT_MAX", "3600", I_INT},
    {"_TASK_RECORD_LIMIT_MIN", "_TASK_RECORD_LIMIT_MIN", "0", I_INT},
    {"_TASK_RECORD_LIMIT_MAX", "_TASK_RECORD_LIMIT_MAX", "10000", I_INT},
    {"_TASK_RECORD_FUNC_LIMIT_SYNC_API", "_TASK_RECORD_FUNC_LIMIT_SYNC_API", "100", I_INT},
    {"_TASK_RECORD_FUNC_LIMIT_CRON_JOB", "_TASK_RECORD_FUNC_LIMIT_CRON_JOB", "500", I_INT},
    {"_TASK_RECORD_FUNC_LIMIT_ASYNC_API", "_TASK_RECORD_FUNC_LIMIT_ASYNC_API", "100", I_INT},
    {"_MONITOR_REPORT_INTERVAL", "_MONITOR_REPORT_INTERVAL", "15", I_INT},
};
/* clang-format on */

static json_t *list_of(const char *text)
{
    json_t *list = json_array();
    while (*text != '\0') {
        size_t n = strcspn(text, ", \n");
        if (n > 0) {
            json_array_append_new(list, json_stringn(text, n));
        }
        text += n;
        text += strspn(text, ", \n");
    }
    return list;
}

static json_t *linux_distro(void)
{
    json_t *name = NULL;
    FILE *f = fopen("/etc/os-release", "re");
    char line[512];
    static const char key[] = "PRETTY_NAME=\"";
    while (f != NULL && name == NULL && fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, key, sizeof key - 1) == 0) {
            name = json_stringn(line + sizeof key - 1, strcspn(line + sizeof key - 1, "\"\n"));
        }
    }
    if (f != NULL) {
        fclose(f);
    }
    return name != NULL ? name : json_string("Linux");
}

static void image_identity(json_t *to)
{
    struct utsname u;
    bool known = uname(&u) == 0;
    json_object_set_new(to, "ARCHITECTURE", json_string(known ? u.machine : "unknown"));
    json_object_set_new(to, "EDITION", json_string("Tenon"));
    json_object_set_new(to, "VERSION", json_string(api.version));
    int64_t release = 0;
    text_int(text_of(api.release), &release);
    json_object_set_new(to, "RELEASE_TIMESTAMP", json_integer(release));
    json_object_set_new(to, "LINUX_DISTRO", linux_distro());
}

static void system_info(struct api_req *r)
{
    tn_err err = TN_ERR_INIT;
    json_t *info = json_object();
    image_identity(info);
    for (size_t i = 0; i < sizeof infos / sizeof *infos; i++) {
        const char *v = infos[i].setting != NULL ? api_setting(infos[i].setting, infos[i].dflt)
                                                 : infos[i].dflt;
        int64_t n;
        json_object_set_new(info, infos[i].key,
                            infos[i].kind == I_LIST                              ? list_of(v)
                            : infos[i].kind == I_INT && text_int(text_of(v), &n) ? json_integer(n)
                                                                                 : json_string(v));
    }
    struct utsname u;
    json_object_set_new(info, "_HOSTNAME", json_string(uname(&u) == 0 ? u.nodename : ""));
    json_object_set_new(info, "_RESOURCE_UPLOAD_FILE_SIZE_LIMIT",
                        json_integer(10LL * 1024 * 1024 * 1024));
    json_object_set_new(info, "GUANCE_NODES", json_array());
    if (api.dev) {
        json_object_set_new(info, "DEV_MODE", json_true());
        json_object_set_new(
            info, "WARNING",
            json_string("DEVELOPMENT MODE: admin/admin may sign in and captchas are "
                        "off. Never let others reach this platform."));
    }
    json_t *all = system_settings(&err), *funcs = all != NULL ? integrated_funcs(&err) : NULL;
    if (funcs == NULL) {
        json_decref(all);
        json_decref(info);
        api_fail_err(r, &err);
        return;
    }
    json_object_set_new(info, "SYSTEM_SETTINGS", all);
    json_object_set_new(info, "INTEGRATED_SIGN_IN_FUNC", funcs);
    api_ok(r, info);
}

static void image_info(struct api_req *r)
{
    json_t *info = json_object();
    image_identity(info);
    api_ok(r, info);
}

/* ---- small ones ------------------------------------------------------------------------------ */
static void ping(struct api_req *r)
{
    api_ok(r, json_string("pong"));
}

static void echo(struct api_req *r)
{
    api_ok(r, json_pack("{s:O, s:O?}", "query", r->query, "body", r->body));
}

static void behavior(struct api_req *r)
{
    const char *scenario = row_text(r->query, "scenario");
    if (strcmp(scenario, "ok") == 0) {
        api_ok(r, json_string("OK"));
    } else if (strcmp(scenario, "slowResponse") == 0) {
        struct timespec two = {.tv_sec = 2};
        nanosleep(&two, NULL);
        api_ok(r, json_string("OK, but slow"));
    } else if (strcmp(scenario, "error") == 0) {
        api_fail(r, EClientBadRequest, NULL, NULL, "This is an error response");
    } else {
        api_fail(r, ESys, NULL, NULL, "An unexpected error occurred");
    }
}

static void send_plain(struct api_req *r, uint32_t status, const char *text, const char *location)
{
    struct api_stamp s;
    struct str b = {0};
    api_stamp_as(&s, r->http, r->trace);
    if (location != NULL) {
        api_stamp_header(&s, TN_STR("Location"), text_of(location));
    }
    str_puts(&b, text);
    api_send(r->http, &s, status, "text/plain; charset=utf-8", &b, NULL);
}

static void root_get(struct api_req *r)
{
    send_plain(r, 302, "/client-app", "/client-app");
}

/* For whoever opens the address in a browser; the web console will take its place. */
static void welcome(struct api_req *r)
{
    struct api_stamp s;
    struct str b = {0};
    api_stamp_as(&s, r->http, r->trace);
    str_puts(
        &b,
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Tenon</title></head><body>"
        "<h1>Tenon is running</h1><p>This version has no web console: it is used over HTTP, with curl or the "
        "SDKs of DataFlux Func. README.md shows how; whoever has signed in finds every route in the OpenAPI "
        "document at /api.</p><ul>"
        "<li><a href=\"/api/v1/func-api-list\">/api/v1/func-api-list</a> APIs that are shown to everybody</li>"
        "<li><a href=\"/api/v1/system-info\">/api/v1/system-info</a> version and limits</li>"
        "<li><a href=\"/healthz\">/healthz</a></li></ul></body></html>\n");
    api_send(r->http, &s, 200, "text/html; charset=utf-8", &b, NULL);
}

static void root_head(struct api_req *r)
{
    send_plain(r, 200, "OK", NULL);
}

/* DFF.SIGN: md5 of SECRET, a line break and what the script gave. */
static void sign_handler(void *user, tn_str payload, void *token)
{
    (void)user;
    char key[65], md5[33];
    const char *secret = api_setting("SECRET", "");
    if (secret[0] == '\0') {
        static const char hex[] = "0123456789abcdef";
        uint8_t raw[32];
        api.host->auth->derive_key(CTX, "sign", raw);
        for (size_t i = 0; i < sizeof raw; i++) {
            key[2 * i] = hex[raw[i] >> 4];
            key[2 * i + 1] = hex[raw[i] & 15];
        }
        key[64] = '\0';
        secret = key;
    }
    struct str b = {0};
    str_puts(&b, secret);
    str_char(&b, '\n');
    str_text(&b, payload);
    if (b.failed) {
        api.host->calls->answer(CTX, token, TN_E_NOMEM, TN_STR("no memory"));
    } else {
        md5_hex(b.s, b.n, md5);
        api.host->calls->answer(CTX, token, TN_OK, (tn_str){md5, 32});
    }
    str_free(&b);
}

tn_rc sign_service(tn_err *err)
{
    return api.host->calls->service(CTX, "sign", TN_SERVICE_LOOP, sign_handler, NULL, err);
}

/* clang-format off */
static const struct field echo_query[] = {{.name = "string", .type = F_STR, .flags = FF_NULL},
                                          {.name = "integer", .type = F_INT},
                                          {.name = "boolean", .type = F_BOOL},
                                          {.name = NULL}};
static const struct field behavior_query[] = {
    {.name = "scenario", .type = F_STR, .flags = FF_REQUIRED,
     .choices = "ok|error|unhandledError|unhandledAsyncError|slowResponse"},
    {.name = NULL}};

const struct api_route index_routes[] = {
    {"GET", "/", "public", "Leads to the console", root_get, NULL, NULL, NULL, 0},
    {"GET", "/client-app", "public", "Says that the platform runs, to people with a browser", welcome,
     NULL, NULL, NULL, 0},
    {"HEAD", "/", "public", "Answers OK to probes", root_head, NULL, NULL, NULL, 0},
    {"GET", "/api/v1/image-info", "public", "Build identity", image_info, NULL, NULL, NULL, 0},
    {"GET", "/api/v1/system-info", "public", "Version, limits and settings", system_info, NULL,
     NULL,
     NULL, 0},
    {"GET", "/api/v1/do/ping", "public", "Answers pong", ping, NULL, NULL, NULL, 0},
    {"POST", "/api/v1/do/echo", "public", "Answers what was sent", echo, echo_query, NULL, NULL,
     API_ANY_BODY},
    {"GET", "/api/v1/debug/api-behavior/do/test", "public", "Answers in a chosen way", behavior,
     behavior_query, NULL, NULL, 0},
    {.method = NULL}};
/* clang-format on */
