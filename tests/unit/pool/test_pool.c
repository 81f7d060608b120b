/* SPDX-License-Identifier: Apache-2.0 */
/* Pools over a connector that lives in this program and does what the test says. */
#include "tests/unit/base/unit.h"

#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/str.h"
#include "kernel/pool/pool_int.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the double ------------------------------------------------------------------------------------ */

struct double_conf {
    const char *name, *long_name_ok;
    tn_secret password;
};
static const tn_field fields[] = {
    {TN_FIELD(struct double_conf, name), .dflt = "nobody", .doc = "A name."},
    {TN_FIELD(struct double_conf, long_name_ok), .doc = "Another."},
    {TN_FIELD(struct double_conf, password), .doc = "A secret."},
    {0},
};
static struct {
    atomic_int opened, closed, broken, resets, checks, alive, most;
    atomic_int open_rc, check_rc, reset_rc, invoke_rc, flags, nap_ms;
    atomic_int endless, works, cancels, slow_cancel_ms; /* operations end when they are canceled */
} d;
struct native {
    int dirty;
    atomic_bool stop;
};
static atomic_int *d_open, *d_most; /* of several processes; may be NULL */

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

static uint64_t now_ns;
static uint64_t mock_now(void)
{
    return now_ns;
}

static struct pools *ps;
static struct pool *p;

static void start(const char *config)
{
    memset(&d, 0, sizeof d);
    assert_int_equal(pools_create(&registry, &ps, NULL), TN_OK);
    tn_err err = TN_ERR_INIT;
    if (pools_get(ps, "c1", "double", str_of(config), 1, &p, &err) != TN_OK) {
        fail_msg("%s", err.msg);
    }
}

static void stop(void)
{
    pool_unref(p);
    pools_destroy(ps);
    assert_int_equal(d.opened, d.closed);
    clock_inject(NULL, NULL);
}

static struct pool_conn *get(uint64_t owner, int exclusive)
{
    struct pool_conn *c = NULL;
    tn_err err = TN_ERR_INIT;
    if (pool_acquire(p, owner, "a__b:1", exclusive, 0, &c, &err) != TN_OK) {
        fail_msg("%s", err.msg);
    }
    return c;
}

static tn_rc work(struct pool_conn *c, uint32_t method, tn_result *ret, tn_err *err)
{
    const tn_args none = {0};
    return pool_invoke(c, method, &none, 0, ret, err);
}

static int leaks;
static void leaked(void *user, const char *id, const char *where)
{
    (void)user;
    assert_string_equal(id, "c1");
    assert_string_equal(where, "a__b:1");
    leaks++;
}

/* ---- tests ------------------------------------------------------------------------------------------- */

static void test_session_of_a_call(void **state)
{
    (void)state;
    tn_result r;
    start("{}");
    for (uint32_t i = 0; i < 3; i++) {
        struct pool_conn *c = get(1, 0);
        assert_int_equal(work(c, 1, &r, NULL), TN_OK);
        assert_int_equal(r.method, i); /* the same session goes on */
        pool_put(c);
    }
    assert_int_equal(d.resets, 0);
    pools_end(ps, 1, leaked, NULL);
    assert_int_equal(d.resets, 1);
    struct pool_conn *c = get(2, 0);
    assert_int_equal(work(c, 1, &r, NULL), TN_OK);
    assert_int_equal(r.method, 0); /* and the next call starts anew on the same connection */
    assert_int_equal(d.opened, 1);
    pool_put(c);
    pools_end(ps, 2, leaked, NULL);
    assert_int_equal(leaks, 0);
    stop();
}

static void test_forgotten_transaction(void **state)
{
    (void)state;
    start("{}");
    leaks = 0;
    struct pool_conn *t = get(7, 1), *c = get(7, 0);
    assert_ptr_not_equal(t, c);
    pool_put(t); /* a transaction is not busy between two statements, and still nobody else's */
    pool_put(c);
    c = get(7, 0);
    assert_ptr_not_equal(t, c);
    pool_put(c);
    pools_end(ps, 7, leaked, NULL);
    assert_int_equal(leaks, 1);
    assert_int_equal(d.resets, 2);
    stop();
}

static void test_nobody_left(void **state)
{
    (void)state;
    tn_err err = TN_ERR_INIT;
    struct pool_conn *none = NULL;
    start("{\"pool\":{\"max\":2,\"acquire\":\"30ms\"}}");
    struct pool_conn *a = get(1, 1), *b = get(1, 1);
    assert_int_equal(pool_acquire(p, 1, "a__b:9", 0, 0, &none, &err), TN_E_LIMIT);
    assert_non_null(strstr(err.msg, "connector `c1`: all 2 connections"));
    assert_non_null(strstr(err.msg, "a__b:1 for 0.0 s (transaction or stream)"));
    pool_release(a);
    assert_int_equal(pool_acquire(p, 1, "a__b:9", 0, 0, &none, &err), TN_OK);
    pool_put(none);
    pool_release(b);
    pools_end(ps, 1, leaked, NULL);
    stop();
}

static void test_breaker(void **state)
{
    (void)state;
    tn_err err = TN_ERR_INIT;
    struct pool_conn *c = NULL;
    start("{}");
    now_ns = 1000 * NS_PER_S;
    clock_inject(mock_now, NULL);
    d.open_rc = TN_E_UNAVAIL;
    for (int i = 0; i < BREAKER_FAILURES; i++) {
        assert_int_equal(pool_acquire(p, 1, "w", 0, 0, &c, &err), TN_E_UNAVAIL);
        assert_string_equal(err.msg, "connector `c1`: it was told to fail with -8");
    }
    d.open_rc = 0;
    assert_int_equal(pool_acquire(p, 1, "w", 0, 0, &c, &err), TN_E_UNAVAIL);
    assert_non_null(strstr(err.msg, "is not tried for another 10.0 s"));
    assert_int_equal(err.flags, TN_ERR_RETRY);
    assert_int_equal(d.opened, 0);
    now_ns += BREAKER_NS; /* half open: one attempt, which succeeds and closes the breaker */
    assert_int_equal(pool_acquire(p, 1, "w", 0, 0, &c, &err), TN_OK);
    pool_put(c);
    pools_end(ps, 1, leaked, NULL);
    stop();
}

static void test_ages(void **state)
{
    (void)state;
    start("{\"pool\":{\"idle\":\"60s\",\"life\":\"30m\",\"check\":\"15s\"}}");
    now_ns = 1000 * NS_PER_S;
    clock_inject(mock_now, NULL);
    pool_put(get(1, 0));
    pools_end(ps, 1, leaked, NULL);
    now_ns += 14 * NS_PER_S;
    pool_release(get(2, 0));
    assert_int_equal(d.checks, 0);
    now_ns += 16 * NS_PER_S;
    pool_release(get(3, 0));
    assert_int_equal(d.checks, 1);
    d.check_rc = TN_E_UNAVAIL; /* a dead one is replaced without a word */
    now_ns += 16 * NS_PER_S;
    pool_release(get(4, 0));
    assert_int_equal(d.opened, 2);
    assert_int_equal(d.broken, 1);
    d.check_rc = 0;
    assert_int_equal(pools_sweep(ps), now_ns + 60 * NS_PER_S);
    assert_int_equal(d.alive, 1);
    now_ns += 60 * NS_PER_S;
    assert_int_equal(pools_sweep(ps), 0);
    assert_int_equal(d.alive, 0);
    pool_release(get(5, 0));
    now_ns += 33 * 60 * NS_PER_S + NS_PER_S; /* beyond its life, whatever the jitter */
    pool_release(get(6, 0));
    assert_int_equal(d.opened, 4);
    stop();
}

static void test_dead_connections(void **state)
{
    (void)state;
    tn_result r;
    tn_err err = TN_ERR_INIT;
    start("{}");
    /* Nothing was sent: the first operation of a call gets another connection, unseen. */
    struct pool_conn *c = get(1, 0);
    d.invoke_rc = TN_E_UNAVAIL;
    d.flags = TN_ERR_RETRY | TN_ERR_CONN_BROKEN;
    assert_int_equal(work(c, 2, &r, &err), TN_OK);
    assert_int_equal(d.opened, 2);
    /* The second one has a session to lose: it hears about it, the third gets a new connection. */
    d.invoke_rc = TN_E_UNAVAIL;
    assert_int_equal(work(c, 2, &r, &err), TN_E_UNAVAIL);
    assert_string_equal(err.msg, "connector `c1`: it was told to fail with -8");
    pool_put(c);
    assert_int_equal(d.alive, 0);
    c = get(1, 0);
    assert_int_equal(work(c, 1, &r, &err), TN_OK);
    assert_int_equal(r.method, 0);
    pool_put(c);
    /* An error of the statement breaks nothing. */
    c = get(1, 0);
    d.invoke_rc = TN_E_REMOTE;
    d.flags = 0;
    assert_int_equal(work(c, 2, &r, &err), TN_E_REMOTE);
    pool_put(c);
    assert_int_equal(d.alive, 1);
    /* What cannot be reset is closed. */
    d.reset_rc = TN_E_UNAVAIL;
    pools_end(ps, 1, leaked, NULL);
    assert_int_equal(d.alive, 0);
    stop();
}

static void test_configuration(void **state)
{
    (void)state;
    struct pool *other = NULL;
    tn_err err = TN_ERR_INIT;
    start("{\"name\":\"x\"}");
    assert_int_equal(pools_get(ps, "c1", "double", TN_STR("{\"name\":\"x\"}"), 0, &other, &err),
                     TN_OK);
    assert_ptr_equal(other, p);
    pool_unref(other);
    assert_int_equal(pools_get(ps, "c1", "double",
                               TN_STR("{\"name\":\"y\",\"zzz\":1,\"password\":\"\"}"), 0, &other,
                               &err),
                     TN_OK);
    assert_ptr_not_equal(other,
                         p); /* options make another pool; what is unknown or empty is ignored */
    pool_unref(other);
    assert_int_equal(
        pools_get(ps, "c1", "double", TN_STR("{\"longNameOK\":\"z\"}"), 1, &other, &err),
        TN_OK); /* settings are also known by their spelling in rows of the original */
    assert_string_equal(((const struct double_conf *)other->pi.conf)->long_name_ok, "z");
    pool_unref(other);
    const struct {
        const char *config, *says;
    } bad[] = {{"{\"nam\":\"x\"}", "have no setting `nam`; did you mean `name`?"},
               {"{\"pool\":{\"max\":0}}", "max"},
               {"{\"pool\":{\"min\":3}}", "pool.min = 3 is more than pool.max = 2"},
               {"[1]", "no JSON object"},
               {"{\"name\":", "no JSON object"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(pools_get(ps, "c2", "double", str_of(bad[i].config), 1, &other, &err),
                         TN_E_CONFIG);
        assert_non_null(strstr(err.msg, bad[i].says));
    }
    assert_int_equal(pools_get(ps, "c2", "triple", TN_STR("{}"), 1, &other, &err), TN_E_UNSUPP);
    stop();
}

static void test_too_many_pools(void **state)
{
    (void)state;
    struct pool *held[POOL_POOLS_MAX], *one = NULL;
    tn_err err = TN_ERR_INIT;
    char id[16];
    start("{}");
    for (int i = 0; i < POOL_POOLS_MAX - 1; i++) {
        snprintf(id, sizeof id, "x%d", i);
        assert_int_equal(pools_get(ps, id, "double", TN_STR("{}"), 0, &held[i], &err), TN_OK);
    }
    assert_int_equal(pools_get(ps, "more", "double", TN_STR("{}"), 0, &one, &err), TN_E_LIMIT);
    pool_unref(held[5]); /* nobody uses it: it makes room */
    assert_int_equal(pools_get(ps, "more", "double", TN_STR("{}"), 0, &one, &err), TN_OK);
    pool_unref(one);
    for (int i = 0; i < POOL_POOLS_MAX - 1; i++) {
        if (i != 5) {
            pool_unref(held[i]);
        }
    }
    stop();
}

static void test_a_child_abandons(void **state)
{
    (void)state;
    tn_result r;
    start("{}");
    struct pool_conn *c = get(1, 0);
    pid_t pid = fork();
    if (pid == 0) {
        tn_err err = TN_ERR_INIT;
        int bad = work(c, 1, &r, &err) != TN_E_UNAVAIL;
        pool_put(c);
        pool_release(c);
        struct pool_conn *own = get(1, 0);
        bad |= own == c || d.opened != 2 || d.closed != 0 || d.resets != 0;
        bad |= work(own, 1, &r, &err) != TN_OK;
        pool_release(own);
        _exit(bad);
    }
    int status = 1;
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(work(c, 1, &r, NULL), TN_OK); /* the parent did not notice */
    pool_put(c);
    pools_end(ps, 1, leaked, NULL);
    stop();
}

static void *many(void *arg)
{
    (void)arg;
    for (int i = 0; i < 200; i++) {
        tn_result r;
        struct pool_conn *c = get(1, i % 7 == 0);
        work(c, 1, &r, NULL);
        if (i % 7 == 0) {
            pool_release(c);
        } else {
            pool_put(c);
        }
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    pthread_t t[6];
    start("{\"pool\":{\"max\":3,\"acquire\":\"60s\"}}");
    for (size_t i = 0; i < 6; i++) {
        pthread_create(&t[i], NULL, many, NULL);
    }
    for (size_t i = 0; i < 6; i++) {
        pthread_join(t[i], NULL);
    }
    assert_true(d.most <= 3);
    pools_end(ps, 1, leaked, NULL);
    struct buf out = BUF_INIT(0);
    pools_status(ps, &out);
    assert_non_null(strstr(buf_str(&out).s, "\"queries\":1200"));
    assert_non_null(strstr(buf_str(&out).s, "\"leased\":0"));
    buf_finish(&out);
    stop();
}

/* Another worker: takes n connections, says so, and keeps them until it is killed. */
static pid_t worker(int n)
{
    int told[2];
    char c;
    assert_int_equal(pipe(told), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(told[0]);
        for (int i = 0; i < n; i++) {
            get(1, 1);
        }
        _exit(write(told[1], "x", 1) == 1 ? pause() : 1);
    }
    close(told[1]);
    for (int i = 0; i < 400 && waitpid(pid, NULL, WNOHANG) == 0; i++) {
        struct pollfd f = {.fd = told[0], .events = POLLIN};
        if (poll(&f, 1, 5) == 1) {
            break;
        }
        pools_sweep(ps); /* what a worker that sleeps does */
    }
    assert_int_equal(read(told[0], &c, 1), 1);
    close(told[0]);
    return pid;
}

static void fire(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void test_all_workers_together(void **state)
{
    (void)state;
    const char *config = "{\"pool\":{\"max\":3,\"max_total\":2,\"acquire\":\"300ms\"}}";
    struct pool_conn *c = NULL;
    tn_err err = TN_ERR_INIT;
    start(config);
    pid_t pid = worker(2);
    assert_int_equal(pool_acquire(p, 1, "a__b:1", 0, 0, &c, &err), TN_E_LIMIT);
    assert_non_null(strstr(err.msg, "all 2 connections that pool.max_total allows"));
    fire(pid); /* the kernel gives back what it had */
    pool_put(get(1, 1));
    pool_put(get(1, 1));
    assert_int_equal(pool_acquire(p, 1, "a__b:1", 1, 0, &c, &err), TN_E_LIMIT);
    pools_end(ps, 1, leaked, NULL);
    assert_int_equal(d.closed, 0); /* nobody waits: both stay */
    pid = worker(1);
    assert_true(d.closed >= 1); /* somebody does: idle ones go */
    pool_put(get(2, 1));
    fire(pid);
    pools_end(ps, 2, leaked, NULL);
    /* With other options it is another pool of the same connector, and the same seats. */
    struct pool *other = NULL, *was = p;
    pool_put(get(3, 1));
    pool_put(get(3, 1));
    pools_end(ps, 3, leaked, NULL);
    assert_int_equal(pools_get(ps, "c1", "double",
                               str_of("{\"name\":\"x\",\"pool\":{\"max\":3,\"max_total\":2}}"), 1,
                               &other, &err),
                     TN_OK);
    p = other;
    pool_put(get(4, 1));
    pools_end(ps, 4, leaked, NULL);
    p = was;
    pool_unref(other);
    leaks = 0;
    stop();
}

static void *crowd(void *arg)
{
    (void)arg;
    for (int i = 0; i < 30; i++) {
        tn_result r;
        struct pool_conn *c = get(1, 1);
        work(c, 1, &r, NULL);
        pool_release(c);
    }
    return NULL;
}

/* Workers that all want what is there for a few: everybody gets his turn, and never more are open. */
static void test_a_crowd_of_workers(void **state)
{
    (void)state;
    pid_t pids[6];
    struct crowd {
        atomic_int open, most;
    } *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                     0);
    assert_true(shared != MAP_FAILED);
    start("{\"pool\":{\"max\":2,\"max_total\":3,\"acquire\":\"60s\"}}");
    d.nap_ms = 1;
    d_open = &shared->open;
    d_most = &shared->most;
    for (size_t i = 0; i < 6; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            pthread_t t[2];
            pthread_create(&t[0], NULL, crowd, NULL);
            pthread_create(&t[1], NULL, crowd, NULL);
            pthread_join(t[0], NULL);
            pthread_join(t[1], NULL);
            pool_unref(p);
            pools_destroy(ps);
            _exit(0);
        }
    }
    for (size_t i = 0; i < 6; i++) {
        int status = 1;
        waitpid(pids[i], &status, 0);
        assert_int_equal(status, 0);
    }
    assert_int_equal(shared->open, 0);
    assert_in_range(shared->most, 1, 3);
    d_open = d_most = NULL;
    munmap(shared, sizeof *shared);
    stop();
}

/* What waits for a server. */
static void *endless(void *arg)
{
    (void)arg;
    tn_result r;
    tn_err err = TN_ERR_INIT;
    struct pool_conn *c = get(1, 0);
    assert_int_equal(work(c, 1, &r, &err), TN_E_CANCELED);
    c->broken = 1;
    pool_put(c);
    return NULL;
}

static void await(const atomic_int *what, int wanted)
{
    for (int i = 0; i < 5000 && *what != wanted; i++) {
        usleep(1000);
    }
    assert_int_equal(*what, wanted);
}

static void on_signal(int sig)
{
    (void)sig;
    pools_cancel(ps);
}

static void test_cancel(void **state)
{
    (void)state;
    pthread_t t[3];
    tn_result r;
    start("{\"pool\":{\"max\":4}}");
    pools_cancel(ps); /* nobody works: nothing remembers it */
    struct pool_conn *other = get(1, 0);
    assert_int_equal(work(other, 1, &r, NULL), TN_OK);
    d.endless = 1;
    d.slow_cancel_ms = 20;
    for (size_t i = 0; i < 3; i++) {
        pthread_create(&t[i], NULL, endless, NULL);
    }
    await(&d.works, 3);
    signal(SIGUSR1, on_signal);
    raise(SIGUSR1);
    for (size_t i = 0; i < 3; i++) {
        pthread_join(t[i], NULL);
    }
    assert_int_equal(d.cancels, 3); /* each once, and not the one that rests */
    assert_int_equal(d.broken, 3);
    d.endless = 0;
    assert_int_equal(work(other, 1, &r, NULL), TN_OK); /* what begins afterwards is not concerned */
    assert_int_equal(d.cancels, 3);
    pool_put(other);
    pools_end(ps, 1, leaked, NULL);
    signal(SIGUSR1, SIG_DFL);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_session_of_a_call),
        cmocka_unit_test(test_forgotten_transaction),
        cmocka_unit_test(test_nobody_left),
        cmocka_unit_test(test_breaker),
        cmocka_unit_test(test_ages),
        cmocka_unit_test(test_dead_connections),
        cmocka_unit_test(test_configuration),
        cmocka_unit_test(test_too_many_pools),
        cmocka_unit_test(test_a_child_abandons),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_all_workers_together),
        cmocka_unit_test(test_a_crowd_of_workers),
        cmocka_unit_test(test_cancel),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
