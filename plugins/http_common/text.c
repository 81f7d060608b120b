/* SPDX-License-Identifier: Apache-2.0 */
/* Character classes, lists and parameters of header fields. */
#include "plugins/http_common/text.h"
#include <string.h>

/* RFC 9110 section 5.6.2 with letters in lower case, 0 for what is no token character. */
static const char lower_tchars[256] = {
    ['!'] = '!', ['#'] = '#', ['$'] = '$', ['%'] = '%', ['&'] = '&', ['\''] = '\'', ['*'] = '*',
    ['+'] = '+', ['-'] = '-', ['.'] = '.', ['^'] = '^', ['_'] = '_', ['`'] = '`',   ['|'] = '|',
    ['~'] = '~', ['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4',   ['5'] = '5',
    ['6'] = '6', ['7'] = '7', ['8'] = '8', ['9'] = '9', ['A'] = 'a', ['B'] = 'b',   ['C'] = 'c',
    ['D'] = 'd', ['E'] = 'e', ['F'] = 'f', ['G'] = 'g', ['H'] = 'h', ['I'] = 'i',   ['J'] = 'j',
    ['K'] = 'k', ['L'] = 'l', ['M'] = 'm', ['N'] = 'n', ['O'] = 'o', ['P'] = 'p',   ['Q'] = 'q',
    ['R'] = 'r', ['S'] = 's', ['T'] = 't', ['U'] = 'u', ['V'] = 'v', ['W'] = 'w',   ['X'] = 'x',
    ['Y'] = 'y', ['Z'] = 'z', ['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd',   ['e'] = 'e',
    ['f'] = 'f', ['g'] = 'g', ['h'] = 'h', ['i'] = 'i', ['j'] = 'j', ['k'] = 'k',   ['l'] = 'l',
    ['m'] = 'm', ['n'] = 'n', ['o'] = 'o', ['p'] = 'p', ['q'] = 'q', ['r'] = 'r',   ['s'] = 's',
    ['t'] = 't', ['u'] = 'u', ['v'] = 'v', ['w'] = 'w', ['x'] = 'x', ['y'] = 'y',   ['z'] = 'z',
};

bool text_is_tchar(unsigned char c)
{
    return lower_tchars[c] != 0;
}

int text_hex(unsigned char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t text_lower_token(char *s, size_t n)
{
    size_t i = 0;
    for (char c; i < n && (c = lower_tchars[(unsigned char)s[i]]) != 0; i++) {
        s[i] = c;
    }
    return i;
}

size_t text_token(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n && lower_tchars[(unsigned char)s[i]] != 0) {
        i++;
    }
    return i;
}

/* In eight bytes at once: is one below 0x20 or 0x7F? May say so of bytes above 0x7F, never misses
 * one. */
static bool maybe_control(uint64_t w)
{
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    uint64_t below = (w - ones * 0x20) & ~w & high, del = w ^ (ones * 0x7F);
    return (below | ((del - ones) & ~del & high)) != 0;
}

bool text_control(tn_str s)
{
    size_t i = 0;
    uint64_t w;
    for (; s.n - i >= 8; i += 8) {
        memcpy(&w, s.s + i, 8);
        if (maybe_control(w)) {
            break;
        }
    }
    if (s.n >= 8 && s.n - i < 8) { /* the rest, with some that were looked at */
        memcpy(&w, s.s + s.n - 8, 8);
        if (!maybe_control(w)) {
            return false;
        }
    }
    for (; i < s.n; i++) {
        unsigned char c = (unsigned char)s.s[i];
        if ((c < 0x20 && c != '\t') || c == 0x7F) {
            return true;
        }
    }
    return false;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

void text_lower(char *dst, const char *src, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        dst[i] = lower(src[i]);
    }
}

bool text_equal_ci(tn_str s, const char *want)
{
    size_t i = 0;
    while (i < s.n && want[i] != '\0' && lower(s.s[i]) == want[i]) {
        i++;
    }
    return i == s.n && want[i] == '\0';
}

tn_str text_trim(tn_str s)
{
    while (s.n > 0 && (s.s[0] == ' ' || s.s[0] == '\t')) {
        s.s++;
        s.n--;
    }
    while (s.n > 0 && (s.s[s.n - 1] == ' ' || s.s[s.n - 1] == '\t')) {
        s.n--;
    }
    return s;
}

/* Length of the well-formed sequence at s, 0 when there is none (Unicode 15, table 3-7). */
static size_t utf8_sequence(const uint8_t *s, size_t n)
{
    uint8_t c = s[0];
    size_t len = c < 0x80 ? 1 : c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
    if (len == 0 || len > n) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    bool bad = (c == 0xE0 && s[1] < 0xA0) || (c == 0xED && s[1] > 0x9F) ||
               (c == 0xF0 && s[1] < 0x90) || (c == 0xF4 && s[1] > 0x8F);
    return bad ? 0 : len;
}

bool text_utf8_ok(const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t len = utf8_sequence((const uint8_t *)s + i, n - i);
        if (len == 0) {
            return false;
        }
        i += len;
    }
    return true;
}

/* Position of the next `sep` outside a quoted string, or n. */
static size_t find_unquoted(tn_str s, char sep)
{
    bool quoted = false;
    for (size_t i = 0; i < s.n; i++) {
        if (quoted && s.s[i] == '\\' && i + 1 < s.n) {
            i++;
        } else if (s.s[i] == '"') {
            quoted = !quoted;
        } else if (!quoted && s.s[i] == sep) {
            return i;
        }
    }
    return s.n;
}

bool text_next_item(tn_str *list, tn_str *ret_item)
{
    while (list->n > 0) {
        size_t n = find_unquoted(*list, ',');
        tn_str item = text_trim((tn_str){list->s, n});
        size_t used = n < list->n ? n + 1 : n;
        list->s += used;
        list->n -= used;
        if (item.n > 0) {
            *ret_item = item;
            return true;
        }
    }
    return false;
}

tn_str text_param(tn_str item, const char *name)
{
    for (;;) {
        size_t n = find_unquoted(item, ';');
        if (n == item.n) {
            return (tn_str){NULL, 0};
        }
        item.s += n + 1;
        item.n -= n + 1;
        tn_str one = text_trim((tn_str){item.s, find_unquoted(item, ';')});
        const char *eq = one.n > 0 ? memchr(one.s, '=', one.n) : NULL;
        if (eq == NULL || !text_equal_ci(text_trim((tn_str){one.s, (size_t)(eq - one.s)}), name)) {
            continue;
        }
        tn_str v = text_trim((tn_str){eq + 1, one.n - (size_t)(eq + 1 - one.s)});
        if (v.n >= 2 && v.s[0] == '"' && v.s[v.n - 1] == '"') {
            v.s++;
            v.n -= 2;
        }
        return v;
    }
}

const char *text_header_refused(tn_str name, tn_str value)
{
    if (name.n == 0) {
        return "a header name is empty";
    }
    for (size_t i = 0; i < name.n; i++) {
        if (!text_is_tchar((unsigned char)name.s[i])) {
            return "a header name has a character that is not allowed (RFC 9110 section 5.6.2)";
        }
    }
    if (text_control(value)) {
        return memchr(value.s, '\r', value.n) != NULL || memchr(value.s, '\n', value.n) != NULL
                   ? "a header value has a line break"
                   : "a header value has a control character";
    }
    return NULL;
}

/* "0", "1", "0.5", "1.000" in thousandths; -1 when it is not a qvalue (RFC 9110 section 12.4.2). */
static int qvalue(tn_str s)
{
    if (s.n == 0 || s.n > 5 || (s.s[0] != '0' && s.s[0] != '1') || (s.n > 1 && s.s[1] != '.')) {
        return -1;
    }
    int q = (s.s[0] - '0') * 1000;
    int unit = 100;
    for (size_t i = 2; i < s.n; i++, unit /= 10) {
        if (s.s[i] < '0' || s.s[i] > '9') {
            return -1;
        }
        q += (s.s[i] - '0') * unit;
    }
    return q > 1000 ? -1 : q;
}

int text_quality(tn_str accept, const char *coding)
{
    int any = 0;
    for (tn_str item; text_next_item(&accept, &item);) {
        tn_str name = text_trim((tn_str){item.s, find_unquoted(item, ';')});
        tn_str q = text_param(item, "q");
        int value = q.s == NULL ? 1000 : qvalue(q);
        if (value < 0) {
            value = 0;
        }
        if (text_equal_ci(name, coding)) {
            return value;
        }
        if (name.n == 1 && name.s[0] == '*') {
            any = value;
        }
    }
    return any;
}

static tn_str opaque(tn_str tag)
{
    if (tag.n >= 2 && tag.s[0] == 'W' && tag.s[1] == '/') {
        return (tn_str){tag.s + 2, tag.n - 2};
    }
    return tag;
}

bool text_etag_match(tn_str list, tn_str tag)
{
    tn_str want = opaque(tag);
    for (tn_str item; text_next_item(&list, &item);) {
        tn_str have = opaque(item);
        if ((item.n == 1 && item.s[0] == '*') ||
            (have.n == want.n && memcmp(have.s, want.s, want.n) == 0)) {
            return true;
        }
    }
    return false;
}
