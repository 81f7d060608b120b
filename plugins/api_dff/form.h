/* SPDX-License-Identifier: Apache-2.0 */
/* application/x-www-form-urlencoded text (WHATWG URL, section 5), and text fields as JSON. */
#pragma once
#include "api.h"

#define FORM_FIELDS_MAX 1000

/* Cuts the next "key=value" off `rest`; both still encoded, value absent without "=". */
bool form_next(tn_str *rest, tn_str *key, tn_str *value);
/* Appends the decoded text; a broken escape stays as it is. */
void form_decode(struct str *b, tn_str t);
/* Decoded fields; they point into `out`, which must not grow while they are used. False when there are
 * more than `cap` or no memory. */
bool form_pairs(tn_str body, struct str *out, tn_http_pair *ret, size_t cap, size_t *ret_n);
/* Appends an object of text fields to `out`; names may have brackets ("a[b]", "a[]"), equal names
 * become an array. Without memory out->failed is set. */
void form_object(struct str *out, const tn_http_pair *pairs, size_t n);
/* The fields as such an object, for who wants a tree; NULL when there are too many. */
json_t *form_parse(tn_str body);
