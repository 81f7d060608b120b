/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the Python host on data-file cases, without processes. README.md explains the files. */
#include "kernel/base/clock.h"
#include "kernel/base/str.h"
#include "kernel/value/json.h"
#include "tests/pyshim/driver.h"
#include "tests/pyshim/fake_env.h"
#include <ftw.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
    char path[512], name[256];
    unsigned line, checks, failed, cases, case_failed;
    struct lang_reply reply;
    struct buf http, vars;
    uint64_t generation, data_gen;
    uint32_t result_ttl, queue;
    int called, status_checked;
    int want_stacks, stacks_fd;
    char what[256]; /* the call, for messages */
} st;

static void fail(const char *fmt, ...) TN_PRINTF(1, 2);
static void fail(const char *fmt, ...)
{
    va_list ap;
    st.failed++;
    st.case_failed = 1;
    printf("FAIL %s:%u %s: %s: ", st.path, st.line, st.name, st.what);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n");
}

static void on_alarm(int sig)
{
    (void)sig;
    if (st.want_stacks) {
        st.stacks_fd = memfd_create("stacks", MFD_CLOEXEC);
        lang_python.dump_stacks(st.stacks_fd);
    }
    lang_python.soft_timeout(0);
}

static const char *const statuses[] = {"SUCCESS", "FAILURE", "TIMEOUT", "EXPIRED", "SKIPPED"};
static const char *const kinds[] = {"NONE", "TEXT", "NUMBER", "BOOL", "JSON"};

static void end_case(void)
{
    char slug[300];
    size_t n = 0;
    const char *stem = strrchr(st.path, '/');
    if (st.name[0] == '\0') {
        return;
    }
    n = (size_t)snprintf(slug, sizeof(slug), "%s_%s", stem ? stem + 1 : st.path, st.name);
    for (size_t i = 0; i < n && i < sizeof(slug) - 1; i++) {
        int plain = (slug[i] >= 'a' && slug[i] <= 'z') || (slug[i] >= 'A' && slug[i] <= 'Z') ||
                    (slug[i] >= '0' && slug[i] <= '9');
        slug[i] = plain ? slug[i] : '_';
    }
    printf(st.case_failed ? "[  FAILED  ] %s\n" : "[       OK ] %s\n", slug);
    st.name[0] = '\0';
    st.case_failed = 0;
}

static void end_call(void)
{
    if (st.called && !st.status_checked && st.reply.status != TN_CALL_SUCCESS) {
        fail("status is %s: %s", statuses[st.reply.status], buf_str(&st.reply.error).s);
    }
    st.called = 0;
}

/* "a__b.f debug soft=500 gen" + arguments as content */
static void do_call(char *words, const char *text)
{
    static char code[1 << 16];
    char *save = NULL, *id = strtok_r(words, " ", &save), *w, *dot;
    struct lang_call c = {.start_us = clock_wall_us(),
                          .start_ns = clock_mono_ns(),
                          .task_id = TN_STR("task-000000000001"),
                          .origin = TN_STR("syncAPI"),
                          .origin_id = TN_STR("sync-1"),
                          .trigger_us = 1767225600123456,
                          .timeout_ms = 35000,
                          .queue = st.queue ? st.queue : 1};
    struct itimerval soft = {{0, 0}, {0, 0}};
    end_call();
    st.want_stacks = 0;
    fake.asked_code = 0;
    snprintf(st.what, sizeof(st.what), "%s", id ? id : "?");
    dot = id ? strchr(id, '.') : NULL;
    c.func = str_of(dot ? dot + 1 : "");
    c.script = id ? (tn_str){id, dot ? (size_t)(dot - id) : strlen(id)} : str_of("");
    while ((w = strtok_r(NULL, " ", &save)) != NULL) {
        if (strcmp(w, "debug") == 0) {
            c.flags |= TN_CALL_DEBUG;
        } else if (strcmp(w, "nofunc") == 0) {
            c.flags |= TN_CALL_NO_FUNC;
        } else if (strcmp(w, "stacks") == 0) {
            st.want_stacks = 1;
        } else if (strncmp(w, "soft=", 5) == 0) {
            soft.it_value.tv_usec = atoi(w + 5) * 1000;
        }
    }
    c.args = str_of(text);
    c.http = buf_str(&st.http);
    c.vars = buf_str(&st.vars);
    c.generation = st.generation;
    c.data_gen = st.data_gen;
    c.result_ttl = st.result_ttl;
    if (c.flags & TN_CALL_DEBUG) {
        code[0] = '\0';
        for (const struct fake_item *it = fake.scripts; it; it = it->next) {
            if (strlen(it->id) == c.script.n && memcmp(it->id, c.script.s, c.script.n) == 0) {
                snprintf(code, sizeof(code), "%s", it->text);
            }
        }
        c.code = str_of(code);
    }
    buf_clear(&st.reply.value);
    buf_clear(&st.reply.control);
    buf_clear(&st.reply.error);
    st.reply.value_kind = 0;
    st.reply.status = 99;
    buf_clear(&fake.log);
    setitimer(ITIMER_REAL, &soft, NULL);
    lang_python.run(&c, &st.reply);
    soft.it_value.tv_usec = 0;
    setitimer(ITIMER_REAL, &soft, NULL);
    st.called = 1;
    st.status_checked = 0;
}

static void same(const char *what, tn_str got, const char *want)
{
    st.checks++;
    if (!str_is(got, want)) {
        fail("%s is\n%.*s\nnot\n%s", what, (int)got.n, got.s, want);
    }
}

/* Member of the error report, unquoted. */
static tn_str error_part(const char *name)
{
    static char text[1 << 16];
    tn_json_member m[8];
    uint32_t kind, n = 0;
    tn_err err = TN_ERR_INIT;
    tn_str all = buf_str(&st.reply.error);
    if (json_scan(all, &kind, m, 8, &n, &err) == TN_OK) {
        for (uint32_t i = 0; i < n; i++) {
            if (m[i].key.n >= strlen(name) && memmem(m[i].key.s, m[i].key.n, name, strlen(name)) &&
                (m[i].key.n == strlen(name) || m[i].key.n == strlen(name) + 2)) {
                size_t len = json_unquote(m[i].value, text, sizeof(text));
                return (tn_str){text, len};
            }
        }
    }
    return (tn_str){"", 0};
}

static void has_lines(const char *what, tn_str got, const char *text, int want)
{
    tn_str rest = str_of(text), line;
    while (str_split(&rest, '\n', &line)) {
        st.checks++;
        if (line.n != 0 && (memmem(got.s, got.n, line.s, line.n) != NULL) != want) {
            fail("%s %s\n%.*s\nin\n%.*s", what, want ? "lacks" : "must not hold", (int)line.n,
                 line.s, (int)got.n, got.s);
        }
    }
}

/* Printed lines without "[MM-DD hh:mm:ss] [+nms] [nms] ". */
static void check_log(const char *want)
{
    struct buf plain = BUF_INIT(0);
    tn_str rest = buf_str(&fake.log), line;
    while (str_split(&rest, '\n', &line)) {
        const char *p = line.s, *end = line.s + line.n;
        if (line.n > 16 && *p == '[') {
            for (int i = 0; i < 3 && p; i++) {
                p = memchr(p, ']', (size_t)(end - p));
                p = p ? p + 2 : NULL;
            }
        }
        p = p && p <= end ? p : line.s;
        if (plain.len) {
            buf_addc(&plain, '\n');
        }
        buf_add(&plain, p, (size_t)(end - p));
    }
    while (plain.len && plain.data[plain.len - 1] == '\n') {
        plain.data[--plain.len] = '\0';
    }
    same("log", buf_str(&plain), want);
    buf_finish(&plain);
}

/* Blocks that the interpreter holds, after a collection. */
static long blocks(void)
{
    char probe[] = "slope__probe.count", none[] = "";
    fake_set(&fake.scripts, "slope__probe",
             "import gc, sys\n"
             "def count():\n"
             "    gc.collect()\n"
             "    return sys.getallocatedblocks()\n");
    do_call(probe, none);
    return atol(buf_str(&st.reply.value).s);
}

/* "a__b.f 20000": that many calls leave no object behind. */
static void check_slope(const char *arg, const char *args)
{
    char words[256];
    const char *count = strrchr(arg, ' ');
    long n = count ? atol(count) : 1000, before = 0, after;
    for (int round = 0; round < 2; round++) {
        before = blocks();
        for (long i = 0; i < (round ? n : 500); i++) {
            snprintf(words, sizeof(words), "%.*s", (int)(count ? count - arg : 0), arg);
            do_call(words, args);
            st.status_checked = 1;
        }
    }
    after = blocks();
    st.checks++;
    if (after - before > n / 10 + 200) { /* free lists and caches move a little */
        fail("%ld more blocks after %ld calls", after - before, n);
    }
}

static void section(char *head, char *text)
{
    char *rest = strchr(head, ' ');
    if (rest != NULL) {
        *rest++ = '\0';
    }
    const char *arg = rest ? rest : "";
    if (strcmp(head, "case") == 0) {
        end_call();
        end_case();
        fake_reset();
        st.generation++;
        st.data_gen++;
        st.cases++;
        st.result_ttl = 0;
        st.queue = 0;
        buf_clear(&st.http);
        buf_clear(&st.vars);
        snprintf(st.name, sizeof(st.name), "%s", arg);
    } else if (strcmp(head, "script") == 0) {
        fake_set(&fake.scripts, arg, text);
        st.generation++;
    } else if (strcmp(head, "env") == 0) {
        fake_set(&fake.vars, arg, text);
        st.data_gen++;
    } else if (strcmp(head, "http") == 0) {
        buf_clear(&st.http);
        buf_adds(&st.http, text);
    } else if (strcmp(head, "vars") == 0) {
        buf_clear(&st.vars);
        buf_adds(&st.vars, text);
    } else if (strcmp(head, "ttl") == 0) {
        st.result_ttl = (uint32_t)atoi(arg);
    } else if (strcmp(head, "file") == 0) {
        char path[1024];
        snprintf(path, sizeof(path), "%s/%s", fake.resource_root, arg);
        FILE *f = fopen(path, "w");
        if (f == NULL || fputs(text, f) < 0 || fclose(f) != 0) {
            fail("cannot write %s", path);
        }
    } else if (strcmp(head, "call") == 0) {
        do_call(rest ? rest : head, text);
    } else if (strcmp(head, "slope") == 0) {
        check_slope(arg, text);
    } else if (strcmp(head, "status") == 0) {
        st.status_checked = 1;
        same("status", str_of(st.reply.status < 5 ? statuses[st.reply.status] : "none"), arg);
    } else if (strcmp(head, "kind") == 0) {
        same("kind", str_of(kinds[st.reply.value_kind]), arg);
    } else if (strcmp(head, "value") == 0) {
        same("value", buf_str(&st.reply.value), text);
    } else if (strcmp(head, "value-has") == 0) {
        has_lines("value", buf_str(&st.reply.value), text, 1);
    } else if (strcmp(head, "value-lacks") == 0) {
        has_lines("value", buf_str(&st.reply.value), text, 0);
    } else if (strcmp(head, "control") == 0) {
        same("control", buf_str(&st.reply.control), text);
    } else if (strcmp(head, "control-has") == 0) {
        has_lines("control", buf_str(&st.reply.control), text, 1);
    } else if (strcmp(head, "exception") == 0) {
        same("exception", error_part("exception"), text);
    } else if (strcmp(head, "type") == 0) {
        same("exceptionType", error_part("exceptionType"), arg);
    } else if (strcmp(head, "traceback") == 0) {
        same("traceback", error_part("traceback"), text);
    } else if (strcmp(head, "traceback-has") == 0) {
        has_lines("traceback", error_part("traceback"), text, 1);
    } else if (strcmp(head, "error-has") == 0) {
        has_lines("error", buf_str(&st.reply.error), text, 1);
    } else if (strcmp(head, "generation") == 0) {
        st.generation = strtoull(arg, NULL, 10);
    } else if (strcmp(head, "asked") == 0) {
        char count[16];
        snprintf(count, sizeof(count), "%u", fake.asked_code);
        same("questions for code", str_of(count), arg);
    } else if (strcmp(head, "stacks-has") == 0) {
        static char stacks[1 << 16];
        ssize_t n = pread(st.stacks_fd, stacks, sizeof(stacks), 0);
        has_lines("stacks", (tn_str){stacks, n > 0 ? (size_t)n : 0}, text, 1);
        close(st.stacks_fd);
    } else if (strcmp(head, "retire") == 0) {
        same("retire", str_of(st.reply.retire ? "yes" : "no"), arg);
    } else if (strcmp(head, "kept") == 0) {
        same("kept", str_of(is_kept(arg) ? "yes" : "no"), text);
    } else if (strcmp(head, "log") == 0) {
        check_log(text);
    } else {
        fail("unknown section %s", head);
    }
}

/* A file is sections: "@@ head" and its content up to the next one. */
static void run_file(const char *path)
{
    FILE *f = fopen(path, "r");
    char *line = NULL, head[512] = "";
    size_t cap = 0;
    struct buf text = BUF_INIT(0);
    unsigned at = 0, head_at = 0;
    ssize_t n;
    snprintf(st.path, sizeof(st.path), "%s", path);
    st.line = 0;
    if (f == NULL) {
        fail("cannot open");
        return;
    }
    for (;;) {
        n = getline(&line, &cap, f);
        at++;
        if (n < 0 || strncmp(line, "@@ ", 3) == 0) {
            while (text.len && text.data[text.len - 1] == '\n') {
                text.data[--text.len] = '\0';
            }
            st.line = head_at;
            if (head[0]) {
                section(head, text.data ? text.data : (char[]){""});
            }
            if (n < 0) {
                break;
            }
            line[strcspn(line, "\n")] = '\0';
            snprintf(head, sizeof(head), "%s", line + 3);
            head_at = at;
            buf_clear(&text);
            buf_adds(&text, "");
        } else {
            buf_add(&text, line, (size_t)n);
        }
    }
    end_call();
    end_case();
    free(line);
    buf_finish(&text);
    fclose(f);
}

static int remove_one(const char *path, const struct stat *sb, int kind, struct FTW *ftw)
{
    (void)sb;
    (void)kind;
    (void)ftw;
    return remove(path);
}

int driver_main(int argc, char **argv)
{
    tn_err err = TN_ERR_INIT;
    struct sigaction sa = {.sa_handler = on_alarm};
    glob_t found;
    snprintf(fake.resource_root, sizeof(fake.resource_root), "/tmp/tenon-pyshim-XXXXXX");
    if (mkdtemp(fake.resource_root) == NULL) {
        perror("mkdtemp");
        return 2;
    }
    fake_set(&fake.settings, "TIMEZONE", "Asia/Shanghai");
    st.generation = 100;
    sigaction(SIGALRM, &sa, NULL);
    if (lang_python.boot(&fake_lang_env, &err) != TN_OK) {
        fprintf(stderr, "boot: %s\n", err.msg);
        return 2;
    }
    if (zygote_prepare() < 0) {
        return 1;
    }
    lang_python.freeze();
    pid_t pid = fork();
    if (pid != 0) {
        int status = 1;
        int ok = pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status);
        nftw(fake.resource_root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
        return ok ? WEXITSTATUS(status) : 2;
    }
    if (lang_python.child(&fake_lang_env, &err) != TN_OK) {
        fprintf(stderr, "child: %s\n", err.msg);
        return 2;
    }
    if (argc > 1 && strcmp(argv[1], "--bench") == 0) {
        return bench();
    }
    if (argc == 1 && glob("tests/pyshim/cases/*.txt", 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            run_file(found.gl_pathv[i]);
        }
        globfree(&found);
    }
    for (int i = 1; i < argc; i++) {
        run_file(argv[i]);
    }
    lang_python.finish();
    printf("%u cases, %u checks, %u failed\n", st.cases, st.checks, st.failed);
    return st.failed ? 1 : 0;
}
