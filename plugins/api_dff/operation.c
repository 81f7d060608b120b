/* SPDX-License-Identifier: Apache-2.0 */
/* Operation records (spec 1.11): who changed what, with secrets masked; immutable. */
#include "operation.h"
#include "list.h"
#include "mask.h"
#include "rows.h"

#include <stdlib.h>
#include <string.h>

#define KEPT      50000        /* rows, spec 5.7 */
#define TEXT_MAX  (64u * 1024) /* of a body; a longer one is only counted */
#define VALUE_MAX 2048         /* of one text in a body: scripts travel in bodies, too */

static bool is_recorded(const struct api_req *r)
{
    const char *p = r->route->permission;
    size_t n = strlen(p);
    if (text_has_prefix(text_of(r->route->path), "/api/v1/auth/do/sign-in")) {
        return true;
    }
    if (n < 2 || strcmp(p + n - 2, "_w") != 0 || !r->has_user) {
        return false;
    }
    /* The editor saves every few seconds by itself. */
    const json_t *data = json_object_get(r->body, "data");
    return json_object_get(r->body, "prevCodeDraftMD5") == NULL ||
           json_object_get(data, "codeDraft") == NULL;
}

/* Long texts are cut, so that a body stays readable and bounded. */
static void shorten(json_t *v)
{
    const char *key;
    json_t *member;
    void *next;
    if (json_is_array(v)) {
        for (size_t i = 0; i < json_array_size(v); i++) {
            json_t *item = json_array_get(v, i);
            if (json_string_length(item) > VALUE_MAX) {
                json_array_set_new(v, i, json_string("(a long text)"));
            } else {
                shorten(item);
            }
        }
        return;
    }
    json_object_foreach_safe(v, next, key, member)
    {
        size_t n = json_string_length(member);
        if (n > VALUE_MAX) {
            json_object_set_new(v, key, json_sprintf("(a text of %zu bytes)", n));
        } else {
            shorten(member);
        }
    }
}

/* A masked copy. */
static json_t *shown(const json_t *v)
{
    json_t *copy = v != NULL ? json_deep_copy(v) : NULL;
    if (copy == NULL) {
        return json_null();
    }
    mask_json(copy);
    shorten(copy);
    char *text = json_dumps(copy, JSON_COMPACT | JSON_ENCODE_ANY);
    size_t n = text != NULL ? strlen(text) : 0;
    free(text);
    if (n > TEXT_MAX) {
        json_decref(copy);
        return json_sprintf("(%zu bytes)", n);
    }
    return copy;
}

static json_t *params_of(const struct api_req *r)
{
    json_t *params = json_object();
    const char *p = r->route->path;
    for (uint32_t i = 0; i < r->nparams && (p = strchr(p, ':')) != NULL; i++) {
        char name[64];
        size_t n = strcspn(++p, "/");
        n = n < sizeof name ? n : sizeof name - 1;
        memcpy(name, p, n);
        name[n] = '\0';
        json_object_set_new(params, name, json_stringn(r->params[i].s, r->params[i].n));
    }
    return params;
}

/* Agents without a browser are named by what they say they are. */
static json_t *client_of(const struct api_req *r)
{
    tn_str id = tn_http_header(r->http, "x-dff-client-id");
    tn_str agent = tn_http_header(r->http, "user-agent");
    if (id.n > 0 && id.n <= 128) {
        return json_stringn(id.s, id.n);
    }
    size_t n = 0;
    while (n < agent.n && n < 48 && agent.s[n] != '/' && agent.s[n] != ' ') {
        n++;
    }
    return json_sprintf("c_bot_%.*s@%.*s", n > 0 ? (int)n : 7, n > 0 ? agent.s : "unknown",
                        (int)r->http->peer.n, r->http->peer.s);
}

static void put_user(const struct api_req *r, json_t *row)
{
    if (r->has_user) {
        json_object_set_new(row, "userId", json_string(r->user.id));
        json_object_set_new(row, "username", json_string(r->user.username));
        return;
    }
    json_t *name = json_object_get(json_object_get(r->body, "signIn"), "username");
    if (json_is_string(name)) {
        json_object_set(row, "username", name);
    }
}

void operation_begin(struct api_req *r)
{
    if (is_recorded(r)) {
        r->sent = shown(r->body);
    }
}

void operation_note(struct api_req *r, const struct api_stamp *s, uint32_t status,
                    const json_t *data, const char *message)
{
    if (api.host->records == NULL || !is_recorded(r)) {
        return;
    }
    int64_t cost = 0;
    text_int(text_of(s->cost), &cost);
    json_t *body = json_pack("{s:b, s:s, s:o}", "ok", message == NULL, "message",
                             message != NULL ? message : "", "data", shown(data));
    json_t *row = json_pack(
        "{s:o, s:[s%], s:s, s:s%, s:s, s:o, s:o, s:o, s:I, s:i, s:o}", "clientId", client_of(r),
        "clientIPsJSON", r->http->peer.s, r->http->peer.n, "traceId", r->trace, "reqMethod",
        r->http->method.s, r->http->method.n, "reqRoute", r->route->path, "reqQueryJSON",
        shown(r->query), "reqParamsJSON", params_of(r), "reqBodyJSON",
        r->sent != NULL ? json_incref(r->sent) : json_null(), "reqCost", (json_int_t)cost,
        "respStatusCode", (int)status, "respBodyJSON", body != NULL ? body : json_null());
    if (row == NULL) {
        return;
    }
    put_user(r, row);
    char *text = json_dumps(row, JSON_COMPACT);
    if (text != NULL) {
        api.host->records->put(api.host->ctx, "operationRecord", TN_STR("all"), KEPT,
                               text_of(text));
    }
    free(text);
    json_decref(row);
}

/* ---- the list -------------------------------------------------------------------------------- */

static const struct api_route *route_of(const char *method, const char *path)
{
    for (const tn_route *t = api_routes(); t->method != NULL; t++) {
        if (t->data != NULL && strcmp(t->path, path) == 0 && strcmp(t->method, method) == 0) {
            return t->data;
        }
    }
    return NULL;
}

/* The first of: id in the path, id that the answer made, id in the query. */
static json_t *entity_id(const json_t *row)
{
    static const char *const places[] = {"reqParamsJSON", "respBodyJSON", "reqQueryJSON"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const json_t *from = json_object_get(row, places[i]);
        const json_t *data = json_object_get(from, "data");
        json_t *id = json_object_get(i == 1 ? data : from, "id");
        if (json_is_string(id)) {
            return json_incref(id);
        }
    }
    return json_null();
}

static const char *region_of(const char *ip)
{
    static const char *const local[] = {"127.", "10.", "192.168.", "::1", "fd", "fe80", "172.16."};
    for (size_t i = 0; ip != NULL && i < sizeof local / sizeof *local; i++) {
        if (strncmp(ip, local[i], strlen(local[i])) == 0) {
            return "local network";
        }
    }
    return "";
}

static void operation_row(struct api_req *r, json_t *row)
{
    const struct api_route *route = route_of(row_text(row, "reqMethod"), row_text(row, "reqRoute"));
    const char *name = route != NULL && route->doc != NULL ? route->doc : row_text(row, "reqRoute");
    json_t *regions = json_array();
    const json_t *ips = json_object_get(row, "clientIPsJSON");
    (void)r;
    for (size_t i = 0; i < json_array_size(ips); i++) {
        json_array_append_new(regions,
                              json_string(region_of(json_string_value(json_array_get(ips, i)))));
    }
    json_object_set_new(row, "clientIPRegionsJSON", regions);
    json_object_set_new(row, "_operationEntityId", entity_id(row));
    json_object_set_new(row, "reqRouteNames",
                        json_pack("{s:s, s:s, s:s}", "en", name, "zh-CN", name, "default", name));
}

static bool fresh(struct api_req *r, struct filters *f)
{
    tn_err err = TN_ERR_INIT;
    (void)f;
    if (api.host->records->flush(api.host->ctx, &err) != TN_OK) {
        api_fail_err(r, &err);
        return false;
    }
    return true;
}

/* clang-format off */
static const char *const sort[] = {"seq", NULL};
static const char *const fuzzy[] = {"oprd.userId", "oprd.username", "oprd.clientId", "oprd.traceId",
    "oprd.reqMethod", "oprd.reqRoute", "oprd.reqQueryJSON", "oprd.reqParamsJSON",
    "oprd.reqBodyJSON", "oprd.respStatusCode", "oprd.respBodyJSON", NULL};
static const struct list_spec operation_list = {.entity = "operationRecord", .paging = PAGE_NORMAL,
    .sort = sort, .fuzzy = fuzzy, .filters = fresh, .row = operation_row};
#define IN(n)   {.name = n, .type = F_COMMA, .op = TN_OP_IN, .column = "oprd." n}
#define LIKE(n) {.name = n, .type = F_STR, .op = TN_OP_LIKE, .column = "oprd." n}
static const struct field query[] = {IN("id"), IN("userId"), IN("username"), IN("clientId"),
    IN("traceId"), IN("reqMethod"), LIKE("reqRoute"), LIKE("reqQueryJSON"), LIKE("reqParamsJSON"),
    LIKE("reqBodyJSON"),
    {.name = "respStatusCode", .type = F_INT, .op = TN_OP_EQ, .column = "oprd.respStatusCode"},
    LIKE("respBodyJSON"), {.name = NULL}};

const struct api_route operation_routes[] = {
    {"GET", "/api/v1/operation-records/do/list", "general_r", "Lists what users did", list_run,
     query, NULL, &operation_list, API_FIELDS | API_EXPORT},
    {.method = NULL}};
/* clang-format on */
