/* SPDX-License-Identifier: Apache-2.0 */
/* Functions and views of Oracle that the tests ask for. */
#include "oci.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *text(sqlite3_value *v)
{
    const char *p = (const char *)sqlite3_value_text(v);
    return p != NULL ? p : "";
}

/* ---- ORA_CAST ---------------------------------------------------------------------------------------- */

static void cast_number(sqlite3_context *x, sqlite3_value *v, const struct kind *kind)
{
    char message[80];
    const char *p = text(v), *end = NULL;
    (void)strtod(p, (char **)&end);
    if (end == p || *end != '\0') {
        sqlite3_result_error(x, "ORA-01722: invalid number", -1);
        return;
    }
    size_t whole = strspn(p + (p[0] == '-'), "0123456789");
    if (kind->precision > 0 && (int)whole > kind->precision - kind->scale) {
        snprintf(message, sizeof message,
                 "ORA-01438: value larger than specified precision allowed for this column");
        sqlite3_result_error(x, message, -1);
        return;
    }
    sqlite3_result_value(x, v);
}

static void ora_cast(sqlite3_context *x, int n, sqlite3_value **v)
{
    struct kind kind = {0};
    const char *p = text(v[0]);
    char buf[80];
    (void)n;
    if (sqlite3_value_type(v[0]) == SQLITE_NULL || !kind_of_text(text(v[1]), &kind)) {
        sqlite3_result_value(x, v[0]);
        return;
    }
    switch (kind.type) {
    case T_NUM:
        cast_number(x, v[0], &kind);
        break;
    case T_IBDOUBLE:
    case T_IBFLOAT:
        sqlite3_result_double(x, sqlite3_value_double(v[0]));
        break;
    case T_DAT:
    case T_STAMP:
    case T_STAMP_TZ:
    case T_LTZ:
        if (strlen(p) < 10 || p[4] != '-') {
            sqlite3_result_error(x, "ORA-01861: literal does not match format string", -1);
            break;
        }
        snprintf(buf, sizeof buf, "%s%s", p, strlen(p) == 10 ? " 00:00:00" : "");
        if (kind.type == T_DAT) {
            buf[19] = '\0';
        }
        sqlite3_result_text(x, buf, -1, SQLITE_TRANSIENT);
        break;
    case T_BIN:
    case T_BLOB:
        sqlite3_result_blob(x, sqlite3_value_blob(v[0]), sqlite3_value_bytes(v[0]),
                            SQLITE_TRANSIENT);
        break;
    case T_CHR:
    case T_AFC:
    case T_CLOB:
        sqlite3_result_text(x, p, -1, SQLITE_TRANSIENT);
        break;
    default:
        sqlite3_result_value(x, v[0]);
    }
}

/* ---- others ------------------------------------------------------------------------------------------ */

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static void hextoraw(sqlite3_context *x, int n, sqlite3_value **v)
{
    const char *p = text(v[0]);
    size_t len = strlen(p) / 2;
    unsigned char *out = malloc(len + 1);
    (void)n;
    for (size_t i = 0; out != NULL && i < len; i++) {
        int a = hex(p[2 * i]), b = hex(p[2 * i + 1]);
        if (a < 0 || b < 0) {
            free(out);
            sqlite3_result_error(x, "ORA-01465: invalid hex number", -1);
            return;
        }
        out[i] = (unsigned char)(a * 16 + b);
    }
    sqlite3_result_blob(x, out, (int)len, free);
}

static void rpad(sqlite3_context *x, int n, sqlite3_value **v)
{
    const char *p = text(v[0]), *pad = n > 2 ? text(v[2]) : " ";
    int want = sqlite3_value_int(v[1]), len = (int)strlen(p), k = (int)strlen(pad);
    char *out = want >= 0 && want < 10000000 && k > 0 ? malloc((size_t)want + 1) : NULL;
    if (out == NULL) {
        sqlite3_result_null(x);
        return;
    }
    for (int i = 0; i < want; i++) {
        out[i] = i < len ? p[i] : pad[(i - len) % k];
    }
    out[want] = '\0';
    sqlite3_result_text(x, out, want, free);
}

static void nvl(sqlite3_context *x, int n, sqlite3_value **v)
{
    (void)n;
    sqlite3_result_value(x, v[sqlite3_value_type(v[0]) == SQLITE_NULL]);
}

static void same(sqlite3_context *x, int n, sqlite3_value **v)
{
    (void)n;
    sqlite3_result_value(x, v[0]);
}

static void sys_context(sqlite3_context *x, int n, sqlite3_value **v)
{
    const struct svc *svc = sqlite3_user_data(x);
    const struct session *s = svc->session;
    const char *what = text(v[n - 1]);
    char id[24];
    snprintf(id, sizeof id, "%llu",
             (unsigned long long)((uintptr_t)svc / 64 % 1000000007 * 100000 +
                                  (unsigned)getpid() % 100000));
    const char *is = strcasecmp(what, "SID") == 0                 ? id
                     : strcasecmp(what, "MODULE") == 0            ? s->module
                     : strcasecmp(what, "ACTION") == 0            ? s->action
                     : strcasecmp(what, "CLIENT_IDENTIFIER") == 0 ? s->client
                     : strcasecmp(what, "SESSION_USER") == 0      ? "TENON"
                     : strcasecmp(what, "NLS_DATE_FORMAT") == 0 && s->date_format[0] == '\0'
                         ? "DD-MON-RR"
                     : strcasecmp(what, "NLS_DATE_FORMAT") == 0 ? s->date_format
                                                                : "";
    if (is[0] == '\0') {
        sqlite3_result_null(x);
    } else {
        sqlite3_result_text(x, is, -1, SQLITE_TRANSIENT);
    }
}

static const char views[] =
    "CREATE TEMP TABLE DUAL (DUMMY); INSERT INTO DUAL VALUES ('X');"
    "CREATE TEMP VIEW V$SESSION AS SELECT CAST(SYS_CONTEXT('USERENV', 'SID') AS INTEGER) AS SID,"
    " SYS_CONTEXT('USERENV', 'MODULE') AS MODULE, SYS_CONTEXT('USERENV', 'ACTION') AS ACTION,"
    " SYS_CONTEXT('USERENV', 'CLIENT_IDENTIFIER') AS CLIENT_IDENTIFIER;"
    "CREATE TEMP VIEW NLS_SESSION_PARAMETERS AS SELECT 'NLS_DATE_FORMAT' AS PARAMETER,"
    " SYS_CONTEXT('USERENV', 'NLS_DATE_FORMAT') AS VALUE;"
    "CREATE TEMP VIEW ALL_TABLES AS SELECT 'TENON' AS OWNER, NAME AS TABLE_NAME FROM main.sqlite_master WHERE TYPE = 'table';"
    "CREATE TEMP VIEW USER_TABLES AS SELECT TABLE_NAME FROM ALL_TABLES;"
    "CREATE TEMP VIEW ALL_TAB_COLUMNS AS SELECT M.TABLE_NAME AS TABLE_NAME, P.NAME AS COLUMN_NAME,"
    " REPLACE(REPLACE(SUBSTR(P.TYPE, 1, INSTR(P.TYPE || '(', '(') - 1), ' BLOB', ''), '\"', '') AS DATA_TYPE"
    " FROM ALL_TABLES M, pragma_table_info(M.TABLE_NAME) P;"
    "CREATE TEMP VIEW USER_TAB_COLUMNS AS SELECT * FROM ALL_TAB_COLUMNS;";

void sql_functions(sqlite3 *db, struct svc *svc)
{
    static const struct {
        const char *name;
        int n;
        void (*call)(sqlite3_context *, int, sqlite3_value **);
    } calls[] = {{"ORA_CAST", 2, ora_cast}, {"HEXTORAW", 1, hextoraw},      {"RPAD", 3, rpad},
                 {"NVL", 2, nvl},           {"TO_CLOB", 1, same},           {"TO_BLOB", 1, same},
                 {"TO_CHAR", 1, same},      {"SYS_CONTEXT", 2, sys_context}};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        sqlite3_create_function(db, calls[i].name, calls[i].n, SQLITE_UTF8, svc, calls[i].call,
                                NULL, NULL);
    }
    sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, NULL); /* an unknown "name" is no text */
    sqlite3_exec(db, "PRAGMA temp_store = MEMORY", NULL, NULL, NULL);
    sqlite3_exec(db, views, NULL, NULL, NULL);
}
