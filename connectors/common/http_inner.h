/* SPDX-License-Identifier: Apache-2.0 */
/* What the halves of the HTTP layer share; nothing for connectors. */
#pragma once
#include "common/http.h"
#include "common/net.h"

#include <curl/curl.h>
#include <stdatomic.h>

#define HTTP_HEADERS_MAX 262144 /* bytes of headers of one answer */
#define HTTP_LINES_MAX   2000   /* lines of them */
#define HTTP_PULL_HIGH   262144 /* a streamed body that nobody reads is held back beyond this */

/* Why libcurl was told to give up, which its own code does not say. */
enum { HTTP_STOP_NONE, HTTP_STOP_BODY, HTTP_STOP_HEADERS, HTTP_STOP_PRIVATE, HTTP_STOP_MEMORY };

struct http {
    const tn_host *host;
    const struct http_conf *conf;
    CURLM *multi;
    CURL *easy;
    struct curl_slist *headers, *addresses;
    struct grow own;         /* headers as text, address lists */
    struct http_req request; /* as it is now: a redirect changes it */
    const struct http_req *req;
    struct grow kept; /* headers that another host may see */
    struct http_reply *reply;
    struct grow in; /* body of a streamed answer that was not read yet */
    size_t in_off, sent;
    uint32_t begun; /* how often libcurl has begun to send the request */
    atomic_bool working, canceled;
    bool active, pull, paused, done, connected, private_ok, any_tls;
    bool headers_done, renamed; /* the URL that libcurl has bears tls_server_name */
    uint32_t lines;             /* of the headers */
    int stop;
    CURLcode code;
    char what[CURL_ERROR_SIZE];
    /* the name that was looked up last, for a minute */
    char looked[256];
    uint16_t looked_port;
    uint64_t looked_until_ns;
    struct net_addrs addrs;
    char host_name[256]; /* of the request */
    uint16_t port;
};

/* http.c: everything libcurl has to know for this URL. */
tn_rc http_prepare(struct http *h, const char *url, uint64_t deadline_ns, tn_err *err);
/* http_error.c: what went wrong, by the code of libcurl or the deadline (late). */
tn_rc http_failed(struct http *h, int late, tn_err *err);
