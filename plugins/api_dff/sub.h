/* SPDX-License-Identifier: Apache-2.0 */
/* Subscriptions (spec 4.17): topics of connectors whose messages call functions. Helper threads, but
 * where said. */
#pragma once
#include "rows.h"

/* All connectors of the store; what has not changed goes on undisturbed. */
tn_rc subs_sync(tn_err *err);
tn_rc subs_start(tn_err *err);

/* sub_last.c: the last result of each kind, by connector, topic and function. */
tn_rc sub_last_start(tn_err *err);
/* {"success": {funcId, timestampMs, message, taskResp, error}, …} or NULL. Any thread. */
json_t *sub_last_get(const char *connector, const char *topic, const char *func);
void sub_last_drop(const char *connector);

/* Data of GET …/sub-info/do/list for a row. */
json_t *sub_info_rows(const json_t *row, tn_err *err);
