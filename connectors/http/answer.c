/* SPDX-License-Identifier: Apache-2.0 */
/* Answers as scripts get them: status, headers, and a body that is JSON, text or bytes. */
#include "common/json_cut.h"
#include "common/utf8.h"
#include "web.h"

#include <string.h>
#include <strings.h>

static int has(const char *text, const char *word)
{
    size_t n = strlen(word);
    for (; text != NULL && *text != '\0'; text++) {
        if (strncasecmp(text, word, n) == 0) {
            return 1;
        }
    }
    return 0;
}

static int is_json(const struct http_reply *r)
{
    const char *type = http_find(r, "content-type");
    return (has(type, "application/json") || has(type, "+json")) &&
           json_valid((tn_str){r->body.s, r->body.n});
}

/* Text of the web: UTF-8, or what says to be text and to be Latin-1. */
static int is_text(const struct http_reply *r)
{
    const char *type = http_find(r, "content-type");
    int texty = type == NULL || has(type, "text/") || has(type, "json") || has(type, "xml") ||
                has(type, "javascript") || has(type, "charset=") ||
                has(type, "x-www-form-urlencoded") || has(type, "yaml");
    return texty &&
           (utf8_valid(r->body.s != NULL ? r->body.s : "", r->body.n) || has(type, "8859-1"));
}

tn_rc web_look(struct web_result *r, tn_str parse, tn_err *err)
{
    static const char *const names[] = {"auto", "json", "text", "bytes"};
    int want = -1;
    for (int i = 0; i < 4; i++) {
        want = parse.n == strlen(names[i]) && memcmp(parse.s, names[i], parse.n) == 0 ? i : want;
    }
    if (want < 0) {
        return web_host->fail(err, TN_E_INVAL, "parse is auto, json, text or bytes");
    }
    r->shown = want;
    if (want == WEB_AUTO) {
        r->shown = is_json(&r->reply) ? WEB_JSON : is_text(&r->reply) ? WEB_TEXT : WEB_BYTES;
    } else if (want == WEB_JSON && !json_valid((tn_str){r->reply.body.s, r->reply.body.n})) {
        const char *type = http_find(&r->reply, "content-type");
        web_host->fail(err, TN_E_REMOTE,
                       "the answer is no JSON (content type %.80s, %zu bytes, status %ld)",
                       type != NULL ? type : "none", r->reply.body.n, r->reply.status);
        if (err != NULL) {
            err->native = (int32_t)r->reply.status;
        }
        return TN_E_REMOTE;
    }
    return TN_OK;
}

/* ---- describing -------------------------------------------------------------------------------------- */

static tn_val text_of(const char *s, size_t n)
{
    return (tn_val){.type = TN_T_STR, .n = (uint32_t)n, .u.s = n != 0 ? s : ""};
}

/* Latin-1 as UTF-8: each byte is its own code point. */
static tn_rc emit_latin1(const char *s, size_t n, tn_sink *to)
{
    struct grow text = {0};
    for (size_t i = 0; i < n; i++) {
        unsigned char b = (unsigned char)s[i];
        if (b < 0x80) {
            grow_char(&text, (char)b);
        } else {
            grow_char(&text, (char)(0xc0 | b >> 6));
            grow_char(&text, (char)(0x80 | (b & 0x3f)));
        }
    }
    tn_val v = text_of(text.s, text.n);
    tn_rc rc = text.rc == TN_OK ? to->ops->scalar(to, &v) : text.rc;
    grow_free(&text);
    return rc;
}

static tn_rc emit_body(const struct web_result *r, tn_sink *to)
{
    const struct grow *b = &r->reply.body;
    tn_val v = text_of(b->s, b->n);
    if (r->shown == WEB_TEXT && !utf8_valid(v.u.s, v.n)) {
        return emit_latin1(b->s, b->n, to);
    }
    if (r->shown == WEB_JSON) {
        v.flags = TN_V_JSON;
    } else if (r->shown == WEB_BYTES) {
        v.type = TN_T_BYTES;
    }
    return to->ops->scalar(to, &v);
}

/* The text of a header: UTF-8, or what headers were before, Latin-1. */
static tn_rc emit_value(const char *s, size_t n, tn_sink *to)
{
    tn_val v = text_of(s, n);
    return utf8_valid(v.u.s, v.n) ? to->ops->scalar(to, &v) : emit_latin1(s, n, to);
}

/* A header that came several times is one text with commas (RFC 9110, 5.3); cookies cannot be joined and are a list. */
static tn_rc emit_header(const struct http_reply *r, const char *name, tn_sink *to)
{
    const char *end = r->headers.s + r->headers.n;
    int list = strcmp(name, "set-cookie") == 0;
    struct grow all = {0};
    tn_rc rc = list ? to->ops->list_begin(to, -1) : TN_OK;
    uint32_t n = 0;
    for (const char *p = name, *value; rc == TN_OK && p < end; p = value + strlen(value) + 1) {
        value = p + strlen(p) + 1;
        if (strcmp(p, name) != 0) {
            continue;
        }
        if (list) {
            rc = emit_value(value, strlen(value), to);
        } else {
            grow_text(&all, n++ != 0 ? ", " : "");
            grow_text(&all, value);
        }
    }
    if (rc == TN_OK && list) {
        rc = to->ops->list_end(to);
    } else if (rc == TN_OK) {
        rc = all.rc == TN_OK ? emit_value(all.s, all.n, to) : all.rc;
    }
    grow_free(&all);
    return rc;
}

static tn_rc emit_headers(const struct http_reply *r, tn_sink *to)
{
    const char *from = r->headers.s, *end = from + r->headers.n;
    tn_rc rc = to->ops->map_begin(to, -1);
    for (const char *p = from, *value; rc == TN_OK && p < end; p = value + strlen(value) + 1) {
        value = p + strlen(p) + 1;
        if (http_find(r, p) == value) { /* the first of its name speaks for all */
            rc = to->ops->key(to, p, (uint32_t)strlen(p));
            rc = rc == TN_OK ? emit_header(r, p, to) : rc;
        }
    }
    return rc == TN_OK ? to->ops->map_end(to) : rc;
}

static tn_rc emit_dict(const struct web_result *r, tn_sink *to)
{
    const tn_val status = {.type = TN_T_INT, .u.i = r->reply.status};
    const tn_val url = text_of(r->reply.url.s, r->reply.url.n);
    tn_rc rc = to->ops->map_begin(to, 4);
    rc = rc == TN_OK ? to->ops->key(to, "status", 6) : rc;
    rc = rc == TN_OK ? to->ops->scalar(to, &status) : rc;
    rc = rc == TN_OK ? to->ops->key(to, "url", 3) : rc;
    rc = rc == TN_OK ? to->ops->scalar(to, &url) : rc;
    rc = rc == TN_OK ? to->ops->key(to, "headers", 7) : rc;
    rc = rc == TN_OK ? emit_headers(&r->reply, to) : rc;
    rc = rc == TN_OK ? to->ops->key(to, "body", 4) : rc;
    rc = rc == TN_OK ? emit_body(r, to) : rc;
    return rc == TN_OK ? to->ops->map_end(to) : rc;
}

tn_rc web_emit(void *inst, const tn_result *result, tn_sink *sink, tn_err *err)
{
    const struct web_result *r = result->native;
    const tn_val none = {.type = TN_T_NULL},
                 status = {.type = TN_T_INT, .u.i = r != NULL ? r->reply.status : 0};
    tn_rc rc;
    (void)inst, (void)err;
    if (r == NULL || r->form == WEB_NONE) {
        return sink->ops->scalar(sink, &none);
    }
    if (r->form == WEB_DICT) {
        return emit_dict(r, sink);
    }
    rc = sink->ops->list_begin(sink, 2);
    if (r->form == WEB_PAIR) {
        rc = rc == TN_OK ? sink->ops->scalar(sink, &status) : rc;
        rc = rc == TN_OK ? emit_body(r, sink) : rc;
    } else if (r->reply.body.n != 0) {
        rc = rc == TN_OK ? emit_body(r, sink) : rc;
    }
    return rc == TN_OK ? sink->ops->list_end(sink) : rc;
}
