/* SPDX-License-Identifier: Apache-2.0 */
/* Telling systemd about our state: one datagram to $NOTIFY_SOCKET, see sd_notify(3). */
#include "kernel/base/str.h"
#include "kernel/supervisor/supervisor.h"
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void notify_send(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t n = path ? strlen(path) : 0;
    if (n < 2 || n >= sizeof(a.sun_path) || (*path != '/' && *path != '@')) {
        return;
    }
    memcpy(a.sun_path, path, n);
    if (*path == '@') {
        a.sun_path[0] = '\0'; /* abstract namespace */
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&a,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
        close(fd);
    }
}

uint64_t notify_watchdog_ns(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    int64_t n, who = getpid();
    if (!usec || !str_to_i64(str_of(usec), &n) || n <= 0 || n > INT64_MAX / 1000 ||
        (pid && (!str_to_i64(str_of(pid), &who) || who != getpid()))) {
        return 0;
    }
    return (uint64_t)n * 1000;
}
