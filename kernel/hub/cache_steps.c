/* SPDX-License-Identifier: Apache-2.0 */
/* What must happen in one step and no command of Redis does: a lock that only its owner gives back or
 * keeps, a point of a time series, moving from a sorted set to a list. The embedded cache has them as
 * commands; a Redis server is sent the script beside each. */
#include "kernel/hub/cache_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define EXACT 9007199254740992.0 /* 2^53: whole numbers below it have one text */

/* ---- locks ---------------------------------------------------------------------------------------------- */

/* The lock when it has that value. False: it has not, or the key is no string; answered. */
static bool owned(struct cmd *x, struct entry **ret)
{
    if (!key_find(x, x->argv[1], TYPE_STRING, ret)) {
        return false;
    }
    if (*ret == NULL || !str_eq(text_str((*ret)->u.string), x->argv[2])) {
        reply_int(x, 0);
        return false;
    }
    return true;
}

/* TENON.UNLOCK key value */
static void run_unlock(struct cmd *x)
{
    struct entry *e;
    if (owned(x, &e)) {
        key_del(x->db, e);
        reply_int(x, 1);
    }
}

/* Unix ms of a time to live in seconds. */
static bool life_end(struct cmd *x, size_t i, int64_t *ret)
{
    int64_t seconds;
    if (!arg_int(x, i, &seconds)) {
        return false;
    }
    if (seconds <= 0 || __builtin_mul_overflow(seconds, (int64_t)1000, ret) ||
        __builtin_add_overflow(*ret, x->db->now_ms, ret)) {
        reply_error(x, "ERR invalid expire time in '%s' command", x->name);
        return false;
    }
    return true;
}

/* TENON.EXTEND key value seconds */
static void run_extend(struct cmd *x)
{
    struct entry *e;
    int64_t at;
    if (!life_end(x, 3, &at) || !owned(x, &e)) {
        return;
    }
    if (!key_expire(x->db, e, at)) {
        reply_error(x, "OOM no memory for an expiry");
        return;
    }
    reply_int(x, 1);
}

/* ---- time series ------------------------------------------------------------------------------------------ */

/* The number in "<seconds>,<JSON>"; 0: it is none. */
static double point_value(const struct node *n)
{
    const char *comma = memchr(n->member->s, ',', n->member->n);
    char *end;
    double v = comma != NULL ? strtod(comma + 1, &end) : 0;
    return comma != NULL && end != comma + 1 && *end == '\0' && isfinite(v) ? v : 0;
}

/* The member of the new point. False: answered. */
static bool point_text(struct cmd *x, const struct zset *z, size_t lo, size_t hi, struct buf *out)
{
    double sum;
    buf_printf(out, "%.*s,", (int)x->argv[2].n, x->argv[2].s);
    if (!arg_is(x, 4, "addup")) {
        buf_addstr(out, x->argv[3]);
        return true;
    }
    if (!arg_float(x, 3, &sum)) {
        return false;
    }
    for (size_t i = lo; i < hi; i++) {
        sum += point_value(z->order[i]);
    }
    if (!isfinite(sum)) {
        reply_error(x, "ERR increment would produce NaN or Infinity");
        return false;
    }
    bool whole = sum == floor(sum) && fabs(sum) < EXACT;
    whole ? buf_printf(out, "%lld", (long long)sum) : buf_printf(out, "%.17g", sum);
    return true;
}

/* TENON.TSADD key seconds value update|addUp oldest life: the point at that second is replaced, or added to;
 * points before `oldest` go, the series lives so many seconds longer. */
static void run_tsadd(struct cmd *x)
{
    struct buf member = BUF_INIT(0);
    struct entry *e;
    int64_t ts, oldest, at;
    size_t lo, hi;
    if (!arg_int(x, 2, &ts) || !arg_int(x, 5, &oldest) || !life_end(x, 6, &at) ||
        (e = key_make(x, x->argv[1], TYPE_ZSET)) == NULL) {
        return;
    }
    struct zset *z = &e->u.zset;
    zset_between(z, (double)ts, (double)ts, &lo, &hi);
    if (!point_text(x, z, lo, hi, &member)) {
        goto done;
    }
    zset_remove(x->db, z, lo, hi);
    if (member.failed || !zset_put(x->db, z, buf_str(&member), (double)ts)) {
        reply_error(x, "OOM no memory for a member");
        goto done;
    }
    zset_between(z, (double)-INFINITY, (double)(oldest - 1), &lo, &hi);
    zset_remove(x->db, z, lo, hi);
    if (key_count(e) > 0 && !key_expire(x->db, e, at)) {
        reply_error(x, "OOM no memory for an expiry");
        goto done;
    }
    reply_int(x, 1);
done:
    key_del_if_empty(x->db, e);
    buf_finish(&member);
}

/* ---- from a sorted set to a list ---------------------------------------------------------------------------- */

/* TENON.ZMOVE key list min max one|all: members between the scores, lowest first, go to the head of the
 * list. One: the member, or nil; all: how many. */
static void run_zmove(struct cmd *x)
{
    static const struct zset none;
    struct entry *e;
    size_t lo, hi;
    bool one = arg_is(x, 5, "one");
    if (!key_find(x, x->argv[1], TYPE_ZSET, &e) ||
        !zset_bounds(x, 3, e != NULL ? &e->u.zset : &none, &lo, &hi)) {
        return;
    }
    size_t n = one && hi > lo ? 1 : hi - lo, moved = 0;
    bool all = true;
    while (moved < n && all) { /* the list first: what it does not take stays */
        tn_str member = text_str(e->u.zset.order[lo + moved]->member);
        all = list_push_left(x, x->argv[2], member);
        if (one && all) {
            reply_bulk(x, member);
        }
        moved += all;
    }
    if (moved > 0) {
        zset_remove(x->db, &e->u.zset, lo, lo + moved);
    }
    if (!all) {
        return;
    }
    if (e != NULL) {
        key_del_if_empty(x->db, e);
    }
    if (!one) {
        reply_int(x, (int64_t)n);
    } else if (n == 0) {
        reply_nil(x);
    }
}

/* ---- the table, and what a Redis server is told instead -------------------------------------------------------- */

#define FIRST(call)                                                                                \
    "local found = redis.pcall(" call ")\n"                                                        \
    "if type(found) == 'table' and found.err then return found end\n"

static const struct {
    const char *source;
    int keys;
} scripts[] = {
    {FIRST("'GET', KEYS[1]") "if found ~= ARGV[1] then return 0 end\n"
                             "return redis.call('DEL', KEYS[1])",
     1},
    {FIRST("'GET', KEYS[1]") "if found ~= ARGV[1] then return 0 end\n"
                             "return redis.call('EXPIRE', KEYS[1], ARGV[2])",
     1},
    {FIRST(
         "'ZRANGEBYSCORE', KEYS[1], ARGV[1], ARGV[1]") "local v = ARGV[2]\n"
                                                       "if ARGV[3] == 'addUp' then\n"
                                                       "  local sum = tonumber(v)\n"
                                                       "  for _, m in ipairs(found) do\n"
                                                       "    sum = sum + (tonumber(string.match(m, '^[^,]*,(.*)$') or '') or 0)\n"
                                                       "  end\n"
                                                       "  v = sum == math.floor(sum) and math.abs(sum) < 9007199254740992 and\n"
                                                       "      string.format('%d', sum) or string.format('%.17g', sum)\n"
                                                       "end\n"
                                                       "for _, m in ipairs(found) do redis.call('ZREM', KEYS[1], m) end\n"
                                                       "redis.call('ZADD', KEYS[1], ARGV[1], ARGV[1] .. ',' .. v)\n"
                                                       "redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[4])\n"
                                                       "redis.call('EXPIRE', KEYS[1], ARGV[5])\n"
                                                       "return 1",
     1},
    {FIRST(
         "'ZRANGEBYSCORE', KEYS[1], ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3] == 'one' and 1 or -1") "for _, m in ipairs(found) do\n"
                                                                                                 "  local pushed = redis.pcall('LPUSH', KEYS[2], m)\n"
                                                                                                 "  if type(pushed) == 'table' and pushed.err then return pushed end\n"
                                                                                                 "  redis.call('ZREM', KEYS[1], m)\n"
                                                                                                 "end\n"
                                                                                                 "if ARGV[3] == 'one' then return found[1] or false end\n"
                                                                                                 "return #found",
     2},
};

/* In the order of the scripts. */
const struct cmd_row cmd_steps[] = {
    {"tenon.unlock", 3, 0, run_unlock},
    {"tenon.extend", 4, 0, run_extend},
    {"tenon.tsadd", 7, CMD_WRITE, run_tsadd},
    {"tenon.zmove", 6, CMD_WRITE, run_zmove},
    {NULL, 0, 0, NULL},
};

bool step_request(const struct cmd_row *row, const struct words *w, struct buf *out)
{
    if (row < cmd_steps || row >= cmd_steps + sizeof scripts / sizeof *scripts) {
        return false;
    }
    const char *source = scripts[row - cmd_steps].source;
    buf_printf(out, "*%zu\r\n$4\r\nEVAL\r\n$%zu\r\n%s\r\n$1\r\n%d\r\n", w->n + 2, strlen(source),
               source, scripts[row - cmd_steps].keys);
    for (size_t i = 1; i < w->n; i++) {
        buf_printf(out, "$%zu\r\n", w->v[i].n);
        buf_addstr(out, w->v[i]);
        buf_adds(out, "\r\n");
    }
    return true;
}
