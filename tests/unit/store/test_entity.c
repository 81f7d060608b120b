/* SPDX-License-Identifier: Apache-2.0 */
/* The entity engine: what goes in comes out, in the promised form, and nothing else gets in. */
#include "harness.h"
#include "kernel/base/clock.h"
#include "kernel/base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct harness h;
static int64_t now_us = 1767225600000000; /* 2026-01-01T00:00:00Z */

static int64_t fake_wall(void)
{
    return now_us;
}

static int setup(void **state)
{
    tn_err err = TN_ERR_INIT;
    (void)state;
    clock_inject(NULL, fake_wall);
    harness_open(&h, NULL);
    if (store_define(h.store, "test", test_entities, NULL, &err) != TN_OK) {
        fprintf(stderr, "%s\n", err.msg);
        return -1;
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    harness_close(&h);
    clock_inject(NULL, NULL);
    return 0;
}

static void insert(const char *entity, const char *row)
{
    tn_err err = TN_ERR_INIT;
    if (store_insert(h.store, NULL, entity, str_of(row), NULL, &err) != TN_OK) {
        fail_msg("insert %s %s: %s", entity, row, err.msg);
    }
}

static char last_error[512];
static tn_rc try_insert(const char *entity, const char *row)
{
    tn_err err = TN_ERR_INIT;
    tn_rc rc = store_insert(h.store, NULL, entity, str_of(row), NULL, &err);
    snprintf(last_error, sizeof last_error, "%s", err.msg);
    return rc;
}

/* The rows of a list as text; *ret_total when it is wanted. */
static const char *list(const char *entity, tn_list l, int64_t *ret_total)
{
    static struct buf rows;
    tn_err err = TN_ERR_INIT;
    int64_t total = -2;
    l.size = sizeof l;
    l.flags = ret_total ? TN_LIST_COUNT : 0;
    buf_clear(&rows);
    tn_rc rc = store_list(h.store, NULL, entity, &l, &rows, &total, &err);
    if (ret_total) {
        *ret_total = total;
    }
    if (rc) {
        static char text[512];
        snprintf(text, sizeof text, "%d %s", rc, err.msg);
        return text;
    }
    return rows.data;
}
#define LIST(...) ((tn_list){.limit = -1, __VA_ARGS__})
#define FILTERS(...)                                                                               \
    .filters = (const tn_filter[]){__VA_ARGS__},                                                   \
    .nfilters = sizeof((const tn_filter[]){__VA_ARGS__}) / sizeof(tn_filter)
#define F(c, o, v)                                                                                 \
    {                                                                                              \
        .column = c, .op = TN_OP_##o, .value = { v, sizeof(v) - 1 }                                \
    }

static void rows_have_the_promised_form(void **state)
{
    (void)state;
    insert("all",
           "{\"id\":\"a1\",\"s\":\"h\xc3\xa9\",\"t\":\"x\\n\\\"y\\u0000\",\"j\":{\"k\":[1, 2.50]},"
           "\"jn\":null,\"i\":-5,\"b\":true,\"w\":\"2026-03-04T05:06:07.089+08:00\","
           "\"l\":[\"a\",\"b c\"]}");
    insert("all", "{\"id\":\"a2\"}");
    assert_string_equal(
        list("all", LIST(.flags = 0), NULL),
        "[{\"seq\":2,\"id\":\"a2\",\"s\":null,\"t\":null,\"j\":null,\"jn\":null,\"i\":null,"
        "\"b\":false,\"w\":null,\"l\":[],\"d\":\"UNKNOWN\",\"createTime\":\"2026-01-01T00:00:00.000Z\","
        "\"updateTime\":\"2026-01-01T00:00:00.000Z\"},"
        "{\"seq\":1,\"id\":\"a1\",\"s\":\"h\xc3\xa9\",\"t\":\"x\\n\\\"y\\u0000\","
        "\"j\":{\"k\":[1, 2.50]},\"jn\":null,\"i\":-5,\"b\":true,\"w\":\"2026-03-03T21:06:07.089Z\","
        "\"l\":[\"a\",\"b c\"],\"d\":\"UNKNOWN\",\"createTime\":\"2026-01-01T00:00:00.000Z\","
        "\"updateTime\":\"2026-01-01T00:00:00.000Z\"}]");
}

static void joins_show_and_filter(void **state)
{
    const char *const omit[] = {"createTime", "updateTime", "price", "isbn"};
    (void)state;
    insert("shelf", "{\"id\":\"s1\",\"room\":\"north\",\"tagsJSON\":[\"x\",1,true]}");
    insert("shelf", "{\"id\":\"s2\",\"room\":\"south\",\"open\":false}");
    insert("book", "{\"id\":\"b1\",\"title\":\"One\",\"shelfId\":\"s1\",\"secret\":\"sss\"}");
    insert("book", "{\"id\":\"b2\",\"title\":\"Two\",\"shelfId\":\"s2\"}");
    insert("book", "{\"id\":\"b3\",\"title\":\"Three\",\"shelfId\":\"none\"}");
    assert_string_equal(
        list("book", LIST(.omit = omit, .nomit = 4, FILTERS(F("shlf.room", EQ, "\"north\""))),
             NULL),
        "[{\"seq\":1,\"id\":\"b1\",\"shelfId\":\"s1\",\"title\":\"One\",\"shlf_id\":\"s1\","
        "\"shlf_room\":\"north\",\"shlf_open\":true,\"shlf_tagsJSON\":[\"x\",1,true],"
        "\"shlf_createTime\":\"2026-01-01T00:00:00.000Z\"}]");
    assert_non_null(strstr(list("book", LIST(FILTERS(F("id", EQ, "\"b3\""))), NULL),
                           "\"shlf_id\":null,\"shlf_room\":null,\"shlf_open\":null"));
    const char *const extra[] = {"secret"};
    assert_non_null(
        strstr(list("book", LIST(.extra = extra, .nextra = 1), NULL), "\"secret\":\"sss\""));
    assert_null(strstr(list("book", LIST(.flags = 0), NULL), "secret"));
}

static int count(const char *entity, tn_list l)
{
    int64_t total = -1;
    l.limit = 0;
    const char *rows = list(entity, l, &total);
    if (strcmp(rows, "[]") != 0) {
        fail_msg("%s", rows);
    }
    return (int)total;
}

static void filters(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        char row[256];
        snprintf(
            row, sizeof row,
            "{\"id\":\"a%d\",\"s\":\"%s%d\",\"i\":%d,\"b\":%s,\"w\":%lld,\"j\":[%d,\"t%d\",true]}",
            i, i % 2 ? "Odd_" : "50%", i, i, i % 3 ? "false" : "true", i * 1000000ll, i, i % 4);
        insert("all", row);
    }
    insert("all", "{\"id\":\"null\",\"j\":{\"0\":1}}");
    const struct {
        tn_filter f;
        int n;
    } cases[] = {
        {F("id", EQ, "\"a7\""), 1},
        {F("i", EQ, "7"), 1},
        {F("i", EQ, "\"7\""), 1},
        {F("a.i", GE, "15"), 5},
        {F("i", GT, "15"), 4},
        {F("i", LE, "3"), 4},
        {F("i", LT, "3"), 3},
        {F("i", NE, "3"), 19},
        {F("i", EQ, "null"), 1},
        {F("i", NE, "null"), 20},
        {F("i", IN, "[1,2,99]"), 2},
        {F("i", IN, "[]"), 0},
        {F("i", IN, "4"), 1},
        {F("s", LIKE, "\"50%\""), 10},
        {F("s", LIKE, "\"_\""), 10},
        {F("s", LIKE, "\"%1\""), 5},
        {F("s", PRELIKE, "\"Odd\""), 10},
        {F("s", PRELIKE, "\"dd\""), 0},
        {F("s", LIKE, "\"dd\""), 10},
        {F("s", LIKE, "\"\\\\\""), 0},
        {F("s", LIKE, "\"a\\u0000b\""), 0},
        {F("i", ISNULL, "true"), 1},
        {F("i", ISNULL, "false"), 20},
        {F("b", BOOL, "true"), 7},
        {F("b", BOOL, "\"false\""), 14},
        {F("w", BOOL, "true"), 19},
        {F("b", EQ, "true"), 7},
        {F("b", EQ, "\"false\""), 14},
        {F("w", GE, "\"1970-01-01T00:00:10Z\""), 10},
        {F("w", LT, "10000000"), 10},
        {F("j", JSON_HAS_ALL, "[]"), 21},
        {F("j", JSON_HAS_ALL, "[\"t1\"]"), 5},
        {F("j", JSON_HAS_ALL, "[\"t1\", 5]"), 1},
        {F("j", JSON_HAS_ALL, "[true]"), 20},
        {F("j", JSON_HAS_ALL, "[1]"), 1},
        {F("j", JSON_HAS_ALL, "\"t2\""), 5},
        {F("j", JSON_HAS_ALL, "[5.0]"), 1},
        {F("j", JSON_HAS_ALL, "[\"nope\"]"), 0},
        {F("seq", LE, "5"), 5},
        {F("createTime", GT, "0"), 21},
        {F("s", IN, "[\"50%0\", \"Odd_1\", \"x\"]"), 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int n = count("all", LIST(.filters = &cases[i].f, .nfilters = 1));
        if (n != cases[i].n) {
            fail_msg("case %zu: %s op %u %s: %d rows, not %d", i, cases[i].f.column, cases[i].f.op,
                     cases[i].f.value.s, n, cases[i].n);
        }
    }
    const char *const fuzzy[] = {"id", "s"};
    assert_int_equal(count("all", LIST(.fuzzy = TN_STR("a1"), .fuzzy_columns = fuzzy, .nfuzzy = 2)),
                     11);
    assert_int_equal(count("all", LIST(.fuzzy = TN_STR("_1"), .fuzzy_columns = fuzzy, .nfuzzy = 2)),
                     6);
    assert_int_equal(count("all", LIST(.fuzzy = TN_STR("%"), .fuzzy_columns = fuzzy, .nfuzzy = 2,
                                       FILTERS(F("i", LT, "4")))),
                     2);
}

static void refuses_unknown_names_and_wrong_values(void **state)
{
    const char *const bad_names[] = {"nope",  "a.nope", "b.id",  "id; DROP TABLE t_all",
                                     "id\"",  "",       ".",     "a.",
                                     "a.id ", "ID",     "seq--", "shlf.id"};
    (void)state;
    for (size_t i = 0; i < sizeof bad_names / sizeof bad_names[0]; i++) {
        const char *const name[] = {bad_names[i]};
        tn_filter f = {.column = bad_names[i], .op = TN_OP_EQ, .value = TN_STR("1")};
        assert_memory_equal(list("all", LIST(.filters = &f, .nfilters = 1), NULL), "-2 ", 3);
        assert_memory_equal(list("all", LIST(.sort = name, .nsort = 1), NULL), "-2 ", 3);
        assert_memory_equal(list("all", LIST(.extra = name, .nextra = 1), NULL), "-2 ", 3);
        assert_memory_equal(list("all", LIST(.omit = name, .nomit = 1), NULL), "-2 ", 3);
        assert_memory_equal(
            list("all", LIST(.fuzzy = TN_STR("x"), .fuzzy_columns = name, .nfuzzy = 1), NULL),
            "-2 ", 3);
    }
    assert_non_null(strstr(list("all", LIST(FILTERS(F("nope", EQ, "1"))), NULL), "no column nope"));
    assert_memory_equal(list("nope", LIST(.flags = 0), NULL), "-4 ", 3);
    const tn_filter bad[] = {
        F("i", EQ, "\"x\""),
        F("i", EQ, "{}"),
        F("i", EQ, "[1]"),
        F("i", EQ, "1.5"),
        F("i", EQ, "tru"),
        F("i", EQ, ""),
        F("b", EQ, "2"),
        F("b", BOOL, "7"),
        F("w", GT, "\"soon\""),
        F("s", LIKE, "[]"),
        F("s", JSON_HAS_ALL, "[1]"),
        F("i", IN, "[null]"),
        F("i", ISNULL, "null"),
        F("s", EQ, "{}"),
        {.column = "s", .op = 99, .value = TN_STR("1")},
        F("w", EQ, "\"2026-02-29T00:00:00Z\""),
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *text = list("all", LIST(.filters = &bad[i], .nfilters = 1), NULL);
        if (memcmp(text, "-2 ", 3) != 0 || !strstr(text, bad[i].column)) {
            fail_msg("case %zu: %s", i, text);
        }
    }
    const struct {
        const char *row, *why;
    } rows[] = {
        {"{\"nope\":1}", "nope"},
        {"{\"seq\":1}", "seq"},
        {"{\"s\":1}", "column s"},
        {"{\"s\":\"12345678901\"}", "at most 10 characters, not 11"},
        {"{\"i\":\"1\"}", "column i"},
        {"{\"i\":1.5}", "1.5"},
        {"{\"i\":9223372036854775808}", "64 bits"},
        {"{\"b\":null,\"b\":\"x\"}", "column b"},
        {"{\"w\":\"x\"}", "column w"},
        {"{\"w\":true}", "column w"},
        {"{\"l\":[\"a,b\"]}", "comma"},
        {"{\"l\":[1,{}]}", "column l"},
        {"{\"l\":{}}", "column l"},
        {"{\"l\":[\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]}", "at most 30"},
        {"{\"id\":\"\"}", "empty"},
        {"{\"id\":5}", "column id"},
        {"[]", "object"},
        {"{", "JSON"},
        {"{\"s\":\"a\\u0000\"}", "NUL"},
        {"{\"w\":\"2026-13-01\"}", "column w"},
        {"{\"s\\\"; --\":1}", "no column"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (try_insert("all", rows[i].row) != TN_E_INVAL || !strstr(last_error, rows[i].why)) {
            fail_msg("%s: %s", rows[i].row, last_error);
        }
    }
    assert_int_equal(try_insert("book", "{}"), TN_E_INVAL);
    assert_non_null(strstr(last_error, "title needs a value"));
    assert_int_equal(count("all", LIST(.flags = 0)), 0);
    insert("all",
           "{\"s\":\"\xe6\xa6\xab\xe6\xa6\xab\xe6\xa6\xab\xe6\xa6\xab\xe6\xa6\xab"
           "\xe6\xa6\xab\xe6\xa6\xab\xe6\xa6\xab\xe6\xa6\xab\xe6\xa6\xab\"}"); /* characters */
}

static void conflicts_name_the_column(void **state)
{
    tn_err err = TN_ERR_INIT;
    (void)state;
    insert("book", "{\"id\":\"b1\",\"title\":\"x\",\"isbn\":\"1\"}");
    assert_int_equal(
        store_insert(h.store, NULL, "book", TN_STR("{\"id\":\"b1\",\"title\":\"y\"}"), NULL, &err),
        TN_E_CONFLICT);
    assert_string_equal(err.state, "id");
    assert_int_equal(
        store_insert(h.store, NULL, "book", TN_STR("{\"title\":\"y\",\"isbn\":\"1\"}"), NULL, &err),
        TN_E_CONFLICT);
    assert_string_equal(err.state, "isbn");
    insert("all", "{\"s\":\"a\",\"i\":1}");
    insert("all", "{\"s\":\"a\",\"i\":2}");
    assert_int_equal(
        store_insert(h.store, NULL, "all", TN_STR("{\"s\":\"a\",\"i\":2}"), NULL, &err),
        TN_E_CONFLICT);
    assert_string_equal(err.state, "s,i");
    insert("all", "{\"s\":\"a\"}"); /* NULL is different from NULL */
    insert("all", "{\"s\":\"a\"}");
}

static void generates_ids(void **state)
{
    struct buf id = BUF_INIT(0), id2 = BUF_INIT(0);
    (void)state;
    assert_int_equal(store_insert(h.store, NULL, "all", TN_STR("{}"), &id, NULL), TN_OK);
    assert_int_equal(store_insert(h.store, NULL, "all", TN_STR("{\"id\":null}"), &id2, NULL),
                     TN_OK);
    assert_int_equal(id.len, 4 + 16);
    assert_memory_equal(id.data, "all-", 4);
    assert_string_not_equal(id.data, id2.data);
    buf_finish(&id);
    buf_finish(&id2);
}

static void sorts_and_pages(void **state)
{
    const char *const omit[] = {"createTime", "updateTime", "s", "t", "j",  "jn",
                                "b",          "w",          "l", "d", "seq"};
    (void)state;
    for (int i = 0; i < 7; i++) {
        char row[64];
        snprintf(row, sizeof row, "{\"id\":\"a%d\",\"i\":%d}", i, i % 3);
        insert("all", row);
    }
    tn_list l = LIST(.omit = omit, .nomit = 11);
    int64_t total;
    const char *const by_i[] = {"i"}, *const by_i_down[] = {"-a.i", "id"};
    l.limit = 3;
    l.sort = by_i;
    l.nsort = 1;
    assert_string_equal(
        list("all", l, &total),
        "[{\"id\":\"a6\",\"i\":0},{\"id\":\"a3\",\"i\":0},{\"id\":\"a0\",\"i\":0}]");
    assert_int_equal(total, 7);
    l.offset = 5;
    assert_string_equal(list("all", l, &total),
                        "[{\"id\":\"a5\",\"i\":2},{\"id\":\"a2\",\"i\":2}]");
    assert_int_equal(total, 7);
    l.limit = -1;
    l.offset = 6;
    assert_string_equal(list("all", l, &total), "[{\"id\":\"a2\",\"i\":2}]");
    assert_int_equal(total, 7);
    l.offset = 0;
    l.limit = 2;
    l.sort = by_i_down;
    l.nsort = 2;
    assert_string_equal(list("all", l, NULL), "[{\"id\":\"a2\",\"i\":2},{\"id\":\"a5\",\"i\":2}]");
    l.nsort = 0; /* newest first */
    l.marker = 4;
    assert_string_equal(list("all", l, &total),
                        "[{\"id\":\"a2\",\"i\":2},{\"id\":\"a1\",\"i\":1}]");
    assert_int_equal(total, 7);
    l.limit = 0;
    assert_string_equal(list("all", l, NULL), "[]");
}

static void updates_and_removes(void **state)
{
    tn_err err = TN_ERR_INIT;
    int64_t n = -1;
    (void)state;
    insert("shelf", "{\"id\":\"s1\",\"room\":\"north\"}");
    insert("book", "{\"id\":\"b1\",\"title\":\"One\",\"shelfId\":\"s1\"}");
    insert("book", "{\"id\":\"b2\",\"title\":\"Two\"}");
    now_us += 1500000;
    const tn_filter one = F("id", EQ, "\"b1\""), north = F("shlf.room", EQ, "\"north\""),
                    none = F("id", EQ, "\"zz\"");
    assert_int_equal(store_update(h.store, NULL, "book", &one, 1,
                                  TN_STR("{\"title\":\"Uno\",\"price\":7}"), &n, &err),
                     TN_OK);
    assert_int_equal(n, 1);
    const char *text = list("book", LIST(FILTERS(F("id", EQ, "\"b1\""))), NULL);
    assert_non_null(strstr(text, "\"title\":\"Uno\""));
    assert_non_null(strstr(text, "\"price\":7"));
    assert_non_null(strstr(text, "\"createTime\":\"2026-01-01T00:00:00.000Z\""));
    assert_non_null(strstr(text, "\"updateTime\":\"2026-01-01T00:00:01.500Z\""));
    now_us -= 1500000;
    assert_int_equal(
        store_update(h.store, NULL, "book", &north, 1, TN_STR("{\"price\":null}"), &n, &err),
        TN_OK);
    assert_int_equal(n, 1);
    assert_int_equal(
        store_update(h.store, NULL, "book", &none, 1, TN_STR("{\"price\":1}"), &n, &err), TN_OK);
    assert_int_equal(n, 0);
    assert_int_equal(
        store_update(h.store, NULL, "book", NULL, 0, TN_STR("{\"price\":1}"), &n, &err),
        TN_E_INVAL);
    assert_int_equal(
        store_update(h.store, NULL, "book", &one, 1, TN_STR("{\"createTime\":1}"), &n, &err),
        TN_E_INVAL);
    assert_int_equal(
        store_update(h.store, NULL, "book", &one, 1, TN_STR("{\"title\":null}"), &n, &err),
        TN_E_INVAL);
    assert_int_equal(
        store_update(h.store, NULL, "book", &one, 1, TN_STR("{\"id\":\"b2\"}"), &n, &err),
        TN_E_CONFLICT);
    assert_int_equal(store_remove(h.store, NULL, "book", NULL, 0, &n, &err), TN_E_INVAL);
    assert_int_equal(store_remove(h.store, NULL, "book", &north, 1, &n, &err), TN_OK);
    assert_int_equal(n, 1);
    assert_int_equal(count("book", LIST(.flags = 0)), 1);
}

static void transactions(void **state)
{
    struct store_txn *t;
    tn_err err = TN_ERR_INIT;
    struct buf rows = BUF_INIT(0);
    int64_t total = -1;
    tn_list l = {.size = sizeof l, .limit = -1, .flags = TN_LIST_COUNT};
    (void)state;
    assert_int_equal(store_begin(h.store, &t, &err), TN_OK);
    assert_int_equal(store_insert(h.store, t, "all", TN_STR("{\"id\":\"x\"}"), NULL, &err), TN_OK);
    assert_int_equal(store_list(h.store, t, "all", &l, &rows, &total, &err), TN_OK);
    assert_int_equal(total, 1);                          /* sees its own */
    assert_int_equal(count("all", LIST(.flags = 0)), 0); /* others do not */
    assert_int_equal(store_insert(h.store, NULL, "all", TN_STR("{}"), NULL, &err), TN_E_INVAL);
    assert_non_null(strstr(err.msg, "open transaction"));
    assert_int_equal(store_insert(h.store, t, "all", TN_STR("{\"id\":\"x\"}"), NULL, &err),
                     TN_E_CONFLICT);
    store_rollback(h.store, t);
    assert_int_equal(count("all", LIST(.flags = 0)), 0);

    assert_int_equal(store_begin(h.store, &t, &err), TN_OK);
    assert_int_equal(store_insert(h.store, t, "all", TN_STR("{\"id\":\"x\"}"), NULL, &err), TN_OK);
    assert_int_equal(store_insert(h.store, t, "all", TN_STR("{\"id\":\"x\"}"), NULL, &err),
                     TN_E_CONFLICT);
    assert_int_equal(store_commit(h.store, t, &err), TN_OK); /* a conflict does not end it */
    assert_int_equal(count("all", LIST(.flags = 0)), 1);

    /* A failure of another kind does: nothing may follow, nothing is kept. */
    assert_int_equal(store_begin(h.store, &t, &err), TN_OK);
    assert_int_equal(store_insert(h.store, t, "all", TN_STR("{\"id\":\"y\"}"), NULL, &err), TN_OK);
    assert_int_equal(
        store_sql(h.store, t, "UPDATE nope SET x = 1", (tn_str){NULL, 0}, NULL, NULL, &err),
        TN_E_REMOTE);
    assert_int_equal(store_insert(h.store, t, "all", TN_STR("{\"id\":\"z\"}"), NULL, &err),
                     TN_E_REMOTE);
    assert_int_equal(store_commit(h.store, t, &err), TN_E_REMOTE);
    assert_non_null(strstr(err.msg, "nope"));
    assert_int_equal(count("all", LIST(.flags = 0)), 1);
    store_rollback(h.store, NULL);
    insert("all", "{\"id\":\"after\"}");
    buf_finish(&rows);
}

static void free_sql(void **state)
{
    struct buf rows = BUF_INIT(0);
    int64_t n = -1;
    tn_err err = TN_ERR_INIT;
    (void)state;
    assert_string_equal(harness_sql(&h, "SELECT ? AS a, ? AS b, ? AS c, ? AS d, ? AS e",
                                    "[1, 2.5, \"x\\n\", null, true]"),
                        "[{\"a\":1,\"b\":2.5,\"c\":\"x\\n\",\"d\":null,\"e\":1}]");
    insert("all", "{\"id\":\"a\"}");
    assert_int_equal(
        store_sql(h.store, NULL, "UPDATE t_all SET i = ?", TN_STR("[5]"), &rows, &n, &err), TN_OK);
    assert_int_equal(n, 1);
    assert_string_equal(rows.data, "[]");
    assert_string_equal(harness_sql(&h, "SELECT i FROM t_all", NULL), "[{\"i\":5}]");
    assert_int_equal(
        store_sql(h.store, NULL, "SELECT 1; SELECT 2", (tn_str){NULL, 0}, &rows, &n, &err),
        TN_E_INVAL);
    assert_int_equal(store_sql(h.store, NULL, "SELECT ?", TN_STR("{}"), &rows, &n, &err),
                     TN_E_INVAL);
    assert_int_equal(store_sql(h.store, NULL, "SELECT ?", TN_STR("[1,2]"), &rows, &n, &err),
                     TN_E_INVAL);
    assert_int_equal(store_sql(h.store, NULL, "SELECT ?", TN_STR("[1"), &rows, &n, &err),
                     TN_E_INVAL);
    assert_int_equal(
        store_sql(h.store, NULL, "ATTACH '/tmp/x.db' AS y", (tn_str){NULL, 0}, &rows, &n, &err),
        TN_E_DENIED);
    assert_string_equal(rows.data, "[]"); /* failures add nothing */
    buf_finish(&rows);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(rows_have_the_promised_form),
        TEST(joins_show_and_filter),
        TEST(filters),
        TEST(refuses_unknown_names_and_wrong_values),
        TEST(conflicts_name_the_column),
        TEST(generates_ids),
        TEST(sorts_and_pages),
        TEST(updates_and_removes),
        TEST(transactions),
        TEST(free_sql),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
