/* SPDX-License-Identifier: Apache-2.0 */
/* Writing JSON. */
#include "common/json_put.h"
#include "common/civil.h"
#include "common/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_US 86400000000

void json_put_text(struct grow *to, const char *s, size_t n)
{
    static const char names[] = {'b', 't', 'n', 0, 'f', 'r'}; /* of 8 to 13 */
    size_t from = 0;
    grow_char(to, '"');
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c >= ' ' && c != '"' && c != '\\') {
            continue;
        }
        grow_put(to, s + from, i - from);
        from = i + 1;
        if (c >= ' ') {
            grow_char(to, '\\');
            grow_char(to, (char)c);
        } else if (c >= 8 && c <= 13 && names[c - 8] != 0) {
            grow_char(to, '\\');
            grow_char(to, names[c - 8]);
        } else {
            grow_printf(to, "\\u%04x", c);
        }
    }
    grow_put(to, s + from, n - from);
    grow_char(to, '"');
}

void json_put_float(struct grow *to, double f)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, f);
        if (strtod(text, NULL) == f) {
            break;
        }
    }
    grow_text(to, text);
    if (strpbrk(text, ".en") == NULL) {
        grow_text(to, ".0");
    }
}

static void put_clock(struct grow *to, int64_t us)
{
    grow_printf(to, "%02d:%02d:%02d", (int)(us / 3600000000), (int)(us / 60000000 % 60),
                (int)(us / 1000000 % 60));
    if (us % 1000000 != 0) {
        grow_printf(to, ".%06d", (int)(us % 1000000));
    }
}

static void put_date(struct grow *to, int64_t days)
{
    int64_t y;
    int m, d;
    civil_date(days, &y, &m, &d);
    grow_printf(to, "%04" PRId64 "-%02d-%02d", y, m, d);
}

void json_put_time(struct grow *to, int64_t us, int naive)
{
    int64_t days = us / DAY_US - (us % DAY_US < 0);
    put_date(to, days);
    grow_char(to, 'T');
    put_clock(to, us - days * DAY_US);
    grow_text(to, naive ? "" : "Z");
}

static tn_rc put_key(const tn_host *host, struct grow *to, const tn_val *k, tn_err *err)
{
    switch (k->type) {
    case TN_T_STR:
    case TN_T_DECIMAL:
        json_put_text(to, k->u.s, k->n);
        return TN_OK;
    case TN_T_INT:
        grow_printf(to, "\"%" PRId64 "\"", k->u.i);
        return TN_OK;
    case TN_T_BOOL:
        grow_text(to, k->u.i ? "\"true\"" : "\"false\"");
        return TN_OK;
    case TN_T_NULL:
        grow_text(to, "\"null\"");
        return TN_OK;
    case TN_T_FLOAT:
        grow_char(to, '"');
        json_put_float(to, k->u.f);
        grow_char(to, '"');
        return TN_OK;
    default:
        return host->fail(err, TN_E_INVAL, "a key of JSON is a text, not one of type %d", k->type);
    }
}

static tn_rc put_items(const tn_host *host, struct grow *to, const tn_val *v, tn_err *err)
{
    int map = v->type == TN_T_MAP;
    tn_rc rc = TN_OK;
    grow_char(to, map ? '{' : '[');
    for (uint32_t i = 0; rc == TN_OK && i < v->n; i++) {
        if (i != 0) {
            grow_char(to, ',');
        }
        if (map) {
            rc = put_key(host, to, &v->u.map[i].key, err);
            grow_char(to, ':');
        }
        rc = rc == TN_OK ? json_put(host, to, map ? &v->u.map[i].val : &v->u.list[i], err) : rc;
    }
    grow_char(to, map ? '}' : ']');
    return rc;
}

tn_rc json_put(const tn_host *host, struct grow *to, const tn_val *v, tn_err *err)
{
    tn_rc rc = TN_OK;
    switch (v->type) {
    case TN_T_NULL:
        grow_text(to, "null");
        break;
    case TN_T_BOOL:
        grow_text(to, v->u.i ? "true" : "false");
        break;
    case TN_T_INT:
        grow_printf(to, "%" PRId64, v->u.i);
        break;
    case TN_T_FLOAT:
        if (!isfinite(v->u.f)) {
            return host->fail(err, TN_E_INVAL, "JSON has no number %g; leave it out or send None",
                              v->u.f);
        }
        json_put_float(to, v->u.f);
        break;
    case TN_T_BYTES:
        if (!utf8_valid((const char *)v->u.b, v->n)) {
            return host->fail(err, TN_E_INVAL,
                              "bytes that are no text cannot stand in JSON; encode them (base64)");
        }
        json_put_text(to, (const char *)v->u.b, v->n);
        break;
    case TN_T_STR:
        json_put_text(to, v->u.s, v->n);
        break;
    case TN_T_DECIMAL:
        if (v->n == 0 || strchr("nNiIsS", v->u.s[v->u.s[0] == '-']) != NULL) {
            return host->fail(err, TN_E_INVAL, "JSON has no number %.*s", (int)v->n, v->u.s);
        }
        grow_put(to, v->u.s, v->n);
        break;
    case TN_T_TIME:
    case TN_T_DATE:
    case TN_T_CLOCK:
        grow_char(to, '"');
        if (v->type == TN_T_TIME) {
            json_put_time(to, v->u.i, v->flags & TN_V_NAIVE);
        } else if (v->type == TN_T_DATE) {
            put_date(to, v->u.i);
        } else {
            put_clock(to, v->u.i);
        }
        grow_char(to, '"');
        break;
    case TN_T_SPAN:
        json_put_float(to, (double)v->u.i / 1e6);
        break;
    case TN_T_LIST:
    case TN_T_MAP:
        rc = put_items(host, to, v, err);
        break;
    default:
        return host->fail(err, TN_E_INVAL, "a value of type %d cannot stand in JSON", v->type);
    }
    return rc == TN_OK && to->rc != TN_OK ? host->fail(err, to->rc, "the JSON is too long") : rc;
}
