/* SPDX-License-Identifier: Apache-2.0 */
/* The list engine against a store of stubs: what it asks for and the pageInfo it answers with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plugins/api_dff/list.h"

/* ---- the stub host --------------------------------------------------------------------------- */
static struct {
    char body[8192];
    uint32_t status;
    char filters[512], sort[128], fuzzy[128], extra[128];
    uint32_t flags;
    int64_t limit, offset, marker;
    unsigned asked;
} seen;
static const char *canned_rows;
static int64_t canned_total;

static tn_rc stub_list(void *ctx, tn_txn *txn, const char *entity, const tn_list *q, tn_text *rows,
                       int64_t *total, tn_err *err)
{
    (void)ctx, (void)txn, (void)err;
    assert_string_equal(entity, "thing");
    seen.asked++;
    for (uint32_t i = 0; i < q->nfilters; i++) {
        size_t n = strlen(seen.filters);
        snprintf(seen.filters + n, sizeof seen.filters - n, "%s %u %.*s;", q->filters[i].column,
                 q->filters[i].op, (int)q->filters[i].value.n, q->filters[i].value.s);
    }
    for (uint32_t i = 0; i < q->nsort; i++) {
        size_t n = strlen(seen.sort);
        snprintf(seen.sort + n, sizeof seen.sort - n, "%s;", q->sort[i]);
    }
    for (uint32_t i = 0; i < q->nextra; i++) {
        size_t n = strlen(seen.extra);
        snprintf(seen.extra + n, sizeof seen.extra - n, "%s;", q->extra[i]);
    }
    snprintf(seen.fuzzy, sizeof seen.fuzzy, "%.*s in %u", (int)q->fuzzy.n,
             q->fuzzy.s != NULL ? q->fuzzy.s : "", q->nfuzzy);
    seen.flags = q->flags;
    seen.limit = q->limit;
    seen.offset = q->offset;
    seen.marker = q->marker;
    rows->s = strdup(canned_rows);
    rows->n = strlen(canned_rows);
    *total = (q->flags & TN_LIST_COUNT) != 0 ? canned_total : -1;
    return TN_OK;
}

static tn_rc stub_reply(void *ctx, tn_http_req *req, const tn_http_reply *reply, tn_err *err)
{
    (void)ctx, (void)req, (void)err;
    assert_true(reply->body_len < sizeof seen.body);
    memcpy(seen.body, reply->body, reply->body_len);
    seen.body[reply->body_len] = '\0';
    seen.status = reply->status;
    if (reply->body_free != NULL) {
        reply->body_free(reply->body_owner);
    }
    return TN_OK;
}

static void stub_free(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

static uint64_t stub_now(void)
{
    return 1000;
}

static const char *stub_setting(void *ctx, const char *name)
{
    (void)ctx, (void)name;
    return NULL;
}

static void stub_random(void *buf, size_t n)
{
    memset(buf, 7, n);
}

static const tn_host_entities entities = {.size = sizeof entities, .list = stub_list};
static const tn_host_http http = {.size = sizeof http, .reply = stub_reply};
static const tn_host_auth auth = {.size = sizeof auth, .random = stub_random};
static const tn_host host = {.size = sizeof host,
                             .free = stub_free,
                             .now_ns = stub_now,
                             .setting = stub_setting,
                             .entities = &entities,
                             .http = &http,
                             .auth = &auth};

/* ---- one request ------------------------------------------------------------------------------
 */
static const char *const sorts[] = {"seq", "id", NULL};
static const char *const fuzzies[] = {"t.id", "t.title", NULL};
static const char *const fulltexts[] = {"t.code", NULL};
static const char *const extras[] = {"hidden", NULL};
static const struct field query[] = {
    {.name = "id", .type = F_COMMA, .op = TN_OP_IN, .column = "t.id"},
    {.name = "on", .type = F_BOOL, .op = TN_OP_BOOL, .column = "t.on"},
    {.name = "phone", .type = F_INT, .op = TN_OP_LIKE, .column = "t.phone"},
    {.name = "origin", .type = F_STR, .op = TN_OP_EQ, .column = "t.origin"},
    {.name = NULL}};

static json_t *ask(uint32_t paging, const char *const pairs[][2], uint32_t n)
{
    const struct list_spec spec = {.entity = "thing",
                                   .paging = paging,
                                   .sort = sorts,
                                   .fuzzy = fuzzies,
                                   .fulltext = fulltexts,
                                   .extra = extras};
    const struct api_route route = {.method = "GET",
                                    .path = "/api/v1/things/do/list",
                                    .permission = "public",
                                    .run = list_run,
                                    .query = query,
                                    .data = &spec,
                                    .flags = API_FIELDS | API_EXPORT};
    tn_http_pair args[8];
    for (uint32_t i = 0; i < n; i++) {
        args[i] = (tn_http_pair){text_of(pairs[i][0]), text_of(pairs[i][1])};
    }
    tn_http_req req = {.size = sizeof req,
                       .method = TN_STR("GET"),
                       .path = TN_STR("/api/v1/things/do/list"),
                       .target = TN_STR("/api/v1/things/do/list"),
                       .args = args,
                       .nargs = n};
    struct api_req r = {.http = &req, .route = &route};
    char why[256];
    memset(&seen, 0, sizeof seen);
    strcpy(r.trace, "TRACE-X");
    r.query = schema_query(query, &req, why, sizeof why);
    assert_non_null(r.query);
    list_run(&r);
    json_decref(r.query);
    json_t *v = json_loads(seen.body, JSON_DECODE_ANY, NULL);
    assert_non_null(v);
    return v;
}

static void info_is(json_t *envelope, const char *want)
{
    char *text = json_dumps(json_object_get(envelope, "pageInfo"), JSON_COMPACT | JSON_ENCODE_ANY);
    assert_string_equal(text != NULL ? text : "absent", want);
    free(text);
    json_decref(envelope);
}

static void normal_pages_count_all_rows(void **state)
{
    (void)state;
    static const char *const q[][2] = {{"pageSize", "2"}, {"pageNumber", "3"}};
    canned_rows = "[{\"seq\":5},{\"seq\":4}]";
    canned_total = 7;
    info_is(ask(PAGE_NORMAL, q, 2),
            "{\"pagingStyle\":\"normal\",\"pageSize\":2,\"count\":2,\"totalCount\":7,"
            "\"pageNumber\":3,\"pageCount\":4,\"isFirstPage\":false}");
    assert_int_equal(seen.limit, 2);
    assert_int_equal(seen.offset, 4);
    assert_int_equal(seen.flags, TN_LIST_COUNT);
    assert_string_equal(seen.extra, "hidden;");
}

static void simple_pages_do_not_count(void **state)
{
    (void)state;
    canned_rows = "[{\"seq\":5}]";
    info_is(ask(PAGE_SIMPLE, NULL, 0), "{\"pagingStyle\":\"simple\",\"pageSize\":10,\"count\":1,"
                                       "\"pageNumber\":1,\"isFirstPage\":true}");
    assert_int_equal(seen.flags, 0);
    assert_int_equal(seen.limit, 10);
}

static void markers_name_the_last_row(void **state)
{
    (void)state;
    static const char *const q[][2] = {{"pageMarker", "50"}, {"pageSize", "3"}};
    canned_rows = "[{\"seq\":49},{\"seq\":47},{\"seq\":46}]";
    info_is(ask(PAGE_MARKER, q, 2),
            "{\"pagingStyle\":\"marker\",\"pageSize\":3,\"count\":3,\"pageMarkerField\":\"seq\","
            "\"pageMarker\":46,\"isFirstPage\":false}");
    assert_int_equal(seen.marker, 50);
    assert_int_equal(seen.offset, 0);
    canned_rows = "[]";
    info_is(ask(PAGE_MARKER, NULL, 0),
            "{\"pagingStyle\":\"marker\",\"pageSize\":10,\"count\":0,\"pageMarkerField\":\"seq\","
            "\"pageMarker\":null,\"isFirstPage\":true}");
}

static void without_paging_there_is_no_page_info(void **state)
{
    (void)state;
    static const char *const q[][2] = {{"noPage", "true"}};
    canned_rows = "[]";
    info_is(ask(PAGE_NONE, NULL, 0), "absent");
    assert_int_equal(seen.limit, -1);
    info_is(ask(PAGE_NORMAL, q, 1), "absent");
    assert_int_equal(seen.limit, -1);
}

static void queries_become_filters(void **state)
{
    (void)state;
    static const char *const q[][2] = {
        {"id", "a,b"}, {"on", "no"}, {"phone", "0138"}, {"origin", "_NULL"}};
    static const char *const off[][2] = {
        {"id", ",,"}, {"on", "maybe"}, {"phone", "x"}, {"origin", "_ALL"}};
    canned_rows = "[]";
    json_decref(ask(PAGE_NONE, q, 4));
    assert_string_equal(seen.filters,
                        "t.id 7 [\"a\",\"b\"];t.on 11 false;t.phone 8 \"0138\";t.origin 10 true;");
    json_decref(ask(PAGE_NONE, off, 4));
    assert_string_equal(seen.filters, "");
}

static void sorting_and_searching(void **state)
{
    (void)state;
    static const char *const q[][2] = {{"sort", "-seq,,id"}, {"_fuzzySearch", "50%"}};
    static const char *const full[][2] = {{"_fuzzySearch", "x"},
                                          {"_fulltextSearchField", "FULL_TEXT"},
                                          {"_fulltextSearchWord", "word"}};
    static const char *const bad[][2] = {{"sort", "title"}};
    canned_rows = "[]";
    json_decref(ask(PAGE_NONE, q, 2));
    assert_string_equal(seen.sort, "-seq;id;");
    assert_string_equal(seen.fuzzy, "50% in 2");
    json_decref(ask(PAGE_NONE, full, 3));
    assert_string_equal(seen.fuzzy, "word in 1");
    json_decref(ask(PAGE_NONE, bad, 1));
    assert_int_equal(seen.status, 400);
    assert_int_equal(seen.asked, 0);
}

int main(void)
{
    api.host = &host;
    api.version = api.release = "0";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normal_pages_count_all_rows),
        cmocka_unit_test(simple_pages_do_not_count),
        cmocka_unit_test(markers_name_the_last_row),
        cmocka_unit_test(without_paging_there_is_no_page_info),
        cmocka_unit_test(queries_become_filters),
        cmocka_unit_test(sorting_and_searching),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
