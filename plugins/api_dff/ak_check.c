/* SPDX-License-Identifier: Apache-2.0 */
/* Who signed a request with an access key: the checks of spec 1.1 in their order. */
#include "ak_check.h"
#include "ak_nonce.h"
#include "ak_sign.h"
#include "form.h"
#include "rows.h"
#include "session.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CTX       api.host->ctx
#define FIELD_MAX 256                 /* bytes of a header */
#define BODY_MAX  (16u * 1024 * 1024) /* larger ones are not taken apart, nor copied */

bool ak_present(const tn_http_req *req)
{
    static const char *const names[] = {"x-dff-ak-id", "x-dff-ak-sign", "x-dff-ak-timestamp",
                                        "x-dff-ak-nonce"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (tn_http_header(req, names[i]).s != NULL) {
            return true;
        }
    }
    return false;
}

/* What the check needs of a request: borrowed from it, or copied when it may go away. */
struct claim {
    struct ak_signed sig;
    tn_str id, type;
    json_t *fields; /* text fields of a multipart body, owned; NULL = it is none */
    char *copy;     /* memory of the texts, when they are copied */
};

static json_t *fields_of(const tn_http_req *req)
{
    json_t *obj = req->nparts > 0 ? json_object() : NULL;
    for (uint32_t i = 0; obj != NULL && i < req->nparts; i++) {
        const tn_http_part *p = &req->parts[i];
        if (p->filename.s == NULL && p->path.s == NULL) {
            json_t *name = json_stringn(p->name.s, p->name.n); /* UTF-8 only */
            json_t *value = json_stringn(p->value.s != NULL ? p->value.s : "", p->value.n);
            if (name != NULL && value != NULL && strlen(json_string_value(name)) == p->name.n) {
                json_object_set(obj, json_string_value(name), value);
            }
            json_decref(name);
            json_decref(value);
        }
    }
    return obj;
}

static void claim_of(const tn_http_req *req, struct claim *c)
{
    *c = (struct claim){
        .sig = {.sign = tn_http_header(req, "x-dff-ak-sign"),
                .method = req->method,
                .target = req->target,
                .timestamp = tn_http_header(req, "x-dff-ak-timestamp"),
                .nonce = tn_http_header(req, "x-dff-ak-nonce"),
                .body = {(const char *)req->body, req->nparts > 0 ? 0 : req->body_len}},
        .id = tn_http_header(req, "x-dff-ak-id"),
        .type = tn_http_header(req, "content-type"),
        .fields = fields_of(req),
    };
}

/* Makes the texts the claim's own; false without memory. */
static bool claim_copy(struct claim *c)
{
    tn_str *texts[] = {&c->sig.sign,  &c->sig.method, &c->sig.target, &c->sig.timestamp,
                       &c->sig.nonce, &c->sig.body,   &c->id,         &c->type};
    size_t n = 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        n += texts[i]->n;
    }
    c->copy = malloc(n + 1);
    if (c->copy == NULL) {
        return false;
    }
    char *at = c->copy;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (texts[i]->s != NULL) {
            if (texts[i]->n > 0) {
                memcpy(at, texts[i]->s, texts[i]->n);
            }
            texts[i]->s = at;
            at += texts[i]->n;
        }
    }
    return true;
}

static void claim_free(struct claim *c)
{
    json_decref(c->fields);
    free(c->copy);
}

/* ---- the checks ------------------------------------------------------------------------------ */
static bool refuse(struct ak_refusal *why, enum api_code code, const char *message)
{
    why->code = code;
    snprintf(why->message, sizeof why->message, "%s", message);
    return false;
}

/* A failure of ours, not of the key. */
static bool refuse_err(struct ak_refusal *why, const tn_err *err)
{
    if (err->rc == TN_E_LIMIT) {
        return refuse(why, ESysLimitReached, err->msg);
    }
    api.host->log(CTX, TN_LOG_ERROR, "access key check: %s", err->msg);
    return refuse(why, ESys, api.dev ? err->msg : "An unexpected error occurred");
}

static bool headers_ok(const struct claim *c, struct ak_refusal *why)
{
    int64_t at;
    if (c->id.n == 0) {
        return refuse(why, EUserAuth, "Access Key ID is missing (header X-Dff-Ak-Id)");
    }
    if (c->sig.sign.n == 0) {
        return refuse(why, EUserAuth, "Access Key sign is missing (header X-Dff-Ak-Sign)");
    }
    if (c->sig.nonce.n == 0) {
        return refuse(why, EUserAuth, "Access Key nonce is missing");
    }
    if (!text_int(c->sig.timestamp, &at)) {
        return refuse(why, EUserAuth, "Access Key timestamp is missing");
    }
    int64_t now = api.host->wall_us() / 1000000, limit = ak_window_s();
    if (at < now - limit || at > now + limit) {
        return refuse(why, EUserAuth, "Invalid Access Key timestamp");
    }
    return c->sig.nonce.n <= FIELD_MAX || refuse(why, EUserAuth, "Invalid Access Key nonce");
}

static bool nonce_ok(tn_rc rc, struct ak_refusal *why, const tn_err *err)
{
    if (rc == TN_E_CONFLICT) {
        return refuse(why, EUserAuth, "Invalid Access Key nonce");
    }
    return rc == TN_OK || refuse_err(why, err);
}

/* The row of the key, with its sealed secret. */
static json_t *key_load(tn_str id, struct ak_refusal *why)
{
    static const char *const extra[] = {"secretCipher"};
    tn_err err = TN_ERR_INIT;
    json_t *row = NULL;
    json_t *text = id.n <= FIELD_MAX ? json_stringn(id.s, id.n) : NULL; /* no UTF-8, no key */
    if (text != NULL) {
        row = store_one(NULL, "accessKey", "id", id, extra, 1, &err);
    } else {
        err.rc = TN_E_NOTFOUND;
    }
    json_decref(text);
    if (row == NULL && err.rc == TN_E_NOTFOUND) {
        why->detail = "{\"entity\":\"access key\"}";
        refuse(why, EClientNotFound, "No such data");
    } else if (row == NULL) {
        refuse_err(why, &err);
    }
    return row;
}

/* The body as the value that an SDK signed; NULL: only its bytes count. */
static json_t *body_value(const struct claim *c)
{
    tn_str body = c->sig.body;
    uint32_t kind, n;
    if (c->fields != NULL) {
        return json_incref(c->fields);
    }
    if (body.n == 0 || body.n > BODY_MAX) {
        return NULL;
    }
    if (text_has(c->type, "x-www-form-urlencoded")) {
        return form_parse(body);
    }
    if (api.host->json->scan(body, &kind, NULL, 0, &n, NULL) != TN_OK) {
        return NULL;
    }
    json_t *v = json_loadb(body.s, body.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    /* Integers beyond 64 bits are doubles in JavaScript; Python's stay for the bytes. */
    return v != NULL ? v
                     : json_loadb(body.s, body.n,
                                  JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
}

static bool sign_ok(struct claim *c, const json_t *key, struct ak_refusal *why)
{
    tn_err err = TN_ERR_INIT;
    tn_text secret = {0};
    if (access_key_secret(key, &secret, &err) != TN_OK) {
        return refuse_err(why, &err);
    }
    json_t *body = body_value(c);
    c->sig.parsed = body;
    bool ok = secret.n > 0 && ak_sign_ok(&c->sig, (tn_str){secret.s, secret.n});
    c->sig.parsed = NULL;
    json_decref(body);
    explicit_bzero(secret.s, secret.n);
    api.host->free(CTX, secret.s);
    return ok || refuse(why, EUserAuth, "Invalid Access Key sign");
}

static json_t *owner_load(const char *id, struct ak_refusal *why)
{
    tn_err err = TN_ERR_INIT;
    json_t *user = user_load("id", text_of(id), &err);
    if (user == NULL && err.rc != TN_E_NOTFOUND) {
        refuse_err(why, &err);
        return NULL;
    }
    bool disabled = user != NULL && json_is_true(json_object_get(user, "isDisabled")) &&
                    strcmp(id, "u-admin") != 0;
    if (user == NULL || disabled) {
        json_decref(user);
        refuse(why, EUserDisabled,
               user == NULL ? "The owner of this access key is not existed"
                            : "Current user has been disabled");
        return NULL;
    }
    json_object_del(user, "passwordHash");
    return user;
}

static json_t *claim_owner(struct claim *c, struct ak_refusal *why)
{
    tn_err err = TN_ERR_INIT;
    *why = (struct ak_refusal){.code = EUserAuth};
    if (!headers_ok(c, why) || !nonce_ok(ak_nonce_check(c->id, c->sig.nonce, &err), why, &err)) {
        return NULL;
    }
    json_t *key = key_load(c->id, why), *user = NULL;
    if (key == NULL) {
        return NULL;
    }
    err = (tn_err)TN_ERR_INIT;
    /* Remembered even if the owner is refused: the signature was used. */
    if (sign_ok(c, key, why) && nonce_ok(ak_nonce_use(c->id, c->sig.nonce, &err), why, &err)) {
        user = owner_load(row_text(key, "userId"), why);
    }
    json_decref(key);
    return user;
}

json_t *ak_owner(const tn_http_req *req, struct ak_refusal *why)
{
    struct claim c;
    claim_of(req, &c);
    json_t *user = claim_owner(&c, why);
    claim_free(&c);
    return user;
}

/* ---- from the loop and back ------------------------------------------------------------------ */
/* Belongs to the helper until it is back on the loop, then to the request's release. */
struct job {
    struct claim claim;
    struct ak_refusal why;
    bool ok, back;
    tn_http_req *req; /* NULL: released */
    const tn_match *match;
    void (*go_on)(tn_http_req *req, const tn_match *match);
};

static void job_free(struct job *j)
{
    claim_free(&j->claim);
    free(j);
}

static void job_released(void *user)
{
    struct job *j = user;
    j->req = NULL;
    if (j->back) {
        job_free(j);
    }
}

static void job_back(void *user)
{
    struct job *j = user;
    j->back = true;
    if (j->req == NULL) {
        job_free(j);
    } else if (j->ok) {
        j->go_on(j->req, j->match);
    } else {
        api_error(j->req, j->why.code, NULL, text_of(j->why.detail), "%s", j->why.message);
    }
}

static void job_run(void *user)
{
    struct job *j = user;
    json_t *user_row = claim_owner(&j->claim, &j->why);
    j->ok = user_row != NULL;
    json_decref(user_row);
    api.host->loop->post(CTX, job_back, j);
}

void ak_check_later(tn_http_req *req, const tn_match *match,
                    void (*go_on)(tn_http_req *req, const tn_match *match))
{
    tn_err err = TN_ERR_INIT;
    if (req->nparts == 0 && req->body_len > BODY_MAX) {
        api_error(req, EClientBadRequest, NULL, (tn_str){NULL, 0},
                  "A call signed with an access key has a body of at most %u bytes", BODY_MAX);
        return;
    }
    struct job *j = calloc(1, sizeof *j);
    if (j == NULL) {
        api_error(req, ESysLimitReached, NULL, (tn_str){NULL, 0}, "Out of memory");
        return;
    }
    j->req = req;
    j->match = match;
    j->go_on = go_on;
    j->back = true; /* not with a helper yet */
    claim_of(req, &j->claim);
    bool copied = claim_copy(&j->claim);
    api.host->http->on_release(CTX, req, job_released, j);
    if (!copied) {
        api_error(req, ESysLimitReached, NULL, (tn_str){NULL, 0}, "Out of memory");
        return;
    }
    j->back = false;
    if (api.host->loop->defer(CTX, job_run, j, &err) != TN_OK) {
        j->back = true;
        api_error(req, ESysLimitReached, NULL, (tn_str){NULL, 0}, "%s", err.msg);
    }
}
