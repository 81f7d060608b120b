/* SPDX-License-Identifier: Apache-2.0 */
/* Clock, random numbers, descriptors. */
#include "unit.h"

#include "kernel/base/clock.h"
#include "kernel/base/fd.h"
#include "kernel/base/rnd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void iso_times(void **state)
{
    (void)state;
    static const struct {
        int64_t us;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {951782400000000, "2000-02-29T00:00:00.000Z"},
        {4107542399999999, "2100-02-28T23:59:59.999Z"},
        {1767225600123456, "2026-01-01T00:00:00.123Z"},
        {-62135596800000000, "0001-01-01T00:00:00.000Z"},
        {253402300799999999, "9999-12-31T23:59:59.999Z"},
        {INT64_MAX, "9999-12-31T23:59:59.999Z"},
        {INT64_MIN, "0001-01-01T00:00:00.000Z"},
    };
    char out[25];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(clock_iso(cases[i].us, out), 24);
        assert_string_equal(out, cases[i].text);
    }
    for (int64_t day = -200000; day < 200000; day += 97) { /* against the C library */
        time_t t = (time_t)day * 86400;
        struct tm tm;
        char want[40];
        gmtime_r(&t, &tm);
        strftime(want, sizeof want, "%Y-%m-%dT%H:%M:%S.000Z", &tm);
        clock_iso(day * 86400000000, out);
        assert_string_equal(out, want);
    }
}

static uint64_t fixed_mono(void)
{
    return 42;
}

static void clocks(void **state)
{
    (void)state;
    uint64_t a = clock_mono_ns();
    assert_true(clock_mono_ns() >= a);
    assert_true(clock_wall_us() > 1700000000000000);
    clock_inject(fixed_mono, NULL);
    assert_int_equal(clock_mono_ns(), 42);
    clock_inject(NULL, NULL);
    assert_true(clock_mono_ns() >= a);
}

static void randomness(void **state)
{
    (void)state;
    char id[13], other[13], uuid[37];
    rnd_id(id, 12);
    rnd_id(other, 12);
    assert_int_equal(strlen(id), 12);
    assert_int_equal(strspn(id, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"),
                     12);
    assert_string_not_equal(id, other);
    rnd_uuid(uuid, 0);
    assert_int_equal(strlen(uuid), 36);
    assert_int_equal(uuid[14], '4');
    assert_non_null(strchr("89ab", uuid[19]));
    assert_int_equal(strspn(uuid, "0123456789abcdef-"), 36);
    rnd_uuid(uuid, 1);
    assert_int_equal(strspn(uuid, "0123456789ABCDEF-"), 36);
    unsigned char big[5000] = {0};
    rnd_bytes(big, sizeof big);
    int zeroes = 0;
    for (size_t i = 0; i < sizeof big; i++) {
        zeroes += big[i] == 0;
    }
    assert_true(zeroes < 200);
}

/* Parent, child and grandchild must never draw the same numbers from an inherited pool. */
static void forks_differ(void **state)
{
    (void)state;
    int fds[2];
    unsigned char own[16], theirs[32];
    assert_int_equal(pipe(fds), 0);
    rnd_bytes(own, sizeof own); /* fill the pool before the fork */
    pid_t pid = fork();
    if (pid == 0) {
        rnd_bytes(theirs, 16);
        pid_t grandchild = fork();
        if (grandchild == 0) {
            rnd_bytes(theirs, 16);
            _exit(fd_write_all(fds[1], theirs, 16) != 0);
        }
        waitpid(grandchild, NULL, 0);
        _exit(fd_write_all(fds[1], theirs, 16) != 0);
    }
    assert_int_equal(fd_read_full(fds[0], theirs, 32), 32);
    waitpid(pid, NULL, 0);
    rnd_bytes(own, sizeof own);
    assert_memory_not_equal(own, theirs, 16);
    assert_memory_not_equal(own, theirs + 16, 16);
    assert_memory_not_equal(theirs, theirs + 16, 16);
    fd_close(&fds[0]);
    fd_close(&fds[1]);
}

static void files(void **state)
{
    (void)state;
    char dir[] = "/tmp/unit-XXXXXX", path[128], deep[128];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/f", dir);
    snprintf(deep, sizeof deep, "%s/a/b/c", dir);
    char *data = NULL;
    size_t n = 99;
    assert_int_equal(fd_read_file(path, 10, &data, &n), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(fd_write_file(path, "0123456789", 10, 0640), 0);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(fd_read_file(path, 10, &data, &n), 0); /* exactly the bound */
    assert_int_equal(n, 10);
    assert_string_equal(data, "0123456789");
    free(data);
    data = NULL;
    assert_int_equal(fd_read_file(path, 9, &data, &n), -1);
    assert_int_equal(errno, EFBIG);
    assert_null(data);
    assert_int_equal(fd_write_file(path, "", 0, 0600), 0);
    assert_int_equal(fd_read_file(path, 0, &data, &n), 0);
    assert_int_equal(n, 0);
    free(data);
    assert_int_equal(fd_read_file("/proc/self/status", 1 << 20, &data, &n), 0); /* has size 0 */
    assert_true(n > 100);
    free(data);
    struct stat last, above;
    char parent[200];
    strcat(deep, "//");
    assert_int_equal(fd_mkdirs(deep, 0700), 0);
    assert_int_equal(fd_mkdirs(deep, 0700), 0);
    snprintf(parent, sizeof parent, "%s/..", deep);
    assert_int_equal(stat(deep, &last), 0);
    assert_int_equal(stat(parent, &above), 0);
    assert_int_equal(last.st_mode & 0777,
                     0700); /* the folder is ours, what leads to it is nobody's */
    assert_int_equal(above.st_mode & 0055, 0055);
    snprintf(deep, sizeof deep, "%s/f/x", dir);
    assert_int_equal(fd_mkdirs(deep, 0700), -1);
    assert_int_equal(errno, ENOTDIR);
    snprintf(deep, sizeof deep, "%s/absent/x", dir);
    assert_int_equal(fd_write_file(deep, "x", 1, 0600), -1);
    char cmd[160];
    snprintf(cmd, sizeof cmd, "test $(ls -A %s | wc -l) = 2 && rm -r %s", dir, dir);
    assert_int_equal(system(cmd), 0); /* no temporary file was left behind */
}

static void memfds(void **state)
{
    (void)state;
    uint64_t size = 0;
    int fd = fd_memfd("unit", "hello", 5);
    assert_true(fd >= 0);
    assert_int_equal(fd_memfd_size(fd, &size), 0);
    assert_int_equal(size, 5);
    assert_int_equal(write(fd, "x", 1), -1);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    fd_close(&fd);
    assert_int_equal(fd, -1);
    fd_close(&fd);
    fd = memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING); /* its owner can still change it */
    assert_int_equal(fd_memfd_size(fd, &size), -1);
    assert_int_equal(errno, EPERM);
    fd_close(&fd);
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(fd_memfd_size(pipes[0], &size), -1);
    fd_close(&pipes[0]);
    fd_close(&pipes[1]);
}

static void messages(void **state)
{
    (void)state;
    int pair[2], got = 7, before = fd_count();
    char text[8];
    assert_true(before > 2);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    int fd = fd_memfd("unit", "abc", 3);
    assert_int_equal(fd_send(pair[0], "one", 3, fd, 0), 3);
    assert_int_equal(fd_send(pair[0], "two", 3, -1, 0), 3);
    assert_int_equal(fd_send(pair[0], "three", 5, fd, 0), 5);
    assert_int_equal(fd_send(pair[0], "too long a text", 15, fd, 0), 15);
    assert_int_equal(fd_recv(pair[1], text, sizeof text, &got, 0), 3);
    assert_true(got >= 0 && got != fd);
    assert_int_equal(fcntl(got, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    fd_close(&got);
    assert_int_equal(fd_recv(pair[1], text, sizeof text, &got, 0), 3);
    assert_int_equal(got, -1);
    assert_int_equal(fd_recv(pair[1], text, sizeof text, NULL, 0), 5); /* nobody wants it: closed */
    assert_int_equal(fd_recv(pair[1], text, sizeof text, &got, 0), -1);
    assert_int_equal(errno, EMSGSIZE);
    assert_int_equal(got, -1);
    fd_nonblock(pair[1], 1);
    assert_int_equal(fd_recv(pair[1], text, sizeof text, &got, 0), -1);
    assert_int_equal(errno, EAGAIN);
    fd_close(&pair[0]);
    assert_int_equal(fd_recv(pair[1], text, sizeof text, &got, 0), 0);
    assert_int_equal(fd_send(pair[1], "x", 1, -1, 0), -1); /* EPIPE, no signal */
    fd_close(&pair[1]);
    fd_close(&fd);
    assert_int_equal(fd_count(), before);
}

/* A peer that sends several descriptors must not make us leak. */
static void descriptor_floods(void **state)
{
    (void)state;
    int pair[2], before = fd_count(), got = -1;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int) * 20)];
    } control;
    memset(&control, 0, sizeof control);
    char byte = 'x', text[8];
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof control.space};
    struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int) * 20);
    for (int i = 0; i < 20; i++) {
        memcpy(CMSG_DATA(head) + (size_t)i * sizeof(int), &pair[0], sizeof(int));
    }
    assert_int_equal(sendmsg(pair[0], &msg, 0), 1);
    assert_int_equal(fd_recv(pair[1], text, sizeof text, &got, 0), 1);
    fd_close(&got);
    fd_close(&pair[0]);
    fd_close(&pair[1]);
    assert_int_equal(fd_count(), before);
}

static void whole_writes(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    char *big = calloc(1, 300000);
    pid_t pid = fork();
    if (pid == 0) {
        fd_nonblock(fds[0], 0);
        fd_close(&fds[1]);
        _exit(fd_read_full(fds[0], big, 300000) == 300000 ? 0 : 1);
    }
    fd_close(&fds[0]);
    assert_int_equal(fd_write_all(fds[1], big, 300000), 0); /* more than the pipe holds */
    int status = -1;
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
    fd_close(&fds[1]);
    free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(iso_times),    cmocka_unit_test(clocks),
        cmocka_unit_test(randomness),   cmocka_unit_test(forks_differ),
        cmocka_unit_test(files),        cmocka_unit_test(memfds),
        cmocka_unit_test(messages),     cmocka_unit_test(descriptor_floods),
        cmocka_unit_test(whole_writes),
    };
    return RUN(tests);
}
