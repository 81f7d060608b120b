/* SPDX-License-Identifier: Apache-2.0 */
/* API authentication by user name and password (RFC 7617). */
#include "auth/user_list/user_list.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_MAX 4096 /* of the credentials, base64 */

struct basic_conf {
    const char *realm;
    tn_secret users;
};
struct user {
    char name[USER_NAME];
    uint8_t tag[crypto_auth_BYTES]; /* keyed hash of "name:password", which itself is not kept */
};
struct basic {
    struct user *users;
    size_t n;
    char realm[REALM_MAX + 1];
    uint8_t key[crypto_auth_KEYBYTES];
};

static const tn_host *host;

static const tn_field rows[] = {
    {TN_FIELD(struct basic_conf, realm), .dflt = "Tenon", .min = 1, .max = REALM_MAX,
     .doc = "What the client shows when it asks for a password."},
    {TN_FIELD(struct basic_conf, users), .flags = TN_F_REQUIRED,
     .doc = "JSON list of {\"username\", \"password\"}; 1000 at most."},
    {0},
};

static tn_rc basic_load(const tn_host *h, tn_err *err)
{
    host = h;
    return sodium_init() >= 0 ? TN_OK : h->fail(err, TN_E_INTERNAL, "libsodium does not start");
}

static tn_rc user_add(void *inst, void *user, const char *password, tn_err *err)
{
    const struct basic *b = inst;
    crypto_auth_hmacsha512256_state st;
    struct user *u = user;
    (void)err;
    crypto_auth_hmacsha512256_init(&st, b->key, sizeof b->key);
    crypto_auth_hmacsha512256_update(&st, (const unsigned char *)u->name, strlen(u->name));
    crypto_auth_hmacsha512256_update(&st, (const unsigned char *)":", 1);
    crypto_auth_hmacsha512256_update(&st, (const unsigned char *)password, strlen(password));
    crypto_auth_hmacsha512256_final(&st, u->tag);
    sodium_memzero(&st, sizeof st);
    return TN_OK;
}

static void basic_detach(void *inst)
{
    struct basic *b = inst;
    if (b->users != NULL) {
        sodium_memzero(b->users, b->n * sizeof *b->users);
    }
    free(b->users);
    sodium_memzero(b, sizeof *b);
}

static tn_rc basic_attach(void *inst, const void *conf, tn_err *err)
{
    struct basic *b = inst;
    const struct basic_conf *c = conf;
    void *users = NULL;
    tn_rc rc = realm_take(host, c->realm, b->realm, err);
    if (rc == TN_OK) {
        randombytes_buf(b->key, sizeof b->key);
        rc = users_take(host, c->users, sizeof *b->users, ":", user_add, b, &users, &b->n, err);
        b->users = users;
    }
    if (rc != TN_OK) {
        basic_detach(b);
    }
    return rc;
}

/* The decoded "user:password" of the one Authorization header. */
static tn_rc credentials(const tn_http_req *req, unsigned char *out, size_t cap, size_t *ret_n)
{
    tn_str value;
    tn_rc rc = authorization(req, "Basic ", &value);
    if (rc != TN_OK) {
        return rc;
    }
    while (value.n > 0 && *value.s == ' ') {
        value.s++;
        value.n--;
    }
    const char *end;
    if (value.n > HEADER_MAX ||
        sodium_base642bin(out, cap, value.s, value.n, NULL, ret_n, &end,
                          sodium_base64_VARIANT_ORIGINAL) != 0 ||
        end != value.s + value.n || memchr(out, ':', *ret_n) == NULL) {
        return TN_E_INVAL;
    }
    return TN_OK;
}

static tn_rc basic_check(void *inst, const tn_http_req *req, tn_ident *ret, tn_err *err)
{
    const struct basic *b = inst;
    unsigned char plain[HEADER_MAX];
    uint8_t tag[crypto_auth_BYTES];
    size_t n = 0;
    const struct user *who = NULL;
    ret->subject[0] = '\0';
    ret->expires_ns = 0;
    tn_rc rc = credentials(req, plain, sizeof plain, &n);
    if (rc == TN_E_INVAL) {
        return host->fail(err, rc, "HTTP Basic Auth failed: the Authorization header is malformed");
    }
    if (rc != TN_OK) {
        return host->fail(err, rc, "HTTP Basic Auth failed");
    }
    crypto_auth(tag, plain, n, b->key);
    for (size_t i = 0; i < b->n; i++) { /* all of them: the time says nothing about who exists */
        if (sodium_memcmp(tag, b->users[i].tag, sizeof tag) == 0) {
            who = &b->users[i];
        }
    }
    sodium_memzero(plain, sizeof plain);
    if (who == NULL) {
        return host->fail(err, TN_E_DENIED, "HTTP Basic Auth failed");
    }
    memcpy(ret->subject, who->name, sizeof who->name);
    return TN_OK;
}

static size_t basic_challenge(void *inst, const tn_http_req *req, char *ret, size_t cap)
{
    static const char head[] = "Basic realm=\"";
    const struct basic *b = inst;
    size_t n = strlen(b->realm), need = sizeof head - 1 + n + 1;
    (void)req;
    if (need > cap) {
        return 0;
    }
    memcpy(ret, head, sizeof head - 1);
    memcpy(ret + sizeof head - 1, b->realm, n);
    ret[need - 1] = '"';
    return need;
}

static const tn_auth_ops ops = {
    .size = sizeof ops,
    .check = basic_check,
    .challenge = basic_challenge,
};

TN_PLUGIN(.kind = TN_KIND_AUTH, .name = "basic", .version = "0.1.0",
          .summary = "User name and password (HTTP Basic)", .config = rows,
          .conf_size = sizeof(struct basic_conf), .inst_size = sizeof(struct basic),
          .load = basic_load, .attach = basic_attach, .detach = basic_detach, .ops = &ops)
