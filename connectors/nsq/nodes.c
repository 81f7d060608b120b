/* SPDX-License-Identifier: Apache-2.0 */
/* Which nsqd there are: a fixed list, or what nsqlookupd knows, asked for again when it is old. */
#include "nsq.h"

#include <stdlib.h>

static bool add_node(struct nsq_nodes *to, const char *host, size_t n, unsigned long port)
{
    struct nsq_node *more = NULL;
    if (n != 0 && n < sizeof more->host && port >= 1 && port <= 65535) {
        more = realloc(to->node, (to->n + 1) * sizeof *more);
    }
    if (more == NULL) {
        return false;
    }
    to->node = more;
    memcpy(more[to->n].host, host, n);
    more[to->n].host[n] = '\0';
    more[to->n].port = (uint16_t)port;
    to->n++;
    return true;
}

void nsq_nodes_finish(struct nsq_nodes *nodes)
{
    free(nodes->node);
    *nodes = (struct nsq_nodes){NULL, 0};
}

tn_rc nsq_nodes_fixed(const char *servers, uint16_t port, struct nsq_nodes *ret, tn_err *err)
{
    struct nsq_nodes all = {NULL, 0};
    for (const char *p = servers; *p != '\0';) {
        p += strspn(p, ", \t\r\n");
        size_t n = strcspn(p, ", \t\r\n"), nhost = n;
        unsigned long number = port;
        const char *host = p, *colon = n != 0 ? memchr(p, ':', n) : NULL;
        bool ok = true;
        if (n == 0) {
            break;
        }
        if (p[0] == '[') { /* an address of IPv6 */
            const char *end = memchr(p, ']', n);
            ok = end != NULL;
            host = p + 1;
            nhost = ok ? (size_t)(end - host) : 0;
            colon = ok && end + 1 < p + n ? end + 1 : NULL;
            ok = ok && (colon == NULL || *colon == ':');
        } else if (colon != NULL) {
            nhost = (size_t)(colon - p);
        }
        if (ok && colon != NULL) {
            char *end;
            number = strtoul(colon + 1, &end, 10);
            ok = end == p + n && colon[1] >= '0' && colon[1] <= '9';
        }
        if (!ok || all.n == NSQ_NODES_MAX || !add_node(&all, host, nhost, number)) {
            nsq_nodes_finish(&all);
            return nsq_host->fail(err, TN_E_CONFIG,
                                  "servers: `%.*s` is none, or there are more than %d; expected "
                                  "host:port",
                                  (int)(n < 100 ? n : 100), p, NSQ_NODES_MAX);
        }
        p += n;
    }
    if (all.n == 0) {
        return nsq_host->fail(err, TN_E_CONFIG, "servers: there is none; expected host:port");
    }
    *ret = all;
    return TN_OK;
}

/* ---- what nsqlookupd says ---------------------------------------------------------------------------- */

/* The next element of a valid JSON array; *at points behind the bracket or a comma. */
static bool next_element(const char **at, const char *end, tn_str *ret)
{
    const char *p = *at;
    int depth = 0;
    bool text = false;
    while (p < end && strchr(" \t\r\n,", *p) != NULL) {
        p++;
    }
    const char *start = p;
    for (; p < end; p++) {
        if (text) {
            p += *p == '\\';
            text = *p != '"';
        } else if (*p == '"') {
            text = true;
        } else if (*p == '[' || *p == '{') {
            depth++;
        } else if (*p == ']' || *p == '}') {
            if (depth-- == 0) {
                break;
            }
        } else if (*p == ',' && depth == 0) {
            break;
        }
    }
    *at = p;
    *ret = (tn_str){start, p < end ? (size_t)(p - start) : 0};
    return ret->n != 0;
}

static bool add_producer(struct nsq_nodes *to, tn_str object, bool tcp)
{
    tn_json_member room[64];
    char host[256], number[16];
    const tn_json_member *m = tn_json_at(nsq_host->json, object, TN_STR("broadcast_address"), room,
                                         64);
    if (m == NULL || m->kind != TN_JSON_STRING) {
        return false;
    }
    size_t n = nsq_host->json->unquote(m->value, host, sizeof host);
    if (n >= sizeof host || memchr(host, '\0', n) != NULL) {
        return false;
    }
    m = tn_json_at(nsq_host->json, object, tcp ? TN_STR("tcp_port") : TN_STR("http_port"), room,
                   64);
    if (m == NULL || m->kind != TN_JSON_NUMBER || m->value.n >= sizeof number) {
        return false;
    }
    memcpy(number, m->value.s, m->value.n);
    number[m->value.n] = '\0';
    return add_node(to, host, n, strtoul(number, NULL, 10));
}

tn_rc nsq_nodes_parse(tn_str json, bool tcp, struct nsq_nodes *ret, tn_err *err)
{
    tn_json_member room[64];
    struct nsq_nodes all = {NULL, 0};
    if (nsq_host->json == NULL) {
        return nsq_host->fail(err, TN_E_UNSUPP,
                              "this process does not read JSON; configure servers");
    }
    const tn_json_member *m = tn_json_at(nsq_host->json, json, TN_STR("producers"), room, 64);
    if (m == NULL) { /* before 1.0 */
        m = tn_json_at(nsq_host->json, json, TN_STR("data.producers"), room, 64);
    }
    if (m == NULL || m->kind != TN_JSON_ARRAY) {
        return nsq_host->fail(err, TN_E_REMOTE,
                              "the answer to /nodes has no producers; is this nsqlookupd (port "
                              "4161)?");
    }
    const char *p = m->value.s + 1, *end = m->value.s + m->value.n;
    tn_str element;
    while (all.n < NSQ_NODES_MAX && next_element(&p, end, &element)) {
        add_producer(&all, element, tcp); /* what is none is passed over */
    }
    if (all.n == 0) {
        return nsq_host->fail(err, TN_E_UNAVAIL,
                              "nsqlookupd knows no nsqd; do they run with -lookupd-tcp-address?");
    }
    *ret = all;
    return TN_OK;
}

tn_rc nsq_nodes_ready(struct nsq_conn *c, uint64_t deadline_ns, tn_err *err)
{
    const struct nsq_conf *conf = c->inst->conf;
    struct nsq_nodes found = {NULL, 0};
    struct nsq_reply reply = {0, NULL, 0};
    tn_err own = TN_ERR_INIT;
    if (c->nodes_until_ns > nsq_host->now_ns()) {
        return TN_OK;
    }
    if (conf->servers != NULL && conf->servers[0] != '\0') {
        tn_rc rc = nsq_nodes_fixed(conf->servers, c->inst->tcp ? 4150 : 4151, &c->nodes, err);
        c->nodes_until_ns = rc == TN_OK ? UINT64_MAX : 0;
        return rc;
    }
    tn_rc rc = nsq_http(c, conf->host, (uint16_t)conf->port, "GET", "/nodes", NULL, 0, deadline_ns,
                        &reply, &own);
    if (rc == TN_OK && reply.status != 200) {
        rc = nsq_host->fail(&own, TN_E_REMOTE, "nsqlookupd answers /nodes with status %d",
                            reply.status);
    }
    rc = rc == TN_OK ? nsq_nodes_parse((tn_str){reply.body, reply.n}, c->inst->tcp, &found, &own)
                     : rc;
    if (rc != TN_OK && c->nodes.n == 0) {
        *err = own;
        return rc;
    }
    if (rc == TN_OK) {
        nsq_nodes_finish(&c->nodes);
        c->nodes = found;
    } /* else the old list is better than none */
    c->nodes_until_ns = nsq_host->now_ns() + (uint64_t)conf->refresh * 1000000000u;
    return TN_OK;
}
