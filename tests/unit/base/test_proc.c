/* SPDX-License-Identifier: Apache-2.0 */
/* Finding and killing what a script left behind. */
#include "unit.h"

#include "kernel/base/proc.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void nap_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static pid_t sleeper(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        for (;;) {
            pause();
        }
    }
    return pid;
}

/* No children but those in keep. */
static void assert_alone(int kept)
{
    pid_t pids[8];
    assert_int_equal(proc_children(pids, 8), kept);
}

static void plain_children(void **state)
{
    (void)state;
    assert_int_equal(proc_kill_strays(NULL, 0), 0);
    pid_t kept = sleeper();
    for (int i = 0; i < 5; i++) {
        sleeper();
    }
    assert_int_equal(proc_kill_strays(&kept, 1), 5);
    assert_int_equal(kill(kept, 0), 0);
    assert_alone(1);
    pid_t found = 0; /* the way of kernels without children files agrees */
    assert_int_equal(proc_children_scan(&found, 1), 1);
    assert_int_equal(found, kept);
    kill(kept, SIGKILL);
    waitpid(kept, NULL, 0);
    assert_alone(0);
}

static void ended_children_are_reaped(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        _exit(3);
    }
    nap_ms(50);
    assert_int_equal(proc_kill_strays(NULL, 0), 0); /* it had ended by itself */
    assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
}

/* The classic daemon: fork, setsid, fork, exit. */
static void daemons(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            setsid();
            if (fork() == 0) {
                signal(SIGTERM, SIG_IGN);
                for (;;) {
                    pause();
                }
            }
            _exit(0);
        }
        waitpid(pid, NULL, 0);
    }
    assert_int_equal(proc_kill_strays(NULL, 0), 3);
    assert_alone(0);
}

static void trees(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < 4; i++) { /* 2^4 processes */
            fork();
        }
        for (;;) {
            pause();
        }
    }
    nap_ms(50);
    assert_int_equal(proc_kill_strays(NULL, 0), 16);
    assert_alone(0);
}

static void *spawn_in_thread(void *arg)
{
    *(pid_t *)arg = sleeper();
    nap_ms(400);
    return NULL;
}

/* The children file is per thread. */
static void children_of_threads(void **state)
{
    (void)state;
    pthread_t thread;
    pid_t pid = 0, pids[4];
    pthread_create(&thread, NULL, spawn_in_thread, &pid);
    nap_ms(100);
    assert_int_equal(proc_children(pids, 4), 1);
    assert_int_equal(proc_children_scan(pids, 4), 1);
    assert_int_equal(proc_children_scan(NULL, 0), 1); /* counts beyond what it stores */
    assert_int_equal(proc_kill_strays(NULL, 0), 1);
    pthread_join(thread, NULL);
    assert_alone(0);
}

/* Every process forks a successor and ends: the target's pid is always new. */
static void runner(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        for (;;) {
            pid_t next = fork();
            if (next != 0) {
                _exit(0);
            }
            setsid();
            nap_ms(1);
        }
    }
    nap_ms(30);
    /* how many it had to kill depends on who ran first; that none is left does not */
    assert_true(proc_kill_strays(NULL, 0) >= 0);
    nap_ms(30);
    assert_alone(0);
}

static void fork_storm(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        if (fork() == 0) {
            for (int n = 0; n < 2000; n++) {
                if (fork() == 0) {
                    for (;;) {
                        pause();
                    }
                }
                nap_ms(1);
            }
            _exit(0);
        }
    }
    nap_ms(100);
    assert_true(proc_kill_strays(NULL, 0) > 4);
    assert_alone(0);
}

static void small_things(void **state)
{
    (void)state;
    char name[32] = "";
    proc_title("a title that is too long");
    FILE *f = fopen("/proc/self/comm", "re");
    assert_non_null(fgets(name, sizeof name, f));
    fclose(f);
    assert_string_equal(name, "a title that is\n");
    assert_true(proc_memory(getpid(), "Private_Dirty") > 0);
    assert_int_equal(proc_memory(getpid(), "Private"), -1);
    assert_int_equal(proc_memory(0x7ffffffe, "Rss"), -1);
    pid_t pid = sleeper();
    int fd = proc_pidfd(pid);
    assert_true(fd >= 0);
    struct pollfd wait = {fd, POLLIN, 0};
    assert_int_equal(poll(&wait, 1, 0), 0);
    kill(pid, SIGKILL);
    assert_int_equal(poll(&wait, 1, 5000), 1);
    waitpid(pid, NULL, 0);
    close(fd);
    assert_int_equal(proc_pidfd(pid), -1);
}

static int setup(void **state)
{
    (void)state;
    return proc_subreaper();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_children),
        cmocka_unit_test(ended_children_are_reaped),
        cmocka_unit_test(daemons),
        cmocka_unit_test(trees),
        cmocka_unit_test(children_of_threads),
        cmocka_unit_test(runner),
        cmocka_unit_test(fork_storm),
        cmocka_unit_test(small_things),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
