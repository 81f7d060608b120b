/* SPDX-License-Identifier: Apache-2.0 */
/* Sign-in, sign-out, password and profile (spec 1.1). */
#include "guard.h"
#include "rows.h"
#include "session.h"
#include "sign_in.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define CTX  api.host->ctx
#define AUTH api.host->auth

json_t *sign_in_wait(int64_t seconds)
{
    return json_pack("{s:I}", "signInWaitTimeout", (json_int_t)seconds);
}

/* The form of imported databases: sha512_hex("~" id "~" password "~" SECRET "~"). */
static bool legacy_matches(const char *id, tn_str password, const char *hash)
{
    struct str b = {0};
    unsigned char sum[crypto_hash_sha512_BYTES];
    char hex[2 * sizeof sum + 1];
    str_printf(&b, "~%s~", id);
    str_text(&b, password);
    str_printf(&b, "~%s~", api_setting("SECRET", "your_secret"));
    crypto_hash_sha512(sum, (const unsigned char *)str_view(&b).s, b.n);
    sodium_memzero(b.s, b.n);
    str_free(&b);
    sodium_bin2hex(hex, sizeof hex, sum, sizeof sum);
    return AUTH->equal(hex, sizeof hex - 1, hash, strlen(hash)) != 0;
}

/* Is this the user's password? user NULL takes as long as a wrong one. An old hash that matches is
 * replaced by a new one. */
static bool password_matches(const json_t *user, tn_str password)
{
    const char *hash = json_string_value(json_object_get(user, "passwordHash"));
    const char *id = row_text(user, "id");
    if (hash == NULL || strlen(hash) != 128 || hash[0] == '$') {
        return AUTH->password_verify(CTX, password, text_of(hash), NULL) == TN_OK && hash != NULL;
    }
    if (!legacy_matches(id, password, hash)) {
        return false;
    }
    tn_text phc = {0};
    if (AUTH->password_hash(CTX, password, &phc, NULL) == TN_OK) {
        json_t *patch = json_pack("{s:s}", "passwordHash", phc.s);
        store_patch(NULL, "user", "id", text_of(id), patch, NULL);
        json_decref(patch);
        api.host->free(CTX, phc.s);
    }
    return true;
}

bool sign_in_captcha(struct api_req *r, const char *category)
{
    tn_str token = text_of(row_text(r->body, "captchaToken"));
    tn_str answer = text_of(row_text(r->body, "captcha"));
    const char *problem = captcha_check(text_of(category), token, answer);
    if (problem != NULL) {
        api_fail(r, EUserCaptcha, NULL, NULL, "%s", problem);
    }
    return problem == NULL;
}

bool sign_in_brake(struct api_req *r, tn_str name, const char *what)
{
    tn_err err = TN_ERR_INIT;
    int64_t wait = guard_enter(name, r->http->peer, &err);
    if (wait > 0) {
        api_fail(r, EUserLocked, NULL, sign_in_wait(wait), "Too many %s, try again in %lld seconds",
                 what, (long long)wait);
    } else if (wait < 0) {
        api_fail_err(r, &err);
    }
    return wait == 0;
}

void sign_in_done(struct api_req *r, const json_t *user)
{
    char xatid[4 + 12 + 1] = "xat-";
    AUTH->random_id(xatid + 4, 12);
    tn_err err = TN_ERR_INIT;
    tn_str id = text_of(row_text(user, "id"));
    char *token = token_make(user, xatid);
    if (token == NULL) {
        api_fail(r, ESysLimitReached, NULL, NULL, "Out of memory");
    } else if (AUTH->session_put(CTX, id, text_of(xatid), SESSION_TTL, &err) != TN_OK) {
        api_fail_err(r, &err);
    } else {
        r->cookie = token_cookie(r->http, token);
        api_ok(r, json_pack("{s:s, s:s}", "userId", id.s, "xAuthToken", token));
    }
    free(token);
}

static void sign_in(struct api_req *r)
{
    const json_t *in = json_object_get(r->body, "signIn");
    tn_str username = text_of(row_text(in, "username"));
    tn_str password = text_of(row_text(in, "password"));
    tn_err err = TN_ERR_INIT;
    if (!sign_in_captcha(r, "signIn") || !sign_in_brake(r, username, "failed sign-ins")) {
        return;
    }
    json_t *user = user_load("username", username, &err);
    if (user == NULL && err.rc != TN_E_NOTFOUND) {
        api_fail_err(r, &err);
        return;
    }
    if (!password_matches(user, password)) {
        api_fail(r, EUserPassword, NULL, sign_in_wait(guard_wait(username)),
                 "Invalid username or password");
    } else if (json_is_true(json_object_get(user, "isDisabled")) &&
               strcmp(row_text(user, "id"), "u-admin") != 0) {
        api_fail(r, EUserDisabled, NULL, sign_in_wait(0), "Current user has been disabled");
    } else {
        guard_success(username, r->http->peer);
        sign_in_done(r, user);
    }
    json_decref(user);
}

static void sign_out(struct api_req *r)
{
    if (r->has_user && r->user.session[0] != '\0') {
        AUTH->session_drop(CTX, text_of(r->user.id), text_of(r->user.session), (tn_str){NULL, 0});
    }
    r->cookie = token_cookie(r->http, NULL);
    api_ok(r, NULL);
}

static void change_password(struct api_req *r)
{
    const json_t *in = json_object_get(r->body, "changePassword");
    tn_str old = text_of(row_text(in, "oldPassword")), fresh = text_of(row_text(in, "newPassword"));
    tn_err err = TN_ERR_INIT;
    /* The same brake as at the door: a stolen token must not become a way to guess the password. */
    tn_str username = text_of(r->user.username);
    if (integrated_refuse(r) || !sign_in_captcha(r, "changePassword") ||
        !sign_in_brake(r, username, "wrong passwords")) {
        return;
    }
    json_t *user = user_load("id", text_of(r->user.id), &err);
    if (user == NULL) {
        api_fail_err(r, &err);
        return;
    }
    tn_text phc = {0};
    if (!password_matches(user, old)) {
        api_fail(r, EUserPassword, NULL, NULL, "Invalid old password");
        goto undo_user;
    }
    guard_success(username, r->http->peer);
    if (AUTH->password_hash(CTX, fresh, &phc, &err) != TN_OK) {
        api_fail_err(r, &err);
        goto undo_user;
    }
    json_t *patch = json_pack("{s:s}", "passwordHash", phc.s);
    tn_rc rc = r->dry_run ? TN_OK
                          : store_patch(NULL, "user", "id", text_of(r->user.id), patch, &err);
    json_decref(patch);
    api.host->free(CTX, phc.s);
    if (rc != TN_OK) {
        api_fail_err(r, &err);
        goto undo_user;
    }
    if (!r->dry_run) {
        tn_str keep = r->user.session[0] != '\0' ? text_of(r->user.session) : (tn_str){NULL, 0};
        AUTH->session_drop(CTX, text_of(r->user.id), (tn_str){NULL, 0}, keep);
    }
    api_ok(r, NULL);
undo_user:
    json_decref(user);
}

/* ---- profile --------------------------------------------------------------------------------- */
static json_t *nothing_if_empty(const json_t *list)
{
    return json_array_size(list) > 0 ? json_incref((json_t *)list) : json_array();
}

static void profile_get(struct api_req *r)
{
    json_t *user = json_pack("{s:b, s:n}", "isSignedIn", 1, "error");
    json_object_update(user, r->user.row);
    static const char *const lists[] = {"markers", "roles", "customPrivileges"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        json_object_set_new(user, lists[i], nothing_if_empty(json_object_get(user, lists[i])));
    }
    api_ok(r, user);
}

static void profile_modify(struct api_req *r)
{
    tn_err err = TN_ERR_INIT;
    const json_t *data = json_object_get(r->body, "data");
    if (integrated_refuse(r)) {
        return;
    }
    if (!r->dry_run && store_patch(NULL, "user", "id", text_of(r->user.id), data, &err) != TN_OK) {
        api_fail_err(r, &err);
        return;
    }
    api_ok(r, json_string(r->user.id));
}

static void captcha_get(struct api_req *r)
{
    tn_str category = text_of(row_text(r->query, "captchaCategory"));
    tn_str token = text_of(row_text(r->query, "captchaToken"));
    struct str svg = {0};
    captcha_make(category, token, &svg);
    struct api_stamp s;
    api_stamp_as(&s, r->http, r->trace);
    api_stamp_header(&s, TN_STR("Cache-Control"), TN_STR("no-store"));
    api_send(r->http, &s, 200, "image/svg+xml", &svg, NULL);
}

/* ---- tables ---------------------------------------------------------------------------------- */
/* clang-format off */
#define REQ FF_REQUIRED
static const struct field sign_in_data[] = {
    {.name = "username", .type = F_STR, .flags = REQ, .max = 30},
    {.name = "password", .type = F_STR, .flags = REQ, .max = 100},
    {.name = NULL}};
static const struct field sign_in_body[] = {
    SIGN_IN_CAPTCHA,
    {.name = "signIn", .type = F_OBJ, .flags = REQ, .sub = sign_in_data},
    {.name = NULL}};
static const struct field change_data[] = {
    {.name = "oldPassword", .type = F_STR, .flags = REQ, .max = 100},
    {.name = "newPassword", .type = F_STR, .flags = REQ, .min = 1, .max = 100},
    {.name = NULL}};
static const struct field change_body[] = {
    SIGN_IN_CAPTCHA,
    {.name = "changePassword", .type = F_OBJ, .flags = REQ, .sub = change_data},
    {.name = NULL}};
static const struct field profile_data[] = {
    {.name = "name", .type = F_STR, .max = 50},
    {.name = "email", .type = F_STR, .max = 50},
    {.name = "mobile", .type = F_STR, .flags = FF_NULL, .max = 20},
    {.name = NULL}};
static const struct field profile_body[] = {
    {.name = "data", .type = F_OBJ, .flags = REQ, .sub = profile_data}, {.name = NULL}};
static const struct field captcha_query[] = {
    {.name = "captchaCategory", .type = F_STR, .flags = REQ, .choices = "signIn|changePassword"},
    {.name = "captchaToken", .type = F_STR, .flags = REQ, .max = 128},
    {.name = NULL}};

const struct api_route auth_routes[] = {
    {"GET", "/api/v1/captcha/do/get", "public", "Draws a captcha", captcha_get, captcha_query, NULL,
     NULL, 0},
    {"POST", "/api/v1/auth/do/sign-in", "public", "Signs in with name and password", sign_in, NULL,
     sign_in_body, NULL, 0},
    {"GET", "/api/v1/auth/do/sign-out", "public", "Ends the session", sign_out, NULL, NULL, NULL,
     0},
    {"POST", "/api/v1/auth/do/change-password", "sign-in", "Changes the caller's password",
     change_password, NULL, change_body, NULL, API_TOKEN_ONLY},
    {"GET", "/api/v1/auth/profile/do/get", "sign-in", "The caller's own user row", profile_get,
     NULL,
     NULL, NULL, 0},
    {"POST", "/api/v1/auth/profile/do/modify", "sign-in", "Changes the caller's own name and mail",
     profile_modify, NULL, profile_body, NULL, API_TOKEN_ONLY},
    {.method = NULL}};
/* clang-format on */
