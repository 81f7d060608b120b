/* SPDX-License-Identifier: Apache-2.0 */
/* Broken disks, full disks, damaged files, busy files: a clear error, no crash, nothing
 * acknowledged is lost (reliability P-04, P-05, P-06). */
#include "faulty.h"
#include "harness.h"
#include "kernel/base/fd.h"
#include "kernel/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static struct harness h;

static int setup(void **state)
{
    (void)state;
    faulty_arm(0, 0, 0, 0);
    harness_open(&h, NULL);
    faulty_install(h.plug); /* counts for connections opened from now on */
    harness_reopen(&h);
    return store_define(h.store, "test", test_entities, NULL, NULL);
}

static int teardown(void **state)
{
    (void)state;
    faulty_arm(0, 0, 0, 0);
    harness_close(&h);
    return 0;
}

static tn_rc insert(const char *id, tn_err *err)
{
    char row[200];
    snprintf(row, sizeof row, "{\"id\":\"%s\",\"t\":\"%0100d\"}", id, 7);
    return store_insert(h.store, NULL, "all", str_of(row), NULL, err);
}

static tn_rc list_all(int64_t *ret, tn_err *err)
{
    struct buf rows = BUF_INIT(0);
    tn_list l = {.size = sizeof l, .flags = TN_LIST_COUNT, .limit = -1};
    tn_rc rc = store_list(h.store, NULL, "all", &l, &rows, ret, err);
    buf_finish(&rows);
    return rc;
}

/* An error has a text and a code that fits. */
static void assert_clear(tn_rc rc, const tn_err *err)
{
    assert_int_equal(rc, err->rc);
    if ((rc != TN_E_REMOTE && rc != TN_E_UNAVAIL && rc != TN_E_NOMEM) || strlen(err->msg) < 20) {
        fail_msg("%d: %s", rc, err->msg);
    }
}

static tn_rc insert_within(const char *id, int seconds, tn_err *err)
{
    tn_rc rc = insert(id, err);
    for (int i = 0; i < seconds * 50 && rc != TN_OK; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
        rc = insert(id, err);
    }
    return rc;
}

static void a_failed_sync_stops_writing(void **state)
{
    tn_err err = TN_ERR_INIT;
    int64_t n;
    struct store_txn *t;
    (void)state;
    assert_int_equal(insert("before", &err), TN_OK);
    faulty_arm(FAULT_SYNC, 1, 1, 0);
    assert_int_equal(insert("lost", &err), TN_E_REMOTE);
    assert_non_null(strstr(err.msg, "may not be on the disk"));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(insert("after", &err), TN_E_UNAVAIL);
        assert_non_null(strstr(err.msg, "takes no changes"));
    }
    assert_int_equal(store_begin(h.store, &t, &err), TN_E_UNAVAIL);
    assert_int_equal(list_all(&n, &err), TN_OK); /* reading goes on */
    assert_int_equal(n, 1);
    int tried = faulty_count();
    assert_in_range(tried, 2, 3); /* the failing one, and a trial at once; no storm of trials */
    faulty_arm(0, 0, 0, 0);
    assert_int_equal(insert_within("after", 5, &err), TN_OK);
    assert_int_equal(list_all(&n, &err), TN_OK);
    assert_int_equal(n, 2);
    /* What was in doubt did not happen, not even for somebody who reads the log from the disk. */
    harness_reopen(&h);
    assert_int_equal(store_define(h.store, "test", test_entities, NULL, &err), TN_OK);
    assert_int_equal(list_all(&n, &err), TN_OK);
    assert_int_equal(n, 2);
}

static void a_full_disk_recovers_by_itself(void **state)
{
    tn_err err = TN_ERR_INIT;
    int64_t n;
    struct store_txn *t;
    (void)state;
    assert_int_equal(insert("before", &err), TN_OK);
    faulty_arm(FAULT_WRITE, 1, 1, 13 /* SQLITE_FULL */);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(insert("no", &err), TN_E_REMOTE);
        assert_string_equal(err.state, "53100");
        assert_non_null(strstr(err.msg, "free space"));
        assert_int_equal(list_all(&n, &err), TN_OK);
        assert_int_equal(n, 1);
    }
    faulty_arm(0, 0, 0, 0);
    assert_int_equal(store_begin(h.store, &t, &err), TN_OK);
    assert_int_equal(store_insert(h.store, t, "all", TN_STR("{}"), NULL, &err), TN_OK);
    faulty_arm(FAULT_WRITE, 1, 1, 13);
    assert_int_equal(store_commit(h.store, t, &err), TN_E_REMOTE);
    faulty_arm(0, 0, 0, 0);
    assert_int_equal(insert("yes", &err), TN_OK);
    assert_int_equal(list_all(&n, &err), TN_OK);
    assert_int_equal(n, 2);
}

/* One round of work; counts what was acknowledged. */
static int work(int round, int *ret_in_txn)
{
    tn_err err = TN_ERR_INIT;
    char id[32];
    int acked = 0;
    int64_t n;
    for (int i = 0; i < 3; i++) {
        err = (tn_err)TN_ERR_INIT;
        snprintf(id, sizeof id, "r%d-%d", round, i);
        tn_rc rc = insert(id, &err);
        acked += rc == TN_OK;
        if (rc) {
            assert_clear(rc, &err);
        }
    }
    struct store_txn *t;
    err = (tn_err)TN_ERR_INIT;
    tn_rc rc = store_begin(h.store, &t, &err);
    *ret_in_txn = 0;
    if (rc == TN_OK) {
        for (int i = 0; i < 3 && rc == TN_OK; i++) {
            char row[64];
            snprintf(row, sizeof row, "{\"id\":\"t%d-%d\"}", round, i);
            rc = store_insert(h.store, t, "all", str_of(row), NULL, &err);
        }
        if (rc) {
            store_rollback(h.store, t);
        } else if ((rc = store_commit(h.store, t, &err)) == TN_OK) {
            *ret_in_txn = 3;
        }
    }
    if (rc) {
        assert_clear(rc, &err);
    }
    err = (tn_err)TN_ERR_INIT;
    if ((rc = list_all(&n, &err))) {
        assert_clear(rc, &err);
    }
    return acked;
}

static int64_t number(const char *sql)
{
    const char *text = harness_sql(&h, sql, NULL), *colon = strchr(text, ':');
    return colon ? atoll(colon + 1) : -1;
}

/* Every operation in turn, once and for good: no crash, and what was acknowledged is there. */
static void every_io_error(void **state)
{
    static const struct {
        unsigned kind;
        int forever;
    } modes[] = {{FAULT_WRITE, 0}, {FAULT_WRITE, 1}, {FAULT_SYNC, 0}, {FAULT_TRUNC, 0},
                 {FAULT_OPEN, 0},  {FAULT_READ, 0},  {FAULT_READ, 1}};
    int round = 0;
    (void)state;
    for (size_t m = 0; m < sizeof modes / sizeof modes[0]; m++) {
        for (int at = 1; at < 60; at++) {
            round++;
            int in_txn = 0, acked = 0, open = 1;
            tn_err err = TN_ERR_INIT;
            char sql[200];
            harness_close_store(&h);
            faulty_arm(modes[m].kind, at, modes[m].forever, 0);
            tn_rc rc = harness_try_open(&h, &err);
            if (rc == TN_OK &&
                (rc = store_define(h.store, "test", test_entities, NULL, &err)) == TN_OK) {
                acked = work(round, &in_txn);
            } else {
                assert_clear(rc, &err);
                open = 0;
            }
            int seen = faulty_count();
            faulty_arm(0, 0, 0, 0);
            harness_reopen(&h);
            assert_int_equal(store_define(h.store, "test", test_entities, NULL, &err), TN_OK);
            assert_string_equal(harness_sql(&h, "PRAGMA integrity_check", NULL),
                                "[{\"integrity_check\":\"ok\"}]");
            snprintf(sql, sizeof sql, "SELECT count(*) AS n FROM t_all WHERE id LIKE 'r%d-%%'",
                     round);
            assert_true(number(sql) >= acked);
            snprintf(sql, sizeof sql, "SELECT count(*) AS n FROM t_all WHERE id LIKE 't%d-%%'",
                     round);
            int64_t all = number(sql);
            assert_true(all == 0 || all == 3); /* whole or not at all */
            assert_true(all >= in_txn);
            if (open && seen < at) {
                break; /* the work does not get that far any more */
            }
        }
    }
    assert_true(round > 40);
}

static char *file_path(const char *name)
{
    static char path[300];
    snprintf(path, sizeof path, "%s/%s", h.dir, name);
    return path;
}

/* Uses the database in every way; only the absence of crashes and of nonsense counts. */
static void use_damaged(void)
{
    tn_err err = TN_ERR_INIT;
    int64_t n;
    tn_rc rc = harness_try_open(&h, &err);
    if (rc == TN_OK && (rc = store_define(h.store, "test", test_entities, NULL, &err)) == TN_OK) {
        int in_txn;
        for (int i = 0; i < 2; i++) {
            err = (tn_err)TN_ERR_INIT;
            if ((rc = list_all(&n, &err))) {
                assert_true(strlen(err.msg) > 20);
            }
        }
        err = (tn_err)TN_ERR_INIT;
        rc = insert("new", &err);
        (void)in_txn;
    }
    if (rc) {
        assert_true(strlen(err.msg) > 10);
    }
    harness_close_store(&h);
}

static void damaged_files(void **state)
{
    tn_err err = TN_ERR_INIT;
    char *good;
    size_t n;
    unsigned seed = 11;
    (void)state;
    for (int i = 0; i < 300; i++) {
        char id[16];
        snprintf(id, sizeof id, "id%d", i);
        assert_int_equal(insert(id, &err), TN_OK);
    }
    harness_close_store(&h);
    assert_int_equal(fd_read_file(file_path("config.db"), 64 << 20, &good, &n), 0);
    for (int i = 0; i < 150; i++) { /* one bit */
        size_t at = (seed = seed * 1103515245u + 12345u) / 16 % n;
        good[at] ^= (char)(1 << (i & 7));
        unlink(file_path("config.db-wal"));
        unlink(file_path("config.db-shm"));
        assert_int_equal(fd_write_file(file_path("config.db"), good, n, 0600), 0);
        good[at] ^= (char)(1 << (i & 7));
        use_damaged();
    }
    for (size_t page = 0; page < 8; page++) { /* a page of noise */
        char was[4096];
        memcpy(was, good + page * 4096, 4096);
        for (int i = 0; i < 4096; i++) {
            good[page * 4096 + (size_t)i] = (char)((seed = seed * 1103515245u + 12345u) >> 16);
        }
        unlink(file_path("config.db-wal"));
        assert_int_equal(fd_write_file(file_path("config.db"), good, n, 0600), 0);
        memcpy(good + page * 4096, was, 4096);
        use_damaged();
    }
    for (size_t cut = 1; cut < n; cut += n / 13) {
        unlink(file_path("config.db-wal"));
        assert_int_equal(fd_write_file(file_path("config.db"), good, cut, 0600), 0);
        use_damaged();
    }
    unlink(file_path("config.db-wal"));
    assert_int_equal(fd_write_file(file_path("config.db"),
                                   "this is no database at all, but some text", 41, 0600),
                     0);
    assert_int_equal(harness_try_open(&h, &err), TN_E_REMOTE);
    assert_non_null(strstr(err.msg, "not a SQLite database"));
    assert_string_equal(err.state, "XX001");
    assert_int_equal(fd_write_file(file_path("config.db"), good, n, 0600), 0);
    assert_int_equal(harness_try_open(&h, &err), TN_OK);
    free(good);
}

static void another_process_holds_the_lock(void **state)
{
    struct harness other = h;
    struct store_txn *t;
    tn_err err = TN_ERR_INIT;
    (void)state;
    other.store = NULL;
    assert_int_equal(harness_try_open(&other, &err), TN_OK);
    assert_int_equal(store_define(other.store, "test", test_entities, NULL, &err), TN_OK);
    assert_int_equal(store_begin(other.store, &t, &err), TN_OK);
    assert_int_equal(insert("x", &err), TN_E_UNAVAIL);
    assert_true(err.flags & TN_ERR_RETRY);
    assert_non_null(strstr(err.msg, "another connection holds the lock"));
    store_rollback(other.store, t);
    assert_int_equal(insert("x", &err), TN_OK);
    harness_close_store(&other);
}

/* There is no room for the copy: refused before anything is changed. */
static void an_upgrade_needs_space(void **state)
{
    static const tn_column columns[] = {
        {.name = "id", .type = TN_COL_STR, .flags = TN_COL_NOT_NULL},
        {.name = "more", .type = TN_COL_INT},
        {.name = NULL},
    };
    static const tn_entity more[] = {
        {.name = "shelf", .alias = "shlf", .table = "t_shelf", .columns = columns}, {.name = NULL}};
    char dir[] = "/tmp/tenon-small-XXXXXX";
    tn_err err = TN_ERR_INIT;
    struct harness was = h;
    (void)state;
    assert_non_null(mkdtemp(dir));
    if (mount("tenon", dir, "tmpfs", 0, "size=8m") < 0) {
        print_message("skipped: cannot mount a tmpfs here (%s)\n", strerror(errno));
        rmdir(dir);
        skip();
    }
    harness_open(&h, dir);
    assert_int_equal(store_define(h.store, "test", test_entities, NULL, &err), TN_OK);
    harness_reopen(&h);
    assert_int_equal(store_define(h.store, "test", more, NULL, &err), TN_E_LIMIT);
    assert_non_null(strstr(err.msg, "nothing was changed"));
    assert_string_equal(
        harness_sql(
            &h, "SELECT count(*) AS n FROM pragma_table_info('t_shelf') WHERE name = 'more'", NULL),
        "[{\"n\":0}]");
    assert_int_equal(store_define(h.store, "test", test_entities, NULL, &err), TN_OK);
    harness_close_store(&h);
    assert_int_equal(umount(dir), 0);
    harness_close(&h);
    h = was;
}

/* The real thing: a small file system that is full, and then is not. */
static void a_full_tmpfs(void **state)
{
    char dir[] = "/tmp/tenon-full-XXXXXX", filler[64];
    struct harness small;
    tn_err err = TN_ERR_INIT;
    int64_t n = 0;
    int i = 0;
    (void)state;
    assert_non_null(mkdtemp(dir));
    if (mount("tenon", dir, "tmpfs", 0, "size=4m") < 0) {
        print_message("skipped: cannot mount a tmpfs here (%s)\n", strerror(errno));
        rmdir(dir);
        skip();
    }
    harness_open(&small, dir);
    struct harness was = h;
    h = small;
    assert_int_equal(store_define(h.store, "test", test_entities, NULL, &err), TN_OK);
    snprintf(filler, sizeof filler, "%s/filler", dir);
    char *mega = calloc(1, 1 << 20);
    assert_int_equal(fd_write_file(filler, mega, 1 << 20, 0600), 0);
    free(mega);
    char *row = malloc(40000);
    snprintf(row, 40000, "{\"t\":\"%030000d\"}", 1);
    while (store_insert(h.store, NULL, "all", str_of(row), NULL, &err) == TN_OK && i < 1000) {
        i++;
    }
    assert_true(i > 5 && i < 1000);
    assert_int_equal(err.rc, TN_E_REMOTE);
    assert_string_equal(err.state, "53100");
    assert_int_equal(list_all(&n, &err), TN_OK);
    assert_int_equal(n, i);
    unlink(filler);
    assert_int_equal(store_insert(h.store, NULL, "all", str_of(row), NULL, &err), TN_OK);
    assert_int_equal(list_all(&n, &err), TN_OK);
    assert_int_equal(n, i + 1);
    assert_string_equal(harness_sql(&h, "PRAGMA integrity_check", NULL),
                        "[{\"integrity_check\":\"ok\"}]");
    free(row);
    harness_close_store(&h);
    assert_int_equal(umount(dir), 0);
    harness_close(&h);
    h = was;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_failed_sync_stops_writing),
        TEST(a_full_disk_recovers_by_itself),
        TEST(every_io_error),
        TEST(damaged_files),
        TEST(another_process_holds_the_lock),
        TEST(a_full_tmpfs),
        TEST(an_upgrade_needs_space),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
