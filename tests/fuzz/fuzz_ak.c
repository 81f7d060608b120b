/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies as the SDKs write them before they sign: what is JSON in a dialect reads back as the same value, and a signature made over
 * any dialect is accepted, one over something else is not. Input: the body. */
#include "plugins/api_dff/ak_sign.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Equal but for how numbers are spelled: Go has no "1.0", so a real may come back as an integer. */
static bool alike(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b)) {
        return json_number_value(a) == json_number_value(b);
    }
    if (json_is_array(a) && json_is_array(b)) {
        size_t n = json_array_size(a);
        bool same = n == json_array_size(b);
        for (size_t i = 0; same && i < n; i++) {
            same = alike(json_array_get(a, i), json_array_get(b, i));
        }
        return same;
    }
    if (json_is_object(a) && json_is_object(b)) {
        bool same = json_object_size(a) == json_object_size(b);
        const char *key;
        json_t *v;
        json_object_foreach((json_t *)(uintptr_t)a, key, v)
        {
            json_t *other = json_object_get(b, key);
            same = same && other != NULL && alike(v, other);
        }
        return same;
    }
    return json_equal(a, b) == 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const tn_str secret = TN_STR("open sesame");
    struct ak_signed s = {.method = TN_STR("POST"),
                          .target = TN_STR("/api/v1/x?a=1"),
                          .timestamp = TN_STR("1700000000"),
                          .nonce = TN_STR("n"),
                          .body = {(const char *)data, n}};
    json_t *v = json_loadb((const char *)data, n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    char sign[AK_SIGN_LEN + 1], digest[33];
    s.parsed = v;
    for (int d = 0; v != NULL && d < AK_DIALECTS; d++) {
        struct str text = {0};
        if (ak_canonical(v, (enum ak_dialect)d, &text)) {
            const size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL;
            json_t *back = json_loadb(text.s, text.n, flags, NULL);
            if (back ==
                NULL) { /* 2^63 as a real is spelled without a point, and is too large for an integer */
                back = json_loadb(text.s, text.n, flags | JSON_DECODE_INT_AS_REAL, NULL);
            }
            if (d != AK_NODE && (back == NULL || !alike(v, back))) {
                abort(); /* Node's dialect has no escapes, so it is not always JSON */
            }
            json_decref(back);
            md5_hex(text.s, text.n, digest);
            ak_sign(&s, secret, digest, sign);
            s.sign = (tn_str){sign, AK_SIGN_LEN};
            if (!ak_sign_ok(&s, secret)) {
                abort();
            }
            s.nonce = TN_STR("m");
            if (ak_sign_ok(&s, secret)) {
                abort();
            }
            s.nonce = TN_STR("n");
        }
        str_free(&text);
    }
    json_decref(v);
    return 0;
}
