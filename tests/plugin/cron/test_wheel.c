/* SPDX-License-Identifier: Apache-2.0 */
/* The wheel with a clock of its own: what fires when, pauses, catching up, clock jumps, changes while
 * something is due, and 100,000 schedules. */
#include "plugins/trigger_cron/wheel.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
/* after the above */
#include <cmocka.h>

#define T0     1750000000ll /* 2025-06-15T15:06:40Z */
#define MINUTE 60ll
#define HOUR   3600ll
#define DAY    86400ll
#define LATE   (60 * US)

static struct wheel wheel;
static struct zone *utc;
static struct wheel_batch *batch;

static int setup(void **state)
{
    char why[200];
    (void)state;
    batch = calloc(1, sizeof *batch);
    return batch == NULL ||
           zone_load("/usr/share/zoneinfo", TN_STR("UTC"), &utc, why, sizeof why) != TN_OK;
}

static int teardown(void **state)
{
    (void)state;
    free(batch);
    zone_free(utc);
    return 0;
}

static void put_at(tn_schedule s, const char *id, const char *expr, int64_t cursor_s)
{
    char why[200];
    struct cron_expr e;
    s.size = sizeof s;
    s.id = (tn_str){id, strlen(id)};
    s.cursor_us = cursor_s * US;
    bool good = expr_parse((tn_str){expr, strlen(expr)}, &e, why, sizeof why) == TN_OK;
    assert_int_equal(wheel_put(&wheel, &s, good ? &e : NULL, utc), TN_OK);
}

/* What one look at the clock brought: how many of each outcome. */
struct tally {
    uint64_t n[4];
    int64_t first, last; /* occurrences, seconds */
    int64_t late_first;
    int64_t newest; /* lateness of the rows: rising occurrences of one schedule */
    char reason[300];
};

static struct tally take(int64_t now_s)
{
    struct tally t = {.first = INT64_MAX, .last = INT64_MIN, .late_first = INT64_MAX};
    for (bool more = true; more;) {
        batch->n = batch->used = 0;
        more = wheel_take(&wheel, now_s * US, batch);
        for (uint32_t i = 0; i < batch->n; i++) {
            const tn_fire *f = &batch->fires[i];
            int64_t s = f->occurrence_us / US;
            t.n[f->outcome]++;
            t.first = s < t.first ? s : t.first;
            t.last = s > t.last ? s : t.last;
            if (f->outcome == TN_OCCUR_LATE && s < t.late_first) {
                t.late_first = s;
            }
            if (f->reason.n > 0 && t.reason[0] == '\0') {
                snprintf(t.reason, sizeof t.reason, "%.*s", (int)f->reason.n, f->reason.s);
            }
        }
    }
    return t;
}

static void test_every_minute_once(void **state)
{
    (void)state;
    wheel_init(&wheel, LATE, T0 * US);
    put_at((tn_schedule){0}, "a", "* * * * *", T0);
    uint64_t runs = 0;
    for (int64_t t = T0; t <= T0 + HOUR; t += 7) {
        struct tally got = take(t);
        runs += got.n[TN_OCCUR_RUN];
        assert_int_equal(got.n[TN_OCCUR_SKIP] + got.n[TN_OCCUR_LATE] + got.n[TN_OCCUR_MISSED], 0);
    }
    assert_int_equal(runs, 60);
    wheel_finish(&wheel);
}

static void test_never(void **state)
{
    (void)state;
    wheel_init(&wheel, LATE, T0 * US);
    put_at((tn_schedule){0}, "broken", "61 * * * *", T0);
    put_at((tn_schedule){0}, "impossible", "0 0 30 2 *", T0);
    put_at((tn_schedule){.flags = TN_SCHED_DISABLED}, "off", "* * * * *", T0);
    put_at((tn_schedule){.expires_us = (T0 + 30) * US}, "over", "* * * * *", T0 + 20);
    assert_int_equal(wheel.n, 0);
    assert_int_equal(wheel.count, 4);
    assert_int_equal(wheel_due(&wheel), INT64_MAX);
    wheel_finish(&wheel);
}

static void test_expires(void **state)
{
    (void)state;
    wheel_init(&wheel, LATE, T0 * US);
    put_at((tn_schedule){.expires_us = (T0 + 10 * MINUTE) * US}, "a", "* * * * *", T0);
    struct tally t = {0};
    for (int64_t at = T0; at < T0 + HOUR; at += 30) {
        t.n[0] += take(at).n[0];
    }
    assert_int_equal(t.n[0], 10);
    assert_int_equal(wheel.n, 0);
    wheel_finish(&wheel);
}

static void test_pauses_are_recorded(void **state)
{
    (void)state;
    wheel_init(&wheel, LATE, T0 * US);
    put_at((tn_schedule){.paused_until_us = (T0 + 5 * MINUTE) * US}, "a", "* * * * *", T0);
    uint64_t skipped = 0, ran = 0;
    for (int64_t at = T0; at < T0 + 20 * MINUTE; at += 30) {
        wheel.pause_until_us = at >= T0 + 10 * MINUTE ? (T0 + 15 * MINUTE) * US : 0;
        struct tally t = take(at);
        skipped += t.n[TN_OCCUR_SKIP];
        ran += t.n[TN_OCCUR_RUN];
    }
    assert_int_equal(skipped, 10);
    assert_int_equal(ran, 10);
    wheel_finish(&wheel);
}

/* Down from one moment to another: exact numbers for each policy. */
static void test_catch_up(void **state)
{
    static const int64_t downs[] = {0, 30, 300, HOUR, 5 * HOUR, DAY, 3 * DAY, 40 * DAY, 400 * DAY};
    static const int64_t windows[] = {HOUR, DAY, 10 * DAY};
    (void)state;
    for (size_t d = 0; d < sizeof downs / sizeof *downs; d++) {
        for (size_t w = 0; w < 3; w++) {
            for (uint32_t policy = TN_CATCHUP_NONE; policy <= TN_CATCHUP_ALL; policy++) {
                int64_t now = T0 + downs[d], window = windows[w];
                wheel_init(&wheel, LATE, now * US);
                put_at((tn_schedule){.catchup = policy, .catchup_window_s = (uint32_t)window}, "a",
                       "*/10 * * * *", T0);
                struct tally t = take(now);
                uint64_t all = (uint64_t)(now / 600 - T0 / 600), fresh = 0, in_window = 0;
                for (int64_t at = (T0 / 600 + 1) * 600; at <= now; at += 600) {
                    fresh += at >= now - 60;
                    in_window += at < now - 60 && at >= now - window;
                }
                uint64_t late = policy == TN_CATCHUP_ALL    ? in_window
                                : policy == TN_CATCHUP_LAST ? in_window > 0
                                                            : 0;
                assert_int_equal(t.n[TN_OCCUR_RUN], fresh);
                assert_int_equal(t.n[TN_OCCUR_LATE], late);
                /* Rows are folded, the figures are not. */
                assert_int_equal(wheel.by_outcome[TN_OCCUR_MISSED], all - fresh - late);
                assert_true(t.n[TN_OCCUR_MISSED] <= 2 * MISSED_ROWS + 1);
                if (late > 1) {
                    assert_true(t.late_first >= now - window);
                }
                assert_int_equal(take(now).n[0], 0); /* nothing twice */
                wheel_finish(&wheel);
            }
        }
    }
}

static void test_folded_row_says_what(void **state)
{
    (void)state;
    wheel_init(&wheel, LATE, (T0 + 400 * DAY) * US);
    put_at((tn_schedule){0}, "a", "* * * * *", T0);
    struct tally t = take(T0 + 400 * DAY);
    assert_non_null(strstr(t.reason, "the platform was not running; this row stands for "));
    assert_non_null(strstr(t.reason, " occurrences since 20"));
    uint64_t folded = strtoull(strstr(t.reason, "stands for ") + 11, NULL, 10);
    assert_int_equal(folded - 1 + t.n[TN_OCCUR_MISSED], wheel.by_outcome[TN_OCCUR_MISSED]);
    /* Its row is the neighbour of those that follow: nothing is between them. */
    assert_int_equal((t.last - t.first) / MINUTE + 1, t.n[TN_OCCUR_MISSED] + t.n[TN_OCCUR_RUN]);
    wheel_finish(&wheel);
}

static void test_clock_jumps(void **state)
{
    static const int64_t jumps[] = {HOUR, DAY, -HOUR, -DAY};
    (void)state;
    for (size_t k = 0; k < 4; k++) {
        wheel_init(&wheel, LATE, T0 * US);
        put_at((tn_schedule){0}, "none", "* * * * *", T0);
        put_at((tn_schedule){.catchup = TN_CATCHUP_LAST}, "last", "* * * * *", T0);
        take(T0 + 10 * MINUTE);
        uint64_t before = wheel.by_outcome[TN_OCCUR_RUN];
        int64_t now = T0 + 10 * MINUTE + jumps[k];
        wheel.jumped_us = jumps[k] > 0 ? now * US : 0;
        struct tally t = take(now);
        if (jumps[k] > 0) {
            /* One that is caught up, those of the last minute, nothing else: no burst. */
            assert_int_equal(t.n[TN_OCCUR_LATE], 1);
            assert_true(t.n[TN_OCCUR_RUN] <= 4);
            assert_string_equal(
                strstr(t.reason, "the clock was set forward") != NULL ? "yes" : t.reason, "yes");
        } else {
            assert_int_equal(t.n[0] + t.n[1] + t.n[2] + t.n[3], 0);
            /* Nothing again until the clock is where it was; then everything goes on. */
            take(T0 + 10 * MINUTE);
            assert_int_equal(wheel.by_outcome[TN_OCCUR_RUN], before);
            assert_int_equal(take(T0 + 11 * MINUTE).n[TN_OCCUR_RUN], 2);
        }
        wheel_finish(&wheel);
    }
}

/* A schedule that is replaced, switched off or dropped while it is due. */
static void test_changes_while_due(void **state)
{
    (void)state;
    wheel_init(&wheel, LATE, T0 * US);
    int64_t due = (T0 / 60 + 1) * 60;
    put_at((tn_schedule){0}, "drop", "* * * * *", T0);
    put_at((tn_schedule){0}, "off", "* * * * *", T0);
    put_at((tn_schedule){0}, "other", "* * * * *", T0);
    put_at((tn_schedule){0}, "same", "* * * * *", T0);
    assert_true(wheel_due(&wheel) <= due * US);
    wheel_drop(&wheel, TN_STR("drop"));
    wheel_drop(&wheel, TN_STR("drop"));
    wheel_drop(&wheel, TN_STR("never there"));
    put_at((tn_schedule){.flags = TN_SCHED_DISABLED}, "off", "* * * * *", T0);
    put_at((tn_schedule){0}, "other", "0 0 1 1 *", due);
    put_at((tn_schedule){0}, "same", "* * * * *", T0);
    struct tally t = take(due);
    assert_int_equal(t.n[TN_OCCUR_RUN], 1);
    assert_int_equal(wheel.count, 3);
    srand(7);
    for (int i = 0; i < 20000; i++) {
        char id[16];
        snprintf(id, sizeof id, "r%d", rand() % 300);
        due += rand() % 30;
        if (rand() % 4 == 0) {
            wheel_drop(&wheel, (tn_str){id, strlen(id)});
        } else {
            put_at((tn_schedule){.flags = rand() % 5 == 0 ? TN_SCHED_DISABLED : 0}, id,
                   rand() % 6 == 0 ? "broken" : "*/3 * * * *", due);
        }
        t = take(due);
        assert_int_equal(t.n[TN_OCCUR_MISSED] + t.n[TN_OCCUR_LATE], 0);
        for (size_t k = 2; k <= wheel.n; k++) {
            assert_true(wheel.heap[k].due_us >= wheel.heap[k / 2].due_us);
            assert_int_equal(wheel.heap[k].s->pos, k);
        }
    }
    wheel_finish(&wheel);
}

static void test_spread(void **state)
{
    (void)state;
    int64_t due = (T0 / 60 + 1) * 60;
    wheel_init(&wheel, LATE, T0 * US);
    for (int i = 0; i < 600; i++) {
        char id[16];
        snprintf(id, sizeof id, "s%d", i);
        put_at((tn_schedule){.spread_s = 60}, id, "0 * * * *", (due / 3600) * 3600);
    }
    int64_t hour = (due / 3600 + 1) * 3600, most = 0, all = 0;
    for (int64_t s = hour; s <= hour + 60; s++) {
        int64_t n = (int64_t)take(s).n[TN_OCCUR_RUN];
        most = n > most ? n : most;
        all += n;
    }
    assert_int_equal(all, 600);
    assert_true(most < 40);
    wheel_finish(&wheel);
}

static double ms_since(const struct timespec *from)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - from->tv_sec) * 1e3 + (double)(now.tv_nsec - from->tv_nsec) / 1e6;
}

/* Figures are printed; only the numbers of occurrences are checked. */
static void test_hundred_thousand(void **state)
{
    struct timespec from;
    (void)state;
    wheel_init(&wheel, LATE, T0 * US);
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int i = 0; i < 100000; i++) {
        char id[24], expr[64];
        snprintf(id, sizeof id, "cron-%08d", i);
        snprintf(expr, sizeof expr, "%d %d-23/3 * * 1-5", i % 60, i % 5);
        put_at((tn_schedule){0}, id, i % 2 != 0 ? "0 * * * *" : expr, T0);
    }
    double load = ms_since(&from);
    for (int i = 0; i < 100000; i++) {
        char id[24];
        snprintf(id, sizeof id, "cron-%08d", i);
        put_at((tn_schedule){0}, id, "0 * * * *", T0);
    }
    clock_gettime(CLOCK_MONOTONIC, &from);
    struct tally t = take((T0 / 3600 + 1) * 3600);
    double all_at_once = ms_since(&from);
    assert_int_equal(t.n[TN_OCCUR_RUN], 100000);
    printf("100,000 schedules: put in %.0f ms, all due in one second taken in %.0f ms\n", load,
           all_at_once);
    wheel_finish(&wheel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_minute_once),
        cmocka_unit_test(test_never),
        cmocka_unit_test(test_expires),
        cmocka_unit_test(test_pauses_are_recorded),
        cmocka_unit_test(test_catch_up),
        cmocka_unit_test(test_folded_row_says_what),
        cmocka_unit_test(test_clock_jumps),
        cmocka_unit_test(test_changes_while_due),
        cmocka_unit_test(test_spread),
        cmocka_unit_test(test_hundred_thousand),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
