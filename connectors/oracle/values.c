/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of a script's values for the thread of the connection, whose caller may have gone when it uses them. */
#include "oracle.h"

#include <stdlib.h>
#include <string.h>

static size_t text_bytes(const tn_val *v)
{
    return v->type == TN_T_STR || v->type == TN_T_BYTES || v->type == TN_T_DECIMAL ? v->n : 0;
}

static tn_rc check(const tn_val *v, tn_err *err)
{
    if (v->type == TN_T_LIST || v->type == TN_T_MAP) {
        return ora_host->fail(err, TN_E_INVAL,
                              "a list or dict cannot be one value of a row or of a variable");
    }
    return TN_OK;
}

tn_rc ora_values_copy(const tn_val *const *from, uint32_t n, uint32_t nrows, struct ora_values *ret,
                      tn_err *err)
{
    size_t total = (size_t)n * nrows, bytes = 0, at = 0;
    tn_rc rc = TN_OK;
    for (size_t i = 0; rc == TN_OK && i < total; i++) {
        rc = check(from[i], err);
        bytes += text_bytes(from[i]);
    }
    if (rc != TN_OK) {
        return rc;
    }
    *ret = (struct ora_values){.n = n, .nrows = nrows};
    ret->v = calloc(total + 1, sizeof *ret->v);
    ret->text = malloc(bytes + 1);
    if (ret->v == NULL || ret->text == NULL) {
        ora_values_finish(ret);
        return ora_host->fail(err, TN_E_NOMEM, "no memory for the parameters");
    }
    for (size_t i = 0; i < total; i++) {
        size_t len = text_bytes(from[i]);
        ret->v[i] = *from[i];
        if (len != 0) {
            memcpy(ret->text + at, from[i]->u.s, len);
        }
        if (from[i]->type == TN_T_STR || from[i]->type == TN_T_BYTES ||
            from[i]->type == TN_T_DECIMAL) {
            ret->v[i].u.s = ret->text + at;
            at += len;
        }
    }
    return TN_OK;
}

void ora_values_finish(struct ora_values *v)
{
    free(v->v);
    free(v->text);
    *v = (struct ora_values){.n = 0};
}
