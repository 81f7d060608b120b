/* SPDX-License-Identifier: Apache-2.0 */
/* Occurrences: an expression in a time zone, as moments of UTC.
 *
 * When clocks change, an expression whose hour field allows all hours goes by real time: what a gap
 * jumps over does not exist, a repeated hour is another hour. Any other expression goes by the day:
 * what falls into a gap happens once, at the first moment after it, and a repeated time only the
 * first time. */
#pragma once
#include "expr.h"
#include "common/zone.h"

/* The first occurrence after `after` (seconds since 1970 UTC). False: none within fifty years. */
bool occur_next(const struct cron_expr *e, const struct zone *z, int64_t after, int64_t *ret);
/* How many occurrences are after `after` and not after `to`. Costs a few microseconds a year. */
uint64_t occur_count(const struct cron_expr *e, const struct zone *z, int64_t after, int64_t to);
/* A moment m in after..to so that at least min(want, all) and not many more occurrences are in
 * m..to: where to begin when only the last ones are wanted. */
int64_t occur_tail(const struct cron_expr *e, const struct zone *z, int64_t after, int64_t to,
                   uint64_t want);
