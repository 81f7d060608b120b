/* SPDX-License-Identifier: Apache-2.0 */
/* Oracle's client library, which the user installs and which is loaded at the first connection of a process: after the fork,
 * because it does not survive one. It cannot be loaded twice, so one folder serves all connectors. */
#include "oracle.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    dpiContext *context;
    pid_t pid;
    char folder[4096];
} loaded;

dpiContext *ora_context(void)
{
    return loaded.context;
}

/* What dlopen() said is behind the colon of ODPI-C's sentence. */
static tn_rc no_library(const struct ora_conf *conf, const dpiErrorInfo *info, tn_err *err)
{
    const char *home = getenv("ORACLE_HOME"), *says = strstr(info->message, "library: \"");
    bool named = conf->client[0] != '\0';
    if (says == NULL) { /* it is there, but too old or damaged */
        return ora_host->fail(err, TN_E_CONFIG, "client: %.300s", info->message);
    }
    says += strlen("library: \"");
    return ora_host->fail(
        err, TN_E_CONFIG,
        "client: Oracle's libclntsh.so cannot be loaded (%.*s); looked for in %.100s%s%.60s. Install Oracle Instant "
        "Client (Basic, 11.2 or later) and libaio1 where workers may read (/opt), run ldconfig for its folder (or name "
        "it in `client`)",
        (int)(strcspn(says, "\"") < 150 ? strcspn(says, "\"") : 150), says,
        named ? conf->client : "the folder of the plugin, the system's libraries",
        !named && home != NULL ? ", " : "", !named && home != NULL ? home : "");
}

tn_rc ora_client(const struct ora_conf *conf, dpiContext **ret, tn_err *err)
{
    tn_rc rc = TN_OK;
    pthread_mutex_lock(&lock);
    if (loaded.context != NULL && loaded.pid == getpid()) {
        if (strcmp(loaded.folder, conf->client) != 0) {
            rc = ora_host->fail(
                err, TN_E_CONFIG,
                "client: this process has loaded Oracle's client library from %s%s already; all connectors need the "
                "same `client`",
                loaded.folder[0] != '\0' ? "" : "its usual place", loaded.folder);
        }
    } else if (loaded.context != NULL) {
        rc = ora_host->fail(err, TN_E_INTERNAL, "client: Oracle's library does not survive a fork");
    } else {
        dpiContextCreateParams params = {
            .defaultDriverName = "tenon",
            .oracleClientLibDir = conf->client[0] != '\0' ? conf->client : NULL,
        };
        dpiErrorInfo info = {.message = ""};
        if (dpiContext_createWithParams(DPI_MAJOR_VERSION, DPI_MINOR_VERSION, &params,
                                        &loaded.context, &info) != DPI_SUCCESS) {
            loaded.context = NULL;
            rc = no_library(conf, &info, err);
        } else {
            loaded.pid = getpid();
            snprintf(loaded.folder, sizeof loaded.folder, "%s", conf->client);
        }
    }
    *ret = loaded.context;
    pthread_mutex_unlock(&lock);
    return rc;
}
