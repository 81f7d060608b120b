/* SPDX-License-Identifier: Apache-2.0 */
/* Values as bytes for caches and brokers. */
#include "common/message.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 60

void message_put(struct message_buf *b, const void *p, size_t n)
{
    if (b->failed || n == 0) {
        return;
    }
    if (b->n + n > b->cap) {
        size_t cap = (b->n + n) * 2 + 256;
        char *more = realloc(b->s, cap);
        if (more == NULL) {
            b->failed = true;
            return;
        }
        b->s = more;
        b->cap = cap;
    }
    memcpy(b->s + b->n, p, n);
    b->n += n;
}

void message_puts(struct message_buf *b, const char *text)
{
    message_put(b, text, strlen(text));
}

void message_put_int(struct message_buf *b, int64_t i)
{
    char text[24];
    message_put(b, text, (size_t)snprintf(text, sizeof text, "%" PRId64, i));
}

void message_free(struct message_buf *b)
{
    free(b->s);
    *b = (struct message_buf){.s = NULL};
}

/* ---- JSON -------------------------------------------------------------------------------------------- */

static tn_rc refuse(const tn_host *host, const tn_val *v, tn_err *err)
{
    static const char *const names[TN_T_TYPES] = {[TN_T_BYTES] = "bytes inside of a dict or list",
                                                  [TN_T_TIME] = "a datetime",
                                                  [TN_T_DATE] = "a date",
                                                  [TN_T_CLOCK] = "a time",
                                                  [TN_T_SPAN] = "a timedelta",
                                                  [TN_T_FLOAT] = "a float that is no number"};
    return host->fail(
        err, TN_E_INVAL,
        "the value is or has %s, which JSON does not know; make a text or number of it",
        v->type < TN_T_TYPES && names[v->type] ? names[v->type] : "something");
}

/* The shortest text that is the same number again, and a float when it is read. */
static void put_float(struct message_buf *b, double f)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, f);
        if (strtod(text, NULL) == f) {
            break;
        }
    }
    message_puts(b, text);
    if (strpbrk(text, ".e") == NULL) {
        message_puts(b, ".0");
    }
}

static void put_quoted(const tn_host *host, struct message_buf *b, const tn_val *v)
{
    const tn_str s = {v->u.s, v->n};
    size_t n = host->json->quote(s, NULL, 0);
    char *text = malloc(n + 1);
    if (text == NULL) {
        b->failed = true;
        return;
    }
    host->json->quote(s, text, n + 1);
    message_put(b, text, n);
    free(text);
}

static tn_rc put_json(const tn_host *host, struct message_buf *b, const tn_val *v, int depth,
                      tn_err *err)
{
    tn_rc rc = TN_OK;
    if (depth > DEPTH_MAX) {
        return host->fail(err, TN_E_LIMIT, "the value is nested deeper than %d levels", DEPTH_MAX);
    }
    switch (v->type) {
    case TN_T_NULL:
        message_puts(b, "null");
        break;
    case TN_T_BOOL:
        message_puts(b, v->u.i ? "true" : "false");
        break;
    case TN_T_INT:
        message_put_int(b, v->u.i);
        break;
    case TN_T_FLOAT:
        if (!isfinite(v->u.f)) {
            return refuse(host, v, err);
        }
        put_float(b, v->u.f);
        break;
    case TN_T_STR:
        put_quoted(host, b, v);
        break;
    case TN_T_DECIMAL:
        message_put(b, v->u.s, v->n);
        break;
    case TN_T_LIST:
        message_puts(b, "[");
        for (uint32_t i = 0; rc == TN_OK && i < v->n; i++) {
            message_puts(b, i != 0 ? "," : "");
            rc = put_json(host, b, &v->u.list[i], depth + 1, err);
        }
        message_puts(b, "]");
        break;
    case TN_T_MAP:
        message_puts(b, "{");
        for (uint32_t i = 0; rc == TN_OK && i < v->n; i++) {
            const tn_val *key = &v->u.map[i].key;
            if (key->type != TN_T_STR) {
                return host->fail(err, TN_E_INVAL, "a dict becomes JSON when its keys are texts");
            }
            message_puts(b, i != 0 ? "," : "");
            put_quoted(host, b, key);
            message_puts(b, ":");
            rc = put_json(host, b, &v->u.map[i].val, depth + 1, err);
        }
        message_puts(b, "}");
        break;
    default:
        return refuse(host, v, err);
    }
    return rc;
}

tn_rc message_json(const tn_host *host, struct message_buf *b, const tn_val *v, tn_err *err)
{
    tn_rc rc = put_json(host, b, v, 0, err);
    return rc == TN_OK && b->failed ? host->fail(err, TN_E_NOMEM, "no memory for the value") : rc;
}

tn_rc message_body(const tn_host *host, struct message_buf *b, const tn_val *v, tn_err *err)
{
    if (v->type != TN_T_STR && v->type != TN_T_BYTES) {
        return message_json(host, b, v, err);
    }
    message_put(b, v->u.s, v->n);
    return b->failed ? host->fail(err, TN_E_NOMEM, "no memory for the message") : TN_OK;
}
