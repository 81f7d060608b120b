/* SPDX-License-Identifier: Apache-2.0 */
/* A host for a frontend without the rest of Tenon: a small event loop, the kernel's side of the
 * http table, and a few paths whose answers the tests and the benchmark know.
 *
 *   stub_host PLUGIN.so PORT DIR [key=value ...]     prints "READY", stops on SIGTERM
 *
 * Exit status 0 means: drained, and every request that began was released. */
#include "stub.h"

#include "kernel/base/err.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static const tn_plugin *plugin;
const tn_frontend_ops *ops;
void *inst;
const char *dir;
static volatile sig_atomic_t stopping;
struct stub_counts counts;

void die(const char *what, const char *why)
{
    fprintf(stderr, "stub_host: %s: %s\n", what, why);
    exit(1);
}

/* ---- the host ----------------------------------------------------------------------------------------- */

static void host_log(void *ctx, int32_t level, const char *fmt, ...)
{
    va_list ap;
    (void)ctx;
    va_start(ap, fmt);
    fprintf(stderr, "[%d] ", level);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}

static void *host_alloc(void *ctx, size_t n)
{
    (void)ctx;
    return malloc(n);
}

static void host_free(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

static void host_count(void *ctx, const char *metric, int64_t delta)
{
    (void)ctx;
    (void)metric;
    (void)delta;
}

static const char *host_setting(void *ctx, const char *name)
{
    (void)ctx;
    (void)name;
    return NULL;
}

static void host_random(void *buf, size_t n)
{
    uint8_t *p = buf;
    for (size_t i = 0; i < n; i++) {
        p[i] = (uint8_t)rand();
    }
}

static void host_random_id(char *ret, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ret[i] = "0123456789abcdefghijklmnopqrstuvwxyz"[rand() % 36];
    }
    ret[n] = '\0';
}

static const tn_host_auth host_auth = {
    .size = sizeof host_auth,
    .random = host_random,
    .random_id = host_random_id,
};
static const tn_host host = {
    .size = sizeof host,
    .abi_major = TN_ABI_MAJOR,
    .log = host_log,
    .fail = err_set,
    .now_ns = now_ns,
    .wall_us = wall_us,
    .alloc = host_alloc,
    .free = host_free,
    .count = host_count,
    .setting = host_setting,
    .loop = &host_loop,
    .http = &host_http,
    .auth = &host_auth,
};

/* ---- configuration and start ------------------------------------------------------------------------------------ */

static int64_t scaled(const char *text, const char *units, const int64_t *factor)
{
    char *end;
    int64_t n = strtoll(text, &end, 10);
    for (size_t i = 0; units[i] != '\0'; i++) {
        if (*end == units[i]) {
            return n * (end[1] == 's' && units[i] == 'm' ? 1 : factor[i]);
        }
    }
    return n;
}

static void set_field(const tn_field *f, char *conf, const char *text)
{
    static const int64_t ms[] = {1000, 60000, 3600000}, bytes[] = {1024, 1048576};
    void *at = conf + f->offset;
    switch (f->type) {
    case TN_C_BOOL:
        *(bool *)at = strcmp(text, "true") == 0;
        break;
    case TN_C_INT:
        *(int64_t *)at = strtoll(text, NULL, 10);
        break;
    case TN_C_STR:
        *(const char **)at = text;
        break;
    case TN_C_DUR:
        ((tn_dur *)at)->ms = scaled(text, "smh", ms);
        break;
    case TN_C_BYTES:
        ((tn_bytes *)at)->n = scaled(text, "kM", bytes);
        break;
    default:
        die(f->name, "unknown type");
    }
}

static void configure(char *conf, int n, char **settings)
{
    for (const tn_field *f = plugin->config; f->name != NULL; f++) {
        if (f->dflt != NULL) {
            set_field(f, conf, f->dflt);
        }
    }
    for (int i = 0; i < n; i++) {
        char *eq = strchr(settings[i], '=');
        const tn_field *f = plugin->config;
        while (f->name != NULL && (eq == NULL || strlen(f->name) != (size_t)(eq - settings[i]) ||
                                   strncmp(f->name, settings[i], strlen(f->name)) != 0)) {
            f++;
        }
        if (f->name == NULL) {
            die(settings[i], "no such setting");
        }
        set_field(f, conf, eq + 1);
    }
}

static int listen_on(int port)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr = {htonl(INADDR_LOOPBACK)}};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 1024) != 0) {
        die("listen", strerror(errno));
    }
    return fd;
}

static void on_term(int sig)
{
    (void)sig;
    stopping = 1;
}

static void run(void)
{
    int draining = 0;
    uint64_t give_up = 0;
    for (;;) {
        if (stopping && !draining) {
            draining = 1;
            give_up = now_ns() + 5000000000u;
            ops->drain(inst);
        }
        if (draining && (ops->active(inst) == 0 || now_ns() > give_up)) {
            return;
        }
        stub_turn();
    }
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        die("usage", "stub_host PLUGIN.so PORT DIR [key=value ...]");
    }
    void *so = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (so == NULL) {
        die(argv[1], dlerror());
    }
    tn_entry entry = NULL;
    *(void **)&entry = dlsym(so, TN_ENTRY);
    plugin = entry();
    ops = plugin->ops;
    dir = argv[3];
    stub_loop_init();
    char *conf = calloc(1, plugin->conf_size);
    inst = calloc(1, plugin->inst_size);
    configure(conf, argc - 4, argv + 4);
    struct rlimit rl;
    getrlimit(RLIMIT_NOFILE, &rl);
    rl.rlim_cur = rl.rlim_max < 20000 ? rl.rlim_max : 20000;
    setrlimit(RLIMIT_NOFILE, &rl);
    struct sigaction sa = {.sa_handler = on_term};
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    tn_err err = TN_ERR_INIT;
    int32_t fd = listen_on(atoi(argv[2]));
    if (plugin->load(&host, &err) != TN_OK || plugin->attach(inst, conf, &err) != TN_OK ||
        ops->start(inst, &fd, 1, &err) != TN_OK) {
        die("start", err.msg);
    }
    puts("READY");
    fflush(stdout);
    run();
    ops->stop(inst);
    stub_requests_release();
    plugin->detach(inst);
    int accepting = 0;
    socklen_t len = sizeof accepting;
    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepting, &len);
    bool ok = counts.begun == counts.released && accepting == 1 &&
              counts.begun == counts.answered + counts.aborted;
    fprintf(stderr, "begun %llu answered %llu aborted %llu released %llu listening %d\n",
            (unsigned long long)counts.begun, (unsigned long long)counts.answered,
            (unsigned long long)counts.aborted, (unsigned long long)counts.released, accepting);
    stub_requests_finish();
    stub_loop_finish();
    free(conf);
    free(inst);
    return ok ? 0 : 1;
}
