/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite connector by itself, through the plugin contract only. */
#include "kernel/base/clock.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"
#include "kernel/plug/plug_int.h"
#include "kernel/value/record.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static struct plug *plug;
static const tn_connector_ops *ops;
static struct plug_inst inst;
static void *conn;
static char dir[64], db[200];
static tn_err err;
static struct buf text;

static void attach(struct plug_inst *ret, const char *key, const char *value)
{
    struct conf c;
    struct conf_problems p;
    memset(&p, 0, sizeof p);
    conf_init(&c);
    conf_set(&c, "c.path", db, "test");
    conf_set(&c, "c.busy_timeout", "200ms", "test");
    if (key) {
        conf_set(&c, key, value, "test");
    }
    if (plug_attach(plug, &c, "c.", ret, &p, &err) != TN_OK) {
        fail_msg("attach: %s %s", err.msg, p.text.data ? p.text.data : "");
    }
    buf_finish(&p.text);
    conf_finish(&c);
}

static int setup(void **state)
{
    char exe[PATH_MAX], path[PATH_MAX + 64];
    const char *given = getenv("TENON_TEST_PLUGINS");
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    (void)state;
    exe[n > 0 ? n : 0] = '\0';
    for (int up = 0; up < 4 && strrchr(exe, '/'); up++) {
        *strrchr(exe, '/') = '\0';
    }
    snprintf(path, sizeof path, given ? "%s/connector_sqlite.so" : "%s/plugins/connector_sqlite.so",
             given ? given : exe);
    log_open("test", 0, -1);
    err = (tn_err)TN_ERR_INIT;
    if (!plug && plug_open_file(path, NULL, NULL, &plug, &err) != TN_OK) {
        fail_msg("%s: %s", path, err.msg);
    }
    ops = plug->ops;
    snprintf(dir, sizeof dir, "/tmp/tenon-sqlite-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(db, sizeof db, "%s/a.db", dir);
    attach(&inst, NULL, NULL);
    return ops->open(inst.inst, 0, &conn, &err);
}

static int teardown(void **state)
{
    char command[128];
    (void)state;
    ops->close(inst.inst, conn, TN_CLOSE_NORMAL);
    plug_detach(&inst);
    buf_finish(&text);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static int last_teardown(void **state)
{
    (void)state;
    free(plug->path);
    free((void *)(uintptr_t)plug->ops);
    free(plug);
    return 0;
}

static uint32_t method(const char *name)
{
    for (const tn_method *m = ops->methods; m->name; m++) {
        if (strcmp(m->name, name) == 0) {
            return m->id;
        }
    }
    fail_msg("no method %s", name);
    return 0;
}

static tn_val str_val(const char *s)
{
    return (tn_val){.type = TN_T_STR, .n = (uint32_t)strlen(s), .u.s = s};
}

/* The record of one call, or "rc N". */
static const char *call_on(void *on, const char *name, const char *arg, const tn_val *params,
                           uint32_t n, uint64_t deadline_ns)
{
    tn_val pos[2] = {str_val(arg ? arg : ""), {.type = TN_T_LIST, .n = n, .u.list = params}};
    tn_args args = {.pos = pos, .npos = arg ? (params ? 2u : 1u) : 0u};
    tn_result r;
    struct record_sink sink;
    buf_clear(&text);
    err = (tn_err)TN_ERR_INIT;
    tn_rc rc = ops->invoke(inst.inst, on, method(name), &args, deadline_ns, &r, &err);
    if (rc == TN_OK) {
        record_sink_init(&sink, &text);
        rc = ops->emit(inst.inst, &r, &sink.sink, &err);
        ops->result_free(inst.inst, &r);
    }
    if (rc) {
        assert_int_equal(err.rc, rc);
        assert_true(err.msg[0] != '\0');
        buf_printf(&text, "rc %d", rc);
    }
    return text.data ? text.data : "";
}

static const char *call(const char *name, const char *sql)
{
    return call_on(conn, name, sql, NULL, 0, 0);
}

static void types_come_out(void **state)
{
    (void)state;
    assert_string_equal(
        call(
            "query",
            "SELECT 1 AS i, 2.5 AS f, 'h\xc3\xa9' AS s, x'00ff' AS b, NULL AS n, '' AS e, x'' AS eb, "
            "-9223372036854775808 AS min"),
        "table i:INT f:FLOAT s:STR b:BYTES n:NULL e:STR eb:BYTES min:INT\n"
        "row 1 2.5 \"h\xc3\xa9\" bytes:00ff null \"\" bytes: -9223372036854775808\ntable_end -1\n");
    assert_string_equal(call("query", "SELECT 1 AS a, 'x' AS a UNION ALL SELECT 2.5, NULL"),
                        "table a:NULL a:STR\nrow 1 \"x\"\nrow 2.5 null\ntable_end -1\n");
    assert_string_equal(call("query", "SELECT 1 AS a WHERE 0"), "table a:NULL\ntable_end -1\n");
    assert_string_equal(call("query", "SELECT CAST(x'ff61' AS TEXT) AS bad"),
                        "table bad:BYTES\nrow bytes:ff61\ntable_end -1\n");
    assert_string_equal(call("query", "SELECT 'a' || char(0) || 'b' AS nul"),
                        "table nul:STR\nrow \"a\\u0000b\"\ntable_end -1\n");
}

static void values_go_in_bound(void **state)
{
    static const uint8_t bytes[] = {0, 0xff};
    const tn_val v[] = {
        {.type = TN_T_NULL},
        {.type = TN_T_BOOL, .u.i = 1},
        {.type = TN_T_INT, .u.i = INT64_MIN},
        {.type = TN_T_FLOAT, .u.f = 0.1},
        {.type = TN_T_STR, .n = 4, .u.s = "'; --"},
        {.type = TN_T_BYTES, .n = 2, .u.b = bytes},
        {.type = TN_T_DECIMAL, .n = 5, .u.s = "12.50"},
        {.type = TN_T_TIME, .u.i = 1767225600123456},
        {.type = TN_T_TIME, .flags = TN_V_NAIVE, .u.i = -1},
        {.type = TN_T_DATE, .u.i = 19000},
    };
    (void)state;
    assert_string_equal(
        call_on(
            conn, "query",
            "SELECT ? AS a, ? AS b, ? AS c, ? AS d, ? AS e, ? AS f, ? AS g, ? AS h, ? AS i, ? AS j",
            v, 10, 0),
        "table a:NULL b:INT c:INT d:FLOAT e:STR f:BYTES g:STR h:STR i:STR j:STR\n"
        "row null 1 -9223372036854775808 0.10000000000000001 \"'; -\" bytes:00ff \"12.50\" "
        "\"2026-01-01 00:00:00.123456+00:00\" \"1969-12-31 23:59:59.999999\" \"2022-01-08\"\ntable_end -1\n");
    const tn_val list = {.type = TN_T_LIST, .n = 0};
    assert_string_equal(call_on(conn, "query", "SELECT ? AS a", &list, 1, 0),
                        "table a:NULL\nrow null\ntable_end -1\n");
    assert_string_equal(call_on(conn, "query", "SELECT ?, ?", v, 1, 0), "rc -2");
    assert_non_null(strstr(err.msg, "has 2 parameters, 1 were given"));
    assert_string_equal(call_on(conn, "query", "SELECT 1", v, 1, 0), "rc -2");
    assert_string_equal(call("query", "SELECT ?"), "rc -2");
    /* By name; a scalar is a list of one. */
    const tn_pair pairs[] = {
        {{.type = TN_T_STR, .n = 1, .u.s = "b"}, {.type = TN_T_INT, .u.i = 2}},
        {{.type = TN_T_STR, .n = 1, .u.s = "a"}, {.type = TN_T_INT, .u.i = 1}}};
    const tn_pair kw[] = {
        {{.type = TN_T_STR, .n = 3, .u.s = "sql"}, str_val("SELECT :a AS a, @b AS b")},
        {{.type = TN_T_STR, .n = 6, .u.s = "params"}, {.type = TN_T_MAP, .n = 2, .u.map = pairs}}};
    tn_args args = {.nkw = 2, .kw = kw};
    tn_result r;
    struct record_sink sink;
    buf_clear(&text);
    assert_int_equal(ops->invoke(inst.inst, conn, method("query"), &args, 0, &r, &err), TN_OK);
    record_sink_init(&sink, &text);
    assert_int_equal(ops->emit(inst.inst, &r, &sink.sink, &err), TN_OK);
    assert_string_equal(text.data, "table a:INT b:INT\nrow 1 2\ntable_end -1\n");
    /* The sink's refusal is what emit returns, at whatever call it happens. */
    for (uint32_t at = 1; at <= 3; at++) {
        record_sink_init(&sink, &text);
        sink.fail_at = at;
        sink.fail_rc = TN_E_LIMIT;
        assert_int_equal(ops->emit(inst.inst, &r, &sink.sink, &err), TN_E_LIMIT);
        assert_int_equal(sink.calls, at);
    }
    ops->result_free(inst.inst, &r);
}

static void changes_and_scripts(void **state)
{
    (void)state;
    assert_string_equal(call("script",
                             "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE, b); -- c\n"
                             "INSERT INTO t VALUES (1, 'x', 1), (2, 'y', 2);;"),
                        "scalar 2\n");
    assert_string_equal(call("non_query", "UPDATE t SET b = 5"), "scalar 2\n");
    assert_string_equal(call("non_query", "CREATE TABLE u (x)"), "scalar 0\n");
    assert_string_equal(call("non_query", "DELETE FROM t WHERE id = 9"), "scalar 0\n");
    assert_string_equal(call("query", "DELETE FROM t WHERE id = 2"), "table\ntable_end 1\n");
    assert_string_equal(call("query", "INSERT INTO t VALUES (3, 'z', 3) RETURNING id"),
                        "table id:INT\nrow 3\ntable_end -1\n");
    assert_string_equal(call("query", "SELECT 1; SELECT 2"), "rc -2");
    assert_string_equal(call("query", "SELECT 1; nonsense"), "rc -2");
    assert_string_equal(call("query", "SELECT 1 AS a; -- only a comment\n /* and another */ ;"),
                        "table a:INT\nrow 1\ntable_end -1\n");
    assert_string_equal(call("query", ""), "rc -2");
    assert_string_equal(call("query", " -- nothing"), "rc -2");
    assert_string_equal(call("script", "CREATE TABLE v (x); SELECT nope; CREATE TABLE w (x)"),
                        "rc -9");
    assert_non_null(strstr(err.msg, "statement 2 of the script"));
    assert_string_equal(call("query", "SELECT count(*) AS n FROM sqlite_schema WHERE name = 'w'"),
                        "table n:INT\nrow 0\ntable_end -1\n");
    /* A table that changes under a cached statement. */
    assert_string_equal(call("query", "SELECT * FROM u"), "table x:NULL\ntable_end -1\n");
    assert_string_equal(call("non_query", "ALTER TABLE u ADD COLUMN y"), "scalar 0\n");
    assert_string_equal(call("query", "SELECT * FROM u"), "table x:NULL y:NULL\ntable_end -1\n");
    for (int i = 0; i < 200; i++) { /* more statements than the cache holds */
        char sql[64], want[64];
        snprintf(sql, sizeof sql, "SELECT %d AS a", i % 90);
        snprintf(want, sizeof want, "table a:INT\nrow %d\ntable_end -1\n", i % 90);
        assert_string_equal(call("query", sql), want);
    }
}

static void errors_are_told_apart(void **state)
{
    static const struct {
        const char *sql;
        tn_rc rc;
        const char *state, *msg;
    } cases[] = {
        {"INSERT INTO t VALUES (1, 'q', 0)", TN_E_CONFLICT, "id", "UNIQUE"},
        {"INSERT INTO t VALUES (7, 'x', 0)", TN_E_CONFLICT, "a", "t.a"},
        {"INSERT INTO two VALUES (1, 2)", TN_E_CONFLICT, "a,b", ""},
        {"INSERT INTO wide VALUES (1)", TN_E_CONFLICT, "", "averylongname"},
        {"INSERT INTO two VALUES (NULL, 2)", TN_E_REMOTE, "", "NOT NULL"},
        {"SELEC 1", TN_E_REMOTE, "", "syntax"},
        {"SELECT \"nocolumn\" FROM t", TN_E_REMOTE, "", "nocolumn"}, /* never taken for a text */
        {"SELECT * FROM missing", TN_E_REMOTE, "", "missing"},
        {"ATTACH '/tmp/x.db' AS x", TN_E_DENIED, "", "switched off"},
        {"ATTACH ? || 'x' AS x", TN_E_DENIED, "", ""},
        {"VACUUM INTO '/tmp/x.db'", TN_E_DENIED, "", ""},
        {"PRAGMA synchronous = OFF", TN_E_DENIED, "", ""},
        {"PRAGMA writable_schema = 1", TN_E_DENIED, "", ""},
        {"PRAGMA temp_store_directory = '/tmp'", TN_E_DENIED, "", ""},
        {"SELECT load_extension('x')", TN_E_REMOTE, "", ""},
        {"UPDATE sqlite_schema SET sql = ''", TN_E_REMOTE, "", ""},
        {"SELECT zeroblob(600000000)", TN_E_LIMIT, "", ""},
    };
    (void)state;
    call(
        "script",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE, b); INSERT INTO t VALUES (1, 'x', 1);"
        "CREATE TABLE two (a NOT NULL, b, UNIQUE (a, b)); INSERT INTO two VALUES (1, 2);"
        "CREATE TABLE wide (averylongname UNIQUE); INSERT INTO wide VALUES (1);");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char want[16];
        snprintf(want, sizeof want, "rc %d", cases[i].rc);
        const char *got = call("query", cases[i].sql);
        if (strcmp(got, want) != 0 || strcmp(err.state, cases[i].state) != 0 ||
            !strstr(err.msg, cases[i].msg)) {
            fail_msg("%s: %s [%s] %s", cases[i].sql, got, err.state, err.msg);
        }
        assert_true(err.native != 0 || cases[i].rc == TN_E_INVAL);
    }
    assert_string_equal(call("query", "PRAGMA synchronous"),
                        "table synchronous:INT\nrow 2\ntable_end -1\n");
    assert_string_equal(call("non_query", "VACUUM"), "scalar 0\n");
    assert_int_equal(access("/tmp/x.db", F_OK), -1);
}

static const char endless[] =
    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n";

static void deadlines_hold(void **state)
{
    (void)state;
    uint64_t start = clock_mono_ns();
    assert_string_equal(call_on(conn, "query", endless, NULL, 0, start + 50 * NS_PER_MS), "rc -6");
    assert_true(clock_mono_ns() - start < 2 * NS_PER_S);
    assert_string_equal(call_on(conn, "query", "SELECT 1", NULL, 0, start), "rc -6");
    assert_string_equal(call("query", "SELECT 1 AS a"), "table a:INT\nrow 1\ntable_end -1\n");
}

static void *cancel_soon(void *user)
{
    struct timespec t = {0, 30000000};
    (void)user;
    nanosleep(&t, NULL);
    ops->cancel(inst.inst, conn);
    return NULL;
}

static void cancel_works(void **state)
{
    pthread_t t;
    (void)state;
    pthread_create(&t, NULL, cancel_soon, NULL);
    assert_string_equal(call("query", endless), "rc -7");
    pthread_join(t, NULL);
    ops->cancel(inst.inst, conn); /* too late for the last, must not hit the next */
    assert_string_equal(call("query", "SELECT 1 AS a"), "table a:INT\nrow 1\ntable_end -1\n");
}

static void locks_are_waited_for_and_reported(void **state)
{
    void *other;
    (void)state;
    assert_int_equal(ops->open(inst.inst, 0, &other, &err), TN_OK);
    assert_string_equal(call("script", "CREATE TABLE t (x)"), "scalar 0\n");
    assert_string_equal(call("begin", NULL), "scalar null\n");
    assert_string_equal(call("non_query", "INSERT INTO t VALUES (1)"), "scalar 1\n");
    uint64_t start = clock_mono_ns();
    assert_string_equal(call_on(other, "non_query", "INSERT INTO t VALUES (2)", NULL, 0, 0),
                        "rc -8");
    assert_true(err.flags & TN_ERR_RETRY);
    assert_true(clock_mono_ns() - start > 150 * NS_PER_MS);
    start = clock_mono_ns(); /* the deadline is nearer than busy_timeout */
    assert_string_equal(call_on(other, "begin", NULL, NULL, 0, start + 20 * NS_PER_MS), "rc -6");
    assert_string_equal(err.state, "55P03");
    assert_true(clock_mono_ns() - start < 150 * NS_PER_MS);
    assert_string_equal(call_on(other, "query", "SELECT count(*) AS n FROM t", NULL, 0, 0),
                        "table n:INT\nrow 0\ntable_end -1\n");
    assert_string_equal(call("commit", NULL), "scalar null\n");
    assert_string_equal(call_on(other, "non_query", "INSERT INTO t VALUES (2)", NULL, 0, 0),
                        "scalar 1\n");
    assert_string_equal(call("rollback", NULL), "scalar null\n"); /* nothing to roll back */
    ops->close(inst.inst, other, TN_CLOSE_NORMAL);
}

static void reset_leaves_no_trace(void **state)
{
    (void)state;
    call("script", "CREATE TABLE t (x)");
    call("begin", NULL);
    call("non_query", "INSERT INTO t VALUES (1)");
    call("non_query", "CREATE TEMP TABLE secret AS SELECT 1 AS x");
    assert_int_equal(ops->reset(inst.inst, conn, &err), TN_OK);
    assert_string_equal(call("query", "SELECT count(*) AS n FROM t"),
                        "table n:INT\nrow 0\ntable_end -1\n");
    assert_string_equal(call("query", "SELECT * FROM secret"), "rc -9");
    call("non_query", "CREATE TEMP TABLE secret AS SELECT 1 AS x"); /* outside a transaction too */
    assert_int_equal(ops->reset(inst.inst, conn, &err), TN_OK);
    assert_string_equal(call("query", "SELECT * FROM secret"), "rc -9");
    assert_string_equal(call("non_query", "ATTACH '' AS hidden"), "rc -5"); /* it would stay */
    assert_string_equal(call("script", "ATTACH '' AS hidden"), "rc -5");
    assert_string_equal(call("non_query", "VACUUM"), "scalar 0\n");
    call("non_query", "INSERT INTO t VALUES (1)");
    assert_int_equal(ops->reset(inst.inst, conn, &err), TN_OK);
    assert_string_equal(call("query", "SELECT last_insert_rowid() AS id"),
                        "table id:INT\nrow 0\ntable_end -1\n");
    assert_string_equal(call("begin", NULL), "scalar null\n");
    assert_int_equal(ops->check(inst.inst, conn, 0, &err), TN_OK);
}

static void backups_are_whole(void **state)
{
    char to[128], part[140];
    struct stat st;
    (void)state;
    snprintf(to, sizeof to, "%s/copy.db", dir);
    snprintf(part, sizeof part, "%s.part", to);
    call(
        "script",
        "CREATE TABLE t (x); INSERT INTO t SELECT randomblob(1000) FROM (WITH RECURSIVE n(x) AS (SELECT 1 "
        "UNION ALL SELECT x + 1 FROM n LIMIT 2000) SELECT x FROM n);");
    assert_memory_equal(call("backup", to), "scalar ", 7);
    assert_int_equal(stat(to, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_true(st.st_size > 2000000);
    assert_int_equal(access(part, F_OK), -1);
    assert_string_equal(call("backup", to), "rc -13"); /* never overwrites */
    assert_string_equal(call("backup", ""), "rc -2");
    assert_string_equal(call("backup", "/nonexistent/x.db"), "rc -8");
    char was[200];
    snprintf(was, sizeof was, "%s", db);
    snprintf(db, sizeof db, "%s", to);
    struct plug_inst copy;
    void *c;
    attach(&copy, "c.readonly", "true");
    assert_int_equal(ops->open(copy.inst, 0, &c, &err), TN_OK);
    assert_string_equal(
        call_on(c, "query", "SELECT count(*) AS n, sum(length(x)) AS b FROM t", NULL, 0, 0),
        "table n:INT b:INT\nrow 2000 2000000\ntable_end -1\n");
    assert_string_equal(call_on(c, "non_query", "DELETE FROM t", NULL, 0, 0), "rc -5");
    ops->close(copy.inst, c, TN_CLOSE_NORMAL);
    plug_detach(&copy);
    snprintf(db, sizeof db, "%s", was);
}

static void limits_and_settings(void **state)
{
    static const struct {
        const char *key, *value;
    } refused[] = {
        {"c.synchronous", "off"}, {"c.journal", "memory"}, {"c.nope", "1"}, {"c.max_result", "1"}};
    struct plug_inst small;
    void *c;
    (void)state;
    attach(&small, "c.max_result", "65536");
    assert_int_equal(ops->open(small.inst, 0, &c, &err), TN_OK);
    assert_string_equal(
        call_on(c, "query", "SELECT zeroblob(60000) AS b", NULL, 0, 0)[0] == 't' ? "" : "x", "");
    assert_string_equal(call_on(c, "query", "SELECT zeroblob(66000) AS b", NULL, 0, 0), "rc -10");
    assert_non_null(strstr(err.msg, "max_result"));
    assert_string_equal(call_on(c, "query", endless, NULL, 0, clock_mono_ns() + 20 * NS_PER_MS),
                        "rc -6");
    ops->close(small.inst, c, TN_CLOSE_NORMAL);
    plug_detach(&small);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct conf conf;
        struct conf_problems p;
        memset(&p, 0, sizeof p);
        conf_init(&conf);
        conf_set(&conf, "c.path", db, "test");
        conf_set(&conf, refused[i].key, refused[i].value, "test");
        assert_int_not_equal(plug_attach(plug, &conf, "c.", &small, &p, &err), TN_OK);
        buf_finish(&p.text);
        conf_finish(&conf);
    }
    char was[200];
    snprintf(was, sizeof was, "%s", db);
    snprintf(db, sizeof db, "/nonexistent/folder/x.db");
    attach(&small, NULL, NULL);
    assert_int_equal(ops->open(small.inst, 0, &c, &err), TN_E_UNAVAIL);
    assert_non_null(strstr(err.msg, "/nonexistent/folder/x.db"));
    assert_non_null(strstr(err.msg, "folder exists"));
    plug_detach(&small);
    snprintf(db, sizeof db, "%s", was);
}

static void streams_come_in_pieces(void **state)
{
    char text_[] = "two";
    tn_val list[] = {{.type = TN_T_INT, .u.i = 3}, {.type = TN_T_STR, .n = 3, .u.s = text_}};
    tn_val size = {.type = TN_T_INT, .u.i = 2};
    tn_args two = {.pos = &size, .npos = 1};
    const char *sql =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ?) SELECT i, ? "
        "AS t FROM n";
    (void)state;
    assert_string_equal(call_on(conn, "stream_start", sql, list, 2, 0), "scalar null\n");
    memset(text_, 'x', sizeof text_ - 1); /* what was given is gone by now */
    assert_string_equal(call("query", "SELECT 1"), "rc -2");
    assert_non_null(strstr(err.msg, "stream is open"));
    for (int i = 0; i < 3; i++) {
        static const char *const want[] = {
            "table i:INT t:STR\nrow 1 \"two\"\nrow 2 \"two\"\ntable_end -1\n",
            "table i:INT t:STR\nrow 3 \"two\"\ntable_end -1\n", "table\ntable_end -1\n"};
        tn_result r;
        struct record_sink sink;
        buf_clear(&text);
        assert_int_equal(ops->invoke(inst.inst, conn, method("stream_next"), &two, 0, &r, &err),
                         TN_OK);
        record_sink_init(&sink, &text);
        assert_int_equal(ops->emit(inst.inst, &r, &sink.sink, &err), TN_OK);
        ops->result_free(inst.inst, &r);
        assert_string_equal(text.data, want[i]);
    }
    call("stream_start", endless);
    assert_int_equal(ops->reset(inst.inst, conn, &err), TN_OK); /* a call forgot it */
    assert_string_equal(call("query", "SELECT 1 AS a"), "table a:INT\nrow 1\ntable_end -1\n");
    call("stream_start", endless); /* and close() ends it, too */
}

static void lists_dicts_and_names(void **state)
{
    const tn_val ids[] = {{.type = TN_T_INT, .u.i = 1}, {.type = TN_T_INT, .u.i = 3}};
    const tn_pair set[] = {
        {{.type = TN_T_STR, .n = 3, .u.s = "a\"b"}, {.type = TN_T_STR, .n = 1, .u.s = "'"}}};
    const tn_val in[] = {{.type = TN_T_STR, .n = 1, .u.s = "t"},
                         {.type = TN_T_LIST, .n = 2, .u.list = ids}};
    const tn_val change[] = {{.type = TN_T_MAP, .n = 1, .u.map = set}};
    const tn_val both[] = {ids[0], ids[1]};
    (void)state;
    call("script",
         "CREATE TABLE t (n, \"a\"\"b\"); INSERT INTO t VALUES (1, 'x'), (2, 'y'), (3, 'z')");
    assert_string_equal(call_on(conn, "query", "SELECT n FROM ?? WHERE n IN (?)", in, 2, 0),
                        "table n:INT\nrow 1\nrow 3\ntable_end -1\n");
    assert_string_equal(call_on(conn, "non_query", "UPDATE t SET ?", change, 1, 0), "scalar 3\n");
    assert_string_equal(call("query", "SELECT DISTINCT \"a\"\"b\" AS v, '?\?' AS q FROM t"),
                        "table v:STR q:STR\nrow \"'\" \"??\"\ntable_end -1\n");
    assert_string_equal(call_on(conn, "query", "SELECT '?\?' AS q, ? + ? AS s", both, 2, 0),
                        "table q:STR s:INT\nrow \"??\" 4\ntable_end -1\n");
    assert_string_equal(
        call_on(conn, "query", "SELECT n FROM ?? WHERE n IN (?) AND n = ?", in, 2, 0), "rc -2");
}

static void files_are_private(void **state)
{
    static const char *const names[] = {"", "-wal", "-shm"};
    struct stat st;
    (void)state;
    call("script", "CREATE TABLE t (x)");
    for (size_t i = 0; i < 3; i++) {
        char path[240];
        snprintf(path, sizeof path, "%s%s", db, names[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
    }
}

static void wrong_arguments(void **state)
{
    tn_val number = {.type = TN_T_INT};
    tn_args none = {0}, args = {.pos = &number, .npos = 1};
    tn_result r;
    (void)state;
    for (const tn_method *m = ops->methods; m->name; m++) {
        if (m->args[0] && strcmp(m->name, "stream_next") != 0) { /* which needs none */
            assert_int_equal(ops->invoke(inst.inst, conn, m->id, &none, 0, &r, &err), TN_E_INVAL);
            assert_int_equal(ops->invoke(inst.inst, conn, m->id, &args, 0, &r, &err), TN_E_INVAL);
        }
    }
    assert_int_equal(ops->invoke(inst.inst, conn, 999, &none, 0, &r, &err), TN_E_UNSUPP);
    assert_int_equal(ops->invoke(inst.inst, conn, 0, &none, 0, &r, NULL), TN_E_INVAL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(types_come_out),
        TEST(values_go_in_bound),
        TEST(changes_and_scripts),
        TEST(errors_are_told_apart),
        TEST(deadlines_hold),
        TEST(cancel_works),
        TEST(locks_are_waited_for_and_reported),
        TEST(reset_leaves_no_trace),
        TEST(backups_are_whole),
        TEST(limits_and_settings),
        TEST(streams_come_in_pieces),
        TEST(lists_dicts_and_names),
        TEST(files_are_private),
        TEST(wrong_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, last_teardown);
}
