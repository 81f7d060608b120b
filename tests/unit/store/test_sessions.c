/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions: sliding and absolute ends, dropping, and what is left after a restart. */
#include "harness.h"
#include "kernel/base/clock.h"
#include "kernel/base/str.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct harness h;
static struct sessions *x;
static _Atomic int64_t now_s = 1767225600;

static int64_t fake_wall(void)
{
    return now_s * 1000000;
}

static void start(void)
{
    tn_err err = TN_ERR_INIT;
    if (sessions_open(h.store, &x, &err) != TN_OK) {
        fail_msg("%s", err.msg);
    }
}

static void restart(void)
{
    sessions_close(x);
    x = NULL;
    harness_reopen(&h);
    start();
}

static int setup(void **state)
{
    (void)state;
    clock_inject(NULL, fake_wall);
    harness_open(&h, NULL);
    start();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sessions_close(x);
    harness_close(&h);
    clock_inject(NULL, NULL);
    return 0;
}

static tn_rc put(const char *who, const char *id, uint32_t ttl)
{
    return sessions_put(x, str_of(who), str_of(id), ttl, NULL);
}

static int alive(const char *who, const char *id)
{
    tn_rc rc = sessions_check(x, str_of(who), str_of(id), NULL);
    assert_true(rc == TN_OK || rc == TN_E_DENIED);
    return rc == TN_OK;
}

static void live_and_end(void **state)
{
    (void)state;
    assert_int_equal(put("u1", "a", 100), TN_OK);
    assert_true(alive("u1", "a"));
    assert_false(alive("u2", "a")); /* bound to the subject */
    assert_false(alive("u1", "A"));
    assert_false(alive("u1", ""));
    assert_false(alive("u1a", ""));
    now_s += 99;
    assert_true(alive("u1", "a")); /* slides */
    now_s += 99;
    assert_true(alive("u1", "a"));
    now_s += 100;
    assert_false(alive("u1", "a"));
    assert_false(alive("u1", "a"));
    assert_int_equal(put("", "a", 1), TN_E_INVAL);
    assert_int_equal(put("u", "", 1), TN_E_INVAL);
    assert_int_equal(put("u", "a", 0), TN_E_INVAL);
}

static void seven_days_are_the_end(void **state)
{
    (void)state;
    assert_int_equal(put("u1", "a", 86400), TN_OK);
    for (int hour = 1; hour < 7 * 24; hour++) {
        now_s += 3600;
        assert_true(alive("u1", "a"));
    }
    restart();
    now_s += 3599;
    assert_true(alive("u1", "a"));
    now_s += 1;
    assert_false(alive("u1", "a"));
}

static void drops(void **state)
{
    (void)state;
    const tn_str none = {NULL, 0};
    for (int i = 0; i < 5; i++) {
        char id[2] = {(char)('a' + i), '\0'};
        put("u1", id, 100);
        put("u2", id, 100);
    }
    sessions_drop(x, TN_STR("u1"), TN_STR("a"), none);
    assert_false(alive("u1", "a"));
    assert_true(alive("u1", "b"));
    sessions_drop(x, TN_STR("u1"), none, TN_STR("c"));
    assert_false(alive("u1", "b"));
    assert_true(alive("u1", "c"));
    assert_false(alive("u1", "e"));
    sessions_drop(x, TN_STR("u1"), none, TN_STR("not there"));
    assert_false(alive("u1", "c"));
    sessions_drop(x, TN_STR("u1"), none, none);
    sessions_drop(x, TN_STR("nobody"), none, none);
    assert_true(alive("u2", "a") && alive("u2", "e"));
    restart();
    assert_false(alive("u1", "c"));
    assert_true(alive("u2", "a") && alive("u2", "e"));
    sessions_drop(x, TN_STR("u2"), none, none);
    put("u2", "a", 100); /* the same id again */
    restart();
    assert_true(alive("u2", "a"));
    assert_false(alive("u2", "e"));
}

static void survive_a_restart_hashed(void **state)
{
    (void)state;
    put("u1", "the-session-id", 1000);
    now_s += 500;
    assert_true(alive("u1", "the-session-id"));
    restart();
    now_s += 900;
    assert_true(alive("u1", "the-session-id")); /* the access before the restart was saved */
    now_s += 1000;
    restart();
    assert_false(alive("u1", "the-session-id"));
    put("u1", "another-session-id", 1000);
    restart();
    const char *rows = harness_sql(&h, "SELECT * FROM tn_session", NULL);
    assert_non_null(strstr(rows, "\"u1\""));
    assert_null(strstr(rows, "session-id"));
    assert_null(strstr(rows + 1, "},{")); /* the ended one is gone from the table */
}

static void lists(void **state)
{
    struct buf out = BUF_INIT(0);
    (void)state;
    assert_int_equal(sessions_list(x, &out, NULL), TN_OK);
    assert_string_equal(out.data, "{}");
    put("u\"1", "a", 100);
    now_s += 10;
    put("u\"1", "b", 50);
    now_s += 5;
    buf_clear(&out);
    assert_int_equal(sessions_list(x, &out, NULL), TN_OK);
    char want[256];
    snprintf(want, sizeof want,
             "{\"u\\\"1\":[{\"idle\":15,\"ttl\":85,\"lastAccessTime\":%lld},"
             "{\"idle\":5,\"ttl\":45,\"lastAccessTime\":%lld}]}",
             (long long)now_s - 15, (long long)now_s - 5);
    assert_string_equal(out.data, want);
    now_s += 200;
    buf_clear(&out);
    assert_int_equal(sessions_list(x, &out, NULL), TN_OK);
    assert_string_equal(out.data, "{}");
    buf_finish(&out);
}

static void *hammer(void *user)
{
    char who[16], id[16];
    long me = (long)(intptr_t)user;
    for (int i = 0; i < 2000; i++) {
        snprintf(who, sizeof who, "u%ld", (me + i) % 3);
        snprintf(id, sizeof id, "s%d", i % 7);
        switch (i % 5) {
        case 0:
            sessions_put(x, str_of(who), str_of(id), 100, NULL);
            break;
        case 1:
            sessions_drop(x, str_of(who), str_of(id), (tn_str){NULL, 0});
            break;
        case 2:
            if (i % 50 == 2) {
                sessions_drop(x, str_of(who), (tn_str){NULL, 0}, str_of(id));
            }
            break;
        default:
            sessions_check(x, str_of(who), str_of(id), NULL);
        }
    }
    return NULL;
}

/* Memory and table agree after any order of things. */
static void many_threads(void **state)
{
    pthread_t t[4];
    (void)state;
    for (long i = 0; i < 4; i++) {
        pthread_create(&t[i], NULL, hammer, (void *)(intptr_t)i);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i], NULL);
    }
    char alive_before[3][7];
    for (int u = 0; u < 3; u++) {
        for (int s = 0; s < 7; s++) {
            char who[16], id[16];
            snprintf(who, sizeof who, "u%d", u);
            snprintf(id, sizeof id, "s%d", s);
            alive_before[u][s] = (char)alive(who, id);
        }
    }
    restart();
    for (int u = 0; u < 3; u++) {
        for (int s = 0; s < 7; s++) {
            char who[16], id[16];
            snprintf(who, sizeof who, "u%d", u);
            snprintf(id, sizeof id, "s%d", s);
            assert_int_equal(alive(who, id), alive_before[u][s]);
        }
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(live_and_end), TEST(seven_days_are_the_end),
        TEST(drops),        TEST(survive_a_restart_hashed),
        TEST(lists),        TEST(many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
