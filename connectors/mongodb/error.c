/* SPDX-License-Identifier: Apache-2.0 */
/* What libmongoc reports as errors of ours. Answers of the server are not judged here: Python gets them whole. */
#include "mongodb.h"

#include <string.h>

static void mark(tn_err *err, uint32_t flags)
{
    if (err != NULL) {
        err->flags |= flags;
    }
}

static tn_rc fail_as(const struct mg_conn *c, tn_rc rc, const char *hint, const bson_error_t *error,
                     tn_err *err)
{
    rc = mg_host->fail(err, rc, "%s%.380s%s", c->opening && rc == TN_E_DENIED ? "sign-in: " : "",
                       error->message, hint);
    if (err != NULL) {
        err->native = error->domain == MONGOC_ERROR_SERVER ? (int32_t)error->code : 0;
    }
    return rc;
}

/* The server says that it cannot serve now; libmongoc would not ask it again for five seconds, a new client does. */
static bool moving(uint32_t code)
{
    static const uint32_t codes[] = {91, 189, 10058, 10107, 11600, 11602, 13435, 13436};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        if (codes[i] == code) {
            return true;
        }
    }
    return false;
}

static tn_rc from_server(const struct mg_conn *c, const bson_error_t *error, tn_err *err)
{
    tn_rc rc;
    switch (error->code) {
    case 18:
        return fail_as(c, TN_E_DENIED, "; check user, password and auth_source", error, err);
    case 13:
        return fail_as(c, TN_E_DENIED, "; configure user and password", error, err);
    case 50:
        return fail_as(c, TN_E_TIMEOUT, "", error, err);
    default:
        rc = fail_as(c, moving(error->code) ? TN_E_UNAVAIL : TN_E_REMOTE, "", error, err);
        mark(err, rc == TN_E_UNAVAIL ? TN_ERR_CONN_BROKEN | TN_ERR_RETRY : 0);
        return rc;
    }
}

/* The line failed: its text, after the step when there was none in it. */
static tn_rc from_line(const struct mg_conn *c, tn_err *err)
{
    static const char *const steps[] = {"DNS:", "TCP:", "TLS:"};
    const char *step = c->opening ? "sign-in: " : "";
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        step = strncmp(c->why.msg, steps[i], 4) == 0 ? "" : step;
    }
    tn_rc rc = mg_host->fail(err, c->why.rc, "%s%.440s", step, c->why.msg);
    mark(err, c->why.flags | TN_ERR_CONN_BROKEN);
    return rc;
}

tn_rc mg_fail(struct mg_conn *c, const bson_error_t *error, tn_err *err)
{
    if (atomic_load(&c->canceled)) {
        tn_rc rc = mg_host->fail(err, TN_E_CANCELED, "the command was told to stop");
        mark(err, TN_ERR_CONN_BROKEN);
        return rc;
    }
    if (c->why.rc != TN_OK && error->domain != MONGOC_ERROR_SERVER) {
        return from_line(c, err);
    }
    switch (error->domain) {
    case MONGOC_ERROR_SERVER:
        return from_server(c, error, err);
    case MONGOC_ERROR_CLIENT:
        if (error->code == MONGOC_ERROR_CLIENT_AUTHENTICATE) {
            return fail_as(c, TN_E_DENIED, "; check user, password and auth_source", error, err);
        }
        return fail_as(c, error->code == MONGOC_ERROR_CLIENT_TOO_BIG ? TN_E_LIMIT : TN_E_UNSUPP, "",
                       error, err);
    case MONGOC_ERROR_SCRAM:
    case MONGOC_ERROR_SASL:
        return fail_as(c, TN_E_DENIED, "; check user, password and auth_mechanism", error, err);
    case MONGOC_ERROR_TRANSACTION:
    case MONGOC_ERROR_COMMAND:
    case MONGOC_ERROR_BSON:
    case MONGOC_ERROR_NAMESPACE:
        return fail_as(c, TN_E_INVAL, "", error, err);
    default: { /* a stream, the protocol, no server to be had */
        tn_rc rc = fail_as(c, TN_E_UNAVAIL,
                           c->opening ? "; does the server speak MongoDB's protocol?" : "", error,
                           err);
        mark(err, TN_ERR_CONN_BROKEN);
        return rc;
    }
    }
}
