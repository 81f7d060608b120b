/* SPDX-License-Identifier: Apache-2.0 */
/* Calls through the broker to echo workers: values of all sizes, logs, questions, limits, order. */
#include "kernel/base/clock.h"
#include "kernel/base/fd.h"
#include "kernel/base/str.h"
#include "tests/plugin/transport/rig.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* after the above */
#include <cmocka.h>

static struct rig rig;

static int open_rig(void **state)
{
    const struct rig_conf c = {.workers_min = 2, .workers_max = 8};
    (void)state;
    rig_open(&rig, &c);
    return 0;
}

static int close_rig(void **state)
{
    (void)state;
    assert_int_equal(rig_number(&rig, "inUse"), 0);
    rig_close(&rig);
    return 0;
}

static struct shot *fire(const char *func, const char *args, uint32_t timeout_ms)
{
    static struct shot s;
    memset(&s, 0, sizeof(s));
    assert_int_equal(rig_shoot(&rig, &s, func, args, timeout_ms), TN_OK);
    rig_wait(&rig, 0, timeout_ms + 3000);
    assert_int_equal(s.answers, 1);
    return &s;
}

static void test_echo(void **state)
{
    (void)state;
    for (int i = 0; i < 20000; i++) {
        char args[64];
        snprintf(args, sizeof(args), "{\"n\":%d}", i);
        struct shot *s = fire("echo", args, 5000);
        assert_int_equal(s->status, TN_CALL_SUCCESS);
        assert_string_equal(s->value, args);
    }
    assert_int_equal(rig_number(&rig, "kills"),
                     0); /* a lost doorbell ends as "did not take its calls" */
}

static void test_many_at_once(void **state)
{
    enum { N = 3000 };
    struct shot *s = calloc(N, sizeof(*s));
    (void)state;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < N; i++) {
            assert_int_equal(rig_shoot(&rig, &s[i], "echo", "{\"x\":1,\"y\":2}", 5000), TN_OK);
        }
        rig_wait(&rig, 0, 20000);
        for (int i = 0; i < N; i++) {
            assert_int_equal(s[i].answers, 1);
            assert_int_equal(s[i].status, TN_CALL_SUCCESS);
            assert_string_equal(s[i].value, "{\"x\":1,\"y\":2}");
        }
    }
    free(s);
}

static void test_sizes(void **state)
{
    static const size_t sizes[] = {0, 1, 7, 8, 60000, 65000, 65536, 65537, 200000, 3000000};
    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        char func[32];
        snprintf(func, sizeof(func), "big:%zu", sizes[i]);
        struct shot *s = fire(func, "{}", 5000);
        assert_int_equal(s->status, TN_CALL_SUCCESS);
        assert_int_equal(s->value_len, sizes[i]);
        assert_int_equal(s->fd_value, sizes[i] > 65536);
        char *args = malloc(sizes[i] + 1);
        memset(args, 'a', sizes[i]);
        args[sizes[i]] = '\0';
        s = fire("echo", args, 5000);
        assert_int_equal(s->status, TN_CALL_SUCCESS);
        assert_int_equal(s->value_len, sizes[i]);
        free(args);
    }
}

static void test_prints(void **state)
{
    (void)state;
    struct shot *s = fire("print:3", "{}", 5000);
    assert_string_equal(s->logs, "line 0\nline 1\nline 2\n");
    s = fire("print:1000000", "{}", 20000);
    assert_int_equal(s->status, TN_CALL_SUCCESS);
    assert_true(s->logs_len > 1000000 && s->logs_len <= 1u << 20);
    s = fire("print:1", "{}", 5000);
    assert_string_equal(s->logs, "line 0\n");
}

static void test_questions(void **state)
{
    (void)state;
    struct shot *s = fire("ask:echo", "{\"q\":1}", 5000);
    assert_string_equal(s->value, "{\"q\":1}");
    s = fire("ask:nothing", "{}", 5000);
    assert_int_equal(s->status, TN_CALL_FAILURE);
    assert_non_null(strstr(s->error, "no such service"));
    s = fire("ask:big", "{}", 5000);
    assert_int_equal(s->value_len, 3u << 20);
    size_t n = 300000;
    char *args = malloc(n + 1);
    memset(args, 'z', n);
    args[n] = '\0';
    s = fire("ask:echo", args, 5000);
    assert_int_equal(s->value_len, n);
    free(args);
    /* An answer that never comes ends at the soft deadline; coming late it disturbs nobody. */
    s = fire("ask:hold", "{}", 300);
    assert_int_equal(s->status, TN_CALL_TIMEOUT);
    assert_true(s->done_ns - s->sent_ns < 800 * NS_PER_MS);
    broker_answer(rig.broker, rig.held, TN_OK, TN_STR("late"));
    s = fire("ask:echo", "{\"q\":2}", 5000);
    assert_string_equal(s->value, "{\"q\":2}");
}

static void test_forked_child_is_mute(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct shot *s = fire("fork", "{}", 5000);
        assert_int_equal(s->status, TN_CALL_SUCCESS);
        assert_string_equal(s->value, "parent");
        assert_string_equal(s->logs, "");
    }
}

/* A slow call holds up nobody that was put behind it. */
static void test_slow_neighbour(void **state)
{
    static struct shot slow[4], quick[40];
    (void)state;
    for (int i = 0; i < 4; i++) {
        char func[32];
        snprintf(func, sizeof(func), "sleep:%d", 700 + i); /* never seen: assumed to be quick */
        assert_int_equal(rig_shoot(&rig, &slow[i], func, "{}", 5000), TN_OK);
        for (int k = 0; k < 10; k++) {
            assert_int_equal(rig_shoot(&rig, &quick[10 * i + k], "echo", "{}", 5000), TN_OK);
        }
    }
    rig_wait(&rig, 4, 600); /* all the quick ones are through before any slow one */
    for (int i = 0; i < 40; i++) {
        assert_int_equal(quick[i].answers, 1);
    }
    rig_wait(&rig, 0, 5000);
    assert_true(rig_number(&rig, "workers\":[") != 0);
}

/* Ten sleeping calls run side by side: the group grows. */
static void test_grows(void **state)
{
    static struct shot s[8];
    (void)state;
    uint64_t start = clock_mono_ns();
    for (int i = 0; i < 8; i++) {
        assert_int_equal(rig_shoot(&rig, &s[i], "sleep:500", "{}", 5000), TN_OK);
    }
    rig_wait(&rig, 0, 5000);
    assert_true(clock_mono_ns() - start < 950 * NS_PER_MS);
}

static void test_orphans(void **state)
{
    static struct shot s[50];
    (void)state;
    for (int i = 0; i < 50; i++) {
        assert_int_equal(rig_shoot(&rig, &s[i], i % 2 ? "echo" : "sleep:20", "{}", 5000), TN_OK);
        if (i % 3 == 0) {
            broker_orphan(rig.broker, s[i].call);
            rig.open--;
        }
    }
    rig_wait(&rig, 0, 5000);
    rig_idle(&rig, 100);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(s[i].answers, i % 3 == 0 ? 0 : 1);
    }
    assert_int_equal(rig_number(&rig, "inUse"), 0);
}

static void test_refusals(void **state)
{
    struct shot s = {0};
    tn_call_req q = {.size = sizeof(q),
                     .script = TN_STR("a__b"),
                     .func = TN_STR("echo"),
                     .queue = 7,
                     .timeout_ms = 1000};
    (void)state;
    assert_int_equal(rig_shoot_req(&rig, &s, &q), TN_E_INVAL);
    q.queue = 10;
    assert_int_equal(rig_shoot_req(&rig, &s, &q), TN_E_INVAL);
    q.queue = 0;
    q.timeout_ms = 0;
    assert_int_equal(rig_shoot_req(&rig, &s, &q), TN_E_INVAL);
}

static char compiled[64];
static void keep_compiled(struct rig *r, tn_str script, tn_str marshal)
{
    snprintf(compiled, sizeof(compiled), "%.*s=%.*s", (int)script.n, script.s, (int)marshal.n,
             marshal.s);
    loop_stop(r->loop);
}

static void test_preload(void **state)
{
    (void)state;
    rig.on_compiled = keep_compiled;
    broker_preload(rig.broker, TN_STR("a__b"), 3, TN_STR("print(1)"));
    rig_idle(&rig, 200);
    assert_string_equal(compiled, "a__b=compiled:print(1)");
    compiled[0] = '\0';
    broker_preload(rig.broker, TN_STR("a__c"), 4, TN_STR("broken"));
    rig_idle(&rig, 100);
    assert_string_equal(compiled, "");
    broker_unload(rig.broker, TN_STR("a__c"));
    rig.on_compiled = NULL;
}

/* The zygote dies under load: nothing fails, new workers come from the new one, the old ones leave. */
static void test_zygote_replaced(void **state)
{
    static struct shot s[200];
    (void)state;
    for (int i = 0; i < 200; i++) {
        assert_int_equal(rig_shoot(&rig, &s[i], i % 4 ? "echo" : "sleep:30", "{}", 5000), TN_OK);
    }
    rig.swept = 0;
    kill(rig.zygote, SIGKILL);
    rig_zygote(&rig);
    rig_wait(&rig, 0, 10000);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(s[i].status, TN_CALL_SUCCESS);
    }
    for (int i = 0; i < 50 && !rig.swept; i++) {
        rig_idle(&rig, 20);
    }
    assert_int_equal(rig.swept, 1);
    assert_int_equal(rig_number(&rig, "oldLinks"), 0);
    fire("echo", "{}", 5000);
}

/* 500 calls with a limit of 50: how many workers were born. */
static long forks_of(uint64_t young_ns, const char *func)
{
    const struct rig_conf c = {
        .workers_min = 2, .workers_max = 2, .worker_calls = 50, .young_ns = young_ns};
    static struct shot s[500];
    rig_open(&rig, &c);
    for (int i = 0; i < 500; i++) {
        assert_int_equal(rig_shoot(&rig, &s[i], func, "{}", 5000), TN_OK);
    }
    rig_wait(&rig, 0, 10000);
    for (int i = 0; i < 500; i++) {
        assert_int_equal(s[i].status, TN_CALL_SUCCESS);
    }
    long forks = rig_number(&rig, "forks");
    assert_int_equal(rig_number(&rig, "crashes"), 0);
    rig_close(&rig);
    return forks;
}

static void test_replaced_after_calls(void **state)
{
    (void)state;
    assert_true(forks_of(0, "echo") >= 9);
    assert_true(forks_of(60 * NS_PER_S, "echo") <= 4); /* two and a spare: they are young */
    assert_true(forks_of(60 * NS_PER_S, "grow") >= 9); /* young, but their memory grows */
}

static void test_queue_limits(void **state)
{
    const struct rig_conf c = {
        .workers_min = 1, .workers_max = 1, .queue_max = 3, .queue_wait_ns = 150 * NS_PER_MS};
    static struct shot s[5];
    (void)state;
    rig_open(&rig, &c);
    assert_int_equal(rig_shoot(&rig, &s[0], "sleep:400", "{}", 5000), TN_OK);
    rig_idle(&rig, 20);
    tn_call_req q = {.size = sizeof(q),
                     .script = TN_STR("a__b"),
                     .func = TN_STR("echo"),
                     .timeout_ms = 1000,
                     .expires_ms = 50};
    assert_int_equal(rig_shoot_req(&rig, &s[1], &q), TN_OK);
    assert_int_equal(rig_shoot(&rig, &s[2], "echo", "{}", 5000), TN_OK);
    assert_int_equal(rig_shoot(&rig, &s[3], "echo", "{}", 5000), TN_OK);
    assert_int_equal(rig_shoot(&rig, &s[4], "echo", "{}", 5000), TN_E_LIMIT);
    rig_wait(&rig, 0, 2000);
    assert_int_equal(s[0].status, TN_CALL_SUCCESS);
    assert_int_equal(s[1].status, TN_CALL_EXPIRED);
    assert_int_equal(s[2].status, TN_CALL_OVERLOAD);
    assert_int_equal(s[3].status, TN_CALL_OVERLOAD);
    assert_int_equal(rig_number(&rig, "inUse"), 0);
    rig_close(&rig);
}

static void on_drained(void *user)
{
    *(int *)user = 1;
}

static void test_drain(void **state)
{
    const struct rig_conf c = {.workers_min = 1, .workers_max = 4};
    static struct shot s[20], late;
    int drained = 0;
    (void)state;
    rig_open(&rig, &c);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(rig_shoot(&rig, &s[i], "sleep:30", "{}", 5000), TN_OK);
    }
    broker_drain(rig.broker, on_drained, &drained);
    assert_int_equal(rig_shoot(&rig, &late, "echo", "{}", 5000), TN_E_UNAVAIL);
    assert_int_equal(drained, 0);
    rig_wait(&rig, 0, 5000);
    rig_idle(&rig, 10);
    assert_int_equal(drained, 1);
    rig_close(&rig);
}

int main(int argc, char **argv)
{
    rig_main(argc, argv);
    const struct CMUnitTest shared[] = {
        cmocka_unit_test(test_echo),           cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_sizes),          cmocka_unit_test(test_prints),
        cmocka_unit_test(test_questions),      cmocka_unit_test(test_forked_child_is_mute),
        cmocka_unit_test(test_slow_neighbour), cmocka_unit_test(test_grows),
        cmocka_unit_test(test_orphans),        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_preload),        cmocka_unit_test(test_zygote_replaced),
    };
    const struct CMUnitTest own[] = {
        cmocka_unit_test(test_replaced_after_calls),
        cmocka_unit_test(test_queue_limits),
        cmocka_unit_test(test_drain),
    };
    int failed = cmocka_run_group_tests(shared, open_rig, close_rig);
    return failed + cmocka_run_group_tests(own, NULL, NULL);
}
