/* SPDX-License-Identifier: Apache-2.0 */
/* Errors of the server and of the driver by class, and what a person can do about those of connecting. */
#include "sqlserver.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
    int code;
    tn_rc rc;
    uint32_t flags;
} codes[] = {
    {2627, TN_E_CONFLICT, 0},            /* duplicate key */
    {2601, TN_E_CONFLICT, 0},            /* … of an index */
    {1205, TN_E_CONFLICT, TN_ERR_RETRY}, /* deadlock */
    {1222, TN_E_CONFLICT, TN_ERR_RETRY}, /* waited too long for a lock */
    {3960, TN_E_CONFLICT, TN_ERR_RETRY}, /* snapshot isolation */
    {10928, TN_E_LIMIT, TN_ERR_RETRY},   /* limits of Azure */
    {10929, TN_E_LIMIT, TN_ERR_RETRY},
    {40501, TN_E_LIMIT, TN_ERR_RETRY},
    {17809, TN_E_LIMIT, TN_ERR_RETRY}, /* too many connections */
    {18456, TN_E_DENIED, 0},
    {18452, TN_E_DENIED, 0},
    {18486, TN_E_DENIED, 0},
    {18488, TN_E_DENIED, 0},
    {229, TN_E_DENIED, 0},
    {230, TN_E_DENIED, 0},
    {262, TN_E_DENIED, 0},
    {297, TN_E_DENIED, 0},
    {300, TN_E_DENIED, 0},
    {916, TN_E_DENIED, 0},
    {4060, TN_E_CONFIG, 0},
    {40613, TN_E_UNAVAIL, TN_ERR_RETRY},
    {17142, TN_E_UNAVAIL, TN_ERR_RETRY}, /* paused */
    {6005, TN_E_UNAVAIL, TN_ERR_RETRY | TN_ERR_CONN_BROKEN},
    {596, TN_E_UNAVAIL, TN_ERR_CONN_BROKEN},
};

/* "[FreeTDS][SQL Server]text" → "text" */
static const char *without_brackets(const char *text)
{
    while (text[0] == '[' && strchr(text, ']') != NULL) {
        text = strchr(text, ']') + 1;
    }
    return text;
}

/* The record to tell: the first with a number of the server, otherwise the first one. */
static bool diagnosis(SQLSMALLINT kind, SQLHANDLE handle, char state[8], int *ret_code, char *text,
                      size_t cap)
{
    bool found = false;
    for (SQLSMALLINT i = 1; i < 20; i++) {
        SQLCHAR s[8] = "", t[600] = "";
        SQLINTEGER code = 0;
        SQLSMALLINT n = 0;
        if (!SQL_SUCCEEDED(SQLGetDiagRec(kind, handle, i, s, &code, t, sizeof t, &n))) {
            break;
        }
        bool of_server = code > 0 && code / 1000 != 20 && code != 5701 && code != 5703 &&
                         code != 3621;
        if (!found || of_server) {
            snprintf(state, 8, "%.5s", (char *)s);
            snprintf(text, cap, "%s", without_brackets((char *)t));
            *ret_code = (int)code;
            found = true;
        }
        if (of_server && code != 18456) { /* which may only be what followed from another one */
            break;
        }
    }
    return found;
}

/* Numbers between 20000 and 20999 are the driver's; after most of them nothing is left to talk to. */
static bool is_dead(struct ss_conn *c)
{
    SQLUINTEGER dead = SQL_CD_FALSE;
    return c->open &&
           SQL_SUCCEEDED(SQLGetConnectAttr(c->dbc, SQL_ATTR_CONNECTION_DEAD, &dead, 0, NULL)) &&
           dead == SQL_CD_TRUE;
}

static void finish(tn_err *err, int code, const char *state, uint32_t flags)
{
    if (err != NULL) {
        err->native = code;
        snprintf(err->state, sizeof err->state, "%.5s", state);
        err->flags |= flags;
    }
}

tn_rc ss_error(struct ss_conn *c, SQLSMALLINT kind, SQLHANDLE handle, tn_err *err)
{
    char state[8] = "HY000", text[600] = "the driver says nothing";
    int code = 0;
    tn_rc rc = TN_E_REMOTE;
    uint32_t flags = 0;
    bool told = diagnosis(kind, handle, state, &code, text, sizeof text);
    if (strncmp(state, "08", 2) == 0 || code == 20004 || code == 20006 || code == 20017 ||
        is_dead(c)) {
        rc = TN_E_UNAVAIL;
        flags = TN_ERR_CONN_BROKEN;
    } else if (strcmp(state, "HYT00") == 0 || strcmp(state, "HYT01") == 0 ||
               strcmp(state, "HY008") == 0 || code == 20003) {
        rc = TN_E_TIMEOUT;
        flags = TN_ERR_CONN_BROKEN;
    } else if (strcmp(state, "07002") == 0 || (!told && kind == SQL_HANDLE_STMT)) {
        rc = TN_E_INVAL; /* FreeTDS says nothing to it */
        snprintf(text, sizeof text, "the statement has more placeholders than there are values");
    }
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        if (codes[i].code == code) {
            rc = codes[i].rc;
            flags |= codes[i].flags;
        }
    }
    rc = ss_host->fail(err, rc, "%.440s", text);
    finish(err, code, state, flags);
    return rc;
}

/* Why a connection could not be made. FreeTDS says the same for all that is not a word of the server, so the step is
 * found out: where nobody listens it is TCP, and the server is asked once more whether it has TLS. */
tn_rc ss_refused(const struct ss_conf *conf, uint64_t deadline_ns, tn_rc rc, tn_err *err)
{
    tn_err said = TN_ERR_INIT;
    int fd = -1;
    if (err != NULL) {
        said = *err;
    }
    if (rc == TN_E_DENIED || rc == TN_E_CONFIG || rc == TN_E_LIMIT || rc == TN_E_NOMEM) {
        if (said.native != 0) {
            ss_host->fail(err, rc, "sign-in: %.300s%s", said.msg,
                          rc == TN_E_CONFIG   ? "; check the name of the database"
                          : rc == TN_E_DENIED ? "; check user and password"
                                              : "");
        }
        finish(err, said.native, said.state, said.flags & TN_ERR_RETRY);
        return rc;
    }
    if (strstr(said.msg, "Can't open lib") != NULL || strncmp(said.state, "IM", 2) == 0) {
        rc = ss_host->fail(
            err, TN_E_CONFIG,
            "driver: %.300s; install it (Debian: tdsodbc), or name it as in /etc/odbcinst.ini",
            said.msg);
        finish(err, said.native, said.state, 0);
        return rc;
    }
    rc = net_connect(ss_host, conf->host, (uint16_t)conf->port, deadline_ns, &fd, err);
    if (rc != TN_OK) {
        return rc;
    }
    enum ss_prelogin answer = strcmp(conf->tls, "off") != 0
                                  ? ss_prelogin_ask(ss_host, fd, deadline_ns)
                                  : SS_NO_TLS;
    close(fd);
    if (answer == SS_NO_ANSWER) {
        rc = ss_host->fail(
            err, TN_E_UNAVAIL,
            "sign-in: the server ended the connection before it said whether it has TLS, is no SQL Server, or insists on strict "
            "encryption (TDS 8), which FreeTDS does not have: %.200s",
            said.msg);
        finish(err, said.native, said.state, TN_ERR_RETRY);
    } else if (strcmp(conf->tls, "off") == 0) {
        rc = ss_host->fail(
            err, TN_E_UNAVAIL,
            "sign-in: the server ended the connection, or is no SQL Server, or takes none without TLS: %.250s",
            said.msg);
        finish(err, said.native, said.state, TN_ERR_RETRY);
    } else {
        rc = ss_host->fail(
            err, TN_E_DENIED, "TLS: %s: %.200s; check %s",
            answer == SS_NO_TLS ? "the server does not offer it"
            : strcmp(conf->tls, "on") == 0
                ? "the server's certificate is not valid for this host, or not by an authority that is trusted"
                : "the handshake failed",
            said.msg, answer == SS_NO_TLS ? "tls" : "tls_ca and the host's name");
        finish(err, said.native, said.state, 0);
    }
    return rc;
}
