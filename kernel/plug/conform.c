/* SPDX-License-Identifier: Apache-2.0 */
/* What the contract promises of connectors and authentication methods, tried on a live one. */
#include "kernel/plug/conform.h"

#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/fd.h"
#include "kernel/base/str.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define SOON()   (clock_mono_ns() + 10 * NS_PER_S)
#define ARGS_MAX 16

struct bench {
    const struct conform *to;
    const tn_connector_ops *ops;
    void *inst;
};

/* Did a failing function report as it must? Says what is wrong, or NULL. */
static const char *bad_report(tn_rc rc, const tn_err *err)
{
    static char text[160];
    if (rc == TN_OK) {
        return NULL;
    }
    if (rc > TN_OK || rc < TN_E_CONFLICT) {
        snprintf(text, sizeof text, "returns %d, which is no code of the contract", rc);
    } else if (err->rc != rc) {
        snprintf(text, sizeof text, "returns %s but err.rc is %s", err_rc_name(rc),
                 err_rc_name(err->rc));
    } else if (memchr(err->msg, '\0', sizeof err->msg) == NULL || err->msg[0] == '\0') {
        snprintf(text, sizeof text, "returns %s without a text in err.msg", err_rc_name(rc));
    } else if (!str_utf8_valid(str_of(err->msg))) {
        snprintf(text, sizeof text, "err.msg is not UTF-8");
    } else {
        return NULL;
    }
    return text;
}

static void settle(const struct bench *b, const char *problem)
{
    if (problem != NULL) {
        b->to->fail("%s", problem);
    } else {
        b->to->pass();
    }
}

static void *open_one(const struct bench *b)
{
    void *conn = NULL;
    tn_err err = TN_ERR_INIT;
    b->to->step("open() within 10 s");
    tn_rc rc = b->ops->open(b->inst, SOON(), &conn, &err);
    if (rc != TN_OK) {
        const char *bad = bad_report(rc, &err);
        b->to->fail("%s%s%s: %s", bad != NULL ? bad : "", bad != NULL ? "; " : "", err_rc_name(rc),
                    err.msg);
        return NULL;
    }
    b->to->pass();
    return conn;
}

static void late_open(const struct bench *b)
{
    void *untouched = (void *)b, *conn = untouched;
    tn_err err = TN_ERR_INIT;
    b->to->step("open() with a deadline in the past");
    tn_rc rc = b->ops->open(b->inst, 1, &conn, &err);
    if (rc == TN_OK) {
        b->to->fail("succeeds; it must see that no time is left");
        b->ops->close(b->inst, conn, TN_CLOSE_NORMAL);
    } else if (conn != untouched) {
        b->to->fail("touches *ret_conn although it fails");
    } else {
        settle(b, bad_report(rc, &err));
    }
}

static void expect_ok(const struct bench *b, tn_rc rc, const tn_err *err)
{
    if (rc != TN_OK) {
        b->to->fail("%s: %s", err_rc_name(rc), err->msg);
    } else {
        b->to->pass();
    }
}

static void check_and_reset(const struct bench *b, void *conn, const char *when)
{
    tn_err err = TN_ERR_INIT;
    b->to->step("reset() %s", when);
    tn_rc rc = b->ops->reset(b->inst, conn, &err);
    expect_ok(b, rc, &err);
    err = (tn_err)TN_ERR_INIT;
    b->to->step("check() %s", when);
    rc = b->ops->check(b->inst, conn, SOON(), &err);
    expect_ok(b, rc, &err);
}

/* An invoke() that must not succeed; whatever it returns, it must report well and leave ret alone. */
static void refused(const struct bench *b, void *conn, uint32_t method, const tn_args *args,
                    uint64_t deadline_ns, int may_succeed)
{
    tn_result r = {(void *)b, 77, 88};
    tn_err err = TN_ERR_INIT;
    tn_rc rc = b->ops->invoke(b->inst, conn, method, args, deadline_ns, &r, &err);
    if (rc == TN_OK) {
        b->ops->result_free(b->inst, &r);
        if (may_succeed) {
            b->to->pass();
        } else {
            b->to->fail("succeeds");
        }
    } else if (r.native != (const void *)b || r.method != 77 || r.flags != 88) {
        b->to->fail("touches *ret although it fails with %s", err_rc_name(rc));
    } else {
        settle(b, bad_report(rc, &err));
    }
}

static int wants_arguments(const tn_method *m)
{
    const char *first = m->args;
    size_t n = strcspn(first, ",");
    return n != 0 && memchr(first, '=', n) == NULL && first[0] != '*';
}

static void bad_calls(const struct bench *b, void *conn)
{
    const tn_args none = {NULL, 0, 0, NULL};
    b->to->step("invoke() of a method id that is in no table");
    refused(b, conn, 0xFFFFFFF0u, &none, SOON(), 0);
    for (const tn_method *m = b->ops->methods; m->name != NULL; m++) {
        if (!wants_arguments(m)) {
            continue; /* it would do something */
        }
        const tn_val inner = {.type = TN_T_NULL};
        const tn_pair pair = {{.type = TN_T_STR, .n = 1, .u.s = "x"}, {.type = TN_T_NULL}};
        const tn_val odd[] = {{.type = TN_T_MAP, .n = 1, .u.map = &pair},
                              {.type = TN_T_LIST, .n = 1, .u.list = &inner},
                              {.type = TN_T_BYTES, .n = 0}};
        const tn_args wrong = {odd, 1, 0, NULL};
        const tn_pair kw = {{.type = TN_T_STR, .n = 8, .u.s = "nosucharg"}, odd[1]};
        const tn_args by_name = {NULL, 0, 1, &kw}, many = {odd, 3, 0, NULL};
        b->to->step("%s() without its arguments", m->name);
        refused(b, conn, m->id, &none, SOON(), 0);
        b->to->step("%s() with a map as first argument", m->name);
        refused(b, conn, m->id, &wrong, SOON(), 1);
        b->to->step("%s() with an unknown keyword alone", m->name);
        refused(b, conn, m->id, &by_name, SOON(), 0);
        b->to->step("%s() with a map, a list and empty bytes", m->name);
        refused(b, conn, m->id, &many, SOON(), 1);
        b->to->step("%s() with a deadline in the past", m->name);
        refused(b, conn, m->id, &wrong, 1, 0);
    }
}

/* ---- calls in earnest ------------------------------------------------------------------------------ */

static tn_val value_of(const json_t *j)
{
    switch (json_typeof(j)) {
    case JSON_TRUE:
    case JSON_FALSE:
        return (tn_val){.type = TN_T_BOOL, .u.i = json_is_true(j)};
    case JSON_INTEGER:
        return (tn_val){.type = TN_T_INT, .u.i = json_integer_value(j)};
    case JSON_REAL:
        return (tn_val){.type = TN_T_FLOAT, .u.f = json_real_value(j)};
    case JSON_STRING:
        return (tn_val){
            .type = TN_T_STR, .n = (uint32_t)json_string_length(j), .u.s = json_string_value(j)};
    default:
        return (tn_val){.type = TN_T_NULL}; /* nested arguments are for the bridge's tests */
    }
}

static void emit_twice(const struct bench *b, const char *name, const tn_result *r)
{
    struct conform_sink sink;
    tn_err err = TN_ERR_INIT;
    conform_sink_init(&sink, 0);
    b->to->step("emit() of %s()", name);
    tn_rc rc = b->ops->emit(b->inst, r, &sink.sink, &err);
    const char *bad = conform_sink_verdict(&sink);
    if (rc != TN_OK) {
        b->to->fail("%s: %s", err_rc_name(rc), err.msg);
    } else {
        settle(b, bad);
    }
    unsigned calls = sink.calls;
    for (unsigned at = 1; at <= calls && at <= 3; at++) {
        b->to->step("emit() of %s() into a sink that fails at call %u", name, at);
        conform_sink_init(&sink, at);
        rc = b->ops->emit(b->inst, r, &sink.sink, &err);
        bad = conform_sink_verdict(&sink);
        if (rc != TN_E_CANCELED) {
            b->to->fail("returns %s; the sink's error must come back", err_rc_name(rc));
        } else {
            settle(b, bad);
        }
    }
}

static void real_call(const struct bench *b, void *conn, const struct conform_call *call)
{
    const tn_method *m = b->ops->methods;
    while (m->name != NULL && strcmp(m->name, call->method) != 0) {
        m++;
    }
    b->to->step("%s(%s)", call->method, call->args != NULL ? call->args : "");
    if (m->name == NULL) {
        b->to->fail("no such method");
        return;
    }
    json_t *args = json_loads(call->args != NULL ? call->args : "[]", 0, NULL);
    if (!json_is_array(args) || json_array_size(args) > ARGS_MAX) {
        b->to->fail("arguments are not a JSON array of at most %d", ARGS_MAX);
        json_decref(args);
        return;
    }
    tn_val values[ARGS_MAX];
    size_t n = json_array_size(args);
    for (size_t i = 0; i < n; i++) {
        values[i] = value_of(json_array_get(args, i));
    }
    const tn_args a = {values, (uint32_t)n, 0, NULL};
    tn_result r = {NULL, 0, 0};
    tn_err err = TN_ERR_INIT;
    tn_rc rc = b->ops->invoke(b->inst, conn, m->id, &a, SOON(), &r, &err);
    json_decref(args); /* a plugin that kept a pointer reads freed memory from here on */
    expect_ok(b, rc, &err);
    if (rc == TN_OK) {
        emit_twice(b, m->name, &r);
        b->ops->result_free(b->inst, &r);
    }
}

static void cycles(const struct bench *b)
{
    b->to->step("ten connections open and close without leaving a descriptor");
    int before = fd_count();
    for (int i = 0; i < 10; i++) {
        void *conn = NULL;
        tn_err err = TN_ERR_INIT;
        if (b->ops->open(b->inst, SOON(), &conn, &err) != TN_OK) {
            b->to->fail("number %d does not open: %s", i + 1, err.msg);
            return;
        }
        b->ops->close(b->inst, conn, i % 2 ? TN_CLOSE_BROKEN : TN_CLOSE_NORMAL);
    }
    int after = fd_count();
    if (after != before) {
        b->to->fail("%d descriptors before, %d after", before, after);
    } else {
        b->to->pass();
    }
}

void conform_connector(const struct conform *to, const struct plug_inst *pi,
                       const struct conform_call *calls, size_t ncalls)
{
    const struct bench b = {to, pi->plug->ops, pi->inst};
    late_open(&b);
    void *conn = open_one(&b);
    if (conn == NULL) {
        to->step("everything that needs a connection");
        to->skip("none could be opened; name a server with --config key=value");
        return;
    }
    check_and_reset(&b, conn, "of a fresh connection");
    bad_calls(&b, conn);
    check_and_reset(&b, conn, "after refused calls");
    if (b.ops->cancel != NULL) {
        to->step("cancel() while nothing runs");
        b.ops->cancel(b.inst, conn);
        to->pass();
        check_and_reset(&b, conn, "after a late cancel()");
    }
    for (size_t i = 0; i < ncalls; i++) {
        real_call(&b, conn, &calls[i]);
    }
    if (ncalls == 0) {
        to->step("results");
        to->skip("no method was called; name some with --call METHOD=[arguments]");
    }
    void *second = open_one(&b);
    to->step("close() of both connections");
    if (second != NULL) {
        b.ops->close(b.inst, second, TN_CLOSE_BROKEN);
    }
    b.ops->close(b.inst, conn, TN_CLOSE_NORMAL);
    to->pass();
    cycles(&b);
}

void conform_auth(const struct conform *to, const struct plug_inst *pi)
{
    const tn_auth_ops *ops = pi->plug->ops;
    tn_http_req req = {.size = sizeof req,
                       .method = TN_STR("GET"),
                       .target = TN_STR("/"),
                       .path = TN_STR("/"),
                       .query = TN_STR(""),
                       .scheme = TN_STR("http"),
                       .peer = TN_STR("127.0.0.1")};
    tn_ident ident = {.size = sizeof ident};
    tn_err err = TN_ERR_INIT;
    to->step("check() of a request without headers");
    tn_rc rc = ops->check(pi->inst, &req, &ident, &err);
    const char *bad = bad_report(rc, &err);
    if (bad != NULL) {
        to->fail("%s", bad);
    } else if (rc == TN_OK && memchr(ident.subject, '\0', sizeof ident.subject) == NULL) {
        to->fail("subject is not NUL-terminated");
    } else {
        to->pass();
    }
    for (size_t cap = 0; cap <= 256; cap += 128) {
        char *text = malloc(cap + 1); /* exact, so that a sanitizer sees an overrun */
        to->step("challenge() into %zu bytes", cap);
        size_t n = text != NULL ? ops->challenge(pi->inst, &req, text, cap) : 0;
        if (n > cap) {
            to->fail("says it wrote %zu bytes", n);
        } else if (n > 0 && (memchr(text, '\n', n) != NULL || memchr(text, '\r', n) != NULL)) {
            to->fail("a header value must not hold a line break");
        } else {
            to->pass();
        }
        free(text);
    }
}
