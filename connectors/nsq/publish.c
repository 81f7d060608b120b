/* SPDX-License-Identifier: Apache-2.0 */
/* Publishing to one of the nodes, and asking nsqlookupd. A node that cannot be reached is passed over; once a message was sent
 * its outcome is told, whatever it is, because sending it to another one could double it. */
#include "nsq.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- arguments --------------------------------------------------------------------------------------- */

static tn_rc topic_of(const tn_val *v, char ret[NSQ_NAME_MAX], tn_err *err)
{
    if (v->type != TN_T_STR || !nsq_name_ok(v->u.s, v->n)) {
        return nsq_host->fail(err, TN_E_INVAL,
                              "the topic `%.*s` must be 1 to 64 letters, digits and `._-`, with "
                              "#ephemeral behind them if it need not be kept",
                              v->type == TN_T_STR ? (int)(v->n < 80 ? v->n : 80) : 0,
                              v->type == TN_T_STR ? v->u.s : "");
    }
    memcpy(ret, v->u.s, v->n);
    ret[v->n] = '\0';
    return TN_OK;
}

static tn_rc defer_of(const tn_val *v, int64_t *ret, tn_err *err)
{
    if (v->type != TN_T_NULL && (v->type != TN_T_INT || v->u.i < 0 || v->u.i > 86400000)) {
        return nsq_host->fail(err, TN_E_INVAL, "defer is a number of milliseconds, up to a day");
    }
    *ret = v->type == TN_T_INT ? v->u.i : 0;
    return TN_OK;
}

/* ---- one node after the other ------------------------------------------------------------------------ */

static uint32_t anywhere(uint32_t n)
{
    uint64_t x = nsq_host->now_ns() * 0x9E3779B97F4A7C15u;
    return (uint32_t)(x >> 33) % n;
}

/* ---- HTTP -------------------------------------------------------------------------------------------- */

struct target { /* what is published */
    char topic[NSQ_NAME_MAX];
    int64_t defer;
    bool many;
    struct message_buf body;
};

/* A message to one node; *ret_sent: it may have got it. */
static tn_rc send_http(struct nsq_call *k, const struct nsq_node *node, const struct target *t,
                       bool *ret_sent)
{
    struct message_buf url = {NULL, 0, 0, false};
    struct nsq_reply reply = {0, NULL, 0};
    message_puts(&url, t->many ? "/mpub?binary=true&topic=" : "/pub?topic=");
    nsq_escape(&url, t->topic, strlen(t->topic), "");
    if (t->defer != 0) {
        message_puts(&url, "&defer=");
        message_put_int(&url, t->defer);
    }
    message_put(&url, "", 1);
    k->err->flags = 0;
    tn_rc rc = url.failed ? nsq_host->fail(k->err, TN_E_NOMEM, "no memory for the request")
                          : nsq_http(k->c, node->host, node->port, "POST", url.s, t->body.s,
                                     t->body.n, k->deadline_ns, &reply, k->err);
    message_free(&url);
    *ret_sent = rc == TN_OK || (k->err->flags & TN_ERR_RETRY) == 0;
    if (rc == TN_OK && reply.status != 200) {
        rc = nsq_host->fail(k->err,
                            reply.status == 413                          ? TN_E_LIMIT
                            : reply.status == 401 || reply.status == 403 ? TN_E_DENIED
                                                                         : TN_E_REMOTE,
                            "%.120s port %u answers with status %d: %.*s", node->host, node->port,
                            reply.status, (int)(reply.n < 200 ? reply.n : 200), reply.body);
        k->err->native = reply.status;
    }
    return rc;
}

/* ---- TCP --------------------------------------------------------------------------------------------- */

static tn_rc send_tcp(struct nsq_call *k, const struct nsq_node *node, const struct target *t,
                      bool *ret_sent)
{
    struct nsq_conn *c = k->c;
    char number[24];
    if (c->up && stream_stale(&c->stream)) {
        nsq_leave(c, false);
    }
    if (!c->up) { /* a kept connection is used whichever node it leads to */
        tn_rc rc = nsq_join(c, node, k->deadline_ns, k->err);
        if (rc != TN_OK) {
            return rc;
        }
    }
    tn_rc rc = nsq_waiting(c, c->stream.fd, k->err);
    c->out.n = 0;
    message_puts(&c->out, t->many ? "MPUB " : t->defer != 0 ? "DPUB " : "PUB ");
    message_puts(&c->out, t->topic);
    if (t->defer != 0) {
        snprintf(number, sizeof number, " %lld", (long long)t->defer);
        message_puts(&c->out, number);
    }
    message_puts(&c->out, "\n");
    nsq_put_u32(&c->out, (uint32_t)t->body.n);
    message_put(&c->out, t->body.s, t->body.n);
    *ret_sent = true;
    rc = rc == TN_OK ? nsq_command(c, k->deadline_ns, k->err) : rc;
    if (rc != TN_OK && k->err->flags & TN_ERR_CONN_BROKEN) {
        nsq_leave(c, false);
    }
    return rc;
}

/* ---- methods ----------------------------------------------------------------------------------------- */

static tn_rc publish(struct nsq_call *k, struct target *t)
{
    struct nsq_conn *c = k->c;
    tn_rc rc = nsq_nodes_ready(c, k->deadline_ns, k->err);
    if (rc != TN_OK) {
        return rc;
    }
    uint32_t start = anywhere(c->nodes.n), tries = c->nodes.n < 4 ? c->nodes.n : 4;
    for (uint32_t i = 0; i < tries; i++) {
        const struct nsq_node *node = &c->nodes.node[(start + i) % c->nodes.n];
        bool sent = false;
        rc = c->inst->tcp ? send_tcp(k, node, t, &sent) : send_http(k, node, t, &sent);
        if (rc == TN_OK || sent || (rc != TN_E_UNAVAIL && rc != TN_E_TIMEOUT) ||
            (k->deadline_ns != 0 && nsq_host->now_ns() >= k->deadline_ns)) {
            break;
        }
    }
    if (rc != TN_OK && c->nodes_until_ns != UINT64_MAX) {
        c->nodes_until_ns = 0; /* the next call asks who is there */
    }
    if (rc == TN_OK) {
        tape_bool(k->out, true);
    }
    return rc;
}

/* publish(topic, message, defer) */
tn_rc nsq_publish(struct nsq_call *k)
{
    struct target t = {.many = false};
    tn_rc rc = topic_of(&k->a[0], t.topic, k->err);
    rc = rc == TN_OK ? defer_of(&k->a[2], &t.defer, k->err) : rc;
    rc = rc == TN_OK ? message_body(nsq_host, &t.body, &k->a[1], k->err) : rc;
    if (rc == TN_OK && (t.body.n == 0 || t.body.n > INT32_MAX)) {
        rc = nsq_host->fail(k->err, TN_E_INVAL,
                            t.body.n == 0 ? "the message is empty, which nsqd refuses"
                                          : "the message is larger than 2 GiB");
    }
    rc = rc == TN_OK ? publish(k, &t) : rc;
    message_free(&t.body);
    return rc;
}

/* publish_many(topic, messages) */
tn_rc nsq_publish_many(struct nsq_call *k)
{
    const tn_val *list = &k->a[1];
    struct target t = {.many = true};
    struct message_buf one = {NULL, 0, 0, false};
    tn_rc rc = topic_of(&k->a[0], t.topic, k->err);
    if (rc == TN_OK && (list->type != TN_T_LIST || list->n == 0)) {
        rc = nsq_host->fail(k->err, TN_E_INVAL, "a list of messages is needed, with one at least");
    }
    nsq_put_u32(&t.body, list->n);
    for (uint32_t i = 0; rc == TN_OK && i < list->n; i++) {
        one.n = 0;
        rc = message_body(nsq_host, &one, &list->u.list[i], k->err);
        if (rc == TN_OK && (one.n == 0 || t.body.n + one.n > INT32_MAX)) {
            rc = nsq_host->fail(k->err, TN_E_INVAL, "message %u is empty, or all are too large", i);
        }
        nsq_put_u32(&t.body, (uint32_t)one.n);
        message_put(&t.body, one.s, one.n);
    }
    if (rc == TN_OK && t.body.failed) {
        rc = nsq_host->fail(k->err, TN_E_NOMEM, "no memory for the messages");
    }
    rc = rc == TN_OK ? publish(k, &t) : rc;
    message_free(&one);
    message_free(&t.body);
    return rc;
}

/* nodes(): [{"host", "port"}] */
tn_rc nsq_list_nodes(struct nsq_call *k)
{
    tn_rc rc = nsq_nodes_ready(k->c, k->deadline_ns, k->err);
    tape_list(k->out);
    for (uint32_t i = 0; rc == TN_OK && i < k->c->nodes.n; i++) {
        const struct nsq_node *node = &k->c->nodes.node[i];
        tape_map(k->out);
        tape_key(k->out, "host", 4);
        tape_str(k->out, node->host, strlen(node->host));
        tape_key(k->out, "port", 4);
        tape_int(k->out, node->port);
        tape_end(k->out);
    }
    tape_end(k->out);
    return rc;
}

/* Fixed nodes: each answers; else nsqlookupd does. */
tn_rc nsq_check_all(struct nsq_call *k)
{
    struct nsq_conn *c = k->c;
    struct nsq_reply reply = {0, NULL, 0};
    if (c->nodes_until_ns != UINT64_MAX) {
        c->nodes_until_ns = 0;
    }
    tn_rc rc = nsq_nodes_ready(c, k->deadline_ns, k->err);
    bool fixed = c->nodes_until_ns == UINT64_MAX;
    for (uint32_t i = 0; rc == TN_OK && fixed && i < c->nodes.n; i++) {
        const struct nsq_node *node = &c->nodes.node[i];
        if (c->inst->tcp) {
            nsq_leave(c, true);
            rc = nsq_join(c, node, k->deadline_ns, k->err);
            continue;
        }
        rc = nsq_http(c, node->host, node->port, "GET", "/ping", NULL, 0, k->deadline_ns, &reply,
                      k->err);
        if (rc == TN_OK && reply.status != 200) {
            rc = nsq_host->fail(k->err, TN_E_UNAVAIL, "%.120s port %u answers /ping with %d: %.*s",
                                node->host, node->port, reply.status,
                                (int)(reply.n < 100 ? reply.n : 100), reply.body);
        }
    }
    return rc;
}

/* query(method, path, query, body) on nsqlookupd: [status, parsed] */
tn_rc nsq_query(struct nsq_call *k)
{
    const struct nsq_conf *conf = k->c->inst->conf;
    const tn_val *method = &k->a[0], *path = &k->a[1], *query = &k->a[2], *body = &k->a[3];
    struct message_buf url = {NULL, 0, 0, false}, data = {NULL, 0, 0, false};
    struct nsq_reply reply = {0, NULL, 0};
    char verb[16] = "";
    tn_str where = {NULL, 0};
    uint32_t kind = 0;
    tn_rc rc = TN_OK;
    if (method->type == TN_T_STR && path->type == TN_T_NULL) { /* "GET /nodes" */
        const char *blank = memchr(method->u.s, ' ', method->n);
        where = blank != NULL ? (tn_str){blank + 1, method->n - (size_t)(blank + 1 - method->u.s)}
                              : (tn_str){"/", 1};
    } else if (path->type == TN_T_STR) {
        where = (tn_str){path->u.s, path->n};
    }
    for (uint32_t i = 0; method->type == TN_T_STR && i < method->n && i < sizeof verb - 1; i++) {
        char ch = method->u.s[i];
        if (ch == ' ') {
            break;
        }
        verb[i] = (char)(ch >= 'a' && ch <= 'z' ? ch - 32 : ch);
        verb[i] = verb[i] >= 'A' && verb[i] <= 'Z' ? verb[i] : '?';
    }
    if (verb[0] == '\0' || strchr(verb, '?') != NULL || where.s == NULL) {
        return nsq_host->fail(k->err, TN_E_INVAL,
                              "query() needs a method (GET, POST, …) and a path");
    }
    if (query->type != TN_T_NULL && query->type != TN_T_MAP) {
        return nsq_host->fail(k->err, TN_E_INVAL, "the query must be a dict");
    }
    message_puts(&url, where.n > 0 && where.s[0] == '/' ? "" : "/");
    nsq_escape(&url, where.s, where.n, "/?&=%#:,@!$'()*+;");
    for (uint32_t i = 0; rc == TN_OK && query->type == TN_T_MAP && i < query->n; i++) {
        const tn_pair *p = &query->u.map[i];
        struct message_buf text = {NULL, 0, 0, false};
        rc = message_body(nsq_host, &text, &p->val, k->err);
        message_puts(&url, i == 0 ? "?" : "&");
        nsq_escape(&url, p->key.type == TN_T_STR ? p->key.u.s : "",
                   p->key.type == TN_T_STR ? p->key.n : 0, "");
        message_puts(&url, "=");
        nsq_escape(&url, text.s != NULL ? text.s : "", text.n, "");
        message_free(&text);
    }
    message_put(&url, "", 1);
    if (rc == TN_OK && body->type != TN_T_NULL) {
        rc = message_body(nsq_host, &data, body, k->err);
    }
    if (rc == TN_OK && url.failed) {
        rc = nsq_host->fail(k->err, TN_E_NOMEM, "no memory for the request");
    }
    rc = rc == TN_OK ? nsq_http(k->c, conf->host, (uint16_t)conf->port, verb, url.s, data.s, data.n,
                                k->deadline_ns, &reply, k->err)
                     : rc;
    message_free(&url);
    message_free(&data);
    if (rc != TN_OK) {
        return rc;
    }
    tape_list(k->out);
    tape_int(k->out, reply.status);
    if (reply.n != 0 &&
        nsq_host->json->scan((tn_str){reply.body, reply.n}, &kind, NULL, 0, NULL, NULL) == TN_OK) {
        tape_text(k->out, TN_T_STR, TN_V_JSON, reply.body, reply.n);
    } else {
        tape_str(k->out, reply.body, reply.n);
    }
    tape_end(k->out);
    return TN_OK;
}
