/* SPDX-License-Identifier: Apache-2.0 */
/* Commands of the embedded cache on hashes. */
#include "kernel/hub/cache_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

bool field_put(struct cmd *x, struct entry *e, tn_str field, struct text *value_take, bool *ret_new)
{
    void *old = NULL;
    if (value_take == NULL || map_put(&e->u.map, field, value_take, &old) != 0) {
        text_free(x->db, value_take);
        key_del_if_empty(x->db, e);
        reply_error(x, "OOM no memory for a field");
        return false;
    }
    *ret_new = old == NULL;
    if (old == NULL) {
        x->db->used += COST_FIELD + field.n;
    }
    text_free(x->db, old);
    return true;
}

bool field_del(struct cache_db *db, struct entry *e, tn_str field)
{
    struct text *old = map_del(&e->u.map, field);
    if (old == NULL) {
        return false;
    }
    db->used -= COST_FIELD + field.n;
    if (e->type == TYPE_HASH) {
        text_free(db, old);
    }
    return true;
}

/* HSET, HMSET key field value … */
static void run_hset(struct cmd *x)
{
    struct entry *e;
    int64_t n = 0;
    if (x->argc % 2 != 0) {
        reply_error(x, "ERR wrong number of arguments for '%s' command", x->name);
        return;
    }
    if ((e = key_make(x, x->argv[1], TYPE_HASH)) == NULL) {
        return;
    }
    for (size_t i = 2; i < x->argc; i += 2) {
        bool fresh;
        if (!field_put(x, e, x->argv[i], text_new(x->db, x->argv[i + 1]), &fresh)) {
            return;
        }
        n += fresh;
    }
    x->name[1] == 'm' ? reply_ok(x) : reply_int(x, n);
}

static void run_hsetnx(struct cmd *x)
{
    struct entry *e = key_make(x, x->argv[1], TYPE_HASH);
    bool fresh;
    if (e == NULL) {
        return;
    }
    if (map_get(&e->u.map, x->argv[2]) != NULL) {
        reply_int(x, 0);
    } else if (field_put(x, e, x->argv[2], text_new(x->db, x->argv[3]), &fresh)) {
        reply_int(x, 1);
    }
}

static void reply_field(struct cmd *x, const struct entry *e, tn_str field)
{
    const struct text *t = e != NULL ? map_get(&e->u.map, field) : NULL;
    if (t != NULL) {
        reply_bulk(x, text_str(t));
    } else {
        reply_nil(x);
    }
}

static void run_hget(struct cmd *x)
{
    struct entry *e;
    if (key_find(x, x->argv[1], TYPE_HASH, &e)) {
        reply_field(x, e, x->argv[2]);
    }
}

static void run_hmget(struct cmd *x)
{
    struct entry *e;
    if (!key_find(x, x->argv[1], TYPE_HASH, &e)) {
        return;
    }
    reply_array(x, x->argc - 2);
    for (size_t i = 2; i < x->argc; i++) {
        reply_field(x, e, x->argv[i]);
    }
}

/* HGETALL, HKEYS, HVALS */
static void run_hgetall(struct cmd *x)
{
    struct entry *e;
    tn_str field;
    void *value;
    bool keys = strcmp(x->name, "hvals") != 0, values = strcmp(x->name, "hkeys") != 0;
    if (!key_find(x, x->argv[1], TYPE_HASH, &e)) {
        return;
    }
    reply_array(x, e != NULL ? e->u.map.used * (size_t)(keys + values) : 0);
    for (size_t i = 0; e != NULL && map_next(&e->u.map, &i, &field, &value);) {
        if (keys) {
            reply_bulk(x, field);
        }
        if (values) {
            reply_bulk(x, text_str(value));
        }
    }
}

static void run_hlen(struct cmd *x)
{
    struct entry *e;
    if (key_find(x, x->argv[1], TYPE_HASH, &e)) {
        reply_int(x, e != NULL ? (int64_t)e->u.map.used : 0);
    }
}

static void run_hexists(struct cmd *x)
{
    struct entry *e;
    if (key_find(x, x->argv[1], TYPE_HASH, &e)) {
        reply_int(x, e != NULL && map_get(&e->u.map, x->argv[2]) != NULL);
    }
}

void fields_del(struct cmd *x, uint32_t type)
{
    struct entry *e;
    int64_t n = 0;
    if (!key_find(x, x->argv[1], type, &e)) {
        return;
    }
    for (size_t i = 2; e != NULL && i < x->argc; i++) {
        n += field_del(x->db, e, x->argv[i]);
    }
    if (e != NULL) {
        key_del_if_empty(x->db, e);
    }
    reply_int(x, n);
}

static void run_hdel(struct cmd *x)
{
    fields_del(x, TYPE_HASH);
}

static void run_hincrby(struct cmd *x)
{
    struct entry *e;
    int64_t step, v = 0;
    char text[24];
    bool fresh;
    if (!arg_int(x, 3, &step) || (e = key_make(x, x->argv[1], TYPE_HASH)) == NULL) {
        return;
    }
    const struct text *old = map_get(&e->u.map, x->argv[2]);
    if (old != NULL && !int_read(text_str(old), &v)) {
        reply_error(x, "ERR hash value is not an integer");
        return;
    }
    if (__builtin_add_overflow(v, step, &v)) {
        reply_error(x, "ERR increment or decrement would overflow");
        return;
    }
    tn_str s = {text, (size_t)snprintf(text, sizeof text, "%lld", (long long)v)};
    if (field_put(x, e, x->argv[2], text_new(x->db, s), &fresh)) {
        reply_int(x, v);
    }
}

static void run_hincrbyfloat(struct cmd *x)
{
    struct entry *e;
    double step, was = 0;
    char text[400];
    bool fresh;
    if (!arg_float(x, 3, &step) || (e = key_make(x, x->argv[1], TYPE_HASH)) == NULL) {
        return;
    }
    const struct text *old = map_get(&e->u.map, x->argv[2]);
    if (old != NULL && !float_read(text_str(old), &was)) {
        reply_error(x, "ERR hash value is not a float");
        return;
    }
    char *by = str_dup(x->argv[3]);
    long double v = (old != NULL ? strtold(old->s, NULL) : 0) +
                    (by != NULL ? strtold(by, NULL) : 0);
    free(by);
    if (!isfinite(v)) {
        key_del_if_empty(x->db, e);
        reply_error(x, "ERR increment would produce NaN or Infinity");
        return;
    }
    tn_str s = {text, float_text(v, text, sizeof text)};
    if (field_put(x, e, x->argv[2], text_new(x->db, s), &fresh)) {
        reply_bulk(x, s);
    }
}

/* HSCAN key cursor [MATCH pattern] [COUNT n]: everything in one step, as SCAN. */
static void run_hscan(struct cmd *x)
{
    struct buf list = BUF_INIT(0), *out = x->out;
    struct entry *e;
    tn_str pattern = TN_STR("*"), field;
    void *value;
    int64_t v;
    size_t n = 0;
    if (!int_read(x->argv[2], &v) || v < 0) {
        reply_error(x, "ERR invalid cursor");
        return;
    }
    if (!key_find(x, x->argv[1], TYPE_HASH, &e) || (e != NULL && !scan_options(x, 3, &pattern))) {
        return;
    }
    x->out = &list;
    for (size_t i = 0; e != NULL && map_next(&e->u.map, &i, &field, &value);) {
        if (glob_match(pattern, field)) {
            reply_bulk(x, field);
            reply_bulk(x, text_str(value));
            n++;
        }
    }
    x->out = out;
    reply_array(x, 2);
    reply_bulk(x, TN_STR("0"));
    reply_array(x, 2 * n);
    buf_addstr(out, buf_str(&list));
    out->failed = out->failed || list.failed;
    buf_finish(&list);
}

const struct cmd_row cmd_hashes[] = {
    {"hset", -4, CMD_WRITE, run_hset},
    {"hmset", -4, CMD_WRITE, run_hset},
    {"hsetnx", 4, CMD_WRITE, run_hsetnx},
    {"hget", 3, 0, run_hget},
    {"hmget", -3, 0, run_hmget},
    {"hgetall", 2, 0, run_hgetall},
    {"hkeys", 2, 0, run_hgetall},
    {"hvals", 2, 0, run_hgetall},
    {"hscan", -3, 0, run_hscan},
    {"hlen", 2, 0, run_hlen},
    {"hexists", 3, 0, run_hexists},
    {"hdel", -3, 0, run_hdel},
    {"hincrby", 4, CMD_WRITE, run_hincrby},
    {"hincrbyfloat", 4, CMD_WRITE, run_hincrbyfloat},
    {NULL, 0, 0, NULL},
};
