/* SPDX-License-Identifier: Apache-2.0 */
/* Dates and times of SQL texts, in the proleptic Gregorian calendar. */
#include "common/civil.h"

/* A run of digits; *pp moves behind it. -1: there is none. */
int64_t civil_digits(const char **pp, const char *end)
{
    const char *p = *pp;
    int64_t v = 0;
    while (p < end && *p >= '0' && *p <= '9' && v < 1000000000000000) {
        v = v * 10 + (*p++ - '0');
    }
    v = p == *pp ? -1 : v;
    *pp = p;
    return v;
}

int civil_take(const char **pp, const char *end, char c)
{
    if (*pp < end && **pp == c) {
        (*pp)++;
        return 1;
    }
    return 0;
}

/* ".123456" as microseconds. */
int64_t civil_fraction(const char **pp, const char *end)
{
    int64_t us = 0, unit = 100000;
    if (civil_take(pp, end, '.')) {
        for (; *pp < end && **pp >= '0' && **pp <= '9'; (*pp)++) {
            us += (**pp - '0') * unit;
            unit /= 10;
        }
    }
    return us;
}

int64_t civil_days(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;
    int64_t era = y / 400, yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static int64_t month_length(int64_t y, int64_t m)
{
    static const uint8_t length[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return length[m - 1] + (m == 2 && y % 4 == 0 && (y % 100 != 0 || y % 400 == 0));
}

/* "2026-01-31"; years 1 to 9999 (Python's) and days that there are, others stay text: some servers store 31 February. */
int civil_read_date(const char **pp, const char *end, int64_t *ret_days)
{
    int64_t y = civil_digits(pp, end), m, d;
    if (y < 1 || y > 9999 || !civil_take(pp, end, '-') || (m = civil_digits(pp, end)) < 1 ||
        m > 12 || !civil_take(pp, end, '-') || (d = civil_digits(pp, end)) < 1 ||
        d > month_length(y, m)) {
        return 0;
    }
    *ret_days = civil_days(y, m, d);
    return 1;
}

/* "08:30:00.25" */
int civil_read_clock(const char **pp, const char *end, int64_t *ret_us)
{
    int64_t h = civil_digits(pp, end), m, s;
    if (h < 0 || h > 1000000000 || !civil_take(pp, end, ':') || (m = civil_digits(pp, end)) < 0 ||
        m > 59 || !civil_take(pp, end, ':') || (s = civil_digits(pp, end)) < 0 || s > 60) {
        return 0;
    }
    *ret_us = ((h * 60 + m) * 60 + s) * 1000000;
    *ret_us += civil_fraction(pp, end);
    return 1;
}

void civil_date(int64_t days, int64_t *ret_y, int *ret_m, int *ret_d)
{
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    *ret_d = (int)(doy - (153 * mp + 2) / 5 + 1);
    *ret_m = (int)(mp < 10 ? mp + 3 : mp - 9);
    *ret_y = yoe + era * 400 + (*ret_m <= 2);
}
