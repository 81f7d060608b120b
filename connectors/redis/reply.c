/* SPDX-License-Identifier: Apache-2.0 */
/* Replies: hiredis parses, the nodes are ours, so that memory has a bound and methods can reshape them. */
#include "redis.h"

#include "common/utf8.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

#if HIREDIS_MAJOR >= 1
typedef size_t count_t;
#else
typedef int count_t;
#endif

struct rd_node *rd_node_new(uint8_t type, size_t n)
{
    bool text = type == RD_TEXT || type == RD_STATUS || type == RD_ERROR;
    bool many = type == RD_LIST || type == RD_MAP;
    if (n > UINT32_MAX) {
        return NULL;
    }
    struct rd_node *node = malloc(sizeof *node + (text ? n + 1 : 0));
    if (node == NULL) {
        return NULL;
    }
    node->type = type;
    node->n = (uint32_t)n;
    node->u.i = 0;
    if (many) {
        node->u.items = calloc(n + 1, sizeof(struct rd_node *));
        if (node->u.items == NULL) {
            free(node);
            return NULL;
        }
    }
    return node;
}

struct rd_node *rd_text(const char *s, size_t n)
{
    struct rd_node *node = rd_node_new(RD_TEXT, n);
    if (node != NULL) {
        memcpy(node->s, s, n);
        node->s[n] = '\0';
    }
    return node;
}

void rd_free(struct rd_node *node)
{
    if (node != NULL && (node->type == RD_LIST || node->type == RD_MAP)) {
        for (uint32_t i = 0; i < node->n; i++) { /* no deeper than the reader's stack */
            rd_free(node->u.items[i]);
        }
        free(node->u.items);
    }
    free(node);
}

/* ---- for hiredis ------------------------------------------------------------------------------------- */

/* Puts a new node where the reader is; NULL tells it that memory is short. */
static void *attach(const redisReadTask *task, struct rd_node *node)
{
    if (node != NULL && task->parent != NULL) {
        struct rd_node *parent = task->parent->obj;
        parent->u.items[task->idx] = node;
    }
    return node;
}

static bool affords(const redisReadTask *task, size_t bytes)
{
    struct rd_conn *c = task->privdata;
    size_t max = (size_t)c->inst->conf->max_result.n;
    if (bytes > max || c->used + bytes > max) {
        c->over = true;
        return false;
    }
    c->used += bytes;
    return true;
}

static void *on_string(const redisReadTask *task, char *s, size_t n)
{
    if (!affords(task, sizeof(struct rd_node) + n)) {
        return NULL;
    }
    struct rd_node *node = rd_node_new(task->type == REDIS_REPLY_ERROR    ? RD_ERROR
                                       : task->type == REDIS_REPLY_STATUS ? RD_STATUS
                                                                          : RD_TEXT,
                                       n);
    if (node != NULL) {
        memcpy(node->s, s, n);
        node->s[n] = '\0';
    }
    return attach(task, node);
}

static void *on_array(const redisReadTask *task, count_t n)
{
    if (!affords(task, sizeof(struct rd_node) + (size_t)n * sizeof(void *))) {
        return NULL;
    }
    return attach(task, rd_node_new(RD_LIST, (size_t)n));
}

static void *on_integer(const redisReadTask *task, long long i)
{
    struct rd_node *node = affords(task, sizeof *node) ? rd_node_new(RD_INT, 0) : NULL;
    if (node != NULL) {
        node->u.i = i;
    }
    return attach(task, node);
}

static void *on_nil(const redisReadTask *task)
{
    return attach(task, affords(task, sizeof(struct rd_node)) ? rd_node_new(RD_NIL, 0) : NULL);
}

static void on_free(void *node)
{
    rd_free(node);
}

const struct redisReplyObjectFunctions rd_functions = {.createString = on_string,
                                                       .createArray = on_array,
                                                       .createInteger = on_integer,
                                                       .createNil = on_nil,
                                                       .freeObject = on_free};

/* ---- other shapes ------------------------------------------------------------------------------------ */

void rd_become(struct rd_node *node, uint8_t type, int64_t i)
{
    if (node->type == RD_LIST || node->type == RD_MAP) {
        for (uint32_t k = 0; k < node->n; k++) {
            rd_free(node->u.items[k]);
        }
        free(node->u.items);
    }
    node->type = type;
    node->n = 0;
    node->u.i = i;
}

void rd_as_map(struct rd_node *node)
{
    for (uint32_t i = 0; node->type == RD_LIST && i < node->n; i += 2) {
        if (node->n % 2 != 0 || node->u.items[i]->type != RD_TEXT) {
            return;
        }
    }
    node->type = node->type == RD_LIST ? RD_MAP : node->type;
}

void rd_as_float(struct rd_node *node)
{
    char *end;
    if (node->type == RD_TEXT && node->n != 0) {
        double f = strtod(node->s, &end); /* "inf" and "nan", too, as Redis writes them */
        if (*end == '\0') {
            node->type = RD_FLOAT;
            node->u.f = f;
        }
    }
}

tn_rc rd_as_scores(struct rd_node *node, tn_err *err)
{
    if (node->type != RD_LIST) {
        return TN_OK;
    }
    for (uint32_t i = 0; i + 1 < node->n; i += 2) {
        struct rd_node *pair = rd_node_new(RD_LIST, 2);
        if (pair == NULL) {
            return rd_host->fail(err, TN_E_NOMEM, "no memory for the result");
        }
        pair->u.items[0] = node->u.items[i];
        pair->u.items[1] = node->u.items[i + 1];
        rd_as_float(pair->u.items[1]);
        node->u.items[i] = node->u.items[i + 1] = NULL;
        node->u.items[i / 2] = pair;
    }
    if (node->n % 2 != 0) {
        rd_free(node->u.items[node->n - 1]);
    }
    node->n /= 2;
    return TN_OK;
}

/* ---- out --------------------------------------------------------------------------------------------- */

static tn_val text_of(const struct rd_node *node, bool raw)
{
    bool bytes = raw || !utf8_valid(node->s, node->n);
    return (tn_val){.type = bytes ? TN_T_BYTES : TN_T_STR, .n = node->n, .u.s = node->s};
}

static tn_rc scalar(const struct rd_node *node, bool raw, tn_sink *sink)
{
    tn_val v = {.type = TN_T_NULL};
    switch (node != NULL ? node->type : RD_NIL) {
    case RD_INT:
        v = (tn_val){.type = TN_T_INT, .u.i = node->u.i};
        break;
    case RD_BOOL:
        v = (tn_val){.type = TN_T_BOOL, .u.i = node->u.i};
        break;
    case RD_FLOAT:
        v = (tn_val){.type = TN_T_FLOAT, .u.f = node->u.f};
        break;
    case RD_TEXT:
    case RD_STATUS:
    case RD_ERROR: /* inside of an array: what a command of a transaction said */
        v = text_of(node, raw);
        break;
    default:
        break;
    }
    return sink->ops->scalar(sink, &v);
}

static tn_rc describe_map(const struct rd_node *node, bool raw, tn_sink *sink)
{
    tn_rc rc = sink->ops->map_begin(sink, node->n / 2);
    for (uint32_t i = 0; rc == TN_OK && i + 1 < node->n; i += 2) {
        const struct rd_node *key = node->u.items[i];
        if (key == NULL) {
            continue; /* the server told fewer values than it was asked for */
        }
        rc = sink->ops->key(sink, key->s, key->n);
        rc = rc == TN_OK ? rd_describe(node->u.items[i + 1], raw, sink) : rc;
    }
    return rc == TN_OK ? sink->ops->map_end(sink) : rc;
}

tn_rc rd_describe(const struct rd_node *node, bool raw, tn_sink *sink)
{
    if (node != NULL && node->type == RD_MAP) {
        return describe_map(node, raw, sink);
    }
    if (node == NULL || node->type != RD_LIST) {
        return scalar(node, raw, sink);
    }
    tn_rc rc = sink->ops->list_begin(sink, node->n);
    for (uint32_t i = 0; rc == TN_OK && i < node->n; i++) {
        rc = rd_describe(node->u.items[i], raw, sink);
    }
    return rc == TN_OK ? sink->ops->list_end(sink) : rc;
}
