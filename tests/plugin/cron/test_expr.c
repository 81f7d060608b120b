/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions, zone names and zone files by tables; the rules where croniter is not followed. */
#include "common/footer.h"
#include "plugins/trigger_cron/occur.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

static tn_str text(const char *s)
{
    return (tn_str){s, strlen(s)};
}

/* From 2024-01-01T00:00:00Z, a Monday. */
#define START 1704067200ll
#define D(n)  (START + (n)*86400ll)

static void test_meanings(void **state)
{
    static const struct {
        const char *expr, *zone;
        int64_t next[3];
    } cases[] = {
        {"0 0 * * *", "UTC", {D(1), D(2), D(3)}},
        {"*/20", "UTC", {START + 1200, START + 2400, START + 3600}},
        {"0 0", "UTC", {D(1), D(2), D(3)}},
        {"15 30 1 * * *", "UTC", {START + 5415, D(1) + 5415, D(2) + 5415}},
        {"0 0 L * *", "UTC", {D(30), D(59), D(90)}},
        {"0 0 * * 5#2", "UTC", {D(11), D(39), D(67)}},
        {"0 0 * * L5", "UTC", {D(25), D(53), D(88)}},
        {"0 0 * * fri-sun", "UTC", {D(4), D(5), D(6)}},
        {"0 0 * * 7", "UTC", {D(6), D(13), D(20)}},
        {"0 0 0 * * 7", "UTC", {D(6), D(13), D(20)}},
        {"0 0 13 * fri", "UTC", {D(4), D(11), D(12)}},        /* either day counts */
        {"0 0 1 * 5#2", "UTC", {D(11), D(31), D(39)}},        /* so it does with # */
        {"0 0 1,30 feb-mar *", "UTC", {D(31), D(60), D(89)}}, /* 1 March is not jumped over */
        {"0 0 ? * ?", "UTC", {D(1), D(2), D(3)}},
        {"0 0 29 2 *", "UTC", {D(59), D(59 + 1461), D(59 + 2922)}},
        {"@monthly", "UTC", {D(31), D(60), D(91)}},
        {"0 0 * * *", "Asia/Shanghai", {START + 57600, D(1) + 57600, D(2) + 57600}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char why[300];
        struct cron_expr e;
        struct zone *z;
        assert_int_equal(zone_load("/usr/share/zoneinfo", text(cases[i].zone), &z, why, sizeof why),
                         TN_OK);
        assert_int_equal(expr_parse(text(cases[i].expr), &e, why, sizeof why), TN_OK);
        int64_t at = START;
        for (int k = 0; k < 3; k++) {
            assert_true(occur_next(&e, z, at, &at));
            if (at != cases[i].next[k]) {
                fail_msg("%s: %lld, not %lld", cases[i].expr, (long long)at,
                         (long long)cases[i].next[k]);
            }
        }
        zone_free(z);
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *expr, *names;
    } cases[] = {
        {"", "empty"},
        {"* * * * * * *", "six fields"},
        {"60 * * * *", "minute"},
        {"* 24 * * *", "hour"},
        {"* * 0 * *", "day"},
        {"* * 32 * *", "day"},
        {"* * * 13 *", "month"},
        {"* * * 0 *", "month"},
        {"* * * * 8", "weekday"},
        {"0 * * 0 * *", "day"},
        {"5-1 * * * *", "backwards"},
        {"*/0 * * * *", "step"},
        {"1,,2 * * * *", "empty"},
        {"1, * * * *", "empty"},
        {"x * * * *", "minute"},
        {"h * * * *", "minute"},
        {"-5 * * * *", "minute"},
        {"1/2/3 * * * *", "minute"},
        {"? * * * *", "minute"},
        {"* * * january *", "month"},
        {"* * * * 5#6", "1 to 5"},
        {"* * * * 5#2x", "1 to 5"},
        {"* * * * 5#2,1", "mixed"},
        {"* * * * *,5#2", "mixed"},
        {"* * * * L", "weekday"},
        {"99999999999 * * * *", "minute"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char why[300] = "";
        struct cron_expr e;
        if (expr_parse(text(cases[i].expr), &e, why, sizeof why) != TN_E_INVAL ||
            strstr(why, cases[i].names) == NULL) {
            fail_msg("%s: %s", cases[i].expr, why);
        }
    }
    char why[300], nul[] = {'*', 0, '*'}, *large = malloc(EXPR_MAX + 1);
    struct cron_expr e;
    memset(large, '*', EXPR_MAX + 1);
    assert_int_equal(expr_parse((tn_str){nul, 3}, &e, why, sizeof why), TN_E_INVAL);
    assert_int_equal(expr_parse((tn_str){large, EXPR_MAX + 1}, &e, why, sizeof why), TN_E_INVAL);
    free(large);
}

static void test_zone_names(void **state)
{
    static const char *const bad[] = {
        "",
        "/etc/passwd",
        "../../etc/passwd",
        "Asia/../Asia/Shanghai",
        "Asia//Shanghai",
        "Asia/",
        "Asia/Shang hai",
        ".",
        "A.B",
        "Asia/Shanghai\n",
        "\x80",
        "tzdata.zi",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};
    struct zone *z;
    char why[300];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(zone_load("/usr/share/zoneinfo", text(bad[i]), &z, why, sizeof why),
                         TN_E_INVAL);
    }
    assert_int_equal(zone_load("/usr/share/zoneinfo", text("Asia/Nowhere"), &z, why, sizeof why),
                     TN_E_NOTFOUND);
    assert_int_equal(zone_load("/usr/share/zoneinfo", text("Asia"), &z, why, sizeof why),
                     TN_E_NOTFOUND);
    assert_int_equal(zone_load("/usr/share/zoneinfo", text("right/UTC"), &z, why, sizeof why),
                     TN_E_INVAL);
}

/* Every cut and every flipped byte of a zone file is refused or gives spans in order. */
static void test_damaged_zone(void **state)
{
    static uint8_t data[ZONE_FILE_MAX];
    (void)state;
    FILE *f = fopen("/usr/share/zoneinfo/Europe/Berlin", "rb");
    assert_non_null(f);
    size_t n = fread(data, 1, sizeof data, f);
    fclose(f);
    for (size_t i = 0; i < n; i++) {
        char why[300];
        struct zone *z;
        if (zone_parse(data, i, &z, why, sizeof why) == TN_OK) {
            zone_free(z);
        }
        data[i] ^= 0x55;
        if (zone_parse(data, n, &z, why, sizeof why) == TN_OK) {
            for (uint32_t k = 1; k < z->n; k++) {
                assert_true(z->spans[k].at > z->spans[k - 1].at);
            }
            zone_free(z);
        }
        data[i] ^= 0x55;
    }
}

static void test_footers(void **state)
{
    static const struct {
        const char *rule;
        int64_t start, end; /* 2024 */
    } cases[] = {
        {"EST5EDT,M3.2.0,M11.1.0", 1710054000, 1730613600},
        {"<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", 1728142200, 1712415600},
        {"IST-1GMT0,M10.5.0,M3.5.0/1", 1729990800, 1711846800},
    };
    static const char *const bad[] = {"",
                                      "EST",
                                      "E5",
                                      "EST5EDT",
                                      "EST5EDT,M13.1.0,M1.1.0",
                                      "EST5EDT,M3.2.0",
                                      "EST25",
                                      "<+08-8",
                                      "EST5EDT,J0,J1",
                                      "EST5x"};
    struct footer f;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t a, b;
        assert_true(footer_parse(text(cases[i].rule), &f));
        footer_year(&f, 2024, &a, &b);
        assert_int_equal(a, cases[i].start);
        assert_int_equal(b, cases[i].end);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(footer_parse(text(bad[i]), &f));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_meanings),   cmocka_unit_test(test_refused),
        cmocka_unit_test(test_zone_names), cmocka_unit_test(test_damaged_zone),
        cmocka_unit_test(test_footers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
