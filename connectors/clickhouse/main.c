/* SPDX-License-Identifier: Apache-2.0 */
/* ClickHouse connector: settings, methods and the contract's functions. */
#include "clickhouse.h"

#include <stdlib.h>

const tn_host *ch_host; /* set once by load() */

static const char *const tls_modes[] = {"off", "on", "unverified", NULL};
static const char *const compressions[] = {"off", "lz4", "zstd", NULL};

static const tn_field fields[] = {
    {TN_FIELD(struct ch_conf, host), .dflt = "127.0.0.1", .min = 1, .max = 1000,
     .doc = "Server, with :port where it is another one; several with commas are tried in order."},
    {TN_FIELD(struct ch_conf, port), .dflt = "9000", .min = 1, .max = 65535,
     .doc = "Port of the native protocol; with TLS it is usually 9440."},
    {TN_FIELD(struct ch_conf, user), .dflt = "default", .max = 256, .doc = "User name."},
    {TN_FIELD(struct ch_conf, password), .doc = "Password."},
    {TN_FIELD(struct ch_conf, database), .dflt = "default", .max = 256, .doc = "Database."},
    {TN_FIELD(struct ch_conf, tls), .dflt = "off", .choices = tls_modes,
     .doc =
         "on: TLS, and the certificate must be valid for the host; unverified: TLS with any certificate; off: none."},
    {TN_FIELD(struct ch_conf, tls_ca), .max = 200000,
     .doc =
         "Certificates of the authorities to trust, as PEM text or the path of a file; default those of the system."},
    {TN_FIELD(struct ch_conf, tls_cert), .max = 200000,
     .doc = "Certificate of the client, as PEM text or the path of a file."},
    {TN_FIELD(struct ch_conf, tls_key), .doc = "Key of the client's certificate, as PEM text."},
    {TN_FIELD(struct ch_conf, compression), .dflt = "off", .choices = compressions,
     .doc = "How blocks are compressed, in both directions; zstd needs a server that knows it."},
    {TN_FIELD(struct ch_conf, settings), .max = 4000,
     .doc = "Settings of every statement: name=value, with commas between them."},
    {TN_FIELD(struct ch_conf, application), .dflt = "tenon", .min = 1, .max = 63,
     .doc = "Name of the client in the server's list of processes and its query log."},
    {TN_FIELD(struct ch_conf, revision), .dflt = "54459", .min = CH_REV_LEAST, .max = 54459,
     .doc =
         "Highest revision of the protocol that is offered; 54406 is one that servers of any age understand."},
    {TN_FIELD(struct ch_conf, max_result), .dflt = "256M", .min = 65536, .max = 4294967296,
     .doc = "Largest result of one query in memory, in bytes; stream() has no such limit."},
    {0},
};

#define MORE ", sql_params:any=None, settings:any=None, query_id:any=None"

static const tn_method methods[] = {
    {"query", "sql:str" MORE,
     "Runs a statement and returns its rows as a list of dicts; without a result an empty list. ? stands for a value (a list: "
     "several), ?? for a name. settings: a dict, for this statement alone.",
     CH_QUERY, 0},
    {"non_query", "sql:str" MORE,
     "Runs a statement and returns the number of rows it wrote, as far as the server tells.",
     CH_NON_QUERY, 0},
    {"execute", "sql:str" MORE,
     "Runs a statement and returns all that came: {'columns': [(name, type)], 'rows', 'totals', 'extremes', 'statistics'}.",
     CH_EXECUTE, 0},
    {"insert", "table:str, rows:list, columns:any=None, settings:any=None, query_id:any=None",
     "Inserts rows, which are lists or dicts, as blocks of the table's types; returns their number.",
     CH_INSERT, 0},
    {"check", "", "Asks the server for a sign of life.", CH_CHECK, 0},
    {"stream_start", "sql:str, sql_params:any=None", "Begins a query whose rows are fetched.",
     CH_STREAM_START, 0},
    {"stream_next", "size:int=1000", "The next rows; an empty list at the end.", CH_STREAM_NEXT, 0},
    {0},
};

static tn_rc on_load(const tn_host *host, tn_err *err)
{
    (void)err;
    ch_host = host;
    return TN_OK;
}

static tn_rc on_attach(void *inst, const void *conf, tn_err *err)
{
    struct ch *ch = inst;
    (void)err;
    ch->conf = conf;
    pthread_mutex_init(&ch->lock, NULL);
    zones_init(&ch->zones);
    return TN_OK;
}

static void on_detach(void *inst)
{
    struct ch *ch = inst;
    stream_tls_finish(&ch->tls);
    zones_finish(&ch->zones);
    pthread_mutex_destroy(&ch->lock);
}

static tn_rc run(struct ch_conn *c, uint32_t method, const tn_args *a, uint64_t deadline_ns,
                 struct ch_result *r, tn_err *err)
{
    struct ch_ask ask = {.params = a->npos > 1 ? &a->pos[1] : NULL,
                         .stream = method == CH_STREAM_START};
    bool statement = method == CH_QUERY || method == CH_NON_QUERY || method == CH_EXECUTE ||
                     method == CH_STREAM_START;
    if (c->streaming && method != CH_STREAM_NEXT) {
        return ch_host->fail(err, TN_E_INVAL, "a stream is open on this connection");
    }
    if (statement && (a->npos < 1 || a->pos[0].type != TN_T_STR)) {
        return ch_host->fail(err, TN_E_INVAL, "the statement must be text");
    }
    if (statement) {
        ask.sql = (tn_str){a->pos[0].n != 0 ? a->pos[0].u.s : "", a->pos[0].n};
        ask.settings = a->npos > 2 && method != CH_STREAM_START ? &a->pos[2] : NULL;
        ask.query_id = a->npos > 3 && method != CH_STREAM_START ? &a->pos[3] : NULL;
    }
    switch (method) {
    case CH_QUERY:
    case CH_NON_QUERY:
    case CH_EXECUTE:
        return ch_run(c, &ask, deadline_ns, r, err);
    case CH_INSERT:
        return ch_insert(c, a, deadline_ns, r, err);
    case CH_CHECK:
        return ch_check(c->inst, c, deadline_ns, err);
    case CH_STREAM_START:
        return ch_stream_start(c, &ask, deadline_ns, err);
    case CH_STREAM_NEXT:
        return ch_stream_next(c,
                              a->npos > 0 && a->pos[0].u.i > 0 && a->pos[0].u.i <= 100000
                                  ? (uint32_t)a->pos[0].u.i
                                  : 1000,
                              deadline_ns, r, err);
    default:
        return ch_host->fail(err, TN_E_UNSUPP, "there is no method %u", method);
    }
}

static tn_rc on_invoke(void *inst, void *conn, uint32_t method, const tn_args *args,
                       uint64_t deadline_ns, tn_result *ret, tn_err *err)
{
    struct ch_conn *c = conn;
    struct ch_result *r = calloc(1, sizeof *r);
    (void)inst;
    if (r == NULL) {
        return ch_host->fail(err, TN_E_NOMEM, "no memory for the result");
    }
    atomic_store(&c->canceled, false);
    atomic_store(&c->working, true);
    tn_rc rc = deadline_ns != 0 && ch_host->now_ns() >= deadline_ns
                   ? ch_host->fail(err, TN_E_TIMEOUT, "the deadline had passed before the start")
                   : run(c, method, args, deadline_ns, r, err);
    atomic_store(&c->working, false);
    if (rc == TN_E_UNAVAIL && atomic_load(&c->canceled)) {
        rc = ch_broken(ch_host->fail(err, TN_E_CANCELED, "the statement was told to stop"), err);
    }
    if (rc != TN_OK) {
        ch_result_drop(r);
        free(r);
        return rc;
    }
    *ret = (tn_result){r, method, 0};
    return TN_OK;
}

static const tn_connector_ops ops = {
    .size = sizeof ops,
    .methods = methods,
    .open = ch_open,
    .check = ch_check,
    .reset = ch_reset,
    .close = ch_close,
    .invoke = on_invoke,
    .emit = ch_emit,
    .result_free = ch_result_free,
    .cancel = ch_cancel,
};

TN_PLUGIN(.kind = TN_KIND_CONNECTOR, .flags = TN_P_THREAD_SAFE, .name = "clickhouse",
          .version = "1.0.0", .summary = "ClickHouse over its native protocol",
          .caps = TN_CAP_QUERY | TN_CAP_CANCEL | TN_CAP_STREAM, .config = fields,
          .conf_size = sizeof(struct ch_conf), .inst_size = sizeof(struct ch), .load = on_load,
          .attach = on_attach, .detach = on_detach, .ops = &ops)
