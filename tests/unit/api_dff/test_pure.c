/* SPDX-License-Identifier: Apache-2.0 */
/* Text, times, validation, masking, fields and delays of api_dff against literal expectations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/value/json.h"
#include "plugins/api_dff/form.h"
#include "plugins/api_dff/guard.h"
#include "plugins/api_dff/list.h"
#include "plugins/api_dff/mask.h"
#include "plugins/api_dff/peer.h"
#include "plugins/api_dff/schema.h"

static void times_are_iso_utc_with_milliseconds(void **state)
{
    (void)state;
    static const struct {
        int64_t us;
        const char *text;
    } cases[] = {{0, "1970-01-01T00:00:00.000Z"},
                 {1700000000123456, "2023-11-14T22:13:20.123Z"},
                 {951782400000000, "2000-02-29T00:00:00.000Z"},
                 {-1000, "1969-12-31T23:59:59.999Z"},
                 {4102444799999000, "2099-12-31T23:59:59.999Z"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char got[ISO_LEN + 1];
        int64_t back;
        iso_time(cases[i].us, got);
        assert_string_equal(got, cases[i].text);
        assert_true(iso_parse(text_of(got), &back));
        assert_int_equal(back / 1000, cases[i].us / 1000);
    }
}

static void times_are_read_in_all_spellings(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t us;
    } good[] = {{"2024-01-31", 1706659200000000},
                {"2024-01-31T08:00:00+08:00", 1706659200000000},
                {"2024-01-31T08:00:00+0800", 1706659200000000},
                {"2024-01-31 00:00", 1706659200000000},
                {"2024-01-31T00:00:00.5Z", 1706659200500000},
                {"2024-02-29T00:00:00Z", 1709164800000000}};
    static const char *const bad[] = {"",
                                      "2024",
                                      "2024-13-01",
                                      "2023-02-29",
                                      "2024-01-31T24:00:00",
                                      "2024-01-31T00:00:00X",
                                      "2024-01-31T",
                                      "tomorrow",
                                      "2024-01-31T00:00:00.Z",
                                      "2024-01-31T00:00:00+99:00"};
    int64_t us;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(iso_parse(text_of(good[i].text), &us));
        assert_int_equal(us, good[i].us);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(iso_parse(text_of(bad[i]), &us));
    }
}

static void md5_follows_the_rfc(void **state)
{
    (void)state;
    static const struct {
        const char *text, *hex;
    } cases[] = {
        {"", "d41d8cd98f00b204e9800998ecf8427e"},
        {"abc", "900150983cd24fb0d6963f7d28e17f72"},
        {"message digest", "f96b697d7cb7938d525a2f31aaf161d0"},
        {"12345678901234567890123456789012345678901234567890123456789012345678901234567890",
         "57edf4a22be3c955ac49da2e2107b67a"},
        {"{}", "99914b932bd37a50b983c5e7c90ae93b"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char hex[33];
        md5_hex(cases[i].text, strlen(cases[i].text), hex);
        assert_string_equal(hex, cases[i].hex);
    }
}

static void integers_stop_at_64_bits(void **state)
{
    (void)state;
    int64_t v;
    assert_true(text_int(TN_STR("9223372036854775807"), &v));
    assert_int_equal(v, INT64_MAX);
    assert_true(text_int(TN_STR("-9223372036854775808"), &v));
    assert_int_equal(v, INT64_MIN);
    assert_false(text_int(TN_STR("9223372036854775808"), &v));
    assert_false(text_int(TN_STR("1.0"), &v));
    assert_false(text_int(TN_STR(""), &v));
    assert_false(text_int(TN_STR("-"), &v));
}

static void strings_are_quoted_as_json(void **state)
{
    (void)state;
    struct str b = {0};
    str_quote(&b, (tn_str){"a\"\\\n\x01\xe4\xb8\xa4", 8});
    assert_string_equal(b.s, "\"a\\\"\\\\\\n\\u0001\xe4\xb8\xa4\"");
    str_free(&b);
}

/* ---- validation
 * ------------------------------------------------------------------------------------- */
static const struct field inner[] = {
    {.name = "id", .type = F_STR, .flags = FF_REQUIRED, .min = 1, .max = 5, .pattern = PAT_SET_ID},
    {.name = "kind", .type = F_STR, .choices = "a|b"},
    {.name = "n", .type = F_INT, .flags = FF_NULL, .min = 1, .max = 10},
    {.name = "on", .type = F_BOOL},
    {.name = "kw", .type = F_JSON},
    {.name = "at", .type = F_TIME},
    {.name = NULL}};
static const struct field item[] = {{.name = "x", .type = F_STR, .max = 3}};
static const struct field outer[] = {
    {.name = "data", .type = F_OBJ, .flags = FF_REQUIRED, .sub = inner},
    {.name = "tags", .type = F_ARR, .min = 1, .sub = item},
    {.name = "code", .type = F_STR, .min = 4, .max = 4},
    {.name = NULL}};

static void bodies_are_validated_with_the_known_messages(void **state)
{
    (void)state;
    static const struct {
        const char *body, *result, *why; /* result NULL: refused with why */
    } cases[] = {
        {"{\"data\":{\"id\":\"a\",\"more\":1},\"wait\":true}", "{\"data\":{\"id\":\"a\"}}", NULL},
        {"{\"data\":{\"id\":\"a\",\"n\":null,\"on\":false,\"kw\":{\"x\":[1]}}}",
         "{\"data\":{\"id\":\"a\",\"n\":null,\"on\":false,\"kw\":{\"x\":[1]}}}", NULL},
        {"{\"data\":{\"id\":\"a\"},\"tags\":[\"x\",\"y\"]}",
         "{\"data\":{\"id\":\"a\"},\"tags\":[\"x\",\"y\"]}", NULL},
        {"{}", NULL, "Field `data` is missing."},
        {"{\"data\":{}}", NULL, "Field `data.id` is missing."},
        {"{\"data\":[]}", NULL, "Field `data` value `[]` is not valid. (type = \"object\")"},
        {"{\"data\":{\"id\":1}}", NULL,
         "Field `data.id` value `1` is not valid. (type = \"string\")"},
        {"{\"data\":{\"id\":\"\"}}", NULL,
         "Field `data.id` value `\"\"` is not valid. (minLength = 1)"},
        {"{\"data\":{\"id\":\"abcdef\"}}", NULL,
         "Field `data.id` value `\"abcdef\"` is not valid. (maxLength = 5)"},
        {"{\"data\":{\"id\":\"1a\"}}", NULL,
         "Field `data.id` value `\"1a\"` is not valid. (matchRegExp = /^[a-zA-Z_][a-zA-Z0-9_]*$/)"},
        {"{\"data\":{\"id\":\"a__b\"}}", NULL,
         "Field `data.id` value `\"a__b\"` is not valid. (notMatchRegExp = /__/)"},
        {"{\"data\":{\"id\":null}}", NULL,
         "Field `data.id` value `null` is not valid. (type = \"string\")"},
        {"{\"data\":{\"id\":\"a\",\"kind\":\"c\"}}", NULL,
         "Field `data.kind` value `\"c\"` is not valid. (in = [\"a\",\"b\"])"},
        {"{\"data\":{\"id\":\"a\",\"n\":\"1\"}}", NULL,
         "Field `data.n` value `\"1\"` is not valid. (type = \"int\")"},
        {"{\"data\":{\"id\":\"a\",\"n\":0}}", NULL,
         "Field `data.n` value `0` is not valid. (minValue = 1)"},
        {"{\"data\":{\"id\":\"a\",\"n\":11}}", NULL,
         "Field `data.n` value `11` is not valid. (maxValue = 10)"},
        {"{\"data\":{\"id\":\"a\",\"on\":1}}", NULL,
         "Field `data.on` value `1` is not valid. (type = \"boolean\")"},
        {"{\"data\":{\"id\":\"a\",\"kw\":[1,2]}}", NULL,
         "Field `data.kw` value `[1,2]` is not valid. (type = \"json\")"},
        {"{\"data\":{\"id\":\"a\",\"at\":\"soon\"}}", NULL,
         "Field `data.at` value `\"soon\"` is not valid. (isISO8601 = true)"},
        {"{\"data\":{\"id\":\"a\"},\"tags\":[]}", NULL,
         "Field `tags` value `[]` is not valid. (minLength = 1)"},
        {"{\"data\":{\"id\":\"a\"},\"tags\":[\"x\",\"long\"]}", NULL,
         "Field `tags[1]` value `\"long\"` is not valid. (maxLength = 3)"},
        {"{\"data\":{\"id\":\"a\"},\"code\":\"123\"}", NULL,
         "Field `code` value `\"123\"` is not valid. (length = 4)"},
        {"{\"data\":{\"id\":\"\xe4\xb8\xa4\"}}", NULL,
         "Field `data.id` value `\"\xe4\xb8\xa4\"` is not valid. (matchRegExp = /^[a-zA-Z_][a-zA-Z0-9_]*$/)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char why[768] = "";
        json_t *in = json_loads(cases[i].body, 0, NULL);
        assert_non_null(in);
        json_t *out = schema_body(outer, in, why, sizeof why);
        if (cases[i].result != NULL) {
            assert_non_null(out);
            char *text = json_dumps(out, JSON_COMPACT);
            assert_string_equal(text, cases[i].result);
            free(text);
        } else {
            assert_null(out);
            assert_string_equal(why, cases[i].why);
        }
        json_decref(out);
        json_decref(in);
    }
}

static void script_ids_have_two_parts(void **state)
{
    (void)state;
    static const struct field f[] = {{.name = "id", .type = F_STR, .pattern = PAT_SCRIPT_ID},
                                     {.name = NULL}};
    static const struct {
        const char *id;
        bool ok;
    } cases[] = {{"a__b", true},    {"a_1__b_2", true}, {"a__b__c", true}, {"a", false},
                 {"__b", false},    {"a__", false},     {"a__1", false},   {"1a__b", false},
                 {"a-b__c", false}, {"", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char why[768];
        json_t *in = json_pack("{s:s}", "id", cases[i].id);
        json_t *out = schema_body(f, in, why, sizeof why);
        assert_int_equal(out != NULL, cases[i].ok);
        json_decref(out);
        json_decref(in);
    }
}

static json_t *query_of(const struct field *fields, const char *const pairs[][2], uint32_t n,
                        char *why)
{
    tn_http_pair args[8];
    for (uint32_t i = 0; i < n; i++) {
        args[i] = (tn_http_pair){text_of(pairs[i][0]), text_of(pairs[i][1])};
    }
    tn_http_req req = {.size = sizeof req, .args = args, .nargs = n};
    return schema_query(fields, &req, why, 768);
}

static void query_values_are_converted(void **state)
{
    (void)state;
    static const struct field f[] = {{.name = "i", .type = F_INT},
                                     {.name = "b", .type = F_BOOL},
                                     {.name = "c", .type = F_COMMA},
                                     {.name = "s", .type = F_STR},
                                     {.name = "j", .type = F_JSONSTR},
                                     {.name = "e", .type = F_STR, .choices = "x|y"},
                                     {.name = NULL}};
    static const char *const given[][2] = {{"i", "7"}, {"b", "Yes"},       {"c", "a,b,,c"},
                                           {"s", "t"}, {"j", "{\"k\":1}"}, {"unknown", "1"}};
    static const char *const odd[][2] = {{"i", "abc"}, {"b", "_ALL"}, {"c", ""}, {"s", "_NULL"}};
    static const char *const wrong[][2] = {{"e", "z"}};
    char why[768];
    json_t *q = query_of(f, given, 6, why);
    char *text = json_dumps(q, JSON_COMPACT);
    assert_string_equal(
        text, "{\"i\":7,\"b\":true,\"c\":[\"a\",\"b\",\"c\"],\"s\":\"t\",\"j\":{\"k\":1}}");
    free(text);
    json_decref(q);
    q = query_of(f, odd, 4, why);
    text = json_dumps(q, JSON_COMPACT);
    assert_string_equal(text, "{\"i\":null,\"s\":null}");
    free(text);
    json_decref(q);
    assert_null(query_of(f, wrong, 1, why));
    assert_string_equal(why, "Field `e` value `\"z\"` is not valid. (in = [\"x\",\"y\"])");
}

/* ---- masking
 * ---------------------------------------------------------------------------------------- */
static char *dump_of(const char *target, const char *type, const char *body)
{
    tn_http_pair header = {TN_STR("content-type"), text_of(type)};
    tn_http_req req = {.size = sizeof req,
                       .method = TN_STR("POST"),
                       .target = text_of(target),
                       .headers = &header,
                       .nheaders = 1,
                       .body = (const uint8_t *)body,
                       .body_len = strlen(body)};
    struct str b = {0};
    api_req_dump(&b, &req);
    assert_false(b.failed);
    json_t *parsed = json_loads(b.s, 0, NULL);
    assert_non_null(parsed);
    json_decref(parsed);
    return b.s;
}

static void secrets_never_come_back(void **state)
{
    (void)state;
    static const struct {
        const char *target, *type, *body;
    } cases[] = {
        {"/api/v1/x", "application/json",
         "{\"signIn\":{\"username\":\"u\",\"password\":\"HUSH\"}}"},
        {"/api/v1/x", "application/json",
         "{\"data\":[{\"secretKey\":\"HUSH\",\"a\":{\"accessToken\":[\"HUSH\"]}}]}"},
        {"/api/v1/x", "application/json", "{\"password\": \"HUSH\""},
        {"/api/v1/x", "application/json",
         "{\"data\":{\"autoTypeCasting\":\"password\",\"valueTEXT\":\"HUSH\"}}"},
        {"/api/v1/x", "application/x-www-form-urlencoded", "a=1&pass%77ord=HUSH"},
        {"/api/v1/x?a=1&xDFFAuthToken=HUSH&b=2", "application/json", "{}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *dump = dump_of(cases[i].target, cases[i].type, cases[i].body);
        assert_null(strstr(dump, "HUSH"));
        free(dump);
    }
    char *dump = dump_of("/api/v1/x", "application/json", "{\"data\":{\"username\":\"shown\"}}");
    assert_non_null(strstr(dump, "shown"));
    free(dump);
}

static void long_bodies_are_cut_and_odd_bytes_survive(void **state)
{
    (void)state;
    char body[3100];
    memset(body, 'x', sizeof body);
    memcpy(body, "{\"a\":\"", 6);
    strcpy(body + sizeof body - 3, "\"}");
    char *dump = dump_of("/a", "application/json", body);
    assert_non_null(strstr(dump, "...\\n(full length: 310"));
    assert_true(strlen(dump) < 1300);
    free(dump);
    free(dump_of("/a\xff\xfe?x=\xff", "text/plain", "\xff\xfe"));
    free(dump_of("/a?&&=&%zz=%", "application/x-www-form-urlencoded", "%ff=%fe&=&&x"));
}

static void odd_bytes_become_question_marks(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {{"a\xff"
                  "b",
                  "\"a?b\""},
                 {"\xc3\xa4", "\"\xc3\xa4\""},
                 {"\xc0\x80", "\"??\""},
                 {"\xed\xa0\x80", "\"???\""},
                 {"\xf4\x90\x80\x80", "\"????\""},
                 {"\xe4\xb8", "\"??\""},
                 {"\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct str b = {0};
        str_quote_any(&b, text_of(cases[i].in));
        assert_string_equal(b.s, cases[i].out);
        str_free(&b);
    }
}

static void forms_become_objects(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"", "{}"},
        {"a=1&b=x+y%21&c", "{\"a\":\"1\",\"b\":\"x y!\",\"c\":\"\"}"},
        {"a=1&a=2", "{\"a\":[\"1\",\"2\"]}"},
        {"data[id]=x&data[title]=t", "{\"data\":{\"id\":\"x\",\"title\":\"t\"}}"},
        {"a[]=1&a[]=2", "{\"a\":[\"1\",\"2\"]}"},
        {"a[b][]=1&a[b][]=2", "{\"a\":{\"b\":[\"1\",\"2\"]}}"},
        {"a[][b]=1", "{\"a\":[{\"b\":\"1\"}]}"},
        {"[a]=1&a]=2&a[=3", "{\"[a]\":\"1\",\"a]\":\"2\",\"a[\":\"3\"}"},
        {"a[b][c][d][e][f]=1", "{\"a\":{\"b\":{\"c\":{\"d\":{\"e\":{\"f\":\"1\"}}}}}}"},
        {"%=1&%zz=2&%4=3", "{\"%\":\"1\",\"%zz\":\"2\",\"%4\":\"3\"}"},
        {"x=%ff&&", "{\"x\":\"\xef\xbf\xbd\"}"},
        {"%ff=1&%fe=2", "{\"\xef\xbf\xbd\":[\"1\",\"2\"]}"}, /* no name stands there twice */
        {"%01k=1&k=2&a[]=3&a[%0122]=4",
         "{\"\\u0001k\":\"1\",\"k\":\"2\",\"a\":{\"21\":\"3\",\"\\u000122\":\"4\"}}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *v = form_parse(text_of(cases[i].in));
        char *text = json_dumps(v, JSON_COMPACT);
        assert_string_equal(text, cases[i].out);
        free(text);
        json_decref(v);
    }
}

/* ---- lists
 * ------------------------------------------------------------------------------------------ */
static void fields_keep_or_drop(void **state)
{
    (void)state;
    static const struct {
        const char *fields, *want;
    } cases[] = {{"a,c", "[{\"a\":1,\"c\":3}]"},
                 {"-,a", "[{\"b\":2,\"c\":3}]"},
                 {"-a,b", "[{\"c\":3}]"},
                 {"", "[{\"a\":1,\"b\":2,\"c\":3}]"},
                 {"zz", "[{}]"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *rows = json_loads("[{\"a\":1,\"b\":2,\"c\":3}]", 0, NULL);
        list_pick_fields(rows, text_of(cases[i].fields));
        char *text = json_dumps(rows, JSON_COMPACT);
        assert_string_equal(text, cases[i].want);
        free(text);
        json_decref(rows);
    }
}

static void waits_grow_from_the_threshold(void **state)
{
    (void)state;
    static const int want[] = {0, 60, 120, 240, 480, 900, 900};
    for (int i = 0; i < 7; i++) {
        assert_int_equal(guard_delay_ms(9 + i, 10, 900), want[i] * 1000);
    }
    assert_int_equal(guard_delay_ms(1000000, 10, 900), 900000);
    assert_int_equal(guard_delay_ms(0, 10, 900), 0);
}

static void addresses_of_one_network_are_one(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{"192.0.2.7", "192.0.2.7"},
                                           {"::ffff:192.0.2.7", "192.0.2.7"},
                                           {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
                                           {"2001:db8:1:2::", "2001:db8:1:2::/64"},
                                           {"2001:db8:1:3::1", "2001:db8:1:3::/64"},
                                           {"fe80::1%eth0", "fe80::/64"},
                                           {"::1", "::/64"},
                                           {"no:address", "no:address"},
                                           {"", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char room[PEER_NETWORK];
        tn_str got = peer_network(text_of(cases[i][0]), room);
        assert_int_equal(got.n, strlen(cases[i][1]));
        assert_memory_equal(got.s, cases[i][1], got.n);
    }
}

static void error_codes_have_their_status(void **state)
{
    (void)state;
    assert_int_equal(api_code_status(EFuncFailed), 599);
    assert_int_equal(api_code_status(EUserAuth), 401);
    assert_int_equal(api_code_status(ESysLimitReached), 503);
    assert_int_equal(api_code_status(OK), 200);
}

int main(void)
{
    static const tn_host_json json = {
        .size = sizeof json, .scan = json_scan, .quote = json_quote, .unquote = json_unquote};
    static const tn_host host = {.size = sizeof host, .json = &json};
    api.host = &host;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_iso_utc_with_milliseconds),
        cmocka_unit_test(times_are_read_in_all_spellings),
        cmocka_unit_test(md5_follows_the_rfc),
        cmocka_unit_test(integers_stop_at_64_bits),
        cmocka_unit_test(strings_are_quoted_as_json),
        cmocka_unit_test(bodies_are_validated_with_the_known_messages),
        cmocka_unit_test(script_ids_have_two_parts),
        cmocka_unit_test(query_values_are_converted),
        cmocka_unit_test(secrets_never_come_back),
        cmocka_unit_test(long_bodies_are_cut_and_odd_bytes_survive),
        cmocka_unit_test(odd_bytes_become_question_marks),
        cmocka_unit_test(forms_become_objects),
        cmocka_unit_test(fields_keep_or_drop),
        cmocka_unit_test(waits_grow_from_the_threshold),
        cmocka_unit_test(addresses_of_one_network_are_one),
        cmocka_unit_test(error_codes_have_their_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
