/* SPDX-License-Identifier: Apache-2.0 */
/* Commands of the embedded cache on ranges of sorted sets: by place, by score, by name. */
#include "kernel/hub/cache_int.h"

/* A bound of a range by score: "1.5", "(1.5", "-inf". */
struct bound {
    double score;
    bool open;
};

static bool bound_read(struct cmd *x, size_t i, struct bound *ret)
{
    tn_str s = x->argv[i];
    ret->open = s.n > 0 && s.s[0] == '(';
    s.s += ret->open;
    s.n -= ret->open;
    if (!float_read(s, &ret->score)) {
        reply_error(x, "ERR min or max is not a float");
        return false;
    }
    return true;
}

/* Indexes [*lo, *hi) of the nodes between the bounds. */
static void bound_range(const struct zset *z, const struct bound *min, const struct bound *max,
                        size_t *lo, size_t *hi)
{
    size_t a = zset_position(z, min->score, TN_STR("")),
           b = zset_position(z, max->score, TN_STR(""));
    while (min->open && a < z->n && z->order[a]->score == min->score) {
        a++;
    }
    while (!max->open && b < z->n && z->order[b]->score == max->score) {
        b++;
    }
    *lo = a;
    *hi = b > a ? b : a;
}

void zset_between(const struct zset *z, double min, double max, size_t *lo, size_t *hi)
{
    bound_range(z, &(struct bound){min, false}, &(struct bound){max, false}, lo, hi);
}

bool zset_bounds(struct cmd *x, size_t i, const struct zset *z, size_t *lo, size_t *hi)
{
    struct bound min, max;
    if (!bound_read(x, i, &min) || !bound_read(x, i + 1, &max)) {
        return false;
    }
    bound_range(z, &min, &max, lo, hi);
    return true;
}

/* A bound of a range by name: "-", "+", "[a", "(a". */
struct edge {
    char kind; /* - + [ ( */
    tn_str name;
};

static bool edge_read(struct cmd *x, size_t i, struct edge *ret)
{
    tn_str s = x->argv[i];
    ret->kind = s.n > 0 ? s.s[0] : '\0';
    ret->name = s.n > 0 ? (tn_str){s.s + 1, s.n - 1} : s;
    if (ret->kind == '[' || ret->kind == '(' ||
        ((ret->kind == '-' || ret->kind == '+') && s.n == 1)) {
        return true;
    }
    reply_error(x, "ERR min or max not valid string range item");
    return false;
}

/* Whether the name is before the edge (as a lower bound it is left out then), or behind it. */
static bool is_beyond(tn_str name, const struct edge *e, int side)
{
    int c = e->kind == '-' ? 1 : e->kind == '+' ? -1 : zset_compare(0, name, 0, e->name);
    return c * side > 0 || (c == 0 && e->kind == '(');
}

/* All members have one score, says Redis; so does this. */
static void edge_range(const struct zset *z, const struct edge *min, const struct edge *max,
                       size_t *lo, size_t *hi)
{
    size_t a = 0, b;
    while (a < z->n && is_beyond(text_str(z->order[a]->member), min, -1)) {
        a++;
    }
    for (b = a; b < z->n && !is_beyond(text_str(z->order[b]->member), max, 1);) {
        b++;
    }
    *lo = a;
    *hi = b;
}

struct range {
    bool by_score, by_lex, reverse, scores;
    int64_t offset, count; /* LIMIT; count < 0: all */
};

static void reply_range(struct cmd *x, const struct zset *z, size_t lo, size_t hi,
                        const struct range *r)
{
    reply_array(x, (hi - lo) * (r->scores ? 2 : 1));
    for (size_t i = lo; i < hi; i++) {
        const struct node *n = z->order[r->reverse ? lo + hi - 1 - i : i];
        reply_bulk(x, text_str(n->member));
        if (r->scores) {
            reply_double(x, n->score);
        }
    }
}

static void range_run(struct cmd *x, const struct range *r)
{
    static const struct zset none;
    struct entry *e;
    struct bound min, max;
    struct edge first, last;
    int64_t start = 0, stop = 0;
    size_t lo = 0, hi = 0, low = r->reverse ? 3 : 2, high = 5 - low;
    if (r->by_score ? !bound_read(x, low, &min) || !bound_read(x, high, &max)
        : r->by_lex ? !edge_read(x, low, &first) || !edge_read(x, high, &last)
                    : !arg_int(x, 2, &start) || !arg_int(x, 3, &stop)) {
        return;
    }
    if (!key_find(x, x->argv[1], TYPE_ZSET, &e)) {
        return;
    }
    const struct zset *z = e != NULL ? &e->u.zset : &none;
    if (r->by_score || r->by_lex) {
        r->by_lex ? edge_range(z, &first, &last, &lo, &hi) : bound_range(z, &min, &max, &lo, &hi);
        size_t n = hi - lo, skip = r->offset < 0 || (uint64_t)r->offset > n ? n : (size_t)r->offset;
        size_t take = r->count < 0 || (uint64_t)r->count > n - skip ? n - skip : (size_t)r->count;
        lo = r->reverse ? hi - skip - take : lo + skip;
        hi = lo + take;
    } else if (range_clamp(&start, &stop, z->n)) {
        lo = r->reverse ? z->n - 1 - (size_t)stop : (size_t)start;
        hi = lo + (size_t)(stop - start) + 1;
    }
    reply_range(x, z, lo, hi, r);
}

/* ZRANGE, ZREVRANGE, Z[REV]RANGEBYSCORE, Z[REV]RANGEBYLEX key a b [options] */
static void run_zrange(struct cmd *x)
{
    struct range r = {.count = -1};
    bool plain = strcmp(x->name, "zrange") == 0, limit = false;
    r.reverse = strncmp(x->name, "zrev", 4) == 0;
    r.by_score = strstr(x->name, "byscore") != NULL;
    r.by_lex = strstr(x->name, "bylex") != NULL;
    for (size_t i = 4; i < x->argc; i++) {
        if (arg_is(x, i, "withscores")) {
            r.scores = true;
        } else if (plain && arg_is(x, i, "byscore") && !r.by_lex) {
            r.by_score = true;
        } else if (plain && arg_is(x, i, "bylex") && !r.by_score) {
            r.by_lex = true;
        } else if (plain && arg_is(x, i, "rev")) {
            r.reverse = true;
        } else if (arg_is(x, i, "limit") && i + 2 < x->argc) {
            if (!arg_int(x, i + 1, &r.offset) || !arg_int(x, i + 2, &r.count)) {
                return;
            }
            limit = true;
            i += 2;
        } else {
            reply_error(x, SYNTAX);
            return;
        }
    }
    if (r.scores && r.by_lex) {
        reply_error(x, "ERR syntax error, WITHSCORES not supported in combination with BYLEX");
        return;
    }
    if (limit && !r.by_score && !r.by_lex) {
        reply_error(x, "ERR syntax error, LIMIT is only supported in combination with either "
                       "BYSCORE or BYLEX");
        return;
    }
    range_run(x, &r);
}

/* ZCOUNT, ZREMRANGEBYSCORE key min max */
static void run_byscore(struct cmd *x)
{
    struct entry *e;
    struct bound min, max;
    size_t lo, hi;
    if (!bound_read(x, 2, &min) || !bound_read(x, 3, &max) ||
        !key_find(x, x->argv[1], TYPE_ZSET, &e)) {
        return;
    }
    if (e == NULL) {
        reply_int(x, 0);
        return;
    }
    bound_range(&e->u.zset, &min, &max, &lo, &hi);
    reply_int(x, (int64_t)(hi - lo));
    if (x->name[1] == 'r') {
        zset_remove(x->db, &e->u.zset, lo, hi);
    }
    key_del_if_empty(x->db, e);
}

static void run_zremrangebyrank(struct cmd *x)
{
    struct entry *e;
    int64_t start, stop;
    if (!arg_int(x, 2, &start) || !arg_int(x, 3, &stop) ||
        !key_find(x, x->argv[1], TYPE_ZSET, &e)) {
        return;
    }
    if (e == NULL || !range_clamp(&start, &stop, e->u.zset.n)) {
        reply_int(x, 0);
        return;
    }
    reply_int(x, stop - start + 1);
    zset_remove(x->db, &e->u.zset, (size_t)start, (size_t)stop + 1);
    key_del_if_empty(x->db, e);
}

const struct cmd_row cmd_zranges[] = {
    {"zrange", -4, 0, run_zrange},
    {"zrevrange", -4, 0, run_zrange},
    {"zrangebyscore", -4, 0, run_zrange},
    {"zrevrangebyscore", -4, 0, run_zrange},
    {"zrangebylex", -4, 0, run_zrange},
    {"zrevrangebylex", -4, 0, run_zrange},
    {"zcount", 4, 0, run_byscore},
    {"zremrangebyscore", 4, 0, run_byscore},
    {"zremrangebyrank", 4, 0, run_zremrangebyrank},
    {NULL, 0, 0, NULL},
};
