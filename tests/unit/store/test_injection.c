/* SPDX-License-Identifier: Apache-2.0 */
/* Hostile text through every way in: as a value it comes back unchanged, as a name it is refused,
 * and the database is the same as before. */
#include "harness.h"
#include "kernel/base/str.h"
#include "kernel/value/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Each is also tried with every wrapping below. */
static const char *const seeds[] = {
    "'",
    "\"",
    "`",
    "''",
    "\\'",
    "\\\"",
    "\\",
    ";",
    "--",
    "/*",
    "*/",
    "#",
    "?",
    "??",
    "?1",
    ":a",
    "@a",
    "$1",
    "%",
    "_",
    "%%",
    "\\%",
    "[",
    "]",
    "(",
    ")",
    ",",
    "NULL",
    "null",
    "true",
    "0",
    "1=1",
    "or",
    "x'41'",
    "' OR '1'='1",
    "' OR 1=1 --",
    "'; DROP TABLE t_all; --",
    "\"; DROP TABLE t_all; --",
    "') OR ('1'='1",
    "1; DELETE FROM t_all",
    "' UNION SELECT * FROM sqlite_schema --",
    "a.id) FROM t_all; --",
    "id\" = \"id",
    "id\" IS NOT NULL OR \"id",
    "seq DESC; DROP TABLE t_all",
    "(SELECT s FROM t_all LIMIT 1)",
    "id) OR (1=1",
    "id/**/OR/**/1",
    "id OR 1",
    "a.\"id\"",
    "'||(SELECT group_concat(sql) FROM sqlite_schema)||'",
    "load_extension('x')",
    "randomblob(1000000000)",
    "ATTACH DATABASE 'x' AS y",
    "PRAGMA writable_schema=1",
    "' ESCAPE '\\",
    "\\' ESCAPE",
    "\xef\xbc\x87",
    "\xc2\xa0",
    "\xe2\x80\x99",
    "\xf0\x9f\x98\x80",
    "\x01",
    "\n",
    "\r\n--",
    "\t",
    "%27%20OR%201=1",
    "\\u0027",
    "{\"a\":1}",
    "[1,2]",
    "1e999",
    "-0",
    "0x1F",
    "\"\"",
    "{{7*7}}",
    "${x}",
    "CAST(1 AS TEXT)",
    "json_each(1)",
    "rowid",
    "seq",
    "a.seq",
    "sqlite_master",
    "t_all",
    "createTime--",
    "ORDER BY 1",
    "LIMIT 0",
    "HAVING 1",
};
static const char *const wraps[] = {"%s", "' %s", "%s '", "\" %s", "x%sx"};
#define N (sizeof seeds / sizeof seeds[0] * (sizeof wraps / sizeof wraps[0]))

static struct harness h;
static char texts[N][128];

static int setup(void **state)
{
    tn_err err = TN_ERR_INIT;
    size_t n = 0;
    (void)state;
    for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++) {
        for (size_t w = 0; w < sizeof wraps / sizeof wraps[0]; w++) {
            const char *hole = strstr(wraps[w], "%s");
            snprintf(texts[n++], sizeof texts[0], "%.*s%s%s", (int)(hole - wraps[w]), wraps[w],
                     seeds[i], hole + 2);
        }
    }
    harness_open(&h, NULL);
    return store_define(h.store, "test", test_entities, NULL, &err);
}

static int teardown(void **state)
{
    (void)state;
    harness_close(&h);
    return 0;
}

static const char *quoted(const char *text)
{
    static char out[1024];
    out[json_quote(str_of(text), out, sizeof out - 1)] = '\0';
    return out;
}

static char *dump(void)
{
    return strdup(harness_sql(&h, "SELECT type, name, sql FROM sqlite_schema ORDER BY name", NULL));
}

/* Rows that match one filter, or a negative code. */
static int64_t matches(const char *column, uint32_t op, const char *json)
{
    tn_err err = TN_ERR_INIT;
    struct buf rows = BUF_INIT(0);
    int64_t total = -1;
    tn_filter f = {.column = column, .op = op, .value = str_of(json)};
    tn_list l = {
        .size = sizeof l, .flags = TN_LIST_COUNT, .filters = &f, .nfilters = 1, .limit = 0};
    tn_rc rc = store_list(h.store, NULL, "all", &l, &rows, &total, &err);
    buf_finish(&rows);
    return rc ? rc : total;
}

static void values_round_trip(void **state)
{
    char row[4096], want[2048];
    char *before = dump();
    (void)state;
    assert_true(N >= 200);
    for (size_t i = 0; i < N; i++) {
        tn_err err = TN_ERR_INIT;
        snprintf(row, sizeof row, "{\"id\":\"r%zu\",\"t\":%s,\"j\":{\"k\":%s}}", i,
                 quoted(texts[i]), quoted(texts[i]));
        if (store_insert(h.store, NULL, "all", str_of(row), NULL, &err) != TN_OK) {
            fail_msg("%s: %s", row, err.msg);
        }
        snprintf(want, sizeof want, "[{\"t\":%s,\"ok\":1}]", quoted(texts[i]));
        char params[1300];
        snprintf(params, sizeof params, "[%s, \"r%zu\"]", quoted(texts[i]), i);
        assert_string_equal(
            harness_sql(&h, "SELECT t, t = ? AS ok FROM t_all WHERE id = ?", params), want);
    }
    char *after = dump();
    assert_string_equal(before, after);
    free(before);
    free(after);
}

/* Every text finds itself, and equality finds nothing but itself. */
static void filters_match_only_themselves(void **state)
{
    (void)state;
    values_round_trip(state);
    for (size_t i = 0; i < N; i++) {
        char one[1024], in[1100];
        int64_t same = 0, containing = 0, starting = 0;
        for (size_t k = 0; k < N; k++) {
            same += strcmp(texts[k], texts[i]) == 0;
            /* LIKE ignores the case of ASCII letters, as the databases do */
            containing += strcasestr(texts[k], texts[i]) != NULL;
            starting += strncasecmp(texts[k], texts[i], strlen(texts[i])) == 0;
        }
        snprintf(one, sizeof one, "%s", quoted(texts[i]));
        snprintf(in, sizeof in, "[%s]", one);
        assert_int_equal(matches("t", TN_OP_EQ, one), same);
        assert_int_equal(matches("t", TN_OP_IN, in), same);
        assert_int_equal(matches("t", TN_OP_NE, one), (int64_t)N - same);
        if (matches("t", TN_OP_LIKE, one) != containing ||
            matches("t", TN_OP_PRELIKE, one) != starting) {
            fail_msg("%s: %d like, %d prelike", one, (int)matches("t", TN_OP_LIKE, one),
                     (int)matches("t", TN_OP_PRELIKE, one));
        }
        assert_int_equal(matches("j", TN_OP_JSON_HAS_ALL, in), 0);
    }
}

static void names_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < N; i++) {
        const char *name = texts[i];
        if (strcmp(name, "seq") == 0 || strcmp(name, "a.seq") == 0) {
            continue; /* these are columns */
        }
        const char *const names[] = {name};
        tn_err err = TN_ERR_INIT;
        struct buf rows = BUF_INIT(0);
        int64_t n;
        char row[1200];
        tn_filter f = {.column = name, .op = TN_OP_EQ, .value = TN_STR("1")};
        const tn_list lists[] = {
            {.size = sizeof(tn_list), .filters = &f, .nfilters = 1, .limit = -1},
            {.size = sizeof(tn_list), .sort = names, .nsort = 1, .limit = -1},
            {.size = sizeof(tn_list), .extra = names, .nextra = 1, .limit = -1},
            {.size = sizeof(tn_list), .omit = names, .nomit = 1, .limit = -1},
            {.size = sizeof(tn_list),
             .fuzzy = TN_STR("x"),
             .fuzzy_columns = names,
             .nfuzzy = 1,
             .limit = -1},
        };
        for (size_t k = 0; k < sizeof lists / sizeof lists[0]; k++) {
            assert_int_equal(store_list(h.store, NULL, "all", &lists[k], &rows, &n, &err),
                             TN_E_INVAL);
        }
        assert_int_equal(store_remove(h.store, NULL, "all", &f, 1, &n, &err), TN_E_INVAL);
        assert_int_equal(store_update(h.store, NULL, "all", &f, 1, TN_STR("{}"), &n, &err),
                         TN_E_INVAL);
        assert_int_equal(store_list(h.store, NULL, name, &lists[0], &rows, &n, &err),
                         TN_E_NOTFOUND);
        snprintf(row, sizeof row, "{%s:1}", quoted(name));
        assert_int_equal(store_insert(h.store, NULL, "all", str_of(row), NULL, &err), TN_E_INVAL);
        buf_finish(&rows);
    }
}

/* As the text of a search, a patch and an id. */
static void other_ways_in(void **state)
{
    const char *const fuzzy[] = {"id", "t"};
    (void)state;
    for (size_t i = 0; i < N; i++) {
        tn_err err = TN_ERR_INIT;
        struct buf rows = BUF_INIT(0);
        int64_t n = -1;
        char row[1300], id[1200];
        snprintf(row, sizeof row, "{\"id\":%s,\"l\":[\"a\"]}", quoted(texts[i]));
        tn_rc rc = store_insert(h.store, NULL, "all", str_of(row), NULL, &err);
        assert_true(rc == TN_OK || rc == TN_E_CONFLICT);
        snprintf(id, sizeof id, "%s", quoted(texts[i]));
        tn_filter f = {.column = "id", .op = TN_OP_EQ, .value = str_of(id)};
        snprintf(row, sizeof row, "{\"t\":%s}", id);
        assert_int_equal(store_update(h.store, NULL, "all", &f, 1, str_of(row), &n, &err), TN_OK);
        assert_int_equal(n, 1);
        tn_list l = {.size = sizeof l,
                     .flags = TN_LIST_COUNT,
                     .limit = -1,
                     .fuzzy = str_of(texts[i]),
                     .fuzzy_columns = fuzzy,
                     .nfuzzy = 2};
        assert_int_equal(store_list(h.store, NULL, "all", &l, &rows, &n, &err), TN_OK);
        assert_true(n >= 1);
        assert_int_equal(store_remove(h.store, NULL, "all", &f, 1, &n, &err), TN_OK);
        assert_int_equal(n, 1);
        buf_finish(&rows);
    }
    assert_string_equal(harness_sql(&h, "SELECT count(*) AS n FROM t_all", NULL), "[{\"n\":0}]");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(values_round_trip),
        TEST(filters_match_only_themselves),
        TEST(names_are_refused),
        TEST(other_ways_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
