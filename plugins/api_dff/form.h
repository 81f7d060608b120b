/* SPDX-License-Identifier: Apache-2.0 */
/* application/x-www-form-urlencoded text (WHATWG URL, section 5). */
#pragma once
#include "api.h"

/* Cuts the next "key=value" off `rest`; both still encoded, value absent without "=". */
bool form_next(tn_str *rest, tn_str *key, tn_str *value);
/* Appends the decoded text; a broken escape stays as it is. */
void form_decode(struct str *b, tn_str t);
/* The fields as an object of strings: the last of equal names wins, "a[b]=1" nests, "a[]=1"
 * collects in an array; at most 5 levels, deeper brackets are dropped. */
json_t *form_parse(tn_str body);
