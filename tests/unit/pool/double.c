/* SPDX-License-Identifier: Apache-2.0 */
/* A connector that lives in the test program and does what the test says, and a pool over it. */
#include "tests/unit/pool/double.h"

#include "kernel/base/err.h"
#include "kernel/base/str.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the connector ----------------------------------------------------------------------------------- */

static const tn_field fields[] = {
    {TN_FIELD(struct double_conf, name), .dflt = "nobody", .doc = "A name."},
    {TN_FIELD(struct double_conf, long_name_ok), .doc = "Another."},
    {TN_FIELD(struct double_conf, password), .doc = "A secret."},
    {0},
};
struct native {
    int dirty;
    atomic_bool stop;
};

struct double_state d;
atomic_int *d_open, *d_most;
struct pools *ps;
struct pool *p;
int leaks;

static void count_open(int n)
{
    if (d_open != NULL) {
        int open = atomic_fetch_add(d_open, n) + n, most = atomic_load(d_most);
        while (open > most && !atomic_compare_exchange_weak(d_most, &most, open)) {}
    }
}

static tn_rc refuse(tn_err *err, int rc)
{
    return rc == 0 ? TN_OK : err_set(err, rc, "it was told to fail with %d", rc);
}

static tn_rc on_open(void *inst, uint64_t deadline_ns, void **ret, tn_err *err)
{
    (void)inst, (void)deadline_ns;
    if (d.open_rc != 0) {
        return refuse(err, d.open_rc);
    }
    *ret = calloc(1, sizeof(struct native));
    d.opened++;
    count_open(1);
    int alive = ++d.alive;
    if (alive > d.most) {
        d.most = alive;
    }
    return TN_OK;
}

static tn_rc on_check(void *inst, void *conn, uint64_t deadline_ns, tn_err *err)
{
    (void)inst, (void)conn, (void)deadline_ns;
    d.checks++;
    return refuse(err, d.check_rc);
}

static tn_rc on_reset(void *inst, void *conn, tn_err *err)
{
    (void)inst;
    d.resets++;
    ((struct native *)conn)->dirty = 0;
    return refuse(err, d.reset_rc);
}

static void on_close(void *inst, void *conn, uint32_t why)
{
    (void)inst;
    d.closed++;
    count_open(-1);
    d.alive--;
    d.broken += why == TN_CLOSE_BROKEN;
    free(conn);
}

static tn_rc on_invoke(void *inst, void *conn, uint32_t method, const tn_args *args,
                       uint64_t deadline_ns, tn_result *ret, tn_err *err)
{
    (void)inst, (void)args, (void)deadline_ns;
    struct native *n = conn;
    if (d.nap_ms != 0) {
        usleep((useconds_t)d.nap_ms * 1000);
    }
    if (d.endless != 0) {
        d.works++;
        while (!n->stop) {
            usleep(200);
        }
        n->stop = false;
        d.works--;
        return refuse(err, TN_E_CANCELED);
    }
    if (d.invoke_rc != 0) {
        int rc = d.invoke_rc;
        refuse(err, rc);
        err->flags = (uint32_t)d.flags;
        d.invoke_rc = method == 2 ? 0 : rc; /* method 2 fails once */
        return rc;
    }
    *ret = (tn_result){NULL, (uint32_t)n->dirty, 0};
    n->dirty++;
    return TN_OK;
}

static tn_rc on_emit(void *inst, const tn_result *r, tn_sink *sink, tn_err *err)
{
    (void)inst, (void)r, (void)sink, (void)err;
    return TN_OK;
}

static void on_free(void *inst, tn_result *r)
{
    (void)inst, (void)r;
}

static void on_cancel(void *inst, void *conn)
{
    (void)inst;
    struct native *n = conn;
    n->stop = true;
    if (d.slow_cancel_ms !=
        0) { /* the operation comes back first, and its connection must not go */
        usleep((useconds_t)d.slow_cancel_ms * 1000);
        n->dirty = 0;
    }
    d.cancels++;
}

static const tn_method methods[] = {{"work", "", "Works.", 1, 0}, {0}};
static const tn_connector_ops ops = {.size = sizeof ops,
                                     .methods = methods,
                                     .open = on_open,
                                     .check = on_check,
                                     .reset = on_reset,
                                     .close = on_close,
                                     .invoke = on_invoke,
                                     .emit = on_emit,
                                     .result_free = on_free,
                                     .cancel = on_cancel};
static struct plug plug = {.desc = {.kind = TN_KIND_CONNECTOR,
                                    .name = "double",
                                    .version = "1.0.0",
                                    .config = fields,
                                    .conf_size = sizeof(struct double_conf),
                                    .inst_size = 8},
                           .ops = &ops,
                           .loaded = 1};
static struct plug *plugs[] = {&plug};
static const struct plug_registry registry = {.plugs = plugs, .n = 1};

/* ---- a pool over it ---------------------------------------------------------------------------------- */

void start(const char *config)
{
    memset(&d, 0, sizeof d);
    assert_int_equal(pools_create(&registry, &ps, NULL), TN_OK);
    tn_err err = TN_ERR_INIT;
    if (pools_get(ps, "c1", "double", str_of(config), 1, &p, &err) != TN_OK) {
        fail_msg("%s", err.msg);
    }
}

void stop(void)
{
    pool_unref(p);
    pools_destroy(ps);
    assert_int_equal(d.opened, d.closed);
    clock_inject(NULL, NULL);
}

struct pool_conn *get(uint64_t owner, int exclusive)
{
    struct pool_conn *c = NULL;
    tn_err err = TN_ERR_INIT;
    if (pool_acquire(p, owner, "a__b:1", exclusive, 0, &c, &err) != TN_OK) {
        fail_msg("%s", err.msg);
    }
    return c;
}

tn_rc work(struct pool_conn *c, uint32_t method, tn_result *ret, tn_err *err)
{
    const tn_args none = {0};
    return pool_invoke(c, method, &none, 0, ret, err);
}

void leaked(void *user, const char *id, const char *where)
{
    (void)user;
    assert_string_equal(id, "c1");
    assert_string_equal(where, "a__b:1");
    leaks++;
}
