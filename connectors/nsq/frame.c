/* SPDX-License-Identifier: Apache-2.0 */
/* The TCP protocol of nsqd: commands as lines, replies as frames of size, type and data. */
#include "nsq.h"

#include <stdlib.h>
#include <unistd.h>

tn_rc nsq_broken(tn_rc rc, tn_err *err)
{
    if (err != NULL) {
        err->flags |= TN_ERR_CONN_BROKEN;
    }
    return rc;
}

static uint32_t u32(const char *p)
{
    const unsigned char *b = (const unsigned char *)p;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

void nsq_put_u32(struct message_buf *b, uint32_t v)
{
    const unsigned char be[4] = {(unsigned char)(v >> 24), (unsigned char)(v >> 16),
                                 (unsigned char)(v >> 8), (unsigned char)v};
    message_put(b, be, 4);
}

/* Exactly n bytes more into `in`; its memory grows with what has come. */
static tn_rc take(struct stream *s, struct message_buf *in, size_t n, uint64_t deadline_ns,
                  tn_err *err)
{
    char piece[16384];
    while (n != 0) {
        size_t got = 0;
        tn_rc rc = stream_read(s, piece, n < sizeof piece ? n : sizeof piece, deadline_ns, &got,
                               err);
        if (rc != TN_OK) {
            return rc;
        }
        message_put(in, piece, got);
        if (in->failed) {
            in->failed = false;
            return nsq_broken(nsq_host->fail(err, TN_E_NOMEM, "no memory for the answer"), err);
        }
        n -= got;
    }
    return TN_OK;
}

tn_rc nsq_frame_head(const char head[8], uint32_t *ret_size, uint32_t *ret_type, tn_err *err)
{
    *ret_size = u32(head);
    *ret_type = u32(head + 4);
    return *ret_size >= 4 && *ret_type <= NSQ_MESSAGE
               ? TN_OK
               : nsq_broken(nsq_host->fail(err, TN_E_UNAVAIL,
                                           "the server does not speak the protocol of nsqd; check "
                                           "the port (4150 for tcp)"),
                            err);
}

tn_rc nsq_frame_read(struct stream *s, struct message_buf *in, size_t max, uint64_t deadline_ns,
                     struct nsq_frame *ret, tn_err *err)
{
    for (;;) {
        in->n = 0;
        tn_rc rc = take(s, in, 8, deadline_ns, err);
        if (rc != TN_OK) {
            return rc;
        }
        uint32_t size = 0, type = 0;
        rc = nsq_frame_head(in->s, &size, &type, err);
        if (rc != TN_OK) {
            return rc;
        }
        if (size - 4 > max) {
            return nsq_broken(nsq_host->fail(err, TN_E_LIMIT,
                                             "the server announces %u bytes, more than max_result "
                                             "(%zu)",
                                             size - 4, max),
                              err);
        }
        in->n = 0;
        rc = take(s, in, size - 4, deadline_ns, err);
        if (rc != TN_OK) {
            return rc;
        }
        *ret = (struct nsq_frame){type, in->n != 0 ? in->s : "", in->n};
        if (type != NSQ_RESPONSE || ret->n != 11 || memcmp(ret->s, "_heartbeat_", 11) != 0) {
            return TN_OK;
        }
        rc = stream_write(s, "NOP\n", 4, deadline_ns, err);
        if (rc != TN_OK) {
            return rc;
        }
    }
}

/* ---- errors ------------------------------------------------------------------------------------------ */

/* By the first word. nsqd ends the connection after nearly all of them. */
static const struct {
    const char *word;
    tn_rc rc;
    const char *hint;
} classes[] = {
    {"E_BAD_TOPIC", TN_E_INVAL, ""},
    {"E_BAD_MESSAGE", TN_E_LIMIT, "; see -max-msg-size of nsqd"},
    {"E_BAD_BODY", TN_E_LIMIT, "; see -max-body-size and -max-msg-size of nsqd"},
    {"E_AUTH_FAILED", TN_E_DENIED, "; check auth_secret"},
    {"E_AUTH_FIRST", TN_E_DENIED, "; configure auth_secret"},
    {"E_AUTH_DISABLED", TN_E_CONFIG, "; leave auth_secret empty"},
    {"E_AUTH_ERROR", TN_E_DENIED, "; check auth_secret"},
    {"E_UNAUTHORIZED", TN_E_DENIED, ""},
};

tn_rc nsq_refused(const struct nsq_frame *f, const char *step, tn_err *err)
{
    tn_rc rc = TN_E_REMOTE;
    const char *hint = "";
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        size_t n = strlen(classes[i].word);
        if (f->n >= n && memcmp(f->s, classes[i].word, n) == 0) {
            rc = classes[i].rc;
            hint = classes[i].hint;
        }
    }
    if (f->n >= 12 && memmem(f->s, f->n, "TLS required", 12) != NULL) {
        rc = TN_E_CONFIG;
        hint = "; configure tls";
    }
    nsq_host->fail(err, rc, "%s%.*s%s", step, (int)(f->n < 200 ? f->n : 200), f->s, hint);
    return nsq_broken(rc, err);
}

/* One reply that must not be an error. */
static tn_rc expect(struct nsq_conn *c, const char *step, uint64_t deadline_ns,
                    struct nsq_frame *ret, tn_err *err)
{
    tn_rc rc = nsq_frame_read(&c->stream, &c->in, (size_t)c->inst->conf->max_result.n, deadline_ns,
                              ret, err);
    if (rc == TN_OK && ret->type != NSQ_RESPONSE) {
        rc = ret->type == NSQ_ERROR
                 ? nsq_refused(ret, step, err)
                 : nsq_broken(nsq_host->fail(err, TN_E_UNAVAIL,
                                             "%sthe server sends a message to a publisher", step),
                              err);
    }
    return rc;
}

tn_rc nsq_command(struct nsq_conn *c, uint64_t deadline_ns, tn_err *err)
{
    struct nsq_frame f;
    if (c->out.failed) {
        c->out.failed = false;
        return nsq_host->fail(err, TN_E_NOMEM, "no memory for the message");
    }
    tn_rc rc = stream_write(&c->stream, c->out.s, c->out.n, deadline_ns, err);
    rc = rc == TN_OK ? expect(c, "", deadline_ns, &f, err) : rc;
    if (rc == TN_OK && (f.n != 2 || memcmp(f.s, "OK", 2) != 0)) {
        rc = nsq_broken(nsq_host->fail(err, TN_E_UNAVAIL, "the server answers `%.*s` instead of OK",
                                       (int)(f.n < 60 ? f.n : 60), f.s),
                        err);
    }
    return rc;
}

/* ---- joining ----------------------------------------------------------------------------------------- */

static bool says_true(tn_str json, const char *name)
{
    tn_json_member room[64];
    const tn_json_member *m = tn_json_at(nsq_host->json, json, (tn_str){name, strlen(name)}, room,
                                         64);
    return m != NULL && m->kind == TN_JSON_BOOL && m->value.n == 4;
}

static uint32_t says_number(tn_str json, const char *name)
{
    tn_json_member room[64];
    char text[16] = "";
    const tn_json_member *m = tn_json_at(nsq_host->json, json, (tn_str){name, strlen(name)}, room,
                                         64);
    if (m != NULL && m->kind == TN_JSON_NUMBER && m->value.n < sizeof text) {
        memcpy(text, m->value.s, m->value.n);
    }
    return (uint32_t)strtoul(text, NULL, 10);
}

/* A name as JSON; what would need an escape becomes `_`. */
static void put_name(struct message_buf *b, const char *name)
{
    for (const char *p = name; *p != '\0'; p++) {
        bool plain = (unsigned char)*p >= 0x20 && *p != '"' && *p != '\\';
        message_put(b, plain ? p : "_", 1);
    }
}

static void put_identify(struct nsq_conn *c, bool tls)
{
    const char *app = c->inst->conf->application;
    struct message_buf body = {NULL, 0, 0, false};
    char host[256] = "";
    if (gethostname(host, sizeof host - 1) != 0) {
        host[0] = '\0';
    }
    message_puts(&body, "{\"feature_negotiation\":true,\"heartbeat_interval\":");
    message_put_int(&body, c->heartbeat_ms != 0 ? (int64_t)c->heartbeat_ms : -1);
    if (c->msg_timeout_ms != 0) {
        message_puts(&body, ",\"msg_timeout\":");
        message_put_int(&body, c->msg_timeout_ms);
    }
    message_puts(&body, tls ? ",\"tls_v1\":true" : ",\"tls_v1\":false");
    message_puts(&body, ",\"user_agent\":\"tenon/1");
    message_puts(&body, c->about != NULL ? " " : "");
    put_name(&body, c->about != NULL ? c->about : "");
    message_puts(&body, "\",\"client_id\":\"");
    put_name(&body, app);
    message_puts(&body, "\",\"hostname\":\"");
    put_name(&body, host);
    message_puts(&body, "\"}");
    c->out.n = 0;
    message_puts(&c->out, "  V2IDENTIFY\n");
    nsq_put_u32(&c->out, (uint32_t)body.n);
    message_put(&c->out, body.s, body.n);
    c->out.failed |= body.failed;
    message_free(&body);
}

static tn_rc sign_in(struct nsq_conn *c, uint64_t deadline_ns, tn_err *err)
{
    const char *secret = c->inst->conf->auth_secret.s;
    struct nsq_frame f;
    c->out.n = 0;
    message_puts(&c->out, "AUTH\n");
    nsq_put_u32(&c->out, (uint32_t)strlen(secret));
    message_puts(&c->out, secret);
    tn_rc rc = c->out.failed ? nsq_host->fail(err, TN_E_NOMEM, "no memory for the request")
                             : stream_write(&c->stream, c->out.s, c->out.n, deadline_ns, err);
    if (c->out.s != NULL) {
        explicit_bzero(c->out.s, c->out.n);
    }
    return rc == TN_OK ? expect(c, "sign-in: ", deadline_ns, &f, err) : rc;
}

static tn_rc greet(struct nsq_conn *c, const struct nsq_node *node, uint64_t deadline_ns,
                   tn_err *err)
{
    const struct nsq_conf *conf = c->inst->conf;
    bool tls = c->inst->tls.ctx != NULL;
    bool secret = conf->auth_secret.s != NULL && conf->auth_secret.s[0] != '\0';
    struct nsq_frame f;
    put_identify(c, tls);
    tn_rc rc = c->out.failed ? nsq_host->fail(err, TN_E_NOMEM, "no memory for the request")
                             : stream_write(&c->stream, c->out.s, c->out.n, deadline_ns, err);
    rc = rc == TN_OK ? expect(c, "sign-in: ", deadline_ns, &f, err) : rc;
    if (rc != TN_OK) {
        return rc;
    }
    const tn_str answer = {f.s, f.n};
    uint32_t kept_ms = says_number(answer, "msg_timeout");
    c->msg_timeout_ms = kept_ms != 0 ? kept_ms : c->msg_timeout_ms;
    c->max_rdy_count = says_number(answer, "max_rdy_count");
    bool offers = says_true(answer, "tls_v1"), wants = says_true(answer, "auth_required");
    if (tls && !offers) {
        return nsq_host->fail(err, TN_E_CONFIG,
                              "TLS: %.120s port %u does not offer it (nsqd has no -tls-cert)",
                              node->host, node->port);
    }
    if (tls) {
        rc = stream_secure(&c->stream, &c->inst->tls, node->host, deadline_ns, err);
        rc = rc == TN_OK ? expect(c, "TLS: ", deadline_ns, &f, err) : rc;
    }
    if (rc == TN_OK && wants && !secret) {
        return nsq_host->fail(err, TN_E_DENIED,
                              "sign-in: the server asks for a secret and none is configured");
    }
    return rc == TN_OK && secret ? sign_in(c, deadline_ns, err) : rc;
}

tn_rc nsq_join(struct nsq_conn *c, const struct nsq_node *node, uint64_t deadline_ns, tn_err *err)
{
    static const struct stream_tls plain = {NULL, 0};
    uint64_t at = nsq_sooner(deadline_ns, c->inst->conf->connect_timeout.ms);
    tn_rc rc = stream_open(&c->stream, nsq_host, &plain, node->host, node->port, at, err);
    c->up = rc == TN_OK;
    rc = rc == TN_OK ? nsq_waiting(c, c->stream.fd, err) : rc;
    rc = rc == TN_OK ? greet(c, node, at, err) : rc;
    if (rc != TN_OK) {
        nsq_leave(c, false);
        return rc;
    }
    c->at = *node;
    return TN_OK;
}

void nsq_leave(struct nsq_conn *c, bool polite)
{
    if (c->up) {
        nsq_waiting(c, -1, NULL);
        stream_close(&c->stream, polite);
        c->up = false;
    }
}
