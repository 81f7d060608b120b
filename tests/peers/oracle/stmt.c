/* SPDX-License-Identifier: Apache-2.0 */
/* Statements: prepare, bind, define, execute with arrays and batch errors, fetch. */
#include "oci.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMIT_ON_SUCCESS 0x20
#define BATCH_ERRORS      0x80
#define PARSE_ONLY        0x100

/* ---- life -------------------------------------------------------------------------------------------- */

void stmt_finish(struct stmt *st)
{
    for (struct bind *b = st->binds, *next; b != NULL; b = next) {
        next = b->next;
        free(b);
    }
    for (uint32_t i = 0; st->cols != NULL && i < st->ncols; i++) {
        free(st->cols[i].name);
    }
    sqlite3_finalize(st->s);
    free(st->cols);
    free(st->defines);
    free(st->names);
    free(st->lite);
    free(st->text);
    memset(st, 0, sizeof *st);
}

OCI(int, OCIStmtPrepare2,
    (void *svc, void **ret, void *err, const char *sql, uint32_t n, const char *key, uint32_t key_n,
     uint32_t lang, uint32_t mode))
{
    struct stmt *st = calloc(1, sizeof *st);
    (void)key, (void)key_n, (void)lang, (void)mode;
    if (st == NULL || (st->text = malloc((size_t)n + 1)) == NULL) {
        free(st);
        return fail(err, 4030, "out of process memory");
    }
    memcpy(st->text, sql, n);
    st->text[n] = '\0';
    st->svc = svc;
    st->kind = statement_kind(st->text);
    st->lite = rewrite(st);
    *ret = st;
    return OK;
}

OCI(int, OCIStmtRelease, (void *stmt, void *err, const char *key, uint32_t n, uint32_t mode))
{
    (void)err, (void)key, (void)n, (void)mode;
    stmt_finish(stmt);
    free(stmt);
    return OK;
}

int stmt_open(struct stmt *st, struct error *e)
{
    sqlite3_finalize(st->s);
    st->s = NULL;
    if (sqlite3_prepare_v2(st->svc->db, st->lite, -1, &st->s, NULL) != SQLITE_OK) {
        return sql_failure(st->svc, e, st->text);
    }
    return st->s != NULL ? OK : fail(e, 900, "invalid SQL statement");
}

/* ---- bind and define --------------------------------------------------------------------------------- */

static bool is_block(const struct stmt *st)
{
    return st->kind == S_BEGIN || st->kind == S_DECLARE || st->kind == S_CALL;
}

/* In a block each name has one position, elsewhere each of its places. */
static uint32_t position(const struct stmt *st, const char *name)
{
    uint32_t pos = 0;
    for (uint32_t i = 0; i < st->nbinds; i++) {
        bool first = true;
        for (uint32_t k = 0; k < i; k++) {
            first = first && strcmp(st->names[k], st->names[i]) != 0;
        }
        pos += first;
        if (strcmp(st->names[i], name) == 0) {
            return pos;
        }
    }
    return 0;
}

struct bind *stmt_bind(struct stmt *st, const char *name, uint32_t pos)
{
    uint32_t want = is_block(st) ? position(st, name) : pos;
    for (struct bind *b = st->binds; b != NULL; b = b->next) {
        if (b->pos != 0 ? b->pos == want : strcasecmp(b->name, name) == 0) {
            return b;
        }
    }
    return NULL;
}

static int new_bind(struct stmt *st, struct error *e, uint32_t pos, const char *name, int32_t n,
                    struct bind value, void **ret)
{
    bool known = pos != 0 && pos <= st->nbinds;
    n -= n > 0 && *name == ':';
    for (uint32_t i = 0; pos == 0 && i < st->nbinds; i++) {
        const char *bare = *name == ':' ? name + 1 : name;
        known = known || (strlen(st->names[i]) == (size_t)n &&
                          strncasecmp(st->names[i], bare, (size_t)n) == 0);
    }
    if (!known) {
        return fail(e, 1036, "illegal variable name/number");
    }
    struct bind *b = malloc(sizeof *b);
    if (b == NULL) {
        return fail(e, 4030, "out of process memory");
    }
    *b = value;
    b->stmt = st;
    b->pos = pos;
    if (pos == 0) {
        snprintf(b->name, sizeof b->name, "%.*s", n, *name == ':' ? name + 1 : name);
    }
    for (struct bind **at = &st->binds; *at != NULL; at = &(*at)->next) {
        if ((*at)->pos == pos && strcmp((*at)->name, b->name) == 0) { /* bound anew */
            struct bind *old = *at;
            *at = old->next;
            free(old);
            break;
        }
    }
    b->next = st->binds;
    st->binds = b;
    *ret = b;
    return OK;
}

OCI(int, OCIBindByPos2,
    (void *stmt, void **ret, void *err, uint32_t pos, void *at, int64_t size, uint16_t type,
     void *ind, uint32_t *lens, uint16_t *codes, uint32_t max, uint32_t *n, uint32_t mode))
{
    (void)max, (void)n, (void)mode;
    struct bind b = {
        .at = at, .size = size, .type = type, .ind = ind, .lens = lens, .codes = codes};
    return new_bind(stmt, err, pos, "", 0, b, ret);
}

OCI(int, OCIBindByName2,
    (void *stmt, void **ret, void *err, const char *name, int32_t len, void *at, int64_t size,
     uint16_t type, void *ind, uint32_t *lens, uint16_t *codes, uint32_t max, uint32_t *n,
     uint32_t mode))
{
    (void)max, (void)n, (void)mode;
    struct bind b = {
        .at = at, .size = size, .type = type, .ind = ind, .lens = lens, .codes = codes};
    return new_bind(stmt, err, 0, name, len, b, ret);
}

OCI(int, OCIBindDynamic, (void *bind, void *err, void *in_ctx, void *in, void *out_ctx, void *out))
{
    struct bind *b = bind;
    (void)err;
    b->in_ctx = in_ctx;
    b->out_ctx = out_ctx;
    memcpy(&b->in, &in, sizeof in); /* the contract has them as void * */
    memcpy(&b->out, &out, sizeof out);
    return OK;
}

OCI(int, OCIDefineByPos2,
    (void *stmt, void **ret, void *err, uint32_t pos, void *at, uint64_t size, uint16_t type,
     void *ind, uint32_t *lens, uint16_t *codes, uint32_t mode))
{
    struct stmt *st = stmt;
    (void)mode;
    describe(st);
    if (pos < 1 || pos > st->ncols) {
        return fail(err, 1007, "variable not in select list");
    }
    if (st->defines == NULL && (st->defines = calloc(st->ncols, sizeof *st->defines)) == NULL) {
        return fail(err, 4030, "out of process memory");
    }
    struct define *d = &st->defines[pos - 1];
    *d = (struct define){
        .at = at, .size = size, .type = type, .ind = ind, .lens = lens, .codes = codes};
    *ret = d;
    return OK;
}

OCI(int, OCIDefineDynamic, (void *define, void *err, void *ctx, void *more))
{
    struct define *d = define;
    (void)err;
    d->ctx = ctx;
    memcpy(&d->more, &more, sizeof more);
    return OK;
}

/* ---- execute ----------------------------------------------------------------------------------------- */

static int bind_row(struct stmt *st, struct error *e, uint32_t row)
{
    uint32_t n = (uint32_t)sqlite3_bind_parameter_count(st->s);
    sqlite3_reset(st->s);
    for (uint32_t i = 0; i < n && i < st->nbinds; i++) {
        struct bind *b = stmt_bind(st, st->names[i], i + 1);
        if (b == NULL) {
            return fail(e, 1008, "not all variables bound");
        }
        bind_value(st->s, (int)i + 1, b, row);
    }
    return OK;
}

/* RETURNING … INTO: the values of one row in the order of the last variables. */
static int returned(struct stmt *st, uint32_t row)
{
    uint32_t n = (uint32_t)sqlite3_column_count(st->s);
    for (uint32_t i = 0; i < n && n <= st->nbinds; i++) {
        uint32_t place = st->nbinds - n + i;
        struct bind *b = stmt_bind(st, st->names[place], place + 1);
        struct kind kind = {0};
        void *buf = NULL, *ind = NULL;
        uint32_t *len = NULL;
        uint16_t *code = NULL;
        uint8_t piece = 0;
        if (b == NULL || b->out == NULL) {
            return FAILED;
        }
        b->returned = 1;
        if (b->out(b->out_ctx, b, row, 0, &buf, &len, &piece, &ind, &code) != CONTINUE) {
            return FAILED;
        }
        kind.type = b->type;
        struct define d = {.at = buf,
                           .size = (uint64_t)b->size,
                           .type = b->type,
                           .ind = ind,
                           .lens = len,
                           .codes = code};
        deliver(&d, &kind, sqlite3_column_value(st->s, (int)i), 0);
    }
    return OK;
}

static int change_row(struct stmt *st, struct error *e, uint32_t row)
{
    int rc = bind_row(st, e, row), got;
    if (rc != OK) {
        return rc;
    }
    got = sqlite3_step(st->s);
    if (st->returning && got == SQLITE_ROW && returned(st, row) != OK) {
        return fail(e, 1008, "not all variables bound");
    }
    while (got == SQLITE_ROW) {
        got = sqlite3_step(st->s);
    }
    if (got != SQLITE_DONE) {
        rc = sql_failure(st->svc, e, st->text);
    } else {
        st->rows += (uint64_t)sqlite3_changes64(st->svc->db);
    }
    sqlite3_reset(st->s);
    return rc;
}

static int keep_error(struct stmt *st, struct error *e, uint32_t row)
{
    struct failure *more = realloc(e->batch, (e->nbatch + 1) * sizeof *more);
    if (more == NULL) {
        return FAILED;
    }
    e->batch = more;
    e->batch[e->nbatch] = e->f;
    e->batch[e->nbatch++].row = row;
    st->nerrors = e->nbatch;
    return OK;
}

static int change(struct stmt *st, struct error *e, uint32_t iters, uint32_t mode)
{
    int rc = stmt_open(st, e);
    e->nbatch = st->nerrors = 0;
    st->rows = 0;
    if (rc == OK && sqlite3_get_autocommit(st->svc->db) &&
        sqlite3_exec(st->svc->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK) {
        rc = sql_failure(st->svc, e, st->text);
    }
    for (uint32_t i = 0; rc == OK && i < iters; i++) {
        rc = change_row(st, e, i);
        if (rc != OK && (mode & BATCH_ERRORS) && e->f.code != 1013 && e->f.code != 1008) {
            rc = keep_error(st, e, i);
        }
    }
    return rc;
}

static int open_query(struct stmt *st, struct error *e)
{
    int rc = stmt_open(st, e);
    rc = rc == OK ? bind_row(st, e, 0) : rc;
    if (rc != OK) {
        return rc;
    }
    int got = sqlite3_step(st->s);
    st->pending = got == SQLITE_ROW;
    st->done = got == SQLITE_DONE;
    return st->pending || st->done ? OK : sql_failure(st->svc, e, st->text);
}

static int alter_session(struct stmt *st)
{
    const char *p = strcasestr(st->text, "NLS_DATE_FORMAT"),
               *q = p != NULL ? strchr(p, '\'') : NULL;
    if (q != NULL) {
        snprintf(st->svc->session->date_format, sizeof st->svc->session->date_format, "%.*s",
                 (int)strcspn(q + 1, "'"), q + 1);
    }
    return OK;
}

static int define_things(struct stmt *st, struct error *e)
{
    if (st->kind == S_ALTER && strncmp(st->lite, "ALTER SESSION", 13) == 0) {
        return alter_session(st);
    }
    int rc = end_work(st->svc, e, true); /* these commit, before and behind */
    rc = rc == OK ? stmt_open(st, e) : rc;
    if (rc == OK && sqlite3_step(st->s) != SQLITE_DONE) {
        rc = sql_failure(st->svc, e, st->text);
    }
    sqlite3_reset(st->s);
    return rc;
}

OCI(int, OCIStmtExecute,
    (void *handle, void *stmt, void *err, uint32_t iters, uint32_t off, const void *in, void *out,
     uint32_t mode))
{
    struct svc *svc = handle;
    struct stmt *st = stmt;
    int rc = begin_call(svc, err);
    (void)off, (void)in, (void)out;
    if (rc != OK || (mode & PARSE_ONLY)) {
        return rc;
    }
    busy(svc, true);
    switch (st->kind) {
    case S_SELECT:
        rc = open_query(st, err);
        break;
    case S_BEGIN:
    case S_DECLARE:
    case S_CALL:
        rc = run_block(st, err);
        break;
    case S_COMMIT:
    case S_ROLLBACK:
        rc = end_work(svc, err, st->kind == S_COMMIT);
        break;
    case S_INSERT:
    case S_UPDATE:
    case S_DELETE:
    case S_MERGE:
        rc = change(st, err, iters, mode);
        break;
    default:
        rc = define_things(st, err);
    }
    busy(svc, false);
    if (rc == OK && (mode & COMMIT_ON_SUCCESS) && st->nerrors == 0 && st->kind != S_SELECT) {
        rc = end_work(svc, err, true);
    }
    return rc;
}

/* ---- fetch ------------------------------------------------------------------------------------------- */

OCI(int, OCIStmtFetch2,
    (void *stmt, void *err, uint32_t n, uint16_t how, int32_t off, uint32_t mode))
{
    struct stmt *st = stmt;
    int rc = begin_call(st->svc, err);
    (void)how, (void)off, (void)mode;
    st->fetched = 0;
    while (rc == OK && st->fetched < n && !st->done) {
        if (!st->pending) {
            int got = sqlite3_step(st->s);
            if (got != SQLITE_ROW) {
                st->done = got == SQLITE_DONE;
                rc = st->done ? OK : sql_failure(st->svc, err, st->text);
                break;
            }
        }
        st->pending = false;
        for (uint32_t i = 0; rc == OK && i < st->ncols; i++) {
            int code = deliver(&st->defines[i], &st->cols[i].kind,
                               sqlite3_column_value(st->s, (int)i), st->fetched);
            rc = code != 0 ? fail(err, code, code == 1722 ? "invalid number" : "conversion") : OK;
        }
        st->fetched += rc == OK;
    }
    st->rows += st->fetched;
    if (st->done) {
        sqlite3_reset(st->s);
    }
    return rc != OK ? rc : st->done ? NO_DATA : OK;
}
