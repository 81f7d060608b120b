/* SPDX-License-Identifier: Apache-2.0 */
/* Debugger runs that are watched while they run (server-sent events). Loop thread. */
#pragma once
#include "call.h"

/* Does the client of func-draft want events instead of one answer? (Accept: text/event-stream) */
bool debug_live_wanted(const tn_http_req *req);
/* Submits r as a run of its own, which goes on when the client goes, and answers c with its events:
 * `state`, `log`, and `end` with what func-draft answers as data. An event's id is the number of
 * log bytes so far. */
void debug_live_start(struct call *c, tn_call_req *r);
/* Answers c with the events of a run from Last-Event-ID on, also for a minute after its end. */
void debug_live_follow(struct call *c, tn_str id);
void debug_live_leave(struct call *c); /* the request of c is released */
void debug_live_stop(void);
