/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of requests, packed (RFC 1952). */
#pragma once
#include "common/grow.h"
#include <tenon/tenon.h>

/* Appends n bytes, packed quickly. */
tn_rc gzip_put(const tn_host *host, struct grow *to, const void *p, size_t n, tn_err *err);
