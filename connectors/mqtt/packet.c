/* SPDX-License-Identifier: Apache-2.0 */
/* Packets of MQTT 5.0 and 3.1.1 as bytes and back. Everything read is checked against its packet's end. */
#include "mqtt.h"

#include <stdlib.h>

#define BUF_MAX      (300u << 20)    /* the protocol's largest packet is 256 MiB */
#define LARGEST_HEAD (2 + 65535 + 2) /* topic and id of a PUBLISH */

/* ---- writing ----------------------------------------------------------------------------------------- */

void mq_add(struct mq_buf *b, const void *p, size_t n)
{
    if (b->failed || n > BUF_MAX || b->n + n > BUF_MAX) {
        b->failed = true;
        return;
    }
    if (b->n + n > b->cap) {
        size_t cap = (b->n + n) * 2 + 64;
        uint8_t *more = realloc(b->p, cap);
        if (more == NULL) {
            b->failed = true;
            return;
        }
        b->p = more;
        b->cap = cap;
    }
    if (n != 0) {
        memcpy(b->p + b->n, p, n);
    }
    b->n += n;
}

void mq_add1(struct mq_buf *b, unsigned v)
{
    const uint8_t byte = (uint8_t)v;
    mq_add(b, &byte, 1);
}

void mq_add2(struct mq_buf *b, unsigned v)
{
    const uint8_t bytes[] = {(uint8_t)(v >> 8), (uint8_t)v};
    mq_add(b, bytes, 2);
}

void mq_add4(struct mq_buf *b, uint32_t v)
{
    mq_add2(b, v >> 16);
    mq_add2(b, v & 0xFFFF);
}

void mq_add_text(struct mq_buf *b, tn_str s)
{
    if (s.n > 65535) {
        b->failed = true;
        return;
    }
    mq_add2(b, (unsigned)s.n);
    mq_add(b, s.s, s.n);
}

void mq_add_size(struct mq_buf *b, uint32_t v)
{
    do {
        mq_add1(b, (v & 0x7F) | (v > 0x7F ? 0x80 : 0));
        v >>= 7;
    } while (v != 0);
}

void mq_drop(struct mq_buf *b, size_t n)
{
    if (n != 0 && n < b->n) {
        memmove(b->p, b->p + n, b->n - n);
    }
    b->n -= n;
}

void mq_free(struct mq_buf *b)
{
    free(b->p);
    *b = (struct mq_buf){0};
}

/* ---- finding ----------------------------------------------------------------------------------------- */

/* What the first two to five bytes say; there may be less than a whole packet behind them. */
static tn_rc find_head(const uint8_t *p, size_t n, struct mq_packet *ret)
{
    size_t len = 0, i = 1;
    for (unsigned shift = 0;; shift += 7, i++) {
        if (shift > 21) {
            return TN_E_INVAL; /* more than four bytes of length */
        }
        if (i >= n) {
            return TN_E_NOTFOUND;
        }
        len |= (size_t)(p[i] & 0x7F) << shift;
        if ((p[i] & 0x80) == 0) {
            break;
        }
    }
    i++;
    *ret = (struct mq_packet){
        .type = p[0] >> 4, .flags = p[0] & 15, .body = p + i, .n = len, .whole = i + len};
    return ret->type == 0 ? TN_E_INVAL : TN_OK;
}

tn_rc mq_packet_find(const uint8_t *p, size_t n, size_t max, struct mq_packet *ret)
{
    tn_rc rc = find_head(p, n, ret);
    return rc != TN_OK ? rc : ret->n > max ? TN_E_LIMIT : n < ret->whole ? TN_E_NOTFOUND : TN_OK;
}

/* ---- reading ----------------------------------------------------------------------------------------- */

struct cursor {
    const uint8_t *p, *end;
    bool bad;
};

static unsigned take(struct cursor *c, unsigned bytes)
{
    unsigned v = 0;
    if ((size_t)(c->end - c->p) < bytes) {
        c->bad = true;
        c->p = c->end;
        return 0;
    }
    while (bytes-- > 0) {
        v = v << 8 | *c->p++;
    }
    return v;
}

static tn_str take_text(struct cursor *c)
{
    unsigned n = take(c, 2);
    if (c->bad || (size_t)(c->end - c->p) < n) {
        c->bad = true;
        return (tn_str){"", 0};
    }
    tn_str s = {(const char *)c->p, n};
    c->p += n;
    return s;
}

static uint32_t take_size(struct cursor *c)
{
    uint32_t v = 0;
    for (unsigned shift = 0; shift <= 21; shift += 7) {
        unsigned byte = take(c, 1);
        v |= (byte & 0x7Fu) << shift;
        if ((byte & 0x80) == 0) {
            return v;
        }
    }
    c->bad = true;
    return 0;
}

/* How a property is written (5.0, table 2-4): 1, 2, 4 bytes, v(ariable), t(ext) or data, p(air). */
static char form_of(unsigned id)
{
    static const char forms[] = {
        [0x01] = '1', [0x02] = '4', [0x03] = 't', [0x08] = 't', [0x09] = 't', [0x0B] = 'v',
        [0x11] = '4', [0x12] = 't', [0x13] = '2', [0x15] = 't', [0x16] = 't', [0x17] = '1',
        [0x18] = '4', [0x19] = '1', [0x1A] = 't', [0x1C] = 't', [0x1F] = 't', [0x21] = '2',
        [0x22] = '2', [0x23] = '2', [0x24] = '1', [0x25] = '1', [0x26] = 'p', [0x27] = '4',
        [0x28] = '1', [0x29] = '1', [0x2A] = '1'};
    return id < sizeof forms ? forms[id] : 0;
}

static void take_property(struct cursor *c, struct mq_said *ret)
{
    unsigned id = take_size(c), v = 0;
    tn_str s = {NULL, 0};
    switch (form_of(id)) {
    case '1':
        v = take(c, 1);
        break;
    case '2':
        v = take(c, 2);
        break;
    case '4':
        v = take(c, 4);
        break;
    case 'v':
        v = take_size(c);
        break;
    case 'p':
        take_text(c);
        s = take_text(c);
        break;
    case 't':
        s = take_text(c);
        break;
    default:
        c->bad = true;
        return;
    }
    if (id == 0x1F) {
        ret->text = s;
    } else if (id == 0x24) {
        ret->max_qos = v;
    } else if (id == 0x25) {
        ret->no_retain = v == 0;
    } else if (id == 0x27) {
        ret->max_packet = v;
    } else if (id == 0x13) {
        ret->keepalive = v;
        ret->has_keepalive = true;
    }
}

static void take_properties(struct cursor *c, struct mq_said *ret)
{
    uint32_t n = take_size(c);
    if (c->bad || (size_t)(c->end - c->p) < n) {
        c->bad = true;
        return;
    }
    struct cursor inner = {c->p, c->p + n, false};
    while (inner.p < inner.end && !inner.bad) {
        take_property(&inner, ret);
    }
    c->bad = inner.bad;
    c->p += n;
}

static void read_publish(struct cursor *c, const struct mq_packet *p, bool v5, struct mq_said *ret)
{
    ret->qos = p->flags >> 1 & 3;
    ret->dup = (p->flags & 8) != 0;
    ret->retain = (p->flags & 1) != 0;
    ret->topic = take_text(c);
    ret->id = ret->qos > 0 ? take(c, 2) : 0;
    if (v5) {
        take_properties(c, ret);
    }
    ret->payload = (tn_str){(const char *)c->p, (size_t)(c->end - c->p)};
    c->bad |= ret->qos == 3 || (ret->qos > 0 && ret->id == 0);
}

tn_rc mq_large_find(const uint8_t *p, size_t n, struct mq_packet *ret, struct mq_said *ret_said)
{
    tn_rc rc = find_head(p, n, ret);
    if (rc != TN_OK || ret->type != MQ_PUBLISH) {
        return rc != TN_OK ? rc : TN_E_LIMIT;
    }
    size_t have = n - (ret->whole - ret->n);
    have = have < ret->n ? have : ret->n;
    struct cursor c = {ret->body, ret->body + have, false};
    *ret_said = (struct mq_said){.max_qos = 2};
    read_publish(&c, ret, false, ret_said);
    ret_said->payload = (tn_str){NULL, ret->n - (size_t)(c.p - ret->body)};
    return !c.bad ? TN_OK : have < ret->n && have < LARGEST_HEAD ? TN_E_NOTFOUND : TN_E_INVAL;
}

tn_rc mq_read_packet(const struct mq_packet *p, bool v5, struct mq_said *ret)
{
    struct cursor c = {p->body, p->body + p->n, false};
    *ret = (struct mq_said){.max_qos = 2};
    switch (p->type) {
    case MQ_CONNACK:
        ret->session = (take(&c, 1) & 1) != 0;
        ret->reason = take(&c, 1);
        break;
    case MQ_PUBLISH:
        read_publish(&c, p, v5, ret);
        return c.bad ? TN_E_INVAL : TN_OK;
    case MQ_PUBACK:
    case MQ_PUBREC:
    case MQ_PUBREL:
    case MQ_PUBCOMP:
        ret->id = take(&c, 2);
        ret->reason = v5 && c.p < c.end ? take(&c, 1) : 0;
        break;
    case MQ_SUBACK:
        ret->id = take(&c, 2);
        if (v5) {
            take_properties(&c, ret);
        }
        ret->reason = take(&c, 1);
        return c.bad ? TN_E_INVAL : TN_OK;
    case MQ_DISCONNECT:
    case MQ_AUTH:
        ret->reason = v5 && c.p < c.end ? take(&c, 1) : 0;
        break;
    case MQ_PINGRESP:
        return TN_OK;
    default:
        return TN_E_INVAL; /* nothing that a server sends */
    }
    if (v5 && c.p < c.end) {
        take_properties(&c, ret);
    }
    return c.bad ? TN_E_INVAL : TN_OK;
}

/* ---- reasons ----------------------------------------------------------------------------------------- */

static const struct {
    uint8_t code;
    const char *text;
} reasons[] = {{0x80, "unspecified error"},
               {0x81, "malformed packet"},
               {0x82, "protocol error"},
               {0x83, "refused by the server"},
               {0x84, "this version of the protocol is not supported"},
               {0x85, "the client id is not valid"},
               {0x86, "bad user name or password"},
               {0x87, "not authorized"},
               {0x88, "the server is not available"},
               {0x89, "the server is busy"},
               {0x8A, "this client is banned"},
               {0x8B, "the server shuts down"},
               {0x8D, "no sign of life in time"},
               {0x8E, "another client with the same client id took the session over"},
               {0x8F, "the topic filter is not valid"},
               {0x90, "the topic is not valid"},
               {0x91, "the packet id is in use"},
               {0x92, "the packet id is not known"},
               {0x93, "too many at once"},
               {0x95, "the packet is too large"},
               {0x96, "too many messages"},
               {0x97, "quota exceeded"},
               {0x98, "ended by an administrator"},
               {0x99, "the payload is not of the announced format"},
               {0x9A, "retained messages are not supported"},
               {0x9B, "this QoS is not supported"},
               {0x9C, "use another server"},
               {0x9D, "the server has moved"},
               {0x9E, "shared subscriptions are not supported"},
               {0x9F, "too many connections"},
               {0xA1, "subscription identifiers are not supported"},
               {0xA2, "wildcards are not supported"}};

const char *mq_reason(bool v5, uint8_t type, unsigned code)
{
    static const char *const old[] = {"accepted",
                                      "this version of the protocol is not supported",
                                      "the client id is not valid",
                                      "the server is not available",
                                      "bad user name or password",
                                      "not authorized"};
    if (!v5 && type == MQ_CONNACK && code < sizeof old / sizeof *old) {
        return old[code];
    }
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        if (reasons[i].code == code) {
            return reasons[i].text;
        }
    }
    return code < 0x80 ? "no error" : "unknown reason";
}

/* ---- frames of WebSockets ---------------------------------------------------------------------------- */

int mq_ws_head(const uint8_t *p, size_t n, unsigned *ret_op, uint64_t *ret_len)
{
    if (n < 2) {
        return 0;
    }
    unsigned size = p[1] & 0x7F;
    int head = size == 127 ? 10 : size == 126 ? 4 : 2;
    if ((p[0] & 0x70) != 0 || (p[1] & 0x80) != 0) {
        return -1; /* an extension nobody asked for; a server never masks */
    }
    if (n < (size_t)head) {
        return 0;
    }
    uint64_t len = size;
    if (head > 2) {
        len = 0;
        for (int i = 2; i < head; i++) {
            len = len << 8 | p[i];
        }
    }
    *ret_op = p[0] & 15;
    *ret_len = len;
    return head;
}
