/* SPDX-License-Identifier: Apache-2.0 */
/* reqDump of an error answer: method, URL and body with passwords, secrets and tokens masked. */
#include "mask.h"
#include "schema.h"

#include <stdlib.h>
#include <string.h>

#define MASK          "*****"
#define DUMP_CHARS    1000          /* of bodyDump */
#define DUMP_PARSE    (256u * 1024) /* larger bodies are not taken apart, an error may be on the loop */

bool mask_key(tn_str key)
{
    return text_has(key, "password") || text_has(key, "secret") || text_has(key, "token");
}

/* A password variable's value hides under a harmless name. */
static bool holds_password(const json_t *obj)
{
    const char *cast = json_string_value(json_object_get(obj, "autoTypeCasting"));
    return cast != NULL && strcmp(cast, "password") == 0;
}

void mask_json(json_t *v)
{
    if (json_is_object(v)) {
        bool hidden = holds_password(v);
        const char *key;
        json_t *member;
        void *next;
        json_object_foreach_safe(v, next, key, member) {
            /* Objects under such a name ("changePassword") are looked into, anything else hides. */
            bool shown = json_is_object(member) || json_is_null(member);
            if (!shown && (mask_key(text_of(key)) || (hidden && strcmp(key, "valueTEXT") == 0))) {
                json_object_set_new(v, key, json_string(MASK));
            } else {
                mask_json(member);
            }
        }
    } else if (json_is_array(v)) {
        for (size_t i = 0; i < json_array_size(v); i++) {
            mask_json(json_array_get(v, i));
        }
    }
}

static bool is_utf8(tn_str t)
{
    json_t *s = json_stringn(t.s, t.n);
    json_decref(s);
    return s != NULL;
}

/* As a JSON string whatever the bytes are: JSON must be UTF-8. */
static void quote_any(struct str *b, tn_str t)
{
    if (t.s == NULL || is_utf8(t)) {
        str_quote(b, t.s != NULL ? t : TN_STR(""));
        return;
    }
    char *copy = text_dup(t);
    for (size_t i = 0; copy != NULL && i < t.n; i++) {
        if ((unsigned char)copy[i] >= 0x80) {
            copy[i] = '?';
        }
    }
    str_quote(b, (tn_str){copy, copy != NULL ? t.n : 0});
    free(copy);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void url_decode(struct str *b, tn_str t)
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

/* Cuts the next "key=value" off a query or form text. */
static bool next_pair(tn_str *rest, tn_str *key, tn_str *value)
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

static void dump_url(struct str *b, tn_str target)
{
    const char *q = memchr(target.s, '?', target.n);
    struct str url = {0};
    str_add(&url, target.s, q != NULL ? (size_t)(q - target.s) : target.n);
    if (q != NULL) {
        tn_str rest = {q + 1, target.n - (size_t)(q - target.s) - 1}, key, value;
        char sep = '?';
        while (next_pair(&rest, &key, &value)) {
            str_char(&url, sep);
            sep = '&';
            str_text(&url, key);
            struct str name = {0};
            url_decode(&name, key);
            if (value.s != NULL) {
                str_char(&url, '=');
                str_text(&url, mask_key(str_view(&name)) ? TN_STR(MASK) : value);
            }
            str_free(&name);
        }
    }
    quote_any(b, str_view(&url));
    str_free(&url);
}

json_t *form_parse(tn_str body)
{
    json_t *obj = json_object();
    tn_str key, value;
    while (next_pair(&body, &key, &value)) {
        struct str k = {0}, v = {0};
        url_decode(&k, key);
        url_decode(&v, value);
        if (k.n > 0 && k.s != NULL) {
            json_t *text = json_stringn(str_view(&v).s, v.n);
            json_object_set_new(obj, k.s, text != NULL ? text : json_string("<binary>"));
        }
        str_free(&k);
        str_free(&v);
    }
    return obj;
}

/* The body as something that can be masked; NULL when it is opaque. */
static json_t *dumpable(const tn_http_req *req)
{
    tn_str body = {(const char *)req->body, req->body_len};
    tn_str type = tn_http_header(req, "content-type");
    if (body.n > DUMP_PARSE) {
        return NULL;
    }
    if (text_has(type, "x-www-form-urlencoded")) {
        return form_parse(body);
    }
    if (text_has(type, "text/plain")) {
        return json_stringn(body.s, body.n);
    }
    return json_loadb(body.s, body.n, JSON_DECODE_ANY, NULL);
}

static void dump_body(struct str *b, const tn_http_req *req)
{
    json_t *v = dumpable(req);
    if (v == NULL) {
        struct str note = {0};
        str_printf(&note, "<%zu bytes>", req->body_len);
        str_quote(b, str_view(&note));
        str_free(&note);
        return;
    }
    mask_json(v);
    char *text = json_dumps(v, JSON_INDENT(2) | JSON_ENCODE_ANY);
    json_decref(v);
    tn_str all = text_of(text);
    struct str cut = {0};
    size_t chars = 0, i = 0;
    while (i < all.n && (chars < DUMP_CHARS || ((unsigned char)all.s[i] & 0xC0) == 0x80)) {
        chars += ((unsigned char)all.s[i] & 0xC0) != 0x80;
        if (chars > DUMP_CHARS) {
            break;
        }
        i++;
    }
    str_add(&cut, all.s, i);
    if (i < all.n) {
        str_printf(&cut, "...\n(full length: %zu)", utf8_chars(all));
    }
    str_quote(b, str_view(&cut));
    str_free(&cut);
    free(text);
}

void api_req_dump(struct str *b, const tn_http_req *req)
{
    str_puts(b, "{\"method\":");
    quote_any(b, req->method);
    str_puts(b, ",\"url\":");
    dump_url(b, req->target.s != NULL ? req->target : TN_STR(""));
    if (req->body != NULL && req->body_len > 0) {
        str_puts(b, ",\"bodyDump\":");
        dump_body(b, req);
    }
    str_char(b, '}');
}
