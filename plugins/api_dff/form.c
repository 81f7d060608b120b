/* SPDX-License-Identifier: Apache-2.0 */
/* Reading forms and queries that the frontend did not take apart: fields, and all of them as an object. */
#include "form.h"
#include "call_out.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void form_decode(struct str *b, tn_str t)
{
    for (size_t i = 0; i < t.n; i++) {
        int hi, lo;
        if (t.s[i] == '+') {
            str_char(b, ' ');
        } else if (t.s[i] == '%' && i + 2 < t.n && (hi = hex_value(t.s[i + 1])) >= 0 &&
                   (lo = hex_value(t.s[i + 2])) >= 0) {
            str_char(b, (char)(hi << 4 | lo));
            i += 2;
        } else {
            str_char(b, t.s[i]);
        }
    }
}

bool form_next(tn_str *rest, tn_str *key, tn_str *value)
{
    if (rest->n == 0) {
        return false;
    }
    const char *amp = memchr(rest->s, '&', rest->n);
    size_t n = amp != NULL ? (size_t)(amp - rest->s) : rest->n;
    const char *eq = memchr(rest->s, '=', n);
    size_t kn = eq != NULL ? (size_t)(eq - rest->s) : n;
    *key = (tn_str){rest->s, kn};
    *value = eq != NULL ? (tn_str){eq + 1, n - kn - 1} : (tn_str){NULL, 0};
    size_t used = amp != NULL ? n + 1 : n;
    *rest = (tn_str){rest->s + used, rest->n - used};
    return true;
}

bool form_pairs(tn_str body, struct str *out, tn_http_pair *ret, size_t cap, size_t *ret_n)
{
    size_t n = 0;
    tn_str key, value;
    /* Decoding never grows, so that pairs may point into `out` while it is filled. */
    if (str_room_for(out, body.n) == NULL) {
        return false;
    }
    out->n -= body.n;
    while (form_next(&body, &key, &value)) {
        if (key.n == 0 && value.s == NULL) { /* "&&" */
            continue;
        }
        if (n == cap) {
            return false;
        }
        size_t from = out->n;
        form_decode(out, key);
        ret[n].name = str_since(out, from);
        from = out->n;
        form_decode(out, value);
        ret[n++].value = str_since(out, from);
    }
    *ret_n = n;
    return true;
}

json_t *form_parse(tn_str body)
{
    tn_http_pair *pairs = calloc(FORM_FIELDS_MAX, sizeof *pairs);
    struct str text = {0}, object = {0};
    json_t *v = NULL;
    size_t n = 0;
    if (pairs != NULL && form_pairs(body, &text, pairs, FORM_FIELDS_MAX, &n)) {
        form_object(&object, pairs, n);
        v = object.failed ? NULL : json_loadb(object.s, object.n, JSON_ALLOW_NUL, NULL);
    }
    str_free(&object);
    str_free(&text);
    free(pairs);
    return v;
}
