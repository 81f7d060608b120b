/* SPDX-License-Identifier: Apache-2.0 */
/* tenon-hub: assembles settings, plugins, store, broker and frontends, and runs the loop.
 *
 * tenon-hub --ctl FD --listen-fd FD [--listen-fd FD ...] [settings as for tenond] */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/fd.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"
#include "kernel/hub/cache.h"
#include "kernel/hub/groups_conf.h"
#include "kernel/hub/hub.h"
#include "kernel/hub/metrics.h"
#include "kernel/hub/schedules_host.h"
#include "kernel/hub/subs_host.h"
#include "kernel/hub/tasks.h"
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* ---- drain ------------------------------------------------------------------------------------ */
/* Nothing runs any more; what came of the last tasks is still to be written. */
static void hub_leave(void *user)
{
    struct hub *h = user;
    h->draining = 2;
    loop_timer_set(h->loop, h->drain_timer, clock_mono_ns());
}

static void drain_check(void *user)
{
    struct hub *h = user;
    if (h->draining == 2) {
        if (!tasks_busy(h) && !subs_busy(h->subs)) {
            loop_stop(h->loop);
        } else {
            loop_timer_set(h->loop, h->drain_timer, clock_mono_ns() + 5 * NS_PER_MS);
        }
        return;
    }
    /* A start that is under way on a helper thread still uses the broker. */
    if (h->apis_started && exchanges_open(h) == 0 && frontend_active(h) == 0) {
        broker_drain(h->broker, hub_leave, h);
        return;
    }
    loop_timer_set(h->loop, h->drain_timer, clock_mono_ns() + 20 * NS_PER_MS);
}

static void hub_drain(void *user)
{
    struct hub *h = user;
    if (h->draining) {
        return;
    }
    h->draining = 1;
    log_info("draining: %zu requests are open", exchanges_open(h));
    subs_drain(h->subs); /* what they have read already is still stored */
    tasks_drain(h, (uint64_t)h->settings.drain.ms * NS_PER_MS);
    frontend_drain(h);
    drain_check(h);
}

/* ---- start ------------------------------------------------------------------------------------ */
/* Ready when the apis have loaded and the first workers stand by; only then are connections taken. */
static void ready_check(struct hub *h)
{
    if (!h->apis_started || !h->workers_ready || h->draining) {
        return;
    }
    tn_err err = TN_ERR_INIT;
    if (frontend_start(h, &err) != TN_OK) {
        log_alert("%s", err.msg);
        exit(1);
    }
    tasks_start(h);
    tn_str rest = str_of(h->settings.listen), one;
    char url[256];
    str_split(&rest, ',', &one);
    snprintf(url, sizeof url, "http://%.*s", (int)one.n, one.s);
    suplink_ready(h->suplink, url);
}

static void on_workers_ready(void *user)
{
    struct hub *h = user;
    if (!h->workers_ready) {
        h->workers_ready = 1;
        ready_check(h);
    }
}

static void apis_done(void *user)
{
    struct hub *h = user;
    h->apis_started = 1;
    tn_err err = TN_ERR_INIT;
    if (schedules_run(h->schedules, &err) != TN_OK) {
        log_alert("%s", err.msg);
        exit(1);
    }
    ready_check(h);
}

/* On a helper thread. */
static void apis_start(void *user)
{
    struct hub *h = user;
    tn_err err = TN_ERR_INIT;
    if (plugins_start_apis(h, &err) != TN_OK) {
        _exit(1);
    }
    loop_post(h->loop, apis_done, h);
}

static void on_sweep(void *user)
{
    suplink_sweep(((struct hub *)user)->suplink);
}

static void on_zygote(void *user, int fd)
{
    broker_zygote(((struct hub *)user)->broker, fd);
}

/* Workers hold the file that was the log when they were forked. */
static void on_reopened(void *user)
{
    broker_renew(((struct hub *)user)->broker);
}

/* The store's connector; its host table lives as long as the process. */
static tn_rc store_start(struct hub *h, struct hub_plugin *hp, struct conf *c,
                         struct conf_problems *problems, tn_err *err)
{
    struct plug *p = plug_find(&h->registry, TN_KIND_CONNECTOR, h->settings.store);
    if (p == NULL) {
        return err_set(err, TN_E_NOTFOUND, "no connector plugin \"%s\" for the store in %s",
                       h->settings.store, h->settings.plugins);
    }
    hp->hub = h;
    hp->plug = p;
    host_fill(hp);
    char path[4096];
    snprintf(path, sizeof path, "%s/config.db", h->settings.data);
    tn_rc rc = plug_load(p, &hp->host, err);
    if (rc == TN_OK && conf_get(c, "store.path") == NULL) {
        rc = conf_set(c, "store.path", path, "--data");
    }
    if (rc == TN_OK && strcmp(h->settings.store, "sqlite") == 0) {
        rc = conf_set(c, "store.allow_attach", "true",
                      "--data"); /* readers: see kernel/store/side.h */
    }
    if (rc == TN_OK) {
        rc = plug_attach(p, c, "store.", &h->store_conn, problems, err);
    }
    if (rc == TN_OK) {
        rc = store_open(&h->store_conn, h->settings.data, 2, &h->store, err);
    }
    if (rc == TN_OK) {
        rc = keys_open(h->settings.data, h->store, &h->keys, err);
        store_use_keys(h->store, h->keys);
    }
    if (rc == TN_OK) {
        rc = sessions_open(h->store, &h->sessions, err);
    }
    return rc;
}

static tn_rc broker_start(struct hub *h, tn_err *err)
{
    const struct broker_hooks hooks = {.user = h,
                                       .ask = services_ask,
                                       .compiled = code_compiled,
                                       .ready = on_workers_ready,
                                       .sweep = on_sweep};
    struct groups_conf g;
    tn_rc rc = groups_conf(&h->settings, &g, err);
    if (rc == TN_OK) {
        rc = metrics_create(&h->metrics, err);
    }
    if (rc == TN_OK && (rc = pools_watch_create(h)) != TN_OK) {
        err_set(err, rc, "no memory for the figures of pools");
    }
    if (rc == TN_OK) {
        const struct broker_conf conf = {
            .groups = g.groups,
            .ngroups = g.n,
            .worker_calls = (uint32_t)h->settings.worker_calls,
            .grace_ns = NS_PER_S,
            .young_ns = (uint64_t)h->settings.worker_age.ms * NS_PER_MS,
            .idle_ns = (uint64_t)h->settings.worker_idle.ms * NS_PER_MS,
            .metrics = h->metrics};
        rc = broker_create(h->loop, &conf, &hooks, &h->broker, err);
    }
    return rc;
}

static tn_rc hub_start(struct hub *h, int ctl, struct hub_plugin *store_hp,
                       struct conf_problems *problems, tn_err *err)
{
    struct conf *c = h->settings.conf;
    tn_rc rc = plugins_find(h, err);
    if (rc == TN_OK) {
        rc = loop_create(&h->loop, (unsigned)h->settings.helper_threads, err);
    }
    if (rc == TN_OK) {
        rc = router_create(&h->router, err);
    }
    if (rc == TN_OK) {
        rc = code_create(h, err);
    }
    if (rc == TN_OK) {
        rc = services_create(h, err);
    }
    if (rc == TN_OK) {
        rc = exchanges_create(h, err);
    }
    if (rc == TN_OK) {
        rc = auths_create(h, err);
    }
    if (rc == TN_OK) {
        rc = hostcache_create(h, err);
    }
    if (rc == TN_OK) {
        rc = loop_timer(h->loop, drain_check, h, &h->drain_timer, err);
    }
    if (rc == TN_OK) {
        rc = broker_start(h, err);
    }
    if (rc == TN_OK) {
        const struct suplink_hooks hooks = {h, on_zygote, hub_drain, on_reopened};
        rc = suplink_open(h->loop, ctl, &hooks, &h->suplink, err);
    }
    if (rc == TN_OK) {
        rc = store_start(h, store_hp, c, problems, err);
    }
    if (rc == TN_OK) {
        rc = records_create(h, err);
    }
    if (rc == TN_OK) {
        rc = tasks_create(h, err);
    }
    if (rc == TN_OK) {
        rc = schedules_open(h, err);
    }
    if (rc == TN_OK) {
        rc = subs_open(h, err);
    }
    if (rc == TN_OK) {
        rc = plugins_start(h, c, problems, err);
    }
    if (rc == TN_OK) {
        schedules_adopt(h);
    }
    if (rc == TN_OK) {
        rc = loop_defer(h->loop, apis_start, h, err);
    }
    return rc;
}

static void hub_stop(struct hub *h)
{
    if (!subs_stop(h->subs)) {
        _exit(1); /* a thread hangs in its plugin: nothing may be taken from under it */
    }
    frontend_stop(h);
    schedules_stop(h->schedules);
    tasks_stop(h);
    cache_stop(h->cache);
    broker_destroy(h->broker);
    suplink_close(h->suplink);
    loop_destroy(
        h->loop); /* joins the helper threads: from here on nobody uses the store or asks for figures */
    metrics_destroy(h->metrics);
    pools_watch_destroy(h);
    for (size_t i = 0; i < h->nplugins; i++) {
        plug_detach(&h->plugins[i].pi);
    }
    cache_destroy(h->cache);
    auths_destroy(h);
    tasks_destroy(h);
    schedules_destroy(h->schedules);
    subs_close(h);
    records_destroy(h);
    sessions_close(h->sessions);
    keys_close(h->keys);
    store_close(h->store);
    plug_detach(&h->store_conn);
    exchanges_destroy(h);
    services_destroy(h);
    code_destroy(h);
    router_destroy(h->router);
    map_finish(&h->counters, free);
    plug_registry_finish(&h->registry);
    free(h->plugins);
    free(h->listen_fds);
    settings_finish(&h->settings);
}

/* Takes our own options out of argv; what is left goes to the settings. */
static int own_options(int argc, char **argv, struct hub *h, int *ret_ctl, char **rest)
{
    int n = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--ctl") == 0 && i + 1 < argc) {
            *ret_ctl = atoi(argv[++i]);
        } else if (strcmp(argv[i], "--listen-fd") == 0 && i + 1 < argc) {
            int *more = realloc(h->listen_fds, (h->nlisten + 1) * sizeof *more);
            if (more == NULL) {
                return -1;
            }
            h->listen_fds = more;
            h->listen_fds[h->nlisten++] = atoi(argv[++i]);
        } else {
            rest[n++] = argv[i];
        }
    }
    return n;
}

int main(int argc, char **argv)
{
    static struct hub hub; /* the one hub of this process; everything else hangs on it */
    static struct hub_plugin store_hp;
    struct hub *h = &hub;
    int ctl = -1;
    char **rest = calloc((size_t)argc + 1, sizeof *rest);
    int nrest = rest != NULL ? own_options(argc, argv, h, &ctl, rest) : -1;
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_DUMPABLE, 0); /* workers of the same uid must not read our memory */
    if (nrest < 0 || ctl < 0 || h->nlisten == 0 || sodium_init() < 0) {
        fprintf(stderr, "tenon-hub is started by tenond; use: tenon serve\n");
        free(rest);
        return 2;
    }
    struct conf_problems problems = {.text = BUF_INIT(0)};
    tn_rc rc = settings_load(&h->settings, NULL, nrest, rest, &problems);
    settings_hide_environment();
    settings_open_log(&h->settings, "hub");
    if (rc != TN_OK) {
        log_alert("configuration: %s", problems.text.data ? problems.text.data : "unreadable");
        return 1;
    }
    pthread_mutex_init(&h->lock, NULL);
    map_init(&h->counters);
    h->loop_thread = pthread_self();
    h->start_us = clock_wall_us();
    tn_err err = TN_ERR_INIT;
    rc = hub_start(h, ctl, &store_hp, &problems, &err);
    if (rc == TN_OK) {
        rc = loop_run(h->loop, &err);
        atomic_store(&h->ended, 1);
    }
    if (rc != TN_OK) {
        log_alert("%s%s%s", err.msg, problems.text.len ? "; " : "",
                  problems.text.len ? problems.text.data : "");
        return 1;
    }
    hub_stop(h);
    buf_finish(&problems.text);
    free(rest);
    log_info("stopped");
    return 0;
}
