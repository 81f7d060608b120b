/* SPDX-License-Identifier: Apache-2.0 */
/* Names of types, as the server writes them, as trees: "Map(String, Array(Nullable(Decimal(18, 2))))". */
#include "native.h"

#include <stdlib.h>
#include <string.h>

struct parse {
    const tn_host *host;
    struct ch_mem *mem;
    const char *p, *end;
    const char *whole; /* for errors */
    size_t whole_n;
    unsigned depth;
    tn_err *err;
};

/* ---- tables ------------------------------------------------------------------------------------------ */

enum how {
    PLAIN,  /* no parameters */
    ZONE,   /* ['zone'] */
    TICKS,  /* digits [, 'zone'] */
    LENGTH, /* bytes */
    LABELS, /* 'text' = number, … */
    DIGITS, /* precision, scale */
    SCALE,  /* scale */
    TYPES,  /* types, which may have names */
    NESTED, /* types with names; an array of tuples */
    FUNC    /* a function, then a type */
};
static const struct row {
    const char *name;
    uint8_t kind, how, width, n; /* n: types in it, 0 = any number */
} rows[] = {
    {"UInt8", CH_UINT, PLAIN, 1, 0},
    {"UInt16", CH_UINT, PLAIN, 2, 0},
    {"UInt32", CH_UINT, PLAIN, 4, 0},
    {"UInt64", CH_UINT, PLAIN, 8, 0},
    {"UInt128", CH_UINT, PLAIN, 16, 0},
    {"UInt256", CH_UINT, PLAIN, 32, 0},
    {"Int8", CH_INT, PLAIN, 1, 0},
    {"Int16", CH_INT, PLAIN, 2, 0},
    {"Int32", CH_INT, PLAIN, 4, 0},
    {"Int64", CH_INT, PLAIN, 8, 0},
    {"Int128", CH_INT, PLAIN, 16, 0},
    {"Int256", CH_INT, PLAIN, 32, 0},
    {"Float32", CH_FLOAT, PLAIN, 4, 0},
    {"Float64", CH_FLOAT, PLAIN, 8, 0},
    {"BFloat16", CH_BFLOAT, PLAIN, 2, 0},
    {"Bool", CH_BOOL, PLAIN, 1, 0},
    {"String", CH_STRING, PLAIN, 0, 0},
    {"FixedString", CH_FIXED, LENGTH, 0, 0},
    {"Date", CH_DATE, PLAIN, 2, 0},
    {"Date32", CH_DATE, PLAIN, 4, 0},
    {"DateTime", CH_DATETIME, ZONE, 4, 0},
    {"DateTime64", CH_DATETIME64, TICKS, 8, 0},
    {"Time", CH_TIME, PLAIN, 4, 0},
    {"Time64", CH_TIME, TICKS, 8, 0},
    {"UUID", CH_UUID, PLAIN, 16, 0},
    {"IPv4", CH_IPV4, PLAIN, 4, 0},
    {"IPv6", CH_IPV6, PLAIN, 16, 0},
    {"Enum8", CH_ENUM, LABELS, 1, 0},
    {"Enum16", CH_ENUM, LABELS, 2, 0},
    {"Decimal", CH_DECIMAL, DIGITS, 0, 0},
    {"Decimal32", CH_DECIMAL, SCALE, 4, 0},
    {"Decimal64", CH_DECIMAL, SCALE, 8, 0},
    {"Decimal128", CH_DECIMAL, SCALE, 16, 0},
    {"Decimal256", CH_DECIMAL, SCALE, 32, 0},
    {"Nothing", CH_NOTHING, PLAIN, 1, 0},
    {"Nullable", CH_NULLABLE, TYPES, 0, 1},
    {"Array", CH_ARRAY, TYPES, 0, 1},
    {"Tuple", CH_TUPLE, TYPES, 0, 0},
    {"Map", CH_MAP, TYPES, 0, 2},
    {"LowCardinality", CH_LOW, TYPES, 0, 1},
    {"Nested", CH_ARRAY, NESTED, 0, 0},
    {"SimpleAggregateFunction", 0, FUNC, 0, 0},
    {"IntervalNanosecond", CH_INT, PLAIN, 8, 0},
    {"IntervalMicrosecond", CH_INT, PLAIN, 8, 0},
    {"IntervalMillisecond", CH_INT, PLAIN, 8, 0},
    {"IntervalSecond", CH_INT, PLAIN, 8, 0},
    {"IntervalMinute", CH_INT, PLAIN, 8, 0},
    {"IntervalHour", CH_INT, PLAIN, 8, 0},
    {"IntervalDay", CH_INT, PLAIN, 8, 0},
    {"IntervalWeek", CH_INT, PLAIN, 8, 0},
    {"IntervalMonth", CH_INT, PLAIN, 8, 0},
    {"IntervalQuarter", CH_INT, PLAIN, 8, 0},
    {"IntervalYear", CH_INT, PLAIN, 8, 0},
};
/* Names for types that others make. */
static const struct {
    const char *name, *text;
} aliases[] = {
    {"Point", "Tuple(Float64, Float64)"},
    {"Ring", "Array(Tuple(Float64, Float64))"},
    {"LineString", "Array(Tuple(Float64, Float64))"},
    {"Polygon", "Array(Array(Tuple(Float64, Float64)))"},
    {"MultiLineString", "Array(Array(Tuple(Float64, Float64)))"},
    {"MultiPolygon", "Array(Array(Array(Tuple(Float64, Float64))))"},
};

/* ---- pieces of the text ------------------------------------------------------------------------------ */

static tn_rc malformed(struct parse *s)
{
    return s->host->fail(s->err, TN_E_UNAVAIL,
                         "the server does not speak ClickHouse's native protocol: `%.*s` is no "
                         "type",
                         (int)(s->whole_n < 200 ? s->whole_n : 200), s->whole);
}

static void blanks(struct parse *s)
{
    while (s->p < s->end && *s->p == ' ') {
        s->p++;
    }
}

static int take(struct parse *s, char c)
{
    blanks(s);
    if (s->p < s->end && *s->p == c) {
        s->p++;
        return 1;
    }
    return 0;
}

static int word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static tn_str word(struct parse *s)
{
    blanks(s);
    const char *from = s->p;
    while (s->p < s->end && word_byte(*s->p)) {
        s->p++;
    }
    return (tn_str){from, (size_t)(s->p - from)};
}

static int number(struct parse *s, int64_t least, int64_t most, int64_t *ret)
{
    int64_t v = 0;
    blanks(s);
    int minus = take(s, '-');
    const char *from = s->p;
    while (s->p < s->end && *s->p >= '0' && *s->p <= '9' && v < 1000000000) {
        v = v * 10 + (*s->p++ - '0');
    }
    *ret = minus ? -v : v;
    return s->p > from && *ret >= least && *ret <= most;
}

static int nibble(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* 'text' with the server's escapes, or `text`; unescaped in memory. */
static tn_rc quoted(struct parse *s, char quote, tn_str *ret)
{
    static const char codes[] = "0\0b\bf\fn\nr\rt\ta\av\v"; /* pairs */
    tn_rc rc = TN_OK;
    if (!take(s, quote)) {
        return malformed(s);
    }
    const char *q = s->p;
    while (q < s->end && *q != quote) {
        q += *q == '\\' ? 2 : 1;
    }
    if (q >= s->end) {
        return malformed(s);
    }
    char *to = ch_alloc(s->mem, (size_t)(q - s->p) + 1, 1, &rc);
    size_t n = 0;
    if (to == NULL) {
        return s->host->fail(s->err, rc, "no memory for a type");
    }
    while (s->p < q) {
        char c = *s->p++;
        if (c == '\\') {
            c = *s->p++;
            if (c == 'x' && q - s->p >= 2 && nibble(s->p[0]) >= 0 && nibble(s->p[1]) >= 0) {
                c = (char)(nibble(s->p[0]) << 4 | nibble(s->p[1]));
                s->p += 2;
            } else {
                for (size_t i = 0; i + 1 < sizeof codes; i += 2) {
                    if (codes[i] == c) {
                        c = codes[i + 1];
                        break;
                    }
                }
            }
        }
        to[n++] = c;
    }
    s->p = q + 1;
    *ret = (tn_str){to, n};
    return TN_OK;
}

/* ---- parameters -------------------------------------------------------------------------------------- */

static tn_rc parse(struct parse *s, struct ch_type **ret);

static tn_rc zone(struct parse *s, struct ch_type *t)
{
    tn_str name = {NULL, 0};
    tn_rc rc = quoted(s, '\'', &name);
    t->zone = name.s;
    return rc;
}

static int by_value(const void *a, const void *b)
{
    int32_t x = ((const struct ch_label *)a)->value, y = ((const struct ch_label *)b)->value;
    return (x > y) - (x < y);
}

/* They are left in the order of their values, in which they are looked up. */
static tn_rc labels(struct parse *s, struct ch_type *t)
{
    uint32_t cap = 0;
    do {
        tn_str text;
        int64_t value;
        tn_rc rc = quoted(s, '\'', &text);
        if (rc != TN_OK) {
            return rc;
        }
        if (!take(s, '=') || !number(s, -32768, 32767, &value)) {
            return malformed(s);
        }
        if (t->n == cap) {
            cap = cap * 2 + 8;
            struct ch_label *more = t->labels != NULL
                                        ? ch_resize(s->mem, t->labels, cap * sizeof *more, &rc)
                                        : ch_alloc(s->mem, cap, sizeof *more, &rc);
            if (more == NULL) {
                return s->host->fail(s->err, rc, "no memory for a type");
            }
            t->labels = more;
        }
        t->labels[t->n++] = (struct ch_label){text.s, (uint32_t)text.n, (int32_t)value};
    } while (take(s, ','));
    qsort(t->labels, t->n, sizeof *t->labels, by_value);
    return TN_OK;
}

/* `a UInt8, b String` or `UInt8, String`: a name is a word before another one, or quoted. */
static tn_rc element_name(struct parse *s)
{
    tn_str ignored;
    blanks(s);
    if (s->p < s->end && *s->p == '`') {
        return quoted(s, '`', &ignored);
    }
    const char *from = s->p;
    word(s);
    blanks(s);
    if (s->p == s->end || !word_byte(*s->p)) {
        s->p = from;
    }
    return TN_OK;
}

static tn_rc types(struct parse *s, struct ch_type *t)
{
    uint32_t cap = 0;
    blanks(s);
    if (t->kind == CH_TUPLE && s->p < s->end && *s->p == ')') {
        return TN_OK; /* Tuple() */
    }
    do {
        struct ch_type *one;
        tn_rc rc = t->kind == CH_TUPLE ? element_name(s) : TN_OK;
        rc = rc == TN_OK ? parse(s, &one) : rc;
        if (rc != TN_OK) {
            return rc;
        }
        if (t->n == cap) {
            cap = cap * 2 + 4;
            struct ch_type **more = t->sub != NULL
                                        ? ch_resize(s->mem, t->sub, cap * sizeof *more, &rc)
                                        : ch_alloc(s->mem, cap, sizeof *more, &rc);
            if (more == NULL) {
                return s->host->fail(s->err, rc, "no memory for a type");
            }
            t->sub = more;
        }
        t->sub[t->n++] = one;
    } while (take(s, ','));
    return TN_OK;
}

static tn_rc new_type(struct parse *s, uint8_t kind, uint32_t width, struct ch_type **ret)
{
    tn_rc rc = TN_OK;
    struct ch_type *t = ch_alloc(s->mem, 1, sizeof *t, &rc);
    if (t == NULL) {
        return s->host->fail(s->err, rc, "no memory for a type");
    }
    t->kind = kind;
    t->width = width;
    *ret = t;
    return TN_OK;
}

/* SimpleAggregateFunction(f(…), T) is T. */
static tn_rc behind_function(struct parse *s, struct ch_type **ret)
{
    int open = 0;
    for (; s->p < s->end && (open != 0 || *s->p != ','); s->p++) {
        open += (*s->p == '(') - (*s->p == ')');
        if (*s->p == '\'' || open < 0) {
            return malformed(s);
        }
    }
    return take(s, ',') ? parse(s, ret) : malformed(s);
}

static tn_rc parameters(struct parse *s, const struct row *row, struct ch_type **ret)
{
    struct ch_type *t = *ret;
    int64_t a = 0, b = 0;
    switch (row->how) {
    case ZONE:
        return zone(s, t);
    case TICKS:
        if (!number(s, 0, 9, &a)) {
            return malformed(s);
        }
        t->scale = (uint16_t)a;
        return take(s, ',') ? zone(s, t) : TN_OK;
    case LENGTH:
        if (!number(s, 1, 1 << 24, &a)) {
            return malformed(s);
        }
        t->width = (uint32_t)a;
        return TN_OK;
    case LABELS:
        return labels(s, t);
    case DIGITS:
        if (!number(s, 1, 76, &a) || (take(s, ',') && !number(s, 0, a, &b))) {
            return malformed(s);
        }
        t->width = a <= 9 ? 4 : a <= 18 ? 8 : a <= 38 ? 16 : 32;
        t->scale = (uint16_t)b;
        return TN_OK;
    case SCALE:
        if (!number(s, 0, 76, &a)) {
            return malformed(s);
        }
        t->scale = (uint16_t)a;
        return TN_OK;
    case FUNC:
        return behind_function(s, ret);
    case NESTED: {
        struct ch_type *tuple = NULL;
        tn_rc rc = new_type(s, CH_TUPLE, 0, &tuple);
        rc = rc == TN_OK ? types(s, tuple) : rc;
        t->sub = rc == TN_OK ? ch_alloc(s->mem, 1, sizeof *t->sub, &rc) : NULL;
        if (t->sub != NULL) {
            t->sub[0] = tuple;
            t->n = 1;
        }
        return rc;
    }
    default: {
        tn_rc rc = types(s, t);
        return rc != TN_OK || row->n == 0 || t->n == row->n ? rc : malformed(s);
    }
    }
}

static int is(tn_str name, const char *z)
{
    return strlen(z) == name.n && memcmp(z, name.s, name.n) == 0;
}

/* The state of an aggregation is no value yet; everything else the server can write as text. */
static tn_rc unknown(struct parse *s, tn_str name)
{
    return s->host->fail(
        s->err, TN_E_UNSUPP,
        "values of type `%.*s` (in `%.*s`) are not supported; let the statement return %s",
        (int)(name.n < 60 ? name.n : 60), name.s, (int)(s->whole_n < 120 ? s->whole_n : 120),
        s->whole,
        is(name, "AggregateFunction") ? "finalizeAggregation(…) of it" : "CAST(… AS String)");
}

static tn_rc plain(struct parse *s, struct ch_type **ret)
{
    tn_str name = word(s);
    const struct row *row = NULL;
    if (name.n == 0) {
        return malformed(s);
    }
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++) {
        if (is(name, aliases[i].name)) {
            return ch_type_parse(s->host, s->mem, aliases[i].text, strlen(aliases[i].text), ret,
                                 s->err);
        }
    }
    for (size_t i = 0; row == NULL && i < sizeof rows / sizeof *rows; i++) {
        row = is(name, rows[i].name) ? &rows[i] : NULL;
    }
    if (row == NULL) {
        return unknown(s, name);
    }
    struct ch_type *t = NULL;
    tn_rc rc = new_type(s, row->kind, row->width, &t);
    int open = rc == TN_OK && row->how != PLAIN && take(s, '(');
    if (rc == TN_OK && !open && row->how != PLAIN && row->how != ZONE && !is(name, "Decimal")) {
        return malformed(s);
    }
    rc = open ? parameters(s, row, &t) : rc;
    if (rc == TN_OK && open && !take(s, ')')) {
        return malformed(s);
    }
    *ret = t;
    return rc;
}

/* What may stand inside a Nullable, a LowCardinality: what others do not put there would read other bytes. */
static int sane(const struct ch_type *t)
{
    const struct ch_type *in = t->n != 0 && t->sub != NULL ? t->sub[0] : NULL;
    if (t->kind == CH_NULLABLE) {
        return in->kind != CH_NULLABLE && in->kind != CH_LOW;
    }
    if (t->kind == CH_LOW) {
        in = in->kind == CH_NULLABLE ? in->sub[0] : in;
        return in->kind < CH_NULLABLE;
    }
    return t->kind != CH_DECIMAL || t->width != 0;
}

static tn_rc parse(struct parse *s, struct ch_type **ret)
{
    if (++s->depth > CH_DEPTH_MAX) {
        return s->host->fail(s->err, TN_E_UNSUPP, "a type is nested deeper than %d levels",
                             CH_DEPTH_MAX);
    }
    blanks(s);
    const char *from = s->p;
    tn_rc rc = plain(s, ret);
    s->depth--;
    if (rc == TN_OK && !sane(*ret)) {
        return malformed(s);
    }
    if (rc == TN_OK) {
        (*ret)->text = from;
        (*ret)->text_n = (uint32_t)(s->p - from);
    }
    return rc;
}

tn_rc ch_type_parse(const tn_host *host, struct ch_mem *m, const char *text, size_t n,
                    struct ch_type **ret, tn_err *err)
{
    struct parse s = {host, m, text, text + n, text, n, 0, err};
    tn_rc rc = n <= CH_TYPE_MAX ? parse(&s, ret) : malformed(&s);
    blanks(&s);
    return rc == TN_OK && s.p != s.end ? malformed(&s) : rc;
}
