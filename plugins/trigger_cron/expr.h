/* SPDX-License-Identifier: Apache-2.0 */
/* Cron expressions: what they match, in wall-clock time without any zone. */
#pragma once
#include <stdbool.h>
#include <tenon/types.h>

#define EXPR_MAX 256 /* bytes of an expression */

/* Bit n of a mask stands for the value n. */
struct cron_expr {
    uint64_t sec, min;
    uint32_t hour, dom; /* dom: bits 1..31 */
    uint16_t mon;       /* bits 1..12 */
    uint8_t dow;        /* bits 0 (Sunday)..6 */
    uint8_t nth[5];     /* weekdays of "5#2", by number - 1 */
    uint8_t last_dow;   /* weekdays of "L5": the last of the month */
    bool dom_last;      /* "L" in the day field */
    bool dom_any, dow_any;
    bool any_hour; /* all 24 hours: see occur.h for what that means when clocks change */
};

/* A day of the proleptic Gregorian calendar. */
struct cron_day {
    int32_t year;
    int32_t month, day; /* 1.. */
};

/* Reads an expression of 1 to 6 fields (README.md has the rules). TN_E_INVAL names the field, its
 * text and what is allowed. Any thread; no allocation. */
tn_rc expr_parse(tn_str text, struct cron_expr *ret, char *why, size_t why_cap);

/* The first second >= `from` (seconds since 1970 of a clock that knows no zone) that matches; false:
 * none within fifty years. */
bool expr_next(const struct cron_expr *e, int64_t from, int64_t *ret);

/* Days of this month that match, bit n for day n. */
uint32_t expr_days(const struct cron_expr *e, int32_t year, int32_t month);

/* How many seconds of a matching day match. */
uint32_t expr_per_day(const struct cron_expr *e);

/* Days since 1970 and back (H. Hinnant, "chrono-compatible low-level date algorithms"). */
int64_t day_number(int32_t year, int32_t month, int32_t day);
struct cron_day day_of(int64_t days);
int32_t month_length(int32_t year, int32_t month);
