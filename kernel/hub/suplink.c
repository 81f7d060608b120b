/* SPDX-License-Identifier: Apache-2.0 */
/* The hub's end of the control channel to the supervisor. */
#include "kernel/hub/suplink.h"
#include "kernel/base/err.h"
#include "kernel/base/fd.h"
#include "kernel/base/log.h"
#include "kernel/supervisor/ctl.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct suplink {
    struct loop *loop;
    int fd;
    tn_watch *watch;
    struct suplink_hooks hooks;
};

static void send_msg(struct suplink *s, uint32_t type, const char *text)
{
    char buf[sizeof(struct ctl_msg) + CTL_TEXT_MAX];
    size_t n = text ? strnlen(text, CTL_TEXT_MAX) : 0;
    struct ctl_msg m = {type, (uint32_t)n};
    memcpy(buf, &m, sizeof(m));
    if (text) {
        memcpy(buf + sizeof(m), text, n);
    }
    if (fd_send(s->fd, buf, sizeof(m) + n, -1, MSG_DONTWAIT) < 0) {
        log_error("telling the supervisor (message %u): %s", type, strerror(errno));
    }
}

static void on_ctl(void *user, uint32_t events)
{
    struct suplink *s = user;
    char buf[sizeof(struct ctl_msg) + CTL_TEXT_MAX];
    struct ctl_msg m;
    int fd = -1;
    (void)events;
    ssize_t n = fd_recv(s->fd, buf, sizeof(buf), &fd, MSG_DONTWAIT);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            log_error("message from the supervisor: %s", strerror(errno));
        }
        return;
    }
    if (n == 0) {
        /* The supervisor is gone: so are we, at once (its death also sends us SIGKILL). */
        log_alert("the supervisor has gone");
        loop_unwatch(s->loop, s->watch);
        s->watch = NULL;
        loop_stop(s->loop);
        return;
    }
    if (n >= (ssize_t)sizeof(m)) {
        memcpy(&m, buf, sizeof(m));
        if (m.type == CTL_PEER && fd >= 0) {
            s->hooks.zygote(s->hooks.user, fd);
            fd = -1;
        } else if (m.type == CTL_DRAIN) {
            s->hooks.drain(s->hooks.user);
        } else if (m.type == CTL_REOPEN && fd >= 0) {
            dup2(fd, STDERR_FILENO);
            s->hooks.reopened(s->hooks.user);
        } else if (m.type == CTL_PING) {
            send_msg(s, CTL_PONG, NULL);
        }
    }
    fd_close(&fd);
}

tn_rc suplink_open(struct loop *l, int fd, const struct suplink_hooks *h, struct suplink **ret,
                   tn_err *err)
{
    struct suplink *s = calloc(1, sizeof(*s));
    if (!s) {
        return err_set(err, TN_E_NOMEM, "supervisor channel: out of memory");
    }
    *s = (struct suplink){.loop = l, .fd = fd, .hooks = *h};
    tn_rc rc = loop_watch(l, fd, EPOLLIN, on_ctl, s, &s->watch, err);
    if (rc) {
        free(s);
        return rc;
    }
    *ret = s;
    return TN_OK;
}

void suplink_ready(struct suplink *s, const char *url)
{
    send_msg(s, CTL_READY, url);
}

void suplink_sweep(struct suplink *s)
{
    send_msg(s, CTL_SWEEP, NULL);
}

void suplink_close(struct suplink *s)
{
    if (s) {
        loop_unwatch(s->loop, s->watch);
        fd_close(&s->fd);
        free(s);
    }
}
