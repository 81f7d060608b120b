/* SPDX-License-Identifier: Apache-2.0 */
/* One platform per data folder: an advisory lock that its hub shares, so that a new supervisor waits
 * for the hub of a killed one. */
#include "kernel/base/err.h"
#include "kernel/base/fd.h"
#include "kernel/supervisor/supervisor.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define TRIES    100
#define PAUSE_NS 20000000

tn_rc lock_take(const char *data, int *ret_fd, tn_err *err)
{
    char path[4096], pid[32] = "";
    if (fd_mkdirs(data, 0700)) {
        return err_sys(err, errno, "data folder %s", data);
    }
    if (snprintf(path, sizeof(path), "%s/lock", data) >= (int)sizeof(path)) {
        return err_set(err, TN_E_CONFIG, "data folder: the path is longer than %zu bytes",
                       sizeof(path));
    }
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_sys(err, errno, "lock file %s", path);
    }
    for (int i = 0; flock(fd, LOCK_EX | LOCK_NB); i++) {
        int e = errno;
        if (e != EWOULDBLOCK || i == TRIES) {
            ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);
            pid[n > 0 ? (size_t)n : 0] = '\0';
            fd_close(&fd);
            return e != EWOULDBLOCK
                       ? err_sys(err, e, "locking %s", path)
                       : err_set(err, TN_E_CONFLICT,
                                 "data folder %s is in use by process %d; stop it or choose "
                                 "another folder with --data",
                                 data, atoi(pid));
        }
        nanosleep(&(struct timespec){0, PAUSE_NS}, NULL);
    }
    int n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
    if (ftruncate(fd, 0) || pwrite(fd, pid, (size_t)n, 0) != n) {
        tn_rc rc = err_sys(err, errno, "writing %s", path);
        fd_close(&fd);
        return rc;
    }
    *ret_fd = fd;
    return TN_OK;
}
