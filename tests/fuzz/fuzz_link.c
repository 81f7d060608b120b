/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker, or the zygote, may write into its socket to the hub: nothing is read beyond a message, what is kept for one process is
 * bounded, and every descriptor that came is closed again. Input: a byte (odd: the zygote), then messages, each a byte that chooses the
 * descriptor that goes with it, two bytes of length, the message. */
#include "kernel/base/err.h"
#include "kernel/hub/link_socket.c"
#include "kernel/hub/link_zygote.c"

#include <fcntl.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define MESSAGES 64 /* of an input */

enum { FD_NONE, FD_SMALL, FD_EMPTY, FD_PIPE, FD_LARGE, FD_TWO, FD_KINDS };

static struct broker b;
static struct link l;
static unsigned killed, asked;
static void *open_asks[IPC_ASKS_MAX];

static void must(int holds)
{
    if (!holds) {
        abort();
    }
}

static unsigned touch(const void *p, size_t n)
{
    unsigned sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += ((const volatile uint8_t *)p)[i];
    }
    return sum;
}

/* ---- the hub behind the two files ---------------------------------------------------------------------- */

void link_kill(struct link *which, const char *why)
{
    must(which == &l && why != NULL && why[0] != '\0');
    killed++;
}

void link_retire(struct link *which)
{
    must(which == &l);
}

void group_link_ready(struct link *which)
{
    which->state = LINK_IDLE;
}

void deadline_link(struct link *which, enum link_wait wait, uint64_t at_ns)
{
    (void)at_ns;
    which->wait = wait;
}

unsigned link_drain(struct link *which)
{
    (void)which;
    return 0;
}

void link_forked(struct link *which, pid_t pid, int pidfd, int error)
{
    (void)pid, (void)error;
    must(which == &l);
    if (pidfd >= 0) { /* its, now */
        close(pidfd);
    }
}

void link_exited(struct link *which, const struct zyg_msg *m)
{
    must(which == &l && m->id == l.id);
}

void link_gone(struct link *which)
{
    (void)which;
}

void link_report_missing(struct link *which)
{
    (void)which;
}

void link_leave(struct link *which)
{
    (void)which;
}

void preload_compiled(struct broker *broker, const struct zyg_msg *m, tn_str script, int fd)
{
    (void)broker, (void)fd;
    must(script.n == m->len && script.n <= ZYG_SCRIPT_MAX);
    touch(script.s, script.n);
}

void preload_all(struct broker *broker)
{
    (void)broker;
}

void preload_pump(struct broker *broker)
{
    (void)broker;
}

void group_refill(struct group *g)
{
    (void)g;
}

void broker_refill_spares(struct broker *broker)
{
    (void)broker;
}

tn_rc loop_watch(struct loop *loop, int fd, uint32_t events, void (*cb)(void *, uint32_t),
                 void *user, tn_watch **ret, tn_err *err)
{
    (void)loop, (void)fd, (void)events, (void)cb, (void)user, (void)err;
    *ret = NULL;
    return TN_OK;
}

void loop_unwatch(struct loop *loop, tn_watch *w)
{
    (void)loop, (void)w;
}

uint64_t loop_now(const struct loop *loop)
{
    (void)loop;
    return 1;
}

/* Every second question is answered at once, the others in the end. */
static void on_ask(void *user, tn_str service, tn_str payload, void *token)
{
    (void)user;
    must(service.n <= IPC_NAME_MAX && memchr(service.s, '\0', service.n) == NULL);
    must(payload.n <= ASK_MAX && l.nasks <= IPC_ASKS_MAX && broker_wants(token));
    touch(service.s, service.n);
    touch(payload.s, payload.n < 100000 ? payload.n : 100000);
    for (size_t i = 0; asked % 2 == 0 && i < IPC_ASKS_MAX; i++) {
        if (open_asks[i] == NULL) {
            open_asks[i] = token;
            asked++;
            return;
        }
    }
    asked++;
    broker_answer(&b, token, TN_OK, payload);
}

/* ---- the other side ------------------------------------------------------------------------------------ */

static int memfd_of(size_t n, int sealed)
{
    static const char text[4096] = "{}";
    int fd = sealed ? fd_memfd("fuzz", text, n) : memfd_create("fuzz", MFD_CLOEXEC);
    must(fd >= 0);
    return fd;
}

static void say(int sock, unsigned kind, const uint8_t *p, size_t n)
{
    int fds[2] = {-1, -1}, ends[2];
    unsigned nfds = kind == FD_NONE ? 0 : kind == FD_TWO ? 2 : 1;
    switch (kind) {
    case FD_NONE:
        break;
    case FD_PIPE:
        must(pipe2(ends, O_CLOEXEC) == 0);
        fds[0] = ends[0];
        close(ends[1]);
        break;
    case FD_TWO:
        fds[0] = memfd_of(8, 1);
        fds[1] = memfd_of(0, 0);
        break;
    default:
        fds[0] = memfd_of(kind == FD_SMALL ? 8 : kind == FD_LARGE ? 4096 : 0, kind != FD_EMPTY);
    }
    (void)ipc_send(sock, p, n, NULL, 0, fds, nfds, MSG_DONTWAIT);
    for (unsigned i = 0; i < nfds; i++) {
        close(fds[i]);
    }
}

static int count_open(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++) {
        n += fcntl(fd, F_GETFD) >= 0;
    }
    return n;
}

static void play(const uint8_t *data, size_t n, int zygote)
{
    int pair[2], before = count_open();
    tn_call call = {.seq = 3};
    char scratch[4096];
    must(ipc_pair(pair) == 0);
    b = (struct broker){.hooks.ask = on_ask, .zygote = zygote ? pair[0] : -1};
    l = (struct link){.b = &b, .id = 7, .sock = zygote ? -1 : pair[0], .pidfd = -1, .next_seq = 9};
    killed = asked = 0;
    list_init(&b.links);
    list_init(&l.asks);
    list_init(&l.sent);
    list_push_back(&b.links, &l.all);
    list_push_back(&l.sent, &call.node);
    l.nsent = 1;
    for (unsigned i = 0; i < MESSAGES && n >= 3; i++) {
        size_t len = (size_t)data[1] << 8 | data[2];
        unsigned kind = data[0] % FD_KINDS;
        len = len < n - 3 ? len : n - 3;
        say(pair[1], kind, data + 3, len);
        if (zygote) {
            on_zygote(&b, EPOLLIN);
        } else {
            link_socket(&l, EPOLLIN);
        }
        must(l.nfds <= WINDOW_CALLS && l.nasks <= IPC_ASKS_MAX && b.jail.len <= JAIL_TEXT_MAX);
        while (recv(pair[1], scratch, sizeof scratch, MSG_DONTWAIT) > 0) {}
        data += 3 + len;
        n -= 3 + len;
    }
    int fd = zygote ? -1 : link_take_fd(&l, 3);
    fd_close(&fd);
    if (l.stack != NULL) {
        must(strlen(l.stack) <= STACK_MAX);
    }
    link_close_fds(&l, UINT64_MAX);
    link_forget_asks(&l);
    for (size_t i = 0; i < IPC_ASKS_MAX; i++) {
        if (open_asks[i] != NULL) {
            must(!broker_wants(open_asks[i]));
            broker_answer(&b, open_asks[i], TN_OK, TN_STR("late"));
            open_asks[i] = NULL;
        }
    }
    free(l.stack);
    buf_finish(&b.jail);
    if (zygote && b.zygote < 0) {
        close(pair[1]); /* it was given up, and closed */
    } else {
        close(pair[0]);
        close(pair[1]);
    }
    must(count_open() == before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static int quiet;
    if (!quiet) {
        log_level(TN_LOG_ALERT);
        quiet = 1;
    }
    if (n > 1) {
        play(data + 1, n - 1, data[0] & 1);
    }
    return 0;
}
