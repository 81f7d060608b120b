/* SPDX-License-Identifier: Apache-2.0 */
/* Connectivity tests and queries of the debug panel run in a worker, with its plugins and its limits;
 * the hub only waits. helper thread -> loop -> worker -> loop -> helper thread. */
#include "connector.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CTX       api.host->ctx
#define SCRIPT    "_tenon__connector"
#define LIMIT_MS  15000 /* spec 1.6 */
#define MARGIN_MS 500   /* so that what happens at the call's own limit, in words, still comes */
#define VALUE_MAX (8 << 20) /* bytes of a result that the debug panel gets */
#define RUN_QUEUE 5         /* the debugger's workers: a dead server never holds up APIs */

/* A script that no user can see or edit; its functions are the worker's own (tenon_shim/probe.py). */
static const char code[] = "from tenon_shim.probe import test, query\n";

/* The answer comes after LIMIT_MS at the latest, whether the call waits for a worker or hangs in one. */
struct run {
    struct api_req *r;
    tn_call *call;
    tn_timer *limit;
    void (*done)(struct api_req *r, const struct connector_result *res);
    const char *func;
    char *args; /* JSON; holds secrets */
    int fd;     /* a result that was too long for a message, or -1 */
    uint64_t len;
    uint32_t kind; /* TN_VALUE_* */
    struct connector_result res;
    char refused[256];
};

static void run_free(struct run *p)
{
    if (p->args != NULL) {
        explicit_bzero(p->args, strlen(p->args));
        free(p->args);
    }
    if (p->fd >= 0) {
        close(p->fd);
    }
    json_decref(p->res.value);
    json_decref(p->res.error);
    free(p);
}

static void refuse(struct run *p, const char *why)
{
    size_t n = strlen(why);
    n = n < sizeof p->refused ? n : sizeof p->refused - 1;
    memcpy(p->refused, why, n);
    p->refused[n] = '\0';
    p->res.refused = p->refused;
}

static void take_value(struct run *p, const char *s, size_t n)
{
    if (p->kind == TN_VALUE_TEXT) {
        p->res.value = json_stringn(s != NULL ? s : "", n);
    } else if (n != 0) {
        p->res.value = json_loadb(s, n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        if (p->res.value == NULL) {
            refuse(p, "the result cannot be shown as JSON; ask for returnType repr");
        }
    }
}

/* Helper thread: a long result is read and parsed here. */
static void take_long_value(struct run *p)
{
    char *s = malloc(p->len), why[128];
    size_t n = 0;
    ssize_t got = 1;
    while (s != NULL && n < p->len && got > 0) {
        got = pread(p->fd, s + n, p->len - n, (off_t)n);
        n += got > 0 ? (size_t)got : 0;
    }
    if (s == NULL || n < p->len) {
        snprintf(why, sizeof why, "the result of %llu bytes cannot be read",
                 (unsigned long long)p->len);
        refuse(p, why);
    } else {
        take_value(p, s, n);
    }
    free(s);
}

static void finish(void *user)
{
    struct run *p = user;
    if (p->fd >= 0) {
        take_long_value(p);
        p->res.ok = p->res.refused == NULL;
    }
    p->done(p->r, &p->res);
    run_free(p);
}

static void finish_soon(struct run *p) /* loop thread */
{
    tn_err err = TN_ERR_INIT;
    if (p->limit != NULL) {
        api.host->loop->timer_free(CTX, p->limit);
        p->limit = NULL;
    }
    if (api.host->loop->defer(CTX, finish, p, &err) != TN_OK) {
        api_fail(p->r, ESysLimitReached, NULL, NULL, "The platform is busy: %s", err.msg);
        run_free(p);
    }
}

static void called(void *user, const tn_call_result *result)
{
    struct run *p = user;
    p->res.ok = result->status == TN_CALL_SUCCESS;
    p->kind = result->value_kind;
    p->res.timeout = result->status == TN_CALL_TIMEOUT || result->status == TN_CALL_EXPIRED;
    if (result->status == TN_CALL_OVERLOAD) {
        refuse(p, "all workers are busy, try again");
    } else if (p->res.ok && result->value_fd >= 0 && result->value_len <= VALUE_MAX) {
        p->fd = fcntl(result->value_fd, F_DUPFD_CLOEXEC, 0);
        p->len = result->value_len;
        if (p->fd < 0) {
            refuse(p, "no descriptor for the result, try again");
        }
    } else if (p->res.ok && result->value_fd >= 0) {
        char why[160];
        snprintf(
            why, sizeof why,
            "the result has %llu bytes, more than the %d MiB that are shown here; narrow the query down",
            (unsigned long long)result->value_len, VALUE_MAX >> 20);
        refuse(p, why);
    } else if (p->res.ok) {
        take_value(p, result->value.s, result->value.n);
    }
    p->res.ok = p->res.ok && p->res.refused == NULL;
    p->res.error = result->error.n != 0 ? json_loadb(result->error.s, result->error.n, 0, NULL)
                                        : NULL;
    finish_soon(p);
}

static void too_long(void *user)
{
    struct run *p = user;
    api.host->calls->orphan(CTX, p->call); /* it ends at its own deadline */
    p->res.timeout = true;
    finish_soon(p);
}

static void submit(void *user)
{
    struct run *p = user;
    tn_err err = TN_ERR_INIT;
    tn_call_req req = {
        .size = sizeof req,
        .script = TN_STR(SCRIPT),
        .func = text_of(p->func),
        .origin = TN_STR("connector"),
        .origin_id = TN_STR("UNKNOWN"),
        .args = text_of(p->args),
        .queue = RUN_QUEUE,
        .timeout_ms = LIMIT_MS - MARGIN_MS,
        .expires_ms = LIMIT_MS,
        .user = p,
        .done = called,
    };
    if (api.host->loop->timer(CTX, too_long, p, &p->limit, &err) != TN_OK ||
        api.host->calls->submit(CTX, &req, &p->call, &err) != TN_OK) {
        refuse(p, err.msg);
        finish_soon(p);
    } else {
        api.host->loop->timer_set(CTX, p->limit, api.host->now_ns() + (uint64_t)LIMIT_MS * 1000000);
    }
}

void connector_run(struct api_req *r, const char *func, json_t *args_take,
                   void (*done)(struct api_req *r, const struct connector_result *res))
{
    struct run *p = calloc(1, sizeof *p);
    char *args = json_dumps(args_take, JSON_COMPACT);
    json_decref(args_take);
    if (p == NULL || args == NULL) {
        free(p);
        free(args);
        api_fail(r, ESys, NULL, NULL, "Out of memory");
        return;
    }
    p->fd = -1;
    p->r = r;
    p->done = done;
    p->func = func;
    p->args = args;
    api.host->loop->post(CTX, submit, p);
}

tn_rc connector_run_start(tn_err *err)
{
    tn_rc rc = api.host->calls->code_put(CTX, TN_STR(SCRIPT), (tn_str){code, sizeof code - 1},
                                         (tn_str){NULL, 0}, err);
    if (rc == TN_OK) {
        api.host->calls->code_commit(CTX);
    }
    return rc;
}
