/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: the hosts in turn, TCP, TLS, hello; what a call may leave behind. */
#include "clickhouse.h"

#include "frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_BYTES     (64u << 10)
#define NAME_MAX_BYTES 256
#define KEPT_BYTES     (4u << 20) /* of a buffer, from one call to the next */

/* The first connection reads the certificates; the others use what it made. */
static tn_rc prepare_tls(struct ch *inst, tn_err *err)
{
    const struct ch_conf *conf = inst->conf;
    tn_rc rc = TN_OK;
    pthread_mutex_lock(&inst->lock);
    if (!inst->tls_made) {
        rc = stream_tls_init(ch_host, conf->tls, conf->tls_ca, conf->tls_cert, conf->tls_key.s,
                             &inst->tls, err);
        inst->tls_made = rc == TN_OK;
    }
    pthread_mutex_unlock(&inst->lock);
    return rc;
}

/* ---- hello ------------------------------------------------------------------------------------------- */

static void put_hello(struct ch_conn *c)
{
    const struct ch_conf *conf = c->inst->conf;
    ch_putv(&c->out, CH_P_HELLO);
    ch_putz(&c->out, conf->application);
    ch_putv(&c->out, 1);
    ch_putv(&c->out, 0);
    ch_putv(&c->out, (uint64_t)conf->revision);
    ch_putz(&c->out, conf->database);
    ch_putz(&c->out, conf->user);
    ch_putz(&c->out, conf->password.s);
}

static void get_hello(struct ch_conn *c)
{
    struct ch_in *in = &c->raw;
    char skip[8];
    ch_get_short(in, skip, sizeof skip, NAME_MAX_BYTES, "the server's name");
    c->major = (uint32_t)ch_getv(in);
    c->minor = (uint32_t)ch_getv(in);
    uint64_t theirs = ch_getv(in), ours = (uint64_t)c->inst->conf->revision;
    c->rev = (uint32_t)(theirs < ours ? theirs : ours);
    if (in->rc == TN_OK && theirs < CH_REV_FIRST) {
        ch_in_fail(
            in, TN_E_UNAVAIL,
            "sign-in: the server does not speak ClickHouse's native protocol (revision %llu)",
            (unsigned long long)theirs);
    }
    if (in->rc == TN_OK && c->rev < CH_REV_LEAST) {
        ch_in_fail(
            in, TN_E_UNSUPP,
            "sign-in: the server speaks revision %u of the protocol; at least %u (version 1.1.54060 of "
            "2016) is needed",
            c->rev, CH_REV_LEAST);
    }
    ch_get_short(in, c->zone, sizeof c->zone, NAME_MAX_BYTES, "the server's time zone");
    if (c->rev >= CH_REV_DISPLAY_NAME) {
        ch_get_short(in, skip, sizeof skip, NAME_MAX_BYTES * 16, "the server's display name");
    }
    c->patch = c->rev >= CH_REV_PATCH ? (uint32_t)ch_getv(in) : 0;
}

/* What a wrong database or password is called. */
static void explain(const struct ch_conf *conf, tn_rc *rc, tn_err *err)
{
    char text[sizeof err->msg];
    if (err == NULL || err->native == 0) {
        return;
    }
    int32_t code = err->native;
    snprintf(text, sizeof text, "%s", err->msg);
    if (code == 81) { /* unknown database */
        *rc = TN_E_CONFIG;
    }
    ch_host->fail(err, *rc, "sign-in: %.380s%s", text,
                  code == 81           ? "; check database"
                  : *rc == TN_E_DENIED ? "; check user and password"
                                       : "");
    err->native = code;
    (void)conf;
}

static tn_rc sign_in(struct ch_conn *c, uint64_t deadline_ns, tn_err *err)
{
    struct ch_block none = {.ncols = 0};
    uint32_t type = 0;
    ch_begin(c, deadline_ns);
    put_hello(c);
    tn_rc rc = ch_send(c, err);
    if (rc != TN_OK) {
        return rc;
    }
    c->raw.err = err;
    uint8_t first = ch_get8(&c->raw);
    if (c->raw.rc != TN_OK) {
        if (c->raw.rc == TN_E_UNAVAIL && err != NULL) {
            err->flags |= TN_ERR_RETRY;
        }
        return c->raw.rc;
    }
    if (first == CH_P_EXCEPTION) {
        c->raw.at--; /* as a packet */
        rc = ch_packet(c, 0, &type, &none, err);
        explain(c->inst->conf, &rc, err);
        return rc;
    }
    if (first != CH_P_HELLO) {
        return ch_in_fail(
            &c->raw, TN_E_UNAVAIL,
            "sign-in: port %lld does not speak ClickHouse's native protocol (it answers with byte %02x%s); "
            "the HTTP port is another one",
            (long long)c->inst->conf->port, first, first == 'H' ? ", as HTTP does" : "");
    }
    get_hello(c);
    if (c->raw.rc != TN_OK) {
        return c->raw.rc;
    }
    if (c->rev >= CH_REV_ADDENDUM) {
        ch_putz(&c->out, ""); /* quota key */
        return ch_send(c, err);
    }
    return TN_OK;
}

/* ---- hosts ------------------------------------------------------------------------------------------- */

static void drop(struct ch_conn *c, bool polite)
{
    stream_close(&c->stream, polite);
    ch_part_drop(c->part);
    ch_out_finish(&c->out);
    free(c->raw.buf);
    free(c->body.buf);
    free(c);
}

static struct ch_conn *new_conn(struct ch *ch)
{
    struct ch_conn *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return NULL;
    }
    c->inst = ch;
    c->stream.fd = -1;
    c->raw = (struct ch_in){
        .host = ch_host, .cap = READ_BYTES, .more = ch_more, .self = c, .buf = malloc(READ_BYTES)};
    c->body = (struct ch_in){.host = ch_host, .more = ch_more_body, .self = c};
    c->method = strcmp(ch->conf->compression, "lz4") == 0    ? CH_LZ4
                : strcmp(ch->conf->compression, "zstd") == 0 ? CH_ZSTD
                                                             : 0;
    if (c->raw.buf == NULL) {
        drop(c, false);
        return NULL;
    }
    return c;
}

/* "name", "name:port", "[::1]:port" up to a comma. */
static tn_rc split(const struct ch_conf *conf, const char *at, size_t n, char name[256],
                   uint16_t *ret_port, tn_err *err)
{
    const char *colon = memchr(at, ':', n),
               *close = n != 0 && at[0] == '[' ? memchr(at, ']', n) : NULL;
    size_t name_n = n;
    long port = (long)conf->port;
    if (close != NULL) {
        colon = (size_t)(close + 1 - at) < n && close[1] == ':' ? close + 1 : NULL;
        name_n = (size_t)(close - at) - 1;
    } else if (colon != NULL && memchr(colon + 1, ':', n - (size_t)(colon + 1 - at)) != NULL) {
        colon = NULL; /* an IPv6 address without brackets */
    } else if (colon != NULL) {
        name_n = (size_t)(colon - at);
    }
    if (colon != NULL) {
        char *behind;
        port = strtol(colon + 1, &behind, 10);
        port = behind == at + n ? port : 0;
    }
    if (name_n == 0 || name_n >= 256 || port < 1 || port > 65535) {
        return ch_host->fail(err, TN_E_CONFIG,
                             "host has an empty or overlong name, or a wrong port: %.*s",
                             (int)(n < 100 ? n : 100), at);
    }
    snprintf(name, 256, "%.*s", (int)name_n, close != NULL ? at + 1 : at);
    *ret_port = (uint16_t)port;
    return TN_OK;
}

static tn_rc open_one(struct ch *ch, const char *name, uint16_t port, uint64_t deadline_ns,
                      struct ch_conn **ret, tn_err *err)
{
    struct ch_conn *c = new_conn(ch);
    if (c == NULL) {
        return ch_host->fail(err, TN_E_NOMEM, "no memory for a connection");
    }
    tn_rc rc = stream_open(&c->stream, ch_host, &ch->tls, name, port, deadline_ns, err);
    rc = rc == TN_OK ? sign_in(c, deadline_ns, err) : rc;
    if (rc != TN_OK) {
        drop(c, false);
        return rc;
    }
    c->fresh = true;
    *ret = c;
    return TN_OK;
}

/* When the last of several servers has `left` to be tried, this one gets its share of the time. */
static uint64_t share(uint64_t deadline_ns, unsigned servers)
{
    uint64_t now = ch_host->now_ns();
    return deadline_ns == 0 || servers < 2 || deadline_ns <= now
               ? deadline_ns
               : now + (deadline_ns - now) / servers;
}

tn_rc ch_open(void *inst, uint64_t deadline_ns, void **ret_conn, tn_err *err)
{
    struct ch *ch = inst;
    struct ch_conn *c = NULL;
    unsigned servers = 1;
    tn_rc rc = prepare_tls(ch, err);
    if (rc != TN_OK) {
        return rc;
    }
    for (const char *p = ch->conf->host; *p != '\0'; p++) {
        servers += *p == ',';
    }
    for (const char *at = ch->conf->host;; servers--) {
        size_t n = strcspn(at, ",");
        char name[256];
        uint16_t port = 0;
        rc = split(ch->conf, at, n, name, &port, err);
        rc = rc == TN_OK ? open_one(ch, name, port, share(deadline_ns, servers), &c, err) : rc;
        /* another server would refuse us as well */
        if (rc == TN_OK || rc == TN_E_DENIED || rc == TN_E_CONFIG || at[n] == '\0') {
            break;
        }
        at += n + 1;
    }
    if (rc == TN_OK) {
        *ret_conn = c;
    }
    return rc;
}

tn_rc ch_check(void *inst, void *conn, uint64_t deadline_ns, tn_err *err)
{
    struct ch_conn *c = conn;
    struct ch_block none = {.ncols = 0};
    uint32_t type = 0;
    (void)inst;
    ch_begin(c, deadline_ns);
    ch_putv(&c->out, 4); /* Ping */
    tn_rc rc = ch_send(c, err);
    while (rc == TN_OK && type != CH_P_PONG) { /* progress of the statement before may still come */
        rc = ch_packet(c, 1u << 20, &type, &none, err);
        ch_block_finish(&none);
    }
    return rc;
}

/* Settings go with each statement, so nothing is left but what a statement did to its session, and memory of large frames. */
tn_rc ch_reset(void *inst, void *conn, tn_err *err)
{
    struct ch_conn *c = conn;
    (void)inst;
    c->fresh = true;
    if (c->body.cap > KEPT_BYTES && c->body.at == c->body.n) {
        free(c->body.buf);
        c->body.buf = NULL;
        c->body.at = c->body.n = c->body.cap = 0;
    }
    return c->changed || c->streaming || c->running || c->raw.rc != TN_OK
               ? ch_host->fail(err, TN_E_UNAVAIL, "the call changed the session of this connection")
               : TN_OK;
}

void ch_close(void *inst, void *conn, uint32_t why)
{
    (void)inst;
    drop(conn, why == TN_CLOSE_NORMAL);
}

void ch_cancel(void *inst, void *conn)
{
    struct ch_conn *c = conn;
    (void)inst;
    if (atomic_load(&c->working)) { /* a late one must not end a healthy connection */
        atomic_store(&c->canceled, true);
        if (!atomic_load(&c->listening)) {
            stream_interrupt(&c->stream);
        }
    }
}
