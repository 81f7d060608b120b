/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the store share. */
#pragma once
#include "kernel/base/arena.h"
#include "kernel/base/list.h"
#include "kernel/base/map.h"
#include "kernel/store/dialect.h"
#include "kernel/store/store.h"

#include <pthread.h>

#define STORE_READERS_MAX 64
#define STORE_SIDES_MAX   4
#define STORE_READ_NS     (30 * 1000000000ull) /* longest read */
#define STORE_WRITE_NS    (60 * 1000000000ull) /* longest write, and longest wait for the writer */
#define STORE_SCRIPT_NS   (1800 * 1000000000ull) /* migrations and backups */

/* ---- connections (pool.c) -------------------------------------------------------------------- */

/* A place for one connection, opened when it is first needed and again after it broke. */
struct slot {
    void *conn;
    int busy;
    unsigned attached; /* readers: so many of store.sides */
};

struct store {
    struct plug_inst *pi;
    const tn_connector_ops *ops;
    const struct dialect *d;
    uint32_t query, non_query, script, backup, attach; /* method ids; 0 = the connector has none */
    char *data;
    struct keys *keys;    /* of TN_COL_SEALED; NULL: nothing can be sealed */
    pthread_mutex_t lock; /* slots, waiters, owner, lost */
    pthread_cond_t reader_free;
    struct list waiters; /* for the writer, first come first served */
    struct slot writer;
    pthread_t owner; /* thread that holds the writer while writer.busy */
    struct store_side {
        char name[16];
        char *path;
    } sides[STORE_SIDES_MAX]; /* files that readers attach (side.c); only added to */
    unsigned nsides;
    unsigned nreaders;
    struct slot readers[STORE_READERS_MAX];
    char lost[sizeof(((tn_err *)0)->msg)]; /* why writing has stopped; "" = it has not */
    uint64_t revive_ns;                    /* not tried again before */
    pthread_rwlock_t registry_lock;
    struct map registry; /* entity name -> const tn_entity */
    int existed;         /* the database had tables when it was opened */
    int backed_up;       /* since it was opened */
};

struct store_txn {
    struct store *s;
    tn_rc failed; /* a statement failed in a way that may have ended the transaction */
    char why[sizeof(((tn_err *)0)->msg)];
};

/* The right to use one connection. */
struct lease {
    struct store *s;
    struct store_txn *t; /* the writer belongs to this transaction */
    struct slot *slot;
    int writing;
};
/* writing or t: the writer, else a reader. */
tn_rc lease_take(struct store *s, struct store_txn *t, int writing, struct lease *ret, tn_err *err);
tn_rc lease_take_lost(struct store *s, struct lease *ret, tn_err *err); /* for store_revive() */
void lease_give(struct lease *l);
tn_rc lease_query(struct lease *l, tn_str sql, const tn_val *params, uint32_t n, tn_sink *sink,
                  tn_err *err);
tn_rc lease_exec(struct lease *l, tn_str sql, const tn_val *params, uint32_t n,
                 int64_t *ret_affected, tn_err *err);
tn_rc lease_script(struct lease *l, tn_str sql, tn_err *err);
tn_rc lease_attach(struct lease *l, const char *name, const char *path, tn_err *err);
tn_rc lease_backup(struct lease *l, const char *path, tn_err *err);
/* Statements of the dialect. */
tn_rc lease_begin(struct lease *l, tn_err *err);
tn_rc lease_commit(struct lease *l, tn_err *err);
void lease_rollback(struct lease *l);

/* Every reader of s attaches the file from now on. Takes the path in every case. */
tn_rc store_add_side(struct store *s, const char *name, char *path, tn_err *err);

/* ---- entities (entity.c) --------------------------------------------------------------------- */

extern const tn_column entity_seq, entity_create_time, entity_update_time;

/* A column by name; NULL when the entity has none of that name. Includes the kernel's own three. */
const tn_column *entity_column(const tn_entity *e, tn_str name);
tn_rc entity_get(struct store *s, const char *name, const tn_entity **ret, tn_err *err);
/* Checks the definitions and makes them known. Names must be identifiers: only what passed here is
 * ever written into SQL. */
tn_rc entity_register(struct store *s, const tn_entity *entities, tn_err *err);
uint32_t entity_joins(const tn_entity *e);

/* ---- statements (build.c, filter.c) ---------------------------------------------------------- */

/* SQL text and its bound values, growing together. */
struct stmt {
    struct store *s;
    const tn_entity *e;
    uint32_t joins; /* bit i: join i is referred to */
    struct buf sql;
    struct arena mem;
    tn_val *params;
    uint32_t n, cap;
    int failed; /* no memory */
};
void stmt_init(struct stmt *q, struct store *s, const tn_entity *e);
void stmt_finish(struct stmt *q);
tn_rc stmt_check(const struct stmt *q, tn_err *err); /* the one check for memory */
void stmt_add(struct stmt *q, const char *sql);      /* constant text only */
void stmt_name(struct stmt *q, const char *name);    /* quoted identifier from a table */
void stmt_bind(struct stmt *q, tn_val v);            /* '?' and the value */
void stmt_bind_int(struct stmt *q, int64_t v);
void stmt_bind_str(struct stmt *q, tn_str s); /* s must live as long as q */

/* A column that a filter, sort or join names. */
struct ref {
    const char *alias;
    const tn_column *col;
};
/* "column" or "alias.column"; marks the join it needs. TN_E_INVAL names it. */
tn_rc stmt_resolve(struct stmt *q, const char *what, const char *name, struct ref *ret,
                   tn_err *err);
void stmt_ref(struct stmt *q, const struct ref *r);
/* FROM with the joins that were marked so far. */
tn_rc stmt_from(struct stmt *q, tn_err *err);
/* ORDER BY: the given sorts, or the entity's own order; always ends in seq, so pages are stable. */
tn_rc stmt_order(struct stmt *q, const char *const *sort, uint32_t n, tn_err *err);
/* WHERE; fuzzy and marker from the list, which may be NULL. */
tn_rc stmt_where(struct stmt *q, const tn_filter *f, uint32_t nf, const tn_list *list, tn_err *err);

/* FROM, WHERE and, unless it counts, ORDER BY (list.c). */
tn_rc stmt_from_where(struct stmt *q, const tn_list *l, int count, tn_err *err);

/* ---- sealed columns (sealed.c, search.c) ------------------------------------------------------ */

int entity_sealed(const tn_entity *e); /* has it any? */
/* The value of a row with this id as it goes into the file; memory of q. */
tn_rc cell_seal(struct stmt *q, const tn_column *col, tn_str id, tn_val *v, tn_err *err);
/* What came out of it; opened text lies in room. A value that cannot be opened is null, with a warning. */
tn_val cell_open(struct store *s, const tn_entity *e, const tn_column *col, const tn_val *id,
                 const tn_val *v, struct buf *room);
/* Must this list be searched row by row? */
int search_needed(const tn_entity *e, const tn_list *l);
/* seqs of the page that l asks for, newest first, as the JSON array of a filter; ret_total: of all hits when
 * l wants them counted. */
tn_rc search_rows(struct lease *lease, const tn_entity *e, const tn_list *l, struct buf *ret_seqs,
                  int64_t *ret_total, tn_err *err);

/* ---- cells (cell.c) -------------------------------------------------------------------------- */

/* A JSON value as what the column stores; memory from `mem`. TN_E_INVAL names column and value. */
tn_rc cell_parse(const tn_column *col, uint32_t kind, tn_str raw, struct arena *mem, tn_val *ret,
                 tn_err *err);
/* The same for comparing: scalars only, and text is taken for numbers too. */
tn_rc cell_parse_filter(const tn_column *col, uint32_t kind, tn_str raw, struct arena *mem,
                        tn_val *ret, tn_err *err);
void cell_write(struct buf *out, const tn_column *col, const tn_val *v);
/* ISO 8601 date and time with zone (none: UTC), or a date; microseconds. */
int cell_parse_time(tn_str text, int64_t *ret_us);
/* "[a, b]" of a JSON array, one after the other: false at the end. *at starts at 0. */
int cell_next_item(tn_str array, size_t *at, tn_str *ret, uint32_t *ret_kind);
