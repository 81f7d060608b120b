/* SPDX-License-Identifier: Apache-2.0 */
/* The validation engine: one walk over a field table, for bodies and for query fields. */
#include "schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct check {
    char *why;
    size_t cap;
};

static bool ident_char(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (!first && c >= '0' && c <= '9');
}

static bool is_ident(tn_str t)
{
    for (size_t i = 0; i < t.n; i++) {
        if (!ident_char(t.s[i], i == 0)) {
            return false;
        }
    }
    return t.n > 0;
}

static const char *find2(tn_str t)
{
    return memmem(t.s, t.n, "__", 2);
}

/* The regular expressions of Appendix A, written out. */
static bool is_script_id(tn_str t)
{
    const char *mid = find2(t);
    return is_ident(t) && mid != NULL && mid > t.s && mid + 2 < t.s + t.n &&
           ident_char(mid[2], true);
}

static bool is_own_id(tn_str t)
{
    for (size_t i = 0; i < t.n; i++) {
        char c = t.s[i];
        if (!ident_char(c, false) && c != '-' && c != '.') {
            return false;
        }
    }
    return t.n > 0 && t.n <= 64;
}

static const struct {
    bool (*test)(tn_str);
    const char *text;
} patterns[] = {
    [PAT_IDENT] = {is_ident, "/^[a-zA-Z_][a-zA-Z0-9_]*$/"},
    [PAT_SET_ID] = {is_ident, "/^[a-zA-Z_][a-zA-Z0-9_]*$/"},
    [PAT_SCRIPT_ID] = {is_script_id, "/^[a-zA-Z_][a-zA-Z0-9_]*__[a-zA-Z_][a-zA-Z0-9_]*$/"},
    [PAT_OWN_ID] = {is_own_id, "/^[a-zA-Z0-9_.-]{1,64}$/"},
};

const char *schema_pattern(const struct field *f)
{
    return f->pattern != PAT_NONE ? patterns[f->pattern].text : NULL;
}

static json_t *bad(struct check *c, const char *path, const json_t *v, const char *checker,
                   const char *option)
{
    char *text = v != NULL ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    snprintf(c->why, c->cap, "Field `%s` value `%.200s%s` is not valid. (%s = %s)", path,
             text != NULL ? text : "", text != NULL && strlen(text) > 200 ? "..." : "", checker,
             option);
    free(text);
    return NULL;
}

static json_t *bad_int(struct check *c, const char *path, const json_t *v, const char *checker,
                       int32_t option)
{
    char text[16];
    snprintf(text, sizeof text, "%d", option);
    return bad(c, path, v, checker, text);
}

static bool in_choices(const char *choices, tn_str t)
{
    for (const char *p = choices; *p != '\0';) {
        size_t n = strcspn(p, "|");
        if (n == t.n && memcmp(p, t.s, n) == 0) {
            return true;
        }
        p += n + (p[n] == '|');
    }
    return false;
}

static json_t *bad_choice(struct check *c, const char *path, const json_t *v, const char *choices)
{
    struct str list = {0};
    str_char(&list, '[');
    for (const char *p = choices; *p != '\0';) {
        size_t n = strcspn(p, "|");
        str_quote(&list, (tn_str){p, n});
        p += n + (p[n] == '|');
        str_puts(&list, *p != '\0' ? "," : "");
    }
    str_char(&list, ']');
    bad(c, path, v, "in", str_view(&list).s);
    str_free(&list);
    return NULL;
}

static json_t *check_text(struct check *c, const struct field *f, const char *path, const json_t *v)
{
    if (!json_is_string(v)) {
        return bad(c, path, v, "type", "\"string\"");
    }
    tn_str t = {json_string_value(v), json_string_length(v)};
    int64_t chars = (int64_t)utf8_chars(t), us;
    if (f->type == F_TIME) {
        return iso_parse(t, &us) ? json_copy((json_t *)v) : bad(c, path, v, "isISO8601", "true");
    }
    if (f->max > 0 && f->min == f->max && chars != f->min) {
        return bad_int(c, path, v, "length", f->min);
    }
    if (chars < f->min) {
        return bad_int(c, path, v, "minLength", f->min);
    }
    if (f->max > 0 && chars > f->max) {
        return bad_int(c, path, v, "maxLength", f->max);
    }
    if (f->choices != NULL && !in_choices(f->choices, t)) {
        return bad_choice(c, path, v, f->choices);
    }
    if (f->pattern != PAT_NONE && !patterns[f->pattern].test(t)) {
        return bad(c, path, v, "matchRegExp", patterns[f->pattern].text);
    }
    if (f->pattern == PAT_SET_ID && find2(t) != NULL) {
        return bad(c, path, v, "notMatchRegExp", "/__/");
    }
    return json_copy((json_t *)v);
}

static json_t *check_object(struct check *c, const struct field *fields, const char *path,
                            const json_t *v);

static json_t *check_value(struct check *c, const struct field *f, const char *path,
                           const json_t *v)
{
    if (json_is_null(v) && (f->flags & FF_NULL) != 0) {
        return json_null();
    }
    switch (f->type) {
    case F_STR:
    case F_TIME:
        return check_text(c, f, path, v);
    case F_INT: {
        if (!json_is_integer(v)) {
            return bad(c, path, v, "type", "\"int\"");
        }
        json_int_t i = json_integer_value(v);
        bool bounded = f->min != 0 || f->max != 0;
        if (bounded && i < f->min) {
            return bad_int(c, path, v, "minValue", f->min);
        }
        if (f->max != 0 && i > f->max) {
            return bad_int(c, path, v, "maxValue", f->max);
        }
        return json_integer(i);
    }
    case F_BOOL:
        return json_is_boolean(v) ? json_incref((json_t *)v)
                                  : bad(c, path, v, "type", "\"boolean\"");
    case F_JSON:
        return json_is_object(v) ? json_deep_copy(v) : bad(c, path, v, "type", "\"json\"");
    case F_OBJ:
        return json_is_object(v) ? check_object(c, f->sub, path, v)
                                 : bad(c, path, v, "type", "\"object\"");
    case F_ARR: {
        if (!json_is_array(v)) {
            return bad(c, path, v, "type", "\"array\"");
        }
        if (json_array_size(v) < (size_t)f->min) {
            return bad_int(c, path, v, "minLength", f->min);
        }
        json_t *out = json_array();
        for (size_t i = 0; i < json_array_size(v); i++) {
            char item[256];
            snprintf(item, sizeof item, "%s[%zu]", path, i);
            json_t *one = check_value(c, f->sub, item, json_array_get(v, i));
            if (one == NULL) {
                json_decref(out);
                return NULL;
            }
            json_array_append_new(out, one);
        }
        return out;
    }
    default:
        return json_deep_copy(v);
    }
}

static json_t *check_object(struct check *c, const struct field *fields, const char *path,
                            const json_t *v)
{
    json_t *out = json_object();
    for (const struct field *f = fields; f->name != NULL; f++) {
        char name[256];
        snprintf(name, sizeof name, "%s%s%s", path, path[0] != '\0' ? "." : "", f->name);
        const json_t *member = json_object_get(v, f->name);
        if (member == NULL) {
            if ((f->flags & FF_REQUIRED) != 0) {
                snprintf(c->why, c->cap, "Field `%s` is missing.", name);
                goto undo_out;
            }
            continue;
        }
        json_t *one = check_value(c, f, name, member);
        if (one == NULL) {
            goto undo_out;
        }
        json_object_set_new(out, f->name, one);
    }
    return out;
undo_out:
    json_decref(out);
    return NULL;
}

json_t *schema_body(const struct field *fields, const json_t *body, char *why, size_t cap)
{
    struct check c = {why, cap};
    return check_object(&c, fields, "", body);
}

/* ---- query ----------------------------------------------------------------------------------- */
tn_str query_arg(const tn_http_req *req, const char *name)
{
    for (uint32_t i = req->nargs; i-- > 0;) {
        if (text_is(req->args[i].name, name)) {
            return req->args[i].value.s != NULL ? req->args[i].value : TN_STR("");
        }
    }
    return (tn_str){NULL, 0};
}

bool query_flag(const tn_http_req *req, const char *name)
{
    return text_bool(query_arg(req, name)) == 1;
}

static json_t *split_commas(tn_str t)
{
    json_t *out = json_array();
    while (t.n > 0) {
        const char *comma = memchr(t.s, ',', t.n);
        size_t n = comma != NULL ? (size_t)(comma - t.s) : t.n;
        if (n > 0) {
            json_array_append_new(out, json_stringn(t.s, n));
        }
        n += comma != NULL;
        t = (tn_str){t.s + n, t.n - n};
    }
    return out;
}

static json_t *convert(const struct field *f, tn_str t)
{
    int64_t i;
    int yes;
    json_t *v = NULL;
    switch (f->type) {
    case F_INT:
        v = text_int(t, &i) ? json_integer(i) : NULL;
        break;
    case F_BOOL:
        yes = text_bool(t);
        v = yes >= 0 ? json_boolean(yes) : NULL;
        break;
    case F_COMMA:
        v = split_commas(t);
        break;
    case F_JSONSTR:
        v = json_loadb(t.s, t.n, JSON_DECODE_ANY, NULL);
        break;
    default:
        v = json_stringn(t.s, t.n);
    }
    return v != NULL ? v : json_null();
}

json_t *schema_query(const struct field *fields, const tn_http_req *req, char *why, size_t cap)
{
    struct check c = {why, cap};
    json_t *out = json_object();
    for (const struct field *f = fields; f != NULL && f->name != NULL; f++) {
        tn_str t = query_arg(req, f->name);
        if (t.n == 0 || text_is(t, "_ALL")) {
            if (t.n == 0 && (f->flags & FF_REQUIRED) != 0) {
                snprintf(why, cap, "Field `%s` is missing.", f->name);
                goto undo_out;
            }
            continue;
        }
        if (text_is(t, "_NULL")) {
            json_object_set_new(out, f->name, json_null());
            continue;
        }
        json_t *v = convert(f, t);
        json_t *ok = f->type == F_STR ? check_value(&c, f, f->name, v) : json_incref(v);
        json_decref(v);
        if (ok == NULL) {
            goto undo_out;
        }
        json_object_set_new(out, f->name, ok);
    }
    return out;
undo_out:
    json_decref(out);
    return NULL;
}
