/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks: a few forms of PL/SQL, statement by statement. What is none of them is ORA-06550, never a polite answer. */
#include "oci.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A statement of the block with the variables of the block. */
static int open_part(struct stmt *block, struct stmt *part, const char *text, struct error *e)
{
    part->svc = block->svc;
    part->text = strdup(text);
    part->kind = statement_kind(text);
    part->lite = part->text != NULL ? rewrite(part) : NULL;
    int rc = part->lite != NULL ? stmt_open(part, e) : fail(e, 4030, "out of process memory");
    for (uint32_t i = 0; rc == OK && i < part->nbinds; i++) {
        struct bind *b = stmt_bind(block, part->names[i], 0);
        if (b == NULL) {
            return fail(e, 1008, "not all variables bound");
        }
        bind_value(part->s, (int)i + 1, b, 0);
    }
    return rc;
}

static int step_part(struct stmt *part, struct error *e)
{
    int got = sqlite3_step(part->s);
    if (got != SQLITE_ROW && got != SQLITE_DONE) {
        return sql_failure(part->svc, e, part->text);
    }
    part->pending = got == SQLITE_ROW;
    part->done = got == SQLITE_DONE;
    return OK;
}

/* :name := expression */
static int assign(struct stmt *block, const char *text, struct error *e)
{
    struct stmt part = {.svc = block->svc};
    char name[129] = "", *sql = NULL;
    int n = 0, code = 0;
    sscanf(text, ":%128[A-Za-z0-9_$#] :=%n", name, &n);
    for (char *c = name; *c != '\0'; c++) {
        *c = (char)toupper((unsigned char)*c);
    }
    struct bind *b = stmt_bind(block, name, 0);
    if (n == 0 || b == NULL) {
        return n == 0 ? fail(e, 6550, "PLS-00103: %.60s", text)
                      : fail(e, 1008, "not all variables bound");
    }
    if (asprintf(&sql, "SELECT %s FROM DUAL", text + n) < 0) {
        return fail(e, 4030, "out of process memory");
    }
    int rc = open_part(block, &part, sql, e);
    rc = rc == OK ? step_part(&part, e) : rc;
    if (rc == OK) {
        code = deliver_bind(b, sqlite3_column_value(part.s, 0));
        rc = code != 0 ? fail(e, code, "PL/SQL: numeric or value error") : OK;
    }
    stmt_finish(&part);
    free(sql);
    return rc;
}

/* OPEN :name FOR query */
static int open_cursor(struct stmt *block, const char *text, struct error *e)
{
    char name[129] = "";
    int n = 0;
    sscanf(text, "%*s :%128[A-Za-z0-9_$#] %*1[Ff]%*1[Oo]%*1[Rr]%n", name, &n);
    struct bind *b = stmt_bind(block, name, 0);
    if (n == 0 || b == NULL || b->type != T_RSET) {
        return fail(e, 6550, "PLS-00382: expression is of wrong type");
    }
    struct stmt *cursor = *(struct stmt **)b->at;
    stmt_finish(cursor);
    int rc = open_part(block, cursor, text + n, e);
    rc = rc == OK ? step_part(cursor, e) : rc;
    if (b->ind != NULL) {
        b->ind[0] = 0;
    }
    return rc;
}

static int change(struct stmt *block, const char *text, struct error *e)
{
    struct stmt part = {.svc = block->svc};
    int rc = OK;
    if (sqlite3_get_autocommit(block->svc->db) &&
        sqlite3_exec(block->svc->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK) {
        rc = sql_failure(block->svc, e, text);
    }
    rc = rc == OK ? open_part(block, &part, text, e) : rc;
    rc = rc == OK ? step_part(&part, e) : rc;
    stmt_finish(&part);
    return rc;
}

/* The number in DBMS_SESSION.SLEEP(…), which may be a variable. */
static int sleep_(struct stmt *block, const char *text, struct error *e)
{
    struct stmt part = {.svc = block->svc};
    char *sql = NULL;
    if (asprintf(&sql, "SELECT %s FROM DUAL", strchr(text, '(')) < 0) {
        return fail(e, 4030, "out of process memory");
    }
    int rc = open_part(block, &part, sql, e);
    rc = rc == OK ? step_part(&part, e) : rc;
    double seconds = rc == OK ? sqlite3_column_double(part.s, 0) : 0;
    stmt_finish(&part);
    free(sql);
    int code = rc == OK ? nap(block->svc, seconds) : 0;
    return code == 0 ? rc
                     : fail(e, code,
                            code == 3156   ? "OCI call timed out"
                            : code == 1013 ? "user requested cancel of current operation"
                                           : "end-of-file on communication channel");
}

static int run_one(struct stmt *block, const char *text, struct error *e)
{
    int code = 0;
    char says[200] = "", sql[300];
    if (text[0] == ':') {
        return assign(block, text, e);
    }
    if (strncasecmp(text, "NULL", 4) == 0 && text[4] == '\0') {
        return OK;
    }
    if (strncasecmp(text, "OPEN ", 5) == 0) {
        return open_cursor(block, text, e);
    }
    if (strncasecmp(text, "DBMS_SESSION.SLEEP(", 19) == 0 ||
        strncasecmp(text, "DBMS_LOCK.SLEEP(", 16) == 0) {
        return sleep_(block, text, e);
    }
    if (sscanf(text, "%*[A-Za-z_](%d, '%199[^']')", &code, says) == 2 &&
        strncasecmp(text, "RAISE_APPL", 10) == 0) {
        return fail(e, abs(code), "%s\nORA-06512: at line 1", says);
    }
    if (sscanf(text, "%*[A-Za-z] %*[A-Za-z] '%299[^;]", sql) == 1 &&
        strncasecmp(text, "EXECUTE IMM", 11) == 0) {
        if (strcasestr(sql, "NLS_DATE_FORMAT") != NULL) {
            snprintf(block->svc->session->date_format, sizeof block->svc->session->date_format,
                     "by a block");
            return OK;
        }
    }
    switch (statement_kind(text)) {
    case S_INSERT:
    case S_UPDATE:
    case S_DELETE:
        return change(block, text, e);
    default:
        return fail(e, 6550, "line 1: PLS-00201: identifier must be declared: %.80s", text);
    }
}

int run_block(struct stmt *st, struct error *e)
{
    const char *p = strcasestr(st->text, "BEGIN");
    int rc = OK;
    if (p == NULL) {
        return fail(e, 6576, "not a valid function or procedure name");
    }
    for (p += 5; rc == OK;) {
        p += strspn(p, " \t\r\n;");
        const char *end = p;
        while (*end != '\0' && *end != ';') {
            if (*end == '\'') {
                end = strchr(end + 1, '\'') != NULL ? strchr(end + 1, '\'') : end;
            }
            end++;
        }
        size_t n = (size_t)(end - p);
        while (n > 0 && isspace((unsigned char)p[n - 1])) {
            n--;
        }
        if (n == 0 || (n >= 3 && strncasecmp(p, "END", 3) == 0)) {
            break;
        }
        char *one = malloc(n + 1);
        if (one == NULL) {
            return fail(e, 4030, "out of process memory");
        }
        memcpy(one, p, n);
        one[n] = '\0';
        rc = run_one(st, one, e);
        free(one);
        p = end;
    }
    return rc;
}
