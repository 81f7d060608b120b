/* SPDX-License-Identifier: Apache-2.0 */
/* Masking of secrets in what is shown about a request. */
#pragma once
#include "api.h"

/* Does a field of this name hold a password, secret or token? */
bool mask_key(tn_str key);
/* The same by the text alone, for parts of texts that are no names yet. */
bool mask_word(tn_str text);
/* Another name that does, in its_snake_form; before there are requests. */
tn_rc mask_more(const char *name, tn_err *err);
/* Replaces such values anywhere in v. */
void mask_json(json_t *v);
/* JSON object {method, url, bodyDump?} of spec 0.2. */
void api_req_dump(struct str *b, const tn_http_req *req);
/* The same without body and with all values of the query masked: any of them may be a credential that
 * was mistyped. */
void api_req_dump_closed(struct str *b, const tn_http_req *req);
