/* SPDX-License-Identifier: Apache-2.0 */
/* Subscriptions without a broker: order, fates, bounds, what can never be stored, one holder. */
#include "kernel/base/buf.h"
#include "kernel/base/err.h"
#include "kernel/base/str.h"
#include "kernel/hub/subs.h"
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
/* after the above */
#include <cmocka.h>

struct conf {
    const char *host;
};
static const tn_field fields[] = {{TN_FIELD(struct conf, host), .dflt = "nowhere"}, {0}};

/* ---- the trigger ----------------------------------------------------------------------------- */
static _Atomic(tn_sub *) current;
static _Atomic int runs, inside, most_inside, give_up, done_fd;
static _Atomic int64_t since;
static char host[32];
static _Atomic int well; /* consume() says that it consumes, before it gives up */
static struct subs *subs;

static tn_rc consume(void *inst, tn_sub *sub, const tn_sub_info *info, tn_err *err)
{
    int n = atomic_fetch_add(&inside, 1) + 1;
    (void)inst;
    if (n > atomic_load(&most_inside)) {
        atomic_store(&most_inside, n);
    }
    snprintf(host, sizeof host, "%s", ((const struct conf *)info->conf)->host);
    atomic_store(&since, info->since_us);
    atomic_store(&done_fd, info->done_fd);
    atomic_store(&current, sub);
    atomic_fetch_add(&runs, 1);
    if (atomic_load(&well)) {
        subs_consuming(subs, sub);
    }
    struct pollfd fd = {.fd = info->stop_fd, .events = POLLIN};
    while (poll(&fd, 1, 5) == 0 && !atomic_load(&give_up)) {}
    atomic_fetch_sub(&inside, 1);
    return atomic_exchange(&give_up, 0) ? err_set(err, TN_E_UNAVAIL, "gone") : TN_OK;
}

static const tn_trigger_ops trigger = {.size = sizeof trigger,
                                       .sub_config = fields,
                                       .sub_conf_size = sizeof(struct conf),
                                       .consume = consume};

/* ---- the queue ------------------------------------------------------------------------------- */
static void (*finish)(void *, tn_rc, const tn_task_receipt *, uint32_t, const tn_err *);
static void *finish_user;
static uint32_t batch, expires_ms; /* of the last one */
static char first_args[128];
static int64_t queued;

static tn_rc dep_source(void *user, const char *type, struct sub_source *ret, tn_err *err)
{
    (void)user;
    *ret = (struct sub_source){&trigger, NULL};
    return strcmp(type, "fake") == 0 ? TN_OK : err_set(err, TN_E_NOTFOUND, "no trigger");
}

static int dep_holds(void *user, tn_str uid)
{
    (void)user;
    return uid.n == 16;
}

static tn_rc dep_submit(void *user, const tn_task_req *reqs, uint32_t n,
                        void (*done)(void *, tn_rc, const tn_task_receipt *, uint32_t,
                                     const tn_err *),
                        void *done_user, tn_err *err)
{
    (void)user;
    (void)err;
    snprintf(first_args, sizeof first_args, "%.*s", (int)reqs->args.n, reqs->args.s);
    finish = done;
    finish_user = done_user;
    batch = n;
    expires_ms = reqs[n - 1].expires_ms;
    return TN_OK;
}

static int64_t dep_waiting(void *user, uint32_t queue)
{
    (void)user;
    return queue == 6 ? queued : 0;
}

static void stored(tn_rc rc)
{
    tn_err err = TN_ERR_INIT;
    void (*done)(void *, tn_rc, const tn_task_receipt *, uint32_t, const tn_err *) = finish;
    finish = NULL;
    batch = 0;
    err_set(&err, TN_E_INVAL, "refused by the test");
    done(finish_user, rc, NULL, 0, &err);
}

/* ---- the tests ------------------------------------------------------------------------------- */
static struct loop *loop;
static tn_err err;
static uint32_t flags; /* of plans */

static void until(_Atomic int *v, int wanted)
{
    for (int i = 0; i < 5000 && atomic_load(v) < wanted; i++) {
        usleep(1000);
    }
    assert_true(atomic_load(v) >= wanted);
}

static void put(const char *config, uint32_t n)
{
    const tn_task_req task = {.size = sizeof task,
                              .script = TN_STR("a__b"),
                              .func = TN_STR("f"),
                              .queue = 6,
                              .expires_ms = 900};
    const tn_sub_plan plan = {.size = sizeof plan,
                              .flags = flags,
                              .topic = TN_STR("t"),
                              .func = TN_STR("a__b.f"),
                              .task = &task,
                              .since_us = 1700000000000000};
    assert_int_equal(subs_put(subs, TN_STR("c"), TN_STR("fake"), str_of(config), &plan, n, &err),
                     TN_OK);
}

static int setup(void **state)
{
    const struct subs_deps deps = {.source = dep_source,
                                   .holds = dep_holds,
                                   .submit = dep_submit,
                                   .waiting = dep_waiting,
                                   .waiting_max = 100};
    (void)state;
    atomic_store(&runs, 0);
    atomic_store(&most_inside, 0);
    queued = 0;
    assert_int_equal(loop_create(&loop, 1, &err), TN_OK);
    assert_int_equal(subs_create(loop, &deps, &subs, &err), TN_OK);
    put("{\"host\":\"here\",\"other\":1}", 1);
    until(&runs, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(subs_stop(subs), 1);
    if (finish != NULL) {
        stored(TN_OK);
    }
    loop_destroy(loop);
    subs_destroy(subs);
    return 0;
}

static tn_rc deliver(uint64_t tag, uint32_t how)
{
    return subs_deliver(subs, atomic_load(&current), TN_STR("t/1"), TN_STR("m\"\xff"), tag, how,
                        NULL);
}

static void test_order_and_fates(void **state)
{
    tn_sub_done done[8];
    (void)state;
    assert_string_equal(host, "here");
    assert_int_equal(atomic_load(&since), 1700000000000000);
    for (uint64_t i = 1; i <= 3; i++) {
        assert_int_equal(deliver(i, TN_DELIVER_TELL), TN_OK);
    }
    assert_int_equal(batch, 1); /* the others wait for it */
    assert_string_equal(first_args, "{\"topic\":\"t/1\",\"message\":\"m\\\"\xEF\xBF\xBD\"}");
    assert_int_equal(subs_done(subs, atomic_load(&current), done, 8), 0);
    stored(TN_OK);
    assert_int_equal(batch, 2);
    stored(TN_E_UNAVAIL); /* tried again by the timer; here by the next message */
    assert_int_equal(deliver(4, TN_DELIVER_TELL), TN_OK);
    assert_int_equal(batch, 3);
    stored(TN_OK);
    struct pollfd fd = {.fd = atomic_load(&done_fd), .events = POLLIN};
    assert_int_equal(poll(&fd, 1, 0), 1);
    assert_int_equal(subs_done(subs, atomic_load(&current), done, 8), 4);
    for (uint64_t i = 0; i < 4; i++) {
        assert_int_equal(done[i].tag, i + 1);
        assert_int_equal(done[i].rc, TN_OK);
    }
    assert_int_equal(poll(&fd, 1, 0), 0);
}

/* What the broker keeps may wait for as long as it likes, when the plan says so; what it does not keep may not. */
static void test_expires(void **state)
{
    (void)state;
    assert_int_equal(deliver(1, TN_DELIVER_TELL), TN_OK);
    assert_int_equal(expires_ms, 900);
    stored(TN_OK);
    flags = TN_SUB_KEPT;
    put("{\"host\":\"here\",\"other\":1}", 1);
    flags = 0;
    assert_int_equal(atomic_load(&runs), 1); /* the same subscription goes on */
    assert_int_equal(deliver(2, TN_DELIVER_TELL), TN_OK);
    assert_int_equal(expires_ms, 0);
    stored(TN_OK);
    assert_int_equal(deliver(0, TN_DELIVER_DROP), TN_OK);
    assert_int_equal(expires_ms, 900);
    stored(TN_OK);
}

static void test_never(void **state)
{
    tn_sub_done done[8];
    (void)state;
    deliver(1, 0);
    deliver(2, TN_DELIVER_TELL);
    deliver(3, TN_DELIVER_TELL);
    stored(TN_OK);
    assert_int_equal(batch, 2);
    stored(TN_E_INVAL); /* one of both: now each alone */
    assert_int_equal(batch, 1);
    stored(TN_E_INVAL);
    assert_int_equal(batch, 1);
    stored(TN_OK);
    assert_int_equal(subs_done(subs, atomic_load(&current), done, 8), 2);
    assert_int_equal(done[0].rc, TN_E_INVAL);
    assert_int_equal(done[1].rc, TN_OK);
}

static void test_bounds(void **state)
{
    struct buf b = BUF_INIT(0);
    (void)state;
    queued = 100; /* the queue is full: everything waits */
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(deliver(1, 0), TN_OK);
    }
    assert_int_equal(batch, 0);
    assert_int_equal(deliver(1, TN_DELIVER_TELL), TN_E_LIMIT);
    assert_int_equal(deliver(1, TN_DELIVER_DROP), TN_OK);
    assert_int_equal(subs_status(subs, TN_STR("c"), &b, &err), TN_OK);
    assert_non_null(strstr(b.data, "\"dropped\":1,"));
    assert_non_null(strstr(b.data, "\"waiting\":10000"));
    assert_non_null(strstr(b.data, "queue 6 holds 100 tasks"));
    buf_finish(&b);
    tn_str large = {calloc(1, TN_DELIVER_MAX + 1ul), TN_DELIVER_MAX + 1ul};
    assert_int_equal(subs_deliver(subs, atomic_load(&current), TN_STR("t"), large, 1, 0, NULL),
                     TN_E_INVAL);
    free((void *)(uintptr_t)large.s);
}

/* What is small enough as it comes, and too large for a task as JSON, holds up nobody. */
static void test_escapes(void **state)
{
    struct buf b = BUF_INIT(0);
    const tn_str zeros = {calloc(1, 3u << 20), 3u << 20};
    (void)state;
    assert_int_equal(
        subs_deliver(subs, atomic_load(&current), TN_STR("t"), zeros, 1, TN_DELIVER_TELL, &err),
        TN_E_INVAL);
    assert_non_null(strstr(err.msg, "as JSON"));
    assert_int_equal(batch, 0);
    assert_int_equal(deliver(2, TN_DELIVER_TELL), TN_OK);
    assert_int_equal(batch, 1);
    stored(TN_OK);
    assert_int_equal(subs_status(subs, TN_STR("c"), &b, &err), TN_OK);
    assert_non_null(strstr(b.data, "\"received\":2,\"accepted\":1,\"dropped\":1,"));
    buf_finish(&b);
    free((void *)(uintptr_t)zeros.s);
}

static void test_run_ends(void **state)
{
    tn_sub_done done[8];
    (void)state;
    deliver(1, TN_DELIVER_TELL);
    deliver(2, TN_DELIVER_TELL); /* comes again: thrown away */
    deliver(3, 0);               /* would be lost: stays */
    atomic_store(&give_up, 1);
    until(&runs, 2);
    stored(TN_OK);
    assert_int_equal(batch, 1);
    stored(TN_OK);
    assert_int_equal(subs_done(subs, atomic_load(&current), done, 8),
                     0); /* tags of the former run */
}

static void test_one_holder(void **state)
{
    (void)state;
    put("{\"host\":\"here\",\"other\":1}", 1); /* the same: undisturbed */
    usleep(50000);
    assert_int_equal(atomic_load(&runs), 1);
    put("{\"host\":\"there\"}", 1);
    until(&runs, 2);
    assert_string_equal(host, "there");
    assert_int_equal(atomic_load(&most_inside), 1);
    put("{}", 0);
    for (int i = 0; i < 5000 && atomic_load(&inside) > 0; i++) {
        usleep(1000);
    }
    assert_int_equal(atomic_load(&inside), 0);
}

/* The same handler twice, even with another way of delivery, is one; and it goes on when it is put again. */
static void test_twice(void **state)
{
    const tn_task_req task = {
        .size = sizeof task, .script = TN_STR("a__b"), .func = TN_STR("f"), .queue = 6};
    tn_sub_plan plans[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        plans[i] = (tn_sub_plan){.size = sizeof *plans,
                                 .flags = i == 1 ? TN_SUB_MEMORY : 0,
                                 .topic = TN_STR("t"),
                                 .func = TN_STR("a__b.f"),
                                 .task = &task};
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(subs_put(subs, TN_STR("c"), TN_STR("fake"),
                                  TN_STR("{\"host\":\"here\",\"other\":1}"), plans, 2, &err),
                         TN_OK);
    }
    usleep(50000);
    assert_int_equal(atomic_load(&runs), 1);
}

/* A subscription that comes about and ends again at once is tried less and less often, too. */
static void test_unsteady(void **state)
{
    (void)state;
    atomic_store(&well, 1);
    atomic_store(&give_up, 1); /* this one has not said that it consumes; those after it do */
    until(&runs, 2);
    atomic_store(&give_up, 1);
    usleep(1800000);
    assert_int_equal(atomic_load(&runs), 2);
    until(&runs, 3);
    atomic_store(&well, 0);
}

/* Many that have ended and still hold what waits for room: a change does not wait for them. */
static void test_many_that_hold(void **state)
{
    char config[32];
    (void)state;
    queued = 1000;
    for (int i = 0; i < 70; i++) {
        assert_int_equal(deliver(0, TN_DELIVER_DROP), TN_OK);
        snprintf(config, sizeof config, "{\"host\":\"%d\"}", i);
        put(config, 1);
        until(&runs, i + 2);
    }
    put("{}", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order_and_fates, setup, teardown),
        cmocka_unit_test_setup_teardown(test_expires, setup, teardown),
        cmocka_unit_test_setup_teardown(test_never, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_run_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_holder, setup, teardown),
        cmocka_unit_test_setup_teardown(test_escapes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_twice, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unsteady, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_that_hold, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
