/* SPDX-License-Identifier: Apache-2.0 */
/* What the driver is told: a connection string without a DSN, in which every text is quoted, and for FreeTDS, which
 * takes the names of authorities from nowhere else, a section of a configuration file that only this process has. */
#include "sqlserver.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

#define SYSTEM_CA "/etc/ssl/certs/ca-certificates.crt"
#define VARIABLE  "FREETDSCONF"
/* The value has its final length from the start: later it is changed in place, because setenv() beside threads that read
 * the environment is not safe. Until then the file does not exist, and FreeTDS looks where it always does. */
#define PLACE     "/proc/self/fd/not yet...."

static pthread_mutex_t file_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    pid_t pid;
    int fd, sections;
    char *place; /* of the variable's value */
} file;          /* of this process; a child makes its own */

static bool is(const char *text, const char *what)
{
    return strcmp(text, what) == 0;
}

static bool freetds(const struct ss_conf *conf)
{
    return strcasestr(conf->driver, "freetds") != NULL ||
           strcasestr(conf->driver, "tdsodbc") != NULL;
}

/* What FreeTDS and unixODBC take from the environment would go before the connector's fields, or write passwords into a file. */
static const char *const foreign[] = {"TDSHOST", "TDSPORT",       "TDSVER",  "TDSQUERY",
                                      "TDSDUMP", "TDSDUMPCONFIG", "ODBCINI", NULL};

void ss_driver_load(void)
{
    for (size_t i = 0; foreign[i] != NULL; i++) {
        unsetenv(foreign[i]);
    }
    setenv(VARIABLE, PLACE, 1);
    file.place = getenv(VARIABLE);
}

/* The file of this process, made at the first connection; the lock is held. */
static tn_rc file_ready(tn_err *err)
{
    char name[sizeof PLACE];
    if (file.pid == getpid()) {
        return TN_OK;
    }
    int fd = memfd_create("freetds.conf", MFD_CLOEXEC);
    if (fd < 0) {
        return ss_host->fail(err, TN_E_LIMIT, "no file for the settings of FreeTDS");
    }
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    if (file.place != NULL && getenv(VARIABLE) == file.place) {
        memcpy(file.place, name, strlen(name) + 1);
    } else {
        setenv(VARIABLE, name, 1); /* somebody has changed it */
    }
    file.fd = fd;
    file.pid = getpid();
    return TN_OK;
}

static bool plain_word(const char *text, const char *also)
{
    for (const char *p = text; *p != '\0'; p++) {
        bool word = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                    (*p >= '0' && *p <= '9') || strchr(also, *p) != NULL || (*p & 0x80) != 0;
        if (!word) {
            return false;
        }
    }
    return *text != '\0';
}

/* Appends a section, once for an instance and process. */
static tn_rc add_section(struct ss *inst, tn_err *err)
{
    const struct ss_conf *conf = inst->conf;
    const char *ca = SYSTEM_CA, *level = is(conf->tls, "off")      ? "off"
                                         : is(conf->tls, "prefer") ? "request"
                                                                   : "require";
    char text[1200];
    bool verify = is(conf->tls, "on");
    tn_rc rc = TN_OK;
    if (inst->section[0] != '\0' && inst->pid == getpid()) {
        return TN_OK;
    }
    if (!plain_word(conf->host, ".:-_")) {
        return ss_host->fail(err, TN_E_CONFIG,
                             "host: a name or address has no such characters: %.100s", conf->host);
    }
    if (verify && conf->tls_ca != NULL && conf->tls_ca[0] != '\0') {
        rc = net_pem(ss_host, "tls_ca", conf->tls_ca, inst->ca, &ca, &inst->ca_fd, err);
        if (rc == TN_OK &&
            (strchr(ca, '\n') != NULL || strlen(ca) > 200 || access(ca, R_OK) != 0)) {
            rc = ss_host->fail(err, TN_E_CONFIG, "tls_ca: the file %.200s cannot be read", ca);
        }
    }
    if (rc != TN_OK) {
        return rc;
    }
    pthread_mutex_lock(&file_lock);
    rc = file_ready(err);
    if (rc == TN_OK) {
        snprintf(inst->section, sizeof inst->section, "tenon%d", ++file.sections);
        int n = snprintf(
            text, sizeof text,
            "[%s]\n\thost = %s\n\tport = %lld\n\ttds version = 7.4\n\tclient charset = "
            "UTF-8\n\tencryption = %s\n%s%s%s\tcheck certificate hostname = %s\n\ttext size = 2147483647\n",
            inst->section, conf->host, (long long)conf->port, level, verify ? "\tca file = " : "",
            verify ? ca : "", verify ? "\n" : "", verify ? "yes" : "no");
        if (write(file.fd, text, (size_t)n) != n) {
            inst->section[0] = '\0';
            rc = ss_host->fail(err, TN_E_LIMIT, "the settings of FreeTDS cannot be written");
        }
        inst->pid = getpid();
    }
    pthread_mutex_unlock(&file_lock);
    return rc;
}

void ss_driver_detach(struct ss *inst)
{
    if (inst->ca_fd >= 0 && inst->pid == getpid()) {
        close(inst->ca_fd);
    }
    inst->ca_fd = -1;
}

/* ---- the connection string --------------------------------------------------------------------------- */

struct words {
    char *p;
    size_t n, cap;
    bool freetds;
    const char *bad; /* a key whose value cannot be said */
};

static void put(struct words *w, const char *text)
{
    size_t n = strlen(text);
    if (w->n + n < w->cap) {
        memcpy(w->p + w->n, text, n + 1);
    }
    w->n += n;
}

/* key={value}; as ODBC has it with } doubled. FreeTDS knows no doubling and ends a value at its first "};", so what has
 * one inside would go on as other words, and is refused. */
static void say(struct words *w, const char *key, const char *value)
{
    char one[2] = {0};
    if (value == NULL || value[0] == '\0') {
        return;
    }
    if (w->freetds && strstr(value, "};") != NULL) {
        w->bad = key;
        return;
    }
    put(w, key);
    put(w, "={");
    for (; *value != '\0'; value++) {
        one[0] = *value;
        put(w, one);
        if (*value == '}' && !w->freetds) {
            put(w, one);
        }
    }
    put(w, "};");
}

static void say_microsoft(struct words *w, const struct ss_conf *conf)
{
    char server[320];
    snprintf(server, sizeof server, "tcp:%.255s,%lld", conf->host, (long long)conf->port);
    say(w, "SERVER", server);
    put(w, is(conf->tls, "off") ? "Encrypt=no;" : "Encrypt=yes;");
    put(w, is(conf->tls, "on") ? "TrustServerCertificate=no;" : "TrustServerCertificate=yes;");
    if (conf->read_only) {
        put(w, "ApplicationIntent=ReadOnly;");
    }
}

tn_rc ss_connection_string(struct ss *inst, char **ret, size_t *ret_n, tn_err *err)
{
    const struct ss_conf *conf = inst->conf;
    bool own = freetds(conf);
    if (strpbrk(conf->driver, "{};") != NULL) {
        return ss_host->fail(err, TN_E_CONFIG, "driver: no name of a driver: %.100s", conf->driver);
    }
    tn_rc rc = own ? add_section(inst, err) : TN_OK;
    if (rc != TN_OK) {
        return rc;
    }
    size_t cap = 4096 + 2 * ((conf->password.s != NULL ? strlen(conf->password.s) : 0) +
                             strlen(conf->driver));
    struct words w = {malloc(cap), 0, cap, own, NULL};
    if (w.p == NULL) {
        return ss_host->fail(err, TN_E_NOMEM, "no memory for a connection");
    }
    say(&w, "DRIVER", conf->driver);
    if (own) {
        say(&w, "SERVERNAME", inst->section);
        if (conf->read_only) {
            put(&w, "ApplicationIntent=ReadOnly;");
        }
    } else {
        say_microsoft(&w, conf);
    }
    say(&w, "APP", conf->application);
    say(&w, "DATABASE", conf->database);
    say(&w, "UID", conf->user);
    say(&w, "PWD", conf->password.s);
    if (w.bad != NULL) {
        explicit_bzero(w.p, cap);
        free(w.p);
        return ss_host->fail(
            err, TN_E_CONFIG,
            "%s: FreeTDS takes no text with \"};\" in it; change it at the server, or use another driver",
            strcmp(w.bad, "PWD") == 0   ? "password"
            : strcmp(w.bad, "UID") == 0 ? "user"
            : strcmp(w.bad, "APP") == 0 ? "application"
                                        : "database");
    }
    *ret = w.p;
    *ret_n = cap;
    return TN_OK;
}
