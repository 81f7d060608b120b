/* SPDX-License-Identifier: Apache-2.0 */
/* The four calling forms, merging with configured kwargs, and the HTTP request object. */
#include "plugins/api_dff/form.h"
#include "harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const char funcs[] =
    "[{\"id\":\"t__s.f\",\"scriptId\":\"t__s\",\"name\":\"f\",\"extraConfigJSON\":null},"
    "{\"id\":\"t__s.g\",\"scriptId\":\"t__s\",\"name\":\"g\","
    "\"extraConfigJSON\":\"{\\\"timeout\\\":10,\\\"expires\\\":20,\\\"queue\\\":4}\"}]";
static const char scripts[] = "[{\"id\":\"t__s\",\"codeMD5\":\"abc\",\"publishVersion\":3}]";
static const char apis[] =
    "[{\"id\":\"open\",\"funcId\":\"t__s.f\",\"funcCallKwargsJSON\":\"{}\",\"isDisabled\":0},"
    "{\"id\":\"place\",\"funcId\":\"t__s.f\",\"funcCallKwargsJSON\":"
    "\"{\\\"x\\\":\\\"INPUT_BY_CALLER\\\",\\\"y\\\":\\\"FROM_PARAMETER\\\"}\",\"isDisabled\":0},"
    "{\"id\":\"fixed\",\"funcId\":\"t__s.g\",\"funcCallKwargsJSON\":"
    "\"{\\\"x\\\":\\\"INPUT_BY_CALLER\\\",\\\"n\\\":12345678901234567890,\\\"a\\\\\\\"b\\\":1.0}\","
    "\"taskRecordLimit\":7},"
    "{\"id\":\"gone\",\"funcId\":\"t__s.none\",\"funcCallKwargsJSON\":\"{}\"}]";

static int open_all(void **state)
{
    (void)state;
    harness_open();
    harness_load(funcs, scripts, apis);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    harness_close();
    return 0;
}

#define JSON "content-type: application/json"
#define FORM "content-type: application/x-www-form-urlencoded"

/* Request → kwargs as the worker gets them, or the status and a part of the refusal. */
static const struct form_case {
    const char *method, *target, *headers, *body, *args;
    unsigned status;
    const char *text;
} forms[] = {
    /* GET */
    {"GET", "/api/v1/sync/open", NULL, NULL, "{}", 0, NULL},
    {"GET", "/api/v1/sync/open?kwargs={\"x\":1,\"y\":[2]}", NULL, NULL, "{\"x\":1,\"y\":[2]}", 0,
     NULL},
    {"GET", "/api/v1/sync/open?kwargs=", NULL, NULL, "{}", 0, NULL},
    {"GET", "/api/v1/sync/open?kwargs=null", NULL, NULL, "{}", 0, NULL},
    {"GET", "/api/v1/sync/open?kwargs={\"x\":}", NULL, NULL, NULL, 400,
     "Invalid kwargs, bad JSON format"},
    {"GET", "/api/v1/sync/open?kwargs=[1]", NULL, NULL, NULL, 400,
     "Invalid kwargs, bad JSON format"},
    {"GET", "/api/v1/sync/open?options={", NULL, NULL, NULL, 400,
     "Invalid options, bad JSON format"},
    {"GET", "/api/v1/sync/open?x=1", NULL, NULL, "{}", 0, NULL},
    {"GET", "/api/v1/sync/open/simplified?x=1&y=a%20b", NULL, NULL, "{\"x\":\"1\",\"y\":\"a b\"}",
     0, NULL},
    {"GET", "/api/v1/sync/open/s?x=1", NULL, NULL, "{\"x\":\"1\"}", 0, NULL},
    {"GET", "/api/v1/sync/open/s/tail/report.csv?x=1", NULL, NULL, "{\"x\":\"1\"}", 0, NULL},
    {"GET", "/api/v1/sync/open/other?x=1", NULL, NULL, "{}", 0, NULL},
    {"GET", "/api/v1/sync/open/s?x=1&x=2", NULL, NULL, "{\"x\":[\"1\",\"2\"]}", 0, NULL},
    {"GET", "/api/v1/sync/open/s?kwargs={", NULL, NULL, "{\"kwargs\":\"{\"}", 0, NULL},
    {"GET", "/api/v1/sync/open/s?a[b]=1&a[c][]=2&a[c][]=3", NULL, NULL,
     "{\"a\":{\"b\":\"1\",\"c\":[\"2\",\"3\"]}}", 0, NULL},
    {"GET", "/api/v1/sync/open/s?a[1]=y&a[0]=x", NULL, NULL, "{\"a\":[\"x\",\"y\"]}", 0, NULL},
    {"GET", "/api/v1/sync/open/s?a[99]=x", NULL, NULL, "{\"a\":{\"99\":\"x\"}}", 0, NULL},
    {"GET", "/api/v1/sync/open/s?a[=x&[b]=y", NULL, NULL, "{\"a[\":\"x\",\"[b]\":\"y\"}", 0, NULL},
    {"GET", "/api/v1/sync/open/s?a[][b]=1&a[][b]=2", NULL, NULL,
     "{\"a\":[{\"b\":\"1\"},{\"b\":\"2\"}]}", 0, NULL},
    {"GET", "/api/v1/sync/open/s?a[b][c][d][e][f][g]=1", NULL, NULL,
     "{\"a\":{\"b\":{\"c\":{\"d\":{\"e\":{\"f\":\"1\"}}}}}}", 0, NULL},
    {"GET", "/api/v1/sync/open/s?x=%ff\"", NULL, NULL, "{\"x\":\"\xef\xbf\xbd\\\"\"}", 0, NULL},
    /* POST JSON */
    {"POST", "/api/v1/sync/open", JSON, "{\"kwargs\":{\"x\":1.0,\"n\":123456789012345678901}}",
     "{\"x\":1.0,\"n\":123456789012345678901}", 0, NULL},
    {"POST", "/api/v1/sync/open", JSON, "{\"kwargs\":\"{\\\"x\\\":[true,null]}\"}",
     "{\"x\":[true,null]}", 0, NULL},
    {"POST", "/api/v1/sync/open", JSON, "{\"kwargs\":\"{\\\"x\\\":\"}", NULL, 400,
     "Invalid kwargs, bad JSON format"},
    {"POST", "/api/v1/sync/open", JSON, "{\"kwargs\":[1,2]}", NULL, 400,
     "Field `kwargs` value `[1,2]` is not valid. (type = \\\"json\\\")"},
    {"POST", "/api/v1/sync/open", JSON, "{\"kwargs\":null}", "{}", 0, NULL},
    {"POST", "/api/v1/sync/open", JSON, "{\"x\":1}", "{}", 0, NULL},
    {"POST", "/api/v1/sync/open", JSON, "{\"x\":1", NULL, 400, "Invalid request body"},
    {"POST", "/api/v1/sync/open", JSON, "5", NULL, 400, "Invalid request body"},
    {"POST", "/api/v1/sync/open", NULL, NULL, "{}", 0, NULL},
    {"POST", "/api/v1/sync/open", JSON, "", "{}", 0, NULL},
    {"POST", "/api/v1/sync/open", JSON "; charset=utf-8",
     "{\"kwargs\":{\"\xe6\x95\xb0\":\"\\u4e2d\"}}", "{\"\xe6\x95\xb0\":\"\\u4e2d\"}", 0, NULL},
    {"POST", "/api/v1/sync/open/normal", JSON, "{\"kwargs\":{\"x\":1}}", "{\"x\":1}", 0, NULL},
    {"POST", "/api/v1/sync/open/s", JSON, "{\"x\":1,\"y\":\"2\"}", "{\"x\":1,\"y\":\"2\"}", 0,
     NULL},
    {"POST", "/api/v1/sync/open/s", JSON, "[\"a\", {\"b\": [1, 2]}, 3 ]",
     "{\"0\":\"a\",\"1\": {\"b\": [1, 2]},\"2\": 3 }", 0, NULL},
    {"POST", "/api/v1/sync/open/s", JSON, "[]", "{}", 0, NULL},
    {"POST", "/api/v1/sync/open/s", JSON, "{\"kwargs\":\"[1]\",\"x\":1}",
     "{\"kwargs\":[1],\"x\":1}", 0, NULL},
    {"POST", "/api/v1/sync/open/s", JSON, "{\"options\":\"no\"}", NULL, 400,
     "Invalid options, bad JSON format"},
    /* forms, text, bytes */
    {"POST", "/api/v1/sync/open", FORM, "kwargs=%7B%22x%22%3A1%7D", "{\"x\":1}", 0, NULL},
    {"POST", "/api/v1/sync/open", FORM, "kwargs[x]=1", "{\"x\":\"1\"}", 0, NULL},
    {"POST", "/api/v1/sync/open/s", FORM, "x=1&y=a+b&z", "{\"x\":\"1\",\"y\":\"a b\",\"z\":\"\"}",
     0, NULL},
    {"POST", "/api/v1/sync/open/s", FORM, "kwargs=x", NULL, 400, "Invalid kwargs, bad JSON format"},
    {"POST", "/api/v1/sync/open/s", "content-type: text/plain", "hi \"you\"",
     "{\"text\":\"hi \\\"you\\\"\"}", 0, NULL},
    {"POST", "/api/v1/sync/open/s", "content-type: text/plain; charset=iso-8859-1", "\xe9",
     "{\"text\":\"\xc3\xa9\"}", 0, NULL},
    {"POST", "/api/v1/sync/open/s", "content-type: text/plain; charset=nonsense", "x", NULL, 400,
     "Invalid request body"},
    {"POST", "/api/v1/sync/open/s", "content-type: text/xml", "<a/>", "{\"base64\":\"PGEvPg==\"}",
     0, NULL},
    {"POST", "/api/v1/sync/open/s", "content-type: image/png", "abc", "{\"base64\":\"YWJj\"}", 0,
     NULL},
    {"POST", "/api/v1/sync/open", "content-type: text/plain", "hi", "{}", 0, NULL},
    {"POST", "/api/v1/sync/open", "content-type: multipart/form-data; boundary=x", NULL, "{}", 0,
     NULL},
    /* placeholders and fixed values */
    {"GET", "/api/v1/sync/place/s?x=1", NULL, NULL, "{\"x\":\"1\"}", 0, NULL},
    {"GET", "/api/v1/sync/fixed/s?x=1", NULL, NULL,
     "{\"x\":\"1\",\"n\":12345678901234567890,\"a\\\"b\":1.0}", 0, NULL},
    {"GET", "/api/v1/sync/fixed", NULL, NULL, "{\"n\":12345678901234567890,\"a\\\"b\":1.0}", 0,
     NULL},
    {"POST", "/api/v1/sync/fixed", JSON, "{\"kwargs\":{ \"q\" : 1 }}",
     "{\"q\" : 1 ,\"n\":12345678901234567890,\"a\\\"b\":1.0}", 0, NULL},
    {"POST", "/api/v1/sync/fixed", JSON, "{\"kwargs\":{\"n\":5}}", NULL, 400,
     "\"detail\":{\"kwargsField\":\"n\",\"kwargsValue\":5,\"funcId\":\"t__s.g\"}"},
    {"POST", "/api/v1/sync/fixed", JSON, "{\"kwargs\":{\"a\\u0022b\":5}}", NULL, 400,
     "Cannot specify a fixed kwargs field"},
    /* rows */
    {"GET", "/api/v1/sync/none", NULL, NULL, NULL, 404,
     "\"message\":\"No such Sync API\",\"detail\":{\"id\":\"none\"}"},
    {"GET", "/api/v1/sync/gone", NULL, NULL, NULL, 404,
     "\"message\":\"No such Func\",\"detail\":{\"funcId\":\"t__s.none\"}"},
};

static void test_forms(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        const struct form_case *c = &forms[i];
        unsigned calls_before = seen_call.count, replies_before = seen_reply.count;
        harness_request(c->method, c->target, c->headers, c->body);
        if (c->args != NULL) {
            if (seen_call.count != calls_before + 1 || strcmp(seen_call.args, c->args) != 0) {
                fail_msg("case %zu %s %s: %s, answer %s", i, c->method, c->target,
                         seen_call.args ? seen_call.args : "-",
                         seen_reply.body ? seen_reply.body : "-");
            }
            harness_value(TN_VALUE_NONE, "", NULL);
            assert_int_equal(seen_reply.status, 200);
        } else {
            assert_int_equal(seen_call.count, calls_before);
            if (seen_reply.status != c->status || strstr(seen_reply.body, c->text) == NULL) {
                fail_msg("case %zu %s %s: %u %s", i, c->method, c->target, seen_reply.status,
                         seen_reply.body);
            }
        }
        assert_int_equal(seen_reply.count, replies_before + 1);
    }
}

static void test_submitted(void **state)
{
    (void)state;
    harness_request("GET", "/api/v1/sync/fixed/s?x=1", NULL, NULL);
    assert_string_equal(seen_call.script, "t__s");
    assert_string_equal(seen_call.func, "g");
    assert_string_equal(seen_call.origin, "syncAPI");
    assert_string_equal(seen_call.origin_id, "fixed");
    assert_int_equal(seen_call.queue, 4);
    assert_int_equal(seen_call.timeout_ms, 10000);
    assert_int_equal(seen_call.expires_ms, 20000);
    assert_string_equal(seen_call.vars, "{\"taskRecordLimit\":7,\"delay\":0}");
    harness_value(TN_VALUE_NUMBER, "1", NULL);
    harness_request(
        "GET",
        "/api/v1/sync/open?options={\"timeout\":3,\"queue\":9,\"origin\":\"x\",\"funcId\":\"y\"}",
        NULL, NULL);
    assert_string_equal(seen_call.origin, "syncAPI");
    assert_string_equal(seen_call.func, "f");
    assert_int_equal(seen_call.queue, 9);
    assert_int_equal(seen_call.timeout_ms, 3000);
    assert_int_equal(seen_call.expires_ms, 3000);
    assert_string_equal(seen_call.vars, "");
    harness_value(TN_VALUE_NUMBER, "1", NULL);
}

static void test_http_object(void **state)
{
    (void)state;
    harness_request("POST", "/api/v1/sync/open?a=1&a=2",
                    JSON "\nhost: example.org:8088\nx-a: 1\nx-a: 2\ncookie: b=1\ncookie: c=2\n"
                         "x-requested-with: xmlhttprequest\nx-forwarded-for: 1.2.3.4, 5.6.7.8",
                    "{\"kwargs\":{}}");
    assert_string_equal(
        seen_call.http,
        "{\"method\":\"POST\",\"originalUrl\":\"/api/v1/sync/open?a=1&a=2\",\"url\":\"/api/v1/sync/open\","
        "\"host\":\"example.org:8088\",\"hostname\":\"example.org\",\"protocol\":\"http\","
        "\"headers\":{\"content-type\":\"application/json\",\"host\":\"example.org:8088\",\"x-a\":\"1, 2\","
        "\"cookie\":\"b=1; c=2\",\"x-requested-with\":\"xmlhttprequest\","
        "\"x-forwarded-for\":\"1.2.3.4, 5.6.7.8\"},"
        "\"query\":{\"a\":[\"1\",\"2\"]},\"body\":{\"kwargs\":{}},\"ip\":\"127.0.0.1\",\"ips\":[],\"xhr\":true}");
    harness_value(TN_VALUE_NONE, "", NULL);
    harness_request("GET", "/api/v1/sync/open", "host: [::1]:8088", NULL);
    assert_non_null(strstr(seen_call.http, "\"hostname\":\"::1\""));
    assert_non_null(strstr(seen_call.http, "\"query\":{},\"body\":{}"));
    harness_value(TN_VALUE_NONE, "", NULL);
}

static void test_files(void **state)
{
    (void)state;
    const tn_http_part parts[] = {
        {.name = TN_STR("x"), .value = TN_STR("1")},
        {.name = TN_STR("up"),
         .filename = TN_STR("\xe6\x95\xb0.txt"),
         .type = TN_STR("text/plain"),
         .encoding = TN_STR("7bit"),
         .path = TN_STR("/r/.uploads/2026_ab_x.txt"),
         .size = 5},
        {.name = TN_STR("up"),
         .filename = TN_STR("b"),
         .type = TN_STR(""),
         .encoding = TN_STR("7bit"),
         .path = TN_STR("/r/.uploads/2026_cd_b"),
         .size = 0},
    };
    const char *files =
        "\"files\":[{\"filePath\":\"/r/.uploads/2026_ab_x.txt\",\"originalname\":\"\xe6\x95\xb0.txt\","
        "\"encoding\":\"7bit\",\"mimetype\":\"text/plain\",\"size\":5},"
        "{\"filePath\":\"/r/.uploads/2026_cd_b\",\"originalname\":\"b\",\"encoding\":\"7bit\","
        "\"mimetype\":\"application/octet-stream\",\"size\":0}]";
    char want[1024];
    harness_parts(parts, 3);
    harness_request("POST", "/api/v1/sync/open/simplified",
                    "content-type: multipart/form-data; boundary=x", NULL);
    snprintf(want, sizeof want, "{\"x\":\"1\",%s}", files);
    assert_string_equal(seen_call.args, want);
    harness_value(TN_VALUE_NONE, "", NULL);
    harness_parts(parts, 3);
    harness_request("POST", "/api/v1/sync/fixed/normal",
                    "content-type: multipart/form-data; boundary=x", NULL);
    snprintf(want, sizeof want, "{%s,\"n\":12345678901234567890,\"a\\\"b\":1.0}", files);
    assert_string_equal(seen_call.args, want);
    harness_value(TN_VALUE_NONE, "", NULL);
}

static void test_too_many_fields(void **state)
{
    (void)state;
    struct str body = {0};
    for (int i = 0; i < FORM_FIELDS_MAX + 1; i++) {
        str_printf(&body, "&f%d=%d", i, i);
    }
    harness_request("POST", "/api/v1/sync/open/s", FORM, body.s);
    assert_int_equal(seen_reply.status, 400);
    body.s[body.n - strlen("&f1000=1000")] = '\0';
    harness_request("POST", "/api/v1/sync/open/s", FORM, body.s);
    assert_non_null(strstr(seen_call.args, "\"f999\":\"999\"}"));
    harness_value(TN_VALUE_NONE, "", NULL);
    str_free(&body);
}

static void test_abort(void **state)
{
    (void)state;
    unsigned before = test_orphans;
    harness_request("GET", "/api/v1/sync/open", NULL, NULL);
    harness_abort();
    assert_int_equal(test_orphans, before + 1);
    harness_request("GET", "/api/v1/sync/open", NULL, NULL);
    harness_value(TN_VALUE_NONE, "", NULL);
    assert_int_equal(test_orphans, before + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),           cmocka_unit_test(test_submitted),
        cmocka_unit_test(test_http_object),     cmocka_unit_test(test_files),
        cmocka_unit_test(test_too_many_fields), cmocka_unit_test(test_abort),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
