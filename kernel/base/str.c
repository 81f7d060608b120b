/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers on borrowed text: comparing, splitting, numbers, UTF-8, edit distance. */
#include "kernel/base/str.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

static unsigned char ascii_lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

bool str_ieq(tn_str a, tn_str b)
{
    if (a.n != b.n) {
        return false;
    }
    for (size_t i = 0; i < a.n; i++) {
        if (ascii_lower(a.s[i]) != ascii_lower(b.s[i])) {
            return false;
        }
    }
    return true;
}

bool str_prefix(tn_str s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.n >= n && (n == 0 || memcmp(s.s, prefix, n) == 0);
}

char *str_dup(tn_str s)
{
    char *p = malloc(s.n + 1);
    if (p != NULL) {
        if (s.n != 0) {
            memcpy(p, s.s, s.n);
        }
        p[s.n] = '\0';
    }
    return p;
}

bool str_split(tn_str *rest, char sep, tn_str *ret)
{
    if (rest->s == NULL) {
        return false;
    }
    const char *end = rest->n != 0 ? memchr(rest->s, sep, rest->n) : NULL;
    if (end == NULL) {
        *ret = *rest;
        *rest = (tn_str){NULL, 0};
    } else {
        *ret = (tn_str){rest->s, (size_t)(end - rest->s)};
        *rest = (tn_str){end + 1, rest->n - ret->n - 1};
    }
    return true;
}

tn_str str_trim(tn_str s)
{
    while (s.n != 0 && (s.s[0] == ' ' || s.s[0] == '\t')) {
        s.s++;
        s.n--;
    }
    while (s.n != 0 && (s.s[s.n - 1] == ' ' || s.s[s.n - 1] == '\t')) {
        s.n--;
    }
    return s;
}

bool str_to_i64(tn_str s, int64_t *ret)
{
    size_t i = 0;
    bool neg = false;
    if (s.n != 0 && (s.s[0] == '-' || s.s[0] == '+')) {
        neg = s.s[0] == '-';
        i = 1;
    }
    if (i == s.n) {
        return false;
    }
    uint64_t limit = neg ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    uint64_t v = 0;
    for (; i < s.n; i++) {
        if (s.s[i] < '0' || s.s[i] > '9') {
            return false;
        }
        uint64_t digit = (uint64_t)(s.s[i] - '0');
        if (v > (limit - digit) / 10) {
            return false;
        }
        v = v * 10 + digit;
    }
    *ret = neg ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

static locale_t c_locale;

static void make_c_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

bool str_to_f64(tn_str s, double *ret)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char text[512];
    if (s.n == 0 || s.n >= sizeof text) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) { /* strtod also takes hexadecimal, inf, nan and blanks */
        if (strchr("0123456789+-.eE", s.s[i]) == NULL || s.s[i] == '\0') {
            return false;
        }
        text[i] = s.s[i];
    }
    text[s.n] = '\0';
    pthread_once(&once, make_c_locale);
    if (c_locale == (locale_t)0) {
        return false;
    }
    char *end = NULL;
    double v = strtod_l(text, &end, c_locale);
    if (end != text + s.n || !isfinite(v)) {
        return false;
    }
    *ret = v;
    return true;
}

int str_utf8_step(const char *p, size_t n)
{
    const unsigned char *u = (const unsigned char *)p;
    unsigned char c = u[0], lo = 0x80, hi = 0xBF;
    int more;
    if (c < 0x80) {
        return 1;
    }
    if (c < 0xC2 || c > 0xF4) {
        return -1;
    }
    if (c < 0xE0) {
        more = 1;
    } else if (c < 0xF0) {
        more = 2;
        lo = c == 0xE0 ? 0xA0 : lo; /* overlong */
        hi = c == 0xED ? 0x9F : hi; /* surrogates */
    } else {
        more = 3;
        lo = c == 0xF0 ? 0x90 : lo; /* overlong */
        hi = c == 0xF4 ? 0x8F : hi; /* beyond U+10FFFF */
    }
    for (int i = 1; i <= more; i++) {
        if ((size_t)i >= n || u[i] < lo || u[i] > hi) {
            return -i;
        }
        lo = 0x80;
        hi = 0xBF;
    }
    return more + 1;
}

bool str_utf8_valid(tn_str s)
{
    size_t i = 0;
    while (i < s.n) {
        int step = 1;
        if ((unsigned char)s.s[i] >= 0x80) {
            step = str_utf8_step(s.s + i, s.n - i);
            if (step < 0) {
                return false;
            }
        }
        i += (size_t)step;
    }
    return true;
}

size_t str_utf8_len(tn_str s)
{
    size_t chars = 0;
    for (size_t i = 0; i < s.n; chars++) {
        int step = str_utf8_step(s.s + i, s.n - i);
        i += (size_t)(step < 0 ? -step : step);
    }
    return chars;
}

size_t str_utf8_cut(tn_str s, size_t max)
{
    if (s.n <= max) {
        return s.n;
    }
    size_t n = max;
    while (n > 0 && max - n < 3 && ((unsigned char)s.s[n] & 0xC0) == 0x80) {
        n--;
    }
    return n;
}

unsigned str_distance(const char *a, const char *b)
{
    enum { MAX = 64 };
    size_t na = strlen(a), nb = strlen(b);
    if (na > MAX || nb > MAX) {
        return (unsigned)(na > nb ? na : nb);
    }
    unsigned char d[MAX + 1][MAX + 1]; /* optimal string alignment: swaps of neighbours count one */
    for (size_t i = 0; i <= na; i++) {
        d[i][0] = (unsigned char)i;
    }
    for (size_t j = 0; j <= nb; j++) {
        d[0][j] = (unsigned char)j;
    }
    for (size_t i = 1; i <= na; i++) {
        for (size_t j = 1; j <= nb; j++) {
            unsigned best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            best = best < d[i - 1][j] + 1u ? best : d[i - 1][j] + 1u;
            best = best < d[i][j - 1] + 1u ? best : d[i][j - 1] + 1u;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d[i - 2][j - 2] + 1u < best) {
                best = d[i - 2][j - 2] + 1u;
            }
            d[i][j] = (unsigned char)best;
        }
    }
    return d[na][nb];
}
