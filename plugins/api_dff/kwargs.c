/* SPDX-License-Identifier: Apache-2.0 */
/* Keyword arguments of a call: the four forms of spec 2.2, fixed values and placeholders of spec 2.4.
 * JSON is scanned and passed on as text; no tree is built. */
#include "call.h"
#include "form.h"

#include <iconv.h>

static bool bad_json(struct call_refusal *why, const char *what, const char *error)
{
    str_puts(&why->detail, "{\"error\":");
    add_quote(&why->detail, text_of(error));
    str_puts(&why->detail, "}");
    return call_refuse(why, EClientBadRequest, NULL, "Invalid %s, bad JSON format", what);
}

static bool bad_body(struct call_refusal *why)
{
    return call_refuse(why, EClientBadRequest, NULL, "Invalid request body");
}

/* Without memory, too: the credential must not get through. */
static bool bad_hidden(struct call_refusal *why)
{
    return call_refuse(why, EClientBadRequest, NULL,
                       "A field of the API auth is given too often or cannot be taken out");
}

/* Text of a raw JSON string, into `to`. False without memory. */
static bool unquote(tn_str raw, struct str *to, tn_str *ret)
{
    size_t need = api.host->json->unquote(raw, NULL, 0), from = to->n;
    char *p = str_room_for(to, need);
    if (p == NULL) {
        return false;
    }
    api.host->json->unquote(raw, p, need);
    *ret = str_since(to, from);
    return true;
}

/* JSON text of an object as it stands in a query field or a string. */
static bool object_text(tn_str text, tn_str *ret, struct call_refusal *why)
{
    tn_err err = TN_ERR_INIT;
    uint32_t kind = TN_JSON_NULL;
    if (text.n > 0 && api.host->json->scan(text, &kind, NULL, 0, NULL, &err) != TN_OK) {
        return bad_json(why, "kwargs", err.msg);
    }
    if (kind != TN_JSON_OBJECT && kind != TN_JSON_NULL) {
        return bad_json(why, "kwargs", "kwargs should be an object");
    }
    *ret = kind == TN_JSON_OBJECT ? text : TN_STR("{}");
    return true;
}

bool kwargs_object(const tn_json_member *m, const char *name, tn_str *ret, struct call_refusal *why)
{
    tn_str text;
    switch (m->kind) {
    case TN_JSON_OBJECT:
        *ret = m->value;
        return true;
    case TN_JSON_NULL:
        return true;
    case TN_JSON_STRING:
        return unquote(m->value, &calls.scratch.kwargs, &text)
                   ? object_text(text, ret, why)
                   : call_refuse(why, ESys, NULL, "Out of memory");
    default:
        break;
    }
    return call_refuse_field(why, name, m->value, "json");
}

/* The text between the outer braces or brackets of valid JSON, without blanks around it. */
tn_str json_inside(tn_str text)
{
    const char *p = text.s, *end = text.s + text.n;
    while (p < end && *p != '{' && *p != '[') {
        p++;
    }
    p++;
    while (end > p && end[-1] != '}' && end[-1] != ']') {
        end--;
    }
    end--;
    while (p < end && (unsigned char)*p <= ' ') {
        p++;
    }
    return (tn_str){p, (size_t)(end - p)};
}

bool json_item(tn_str *rest, tn_str *ret)
{
    size_t i = 0, depth = 0;
    bool quoted = false;
    for (; i < rest->n; i++) {
        char c = rest->s[i];
        if (quoted) {
            i += c == '\\';
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            depth--;
        } else if (c == ',' && depth == 0) {
            break;
        }
    }
    if (rest->n == 0) {
        return false;
    }
    *ret = (tn_str){rest->s, i};
    i += i < rest->n;
    *rest = (tn_str){rest->s + i, rest->n - i};
    return true;
}

/* A JSON array as body of a simplified call becomes kwargs "0", "1" ... */
static tn_str array_as_object(tn_str text, struct str *out)
{
    tn_str rest = json_inside(text), item;
    size_t from = out->n;
    add_lit(out, "{");
    for (int64_t i = 0; json_item(&rest, &item); i++) {
        str_printf(out, "%s\"%lld\":", i > 0 ? "," : "", (long long)i);
        add(out, item);
    }
    add_lit(out, "}");
    return str_since(out, from);
}

/* Simplified POST: every member is a kwarg, but string members `kwargs` and `options` are JSON text
 * that must be right (spec 8.2 item 26). */
static bool simple_members(tn_str body, uint32_t n, tn_str *ret, struct call_refusal *why)
{
    const tn_json_member *m = calls.scratch.members;
    struct str *out = &calls.scratch.kwargs;
    bool special = false;
    for (uint32_t i = 0; i < n; i++) {
        special |= m[i].kind == TN_JSON_STRING &&
                   (text_is(m[i].key, "kwargs") || text_is(m[i].key, "options"));
    }
    if (!special) {
        *ret = body;
        return true;
    }
    size_t from = out->n;
    struct str text = {0};
    add_lit(out, "{");
    for (uint32_t i = 0; i < n; i++) {
        tn_str value = m[i].value;
        tn_err err = TN_ERR_INIT;
        bool kwargs = text_is(m[i].key, "kwargs");
        str_clear(&text);
        if (m[i].kind == TN_JSON_STRING && (kwargs || text_is(m[i].key, "options"))) {
            if (!unquote(m[i].value, &text, &value) ||
                api.host->json->scan(value, NULL, NULL, 0, NULL, &err) != TN_OK) {
                str_free(&text);
                return bad_json(why, kwargs ? "kwargs" : "options", err.msg);
            }
        }
        bool escaped = (m[i].flags & TN_JSON_KEY_ESCAPED) != 0;
        str_puts(out, i > 0 ? (escaped ? "," : ",\"") : (escaped ? "" : "\""));
        add(out, m[i].key);
        str_puts(out, escaped ? ":" : "\":");
        add(out, value);
    }
    add_lit(out, "}");
    str_free(&text);
    *ret = str_since(out, from);
    return true;
}

/* Media type without parameters equals `lower`. */
static bool type_is(tn_str type, const char *lower)
{
    size_t n = strlen(lower);
    if (type.s == NULL || type.n < n || strncasecmp(type.s, lower, n) != 0) {
        return false;
    }
    return type.n == n || type.s[n] == ';' || type.s[n] == ' ' || type.s[n] == '\t';
}

/* Text in the charset of its media type as a JSON string; unknown charsets are refused. */
static bool text_body(tn_str type, tn_str body, struct str *out)
{
    char charset[40] = "";
    for (size_t i = 0; i + 8 < type.n; i++) {
        if (strncasecmp(type.s + i, "charset=", 8) == 0) {
            size_t n = 0;
            for (i += 8; i < type.n && n < sizeof charset - 1; i++) {
                char c = type.s[i];
                if (c == ';' || c == ' ') {
                    break;
                }
                if (c != '"' && c != '/') {
                    charset[n++] = c;
                }
            }
            charset[n] = '\0';
        }
    }
    if (charset[0] == '\0' || strcasecmp(charset, "utf-8") == 0 ||
        strcasecmp(charset, "utf8") == 0) {
        add_quote(out, body);
        return true;
    }
    iconv_t cd = iconv_open("UTF-8", charset);
    if (cd == (iconv_t)-1) {
        return false;
    }
    struct str text = {0};
    size_t left = body.n, room = body.n * 4 + 4, cap = room;
    char *from = (char *)(uintptr_t)body.s, *to = str_room_for(&text, room);
    bool ok = to != NULL && iconv(cd, &from, &left, &to, &room) != (size_t)-1;
    iconv_close(cd);
    if (ok) {
        add_quote(out, (tn_str){text.s, cap - room});
    }
    str_free(&text);
    return ok;
}

/* Fields and files of a multipart body; `files` is absent when there are none. */
static void multipart_body(const tn_http_req *req, struct str *out, struct str *files)
{
    size_t n = 0;
    for (uint32_t i = 0; i < req->nparts; i++) {
        const tn_http_part *part = &req->parts[i];
        if (part->filename.s == NULL) {
            if (n < FORM_FIELDS_MAX) {
                calls.scratch.pairs[n++] = (tn_http_pair){part->name, part->value};
            }
            continue;
        }
        str_puts(files, files->n == 0 ? "[{\"filePath\":" : ",{\"filePath\":");
        add_quote(files, part->path);
        add_lit(files, ",\"originalname\":");
        add_quote(files, part->filename);
        add_lit(files, ",\"encoding\":");
        add_quote(files, part->encoding);
        add_lit(files, ",\"mimetype\":");
        add_quote(files, part->type.n > 0 ? part->type : TN_STR("application/octet-stream"));
        add_lit(files, ",\"size\":");
        add_int(files, (int64_t)part->size);
        add_lit(files, "}");
    }
    if (files->n > 0) {
        add_lit(files, "]");
    }
    form_object(out, calls.scratch.pairs, n);
}

enum body_kind { BODY_OBJECT, BODY_ARRAY, BODY_TEXT, BODY_BINARY };

/* The body as JSON in ret->body; for an object its members are in the scratch. */
static bool read_body(const tn_http_req *req, struct call_input *ret, enum body_kind *ret_kind,
                      uint32_t *ret_n, struct str *files, struct call_refusal *why)
{
    struct str *out = &calls.scratch.body;
    tn_str type = tn_http_header(req, "content-type");
    tn_str body = {(const char *)req->body, req->body_len};
    uint32_t kind = TN_JSON_OBJECT;
    size_t n;
    *ret_kind = BODY_OBJECT;
    ret->body = TN_STR("{}");
    *ret_n = 0;
    if (type.n > 10 && strncasecmp(type.s, "multipart/", 10) == 0) {
        if (req->nparts == 0) {
            return true;
        }
        multipart_body(req, out, files);
        ret->body = str_view(out);
    } else if (body.n == 0) {
        return true;
    } else if (type_is(type, "application/json")) {
        ret->body = body;
    } else if (type_is(type, "application/x-www-form-urlencoded")) {
        if (!form_pairs(body, &calls.scratch.decoded, calls.scratch.pairs, FORM_FIELDS_MAX, &n)) {
            return bad_body(why);
        }
        form_object(out, calls.scratch.pairs, n);
        ret->body = str_view(out);
    } else if (type_is(type, "text/plain")) {
        *ret_kind = BODY_TEXT;
        if (!text_body(type, body, out)) {
            return bad_body(why);
        }
        ret->body = str_view(out);
        return true;
    } else {
        *ret_kind = BODY_BINARY;
        add_lit(out, "{\"base64\":\"");
        add_base64(out, req->body, req->body_len);
        add_lit(out, "\"}");
        ret->body = str_view(out);
        return true;
    }
    if (out->failed) {
        return call_refuse(why, ESys, NULL, "Out of memory");
    }
    if (api.host->json->scan(ret->body, &kind, calls.scratch.members, SCRATCH_MEMBERS, ret_n,
                             NULL) != TN_OK ||
        (kind != TN_JSON_OBJECT && kind != TN_JSON_ARRAY)) {
        return bad_body(why);
    }
    *ret_kind = kind == TN_JSON_ARRAY ? BODY_ARRAY : BODY_OBJECT;
    return true;
}

/* `object` with one more member at its end. */
static tn_str with_member(tn_str object, tn_str key, tn_str value)
{
    struct str *out = &calls.scratch.merged;
    size_t from = out->n;
    tn_str members = json_inside(object);
    add_lit(out, "{");
    add(out, members);
    if (members.n > 0) {
        add_lit(out, ",");
    }
    add_quote(out, key);
    add_lit(out, ":");
    add(out, value);
    add_lit(out, "}");
    return str_since(out, from);
}

static bool read_post(const tn_http_req *req, enum call_form form, const tn_http_pair *hidden,
                      uint32_t nhidden, struct call_input *ret, struct call_refusal *why)
{
    const tn_json_member *m = calls.scratch.members;
    struct str files = {0};
    enum body_kind kind;
    uint32_t n = 0;
    bool ok = read_body(req, ret, &kind, &n, &files, why);
    if (ok && nhidden > 0 && kind == BODY_OBJECT) {
        ok = (kwargs_hide(&ret->body, "body", hidden, nhidden, &calls.scratch.body) &&
              api.host->json->scan(ret->body, NULL, calls.scratch.members, SCRATCH_MEMBERS, &n,
                                   NULL) == TN_OK) ||
             bad_hidden(why);
    }
    if (!ok || form == FORM_OTHER) {
        goto undo_files;
    }
    if (form == FORM_SIMPLE) {
        switch (kind) {
        case BODY_OBJECT:
            ok = simple_members(ret->body, n, &ret->kwargs, why);
            break;
        case BODY_ARRAY:
            ret->kwargs = array_as_object(ret->body, &calls.scratch.kwargs);
            break;
        case BODY_TEXT:
            ret->kwargs = with_member(TN_STR("{}"), TN_STR("text"), ret->body);
            break;
        case BODY_BINARY:
            ret->kwargs = ret->body;
            break;
        }
    } else if (kind == BODY_OBJECT) {
        for (uint32_t i = 0; ok && i < n; i++) {
            if (text_is(m[i].key, "kwargs")) {
                ok = kwargs_object(&m[i], "kwargs", &ret->kwargs, why);
            } else if (text_is(m[i].key, "options")) {
                ret->options = m[i].value;
            }
        }
    }
    if (ok && files.n > 0) {
        ret->kwargs = with_member(ret->kwargs, TN_STR("files"), str_view(&files));
    }
undo_files:
    ok = ok && (!files.failed || call_refuse(why, ESys, NULL, "Out of memory"));
    str_free(&files);
    return ok;
}

void kwargs_reset(void)
{
    struct call_scratch *x = &calls.scratch;
    str_reset(&x->decoded);
    str_reset(&x->query);
    str_reset(&x->body);
    str_reset(&x->kwargs);
    str_reset(&x->merged);
    str_reset(&x->http);
}

bool kwargs_read(const tn_http_req *req, enum call_form form, struct call_input *ret,
                 struct call_refusal *why)
{
    return kwargs_read_without(req, form, NULL, 0, ret, why);
}

bool kwargs_read_without(const tn_http_req *req, enum call_form form, const tn_http_pair *hidden,
                         uint32_t nhidden, struct call_input *ret, struct call_refusal *why)
{
    bool ok = true;
    kwargs_reset();
    *ret = (struct call_input){TN_STR("{}"), {NULL, 0}, TN_STR("{}"), TN_STR("{}")};
    if (req->nargs > 0) {
        form_object(&calls.scratch.query, req->args, req->nargs);
        ret->query = str_view(&calls.scratch.query);
        if (!kwargs_hide(&ret->query, "query", hidden, nhidden, &calls.scratch.query)) {
            return bad_hidden(why);
        }
    }
    if (!text_is(req->method, "GET") && !text_is(req->method, "HEAD")) {
        ok = read_post(req, form, hidden, nhidden, ret, why);
    } else if (form == FORM_SIMPLE) {
        ret->kwargs = ret->query;
    } else if (form == FORM_NORMAL) {
        for (uint32_t i = 0; ok && i < req->nargs; i++) {
            if (text_is(req->args[i].name, "kwargs")) {
                ok = object_text(req->args[i].value, &ret->kwargs, why);
            } else if (text_is(req->args[i].name, "options")) {
                ret->options = req->args[i].value;
            }
        }
    }
    const struct call_scratch *x = &calls.scratch;
    if (ok && (x->query.failed || x->body.failed || x->kwargs.failed || x->merged.failed)) {
        return call_refuse(why, ESys, NULL, "Out of memory");
    }
    return ok;
}

/* The caller gave a value for a field whose value is fixed. */
static bool refuse_fixed(const struct snap_api *sapi, const tn_json_member *m, tn_str name,
                         struct call_refusal *why)
{
    str_puts(&why->detail, "{\"kwargsField\":");
    add_quote(&why->detail, name);
    str_puts(&why->detail, ",\"kwargsValue\":");
    add(&why->detail, m->value);
    str_puts(&why->detail, ",\"funcId\":");
    add_quote(&why->detail, sapi->func_id);
    str_puts(&why->detail, "}");
    return call_refuse(why, EClientBadRequest, NULL, "Cannot specify a fixed kwargs field");
}

bool kwargs_merge(const struct snap_api *sapi, tn_str given, tn_str *ret, struct call_refusal *why)
{
    tn_json_member *m = calls.scratch.members;
    struct str *out = &calls.scratch.merged;
    uint32_t kind, n = 0;
    if (sapi->nfixed == 0) {
        *ret = given;
        return true;
    }
    if (api.host->json->scan(given, &kind, m, SCRATCH_MEMBERS, &n, NULL) != TN_OK) {
        return bad_json(why, "kwargs", "kwargs should be an object");
    }
    for (uint32_t i = 0; i < n; i++) {
        tn_str name = m[i].key;
        if ((m[i].flags & TN_JSON_KEY_ESCAPED) != 0 &&
            !unquote(m[i].key, &calls.scratch.kwargs, &name)) {
            return call_refuse(why, ESys, NULL, "Out of memory");
        }
        const struct snap_kwarg *fixed = snap_kwarg_find(sapi, name);
        if (fixed != NULL && !fixed->placeholder) {
            return refuse_fixed(sapi, &m[i], name, why);
        }
    }
    size_t from = out->n;
    tn_str members = json_inside(given);
    /* `given` may lie in `out` itself: make room first, then look at it again. */
    ptrdiff_t at = out->s != NULL && members.s >= out->s && members.s <= out->s + out->n
                       ? members.s - out->s
                       : -1;
    char *to = str_room_for(out, members.n + sapi->fixed.n + 3);
    if (to == NULL) {
        return call_refuse(why, ESys, NULL, "Out of memory");
    }
    const char *source = at >= 0 ? out->s + at : members.s;
    *to++ = '{';
    memcpy(to, source, members.n);
    to += members.n;
    if (members.n > 0) {
        *to++ = ',';
    }
    memcpy(to, sapi->fixed.s, sapi->fixed.n);
    to += sapi->fixed.n;
    *to++ = '}';
    *ret = (tn_str){out->s + from, (size_t)(to - (out->s + from))};
    return true;
}
