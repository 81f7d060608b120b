/* SPDX-License-Identifier: Apache-2.0 */
/* Control groups against trees of ordinary files that look like /sys/fs/cgroup: finding, dividing, limits, what ended a
 * worker. Real groups are used by tests/integration/test_isolation.py where the machine delegates them. */
#include "tests/unit/base/unit.h"

#include "kernel/base/fd.h"
#include "kernel/base/str.h"
#include "kernel/worker/jail.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[] = "/tmp/cgroup-XXXXXX";

static const char *path_of(const char *path)
{
    static char full[PATH_MAX];
    snprintf(full, sizeof full, "%s/%s", root, path);
    return full;
}

/* A file below root; its folders are made. */
static void file(const char *path, const char *text)
{
    char full[PATH_MAX];
    snprintf(full, sizeof full, "%s", path_of(path));
    for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')) != NULL; *p++ = '/') {
        *p = '\0';
        mkdir(full, 0755);
    }
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* put() of the program writes over what is there, as the kernel's files take it: the first n bytes count. */
static void assert_file(const char *path, const char *want)
{
    char *text = NULL;
    assert_true(fd_read_file(path_of(path), 4096, &text, NULL) >= 0);
    assert_memory_equal(text, want, strlen(want));
    free(text);
}

static int setup(void **state)
{
    (void)state;
    strcpy(root + strlen(root) - 6, "XXXXXX");
    return mkdtemp(root) == NULL || chmod(root, 0755) != 0;
}

static int teardown(void **state)
{
    char command[PATH_MAX + 16];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

static struct jail_cgroup find(char why[256])
{
    struct jail_cgroup c;
    char proc[PATH_MAX];
    snprintf(proc, sizeof proc, "%s", path_of("self"));
    jail_cgroup_find(&c, root, proc, why, 256);
    return c;
}

/* A delegated group of version 2 at /a/b in which `procs` are. */
static void version2(const char *controllers, const char *procs)
{
    file("self", "0::/a/b\n");
    file("a/b/cgroup.controllers", controllers);
    file("a/b/cgroup.procs", procs);
    file("a/b/cgroup.subtree_control", "\n");
}

static const char *me(void)
{
    static char text[32];
    snprintf(text, sizeof text, "%d\n", (int)getpid());
    return text;
}

static void test_version2(void **state)
{
    char why[256];
    struct jail_slot slot;
    tn_err err = TN_ERR_INIT;
    (void)state;
    version2("cpu io memory pids\n", me());
    struct jail_cgroup c = find(why);
    assert_int_equal(c.version, 2);
    assert_int_equal(c.n, 1);
    assert_true(c.has_memory && c.has_pids);
    assert_string_equal(c.base[0], path_of("a/b"));

    file("a/b/tenon-main/cgroup.procs", "\n");
    static const char *const files[] = {"memory.max", "memory.swap.max", "memory.oom.group",
                                        "pids.max", "cgroup.procs"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[128];
        snprintf(path, sizeof path, "a/b/tenon-1-0/%s", files[i]);
        file(path, "");
    }
    assert_int_equal(jail_cgroup_make(&c, "tenon-1-0", 1 << 20, 7, &slot, &err), TN_OK);
    assert_int_equal(slot.n, 1);
    assert_string_equal(slot.path[0], path_of("a/b/tenon-1-0"));
    /* who was in the group is in a leaf now, and the group may have children */
    char pid[32];
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    assert_file("a/b/tenon-main/cgroup.procs", pid);
    assert_file("a/b/cgroup.subtree_control", "+memory +pids");
    assert_file("a/b/tenon-1-0/memory.max", "1048576");
    assert_file("a/b/tenon-1-0/memory.swap.max", "0");
    assert_file("a/b/tenon-1-0/memory.oom.group", "1");
    assert_file("a/b/tenon-1-0/pids.max", "7");
    assert_int_equal(jail_cgroup_enter(&slot, &err), TN_OK);
    assert_file("a/b/tenon-1-0/cgroup.procs", "0");
    assert_int_equal(jail_cgroup_watch(&c, &slot, 0), 0); /* not needed there */
}

/* What the files say about the end of a worker. */
static void test_usage(void **state)
{
    static const struct {
        const char *memory_events, *pids_events;
        enum jail_cause cause;
        uint64_t limit, peak;
    } cases[] = {
        {"low 0\noom 0\noom_kill 0\n", "max 0\n", JAIL_NO_CAUSE, 1000, 900},
        {"low 0\noom 3\noom_kill 1\noom_group_kill 1\n", "max 0\n", JAIL_MEMORY, 1000, 900},
        {"oom_kill 2\n", "max 5\n", JAIL_MEMORY, 1000, 900},
        {"oom_kill 0\n", "max 5\n", JAIL_PIDS, 7, 7},
        {"oom_kill_else 9\n", "max 0\n", JAIL_NO_CAUSE, 1000, 900},
        {"", "", JAIL_NO_CAUSE, 1000, 900},
    };
    char why[256];
    (void)state;
    version2("memory pids\n", me());
    struct jail_cgroup c = find(why);
    struct jail_slot slot = {.n = 1};
    snprintf(slot.path[0], sizeof slot.path[0], "%s", path_of("a/b/w"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct jail_usage u;
        file("a/b/w/memory.events", cases[i].memory_events);
        file("a/b/w/memory.peak", "900\n");
        file("a/b/w/memory.max", "1000\n");
        file("a/b/w/pids.events", cases[i].pids_events);
        file("a/b/w/pids.max", "7\n");
        jail_cgroup_usage(&c, &slot, &u);
        assert_int_equal(u.cause, cases[i].cause);
        assert_int_equal(u.limit, cases[i].limit);
        assert_int_equal(u.peak, cases[i].peak);
    }
    file("a/b/w/memory.max", "max\n"); /* no limit */
    struct jail_usage u;
    jail_cgroup_usage(&c, &slot, &u);
    assert_int_equal(u.limit, 0);
}

/* A process that is neither we, nor our parent, nor a child of one of us; its parent, who ends it, lives until the pipe closes. */
static pid_t foreign(int end[2])
{
    int told[2];
    pid_t pid = 0;
    assert_int_equal(pipe(end), 0);
    assert_int_equal(pipe(told), 0);
    pid_t parent = fork();
    if (parent == 0) {
        char c;
        close(end[1]);
        pid = fork();
        if (pid == 0) {
            pause();
        }
        _exit(write(told[1], &pid, sizeof pid) == sizeof pid && read(end[0], &c, 1) == 0
                  ? kill(pid, SIGKILL)
                  : 1);
    }
    assert_int_equal(read(told[0], &pid, sizeof pid), sizeof pid);
    close(told[0]);
    close(told[1]);
    close(end[0]);
    return pid;
}

/* Why there is none, in the words of `tenon doctor`. */
static void test_not_delegated(void **state)
{
    char why[256];
    int status;
    (void)state;
    assert_int_equal(find(why).n, 0); /* no /proc/self/cgroup */
    assert_non_null(strstr(why, "no control group with memory or pids is delegated"));
    version2("cpu io\n", me());
    assert_int_equal(find(why).n, 0);
    char other[32];
    int end[2];
    snprintf(other, sizeof other, "%d\n", (int)foreign(end));
    version2("memory pids\n", other);
    assert_int_equal(find(why).n, 0);
    assert_non_null(strstr(why, "other programs share the group"));
    close(end[1]);
    wait(NULL);
    version2("memory pids\n", me());
    pid_t pid = fork();
    if (pid == 0) { /* root may write everywhere */
        int foreign = setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0;
        struct jail_cgroup c = find(why);
        _exit(!foreign ? 77 : c.n == 0 && strstr(why, "is not delegated to this user") ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77));
    version2("memory\n", me()); /* a part is better than nothing */
    struct jail_cgroup c = find(why);
    assert_true(c.n == 1 && c.has_memory && !c.has_pids);
    file("self", "0::/\n"); /* the root itself, and a path that is no such folder */
    assert_int_equal(find(why).n, 0);
}

static void test_version1(void **state)
{
    char why[256];
    struct jail_slot slot;
    tn_err err = TN_ERR_INIT;
    (void)state;
    file("self", "9:name=systemd:/x\n5:cpu,memory:/m\n4:pids:/\n0::/\n");
    file("memory/m/x", "");
    file("pids/x", "");
    struct jail_cgroup c = find(why);
    assert_int_equal(c.version, 1);
    assert_int_equal(c.n, 2);
    assert_string_equal(c.base[0], path_of("memory/m"));
    assert_string_equal(c.base[1], path_of("pids"));
    file("memory/m/w/memory.limit_in_bytes", "");
    file("memory/m/w/cgroup.procs", "");
    file("pids/w/pids.max", "");
    file("pids/w/cgroup.procs", "");
    assert_int_equal(jail_cgroup_make(&c, "w", 1 << 20, 7, &slot, &err), TN_OK);
    assert_int_equal(slot.n, 2);
    assert_file("memory/m/w/memory.limit_in_bytes", "1048576");
    assert_file("pids/w/pids.max", "7");
    assert_int_equal(jail_cgroup_enter(&slot, &err), TN_OK);
    assert_file("memory/m/w/cgroup.procs", "0");
    assert_file("pids/w/cgroup.procs", "0");
}

/* A limit that cannot be set: no worker without it, and the error names the group. */
static void test_refused(void **state)
{
    char why[256];
    struct jail_slot slot;
    tn_err err = TN_ERR_INIT;
    (void)state;
    version2("memory pids\n", me());
    file("a/b/tenon-main/cgroup.procs", "");
    struct jail_cgroup c = find(why);
    assert_int_not_equal(jail_cgroup_make(&c, "new", 1 << 20, 7, &slot, &err), TN_OK);
    assert_non_null(strstr(err.msg, "/a/b/new"));
    assert_int_equal(slot.n, 0);
    assert_int_equal(access(path_of("a/b/new"), F_OK), -1); /* and nothing is left */
}

/* Groups of platforms that were killed go, others stay. */
static void test_close(void **state)
{
    char why[256], mine[64], dead[64];
    (void)state;
    version2("memory pids\n", me());
    struct jail_cgroup c = find(why);
    pid_t gone = fork();
    if (gone == 0) {
        _exit(0);
    }
    waitpid(gone, NULL, 0);
    snprintf(mine, sizeof mine, "a/b/tenon-%d-3", (int)getpid());
    snprintf(dead, sizeof dead, "a/b/tenon-%d-0", (int)gone);
    static const char *const others[] = {"a/b/tenon-1-0", "a/b/tenon-main", "a/b/else"};
    mkdir(path_of(mine), 0755);
    mkdir(path_of(dead), 0755);
    for (size_t i = 0; i < 3; i++) {
        mkdir(path_of(others[i]), 0755);
    }
    jail_cgroup_close(&c);
    assert_int_equal(access(path_of(mine), F_OK), -1);
    assert_int_equal(access(path_of(dead), F_OK), -1);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(access(path_of(others[i]), F_OK), 0);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_version2), TEST(test_usage),   TEST(test_not_delegated),
        TEST(test_version1), TEST(test_refused), TEST(test_close),
    };
    return RUN(tests);
}
