/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the MongoDB connector share. */
#pragma once
#include "common/stream.h"

#include <mongoc/mongoc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <tenon/tenon.h>

#define MG_DEPTH_MAX   100 /* levels of nesting in a document, as the server has it */
#define MG_CURSORS_MAX 64  /* open cursors of a call that are known and closed at its end */

struct mg_conf {
    const char *host, *uri, *user, *database, *auth_source, *auth_mechanism, *replica_set;
    const char *read_preference, *compressors, *application;
    int64_t port;
    bool direct, retry_writes;
    tn_secret password, tls_key;
    const char *tls, *tls_ca, *tls_cert;
    tn_bytes max_result;
};
struct mg { /* an instance */
    const struct mg_conf *conf;
    pthread_mutex_t lock;
    struct stream_tls tls; /* made by the first connection */
    bool tls_made;
};

/* A socket of a connection; a replica set has one for each member. */
struct mg_line {
    mongoc_stream_t vt; /* first: libmongoc's view of it */
    struct stream s;
    struct mg_conn *c;
    struct mg_line *next;
    uint64_t limit_ns;    /* while connecting: of this member alone */
    uint8_t *msg;         /* the message under way, whole and checked */
    size_t msg_n, msg_at; /* its bytes, and how many of them libmongoc has */
    uint32_t at, end;     /* unread bytes of buf */
    uint8_t buf[8192];    /* of what follows */
    uint8_t asked[16];    /* the head of the message that is being sent */
    uint32_t asked_n, asked_left;
};
struct mg_cursor {
    int64_t id;
    uint32_t server;
    char ns[256];
};
struct mg_conn {
    struct mg *inst;
    mongoc_client_t *client;
    mongoc_client_session_t *session; /* of a script that started one on this connection */
    pthread_mutex_t lock;             /* of lines: cancel() reads the list */
    struct mg_line *lines;
    uint64_t deadline_ns; /* of the operation under way */
    size_t nread;         /* bytes that its replies had so far */
    tn_err why;           /* the first thing that went wrong on a line; rc TN_OK: nothing did */
    bool opening, over, fresh;
    atomic_bool working, canceled;
    uint32_t serial; /* tells connections of one process apart */
    int32_t wire; /* version of the protocol that the server we write to speaks; 0: not asked yet */
    uint32_t ncursors;
    struct mg_cursor cursors[MG_CURSORS_MAX];
};
extern const tn_host *mg_host;

/* ---- line.c ---- */
/* libmongoc's way to a server: our stream, with our deadlines. user: the struct mg_conn. */
mongoc_stream_t *mg_dial(const mongoc_uri_t *uri, const mongoc_host_list_t *host, void *user,
                         bson_error_t *error);
/* The server has closed a line, or said something nobody asked for. */
bool mg_stale(const struct mg_conn *c);

/* For message.c: what stream_read() does, within the operation's time. */
tn_rc mg_line_read(struct mg_line *l, void *p, size_t cap, size_t *ret_n, tn_err *err);

/* ---- message.c ---- */
/* The next message of a line into l->msg. What went wrong is in l->c->why. */
tn_rc mg_message(struct mg_line *l);
void mg_message_drop(struct mg_line *l);
/* Bytes that were sent: what is asked decides what may be answered. */
void mg_message_sent(struct mg_line *l, const uint8_t *p, size_t n);

/* ---- uri.c ---- */
/* The configuration as libmongoc takes it; *ret belongs to the caller. deadline_ns bounds connecting. */
tn_rc mg_uri(const struct mg_conf *conf, uint64_t deadline_ns, mongoc_uri_t **ret, tn_err *err);
/* "off", "on" or "unverified": what the configuration and the URI say together. */
const char *mg_tls_mode(const struct mg_conf *conf, const mongoc_uri_t *uri);

/* ---- connect.c ---- */
tn_rc mg_open(void *inst, uint64_t deadline_ns, void **ret_conn, tn_err *err);
tn_rc mg_check(void *inst, void *conn, uint64_t deadline_ns, tn_err *err);
tn_rc mg_reset(void *inst, void *conn, tn_err *err);
void mg_close(void *inst, void *conn, uint32_t why);
void mg_cancel(void *inst, void *conn);
/* Before and after everything that talks to a server. */
void mg_begin(struct mg_conn *c, uint64_t deadline_ns);
void mg_end(struct mg_conn *c);

/* ---- error.c ---- */
/* What libmongoc reports, as an error of ours; what happened on the line says more than it does. */
tn_rc mg_fail(struct mg_conn *c, const bson_error_t *error, tn_err *err);

/* ---- run.c ---- */
/* A reply on its way to Python. */
struct mg_reply {
    bson_t doc;
    uint32_t server, conn;
};
/* run(db, command, flags, server, conn): a command as BSON, its reply as it came. */
tn_rc mg_run(struct mg_conn *c, const tn_args *a, uint64_t deadline_ns, struct mg_reply **ret,
             tn_err *err);
/* session(step, options): start, begin, commit, abort, end. */
tn_rc mg_session(struct mg_conn *c, const tn_args *a, uint64_t deadline_ns, tn_err *err);
void mg_reply_free(struct mg_reply *reply);
/* Closes the cursors that a call left open, without waiting for long. */
void mg_close_cursors(struct mg_conn *c);

/* ---- depth.c ---- */
/* A document whose nesting is within MG_DEPTH_MAX and whose structure is sound. */
extern const char mg_too_deep[]; /* the reason when it is the nesting alone, seen so far */
bool mg_sound(const bson_t *doc, const char **ret_why);
