/* SPDX-License-Identifier: Apache-2.0 */
/* reqDump of an error answer: method, URL and body with passwords, secrets and tokens masked. */
#include "mask.h"
#include "form.h"

#include <stdlib.h>
#include <string.h>

#define MASK       "*****"
#define DUMP_CHARS 1000         /* of bodyDump */
#define DUMP_PARSE (64u * 1024) /* larger bodies stay closed: an error may be on the loop */

bool mask_word(tn_str text)
{
    static const char *const words[] = {"password", "secret",     "token",
                                        "apikey",   "api_key",    "tlskey",
                                        "tls_key",  "privatekey", "private_key"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (text_has(text, words[i])) {
            return true;
        }
    }
    return false;
}

static json_t *named_secrets; /* names of secret settings; written before there are requests */

bool mask_key(tn_str key)
{
    char name[64];
    return mask_word(key) ||
           (key.n < sizeof name &&
            json_object_get(named_secrets, text_snake(key, name, sizeof name)) != NULL);
}

tn_rc mask_more(const char *name, tn_err *err)
{
    named_secrets = named_secrets != NULL ? named_secrets : json_object();
    return json_object_set_new(named_secrets, name, json_true()) == 0
               ? TN_OK
               : api.host->fail(err, TN_E_NOMEM, "no memory for names of secrets");
}

/* A password variable's value hides under a harmless name, and so does a fixed field's (API auth). */
static bool holds_password(const json_t *obj)
{
    const char *cast = json_string_value(json_object_get(obj, "autoTypeCasting"));
    return cast != NULL && strcmp(cast, "password") == 0;
}

void mask_json(json_t *v)
{
    if (json_is_object(v)) {
        bool hidden = holds_password(v), field = json_object_get(v, "location") != NULL;
        const char *key;
        json_t *member;
        void *next;
        json_object_foreach_safe(v, next, key, member)
        {
            /* Objects under such a name ("changePassword") are looked into, anything else hides. */
            bool shown = json_is_object(member) || json_is_null(member);
            if (!shown && (mask_key(text_of(key)) || (hidden && strcmp(key, "valueTEXT") == 0) ||
                           (field && strcmp(key, "value") == 0))) {
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

/* closed: no value is shown, whatever its name. */
static void dump_url(struct str *b, tn_str target, bool closed)
{
    const char *q = memchr(target.s, '?', target.n);
    struct str url = {0};
    str_add(&url, target.s, q != NULL ? (size_t)(q - target.s) : target.n);
    if (q != NULL) {
        tn_str rest = {q + 1, target.n - (size_t)(q - target.s) - 1}, key, value;
        char sep = '?';
        while (form_next(&rest, &key, &value)) {
            str_char(&url, sep);
            sep = '&';
            str_text(&url, key);
            struct str name = {0};
            form_decode(&name, key);
            if (value.s != NULL) {
                str_char(&url, '=');
                str_text(&url, closed || mask_key(str_view(&name)) ? TN_STR(MASK) : value);
            }
            str_free(&name);
        }
    }
    str_quote_any(b, str_view(&url));
    str_free(&url);
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

static void dump_request(struct str *b, const tn_http_req *req, bool closed)
{
    str_puts(b, "{\"method\":");
    str_quote_any(b, req->method);
    str_puts(b, ",\"url\":");
    dump_url(b, req->target.s != NULL ? req->target : TN_STR(""), closed);
    if (!closed && req->body != NULL && req->body_len > 0) {
        str_puts(b, ",\"bodyDump\":");
        dump_body(b, req);
    }
    str_char(b, '}');
}

void api_req_dump(struct str *b, const tn_http_req *req)
{
    dump_request(b, req, false);
}

void api_req_dump_closed(struct str *b, const tn_http_req *req)
{
    dump_request(b, req, true);
}
