/* SPDX-License-Identifier: Apache-2.0 */
/* Errors: SQLSTATE to the codes of the contract, libpq's texts of failed connections to something a
 * person can act on. */
#include "postgresql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first matching prefix decides; PostgreSQL manual, appendix A. */
static const struct {
    const char *state;
    tn_rc rc;
    uint32_t flags;
} states[] = {
    {"23505", TN_E_CONFLICT, 0},
    {"40001", TN_E_CONFLICT, TN_ERR_RETRY},
    {"40P01", TN_E_CONFLICT, TN_ERR_RETRY},
    {"57014", TN_E_TIMEOUT, 0}, /* statement_timeout, or our own cancel */
    {"57P", TN_E_UNAVAIL, TN_ERR_CONN_BROKEN},
    {"08", TN_E_UNAVAIL, TN_ERR_CONN_BROKEN},
    {"28", TN_E_DENIED, 0},
    {"42501", TN_E_DENIED, 0},
    {"3D000", TN_E_CONFIG, 0},
    {"53", TN_E_LIMIT, TN_ERR_RETRY},
    {"54", TN_E_LIMIT, 0},
};

static tn_rc classify(const char *state, tn_rc dflt, uint32_t *ret_flags)
{
    *ret_flags = 0;
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        if (strncmp(state, states[i].state, strlen(states[i].state)) == 0) {
            *ret_flags = states[i].flags;
            return states[i].rc;
        }
    }
    return dflt;
}

static void finish(tn_err *err, const char *state, uint32_t flags)
{
    if (err != NULL) {
        snprintf(err->state, sizeof err->state, "%.5s", state);
        err->flags |= flags;
    }
}

tn_rc pg_error(struct pg_conn *c, const PGresult *res, tn_err *err)
{
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(res, PG_DIAG_MESSAGE_DETAIL);
    const char *hint = PQresultErrorField(res, PG_DIAG_MESSAGE_HINT);
    const char *at = PQresultErrorField(res, PG_DIAG_STATEMENT_POSITION);
    char at_text[24] = "";
    uint32_t flags;
    if (state == NULL) {
        return pg_lost(c, 1, err);
    }
    tn_rc rc = classify(state, TN_E_REMOTE, &flags);
    if (at != NULL) { /* as the script wrote it, without our label in front */
        long where = strtol(at, NULL, 10) - (long)c->label;
        snprintf(at_text, sizeof at_text, "%ld", where > 0 ? where : 1);
    }
    pg_host->fail(err, rc, "%.250s%s%s%s%.120s%s%.80s", text ? text : "unknown error",
                  at ? " at character " : "", at_text, detail ? "; " : "", detail ? detail : "",
                  hint ? "; hint: " : "", hint ? hint : "");
    finish(err, state, PQstatus(c->pq) == CONNECTION_BAD ? flags | TN_ERR_CONN_BROKEN : flags);
    return rc;
}

/* The first line of libpq's text, without its line end. */
static int line_len(const char *text)
{
    int n = (int)strcspn(text, "\n");
    return n > 300 ? 300 : n;
}

tn_rc pg_lost(struct pg_conn *c, int sent, tn_err *err)
{
    const char *text = PQerrorMessage(c->pq);
    pg_host->fail(err, TN_E_UNAVAIL, "the connection to the server was lost%s: %.*s",
                  sent ? " while it worked" : "", line_len(text), text);
    finish(err, "08006", TN_ERR_CONN_BROKEN | (sent ? 0 : TN_ERR_RETRY));
    return TN_E_UNAVAIL;
}

/* "… failed: FATAL:  28P01: password authentication failed …" */
static const char *state_in(const char *text, const char **ret_rest)
{
    const char *p = strstr(text, "FATAL:  ");
    if (p != NULL && strlen(p) > 15 && p[13] == ':') {
        *ret_rest = p + 15;
        return p + 8;
    }
    return NULL;
}

tn_rc pg_refused(const struct pg_conf *conf, const char *text, tn_err *err)
{
    const char *rest = text, *state = state_in(text, &rest);
    uint32_t flags = 0;
    if (state != NULL) {
        tn_rc rc = classify(state, TN_E_UNAVAIL, &flags);
        const char *hint = strncmp(state, "28P01", 5) == 0 || strncmp(state, "28000", 5) == 0
                               ? "; check user, password and pg_hba.conf of the server"
                           : rc == TN_E_CONFIG ? "; check the name of the database"
                                               : "";
        pg_host->fail(err, rc, "sign-in: %.*s%s", line_len(rest), rest, hint);
        finish(err, state, flags & TN_ERR_RETRY);
        return rc;
    }
    if (strstr(text, "invalid response to SSL negotiation") != NULL) { /* neither yes nor no */
        pg_host->fail(err, TN_E_UNAVAIL, "the server does not speak PostgreSQL's protocol: %.*s",
                      line_len(text), text);
        finish(err, "08P01", 0);
        return TN_E_UNAVAIL;
    }
    if (strstr(text, "certificate") != NULL || strstr(text, "SSL") != NULL) {
        return pg_host->fail(err, TN_E_DENIED, "TLS: %.*s; check tls, tls_ca and the host's name",
                             line_len(text), text);
    }
    if (strstr(text, "no password supplied") != NULL) {
        return pg_host->fail(err, TN_E_DENIED,
                             "sign-in: the server asks for a password of %.60s and "
                             "none is configured",
                             conf->user);
    }
    pg_host->fail(err, TN_E_UNAVAIL, "TCP: %.*s; check host, port and whether the server runs",
                  line_len(text), text);
    finish(err, "08001", TN_ERR_RETRY);
    return TN_E_UNAVAIL;
}
