/* SPDX-License-Identifier: Apache-2.0 */
/* A broker with echo workers and no HTTP. */
#include "tests/plugin/transport/rig.h"
#include "kernel/base/buf.h"
#include "kernel/base/clock.h"
#include "kernel/base/fd.h"
#include "kernel/base/log.h"
#include "kernel/base/proc.h"
#include "kernel/base/str.h"
#include "kernel/ipc/sock.h"
#include "kernel/supervisor/ctl.h"
#include "kernel/worker/worker.h"
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
/* after the above */
#include <cmocka.h>

void rig_main(int argc, char **argv)
{
    static const struct lang_host *const langs[] = {&lang_echo, NULL};
    if (argc > 1 && strcmp(argv[1], "--zygote") == 0) {
        exit(zygote_main(argc - 1, argv + 1, langs));
    }
    log_open("test", TN_LOG_ERROR, -1);
    signal(SIGPIPE, SIG_IGN);
    proc_subreaper(); /* as the supervisor: what an old zygote leaves comes to us */
}

static void start_zygote(struct rig *r)
{
    int pair[2];
    char num[16], data[4096];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    r->zygote = fork();
    if (r->zygote == 0) {
        fcntl(pair[1], F_SETFD, 0);
        snprintf(num, sizeof(num), "%d", pair[1]);
        const char *tmp = getenv("TMPDIR");
        snprintf(data, sizeof(data), "--data=%s/rig-%d", tmp ? tmp : "/tmp", (int)getppid());
        execl("/proc/self/exe", "test", "--zygote", "--ctl", num, "--log-level=error", data,
              (char *)NULL);
        _exit(127);
    }
    close(pair[1]);
    r->ctl = pair[0];
}

static void connect_zygote(struct rig *r)
{
    int pair[2];
    struct ctl_msg m = {.type = CTL_PEER};
    assert_int_equal(ipc_pair(pair), 0);
    assert_true(fd_send(r->ctl, &m, sizeof(m), pair[1], 0) > 0);
    close(pair[1]);
    broker_zygote(r->broker, pair[0]);
}

void rig_zygote(struct rig *r)
{
    fd_close(&r->ctl);
    waitpid(r->zygote, NULL, 0);
    start_zygote(r);
    connect_zygote(r);
}

static void on_ask(void *user, tn_str service, tn_str payload, void *token)
{
    struct rig *r = user;
    if (str_is(service, "echo")) {
        broker_answer(r->broker, token, TN_OK, payload);
    } else if (str_is(service, "big")) {
        size_t n = 3u << 20;
        char *p = malloc(n);
        memset(p, 'y', n);
        broker_answer(r->broker, token, TN_OK, (tn_str){p, n});
        free(p);
    } else if (str_is(service, "hold")) {
        r->held = token;
    } else {
        broker_answer(r->broker, token, TN_E_NOTFOUND, TN_STR("no such service"));
    }
}

static void on_compiled(void *user, tn_str script, uint64_t generation, tn_str marshal)
{
    struct rig *r = user;
    (void)generation;
    if (r->on_compiled) {
        r->on_compiled(r, script, marshal);
    }
}

static void on_ready(void *user)
{
    struct rig *r = user;
    r->ready = 1;
    loop_stop(r->loop);
}

static void on_sweep(void *user)
{
    ((struct rig *)user)->swept++;
}

static void on_stop(void *user)
{
    loop_stop(((struct rig *)user)->loop);
}

static uint64_t on_prepare(void *user)
{
    struct rig *r = user;
    if (r->on_prepare) {
        r->on_prepare(r);
    }
    return UINT64_MAX;
}

void rig_open(struct rig *r, const struct rig_conf *c)
{
    tn_err err = TN_ERR_INIT;
    const struct broker_group_conf g = {.name = "default",
                                        .queues = 1,
                                        .workers_min = c->workers_min ? c->workers_min : 2,
                                        .workers_max = c->workers_max ? c->workers_max : 8,
                                        .queue_max = c->queue_max ? c->queue_max : 10000,
                                        .queue_wait_ns = c->queue_wait_ns};
    const struct broker_conf bc = {.groups = &g,
                                   .ngroups = 1,
                                   .worker_calls = c->worker_calls,
                                   .grace_ns = c->grace_ns,
                                   .young_ns = c->young_ns};
    const struct broker_hooks hooks = {r, on_ask, on_compiled, on_ready, on_sweep};
    memset(r, 0, sizeof(*r));
    assert_int_equal(loop_create(&r->loop, 0, &err), TN_OK);
    assert_int_equal(loop_timer(r->loop, on_stop, r, &r->stop, &err), TN_OK);
    assert_int_equal(broker_create(r->loop, &bc, &hooks, &r->broker, &err), TN_OK);
    assert_int_equal(loop_prepare(r->loop, on_prepare, r, &err), TN_OK);
    start_zygote(r);
    connect_zygote(r);
    loop_timer_set(r->loop, r->stop, clock_mono_ns() + 20 * NS_PER_S);
    assert_int_equal(loop_run(r->loop, &err), TN_OK);
    assert_true(r->ready);
}

void rig_close(struct rig *r)
{
    pid_t left[64];
    broker_destroy(r->broker);
    fd_close(&r->ctl);
    int status = -1;
    waitpid(r->zygote, &status, 0);
    assert_int_equal(status, 0);
    /* Workers see the end of their socket. */
    for (int i = 0; i < 500 && waitpid(-1, NULL, WNOHANG) >= 0; i++) {
        usleep(10000);
    }
    assert_int_equal(rig_descendants(r, left, 64), 0);
    loop_timer_free(r->loop, r->stop);
    loop_destroy(r->loop);
}

static void on_done(void *user, const tn_call_result *res)
{
    struct shot *s = user;
    s->answers++;
    s->call = NULL;
    s->status = res->status;
    s->kind = res->value_kind;
    s->done_ns = clock_mono_ns();
    s->start_us = res->start_us;
    s->end_us = res->end_us;
    s->cost_us = res->cost_us;
    s->value_len = res->value_len;
    s->fd_value = res->value_fd >= 0;
    s->logs_len = res->logs.n;
    snprintf(s->value, sizeof(s->value), "%.*s", (int)(res->value.n > 255 ? 255 : res->value.n),
             res->value.s ? res->value.s : "");
    snprintf(s->error, sizeof(s->error), "%.*s", (int)(res->error.n > 2047 ? 2047 : res->error.n),
             res->error.s ? res->error.s : "");
    snprintf(s->logs, sizeof(s->logs), "%.*s", (int)(res->logs.n > 511 ? 511 : res->logs.n),
             res->logs.s ? res->logs.s : "");
    struct rig *r = s->rig;
    r->open--;
    if (s->then) {
        s->then(s);
    }
    if (r->open <= r->limit) {
        loop_stop(r->loop);
    }
}

tn_rc rig_shoot_req(struct rig *r, struct shot *s, const tn_call_req *req)
{
    tn_call_req q = *req;
    tn_err err = TN_ERR_INIT;
    s->rig = r;
    s->answers = 0;
    s->sent_ns = clock_mono_ns();
    q.user = s;
    q.done = on_done;
    tn_rc rc = broker_submit(r->broker, &q, &s->call, &err);
    r->open += rc == TN_OK;
    return rc;
}

tn_rc rig_shoot(struct rig *r, struct shot *s, const char *func, const char *args,
                uint32_t timeout_ms)
{
    const tn_call_req q = {.size = sizeof(q),
                           .script = TN_STR("test__echo"),
                           .func = str_of(func),
                           .origin = TN_STR("test"),
                           .args = str_of(args),
                           .timeout_ms = timeout_ms};
    return rig_shoot_req(r, s, &q);
}

void rig_wait(struct rig *r, unsigned open, unsigned ms)
{
    tn_err err = TN_ERR_INIT;
    r->limit = open;
    uint64_t end = clock_mono_ns() + ms * NS_PER_MS;
    loop_timer_set(r->loop, r->stop, end);
    while (r->open > open && clock_mono_ns() < end) {
        assert_int_equal(loop_run(r->loop, &err), TN_OK);
    }
    loop_timer_set(r->loop, r->stop, 0);
    if (r->open > open) {
        struct buf b = BUF_INIT(0);
        broker_status(r->broker, &b);
        print_error("still open: %u\n%s\n", r->open, b.data);
        buf_finish(&b);
    }
    assert_true(r->open <= open);
    r->limit = 0;
}

void rig_idle(struct rig *r, unsigned ms)
{
    tn_err err = TN_ERR_INIT;
    uint64_t end = clock_mono_ns() + ms * NS_PER_MS;
    while (clock_mono_ns() < end) {
        loop_timer_set(r->loop, r->stop, end);
        assert_int_equal(loop_run(r->loop, &err), TN_OK);
    }
}

long rig_number(struct rig *r, const char *key)
{
    char quoted[64];
    struct buf b = BUF_INIT(0);
    broker_status(r->broker, &b);
    snprintf(quoted, sizeof(quoted), "\"%s\":", key);
    const char *p = strstr(b.data, quoted);
    long v = p ? strtol(p + strlen(quoted), NULL, 10) : -1;
    buf_finish(&b);
    return v;
}

static pid_t parent_of(pid_t pid, char *ret_state)
{
    char path[64], text[512];
    int ppid = 0;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    if (f && fgets(text, sizeof(text), f) && strrchr(text, ')')) {
        sscanf(strrchr(text, ')') + 1, " %c %d", ret_state, &ppid);
    }
    if (f) {
        fclose(f);
    }
    return ppid;
}

unsigned rig_descendants(struct rig *r, pid_t *ret, unsigned cap)
{
    unsigned n = 0;
    DIR *d = opendir("/proc");
    for (struct dirent *e; d && (e = readdir(d));) {
        char state = 0, dummy;
        pid_t pid = isdigit((unsigned char)*e->d_name) ? (pid_t)atoi(e->d_name) : 0;
        if (!pid || pid == r->zygote || pid == getpid()) {
            continue;
        }
        pid_t up = parent_of(pid, &state);
        while (up > 1 && up != getpid()) {
            up = parent_of(up, &dummy);
        }
        if (up == getpid() && n < cap && state != 'Z') {
            ret[n++] = pid;
        }
    }
    if (d) {
        closedir(d);
    }
    return n;
}

unsigned rig_rounds(unsigned quick, unsigned full)
{
    const char *rounds = getenv("TENON_TEST_ROUNDS"), *lng = getenv("TENON_TEST_LONG");
    return rounds && *rounds ? (unsigned)atoi(rounds) : lng && *lng == '1' ? full : quick;
}
