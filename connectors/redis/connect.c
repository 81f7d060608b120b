/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: TCP, TLS, sign-in, database and name; what a call may leave behind. */
#include "redis.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *tls_mode(const struct rd_conf *conf)
{
    return strcmp(conf->tls, "off") == 0 && (conf->use_ssl || conf->use_tls) ? "on" : conf->tls;
}

/* The first connection reads the certificates; the others use what it made. */
static tn_rc prepare_tls(struct rd *inst, tn_err *err)
{
    const struct rd_conf *conf = inst->conf;
    tn_rc rc = TN_OK;
    pthread_mutex_lock(&inst->lock);
    if (!inst->tls_made) {
        rc = stream_tls_init(rd_host, tls_mode(conf), conf->tls_ca, conf->tls_cert, conf->tls_key.s,
                             &inst->tls, err);
        inst->tls_made = rc == TN_OK;
    }
    pthread_mutex_unlock(&inst->lock);
    return rc;
}

/* ---- sign-in ----------------------------------------------------------------------------------------- */

enum { STEP_AUTH, STEP_SELECT, STEP_NAME, STEP_MODE, STEPS };

static const char *secret(const struct rd_conf *conf)
{
    return conf->password.s != NULL ? conf->password.s : "";
}

/* Puts one step; *ret_sent: there is something to do. */
static tn_rc put_step(struct rd_conn *c, int step, bool *ret_sent, tn_err *err)
{
    const struct rd_conf *conf = c->inst->conf;
    const char *user = conf->user != NULL ? conf->user : "", *password = secret(conf);
    bool aliyun = strcmp(conf->auth_type, "aliyun") == 0;
    char both[1024];
    struct rd_cmd cmd;
    *ret_sent = false;
    if (step == STEP_AUTH && (user[0] != '\0' || password[0] != '\0')) {
        rd_cmd_init(&cmd, "AUTH");
        if (aliyun && user[0] != '\0') {
            snprintf(both, sizeof both, "%s:%s", user, password);
            password = both;
        } else if (user[0] != '\0') {
            rd_arg_str(&cmd, user, strlen(user));
        }
        rd_arg_str(&cmd, password, strlen(password));
    } else if (step == STEP_SELECT && conf->database != 0) {
        rd_cmd_init(&cmd, "SELECT");
        rd_arg_int(&cmd, conf->database);
    } else if (step == STEP_NAME) {
        rd_cmd_init(&cmd, "CLIENT SETNAME");
        rd_arg_str(&cmd, conf->application, strlen(conf->application));
    } else if (step == STEP_MODE) {
        rd_cmd_init(&cmd, "HELLO 2"); /* servers before 6 refuse it, which is no harm */
    } else {
        return TN_OK;
    }
    *ret_sent = true;
    tn_rc rc = rd_put(c, &cmd, err);
    rd_cmd_finish(&cmd);
    return rc;
}

/* A Sentinel answers PING and looks like a server until the first command about data. */
static bool is_sentinel(const struct rd_node *hello)
{
    for (uint32_t i = 0; hello->type == RD_LIST && i + 1 < hello->n; i += 2) {
        if (rd_is(hello->u.items[i], RD_TEXT, "mode")) {
            return rd_is(hello->u.items[i + 1], RD_TEXT, "sentinel");
        }
    }
    return false;
}

static tn_rc judge_step(struct rd_conn *c, int step, const struct rd_node *node, tn_err *err)
{
    const struct rd_conf *conf = c->inst->conf;
    bool no_auth = node->type == RD_ERROR && strncmp(node->s, "NOAUTH", 6) == 0;
    if (step == STEP_MODE && is_sentinel(node)) {
        return rd_host->fail(
            err, TN_E_CONFIG,
            "sign-in: this is a Sentinel, which holds no data; configure the server that "
            "it watches (SENTINEL MASTERS tells its address)");
    }
    if (node->type != RD_ERROR || step == STEP_MODE || (step == STEP_NAME && !no_auth)) {
        return TN_OK; /* a name is a courtesy, which an ACL may forbid */
    }
    if (no_auth) {
        return rd_host->fail(err, TN_E_DENIED,
                             "sign-in: the server asks for a password and none is configured");
    }
    if (step == STEP_SELECT) {
        return rd_host->fail(err, TN_E_CONFIG, "sign-in: database %lld: %.200s; check database",
                             (long long)conf->database, node->s);
    }
    if (strstr(node->s, "without any password configured") != NULL) {
        return rd_host->fail(
            err, TN_E_CONFIG,
            "sign-in: the server has no password; leave password empty, or set one there");
    }
    return rd_host->fail(err, TN_E_DENIED, "sign-in: %.200s; check user and password", node->s);
}

static tn_rc sign_in(struct rd_conn *c, uint64_t deadline_ns, tn_err *err)
{
    bool sent[STEPS];
    tn_rc rc = TN_OK;
    for (int i = 0; rc == TN_OK && i < STEPS; i++) {
        rc = put_step(c, i, &sent[i], err);
    }
    rc = rc == TN_OK ? rd_send(c, deadline_ns, err) : rc;
    if (c->wire != NULL) { /* the password */
        explicit_bzero(c->wire, c->cap);
    }
    for (int i = 0; rc == TN_OK && i < STEPS; i++) {
        struct rd_node *node = NULL;
        if (sent[i]) {
            rc = rd_read(c, deadline_ns, &node, err);
            rc = rc == TN_OK ? judge_step(c, i, node, err) : rc;
            rd_free(node);
        }
    }
    return rc;
}

/* ---- the contract's functions ------------------------------------------------------------------------ */

static void drop(struct rd_conn *c, bool polite)
{
    stream_close(&c->stream, polite);
    if (c->reader != NULL) {
        redisReaderFree(c->reader);
    }
    free(c->wire);
    free(c);
}

tn_rc rd_open(void *inst, uint64_t deadline_ns, void **ret_conn, tn_err *err)
{
    struct rd *rd = inst;
    tn_rc rc = prepare_tls(rd, err);
    struct rd_conn *c = rc == TN_OK ? calloc(1, sizeof *c) : NULL;
    if (rc == TN_OK && c == NULL) {
        rc = rd_host->fail(err, TN_E_NOMEM, "no memory for a connection");
    }
    if (rc != TN_OK) {
        return rc;
    }
    c->inst = rd;
    c->stream.fd = -1;
    c->reader = redisReaderCreateWithFunctions((redisReplyObjectFunctions *)&rd_functions);
    if (c->reader == NULL) {
        drop(c, false);
        return rd_host->fail(err, TN_E_NOMEM, "no memory for a connection");
    }
    c->reader->privdata = c;
    rc = stream_open(&c->stream, rd_host, &rd->tls, rd->conf->host, (uint16_t)rd->conf->port,
                     deadline_ns, err);
    rc = rc == TN_OK ? sign_in(c, deadline_ns, err) : rc;
    if (rc != TN_OK) {
        drop(c, false);
        return rc;
    }
    c->fresh = true;
    *ret_conn = c;
    return TN_OK;
}

tn_rc rd_check(void *inst, void *conn, uint64_t deadline_ns, tn_err *err)
{
    struct rd_cmd cmd;
    struct rd_node *node = NULL;
    (void)inst;
    rd_cmd_init(&cmd, "PING");
    tn_rc rc = rd_exec(conn, &cmd, deadline_ns, &node, err);
    rd_free(node);
    return rc;
}

/* Nothing to send: what changes a session has marked it, and such a connection is closed. */
tn_rc rd_reset(void *inst, void *conn, tn_err *err)
{
    struct rd_conn *c = conn;
    (void)inst;
    c->fresh = true;
    if (atomic_load(&c->canceled)) { /* too late for its call, but the line is cut */
        return rd_host->fail(err, TN_E_UNAVAIL, "the call was told to stop");
    }
    return c->changed
               ? rd_host->fail(err, TN_E_UNAVAIL, "the call changed the session of this connection")
               : TN_OK;
}

void rd_close(void *inst, void *conn, uint32_t why)
{
    (void)inst;
    drop(conn, why == TN_CLOSE_NORMAL);
}

void rd_cancel(void *inst, void *conn)
{
    struct rd_conn *c = conn;
    (void)inst;
    if (atomic_load(&c->working)) { /* a late one must not end a healthy connection */
        atomic_store(&c->canceled, true);
        stream_interrupt(&c->stream);
    }
}
