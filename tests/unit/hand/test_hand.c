/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs in the thread of a connection: done, late, canceled while they run and before they begin. */
#include "tests/unit/base/unit.h"

#include "common/hand.h"
#include "kernel/base/clock.h"
#include "kernel/base/err.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define MS 1000000ull

static const tn_host host = {.fail = err_set, .now_ns = clock_mono_ns};

/* A server that answers when it has been told to stop, or after a while. */
struct server {
    atomic_int stopped, worked, ended;
};
struct job {
    struct hand_job base;
    int ms;
};
static struct server server;
static atomic_int freed;

static tn_rc work(void *conn, struct hand_job *base, tn_err *err)
{
    struct server *s = conn;
    int left = ((struct job *)base)->ms;
    (void)err;
    atomic_fetch_add(&s->worked, 1);
    for (; left > 0 && atomic_load(&s->stopped) == 0; left--) {
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    return TN_OK;
}

static void job_free(struct hand_job *job)
{
    atomic_fetch_add(&freed, 1);
    free(job);
}

static struct hand_job *job_of(int ms)
{
    struct job *job = calloc(1, sizeof *job);
    assert_non_null(job);
    job->base.work = work;
    job->base.free = job_free;
    job->ms = ms;
    return &job->base;
}

static void stop(void *conn)
{
    atomic_store(&((struct server *)conn)->stopped, 1);
}

static void goodbye(void *conn)
{
    atomic_store(&((struct server *)conn)->ended, 1);
}

static void keep(void *conn)
{
    (void)conn;
}

static struct hand *started(void)
{
    static const struct hand_ops ops = {stop, goodbye, keep, "it was late"};
    struct hand *h = NULL;
    tn_err err = TN_ERR_INIT;
    server = (struct server){0};
    atomic_store(&freed, 0);
    assert_int_equal(hand_start(&host, &ops, &server, &h, &err), TN_OK);
    return h;
}

static void done_and_late(void **state)
{
    (void)state;
    struct hand *h = started();
    tn_err err = TN_ERR_INIT;
    struct hand_job *job = job_of(1);
    hand_begin(h);
    assert_int_equal(hand_do(h, job, 0, false, &err), TN_OK);
    assert_int_equal(atomic_load(&freed), 0);
    job_free(job);
    hand_begin(h);
    assert_int_equal(hand_do(h, job_of(10000), clock_mono_ns() + 20 * MS, false, &err),
                     TN_E_TIMEOUT);
    assert_string_equal(err.msg, "it was late");
    assert_true((err.flags & TN_ERR_CONN_BROKEN) != 0);
    hand_end(h);
    assert_int_equal(atomic_load(&server.ended), 1);
    assert_int_equal(atomic_load(&freed), 2);
}

static void *cancel_soon(void *h)
{
    nanosleep(&(struct timespec){0, 20000000}, NULL);
    hand_cancel(h);
    return NULL;
}

static void canceled_while_it_runs(void **state)
{
    (void)state;
    struct hand *h = started();
    tn_err err = TN_ERR_INIT;
    pthread_t other;
    hand_begin(h);
    assert_int_equal(pthread_create(&other, NULL, cancel_soon, h), 0);
    assert_int_equal(hand_do(h, job_of(10000), 0, false, &err), TN_E_CANCELED);
    pthread_join(other, NULL);
    assert_true((err.flags & TN_ERR_CONN_BROKEN) != 0);
    hand_end(h);
}

/* The caller was still writing its statement when the cancel came: nothing is begun, and nothing is lost. One that comes
 * too late is not for the operation after it. */
static void canceled_before_it_begins(void **state)
{
    (void)state;
    struct hand *h = started();
    tn_err err = TN_ERR_INIT;
    hand_begin(h);
    hand_cancel(h);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(hand_do(h, job_of(10000), 0, false, &err), TN_E_CANCELED);
        assert_true((err.flags & TN_ERR_CONN_BROKEN) == 0);
    }
    assert_int_equal(atomic_load(&server.worked), 0);
    assert_int_equal(atomic_load(&freed), 2);
    struct hand_job *job = job_of(1);
    hand_begin(h);
    assert_int_equal(hand_do(h, job, 0, false, &err), TN_OK);
    job_free(job);
    hand_end(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(done_and_late),
        cmocka_unit_test(canceled_while_it_runs),
        cmocka_unit_test(canceled_before_it_begins),
    };
    return cmocka_run_group_tests_name("hand", tests, NULL, NULL);
}
