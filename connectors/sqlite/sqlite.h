/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the SQLite connector share. */
#pragma once
#include <tenon/tenon.h>

#include <sqlite3.h>
#include <stdatomic.h>

#define CACHE_MAX 64 /* prepared statements kept per connection */

struct config {
    const char *path;
    bool readonly;
    bool foreign_keys;
    tn_dur busy_timeout;
    const char *synchronous;
    const char *journal;
    const char *auto_vacuum;
    bool allow_attach;
    tn_bytes max_result;
};

struct instance {
    const struct config *conf;
};

struct cached {
    char *sql;
    size_t n;
    sqlite3_stmt *stmt;
    uint64_t used; /* tick of the last use */
};

struct conn {
    const struct config *conf;
    sqlite3 *db;
    struct cached cache[CACHE_MAX];
    unsigned ncached;
    uint64_t tick;
    uint64_t deadline_ns;
    atomic_int canceled;
    int timed_out;        /* why the running statement was interrupted */
    int attaching;        /* attach() is running: the authorizer lets it pass */
    int preparing;        /* a statement of a caller is looked at, not yet run */
    sqlite3_stmt *stream; /* is being read; one of the cache */
    int begun;            /* something was asked since the file was last looked at */
    int attached;         /* there are further files, so reset() opens the handle anew */
};

/* error.c */
tn_rc sq_fail(tn_err *err, tn_rc rc, const char *fmt, ...) TN_PRINTF(3, 4);
/* The error of the last call on c->db that returned `code`; `doing` names what was tried. */
tn_rc sq_error(struct conn *c, int code, const char *doing, tn_err *err);
tn_rc sq_error_db(struct conn *c, sqlite3 *db, int code, const char *doing, tn_err *err);

/* conn.c */
tn_rc sq_open(const struct config *conf, uint64_t deadline_ns, struct conn **ret, tn_err *err);
tn_rc sq_reset(struct conn *c, tn_err *err);
tn_rc sq_same_file(struct conn *c,
                   tn_err *err); /* before an operation: reopens what was replaced */
void sq_close(struct conn *c);
tn_rc sq_attach(struct conn *c, tn_str name, tn_str path, tn_err *err);
int sq_expired(struct conn *c);                    /* the deadline passed or somebody canceled */
void sq_arm(struct conn *c, uint64_t deadline_ns); /* at the start of every operation */
uint64_t sq_now_ns(void);

/* query.c */
struct table; /* a result in memory */
/* sqlite3_prepare_v3() for statements of callers. */
int sq_prepare(struct conn *c, const char *sql, size_t n, unsigned flags, sqlite3_stmt **ret,
               const char **ret_tail);
tn_rc sq_query(struct conn *c, tn_str sql, const tn_val *params, struct table **ret, tn_err *err);
tn_rc sq_exec(struct conn *c, tn_str sql, const tn_val *params, int64_t *ret_affected, tn_err *err);
tn_rc sq_script(struct conn *c, tn_str sql, int64_t *ret_affected, tn_err *err);
/* Rows piece by piece: of at most `size`, none at the end. Nothing else runs on the connection until sq_stream_end(). */
tn_rc sq_stream_start(struct conn *c, tn_str sql, const tn_val *params, tn_err *err);
tn_rc sq_stream_next(struct conn *c, int64_t size, struct table **ret, tn_err *err);
void sq_stream_end(struct conn *c);
tn_rc sq_emit(const struct table *t, tn_sink *sink);
void sq_table_free(struct table *t);

/* backup.c */
tn_rc sq_backup(struct conn *c, tn_str path, int64_t *ret_pages, tn_err *err);

/* bind.c: keep: the values are copied, because the statement outlives them. */
tn_rc sq_bind(struct conn *c, sqlite3_stmt *stmt, const tn_val *params, bool keep, tn_err *err);
tn_rc sq_bind_each(struct conn *c, sqlite3_stmt *stmt, const tn_val *const *values, uint32_t n,
                   bool keep, tn_err *err);
