/* SPDX-License-Identifier: Apache-2.0 */
/* Time series in sorted sets (spec 4.5): a member is "<seconds>,<JSON>", its score the seconds. */
#include "redis.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POINTS_MAX 1000000

/* ---- adding ------------------------------------------------------------------------------------------ */

static const char add_source[] =
    "local old = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], ARGV[1])\n"
    "local v = ARGV[2]\n"
    "if ARGV[3] == 'addUp' then\n"
    "  local sum = tonumber(v)\n"
    "  for _, m in ipairs(old) do\n"
    "    sum = sum + (tonumber(string.match(m, '^[^,]*,(.*)$') or '') or 0)\n"
    "  end\n"
    "  v = sum == math.floor(sum) and math.abs(sum) < 9007199254740992 and string.format('%d', sum)\n"
    "      or string.format('%.17g', sum)\n"
    "end\n"
    "for _, m in ipairs(old) do redis.call('ZREM', KEYS[1], m) end\n"
    "redis.call('ZADD', KEYS[1], ARGV[1], ARGV[1] .. ',' .. v)\n"
    "redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[4])\n"
    "redis.call('EXPIRE', KEYS[1], ARGV[5])\n"
    "return 1";

static bool is_text(const tn_val *v, const char *text)
{
    return v->type == TN_T_STR && v->n == strlen(text) && memcmp(v->u.s, text, v->n) == 0;
}

/* The value as JSON text in out, or in *ret_long, which the caller frees. */
static tn_rc json_of(const tn_val *v, char out[40], char **ret_long, tn_val *ret, tn_err *err)
{
    int n = 0;
    *ret_long = NULL;
    switch (v->type) {
    case TN_T_NULL:
        n = snprintf(out, 40, "null");
        break;
    case TN_T_BOOL:
        n = snprintf(out, 40, v->u.i ? "true" : "false");
        break;
    case TN_T_INT:
        n = snprintf(out, 40, "%" PRId64, v->u.i);
        break;
    case TN_T_FLOAT:
        if (!isfinite(v->u.f)) {
            return rd_host->fail(err, TN_E_INVAL, "nan and inf are no points of a series");
        }
        for (int digits = 15; digits <= 17; digits++) {
            n = snprintf(out, 40, "%.*g", digits, v->u.f);
            if (strtod(out, NULL) == v->u.f) {
                break;
            }
        }
        break;
    case TN_T_DECIMAL:
    case TN_T_STR: {
        tn_str s = {v->u.s, v->n};
        size_t need = rd_host->json->quote(s, NULL, 0);
        *ret_long = v->type == TN_T_STR ? malloc(need + 1) : strndup(v->u.s, v->n);
        if (*ret_long == NULL) {
            return rd_host->fail(err, TN_E_NOMEM, "no memory for the value");
        }
        if (v->type == TN_T_STR) {
            rd_host->json->quote(s, *ret_long, need + 1);
        } else {
            need = v->n;
        }
        *ret = (tn_val){.type = TN_T_STR, .n = (uint32_t)need, .u.s = *ret_long};
        return TN_OK;
    }
    default:
        return rd_host->fail(err, TN_E_INVAL, "a point of a series is a number or a text");
    }
    *ret = (tn_val){.type = TN_T_STR, .n = (uint32_t)n, .u.s = out};
    return TN_OK;
}

/* ts_add(key, value, timestamp, mode) */
tn_rc rd_ts_add(struct rd_conn *c, const tn_args *a, uint64_t deadline_ns, struct rd_node **ret,
                tn_err *err)
{
    const struct rd_conf *conf = c->inst->conf;
    int64_t now = rd_host->wall_us() / 1000000, ts = now;
    const tn_val *at = &a->pos[2], *mode = &a->pos[3], *value = &a->pos[1];
    bool add = is_text(mode, "addUp");
    bool number = value->type == TN_T_INT || value->type == TN_T_FLOAT ||
                  value->type == TN_T_DECIMAL;
    if (at->type == TN_T_INT || at->type == TN_T_FLOAT) {
        ts = at->type == TN_T_INT ? at->u.i : (int64_t)at->u.f;
    } else if (rd_given(at)) {
        return rd_host->fail(err, TN_E_INVAL, "timestamp must be seconds");
    }
    if ((!add && !is_text(mode, "update")) || (add && !number)) {
        return rd_host->fail(err, TN_E_INVAL, "mode is 'update', or 'addUp' with a number");
    }
    if (ts < 0 || ts > 253402300800) {
        return rd_host->fail(err, TN_E_INVAL, "timestamp %" PRId64 " is not in seconds", ts);
    }
    char text[40], *allocated;
    tn_val json;
    tn_rc rc = json_of(value, text, &allocated, &json, err);
    if (rc != TN_OK) {
        return rc;
    }
    const tn_val args[] = {{.type = TN_T_INT, .u.i = ts - ts % conf->ts_min_interval},
                           json,
                           *mode,
                           {.type = TN_T_INT, .u.i = now - conf->ts_max_period},
                           {.type = TN_T_INT, .u.i = conf->ts_max_age}};
    struct rd_node *node = NULL;
    rc = rd_script(c, add_source, &a->pos[0], 1, args, 5, deadline_ns, &node, err);
    free(allocated);
    rd_free(node);
    *ret = NULL;
    return rc;
}

/* ---- reading ----------------------------------------------------------------------------------------- */

struct group {
    int64_t t, count;
    double sum, min, max;
    bool whole; /* all of them are ints */
};
struct series {
    struct group *groups;
    size_t n;
    int64_t step;
};
struct view { /* the options of ts_get() */
    char agg; /* a: avg, s: sum, i: min, x: max, c: count */
    double scale;
    int digits; /* -1: as it is */
    bool ms, dicts;
};

/* "<seconds>,<JSON>"; false: no number. */
static bool point(const struct rd_node *node, int64_t *ret_t, double *ret_v, bool *ret_whole)
{
    char *comma, *end;
    if (node->type != RD_TEXT) {
        return false;
    }
    *ret_t = strtoll(node->s, &comma, 10);
    if (comma == node->s || *comma != ',' ||
        (comma[1] != '-' && (comma[1] < '0' || comma[1] > '9'))) {
        return false;
    }
    *ret_v = strtod(comma + 1, &end);
    *ret_whole = strpbrk(comma + 1, ".eE") == NULL && fabs(*ret_v) < 9007199254740992.0;
    return *end == '\0';
}

static tn_rc group(const struct rd_node *list, bool fill, struct series *s, tn_err *err)
{
    for (uint32_t i = 0; i < list->n; i++) {
        int64_t t;
        double v;
        bool whole;
        if (!point(list->u.items[i], &t, &v, &whole)) {
            continue;
        }
        t -= t % s->step;
        while (fill && s->n != 0 && s->groups[s->n - 1].t + s->step < t && s->n < POINTS_MAX) {
            s->groups[s->n] = (struct group){.t = s->groups[s->n - 1].t + s->step, .whole = true};
            s->n++;
        }
        if (s->n == POINTS_MAX) {
            return rd_host->fail(err, TN_E_LIMIT,
                                 "the series has more than %d points; use a larger group_time",
                                 POINTS_MAX);
        }
        struct group *g = s->n != 0 && s->groups[s->n - 1].t == t ? &s->groups[s->n - 1] : NULL;
        if (g == NULL) {
            g = &s->groups[s->n++];
            *g = (struct group){.t = t, .min = v, .max = v, .whole = true};
        }
        g->count++;
        g->sum += v;
        g->min = v < g->min ? v : g->min;
        g->max = v > g->max ? v : g->max;
        g->whole &= whole;
    }
    return TN_OK;
}

static struct rd_node *value_of(const struct group *g, const struct view *w)
{
    bool whole = w->agg == 'c' || (w->agg != 'a' && g->whole && w->scale == 1);
    double v = w->agg == 'c'   ? (double)g->count
               : g->count == 0 ? 0
               : w->agg == 's' ? g->sum
               : w->agg == 'i' ? g->min
               : w->agg == 'x' ? g->max
                               : g->sum / (double)g->count;
    struct rd_node *node = rd_node_new(whole ? RD_INT : RD_FLOAT, 0);
    char text[400];
    if (node == NULL) {
        return NULL;
    }
    if (whole) {
        node->u.i = (int64_t)v;
        return node;
    }
    v = w->agg == 'c' ? v : v * w->scale;
    if (w->digits >= 0 && isfinite(v)) { /* as round() of Python: correctly, from the exact value */
        snprintf(text, sizeof text, "%.*f", w->digits, v);
        v = strtod(text, NULL);
    }
    node->u.f = v;
    return node;
}

static struct rd_node *row(const struct group *g, const struct view *w)
{
    struct rd_node *node = rd_node_new(w->dicts ? RD_MAP : RD_LIST, w->dicts ? 4 : 2);
    struct rd_node *t = rd_node_new(RD_INT, 0);
    if (node == NULL || t == NULL) {
        rd_free(node);
        rd_free(t);
        return NULL;
    }
    t->u.i = w->ms ? g->t * 1000 : g->t;
    node->u.items[w->dicts ? 1 : 0] = t;
    node->u.items[w->dicts ? 3 : 1] = value_of(g, w);
    if (w->dicts) {
        node->u.items[0] = rd_text("t", 1);
        node->u.items[2] = rd_text("v", 1);
    }
    for (uint32_t i = 0; i < node->n; i++) {
        if (node->u.items[i] == NULL) {
            rd_free(node);
            return NULL;
        }
    }
    return node;
}

static tn_rc view_of(const tn_args *a, struct view *ret, tn_err *err)
{
    static const struct {
        const char *name;
        char agg;
    } aggs[] = {{"avg", 'a'}, {"sum", 's'}, {"min", 'i'}, {"max", 'x'}, {"count", 'c'}};
    const tn_val *scale = &a->pos[5], *digits = &a->pos[6];
    *ret = (struct view){.digits = -1, .scale = 1};
    for (size_t i = 0; i < sizeof aggs / sizeof *aggs; i++) {
        if (is_text(&a->pos[4], aggs[i].name)) {
            ret->agg = aggs[i].agg;
        }
    }
    if (ret->agg == 0) {
        return rd_host->fail(err, TN_E_INVAL, "agg is avg, sum, min, max or count");
    }
    ret->ms = is_text(&a->pos[7], "ms");
    if (!ret->ms && !is_text(&a->pos[7], "s")) {
        return rd_host->fail(err, TN_E_INVAL, "time_unit is 's' or 'ms'");
    }
    ret->scale = scale->type == TN_T_INT     ? (double)scale->u.i
                 : scale->type == TN_T_FLOAT ? scale->u.f
                                             : 1;
    if (digits->type == TN_T_INT && digits->u.i >= 0 && digits->u.i <= 30) {
        ret->digits = (int)digits->u.i;
    }
    ret->dicts = a->pos[8].type == TN_T_BOOL && a->pos[8].u.i;
    return TN_OK;
}

/* ts_get(key, start, stop, group_time, agg, scale, ndigits, time_unit, dict_output, limit, fill_zero) */
tn_rc rd_ts_get(struct rd_conn *c, const tn_args *a, uint64_t deadline_ns, struct rd_node **ret,
                tn_err *err)
{
    struct rd_cmd cmd;
    struct rd_node *members = NULL, *list = NULL;
    struct view w;
    bool fill = a->pos[10].type == TN_T_BOOL && a->pos[10].u.i;
    struct series s = {.step = a->pos[3].type == TN_T_INT && a->pos[3].u.i > 0 ? a->pos[3].u.i : 1};
    tn_rc rc = view_of(a, &w, err);
    if (rc != TN_OK) {
        return rc;
    }
    rd_cmd_init(&cmd, "ZRANGEBYSCORE");
    rd_arg(&cmd, &a->pos[0]);
    rd_arg(&cmd, &a->pos[1]);
    rd_arg(&cmd, &a->pos[2]);
    rc = rd_exec(c, &cmd, deadline_ns, &members, err);
    if (rc == TN_OK && members->type == RD_LIST) {
        s.groups = calloc(fill ? POINTS_MAX : (size_t)members->n + 1, sizeof *s.groups);
        rc = s.groups != NULL ? group(members, fill, &s, err)
                              : rd_host->fail(err, TN_E_NOMEM, "no memory for the series");
    }
    rd_free(members);
    const tn_val *limit = &a->pos[9];
    size_t from = limit->type == TN_T_INT && limit->u.i >= 0 && (uint64_t)limit->u.i < s.n
                      ? s.n - (size_t)limit->u.i
                      : 0;
    if (rc == TN_OK && (list = rd_node_new(RD_LIST, s.n - from)) == NULL) {
        rc = rd_host->fail(err, TN_E_NOMEM, "no memory for the series");
    }
    for (size_t i = from; rc == TN_OK && i < s.n; i++) {
        list->u.items[i - from] = row(&s.groups[i], &w);
        if (list->u.items[i - from] == NULL) {
            rc = rd_host->fail(err, TN_E_NOMEM, "no memory for the series");
        }
    }
    free(s.groups);
    if (rc != TN_OK) {
        rd_free(list);
        return rc;
    }
    *ret = list;
    return TN_OK;
}
