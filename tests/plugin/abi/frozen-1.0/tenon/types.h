/* SPDX-License-Identifier: Apache-2.0 */
/* Basic types of the plugin contract: return codes, errors, borrowed text. */
#ifndef TENON_TYPES_H
#define TENON_TYPES_H

#include <stddef.h>
#include <stdint.h>

/* Contract version. The major is also in the name of the entry symbol; a plugin of another major
 * is refused. A higher minor than the kernel's is accepted: members only get appended. */
#define TN_ABI_MAJOR 1
#define TN_ABI_MINOR 0
#define TN_MAGIC     0x31304E54u /* "TN01", little endian */

#define TN_EXPORT       __attribute__((visibility("default")))
#define TN_PRINTF(f, a) __attribute__((format(printf, f, a)))

/* Return code of every fallible function: 0 or one of the negative values below. */
typedef int32_t tn_rc;
#define TN_OK         0
#define TN_E_NOMEM    (-1)  /* out of memory */
#define TN_E_INVAL    (-2)  /* an argument is wrong */
#define TN_E_CONFIG   (-3)  /* a configuration value is wrong */
#define TN_E_NOTFOUND (-4)  /* the named thing does not exist */
#define TN_E_DENIED   (-5)  /* refused by a rule, a credential or the peer */
#define TN_E_TIMEOUT  (-6)  /* the deadline passed */
#define TN_E_CANCELED (-7)  /* somebody asked to stop */
#define TN_E_UNAVAIL  (-8)  /* a peer cannot be reached; trying later may work */
#define TN_E_REMOTE   (-9)  /* the peer answered with an error */
#define TN_E_LIMIT    (-10) /* a bound was reached */
#define TN_E_UNSUPP   (-11) /* this plugin, peer or version cannot do that */
#define TN_E_INTERNAL (-12) /* a defect of ours */
#define TN_E_CONFLICT (-13) /* unique key or compare-and-swap violated */

/* Flags of tn_err. */
#define TN_ERR_RETRY       (1u << 0) /* the same call may succeed later */
#define TN_ERR_CONN_BROKEN (1u << 1) /* the connection must not be used again */

/* Error report. Lives in the caller's frame; the callee fills it once, where the facts are known,
 * and only when it returns a code other than TN_OK. A caller that does not care passes NULL. */
typedef struct tn_err {
    uint32_t size;   /* sizeof(tn_err), set by the caller (see TN_ERR_INIT) */
    tn_rc rc;        /* the code that is also returned */
    uint32_t flags;  /* TN_ERR_* */
    int32_t native;  /* errno, mysql_errno, HTTP status ... ; 0 = none */
    char state[8];   /* SQLSTATE or "" */
    char msg[488];   /* UTF-8, NUL-terminated: names the thing, the value and what to do */
} tn_err;
#define TN_ERR_INIT {(uint32_t)sizeof(tn_err), 0, 0, 0, {0}, {0}}

/* Borrowed text or bytes: `n` bytes at `s`, not NUL-terminated unless a member says so.
 * s == NULL means absent, s != NULL with n == 0 means empty. */
typedef struct tn_str {
    const char *s;
    size_t n;
} tn_str;
#define TN_STR(lit) ((tn_str){(lit), sizeof(lit) - 1})

/* Owned text: allocated by the side that fills it, released with host->free(ctx, s).
 * `s` is NUL-terminated after `n` bytes. */
typedef struct tn_text {
    char *s;
    size_t n;
} tn_text;

/* Log levels (syslog, RFC 5424 section 6.2.1). */
#define TN_LOG_ALERT   1
#define TN_LOG_ERROR   3
#define TN_LOG_WARNING 4
#define TN_LOG_NOTICE  5
#define TN_LOG_INFO    6
#define TN_LOG_DEBUG   7

#endif
