/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of JSON text that scanning and quoting share; for kernel/value only. */
#pragma once
#include "kernel/value/json.h"

static inline int json_hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}
/* The four digits of a \u escape; -1: there are not so many before end. */
int json_hex4(const char *p, const char *end, uint32_t *ret);
/* Bytes of the well-formed UTF-8 sequence at p (RFC 3629: nothing overlong, no surrogates, at most
 * U+10FFFF); 0 when it is none. */
size_t json_utf8(const char *p, const char *end);
/* Keys are compared unescaped, so "a" and "\u0061" are the same key. */
int json_key_eq(const tn_json_member *a, const tn_json_member *b);
uint64_t json_key_hash(const tn_json_member *m);
