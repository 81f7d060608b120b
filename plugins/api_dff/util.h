/* SPDX-License-Identifier: Apache-2.0 */
/* Small tools of this plugin: a growing text buffer, time as text, text to numbers. No kernel
 * symbols. */
#pragma once
#include <stdbool.h>
#include <tenon/types.h>

/* A growing buffer. Zero-initialised is empty. A failed allocation sets `failed` and later writes
 * do nothing, so that a chain of writes needs one check at the end. `s` is NUL-terminated when n >
 * 0. */
struct str {
    char *s;
    size_t n, cap;
    bool failed;
};
void str_add(struct str *b, const char *s, size_t n);
void str_puts(struct str *b, const char *z);
void str_text(struct str *b, tn_str t);
void str_char(struct str *b, char c);
void str_int(struct str *b, int64_t v);
void str_quote(struct str *b, tn_str t); /* as a JSON string with quotes */
/* The same for bytes of any origin: what is no UTF-8 becomes "?" (JSON must be UTF-8); absent = "".
 */
void str_quote_any(struct str *b, tn_str t);
void str_printf(struct str *b, const char *fmt, ...) TN_PRINTF(2, 3);
tn_str str_view(const struct str *b); /* borrowed; never absent (s != NULL) */
void str_clear(struct str *b);        /* keeps the memory */
void str_free(struct str *b);

tn_str text_of(const char *z); /* NULL = absent */
bool text_is(tn_str t, const char *z);
bool text_has_prefix(tn_str t, const char *z);
bool text_has(tn_str hay, const char *needle_lower); /* ASCII case-insensitive contains */
/* useSSL -> use_ssl, as settings of plugins are written; cut to cap. Returns ret. */
char *text_snake(tn_str t, char *ret, size_t cap);
char *text_dup(tn_str t); /* NUL-terminated malloc copy, NULL on no memory */
/* Whole text as decimal integer; false when it is none or does not fit. */
bool text_int(tn_str t, int64_t *ret);
/* Spec 3.12 to_boolean: 1, 0, or -1 for neither. */
int text_bool(tn_str t);
size_t utf8_chars(tn_str t); /* code points; invalid bytes count one each */

/* ISO 8601 UTC with milliseconds and Z, 24 characters + NUL. */
#define ISO_LEN 24
void iso_time(int64_t us, char ret[ISO_LEN + 1]);
/* Reads ISO 8601 ("2024-01-31", "…T12:00:00[.123][Z|+08:00]"; no zone = UTC). */
bool iso_parse(tn_str t, int64_t *ret_us);

void md5_hex(const void *data, size_t n, char ret[33]); /* RFC 1321, for identities only */
