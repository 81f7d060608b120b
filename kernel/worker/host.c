/* SPDX-License-Identifier: Apache-2.0 */
/* What connector plugins of a worker get from the kernel: the core table and JSON; no loop, no store. */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"
#include "kernel/conf/settings.h"
#include "kernel/value/json.h"
#include "kernel/worker/connectors.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One for each plugin: lines name who speaks. Lives as long as the process. */
struct guest {
    struct guest *next;
    const struct plug *plug;
    const struct settings *settings;
    tn_host host;
};

static void guest_log(void *ctx, int32_t level, const char *fmt, ...)
{
    const struct guest *g = ctx;
    va_list ap;
    va_start(ap, fmt);
    log_from(level, g->plug->desc.name, fmt, ap);
    va_end(ap);
}

static void *guest_alloc(void *ctx, size_t n)
{
    (void)ctx;
    return malloc(n);
}

static void guest_free(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

/* The pools count what happens to connections; a worker has no other figures. */
static void guest_count(void *ctx, const char *metric, int64_t delta)
{
    (void)ctx;
    (void)metric;
    (void)delta;
}

static void guest_mask(void *ctx, tn_str secret)
{
    (void)ctx;
    log_mask(secret);
}

static const char *guest_setting(void *ctx, const char *name)
{
    return settings_dff(((const struct guest *)ctx)->settings, name);
}

/* A process runs one call at a time; threads of the script end with it. */
static tn_str calling_script, calling_func;

void connectors_calling(tn_str script, tn_str func)
{
    calling_script = script;
    calling_func = func;
}

static size_t guest_caller(void *ctx, char *ret, size_t cap)
{
    int n = 0;
    (void)ctx;
    if (cap != 0) {
        ret[0] = '\0';
        if (calling_script.n != 0) {
            n = snprintf(ret, cap, "%.*s.%.*s", (int)calling_script.n, calling_script.s,
                         (int)calling_func.n, calling_func.s);
        }
    }
    return n < 0 ? 0 : (size_t)n < cap ? (size_t)n : cap - 1;
}

/* They live as long as the process: a plugin may keep its table or not. */
static struct guest *guests;

static void load(struct plug *p, const struct settings *s)
{
    struct guest *g = calloc(1, sizeof *g);
    tn_err err = TN_ERR_INIT;
    if (g == NULL) {
        log_error("no memory for connector %s", p->desc.name);
        return;
    }
    g->plug = p;
    g->settings = s;
    g->host = (tn_host){.size = sizeof g->host,
                        .abi_major = TN_ABI_MAJOR,
                        .abi_minor = TN_ABI_MINOR,
                        .ctx = g,
                        .log = guest_log,
                        .fail = err_set,
                        .now_ns = clock_mono_ns,
                        .wall_us = clock_wall_us,
                        .alloc = guest_alloc,
                        .free = guest_free,
                        .count = guest_count,
                        .mask = guest_mask,
                        .setting = guest_setting,
                        .json = &json_host_ops,
                        .caller = guest_caller};
    if (plug_load(p, &g->host, &err) != TN_OK) {
        log_error("%s; connectors of this type cannot be used", err.msg);
        free(g);
        return;
    }
    g->next = guests;
    guests = g;
}

tn_rc connectors_load(const struct settings *s, struct plug_registry *r, struct pools **ret,
                      tn_err *err)
{
    tn_rc rc = plug_discover(r, s->plugins, err);
    if (rc == TN_OK) {
        rc = plug_open_all(r, 1u << TN_KIND_CONNECTOR, err);
    }
    for (size_t i = 0; rc == TN_OK && i < r->n; i++) {
        load(r->plugs[i], s); /* what is wrong with a file the hub has said already */
    }
    return rc == TN_OK ? pools_create(r, ret, err) : rc;
}
