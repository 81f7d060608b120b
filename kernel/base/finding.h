/* SPDX-License-Identifier: Apache-2.0 */
/* What a check of the machine found, as one line of JSON: each program of the platform checks what is its
 * own, `tenon doctor` collects and shows the lines. */
#pragma once
#include "kernel/base/buf.h"

enum finding_state { FINDING_OK, FINDING_NOTE, FINDING_WARN, FINDING_FAIL, FINDING_STATES };

const char *finding_state_name(enum finding_state s); /* "ok" "note" "warn" "fail" */
/* Appends {"check":…,"state":…,"why":…,"advice":…} and a line feed. `advice` says what to do; "" or NULL
 * when nothing is to be done. */
void finding_put(struct buf *out, const char *check, enum finding_state state, const char *advice,
                 const char *fmt, ...) TN_PRINTF(5, 6);
