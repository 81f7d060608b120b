/* SPDX-License-Identifier: Apache-2.0 */
/* What follows a list: picking fields, and sending it as JSON or CSV attachment. */
#include "list.h"

#include <errno.h>
#include <iconv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void pick_object(json_t *obj, const json_t *names, bool drop)
{
    if (!json_is_object(obj)) {
        return;
    }
    const char *key;
    json_t *v;
    void *next;
    json_object_foreach_safe(obj, next, key, v)
    {
        bool named = json_object_get(names, key) != NULL;
        if (named == drop) {
            json_object_del(obj, key);
        }
    }
}

void list_pick_fields(json_t *data, tn_str fields)
{
    if (fields.n == 0 || data == NULL) {
        return;
    }
    bool drop = fields.s[0] == '-';
    json_t *names = json_object();
    tn_str rest = {fields.s + drop, fields.n - drop};
    while (rest.n > 0) {
        const char *comma = memchr(rest.s, ',', rest.n);
        size_t n = comma != NULL ? (size_t)(comma - rest.s) : rest.n;
        char *name = n > 0 ? text_dup((tn_str){rest.s, n}) : NULL;
        if (name != NULL) {
            json_object_set_new(names, name, json_true());
        }
        free(name);
        n += comma != NULL;
        rest = (tn_str){rest.s + n, rest.n - n};
    }
    if (json_is_array(data)) {
        for (size_t i = 0; i < json_array_size(data); i++) {
            pick_object(json_array_get(data, i), names, drop);
        }
    } else {
        pick_object(data, names, drop);
    }
    json_decref(names);
}

/* RFC 4180; a leading = + - @ gets a quote so that spreadsheets do not run it. */
static void csv_cell(struct str *b, const json_t *v)
{
    char *owned = NULL;
    tn_str t = {NULL, 0};
    if (json_is_string(v)) {
        t = (tn_str){json_string_value(v), json_string_length(v)};
    } else if (!json_is_null(v) && v != NULL) {
        owned = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
        t = text_of(owned);
    }
    bool formula = json_is_string(v) && t.n > 0 && strchr("=+-@", t.s[0]) != NULL;
    if (formula ||
        (t.n > 0 && (memchr(t.s, ',', t.n) != NULL || memchr(t.s, '"', t.n) != NULL ||
                     memchr(t.s, '\n', t.n) != NULL || memchr(t.s, '\r', t.n) != NULL))) {
        str_puts(b, formula ? "\"'" : "\"");
        for (size_t i = 0; i < t.n; i++) {
            str_add(b, t.s + i, 1);
            if (t.s[i] == '"') {
                str_char(b, '"');
            }
        }
        str_char(b, '"');
    } else {
        str_text(b, t);
    }
    free(owned);
}

static void csv_rows(struct str *b, const json_t *rows)
{
    const json_t *first = json_array_get(rows, 0);
    const char *key;
    json_t *v;
    const char *sep = "";
    json_object_foreach((json_t *)first, key, v)
    {
        str_puts(b, sep);
        str_puts(b, key);
        sep = ",";
    }
    str_puts(b, "\r\n");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        sep = "";
        json_object_foreach((json_t *)first, key, v)
        {
            str_puts(b, sep);
            csv_cell(b, json_object_get(json_array_get(rows, i), key));
            sep = ",";
        }
        str_puts(b, "\r\n");
    }
}

/* UTF-8 to GBK; what GBK lacks becomes "?". */
static void to_gbk(struct str *b)
{
    iconv_t cd = iconv_open("GBK", "UTF-8");
    if (cd == (iconv_t)-1) {
        return;
    }
    struct str out = {0};
    char *in = b->s, buf[4096];
    size_t left = b->n;
    while (left > 0) {
        char *to = buf;
        size_t room = sizeof buf;
        size_t rc = iconv(cd, &in, &left, &to, &room);
        str_add(&out, buf, (size_t)(to - buf));
        if (rc == (size_t)-1 && errno != E2BIG) {
            str_char(&out, '?');
            do {
                in++;
                left--;
            } while (left > 0 && ((unsigned char)*in & 0xC0) == 0x80);
        }
    }
    iconv_close(cd);
    str_free(b);
    *b = out;
}

static int add_chunk(const char *s, size_t n, void *user)
{
    str_add(user, s, n);
    return ((struct str *)user)->failed ? -1 : 0;
}

void list_export(struct api_req *r, const json_t *data, tn_str format)
{
    bool csv = text_is(format, "csv");
    if (!csv && !text_is(format, "json")) {
        api_fail(r, EClientBadRequest, NULL,
                 json_pack("{s:s}", "message", "Field `export` must be json or csv."),
                 "Invalid request query");
        return;
    }
    struct str b = {0};
    if (csv && json_is_array(data)) {
        csv_rows(&b, data);
    } else {
        json_dump_callback(data, add_chunk, &b, JSON_INDENT(2) | JSON_ENCODE_ANY);
    }
    bool gbk = text_is(query_arg(r->http, "charset"), "gbk");
    if (gbk && b.n > 0) {
        to_gbk(&b);
    }
    tn_str path = r->http->path;
    const char *slash = memrchr(path.s, '/', path.n);
    tn_str base = slash != NULL ? (tn_str){slash + 1, path.n - (size_t)(slash + 1 - path.s)} : path;
    char disposition[160], type[64];
    snprintf(disposition, sizeof disposition, "attachment; filename=\"%.*s.%s\"",
             (int)(base.n > 64 ? 64 : base.n), base.s, csv ? "csv" : "json");
    snprintf(type, sizeof type, "%s; charset=%s", csv ? "text/csv" : "application/json",
             gbk ? "gbk" : "utf-8");
    struct api_stamp s;
    api_stamp_as(&s, r->http, r->trace);
    api_stamp_header(&s, TN_STR("Content-Disposition"), text_of(disposition));
    api_send(r->http, &s, 200, type, &b, NULL);
}
