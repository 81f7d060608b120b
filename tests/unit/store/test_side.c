/* SPDX-License-Identifier: Apache-2.0 */
/* Files beside the store: group commit, one failing among many, broken and full disks, reading through
 * the store's own readers. */
#include "faulty.h"
#include "harness.h"
#include "kernel/base/fd.h"
#include "kernel/base/str.h"
#include "kernel/store/side.h"
#include "kernel/value/json.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
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
static struct side *d;

static const tn_migration tables[] = {
    {.seq = 1,
     .dialect = "sqlite",
     .title = "first tables",
     .sql =
         "CREATE TABLE side_item (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, pad TEXT)"},
    {.seq = 0},
};

static tn_rc open_side(tn_err *err)
{
    return side_open(h.store, "jobs", 1, tables, &d, err);
}

static int setup(void **state)
{
    tn_err err = TN_ERR_INIT;
    (void)state;
    faulty_arm(0, 0, 0, 0);
    harness_open(&h, NULL);
    faulty_install(h.plug);
    harness_reopen(&h);
    return open_side(&err);
}

static int teardown(void **state)
{
    (void)state;
    faulty_arm(0, 0, 0, 0);
    side_close(d);
    d = NULL;
    harness_close(&h);
    return 0;
}

static void reopen(void)
{
    tn_err err = TN_ERR_INIT;
    side_close(d);
    d = NULL;
    harness_reopen(&h);
    assert_int_equal(open_side(&err), TN_OK);
}

struct item {
    struct side_op op;
    char id[32];
    size_t pad;
    atomic_int rc; /* 1 = not done */
    tn_err err;
};

static tn_rc insert_run(struct side_txn *t, void *user, tn_err *err)
{
    struct item *it = user;
    char *pad = malloc(it->pad + 1);
    memset(pad, 'x', it->pad + 1);
    tn_val v[2] = {{.type = TN_T_STR, .n = (uint32_t)strlen(it->id), .u.s = it->id},
                   {.type = TN_T_STR, .n = (uint32_t)it->pad, .u.s = pad}};
    tn_rc rc = side_exec(t, "INSERT INTO side_item (id, pad) VALUES (?, ?)", v, 2, NULL, err);
    free(pad);
    return rc;
}

static void insert_done(void *user, tn_rc rc, const tn_err *err)
{
    struct item *it = user;
    if (err) {
        it->err = *err;
    }
    atomic_store(&it->rc, rc);
}

static tn_rc insert(const char *id, size_t pad, tn_err *err)
{
    struct item it = {.pad = pad};
    snprintf(it.id, sizeof it.id, "%s", id);
    return side_run(d, insert_run, &it, err);
}

static int64_t count(const char *sql)
{
    struct buf text = BUF_INIT(0);
    struct json_sink sink;
    tn_err err = TN_ERR_INIT;
    json_sink_init(&sink, &text);
    if (side_read(d, sql, NULL, 0, &sink.sink, &err) != TN_OK) {
        fail_msg("%s: %s", sql, err.msg);
    }
    const char *colon = strchr(text.data, ':');
    int64_t n = colon ? atoll(colon + 1) : -1;
    buf_finish(&text);
    return n;
}

#define COUNT "SELECT count(*) AS n FROM side_item"

static void many_share_a_sync(void **state)
{
    enum { N = 2000 };
    static struct item items[N];
    struct side_stats st;
    tn_err err = TN_ERR_INIT;
    (void)state;
    for (int i = 0; i < N; i++) {
        items[i] = (struct item){.op = {.run = insert_run, .done = insert_done, .user = &items[i]},
                                 .rc = 1};
        snprintf(items[i].id, sizeof items[i].id, "i%d",
                 i % 10 == 9 ? i - 1 : i); /* a tenth collides */
        assert_int_equal(side_submit(d, &items[i].op, &err), TN_OK);
    }
    assert_int_equal(insert("last", 10, &err), TN_OK); /* in order: all others are done */
    for (int i = 0; i < N; i++) {
        assert_int_equal(items[i].rc, i % 10 == 9 ? TN_E_CONFLICT : TN_OK);
    }
    assert_int_equal(count(COUNT), N * 9 / 10 + 1);
    side_stats(d, &st);
    assert_int_equal(st.ops, N + 1);
    assert_int_equal(st.pending, 0);
    assert_true(st.commits < N / 4);
    assert_true(st.bytes > 0);
}

static tn_rc half_run(struct side_txn *t, void *user, tn_err *err)
{
    (void)user;
    tn_rc rc = side_exec(t, "INSERT INTO side_item (id) VALUES ('half')", NULL, 0, NULL, err);
    return rc ? rc : side_exec(t, "INSERT INTO nowhere VALUES (1)", NULL, 0, NULL, err);
}

static void a_failing_one_is_undone_alone(void **state)
{
    tn_err err = TN_ERR_INIT;
    (void)state;
    assert_int_equal(side_run(d, half_run, NULL, &err), TN_E_REMOTE);
    assert_non_null(strstr(err.msg, "nowhere"));
    assert_int_equal(count(COUNT), 0);
    assert_int_equal(insert("a", 0, &err), TN_OK);
    assert_int_equal(count(COUNT), 1);
}

static void readers_of_the_store_see_it(void **state)
{
    tn_err err = TN_ERR_INIT;
    (void)state;
    assert_int_equal(insert("seen", 3, &err), TN_OK);
    assert_string_equal(harness_sql(&h, "SELECT id, pad FROM side_item", NULL),
                        "[{\"id\":\"seen\",\"pad\":\"xxx\"}]");
    /* Free SQL reaches no other file. */
    struct buf rows = BUF_INIT(0);
    assert_int_equal(
        store_sql(h.store, NULL, "ATTACH 'x.db' AS x", TN_STR("[]"), &rows, NULL, &err),
        TN_E_DENIED);
    buf_finish(&rows);
}

static void a_failed_sync_stops_writing(void **state)
{
    tn_err err = TN_ERR_INIT;
    struct item it = {.op = {.run = insert_run, .done = insert_done, .user = &it}};
    struct side_stats st;
    (void)state;
    assert_int_equal(insert("before", 0, &err), TN_OK);
    assert_int_equal(count(COUNT), 1); /* opens a reader: that syncs as well */
    faulty_arm(FAULT_SYNC, 1, 1, 0);
    assert_int_equal(insert("lost", 0, &err), TN_E_REMOTE);
    assert_non_null(strstr(err.msg, "may not be on the disk"));
    assert_int_equal(side_submit(d, &it.op, &err), TN_E_UNAVAIL);
    assert_non_null(strstr(err.msg, "takes no changes"));
    assert_int_equal(count(COUNT), 1); /* reading goes on */
    faulty_arm(0, 0, 0, 0);
    tn_rc rc = TN_E_UNAVAIL; /* nobody submits anything: the writer looks after it by itself */
    for (int i = 0; i < 250 && rc != TN_OK; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
        rc = insert("after", 0, &err);
    }
    assert_int_equal(rc, TN_OK);
    side_stats(d, &st);
    assert_int_equal(st.pending, 0);
    assert_int_equal(count(COUNT), 2);
    reopen(); /* what was in doubt did not happen */
    assert_int_equal(count(COUNT), 2);
}

static void a_full_disk_recovers_by_itself(void **state)
{
    tn_err err = TN_ERR_INIT;
    (void)state;
    assert_int_equal(insert("before", 0, &err), TN_OK);
    faulty_arm(FAULT_WRITE, 1, 1, 13 /* SQLITE_FULL */);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(insert("no", 0, &err), TN_E_REMOTE);
        assert_string_equal(err.state, "53100");
        assert_non_null(strstr(err.msg, "free space"));
    }
    faulty_arm(0, 0, 0, 0);
    assert_int_equal(insert("yes", 0, &err), TN_OK);
    assert_int_equal(count(COUNT), 2);
}

/* Every operation in turn, once and for good: what was acknowledged is there, the file is whole. */
static void every_io_error(void **state)
{
    static const struct {
        unsigned kind;
        int forever;
    } modes[] = {{FAULT_WRITE, 0}, {FAULT_WRITE, 1}, {FAULT_SYNC, 0},
                 {FAULT_OPEN, 0},  {FAULT_READ, 0},  {FAULT_TRUNC, 0}};
    int round = 0;
    (void)state;
    for (size_t m = 0; m < sizeof modes / sizeof modes[0]; m++) {
        for (int at = 1; at < 80; at++) {
            tn_err err = TN_ERR_INIT;
            char sql[128], id[32];
            int acked = 0;
            round++;
            side_close(d);
            d = NULL;
            harness_reopen(&h);
            faulty_arm(modes[m].kind, at, modes[m].forever, 0);
            tn_rc rc = open_side(&err);
            for (int i = 0; i < 3 && rc == TN_OK; i++) {
                snprintf(id, sizeof id, "r%d-%d", round, i);
                acked += insert(id, 5000, &err) == TN_OK;
            }
            if (acked < 3 && strlen(err.msg) < 20) {
                fail_msg("%d: %s", rc, err.msg);
            }
            int seen = faulty_count();
            faulty_arm(0, 0, 0, 0);
            reopen();
            snprintf(sql, sizeof sql, COUNT " WHERE id LIKE 'r%d-%%'", round);
            assert_true(count(sql) >= acked);
            assert_int_equal(count("SELECT count(*) AS n FROM pragma_integrity_check WHERE "
                                   "integrity_check <> 'ok'"),
                             0);
            if (acked == 3 && seen < at) {
                break;
            }
        }
    }
    assert_true(round > 30);
}

static void a_full_file_system(void **state)
{
    tn_err err = TN_ERR_INIT;
    char id[32];
    int acked = 0;
    (void)state;
    side_close(d);
    d = NULL;
    harness_close_store(&h);
    if (mount("tenon", h.dir, "tmpfs", MS_NOSUID | MS_NODEV, "size=4m,mode=700") != 0) {
        assert_int_equal(errno, EPERM);
        harness_reopen(&h);
        assert_int_equal(open_side(&err), TN_OK);
        skip(); /* needs root */
    }
    harness_reopen(&h);
    assert_int_equal(open_side(&err), TN_OK);
    tn_rc rc = TN_OK;
    while (rc == TN_OK && acked < 1000) {
        snprintf(id, sizeof id, "f%d", acked);
        rc = insert(id, 20000, &err);
        acked += rc == TN_OK;
    }
    assert_int_equal(rc, TN_E_REMOTE);
    assert_string_equal(err.state, "53100");
    assert_int_equal(count(COUNT), acked);
    assert_int_equal(mount("tenon", h.dir, "tmpfs", MS_REMOUNT, "size=8m"), 0);
    assert_int_equal(insert("room", 20000, &err), TN_OK);
    assert_int_equal(count(COUNT), acked + 1);
    side_close(d);
    d = NULL;
    harness_close_store(&h);
    assert_int_equal(umount(h.dir), 0);
    harness_reopen(&h);
    assert_int_equal(open_side(&err), TN_OK);
}

static tn_rc delete_run(struct side_txn *t, void *user, tn_err *err)
{
    (void)user;
    tn_rc rc = side_exec(t, "DELETE FROM side_item", NULL, 0, NULL, err);
    return rc ? rc : side_exec(t, "PRAGMA incremental_vacuum", NULL, 0, NULL, err);
}

static void the_file_shrinks(void **state)
{
    tn_err err = TN_ERR_INIT;
    char id[32];
    (void)state;
    for (int i = 0; i < 50; i++) {
        snprintf(id, sizeof id, "s%d", i);
        assert_int_equal(insert(id, 100000, &err), TN_OK);
    }
    int64_t before = count("SELECT page_count AS n FROM pragma_page_count");
    assert_int_equal(side_run(d, delete_run, NULL, &err), TN_OK);
    assert_true(before > 1000);
    assert_true(count("SELECT page_count AS n FROM pragma_page_count") < before / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(many_share_a_sync, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failing_one_is_undone_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(readers_of_the_store_see_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_sync_stops_writing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_recovers_by_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(every_io_error, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_file_system, setup, teardown),
        cmocka_unit_test_setup_teardown(the_file_shrinks, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
