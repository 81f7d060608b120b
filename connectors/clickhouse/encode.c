/* SPDX-License-Identifier: Apache-2.0 */
/* Values as columns of an INSERT: what fits is written, anything else is refused with its column and type. */
#include "native.h"

#include "common/civil.h"

#include <arpa/inet.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_US 86400000000

static tn_rc misfit(struct ch_writer *w, const struct ch_type *t, const tn_val *v, const char *why)
{
    static const char *const names[TN_T_TYPES] = {"None",  "bool",    "int",      "float", "str",
                                                  "bytes", "Decimal", "datetime", "date",  "list",
                                                  "dict",  "time",    "timedelta"};
    return w->host->fail(
        w->err, TN_E_INVAL, "column `%.80s` of type %.*s does not take this %s%s%s", w->column,
        (int)(t->text_n < 100 ? t->text_n : 100), t->text,
        v->type < TN_T_TYPES ? names[v->type] : "value", why[0] != '\0' ? ": " : "", why);
}

/* ---- numbers ----------------------------------------------------------------------------------------- */

static tn_rc put_number(struct ch_writer *w, const struct ch_type *t, const tn_val *v)
{
    char text[64];
    const char *s = text;
    uint8_t bytes[32];
    size_t n = 0;
    switch (v->type) {
    case TN_T_BOOL:
    case TN_T_INT:
        n = (size_t)snprintf(text, sizeof text, "%lld", (long long)v->u.i);
        break;
    case TN_T_FLOAT: /* the shortest text that is this number */
        for (int digits = 15; digits <= 17; digits++) {
            n = (size_t)snprintf(text, sizeof text, "%.*g", digits, v->u.f);
            if (strtod(text, NULL) == v->u.f) {
                break;
            }
        }
        break;
    case TN_T_DECIMAL:
    case TN_T_STR:
        s = v->u.s;
        n = v->n;
        break;
    default:
        return misfit(w, t, v, "");
    }
    bool is_signed = t->kind != CH_UINT;
    if (!ch_number_parse(s, n, t->width, is_signed, t->kind == CH_DECIMAL ? t->scale : 0, bytes)) {
        return misfit(w, t, v, "it is no such number, or too large or too fine");
    }
    ch_put(w->out, bytes, t->width);
    return TN_OK;
}

static tn_rc put_float(struct ch_writer *w, const struct ch_type *t, const tn_val *v)
{
    char text[400], *end = text;
    double d = 0;
    if (v->type == TN_T_FLOAT) {
        d = v->u.f;
    } else if (v->type == TN_T_INT || v->type == TN_T_BOOL) {
        d = (double)v->u.i;
    } else if ((v->type == TN_T_DECIMAL || v->type == TN_T_STR) && v->n != 0 &&
               v->n < sizeof text) {
        memcpy(text, v->u.s, v->n);
        text[v->n] = '\0';
        d = strtod(text, &end);
        if (*end != '\0') {
            return misfit(w, t, v, "it is no number");
        }
    } else {
        return misfit(w, t, v, "");
    }
    if (t->width == 8) {
        ch_put(w->out, &d, 8);
        return TN_OK;
    }
    float f = (float)d;
    uint8_t bytes[4];
    memcpy(bytes, &f, 4);
    ch_put(w->out, t->kind == CH_BFLOAT ? bytes + 2 : bytes, t->width);
    return TN_OK;
}

/* ---- time -------------------------------------------------------------------------------------------- */

/* "2026-01-31", "2026-01-31 08:30:00.25", also with T; a moment without zone. */
static int read_moment(const tn_val *v, int64_t *ret_us)
{
    const char *p = v->u.s, *end = p + v->n;
    int64_t days, us = 0;
    if (!civil_read_date(&p, end, &days)) {
        return 0;
    }
    if (p < end && (civil_take(&p, end, ' ') || civil_take(&p, end, 'T')) &&
        !civil_read_clock(&p, end, &us)) {
        return 0;
    }
    *ret_us = days * DAY_US + us;
    return p == end && us < DAY_US;
}

/* Microseconds UTC of a moment on a zone's clocks; in the hour that comes twice it is the first one. */
static int to_utc(struct ch_writer *w, const char *zone, int64_t *us)
{
    int64_t before = 0, offset = 0;
    if (w->clock == NULL) {
        return 0;
    }
    int64_t seconds = *us / 1000000;
    if (!w->clock->offset_us(w->clock->self, zone, seconds - 86400, &before) ||
        !w->clock->offset_us(w->clock->self, zone, seconds - before / 1000000, &offset)) {
        return 0;
    }
    if (offset != before) { /* near a change: which of the two is it? */
        int64_t again = 0;
        w->clock->offset_us(w->clock->self, zone, seconds - offset / 1000000, &again);
        offset = again == offset ? offset : before;
    }
    *us -= offset;
    return 1;
}

static tn_rc put_moment(struct ch_writer *w, const struct ch_type *t, const tn_val *v)
{
    int64_t us = 0, unit = 1;
    bool naive = false;
    for (unsigned i = 0; t->kind == CH_DATETIME64 && i < t->scale; i++) {
        unit *= 10;
    }
    if (v->type == TN_T_INT) { /* seconds since 1970 */
        us = v->u.i > 253402300799 || v->u.i < -62135596800 ? INT64_MAX : v->u.i * 1000000;
    } else if (v->type == TN_T_TIME) {
        us = v->u.i;
        naive = (v->flags & TN_V_NAIVE) != 0;
    } else if (v->type == TN_T_DATE) {
        us = v->u.i * DAY_US;
        naive = true;
    } else if (v->type == TN_T_STR && read_moment(v, &us)) {
        naive = true;
    } else {
        return misfit(w, t, v, "");
    }
    if (naive && !to_utc(w, t->zone, &us)) {
        return misfit(w, t, v, "its time zone is not known here; use a datetime with a zone");
    }
    int64_t seconds = us / 1000000 - (us % 1000000 < 0), rest = us - seconds * 1000000, ticks;
    if (t->kind == CH_DATETIME) {
        if (seconds < 0 || seconds > UINT32_MAX) {
            return misfit(w, t, v, "it is before 1970 or after 2106");
        }
        ch_put32(w->out, (uint32_t)seconds);
        return TN_OK;
    }
    if (__builtin_mul_overflow(seconds, unit, &ticks)) {
        return misfit(w, t, v, "it is too far away");
    }
    ticks += unit <= 1000000 ? rest / (1000000 / unit) : rest * (unit / 1000000);
    ch_put64(w->out, (uint64_t)ticks);
    return TN_OK;
}

static tn_rc put_date(struct ch_writer *w, const struct ch_type *t, const tn_val *v)
{
    int64_t days, us;
    if (v->type == TN_T_DATE) {
        days = v->u.i;
    } else if (v->type == TN_T_TIME || (v->type == TN_T_STR && read_moment(v, &us))) {
        us = v->type == TN_T_TIME ? v->u.i : us;
        days = us / DAY_US - (us % DAY_US < 0);
    } else {
        return misfit(w, t, v, "");
    }
    if (t->width == 2 ? days < 0 || days > UINT16_MAX : days < -25567 || days > 120529) {
        return misfit(w, t, v, "the day is beyond what the type can hold");
    }
    uint32_t d = (uint32_t)days;
    ch_put(w->out, &d, t->width);
    return TN_OK;
}

static tn_rc put_span(struct ch_writer *w, const struct ch_type *t, const tn_val *v)
{
    int64_t unit = 1, us = v->u.i, ticks;
    for (unsigned i = 0; t->width == 8 && i < t->scale; i++) {
        unit *= 10;
    }
    if (v->type != TN_T_SPAN && v->type != TN_T_CLOCK) {
        return misfit(w, t, v, "");
    }
    if (us > 3600000000000 || us < -3600000000000) {
        return misfit(w, t, v, "it is longer than 999 hours");
    }
    ticks = unit <= 1000000 ? us / (1000000 / unit) : us * (unit / 1000000);
    ch_put(w->out, &ticks, t->width);
    return TN_OK;
}

/* ---- texts ------------------------------------------------------------------------------------------- */

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static tn_rc put_uuid(struct ch_writer *w, const struct ch_type *t, const tn_val *v)
{
    uint64_t half[2] = {0, 0};
    unsigned n = 0;
    for (uint32_t i = 0; v->type == TN_T_STR && i < v->n; i++) {
        int d = hex(v->u.s[i]);
        if (v->u.s[i] == '-' && (i == 8 || i == 13 || i == 18 || i == 23)) {
            continue;
        }
        if (d < 0 || n == 32) {
            return misfit(w, t, v, "it is no UUID");
        }
        half[n / 16] = half[n / 16] << 4 | (uint64_t)d;
        n++;
    }
    if (n != 32) {
        return misfit(w, t, v, v->type == TN_T_STR ? "it is no UUID" : "");
    }
    ch_put(w->out, half, sizeof half);
    return TN_OK;
}

static tn_rc put_address(struct ch_writer *w, const struct ch_type *t, const tn_val *v)
{
    char text[64] = "";
    uint8_t addr[16] = {0};
    if (v->type != TN_T_STR || v->n >= sizeof text) {
        return misfit(w, t, v, "");
    }
    memcpy(text, v->u.s, v->n);
    if (inet_pton(AF_INET, text, addr + 12) == 1) {
        addr[10] = addr[11] = 0xff; /* as an address of version 6 */
        if (t->kind == CH_IPV4) {
            uint32_t number = (uint32_t)addr[12] << 24 | (uint32_t)addr[13] << 16 |
                              (uint32_t)addr[14] << 8 | addr[15];
            ch_put32(w->out, number);
            return TN_OK;
        }
    } else if (t->kind == CH_IPV4 || inet_pton(AF_INET6, text, addr) != 1) {
        return misfit(w, t, v, "it is no such address");
    }
    ch_put(w->out, addr, sizeof addr);
    return TN_OK;
}

static tn_rc put_label(struct ch_writer *w, const struct ch_type *t, const tn_val *v)
{
    for (uint32_t i = 0; i < t->n; i++) {
        const struct ch_label *l = &t->labels[i];
        if ((v->type == TN_T_STR && v->n == l->n &&
             memcmp(v->n != 0 ? v->u.s : "", l->s, l->n) == 0) ||
            (v->type == TN_T_INT && v->u.i == l->value)) {
            ch_put(w->out, &l->value, t->width);
            return TN_OK;
        }
    }
    return misfit(w, t, v, "it is none of its values");
}

static tn_rc put_fixed(struct ch_writer *w, const struct ch_type *t, const tn_val *v)
{
    static const uint8_t zeros[64];
    if (v->type != TN_T_STR && v->type != TN_T_BYTES) {
        return misfit(w, t, v, "");
    }
    if (v->n > t->width) {
        return misfit(w, t, v, "it is too long");
    }
    ch_put(w->out, v->n != 0 ? v->u.b : zeros, v->n);
    for (uint32_t left = t->width - v->n; left != 0;) {
        uint32_t k = left < sizeof zeros ? left : (uint32_t)sizeof zeros;
        ch_put(w->out, zeros, k);
        left -= k;
    }
    return TN_OK;
}

static tn_rc put_scalar(struct ch_writer *w, const struct ch_type *t, const tn_val *v)
{
    switch (t->kind) {
    case CH_UINT:
    case CH_INT:
    case CH_DECIMAL:
        return put_number(w, t, v);
    case CH_FLOAT:
    case CH_BFLOAT:
        return put_float(w, t, v);
    case CH_BOOL:
        if (v->type != TN_T_BOOL && !(v->type == TN_T_INT && (v->u.i == 0 || v->u.i == 1))) {
            return misfit(w, t, v, "");
        }
        ch_put8(w->out, (uint8_t)v->u.i);
        return TN_OK;
    case CH_STRING:
        if (v->type != TN_T_STR && v->type != TN_T_BYTES) {
            return misfit(w, t, v, "");
        }
        ch_put_text(w->out, v->n != 0 ? v->u.s : "", v->n);
        return TN_OK;
    case CH_FIXED:
        return put_fixed(w, t, v);
    case CH_DATE:
        return put_date(w, t, v);
    case CH_DATETIME:
    case CH_DATETIME64:
        return put_moment(w, t, v);
    case CH_TIME:
        return put_span(w, t, v);
    case CH_UUID:
        return put_uuid(w, t, v);
    case CH_IPV4:
    case CH_IPV6:
        return put_address(w, t, v);
    case CH_ENUM:
        return put_label(w, t, v);
    default:
        return misfit(w, t, v, "");
    }
}

/* What stands for NULL in a column that a Nullable says NULL for. */
static void put_default(struct ch_writer *w, const struct ch_type *t)
{
    static const uint8_t zeros[32];
    if (t->kind == CH_ENUM) {
        ch_put(w->out, &t->labels[0].value, t->width);
    } else if (t->kind == CH_FIXED) {
        const tn_val empty = {.type = TN_T_BYTES};
        put_fixed(w, t, &empty);
    } else if (t->kind == CH_STRING) {
        ch_put8(w->out, 0);
    } else {
        ch_put(w->out, zeros, t->width);
    }
}

/* ---- values of values -------------------------------------------------------------------------------- */

static tn_rc write_col(struct ch_writer *w, const struct ch_type *t, const tn_val *const *v,
                       size_t n);

static tn_rc no_memory(struct ch_writer *w)
{
    return w->host->fail(w->err, TN_E_NOMEM, "no memory for a column");
}

static tn_rc write_nullable(struct ch_writer *w, const struct ch_type *t, const tn_val *const *v,
                            size_t n)
{
    tn_rc rc = TN_OK;
    for (size_t i = 0; i < n; i++) {
        ch_put8(w->out, v[i]->type == TN_T_NULL);
    }
    for (size_t i = 0; rc == TN_OK && i < n; i++) {
        if (v[i]->type == TN_T_NULL) {
            put_default(w, t->sub[0]);
        } else {
            rc = put_scalar(w, t->sub[0], v[i]);
        }
    }
    return rc;
}

/* Every value is a key of its own: the server makes its own dictionary anyway. */
static tn_rc write_low(struct ch_writer *w, const struct ch_type *t, const tn_val *const *v,
                       size_t n)
{
    bool nullable = t->sub[0]->kind == CH_NULLABLE;
    const struct ch_type *in = nullable ? t->sub[0]->sub[0] : t->sub[0];
    tn_rc rc = TN_OK;
    ch_put64(w->out, 2 | 1u << 9 | 1u << 10); /* indexes of 32 bits; keys follow; they are all */
    ch_put64(w->out, n + 1);
    put_default(w, in); /* of a Nullable the first key is NULL */
    for (size_t i = 0; rc == TN_OK && i < n; i++) {
        if (nullable && v[i]->type == TN_T_NULL) {
            put_default(w, in);
        } else {
            rc = put_scalar(w, in, v[i]);
        }
    }
    ch_put64(w->out, n);
    for (size_t i = 0; rc == TN_OK && i < n; i++) {
        ch_put32(w->out, nullable && v[i]->type == TN_T_NULL ? 0 : (uint32_t)i + 1);
    }
    return rc;
}

/* Item k of each value that is a list of as many items as the tuple has. */
static tn_rc write_tuple(struct ch_writer *w, const struct ch_type *t, const tn_val *const *v,
                         size_t n)
{
    const tn_val **items = malloc((n + 1) * sizeof *items);
    tn_rc rc = items != NULL ? TN_OK : no_memory(w);
    for (size_t i = 0; rc == TN_OK && i < n; i++) {
        if (v[i]->type != TN_T_LIST || v[i]->n != t->n) {
            rc = misfit(w, t, v[i], "it needs as many items as the tuple has");
        }
    }
    for (uint32_t k = 0; rc == TN_OK && k < t->n; k++) {
        for (size_t i = 0; i < n; i++) {
            items[i] = &v[i]->u.list[k];
        }
        rc = write_col(w, t->sub[k], items, n);
    }
    for (size_t i = 0; t->n == 0 && i < n; i++) {
        ch_put8(w->out, 0);
    }
    free(items);
    return rc;
}

static tn_rc write_array(struct ch_writer *w, const struct ch_type *t, const tn_val *const *v,
                         size_t n)
{
    uint8_t wanted = t->kind == CH_MAP ? TN_T_MAP : TN_T_LIST;
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++) {
        if (v[i]->type != wanted) {
            return misfit(w, t, v[i], "");
        }
        total += v[i]->n;
        ch_put64(w->out, total);
    }
    const tn_val **items = malloc(((size_t)total + 1) * sizeof *items);
    tn_rc rc = items != NULL ? TN_OK : no_memory(w);
    for (int part = 0; rc == TN_OK && part < (t->kind == CH_MAP ? 2 : 1); part++) {
        size_t at = 0;
        for (size_t i = 0; i < n; i++) {
            for (uint32_t k = 0; k < v[i]->n; k++) {
                items[at++] = t->kind != CH_MAP ? &v[i]->u.list[k]
                              : part == 0       ? &v[i]->u.map[k].key
                                                : &v[i]->u.map[k].val;
            }
        }
        rc = write_col(w, t->sub[part], items, at);
    }
    free(items);
    return rc;
}

static tn_rc write_col(struct ch_writer *w, const struct ch_type *t, const tn_val *const *v,
                       size_t n)
{
    tn_rc rc = TN_OK;
    switch (n != 0 ? t->kind : 0) {
    case 0:
        return TN_OK;
    case CH_NULLABLE:
        return write_nullable(w, t, v, n);
    case CH_LOW:
        return write_low(w, t, v, n);
    case CH_TUPLE:
        return write_tuple(w, t, v, n);
    case CH_ARRAY:
    case CH_MAP:
        return write_array(w, t, v, n);
    default:
        for (size_t i = 0; rc == TN_OK && i < n; i++) {
            rc = put_scalar(w, t, v[i]);
        }
        return rc;
    }
}

static void write_prefix(struct ch_writer *w, const struct ch_type *t)
{
    if (t->kind == CH_LOW) {
        ch_put64(w->out, 1);
    }
    for (uint32_t i = 0; t->sub != NULL && t->kind != CH_LOW && i < t->n; i++) {
        write_prefix(w, t->sub[i]);
    }
}

tn_rc ch_column_write(struct ch_writer *w, const struct ch_type *t, const tn_val *const *v,
                      size_t n)
{
    if (n == 0) {
        return TN_OK;
    }
    write_prefix(w, t);
    return write_col(w, t, v, n);
}
