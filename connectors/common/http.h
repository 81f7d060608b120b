/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP for connectors, on libcurl: requests with a deadline, errors that name the step, TLS that verifies, limits, and bodies that
 * are read piece by piece. Compiled into each plugin that names its parts (HTTP_PARTS in README.md). Deadlines are CLOCK_MONOTONIC
 * nanoseconds, 0 = none. Nothing exists before http_attach(), so nothing is inherited over a fork. */
#pragma once
#include "common/grow.h"
#include <tenon/tenon.h>

/* What all connectors over HTTP can be told; a member of the connector's own configuration. */
struct http_conf {
    const char *host;     /* of http_base(); NULL: the connector has none */
    int64_t port;         /* 0: the port of the scheme */
    const char *protocol; /* http, https */
    const char *tls, *tls_ca, *tls_cert, *tls_server_name;
    tn_secret tls_key;
    const char *auth, *user;
    tn_secret password;
    const char *proxy, *proxy_user, *application;
    tn_secret proxy_password;
    tn_dur connect_timeout;
    tn_bytes max_result;
};
/* Rows of the table of settings: HTTP_FIELDS(struct es_conf, http, "9200") with `struct http_conf http` in es_conf. */
#define HTTP_FIELD(S, m, f)                                                                        \
    .name = #f, .offset = (uint32_t)(offsetof(S, m) + offsetof(struct http_conf, f)),              \
    .type = TN_TYPE_OF(((struct http_conf *)0)->f)
#define HTTP_FIELDS(S, m, port_)                                                                   \
    {HTTP_FIELD(S, m, host), .dflt = "127.0.0.1", .max = 255, .doc = "Server."},                   \
        {HTTP_FIELD(S, m, port), .dflt = port_, .min = 0, .max = 65535,                            \
         .doc = "TCP port; 0: 80, or 443 with TLS."},                                              \
        HTTP_FIELDS_COMMON(S, m)
#define HTTP_FIELDS_COMMON(S, m)                                                                    \
    {HTTP_FIELD(S, m, protocol), .dflt = "http", .choices = http_protocols,                         \
     .doc = "https: TLS, and the certificate must be valid for the host."},                         \
        {HTTP_FIELD(S, m, tls), .dflt = "auto", .choices = http_tls_modes,                          \
         .doc = "auto: as protocol says; on: https; unverified: https with any certificate; off: "  \
                "http."},                                                                           \
        {HTTP_FIELD(S, m, tls_ca), .max = 200000,                                                   \
         .doc = "Certificates of the authorities to trust, as PEM text or the path of a file; "     \
                "default those of the system."},                                                    \
        {HTTP_FIELD(S, m, tls_cert), .max = 200000,                                                 \
         .doc = "Certificate of the client, as PEM text or the path of a file."},                   \
        {HTTP_FIELD(S, m, tls_key), .doc = "Key of the client's certificate, as PEM text."},        \
        {HTTP_FIELD(S, m, tls_server_name), .max = 255,                                             \
         .doc = "Name that the certificate is for, when it is not that of host."},                  \
        {HTTP_FIELD(S, m, user), .max = 256, .doc = "User name."},                                  \
        {HTTP_FIELD(S, m, password), .doc = "Password, or the token or key that auth speaks of."},  \
        {HTTP_FIELD(S, m, proxy), .max = 1000,                                                      \
         .doc = "Proxy as http://host:port; those of the environment are not used."},               \
        {HTTP_FIELD(S, m, proxy_user), .max = 256, .doc = "User name at the proxy."},               \
        {HTTP_FIELD(S, m, proxy_password), .doc = "Password at the proxy."},                        \
        {HTTP_FIELD(S, m, application), .dflt = "tenon", .min = 1, .max = 200,                      \
         .doc = "What requests say in User-Agent."},                                                \
        {HTTP_FIELD(S, m, connect_timeout), .dflt = "10s", .min = 1, .max = 300000,                 \
         .doc = "Longest time for name, TCP and TLS of a connection."},                             \
    {                                                                                               \
        HTTP_FIELD(S, m, max_result),                                                               \
            .dflt = "64M", .min = 65536, .max = 4294967295,                                         \
            .doc =                                                                                  \
                "Largest answer in memory, unpacked, in bytes; what is streamed has no such limit." \
    }
extern const char *const http_protocols[], *const http_tls_modes[];

/* libcurl's own set-up, once per instance: attach() and detach() of a plugin. */
tn_rc http_attach(const tn_host *host, tn_err *err);
void http_detach(void);

/* One request at a time; connections to servers are kept and used again. */
struct http;
struct http_reply;
/* Reads no network. conf stays the caller's and must live as long. TN_E_CONFIG names what cannot be used. */
tn_rc http_open(const tn_host *host, const struct http_conf *conf, struct http **ret, tn_err *err);
void http_close(struct http *h);
/* Around the work of one invoke(): between them http_cancel(), from any thread, ends what waits with TN_E_CANCELED. */
void http_enter(struct http *h);
void http_leave(struct http *h);
void http_cancel(struct http *h);
/* Waits before another attempt; TN_E_TIMEOUT at once when the deadline would come first (err is not filled). */
tn_rc http_nap(struct http *h, int64_t ms, uint64_t deadline_ns, tn_err *err);
/* Milliseconds to wait before attempt n + 1 (from 0): doubled each time, staggered, or what Retry-After of the answer asks for
 * (ret_reply may be NULL). */
int64_t http_backoff(const struct http *h, uint32_t n, const struct http_reply *r);
/* The pause before another attempt: rc and reply are the outcome of attempt n (from 0). false: the deadline would come first,
 * or http_cancel() ended it; then the reply is freed, and *rc and err say so. */
bool http_pause(struct http *h, uint32_t n, uint64_t deadline_ns, tn_rc *rc,
                struct http_reply *reply, tn_err *err);
/* "https://host:port" of the configuration, or of another node of it. */
void http_base(const struct http_conf *conf, const char *host, int64_t port, struct grow *ret);

#define HTTP_REPEATABLE                                                                            \
    (1u << 0) /* may be sent again when a kept connection turns out to be dead */
#define HTTP_BLOCK_PRIVATE (1u << 1) /* refuse hosts of which an address is not a public one */
#define HTTP_NO_AUTH                                                                               \
    (1u << 2) /* user and password of the configuration are not meant for this host */
#define HTTP_ELSEWHERE (1u << 3) /* nor is its client certificate */
#define HTTP_NODE                                                                                  \
    (1u << 4) /* one of several hosts of the configuration: tls_server_name is for it, too */

struct http_req {
    const char *method, *url;   /* the URL is whole; what may not stand in it is percent-encoded */
    const struct grow *headers; /* "Name: value\r\n"… or NULL */
    const void *body;           /* NULL: none */
    size_t body_len;
    uint32_t flags, redirects; /* redirects to follow */
    uint64_t deadline_ns;
};
struct http_reply {
    long status;
    struct grow headers; /* name NUL value NUL …, names in lower case */
    struct grow body;
    struct grow url; /* of the last redirect */
};
void http_reply_free(struct http_reply *r);
/* A request and its whole answer, whatever its status. An error begins with the step that failed ("DNS:", "TCP:",
 * "TLS:") or says what went wrong later. */
tn_rc http_send(struct http *h, const struct http_req *req, struct http_reply *ret, tn_err *err);
/* The same in pieces: until the headers are there (the body of ret stays empty), then http_read() until *ret_n is 0. When
 * anything failed the transfer has ended. http_stop() ends it early; without a transfer it does nothing. */
tn_rc http_start(struct http *h, const struct http_req *req, struct http_reply *ret, tn_err *err);
tn_rc http_read(struct http *h, uint64_t deadline_ns, void *p, size_t cap, size_t *ret_n,
                tn_err *err);
void http_stop(struct http *h);

/* ---- http_text.c ---- */
/* One header into req->headers. TN_E_INVAL: name or value cannot stand in a header. */
tn_rc http_header(const tn_host *host, struct grow *to, tn_str name, tn_str value, tn_err *err);
/* Can it be the name of a header (RFC 9110, 5.6.2); the value of one: no line break, no control? */
int http_token(tn_str name);
int http_plain(tn_str value);
/* Does this line of headers ("Name: value…", "Name;") have that name? */
int http_named(const char *line, const char *name);
/* TN_E_CONFIG: a setting cannot stand in a header, or a secret would not be kept (http_open() asks). */
tn_rc http_check_conf(const tn_host *host, const struct http_conf *conf, tn_err *err);
/* TN_E_CONFIG: it is no name and no address but, say, a URL. */
tn_rc http_check_host(const tn_host *host, const char *name, tn_err *err);
/* Is the answer that of a server that speaks TLS to somebody who does not? */
int http_wants_tls(const struct http_reply *r);
#define HTTP_WANTS_TLS "TLS: the server speaks TLS on this port; set protocol to https"
/* Where the account or the host of a URL begins. */
const char *http_authority(const char *url);
/* A URL for people: without user, password and query, where secrets stand. */
void http_shown(const char *url, char *to, size_t cap);
/* The value of a header (name in lower case), NULL when there is none; the first of several. */
const char *http_find(const struct http_reply *r, const char *name);
/* Percent-encoding of RFC 3986: all but unreserved characters and those of `keep`. */
void http_escape(struct grow *to, tn_str text, const char *keep);
/* "a=1&b=x%20y" of a map or a text; lists repeat the name, None is left out. first: '?' or '&'. */
tn_rc http_query(const tn_host *host, struct grow *url, const tn_val *params, tn_err *err);
/* 1: not an address of the public internet (loopback, private, link-local, shared, multicast, …). */
struct sockaddr;
int http_private(const struct sockaddr *addr);
