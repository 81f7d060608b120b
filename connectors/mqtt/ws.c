/* SPDX-License-Identifier: Apache-2.0 */
/* WebSockets (RFC 6455) as a client, for MQTT only: binary frames, of any size and cut anywhere. */
#include "mqtt.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

#define HEAD_MAX 8192
enum { OP_MORE = 0, OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };

/* ---- handshake --------------------------------------------------------------------------------------- */

/* What the server must answer to a key (section 4.2.2). */
static bool accept_of(const char *key, char ret[64])
{
    char text[128];
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    int len = snprintf(text, sizeof text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    if (EVP_Digest(text, (size_t)len, hash, &n, EVP_sha1(), NULL) != 1) {
        return false;
    }
    EVP_EncodeBlock((unsigned char *)ret, hash, (int)n);
    return true;
}

/* The value of a header of an answer; its text ends with an empty line. */
static tn_str header(const char *head, const char *name)
{
    size_t n = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line != NULL && line[2] != '\r';
         line = strstr(line + 2, "\r\n")) {
        const char *p = line + 2;
        size_t i = 0;
        while (i < n && tolower((unsigned char)p[i]) == name[i]) {
            i++;
        }
        if (i == n && p[n] == ':') {
            p += n + 1;
            p += strspn(p, " \t");
            return (tn_str){p, strcspn(p, "\r \t")};
        }
    }
    return (tn_str){NULL, 0};
}

static tn_rc read_head(struct mq_link *l, uint64_t deadline_ns, char *head, tn_err *err)
{
    for (;;) {
        const uint8_t *end = l->raw.n > 0 ? memmem(l->raw.p, l->raw.n, "\r\n\r\n", 4) : NULL;
        if (end != NULL) {
            size_t n = (size_t)(end - l->raw.p) + 4;
            if (n >= HEAD_MAX) {
                break;
            }
            memcpy(head, l->raw.p, n);
            head[n] = '\0';
            mq_drop(&l->raw, n);
            return TN_OK;
        }
        char buf[1024];
        size_t n = 0;
        if (l->raw.n >= HEAD_MAX) {
            break;
        }
        tn_err why = TN_ERR_INIT;
        tn_rc rc = stream_read(&l->stream, buf, sizeof buf, deadline_ns, &n, &why);
        if (rc != TN_OK) {
            return mq_host->fail(err, rc, "WebSocket: %.300s; is this a port for WebSockets?",
                                 why.msg);
        }
        mq_add(&l->raw, buf, n);
    }
    return mq_host->fail(err, TN_E_UNAVAIL,
                         "WebSocket: the server does not answer as an HTTP server does");
}

tn_rc mq_ws_open(struct mq_link *l, uint64_t deadline_ns, tn_err *err)
{
    const struct mq_conf *c = l->conf;
    unsigned char nonce[16];
    char key[32], want[64], head[HEAD_MAX];
    if (RAND_bytes(nonce, sizeof nonce) != 1) {
        return mq_host->fail(err, TN_E_INTERNAL, "WebSocket: no random bytes");
    }
    if (strpbrk(c->path, " \r\n") != NULL || c->path[0] != '/') {
        return mq_host->fail(err, TN_E_CONFIG, "path is \"%.100s\", expected \"/…\" without blanks",
                             c->path);
    }
    EVP_EncodeBlock((unsigned char *)key, nonce, sizeof nonce);
    int n = snprintf(
        head, sizeof head,
        "GET %s HTTP/1.1\r\nHost: %s:%lld\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
        c->path, c->host, (long long)c->port, key);
    tn_rc rc = stream_write(&l->stream, head, (size_t)n, deadline_ns, err);
    rc = rc == TN_OK ? read_head(l, deadline_ns, head, err) : rc;
    if (rc != TN_OK) {
        return rc;
    }
    tn_str got = header(head, "sec-websocket-accept");
    if (strncmp(head, "HTTP/1.1 101", 12) != 0) {
        return mq_host->fail(err, TN_E_UNAVAIL,
                             "WebSocket: the server answers \"%.*s\"; check port and path",
                             (int)strcspn(head, "\r"), head);
    }
    if (!accept_of(key, want) || got.n != strlen(want) || memcmp(got.s, want, got.n) != 0) {
        return mq_host->fail(err, TN_E_UNAVAIL,
                             "WebSocket: the server's answer to the handshake is wrong");
    }
    return TN_OK;
}

/* ---- frames ------------------------------------------------------------------------------------------ */

tn_rc mq_ws_write(struct mq_link *l, unsigned op, const void *p, size_t n, uint64_t deadline_ns,
                  tn_err *err)
{
    struct mq_buf b = {0};
    uint8_t mask[4];
    const uint8_t *from = p;
    if (RAND_bytes(mask, sizeof mask) != 1) {
        return mq_host->fail(err, TN_E_INTERNAL, "WebSocket: no random bytes");
    }
    mq_add1(&b, 0x80 | op);
    mq_add1(&b, 0x80u | (n < 126 ? (unsigned)n : n < 65536 ? 126u : 127u));
    if (n >= 65536) {
        mq_add4(&b, 0);
        mq_add4(&b, (uint32_t)n);
    } else if (n >= 126) {
        mq_add2(&b, (unsigned)n);
    }
    mq_add(&b, mask, sizeof mask);
    size_t at = b.n;
    mq_add(&b, p, n);
    for (size_t i = 0; !b.failed && i < n; i++) {
        b.p[at + i] = from[i] ^ mask[i & 3];
    }
    tn_rc rc = b.failed ? mq_host->fail(err, TN_E_NOMEM, "no memory for a frame")
                        : stream_write(&l->stream, b.p, b.n, deadline_ns, err);
    mq_free(&b);
    return rc;
}

tn_rc mq_ws_unpack(struct mq_link *l, uint64_t deadline_ns, tn_err *err)
{
    uint64_t len;
    unsigned op;
    tn_rc rc = TN_OK;
    while (rc == TN_OK) {
        int head = mq_ws_head(l->raw.p, l->raw.n, &op, &len);
        if (head < 0 || (head > 0 && (op > OP_PONG || op == OP_TEXT ||
                                      len > (uint64_t)l->conf->max_packet.n + 16))) {
            rc = mq_host->fail(err, TN_E_UNAVAIL,
                               "WebSocket: the server sent a frame that is none of MQTT");
            break;
        }
        if (head == 0 || l->raw.n - (size_t)head < len) {
            break;
        }
        const uint8_t *payload = l->raw.p + head;
        if (op == OP_CLOSE) {
            rc = mq_host->fail(err, TN_E_UNAVAIL, "the server closed the WebSocket (%u)",
                               len >= 2 ? (unsigned)payload[0] << 8 | payload[1] : 0);
        } else if (op == OP_PING) {
            rc = mq_ws_write(l, OP_PONG, payload, len < 125 ? (size_t)len : 125, deadline_ns, err);
        } else if (op != OP_PONG) {
            mq_add(&l->in, payload, (size_t)len);
            rc = l->in.failed ? mq_host->fail(err, TN_E_NOMEM, "no memory for what the server sent")
                              : TN_OK;
        }
        if (rc == TN_OK) {
            mq_drop(&l->raw, (size_t)head + (size_t)len);
        }
    }
    if (rc != TN_OK && l->in.n > 0 && !l->ended) {
        l->ended = true; /* what came before it is told first: often the server's reason */
        return TN_OK;
    }
    if (rc != TN_OK && err != NULL) {
        err->flags |= TN_ERR_CONN_BROKEN;
    }
    return rc;
}
