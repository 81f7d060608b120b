/* SPDX-License-Identifier: Apache-2.0 */
/* Which nsqd have the topic: nsqlookupd knows, or the configuration. Those that are new are connected to. */
#include "consumer.h"

#include <stdio.h>
#include <stdlib.h>

#define ASK_NS     2000000000ull
#define LOOK_NS    2500000000ull
#define NS_PER_S   1000000000ull
#define WAIT_MAX_S 60u

/* 404: nobody has published yet. */
static tn_rc look_up(struct consumer *c, struct nsq_conn *ask, struct nsq_nodes *ret)
{
    struct nsq_reply reply = {0, NULL, 0};
    struct message_buf url = {NULL, 0, 0, false};
    message_puts(&url, "/lookup?topic=");
    nsq_escape(&url, c->topic, strlen(c->topic), "");
    message_put(&url, "", 1);
    tn_rc rc = url.failed ? nsq_host->fail(c->err, TN_E_NOMEM, "no memory for the request")
                          : nsq_http(ask, c->conf->host, (uint16_t)c->conf->port, "GET", url.s,
                                     NULL, 0, nsq_host->now_ns() + ASK_NS, &reply, c->err);
    message_free(&url);
    if (rc != TN_OK || reply.status == 404) {
        return rc;
    }
    if (reply.status != 200) {
        return nsq_host->fail(c->err, TN_E_REMOTE, "nsqlookupd answers /lookup with status %d",
                              reply.status);
    }
    tn_err none = TN_ERR_INIT; /* no producers: they come and go */
    nsq_nodes_parse((tn_str){reply.body, reply.n}, true, ret, &none);
    return TN_OK;
}

/* The port of the framed protocol of a node whose HTTP port is configured; 0: it does not say. */
static uint16_t tcp_port(struct nsq_conn *ask, const struct nsq_node *node, tn_err *err)
{
    struct nsq_reply reply = {0, NULL, 0};
    tn_json_member room[64];
    char number[16] = "";
    if (nsq_http(ask, node->host, node->port, "GET", "/info", NULL, 0, nsq_host->now_ns() + ASK_NS,
                 &reply, err) != TN_OK) {
        return 0;
    }
    const tn_json_member *m = tn_json_at(nsq_host->json, (tn_str){reply.body, reply.n},
                                         TN_STR("tcp_port"), room, 64);
    if (m != NULL && m->kind == TN_JSON_NUMBER && m->value.n < sizeof number) {
        memcpy(number, m->value.s, m->value.n);
    }
    unsigned long port = strtoul(number, NULL, 10);
    if (port == 0 || port > 65535) {
        nsq_host->fail(err, TN_E_REMOTE, "%.120s port %u does not tell its tcp_port: is it nsqd?",
                       node->host, node->port);
        return 0;
    }
    return (uint16_t)port;
}

static const struct link *link_to(const struct consumer *c, const struct nsq_node *node)
{
    for (uint32_t i = 0; i < c->nlinks; i++) {
        if (c->link[i]->node.port == node->port && strcmp(c->link[i]->node.host, node->host) == 0) {
            return c->link[i];
        }
    }
    return NULL;
}

/* Connects to those found that are new; how many could not be reached. Those that have connections are not kept waiting for
 * long: the next look goes on where this one ended. */
static uint32_t connect_all(struct consumer *c, struct nsq_conn *ask, const struct nsq_nodes *found,
                            bool by_http, tn_rc *ret_rc)
{
    uint32_t missing = 0, first = c->look_from;
    uint64_t end_ns = nsq_host->now_ns() + LOOK_NS;
    for (uint32_t i = 0; i < found->n && c->nlinks < LINKS_MAX && !consumer_stops(c); i++) {
        if (c->nlinks != 0 && nsq_host->now_ns() > end_ns) {
            return missing + 1;
        }
        c->look_from = (first + i + 1) % found->n;
        struct nsq_node node = found->node[(first + i) % found->n];
        tn_err own = TN_ERR_INIT;
        node.port = by_http ? tcp_port(ask, &node, &own) : node.port;
        tn_rc rc = node.port == 0 ? own.rc : TN_OK;
        if (rc == TN_OK && link_to(c, &node) == NULL) {
            rc = link_make(c, &node, &own);
        }
        if (rc != TN_OK) {
            missing++;
            *c->err = own;
            *ret_rc = rc;
        }
    }
    return missing;
}

tn_rc nodes_look(struct consumer *c)
{
    struct nsq_conn ask = {.inst = &c->nsq, .fd = -1};
    struct nsq_nodes found = {NULL, 0};
    bool fixed = c->conf->servers != NULL && c->conf->servers[0] != '\0';
    uint32_t before = c->nlinks;
    tn_rc one = TN_OK;
    tn_rc rc = http_open(nsq_host, &c->nsq.web, &ask.http, c->err);
    if (rc != TN_OK) {
        return rc;
    }
    rc = fixed ? nsq_nodes_fixed(c->conf->servers, c->nsq.tcp ? 4150 : 4151, &found, c->err)
               : look_up(c, &ask, &found);
    uint32_t missing = rc == TN_OK ? connect_all(c, &ask, &found, fixed && !c->nsq.tcp, &one) : 1;
    bool waits = rc == TN_OK && found.n == 0; /* the topic does not exist yet */
    http_reply_free(&ask.web);
    http_close(ask.http);
    nsq_nodes_finish(&found);
    if (c->nlinks != before && !c->full) {
        links_ready(c, true);
    }
    if (!c->told && (c->nlinks != 0 || waits)) {
        c->told = true;
        nsq_host->subs->consuming(nsq_host->ctx, c->sub);
    }
    /* who is away is asked for after 1, 2, 4 … s; a topic that is not there every 2 s; not all at the same moment */
    c->missed = missing != 0 ? c->missed + 1 : 0;
    uint64_t now = nsq_host->now_ns(), wait_s = waits ? 2 : (uint64_t)c->conf->refresh;
    uint64_t soon_s = c->missed > 6 ? WAIT_MAX_S : 1u << (c->missed - (c->missed > 0));
    wait_s = c->missed > 0 && soon_s < wait_s ? soon_s : wait_s;
    c->look_at_ns = now + wait_s * (NS_PER_S * 9 / 10) + now % (NS_PER_S / 10) * wait_s;
    if (c->nlinks != 0 || waits) {
        return TN_OK;
    }
    return rc != TN_OK ? rc : one;
}
