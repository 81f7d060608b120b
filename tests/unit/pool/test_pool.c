/* SPDX-License-Identifier: Apache-2.0 */
/* Connections and their life: sessions, transactions, the breaker, ages, configuration. */
#include "tests/unit/pool/double.h"

#include "kernel/base/str.h"

#include <stdio.h>
#include <string.h>

static uint64_t now_ns;
static uint64_t mock_now(void)
{
    return now_ns;
}

static void test_session_of_a_call(void **state)
{
    (void)state;
    tn_result r;
    start("{}");
    for (uint32_t i = 0; i < 3; i++) {
        struct pool_conn *c = get(1, 0);
        assert_int_equal(work(c, 1, &r, NULL), TN_OK);
        assert_int_equal(r.method, i); /* the same session goes on */
        pool_put(c);
    }
    assert_int_equal(d.resets, 0);
    pools_end(ps, 1, leaked, NULL);
    assert_int_equal(d.resets, 1);
    struct pool_conn *c = get(2, 0);
    assert_int_equal(work(c, 1, &r, NULL), TN_OK);
    assert_int_equal(r.method, 0); /* and the next call starts anew on the same connection */
    assert_int_equal(d.opened, 1);
    pool_put(c);
    pools_end(ps, 2, leaked, NULL);
    assert_int_equal(leaks, 0);
    stop();
}

static void test_forgotten_transaction(void **state)
{
    (void)state;
    start("{}");
    leaks = 0;
    struct pool_conn *t = get(7, 1), *c = get(7, 0);
    assert_ptr_not_equal(t, c);
    pool_put(t); /* a transaction is not busy between two statements, and still nobody else's */
    pool_put(c);
    c = get(7, 0);
    assert_ptr_not_equal(t, c);
    pool_put(c);
    pools_end(ps, 7, leaked, NULL);
    assert_int_equal(leaks, 1);
    assert_int_equal(d.resets, 2);
    stop();
}

static void test_nobody_left(void **state)
{
    (void)state;
    tn_err err = TN_ERR_INIT;
    struct pool_conn *none = NULL;
    start("{\"pool\":{\"max\":2,\"acquire\":\"30ms\"}}");
    struct pool_conn *a = get(1, 1), *b = get(1, 1);
    assert_int_equal(pool_acquire(p, 1, "a__b:9", 0, 0, &none, &err), TN_E_LIMIT);
    assert_non_null(strstr(err.msg, "connector `c1`: all 2 connections"));
    assert_non_null(strstr(err.msg, "a__b:1 for 0.0 s (transaction or stream)"));
    pool_release(a);
    assert_int_equal(pool_acquire(p, 1, "a__b:9", 0, 0, &none, &err), TN_OK);
    pool_put(none);
    pool_release(b);
    pools_end(ps, 1, leaked, NULL);
    stop();
}

static void test_breaker(void **state)
{
    (void)state;
    tn_err err = TN_ERR_INIT;
    struct pool_conn *c = NULL;
    start("{}");
    now_ns = 1000 * NS_PER_S;
    clock_inject(mock_now, NULL);
    d.open_rc = TN_E_UNAVAIL;
    for (int i = 0; i < BREAKER_FAILURES; i++) {
        assert_int_equal(pool_acquire(p, 1, "w", 0, 0, &c, &err), TN_E_UNAVAIL);
        assert_string_equal(err.msg, "connector `c1`: it was told to fail with -8");
    }
    d.open_rc = 0;
    assert_int_equal(pool_acquire(p, 1, "w", 0, 0, &c, &err), TN_E_UNAVAIL);
    assert_non_null(strstr(err.msg, "is not tried for another 10.0 s"));
    assert_int_equal(err.flags, TN_ERR_RETRY);
    assert_int_equal(d.opened, 0);
    now_ns += BREAKER_NS; /* half open: one attempt, which succeeds and closes the breaker */
    assert_int_equal(pool_acquire(p, 1, "w", 0, 0, &c, &err), TN_OK);
    pool_put(c);
    pools_end(ps, 1, leaked, NULL);
    stop();
}

static void test_ages(void **state)
{
    (void)state;
    start("{\"pool\":{\"idle\":\"60s\",\"life\":\"30m\",\"check\":\"15s\"}}");
    now_ns = 1000 * NS_PER_S;
    clock_inject(mock_now, NULL);
    pool_put(get(1, 0));
    pools_end(ps, 1, leaked, NULL);
    now_ns += 14 * NS_PER_S;
    pool_release(get(2, 0));
    assert_int_equal(d.checks, 0);
    now_ns += 16 * NS_PER_S;
    pool_release(get(3, 0));
    assert_int_equal(d.checks, 1);
    d.check_rc = TN_E_UNAVAIL; /* a dead one is replaced without a word */
    now_ns += 16 * NS_PER_S;
    pool_release(get(4, 0));
    assert_int_equal(d.opened, 2);
    assert_int_equal(d.broken, 1);
    d.check_rc = 0;
    assert_int_equal(pools_sweep(ps), now_ns + 60 * NS_PER_S);
    assert_int_equal(d.alive, 1);
    now_ns += 60 * NS_PER_S;
    assert_int_equal(pools_sweep(ps), 0);
    assert_int_equal(d.alive, 0);
    pool_release(get(5, 0));
    now_ns += 33 * 60 * NS_PER_S + NS_PER_S; /* beyond its life, whatever the jitter */
    pool_release(get(6, 0));
    assert_int_equal(d.opened, 4);
    stop();
}

static void test_dead_connections(void **state)
{
    (void)state;
    tn_result r;
    tn_err err = TN_ERR_INIT;
    start("{}");
    /* Nothing was sent: the first operation of a call gets another connection, unseen. */
    struct pool_conn *c = get(1, 0);
    d.invoke_rc = TN_E_UNAVAIL;
    d.flags = TN_ERR_RETRY | TN_ERR_CONN_BROKEN;
    assert_int_equal(work(c, 2, &r, &err), TN_OK);
    assert_int_equal(d.opened, 2);
    /* The second one has a session to lose: it hears about it, the third gets a new connection. */
    d.invoke_rc = TN_E_UNAVAIL;
    assert_int_equal(work(c, 2, &r, &err), TN_E_UNAVAIL);
    assert_string_equal(err.msg, "connector `c1`: it was told to fail with -8");
    pool_put(c);
    assert_int_equal(d.alive, 0);
    c = get(1, 0);
    assert_int_equal(work(c, 1, &r, &err), TN_OK);
    assert_int_equal(r.method, 0);
    pool_put(c);
    /* An error of the statement breaks nothing. */
    c = get(1, 0);
    d.invoke_rc = TN_E_REMOTE;
    d.flags = 0;
    assert_int_equal(work(c, 2, &r, &err), TN_E_REMOTE);
    pool_put(c);
    assert_int_equal(d.alive, 1);
    /* What cannot be reset is closed. */
    d.reset_rc = TN_E_UNAVAIL;
    pools_end(ps, 1, leaked, NULL);
    assert_int_equal(d.alive, 0);
    stop();
}

static void test_configuration(void **state)
{
    (void)state;
    struct pool *other = NULL;
    tn_err err = TN_ERR_INIT;
    start("{\"name\":\"x\"}");
    assert_int_equal(pools_get(ps, "c1", "double", TN_STR("{\"name\":\"x\"}"), 0, &other, &err),
                     TN_OK);
    assert_ptr_equal(other, p);
    pool_unref(other);
    assert_int_equal(pools_get(ps, "c1", "double",
                               TN_STR("{\"name\":\"y\",\"zzz\":1,\"password\":\"\"}"), 0, &other,
                               &err),
                     TN_OK);
    assert_ptr_not_equal(other,
                         p); /* options make another pool; what is unknown or empty is ignored */
    pool_unref(other);
    assert_int_equal(
        pools_get(ps, "c1", "double", TN_STR("{\"longNameOK\":\"z\"}"), 1, &other, &err),
        TN_OK); /* settings are also known by their spelling in rows of the original */
    assert_string_equal(((const struct double_conf *)other->pi.conf)->long_name_ok, "z");
    pool_unref(other);
    const struct {
        const char *config, *says;
    } bad[] = {{"{\"nam\":\"x\"}", "have no setting `nam`; did you mean `name`?"},
               {"{\"pool\":{\"max\":0}}", "max"},
               {"{\"pool\":{\"min\":3}}", "pool.min = 3 is more than pool.max = 2"},
               {"[1]", "no JSON object"},
               {"{\"name\":", "no JSON object"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(pools_get(ps, "c2", "double", str_of(bad[i].config), 1, &other, &err),
                         TN_E_CONFIG);
        assert_non_null(strstr(err.msg, bad[i].says));
    }
    assert_int_equal(pools_get(ps, "c2", "triple", TN_STR("{}"), 1, &other, &err), TN_E_UNSUPP);
    stop();
}

static void test_too_many_pools(void **state)
{
    (void)state;
    struct pool *held[POOL_POOLS_MAX], *one = NULL;
    tn_err err = TN_ERR_INIT;
    char id[16];
    start("{}");
    for (int i = 0; i < POOL_POOLS_MAX - 1; i++) {
        snprintf(id, sizeof id, "x%d", i);
        assert_int_equal(pools_get(ps, id, "double", TN_STR("{}"), 0, &held[i], &err), TN_OK);
    }
    assert_int_equal(pools_get(ps, "more", "double", TN_STR("{}"), 0, &one, &err), TN_E_LIMIT);
    pool_unref(held[5]); /* nobody uses it: it makes room */
    assert_int_equal(pools_get(ps, "more", "double", TN_STR("{}"), 0, &one, &err), TN_OK);
    pool_unref(one);
    for (int i = 0; i < POOL_POOLS_MAX - 1; i++) {
        if (i != 5) {
            pool_unref(held[i]);
        }
    }
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_session_of_a_call),
        cmocka_unit_test(test_forgotten_transaction),
        cmocka_unit_test(test_nobody_left),
        cmocka_unit_test(test_breaker),
        cmocka_unit_test(test_ages),
        cmocka_unit_test(test_dead_connections),
        cmocka_unit_test(test_configuration),
        cmocka_unit_test(test_too_many_pools),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
