/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of frontend_h1 among themselves: connections, exchanges, what is written. Everything runs
 * on the hub's loop thread. */
#pragma once
#include "plugins/frontend_h1/parse.h"
#include "plugins/http_common/http.h"
#include <sys/types.h>
#include <sys/uio.h>

/* ---- server.c: listeners, connections, time ------------------------------------------------------- */
enum phase {
    PHASE_NEW,    /* accepted, not a byte yet */
    PHASE_IDLE,   /* between two requests */
    PHASE_HEAD,   /* the first bytes of a request came */
    PHASE_BODY,   /* reading the body, or throwing it away */
    PHASE_CALL,   /* the kernel has it */
    PHASE_SEND,   /* the answer is on its way */
    PHASE_STREAM, /* an answer in pieces */
    PHASE_LINGER, /* answered for the last time; what still comes is thrown away */
};
/* An idle connection is this, a watch of the loop, and nothing else. */
struct conn {
    struct conn *prev, *next;
    struct server *server;
    struct exchange *ex; /* NULL between requests */
    tn_watch *watch;
    struct conn *next_ready;
    uint64_t phase_ns; /* when the phase began */
    uint64_t dropped;  /* PHASE_LINGER: bytes thrown away */
    int fd;
    uint8_t phase;
    bool counted : 1;  /* in peers */
    bool trusted : 1;  /* a proxy we believe */
    bool readable : 1; /* the socket may have more */
    bool ended : 1;    /* the client sends no more */
    bool running : 1;  /* conn_run() is on the stack */
    bool ready : 1;    /* in server.ready */
    bool dead : 1;     /* closed, in server.graves */
    uint8_t peer_n;
    char peer[PEER_TEXT];
    /* sockaddr_in or sockaddr_in6, read through those types */
    _Alignas(uint32_t) uint8_t addr[28];
};
struct listener {
    struct server *server;
    tn_watch *watch;
    int fd;
};
#define SERVER_IN (64u << 10)
struct server {
    const struct http_conf *conf;
    struct listener *listeners;
    uint32_t nlisteners;
    struct peers *peers;
    struct conn conns;               /* head of the list */
    struct conn *ready, **ready_end; /* connections with work that no event announces */
    uint32_t nconns, limit;
    struct exchange *pool;
    uint32_t npool;
    uint64_t last_id;
    uint64_t now_ns; /* of this turn of the loop, 0 = not asked yet */
    int64_t wall_us, date_s;
    tn_timer *sweep;
    bool sweeping, paused, draining, stopped;
    struct conn *graves; /* closed connections, freed before the loop sleeps */
    char *in;            /* SERVER_IN bytes: large bodies, and what is thrown away */
    char *out;           /* SEND_BUF bytes: the answer that is being written */
    char date[40];       /* "Date: …\r\n" of date_s */
    size_t date_n;
};
/* Both clocks, read once in a turn of the loop. */
uint64_t server_now(struct server *s);
/* A descriptor became free: accept again. */
void server_resume(struct server *s);

/* ---- conn.c: one connection ------------------------------------------------------------------------- */
struct conn *conn_create(struct server *s, int fd, const struct sockaddr *addr);
void conn_phase(struct conn *c, enum phase phase);
/* Goes on as far as possible without waiting. */
void conn_run(struct conn *c);
/* Lets it run before the loop sleeps, if there is something to do. */
void conn_later(struct conn *c);
/* Ends it now; the request that it holds is aborted. */
void conn_close(struct conn *c);
/* The last answer was sent: closes so that the client gets to see it. more: it may still be sending. */
void conn_finish(struct conn *c, bool more);
/* c->ex is over: what was received behind it begins the next one. */
void conn_next(struct conn *c);

/* ---- exchange.c: one request from its first byte to the end of the answer ---------------------------- */
#define EX_BUF (16u << 10)
enum reading {
    READ_HEAD,
    READ_BODY, /* Content-Length */
    READ_CHUNKS,
    READ_DONE,
};
struct exchange {
    struct message msg; /* first: the kernel's pointer is ours */
    struct server *server;
    struct conn *conn; /* NULL once the connection has done with it */
    struct exchange *next_free;
    struct scan scan;
    struct chunked chunked;
    uint8_t reading;
    bool kernel;      /* between begin() and release() */
    bool answered;    /* reply() came, or nobody waits for it any more */
    bool sent;        /* the answer is out */
    bool handed_over; /* submit() was called: uploaded files belong to the api */
    bool discard;     /* the body is read and thrown away */
    bool in_place;    /* the body is collected in buf */
    bool continued;   /* 100 Continue was sent, or need not be */
    bool keep;        /* the client wants the connection to live on */
    bool last;        /* it will not */
    bool broken;      /* the framing is lost, nothing more can be read */
    uint64_t received, drain_until;
    struct body *body;
    struct upload *upload;
    struct rest *rest;        /* of the answer, while the socket takes no more */
    struct stream *stream;    /* the answer comes in pieces */
    uint64_t acked, acked_ns; /* see send_progress() */
    char *mem;                /* buf, or larger memory for a larger head */
    size_t cap, n;            /* of mem, and how much is there */
    size_t used;              /* so much of it was taken */
    char buf[EX_BUF];
};
struct exchange *exchange_get(struct conn *c);
void exchange_free(struct exchange *ex);
void exchange_pool_free(struct server *s);
/* Begins with what is left of the request before; false: no memory. */
bool exchange_adopt(struct exchange *ex, const char *p, size_t n);
/* The connection has done with it: tells the kernel when that still works on an answer. */
void exchange_abort(struct exchange *ex);
/* Answers a request that the kernel never saw, and closes. */
void exchange_refuse(struct exchange *ex);
/* The answer is out: what next? */
void exchange_sent(struct exchange *ex);
/* The connection lets go of it. */
void exchange_leave(struct exchange *ex);

/* ---- request.c: reading it ------------------------------------------------------------------------------- */
/* Takes what was received; false: it needs more bytes, or waits for the kernel or the client. */
bool request_step(struct exchange *ex);
/* Where the next bytes go; 0: nowhere, it does not read now. */
size_t request_room(struct exchange *ex, char **ret);
/* n bytes are there. */
void request_received(struct exchange *ex, const char *p, size_t n);

/* ---- send.c: answers on the wire ------------------------------------------------------------------------ */
#define SEND_HEAD (64u << 10) /* most bytes of an answer's head */
#define SEND_COPY (16u << 10) /* a body up to this is copied behind its head */
enum sent {
    SEND_ALL,
    SEND_REST, /* in ex->rest; send_more() when the socket takes more */
    SEND_FAILED,
};
/* Writes the answer in one go where that is possible. TN_E_INVAL: nothing was sent, and the answer
 * was given back. ret: how far it came. Decides ex->last. */
tn_rc send_answer(struct exchange *ex, const tn_http_reply *r, enum sent *ret, tn_err *err);
enum sent send_more(struct exchange *ex);
/* The head of an answer in pieces, in the server's buffer; given keeps what is its own. ret_body: may
 * pieces follow? */
tn_rc send_stream_head(struct exchange *ex, const tn_http_reply *given, tn_str *ret, bool *ret_body,
                       tn_err *err);
/* sendmsg(2) that takes what the socket takes, 0 for nothing; negative: the connection is broken. */
ssize_t send_bytes(int fd, const struct iovec *iov, size_t n, int flags);
bool send_continue(struct exchange *ex);
/* Bytes that the client has acknowledged since the last look; false: none for too long. */
bool send_progress(struct exchange *ex, uint64_t now, uint64_t limit_ns);
void send_forget(struct exchange *ex);
#define SEND_BUF (SEND_HEAD + SEND_COPY)

/* ---- stream.c: answers in pieces ---------------------------------------------------------------------- */
struct stream;
/* As stream_end(), but the kernel still has the request. */
void stream_stop(struct exchange *ex);
/* The socket takes more. */
void stream_flush(struct exchange *ex);
/* Must the kernel be told that nobody reads? */
bool stream_orphaned(const struct exchange *ex);
/* Has it nothing more to do for this connection? */
bool stream_over(const struct exchange *ex);
void stream_free(struct stream *st);
