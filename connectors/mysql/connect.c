/* SPDX-License-Identifier: Apache-2.0 */
/* Connecting, stopping and resetting, each within a deadline of milliseconds: the library's non-blocking calls do
 * the work, and the waiting is ours. */
#include "mysql_conn.h"

#include <arpa/inet.h>
#include <errmsg.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYSTEM_CA "/etc/ssl/certs/ca-certificates.crt"

/* ---- options ----------------------------------------------------------------------------------------- */

/* Paths of certificates, for as long as the library may read them. */
struct pems {
    char path[3][64];
    const char *use[3];
    int fd[3];
};

static void pems_finish(struct pems *p)
{
    for (int i = 0; i < 3; i++) {
        if (p->fd[i] >= 0) {
            close(p->fd[i]);
        }
    }
}

static int given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static tn_rc set_tls(MYSQL *my, const struct my_conf *conf, struct pems *p, tn_err *err)
{
    const char *names[] = {"tls_ca", "tls_cert", "tls_key"};
    my_bool on = 1, verify = strcmp(conf->tls, "on") == 0;
    const char *texts[] = {verify ? given(conf->tls_ca) ? conf->tls_ca : SYSTEM_CA : NULL,
                           conf->tls_cert, given(conf->tls_cert) ? conf->tls_key.s : NULL};
    tn_rc rc = TN_OK;
    if (strcmp(conf->tls, "off") == 0) {
        return TN_OK;
    }
    for (int i = 0; rc == TN_OK && i < 3; i++) {
        if (given(texts[i])) {
            rc = net_pem(my_host, names[i], texts[i], p->path[i], &p->use[i], &p->fd[i], err);
        }
    }
    if (rc == TN_OK) {
        mysql_ssl_set(my, p->use[2], p->use[1], p->use[0], NULL, NULL);
        mysql_options(my, MYSQL_OPT_SSL_ENFORCE, &on); /* which only means: if the server has it */
        mysql_options(my, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
    }
    return rc;
}

static tn_rc set_options(MYSQL *my, const struct my_conf *conf, struct pems *p, tn_err *err)
{
    unsigned int no = 0;
    unsigned long packet = 1ul << 30;
    mysql_options(my, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    mysql_options(my, MYSQL_OPT_LOCAL_INFILE, &no); /* a server must not ask for files of ours */
    mysql_options(my, MYSQL_OPT_MAX_ALLOWED_PACKET, &packet);
    mysql_options4(my, MYSQL_OPT_CONNECT_ATTR_ADD, "program_name", conf->application);
    return set_tls(my, conf, p, err);
}

/* ---- waiting ----------------------------------------------------------------------------------------- */

/* What a thread of its own needs to stop a statement: another connection, which may hang. */
struct killing {
    struct my_conf conf;
    unsigned long id;
    char *texts[9];
};

static void killing_free(struct killing *k)
{
    for (size_t i = 0; i < sizeof k->texts / sizeof *k->texts; i++) {
        if (k->texts[i] != NULL && i == 8) {
            explicit_bzero(k->texts[i], strlen(k->texts[i]));
        }
        free(k->texts[i]);
    }
    free(k);
}

static void *kill_thread(void *arg)
{
    struct killing *k = arg;
    struct pems pems = {.fd = {-1, -1, -1}};
    unsigned int seconds = 3;
    char sql[64];
    MYSQL *my = mysql_init(NULL);
    if (my != NULL) {
        mysql_options(my, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
        mysql_options(my, MYSQL_OPT_READ_TIMEOUT, &seconds);
        mysql_options(my, MYSQL_OPT_WRITE_TIMEOUT, &seconds);
        if (set_options(my, &k->conf, &pems, NULL) == TN_OK &&
            mysql_real_connect(my, k->conf.host, k->conf.user, k->conf.password.s, NULL,
                               (unsigned)k->conf.port, NULL, 0) != NULL) {
            snprintf(sql, sizeof sql, "KILL QUERY %lu", k->id);
            mysql_query(my, sql);
        }
        mysql_close(my);
    }
    pems_finish(&pems);
    killing_free(k);
    mysql_thread_end();
    return NULL;
}

/* Copies: the configuration may be gone before the thread is. */
static void send_kill(const struct my_conn *c)
{
    struct killing *k = calloc(1, sizeof *k);
    const struct my_conf *conf = c->conf;
    if (k == NULL) {
        return;
    }
    const char *from[] = {conf->host,        conf->user,      NULL,
                          conf->application, conf->tls,       conf->tls_ca,
                          conf->tls_cert,    conf->tls_key.s, conf->password.s};
    const char **to[] = {&k->conf.host,        &k->conf.user,      &k->conf.database,
                         &k->conf.application, &k->conf.tls,       &k->conf.tls_ca,
                         &k->conf.tls_cert,    &k->conf.tls_key.s, &k->conf.password.s};
    pthread_t thread;
    pthread_attr_t attr;
    k->conf.port = conf->port;
    k->id = mysql_thread_id(c->my);
    for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
        k->texts[i] = from[i] != NULL ? strdup(from[i]) : NULL;
        *to[i] = k->texts[i];
    }
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    if (k->conf.host == NULL || k->conf.tls == NULL ||
        pthread_create(&thread, &attr, kill_thread, k) != 0) {
        killing_free(k);
    }
    pthread_attr_destroy(&attr);
}

int my_wait(struct my_conn *c, int events, uint64_t deadline_ns)
{
    int fd = (int)mysql_get_socket(c->my);
    short want = (short)((events & MYSQL_WAIT_READ ? POLLIN : 0) |
                         (events & MYSQL_WAIT_WRITE ? POLLOUT : 0) |
                         (events & MYSQL_WAIT_EXCEPT ? POLLPRI : 0));
    tn_rc rc = c->late ? TN_OK : bell_wait(my_host, &c->bell, fd, want, deadline_ns);
    if (rc != TN_OK) {
        c->late = true;
        c->canceled = rc == TN_E_CANCELED;
        if (c->ready) {
            send_kill(c);
        }
        shutdown(fd, SHUT_RDWR);
    }
    return c->late && (events & MYSQL_WAIT_TIMEOUT) ? MYSQL_WAIT_TIMEOUT
                                                    : events & ~MYSQL_WAIT_TIMEOUT;
}

void my_async(struct my_conn *c)
{
    int fd = (int)mysql_get_socket(c->my);
    if (c->tls) {
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    }
}

/* ---- opening ----------------------------------------------------------------------------------------- */

/* The library blocks in the resolver, so names are looked up before. It checks certificates against the text it was
 * given: then it gets the name, whose answer is at hand now; otherwise the address. */
static tn_rc resolve(const struct my_conf *conf, uint64_t deadline_ns, char out[256], tn_err *err)
{
    struct net_addrs a = {.n = 0};
    tn_rc rc = net_resolve(my_host, conf->host, (uint16_t)conf->port, deadline_ns, &a, err);
    if (rc == TN_OK) {
        snprintf(out, 256, "%s", conf->host);
    }
    if (rc == TN_OK && strcmp(conf->tls, "on") != 0) {
        getnameinfo((struct sockaddr *)&a.addr[0], a.len[0], out, 256, NULL, 0, NI_NUMERICHOST);
    }
    return rc;
}

static tn_rc late(tn_err *err)
{
    tn_rc rc = my_host->fail(
        err, TN_E_TIMEOUT,
        "TCP: the server accepted or dropped the connection and did not answer in time");
    if (err != NULL) {
        err->flags |= TN_ERR_RETRY;
    }
    return rc;
}

/* What every session begins with, and has again after a reset. */
static tn_rc prepare(struct my_conn *c, uint64_t deadline_ns, tn_err *err)
{
    char sql[256], zone[140];
    if (!given(c->conf->timezone)) {
        return my_simple(c, "SET NAMES utf8mb4", deadline_ns, err);
    }
    zone[mysql_real_escape_string(c->my, zone, c->conf->timezone, strlen(c->conf->timezone))] =
        '\0';
    snprintf(sql, sizeof sql, "SET NAMES utf8mb4, time_zone = '%s'", zone);
    return my_simple(c, sql, deadline_ns, err);
}

static tn_rc connect_to(struct my_conn *c, const char *host, uint64_t deadline_ns, tn_err *err)
{
    const struct my_conf *conf = c->conf;
    struct pems pems = {.fd = {-1, -1, -1}};
    unsigned long flags = conf->multi_statements ? CLIENT_MULTI_STATEMENTS : 0;
    MYSQL *done = NULL;
    int left = net_left_ms(my_host, deadline_ns);
    unsigned int seconds = left < 0 ? 30 : (unsigned)(left + 999) / 1000;
    mysql_options(c->my, MYSQL_OPT_NONBLOCK, NULL);
    mysql_options(c->my, MYSQL_OPT_CONNECT_TIMEOUT,
                  &seconds); /* the handshake of TLS waits in there */
    tn_rc rc = set_options(c->my, conf, &pems, err);
    if (rc == TN_OK) {
        MY_AWAIT(c, deadline_ns,
                 mysql_real_connect_start(&done, c->my, host, conf->user, conf->password.s,
                                          given(conf->database) ? conf->database : NULL,
                                          (unsigned)conf->port, NULL, flags),
                 mysql_real_connect, done, c->my);
        if (done == NULL) {
            rc = c->late ? late(err)
                         : my_refused(conf, mysql_errno(c->my), mysql_error(c->my), err);
        }
    }
    if (rc == TN_OK && mysql_get_ssl_cipher(c->my) == NULL &&
        (strcmp(conf->tls, "on") == 0 || strcmp(conf->tls, "unverified") == 0)) {
        rc = my_host->fail(err, TN_E_DENIED,
                           "TLS: the server does not offer it; set it up there, or set tls to off");
    }
    c->tls = done != NULL && mysql_get_ssl_cipher(c->my) != NULL;
    pems_finish(&pems);
    return rc;
}

tn_rc my_open(void *inst, uint64_t deadline_ns, void **ret_conn, tn_err *err)
{
    struct my *m = inst;
    char host[256];
    if (deadline_ns != 0 && my_host->now_ns() >= deadline_ns) {
        return my_host->fail(err, TN_E_TIMEOUT, "the deadline had passed before the start");
    }
    tn_rc rc = resolve(m->conf, deadline_ns, host, err);
    if (rc != TN_OK) {
        return rc;
    }
    struct my_conn *c = calloc(1, sizeof *c);
    if (c == NULL || (c->my = mysql_init(NULL)) == NULL) {
        free(c);
        return my_host->fail(err, TN_E_NOMEM, "no memory for a connection");
    }
    c->conf = m->conf;
    rc = bell_open(my_host, &c->bell, err);
    rc = rc == TN_OK ? connect_to(c, host, deadline_ns, err) : rc;
    rc = rc == TN_OK ? prepare(c, deadline_ns, err) : rc;
    if (rc != TN_OK) {
        my_close(inst, c, TN_CLOSE_BROKEN);
        return rc;
    }
    c->ready = true;
    *ret_conn = c;
    return TN_OK;
}

void my_close(void *inst, void *conn, uint32_t why)
{
    struct my_conn *c = conn;
    (void)inst;
    if (why == TN_CLOSE_BROKEN || c->res != NULL || c->stmt != NULL) {
        int fd = (int)mysql_get_socket(c->my);
        if (fd >= 0) {
            shutdown(fd, SHUT_RDWR); /* neither waits nor says goodbye */
        }
    }
    my_finish(c);
    mysql_close(c->my);
    bell_close(&c->bell);
    free(c);
}

void my_cancel(void *inst, void *conn)
{
    (void)inst;
    bell_ring(&((struct my_conn *)conn)->bell);
}

/* ---- reset ------------------------------------------------------------------------------------------- */

/* Is the role still the one that the session began with? */
static tn_rc check_role(struct my_conn *c, uint64_t deadline_ns, tn_err *err)
{
    char now[ROLE_BYTES];
    tn_rc rc = c->role ? my_role(c, deadline_ns, now, err) : TN_OK;
    if (rc == TN_OK && c->role && strcmp(now, c->began) != 0) {
        rc = my_host->fail(err, TN_E_UNAVAIL, "the session has another role now");
    }
    c->role = false;
    return rc;
}

/* COM_RESET_CONNECTION rolls back and drops variables, temporary tables, prepared statements and locks; the database
 * stays what the session made of it, so it is chosen again. MariaDB keeps the role, too, even when the user signs in
 * anew (COM_CHANGE_USER), and its default cannot be asked for: with another role the connection ends. */
tn_rc my_reset(void *inst, void *conn, tn_err *err)
{
    struct my_conn *c = conn;
    uint64_t soon = my_host->now_ns() + 2000000000ull;
    int failed = 0;
    (void)inst;
    bell_hush(&c->bell);
    c->transaction = c->lost = false;
    if (c->streaming || c->late) {
        return my_host->fail(err, TN_E_UNAVAIL,
                             "a stream was not read to its end, or a statement was stopped");
    }
    my_async(c);
    MY_AWAIT(c, soon, mysql_reset_connection_start(&failed, c->my), mysql_reset_connection, failed,
             c->my);
    if (!failed && given(c->conf->database)) {
        MY_AWAIT(c, soon, mysql_select_db_start(&failed, c->my, c->conf->database), mysql_select_db,
                 failed, c->my);
    }
    if (failed) {
        return my_error(c, mysql_errno(c->my), mysql_sqlstate(c->my), mysql_error(c->my), err);
    }
    tn_rc rc = prepare(c, soon, err);
    return rc == TN_OK ? check_role(c, soon, err) : rc;
}
