/* SPDX-License-Identifier: Apache-2.0 */
/* `?` and `??` by a table of cases: dialect, statement, parameters, what is sent and bound. */
#include "tests/unit/base/unit.h"

#include "common/sql_text.h"
#include "kernel/base/buf.h"
#include "kernel/base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const tn_host host = {.fail = err_set};

static const struct sql_dialect pg = {
    .flags = SQL_DOLLAR_PARAMS | SQL_DOLLAR_QUOTES | SQL_NESTED_NOTES, .quote = '"', .fold = 'l'};
static const struct sql_dialect my = {.flags = SQL_BACKSLASH | SQL_MYSQL_NOTES, .quote = '`'};
static const struct sql_dialect ms = {.flags = SQL_NULL_TEXT | SQL_NESTED_NOTES, .quote = '['};
static const struct sql_dialect ora = {
    .flags = SQL_COLON_PARAMS | SQL_Q_QUOTES, .quote = '"', .fold = 'u'};

#define S(z)                                                                                       \
    {                                                                                              \
        .type = TN_T_STR, .n = sizeof(z) - 1, .u.s = (z)                                           \
    }
#define I(v)                                                                                       \
    {                                                                                              \
        .type = TN_T_INT, .u.i = (v)                                                               \
    }
#define L(a)                                                                                       \
    {                                                                                              \
        .type = TN_T_LIST, .n = sizeof(a) / sizeof(*(a)), .u.list = (a)                            \
    }
#define SET(a)                                                                                     \
    {                                                                                              \
        .type = TN_T_LIST, .flags = TN_V_SET, .n = sizeof(a) / sizeof(*(a)), .u.list = (a)         \
    }
#define M(a)                                                                                       \
    {                                                                                              \
        .type = TN_T_MAP, .n = sizeof(a) / sizeof(*(a)), .u.map = (a)                              \
    }

static const struct sql_dialect ansi = {.flags = SQL_BACKSLASH | SQL_MYSQL_NOTES | SQL_DOUBLE_NAMES,
                                        .quote = '`'};

static const tn_val one[] = {I(1)};
static const tn_val two[] = {I(1), S("b")};
static const tn_val list_in[] = {L(two)};
static const tn_val rows_of[] = {L(two), L(two)};
static const tn_val rows_in[] = {L(rows_of)};
static const tn_pair pairs[] = {{S("a"), I(1)}, {S("Odd \"N"), S("x")}};
static const tn_val dict_in[] = {M(pairs), I(7)};
static const tn_val empty_in[] = {{.type = TN_T_LIST}};
static const tn_val name_x[] = {S("MyTable"), I(5)};
static const tn_val name_dots[] = {S("Sch.\"My.T\".Col")};
static const tn_val name_odd[] = {S("a b\"c"), S("x`y"), S("p]q")};
static const tn_val names_of[] = {S("a"), S("b.c")};
static const tn_val names_in[] = {L(names_of)};
static const tn_val with_none[] = {{.type = TN_T_NULL}, I(1)};
static const tn_val hostile[] = {S("x; DROP TABLE y --")};

static const struct {
    const struct sql_dialect *d;
    const char *sql;
    tn_val params;
    const char *want;
    uint32_t binds;
} cases[] = {
    {&ora, "SELECT q'[it's ?]', nq'!it's ?!', Q'x?x', ? FROM t", L(one),
     "SELECT q'[it's ?]', nq'!it's ?!', Q'x?x', :1 FROM t", 1},
    {&ora, "SELECT seq'?', aq, q'{?", L(one), "SELECT seq'?', aq, q'{?", 0},
    {&my, "SELECT q'[?', ?", L(one), "SELECT q'[?', ?", 1},
    {&pg, "  SELECT 1\n", {.type = TN_T_NULL}, "SELECT 1", 0},
    {&pg, "SELECT '?', ?", {.type = TN_T_NULL}, "SELECT '?', ?", 0},
    {&pg, "SELECT ?", L(one), "SELECT $1", 1},
    {&pg, "SELECT ?", I(3), "SELECT $1", 1},
    {&pg, "SELECT ?", I(0), "SELECT ?", 0},
    {&my, "SELECT ?, ?", L(two), "SELECT ?, ?", 2},
    {&pg, "IN (?)", L(list_in), "IN ($1, $2)", 2},
    {&pg, "IN (?)", L(empty_in), "IN (NULL)", 0},
    {&pg, "VALUES ?", L(rows_in), "VALUES ($1, $2), ($3, $4)", 4},
    {&pg, "SET ? WHERE id = ?", L(dict_in), "SET \"a\" = $1, \"Odd \"\"N\" = $2 WHERE id = $3", 3},
    {&my, "SET ? WHERE id = ?", L(dict_in), "SET `a` = ?, `Odd \"N` = ? WHERE id = ?", 3},
    {&pg, "FROM ?? WHERE x = ?", L(name_x), "FROM \"mytable\" WHERE x = $1", 1},
    {&ora, "FROM ?? WHERE x = ?", L(name_x), "FROM \"MYTABLE\" WHERE x = :1", 1},
    {&ora, "SET ? WHERE id = ?", L(dict_in), "SET \"A\" = :1, \"Odd \"\"N\" = :2 WHERE id = :3", 3},
    {&ms, "VALUES (?, ?)", L(with_none), "VALUES (NULL, ?)", 1},
    {&my, "VALUES (?, ?)", L(with_none), "VALUES (?, ?)", 2},
    {&my, "FROM ?? WHERE x = ?", L(name_x), "FROM `MyTable` WHERE x = ?", 1},
    {&ms, "FROM ?? WHERE x = ?", L(name_x), "FROM [MyTable] WHERE x = ?", 1},
    {&pg, "??", L(name_dots), "\"sch\".\"My.T\".\"col\"", 0},
    {&pg, "?? ?? ??", L(name_odd), "\"a b\"\"c\" \"x`y\" \"p]q\"", 0},
    {&my, "?? ?? ??", L(name_odd), "`a b\"c` `x``y` `p]q`", 0},
    {&ms, "?? ?? ??", L(name_odd), "[a b\"c] [x`y] [p]]q]", 0},
    {&pg, "SELECT ??", L(names_in), "SELECT \"a\", \"b\".\"c\"", 0},
    {&pg, "FROM ??", L(hostile), "FROM \"x; DROP TABLE y --\"", 0},
    {&pg, "a ??? b ???? ?", L(one), "a ??? b ???? $1", 1},
    {&pg, "? ?", L(one), "$1 ?", 1},
    {&pg, "?", L(two), "$1", 1},
    {&pg, "'?' \"?\" ?", L(one), "'?' \"?\" $1", 1},
    {&pg, "'it''s ?' ?", L(one), "'it''s ?' $1", 1},
    {&pg, "'\\' ?", L(one), "'\\' $1", 1},
    {&pg, "E'\\' ?' ?", L(one), "E'\\' ?' $1", 1},
    {&pg, "name'\\' ?", L(one), "name'\\' $1", 1},
    {&my, "'\\' ?' ?", L(one), "'\\' ?' ?", 1},
    {&my, "`?` # ?\n ?", L(one), "`?` # ?\n ?", 1},
    {&pg, "-- ?\n?", L(one), "-- ?\n$1", 1},
    {&my, "5--? -- ?\n--", L(one), "5--? -- ?\n--", 1},
    {&my, "5 --\t? \n ?", L(one), "5 --\t? \n ?", 1},
    {&my, "1 /*!50000 + ? */ /*M! '?' ? */ /* ? */", L(two),
     "1 /*!50000 + ? */ /*M! '?' ? */ /* ? */", 2},
    {&my, "\"a\\\" ?\" ?", L(one), "\"a\\\" ?\" ?", 1},
    {&ansi, "\"a\\\" ? 'b\\' ?'", L(one), "\"a\\\" ? 'b\\' ?'", 1},
    {&pg, "j ? 'k' AND id = $1", L(one), "j ? 'k' AND id = $1", 1},
    {&pg, "j ?| $2 AND j ?? $1", L(two), "j ?| $2 AND j ?? $1", 2},
    {&pg, "a$1 = ? AND '$1' <> $$ $1 $$", L(one), "a$1 = $1 AND '$1' <> $$ $1 $$", 1},
    {&pg, "IN (?)", SET(two), "IN ($1, $2)", 2},
    {&pg, "/* ? /* ? */ ? */ ?", L(one), "/* ? /* ? */ ? */ $1", 1},
    {&my, "/* ? /* ? */ ?", L(one), "/* ? /* ? */ ?", 1},
    {&pg, "$$ ? $$ ?", L(one), "$$ ? $$ $1", 1},
    {&pg, "$a$ ? $$ ? $a$ ?", L(one), "$a$ ? $$ ? $a$ $1", 1},
    {&pg, "x$1 ?", L(one), "x$1 $1", 1},
    {&pg, "$1 + $2", L(two), "$1 + $2", 2},
    {&pg, "$1::int $2", L(two), "$1::int $2", 2},
    {&ms, "[?] ?", L(one), "[?] ?", 1},
    {&pg, "'unended ?", L(one), "'unended ?", 0},
    {&pg, "/* unended ?", L(one), "/* unended ?", 0},
    {&pg, "$$ unended ?", L(one), "$$ unended ?", 0},
    {&pg, "?", L(hostile), "$1", 1},
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sql_text t;
        tn_err err = TN_ERR_INIT;
        tn_str sql = {cases[i].sql, strlen(cases[i].sql)};
        if (sql_translate(&host, cases[i].d, sql, &cases[i].params, &t, &err) != TN_OK) {
            fail_msg("%s: %s", cases[i].sql, err.msg);
        }
        if (strcmp(t.sql, cases[i].want) != 0 || t.nbinds != cases[i].binds) {
            fail_msg("%s became %s with %u, not %s with %u", cases[i].sql, t.sql, t.nbinds,
                     cases[i].want, cases[i].binds);
        }
        sql_text_finish(&t);
    }
}

static void test_refused(void **state)
{
    static const tn_val no_name[] = {I(1)};
    static const tn_val empty_name[] = {S("")};
    static const tn_val dot_name[] = {S("a.")};
    static const tn_val dots_name[] = {S("a..b")};
    static const tn_val nul_name[] = {S("a\0b")};
    static const tn_val empty_list[] = {{.type = TN_T_LIST}};
    static const tn_val empty_map[] = {{.type = TN_T_MAP}};
    static const struct {
        tn_str sql;
        tn_val params;
        const char *says;
    } bad[] = {
        {{"", 0}, {.type = TN_T_NULL}, "empty"},       {{" \n", 2}, {.type = TN_T_NULL}, "empty"},
        {{"a\0b", 3}, {.type = TN_T_NULL}, "NUL"},     {{"??", 2}, L(no_name), "use ? for values"},
        {{"??", 2}, L(empty_name), "1 to 256 bytes"},  {{"??", 2}, L(dot_name), "ends in a dot"},
        {{"??", 2}, L(dots_name), "empty part"},       {{"??", 2}, L(nul_name), "without NUL"},
        {{"??", 2}, L(empty_list), "a list of names"}, {{"SET ?", 5}, L(empty_map), "empty dict"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sql_text t = {0};
        tn_err err = TN_ERR_INIT;
        assert_int_equal(sql_translate(&host, &pg, bad[i].sql, &bad[i].params, &t, &err),
                         TN_E_INVAL);
        if (strstr(err.msg, bad[i].says) == NULL) {
            fail_msg("%zu: %s", i, err.msg);
        }
        assert_null(t.sql);
    }
}

static size_t calls(void *ctx, char *ret, size_t cap)
{
    return (size_t)snprintf(ret, cap, "%s", (const char *)ctx);
}

/* The label stands in front, and nothing in it can end the comment. */
static void test_label(void **state)
{
    static const tn_str sql = {"SELECT ?", 8};
    char name[] = "s__a.f */ x";
    const tn_val value = {.type = TN_T_INT, .u.i = 1};
    tn_host labelled = {.size = sizeof labelled, .fail = err_set, .ctx = name, .caller = calls};
    struct sql_text t;
    tn_err err = TN_ERR_INIT;
    (void)state;
    assert_int_equal(sql_translate(&labelled, &pg, sql, &value, &t, &err), TN_OK);
    assert_string_equal(t.sql, "/* s__a.f____x */ SELECT $1");
    assert_int_equal(t.label, strlen("/* s__a.f____x */ "));
    sql_text_finish(&t);
    name[0] = '\0';
    assert_int_equal(sql_translate(&labelled, &pg, sql, &value, &t, &err), TN_OK);
    assert_string_equal(t.sql, "SELECT $1");
    assert_int_equal(t.label, 0);
    sql_text_finish(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases), cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_label)};
    return cmocka_run_group_tests_name("sql_text", tests, NULL, NULL);
}
