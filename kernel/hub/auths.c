/* SPDX-License-Identifier: Apache-2.0 */
/* Authentication methods for apis: an instance for every configuration an api hands over. */
#include "kernel/base/err.h"
#include "kernel/base/list.h"
#include "kernel/base/str.h"
#include "kernel/hub/hub.h"
#include "kernel/value/json.h"
#include <stdlib.h>
#include <string.h>

#define MEMBERS_MAX 32

struct tn_auth {
    struct list link;
    struct plug_inst pi;
};
/* One auth plugin; its host table must live as long as the process has it loaded. */
struct method {
    struct hub_plugin hp;
    int loaded;
};
struct auths {
    pthread_mutex_t lock; /* loading and the list; apis attach on helper threads */
    struct list instances;
    struct method *methods;
    size_t n;
};

tn_rc auths_create(struct hub *h, tn_err *err)
{
    struct auths *a = calloc(1, sizeof *a);
    if (a != NULL) {
        a->methods = calloc(h->registry.n + 1, sizeof *a->methods);
    }
    if (a == NULL || a->methods == NULL) {
        free(a);
        return err_set(err, TN_E_NOMEM, "no memory for authentication methods");
    }
    pthread_mutex_init(&a->lock, NULL);
    list_init(&a->instances);
    for (size_t i = 0; i < h->registry.n; i++) {
        if (h->registry.plugs[i]->desc.kind == TN_KIND_AUTH) {
            struct hub_plugin *hp = &a->methods[a->n++].hp;
            hp->hub = h;
            hp->plug = h->registry.plugs[i];
            host_fill(hp);
        }
    }
    h->auths = a;
    return TN_OK;
}

void auths_destroy(struct hub *h)
{
    if (h->auths != NULL) {
        for (struct list *l; (l = list_pop_front(&h->auths->instances)) != NULL;) {
            tn_auth *a = list_entry(l, struct tn_auth, link);
            plug_detach(&a->pi);
            free(a);
        }
        pthread_mutex_destroy(&h->auths->lock);
        free(h->auths->methods);
        free(h->auths);
        h->auths = NULL;
    }
}

static tn_rc method_find(struct hub *h, const char *name, struct plug **ret, tn_err *err)
{
    struct auths *a = h->auths;
    for (size_t i = 0; i < a->n; i++) {
        struct method *m = &a->methods[i];
        if (strcmp(m->hp.plug->desc.name, name) != 0) {
            continue;
        }
        pthread_mutex_lock(&a->lock);
        tn_rc rc = m->loaded ? TN_OK : plug_load(m->hp.plug, &m->hp.host, err);
        m->loaded = rc == TN_OK;
        pthread_mutex_unlock(&a->lock);
        *ret = m->hp.plug;
        return rc;
    }
    return err_set(err, TN_E_NOTFOUND, "no auth plugin \"%s\" in %s", name, h->settings.plugins);
}

/* One member of the configuration as text of its row. */
static tn_rc config_put(struct conf *c, const tn_json_member *m, tn_err *err)
{
    int is_text = m->kind == TN_JSON_STRING;
    char name[64];
    if (m->key.n >= sizeof name || (m->flags & TN_JSON_KEY_ESCAPED) != 0) {
        return err_set(err, TN_E_CONFIG, "the configuration has a key that no auth plugin knows");
    }
    memcpy(name, m->key.s, m->key.n);
    name[m->key.n] = '\0';
    size_t n = is_text ? json_unquote(m->value, NULL, 0) : m->value.n;
    char *text = malloc(n + 1);
    if (text == NULL) {
        return err_set(err, TN_E_NOMEM, "no memory for the configuration of an auth plugin");
    }
    if (is_text) {
        json_unquote(m->value, text, n);
    } else {
        memcpy(text, m->value.s, n);
    }
    text[n] = '\0';
    tn_rc rc = strlen(text) != n
                   ? err_set(err, TN_E_CONFIG, "the value of %s has a zero byte", name)
                   : conf_set(c, name, text, "API auth");
    explicit_bzero(text, n);
    free(text);
    return rc;
}

/* The items were secrets of an api; nothing of them stays in freed memory. */
static void config_wipe(struct conf *c)
{
    for (size_t i = 0; i < c->n; i++) {
        explicit_bzero(c->items[i].value, strlen(c->items[i].value));
    }
    conf_finish(c);
}

static tn_rc au_attach(void *ctx, const char *name, tn_str config, tn_auth **ret, tn_err *err)
{
    tn_json_member members[MEMBERS_MAX];
    uint32_t kind = TN_JSON_NULL, n = 0;
    struct plug *p = NULL;
    struct conf c;
    tn_auth *a = NULL;
    tn_rc rc = method_find(host_hub(ctx), name, &p, err);
    if (rc != TN_OK) {
        return rc;
    }
    rc = json_scan(config, &kind, members, MEMBERS_MAX, &n, err);
    if (rc != TN_OK || kind != TN_JSON_OBJECT) {
        return rc != TN_OK ? rc : err_set(err, TN_E_CONFIG, "the configuration is no JSON object");
    }
    conf_init(&c);
    for (uint32_t i = 0; i < n && i < MEMBERS_MAX && rc == TN_OK; i++) {
        rc = members[i].kind == TN_JSON_NULL ? TN_OK : config_put(&c, &members[i], err);
    }
    if (rc != TN_OK) {
        goto undo_conf;
    }
    a = calloc(1, sizeof *a);
    rc = a != NULL ? plug_attach(p, &c, "", &a->pi, NULL, err)
                   : err_set(err, TN_E_NOMEM, "no memory for an instance of %s", name);
    if (rc == TN_OK) {
        struct auths *all = host_hub(ctx)->auths;
        pthread_mutex_lock(&all->lock);
        list_push_front(&all->instances, &a->link);
        pthread_mutex_unlock(&all->lock);
        *ret = a;
        a = NULL;
    }
undo_conf:
    free(a);
    config_wipe(&c);
    return rc;
}

static void au_detach(void *ctx, tn_auth *a)
{
    if (a != NULL) {
        struct auths *all = host_hub(ctx)->auths;
        pthread_mutex_lock(&all->lock);
        list_del(&a->link);
        pthread_mutex_unlock(&all->lock);
        plug_detach(&a->pi);
        free(a);
    }
}

static const tn_auth_ops *ops_of(const tn_auth *a)
{
    return a->pi.plug->ops;
}

static tn_rc au_check(void *ctx, tn_auth *a, const tn_http_req *req, tn_ident *ret, tn_err *err)
{
    (void)ctx;
    return ops_of(a)->check(a->pi.inst, req, ret, err);
}

static size_t au_challenge(void *ctx, tn_auth *a, const tn_http_req *req, uint32_t i, char *ret,
                           size_t cap)
{
    const tn_auth_ops *ops = ops_of(a);
    (void)ctx;
    if (i == 0) {
        return ops->challenge(a->pi.inst, req, ret, cap);
    }
    return ops->challenge_more != NULL ? ops->challenge_more(a->pi.inst, req, i, ret, cap) : 0;
}

static uint32_t au_takes(void *ctx, tn_auth *a, const tn_http_pair **ret)
{
    const tn_auth_ops *ops = ops_of(a);
    (void)ctx;
    *ret = NULL;
    return ops->takes != NULL ? ops->takes(a->pi.inst, ret) : 0;
}

static tn_str au_func(void *ctx, tn_auth *a)
{
    const tn_auth_ops *ops = ops_of(a);
    tn_str absent = {NULL, 0};
    (void)ctx;
    return ops->func != NULL && ops->judge != NULL ? ops->func(a->pi.inst) : absent;
}

static tn_rc au_judge(void *ctx, tn_auth *a, const tn_call_result *result, tn_ident *ret,
                      tn_err *err)
{
    const tn_auth_ops *ops = ops_of(a);
    (void)ctx;
    return ops->judge != NULL
               ? ops->judge(a->pi.inst, result, ret, err)
               : err_set(err, TN_E_UNSUPP, "auth %s asks no function", a->pi.plug->desc.name);
}

const tn_host_auths auths_ops = {
    .size = sizeof auths_ops,
    .attach = au_attach,
    .detach = au_detach,
    .check = au_check,
    .challenge = au_challenge,
    .takes = au_takes,
    .func = au_func,
    .judge = au_judge,
};
