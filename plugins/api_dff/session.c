/* SPDX-License-Identifier: Apache-2.0 */
/* Session tokens (JWT HS256 over a server-side session), roles and privileges (spec 1.1). */
#include "session.h"
#include "ak_check.h"
#include "localhost.h"
#include "sign_in.h"
#include "store.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How a request was authenticated. */
#define BY_TOKEN      "builtin.byXAuthToken"
#define BY_ACCESS_KEY "builtin.byAccessKey"

#define TOKEN_MAX 4096
#define B64       sodium_base64_VARIANT_URLSAFE_NO_PADDING
#define MAC       crypto_auth_hmacsha256_BYTES

/* ---- roles ----------------------------------------------------------------------------------- */
/* clang-format off */
#define READER (P_general_r | P_user_r)
static const struct {
    const char *role;
    uint32_t bits;
} roles[] = {
    {"sa", P_ALL},
    {"admin", READER | P_general_w | P_user_w | P_user_roleSetting | P_user_customPrivilege |
                  P_accessKey_r | P_accessKey_w},
    {"user", READER | P_general_w},
    {"readonlyUser", READER},
};
static const struct {
    const char *name;
    uint32_t bit;
} privileges[] = {
    {"general_r", P_general_r}, {"general_w", P_general_w}, {"user_r", P_user_r},
    {"user_w", P_user_w}, {"user_roleSetting", P_user_roleSetting},
    {"user_customPrivilege", P_user_customPrivilege}, {"accessKey_r", P_accessKey_r},
    {"accessKey_w", P_accessKey_w}, {"systemSetting_r", P_systemSetting_r},
    {"systemSetting_w", P_systemSetting_w}, {"debug", P_debug}, {"*", P_ALL},
};
/* clang-format on */

uint32_t privilege_bit(tn_str name)
{
    for (size_t i = 0; i < sizeof privileges / sizeof *privileges; i++) {
        if (text_is(name, privileges[i].name)) {
            return privileges[i].bit;
        }
    }
    return 0;
}

bool user_has_role(const json_t *row, const char *role)
{
    const json_t *list = json_object_get(row, "roles");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *one = json_string_value(json_array_get(list, i));
        if (one != NULL && strcmp(one, role) == 0) {
            return true;
        }
    }
    return false;
}

uint32_t user_privileges(const json_t *row)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        bits |= user_has_role(row, roles[i].role) ? roles[i].bits : 0;
    }
    const json_t *own = json_object_get(row, "customPrivileges");
    for (size_t i = 0; i < json_array_size(own); i++) {
        bits |= privilege_bit(text_of(json_string_value(json_array_get(own, i))));
    }
    return bits;
}

/* ---- tokens ---------------------------------------------------------------------------------- */
static void token_mac(const char *text, size_t n, unsigned char ret[MAC])
{
    crypto_auth_hmacsha256_state st;
    crypto_auth_hmacsha256_init(&st, api.jwt_key, api.jwt_key_len);
    crypto_auth_hmacsha256_update(&st, (const unsigned char *)text, n);
    crypto_auth_hmacsha256_final(&st, ret);
}

static void add_b64(struct str *b, const void *data, size_t n)
{
    size_t cap = sodium_base64_encoded_len(n, B64);
    char *text = malloc(cap);
    if (text == NULL) {
        b->failed = true;
        return;
    }
    sodium_bin2base64(text, cap, data, n, B64);
    str_puts(b, text);
    free(text);
}

char *token_make(const json_t *user, const char *xatid)
{
    json_t *claims = json_pack("{s:i, s:s, s:O, s:O, s:O, s:O, s:I}", "v", 3, "xatid", xatid, "uid",
                               json_object_get(user, "id"), "un", json_object_get(user, "username"),
                               "nm", json_object_get(user, "name"), "em",
                               json_object_get(user, "email"), "iat",
                               (json_int_t)(api.host->wall_us() / 1000000));
    json_t *by = json_object_get(user, "integratedSignInFuncId");
    if (by != NULL) {
        json_object_set(claims, "isfid", by);
    }
    char *text = claims != NULL ? json_dumps(claims, JSON_COMPACT) : NULL;
    json_decref(claims);
    if (text == NULL) {
        return NULL;
    }
    static const char head[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
    struct str b = {0};
    add_b64(&b, head, sizeof head - 1);
    str_char(&b, '.');
    add_b64(&b, text, strlen(text));
    free(text);
    unsigned char mac[MAC];
    token_mac(str_view(&b).s, b.n, mac);
    str_char(&b, '.');
    add_b64(&b, mac, sizeof mac);
    if (b.failed) {
        str_free(&b);
        return NULL;
    }
    return b.s;
}

/* A base64 part as JSON object; NULL when it is none. */
static json_t *token_part(const char *s, size_t n)
{
    unsigned char raw[TOKEN_MAX];
    size_t len;
    const char *end;
    if (sodium_base642bin(raw, sizeof raw, s, n, NULL, &len, &end, B64) != 0 || end != s + n) {
        return NULL;
    }
    return json_loadb((const char *)raw, len, 0, NULL);
}

/* The claims of a token that we signed; NULL for any other. New reference. */
static json_t *token_open(tn_str t)
{
    if (t.n == 0 || t.n > TOKEN_MAX) {
        return NULL;
    }
    const char *dot1 = memchr(t.s, '.', t.n);
    const char *dot2 = memrchr(t.s, '.', t.n);
    if (dot1 == NULL || dot1 == dot2) {
        return NULL;
    }
    unsigned char want[MAC], got[MAC];
    size_t len;
    const char *end, *sign = dot2 + 1;
    size_t sign_n = t.n - (size_t)(sign - t.s);
    token_mac(t.s, (size_t)(dot2 - t.s), want);
    if (sodium_base642bin(got, sizeof got, sign, sign_n, NULL, &len, &end, B64) != 0 ||
        end != sign + sign_n || len != MAC || sodium_memcmp(got, want, MAC) != 0) {
        return NULL;
    }
    json_t *head = token_part(t.s, (size_t)(dot1 - t.s));
    const char *alg = json_string_value(json_object_get(head, "alg"));
    bool hs256 = alg != NULL && strcmp(alg, "HS256") == 0;
    json_decref(head);
    json_t *claims = hs256 ? token_part(dot1 + 1, (size_t)(dot2 - dot1 - 1)) : NULL;
    if (json_integer_value(json_object_get(claims, "v")) != 3 ||
        !json_is_string(json_object_get(claims, "uid")) ||
        !json_is_string(json_object_get(claims, "xatid"))) {
        json_decref(claims);
        return NULL;
    }
    return claims;
}

char *token_cookie(const tn_http_req *req, const char *token)
{
    struct str b = {0};
    if (token != NULL) {
        /* Express signed-cookie form "s:<value>.<base64 HMAC>", percent-encoded. */
        unsigned char mac[MAC];
        char sign[sodium_base64_ENCODED_LEN(MAC, sodium_base64_VARIANT_ORIGINAL_NO_PADDING)];
        token_mac(token, strlen(token), mac);
        sodium_bin2base64(sign, sizeof sign, mac, sizeof mac,
                          sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
        str_printf(&b, "xDFFAuthToken=s%%3A%s.", token);
        for (const char *p = sign; *p != '\0'; p++) {
            str_puts(&b, *p == '+' ? "%2B" : *p == '/' ? "%2F" : "");
            if (*p != '+' && *p != '/') {
                str_char(&b, *p);
            }
        }
        str_printf(&b, "; Max-Age=%d", SESSION_TTL);
    } else {
        str_puts(&b, "xDFFAuthToken=; Max-Age=0");
    }
    str_puts(&b, "; Path=/; HttpOnly; SameSite=Lax");
    str_puts(&b, text_is(req->scheme, "https") ? "; Secure" : "");
    return b.s;
}

/* ---- credentials ----------------------------------------------------------------------------- */
enum cred_kind { CRED_NONE, CRED_TOKEN, CRED_ACCESS_KEY, CRED_LOCALHOST };

static enum cred_kind cred_find(const tn_http_req *req, tn_str *ret)
{
    *ret = tn_http_header(req, "x-dff-auth-token");
    if (ret->n == 0) {
        for (uint32_t i = 0; i < req->nargs && ret->n == 0; i++) {
            if (text_is(req->args[i].name, "xDFFAuthToken")) {
                *ret = req->args[i].value;
            }
        }
    }
    if (ret->n > 0) {
        return CRED_TOKEN;
    }
    if (ak_present(req)) {
        return CRED_ACCESS_KEY;
    }
    *ret = tn_http_header(req, "x-localhost-auth-token");
    return ret->s != NULL ? CRED_LOCALHOST : CRED_NONE;
}

/* Checks a token, which needs no store. Returns NULL and the claims (CRED_TOKEN), or the text of the
 * refusal. */
static const char *cred_check(const tn_http_req *req, enum cred_kind kind, tn_str cred,
                              json_t **ret_claims)
{
    *ret_claims = NULL;
    if (kind == CRED_LOCALHOST) {
        return localhost_token_ok(req, cred) ? NULL : "Invalid localhost auth token";
    }
    if (kind != CRED_TOKEN) {
        return NULL;
    }
    json_t *claims = token_open(cred);
    if (claims == NULL) {
        return "Invalid x-auth-token";
    }
    tn_str uid = text_of(json_string_value(json_object_get(claims, "uid")));
    tn_str xatid = text_of(json_string_value(json_object_get(claims, "xatid")));
    if (api.host->auth->session_check(api.host->ctx, uid, xatid, NULL) != TN_OK) {
        json_decref(claims);
        return "x-auth-token is expired";
    }
    *ret_claims = claims;
    return NULL;
}

bool api_credential_fast(tn_http_req *req, const tn_match *match,
                         void (*go_on)(tn_http_req *req, const tn_match *match))
{
    tn_str cred;
    json_t *claims;
    enum cred_kind kind = cred_find(req, &cred);
    if (kind == CRED_NONE) {
        return true;
    }
    if (kind == CRED_ACCESS_KEY) {
        ak_check_later(req, match, go_on);
        return false;
    }
    const char *problem = cred_check(req, kind, cred, &claims);
    json_decref(claims);
    if (problem != NULL) {
        api_error(req, EUserAuth, NULL, (tn_str){NULL, 0}, "%s", problem);
    }
    return problem == NULL;
}

json_t *user_load(const char *column, tn_str value, tn_err *err)
{
    static const char *const extra[] = {"passwordHash"};
    return store_one(NULL, "user", column, value, extra, 1, err);
}

/* The user behind a token: the claims' one, or u-admin for the localhost token. NULL: answered. */
static json_t *token_user(struct api_req *r, const json_t *claims)
{
    tn_err err = TN_ERR_INIT;
    if (json_object_get(claims, "isfid") != NULL) {
        return integrated_user(r, claims);
    }
    tn_str uid = claims != NULL ? text_of(json_string_value(json_object_get(claims, "uid")))
                                : TN_STR("u-admin");
    json_t *row = user_load("id", uid, &err);
    if (row == NULL && err.rc != TN_E_NOTFOUND) {
        api_fail_err(r, &err);
    } else if (row == NULL) {
        api_fail(r, EUserAuth, NULL, NULL, "User is not existed");
    } else if (json_is_true(json_object_get(row, "isDisabled")) && !text_is(uid, "u-admin")) {
        api_fail(r, EUserDisabled, NULL, NULL, "Current user has been disabled");
        json_decref(row);
        row = NULL;
    } else {
        json_object_del(row, "passwordHash");
    }
    return row;
}

/* The owner of the access key that signed. NULL: answered. */
static json_t *key_user(struct api_req *r)
{
    struct ak_refusal why;
    json_t *row = ak_owner(r->http, &why);
    if (row == NULL) {
        json_t *detail = why.detail != NULL ? json_loads(why.detail, 0, NULL) : NULL;
        api_fail(r, why.code, NULL, detail, "%s", why.message);
    }
    return row;
}

bool session_authenticate(struct api_req *r)
{
    tn_str cred;
    json_t *claims = NULL;
    enum cred_kind kind = cred_find(r->http, &cred);
    if (kind == CRED_NONE) {
        return true;
    }
    const char *problem = cred_check(r->http, kind, cred, &claims);
    if (problem != NULL) {
        api_fail(r, EUserAuth, NULL, NULL, "%s", problem);
        return false;
    }
    struct api_user *u = &r->user;
    const char *xatid = json_string_value(json_object_get(claims, "xatid"));
    snprintf(u->session, sizeof u->session, "%s", xatid != NULL ? xatid : "");
    json_t *row = kind == CRED_ACCESS_KEY ? key_user(r) : token_user(r, claims);
    json_decref(claims);
    if (row == NULL) {
        return false;
    }
    u->row = row;
    r->has_user = true;
    u->id = json_string_value(json_object_get(row, "id"));
    u->username = json_string_value(json_object_get(row, "username"));
    const char *name = json_string_value(json_object_get(row, "name"));
    u->name = name != NULL ? name : "";
    u->auth_type = kind == CRED_TOKEN        ? BY_TOKEN
                   : kind == CRED_ACCESS_KEY ? BY_ACCESS_KEY
                                             : BY_LOCALHOST;
    u->privileges = user_privileges(row);
    u->is_sa = user_has_role(row, "sa");
    return true;
}

bool session_authorize(struct api_req *r, const char *permission)
{
    if (strcmp(permission, "public") == 0) {
        return true;
    }
    if (!r->has_user) {
        api_fail(r, EUserAuth, NULL, NULL, "User not signed in");
        return false;
    }
    if ((r->route->flags & API_TOKEN_ONLY) != 0 && strcmp(r->user.auth_type, BY_ACCESS_KEY) == 0) {
        api_fail(r, EUserAuth, NULL,
                 json_pack("{s:s, s:[s,s]}", "authType", BY_ACCESS_KEY, "supportedAuthType",
                           BY_TOKEN, BY_LOCALHOST),
                 "Auth type not supported");
        return false;
    }
    if (strcmp(permission, "sign-in") == 0) {
        return true;
    }
    uint32_t bit = privilege_bit(text_of(permission));
    if (bit == 0 || (r->user.privileges & bit) != bit) {
        api_fail(r, EUserPrivilege, NULL, json_pack("{s:[s]}", "requiredPrivileges", permission),
                 "Privilege is not satisfied");
        return false;
    }
    return true;
}
