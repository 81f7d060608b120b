/* SPDX-License-Identifier: Apache-2.0 */
/* The key space of the embedded cache: entries, their time, counted memory; commands of any type. */
#include "kernel/hub/cache_int.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- counted memory -------------------------------------------------------------------------------- */

struct text *text_new(struct cache_db *db, tn_str s)
{
    struct text *t = s.n < UINT32_MAX ? malloc(sizeof *t + s.n + 1) : NULL;
    if (t != NULL) {
        t->n = (uint32_t)s.n;
        memcpy(t->s, s.n ? s.s : "", s.n);
        t->s[s.n] = '\0';
        db->used += COST(s.n);
    }
    return t;
}

void text_free(struct cache_db *db, struct text *t)
{
    if (t != NULL) {
        db->used -= COST(t->n);
        free(t);
    }
}

/* ---- entries ------------------------------------------------------------------------------------------ */

static void map_drop(struct cache_db *db, struct entry *e)
{
    tn_str field;
    void *value;
    for (size_t i = 0; map_next(&e->u.map, &i, &field, &value);) {
        db->used -= COST_FIELD + field.n;
        if (e->type == TYPE_HASH) {
            text_free(db, value);
        }
    }
    map_finish(&e->u.map, NULL);
}

void key_del(struct cache_db *db, struct entry *e)
{
    heap_del(&db->due, &e->due);
    map_del(&db->keys, key_name(e));
    switch (e->type) {
    case TYPE_STRING:
        text_free(db, e->u.string);
        break;
    case TYPE_LIST:
        while (e->u.list.n > 0) {
            text_free(db, deque_pop(&e->u.list, true));
        }
        db->used -= e->u.list.cap * sizeof(void *);
        free(e->u.list.ring);
        break;
    case TYPE_ZSET:
        zset_finish(db, &e->u.zset);
        break;
    default:
        map_drop(db, e);
    }
    db->used -= COST_KEY + 2 * (uint64_t)e->name_n;
    free(e);
}

size_t key_count(const struct entry *e)
{
    return e->type == TYPE_STRING ? 1
           : e->type == TYPE_LIST ? e->u.list.n
           : e->type == TYPE_ZSET ? e->u.zset.n
                                  : e->u.map.used;
}

void key_del_if_empty(struct cache_db *db, struct entry *e)
{
    if (key_count(e) == 0) {
        key_del(db, e);
    }
}

static bool is_due(const struct cache_db *db, const struct entry *e)
{
    return e->due.pos != 0 && e->due.at <= (uint64_t)db->now_ms;
}

struct entry *key_get(struct cache_db *db, tn_str name)
{
    struct entry *e = map_get(&db->keys, name);
    if (e != NULL && is_due(db, e)) {
        key_del(db, e);
        e = NULL;
    }
    return e;
}

bool key_find(struct cmd *x, tn_str name, uint32_t type, struct entry **ret)
{
    struct entry *e = key_get(x->db, name);
    if (e != NULL && e->type != type) {
        reply_error(x, WRONG_TYPE);
        return false;
    }
    *ret = e;
    return true;
}

struct entry *key_make(struct cmd *x, tn_str name, uint32_t type)
{
    struct entry *e;
    if (!key_find(x, name, type, &e)) {
        return NULL;
    }
    if (e != NULL) {
        return e;
    }
    e = name.n < UINT32_MAX ? calloc(1, sizeof *e + name.n + 1) : NULL;
    if (e == NULL || map_put(&x->db->keys, name, e, NULL) != 0) {
        free(e);
        reply_error(x, "OOM no memory for a key");
        return NULL;
    }
    e->type = type;
    e->name_n = (uint32_t)name.n;
    memcpy(e->name, name.n ? name.s : "", name.n);
    x->db->used += COST_KEY + 2 * name.n;
    return e;
}

bool key_expire(struct cache_db *db, struct entry *e, int64_t at_ms)
{
    if (at_ms == 0) {
        heap_del(&db->due, &e->due);
        return true;
    }
    if (at_ms <= db->now_ms) {
        key_del(db, e);
        return true;
    }
    return heap_add(&db->due, &e->due, (uint64_t)at_ms) == 0;
}

void keys_sweep(struct cache_db *db, unsigned n)
{
    struct heap_node *top;
    while (n-- > 0 && (top = heap_top(&db->due)) != NULL && top->at <= (uint64_t)db->now_ms) {
        key_del(db, container_of(top, struct entry, due));
    }
}

/* ---- patterns ---------------------------------------------------------------------------------------------- */

/* "[a-z^]" at p (after the bracket); *ret_end is behind the closing one. */
static bool class_match(const char *p, const char *end, char c, const char **ret_end)
{
    bool negate = p < end && *p == '^', hit = false;
    for (p += negate; p < end && *p != ']'; p++) {
        if (*p == '\\' && p + 1 < end) {
            p++;
            hit = hit || *p == c;
        } else if (end - p >= 3 && p[1] == '-') {
            unsigned char a = (unsigned char)p[0], b = (unsigned char)p[2], v = (unsigned char)c;
            hit = hit || (a <= b ? v >= a && v <= b : v >= b && v <= a);
            p += 2;
        } else {
            hit = hit || *p == c;
        }
    }
    *ret_end = p < end ? p + 1 : end;
    return hit != negate;
}

/* Goes back to the last star only: linear in the product, no recursion. */
bool glob_match(tn_str pattern, tn_str s)
{
    const char *p = pattern.s, *pe = p + pattern.n, *t = s.s, *te = t + s.n;
    const char *star = NULL, *mark = NULL;
    while (t < te) {
        const char *next = p < pe ? p + 1 : p;
        bool hit = false;
        if (p < pe && *p == '*') {
            star = next;
            mark = t;
            p = next;
            continue;
        }
        if (p < pe) {
            if (*p == '?') {
                hit = true;
            } else if (*p == '[') {
                hit = class_match(p + 1, pe, *t, &next);
            } else {
                if (*p == '\\' && p + 1 < pe) {
                    p++;
                    next = p + 1;
                }
                hit = *p == *t;
            }
        }
        if (hit) {
            p = next;
            t++;
        } else if (star != NULL) {
            p = star;
            t = ++mark;
        } else {
            return false;
        }
    }
    while (p < pe && *p == '*') {
        p++;
    }
    return p == pe;
}

/* ---- commands ------------------------------------------------------------------------------------------------ */

static void run_del(struct cmd *x)
{
    int64_t n = 0;
    for (size_t i = 1; i < x->argc; i++) {
        struct entry *e = key_get(x->db, x->argv[i]);
        if (e != NULL) {
            key_del(x->db, e);
            n++;
        }
    }
    reply_int(x, n);
}

static void run_exists(struct cmd *x)
{
    int64_t n = 0;
    for (size_t i = 1; i < x->argc; i++) {
        n += key_get(x->db, x->argv[i]) != NULL;
    }
    reply_int(x, n);
}

static void run_type(struct cmd *x)
{
    static const char *const names[] = {"string", "hash", "list", "set", "zset"};
    const struct entry *e = key_get(x->db, x->argv[1]);
    buf_printf(x->out, "+%s\r\n", e != NULL ? names[e->type] : "none");
}

/* EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT key time [NX|XX|GT|LT] */
static void run_expire(struct cmd *x)
{
    int64_t at;
    bool ms = x->name[0] == 'p', absolute = strstr(x->name, "at") != NULL;
    bool nx = false, xx = false, gt = false, lt = false;
    if (!arg_int(x, 2, &at)) {
        return;
    }
    for (size_t i = 3; i < x->argc; i++) {
        if (arg_is(x, i, "nx")) {
            nx = true;
        } else if (arg_is(x, i, "xx")) {
            xx = true;
        } else if (arg_is(x, i, "gt")) {
            gt = true;
        } else if (arg_is(x, i, "lt")) {
            lt = true;
        } else {
            reply_error(x, "ERR Unsupported option %.*s", (int)x->argv[i].n, x->argv[i].s);
            return;
        }
    }
    if (nx && (xx || gt || lt)) {
        reply_error(x, "ERR NX and XX, GT or LT options at the same time are not compatible");
        return;
    }
    if (gt && lt) {
        reply_error(x, "ERR GT and LT options at the same time are not compatible");
        return;
    }
    if ((!ms && __builtin_mul_overflow(at, (int64_t)1000, &at)) ||
        (!absolute && __builtin_add_overflow(at, x->db->now_ms, &at))) {
        reply_error(x, "ERR invalid expire time in '%s' command", x->name);
        return;
    }
    struct entry *e = key_get(x->db, x->argv[1]);
    bool has = e != NULL && e->due.pos != 0;
    if (e == NULL || (nx && has) || (xx && !has) || (gt && (!has || at <= (int64_t)e->due.at)) ||
        (lt && has && at >= (int64_t)e->due.at)) {
        reply_int(x, 0);
    } else if (!key_expire(x->db, e, at > 0 ? at : 1)) {
        reply_error(x, "OOM no memory for an expiry");
    } else {
        reply_int(x, 1);
    }
}

static void run_ttl(struct cmd *x)
{
    const struct entry *e = key_get(x->db, x->argv[1]);
    if (e == NULL || e->due.pos == 0) {
        reply_int(x, e == NULL ? -2 : -1);
        return;
    }
    int64_t left = (int64_t)e->due.at - x->db->now_ms;
    reply_int(x, x->name[0] == 'p' ? left : (left + 500) / 1000);
}

static void run_persist(struct cmd *x)
{
    struct entry *e = key_get(x->db, x->argv[1]);
    bool had = e != NULL && e->due.pos != 0;
    if (had) {
        key_expire(x->db, e, 0);
    }
    reply_int(x, had);
}

/* Names that match, as an array. Only live ones: those whose time has come are removed first. */
static void names(struct cmd *x, tn_str pattern)
{
    struct buf list = BUF_INIT(0), *out = x->out;
    size_t n = 0;
    tn_str name;
    keys_sweep(x->db, UINT32_MAX);
    x->out = &list;
    for (size_t i = 0; map_next(&x->db->keys, &i, &name, NULL);) {
        if (glob_match(pattern, name)) {
            reply_bulk(x, name);
            n++;
        }
    }
    x->out = out;
    reply_array(x, n);
    buf_addstr(out, buf_str(&list));
    out->failed = out->failed || list.failed;
    buf_finish(&list);
}

static void run_keys(struct cmd *x)
{
    names(x, x->argv[1]);
}

bool scan_options(struct cmd *x, size_t first, tn_str *ret_pattern)
{
    int64_t v;
    *ret_pattern = TN_STR("*");
    for (size_t i = first; i < x->argc; i += 2) {
        if (i + 1 == x->argc || (!arg_is(x, i, "match") && !arg_is(x, i, "count"))) {
            reply_error(x, SYNTAX);
            return false;
        }
        if (arg_is(x, i, "match")) {
            *ret_pattern = x->argv[i + 1];
        } else if (!arg_int(x, i + 1, &v)) {
            return false;
        } else if (v < 1) {
            reply_error(x, SYNTAX);
            return false;
        }
    }
    return true;
}

/* SCAN gives everything in one step: the key space is bounded, and a cursor into a table that grows
 * would have to promise more than it can hold. */
static void run_scan(struct cmd *x)
{
    tn_str pattern;
    int64_t v;
    if (!int_read(x->argv[1], &v) || v < 0) {
        reply_error(x, "ERR invalid cursor");
        return;
    }
    if (!scan_options(x, 2, &pattern)) {
        return;
    }
    reply_array(x, 2);
    reply_bulk(x, TN_STR("0"));
    names(x, pattern);
}

static void run_dbsize(struct cmd *x)
{
    keys_sweep(x->db, UINT32_MAX);
    reply_int(x, (int64_t)x->db->keys.used);
}

static void run_flush(struct cmd *x)
{
    tn_str name;
    void *e;
    for (size_t i = 0; map_next(&x->db->keys, &i, &name, &e);) {
        key_del(x->db, e);
    }
    reply_ok(x);
}

/* RENAME, RENAMENX: the entry moves, so it is taken apart and put together under its new name. */
static void run_rename(struct cmd *x)
{
    struct entry *e = key_get(x->db, x->argv[1]), *old;
    bool nx = strcmp(x->name, "renamenx") == 0;
    if (e == NULL) {
        reply_error(x, "ERR no such key");
        return;
    }
    old = key_get(x->db, x->argv[2]);
    if (old == e || (nx && old != NULL)) {
        nx ? reply_int(x, 0) : reply_ok(x);
        return;
    }
    if (old != NULL) {
        key_del(x->db, old);
    }
    struct entry *to = key_make(x, x->argv[2], e->type);
    if (to == NULL) {
        return;
    }
    int64_t at = e->due.pos != 0 ? (int64_t)e->due.at : 0;
    to->u = e->u;
    memset(&e->u, 0, sizeof e->u);
    key_del(x->db, e);
    if (to->type == TYPE_LIST) {
        x->db->pushed = key_name(to);
    }
    if (at != 0 && !key_expire(x->db, to, at)) {
        reply_error(x, "OOM no memory for an expiry");
        return;
    }
    nx ? reply_int(x, 1) : reply_ok(x);
}

static void run_ping(struct cmd *x)
{
    if (x->argc > 2) {
        reply_error(x, "ERR wrong number of arguments for 'ping' command");
    } else if (x->argc == 2) {
        reply_bulk(x, x->argv[1]);
    } else {
        buf_adds(x->out, "+PONG\r\n");
    }
}

/* There is nobody to hear it: subscriptions belong to a Redis server. */
static void run_publish(struct cmd *x)
{
    reply_int(x, 0);
}

const struct cmd_row cmd_keys[] = {
    {"del", -2, 0, run_del},         {"unlink", -2, 0, run_del},
    {"exists", -2, 0, run_exists},   {"type", 2, 0, run_type},
    {"expire", -3, 0, run_expire},   {"pexpire", -3, 0, run_expire},
    {"expireat", -3, 0, run_expire}, {"pexpireat", -3, 0, run_expire},
    {"ttl", 2, 0, run_ttl},          {"pttl", 2, 0, run_ttl},
    {"persist", 2, 0, run_persist},  {"keys", 2, 0, run_keys},
    {"scan", -2, 0, run_scan},       {"dbsize", 1, 0, run_dbsize},
    {"flushdb", -1, 0, run_flush},   {"rename", 3, CMD_WRITE, run_rename},
    {"ping", -1, 0, run_ping},       {"renamenx", 3, CMD_WRITE, run_rename},
    {"publish", 3, 0, run_publish},  {NULL, 0, 0, NULL},
};
