/* SPDX-License-Identifier: Apache-2.0 */
/* SQL Server connector: settings, methods and the contract's functions. */
#include "sqlserver.h"

#include <stdlib.h>
#include <string.h>

const tn_host *ss_host; /* set once by load() */

static const char *const tls_modes[] = {"on", "unverified", "prefer", "off", NULL};
static const struct sql_dialect dialect = {.flags = SQL_NESTED_NOTES | SQL_NULL_TEXT, .quote = '['};

static const tn_field fields[] = {
    {TN_FIELD(struct ss_conf, host), .dflt = "127.0.0.1", .min = 1, .max = 255, .doc = "Server."},
    {TN_FIELD(struct ss_conf, port), .dflt = "1433", .min = 1, .max = 65535, .doc = "TCP port."},
    {TN_FIELD(struct ss_conf, user), .dflt = "sa", .max = 128, .doc = "Login."},
    {TN_FIELD(struct ss_conf, password), .doc = "Password."},
    {TN_FIELD(struct ss_conf, database), .max = 128, .doc = "Database; empty: the login's own."},
    {TN_FIELD(struct ss_conf, charset), .dflt = "utf8", .max = 32,
     .doc = "Accepted for compatibility: texts travel as Unicode."},
    {TN_FIELD(struct ss_conf, tls), .dflt = "on", .choices = tls_modes,
     .doc = "on: TLS, and the certificate must be valid for the host; unverified: TLS with any "
            "certificate; prefer: if the server has it, at least for the sign-in; off: none."},
    {TN_FIELD(struct ss_conf, tls_ca), .max = 200000,
     .doc = "Certificates of the authorities to trust, as PEM text or the path of a file; default "
            "those of the system."},
    {TN_FIELD(struct ss_conf, tls_cert), .max = 200000,
     .doc = "Refused: SQL Server asks no client for a certificate, and FreeTDS cannot show one."},
    {TN_FIELD(struct ss_conf, tls_key), .doc = "Refused like tls_cert."},
    {TN_FIELD(struct ss_conf, application), .dflt = "tenon", .min = 1, .max = 127,
     .doc = "program_name in sys.dm_exec_sessions."},
    {TN_FIELD(struct ss_conf, driver), .dflt = "FreeTDS", .min = 1, .max = 255,
     .doc =
         "Driver as named in odbcinst.ini, or the path of its library. Any other than FreeTDS gets "
         "the words of Microsoft's driver."},
    {TN_FIELD(struct ss_conf, read_only), .dflt = "false",
     .doc = "Says that only reading is intended, so that a cluster may answer from a replica."},
    {TN_FIELD(struct ss_conf, max_result), .dflt = "256M", .min = 65536, .max = 4294967296,
     .doc = "Largest result of one query in memory, in bytes; stream() reads any."},
    {0},
};

static const tn_method methods[] = {
    {"query", "sql:str, sql_params:any=None",
     "Runs a statement and returns its rows as a list of dicts; of several results the first one, without "
     "a result an empty list. ? binds a value (a list: several, a dict: k = v), ?? quotes a name.",
     SS_QUERY, 0},
    {"query_all", "sql:str, sql_params:any=None",
     "Runs statements and returns all their results: a list of lists of dicts.", SS_QUERY_ALL, 0},
    {"non_query", "sql:str, sql_params:any=None",
     "Runs a statement and returns the number of rows it changed.", SS_NON_QUERY, 0},
    {"check", "", "Asks the server something cheap.", SS_CHECK, 0},
    {"begin", "", "Begins a transaction.", SS_BEGIN, 0},
    {"commit", "", "Ends the transaction and keeps its changes.", SS_COMMIT, 0},
    {"rollback", "", "Ends the transaction, if there is one, and drops its changes.", SS_ROLLBACK,
     0},
    {"stream_start", "sql:str, sql_params:any=None", "Begins a query whose rows are fetched.",
     SS_STREAM_START, 0},
    {"stream_next", "size:int=1000", "The next rows; an empty list at the end.", SS_STREAM_NEXT, 0},
    {0},
};

static tn_rc on_load(const tn_host *host, tn_err *err)
{
    (void)err;
    ss_host = host;
    ss_driver_load();
    return TN_OK;
}

static tn_rc on_attach(void *inst, const void *conf, tn_err *err)
{
    struct ss *s = inst;
    s->conf = conf;
    s->ca_fd = -1;
    bool cert = s->conf->tls_cert != NULL && s->conf->tls_cert[0] != '\0';
    if (cert || (s->conf->tls_key.s != NULL && s->conf->tls_key.s[0] != '\0')) {
        return ss_host->fail(
            err, TN_E_CONFIG,
            "%s: SQL Server asks no client for a certificate, and FreeTDS cannot show one; leave it out and sign in with "
            "user and password",
            cert ? "tls_cert" : "tls_key");
    }
    return TN_OK;
}

static void on_detach(void *inst)
{
    ss_driver_detach(inst);
}

/* ---- methods ----------------------------------------------------------------------------------------- */

static tn_rc fill(struct ss_job *job, struct ss_conn *c, uint32_t method, tn_str sql,
                  const tn_val *params, tn_err *err)
{
    struct sql_text t = {.sql = NULL};
    tn_rc rc = sql_translate(ss_host, &dialect, sql, params, &t, err);
    if (rc != TN_OK) {
        return rc;
    }
    rc = ss_params(&t, job, err);
    if (rc == TN_OK) {
        job->sql = t.sql;
        job->sql_len = t.n;
        t.sql = NULL;
        c->dirty = c->dirty || ss_leaves_state(job->sql, job->sql_len);
    }
    job->all = method == SS_QUERY_ALL;
    job->drop = method == SS_NON_QUERY || method == SS_CHECK;
    sql_text_finish(&t);
    return rc;
}

static tn_rc next(struct ss_job *job, const tn_args *a)
{
    int64_t size = a->npos > 0 && a->pos[0].type == TN_T_INT ? a->pos[0].u.i : 1000;
    job->max = size > 0 && size <= 100000 ? (uint64_t)size : 1000;
    return TN_OK;
}

static tn_rc prepare(struct ss_job *job, struct ss_conn *c, uint32_t method, const tn_args *a,
                     tn_err *err)
{
    if (c->streaming && method != SS_STREAM_NEXT) {
        return ss_host->fail(err, TN_E_INVAL, "a stream is open on this connection");
    }
    if (method == SS_STREAM_NEXT) {
        return next(job, a);
    }
    if (method == SS_CHECK) {
        return fill(job, c, method, TN_STR("SELECT 1"), NULL, err);
    }
    if (a->npos < 1 || a->pos[0].type != TN_T_STR ||
        memchr(a->pos[0].u.s, '\0', a->pos[0].n) != NULL) {
        return ss_host->fail(err, TN_E_INVAL, "the statement must be text without NUL");
    }
    return fill(job, c, method, (tn_str){a->pos[0].u.s, a->pos[0].n},
                a->npos > 1 ? &a->pos[1] : NULL, err);
}

static tn_rc work(struct ss_conn *c, uint32_t method, const tn_args *args, uint64_t deadline_ns,
                  struct ss_job **ret, tn_err *err)
{
    struct ss_job *job = ss_job_new(method == SS_STREAM_START  ? ss_stream_start
                                    : method == SS_STREAM_NEXT ? ss_stream_next
                                                               : ss_exec,
                                    err);
    if (job == NULL) {
        return TN_E_NOMEM;
    }
    tn_rc rc = prepare(job, c, method, args, err);
    if (rc != TN_OK) {
        ss_job_free(&job->base);
        return rc;
    }
    rc = ss_do(c, job, deadline_ns, err);
    c->streaming = rc == TN_OK &&
                   (method == SS_STREAM_START || (method == SS_STREAM_NEXT && !job->end));
    *ret = rc == TN_OK ? job : NULL;
    return rc;
}

static tn_rc on_invoke(void *inst, void *conn, uint32_t method, const tn_args *args,
                       uint64_t deadline_ns, tn_result *ret, tn_err *err)
{
    struct ss_conn *c = conn;
    (void)inst;
    if (method == 0 || method > SS_STREAM_NEXT) {
        return ss_host->fail(err, TN_E_UNSUPP, "there is no method %u", method);
    }
    hand_begin(c->hand);
    if (c->lost && method != SS_ROLLBACK) {
        return ss_host->fail(err, TN_E_CONFLICT,
                             "the server has rolled this transaction back, because of the error "
                             "before: end it with rollback() and begin again");
    }
    struct ss_job *job = NULL;
    tn_rc rc = TN_OK;
    if (c->lost) { /* there is nothing to roll back; the driver believes otherwise */
        c->lost = c->transaction = false;
        c->dirty = true;
    } else if (method == SS_BEGIN || method == SS_COMMIT ||
               (method == SS_ROLLBACK && c->transaction)) {
        rc = ss_transact(c, method, deadline_ns, err);
    } else if (method != SS_ROLLBACK && (method != SS_STREAM_NEXT || c->streaming)) {
        rc = work(c, method, args, deadline_ns, &job, err);
    } /* otherwise there is no transaction, or the stream has ended */
    if (rc == TN_OK) {
        *ret = (tn_result){job, method, 0};
    }
    return rc;
}

static tn_rc on_check(void *inst, void *conn, uint64_t deadline_ns, tn_err *err)
{
    tn_result r = {NULL, 0, 0};
    tn_args none = {NULL, 0, 0, NULL};
    tn_rc rc = on_invoke(inst, conn, SS_CHECK, &none, deadline_ns, &r, err);
    ss_job_free(r.native);
    return rc;
}

/* ---- results ----------------------------------------------------------------------------------------- */

static tn_rc emit_all(const struct ss_rows *rows, tn_sink *sink, tn_err *err)
{
    tn_rc rc = sink->ops->list_begin(sink, -1);
    for (; rc == TN_OK && rows != NULL; rows = rows->next) {
        rc = ss_rows_emit(rows, sink, err);
    }
    return rc == TN_OK ? sink->ops->list_end(sink) : rc;
}

static tn_rc on_emit(void *inst, const tn_result *r, tn_sink *sink, tn_err *err)
{
    static const struct ss_rows none = {.ncols = 0};
    const struct ss_job *job = r->native;
    tn_val v = {.type = TN_T_NULL};
    (void)inst;
    switch (r->method) {
    case SS_QUERY:
    case SS_STREAM_NEXT:
        return ss_rows_emit(job != NULL && job->rows != NULL ? job->rows : &none, sink, err);
    case SS_QUERY_ALL:
        return emit_all(job != NULL ? job->rows : NULL, sink, err);
    case SS_NON_QUERY:
        v = (tn_val){.type = TN_T_INT, .u.i = job != NULL ? job->affected : 0};
        break;
    default:
        break;
    }
    return sink->ops->scalar(sink, &v);
}

static void on_free(void *inst, tn_result *r)
{
    (void)inst;
    ss_job_free(r->native);
    r->native = NULL;
}

static const tn_connector_ops ops = {
    .size = sizeof ops,
    .methods = methods,
    .open = ss_open,
    .check = on_check,
    .reset = ss_reset,
    .close = ss_close,
    .invoke = on_invoke,
    .emit = on_emit,
    .result_free = on_free,
    .cancel = ss_cancel,
};

TN_PLUGIN(.kind = TN_KIND_CONNECTOR, .flags = TN_P_THREAD_SAFE, .name = "sqlserver",
          .version = "1.0.0", .summary = "SQL Server 2008 and later, through ODBC",
          .caps = TN_CAP_QUERY | TN_CAP_TXN | TN_CAP_CANCEL | TN_CAP_STREAM, .config = fields,
          .conf_size = sizeof(struct ss_conf), .inst_size = sizeof(struct ss), .load = on_load,
          .attach = on_attach, .detach = on_detach, .ops = &ops)
