/* SPDX-License-Identifier: Apache-2.0 */
/* POSIX TZ strings as they stand in the footer of TZif files (RFC 8536, 3.3.1). */
#include "common/footer.h"

#include "common/civil.h"

#include <string.h>

struct reader {
    const char *p, *end;
};

static bool take(struct reader *r, char c)
{
    if (r->p < r->end && *r->p == c) {
        r->p++;
        return true;
    }
    return false;
}

static bool digits(struct reader *r, int32_t max, int32_t *ret)
{
    int32_t v = 0, n = 0;
    for (; r->p < r->end && *r->p >= '0' && *r->p <= '9' && n < 4; r->p++, n++) {
        v = v * 10 + (*r->p - '0');
    }
    *ret = v;
    return n > 0 && v <= max;
}

/* "CST" or "<+08>" */
static bool designation(struct reader *r)
{
    const char *from = r->p;
    if (take(r, '<')) {
        while (r->p < r->end && *r->p != '>') {
            r->p++;
        }
        return take(r, '>') && r->p - from >= 3;
    }
    while (r->p < r->end && ((*r->p >= 'a' && *r->p <= 'z') || (*r->p >= 'A' && *r->p <= 'Z'))) {
        r->p++;
    }
    return r->p - from >= 3;
}

/* [+-]hh[:mm[:ss]] in seconds */
static bool clock_time(struct reader *r, int32_t max_hours, int32_t *ret)
{
    int32_t sign = take(r, '-') ? -1 : (take(r, '+'), 1), h, m = 0, s = 0;
    if (!digits(r, max_hours, &h) ||
        (take(r, ':') && (!digits(r, 59, &m) || (take(r, ':') && !digits(r, 59, &s))))) {
        return false;
    }
    *ret = sign * (h * 3600 + m * 60 + s);
    return true;
}

static bool date(struct reader *r, struct footer_date *d)
{
    *d = (struct footer_date){.kind = 'N', .second = 7200};
    bool good;
    if (take(r, 'M')) {
        d->kind = 'M';
        good = digits(r, 12, &d->month) && d->month >= 1 && take(r, '.') &&
               digits(r, 5, &d->week) && d->week >= 1 && take(r, '.') && digits(r, 6, &d->day);
    } else if (take(r, 'J')) {
        d->kind = 'J';
        good = digits(r, 365, &d->day) && d->day >= 1;
    } else {
        good = digits(r, 365, &d->day);
    }
    return good && (!take(r, '/') || clock_time(r, 167, &d->second));
}

bool footer_parse(tn_str text, struct footer *ret)
{
    struct reader r = {text.s, text.s + text.n};
    struct footer f = {0};
    if (text.n == 0 || !designation(&r) || !clock_time(&r, 24, &f.std)) {
        return false;
    }
    f.std = -f.std; /* POSIX counts west of Greenwich */
    f.dst = f.std + 3600;
    if (r.p < r.end) {
        f.has_dst = true;
        if (!designation(&r)) {
            return false;
        }
        if (r.p < r.end && *r.p != ',') {
            if (!clock_time(&r, 24, &f.dst)) {
                return false;
            }
            f.dst = -f.dst;
        }
        if (!take(&r, ',') || !date(&r, &f.start) || !take(&r, ',') || !date(&r, &f.end)) {
            return false;
        }
    }
    *ret = f;
    return r.p == r.end;
}

static int64_t days_in_month(int32_t year, int32_t month)
{
    return (month < 12 ? civil_days(year, month + 1, 1) : civil_days(year + 1, 1, 1)) -
           civil_days(year, month, 1);
}

static int64_t moment(const struct footer_date *d, int32_t year, int32_t offset)
{
    int64_t day = civil_days(year, 1, 1);
    if (d->kind == 'M') {
        day = civil_days(year, d->month, 1);
        int32_t first = (int32_t)(((day + 4) % 7 + 7) % 7);
        int32_t n = (d->day - first + 7) % 7 + 7 * (d->week - 1);
        while (n >= days_in_month(year, d->month)) {
            n -= 7;
        }
        day += n;
    } else if (d->kind == 'J') {
        bool leap = days_in_month(year, 2) == 29;
        day += d->day - 1 + (leap && d->day >= 60);
    } else {
        day += d->day;
    }
    return day * 86400 + d->second - offset;
}

void footer_year(const struct footer *f, int32_t year, int64_t *ret_start, int64_t *ret_end)
{
    *ret_start = moment(&f->start, year, f->std);
    *ret_end = moment(&f->end, year, f->dst);
}
