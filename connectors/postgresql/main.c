/* SPDX-License-Identifier: Apache-2.0 */
/* PostgreSQL connector: settings, methods and the contract's functions. */
#include "postgresql.h"

#include <stdlib.h>
#include <string.h>

const tn_host *pg_host; /* set once by load() */

static const char *const tls_modes[] = {"prefer", "on", "unverified", "off", NULL};
static const char *const targets[] = {"any",     "read-write",     "read-only", "primary",
                                      "standby", "prefer-standby", NULL};

static const tn_field fields[] = {
    {TN_FIELD(struct pg_conf, host), .dflt = "127.0.0.1", .min = 1, .max = 1000,
     .doc = "Server; several with commas are tried in order; a path is the folder of a socket."},
    {TN_FIELD(struct pg_conf, port), .dflt = "5432", .min = 1, .max = 65535, .doc = "TCP port."},
    {TN_FIELD(struct pg_conf, user), .dflt = "postgres", .max = 256, .doc = "User name."},
    {TN_FIELD(struct pg_conf, password), .doc = "Password."},
    {TN_FIELD(struct pg_conf, database), .dflt = "postgres", .max = 256, .doc = "Database."},
    {TN_FIELD(struct pg_conf, charset), .dflt = "utf8", .max = 32,
     .doc = "Accepted for compatibility: texts always travel as UTF-8, the server converts."},
    {TN_FIELD(struct pg_conf, tls), .dflt = "prefer", .choices = tls_modes,
     .doc = "on: TLS, and the certificate must be valid for the host; unverified: TLS with any "
            "certificate; prefer: TLS with any certificate if the server has it; off: none."},
    {TN_FIELD(struct pg_conf, tls_ca), .max = 200000,
     .doc = "Certificates of the authorities to trust, as PEM text or the path of a file; default "
            "those of the system."},
    {TN_FIELD(struct pg_conf, tls_cert), .max = 200000,
     .doc = "Certificate of the client, as PEM text or the path of a file."},
    {TN_FIELD(struct pg_conf, tls_key), .doc = "Key of the client's certificate, as PEM text."},
    {TN_FIELD(struct pg_conf, target), .dflt = "any", .choices = targets,
     .doc = "With several servers: which of them will do."},
    {TN_FIELD(struct pg_conf, application), .dflt = "tenon", .max = 63,
     .doc = "Name in the server's list of activities."},
    {TN_FIELD(struct pg_conf, statement_timeout), .dflt = "0ms", .min = 0, .max = 86400000,
     .doc = "Limit that the server itself keeps for each statement; 0: none."},
    {TN_FIELD(struct pg_conf, max_result), .dflt = "256M", .min = 65536, .max = 4294967296,
     .doc = "Largest result of one query in memory, in bytes; stream() has no such limit."},
    {0},
};

static const tn_method methods[] = {
    {"query", "sql:str, sql_params:any=None",
     "Runs a statement and returns its rows as a list of dicts; without a result an empty list. ? "
     "binds a value (a list: several, a dict: k = v), ?? quotes a name.",
     PG_QUERY, 0},
    {"non_query", "sql:str, sql_params:any=None",
     "Runs a statement and returns the number of rows it changed.", PG_NON_QUERY, 0},
    {"check", "", "Asks the server something cheap.", PG_CHECK, 0},
    {"begin", "", "Begins a transaction.", PG_BEGIN, 0},
    {"commit", "", "Ends the transaction and keeps its changes.", PG_COMMIT, 0},
    {"rollback", "", "Ends the transaction, if there is one, and drops its changes.", PG_ROLLBACK,
     0},
    {"stream_start", "sql:str, sql_params:any=None", "Begins a query whose rows are fetched.",
     PG_STREAM_START, 0},
    {"stream_next", "size:int=1000", "The next rows; an empty list at the end.", PG_STREAM_NEXT, 0},
    {0},
};

static tn_rc on_load(const tn_host *host, tn_err *err)
{
    pg_host = host;
    if (!PQisthreadsafe()) {
        return host->fail(err, TN_E_UNSUPP, "this libpq was built without threads");
    }
    return TN_OK;
}

static tn_rc on_attach(void *inst, const void *conf, tn_err *err)
{
    (void)err;
    ((struct pg *)inst)->conf = conf;
    return TN_OK;
}

static tn_rc on_check(void *inst, void *conn, uint64_t deadline_ns, tn_err *err)
{
    (void)inst;
    return pg_simple(conn, "SELECT 1", deadline_ns, err);
}

/* A commit of a transaction that has failed is a rollback for PostgreSQL, and no error. */
static tn_rc commit(struct pg_conn *c, uint64_t deadline_ns, tn_err *err)
{
    int failed = PQtransactionStatus(c->pq) == PQTRANS_INERROR;
    tn_rc rc = pg_simple(c, "COMMIT", deadline_ns, err);
    if (rc == TN_OK && failed) {
        rc = pg_host->fail(err, TN_E_REMOTE,
                           "the transaction was rolled back because a statement in it had failed");
        if (err != NULL) {
            memcpy(err->state, "25P02", 6);
        }
    }
    return rc;
}

/* Rows that a statement changed; "" for those that do not change rows. */
static int64_t affected(PGresult *res)
{
    const char *text = PQcmdTuples(res);
    return text[0] != '\0' && PQresultStatus(res) == PGRES_COMMAND_OK ? strtoll(text, NULL, 10)
           : PQresultStatus(res) == PGRES_TUPLES_OK && strncmp(PQcmdStatus(res), "SELECT", 6) != 0
               ? strtoll(text[0] ? text : "0", NULL, 10)
               : 0;
}

static tn_rc run(struct pg_conn *c, uint32_t method, const tn_args *a, uint64_t deadline_ns,
                 struct pg_result *r, tn_err *err)
{
    PGresult *res = NULL;
    tn_rc rc;
    if (c->streaming && method != PG_STREAM_NEXT) {
        return pg_host->fail(err, TN_E_INVAL, "a stream is open on this connection");
    }
    switch (method) {
    case PG_QUERY:
    case PG_NON_QUERY:
    case PG_STREAM_START:
        if (a->npos < 1 || a->pos[0].type != TN_T_STR) {
            return pg_host->fail(err, TN_E_INVAL, "the statement must be text");
        }
        tn_str sql = {a->pos[0].u.s, a->pos[0].n};
        const tn_val *params = a->npos > 1 ? &a->pos[1] : NULL;
        if (method == PG_STREAM_START) {
            return pg_stream_start(c, sql, params, deadline_ns, err);
        }
        rc = pg_exec(c, sql, params, deadline_ns, &res, err);
        if (rc == TN_OK && method == PG_NON_QUERY) {
            r->number = affected(res);
            PQclear(res);
        } else if (rc == TN_OK) {
            r->res = malloc(sizeof *r->res);
            if (r->res == NULL) {
                PQclear(res);
                return pg_host->fail(err, TN_E_NOMEM, "no memory for the result");
            }
            r->res[0] = res;
            r->n = 1;
        }
        return rc;
    case PG_STREAM_NEXT:
        if (!c->streaming) {
            return TN_OK; /* it has ended */
        }
        return pg_stream_next(c,
                              a->npos > 0 && a->pos[0].u.i > 0 && a->pos[0].u.i <= 100000
                                  ? (uint32_t)a->pos[0].u.i
                                  : 1000,
                              deadline_ns, r, err);
    case PG_CHECK:
        return pg_simple(c, "SELECT 1", deadline_ns, err);
    case PG_BEGIN:
        return pg_simple(c, "BEGIN", deadline_ns, err);
    case PG_COMMIT:
        return commit(c, deadline_ns, err);
    case PG_ROLLBACK:
        return PQtransactionStatus(c->pq) == PQTRANS_IDLE
                   ? TN_OK
                   : pg_simple(c, "ROLLBACK", deadline_ns, err);
    default:
        return pg_host->fail(err, TN_E_UNSUPP, "there is no method %u", method);
    }
}

static tn_rc on_invoke(void *inst, void *conn, uint32_t method, const tn_args *args,
                       uint64_t deadline_ns, tn_result *ret, tn_err *err)
{
    struct pg_result *r = calloc(1, sizeof *r);
    (void)inst;
    if (r == NULL) {
        return pg_host->fail(err, TN_E_NOMEM, "no memory for the result");
    }
    bell_hush(&((struct pg_conn *)conn)->bell);
    tn_rc rc = deadline_ns != 0 && pg_host->now_ns() >= deadline_ns
                   ? pg_host->fail(err, TN_E_TIMEOUT, "the deadline had passed before the start")
                   : run(conn, method, args, deadline_ns, r, err);
    r->ascii = pg_ascii(conn);
    if (rc != TN_OK) {
        free(r);
        return rc;
    }
    *ret = (tn_result){r, method, 0};
    return TN_OK;
}

static void on_cancel(void *inst, void *conn)
{
    (void)inst;
    bell_ring(&((struct pg_conn *)conn)->bell);
}

static const tn_connector_ops ops = {
    .size = sizeof ops,
    .methods = methods,
    .open = pg_open,
    .check = on_check,
    .reset = pg_reset,
    .close = pg_close,
    .invoke = on_invoke,
    .emit = pg_emit,
    .result_free = pg_result_free,
    .cancel = on_cancel,
};

TN_PLUGIN(.kind = TN_KIND_CONNECTOR, .flags = TN_P_THREAD_SAFE, .name = "postgresql",
          .version = "1.0.0", .summary = "PostgreSQL 10 and later",
          .caps = TN_CAP_QUERY | TN_CAP_TXN | TN_CAP_CANCEL | TN_CAP_STREAM, .config = fields,
          .conf_size = sizeof(struct pg_conf), .inst_size = sizeof(struct pg), .load = on_load,
          .attach = on_attach, .ops = &ops)
