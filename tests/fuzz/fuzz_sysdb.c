/* SPDX-License-Identifier: Apache-2.0 */
/* SQL of scripts for the platform's own database. SQLite itself is the judge: what sysdb_check() lets through is one statement
 * that touches no table tn_…, opens nothing and sets nothing; what it calls reading changes nothing. Input: the SQL. */
#include "plugins/api_dff/sysdb_check.c"
#include "kernel/base/err.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const tn_host host = {.size = sizeof host, .fail = err_set};
struct api_context api = {.host = &host};

static const char *forbidden; /* what the statement does and must not */

static int judge(void *user, int action, const char *a, const char *b, const char *db,
                 const char *inner)
{
    (void)user, (void)db, (void)inner;
    const char *table = a; /* most actions name it first */
    switch (action) {
    case SQLITE_ATTACH:
    case SQLITE_DETACH:
    case SQLITE_PRAGMA:
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT:
    case SQLITE_CREATE_TRIGGER:
    case SQLITE_CREATE_TEMP_TRIGGER:
    case SQLITE_CREATE_VTABLE:
        forbidden = "an action";
        return SQLITE_OK;
    case SQLITE_CREATE_INDEX:
    case SQLITE_CREATE_TEMP_INDEX:
    case SQLITE_DROP_INDEX:
    case SQLITE_ALTER_TABLE:
        table = b;
        break;
    case SQLITE_FUNCTION:
    case SQLITE_SELECT:
    case SQLITE_RECURSIVE:
        return SQLITE_OK;
    default:
        break;
    }
    if (table != NULL && sqlite3_strnicmp(table, "tn_", 3) == 0) {
        forbidden = "a table of the kernel";
    }
    return SQLITE_OK;
}

static sqlite3 *database(void)
{
    static const char tables[] =
        "CREATE TABLE t(a, b); CREATE TABLE u(a, id INTEGER PRIMARY KEY); CREATE INDEX i ON t(a);"
        "CREATE VIEW v AS SELECT a FROM t; CREATE TABLE tn_meta(a, b); CREATE TABLE tn_s(id)";
    static sqlite3 *db;
    if (db == NULL) {
        if (sqlite3_open(":memory:", &db) != SQLITE_OK ||
            sqlite3_exec(db, tables, NULL, NULL, NULL) != SQLITE_OK) {
            abort();
        }
        sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, NULL); /* as connectors/sqlite has it */
        sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
        sqlite3_limit(db, SQLITE_LIMIT_EXPR_DEPTH, 100);
        sqlite3_set_authorizer(db, judge, NULL);
    }
    return db;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    tn_err err = TN_ERR_INIT;
    bool reads = false;
    char *sql = malloc(n + 1);
    if (sql == NULL) {
        abort();
    }
    memcpy(sql, data, n);
    sql[n] = '\0';
    if (!sysdb_check((tn_str){(const char *)data, n}, &reads, &err)) {
        if (err.msg[0] == '\0') {
            abort(); /* a refusal says why */
        }
        free(sql);
        return 0;
    }
    int statements = 0;
    forbidden = NULL;
    for (const char *rest = sql; *rest != '\0';) {
        sqlite3_stmt *s = NULL;
        if (sqlite3_prepare_v2(database(), rest, -1, &s, &rest) != SQLITE_OK) {
            forbidden = NULL; /* SQLite refuses it */
            break;
        }
        statements += s != NULL;
        if (forbidden == NULL && s != NULL && reads && !sqlite3_stmt_readonly(s) &&
            !sqlite3_stmt_isexplain(s)) {
            forbidden = "a change in what reads";
        }
        sqlite3_finalize(s);
    }
    if (forbidden != NULL || statements > 1) {
        fprintf(stderr, "fuzz_sysdb: %s: %s\n", forbidden != NULL ? forbidden : "two statements",
                sql);
        abort();
    }
    free(sql);
    return 0;
}
