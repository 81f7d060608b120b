/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the MQTT connector share, and the trigger uses: settings, packets, a connection. MQTT 5.0
 * and 3.1.1 (OASIS), over TCP, TLS and WebSockets (RFC 6455). */
#pragma once
#include "common/stream.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <tenon/tenon.h>

struct mq_conf {
    const char *host, *user, *client_id, *transport, *path, *protocol;
    int64_t port, keepalive;
    tn_secret password, tls_key;
    const char *tls, *tls_ca, *tls_cert;
    const char *will_topic, *will_message;
    int64_t will_qos;
    bool will_retain;
    tn_bytes max_packet;
    int64_t sub_qos, sub_unacked; /* the trigger's own */
    tn_dur sub_session;
};
extern const tn_host *mq_host; /* fields.c; set once by load() */
extern const tn_field mq_fields[];

/* ---- packet.c ---- */
enum {
    MQ_CONNECT = 1,
    MQ_CONNACK,
    MQ_PUBLISH,
    MQ_PUBACK,
    MQ_PUBREC,
    MQ_PUBREL,
    MQ_PUBCOMP,
    MQ_SUBSCRIBE,
    MQ_SUBACK,
    MQ_UNSUBSCRIBE,
    MQ_UNSUBACK,
    MQ_PINGREQ,
    MQ_PINGRESP,
    MQ_DISCONNECT,
    MQ_AUTH
};

/* Bytes being written or collected. Zeroed is empty. */
struct mq_buf {
    uint8_t *p;
    size_t n, cap;
    bool failed;
};
void mq_add(struct mq_buf *b, const void *p, size_t n);
void mq_add1(struct mq_buf *b, unsigned v);
void mq_add2(struct mq_buf *b, unsigned v);
void mq_add4(struct mq_buf *b, uint32_t v);
void mq_add_text(struct mq_buf *b,
                 tn_str s); /* length in two bytes, then the bytes; longer ones fail */
void mq_add_size(struct mq_buf *b, uint32_t v);
void mq_drop(struct mq_buf *b, size_t n); /* the first n bytes */
void mq_free(struct mq_buf *b);

/* One packet, borrowed from where it was found. */
struct mq_packet {
    uint8_t type, flags;
    const uint8_t *body;
    size_t n, whole; /* of the body; with its head */
};
/* TN_OK: *ret is the first packet of p[0..n). TN_E_NOTFOUND: it is not complete. TN_E_LIMIT: larger than max.
 * TN_E_INVAL: this is not MQTT. */
tn_rc mq_packet_find(const uint8_t *p, size_t n, size_t max, struct mq_packet *ret);

/* What a packet says; members that its type does not have stay zero. */
struct mq_said {
    unsigned id, reason, qos; /* reason: of CONNACK, acks, DISCONNECT; the first of SUBACK */
    bool dup, retain, session;
    tn_str topic, payload, text; /* text: reason string of the server */
    unsigned max_qos, keepalive; /* CONNACK; keepalive 0 = as asked */
    uint32_t max_packet;         /* CONNACK; 0 = any */
    bool no_retain, has_keepalive;
};
/* TN_E_INVAL: it breaks the protocol. */
tn_rc mq_read_packet(const struct mq_packet *p, bool v5, struct mq_said *ret);
/* Of a PUBLISH that is larger than may be kept only the head: its topic, its id, and how long the rest is (5.0: with the
 * properties). TN_E_NOTFOUND: not even that is complete. TN_E_LIMIT: it is no PUBLISH. */
tn_rc mq_large_find(const uint8_t *p, size_t n, struct mq_packet *ret, struct mq_said *ret_said);
/* A reason code in words; v5 and the return codes of 3.1.1. */
const char *mq_reason(bool v5, uint8_t type, unsigned code);

/* Head of a frame of a WebSocket: its bytes, 0 = not complete, -1 = wrong. */
int mq_ws_head(const uint8_t *p, size_t n, unsigned *ret_op, uint64_t *ret_len);

/* ---- link.c ---- */
struct mq_link {
    const struct mq_conf *conf;
    struct stream stream;
    struct mq_buf in, raw, out; /* raw: frames of a WebSocket that are not unpacked yet */
    struct mq_said server;      /* what its CONNACK said; without texts */
    char client_id[160];
    bool v5, ws;
    bool ended; /* the WebSocket cannot go on behind what is in `in`; mq_fill() says why */
    bool
        pass_large; /* a message beyond max_packet is told with a payload of NULL, and not kept; else it is an error */
    size_t skip;  /* bytes of it that are still to come */
    size_t taken; /* bytes at the front of `in` that the last packet took */
};
struct mq_open {
    tn_str client_id;
    bool clean;
    uint32_t expiry_s;    /* of the session, v5 */
    uint32_t receive_max; /* v5; 0 = any */
    bool will;
};
/* Connects, shakes hands, signs in; errors tell their step. Zeroed link; close it in every case. */
tn_rc mq_link_open(struct mq_link *l, const struct stream_tls *tls, const struct mq_open *how,
                   uint64_t deadline_ns, tn_err *err);
void mq_link_close(struct mq_link *l, bool polite);
/* Sends `head`, then `tail`, as one packet of this type and flags. */
tn_rc mq_send(struct mq_link *l, unsigned type, unsigned flags, const struct mq_buf *head,
              tn_str tail, uint64_t deadline_ns, tn_err *err);
/* PUBACK and the like. */
tn_rc mq_send_id(struct mq_link *l, unsigned type, unsigned id, uint64_t deadline_ns, tn_err *err);
/* The next packet that is there already: TN_E_NOTFOUND when there is none. Texts are borrowed until the next call. */
tn_rc mq_next(struct mq_link *l, struct mq_packet *p, struct mq_said *ret, tn_err *err);
/* What the server has sent by now, waiting until the deadline at most. */
tn_rc mq_fill(struct mq_link *l, uint64_t deadline_ns, tn_err *err);
/* Both: waits for a packet. */
tn_rc mq_wait(struct mq_link *l, uint64_t deadline_ns, struct mq_packet *p, struct mq_said *ret,
              tn_err *err);
/* The server says goodbye (DISCONNECT) as an error. */
tn_rc mq_goodbye(const struct mq_link *l, const struct mq_said *said, tn_err *err);

/* ---- ws.c ---- */
tn_rc mq_ws_open(struct mq_link *l, uint64_t deadline_ns, tn_err *err);
tn_rc mq_ws_write(struct mq_link *l, unsigned op, const void *p, size_t n, uint64_t deadline_ns,
                  tn_err *err);
/* Moves the payload of whole frames from raw to in; answers pings. */
tn_rc mq_ws_unpack(struct mq_link *l, uint64_t deadline_ns, tn_err *err);
