/* SPDX-License-Identifier: Apache-2.0 */
/* Filling tn_err. */
#pragma once
#include <tenon/types.h>

/* Fills err (may be NULL) with rc and the formatted text (cut at a UTF-8 boundary); returns rc.
 * Everything else in err is cleared. The arguments may point into err itself (wrapping). */
tn_rc err_set(tn_err *err, tn_rc rc, const char *fmt, ...) TN_PRINTF(3, 4);
/* The same with errno e as native code and ": <strerror>" appended; the code follows from e (ENOENT:
 * TN_E_NOTFOUND, EACCES: TN_E_DENIED, EMFILE: TN_E_LIMIT ...; TN_E_INTERNAL for the rest). */
tn_rc err_sys(tn_err *err, int e, const char *fmt, ...) TN_PRINTF(3, 4);
const char *err_rc_name(tn_rc rc); /* "TN_E_INVAL" */

#if defined(__clang_analyzer__) && !defined(ERR_IMPLEMENTATION)
/* The analyzer sees one file at a time: tell it that these never return TN_OK. */
#define ERR_NOT_OK(call)                                                                           \
    ({                                                                                             \
        tn_rc rc_ = (call);                                                                        \
        if (rc_ == TN_OK) {                                                                        \
            __builtin_unreachable();                                                               \
        }                                                                                          \
        rc_;                                                                                       \
    })
#define err_set(...) ERR_NOT_OK(err_set(__VA_ARGS__))
#define err_sys(...) ERR_NOT_OK(err_sys(__VA_ARGS__))
#endif
