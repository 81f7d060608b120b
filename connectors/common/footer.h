/* SPDX-License-Identifier: Apache-2.0 */
/* The rule for the future at the end of a TZif file: POSIX TZ with the extensions of RFC 8536. */
#pragma once
#include <stdbool.h>
#include <tenon/types.h>

/* A day and second on which clocks change. */
struct footer_date {
    char kind; /* 'M' month.week.day, 'J' day 1..365 without 29 February, 'N' day 0..365 */
    int32_t month, week, day;
    int32_t second; /* local time, -167 h .. 167 h */
};
struct footer {
    int32_t std, dst; /* offsets east of Greenwich, seconds */
    bool has_dst;
    struct footer_date start, end;
};
/* "CST-8", "EST5EDT,M3.2.0,M11.1.0". False: malformed. */
bool footer_parse(tn_str text, struct footer *ret);
/* When daylight saving begins and ends in this year, seconds since 1970 UTC. */
void footer_year(const struct footer *f, int32_t year, int64_t *ret_start, int64_t *ret_end);
