/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the ClickHouse connector share. */
#pragma once
#include "common/sql_text.h"
#include "common/stream.h"
#include "native.h"
#include "zones.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Revisions of the protocol that brought something. */
enum {
    CH_REV_TIME_ZONE = 54058,
    CH_REV_QUOTA_KEY = 54060,
    CH_REV_DISPLAY_NAME = 54372,
    CH_REV_PATCH = 54401,
    CH_REV_VALUES = 54415, /* the server reads rows that stand behind VALUES */
    CH_REV_WRITTEN = 54420,
    CH_REV_TEXT_SETTINGS = 54429,
    CH_REV_SECRET = 54441,
    CH_REV_TELEMETRY = 54442,
    CH_REV_DEPTH = 54448,
    CH_REV_START_TIME = 54449,
    CH_REV_REPLICAS = 54453,
    CH_REV_CUSTOM_COLUMNS = 54454,
    CH_REV_ADDENDUM = 54458,
    CH_REV_PARAMETERS = 54459,
    CH_REV_LEAST = 54060,
    CH_REV_FIRST = 50000 /* the first servers were above it */
};

struct ch_conf {
    const char *host, *user, *database, *application, *settings;
    int64_t port, revision;
    tn_secret password, tls_key;
    const char *tls, *tls_ca, *tls_cert, *compression;
    tn_bytes max_result;
};
struct ch { /* an instance */
    const struct ch_conf *conf;
    pthread_mutex_t lock;
    struct stream_tls tls; /* made by the first connection */
    bool tls_made;
    struct zones zones;
};

struct ch_stat { /* what the server told about a statement */
    uint64_t read_rows, read_bytes, total_rows, written_rows, written_bytes;
    uint64_t rows_before_limit;
    bool has_rows_before_limit;
};
struct ch_conn {
    struct ch *inst;
    struct stream stream;
    struct ch_in raw;  /* what the server sends */
    struct ch_in body; /* blocks, when they are compressed */
    struct ch_out out; /* a request being written */
    uint32_t rev;      /* agreed revision */
    uint32_t major, minor, patch;
    char zone[64];
    uint8_t method; /* of compression, 0 = none */
    uint64_t deadline_ns;
    tn_rc stopping; /* the server was told to stop; why */
    bool running;   /* the server works on a statement: it may be told to stop */
    bool refused;   /* it answered with an error */
    bool streaming; /* of stream_start() */
    bool fresh;     /* nothing was sent since the connection was given out */
    bool changed;   /* the session was changed; it is not reused */
    atomic_bool working, canceled;
    atomic_bool listening; /* who reads will see a cancel, and tell the server */
    struct ch_stat stat;
    struct ch_part *part; /* of a stream: the block that is being told */
    size_t part_at;
};

/* A block that several results may tell parts of. */
struct ch_part {
    struct ch_block block;
    atomic_uint refs;
    struct ch_part *next;
};
struct ch_result {
    struct ch_part *first, *last; /* rows; also the head, which has none */
    struct ch_part *totals, *extremes;
    size_t from, rows; /* of a stream: rows of the first block */
    bool window;
    int64_t number;
    struct ch_stat stat;
    char zone[64];
};
enum {
    CH_QUERY = 1,
    CH_NON_QUERY,
    CH_EXECUTE,
    CH_INSERT,
    CH_CHECK,
    CH_STREAM_START,
    CH_STREAM_NEXT
};
extern const tn_host *ch_host;

/* ---- connect.c --------------------------------------------------------------------------------------- */
tn_rc ch_open(void *inst, uint64_t deadline_ns, void **ret_conn, tn_err *err);
tn_rc ch_check(void *inst, void *conn, uint64_t deadline_ns, tn_err *err);
tn_rc ch_reset(void *inst, void *conn, tn_err *err);
void ch_close(void *inst, void *conn, uint32_t why);
void ch_cancel(void *inst, void *conn);

/* ---- packet.c ---------------------------------------------------------------------------------------- */
enum {
    CH_P_HELLO = 0,
    CH_P_DATA = 1,
    CH_P_EXCEPTION = 2,
    CH_P_PROGRESS = 3,
    CH_P_PONG = 4,
    CH_P_END = 5,
    CH_P_PROFILE = 6,
    CH_P_TOTALS = 7,
    CH_P_EXTREMES = 8,
    CH_P_LOG = 10,
    CH_P_COLUMNS = 11,
    CH_P_EVENTS = 14,
};
/* The next packet. DATA, TOTALS and EXTREMES fill *ret_block, whose memory `max` bounds; PROGRESS and PROFILE are
 * added to c->stat; an EXCEPTION is the failure it tells, and the connection stays usable. Any other failure is marked
 * TN_ERR_CONN_BROKEN. */
tn_rc ch_packet(struct ch_conn *c, size_t max, uint32_t *ret_type, struct ch_block *ret_block,
                tn_err *err);
/* Sends what is in c->out. */
tn_rc ch_send(struct ch_conn *c, tn_err *err);
/* From now on until `deadline_ns`; what has to be read is read. */
void ch_begin(struct ch_conn *c, uint64_t deadline_ns);
/* Tells the server to stop and gives it a moment. */
void ch_stop(struct ch_conn *c, tn_rc why);
/* A failure after which the connection is of no use. */
tn_rc ch_broken(tn_rc rc, tn_err *err);
/* Appends a block to c->out, compressed when that was agreed. */
void ch_put_block(struct ch_conn *c, const struct ch_out *block);
void ch_put_empty_block(struct ch_conn *c);
/* What the inputs of a connection are filled by. */
tn_rc ch_more(struct ch_in *in, tn_err *err);
tn_rc ch_more_body(struct ch_in *in, tn_err *err);

/* ---- exec.c ------------------------------------------------------------------------------------------ */
/* Options of a statement, from the arguments of a method. */
struct ch_ask {
    tn_str sql;
    const tn_val *params, *settings, *query_id;
    bool stream;
};
tn_rc ch_run(struct ch_conn *c, const struct ch_ask *ask, uint64_t deadline_ns,
             struct ch_result *ret, tn_err *err);
tn_rc ch_stream_start(struct ch_conn *c, const struct ch_ask *ask, uint64_t deadline_ns,
                      tn_err *err);
/* Up to max rows; fewer: the stream has ended. */
tn_rc ch_stream_next(struct ch_conn *c, uint32_t max, uint64_t deadline_ns, struct ch_result *ret,
                     tn_err *err);
/* Sends a statement; the rest of the request follows. tail: rows behind VALUES that the server does not read itself. */
tn_rc ch_put_query(struct ch_conn *c, const struct ch_ask *ask, struct sql_text *ret_text,
                   tn_str *ret_tail, tn_err *err);
/* Reads until the statement has ended; what comes goes into ret, NULL: it is dropped. */
tn_rc ch_collect(struct ch_conn *c, struct ch_result *ret, tn_err *err);
struct ch_part *ch_part_new(struct ch_block *take);
void ch_part_drop(struct ch_part *p);
void ch_result_drop(struct ch_result *r);

/* ---- settings.c -------------------------------------------------------------------------------------- */
/* All of them, and the end of their list. */
tn_rc ch_put_settings(struct ch_conn *c, const struct ch_ask *ask, tn_err *err);

/* ---- bind.c ------------------------------------------------------------------------------------------ */
/* How the values of a statement reach the server. */
struct ch_binder {
    const struct ch_conn *c;
    struct ch_out params; /* as settings; of servers that have parameters */
    uint32_t n;
    bool literals;
};
tn_rc ch_bind(void *binder, struct sql_text *out, const tn_val *v, tn_err *err);

/* ---- insert.c ---------------------------------------------------------------------------------------- */
tn_rc ch_insert(struct ch_conn *c, const tn_args *a, uint64_t deadline_ns, struct ch_result *ret,
                tn_err *err);
/* Rows as literals ("(1, 'a'), (2, NULL)"), which an old server does not read, for the columns of its sample block. */
tn_rc ch_insert_values(struct ch_conn *c, const struct ch_block *sample, tn_str tail,
                       int64_t *ret_rows, tn_err *err);

/* ---- values.c ---------------------------------------------------------------------------------------- */
/* Where the rows of an INSERT … VALUES begin, sql.n: it is no such statement. */
size_t ch_values_at(tn_str sql);
/* Does it say VALUES, with rows behind it or none? */
bool ch_has_values(tn_str sql);
/* Is it an INSERT? */
bool ch_is_insert(tn_str sql);
/* Does it leave something in its session (settings, a database, a temporary table, a transaction, another user)? */
bool ch_changes_session(tn_str sql);
/* The rows as a list of lists in memory of m. TN_E_INVAL says what is no literal. */
tn_rc ch_values_parse(const tn_host *host, struct ch_mem *m, tn_str text, tn_val *ret, tn_err *err);

/* ---- emit.c ------------------------------------------------------------------------------------------ */
tn_rc ch_emit(void *inst, const tn_result *r, tn_sink *sink, tn_err *err);
void ch_result_free(void *inst, tn_result *r);
