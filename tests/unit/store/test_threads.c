/* SPDX-License-Identifier: Apache-2.0 */
/* Writers and readers side by side: no errors, nothing lost, nobody starves. */
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

#define WRITERS 4
#define READERS 4

static struct harness h;
static atomic_int stop, failures;
static atomic_long written[WRITERS], in_txn, readings;

static void failed(const tn_err *err)
{
    if (atomic_fetch_add(&failures, 1) < 3) {
        fprintf(stderr, "%s\n", err->msg);
    }
}

static void write_one(int me, long i)
{
    tn_err err = TN_ERR_INIT;
    char row[96];
    snprintf(row, sizeof row, "{\"id\":\"w%d-%ld\",\"i\":%ld,\"s\":\"w%d\"}", me, i, i, me);
    if (store_insert(h.store, NULL, "all", str_of(row), NULL, &err) != TN_OK) {
        failed(&err);
    } else {
        atomic_fetch_add(&written[me], 1);
    }
}

/* Two rows that are only ever there together. */
static void write_pair(int me, long i)
{
    tn_err err = TN_ERR_INIT;
    struct store_txn *t;
    char row[96];
    tn_rc rc = store_begin(h.store, &t, &err);
    for (int k = 0; k < 2 && rc == TN_OK; k++) {
        snprintf(row, sizeof row, "{\"id\":\"p%d-%ld-%d\",\"i\":%ld,\"d\":\"PAIR\"}", me, i, k,
                 i * 2 + k);
        if ((rc = store_insert(h.store, t, "all", str_of(row), NULL, &err))) {
            store_rollback(h.store, t);
        }
    }
    if (rc == TN_OK && i % 3 == 0) {
        store_rollback(h.store, t);
        return;
    }
    rc = rc ? rc : store_commit(h.store, t, &err);
    if (rc) {
        failed(&err);
    } else {
        atomic_fetch_add(&in_txn, 2);
    }
}

static void *writer(void *user)
{
    int me = (int)(intptr_t)user;
    for (long i = 0; !atomic_load(&stop); i++) {
        if (me % 2) {
            write_pair(me, i);
        } else {
            write_one(me, i);
        }
    }
    return NULL;
}

static void *reader(void *user)
{
    const tn_filter f = {.column = "d", .op = TN_OP_EQ, .value = TN_STR("\"PAIR\"")};
    (void)user;
    while (!atomic_load(&stop)) {
        tn_err err = TN_ERR_INIT;
        struct buf rows = BUF_INIT(0);
        int64_t total = -1;
        tn_list l = {
            .size = sizeof l, .flags = TN_LIST_COUNT, .filters = &f, .nfilters = 1, .limit = 5};
        if (store_list(h.store, NULL, "all", &l, &rows, &total, &err) != TN_OK) {
            failed(&err);
        } else if (total > 5 && total % 2) {
            snprintf(err.msg, sizeof err.msg, "half a transaction is visible: %lld rows",
                     (long long)total);
            failed(&err);
        }
        buf_finish(&rows);
        atomic_fetch_add(&readings, 1);
    }
    return NULL;
}

static void writers_and_readers(void **state)
{
    pthread_t t[WRITERS + READERS];
    struct timespec two = {2, 0};
    tn_err err = TN_ERR_INIT;
    (void)state;
    harness_open(&h, NULL);
    assert_int_equal(store_define(h.store, "test", test_entities, NULL, &err), TN_OK);
    for (int i = 0; i < WRITERS + READERS; i++) {
        assert_int_equal(
            pthread_create(&t[i], NULL, i < WRITERS ? writer : reader, (void *)(intptr_t)i), 0);
    }
    nanosleep(&two, NULL);
    atomic_store(&stop, 1);
    for (int i = 0; i < WRITERS + READERS; i++) {
        pthread_join(t[i], NULL);
    }
    assert_int_equal(atomic_load(&failures), 0);
    long singles = 0;
    for (int i = 0; i < WRITERS; i += 2) {
        assert_true(written[i] > 0);
        singles += written[i];
    }
    /* First come, first served: the two single writers have had about the same share. */
    assert_true(written[0] < written[2] * 2 + 10 && written[2] < written[0] * 2 + 10);
    assert_true(readings > 0 && in_txn > 0);
    char want[64];
    snprintf(want, sizeof want, "[{\"n\":%ld,\"p\":%ld}]", singles + in_txn, (long)in_txn);
    assert_string_equal(
        harness_sql(&h, "SELECT count(*) AS n, sum(d = 'PAIR') AS p FROM t_all", NULL), want);
    print_message("%ld single rows, %ld in transactions, %ld lists in 2 s\n", singles, (long)in_txn,
                  (long)readings);
    harness_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(writers_and_readers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
