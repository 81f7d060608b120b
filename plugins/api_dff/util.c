/* SPDX-License-Identifier: Apache-2.0 */
/* Text buffer, times and small conversions of this plugin. */
#include "util.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool str_room(struct str *b, size_t more)
{
    if (b->failed || more > SIZE_MAX / 4 - b->n) {
        b->failed = true;
        return false;
    }
    if (b->n + more + 1 <= b->cap) {
        return true;
    }
    size_t cap = b->cap < 256 ? 256 : b->cap;
    while (cap < b->n + more + 1) {
        cap *= 2;
    }
    char *s = realloc(b->s, cap);
    if (s == NULL) {
        b->failed = true;
        return false;
    }
    b->s = s;
    b->cap = cap;
    return true;
}

void str_add(struct str *b, const char *s, size_t n)
{
    if (!str_room(b, n)) {
        return;
    }
    if (n > 0) {
        memcpy(b->s + b->n, s, n);
    }
    b->n += n;
    b->s[b->n] = '\0';
}

void str_puts(struct str *b, const char *z)
{
    str_add(b, z, strlen(z));
}

void str_text(struct str *b, tn_str t)
{
    str_add(b, t.s, t.n);
}

void str_char(struct str *b, char c)
{
    str_add(b, &c, 1);
}

void str_int(struct str *b, int64_t v)
{
    char buf[24];
    int n = snprintf(buf, sizeof buf, "%lld", (long long)v);
    str_add(b, buf, (size_t)n);
}

void str_quote(struct str *b, tn_str t)
{
    static const char hex[] = "0123456789abcdef";
    str_char(b, '"');
    size_t from = 0;
    for (size_t i = 0; i < t.n; i++) {
        unsigned char c = (unsigned char)t.s[i];
        if (c >= 0x20 && c != '"' && c != '\\') {
            continue;
        }
        str_add(b, t.s + from, i - from);
        from = i + 1;
        switch (c) {
        case '"':
            str_add(b, "\\\"", 2);
            break;
        case '\\':
            str_add(b, "\\\\", 2);
            break;
        case '\n':
            str_add(b, "\\n", 2);
            break;
        case '\r':
            str_add(b, "\\r", 2);
            break;
        case '\t':
            str_add(b, "\\t", 2);
            break;
        case '\b':
            str_add(b, "\\b", 2);
            break;
        case '\f':
            str_add(b, "\\f", 2);
            break;
        default: {
            char esc[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
            str_add(b, esc, sizeof esc);
        }
        }
    }
    str_add(b, t.s + from, t.n - from);
    str_char(b, '"');
}

/* Length of the UTF-8 sequence at p (RFC 3629 section 4), 0 when it is none. */
static size_t utf8_len(const unsigned char *p, size_t left)
{
    static const struct {
        unsigned char from, to, second_from, second_to, more;
    } rows[] = {
        {0x00, 0x7F, 0, 0, 0},       {0xC2, 0xDF, 0x80, 0xBF, 1}, {0xE0, 0xE0, 0xA0, 0xBF, 2},
        {0xE1, 0xEC, 0x80, 0xBF, 2}, {0xED, 0xED, 0x80, 0x9F, 2}, {0xEE, 0xEF, 0x80, 0xBF, 2},
        {0xF0, 0xF0, 0x90, 0xBF, 3}, {0xF1, 0xF3, 0x80, 0xBF, 3}, {0xF4, 0xF4, 0x80, 0x8F, 3}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (p[0] < rows[i].from || p[0] > rows[i].to) {
            continue;
        }
        size_t n = rows[i].more + 1u;
        if (left < n || (n > 1 && (p[1] < rows[i].second_from || p[1] > rows[i].second_to))) {
            return 0;
        }
        for (size_t k = 2; k < n; k++) {
            if ((p[k] & 0xC0) != 0x80) {
                return 0;
            }
        }
        return n;
    }
    return 0;
}

void str_quote_any(struct str *b, tn_str t)
{
    struct str clean = {0};
    for (size_t i = 0; i < t.n;) {
        size_t n = utf8_len((const unsigned char *)t.s + i, t.n - i);
        str_add(&clean, n > 0 ? t.s + i : "?", n > 0 ? n : 1);
        i += n > 0 ? n : 1;
    }
    str_quote(b, str_view(&clean));
    b->failed |= clean.failed;
    str_free(&clean);
}

void str_printf(struct str *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0 || !str_room(b, (size_t)n)) {
        b->failed = true;
        return;
    }
    va_start(ap, fmt);
    vsnprintf(b->s + b->n, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->n += (size_t)n;
}

tn_str str_view(const struct str *b)
{
    return (tn_str){b->s != NULL ? b->s : "", b->n};
}

void str_clear(struct str *b)
{
    b->n = 0;
    b->failed = false;
}

void str_free(struct str *b)
{
    free(b->s);
    *b = (struct str){0};
}

tn_str text_of(const char *z)
{
    return z != NULL ? (tn_str){z, strlen(z)} : (tn_str){NULL, 0};
}

bool text_is(tn_str t, const char *z)
{
    return t.s != NULL && strlen(z) == t.n && memcmp(t.s, z, t.n) == 0;
}

bool text_has_prefix(tn_str t, const char *z)
{
    size_t n = strlen(z);
    return t.s != NULL && t.n >= n && memcmp(t.s, z, n) == 0;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

char *text_snake(tn_str t, char *ret, size_t cap)
{
    size_t n = 0;
    for (size_t i = 0; i < t.n && n + 2 < cap; i++) {
        bool after_low = i > 0 && !is_upper(t.s[i - 1]) && t.s[i - 1] != '_';
        bool before_low = i > 0 && i + 1 < t.n && t.s[i + 1] >= 'a' && t.s[i + 1] <= 'z';
        if (is_upper(t.s[i]) && (after_low || (before_low && t.s[i - 1] != '_'))) {
            ret[n++] = '_';
        }
        ret[n++] = lower(t.s[i]);
    }
    ret[n] = '\0';
    return ret;
}

bool text_has(tn_str hay, const char *needle_lower)
{
    size_t n = strlen(needle_lower);
    for (size_t i = 0; i + n <= hay.n; i++) {
        size_t k = 0;
        while (k < n && lower(hay.s[i + k]) == needle_lower[k]) {
            k++;
        }
        if (k == n) {
            return true;
        }
    }
    return false;
}

char *text_dup(tn_str t)
{
    char *s = malloc(t.n + 1);
    if (s != NULL) {
        if (t.n > 0) {
            memcpy(s, t.s, t.n);
        }
        s[t.n] = '\0';
    }
    return s;
}

bool text_int(tn_str t, int64_t *ret)
{
    size_t i = 0;
    bool neg = false;
    if (t.n > 0 && (t.s[0] == '-' || t.s[0] == '+')) {
        neg = t.s[0] == '-';
        i = 1;
    }
    if (i == t.n) {
        return false;
    }
    int64_t v = 0;
    for (; i < t.n; i++) {
        if (t.s[i] < '0' || t.s[i] > '9' || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_sub_overflow(v, t.s[i] - '0', &v)) {
            return false;
        }
    }
    if (!neg && __builtin_sub_overflow(0, v, &v)) {
        return false;
    }
    *ret = v;
    return true;
}

int text_bool(tn_str t)
{
    static const char *const yes[] = {"true", "1", "o", "y", "yes", "ok", "on"};
    static const char *const no[] = {"false", "0", "x", "n", "no", "ng", "off"};
    char low[8];
    if (t.s == NULL || t.n == 0 || t.n >= sizeof low) {
        return -1;
    }
    for (size_t i = 0; i < t.n; i++) {
        low[i] = lower(t.s[i]);
    }
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        if (text_is((tn_str){low, t.n}, yes[i])) {
            return 1;
        }
        if (text_is((tn_str){low, t.n}, no[i])) {
            return 0;
        }
    }
    return -1;
}

size_t utf8_chars(tn_str t)
{
    size_t n = 0;
    for (size_t i = 0; i < t.n; i++) {
        n += ((unsigned char)t.s[i] & 0xC0) != 0x80;
    }
    return n;
}

/* Days since 1970-01-01 of a proleptic Gregorian date, and back (civil calendar arithmetic with
 * 400-year eras that start in March). */
static int64_t days_from_civil(int64_t y, unsigned m, unsigned d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    unsigned yoe = (unsigned)(y - era * 400);
    unsigned doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
    return era * 146097 + (int64_t)(yoe * 365 + yoe / 4 - yoe / 100 + doy) - 719468;
}

static void civil_from_days(int64_t z, int *y, unsigned *m, unsigned *d)
{
    z += 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    unsigned doe = (unsigned)(z - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (5 * doy + 2) / 153;
    *d = doy - (153 * mp + 2) / 5 + 1;
    *m = mp < 10 ? mp + 3 : mp - 9;
    *y = (int)yoe + (int)(era * 400) + (*m <= 2);
}

static void put2(char *p, unsigned v)
{
    p[0] = (char)('0' + v / 10 % 10);
    p[1] = (char)('0' + v % 10);
}

void iso_time(int64_t us, char ret[ISO_LEN + 1])
{
    int64_t ms = us >= 0 ? us / 1000 : -((-us + 999) / 1000);
    int64_t second = ms >= 0 ? ms / 1000 : -((-ms + 999) / 1000);
    unsigned rest = (unsigned)(ms - second * 1000);
    /* Every answer prints two times that are nearly always of the same second: keep its text. */
    static _Thread_local int64_t known_second = INT64_MIN;
    static _Thread_local char known[20];
    if (second != known_second) {
        int y;
        unsigned m, d;
        int64_t days = second >= 0 ? second / 86400 : -((-second + 86399) / 86400);
        unsigned of_day = (unsigned)(second - days * 86400);
        civil_from_days(days, &y, &m, &d);
        unsigned uy = y < 0 ? 0 : (unsigned)y % 10000;
        put2(known, uy / 100);
        put2(known + 2, uy % 100);
        known[4] = known[7] = '-';
        put2(known + 5, m);
        put2(known + 8, d);
        known[10] = 'T';
        put2(known + 11, of_day / 3600);
        known[13] = known[16] = ':';
        put2(known + 14, of_day / 60 % 60);
        put2(known + 17, of_day % 60);
        known[19] = '.';
        known_second = second;
    }
    memcpy(ret, known, 20);
    ret[20] = (char)('0' + rest / 100);
    put2(ret + 21, rest % 100);
    ret[23] = 'Z';
    ret[24] = '\0';
}

/* Reads exactly n digits. */
static bool digits(tn_str t, size_t *pos, size_t n, unsigned *ret)
{
    unsigned v = 0;
    if (*pos + n > t.n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        char c = t.s[*pos + i];
        if (c < '0' || c > '9') {
            return false;
        }
        v = v * 10 + (unsigned)(c - '0');
    }
    *pos += n;
    *ret = v;
    return true;
}

static bool sep(tn_str t, size_t *pos, char c)
{
    if (*pos < t.n && t.s[*pos] == c) {
        ++*pos;
        return true;
    }
    return false;
}

/* "Z", "+08:00", "+0800", "+08" or nothing at the end. */
static bool iso_zone(tn_str t, size_t pos, int64_t *ret_minutes)
{
    *ret_minutes = 0;
    if (pos == t.n || ((t.s[pos] == 'Z' || t.s[pos] == 'z') && pos + 1 == t.n)) {
        return true;
    }
    int sign = t.s[pos] == '-' ? -1 : 1;
    unsigned h, m = 0;
    if ((t.s[pos] != '+' && t.s[pos] != '-') || (++pos, !digits(t, &pos, 2, &h))) {
        return false;
    }
    if (pos < t.n) {
        sep(t, &pos, ':');
        if (!digits(t, &pos, 2, &m)) {
            return false;
        }
    }
    *ret_minutes = sign * (int64_t)(h * 60 + m);
    return pos == t.n && h < 24 && m < 60;
}

bool iso_parse(tn_str t, int64_t *ret_us)
{
    static const unsigned char month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    size_t p = 0;
    unsigned y, mo, d, h = 0, mi = 0, s = 0;
    int64_t frac = 0, zone = 0;
    if (!digits(t, &p, 4, &y) || !sep(t, &p, '-') || !digits(t, &p, 2, &mo) || !sep(t, &p, '-') ||
        !digits(t, &p, 2, &d) || mo < 1 || mo > 12) {
        return false;
    }
    bool leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    if (d < 1 || d > month_days[mo - 1] + (unsigned)(mo == 2 && leap)) {
        return false;
    }
    if (p < t.n) {
        if ((!sep(t, &p, 'T') && !sep(t, &p, 't') && !sep(t, &p, ' ')) || !digits(t, &p, 2, &h) ||
            !sep(t, &p, ':') || !digits(t, &p, 2, &mi) || h > 23 || mi > 59) {
            return false;
        }
        if (sep(t, &p, ':') && (!digits(t, &p, 2, &s) || s > 59)) {
            return false;
        }
        if (sep(t, &p, '.') || sep(t, &p, ',')) {
            int64_t unit = 100000;
            size_t from = p;
            for (; p < t.n && t.s[p] >= '0' && t.s[p] <= '9'; p++, unit /= 10) {
                frac += (t.s[p] - '0') * unit;
            }
            if (p == from) {
                return false;
            }
        }
        if (!iso_zone(t, p, &zone)) {
            return false;
        }
    }
    int64_t secs = days_from_civil(y, mo, d) * 86400 + (int64_t)h * 3600 + (int64_t)mi * 60 + s;
    *ret_us = (secs - zone * 60) * 1000000 + frac;
    return true;
}
