/* SPDX-License-Identifier: Apache-2.0 */
/* Python's repr() of a JSON value, for callers of the 1.x interface (returnType "repr" and "ALL").
 * What JSON no longer tells apart (tuples, dates) shows as what it became. */
#include "respond.h"

/* 'text' with Python's choice of quotes and escapes. */
static void write_text(struct str *out, const char *s, size_t n)
{
    char quote = memchr(s, '\'', n) != NULL && memchr(s, '"', n) == NULL ? '"' : '\'';
    str_char(out, quote);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == (unsigned char)quote || c == '\\') {
            str_printf(out, "\\%c", c);
        } else if (c == '\n' || c == '\r' || c == '\t') {
            str_puts(out, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
        } else if (c < 0x20 || c == 0x7f) {
            str_printf(out, "\\x%02x", c);
        } else {
            str_char(out, (char)c);
        }
    }
    str_char(out, quote);
}

static const char *skip_blank(const char *p)
{
    while (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t') {
        p++;
    }
    return p;
}

/* One value of valid, NUL-terminated JSON; numbers are copied, so they stay exact. Returns its end. */
static const char *write_value(struct str *out, const char *p)
{
    p = skip_blank(p);
    if (*p == '{' || *p == '[') {
        char close = *p == '{' ? '}' : ']';
        str_char(out, *p);
        p = skip_blank(p + 1);
        for (bool first = true; *p != close && *p != '\0'; first = false) {
            str_puts(out, first ? "" : ", ");
            p = skip_blank(write_value(out, p));
            if (*p == ':') {
                str_puts(out, ": ");
                p = skip_blank(write_value(out, p + 1));
            }
            p = *p == ',' ? skip_blank(p + 1) : p;
        }
        str_char(out, close);
        return *p != '\0' ? p + 1 : p;
    }
    if (*p == '"') {
        const char *end = p + 1;
        while (*end != '"' && *end != '\0') {
            end += end[0] == '\\' && end[1] != '\0' ? 2 : 1;
        }
        tn_str raw = {p, (size_t)(end + 1 - p)};
        struct str text = {0};
        size_t need = api.host->json->unquote(raw, NULL, 0);
        char *to = str_room_for(&text, need);
        if (to != NULL) {
            api.host->json->unquote(raw, to, need);
            write_text(out, to, need);
        }
        out->failed |= text.failed;
        str_free(&text);
        return end + 1;
    }
    size_t n = strcspn(p, ",:]} \t\r\n");
    tn_str word = {p, n};
    if (text_is(word, "true")) {
        str_puts(out, "True");
    } else if (text_is(word, "false")) {
        str_puts(out, "False");
    } else if (text_is(word, "null")) {
        str_puts(out, "None");
    } else {
        add(out, word);
    }
    return p + n;
}

void respond_repr(struct str *out, const tn_call_result *r)
{
    if (r->value_kind == TN_VALUE_NONE) {
        str_puts(out, "None");
    } else if (r->value_kind == TN_VALUE_TEXT) {
        write_text(out, r->value.s, r->value.n);
    } else if (api.host->json->scan(r->value, NULL, NULL, 0, NULL, NULL) == TN_OK) {
        char *text = text_dup(r->value);
        out->failed |= text == NULL;
        if (text != NULL) {
            write_value(out, text);
        }
        free(text);
    }
}
