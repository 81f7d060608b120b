/* SPDX-License-Identifier: Apache-2.0 */
/* The operations of a frontend, the same for every engine: thin adapters to its server, exchanges and streams. */
#include "plugins/http_common/http.h"

const tn_host *fe_host;

tn_rc engine_load(const tn_host *host, tn_err *err)
{
    if (host->loop == NULL || host->http == NULL) {
        return host->fail(err, TN_E_UNSUPP, "an HTTP engine needs a process with an event loop");
    }
    fe_host = host;
    return TN_OK;
}

tn_rc engine_attach(void *inst, const void *conf, tn_err *err)
{
    (void)err;
    server_configure(inst, conf);
    return TN_OK;
}

void engine_detach(void *inst)
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
    return server_active(inst);
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

const tn_frontend_ops engine_ops = {
    .size = sizeof engine_ops,
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
