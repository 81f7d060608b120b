/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of an occurrence whose time has come: it runs, is skipped because of a pause, or was
 * noticed too late and goes the way of its catch-up policy. */
#include "wheel.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static const char *const whys[] = {
    [WHEEL_WHY_DOWN] = "the platform was not running",
    [WHEEL_WHY_JUMP] = "the clock was set forward",
    [WHEEL_WHY_BUSY] = "the platform could not take it in time",
};

static void iso(int64_t s, char *out, size_t cap)
{
    time_t t = (time_t)s;
    struct tm tm;
    if (gmtime_r(&t, &tm) == NULL || strftime(out, cap, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
        snprintf(out, cap, "%" PRId64, s);
    }
}

/* The newest occurrence up to `limit`; s->next when there is none after it. */
static int64_t newest(const struct sched *s, int64_t limit)
{
    int64_t at = occur_tail(&s->expr, s->zone, s->cursor, limit, 1), last = s->next;
    while (occur_next(&s->expr, s->zone, at, &at) && at <= limit) {
        last = at;
    }
    return last;
}

/* Begins to catch up: how far, and from where on they still run. */
static void overdue(const struct wheel *w, struct sched *s, int64_t now_us)
{
    /* The last occurrence that is too late to simply run. */
    int64_t limit = (now_us - w->late_us - s->spread_us) / US, window = now_us / US - s->window_s;
    if (s->expires_us != 0 && limit > s->expires_us / US) {
        limit = s->expires_us / US;
    }
    s->catch_to = limit;
    s->fold_to = INT64_MIN;
    s->run_from = INT64_MAX;
    s->why = s->next * US < w->started_us                                      ? WHEEL_WHY_DOWN
             : w->jumped_us != 0 && s->next * US + s->spread_us < w->jumped_us ? WHEEL_WHY_JUMP
                                                                               : WHEEL_WHY_BUSY;
    if (s->catchup == TN_CATCHUP_ALL) {
        s->run_from = window;
    } else if (s->catchup == TN_CATCHUP_LAST) {
        int64_t last = newest(s, limit);
        s->run_from = last >= window ? last : INT64_MAX;
    }
}

/* One row stands for all but the newest of those that end alike, up to `to`; it has the time of the
 * last of them, so that it is kept as long as the rows that follow. True: it was made. */
static bool fold(struct wheel *w, struct sched *s, int64_t to, uint32_t outcome, const char *why,
                 struct wheel_batch *b)
{
    s->fold_to = to;
    if (to <= s->next || occur_count(&s->expr, s->zone, s->cursor, to) <= MISSED_ROWS) {
        return false;
    }
    int64_t tail = occur_tail(&s->expr, s->zone, s->cursor, to, MISSED_ROWS);
    uint64_t folded = occur_count(&s->expr, s->zone, s->cursor, tail);
    if (folded < 2) {
        return false;
    }
    char since[40], reason[200];
    iso(s->next, since, sizeof since);
    snprintf(reason, sizeof reason, "%s; this row stands for %" PRIu64 " occurrences since %s", why,
             folded, since);
    s->next = newest(s, tail);
    wheel_emit(w, s, b, outcome, reason);
    w->by_outcome[outcome] += folded - 1;
    wheel_advance(w, s, s->next);
    return true;
}

void wheel_decide(struct wheel *w, struct sched *s, int64_t now_us, struct wheel_batch *b)
{
    int64_t at_us = s->next * US;
    if (s->next > s->catch_to && at_us + s->spread_us < now_us - w->late_us) {
        overdue(w, s, now_us);
    }
    uint32_t outcome = TN_OCCUR_RUN;
    const char *why = NULL;
    int64_t alike = s->catch_to; /* up to here all end like this one */
    if (at_us < w->pause_until_us || at_us < s->paused_until_us) {
        bool all = at_us < w->pause_until_us;
        int64_t until_us = all ? w->pause_until_us : s->paused_until_us;
        outcome = TN_OCCUR_SKIP;
        why = all ? "all schedules are paused" : "the schedule is paused";
        alike = alike < (until_us - 1) / US ? alike : (until_us - 1) / US;
    } else if (s->next <= s->catch_to) {
        why = whys[s->why];
        outcome = s->next >= s->run_from ? TN_OCCUR_LATE : TN_OCCUR_MISSED;
        alike = outcome == TN_OCCUR_LATE || alike < s->run_from ? alike : s->run_from - 1;
    }
    if (outcome != TN_OCCUR_RUN && outcome != TN_OCCUR_LATE && s->next <= s->catch_to &&
        s->next > s->fold_to && fold(w, s, alike, outcome, why, b)) {
        return;
    }
    wheel_emit(w, s, b, outcome, why);
    wheel_advance(w, s, s->next);
}
