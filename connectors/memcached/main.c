/* SPDX-License-Identifier: Apache-2.0 */
/* memcached connector: settings, the table of methods, and the contract's functions. */
#include "memcached.h"

#include <stdlib.h>
#include <strings.h>

const tn_host *mc_host; /* set once by load() */

static const char *const tls_modes[] = {"off", "on", "unverified", NULL};
static const char *const distributions[] = {"modulo", "ketama", NULL};

static const tn_field fields[] = {
    {TN_FIELD(struct mc_conf, servers), .dflt = "127.0.0.1:11211", .min = 1, .max = 8192,
     .doc = "Servers: host, host:port or host:port:weight, with commas between, or a list."},
    {TN_FIELD(struct mc_conf, distribution), .dflt = "modulo", .choices = distributions,
     .doc =
         "Which server has a key: modulo as python-memcached, ketama as libmemcached (weighted)."},
    {TN_FIELD(struct mc_conf, failover), .dflt = "false",
     .doc = "Keys of a server that is out of order go to another one."},
    {TN_FIELD(struct mc_conf, connect_timeout), .dflt = "3s", .min = 10, .max = 60000,
     .doc = "Longest time for connecting to one server."},
    {TN_FIELD(struct mc_conf, retry_after), .dflt = "10s", .min = 0, .max = 3600000,
     .doc = "With several servers: one that failed is not tried again before."},
    {TN_FIELD(struct mc_conf, user), .max = 256, .doc = "User of a server with -Y."},
    {TN_FIELD(struct mc_conf, password), .doc = "Password; empty: none is sent."},
    {TN_FIELD(struct mc_conf, tls), .dflt = "off", .choices = tls_modes,
     .doc = "on: TLS, and the certificate must be valid for the host; unverified: TLS with any "
            "certificate; off: none."},
    {TN_FIELD(struct mc_conf, tls_ca), .max = 200000,
     .doc = "Certificates of the authorities to trust, as PEM text or the path of a file; default "
            "those of the system."},
    {TN_FIELD(struct mc_conf, tls_cert), .max = 200000,
     .doc = "Certificate of the client, as PEM text or the path of a file."},
    {TN_FIELD(struct mc_conf, tls_key), .doc = "Key of the client's certificate, as PEM text."},
    {TN_FIELD(struct mc_conf, max_result), .dflt = "64M", .min = 65536, .max = 2147483648,
     .doc = "Largest value, and largest result, in memory, in bytes."},
    {0},
};

#define ARGS_MAX 8

#define STORE "key:any, value:any, time:any=0, min_compress_len:any=0"
/* name, parameters, what it does, function, word of the protocol */
#define METHODS(X)                                                                                 \
    X(query, "command:str, *args, **options",                                                      \
      "A method by its name, as words: query('get', 'k'); one text is split at blanks.", NULL, "") \
    X(run, "command:str, *args, **options", "A method by its name: run('incr', 'n', 2).", NULL,    \
      "")                                                                                          \
    X(check, "", "Every server is asked for its version.", NULL, "")                               \
    X(get, "key:any, default:any=None", "The value, default when there is none.", mc_get, "get")   \
    X(gets, "key:any", "(value, token for cas()), (None, None) when there is none.", mc_get,       \
      "gets")                                                                                      \
    X(gat, "key:any, time:any", "get() that also sets how long the value stays.", mc_gat, "gat")   \
    X(get_multi, "keys:list, key_prefix:any=None", "{key: value} of those that there are.",        \
      mc_get_multi, "")                                                                            \
    X(set, STORE, "Stores the value for time seconds (0: for ever). True.", mc_store, "set")       \
    X(add, STORE, "Stores the value when there is none: True, else False.", mc_store, "add")       \
    X(replace, STORE, "Stores the value when there is one: True, else False.", mc_store,           \
      "replace")                                                                                   \
    X(append, STORE, "Adds to the end of a value: True, False when there is none.", mc_store,      \
      "append")                                                                                    \
    X(prepend, STORE, "Adds to the beginning of a value: True, False when there is none.",         \
      mc_store, "prepend")                                                                         \
    X(cas, "key:any, value:any, token:any, time:any=0, min_compress_len:any=0",                    \
      "Stores the value when nobody has since gets(): True, False, None when it is gone.", mc_cas, \
      "cas")                                                                                       \
    X(set_multi, "mapping:any, time:any=0, key_prefix:any=None, min_compress_len:any=0",           \
      "Stores the values of a dict; the keys that were not stored.", mc_set_multi, "")             \
    X(delete, "key:any", "True when there was one.", mc_delete, "delete")                          \
    X(delete_multi, "keys:list, key_prefix:any=None", "How many there were.", mc_delete_multi, "") \
    X(incr, "key:any, delta:any=1", "The new number, None when there is none.", mc_count, "incr")  \
    X(decr, "key:any, delta:any=1", "The new number (0 at least), None when there is none.",       \
      mc_count, "decr")                                                                            \
    X(touch, "key:any, time:any=0",                                                                \
      "Sets how long the value stays: True, False when there is "                                  \
      "none.",                                                                                     \
      mc_touch, "touch")                                                                           \
    X(stats, "section:any=None", "{server: {name: text}}.", mc_stats, "")                          \
    X(get_stats, "section:any=None", "stats()", mc_stats, "")                                      \
    X(version, "", "{server: version}.", mc_version, "")                                           \
    X(flush_all, "delay:any=0", "Empties all servers.", mc_flush, "")                              \
    X(meta, "command:str, key:any, flags:any=None, value:any=None",                                \
      "A meta command (mg, ms, md, ma): {code, flags, value}; bytes as they are.", mc_meta, "")

enum {
    NONE,
#define AS_ID(name, args, doc, run, verb) M_##name,
    METHODS(AS_ID)
#undef AS_ID
        COUNT
};
static const tn_method methods[] = {
#define AS_ROW(name, args, doc, run, verb)                                                         \
    {#name, args, doc, M_##name, M_##name == M_gets ? TN_M_TUPLE : 0},
    METHODS(AS_ROW)
#undef AS_ROW
        {0}};
static const struct {
    mc_method *run;
    const char *verb;
} verbs[] = {
#define AS_VERB(name, args, doc, run, verb) [M_##name] = {run, verb},
    METHODS(AS_VERB)
#undef AS_VERB
};

/* ---- arguments --------------------------------------------------------------------------------------- */

/* Parameter i of "name:type=default, …"; false: there are fewer. */
static bool parameter(const char *args, uint32_t i, tn_str *ret_name, bool *ret_optional)
{
    const char *p = args;
    for (uint32_t at = 0; *p != '\0'; at++) {
        size_t n = strcspn(p, ",");
        if (at == i) {
            *ret_name = (tn_str){p, strcspn(p, ":,")};
            *ret_optional = memchr(p, '=', n) != NULL;
            return true;
        }
        p += n;
        p += strspn(p, ", ");
    }
    return false;
}

/* Sorts what query() and run() were given, and fills up what any caller left out. */
static tn_rc sort_args(const tn_method *m, const tn_args *a, uint32_t skip, tn_val all[ARGS_MAX],
                       tn_err *err)
{
    uint32_t used = 0, i = 0;
    tn_str name;
    bool optional;
    memset(all, 0, ARGS_MAX * sizeof *all);
    for (; parameter(m->args, i, &name, &optional); i++) {
        bool given = skip + i < a->npos;
        if (given) {
            all[i] = a->pos[skip + i];
        }
        for (uint32_t j = 0; !given && j < a->nkw; j++) {
            const tn_pair *p = &a->kw[j];
            if (p->key.n == name.n && memcmp(p->key.u.s, name.s, name.n) == 0) {
                all[i] = p->val;
                used++;
                given = true;
            }
        }
        if (!given && !optional) {
            return mc_host->fail(err, TN_E_INVAL, "%s(%s): %.*s is missing", m->name, m->args,
                                 (int)name.n, name.s);
        }
    }
    if (a->npos > skip + i || used != a->nkw) {
        return mc_host->fail(err, TN_E_INVAL, "%s(%s): there are other arguments", m->name,
                             m->args);
    }
    return TN_OK;
}

static uint32_t method_by_name(const tn_val *v)
{
    for (uint32_t i = 0; v->type == TN_T_STR && methods[i].name != NULL; i++) {
        if (strlen(methods[i].name) == v->n && strncasecmp(methods[i].name, v->u.s, v->n) == 0) {
            return methods[i].id;
        }
    }
    return NONE;
}

static tn_rc run(struct mc_call *k, uint32_t method, const tn_args *a);

/* query(command, *args), also as one text with blanks. */
static tn_rc by_name(struct mc_call *k, const tn_args *a)
{
    tn_val words[ARGS_MAX + 1];
    tn_args split = *a;
    if (a->npos == 0 || a->pos[0].type != TN_T_STR) {
        return mc_host->fail(k->err, TN_E_INVAL, "the name of a method is needed");
    }
    if (a->npos == 1 && memchr(a->pos[0].u.s, ' ', a->pos[0].n) != NULL) {
        uint32_t n = 0;
        for (uint32_t at = 0; at < a->pos[0].n && n <= ARGS_MAX; at++) {
            const char *s = a->pos[0].u.s + at;
            uint32_t len = 0;
            while (at + len < a->pos[0].n && s[len] != ' ') {
                len++;
            }
            if (len != 0) {
                words[n++] = (tn_val){.type = TN_T_STR, .n = len, .u.s = s};
            }
            at += len;
        }
        split.pos = words;
        split.npos = n;
    }
    const tn_val *name = &split.pos[0];
    uint32_t method = split.npos != 0 ? method_by_name(name) : NONE;
    if (method == NONE || method == M_query || method == M_run) {
        return mc_host->fail(k->err, TN_E_UNSUPP,
                             "there is no method `%.*s`; get, set, incr, … of this connector are "
                             "known",
                             split.npos != 0 ? (int)(name->n < 40 ? name->n : 40) : 0,
                             split.npos != 0 ? name->u.s : "");
    }
    split.pos++;
    split.npos--;
    return run(k, method, &split);
}

static tn_rc run(struct mc_call *k, uint32_t method, const tn_args *a)
{
    tn_val all[ARGS_MAX];
    if (method == M_query || method == M_run) {
        return by_name(k, a);
    }
    tn_rc rc = sort_args(&methods[method - 1], a, 0, all, k->err);
    if (rc != TN_OK) {
        return rc;
    }
    if (method == M_check) {
        return mc_check(k->c->inst, k->c, k->deadline_ns, k->err);
    }
    k->a = all;
    k->verb = verbs[method].verb;
    rc = verbs[method].run(k);
    if (rc == TN_OK && method == M_get && k->out->n == 1 && all[1].type != TN_T_NULL &&
        tape_is_null(k->out)) {
        tape_finish(k->out);
        tape_init(k->out, (size_t)k->c->inst->conf->max_result.n);
        tape_value(k->out, &all[1]);
    }
    k->a = NULL;
    return rc;
}

/* ---- the contract's functions ------------------------------------------------------------------------ */

static tn_rc on_load(const tn_host *host, tn_err *err)
{
    (void)err;
    mc_host = host;
    return TN_OK;
}

static tn_rc on_attach(void *inst, const void *conf, tn_err *err)
{
    struct mc *mc = inst;
    (void)err;
    mc->conf = conf;
    pthread_mutex_init(&mc->lock, NULL);
    return TN_OK;
}

static void on_detach(void *inst)
{
    struct mc *mc = inst;
    mc_ring_finish(&mc->ring);
    stream_tls_finish(&mc->tls);
    pthread_mutex_destroy(&mc->lock);
}

static tn_rc on_invoke(void *inst, void *conn, uint32_t method, const tn_args *args,
                       uint64_t deadline_ns, tn_result *ret, tn_err *err)
{
    struct mc_conn *c = conn;
    struct mc *mc = inst;
    tn_err own = TN_ERR_INIT;
    if (method == NONE || method >= COUNT) {
        return mc_host->fail(err, TN_E_UNSUPP, "there is no method %u", method);
    }
    if (deadline_ns != 0 && mc_host->now_ns() >= deadline_ns) {
        return mc_host->fail(err, TN_E_TIMEOUT, "the deadline had passed before the start");
    }
    struct tape *out = tape_new(mc_host, (size_t)mc->conf->max_result.n, err);
    if (out == NULL) {
        return TN_E_NOMEM;
    }
    struct mc_call k = {.c = c, .verb = "", .deadline_ns = deadline_ns, .out = out, .err = &own};
    atomic_store(&c->canceled, false);
    atomic_store(&c->working, true);
    tn_rc rc = run(&k, method, args);
    atomic_store(&c->working, false);
    mc_idle(c);
    rc = rc == TN_OK ? tape_judge(out, mc_host, &own) : rc;
    if (rc == TN_E_UNAVAIL && atomic_load(&c->canceled)) {
        rc = mc_host->fail(&own, TN_E_CANCELED, "the command was told to stop");
        mc_broken(rc, &own);
    }
    if (rc != TN_OK) {
        tape_free(out);
        if (err != NULL) {
            *err = own;
        }
        return rc;
    }
    *ret = (tn_result){out, method, 0};
    return TN_OK;
}

static const tn_connector_ops ops = {
    .size = sizeof ops,
    .methods = methods,
    .open = mc_open,
    .check = mc_check,
    .reset = mc_reset,
    .close = mc_close,
    .invoke = on_invoke,
    .emit = tape_emit,
    .result_free = tape_result_free,
    .cancel = mc_cancel,
};

TN_PLUGIN(.kind = TN_KIND_CONNECTOR, .flags = TN_P_THREAD_SAFE, .name = "memcached",
          .version = "1.0.0", .summary = "memcached 1.4 and later",
          .caps = TN_CAP_QUERY | TN_CAP_CANCEL, .config = fields,
          .conf_size = sizeof(struct mc_conf), .inst_size = sizeof(struct mc), .load = on_load,
          .attach = on_attach, .detach = on_detach, .ops = &ops)
