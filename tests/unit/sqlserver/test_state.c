/* SPDX-License-Identifier: Apache-2.0 */
/* Which statements leave nothing in a session: a table of both kinds, every prefix of every one, and odd bytes. */
#include "tests/unit/base/unit.h"

#include "sqlserver/state.h"

#include <stdlib.h>
#include <string.h>

static const char *const clean[] = {
    "SELECT 1",
    "/* set.script.f */ SELECT * FROM t WHERE a = ? -- SET x",
    "select 'SET LOCK_TIMEOUT 5; EXEC x' AS [SET], \"USE\" FROM t",
    "UPDATE t SET a = 1, b = 'it''s; x' WHERE c IN (?, ?)",
    "INSERT INTO t ([a#], [x;y]) VALUES (?, NULL), (?, ?)",
    "DELETE FROM t /* a /* ; */ EXEC */ WHERE 1 = 1",
    "WITH s AS (SELECT 1 AS a) SELECT a FROM s",
    "MERGE t USING s ON t.a = s.a WHEN MATCHED THEN UPDATE SET t.b = s.b WHEN NOT MATCHED THEN INSERT (a) VALUES (s.a)",
};
static const char *const leaving[] = {
    "",
    "  ",
    "-- nothing",
    "SET LOCK_TIMEOUT 5",
    "USE master",
    "CREATE TABLE #t (x int)",
    "SELECT 1 AS a INTO #t",
    "SELECT * FROM ##t",
    "SELECT 1 AS a INTO [#t]",
    "SELECT 1 AS a INTO \"#t\"",
    "SELECT 1 AS a INTO tempdb..[##t]",
    "EXEC p",
    "execute p",
    "p",
    "sp_setapprole 'a', 'b'",
    "BEGIN TRANSACTION",
    "SELECT 1; SELECT 2",
    "SELECT 1 SET NOCOUNT ON",
    "UPDATE t SET a = 1 SET LOCK_TIMEOUT 5",
    "SELECT 1 EXEC p",
    "DECLARE @a int",
    "{call p}",
    "SELECT 1 /* ' */ USE master",
    "SELECT '' USE master",
    "SELECT [a]]] USE master",
    "SELECT 'a' -- '\nUSE master",
    "SELECT 1 WAITFOR DELAY '1'",
    "WITH x AS (SELECT 1 a) SELECT a INTO #y FROM x",
    "SELECT 1 COMMIT",
    "KILL 5",
    "SELECT 1 DROP TABLE t",
    "OPEN c",
    "SELECT 1 REVERT",
    "ALTER TABLE t ADD x int",
};

static bool leaves(const char *text, size_t n)
{
    char *exact = malloc(n + 1); /* so that a sanitizer sees a byte too many */
    assert_non_null(exact);
    memcpy(exact, text, n);
    bool yes = ss_leaves_state(exact, n);
    free(exact);
    return yes;
}

static void test_clean(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof clean / sizeof *clean; i++) {
        if (leaves(clean[i], strlen(clean[i]))) {
            fail_msg("counts as leaving something: %s", clean[i]);
        }
    }
}

static void test_leaving(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof leaving / sizeof *leaving; i++) {
        if (!leaves(leaving[i], strlen(leaving[i]))) {
            fail_msg("counts as leaving nothing: %s", leaving[i]);
        }
    }
}

/* A text that ends anywhere, and any byte in the middle of one: it must come back. */
static void test_odd(void **state)
{
    char text[256];
    (void)state;
    for (size_t i = 0; i < sizeof clean / sizeof *clean; i++) {
        size_t n = strlen(clean[i]);
        for (size_t k = 0; k <= n; k++) {
            leaves(clean[i], k);
        }
        memcpy(text, clean[i], n);
        for (size_t k = 0; k < n; k++) {
            for (int b = 0; b < 256; b++) {
                text[k] = (char)b;
                leaves(text, n);
            }
            text[k] = clean[i][k];
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clean),
        cmocka_unit_test(test_leaving),
        cmocka_unit_test(test_odd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
