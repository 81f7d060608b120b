/* SPDX-License-Identifier: Apache-2.0 */
/* Gates: instances of authentication methods, shared by snapshots and running calls. */
#include "gate.h"
#include "gate_slow.h"

#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>

#define CTX   api.host->ctx
#define AUTHS api.host->auths

struct gate {
    _Atomic unsigned refs;
    tn_auth *auth;
    uint8_t print[32]; /* of the row and the realm it was made from */
    char *auth_id, *api_id;
};

struct gate *gate_ref(struct gate *g)
{
    if (g != NULL) {
        atomic_fetch_add_explicit(&g->refs, 1, memory_order_relaxed);
    }
    return g;
}

void gate_unref(struct gate *g)
{
    if (g != NULL && atomic_fetch_sub_explicit(&g->refs, 1, memory_order_acq_rel) == 1) {
        AUTHS->detach(CTX, g->auth);
        free(g->auth_id);
        free(g->api_id);
        free(g);
    }
}

/* ---- making --------------------------------------------------------------------------------------------- */
static void print_of(const json_t *row, const char *realm, uint8_t ret[32])
{
    char *text = json_dumps(row, JSON_COMPACT | JSON_SORT_KEYS);
    crypto_generichash_state st;
    crypto_generichash_init(&st, NULL, 0, 32);
    crypto_generichash_update(&st, (const unsigned char *)realm, strlen(realm) + 1);
    crypto_generichash_update(&st, (const unsigned char *)(text != NULL ? text : ""),
                              text != NULL ? strlen(text) : 0);
    crypto_generichash_final(&st, ret, 32);
    free(text);
}

static struct gate *gate_make(const json_t *row, const char *realm, tn_str api_id, tn_str auth_id,
                              const uint8_t print[32])
{
    tn_err err = TN_ERR_INIT;
    struct gate *g = calloc(1, sizeof *g);
    char *config = gate_config(row, realm, &err);
    tn_rc rc = config != NULL ? TN_OK : err.rc;
    if (g != NULL) {
        g->auth_id = text_dup(auth_id);
        g->api_id = text_dup(api_id);
    }
    if (g == NULL || g->auth_id == NULL || g->api_id == NULL) {
        rc = api.host->fail(&err, TN_E_NOMEM, "no memory");
    }
    if (rc == TN_OK) {
        const char *type = json_string_value(json_object_get(row, "type"));
        rc = AUTHS->attach(CTX, gate_method(type), text_of(config), &g->auth, &err);
    }
    if (config != NULL) {
        explicit_bzero(config, strlen(config));
    }
    free(config);
    if (rc != TN_OK) {
        api.host->log(CTX, TN_LOG_ERROR, "%.*s is closed, its API auth %.*s cannot be used: %s",
                      (int)api_id.n, api_id.s, (int)auth_id.n, auth_id.s, err.msg);
        if (g != NULL) {
            free(g->auth_id);
            free(g->api_id);
        }
        free(g);
        return NULL;
    }
    memcpy(g->print, print, sizeof g->print);
    atomic_init(&g->refs, 1);
    return g;
}

struct gate *gate_of(const char *kind, tn_str api_id, tn_str auth_id, const json_t *rows,
                     struct gate *old)
{
    char realm[160];
    uint8_t print[32];
    char *key = text_dup(auth_id);
    const json_t *row = key != NULL ? json_object_get(rows, key) : NULL;
    free(key);
    if (row == NULL || AUTHS == NULL) {
        return NULL;
    }
    snprintf(realm, sizeof realm, "%s:%.*s", kind, (int)api_id.n, api_id.s);
    print_of(row, realm, print);
    if (old != NULL && memcmp(old->print, print, sizeof print) == 0) {
        return gate_ref(old);
    }
    return gate_make(row, realm, api_id, auth_id, print);
}

/* Rows by id. */
json_t *gates_rows(tn_err *err)
{
    tn_text text = {NULL, 0};
    if (api.host->entities->sql(CTX, NULL, "SELECT id, type, configJSON FROM biz_main_api_auth",
                                TN_STR("[]"), &text, NULL, err) != TN_OK) {
        return NULL;
    }
    json_t *list = json_loadb(text.s != NULL ? text.s : "", text.n, 0, NULL);
    json_t *rows = json_object(), *row;
    size_t i;
    api.host->free(CTX, text.s);
    json_array_foreach(list, i, row)
    {
        const char *id = json_string_value(json_object_get(row, "id"));
        if (id != NULL) {
            json_object_set(rows, id, row);
        }
    }
    if (!json_is_array(list)) {
        json_decref(rows);
        rows = NULL;
        api.host->fail(err, TN_E_INTERNAL, "rows of API auth cannot be read");
    }
    json_decref(list);
    return rows;
}

tn_rc gates_bind(struct snapshot *to, const struct snapshot *old, tn_err *err)
{
    static const char *const realm[SNAP_KINDS] = {
        [SNAP_SYNC] = "SyncAPI", [SNAP_ASYNC] = "AsyncAPI"};
    json_t *rows = NULL;
    struct snap_api *a;
    for (uint32_t kind = 0; kind < SNAP_KINDS; kind++) {
        for (size_t i = 0; snapshot_each(to, kind, &i, &a);) {
            if (a->auth_id.s == NULL) {
                continue;
            }
            if (rows == NULL) { /* most installations have none to look for */
                rows = gates_rows(err);
                if (rows == NULL) {
                    return err->rc;
                }
            }
            const struct snap_api *was = snapshot_api(old, kind, a->id);
            a->gate = gate_of(realm[kind], a->id, a->auth_id, rows, was != NULL ? was->gate : NULL);
        }
    }
    json_decref(rows);
    return TN_OK;
}

/* ---- one request ------------------------------------------------------------------------------------------ */
static enum gate_answer closed(struct call_refusal *why, tn_str auth_id, enum api_code code,
                               const char *text)
{
    str_puts(&why->detail, "{\"apiAuthId\":");
    add_quote(&why->detail, auth_id);
    str_puts(&why->detail, "}");
    call_refuse(why, code, NULL, "%s", text);
    return GATE_CLOSED;
}

static enum gate_answer too_many(const struct gate *g, struct call_refusal *why, int64_t wait_s)
{
    why->retry_s = wait_s;
    str_printf(&why->detail, "{\"waitSeconds\":%lld}", (long long)wait_s);
    (void)g;
    call_refuse(why, EClientRateLimit, "APIAuthLocked",
                "Too many failed authentications, try again later");
    return GATE_CLOSED;
}

/* The challenges of a 401, each of them a header of its own. */
static void add_challenges(struct gate *g, const tn_http_req *req, struct call_refusal *why)
{
    char text[512];
    for (uint32_t i = 0; i < CHALLENGES_MAX; i++) {
        size_t n = AUTHS->challenge(CTX, g->auth, req, i, text, sizeof text);
        if (n == 0) {
            return;
        }
        why->challenge_at[why->nchallenges++] = (uint32_t)why->challenge.n;
        str_add(&why->challenge, text, n);
        str_char(&why->challenge, '\n');
    }
}

/* What the method said, counted and put into words. */
static enum gate_answer outcome(struct gate *g, const tn_http_req *req, tn_rc rc, const tn_err *err,
                                struct call_refusal *why)
{
    uint64_t now = api.host->now_ns();
    tn_str id = text_of(g->api_id);
    if (rc == TN_OK) {
        slow_passed(id, req->peer, now);
        return GATE_OPEN;
    }
    if (rc == TN_E_DENIED || rc == TN_E_INVAL) {
        slow_failed(id, req->peer, now);
        api.host->count(CTX, "api_auth_failed", 1);
    }
    if (rc == TN_E_INVAL) {
        return closed(why, text_of(g->auth_id), EClientBadRequest, err->msg);
    }
    add_challenges(g, req, why);
    return closed(why, text_of(g->auth_id), EAPIAuth,
                  err->msg[0] != '\0' ? err->msg : "API auth failed");
}

enum gate_answer gate_check(struct gate *g, tn_str auth_id, const tn_http_req *req,
                            struct call_refusal *why)
{
    if (g == NULL) {
        return closed(why, auth_id, EAPIAuth, "API auth cannot be checked, the call is refused");
    }
    int64_t wait = slow_wait(text_of(g->api_id), req->peer, api.host->now_ns());
    if (wait > 0) {
        return too_many(g, why, wait);
    }
    if (gate_func(g).s != NULL) {
        return GATE_ASK;
    }
    tn_ident who = {.size = sizeof who};
    tn_err err = TN_ERR_INIT;
    tn_rc rc = AUTHS->check(CTX, g->auth, req, &who, &err);
    return outcome(g, req, rc, &err, why);
}

tn_str gate_func(const struct gate *g)
{
    return AUTHS->func(CTX, g->auth);
}

tn_str gate_auth_id(const struct gate *g)
{
    return text_of(g->auth_id);
}

enum gate_answer gate_judge(struct gate *g, const tn_http_req *req, const tn_call_result *result,
                            struct call_refusal *why)
{
    tn_ident who = {.size = sizeof who};
    tn_err err = TN_ERR_INIT;
    tn_rc rc = AUTHS->judge(CTX, g->auth, result, &who, &err);
    if (rc != TN_OK && result->status != TN_CALL_SUCCESS) {
        api.host->log(CTX, TN_LOG_NOTICE,
                      "API auth %s of %s: the function gave no answer (status %u): %.*s",
                      g->auth_id, g->api_id, (unsigned)result->status,
                      (int)(result->error.n < 300 ? result->error.n : 300),
                      result->error.s != NULL ? result->error.s : "");
    }
    return outcome(g, req, rc, &err, why);
}

uint32_t gate_takes(const struct gate *g, const tn_http_pair **ret)
{
    *ret = NULL;
    return g != NULL ? AUTHS->takes(CTX, g->auth, ret) : 0;
}
