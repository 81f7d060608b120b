/* SPDX-License-Identifier: Apache-2.0 */
/* Sign-in sessions: answered from memory, kept in table tn_session by a thread of their own, so
 * that no caller ever waits for the disk. */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/str.h"
#include "kernel/store/sessions_int.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* ---- the set in memory; all hold x->lock ----------------------------------------------------- */

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

struct session *session_add(struct sessions *x, tn_str subject, const char *id)
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

void session_mark_unsaved(struct sessions *x, struct session *e)
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

void sessions_end_expired(struct sessions *x)
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

/* ---- the interface --------------------------------------------------------------------------- */

tn_rc sessions_open(struct store *s, struct sessions **ret, tn_err *err)
{
    pthread_condattr_t attr;
    tn_rc rc = store_define(s, "kernel", sessions_entities, NULL, err);
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
    rc = sessions_load(x, err);
    if (rc == TN_OK) {
        sessions_end_expired(x);
        sigset_t all, before; /* signals are for the thread that expects them */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        if (pthread_create(&x->thread, NULL, sessions_run, x) != 0) {
            rc = err_set(err, TN_E_NOMEM, "cannot start the thread that saves sessions");
        }
        pthread_sigmask(SIG_SETMASK, &before, NULL);
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
        return err_set(err, TN_E_INVAL,
                       "a session needs a subject of 1 to %d bytes, an id and a time", SUBJECT_MAX);
    }
    hash_of(subject, session, id);
    pthread_mutex_lock(&x->lock);
    struct session *e = map_get(&x->by_id, str_of(id));
    tn_rc rc = TN_OK;
    if (!e && x->by_id.used >= SESSIONS_MAX) {
        sessions_end_expired(x);
    }
    if (!e && x->by_id.used >= SESSIONS_MAX) {
        rc = err_set(err, TN_E_LIMIT, "there are %d sessions already; end some first",
                     SESSIONS_MAX);
    } else if (!e && !(e = session_add(x, subject, id))) {
        rc = err_set(err, TN_E_NOMEM, "no memory for a session");
    } else {
        e->created_us = e->access_us = clock_wall_us();
        e->saved_us = 0;
        e->ttl_s = ttl_s;
        session_mark_unsaved(x, e);
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
            session_mark_unsaved(x, e); /* written by the thread's next round */
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
        struct list *at = u ? u->sessions.next : NULL;
        for (bool more = u != NULL; more;) {
            struct session *e = list_entry(at, struct session, of_subject);
            at = at->next;
            more = at !=
                   &u->sessions; /* looked at before: the subject goes with its last session */
            if (e != kept) {
                end_session(x, e);
            }
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
            buf_printf(ret, "%s{\"idle\":%lld,\"ttl\":%lld,\"lastAccessTime\":%lld}",
                       n++ ? "," : ":[", (long long)idle, (long long)(e->ttl_s - idle),
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
