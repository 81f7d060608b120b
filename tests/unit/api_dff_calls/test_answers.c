/* SPDX-License-Identifier: Apache-2.0 */
/* From results to answers: values, types, control keys, files, failures. */
#include "harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_all(void **state)
{
    (void)state;
    harness_open();
    harness_load("[{\"id\":\"t__s.f\",\"scriptId\":\"t__s\",\"name\":\"f\"}]",
                 "[{\"id\":\"t__s\",\"codeMD5\":\"abc\",\"publishVersion\":3}]",
                 "[{\"id\":\"a\",\"funcId\":\"t__s.f\",\"funcCallKwargsJSON\":\"{}\"}]");
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    harness_close();
    return 0;
}

#define HTML  "text/html; charset=utf-8"
#define JSONT "application/json; charset=utf-8"

static const struct value_case {
    const char *options; /* JSON or NULL */
    uint32_t kind;
    const char *value, *control;
    unsigned status;
    const char *type, *body;
} values[] = {
    {NULL, TN_VALUE_TEXT, "hi", NULL, 200, HTML, "hi"},
    {NULL, TN_VALUE_TEXT, "", NULL, 200, HTML, ""},
    {NULL, TN_VALUE_NUMBER, "30", NULL, 200, HTML, "30"},
    {NULL, TN_VALUE_NUMBER, "0", NULL, 200, HTML, "0"},
    {NULL, TN_VALUE_BOOL, "false", NULL, 200, JSONT, "false"},
    {NULL, TN_VALUE_JSON, "{\"a\":1}", NULL, 200, JSONT, "{\"a\":1}"},
    {NULL, TN_VALUE_NONE, "", NULL, 200, HTML, ""},
    {"{\"returnType\":\"raw\"}", TN_VALUE_TEXT, "hi", NULL, 200, HTML, "hi"},
    {"{\"returnType\":\"jsonDumps\"}", TN_VALUE_TEXT, "h\"i", NULL, 200, HTML, "\"h\\\"i\""},
    {"{\"returnType\":\"jsonDumps\"}", TN_VALUE_JSON, "[1]", NULL, 200, HTML, "[1]"},
    {"{\"returnType\":\"jsonDumps\"}", TN_VALUE_NONE, "", NULL, 200, HTML, "null"},
    {"{\"returnType\":\"repr\"}", TN_VALUE_JSON, "{\"a\":[true,null,1.5,\"it's\"]}", NULL, 200,
     HTML, "{'a': [True, None, 1.5, \"it's\"]}"},
    {"{\"returnType\":\"ALL\"}", TN_VALUE_TEXT, "x", NULL, 200, JSONT,
     "{\"raw\":\"x\",\"repr\":\"'x'\",\"jsonDumps\":\"\\\"x\\\"\"}"},
    /* control */
    {NULL, TN_VALUE_TEXT, "hi", "{\"statusCode\":404}", 404, HTML, "hi"},
    {NULL, TN_VALUE_TEXT, "hi", "{\"statusCode\":\"201\"}", 201, HTML, "hi"},
    {NULL, TN_VALUE_TEXT, "a,b", "{\"contentType\":\"csv\"}", 200, "text/csv; charset=utf-8",
     "a,b"},
    {NULL, TN_VALUE_TEXT, "x", "{\"contentType\":\"png\"}", 200, "image/png; charset=utf-8", "x"},
    {NULL, TN_VALUE_TEXT, "x", "{\"contentType\":\"nonsense\"}", 200,
     "application/octet-stream; charset=utf-8", "x"},
    {NULL, TN_VALUE_JSON, "{}", "{\"contentType\":\"application/hal+json; charset=latin1\"}", 200,
     "application/hal+json; charset=latin1", "{}"},
    {"{\"returnType\":\"jsonDumps\",\"unbox\":false}", TN_VALUE_TEXT, "x",
     "{\"contentType\":\"html\"}", 200, HTML, "x"},
    {NULL, TN_VALUE_TEXT, "x", "{\"headers\":{\"Content-Type\":\"text/x-own\"}}", 200, "text/x-own",
     "x"},
};

static void call_with(const char *options)
{
    char target[512];
    snprintf(target, sizeof target, "/api/v1/sync/a%s%s", options ? "?options=" : "",
             options ? options : "");
    harness_request("GET", target, NULL, NULL);
}

static void test_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        const struct value_case *c = &values[i];
        call_with(c->options);
        harness_value(c->kind, c->value, c->control);
        const char *type = harness_header("content-type");
        if (seen_reply.status != c->status || type == NULL || strcmp(type, c->type) != 0 ||
            strcmp(seen_reply.body, c->body) != 0) {
            fail_msg("case %zu: %u %s %s", i, seen_reply.status, type, seen_reply.body);
        }
    }
}

static void test_envelope(void **state)
{
    static const struct {
        uint32_t kind;
        const char *value, *part;
    } cases[] = {
        {TN_VALUE_NONE, "", "\"data\":{\"result\":null},\"traceId\""},
        {TN_VALUE_TEXT, "a\"b", "\"data\":{\"result\":\"a\\\"b\"},\"traceId\""},
        {TN_VALUE_NUMBER, "0", "\"data\":{\"result\":0},\"traceId\""},
        {TN_VALUE_JSON, "[1]", "\"data\":{\"result\":[1]},\"traceId\""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        call_with("{\"unbox\":false}");
        harness_value(cases[i].kind, cases[i].value, NULL);
        assert_non_null(strstr(seen_reply.body, cases[i].part));
        assert_string_equal(harness_header("content-type"), JSONT);
        call_with("{\"unfold\":false}");
        harness_value(cases[i].kind, cases[i].value, NULL);
        assert_non_null(strstr(seen_reply.body, cases[i].part));
    }
}

static void test_headers(void **state)
{
    (void)state;
    harness_request("GET", "/api/v1/sync/a", "x-trace-id: T-1\nx-client-time: now", NULL);
    harness_value(
        TN_VALUE_TEXT, "x",
        "{\"headers\":{\"X-Own\":\"caf\\u00e9\",\"X-N\":5,\"Set-Cookie\":[\"a=1\",\"b=2\"],"
        "\"X-Dff-Version\":\"mine\",\"X-Null\":null}}");
    assert_int_equal(seen_reply.status, 200);
    assert_string_equal(harness_header("x-own"), "caf\xe9");
    assert_string_equal(harness_header("x-n"), "5");
    assert_string_equal(harness_header("x-trace-id"), "T-1");
    assert_string_equal(harness_header("x-client-time"), "now");
    assert_string_equal(harness_header("x-dff-version"), "mine");
    assert_non_null(strstr(seen_reply.headers, "Set-Cookie: a=1\nSet-Cookie: b=2\n"));
    assert_string_equal(harness_header("last-modified"), "Tue, 14 Nov 2023 22:13:20 GMT");
    assert_null(harness_header("x-null"));
    call_with(NULL);
    harness_value(TN_VALUE_TEXT, "x", "{\"allow304\":true}");
    assert_null(harness_header("last-modified"));
    assert_true(seen_reply.flags & TN_REPLY_ETAG);
}

/* Control that makes the call fail and sends nothing of it. */
static void test_bad_control(void **state)
{
    static const char *const bad[] = {
        "{\"headers\":{\"X-A\":\"a\\r\\nSet-Cookie: b\"}}",
        "{\"headers\":{\"X-A\":\"\\u6570\"}}",
        "{\"headers\":{\"X A\":\"a\"}}",
        "{\"headers\":{\"X-A\":{}}}",
        "{\"headers\":{\"X-A\":[1]}}",
        "{\"headers\":[]}",
        "{\"headers\":{\"Content-Length\":\"5\"}}",
        "{\"headers\":{\"transfer-encoding\":\"chunked\"}}",
        "{\"statusCode\":99}",
        "{\"statusCode\":\"x\"}",
        "{\"statusCode\":100}",
        "{\"statusCode\":1000}",
        "{\"contentType\":\"a/b\\nX: y\"}",
        "{\"statusCode\":",
        "{\"filePath\":\"nothing.txt\"}",
        "{\"filePath\":\"../secret\"}",
        "{\"filePath\":\"/\"}",
        "{\"filePath\":5}",
        "{\"filePath\":\"a\\u0000b\"}",
        "{\"filePath\":\".uploads\"}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        unsigned before = seen_reply.count;
        call_with(NULL);
        harness_value(TN_VALUE_TEXT, "x", bad[i]);
        if (seen_reply.status != 599 ||
            strstr(seen_reply.body, "\"reason\":\"EFuncFailed\"") == NULL ||
            strstr(seen_reply.headers, "Set-Cookie") != NULL) {
            fail_msg("%s: %u %s", bad[i], seen_reply.status, seen_reply.body);
        }
        assert_int_equal(seen_reply.count, before + 1);
    }
}

static void test_failures(void **state)
{
    static const struct {
        uint32_t status;
        const char *error;
        unsigned http;
        const char *reason, *text;
    } cases[] = {
        {TN_CALL_FAILURE, "{\"exception\":\"boom\",\"exceptionType\":\"E\",\"traceback\":\"tb\"}",
         599, "\"error\":599.1,\"reason\":\"EFuncFailed\"",
         "\"detail\":{\"exception\":\"boom\",\"exceptionType\":\"E\",\"traceback\":\"tb\"}"},
        {TN_CALL_FAILURE, "not json", 599, "EFuncFailed", "\"exceptionType\":null"},
        {TN_CALL_TIMEOUT, "", 599, "\"error\":599.2,\"reason\":\"EFuncTimeout\"",
         "interrupted by force"},
        {TN_CALL_EXPIRED, "", 599, "EFuncTimeout.TaskExpired", "Task waited takes too much time"},
        {TN_CALL_SKIPPED, "", 599, "EFuncFailed", "warning"},
        {TN_CALL_CRASHED, "{\"exception\":\"signal 11\"}", 599, "EFuncFailed", "signal 11"},
        {TN_CALL_OVERLOAD, "", 503, "\"error\":503.1,\"reason\":\"ESysLimitReached\"",
         "Too many calls"},
        {TN_CALL_CANCELED, "", 599, "\"error\":599.99,\"reason\":\"EWorkerNoResponse\"",
         "canceled"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        call_with(NULL);
        harness_status(cases[i].status, cases[i].error);
        if (seen_reply.status != cases[i].http ||
            strstr(seen_reply.body, cases[i].reason) == NULL ||
            strstr(seen_reply.body, cases[i].text) == NULL) {
            fail_msg("case %zu: %u %s", i, seen_reply.status, seen_reply.body);
        }
        assert_true((harness_header("retry-after") != NULL) == (cases[i].http == 503));
    }
    test_submit_rc = TN_E_LIMIT;
    call_with(NULL);
    test_submit_rc = TN_OK;
    assert_int_equal(seen_reply.status, 503);
    assert_string_equal(harness_header("retry-after"), "1");
}

static void write_file(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", test_resources, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void test_files(void **state)
{
    static const struct {
        const char *control, *type, *disposition, *body;
    } cases[] = {
        {"{\"filePath\":\"a.csv\"}", "text/csv; charset=utf-8", "attachment; filename=\"a.csv\"",
         "1,2"},
        {"{\"filePath\":\"/a.csv\",\"download\":true}", "text/csv; charset=utf-8",
         "attachment; filename=\"a.csv\"", "1,2"},
        {"{\"filePath\":\"a.csv\",\"download\":false}", "text/csv; charset=utf-8", NULL, "1,2"},
        {"{\"filePath\":\"a.csv\",\"download\":\"\\u6570 \\\"x.pdf\"}", "application/pdf",
         "attachment; filename=\"? \\\"x.pdf\"; filename*=UTF-8''%E6%95%B0%20%22x.pdf", "1,2"},
        {"{\"filePath\":\"sub/../a.csv\",\"download\":false,\"contentType\":\"json\"}",
         "application/json; charset=utf-8", NULL, "1,2"},
        {"{\"filePath\":\"link.bin\",\"download\":false}", "application/octet-stream", NULL, "1,2"},
    };
    char path[256];
    (void)state;
    write_file("a.csv", "1,2");
    snprintf(path, sizeof path, "%s/sub", test_resources);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(path, sizeof path, "%s/link.bin", test_resources);
    assert_int_equal(symlink("a.csv", path), 0);
    snprintf(path, sizeof path, "%s/out", test_resources);
    assert_int_equal(symlink("/etc/hostname", path), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        call_with(NULL);
        harness_value(TN_VALUE_NONE, "", cases[i].control);
        const char *d = harness_header("content-disposition");
        if (seen_reply.status != 200 || strcmp(seen_reply.body, cases[i].body) != 0 ||
            (d == NULL) != (cases[i].disposition == NULL) ||
            (d && strcmp(d, cases[i].disposition) != 0)) {
            fail_msg("case %zu: %u %s %s", i, seen_reply.status, d, seen_reply.body);
        }
        assert_string_equal(harness_header("content-type"), cases[i].type);
        assert_null(seen_reply.fd_path);
    }
    call_with(NULL);
    harness_value(TN_VALUE_NONE, "", "{\"filePath\":\"out\"}");
    assert_int_equal(seen_reply.status, 599);
    call_with(NULL);
    harness_value(TN_VALUE_NONE, "", "{\"filePath\":\"a.csv\",\"autoDelete\":true}");
    snprintf(path, sizeof path, "%s/a.csv", test_resources);
    assert_string_equal(seen_reply.fd_path, path);
    assert_true(seen_reply.flags & TN_REPLY_DELETE);
}

static void test_file_unchanged(void **state)
{
    char header[128];
    (void)state;
    write_file("b.txt", "same");
    call_with(NULL);
    harness_value(TN_VALUE_NONE, "", "{\"filePath\":\"b.txt\",\"allow304\":true}");
    assert_int_equal(seen_reply.status, 200);
    snprintf(header, sizeof header, "if-none-match: %s", harness_header("etag"));
    harness_request("GET", "/api/v1/sync/a", header, NULL);
    harness_value(TN_VALUE_NONE, "", "{\"filePath\":\"b.txt\",\"allow304\":true}");
    assert_int_equal(seen_reply.status, 304);
    assert_int_equal(seen_reply.body_len, 0);
}

static void test_attachment(void **state)
{
    (void)state;
    call_with(NULL);
    harness_value(TN_VALUE_JSON, "[1]", "{\"download\":true}");
    assert_string_equal(harness_header("content-disposition"),
                        "attachment; filename=\"api-resp.json\"");
    assert_string_equal(harness_header("content-type"), JSONT);
    call_with(NULL);
    harness_value(TN_VALUE_TEXT, "x", "{\"download\":true}");
    assert_string_equal(harness_header("content-disposition"),
                        "attachment; filename=\"api-resp.txt\"");
    assert_string_equal(harness_header("content-type"), "text/plain; charset=utf-8");
    call_with("{\"unbox\":false}");
    harness_value(TN_VALUE_TEXT, "x", "{\"download\":\"d/r.csv\"}");
    assert_string_equal(harness_header("content-disposition"), "attachment; filename=\"r.csv\"");
    assert_string_equal(seen_reply.body, "x");
    call_with(NULL);
    harness_value(TN_VALUE_TEXT, "x", "{\"download\":false}");
    assert_null(harness_header("content-disposition"));
}

static void test_large_value(void **state)
{
    (void)state;
    static const char text[] = "[1,2,3]";
    for (int unbox = 0; unbox < 2; unbox++) {
        int fd = memfd_create("value", MFD_CLOEXEC);
        assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
        call_with(unbox ? NULL : "{\"unbox\":false}");
        tn_call_result r = {.size = sizeof r,
                            .value_kind = TN_VALUE_JSON,
                            .value_fd = fd,
                            .value_len = sizeof text - 1};
        harness_finish(&r);
        close(fd);
        assert_int_equal(seen_reply.status, 200);
        assert_non_null(strstr(seen_reply.body, unbox ? "[1,2,3]" : "\"result\":[1,2,3]}"));
        assert_string_equal(harness_header("content-type"), JSONT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),         cmocka_unit_test(test_envelope),
        cmocka_unit_test(test_headers),        cmocka_unit_test(test_bad_control),
        cmocka_unit_test(test_failures),       cmocka_unit_test(test_files),
        cmocka_unit_test(test_file_unchanged), cmocka_unit_test(test_attachment),
        cmocka_unit_test(test_large_value),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
