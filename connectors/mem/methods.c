/* SPDX-License-Identifier: Apache-2.0 */
/* The methods of the mem connector: doing the work, then describing the result. */
#include "mem.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

const tn_method mem_methods[] = {
    {"get", "key:str", "Value of a key, or None.", MEM_GET, 0},
    {"put", "key:str, value:str", "Stores a text of at most 1 KiB. LIMIT: 32 keys.", MEM_PUT, 0},
    {"values", "", "A map with one value of every type.", MEM_VALUES, 0},
    {"table", "rows:int", "Rows of id, name, price. LIMIT: more than rows_max.", MEM_TABLE, 0},
    {"fail", "rc:int", "Fails with that code; UNAVAIL (-8) also breaks the connection.", MEM_FAIL,
     0},
    {"sleep", "ms:int", "Waits. TIMEOUT at the deadline, CANCELED when told to stop.", MEM_SLEEP,
     0},
    {0},
};

struct result { /* what invoke() keeps for emit(): copies, because arguments are only borrowed */
    int64_t rows;
    uint32_t len;
    char text[MEM_VALUE_MAX];
};

/* Argument i by position or name; fills err when it is absent or of another type. */
static const tn_val *arg(const tn_args *a, uint32_t i, const char *name, uint8_t type, tn_err *err)
{
    const tn_val *v = i < a->npos ? &a->pos[i] : NULL;
    for (uint32_t k = 0; v == NULL && k < a->nkw; k++) {
        const tn_val *key = &a->kw[k].key;
        v = key->n == strlen(name) && memcmp(key->u.s, name, key->n) == 0 ? &a->kw[k].val : NULL;
    }
    if (v == NULL || v->type != type) {
        mem_host->fail(err, TN_E_INVAL, "argument %s is %s", name,
                       v ? "of a wrong type" : "missing");
        return NULL;
    }
    return v;
}

static uint32_t find(const struct mem_conn *c, const tn_val *key) /* c->n when absent */
{
    uint32_t i = 0;
    while (i < c->n &&
           (c->slots[i].key_len != key->n || memcmp(c->slots[i].key, key->u.s, key->n))) {
        i++;
    }
    return i;
}

static tn_rc put(struct mem_conn *c, const tn_val *key, const tn_val *value, tn_err *err)
{
    uint32_t i = find(c, key);
    if (i == MEM_KEYS || key->n > MEM_KEY_MAX || value->n > MEM_VALUE_MAX) {
        return mem_host->fail(err, TN_E_LIMIT, "at most %d keys of %d and values of %d bytes",
                              MEM_KEYS, MEM_KEY_MAX, MEM_VALUE_MAX);
    }
    c->n += i == c->n;
    memcpy(c->slots[i].key, key->u.s, c->slots[i].key_len = key->n);
    memcpy(c->slots[i].value, value->u.s, c->slots[i].value_len = value->n);
    return TN_OK;
}

static tn_rc fail(struct mem_conn *c, int64_t rc, tn_err *err)
{
    if (rc > TN_E_NOMEM || rc < TN_E_CONFLICT) {
        return mem_host->fail(err, TN_E_INVAL, "rc is %lld, expected -13 to -1", (long long)rc);
    }
    c->broken = rc == TN_E_UNAVAIL;
    mem_host->fail(err, (tn_rc)rc, "fail(%d) was asked for", (int)rc);
    if (err != NULL) {
        err->native = 42; /* what a data base calls its error number */
        err->flags |= c->broken ? TN_ERR_CONN_BROKEN | TN_ERR_RETRY : 0;
    }
    return (tn_rc)rc;
}

/* Everything that blocks ends at the deadline, by waiting on two things at once. */
static tn_rc nap(struct mem_conn *c, int64_t ms, uint64_t deadline_ns, tn_err *err)
{
    uint64_t now = mem_host->now_ns();
    int64_t left = deadline_ns > now ? (int64_t)((deadline_ns - now + 999999) / 1000000) : 0;
    int late = deadline_ns != 0 && left < ms;
    struct pollfd stop = {c->stop_fd, POLLIN, 0};
    int64_t wait = late ? left : ms < 0 ? 0 : ms > 3600000 ? 3600000 : ms;
    if (poll(&stop, 1, (int)wait) != 0) {
        return mem_host->fail(err, TN_E_CANCELED, "sleep was told to stop");
    }
    return late ? mem_host->fail(err, TN_E_TIMEOUT, "the deadline came first") : TN_OK;
}

static tn_rc work(struct mem *m, struct mem_conn *c, uint32_t method, const tn_args *a,
                  uint64_t deadline_ns, struct result *r, tn_err *err)
{
    static const struct { /* first argument of each method */
        const char *name;
        uint8_t type;
    } first[] = {[MEM_GET] = {"key", TN_T_STR},
                 [MEM_PUT] = {"key", TN_T_STR},
                 [MEM_TABLE] = {"rows", TN_T_INT},
                 [MEM_FAIL] = {"rc", TN_T_INT},
                 [MEM_SLEEP] = {"ms", TN_T_INT}};
    const tn_val *v = NULL, *w;
    if (method <= MEM_SLEEP && first[method].name != NULL) {
        v = arg(a, 0, first[method].name, first[method].type, err);
        if (v == NULL) {
            return TN_E_INVAL;
        }
    }
    switch (method) {
    case MEM_GET: {
        uint32_t i = find(c, v);
        if (i < c->n) {
            r->rows = 1;
            memcpy(r->text, c->slots[i].value, r->len = c->slots[i].value_len);
        }
        return TN_OK;
    }
    case MEM_PUT:
        w = arg(a, 1, "value", TN_T_STR, err);
        return w != NULL ? put(c, v, w, err) : TN_E_INVAL;
    case MEM_VALUES:
        return TN_OK;
    case MEM_TABLE:
        r->rows = v->u.i < 0 ? 0 : v->u.i;
        return r->rows <= m->conf->rows_max
                   ? TN_OK
                   : mem_host->fail(err, TN_E_LIMIT, "%lld rows are more than rows_max = %lld",
                                    (long long)r->rows, (long long)m->conf->rows_max);
    case MEM_FAIL:
        return fail(c, v->u.i, err);
    case MEM_SLEEP:
        return nap(c, v->u.i, deadline_ns, err);
    default:
        return mem_host->fail(err, TN_E_UNSUPP, "there is no method %u", method);
    }
}

tn_rc mem_invoke(void *inst, void *conn, uint32_t method, const tn_args *args, uint64_t deadline_ns,
                 tn_result *ret, tn_err *err)
{
    struct result r = {.rows = 0};
    eventfd_t old;
    eventfd_read(((struct mem_conn *)conn)->stop_fd, &old); /* told to an earlier operation */
    tn_rc rc = mem_check(inst, conn, deadline_ns, err);
    if (rc == TN_OK && deadline_ns != 0 && mem_host->now_ns() >= deadline_ns) {
        rc = mem_host->fail(err, TN_E_TIMEOUT, "the deadline has passed");
    }
    if (rc == TN_OK) {
        rc = work(inst, conn, method, args, deadline_ns, &r, err);
    }
    struct result *kept = rc == TN_OK ? malloc(sizeof r) : NULL;
    if (rc == TN_OK && kept == NULL) {
        rc = mem_host->fail(err, TN_E_NOMEM, "no memory for the result");
    } else if (rc == TN_OK) {
        *kept = r;
        *ret = (tn_result){kept, method, 0}; /* only now: untouched on failure */
    }
    return rc;
}

void mem_result_free(void *inst, tn_result *result)
{
    (void)inst;
    free(result->native);
    result->native = NULL;
}

static tn_val text(uint8_t type, uint8_t flags, const char *s, uint32_t n)
{
    return (tn_val){.type = type, .flags = flags, .n = n, .u.s = s};
}

static tn_rc emit_values(tn_sink *to)
{
    static const uint8_t bytes[] = {0, 1, 254, 255};
    const tn_val list[] = {{.type = TN_T_INT, .u.i = 1}, {.type = TN_T_NULL}};
    const tn_pair map[] = {{text(TN_T_STR, 0, "a", 1), {.type = TN_T_INT, .u.i = 1}}};
    const struct {
        const char *key;
        tn_val v;
    } all[] = {
        {"null", {.type = TN_T_NULL}},
        {"bool", {.type = TN_T_BOOL, .u.i = 1}},
        {"int", {.type = TN_T_INT, .u.i = INT64_MIN}},
        {"float", {.type = TN_T_FLOAT, .u.f = 0.5}},
        {"str", text(TN_T_STR, 0, "\xE6\xA6\xAB", 3)},
        {"json", text(TN_T_STR, TN_V_JSON, "{\"a\":[1]}", 9)},
        {"bytes", {.type = TN_T_BYTES, .n = sizeof bytes, .u.b = bytes}},
        {"decimal", text(TN_T_DECIMAL, 0, "12.50", 5)},
        {"time", {.type = TN_T_TIME, .u.i = 1767225600000000}},
        {"naive", {.type = TN_T_TIME, .flags = TN_V_NAIVE, .u.i = 1767225600000000}},
        {"date", {.type = TN_T_DATE, .u.i = 20454}},
        {"clock", {.type = TN_T_CLOCK, .u.i = 30600000001}},
        {"span", {.type = TN_T_SPAN, .u.i = -90000000}},
        {"list", {.type = TN_T_LIST, .n = 2, .u.list = list}},
        {"map", {.type = TN_T_MAP, .n = 1, .u.map = map}},
    };
    const uint32_t n = sizeof all / sizeof all[0];
    tn_rc rc = to->ops->map_begin(to, n);
    for (uint32_t i = 0; rc == TN_OK && i < n; i++) {
        rc = to->ops->key(to, all[i].key, (uint32_t)strlen(all[i].key));
        rc = rc == TN_OK ? to->ops->scalar(to, &all[i].v) : rc;
    }
    return rc == TN_OK ? to->ops->map_end(to) : rc;
}

/* Rows are made one by one, so a million of them need no memory here. */
static tn_rc emit_table(tn_sink *to, int64_t rows)
{
    static const tn_col cols[] = {
        {"id", 2, TN_T_INT}, {"name", 4, TN_T_STR}, {"price", 5, TN_T_DECIMAL}};
    tn_rc rc = to->ops->table_begin(to, cols, 3, rows);
    for (int64_t i = 0; rc == TN_OK && i < rows; i++) {
        char name[32], price[32];
        int nname = snprintf(name, sizeof name, "row %lld", (long long)i);
        int nprice = snprintf(price, sizeof price, "%lld.50", (long long)i);
        const tn_val cells[] = {{.type = TN_T_INT, .u.i = i},
                                text(TN_T_STR, 0, name, (uint32_t)nname),
                                i % 2 ? (tn_val){.type = TN_T_NULL}
                                      : text(TN_T_DECIMAL, 0, price, (uint32_t)nprice)};
        rc = to->ops->row(to, cells);
    }
    return rc == TN_OK ? to->ops->table_end(to, -1) : rc;
}

tn_rc mem_emit(void *inst, const tn_result *result, tn_sink *sink, tn_err *err)
{
    (void)inst, (void)err; /* the sink's first error is ours; it says the rest itself */
    const struct result *r = result->native;
    tn_val v = {.type = TN_T_NULL};
    switch (result->method) {
    case MEM_VALUES:
        return emit_values(sink);
    case MEM_TABLE:
        return emit_table(sink, r->rows);
    case MEM_GET:
        if (r->rows == 1) {
            v = text(TN_T_STR, 0, r->text, r->len);
        }
        return sink->ops->scalar(sink, &v);
    default:
        return sink->ops->scalar(sink, &v); /* None */
    }
}
