/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the PostgreSQL connector share. */
#pragma once
#include "common/bell.h"
#include "common/net.h"
#include "common/sql_text.h"

#include <libpq-fe.h>
#include <tenon/tenon.h>

struct pg_conf {
    const char *host, *user, *database, *charset, *application;
    int64_t port;
    tn_secret password, tls_key;
    const char *tls, *tls_ca, *tls_cert, *target;
    tn_dur statement_timeout;
    tn_bytes max_result;
};
struct pg { /* an instance */
    const struct pg_conf *conf;
};
struct pg_conn {
    const struct pg_conf *conf;
    PGconn *pq;
    const char *fix;  /* statements that make dates and intervals readable, "" = the server's are */
    int resetting;    /* a reset was sent; its answer is read before the next operation */
    int streaming;    /* rows of stream_start() are under way */
    int ascii;        /* the server does not know its encoding: texts are checked */
    size_t label;     /* bytes of the last statement that name the calling function */
    struct bell bell; /* rung when the call is canceled */
};
/* A result: of one statement, or rows of a stream, each in a PGresult of its own. */
struct pg_result {
    PGresult **res;
    uint32_t n;
    int64_t number;
    int ascii;
};
enum {
    PG_QUERY = 1,
    PG_NON_QUERY,
    PG_CHECK,
    PG_BEGIN,
    PG_COMMIT,
    PG_ROLLBACK,
    PG_STREAM_START,
    PG_STREAM_NEXT
};
extern const tn_host *pg_host;

/* connect.c */
tn_rc pg_open(void *inst, uint64_t deadline_ns, void **ret_conn, tn_err *err);
void pg_close(void *inst, void *conn, uint32_t why);

/* Texts may be something else than UTF-8: of a server without an encoding, or a script has asked for it. */
int pg_ascii(const struct pg_conn *c);

/* exec.c: all of them work within the deadline; a connection that cannot be used again is marked in err. */
/* Sends a reset and does not wait for it. */
tn_rc pg_reset(void *inst, void *conn, tn_err *err);
/* One statement; *ret belongs to the caller. params NULL: several statements are allowed. */
tn_rc pg_exec(struct pg_conn *c, tn_str sql, const tn_val *params, uint64_t deadline_ns,
              PGresult **ret, tn_err *err);
tn_rc pg_simple(struct pg_conn *c, const char *sql, uint64_t deadline_ns, tn_err *err);
tn_rc pg_stream_start(struct pg_conn *c, tn_str sql, const tn_val *params, uint64_t deadline_ns,
                      tn_err *err);
/* Up to max rows; fewer: the stream has ended. */
tn_rc pg_stream_next(struct pg_conn *c, uint32_t max, uint64_t deadline_ns, struct pg_result *ret,
                     tn_err *err);

/* bind.c: values as libpq takes them. */
struct pg_binds {
    Oid *types;
    const char **values;
    int *lengths, *formats;
    char *text; /* memory of formatted values */
    int n;
};
tn_rc pg_bind(const struct sql_text *t, struct pg_binds *ret, tn_err *err);
void pg_binds_finish(struct pg_binds *b);

/* value.c: texts of the server as values. `scratch` is memory for what has to be converted; it grows and is
 * reused for each row. */
struct pg_scratch {
    char *mem;
    size_t used, cap;
    tn_val *items;
    uint32_t nitems, cap_items;
};
uint32_t pg_col_type(Oid type); /* TN_T_*, TN_T_NULL when it varies */
/* The size of scratch that the value may need at most is made before a row is converted. */
int pg_scratch_room(struct pg_scratch *s, size_t bytes);
void pg_scratch_finish(struct pg_scratch *s);
int pg_value(struct pg_scratch *s, Oid type, const char *p, size_t n, int ascii, tn_val *ret);

/* emit.c */
tn_rc pg_emit(void *inst, const tn_result *r, tn_sink *sink, tn_err *err);
void pg_result_free(void *inst, tn_result *r);

/* error.c */
/* The error of a statement's result. */
tn_rc pg_error(struct pg_conn *c, const PGresult *res, tn_err *err);
/* libpq's own error: the connection is gone. sent: something may have been executed. */
tn_rc pg_lost(struct pg_conn *c, int sent, tn_err *err);
/* Connecting failed; libpq only has text. */
tn_rc pg_refused(const struct pg_conf *conf, const char *text, tn_err *err);
