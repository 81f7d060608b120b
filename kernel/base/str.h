/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers on borrowed text. */
#pragma once
#include <stdbool.h>
#include <string.h>
#include <tenon/types.h>

static inline tn_str str_of(const char *z)
{
    return (tn_str){z, z ? strlen(z) : 0};
}
static inline bool str_eq(tn_str a, tn_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.s, b.s, a.n) == 0); /* NOLINT: absent has n 0 */
}
static inline bool str_is(tn_str a, const char *z)
{
    return str_eq(a, str_of(z));
}
bool str_ieq(tn_str a, tn_str b); /* ASCII case ignored */
bool str_prefix(tn_str s, const char *prefix);
char *str_dup(tn_str s); /* malloc()ed, NUL-terminated; NULL: no memory */
/* Next piece of *rest up to sep, advances *rest; false when *rest is used up (s == NULL). */
bool str_split(tn_str *rest, char sep, tn_str *ret);
tn_str str_trim(tn_str s);               /* blanks and tabs at both ends */
bool str_to_i64(tn_str s, int64_t *ret); /* whole text, decimal, optional sign */
bool str_to_f64(tn_str s, double *ret);  /* whole text, locale-independent */
bool str_utf8_valid(tn_str s);           /* RFC 3629; no surrogates, no overlong */
size_t str_utf8_len(tn_str s);           /* characters */
/* The character at p (n >= 1 bytes are there): its length in bytes, or minus the length of the
 * ill-formed part to skip (Unicode 15, section 3.9, "maximal subpart"). */
int str_utf8_step(const char *p, size_t n);
/* The longest prefix of at most max bytes that does not cut a character. */
size_t str_utf8_cut(tn_str s, size_t max);
/* Edit distance (Damerau-Levenshtein, at most 64 bytes each), for "did you mean". */
unsigned str_distance(const char *a, const char *b);
