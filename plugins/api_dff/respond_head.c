/* SPDX-License-Identifier: Apache-2.0 */
/* Status and headers that a script asks for: checked before anything is sent, so that a wrong one
 * makes its own call fail and injects nothing. */
#include "respond.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#define MAX_CUSTOM_HEADERS 64

static bool fail(struct answer *a, const char *fmt, ...) TN_PRINTF(2, 3);
static bool fail(struct answer *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(a->why, sizeof a->why, fmt, ap);
    va_end(ap);
    return false;
}

tn_str answer_keep(struct answer *a, tn_str text)
{
    size_t from = a->text.n;
    if (a->text.cap - a->text.n <= text.n) {
        return (tn_str){NULL, 0};
    }
    add(&a->text, text);
    return str_since(&a->text, from);
}

/* Text of a JSON string, kept. */
static tn_str keep_string(struct answer *a, tn_str raw)
{
    size_t need = api.host->json->unquote(raw, NULL, 0), from = a->text.n;
    if (a->text.cap - a->text.n <= need) {
        return (tn_str){NULL, 0};
    }
    api.host->json->unquote(raw, a->text.s + a->text.n, need);
    a->text.n += need;
    return str_since(&a->text, from);
}

static bool truthy(const tn_json_member *m)
{
    return m->value.n > 0 && m->kind != TN_JSON_NULL && !text_is(m->value, "false") &&
           !text_is(m->value, "0") && !text_is(m->value, "\"\"");
}

bool answer_control(struct answer *a, const tn_call_result *result)
{
    struct control *c = &a->control;
    tn_json_member m[16];
    uint32_t kind, n = 0;
    tn_err err = TN_ERR_INIT;
    *c = (struct control){0};
    if (result->control.n == 0) {
        return true;
    }
    if (api.host->json->scan(result->control, &kind, m, 16, &n, &err) != TN_OK ||
        kind != TN_JSON_OBJECT) {
        return fail(a, "The response control of the worker cannot be read: %s", err.msg);
    }
    for (uint32_t i = 0; i < n; i++) {
        if (m[i].kind == TN_JSON_NULL) {
            continue;
        } else if (text_is(m[i].key, "statusCode")) {
            c->status = m[i];
        } else if (text_is(m[i].key, "contentType")) {
            c->type = m[i];
        } else if (text_is(m[i].key, "headers")) {
            c->headers = m[i];
        } else if (text_is(m[i].key, "download")) {
            c->download = m[i];
        } else if (text_is(m[i].key, "filePath")) {
            c->file = m[i];
        } else if (text_is(m[i].key, "allow304")) {
            c->allow304 = truthy(&m[i]);
        } else if (text_is(m[i].key, "autoDelete")) {
            c->auto_delete = truthy(&m[i]);
        }
    }
    /* Everything that is kept is a decoded part of the control or one of our own names; a name in
     * Content-Disposition grows at most sixfold. */
    size_t room = result->control.n * 8 + 512;
    if (str_room_for(&a->text, room) == NULL) {
        return fail(a, "Out of memory");
    }
    a->text.n = 0;
    return true;
}

/* "404", 404 and 404.0 are the same; informational statuses are no final answer. */
static bool take_status(struct answer *a)
{
    const tn_json_member *m = &a->control.status;
    tn_str text = m->kind == TN_JSON_STRING ? (tn_str){m->value.s + 1, m->value.n - 2} : m->value;
    int64_t status = 0;
    if (text.n > 2 && text.s[text.n - 1] == '0' && text.s[text.n - 2] == '.') {
        text.n -= 2;
    }
    if (!text_int(text, &status) || status < 200 || status > 999) {
        return fail(a, "Invalid status code in the response: %.*s (200 to 999 are possible)",
                    (int)(m->value.n > 100 ? 100 : m->value.n), m->value.s);
    }
    a->status = (uint32_t)status;
    return true;
}

/* Headers that frame the message belong to the server. */
static bool is_framing(tn_str name)
{
    static const char *const names[] = {"connection", "content-length",    "date",
                                        "keep-alive", "proxy-connection",  "te",
                                        "trailer",    "transfer-encoding", "upgrade"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (name.n == strlen(names[i]) && strncasecmp(name.s, names[i], name.n) == 0) {
            return true;
        }
    }
    return false;
}

/* Header fields are Latin-1 on the wire (RFC 9110 section 5.5); rewrites UTF-8 in place. */
static bool to_latin1(tn_str *t, char *own)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++) {
        unsigned char c = (unsigned char)t->s[i];
        if (c >= 0x80) {
            if ((c != 0xc2 && c != 0xc3) || i + 1 == t->n) {
                return false;
            }
            c = (unsigned char)(c << 6 | ((unsigned char)t->s[++i] & 0x3f));
        }
        own[n++] = (char)c;
    }
    t->n = n;
    return true;
}

/* One header of the script. It replaces one of ours of the same name; further ones of a list add up. */
static bool take_header(struct answer *a, tn_str name, tn_str value, bool replace)
{
    struct api_stamp *s = &a->stamp;
    tn_err err = TN_ERR_INIT;
    int shown = (int)(name.n > 64 ? 64 : name.n);
    if (is_framing(name)) {
        return fail(a, "Invalid header in the response: %.*s is set by the server", shown, name.s);
    }
    if (!to_latin1(&value, (char *)(uintptr_t)value.s)) {
        return fail(a,
                    "Invalid header in the response: the value of %.*s has characters outside "
                    "Latin-1",
                    shown, name.s);
    }
    if (api.host->http->header_check(name, value, &err) != TN_OK) {
        return fail(a, "Invalid header in the response: %s", err.msg);
    }
    a->has_type |= name.n == 12 && strncasecmp(name.s, "content-type", 12) == 0;
    for (uint32_t i = 0; replace && i < s->nheaders; i++) {
        if (s->headers[i].name.n == name.n &&
            strncasecmp(s->headers[i].name.s, name.s, name.n) == 0) {
            s->headers[i].value = value;
            s->nclean = i < s->nclean ? i : s->nclean;
            return true;
        }
    }
    return api_stamp_header(s, name, value)
               ? true
               : fail(a, "Too many headers in the response (at most %d)", MAX_CUSTOM_HEADERS);
}

static bool take_list(struct answer *a, tn_str name, tn_str raw)
{
    json_t *list = json_loadb(raw.s, raw.n, 0, NULL), *item;
    size_t i;
    bool ok = true;
    json_array_foreach(list, i, item)
    {
        tn_str value = answer_keep(a, (tn_str){json_string_value(item), json_string_length(item)});
        ok = json_is_string(item) && value.s != NULL
                 ? take_header(a, name, value, i == 0)
                 : fail(
                       a,
                       "Invalid header in the response: %.*s is a list of something else than text",
                       (int)(name.n > 64 ? 64 : name.n), name.s);
        if (!ok) {
            break;
        }
    }
    json_decref(list);
    return ok;
}

static bool take_headers(struct answer *a)
{
    tn_json_member m[MAX_CUSTOM_HEADERS + 1];
    uint32_t kind = TN_JSON_NULL, n = 0;
    if (a->control.headers.kind != TN_JSON_OBJECT) {
        return fail(a, "The headers of the response should be a dict");
    }
    api.host->json->scan(a->control.headers.value, &kind, m, MAX_CUSTOM_HEADERS + 1, &n, NULL);
    if (n > MAX_CUSTOM_HEADERS) {
        return fail(a, "Too many headers in the response (at most %d)", MAX_CUSTOM_HEADERS);
    }
    for (uint32_t i = 0; i < n; i++) {
        bool ok = true;
        tn_str name = (m[i].flags & TN_JSON_KEY_ESCAPED) != 0 ? keep_string(a, m[i].key) : m[i].key;
        switch (m[i].kind) {
        case TN_JSON_NULL:
            break;
        case TN_JSON_STRING:
            ok = take_header(a, name, keep_string(a, m[i].value), true);
            break;
        case TN_JSON_ARRAY:
            ok = take_list(a, name, m[i].value);
            break;
        case TN_JSON_NUMBER:
        case TN_JSON_BOOL:
            ok = take_header(a, name, answer_keep(a, m[i].value), true);
            break;
        default:
            ok = fail(a, "Invalid header in the response: %.*s is no text",
                      (int)(name.n > 64 ? 64 : name.n), name.s);
        }
        if (!ok) {
            return false;
        }
    }
    return true;
}

/* IMF-fixdate (RFC 9110 section 5.6.7) of now, formatted once a second. */
static tn_str http_now(void)
{
    static char text[32];
    static int64_t second = -1;
    int64_t now = api.host->wall_us() / 1000000;
    if (now != second) {
        time_t t = (time_t)now;
        struct tm tm;
        gmtime_r(&t, &tm);
        strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        second = now;
    }
    return (tn_str){text, 29};
}

bool answer_head(struct answer *a)
{
    if (a->control.status.value.n > 0 && !take_status(a)) {
        return false;
    }
    if (!a->control.allow304) {
        api_stamp_clean(&a->stamp, TN_STR("Last-Modified"), http_now());
    } else {
        a->stamp.flags |= TN_REPLY_ETAG;
    }
    return a->control.headers.value.n == 0 || take_headers(a);
}

bool answer_download(struct answer *a, tn_str *ret_name)
{
    const tn_json_member *m = &a->control.download;
    *ret_name = (tn_str){NULL, 0};
    if (!truthy(m)) {
        return false;
    }
    if (m->kind == TN_JSON_STRING) {
        *ret_name = keep_string(a, m->value);
    }
    return true;
}

/* RFC 6266 with the UTF-8 form of RFC 8187 when the name is not plain ASCII. */
bool answer_attach(struct answer *a, tn_str name)
{
    static const char hex[] = "0123456789ABCDEF";
    static const char attr[] = "!#$&+-.^_`|~";
    struct str *b = &a->text;
    const char *slash = name.n > 0 ? memrchr(name.s, '/', name.n) : NULL;
    bool ascii = true;
    if (slash != NULL) {
        name = (tn_str){slash + 1, name.n - (size_t)(slash + 1 - name.s)};
    }
    if (b->cap - b->n <= name.n * 4 + 64) {
        return fail(a, "The name of the attachment is too long");
    }
    size_t from = b->n;
    add_lit(b, "attachment; filename=\"");
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.s[i];
        bool bad = c < 0x20 || c >= 0x7f;
        ascii &= !bad && c != '%';
        if (c == '"' || c == '\\') {
            add_lit(b, "\\");
        }
        if (bad && (c & 0xc0) == 0x80) {
            continue; /* one "?" for each character, not for each byte */
        }
        add(b, bad ? TN_STR("?") : (tn_str){name.s + i, 1});
    }
    add_lit(b, "\"");
    if (!ascii) {
        add_lit(b, "; filename*=UTF-8''");
        for (size_t i = 0; i < name.n; i++) {
            unsigned char c = (unsigned char)name.s[i];
            bool plain = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
                         (c != 0 && strchr(attr, c) != NULL);
            char pct[3] = {'%', hex[c >> 4], hex[c & 15]};
            add(b, plain ? (tn_str){name.s + i, 1} : (tn_str){pct, 3});
        }
    }
    return take_header(a, TN_STR("Content-Disposition"), str_since(b, from), true);
}

tn_str answer_type(struct answer *a)
{
    const tn_json_member *m = &a->control.type;
    if (m->value.n == 0 || m->kind != TN_JSON_STRING) {
        return (tn_str){NULL, 0};
    }
    tn_str type = keep_string(a, m->value);
    if (type.n == 0) {
        return (tn_str){NULL, 0};
    }
    return memchr(type.s, '/', type.n) != NULL ? type : text_of(mime_of(type));
}
