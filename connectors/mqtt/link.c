/* SPDX-License-Identifier: Apache-2.0 */
/* A connection: TCP, TLS, WebSocket, CONNECT; packets out and in. No thread: whoever uses it waits for it. */
#include "mqtt.h"

#include <stdio.h>
#include <stdlib.h>

#define READ_BYTES 16384 /* a whole TLS record */

static tn_rc broken(tn_err *err, tn_rc rc)
{
    if (err != NULL) {
        err->flags |= TN_ERR_CONN_BROKEN;
    }
    return rc;
}

/* ---- packets out ------------------------------------------------------------------------------------- */

tn_rc mq_send(struct mq_link *l, unsigned type, unsigned flags, const struct mq_buf *head,
              tn_str tail, uint64_t deadline_ns, tn_err *err)
{
    struct mq_buf *b = &l->out;
    size_t n = head->n + tail.n;
    uint32_t most = l->server.max_packet;
    if (n > (size_t)l->conf->max_packet.n || (most != 0 && n + 5 > most)) {
        return mq_host->fail(
            err, TN_E_LIMIT,
            "a packet of %zu bytes is too large: at most %lld (max_packet), the server takes %u", n,
            (long long)l->conf->max_packet.n, most);
    }
    b->n = 0;
    mq_add1(b, type << 4 | flags);
    mq_add_size(b, (uint32_t)n);
    mq_add(b, head->p, head->n);
    mq_add(b, tail.s, tail.n);
    if (b->failed || head->failed) {
        b->failed = false;
        return mq_host->fail(err, head->failed ? TN_E_INVAL : TN_E_NOMEM,
                             head->failed ? "a text of the packet is longer than 65,535 bytes"
                                          : "no memory for a packet");
    }
    tn_rc rc = l->ws ? mq_ws_write(l, 2, b->p, b->n, deadline_ns, err)
                     : stream_write(&l->stream, b->p, b->n, deadline_ns, err);
    if (b->cap > 1u << 20) { /* a large packet is not remembered for ever */
        mq_free(b);
    }
    return rc;
}

tn_rc mq_send_id(struct mq_link *l, unsigned type, unsigned id, uint64_t deadline_ns, tn_err *err)
{
    uint8_t two[] = {(uint8_t)(id >> 8), (uint8_t)id};
    const struct mq_buf head = {.p = two, .n = type == MQ_PINGREQ ? 0 : 2};
    return mq_send(l, type, type == MQ_PUBREL ? 2 : 0, &head, (tn_str){NULL, 0}, deadline_ns, err);
}

/* ---- packets in -------------------------------------------------------------------------------------- */

tn_rc mq_next(struct mq_link *l, struct mq_packet *p, struct mq_said *ret, tn_err *err)
{
    mq_drop(&l->in, l->taken);
    l->taken = 0;
    tn_rc rc = mq_packet_find(l->in.p, l->in.n, (size_t)l->conf->max_packet.n, p);
    if (l->in.n == 0 || rc == TN_E_NOTFOUND) {
        return TN_E_NOTFOUND;
    }
    if (rc == TN_E_LIMIT && l->pass_large && !l->ws) {
        rc = mq_large_find(l->in.p, l->in.n, p, ret);
        if (rc == TN_OK) {
            l->taken = l->in.n < p->whole ? l->in.n : p->whole;
            l->skip = p->whole - l->taken;
        }
        if (rc == TN_OK || rc == TN_E_NOTFOUND) {
            return rc;
        }
    }
    if (rc == TN_E_LIMIT) {
        return broken(err,
                      mq_host->fail(err, rc,
                                    "the server sent a packet larger than max_packet (%lld bytes)",
                                    (long long)l->conf->max_packet.n));
    }
    rc = rc == TN_OK ? mq_read_packet(p, l->v5, ret) : rc;
    if (rc != TN_OK) {
        return broken(err, mq_host->fail(err, TN_E_UNAVAIL, "the server does not speak MQTT %s",
                                         l->conf->protocol));
    }
    l->taken = p->whole;
    return TN_OK;
}

tn_rc mq_fill(struct mq_link *l, uint64_t deadline_ns, tn_err *err)
{
    char buf[READ_BYTES];
    size_t n = 0;
    mq_drop(&l->in, l->taken);
    l->taken = 0;
    if (l->ended) {
        return mq_ws_unpack(l, deadline_ns, err);
    }
    tn_rc rc = stream_read(&l->stream, buf, sizeof buf, deadline_ns, &n, err);
    if (rc != TN_OK) {
        return rc;
    }
    struct mq_buf *to = l->ws ? &l->raw : &l->in;
    size_t passed = l->skip < n ? l->skip : n;
    l->skip -= passed;
    mq_add(to, buf + passed, n - passed);
    if (to->failed) {
        return broken(err, mq_host->fail(err, TN_E_NOMEM, "no memory for what the server sent"));
    }
    return l->ws ? mq_ws_unpack(l, deadline_ns, err) : TN_OK;
}

tn_rc mq_wait(struct mq_link *l, uint64_t deadline_ns, struct mq_packet *p, struct mq_said *ret,
              tn_err *err)
{
    tn_rc rc;
    while ((rc = mq_next(l, p, ret, err)) == TN_E_NOTFOUND) {
        rc = mq_fill(l, deadline_ns, err);
        if (rc != TN_OK) {
            break;
        }
    }
    return rc;
}

tn_rc mq_goodbye(const struct mq_link *l, const struct mq_said *said, tn_err *err)
{
    const char *why = mq_reason(l->v5, MQ_DISCONNECT, said->reason);
    tn_rc rc = said->reason == 0x87 || said->reason == 0x86 ? TN_E_DENIED : TN_E_UNAVAIL;
    return broken(err, mq_host->fail(err, rc,
                                     "the server ended the connection of client %.80s: %s%s%.*s",
                                     l->client_id, why, said->text.n > 0 ? ": " : "",
                                     (int)(said->text.n < 200 ? said->text.n : 200),
                                     said->text.n > 0 ? said->text.s : ""));
}

/* ---- opening ----------------------------------------------------------------------------------------- */

static tn_str text(const char *s)
{
    return (tn_str){s != NULL ? s : "", s != NULL ? strlen(s) : 0};
}

static void put_property4(struct mq_buf *b, unsigned id, uint32_t v)
{
    mq_add1(b, id);
    mq_add4(b, v);
}

/* 5.0 section 3.1, 3.1.1 section 3.1. */
static void put_connect(const struct mq_link *l, const struct mq_open *how, struct mq_buf *b)
{
    const struct mq_conf *c = l->conf;
    tn_str user = text(c->user), password = text(c->password.s), will = text(c->will_topic);
    bool has_will = how->will && will.n > 0;
    unsigned flags = (how->clean ? 2u : 0) | (user.n > 0 ? 0x80u : 0) |
                     (password.n > 0 ? 0x40u : 0);
    if (has_will) {
        flags |= 4u | (unsigned)c->will_qos << 3 | (c->will_retain ? 0x20u : 0);
    }
    if (!l->v5 && password.n > 0) {
        flags |= 0x80; /* 3.1.1 knows no password without a user */
    }
    mq_add_text(b, TN_STR("MQTT"));
    mq_add1(b, l->v5 ? 5 : 4);
    mq_add1(b, flags);
    mq_add2(b, (unsigned)c->keepalive);
    if (l->v5) {
        struct mq_buf props = {0};
        put_property4(&props, 0x27, (uint32_t)c->max_packet.n);
        if (how->expiry_s > 0) {
            put_property4(&props, 0x11, how->expiry_s);
        }
        if (how->receive_max > 0) {
            mq_add1(&props, 0x21);
            mq_add2(&props, how->receive_max);
        }
        mq_add_size(b, (uint32_t)props.n);
        mq_add(b, props.p, props.n);
        b->failed |= props.failed;
        mq_free(&props);
    }
    mq_add_text(b, how->client_id);
    if (has_will) {
        if (l->v5) {
            mq_add_size(b, 0);
        }
        mq_add_text(b, will);
        mq_add_text(b, text(c->will_message));
    }
    if ((flags & 0x80) != 0) {
        mq_add_text(b, user);
    }
    if (password.n > 0) {
        mq_add_text(b, password);
    }
}

static tn_rc refused(const struct mq_link *l, const struct mq_said *said, tn_err *err)
{
    const char *why = mq_reason(l->v5, MQ_CONNACK, said->reason);
    bool denied = l->v5 ? said->reason == 0x86 || said->reason == 0x87 || said->reason == 0x8A
                        : said->reason == 4 || said->reason == 5;
    bool version = said->reason == (l->v5 ? 0x84u : 1u);
    return mq_host->fail(err,
                         denied    ? TN_E_DENIED
                         : version ? TN_E_CONFIG
                                   : TN_E_UNAVAIL,
                         "sign-in: %s%s%.*s%s", why, said->text.n > 0 ? ": " : "",
                         (int)(said->text.n < 200 ? said->text.n : 200),
                         said->text.n > 0 ? said->text.s : "",
                         denied    ? "; check user and password"
                         : version ? "; check protocol"
                                   : "");
}

static tn_rc sign_in(struct mq_link *l, const struct mq_open *how, uint64_t deadline_ns,
                     tn_err *err)
{
    struct mq_buf head = {0};
    struct mq_packet p;
    struct mq_said said;
    put_connect(l, how, &head);
    tn_rc rc = mq_send(l, MQ_CONNECT, 0, &head, (tn_str){NULL, 0}, deadline_ns, err);
    if (head.p != NULL) {
        explicit_bzero(head.p, head.n);
    }
    mq_free(&head);
    if (l->out.p != NULL) {
        explicit_bzero(l->out.p, l->out.cap);
    }
    if (rc == TN_OK && (rc = mq_wait(l, deadline_ns, &p, &said, err)) != TN_OK) {
        char why[200];
        if (err != NULL) {
            snprintf(why, sizeof why, "%.*s", (int)sizeof why - 1, err->msg);
        }
        return mq_host->fail(err, rc, "sign-in: %s; is this a port for MQTT?",
                             err != NULL ? why : "");
    }
    if (rc != TN_OK) {
        return rc;
    }
    if (p.type != MQ_CONNACK) {
        return mq_host->fail(err, TN_E_UNAVAIL,
                             "sign-in: the server answers with a packet of type %u", p.type);
    }
    l->server = said;
    l->server.text = l->server.topic = l->server.payload = (tn_str){NULL, 0};
    return said.reason != 0 ? refused(l, &said, err) : TN_OK;
}

tn_rc mq_link_open(struct mq_link *l, const struct stream_tls *tls, const struct mq_open *how,
                   uint64_t deadline_ns, tn_err *err)
{
    const struct mq_conf *c = l->conf;
    l->v5 = strcmp(c->protocol, "5") == 0;
    snprintf(l->client_id, sizeof l->client_id, "%.*s", (int)how->client_id.n, how->client_id.s);
    tn_rc rc = stream_open(&l->stream, mq_host, tls, c->host, (uint16_t)c->port, deadline_ns, err);
    if (rc == TN_OK && strcmp(c->transport, "websockets") == 0) {
        rc = mq_ws_open(l, deadline_ns, err);
        l->ws = rc == TN_OK;
        rc = rc == TN_OK && l->raw.n > 0 ? mq_ws_unpack(l, deadline_ns, err) : rc;
    }
    return rc == TN_OK ? sign_in(l, how, deadline_ns, err) : rc;
}

void mq_link_close(struct mq_link *l, bool polite)
{
    if (polite && l->stream.host != NULL) {
        const struct mq_buf none = {0};
        mq_send(l, MQ_DISCONNECT, 0, &none, (tn_str){NULL, 0}, mq_host->now_ns() + 200000000ull,
                NULL);
    }
    stream_close(&l->stream, polite);
    mq_free(&l->in);
    mq_free(&l->raw);
    mq_free(&l->out);
}
