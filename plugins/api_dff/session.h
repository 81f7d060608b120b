/* SPDX-License-Identifier: Apache-2.0 */
/* Session tokens and who is asking. */
#pragma once
#include "api.h"

#define SESSION_TTL  86400                          /* seconds that a sign-in lasts */
#define BY_LOCALHOST "builtin.byLocalhostAuthToken" /* auth_type of the localhost token */

/* A signed token for this user and session id; malloc, NULL on no memory. */
char *token_make(const json_t *user, const char *xatid);
/* Value for Set-Cookie: a signed xDFFAuthToken cookie, or its removal with token NULL; malloc. */
char *token_cookie(const tn_http_req *req, const char *token);

/* Finds and checks the credential of a managed request, loads the user. False: answered with 401.
 * No credential at all is fine: r->has_user stays false. Helper thread. */
bool session_authenticate(struct api_req *r);
/* Does the user of r hold what `permission` asks for? False: answered. */
bool session_authorize(struct api_req *r, const char *permission);

/* The privileges of a user row by its roles and customPrivileges. */
uint32_t user_privileges(const json_t *row);
bool user_has_role(const json_t *row, const char *role);
uint32_t privilege_bit(tn_str name);
/* The stored user by id (or username), with hidden passwordHash; NULL: none (err->rc NOTFOUND) or
 * an error. New reference. */
json_t *user_load(const char *column, tn_str value, tn_err *err);
