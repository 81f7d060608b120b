/* SPDX-License-Identifier: Apache-2.0 */
/* Pure text rules of HTTP: character classes, percent decoding, targets, queries. Nothing here knows an
 * engine or a connection; every function is fuzzed on its own. */
#pragma once
#include <stdbool.h>
#include <tenon/types.h>

/* Character classes of RFC 9110 section 5.6.2 (token) and RFC 3986 section 2. */
bool text_is_tchar(unsigned char c);
int text_hex(unsigned char c); /* 0..15 or -1 */
/* Letters A-Z to a-z, everything else as it is. dst may be src. */
void text_lower(char *dst, const char *src, size_t n);
/* Length of the token at the beginning of s. */
size_t text_token(const char *s, size_t n);
/* Makes the token at the beginning of s lower case; returns its length. */
size_t text_lower_token(char *s, size_t n);
/* Has s a character below 0x20 (but a tab) or 0x7F? */
bool text_control(tn_str s);
/* Equal without regard to ASCII case; `lower` is lower case. */
bool text_equal_ci(tn_str s, const char *lower);
/* s without blanks and tabs at both ends. */
tn_str text_trim(tn_str s);
/* RFC 3629: no surrogates, no overlong forms, at most U+10FFFF. */
bool text_utf8_ok(const char *s, size_t n);
/* Takes the next item of a comma separated list off *list; false at the end. Empty items are
 * skipped, quoted strings are kept whole. */
bool text_next_item(tn_str *list, tn_str *ret_item);
/* Value of `;name=value` in item, without quotes; absent when there is none. */
tn_str text_param(tn_str item, const char *name);

/* Why a request target was refused; status for the answer and a sentence. */
struct text_refusal {
    uint32_t status;
    const char *text;
};
struct text_target {
    tn_str path;   /* decoded once, dot segments resolved; "*" for OPTIONS * */
    tn_str query;  /* raw, without "?" */
    tn_str host;   /* authority of an absolute-form target, else absent */
    tn_str scheme; /* of an absolute-form target, else absent */
};
/* Splits a request target (RFC 9112 section 3.2). `room` must hold target.n + 1 bytes and takes the
 * decoded path. Returns false and fills ret_why when the target is not acceptable. */
bool text_target(tn_str method, tn_str target, char *room, struct text_target *ret,
                 struct text_refusal *ret_why);

/* Decodes one name or value of an urlencoded query: "%XX" once, "+" is a blank, a broken escape stays
 * as it is. `room` holds raw.n bytes; returns the bytes written. */
size_t text_query_decode(tn_str raw, char *room);
/* Takes the next field off *query (split at "&"); false at the end. Empty fields are skipped. */
bool text_next_field(tn_str *query, tn_str *ret_name, tn_str *ret_value);

/* Header that may leave the house: name is a token, value is Latin-1 without control characters.
 * Returns NULL or a sentence. */
const char *text_header_refused(tn_str name, tn_str value);

/* The quality (0..1000) that an Accept-Encoding list gives to `coding` (lower case). */
int text_quality(tn_str accept, const char *coding);
/* RFC 9110 section 13.1.2: does the If-None-Match list contain `tag` (weak comparison)? */
bool text_etag_match(tn_str list, tn_str tag);
