/* SPDX-License-Identifier: Apache-2.0 */
/* The platform's settings: sources and their order, DFF names, secrets. */
#include "tests/unit/base/unit.h"

#include "kernel/base/fd.h"
#include "kernel/base/log_mask.h"
#include "kernel/base/str.h"
#include "kernel/conf/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[] = "/tmp/unit-XXXXXX";

struct fixture {
    struct settings s;
    struct conf_problems p;
};

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct fixture));
    clearenv();
    setenv("TENON_CONFIG", "/dev/null", 1); /* not the one of this machine */
    return *state == NULL;
}

static int teardown(void **state)
{
    struct fixture *x = *state;
    settings_finish(&x->s);
    conf_problems_finish(&x->p);
    free(x);
    return 0;
}

static char *file(const char *name, const char *text)
{
    static char path[96];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(fd_write_file(path, text, strlen(text), 0600), 0);
    return path;
}

static tn_rc load(struct fixture *x, int argc, const char *const *argv)
{
    settings_finish(&x->s);
    conf_problems_finish(&x->p);
    return settings_load(&x->s, NULL, argc, (char **)(uintptr_t)argv, &x->p);
}

static void assert_says(struct fixture *x, const char *text)
{
    if (strstr(buf_str(&x->p.text).s, text) == NULL) {
        fail_msg("\"%s\" is not in: %s", text, buf_str(&x->p.text).s);
    }
}

static void defaults(void **state)
{
    struct fixture *x = *state;
    assert_int_equal(load(x, 0, NULL), TN_OK);
    assert_int_equal(conf_check_table(settings_fields, sizeof(struct settings), NULL), TN_OK);
    assert_string_equal(x->s.listen, "0.0.0.0:8088");
    assert_string_equal(x->s.resources, "tenon-data/resources");
    assert_int_equal(x->s.body_max.n, 50 << 20);
    assert_int_equal(x->s.drain.ms, 30000);
    assert_false(x->s.dev);
    assert_string_equal(settings_dff(&x->s, "MODE"), "prod");
    assert_string_equal(settings_dff(&x->s, "WEB_PORT"), "8088");
    assert_string_equal(settings_dff(&x->s, "_FUNC_TASK_TIMEOUT_DEFAULT"), "35");
    assert_string_equal(settings_dff(&x->s, "RESOURCE_ROOT_PATH"), "tenon-data/resources");
    assert_null(settings_dff(&x->s, "NO_SUCH_KEY"));
    assert_null(settings_dff(&x->s, "SECRET"));
    size_t n = 0;
    while (settings_dff_key(n) != NULL) { /* every key answers, but for the secrets */
        const char *key = settings_dff_key(n++);
        bool secret = strstr(key, "PASSWORD") || strstr(key, "SECRET");
        assert_int_equal(settings_dff(&x->s, key) == NULL, secret);
    }
    assert_true(n > 100);
    struct settings never = {0}; /* before anything was loaded */
    assert_string_equal(settings_dff(&never, "APP_NAME"), "DataFluxFunc");
}

/* default < file < conf.d < TENON_ < DFF_ < command line */
static void precedence(void **state)
{
    struct fixture *x = *state;
    const char *cli[] = {"--timezone=F", "--workers-min", "7"};
    setenv("TENON_CONFIG", file("t.yaml", "timezone: A\nworkers_max: 40\nworkers_min: 3\n"), 1);
    assert_int_equal(load(x, 0, NULL), TN_OK);
    assert_string_equal(x->s.timezone, "A");
    char folder[64];
    snprintf(folder, sizeof folder, "%s/t.yaml.d", dir);
    fd_mkdirs(folder, 0700);
    file("t.yaml.d/1.yaml", "timezone: B\n");
    load(x, 0, NULL);
    assert_string_equal(x->s.timezone, "B");
    setenv("TENON_TIMEZONE", "C", 1);
    load(x, 0, NULL);
    assert_string_equal(x->s.timezone, "C");
    setenv("DFF_TIMEZONE", "D", 1);
    load(x, 0, NULL);
    assert_string_equal(x->s.timezone, "D");
    assert_string_equal(settings_dff(&x->s, "TIMEZONE"), "D");
    assert_int_equal(load(x, 3, cli), TN_OK);
    assert_string_equal(x->s.timezone, "F");
    assert_int_equal(x->s.workers_min, 7);
    assert_int_equal(x->s.workers_max, 40);
    assert_string_equal(settings_dff(&x->s, "TIMEZONE"), "F");
}

static void dff_environment(void **state)
{
    struct fixture *x = *state;
    static const char *const env[][2] = {
        {"DFF_MODE", "dev"},
        {"DFF_WEB_PORT", "9000"},
        {"DFF_WEB_BIND", "::1"},
        {"DFF_LOG_LEVEL", "ALL"},
        {"DFF_SECRET", "installation-secret"},
        {"DFF_AUTO_SETUP", "yes"},
        {"DFF_AUTO_SETUP_ADMIN_PASSWORD", "admin-secret"},
        {"DFF_CUSTOM_FLAG", "blue"},
        {"DFF_NO_SUCH_KEY", "x"},
        {"DFF_APP_NAME", "  "},
        {"DFF__FUNC_ARGUMENT_PLACEHOLDER_LIST", "A, B\nC"},
        {"DFF_REDIS_USE_TLS", "1"},
        {"DFF_REDIS_PASSWORD", "redis-secret"},
        {"DFF__TASK_TIMEOUT_DEFAULT", "99"},
    };
    for (size_t i = 0; i < sizeof env / sizeof env[0]; i++) {
        setenv(env[i][0], env[i][1], 1);
    }
    assert_int_equal(load(x, 0, NULL), TN_OK);
    assert_true(x->s.dev);
    assert_string_equal(x->s.listen, "[::1]:9000");
    assert_string_equal(x->s.log_level, "debug");
    assert_string_equal(x->s.secret.s, "installation-secret");
    assert_true(x->s.auto_setup);
    assert_string_equal(x->s.auto_setup_admin_password.s, "admin-secret");
    assert_string_equal(settings_dff(&x->s, "CUSTOM_FLAG"), "blue");
    assert_null(settings_dff(&x->s, "CUSTOM_OTHER"));
    assert_null(settings_dff(&x->s, "NO_SUCH_KEY"));
    assert_string_equal(settings_dff(&x->s, "APP_NAME"), "DataFluxFunc"); /* blank: not set */
    assert_string_equal(settings_dff(&x->s, "_FUNC_ARGUMENT_PLACEHOLDER_LIST"), "A,B,C");
    assert_string_equal(settings_dff(&x->s, "REDIS_USE_TLS"), "true");
    assert_string_equal(settings_dff(&x->s, "_TASK_TIMEOUT_DEFAULT"), "99");
    assert_null(settings_dff(&x->s, "REDIS_PASSWORD"));
    assert_string_equal(settings_dff_secret(&x->s, "REDIS_PASSWORD"), "redis-secret");
    assert_null(settings_dff_secret(&x->s, "APP_NAME"));
    struct buf out = BUF_INIT(0);
    assert_true(log_mask_apply(TN_STR("installation-secret admin-secret redis-secret"), &out));
    assert_string_equal(out.data, "***** ***** *****");
    buf_finish(&out);
}

static void dff_user_config(void **state)
{
    struct fixture *x = *state;
    setenv("DFF_CONFIG_FILE_PATH",
           file("user.yaml", "SECRET: file-secret\nWEB_PORT: 8100\nMODE: dev\nUNKNOWN: 1\n"
                             "CUSTOM_A: [x, y]\n_UPLOAD_FILE_EXPIRES: 60\n"),
           1);
    assert_int_equal(load(x, 0, NULL), TN_OK);
    assert_string_equal(x->s.listen, "0.0.0.0:8100");
    assert_true(x->s.dev);
    assert_string_equal(x->s.secret.s, "file-secret");
    assert_string_equal(settings_dff(&x->s, "CUSTOM_A"), "x,y");
    assert_string_equal(settings_dff(&x->s, "_UPLOAD_FILE_EXPIRES"), "60");
    setenv("DFF_WEB_BIND", "127.0.0.1", 1); /* the environment refines the file */
    load(x, 0, NULL);
    assert_string_equal(x->s.listen, "127.0.0.1:8100");
    setenv("DFF_CONFIG_FILE_PATH", "/nonexistent/x", 1);
    assert_int_equal(load(x, 0, NULL), TN_E_CONFIG);
    assert_says(x, "/nonexistent/x");
}

static void everything_wrong_is_named(void **state)
{
    struct fixture *x = *state;
    const char *cli[] = {"--lisen", "x",        "--workers-min", "0", "--auto-setup-ak-secret=abc",
                         "stray",   "--no-dev", "--data"};
    setenv("TENON_CONFIG",
           file("bad.yaml", "queue_max: many\nfoo:\n  bar: 1\nconnector: {x: 1}\n"
                            "frontend:\n  http:\n    idle: 5s\nstore.path: /x\n"),
           1);
    setenv("TENON_WORKER_MIN", "1", 1);
    setenv("TENON_TEST_ANYTHING", "1", 1);
    setenv("DFF_WEB_PORT", "http", 1);
    setenv("DFF_AUTO_SETUP", "perhaps", 1);
    setenv("DFF_MODE", "fast", 1);
    assert_int_equal(load(x, 8, cli), TN_E_CONFIG);
    assert_says(x, "--lisen: unknown option; did you mean --listen?");
    assert_says(x, "--workers-min: workers_min: \"0\" is outside 1 to 1024");
    assert_says(x, "--auto-setup-ak-secret: a secret does not belong on the command line");
    assert_says(x, "stray: is no option");
    assert_says(x, "--data: needs a value");
    assert_says(x, "bad.yaml:1: queue_max: \"many\" is not a whole number");
    assert_says(x, "bad.yaml:3: foo.bar: unknown section");
    assert_says(x, "bad.yaml:4: connector.x: unknown section");
    assert_says(x,
                "environment TENON_WORKER_MIN: unknown setting; did you mean TENON_WORKERS_MIN?");
    assert_says(x, "environment DFF_WEB_PORT: WEB_PORT: is not a whole number");
    assert_says(x, "environment DFF_AUTO_SETUP: AUTO_SETUP: is not true or false");
    assert_says(x, "environment DFF_MODE: MODE: is not prod or dev");
    assert_int_equal(x->p.errors, 12);
    assert_null(strstr(x->p.text.data, "abc"));
}

static void sections_are_kept(void **state)
{
    struct fixture *x = *state;
    const char *config[] = {"--config", "/nonexistent.yaml"};
    setenv("TENON_CONFIG", file("s.yaml", "frontend:\n  http:\n    idle: 5s\n"), 1);
    setenv("TENON_API__DFF__X", "1", 1);
    assert_int_equal(load(x, 0, NULL), TN_OK);
    assert_string_equal(conf_get(x->s.conf, "frontend.http.idle")->value, "5s");
    assert_string_equal(conf_get(x->s.conf, "api.dff.x")->value, "1");
    assert_int_equal(load(x, 2, config), TN_E_CONFIG); /* a named file must exist */
    const char *more[] = {"--workers-min=9", "--workers-max=8"};
    assert_int_equal(load(x, 2, more), TN_E_CONFIG);
    assert_says(x, "workers_min: is 9 and workers_max is 8");
    const char *flags[] = {"--dev", "--no-auto-setup"};
    assert_int_equal(load(x, 2, flags), TN_OK);
    assert_true(x->s.dev);
}

/* What scripts start inherits the environment, and /proc shows the memory it came in. */
static void secrets_leave_the_environment(void **state)
{
    struct fixture *x = *state;
    char token[] = "TENON_API__METRICS__TOKEN=geheim", other[] = "DFF_TIMEZONE=C";
    setenv("TENON_CONFIG", "/dev/null", 1);
    putenv(token);
    putenv(other);
    setenv("DFF_CUSTOM_API_KEY", "k", 1);
    setenv("AWS_SECRET_KEY", "not ours", 1);
    assert_int_equal(load(x, 0, NULL), TN_OK);
    settings_hide_environment();
    assert_null(getenv("TENON_API__METRICS__TOKEN"));
    assert_null(getenv("DFF_CUSTOM_API_KEY"));
    assert_string_equal(getenv("AWS_SECRET_KEY"), "not ours");
    assert_string_equal(getenv("DFF_TIMEZONE"), "C");
    assert_memory_equal(token + sizeof "TENON_API__METRICS__TOKEN", "\0\0\0\0\0\0", 6);
    assert_string_equal(conf_get(x->s.conf, "api.metrics.token")->value, "geheim");
    unsetenv("AWS_SECRET_KEY");
    unsetenv("DFF_TIMEZONE");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(defaults),
        T(precedence),
        T(dff_environment),
        T(dff_user_config),
        T(everything_wrong_is_named),
        T(sections_are_kept),
        T(secrets_leave_the_environment),
    };
    if (mkdtemp(dir) == NULL) {
        return 1;
    }
    int failed = RUN(tests);
    char cmd[64];
    snprintf(cmd, sizeof cmd, "/bin/rm -r %s", dir);
    return system(cmd) != 0 || failed != 0;
}
