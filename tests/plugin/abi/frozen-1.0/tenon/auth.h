/* SPDX-License-Identifier: Apache-2.0 */
/* Authentication methods for function APIs. */
#ifndef TENON_AUTH_H
#define TENON_AUTH_H

#include <tenon/calls.h>
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
    /* TN_OK, or with the text that the caller sees: TN_E_DENIED, a credential that is wrong (a failed
     * attempt); TN_E_NOTFOUND, no credential of this method; TN_E_TIMEOUT, one that was right and
     * has aged; TN_E_INVAL, one that breaks the rules of its form (a failed attempt). */
    tn_rc (*check)(void *inst, const tn_http_req *, tn_ident *ret, tn_err *);
    /* The WWW-Authenticate value (RFC 9110 section 11.6.1) for a refused request; returns the
     * bytes written, 0 = none. */
    size_t (*challenge)(void *inst, const tn_http_req *, char *ret, size_t cap);
    /* Optional: the further challenges of the same answer, i = 1, 2 ..., each for a header of its
     * own; 0 = no more. */
    size_t (*challenge_more)(void *inst, const tn_http_req *, uint32_t i, char *ret, size_t cap);
    /* Optional: where credentials stand: name is "query" or "body" (value: a member or a dotted path
     * that the called function must not see) or "header" (value: its name in lower case; the
     * function may see it, what is stored may not). Borrowed as long as the instance lives. */
    uint32_t (*takes)(void *inst, const tn_http_pair **ret);
    /* Optional, both or none: a method that leaves the decision to a function of the platform.
     * func() gives its id ("set__script.name"); the caller runs it with the HTTP request object as
     * keyword argument `req` and hands the result to judge(), which returns as check() does.
     * check() refuses always then. */
    tn_str (*func)(void *inst);
    tn_rc (*judge)(void *inst, const tn_call_result *, tn_ident *ret, tn_err *);
} tn_auth_ops;

#endif
