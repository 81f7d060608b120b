/* SPDX-License-Identifier: Apache-2.0 */
/* What methods are given: keys by the rules of the protocol, numbers also as text (the debug panel has only texts). */
#include "memcached.h"

#include "common/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

static tn_rc judge_key(const char *s, size_t n, tn_err *err)
{
    if (n == 0) {
        return mc_host->fail(err, TN_E_INVAL, "the key is empty");
    }
    for (size_t i = 0; i < n; i++) {
        unsigned char ch = (unsigned char)s[i];
        if (ch <= 0x20 || ch == 0x7f) {
            return mc_host->fail(err, TN_E_INVAL,
                                 "the key has the character 0x%02x at byte %zu; blanks and control "
                                 "characters are not allowed",
                                 ch, i);
        }
    }
    return utf8_valid(s, n) ? TN_OK : mc_host->fail(err, TN_E_INVAL, "the key is no UTF-8");
}

tn_rc mc_key_with(const tn_val *prefix, const tn_val *v, char *room, tn_str *ret, tn_err *err)
{
    size_t n = 0;
    const tn_val *parts[] = {prefix, v};
    for (int i = 0; i < 2; i++) {
        const tn_val *p = parts[i];
        if (p == NULL || (i == 0 && p->type == TN_T_NULL)) {
            continue;
        }
        if (p->type != TN_T_STR && p->type != TN_T_BYTES) {
            return mc_host->fail(err, TN_E_INVAL, "a key%s must be a text or bytes",
                                 i == 0 ? "'s prefix" : "");
        }
        if (n + p->n > MC_KEY_MAX) {
            return mc_host->fail(err, TN_E_INVAL, "the key has %zu bytes; up to %d are allowed",
                                 n + p->n, MC_KEY_MAX);
        }
        if (p->n != 0) {
            memcpy(room + n, p->u.s, p->n);
        }
        n += p->n;
    }
    *ret = (tn_str){room, n};
    return judge_key(room, n, err);
}

tn_rc mc_key(const tn_val *v, tn_str *ret, tn_err *err)
{
    if (v->type != TN_T_STR && v->type != TN_T_BYTES) {
        return mc_host->fail(err, TN_E_INVAL, "a key must be a text or bytes");
    }
    *ret = (tn_str){v->u.s, v->n};
    return v->n > MC_KEY_MAX
               ? mc_host->fail(err, TN_E_INVAL, "the key has %u bytes; up to %d are allowed", v->n,
                               MC_KEY_MAX)
               : judge_key(v->u.s, v->n, err);
}

tn_rc mc_number(const tn_val *v, const char *what, int64_t dflt, int64_t min, int64_t max,
                int64_t *ret, tn_err *err)
{
    int64_t i = dflt;
    bool ok = true;
    if (v->type == TN_T_INT) {
        i = v->u.i;
    } else if (v->type == TN_T_FLOAT && v->u.f >= -9e15 && v->u.f <= 9e15) {
        i = (int64_t)v->u.f;
        ok = (double)i == v->u.f; /* half a second is not for ever */
    } else if (v->type == TN_T_STR && v->n > 0 && v->n < 20) {
        char text[24], *end;
        memcpy(text, v->u.s, v->n);
        text[v->n] = '\0';
        errno = 0;
        i = strtoll(text, &end, 10);
        ok = end == text + v->n && errno == 0;
    } else {
        ok = v->type == TN_T_NULL;
    }
    if (!ok || i < min || i > max) {
        return mc_host->fail(err, TN_E_INVAL,
                             "%s must be a whole number from %" PRId64 " to %" PRId64, what, min,
                             max);
    }
    *ret = i;
    return TN_OK;
}
