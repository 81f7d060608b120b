/* SPDX-License-Identifier: Apache-2.0 */
/* Server-sent events (WHATWG HTML, section 9.2), as answers to calls. Loop thread. */
#pragma once
#include "call.h"

#define SSE_PING_NS (15ull * 1000000000) /* a sign of life when nothing happens */
#define SSE_PING    TN_STR(": nothing new\n\n")

/* Begins the answer of c. TN_E_CANCELED: the client has gone and c has been released; any other error:
 * nothing was sent and an answer is still due. */
tn_rc sse_begin(struct call *c, tn_err *err);
/* Appends one event. data is JSON, which has no line breaks outside of strings that the platform
 * writes. */
void sse_event(struct str *out, uint64_t id, const char *name, tn_str data);
/* The id of the last event that a client which comes back has seen: Last-Event-ID, or ?lastEventId=. */
uint64_t sse_resume_from(const tn_http_req *req);
