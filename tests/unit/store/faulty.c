/* SPDX-License-Identifier: Apache-2.0 */
/* A SQLite VFS that fails on demand. It talks to SQLite through the plugin's own library. */
#include "faulty.h"

#include <dlfcn.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct file {
    sqlite3_file base;
    sqlite3_file *real; /* behind this struct */
    sqlite3_io_methods methods;
};

static sqlite3_vfs *real_vfs, vfs;
static _Atomic unsigned kinds_;
static _Atomic int code_, forever_;
static atomic_int at_, count_;

void faulty_arm(unsigned kinds, int at, int forever, int code)
{
    kinds_ = kinds;
    forever_ = forever;
    code_ = code;
    atomic_store(&at_, at);
    atomic_store(&count_, 0);
}

int faulty_count(void)
{
    return atomic_load(&count_);
}

static int fault(unsigned kind, int code)
{
    if (!(kinds_ & kind)) {
        return SQLITE_OK;
    }
    int n = atomic_fetch_add(&count_, 1) + 1, at = atomic_load(&at_);
    return at && (n == at || (n > at && forever_)) ? (code_ ? code_ : code) : SQLITE_OK;
}

#define REAL(f) (((struct file *)(f))->real)
static int f_close(sqlite3_file *f)
{
    return REAL(f)->pMethods ? REAL(f)->pMethods->xClose(REAL(f)) : SQLITE_OK;
}
static int f_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    int rc = fault(FAULT_READ, SQLITE_IOERR_READ);
    return rc ? rc : REAL(f)->pMethods->xRead(REAL(f), p, n, at);
}
static int f_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    int rc = fault(FAULT_WRITE, SQLITE_IOERR_WRITE);
    return rc ? rc : REAL(f)->pMethods->xWrite(REAL(f), p, n, at);
}
static int f_truncate(sqlite3_file *f, sqlite3_int64 n)
{
    int rc = fault(FAULT_TRUNC, SQLITE_IOERR_TRUNCATE);
    return rc ? rc : REAL(f)->pMethods->xTruncate(REAL(f), n);
}
static int f_sync(sqlite3_file *f, int flags)
{
    int rc = fault(FAULT_SYNC, SQLITE_IOERR_FSYNC);
    return rc ? rc : REAL(f)->pMethods->xSync(REAL(f), flags);
}
static int f_size(sqlite3_file *f, sqlite3_int64 *n)
{
    return REAL(f)->pMethods->xFileSize(REAL(f), n);
}
static int f_lock(sqlite3_file *f, int how)
{
    return REAL(f)->pMethods->xLock(REAL(f), how);
}
static int f_unlock(sqlite3_file *f, int how)
{
    return REAL(f)->pMethods->xUnlock(REAL(f), how);
}
static int f_reserved(sqlite3_file *f, int *ret)
{
    return REAL(f)->pMethods->xCheckReservedLock(REAL(f), ret);
}
static int f_control(sqlite3_file *f, int op, void *p)
{
    return REAL(f)->pMethods->xFileControl(REAL(f), op, p);
}
static int f_sector(sqlite3_file *f)
{
    return REAL(f)->pMethods->xSectorSize(REAL(f));
}
static int f_traits(sqlite3_file *f)
{
    return REAL(f)->pMethods->xDeviceCharacteristics(REAL(f));
}
static int f_shm_map(sqlite3_file *f, int page, int size, int grow, void volatile **p)
{
    return REAL(f)->pMethods->xShmMap(REAL(f), page, size, grow, p);
}
static int f_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    return REAL(f)->pMethods->xShmLock(REAL(f), offset, n, flags);
}
static void f_shm_barrier(sqlite3_file *f)
{
    REAL(f)->pMethods->xShmBarrier(REAL(f));
}
static int f_shm_unmap(sqlite3_file *f, int gone)
{
    return REAL(f)->pMethods->xShmUnmap(REAL(f), gone);
}

static int v_open(sqlite3_vfs *v, const char *name, sqlite3_file *out, int flags, int *ret_flags)
{
    static const sqlite3_io_methods methods = {
        2,          f_close,       f_read,      f_write,   f_truncate, f_sync,   f_size,
        f_lock,     f_unlock,      f_reserved,  f_control, f_sector,   f_traits, f_shm_map,
        f_shm_lock, f_shm_barrier, f_shm_unmap, NULL,      NULL};
    struct file *f = (struct file *)out;
    (void)v;
    f->base.pMethods = NULL;
    f->real = (sqlite3_file *)(f + 1);
    int rc = fault(FAULT_OPEN, SQLITE_CANTOPEN);
    rc = rc ? rc : real_vfs->xOpen(real_vfs, name, f->real, flags, ret_flags);
    if (rc == SQLITE_OK) {
        f->base.pMethods = &methods;
    }
    return rc;
}

void faulty_install(struct plug *plug)
{
    sqlite3_vfs *(*find)(const char *);
    int (*reg)(sqlite3_vfs *, int);
    if (real_vfs) {
        return;
    }
    void *p = dlsym(plug->handle, "sqlite3_vfs_find"),
         *q = dlsym(plug->handle, "sqlite3_vfs_register");
    if (!p || !q) {
        fprintf(stderr, "faulty: the plugin's SQLite library has no VFS functions\n");
        exit(1);
    }
    memcpy(&find, &p, sizeof find);
    memcpy(&reg, &q, sizeof reg);
    real_vfs = find(NULL);
    vfs = *real_vfs;
    vfs.zName = "faulty";
    vfs.szOsFile = (int)sizeof(struct file) + real_vfs->szOsFile;
    vfs.xOpen = v_open;
    vfs.pNext = NULL;
    reg(&vfs, 1);
}
