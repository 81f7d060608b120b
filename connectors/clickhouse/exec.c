/* SPDX-License-Identifier: Apache-2.0 */
/* Statements: written with their settings and parameters, their answers collected or streamed. */
#include "clickhouse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PART_MAX (512u << 20) /* bytes of one block of a stream */
#define PONG_NS  300000000ull /* for the answer to a ping after an error */

static const struct sql_dialect dialect = {.flags = SQL_BACKSLASH | SQL_BACKSLASH_NAMES |
                                                    SQL_DOLLAR_QUOTES,
                                           .quote = '`',
                                           .value = ch_bind};

/* ---- the request ------------------------------------------------------------------------------------- */

static void put_client(struct ch_conn *c, tn_str query_id)
{
    ch_put8(&c->out, 1); /* the first of a chain of queries */
    ch_putz(&c->out, "");
    ch_put_text(&c->out, query_id.s, query_id.n);
    ch_putz(&c->out, "0.0.0.0:0");
    if (c->rev >= CH_REV_START_TIME) {
        ch_put64(&c->out, 0);
    }
    ch_put8(&c->out, 1); /* TCP */
    ch_putz(&c->out, "");
    ch_putz(&c->out, "");
    ch_putz(&c->out, c->inst->conf->application);
    ch_putv(&c->out, 1);
    ch_putv(&c->out, 0);
    ch_putv(&c->out, (uint64_t)c->inst->conf->revision);
    ch_putz(&c->out, ""); /* quota key */
    if (c->rev >= CH_REV_DEPTH) {
        ch_putv(&c->out, 0);
    }
    if (c->rev >= CH_REV_PATCH) {
        ch_putv(&c->out, 0);
    }
    if (c->rev >= CH_REV_TELEMETRY) {
        ch_put8(&c->out, 0);
    }
    if (c->rev >= CH_REV_REPLICAS) {
        ch_putv(&c->out, 0);
        ch_putv(&c->out, 0);
        ch_putv(&c->out, 0);
    }
}

tn_rc ch_put_query(struct ch_conn *c, const struct ch_ask *ask, struct sql_text *ret_text,
                   tn_str *ret_tail, tn_err *err)
{
    struct ch_binder binder = {.c = c,
                               .literals = c->rev < CH_REV_PARAMETERS || ch_is_insert(ask->sql)};
    struct sql_dialect d = dialect;
    struct sql_text text;
    tn_str query_id = ask->query_id != NULL && ask->query_id->type == TN_T_STR
                          ? (tn_str){ask->query_id->u.s, ask->query_id->n}
                          : (tn_str){"", 0};
    d.user = &binder;
    tn_rc rc = sql_translate(ch_host, &d, ask->sql, ask->params, &text, err);
    if (rc != TN_OK) {
        ch_out_finish(&binder.params);
        return rc;
    }
    tn_str sql = {text.sql, text.n};
    size_t at = ch_values_at(sql);
    *ret_tail = (tn_str){sql.s + at, sql.n - at};
    sql.n = c->rev < CH_REV_VALUES ? at : sql.n;
    ch_putv(&c->out, 1); /* Query */
    ch_put_text(&c->out, query_id.s, query_id.n);
    put_client(c, query_id);
    rc = ch_put_settings(c, ask, err);
    if (c->rev >= CH_REV_SECRET) {
        ch_putz(&c->out, "");
    }
    ch_putv(&c->out, 2); /* to the end */
    ch_putv(&c->out, c->method != 0);
    ch_put_text(&c->out, sql.s, sql.n);
    if (c->rev >= CH_REV_PARAMETERS) {
        ch_put(&c->out, binder.params.p, binder.params.n);
        ch_putz(&c->out, "");
    }
    ch_put_empty_block(c); /* no tables go with it */
    c->out.failed |= binder.params.failed;
    ch_out_finish(&binder.params);
    c->changed |= rc == TN_OK &&
                  ch_changes_session((tn_str){sql.s + text.label, sql.n - text.label});
    if (rc != TN_OK) {
        sql_text_finish(&text);
        c->out.n = 0;
        return rc;
    }
    *ret_text = text;
    return TN_OK;
}

/* ---- results ----------------------------------------------------------------------------------------- */

struct ch_part *ch_part_new(struct ch_block *take)
{
    struct ch_part *p = calloc(1, sizeof *p);
    if (p == NULL) {
        ch_block_finish(take);
        return NULL;
    }
    p->block = *take;
    atomic_init(&p->refs, 1);
    *take = (struct ch_block){.ncols = 0};
    return p;
}

void ch_part_drop(struct ch_part *p)
{
    while (p != NULL && atomic_fetch_sub(&p->refs, 1) == 1) {
        struct ch_part *next = p->next;
        ch_block_finish(&p->block);
        free(p);
        p = next;
    }
}

void ch_result_drop(struct ch_result *r)
{
    ch_part_drop(r->first);
    ch_part_drop(r->totals);
    ch_part_drop(r->extremes);
    r->first = r->last = r->totals = r->extremes = NULL;
}

static size_t size_of(const struct ch_result *r)
{
    size_t n = 0;
    for (const struct ch_part *p = r->first; p != NULL; p = p->next) {
        n += p->block.mem.used;
    }
    return n;
}

/* A block goes where it belongs. The head is kept until rows have come: it has the names. */
static tn_rc keep(struct ch_result *r, uint32_t type, struct ch_block *take, tn_err *err)
{
    struct ch_part **at = type == CH_P_TOTALS     ? &r->totals
                          : type == CH_P_EXTREMES ? &r->extremes
                                                  : NULL;
    if (take->ncols == 0 || (at != NULL && *at != NULL) ||
        (at == NULL && take->nrows == 0 && r->first != NULL)) {
        ch_block_finish(take);
        return TN_OK;
    }
    struct ch_part *p = ch_part_new(take);
    if (p == NULL) {
        return ch_broken(ch_host->fail(err, TN_E_NOMEM, "no memory for the result"), err);
    }
    if (at != NULL) {
        *at = p;
    } else if (r->last != NULL) {
        r->last->next = p;
        r->last = p;
    } else {
        r->first = r->last = p;
    }
    return TN_OK;
}

/* A server that refuses a statement early may leave the rest of the request unread, and take it for the next one. */
static tn_rc refused(struct ch_conn *c, tn_rc rc, tn_err *err)
{
    if (c->refused && c->raw.rc == TN_OK &&
        ch_check(c->inst, c, ch_host->now_ns() + PONG_NS, NULL) != TN_OK) {
        c->raw.rc = TN_E_UNAVAIL;
    }
    return c->raw.rc == TN_OK ? rc : ch_broken(rc, err);
}

/* What was stopped is late, or not wanted any more, whatever the server said to it. */
static tn_rc judge(struct ch_conn *c, tn_rc rc, tn_err *err)
{
    if (c->stopping == TN_OK) {
        return rc == TN_OK ? rc : refused(c, rc, err);
    }
    uint32_t flags = err != NULL ? err->flags & TN_ERR_CONN_BROKEN : 0;
    bool lost = rc != TN_OK && c->raw.rc != TN_OK;
    rc = ch_host->fail(err, c->stopping,
                       c->stopping == TN_E_TIMEOUT
                           ? "the statement did not end in time and was canceled"
                           : "the statement was told to stop");
    if (err != NULL) {
        err->flags |= flags | (lost ? TN_ERR_CONN_BROKEN : 0);
        err->native = 0;
    }
    return rc;
}

tn_rc ch_collect(struct ch_conn *c, struct ch_result *ret, tn_err *err)
{
    size_t most = (size_t)c->inst->conf->max_result.n;
    uint32_t type = 0;
    tn_rc rc = TN_OK;
    while (rc == TN_OK && type != CH_P_END) {
        struct ch_block b = {.ncols = 0};
        size_t used = ret != NULL ? size_of(ret) : 0;
        rc = ch_packet(c, most > used ? most - used : 0, &type, &b, err);
        if (rc == TN_OK && ret != NULL && c->stopping == TN_OK) {
            rc = keep(ret, type, &b, err);
        } else {
            ch_block_finish(&b);
        }
    }
    return judge(c, rc, err);
}

/* An INSERT whose rows the server waits for: they stood behind VALUES, or are missing, or stand behind a FORMAT and were
 * not read by anybody. */
static tn_rc feed(struct ch_conn *c, const struct ch_block *sample, tn_str sql, tn_str tail,
                  int64_t *ret_rows, tn_err *err)
{
    if (tail.n != 0) {
        return ch_insert_values(c, sample, tail, ret_rows, err);
    }
    ch_put_empty_block(c); /* none */
    if (ch_has_values(sql)) {
        return ch_send(c, err);
    }
    tn_rc rc = ch_host->fail(
        err, TN_E_INVAL,
        "the server waits for rows and has got none: write them behind VALUES, or use insert()");
    if (ch_send(c, NULL) != TN_OK || ch_collect(c, NULL, NULL) != TN_OK) {
        ch_broken(rc, err);
    }
    return rc;
}

tn_rc ch_run(struct ch_conn *c, const struct ch_ask *ask, uint64_t deadline_ns,
             struct ch_result *ret, tn_err *err)
{
    struct sql_text text = {.sql = NULL};
    tn_str tail = {"", 0};
    bool insert = ch_is_insert(ask->sql), fed = false;
    int64_t rows = 0;
    ch_begin(c, deadline_ns);
    tn_rc rc = ch_put_query(c, ask, &text, &tail, err);
    c->running = rc == TN_OK;
    rc = rc == TN_OK ? ch_send(c, err) : rc;
    while (rc == TN_OK && insert && !fed) { /* until it wants rows or has none to want */
        struct ch_block b = {.ncols = 0};
        uint32_t type = 0;
        rc = ch_packet(c, (size_t)c->inst->conf->max_result.n, &type, &b, err);
        if (rc == TN_OK && type == CH_P_DATA && b.ncols != 0) {
            rc = feed(c, &b, ask->sql, tail, &rows, err);
            fed = true;
        }
        ch_block_finish(&b);
        if (type == CH_P_END) {
            break;
        }
    }
    rc = rc == TN_OK && c->running ? ch_collect(c, ret, err) : judge(c, rc, err);
    sql_text_finish(&text);
    ret->stat = c->stat;
    ret->number = rows != 0 ? rows : (int64_t)c->stat.written_rows;
    memcpy(ret->zone, c->zone, sizeof ret->zone);
    return rc;
}

/* ---- streams ----------------------------------------------------------------------------------------- */

tn_rc ch_stream_start(struct ch_conn *c, const struct ch_ask *ask, uint64_t deadline_ns,
                      tn_err *err)
{
    struct sql_text text = {.sql = NULL};
    tn_str tail;
    if (ch_is_insert(ask->sql)) {
        return ch_host->fail(err, TN_E_INVAL,
                             "stream() is for statements with rows; use non_query() or insert()");
    }
    ch_begin(c, deadline_ns);
    tn_rc rc = ch_put_query(c, ask, &text, &tail, err);
    c->running = c->streaming = rc == TN_OK;
    rc = rc == TN_OK ? ch_send(c, err) : rc;
    sql_text_finish(&text);
    return rc;
}

static tn_rc next_part(struct ch_conn *c, tn_err *err)
{
    uint32_t type = 0;
    tn_rc rc = TN_OK;
    ch_part_drop(c->part);
    c->part = NULL;
    c->part_at = 0;
    while (rc == TN_OK && type != CH_P_END && c->part == NULL) {
        struct ch_block b = {.ncols = 0};
        rc = ch_packet(c, PART_MAX, &type, &b, err);
        if (rc == TN_OK && type == CH_P_DATA && b.nrows != 0 && c->stopping == TN_OK) {
            c->part = ch_part_new(&b);
            rc = c->part != NULL
                     ? TN_OK
                     : ch_broken(ch_host->fail(err, TN_E_NOMEM, "no memory for rows"), err);
        }
        ch_block_finish(&b);
    }
    c->streaming = c->running;
    return judge(c, rc, err);
}

tn_rc ch_stream_next(struct ch_conn *c, uint32_t max, uint64_t deadline_ns, struct ch_result *ret,
                     tn_err *err)
{
    tn_rc rc = TN_OK;
    c->deadline_ns = deadline_ns;
    if (c->part == NULL || c->part_at == c->part->block.nrows) {
        rc = c->streaming ? next_part(c, err) : TN_OK;
    }
    memcpy(ret->zone, c->zone, sizeof ret->zone);
    ret->window = true;
    if (rc != TN_OK || c->part == NULL || c->part_at == c->part->block.nrows) {
        return rc;
    }
    size_t left = c->part->block.nrows - c->part_at;
    ret->first = c->part;
    atomic_fetch_add(&c->part->refs, 1);
    ret->from = c->part_at;
    ret->rows = left < max ? left : max;
    c->part_at += ret->rows;
    return TN_OK;
}
