/* SPDX-License-Identifier: Apache-2.0 */
/* tenon doctor: collects what this program, tenond and tenon-worker find about the machine, and shows it. */
#include "kernel/base/buf.h"
#include "kernel/base/clock.h"
#include "kernel/base/fd.h"
#include "kernel/base/finding.h"
#include "kernel/base/str.h"
#include "kernel/cli/cli.h"
#include "kernel/conf/settings.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUTPUT_MAX (1u << 20)
#define PATIENCE   (60 * NS_PER_S)

struct report {
    json_t *findings;         /* array, in the order they are shown */
    json_t *isolation, *kept; /* as found here; as the running platform found it */
    int running;
    unsigned count[FINDING_STATES];
    unsigned usage; /* what is wrong with the command line itself */
};

static enum finding_state state_of(const char *name)
{
    for (int i = 0; name && i < FINDING_STATES; i++) {
        if (strcmp(name, finding_state_name((enum finding_state)i)) == 0) {
            return (enum finding_state)i;
        }
    }
    return FINDING_FAIL;
}

static void add(struct report *r, json_t *finding)
{
    r->count[state_of(json_string_value(json_object_get(finding, "state")))]++;
    json_array_append_new(r->findings, finding);
}

/* Lines of JSON become findings; returns the last line that was none. */
static tn_str take(struct report *r, tn_str text)
{
    tn_str line, rest = text, other = TN_STR("");
    while (str_split(&rest, '\n', &line)) {
        json_t *j = line.n && line.s[0] == '{' ? json_loadb(line.s, line.n, 0, NULL) : NULL;
        json_t *isolation = json_object_get(j, "isolation"), *kept = json_object_get(j, "kept");
        const char *check = json_string_value(json_object_get(j, "check"));
        if (check) {
            const char *why = json_string_value(json_object_get(j, "why"));
            r->running |= strcmp(check, "platform") == 0 && why && strncmp(why, "runs", 4) == 0;
            add(r, json_incref(j));
        } else if (isolation) {
            r->isolation = json_incref(isolation);
        } else if (kept) {
            r->kept = json_incref(kept);
        } else if (line.n) {
            other = line;
        }
        json_decref(j);
    }
    return other;
}

static void take_buf(struct report *r, struct buf *b)
{
    take(r, buf_str(b));
    buf_clear(b);
}

/* ---- the other programs -------------------------------------------------------------------------------- */

/* Everything it says until it ends or time is up; its wait status. */
static int listen_to(pid_t pid, int fd, struct buf *text)
{
    int status = -1;
    uint64_t end = clock_mono_ns() + PATIENCE;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        uint64_t now = clock_mono_ns();
        int ready = now < end ? poll(&p, 1, (int)((end - now) / NS_PER_MS) + 1) : 0;
        char *at = buf_reserve(text, 4096);
        ssize_t n = ready > 0 && at ? read(fd, at, 4096) : 0;
        if (n > 0) {
            text->len += (size_t)n;
            text->data[text->len] = '\0';
        } else if (!(n < 0 && errno == EINTR) && !(ready < 0 && errno == EINTR)) {
            if (now >= end) {
                kill(pid, SIGKILL);
            }
            break;
        }
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    return status;
}

static void ask(struct report *r, const char *program, char **options)
{
    char path[PATH_MAX + 32], *args[256] = {path, (char *)"--doctor"};
    struct buf text = BUF_INIT(OUTPUT_MAX), say = BUF_INIT(65536);
    int fds[2], n = 2, status = -1;
    ssize_t len = readlink("/proc/self/exe", path, PATH_MAX - 1);
    path[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(path, '/');
    snprintf(slash ? slash + 1 : path, 32, "%s", program);
    while (*options && n < 255) {
        args[n++] = *options++;
    }
    if (pipe2(fds, O_CLOEXEC) == 0) {
        pid_t pid = fork();
        if (pid == 0) {
            dup2(fds[1], STDOUT_FILENO);
            dup2(fds[1], STDERR_FILENO);
            execv(path, args);
            _exit(127);
        }
        close(fds[1]);
        status = pid > 0 ? listen_to(pid, fds[0], &text) : -1;
        close(fds[0]);
    }
    tn_str last = take(r, buf_str(&text));
    if (status) {
        finding_put(&say, program, FINDING_FAIL,
                    "reinstall the platform; its programs belong into one folder",
                    "%s --doctor %s %d%s%.*s", path,
                    WIFSIGNALED(status) ? "was ended by signal" : "ended with code",
                    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
                    last.n ? ": " : "", (int)last.n, last.s);
        take_buf(r, &say);
    }
    buf_finish(&say);
    buf_finish(&text);
}

/* ---- isolation -------------------------------------------------------------------------------------------- */

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

/* Layers that are missing fail only where all were demanded: the platform starts without, and says so. */
static void add_layers(struct report *r)
{
    json_t *found = r->running && r->kept ? r->kept : r->isolation, *layer;
    int required = strcmp(text_of(found, "sandbox"), "required") == 0;
    struct buf b = BUF_INIT(65536);
    const char *name;
    json_object_foreach(json_object_get(found, "layers"), name, layer)
    {
        char check[64];
        int on = strcmp(text_of(layer, "state"), "on") == 0;
        int off = strcmp(text_of(layer, "state"), "off") == 0;
        int wanted = json_is_true(json_object_get(layer, "wanted"));
        snprintf(check, sizeof(check), "isolation: %.40s", name);
        finding_put(&b, check,
                    on         ? FINDING_OK
                    : !wanted  ? FINDING_NOTE
                    : required ? FINDING_FAIL
                               : FINDING_WARN,
                    text_of(layer, "advice"), "%s%s",
                    on    ? ""
                    : off ? "missing: "
                          : "in part: ",
                    text_of(layer, "why"));
    }
    if (found) {
        finding_put(&b, "isolation", FINDING_NOTE, "", "%s, workers run as %s; %s",
                    text_of(found, "level"), text_of(found, "user"),
                    found == r->kept
                        ? "as the running platform found it"
                        : "as seen from this shell, a service may be given more or less");
    }
    take_buf(r, &b);
    buf_finish(&b);
}

/* ---- showing --------------------------------------------------------------------------------------------- */

static void show(const struct report *r)
{
    size_t i;
    json_t *f;
    json_array_foreach(r->findings, i, f)
    {
        const char *advice = text_of(f, "advice");
        printf("%-5s %-22s %s\n", text_of(f, "state"), text_of(f, "check"), text_of(f, "why"));
        if (*advice) {
            printf("%-5s %-22s   what helps: %s\n", "", "", advice);
        }
    }
    printf("%u ok, %u notes, %u warnings, %u failures\n", r->count[FINDING_OK],
           r->count[FINDING_NOTE], r->count[FINDING_WARN], r->count[FINDING_FAIL]);
}

static void examine(struct report *r, int argc, char **argv)
{
    struct settings s;
    struct conf_problems problems = {.text = BUF_INIT(1u << 20)};
    struct buf b = BUF_INIT(OUTPUT_MAX);
    tn_rc rc = settings_load(&s, NULL, argc, argv, &problems);
    r->usage = problems.usage;
    tn_str rest = buf_str(&problems.text), line;
    while (str_split(&rest, '\n', &line)) {
        if (line.n) {
            finding_put(&b, "configuration", rc ? FINDING_FAIL : FINDING_WARN, "", "%.*s",
                        (int)line.n, line.s);
        }
    }
    if (!problems.text.len) {
        finding_put(&b, "configuration", rc ? FINDING_FAIL : FINDING_OK, "",
                    rc ? "unusable" : "valid");
    }
    if (!rc) {
        checks_system(&s, &b);
        take_buf(r, &b);
        ask(r, "tenond", argv);
        ask(r, "tenon-worker", argv);
        add_layers(r);
        checks_plugins(&s, &b);
    }
    take_buf(r, &b);
    buf_finish(&b);
    buf_finish(&problems.text);
    settings_finish(&s);
}

int cli_doctor(int argc, char **argv)
{
    struct report r = {.findings = json_array()};
    int json = 0, n = 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            json = 1;
        } else if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            printf(
                "usage: tenon doctor [--json] [--SETTING VALUE ...]\n\n"
                "Checks whether the platform can run here with these settings: configuration, data folder,\n"
                "disk, ports, limits, time, the interpreter, every layer of the workers' isolation, plugins.\n"
                "Run it as the user of the platform. Ends with 1 when something fails, else with 0.\n");
            json_decref(r.findings);
            return 0;
        } else {
            argv[n++] = argv[i];
        }
    }
    argv[n] = NULL;
    examine(&r, n - 1, argv + 1);
    if (json) {
        json_t *all = json_pack("{s:b, s:O, s:O?}", "ok", r.count[FINDING_FAIL] == 0, "findings",
                                r.findings, "isolation",
                                r.running && r.kept ? r.kept : r.isolation);
        json_dumpf(all, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(all);
    } else {
        show(&r);
    }
    json_decref(r.findings);
    json_decref(r.isolation);
    json_decref(r.kept);
    return r.usage != 0 ? 2 : r.count[FINDING_FAIL] ? 1 : 0;
}
