/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of frontend_http among themselves: configuration, connections, exchanges. Everything runs
 * on the hub's loop thread. */
#pragma once
#include "plugins/http_common/http.h"
#include <microhttpd.h>

struct fe_conf {
    struct http_conf http; /* first, see HTTP_FIELDS */
    tn_bytes connection_memory;
};
extern const tn_field fe_fields[];

struct list_node {
    struct list_node *prev, *next;
};

/* ---- server.c: daemons, connections, time ------------------------------------------------------- */
enum phase {
    PHASE_NEW,    /* accepted, no request line yet */
    PHASE_IDLE,   /* between two requests */
    PHASE_HEAD,   /* request line seen, headers not complete */
    PHASE_BODY,   /* reading the body */
    PHASE_CALL,   /* the kernel has it */
    PHASE_SEND,   /* the answer is on its way */
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
    bool counted; /* in peers */
    bool trusted; /* a proxy we believe */
    bool killed;  /* shutdown(2) was called, MHD will notice */
    bool peeked;  /* ended() looked in this phase */
    /* sockaddr_in or sockaddr_in6, read through those types */
    _Alignas(uint32_t) uint8_t addr[28];
    char peer[PEER_TEXT];
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
void conn_phase(struct conn *c, enum phase phase);
/* Cuts the connection; MHD notices and tells exchange_completed(). */
void conn_kill(struct conn *c);

/* ---- exchange.c: one request from its first line to the end of the answer ----------------------- */
struct stream;
struct exchange {
    struct message msg; /* first: the kernel's pointer is ours */
    struct server *server;
    struct conn *conn; /* NULL once MHD has finished with it */
    struct MHD_Connection *mhd;
    struct exchange *next_free;
    struct MHD_Response *response; /* answer that waits to be queued */
    uint32_t status;
    bool head_done; /* the headers were read */
    bool kernel;    /* between begin() and release() */
    bool submitted;
    bool answered;      /* reply() came, or nobody waits for it any more */
    bool handed_over;   /* submit() was called: uploaded files belong to the api */
    bool draining_body; /* the body is read and thrown away */
    bool waiting;       /* complete, and without an answer: parked or suspended */
    bool suspended;     /* out of libmicrohttpd's hands */
    bool queued;        /* libmicrohttpd has the answer */
    bool watched;       /* exchange_watch_gone() was called */
    uint64_t received, drain_until;
    size_t head_memory; /* libmicrohttpd's memory that the request head holds */
    struct body *body;
    struct upload *upload;
    struct stream *stream; /* the answer comes in pieces */
    tn_watch *gone;        /* looks for a client that leaves during a long call */
    const char *line;      /* request target in libmicrohttpd's buffer, and its length */
    size_t line_n;
};
void *exchange_uri(void *cls, const char *uri, struct MHD_Connection *mhd);
enum MHD_Result exchange_access(void *cls, struct MHD_Connection *mhd, const char *url,
                                const char *method, const char *version, const char *data,
                                size_t *size, void **con_cls);
void exchange_completed(void *cls, struct MHD_Connection *mhd, void **con_cls,
                        enum MHD_RequestTerminationCode why);
/* ex->response is there: on its way with it, when the request is complete. */
void exchange_answer(struct exchange *ex);
void exchange_pool_free(struct server *s);
/* Gives a suspended connection back to libmicrohttpd. */
void exchange_unsuspend(struct exchange *ex);
/* A call takes long: look for a client that leaves meanwhile. */
void exchange_watch_gone(struct exchange *ex);

/* ---- head.c: the request head, validated --------------------------------------------------------- */
/* Fills ex->msg from MHD. false: ex->msg.refused says why. */
bool head_read(struct exchange *ex, const char *method, const char *version);
/* The same for the target, when the request line is there. */
void head_target(struct exchange *ex, const char *uri);
/* Trailer fields of a chunked body: bounded and harmless, then ignored. */
bool head_trailers(struct exchange *ex);

/* ---- layout.c: may head.c conclude from pointers? ------------------------------------------------ */
bool layout_probe(size_t connection_memory);

/* ---- stream.c: answers in pieces ------------------------------------------------------------------ */
void stream_free(struct stream *st);

/* ---- reply.c: answers ----------------------------------------------------------------------------- */
tn_rc reply_build(struct exchange *ex, const tn_http_reply *r, struct MHD_Response **ret,
                  uint32_t *ret_status, tn_err *err);
/* The head of an answer in pieces; the body comes from `read`. */
tn_rc reply_build_stream(struct exchange *ex, const tn_http_reply *head,
                         MHD_ContentReaderCallback read, struct MHD_Response **ret, tn_err *err);
/* Plain text answer of our own for requests that never reach the kernel. */
struct MHD_Response *reply_refusal(uint32_t status, const char *text);
