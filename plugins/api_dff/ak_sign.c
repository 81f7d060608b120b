/* SPDX-License-Identifier: Apache-2.0 */
/* Access-key signatures: the SDKs write one body in different ways before they sign it, so all of
 * them are tried (spec 1.1). */
#include "ak_sign.h"

#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 64 /* as the scanner of bodies */

static const struct dialect {
    bool escapes;       /* inside strings, as JSON wants it */
    bool html;          /* < > & and the line separators too */
    bool hex_backspace; /* \u0008 and \u000c */
    bool python;        /* numbers as Python prints them, else as JavaScript and Go do */
    bool doubles;       /* every number is a double */
    bool utf16;         /* keys are sorted by UTF-16 units, else by code points */
} dialects[AK_DIALECTS] = {
    [AK_PYTHON] = {.escapes = true, .python = true},
    [AK_NODE] = {.doubles = true, .utf16 = true},
    [AK_GO] = {.escapes = true, .html = true},
    [AK_GO_1_21] = {.escapes = true, .html = true, .hex_backspace = true},
};

/* ---- numbers --------------------------------------------------------------------------------- */
/* The shortest digits that read back as v > 0, as "d…" and the power of ten of the first one. */
static int shortest(double v, char digits[20], int *ret_power)
{
    char text[40];
    for (int n = 1; n <= 17; n++) {
        snprintf(text, sizeof text, "%.*e", n - 1, v);
        if (n == 17 || strtod(text, NULL) == v) {
            break;
        }
    }
    int n = 0;
    const char *p = text;
    for (; *p != 'e'; p++) {
        if (*p >= '0' && *p <= '9') {
            digits[n++] = *p;
        }
    }
    while (n > 1 && digits[n - 1] == '0') {
        n--;
    }
    *ret_power = atoi(p + 1);
    return n;
}

static void zeros(struct str *out, int n)
{
    for (int i = 0; i < n; i++) {
        str_char(out, '0');
    }
}

static void write_fixed(struct str *out, const char *digits, int n, int power, bool python)
{
    if (power < 0) {
        str_puts(out, "0.");
        zeros(out, -power - 1);
        str_add(out, digits, (size_t)n);
        return;
    }
    int whole = power + 1;
    str_add(out, digits, (size_t)(n < whole ? n : whole));
    zeros(out, whole - n);
    if (n > whole) {
        str_char(out, '.');
        str_add(out, digits + whole, (size_t)(n - whole));
    } else if (python) {
        str_puts(out, ".0");
    }
}

static void write_double(struct str *out, double v, const struct dialect *d)
{
    char digits[20];
    int power, n;
    if (signbit(v) && (v != 0 || !d->doubles)) { /* JavaScript prints -0 as 0 */
        str_char(out, '-');
    }
    if (v == 0) {
        str_puts(out, d->python ? "0.0" : "0");
        return;
    }
    n = shortest(fabs(v), digits, &power);
    if (d->python ? power >= -4 && power < 16 : power >= -6 && power < 21) {
        write_fixed(out, digits, n, power, d->python);
        return;
    }
    str_char(out, digits[0]);
    if (n > 1) {
        str_char(out, '.');
        str_add(out, digits + 1, (size_t)n - 1);
    }
    str_printf(out, d->python ? "e%c%02d" : "e%c%d", power < 0 ? '-' : '+', abs(power));
}

static void write_integer(struct str *out, json_int_t v, const struct dialect *d)
{
    const json_int_t exact = (json_int_t)1 << 53;
    if (d->doubles && (v > exact || v < -exact)) {
        write_double(out, (double)v, d);
    } else {
        str_int(out, v);
    }
}

/* ---- strings --------------------------------------------------------------------------------- */
/* The escape of c in this dialect, "" when it stands for itself. */
static const char *escape_of(unsigned char c, const struct dialect *d, char hex[8])
{
    static const char plain[] = "\"\\\n\r\t\b\f";
    static const char *const spelled[] = {"\\\"", "\\\\", "\\n", "\\r", "\\t", "\\b", "\\f"};
    const char *at = c != '\0' ? strchr(plain, c) : NULL;
    if (at != NULL && !(d->hex_backspace && (c == '\b' || c == '\f'))) {
        return spelled[at - plain];
    }
    if (c < 0x20 || (d->html && (c == '<' || c == '>' || c == '&'))) {
        snprintf(hex, 8, "\\u%04x", c);
        return hex;
    }
    return "";
}

static void write_string(struct str *out, const char *s, size_t n, const struct dialect *d)
{
    str_char(out, '"');
    size_t from = 0;
    for (size_t i = 0; d->escapes && i < n; i++) {
        char hex[8];
        const char *escape = escape_of((unsigned char)s[i], d, hex);
        size_t skip = 1;
        if (d->html && n - i >= 3 && memcmp(s + i, "\xe2\x80", 2) == 0 &&
            ((unsigned char)s[i + 2] & 0xfe) == 0xa8) {
            escape = s[i + 2] == '\xa8' ? "\\u2028" : "\\u2029";
            skip = 3;
        }
        if (escape[0] != '\0') {
            str_add(out, s + from, i - from);
            str_puts(out, escape);
            i += skip - 1;
            from = i + 1;
        }
    }
    str_add(out, s + from, n - from);
    str_char(out, '"');
}

/* ---- values ---------------------------------------------------------------------------------- */
static int by_code_point(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* UTF-16 sorts U+E000..U+FFFF (lead bytes EE, EF) behind what needs surrogates (F0 and up). */
static int utf16_rank(unsigned char c)
{
    return c == 0xee || c == 0xef ? c + 0x10 : c;
}

static int by_utf16(const void *a, const void *b)
{
    const unsigned char *x = *(const unsigned char *const *)a;
    const unsigned char *y = *(const unsigned char *const *)b;
    while (*x != '\0' && *x == *y) {
        x++;
        y++;
    }
    return utf16_rank(*x) - utf16_rank(*y);
}

static bool write_value(struct str *out, const json_t *v, const struct dialect *d, int depth);

static bool write_object(struct str *out, const json_t *v, const struct dialect *d, int depth)
{
    size_t n = json_object_size(v), i = 0;
    const char **keys = malloc((n + 1) * sizeof *keys);
    if (keys == NULL) {
        return false;
    }
    for (void *it = json_object_iter((json_t *)v); it != NULL;
         it = json_object_iter_next((json_t *)v, it)) {
        keys[i++] = json_object_iter_key(it);
    }
    qsort(keys, n, sizeof *keys, d->utf16 ? by_utf16 : by_code_point);
    bool ok = true;
    str_char(out, '{');
    for (i = 0; ok && i < n; i++) {
        str_puts(out, i > 0 ? "," : "");
        write_string(out, keys[i], strlen(keys[i]), d);
        str_char(out, ':');
        ok = write_value(out, json_object_get(v, keys[i]), d, depth + 1);
    }
    str_char(out, '}');
    free(keys);
    return ok;
}

static bool write_value(struct str *out, const json_t *v, const struct dialect *d, int depth)
{
    if (depth > DEPTH_MAX) {
        return false;
    }
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return write_object(out, v, d, depth);
    case JSON_ARRAY:
        str_char(out, '[');
        for (size_t i = 0; i < json_array_size(v); i++) {
            str_puts(out, i > 0 ? "," : "");
            if (!write_value(out, json_array_get(v, i), d, depth + 1)) {
                return false;
            }
        }
        str_char(out, ']');
        return true;
    case JSON_STRING:
        write_string(out, json_string_value(v), json_string_length(v), d);
        return true;
    case JSON_INTEGER:
        write_integer(out, json_integer_value(v), d);
        return true;
    case JSON_REAL:
        write_double(out, json_real_value(v), d);
        return true;
    default:
        str_puts(out, json_is_true(v) ? "true" : json_is_false(v) ? "false" : "null");
        return true;
    }
}

bool ak_canonical(const json_t *v, enum ak_dialect dialect, struct str *out)
{
    return write_value(out, v, &dialects[dialect], 0) && !out->failed;
}

/* ---- signatures ------------------------------------------------------------------------------ */
void ak_sign(const struct ak_signed *s, tn_str secret, const char *body_md5,
             char ret[AK_SIGN_LEN + 1])
{
    const tn_str amp = TN_STR("&");
    const tn_str parts[] = {s->method, amp, s->target,        amp, s->timestamp, amp,
                            s->nonce,  amp, text_of(body_md5)};
    uint8_t mac[SHA1_LEN];
    hmac_sha1(secret, parts, sizeof parts / sizeof *parts, mac);
    sodium_bin2hex(ret, AK_SIGN_LEN + 1, mac, sizeof mac);
}

static bool md5_signed(const struct ak_signed *s, tn_str secret, const void *body, size_t n)
{
    char md5[33], want[AK_SIGN_LEN + 1];
    md5_hex(body, n, md5);
    ak_sign(s, secret, md5, want);
    return sodium_memcmp(want, s->sign.s, AK_SIGN_LEN) == 0;
}

bool ak_sign_ok(const struct ak_signed *s, tn_str secret)
{
    if (s->sign.n != AK_SIGN_LEN) {
        return false;
    }
    bool ok = s->body.n > 0 ? md5_signed(s, secret, s->body.s, s->body.n)
                            : s->parsed == NULL && md5_signed(s, secret, "{}", 2);
    for (int d = 0; !ok && s->parsed != NULL && d < AK_DIALECTS; d++) {
        struct str text = {0};
        ok = ak_canonical(s->parsed, (enum ak_dialect)d, &text) &&
             md5_signed(s, secret, str_view(&text).s, text.n);
        str_free(&text);
    }
    return ok;
}
