/* SPDX-License-Identifier: Apache-2.0 */
/* The line protocol of InfluxDB: measurement,tag=value field=value,field=value time */
#include "common/civil.h"
#include "common/json_put.h"
#include "common/utf8.h"
#include "influx.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAGS_MAX 1024

/* ---- texts ------------------------------------------------------------------------------------------- */

/* A name or the value of a tag. The server takes a backslash only together with what it escapes, so others stay as they
 * are, and one at the end cannot be written at all, nor (unless `pairs`) one
 * before what is escaped; a line break becomes the two characters \n, as the original has it. */
static tn_rc put_name(const tn_host *host, struct grow *to, const char *what, tn_str s,
                      const char *special, int pairs, tn_err *err)
{
    size_t from = 0;
    if (s.n != 0 && s.s[s.n - 1] == '\\') {
        return host->fail(err, TN_E_INVAL,
                          "%s `%.*s` ends with a backslash, which the line protocol cannot say",
                          what, (int)(s.n < 100 ? s.n : 100), s.s);
    }
    if (s.n > 65000 || memchr(s.s, '\0', s.n) != NULL || !utf8_valid(s.s, s.n)) {
        return host->fail(err, TN_E_INVAL, "%s is longer than 65,000 bytes, or is no text", what);
    }
    for (size_t i = 0; !pairs && i + 1 < s.n; i++) {
        if (s.s[i] == '\\' && strchr(",= \n", s.s[i + 1]) != NULL) {
            return host->fail(
                err, TN_E_INVAL,
                "%s `%.*s` has a backslash before a comma, a blank or an equals sign, which the line protocol "
                "cannot say there",
                what, (int)(s.n < 100 ? s.n : 100), s.s);
        }
    }
    for (size_t i = 0; i < s.n; i++) {
        if (s.s[i] == '\n' || strchr(special, s.s[i]) != NULL) {
            grow_put(to, s.s + from, i - from);
            grow_char(to, '\\');
            grow_char(to, s.s[i] == '\n' ? 'n' : s.s[i]);
            from = i + 1;
        }
    }
    grow_put(to, s.s + from, s.n - from);
    return TN_OK;
}

static void put_string(struct grow *to, tn_str s)
{
    size_t from = 0;
    grow_char(to, '"');
    for (size_t i = 0; i < s.n; i++) {
        if (s.s[i] == '"' || s.s[i] == '\\') {
            grow_put(to, s.s + from, i - from);
            grow_char(to, '\\');
            from = i;
        }
    }
    grow_put(to, s.s + from, s.n - from);
    grow_char(to, '"');
}

/* ---- tags -------------------------------------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
    const tn_val *x = &(*(const tn_pair *const *)a)->key, *y = &(*(const tn_pair *const *)b)->key;
    uint32_t n = x->n < y->n ? x->n : y->n;
    int c = n != 0 ? memcmp(x->u.s, y->u.s, n) : 0;
    return c != 0 ? c : (x->n > y->n) - (x->n < y->n);
}

/* Tags are texts; numbers are written as Python's str() has them. */
static tn_rc tag_value(const tn_host *host, struct grow *to, const tn_val *v, tn_err *err)
{
    struct grow text = {0};
    tn_rc rc = TN_OK;
    switch (v->type) {
    case TN_T_STR:
    case TN_T_DECIMAL:
    case TN_T_BYTES:
        return put_name(host, to, "the value of a tag", (tn_str){v->u.s, v->n}, ",= ", 1, err);
    case TN_T_BOOL:
        grow_text(to, v->u.i ? "True" : "False");
        return TN_OK;
    case TN_T_INT:
        grow_printf(to, "%" PRId64, v->u.i);
        return TN_OK;
    case TN_T_FLOAT:
        json_put_float(&text, v->u.f);
        break;
    case TN_T_TIME:
        json_put_time(&text, v->u.i, v->flags & TN_V_NAIVE);
        break;
    default:
        return host->fail(err, TN_E_INVAL,
                          "the value of a tag is a text or a number, not one of type %d", v->type);
    }
    rc = text.rc == TN_OK
             ? put_name(host, to, "the value of a tag", (tn_str){text.s, text.n}, ",= ", 1, err)
             : text.rc;
    grow_free(&text);
    return rc;
}

static tn_rc put_tags(const tn_host *host, struct grow *to, const tn_val *tags, tn_err *err)
{
    const tn_pair *sorted[TAGS_MAX];
    uint32_t n = 0;
    tn_rc rc = TN_OK;
    if (tags == NULL || tags->type == TN_T_NULL) {
        return TN_OK;
    }
    if (tags->type != TN_T_MAP || tags->n > TAGS_MAX) {
        return host->fail(err, TN_E_INVAL, "tags is a dict of at most %d texts", TAGS_MAX);
    }
    for (uint32_t i = 0; i < tags->n; i++) {
        const tn_val *v = &tags->u.map[i].val;
        if (tags->u.map[i].key.type != TN_T_STR || tags->u.map[i].key.n == 0) {
            return host->fail(err, TN_E_INVAL, "names of tags are texts");
        }
        if (v->type != TN_T_NULL &&
            !((v->type == TN_T_STR || v->type == TN_T_BYTES) && v->n == 0)) {
            sorted[n++] = &tags->u.map[i]; /* an empty tag is no tag */
        }
    }
    qsort(sorted, n, sizeof *sorted, by_key); /* the order that the server is quickest with */
    for (uint32_t i = 0; rc == TN_OK && i < n; i++) {
        grow_char(to, ',');
        rc = put_name(host, to, "the name of a tag", (tn_str){sorted[i]->key.u.s, sorted[i]->key.n},
                      ",= ", 1, err);
        grow_char(to, '=');
        rc = rc == TN_OK ? tag_value(host, to, &sorted[i]->val, err) : rc;
    }
    return rc;
}

/* ---- fields ------------------------------------------------------------------------------------------ */

/* A Decimal is a float; an int of more than 64 bits comes as one, too, and must not lose its last digits silently. */
static int too_long_an_integer(const tn_val *v)
{
    size_t sign = v->n != 0 && v->u.s[0] == '-', n = v->n - sign;
    static const char most[] = "9223372036854775808";
    for (size_t i = 0; i < n; i++) {
        if (v->u.s[sign + i] < '0' || v->u.s[sign + i] > '9') {
            return 0;
        }
    }
    int c = n == 19 ? memcmp(v->u.s + sign, most, 19) : (n > 19) - (n < 19);
    return c > 0 || (c == 0 && sign == 0);
}

static tn_rc field_value(const tn_host *host, struct grow *to, const tn_val *k, const tn_val *v,
                         tn_err *err)
{
    int n = (int)(k->n < 100 ? k->n : 100);
    struct grow text = {0};
    switch (v->type) {
    case TN_T_BOOL:
        grow_text(to, v->u.i ? "true" : "false");
        return TN_OK;
    case TN_T_INT:
        grow_printf(to, "%" PRId64 "i", v->u.i);
        return TN_OK;
    case TN_T_FLOAT:
        if (!isfinite(v->u.f)) {
            return host->fail(err, TN_E_INVAL,
                              "field %.*s is %g, which InfluxDB does not store; leave it out", n,
                              k->u.s, v->u.f);
        }
        json_put_float(to, v->u.f);
        return TN_OK;
    case TN_T_DECIMAL:
        if (v->n == 0 || strchr("nNiIsS", v->u.s[v->u.s[0] == '-' && v->n > 1]) != NULL) {
            return host->fail(err, TN_E_INVAL, "field %.*s is no number that InfluxDB stores", n,
                              k->u.s);
        }
        if (too_long_an_integer(v)) {
            return host->fail(err, TN_E_INVAL,
                              "field %.*s is an integer of more than 64 bits; write float() of it",
                              n, k->u.s);
        }
        grow_put(to, v->u.s, v->n);
        return TN_OK;
    case TN_T_STR:
    case TN_T_BYTES:
        if (!utf8_valid(v->n != 0 ? v->u.s : "", v->n)) {
            return host->fail(err, TN_E_INVAL, "field %.*s is no text; encode bytes (base64)", n,
                              k->u.s);
        }
        put_string(to, (tn_str){v->u.s, v->n});
        return TN_OK;
    case TN_T_TIME:
        json_put_time(&text, v->u.i, v->flags & TN_V_NAIVE);
        put_string(to, (tn_str){text.s, text.n});
        grow_free(&text);
        return TN_OK;
    default:
        return host->fail(err, TN_E_INVAL,
                          "field %.*s is a number, a text or a bool, not one of type %d", n, k->u.s,
                          v->type);
    }
}

static tn_rc put_fields(const tn_host *host, struct grow *to, const tn_val *fields, tn_err *err)
{
    uint32_t written = 0;
    if (fields == NULL || fields->type != TN_T_MAP) {
        return host->fail(err, TN_E_INVAL, "fields is a dict of numbers, texts and bools");
    }
    for (uint32_t i = 0; i < fields->n; i++) {
        const tn_val *k = &fields->u.map[i].key, *v = &fields->u.map[i].val;
        if (k->type != TN_T_STR || k->n == 0) {
            return host->fail(err, TN_E_INVAL, "names of fields are texts");
        }
        if (v->type == TN_T_NULL) {
            continue;
        }
        grow_char(to, written++ != 0 ? ',' : ' ');
        tn_rc rc = put_name(host, to, "the name of a field", (tn_str){k->u.s, k->n}, ",= ", 0, err);
        grow_char(to, '=');
        rc = rc == TN_OK ? field_value(host, to, k, v, err) : rc;
        if (rc != TN_OK) {
            return rc;
        }
    }
    return written != 0 ? TN_OK
                        : host->fail(err, TN_E_INVAL, "a point needs a field that is not None");
}

/* ---- time -------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int64_t ns;
} precisions[] = {{"n", 1},        {"ns", 1},         {"u", 1000},        {"us", 1000},
                  {"ms", 1000000}, {"s", 1000000000}, {"m", 60000000000}, {"h", 3600000000000}};

static int64_t unit_of(const char *precision)
{
    for (size_t i = 0; i < sizeof precisions / sizeof *precisions; i++) {
        if (strcmp(precisions[i].name, precision) == 0) {
            return precisions[i].ns;
        }
    }
    return 0;
}

int ix_time(tn_str text, int64_t *ret_ns)
{
    const char *p = text.s, *end = text.s + text.n;
    int64_t days, us = 0, ns = 0, zone = 0, scale = 100000000;
    if (text.n == 0 || !civil_read_date(&p, end, &days)) {
        return 0;
    }
    if (p < end && (*p == 'T' || *p == ' ')) {
        const char *dot = memchr(p, '.', (size_t)(end - p));
        p++;
        if (!civil_read_clock(&p, end, &us) || us >= 86400000000) {
            return 0;
        }
        for (const char *d = dot != NULL ? dot + 1 : end; d < end && *d >= '0' && *d <= '9';
             d++, scale /= 10) {
            ns += (*d - '0') * scale;
        }
        us = us / 1000000 * 1000000; /* the fraction is ns now */
        if (p < end && (*p == '+' || *p == '-')) {
            int sign = *p++ == '-' ? -1 : 1;
            int64_t h = civil_digits(&p, end);
            int64_t m = civil_take(&p, end, ':') ? civil_digits(&p, end) : h > 99 ? h % 100 : 0;
            h = h > 99 ? h / 100 : h;
            if (h < 0 || h > 23 || m < 0 || m > 59) {
                return 0;
            }
            zone = sign * (h * 3600 + m * 60);
        } else if (p < end && (*p == 'Z' || *p == 'z')) {
            p++;
        }
    }
    int64_t seconds = days * 86400 + us / 1000000 - zone;
    if (p != end || seconds > INT64_MAX / 1000000000 - 1 || seconds < INT64_MIN / 1000000000 + 1) {
        return 0;
    }
    *ret_ns = seconds * 1000000000 + ns;
    return 1;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static tn_rc put_time(const tn_host *host, struct grow *to, const tn_val *t, const char *precision,
                      tn_err *err)
{
    int64_t unit = unit_of(precision), ns = 0;
    if (unit == 0) {
        return host->fail(err, TN_E_INVAL, "precision is n, u, ms, s, m or h, not %.40s",
                          precision);
    }
    if (t == NULL || t->type == TN_T_NULL) {
        return TN_OK; /* the server's time */
    }
    switch (t->type) {
    case TN_T_INT:
        grow_printf(to, " %" PRId64, t->u.i);
        return TN_OK;
    case TN_T_FLOAT:
        if (!(t->u.f > -9.2e18 && t->u.f < 9.2e18)) {
            return host->fail(err, TN_E_INVAL, "a time of %g is none", t->u.f);
        }
        grow_printf(to, " %" PRId64, (int64_t)t->u.f);
        return TN_OK;
    case TN_T_DATE:
    case TN_T_TIME:
        if (t->type == TN_T_DATE ? llabs(t->u.i) > 106000 : llabs(t->u.i) > INT64_MAX / 1000) {
            return host->fail(err, TN_E_INVAL, "the time is not within the years 1678 to 2262");
        }
        ns = t->type == TN_T_DATE ? t->u.i * 86400000000000 : t->u.i * 1000;
        break;
    case TN_T_STR:
        if (!ix_time((tn_str){t->u.s, t->n}, &ns)) {
            return host->fail(err, TN_E_INVAL,
                              "`%.*s` is no time; write it as 2026-01-31T08:30:00Z",
                              (int)(t->n < 60 ? t->n : 60), t->u.s);
        }
        break;
    default:
        return host->fail(err, TN_E_INVAL, "a time is a number, a datetime or a text");
    }
    grow_printf(to, " %" PRId64, floor_div(ns, unit));
    return TN_OK;
}

tn_rc ix_line(const tn_host *host, struct grow *to, const struct ix_point *p, const char *precision,
              tn_err *err)
{
    size_t from = to->n;
    if (p->measurement == NULL || p->measurement->type != TN_T_STR || p->measurement->n == 0) {
        return host->fail(err, TN_E_INVAL, "a point needs the name of a measurement");
    }
    tn_str name = {p->measurement->u.s, p->measurement->n};
    if (name.s[0] == '#') {
        return host->fail(err, TN_E_INVAL,
                          "a measurement cannot begin with #, which makes a line a comment");
    }
    tn_rc rc = put_name(host, to, "measurement", name, ", ", 0, err);
    rc = rc == TN_OK ? put_tags(host, to, p->tags, err) : rc;
    rc = rc == TN_OK ? put_fields(host, to, p->fields, err) : rc;
    rc = rc == TN_OK ? put_time(host, to, p->time, precision, err) : rc;
    grow_char(to, '\n');
    if (rc == TN_OK && to->rc != TN_OK) {
        rc = host->fail(err, to->rc, "no memory for the lines");
    }
    if (rc != TN_OK && to->s != NULL) {
        to->n = from; /* nothing of a point that cannot be written */
        to->s[from] = '\0';
    }
    return rc;
}
