/* SPDX-License-Identifier: Apache-2.0 */
/* frontend_http: the plugin's descriptor, its configuration table and its operations. */
#include "fe.h"
#include <tenon/plugin.h>

const tn_host *fe_host;

const tn_field fe_fields[] = {
    {TN_FIELD(struct fe_conf, header_timeout), .dflt = "10s", .min = 100, .max = 3600000,
     .doc = "Time a client has from its first byte to the end of the request headers."},
    {TN_FIELD(struct fe_conf, idle_timeout), .dflt = "15s", .min = 100, .max = 3600000,
     .doc = "Time a connection may stay open between two requests."},
    {TN_FIELD(struct fe_conf, send_timeout), .dflt = "30s", .min = 100, .max = 3600000,
     .doc = "Time a client may take without accepting a single byte of an answer."},
    {TN_FIELD(struct fe_conf, body_grace), .dflt = "5s", .min = 100, .max = 3600000,
     .doc = "Time after which body_rate counts."},
    {TN_FIELD(struct fe_conf, body_rate), .dflt = "1k", .min = 0, .max = 1 << 30,
     .doc = "Lowest rate at which a request body must arrive, bytes per second; 0 = any."},
    {TN_FIELD(struct fe_conf, max_connections), .dflt = "10000", .min = 1, .max = 1000000,
     .flags = TN_F_RESTART,
     .doc = "Most connections at the same time; further ones wait in the backlog."},
    {TN_FIELD(struct fe_conf, max_per_ip), .dflt = "100", .min = 0, .max = 1000000,
     .doc = "Most connections of one client address, 0 = any number; loopback is exempt."},
    {TN_FIELD(struct fe_conf, max_headers), .dflt = "64", .min = 8, .max = EX_HEADERS,
     .doc = "Most header fields of one request; beyond it 431."},
    {TN_FIELD(struct fe_conf, max_fields), .dflt = "1000", .min = 1, .max = 100000,
     .doc = "Most fields in a query, and most plain fields in a multipart body; beyond it 400."},
    {TN_FIELD(struct fe_conf, max_request_line), .dflt = "8k", .min = 256, .max = 1 << 20,
     .doc = "Most bytes of a request target; beyond it 414."},
    {TN_FIELD(struct fe_conf, max_header_bytes), .dflt = "32k", .min = 1024, .max = 1 << 20,
     .doc = "Most bytes of all header fields of a request; beyond it 431."},
    {TN_FIELD(struct fe_conf, connection_memory), .dflt = "18k", .min = 4096, .max = 1 << 22,
     .flags = TN_F_RESTART,
     .doc = "Memory of one connection for the request head and the answer's headers."},
    {TN_FIELD(struct fe_conf, drain_body), .dflt = "8M", .min = 0, .max = 1LL << 40,
     .doc = "Bytes of a body that is not wanted which are still read so that the client sees the "
            "answer; beyond it the connection is closed."},
    {TN_FIELD(struct fe_conf, gzip), .dflt = "true",
     .doc = "Compress answers when clients accept it."},
    {TN_FIELD(struct fe_conf, gzip_level), .dflt = "1", .min = 1, .max = 9,
     .doc = "Compression level, 1 (fast) to 9 (small)."},
    {TN_FIELD(struct fe_conf, gzip_min), .dflt = "1k", .min = 0, .max = 1 << 30,
     .doc = "Smallest answer that is compressed, bytes."},
    {TN_FIELD(struct fe_conf, trusted_proxies), .max = 4096,
     .doc = "Addresses or networks (CIDR, separated by commas) whose X-Forwarded-For and "
            "X-Forwarded-Proto are believed; empty = nobody."},
    {TN_FIELD(struct fe_conf, spool_dir), .max = 4096,
     .doc =
         "Directory for large request bodies; default is the upload directory's parent or /tmp."},
    {.name = NULL},
};

static tn_rc load(const tn_host *host, tn_err *err)
{
    if (host->loop == NULL || host->http == NULL) {
        return host->fail(err, TN_E_UNSUPP, "frontend_http needs a process with an event loop");
    }
    fe_host = host;
    return TN_OK;
}

static tn_rc attach(void *inst, const void *conf, tn_err *err)
{
    (void)err;
    struct server *s = inst;
    s->conf = conf;
    return TN_OK;
}

static void detach(void *inst)
{
    server_stop(inst);
}

static tn_rc start(void *inst, const int32_t *fds, uint32_t n, tn_err *err)
{
    return server_start(inst, fds, n, err);
}

static void drain(void *inst)
{
    server_drain(inst);
}

static uint32_t active(void *inst)
{
    const struct server *s = inst;
    return s->nconns;
}

static void stop(void *inst)
{
    server_stop(inst);
}

static tn_rc reply(void *inst, tn_http_req *req, const tn_http_reply *r, tn_err *err)
{
    (void)inst;
    return exchange_reply((struct exchange *)req, r, err);
}

static void release(void *inst, tn_http_req *req)
{
    (void)inst;
    exchange_release((struct exchange *)req);
}

static tn_rc begin_stream(void *inst, tn_http_req *req, const tn_http_reply *head, tn_err *err)
{
    (void)inst;
    return stream_begin((struct exchange *)req, head, err);
}

static tn_rc send_stream(void *inst, tn_http_req *req, tn_str data, tn_err *err)
{
    (void)inst;
    return stream_send((struct exchange *)req, data, err);
}

static void end_stream(void *inst, tn_http_req *req)
{
    (void)inst;
    stream_end((struct exchange *)req);
}

static const tn_frontend_ops ops = {
    .size = sizeof ops,
    .start = start,
    .drain = drain,
    .active = active,
    .stop = stop,
    .reply = reply,
    .release = release,
    .stream = begin_stream,
    .stream_send = send_stream,
    .stream_end = end_stream,
};

TN_PLUGIN(.kind = TN_KIND_FRONTEND, .name = "http", .version = "1.0.0",
          .summary = "HTTP/1.1 server on libmicrohttpd", .config = fe_fields,
          .conf_size = sizeof(struct fe_conf), .inst_size = sizeof(struct server), .load = load,
          .attach = attach, .detach = detach, .ops = &ops)
