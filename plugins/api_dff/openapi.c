/* SPDX-License-Identifier: Apache-2.0 */
/* GET /api: the OpenAPI 3.0 document, made from the same tables that route and validate. */
#include "list.h"
#include "rows.h"

#include <stdlib.h>
#include <string.h>

/* ---- field tables as JSON Schema ------------------------------------------------------------- */
static json_t *schema_of(const struct field *f);

static json_t *choices_of(const char *choices)
{
    json_t *list = json_array();
    for (const char *p = choices; *p != '\0';) {
        size_t n = strcspn(p, "|");
        json_array_append_new(list, json_stringn(p, n));
        p += n + (p[n] == '|');
    }
    return list;
}

static json_t *object_of(const struct field *fields)
{
    json_t *properties = json_object(), *required = json_array();
    for (const struct field *f = fields; f->name != NULL; f++) {
        json_object_set_new(properties, f->name, schema_of(f));
        if ((f->flags & FF_REQUIRED) != 0) {
            json_array_append_new(required, json_string(f->name));
        }
    }
    json_t *v = json_pack("{s:s, s:o}", "type", "object", "properties", properties);
    if (json_array_size(required) > 0) {
        json_object_set(v, "required", required);
    }
    json_decref(required);
    return v;
}

static void bounds(json_t *v, const struct field *f, const char *min, const char *max)
{
    if (f->min != 0 || (f->type == F_INT && f->max != 0)) {
        json_object_set_new(v, min, json_integer(f->min));
    }
    if (f->max != 0) {
        json_object_set_new(v, max, json_integer(f->max));
    }
}

static json_t *schema_of(const struct field *f)
{
    json_t *v = NULL;
    switch (f->type) {
    case F_STR:
        v = json_pack("{s:s}", "type", "string");
        bounds(v, f, "minLength", "maxLength");
        if (f->choices != NULL) {
            json_object_set_new(v, "enum", choices_of(f->choices));
        }
        if (schema_pattern(f) != NULL) {
            /* written between slashes there */
            const char *text = schema_pattern(f);
            json_object_set_new(v, "pattern", json_stringn(text + 1, strlen(text) - 2));
        }
        break;
    case F_INT:
        v = json_pack("{s:s}", "type", "integer");
        bounds(v, f, "minimum", "maximum");
        break;
    case F_BOOL:
        v = json_pack("{s:s}", "type", "boolean");
        break;
    case F_JSON:
        v = json_pack("{s:s}", "type", "object");
        break;
    case F_TIME:
        v = json_pack("{s:s, s:s}", "type", "string", "format", "date-time");
        break;
    case F_OBJ:
        v = object_of(f->sub);
        break;
    case F_ARR:
        v = json_pack("{s:s, s:o}", "type", "array", "items", schema_of(f->sub));
        bounds(v, f, "minItems", "maxItems");
        break;
    case F_COMMA:
        v = json_pack("{s:s, s:s}", "type", "string", "description", "a,b,c");
        break;
    case F_JSONSTR:
        v = json_pack("{s:s, s:s}", "type", "string", "description", "JSON");
        break;
    default:
        v = json_object();
    }
    if ((f->flags & FF_NULL) != 0) {
        json_object_set_new(v, "nullable", json_true());
    }
    return v;
}

/* ---- routes as operations -------------------------------------------------------------------- */
static void add_parameter(json_t *list, const char *in, tn_str name, bool required, json_t *schema)
{
    json_array_append_new(list, json_pack("{s:s, s:s%, s:b, s:o}", "in", in, "name", name.s, name.n,
                                          "required", (int)required, "schema", schema));
}

/* ":id" becomes "{id}" and a last "*" becomes "{rest}"; the names become parameters. */
static char *path_of(const char *path, json_t *parameters)
{
    struct str out = {0};
    for (const char *p = path; *p != '\0';) {
        if (*p == ':' || *p == '*') {
            size_t n = strcspn(p, "/");
            tn_str name = *p == ':' ? (tn_str){p + 1, n - 1} : TN_STR("rest");
            str_char(&out, '{');
            str_text(&out, name);
            str_char(&out, '}');
            add_parameter(parameters, "path", name, true, json_pack("{s:s}", "type", "string"));
            p += n;
        } else {
            str_char(&out, *p++);
        }
    }
    return out.s;
}

/* What every list understands besides its own fields (spec 0.6). */
static void list_parameters(json_t *parameters, const struct api_route *a)
{
    static const struct {
        const char *name, *type;
        uint32_t paging; /* 0 = always, else only with this style of paging or any (PAGE_NONE) */
    } rows[] = {{"pageSize", "integer", 1},
                {"pageNumber", "integer", 1},
                {"noPage", "boolean", 1},
                {"sort", "string", 0},
                {"_fuzzySearch", "string", 0}};
    const struct list_spec *l = a->data;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool useless = (rows[i].paging != 0 && l->paging == PAGE_NONE) ||
                       (strcmp(rows[i].name, "sort") == 0 && l->sort == NULL) ||
                       (rows[i].name[0] == '_' && l->fuzzy == NULL);
        if (!useless) {
            add_parameter(parameters, "query", text_of(rows[i].name), false,
                          json_pack("{s:s}", "type", rows[i].type));
        }
    }
}

static json_t *operation_of(const tn_route *route, json_t *parameters)
{
    const struct api_route *a = route->handler == api_dispatch ? route->data : NULL;
    bool is_public = strcmp(route->permission, "public") == 0;
    json_t *ok = json_pack("{s:s}", "description", "ok");
    json_t *op = json_pack("{s:s?, s:s, s:{s:o}}", "summary", route->doc, "x-permission",
                           route->permission, "responses", "200", ok);
    if (!is_public) {
        json_object_set_new(op, "security", json_pack("[{s:[]}]", "token"));
    }
    for (const struct field *f = a != NULL ? a->query : NULL; f != NULL && f->name != NULL; f++) {
        add_parameter(parameters, "query", text_of(f->name), (f->flags & FF_REQUIRED) != 0,
                      schema_of(f));
    }
    if (a != NULL && a->run == list_run) {
        list_parameters(parameters, a);
    }
    if (a != NULL && (a->flags & API_FIELDS) != 0) {
        add_parameter(parameters, "query", TN_STR("fields"), false,
                      json_pack("{s:s}", "type", "string"));
    }
    if (json_array_size(parameters) > 0) {
        json_object_set(op, "parameters", parameters);
    }
    if (a != NULL && a->body != NULL) {
        json_object_set_new(op, "requestBody",
                            json_pack("{s:{s:{s:o}}}", "content", "application/json", "schema",
                                      object_of(a->body)));
    }
    return op;
}

static json_t *document(void)
{
    json_t *paths = json_object();
    for (const tn_route *route = api_routes(); route->method != NULL; route++) {
        if (strncmp(route->path, "/api/", 5) != 0) {
            continue;
        }
        json_t *parameters = json_array();
        char *path = path_of(route->path, parameters);
        json_t *item = path != NULL ? json_object_get(paths, path) : NULL;
        if (path != NULL && item == NULL) {
            item = json_object();
            json_object_set_new(paths, path, item);
        }
        char method[8] = "";
        for (size_t i = 0; route->method[i] != '\0' && i < sizeof method - 1; i++) {
            method[i] = (char)(route->method[i] | 0x20);
        }
        json_object_set_new(item, method, operation_of(route, parameters));
        json_decref(parameters);
        free(path);
    }
    return json_pack("{s:s, s:{s:s, s:s}, s:{s:{s:{s:s, s:s, s:s}}}, s:o}", "openapi", "3.0.0",
                     "info", "title", "Tenon (DataFlux Func API)", "version", api.version,
                     "components", "securitySchemes", "token", "type", "apiKey", "in", "header",
                     "name", "X-Dff-Auth-Token", "paths", paths);
}

/* The route table itself. */
static json_t *route_table(void)
{
    json_t *list = json_array();
    for (const tn_route *route = api_routes(); route->method != NULL; route++) {
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s?}", "method", route->method,
                                              "url", route->path, "permission", route->permission,
                                              "name", route->doc));
    }
    return list;
}

static void api_document(struct api_req *r)
{
    if (strcmp(row_text(r->query, "format"), "raw") == 0) {
        api_ok(r, route_table());
        return;
    }
    json_t *doc = document();
    char *text = json_dumps(doc, JSON_COMPACT);
    json_decref(doc);
    struct api_stamp s;
    struct str b = {0};
    api_stamp_as(&s, r->http, r->trace);
    s.flags |= TN_REPLY_ETAG;
    str_puts(&b, text != NULL ? text : "{}");
    free(text);
    api_send(r->http, &s, 200, "application/json; charset=utf-8", &b, NULL);
}

/* clang-format off */
static const struct field query[] = {
    {.name = "format", .type = F_STR, .choices = "openapi|swagger|raw"},
    {.name = "lang", .type = F_STR, .choices = "zh-CN|en"},
    {.name = NULL}};

const struct api_route openapi_routes[] = {
    {"GET", "/api", "sign-in", "OpenAPI document of all routes", api_document, query, NULL, NULL, 0},
    {.method = NULL}};
/* clang-format on */
