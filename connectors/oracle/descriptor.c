/* SPDX-License-Identifier: Apache-2.0 */
/* A connect descriptor from the fields of a connector: nothing of a field can become another part of it. */
#include "oracle.h"

#include "common/grow.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define EXTRA_SECONDS 2 /* the client's own limit ends what a caller has left behind */

static bool is(const char *text, const char *what)
{
    return strcmp(text, what) == 0;
}

/* (NAME="value"), nothing for an empty value. */
static tn_rc part(struct grow *g, const char *name, const char *field, const char *value,
                  tn_err *err)
{
    for (const char *p = value; *p != '\0'; p++) {
        if ((unsigned char)*p < ' ' || strchr("()=\"'\\", *p) != NULL) {
            return ora_host->fail(
                err, TN_E_CONFIG, "%s: a connect descriptor has no place for %s%.1s", field,
                *p < ' ' ? "control characters" : "the character ", *p < ' ' ? "" : p);
        }
    }
    if (value[0] != '\0') {
        bool plain =
            strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-$#:") ==
            strlen(value);
        grow_printf(g, plain ? "(%s=%s)" : "(%s=\"%s\")", name, value);
    }
    return TN_OK;
}

/* The client would say ORA-28759, and not which file of which folder. */
static tn_rc wallet(const struct ora_conf *conf, tn_err *err)
{
    static const char *const files[] = {"cwallet.sso", "ewallet.pem"};
    char path[4200];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", conf->wallet, files[i]);
        if (access(path, R_OK) == 0) {
            return TN_OK;
        }
    }
    return ora_host->fail(
        err, TN_E_CONFIG,
        "wallet: %.200s has no cwallet.sso (orapki wallet create -auto_login) that workers may read; it must lie where they "
        "may, in /opt for example",
        conf->wallet);
}

static tn_rc security(struct grow *g, const struct ora_conf *conf, tn_err *err)
{
    tn_rc rc = TN_OK;
    if (is(conf->tls, "off")) {
        return conf->wallet[0] == '\0'
                   ? TN_OK
                   : ora_host->fail(err, TN_E_CONFIG, "wallet: is for TLS, but tls is off");
    }
    if (conf->wallet[0] != '\0' && (rc = wallet(conf, err)) != TN_OK) {
        return rc;
    }
    grow_printf(g, "(SECURITY=(SSL_SERVER_DN_MATCH=%s)", is(conf->tls, "on") ? "yes" : "no");
    rc = part(g, "MY_WALLET_DIRECTORY", "wallet", conf->wallet, err);
    grow_char(g, ')');
    return rc;
}

tn_rc ora_descriptor(const struct ora_conf *conf, int left_ms, char **ret, tn_err *err)
{
    struct grow g = {.max = 65536};
    tn_rc rc = TN_OK;
    int seconds = left_ms < 0 ? 60 : (left_ms + 999) / 1000 + EXTRA_SECONDS;
    if (conf->dsn[0] != '\0' && (!is(conf->tls, "off") || conf->wallet[0] != '\0')) {
        return ora_host->fail(
            err, TN_E_CONFIG,
            "%s: a dsn says itself how to connect, so this would do nothing: leave it out and write (PROTOCOL=TCPS) and "
            "(SECURITY=(SSL_SERVER_DN_MATCH=yes)(MY_WALLET_DIRECTORY=…)) into the dsn, or name host and database instead of it",
            conf->wallet[0] != '\0' ? "wallet" : "tls");
    }
    if (conf->dsn[0] != '\0') {
        grow_text(&g, conf->dsn);
    } else if (conf->sid[0] == '\0' && conf->database[0] == '\0') {
        return ora_host->fail(err, TN_E_CONFIG,
                              "database: the name of the service is missing (or `sid`, or `dsn`)");
    } else {
        grow_printf(
            &g,
            "(DESCRIPTION=(CONNECT_TIMEOUT=%d)(TRANSPORT_CONNECT_TIMEOUT=%d)(RETRY_COUNT=0)(ENABLE=BROKEN)",
            seconds, seconds);
        grow_printf(&g, "(ADDRESS=(PROTOCOL=%s)", is(conf->tls, "off") ? "TCP" : "TCPS");
        rc = part(&g, "HOST", "host", conf->host, err);
        grow_printf(&g, "(PORT=%d))(CONNECT_DATA=", (int)conf->port);
        if (rc == TN_OK) {
            rc = conf->sid[0] != '\0' ? part(&g, "SID", "sid", conf->sid, err)
                                      : part(&g, "SERVICE_NAME", "database", conf->database, err);
        }
        rc = rc == TN_OK ? part(&g, "SERVER", "server", conf->server, err) : rc;
        grow_char(&g, ')');
        rc = rc == TN_OK ? security(&g, conf, err) : rc;
        grow_char(&g, ')');
    }
    if (rc == TN_OK && g.rc != TN_OK) {
        rc = ora_host->fail(err, g.rc, "no room for the connect descriptor");
    }
    if (rc != TN_OK) {
        grow_free(&g);
        return rc;
    }
    *ret = g.s;
    return TN_OK;
}
