/* SPDX-License-Identifier: Apache-2.0 */
/* Commands of the embedded cache on lists. */
#include "kernel/hub/cache_int.h"

#include <stdlib.h>

static struct text **slot(const struct deque *d, size_t i)
{
    return &d->ring[(d->head + i) & (d->cap - 1)];
}

static bool grow(struct cache_db *db, struct deque *d)
{
    size_t cap = d->cap ? d->cap * 2 : 4;
    struct text **ring = malloc(cap * sizeof(struct text *));
    if (ring == NULL) {
        return false;
    }
    for (size_t i = 0; i < d->n; i++) {
        ring[i] = *slot(d, i);
    }
    db->used += (cap - d->cap) * sizeof(void *);
    free(d->ring);
    *d = (struct deque){ring, cap, 0, d->n};
    return true;
}

static bool deque_push(struct cmd *x, struct deque *d, tn_str value, bool left)
{
    struct text *t = d->n < d->cap || grow(x->db, d) ? text_new(x->db, value) : NULL;
    if (t == NULL) {
        reply_error(x, "OOM no memory for an element");
        return false;
    }
    if (left) {
        d->head = (d->head - 1) & (d->cap - 1);
        *slot(d, 0) = t;
    } else {
        *slot(d, d->n) = t;
    }
    d->n++;
    return true;
}

bool list_push_left(struct cmd *x, tn_str name, tn_str value)
{
    struct entry *e = key_make(x, name, TYPE_LIST);
    if (e == NULL) {
        return false;
    }
    if (!deque_push(x, &e->u.list, value, true)) {
        key_del_if_empty(x->db, e);
        return false;
    }
    x->db->pushed = key_name(e);
    return true;
}

struct text *deque_pop(struct deque *d, bool left)
{
    struct text *t = *slot(d, left ? 0 : d->n - 1);
    if (left) {
        d->head = (d->head + 1) & (d->cap - 1);
    }
    d->n--;
    return t;
}

/* LPUSH, RPUSH, LPUSHX, RPUSHX */
static void run_push(struct cmd *x)
{
    struct entry *e;
    bool left = x->name[0] == 'l';
    if (x->name[5] == 'x') {
        if (!key_find(x, x->argv[1], TYPE_LIST, &e)) {
            return;
        }
        if (e == NULL) {
            reply_int(x, 0);
            return;
        }
    } else if ((e = key_make(x, x->argv[1], TYPE_LIST)) == NULL) {
        return;
    }
    for (size_t i = 2; i < x->argc; i++) {
        if (!deque_push(x, &e->u.list, x->argv[i], left)) {
            key_del_if_empty(x->db, e);
            return;
        }
    }
    x->db->pushed = key_name(e);
    reply_int(x, (int64_t)e->u.list.n);
}

static void pop_one(struct cmd *x, struct entry *e, bool left)
{
    struct text *t = deque_pop(&e->u.list, left);
    reply_bulk(x, text_str(t));
    text_free(x->db, t);
}

/* LPOP, RPOP key [count] */
static void run_pop(struct cmd *x)
{
    struct entry *e;
    int64_t count = 1;
    bool left = x->name[0] == 'l';
    if (x->argc > 3) {
        reply_error(x, "ERR wrong number of arguments for '%s' command", x->name);
        return;
    }
    if (x->argc == 3 && (!int_read(x->argv[2], &count) || count < 0)) {
        reply_error(x, "ERR value is out of range, must be positive");
        return;
    }
    if (!key_find(x, x->argv[1], TYPE_LIST, &e)) {
        return;
    }
    if (e == NULL) {
        x->argc == 3 ? reply_nil_array(x) : reply_nil(x);
        return;
    }
    if (x->argc == 3) {
        count = (uint64_t)count > e->u.list.n ? (int64_t)e->u.list.n : count;
        reply_array(x, (size_t)count);
    }
    while (count-- > 0) {
        pop_one(x, e, left);
    }
    key_del_if_empty(x->db, e);
}

bool list_pop_pair(struct cmd *x, tn_str name, bool left)
{
    struct entry *e;
    if (!key_find(x, name, TYPE_LIST, &e)) {
        return true;
    }
    if (e == NULL) {
        return false;
    }
    reply_array(x, 2);
    reply_bulk(x, name);
    pop_one(x, e, left);
    key_del_if_empty(x->db, e);
    return true;
}

/* BLPOP, BRPOP key … timeout; whoever called waits when this leaves block_ms set (cache.c). */
static void run_bpop(struct cmd *x)
{
    double seconds;
    if (!float_read(x->argv[x->argc - 1], &seconds) || seconds > 1e9) {
        reply_error(x, "ERR timeout is not a float or out of range");
        return;
    }
    if (seconds < 0) {
        reply_error(x, "ERR timeout is negative");
        return;
    }
    for (size_t i = 1; i + 1 < x->argc; i++) {
        if (list_pop_pair(x, x->argv[i], x->name[1] == 'l')) {
            return;
        }
    }
    reply_nil_array(x);
    x->db->block_ms = seconds > 0 && seconds < 0.001 ? 1 : (int64_t)(seconds * 1000);
}

static void run_rpoplpush(struct cmd *x)
{
    struct entry *from, *to;
    if (!key_find(x, x->argv[1], TYPE_LIST, &from)) {
        return;
    }
    if (from == NULL) {
        reply_nil(x);
        return;
    }
    if ((to = key_make(x, x->argv[2], TYPE_LIST)) == NULL) {
        return;
    }
    struct text *t = deque_pop(&from->u.list, false);
    size_t before = x->out->len;
    reply_bulk(x, text_str(t));
    bool ok = deque_push(x, &to->u.list, text_str(t), true);
    if (!ok) { /* back where it was: there is room for it */
        from->u.list.n++;
        *slot(&from->u.list, from->u.list.n - 1) = t;
        x->out->len = before;
        key_del_if_empty(x->db, to);
        reply_error(x, "OOM no memory for an element");
        return;
    }
    text_free(x->db, t);
    x->db->pushed = key_name(to);
    if (from != to) {
        key_del_if_empty(x->db, from);
    }
}

static void run_llen(struct cmd *x)
{
    struct entry *e;
    if (key_find(x, x->argv[1], TYPE_LIST, &e)) {
        reply_int(x, e != NULL ? (int64_t)e->u.list.n : 0);
    }
}

static void run_lrange(struct cmd *x)
{
    struct entry *e;
    int64_t start, stop;
    if (!arg_int(x, 2, &start) || !arg_int(x, 3, &stop) ||
        !key_find(x, x->argv[1], TYPE_LIST, &e)) {
        return;
    }
    if (e == NULL || !range_clamp(&start, &stop, e->u.list.n)) {
        reply_array(x, 0);
        return;
    }
    reply_array(x, (size_t)(stop - start + 1));
    for (; start <= stop; start++) {
        reply_bulk(x, text_str(*slot(&e->u.list, (size_t)start)));
    }
}

static void run_ltrim(struct cmd *x)
{
    struct entry *e;
    int64_t start, stop;
    if (!arg_int(x, 2, &start) || !arg_int(x, 3, &stop) ||
        !key_find(x, x->argv[1], TYPE_LIST, &e)) {
        return;
    }
    if (e != NULL && !range_clamp(&start, &stop, e->u.list.n)) {
        key_del(x->db, e);
    } else if (e != NULL) {
        while (e->u.list.n > (size_t)stop + 1) {
            text_free(x->db, deque_pop(&e->u.list, false));
        }
        while (start-- > 0) {
            text_free(x->db, deque_pop(&e->u.list, true));
        }
    }
    reply_ok(x);
}

/* Index from the end when negative; false: beyond. */
static bool at_index(const struct deque *d, int64_t i, size_t *ret)
{
    i += i < 0 ? (int64_t)d->n : 0;
    *ret = (size_t)i;
    return i >= 0 && i < (int64_t)d->n;
}

static void run_lindex(struct cmd *x)
{
    struct entry *e;
    int64_t i;
    size_t at;
    if (!arg_int(x, 2, &i) || !key_find(x, x->argv[1], TYPE_LIST, &e)) {
        return;
    }
    if (e != NULL && at_index(&e->u.list, i, &at)) {
        reply_bulk(x, text_str(*slot(&e->u.list, at)));
    } else {
        reply_nil(x);
    }
}

static void run_lset(struct cmd *x)
{
    struct entry *e;
    int64_t i;
    size_t at;
    if (!key_find(x, x->argv[1], TYPE_LIST, &e)) {
        return;
    }
    if (e == NULL) {
        reply_error(x, "ERR no such key");
        return;
    }
    if (!arg_int(x, 2, &i)) {
        return;
    }
    if (!at_index(&e->u.list, i, &at)) {
        reply_error(x, "ERR index out of range");
        return;
    }
    struct text *t = text_new(x->db, x->argv[3]);
    if (t == NULL) {
        reply_error(x, "OOM no memory for an element");
        return;
    }
    text_free(x->db, *slot(&e->u.list, at));
    *slot(&e->u.list, at) = t;
    reply_ok(x);
}

static void run_lrem(struct cmd *x)
{
    struct entry *e;
    int64_t count, n = 0;
    if (!arg_int(x, 2, &count) || !key_find(x, x->argv[1], TYPE_LIST, &e)) {
        return;
    }
    if (e == NULL) {
        reply_int(x, 0);
        return;
    }
    struct deque *d = &e->u.list;
    bool back = count < 0;
    uint64_t most = count == 0 ? UINT64_MAX : back ? 0 - (uint64_t)count : (uint64_t)count;
    size_t all = d->n, kept = 0;
    for (size_t i = 0; i < all; i++) { /* elements that stay move towards the end we come from */
        struct text **at = slot(d, back ? all - 1 - i : i);
        if ((uint64_t)n < most && str_eq(text_str(*at), x->argv[3])) {
            text_free(x->db, *at);
            n++;
        } else {
            *slot(d, back ? all - 1 - kept : kept) = *at;
            kept++;
        }
    }
    d->head = back ? (d->head + (all - kept)) & (d->cap - 1) : d->head;
    d->n = kept;
    key_del_if_empty(x->db, e);
    reply_int(x, n);
}

const struct cmd_row cmd_lists[] = {
    {"lpush", -3, CMD_WRITE, run_push},
    {"rpush", -3, CMD_WRITE, run_push},
    {"lpushx", -3, CMD_WRITE, run_push},
    {"rpushx", -3, CMD_WRITE, run_push},
    {"lpop", -2, 0, run_pop},
    {"rpop", -2, 0, run_pop},
    {"blpop", -3, CMD_BLOCK, run_bpop},
    {"brpop", -3, CMD_BLOCK, run_bpop},
    {"rpoplpush", 3, CMD_WRITE, run_rpoplpush},
    {"llen", 2, 0, run_llen},
    {"lrange", 4, 0, run_lrange},
    {"ltrim", 4, 0, run_ltrim},
    {"lindex", 3, 0, run_lindex},
    {"lset", 4, CMD_WRITE, run_lset},
    {"lrem", 4, 0, run_lrem},
    {NULL, 0, 0, NULL},
};
