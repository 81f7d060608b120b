/* SPDX-License-Identifier: Apache-2.0 */
/* API authentication by user name and password (RFC 7617). */
#include <jansson.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <tenon/tenon.h>

#define USERS_MAX  1000
#define HEADER_MAX 4096 /* of the credentials, base64 */
#define REALM_MAX  160

struct basic_conf {
    const char *realm;
    tn_secret users;
};
struct user {
    char name[128];
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

static tn_rc user_add(struct basic *b, const json_t *row, tn_err *err)
{
    const char *name = json_string_value(json_object_get(row, "username"));
    const char *password = json_string_value(json_object_get(row, "password"));
    crypto_auth_hmacsha512256_state st;
    struct user *u = &b->users[b->n];
    if (name == NULL || name[0] == '\0' || strlen(name) >= sizeof u->name ||
        strchr(name, ':') != NULL || password == NULL) {
        return host->fail(err, TN_E_CONFIG,
                          "user %zu needs a username of 1 to %zu bytes without a colon, and a "
                          "password",
                          b->n + 1, sizeof u->name - 1);
    }
    strcpy(u->name, name); /* measured above */
    crypto_auth_hmacsha512256_init(&st, b->key, sizeof b->key);
    crypto_auth_hmacsha512256_update(&st, (const unsigned char *)name, strlen(name));
    crypto_auth_hmacsha512256_update(&st, (const unsigned char *)":", 1);
    crypto_auth_hmacsha512256_update(&st, (const unsigned char *)password, strlen(password));
    crypto_auth_hmacsha512256_final(&st, u->tag);
    sodium_memzero(&st, sizeof st);
    b->n++;
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

/* A quoted-string of RFC 9110 holds no controls; quotes and backslashes would end or bend it. */
static tn_rc realm_take(struct basic *b, const char *realm, tn_err *err)
{
    size_t n = strlen(realm);
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)realm[i] < ' ' || realm[i] == '"' || realm[i] == '\\' ||
            realm[i] == 0x7f) {
            return host->fail(err, TN_E_CONFIG, "realm must not hold quotes, \\ or controls");
        }
    }
    memcpy(b->realm, realm, n + 1);
    return TN_OK;
}

static tn_rc basic_attach(void *inst, const void *conf, tn_err *err)
{
    struct basic *b = inst;
    const struct basic_conf *c = conf;
    json_error_t why;
    json_t *list = json_loads(c->users.s != NULL ? c->users.s : "", 0, &why);
    tn_rc rc = realm_take(b, c->realm, err);
    size_t n = json_array_size(list);
    if (rc == TN_OK && (!json_is_array(list) || n > USERS_MAX)) {
        rc = host->fail(err, TN_E_CONFIG, "users must be a JSON list of at most %d", USERS_MAX);
    }
    if (rc == TN_OK) {
        randombytes_buf(b->key, sizeof b->key);
        b->users = calloc(n + 1, sizeof *b->users);
        rc = b->users != NULL ? TN_OK : host->fail(err, TN_E_NOMEM, "no memory for %zu users", n);
    }
    for (size_t i = 0; rc == TN_OK && i < n; i++) {
        rc = user_add(b, json_array_get(list, i), err);
    }
    json_decref(list);
    if (rc != TN_OK) {
        basic_detach(b);
    }
    return rc;
}

/* The decoded "user:password" of the one Authorization header. */
static tn_rc credentials(const tn_http_req *req, unsigned char *out, size_t cap, size_t *ret_n)
{
    tn_str value = {NULL, 0};
    for (uint32_t i = 0; i < req->nheaders; i++) {
        tn_str name = req->headers[i].name;
        if (name.n == 13 && memcmp(name.s, "authorization", 13) == 0) {
            if (value.s != NULL) {
                return TN_E_INVAL;
            }
            value = req->headers[i].value;
        }
    }
    if (value.n < 6 || strncasecmp(value.s, "Basic ", 6) != 0) {
        return TN_E_NOTFOUND;
    }
    value.s += 6;
    value.n -= 6;
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
