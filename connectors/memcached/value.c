/* SPDX-License-Identifier: Apache-2.0 */
/* Values as flags and bytes, as python-memcached writes them: bytes without a flag, texts, integers, and what is longer
 * than min_compress_len by zlib. What it would pickle (dicts, lists, floats) is JSON with a flag of ours. Pickles are never
 * opened: who can write to a cache could run code here. */
#include "memcached.h"

#include <stdlib.h>
#include <zlib.h>

enum {
    PICKLE = 1,
    INTEGER = 2,
    LONG = 4,
    ZLIB = 8,
    TEXT = 16,
    TEXT_PYLIBMC = 32, /* where pylibmc has it */
    JSON = 64,         /* ours */
};

/* ---- writing ----------------------------------------------------------------------------------------- */

/* Replaces the bytes from `start` on by their zlib form, when that is shorter. */
static void compress_from(struct message_buf *b, size_t start, uint32_t *flags)
{
    uLong n = (uLong)(b->n - start);
    uLongf got = compressBound(n);
    Bytef *out = malloc(got);
    if (out != NULL && compress(out, &got, (const Bytef *)b->s + start, n) == Z_OK && got < n) {
        memcpy(b->s + start, out, got);
        b->n = start + got;
        *flags |= ZLIB;
    }
    free(out);
}

/* An integer of more than 64 bits comes as text. */
static bool whole_number(const tn_val *v)
{
    uint32_t i = v->n > 0 && v->u.s[0] == '-';
    bool some = i < v->n;
    while (i < v->n && v->u.s[i] >= '0' && v->u.s[i] <= '9') {
        i++;
    }
    return some && i == v->n;
}

tn_rc mc_encode(const tn_val *v, int64_t min_compress, struct message_buf *ret, uint32_t *ret_flags,
                tn_err *err)
{
    size_t start = ret->n;
    tn_rc rc = TN_OK;
    *ret_flags = 0;
    switch (v->type) {
    case TN_T_BYTES:
        message_put(ret, v->u.s, v->n);
        break;
    case TN_T_STR:
        message_put(ret, v->u.s, v->n);
        *ret_flags = TEXT;
        break;
    case TN_T_INT:
        message_put_int(ret, v->u.i);
        *ret_flags = INTEGER;
        break;
    default:
        if (v->type == TN_T_DECIMAL && whole_number(v)) {
            message_put(ret, v->u.s, v->n);
            *ret_flags = INTEGER;
        } else {
            rc = message_json(mc_host, ret, v, err);
            *ret_flags = JSON;
        }
    }
    if (rc == TN_OK && ret->failed) {
        rc = mc_host->fail(err, TN_E_NOMEM, "no memory for the value");
    }
    if (rc == TN_OK && min_compress > 0 && *ret_flags != INTEGER &&
        ret->n - start > (size_t)min_compress) {
        compress_from(ret, start, ret_flags);
    }
    return rc;
}

/* ---- reading ----------------------------------------------------------------------------------------- */

/* The bytes inside; *ret is freed by the caller. */
static tn_rc expand(const char *s, size_t n, size_t max, char **ret, size_t *ret_n, tn_err *err)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)s, .avail_in = (uInt)n};
    size_t cap = n * 4 + 256;
    char *out = NULL;
    int rc = inflateInit(&z);
    if (rc != Z_OK) {
        return mc_host->fail(err, TN_E_NOMEM, "no memory for the value");
    }
    do {
        cap = cap > max ? max + 1 : cap;
        char *more = realloc(out, cap);
        if (more == NULL) {
            rc = Z_MEM_ERROR;
            break;
        }
        out = more;
        z.next_out = (Bytef *)out + z.total_out;
        z.avail_out = (uInt)(cap - z.total_out);
        rc = inflate(&z, Z_NO_FLUSH);
        cap = cap * 3;
    } while (rc == Z_OK && z.avail_out == 0 && z.total_out <= max);
    size_t total = z.total_out;
    inflateEnd(&z);
    if (rc == Z_STREAM_END && total <= max) {
        *ret = out;
        *ret_n = total;
        return TN_OK;
    }
    free(out);
    return total > max ? mc_host->fail(err, TN_E_LIMIT,
                                       "the value is larger than max_result (%zu bytes) when it is "
                                       "unpacked",
                                       max)
                       : mc_host->fail(err, rc == Z_MEM_ERROR ? TN_E_NOMEM : TN_E_REMOTE,
                                       "the value says that it is packed with zlib, and is not");
}

/* Digits with a sign; decr leaves blanks behind. Beyond 64 bits the sink makes a number of the text. */
static tn_rc put_integer(const char *s, size_t n, struct tape *out, tn_err *err)
{
    size_t i = n > 0 && s[0] == '-';
    size_t first = i;
    char text[24];
    while (n > 0 && s[n - 1] == ' ') {
        n--;
    }
    while (i < n && s[i] >= '0' && s[i] <= '9') {
        i++;
    }
    if (i != n || i == first || (n - first > 1 && s[first] == '0') || n > 4000) {
        return mc_host->fail(err, TN_E_REMOTE,
                             "the value says that it is an integer, and is `%.*s`",
                             (int)(n < 40 ? n : 40), s);
    }
    if (n < 19) {
        memcpy(text, s, n);
        text[n] = '\0';
        tape_int(out, strtoll(text, NULL, 10));
    } else {
        tape_text(out, TN_T_STR, TN_V_JSON, s, n);
    }
    return TN_OK;
}

static tn_rc put_plain(uint32_t flags, const char *s, size_t n, struct tape *out, tn_err *err)
{
    uint32_t kind = 0;
    if (flags & (TEXT | TEXT_PYLIBMC)) {
        tape_str(out, s, n);
    } else if (flags & (INTEGER | LONG)) {
        return put_integer(s, n, out, err);
    } else if (flags == JSON) {
        if (mc_host->json->scan((tn_str){s, n}, &kind, NULL, 0, NULL, NULL) != TN_OK) {
            return mc_host->fail(err, TN_E_REMOTE, "the value says that it is JSON, and is not");
        }
        tape_text(out, TN_T_STR, TN_V_JSON, s, n);
    } else if (flags & PICKLE) {
        return mc_host->fail(
            err, TN_E_UNSUPP,
            "the value is a pickle of Python, which is not opened because it could "
            "run code; store texts, numbers, lists or dicts");
    } else {
        tape_text(out, TN_T_BYTES, 0, s, n);
    }
    return TN_OK;
}

tn_rc mc_decode(uint32_t flags, const char *s, size_t n, size_t max, struct tape *out, tn_err *err)
{
    char *inner = NULL;
    size_t ninner = 0;
    if (!(flags & ZLIB)) {
        return put_plain(flags, s, n, out, err);
    }
    tn_rc rc = n <= UINT32_MAX ? expand(s, n, max, &inner, &ninner, err)
                               : mc_host->fail(err, TN_E_LIMIT, "the value is too large");
    if (rc == TN_OK) {
        rc = put_plain(flags & ~(uint32_t)ZLIB, inner, ninner, out, err);
    }
    free(inner);
    return rc;
}
