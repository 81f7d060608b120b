/* SPDX-License-Identifier: Apache-2.0 */
/* Checks before a call: options, rows, throttling; the result cache; delayed calls; snapshots. */
#include "harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>

static const char scripts[] = "[{\"id\":\"t__s\",\"codeMD5\":\"abc\",\"publishVersion\":3}]";
static const char scripts_next[] = "[{\"id\":\"t__s\",\"codeMD5\":\"abd\",\"publishVersion\":4}]";
static const char funcs[] = "[{\"id\":\"t__s.f\",\"scriptId\":\"t__s\",\"name\":\"f\"},"
                            "{\"id\":\"t__s.kept\",\"scriptId\":\"t__s\",\"name\":\"kept\","
                            "\"extraConfigJSON\":\"{\\\"cacheResult\\\":2.5}\"}]";
static const char apis[] =
    "[{\"id\":\"a\",\"funcId\":\"t__s.f\",\"funcCallKwargsJSON\":\"{}\"},"
    "{\"id\":\"off\",\"funcId\":\"t__s.f\",\"funcCallKwargsJSON\":\"{}\",\"isDisabled\":1},"
    "{\"id\":\"old\",\"funcId\":\"t__s.f\",\"funcCallKwargsJSON\":\"{}\",\"expireTime\":1699999999000000},"
    "{\"id\":\"young\",\"funcId\":\"t__s.f\",\"funcCallKwargsJSON\":\"{}\",\"expireTime\":1700000001000000},"
    "{\"id\":\"auth\",\"funcId\":\"t__s.f\",\"funcCallKwargsJSON\":\"{}\",\"apiAuthId\":\"apia-1\"},"
    "{\"id\":\"bad\",\"funcId\":\"t__s.f\",\"funcCallKwargsJSON\":\"[1]\"},"
    "{\"id\":\"slow\",\"funcId\":\"t__s.f\",\"funcCallKwargsJSON\":\"{}\","
    "\"throttlingJSON\":\"{\\\"byMinute\\\":3,\\\"bySecond\\\":2,\\\"byDay\\\":null}\"},"
    "{\"id\":\"kept\",\"funcId\":\"t__s.kept\",\"funcCallKwargsJSON\":\"{}\"}]";

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

static const struct refusal_case {
    const char *target;
    unsigned status;
    const char *text;
} refusals[] = {
    {"/api/v1/sync/off", 403, "\"reason\":\"EBizCondition.SyncAPIDisabled\""},
    {"/api/v1/sync/old", 403, "\"reason\":\"EBizCondition.SyncAPIExpired\""},
    {"/api/v1/sync/auth", 401, "\"reason\":\"EAPIAuth\""},
    {"/api/v1/sync/bad", 403, "\"reason\":\"EBizBadData\""},
    {"/api/v1/sync/a?options={\"queue\":0}", 400,
     "\"message\":\"Invalid options, queue should be an integer between 1 and 9\""},
    {"/api/v1/sync/a?options={\"queue\":10}", 400, "queue should be an integer"},
    {"/api/v1/sync/a?options={\"queue\":\"1\"}", 400, "queue should be an integer"},
    {"/api/v1/sync/a?options={\"queue\":1.5}", 400, "queue should be an integer"},
    {"/api/v1/sync/a?options={\"timeout\":0}", 400,
     "timeout is too small\",\"detail\":{\"min\":1}"},
    {"/api/v1/sync/a?options={\"timeout\":3601}", 400,
     "timeout is too large\",\"detail\":{\"max\":3600}"},
    {"/api/v1/sync/a?options={\"expires\":86401}", 400,
     "expires is too large\",\"detail\":{\"max\":86400}"},
    {"/api/v1/sync/a?options={\"expires\":-1}", 400,
     "expires is too small\",\"detail\":{\"min\":1}"},
    {"/api/v1/sync/a?options={\"timeout\":\"3\"}", 400,
     "Field `options.timeout` value `\\\"3\\\"` is not valid."},
    {"/api/v1/sync/a?options={\"unbox\":1}", 400, "Field `options.unbox` value `1` is not valid."},
    {"/api/v1/sync/a?options={\"eta\":\"soon\"}", 400, "Field `options.eta`"},
    {"/api/v1/sync/a?options={\"returnType\":\"xml\"}", 400,
     "Invalid options, invalid returnType\",\"detail\":{\"allowed\":[\"raw\",\"jsonDumps\""},
    {"/api/v1/sync/a?options=[]", 400, "Invalid options, bad JSON format"},
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        unsigned before = seen_call.count;
        harness_request("GET", refusals[i].target, NULL, NULL);
        if (seen_reply.status != refusals[i].status ||
            strstr(seen_reply.body, refusals[i].text) == NULL) {
            fail_msg("%s: %u %s", refusals[i].target, seen_reply.status, seen_reply.body);
        }
        assert_int_equal(seen_call.count, before);
    }
    harness_request("GET", "/api/v1/sync/young", NULL, NULL);
    harness_value(TN_VALUE_NONE, "", NULL);
    assert_int_equal(seen_reply.status, 200);
}

static unsigned try_slow(void)
{
    unsigned before = seen_call.count;
    harness_request("GET", "/api/v1/sync/slow", NULL, NULL);
    if (seen_call.count != before) {
        harness_value(TN_VALUE_NONE, "", NULL);
    }
    return seen_reply.status;
}

static void test_throttling(void **state)
{
    (void)state;
    int64_t start = 1700000000000000 / 60000000 * 60000000 + 60000000; /* a full minute */
    test_wall_us = start;
    assert_int_equal(try_slow(), 200);
    assert_int_equal(try_slow(), 200);
    assert_int_equal(try_slow(), 429); /* two a second */
    assert_non_null(strstr(seen_reply.body, "\"reason\":\"EClientRateLimit.APIThrottling\""));
    assert_non_null(strstr(seen_reply.body, "\"message\":\"Maximum calling rate exceeded\""));
    assert_non_null(
        strstr(seen_reply.body,
               "{\"rule\":\"bySecond\",\"limit\":2,\"currentCount\":3,\"waitSeconds\":2}"));
    assert_string_equal(harness_header("retry-after"), "2");
    test_wall_us = start + 1000000;
    assert_int_equal(try_slow(), 429); /* the refused one counted: three a minute, stored first */
    assert_non_null(
        strstr(seen_reply.body,
               "{\"rule\":\"byMinute\",\"limit\":3,\"currentCount\":4,\"waitSeconds\":60}"));
    harness_load(funcs, scripts, apis); /* counters live on */
    assert_int_equal(try_slow(), 429);
    test_wall_us = start + 60000000;
    assert_int_equal(try_slow(), 200);
}

static void call_kept(const char *kwargs)
{
    char target[256];
    snprintf(target, sizeof target, "/api/v1/sync/kept?kwargs=%s", kwargs);
    harness_request("GET", target, NULL, NULL);
}

/* 1: the function ran, 0: the answer came from the cache. */
static int ran(const char *kwargs, const char *value)
{
    unsigned before = seen_call.count;
    call_kept(kwargs);
    if (seen_call.count == before) {
        assert_string_equal(harness_header("x-dff-cache"), "Cached");
        return 0;
    }
    assert_int_equal(seen_call.result_ttl, 2);
    harness_value(TN_VALUE_TEXT, value, "{\"headers\":{\"X-Own\":\"1\"}}");
    assert_null(harness_header("x-dff-cache"));
    return 1;
}

static void test_cache(void **state)
{
    (void)state;
    test_wall_us = 1800000000000000;
    assert_int_equal(ran("{}", "one"), 1);
    assert_int_equal(ran("{}", "two"), 0);
    assert_string_equal(seen_reply.body, "one");
    assert_string_equal(harness_header("x-own"), "1");
    /* the key: canonical kwargs */
    assert_int_equal(ran("{\"a\":1,\"b\":{\"c\":[1,{\"x\":1,\"y\":2}],\"d\":2}}", "x"), 1);
    assert_int_equal(ran("{\"b\": {\"d\":2, \"c\":[1, {\"y\":2,\"x\":1} ] }, \"a\":1}", "x"), 0);
    assert_int_equal(ran("{\"a\":\"1\"}", "x"), 1);
    assert_int_equal(ran("{\"a\":1}", "x"), 1);
    assert_int_equal(ran("{\"a\":2,\"a\":1}", "x"), 0);
    assert_int_equal(ran("{\"a\":[1,2]}", "x"), 1);
    assert_int_equal(ran("{\"a\":[[1],2]}", "x"), 1);
    assert_int_equal(ran("{\"a\":[1,[2]]}", "x"), 1);
    assert_int_equal(ran("{\"a\":\"],\\\"\",\"b\":[\"[\",\"}\"]}", "x"), 1);
    assert_int_equal(ran("{\"b\":[\"[\",\"}\"],\"a\":\"],\\\"\"}", "x"), 0);
    /* time to live */
    test_wall_us += 1999999;
    assert_int_equal(ran("{}", "two"), 0);
    test_wall_us += 1;
    assert_int_equal(ran("{}", "two"), 1);
    /* a publication */
    harness_load(funcs, scripts_next, apis);
    assert_int_equal(ran("{}", "three"), 1);
    harness_load(funcs, scripts, apis);
    assert_int_equal(ran("{}", "three"), 0);
    assert_string_equal(seen_reply.body, "two");
    /* options of the caller decide the form, not the cached answer */
    harness_request("GET", "/api/v1/sync/kept?options={\"unbox\":false}", NULL, NULL);
    assert_non_null(strstr(seen_reply.body, "\"data\":{\"result\":\"two\"}"));
    /* failures are not kept */
    test_wall_us += 3000000;
    call_kept("{}");
    harness_status(TN_CALL_FAILURE, "{\"exception\":\"x\"}");
    assert_int_equal(ran("{}", "four"), 1);
}

static void test_cached_file(void **state)
{
    char path[256];
    (void)state;
    test_wall_us = 1900000000000000;
    snprintf(path, sizeof path, "%s/large.json", test_resources);
    for (int round = 0; round < 2; round++) {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs("[1]", f);
        fclose(f);
        call_kept("{\"large\":1}");
        harness_value(TN_VALUE_NONE, "",
                      "{\"filePath\":\"large.json\",\"autoDelete\":true,\"download\":false}");
        assert_string_equal(seen_reply.body, "[1]");
        assert_null(seen_reply.fd_path); /* kept as long as the result is */
        unsigned before = seen_call.count;
        call_kept("{\"large\":1}");
        assert_int_equal(seen_call.count, before);
        assert_string_equal(seen_reply.body, "[1]");
        assert_string_equal(harness_header("x-dff-cache"), "Cached");
        assert_int_equal(remove(path), 0); /* the cleaner came first: the next one runs again */
    }
}

static void test_cache_bounds(void **state)
{
    (void)state;
    struct cache *c = cache_create(8000, 10);
    char text[2000];
    tn_call_result out, r = {.size = sizeof r, .value_kind = TN_VALUE_TEXT, .value_fd = -1};
    uint8_t key[32] = {0};
    memset(text, 'x', sizeof text);
    r.value = (tn_str){text, 100};
    for (uint8_t i = 0; i < 20; i++) {
        key[0] = i;
        cache_put(c, key, 0, 10, &r);
        key[0] = 0;
        if (i < 15) { /* what is used stays */
            assert_true(cache_get(c, key, 1, &out));
        }
    }
    key[0] = 1;
    assert_false(cache_get(c, key, 1, &out));
    key[0] = 0;
    assert_true(cache_get(c, key, 1, &out));
    r.value.n = sizeof text; /* more than an eighth */
    key[0] = 99;
    cache_put(c, key, 0, 10, &r);
    assert_false(cache_get(c, key, 1, &out));
    r.value.n = 900;
    for (uint8_t i = 30; i < 50; i++) {
        key[0] = i;
        cache_put(c, key, 0, 10, &r);
        cache_put(c, key, 0, 10, &r);
    }
    struct str status = {0};
    cache_status(c, &status);
    json_t *j = json_loads(status.s, 0, NULL);
    assert_true(json_integer_value(json_object_get(j, "bytes")) <= 8000);
    assert_true(json_integer_value(json_object_get(j, "entries")) >= 6);
    json_decref(j);
    str_free(&status);
    cache_destroy(c);
}

static void test_delay(void **state)
{
    (void)state;
    unsigned before = seen_call.count;
    harness_request("GET", "/api/v1/sync/a?kwargs={\"x\":1}&options={\"delay\":5}", NULL, NULL);
    assert_int_equal(seen_call.count, before);
    harness_request("GET", "/api/v1/sync/a?options={\"delay\":5}", NULL,
                    NULL); /* the first client has gone */
    harness_value(TN_VALUE_NUMBER, "1", NULL);
    assert_int_equal(seen_call.count, before + 1);
    assert_string_equal(seen_call.vars, "{\"delay\":5}");
    assert_string_equal(seen_call.args, "{}");
    assert_int_equal(seen_reply.status, 200);
}

static void test_large_snapshot(void **state)
{
    (void)state;
    struct str rows = {0};
    char target[64];
    str_char(&rows, '[');
    for (int i = 0; i < 10000; i++) {
        str_printf(
            &rows,
            "%s{\"id\":\"api-%d\",\"funcId\":\"t__s.f\",\"funcCallKwargsJSON\":\"{\\\"n\\\":%d}\"}",
            i ? "," : "", i, i);
    }
    str_char(&rows, ']');
    harness_load(funcs, scripts, rows.s);
    for (int i = 0; i < 10000; i += 333) {
        snprintf(target, sizeof target, "/api/v1/sync/api-%d", i);
        harness_request("GET", target, NULL, NULL);
        snprintf(target, sizeof target, "{\"n\":%d}", i);
        assert_string_equal(seen_call.args, target);
        harness_value(TN_VALUE_NONE, "", NULL);
    }
    harness_request("GET", "/api/v1/sync/a", NULL, NULL);
    assert_int_equal(seen_reply.status, 404);
    harness_load(funcs, scripts, apis);
    str_free(&rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),       cmocka_unit_test(test_throttling),
        cmocka_unit_test(test_cache),          cmocka_unit_test(test_cached_file),
        cmocka_unit_test(test_cache_bounds),   cmocka_unit_test(test_delay),
        cmocka_unit_test(test_large_snapshot),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
