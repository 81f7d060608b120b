/* SPDX-License-Identifier: Apache-2.0 */
/* The text of server-sent events, and the head of the answer that carries them. */
#include "sse.h"

tn_rc sse_begin(struct call *c, tn_err *err)
{
    struct api_stamp s;
    if (api.host->http->stream == NULL) {
        return api.host->fail(err, TN_E_UNSUPP, "This platform streams no events");
    }
    api_stamp_as(&s, c->req, c->managed != NULL ? c->managed->trace : NULL);
    api_stamp_header(&s, TN_STR("Content-Type"), TN_STR("text/event-stream; charset=utf-8"));
    api_stamp_header(&s, TN_STR("Cache-Control"), TN_STR("no-store"));
    api_stamp_header(&s, TN_STR("X-Accel-Buffering"), TN_STR("no"));
    tn_http_reply head = {.size = sizeof head,
                          .status = 200,
                          .headers = s.headers,
                          .nheaders = s.nheaders,
                          .flags = TN_REPLY_NO_GZIP,
                          .fd = -1};
    return api.host->http->stream(api.host->ctx, c->req, &head, err);
}

void sse_event(struct str *out, uint64_t id, const char *name, tn_str data)
{
    str_printf(out, "id: %llu\nevent: %s\n", (unsigned long long)id, name);
    while (data.s != NULL) {
        const char *eol = data.n > 0 ? memchr(data.s, '\n', data.n) : NULL;
        size_t n = eol != NULL ? (size_t)(eol - data.s) : data.n;
        add_lit(out, "data: ");
        add(out, (tn_str){data.s, n});
        add_lit(out, "\n");
        data = eol != NULL ? (tn_str){eol + 1, data.n - n - 1} : (tn_str){NULL, 0};
    }
    add_lit(out, "\n");
}

uint64_t sse_resume_from(const tn_http_req *req)
{
    tn_str t = tn_http_header(req, "last-event-id");
    int64_t v = 0;
    for (uint32_t i = 0; t.s == NULL && i < req->nargs; i++) {
        if (text_is(req->args[i].name, "lastEventId")) {
            t = req->args[i].value;
        }
    }
    return t.s != NULL && text_int(t, &v) && v > 0 ? (uint64_t)v : 0;
}
