/* SPDX-License-Identifier: Apache-2.0 */
/* Definitions and migrations: a database grows with the program and is never changed behind its
 * back. */
#include "harness.h"
#include "kernel/base/fd.h"
#include "kernel/base/str.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

static struct harness h;

static int setup(void **state)
{
    (void)state;
    harness_open(&h, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    harness_close(&h);
    return 0;
}

#define COL(n, t, f, d)                                                                            \
    {                                                                                              \
        .name = n, .type = TN_COL_##t, .flags = f, .dflt = d                                       \
    }
#define ID COL("id", STR, TN_COL_NOT_NULL, NULL)
static const tn_column old_columns[] = {ID, COL("name", STR, 0, NULL), {.name = NULL}};
static const tn_column new_columns[] = {ID,
                                        COL("name", STR, TN_COL_INDEX, NULL),
                                        COL("size", INT, TN_COL_NOT_NULL, NULL),
                                        COL("note", TEXT, TN_COL_NOT_NULL, "'it''s'"),
                                        COL("doc", JSON, TN_COL_NOT_NULL, NULL),
                                        {.name = NULL}};
static const char *const uniques[] = {"name,size", NULL};
static const tn_entity old_entity[] = {
    {.name = "thing", .alias = "t", .table = "t_thing", .columns = old_columns}, {.name = NULL}};
static const tn_entity new_entity[] = {
    {.name = "thing", .alias = "t", .table = "t_thing", .columns = new_columns, .uniques = uniques},
    {.name = NULL}};

#define M1                                                                                         \
    {                                                                                              \
        .seq = 1, .dialect = "*", .title = "seed",                                                 \
        .sql =                                                                                     \
            "INSERT INTO t_thing (id, name, createTime, updateTime) VALUES ('seed', 'x', 0, 0);"   \
    }
#define M2                                                                                         \
    {                                                                                              \
        .seq = 2, .dialect = "sqlite", .title = "second",                                          \
        .sql = "UPDATE t_thing SET name = 'y'; UPDATE t_thing SET name = name || 'z';"             \
    }
#define M3                                                                                         \
    {                                                                                              \
        .seq = 5, .flags = TN_MIGRATION_UPGRADE, .dialect = "sqlite", .title = "upgrade",          \
        .sql = "UPDATE t_thing SET name = 'up'"                                                    \
    }
static const tn_migration v1[] = {M1, {.seq = 0}};
static const tn_migration v3[] = {
    M1, M2, {.seq = 3, .dialect = "postgresql", .title = "no", .sql = "nonsense"}, M3, {.seq = 0}};

static tn_rc define(const tn_entity *e, const tn_migration *m, tn_err *err)
{
    tn_err local = TN_ERR_INIT;
    tn_rc rc = store_define(h.store, "o", e, m, err ? err : &local);
    if (rc && !err) {
        fail_msg("%s", local.msg);
    }
    return rc;
}

static int backups(void)
{
    char path[256];
    int n = 0;
    snprintf(path, sizeof path, "%s/backup", h.dir);
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        snprintf(path, sizeof path, "%s/backup/%.100s", h.dir, e->d_name);
        if (strstr(e->d_name, ".db")) {
            assert_int_equal(stat(path, &st), 0);
            assert_int_equal(st.st_mode & 0777, 0600);
            assert_true(st.st_size > 4096);
            assert_null(strstr(e->d_name, ".part"));
            n++;
        }
    }
    if (d) {
        closedir(d);
    }
    return n;
}

static void a_new_database_gets_everything(void **state)
{
    (void)state;
    define(old_entity, v3, NULL);
    assert_string_equal(harness_sql(&h, "SELECT id, name FROM t_thing", NULL),
                        "[{\"id\":\"seed\",\"name\":\"yz\"}]");
    assert_string_equal(
        harness_sql(&h, "SELECT number, title FROM tn_migration ORDER BY number", NULL),
        "[{\"number\":1,\"title\":\"seed\"},{\"number\":2,\"title\":\"second\"},"
        "{\"number\":5,\"title\":\"upgrade\"}]");
    define(old_entity, v3, NULL); /* again: nothing to do */
    harness_reopen(&h);
    define(old_entity, v3, NULL);
    assert_int_equal(backups(), 0);
}

static void an_old_database_grows(void **state)
{
    (void)state;
    define(old_entity, v1, NULL);
    harness_reopen(&h);
    define(new_entity, v3, NULL);
    assert_string_equal(
        harness_sql(&h, "SELECT id, name, size, note, doc FROM t_thing", NULL),
        "[{\"id\":\"seed\",\"name\":\"up\",\"size\":0,\"note\":\"it's\",\"doc\":\"null\"}]");
    assert_int_equal(backups(), 1);
    harness_reopen(&h);
    define(new_entity, v3, NULL);
    assert_int_equal(backups(), 1);
    tn_err err = TN_ERR_INIT;
    assert_int_equal(store_insert(h.store, NULL, "thing",
                                  TN_STR("{\"name\":\"up\",\"size\":0,\"doc\":1}"), NULL, &err),
                     TN_E_CONFLICT); /* the new unique index is there */
    assert_string_equal(
        harness_sql(
            &h,
            "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY name",
            NULL),
        "[{\"name\":\"t_thing__id\"},{\"name\":\"t_thing__name\"},{\"name\":\"t_thing__name_size\"}]");
}

static void the_backup_is_the_old_database(void **state)
{
    char command[600];
    (void)state;
    define(old_entity, v1, NULL);
    harness_reopen(&h);
    define(new_entity, v3, NULL);
    harness_close_store(&h);
    snprintf(command, sizeof command, "rm -f %s/config.db* && cp %s/backup/*.db %s/config.db",
             h.dir, h.dir, h.dir);
    assert_int_equal(system(command), 0);
    harness_reopen(&h);
    assert_string_equal(harness_sql(&h, "SELECT name FROM t_thing", NULL), "[{\"name\":\"x\"}]");
    define(new_entity, v3, NULL); /* and it can be upgraded again */
    assert_string_equal(harness_sql(&h, "SELECT name FROM t_thing", NULL), "[{\"name\":\"up\"}]");
}

static void edited_and_newer_are_refused(void **state)
{
    static const tn_migration edited[] = {
        {.seq = 1, .dialect = "*", .title = "seed", .sql = "SELECT 1"}, {.seq = 0}};
    static const tn_migration unordered[] = {M2, M1, {.seq = 0}};
    tn_err err = TN_ERR_INIT;
    (void)state;
    define(old_entity, v3, NULL);
    harness_reopen(&h);
    assert_int_equal(define(old_entity, edited, &err), TN_E_CONFIG);
    assert_non_null(strstr(err.msg, "was edited"));
    assert_int_equal(define(old_entity, v1, &err), TN_E_CONFIG);
    assert_non_null(strstr(err.msg, "newer than this program"));
    assert_non_null(strstr(err.msg, "migration 5"));
    assert_int_equal(define(old_entity, NULL, &err), TN_E_CONFIG);
    assert_int_equal(define(old_entity, unordered, &err), TN_E_INVAL);
    assert_int_equal(backups(), 0); /* refused before anything was touched */
    define(old_entity, v3, NULL);
}

static void a_failed_migration_leaves_nothing(void **state)
{
    static const tn_migration bad[] = {
        M1,
        {.seq = 2,
         .dialect = "*",
         .title = "broken",
         .sql = "CREATE TABLE half (x); INSERT INTO half VALUES (1); SELECT nope;"},
        {.seq = 0}};
    static const tn_migration fixed[] = {
        M1,
        {.seq = 2, .dialect = "*", .title = "fixed", .sql = "CREATE TABLE half (x);"},
        {.seq = 0}};
    tn_err err = TN_ERR_INIT;
    (void)state;
    assert_int_equal(define(old_entity, bad, &err), TN_E_REMOTE);
    assert_non_null(strstr(err.msg, "migration 2"));
    assert_non_null(strstr(err.msg, "statement 3"));
    assert_string_equal(
        harness_sql(&h, "SELECT count(*) AS n FROM sqlite_schema WHERE name = 'half'", NULL),
        "[{\"n\":0}]");
    assert_string_equal(harness_sql(&h, "SELECT max(number) AS n FROM tn_migration", NULL),
                        "[{\"n\":1}]");
    define(old_entity, fixed, NULL); /* what never ran may still be corrected */
    assert_string_equal(harness_sql(&h, "SELECT max(number) AS n FROM tn_migration", NULL),
                        "[{\"n\":2}]");
}

static void wrong_definitions_are_refused(void **state)
{
    static const tn_column no_id[] = {COL("x", INT, 0, NULL), {.name = NULL}};
    static const tn_column twice[] = {
        ID, COL("x", INT, 0, NULL), COL("x", STR, 0, NULL), {.name = NULL}};
    static const tn_column ours[] = {ID, COL("seq", INT, 0, NULL), {.name = NULL}};
    static const tn_column quote[] = {ID, COL("a\"b", INT, 0, NULL), {.name = NULL}};
    static const tn_column type[] = {ID, {.name = "x", .type = 42}, {.name = NULL}};
    static const char *const bad_unique[] = {"id,nope", NULL}, *const shown[] = {"id", "nope",
                                                                                 NULL};
    static const tn_join no_entity[] = {{"nobody", "n", "t.name", "id", "n_", NULL},
                                        {.entity = NULL}};
    static const tn_join no_left[] = {{"thing", "n", "t.nope", "id", "n_", NULL}, {.entity = NULL}};
    static const tn_join no_right[] = {{"thing", "n", "t.name", "nope", "n_", NULL},
                                       {.entity = NULL}};
    static const tn_join no_column[] = {{"thing", "n", "t.name", "id", "n_", shown},
                                        {.entity = NULL}};
    static const tn_join prefix[] = {{"thing", "n", "t.name", "id", "\"", shown}, {.entity = NULL}};
    static const tn_join later[] = {{"thing", "a", "b.name", "id", "a_", NULL},
                                    {"thing", "b", "t.name", "id", "b_", NULL},
                                    {.entity = NULL}};
#define E(...)                                                                                     \
    {                                                                                              \
        {.name = "thing", .alias = "t", .table = "t_thing", .columns = old_columns, __VA_ARGS__},  \
        {                                                                                          \
            .name = NULL                                                                           \
        }                                                                                          \
    }
    static const tn_entity bad[][2] = {
        {{.name = "thing", .alias = "t", .table = "t_thing", .columns = no_id}, {.name = NULL}},
        {{.name = "thing", .alias = "t", .table = "t_thing", .columns = twice}, {.name = NULL}},
        {{.name = "thing", .alias = "t", .table = "t_thing", .columns = ours}, {.name = NULL}},
        {{.name = "thing", .alias = "t", .table = "t_thing", .columns = quote}, {.name = NULL}},
        {{.name = "thing", .alias = "t", .table = "t_thing", .columns = type}, {.name = NULL}},
        {{.name = "thing", .alias = "t", .table = "t thing", .columns = old_columns},
         {.name = NULL}},
        {{.name = "thing", .alias = "t;", .table = "t_thing", .columns = old_columns},
         {.name = NULL}},
        E(.uniques = bad_unique),
        E(.joins = no_entity),
        E(.joins = no_left),
        E(.joins = no_right),
        E(.joins = no_column),
        E(.joins = prefix),
        E(.joins = later),
        E(.order = "t.nope"),
        E(.order = "t.id SIDEWAYS"),
        E(.order = "t.id; DROP TABLE x"),
        E(.order = "1"),
    };
    tn_err err = TN_ERR_INIT;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        tn_rc rc = define(bad[i], NULL, &err);
        if (rc != TN_E_INVAL && rc != TN_E_NOTFOUND) {
            fail_msg("definition %zu: %d", i, rc);
        }
    }
    assert_string_equal(
        harness_sql(&h, "SELECT count(*) AS n FROM sqlite_schema WHERE name LIKE 't%thing%'", NULL),
        "[{\"n\":0}]");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_new_database_gets_everything),    TEST(an_old_database_grows),
        TEST(the_backup_is_the_old_database),    TEST(edited_and_newer_are_refused),
        TEST(a_failed_migration_leaves_nothing), TEST(wrong_definitions_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
