/* SPDX-License-Identifier: Apache-2.0 */
/* Many at once: threads of a call, children of a script, workers that share what pool.max_total allows. */
#include "tests/unit/pool/double.h"

#include "kernel/base/str.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_a_child_abandons(void **state)
{
    (void)state;
    tn_result r;
    start("{}");
    struct pool_conn *c = get(1, 0);
    pid_t pid = fork();
    if (pid == 0) {
        tn_err err = TN_ERR_INIT;
        int bad = work(c, 1, &r, &err) != TN_E_UNAVAIL;
        pool_put(c);
        pool_release(c);
        struct pool_conn *own = get(1, 0);
        bad |= own == c || d.opened != 2 || d.closed != 0 || d.resets != 0;
        bad |= work(own, 1, &r, &err) != TN_OK;
        pool_release(own);
        _exit(bad);
    }
    int status = 1;
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(work(c, 1, &r, NULL), TN_OK); /* the parent did not notice */
    pool_put(c);
    pools_end(ps, 1, leaked, NULL);
    stop();
}

static void *many(void *arg)
{
    (void)arg;
    for (int i = 0; i < 200; i++) {
        tn_result r;
        struct pool_conn *c = get(1, i % 7 == 0);
        work(c, 1, &r, NULL);
        if (i % 7 == 0) {
            pool_release(c);
        } else {
            pool_put(c);
        }
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    pthread_t t[6];
    start("{\"pool\":{\"max\":3,\"acquire\":\"60s\"}}");
    for (size_t i = 0; i < 6; i++) {
        pthread_create(&t[i], NULL, many, NULL);
    }
    for (size_t i = 0; i < 6; i++) {
        pthread_join(t[i], NULL);
    }
    assert_true(d.most <= 3);
    pools_end(ps, 1, leaked, NULL);
    struct buf out = BUF_INIT(0);
    pools_status(ps, &out);
    assert_non_null(strstr(buf_str(&out).s, "\"queries\":1200"));
    assert_non_null(strstr(buf_str(&out).s, "\"leased\":0"));
    buf_finish(&out);
    stop();
}

/* Another worker: takes n connections, says so, and keeps them until it is killed. */
static pid_t worker(int n)
{
    int told[2];
    char c;
    assert_int_equal(pipe(told), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(told[0]);
        for (int i = 0; i < n; i++) {
            get(1, 1);
        }
        _exit(write(told[1], "x", 1) == 1 ? pause() : 1);
    }
    close(told[1]);
    for (int i = 0; i < 400 && waitpid(pid, NULL, WNOHANG) == 0; i++) {
        struct pollfd f = {.fd = told[0], .events = POLLIN};
        if (poll(&f, 1, 5) == 1) {
            break;
        }
        pools_sweep(ps); /* what a worker that sleeps does */
    }
    assert_int_equal(read(told[0], &c, 1), 1);
    close(told[0]);
    return pid;
}

static void fire(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void test_all_workers_together(void **state)
{
    (void)state;
    const char *config = "{\"pool\":{\"max\":3,\"max_total\":2,\"acquire\":\"300ms\"}}";
    struct pool_conn *c = NULL;
    tn_err err = TN_ERR_INIT;
    start(config);
    pid_t pid = worker(2);
    assert_int_equal(pool_acquire(p, 1, "a__b:1", 0, 0, &c, &err), TN_E_LIMIT);
    assert_non_null(strstr(err.msg, "all 2 connections that pool.max_total allows"));
    fire(pid); /* the kernel gives back what it had */
    pool_put(get(1, 1));
    pool_put(get(1, 1));
    assert_int_equal(pool_acquire(p, 1, "a__b:1", 1, 0, &c, &err), TN_E_LIMIT);
    pools_end(ps, 1, leaked, NULL);
    assert_int_equal(d.closed, 0); /* nobody waits: both stay */
    pid = worker(1);
    assert_true(d.closed >= 1); /* somebody does: idle ones go */
    pool_put(get(2, 1));
    fire(pid);
    pools_end(ps, 2, leaked, NULL);
    /* With other options it is another pool of the same connector, and the same seats. */
    struct pool *other = NULL, *was = p;
    pool_put(get(3, 1));
    pool_put(get(3, 1));
    pools_end(ps, 3, leaked, NULL);
    assert_int_equal(pools_get(ps, "c1", "double",
                               str_of("{\"name\":\"x\",\"pool\":{\"max\":3,\"max_total\":2}}"), 1,
                               &other, &err),
                     TN_OK);
    p = other;
    pool_put(get(4, 1));
    pools_end(ps, 4, leaked, NULL);
    p = was;
    pool_unref(other);
    leaks = 0;
    stop();
}

static void *crowd(void *arg)
{
    (void)arg;
    for (int i = 0; i < 30; i++) {
        tn_result r;
        struct pool_conn *c = get(1, 1);
        work(c, 1, &r, NULL);
        pool_release(c);
    }
    return NULL;
}

/* Workers that all want what is there for a few: everybody gets his turn, and never more are open. */
static void test_a_crowd_of_workers(void **state)
{
    (void)state;
    pid_t pids[6];
    struct crowd {
        atomic_int open, most;
    } *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                     0);
    assert_true(shared != MAP_FAILED);
    start("{\"pool\":{\"max\":2,\"max_total\":3,\"acquire\":\"60s\"}}");
    d.nap_ms = 1;
    d_open = &shared->open;
    d_most = &shared->most;
    for (size_t i = 0; i < 6; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            pthread_t t[2];
            pthread_create(&t[0], NULL, crowd, NULL);
            pthread_create(&t[1], NULL, crowd, NULL);
            pthread_join(t[0], NULL);
            pthread_join(t[1], NULL);
            pool_unref(p);
            pools_destroy(ps);
            _exit(0);
        }
    }
    for (size_t i = 0; i < 6; i++) {
        int status = 1;
        waitpid(pids[i], &status, 0);
        assert_int_equal(status, 0);
    }
    assert_int_equal(shared->open, 0);
    assert_in_range(shared->most, 1, 3);
    d_open = d_most = NULL;
    munmap(shared, sizeof *shared);
    stop();
}

/* What waits for a server. */
static void *endless(void *arg)
{
    (void)arg;
    tn_result r;
    tn_err err = TN_ERR_INIT;
    struct pool_conn *c = get(1, 0);
    assert_int_equal(work(c, 1, &r, &err), TN_E_CANCELED);
    c->broken = 1;
    pool_put(c);
    return NULL;
}

static void await(const atomic_int *what, int wanted)
{
    for (int i = 0; i < 5000 && *what != wanted; i++) {
        usleep(1000);
    }
    assert_int_equal(*what, wanted);
}

static void on_signal(int sig)
{
    (void)sig;
    pools_cancel(ps);
}

static void test_cancel(void **state)
{
    (void)state;
    pthread_t t[3];
    tn_result r;
    start("{\"pool\":{\"max\":4}}");
    pools_cancel(ps); /* nobody works: nothing remembers it */
    struct pool_conn *other = get(1, 0);
    assert_int_equal(work(other, 1, &r, NULL), TN_OK);
    d.endless = 1;
    d.slow_cancel_ms = 20;
    for (size_t i = 0; i < 3; i++) {
        pthread_create(&t[i], NULL, endless, NULL);
    }
    await(&d.works, 3);
    signal(SIGUSR1, on_signal);
    raise(SIGUSR1);
    for (size_t i = 0; i < 3; i++) {
        pthread_join(t[i], NULL);
    }
    assert_int_equal(d.cancels, 3); /* each once, and not the one that rests */
    assert_int_equal(d.broken, 3);
    d.endless = 0;
    assert_int_equal(work(other, 1, &r, NULL), TN_OK); /* what begins afterwards is not concerned */
    assert_int_equal(d.cancels, 3);
    pool_put(other);
    pools_end(ps, 1, leaked, NULL);
    signal(SIGUSR1, SIG_DFL);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_child_abandons),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_all_workers_together),
        cmocka_unit_test(test_a_crowd_of_workers),
        cmocka_unit_test(test_cancel),
    };
    return cmocka_run_group_tests_name("crowd", tests, NULL, NULL);
}
