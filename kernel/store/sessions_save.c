/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions in table tn_session: loading them, and the thread that writes what changed in
 * batches. */
#include "kernel/base/err.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"
#include "kernel/store/sessions_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

static const tn_column columns[] = {
    {.name = "id", .type = TN_COL_STR, .max_len = 64, .flags = TN_COL_NOT_NULL},
    {.name = "subject", .type = TN_COL_STR, .max_len = SUBJECT_MAX, .flags = TN_COL_NOT_NULL},
    {.name = "ttl", .type = TN_COL_INT, .flags = TN_COL_NOT_NULL},
    {.name = "accessTime", .type = TN_COL_TIME, .flags = TN_COL_NOT_NULL},
    {.name = NULL},
};
const tn_entity sessions_entities[] = {
    {.name = "tnSession", .alias = "tnss", .table = "tn_session", .columns = columns},
    {.name = NULL},
};

struct load_sink {
    tn_sink sink;
    struct sessions *x;
};

static tn_rc load_table(tn_sink *sink, const tn_col *cols, uint32_t ncols, int64_t hint)
{
    (void)sink;
    (void)cols;
    (void)hint;
    return ncols == 5 ? TN_OK : TN_E_INTERNAL;
}

static tn_rc load_row(tn_sink *sink, const tn_val *c)
{
    struct sessions *x = container_of(sink, struct load_sink, sink)->x;
    tn_str id = {c[0].u.s, c[0].n}, subject = {c[1].u.s, c[1].n};
    char text[HASH_TEXT];
    if (c[0].type != TN_T_STR || id.n != HASH_TEXT - 1 || c[1].type != TN_T_STR ||
        x->by_id.used >= SESSIONS_MAX) {
        return TN_OK; /* not ours to understand */
    }
    memcpy(text, id.s, id.n);
    text[id.n] = '\0';
    struct session *e = session_add(x, subject, text);
    if (!e) {
        return TN_E_NOMEM;
    }
    e->ttl_s = c[2].u.i;
    e->created_us = c[3].u.i;
    e->access_us = e->saved_us = c[4].u.i;
    return TN_OK;
}

static tn_rc load_end(tn_sink *sink, int64_t affected)
{
    (void)sink;
    (void)affected;
    return TN_OK;
}

tn_rc sessions_load(struct sessions *x, tn_err *err)
{
    static const tn_sink_ops ops = {
        .size = sizeof ops, .table_begin = load_table, .row = load_row, .table_end = load_end};
    static const char *const names[] = {"id", "subject", "ttl", "createTime", "accessTime"};
    struct load_sink sink = {.sink = {&ops, NULL}, .x = x};
    struct stmt q;
    struct lease l;
    stmt_init(&q, x->store, &sessions_entities[0]);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        stmt_add(&q, i ? ", " : "SELECT ");
        stmt_name(&q, names[i]);
    }
    tn_rc rc = stmt_from(&q, err);
    rc = rc ? rc : stmt_check(&q, err);
    rc = rc ? rc : lease_take(x->store, NULL, 0, &l, err);
    if (rc == TN_OK) {
        rc = lease_query(&l, buf_str(&q.sql), NULL, 0, &sink.sink, err);
        lease_give(&l);
    }
    stmt_finish(&q);
    return rc;
}

/* What one pass of the thread writes; copied out, so that nobody waits for the disk. */
struct batch {
    struct list gone;
    struct saved {
        char id[HASH_TEXT];
        char subject[SUBJECT_MAX + 1];
        int64_t ttl_s, created_us, access_us;
        int fresh;
    } * rows;
    size_t n;
};

static void take_batch(struct sessions *x, struct batch *b)
{
    size_t n = 0;
    memset(b, 0, sizeof *b);
    list_init(&b->gone);
    for (struct list *g; (g = list_pop_front(&x->gone));) {
        list_push_back(&b->gone, g);
    }
    list_for_each(it, &x->unsaved) {
        n++;
    }
    b->rows = n ? calloc(n, sizeof *b->rows) : NULL;
    for (struct list *it; b->rows && (it = list_pop_front(&x->unsaved));) {
        struct session *e = list_entry(it, struct session, unsaved);
        struct saved *r = &b->rows[b->n++];
        memcpy(r->id, e->id, sizeof r->id);
        snprintf(r->subject, sizeof r->subject, "%s", e->subject->name);
        r->ttl_s = e->ttl_s;
        r->created_us = e->created_us;
        r->access_us = e->access_us;
        r->fresh = e->saved_us == 0;
        e->saved_us = e->access_us;
    }
    x->hurry = 0;
}

static tn_rc save_row(struct store *s, struct store_txn *t, const struct saved *r, tn_err *err)
{
    char text[512], id[HASH_TEXT + 2];
    int64_t n = 0;
    snprintf(id, sizeof id, "\"%s\"", r->id);
    tn_filter f = {.column = "id", .op = TN_OP_EQ, .value = str_of(id)};
    snprintf(text, sizeof text, "{\"ttl\":%lld,\"accessTime\":%lld}", (long long)r->ttl_s,
             (long long)r->access_us);
    tn_rc rc = store_update(s, t, "tnSession", &f, 1, str_of(text), &n, err);
    if (rc || n || !r->fresh) { /* an old one without a row was ended meanwhile */
        return rc;
    }
    struct buf row = BUF_INIT(0);
    buf_printf(&row, "{\"id\":%s,\"subject\":", id);
    buf_quote(&row, str_of(r->subject));
    buf_printf(&row, ",\"ttl\":%lld,\"accessTime\":%lld,\"createTime\":%lld}", (long long)r->ttl_s,
               (long long)r->access_us, (long long)r->created_us);
    rc = row.failed ? err_set(err, TN_E_NOMEM, "no memory for a session")
                    : store_insert(s, t, "tnSession", buf_str(&row), NULL, err);
    buf_finish(&row);
    return rc;
}

static tn_rc delete_row(struct store *s, struct store_txn *t, const char *hash, tn_err *err)
{
    char id[HASH_TEXT + 2];
    snprintf(id, sizeof id, "\"%s\"", hash);
    tn_filter f = {.column = "id", .op = TN_OP_EQ, .value = str_of(id)};
    return store_remove(s, t, "tnSession", &f, 1, NULL, err);
}

static tn_rc write_batch(struct sessions *x, struct batch *b, tn_err *err)
{
    struct store_txn *t;
    tn_rc rc = store_begin(x->store, &t, err);
    if (rc) {
        return rc;
    }
    list_for_each(it, &b->gone) { /* before the rows: an id may have come back */
        rc = rc ? rc : delete_row(x->store, t, list_entry(it, struct gone, link)->id, err);
    }
    for (size_t i = 0; i < b->n && rc == TN_OK; i++) {
        rc = save_row(x->store, t, &b->rows[i], err);
    }
    if (rc) {
        store_rollback(x->store, t);
        return rc;
    }
    return store_commit(x->store, t, err);
}

/* What could not be written is tried again with the next batch. */
static void put_back(struct sessions *x, struct batch *b)
{
    for (struct list *g; (g = list_pop_front(&b->gone));) {
        list_push_back(&x->gone, g);
    }
    for (size_t i = 0; i < b->n; i++) {
        struct session *e = map_get(&x->by_id, str_of(b->rows[i].id));
        if (e) {
            e->saved_us = b->rows[i].fresh ? 0 : e->saved_us;
            session_mark_unsaved(x, e);
        }
    }
}

/* Holds x->lock, except while it writes. */
static void save(struct sessions *x)
{
    struct batch b;
    tn_err err = TN_ERR_INIT;
    if (list_empty(&x->gone) && list_empty(&x->unsaved)) {
        x->hurry = 0;
        return;
    }
    take_batch(x, &b);
    pthread_mutex_unlock(&x->lock);
    tn_rc rc = write_batch(x, &b, &err);
    pthread_mutex_lock(&x->lock);
    if (rc) {
        log_warn("sessions are not saved now, trying again in a minute: %s", err.msg);
        put_back(x, &b);
    }
    for (struct list *g; (g = list_pop_front(&b.gone));) {
        free(list_entry(g, struct gone, link));
    }
    free(b.rows);
}

void *sessions_run(void *user)
{
    struct sessions *x = user;
    prctl(PR_SET_NAME, "tn-sessions");
    pthread_mutex_lock(&x->lock);
    while (!x->closing) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += SAVE_EVERY_US / 1000000;
        int timeout = 0;
        while (!x->closing && !x->hurry && !timeout) {
            timeout = pthread_cond_timedwait(&x->work, &x->lock, &until) != 0;
        }
        sessions_end_expired(x);
        save(x);
    }
    save(x);
    pthread_mutex_unlock(&x->lock);
    return NULL;
}
