/* SPDX-License-Identifier: Apache-2.0 */
/* Migrations: numbered, immutable, each in one transaction, after a backup of what was there. */
#include "kernel/store/migrate.h"
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/fd.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"

#include <errno.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#define HASH_TEXT  (2 * crypto_hash_sha256_BYTES + 1)
#define SPACE_OVER (16 << 20) /* bytes that must stay free beside the copy */

static const char own_tables[] =
    "CREATE TABLE IF NOT EXISTS tn_migration (owner VARCHAR(64) NOT NULL, number INTEGER NOT NULL, "
    "title VARCHAR(256) NOT NULL, hash VARCHAR(64) NOT NULL, doneTime BIGINT NOT NULL, "
    "PRIMARY KEY (owner, number));"
    "CREATE TABLE IF NOT EXISTS tn_meta (name VARCHAR(64) NOT NULL PRIMARY KEY, "
    "value TEXT NOT NULL);";

tn_rc migrate_prepare(struct store *s, tn_err *err)
{
    struct lease l;
    int64_t tables = 0;
    tn_rc rc = lease_take(s, NULL, 1, &l, err);
    if (rc) {
        return rc;
    }
    rc = lease_int(&l, s->d->tables, NULL, 0, &tables, err);
    s->existed = tables > 0;
    if (rc == TN_OK) {
        rc = lease_begin(&l, err);
        if (rc == TN_OK && (rc = lease_script(&l, str_of(own_tables), err)) == TN_OK) {
            rc = lease_commit(&l, err);
        }
        if (rc) {
            lease_rollback(&l);
        }
    }
    lease_give(&l);
    return rc;
}

/* ---- tn_meta --------------------------------------------------------------------------------- */

static void append(void *user, tn_str text)
{
    buf_addstr(user, text);
}

tn_rc meta_get(struct store *s, const char *key, struct buf *ret, tn_err *err)
{
    struct lease l;
    tn_val name = val_str(key);
    size_t before = ret->len;
    tn_rc rc = lease_take(s, NULL, 0, &l, err);
    if (rc == TN_OK) {
        rc = lease_texts(&l, "SELECT value FROM tn_meta WHERE name = ?", &name, 1, append, ret,
                         err);
        lease_give(&l);
    }
    return rc == TN_OK && ret->len == before
               ? err_set(err, TN_E_NOTFOUND, "the store has no value named %s", key)
               : rc;
}

tn_rc meta_put(struct store *s, const char *key, tn_str value, tn_err *err)
{
    struct lease l;
    tn_val v[2] = {{.type = TN_T_STR, .n = (uint32_t)value.n, .u.s = value.s}, val_str(key)};
    int64_t n = 0;
    tn_rc rc = lease_take(s, NULL, 1, &l, err);
    if (rc) {
        return rc;
    }
    rc = lease_begin(&l, err);
    rc = rc ? rc
            : lease_exec(&l, TN_STR("UPDATE tn_meta SET value = ? WHERE name = ?"), v, 2, &n, err);
    if (rc == TN_OK && n == 0) {
        rc = lease_exec(&l, TN_STR("INSERT INTO tn_meta (value, name) VALUES (?, ?)"), v, 2, &n,
                        err);
    }
    rc = rc ? rc : lease_commit(&l, err);
    if (rc) {
        lease_rollback(&l);
    }
    lease_give(&l);
    return rc;
}

/* ---- checks before anything changes ---------------------------------------------------------- */

static void hash_of(const tn_migration *m, char ret[HASH_TEXT])
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_state st;
    crypto_hash_sha256_init(&st);
    crypto_hash_sha256_update(&st, (const unsigned char *)m->dialect, strlen(m->dialect) + 1);
    crypto_hash_sha256_update(&st, (const unsigned char *)m->sql, strlen(m->sql));
    crypto_hash_sha256_final(&st, hash);
    sodium_bin2hex(ret, HASH_TEXT, hash, sizeof hash);
}

static int applies(const struct store *s, const tn_migration *m)
{
    return strcmp(m->dialect, "*") == 0 || strcmp(m->dialect, s->d->name) == 0;
}

/* What the database has recorded for one migration: its hash, or empty. */
static tn_rc recorded(struct lease *l, const char *owner, const tn_migration *m, struct buf *ret,
                      tn_err *err)
{
    tn_val v[2] = {val_str(owner), {.type = TN_T_INT, .u.i = m->seq}};
    buf_clear(ret);
    return lease_texts(l, "SELECT hash FROM tn_migration WHERE owner = ? AND number = ?", v, 2,
                       append, ret, err);
}

/* Refuses a newer database, edited migrations and a table whose numbers do not rise. */
static tn_rc check_migrations(struct lease *l, const char *owner, const tn_migration *migrations,
                              int *ret_pending, tn_err *err)
{
    struct buf hash = BUF_INIT(0);
    tn_val v = val_str(owner);
    int64_t newest = 0;
    uint32_t last = 0;
    tn_rc rc = lease_int(l, "SELECT max(number) FROM tn_migration WHERE owner = ?", &v, 1, &newest,
                         err);
    *ret_pending = 0;
    for (const tn_migration *m = migrations; m && m->seq && rc == TN_OK; m++) {
        char want[HASH_TEXT];
        if (m->seq <= last || !m->dialect || !m->sql || !m->title) {
            rc = err_set(
                err, TN_E_INVAL,
                "migration %u of %s: numbers must rise, and title, dialect and SQL be given",
                m->seq, owner);
            break;
        }
        last = m->seq;
        if (!applies(l->s, m)) {
            continue;
        }
        hash_of(m, want);
        if ((rc = recorded(l, owner, m, &hash, err)) == TN_OK && hash.len == 0) {
            *ret_pending = 1;
        } else if (rc == TN_OK && !str_is(buf_str(&hash), want)) {
            rc = err_set(
                err, TN_E_CONFIG,
                "migration %u of %s (%s) was edited after it had run: the database has %.12s, "
                "this program %.12s; migrations never change, add a new one",
                m->seq, owner, m->title, hash.data, want);
        }
    }
    buf_finish(&hash);
    if (rc == TN_OK && newest > (int64_t)last) {
        rc = err_set(
            err, TN_E_CONFIG,
            "the database is newer than this program: %s is at migration %lld, the program "
            "knows %u; use a newer version, or restore a backup from %s/backup",
            owner, (long long)newest, last, l->s->data);
    }
    return rc;
}

static tn_rc check_space(struct lease *l, const char *folder, int64_t *ret_size, tn_err *err)
{
    struct statvfs fs;
    int64_t size = 0;
    tn_rc rc = l->s->d->size ? lease_int(l, l->s->d->size, NULL, 0, &size, err) : TN_OK;
    if (rc) {
        return rc;
    }
    if (statvfs(folder, &fs) < 0) {
        return err_sys(err, errno, "cannot ask for the free space of %s", folder);
    }
    /* The copy, and as much again for what the migration rewrites. */
    uint64_t need = 2 * (uint64_t)size + SPACE_OVER, have = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (have < need) {
        return err_set(
            err, TN_E_LIMIT,
            "upgrading the database needs %llu MiB free in %s, there are %llu; free some "
            "space and start again, nothing was changed",
            (unsigned long long)(need >> 20) + 1, folder, (unsigned long long)(have >> 20));
    }
    *ret_size = size;
    return TN_OK;
}

/* <data>/backup/<time>-<owner>.db */
static tn_rc back_up(struct lease *l, const char *owner, tn_err *err)
{
    struct store *s = l->s;
    char folder[PATH_MAX - 256], path[PATH_MAX], when[64];
    int64_t size = 0;
    if (s->backed_up || !s->backup) {
        return TN_OK;
    }
    if (snprintf(folder, sizeof folder, "%s/backup", s->data) >= (int)sizeof folder) {
        return err_set(err, TN_E_LIMIT, "the path of the data folder is too long: %s", s->data);
    }
    if (fd_mkdirs(folder, 0700) < 0) {
        return err_sys(err, errno, "cannot make folder %s", folder);
    }
    tn_rc rc = check_space(l, folder, &size, err);
    if (rc) {
        return rc;
    }
    clock_iso(clock_wall_us(), when);
    for (char *p = when; *p; p++) {
        *p = *p == ':' || *p == '.' ? '-' : *p;
    }
    if (snprintf(path, sizeof path, "%s/%s-%s.db", folder, when, owner) >= (int)sizeof path) {
        return err_set(err, TN_E_LIMIT, "the name %.64s... is too long for a backup", owner);
    }
    if ((rc = lease_backup(l, path, err)) == TN_OK) {
        s->backed_up = 1;
        log_info("store: backup before the upgrade of %s: %s (%lld KiB)", owner, path,
                 (long long)size >> 10);
    }
    return rc;
}

/* ---- running --------------------------------------------------------------------------------- */

static tn_rc record(struct lease *l, const char *owner, const tn_migration *m, tn_err *err)
{
    char hash[HASH_TEXT];
    hash_of(m, hash);
    tn_val v[5] = {val_str(owner),
                   {.type = TN_T_INT, .u.i = m->seq},
                   val_str(m->title),
                   val_str(hash),
                   {.type = TN_T_INT, .u.i = clock_wall_us()}};
    return lease_exec(
        l,
        TN_STR("INSERT INTO tn_migration (owner, number, title, hash, doneTime) VALUES "
               "(?, ?, ?, ?, ?)"),
        v, 5, NULL, err);
}

static tn_rc run_one(struct lease *l, const char *owner, const tn_migration *m, int fresh,
                     tn_err *err)
{
    int run = !(fresh && (m->flags & TN_MIGRATION_UPGRADE));
    tn_rc rc = lease_begin(l, err);
    if (rc == TN_OK && run && (rc = lease_script(l, str_of(m->sql), err)) && err) {
        char why[sizeof err->msg];
        snprintf(why, sizeof why, "%s", err->msg);
        rc = err_set(err, rc, "migration %u of %s (%s) failed and was undone: %s", m->seq, owner,
                     m->title, why);
    }
    rc = rc ? rc : record(l, owner, m, err);
    rc = rc ? rc : lease_commit(l, err);
    if (rc) {
        lease_rollback(l);
    } else {
        log_info("store: migration %u of %s: %s%s", m->seq, owner, m->title,
                 run ? "" : " (not needed for a new database)");
    }
    return rc;
}

static tn_rc run_pending(struct lease *l, const char *owner, const tn_migration *migrations,
                         int fresh, tn_err *err)
{
    struct buf hash = BUF_INIT(0);
    tn_rc rc = TN_OK;
    for (const tn_migration *m = migrations; m && m->seq && rc == TN_OK; m++) {
        if (applies(l->s, m) && (rc = recorded(l, owner, m, &hash, err)) == TN_OK &&
            hash.len == 0) {
            rc = run_one(l, owner, m, fresh, err);
        }
    }
    buf_finish(&hash);
    return rc;
}

static tn_rc make_tables(struct lease *l, const tn_entity *entities, tn_err *err)
{
    tn_rc rc = lease_begin(l, err);
    if (rc) {
        return rc;
    }
    rc = define_tables(l, entities, err);
    rc = rc ? rc : lease_commit(l, err);
    if (rc) {
        lease_rollback(l);
    }
    return rc;
}

tn_rc store_define(struct store *s, const char *owner, const tn_entity *entities,
                   const tn_migration *migrations, tn_err *err)
{
    struct lease l;
    int fresh = 1, changes = 0, pending = 0;
    tn_rc rc = entity_register(s, entities, err);
    rc = rc ? rc : lease_take(s, NULL, 1, &l, err);
    if (rc) {
        return rc;
    }
    rc = check_migrations(&l, owner, migrations, &pending, err);
    rc = rc ? rc : define_pending(&l, entities, &fresh, &changes, err);
    fresh = entities ? fresh : !s->existed; /* its tables come from migrations alone */
    if (rc == TN_OK && s->existed && !fresh && (pending || changes)) {
        rc = back_up(&l, owner, err);
    }
    rc = rc ? rc : make_tables(&l, entities, err);
    rc = rc ? rc : run_pending(&l, owner, migrations, fresh, err);
    lease_give(&l);
    return rc;
}
