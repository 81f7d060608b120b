/* SPDX-License-Identifier: Apache-2.0 */
/* Methods for one key: request, reply, result. */
#include "memcached.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TIME_MIN (-1)
#define TIME_MAX UINT32_MAX

static tn_rc time_of(struct mc_call *k, const tn_val *v, int64_t *ret)
{
    return mc_number(v, "time (seconds; 0: for ever; from 2592001 on a Unix time)", 0, TIME_MIN,
                     TIME_MAX, ret, k->err);
}

/* Sends what is in c->out and reads the first line of the reply. */
static tn_rc ask(struct mc_call *k, struct mc_node *node, tn_str *ret_line)
{
    tn_rc rc = mc_send(node, &k->c->out, k->deadline_ns, k->err);
    k->c->fresh = false;
    return rc == TN_OK ? mc_line(node, k->deadline_ns, ret_line, k->err) : rc;
}

static void begin(struct mc_call *k, const char *verb, tn_str key)
{
    struct message_buf *b = mc_request(k->c);
    message_puts(b, verb);
    message_puts(b, " ");
    message_put(b, key.s, key.n);
}

static tn_rc route(struct mc_call *k, const tn_val *v, tn_str *ret_key, struct mc_node **ret)
{
    uint32_t i = 0;
    tn_rc rc = mc_key(v, ret_key, k->err);
    rc = rc == TN_OK ? mc_node_for(k->c, *ret_key, k->deadline_ns, &i, k->err) : rc;
    *ret = rc == TN_OK ? &k->c->node[i] : NULL;
    return rc;
}

/* ---- reading ----------------------------------------------------------------------------------------- */

/* The reply to get, gets, gat: nothing, or one value of that key. */
static tn_rc read_one(struct mc_call *k, struct mc_node *node, tn_str line, tn_str key, bool token)
{
    struct mc_head h;
    const char *s = NULL;
    char copy[MC_KEY_MAX];
    if (mc_is(line, "END")) {
        tape_null(k->out);
        if (token) {
            tape_null(k->out);
        }
        return TN_OK;
    }
    if (!mc_head(line, &h)) {
        return mc_unexpected(line, k->err);
    }
    if (h.key.n != key.n || memcmp(h.key.s, key.s, key.n) != 0) {
        memcpy(copy, key.s, key.n);
        return mc_broken(mc_host->fail(k->err, TN_E_UNAVAIL,
                                       "the server answers for another key than `%.*s`", (int)key.n,
                                       copy),
                         k->err);
    }
    tn_rc rc = mc_block(node, h.bytes, k->deadline_ns, &s, k->err);
    if (rc != TN_OK) {
        return rc;
    }
    tn_rc decoded = mc_decode(h.flags, s, h.bytes, node->max, k->out, k->err);
    if (decoded == TN_OK && token) {
        if (h.token <= INT64_MAX) {
            tape_int(k->out, (int64_t)h.token);
        } else {
            char text[24];
            int n = snprintf(text, sizeof text, "%" PRIu64, h.token);
            tape_text(k->out, TN_T_STR, TN_V_JSON, text, (size_t)n);
        }
    }
    tn_err own = TN_ERR_INIT; /* the line behind the value is read also when the value is refused */
    rc = mc_line(node, k->deadline_ns, &line, &own);
    rc = rc == TN_OK && !mc_is(line, "END") ? mc_unexpected(line, &own) : rc;
    if (rc != TN_OK) {
        *k->err = own;
        mc_broken(rc, k->err);
    }
    return rc != TN_OK ? rc : decoded;
}

/* get(key, default), gets(key) -> [value, token] */
tn_rc mc_get(struct mc_call *k)
{
    struct mc_node *node;
    tn_str key, line = {NULL, 0};
    bool token = strcmp(k->verb, "gets") == 0;
    tn_rc rc = route(k, &k->a[0], &key, &node);
    if (rc != TN_OK) {
        return rc;
    }
    begin(k, k->verb, key);
    message_puts(&k->c->out, "\r\n");
    rc = ask(k, node, &line);
    if (token) {
        tape_list(k->out);
    }
    rc = rc == TN_OK ? read_one(k, node, line, key, token) : rc;
    if (token) {
        tape_end(k->out);
    }
    return mc_node_judge(k->c, node, rc, k->err);
}

/* gat(key, time): get() that also sets the time. */
tn_rc mc_gat(struct mc_call *k)
{
    struct mc_node *node;
    tn_str key, line = {NULL, 0};
    int64_t seconds = 0;
    tn_rc rc = time_of(k, &k->a[1], &seconds);
    rc = rc == TN_OK ? route(k, &k->a[0], &key, &node) : rc;
    if (rc != TN_OK) {
        return rc;
    }
    begin(k, "gat", (tn_str){"", 0});
    message_put_int(&k->c->out, seconds);
    message_puts(&k->c->out, " ");
    message_put(&k->c->out, key.s, key.n);
    message_puts(&k->c->out, "\r\n");
    rc = ask(k, node, &line);
    rc = rc == TN_OK ? read_one(k, node, line, key, false) : rc;
    return mc_node_judge(k->c, node, rc, k->err);
}

/* ---- writing ----------------------------------------------------------------------------------------- */

/* "verb key flags time bytes [token]" and the value, behind what is in c->out. */
static tn_rc put_item(struct mc_call *k, const char *verb, tn_str key, const tn_val *v,
                      int64_t seconds, int64_t min_compress, const char *token)
{
    struct message_buf *b = &k->c->out, value = {NULL, 0, 0, false};
    uint32_t flags = 0;
    tn_rc rc = mc_encode(v, min_compress, &value, &flags, k->err);
    if (rc == TN_OK) {
        message_puts(b, verb);
        message_puts(b, " ");
        message_put(b, key.s, key.n);
        message_puts(b, " ");
        message_put_int(b, flags);
        message_puts(b, " ");
        message_put_int(b, seconds);
        message_puts(b, " ");
        message_put_int(b, (int64_t)value.n);
        if (token != NULL) {
            message_puts(b, " ");
            message_puts(b, token);
        }
        message_puts(b, "\r\n");
        message_put(b, value.s, value.n);
        message_puts(b, "\r\n");
    }
    free(value.s);
    return rc;
}

/* What can be read off a line: done, not done, or an error. */
static tn_rc put_outcome(struct mc_call *k, tn_str line, const char *yes, const char *no)
{
    if (mc_is(line, yes) || mc_is(line, no)) {
        tape_bool(k->out, mc_is(line, yes));
        return TN_OK;
    }
    return mc_unexpected(line, k->err);
}

/* set, add, replace, append, prepend(key, value, time, min_compress_len) */
tn_rc mc_store(struct mc_call *k)
{
    struct mc_node *node;
    tn_str key, line = {NULL, 0};
    int64_t seconds = 0, min_compress = 0;
    tn_rc rc = time_of(k, &k->a[2], &seconds);
    rc = rc == TN_OK
             ? mc_number(&k->a[3], "min_compress_len", 0, 0, INT64_MAX, &min_compress, k->err)
             : rc;
    rc = rc == TN_OK ? route(k, &k->a[0], &key, &node) : rc;
    if (rc != TN_OK) {
        return rc;
    }
    mc_request(k->c);
    rc = put_item(k, k->verb, key, &k->a[1], seconds, min_compress, NULL);
    rc = rc == TN_OK ? ask(k, node, &line) : rc;
    rc = rc == TN_OK ? put_outcome(k, line, "STORED", "NOT_STORED") : rc;
    return mc_node_judge(k->c, node, rc, k->err);
}

static bool all_digits(const tn_val *v)
{
    uint32_t i = 0;
    while (i < v->n && v->u.s[i] >= '0' && v->u.s[i] <= '9') {
        i++;
    }
    return i == v->n && i != 0;
}

/* cas(key, value, token, time, min_compress_len): True; False when it has changed; None when it is gone */
tn_rc mc_cas(struct mc_call *k)
{
    struct mc_node *node;
    tn_str key, line = {NULL, 0};
    int64_t seconds = 0, min_compress = 0, token = 0;
    char text[24];
    const tn_val *t = &k->a[2];
    tn_rc rc = time_of(k, &k->a[3], &seconds);
    rc = rc == TN_OK
             ? mc_number(&k->a[4], "min_compress_len", 0, 0, INT64_MAX, &min_compress, k->err)
             : rc;
    if (rc == TN_OK && t->type == TN_T_NULL) {
        return mc_host->fail(k->err, TN_E_INVAL, "the token of gets() is needed");
    }
    if (rc == TN_OK && (t->type == TN_T_STR || t->type == TN_T_DECIMAL) && t->n < sizeof text &&
        all_digits(t)) {
        memcpy(text, t->u.s, t->n); /* beyond 63 bits it comes as text */
        text[t->n] = '\0';
    } else if (rc == TN_OK) {
        rc = mc_number(t, "token", 0, 0, INT64_MAX, &token, k->err);
        snprintf(text, sizeof text, "%" PRId64, token);
    }
    rc = rc == TN_OK ? route(k, &k->a[0], &key, &node) : rc;
    if (rc != TN_OK) {
        return rc;
    }
    mc_request(k->c);
    rc = put_item(k, "cas", key, &k->a[1], seconds, min_compress, text);
    rc = rc == TN_OK ? ask(k, node, &line) : rc;
    if (rc == TN_OK && mc_is(line, "NOT_FOUND")) {
        tape_null(k->out);
    } else if (rc == TN_OK) {
        rc = put_outcome(k, line, "STORED", "EXISTS");
    }
    return mc_node_judge(k->c, node, rc, k->err);
}

/* delete(key): True when there was one */
tn_rc mc_delete(struct mc_call *k)
{
    struct mc_node *node;
    tn_str key, line = {NULL, 0};
    tn_rc rc = route(k, &k->a[0], &key, &node);
    if (rc != TN_OK) {
        return rc;
    }
    begin(k, "delete", key);
    message_puts(&k->c->out, "\r\n");
    rc = ask(k, node, &line);
    rc = rc == TN_OK ? put_outcome(k, line, "DELETED", "NOT_FOUND") : rc;
    return mc_node_judge(k->c, node, rc, k->err);
}

/* touch(key, time): True when there is one */
tn_rc mc_touch(struct mc_call *k)
{
    struct mc_node *node;
    tn_str key, line = {NULL, 0};
    int64_t seconds = 0;
    tn_rc rc = time_of(k, &k->a[1], &seconds);
    rc = rc == TN_OK ? route(k, &k->a[0], &key, &node) : rc;
    if (rc != TN_OK) {
        return rc;
    }
    begin(k, "touch", key);
    message_puts(&k->c->out, " ");
    message_put_int(&k->c->out, seconds);
    message_puts(&k->c->out, "\r\n");
    rc = ask(k, node, &line);
    rc = rc == TN_OK ? put_outcome(k, line, "TOUCHED", "NOT_FOUND") : rc;
    return mc_node_judge(k->c, node, rc, k->err);
}

/* incr, decr(key, delta): the new number, None when there is none */
tn_rc mc_count(struct mc_call *k)
{
    struct mc_node *node;
    tn_str key, line = {NULL, 0};
    int64_t delta = 1;
    bool up = strcmp(k->verb, "incr") == 0;
    tn_rc rc = mc_number(&k->a[1], "delta", 1, -INT64_MAX, INT64_MAX, &delta, k->err);
    rc = rc == TN_OK ? route(k, &k->a[0], &key, &node) : rc;
    if (rc != TN_OK) {
        return rc;
    }
    begin(k, up == (delta >= 0) ? "incr" : "decr", key);
    message_puts(&k->c->out, " ");
    message_put_int(&k->c->out, delta < 0 ? -delta : delta);
    message_puts(&k->c->out, "\r\n");
    rc = ask(k, node, &line);
    if (rc == TN_OK && mc_is(line, "NOT_FOUND")) {
        tape_null(k->out);
    } else if (rc == TN_OK && line.n > 0 && line.n <= 20 && line.s[0] >= '0' && line.s[0] <= '9') {
        rc = mc_decode(2, line.s, line.n, 64, k->out, k->err);
    } else if (rc == TN_OK) {
        rc = mc_unexpected(line, k->err);
    }
    return mc_node_judge(k->c, node, rc, k->err);
}

/* ---- many keys: set_multi ---------------------------------------------------------------------------- */

#define BATCH_BYTES 65536
#define BATCH_KEYS  64

/* Sends what waits and reads a reply for each; keys that were not stored are told. */
static tn_rc flush_batch(struct mc_call *k, struct mc_node *node, const uint32_t *which, uint32_t n,
                         const tn_val *keys_of)
{
    tn_rc rc = mc_send(node, &k->c->out, k->deadline_ns, k->err);
    mc_request(k->c);
    k->c->fresh = false;
    for (uint32_t i = 0; rc == TN_OK && i < n; i++) {
        tn_str line;
        rc = mc_line(node, k->deadline_ns, &line, k->err);
        if (rc == TN_OK && !mc_is(line, "STORED")) {
            if (!mc_begins(line, "SERVER_ERROR") && !mc_is(line, "NOT_STORED")) {
                return mc_broken(mc_unexpected(line, k->err), k->err); /* others still come */
            }
            const tn_val *key = &keys_of->u.map[which[i]].key;
            tape_str(k->out, key->u.s, key->n);
        }
    }
    return rc;
}

static tn_rc set_on_server(struct mc_call *k, uint32_t server, const uint32_t *where,
                           int64_t seconds, int64_t min_compress)
{
    const tn_val *map = &k->a[0];
    uint32_t which[BATCH_KEYS], n = 0;
    struct mc_node *node = NULL;
    tn_rc rc = TN_OK;
    for (uint32_t i = 0; rc == TN_OK && i < map->n; i++) {
        char room[MC_KEY_MAX];
        tn_str key;
        if (where[i] != server) {
            continue;
        }
        if (node == NULL) {
            rc = mc_node_ready(k->c, server, k->deadline_ns, &node, k->err);
            mc_request(k->c);
        }
        rc = rc == TN_OK ? mc_key_with(&k->a[2], &map->u.map[i].key, room, &key, k->err) : rc;
        rc = rc == TN_OK ? put_item(k, "set", key, &map->u.map[i].val, seconds, min_compress, NULL)
                         : rc;
        if (rc == TN_OK) {
            which[n++] = i;
        }
        if (rc == TN_OK && (n == BATCH_KEYS || k->c->out.n >= BATCH_BYTES)) {
            rc = flush_batch(k, node, which, n, map);
            n = 0;
        }
    }
    if (rc == TN_OK && n != 0) {
        rc = flush_batch(k, node, which, n, map);
    }
    return node != NULL ? mc_node_judge(k->c, node, rc, k->err) : rc;
}

/* set_multi(mapping, time, key_prefix, min_compress_len): keys that were not stored */
tn_rc mc_set_multi(struct mc_call *k)
{
    const tn_val *map = &k->a[0];
    int64_t seconds = 0, min_compress = 0;
    tn_rc rc = time_of(k, &k->a[1], &seconds);
    rc = rc == TN_OK
             ? mc_number(&k->a[3], "min_compress_len", 0, 0, INT64_MAX, &min_compress, k->err)
             : rc;
    if (rc == TN_OK && map->type != TN_T_MAP) {
        rc = mc_host->fail(k->err, TN_E_INVAL, "set_multi() needs a dict");
    }
    uint32_t *where = rc == TN_OK ? malloc((map->n + 1) * sizeof *where) : NULL;
    if (rc == TN_OK && where == NULL) {
        rc = mc_host->fail(k->err, TN_E_NOMEM, "no memory for the request");
    }
    for (uint32_t i = 0; rc == TN_OK && i < map->n; i++) {
        char room[MC_KEY_MAX];
        tn_str key;
        rc = mc_key_with(&k->a[2], &map->u.map[i].key, room, &key, k->err);
        rc = rc == TN_OK ? mc_node_for(k->c, key, k->deadline_ns, &where[i], k->err) : rc;
    }
    tape_list(k->out);
    for (uint32_t s = 0; rc == TN_OK && s < k->c->inst->ring.n; s++) {
        rc = set_on_server(k, s, where, seconds, min_compress);
    }
    tape_end(k->out);
    free(where);
    return rc;
}
