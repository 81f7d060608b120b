/* SPDX-License-Identifier: Apache-2.0 */
/* Functions and documentation lists (spec 1.5). Functions are made by publishing, see publish.c. */
#include "rows.h"

#include <stdlib.h>
#include <string.h>

/* ---- doc form -------------------------------------------------------------------------------- */
static bool is_hidden(const json_t *row, const char *key)
{
    return json_is_true(json_object_get(json_object_get(row, key), "isHidden"));
}

static json_t *doc_row(const json_t *f)
{
    static const struct {
        const char *to, *from;
    } map[] = {
        {"id", "id"},
        {"name", "name"},
        {"title", "title"},
        {"description", "description"},
        {"definition", "definition"},
        {"argsJSON", "argsJSON"},
        {"kwargsJSON", "kwargsJSON"},
        {"extraConfigJSON", "extraConfigJSON"},
        {"category", "category"},
        {"integration", "integration"},
        {"tagsJSON", "tagsJSON"},
        {"scriptId", "scpt_id"},
        {"scriptTitle", "scpt_title"},
        {"scriptDescription", "scpt_description"},
        {"scriptSetId", "sset_id"},
        {"scriptSetTitle", "sset_title"},
        {"scriptSetDescription", "sset_description"},
    };
    struct str url = {0};
    str_printf(&url, "/api/v1/func/%s", row_text(f, "id"));
    json_t *doc = json_pack("{s:s}", "url", str_view(&url).s);
    str_free(&url);
    for (size_t i = 0; i < sizeof map / sizeof *map; i++) {
        json_t *v = json_object_get(f, map[i].from);
        json_object_set_new(doc, map[i].to, v != NULL ? json_incref(v) : json_null());
    }
    return doc;
}

static bool doc_rows(struct api_req *r, json_t *rows)
{
    (void)r;
    json_t *docs = json_array();
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *f = json_array_get(rows, i);
        if (!is_hidden(f, "extraConfigJSON")) {
            json_array_append_new(docs, doc_row(f));
        }
    }
    json_array_clear(rows);
    json_array_extend(rows, docs);
    json_decref(docs);
    return true;
}

static bool list_rows(struct api_req *r, json_t *rows)
{
    return !json_is_true(json_object_get(r->query, "_asFuncDoc")) || doc_rows(r, rows);
}

static void func_get(struct api_req *r)
{
    tn_err err = TN_ERR_INIT;
    json_t *row = store_one(NULL, "func", "id", api_param(r, 0), NULL, 0, &err);
    if (row != NULL) {
        api_ok(r, row);
    } else if (err.rc == TN_E_NOTFOUND) {
        tn_str id = api_param(r, 0);
        api_fail(r, EClientNotFound, NULL,
                 json_pack("{s:s, s:s%}", "entity", "func", "id", id.s, id.n), "No such data");
    } else {
        api_fail_err(r, &err);
    }
}

/* ---- tags ------------------------------------------------------------------------------------ */
/* "*" stands for any run of characters. */
static bool wildcard(const char *pattern, const char *text)
{
    const char *star = NULL, *from = NULL;
    while (*text != '\0') {
        if (*pattern == '*') {
            star = pattern++;
            from = text;
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star + 1;
            text = ++from;
        } else {
            return false;
        }
    }
    while (*pattern == '*') {
        pattern++;
    }
    return *pattern == '\0';
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static json_t *sorted_keys(const json_t *set)
{
    size_t n = json_object_size(set), i = 0;
    const char **keys = calloc(n + 1, sizeof *keys), *key;
    json_t *v, *list = json_array();
    if (keys == NULL) {
        return list;
    }
    json_object_foreach((json_t *)set, key, v)
    {
        keys[i++] = key;
    }
    qsort(keys, n, sizeof *keys, by_text);
    for (i = 0; i < n; i++) {
        json_array_append_new(list, json_string(keys[i]));
    }
    free(keys);
    return list;
}

static bool tag_rows(struct api_req *r, json_t *rows)
{
    const char *name = row_text(r->query, "name"), *pattern = row_text(r->query, "tagPattern");
    json_t *set = json_object();
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *tags = json_object_get(json_array_get(rows, i), "tagsJSON");
        for (size_t k = 0; k < json_array_size(tags); k++) {
            const char *tag = json_string_value(json_array_get(tags, k));
            if (tag != NULL && strstr(tag, name) != NULL &&
                (pattern[0] == '\0' || wildcard(pattern, tag))) {
                json_object_set_new(set, tag, json_true());
            }
        }
    }
    json_t *sorted = sorted_keys(set);
    json_decref(set);
    json_array_clear(rows);
    json_array_extend(rows, sorted);
    json_decref(sorted);
    return true;
}

/* ---- documented APIs ------------------------------------------------------------------------- */
static json_t *api_doc(const json_t *row, const char *type, const char *path)
{
    static const struct {
        const char *to, *from;
    } map[] = {
        {"id", "id"},
        {"funcCallKwargsJSON", "funcCallKwargsJSON"},
        {"expireTime", "expireTime"},
        {"throttlingJSON", "throttlingJSON"},
        {"isDisabled", "isDisabled"},
        {"configFuncId", "funcId"},
        {"funcId", "func_id"},
        {"funcName", "func_name"},
        {"funcTitle", "func_title"},
        {"funcDescription", "func_description"},
        {"funcDefinition", "func_definition"},
        {"funcArgsJSON", "func_argsJSON"},
        {"funcKwargsJSON", "func_kwargsJSON"},
        {"funcCategory", "func_category"},
        {"funcIntegration", "func_integration"},
        {"funcTagsJSON", "func_tagsJSON"},
        {"apiAuthId", "apia_id"},
        {"apiAuthTitle", "apia_title"},
        {"apiAuthType", "apia_type"},
    };
    struct str url = {0};
    str_printf(&url, "%s%s", path, row_text(row, "id"));
    json_t *doc = json_pack("{s:s, s:s}", "url", str_view(&url).s, "apiType", type);
    str_free(&url);
    for (size_t i = 0; i < sizeof map / sizeof *map; i++) {
        json_t *v = json_object_get(row, map[i].from);
        json_object_set_new(doc, map[i].to, v != NULL ? json_incref(v) : json_null());
    }
    return doc;
}

/* Adds the documented rows of one kind of API. False: answered. */
static bool api_docs(struct api_req *r, json_t *docs, const char *entity, const char *show,
                     const char *type, const char *path)
{
    static const char *const fuzzy[] = {"func.id", "func.title", "func.description"};
    struct filters f = {0};
    tn_err err = TN_ERR_INIT;
    filters_add(&f, show, TN_OP_BOOL, json_true());
    list_query_filters(r, r->route->query, &f);
    tn_list q = {.size = sizeof q,
                 .filters = f.f,
                 .nfilters = f.n,
                 .limit = -1,
                 .fuzzy = query_arg(r->http, "_fuzzySearch"),
                 .fuzzy_columns = fuzzy};
    if (q.fuzzy.n > 0) {
        q.nfuzzy = 3;
    } else {
        q.fuzzy = (tn_str){NULL, 0};
    }
    json_t *rows = f.failed ? (api.host->fail(&err, TN_E_INVAL, "too many filters"), NULL)
                            : store_rows(NULL, entity, &q, NULL, &err);
    filters_free(&f);
    if (rows == NULL) {
        api_fail_err(r, &err);
        return false;
    }
    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_array_append_new(docs, api_doc(json_array_get(rows, i), type, path));
    }
    json_decref(rows);
    return true;
}

static void func_api_list(struct api_req *r)
{
    const char *type = row_text(r->query, "apiType");
    bool sync_too = strcmp(type, "asyncAPI") != 0, async_too = strcmp(type, "syncAPI") != 0;
    json_t *docs = json_array();
    if ((sync_too && !api_docs(r, docs, "syncAPI", "sapi.showInDoc", "syncAPI", "/api/v1/sync/")) ||
        (async_too &&
         !api_docs(r, docs, "asyncAPI", "aapi.showInDoc", "asyncAPI", "/api/v1/async/"))) {
        json_decref(docs);
        return;
    }
    api_ok(r, docs);
}

static void auth_link_func_list(struct api_req *r)
{
    json_t *docs = json_array();
    if (api_docs(r, docs, "syncAPI", "sapi.showInDoc", "syncAPI", "/api/v1/al/")) {
        api_ok(r, docs);
    } else {
        json_decref(docs);
    }
}

/* ---- tables ---------------------------------------------------------------------------------- */
/* clang-format off */
static const char *const sort[] = {"seq", "id", "defOrder", NULL};
static const char *const fuzzy_columns[] = {"func.id", "func.title", "func.description", NULL};
static const struct list_spec funcs_list = {.entity = "func", .paging = PAGE_NORMAL, .sort = sort,
                                            .fuzzy = fuzzy_columns, .rows = list_rows};
static const struct list_spec doc_list = {.entity = "func", .paging = PAGE_NONE,
                                          .fuzzy = fuzzy_columns, .rows = doc_rows};
static const struct list_spec tag_list = {.entity = "func", .paging = PAGE_NONE, .rows = tag_rows};

#define IN(n, c)   {.name = n, .type = F_COMMA, .op = TN_OP_IN, .column = c}
#define TAGS(n)    {.name = n, .type = F_COMMA, .op = TN_OP_JSON_HAS_ALL, .column = "func.tagsJSON"}
#define LIKE(n, c) {.name = n, .type = F_STR, .op = TN_OP_LIKE, .column = c}
static const struct field funcs_query[] = {
    {.name = "_asFuncDoc", .type = F_BOOL}, IN("id", "func.id"), IN("scriptSetId",
     "func.scriptSetId"),
    IN("scriptId", "func.scriptId"), IN("category", "func.category"),
    IN("integration", "func.integration"), TAGS("tags"), {.name = NULL}};
static const struct field doc_query[] = {
    IN("id", "func.id"), LIKE("name", "func.name"), LIKE("title", "func.title"),
    IN("category", "func.category"), IN("integration", "func.integration"), TAGS("tags"),
    IN("scriptId", "scpt.id"), IN("scriptSetId", "sset.id"), {.name = NULL}};
static const struct field tag_query[] = {
    IN("scriptSetId", "func.scriptSetId"), IN("scriptId", "func.scriptId"),
    {.name = "name", .type = F_STR}, {.name = "tagPattern", .type = F_STR}, {.name = NULL}};
#define API_FILTERS                                                                               \
    IN("funcId", "func.id"), IN("funcName", "func.name"), IN("funcCategory", "func.category"),    \
    TAGS("funcTags"), IN("scriptId", "scpt.id"), IN("scriptSetId", "sset.id"), {.name = NULL}
static const struct field api_query[] = {
    {.name = "apiType", .type = F_STR, .choices = "syncAPI|asyncAPI|ALL"}, API_FILTERS};
static const struct field link_query[] = {API_FILTERS};

const struct api_route func_routes[] = {
    {"GET", "/api/v1/funcs/do/list", "general_r", "Lists published functions", list_run,
     funcs_query,
     NULL, &funcs_list, API_FIELDS},
    {"GET", "/api/v1/func-list", "general_r", "Published functions for documentation", list_run,
     doc_query, NULL, &doc_list, 0},
    {"GET", "/api/v1/func-tag-list", "general_r", "Tags of published functions", list_run,
     tag_query,
     NULL, &tag_list, 0},
    {"GET", "/api/v1/func-api-list", "public", "Documented function APIs", func_api_list, api_query,
     NULL, NULL, 0},
    {"GET", "/api/v1/auth-link-func-list", "public", "Documented sync APIs under their legacy name",
     auth_link_func_list, link_query, NULL, NULL, 0},
    {"GET", "/api/v1/func/:funcId", "general_r", "One published function", func_get, NULL, NULL,
     NULL,
     0},
    {.method = NULL}};
/* clang-format on */
