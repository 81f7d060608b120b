/* SPDX-License-Identifier: Apache-2.0 */
/* Connecting: names first (libpq would block in them), then libpq's own steps, each within the deadline. */
#include "postgresql.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PARAMS    24
#define HOSTS_MAX 2048

struct params {
    const char *key[PARAMS + 1], *value[PARAMS + 1];
    int n;
    char port[8], hosts[HOSTS_MAX], addrs[HOSTS_MAX], options[64];
    char ca[64], cert[64], key_path[64];
    int fds[3]; /* of certificates in memory */
};

static void set(struct params *p, const char *key, const char *value)
{
    if (value != NULL && value[0] != '\0' && p->n < PARAMS) {
        p->key[p->n] = key;
        p->value[p->n++] = value;
    }
}

/* Appends "host" and its addresses: libpq takes parallel lists, the name is for TLS. */
static tn_rc add_host(struct params *p, const char *name, size_t n, uint16_t port,
                      uint64_t deadline_ns, tn_err *err)
{
    struct net_addrs a = {.n = 0};
    char one[256];
    if (n == 0 || n >= sizeof one) {
        return pg_host->fail(err, TN_E_CONFIG, "host has an empty or overlong name");
    }
    snprintf(one, sizeof one, "%.*s", (int)n, name);
    tn_rc rc = net_resolve(pg_host, one, port, deadline_ns, &a, err);
    for (uint32_t i = 0; rc == TN_OK && i < a.n; i++) {
        char addr[64];
        size_t used = strlen(p->hosts), taken = strlen(p->addrs);
        if (getnameinfo((struct sockaddr *)&a.addr[i], a.len[i], addr, sizeof addr, NULL, 0,
                        NI_NUMERICHOST) != 0) {
            continue;
        }
        if (used + n + 2 > sizeof p->hosts || taken + strlen(addr) + 2 > sizeof p->addrs) {
            break; /* enough of them */
        }
        snprintf(p->hosts + used, sizeof p->hosts - used, "%s%s", used ? "," : "", one);
        snprintf(p->addrs + taken, sizeof p->addrs - taken, "%s%s", taken ? "," : "", addr);
    }
    return rc;
}

static tn_rc add_hosts(struct params *p, const struct pg_conf *conf, uint64_t deadline_ns,
                       tn_err *err)
{
    tn_rc rc = TN_OK;
    if (conf->host[0] == '/') {
        set(p, "host", conf->host);
        return TN_OK;
    }
    for (const char *at = conf->host; rc == TN_OK;) {
        size_t n = strcspn(at, ",");
        rc = add_host(p, at, n, (uint16_t)conf->port, deadline_ns, err);
        if (at[n] == '\0') {
            break;
        }
        at += n + 1;
    }
    set(p, "host", p->hosts);
    set(p, "hostaddr", p->addrs);
    return rc;
}

static tn_rc add_pem(struct params *p, int i, const char *key, const char *what, const char *text,
                     char path[64], tn_err *err)
{
    const char *use = NULL;
    if (text == NULL || text[0] == '\0') {
        return TN_OK;
    }
    tn_rc rc = net_pem(pg_host, what, text, path, &use, &p->fds[i], err);
    if (rc == TN_OK) {
        set(p, key, use);
    }
    return rc;
}

static tn_rc add_tls(struct params *p, const struct pg_conf *conf, tn_err *err)
{
    static const struct {
        const char *tls, *mode;
    } modes[] = {
        {"prefer", "prefer"}, {"on", "verify-full"}, {"unverified", "require"}, {"off", "disable"}};
    const char *ca = conf->tls_ca;
    int verify = strcmp(conf->tls, "on") == 0;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        if (strcmp(conf->tls, modes[i].tls) == 0) {
            set(p, "sslmode", modes[i].mode);
        }
    }
    if (verify && (ca == NULL || ca[0] == '\0')) {
        ca = "/etc/ssl/certs/ca-certificates.crt";
    }
    tn_rc rc = verify ? add_pem(p, 0, "sslrootcert", "tls_ca", ca, p->ca, err) : TN_OK;
    if (!verify) {
        set(p, "sslrootcert", "/nonexistent"); /* with a file libpq would verify after all */
    }
    if (rc == TN_OK && conf->tls_cert != NULL && conf->tls_cert[0] != '\0') {
        rc = add_pem(p, 1, "sslcert", "tls_cert", conf->tls_cert, p->cert, err);
        rc = rc == TN_OK ? add_pem(p, 2, "sslkey", "tls_key", conf->tls_key.s, p->key_path, err)
                         : rc;
    } else if (rc == TN_OK) {
        set(p, "sslcert", "/nonexistent"); /* nothing from a home folder */
    }
    return rc;
}

static tn_rc fill(struct params *p, const struct pg_conf *conf, uint64_t deadline_ns, tn_err *err)
{
    snprintf(p->port, sizeof p->port, "%u", (unsigned)conf->port);
    tn_rc rc = add_hosts(p, conf, deadline_ns, err);
    if (rc == TN_OK) {
        rc = add_tls(p, conf, err);
    }
    set(p, "port", p->port);
    set(p, "user", conf->user);
    set(p, "password", conf->password.s);
    set(p, "dbname", conf->database);
    set(p, "client_encoding", "UTF8");
    set(p, "application_name", conf->application);
    set(p, "target_session_attrs", conf->target);
    set(p, "passfile", "/nonexistent");
    set(p, "gssencmode", "disable");
    set(p, "keepalives_idle", "30");
    set(p, "tcp_user_timeout", "30000");
    if (conf->statement_timeout.ms > 0) {
        snprintf(p->options, sizeof p->options, "-c statement_timeout=%lld",
                 (long long)conf->statement_timeout.ms);
        set(p, "options", p->options);
    }
    return rc;
}

static tn_rc late(tn_err *err)
{
    tn_rc rc = pg_host->fail(
        err, TN_E_TIMEOUT,
        "TCP: the server accepted or dropped the connection and did not answer "
        "in time");
    if (err != NULL) {
        err->flags |= TN_ERR_RETRY;
    }
    return rc;
}

static tn_rc handshake(const struct pg_conf *conf, PGconn *pq, uint64_t deadline_ns, tn_err *err)
{
    PostgresPollingStatusType step = PGRES_POLLING_WRITING;
    if (PQstatus(pq) == CONNECTION_BAD) {
        return pg_refused(conf, PQerrorMessage(pq), err);
    }
    while (step != PGRES_POLLING_OK) {
        if (step == PGRES_POLLING_FAILED) {
            return pg_refused(conf, PQerrorMessage(pq), err);
        }
        tn_rc rc = net_wait(pg_host, PQsocket(pq), step == PGRES_POLLING_READING ? POLLIN : POLLOUT,
                            deadline_ns);
        if (rc != TN_OK) {
            return late(err);
        }
        step = PQconnectPoll(pq);
    }
    return TN_OK;
}

static void ignore_notice(void *arg, const PGresult *res)
{
    (void)arg;
    (void)res;
}

/* What the server's configuration says about texts we read; most need nothing. */
static void look_at(struct pg_conn *c)
{
    const char *dates = PQparameterStatus(c->pq, "DateStyle");
    const char *spans = PQparameterStatus(c->pq, "IntervalStyle");
    const char *encoding = PQparameterStatus(c->pq, "server_encoding");
    int bad = dates == NULL || strncmp(dates, "ISO", 3) != 0 || spans == NULL ||
              strcmp(spans, "postgres") != 0;
    c->fix = bad ? "SET DateStyle = ISO; SET IntervalStyle = postgres" : "";
    c->ascii = encoding == NULL || strcmp(encoding, "SQL_ASCII") == 0;
}

int pg_ascii(const struct pg_conn *c)
{
    enum { UTF8 = 6 }; /* src/include/mb/pg_wchar.h; part of libpq's interface */
    return c->ascii || PQclientEncoding(c->pq) != UTF8;
}

tn_rc pg_open(void *inst, uint64_t deadline_ns, void **ret_conn, tn_err *err)
{
    const struct pg_conf *conf = ((struct pg *)inst)->conf;
    struct params *p = calloc(1, sizeof *p);
    struct pg_conn *c = calloc(1, sizeof *c);
    tn_rc rc = p != NULL && c != NULL
                   ? TN_OK
                   : pg_host->fail(err, TN_E_NOMEM, "no memory for a connection");
    if (rc == TN_OK) {
        memset(p->fds, -1, sizeof p->fds);
        rc = bell_open(pg_host, &c->bell, err);
    }
    if (rc == TN_OK) {
        c->conf = conf;
        rc = fill(p, conf, deadline_ns, err);
    }
    if (rc == TN_OK) {
        c->pq = PQconnectStartParams(p->key, p->value, 0);
        rc = c->pq != NULL ? TN_OK : pg_host->fail(err, TN_E_NOMEM, "no memory for a connection");
    }
    if (rc == TN_OK) {
        PQsetErrorVerbosity(c->pq, PQERRORS_VERBOSE); /* tells the SQLSTATE of a refused sign-in */
        PQsetNoticeReceiver(c->pq, ignore_notice, NULL);
        rc = handshake(conf, c->pq, deadline_ns, err);
    }
    if (rc == TN_OK) {
        PQsetErrorVerbosity(c->pq, PQERRORS_DEFAULT);
        PQsetnonblocking(c->pq, 1);
        look_at(c);
        rc = c->fix[0] != '\0' ? pg_simple(c, c->fix, deadline_ns, err) : TN_OK;
    }
    for (int i = 0; p != NULL && i < 3; i++) {
        if (p->fds[i] >= 0) {
            close(p->fds[i]);
        }
    }
    free(p);
    if (rc != TN_OK) {
        if (c != NULL) {
            PQfinish(c->pq);
            bell_close(&c->bell);
        }
        free(c);
        return rc;
    }
    *ret_conn = c;
    return TN_OK;
}

void pg_close(void *inst, void *conn, uint32_t why)
{
    struct pg_conn *c = conn;
    (void)inst;
    if (why == TN_CLOSE_BROKEN && PQsocket(c->pq) >= 0) {
        shutdown(PQsocket(c->pq), SHUT_RDWR); /* so that libpq's goodbye goes nowhere */
    }
    PQfinish(c->pq);
    bell_close(&c->bell);
    free(c);
}
