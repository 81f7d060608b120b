/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the Oracle connector share. */
#pragma once
#include "common/cells.h"
#include "common/hand.h"
#include "common/sql_text.h"

#include <dpi.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <tenon/tenon.h>

#define ORA_LABEL_MAX 64 /* bytes of module, action and client identifier */

struct ora_conf {
    const char *host, *user, *database, *sid, *dsn, *charset, *application, *tls, *wallet, *server,
        *client;
    int64_t port, stmt_cache, array_size, prefetch_rows;
    tn_secret password;
    bool fresh_session;
    tn_bytes max_result;
};
struct ora { /* an instance */
    const struct ora_conf *conf;
};

/* Values of a script, copied: nrows rows of n values; the constants in front are the same in each row. */
struct ora_values {
    tn_val *v;
    uint32_t n, nrows;
    char *text;
};
struct ora_conn;
/* An open query: its columns, and the array that a fetch fills. */
struct ora_query {
    dpiStmt *stmt;
    struct ora_column *cols;
    uint32_t ncols;
    struct cells shape; /* names and types */
};
/* A variable that comes out of a block. */
struct ora_out {
    char *name;
    uint32_t kind;
    bool cursor;
    dpiVar *var;
    const dpiData *data;
    struct cells rows; /* of a cursor; otherwise one cell */
};
struct ora_job {
    struct hand_job base;
    char *sql; /* owned; in front of it the label, which only the server's own attributes show */
    size_t sql_len;
    struct ora_values in;
    char **names; /* of the values, for a statement with :names */
    struct ora_out *out;
    uint32_t nnames, nout;
    char label[ORA_LABEL_MAX + 1];
    char *connect; /* descriptor */
    uint32_t method;
    uint64_t max;           /* rows wanted at most */
    bool own;               /* the statement has placeholders of its own */
    bool many, keep_errors; /* one statement for many rows; go on behind a bad one */
    /* What came of it. */
    struct cells rows;
    int64_t affected;
    bool end;
};
struct ora_conn {
    struct ora_conf conf; /* its own: the thread may outlive the instance */
    char *texts;          /* of conf */
    size_t texts_len;
    struct hand *hand;
    /* Of the thread. */
    dpiConn *dpi;
    struct ora_query stream;
    char label[ORA_LABEL_MAX + 1];
    /* Of the caller, while no job runs; the thread sets dirty. */
    bool streaming, broken, dirty, transaction;
    atomic_bool open, stopped;
};
enum {
    ORA_QUERY = 1,
    ORA_NON_QUERY,
    ORA_CALL,
    ORA_MANY,
    ORA_CHECK,
    ORA_BEGIN,
    ORA_COMMIT,
    ORA_ROLLBACK,
    ORA_STREAM_START,
    ORA_STREAM_NEXT
};
extern const tn_host *ora_host;

/* ---- client.c ---- */
/* The client library of this process, loaded at the first connection. *ret lives as long as the process. */
tn_rc ora_client(const struct ora_conf *conf, dpiContext **ret, tn_err *err);
dpiContext *ora_context(void); /* NULL before */

/* ---- descriptor.c ---- */
/* Where to connect to, as Oracle's client wants it; *ret is owned by the caller. */
tn_rc ora_descriptor(const struct ora_conf *conf, int left_ms, char **ret, tn_err *err);

/* ---- connect.c ---- */
tn_rc ora_open(void *inst, uint64_t deadline_ns, void **ret_conn, tn_err *err);
void ora_close(void *inst, void *conn, uint32_t why);
void ora_cancel(void *inst, void *conn);
tn_rc ora_reset(void *inst, void *conn, tn_err *err);
struct ora_job *ora_job_new(tn_rc (*work)(void *, struct hand_job *, tn_err *), tn_err *err);
/* Runs it; TN_OK: it is the caller's again. */
tn_rc ora_do(struct ora_conn *c, struct ora_job *job, uint64_t deadline_ns, tn_err *err);
tn_rc ora_transact(struct ora_conn *c, uint32_t method, uint64_t deadline_ns, tn_err *err);
void ora_job_free(struct hand_job *job);

/* ---- exec.c: in the thread ---- */
tn_rc ora_exec(void *conn, struct hand_job *job, tn_err *err);
tn_rc ora_stream_start(void *conn, struct hand_job *job, tn_err *err);
tn_rc ora_stream_next(void *conn, struct hand_job *job, tn_err *err);
void ora_query_close(struct ora_query *q);
/* Before each statement: time limit, label. */
tn_rc ora_prepare(struct ora_conn *c, struct ora_job *job, dpiStmt **ret, dpiStmtInfo *ret_info,
                  tn_err *err);
dpiExecMode ora_mode(const struct ora_conn *c);

/* ---- fill.c ---- */
/* For query, non_query and streams; for rows with one statement; for a block. */
tn_rc ora_fill(struct ora_job *job, tn_str sql, const tn_val *params, tn_err *err);
tn_rc ora_fill_many(struct ora_job *job, tn_str sql, const tn_val *rows, bool keep_errors,
                    tn_err *err);
tn_rc ora_fill_call(struct ora_job *job, tn_str sql, const tn_val *in, const tn_val *out,
                    tn_err *err);

/* ---- out.c ---- */
tn_rc ora_out_kind(const tn_val *type, struct ora_out *ret, tn_err *err);
void ora_out_finish(struct ora_out *out, uint32_t n);
tn_rc ora_out_emit(const struct ora_job *job, tn_sink *sink, tn_err *err);
/* In the thread. */
tn_rc ora_out_bind(struct ora_conn *c, struct ora_job *job, dpiStmt *stmt, tn_err *err);
tn_rc ora_out_take(struct ora_conn *c, struct ora_job *job, bool returning, tn_err *err);
void ora_out_release(struct ora_job *job);

/* ---- many.c: in the thread ---- */
tn_rc ora_many(struct ora_conn *c, struct ora_job *job, dpiStmt *stmt, tn_err *err);

/* ---- values.c ---- */
/* Copies n values; those of a list of rows, a row after the other. */
tn_rc ora_values_copy(const tn_val *const *from, uint32_t n, uint32_t nrows, struct ora_values *ret,
                      tn_err *err);
void ora_values_finish(struct ora_values *v);

/* ---- bind.c: in the thread ---- */
/* A variable that holds rows `first`… of column k, `count` of them. */
tn_rc ora_bind(struct ora_conn *c, const struct ora_values *in, uint32_t k, uint32_t first,
               uint32_t count, dpiVar **ret, tn_err *err);

/* ---- rows.c: in the thread ---- */
/* Describes an executed query and says where its columns go. */
tn_rc ora_rows_open(struct ora_conn *c, dpiStmt *stmt, struct ora_query *ret, tn_err *err);
/* Up to max rows. */
tn_rc ora_rows_fetch(struct ora_conn *c, struct ora_query *q, struct cells *to, uint64_t max,
                     bool *ret_end, tn_err *err);
void ora_rows_close(struct ora_query *q); /* all but the statement */
/* A value as the client library gave it. *scratch holds what it points to; freed by the caller. */
tn_rc ora_cell(const dpiDataTypeInfo *type, const dpiData *data, size_t max, tn_val *ret,
               char **scratch, tn_err *err);

/* ---- error.c ---- */
/* What the library has just told in this thread. */
tn_rc ora_error(tn_err *err);
/* …of a connection that could not be made: the step, and what to do. */
tn_rc ora_refused(const struct ora_conf *conf, const dpiErrorInfo *info, tn_err *err);
