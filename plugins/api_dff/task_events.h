/* SPDX-License-Identifier: Apache-2.0 */
/* A task's events as server-sent events (WHATWG HTML, section 9.2). Loop thread. */
#pragma once
#include "call.h"

/* Answers the request of c with the stream: `state` at once and at every change, `log`, `progress`, and
 * `end` as the last. An event's id is the number of log bytes sent so far; a client that comes
 * back with Last-Event-ID (or ?lastEventId=) goes on behind them. */
void task_events(struct call *c, tn_str id);
void task_events_cancel(struct call *c);
