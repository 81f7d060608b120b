/* SPDX-License-Identifier: Apache-2.0 */
/* API authentication by HTTP Digest (RFC 7616): the descriptor and the check. */
#include "auth/user_list/user_list.h"
#include "digest.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define OPAQUE "DataFlux Func Love You!" /* what clients of the original may expect */
#define FAILED "HTTP Digest Auth failed"

struct digest_conf {
    const char *realm;
    tn_secret users;
    bool md5;
    tn_dur nonce_life;
};
struct user {
    char name[USER_NAME];
    char userhash[ALGS][HEX_MAX + 1];
    char ha1[ALGS][HEX_MAX + 1]; /* H(user:realm:password); the password itself is not kept */
};
struct digest {
    struct user *users;
    size_t n;
    bool md5;
    uint64_t stale_id; /* request whose nonce was right but old, 0 = none */
    char realm[REALM_MAX + 1];
    struct nonces nonces;
    struct digest_header header; /* of the request in hand; loop thread */
};

static const tn_host *host;

static const tn_field rows[] = {
    {TN_FIELD(struct digest_conf, realm), .dflt = "Tenon", .min = 1, .max = REALM_MAX,
     .doc = "What the client shows when it asks for a password; part of what is hashed."},
    {TN_FIELD(struct digest_conf, users), .flags = TN_F_REQUIRED,
     .doc = "JSON list of {\"username\", \"password\"}; 1000 at most."},
    {TN_FIELD(struct digest_conf, md5), .dflt = "true",
     .doc = "Offer MD5 after SHA-256, for clients that know nothing else."},
    {TN_FIELD(struct digest_conf, nonce_life), .dflt = "300s", .min = 1000, .max = 86400000,
     .doc = "How long a nonce may be used; an older one is renewed without a new password prompt."},
    {0},
};

static tn_rc digest_load(const tn_host *h, tn_err *err)
{
    (void)err;
    host = h;
    return TN_OK;
}

static tn_rc user_add(void *inst, void *user, const char *password, tn_err *err)
{
    const struct digest *d = inst;
    struct user *u = user;
    const tn_str parts[] = {
        {u->name, strlen(u->name)}, {d->realm, strlen(d->realm)}, {password, strlen(password)}};
    for (enum algorithm alg = ALG_SHA256; alg < ALGS; alg++) {
        if (!hash_hex(alg, parts, 3, u->ha1[alg]) || !hash_hex(alg, parts, 2, u->userhash[alg])) {
            return host->fail(err, TN_E_UNSUPP, "libcrypto has no %s", algorithm_names[alg]);
        }
    }
    return TN_OK;
}

static void digest_detach(void *inst)
{
    struct digest *d = inst;
    if (d->users != NULL) {
        OPENSSL_cleanse(d->users, d->n * sizeof *d->users);
    }
    free(d->users);
    free(d->nonces.used);
    OPENSSL_cleanse(d, sizeof *d);
}

static tn_rc digest_attach(void *inst, const void *conf, tn_err *err)
{
    struct digest *d = inst;
    const struct digest_conf *c = conf;
    void *users = NULL;
    tn_rc rc = realm_take(host, c->realm, d->realm, err);
    if (rc == TN_OK) {
        d->md5 = c->md5;
        d->nonces.life_us = (uint64_t)c->nonce_life.ms * 1000;
        if (RAND_bytes(d->nonces.key, sizeof d->nonces.key) != 1) {
            rc = host->fail(err, TN_E_INTERNAL, "libcrypto has no randomness");
        }
    }
    if (rc == TN_OK) {
        rc = users_take(host, c->users, sizeof *d->users, "", user_add, d, &users, &d->n, err);
        d->users = users;
    }
    if (rc != TN_OK) {
        digest_detach(d);
    }
    return rc;
}

/* ---- check ---------------------------------------------------------------------------------------- */
static bool is(tn_str t, const char *z)
{
    return t.n == strlen(z) && memcmp(t.s, z, t.n) == 0;
}

static bool is_nocase(tn_str t, const char *z)
{
    return t.n == strlen(z) && strncasecmp(t.s, z, t.n) == 0;
}

/* The request target, or its absolute form (RFC 9112 section 3.2.2). */
static bool uri_matches(tn_str uri, tn_str target)
{
    for (int i = 0; i < 2; i++) {
        if (uri.n == target.n && memcmp(uri.s, target.s, uri.n) == 0) {
            return true;
        }
        for (size_t k = 0; uri.n > 0 && *uri.s != '/' && k < 2; k++) { /* scheme, authority */
            const char *slash = memchr(uri.s, '/', uri.n);
            size_t skip = slash == NULL ? uri.n : (size_t)(slash - uri.s) + (k == 0 ? 2 : 0);
            skip = skip < uri.n ? skip : uri.n;
            uri.s += skip;
            uri.n -= skip;
        }
    }
    return false;
}

/* Eight hex digits. */
static bool count_of(tn_str t, uint32_t *ret)
{
    uint32_t v = 0;
    for (size_t i = 0; i < t.n; i++) {
        char c = t.s[i];
        int d = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (d < 0) {
            return false;
        }
        v = v << 4 | (uint32_t)d;
    }
    *ret = v;
    return t.n == 8;
}

static bool algorithm_of(const struct digest *d, tn_str name, enum algorithm *ret)
{
    for (enum algorithm alg = ALG_SHA256; alg < ALGS; alg++) {
        /* A client that names none means MD5 (RFC 7616 section 3.4). */
        if (name.s == NULL ? alg == ALG_MD5 : is_nocase(name, algorithm_names[alg])) {
            *ret = alg;
            return alg != ALG_MD5 || d->md5;
        }
    }
    return false;
}

/* The user's HA1; somebody unknown gets one that fits nothing, and takes the same time. */
static const char *ha1_of(const struct digest *d, enum algorithm alg, tn_str name, bool hashed,
                          const struct user **ret)
{
    static const char nobody[HEX_MAX + 1] = "-";
    const char *ha1 = nobody;
    *ret = NULL;
    for (size_t i = 0; i < d->n; i++) {
        const struct user *u = &d->users[i];
        const char *known = hashed ? u->userhash[alg] : u->name;
        if (hash_equal(name, (tn_str){known, strlen(known)})) {
            *ret = u;
            ha1 = u->ha1[alg];
        }
    }
    return ha1;
}

/* Is the response what the user's password gives for this very request? */
static bool response_right(const struct digest *d, const tn_http_req *req, enum algorithm alg,
                           const struct user **ret)
{
    const tn_str *v = d->header.value;
    char name_room[USERNAME_MAX], ha2[HEX_MAX + 1], right[HEX_MAX + 1];
    tn_str name;
    bool hashed = is_nocase(v[D_USERHASH], "true");
    if (!header_username(&d->header, name_room, &name) || (hashed && v[D_USERNAME_EXT].s != NULL)) {
        return false;
    }
    const char *ha1 = ha1_of(d, alg, name, hashed, ret);
    const tn_str request[] = {req->method, v[D_URI]};
    if (!hash_hex(alg, request, 2, ha2)) {
        return false;
    }
    const tn_str all[] = {{ha1, strlen(ha1)}, v[D_NONCE], v[D_NC],
                          v[D_CNONCE],        v[D_QOP],   {ha2, strlen(ha2)}};
    return hash_hex(alg, all, 6, right) &&
           hash_equal(v[D_RESPONSE], (tn_str){right, strlen(right)}) && *ret != NULL;
}

static tn_rc digest_check(void *inst, const tn_http_req *req, tn_ident *ret, tn_err *err)
{
    struct digest *d = inst;
    const tn_str *v = d->header.value;
    const char *why = "there are two";
    const struct user *who;
    enum algorithm alg;
    uint64_t stamp, now = (uint64_t)host->wall_us();
    uint32_t nc;
    tn_str sent;
    ret->subject[0] = '\0';
    ret->expires_ns = 0;
    d->stale_id = 0;
    tn_rc rc = authorization(req, "Digest ", &sent);
    if (rc == TN_OK) {
        rc = header_parse(sent, &d->header, &why);
    }
    if (rc == TN_E_INVAL) {
        return host->fail(err, rc, FAILED ": the Authorization header is malformed, %s", why);
    }
    if (rc != TN_OK) {
        return host->fail(err, rc, FAILED);
    }
    if (!is(v[D_REALM], d->realm) || !is(v[D_OPAQUE], OPAQUE) || !is(v[D_QOP], "auth") ||
        !uri_matches(v[D_URI], req->target) || !count_of(v[D_NC], &nc) || v[D_CNONCE].n == 0 ||
        !algorithm_of(d, v[D_ALGORITHM], &alg)) {
        return host->fail(err, TN_E_DENIED, FAILED);
    }
    enum nonce_state state = v[D_NONCE].s != NULL ? nonce_check(&d->nonces, now, v[D_NONCE], &stamp)
                                                  : NONCE_FOREIGN;
    bool right = response_right(d, req, alg, &who);
    if (!right) {
        return host->fail(err, TN_E_DENIED, FAILED);
    }
    /* The password is right from here on: what is wrong with the nonce is no guess at it. */
    enum nonce_count use = state == NONCE_GOOD ? nonce_use(&d->nonces, now, stamp, nc)
                                               : COUNT_STALE;
    if (use == COUNT_SEEN) {
        return host->fail(err, TN_E_DENIED, FAILED);
    }
    if (use == COUNT_STALE) {
        d->stale_id = req->id;
        return host->fail(err, TN_E_TIMEOUT, FAILED ": the nonce is stale");
    }
    memcpy(ret->subject, who->name, sizeof who->name);
    return TN_OK;
}

/* ---- challenge ------------------------------------------------------------------------------------ */
static size_t challenge_of(struct digest *d, const tn_http_req *req, enum algorithm alg, char *ret,
                           size_t cap)
{
    char nonce[NONCE_LEN + 1], text[512];
    if (!nonce_make(&d->nonces, (uint64_t)host->wall_us(), nonce)) {
        return 0;
    }
    int n = snprintf(
        text, sizeof text,
        "Digest realm=\"%s\", qop=\"auth\", algorithm=%s, nonce=\"%s\", opaque=\"%s\"%s", d->realm,
        algorithm_names[alg], nonce, OPAQUE,
        d->stale_id != 0 && d->stale_id == req->id ? ", stale=true" : "");
    if (n < 0 || (size_t)n >= sizeof text || (size_t)n > cap) {
        return 0;
    }
    memcpy(ret, text, (size_t)n);
    return (size_t)n;
}

static size_t digest_challenge(void *inst, const tn_http_req *req, char *ret, size_t cap)
{
    return challenge_of(inst, req, ALG_SHA256, ret, cap);
}

static size_t digest_challenge_more(void *inst, const tn_http_req *req, uint32_t i, char *ret,
                                    size_t cap)
{
    struct digest *d = inst;
    return i == 1 && d->md5 ? challenge_of(d, req, ALG_MD5, ret, cap) : 0;
}

static const tn_auth_ops ops = {
    .size = sizeof ops,
    .check = digest_check,
    .challenge = digest_challenge,
    .challenge_more = digest_challenge_more,
};

TN_PLUGIN(.kind = TN_KIND_AUTH, .name = "digest", .version = "0.1.0",
          .summary = "User name and password that never travel (HTTP Digest)", .config = rows,
          .conf_size = sizeof(struct digest_conf), .inst_size = sizeof(struct digest),
          .load = digest_load, .attach = digest_attach, .detach = digest_detach, .ops = &ops)
