/* SPDX-License-Identifier: Apache-2.0 */
/* A host that keeps the last complaint, also of calls that nobody gave an error to, and a wire that has ended. */
#pragma once
#include "clickhouse/native.h"

#include <stdarg.h>
#include <stdio.h>

static char said[600];

static tn_rc fail_with(tn_err *err, tn_rc rc, const char *fmt, ...) TN_PRINTF(3, 4);
static tn_rc fail_with(tn_err *err, tn_rc rc, const char *fmt, ...)
{
    va_list ap;
    (void)err;
    va_start(ap, fmt);
    vsnprintf(said, sizeof said, fmt, ap);
    va_end(ap);
    return rc;
}

static const tn_host host = {.size = sizeof host, .fail = fail_with};

static tn_rc ends(struct ch_in *in, tn_err *err)
{
    (void)in;
    return fail_with(err, TN_E_UNAVAIL, "the end");
}
