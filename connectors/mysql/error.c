/* SPDX-License-Identifier: Apache-2.0 */
/* Errors of the server and of the library by class, and what a person can do about those of connecting. */
#include "mysql_conn.h"

#include <errmsg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    unsigned code;
    tn_rc rc;
    uint32_t flags;
} codes[] = {
    {1062, TN_E_CONFLICT, 0},               /* duplicate entry */
    {1586, TN_E_CONFLICT, 0},               /* … with the name of the key */
    {1213, TN_E_CONFLICT, TN_ERR_RETRY},    /* deadlock */
    {1205, TN_E_CONFLICT, TN_ERR_RETRY},    /* waited too long for a lock */
    {1040, TN_E_LIMIT, TN_ERR_RETRY},       /* too many connections */
    {1203, TN_E_LIMIT, TN_ERR_RETRY},       /* … of this user */
    {1226, TN_E_LIMIT, TN_ERR_RETRY},       /* resource limit of this user */
    {1153, TN_E_LIMIT, TN_ERR_CONN_BROKEN}, /* packet larger than max_allowed_packet */
    {1317, TN_E_TIMEOUT, 0},                /* interrupted: our own KILL QUERY */
    {1969, TN_E_TIMEOUT, 0},                /* max_statement_time */
    {3024, TN_E_TIMEOUT, 0},                /* max_execution_time */
    {1044, TN_E_DENIED, 0},
    {1045, TN_E_DENIED, 0},
    {1142, TN_E_DENIED, 0},
    {1143, TN_E_DENIED, 0},
    {1227, TN_E_DENIED, 0},
    {1370, TN_E_DENIED, 0},
    {1698, TN_E_DENIED, 0},
    {1130, TN_E_DENIED, 0},
    {1049, TN_E_CONFIG, 0},
    {1053, TN_E_UNAVAIL, TN_ERR_CONN_BROKEN}, /* shutting down */
    {1927, TN_E_UNAVAIL, TN_ERR_CONN_BROKEN}, /* the connection was killed */
    {1290, TN_E_UNAVAIL, 0},                  /* read-only server */
};

static tn_rc classify(unsigned code, uint32_t *ret_flags)
{
    *ret_flags = 0;
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        if (codes[i].code == code) {
            *ret_flags = codes[i].flags;
            return codes[i].rc;
        }
    }
    return TN_E_REMOTE;
}

static void finish(tn_err *err, unsigned code, const char *state, uint32_t flags)
{
    if (err != NULL) {
        err->native = (int32_t)code;
        snprintf(err->state, sizeof err->state, "%.5s", state);
        err->flags |= flags;
    }
}

tn_rc my_error(struct my_conn *c, unsigned code, const char *state, const char *text, tn_err *err)
{
    uint32_t flags;
    tn_rc rc;
    if (c->late) {
        rc = c->canceled ? my_host->fail(err, TN_E_CANCELED,
                                         "the call was canceled, and with it its statement")
                         : my_host->fail(err, TN_E_TIMEOUT,
                                         "the statement did not end in time and was canceled");
        finish(err, code, "", TN_ERR_CONN_BROKEN);
        return rc;
    }
    if (code == CR_OUT_OF_MEMORY) {
        return my_host->fail(err, TN_E_NOMEM, "no memory for the result");
    }
    if (code == 0 || (code >= CR_MIN_ERROR && code < 3000)) { /* of the library */
        rc = my_host->fail(err, TN_E_UNAVAIL, "the connection to the server was lost: %.300s",
                           code != 0 ? text : "in the middle of a result");
        finish(err, code, "08006", TN_ERR_CONN_BROKEN);
        return rc;
    }
    rc = classify(code, &flags);
    my_host->fail(err, rc, "%.400s", text);
    finish(err, code, state, flags);
    return rc;
}

tn_rc my_refused(const struct my_conf *conf, unsigned code, const char *text, tn_err *err)
{
    uint32_t flags = TN_ERR_RETRY;
    tn_rc rc = TN_E_UNAVAIL;
    if (code == CR_SSL_CONNECTION_ERROR) {
        flags = 0;
        rc = my_host->fail(err, TN_E_DENIED, "TLS: %.300s; check tls, tls_ca and the host's name",
                           text);
    } else if (code == CR_AUTH_PLUGIN_CANNOT_LOAD) {
        flags = 0;
        rc = my_host->fail(
            err, TN_E_CONFIG,
            "sign-in: %.300s; the server wants a method that this client library does not have",
            text);
    } else if (code >= CR_MIN_ERROR && code < 3000) {
        my_host->fail(err, rc, "TCP: %.300s; check host, port %lld and whether the server runs",
                      text, (long long)conf->port);
    } else {
        rc = classify(code, &flags);
        rc = rc == TN_E_REMOTE ? TN_E_DENIED : rc;
        my_host->fail(err, rc, "sign-in: %.300s%s", text,
                      rc == TN_E_CONFIG ? "; check the name of the database"
                      : rc == TN_E_DENIED
                          ? "; check user and password, and from where the user may sign in"
                          : "");
    }
    finish(err, code, "", flags & TN_ERR_RETRY);
    return rc;
}
