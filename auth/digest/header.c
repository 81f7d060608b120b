/* SPDX-License-Identifier: Apache-2.0 */
/* The Authorization header of Digest: auth-params of RFC 9110 section 11.2, each at most once. */
#include "digest.h"

#include <string.h>
#include <strings.h>

static const char *const names[DIRECTIVES] = {
    [D_USERNAME] = "username",
    [D_USERNAME_EXT] = "username*",
    [D_REALM] = "realm",
    [D_NONCE] = "nonce",
    [D_URI] = "uri",
    [D_RESPONSE] = "response",
    [D_ALGORITHM] = "algorithm",
    [D_CNONCE] = "cnonce",
    [D_OPAQUE] = "opaque",
    [D_QOP] = "qop",
    [D_NC] = "nc",
    [D_USERHASH] = "userhash",
};

struct reader {
    const char *p, *end;
};

static void blanks(struct reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\t')) {
        r->p++;
    }
}

/* tchar of RFC 9110 section 5.6.2 */
static bool is_tchar(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static tn_str token(struct reader *r)
{
    tn_str t = {r->p, 0};
    while (r->p < r->end && is_tchar(*r->p)) {
        r->p++;
        t.n++;
    }
    return t;
}

/* A quoted-string without its quotes, into `out`. */
static bool quoted(struct reader *r, char **out, tn_str *ret)
{
    char *from = *out;
    r->p++;
    while (r->p < r->end && *r->p != '"') {
        r->p += *r->p == '\\';
        if (r->p == r->end || ((unsigned char)*r->p < ' ' && *r->p != '\t') || *r->p == 0x7f) {
            return false;
        }
        *(*out)++ = *r->p++;
    }
    if (r->p == r->end) {
        return false;
    }
    r->p++;
    *ret = (tn_str){from, (size_t)(*out - from)};
    return true;
}

static int directive_of(tn_str name)
{
    for (int i = 0; i < DIRECTIVES; i++) {
        if (strlen(names[i]) == name.n && strncasecmp(names[i], name.s, name.n) == 0) {
            return i;
        }
    }
    return -1;
}

tn_rc header_parse(tn_str credentials, struct digest_header *ret, const char **ret_why)
{
    struct reader r = {credentials.s, credentials.s + credentials.n};
    char *out = ret->text;
    memset(ret->value, 0, sizeof ret->value);
    if (credentials.n > HEADER_MAX) {
        *ret_why = "it is too long";
        return TN_E_INVAL;
    }
    while (blanks(&r), r.p < r.end) {
        if (*r.p == ',') {
            r.p++;
            continue;
        }
        tn_str name = token(&r), value;
        blanks(&r);
        if (name.n == 0 || r.p == r.end || *r.p != '=') {
            *ret_why = "a directive has no name or no value";
            return TN_E_INVAL;
        }
        r.p++;
        blanks(&r);
        if (r.p < r.end && *r.p == '"') {
            if (!quoted(&r, &out, &value)) {
                *ret_why = "a quoted value does not end or has control characters";
                return TN_E_INVAL;
            }
        } else {
            value = token(&r);
            if (value.n == 0) {
                *ret_why = "a value is neither a token nor quoted";
                return TN_E_INVAL;
            }
            memcpy(out, value.s, value.n);
            value.s = out;
            out += value.n;
        }
        blanks(&r);
        if (r.p < r.end && *r.p != ',') {
            *ret_why = "directives are not separated by commas";
            return TN_E_INVAL;
        }
        int which = directive_of(name);
        if (which >= 0 && ret->value[which].s != NULL) {
            *ret_why = "a directive is given twice";
            return TN_E_INVAL;
        }
        if (which >= 0) {
            ret->value[which] = value;
        }
    }
    return TN_OK;
}

static int digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* UTF-8'language'percent-encoded */
static bool extended(tn_str t, char out[USERNAME_MAX], tn_str *ret)
{
    size_t n = 0, i = 6;
    if (t.n < 7 || strncasecmp(t.s, "UTF-8'", 6) != 0) {
        return false;
    }
    const char *quote = memchr(t.s + i, '\'', t.n - i);
    if (quote == NULL) {
        return false;
    }
    for (i = (size_t)(quote + 1 - t.s); i < t.n; i++) {
        int hi = t.s[i] == '%' && i + 2 < t.n ? digit(t.s[i + 1]) : -1;
        int lo = hi >= 0 ? digit(t.s[i + 2]) : -1;
        if (n == USERNAME_MAX || (t.s[i] == '%' && lo < 0)) {
            return false;
        }
        out[n++] = lo >= 0 ? (char)(hi << 4 | lo) : t.s[i];
        i += lo >= 0 ? 2 : 0;
    }
    *ret = (tn_str){out, n};
    return n > 0;
}

bool header_username(const struct digest_header *h, char out[USERNAME_MAX], tn_str *ret)
{
    tn_str plain = h->value[D_USERNAME], ext = h->value[D_USERNAME_EXT];
    if ((plain.s != NULL) == (ext.s != NULL)) {
        return false;
    }
    if (ext.s != NULL) {
        return extended(ext, out, ret);
    }
    *ret = plain;
    return plain.n > 0 && plain.n <= USERNAME_MAX;
}
