/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the NSQ connector share. */
#pragma once
#include "common/http.h"
#include "common/message.h"
#include "common/stream.h"
#include "common/tape.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <tenon/tenon.h>

#define NSQ_NODES_MAX 256
#define NSQ_NAME_MAX  80 /* bytes of a topic or channel, with its zero */

struct nsq_conf {
    const char *host, *protocol, *servers, *application, *channel;
    int64_t port, timeout, refresh, max_in_flight;
    tn_secret auth_secret, tls_key;
    const char *tls, *tls_ca, *tls_cert;
    tn_dur connect_timeout, msg_timeout;
    tn_bytes max_result;
};

struct nsq { /* an instance */
    const struct nsq_conf *conf;
    struct http_conf web; /* the same settings as connectors/common/http knows them */
    pthread_mutex_t lock;
    struct stream_tls tls; /* made by the first connection */
    bool tls_made, tcp;    /* tcp: messages go over the framed protocol */
};

struct nsq_node { /* an nsqd */
    char host[256];
    uint16_t port; /* of the protocol that is used */
};
struct nsq_nodes {
    struct nsq_node *node;
    uint32_t n;
};

struct nsq_conn {
    struct nsq *inst;
    struct http *http;     /* made by whoever makes the connection */
    struct http_reply web; /* the last one */
    struct nsq_nodes nodes;
    uint64_t nodes_until_ns; /* the list is asked for again after that; 0: none yet */
    struct stream stream;    /* to nodes.node[at], framed protocol */
    struct nsq_node at;      /* whom the stream leads to */
    bool up;
    /* A consumer sets these before nsq_join(): what its user agent says besides; how often nsqd asks whether it is there
     * (0: never); after how long nsqd gives a message to somebody else, which nsqd may change. */
    const char *about;
    uint32_t heartbeat_ms, msg_timeout_ms;
    uint32_t max_rdy_count; /* what nsqd then says; 0: nothing */
    struct message_buf out, in;
    atomic_bool working, canceled; /* an invoke() runs; somebody wants it to end */
    pthread_mutex_t fd_lock;
    int fd; /* what cancel() ends; -1: none */
};
extern const tn_host *nsq_host;

extern const tn_field nsq_fields[]; /* fields.c */

/* ---- inst.c ---- */
bool nsq_name_ok(const char *s, size_t n); /* a topic or channel */
/* Once for an instance, from any thread. */
tn_rc nsq_prepare_tls(struct nsq *nsq, tn_err *err);
tn_rc nsq_broken(tn_rc rc, tn_err *err); /* marks the error: the connection is not used again */
/* For cancel(): the descriptor that is waited on; -1: none. TN_E_CANCELED when it was told to stop already. */
tn_rc nsq_waiting(struct nsq_conn *c, int fd, tn_err *err);
/* The sooner of the deadline and `ms` from now. */
uint64_t nsq_sooner(uint64_t deadline_ns, int64_t ms);

/* ---- http.c ---- */
struct nsq_reply {
    int status;
    const char *body; /* inside c->web, until the next request */
    size_t n;
};
/* nsq->web of nsq->conf. */
void nsq_http_conf(struct nsq *nsq);
/* A request to nsqlookupd or nsqd and its whole answer, whatever its status. TN_ERR_RETRY in an error: nothing was sent. */
tn_rc nsq_http(struct nsq_conn *c, const char *host, uint16_t port, const char *method,
               const char *target, const void *body, size_t n, uint64_t deadline_ns,
               struct nsq_reply *ret, tn_err *err);
/* ?name=value with percent-encoding behind what is in b. */
void nsq_escape(struct message_buf *b, const char *s, size_t n, const char *keep);

/* ---- nodes.c: which nsqd there are ---- */
tn_rc nsq_nodes_fixed(const char *servers, uint16_t port, struct nsq_nodes *ret, tn_err *err);
/* From an answer of nsqlookupd's /nodes; tcp: their port for the framed protocol, else for HTTP. */
tn_rc nsq_nodes_parse(tn_str json, bool tcp, struct nsq_nodes *ret, tn_err *err);
void nsq_nodes_finish(struct nsq_nodes *nodes);
/* c->nodes is there and not too old. */
tn_rc nsq_nodes_ready(struct nsq_conn *c, uint64_t deadline_ns, tn_err *err);

/* ---- frame.c: the framed protocol ---- */
#define NSQ_RESPONSE 0
#define NSQ_ERROR    1
#define NSQ_MESSAGE  2
struct nsq_frame {
    uint32_t type;
    const char *s; /* inside the buffer, until the next frame */
    size_t n;
};
/* The head of a frame: bytes that follow and type. */
tn_rc nsq_frame_head(const char head[8], uint32_t *ret_size, uint32_t *ret_type, tn_err *err);
/* What an error frame means; the text begins with `step`. */
tn_rc nsq_refused(const struct nsq_frame *f, const char *step, tn_err *err);
/* The next frame; heartbeats are answered on the way. A frame of more than max bytes breaks the connection. */
tn_rc nsq_frame_read(struct stream *s, struct message_buf *in, size_t max, uint64_t deadline_ns,
                     struct nsq_frame *ret, tn_err *err);
void nsq_put_u32(struct message_buf *b, uint32_t v);
/* Connects c->stream to the node: IDENTIFY, TLS, AUTH. Errors begin with the step. */
tn_rc nsq_join(struct nsq_conn *c, const struct nsq_node *node, uint64_t deadline_ns, tn_err *err);
void nsq_leave(struct nsq_conn *c, bool polite);
/* Sends c->out and expects OK. */
tn_rc nsq_command(struct nsq_conn *c, uint64_t deadline_ns, tn_err *err);

/* ---- publish.c, main.c ---- */
struct nsq_call {
    struct nsq_conn *c;
    const tn_val *a;
    uint64_t deadline_ns;
    struct tape *out;
    tn_err *err;
};
typedef tn_rc nsq_method(struct nsq_call *k);
nsq_method nsq_publish, nsq_publish_many, nsq_query, nsq_list_nodes, nsq_check_all;
