/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at plugin files in throw-away processes, one a file, side by side.
 *
 * dlopen() runs the file's constructors, and they may crash, hang, exit or print. The child has no
 * descriptors of ours but one pipe, and reports over it; the parent believes nothing it reads. */
#include "kernel/plug/plug_int.h"

#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/fd.h"
#include "kernel/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROBE_PARALLEL 32
#define PROBE_BYTES    (1u << 20)
#define PROBE_DONE     'R'
#define PIPE_FD        3

/* After the stage letters and PROBE_DONE comes this, then the texts without separators. */
struct answer {
    int32_t rc;
    uint32_t kind;
    uint32_t len[4]; /* name, version, summary, about; or the problem in the first */
};
struct probe {
    struct plug_report *report;
    pid_t pid;
    int fd;
    uint64_t end_ns;
    struct buf in;
};

/* ---- the child ---------------------------------------------------------------------------------- */

static void tell_stage(void *user, char what)
{
    (void)user;
    fd_write_all(PIPE_FD, &what, 1);
}

static void send_answer(const struct answer *a, const char *const *texts)
{
    struct buf out = BUF_INIT(PROBE_BYTES);
    buf_addc(&out, PROBE_DONE);
    buf_add(&out, a, sizeof *a);
    for (size_t i = 0; i < 4; i++) {
        buf_add(&out, texts[i], a->len[i]);
    }
    fd_write_all(PIPE_FD, out.data, out.len);
    buf_finish(&out);
}

static void isolate(int fd)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    setsid(); /* so that one kill reaches what a constructor started */
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    for (int sig = 1; sig < NSIG; sig++) {
        signal(sig, SIG_DFL); /* ours are for a process that lives on */
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; i < 3 && null >= 0; i++) {
        dup2(null, i);
    }
    if (fd == PIPE_FD) {
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    } else {
        dup3(fd, PIPE_FD, O_CLOEXEC);
    }
#ifdef SYS_close_range
    syscall(SYS_close_range, PIPE_FD + 1, ~0u, 0);
#endif
}

static _Noreturn void child(const char *path, int fd)
{
    isolate(fd);
    struct plug *p = NULL;
    tn_err err = TN_ERR_INIT;
    struct answer a = {0};
    a.rc = plug_open_file(path, tell_stage, NULL, &p, &err);
    if (a.rc != TN_OK) {
        a.len[0] = (uint32_t)strlen(err.msg);
        send_answer(&a, (const char *const[]){err.msg, "", "", ""});
    } else {
        struct buf about = BUF_INIT(PROBE_BYTES / 2);
        plug_about(p, &about);
        const char *const texts[] = {p->desc.name, p->desc.version, p->desc.summary,
                                     buf_str(&about).s};
        a.kind = p->desc.kind;
        for (size_t i = 0; i < 4; i++) {
            a.len[i] = (uint32_t)strlen(texts[i]);
        }
        send_answer(&a, texts);
    }
    _exit(0);
}

/* ---- the parent --------------------------------------------------------------------------------- */

static char *problem_text(const char *fmt, ...) TN_PRINTF(1, 2);
static char *problem_text(const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    return n < 0 ? NULL : text;
}

/* Takes the answer apart; false while it is not whole. */
static bool parse_answer(const struct buf *in, struct answer *ret, tn_str texts[4])
{
    const char *done = in->len != 0 ? memchr(in->data, PROBE_DONE, in->len) : NULL;
    if (done == NULL || (size_t)(in->data + in->len - done) < 1 + sizeof *ret) {
        return false;
    }
    memcpy(ret, done + 1, sizeof *ret);
    const char *at = done + 1 + sizeof *ret, *end = in->data + in->len;
    for (size_t i = 0; i < 4; i++) {
        if (ret->len[i] > (size_t)(end - at)) {
            return false;
        }
        texts[i] = (tn_str){at, ret->len[i]};
        at += ret->len[i];
    }
    return true;
}

/* The plugin's code ran in the process that says this: it may have written anything. */
static bool plain(tn_str text)
{
    return str_utf8_valid(text) && memchr(text.s, '\0', text.n) == NULL;
}

static bool sane(const struct answer *a, const tn_str texts[4])
{
    for (size_t i = 0; i < 4; i++) {
        if (!plain(texts[i])) {
            return false;
        }
    }
    json_t *about = json_loadb(texts[3].s, texts[3].n, 0, NULL);
    bool is_object = json_is_object(about);
    json_decref(about);
    return is_object && a->kind != 0 && a->kind < TN_KINDS && texts[0].n >= 1 && texts[0].n <= 32 &&
           texts[1].n <= 32 && texts[2].n <= 200;
}

static void take_answer(struct plug_report *r, const struct answer *a, const tn_str texts[4])
{
    if (a->rc != TN_OK && texts[0].n != 0 && plain(texts[0])) {
        r->problem = problem_text("%.*s", (int)str_utf8_cut(texts[0], 480), texts[0].s);
    } else if (a->rc != TN_OK || !sane(a, texts)) {
        r->problem = problem_text("its probe gave a senseless answer");
    } else {
        r->kind = a->kind;
        r->name = str_dup(texts[0]);
        r->version = str_dup(texts[1]);
        r->summary = str_dup(texts[2]);
        r->about = str_dup(texts[3]);
    }
}

static const char *where_it_was(const struct probe *p)
{
    const char *stages = buf_str(&p->in).s;
    switch (p->in.len != 0 ? stages[p->in.len - 1] : 0) {
    case 'D':
        return "while being opened (a damaged file, or a constructor in it or in a library it needs)";
    case 'E':
        return "in " TN_ENTRY "()";
    case 'C':
        return "while its tables were read (a bad pointer, or a table without end)";
    default:
        return "in its probe";
    }
}

/* Ends the probe; `late`: it ran out of time. */
static void finish(struct probe *p, bool late)
{
    int status = 0;
    kill(-p->pid, SIGKILL);
    kill(p->pid, SIGKILL); /* before its setsid() there is no such group */
    pid_t got;
    do {
        got = waitpid(p->pid, &status, 0);
    } while (got < 0 && errno == EINTR);
    struct answer a;
    tn_str texts[4];
    if (parse_answer(&p->in, &a, texts)) {
        take_answer(p->report, &a, texts);
    } else {
        const char *where = where_it_was(p);
        if (late) {
            p->report->problem = problem_text("hangs %s: stopped after %d s", where,
                                              PLUG_PROBE_MS / 1000);
        } else if (p->in.failed) {
            p->report->problem = problem_text("wrote more than %u bytes to its probe", PROBE_BYTES);
        } else if (got == p->pid && WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL) {
            p->report->problem = problem_text("crashes with signal %d (%s) %s", WTERMSIG(status),
                                              strsignal(WTERMSIG(status)), where);
        } else if (got == p->pid && WIFEXITED(status)) {
            p->report->problem = problem_text("ends the process with status %d %s",
                                              WEXITSTATUS(status), where);
        } else {
            p->report->problem = problem_text("ends the process %s", where);
        }
    }
    fd_close(&p->fd);
    buf_finish(&p->in);
    p->pid = 0;
}

static tn_rc begin(struct probe *p, struct plug_report *report, tn_err *err)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0) {
        return err_sys(err, errno, "no pipe to probe %s", report->path);
    }
    pid_t pid = fork();
    if (pid < 0) {
        int e = errno;
        fd_close(&fds[0]);
        fd_close(&fds[1]);
        return err_sys(err, e, "no process to probe %s", report->path);
    }
    if (pid == 0) {
        child(report->path, fds[1]);
    }
    fd_close(&fds[1]);
    fd_nonblock(fds[0], 1);
    *p = (struct probe){report, pid, fds[0], 0, BUF_INIT(PROBE_BYTES)};
    return TN_OK;
}

static uint64_t real_ns(void) /* an injected clock may stand still */
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* Reads what is there; true when nothing more will come or the answer is whole (what a constructor
 * forked may hold the pipe open for ever). */
static bool read_more(struct probe *p)
{
    char block[16384];
    struct answer a;
    tn_str texts[4];
    ssize_t got;
    while ((got = read(p->fd, block, sizeof block)) > 0) {
        if (buf_add(&p->in, block, (size_t)got) < 0) {
            return true;
        }
    }
    return got == 0 || (errno != EAGAIN && errno != EINTR) || parse_answer(&p->in, &a, texts);
}

/* Waits for some of the running probes; ends those that are done or late. */
static void step(struct probe *run, size_t *n)
{
    struct pollfd fds[PROBE_PARALLEL];
    uint64_t now = real_ns(), first = UINT64_MAX;
    for (size_t i = 0; i < *n; i++) {
        fds[i] = (struct pollfd){run[i].fd, POLLIN, 0};
        first = run[i].end_ns < first ? run[i].end_ns : first;
    }
    int wait_ms = first > now ? (int)((first - now) / NS_PER_MS) + 1 : 0;
    (void)poll(fds, *n, wait_ms); /* interrupted: the deadlines below decide */
    now = real_ns();
    for (size_t i = *n; i-- > 0;) {
        bool done = fds[i].revents != 0 && read_more(&run[i]);
        if (done || now >= run[i].end_ns) {
            finish(&run[i], !done);
            run[i] = run[--*n];
        }
    }
}

tn_rc plug_probe(struct plug_report *reports, size_t n, tn_err *err)
{
    struct probe run[PROBE_PARALLEL];
    size_t running = 0, next = 0;
    tn_rc rc = TN_OK;
    while (rc == TN_OK && (next < n || running > 0)) {
        while (rc == TN_OK && next < n && running < PROBE_PARALLEL) {
            if (reports[next].problem == NULL) {
                rc = begin(&run[running], &reports[next], err);
                run[running].end_ns = real_ns() + PLUG_PROBE_MS * NS_PER_MS;
                running += rc == TN_OK;
            }
            next++;
        }
        if (running > 0) {
            step(run, &running);
        }
    }
    while (running > 0) {
        finish(&run[--running], true);
    }
    return rc;
}
