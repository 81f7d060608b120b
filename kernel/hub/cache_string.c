/* SPDX-License-Identifier: Apache-2.0 */
/* Commands of the embedded cache on strings. */
#include "kernel/hub/cache_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Replaces the value of e; takes t (NULL: answered as out of memory). */
static bool value_set(struct cmd *x, struct entry *e, struct text *t)
{
    if (t == NULL) {
        key_del_if_empty(x->db, e);
        reply_error(x, "OOM no memory for a value");
        return false;
    }
    text_free(x->db, e->u.string);
    e->u.string = t;
    return true;
}

/* The key becomes a string with this value, whatever it was, and lives for ever. */
static struct entry *overwrite(struct cmd *x, tn_str name, tn_str value, bool keep_ttl)
{
    struct entry *e = key_get(x->db, name);
    int64_t at = keep_ttl && e != NULL && e->due.pos != 0 ? (int64_t)e->due.at : 0;
    if (e != NULL && e->type != TYPE_STRING) {
        key_del(x->db, e);
    }
    struct text *t = text_new(x->db, value);
    e = t != NULL ? key_make(x, name, TYPE_STRING) : NULL;
    if (e == NULL) {
        if (t == NULL) {
            reply_error(x, "OOM no memory for a value");
        }
        text_free(x->db, t);
        return NULL;
    }
    text_free(x->db, e->u.string);
    e->u.string = t;
    if (!key_expire(x->db, e, at)) {
        reply_error(x, "OOM no memory for an expiry");
        return NULL;
    }
    return e;
}

static void reply_string(struct cmd *x, const struct entry *e)
{
    if (e != NULL) {
        reply_bulk(x, text_str(e->u.string));
    } else {
        reply_nil(x);
    }
}

static void run_get(struct cmd *x)
{
    struct entry *e;
    if (key_find(x, x->argv[1], TYPE_STRING, &e)) {
        reply_string(x, e);
        if (e != NULL && strcmp(x->name, "getdel") == 0) {
            key_del(x->db, e);
        }
    }
}

struct set_options {
    bool nx, xx, get, keep;
    int64_t at; /* 0: none */
};

/* The time of EX, PX, EXAT or PXAT: unit and whether it counts from 1970. */
static bool set_time(struct cmd *x, size_t i, int64_t unit, bool absolute, int64_t *ret)
{
    int64_t v;
    if (!arg_int(x, i, &v)) {
        return false;
    }
    if (v <= 0 || __builtin_mul_overflow(v, unit, &v) ||
        (!absolute && __builtin_add_overflow(v, x->db->now_ms, &v))) {
        reply_error(x, "ERR invalid expire time in '%s' command", x->name);
        return false;
    }
    *ret = v;
    return true;
}

static bool set_options(struct cmd *x, struct set_options *o)
{
    static const struct {
        const char *word;
        int64_t unit;
        bool absolute;
    } times[] = {{"ex", 1000, false}, {"px", 1, false}, {"exat", 1000, true}, {"pxat", 1, true}};
    for (size_t i = 3; i < x->argc; i++) {
        size_t t = 0;
        while (t < 4 && !arg_is(x, i, times[t].word)) {
            t++;
        }
        if (t < 4 && i + 1 < x->argc && o->at == 0 && !o->keep) {
            if (!set_time(x, ++i, times[t].unit, times[t].absolute, &o->at)) {
                return false;
            }
        } else if (arg_is(x, i, "nx") && !o->xx) {
            o->nx = true;
        } else if (arg_is(x, i, "xx") && !o->nx) {
            o->xx = true;
        } else if (arg_is(x, i, "get")) {
            o->get = true;
        } else if (arg_is(x, i, "keepttl") && o->at == 0) {
            o->keep = true;
        } else {
            reply_error(x, SYNTAX);
            return false;
        }
    }
    return true;
}

static void run_set(struct cmd *x)
{
    struct set_options o = {0};
    struct entry *e = NULL;
    if (!set_options(x, &o) || (o.get && !key_find(x, x->argv[1], TYPE_STRING, &e))) {
        return;
    }
    if (!o.get) {
        e = key_get(x->db, x->argv[1]);
    }
    bool write = !((o.nx && e != NULL) || (o.xx && e == NULL));
    size_t before = x->out->len;
    if (o.get) {
        reply_string(x, e);
    }
    if (write) {
        size_t answered = x->out->len;
        e = overwrite(x, x->argv[1], x->argv[2], o.keep);
        if (e != NULL && o.at != 0 && !key_expire(x->db, e, o.at)) {
            reply_error(x, "OOM no memory for an expiry");
            e = NULL;
        }
        if (e == NULL) { /* the error replaces the old value */
            size_t n = x->out->len - answered;
            memmove(x->out->data + before, x->out->data + answered, n);
            x->out->len = before + n;
            return;
        }
    }
    if (!o.get) {
        write ? reply_ok(x) : reply_nil(x);
    }
}

static void run_setnx(struct cmd *x)
{
    if (key_get(x->db, x->argv[1]) != NULL) {
        reply_int(x, 0);
    } else if (overwrite(x, x->argv[1], x->argv[2], false) != NULL) {
        reply_int(x, 1);
    }
}

/* SETEX, PSETEX key time value */
static void run_setex(struct cmd *x)
{
    int64_t at;
    struct entry *e;
    if (!set_time(x, 2, x->name[0] == 'p' ? 1 : 1000, false, &at) ||
        (e = overwrite(x, x->argv[1], x->argv[3], false)) == NULL) {
        return;
    }
    if (!key_expire(x->db, e, at)) {
        reply_error(x, "OOM no memory for an expiry");
        return;
    }
    reply_ok(x);
}

static void run_getset(struct cmd *x)
{
    struct entry *e;
    struct buf old = BUF_INIT(0), *out = x->out;
    if (!key_find(x, x->argv[1], TYPE_STRING, &e)) {
        return;
    }
    x->out = &old;
    reply_string(x, e);
    x->out = out;
    if (overwrite(x, x->argv[1], x->argv[2], false) != NULL) {
        buf_addstr(out, buf_str(&old));
    }
    buf_finish(&old);
}

static void run_mset(struct cmd *x)
{
    bool nx = strcmp(x->name, "msetnx") == 0;
    if (x->argc % 2 == 0) {
        reply_error(x, "ERR wrong number of arguments for '%s' command", x->name);
        return;
    }
    for (size_t i = 1; nx && i < x->argc; i += 2) {
        if (key_get(x->db, x->argv[i]) != NULL) {
            reply_int(x, 0);
            return;
        }
    }
    for (size_t i = 1; i < x->argc; i += 2) {
        if (overwrite(x, x->argv[i], x->argv[i + 1], false) == NULL) {
            return;
        }
    }
    nx ? reply_int(x, 1) : reply_ok(x);
}

static void run_mget(struct cmd *x)
{
    reply_array(x, x->argc - 1);
    for (size_t i = 1; i < x->argc; i++) {
        const struct entry *e = key_get(x->db, x->argv[i]);
        reply_string(x, e != NULL && e->type == TYPE_STRING ? e : NULL);
    }
}

static void run_strlen(struct cmd *x)
{
    struct entry *e;
    if (key_find(x, x->argv[1], TYPE_STRING, &e)) {
        reply_int(x, e != NULL ? (int64_t)e->u.string->n : 0);
    }
}

static void run_append(struct cmd *x)
{
    struct entry *e;
    if (!key_find(x, x->argv[1], TYPE_STRING, &e)) {
        return;
    }
    if (e == NULL) {
        e = overwrite(x, x->argv[1], x->argv[2], false);
    } else {
        struct buf all = BUF_INIT(0);
        buf_addstr(&all, text_str(e->u.string));
        buf_addstr(&all, x->argv[2]);
        e = value_set(x, e, all.failed ? NULL : text_new(x->db, buf_str(&all))) ? e : NULL;
        buf_finish(&all);
    }
    if (e != NULL) {
        reply_int(x, (int64_t)e->u.string->n);
    }
}

static void run_getrange(struct cmd *x)
{
    struct entry *e;
    int64_t start, stop;
    if (!arg_int(x, 2, &start) || !arg_int(x, 3, &stop) ||
        !key_find(x, x->argv[1], TYPE_STRING, &e)) {
        return;
    }
    int64_t len = e != NULL ? (int64_t)e->u.string->n : 0;
    bool backwards = start < 0 && stop < 0 && start > stop;
    start += start < 0 ? len
                       : 0; /* unlike in lists, an end before the text counts as its first byte */
    stop += stop < 0 ? len : 0;
    start = start < 0 ? 0 : start;
    stop = stop < 0 ? 0 : stop >= len ? len - 1 : stop;
    if (len == 0 || backwards || start > stop) {
        reply_bulk(x, TN_STR(""));
    } else {
        reply_bulk(x, (tn_str){e->u.string->s + start, (size_t)(stop - start + 1)});
    }
}

/* INCR, DECR, INCRBY, DECRBY */
static void run_incr(struct cmd *x)
{
    struct entry *e;
    int64_t step = 1, v = 0;
    char text[24];
    if (x->argc == 3 && !arg_int(x, 2, &step)) {
        return;
    }
    if (x->name[0] == 'd') {
        if (step == INT64_MIN) {
            reply_error(x, "ERR decrement would overflow");
            return;
        }
        step = -step;
    }
    if (!key_find(x, x->argv[1], TYPE_STRING, &e)) {
        return;
    }
    if (e != NULL && !int_read(text_str(e->u.string), &v)) {
        reply_error(x, NOT_INTEGER);
        return;
    }
    if (__builtin_add_overflow(v, step, &v)) {
        reply_error(x, "ERR increment or decrement would overflow");
        return;
    }
    tn_str s = {text, (size_t)snprintf(text, sizeof text, "%lld", (long long)v)};
    if (overwrite(x, x->argv[1], s, true) != NULL) {
        reply_int(x, v);
    }
}

static void run_incrbyfloat(struct cmd *x)
{
    struct entry *e;
    double step, was = 0;
    char text[400];
    if (!key_find(x, x->argv[1], TYPE_STRING, &e)) {
        return;
    }
    if (e != NULL && !float_read(text_str(e->u.string), &was)) {
        reply_error(x, NOT_FLOAT);
        return;
    }
    if (!arg_float(x, 2, &step)) {
        return;
    }
    tn_str old = e != NULL ? text_str(e->u.string) : TN_STR("0");
    char *copy = str_dup(old), *by = str_dup(x->argv[2]);
    long double v = copy != NULL && by != NULL ? strtold(copy, NULL) + strtold(by, NULL) : 0;
    free(copy);
    free(by);
    if (!isfinite(v)) {
        reply_error(x, "ERR increment would produce NaN or Infinity");
        return;
    }
    tn_str s = {text, float_text(v, text, sizeof text)};
    if (overwrite(x, x->argv[1], s, true) != NULL) {
        reply_bulk(x, s);
    }
}

const struct cmd_row cmd_strings[] = {
    {"get", 2, 0, run_get},
    {"getdel", 2, 0, run_get},
    {"set", -3, CMD_WRITE, run_set},
    {"setnx", 3, CMD_WRITE, run_setnx},
    {"setex", 4, CMD_WRITE, run_setex},
    {"psetex", 4, CMD_WRITE, run_setex},
    {"getset", 3, CMD_WRITE, run_getset},
    {"mset", -3, CMD_WRITE, run_mset},
    {"msetnx", -3, CMD_WRITE, run_mset},
    {"mget", -2, 0, run_mget},
    {"strlen", 2, 0, run_strlen},
    {"append", 3, CMD_WRITE, run_append},
    {"getrange", 4, 0, run_getrange},
    {"incr", 2, CMD_WRITE, run_incr},
    {"decr", 2, CMD_WRITE, run_incr},
    {"incrby", 3, CMD_WRITE, run_incr},
    {"decrby", 3, CMD_WRITE, run_incr},
    {"incrbyfloat", 3, CMD_WRITE, run_incrbyfloat},
    {NULL, 0, 0, NULL},
};
