/* SPDX-License-Identifier: Apache-2.0 */
/* The cache for others: made from the settings, asked by scripts and by api plugins. */
#include "kernel/base/err.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"
#include "kernel/hub/cache.h"
#include "kernel/hub/hub.h"

#include <stdlib.h>

/* HOST:PORT of the setting, or what an existing deployment has in REDIS_*. */
static tn_rc redis_conf(const struct settings *s, struct cache_conf *c, char **ret_host,
                        tn_err *err)
{
    const char *named = s->cache_redis != NULL ? s->cache_redis : "";
    const char *colon = strrchr(named, ':');
    bool dff = named[0] == '\0' && s->dff != NULL && map_get(s->dff, TN_STR("REDIS_HOST")) != NULL;
    const char *host = dff ? settings_dff(s, "REDIS_HOST") : named;
    tn_str port = str_of(dff ? settings_dff(s, "REDIS_PORT") : colon != NULL ? colon + 1 : "6379");
    int64_t number = 0;
    if (host == NULL || host[0] == '\0') {
        return TN_OK;
    }
    if (!str_to_i64(port, &number) || number < 1 || number > 65535) {
        return err_set(err, TN_E_CONFIG,
                       "the port of the cache's Redis server is \"%.*s\"; it must be 1 to 65535",
                       (int)port.n, port.s);
    }
    if (strcmp(settings_dff(s, "REDIS_USE_TLS"), "true") == 0) {
        return err_set(
            err, TN_E_CONFIG,
            "the cache does not speak TLS to Redis (REDIS_USE_TLS): use a local tunnel, or unset "
            "REDIS_HOST to keep the cache in the hub");
    }
    *ret_host = str_dup(
        (tn_str){host, !dff && colon != NULL ? (size_t)(colon - named) : strlen(host)});
    c->host = *ret_host;
    c->port = (uint16_t)number;
    c->user = settings_dff(s, "REDIS_USER");
    c->password = settings_dff_secret(s, "REDIS_PASSWORD");
    str_to_i64(str_of(settings_dff(s, "REDIS_DATABASE")), &c->database);
    return *ret_host != NULL ? TN_OK : err_set(err, TN_E_NOMEM, "no memory for the cache");
}

/* "aliyun" sends user and password as one. */
static tn_rc join_user(const struct settings *s, struct cache_conf *c, struct buf *both,
                       tn_err *err)
{
    if (c->host == NULL || strcmp(settings_dff(s, "REDIS_AUTH_TYPE"), "aliyun") != 0 ||
        c->user == NULL || c->user[0] == '\0') {
        return TN_OK;
    }
    buf_printf(both, "%s:%s", c->user, c->password != NULL ? c->password : "");
    c->user = "";
    c->password = both->data;
    return both->failed ? err_set(err, TN_E_NOMEM, "no memory for the cache") : TN_OK;
}

tn_rc hostcache_create(struct hub *h, tn_err *err)
{
    const struct settings *s = &h->settings;
    struct cache_conf c = {.max_bytes = (uint64_t)s->cache_memory.n};
    struct buf both = BUF_INIT(4096);
    char *host = NULL;
    tn_rc rc = redis_conf(s, &c, &host, err);
    if (rc == TN_OK) {
        rc = join_user(s, &c, &both, err);
    }
    if (rc == TN_OK) {
        rc = cache_create(h->loop, &c, &h->cache, err);
    }
    if (rc == TN_OK && c.host != NULL) {
        log_info("the cache is Redis at %s:%u, database %lld", c.host, c.port,
                 (long long)c.database);
    }
    if (both.data != NULL) {
        explicit_bzero(both.data, both.len);
    }
    buf_finish(&both);
    free(host);
    return rc;
}

/* ---- scripts ------------------------------------------------------------------------------------------ */

struct asked {
    struct hub *hub;
    void *token;
};

static void script_done(void *user, tn_str reply)
{
    struct asked *a = user;
    broker_answer(a->hub->broker, a->token, TN_OK, reply);
    free(a);
}

static int script_waits(void *user)
{
    return broker_wants(((const struct asked *)user)->token);
}

void hostcache_ask(struct hub *h, tn_str payload, void *token)
{
    struct asked *a = malloc(sizeof *a);
    if (a == NULL) {
        broker_answer(h->broker, token, TN_E_NOMEM, TN_STR("no memory"));
        return;
    }
    *a = (struct asked){h, token};
    cache_run(h->cache, payload, &(struct cache_ask){script_done, script_waits, a});
}

/* ---- api plugins ---------------------------------------------------------------------------------------- */

static void api_run(void *ctx, tn_str request, void (*done)(void *user, tn_str reply), void *user)
{
    cache_run(host_hub(ctx)->cache, request, &(struct cache_ask){done, NULL, user});
}

const tn_host_cache hostcache_ops = {
    .size = sizeof hostcache_ops,
    .run = api_run,
};
