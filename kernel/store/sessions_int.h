/* SPDX-License-Identifier: Apache-2.0 */
/* What sessions.c (in memory) and sessions_save.c (in the table) share. */
#pragma once
#include "kernel/store/internal.h"

#include <sodium.h>

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

extern const tn_entity sessions_entities[]; /* table tn_session */

/* Holding x->lock. */
struct session *session_add(struct sessions *x, tn_str subject, const char *id);
void session_mark_unsaved(struct sessions *x, struct session *e);
void sessions_end_expired(struct sessions *x);

tn_rc sessions_load(struct sessions *x, tn_err *err);
void *sessions_run(void *x); /* the thread */
