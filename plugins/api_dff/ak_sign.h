/* SPDX-License-Identifier: Apache-2.0 */
/* Access-key signatures as pure functions: canonical JSON in the dialects of the SDKs, HMAC-SHA1. */
#pragma once
#include "util.h"

#include <jansson.h>

#define SHA1_LEN 20
void sha1(const void *data, size_t n, uint8_t ret[SHA1_LEN]);
/* The parts are hashed as one text. */
void hmac_sha1(tn_str key, const tn_str *parts, size_t nparts, uint8_t ret[SHA1_LEN]);

/* How an SDK writes the body before it takes the MD5 (spec 1.1). */
enum ak_dialect {
    AK_PYTHON,  /* json.dumps(sort_keys, ensure_ascii=False) */
    AK_NODE,    /* no escapes inside strings, numbers as JavaScript prints them */
    AK_GO,      /* json.Marshal */
    AK_GO_1_21, /* json.Marshal before 1.22, which spelled backspace and form feed in hex */
    AK_DIALECTS
};
/* Appends v in that dialect; false: nested deeper than 64 or no memory. */
bool ak_canonical(const json_t *v, enum ak_dialect dialect, struct str *out);

/* What was signed and with which result. */
struct ak_signed {
    tn_str sign, method, target, timestamp, nonce;
    tn_str body;          /* the bytes as they came; absent = none */
    const json_t *parsed; /* the body as a value; NULL = it is none */
};
#define AK_SIGN_LEN 40
/* The signature over a body with this MD5. */
void ak_sign(const struct ak_signed *s, tn_str secret, const char *body_md5,
             char ret[AK_SIGN_LEN + 1]);
/* Is s->sign right for the body as it came or in any dialect? Compares in constant time. */
bool ak_sign_ok(const struct ak_signed *s, tn_str secret);
