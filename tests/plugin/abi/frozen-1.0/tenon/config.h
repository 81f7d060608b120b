/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration tables: one row per setting, bound to a struct member whose C type decides how it
 * is parsed. From the same rows come defaults, ranges, unknown-key errors, help, Markdown and
 * JSON Schema. */
#ifndef TENON_CONFIG_H
#define TENON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <tenon/types.h>

typedef struct { const char *s; } tn_secret;  /* sealed at rest, masked in every text */
typedef struct { int64_t ms; } tn_dur;        /* milliseconds; text "250ms" "3s" "5m" "1h" "2d" */
typedef struct { int64_t n; } tn_bytes;       /* bytes; text "64k" "2M" "1G" (powers of 1024) */

#define TN_C_BOOL   1
#define TN_C_INT    2
#define TN_C_FLOAT  3
#define TN_C_STR    4
#define TN_C_SECRET 5
#define TN_C_DUR    6
#define TN_C_BYTES  7

/* tn_field.flags */
#define TN_F_REQUIRED   (1u << 0) /* no default: a missing value is an error */
#define TN_F_RESTART    (1u << 1) /* a change counts after a restart */
#define TN_F_DEPRECATED (1u << 2) /* accepted with a warning; doc says what replaces it */

typedef struct tn_field {
    const char *name;            /* key in the file, e.g. "connect_timeout"; NULL ends the table */
    const char *doc;             /* one sentence with the unit */
    const char *dflt;            /* default as text, NULL = zero / absent */
    uint16_t type;               /* TN_C_*, derived from the member by TN_FIELD */
    uint16_t flags;              /* TN_F_* */
    uint32_t offset;             /* offsetof in the configuration struct */
    int64_t min, max;            /* inclusive range (INT, FLOAT, DUR in ms, BYTES; STR: length);
                                    both 0 = unbounded */
    const char *const *choices;  /* NULL-terminated allowed texts (STR), or NULL */
} tn_field;

#define TN_TYPE_OF(x)                                                                             \
    _Generic((x), bool: TN_C_BOOL, int64_t: TN_C_INT, double: TN_C_FLOAT,                         \
             const char *: TN_C_STR, tn_secret: TN_C_SECRET, tn_dur: TN_C_DUR, tn_bytes: TN_C_BYTES)
/* Binds a row to member `m` of struct type `S`; the key is the member's name. */
#define TN_FIELD(S, m)                                                                            \
    .name = #m, .offset = (uint32_t)offsetof(S, m), .type = TN_TYPE_OF(((S *)0)->m)

#endif
