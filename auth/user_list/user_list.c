/* SPDX-License-Identifier: Apache-2.0 */
/* Realm, users and credentials of HTTP authentication (RFC 9110 section 11). */
#include "auth/user_list/user_list.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

tn_rc realm_take(const tn_host *host, const char *realm, char ret[REALM_MAX + 1], tn_err *err)
{
    size_t n = strlen(realm);
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)realm[i] < ' ' || realm[i] == '"' || realm[i] == '\\' ||
            realm[i] == 0x7f) {
            return host->fail(err, TN_E_CONFIG, "realm must not hold quotes, \\ or controls");
        }
    }
    if (n > REALM_MAX) {
        return host->fail(err, TN_E_CONFIG, "realm has more than %d bytes", REALM_MAX);
    }
    memcpy(ret, realm, n + 1);
    return TN_OK;
}

/* One item of the list into its room. */
static tn_rc take_one(const tn_host *host, const json_t *row, size_t i, char *user,
                      const char *forbidden, const char **ret_password, tn_err *err)
{
    const char *name = json_string_value(json_object_get(row, "username"));
    *ret_password = json_string_value(json_object_get(row, "password"));
    if (name == NULL || name[0] == '\0' || strlen(name) >= USER_NAME ||
        strpbrk(name, forbidden) != NULL || *ret_password == NULL) {
        return host->fail(err, TN_E_CONFIG,
                          "user %zu needs a username of 1 to %d bytes%s%s%s, and a password", i + 1,
                          USER_NAME - 1, forbidden[0] != '\0' ? " without \"" : "", forbidden,
                          forbidden[0] != '\0' ? "\"" : "");
    }
    strcpy(user, name); /* measured above */
    return TN_OK;
}

tn_rc users_take(const tn_host *host, tn_secret text, size_t size, const char *forbidden,
                 tn_rc (*add)(void *inst, void *user, const char *password, tn_err *err),
                 void *inst, void **ret_users, size_t *ret_n, tn_err *err)
{
    json_error_t why;
    json_t *list = json_loads(text.s != NULL ? text.s : "", 0, &why);
    size_t n = json_array_size(list);
    tn_rc rc = TN_OK;
    if (!json_is_array(list) || n > USERS_MAX) {
        rc = host->fail(err, TN_E_CONFIG, "users must be a JSON list of at most %d", USERS_MAX);
        goto undo_list;
    }
    char *users = calloc(n + 1, size);
    if (users == NULL) {
        rc = host->fail(err, TN_E_NOMEM, "no memory for %zu users", n);
        goto undo_list;
    }
    *ret_users = users;
    *ret_n = 0;
    for (size_t i = 0; rc == TN_OK && i < n; i++, ++*ret_n) {
        const char *password;
        rc = take_one(host, json_array_get(list, i), i, users + i * size, forbidden, &password,
                      err);
        if (rc == TN_OK) {
            rc = add(inst, users + i * size, password, err);
        }
    }
undo_list:
    json_decref(list);
    return rc;
}

tn_rc authorization(const tn_http_req *req, const char *scheme, tn_str *ret)
{
    tn_str value = {NULL, 0};
    size_t n = strlen(scheme);
    for (uint32_t i = 0; i < req->nheaders; i++) {
        tn_str name = req->headers[i].name;
        if (name.n == 13 && memcmp(name.s, "authorization", 13) == 0) {
            if (value.s != NULL) {
                return TN_E_INVAL;
            }
            value = req->headers[i].value;
        }
    }
    if (value.n < n || strncasecmp(value.s, scheme, n) != 0) {
        return TN_E_NOTFOUND;
    }
    *ret = (tn_str){value.s + n, value.n - n};
    return TN_OK;
}
