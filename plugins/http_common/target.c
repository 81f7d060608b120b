/* SPDX-License-Identifier: Apache-2.0 */
/* Request targets and queries: what a client may name, decoded exactly once. */
#include "plugins/http_common/text.h"
#include <string.h>

static bool refuse(struct text_refusal *why, uint32_t status, const char *text)
{
    *why = (struct text_refusal){status, text};
    return false;
}

/* Is the path what it means: visible ASCII, nothing to decode, no segment that begins with a dot? */
static bool path_is_clean(tn_str raw)
{
    static const char ends[256] = {['%'] = 1, ['#'] = 1, ['/'] = 2};
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    char before = 0;
    size_t i = 0;
    for (uint64_t w; raw.n - i >= 8; i += 8, before = ends[(unsigned char)raw.s[i - 1]]) {
        memcpy(&w, raw.s + i, 8);
        uint64_t del = w ^ (ones * 0x7F), pct = w ^ (ones * '%'), hash = w ^ (ones * '#');
        uint64_t dot = w ^ (ones * '.');
        /* a doubt only costs the look at each byte below: misses are not possible */
        if (((w | (w - ones * 0x21) | (del - ones) | (pct - ones) | (hash - ones) | (dot - ones)) &
             high) != 0) {
            break;
        }
    }
    for (; i < raw.n; i++) {
        unsigned char c = (unsigned char)raw.s[i];
        if (c - 0x21u > 0x7E - 0x21u || ends[c] == 1 || (c == '.' && before == 2)) {
            return false;
        }
        before = ends[c];
    }
    return true;
}

/* Decodes and cleans a path in one pass: "%XX" once, except that an encoded slash stays as text so
 * that it never separates segments; then "." and ".." segments vanish (RFC 3986 section 5.2.4). */
static bool clean_path(tn_str raw, char *out, size_t *ret_n, struct text_refusal *why)
{
    size_t n = 0;
    if (path_is_clean(raw)) {
        memcpy(out, raw.s, raw.n);
        *ret_n = raw.n;
        return true;
    }
    for (size_t i = 0; i < raw.n; i++) {
        unsigned char c = (unsigned char)raw.s[i];
        if (c == '%') {
            bool whole = raw.n - i > 2;
            int hi = whole ? text_hex((unsigned char)raw.s[i + 1]) : -1;
            int lo = whole ? text_hex((unsigned char)raw.s[i + 2]) : -1;
            if (hi < 0 || lo < 0) {
                return refuse(why, 400, "the path has a broken percent escape");
            }
            c = (unsigned char)(hi << 4 | lo);
            if (c < 0x20 || c == 0x7F) {
                return refuse(why, 400, "the path has an encoded control character");
            }
            if (c == '/') {
                memcpy(out + n, raw.s + i, 3);
                n += 3;
            } else {
                out[n++] = (char)c;
            }
            i += 2;
        } else if (c <= 0x20 || c == 0x7F || c == '#') {
            return refuse(why, 400, "the path has a character that must be percent encoded");
        } else {
            out[n++] = (char)c;
        }
    }
    if (!text_utf8_ok(out, n)) {
        return refuse(why, 400, "the path is not valid UTF-8");
    }
    /* out[0] is '/': copy segment by segment; `w` is the end of the cleaned part. */
    size_t w = 0;
    for (size_t r = 0; r < n;) {
        size_t end = r + 1;
        while (end < n && out[end] != '/') {
            end++;
        }
        size_t len = end - r - 1;
        bool last = end == n;
        if (len == 1 && out[r + 1] == '.') {
            if (last) {
                out[w++] = '/';
            }
        } else if (len == 2 && out[r + 1] == '.' && out[r + 2] == '.') {
            while (w > 0 && out[--w] != '/') {}
            if (last) {
                out[w++] = '/';
            }
        } else {
            memmove(out + w, out + r, len + 1);
            w += len + 1;
        }
        r = end;
    }
    *ret_n = w;
    return true;
}

/* Neither blank nor control character in it? */
static bool is_visible(tn_str s)
{
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    size_t i = 0;
    for (uint64_t w; s.n - i >= 8; i += 8) {
        memcpy(&w, s.s + i, 8);
        uint64_t del = w ^ (ones * 0x7F);
        if ((((w - ones * 0x21) & ~w) | ((del - ones) & ~del)) & high) {
            break; /* perhaps: false alarms are possible, misses are not */
        }
    }
    for (; i < s.n; i++) {
        unsigned char c = (unsigned char)s.s[i];
        if (c <= 0x20 || c == 0x7F) {
            return false;
        }
    }
    return true;
}

/* absolute-form: scheme "://" authority path. Leaves *rest at the path. */
static bool split_absolute(tn_str *rest, struct text_target *t, struct text_refusal *why)
{
    size_t skip = 0;
    if (rest->n > 7 && text_equal_ci((tn_str){rest->s, 7}, "http://")) {
        skip = 7;
    } else if (rest->n > 8 && text_equal_ci((tn_str){rest->s, 8}, "https://")) {
        skip = 8;
    } else {
        return refuse(why, 400, "the request target must begin with \"/\"");
    }
    t->scheme = (tn_str){rest->s, skip - 3};
    size_t i = skip;
    while (i < rest->n && rest->s[i] != '/' && rest->s[i] != '?') {
        if (rest->s[i] == '@' || rest->s[i] == '\\') {
            return refuse(why, 400, "the authority of the request target is not a host");
        }
        i++;
    }
    t->host = (tn_str){rest->s + skip, i - skip};
    if (t->host.n == 0) {
        return refuse(why, 400, "the request target has no host");
    }
    rest->s += i;
    rest->n -= i;
    return true;
}

bool text_target(tn_str method, tn_str target, char *room, struct text_target *ret,
                 struct text_refusal *why)
{
    struct text_target t = {.query = {"", 0}};
    tn_str rest = target;
    if (!is_visible(target)) {
        return refuse(why, 400, "the request target has a blank or control character");
    }
    if (rest.n == 0) {
        return refuse(why, 400, "the request target is empty");
    }
    if (rest.n == 1 && rest.s[0] == '*') {
        if (!text_equal_ci(method, "options")) {
            return refuse(why, 400, "\"*\" is only for OPTIONS");
        }
        memcpy(room, "*", 2);
        t.path = (tn_str){room, 1};
        *ret = t;
        return true;
    }
    if (rest.s[0] != '/' && !split_absolute(&rest, &t, why)) {
        return false;
    }
    const char *q = rest.n > 0 ? memchr(rest.s, '?', rest.n) : NULL;
    if (q != NULL) {
        t.query = (tn_str){q + 1, rest.n - (size_t)(q + 1 - rest.s)};
        rest.n = (size_t)(q - rest.s);
    }
    if (rest.n == 0) {
        memcpy(room, "/", 2);
        t.path = (tn_str){room, 1};
    } else {
        size_t n = 0;
        if (!clean_path(rest, room, &n, why)) {
            return false;
        }
        room[n] = '\0';
        t.path = (tn_str){room, n};
    }
    *ret = t;
    return true;
}

size_t text_query_decode(tn_str raw, char *room)
{
    size_t n = 0;
    for (size_t i = 0; i < raw.n; i++) {
        char c = raw.s[i];
        if (c == '+') {
            c = ' ';
        } else if (c == '%' && raw.n - i > 2) {
            int hi = text_hex((unsigned char)raw.s[i + 1]);
            int lo = text_hex((unsigned char)raw.s[i + 2]);
            if (hi >= 0 && lo >= 0) {
                c = (char)(hi << 4 | lo);
                i += 2;
            }
        }
        room[n++] = c;
    }
    return n;
}

bool text_next_field(tn_str *query, tn_str *ret_name, tn_str *ret_value)
{
    while (query->n > 0) {
        const char *amp = memchr(query->s, '&', query->n);
        size_t n = amp != NULL ? (size_t)(amp - query->s) : query->n;
        tn_str field = {query->s, n};
        size_t used = amp != NULL ? n + 1 : n;
        query->s += used;
        query->n -= used;
        if (field.n == 0) {
            continue;
        }
        const char *eq = memchr(field.s, '=', field.n);
        size_t name_n = eq != NULL ? (size_t)(eq - field.s) : field.n;
        *ret_name = (tn_str){field.s, name_n};
        *ret_value = eq != NULL ? (tn_str){eq + 1, field.n - name_n - 1} : (tn_str){"", 0};
        return true;
    }
    return false;
}
