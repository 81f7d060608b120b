/* SPDX-License-Identifier: Apache-2.0 */
/* Which seconds of the calendar an expression matches; no zones here. */
#include "expr.h"

#include <string.h>

#define DAY_S       86400
#define YEARS_AHEAD 50

int64_t day_number(int32_t year, int32_t month, int32_t day)
{
    int64_t y = (int64_t)year - (month <= 2);
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

struct cron_day day_of(int64_t days)
{
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    struct cron_day d = {.month = (int32_t)(mp < 10 ? mp + 3 : mp - 9),
                         .day = (int32_t)(doy - (153 * mp + 2) / 5 + 1)};
    d.year = (int32_t)(yoe + era * 400 + (d.month <= 2));
    return d;
}

int32_t month_length(int32_t year, int32_t month)
{
    static const int8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

/* Days of the month that fall on one of these weekdays; `first` is the weekday of day 1. */
static uint32_t weekdays(uint8_t dow, int32_t first)
{
    uint32_t days = 0;
    for (int32_t w = 0; w < 7; w++) {
        if ((dow >> w & 1) != 0) {
            for (int32_t day = 1 + (w - first + 7) % 7; day <= 31; day += 7) {
                days |= 1u << day;
            }
        }
    }
    return days;
}

uint32_t expr_days(const struct cron_expr *e, int32_t year, int32_t month)
{
    int32_t len = month_length(year, month);
    uint32_t valid = len == 31 ? 0xfffffffeu : ((1u << (len + 1)) - 2);
    if ((e->mon >> month & 1) == 0) {
        return 0;
    }
    uint32_t dom = e->dom | (e->dom_last ? 1u << len : 0);
    if (e->dow_any) {
        return dom & valid;
    }
    int32_t first = (int32_t)(((day_number(year, month, 1) + 4) % 7 + 7) % 7);
    uint32_t dow = 0;
    uint8_t special = e->last_dow;
    for (int32_t n = 0; n < 5; n++) {
        special |= e->nth[n];
        if (e->nth[n] != 0) {
            uint32_t week = 0xfeu << (7 * n); /* days 7n+1 .. 7n+7 */
            dow |= weekdays(e->nth[n], first) & week;
        }
    }
    if (e->last_dow != 0) {
        dow |= weekdays(e->last_dow, first) & valid & ~((1u << (len - 6)) - 1);
    }
    if (special == 0) {
        dow = weekdays(e->dow, first);
    }
    return (e->dom_any ? dow : dom | dow) & valid;
}

uint32_t expr_per_day(const struct cron_expr *e)
{
    return (uint32_t)(__builtin_popcount(e->hour) * __builtin_popcountll(e->min) *
                      __builtin_popcountll(e->sec));
}

/* Lowest set bit from `from` up, or -1. */
static int32_t bit_from(uint64_t bits, int32_t from)
{
    bits = from < 64 ? bits >> from << from : 0;
    return bits != 0 ? __builtin_ctzll(bits) : -1;
}

/* The first match of a day at or after `s` seconds into it, or -1. */
static int32_t in_day(const struct cron_expr *e, int32_t s)
{
    int32_t h = s / 3600, m = s / 60 % 60;
    int32_t sec = bit_from(e->sec, s % 60);
    if (sec < 0) {
        sec = __builtin_ctzll(e->sec);
        m++;
    }
    if (m < 60 && (e->min >> m & 1) == 0) {
        sec = __builtin_ctzll(e->sec);
    }
    m = bit_from(e->min, m);
    if (m < 0) {
        m = __builtin_ctzll(e->min);
        sec = __builtin_ctzll(e->sec);
        h++;
    }
    int32_t hour = bit_from(e->hour, h);
    if (hour < 0) {
        return -1;
    }
    if (hour != h) {
        m = __builtin_ctzll(e->min);
        sec = __builtin_ctzll(e->sec);
    }
    return hour * 3600 + m * 60 + sec;
}

bool expr_next(const struct cron_expr *e, int64_t from, int64_t *ret)
{
    int64_t number = (from >= 0 ? from : from - (DAY_S - 1)) / DAY_S;
    int32_t second = in_day(e, (int32_t)(from - number * DAY_S));
    if (second < 0) {
        number++;
    }
    struct cron_day d = day_of(number);
    int32_t last_year = d.year + YEARS_AHEAD;
    for (bool today = second >= 0; d.year <= last_year; today = false) {
        uint32_t days = expr_days(e, d.year, d.month);
        int32_t day = bit_from(days, d.day);
        if (day > 0) {
            if (!today || day != d.day) {
                second = in_day(e, 0);
            }
            *ret = day_number(d.year, d.month, day) * DAY_S + second;
            return true;
        }
        d.day = 1;
        d.year += d.month == 12;
        d.month = d.month == 12 ? 1 : d.month + 1;
    }
    return false;
}
