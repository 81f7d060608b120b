/* SPDX-License-Identifier: Apache-2.0 */
/* JSON that is cut into pieces where it stands: no tree, no copies. json_valid() first; everything else believes it. */
#pragma once
#include "common/grow.h"
#include <tenon/value.h>

#define JSON_DEPTH_MAX 200

/* 1: one JSON text of RFC 8259 in UTF-8, nested at most JSON_DEPTH_MAX deep. */
int json_valid(tn_str text);

/* Members of an object or items of a list, one by one. */
struct json_iter {
    const char *p, *end;
    int object;
};
/* 0: text is neither an object nor a list. */
int json_iter(struct json_iter *it, tn_str text);
/* The next value as it stands in the text; ret_key with its quotes, absent in a list. */
int json_next(struct json_iter *it, tn_str *ret_key, tn_str *ret_value);
/* The member of that name (which needs no escapes), absent when there is none or text is no object; the last of several. */
tn_str json_member(tn_str text, const char *name);
/* The text is this string. */
int json_is(tn_str text, const char *string);
/* '{' '[' '"' 't' 'f' 'n' or '0' for a number; 0 when absent. */
char json_kind(tn_str text);
/* An integer as it is, or `other`. */
int64_t json_int(tn_str text, int64_t other);
/* A value that borrows from text: numbers, strings without escapes and constants as such, the rest as TN_V_JSON. */
tn_val json_value(tn_str text);
/* Appends a string without its quotes and escapes; what is no string is appended as it stands. */
void json_text(struct grow *to, tn_str text);
/* A string without quotes and escapes, cut to cap - 1 bytes, on one line; what is no string as it stands. For messages. */
void json_plain(tn_str text, char *to, size_t cap);
