/* SPDX-License-Identifier: Apache-2.0 */
/* Statements: sent without blocking, read within the deadline, stopped at the server when it is over. */
#include "postgresql.h"

#include <errno.h>
#include <linux/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STOP_NS                                                                                    \
    300000000ull      /* the server's chance to confirm a cancel; calls end one second later */
#define LOOK_EVERY 64 /* reads between two looks at the size of a result */

/* How the server reads the text; a script may have told it to understand backslashes. */
static struct sql_dialect dialect_of(const struct pg_conn *c, tn_str sql)
{
    struct sql_dialect d = {.flags = SQL_DOLLAR_PARAMS | SQL_DOLLAR_QUOTES | SQL_NESTED_NOTES,
                            .quote = '"',
                            .fold = 'l'};
    if (sql.n != 0 && memchr(sql.s, '\\', sql.n) != NULL) {
        const char *standard = PQparameterStatus(c->pq, "standard_conforming_strings");
        if (standard != NULL && strcmp(standard, "off") == 0) {
            d.flags |= SQL_BACKSLASH | SQL_DOUBLE_NAMES;
        }
    }
    return d;
}

/* ---- stopping ---------------------------------------------------------------------------------------- */

/* A request to cancel goes over a connection of its own, which may hang, so a thread sends it. Whoever comes last frees it. */
struct cancel {
    PGcancel *request;
    sem_t told; /* the server has got it: it cannot meet a later statement any more */
    atomic_int owners;
};

static void cancel_give(struct cancel *x)
{
    if (atomic_fetch_sub(&x->owners, 1) == 1) {
        PQfreeCancel(x->request);
        sem_destroy(&x->told);
        free(x);
    }
}

static void *cancel_thread(void *arg)
{
    struct cancel *x = arg;
    char text[64];
    PQcancel(x->request, text, sizeof text);
    sem_post(&x->told);
    cancel_give(x);
    return NULL;
}

/* NULL: it could not be sent. */
static struct cancel *send_cancel(struct pg_conn *c)
{
    struct cancel *x = calloc(1, sizeof *x);
    pthread_t thread;
    pthread_attr_t attr;
    if (x == NULL) {
        return NULL;
    }
    x->request = PQgetCancel(c->pq);
    sem_init(&x->told, 0, 0);
    atomic_init(&x->owners, 2);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    int e = x->request != NULL ? pthread_create(&thread, &attr, cancel_thread, x) : EINVAL;
    pthread_attr_destroy(&attr);
    if (e != 0) {
        atomic_store(&x->owners, 1);
        cancel_give(x);
        return NULL;
    }
    return x;
}

/* 1: the server got it before the deadline. x may be NULL. */
static int cancel_told(struct cancel *x, uint64_t deadline_ns)
{
    int told = 0;
    if (x == NULL) {
        return 0;
    }
    do {
        told = sem_trywait(&x->told) == 0;
    } while (!told && pg_host->now_ns() < deadline_ns && poll(NULL, 0, 1) == 0);
    cancel_give(x);
    return told;
}

/* Reads what is left; 1 when the connection is ready for the next statement. */
static int drain(struct pg_conn *c, uint64_t deadline_ns)
{
    for (;;) {
        while (PQisBusy(c->pq)) {
            if (net_wait(pg_host, PQsocket(c->pq), POLLIN, deadline_ns) != TN_OK ||
                !PQconsumeInput(c->pq)) {
                return 0;
            }
        }
        PGresult *res = PQgetResult(c->pq);
        ExecStatusType status = PQresultStatus(res);
        PQclear(res);
        if (res == NULL) {
            return PQstatus(c->pq) == CONNECTION_OK;
        }
        if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) {
            return 0;
        }
    }
}

/* The time is over, nobody wants the result any more or it is too large: the server shall stop as well. */
static tn_rc stop(struct pg_conn *c, tn_rc rc, tn_err *err, const char *text)
{
    uint64_t until = pg_host->now_ns() + STOP_NS;
    struct cancel *x = send_cancel(c);
    c->streaming = 0;
    int ready = drain(c, until);
    ready = cancel_told(x, until) && ready; /* else it might stop somebody else's statement */
    pg_host->fail(err, rc, "%s", text);
    if (err != NULL) {
        err->flags |= ready ? 0 : TN_ERR_CONN_BROKEN;
    }
    return rc;
}

/* why: what bell_wait() said. */
static tn_rc late(struct pg_conn *c, tn_rc why, tn_err *err)
{
    return why == TN_E_CANCELED
               ? stop(c, why, err, "the call was canceled, and with it its statement")
               : stop(c, TN_E_TIMEOUT, err, "the statement did not end in time and was canceled");
}

/* ---- sending ----------------------------------------------------------------------------------------- */

/* Before the first byte: the answer of the reset, and whether the server has gone meanwhile. Nothing
 * was executed when this fails, so another connection may be used instead. */
static tn_rc ready(struct pg_conn *c, uint64_t deadline_ns, tn_err *err)
{
    if (c->resetting) {
        c->resetting = 0;
        if (!drain(c, deadline_ns)) {
            return pg_lost(c, 0, err);
        }
    }
    struct pollfd p = {PQsocket(c->pq), POLLIN, 0};
    for (int i = 0; i < 16 && poll(&p, 1, 0) > 0; i++) {
        if (!PQconsumeInput(c->pq) || PQstatus(c->pq) != CONNECTION_OK) {
            return pg_lost(c, 0, err);
        }
    }
    return TN_OK;
}

static tn_rc flush(struct pg_conn *c, uint64_t deadline_ns, tn_err *err)
{
    for (int left; (left = PQflush(c->pq)) != 0;) {
        if (left < 0) {
            return pg_lost(c, 1, err);
        }
        struct pollfd p = {PQsocket(c->pq), POLLIN | POLLOUT, 0};
        tn_rc rc = bell_wait(pg_host, &c->bell, p.fd, POLLIN | POLLOUT, deadline_ns);
        if (rc != TN_OK) {
            rc = rc == TN_E_CANCELED
                     ? pg_host->fail(err, rc, "the call was canceled, and with it its statement")
                     : pg_host->fail(err, TN_E_TIMEOUT, "the statement could not be sent in time");
            if (err != NULL) {
                err->flags |= TN_ERR_CONN_BROKEN;
            }
            return rc;
        }
        if (poll(&p, 1, 0) > 0 && (p.revents & POLLIN) && !PQconsumeInput(c->pq)) {
            return pg_lost(c, 1, err);
        }
    }
    return TN_OK;
}

static tn_rc send_sql(struct pg_conn *c, tn_str sql, const tn_val *params, uint64_t deadline_ns,
                      tn_err *err)
{
    struct sql_text t;
    struct pg_binds b = {.n = 0};
    tn_rc rc = ready(c, deadline_ns, err);
    if (rc == TN_OK) {
        const struct sql_dialect dialect = dialect_of(c, sql);
        rc = sql_translate(pg_host, &dialect, sql, params, &t, err);
    }
    if (rc != TN_OK) {
        return rc;
    }
    c->label = t.label;
    rc = pg_bind(&t, &b, err);
    if (rc == TN_OK) {
        int ok = t.nbinds == 0 ? PQsendQuery(c->pq, t.sql)
                               : PQsendQueryParams(c->pq, t.sql, b.n, b.types, b.values, b.lengths,
                                                   b.formats, 0);
        rc = ok ? flush(c, deadline_ns, err) : pg_lost(c, 0, err);
    }
    pg_binds_finish(&b);
    sql_text_finish(&t);
    return rc;
}

/* ---- reading ----------------------------------------------------------------------------------------- */

/* Bytes that ever came from the server; 0: unknown (a socket of the file system). */
static uint64_t received(struct pg_conn *c)
{
    struct tcp_info info = {0};
    socklen_t n = sizeof info;
    if (getsockopt(PQsocket(c->pq), IPPROTO_TCP, TCP_INFO, &info, &n) != 0 ||
        n < offsetof(struct tcp_info, tcpi_bytes_received) + sizeof info.tcpi_bytes_received) {
        return 0;
    }
    return info.tcpi_bytes_received;
}

/* A result, or the end: then *ret is NULL. One that outgrows max_result is TN_E_LIMIT before memory is used for it; start: what
 * had come before it, NULL: rows come one by one. */
static tn_rc read_result(struct pg_conn *c, const uint64_t *start, uint64_t deadline_ns,
                         PGresult **ret, tn_err *err)
{
    for (unsigned reads = 1; PQisBusy(c->pq); reads++) {
        tn_rc rc = bell_wait(pg_host, &c->bell, PQsocket(c->pq), POLLIN, deadline_ns);
        if (rc != TN_OK) {
            return late(c, rc, err);
        }
        if (!PQconsumeInput(c->pq)) {
            return pg_lost(c, 1, err);
        }
        if (start != NULL && reads % LOOK_EVERY == 0 &&
            received(c) - *start > (uint64_t)c->conf->max_result.n) {
            return stop(c, TN_E_LIMIT, err,
                        "the result is larger than max_result; use LIMIT or stream()");
        }
    }
    *ret = PQgetResult(c->pq);
    return TN_OK;
}

static int is_copy(ExecStatusType status)
{
    return status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;
}

static tn_rc no_copy(tn_err *err)
{
    tn_rc rc = pg_host->fail(err, TN_E_UNSUPP,
                             "COPY needs a client of its own; use INSERT with a "
                             "list of rows, or stream()");
    if (err != NULL) {
        err->flags |= TN_ERR_CONN_BROKEN;
    }
    return rc;
}

/* All results of what was sent; the last one counts, the first error ends it. */
static tn_rc collect(struct pg_conn *c, uint64_t deadline_ns, PGresult **ret, tn_err *err)
{
    PGresult *kept = NULL, *res = NULL;
    tn_rc rc = TN_OK, failed = TN_OK;
    uint64_t start = received(c);
    while ((rc = read_result(c, &start, deadline_ns, &res, err)) == TN_OK && res != NULL) {
        ExecStatusType status = PQresultStatus(res);
        if (is_copy(status)) {
            PQclear(res);
            rc = no_copy(err);
            break;
        }
        if (failed == TN_OK && (status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE)) {
            failed = pg_error(c, res, err);
        }
        PQclear(kept);
        kept = res;
    }
    rc = rc != TN_OK ? rc : failed;
    if (rc == TN_OK && kept == NULL) {
        rc = pg_lost(c, 1, err);
    }
    if (rc != TN_OK) {
        PQclear(kept);
        return rc;
    }
    *ret = kept;
    return TN_OK;
}

tn_rc pg_exec(struct pg_conn *c, tn_str sql, const tn_val *params, uint64_t deadline_ns,
              PGresult **ret, tn_err *err)
{
    tn_rc rc = send_sql(c, sql, params, deadline_ns, err);
    return rc == TN_OK ? collect(c, deadline_ns, ret, err) : rc;
}

tn_rc pg_simple(struct pg_conn *c, const char *sql, uint64_t deadline_ns, tn_err *err)
{
    PGresult *res = NULL;
    tn_rc rc = pg_exec(c, (tn_str){sql, strlen(sql)}, NULL, deadline_ns, &res, err);
    PQclear(res);
    return rc;
}

/* ---- reset ------------------------------------------------------------------------------------------- */

/* The server works on it while the call's answer is on its way; ready() reads what it said. Everything a
 * call may have left: transaction, settings, temporary tables, prepared statements, LISTEN, advisory
 * locks (PostgreSQL manual, DISCARD). */
tn_rc pg_reset(void *inst, void *conn, tn_err *err)
{
    struct pg_conn *c = conn;
    PGTransactionStatusType t = PQtransactionStatus(c->pq);
    (void)inst;
    bell_hush(&c->bell);
    for (PGnotify *n; (n = PQnotifies(c->pq)) != NULL;) {
        PQfreemem(n); /* of a LISTEN: nobody reads them, and libpq keeps all */
    }
    if (c->streaming) {
        cancel_told(send_cancel(c), 0);
        return pg_host->fail(err, TN_E_INVAL, "a stream was not read to its end");
    }
    if (c->resetting) {
        return TN_OK;
    }
    if (PQstatus(c->pq) != CONNECTION_OK || t == PQTRANS_ACTIVE || t == PQTRANS_UNKNOWN) {
        return pg_host->fail(err, TN_E_UNAVAIL, "the connection is not usable any more");
    }
    /* DISCARD ALL may not stand in the implicit transaction of several statements. */
    if (t != PQTRANS_IDLE || c->fix[0] != '\0') {
        uint64_t soon = pg_host->now_ns() + 2000000000ull;
        tn_rc rc = t != PQTRANS_IDLE ? pg_simple(c, "ROLLBACK", soon, err) : TN_OK;
        if (rc == TN_OK && c->fix[0] != '\0') {
            rc = pg_simple(c, "DISCARD ALL", soon, err);
            rc = rc == TN_OK ? pg_simple(c, c->fix, soon, err) : rc;
            return rc;
        }
        if (rc != TN_OK) {
            return rc;
        }
    }
    if (!PQsendQuery(c->pq, "DISCARD ALL") || PQflush(c->pq) != 0) {
        return pg_host->fail(err, TN_E_UNAVAIL, "the connection does not take a reset");
    }
    c->resetting = 1;
    return TN_OK;
}

/* ---- streams ----------------------------------------------------------------------------------------- */

tn_rc pg_stream_start(struct pg_conn *c, tn_str sql, const tn_val *params, uint64_t deadline_ns,
                      tn_err *err)
{
    tn_rc rc = send_sql(c, sql, params, deadline_ns, err);
    if (rc == TN_OK && !PQsetSingleRowMode(c->pq)) {
        rc = pg_lost(c, 1, err);
    }
    c->streaming = rc == TN_OK;
    return rc;
}

tn_rc pg_stream_next(struct pg_conn *c, uint32_t max, uint64_t deadline_ns, struct pg_result *ret,
                     tn_err *err)
{
    PGresult *res = NULL;
    tn_rc rc = TN_OK;
    ret->res = calloc(max, sizeof *ret->res);
    if (ret->res == NULL) {
        return pg_host->fail(err, TN_E_NOMEM, "no memory for %u rows", max);
    }
    while (rc == TN_OK && ret->n < max) {
        rc = read_result(c, NULL, deadline_ns, &res, err);
        if (rc != TN_OK) {
            break;
        }
        ExecStatusType status = PQresultStatus(res);
        if (res == NULL) {
            c->streaming = 0;
            break;
        }
        if (status == PGRES_SINGLE_TUPLE) {
            ret->res[ret->n++] = res;
        } else {
            rc = is_copy(status) ? no_copy(err)
                 : status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE
                     ? pg_error(c, res, err)
                     : TN_OK; /* the end of the rows, or a statement without */
            PQclear(res);
        }
    }
    if (rc != TN_OK) {
        c->streaming = c->streaming && PQstatus(c->pq) == CONNECTION_OK &&
                       !drain(c, pg_host->now_ns() + STOP_NS);
        for (uint32_t i = 0; i < ret->n; i++) {
            PQclear(ret->res[i]);
        }
        free(ret->res);
        ret->res = NULL;
        ret->n = 0;
    }
    return rc;
}
