/* SPDX-License-Identifier: Apache-2.0 */
/* RESP2, the words of the cache: reading requests and the length of replies, writing replies. */
#include "kernel/hub/cache_int.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- reading -------------------------------------------------------------------------------------------- */

/* A line "<mark><number>\r\n" at *at; false: not one, or not complete (then *at is past the end). */
static bool header(tn_str s, size_t *at, char mark, int64_t *ret)
{
    const char *nl = *at < s.n ? memchr(s.s + *at, '\r', s.n - *at) : NULL;
    if (nl == NULL || nl + 1 >= s.s + s.n || nl[1] != '\n' || s.s[*at] != mark ||
        !str_to_i64((tn_str){s.s + *at + 1, (size_t)(nl - s.s) - *at - 1}, ret)) {
        return false;
    }
    *at = (size_t)(nl - s.s) + 2;
    return true;
}

bool resp_request(struct words *w, tn_str request, const char **ret_why)
{
    int64_t n, len;
    size_t at = 0;
    *ret_why = "ERR Protocol error: expected an array of bulk strings";
    /* The smallest argument is "$0\r\n\r\n", so the text bounds the number. */
    if (!header(request, &at, '*', &n) || n < 1 || (uint64_t)n > request.n / 6) {
        return false;
    }
    if ((size_t)n > w->cap) {
        tn_str *more = realloc(w->v, (size_t)n * sizeof *more);
        if (more == NULL) {
            *ret_why = "OOM no memory for the arguments";
            return false;
        }
        w->v = more;
        w->cap = (size_t)n;
    }
    w->n = (size_t)n;
    for (size_t i = 0; i < w->n; i++) {
        if (!header(request, &at, '$', &len) || len < 0 || at + 2 > request.n ||
            (uint64_t)len > request.n - at - 2 ||
            memcmp(request.s + at + (size_t)len, "\r\n", 2) != 0) {
            return false;
        }
        w->v[i] = (tn_str){request.s + at, (size_t)len};
        at += (size_t)len + 2;
    }
    return at == request.n;
}

/* Iterative: `open` replies are still to come. */
size_t resp_reply_size(tn_str s)
{
    size_t at = 0;
    for (uint64_t open = 1; open > 0; open--) {
        int64_t n;
        if (at >= s.n) {
            return 0;
        }
        char mark = s.s[at];
        const char *nl = memchr(s.s + at, '\n', s.n - at);
        if (strchr("+-:$*", mark) == NULL || mark == '\0') {
            return SIZE_MAX;
        }
        if (nl == NULL) {
            return s.n - at > 64 * 1024 ? SIZE_MAX : 0;
        }
        if (mark != '$' && mark != '*') {
            at = (size_t)(nl - s.s) + 1;
            continue;
        }
        if (!header(s, &at, mark, &n) || n < -1) {
            return SIZE_MAX;
        }
        if (mark == '$' && n >= 0) {
            if ((uint64_t)n + 2 > s.n - at) {
                return 0;
            }
            at += (size_t)n + 2;
        } else if (mark == '*' && n > 0) {
            if (n > (1 << 30)) {
                return SIZE_MAX;
            }
            open += (uint64_t)n;
        }
    }
    return at;
}

/* ---- writing ---------------------------------------------------------------------------------------------- */

void reply_error(struct cmd *x, const char *fmt, ...)
{
    va_list ap;
    buf_addc(x->out, '-');
    va_start(ap, fmt);
    size_t from = x->out->len;
    buf_vprintf(x->out, fmt, ap);
    va_end(ap);
    for (size_t i = from; i < x->out->len; i++) { /* one line, whatever was quoted */
        if ((unsigned char)x->out->data[i] < ' ') {
            x->out->data[i] = ' ';
        }
    }
    buf_adds(x->out, "\r\n");
}

void reply_ok(struct cmd *x)
{
    buf_adds(x->out, "+OK\r\n");
}

static void reply_number(struct cmd *x, char mark, int64_t v)
{
    buf_addc(x->out, mark);
    buf_addi(x->out, v);
    buf_add(x->out, "\r\n", 2);
}

void reply_int(struct cmd *x, int64_t v)
{
    reply_number(x, ':', v);
}

void reply_bulk(struct cmd *x, tn_str s)
{
    reply_number(x, '$', (int64_t)s.n);
    buf_addstr(x->out, s);
    buf_add(x->out, "\r\n", 2);
}

void reply_nil(struct cmd *x)
{
    buf_adds(x->out, "$-1\r\n");
}

void reply_nil_array(struct cmd *x)
{
    buf_adds(x->out, "*-1\r\n");
}

void reply_array(struct cmd *x, size_t n)
{
    reply_number(x, '*', (int64_t)n);
}

void reply_double(struct cmd *x, double v)
{
    char text[64];
    int n = isinf(v) ? snprintf(text, sizeof text, v > 0 ? "inf" : "-inf")
                     : snprintf(text, sizeof text, "%.17g", v);
    reply_bulk(x, (tn_str){text, (size_t)n});
}

/* ---- arguments ---------------------------------------------------------------------------------------------- */

bool int_read(tn_str s, int64_t *ret)
{
    const char *digits = s.s + (s.n > 0 && s.s[0] == '-');
    size_t n = s.n - (size_t)(digits - s.s);
    bool canonical = n > 0 && isdigit((unsigned char)digits[0]) &&
                     (digits[0] != '0' || s.n == 1); /* no "+1", "01", "-0" */
    return canonical && str_to_i64(s, ret);
}

bool arg_int(struct cmd *x, size_t i, int64_t *ret)
{
    if (!int_read(x->argv[i], ret)) {
        reply_error(x, NOT_INTEGER);
        return false;
    }
    return true;
}

bool float_read(tn_str s, double *ret)
{
    tn_str bare = s;
    if (s.n > 1 && (s.s[0] == '-' || s.s[0] == '+')) {
        bare = (tn_str){s.s + 1, s.n - 1};
    }
    if (str_ieq(bare, TN_STR("inf")) || str_ieq(bare, TN_STR("infinity"))) {
        *ret = s.s[0] == '-' ? -HUGE_VAL : HUGE_VAL;
        return true;
    }
    return str_to_f64(s, ret);
}

bool arg_float(struct cmd *x, size_t i, double *ret)
{
    if (!float_read(x->argv[i], ret)) {
        reply_error(x, NOT_FLOAT);
        return false;
    }
    return true;
}

bool arg_is(const struct cmd *x, size_t i, const char *word)
{
    return str_ieq(x->argv[i], str_of(word));
}

bool range_clamp(int64_t *start, int64_t *stop, size_t n)
{
    int64_t len = (int64_t)n;
    *start += *start < 0 ? len : 0;
    *stop += *stop < 0 ? len : 0;
    *start = *start < 0 ? 0 : *start;
    *stop = *stop >= len ? len - 1 : *stop;
    return *start <= *stop;
}

size_t float_text(long double v, char *out, size_t cap)
{
    size_t n = (size_t)snprintf(out, cap, "%.17Lf", v);
    if (n >= cap) {
        n = (size_t)snprintf(out, cap, "%.17Lg", v);
        return n;
    }
    while (n > 0 && out[n - 1] == '0') {
        n--;
    }
    n -= n > 0 && out[n - 1] == '.';
    return n == 2 && out[0] == '-' && out[1] == '0' ? (out[0] = '0', (size_t)1) : n;
}
