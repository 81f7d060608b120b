/* SPDX-License-Identifier: Apache-2.0 */
/* Values of scripts as JSON text. */
#pragma once
#include "common/grow.h"
#include <tenon/tenon.h>

/* Appends v. Decimals become numbers, dates and times texts of ISO 8601, spans seconds. TN_E_INVAL: there is something in
 * it that JSON does not have (NaN, bytes that are no text, keys that are no scalars). */
tn_rc json_put(const tn_host *host, struct grow *to, const tn_val *v, tn_err *err);
/* A string with its quotes. */
void json_put_text(struct grow *to, const char *s, size_t n);
/* The shortest decimal text that is this number again. */
void json_put_float(struct grow *to, double f);
/* "2026-01-31T08:30:00.25Z" (naive: without Z) of microseconds since 1970. */
void json_put_time(struct grow *to, int64_t us, int naive);
