/* SPDX-License-Identifier: Apache-2.0 */
/* Dates and times of SQL texts: what is one, what is none. */
#include "tests/unit/base/unit.h"

#include "common/civil.h"

#include <stdio.h>
#include <string.h>

static void test_dates(void **state)
{
    static const struct {
        const char *text;
        int64_t days; /* -1: none */
    } cases[] = {
        {"1970-01-01", 0},     {"2024-02-29", 19782},
        {"2000-02-29", 11016}, {"9999-12-31", 2932896},
        {"2026-02-28", 20512}, {"2026-02-29", -1},
        {"1900-02-29", -1},    {"2026-02-31", -1},
        {"2026-04-31", -1},    {"2026-13-01", -1},
        {"2026-00-10", -1},    {"2026-01-00", -1},
        {"0000-01-01", -1},    {"10000-01-01", -1},
        {"2026-01", -1},       {"", -1},
        {"-1-01-01", -1},      {"2026/01/01", -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *p = cases[i].text, *end = p + strlen(p);
        int64_t days = -1;
        int ok = civil_read_date(&p, end, &days);
        if (ok != (cases[i].days >= 0) || (ok && (days != cases[i].days || p != end))) {
            fail_msg("%s: %d, %lld", cases[i].text, ok, (long long)days);
        }
    }
}

static void test_clocks(void **state)
{
    static const struct {
        const char *text;
        int64_t us; /* -1: none */
    } cases[] = {
        {"00:00:00", 0},
        {"08:30:00.25", 30600250000},
        {"23:59:60", 86400000000},
        {"838:59:59", 3020399000000},
        {"00:00:00.1234567", 123456},
        {"08:60:00", -1},
        {"08:00:61", -1},
        {"08:99:00", -1},
        {"8", -1},
        {"08:30", -1},
        {"", -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *p = cases[i].text, *end = p + strlen(p);
        int64_t us = -1;
        int ok = civil_read_clock(&p, end, &us);
        if (ok != (cases[i].us >= 0) || (ok && (us != cases[i].us || p != end))) {
            fail_msg("%s: %d, %lld", cases[i].text, ok, (long long)us);
        }
    }
}

static void test_every_day_has_a_name(void **state)
{
    int64_t last_y = 0;
    int last_m = 12, last_d = 31;
    (void)state;
    for (int64_t days = civil_days(1, 1, 1); days <= civil_days(9999, 12, 31); days++) {
        int64_t y;
        int m, d;
        civil_date(days, &y, &m, &d);
        assert_int_equal(civil_days(y, m, d), days);
        assert_true(d == last_d + 1
                        ? m == last_m && y == last_y
                        : d == 1 && (m == last_m + 1 ? y == last_y : m == 1 && y == last_y + 1));
        last_y = y;
        last_m = m;
        last_d = d;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_dates), cmocka_unit_test(test_clocks),
                                       cmocka_unit_test(test_every_day_has_a_name)};
    return cmocka_run_group_tests_name("civil", tests, NULL, NULL);
}
