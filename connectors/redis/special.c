/* SPDX-License-Identifier: Apache-2.0 */
/* Methods with options or results of their own, and any command by its name. */
#include "redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- any command ------------------------------------------------------------------------------------- */

enum { MARK_CHANGES = 1, MARK_REFUSED, AS_BOOL, AS_MAP, AS_FLOAT };
/* Commands that change the session, that cannot be used here, and those whose reply scripts know in another
 * form (as redis-py has them). */
static const struct {
    const char *name;
    uint8_t what;
} known[] = {
    {"SELECT", MARK_CHANGES},    {"AUTH", MARK_CHANGES},       {"MULTI", MARK_CHANGES},
    {"WATCH", MARK_CHANGES},     {"CLIENT", MARK_CHANGES},     {"READONLY", MARK_CHANGES},
    {"READWRITE", MARK_CHANGES}, {"ASKING", MARK_CHANGES},     {"RESET", MARK_CHANGES},
    {"QUIT", MARK_CHANGES},      {"SCRIPT", MARK_CHANGES},     {"HELLO", MARK_REFUSED},
    {"SUBSCRIBE", MARK_REFUSED}, {"PSUBSCRIBE", MARK_REFUSED}, {"SSUBSCRIBE", MARK_REFUSED},
    {"MONITOR", MARK_REFUSED},   {"SYNC", MARK_REFUSED},       {"PSYNC", MARK_REFUSED},
    {"EXPIRE", AS_BOOL},         {"EXPIREAT", AS_BOOL},        {"PEXPIRE", AS_BOOL},
    {"PEXPIREAT", AS_BOOL},      {"PERSIST", AS_BOOL},         {"HSETNX", AS_BOOL},
    {"HEXISTS", AS_BOOL},        {"SETNX", AS_BOOL},           {"MSETNX", AS_BOOL},
    {"MOVE", AS_BOOL},           {"RENAMENX", AS_BOOL},        {"SISMEMBER", AS_BOOL},
    {"SMOVE", AS_BOOL},          {"HGETALL", AS_MAP},          {"ZSCORE", AS_FLOAT},
    {"INCRBYFLOAT", AS_FLOAT},   {"HINCRBYFLOAT", AS_FLOAT},   {"ZINCRBY", AS_FLOAT},
};

/* Is this argument the word, as the server reads it: text or bytes, in any case? */
static bool is_word(const tn_val *v, const char *word)
{
    const char *s = v->type == TN_T_STR     ? v->u.s
                    : v->type == TN_T_BYTES ? (const char *)v->u.b
                                            : NULL;
    return s != NULL && strlen(word) == v->n && strncasecmp(word, s, v->n) == 0;
}

static uint8_t look_up(const tn_val *name)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (is_word(name, known[i].name)) {
            return known[i].what;
        }
    }
    return 0;
}

/* What the command does to the connection, before it is sent. */
tn_rc rd_admit(struct rd_conn *c, const struct rd_cmd *cmd, tn_err *err)
{
    uint8_t what = cmd->n != 0 ? look_up(&cmd->v[0]) : 0;
    if (what == MARK_REFUSED) {
        const char *s = cmd->v[0].type == TN_T_STR ? cmd->v[0].u.s : (const char *)cmd->v[0].u.b;
        return rd_host->fail(
            err, TN_E_UNSUPP,
            "%.*s needs a connection of its own; subscriptions belong into topicHandlers of the "
            "connector",
            (int)(cmd->v[0].n < 32 ? cmd->v[0].n : 32), s);
    }
    if (cmd->n > 1 && is_word(&cmd->v[0], "CLIENT") && is_word(&cmd->v[1], "REPLY")) {
        return rd_host->fail(err, TN_E_UNSUPP,
                             "CLIENT REPLY would leave every operation without an answer");
    }
    c->changed |= what == MARK_CHANGES;
    return TN_OK;
}

void rd_shape(const tn_val *name, struct rd_node *node)
{
    uint8_t what = look_up(name);
    if (rd_is(node, RD_STATUS, "OK")) {
        rd_become(node, RD_BOOL, 1);
    } else if (what == AS_BOOL && node->type == RD_INT) {
        node->type = RD_BOOL;
    } else if (what == AS_MAP) {
        rd_as_map(node);
    } else if (what == AS_FLOAT) {
        rd_as_float(node);
    }
}

/* query(command, *args, **options), also as one text with blanks. */
tn_rc rd_query(struct rd_conn *c, const tn_args *a, uint64_t deadline_ns, struct rd_node **ret,
               tn_err *err)
{
    struct rd_cmd cmd;
    rd_cmd_init(&cmd, "");
    for (uint32_t i = 0; i < a->npos; i++) {
        const char *s = a->pos[0].u.s;
        if (i == 0 && a->npos == 1 && a->pos[0].type == TN_T_STR) {
            for (size_t at = 0, n = a->pos[0].n; at < n;) {
                size_t k = 0;
                while (at + k < n && s[at + k] != ' ') {
                    k++;
                }
                if (k != 0) {
                    rd_arg_str(&cmd, s + at, k);
                }
                at += k + 1;
            }
        } else {
            rd_arg_all(&cmd, &a->pos[i]);
        }
    }
    for (uint32_t i = 0; i < a->nkw; i++) { /* ex=10 is EX 10, nx=True is NX */
        const tn_val *v = &a->kw[i].val;
        if (v->type == TN_T_NULL || (v->type == TN_T_BOOL && !v->u.i)) {
            continue;
        }
        rd_arg(&cmd, &a->kw[i].key);
        if (v->type != TN_T_BOOL) {
            rd_arg(&cmd, v);
        }
    }
    const tn_val name = cmd.n != 0 ? cmd.v[0] : (tn_val){.type = TN_T_NULL};
    tn_rc rc = rd_admit(c, &cmd, err);
    if (rc != TN_OK) {
        rd_cmd_finish(&cmd);
        return rc;
    }
    rc = rd_exec(c, &cmd, deadline_ns, ret, err);
    if (rc == TN_OK) {
        rd_shape(&name, *ret);
    }
    return rc;
}

/* ---- strings and hashes ------------------------------------------------------------------------------ */

static bool is_true(const tn_val *v)
{
    return v->type == TN_T_BOOL && v->u.i;
}

/* set(key, value, expires, not_exists, exists, get_old_value): True or None; the old value when asked for. */
tn_rc rd_set(struct rd_conn *c, const tn_args *a, uint64_t deadline_ns, struct rd_node **ret,
             tn_err *err)
{
    struct rd_cmd cmd;
    const tn_val *expires = &a->pos[2];
    bool old = is_true(&a->pos[5]);
    rd_cmd_init(&cmd, "SET");
    rd_arg(&cmd, &a->pos[0]);
    rd_arg(&cmd, &a->pos[1]);
    if (expires->type == TN_T_FLOAT && expires->u.f > 0 && expires->u.f < 1e12) {
        rd_arg_str(&cmd, "PX", 2);
        rd_arg_int(&cmd, (int64_t)(expires->u.f * 1000));
    } else if (rd_given(expires)) {
        rd_arg_str(&cmd, "EX", 2);
        rd_arg(&cmd, expires);
    }
    if (is_true(&a->pos[3])) {
        rd_arg_str(&cmd, "NX", 2);
    }
    if (is_true(&a->pos[4])) {
        rd_arg_str(&cmd, "XX", 2);
    }
    if (old) {
        rd_arg_str(&cmd, "GET", 3);
    }
    tn_rc rc = rd_exec(c, &cmd, deadline_ns, ret, err);
    if (rc == TN_OK && !old && (*ret)->type == RD_STATUS) {
        rd_become(*ret, RD_BOOL, 1);
    }
    return rc;
}

/* hset(key, field, value, field_values) */
tn_rc rd_hset(struct rd_conn *c, const tn_args *a, uint64_t deadline_ns, struct rd_node **ret,
              tn_err *err)
{
    struct rd_cmd cmd;
    rd_cmd_init(&cmd, "HSET");
    rd_arg(&cmd, &a->pos[0]);
    if (rd_given(&a->pos[1])) {
        rd_arg(&cmd, &a->pos[1]);
        rd_arg(&cmd, &a->pos[2]);
    }
    if (rd_given(&a->pos[3])) {
        rd_arg_pairs(&cmd, &a->pos[3], false);
    }
    if (cmd.n < 4 && cmd.rc == TN_OK) {
        rd_cmd_finish(&cmd);
        return rd_host->fail(err, TN_E_INVAL,
                             "hset() needs a field and its value, or field_values");
    }
    return rd_exec(c, &cmd, deadline_ns, ret, err);
}

/* {key: value} of the keys asked for; `words` is answered by a list of their values. */
static tn_rc zip(struct rd_conn *c, const char *words, const tn_val *first, const tn_val *keys,
                 uint64_t deadline_ns, struct rd_node **ret, tn_err *err)
{
    struct rd_cmd cmd;
    struct rd_node *values = NULL;
    const tn_val *key = keys->type == TN_T_LIST ? keys->u.list : keys;
    uint32_t n = keys->type == TN_T_LIST ? keys->n : 1;
    struct rd_node *map = rd_node_new(RD_MAP, 2 * (size_t)n);
    rd_cmd_init(&cmd, words);
    if (first != NULL) {
        rd_arg(&cmd, first);
    }
    rd_arg_all(&cmd, keys);
    for (uint32_t i = 0; i < n; i++) {
        if (key[i].type != TN_T_STR && key[i].type != TN_T_BYTES && key[i].type != TN_T_INT) {
            cmd.rc = TN_E_INVAL;
        }
    }
    tn_rc rc = cmd.rc == TN_E_INVAL
                   ? rd_host->fail(err, TN_E_INVAL, "keys and fields are texts, bytes or ints")
               : map == NULL ? rd_host->fail(err, TN_E_NOMEM, "no memory for the result")
               : n != 0      ? rd_exec(c, &cmd, deadline_ns, &values, err)
                             : TN_OK;
    for (uint32_t i = 0;
         rc == TN_OK && values != NULL && values->type == RD_LIST && i < n && i < values->n; i++) {
        bool text = key[i].type != TN_T_INT; /* texts and bytes; the rest was not sent */
        char number[24];
        int len = text ? 0 : snprintf(number, sizeof number, "%lld", (long long)key[i].u.i);
        map->u.items[2 * i] = text ? rd_text(key[i].u.s, key[i].n) : rd_text(number, (size_t)len);
        map->u.items[2 * i + 1] = values->u.items[i];
        values->u.items[i] = NULL;
        rc = map->u.items[2 * i] != NULL
                 ? TN_OK
                 : rd_host->fail(err, TN_E_NOMEM, "no memory for the result");
    }
    rd_free(values);
    rd_cmd_finish(&cmd);
    if (rc != TN_OK) {
        rd_free(map);
        return rc;
    }
    *ret = map;
    return TN_OK;
}

tn_rc rd_mget(struct rd_conn *c, const tn_args *a, uint64_t deadline_ns, struct rd_node **ret,
              tn_err *err)
{
    return zip(c, "MGET", NULL, &a->pos[0], deadline_ns, ret, err);
}

tn_rc rd_hmget(struct rd_conn *c, const tn_args *a, uint64_t deadline_ns, struct rd_node **ret,
               tn_err *err)
{
    return zip(c, "HMGET", &a->pos[0], &a->pos[1], deadline_ns, ret, err);
}

/* ---- lists and sorted sets --------------------------------------------------------------------------- */

/* bpop(key, timeout): [key, value], None after the timeout. The server waits no longer than the call may. */
static tn_rc bpop(struct rd_conn *c, const char *words, const tn_args *a, uint64_t deadline_ns,
                  struct rd_node **ret, tn_err *err)
{
    struct rd_cmd cmd;
    const tn_val *t = &a->pos[1];
    double wanted = t->type == TN_T_FLOAT ? t->u.f : t->type == TN_T_INT ? (double)t->u.i : 0;
    int left = net_left_ms(rd_host, deadline_ns);
    double seconds = left < 0 ? 0 : left > 300 ? (left - 200) / 1000.0 : 0.1;
    bool own = wanted > 0 && (seconds == 0 || wanted < seconds);
    tn_val wait = {.type = TN_T_FLOAT, .u.f = own ? wanted : seconds};
    rd_cmd_init(&cmd, words);
    rd_arg_all(&cmd, &a->pos[0]);
    rd_arg(&cmd, &wait);
    tn_rc rc = rd_exec(c, &cmd, deadline_ns, ret, err);
    if (rc == TN_OK && (*ret)->type == RD_NIL && !own && left >= 0) {
        rd_free(*ret);
        *ret = NULL;
        rc = rd_host->fail(err, TN_E_TIMEOUT, "nothing arrived in time");
    }
    return rc;
}

tn_rc rd_bpop_left(struct rd_conn *c, const tn_args *a, uint64_t deadline_ns, struct rd_node **ret,
                   tn_err *err)
{
    return bpop(c, "BLPOP", a, deadline_ns, ret, err);
}

tn_rc rd_bpop_right(struct rd_conn *c, const tn_args *a, uint64_t deadline_ns, struct rd_node **ret,
                    tn_err *err)
{
    return bpop(c, "BRPOP", a, deadline_ns, ret, err);
}

tn_rc rd_rpoplpush(struct rd_conn *c, const tn_args *a, uint64_t deadline_ns, struct rd_node **ret,
                   tn_err *err)
{
    struct rd_cmd cmd;
    rd_cmd_init(&cmd, "RPOPLPUSH");
    rd_arg(&cmd, &a->pos[0]);
    rd_arg(&cmd, &a->pos[rd_given(&a->pos[1])]);
    return rd_exec(c, &cmd, deadline_ns, ret, err);
}

/* zrange(key, start, stop, by_score, by_lex, reverse, with_scores). ZRANGE with BYSCORE is of Redis 6.2; the older
 * commands do the same everywhere. Reversed, start is the upper end, as ZREVRANGEBYSCORE has it. */
tn_rc rd_zrange(struct rd_conn *c, const tn_args *a, uint64_t deadline_ns, struct rd_node **ret,
                tn_err *err)
{
    static const char *const words[3][2] = {{"ZRANGE", "ZREVRANGE"},
                                            {"ZRANGEBYSCORE", "ZREVRANGEBYSCORE"},
                                            {"ZRANGEBYLEX", "ZREVRANGEBYLEX"}};
    int by = is_true(&a->pos[3]) ? 1 : is_true(&a->pos[4]) ? 2 : 0;
    bool scores = is_true(&a->pos[6]);
    struct rd_cmd cmd;
    rd_cmd_init(&cmd, words[by][is_true(&a->pos[5])]);
    for (int i = 0; i < 3; i++) {
        rd_arg(&cmd, &a->pos[i]);
    }
    if (scores && by != 2) {
        rd_arg_str(&cmd, "WITHSCORES", 10);
    }
    tn_rc rc = rd_exec(c, &cmd, deadline_ns, ret, err);
    if (rc == TN_OK && scores && by != 2) {
        rc = rd_as_scores(*ret, err);
        if (rc != TN_OK) {
            rd_free(*ret);
            *ret = NULL;
        }
    }
    return rc;
}

/* ---- info -------------------------------------------------------------------------------------------- */

/* "name:value" lines as a dict; numbers as numbers. */
tn_rc rd_info(struct rd_conn *c, const tn_args *a, uint64_t deadline_ns, struct rd_node **ret,
              tn_err *err)
{
    struct rd_cmd cmd;
    struct rd_node *text = NULL;
    rd_cmd_init(&cmd, "INFO");
    if (rd_given(&a->pos[0])) {
        rd_arg(&cmd, &a->pos[0]);
    }
    tn_rc rc = rd_exec(c, &cmd, deadline_ns, &text, err);
    if (rc != TN_OK) {
        return rc;
    }
    size_t lines = 0;
    for (const char *p = text->type == RD_TEXT ? text->s : ""; *p != '\0'; p++) {
        lines += *p == '\n';
    }
    struct rd_node *map = rd_node_new(RD_MAP, 2 * lines);
    uint32_t n = 0;
    for (const char *p = text->s; map != NULL && lines != 0 && *p != '\0';) {
        size_t len = strcspn(p, "\r\n"), key = strcspn(p, ":\r\n");
        if (p[0] != '#' && key < len && n + 2 <= 2 * lines) {
            const char *value = p + key + 1;
            char *end;
            long long i = strtoll(value, &end, 10);
            struct rd_node *v = end > value && end == p + len ? rd_node_new(RD_INT, 0)
                                                              : rd_text(value, len - key - 1);
            if (v != NULL && v->type == RD_INT) {
                v->u.i = i;
            }
            map->u.items[n++] = rd_text(p, key);
            map->u.items[n++] = v;
        }
        p += len;
        p += strspn(p, "\r\n");
    }
    rd_free(text);
    if (map == NULL) {
        return rd_host->fail(err, TN_E_NOMEM, "no memory for the result");
    }
    map->n = n;
    *ret = map;
    return TN_OK;
}
