/* SPDX-License-Identifier: Apache-2.0 */
/* Cutting JSON. */
#include "common/json_cut.h"
#include "common/utf8.h"

#include <stdlib.h>
#include <string.h>

/* ---- is it JSON? ------------------------------------------------------------------------------------- */

static const char *blanks(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')) {
        p++;
    }
    return p;
}

static int digit(const char *p, const char *end)
{
    return p < end && *p >= '0' && *p <= '9';
}

static const char *check_digits(const char *p, const char *end)
{
    if (!digit(p, end)) {
        return NULL;
    }
    while (digit(p, end)) {
        p++;
    }
    return p;
}

/* Each check_x() takes what begins at p and returns the place behind it; NULL: it is none. */
static const char *check_number(const char *p, const char *end)
{
    p += *p == '-';
    if (p < end && *p == '0') {
        p++;
    } else if ((p = check_digits(p, end)) == NULL) {
        return NULL;
    }
    if (p < end && *p == '.' && (p = check_digits(p + 1, end)) == NULL) {
        return NULL;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        p += p < end && (*p == '+' || *p == '-');
        p = check_digits(p, end);
    }
    return p;
}

static int hex4(const char *p, const char *end)
{
    int v = 0;
    if (end - p < 4) {
        return -1;
    }
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int d = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (d < 0) {
            return -1;
        }
        v = v << 4 | d;
    }
    return v;
}

static const char *check_string(const char *p, const char *end)
{
    for (p++; p < end && *p != '"'; p++) {
        if ((unsigned char)*p < ' ') {
            return NULL;
        }
        if (*p == '\\') {
            p++;
            if (p >= end || strchr("\"\\/bfnrtu", *p) == NULL || *p == '\0') {
                return NULL;
            }
            if (*p == 'u') {
                if (hex4(p + 1, end) < 0) {
                    return NULL;
                }
                p += 4;
            }
        }
    }
    return p < end ? p + 1 : NULL;
}

static const char *check_word(const char *p, const char *end, const char *word)
{
    size_t n = strlen(word);
    return (size_t)(end - p) >= n && memcmp(p, word, n) == 0 ? p + n : NULL;
}

static const char *check_value(const char *p, const char *end, int depth);

static const char *check_items(const char *p, const char *end, int depth)
{
    char close = *p == '{' ? '}' : ']';
    p = blanks(p + 1, end);
    if (p < end && *p == close) {
        return p + 1;
    }
    while (p != NULL && p < end) {
        if (close == '}') {
            p = *p == '"' ? check_string(p, end) : NULL;
            p = p != NULL ? blanks(p, end) : NULL;
            if (p == NULL || p >= end || *p != ':') {
                return NULL;
            }
            p++;
        }
        p = check_value(blanks(p, end), end, depth + 1);
        p = p != NULL ? blanks(p, end) : NULL;
        if (p == NULL || p >= end) {
            return NULL;
        }
        if (*p == close) {
            return p + 1;
        }
        p = *p == ',' ? blanks(p + 1, end) : NULL;
    }
    return NULL;
}

static const char *check_value(const char *p, const char *end, int depth)
{
    if (p >= end || depth > JSON_DEPTH_MAX) {
        return NULL;
    }
    switch (*p) {
    case '{':
    case '[':
        return check_items(p, end, depth);
    case '"':
        return check_string(p, end);
    case 't':
        return check_word(p, end, "true");
    case 'f':
        return check_word(p, end, "false");
    case 'n':
        return check_word(p, end, "null");
    default:
        return check_number(p, end);
    }
}

int json_valid(tn_str text)
{
    const char *end = text.s + text.n;
    if (text.n == 0) {
        return 0;
    }
    const char *p = check_value(blanks(text.s, end), end, 0);
    return p != NULL && blanks(p, end) == end && utf8_valid(text.s, text.n);
}

/* ---- pieces of what is valid ------------------------------------------------------------------------- */

static const char *skip_string(const char *p, const char *end)
{
    for (p++; p < end && *p != '"'; p++) {
        p += *p == '\\';
    }
    return p < end ? p + 1 : end;
}

static const char *skip_value(const char *p, const char *end)
{
    int depth = 0;
    while (p < end) {
        if (*p == '"') {
            p = skip_string(p, end);
        } else if (*p == '{' || *p == '[') {
            depth++;
            p++;
            continue;
        } else if (*p == '}' || *p == ']') {
            depth--;
            p++;
        } else if (depth == 0) { /* a number or a word */
            while (p < end && strchr(",]} \t\r\n", *p) == NULL) {
                p++;
            }
        } else {
            p++;
            continue;
        }
        if (depth <= 0) {
            return p;
        }
    }
    return end;
}

static tn_str trimmed(tn_str text)
{
    const char *end = text.s + text.n, *p = blanks(text.s, end);
    while (end > p && strchr(" \t\r\n", end[-1]) != NULL) {
        end--;
    }
    return (tn_str){p, (size_t)(end - p)};
}

int json_iter(struct json_iter *it, tn_str text)
{
    text = text.s != NULL ? trimmed(text) : text;
    if (text.n < 2 || (text.s[0] != '{' && text.s[0] != '[')) {
        return 0;
    }
    *it = (struct json_iter){text.s + 1, text.s + text.n - 1, text.s[0] == '{'};
    return 1;
}

int json_next(struct json_iter *it, tn_str *ret_key, tn_str *ret_value)
{
    const char *p = blanks(it->p, it->end);
    p += p < it->end && *p == ',';
    p = blanks(p, it->end);
    if (p >= it->end) {
        return 0;
    }
    *ret_key = (tn_str){NULL, 0};
    if (it->object) {
        const char *key = p;
        p = skip_string(p, it->end);
        *ret_key = (tn_str){key, (size_t)(p - key)};
        p = blanks(p, it->end);
        p += p < it->end; /* the colon */
        p = blanks(p, it->end);
    }
    it->p = skip_value(p, it->end);
    *ret_value = (tn_str){p, (size_t)(it->p - p)};
    return 1;
}

int json_is(tn_str text, const char *string)
{
    size_t n = strlen(string);
    return text.n == n + 2 && text.s[0] == '"' && memcmp(text.s + 1, string, n) == 0;
}

tn_str json_member(tn_str text, const char *name)
{
    struct json_iter it;
    tn_str key, value, found = {NULL, 0};
    if (json_kind(text) != '{' || !json_iter(&it, text)) {
        return found;
    }
    while (json_next(&it, &key, &value)) {
        if (json_is(key, name)) {
            found = value;
        }
    }
    return found;
}

char json_kind(tn_str text)
{
    const char *p = text.s != NULL ? blanks(text.s, text.s + text.n) : NULL;
    char c = p != NULL && p < text.s + text.n ? *p : '\0';
    return c == '-' || (c >= '0' && c <= '9') ? '0' : c;
}

/* 1: the number is an integer of 64 bits. */
static int whole(tn_str text, int64_t *ret)
{
    uint64_t v = 0;
    size_t i = text.s[0] == '-';
    uint64_t max = i ? (uint64_t)INT64_MAX + 1 : INT64_MAX;
    for (; i < text.n; i++) {
        unsigned d = (unsigned)(text.s[i] - '0');
        if (d > 9 || v > max / 10 || v * 10 > max - d) {
            return 0;
        }
        v = v * 10 + d;
    }
    *ret = text.s[0] == '-' ? (int64_t)(0 - v) : (int64_t)v;
    return 1;
}

int64_t json_int(tn_str text, int64_t other)
{
    int64_t v = other;
    return json_kind(text) == '0' && whole(trimmed(text), &v) ? v : other;
}

tn_val json_value(tn_str text)
{
    const tn_val as_json = {
        .type = TN_T_STR, .flags = TN_V_JSON, .n = (uint32_t)text.n, .u.s = text.s};
    char room[64];
    int64_t i;
    switch (json_kind(text)) {
    case 'n':
    case '\0':
        return (tn_val){.type = TN_T_NULL};
    case 't':
    case 'f':
        return (tn_val){.type = TN_T_BOOL, .u.i = json_kind(text) == 't'};
    case '0':
        if (whole(text, &i)) {
            return (tn_val){.type = TN_T_INT, .u.i = i};
        }
        if (text.n < sizeof room) {
            memcpy(room, text.s, text.n);
            room[text.n] = '\0';
            if (strpbrk(room, ".eE") != NULL) {
                return (tn_val){.type = TN_T_FLOAT, .u.f = strtod(room, NULL)};
            }
        }
        return as_json; /* larger than 64 bits */
    case '"':
        if (memchr(text.s, '\\', text.n) == NULL) {
            return (tn_val){.type = TN_T_STR, .n = (uint32_t)text.n - 2, .u.s = text.s + 1};
        }
        return as_json;
    default:
        return as_json;
    }
}

static void put_code(struct grow *to, uint32_t c)
{
    if (c < 0x80) {
        grow_char(to, (char)c);
        return;
    }
    if (c < 0x800) {
        grow_char(to, (char)(0xc0 | c >> 6));
    } else {
        if (c < 0x10000) {
            grow_char(to, (char)(0xe0 | c >> 12));
        } else {
            grow_char(to, (char)(0xf0 | c >> 18));
            grow_char(to, (char)(0x80 | (c >> 12 & 0x3f)));
        }
        grow_char(to, (char)(0x80 | (c >> 6 & 0x3f)));
    }
    grow_char(to, (char)(0x80 | (c & 0x3f)));
}

/* The code point of "\\uXXXX" at p, which is moved behind it; half a pair is U+FFFD. */
static uint32_t take_code(const char **pp, const char *end)
{
    int high = hex4(*pp + 2, end);
    *pp += 6;
    if (high < 0xd800 || high > 0xdfff) {
        return high < 0 ? 0xfffd : (uint32_t)high;
    }
    int low = high < 0xdc00 && end - *pp >= 6 && (*pp)[0] == '\\' && (*pp)[1] == 'u'
                  ? hex4(*pp + 2, end)
                  : -1;
    if (low < 0xdc00 || low > 0xdfff) {
        return 0xfffd;
    }
    *pp += 6;
    return 0x10000 + ((uint32_t)(high - 0xd800) << 10 | (uint32_t)(low - 0xdc00));
}

void json_text(struct grow *to, tn_str text)
{
    static const char from[] = "bfnrt", into[] = "\b\f\n\r\t";
    if (json_kind(text) != '"' || text.n < 2) {
        grow_put(to, text.s, text.n);
        return;
    }
    for (const char *p = text.s + 1, *end = text.s + text.n - 1; p < end;) {
        if (*p != '\\') {
            grow_char(to, *p++);
        } else if (p + 1 < end && p[1] == 'u') {
            put_code(to, take_code(&p, end));
        } else {
            const char *known = p + 1 < end ? strchr(from, p[1]) : NULL;
            grow_char(to, known != NULL ? into[known - from] : p[1]);
            p += 2;
        }
    }
}

void json_plain(tn_str text, char *to, size_t cap)
{
    struct grow plain = {0};
    text.n = text.n < 6 * cap + 2 ? text.n : 6 * cap + 2; /* the longest escape has six bytes */
    json_text(&plain, text);
    size_t n = plain.n < cap ? plain.n : cap - 1;
    while (n > 0 && n < plain.n && ((unsigned char)plain.s[n] & 0xc0) == 0x80) {
        n--; /* not in the middle of a character */
    }
    for (size_t i = 0; i < n; i++) {
        to[i] = (char)((unsigned char)plain.s[i] < ' ' || plain.s[i] == 0x7f ? ' ' : plain.s[i]);
    }
    to[n] = '\0';
    grow_free(&plain);
}
