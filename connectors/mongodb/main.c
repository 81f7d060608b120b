/* SPDX-License-Identifier: Apache-2.0 */
/* MongoDB connector: settings, the few methods on which pyshim builds what pymongo offers, the contract's functions. */
#include "mongodb.h"

#include <stdlib.h>
#include <string.h>

/* libmongoc keeps counters in /dev/shm/mongoc-PID, which stay behind with every process that is killed. */
TN_ENVIRONMENT("MONGOC_DISABLE_SHM=1");

const tn_host *mg_host; /* set once by load() */

static const char *const tls_modes[] = {"off", "on", "unverified", NULL};
static const char *const mechanisms[] = {"default",      "SCRAM-SHA-1", "SCRAM-SHA-256",
                                         "MONGODB-X509", "PLAIN",       NULL};
static const char *const preferences[] = {
    "primary", "primaryPreferred", "secondary", "secondaryPreferred", "nearest", NULL};

static const tn_field fields[] = {
    {TN_FIELD(struct mg_conf, host), .dflt = "127.0.0.1", .min = 1, .max = 1000,
     .doc = "Server, or members of a replica set: name1:27017,name2:27017."},
    {TN_FIELD(struct mg_conf, port), .dflt = "27017", .min = 1, .max = 65535,
     .doc = "TCP port of a host without one."},
    {TN_FIELD(struct mg_conf, uri), .max = 2000,
     .doc = "mongodb:// or mongodb+srv:// instead of host and port; without user and password."},
    {TN_FIELD(struct mg_conf, user), .max = 256, .doc = "User; empty: nobody signs in."},
    {TN_FIELD(struct mg_conf, password), .doc = "Password of the user."},
    {TN_FIELD(struct mg_conf, database), .max = 63,
     .doc = "Database of db(); the user is looked up there unless auth_source says otherwise."},
    {TN_FIELD(struct mg_conf, auth_source), .max = 63,
     .doc = "Database in which the user is defined; default: database, else admin."},
    {TN_FIELD(struct mg_conf, auth_mechanism), .dflt = "default", .choices = mechanisms,
     .doc =
         "default: SCRAM, as strong as the server has it. MONGODB-X509: the client's certificate."},
    {TN_FIELD(struct mg_conf, replica_set), .max = 256, .doc = "Name of the replica set."},
    {TN_FIELD(struct mg_conf, read_preference), .dflt = "primary", .choices = preferences,
     .doc = "Which member of a replica set answers reads."},
    {TN_FIELD(struct mg_conf, direct), .dflt = "false",
     .doc = "Talks to this one server, whatever the set it belongs to."},
    {TN_FIELD(struct mg_conf, retry_writes), .dflt = "true",
     .doc =
         "Writes of a replica set are done once more when the line broke; each takes effect once."},
    {TN_FIELD(struct mg_conf, compressors), .max = 64,
     .doc = "Compression of messages, in order of preference: zstd,zlib."},
    {TN_FIELD(struct mg_conf, tls), .dflt = "off", .choices = tls_modes,
     .doc = "on: TLS, and the certificate must be valid for the host; unverified: TLS with any "
            "certificate; off: none."},
    {TN_FIELD(struct mg_conf, tls_ca), .max = 200000,
     .doc = "Certificates of the authorities to trust, as PEM text or the path of a file; default "
            "those of the system."},
    {TN_FIELD(struct mg_conf, tls_cert), .max = 200000,
     .doc = "Certificate of the client, as PEM text or the path of a file."},
    {TN_FIELD(struct mg_conf, tls_key), .doc = "Key of the client's certificate, as PEM text."},
    {TN_FIELD(struct mg_conf, application), .dflt = "tenon", .min = 1, .max = 127,
     .doc = "Name of the connections at the server (appName)."},
    {TN_FIELD(struct mg_conf, max_result), .dflt = "64M", .min = 65536, .max = 4294967296,
     .doc = "Largest reply in memory, in bytes."},
    {0},
};

enum { M_RUN = 1, M_SESSION, M_CHECK };
/* What scripts see is made of these by pyshim/python/tenon_shim/mongo.py. */
static const tn_method methods[] = {
    {"_run", "db:str, command:any, flags:int, server:int=0, conn:int=0",
     "A command as BSON: [its reply as BSON, the server that gave it, the connection].", M_RUN, 0},
    {"_session", "step:str, options:any", "start, begin, commit, abort, end.", M_SESSION, 0},
    {"check", "", "Asks the server something cheap.", M_CHECK, 0},
    {0},
};

static tn_rc on_load(const tn_host *host, tn_err *err)
{
    (void)err;
    mg_host = host;
    return TN_OK;
}

static void on_log(mongoc_log_level_t level, const char *domain, const char *text, void *user)
{
    (void)level, (void)domain, (void)text, (void)user; /* errors come back to the caller */
}

static tn_rc on_attach(void *inst, const void *conf, tn_err *err)
{
    struct mg *mg = inst;
    (void)err;
    mongoc_log_set_handler(on_log, NULL);
    mongoc_init(); /* once a process, after the fork: it does nothing the next time */
    mg->conf = conf;
    pthread_mutex_init(&mg->lock, NULL);
    return TN_OK;
}

static void on_detach(void *inst)
{
    struct mg *mg = inst;
    stream_tls_finish(&mg->tls);
    pthread_mutex_destroy(&mg->lock);
}

/* A connection that died while it was idle is made again by the pool, before anything was asked on it. */
static tn_rc usable(struct mg_conn *c, tn_err *err)
{
    if (c->fresh && mg_stale(c)) {
        tn_rc rc = mg_host->fail(err, TN_E_UNAVAIL,
                                 "the server closed the connection while it was idle");
        if (err != NULL) {
            err->flags |= TN_ERR_CONN_BROKEN | TN_ERR_RETRY;
        }
        return rc;
    }
    c->fresh = false;
    return TN_OK;
}

static tn_rc on_invoke(void *inst, void *conn, uint32_t method, const tn_args *args,
                       uint64_t deadline_ns, tn_result *ret, tn_err *err)
{
    struct mg_conn *c = conn;
    struct mg_reply *reply = NULL;
    tn_rc rc;
    if (deadline_ns != 0 && mg_host->now_ns() >= deadline_ns) {
        return mg_host->fail(err, TN_E_TIMEOUT, "the deadline had passed before the start");
    }
    rc = usable(c, err);
    if (rc != TN_OK) {
        return rc;
    }
    mg_begin(c, deadline_ns);
    switch (method) {
    case M_RUN:
        rc = mg_run(c, args, deadline_ns, &reply, err);
        break;
    case M_SESSION:
        rc = mg_session(c, args, deadline_ns, err);
        break;
    case M_CHECK:
        rc = mg_check(inst, conn, deadline_ns, err);
        break;
    default:
        rc = mg_host->fail(err, TN_E_UNSUPP, "there is no method %u", method);
    }
    mg_end(c);
    if (rc == TN_OK) {
        *ret = (tn_result){reply, method, 0};
    }
    return rc;
}

static tn_rc on_emit(void *inst, const tn_result *r, tn_sink *sink, tn_err *err)
{
    const struct mg_reply *reply = r->native;
    (void)inst, (void)err;
    if (reply == NULL) {
        const tn_val none = {.type = TN_T_NULL};
        return sink->ops->scalar(sink, &none);
    }
    const tn_val parts[] = {
        {.type = TN_T_BYTES, .n = reply->doc.len, .u.b = bson_get_data(&reply->doc)},
        {.type = TN_T_INT, .u.i = reply->server},
        {.type = TN_T_INT, .u.i = reply->conn}};
    const tn_val all = {.type = TN_T_LIST, .n = 3, .u.list = parts};
    return sink->ops->scalar(sink, &all);
}

static void on_free(void *inst, tn_result *r)
{
    (void)inst;
    mg_reply_free(r->native);
    r->native = NULL;
}

static const tn_connector_ops ops = {
    .size = sizeof ops,
    .methods = methods,
    .open = mg_open,
    .check = mg_check,
    .reset = mg_reset,
    .close = mg_close,
    .invoke = on_invoke,
    .emit = on_emit,
    .result_free = on_free,
    .cancel = mg_cancel,
};

TN_PLUGIN(.kind = TN_KIND_CONNECTOR, .flags = TN_P_THREAD_SAFE, .name = "mongodb",
          .version = "1.0.0", .summary = "MongoDB 3.6 and later, and what speaks its protocol",
          .caps = TN_CAP_CANCEL | TN_CAP_STREAM, .config = fields,
          .conf_size = sizeof(struct mg_conf), .inst_size = sizeof(struct mg), .load = on_load,
          .attach = on_attach, .detach = on_detach, .ops = &ops)
