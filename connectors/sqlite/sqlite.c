/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite connector: configuration, methods and the contract's functions. */
#include "sqlite.h"

#include <stdlib.h>
#include <string.h>

static const char *const synchronous[] = {"full", "normal", "extra", NULL};
static const char *const journals[] = {"wal", "delete", NULL};
static const char *const vacuums[] = {"none", "incremental", NULL};

static const tn_field fields[] = {
    {TN_FIELD(struct config, path), .flags = TN_F_REQUIRED, .min = 1, .max = 4000,
     .doc = "Database file; it is created when it does not exist. \":memory:\" keeps nothing."},
    {TN_FIELD(struct config, readonly), .dflt = "false",
     .doc = "Open an existing file for reading only."},
    {TN_FIELD(struct config, busy_timeout), .dflt = "5s", .min = 0, .max = 600000,
     .doc = "Longest wait for a lock that another connection holds."},
    {TN_FIELD(struct config, synchronous), .dflt = "full", .choices = synchronous,
     .doc = "full: a commit survives power loss; normal: the last commits may be lost then, the "
            "file stays whole; extra: full, and the folder is synced as well."},
    {TN_FIELD(struct config, journal), .dflt = "wal", .choices = journals,
     .doc = "wal: readers and the writer do not block each other; delete: one file, for network "
            "or read-mostly use."},
    {TN_FIELD(struct config, auto_vacuum), .dflt = "none", .choices = vacuums,
     .doc =
         "incremental: PRAGMA incremental_vacuum gives freed pages back to the file system. Counts "
         "when the file is made."},
    {TN_FIELD(struct config, allow_attach), .dflt = "false",
     .doc = "Allow attach(): scripts may then open every database file that the platform may."},
    {TN_FIELD(struct config, foreign_keys), .dflt = "true", .doc = "Enforce foreign keys."},
    {TN_FIELD(struct config, max_result), .dflt = "256M", .min = 65536, .max = 4294967296,
     .doc = "Largest result of one query in memory, in bytes."},
    {.name = NULL},
};

enum {
    QUERY = 1,
    NON_QUERY,
    SCRIPT,
    BACKUP,
    ATTACH, /* up to here the first argument is a text */
    BEGIN,
    COMMIT,
    ROLLBACK,
    STREAM_START,
    STREAM_NEXT,
    CHECK
};

static const tn_method methods[] = {
    {"query", "sql:str, params:list=[]",
     "Runs one statement with bound parameters (? or :name; ?? for names, lists and dicts as with all "
     "SQL connectors) and returns its rows as a list of dicts; a statement without a result gives an "
     "empty list.",
     QUERY, 0},
    {"non_query", "sql:str, params:list=[]",
     "Runs one statement with bound parameters and returns the number of rows it changed.",
     NON_QUERY, 0},
    {"script", "sql:str",
     "Runs several statements without parameters, one after the other, and returns the number of "
     "rows changed in all. Wrap them in BEGIN and COMMIT to have all or none.",
     SCRIPT, 0},
    {"backup", "path:str",
     "Copies the whole database into a new file while it is in use; returns the number of pages.",
     BACKUP, 0},
    {"attach", "name:str, path:str",
     "Opens a further database file, whose tables can then be read as name.table. Needs "
     "allow_attach.",
     ATTACH, 0},
    {"begin", "", "Starts a write transaction (BEGIN IMMEDIATE).", BEGIN, 0},
    {"commit", "", "Ends the transaction and keeps its changes.", COMMIT, 0},
    {"rollback", "", "Ends the transaction, if there is one, and drops its changes.", ROLLBACK, 0},
    {"stream_start", "sql:str, params:list=[]", "Starts reading a result piece by piece.",
     STREAM_START, 0},
    {"stream_next", "size:int=1000", "The next rows; an empty list at the end.", STREAM_NEXT, 0},
    {"check", "", "Reads the file.", CHECK, 0},
    {.name = NULL},
};

static tn_rc on_attach(void *inst, const void *conf, tn_err *err)
{
    struct instance *in = inst;
    in->conf = conf;
    if (!sqlite3_threadsafe()) {
        return sq_fail(err, TN_E_UNSUPP, "sqlite: this SQLite library was built without threads");
    }
    return TN_OK;
}

static tn_rc on_open(void *inst, uint64_t deadline_ns, void **ret_conn, tn_err *err)
{
    struct conn *c;
    if (deadline_ns != 0 && sq_now_ns() >= deadline_ns) { /* opening may need no step that looks */
        return sq_fail(err, TN_E_TIMEOUT, "sqlite %s: no time is left to open it",
                       ((struct instance *)inst)->conf->path);
    }
    tn_rc rc = sq_open(((struct instance *)inst)->conf, deadline_ns, &c, err);
    if (rc == TN_OK) {
        *ret_conn = c;
    }
    return rc;
}

static tn_rc usable(const struct conn *c, tn_err *err)
{
    if (!c->db) {
        tn_rc rc = sq_fail(err, TN_E_UNAVAIL, "sqlite %s: the connection is closed", c->conf->path);
        if (err) {
            err->flags = TN_ERR_CONN_BROKEN;
        }
        return rc;
    }
    return TN_OK;
}

static tn_rc read_schema(struct conn *c, tn_err *err)
{
    struct table *t = NULL;
    tn_rc rc = sq_query(c, TN_STR("SELECT count(*) FROM sqlite_schema"), NULL, &t, err);
    sq_table_free(t);
    return rc;
}

static tn_rc on_check(void *inst, void *conn, uint64_t deadline_ns, tn_err *err)
{
    struct conn *c = conn;
    (void)inst;
    tn_rc rc = usable(c, err);
    if (rc == TN_OK) {
        sq_arm(c, deadline_ns);
        rc = sq_same_file(c, err);
        rc = rc ? rc : read_schema(c, err);
    }
    return rc;
}

static tn_rc on_reset(void *inst, void *conn, tn_err *err)
{
    (void)inst;
    tn_rc rc = usable(conn, err);
    return rc ? rc : sq_reset(conn, err);
}

static void on_close(void *inst, void *conn, uint32_t why)
{
    (void)inst;
    (void)why;
    sq_close(conn);
}

static void on_cancel(void *inst, void *conn)
{
    struct conn *c = conn;
    (void)inst;
    /* The flag alone: the progress and busy handlers see it within microseconds, and unlike
     * sqlite3_interrupt() it cannot hit a handle that is being closed and opened again. */
    atomic_store(&c->canceled, 1);
}

/* Argument `i` by position or keyword; NULL when it was not given. */
static const tn_val *argument(const tn_args *a, uint32_t i, const char *name)
{
    if (i < a->npos) {
        return &a->pos[i];
    }
    for (uint32_t k = 0; k < a->nkw; k++) {
        if (a->kw[k].key.type == TN_T_STR && a->kw[k].key.n == strlen(name) &&
            memcmp(a->kw[k].key.u.s, name, a->kw[k].key.n) == 0) {
            return &a->kw[k].val;
        }
    }
    return NULL;
}

static tn_rc text_argument(const tn_args *a, uint32_t i, const char *name, tn_str *ret, tn_err *err)
{
    const tn_val *v = argument(a, i, name);
    if (!v || v->type != TN_T_STR) {
        return sq_fail(err, TN_E_INVAL, "sqlite: argument %s must be text", name);
    }
    *ret = (tn_str){v->u.s ? v->u.s : "", v->n};
    return TN_OK;
}

static tn_rc run(struct conn *c, uint32_t method, const tn_args *args, void **ret_native,
                 tn_err *err)
{
    tn_str sql = {NULL, 0}, path = {NULL, 0};
    int64_t number = 0;
    struct table *t = NULL;
    tn_rc rc = TN_OK;
    if (method == CHECK) {
        rc = read_schema(c, err);
        *ret_native = NULL;
        return rc;
    }
    if (c->stream && method != STREAM_NEXT) {
        return sq_fail(err, TN_E_INVAL, "sqlite: a stream is open on this connection");
    }
    if (method == STREAM_START) {
        rc = text_argument(args, 0, "sql", &sql, err);
        return rc ? rc : sq_stream_start(c, sql, argument(args, 1, "params"), err);
    }
    if (method == STREAM_NEXT) {
        const tn_val *size = argument(args, 0, "size");
        int64_t n = size && size->type == TN_T_INT ? size->u.i : 0;
        rc = sq_stream_next(c, n > 0 && n <= 100000 ? n : 1000, &t, err);
        *ret_native = t;
        return rc;
    }
    if (method <= ATTACH) {
        static const char *const first[] = {[QUERY] = "sql",
                                            [NON_QUERY] = "sql",
                                            [SCRIPT] = "sql",
                                            [BACKUP] = "path",
                                            [ATTACH] = "name"};
        rc = text_argument(args, 0, first[method], &sql, err);
        if (rc == TN_OK && method == ATTACH) {
            rc = text_argument(args, 1, "path", &path, err);
        }
        if (rc) {
            return rc;
        }
    }
    switch (method) {
    case QUERY:
        rc = sq_query(c, sql, argument(args, 1, "params"), &t, err);
        break;
    case NON_QUERY:
        rc = sq_exec(c, sql, argument(args, 1, "params"), &number, err);
        break;
    case SCRIPT:
        rc = sq_script(c, sql, &number, err);
        break;
    case BACKUP:
        rc = sq_backup(c, sql, &number, err);
        break;
    case ATTACH:
        rc = sq_attach(c, sql, path, err);
        break;
    case BEGIN:
        rc = sq_exec(c, TN_STR("BEGIN IMMEDIATE"), NULL, &number, err);
        break;
    case COMMIT:
        rc = sq_exec(c, TN_STR("COMMIT"), NULL, &number, err);
        break;
    case ROLLBACK:
        rc = sqlite3_get_autocommit(c->db) ? TN_OK
                                           : sq_exec(c, TN_STR("ROLLBACK"), NULL, &number, err);
        break;
    default:
        return sq_fail(err, TN_E_UNSUPP, "sqlite: there is no method %u", method);
    }
    if (rc == TN_OK && method != QUERY) {
        int64_t *p = malloc(sizeof *p);
        if (!p) {
            return sq_fail(err, TN_E_NOMEM, "sqlite: no memory for the result");
        }
        *p = number;
        *ret_native = p;
    } else if (rc == TN_OK) {
        *ret_native = t;
    }
    return rc;
}

static tn_rc on_invoke(void *inst, void *conn, uint32_t method, const tn_args *args,
                       uint64_t deadline_ns, tn_result *ret, tn_err *err)
{
    struct conn *c = conn;
    void *native = NULL;
    (void)inst;
    tn_rc rc = usable(c, err);
    if (rc) {
        return rc;
    }
    sq_arm(c, deadline_ns);
    if (sq_expired(c)) {
        return sq_fail(err, TN_E_TIMEOUT, "sqlite %s: the deadline had passed before the start",
                       c->conf->path);
    }
    rc = sq_same_file(c, err);
    rc = rc ? rc : run(c, method, args, &native, err);
    if (rc == TN_OK) {
        *ret = (tn_result){native, method, 0};
    }
    return rc;
}

static tn_rc on_emit(void *inst, const tn_result *r, tn_sink *sink, tn_err *err)
{
    tn_val v = {.type = TN_T_INT};
    (void)inst;
    (void)err; /* only the sink can fail, and it knows why */
    if (r->method == QUERY || r->method == STREAM_NEXT) {
        return sq_emit(r->native, sink);
    }
    if (r->method >= ATTACH) {
        v.type = TN_T_NULL;
    } else {
        v.u.i = *(const int64_t *)r->native;
    }
    return sink->ops->scalar(sink, &v);
}

static void on_result_free(void *inst, tn_result *r)
{
    (void)inst;
    if (r->method == QUERY || r->method == STREAM_NEXT) {
        sq_table_free(r->native);
    } else {
        free(r->native);
    }
    r->native = NULL;
}

static const tn_connector_ops ops = {
    .size = sizeof ops,
    .methods = methods,
    .open = on_open,
    .check = on_check,
    .reset = on_reset,
    .close = on_close,
    .invoke = on_invoke,
    .emit = on_emit,
    .result_free = on_result_free,
    .cancel = on_cancel,
};

TN_PLUGIN(.kind = TN_KIND_CONNECTOR, .flags = TN_P_THREAD_SAFE, .name = "sqlite",
          .version = "1.0.0", .summary = "SQLite 3 database files",
          .caps = TN_CAP_QUERY | TN_CAP_TXN | TN_CAP_CANCEL | TN_CAP_STREAM | TN_CAP_STORE,
          .config = fields, .conf_size = sizeof(struct config),
          .inst_size = sizeof(struct instance), .attach = on_attach, .ops = &ops)
