/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the SQL Server connector share. */
#pragma once
#include "common/net.h"
#include "common/sql_text.h"
#include "state.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sql.h>
#include <sqlext.h>
#include <tenon/tenon.h>

struct ss_conf {
    const char *host, *user, *database, *charset, *application, *driver, *tls, *tls_ca;
    int64_t port;
    tn_secret password;
    bool read_only;
    tn_bytes max_result;
};
struct ss { /* an instance */
    const struct ss_conf *conf;
    char section[24]; /* of it in FreeTDS's configuration, "" until the first connection */
    char ca[64];      /* path of tls_ca when that is text */
    int ca_fd;
    pid_t pid; /* who wrote the section */
};

/* What cells of a column are in memory: numbers and times as 8 bytes, the rest as bytes. */
enum {
    SS_BOOL,
    SS_INT,
    SS_FLOAT,
    SS_DECIMAL,
    SS_TEXT,
    SS_BYTES,
    SS_DATE,
    SS_MOMENT,
    SS_OFFSET,
    SS_CLOCK
};
struct ss_col {
    char *name;
    uint32_t name_len;
    uint8_t kind;
    bool late; /* read by SQLGetData: it has no useful bound on its size */
    SQLSMALLINT ctype;
    SQLLEN width; /* of a cell in the array, in bytes */
    char *cells;  /* the array, and a length for each of its rows */
    SQLLEN *lens;
};
/* Rows in memory: cells one after the other as a length (-1: NULL) and bytes. */
struct ss_chunk {
    struct ss_chunk *next;
    size_t n, cap;
    char data[];
};
struct ss_rows {
    struct ss_col *cols;
    uint32_t ncols;
    struct ss_chunk *first, *last;
    int64_t n;
    size_t bytes;
    struct ss_rows *next; /* the next result of the statement */
};
struct ss_param {
    SQLSMALLINT ctype, type, scale;
    SQLULEN size;
    SQLLEN len;
    union {
        int64_t i;
        double f;
        unsigned char bit;
        SQL_DATE_STRUCT date;
        SQL_TIMESTAMP_STRUCT time;
        char small[40];
    } u;
    void *big; /* owned; NULL: the value is in u */
};

struct ss_conn;
/* A piece of work for the thread of a connection. It owns all it needs, because its caller may have gone. */
struct ss_job {
    tn_rc (*work)(struct ss_conn *c, struct ss_job *job, tn_err *err);
    char *sql; /* owned; a connection string is wiped */
    size_t sql_len;
    struct ss_param *params;
    uint32_t nparams;
    uint64_t max, seconds; /* rows wanted at most; for the driver's own time limits */
    bool all, drop, end;   /* every result is kept; rows are only counted; the stream has ended */
    struct ss_rows *rows;  /* what came of it */
    int64_t affected;
    tn_rc rc;
    tn_err err;
};
struct ss_conn {
    struct ss *inst;
    size_t max_result;
    /* Between the caller and the thread, which both hold a reference. */
    pthread_mutex_t mutex;
    pthread_cond_t wake, back;
    struct ss_job *job;
    bool quit, abandoned, gone;
    int refs;
    pthread_t thread;
    /* Of the thread. */
    SQLHENV env;
    SQLHDBC dbc;
    SQLHSTMT stmt;
    bool open;
    struct ss_rows *stream; /* description of the open stream */
    uint32_t array;         /* rows bound at once */
    /* Of the caller. */
    bool streaming, broken, dirty, transaction;
    atomic_bool working, canceled;
};
enum {
    SS_QUERY = 1,
    SS_NON_QUERY,
    SS_QUERY_ALL,
    SS_CHECK,
    SS_BEGIN,
    SS_COMMIT,
    SS_ROLLBACK,
    SS_STREAM_START,
    SS_STREAM_NEXT
};
extern const tn_host *ss_host;

/* ---- hand.c ---- */
tn_rc ss_conn_create(struct ss *inst, struct ss_conn **ret, tn_err *err);
/* Runs a job in the connection's thread until the deadline; then the statement is canceled, and when that does not
 * help at once the job is left behind and the connection is broken. job is on the heap; *ret is NULL when it was left
 * behind, otherwise the caller frees it. */
tn_rc ss_do(struct ss_conn *c, struct ss_job *job, uint64_t deadline_ns, struct ss_job **ret,
            tn_err *err);
/* Ends the thread, which says goodbye; waits for it only a moment. */
void ss_conn_release(struct ss_conn *c);
void ss_job_free(struct ss_job *job);

/* ---- connect.c ---- */
tn_rc ss_open(void *inst, uint64_t deadline_ns, void **ret_conn, tn_err *err);
void ss_close(void *inst, void *conn, uint32_t why);
void ss_cancel(void *inst, void *conn);
tn_rc ss_reset(void *inst, void *conn, tn_err *err);
tn_rc ss_transact(struct ss_conn *c, uint32_t method, uint64_t deadline_ns, tn_err *err);

/* ---- driver.c ---- */
/* The connection string of an instance; *ret_n bytes, owned by the caller, who wipes it. */
tn_rc ss_connection_string(struct ss *inst, char **ret, size_t *ret_n, tn_err *err);
void ss_driver_load(void); /* once a process image, before threads */
void ss_driver_detach(struct ss *inst);

/* ---- exec.c ---- */
tn_rc ss_exec(struct ss_conn *c, struct ss_job *job, tn_err *err);
tn_rc ss_stream_start(struct ss_conn *c, struct ss_job *job, tn_err *err);
tn_rc ss_stream_next(struct ss_conn *c, struct ss_job *job, tn_err *err);
void ss_stmt_done(struct ss_conn *c); /* closes the statement */

/* ---- bind.c ---- */
tn_rc ss_params(const struct sql_text *t, struct ss_job *job, tn_err *err);

/* ---- rows.c ---- */
/* Describes the open result and binds its columns to arrays; *ret_array: rows of the arrays. */
tn_rc ss_rows_describe(struct ss_conn *c, struct ss_rows *rows, uint32_t *ret_array, tn_err *err);
/* Row i of the arrays. TN_E_LIMIT beyond max_result. */
tn_rc ss_rows_add(struct ss_conn *c, struct ss_rows *from, struct ss_rows *to, uint32_t i,
                  tn_err *err);
void ss_rows_free(struct ss_rows *rows);
tn_rc ss_rows_emit(const struct ss_rows *rows, tn_sink *sink, tn_err *err);

/* ---- error.c ---- */
tn_rc ss_error(struct ss_conn *c, SQLSMALLINT kind, SQLHANDLE handle, tn_err *err);
tn_rc ss_refused(const struct ss_conf *conf, uint64_t deadline_ns, tn_rc rc, tn_err *err);
