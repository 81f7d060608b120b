/* SPDX-License-Identifier: Apache-2.0 */
/* Oracle connector: settings, methods and the contract's functions. */
#include "oracle.h"

#include "common/label.h"

#include <stdlib.h>
#include <string.h>

const tn_host *ora_host; /* set once by load() */

static const char *const tls_modes[] = {"off", "on", "any-name", NULL};
static const char *const servers[] = {"", "dedicated", "shared", "pooled", NULL};

static const tn_field fields[] = {
    {TN_FIELD(struct ora_conf, host), .dflt = "127.0.0.1", .min = 1, .max = 255, .doc = "Server."},
    {TN_FIELD(struct ora_conf, port), .dflt = "1521", .min = 1, .max = 65535,
     .doc = "Port of its listener."},
    {TN_FIELD(struct ora_conf, user), .dflt = "", .max = 256,
     .doc =
         "User; proxy[user] signs in as one user through another. Empty, without a password: by the wallet."},
    {TN_FIELD(struct ora_conf, password), .doc = "Password."},
    {TN_FIELD(struct ora_conf, database), .dflt = "", .max = 128, .doc = "Name of the service."},
    {TN_FIELD(struct ora_conf, sid), .dflt = "", .max = 64,
     .doc = "SID of the instance, instead of a service."},
    {TN_FIELD(struct ora_conf, dsn), .dflt = "", .max = 8192,
     .doc = "Instead of host, port, database and TLS: a connect descriptor, an Easy Connect text "
            "(host:1522/service) or an alias of the tnsnames.ora that the client library finds."},
    {TN_FIELD(struct ora_conf, charset), .dflt = "utf8", .max = 32,
     .doc = "Accepted for compatibility: texts travel as UTF-8, the client converts."},
    {TN_FIELD(struct ora_conf, tls), .dflt = "off", .choices = tls_modes,
     .doc =
         "on: TCPS, and the certificate must be valid for the host; any-name: TCPS with a valid certificate of "
         "any name; off: TCP."},
    {TN_FIELD(struct ora_conf, wallet), .dflt = "", .max = 4096,
     .doc =
         "Folder of the wallet (cwallet.sso) with the authorities to trust and the certificate of the client."},
    {TN_FIELD(struct ora_conf, server), .dflt = "", .choices = servers,
     .doc = "Kind of server process; pooled: of the server's own pool (DRCP)."},
    {TN_FIELD(struct ora_conf, client), .dflt = "", .max = 4000,
     .doc =
         "Folder of Oracle's client library libclntsh.so; empty: the system's libraries, $ORACLE_HOME/lib. The same "
         "for all connectors."},
    {TN_FIELD(struct ora_conf, application), .dflt = "tenon", .min = 1, .max = 64,
     .doc = "MODULE in v$session."},
    {TN_FIELD(struct ora_conf, stmt_cache), .dflt = "20", .min = 0, .max = 1000,
     .doc = "Statements a connection keeps parsed."},
    {TN_FIELD(struct ora_conf, array_size), .dflt = "256", .min = 1, .max = 10000,
     .doc = "Rows of a fetch at most; fewer when rows are wide."},
    {TN_FIELD(struct ora_conf, prefetch_rows), .dflt = "2", .min = 0, .max = 10000,
     .doc = "Rows that come with the answer to the statement itself."},
    {TN_FIELD(struct ora_conf, fresh_session), .dflt = "false",
     .doc = "Every call begins with a new session."},
    {TN_FIELD(struct ora_conf, max_result), .dflt = "256M", .min = 65536, .max = 4294967296,
     .doc = "Largest result of one query in memory, in bytes; stream() reads any."},
    {0},
};

static const tn_method methods[] = {
    {"query", "sql:str, sql_params:any=None",
     "Runs a statement and returns its rows as a list of dicts; without a result an empty list. ? binds a value (a "
     "list: several, a dict: k = v), ?? quotes a name; :1 and :name take a list and a dict.",
     ORA_QUERY, 0},
    {"non_query", "sql:str, sql_params:any=None",
     "Runs a statement and returns the number of rows it changed. VALUES ? with a list of rows sends them as arrays.",
     ORA_NON_QUERY, 0},
    {"execute_many", "sql:str, rows:list, batch_errors:bool=False",
     "Runs a statement for each of the rows, sent as arrays, and returns the number of rows it changed. With "
     "batch_errors rows that are refused do not stop the others: {rows: …, errors: [{row, code, message}]}.",
     ORA_MANY, 0},
    {"call", "sql:str, params:any=None, out:any=None",
     "Runs a block (or a statement with RETURNING) with :names; params gives values, out names the types of what comes "
     "out (int, decimal, float, str, bytes, datetime, datetime_tz, timedelta, bool, clob, blob, cursor). Returns a dict of it.",
     ORA_CALL, 0},
    {"check", "", "Asks the server something cheap.", ORA_CHECK, 0},
    {"begin", "", "Begins a transaction.", ORA_BEGIN, 0},
    {"commit", "", "Ends the transaction and keeps its changes.", ORA_COMMIT, 0},
    {"rollback", "", "Ends the transaction, if there is one, and drops its changes.", ORA_ROLLBACK,
     0},
    {"stream_start", "sql:str, sql_params:any=None", "Begins a query whose rows are fetched.",
     ORA_STREAM_START, 0},
    {"stream_next", "size:int=1000", "The next rows; an empty list at the end.", ORA_STREAM_NEXT,
     0},
    {0},
};

static tn_rc on_load(const tn_host *host, tn_err *err)
{
    (void)err;
    ora_host = host;
    return TN_OK;
}

static tn_rc on_attach(void *inst, const void *conf, tn_err *err)
{
    (void)err;
    ((struct ora *)inst)->conf = conf;
    return TN_OK;
}

/* ---- methods ----------------------------------------------------------------------------------------- */

static tn_rc prepare(struct ora_job *job, struct ora_conn *c, uint32_t method, const tn_args *a,
                     tn_err *err)
{
    if (c->streaming && method != ORA_STREAM_NEXT) {
        return ora_host->fail(err, TN_E_INVAL, "a stream is open on this connection");
    }
    char label[LABEL_MAX];
    label_caller(ora_host, label);
    memcpy(job->label, label, strnlen(label, ORA_LABEL_MAX));
    job->method = method;
    if (method == ORA_STREAM_NEXT) {
        int64_t size = a->npos > 0 && a->pos[0].type == TN_T_INT ? a->pos[0].u.i : 1000;
        job->max = size > 0 && size <= 100000 ? (uint64_t)size : 1000;
        return TN_OK;
    }
    if (method == ORA_CHECK) {
        return ora_fill(job, TN_STR("SELECT 1 FROM dual"), NULL, err);
    }
    if (a->npos < 1 || a->pos[0].type != TN_T_STR) {
        return ora_host->fail(err, TN_E_INVAL, "the statement must be text");
    }
    tn_str sql = {a->pos[0].u.s, a->pos[0].n};
    const tn_val *second = a->npos > 1 ? &a->pos[1] : NULL,
                 *third = a->npos > 2 ? &a->pos[2] : NULL;
    return method == ORA_MANY
               ? ora_fill_many(job, sql, second, third != NULL && third->u.i != 0, err)
           : method == ORA_CALL ? ora_fill_call(job, sql, second, third, err)
                                : ora_fill(job, sql, second, err);
}

static tn_rc work(struct ora_conn *c, uint32_t method, const tn_args *args, uint64_t deadline_ns,
                  struct ora_job **ret, tn_err *err)
{
    struct ora_job *job = ora_job_new(method == ORA_STREAM_START  ? ora_stream_start
                                      : method == ORA_STREAM_NEXT ? ora_stream_next
                                                                  : ora_exec,
                                      err);
    if (job == NULL) {
        return TN_E_NOMEM;
    }
    tn_rc rc = prepare(job, c, method, args, err);
    if (rc != TN_OK) {
        ora_job_free(&job->base);
        return rc;
    }
    rc = ora_do(c, job, deadline_ns, err);
    c->streaming = rc == TN_OK &&
                   (method == ORA_STREAM_START || (method == ORA_STREAM_NEXT && !job->end));
    *ret = rc == TN_OK ? job : NULL;
    return rc;
}

static tn_rc on_invoke(void *inst, void *conn, uint32_t method, const tn_args *args,
                       uint64_t deadline_ns, tn_result *ret, tn_err *err)
{
    struct ora_conn *c = conn;
    struct ora_job *job = NULL;
    tn_rc rc = TN_OK;
    (void)inst;
    if (method == 0 || method > ORA_STREAM_NEXT) {
        return ora_host->fail(err, TN_E_UNSUPP, "there is no method %u", method);
    }
    hand_begin(c->hand);
    if (method == ORA_BEGIN || method == ORA_COMMIT || method == ORA_ROLLBACK) {
        rc = ora_transact(c, method, deadline_ns, err);
    } else if (method != ORA_STREAM_NEXT || c->streaming) {
        rc = work(c, method, args, deadline_ns, &job, err);
    } /* otherwise the stream has ended */
    if (rc == TN_OK) {
        *ret = (tn_result){job, method, 0};
    }
    return rc;
}

static tn_rc on_check(void *inst, void *conn, uint64_t deadline_ns, tn_err *err)
{
    tn_result r = {NULL, 0, 0};
    tn_args none = {NULL, 0, 0, NULL};
    tn_rc rc = on_invoke(inst, conn, ORA_CHECK, &none, deadline_ns, &r, err);
    ora_job_free(r.native);
    return rc;
}

/* ---- results ----------------------------------------------------------------------------------------- */

static tn_rc emit_errors(const struct ora_job *job, tn_sink *sink, tn_err *err)
{
    tn_val n = {.type = TN_T_INT, .u.i = job->affected};
    tn_rc rc = sink->ops->map_begin(sink, 2);
    rc = rc == TN_OK ? sink->ops->key(sink, "rows", 4) : rc;
    rc = rc == TN_OK ? sink->ops->scalar(sink, &n) : rc;
    rc = rc == TN_OK ? sink->ops->key(sink, "errors", 6) : rc;
    rc = rc == TN_OK ? cells_emit(ora_host, &job->rows, sink, err) : rc;
    return rc == TN_OK ? sink->ops->map_end(sink) : rc;
}

static tn_rc on_emit(void *inst, const tn_result *r, tn_sink *sink, tn_err *err)
{
    static const struct cells none = {.ncols = 0};
    const struct ora_job *job = r->native;
    tn_val v = {.type = TN_T_NULL};
    (void)inst;
    switch (r->method) {
    case ORA_QUERY:
    case ORA_STREAM_NEXT:
        return cells_emit(ora_host, job != NULL ? &job->rows : &none, sink, err);
    case ORA_CALL:
        return ora_out_emit(job, sink, err);
    case ORA_MANY:
        if (job->keep_errors) {
            return emit_errors(job, sink, err);
        }
        v = (tn_val){.type = TN_T_INT, .u.i = job->affected};
        break;
    case ORA_NON_QUERY:
        v = (tn_val){.type = TN_T_INT, .u.i = job->affected};
        break;
    default:
        break;
    }
    return sink->ops->scalar(sink, &v);
}

static void on_free(void *inst, tn_result *r)
{
    (void)inst;
    ora_job_free(r->native);
    r->native = NULL;
}

static const tn_connector_ops ops = {
    .size = sizeof ops,
    .methods = methods,
    .open = ora_open,
    .check = on_check,
    .reset = ora_reset,
    .close = ora_close,
    .invoke = on_invoke,
    .emit = on_emit,
    .result_free = on_free,
    .cancel = ora_cancel,
};

TN_PLUGIN(.kind = TN_KIND_CONNECTOR, .flags = TN_P_THREAD_SAFE, .name = "oracle",
          .version = "1.0.0", .summary = "Oracle Database, through Oracle's client library",
          .caps = TN_CAP_QUERY | TN_CAP_TXN | TN_CAP_CANCEL | TN_CAP_STREAM, .config = fields,
          .conf_size = sizeof(struct ora_conf), .inst_size = sizeof(struct ora), .load = on_load,
          .attach = on_attach, .ops = &ops)
