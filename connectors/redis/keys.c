/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and fields by pattern: SCAN and HSCAN, never KEYS, so the server serves others meanwhile. */
#include "redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define AT_ONCE   1000 /* COUNT of a scan, keys of a DEL or MGET */
#define FOUND_MAX 10000000u

/* What a scan has collected: items of one list that grows. */
struct found {
    struct rd_node **items;
    size_t n, cap, bytes;
};

static void found_finish(struct found *f)
{
    for (size_t i = 0; i < f->n; i++) {
        rd_free(f->items[i]);
    }
    free(f->items);
}

/* Takes the items of a page out of it. */
static tn_rc collect(struct rd_conn *c, struct found *f, struct rd_node *page, tn_err *err)
{
    if (f->n + page->n > f->cap) {
        size_t cap = (f->n + page->n) * 2;
        struct rd_node **more = cap > FOUND_MAX ? NULL : realloc(f->items, cap * sizeof *more);
        if (more == NULL) {
            return rd_host->fail(err, cap > FOUND_MAX ? TN_E_LIMIT : TN_E_NOMEM,
                                 "the pattern matches too many names");
        }
        f->items = more;
        f->cap = cap;
    }
    for (uint32_t i = 0; i < page->n; i++) {
        if (page->u.items[i]->type != RD_TEXT) {
            return rd_host->fail(err, TN_E_REMOTE,
                                 "the server answered a scan with something else");
        }
        f->bytes += sizeof(struct rd_node) + page->u.items[i]->n;
        f->items[f->n++] = page->u.items[i];
        page->u.items[i] = NULL;
    }
    if (f->bytes > (size_t)c->inst->conf->max_result.n) {
        return rd_host->fail(err, TN_E_LIMIT,
                             "what the pattern matches is larger than max_result (%lld bytes)",
                             (long long)c->inst->conf->max_result.n);
    }
    return TN_OK;
}

/* All pages of SCAN, or of HSCAN when key is given; stops early at `limit` items (0: none). */
static tn_rc scan(struct rd_conn *c, const tn_val *key, const tn_val *pattern, size_t limit,
                  uint64_t deadline_ns, struct found *f, tn_err *err)
{
    char cursor[32] = "0";
    tn_rc rc = TN_OK;
    do {
        struct rd_cmd cmd;
        struct rd_node *page = NULL;
        rd_cmd_init(&cmd, key != NULL ? "HSCAN" : "SCAN");
        if (key != NULL) {
            rd_arg(&cmd, key);
        }
        rd_arg_str(&cmd, cursor, strlen(cursor));
        rd_arg_str(&cmd, "MATCH", 5);
        rd_arg(&cmd, pattern);
        rd_arg_str(&cmd, "COUNT", 5);
        rd_arg_int(&cmd, AT_ONCE);
        rc = rd_exec(c, &cmd, deadline_ns, &page, err);
        if (rc != TN_OK) {
            break;
        }
        if (page->type != RD_LIST || page->n != 2 || page->u.items[0]->type != RD_TEXT ||
            page->u.items[0]->n >= sizeof cursor || page->u.items[1]->type != RD_LIST) {
            rc = rd_host->fail(err, TN_E_REMOTE, "the server answered a scan with something else");
        } else {
            memcpy(cursor, page->u.items[0]->s, (size_t)page->u.items[0]->n + 1);
            rc = collect(c, f, page->u.items[1], err);
        }
        rd_free(page);
    } while (rc == TN_OK && strcmp(cursor, "0") != 0 && (limit == 0 || f->n < limit));
    return rc;
}

static int by_text(const void *a, const void *b)
{
    const struct rd_node *x = *(struct rd_node *const *)a, *y = *(struct rd_node *const *)b;
    int d = memcmp(x->s, y->s, x->n < y->n ? x->n : y->n);
    return d != 0 ? d : (x->n > y->n) - (x->n < y->n);
}

/* A scan may tell a name twice while the table grows. Sorted, because that is what makes it cheap. */
static void unique(struct found *f)
{
    size_t n = 0;
    if (f->n > 1) {
        qsort(f->items, f->n, sizeof *f->items, by_text);
    }
    for (size_t i = 0; i < f->n; i++) {
        if (n > 0 && by_text(&f->items[n - 1], &f->items[i]) == 0) {
            rd_free(f->items[i]);
        } else {
            f->items[n++] = f->items[i];
        }
    }
    f->n = n;
}

static tn_rc scan_keys(struct rd_conn *c, const tn_val *pattern, size_t limit, uint64_t deadline_ns,
                       struct found *f, tn_err *err)
{
    tn_rc rc = scan(c, NULL, pattern, limit, deadline_ns, f, err);
    if (rc == TN_OK) {
        unique(f);
    }
    while (rc == TN_OK && limit != 0 && f->n > limit) {
        rd_free(f->items[--f->n]);
    }
    return rc;
}

/* The collected items as a list or map; they belong to it afterwards. */
static tn_rc hand_over(struct found *f, uint8_t type, struct rd_node **ret, tn_err *err)
{
    struct rd_node *node = rd_node_new(type, f->n);
    if (node == NULL) {
        return rd_host->fail(err, TN_E_NOMEM, "no memory for the result");
    }
    if (f->n != 0) {
        memcpy(node->u.items, f->items, f->n * sizeof *f->items);
    }
    f->n = 0;
    *ret = node;
    return TN_OK;
}

/* ---- keys -------------------------------------------------------------------------------------------- */

/* keys(pattern, limit) */
tn_rc rd_keys(struct rd_conn *c, const tn_args *a, uint64_t deadline_ns, struct rd_node **ret,
              tn_err *err)
{
    struct found f = {NULL, 0, 0, 0};
    const tn_val *limit = &a->pos[1];
    size_t max = limit->type == TN_T_INT && limit->u.i > 0 ? (size_t)limit->u.i : 0;
    tn_rc rc = scan_keys(c, &a->pos[0], max, deadline_ns, &f, err);
    rc = rc == TN_OK ? hand_over(&f, RD_LIST, ret, err) : rc;
    found_finish(&f);
    return rc;
}

/* One command for up to AT_ONCE of the names. */
static tn_rc for_some(struct rd_conn *c, const char *words, const struct found *f, size_t from,
                      uint64_t deadline_ns, size_t *ret_n, struct rd_node **ret, tn_err *err)
{
    struct rd_cmd cmd;
    size_t n = 0;
    rd_cmd_init(&cmd, words);
    for (; n < AT_ONCE && from + n < f->n; n++) {
        rd_arg_str(&cmd, f->items[from + n]->s, f->items[from + n]->n);
    }
    *ret_n = n;
    return rd_exec(c, &cmd, deadline_ns, ret, err);
}

/* get_pattern(pattern): {key: text} of what is a text, None when no key matches */
tn_rc rd_get_pattern(struct rd_conn *c, const tn_args *a, uint64_t deadline_ns,
                     struct rd_node **ret, tn_err *err)
{
    struct found f = {NULL, 0, 0, 0};
    struct rd_node *map = NULL;
    tn_rc rc = scan_keys(c, &a->pos[0], 0, deadline_ns, &f, err);
    size_t bytes = 0;
    if (rc == TN_OK && f.n != 0 && (map = rd_node_new(RD_MAP, 2 * f.n)) == NULL) {
        rc = rd_host->fail(err, TN_E_NOMEM, "no memory for the result");
    }
    for (size_t at = 0, n = 0; rc == TN_OK && at < f.n; at += n) {
        struct rd_node *values = NULL;
        rc = for_some(c, "MGET", &f, at, deadline_ns, &n, &values, err);
        for (size_t i = 0; rc == TN_OK && values->type == RD_LIST && i < n && i < values->n; i++) {
            map->u.items[2 * (at + i)] = f.items[at + i];
            map->u.items[2 * (at + i) + 1] = values->u.items[i];
            f.items[at + i] = rd_text("", 0); /* its place stays */
            values->u.items[i] = NULL;
        }
        bytes += c->used;
        rd_free(values);
        if (rc == TN_OK && bytes > (size_t)c->inst->conf->max_result.n) {
            rc = rd_host->fail(err, TN_E_LIMIT,
                               "the values are larger than max_result (%lld bytes)",
                               (long long)c->inst->conf->max_result.n);
        }
    }
    found_finish(&f);
    if (rc != TN_OK) {
        rd_free(map);
        return rc;
    }
    *ret = map != NULL ? map : rd_node_new(RD_NIL, 0);
    return TN_OK;
}

/* delete_pattern(pattern): how many; None when no key matches */
tn_rc rd_delete_pattern(struct rd_conn *c, const tn_args *a, uint64_t deadline_ns,
                        struct rd_node **ret, tn_err *err)
{
    struct found f = {NULL, 0, 0, 0};
    tn_rc rc = scan_keys(c, &a->pos[0], 0, deadline_ns, &f, err);
    int64_t total = 0;
    for (size_t at = 0, n = 0; rc == TN_OK && at < f.n; at += n) {
        struct rd_node *reply = NULL;
        rc = for_some(c, "DEL", &f, at, deadline_ns, &n, &reply, err);
        total += rc == TN_OK && reply->type == RD_INT ? reply->u.i : 0;
        rd_free(reply);
    }
    if (rc == TN_OK) {
        *ret = rd_node_new(f.n != 0 ? RD_INT : RD_NIL, 0);
        if (*ret == NULL) {
            rc = rd_host->fail(err, TN_E_NOMEM, "no memory for the result");
        } else {
            (*ret)->u.i = total;
        }
    }
    found_finish(&f);
    return rc;
}

/* ---- fields of a hash -------------------------------------------------------------------------------- */

/* Field and value turn by turn, a field once. */
static tn_rc scan_fields(struct rd_conn *c, const tn_val *key, const tn_val *pattern,
                         uint64_t deadline_ns, struct rd_node **ret, tn_err *err)
{
    struct found f = {NULL, 0, 0, 0};
    tn_rc rc = scan(c, key, pattern, 0, deadline_ns, &f, err);
    if (rc == TN_OK && f.n % 2 != 0) {
        rc = rd_host->fail(err, TN_E_REMOTE, "the server told a field without its value");
    }
    rc = rc == TN_OK ? hand_over(&f, RD_MAP, ret, err) : rc;
    found_finish(&f);
    return rc;
}

tn_rc rd_hget_pattern(struct rd_conn *c, const tn_args *a, uint64_t deadline_ns,
                      struct rd_node **ret, tn_err *err)
{
    return scan_fields(c, &a->pos[0], &a->pos[1], deadline_ns, ret, err);
}

/* hkeys(key, pattern, with_values) */
tn_rc rd_hkeys(struct rd_conn *c, const tn_args *a, uint64_t deadline_ns, struct rd_node **ret,
               tn_err *err)
{
    tn_rc rc = scan_fields(c, &a->pos[0], &a->pos[1], deadline_ns, ret, err);
    if (rc == TN_OK && !(a->pos[2].type == TN_T_BOOL && a->pos[2].u.i)) {
        struct rd_node *map = *ret;
        struct found f = {map->u.items, map->n / 2, map->n, 0};
        for (size_t i = 0; i < f.n; i++) {
            rd_free(map->u.items[2 * i + 1]);
            map->u.items[i] = map->u.items[2 * i];
        }
        unique(&f);
        map->n = (uint32_t)f.n;
        map->type = RD_LIST;
    }
    return rc;
}

/* ---- values with a time of their own ----------------------------------------------------------------- */

/* The value of member "ts" or "timestamp" (seconds) of a JSON object; 0: there is none. */
static double stamp_of(const struct rd_node *node)
{
    tn_json_member m[64];
    uint32_t kind = 0, n = 0;
    if (node == NULL || node->type != RD_TEXT ||
        rd_host->json->scan((tn_str){node->s, node->n}, &kind, m, 64, &n, NULL) != TN_OK ||
        kind != TN_JSON_OBJECT) {
        return 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        const char *k = m[i].key.s;
        if (m[i].kind == TN_JSON_NUMBER && ((m[i].key.n == 2 && memcmp(k, "ts", 2) == 0) ||
                                            (m[i].key.n == 9 && memcmp(k, "timestamp", 9) == 0))) {
            return strtod(m[i].value.s, NULL);
        }
    }
    return 0;
}

static bool expired(const struct rd_node *node, const tn_val *expires)
{
    double age = expires->type == TN_T_INT     ? (double)expires->u.i
                 : expires->type == TN_T_FLOAT ? expires->u.f
                                               : 0;
    return stamp_of(node) + age < (double)rd_host->wall_us() / 1e6;
}

/* hget_expires(key, field, expires): the text, None when it is absent, has no time or is older */
tn_rc rd_hget_expires(struct rd_conn *c, const tn_args *a, uint64_t deadline_ns,
                      struct rd_node **ret, tn_err *err)
{
    struct rd_cmd cmd;
    rd_cmd_init(&cmd, "HGET");
    rd_arg(&cmd, &a->pos[0]);
    rd_arg(&cmd, &a->pos[1]);
    tn_rc rc = rd_exec(c, &cmd, deadline_ns, ret, err);
    if (rc == TN_OK && expired(*ret, &a->pos[2])) {
        rd_become(*ret, RD_NIL, 0);
    }
    return rc;
}

/* hget_pattern_expires(key, pattern, expires) */
tn_rc rd_hget_pattern_expires(struct rd_conn *c, const tn_args *a, uint64_t deadline_ns,
                              struct rd_node **ret, tn_err *err)
{
    tn_rc rc = scan_fields(c, &a->pos[0], &a->pos[1], deadline_ns, ret, err);
    uint32_t n = 0;
    for (uint32_t i = 0; rc == TN_OK && i + 1 < (*ret)->n; i += 2) {
        struct rd_node **items = (*ret)->u.items;
        if (expired(items[i + 1], &a->pos[2])) {
            rd_free(items[i]);
            rd_free(items[i + 1]);
        } else {
            items[n++] = items[i];
            items[n++] = items[i + 1];
        }
    }
    if (rc == TN_OK) {
        (*ret)->n = n;
    }
    return rc;
}
