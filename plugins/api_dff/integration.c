/* SPDX-License-Identifier: Apache-2.0 */
/* Signing in by a function of a script (spec 1.1): it gets name and password and says who that is. Such a
 * user has no row; its token carries who it is, and ends when the function is no sign-in function any
 * more. helper thread -> loop -> worker -> loop -> helper thread. */
#include "integration.h"
#include "guard.h"
#include "rows.h"
#include "schema.h"
#include "sign_in.h"
#include "task_submit.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CTX        api.host->ctx
#define ANSWER_MAX (64u << 10) /* of the function */
#define UID_MAX    256
#define NAME_MAX_N 256
#define ID_UID_MAX 27 /* so that the whole id fits the 64 characters of columns that name users */

struct integrated {
    struct api_req *r;
    tn_str func_id, username, password; /* of r->body */
    char *brake;                        /* what failures count for */
    uint32_t status;                    /* TN_CALL_*, UINT32_MAX: not submitted */
    uint32_t value_kind;
    struct str value, error;
    tn_err err;
};

static void integrated_free(struct integrated *p)
{
    free(p->brake);
    str_free(&p->value);
    str_free(&p->error);
    free(p);
}

/* ---- who may vouch --------------------------------------------------------------------------- */
json_t *integrated_funcs(tn_err *err)
{
    if (api_setting_bool("DISABLE_INTEGRATED_SIGNIN", false)) {
        return json_array();
    }
    json_t *rows = store_where(NULL, "func", "func.integration", TN_STR("signIn"), NULL, 0, err);
    json_t *list = rows != NULL ? json_array() : NULL;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *f = json_array_get(rows, i);
        json_array_append_new(list, json_pack("{s:O, s:O?}", "id", json_object_get(f, "id"),
                                              "title", json_object_get(f, "title")));
    }
    json_decref(rows);
    return list;
}

/* The row of a sign-in function; NULL with TN_E_NOTFOUND when it is none or may not be used. */
static json_t *func_load(tn_str id, tn_err *err)
{
    json_t *row = store_one(NULL, "func", "id", id, NULL, 0, err);
    if (row != NULL && strcmp(row_text(row, "integration"), "signIn") != 0) {
        json_decref(row);
        row = NULL;
        api.host->fail(err, TN_E_NOTFOUND, "no sign-in function");
    }
    return row;
}

/* ---- the user -------------------------------------------------------------------------------- */
/* igu_<md5 of the function's id>-<uid>; a long uid is replaced by "~" and its digest, one that begins
 * with "~" as well, so that nobody can choose another's id. */
static void user_id(tn_str func_id, tn_str uid, char ret[65])
{
    char md5[33], digest[33];
    md5_hex(func_id.s, func_id.n, md5);
    if (uid.n <= ID_UID_MAX && uid.s[0] != '~') {
        snprintf(ret, 65, "igu_%s-%.*s", md5, (int)uid.n, uid.s);
    } else {
        md5_hex(uid.s, uid.n, digest);
        snprintf(ret, 65, "igu_%s-~%.26s", md5, digest);
    }
}

static json_t *user_row(const char *id, const json_t *username, const json_t *name,
                        const json_t *email, const json_t *func)
{
    return json_pack("{s:s, s:O, s:O?, s:O?, s:n, s:[], s:[s], s:[s], s:b, s:O, s:O?}", "id", id,
                     "username", username, "name", name, "email", email, "mobile", "markers",
                     "roles", "user", "customPrivileges", "systemSetting_r", "isDisabled", 0,
                     "integratedSignInFuncId", json_object_get(func, "id"),
                     "integratedSignInFuncTitle", json_object_get(func, "title"));
}

json_t *integrated_user(struct api_req *r, const json_t *claims)
{
    tn_err err = TN_ERR_INIT;
    const char *func_id = json_string_value(json_object_get(claims, "isfid"));
    bool off = func_id == NULL || api_setting_bool("DISABLE_INTEGRATED_SIGNIN", false);
    json_t *func = off ? NULL : func_load(text_of(func_id), &err);
    if (func == NULL) {
        if (off || err.rc == TN_E_NOTFOUND) {
            api_fail(r, EUserAuth, NULL, NULL,
                     "The function that signed this user in is no sign-in function any more");
        } else {
            api_fail_err(r, &err);
        }
        return NULL;
    }
    json_t *row = user_row(json_string_value(json_object_get(claims, "uid")),
                           json_object_get(claims, "un"), json_object_get(claims, "nm"),
                           json_object_get(claims, "em"), func);
    json_decref(func);
    if (row == NULL) {
        api_fail(r, EUserAuth, NULL, NULL, "Invalid x-auth-token");
    }
    return row;
}

bool integrated_refuse(struct api_req *r)
{
    bool is = json_object_get(r->user.row, "integratedSignInFuncId") != NULL;
    if (is) {
        api_fail(r, EBizCondition, NULL, NULL,
                 "This user was signed in by a function and is not stored here");
    }
    return is;
}

/* ---- what the function said ------------------------------------------------------------------ */
/* The first member that is called like one of names (ended by NULL), whatever the case. */
static const json_t *member(const json_t *o, const char *const *names)
{
    const char *key;
    json_t *v;
    for (; *names != NULL; names++) {
        json_object_foreach((json_t *)o, key, v)
        {
            if (strcasecmp(key, *names) == 0) {
                return v;
            }
        }
    }
    return NULL;
}

/* Text or a whole number as text of 1 to max bytes, else NULL. */
static json_t *short_text(const json_t *v, size_t max)
{
    char number[24];
    if (json_is_integer(v)) {
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(v));
        return json_string(number);
    }
    size_t n = json_string_length(v);
    return n > 0 && n <= max ? json_incref((json_t *)v) : NULL;
}

/* Who that is: uid, name, email, new references; uid NULL: nobody. */
static void who(const struct integrated *p, json_t **ret_uid, json_t **ret_name, json_t **ret_email)
{
    static const char *const uids[] = {"id", "uid", "userid", "user_id", NULL};
    static const char *const names[] = {"name",        "title",        "fullname", "full_name",
                                        "displayname", "display_name", "realname", "real_name",
                                        "nickname",    "nick_name",    NULL};
    static const char *const emails[] = {"email", "mail", "useremail", "user_email", NULL};
    json_t *v = p->value_kind == TN_VALUE_TEXT
                    ? json_stringn(str_view(&p->value).s, p->value.n)
                    : json_loadb(str_view(&p->value).s, p->value.n, JSON_DECODE_ANY, NULL);
    *ret_uid = *ret_name = *ret_email = NULL;
    if (json_is_true(v)) {
        *ret_uid = json_stringn(p->username.s, p->username.n);
    } else if (json_is_object(v)) {
        *ret_uid = short_text(member(v, uids), UID_MAX);
        *ret_name = short_text(member(v, names), NAME_MAX_N);
        *ret_email = short_text(member(v, emails), NAME_MAX_N);
    } else if (!(json_is_integer(v) && json_integer_value(v) == 0)) {
        *ret_uid = short_text(v, UID_MAX);
    }
    json_decref(v);
    *ret_name = *ret_name != NULL ? *ret_name : json_incref(*ret_uid);
    *ret_email = *ret_email != NULL ? *ret_email : json_null();
}

static void sign_in_by(struct integrated *p)
{
    struct api_req *r = p->r;
    json_t *uid, *name, *email;
    char id[65];
    who(p, &uid, &name, &email);
    if (uid == NULL) {
        api_fail(r, EFuncFailed, "SignInFuncReturnedFalseOrNothing",
                 sign_in_wait(guard_wait(text_of(p->brake))),
                 "Sign-in function did not say who that is");
    } else {
        user_id(p->func_id, (tn_str){json_string_value(uid), json_string_length(uid)}, id);
        json_t *func = json_pack("{s:s%, s:n}", "id", p->func_id.s, p->func_id.n, "title");
        json_t *username = json_stringn(p->username.s, p->username.n);
        json_t *row = user_row(id, username, name, email, func);
        guard_success(text_of(p->brake), r->http->peer);
        sign_in_done(r, row);
        json_decref(row);
        json_decref(username);
        json_decref(func);
    }
    json_decref(uid);
    json_decref(name);
    json_decref(email);
}

static void integrated_finish(void *user)
{
    struct integrated *p = user;
    struct api_req *r = p->r;
    if (p->status == UINT32_MAX) {
        api_fail_err(r, &p->err);
    } else if (p->status == TN_CALL_SUCCESS) {
        sign_in_by(p);
    } else if (p->status == TN_CALL_TIMEOUT || p->status == TN_CALL_EXPIRED) {
        api_fail(r, EFuncFailed, "SignInFuncTimeout", NULL, "Sign-in function timeout");
    } else if (p->status == TN_CALL_OVERLOAD || p->status == TN_CALL_CANCELED) {
        api_fail(r, ESysLimitReached, NULL, NULL, "All workers are busy, sign in again later");
    } else {
        json_t *error = json_loadb(str_view(&p->error).s, p->error.n, 0, NULL);
        const char *text = row_text(error, "exception");
        api_fail(r, EFuncFailed, "SignInFuncRaisedException",
                 sign_in_wait(guard_wait(text_of(p->brake))), "%.1000s",
                 text[0] != '\0' ? text : row_text(error, "exceptionType"));
        json_decref(error);
    }
    integrated_free(p);
}

/* ---- the call, loop thread ------------------------------------------------------------------- */
static void integrated_defer(struct integrated *p)
{
    tn_err err = TN_ERR_INIT;
    if (api.host->loop->defer(CTX, integrated_finish, p, &err) != TN_OK) {
        api_fail(p->r, ESysLimitReached, NULL, NULL, "Sign-in failed: %s", err.msg);
        integrated_free(p);
    }
}

static void integrated_answered(void *user, const tn_call_result *result)
{
    struct integrated *p = user;
    p->status = result->status;
    p->value_kind = result->value_kind;
    if (result->value_fd < 0 && result->value.n <= ANSWER_MAX) { /* more is nobody */
        str_text(&p->value, result->value);
    }
    str_text(&p->error, result->error);
    integrated_defer(p);
}

static void integrated_submit(void *user)
{
    struct integrated *p = user;
    const struct snap_func *f = snapshot_func(calls_snapshot(), p->func_id);
    struct call_limits limits;
    tn_call *call;
    json_t *args = json_pack("{s:s%, s:s%}", "username", p->username.s, p->username.n, "password",
                             p->password.s, p->password.n);
    char *text = args != NULL ? json_dumps(args, JSON_COMPACT) : NULL;
    json_decref(args);
    tn_rc rc = TN_E_NOMEM;
    if (text != NULL && f != NULL) {
        static const struct call_opts none = {.unbox = -1};
        call_limits(f, &kind_integration, &none, &limits);
        tn_call_req req = {
            .size = sizeof req,
            .script = f->script,
            .func = f->name,
            .origin = kind_integration.origin,
            .origin_id = TN_STR("signIn"),
            .args = text_of(text),
            .queue = limits.queue,
            .timeout_ms = limits.timeout_ms,
            .expires_ms = limits.expires_ms,
            .user = p,
            .done = integrated_answered,
        };
        rc = api.host->calls->submit(CTX, &req, &call, &p->err);
        explicit_bzero(text, strlen(text));
    } else {
        rc = f == NULL ? TN_E_NOTFOUND : TN_E_NOMEM;
        api.host->fail(&p->err, rc, "%s", f == NULL ? "the function is gone" : "out of memory");
    }
    free(text);
    if (rc != TN_OK) {
        p->status = UINT32_MAX;
        integrated_defer(p);
    }
}

/* ---- the request, helper thread -------------------------------------------------------------- */
static tn_str body_text(const json_t *in, const char *key)
{
    const json_t *v = json_object_get(in, key);
    return (tn_str){json_string_value(v), json_string_length(v)};
}

static void sign_in_run(struct api_req *r)
{
    const json_t *in = json_object_get(r->body, "signIn");
    tn_err err = TN_ERR_INIT;
    struct str brake = {0};
    if (!sign_in_captcha(r, "signIn")) {
        return;
    }
    if (api_setting_bool("DISABLE_INTEGRATED_SIGNIN", false)) {
        api_fail(r, EBizCondition, NULL, NULL, "Integrated sign-in is disabled");
        return;
    }
    struct integrated *p = calloc(1, sizeof *p);
    json_t *func = p != NULL ? func_load(body_text(in, "funcId"), &err) : NULL;
    if (func == NULL) {
        if (p != NULL && err.rc == TN_E_NOTFOUND) {
            api_fail(r, EClientNotFound, NULL,
                     json_pack("{s:O}", "funcId", json_object_get(in, "funcId")),
                     "No such sign-in function");
        } else if (p != NULL) {
            api_fail_err(r, &err);
        } else {
            api_fail(r, ESysLimitReached, NULL, NULL, "Out of memory");
        }
        free(p);
        return;
    }
    json_decref(func);
    *p = (struct integrated){.r = r,
                             .func_id = body_text(in, "funcId"),
                             .username = body_text(in, "username"),
                             .password = body_text(in, "password"),
                             .err = TN_ERR_INIT};
    str_text(&brake, p->func_id);
    str_char(&brake, '\n');
    str_text(&brake, p->username);
    str_char(&brake, '\0');
    p->brake = brake.s;
    if (brake.failed) {
        api_fail(r, ESysLimitReached, NULL, NULL, "Out of memory");
        integrated_free(p);
    } else if (!sign_in_brake(r, text_of(p->brake), "failed sign-ins")) {
        integrated_free(p);
    } else {
        api.host->loop->post(CTX, integrated_submit, p);
    }
}

/* clang-format off */
#define REQ FF_REQUIRED
static const struct field sign_in_data[] = {
    {.name = "funcId", .type = F_STR, .flags = REQ, .min = 1, .max = 256},
    {.name = "username", .type = F_STR, .flags = REQ, .max = 30},
    {.name = "password", .type = F_STR, .flags = REQ, .max = 100},
    {.name = NULL}};
static const struct field sign_in_body[] = {
    SIGN_IN_CAPTCHA,
    {.name = "signIn", .type = F_OBJ, .flags = REQ, .sub = sign_in_data},
    {.name = NULL}};

const struct api_route integration_routes[] = {
    {"POST", "/api/v1/func/integration/sign-in", "public",
     "Signs in by a function of the integration signIn", sign_in_run, NULL, sign_in_body, NULL, 0},
    {.method = NULL}};
/* clang-format on */
