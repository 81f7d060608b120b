/* SPDX-License-Identifier: Apache-2.0 */
/* Where a field stands in a request: headers, query, and the bodies that have names. A name that is
 * given twice counts as none, so that one request cannot try several values. */
#include "fixed_field.h"

#include <string.h>
#include <strings.h>

#define MEMBERS_MAX 10000 /* the most keys the scanner lets an object have */

/* Loop thread only; touched as far as a body needs it. */
static tn_json_member members[MEMBERS_MAX];
static char room[VALUE_MAX + 1];

static bool same(tn_str a, tn_str b)
{
    return a.n == b.n && memcmp(a.s, b.s, a.n) == 0;
}

/* "a[b][c]" is the form's way to write the path "a.b.c". */
static bool names(tn_str form, tn_str path)
{
    size_t k = 0;
    for (size_t i = 0; i < form.n; i++) {
        char c = form.s[i];
        if (c == ']') {
            continue;
        }
        if (k == path.n || path.s[k] != (c == '[' ? '.' : c)) {
            return false;
        }
        k++;
    }
    return k == path.n;
}

struct pick {
    enum found found;
    tn_str value;
};

static void pick_add(struct pick *p, tn_str value)
{
    p->found = p->found == FOUND_NOT && value.n <= VALUE_MAX ? FOUND_ONE : FOUND_UNCLEAR;
    p->value = value;
}

static struct pick in_headers(const tn_http_req *req, tn_str name)
{
    struct pick p = {FOUND_NOT, {NULL, 0}};
    for (uint32_t i = 0; i < req->nheaders; i++) {
        if (same(req->headers[i].name, name)) {
            pick_add(&p, req->headers[i].value);
        }
    }
    return p;
}

static struct pick in_pairs(const tn_http_req *req, tn_str path)
{
    struct pick p = {FOUND_NOT, {NULL, 0}};
    for (uint32_t i = 0; i < req->nargs; i++) {
        if (names(req->args[i].name, path)) {
            pick_add(&p, req->args[i].value);
        }
    }
    return p;
}

static struct pick in_parts(const tn_http_req *req, tn_str path)
{
    struct pick p = {FOUND_NOT, {NULL, 0}};
    for (uint32_t i = 0; i < req->nparts; i++) {
        if (req->parts[i].filename.s == NULL && names(req->parts[i].name, path)) {
            pick_add(&p, req->parts[i].value);
        }
    }
    return p;
}

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Decodes one side of a form field; false when it is longer than `cap`. */
static bool decode(tn_str t, char *out, size_t cap, tn_str *ret)
{
    size_t n = 0;
    for (size_t i = 0; i < t.n; i++) {
        int hi = i + 2 < t.n && t.s[i] == '%' ? hex(t.s[i + 1]) : -1;
        int lo = hi >= 0 ? hex(t.s[i + 2]) : -1;
        if (n == cap) {
            return false;
        }
        if (lo >= 0) {
            out[n++] = (char)(hi << 4 | lo);
            i += 2;
        } else {
            out[n++] = t.s[i] == '+' ? ' ' : t.s[i];
        }
    }
    *ret = (tn_str){out, n};
    return true;
}

static struct pick in_form(tn_str body, tn_str path)
{
    struct pick p = {FOUND_NOT, {NULL, 0}};
    char text[2 * PATH_BYTES];
    while (body.n > 0) {
        const char *end = memchr(body.s, '&', body.n);
        tn_str field = {body.s, end != NULL ? (size_t)(end - body.s) : body.n}, name;
        const char *eq = memchr(field.s, '=', field.n);
        size_t n = eq != NULL ? (size_t)(eq - field.s) : field.n;
        body.s += field.n + (end != NULL);
        body.n -= field.n + (end != NULL);
        if (!decode((tn_str){field.s, n}, text, sizeof text, &name) || !names(name, path)) {
            continue;
        }
        tn_str value = {field.s + n + (eq != NULL), field.n - n - (eq != NULL)};
        tn_str plain = {room, VALUE_MAX + 1};
        (void)decode(value, room, VALUE_MAX, &plain); /* too long: plain says so */
        pick_add(&p, plain);
    }
    return p;
}

static struct pick in_json(tn_str body, tn_str path)
{
    struct pick p = {FOUND_NOT, {NULL, 0}};
    const tn_json_member *m = body.n > 0
                                  ? tn_json_at(fixed_host->json, body, path, members, MEMBERS_MAX)
                                  : NULL;
    if (m == NULL || m->kind == TN_JSON_NULL) {
        return p;
    }
    if (m->kind == TN_JSON_NUMBER || m->kind == TN_JSON_BOOL) {
        pick_add(&p, m->value);
    } else if (m->kind == TN_JSON_STRING) {
        size_t n = fixed_host->json->unquote(m->value, NULL, 0);
        if (n <= VALUE_MAX) {
            fixed_host->json->unquote(m->value, room, n);
        }
        pick_add(&p, (tn_str){room, n});
    } else {
        p.found = FOUND_UNCLEAR;
    }
    return p;
}

static bool type_is(tn_str type, const char *lower)
{
    size_t n = strlen(lower);
    return type.n >= n && strncasecmp(type.s, lower, n) == 0 &&
           (type.n == n || type.s[n] == ';' || type.s[n] == ' ' || type.s[n] == '\t');
}

static struct pick in_body(const tn_http_req *req, tn_str path)
{
    tn_str type = tn_http_header(req, "content-type");
    tn_str body = {(const char *)req->body, req->body != NULL ? req->body_len : 0};
    if (type_is(type, "application/json")) {
        return in_json(body, path);
    }
    return type_is(type, "application/x-www-form-urlencoded") ? in_form(body, path)
                                                              : in_parts(req, path);
}

enum found field_find(const tn_http_req *req, const struct field *f, tn_str *ret)
{
    static struct pick (*const finders[])(const tn_http_req *, tn_str) = {
        [PLACE_HEADER] = in_headers, [PLACE_QUERY] = in_pairs, [PLACE_BODY] = in_body};
    struct pick p = finders[f->place](req, f->name);
    *ret = p.value;
    return p.found;
}
