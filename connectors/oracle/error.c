/* SPDX-License-Identifier: Apache-2.0 */
/* Errors of the server, of Oracle's client and of ODPI-C by class, and what a person can do about those of connecting. */
#include "oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DPI_BASE 1000000 /* DPI-1047 as 1001047 in the table */

/* Codes that follow one another share a row. */
static const struct {
    int first, last;
    tn_rc rc;
    uint32_t flags;
} codes[] = {
    {1, 1, TN_E_CONFLICT, 0},                   /* unique constraint */
    {18, 20, TN_E_LIMIT, TN_ERR_RETRY},         /* sessions, processes */
    {22, 31, TN_E_UNAVAIL, TN_ERR_CONN_BROKEN}, /* killed, marked for kill */
    {54, 54, TN_E_CONFLICT, TN_ERR_RETRY},      /* NOWAIT */
    {60, 60, TN_E_CONFLICT, TN_ERR_RETRY},      /* deadlock */
    {600, 609, TN_E_UNAVAIL, TN_ERR_CONN_BROKEN},
    {1004, 1005, TN_E_DENIED, 0},
    {1008, 1008, TN_E_INVAL, 0}, /* not all variables bound */
    {1012, 1012, TN_E_UNAVAIL, TN_ERR_CONN_BROKEN},
    {1013, 1013, TN_E_TIMEOUT, TN_ERR_CONN_BROKEN}, /* stopped: the deadline, or cancel() */
    {1017, 1017, TN_E_DENIED, 0},
    {1031, 1031, TN_E_DENIED, 0},
    {1033, 1034, TN_E_UNAVAIL, TN_ERR_RETRY}, /* starting, not there */
    {1036, 1036, TN_E_INVAL, 0},              /* no such variable */
    {1041, 1041, TN_E_UNAVAIL, TN_ERR_CONN_BROKEN},
    {1045, 1045, TN_E_DENIED, 0}, /* CREATE SESSION is missing */
    {1089, 1092, TN_E_UNAVAIL, TN_ERR_CONN_BROKEN | TN_ERR_RETRY},
    {1109, 1109, TN_E_UNAVAIL, TN_ERR_RETRY},
    {2391, 2391, TN_E_LIMIT, TN_ERR_RETRY}, /* SESSIONS_PER_USER */
    {2396, 2396, TN_E_UNAVAIL, TN_ERR_CONN_BROKEN},
    {2399, 2399, TN_E_UNAVAIL, TN_ERR_CONN_BROKEN},
    {3113, 3114, TN_E_UNAVAIL, TN_ERR_CONN_BROKEN},
    {3135, 3135, TN_E_UNAVAIL, TN_ERR_CONN_BROKEN},
    {3136, 3136, TN_E_TIMEOUT, TN_ERR_CONN_BROKEN},
    {3156, 3156, TN_E_TIMEOUT, TN_ERR_CONN_BROKEN},
    {8177, 8177, TN_E_CONFLICT, TN_ERR_RETRY}, /* cannot serialize */
    {12154, 12154, TN_E_CONFIG, 0},
    {12161, 12161, TN_E_TIMEOUT, TN_ERR_CONN_BROKEN},
    {12162, 12163, TN_E_CONFIG, 0},
    {12170, 12170, TN_E_TIMEOUT, TN_ERR_CONN_BROKEN},
    {12505, 12505, TN_E_CONFIG, 0}, /* SID, service unknown to the listener */
    {12506, 12506, TN_E_DENIED, 0}, /* the service's access list */
    {12511, 12511, TN_E_UNAVAIL, TN_ERR_RETRY},
    {12514, 12514, TN_E_CONFIG, 0},
    {12516, 12520, TN_E_LIMIT, TN_ERR_RETRY},
    {12521, 12528, TN_E_UNAVAIL, TN_ERR_RETRY},
    {12529, 12529, TN_E_DENIED, 0}, /* filtering rules */
    {12533, 12534, TN_E_CONFIG, 0},
    {12535, 12535, TN_E_TIMEOUT, TN_ERR_CONN_BROKEN},
    {12537, 12547, TN_E_UNAVAIL, TN_ERR_CONN_BROKEN | TN_ERR_RETRY},
    {12560, 12571, TN_E_UNAVAIL, TN_ERR_CONN_BROKEN | TN_ERR_RETRY},
    {12583, 12583, TN_E_UNAVAIL, TN_ERR_CONN_BROKEN},
    {12606, 12609, TN_E_TIMEOUT, TN_ERR_CONN_BROKEN},
    {12650, 12650, TN_E_CONFIG, 0},
    {12660, 12660, TN_E_CONFIG, 0},
    {25401, 25409, TN_E_UNAVAIL, TN_ERR_CONN_BROKEN | TN_ERR_RETRY}, /* fail-over */
    {28000, 28001, TN_E_DENIED, 0},                                  /* locked, expired */
    {28009, 28009, TN_E_DENIED, 0},
    {28040, 28040, TN_E_CONFIG, 0}, /* no common way to sign in */
    {28500, 28511, TN_E_UNAVAIL, TN_ERR_CONN_BROKEN},
    {28750, 28868, TN_E_DENIED, 0}, /* TLS, wallets */
    {29002, 29024, TN_E_DENIED, 0},
    {29106, 29106, TN_E_CONFIG, 0},
    {DPI_BASE + 1001, DPI_BASE + 1001, TN_E_NOMEM, 0},
    {DPI_BASE + 1010, DPI_BASE + 1010, TN_E_UNAVAIL, TN_ERR_CONN_BROKEN},
    {DPI_BASE + 1041, DPI_BASE + 1044, TN_E_INVAL, 0}, /* what no NUMBER can hold */
    {DPI_BASE + 1050, DPI_BASE + 1050, TN_E_UNSUPP, 0},
    {DPI_BASE + 1059, DPI_BASE + 1059, TN_E_INVAL, 0}, /* no values in DDL */
    {DPI_BASE + 1067, DPI_BASE + 1067, TN_E_TIMEOUT, TN_ERR_CONN_BROKEN},
    {DPI_BASE + 1080, DPI_BASE + 1080, TN_E_UNAVAIL, TN_ERR_CONN_BROKEN},
};

static tn_rc classify(int code, uint32_t *flags)
{
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        if (code >= codes[i].first && code <= codes[i].last) {
            *flags |= codes[i].flags;
            return codes[i].rc;
        }
    }
    return TN_E_REMOTE;
}

/* The number of ODPI-C's own errors is only in their text. */
static int own_code(const dpiErrorInfo *info)
{
    return strncmp(info->message, "DPI-", 4) == 0 ? DPI_BASE + atoi(info->message + 4) : 0;
}

/* Newer servers add a line with an address of their manual. */
static int told(const dpiErrorInfo *info)
{
    const char *help = memmem(info->message, info->messageLength, "\nHelp: http", 11);
    size_t n = help != NULL ? (size_t)(help - info->message) : info->messageLength;
    return n > 400 ? 400 : (int)n;
}

/* ODPI-C wraps what ended a connection or a call in a sentence of its own and drops the number: the server's line is
 * behind it. */
static void unwrap(dpiErrorInfo *info)
{
    const char *line = memmem(info->message, info->messageLength, "\nORA-", 5);
    if (info->code == 0 && line != NULL) {
        info->messageLength -= (uint32_t)(line + 1 - info->message);
        info->message = line + 1;
        info->code = atoi(info->message + 4);
    }
}

static void finish(tn_err *err, const dpiErrorInfo *info, uint32_t flags)
{
    if (err != NULL) {
        err->native = info->code;
        snprintf(err->state, sizeof err->state, "%.5s",
                 info->sqlState != NULL ? info->sqlState : "HY000");
        err->flags |= flags;
    }
}

tn_rc ora_error(tn_err *err)
{
    dpiErrorInfo info = {.message = "the client library says nothing"};
    uint32_t flags = 0;
    dpiContext_getError(ora_context(), &info);
    int own = own_code(&info);
    tn_rc rc = own != 0 ? classify(own, &flags) : classify(info.code, &flags);
    unwrap(&info);
    rc = ora_host->fail(err, rc, "%.*s", told(&info), info.message);
    finish(err, &info, flags);
    return rc;
}

/* ---- connecting -------------------------------------------------------------------------------------- */

static const struct {
    int first, last;
    const char *step, *hint;
} steps[] = {
    {1017, 1017, "sign-in", "; check user and password"},
    {1004, 1005, "sign-in", "; check user and password"},
    {28000, 28001, "sign-in", "; the account has to be opened by its administrator"},
    {1045, 1045, "sign-in", "; GRANT CREATE SESSION is missing"},
    {28040, 28040, "sign-in", "; the client is too old or too new for this server"},
    {12514, 12514, "service", "; check `database`, the service name (lsnrctl services)"},
    {12505, 12505, "service", "; check `sid`"},
    {12506, 12506, "service", "; the service's access list lets this host not in"},
    {12511, 12511, "service", ""},
    {12516, 12528, "service", ""},
    {12529, 12529, "service", "; the database filters who may connect"},
    {1033, 1034, "service", "; the listener is there, the database is not open"},
    {12154, 12154, "name", "; no such alias in the client's tnsnames.ora: check `dsn`"},
    {12162, 12163, "name", "; check `dsn`"},
    {12533, 12534, "name", "; check `dsn`"},
    {12541, 12541, "TCP",
     "; nobody listens there: check host and port, and that the listener runs"},
    {12543, 12545, "TCP", "; check host and port"},
    {12170, 12170, "TCP", ""},
    {12535, 12560, "TCP", ""},
    {28750, 28868, "TLS", "; check wallet, tls and the server's name in its certificate"},
    {29002, 29024, "TLS", "; check wallet, tls and the server's name in its certificate"},
    {29106, 29106, "TLS", "; check wallet"},
    {12650, 12650, "TLS", "; client and server have no encryption in common (sqlnet.ora)"},
    {12660, 12660, "TLS", "; client and server differ on encryption (sqlnet.ora)"},
};

tn_rc ora_refused(const struct ora_conf *conf, const dpiErrorInfo *info, tn_err *err)
{
    const char *step = "connecting", *hint = "";
    uint32_t flags = 0;
    int own = own_code(info);
    tn_rc rc = classify(own != 0 ? own : info->code, &flags);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        if (info->code >= steps[i].first && info->code <= steps[i].last) {
            step = steps[i].step;
            hint = steps[i].hint;
            break;
        }
    }
    if (rc == TN_E_REMOTE) {
        rc = TN_E_UNAVAIL;
    }
    if (conf->dsn[0] != '\0') {
        rc = ora_host->fail(err, rc, "%s: %.*s%s", step, told(info), info->message, hint);
    } else {
        rc = ora_host->fail(err, rc, "%s: %s port %d: %.*s%s", step, conf->host, (int)conf->port,
                            told(info) > 250 ? 250 : told(info), info->message, hint);
    }
    finish(err, info, flags & TN_ERR_RETRY);
    return rc;
}
