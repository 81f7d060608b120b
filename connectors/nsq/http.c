/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP to nsqlookupd and nsqd: requests whose whole answer fits into memory, on connections that are kept. */
#include "nsq.h"

#include <stdio.h>

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

void nsq_http_conf(struct nsq *nsq)
{
    const struct nsq_conf *conf = nsq->conf;
    bool tls = strcmp(conf->protocol, "https") == 0;
    nsq->web = (struct http_conf){
        .protocol = tls ? "https" : "http",
        .tls = !tls                                   ? "off"
               : strcmp(conf->tls, "unverified") == 0 ? "unverified"
                                                      : "on",
        .tls_ca = conf->tls_ca,
        .tls_cert = conf->tls_cert,
        .tls_key = conf->tls_key,
        .auth = "none",
        .application = conf->application,
        .connect_timeout = conf->connect_timeout,
        .max_result = conf->max_result,
    };
}

tn_rc nsq_http(struct nsq_conn *c, const char *host, uint16_t port, const char *method,
               const char *target, const void *body, size_t n, uint64_t deadline_ns,
               struct nsq_reply *ret, tn_err *err)
{
    struct grow url = {.n = 0}, headers = {.n = 0};
    tn_err own = TN_ERR_INIT;
    http_reply_free(&c->web);
    http_base(&c->inst->web, host, port, &url);
    grow_text(&url, target);
    tn_rc rc = http_header(nsq_host, &headers, TN_STR("Accept"),
                           TN_STR("application/vnd.nsq; version=1.0"), &own);
    rc = rc == TN_OK && url.rc != TN_OK
             ? nsq_host->fail(&own, TN_E_NOMEM, "no memory for the request")
             : rc;
    if (rc == TN_OK) {
        const struct http_req req = {.method = method,
                                     .url = url.s,
                                     .headers = &headers,
                                     .body = body,
                                     .body_len = n,
                                     .flags = strcmp(method, "GET") == 0 ? HTTP_REPEATABLE : 0,
                                     .deadline_ns = deadline_ns};
        rc = http_send(c->http, &req, &c->web, &own);
    }
    grow_free(&url);
    grow_free(&headers);
    if (rc != TN_OK) {
        *err = own;
        return rc;
    }
    *ret = (struct nsq_reply){(int)c->web.status, c->web.body.s != NULL ? c->web.body.s : "",
                              c->web.body.n};
    return TN_OK;
}
