/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP request of a call as its function sees it (spec 2.5). Writing it is a tenth of a short call and most
 * functions never look at it, so it is held back where the request itself says everything once more: the
 * kernel asks for it when a script looks. Whose function has looked gets it with the next calls at once. */
#include "call.h"

#define HOLD_BODY  (16u << 10) /* larger bodies are not read twice */
#define LOOKS_KEPT 255         /* calls that a look counts for: then it is found out again */

/* Functions share a place now and then, and rows move when a snapshot is loaded. Then the text is written
 * for nothing, or asked for once. */
static uint32_t place_of(const struct snap_func *f)
{
    return (uint32_t)((uintptr_t)f / sizeof *f % CALL_LOOKS);
}

bool call_request_holds(const tn_http_req *req, uint32_t nhidden)
{
    return nhidden == 0 && req->nparts == 0 && req->body_len <= HOLD_BODY;
}

/* tn_call_req.http_text: reads the request again as it was read for the call. */
static tn_str write_late(void *user)
{
    struct call *c = user;
    struct call_refusal why = {0};
    struct call_input in;
    struct call_scratch kept = calls.scratch; /* may be in use: this comes at any time */
    tn_str text = {NULL, 0};
    if (!c->leaving) {
        calls.looks[c->looks] = LOOKS_KEPT;
    }
    calls.scratch = calls.late;
    if (kwargs_read(c->req, c->form, &in, &why)) {
        httpreq_write(&calls.scratch.http, c->req, in.query, in.body);
        text = calls.scratch.http.failed ? text : str_view(&calls.scratch.http);
    }
    calls.late = calls.scratch;
    calls.scratch = kept;
    call_refusal_finish(&why);
    return text;
}

bool call_request_put(struct call *c, const struct snap_func *f, const struct call_input *in,
                      bool now, tn_call_req *r)
{
    struct str *text = &calls.scratch.http;
    c->looks = place_of(f);
    if (c->hold && !now && calls.looks[c->looks] == 0) {
        r->http_text = write_late;
        return true;
    }
    calls.looks[c->looks] -= calls.looks[c->looks] > 0;
    httpreq_write(text, c->req, in->query, in->body);
    r->http = str_view(text);
    return !text->failed;
}
