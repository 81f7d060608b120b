/* SPDX-License-Identifier: Apache-2.0 */
/* One SQLite connection: opened hardened, bounded by deadlines, brought back to its first state. */
#include "sqlite.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PROGRESS_OPS 2000                /* virtual machine steps between two looks at the clock */
#define MAX_VALUE    (512 * 1024 * 1024) /* bytes of one value or row */
#define ATTACHED_MAX 8                   /* files beside the main one */
#define WAL_KEPT     (32 << 20)          /* bytes of the log that stay after a checkpoint */

/* Limits (sqlite3_limit): what one statement may ask for. SQLite's own ceilings are far higher. */
static const struct {
    int id, value;
} limits[] = {
    {SQLITE_LIMIT_LENGTH, MAX_VALUE},
    {SQLITE_LIMIT_SQL_LENGTH, 4 * 1024 * 1024},
    {SQLITE_LIMIT_COLUMN, 2000},
    {SQLITE_LIMIT_EXPR_DEPTH, 500},
    {SQLITE_LIMIT_COMPOUND_SELECT, 200},
    {SQLITE_LIMIT_FUNCTION_ARG, 100},
    {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 50000},
    {SQLITE_LIMIT_VARIABLE_NUMBER, 32766},
    {SQLITE_LIMIT_TRIGGER_DEPTH, 100},
    {SQLITE_LIMIT_WORKER_THREADS, 0},
    {SQLITE_LIMIT_ATTACHED, 1 + ATTACHED_MAX}, /* VACUUM needs one; see on_authorize() */
};

/* Pragmas that neither change the session for the next call nor how the file is kept. `reads`: only
 * without a value. */
static const struct {
    const char *name;
    int reads;
} pragmas[] = {
    {"table_info", 0},       {"table_xinfo", 0},       {"table_list", 0},
    {"index_list", 0},       {"index_info", 0},        {"index_xinfo", 0},
    {"foreign_key_list", 0}, {"foreign_key_check", 0}, {"integrity_check", 0},
    {"quick_check", 0},      {"user_version", 0},      {"application_id", 0},
    {"optimize", 0},         {"wal_checkpoint", 0},    {"incremental_vacuum", 0},
    {"page_count", 1},       {"page_size", 1},         {"freelist_count", 1},
    {"database_list", 1},    {"compile_options", 1},   {"function_list", 1},
    {"collation_list", 1},   {"data_version", 1},      {"schema_version", 1},
    {"encoding", 1},         {"journal_mode", 1},      {"synchronous", 1},
    {"foreign_keys", 1},     {"auto_vacuum", 1},       {"busy_timeout", 1},
};

uint64_t sq_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int sq_expired(struct conn *c)
{
    if (atomic_load_explicit(&c->canceled, memory_order_relaxed)) {
        return 1;
    }
    if (c->deadline_ns && sq_now_ns() >= c->deadline_ns) {
        c->timed_out = 1;
        return 1;
    }
    return 0;
}

void sq_arm(struct conn *c, uint64_t deadline_ns)
{
    c->deadline_ns = deadline_ns;
    c->timed_out = 0;
    atomic_store(&c->canceled, 0);
}

static int on_progress(void *user)
{
    return sq_expired(user);
}

/* Waits for a lock in growing steps: never past the deadline, and cancel() is noticed. */
static int on_busy(void *user, int count)
{
    struct conn *c = user;
    static const unsigned steps_us[] = {100, 200, 500, 1000, 2000, 5000, 10000, 20000};
    const unsigned last = sizeof steps_us / sizeof steps_us[0] - 1;
    uint64_t waited = 0, bound = (uint64_t)c->conf->busy_timeout.ms * 1000;
    for (int i = 0; i < count; i++) {
        if (i > (int)last) {
            waited += (uint64_t)(count - i) * steps_us[last];
            break;
        }
        waited += steps_us[i];
    }
    unsigned step = steps_us[count < (int)last ? count : (int)last];
    if (waited >= bound || sq_expired(c)) {
        return 0;
    }
    struct timespec t = {0, (long)step * 1000};
    nanosleep(&t, NULL);
    return 1;
}

static int on_authorize(void *user, int action, const char *a, const char *b, const char *db,
                        const char *trigger)
{
    const struct conn *c = user;
    (void)db;
    (void)trigger;
    switch (action) {
    case SQLITE_ATTACH: /* VACUUM attaches an unnamed file while it runs; no other statement may */
        return c->attaching || (!c->preparing && a && a[0] == '\0') ? SQLITE_OK : SQLITE_DENY;
    case SQLITE_PRAGMA:
        for (size_t i = 0; i < sizeof pragmas / sizeof pragmas[0]; i++) {
            if (sqlite3_stricmp(a, pragmas[i].name) == 0) {
                return pragmas[i].reads && b ? SQLITE_DENY : SQLITE_OK;
            }
        }
        return SQLITE_DENY;
    default:
        return SQLITE_OK;
    }
}

/* Settings that have to be made before anything else is read or written. */
static tn_rc configure(struct conn *c, tn_err *err)
{
    char sql[320];
    sqlite3_extended_result_codes(c->db, 1);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_ENABLE_FKEY, c->conf->foreign_keys, NULL);
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        sqlite3_limit(c->db, limits[i].id, limits[i].value);
    }
    sqlite3_progress_handler(c->db, PROGRESS_OPS, on_progress, c);
    sqlite3_busy_handler(c->db, on_busy, c);
    /* The values come from lists of choices, never from text. cell_size_check finds damage before it
     * is followed. auto_vacuum counts only in a file without tables, so it comes before anything that
     * writes. A file opened read-only keeps its own journal mode. */
    int n = snprintf(sql, sizeof sql, "PRAGMA cell_size_check=1; PRAGMA synchronous=%s;",
                     c->conf->synchronous);
    if (!c->conf->readonly) {
        snprintf(sql + n, sizeof sql - (size_t)n,
                 " PRAGMA auto_vacuum=%s; PRAGMA journal_size_limit=%d; PRAGMA journal_mode=%s",
                 c->conf->auto_vacuum, WAL_KEPT, c->conf->journal);
    }
    int code = sqlite3_exec(c->db, sql, NULL, NULL, NULL);
    if (code != SQLITE_OK) {
        return sq_error(c, code, "opening", err);
    }
    sqlite3_set_authorizer(c->db, on_authorize, c);
    return TN_OK;
}

/* A new file is for its owner alone (the log beside it takes the same mode); SQLite would ask the
 * umask. Only a file that is not there is touched: closing a descriptor of one that is in use would
 * drop the locks of this process on it (fcntl(2), "Advisory record locking"). */
static void make_private(const struct config *conf)
{
    if (!conf->readonly && strcmp(conf->path, ":memory:") != 0) {
        int fd = open(conf->path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
        if (fd >= 0) {
            close(fd);
        }
    }
}

static tn_rc open_db(struct conn *c, tn_err *err)
{
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                (c->conf->readonly ? SQLITE_OPEN_READONLY
                                   : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    make_private(c->conf);
    int code = sqlite3_open_v2(c->conf->path, &c->db, flags, NULL);
    tn_rc rc = code == SQLITE_OK ? configure(c, err) : sq_error(c, code, "opening", err);
    if (rc) {
        sqlite3_close_v2(c->db);
        c->db = NULL;
    }
    return rc;
}

static void close_db(struct conn *c)
{
    sq_stream_end(c);
    for (unsigned i = 0; i < c->ncached; i++) {
        sqlite3_finalize(c->cache[i].stmt);
        free(c->cache[i].sql);
    }
    c->ncached = 0;
    sqlite3_close_v2(c->db);
    c->db = NULL;
}

tn_rc sq_open(const struct config *conf, uint64_t deadline_ns, struct conn **ret, tn_err *err)
{
    struct conn *c = calloc(1, sizeof *c);
    if (!c) {
        return sq_fail(err, TN_E_NOMEM, "sqlite %s: no memory for a connection", conf->path);
    }
    c->conf = conf;
    c->begun = 1;
    sq_arm(c, deadline_ns);
    tn_rc rc = open_db(c, err);
    if (rc) {
        free(c);
        return rc;
    }
    *ret = c;
    return TN_OK;
}

/* A letter, then letters, digits and _: it is written into the statement, which cannot bind a name. */
static int plain_name(tn_str name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz", more[] = "_0123456789";
    for (size_t i = 0; i < name.n; i++) {
        if (name.s[i] == '\0' ||
            (!strchr(letters, name.s[i]) && (i == 0 || !strchr(more, name.s[i])))) {
            return 0;
        }
    }
    return name.n > 0 && name.n < 32 && !(name.n == 4 && memcmp(name.s, "main", 4) == 0) &&
           !(name.n == 4 && memcmp(name.s, "temp", 4) == 0);
}

tn_rc sq_attach(struct conn *c, tn_str name, tn_str path, tn_err *err)
{
    char sql[64];
    sqlite3_stmt *stmt = NULL;
    if (!c->conf->allow_attach) {
        return sq_fail(err, TN_E_DENIED,
                       "sqlite %s: attach() is switched off; allow_attach in the connector's "
                       "configuration allows it",
                       c->conf->path);
    }
    if (!plain_name(name)) {
        return sq_fail(err, TN_E_INVAL,
                       "sqlite: \"%.*s\" is no name for a file (small letters, digits and _)",
                       (int)(name.n < 64 ? name.n : 64), name.s);
    }
    char *z = strndup(path.s, path.n);
    if (!z) {
        return sq_fail(err, TN_E_NOMEM, "sqlite: no memory for a path");
    }
    if (strlen(z) != path.n || access(z, F_OK) != 0) { /* ATTACH would make it */
        tn_rc rc = sq_fail(err, TN_E_NOTFOUND, "sqlite: there is no file %.200s to attach", z);
        free(z);
        return rc;
    }
    snprintf(sql, sizeof sql, "ATTACH ? AS %.*s", (int)name.n, name.s);
    c->attaching = 1;
    int code = sqlite3_prepare_v2(c->db, sql, -1, &stmt, NULL);
    if (code == SQLITE_OK) {
        sqlite3_bind_text(stmt, 1, z, -1, SQLITE_TRANSIENT);
        code = sqlite3_step(stmt);
    }
    c->attaching = 0;
    tn_rc rc = code == SQLITE_DONE ? TN_OK : sq_error(c, code, "attaching", err);
    sqlite3_finalize(stmt);
    c->attached |= rc == TN_OK;
    free(z);
    return rc;
}

/* A file that was replaced under its name (a backup was put back) would be written to although nobody sees it any more. The
 * first operation after reset() looks; a handle that is never reset keeps its file. */
tn_rc sq_same_file(struct conn *c, tn_err *err)
{
    int moved = 0;
    if (c->begun) {
        return TN_OK;
    }
    c->begun = 1;
    if (sqlite3_file_control(c->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) != SQLITE_OK ||
        !moved) {
        return TN_OK;
    }
    close_db(c);
    return open_db(c, err);
}

tn_rc sq_reset(struct conn *c, tn_err *err)
{
    c->begun = 0;
    sq_arm(c, 0);
    sq_stream_end(c);
    sqlite3_set_last_insert_rowid(c->db, 0);
    if (!sqlite3_get_autocommit(c->db)) {
        int code = sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
        if (code != SQLITE_OK && !sqlite3_get_autocommit(c->db)) {
            return sq_error(c, code, "rolling back", err);
        }
    }
    /* Temporary tables would be seen by the next user: only a new handle is free of them. */
    sqlite3_stmt *stmt = NULL;
    int code = sqlite3_prepare_v2(c->db, "SELECT 1 FROM sqlite_temp_schema LIMIT 1", -1, &stmt,
                                  NULL);
    code = code == SQLITE_OK ? sqlite3_step(stmt) : code;
    sqlite3_finalize(stmt);
    if (code == SQLITE_ROW || (code == SQLITE_DONE && c->attached)) {
        close_db(c);
        c->attached = 0;
        return open_db(c, err);
    }
    return code == SQLITE_DONE ? TN_OK : sq_error(c, code, "resetting", err);
}

void sq_close(struct conn *c)
{
    if (c) {
        close_db(c);
        free(c);
    }
}
