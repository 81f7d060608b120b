/* SPDX-License-Identifier: Apache-2.0 */
/* Authentication methods for function APIs. */
#ifndef TENON_AUTH_H
#define TENON_AUTH_H

#include <tenon/http.h>

typedef struct tn_ident {
    uint32_t size;
    uint32_t rsvd;
    char subject[128];   /* who called, UTF-8 */
    uint64_t expires_ns; /* CLOCK_MONOTONIC until which the answer may be reused, 0 = not at all */
} tn_ident;

/* Loop thread; never blocks. */
typedef struct tn_auth_ops {
    uint32_t size;
    uint32_t rsvd;
    /* TN_OK, or TN_E_DENIED with the text that the caller sees. */
    tn_rc (*check)(void *inst, const tn_http_req *, tn_ident *ret, tn_err *);
    /* The WWW-Authenticate value (RFC 9110 section 11.6.1) for a refused request; returns the
     * bytes written, 0 = none. */
    size_t (*challenge)(void *inst, const tn_http_req *, char *ret, size_t cap);
} tn_auth_ops;

#endif
