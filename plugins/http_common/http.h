/* SPDX-License-Identifier: Apache-2.0 */
/* What every HTTP engine does the same way: settings, the request as it is being read, the rules for
 * heads and answers, bodies, clients by address. Compiled into each engine; all of it runs on the hub's
 * loop thread. */
#pragma once
#include "plugins/http_common/text.h"
#include <stdbool.h>
#include <tenon/config.h>
#include <tenon/frontend.h>
#include <tenon/host.h>

struct sockaddr;

extern const tn_host *fe_host; /* set once by engine_load() */

/* ---- settings ------------------------------------------------------------------------------------- */
#define HTTP_HEADERS 64 /* most header fields of a request */

/* First member of every engine's configuration, so that the rows below fit. */
struct http_conf {
    tn_dur header_timeout, idle_timeout, send_timeout, body_grace;
    tn_bytes body_rate, send_rate;
    int64_t max_connections, max_per_ip;
    int64_t max_headers, max_fields;
    tn_bytes max_request_line, max_header_bytes, drain_body;
    bool gzip;
    int64_t gzip_level;
    tn_bytes gzip_min;
    const char *trusted_proxies;
    const char *spool_dir;
};

/* Bytes of an answer that a client must accept in each send_timeout. */
static inline uint64_t http_send_least(const struct http_conf *conf)
{
    uint64_t n = (uint64_t)conf->send_rate.n * (uint64_t)conf->send_timeout.ms / 1000;
    return n > 0 ? n : 1;
}

#define HTTP_FIELD(m) TN_FIELD(struct http_conf, m)
#define HTTP_FIELDS                                                                                 \
    {HTTP_FIELD(header_timeout), .dflt = "10s", .min = 100, .max = 3600000,                         \
     .doc = "Time a client has from its first byte to the end of the request headers."},            \
        {HTTP_FIELD(idle_timeout), .dflt = "15s", .min = 100, .max = 3600000,                       \
         .doc = "Time a connection may stay open between two requests."},                           \
        {HTTP_FIELD(send_timeout), .dflt = "30s", .min = 100, .max = 3600000,                       \
         .doc = "Time in which a client must accept some of an answer: send_rate of it."},          \
        {HTTP_FIELD(send_rate), .dflt = "1k", .min = 0, .max = 1 << 30,                             \
         .doc = "Lowest rate at which an answer must be accepted, bytes per second over "           \
                "send_timeout; 0 = a single byte will do."},                                        \
        {HTTP_FIELD(body_grace), .dflt = "5s", .min = 100, .max = 3600000,                          \
         .doc = "Time after which body_rate counts."},                                              \
        {HTTP_FIELD(body_rate), .dflt = "1k", .min = 0, .max = 1 << 30,                             \
         .doc = "Lowest rate at which a request body must arrive, bytes per second; 0 = any."},     \
        {HTTP_FIELD(max_connections),                                                               \
         .dflt = "10000",                                                                           \
         .min = 1,                                                                                  \
         .max = 1000000,                                                                            \
         .flags = TN_F_RESTART,                                                                     \
         .doc = "Most connections at the same time; further ones wait in the backlog."},            \
        {HTTP_FIELD(max_per_ip), .dflt = "100", .min = 0, .max = 1000000,                           \
         .doc = "Most connections of one client address, 0 = any number; loopback is exempt."},     \
        {HTTP_FIELD(max_headers), .dflt = "64", .min = 8, .max = HTTP_HEADERS,                      \
         .doc = "Most header fields of one request; beyond it 431."},                               \
        {HTTP_FIELD(max_fields), .dflt = "1000", .min = 1, .max = 100000,                           \
         .doc =                                                                                     \
             "Most fields in a query, and most plain fields in a multipart body; beyond it 400."},  \
        {HTTP_FIELD(max_request_line), .dflt = "8k", .min = 256, .max = 1 << 20,                    \
         .doc = "Most bytes of a request target; beyond it 414."},                                  \
        {HTTP_FIELD(max_header_bytes), .dflt = "32k", .min = 1024, .max = 1 << 20,                  \
         .doc = "Most bytes of all header fields of a request; beyond it 431."},                    \
        {HTTP_FIELD(drain_body), .dflt = "8M", .min = 0, .max = 1LL << 40,                          \
         .doc =                                                                                     \
             "Bytes of a body that is not wanted which are still read so that the client sees the " \
             "answer; beyond it the connection is closed."},                                        \
        {HTTP_FIELD(gzip), .dflt = "true", .doc = "Compress answers when clients accept it."},      \
        {HTTP_FIELD(gzip_level), .dflt = "1", .min = 1, .max = 9,                                   \
         .doc = "Compression level, 1 (fast) to 9 (small)."},                                       \
        {HTTP_FIELD(gzip_min), .dflt = "1k", .min = 0, .max = 1 << 30,                              \
         .doc = "Smallest answer that is compressed, bytes."},                                      \
        {HTTP_FIELD(trusted_proxies), .max = 4096,                                                  \
         .doc =                                                                                     \
             "Addresses or networks (CIDR, separated by commas) whose X-Forwarded-For and "         \
             "X-Forwarded-Proto are believed; empty = as the platform's trusted_proxies says."},    \
    {                                                                                               \
        HTTP_FIELD(spool_dir),                                                                      \
            .max = 4096,                                                                            \
            .doc =                                                                                  \
                "Directory for large request bodies; default is the upload directory's parent or "  \
                "/tmp."                                                                             \
    }

/* ---- peers.c: who connects, and how often ------------------------------------------------------- */
#define PEER_TEXT 46 /* INET6_ADDRSTRLEN */
struct peers;
struct peers *peers_create(const char *trusted, tn_err *err); /* CIDR list, "" or NULL: nobody */
/* What the frontend's own configuration says, or else the platform's setting. */
const char *peers_setting(const tn_host *host, const char *own);
void peers_destroy(struct peers *p);
/* Does that address have `limit` connections already (0 = no limit)? */
bool peers_full(const struct peers *p, const struct sockaddr *addr, uint32_t limit);
/* Counts a connection; false: it is not counted (loopback, no memory) and must not leave. */
bool peers_enter(struct peers *p, const struct sockaddr *addr);
void peers_leave(struct peers *p, const struct sockaddr *addr);
bool peers_trusted(const struct peers *p, const struct sockaddr *addr);
/* The address as text, mapped IPv4 in its usual form; returns its length. */
size_t peers_text(const struct sockaddr *addr, char ret[PEER_TEXT]);
/* The client that a trusted proxy names in X-Forwarded-For: right-most address that is not a proxy
 * itself, or the last one before something that is no address; absent when there is none. */
tn_str peers_forwarded(const struct peers *p, tn_str list);
/* Connections that the configuration and the process' limit of open files allow. */
uint32_t peers_connections(const struct http_conf *conf);

/* ---- message.c: a request while it is read, and the memory that lives as long as it --------------- */
#define MESSAGE_ROOM 2560
struct message_chunk;
struct message {
    tn_http_req req; /* first: the kernel's pointer is ours */
    tn_http_plan plan;
    const struct http_conf *conf;
    const char *refused_text;
    uint32_t refused; /* status of a refusal of our own, 0 = none */
    bool expect_continue;
    uint64_t content_length; /* UINT64_MAX: chunked */
    struct message_chunk *chunks;
    size_t used;
    tn_http_pair headers[HTTP_HEADERS];
    char room[MESSAGE_ROOM];
};
/* Everything but the arrays becomes zero. */
void message_init(struct message *m, const struct http_conf *conf, uint64_t id, uint64_t now_ns,
                  int64_t wall_us);
void message_finish(struct message *m);
/* Memory that lives as long as the message; NULL when there is none. */
void *message_alloc(struct message *m, size_t n, size_t align);
/* A copy with a NUL behind it; NULL (and a refusal) when there is no memory. */
char *message_copy(struct message *m, const char *s, size_t n);
/* Notes why this request is refused; the first reason counts. */
void message_refuse(struct message *m, uint32_t status, const char *text);
/* Where large bodies go: next to the uploads, which are on the disk that has room for them. */
const char *message_spool_dir(const struct message *m);

/* ---- head.c: the rules for a request head (RFC 9110, RFC 9112) ------------------------------------- */
/* What one pass over the header fields remembers. */
struct head {
    struct message *msg;
    size_t bytes;
    uint32_t host, length, coding, expect; /* how often they occur */
    tn_str host_value, length_value, coding_value, expect_value, content_coding;
    tn_str forwarded_for, forwarded_proto;
    bool close, keep_alive; /* options of Connection */
};
/* Sets req.method; refuses what no api can have. */
bool head_method(struct head *h, tn_str method);
/* Counts a field of that size; false: too many or too large, refused. */
bool head_count(struct head *h, size_t name_n, size_t value_n);
/* A validated field: name in lower case, value trimmed, both live as long as the message. */
void head_field(struct head *h, tn_str name, tn_str value);
/* After the last field: target, Host, framing, origin, query. false: refused. */
bool head_finish(struct head *h, const struct peers *peers, tn_str peer, bool trusted);

/* ---- body.c: bytes of a body, in memory or in an unlinked file ----------------------------------- */
struct body;
struct body *body_create(const char *dir, uint64_t expected, uint64_t spool_above);
tn_rc body_add(struct body *b, const void *data, size_t n);
/* Complete: the bytes, mapped when spooled; valid until body_destroy(). */
tn_rc body_done(struct body *b, const uint8_t **ret, size_t *ret_n);
void body_destroy(struct body *b);

/* ---- upload.c: multipart/form-data to fields and files ------------------------------------------- */
struct upload;
/* Does the plan want this body taken apart? */
bool upload_wanted(const struct message *m);
struct upload *upload_create(struct message *m, struct text_refusal *why);
bool upload_add(struct upload *u, const void *data, size_t n, struct text_refusal *why);
/* Sets req.parts, which live until upload_destroy(). */
bool upload_done(struct upload *u, struct text_refusal *why);
/* remove_files: the request failed, nothing of it stays. */
void upload_destroy(struct upload *u, bool remove_files);

/* ---- answer.c: what becomes of the kernel's answer ------------------------------------------------ */
struct answer {
    tn_http_reply r;   /* body replaced when it was compressed or must not be sent */
    tn_str type, etag; /* among its headers, or made */
    bool coding, vary, nosniff, close, date; /* its headers say */
    bool add_etag, add_vary, add_gzip;       /* the engine adds */
    char made[24];
};
/* Answer that is not one: gives everything back that came with it. */
void answer_drop(const tn_http_reply *r);
/* Takes the answer over, but for its headers. TN_E_INVAL: its status cannot be sent. */
tn_rc answer_init(struct answer *a, const tn_http_reply *r, tn_err *err);
/* Does an answer of that status carry a body? */
bool answer_has_body(uint32_t status);
/* Does a header of that name belong to the connection, so that the engine writes it? */
bool answer_managed(tn_str name);
/* Is it, letter by letter, a name that nearly every answer has: a token, not managed, of no interest to
 * answer_note()? Spares looking at it more closely. */
bool answer_usual(tn_str name);
/* Remembers a header that matters here. */
void answer_note(struct answer *a, tn_str name, tn_str value);
/* Fills err for a header that may not be sent; returns TN_E_INVAL. */
tn_rc answer_refused(tn_str name, const char *why, tn_err *err);
/* After the last header: 304, compression, bodies that are not allowed. */
void answer_settle(struct answer *a, const struct message *m);

/* ---- engine.c: the operations of an engine, over what each of them provides ------------------------ */
struct server;   /* an instance of the plugin */
struct exchange; /* a request: the kernel's tn_http_req lies at its beginning */
void server_configure(struct server *s, const void *conf);
uint32_t server_active(const struct server *s); /* connections */
tn_rc server_start(struct server *s, const int32_t *fds, uint32_t n, tn_err *err);
void server_drain(struct server *s);
void server_stop(struct server *s);
tn_rc exchange_reply(struct exchange *ex, const tn_http_reply *r, tn_err *err);
void exchange_release(struct exchange *ex);
tn_rc stream_begin(struct exchange *ex, const tn_http_reply *head, tn_err *err);
tn_rc stream_send(struct exchange *ex, tn_str data, tn_err *err);
/* No more pieces; what waits is still sent. The kernel lets go of the request. */
void stream_end(struct exchange *ex);

extern const tn_frontend_ops engine_ops;
tn_rc engine_load(const tn_host *host, tn_err *err);
tn_rc engine_attach(void *inst, const void *conf, tn_err *err);
void engine_detach(void *inst);

/* ---- backlog.c: bytes of a stream that wait for the client ------------------------------------------ */
#define BACKLOG_MAX (1u << 20)
struct backlog {
    char *buf;
    size_t at, n, cap; /* bytes at .. n wait */
};
/* Room for n bytes more at the end; what has been sent goes first. False: no memory. */
bool backlog_reserve(struct backlog *b, size_t n);
/* The first n bytes have left. */
void backlog_sent(struct backlog *b, size_t n);
void backlog_free(struct backlog *b);
