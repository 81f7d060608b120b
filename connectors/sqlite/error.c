/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite result codes as errors of the contract: what happened, to what, and what to do. */
#include "sqlite.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Cuts at max bytes, but never inside a UTF-8 sequence. */
static void cut_utf8(char *s, size_t n)
{
    while (n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80) {
        n--;
    }
    s[n] = '\0';
}

static void fill(tn_err *err, tn_rc rc, uint32_t flags, int native, const char *fmt, va_list ap)
{
    err->rc = rc;
    err->flags = flags;
    err->native = native;
    err->state[0] = '\0';
    int n = vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    if (n >= (int)sizeof err->msg) {
        cut_utf8(err->msg, sizeof err->msg - 1);
    }
}

tn_rc sq_fail(tn_err *err, tn_rc rc, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        fill(err, rc, 0, 0, fmt, ap);
        va_end(ap);
    }
    return rc;
}

static void report(tn_err *err, tn_rc rc, uint32_t flags, int native, const char *fmt, ...)
    TN_PRINTF(5, 6);
static void report(tn_err *err, tn_rc rc, uint32_t flags, int native, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        fill(err, rc, flags, native, fmt, ap);
        va_end(ap);
    }
}

/* One row per code: an extended code before its primary one. The first match counts. */
static const struct {
    int code;
    tn_rc rc;
    uint32_t flags;
    const char *advice; /* appended to SQLite's own text; NULL = nothing to add */
    const char *state;  /* the standard's or PostgreSQL's SQLSTATE where callers tell cases apart */
} codes[] = {
    {SQLITE_CONSTRAINT_UNIQUE, TN_E_CONFLICT, 0, NULL, NULL},
    {SQLITE_CONSTRAINT_PRIMARYKEY, TN_E_CONFLICT, 0, NULL, NULL},
    {SQLITE_CONSTRAINT_ROWID, TN_E_CONFLICT, 0, NULL, NULL},
    {SQLITE_CONSTRAINT, TN_E_REMOTE, 0, NULL, NULL},
    {SQLITE_BUSY, TN_E_UNAVAIL, TN_ERR_RETRY,
     "another connection holds the lock; try again or raise busy_timeout", "55P03"},
    {SQLITE_LOCKED, TN_E_UNAVAIL, TN_ERR_RETRY, "a table is locked; try again", "55P03"},
    {SQLITE_FULL, TN_E_REMOTE, TN_ERR_RETRY, "free space on its file system, then try again",
     "53100"},
    {SQLITE_IOERR_NOMEM, TN_E_NOMEM, TN_ERR_RETRY, NULL, NULL},
    {SQLITE_IOERR_FSYNC, TN_E_REMOTE, TN_ERR_CONN_BROKEN,
     "the last changes may not be on the disk; check it before writing again", "58030"},
    {SQLITE_IOERR_DIR_FSYNC, TN_E_REMOTE, TN_ERR_CONN_BROKEN,
     "the last changes may not be on the disk; check it before writing again", "58030"},
    {SQLITE_IOERR, TN_E_REMOTE, TN_ERR_CONN_BROKEN, "check the disk and the kernel log", "58030"},
    {SQLITE_CORRUPT, TN_E_REMOTE, TN_ERR_CONN_BROKEN,
     "the file is damaged: stop, keep a copy, restore a backup", "XX001"},
    {SQLITE_NOTADB, TN_E_REMOTE, TN_ERR_CONN_BROKEN,
     "this is not a SQLite database, or it is encrypted or damaged", "XX001"},
    {SQLITE_CANTOPEN, TN_E_UNAVAIL, 0, "check that the folder exists and may be written", NULL},
    {SQLITE_PERM, TN_E_DENIED, 0, NULL, NULL},
    {SQLITE_READONLY_DBMOVED, TN_E_REMOTE, TN_ERR_CONN_BROKEN,
     "the file was moved or replaced while it was open", NULL},
    {SQLITE_READONLY, TN_E_DENIED, 0, "the file, its folder or the connector is read-only", NULL},
    {SQLITE_AUTH, TN_E_DENIED, 0, "ATTACH, VACUUM INTO and most pragmas are switched off here",
     NULL},
    {SQLITE_TOOBIG, TN_E_LIMIT, 0, NULL, NULL},
    {SQLITE_NOMEM, TN_E_NOMEM, TN_ERR_RETRY, NULL, NULL},
    {SQLITE_RANGE, TN_E_INVAL, 0, NULL, NULL},
    {SQLITE_MISMATCH, TN_E_INVAL, 0, NULL, NULL},
    {SQLITE_NOLFS, TN_E_LIMIT, 0, NULL, NULL},
    {SQLITE_SCHEMA, TN_E_UNAVAIL, TN_ERR_RETRY, "the tables changed meanwhile; try again", NULL},
    {SQLITE_PROTOCOL, TN_E_UNAVAIL, TN_ERR_RETRY, "try again", NULL},
    {SQLITE_MISUSE, TN_E_INTERNAL, TN_ERR_CONN_BROKEN, NULL, NULL},
};

/* "UNIQUE constraint failed: user.scope, user.key": the columns without their table, when all of
 * them fit into err->state. */
static void name_columns(tn_err *err, const char *text)
{
    char out[sizeof err->state];
    size_t n = 0;
    const char *p = strstr(text, "failed: ");
    if (!p) {
        return;
    }
    for (p += 8; *p;) {
        size_t len = strcspn(p, ",");
        const char *dot = memchr(p, '.', len);
        const char *name = dot ? dot + 1 : p;
        size_t name_len = len - (size_t)(name - p);
        if (n + (n > 0) + name_len >= sizeof out) {
            return;
        }
        if (n) {
            out[n++] = ',';
        }
        memcpy(out + n, name, name_len);
        n += name_len;
        p += len;
        p += strspn(p, ", ");
    }
    out[n] = '\0';
    memcpy(err->state, out, n + 1);
}

tn_rc sq_error_db(struct conn *c, sqlite3 *db, int code, const char *doing, tn_err *err)
{
    int full = db ? sqlite3_extended_errcode(db) : code;
    full = (full & 0xff) == (code & 0xff) ? full : code;
    const char *text = db ? sqlite3_errmsg(db) : sqlite3_errstr(code);
    int os = db ? sqlite3_system_errno(db) : 0;
    if ((full & 0xff) == SQLITE_BUSY && (c->timed_out || atomic_load(&c->canceled))) {
        tn_rc rc = c->timed_out ? TN_E_TIMEOUT : TN_E_CANCELED;
        report(err, rc, TN_ERR_RETRY, full,
               "sqlite %s: %s: another connection held the lock until %s", c->conf->path, doing,
               c->timed_out ? "the deadline passed" : "it was canceled");
        if (err) {
            snprintf(err->state, sizeof err->state, "55P03");
        }
        return rc;
    }
    if ((full & 0xff) == SQLITE_INTERRUPT) {
        return c->timed_out
                   ? sq_fail(err, TN_E_TIMEOUT, "sqlite %s: %s: the deadline passed", c->conf->path,
                             doing)
                   : sq_fail(err, TN_E_CANCELED, "sqlite %s: %s: canceled", c->conf->path, doing);
    }
    if (os == ENOSPC || os == EDQUOT) { /* the operating system says it clearer than an IOERR */
        full = full == SQLITE_IOERR_FSYNC ? full : SQLITE_FULL;
        text = "the disk is full";
    }
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (codes[i].code == full || codes[i].code == (full & 0xff)) {
            char detail[64] = "";
            if ((full & 0xff) == SQLITE_IOERR || (full & 0xff) == SQLITE_CANTOPEN) {
                snprintf(detail, sizeof detail, os ? " (code %d, errno %d)" : " (code %d)", full,
                         os);
            }
            report(err, codes[i].rc, codes[i].flags, full, "sqlite %s: %s: %s%s%s%s", c->conf->path,
                   doing, text, detail, codes[i].advice ? "; " : "",
                   codes[i].advice ? codes[i].advice : "");
            if (err && codes[i].state) {
                snprintf(err->state, sizeof err->state, "%s", codes[i].state);
            } else if (err && codes[i].rc == TN_E_CONFLICT) {
                name_columns(err, text);
            }
            return codes[i].rc;
        }
    }
    report(err, TN_E_REMOTE, 0, full, "sqlite %s: %s: %s", c->conf->path, doing, text);
    return TN_E_REMOTE;
}

tn_rc sq_error(struct conn *c, int code, const char *doing, tn_err *err)
{
    return sq_error_db(c, c->db, code, doing, err);
}
