/* SPDX-License-Identifier: Apache-2.0 */
/* tenon-plugin-check FILE.so: does a plugin keep the contract? One line a check. */
#include "kernel/plug/conform.h"
#include "kernel/plug/plug_int.h"

#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/str.h"
#include "kernel/value/json.h"

#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALLS_MAX 64

static const char usage[] =
    "usage: tenon-plugin-check FILE.so [--config key=value ...] [--call method[=[args]] ...]\n"
    "Exercises a plugin against the contract (kernel/abi); exit code 0 when all checks pass.\n"
    "  --config key=value   a setting of the instance, as in the configuration file\n"
    "  --call get=[\"a\"]     calls a method in earnest and checks the description of its result\n";

/* Shared with the process that runs the plugin, so that a crash leaves the name of the check. */
static struct board {
    char step[160];
    int open;
    unsigned passed, failed, skipped;
} * board;

static void on_step(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(board->step, sizeof board->step, fmt, ap);
    va_end(ap);
    board->open = 1;
}

static void on_pass(void)
{
    printf("pass  %s\n", board->step);
    fflush(stdout);
    board->passed++;
    board->open = 0;
}

static void verdict(const char *word, const char *fmt, va_list ap)
{
    printf("%s  %s: ", word, board->step);
    vprintf(fmt, ap);
    printf("\n");
    fflush(stdout);
    board->open = 0;
}

static void on_fail(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    verdict("FAIL", fmt, ap);
    va_end(ap);
    board->failed++;
}

static void on_skip(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    verdict("skip", fmt, ap);
    va_end(ap);
    board->skipped++;
}

static const struct conform to = {on_step, on_pass, on_fail, on_skip};

/* ---- the host table: the core and JSON -------------------------------------------------------------- */

static void host_log(void *ctx, int32_t level, const char *fmt, ...)
{
    (void)ctx, (void)level;
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "log   ");
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, "\n");
    va_end(ap);
}

static void *host_alloc(void *ctx, size_t n)
{
    (void)ctx;
    return malloc(n != 0 ? n : 1);
}

static void host_free(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

static void host_count(void *ctx, const char *metric, int64_t delta)
{
    (void)ctx, (void)metric, (void)delta;
}

static void host_mask(void *ctx, tn_str secret)
{
    (void)ctx, (void)secret;
}

static const char *host_setting(void *ctx, const char *name)
{
    (void)ctx, (void)name;
    return NULL;
}

static const tn_host host = {.size = sizeof host,
                             .abi_major = TN_ABI_MAJOR,
                             .abi_minor = TN_ABI_MINOR,
                             .log = host_log,
                             .fail = err_set,
                             .now_ns = clock_mono_ns,
                             .wall_us = clock_wall_us,
                             .alloc = host_alloc,
                             .free = host_free,
                             .count = host_count,
                             .mask = host_mask,
                             .setting = host_setting,
                             .json = &json_host_ops};

/* ---- the steps for every kind --------------------------------------------------------------------- */

static void describe(const struct plug *p)
{
    struct buf out = BUF_INIT(0);
    on_step("its description is JSON with a schema");
    plug_about(p, &out);
    json_t *about = out.failed ? NULL : json_loads(out.data, 0, NULL);
    if (json_is_object(json_object_get(json_object_get(about, "config"), "properties"))) {
        on_pass();
    } else {
        on_fail("%.200s", buf_str(&out).s);
    }
    json_decref(about);
    buf_finish(&out);
}

static int attach(struct plug *p, const struct conf *c, struct plug_inst *ret)
{
    struct conf_problems problems = {.text = BUF_INIT(0)};
    tn_err err = TN_ERR_INIT;
    tn_rc rc = plug_attach(p, c, "", ret, &problems, &err);
    if (rc != TN_OK) {
        on_fail("%s%s%s", err.msg, problems.text.len != 0 ? "\n" : "", buf_str(&problems.text).s);
    } else {
        on_pass();
    }
    conf_problems_finish(&problems);
    return rc == TN_OK;
}

static void run_kind(const struct plug_inst *pi, const struct conform_call *calls, size_t ncalls)
{
    switch (pi->plug->desc.kind) {
    case TN_KIND_CONNECTOR:
        conform_connector(&to, pi, calls, ncalls);
        break;
    case TN_KIND_AUTH:
        conform_auth(&to, pi);
        break;
    default:
        on_step("the operations of kind %s", plug_kind_name(pi->plug->desc.kind));
        on_skip("they need a running hub; the integration tests cover them");
    }
}

static void run(const char *path, const struct conf *c, const struct conform_call *calls,
                size_t ncalls)
{
    struct plug *p = NULL;
    struct plug_inst first = {NULL, NULL, NULL}, second = {NULL, NULL, NULL};
    tn_err err = TN_ERR_INIT;
    on_step("the file opens and its descriptor keeps the contract");
    if (plug_open_file(path, NULL, NULL, &p, &err) != TN_OK) {
        on_fail("%s", err.msg);
        return;
    }
    on_pass();
    describe(p);
    on_step("load()");
    if (plug_load(p, &host, &err) != TN_OK) {
        if (p->desc.kind == TN_KIND_CONNECTOR || p->desc.kind == TN_KIND_AUTH) {
            on_fail("%s", err.msg);
        } else { /* those kinds may insist on the groups of a hub, which are NULL here */
            on_skip("%s", err.msg);
        }
        goto done;
    }
    on_pass();
    on_step("attach() with the configuration");
    if (!attach(p, c, &first)) {
        goto done;
    }
    on_step("attach() of a second instance beside it");
    if (attach(p, c, &second)) {
        on_step("detach() of the first; the second stays usable");
        plug_detach(&first);
        on_pass();
        run_kind(&second, calls, ncalls);
        on_step("detach()");
        plug_detach(&second);
        on_pass();
        on_step("attach() and detach() once more");
        if (attach(p, c, &first)) {
            plug_detach(&first);
        }
    }
    plug_detach(&first);
done:
    plug_close(p);
}

/* "key=value" cut at the first '='. */
static int take_pair(char *arg, char **ret_value)
{
    *ret_value = strchr(arg, '=');
    if (*ret_value != NULL) {
        *(*ret_value)++ = '\0';
    }
    return *ret_value != NULL;
}

int main(int argc, char **argv)
{
    struct conf c;
    struct conform_call calls[CALLS_MAX];
    size_t ncalls = 0;
    const char *path = NULL;
    conf_init(&c);
    for (int i = 1; i < argc; i++) {
        char *value = NULL;
        if (strcmp(argv[i], "--config") == 0 && i + 1 < argc && take_pair(argv[i + 1], &value)) {
            conf_set(&c, argv[++i], value, "--config");
        } else if (strcmp(argv[i], "--call") == 0 && i + 1 < argc && ncalls < CALLS_MAX) {
            take_pair(argv[++i], &value);
            calls[ncalls++] = (struct conform_call){argv[i], value};
        } else if (argv[i][0] != '-' && path == NULL) {
            path = argv[i];
        } else {
            fputs(usage, strcmp(argv[i], "--help") == 0 ? stdout : stderr);
            return strcmp(argv[i], "--help") == 0 ? 0 : 2;
        }
    }
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *real = path != NULL ? realpath(path, NULL) : NULL; /* dlopen searches for plain names */
    if (board == MAP_FAILED || real == NULL) {
        fprintf(stderr, "%s%s%s", path != NULL ? path : "",
                path != NULL ? ": cannot be found\n" : "", path != NULL ? "" : usage);
        return 2;
    }
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(120);
        run(real, &c, calls, ncalls);
        conf_finish(&c);
        free(real);
        exit(0); /* with the leak check of a sanitizer build */
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        perror("tenon-plugin-check");
        return 2;
    }
    if (WIFSIGNALED(status)) {
        on_fail("%s (signal %d)",
                WTERMSIG(status) == SIGALRM ? "hangs: stopped after 120 s" : "crashes",
                WTERMSIG(status));
    } else if (WEXITSTATUS(status) != 0 || board->open) {
        on_fail("ends the process with status %d", WEXITSTATUS(status));
    }
    printf("%s: %u passed, %u failed, %u skipped\n", path, board->passed, board->failed,
           board->skipped);
    conf_finish(&c);
    free(real);
    return board->failed != 0;
}
