/* SPDX-License-Identifier: Apache-2.0 */
/* From wall-clock matches to moments; the rules for clock changes are in occur.h. */
#include "occur.h"

#define DAY_S 86400

/* Where the wall clock of span i begins to show new times. */
static int64_t wall_start(const struct cron_expr *e, const struct zone *z, uint32_t i)
{
    int64_t from = z->spans[i].at + z->spans[i].offset;
    if (!e->any_hour && z->spans[i].offset < z->spans[i - 1].offset) {
        from = z->spans[i].at + z->spans[i - 1].offset; /* not the repeated part */
    }
    return from;
}

/* Something of the wall-clock times that were jumped over at the start of span i matches. */
static bool gap_matches(const struct cron_expr *e, const struct zone *z, uint32_t i)
{
    int64_t at = z->spans[i].at, wall;
    return expr_next(e, at + z->spans[i - 1].offset, &wall) && wall < at + z->spans[i].offset;
}

bool occur_next(const struct cron_expr *e, const struct zone *z, int64_t after, int64_t *ret)
{
    uint32_t i = zone_find(z, after + 1);
    int64_t from = after + 1 + z->spans[i].offset, wall;
    if (i > 0) {
        if (z->spans[i].at == after + 1 && !e->any_hour && gap_matches(e, z, i)) {
            *ret = after + 1;
            return true;
        }
        int64_t start = wall_start(e, z, i);
        from = from < start ? start : from;
    }
    if (!expr_next(e, from, &wall)) {
        return false;
    }
    for (;; i++) {
        int64_t end = zone_end(z, i), offset = z->spans[i].offset;
        if (end == INT64_MAX || wall < end + offset) {
            *ret = wall - offset;
            return true;
        }
        int64_t next = end + z->spans[i + 1].offset, start = wall_start(e, z, i + 1);
        if (!e->any_hour && wall < next) { /* inside the gap */
            *ret = end;
            return true;
        }
        if ((wall < start || start < from) && !expr_next(e, start, &wall)) {
            return false;
        }
        from = start;
    }
}

/* One by one, up to `to`. */
static uint64_t count_slow(const struct cron_expr *e, const struct zone *z, int64_t after,
                           int64_t to)
{
    uint64_t n = 0;
    for (int64_t at = after; occur_next(e, z, at, &at) && at <= to;) {
        n++;
    }
    return n;
}

uint64_t occur_count(const struct cron_expr *e, const struct zone *z, int64_t after, int64_t to)
{
    uint64_t n = 0;
    struct cron_day d = {0};
    uint32_t days = 0;
    while (after < to) {
        uint32_t i = zone_find(z, after + 1);
        int64_t offset = z->spans[i].offset, wall = after + 1 + offset;
        int64_t number = (wall >= 0 ? wall : wall - (DAY_S - 1)) / DAY_S;
        int64_t midnight = (number + 1) * DAY_S - offset; /* of the next day */
        int64_t begin = midnight - DAY_S;
        /* Whole days that no change touches are counted by their masks; a change is given a day on
         * both sides. */
        bool quiet = begin == after + 1 && midnight - 1 <= to &&
                     midnight + DAY_S < zone_end(z, i) &&
                     (i == 0 || begin - DAY_S > z->spans[i].at);
        if (!quiet) {
            int64_t stop = midnight - 1 < to ? midnight - 1 : to;
            if (stop >= zone_end(z, i)) {
                stop = zone_end(z, i);
            }
            n += count_slow(e, z, after, stop);
            after = stop;
            continue;
        }
        struct cron_day day = day_of(number);
        if (day.month != d.month || day.year != d.year) {
            days = expr_days(e, day.year, day.month);
        }
        d = day;
        n += (days >> d.day & 1) != 0 ? expr_per_day(e) : 0;
        after += DAY_S;
    }
    return n;
}

int64_t occur_tail(const struct cron_expr *e, const struct zone *z, int64_t after, int64_t to,
                   uint64_t want)
{
    int64_t all = to - after, back = DAY_S < all ? DAY_S : all;
    while (back < all && occur_count(e, z, to - back, to) < want) {
        back = back < all / 2 ? 2 * back : all;
    }
    /* Halve as long as enough are left. */
    while (back > 60 && occur_count(e, z, to - back / 2, to) >= want) {
        back /= 2;
    }
    return to - back;
}
