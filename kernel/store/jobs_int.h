/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of jobs.db share. */
#pragma once
#include "kernel/store/jobs.h"

struct jobs {
    struct store *store;
    struct side *side;
    struct jobs_conf conf;
    int64_t ended, occurrences; /* rows that have ended, occurrences: about; writer thread */
};

/* Values of one statement. */
struct binds {
    tn_val v[64];
    uint32_t n;
};
void bind_int(struct binds *b, int64_t i);
void bind_str(struct binds *b, tn_str s); /* absent: NULL */
static inline void bind_text(struct binds *b, const char *z)
{
    bind_str(b, (tn_str){z, z ? __builtin_strlen(z) : 0});
}

/* Rows one by one. */
typedef tn_rc (*row_fn)(void *user, const tn_val *cells);
tn_rc rows_write(struct side_txn *t, const char *sql, const struct binds *b, row_fn each,
                 void *user, tn_err *err);
tn_rc rows_read(struct side *d, const char *sql, const struct binds *b, row_fn each, void *user,
                tn_err *err);
/* Collects struct job_key of SELECT JOB_KEY_COLUMNS; rsvd is the queue. */
#define JOB_KEY_COLUMNS "seq, epoch, rank, dueTimeMs, expireTimeMs, overlap, overlapKey, queue"
struct key_list {
    struct job_key *to;
    uint32_t n, cap;
};
tn_rc key_row(void *user, const tn_val *cells);
static inline tn_str cell_str(const tn_val *v)
{
    return v->type == TN_T_STR || v->type == TN_T_BYTES ? (tn_str){v->u.s ? v->u.s : "", v->n}
                                                        : (tn_str){NULL, 0};
}
static inline int64_t cell_int(const tn_val *v)
{
    return v->type == TN_T_INT ? v->u.i : 0;
}

/* The columns of struct job, one row each. */
const char *job_columns(void);                  /* "seq, id, ..." */
tn_rc job_read(void *job, const tn_val *cells); /* a row_fn for SELECT or RETURNING of them */
/* Sets j->seq. */
tn_rc job_insert(struct side_txn *t, struct job *j, int64_t now_us, tn_err *err);

extern const tn_entity jobs_entities[];
extern const tn_migration jobs_migrations[];
