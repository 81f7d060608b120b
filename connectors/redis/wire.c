/* SPDX-License-Identifier: Apache-2.0 */
/* Requests as RESP2 arrays of bulk strings, replies within deadline and memory, error replies by class. */
#include "redis.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_BYTES 16384

/* ---- commands ---------------------------------------------------------------------------------------- */

void rd_cmd_init(struct rd_cmd *cmd, const char *words)
{
    *cmd = (struct rd_cmd){.cap = sizeof cmd->few / sizeof *cmd->few};
    cmd->v = cmd->few;
    for (const char *p = words; *p != '\0';) {
        size_t n = strcspn(p, " ");
        rd_arg_str(cmd, p, n);
        p += n;
        p += *p == ' ';
    }
}

void rd_cmd_finish(struct rd_cmd *cmd)
{
    if (cmd->v != cmd->few) {
        free(cmd->v);
    }
    cmd->v = cmd->few;
    cmd->n = 0;
}

void rd_arg(struct rd_cmd *cmd, const tn_val *v)
{
    if (cmd->n == cmd->cap) {
        uint32_t cap = cmd->cap * 4;
        tn_val *more = cap > 1u << 24 ? NULL : malloc(cap * sizeof *more);
        if (more == NULL) {
            cmd->rc = TN_E_NOMEM;
            return;
        }
        memcpy(more, cmd->v, cmd->n * sizeof *more);
        if (cmd->v != cmd->few) {
            free(cmd->v);
        }
        cmd->v = more;
        cmd->cap = cap;
    }
    cmd->v[cmd->n++] = *v;
}

void rd_arg_str(struct rd_cmd *cmd, const char *s, size_t n)
{
    const tn_val v = {.type = TN_T_STR, .n = (uint32_t)n, .u.s = s};
    rd_arg(cmd, &v);
}

void rd_arg_int(struct rd_cmd *cmd, int64_t i)
{
    const tn_val v = {.type = TN_T_INT, .u.i = i};
    rd_arg(cmd, &v);
}

void rd_arg_all(struct rd_cmd *cmd, const tn_val *v)
{
    for (uint32_t i = 0; v->type == TN_T_LIST && i < v->n; i++) {
        rd_arg(cmd, &v->u.list[i]);
    }
    if (v->type != TN_T_LIST) {
        rd_arg(cmd, v);
    }
}

void rd_arg_pairs(struct rd_cmd *cmd, const tn_val *v, bool swap)
{
    if (v->type != TN_T_MAP) {
        cmd->rc = TN_E_INVAL;
        return;
    }
    for (uint32_t i = 0; i < v->n; i++) {
        const tn_pair *p = &v->u.map[i];
        rd_arg(cmd, swap ? &p->val : &p->key);
        rd_arg(cmd, swap ? &p->key : &p->val);
    }
}

/* ---- writing ----------------------------------------------------------------------------------------- */

static bool room(struct rd_conn *c, size_t n)
{
    if (c->n + n > c->cap) {
        size_t cap = (c->n + n) * 2 + 256;
        char *more = realloc(c->wire, cap);
        if (more == NULL) {
            return false;
        }
        c->wire = more;
        c->cap = cap;
    }
    return true;
}

static bool put_head(struct rd_conn *c, char mark, uint32_t n)
{
    if (!room(c, 16)) {
        return false;
    }
    char digits[12];
    int k = 0;
    do {
        digits[k++] = (char)('0' + n % 10);
        n /= 10;
    } while (n != 0);
    c->wire[c->n++] = mark;
    while (k > 0) {
        c->wire[c->n++] = digits[--k];
    }
    c->wire[c->n++] = '\r';
    c->wire[c->n++] = '\n';
    return true;
}

static bool put_text(struct rd_conn *c, const void *s, size_t n)
{
    if (!put_head(c, '$', (uint32_t)n) || !room(c, n + 2)) {
        return false;
    }
    if (n != 0) {
        memcpy(c->wire + c->n, s, n);
    }
    c->n += n;
    c->wire[c->n++] = '\r';
    c->wire[c->n++] = '\n';
    return true;
}

/* The shortest text that is the same number again. */
static int float_text(char out[40], double f)
{
    int n = 0;
    for (int digits = 15; digits <= 17; digits++) {
        n = snprintf(out, 40, "%.*g", digits, f);
        if (strtod(out, NULL) == f) {
            break;
        }
    }
    return n;
}

static tn_rc put_value(struct rd_conn *c, const tn_val *v, uint32_t i, tn_err *err)
{
    static const char *const names[TN_T_TYPES] = {
        [TN_T_NULL] = "None",    [TN_T_BOOL] = "a bool",     [TN_T_TIME] = "a datetime",
        [TN_T_DATE] = "a date",  [TN_T_LIST] = "a list",     [TN_T_MAP] = "a dict",
        [TN_T_CLOCK] = "a time", [TN_T_SPAN] = "a timedelta"};
    char text[40];
    bool ok;
    switch (v->type) {
    case TN_T_STR:
    case TN_T_BYTES:
    case TN_T_DECIMAL:
        ok = put_text(c, v->u.s, v->n);
        break;
    case TN_T_INT:
        ok = put_text(c, text, (size_t)snprintf(text, sizeof text, "%" PRId64, v->u.i));
        break;
    case TN_T_FLOAT:
        ok = put_text(c, text, (size_t)float_text(text, v->u.f));
        break;
    default:
        return rd_host->fail(
            err, TN_E_INVAL,
            "argument %u of the command is %s; Redis holds texts, bytes and numbers (json.dumps() "
            "makes a text of it)",
            i, v->type < TN_T_TYPES && names[v->type] ? names[v->type] : "unknown");
    }
    return ok ? TN_OK : rd_host->fail(err, TN_E_NOMEM, "no memory for the command");
}

tn_rc rd_put(struct rd_conn *c, const struct rd_cmd *cmd, tn_err *err)
{
    size_t start = c->n;
    tn_rc rc = TN_OK;
    if (cmd->rc != TN_OK || cmd->n == 0) {
        return rd_host->fail(err, cmd->rc != TN_OK ? cmd->rc : TN_E_INVAL,
                             cmd->rc == TN_E_INVAL ? "a dict is needed"
                             : cmd->rc != TN_OK    ? "no memory for the command"
                                                   : "the command is empty");
    }
    if (!put_head(c, '*', cmd->n)) {
        rc = rd_host->fail(err, TN_E_NOMEM, "no memory for the command");
    }
    for (uint32_t i = 0; rc == TN_OK && i < cmd->n; i++) {
        rc = put_value(c, &cmd->v[i], i, err);
    }
    if (rc != TN_OK) {
        c->n = start;
    }
    return rc;
}

/* ---- talking ----------------------------------------------------------------------------------------- */

static void mark(tn_err *err, uint32_t flags)
{
    if (err != NULL) {
        err->flags |= flags;
    }
}

/* The first words of a lease: whose it is, when that has changed. The reply is nobody's concern. */
static tn_rc put_label(struct rd_conn *c, uint64_t deadline_ns, tn_err *err)
{
    char label[LABEL_MAX], name[LABEL_MAX + 80], text[LABEL_MAX + 160];
    if (label_caller(rd_host, label) == 0 || strcmp(label, c->label) == 0) {
        return TN_OK;
    }
    snprintf(c->label, sizeof c->label, "%s", label);
    int n = snprintf(name, sizeof name, "%s:%s", c->inst->conf->application, label);
    n = snprintf(text, sizeof text, "*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$%d\r\n%s\r\n", n,
                 name);
    c->owed++;
    return stream_write(&c->stream, text, (size_t)n, deadline_ns, err);
}

tn_rc rd_send(struct rd_conn *c, uint64_t deadline_ns, tn_err *err)
{
    size_t n = c->n;
    c->n = 0;
    if (c->fresh && stream_stale(&c->stream)) {
        tn_rc rc = rd_host->fail(err, TN_E_UNAVAIL,
                                 "the server closed the connection while it was idle");
        mark(err, TN_ERR_CONN_BROKEN | TN_ERR_RETRY);
        return rc;
    }
    tn_rc rc = c->fresh ? put_label(c, deadline_ns, err) : TN_OK;
    c->fresh = false;
    rc = rc != TN_OK ? rc : stream_write(&c->stream, c->wire, n, deadline_ns, err);
    if (c->cap > 1u << 20) { /* a large request is not remembered for ever */
        free(c->wire);
        c->wire = NULL;
        c->cap = 0;
    }
    return rc;
}

static tn_rc unreadable(struct rd_conn *c, tn_err *err)
{
    tn_rc rc = c->over
                   ? rd_host->fail(
                         err, TN_E_LIMIT,
                         "the reply is larger than max_result (%lld bytes); ask for less at a time",
                         (long long)c->inst->conf->max_result.n)
                   : rd_host->fail(err, TN_E_UNAVAIL,
                                   "the server does not speak the protocol of Redis: %s",
                                   c->reader->errstr);
    mark(err, TN_ERR_CONN_BROKEN);
    return rc;
}

tn_rc rd_next(struct rd_conn *c, struct rd_node **ret, tn_err *err)
{
    void *reply = NULL;
    if (redisReaderGetReply(c->reader, &reply) != REDIS_OK) {
        return unreadable(c, err);
    }
    if (reply != NULL) {
        c->used = c->fed = 0;
        c->over = false;
    }
    *ret = reply;
    return TN_OK;
}

tn_rc rd_fill(struct rd_conn *c, uint64_t deadline_ns, tn_err *err)
{
    char buf[READ_BYTES];
    size_t n;
    tn_rc rc = stream_read(&c->stream, buf, sizeof buf, deadline_ns, &n, err);
    if (rc != TN_OK) {
        return rc;
    }
    c->fed += n;
    c->over = c->fed > (size_t)c->inst->conf->max_result.n + READ_BYTES;
    return c->over || redisReaderFeed(c->reader, buf, n) != REDIS_OK ? unreadable(c, err) : TN_OK;
}

tn_rc rd_read(struct rd_conn *c, uint64_t deadline_ns, struct rd_node **ret, tn_err *err)
{
    struct rd_node *node = NULL;
    tn_rc rc = rd_next(c, &node, err);
    while (rc == TN_OK && (node == NULL || c->owed != 0)) {
        if (node != NULL) {
            c->owed--;
            rd_free(node);
            node = NULL;
        } else {
            rc = rd_fill(c, deadline_ns, err);
        }
        rc = rc == TN_OK ? rd_next(c, &node, err) : rc;
    }
    *ret = node;
    return rc;
}

tn_rc rd_exec(struct rd_conn *c, struct rd_cmd *cmd, uint64_t deadline_ns, struct rd_node **ret,
              tn_err *err)
{
    struct rd_node *node = NULL;
    tn_rc rc = rd_put(c, cmd, err);
    rd_cmd_finish(cmd);
    rc = rc == TN_OK ? rd_send(c, deadline_ns, err) : rc;
    rc = rc == TN_OK ? rd_read(c, deadline_ns, &node, err) : rc;
    if (rc == TN_OK && node->type == RD_ERROR) {
        rc = rd_refused(c, node, err);
        rd_free(node);
    } else if (rc == TN_OK) {
        *ret = node;
    }
    return rc;
}

/* ---- what the server refuses ------------------------------------------------------------------------- */

/* By the first word of the reply. */
static const struct {
    const char *word;
    tn_rc rc;
    uint32_t flags;
    const char *hint;
} classes[] = {
    {"NOAUTH", TN_E_DENIED, TN_ERR_CONN_BROKEN, "; configure password"},
    {"WRONGPASS", TN_E_DENIED, 0, "; check user and password"},
    {"NOPERM", TN_E_DENIED, 0, ""},
    {"OOM", TN_E_LIMIT, 0, ""},
    {"LOADING", TN_E_UNAVAIL, TN_ERR_RETRY, ""},
    {"BUSY", TN_E_UNAVAIL, TN_ERR_RETRY, ""},
    {"TRYAGAIN", TN_E_UNAVAIL, TN_ERR_RETRY, ""},
    {"CLUSTERDOWN", TN_E_UNAVAIL, TN_ERR_RETRY, ""},
    {"MASTERDOWN", TN_E_UNAVAIL, TN_ERR_RETRY, ""},
    {"READONLY", TN_E_UNAVAIL, 0, "; this is a replica"},
    {"MOVED", TN_E_CONFIG, 0, "; this is a node of a cluster, which needs a client for clusters"},
    {"ASK", TN_E_CONFIG, 0, "; this is a node of a cluster, which needs a client for clusters"},
    {"NOREPLICAS", TN_E_UNAVAIL, TN_ERR_RETRY, ""},
};

tn_rc rd_refused(struct rd_conn *c, const struct rd_node *node, tn_err *err)
{
    const char *text = strncmp(node->s, "ERR ", 4) == 0 ? node->s + 4 : node->s;
    size_t word = strcspn(node->s, " ");
    tn_rc rc = TN_E_REMOTE;
    uint32_t flags = 0;
    const char *hint = "";
    (void)c;
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        if (strlen(classes[i].word) == word && memcmp(node->s, classes[i].word, word) == 0) {
            rc = classes[i].rc;
            flags = classes[i].flags;
            hint = classes[i].hint;
        }
    }
    if (strstr(node->s, "max number of clients") != NULL) {
        rc = TN_E_LIMIT;
        flags = TN_ERR_CONN_BROKEN | TN_ERR_RETRY;
    }
    rd_host->fail(err, rc, "%.300s%s", text[0] != '\0' ? text : "the server refused without a word",
                  hint);
    if (err != NULL) {
        err->flags |= flags;
        snprintf(err->state, sizeof err->state, "%.*s", (int)(word < 7 ? word : 7), node->s);
    }
    return rc;
}
