/* SPDX-License-Identifier: Apache-2.0 */
/* What the two files of this plugin share. */
#pragma once
#include <sodium.h>
#include <tenon/tenon.h>

#define VALUE_MAX  4096 /* a longer value in a request equals none */
#define PATH_BYTES 256
#define FIELDS_MAX 64

enum place { PLACE_HEADER, PLACE_QUERY, PLACE_BODY };

struct field {
    enum place place;
    tn_str name;                    /* header: lower case; else a member or a dotted path */
    uint8_t tag[crypto_auth_BYTES]; /* keyed hash of the value, which itself is not kept */
};

extern const tn_host *fixed_host;

/* What the request has at a place. */
enum found { FOUND_NOT, FOUND_ONE, FOUND_UNCLEAR /* given twice, too long or no text */ };
/* Loop thread; ret is borrowed until the next call. */
enum found field_find(const tn_http_req *req, const struct field *f, tn_str *ret);
