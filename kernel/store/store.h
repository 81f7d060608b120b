/* SPDX-License-Identifier: Apache-2.0 */
/* The platform's own store: a connector that speaks SQL, entities as tables, migrations, secrets.
 * Everything here may block: helper threads only, except where said. */
#pragma once
#include "kernel/base/buf.h"
#include "kernel/plug/plug.h"
#include <tenon/entity.h>

struct store;
/* Opens the store in `data` through connector plugin `pi` (attached with its configuration; for
 * sqlite the file is <data>/config.db), creating it when empty. readers: read connections. */
tn_rc store_open(struct plug_inst *pi, const char *data, unsigned readers, struct store **ret,
                 tn_err *err);
void store_close(struct store *s);
/* What TN_COL_SEALED is sealed with; files that are opened beside it afterwards take it over. */
struct keys;
void store_use_keys(struct store *s, struct keys *keys);
#define STORE_IN_DOUBT "40003" /* err.state (SQLSTATE: statement completion unknown) */
/* TN_E_UNAVAIL with the reason when a failed sync has stopped all writing. Any thread. */
tn_rc store_writable(struct store *s, tn_err *err);
/* True: it may be written. When a failed sync has stopped writing, tries whether the disk takes changes
 * again, at most once a second; may block. */
int store_revive(struct store *s);
/* Table definitions of one vocabulary: creates missing tables, columns and indexes, runs new
 * numbered migrations of `owner` (hash-checked, each in one transaction, after a backup copy). A
 * database that is newer than the binary is refused with a clear message. */
tn_rc store_define(struct store *s, const char *owner, const tn_entity *entities,
                   const tn_migration *migrations, tn_err *err);

/* The functions of tn_host_entities with the same contracts. */
struct store_txn;
tn_rc store_begin(struct store *s, struct store_txn **ret, tn_err *err);
tn_rc store_commit(struct store *s, struct store_txn *t, tn_err *err);
void store_rollback(struct store *s, struct store_txn *t);
tn_rc store_list(struct store *s, struct store_txn *t, const char *entity, const tn_list *q,
                 struct buf *ret_rows, int64_t *ret_total, tn_err *err);
tn_rc store_insert(struct store *s, struct store_txn *t, const char *entity, tn_str row,
                   struct buf *ret_id, tn_err *err);
tn_rc store_update(struct store *s, struct store_txn *t, const char *entity, const tn_filter *f,
                   uint32_t nf, tn_str patch, int64_t *ret_count, tn_err *err);
tn_rc store_remove(struct store *s, struct store_txn *t, const char *entity, const tn_filter *f,
                   uint32_t nf, int64_t *ret_count, tn_err *err);
tn_rc store_sql(struct store *s, struct store_txn *t, const char *sql, tn_str params,
                struct buf *ret_rows, int64_t *ret_affected, tn_err *err);

/* kernel/store/keys.c: the installation's key ring and what hangs on it (see tn_host_auth). */
struct keys;
/* <data>/master.key (0600, 32 random bytes, made on first start; refuses a wrong mode or size), and
 * a sentinel in the store that must decrypt. Memory locked and kept out of dumps. */
tn_rc keys_open(const char *data, struct store *s, struct keys **ret, tn_err *err);
void keys_close(struct keys *k);
tn_rc keys_seal(struct keys *k, tn_str plain, tn_str aad, struct buf *ret,
                tn_err *err); /* any thread, like the next two */
tn_rc keys_unseal(struct keys *k, tn_str sealed, tn_str aad, struct buf *ret, tn_err *err);
void keys_derive(struct keys *k, const char *purpose, uint8_t ret[32]);
tn_rc keys_password_hash(struct keys *k, tn_str password, struct buf *ret, tn_err *err);
tn_rc keys_password_verify(struct keys *k, tn_str password, tn_str phc, tn_err *err);

/* kernel/store/sessions.c; any thread. Persisted in table tn_session, hashed ids, cached in memory,
 * access times written back at most once a minute. */
struct sessions;
tn_rc sessions_open(struct store *s, struct sessions **ret, tn_err *err);
void sessions_close(struct sessions *x);
tn_rc sessions_put(struct sessions *x, tn_str subject, tn_str session, uint32_t ttl_s, tn_err *err);
tn_rc sessions_check(struct sessions *x, tn_str subject, tn_str session, tn_err *err);
void sessions_drop(struct sessions *x, tn_str subject, tn_str session, tn_str except);
tn_rc sessions_list(struct sessions *x, struct buf *ret, tn_err *err);
