/* SPDX-License-Identifier: Apache-2.0 */
/* Filling tn_err. */
#define ERR_IMPLEMENTATION
#include "kernel/base/err.h"

#include "kernel/base/str.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Text goes through a copy: `fmt`'s arguments are often err->msg itself. `e` < 0: no errno. */
static tn_rc fill(tn_err *err, tn_rc rc, int e, const char *fmt, va_list ap)
{
    char text[sizeof err->msg + 4];
    int n = vsnprintf(text, sizeof text, fmt, ap);
    size_t len = n < 0 ? 0 : (size_t)n;
    if (e >= 0 && len < sizeof text) {
        char reason[128];
        /* GNU strerror_r: returns the text, thread-safe. */
        n = snprintf(text + len, sizeof text - len, ": %s", strerror_r(e, reason, sizeof reason));
        len += n < 0 ? 0 : (size_t)n;
    }
    len = len < sizeof text ? len : sizeof text - 1;
    len = str_utf8_cut((tn_str){text, len}, sizeof err->msg - 1);
    err->rc = rc;
    err->flags = 0;
    err->native = e >= 0 ? e : 0;
    memset(err->state, 0, sizeof err->state);
    memcpy(err->msg, text, len);
    err->msg[len] = '\0';
    return rc;
}

tn_rc err_set(tn_err *err, tn_rc rc, const char *fmt, ...)
{
    if (err != NULL) {
        va_list ap;
        va_start(ap, fmt);
        fill(err, rc, -1, fmt, ap);
        va_end(ap);
    }
    return rc;
}

static tn_rc rc_of_errno(int e)
{
    static const struct {
        int e;
        tn_rc rc;
    } rows[] = {
        {ENOMEM, TN_E_NOMEM},       {EINVAL, TN_E_INVAL},         {ENOENT, TN_E_NOTFOUND},
        {EACCES, TN_E_DENIED},      {EPERM, TN_E_DENIED},         {EROFS, TN_E_DENIED},
        {ETIMEDOUT, TN_E_TIMEOUT},  {ECANCELED, TN_E_CANCELED},   {ECONNREFUSED, TN_E_UNAVAIL},
        {ECONNRESET, TN_E_UNAVAIL}, {EHOSTUNREACH, TN_E_UNAVAIL}, {ENETUNREACH, TN_E_UNAVAIL},
        {EPIPE, TN_E_UNAVAIL},      {EADDRINUSE, TN_E_CONFLICT},  {EEXIST, TN_E_CONFLICT},
        {EMFILE, TN_E_LIMIT},       {ENFILE, TN_E_LIMIT},         {ENOSPC, TN_E_LIMIT},
        {EDQUOT, TN_E_LIMIT},       {EFBIG, TN_E_LIMIT},          {EMSGSIZE, TN_E_LIMIT},
        {ENOSYS, TN_E_UNSUPP},      {EOPNOTSUPP, TN_E_UNSUPP},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].e == e) {
            return rows[i].rc;
        }
    }
    return TN_E_INTERNAL;
}

tn_rc err_sys(tn_err *err, int e, const char *fmt, ...)
{
    tn_rc rc = rc_of_errno(e);
    if (err != NULL) {
        va_list ap;
        va_start(ap, fmt);
        fill(err, rc, e, fmt, ap);
        va_end(ap);
    }
    return rc;
}

const char *err_rc_name(tn_rc rc)
{
    static const char *const names[] = {
        "TN_OK",       "TN_E_NOMEM",   "TN_E_INVAL",    "TN_E_CONFIG",   "TN_E_NOTFOUND",
        "TN_E_DENIED", "TN_E_TIMEOUT", "TN_E_CANCELED", "TN_E_UNAVAIL",  "TN_E_REMOTE",
        "TN_E_LIMIT",  "TN_E_UNSUPP",  "TN_E_INTERNAL", "TN_E_CONFLICT",
    };
    int64_t i = -(int64_t)rc;
    return i >= 0 && i < (int64_t)(sizeof names / sizeof names[0]) ? names[i] : "TN_E_?";
}
