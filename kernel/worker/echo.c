/* SPDX-License-Identifier: Apache-2.0 */
/* The echo host: a language in C whose functions misbehave on request, so that transport, deadlines
 * and kills are tested without an interpreter. The function name is the program:
 *   echo            returns the args          spin             computes for ever
 *   sleep:MS        sleeps                    hang             blocks for ever, deaf to the soft deadline
 *   crash:SIG       raises the signal         exit:N           leaves the process with that code
 *   threads:N       starts N threads that spin, then spins     raise            fails
 *   daemon          leaves a daemon (double fork, setsid), then spins
 *   swarm:N         leaves N such daemons and returns          big:N            returns N bytes
 *   print:N         prints N lines            ask:SERVICE      returns the service's answer
 *   fork            returns in two processes  scribble         fills the shared page with noise, spins
 *   stubborn        ignores the soft deadline but lets signals in
 *   close           closes all descriptors, then spins         pid             returns its process id
 *   grow            says that it keeps another megabyte */
#include "kernel/base/err.h"
#include "kernel/base/rnd.h"
#include "kernel/base/str.h"
#include "kernel/ipc/ring.h"
#include "kernel/worker/worker.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const struct lang_env *env_;
static volatile sig_atomic_t soft_; /* the soft deadline has passed */

static tn_rc echo_boot(const struct lang_env *env, tn_err *err)
{
    (void)err;
    env_ = env;
    return TN_OK;
}

static tn_rc echo_preload(tn_str script, uint64_t generation, tn_str source, tn_str marshal,
                          struct buf *ret_marshal, tn_err *err)
{
    (void)script;
    (void)generation;
    (void)marshal;
    if (str_prefix(source, "broken")) {
        return err_set(err, TN_E_INVAL, "the source is broken");
    }
    if (ret_marshal) {
        buf_adds(ret_marshal, "compiled:");
        buf_addstr(ret_marshal, source);
    }
    return TN_OK;
}

static void echo_unload(tn_str script)
{
    (void)script;
}

static void echo_nothing(void)
{
}

static tn_rc echo_child(const struct lang_env *env, tn_err *err)
{
    (void)err;
    env_ = env;
    return TN_OK;
}

static void fail(struct lang_reply *r, uint32_t status, const char *type, const char *text)
{
    r->status = status;
    buf_adds(&r->error, "{\"exception\":");
    buf_quote(&r->error, str_of(text));
    buf_adds(&r->error, ",\"exceptionType\":");
    buf_quote(&r->error, str_of(type));
    buf_adds(&r->error, ",\"traceback\":\"\"}");
}

/* Until the soft deadline. */
static void spin(struct lang_reply *r)
{
    while (!soft_) {}
    fail(r, TN_CALL_TIMEOUT, "TaskTimeout", "the call's time is over");
}

static void do_sleep(long ms, struct lang_reply *r)
{
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};
    while (!soft_ && nanosleep(&left, &left)) {}
    if (soft_) {
        fail(r, TN_CALL_TIMEOUT, "TaskTimeout", "the call's time is over");
    }
}

static _Noreturn void hang(void)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    for (;;) {
        pause();
    }
}

static void *spin_thread(void *arg)
{
    for (;;) {}
    return arg;
}

static void do_threads(long n, struct lang_reply *r)
{
    pthread_t t;
    for (long i = 0; i < n; i++) {
        pthread_create(&t, NULL, spin_thread, NULL);
    }
    spin(r);
}

/* A process that nobody of ours is parent, group or session of. */
static void daemonize(void)
{
    if (fork() == 0) {
        setsid();
        if (fork() == 0) {
            setsid();
            hang();
        }
        _exit(0);
    }
}

static _Noreturn void scribble(void)
{
    char line[512];
    FILE *f = fopen("/proc/self/maps", "r");
    while (f && fgets(line, sizeof(line), f)) {
        unsigned long from, to;
        if (strstr(line, "tenon-page") && sscanf(line, "%lx-%lx", &from, &to) == 2) {
            for (;;) {
                rnd_bytes((void *)from, sizeof(struct ipc_page));
            }
        }
    }
    abort();
}

/* Also what a forked child of a script runs into: the worker must end it when it comes back. */
static void do_fork(struct lang_reply *r)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct buf b = BUF_INIT(1024);
        tn_err err = TN_ERR_INIT;
        env_->print(env_->ctx, TN_STR("from the child"));
        if (env_->ask(env_->ctx, "echo", TN_STR("child"), &b, &err) == TN_OK) {
            abort();
        }
    }
    buf_adds(&r->value, pid == 0 ? "child" : "parent");
}

static void do_ask(const struct lang_call *call, const char *service, struct lang_reply *r)
{
    tn_err err = TN_ERR_INIT;
    tn_rc rc = env_->ask(env_->ctx, service, call->args, &r->value, &err);
    if (rc == TN_E_CANCELED) {
        fail(r, TN_CALL_TIMEOUT, "TaskTimeout", err.msg);
    } else if (rc) {
        fail(r, TN_CALL_FAILURE, "ServiceError", err.msg);
    }
}

static void echo_run(const struct lang_call *call, struct lang_reply *r)
{
    char name[64], line[64], *arg;
    size_t n = call->func.n < sizeof(name) - 1 ? call->func.n : sizeof(name) - 1;
    memcpy(name, call->func.s, n);
    name[n] = '\0';
    arg = strchr(name, ':');
    if (arg) {
        *arg++ = '\0';
    }
    long num = arg ? strtol(arg, NULL, 10) : 0;
    soft_ = 0;
    r->value_kind = TN_VALUE_TEXT;
    if (strcmp(name, "echo") == 0) {
        buf_addstr(&r->value, call->args);
    } else if (strcmp(name, "grow") == 0) {
        static uint64_t grown;
        r->peak_bytes = grown += 1u << 20; /* says that it leaks a megabyte in each call */
    } else if (strcmp(name, "spin") == 0) {
        spin(r);
    } else if (strcmp(name, "sleep") == 0) {
        do_sleep(num, r);
    } else if (strcmp(name, "hang") == 0) {
        hang();
    } else if (strcmp(name, "stubborn") == 0) {
        for (;;) {
            pause();
        }
    } else if (strcmp(name, "crash") == 0) {
        signal((int)num, SIG_DFL);
        raise((int)num);
    } else if (strcmp(name, "exit") == 0) {
        _exit((int)num);
    } else if (strcmp(name, "threads") == 0) {
        do_threads(num, r);
    } else if (strcmp(name, "daemon") == 0) {
        daemonize();
        spin(r);
    } else if (strcmp(name, "swarm") == 0) {
        for (long i = 0; i < num; i++) {
            daemonize();
        }
    } else if (strcmp(name, "big") == 0) {
        char *p = buf_reserve(&r->value, (size_t)num);
        if (p) {
            memset(p, 'x', (size_t)num);
            r->value.len += (size_t)num;
        }
    } else if (strcmp(name, "print") == 0) {
        for (long i = 0; i < num; i++) {
            int k = snprintf(line, sizeof(line), "line %ld", i);
            env_->print(env_->ctx, (tn_str){line, (size_t)k});
        }
    } else if (strcmp(name, "ask") == 0) {
        do_ask(call, arg ? arg : "", r);
    } else if (strcmp(name, "fork") == 0) {
        do_fork(r);
    } else if (strcmp(name, "scribble") == 0) {
        scribble();
    } else if (strcmp(name, "close") == 0) {
        for (int fd = 3; fd < 1024; fd++) {
            close(fd);
        }
        spin(r);
    } else if (strcmp(name, "pid") == 0) {
        buf_addi(&r->value, getpid());
    } else {
        fail(r, TN_CALL_FAILURE, "NameError", name);
    }
}

static void echo_soft_timeout(int canceled)
{
    (void)canceled;
    soft_ = 1;
}

static void echo_dump_stacks(int fd)
{
    static const char text[] = "echo host: main thread in a test function\n";
    if (write(fd, text, sizeof(text) - 1) < 0) {
        return;
    }
}

static const char *echo_version(void)
{
    return "1";
}

const struct lang_host lang_echo = {
    .size = sizeof(struct lang_host),
    .name = "echo",
    .boot = echo_boot,
    .preload = echo_preload,
    .unload = echo_unload,
    .freeze = echo_nothing,
    .child = echo_child,
    .run = echo_run,
    .soft_timeout = echo_soft_timeout,
    .dump_stacks = echo_dump_stacks,
    .finish = echo_nothing,
    .version = echo_version,
};
