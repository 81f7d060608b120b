/* SPDX-License-Identifier: Apache-2.0 */
/* Redis connector: the table of methods, and the contract's functions. */
#include "redis.h"

#include <stdlib.h>
#include <string.h>

#define ARGS_MAX 12 /* parameters of a method */

/* How a reply becomes a result. */
enum { TEXT, RAW, BOOL, DONE, MAP, FOUND };

/* name, parameters, what it does, words of the command, shape, function when it is more than words.
 * $n is argument n, @n all its items, %n its pairs, ^n its pairs with the value first. */
#define METHODS(X)                                                                                                  \
    X(query, "command:any, *args, **options",                                                                       \
      "Any command; texts come as bytes. One text is split at blanks.", NULL, RAW, rd_query)                        \
    X(run, "command:any, *args, **options",                                                                         \
      "Any command; texts come as bytes: run('SET', 'k', 'v', ex=10).", NULL, RAW, rd_query)                        \
    X(pipeline, "commands:list, transaction:any=False",                                                             \
      "Sends a list of commands (lists of words) at once and returns the list of replies; with transaction as one " \
      "step (MULTI, EXEC).",                                                                                        \
      NULL, TEXT, rd_pipeline)                                                                                      \
    X(check, "", "Asks the server something cheap.", "PING", DONE, NULL)                                            \
    X(dbsize, "", "How many keys there are.", "DBSIZE", TEXT, NULL)                                                 \
    X(info, "section:any=None", "The server's figures as a dict.", NULL, TEXT, rd_info)                             \
    X(type, "key:any", "Type of the value, None when there is none.", "TYPE $0", FOUND, NULL)                       \
    X(keys, "pattern:any='*', limit:any=None", "Keys that match, sorted; by SCAN.", NULL, TEXT,                     \
      rd_keys)                                                                                                      \
    X(exists, "key:any", "Is there such a key?", "EXISTS $0", BOOL, NULL)                                           \
    X(expire, "key:any, expires:int", "The key disappears after so many seconds (at least 1).",                     \
      "EXPIRE $0 +1", BOOL, NULL)                                                                                   \
    X(expireat, "key:any, timestamp:int", "The key disappears at that second.", "EXPIREAT $0 $1",                   \
      BOOL, NULL)                                                                                                   \
    X(ttl, "key:any", "Seconds left; -1: no end, -2: no key.", "TTL $0", TEXT, NULL)                                \
    X(pttl, "key:any", "Milliseconds left.", "PTTL $0", TEXT, NULL)                                                 \
    X(delete, "key:any", "Deletes a key or a list of them; how many there were.", "DEL @0", TEXT,                   \
      NULL)                                                                                                         \
    X(set,                                                                                                          \
      "key:any, value:any, expires:any=None, not_exists:any=False, exists:any=False, get_old_value:any=False",      \
      "True, or None when not_exists or exists did not hold; get_old_value: the value before.",                     \
      NULL, TEXT, rd_set)                                                                                           \
    X(mset, "key_values:any", "Sets the keys of a dict.", "MSET %0", DONE, NULL)                                    \
    X(get, "key:any", "The text, None when there is none.", "GET $0", TEXT, NULL)                                   \
    X(mget, "keys:any", "{key: text or None}.", NULL, TEXT, rd_mget)                                                \
    X(getset, "key:any, value:any", "Sets the key; the value before.", "GETSET $0 $1", TEXT, NULL)                  \
    X(incr, "key:any", "Adds 1; the new number.", "INCR $0", TEXT, NULL)                                            \
    X(incrby, "key:any, step:any=1", "Adds step; the new number.", "INCRBY $0 $1", TEXT, NULL)                      \
    X(hkeys, "key:any, pattern:any='*', with_values:any=False",                                                     \
      "Fields that match, sorted; with_values as a dict.", NULL, TEXT, rd_hkeys)                                    \
    X(hset, "key:any, field:any=None, value:any=None, field_values:any=None",                                       \
      "Sets a field, or those of a dict; how many are new.", NULL, TEXT, rd_hset)                                   \
    X(hmset, "key:any, field_values:any", "Sets the fields of a dict.", "HMSET $0 %1", DONE, NULL)                  \
    X(hsetnx, "key:any, field:any, value:any",                                                                      \
      "Sets the field unless it exists; True when it did not.", "HSETNX $0 $1 $2", BOOL, NULL)                      \
    X(hget, "key:any, field:any", "The text of a field.", "HGET $0 $1", TEXT, NULL)                                 \
    X(hmget, "key:any, fields:any", "{field: text or None}.", NULL, TEXT, rd_hmget)                                 \
    X(hgetall, "key:any", "All fields as a dict.", "HGETALL $0", MAP, NULL)                                         \
    X(hincr, "key:any, field:any", "Adds 1; the new number.", "HINCRBY $0 $1 1", TEXT, NULL)                        \
    X(hincrby, "key:any, field:any, step:any=1", "Adds step; the new number.", "HINCRBY $0 $1 $2",                  \
      TEXT, NULL)                                                                                                   \
    X(hdel, "key:any, field:any", "Deletes a field or a list of them.", "HDEL $0 @1", TEXT, NULL)                   \
    X(lpush, "key:any, value:any", "Puts a value, or those of a list, at the head; the length.",                    \
      "LPUSH $0 @1", TEXT, NULL)                                                                                    \
    X(push, "key:any, value:any", "lpush()", "LPUSH $0 @1", TEXT, NULL)                                             \
    X(rpush, "key:any, value:any", "Puts a value, or those of a list, at the end; the length.",                     \
      "RPUSH $0 @1", TEXT, NULL)                                                                                    \
    X(lpop, "key:any, count:any=None", "Takes the first value, or a list of count.", "LPOP $0 ?1",                  \
      TEXT, NULL)                                                                                                   \
    X(rpop, "key:any, count:any=None", "Takes the last value, or a list of count.", "RPOP $0 ?1",                   \
      TEXT, NULL)                                                                                                   \
    X(pop, "key:any, count:any=None", "rpop()", "RPOP $0 ?1", TEXT, NULL)                                           \
    X(blpop, "key:any, timeout:any=0",                                                                              \
      "Waits for a value: [key, value], None after timeout seconds.", NULL, TEXT, rd_bpop_left)                     \
    X(brpop, "key:any, timeout:any=0",                                                                              \
      "Waits for a value: [key, value], None after timeout seconds.", NULL, TEXT, rd_bpop_right)                    \
    X(bpop, "key:any, timeout:any=0", "brpop()", NULL, TEXT, rd_bpop_right)                                         \
    X(rpoplpush, "key:any, dest_key:any=None",                                                                      \
      "Moves the last value to the head of the other (or same) list.", NULL, TEXT, rd_rpoplpush)                    \
    X(llen, "key:any", "Length of a list.", "LLEN $0", TEXT, NULL)                                                  \
    X(lrange, "key:any, start:any=0, stop:any=-1", "Values of a list.", "LRANGE $0 $1 $2", TEXT,                    \
      NULL)                                                                                                         \
    X(ltrim, "key:any, start:any, stop:any", "Keeps only these values.", "LTRIM $0 $1 $2", DONE,                    \
      NULL)                                                                                                         \
    X(sadd, "key:any, member:any", "Adds a member or a list of them; how many are new.",                            \
      "SADD $0 @1", TEXT, NULL)                                                                                     \
    X(srem, "key:any, member:any", "Removes a member or a list of them.", "SREM $0 @1", TEXT,                       \
      NULL)                                                                                                         \
    X(scard, "key:any", "Size of a set.", "SCARD $0", TEXT, NULL)                                                   \
    X(smembers, "key:any", "Members of a set as a list.", "SMEMBERS $0", TEXT, NULL)                                \
    X(sismember, "key:any, member:any", "Is it in the set?", "SISMEMBER $0 $1", BOOL, NULL)                         \
    X(zadd, "key:any, member_scores:any",                                                                           \
      "Adds the members of {member: score}; how many are new.", "ZADD $0 ^1", TEXT, NULL)                           \
    X(zrem, "key:any, member:any", "Removes a member or a list of them.", "ZREM $0 @1", TEXT,                       \
      NULL)                                                                                                         \
    X(zcard, "key:any", "Size of a sorted set.", "ZCARD $0", TEXT, NULL)                                            \
    X(zrange,                                                                                                       \
      "key:any, start:any=0, stop:any=-1, by_score:any=False, by_lex:any=False, reverse:any=False, "                \
      "with_scores:any=False",                                                                                      \
      "Members, or [member, score] pairs.", NULL, TEXT, rd_zrange)                                                  \
    X(publish, "topic:any, message:any", "Publishes; how many receive it.", "PUBLISH $0 $1", TEXT,                  \
      NULL)                                                                                                         \
    X(pub, "topic:any, message:any", "publish()", "PUBLISH $0 $1", TEXT, NULL)                                      \
    X(get_pattern, "pattern:any", "{key: text} of matching keys, None when there are none.", NULL,                  \
      TEXT, rd_get_pattern)                                                                                         \
    X(delete_pattern, "pattern:any", "Deletes matching keys; how many, None when there are none.",                  \
      NULL, TEXT, rd_delete_pattern)                                                                                \
    X(hget_pattern, "key:any, pattern:any", "{field: text} of matching fields.", NULL, TEXT,                        \
      rd_hget_pattern)                                                                                              \
    X(hget_expires, "key:any, field:any, expires:any",                                                              \
      "A JSON text whose ts or timestamp is not older than expires seconds, else None.", NULL,                      \
      TEXT, rd_hget_expires)                                                                                        \
    X(hget_pattern_expires, "key:any, pattern:any, expires:any",                                                    \
      "hget_expires() of matching fields, as a dict.", NULL, TEXT, rd_hget_pattern_expires)                         \
    X(lock, "key:any, value:any, max_seconds:any",                                                                  \
      "Takes a lock: True, None when somebody else has it.", NULL, TEXT, rd_lock)                                   \
    X(extend_lock_time, "key:any, value:any, max_seconds:any",                                                      \
      "Keeps a lock of this value for longer.", NULL, TEXT, rd_extend_lock_time)                                    \
    X(unlock, "key:any, value:any", "Gives a lock of this value back: 1, or 0 when it is not.",                     \
      NULL, TEXT, rd_unlock)                                                                                        \
    X(ts_add, "key:any, value:any, timestamp:any=None, mode:str='update'",                                          \
      "Sets the value of a series at that time, or adds to it (addUp).", NULL, DONE, rd_ts_add)                     \
    X(ts_get,                                                                                                       \
      "key:any, start:any='-inf', stop:any='+inf', group_time:any=1, agg:str='avg', scale:any=1, ndigits:any=2, "   \
      "time_unit:str='s', dict_output:any=False, limit:any=None, fill_zero:any=False",                              \
      "[[time, value]] of a series, grouped; the numbers times scale. limit: only the newest.",                     \
      NULL, TEXT, rd_ts_get)                                                                                        \
    X(zpop_below_lpush, "key:any, dest_key:any, score:any",                                                         \
      "Moves the lowest member up to that score to the list; the member or None.", NULL, TEXT,                      \
      rd_zpop_below)                                                                                                \
    X(zpop_above_lpush, "key:any, dest_key:any, score:any",                                                         \
      "Moves the lowest member from that score on to the list; the member or None.", NULL, TEXT,                    \
      rd_zpop_above)                                                                                                \
    X(zpop_below_lpush_all, "key:any, dest_key:any, score:any",                                                     \
      "Moves all members up to that score to the list; how many.", NULL, TEXT, rd_zpop_below_all)                   \
    X(put_tasks, "task_reqs:any", "Not available: the queue is not in Redis.", NULL, TEXT,                          \
      rd_put_tasks)

enum {
    NONE,
#define AS_ID(name, args, doc, words, shape, run) M_##name,
    METHODS(AS_ID)
#undef AS_ID
        COUNT
};
static const tn_method methods[] = {
#define AS_ROW(name, args, doc, words, shape, run) {#name, args, doc, M_##name, 0},
    METHODS(AS_ROW)
#undef AS_ROW
        {0}};
static const struct {
    const char *words;
    rd_method *run;
    uint8_t shape;
} verbs[] = {
#define AS_VERB(name, args, doc, words, shape, run) [M_##name] = {words, run, shape},
    METHODS(AS_VERB)
#undef AS_VERB
};

static tn_rc on_load(const tn_host *host, tn_err *err)
{
    (void)err;
    rd_host = host;
    return TN_OK;
}

static tn_rc on_attach(void *inst, const void *conf, tn_err *err)
{
    struct rd *rd = inst;
    (void)err;
    rd->conf = conf;
    pthread_mutex_init(&rd->lock, NULL);
    return TN_OK;
}

static void on_detach(void *inst)
{
    struct rd *rd = inst;
    stream_tls_finish(&rd->tls);
    pthread_mutex_destroy(&rd->lock);
}

/* A command from its words. 0: there is nothing to send, because a list or dict is empty. */
static int compose(struct rd_cmd *cmd, const char *words, const tn_args *a)
{
    int some = 1;
    rd_cmd_init(cmd, "");
    for (const char *p = words; *p != '\0';) {
        size_t n = strcspn(p, " ");
        const tn_val *v = strchr("$@%^?+", p[0]) != NULL ? &a->pos[p[1] - '0'] : NULL;
        uint32_t before = cmd->n;
        if (v == NULL) {
            rd_arg_str(cmd, p, n);
        } else if (p[0] == '@') {
            rd_arg_all(cmd, v);
            some &= cmd->n != before;
        } else if (p[0] == '%' || p[0] == '^') {
            rd_arg_pairs(cmd, v, p[0] == '^');
            some &= cmd->n != before || cmd->rc != TN_OK;
        } else if (p[0] == '+' && v->type == TN_T_INT) {
            rd_arg_int(cmd, v->u.i < 1 ? 1 : v->u.i);
        } else if (p[0] != '?' || rd_given(v)) {
            rd_arg(cmd, v);
        }
        p += n;
        p += *p == ' ';
    }
    return some;
}

static void reshape(struct rd_node *node, uint8_t shape)
{
    if (shape == BOOL && node->type == RD_INT) {
        node->type = RD_BOOL;
    } else if (shape == DONE) {
        rd_become(node, RD_BOOL, 1);
    } else if (shape == MAP) {
        rd_as_map(node);
    } else if (shape == FOUND && rd_is(node, RD_STATUS, "none")) {
        rd_become(node, RD_NIL, 0);
    }
}

static tn_rc run(struct rd_conn *c, uint32_t method, const tn_args *a, uint64_t deadline_ns,
                 struct rd_node **ret, tn_err *err)
{
    struct rd_cmd cmd;
    if (verbs[method].run != NULL) {
        return verbs[method].run(c, a, deadline_ns, ret, err);
    }
    if (!compose(&cmd, verbs[method].words, a)) {
        rd_cmd_finish(&cmd);
        *ret = rd_node_new(RD_INT, 0);
        return *ret != NULL ? TN_OK : rd_host->fail(err, TN_E_NOMEM, "no memory for the result");
    }
    return rd_exec(c, &cmd, deadline_ns, ret, err);
}

/* Python has sorted arguments by the table already; any other caller may leave out what has a default (None here)
 * but not what has none. */
static tn_rc complete(const tn_method *m, const tn_args *a, tn_val all[ARGS_MAX], tn_args *ret,
                      tn_err *err)
{
    uint32_t required = 0, given = a->npos < ARGS_MAX ? a->npos : ARGS_MAX;
    for (const char *p = m->args; *p != '\0';) {
        size_t n = strcspn(p, ",");
        required += memchr(p, '=', n) == NULL && memchr(p, '*', n) == NULL;
        p += n;
        p += strspn(p, ", ");
    }
    if (given < required || (a->nkw != 0 && strstr(m->args, "**") == NULL)) {
        return rd_host->fail(err, TN_E_INVAL, "%s(%s): %u arguments are needed", m->name, m->args,
                             required);
    }
    *ret = *a;
    if (a->npos < ARGS_MAX) {
        memset(all, 0, ARGS_MAX * sizeof *all);
        if (given != 0) {
            memcpy(all, a->pos, given * sizeof *all);
        }
        ret->pos = all;
    }
    return TN_OK;
}

static tn_rc on_invoke(void *inst, void *conn, uint32_t method, const tn_args *args,
                       uint64_t deadline_ns, tn_result *ret, tn_err *err)
{
    struct rd_node *node = NULL;
    struct rd_conn *c = conn;
    (void)inst;
    if (method == NONE || method >= COUNT) {
        return rd_host->fail(err, TN_E_UNSUPP, "there is no method %u", method);
    }
    if (deadline_ns != 0 && rd_host->now_ns() >= deadline_ns) {
        return rd_host->fail(err, TN_E_TIMEOUT, "the deadline had passed before the start");
    }
    tn_val all[ARGS_MAX];
    tn_args a;
    c->n = 0;
    tn_rc rc = complete(&methods[method - 1], args, all, &a, err);
    atomic_store(&c->working, true);
    rc = rc == TN_OK ? run(c, method, &a, deadline_ns, &node, err) : rc;
    atomic_store(&c->working, false);
    if (rc == TN_E_UNAVAIL && atomic_load(&c->canceled)) {
        rc = rd_host->fail(err, TN_E_CANCELED, "the command was told to stop");
        if (err != NULL) {
            err->flags |= TN_ERR_CONN_BROKEN;
        }
    }
    if (rc != TN_OK) {
        return rc;
    }
    if (node != NULL) {
        reshape(node, verbs[method].shape);
    }
    *ret = (tn_result){node, method, 0};
    return TN_OK;
}

static tn_rc on_emit(void *inst, const tn_result *r, tn_sink *sink, tn_err *err)
{
    (void)inst, (void)err;
    const tn_val none = {.type = TN_T_NULL};
    return r->method == M_check || r->method == M_ts_add
               ? sink->ops->scalar(sink, &none)
               : rd_describe(r->native, verbs[r->method].shape == RAW, sink);
}

static void on_free(void *inst, tn_result *r)
{
    (void)inst;
    rd_free(r->native);
    r->native = NULL;
}

static const tn_connector_ops ops = {
    .size = sizeof ops,
    .methods = methods,
    .open = rd_open,
    .check = rd_check,
    .reset = rd_reset,
    .close = rd_close,
    .invoke = on_invoke,
    .emit = on_emit,
    .result_free = on_free,
    .cancel = rd_cancel,
};

TN_PLUGIN(.kind = TN_KIND_CONNECTOR, .flags = TN_P_THREAD_SAFE, .name = "redis", .version = "1.0.0",
          .summary = "Redis 5 and later", .caps = TN_CAP_QUERY | TN_CAP_CANCEL, .config = rd_fields,
          .conf_size = sizeof(struct rd_conf), .inst_size = sizeof(struct rd), .load = on_load,
          .attach = on_attach, .detach = on_detach, .ops = &ops)
