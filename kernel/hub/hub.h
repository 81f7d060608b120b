/* SPDX-License-Identifier: Apache-2.0 */
/* The hub process: what its parts share. One loop thread; the members marked (m) are guarded by
 * `lock` because helper threads reach them through the host tables. */
#pragma once
#include "kernel/base/map.h"
#include "kernel/conf/settings.h"
#include "kernel/hub/broker.h"
#include "kernel/hub/loop.h"
#include "kernel/hub/suplink.h"
#include "kernel/plug/plug.h"
#include "kernel/store/store.h"
#include <pthread.h>
#include <stdatomic.h>

struct router;
struct code;
struct services;
struct exchanges;
struct auths;
struct records;
struct schedules;
struct subs;
struct sub_sources;
struct tasks;
struct cache;
struct metrics;
struct pools_watch;

/* An attached plugin of the hub, with the host table it was given. */
struct hub_plugin {
    struct hub *hub;
    struct plug *plug;
    struct plug_inst pi;
    tn_host host;
};

struct hub {
    struct settings settings;
    struct plug_registry registry;
    struct hub_plugin *plugins;
    size_t nplugins;
    struct loop *loop;
    pthread_t loop_thread;
    struct broker *broker;
    struct suplink *suplink;
    struct plug_inst store_conn;
    struct store *store;
    struct keys *keys;
    struct sessions *sessions;
    struct router *router;
    struct code *code;
    struct services *services;
    struct exchanges *exchanges;
    struct auths *auths;
    struct records *records;
    struct schedules *schedules;
    struct subs *subs;
    struct sub_sources *sub_sources; /* trigger plugins that subscribe */
    struct tasks *tasks;
    struct cache *cache;
    struct metrics *metrics;
    struct pools_watch *pools_watch;
    int64_t start_us; /* wall clock, when this process began */
    _Atomic uint64_t data_gen;
    pthread_mutex_t lock;
    struct map counters; /* (m) metric name -> int64_t * */
    int *listen_fds;
    unsigned nlisten;
    int apis_started; /* api start() returned for all */
    int workers_ready;
    _Atomic int listening; /* the frontend has been started */
    _Atomic int draining;  /* helpers read both */
    _Atomic int ended;     /* the loop runs no more: whoever waits for it waits in vain */
    tn_timer *drain_timer;
};

/* host.c: the host table for one plugin. */
void host_fill(struct hub_plugin *hp);
extern const tn_host_http exchange_http_ops;   /* exchange.c */
extern const tn_host_calls services_calls_ops; /* services.c */
static inline struct hub *host_hub(void *ctx)
{
    return ((struct hub_plugin *)ctx)->hub;
}
static inline int hub_on_loop(const struct hub *h)
{
    return pthread_equal(pthread_self(), h->loop_thread) != 0;
}

/* plugins.c: finding them forks probes, so it comes before the first thread. */
tn_rc plugins_find(struct hub *h, tn_err *err);
/* Loads, attaches and registers what the hub uses: all apis, the triggers of schedules and the chosen frontend. Others wait
 * until something names them. */
tn_rc plugins_start(struct hub *h, const struct conf *c, struct conf_problems *problems,
                    tn_err *err);
/* What apis do before the first request; may block. Logs what does not start. */
tn_rc plugins_start_apis(struct hub *h, tn_err *err);
/* The one frontend that has the listeners; all but start do nothing before it. Loop thread. */
tn_rc frontend_start(struct hub *h, tn_err *err);
uint32_t frontend_active(const struct hub *h); /* requests it is still busy with */
void frontend_drain(const struct hub *h);
void frontend_stop(const struct hub *h);

/* router.c: immutable after start. */
tn_rc router_create(struct router **ret, tn_err *err);
void router_destroy(struct router *r);
/* Registers every route of the api; a route without a permission, a second handler for the same
 * method and path, or a malformed path is TN_E_INVAL naming the route. */
tn_rc router_add(struct router *r, struct hub_plugin *api, tn_err *err);
struct router_hit {
    struct hub_plugin *api;
    const tn_route *route;
    tn_str params[8];
    uint32_t nparams;
};
/* Finds the route of a decoded path; 0 = none, then ret->api is the api of the longest prefix. */
int router_match(const struct router *r, tn_str method, tn_str path, struct router_hit *ret);

/* exchange.c: requests between frontends and apis. */
tn_rc exchanges_create(struct hub *h, tn_err *err);
void exchanges_destroy(struct hub *h);
size_t exchanges_open(const struct hub *h);

/* code.c: published code by script id with its generation. */
tn_rc code_create(struct hub *h, tn_err *err);
void code_destroy(struct hub *h);

/* The generation of the last commit. Loop thread; a moment old for others. */
uint64_t code_generation(const struct hub *h);

/* tn_host_calls: what a thread puts and drops counts from its commit on, all at once. Any thread. `ctx` is the host's. */
tn_rc code_put(void *ctx, tn_str script, tn_str source, tn_str marshal, tn_err *err);
void code_drop(void *ctx, tn_str script);
uint64_t code_commit(void *ctx); /* -> the new generation */

/* The zygote compiled a script: workers get that instead of the source. Ignored when another generation is published. */
void code_compiled(void *hub, tn_str script, uint64_t generation, tn_str marshal);

/* A worker's question {"script":"a__b","have":"<id>"} -> one JSON line, then source or compiled bytes. */
void code_ask(struct hub *h, tn_str payload, void *token);

/* services.c: questions of scripts. */
tn_rc services_create(struct hub *h, tn_err *err);
void services_destroy(struct hub *h);
void services_ask(void *user, tn_str service, tn_str payload, void *token);

/* auths.c: authentication methods for apis; their plugins are loaded when first asked for. */
tn_rc auths_create(struct hub *h, tn_err *err);
void auths_destroy(struct hub *h); /* with every instance; nobody calls one any more */
extern const tn_host_auths auths_ops;

/* records.c: rows off the hot path, see tn_host_records. */
tn_rc records_create(struct hub *h, tn_err *err);
/* Writes what was put. The helper threads have ended. NULL is allowed. */
void records_destroy(struct hub *h);
/* The entities with TN_ENTITY_RECORDS of one api. */
tn_rc records_define(struct hub *h, const char *owner, const tn_entity *entities, tn_err *err);
/* Is that an entity of records? Any thread. */
int records_has(const struct hub *h, const char *entity);
/* As tn_host_entities.remove, in pieces that hold up nobody for long. Helper threads. */
tn_rc records_remove(struct hub *h, const char *entity, const tn_filter *f, uint32_t nf,
                     int64_t *ret_count, tn_err *err);
/* {"pending":…,"written":…,"dropped":…,"refused":…,"pruned":…,"bytes":…} Any thread. */
void records_status(struct hub *h, struct buf *out);
extern const tn_host_records records_ops;
/* hostcache.c: the cache for scripts (service "cache.run") and api plugins. */
tn_rc hostcache_create(struct hub *h, tn_err *err);
void hostcache_ask(struct hub *h, tn_str payload, void *token);
extern const tn_host_cache hostcache_ops;
extern const tn_host_metrics metrics_ops; /* watching.c */

/* ---- pools_watch.c ------------------------------------------------------------------------------- */
tn_rc pools_watch_create(struct hub *h);
void pools_watch_destroy(struct hub *h);
/* {"pid", "pools": as pools_status() gives them}, from a worker. Any thread. */
void pools_watch_put(struct hub *h, tn_str text);
/* {"<pool>": {figures}}, summed over all workers; counters over those that have ended, too. */
void pools_watch_write(struct hub *h, struct buf *out);

extern const tn_host_entities entities_ops;

extern const tn_host_auth auth_ops;
extern const tn_host_loop hostloop_ops;
