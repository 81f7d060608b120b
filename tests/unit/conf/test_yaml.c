/* SPDX-License-Identifier: Apache-2.0 */
/* YAML text and files to items. */
#include "tests/unit/base/unit.h"

#include "kernel/base/fd.h"
#include "kernel/base/str.h"
#include "kernel/conf/conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fixture {
    struct conf c;
    struct conf_problems p;
};

static int setup(void **state)
{
    struct fixture *x = calloc(1, sizeof *x);
    *state = x;
    return x == NULL;
}

static int teardown(void **state)
{
    struct fixture *x = *state;
    conf_finish(&x->c);
    conf_problems_finish(&x->p);
    free(x);
    return 0;
}

static const char *value(struct fixture *x, const char *key)
{
    const struct conf_item *it = conf_get(&x->c, key);
    return it != NULL ? it->value : NULL;
}

static void scalars_and_sections(void **state)
{
    struct fixture *x = *state;
    static const char text[] = "# comment\n"
                               "listen: 127.0.0.1:8088\n"
                               "quoted: \"a\\nb\"\n"
                               "empty: ''\n"
                               "nothing:\n"
                               "tilde: ~\n"
                               "frontend:\n"
                               "  http: {idle: 60s, tls: {cert: /x}}\n"
                               "anchored: &a 5\n"
                               "block: |\n"
                               "  two\n"
                               "  lines\n";
    assert_int_equal(conf_read_text(&x->c, "t.yaml", TN_STR(text), &x->p), TN_OK);
    assert_int_equal(x->p.errors, 0);
    assert_string_equal(value(x, "listen"), "127.0.0.1:8088");
    assert_string_equal(conf_get(&x->c, "listen")->where, "t.yaml:2");
    assert_string_equal(value(x, "quoted"), "a\nb");
    assert_string_equal(value(x, "empty"), "");
    assert_false(conf_get(&x->c, "empty")->null);
    assert_true(conf_get(&x->c, "nothing")->null);
    assert_true(conf_get(&x->c, "tilde")->null);
    assert_string_equal(value(x, "frontend.http.idle"), "60s");
    assert_string_equal(value(x, "frontend.http.tls.cert"), "/x");
    assert_string_equal(value(x, "anchored"), "5");
    assert_string_equal(value(x, "block"), "two\nlines\n");
}

static void lists(void **state)
{
    struct fixture *x = *state;
    static const char text[] = "a: [x, 1, true, null, \"2\", -0.5, 007, 1.]\n"
                               "b:\n- one\n- two\n"
                               "c: ['with, comma', d]\n"
                               "d: [[1, 2], {k: v, l: [m]}]\n"
                               "e: []\n";
    assert_int_equal(conf_read_text(&x->c, "t", TN_STR(text), &x->p), TN_OK);
    assert_string_equal(value(x, "a"), "[\"x\",1,true,null,\"2\",-0.5,\"007\",\"1.\"]");
    assert_string_equal(conf_get(&x->c, "a")->joined, "x,1,true,null,2,-0.5,007,1.");
    assert_string_equal(value(x, "b"), "[\"one\",\"two\"]");
    assert_string_equal(conf_get(&x->c, "b")->joined, "one,two");
    assert_null(conf_get(&x->c, "c")->joined); /* would be ambiguous */
    assert_string_equal(value(x, "d"), "[[1,2],{\"k\":\"v\",\"l\":[\"m\"]}]");
    assert_null(conf_get(&x->c, "d")->joined);
    assert_string_equal(value(x, "e"), "[]");
}

static void refusals(void **state)
{
    struct fixture *x = *state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"a: 1\na: 2\n", "t:2: a: appears twice, first in line 1"},
        {"s: {k: 1}\nb: 1\ns: {l: 2}\n", "t:3: s: appears twice, first in line 1"},
        {"a: &x [1]\nb: *x\n", "t:2: b: aliases are not supported here; write the value of \"*x\""},
        {"a: [*x]\n", "aliases are not supported"},
        {"a: !!int 5\n", "t:1: a: tags"},
        {"a: !x {b: 1}\n", "t:1: a: tags"},
        {"<<: {a: 1}\n", "merge keys"},
        {"a: 1\n---\nb: 1\n", "t:2: a second document"},
        {"- 1\n- 2\n", "must be a mapping"},
        {"just text\n", "must be a mapping"},
        {"? [1, 2]\n: 3\n", "a key must be plain text"},
        {"{[1]: 2, b: 1}\n", "a key must be plain text"},
        {"a: [\n", "not valid YAML"},
        {"a: \"unclosed\n", "not valid YAML"},
        {"\ta: 1\n", "not valid YAML"},
        {"a: b: c\n", "not valid YAML"},
        {"a: \"x\\0y\"\n", "NUL"},
        {"\xff\xfe\x00", "not valid YAML"},
        {"a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: 1"
         "}}}}}}}}}}}}}}}}}}\n",
         "nested too deeply"},
        {"a: [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]\n", "nested too deeply"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct conf c;
        struct conf_problems p = {.text = BUF_INIT(0)};
        conf_init(&c);
        size_t n = strlen(cases[i].text) + (i == 17 ? 1 : 0);
        assert_int_equal(conf_read_text(&c, "t", (tn_str){cases[i].text, n}, &p), TN_E_CONFIG);
        assert_true(p.errors > 0);
        if (strstr(p.text.data, cases[i].says) == NULL) {
            fail_msg("case %zu: \"%s\" says: %s", i, cases[i].text, p.text.data);
        }
        conf_finish(&c);
        conf_problems_finish(&p);
    }
    /* What follows a refused value is still read. */
    assert_int_equal(conf_read_text(&x->c, "t", TN_STR("a: !t [1, {b: 2}]\nc: 3\n"), &x->p),
                     TN_E_CONFIG);
    assert_string_equal(value(x, "c"), "3");
}

static void bounds(void **state)
{
    struct fixture *x = *state;
    struct buf big = BUF_INIT(0);
    for (int i = 0; big.len <= 1 << 20; i++) {
        buf_printf(&big, "key%d: %d\n", i, i);
    }
    assert_int_equal(conf_read_text(&x->c, "t", buf_str(&big), &x->p), TN_E_CONFIG);
    assert_non_null(strstr(x->p.text.data, "at most 1048576"));
    big.len = 1 << 19; /* more keys than settings there can be */
    assert_int_equal(conf_read_text(&x->c, "t", buf_str(&big), &x->p), TN_E_CONFIG);
    assert_non_null(strstr(x->p.text.data, "too many settings"));
    buf_clear(&big);
    for (int i = 0; i < 300; i++) {
        buf_addc(&big, 'k');
    }
    buf_adds(&big, ": 1\nafter: 2\n");
    conf_read_text(&x->c, "t", buf_str(&big), &x->p);
    assert_non_null(strstr(x->p.text.data, "a key is too long"));
    buf_finish(&big);
}

static void files_and_folders(void **state)
{
    struct fixture *x = *state;
    char dir[] = "/tmp/unit-XXXXXX", path[64], part[96], want[112];
    assert_non_null(mkdtemp(dir));
    tn_err err = TN_ERR_INIT;
    snprintf(path, sizeof path, "%s/t.yaml", dir);
    assert_int_equal(conf_read_file(&x->c, path, &x->p, &err), TN_E_NOTFOUND);
    assert_non_null(strstr(err.msg, path));
    fd_write_file(path, "a: 1\nb: 1\n", 10, 0600);
    snprintf(part, sizeof part, "%s/conf.d", dir);
    fd_mkdirs(part, 0700);
    snprintf(part, sizeof part, "%s/conf.d/20.yaml", dir);
    fd_write_file(part, "b: 3\n", 5, 0600);
    snprintf(want, sizeof want, "%s:1", part);
    snprintf(part, sizeof part, "%s/conf.d/10.yaml", dir);
    fd_write_file(part, "b: 2\n", 5, 0600);
    snprintf(part, sizeof part, "%s/conf.d/30.yaml.bak", dir);
    fd_write_file(part, "b: 4\n", 5, 0600);
    assert_int_equal(conf_read_file(&x->c, path, &x->p, &err), TN_OK);
    assert_string_equal(value(x, "a"), "1");
    assert_string_equal(value(x, "b"),
                        "3"); /* in name order, and the same key twice is fine here */
    assert_string_equal(conf_get(&x->c, "b")->where, want);
    snprintf(part, sizeof part, "%s/t.yaml.d", dir);
    fd_mkdirs(part, 0700);
    snprintf(part, sizeof part, "%s/t.yaml.d/x.yaml", dir);
    fd_write_file(part, "b: 5\n", 5, 0600);
    assert_int_equal(conf_read_file(&x->c, path, &x->p, &err), TN_OK);
    assert_string_equal(value(x, "b"), "5"); /* its own folder comes instead of conf.d */
    assert_int_equal(x->p.errors, 0);
    char cmd[64];
    snprintf(cmd, sizeof cmd, "rm -r %s", dir);
    assert_int_equal(system(cmd), 0);
}

static void sections_from_the_environment(void **state)
{
    struct fixture *x = *state;
    char *env[] = {(char *)"TENON_FRONTEND__HTTP__IDLE_TIME=5s",
                   (char *)"TENON_LISTEN=x",
                   (char *)"OTHER__X=1",
                   (char *)"TENON_STORE__PATH=/a=b",
                   (char *)"TENON_A__B",
                   NULL};
    conf_read_sections(&x->c, env, &x->p);
    assert_int_equal(x->c.n, 2);
    assert_string_equal(value(x, "frontend.http.idle_time"), "5s");
    assert_string_equal(conf_get(&x->c, "frontend.http.idle_time")->where,
                        "environment TENON_FRONTEND__HTTP__IDLE_TIME");
    assert_string_equal(value(x, "store.path"), "/a=b");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(scalars_and_sections),          T(lists), T(refusals), T(bounds), T(files_and_folders),
        T(sections_from_the_environment),
    };
    return RUN(tests);
}
