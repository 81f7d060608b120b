/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop: timers, watches, posts, helper threads, hooks; once with epoll_pwait2 and once
 * without it (old kernels). */
#include "kernel/base/clock.h"
#include "kernel/hub/loop.h"
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
/* after the above */
#include <cmocka.h>

static struct loop *loop;
static tn_err err;

static int setup(void **state)
{
    (void)state;
    return loop_create(&loop, 4, &err) != TN_OK;
}

static int teardown(void **state)
{
    (void)state;
    loop_destroy(loop);
    return 0;
}

static void stop(void *user)
{
    (void)user;
    loop_stop(loop);
}

/* ---- timers ------------------------------------------------------------------------------------------------ */

static int order[8], norder;
static void note(void *user)
{
    order[norder++] = (int)(intptr_t)user;
}

static void test_timers(void **state)
{
    tn_timer *t[5];
    uint64_t now = clock_mono_ns();
    (void)state;
    norder = 0;
    for (intptr_t i = 0; i < 4; i++) {
        assert_int_equal(loop_timer(loop, note, (void *)i, &t[i], &err), TN_OK);
    }
    assert_int_equal(loop_timer(loop, stop, NULL, &t[4], &err), TN_OK);
    loop_timer_set(loop, t[0], now + 3000000);
    loop_timer_set(loop, t[1], now + 1000000);
    loop_timer_set(loop, t[2], now + 2000000);
    loop_timer_set(loop, t[3], now + 1500000);
    loop_timer_set(loop, t[3], 0);
    loop_timer_set(loop, t[4], now + 5000000);
    assert_int_equal(loop_run(loop, &err), TN_OK);
    assert_int_equal(norder, 3);
    assert_int_equal(order[0], 1);
    assert_int_equal(order[1], 2);
    assert_int_equal(order[2], 0);
    assert_true(clock_mono_ns() - now >= 5000000);
    assert_true(loop_now(loop) >= now + 5000000);
    for (int i = 0; i < 5; i++) {
        loop_timer_free(loop, t[i]);
    }
    loop_timer_free(loop, NULL);
}

/* A timer that sets itself into the past does not starve the rest. */
static tn_timer *again;
static unsigned runs;
static void rearm(void *user)
{
    (void)user;
    runs++;
    loop_timer_set(loop, again, 1);
}

static void test_eager_timer(void **state)
{
    tn_timer *end;
    (void)state;
    runs = 0;
    assert_int_equal(loop_timer(loop, rearm, NULL, &again, &err), TN_OK);
    assert_int_equal(loop_timer(loop, stop, NULL, &end, &err), TN_OK);
    loop_timer_set(loop, again, 1);
    loop_timer_set(loop, end, clock_mono_ns() + 2000000);
    assert_int_equal(loop_run(loop, &err), TN_OK);
    assert_true(runs > 1);
    loop_timer_free(loop, again);
    loop_timer_free(loop, end);
}

/* ---- watches -------------------------------------------------------------------------------------------------- */

static int pipes[2][2];
static tn_watch *watches[2];
static unsigned seen;

/* Whoever comes first removes the other, whose event is in the same batch. */
static void first_one(void *user, uint32_t events)
{
    intptr_t me = (intptr_t)user;
    assert_true(events & EPOLLIN);
    seen++;
    if (watches[!me]) {
        loop_unwatch(loop, watches[!me]);
        watches[!me] = NULL;
    }
    loop_stop(loop);
}

static void test_unwatch_in_a_batch(void **state)
{
    (void)state;
    seen = 0;
    for (intptr_t i = 0; i < 2; i++) {
        assert_int_equal(pipe(pipes[i]), 0);
        assert_int_equal(
            loop_watch(loop, pipes[i][0], EPOLLIN, first_one, (void *)i, &watches[i], &err), TN_OK);
        assert_int_equal(write(pipes[i][1], "x", 1), 1);
    }
    assert_int_equal(loop_run(loop, &err), TN_OK);
    assert_int_equal(seen, 1);
    for (int i = 0; i < 2; i++) {
        loop_unwatch(loop, watches[i]);
        close(pipes[i][0]);
        close(pipes[i][1]);
    }
    tn_watch *w;
    assert_int_not_equal(loop_watch(loop, -1, EPOLLIN, first_one, NULL, &w, &err), TN_OK);
    assert_non_null(strstr(err.msg, "-1"));
}

/* ---- posts and helpers -------------------------------------------------------------------------------------------- */

enum { THREADS = 4, POSTS = 20000 };
static unsigned last[THREADS], total;

static void posted(void *user)
{
    uintptr_t v = (uintptr_t)user;
    assert_int_equal(v & 0xffffff, ++last[v >> 24]); /* order per thread */
    if (++total == THREADS * POSTS) {
        loop_stop(loop);
    }
}

static void *poster(void *arg)
{
    for (uintptr_t i = 1; i <= POSTS; i++) {
        loop_post(loop, posted, (void *)((uintptr_t)arg << 24 | i));
        if (i % 64 == 0) {
            usleep(10); /* let the loop fall asleep: a lost wake-up hangs the test */
        }
    }
    return NULL;
}

static void test_posts(void **state)
{
    pthread_t t[THREADS];
    (void)state;
    alarm(60);
    for (uintptr_t i = 0; i < THREADS; i++) {
        last[i] = 0;
        assert_int_equal(pthread_create(&t[i], NULL, poster, (void *)i), 0);
    }
    total = 0;
    assert_int_equal(loop_run(loop, &err), TN_OK);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(t[i], NULL);
    }
    alarm(0);
}

static _Atomic int jobs;
static void job(void *user)
{
    (void)user;
    if (atomic_fetch_add(&jobs, 1) + 1 == 100) {
        loop_stop(loop);
    }
}

static void wait_long(void *user)
{
    (void)user;
    usleep(300000);
}

static void test_helpers(void **state)
{
    tn_rc rc = TN_OK;
    unsigned n = 0;
    (void)state;
    atomic_store(&jobs, 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(loop_defer(loop, job, NULL, &err), TN_OK);
    }
    assert_int_equal(loop_run(loop, &err), TN_OK);
    for (int i = 0; i < 4; i++) {
        loop_defer(loop, wait_long, NULL, &err);
    }
    while (rc == TN_OK && n++ < 100000) {
        rc = loop_defer(loop, job, NULL, &err);
    }
    assert_int_equal(rc, TN_E_LIMIT); /* bounded */
    struct loop *bare;
    assert_int_equal(loop_create(&bare, 0, &err), TN_OK);
    assert_int_equal(loop_defer(bare, job, NULL, &err), TN_E_UNSUPP);
    loop_destroy(bare);
    assert_int_equal(loop_create(&bare, 1000, &err), TN_E_INVAL);
}

/* ---- hooks ------------------------------------------------------------------------------------------------------------ */

static unsigned prepared, woken;
static uint64_t prepare(void *user)
{
    (void)user;
    assert_int_equal(prepared, woken);
    return ++prepared < 10 ? 0 : 1000000;
}

static void woke(void *user)
{
    (void)user;
    if (++woken == 12) {
        loop_stop(loop);
    }
}

static void test_hooks(void **state)
{
    (void)state;
    prepared = woken = 0;
    uint64_t start = clock_mono_ns();
    assert_int_equal(loop_prepare(loop, prepare, NULL, &err), TN_OK);
    assert_int_equal(loop_woke(loop, woke, NULL, &err), TN_OK);
    assert_int_equal(loop_run(loop, &err), TN_OK);
    assert_int_equal(woken, 12);
    assert_true(clock_mono_ns() - start >= 3 * 900000); /* the last three slept 1 ms each */
    for (int i = 0; i < 15; i++) {
        assert_int_equal(loop_prepare(loop, prepare, NULL, &err), TN_OK);
    }
    assert_int_equal(loop_prepare(loop, prepare, NULL, &err), TN_E_LIMIT);
}

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_timers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_eager_timer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unwatch_in_a_batch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_posts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_helpers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hooks, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* From here on epoll_pwait2 does not exist. */
static int forget_pwait2(void)
{
    struct sock_filter f[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_epoll_pwait2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog p = {sizeof(f) / sizeof(*f), f};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p);
}

int main(void)
{
    int failed = run_all();
    print_message("without epoll_pwait2\n");
    if (forget_pwait2()) {
        print_message("[  SKIPPED ] no seccomp here\n");
        return failed;
    }
    return failed + run_all();
}
