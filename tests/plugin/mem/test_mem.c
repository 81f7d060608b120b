/* SPDX-License-Identifier: Apache-2.0 */
/* What tenon-plugin-check cannot know of the mem connector: its values, deadlines, cancelling and
 * broken connections. Other tests lean on these. */
#include "tests/unit/base/unit.h"

#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/str.h"
#include "kernel/plug/conform.h"
#include "kernel/plug/plug.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { GET = 1, PUT, VALUES, TABLE, FAIL, SLEEP };

static struct plug_registry registry;
static struct plug_inst inst;
static const tn_connector_ops *ops;

static const tn_host host = {.size = sizeof host, .fail = err_set, .now_ns = clock_mono_ns};

static int group_setup(void **state)
{
    (void)state;
    char folder[PATH_MAX];
    struct conf c;
    ssize_t n = readlink("/proc/self/exe", folder, sizeof folder - 32);
    if (n <= 0) {
        return -1;
    }
    folder[n] = '\0'; /* build/<variant>/tests/plugin/mem/test_mem */
    for (int up = 0; up < 4; up++) {
        *strrchr(folder, '/') = '\0';
    }
    strcat(folder, "/plugins");
    conf_init(&c);
    conf_set(&c, "rows_max", "1000", "test");
    tn_err err = TN_ERR_INIT;
    struct plug *p = NULL;
    if (plug_discover(&registry, folder, &err) == TN_OK &&
        plug_open_all(&registry, 1u << TN_KIND_CONNECTOR, &err) == TN_OK) {
        p = plug_find(&registry, TN_KIND_CONNECTOR, "mem");
    }
    if (p == NULL || plug_load(p, &host, &err) != TN_OK ||
        plug_attach(p, &c, "", &inst, NULL, &err) != TN_OK) {
        fprintf(stderr, "no connector mem in %s: %s\n", folder, err.msg);
        return -1;
    }
    ops = p->ops;
    conf_finish(&c);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    plug_detach(&inst);
    plug_registry_finish(&registry);
    return 0;
}

static int setup(void **state)
{
    return ops->open(inst.inst, 0, state, NULL) != TN_OK;
}

static int teardown(void **state)
{
    ops->close(inst.inst, *state, TN_CLOSE_NORMAL);
    return 0;
}

static tn_rc call(void *conn, uint32_t method, const tn_val *args, uint32_t n, uint64_t deadline,
                  tn_result *ret, tn_err *err)
{
    const tn_args a = {args, n, 0, NULL};
    *err = (tn_err)TN_ERR_INIT;
    return ops->invoke(inst.inst, conn, method, &a, deadline, ret, err);
}

static tn_val text(const char *s)
{
    return (tn_val){.type = TN_T_STR, .n = (uint32_t)strlen(s), .u.s = s};
}

static tn_val number(int64_t i)
{
    return (tn_val){.type = TN_T_INT, .u.i = i};
}

/* Remembers the one scalar it was given. */
struct last {
    tn_sink sink;
    char s[64];
    uint8_t type;
};
static tn_rc keep_scalar(tn_sink *sink, const tn_val *v)
{
    struct last *l = sink->self;
    l->type = v->type;
    snprintf(l->s, sizeof l->s, "%.*s", v->type == TN_T_STR ? (int)v->n : 0, v->u.s);
    return TN_OK;
}
static const tn_sink_ops keep_ops = {.size = sizeof keep_ops, .scalar = keep_scalar};

static const char *get(void *conn, const char *key)
{
    static struct last l;
    const tn_val k = text(key);
    tn_result r = {0};
    tn_err err;
    l = (struct last){.sink = {&keep_ops, &l}};
    assert_int_equal(call(conn, GET, &k, 1, 0, &r, &err), TN_OK);
    assert_int_equal(ops->emit(inst.inst, &r, &l.sink, &err), TN_OK);
    ops->result_free(inst.inst, &r);
    return l.type == TN_T_NULL ? NULL : l.s;
}

static tn_rc put(void *conn, const char *key, const char *value)
{
    const tn_val args[] = {text(key), text(value)};
    tn_result r = {0};
    tn_err err;
    tn_rc rc = call(conn, PUT, args, 2, 0, &r, &err);
    if (rc == TN_OK) {
        ops->result_free(inst.inst, &r);
    }
    return rc;
}

static void keys_and_values(void **state)
{
    assert_null(get(*state, "a"));
    assert_int_equal(put(*state, "a", "1"), TN_OK);
    assert_int_equal(put(*state, "ab", "2"), TN_OK);
    assert_int_equal(put(*state, "a", "3"), TN_OK);
    assert_string_equal(get(*state, "a"), "3");
    assert_string_equal(get(*state, "ab"), "2");
    char key[70], big[1026];
    for (int i = 2; i < 32; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(put(*state, key, "x"), TN_OK);
    }
    assert_int_equal(put(*state, "one too many", "x"), TN_E_LIMIT);
    assert_int_equal(put(*state, "a", "full, but known"), TN_OK);
    memset(key, 'k', 65);
    key[65] = '\0';
    memset(big, 'v', 1025);
    big[1025] = '\0';
    assert_int_equal(ops->reset(inst.inst, *state, NULL), TN_OK);
    assert_null(get(*state, "a")); /* the next call sees nothing of this one */
    assert_int_equal(put(*state, key, "x"), TN_E_LIMIT);
    assert_int_equal(put(*state, "a", big), TN_E_LIMIT);
    big[1024] = '\0';
    assert_int_equal(put(*state, "a", big), TN_OK);
}

static void keyword_arguments(void **state)
{
    const tn_pair kw[] = {{text("value"), text("by name")}, {text("key"), text("k")}};
    const tn_args a = {NULL, 0, 2, kw};
    tn_result r = {0};
    assert_int_equal(ops->invoke(inst.inst, *state, PUT, &a, 0, &r, NULL), TN_OK);
    ops->result_free(inst.inst, &r);
    assert_string_equal(get(*state, "k"), "by name");
}

static void tables(void **state)
{
    struct conform_sink sink;
    tn_result r = {0};
    tn_err err;
    tn_val rows = number(1000);
    assert_int_equal(call(*state, TABLE, &rows, 1, 0, &r, &err), TN_OK);
    conform_sink_init(&sink, 0);
    assert_int_equal(ops->emit(inst.inst, &r, &sink.sink, &err), TN_OK);
    assert_null(conform_sink_verdict(&sink));
    assert_int_equal(sink.calls, 1002); /* begin, rows, end */
    conform_sink_init(&sink, 500);
    assert_int_equal(ops->emit(inst.inst, &r, &sink.sink, &err), TN_E_CANCELED);
    assert_int_equal(sink.calls, 500);
    ops->result_free(inst.inst, &r);
    rows = number(1001);
    assert_int_equal(call(*state, TABLE, &rows, 1, 0, &r, &err), TN_E_LIMIT);
}

static void every_code(void **state)
{
    tn_result r = {0};
    tn_err err;
    for (tn_rc rc = TN_E_NOMEM; rc >= TN_E_CONFLICT; rc--) {
        const tn_val v = number(rc);
        assert_int_equal(call(*state, FAIL, &v, 1, 0, &r, &err), rc);
        assert_int_equal(err.native, 42);
        assert_int_equal(err.flags, rc == TN_E_UNAVAIL ? TN_ERR_CONN_BROKEN | TN_ERR_RETRY : 0);
        if (rc == TN_E_UNAVAIL) { /* nothing works any more */
            const tn_val k = text("a");
            assert_int_equal(call(*state, GET, &k, 1, 0, &r, &err), TN_E_UNAVAIL);
            assert_int_equal(ops->reset(inst.inst, *state, &err), TN_E_UNAVAIL);
            assert_int_equal(ops->check(inst.inst, *state, 0, &err), TN_E_UNAVAIL);
            assert_true(err.flags & TN_ERR_CONN_BROKEN);
            ops->close(inst.inst, *state, TN_CLOSE_BROKEN);
            assert_int_equal(ops->open(inst.inst, 0, state, &err), TN_OK);
        }
    }
    const tn_val odd = number(5);
    assert_int_equal(call(*state, FAIL, &odd, 1, 0, &r, &err), TN_E_INVAL);
}

static void deadlines(void **state)
{
    tn_result r = {0};
    tn_err err;
    tn_val ms = number(60000);
    uint64_t start = clock_mono_ns();
    assert_int_equal(call(*state, SLEEP, &ms, 1, start + 50 * NS_PER_MS, &r, &err), TN_E_TIMEOUT);
    uint64_t took = clock_mono_ns() - start;
    assert_true(took >= 45 * NS_PER_MS && took < 30 * NS_PER_S);
    assert_int_equal(call(*state, SLEEP, &ms, 1, 1, &r, &err), TN_E_TIMEOUT);
    ms = number(1);
    assert_int_equal(call(*state, SLEEP, &ms, 1, clock_mono_ns() + 30 * NS_PER_S, &r, &err), TN_OK);
    ops->result_free(inst.inst, &r);
    ms = number(-5);
    assert_int_equal(call(*state, SLEEP, &ms, 1, 0, &r, &err), TN_OK);
    ops->result_free(inst.inst, &r);
}

static void *cancel_soon(void *conn)
{
    nanosleep(&(struct timespec){0, 50000000}, NULL);
    ops->cancel(inst.inst, conn);
    return NULL;
}

static void cancelling(void **state)
{
    tn_result r = {0};
    tn_err err;
    pthread_t thread;
    const tn_val ms = number(60000), brief = number(1);
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, *state), 0);
    assert_int_equal(call(*state, SLEEP, &ms, 1, clock_mono_ns() + 30 * NS_PER_S, &r, &err),
                     TN_E_CANCELED);
    pthread_join(thread, NULL);
    assert_int_equal(ops->reset(inst.inst, *state, &err), TN_OK); /* takes the old order back */
    assert_int_equal(call(*state, SLEEP, &brief, 1, 0, &r, &err), TN_OK);
    ops->result_free(inst.inst, &r);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(keys_and_values), T(keyword_arguments), T(tables),
        T(every_code),      T(deadlines),         T(cancelling),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
