/* SPDX-License-Identifier: Apache-2.0 */
/* Values in the formats of OCI and in SQLite's: numbers of base 100, dates, intervals, large ones. */
#include "oci.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- NUMBER ------------------------------------------------------------------------------------------ */

/* Length, exponent, digits of base 100: 0.D1D2… times 100 to the exponent. */
void number_from_text(const char *text, uint8_t out[22])
{
    char digits[200];
    int n = 0, point = 0, exponent = 0;
    bool minus = *text == '-', seen = false;
    for (const char *p = text + (*text == '-' || *text == '+'); *p != '\0'; p++) {
        if (*p == '.') {
            seen = true;
        } else if (*p == 'e' || *p == 'E') {
            exponent = atoi(p + 1);
            break;
        } else if (*p >= '0' && *p <= '9' && n < 190) {
            if (n != 0 || *p != '0') {
                digits[n++] = (char)(*p - '0');
                point += !seen;
            } else {
                point -= seen; /* a zero behind the point, before the first digit */
            }
        }
    }
    memset(out, 0, 22);
    while (n > 0 && digits[n - 1] == 0) {
        n--;
    }
    if (n == 0) {
        out[0] = 1;
        out[1] = 0x80;
        return;
    }
    point += exponent;
    if (point % 2 != 0) { /* pairs begin at an even place */
        memmove(digits + 1, digits, (size_t)n);
        digits[0] = 0;
        n++;
        point++;
    }
    int pairs = (n + 1) / 2 > 20 ? 20 : (n + 1) / 2;
    digits[n] = 0;
    out[1] = (uint8_t)(minus ? 63 - point / 2 : 192 + point / 2);
    for (int i = 0; i < pairs; i++) {
        int d = digits[2 * i] * 10 + digits[2 * i + 1];
        out[2 + i] = (uint8_t)(minus ? 101 - d : d + 1);
    }
    out[0] = (uint8_t)(1 + pairs);
    if (minus && pairs < 20) {
        out[2 + pairs] = 102;
        out[0]++;
    }
}

void number_to_text(const uint8_t in[22], char text[200])
{
    char digits[64];
    int n = 0, o = 0, pairs = in[0] - 1;
    bool minus = (in[1] & 0x80) == 0;
    if (in[0] == 1 && in[1] == 0x80) {
        strcpy(text, "0");
        return;
    }
    int point = 2 * (minus ? 63 - in[1] : in[1] - 192);
    if (minus && pairs > 0 && in[1 + pairs] == 102) {
        pairs--;
    }
    for (int i = 0; i < pairs && i < 20; i++) {
        int d = minus ? 101 - in[2 + i] : in[2 + i] - 1;
        digits[n++] = (char)(d / 10);
        digits[n++] = (char)(d % 10);
    }
    while (n > 0 && digits[n - 1] == 0) {
        n--;
    }
    int first = 0;
    while (first < n && digits[first] == 0) {
        first++;
    }
    if (minus) {
        text[o++] = '-';
    }
    if (point - first <= 0) {
        o += sprintf(text + o, "0.");
        for (int i = point; i < first && o < 190; i++) {
            text[o++] = '0';
        }
        for (int i = first; i < n; i++) {
            text[o++] = (char)('0' + digits[i]);
        }
    } else {
        for (int i = first; (i < n || i < point) && o < 190; i++) {
            if (i == point) {
                text[o++] = '.';
            }
            text[o++] = (char)('0' + (i < n ? digits[i] : 0));
        }
    }
    text[o] = '\0';
}

/* ---- texts of times ---------------------------------------------------------------------------------- */

static void read_moment(const char *p, struct moment *m)
{
    int y = 0, mo = 1, d = 1, h = 0, mi = 0, s = 0, n = 0;
    memset(m, 0, sizeof *m);
    sscanf(p, "%d-%d-%d%n", &y, &mo, &d, &n);
    p += n;
    n = 0;
    sscanf(p, "%*[ T]%d:%d:%d%n", &h, &mi, &s, &n);
    p += n;
    if (*p == '.') {
        int scale = 100000000;
        for (p++; *p >= '0' && *p <= '9'; p++, scale /= 10) {
            m->nano += (uint32_t)((*p - '0') * scale);
        }
    }
    p += strspn(p, " ");
    if (*p == '+' || *p == '-') {
        int th = 0, tm = 0, sign = *p == '-' ? -1 : 1;
        sscanf(p + 1, "%d:%d", &th, &tm);
        m->tz_hour = (int8_t)(sign * th);
        m->tz_minute = (int8_t)(sign * tm);
    }
    m->year = (int16_t)y, m->month = (uint8_t)mo, m->day = (uint8_t)d;
    m->hour = (uint8_t)h, m->minute = (uint8_t)mi, m->second = (uint8_t)s;
}

static void write_moment(const struct moment *m, uint16_t type, char text[80])
{
    int n = sprintf(text, "%04d-%02d-%02d %02d:%02d:%02d", m->year, m->month, m->day, m->hour,
                    m->minute, m->second);
    if (type != T_ODT) {
        n += sprintf(text + n, ".%09u", m->nano);
    }
    if (type == T_STAMP_TZ || type == T_LTZ) {
        sprintf(text + n, " %c%02d:%02d", m->tz_hour < 0 || m->tz_minute < 0 ? '-' : '+',
                abs(m->tz_hour), abs(m->tz_minute));
    }
}

static void read_span(const char *p, bool months, struct span *s)
{
    int sign = *p == '-' ? -1 : 1;
    p += *p == '-' || *p == '+';
    memset(s, 0, sizeof *s);
    if (months) {
        sscanf(p, "%d-%d", &s->days, &s->hours);
    } else {
        char fraction[10] = "";
        sscanf(p, "%d %d:%d:%d.%9[0-9]", &s->days, &s->hours, &s->minutes, &s->seconds, fraction);
        while (strlen(fraction) < 9) {
            strcat(fraction, "0");
        }
        s->nanos = atoi(fraction);
    }
    s->days *= sign, s->hours *= sign, s->minutes *= sign, s->seconds *= sign, s->nanos *= sign;
}

static void write_span(const struct span *s, bool months, char text[80])
{
    bool minus = s->days < 0 || s->hours < 0 || s->minutes < 0 || s->seconds < 0 || s->nanos < 0;
    int n = sprintf(text, "%c%d", minus ? '-' : '+', abs(s->days));
    if (months) {
        sprintf(text + n, "-%02d", abs(s->hours));
    } else {
        sprintf(text + n, " %02d:%02d:%02d.%09d", abs(s->hours), abs(s->minutes), abs(s->seconds),
                abs(s->nanos));
    }
}

/* ---- in ---------------------------------------------------------------------------------------------- */

static void bind_number(sqlite3_stmt *s, int i, const uint8_t *number)
{
    char text[200], *end;
    number_to_text(number, text);
    long long v = strtoll(text, &end, 10);
    if (*end == '\0' && strlen(text) < 19) {
        sqlite3_bind_int64(s, i, v);
    } else {
        sqlite3_bind_text(s, i, text, -1, SQLITE_TRANSIENT);
    }
}

/* An empty text is NULL. */
static void bind_bytes(sqlite3_stmt *s, int i, bool text, const void *at, size_t n)
{
    if (n == 0) {
        sqlite3_bind_null(s, i);
    } else if (text) {
        sqlite3_bind_text(s, i, at, (int)n, SQLITE_TRANSIENT);
    } else {
        sqlite3_bind_blob(s, i, at, (int)n, SQLITE_TRANSIENT);
    }
}

void bind_value(sqlite3_stmt *s, int i, const struct bind *b, uint32_t row)
{
    void *at = b->at != NULL ? b->at + (size_t)row * (size_t)b->size : NULL,
         *ind = b->ind != NULL ? &b->ind[row] : NULL;
    uint32_t n = b->lens != NULL ? b->lens[row] : (uint32_t)b->size;
    uint8_t piece = 0;
    char text[80];
    struct moment m;
    if (b->in != NULL && b->in(b->in_ctx, (void *)b, row, 0, &at, &n, &piece, &ind) != CONTINUE) {
        at = NULL;
    }
    if (at == NULL || (ind != NULL && *(int16_t *)ind == -1)) {
        sqlite3_bind_null(s, i);
        return;
    }
    switch (b->type) {
    case T_VNU:
        bind_number(s, i, at);
        return;
    case T_INT:
        sqlite3_bind_int64(s, i, *(int64_t *)at);
        return;
    case T_BDOUBLE:
        sqlite3_bind_double(s, i, *(double *)at);
        return;
    case T_BOL:
        sqlite3_bind_int(s, i, *(int *)at);
        return;
    case T_ODT: {
        const struct date *d = at;
        m = (struct moment){d->year, d->month, d->day, d->hour, d->minute, d->second, 0, 0, 0};
        write_moment(&m, b->type, text);
        break;
    }
    case T_STAMP:
    case T_STAMP_TZ:
    case T_LTZ:
        write_moment(*(struct moment **)at, b->type, text);
        break;
    case T_DS:
    case T_YM:
        write_span(*(struct span **)at, b->type == T_YM, text);
        break;
    case T_CLOB:
    case T_BLOB: {
        const struct lob *l = *(struct lob **)at;
        bind_bytes(s, i, b->type == T_CLOB, l->data, l->n);
        return;
    }
    default:
        bind_bytes(s, i, b->type != T_BIN && b->type != T_LBI, at, n);
        return;
    }
    sqlite3_bind_text(s, i, text, -1, SQLITE_TRANSIENT);
}

/* ---- out --------------------------------------------------------------------------------------------- */

static int in_pieces(struct define *d, const char *p, size_t n, uint32_t row)
{
    do {
        void *buf = NULL, *ind = NULL;
        uint32_t *room = NULL;
        uint16_t *code = NULL;
        uint8_t piece = 0;
        if (d->more(d->ctx, d, row, &buf, &room, &piece, &ind, &code) != CONTINUE) {
            return 3106;
        }
        uint32_t k = n < *room ? (uint32_t)n : *room;
        memcpy(buf, p, k);
        *room = k;
        *(int16_t *)ind = 0;
        p += k;
        n -= k;
    } while (n > 0);
    return 0;
}

static void deliver_bytes(struct define *d, const struct kind *kind, char *at, sqlite3_value *v,
                          uint32_t row)
{
    bool text = d->type != T_BIN && d->type != T_LBI;
    const char *p = text ? (const char *)sqlite3_value_text(v) : sqlite3_value_blob(v);
    uint64_t n = (uint64_t)sqlite3_value_bytes(v), k = n < d->size ? n : d->size, pad = 0;
    memcpy(at, p, k);
    for (pad = k; kind->type == T_AFC && pad < kind->size && pad < d->size; pad++) {
        at[pad] = ' ';
    }
    if (d->lens != NULL) {
        d->lens[row] = (uint32_t)(kind->type == T_AFC ? pad : k);
    }
    if (d->codes != NULL) {
        d->codes[row] = k < n ? 1406 : 0;
    }
}

static void deliver_lob(struct lob *l, bool binary, sqlite3_value *v)
{
    const void *p = binary ? sqlite3_value_blob(v) : (const void *)sqlite3_value_text(v);
    free(l->data);
    l->n = (size_t)sqlite3_value_bytes(v);
    l->binary = binary;
    l->data = malloc(l->n + 1);
    if (l->data != NULL && l->n != 0) {
        memcpy(l->data, p, l->n);
    }
}

int deliver(struct define *d, const struct kind *kind, sqlite3_value *v, uint32_t row)
{
    char *at = d->at != NULL ? d->at + row * d->size : NULL, text[200];
    const char *says = (const char *)sqlite3_value_text(v);
    struct moment m;
    bool null = sqlite3_value_type(v) == SQLITE_NULL ||
                (sqlite3_value_bytes(v) == 0 && d->type != T_CLOB && d->type != T_BLOB);
    if (d->more != NULL) {
        if (!null) {
            return in_pieces(d, d->type == T_CHR ? says : sqlite3_value_blob(v),
                             (size_t)sqlite3_value_bytes(v), row);
        }
        void *buf, *ind = NULL;
        uint32_t *room;
        uint16_t *code;
        uint8_t piece = 0;
        d->more(d->ctx, d, row, &buf, &room, &piece, &ind, &code);
        *(int16_t *)ind = -1;
        return 0;
    }
    if (d->ind != NULL) {
        d->ind[row] = null ? -1 : 0;
    }
    if (null) {
        return 0;
    }
    switch (d->type) {
    case T_VNU:
        if (sqlite3_value_type(v) == SQLITE_FLOAT) {
            snprintf(text, sizeof text, "%.15g", sqlite3_value_double(v));
        } else {
            snprintf(text, sizeof text, "%s", says);
        }
        if (strspn(text, "+-0123456789.eE") != strlen(text)) {
            return 1722;
        }
        number_from_text(text, (uint8_t *)at);
        break;
    case T_INT:
        *(int64_t *)at = sqlite3_value_int64(v);
        break;
    case T_BDOUBLE:
        *(double *)at = sqlite3_value_double(v);
        break;
    case T_BFLOAT:
        *(float *)at = (float)sqlite3_value_double(v);
        break;
    case T_BOL:
        *(int *)at = sqlite3_value_int(v);
        break;
    case T_ODT:
        read_moment(says, &m);
        *(struct date *)at = (struct date){m.year, m.month, m.day, m.hour, m.minute, m.second};
        break;
    case T_STAMP:
    case T_STAMP_TZ:
    case T_LTZ:
        read_moment(says, *(struct moment **)at);
        break;
    case T_DS:
    case T_YM:
        read_span(says, d->type == T_YM, *(struct span **)at);
        break;
    case T_CLOB:
    case T_BLOB:
        deliver_lob(*(struct lob **)at, d->type == T_BLOB, v);
        break;
    case T_RDD:
        snprintf((*(struct rowid **)at)->text, sizeof(struct rowid), "AAA%015lld",
                 sqlite3_value_int64(v));
        break;
    default:
        deliver_bytes(d, kind, at, v, row);
    }
    return 0;
}

int deliver_bind(struct bind *b, sqlite3_value *v)
{
    struct kind kind = {.type = b->type};
    struct define d = {.at = b->at,
                       .size = (uint64_t)b->size,
                       .type = b->type,
                       .ind = b->ind,
                       .lens = b->lens,
                       .codes = b->codes};
    return deliver(&d, &kind, v, 0);
}

/* ---- descriptors ------------------------------------------------------------------------------------- */

OCI(int, OCIDateTimeConstruct,
    (void *env, void *err, void *d, int16_t y, uint8_t mo, uint8_t day, uint8_t h, uint8_t mi,
     uint8_t s, uint32_t nano, const char *tz, size_t tz_n))
{
    struct moment *m = d;
    int th = 0, tm = 0;
    (void)env;
    if (mo < 1 || mo > 12 || day < 1 || day > 31 || h > 23 || mi > 59 || s > 59) {
        return fail(err, 1843, "not a valid month");
    }
    *m = (struct moment){y, mo, day, h, mi, s, nano, 0, 0};
    if (tz != NULL && tz_n >= 6 && sscanf(tz + 1, "%d:%d", &th, &tm) == 2) {
        m->tz_hour = (int8_t)(*tz == '-' ? -th : th);
        m->tz_minute = (int8_t)(*tz == '-' ? -tm : tm);
    }
    return OK;
}

OCI(int, OCIDateTimeGetDate,
    (void *env, void *err, const void *d, int16_t *y, uint8_t *mo, uint8_t *day))
{
    const struct moment *m = d;
    (void)env, (void)err;
    *y = m->year, *mo = m->month, *day = m->day;
    return OK;
}

OCI(int, OCIDateTimeGetTime,
    (void *env, void *err, void *d, uint8_t *h, uint8_t *mi, uint8_t *s, uint32_t *nano))
{
    const struct moment *m = d;
    (void)env, (void)err;
    *h = m->hour, *mi = m->minute, *s = m->second, *nano = m->nano;
    return OK;
}

OCI(int, OCIDateTimeGetTimeZoneOffset, (void *env, void *err, const void *d, int8_t *h, int8_t *mi))
{
    const struct moment *m = d;
    (void)env, (void)err;
    *h = m->tz_hour, *mi = m->tz_minute;
    return OK;
}

OCI(int, OCIIntervalGetDaySecond,
    (void *env, void *err, int32_t *d, int32_t *h, int32_t *m, int32_t *s, int32_t *n,
     const void *from))
{
    const struct span *v = from;
    (void)env, (void)err;
    *d = v->days, *h = v->hours, *m = v->minutes, *s = v->seconds, *n = v->nanos;
    return OK;
}

OCI(int, OCIIntervalSetDaySecond,
    (void *env, void *err, int32_t d, int32_t h, int32_t m, int32_t s, int32_t n, void *to))
{
    (void)env, (void)err;
    *(struct span *)to = (struct span){d, h, m, s, n};
    return OK;
}

OCI(int, OCIIntervalGetYearMonth, (void *env, void *err, int32_t *y, int32_t *m, const void *from))
{
    const struct span *v = from;
    (void)env, (void)err;
    *y = v->days, *m = v->hours;
    return OK;
}

OCI(int, OCIRowidToChar, (void *d, char *out, uint16_t *n, void *err))
{
    const struct rowid *r = d;
    uint16_t room = *n;
    (void)err;
    *n = (uint16_t)strlen(r->text);
    if (room < *n) {
        return FAILED; /* the length is what was asked for */
    }
    memcpy(out, r->text, *n);
    return OK;
}
