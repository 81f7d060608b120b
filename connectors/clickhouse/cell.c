/* SPDX-License-Identifier: Apache-2.0 */
/* Values of columns as the contract tells them. */
#include "native.h"

#include "common/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK    (64u << 10)
/* What Python's dates can hold: 0001-01-01 to 9999-12-31. */
#define DAYS_MIN (-719162)
#define DAYS_MAX 2932896

/* ---- memory of a row --------------------------------------------------------------------------------- */

struct ch_chunk {
    struct ch_chunk *next;
    size_t used, cap;
    size_t rsvd;
};

void *ch_scratch_take(struct ch_scratch *s, size_t n)
{
    struct ch_chunk *c = s->chunk;
    n = (n + 15) & ~(size_t)15;
    if (c == NULL || c->cap - c->used < n) {
        size_t cap = n > CHUNK ? n : CHUNK;
        c = s->failed ? NULL : malloc(sizeof *c + cap);
        if (c == NULL) {
            s->failed = true;
            return NULL;
        }
        *c = (struct ch_chunk){s->chunk, 0, cap, 0};
        s->chunk = c;
    }
    void *p = (char *)(c + 1) + c->used;
    c->used += n;
    return p;
}

static void drop_from(struct ch_chunk *c)
{
    for (struct ch_chunk *next; c != NULL; c = next) {
        next = c->next;
        free(c);
    }
}

/* The newest chunk stays for the next row. */
void ch_scratch_reset(struct ch_scratch *s)
{
    if (s->chunk != NULL) {
        drop_from(s->chunk->next);
        s->chunk->next = NULL;
        s->chunk->used = 0;
    }
}

void ch_scratch_finish(struct ch_scratch *s)
{
    drop_from(s->chunk);
    s->chunk = NULL;
}

/* ---- values of fixed width --------------------------------------------------------------------------- */

static tn_val none(void)
{
    return (tn_val){.type = TN_T_NULL};
}

tn_val ch_text(const char *p, size_t n)
{
    return utf8_valid(p, n)
               ? (tn_val){.type = TN_T_STR, .n = (uint32_t)n, .u.s = p}
               : (tn_val){.type = TN_T_BYTES, .n = (uint32_t)n, .u.b = (const uint8_t *)p};
}

/* A copy of formatted text. */
static tn_val told(struct ch_scratch *s, uint8_t type, uint8_t flags, const char *p, size_t n)
{
    char *to = ch_scratch_take(s, n + 1);
    if (to == NULL) {
        return none();
    }
    memcpy(to, p, n);
    return (tn_val){.type = type, .flags = flags, .n = (uint32_t)n, .u.s = to};
}

static int64_t integer(const uint8_t *p, uint32_t width, bool is_signed)
{
    uint64_t v = 0;
    memcpy(&v, p, width);
    unsigned shift = 64 - 8 * width;
    return is_signed && shift != 0 ? (int64_t)(v << shift) >> shift : (int64_t)v;
}

/* Beyond int64 as a number of JSON, which knows no bound. */
static tn_val whole(struct ch_scratch *s, const struct ch_type *t, const uint8_t *p)
{
    char digits[CH_NUMBER_TEXT];
    bool is_signed = t->kind == CH_INT;
    if (t->width <= 8) {
        int64_t i = integer(p, t->width, is_signed);
        if (is_signed || i >= 0) {
            return (tn_val){.type = TN_T_INT, .u.i = i};
        }
    }
    return told(s, TN_T_STR, TN_V_JSON, digits, ch_number_text(p, t->width, is_signed, 0, digits));
}

static tn_val floating(const struct ch_type *t, const uint8_t *p)
{
    double v;
    float f;
    uint32_t bits = 0;
    if (t->kind == CH_BFLOAT) {
        memcpy((char *)&bits + 2, p, 2);
        memcpy(&f, &bits, sizeof f);
        v = (double)f;
    } else if (t->width == 4) {
        memcpy(&f, p, sizeof f);
        v = (double)f;
    } else {
        memcpy(&v, p, sizeof v);
    }
    return (tn_val){.type = TN_T_FLOAT, .u.f = v};
}

/* A moment in UTC; without a zone of its own it is told on the server's clocks. What Python's datetime cannot hold is
 * told as the number it is. */
static tn_val moment(struct ch_scratch *s, const struct ch_type *t, int64_t ticks)
{
    static const int64_t scales[] = {1,      10,      100,      1000,      10000,
                                     100000, 1000000, 10000000, 100000000, 1000000000};
    int64_t us, offset = 0, unit = t->kind == CH_DATETIME64 ? scales[t->scale] : 1;
    int64_t rest = ticks % unit + (ticks % unit < 0 ? unit : 0);
    int64_t seconds = ticks / unit - (ticks % unit < 0);
    if (seconds < (int64_t)DAYS_MIN * 86400 + 86400 || seconds >= (int64_t)DAYS_MAX * 86400) {
        char number[CH_NUMBER_TEXT];
        return told(s, TN_T_DECIMAL, 0, number,
                    ch_number_text((const uint8_t *)&ticks, 8, true,
                                   t->kind == CH_DATETIME64 ? t->scale : 0, number));
    }
    us = seconds * 1000000 + (unit >= 1000000 ? rest / (unit / 1000000) : rest * (1000000 / unit));
    if (t->zone == NULL && s->clock != NULL &&
        s->clock->offset_us(s->clock->self, NULL, seconds, &offset)) {
        return (tn_val){.type = TN_T_TIME, .flags = TN_V_NAIVE, .u.i = us + offset};
    }
    return (tn_val){.type = TN_T_TIME, .u.i = us};
}

static tn_val day(int64_t days)
{
    return (tn_val){.type = days < DAYS_MIN || days > DAYS_MAX ? TN_T_INT : TN_T_DATE, .u.i = days};
}

static tn_val span(const struct ch_type *t, const uint8_t *p)
{
    int64_t v = integer(p, t->width, true), unit = 1;
    for (unsigned i = 0; t->width == 8 && i < t->scale; i++) {
        unit *= 10;
    }
    int64_t seconds = v / unit, rest = v % unit;
    if (seconds > 86400ll * 999999 || seconds < -86400ll * 999999) {
        return (tn_val){.type = TN_T_INT, .u.i = v};
    }
    return (tn_val){.type = TN_T_SPAN,
                    .u.i = seconds * 1000000 +
                           (unit >= 1000000 ? rest / (unit / 1000000) : rest * (1000000 / unit))};
}

static tn_val uuid(struct ch_scratch *s, const uint8_t *p)
{
    char out[40];
    uint64_t high, low; /* two numbers, each with its lowest byte first */
    memcpy(&high, p, 8);
    memcpy(&low, p + 8, 8);
    snprintf(out, sizeof out, "%08x-%04x-%04x-%04x-%04x%08x", (unsigned)(high >> 32),
             (unsigned)(high >> 16 & 0xffff), (unsigned)(high & 0xffff), (unsigned)(low >> 48),
             (unsigned)(low >> 32 & 0xffff), (unsigned)low);
    return told(s, TN_T_STR, TN_V_UUID, out, 36);
}

static tn_val ipv4(struct ch_scratch *s, const uint8_t *p)
{
    char out[16];
    int n = snprintf(out, sizeof out, "%u.%u.%u.%u", p[3], p[2], p[1], p[0]);
    return told(s, TN_T_STR, TN_V_ADDR, out, (size_t)n);
}

static tn_val ipv6(struct ch_scratch *s, const uint8_t *p)
{
    char out[48];
    size_t n = 0;
    for (unsigned i = 0; i < 16; i += 2) {
        n += (size_t)snprintf(out + n, sizeof out - n, "%s%x", i != 0 ? ":" : "",
                              (unsigned)(p[i] << 8 | p[i + 1]));
    }
    return told(s, TN_T_STR, TN_V_ADDR, out, n);
}

static tn_val label(const struct ch_type *t, const uint8_t *p)
{
    int32_t v = (int32_t)integer(p, t->width, true);
    uint32_t from = 0, to = t->n;
    while (from < to) {
        uint32_t mid = from + (to - from) / 2;
        if (t->labels[mid].value == v) {
            return ch_text(t->labels[mid].s, t->labels[mid].n);
        }
        from = t->labels[mid].value < v ? mid + 1 : from;
        to = t->labels[mid].value > v ? mid : to;
    }
    return (tn_val){.type = TN_T_INT, .u.i = v};
}

static tn_val scalar(struct ch_scratch *s, const struct ch_type *t, const uint8_t *p)
{
    char number[CH_NUMBER_TEXT];
    size_t n;
    switch (t->kind) {
    case CH_UINT:
    case CH_INT:
        return whole(s, t, p);
    case CH_FLOAT:
    case CH_BFLOAT:
        return floating(t, p);
    case CH_BOOL:
        return (tn_val){.type = TN_T_BOOL, .u.i = p[0] != 0};
    case CH_FIXED:
        for (n = t->width; n != 0 && p[n - 1] == 0; n--) {}
        return ch_text((const char *)p, n);
    case CH_DATE:
        return day(integer(p, t->width, t->width == 4));
    case CH_DATETIME:
        return moment(s, t, integer(p, 4, false));
    case CH_DATETIME64:
        return moment(s, t, integer(p, 8, true));
    case CH_TIME:
        return span(t, p);
    case CH_UUID:
        return uuid(s, p);
    case CH_IPV4:
        return ipv4(s, p);
    case CH_IPV6:
        return ipv6(s, p);
    case CH_ENUM:
        return label(t, p);
    case CH_DECIMAL:
        return told(s, TN_T_DECIMAL, 0, number,
                    ch_number_text(p, t->width, true, t->scale, number));
    default:
        return none(); /* Nothing */
    }
}

/* ---- values of values -------------------------------------------------------------------------------- */

static tn_val list(struct ch_scratch *s, const struct ch_col *col, size_t i)
{
    uint32_t from = i != 0 ? col->ends[i - 1] : 0, n = col->ends[i] - from;
    tn_val *items = ch_scratch_take(s, n * sizeof *items);
    for (uint32_t k = 0; items != NULL && k < n; k++) {
        ch_cell(s, &col->sub[0], from + k, &items[k]);
    }
    return items != NULL ? (tn_val){.type = TN_T_LIST, .n = n, .u.list = items} : none();
}

static tn_val tuple(struct ch_scratch *s, const struct ch_col *col, size_t i)
{
    uint32_t n = col->type->n;
    tn_val *items = ch_scratch_take(s, n * sizeof *items);
    for (uint32_t k = 0; items != NULL && k < n; k++) {
        ch_cell(s, &col->sub[k], i, &items[k]);
    }
    return items != NULL ? (tn_val){.type = TN_T_LIST, .flags = TN_V_TUPLE, .n = n, .u.list = items}
                         : none();
}

static tn_val map(struct ch_scratch *s, const struct ch_col *col, size_t i)
{
    uint32_t from = i != 0 ? col->ends[i - 1] : 0, n = col->ends[i] - from;
    tn_pair *pairs = ch_scratch_take(s, n * sizeof *pairs);
    for (uint32_t k = 0; pairs != NULL && k < n; k++) {
        ch_cell(s, &col->sub[0], from + k, &pairs[k].key);
        ch_cell(s, &col->sub[1], from + k, &pairs[k].val);
    }
    return pairs != NULL ? (tn_val){.type = TN_T_MAP, .n = n, .u.map = pairs} : none();
}

/* What a sparse column does not hold. */
static tn_val absent(struct ch_scratch *s, const struct ch_type *t)
{
    static const uint8_t zeros[32];
    switch (t->kind) {
    case CH_STRING:
    case CH_FIXED:
        return ch_text("", 0);
    case CH_ARRAY:
        return (tn_val){.type = TN_T_LIST};
    case CH_MAP:
        return (tn_val){.type = TN_T_MAP};
    default:
        return t->kind < CH_NULLABLE ? scalar(s, t, zeros) : none();
    }
}

void ch_cell(struct ch_scratch *s, const struct ch_col *col, size_t i, tn_val *ret)
{
    const struct ch_type *t = col->type;
    if (col->sparse) {
        if (col->pick[i] == 0) {
            *ret = absent(s, t);
        } else {
            ch_cell(s, col->sub, col->pick[i] - 1, ret);
        }
        return;
    }
    switch (t->kind) {
    case CH_STRING: {
        uint32_t from = i != 0 ? col->ends[i - 1] : 0;
        *ret = ch_text(col->bytes != NULL ? (const char *)col->bytes + from : "",
                       col->ends[i] - from);
        return;
    }
    case CH_NULLABLE:
        if (col->fixed[i] != 0) {
            *ret = none();
        } else {
            ch_cell(s, col->sub, i, ret);
        }
        return;
    case CH_LOW:
        if (t->sub[0]->kind == CH_NULLABLE && col->pick[i] == 0) {
            *ret = none();
        } else {
            ch_cell(s, col->sub, col->pick[i], ret);
        }
        return;
    case CH_ARRAY:
        *ret = list(s, col, i);
        return;
    case CH_TUPLE:
        *ret = tuple(s, col, i);
        return;
    case CH_MAP:
        *ret = map(s, col, i);
        return;
    default:
        *ret = scalar(s, t, col->fixed + i * t->width);
    }
}

uint32_t ch_cell_type(const struct ch_type *t)
{
    switch (t->kind) {
    case CH_UINT:
    case CH_INT:
        return t->width <= 8 && !(t->kind == CH_UINT && t->width == 8) ? TN_T_INT : TN_T_NULL;
    case CH_FLOAT:
    case CH_BFLOAT:
        return TN_T_FLOAT;
    case CH_BOOL:
        return TN_T_BOOL;
    case CH_DECIMAL:
        return TN_T_DECIMAL;
    case CH_ARRAY:
    case CH_TUPLE:
        return TN_T_LIST;
    case CH_MAP:
        return TN_T_MAP;
    default:
        return TN_T_NULL;
    }
}
