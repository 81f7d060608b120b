/* SPDX-License-Identifier: Apache-2.0 */
/* Sign-in sessions: answered from memory, kept in table tn_session by a thread of their own, so that
 * no caller ever waits for the disk. */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"
#include "kernel/store/internal.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#define ABSOLUTE_US   (7 * 86400 * 1000000ll) /* however often it is used */
#define SAVE_EVERY_US (60 * 1000000ll)
#define SESSIONS_MAX  100000
#define SUBJECT_MAX   256 /* bytes */
#define HASH          32
#define HASH_TEXT     (2 * HASH + 1)

struct session {
    struct list of_subject;
    struct list unsaved; /* in sessions.unsaved, or alone */
    struct subject *subject;
    char id[HASH_TEXT]; /* BLAKE2b of subject and session id: the id itself is kept nowhere */
    int64_t created_us, access_us, saved_us; /* saved_us: access time in the table, 0 = no row */
    int64_t ttl_s;
};
struct subject {
    struct list sessions;
    char *name;
};
struct gone {
    struct list link;
    char id[HASH_TEXT];
};

struct sessions {
    struct store *store;
    pthread_mutex_t lock; /* everything below */
    pthread_cond_t work;
    struct map by_id;      /* hash text -> session */
    struct map by_subject; /* name -> subject */
    struct list unsaved;   /* sessions whose row is behind */
    struct list gone;      /* rows to delete */
    int hurry;             /* a new or ended session: save now */
    int closing, thread_runs;
    pthread_t thread;
};

static const tn_column columns[] = {
    {.name = "id", .type = TN_COL_STR, .max_len = 64, .flags = TN_COL_NOT_NULL},
    {.name = "subject", .type = TN_COL_STR, .max_len = SUBJECT_MAX, .flags = TN_COL_NOT_NULL},
    {.name = "ttl", .type = TN_COL_INT, .flags = TN_COL_NOT_NULL},
    {.name = "accessTime", .type = TN_COL_TIME, .flags = TN_COL_NOT_NULL},
    {.name = NULL},
};
static const tn_entity entities[] = {
    {.name = "tnSession", .alias = "tnss", .table = "tn_session", .columns = columns},
    {.name = NULL},
};

static void hash_of(tn_str subject, tn_str session, char ret[HASH_TEXT])
{
    unsigned char hash[HASH];
    crypto_generichash_state st;
    crypto_generichash_init(&st, NULL, 0, HASH);
    crypto_generichash_update(&st, (const unsigned char *)(subject.n ? subject.s : ""), subject.n);
    crypto_generichash_update(&st, (const unsigned char *)"", 1); /* a NUL between the two */
    crypto_generichash_update(&st, (const unsigned char *)(session.n ? session.s : ""), session.n);
    crypto_generichash_final(&st, hash, HASH);
    sodium_bin2hex(ret, HASH_TEXT, hash, HASH);
}

/* ---- the set in memory; all hold x->lock --------------------------------------------------------------- */

static int expired(const struct session *e, int64_t now)
{
    return now - e->access_us >= e->ttl_s * 1000000 || now - e->created_us >= ABSOLUTE_US;
}

static struct subject *subject_of(struct sessions *x, tn_str name)
{
    struct subject *u = map_get(&x->by_subject, name);
    if (u || !(u = calloc(1, sizeof *u))) {
        return u;
    }
    list_init(&u->sessions);
    if (!(u->name = str_dup(name)) || map_put(&x->by_subject, name, u, NULL) < 0) {
        free(u->name);
        free(u);
        return NULL;
    }
    return u;
}

static void subject_free_if_empty(struct sessions *x, struct subject *u)
{
    if (list_empty(&u->sessions)) {
        map_del(&x->by_subject, str_of(u->name));
        free(u->name);
        free(u);
    }
}

static struct session *add(struct sessions *x, tn_str subject, const char *id)
{
    struct session *e = calloc(1, sizeof *e);
    struct subject *u = e ? subject_of(x, subject) : NULL;
    if (!u) {
        free(e);
        return NULL;
    }
    snprintf(e->id, sizeof e->id, "%s", id);
    e->subject = u;
    list_init(&e->unsaved);
    list_push_back(&u->sessions, &e->of_subject);
    if (map_put(&x->by_id, str_of(id), e, NULL) < 0) {
        list_del(&e->of_subject);
        subject_free_if_empty(x, u);
        free(e);
        return NULL;
    }
    return e;
}

static void mark_unsaved(struct sessions *x, struct session *e)
{
    list_del(&e->unsaved);
    list_push_back(&x->unsaved, &e->unsaved);
}

/* Forgets it here; its row follows. Without memory for that, the row dies of its age. */
static void end_session(struct sessions *x, struct session *e)
{
    struct gone *g = malloc(sizeof *g);
    if (g) {
        snprintf(g->id, sizeof g->id, "%s", e->id);
        list_push_back(&x->gone, &g->link);
        x->hurry = 1;
        pthread_cond_signal(&x->work);
    }
    map_del(&x->by_id, str_of(e->id));
    list_del(&e->unsaved);
    list_del(&e->of_subject);
    subject_free_if_empty(x, e->subject);
    free(e);
}

static void end_expired(struct sessions *x)
{
    int64_t now = clock_wall_us();
    size_t i = 0;
    tn_str key;
    void *value;
    while (map_next(&x->by_id, &i, &key, &value)) {
        if (expired(value, now)) {
            end_session(x, value);
        }
    }
}

/* ---- the table -------------------------------------------------------------------------------------------- */

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
    struct session *e = add(x, subject, text);
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

static tn_rc load(struct sessions *x, tn_err *err)
{
    static const tn_sink_ops ops = {
        .size = sizeof ops, .table_begin = load_table, .row = load_row, .table_end = load_end};
    static const char *const names[] = {"id", "subject", "ttl", "createTime", "accessTime"};
    struct load_sink sink = {.sink = {&ops, NULL}, .x = x};
    struct stmt q;
    struct lease l;
    stmt_init(&q, x->store, &entities[0]);
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
    } *rows;
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
            mark_unsaved(x, e);
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

static void *run(void *user)
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
        end_expired(x);
        save(x);
    }
    save(x);
    pthread_mutex_unlock(&x->lock);
    return NULL;
}

/* ---- the interface -------------------------------------------------------------------------------------- */

tn_rc sessions_open(struct store *s, struct sessions **ret, tn_err *err)
{
    pthread_condattr_t attr;
    tn_rc rc = store_define(s, "kernel", entities, NULL, err);
    if (rc) {
        return rc;
    }
    struct sessions *x = calloc(1, sizeof *x);
    if (!x) {
        return err_set(err, TN_E_NOMEM, "no memory for sessions");
    }
    x->store = s;
    pthread_mutex_init(&x->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&x->work, &attr);
    pthread_condattr_destroy(&attr);
    map_init(&x->by_id);
    map_init(&x->by_subject);
    list_init(&x->unsaved);
    list_init(&x->gone);
    rc = load(x, err);
    if (rc == TN_OK) {
        end_expired(x);
        if (pthread_create(&x->thread, NULL, run, x) != 0) {
            rc = err_set(err, TN_E_NOMEM, "cannot start the thread that saves sessions");
        }
        x->thread_runs = rc == TN_OK;
    }
    if (rc) {
        sessions_close(x);
        return rc;
    }
    *ret = x;
    return TN_OK;
}

void sessions_close(struct sessions *x)
{
    tn_str key;
    void *value;
    if (!x) {
        return;
    }
    if (x->thread_runs) {
        pthread_mutex_lock(&x->lock);
        x->closing = 1;
        pthread_cond_signal(&x->work);
        pthread_mutex_unlock(&x->lock);
        pthread_join(x->thread, NULL);
    }
    for (struct list *g; (g = list_pop_front(&x->gone));) {
        free(list_entry(g, struct gone, link));
    }
    for (size_t i = 0; map_next(&x->by_subject, &i, &key, &value);) {
        free(((struct subject *)value)->name);
    }
    map_finish(&x->by_id, free);
    map_finish(&x->by_subject, free);
    pthread_cond_destroy(&x->work);
    pthread_mutex_destroy(&x->lock);
    free(x);
}

tn_rc sessions_put(struct sessions *x, tn_str subject, tn_str session, uint32_t ttl_s, tn_err *err)
{
    char id[HASH_TEXT];
    if (subject.n < 1 || subject.n > SUBJECT_MAX || memchr(subject.s, '\0', subject.n) ||
        !str_utf8_valid(subject) || session.n < 1 || ttl_s < 1) {
        return err_set(err, TN_E_INVAL, "a session needs a subject of 1 to %d bytes, an id and a time",
                       SUBJECT_MAX);
    }
    hash_of(subject, session, id);
    pthread_mutex_lock(&x->lock);
    struct session *e = map_get(&x->by_id, str_of(id));
    tn_rc rc = TN_OK;
    if (!e && x->by_id.used >= SESSIONS_MAX) {
        end_expired(x);
    }
    if (!e && x->by_id.used >= SESSIONS_MAX) {
        rc = err_set(err, TN_E_LIMIT, "there are %d sessions already; end some first", SESSIONS_MAX);
    } else if (!e && !(e = add(x, subject, id))) {
        rc = err_set(err, TN_E_NOMEM, "no memory for a session");
    } else {
        e->created_us = e->access_us = clock_wall_us();
        e->saved_us = 0;
        e->ttl_s = ttl_s;
        mark_unsaved(x, e);
        x->hurry = 1;
        pthread_cond_signal(&x->work);
    }
    pthread_mutex_unlock(&x->lock);
    return rc;
}

tn_rc sessions_check(struct sessions *x, tn_str subject, tn_str session, tn_err *err)
{
    char id[HASH_TEXT];
    int64_t now = clock_wall_us();
    tn_rc rc = TN_E_DENIED;
    hash_of(subject, session, id);
    pthread_mutex_lock(&x->lock);
    struct session *e = map_get(&x->by_id, str_of(id));
    if (e && expired(e, now)) {
        end_session(x, e);
    } else if (e) {
        rc = TN_OK;
        e->access_us = now > e->access_us ? now : e->access_us;
        if (e->access_us - e->saved_us >= SAVE_EVERY_US && list_empty(&e->unsaved)) {
            mark_unsaved(x, e); /* written by the thread's next round */
        }
    }
    pthread_mutex_unlock(&x->lock);
    return rc ? err_set(err, rc, "the session has ended; sign in again") : TN_OK;
}

void sessions_drop(struct sessions *x, tn_str subject, tn_str session, tn_str except)
{
    char id[HASH_TEXT], keep[HASH_TEXT] = "";
    if (except.s) {
        hash_of(subject, except, keep);
    }
    pthread_mutex_lock(&x->lock);
    if (session.s) {
        hash_of(subject, session, id);
        struct session *e = map_get(&x->by_id, str_of(id));
        if (e && strcmp(e->id, keep) != 0) {
            end_session(x, e);
        }
    } else {
        struct subject *u = map_get(&x->by_subject, subject);
        struct session *kept = keep[0] ? map_get(&x->by_id, str_of(keep)) : NULL;
        /* The subject goes with its last session, so look again each time. */
        while (u && u->sessions.next != u->sessions.prev) {
            struct session *e = list_entry(u->sessions.next, struct session, of_subject);
            if (e == kept) {
                e = list_entry(e->of_subject.next, struct session, of_subject);
            }
            end_session(x, e);
        }
        if (u && list_entry(u->sessions.next, struct session, of_subject) != kept) {
            end_session(x, list_entry(u->sessions.next, struct session, of_subject));
        }
    }
    pthread_mutex_unlock(&x->lock);
}

tn_rc sessions_list(struct sessions *x, struct buf *ret, tn_err *err)
{
    int64_t now = clock_wall_us();
    size_t i = 0, before = ret->len;
    int subjects = 0;
    tn_str name;
    void *value;
    buf_addc(ret, '{');
    pthread_mutex_lock(&x->lock);
    while (map_next(&x->by_subject, &i, &name, &value)) {
        int n = 0;
        list_for_each(it, &((struct subject *)value)->sessions) {
            const struct session *e = list_entry(it, struct session, of_subject);
            if (expired(e, now)) {
                continue;
            }
            int64_t idle = now > e->access_us ? (now - e->access_us) / 1000000 : 0;
            if (n == 0) {
                buf_adds(ret, subjects++ ? "," : "");
                buf_quote(ret, name);
            }
            buf_printf(ret, "%s{\"idle\":%lld,\"ttl\":%lld,\"lastAccessTime\":%lld}", n++ ? "," : ":[",
                       (long long)idle, (long long)(e->ttl_s - idle),
                       (long long)(e->access_us / 1000000));
        }
        buf_adds(ret, n ? "]" : "");
    }
    pthread_mutex_unlock(&x->lock);
    if (buf_addc(ret, '}') < 0) {
        ret->len = before;
        return err_set(err, TN_E_LIMIT, "the list of sessions is too long");
    }
    return TN_OK;
}
