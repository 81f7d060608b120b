/* SPDX-License-Identifier: Apache-2.0 */
/* The route tree: precedence, parameters, refusals at registration. */
#include "kernel/base/str.h"
#include "kernel/hub/hub.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void handler(void *inst, tn_http_req *req, const tn_match *match)
{
    (void)inst;
    (void)req;
    (void)match;
}

static const char *const prefixes[] = {"/", "/api", NULL};

struct fixture {
    tn_api_ops ops;
    struct plug plug;
    struct hub_plugin hp;
};

static void fixture_init(struct fixture *f, const tn_route *routes)
{
    memset(f, 0, sizeof *f);
    f->ops.size = sizeof f->ops;
    f->ops.prefixes = prefixes;
    f->ops.routes = routes;
    f->plug.desc.name = "t";
    f->plug.desc.kind = TN_KIND_API;
    f->plug.ops = &f->ops;
    f->hp.plug = &f->plug;
}

#define R(m, p)                                                                                    \
    {                                                                                              \
        .method = m, .path = p, .permission = "public", .handler = handler                         \
    }
static const tn_route good[] = {
    R("GET", "/api/v1/sync/:id"),
    R("GET", "/api/v1/sync/:id/:format"),
    R("GET", "/api/v1/sync/:id/:format/*"),
    R("POST", "/api/v1/sync/:id"),
    R("GET", "/api/v1/users/do/list"),
    R("GET", "/api/v1/users/:id/do/get"),
    R("GET", "/"),
    R("GET", "/files/*"),
    {0},
};

static const char *find(struct router *r, const char *method, const char *path,
                        struct router_hit *hit)
{
    return router_match(r, str_of(method), str_of(path), hit) ? hit->route->path : NULL;
}

static void test_match(void **state)
{
    (void)state;
    struct fixture f;
    struct router *r;
    struct router_hit hit;
    tn_err err = TN_ERR_INIT;
    fixture_init(&f, good);
    assert_int_equal(router_create(&r, &err), TN_OK);
    assert_int_equal(router_add(r, &f.hp, &err), TN_OK);
    static const struct {
        const char *method, *path, *want, *params[3];
    } cases[] = {
        {"GET", "/api/v1/sync/a", "/api/v1/sync/:id", {"a"}},
        {"POST", "/api/v1/sync/a", "/api/v1/sync/:id", {"a"}},
        {"PUT", "/api/v1/sync/a", NULL, {NULL}},
        {"HEAD", "/api/v1/sync/a/s", "/api/v1/sync/:id/:format", {"a", "s"}},
        {"HEAD", "/files/a", "/files/*", {"a"}},
        {"HEAD", "/none", NULL, {NULL}},
        {"GET", "/api/v1/sync/a/s", "/api/v1/sync/:id/:format", {"a", "s"}},
        {"GET", "/api/v1/sync/a/s/x/y.csv", "/api/v1/sync/:id/:format/*", {"a", "s", "x/y.csv"}},
        {"GET", "/api/v1/sync/", NULL, {NULL}},
        {"GET", "/api/v1/sync", NULL, {NULL}},
        {"GET", "/api/v1/users/do/list", "/api/v1/users/do/list", {NULL}},
        {"GET", "/api/v1/users/do/do/get", "/api/v1/users/:id/do/get", {"do"}},
        {"GET", "/api/v1/users/u-1/do/get", "/api/v1/users/:id/do/get", {"u-1"}},
        {"GET", "/", "/", {NULL}},
        {"GET", "/files/", "/files/*", {""}},
        {"GET", "/files/a", "/files/*", {"a"}},
        {"GET", "files/a", NULL, {NULL}},
        {"GET", "", NULL, {NULL}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *got = find(r, cases[i].method, cases[i].path, &hit);
        if (cases[i].want == NULL) {
            assert_null(got);
            assert_ptr_equal(hit.api, &f.hp);
            continue;
        }
        assert_non_null(got);
        assert_string_equal(got, cases[i].want);
        uint32_t n = 0;
        while (n < 3 && cases[i].params[n] != NULL) {
            assert_true(n < hit.nparams && str_is(hit.params[n], cases[i].params[n]));
            n++;
        }
        assert_int_equal(n, hit.nparams);
    }
    router_destroy(r);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        tn_route routes[3];
        const char *text;
    } cases[] = {
        {{{.method = "GET", .path = "/x", .handler = handler}}, "no permission entry"},
        {{{.method = "GET", .path = "x", .permission = "public", .handler = handler}},
         "starts with /"},
        {{{.method = "GET", .path = "/x", .permission = "public"}}, "a handler"},
        {{R("GET", "/a/:x"), R("GET", "/a/:y")}, "registered twice"},
        {{R("GET", "/:a/:b/:c/:d/:e/:f/:g/:h")}, "more than 7 parameters"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture f;
        struct router *r;
        tn_err err = TN_ERR_INIT;
        fixture_init(&f, cases[i].routes);
        assert_int_equal(router_create(&r, &err), TN_OK);
        assert_int_not_equal(router_add(r, &f.hp, &err), TN_OK);
        assert_non_null(strstr(err.msg, cases[i].text));
        router_destroy(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_match),
                                       cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
