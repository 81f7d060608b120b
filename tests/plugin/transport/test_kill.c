/* SPDX-License-Identifier: Apache-2.0 */
/* Workers that die, hang or attack: every call gets exactly one answer, nobody else suffers, nothing is
 * left behind. */
#include "kernel/base/clock.h"
#include "kernel/base/fd.h"
#include "kernel/base/rnd.h"
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

static unsigned rnd(unsigned n)
{
    unsigned r;
    rnd_bytes(&r, sizeof(r));
    return r % n;
}

/* A random worker in this state, 0 = none. */
static pid_t some_worker(const char *state)
{
    struct buf b = BUF_INIT(0);
    pid_t found = 0;
    unsigned seen = 0;
    char want[32];
    snprintf(want, sizeof(want), "\"state\":\"%s\"", state);
    broker_status(rig.broker, &b);
    for (char *p = b.data; (p = strstr(p, "{\"pid\":")); p++) {
        const char *end = strchr(p, '}'), *s = strstr(p, want);
        if (s && s < end && rnd(++seen) == 0) {
            found = (pid_t)atoi(p + 7);
        }
    }
    buf_finish(&b);
    return found;
}

/* Waits until exactly `want` worker processes live (leftovers are gone, replacements are there). */
static int settles(unsigned want, unsigned ms)
{
    pid_t pids[256];
    for (unsigned i = 0; i < ms / 10; i++) {
        if (rig_descendants(&rig, pids, 256) == want) {
            return 1;
        }
        rig_idle(&rig, 10);
    }
    print_error("%u processes instead of %u\n", rig_descendants(&rig, pids, 256), want);
    return 0;
}

/* ---- random kills under load -------------------------------------------------------------------------- */

enum { OPEN = 48 };
static struct shot shots[OPEN];
static unsigned kills_left, kills_done, answers, crashed, other;
static tn_timer *killer;

static void shoot_again(struct shot *s)
{
    static const char *const funcs[] = {"echo",    "echo",       "echo",    "sleep:1",
                                        "sleep:3", "big:100000", "print:5", "ask:echo"};
    answers += s->answers;
    if (s->answers) {
        crashed += s->status == TN_CALL_CRASHED;
        other += s->status != TN_CALL_CRASHED && s->status != TN_CALL_SUCCESS;
        if (s->answers != 1) {
            other++;
        }
    }
    if (kills_left) {
        assert_int_equal(rig_shoot(&rig, s, funcs[rnd(8)], "{\"x\":1}", 10000), TN_OK);
    }
}

static void kill_one(void *user)
{
    (void)user;
    pid_t pid = some_worker("busy");
    if (pid && kills_left) {
        kill(pid, SIGKILL);
        kills_left--;
        kills_done++;
    }
    if (kills_left) {
        loop_timer_set(rig.loop, killer, clock_mono_ns() + 200000 + rnd(3000000));
    }
}

static void test_random_kills(void **state)
{
    const struct rig_conf c = {.workers_min = 4, .workers_max = 4};
    tn_err err = TN_ERR_INIT;
    (void)state;
    int before = fd_count();
    rig_open(&rig, &c);
    int fds = fd_count();
    assert_int_equal(loop_timer(rig.loop, kill_one, NULL, &killer, &err), TN_OK);
    kills_left = rig_rounds(1000, 10000);
    unsigned rounds = kills_left;
    for (int i = 0; i < OPEN; i++) {
        shots[i].then = shoot_again;
        shots[i].answers = 0;
        shots[i].rig = &rig;
        shoot_again(&shots[i]);
    }
    kill_one(NULL);
    rig_wait(&rig, 0, 600000);
    assert_int_equal(kills_done, rounds);
    assert_int_equal(other, 0);
    assert_true(crashed <= kills_done);
    assert_true(crashed > kills_done / 20); /* otherwise nothing was tested */
    assert_int_equal(rig_number(&rig, "inUse"), 0);
    assert_true(settles(5, 5000)); /* four and the spare */
    assert_int_equal(rig_number(&rig, "links"), 5);
    assert_in_range(fd_count(), fds - 3, fds + 3); /* the spare may have been on its way */
    print_message("%u kills: %u calls answered, %u lost their worker, 0 others failed\n",
                  kills_done, answers, crashed);
    loop_timer_free(rig.loop, killer);
    rig_close(&rig);
    assert_int_equal(fd_count(), before);
}

/* ---- the hostile list ------------------------------------------------------------------------------------ */

#define TIMEOUT_MS 300u
#define GRACE_MS   1000u
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLACK_MS 5000u /* forks and threads are slow there */
#else
#define SLACK_MS 300u
#endif
static const struct hostile {
    const char *func;
    uint32_t status;
    unsigned answered_ms; /* at the latest */
    const char *error;    /* part of the report */
} hostiles[] = {
    {"spin", TN_CALL_TIMEOUT, TIMEOUT_MS + GRACE_MS + SLACK_MS, "TaskTimeout"},
    {"sleep:60000", TN_CALL_TIMEOUT, TIMEOUT_MS + GRACE_MS + SLACK_MS, "TaskTimeout"},
    {"hang", TN_CALL_TIMEOUT, TIMEOUT_MS + GRACE_MS + SLACK_MS, "longer than its limit of 300 ms"},
    {"threads:30", TN_CALL_TIMEOUT, TIMEOUT_MS + GRACE_MS + SLACK_MS, "TaskTimeout"},
    {"daemon", TN_CALL_TIMEOUT, TIMEOUT_MS + GRACE_MS + SLACK_MS, "TaskTimeout"},
    {"crash:11", TN_CALL_CRASHED, 1200 + SLACK_MS, "killed by signal 11 (SIGSEGV)"},
    {"crash:6", TN_CALL_CRASHED, 1200 + SLACK_MS, "killed by signal 6 (SIGABRT)"},
    {"crash:9", TN_CALL_CRASHED, 1200 + SLACK_MS, "killed by signal 9 (SIGKILL)"},
    {"crash:15", TN_CALL_CRASHED, 1200 + SLACK_MS, "killed by signal 15 (SIGTERM)"},
    {"crash:19", TN_CALL_TIMEOUT, TIMEOUT_MS + GRACE_MS + SLACK_MS, "longer than its limit"},
    {"exit:3", TN_CALL_CRASHED, 1200 + SLACK_MS, "left with exit code 3"},
    {"exit:0", TN_CALL_CRASHED, 1200 + SLACK_MS, "left with exit code 0"},
    {"close", TN_CALL_CRASHED, TIMEOUT_MS + GRACE_MS + SLACK_MS, "closed its channel"},
    {"scribble", TN_CALL_CRASHED, TIMEOUT_MS + GRACE_MS + SLACK_MS, "broke the protocol"},
};
#define HOSTILES (sizeof(hostiles) / sizeof(*hostiles))

static void test_hostile_functions(void **state)
{
    const struct rig_conf c = {
        .workers_min = 2, .workers_max = 2, .grace_ns = GRACE_MS * NS_PER_MS};
    (void)state;
    rig_open(&rig, &c);
    unsigned rounds = rig_rounds(1, 20) % 1000; /* a kill count is not meant for this */
    for (unsigned k = 0; k < rounds; k++) {
        for (size_t i = 0; i < HOSTILES; i++) {
            const struct hostile *h = &hostiles[i];
            static struct shot s, after;
            memset(&s, 0, sizeof(s));
            memset(&after, 0, sizeof(after));
            assert_int_equal(rig_shoot(&rig, &s, h->func, "{}", TIMEOUT_MS), TN_OK);
            /* A neighbour that came right behind it must not notice. */
            assert_int_equal(rig_shoot(&rig, &after, "echo", "{}", 5000), TN_OK);
            rig_wait(&rig, 0, 10000);
            unsigned took = (unsigned)((s.done_ns - s.sent_ns) / NS_PER_MS);
            if (s.start_us) {
                took = (unsigned)((s.end_us - s.start_us) /
                                  1000); /* the deadline counts from the start */
            }
            if (s.status != h->status || took > h->answered_ms || !strstr(s.error, h->error) ||
                after.status != TN_CALL_SUCCESS) {
                print_error("%s: status %u after %u ms, %s; neighbour %u\n", h->func, s.status,
                            took, s.error, after.status);
                fail();
            }
            if (h->status == TN_CALL_TIMEOUT) {
                assert_true(took >= TIMEOUT_MS);
            }
            assert_true(
                settles(3, 1000 + SLACK_MS)); /* gone within a second, with all it started */
        }
    }
    assert_int_equal(rig_number(&rig, "inUse"), 0);
    rig_close(&rig);
}

/* The stacks of a call that is killed at its hard deadline are in the report. */
static void test_stacks(void **state)
{
    const struct rig_conf c = {.workers_min = 1, .workers_max = 1, .grace_ns = 300 * NS_PER_MS};
    static struct shot s;
    (void)state;
    rig_open(&rig, &c);
    assert_int_equal(rig_shoot(&rig, &s, "stubborn", "{}", TIMEOUT_MS), TN_OK);
    rig_wait(&rig, 0, 5000);
    assert_int_equal(s.status, TN_CALL_TIMEOUT);
    assert_non_null(strstr(s.error, "echo host: main thread"));
    rig_close(&rig);
}

static void test_all_stuck_at_once(void **state)
{
    const struct rig_conf c = {.workers_min = 2, .workers_max = 6, .grace_ns = 200 * NS_PER_MS};
    static struct shot stuck[12], quick[20];
    (void)state;
    rig_open(&rig, &c);
    for (int i = 0; i < 12; i++) {
        assert_int_equal(rig_shoot(&rig, &stuck[i], "hang", "{}", TIMEOUT_MS), TN_OK);
    }
    for (int i = 0; i < 20; i++) {
        assert_int_equal(rig_shoot(&rig, &quick[i], "echo", "{}", 5000), TN_OK);
    }
    rig_wait(&rig, 0, 10000);
    for (int i = 0; i < 12; i++) {
        assert_int_equal(stuck[i].status, TN_CALL_TIMEOUT);
    }
    for (int i = 0; i < 20; i++) {
        assert_int_equal(quick[i].status, TN_CALL_SUCCESS);
    }
    assert_true(rig_number(&rig, "kills") >= 12);
    assert_int_equal(rig_number(&rig, "inUse"), 0);
    rig_close(&rig);
}

/* Processes that a call left behind end with their worker. */
static void test_leftovers_end_with_the_worker(void **state)
{
    const struct rig_conf c = {.workers_min = 1, .workers_max = 1};
    static struct shot s;
    pid_t pids[64];
    (void)state;
    rig_open(&rig, &c);
    assert_int_equal(rig_shoot(&rig, &s, "swarm:15", "{}", 5000), TN_OK);
    rig_wait(&rig, 0, 5000);
    assert_int_equal(s.status, TN_CALL_SUCCESS);
    for (int i = 0; i < 300 && rig_descendants(&rig, pids, 64) < 15; i++) {
        rig_idle(&rig, 10); /* they are still setting themselves free */
    }
    assert_true(rig_descendants(&rig, pids, 64) >= 15);
    kill(some_worker("idle"), SIGKILL);
    assert_true(settles(2, 2000 + SLACK_MS));
    rig_close(&rig);
}

/* Clients that leave in the middle of their calls. */
static void test_orphans_under_load(void **state)
{
    enum { N = 256 };
    const struct rig_conf c = {.workers_min = 2, .workers_max = 4};
    static struct shot s[N];
    unsigned gone = 0, rounds = rig_rounds(40, 2000);
    (void)state;
    rig_open(&rig, &c);
    for (unsigned k = 0; k < rounds; k++) {
        for (int i = 0; i < N; i++) {
            assert_int_equal(rig_shoot(&rig, &s[i], rnd(10) ? "echo" : "sleep:2", "{}", 5000),
                             TN_OK);
        }
        rig_wait(&rig, rnd(N), 5000);
        for (int i = 0; i < N; i++) {
            if (s[i].call) {
                broker_orphan(rig.broker, s[i].call);
                s[i].call = NULL;
                rig.open--;
                gone++;
            }
        }
    }
    rig_idle(&rig, 300);
    for (int i = 0; i < N; i++) {
        assert_true(s[i].answers <= 1);
    }
    assert_true(gone > rounds);
    assert_int_equal(rig_number(&rig, "inUse"), 0);
    rig_close(&rig);
}

/* Dying before READY is retried with pauses, not in a tight loop, and hurts nobody. */
static void test_killed_zygote_under_load(void **state)
{
    const struct rig_conf c = {.workers_min = 3, .workers_max = 3};
    static struct shot s[400];
    unsigned rounds = rig_rounds(5, 100);
    (void)state;
    rig_open(&rig, &c);
    for (unsigned k = 0; k < rounds; k++) {
        memset(s, 0, sizeof(s));
        for (int i = 0; i < 400; i++) {
            assert_int_equal(rig_shoot(&rig, &s[i], i % 5 ? "echo" : "sleep:5", "{}", 5000), TN_OK);
        }
        rig_wait(&rig, rnd(400), 5000);
        kill(rig.zygote, SIGKILL);
        rig_zygote(&rig);
        rig_wait(&rig, 0, 10000);
        for (int i = 0; i < 400; i++) {
            assert_int_equal(s[i].answers, 1);
            assert_int_equal(s[i].status, TN_CALL_SUCCESS);
        }
    }
    assert_true(settles(4, 3000 + SLACK_MS));
    rig_close(&rig);
}

int main(int argc, char **argv)
{
    rig_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_kills),
        cmocka_unit_test(test_hostile_functions),
        cmocka_unit_test(test_stacks),
        cmocka_unit_test(test_all_stuck_at_once),
        cmocka_unit_test(test_leftovers_end_with_the_worker),
        cmocka_unit_test(test_orphans_under_load),
        cmocka_unit_test(test_killed_zygote_under_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
