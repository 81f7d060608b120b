/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of frontend_http among themselves: configuration, connections, exchanges. Everything runs
 * on the hub's loop thread. */
#pragma once
#include "text.h"
#include <microhttpd.h>
#include <stdbool.h>
#include <tenon/config.h>
#include <tenon/frontend.h>
#include <tenon/host.h>

extern const tn_host *fe_host; /* set once by load() */

struct fe_conf {
    tn_dur header_timeout, idle_timeout, send_timeout, body_grace;
    tn_bytes body_rate;
    int64_t max_connections, max_per_ip;
    int64_t max_headers, max_fields;
    tn_bytes max_request_line, max_header_bytes, connection_memory, drain_body;
    bool gzip;
    int64_t gzip_level;
    tn_bytes gzip_min;
    const char *trusted_proxies;
    const char *spool_dir;
};
extern const tn_field fe_fields[];

struct list_node {
    struct list_node *prev, *next;
};

/* ---- peers.c: who connects, and how often ------------------------------------------------------- */
struct peers;
struct peers *peers_create(const char *trusted, tn_err *err); /* CIDR list, "" or NULL: nobody */
void peers_destroy(struct peers *p);
/* Does that address have `limit` connections already (0 = no limit)? */
bool peers_full(const struct peers *p, const struct sockaddr *addr, uint32_t limit);
/* Counts a connection; false: it is not counted (loopback, no memory) and must not leave. */
bool peers_enter(struct peers *p, const struct sockaddr *addr);
void peers_leave(struct peers *p, const struct sockaddr *addr);
bool peers_trusted(const struct peers *p, const struct sockaddr *addr);
/* The client that a trusted proxy names in X-Forwarded-For: right-most address that is not a proxy
 * itself; absent when the list is empty or broken. */
tn_str peers_forwarded(const struct peers *p, tn_str list);

/* ---- server.c: daemons, connections, time ------------------------------------------------------- */
enum phase {
    PHASE_NEW,  /* accepted, no request line yet */
    PHASE_IDLE, /* between two requests */
    PHASE_HEAD, /* request line seen, headers not complete */
    PHASE_BODY, /* reading the body */
    PHASE_CALL, /* the kernel has it */
    PHASE_SEND, /* the answer is on its way */
    PHASE_STREAM, /* an answer in pieces, and no piece waits */
};
struct conn {
    struct list_node link;
    struct server *server;
    struct MHD_Connection *mhd;
    struct exchange *ex; /* NULL between requests */
    uint64_t phase_ns;   /* when the phase began */
    uint64_t progress;   /* PHASE_SEND: bytes acknowledged so far */
    uint64_t progress_ns;
    int fd;
    uint8_t phase;
    bool counted;     /* in peers */
    bool trusted;     /* a proxy we believe */
    bool killed;      /* shutdown(2) was called, MHD will notice */
    bool peeked;      /* ended() looked in this phase */
    /* sockaddr_in or sockaddr_in6, read through those types */
    _Alignas(uint32_t) uint8_t addr[28];
    char peer[46];    /* INET6_ADDRSTRLEN */
    uint8_t peer_n;
};
struct listener {
    struct server *server;
    struct MHD_Daemon *mhd;
    tn_watch *watch;
};
struct server {
    const struct fe_conf *conf;
    struct listener *listeners;
    uint32_t nlisteners;
    struct peers *peers;
    struct list_node conns;
    uint32_t nconns;
    uint32_t parked;              /* exchanges that wait without being suspended, see exchange.c */
    uint32_t park_limit;          /* so many may */
    uint32_t answers;             /* queued since libmicrohttpd ran */
    uint32_t batch;               /* their running average, in sixteenths */
    uint64_t now_ns;              /* taken before libmicrohttpd runs */
    uint64_t events, events_seen; /* callbacks of libmicrohttpd, to tell work from spinning */
    uint32_t idle_runs;
    struct exchange *pool;
    uint32_t npool;
    uint64_t last_id;
    tn_timer *sweep;
    bool sweeping, draining, stopped;
    bool kick;       /* libmicrohttpd has work that no descriptor announces */
    bool resumed;    /* a connection was resumed since it ran */
    bool raw_layout; /* the request head lies in one piece, see layout.c */
};
tn_rc server_start(struct server *s, const int32_t *fds, uint32_t n, tn_err *err);
void server_drain(struct server *s);
void server_stop(struct server *s);
void conn_phase(struct conn *c, enum phase phase);
/* Cuts the connection; MHD notices and tells exchange_completed(). */
void conn_kill(struct conn *c);

/* ---- exchange.c: one request from its first line to the end of the answer ----------------------- */
#define EX_HEADERS 64
#define EX_ROOM    2560
struct chunk {
    struct chunk *next;
};
struct body;
struct upload;
struct stream;
struct exchange {
    tn_http_req req; /* first: the kernel's pointer is ours */
    struct server *server;
    struct conn *conn; /* NULL once MHD has finished with it */
    struct MHD_Connection *mhd;
    struct exchange *next_free;
    tn_http_plan plan;
    struct MHD_Response *response; /* answer that waits to be queued */
    uint32_t status;
    uint32_t refused; /* status of a refusal of our own, 0 = none */
    const char *refused_text;
    bool head_done; /* the headers were read */
    bool expect_continue;
    bool kernel; /* between begin() and release() */
    bool submitted;
    bool answered;           /* reply() came, or nobody waits for it any more */
    bool handed_over;        /* submit() was called: uploaded files belong to the api */
    bool draining_body;      /* the body is read and thrown away */
    bool waiting;            /* complete, and without an answer: parked or suspended */
    bool suspended;          /* out of libmicrohttpd's hands */
    bool queued;             /* libmicrohttpd has the answer */
    bool watched;            /* exchange_watch_gone() was called */
    uint64_t content_length; /* UINT64_MAX: chunked */
    uint64_t received, drain_until;
    size_t head_memory; /* libmicrohttpd's memory that the request head holds */
    struct body *body;
    struct upload *upload;
    struct stream *stream; /* the answer comes in pieces */
    tn_watch *gone;   /* looks for a client that leaves during a long call */
    const char *line; /* request target in libmicrohttpd's buffer, and its length */
    size_t line_n;
    struct chunk *chunks;
    size_t used;
    tn_http_pair headers[EX_HEADERS];
    char room[EX_ROOM];
};
void *exchange_uri(void *cls, const char *uri, struct MHD_Connection *mhd);
enum MHD_Result exchange_access(void *cls, struct MHD_Connection *mhd, const char *url,
                                const char *method, const char *version, const char *data,
                                size_t *size, void **con_cls);
void exchange_completed(void *cls, struct MHD_Connection *mhd, void **con_cls,
                        enum MHD_RequestTerminationCode why);
tn_rc exchange_reply(struct exchange *ex, const tn_http_reply *r, tn_err *err);
void exchange_release(struct exchange *ex);
/* ex->response is there: on its way with it, when the request is complete. */
void exchange_answer(struct exchange *ex);
void exchange_pool_free(struct server *s);
/* Memory that lives as long as the exchange; NULL when there is none. */
void *exchange_alloc(struct exchange *ex, size_t n, size_t align);
/* Gives a suspended connection back to libmicrohttpd. */
void exchange_unsuspend(struct exchange *ex);
/* A call takes long: look for a client that leaves meanwhile. */
void exchange_watch_gone(struct exchange *ex);
/* Notes why this request is refused; the first reason counts. */
void exchange_refuse(struct exchange *ex, uint32_t status, const char *text);

/* ---- head.c: the request head, validated --------------------------------------------------------- */
/* Fills ex->req from MHD. false: ex->refused says why. */
bool head_read(struct exchange *ex, const char *method, const char *version);
/* The same for the target, when the request line is there. */
void head_target(struct exchange *ex, const char *uri);
/* Trailer fields of a chunked body: bounded and harmless, then ignored. */
bool head_trailers(struct exchange *ex);

/* ---- layout.c: may head.c conclude from pointers? ------------------------------------------------ */
bool layout_probe(size_t connection_memory);

/* ---- body.c: bytes of a body, in memory or in an unlinked file ----------------------------------- */
struct body *body_create(const char *dir, uint64_t expected, uint64_t spool_above);
tn_rc body_add(struct body *b, const void *data, size_t n);
/* Complete: the bytes, mapped when spooled; valid until body_destroy(). */
tn_rc body_done(struct body *b, const uint8_t **ret, size_t *ret_n);
void body_destroy(struct body *b);

/* ---- upload.c: multipart/form-data to fields and files ------------------------------------------- */
struct upload *upload_create(struct exchange *ex, tn_str content_type, struct text_refusal *why);
bool upload_add(struct upload *u, const void *data, size_t n, struct text_refusal *why);
/* Sets req.parts, which live until upload_destroy(). */
bool upload_done(struct upload *u, struct text_refusal *why);
/* remove_files: the request failed, nothing of it stays. */
void upload_destroy(struct upload *u, bool remove_files);

/* ---- stream.c: answers in pieces ------------------------------------------------------------------ */
tn_rc stream_begin(struct exchange *ex, const tn_http_reply *head, tn_err *err);
tn_rc stream_send(struct exchange *ex, tn_str data, tn_err *err);
/* No more pieces; what waits is still sent. */
void stream_end(struct exchange *ex);
void stream_free(struct stream *st);

/* ---- reply.c: answers ----------------------------------------------------------------------------- */
tn_rc reply_build(struct exchange *ex, const tn_http_reply *r, struct MHD_Response **ret,
                  uint32_t *ret_status, tn_err *err);
/* The head of an answer in pieces; the body comes from `read`. */
tn_rc reply_build_stream(struct exchange *ex, const tn_http_reply *head,
                         MHD_ContentReaderCallback read, struct MHD_Response **ret, tn_err *err);
/* Plain text answer of our own for requests that never reach the kernel. */
struct MHD_Response *reply_refusal(uint32_t status, const char *text);
void reply_drop(const tn_http_reply *r);
