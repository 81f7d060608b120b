/* SPDX-License-Identifier: Apache-2.0 */
/* Online backup into a file that appears under its name only when it is whole. */
#include "sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static tn_rc copy_pages(struct conn *c, const char *path, int64_t *ret_pages, tn_err *err)
{
    sqlite3 *to = NULL;
    tn_rc rc = TN_OK;
    int code = sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    sqlite3_backup *b = code == SQLITE_OK ? sqlite3_backup_init(to, "main", c->db, "main") : NULL;
    if (!b) {
        rc = sq_error_db(c, to, code ? code : sqlite3_errcode(to), "opening the backup file", err);
    } else {
        while ((code = sqlite3_backup_step(b, 256)) == SQLITE_OK || code == SQLITE_BUSY ||
               code == SQLITE_LOCKED) {
            if (sq_expired(c)) {
                code = SQLITE_INTERRUPT;
                break;
            }
            if (code != SQLITE_OK) {
                sqlite3_sleep(5);
            }
        }
        *ret_pages = sqlite3_backup_pagecount(b);
        int last = sqlite3_backup_finish(b);
        code = code == SQLITE_DONE ? last : code;
        if (code == SQLITE_OK) {
            /* The copy is one file of its own: no write-ahead log has to travel with it. */
            code = sqlite3_exec(to, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
        }
        if (code != SQLITE_OK) {
            rc = sq_error_db(c, to, code, "backup", err);
        }
    }
    sqlite3_close_v2(to);
    return rc;
}

/* Online: readers and writers go on. The file appears under its name only when it is whole. */
tn_rc sq_backup(struct conn *c, tn_str path, int64_t *ret_pages, tn_err *err)
{
    char name[PATH_MAX], part[PATH_MAX];
    int64_t pages = 0;
    if (path.n == 0 || path.n > sizeof part - 8 || memchr(path.s, '\0', path.n)) {
        return sq_fail(err, TN_E_INVAL, "sqlite: the backup needs a file name of at most %zu bytes",
                       sizeof part - 8);
    }
    snprintf(name, sizeof name, "%.*s", (int)path.n, path.s);
    snprintf(part, sizeof part, "%.*s.part", (int)path.n, path.s);
    if (access(name, F_OK) == 0) {
        return sq_fail(err, TN_E_CONFLICT, "sqlite: backup file %s exists; choose another", name);
    }
    int fd = open(part, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return sq_fail(err, TN_E_UNAVAIL, "sqlite: cannot make backup file %s: %s", part,
                       strerror(errno));
    }
    close(fd);
    tn_rc rc = copy_pages(c, part, &pages, err);
    if (rc == TN_OK && rename(part, name) < 0) {
        rc = sq_fail(err, TN_E_REMOTE, "sqlite: cannot rename %s to %s: %s", part, name,
                     strerror(errno));
    }
    if (rc) {
        unlink(part);
        return rc;
    }
    *ret_pages = pages;
    return TN_OK;
}
