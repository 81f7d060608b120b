/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the SQL Server connector share. */
#pragma once
#include "common/chunks.h"
#include "common/hand.h"
#include "common/net.h"
#include "common/sql_text.h"
#include "prelogin.h"
#include "state.h"

#include <stdbool.h>
#include <sql.h>
#include <sqlext.h>
#include <tenon/tenon.h>

struct ss_conf {
    const char *host, *user, *database, *charset, *application, *driver, *tls, *tls_ca, *tls_cert;
    int64_t port;
    tn_secret password, tls_key;
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
struct ss_rows {
    struct ss_col *cols;
    uint32_t ncols;
    struct chunks data;
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

struct ss_job {
    struct hand_job base;
    char *sql; /* owned; a connection string is wiped */
    size_t sql_len;
    struct ss_param *params;
    uint32_t nparams;
    uint64_t max;        /* rows wanted at most */
    bool all, drop, end; /* every result is kept; rows are only counted; the stream has ended */
    /* What came of it. */
    struct ss_rows *rows;
    int64_t affected;
};
struct ss_conn {
    struct hand *hand;
    size_t max_result;
    /* Of the thread. */
    SQLHENV env;
    SQLHDBC dbc;
    SQLHSTMT stmt; /* there is one: the connection is open */
    bool open;
    struct ss_rows *stream; /* description of the open stream */
    uint32_t array;         /* rows bound at once */
    /* Of the caller. */
    bool streaming, broken, dirty, transaction;
    bool lost; /* the server has rolled the transaction back on its own */
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

/* ---- connect.c ---- */
struct ss_job *ss_job_new(tn_rc (*work)(void *, struct hand_job *, tn_err *), tn_err *err);
void ss_job_free(struct hand_job *job);
/* Runs it in the connection's thread; TN_OK: it is the caller's again. */
tn_rc ss_do(struct ss_conn *c, struct ss_job *job, uint64_t deadline_ns, tn_err *err);
/* For time limits of the driver, which has whole seconds; 0: there is none. */
SQLULEN ss_seconds(const struct ss_job *job);
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

/* ---- exec.c: in the thread ---- */
tn_rc ss_exec(void *conn, struct hand_job *job, tn_err *err);
tn_rc ss_stream_start(void *conn, struct hand_job *job, tn_err *err);
tn_rc ss_stream_next(void *conn, struct hand_job *job, tn_err *err);
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
