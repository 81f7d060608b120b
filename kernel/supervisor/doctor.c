/* SPDX-License-Identifier: Apache-2.0 */
/* tenond --doctor: whether the supervisor could do its part here: the lock of the data folder, the
 * addresses, the number of descriptors. */
#include "kernel/base/fd.h"
#include "kernel/base/finding.h"
#include "kernel/base/str.h"
#include "kernel/supervisor/supervisor.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#define FILES_FEW    1024 /* the hub's own, and as many callers as remain */
#define FILES_ENOUGH 16384

/* pid of the platform that holds the folder, 0 = none. A shared lock for a moment disturbs nobody: who starts
 * now tries again for two seconds. */
static int holder(const char *data)
{
    char path[4096], *text = NULL;
    int pid = 0;
    snprintf(path, sizeof(path), "%s/lock", data);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK &&
        fd_read_file(path, 64, &text, NULL) >= 0) {
        pid = atoi(text);
    }
    free(text);
    fd_close(&fd);
    return pid;
}

static void check_listen(const char *list, int running, struct buf *out)
{
    tn_str rest = str_of(list), one;
    while (str_split(&rest, ',', &one)) {
        struct listeners l;
        char text[256];
        tn_err err = TN_ERR_INIT;
        one = str_trim(one);
        snprintf(text, sizeof(text), "%.*s", (int)(one.n < 255 ? one.n : 255), one.s);
        if (!one.n) {
            continue;
        }
        if (listen_open(&l, text, &err) == TN_OK) {
            listen_close(&l);
            finding_put(out, "listen", FINDING_OK, "", "%s is free", text);
        } else if (err.native == EADDRINUSE && running) {
            finding_put(out, "listen", FINDING_OK, "", "%s is taken, and the platform runs", text);
        } else {
            finding_put(
                out, "listen", FINDING_FAIL,
                err.native == EADDRINUSE ? "stop the other program (ss -ltnp shows it), or "
                                           "choose another port with --listen"
                : err.native == EACCES
                    ? "ports below 1024 need root or CAP_NET_BIND_SERVICE; choose a higher one"
                    : "correct --listen: ADDRESS:PORT, an address of this machine",
                "%s", err.msg);
        }
    }
}

/* What the hub will have: the supervisor raises its soft limit to the hard one. */
static void check_files(struct buf *out)
{
    struct rlimit r = {0};
    getrlimit(RLIMIT_NOFILE, &r);
    unsigned long long n = r.rlim_max == RLIM_INFINITY ? 1ull << 30
                                                       : (unsigned long long)r.rlim_max;
    enum finding_state s = n < FILES_FEW      ? FINDING_FAIL
                           : n < FILES_ENOUGH ? FINDING_WARN
                                              : FINDING_OK;
    finding_put(out, "descriptors", s,
                s == FINDING_OK ? ""
                                : "LimitNOFILE=65536 in the unit, or a hard nofile limit in "
                                  "/etc/security/limits.d",
                "%llu at most: every open connection takes one", n);
}

void supervisor_doctor(const struct settings *s, struct buf *out)
{
    int pid = holder(s->data);
    finding_put(out, "platform", FINDING_NOTE, "",
                pid ? "runs on this data folder as process %d" : "not running", pid);
    check_listen(s->listen, pid, out);
    check_files(out);
}
