/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors and instances that live in this program: checks, configuration, attach, detach. */
#include "tests/unit/base/unit.h"

#include "kernel/base/err.h"
#include "kernel/base/str.h"
#include "kernel/plug/conform.h"
#include "kernel/plug/plug.h"

#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct conf_t {
    const char *name;
    tn_secret password;
    int64_t n;
};
struct inst_t {
    const struct conf_t *conf;
    int zeroed;
};
static const tn_field fields[] = {
    {TN_FIELD(struct conf_t, name), .dflt = "nobody", .doc = "A name."},
    {TN_FIELD(struct conf_t, password), .doc = "A secret."},
    {TN_FIELD(struct conf_t, n), .flags = TN_F_REQUIRED, .min = 1, .max = 9, .doc = "A number."},
    {0},
};
static int attached, detached, loaded;
static tn_rc attach_says;

static tn_rc on_load(const tn_host *host, tn_err *err)
{
    (void)err;
    loaded += host != NULL;
    return TN_OK;
}

static tn_rc on_attach(void *inst, const void *conf, tn_err *err)
{
    struct inst_t *i = inst;
    i->zeroed = i->conf == NULL;
    i->conf = conf;
    attached++;
    return attach_says == TN_OK ? TN_OK : err_set(err, attach_says, "not today");
}

static void on_detach(void *inst)
{
    assert_int_equal(((struct inst_t *)inst)->conf->n, 5); /* the configuration outlives it */
    detached++;
}

static tn_rc on_run(void *inst, int32_t stop_fd, tn_err *err)
{
    (void)inst, (void)stop_fd, (void)err;
    return TN_OK;
}

static const tn_trigger_ops ops = {.size = sizeof ops, .run = on_run};
static const tn_plugin desc = {.magic = TN_MAGIC,
                               .abi_major = TN_ABI_MAJOR,
                               .abi_minor = TN_ABI_MINOR,
                               .size = sizeof(tn_plugin),
                               .kind = TN_KIND_TRIGGER,
                               .name = "unit",
                               .version = "1.0.0",
                               .summary = "Of a unit test",
                               .config = fields,
                               .conf_size = sizeof(struct conf_t),
                               .inst_size = sizeof(struct inst_t),
                               .load = on_load,
                               .attach = on_attach,
                               .detach = on_detach,
                               .ops = &ops};

struct fixture {
    struct plug p;
    struct conf c;
    struct conf_problems problems;
};

static int setup(void **state)
{
    struct fixture *x = calloc(1, sizeof *x);
    attached = detached = loaded = 0;
    attach_says = TN_OK;
    *state = x;
    return plug_check_desc(&desc, &x->p, NULL) != TN_OK;
}

static int teardown(void **state)
{
    struct fixture *x = *state;
    free((void *)(uintptr_t)x->p.ops);
    conf_finish(&x->c);
    conf_problems_finish(&x->problems);
    free(x);
    return 0;
}

static void life(void **state)
{
    struct fixture *x = *state;
    struct plug_inst a = {0}, b = {0};
    tn_err err = TN_ERR_INIT;
    static const tn_host host;
    assert_int_equal(plug_load(&x->p, &host, &err), TN_OK);
    assert_int_equal(plug_load(&x->p, &host, &err), TN_OK);
    assert_int_equal(loaded, 1); /* once per process image */
    conf_set(&x->c, "trigger.unit.n", "5", "t");
    conf_set(&x->c, "trigger.unit.password", "psst", "t");
    conf_set(&x->c, "trigger.other.zzz", "1", "t");
    assert_int_equal(plug_attach(&x->p, &x->c, "trigger.unit.", &a, &x->problems, &err), TN_OK);
    assert_int_equal(plug_attach(&x->p, &x->c, "trigger.unit.", &b, NULL, &err), TN_OK);
    const struct inst_t *i = a.inst;
    assert_true(i->zeroed);
    assert_string_equal(i->conf->name, "nobody");
    assert_string_equal(i->conf->password.s, "psst");
    assert_int_equal(i->conf->n, 5);
    assert_ptr_not_equal(a.conf, b.conf);
    plug_detach(&a);
    assert_null(a.inst);
    plug_detach(&a); /* twice is harmless */
    plug_detach(&b);
    plug_detach(NULL);
    assert_int_equal(attached, 2);
    assert_int_equal(detached, 2);
}

static void configuration_problems(void **state)
{
    struct fixture *x = *state;
    struct plug_inst a = {&x->p, NULL, NULL};
    tn_err err = TN_ERR_INIT;
    conf_set(&x->c, "t.n", "10", "f:3");
    conf_set(&x->c, "t.nmae", "x", "f:4");
    assert_int_equal(plug_attach(&x->p, &x->c, "t.", &a, &x->problems, &err), TN_E_CONFIG);
    assert_string_equal(err.msg, "the configuration of unit has 2 errors");
    assert_non_null(strstr(x->problems.text.data, "f:3: t.n: \"10\" is outside 1 to 9"));
    assert_non_null(
        strstr(x->problems.text.data, "f:4: t.nmae: unknown setting; did you mean \"t.name\"?"));
    assert_int_equal(plug_attach(&x->p, &x->c, "u.", &a, NULL, &err), TN_E_CONFIG);
    assert_non_null(strstr(err.msg, "u.n: is required")); /* without a list the error says it */
    assert_int_equal(attached, 0);
    assert_ptr_equal(a.plug, &x->p); /* untouched */
}

static void failing_attach(void **state)
{
    struct fixture *x = *state;
    struct plug_inst a = {0};
    tn_err err = TN_ERR_INIT;
    attach_says = TN_E_UNAVAIL;
    conf_set(&x->c, "n", "5", "t");
    assert_int_equal(plug_attach(&x->p, &x->c, "", &a, NULL, &err), TN_E_UNAVAIL);
    assert_string_equal(err.msg, "trigger unit: not today");
    assert_null(a.plug);
    assert_int_equal(detached, 0);
}

/* The contract says conf is read-only; the pages say so too. */
static void conf_is_read_only(void **state)
{
    struct fixture *x = *state;
    struct plug_inst a = {0};
    conf_set(&x->c, "n", "5", "t");
    assert_int_equal(plug_attach(&x->p, &x->c, "", &a, NULL, NULL), TN_OK);
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        ((volatile struct conf_t *)a.conf)->n = 6;
        _exit(0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    plug_detach(&a);
}

/* An older plugin: what its tables do not hold reads as absent, and is not read beyond. */
static void short_tables_are_padded(void **state)
{
    (void)state;
    uint32_t *short_ops = calloc(1, offsetof(tn_trigger_ops, run)); /* exact, for the sanitizer */
    tn_plugin old = desc;
    struct plug p;
    tn_err err = TN_ERR_INIT;
    short_ops[0] = offsetof(tn_trigger_ops, run);
    old.ops = short_ops;
    assert_int_equal(plug_check_desc(&old, &p, &err), TN_E_INVAL);
    assert_string_equal(err.msg,
                        "ops.run is missing (ops.size is 8); trigger plugins need it unless "
                        "they only have TN_CAP_SUBSCRIBE");
    free(short_ops);
    assert_int_equal(plug_check_desc(NULL, &p, &err), TN_E_UNSUPP);
}

static void handler(void *inst, tn_http_req *req, const tn_match *match)
{
    (void)inst, (void)req, (void)match;
}

static void refuse(void *inst, tn_http_req *req, uint32_t status, const char *text)
{
    (void)inst, (void)req, (void)status, (void)text;
}

/* An api without a permission on a route would be open to everybody by accident. */
static void routes_need_permissions(void **state)
{
    (void)state;
    const char *const prefixes[] = {"/api/", NULL};
    tn_route routes[] = {
        {.method = "GET", .path = "/x", .permission = "public", .handler = handler},
        {.method = "POST", .path = "/y", .handler = handler},
        {0}};
    const tn_api_ops api = {
        .size = sizeof api, .prefixes = prefixes, .routes = routes, .refuse = refuse};
    tn_plugin d = desc;
    struct plug p;
    tn_err err = TN_ERR_INIT;
    d.kind = TN_KIND_API;
    d.ops = &api;
    assert_int_equal(plug_check_desc(&d, &p, &err), TN_E_INVAL);
    assert_non_null(strstr(err.msg, "route POST /y needs"));
    routes[1].permission = "sign-in";
    assert_int_equal(plug_check_desc(&d, &p, &err), TN_OK);
    free((void *)(uintptr_t)p.ops);
    routes[1].path = "y";
    assert_int_equal(plug_check_desc(&d, &p, &err), TN_E_INVAL);
}

static void kinds(void **state)
{
    (void)state;
    assert_string_equal(plug_kind_name(TN_KIND_CONNECTOR), "connector");
    assert_string_equal(plug_kind_name(TN_KIND_API), "api");
    assert_string_equal(plug_kind_name(0), "unknown");
    assert_string_equal(plug_kind_name(99), "unknown");
}

/* The sink of tenon-plugin-check must find what a plugin gets wrong. */
static void strict_sink(void **state)
{
    (void)state;
    struct conform_sink s;
    const tn_val one = {.type = TN_T_INT, .u.i = 1}, odd = {.type = 77};
    const tn_val text = {.type = TN_T_STR, .n = 1, .u.s = "\xFF"};
    const tn_val decimal = {.type = TN_T_DECIMAL, .n = 3, .u.s = "1,5"};
    const tn_col col = {"c", 1, TN_T_INT};
#define WITH(calls, says)                                                                          \
    do {                                                                                           \
        conform_sink_init(&s, 0);                                                                  \
        const tn_sink_ops *o = s.sink.ops;                                                         \
        calls;                                                                                     \
        const char *verdict = conform_sink_verdict(&s);                                            \
        if ((says) == NULL) {                                                                      \
            assert_null(verdict);                                                                  \
        } else {                                                                                   \
            assert_non_null(verdict);                                                              \
            assert_non_null(strstr(verdict, (says) != NULL ? (says) : ""));                        \
        }                                                                                          \
    } while (0)
    tn_sink *t = &s.sink;
    WITH(o->scalar(t, &one), (const char *)NULL);
    WITH((o->map_begin(t, 1), o->key(t, "k", 1), o->scalar(t, &one), o->map_end(t)),
         (const char *)NULL);
    WITH((o->table_begin(t, &col, 1, -1), o->row(t, &one), o->table_end(t, -1)),
         (const char *)NULL);
    WITH((void)o, "holds no result");
    WITH((o->scalar(t, &one), o->scalar(t, &one)), "follows a complete result");
    WITH(o->scalar(t, &odd), "unknown type 77");
    WITH(o->scalar(t, &text), "not UTF-8");
    WITH(o->scalar(t, &decimal), "is no number");
    WITH((o->map_begin(t, 1), o->scalar(t, &one), o->map_end(t)), "without key()");
    WITH((o->map_begin(t, 1), o->key(t, "k", 1), o->map_end(t)), "ends after key()");
    WITH((o->map_begin(t, 1), o->list_end(t)), "list_end() without its begin");
    WITH(o->list_begin(t, 1), "1 begin(s) open");
    WITH((o->list_begin(t, 1), o->row(t, &one), o->list_end(t)), "row() stands outside a table");
    WITH((o->table_begin(t, &col, 1, 0), o->scalar(t, &one), o->table_end(t, 0)), "only row() may");
    conform_sink_init(&s, 1);
    assert_int_equal(s.sink.ops->scalar(t, &one), TN_E_CANCELED);
    assert_null(conform_sink_verdict(&s));
    s.sink.ops->scalar(t, &one);
    assert_non_null(strstr(conform_sink_verdict(&s), "follows"));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(life),
        T(configuration_problems),
        T(failing_attach),
        T(conf_is_read_only),
        cmocka_unit_test(short_tables_are_padded),
        cmocka_unit_test(routes_need_permissions),
        cmocka_unit_test(kinds),
        cmocka_unit_test(strict_sink),
    };
    return RUN(tests);
}
