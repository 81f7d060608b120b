/* SPDX-License-Identifier: Apache-2.0 */
/* Landlock (Linux 5.13 and later, landlock(7)): a worker reads the system, writes its scratch folder and
 * the resources, and sees no process but its own. The kernel's header may be older than the kernel, so
 * everything is declared here. */
#include "kernel/base/err.h"
#include "kernel/base/fd.h"
#include "kernel/worker/jail.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule       445
#define SYS_landlock_restrict_self  446
#endif

#define ABI_QUERY  1u /* LANDLOCK_CREATE_RULESET_VERSION */
#define RULE_PATH  1  /* LANDLOCK_RULE_PATH_BENEATH */
#define FS_EXECUTE (1ull << 0)
#define FS_WRITE   (1ull << 1)
#define FS_READ    (1ull << 2)
#define FS_LIST    (1ull << 3)
#define FS_CHAR    (1ull << 6) /* making devices is for nobody */
#define FS_BLOCK   (1ull << 11)
#define FS_REFER   (1ull << 13) /* ABI 2: rename and link between folders */
#define FS_TRUNC   (1ull << 14) /* ABI 3 */
#define FS_IOCTL   (1ull << 15) /* ABI 5: ioctl of devices */
#define FS_ALL     ((1ull << 16) - 1)
#define SCOPE_ALL  3ull /* ABI 6: abstract sockets and signals stay inside */

#define RO   (FS_READ | FS_LIST)
#define RX   (RO | FS_EXECUTE)
#define RW   (FS_ALL & ~(FS_CHAR | FS_BLOCK | FS_IOCTL))
#define DEV  (FS_READ | FS_WRITE | FS_IOCTL)
#define FILE (FS_EXECUTE | FS_WRITE | FS_READ | FS_TRUNC | FS_IOCTL) /* all that a file can have */

struct ruleset_attr {
    uint64_t handled_fs, handled_net, scoped;
};
struct path_attr {
    uint64_t allowed;
    int32_t parent;
} __attribute__((packed));

enum { ALL, ROOT, NOT_ROOT };
/* What programs and libraries expect to read. Files of root alone (/etc/shadow, host keys) stay closed to
 * other users by their mode; a worker that runs as root gets the harmless part of /etc instead. */
static const struct {
    const char *path;
    uint64_t rights;
    int who;
} system_paths[] = {
    {"/usr", RX, ALL},
    {"/bin", RX, ALL},
    {"/sbin", RX, ALL},
    {"/lib", RX, ALL},
    {"/lib32", RX, ALL},
    {"/lib64", RX, ALL},
    {"/libx32", RX, ALL},
    {"/opt", RX, ALL},
    {"/nix/store", RX, ALL},
    {"/proc", RO, ALL},
    {"/sys/devices/system", RO, ALL},
    {"/sys/devices/virtual/net", RO, ALL},
    {"/sys/class/net", RO, ALL},
    {"/sys/fs/cgroup", RO, ALL},
    {"/sys/kernel/mm", RO, ALL},
    {"/run/systemd/resolve", RO, ALL},
    {"/run/resolvconf", RO, ALL},
    {"/run/NetworkManager", RO, ALL},
    {"/var/cache/fontconfig", RO, ALL},
    {"/var/lib/ca-certificates", RO, ALL},
    {"/dev/null", DEV, ALL},
    {"/dev/zero", DEV, ALL},
    {"/dev/full", DEV, ALL},
    {"/dev/random", DEV, ALL},
    {"/dev/urandom", DEV, ALL},
    {"/dev/tty", DEV, ALL},
    {"/dev/ptmx", DEV, ALL},
    {"/dev/pts", DEV | FS_LIST, ALL},
    {"/dev/shm", RW, ALL}, /* locks of multiprocessing */
    {"/etc", RX, NOT_ROOT},
    {"/etc/alternatives", RX, ROOT},
    {"/etc/ld.so.cache", RO, ROOT},
    {"/etc/ld.so.conf", RO, ROOT},
    {"/etc/ld.so.conf.d", RO, ROOT},
    {"/etc/passwd", RO, ROOT},
    {"/etc/group", RO, ROOT},
    {"/etc/nsswitch.conf", RO, ROOT},
    {"/etc/host.conf", RO, ROOT},
    {"/etc/hosts", RO, ROOT},
    {"/etc/hostname", RO, ROOT},
    {"/etc/resolv.conf", RO, ROOT},
    {"/etc/gai.conf", RO, ROOT},
    {"/etc/services", RO, ROOT},
    {"/etc/protocols", RO, ROOT},
    {"/etc/localtime", RO, ROOT},
    {"/etc/timezone", RO, ROOT},
    {"/etc/locale.conf", RO, ROOT},
    {"/etc/default/locale", RO, ROOT},
    {"/etc/mime.types", RO, ROOT},
    {"/etc/magic", RO, ROOT},
    {"/etc/os-release", RO, ROOT},
    {"/etc/lsb-release", RO, ROOT},
    {"/etc/debian_version", RO, ROOT},
    {"/etc/redhat-release", RO, ROOT},
    {"/etc/machine-id", RO, ROOT},
    {"/etc/ssl/certs", RO, ROOT},
    {"/etc/ssl/openssl.cnf", RO, ROOT},
    {"/etc/ca-certificates", RO, ROOT},
    {"/etc/pki/tls/certs", RO, ROOT},
    {"/etc/pki/ca-trust", RO, ROOT},
    {"/etc/crypto-policies", RO, ROOT},
    {"/etc/krb5.conf", RO, ROOT},
    {"/etc/odbc.ini", RO, ROOT},
    {"/etc/odbcinst.ini", RO, ROOT},
    {"/etc/freetds", RO, ROOT},
    {"/etc/mysql", RO, ROOT},
    {"/etc/my.cnf", RO, ROOT},
    {"/etc/my.cnf.d", RO, ROOT},
    {"/etc/fonts", RO, ROOT},
    {"/etc/terminfo", RO, ROOT},
    {"/etc/python3", RO, ROOT},
    {"/etc/python3.9", RO, ROOT},
    {"/etc/python3.10", RO, ROOT},
    {"/etc/python3.11", RO, ROOT},
    {"/etc/python3.12", RO, ROOT},
    {"/etc/python3.13", RO, ROOT},
};

int jail_landlock_abi(void)
{
    long n = syscall(SYS_landlock_create_ruleset, NULL, 0, ABI_QUERY);
    return n > 0 ? (int)n : 0;
}

static uint64_t handled_fs(int abi)
{
    uint64_t fs = FS_ALL;
    fs &= abi < 2 ? ~FS_REFER : FS_ALL;
    fs &= abi < 3 ? ~FS_TRUNC : FS_ALL;
    fs &= abi < 5 ? ~FS_IOCTL : FS_ALL;
    return fs;
}

struct rules {
    int fd;
    uint64_t handled;
    char avoid[PATH_MAX]; /* the data folder: never opened by a rule for something around it */
    tn_err *err;
};

/* True if `inner` lies in `outer` or is the same; both are real paths. */
static int within(const char *inner, const char *outer)
{
    size_t n = strlen(outer);
    return strncmp(inner, outer, n) == 0 && (inner[n] == '\0' || inner[n] == '/' || n == 1);
}

static tn_rc add_one(struct rules *r, const char *path, uint64_t rights)
{
    struct stat st;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0) {
        return TN_OK; /* not on this machine, or not for us */
    }
    struct path_attr a = {.allowed = rights & r->handled, .parent = fd};
    if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode)) {
        a.allowed &= FILE;
    }
    long rc = a.allowed ? syscall(SYS_landlock_add_rule, r->fd, RULE_PATH, &a, 0) : 0;
    int e = errno;
    close(fd);
    return rc ? err_sys(r->err, e, "Landlock rule for %s", path) : TN_OK;
}

/* A rule opens everything below it, so the way to the data folder is taken folder by folder, leaving that
 * one out: it may well lie in /opt or in a folder that the administrator named. */
static tn_rc add(struct rules *r, const char *path, uint64_t rights)
{
    char real[PATH_MAX];
    if (!realpath(path, real)) {
        return TN_OK;
    }
    if (!r->avoid[0] || !within(r->avoid, real)) {
        return add_one(r, path, rights);
    }
    tn_rc rc = TN_OK;
    DIR *d = strcmp(real, r->avoid) == 0 ? NULL : opendir(real);
    for (struct dirent *e; d && !rc && (e = readdir(d));) {
        char child[PATH_MAX * 2];
        snprintf(child, sizeof(child), "%s/%s", strcmp(real, "/") == 0 ? "" : real, e->d_name);
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            strlen(child) < PATH_MAX) {
            rc = within(r->avoid, child) ? add(r, child, rights) : add_one(r, child, rights);
        }
    }
    if (d) {
        closedir(d);
    }
    return rc;
}

static tn_rc add_list(struct rules *r, const char *list, uint64_t rights)
{
    char path[PATH_MAX];
    tn_rc rc = TN_OK;
    while (!rc && list && *list) {
        size_t n = strcspn(list, ":");
        if (n > 0 && n < sizeof(path)) {
            memcpy(path, list, n);
            path[n] = '\0';
            rc = add(r, path, rights);
        }
        list += n + (list[n] == ':');
    }
    return rc;
}

tn_rc jail_landlock_rules(const struct jail *j, const char *scratch, int *ret_fd, tn_err *err)
{
    struct ruleset_attr attr = {.handled_fs = handled_fs(j->abi),
                                .scoped = j->abi >= 6 ? SCOPE_ALL : 0};
    size_t size = j->abi >= 6 ? sizeof(attr) : sizeof(attr.handled_fs);
    struct rules r = {.handled = attr.handled_fs, .err = err};
    tn_rc rc = TN_OK;
    r.fd = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
    if (r.fd < 0) {
        return err_sys(err, errno, "Landlock");
    }
    if (!realpath(j->data, r.avoid)) {
        r.avoid[0] = '\0';
    }
    for (size_t i = 0; !rc && i < sizeof(system_paths) / sizeof(*system_paths); i++) {
        if (system_paths[i].who == ALL || (system_paths[i].who == ROOT) == (j->uid == 0)) {
            rc = add(&r, system_paths[i].path, system_paths[i].rights);
        }
    }
    rc = rc ? rc : add(&r, j->program, RX);
    rc = rc ? rc : add_list(&r, j->plugins, RX);
    rc = rc ? rc : add_list(&r, j->read, RX);
    rc = rc ? rc : add_list(&r, j->write, RW);
    rc = rc ? rc
            : add_one(&r, j->resources, RW); /* these two are meant to lie in the data folder */
    if (!rc && *scratch) {
        rc = add_one(&r, scratch, RW);
    }
    if (rc) {
        fd_close(&r.fd);
        return rc;
    }
    *ret_fd = r.fd;
    return TN_OK;
}

tn_rc jail_landlock_enter(int rules, tn_err *err)
{
    return syscall(SYS_landlock_restrict_self, rules, 0)
               ? err_sys(err, errno, "entering the Landlock domain")
               : TN_OK;
}
