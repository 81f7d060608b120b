/* SPDX-License-Identifier: Apache-2.0 */
/* What methods with user names and passwords share: realm, user list, the Authorization header. */
#pragma once
#include <jansson.h>
#include <tenon/tenon.h>

#define USERS_MAX 1000
#define USER_NAME 128 /* bytes with NUL */
#define REALM_MAX 160

/* What a client can be shown as realm: a quoted-string of RFC 9110 without anything to escape. */
tn_rc realm_take(const tn_host *host, const char *realm, char ret[REALM_MAX + 1], tn_err *err);
/* Reads the JSON list of {"username", "password"}: room for `size` bytes each, zeroed and starting with
 * the name, then add() for every user. forbidden: characters no name may have. The list is freed
 * with the passwords; on failure ret_users holds what add() has seen, to be wiped. */
tn_rc users_take(const tn_host *host, tn_secret list, size_t size, const char *forbidden,
                 tn_rc (*add)(void *inst, void *user, const char *password, tn_err *err),
                 void *inst, void **ret_users, size_t *ret_n, tn_err *err);
/* What follows "Basic " (scheme, with its blank) in the one Authorization header: TN_E_NOTFOUND without
 * one of that scheme, TN_E_INVAL when there are several headers. */
tn_rc authorization(const tn_http_req *req, const char *scheme, tn_str *ret);
