/* SPDX-License-Identifier: Apache-2.0 */
/* Published code by script id: put in stages, shown with a new generation at once, asked for by workers. */
#include "kernel/base/err.h"
#include "kernel/base/killpoint.h"
#include "kernel/base/list.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"
#include "kernel/hub/hub.h"
#include "kernel/value/json.h"
#include <sodium.h>
#include <stdlib.h>

struct entry { /* published code of one script */
    char *source;
    size_t source_n;
    char *marshal; /* from the zygote, NULL until it compiled */
    size_t marshal_n;
    uint64_t generation; /* at which it was put */
    char id[33];         /* BLAKE2b-128 of the source, hex */
};
struct stage { /* put/drop of one thread before its commit */
    struct stage *next;
    pthread_t thread;
    char *script;
    struct entry *entry; /* NULL = drop */
};
struct code {
    pthread_mutex_t lock;
    struct map entries; /* script id -> struct entry * */
    struct stage *staged;
    uint64_t generation;
};

static void entry_free(void *p)
{
    struct entry *e = p;
    if (e != NULL) {
        free(e->source);
        free(e->marshal);
        free(e);
    }
}

tn_rc code_create(struct hub *h, tn_err *err)
{
    h->code = calloc(1, sizeof *h->code);
    if (h->code == NULL) {
        return err_set(err, TN_E_NOMEM, "no memory for published code");
    }
    pthread_mutex_init(&h->code->lock, NULL);
    map_init(&h->code->entries);
    return TN_OK;
}

void code_destroy(struct hub *h)
{
    if (h->code != NULL) {
        while (h->code->staged != NULL) {
            struct stage *s = h->code->staged;
            h->code->staged = s->next;
            entry_free(s->entry);
            free(s->script);
            free(s);
        }
        map_finish(&h->code->entries, entry_free);
        pthread_mutex_destroy(&h->code->lock);
        free(h->code);
    }
}

uint64_t code_generation(const struct hub *h)
{
    return h->code->generation;
}

/* ---- publishing ------------------------------------------------------------------------------ */

static tn_rc stage_add(struct code *c, tn_str script, struct entry *entry, tn_err *err)
{
    struct stage *s = calloc(1, sizeof *s);
    char *name = str_dup(script);
    if (s == NULL || name == NULL) {
        free(s);
        free(name);
        entry_free(entry);
        return err_set(err, TN_E_NOMEM, "no memory to publish %.*s", (int)script.n, script.s);
    }
    s->thread = pthread_self();
    s->script = name;
    s->entry = entry;
    pthread_mutex_lock(&c->lock);
    struct stage **at = &c->staged;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = s;
    pthread_mutex_unlock(&c->lock);
    return TN_OK;
}

tn_rc code_put(void *ctx, tn_str script, tn_str source, tn_str marshal, tn_err *err)
{
    struct hub *h = host_hub(ctx);
    struct entry *e = calloc(1, sizeof *e);
    TN_KILLPOINT("publish");
    if (e != NULL) {
        e->source = str_dup(source);
        e->source_n = source.n;
        if (marshal.n > 0) {
            e->marshal = str_dup(marshal);
            e->marshal_n = e->marshal != NULL ? marshal.n : 0;
        }
    }
    if (e == NULL || e->source == NULL) {
        entry_free(e);
        return err_set(err, TN_E_NOMEM, "no memory to publish %.*s", (int)script.n, script.s);
    }
    unsigned char sum[16];
    crypto_generichash(sum, sizeof sum, (const unsigned char *)source.s, source.n, NULL, 0);
    sodium_bin2hex(e->id, sizeof e->id, sum, sizeof sum);
    return stage_add(h->code, script, e, err);
}

void code_drop(void *ctx, tn_str script)
{
    tn_err err = TN_ERR_INIT;
    if (stage_add(host_hub(ctx)->code, script, NULL, &err) != TN_OK) {
        log_error("%s", err.msg);
    }
}

/* What the loop thread has to do after a commit, in order. */
struct changed {
    struct hub *hub;
    uint64_t generation;
    char *script;
    struct buf source;
    int drop;
};

static void changed_apply(void *user)
{
    struct changed *c = user;
    if (c->script == NULL) {
        broker_generation(c->hub->broker, c->generation);
    } else if (c->drop) {
        broker_unload(c->hub->broker, str_of(c->script));
    } else {
        broker_preload(c->hub->broker, str_of(c->script), c->generation, buf_str(&c->source));
    }
    buf_finish(&c->source);
    free(c->script);
    free(c);
}

static void changed_post(struct hub *h, uint64_t generation, const char *script,
                         const struct entry *e)
{
    struct changed *c = calloc(1, sizeof *c);
    if (c == NULL) {
        log_alert("no memory to announce generation %llu", (unsigned long long)generation);
        abort();
    }
    c->hub = h;
    c->generation = generation;
    buf_init(&c->source, 0);
    if (script != NULL) {
        c->script = str_dup(str_of(script));
        c->drop = e == NULL;
        if (e != NULL) {
            buf_add(&c->source, e->source, e->source_n);
        }
        if (c->script == NULL || c->source.failed) {
            buf_finish(&c->source);
            free(c->script);
            free(c);
            return; /* preloading only saves time */
        }
    }
    loop_post(h->loop, changed_apply, c);
}

uint64_t code_commit(void *ctx)
{
    struct hub *h = host_hub(ctx);
    struct code *c = h->code;
    pthread_mutex_lock(&c->lock);
    uint64_t generation = ++c->generation;
    /* The new generation is announced before anything else this thread posts, so an answer that
     * says "published" is sent after it. */
    changed_post(h, generation, NULL, NULL);
    for (struct stage **at = &c->staged; *at != NULL;) {
        struct stage *s = *at;
        if (!pthread_equal(s->thread, pthread_self())) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        if (s->entry != NULL) {
            s->entry->generation = generation;
            void *old = NULL;
            if (map_put(&c->entries, str_of(s->script), s->entry, &old) != 0) {
                log_alert("no memory to publish %s", s->script);
                abort();
            }
            entry_free(old);
        } else {
            entry_free(map_del(&c->entries, str_of(s->script)));
        }
        changed_post(h, generation, s->script, s->entry);
        free(s->script);
        free(s);
    }
    pthread_mutex_unlock(&c->lock);
    TN_KILLPOINT("published");
    return generation;
}

void code_compiled(void *user, tn_str script, uint64_t generation, tn_str marshal)
{
    struct code *c = ((struct hub *)user)->code;
    pthread_mutex_lock(&c->lock);
    struct entry *e = map_get(&c->entries, script);
    if (e != NULL && e->generation == generation && e->marshal == NULL && marshal.n > 0) {
        e->marshal = str_dup(marshal);
        e->marshal_n = e->marshal != NULL ? marshal.n : 0;
    }
    pthread_mutex_unlock(&c->lock);
}

void code_ask(struct hub *h, tn_str payload, void *token)
{
    tn_json_member m[4];
    uint32_t kind, n = 0;
    tn_err err = TN_ERR_INIT;
    char script[600], have[80];
    size_t script_n = 0, have_n = 0;
    if (json_scan(payload, &kind, m, 4, &n, &err) != TN_OK || kind != TN_JSON_OBJECT) {
        broker_answer(h->broker, token, TN_E_INVAL, TN_STR("code.get wants {\"script\":…}"));
        return;
    }
    for (uint32_t i = 0; i < n && i < 4; i++) {
        if (m[i].kind != TN_JSON_STRING) {
            continue;
        }
        if (str_is(m[i].key, "script")) {
            script_n = json_unquote(m[i].value, script, sizeof script);
        } else if (str_is(m[i].key, "have")) {
            have_n = json_unquote(m[i].value, have, sizeof have);
        }
    }
    if (script_n == 0 || script_n > sizeof script) {
        broker_answer(h->broker, token, TN_E_NOTFOUND, TN_STR("no such script"));
        return;
    }
    struct buf out = BUF_INIT(0);
    tn_rc rc = TN_E_NOTFOUND;
    pthread_mutex_lock(&h->code->lock);
    const struct entry *e = map_get(&h->code->entries, (tn_str){script, script_n});
    if (e != NULL) {
        int same = have_n == 32 && memcmp(have, e->id, 32) == 0;
        buf_printf(&out, "{\"kind\":\"%s\",\"md5\":\"%s\",\"version\":%llu}\n",
                   same                 ? "same"
                   : e->marshal != NULL ? "marshal"
                                        : "source",
                   e->id, (unsigned long long)e->generation);
        if (!same) {
            buf_add(&out, e->marshal != NULL ? e->marshal : e->source,
                    e->marshal != NULL ? e->marshal_n : e->source_n);
        }
        rc = out.failed ? TN_E_NOMEM : TN_OK;
    }
    pthread_mutex_unlock(&h->code->lock);
    broker_answer(h->broker, token, rc, rc == TN_OK ? buf_str(&out) : TN_STR("no such script"));
    buf_finish(&out);
}
