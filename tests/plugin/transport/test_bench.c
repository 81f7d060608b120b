/* SPDX-License-Identifier: Apache-2.0 */
/* What broker and transport cost, without Python and HTTP: printed, and compared only as ratios. */
#include "kernel/base/clock.h"
#include "tests/plugin/transport/rig.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

static struct rig rig;
static const char args[] = "{\"x\":1,\"y\":2}";

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* ---- throughput at concurrency c ----------------------------------------------------------------------- */

static uint64_t load_end;
static unsigned load_done;

static void again(struct shot *s)
{
    load_done++;
    if (clock_mono_ns() < load_end) {
        assert_int_equal(rig_shoot(&rig, s, "echo", args, 5000), TN_OK);
    }
}

/* How often workers are woken, per call. */
static double throughput(unsigned c, unsigned ms)
{
    struct shot *s = calloc(c, sizeof(*s));
    uint64_t start = clock_mono_ns();
    long bells = rig_number(&rig, "bells");
    load_end = start + ms * NS_PER_MS;
    load_done = 0;
    for (unsigned i = 0; i < c; i++) {
        s[i].then = again;
        assert_int_equal(rig_shoot(&rig, &s[i], "echo", args, 5000), TN_OK);
    }
    rig_wait(&rig, 0, ms + 5000);
    double rate = load_done / ((double)(clock_mono_ns() - start) / 1e9);
    double rung = (double)(rig_number(&rig, "bells") - bells) / load_done;
    print_message("| echo, c=%-4u | %10.0f calls/s | %6.2f us/call | %.3f bells/call\n", c, rate,
                  1e6 / rate, rung);
    free(s);
    return rung;
}

static void test_throughput(void **state)
{
    const struct rig_conf c = {.workers_min = 2, .workers_max = 2};
    unsigned ms = rig_rounds(300, 3000);
    (void)state;
    rig_open(&rig, &c);
    throughput(1, 100);
    throughput(1, ms);
    throughput(16, ms);
    assert_true(throughput(64, ms) < 0.5); /* waking once per batch and not once per call */
    assert_true(throughput(256, ms) < 0.5);
    rig_close(&rig);
}

/* ---- latency at c=1 --------------------------------------------------------------------------------------- */

static void test_latency(void **state)
{
    enum { N = 3000 };
    const struct rig_conf c = {.workers_min = 2, .workers_max = 2};
    static uint64_t t[N];
    (void)state;
    rig_open(&rig, &c);
    for (int i = 0; i < N; i++) {
        struct shot s = {0};
        assert_int_equal(rig_shoot(&rig, &s, "echo", args, 5000), TN_OK);
        rig_wait(&rig, 0, 5000);
        t[i] = s.done_ns - s.sent_ns;
    }
    qsort(t, N, sizeof(*t), by_size);
    print_message("| latency c=1  | p50 %.1f us | p99 %.1f us | max %.1f us\n",
                  (double)t[N / 2] / 1e3, (double)t[N * 99 / 100] / 1e3, (double)t[N - 1] / 1e3);
    rig_close(&rig);
}

/* ---- kill to replacement ---------------------------------------------------------------------------------- */

/* The only worker is killed in the middle of a call: until the next call is answered. */
static void test_replacement(void **state)
{
    enum { N = 200 };
    const struct rig_conf c = {.workers_min = 1, .workers_max = 1};
    static uint64_t t[N];
    static struct shot s, next;
    unsigned n = rig_rounds(N, N);
    (void)state;
    rig_open(&rig, &c);
    n = n > N ? N : n;
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(rig_shoot(&rig, &s, "pid", "{}", 5000), TN_OK);
        rig_wait(&rig, 0, 5000);
        pid_t pid = (pid_t)atoi(s.value);
        assert_true(pid > 1);
        rig.held = NULL;
        assert_int_equal(rig_shoot(&rig, &s, "ask:hold", "{}", 5000), TN_OK);
        for (unsigned ms = 0; !rig.held && ms < 5000; ms++) {
            rig_idle(&rig,
                     1); /* it asked, so it runs: a call that was not started goes to another */
        }
        assert_non_null(rig.held);
        kill(pid, SIGKILL);
        uint64_t killed = clock_mono_ns();
        assert_int_equal(rig_shoot(&rig, &next, "echo", "{}", 5000), TN_OK);
        rig_wait(&rig, 0, 5000);
        assert_int_equal(s.status, TN_CALL_CRASHED);
        assert_int_equal(next.status, TN_CALL_SUCCESS);
        t[i] = next.done_ns - killed;
        broker_answer(rig.broker, rig.held, TN_OK, TN_STR("")); /* each question is answered once */
    }
    qsort(t, n, sizeof(*t), by_size);
    print_message(
        "| kill -> next call answered | p50 %.2f ms | p99 %.2f ms | max %.2f ms (%u kills)\n",
        (double)t[n / 2] / 1e6, (double)t[n * 99 / 100] / 1e6, (double)t[n - 1] / 1e6, n);
    rig_close(&rig);
}

/* Nothing happens while nothing is asked: no wake-up of the hub. */
static unsigned wakes;
static void count_wake(struct rig *r)
{
    (void)r;
    wakes++;
}

static void test_idle_is_silent(void **state)
{
    const struct rig_conf c = {.workers_min = 2, .workers_max = 2};
    struct shot s = {0};
    (void)state;
    rig_open(&rig, &c);
    assert_int_equal(rig_shoot(&rig, &s, "echo", "{}", 5000), TN_OK);
    rig_wait(&rig, 0, 5000);
    rig_idle(&rig, 200);
    rig.on_prepare = count_wake;
    wakes = 0;
    rig_idle(&rig, 1000);
    print_message("| wake-ups of an idle hub | %u in one second\n", wakes);
    assert_true(wakes <= 3);
    rig_close(&rig);
}

int main(int argc, char **argv)
{
    rig_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_throughput),
        cmocka_unit_test(test_latency),
        cmocka_unit_test(test_replacement),
        cmocka_unit_test(test_idle_is_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
