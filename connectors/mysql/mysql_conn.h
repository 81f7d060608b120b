/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the MySQL connector share. */
#pragma once
#include "common/bell.h"
#include "common/net.h"
#include "common/sql_text.h"

#include <mysql.h>
#include <stdbool.h>
#include <tenon/tenon.h>

struct my_conf {
    const char *host, *user, *database, *charset, *application, *timezone;
    int64_t port;
    tn_secret password, tls_key;
    const char *tls, *tls_ca, *tls_cert;
    bool multi_statements;
    tn_bytes max_result;
};
struct my { /* an instance */
    const struct my_conf *conf;
};
/* Buffers that rows of a prepared statement are fetched into. */
struct my_cell {
    char *buf;
    unsigned long cap, n;
    my_bool null, cut;
};
#define ROLE_BYTES 520 /* 128 characters, and what stands before them */
struct my_conn {
    const struct my_conf *conf;
    MYSQL *my;
    MYSQL_RES *res;   /* the open result, also the description of a prepared one */
    MYSQL_STMT *stmt; /* the open prepared statement */
    MYSQL_BIND *binds;
    struct my_cell *cells;
    bool streaming;         /* rows of stream_start() are under way */
    bool late;              /* a deadline has passed: the socket is shut down */
    bool tls;               /* the session is encrypted */
    bool ready;             /* connected: a late statement is stopped at the server, too */
    bool canceled;          /* late, because the call was canceled */
    bool role;              /* it may not be the one any more that the session began with … */
    char began[ROLE_BYTES]; /* … which is this one; "" until somebody wants to know, "-": none */
    bool transaction, lost; /* begun by MY_BEGIN; ended by the server since */
    struct bell bell;
};

/* How texts of a column become values. */
enum { MY_TEXT, MY_BYTES, MY_INT, MY_BIG, MY_FLOAT, MY_DECIMAL, MY_DATE, MY_TIME, MY_SPAN };
struct my_col {
    char *name;
    uint32_t name_len;
    uint8_t kind;
};
/* Rows in memory: cells one after the other as a length (-1: NULL) and bytes with a NUL behind them. */
struct my_chunk {
    struct my_chunk *next;
    size_t n, cap;
    char data[];
};
struct my_rows {
    struct my_col *cols;
    uint32_t ncols;
    struct my_chunk *first, *last;
    int64_t n, affected;
    size_t bytes;
};
enum {
    MY_QUERY = 1,
    MY_NON_QUERY,
    MY_CHECK,
    MY_CLEAR_TABLE,
    MY_BEGIN,
    MY_COMMIT,
    MY_ROLLBACK,
    MY_STREAM_START,
    MY_STREAM_NEXT
};
extern const tn_host *my_host;

/* ---- connect.c ---- */
tn_rc my_open(void *inst, uint64_t deadline_ns, void **ret_conn, tn_err *err);
void my_close(void *inst, void *conn, uint32_t why);
void my_cancel(void *inst, void *conn);
tn_rc my_reset(void *inst, void *conn, tn_err *err);
/* Waits for what the library waits for. After the deadline the socket is shut down, so that the operation ends at
 * once, with an error, and the server is told to stop. Returns what the library wants to hear. */
int my_wait(struct my_conn *c, int events, uint64_t deadline_ns);
/* Before operations: with TLS the library reads as the socket is, and calls of it that wait make it block. */
void my_async(struct my_conn *c);
/* Runs an operation of the library to its end: `start` begins it, `op`_cont goes on. */
#define MY_AWAIT(c, deadline_ns, start, op, ret, obj)                                              \
    for (int my_events = (start); my_events != 0;                                                  \
         my_events = op##_cont(&(ret), (obj), my_wait((c), my_events, (deadline_ns)))) {}

/* ---- exec.c ---- */
/* Sends a statement; its result, if there is one, is open afterwards. */
tn_rc my_start(struct my_conn *c, tn_str sql, const tn_val *params, uint64_t deadline_ns,
               tn_err *err);
/* Reads up to max rows of the open result; *ret_end: there are no more. rows is zeroed by the caller, who finishes
 * it in every case. */
tn_rc my_fetch(struct my_conn *c, uint64_t max, uint64_t deadline_ns, struct my_rows *rows,
               bool *ret_end, tn_err *err);
/* Reads what follows the result that my_fetch() has read to its end: further ones of a procedure or of several statements. The first
 * one with columns is kept in rows when those have none yet, rows changed are added to *affected. */
tn_rc my_rest(struct my_conn *c, uint64_t deadline_ns, struct my_rows *rows, int64_t *affected,
              tn_err *err);
/* Ends the statement: results that were not read mean that the connection cannot be used again. */
void my_finish(struct my_conn *c);
/* The whole of a statement. rows may be NULL: then they are read and dropped. */
tn_rc my_exec(struct my_conn *c, tn_str sql, const tn_val *params, uint64_t deadline_ns,
              struct my_rows *rows, int64_t *ret_affected, tn_err *err);
tn_rc my_simple(struct my_conn *c, const char *sql, uint64_t deadline_ns, tn_err *err);
/* The role of the session as "-" (none, or a server without roles) or "=name". */
tn_rc my_role(struct my_conn *c, uint64_t deadline_ns, char ret[ROLE_BYTES], tn_err *err);

/* ---- words.c ---- */
bool my_changes_rows(tn_str sql); /* rows of its result are rows that it changed (RETURNING) */
/* The role may be another one afterwards. several: there may be more statements in the text. */
bool my_changes_role(tn_str sql, bool several);

/* ---- bind.c ---- */
struct my_params {
    MYSQL_BIND *binds;
    MYSQL_TIME *times;
    uint32_t n;
};
tn_rc my_bind(const struct sql_text *t, struct my_params *ret, tn_err *err);
void my_params_finish(struct my_params *p);

/* ---- rows.c ---- */
tn_rc my_rows_describe(struct my_rows *rows, const MYSQL_RES *res, tn_err *err);
/* One row; p[i] NULL is NULL. TN_E_LIMIT beyond max bytes. */
tn_rc my_rows_add(struct my_rows *rows, char *const *p, const unsigned long *n, size_t max,
                  tn_err *err);
/* The first cell; NULL: it is NULL, or there are no rows. */
const char *my_rows_first(const struct my_rows *rows);
void my_rows_finish(struct my_rows *rows);
tn_rc my_rows_emit(const struct my_rows *rows, tn_sink *sink, tn_err *err);

/* ---- error.c ---- */
tn_rc my_error(struct my_conn *c, unsigned code, const char *state, const char *text, tn_err *err);
tn_rc my_refused(const struct my_conf *conf, unsigned code, const char *text, tn_err *err);
