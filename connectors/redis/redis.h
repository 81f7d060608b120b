/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the Redis connector share. */
#pragma once
#include "common/label.h"
#include "common/stream.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <tenon/tenon.h>

struct redisReader;

struct rd_conf {
    const char *host, *user, *auth_type, *application;
    int64_t port, database;
    tn_secret password, tls_key;
    bool use_ssl, use_tls;
    const char *tls, *tls_ca, *tls_cert;
    tn_bytes max_result;
    int64_t ts_min_interval, ts_max_age, ts_max_period;
};
struct rd { /* an instance */
    const struct rd_conf *conf;
    pthread_mutex_t lock;
    struct stream_tls tls; /* made by the first connection */
    bool tls_made;
};

/* A reply, or what a method made of it. */
enum { RD_NIL, RD_INT, RD_BOOL, RD_FLOAT, RD_TEXT, RD_STATUS, RD_ERROR, RD_LIST, RD_MAP };
struct rd_node {
    uint8_t type;
    uint32_t n; /* bytes, or items; of a MAP keys and values take turns */
    union {
        int64_t i;
        double f;
        struct rd_node **items;
    } u;
    char s[]; /* TEXT, STATUS, ERROR; NUL behind them */
};

struct rd_conn {
    struct rd *inst;
    struct stream stream;
    struct redisReader *reader;
    char *wire; /* a request being written */
    size_t n, cap;
    size_t used, fed;              /* memory and bytes of the reply being read */
    bool over;                     /* it outgrew max_result */
    bool fresh;                    /* nothing was sent since the connection was given out */
    atomic_bool working, canceled; /* an invoke() runs; somebody wants it to end */
    char label[LABEL_MAX];         /* the function that the server shows for it */
    unsigned owed;                 /* replies to what no caller asked */
    bool changed;                  /* a command has changed the session; it is not reused */
};
extern const tn_host *rd_host;
extern const tn_field rd_fields[]; /* of struct rd_conf */

/* ---- reply.c ---- */
extern const struct redisReplyObjectFunctions
    rd_functions; /* with a struct rd_conn as private data */
struct rd_node *rd_node_new(uint8_t type,
                            size_t n); /* n bytes of text, or items; NULL: no memory */
struct rd_node *rd_text(const char *s, size_t n);
void rd_free(struct rd_node *node);
/* Another value in the same place. */
void rd_become(struct rd_node *node, uint8_t type, int64_t i);
static inline bool rd_is(const struct rd_node *node, uint8_t type, const char *text)
{
    return node->type == type && strcmp(node->s, text) == 0;
}
/* Of a list: its items become a map (their number must be even), pairs [a, float(b)], floats. */
void rd_as_map(struct rd_node *node);
tn_rc rd_as_scores(struct rd_node *node, tn_err *err);
void rd_as_float(struct rd_node *node);
/* raw: texts as bytes. */
tn_rc rd_describe(const struct rd_node *node, bool raw, tn_sink *sink);

/* ---- wire.c ---- */
/* A command: values that are borrowed until it is sent. */
struct rd_cmd {
    tn_val few[16], *v;
    uint32_t n, cap;
    tn_rc rc; /* the first failure of an rd_arg…(); told when it is sent */
    char number[32];
};
void rd_cmd_init(struct rd_cmd *cmd, const char *words); /* words of the command, with blanks */
void rd_arg(struct rd_cmd *cmd, const tn_val *v);
void rd_arg_str(struct rd_cmd *cmd, const char *s, size_t n);
void rd_arg_int(struct rd_cmd *cmd, int64_t i);
void rd_arg_all(struct rd_cmd *cmd, const tn_val *v); /* the items of a list, or the value itself */
void rd_arg_pairs(struct rd_cmd *cmd, const tn_val *v, bool swap); /* a dict as key value … */
void rd_cmd_finish(struct rd_cmd *cmd);
/* Appends the command to the request that is being written. */
tn_rc rd_put(struct rd_conn *c, const struct rd_cmd *cmd, tn_err *err);
/* Sends what was put, and reads one reply for each. An error reply of the server is no failure here. */
tn_rc rd_send(struct rd_conn *c, uint64_t deadline_ns, tn_err *err);
tn_rc rd_read(struct rd_conn *c, uint64_t deadline_ns, struct rd_node **ret, tn_err *err);
/* The same in two steps, for who waits for several things: a reply that is there already (*ret NULL: none is), and
 * what the server has sent by now, waiting a moment at most. */
tn_rc rd_next(struct rd_conn *c, struct rd_node **ret, tn_err *err);
tn_rc rd_fill(struct rd_conn *c, uint64_t deadline_ns, tn_err *err);
/* put, send, read; an error reply is a failure. Finishes cmd in every case. */
tn_rc rd_exec(struct rd_conn *c, struct rd_cmd *cmd, uint64_t deadline_ns, struct rd_node **ret,
              tn_err *err);
/* An error reply as an error. */
tn_rc rd_refused(struct rd_conn *c, const struct rd_node *node, tn_err *err);

/* ---- connect.c ---- */
tn_rc rd_open(void *inst, uint64_t deadline_ns, void **ret_conn, tn_err *err);
tn_rc rd_check(void *inst, void *conn, uint64_t deadline_ns, tn_err *err);
tn_rc rd_reset(void *inst, void *conn, tn_err *err);
void rd_close(void *inst, void *conn, uint32_t why);
void rd_cancel(void *inst, void *conn);

/* ---- special.c ---- */
/* What a command named by a script does to the connection, before it is sent: some are refused. */
tn_rc rd_admit(struct rd_conn *c, const struct rd_cmd *cmd, tn_err *err);
/* Its reply as scripts know it (as redis-py has it). */
void rd_shape(const tn_val *name, struct rd_node *node);

/* ---- special.c, pipeline.c, keys.c, script.c, series.c: methods that are more than a row of the table ---- */
typedef tn_rc rd_method(struct rd_conn *c, const tn_args *a, uint64_t deadline_ns,
                        struct rd_node **ret, tn_err *err);
rd_method rd_query, rd_pipeline;
rd_method rd_set, rd_hset, rd_mget, rd_hmget, rd_zrange, rd_bpop_left, rd_bpop_right, rd_rpoplpush,
    rd_info;
rd_method rd_keys, rd_hkeys, rd_get_pattern, rd_delete_pattern, rd_hget_pattern, rd_hget_expires,
    rd_hget_pattern_expires;
rd_method rd_lock, rd_extend_lock_time, rd_unlock, rd_zpop_below, rd_zpop_above, rd_zpop_below_all,
    rd_put_tasks;
rd_method rd_ts_add, rd_ts_get;
/* A script by its hash, sent whole when the server does not know it (EVALSHA, EVAL). */
tn_rc rd_script(struct rd_conn *c, const char *source, const tn_val *keys, uint32_t nkeys,
                const tn_val *args, uint32_t nargs, uint64_t deadline_ns, struct rd_node **ret,
                tn_err *err);
static inline int rd_given(const tn_val *v)
{
    return v->type != TN_T_NULL;
}
