/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of the server as values with types; what has no type of ours stays the text it is. */
#include "postgresql.h"

#include "common/civil.h"
#include "common/utf8.h"

#include <stdlib.h>
#include <string.h>

/* Built-in types and their arrays (src/include/catalog/pg_type.dat). */
static const struct row {
    Oid oid, array;
    uint8_t type, json;
} rows[] = {
    {16, 1000, TN_T_BOOL, 0},    {17, 1001, TN_T_BYTES, 0},     {20, 1016, TN_T_INT, 0},
    {21, 1005, TN_T_INT, 0},     {23, 1007, TN_T_INT, 0},       {26, 1028, TN_T_INT, 0},
    {25, 1009, TN_T_STR, 0},     {1043, 1015, TN_T_STR, 0},     {1042, 1014, TN_T_STR, 0},
    {114, 199, TN_T_STR, 1},     {3802, 3807, TN_T_STR, 1},     {700, 1021, TN_T_FLOAT, 0},
    {701, 1022, TN_T_FLOAT, 0},  {1700, 1231, TN_T_DECIMAL, 0}, {1082, 1182, TN_T_DATE, 0},
    {1083, 1183, TN_T_CLOCK, 0}, {1114, 1115, TN_T_TIME, 0},    {1184, 1185, TN_T_TIME, 0},
    {1186, 1187, TN_T_SPAN, 0},  {1266, 1270, TN_T_CLOCK, 0},   {18, 1002, TN_T_STR, 0},
    {19, 1003, TN_T_STR, 0},     {650, 651, TN_T_STR, 0},       {829, 1040, TN_T_STR, 0},
    {869, 1041, TN_T_STR, 0},
};
enum { OID_TIMESTAMPTZ = 1184, OID_TIMETZ = 1266 };

static const struct row *find(Oid type, int *ret_array)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].oid == type || rows[i].array == type) {
            *ret_array = rows[i].array == type;
            return &rows[i];
        }
    }
    return NULL;
}

uint32_t pg_col_type(Oid type)
{
    int array = 0;
    const struct row *r = find(type, &array);
    if (r == NULL) {
        return TN_T_STR;
    }
    if (array) {
        return TN_T_LIST;
    }
    /* Years beyond 9999, 24:00 and the like have no value of these types and stay text. */
    return r->type == TN_T_DATE || r->type == TN_T_TIME || r->type == TN_T_SPAN ||
                   r->type == TN_T_CLOCK
               ? TN_T_NULL
               : r->type;
}

int pg_scratch_room(struct pg_scratch *s, size_t bytes)
{
    s->used = 0;
    s->nitems = 0;
    if (s->cap < bytes) {
        char *mem = realloc(s->mem, bytes);
        if (mem == NULL) {
            return -1;
        }
        s->mem = mem;
        s->cap = bytes;
    }
    uint32_t items = (uint32_t)(bytes < UINT32_MAX ? bytes : UINT32_MAX);
    if (s->cap_items < items) { /* an item of an array takes at least one byte of text */
        tn_val *more = realloc(s->items, items * sizeof *more);
        if (more == NULL) {
            return -1;
        }
        s->items = more;
        s->cap_items = items;
    }
    return 0;
}

void pg_scratch_finish(struct pg_scratch *s)
{
    free(s->mem);
    free(s->items);
    *s = (struct pg_scratch){0};
}

/* ---- numbers and times ------------------------------------------------------------------------------- */

/* "+08", "-03:30", "+05:53:28" as microseconds */
static int read_zone(const char **pp, const char *end, int64_t *ret_us)
{
    int minus = *pp < end && **pp == '-';
    if (!civil_take(pp, end, '+') && !civil_take(pp, end, '-')) {
        return 0;
    }
    int64_t h = civil_digits(pp, end), m = civil_take(pp, end, ':') ? civil_digits(pp, end) : 0;
    int64_t s = civil_take(pp, end, ':') ? civil_digits(pp, end) : 0;
    if (h < 0 || h > 23 || m < 0 || m > 59 || s < 0 || s > 59) {
        return 0;
    }
    *ret_us = ((h * 60 + m) * 60 + s) * (minus ? -1000000 : 1000000);
    return 1;
}

/* "infinity", "-infinity": 1 and -1. psycopg2 gives Python's latest and earliest date for them. */
static int endless(const char *p, const char *end)
{
    size_t n = (size_t)(end - p), minus = n != 0 && *p == '-';
    return n - minus != 8 || memcmp(p + minus, "infinity", 8) != 0 ? 0 : minus ? -1 : 1;
}

static int read_date(const char *p, const char *end, tn_val *ret)
{
    int64_t days;
    int side = endless(p, end);
    if (side != 0) {
        days = side < 0 ? civil_days(1, 1, 1) : civil_days(9999, 12, 31);
    } else if (!civil_read_date(&p, end, &days) || p != end) {
        return 0;
    }
    *ret = (tn_val){.type = TN_T_DATE, .u.i = days};
    return 1;
}

static int read_time(const char *p, const char *end, int zoned, tn_val *ret)
{
    const int64_t day = 86400000000;
    int64_t days, us, zone = 0;
    int side = endless(p, end);
    if (side != 0) {
        days = side < 0 ? civil_days(1, 1, 1) : civil_days(9999, 12, 31);
        us = side < 0 ? 0 : day - 1;
    } else if (!civil_read_date(&p, end, &days) || !civil_take(&p, end, ' ') ||
               !civil_read_clock(&p, end, &us) || (zoned && !read_zone(&p, end, &zone)) ||
               p != end) {
        return 0; /* years before Christ or beyond 9999 */
    }
    *ret = (tn_val){.type = TN_T_TIME,
                    .flags = zoned ? TN_V_ZONE : TN_V_NAIVE,
                    .n = (uint32_t)(int32_t)(zone / 1000000),
                    .u.i = days * day + us - zone};
    return 1;
}

static int read_clock(const char *p, const char *end, int zoned, tn_val *ret)
{
    int64_t us, zone = 0;
    if (!civil_read_clock(&p, end, &us) || us >= 86400000000 ||
        (zoned && !read_zone(&p, end, &zone)) || p != end) {
        return 0; /* 24:00:00 */
    }
    *ret = (tn_val){.type = TN_T_CLOCK,
                    .flags = zoned ? TN_V_ZONE : 0,
                    .n = (uint32_t)(int32_t)(zone / 1000000),
                    .u.i = us};
    return 1;
}

/* "1 year 2 mons -3 days +04:05:06.7" (IntervalStyle postgres); a month is 30 days, a year 365, as in
 * psycopg2. */
static int read_span(const char *p, const char *end, tn_val *ret)
{
    static const struct {
        const char *word;
        int64_t days;
    } units[] = {{"year", 365}, {"mon", 30}, {"day", 1}};
    const int64_t most = INT64_MAX / 86400000000 - 1; /* days of a span */
    int64_t total = 0;
    while (p < end) {
        int minus = civil_take(&p, end, '-');
        (void)(minus || civil_take(&p, end, '+'));
        const char *word = p;
        int64_t v = civil_digits(&word, end), us = 0;
        if (v < 0) {
            return 0;
        }
        if (word < end && *word == ':') {
            if (!civil_read_clock(&p, end, &us)) {
                return 0;
            }
        } else if (v > most) {
            return 0;
        } else {
            p = word;
            if (!civil_take(&p, end, ' ')) {
                return 0;
            }
            size_t i = 0;
            while (i < 3 && ((size_t)(end - p) < strlen(units[i].word) ||
                             memcmp(p, units[i].word, strlen(units[i].word)) != 0)) {
                i++;
            }
            if (i == 3 || v > most / units[i].days) {
                return 0; /* no word of ours, or longer than a span can be: it stays text */
            }
            us = v * units[i].days * 86400000000;
            p += strlen(units[i].word);
            civil_take(&p, end, 's');
        }
        us = minus ? -us : us;
        if (us > 0 ? total > INT64_MAX - us : total < INT64_MIN - us) {
            return 0;
        }
        total += us;
        civil_take(&p, end, ' ');
    }
    *ret = (tn_val){.type = TN_T_SPAN, .u.i = total};
    return 1;
}

static int read_int(const char *p, const char *end, tn_val *ret)
{
    int minus = civil_take(&p, end, '-');
    uint64_t v = 0;
    for (; p < end; p++) {
        v = v * 10 + (uint64_t)(*p - '0'); /* at most 20 digits of an int8 or oid */
    }
    *ret = (tn_val){.type = TN_T_INT, .u.i = (int64_t)(minus ? 0 - v : v)};
    return 1;
}

/* ---- bytes and texts --------------------------------------------------------------------------------- */

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 0;
}

/* "\x00ff" (bytea_output hex), or the older form with octal escapes. */
static int read_bytes(struct pg_scratch *s, const char *p, size_t n, tn_val *ret)
{
    uint8_t *to = (uint8_t *)s->mem + s->used;
    size_t k = 0;
    if (n >= 2 && p[0] == '\\' && p[1] == 'x') {
        for (size_t i = 2; i + 1 < n; i += 2) {
            to[k++] = (uint8_t)(hex(p[i]) << 4 | hex(p[i + 1]));
        }
    } else {
        for (size_t i = 0; i < n; i++) {
            if (p[i] == '\\' && i + 3 < n && p[i + 1] >= '0' && p[i + 1] <= '3' &&
                p[i + 2] >= '0' && p[i + 2] <= '7' && p[i + 3] >= '0' && p[i + 3] <= '7') {
                to[k++] = (uint8_t)((p[i + 1] - '0') << 6 | (p[i + 2] - '0') << 3 |
                                    (p[i + 3] - '0'));
                i += 3;
            } else {
                i += p[i] == '\\' && i + 1 < n;
                to[k++] = (uint8_t)p[i];
            }
        }
    }
    s->used += k;
    *ret = (tn_val){.type = TN_T_BYTES, .n = (uint32_t)k, .u.b = to};
    return 1;
}

static int text(const char *p, size_t n, int json, int ascii, tn_val *ret)
{
    int bytes = ascii && !utf8_valid(p, n);
    *ret = (tn_val){.type = bytes ? TN_T_BYTES : TN_T_STR,
                    .flags = json && !bytes ? TN_V_JSON : 0,
                    .n = (uint32_t)n,
                    .u.s = p};
    return 1;
}

static int scalar(struct pg_scratch *s, const struct row *r, const char *p, size_t n, int ascii,
                  tn_val *ret)
{
    const char *end = p + n;
    int ok = 0;
    switch (r->type) {
    case TN_T_BOOL:
        *ret = (tn_val){.type = TN_T_BOOL, .u.i = n != 0 && p[0] == 't'};
        return 1;
    case TN_T_INT:
        return read_int(p, end, ret);
    case TN_T_FLOAT:
        *ret = (tn_val){.type = TN_T_FLOAT,
                        .u.f = strtod(p, NULL)}; /* libpq and arrays end in NUL */
        return 1;
    case TN_T_DECIMAL:
        *ret = (tn_val){.type = TN_T_DECIMAL, .n = (uint32_t)n, .u.s = p};
        return 1;
    case TN_T_BYTES:
        return read_bytes(s, p, n, ret);
    case TN_T_DATE:
        ok = read_date(p, end, ret);
        break;
    case TN_T_CLOCK:
        ok = read_clock(p, end, r->oid == OID_TIMETZ, ret);
        break;
    case TN_T_TIME:
        ok = read_time(p, end, r->oid == OID_TIMESTAMPTZ, ret);
        break;
    case TN_T_SPAN:
        ok = read_span(p, end, ret);
        break;
    default:
        break;
    }
    return ok ? 1 : text(p, n, r->json, ascii, ret);
}

/* ---- arrays ------------------------------------------------------------------------------------------ */

struct array {
    struct pg_scratch *s;
    const struct row *r;
    const char *p, *end;
    int ascii, depth;
};

static int read_array(struct array *a, tn_val *ret);

/* One item: quoted with backslashes, or plain up to a comma or brace; it is copied, so that it ends in NUL. */
static int read_item(struct array *a, tn_val *ret)
{
    char *to = a->s->mem + a->s->used;
    size_t n = 0;
    int quoted = civil_take(&a->p, a->end, '"');
    while (a->p < a->end && (quoted ? *a->p != '"' : *a->p != ',' && *a->p != '}')) {
        a->p += *a->p == '\\' && a->p + 1 < a->end;
        to[n++] = *a->p++;
    }
    if (quoted && !civil_take(&a->p, a->end, '"')) {
        return 0;
    }
    to[n] = '\0';
    a->s->used += n + 1;
    if (!quoted && n == 4 && memcmp(to, "NULL", 4) == 0) {
        *ret = (tn_val){.type = TN_T_NULL};
        return 1;
    }
    return scalar(a->s, a->r, to, n, a->ascii, ret);
}

/* "{1,NULL,"a b"}", also nested; a->p is at the brace. Items of one list stand together, so inner lists are
 * read into their places after a first pass has counted them. */
static int read_array(struct array *a, tn_val *ret)
{
    struct pg_scratch *s = a->s;
    uint32_t count = 1;
    int depth = 0, quoted = 0;
    if (!civil_take(&a->p, a->end, '{') || ++a->depth > 6) {
        return 0;
    }
    for (const char *q = a->p; q < a->end && (depth > 0 || quoted || *q != '}'); q++) {
        if (*q == '\\' && q + 1 < a->end) {
            q++; /* whatever it is, it is part of a text */
            continue;
        }
        quoted ^= *q == '"';
        depth += quoted ? 0 : (*q == '{') - (*q == '}');
        count += !quoted && depth == 0 && *q == ',';
    }
    if (civil_take(&a->p, a->end, '}')) {
        count = 0;
    }
    if (count > s->cap_items - s->nitems) {
        return 0;
    }
    tn_val *items = s->items + s->nitems;
    s->nitems += count;
    for (uint32_t i = 0; i < count; i++) {
        int ok = a->p < a->end && *a->p == '{' ? read_array(a, &items[i]) : read_item(a, &items[i]);
        if (!ok || !civil_take(&a->p, a->end, i + 1 < count ? ',' : '}')) {
            return 0;
        }
    }
    a->depth--;
    *ret = (tn_val){.type = TN_T_LIST, .n = count, .u.list = items};
    return 1;
}

int pg_value(struct pg_scratch *s, Oid type, const char *p, size_t n, int ascii, tn_val *ret)
{
    int is_array = 0;
    const struct row *r = find(type, &is_array);
    if (r == NULL) {
        return text(p, n, 0, ascii, ret);
    }
    if (!is_array) {
        return scalar(s, r, p, n, ascii, ret);
    }
    struct array a = {.s = s, .r = r, .p = p, .end = p + n, .ascii = ascii};
    size_t used = s->used;
    uint32_t nitems = s->nitems;
    const char *bounds = n != 0 && *p == '[' ? memchr(p, '=', n) : NULL;
    if (bounds != NULL) {
        a.p = bounds + 1; /* "[0:2]={…}": indices that do not begin at 1 */
    }
    if (read_array(&a, ret) && a.p == a.end) {
        return 1;
    }
    s->used = used; /* what we do not know: the text */
    s->nitems = nitems;
    return text(p, n, 0, ascii, ret);
}
