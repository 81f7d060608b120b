/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP to nsqlookupd and nsqd: small requests, each on a connection of its own. As HTTP/1.0 the end of an answer is the end
 * of the connection, so there are no lengths and chunks to disagree about. */
#include "nsq.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

void nsq_escape(struct message_buf *b, const char *s, size_t n, const char *keep)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char ch = (unsigned char)s[i];
        char hex[4];
        bool plain = (ch >= '0' && ch <= '9') || (ch >= 'A' && ch <= 'Z') ||
                     (ch >= 'a' && ch <= 'z') || strchr("-._~", ch) != NULL ||
                     strchr(keep, ch) != NULL;
        if (plain && ch != 0) {
            message_put(b, &s[i], 1);
        } else {
            snprintf(hex, sizeof hex, "%%%02X", ch);
            message_puts(b, hex);
        }
    }
}

/* Content-Length of the headers; SIZE_MAX: there is none. */
static size_t content_length(const char *p, const char *end)
{
    static const char name[] = "\r\ncontent-length:";
    for (; (size_t)(end - p) > sizeof name; p++) {
        size_t v = 0;
        if (strncasecmp(p, name, sizeof name - 1) == 0) {
            p += sizeof name - 1;
            p += *p == ' ';
            for (; p < end && *p >= '0' && *p <= '9' && v < SIZE_MAX / 20; p++) {
                v = v * 10 + (size_t)(*p - '0');
            }
            return v;
        }
    }
    return SIZE_MAX;
}

bool nsq_http_parse(const char *s, size_t n, bool ended, struct nsq_reply *ret)
{
    const char *end = s + n, *p;
    if (n < 12 || memcmp(s, "HTTP/1.", 7) != 0 || s[8] != ' ') {
        return false;
    }
    ret->status = 0;
    for (int i = 9; i < 12; i++) {
        if (s[i] < '0' || s[i] > '9') {
            return false;
        }
        ret->status = ret->status * 10 + s[i] - '0';
    }
    for (p = s; p + 3 < end; p++) { /* the empty line */
        if (p[0] == '\r' && p[1] == '\n' && p[2] == '\r' && p[3] == '\n') {
            size_t length = content_length(s, p + 2);
            ret->body = p + 4;
            ret->n = (size_t)(end - ret->body);
            return length == SIZE_MAX ? ended : ret->n >= length; /* else it was cut */
        }
    }
    return false;
}

/* All up to the end of the connection. */
static tn_rc read_all(struct nsq_conn *c, struct stream *s, uint64_t deadline_ns, tn_err *err)
{
    size_t max = (size_t)c->inst->conf->max_result.n;
    char piece[16384];
    c->in.n = 0;
    for (;;) {
        size_t n = 0;
        tn_err own = TN_ERR_INIT;
        tn_rc rc = stream_read(s, piece, sizeof piece, deadline_ns, &n, &own);
        if (rc == TN_E_UNAVAIL && c->in.n != 0) {
            return TN_OK; /* is it whole? the caller looks */
        }
        if (rc != TN_OK) {
            *err = own;
            err->flags &= ~TN_ERR_CONN_BROKEN; /* it was a connection for this request only */
            return rc;
        }
        message_put(&c->in, piece, n);
        if (c->in.n > max) {
            return nsq_host->fail(err, TN_E_LIMIT,
                                  "the answer is larger than max_result (%zu bytes)", max);
        }
        if (c->in.failed) {
            c->in.failed = false;
            return nsq_host->fail(err, TN_E_NOMEM, "no memory for the answer");
        }
    }
}

tn_rc nsq_http(struct nsq_conn *c, const char *host, uint16_t port, const char *method,
               const char *target, const void *body, size_t n, uint64_t deadline_ns,
               struct nsq_reply *ret, tn_err *err)
{
    static const struct stream_tls plain = {NULL, 0};
    const struct nsq_conf *conf = c->inst->conf;
    bool tls = strcmp(conf->protocol, "https") == 0;
    struct message_buf head = {NULL, 0, 0, false};
    struct stream s = {.fd = -1};
    bool v6 = strchr(host, ':') != NULL;
    char number[16];
    message_puts(&head, method);
    message_puts(&head, " ");
    message_puts(&head, target);
    message_puts(&head, v6 ? " HTTP/1.0\r\nHost: [" : " HTTP/1.0\r\nHost: ");
    message_puts(&head, host);
    snprintf(number, sizeof number, "%s:%u", v6 ? "]" : "", port);
    message_puts(&head, number);
    message_puts(&head, "\r\nUser-Agent: ");
    message_puts(&head, conf->application);
    message_puts(&head, "\r\nAccept: application/vnd.nsq; version=1.0\r\nContent-Length: ");
    message_put_int(&head, (int64_t)n);
    message_puts(&head, "\r\n\r\n");
    message_put(&head, body, n);
    if (head.failed) {
        message_free(&head);
        return nsq_host->fail(err, TN_E_NOMEM, "no memory for the request");
    }
    tn_rc rc = stream_open(&s, nsq_host, tls ? &c->inst->tls : &plain, host, port,
                           nsq_sooner(deadline_ns, conf->connect_timeout.ms), err);
    rc = rc == TN_OK ? nsq_waiting(c, s.fd, err) : rc;
    if (rc == TN_OK) { /* who refuses a large body answers before it is sent, and closes */
        tn_rc written = stream_write(&s, head.s, head.n, deadline_ns, err);
        err->flags &= written != TN_OK ? ~TN_ERR_CONN_BROKEN : ~0u;
        tn_err own = TN_ERR_INIT;
        rc = written == TN_OK || written == TN_E_UNAVAIL ? read_all(c, &s, deadline_ns, &own)
                                                         : written;
        if (written == TN_OK && rc != TN_OK) {
            *err = own;
        } else if (rc != TN_OK) {
            rc = written;
        }
    }
    bool ended = s.ended;
    nsq_waiting(c, -1, NULL);
    stream_close(&s, 0);
    message_free(&head);
    if (rc == TN_OK && !nsq_http_parse(c->in.s, c->in.n, ended, ret)) {
        rc = nsq_host->fail(err, TN_E_UNAVAIL,
                            "the answer of %.120s port %u is no HTTP or ends early; check the port "
                            "(4161 of nsqlookupd, 4151 of nsqd) and protocol",
                            host, port);
    }
    return rc;
}
