/* SPDX-License-Identifier: Apache-2.0 */
/* Whole and fixed-point numbers of up to 256 bits as decimal text, and back. */
#include "native.h"

#include <string.h>

#define WORDS 8

static void negate(uint32_t w[WORDS])
{
    uint64_t carry = 1;
    for (int i = 0; i < WORDS; i++) {
        carry += (uint32_t)~w[i];
        w[i] = (uint32_t)carry;
        carry >>= 32;
    }
}

/* w / d, and what is left. */
static uint32_t divide(uint32_t w[WORDS], uint32_t d)
{
    uint64_t rest = 0;
    for (int i = WORDS - 1; i >= 0; i--) {
        rest = rest << 32 | w[i];
        w[i] = (uint32_t)(rest / d);
        rest %= d;
    }
    return (uint32_t)rest;
}

static bool zero(const uint32_t w[WORDS])
{
    uint32_t any = 0;
    for (int i = 0; i < WORDS; i++) {
        any |= w[i];
    }
    return any == 0;
}

size_t ch_number_text(const uint8_t *p, uint32_t width, bool is_signed, uint32_t scale,
                      char out[CH_NUMBER_TEXT])
{
    uint32_t w[WORDS] = {0};
    char digits
        [CH_NUMBER_TEXT]; /* backwards: 78 digits are the most, or as many as the scale wants */
    uint32_t n = 0;
    size_t used = 0;
    bool minus = is_signed && (p[width - 1] & 0x80) != 0;
    memset(w, minus ? 0xff : 0, sizeof w);
    memcpy(w, p, width);
    if (minus) {
        negate(w);
    }
    while (!zero(w)) {
        uint32_t part = divide(w, 1000000000);
        for (int i = 0; i < 9 && (part != 0 || !zero(w)); i++) {
            digits[n++] = (char)('0' + part % 10);
            part /= 10;
        }
    }
    while (n <= scale) {
        digits[n++] = '0';
    }
    if (minus) {
        out[used++] = '-';
    }
    while (n != 0) {
        out[used++] = digits[--n];
        if (n == scale && n != 0) {
            out[used++] = '.';
        }
    }
    return used;
}

/* w * 10 + digit; false: it does not fit into 256 bits. */
static bool grow(uint32_t w[WORDS], uint32_t digit)
{
    uint64_t carry = digit;
    for (int i = 0; i < WORDS; i++) {
        carry += (uint64_t)w[i] * 10;
        w[i] = (uint32_t)carry;
        carry >>= 32;
    }
    return carry == 0;
}

/* Does it fit into `width` bytes with this sign? */
static bool fits(const uint32_t w[WORDS], uint32_t width, bool is_signed, bool minus)
{
    uint8_t b[4 * WORDS];
    memcpy(b, w, sizeof b);
    for (uint32_t i = width; i < sizeof b; i++) {
        if (b[i] != 0) {
            return false;
        }
    }
    if (!is_signed) {
        return !minus || zero(w);
    }
    if ((b[width - 1] & 0x80) == 0) {
        return true;
    }
    bool lowest = minus && b[width - 1] == 0x80;
    for (uint32_t i = 0; i + 1 < width; i++) {
        lowest = lowest && b[i] == 0;
    }
    return lowest;
}

int ch_number_parse(const char *s, size_t n, uint32_t width, bool is_signed, uint32_t scale,
                    uint8_t *out)
{
    uint32_t w[WORDS] = {0};
    size_t i = 0;
    bool minus = false, point = false;
    uint32_t digits = 0;
    int64_t exponent = 0;
    if (i < n && (s[i] == '-' || s[i] == '+')) {
        minus = s[i++] == '-';
    }
    for (size_t e = i; e < n; e++) { /* "1.5E+3", as Python writes some decimals */
        if (s[e] == 'e' || s[e] == 'E') {
            bool down = e + 1 < n && s[e + 1] == '-';
            size_t k = e + 1 + (e + 1 < n && (s[e + 1] == '-' || s[e + 1] == '+'));
            if (k == n) {
                return 0;
            }
            for (; k < n; k++) {
                if (s[k] < '0' || s[k] > '9' || exponent > 999) {
                    return 0;
                }
                exponent = exponent * 10 + (s[k] - '0');
            }
            exponent = down ? -exponent : exponent;
            n = e;
        }
    }
    /* the digit with place value 10^-scale is the last one that may be other than zero */
    int64_t after = -exponent; /* digits behind the point so far, seen from the exponent */
    for (; i < n; i++) {
        if (s[i] == '.' && !point) {
            point = true;
            continue;
        }
        if (s[i] < '0' || s[i] > '9') {
            return 0;
        }
        digits++;
        after += point;
        if (point && after > (int64_t)scale) {
            if (s[i] != '0') {
                return 0;
            }
            after--;
            continue;
        }
        if (!grow(w, (uint32_t)(s[i] - '0'))) {
            return 0;
        }
    }
    if (digits == 0) {
        return 0;
    }
    for (; after < (int64_t)scale; after++) {
        if (!grow(w, 0)) {
            return 0;
        }
    }
    for (; after > (int64_t)scale; after--) { /* 1200E-2 with scale 0 */
        if (divide(w, 10) != 0) {
            return 0;
        }
    }
    if (!fits(w, width, is_signed, minus)) {
        return 0;
    }
    if (minus) {
        negate(w);
    }
    memcpy(out, w, width);
    return 1;
}
