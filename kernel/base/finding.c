/* SPDX-License-Identifier: Apache-2.0 */
/* Findings of checks as lines of JSON. */
#include "kernel/base/finding.h"
#include "kernel/base/str.h"
#include <stdio.h>

static const char *const names[FINDING_STATES] = {"ok", "note", "warn", "fail"};

const char *finding_state_name(enum finding_state s)
{
    return names[s];
}

void finding_put(struct buf *out, const char *check, enum finding_state state, const char *advice,
                 const char *fmt, ...)
{
    char why[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof(why), fmt, ap);
    va_end(ap);
    buf_adds(out, "{\"check\":");
    buf_quote(out, str_of(check));
    buf_printf(out, ",\"state\":\"%s\",\"why\":", finding_state_name(state));
    buf_quote(out, str_of(why));
    buf_adds(out, ",\"advice\":");
    buf_quote(out, str_of(advice ? advice : ""));
    buf_adds(out, "}\n");
}
