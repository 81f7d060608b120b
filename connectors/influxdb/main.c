/* SPDX-License-Identifier: Apache-2.0 */
/* InfluxDB connector: settings, the table of methods, and the contract's functions. */
#include "common/args.h"
#include "common/json_put.h"
#include "common/sql_text.h"
#include "influx.h"

#include <stdlib.h>
#include <string.h>

const tn_host *ix_host; /* set once by load() */

static const char *const auths[] = {"auto", "none", "basic", "bearer", "token", NULL};
static const char *const versions[] = {"1", "2", NULL};
static const char *const units[] = {"n", "u", "ms", "s", "m", "h", NULL};
static const char *const levels[] = {"", "any", "one", "quorum", "all", NULL};

static const tn_field fields[] = {
    HTTP_FIELDS(struct ix_conf, http, "8086"),
    {HTTP_FIELD(struct ix_conf, http, auth), .dflt = "auto", .choices = auths,
     .doc = "auto: Basic when there is a user, with version 2 the password as a token."},
    {TN_FIELD(struct ix_conf, version), .dflt = "1", .choices = versions,
     .doc = "1: InfluxQL and /write; 2: Flux and /api/v2/write of InfluxDB 2."},
    {TN_FIELD(struct ix_conf, database), .max = 256,
     .doc = "Database of queries and points that name none."},
    {TN_FIELD(struct ix_conf, retention_policy), .max = 256,
     .doc = "Retention policy; default that of the database."},
    {TN_FIELD(struct ix_conf, org), .max = 256, .doc = "Organisation of version 2, by name or id."},
    {TN_FIELD(struct ix_conf, bucket), .max = 256,
     .doc = "Bucket of version 2; default the database."},
    {TN_FIELD(struct ix_conf, precision), .dflt = "n", .choices = units,
     .doc = "Unit of times that are numbers: n, u, ms, s, m, h."},
    {TN_FIELD(struct ix_conf, consistency), .dflt = "", .choices = levels,
     .doc = "How many nodes of a cluster must have a point."},
    {TN_FIELD(struct ix_conf, gzip), .dflt = "true", .doc = "Pack points."},
    {TN_FIELD(struct ix_conf, batch), .dflt = "2M", .min = 1024, .max = 104857600,
     .doc = "Bytes of points that one request has, before packing."},
    {TN_FIELD(struct ix_conf, chunk_size), .dflt = "10000", .min = 1, .max = 1000000,
     .doc = "Rows that stream() asks for at a time."},
    {0},
};

/*  name, arguments, what help() says  */
#define METHODS(X)                                                                                                          \
    X(check, "", "Asks for the databases.")                                                                                 \
    X(query,                                                                                                                \
      "sql:str, bind_params:any=None, database:any=None, dict_output:any=False, epoch:any=None, retention_policy:any=None", \
      "Runs InfluxQL: the result of one statement, a list of those of several. bind_params fill $name. dict_output: "       \
      "each series is a list of dicts with their tags.")                                                                    \
    X(query2,                                                                                                               \
      "sql:str, sql_params:any=None, database:any=None, dict_output:any=False, epoch:any=None",                             \
      "query() with ? for values, which are bound, and ?? for names.")                                                      \
    X(write_point,                                                                                                          \
      "measurement:str, fields:any, tags:any=None, timestamp:any=None, database:any=None, precision:any=None, "             \
      "retention_policy:any=None",                                                                                          \
      "Writes a point. timestamp: a number of the precision, a datetime, an ISO text; None: now.")                          \
    X(write_points,                                                                                                         \
      "points:any, database:any=None, precision:any=None, retention_policy:any=None",                                       \
      "Writes dicts of measurement, fields, tags, time, in batches; an error says how many were written.")                  \
    X(write_lines, "lines:any, database:any=None, precision:any=None, retention_policy:any=None",                           \
      "Writes texts of the line protocol as they are.")                                                                     \
    X(switch_database, "name:str", "The database of this call from now on.")                                                \
    X(get_ts_tags, "point:any",                                                                                             \
      "The tags of a dict of dict_output, whatever their key is called.")                                                   \
    X(flux, "query:str, params:any=None",                                                                                   \
      "Runs Flux (version 2): rows as dicts. params are variables of the query, each by its name and as params.name.")      \
    X(stream_start,                                                                                                         \
      "sql:str, bind_params:any=None, database:any=None, epoch:any=None, chunk_size:any=None",                              \
      "Rows as dicts with their tags, one by one: memory does not grow with the result.")                                   \
    X(stream_next, "", "The rows of the next chunk; an empty list at the end.")
enum {
    NONE,
#define AS_ID(name, args, doc) M_##name,
    METHODS(AS_ID)
#undef AS_ID
        COUNT
};
static const tn_method methods[] = {
#define AS_ROW(name, args, doc) {#name, args, doc, M_##name, 0},
    METHODS(AS_ROW)
#undef AS_ROW
        {0}};

/* ---- life -------------------------------------------------------------------------------------------- */

static tn_rc on_load(const tn_host *host, tn_err *err)
{
    (void)err;
    ix_host = host;
    return TN_OK;
}

static tn_rc on_attach(void *inst, const void *conf, tn_err *err)
{
    struct ix *ix = inst;
    ix->conf = conf;
    ix->http = ix->conf->http;
    ix->v2 = strcmp(ix->conf->version, "2") == 0;
    if (ix->v2 && strcmp(ix->http.auth, "auto") == 0 &&
        (ix->http.user == NULL || ix->http.user[0] == '\0')) {
        ix->http.auth = "token";
    }
    if (ix->http.host == NULL || ix->http.host[0] == '\0') {
        return ix_host->fail(err, TN_E_CONFIG, "host is empty; name the server");
    }
    tn_rc rc = http_check_host(ix_host, ix->http.host, err);
    if (rc != TN_OK) {
        return rc;
    }
    http_base(&ix->http, ix->http.host, ix->http.port, &ix->base);
    if (ix->base.rc != TN_OK) {
        grow_free(&ix->base);
        return ix_host->fail(err, TN_E_NOMEM, "no memory for a URL");
    }
    return http_attach(ix_host, err);
}

static void on_detach(void *inst)
{
    grow_free(&((struct ix *)inst)->base);
    http_detach();
}

static void drop(struct ix_conn *c)
{
    http_close(c->http);
    grow_free(&c->chunk);
    grow_free(&c->ahead);
    free(c->database);
    free(c);
}

static tn_rc on_open(void *inst, uint64_t deadline_ns, void **ret_conn, tn_err *err)
{
    struct ix_conn *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return ix_host->fail(err, TN_E_NOMEM, "no memory for a connection");
    }
    c->inst = inst;
    tn_rc rc = http_open(ix_host, &c->inst->http, &c->http, err);
    rc = rc == TN_OK ? ix_sign_in(c, deadline_ns, err) : rc;
    if (rc != TN_OK) {
        drop(c);
        return rc;
    }
    *ret_conn = c;
    return TN_OK;
}

static tn_rc on_check(void *inst, void *conn, uint64_t deadline_ns, tn_err *err)
{
    (void)inst;
    return ix_ping(conn, deadline_ns, err);
}

static tn_rc on_reset(void *inst, void *conn, tn_err *err)
{
    struct ix_conn *c = conn;
    (void)inst, (void)err;
    http_stop(c->http);
    free(c->database);
    c->database = NULL;
    c->streaming = c->in_chunk = false;
    return TN_OK;
}

static void on_close(void *inst, void *conn, uint32_t why)
{
    (void)inst, (void)why;
    drop(conn);
}

static void on_cancel(void *inst, void *conn)
{
    (void)inst;
    http_cancel(((struct ix_conn *)conn)->http);
}

/* ---- methods ----------------------------------------------------------------------------------------- */

static int true_of(const tn_val *v)
{
    return v->type == TN_T_BOOL || v->type == TN_T_INT ? v->u.i != 0
                                                       : v->type != TN_T_NULL && v->n != 0;
}

/* bind_params as JSON; ? of query2 as $1 … with theirs. */
static tn_rc run_query(struct ix_conn *c, uint32_t method, const tn_val *v, uint64_t deadline_ns,
                       struct ix_result *r, tn_err *err)
{
    static const struct sql_dialect dialect = {.flags = SQL_DOLLAR_PARAMS | SQL_BACKSLASH,
                                               .quote = '"'};
    struct grow params = {0};
    struct sql_text text = {.sql = NULL};
    struct ix_query q = {.sql = {v[0].u.s, v[0].n},
                         .database = &v[2],
                         .epoch = method == M_stream_start ? &v[3] : &v[4]};
    tn_rc rc = TN_OK;
    if (method == M_query2) {
        rc = sql_translate(ix_host, &dialect, q.sql, &v[1], &text, err);
        if (rc == TN_OK) {
            q.sql = (tn_str){text.sql, text.n};
            grow_char(&params, '{');
            for (uint32_t i = 0; rc == TN_OK && i < text.nbinds; i++) {
                grow_printf(&params, "%s\"%u\":", i != 0 ? "," : "", i + 1);
                rc = json_put(ix_host, &params, text.binds[i], err);
            }
            grow_char(&params, '}');
        }
    } else if (v[1].type != TN_T_NULL) {
        rc = v[1].type == TN_T_MAP
                 ? json_put(ix_host, &params, &v[1], err)
                 : ix_host->fail(err, TN_E_INVAL, "bind_params is a dict of values for $name");
    }
    q.params = (tn_str){params.s, params.n};
    if (method == M_query) {
        q.retention_policy = &v[5];
    } else if (method == M_stream_start) {
        q.chunk_size = v[4].type == TN_T_INT && v[4].u.i > 0 ? v[4].u.i : c->inst->conf->chunk_size;
    }
    rc = rc == TN_OK ? ix_ask(c, &q, deadline_ns, &r->text, err) : rc;
    if (rc == TN_OK && method == M_stream_start) {
        c->streaming = true;
        c->in_chunk = false;
        c->used = 0;
        grow_clear(&c->ahead);
    }
    r->form = method == M_stream_start ? IX_NONE : IX_RESULTS;
    r->dicts = method != M_stream_start && true_of(&v[3]);
    if (text.sql != NULL) {
        sql_text_finish(&text);
    }
    grow_free(&params);
    return rc;
}

/* A dict may have columns of that name: then its tags are under _tags, __tags … */
static tn_rc tags_of(const tn_val *point, struct ix_result *r, tn_err *err)
{
    const tn_val *found = NULL;
    uint32_t longest = 0;
    if (point->type != TN_T_MAP) {
        return ix_host->fail(err, TN_E_INVAL, "a point is a dict of dict_output");
    }
    for (uint32_t i = 0; i < point->n; i++) {
        const tn_val *k = &point->u.map[i].key;
        uint32_t bars = 0;
        while (k->type == TN_T_STR && bars < k->n && k->u.s[bars] == '_') {
            bars++;
        }
        if (k->type == TN_T_STR && k->n - bars == 4 && memcmp(k->u.s + bars, "tags", 4) == 0 &&
            k->n > longest) {
            found = &point->u.map[i].val;
            longest = k->n;
        }
    }
    r->form = found != NULL ? IX_JSON : IX_NONE;
    return found != NULL ? json_put(ix_host, &r->text, found, err) : TN_OK;
}

static tn_rc write_one(struct ix_conn *c, const tn_val *v, uint64_t deadline_ns, tn_err *err)
{
    static const tn_val names[] = {{.type = TN_T_STR, .n = 11, .u.s = "measurement"},
                                   {.type = TN_T_STR, .n = 6, .u.s = "fields"},
                                   {.type = TN_T_STR, .n = 4, .u.s = "tags"},
                                   {.type = TN_T_STR, .n = 4, .u.s = "time"}};
    const tn_pair map[] = {{names[0], v[0]}, {names[1], v[1]}, {names[2], v[2]}, {names[3], v[3]}};
    const tn_val point = {.type = TN_T_MAP, .n = 4, .u.map = map};
    const struct ix_target to = {&v[4], &v[5], &v[6]};
    return ix_write(c, &to, &point, deadline_ns, err);
}

static tn_rc work(struct ix_conn *c, uint32_t method, const tn_val *v, uint64_t deadline_ns,
                  struct ix_result *r, tn_err *err)
{
    const struct ix_target to = {&v[1], &v[2], &v[3]};
    bool more = false;
    if (c->streaming && method != M_stream_next) {
        return ix_host->fail(err, TN_E_INVAL, "a stream is open on this connection");
    }
    r->form = IX_NONE;
    switch (method) {
    case M_check:
        return ix_sign_in(c, deadline_ns, err);
    case M_query:
    case M_query2:
    case M_stream_start:
        return run_query(c, method, v, deadline_ns, r, err);
    case M_stream_next:
        r->form = IX_SERIES;
        return c->streaming ? ix_next(c, deadline_ns, &r->text, &more, err) : TN_OK;
    case M_write_point:
        r->form = IX_TRUE;
        return write_one(c, v, deadline_ns, err);
    case M_write_points:
        r->form = IX_TRUE;
        return ix_write(c, &to, &v[0], deadline_ns, err);
    case M_write_lines:
        r->form = IX_TRUE;
        return ix_write_lines(c, &to, &v[0], deadline_ns, err);
    case M_get_ts_tags:
        return tags_of(&v[0], r, err);
    case M_flux:
        r->form = IX_CSV;
        return ix_flux(c, (tn_str){v[0].u.s, v[0].n}, &v[1], deadline_ns, &r->text, err);
    default: { /* switch_database */
        if (v[0].n != 0 && memchr(v[0].u.s, '\0', v[0].n) != NULL) {
            return ix_host->fail(err, TN_E_INVAL, "the name of a database has no NUL");
        }
        char *name = malloc((size_t)v[0].n + 1);
        if (name == NULL) {
            return ix_host->fail(err, TN_E_NOMEM, "no memory for a name");
        }
        memcpy(name, v[0].u.s, v[0].n);
        name[v[0].n] = '\0';
        free(c->database);
        c->database = name;
        return TN_OK;
    }
    }
}

static void result_drop(struct ix_result *r)
{
    if (r != NULL) {
        grow_free(&r->text);
        free(r);
    }
}

#define ARGS_MAX 8

static tn_rc on_invoke(void *inst, void *conn, uint32_t method, const tn_args *a,
                       uint64_t deadline_ns, tn_result *ret, tn_err *err)
{
    struct ix_conn *c = conn;
    tn_val all[ARGS_MAX];
    (void)inst;
    if (method == NONE || method >= COUNT) {
        return ix_host->fail(err, TN_E_UNSUPP, "there is no method %u", method);
    }
    if (deadline_ns != 0 && ix_host->now_ns() >= deadline_ns) {
        return ix_host->fail(err, TN_E_TIMEOUT, "the deadline had passed before the start");
    }
    tn_rc rc = args_complete(ix_host, &methods[method - 1], a, all, ARGS_MAX, err);
    struct ix_result *r = rc == TN_OK ? calloc(1, sizeof *r) : NULL;
    if (rc == TN_OK && r == NULL) {
        rc = ix_host->fail(err, TN_E_NOMEM, "no memory for a result");
    }
    if (rc == TN_OK) {
        http_enter(c->http);
        rc = work(c, method, all, deadline_ns, r, err);
        http_leave(c->http);
    }
    if (rc != TN_OK) {
        result_drop(r);
        return rc;
    }
    *ret = (tn_result){r, method, 0};
    return TN_OK;
}

static void on_free(void *inst, tn_result *r)
{
    (void)inst;
    result_drop(r->native);
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
    .emit = ix_emit,
    .result_free = on_free,
    .cancel = on_cancel,
};

TN_PLUGIN(.kind = TN_KIND_CONNECTOR, .flags = TN_P_THREAD_SAFE, .name = "influxdb",
          .version = "1.0.0", .summary = "InfluxDB 1.x; writing and Flux of 2.x",
          .caps = TN_CAP_CANCEL | TN_CAP_STREAM, .config = fields,
          .conf_size = sizeof(struct ix_conf), .inst_size = sizeof(struct ix), .load = on_load,
          .attach = on_attach, .detach = on_detach, .ops = &ops)
