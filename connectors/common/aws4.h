/* SPDX-License-Identifier: Apache-2.0 */
/* AWS Signature Version 4 of a request (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html). */
#pragma once
#include "common/grow.h"
#include <tenon/tenon.h>

struct aws4 {
    const char *key_id, *secret, *region, *service;
    const char *
        server_name; /* tls_server_name: what the server hears instead of the host of an https URL; or NULL */
};
/* Appends x-amz-date, x-amz-content-sha256 and authorization to `headers` ("Name: value\r\n"…). Signed are host, these and
 * no other header. url is whole, as it will be sent; wall_us: microseconds since 1970. */
tn_rc aws4_sign(const tn_host *host, const struct aws4 *keys, const char *method, const char *url,
                const void *body, size_t body_len, int64_t wall_us, struct grow *headers,
                tn_err *err);
/* The canonical request that is signed, for tests. */
void aws4_canonical(const struct aws4 *keys, const char *method, const char *url, const char *date,
                    const char *body_hash, struct grow *ret);
