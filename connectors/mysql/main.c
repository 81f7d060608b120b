/* SPDX-License-Identifier: Apache-2.0 */
/* MySQL and MariaDB connector: settings, methods and the contract's functions. */
#include "mysql_conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const tn_host *my_host; /* set once by load() */

static const char *const tls_modes[] = {"prefer", "on", "unverified", "off", NULL};

static const tn_field fields[] = {
    {TN_FIELD(struct my_conf, host), .dflt = "127.0.0.1", .min = 1, .max = 255, .doc = "Server."},
    {TN_FIELD(struct my_conf, port), .dflt = "3306", .min = 1, .max = 65535, .doc = "TCP port."},
    {TN_FIELD(struct my_conf, user), .dflt = "root", .max = 256, .doc = "User name."},
    {TN_FIELD(struct my_conf, password), .doc = "Password."},
    {TN_FIELD(struct my_conf, database), .max = 256, .doc = "Database; empty: none is chosen."},
    {TN_FIELD(struct my_conf, charset), .dflt = "utf8mb4", .max = 32,
     .doc = "Accepted for compatibility: texts always travel as utf8mb4, the server converts."},
    {TN_FIELD(struct my_conf, timezone), .max = 64,
     .doc = "time_zone of the sessions, such as +08:00; empty: the server's."},
    {TN_FIELD(struct my_conf, tls), .dflt = "prefer", .choices = tls_modes,
     .doc = "on: TLS, and the certificate must be valid for the host; unverified: TLS with any "
            "certificate; prefer: TLS with any certificate if the server has it; off: none."},
    {TN_FIELD(struct my_conf, tls_ca), .max = 200000,
     .doc = "Certificates of the authorities to trust, as PEM text or the path of a file; default "
            "those of the system."},
    {TN_FIELD(struct my_conf, tls_cert), .max = 200000,
     .doc = "Certificate of the client, as PEM text or the path of a file."},
    {TN_FIELD(struct my_conf, tls_key), .doc = "Key of the client's certificate, as PEM text."},
    {TN_FIELD(struct my_conf, application), .dflt = "tenon", .min = 1, .max = 63,
     .doc = "program_name in performance_schema.session_connect_attrs."},
    {TN_FIELD(struct my_conf, multi_statements), .dflt = "false",
     .doc =
         "Several statements in one text without parameters; off, because that is how injections look."},
    {TN_FIELD(struct my_conf, max_result), .dflt = "256M", .min = 65536, .max = 4294967296,
     .doc = "Largest result of one query in memory, in bytes; stream() reads any."},
    {0},
};

static const tn_method methods[] = {
    {"query", "sql:str, sql_params:any=None",
     "Runs a statement and returns its rows as a list of dicts; without a result an empty list. ? "
     "binds a value (a list: several, a dict: k = v), ?? quotes a name.",
     MY_QUERY, 0},
    {"non_query", "sql:str, sql_params:any=None",
     "Runs a statement and returns the number of rows it changed.", MY_NON_QUERY, 0},
    {"check", "", "Asks the server something cheap.", MY_CHECK, 0},
    {"clear_table", "table:str", "Deletes all rows of a table (TRUNCATE).", MY_CLEAR_TABLE, 0},
    {"begin", "", "Begins a transaction.", MY_BEGIN, 0},
    {"commit", "", "Ends the transaction and keeps its changes.", MY_COMMIT, 0},
    {"rollback", "", "Ends the transaction, if there is one, and drops its changes.", MY_ROLLBACK,
     0},
    {"stream_start", "sql:str, sql_params:any=None", "Begins a query whose rows are fetched.",
     MY_STREAM_START, 0},
    {"stream_next", "size:int=1000", "The next rows; an empty list at the end.", MY_STREAM_NEXT, 0},
    {0},
};

static tn_rc on_load(const tn_host *host, tn_err *err)
{
    my_host = host;
    if (mysql_library_init(0, NULL, NULL) != 0) {
        return host->fail(err, TN_E_INTERNAL, "the client library does not start");
    }
    return mysql_thread_safe()
               ? TN_OK
               : host->fail(err, TN_E_UNSUPP, "this client library was built without threads");
}

static tn_rc on_attach(void *inst, const void *conf, tn_err *err)
{
    (void)err;
    ((struct my *)inst)->conf = conf;
    return TN_OK;
}

static tn_rc on_check(void *inst, void *conn, uint64_t deadline_ns, tn_err *err)
{
    (void)inst;
    return my_simple(conn, "SELECT 1", deadline_ns, err);
}

static tn_rc clear_table(struct my_conn *c, const tn_val *name, uint64_t deadline_ns, tn_err *err)
{
    const tn_str sql = TN_STR("TRUNCATE TABLE ??");
    const tn_val list = {.type = TN_T_LIST, .n = 1, .u.list = name};
    return my_exec(c, sql, &list, deadline_ns, NULL, NULL, err);
}

static tn_rc stream_next(struct my_conn *c, const tn_args *a, uint64_t deadline_ns,
                         struct my_rows *rows, tn_err *err)
{
    int64_t size = a->npos > 0 && a->pos[0].type == TN_T_INT ? a->pos[0].u.i : 1000;
    bool end = false;
    if (!c->streaming) {
        return TN_OK; /* it has ended */
    }
    tn_rc rc = my_fetch(c, size > 0 && size <= 100000 ? (uint64_t)size : 1000, deadline_ns, rows,
                        &end, err);
    if (rc == TN_OK && end) {
        rc = my_rest(c, deadline_ns, rows, &rows->affected, err);
    }
    if (rc == TN_OK && end) {
        my_finish(c);
    }
    return rc;
}

static tn_rc run(struct my_conn *c, uint32_t method, const tn_args *a, uint64_t deadline_ns,
                 struct my_rows *rows, tn_err *err)
{
    if (c->streaming && method != MY_STREAM_NEXT) {
        return my_host->fail(err, TN_E_INVAL, "a stream is open on this connection");
    }
    switch (method) {
    case MY_QUERY:
    case MY_NON_QUERY:
    case MY_CLEAR_TABLE:
    case MY_STREAM_START:
        if (a->npos < 1 || a->pos[0].type != TN_T_STR) {
            return my_host->fail(err, TN_E_INVAL, "the %s must be text",
                                 method == MY_CLEAR_TABLE ? "table" : "statement");
        }
        const tn_str sql = {a->pos[0].u.s, a->pos[0].n};
        const tn_val *params = a->npos > 1 ? &a->pos[1] : NULL;
        if (method == MY_CLEAR_TABLE) {
            return clear_table(c, &a->pos[0], deadline_ns, err);
        }
        if (method == MY_STREAM_START) {
            tn_rc rc = my_start(c, sql, params, deadline_ns, err);
            c->streaming = rc == TN_OK;
            return rc;
        }
        return my_exec(c, sql, params, deadline_ns, method == MY_QUERY ? rows : NULL,
                       &rows->affected, err);
    case MY_STREAM_NEXT:
        return stream_next(c, a, deadline_ns, rows, err);
    case MY_CHECK:
        return my_simple(c, "SELECT 1", deadline_ns, err);
    case MY_BEGIN:
        return my_simple(c, "START TRANSACTION", deadline_ns, err);
    case MY_COMMIT:
        return my_simple(c, "COMMIT", deadline_ns, err);
    case MY_ROLLBACK:
        return my_simple(c, "ROLLBACK", deadline_ns, err);
    default:
        return my_host->fail(err, TN_E_UNSUPP, "there is no method %u", method);
    }
}

/* A deadlock costs the whole transaction (InnoDB manual, "Error Handling"), a full lock table too; other errors do not. An
 * error says nothing of it, the answer to the next statement does. */
static bool transaction_left(struct my_conn *c)
{
    return my_simple(c, "DO 0", my_host->now_ns() + 2000000000ull, NULL) == TN_OK &&
           (c->my->server_status & SERVER_STATUS_IN_TRANS) != 0;
}

/* What follows on a transaction that is gone would be kept at once, each statement for itself. */
static tn_rc transact(struct my_conn *c, uint32_t method, const tn_args *args, uint64_t deadline_ns,
                      struct my_rows *rows, tn_err *err)
{
    if (c->lost && method != MY_ROLLBACK) {
        return my_host->fail(err, TN_E_CONFLICT,
                             "the server has ended this transaction, with the error before: end it "
                             "with rollback() and begin again");
    }
    tn_err why = TN_ERR_INIT;
    tn_rc rc = run(c, method, args, deadline_ns, rows, &why);
    if (rc == TN_OK && (method == MY_COMMIT || method == MY_ROLLBACK)) {
        c->transaction = c->lost = false;
    } else if (rc != TN_OK && (why.flags & TN_ERR_CONN_BROKEN) == 0 && !c->late && !c->streaming) {
        c->lost = !transaction_left(c);
    }
    if (rc != TN_OK && err != NULL) {
        *err = why;
    }
    return rc;
}

static tn_rc on_invoke(void *inst, void *conn, uint32_t method, const tn_args *args,
                       uint64_t deadline_ns, tn_result *ret, tn_err *err)
{
    struct my_conn *c = conn;
    struct my_rows *rows = calloc(1, sizeof *rows);
    (void)inst;
    if (rows == NULL) {
        return my_host->fail(err, TN_E_NOMEM, "no memory for the result");
    }
    bell_hush(&c->bell);
    tn_rc rc = deadline_ns != 0 && my_host->now_ns() >= deadline_ns
                   ? my_host->fail(err, TN_E_TIMEOUT, "the deadline had passed before the start")
               : c->transaction ? transact(c, method, args, deadline_ns, rows, err)
                                : run(c, method, args, deadline_ns, rows, err);
    c->transaction |= rc == TN_OK && method == MY_BEGIN;
    if (rc != TN_OK) {
        my_rows_finish(rows);
        free(rows);
        return rc;
    }
    *ret = (tn_result){rows, method, 0};
    return TN_OK;
}

static tn_rc on_emit(void *inst, const tn_result *r, tn_sink *sink, tn_err *err)
{
    const struct my_rows *rows = r->native;
    tn_val v = {.type = TN_T_NULL};
    (void)inst;
    if (r->method == MY_QUERY || r->method == MY_STREAM_NEXT) {
        return my_rows_emit(rows, sink, err);
    }
    if (r->method == MY_NON_QUERY) {
        v = (tn_val){.type = TN_T_INT, .u.i = rows->affected};
    }
    return sink->ops->scalar(sink, &v);
}

static void on_free(void *inst, tn_result *r)
{
    (void)inst;
    if (r->native != NULL) {
        my_rows_finish(r->native);
    }
    free(r->native);
    r->native = NULL;
}

static const tn_connector_ops ops = {
    .size = sizeof ops,
    .methods = methods,
    .open = my_open,
    .check = on_check,
    .reset = my_reset,
    .close = my_close,
    .invoke = on_invoke,
    .emit = on_emit,
    .result_free = on_free,
    .cancel = my_cancel,
};

TN_PLUGIN(.kind = TN_KIND_CONNECTOR, .flags = TN_P_THREAD_SAFE, .name = "mysql", .version = "1.0.0",
          .summary = "MySQL 5.7 and MariaDB 10.3, and later",
          .caps = TN_CAP_QUERY | TN_CAP_TXN | TN_CAP_CANCEL | TN_CAP_STREAM, .config = fields,
          .conf_size = sizeof(struct my_conf), .inst_size = sizeof(struct my), .load = on_load,
          .attach = on_attach, .ops = &ops)
