/* SPDX-License-Identifier: Apache-2.0 */
/* Commands of the embedded cache on sorted sets. The order is an array: moving pointers costs less than
 * the nodes of a skip list up to far beyond what the memory bound lets in. */
#include "kernel/hub/cache_int.h"

#include <math.h>
#include <stdlib.h>

#define COST_NODE (sizeof(struct node) + sizeof(void *) + COST_FIELD)

/* ---- the order --------------------------------------------------------------------------------------- */

int zset_compare(double a_score, tn_str a, double b_score, tn_str b)
{
    if (a_score != b_score) {
        return a_score < b_score ? -1 : 1;
    }
    int c = memcmp(a.s, b.s, a.n < b.n ? a.n : b.n);
    return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

/* Index of the first node that is not before (score, name). */
size_t zset_position(const struct zset *z, double score, tn_str name)
{
    size_t lo = 0, hi = z->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        const struct node *n = z->order[mid];
        if (zset_compare(n->score, text_str(n->member), score, name) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static void order_insert(struct zset *z, struct node *n)
{
    size_t at = zset_position(z, n->score, text_str(n->member));
    memmove(z->order + at + 1, z->order + at, (z->n - at) * sizeof *z->order);
    z->order[at] = n;
    z->n++;
}

static void order_remove(struct zset *z, const struct node *n)
{
    size_t at = zset_position(z, n->score, text_str(n->member));
    z->n--;
    memmove(z->order + at, z->order + at + 1, (z->n - at) * sizeof *z->order);
}

static void node_free(struct cache_db *db, struct node *n)
{
    db->used -= COST_NODE + n->member->n;
    text_free(db, n->member);
    free(n);
}

void zset_finish(struct cache_db *db, struct zset *z)
{
    for (size_t i = 0; i < z->n; i++) {
        node_free(db, z->order[i]);
    }
    map_finish(&z->by_name, NULL);
    free(z->order);
    *z = (struct zset){0};
}

static struct node *node_new(struct cache_db *db, struct zset *z, tn_str name, double score)
{
    struct node *n = malloc(sizeof *n);
    if (z->n == z->cap) {
        size_t cap = z->cap ? z->cap * 2 : 4;
        struct node **more = realloc(z->order, cap * sizeof(struct node *));
        if (more == NULL) {
            free(n);
            return NULL;
        }
        z->order = more;
        z->cap = cap;
    }
    struct text *member = n != NULL ? text_new(db, name) : NULL;
    if (member == NULL || map_put(&z->by_name, name, n, NULL) != 0) {
        text_free(db, member);
        free(n);
        return NULL;
    }
    *n = (struct node){score, member};
    db->used += COST_NODE + name.n;
    order_insert(z, n);
    return n;
}

void zset_remove(struct cache_db *db, struct zset *z, size_t lo, size_t hi)
{
    if (lo == hi) {
        return; /* the order of an empty one may be NULL */
    }
    for (size_t i = lo; i < hi; i++) {
        map_del(&z->by_name, text_str(z->order[i]->member));
        node_free(db, z->order[i]);
    }
    memmove(z->order + lo, z->order + hi, (z->n - hi) * sizeof *z->order);
    z->n -= hi - lo;
}

static void rescore(struct zset *z, struct node *n, double score)
{
    if (n->score != score) {
        order_remove(z, n);
        n->score = score;
        order_insert(z, n);
    }
}

bool zset_put(struct cache_db *db, struct zset *z, tn_str name, double score)
{
    struct node *n = map_get(&z->by_name, name);
    if (n == NULL) {
        return node_new(db, z, name, score) != NULL;
    }
    rescore(z, n, score);
    return true;
}

/* ---- ZADD, ZINCRBY ---------------------------------------------------------------------------------------- */

struct add_options {
    bool nx, xx, gt, lt, ch, incr;
};

static bool add_options(struct cmd *x, struct add_options *o, size_t *ret_first)
{
    size_t i = 2;
    for (;; i++) {
        bool *flag = i >= x->argc           ? NULL
                     : arg_is(x, i, "nx")   ? &o->nx
                     : arg_is(x, i, "xx")   ? &o->xx
                     : arg_is(x, i, "gt")   ? &o->gt
                     : arg_is(x, i, "lt")   ? &o->lt
                     : arg_is(x, i, "ch")   ? &o->ch
                     : arg_is(x, i, "incr") ? &o->incr
                                            : NULL;
        if (flag == NULL) {
            break;
        }
        *flag = true;
    }
    *ret_first = i;
    if (i == x->argc || (x->argc - i) % 2 != 0) {
        reply_error(x, SYNTAX);
    } else if (o->nx && o->xx) {
        reply_error(x, "ERR XX and NX options at the same time are not compatible");
    } else if ((o->gt && o->nx) || (o->lt && o->nx) || (o->gt && o->lt)) {
        reply_error(x, "ERR GT, LT, and/or NX options at the same time are not compatible");
    } else if (o->incr && x->argc - i > 2) {
        reply_error(x, "ERR INCR option supports a single increment-element pair");
    } else {
        return true;
    }
    return false;
}

/* One pair. *ret_score is what the member has now, NaN when nothing was done; false: answered. */
static bool add_one(struct cmd *x, struct zset *z, const struct add_options *o, double score,
                    tn_str name, int64_t *added, int64_t *changed, double *ret_score)
{
    struct node *n = map_get(&z->by_name, name);
    *ret_score = (double)NAN;
    if (n == NULL) {
        if (o->xx) {
            return true;
        }
        if (node_new(x->db, z, name, score) == NULL) {
            reply_error(x, "OOM no memory for a member");
            return false;
        }
        *ret_score = score;
        ++*added;
        return true;
    }
    if (o->nx) {
        return true;
    }
    score += o->incr ? n->score : 0;
    if (isnan(score)) {
        reply_error(x, "ERR resulting score is not a number (NaN)");
        return false;
    }
    if ((o->gt && score <= n->score) || (o->lt && score >= n->score)) {
        return true;
    }
    *changed += score != n->score;
    rescore(z, n, score);
    *ret_score = score;
    return true;
}

static void add_all(struct cmd *x, const struct add_options *o, size_t first)
{
    int64_t added = 0, changed = 0;
    double score, now = (double)NAN;
    for (size_t i = first; i < x->argc; i += 2) { /* all are numbers before anything changes */
        if (!arg_float(x, i, &score)) {
            return;
        }
    }
    struct entry *e;
    if (!key_find(x, x->argv[1], TYPE_ZSET, &e) ||
        (e == NULL && !o->xx && (e = key_make(x, x->argv[1], TYPE_ZSET)) == NULL)) {
        return;
    }
    for (size_t i = first; e != NULL && i < x->argc; i += 2) {
        if (!arg_float(x, i, &score) ||
            !add_one(x, &e->u.zset, o, score, x->argv[i + 1], &added, &changed, &now)) {
            key_del_if_empty(x->db, e);
            return;
        }
    }
    if (!o->incr) {
        reply_int(x, o->ch ? added + changed : added);
    } else if (isnan(now)) {
        reply_nil(x);
    } else {
        reply_double(x, now);
    }
}

static void run_zadd(struct cmd *x)
{
    struct add_options o = {0};
    size_t first;
    if (add_options(x, &o, &first)) {
        add_all(x, &o, first);
    }
}

static void run_zincrby(struct cmd *x)
{
    const struct add_options o = {.incr = true};
    add_all(x, &o, 2);
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

static void run_zcard(struct cmd *x)
{
    struct entry *e;
    if (key_find(x, x->argv[1], TYPE_ZSET, &e)) {
        reply_int(x, e != NULL ? (int64_t)e->u.zset.n : 0);
    }
}

static void run_zscore(struct cmd *x)
{
    struct entry *e;
    if (!key_find(x, x->argv[1], TYPE_ZSET, &e)) {
        return;
    }
    const struct node *n = e != NULL ? map_get(&e->u.zset.by_name, x->argv[2]) : NULL;
    n != NULL ? reply_double(x, n->score) : reply_nil(x);
}

static void run_zrank(struct cmd *x)
{
    struct entry *e;
    if (!key_find(x, x->argv[1], TYPE_ZSET, &e)) {
        return;
    }
    const struct node *n = e != NULL ? map_get(&e->u.zset.by_name, x->argv[2]) : NULL;
    if (n == NULL) {
        reply_nil(x);
        return;
    }
    size_t at = zset_position(&e->u.zset, n->score, x->argv[2]);
    reply_int(x, (int64_t)(x->name[1] == 'r' && x->name[2] == 'e' ? e->u.zset.n - 1 - at : at));
}

static void run_zrem(struct cmd *x)
{
    struct entry *e;
    int64_t n = 0;
    if (!key_find(x, x->argv[1], TYPE_ZSET, &e)) {
        return;
    }
    for (size_t i = 2; e != NULL && i < x->argc; i++) {
        const struct node *node = map_get(&e->u.zset.by_name, x->argv[i]);
        if (node != NULL) {
            size_t at = zset_position(&e->u.zset, node->score, x->argv[i]);
            zset_remove(x->db, &e->u.zset, at, at + 1);
            n++;
        }
    }
    if (e != NULL) {
        key_del_if_empty(x->db, e);
    }
    reply_int(x, n);
}

const struct cmd_row cmd_zsets[] = {
    {"zadd", -4, CMD_WRITE, run_zadd}, {"zincrby", 4, CMD_WRITE, run_zincrby},
    {"zrem", -3, 0, run_zrem},         {"zcard", 2, 0, run_zcard},
    {"zscore", 3, 0, run_zscore},      {"zrank", 3, 0, run_zrank},
    {"zrevrank", 3, 0, run_zrank},     {NULL, 0, 0, NULL},
};
