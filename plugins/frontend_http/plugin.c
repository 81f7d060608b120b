/* SPDX-License-Identifier: Apache-2.0 */
/* frontend_http: the plugin's descriptor, its configuration table and its operations. */
#include "fe.h"
#include <tenon/plugin.h>

const tn_host *fe_host;

const tn_field fe_fields[] = {
    HTTP_FIELDS,
    {TN_FIELD(struct fe_conf, connection_memory), .dflt = "18k", .min = 4096, .max = 1 << 22,
     .flags = TN_F_RESTART,
     .doc = "Memory of one connection for the request head and the answer's headers."},
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
