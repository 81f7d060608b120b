/* SPDX-License-Identifier: Apache-2.0 */
/* Calls: taken over, queued, completed exactly once. The broker's public functions. */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/fd.h"
#include "kernel/base/log.h"
#include "kernel/base/rnd.h"
#include "kernel/base/str.h"
#include "kernel/hub/broker_int.h"
#include "kernel/hub/metrics.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FREE_CALLS_MAX 256u         /* kept for reuse */
#define ARGS_MAX       (1ull << 30) /* bytes of all sections of a call */
#define RETRY_MS       1000u        /* advice with an overload */
#define TIMEOUT_MIN_MS 1u
#define TIMEOUT_MAX_MS 3600000u

int64_t broker_wall(struct broker *b, uint64_t now)
{
    if (b->wall_read_ns == 0 || now - b->wall_read_ns > NS_PER_S) {
        b->wall_read_ns = now;
        b->wall_offset_us = clock_wall_us() - (int64_t)(now / 1000);
    }
    return (int64_t)(now / 1000) + b->wall_offset_us;
}

/* ---- call objects ----------------------------------------------------------------------------------- */

static tn_call *call_new(struct broker *b)
{
    tn_call *c;
    if (!list_empty(&b->free_calls)) {
        c = list_entry(list_pop_front(&b->free_calls), tn_call, node);
        b->nfree--;
    } else {
        c = malloc(sizeof(*c));
        if (!c) {
            return NULL;
        }
    }
    memset(c, 0, offsetof(tn_call, small));
    list_init(&c->node);
    c->b = b;
    c->fd = -1;
    c->frame = c->small;
    buf_init(&c->logs, IPC_LOG_MAX + 4096);
    b->ncalls++;
    return c;
}

static void call_free(tn_call *c)
{
    struct broker *b = c->b;
    if (c->frame != c->small) {
        free(c->frame);
    }
    buf_finish(&c->logs);
    free(c->http);
    fd_close(&c->fd);
    c->state = CALL_FREE;
    b->ncalls--;
    if (b->nfree < FREE_CALLS_MAX) {
        list_push_front(&b->free_calls, &c->node);
        b->nfree++;
    } else {
        free(c);
    }
}

uint32_t call_estimate(const struct broker *b, uint32_t cell)
{
    uint32_t ns = b->cost[cell];
    return ns ? ns : UNKNOWN_NS;
}

/* Sections that do not fit into a frame: one sealed memfd. */
static tn_rc put_sections(const tn_str s[IPC_S_CALL_N], int *ret_fd, tn_err *err)
{
    int fd = memfd_create("tenon-call", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) {
        return err_sys(err, errno, "memory for a large call");
    }
    for (unsigned i = 0; i < IPC_S_CALL_N; i++) {
        if (s[i].n && fd_write_all(fd, s[i].s, s[i].n) < 0) {
            goto undo_fd;
        }
    }
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)) {
        goto undo_fd;
    }
    *ret_fd = fd;
    return TN_OK;

undo_fd:;
    tn_rc rc = err_sys(err, errno, "writing a large call");
    fd_close(&fd);
    return rc;
}

static tn_rc encode(tn_call *c, const tn_call_req *req, tn_err *err)
{
    struct broker *b = c->b;
    const tn_str s[IPC_S_CALL_N] = {str_of(c->task_id), req->script,    req->func,
                                    req->origin,        req->origin_id, req->args,
                                    req->http,          req->vars,      req->code};
    struct ipc_call f = {.f = {.type = IPC_CALL},
                         .generation = b->generation,
                         .data_gen = b->data_gen,
                         .deadline_ns = 0,
                         .trigger_us = req->trigger_us ? req->trigger_us : c->trigger_us,
                         .timeout_ms = c->timeout_ms,
                         .flags = req->flags | (req->http_text != NULL ? IPC_CALL_HTTP : 0),
                         .queue = req->queue,
                         .result_ttl = req->result_ttl,
                         .expires_ms = req->expires_seen_ms ? req->expires_seen_ms
                                                            : req->expires_ms};
    uint64_t total = 0;
    for (unsigned i = 0; i < IPC_S_CALL_N; i++) {
        total += s[i].n;
        if (s[i].n > ARGS_MAX || total > ARGS_MAX) {
            return err_set(err, TN_E_LIMIT, "the call's arguments are larger than %llu bytes",
                           (unsigned long long)ARGS_MAX);
        }
        f.len[i] = (uint32_t)s[i].n;
    }
    c->size = ipc_call_size(f.len);
    if (c->size == 0) {
        tn_rc rc = put_sections(s, &c->fd, err);
        if (rc) {
            return rc;
        }
        c->size = sizeof(f);
        f.f.flags = IPC_F_FD;
    } else if (c->size > SMALL_FRAME) {
        c->frame = malloc(c->size);
        if (!c->frame) {
            c->frame = c->small;
            return err_set(err, TN_E_NOMEM, "call of %u bytes: out of memory", c->size);
        }
    }
    f.f.size = c->size;
    memcpy(c->frame, &f, sizeof(f));
    if (!f.f.flags) {
        unsigned char *p = c->frame + sizeof(f);
        for (unsigned i = 0; i < IPC_S_CALL_N; i++) {
            if (s[i].n) {
                memcpy(p, s[i].s, s[i].n);
                p += s[i].n;
            }
        }
        memset(p, 0, (size_t)(c->frame + c->size - p));
    }
    return TN_OK;
}

/* ---- submit ------------------------------------------------------------------------------------------- */

static tn_rc check_req(struct broker *b, const tn_call_req *req, struct group **ret, tn_err *err)
{
    if (b->draining || b->closing) {
        return err_set(err, TN_E_UNAVAIL, "the platform is stopping");
    }
    if (req->queue >= sizeof(b->by_queue) / sizeof(*b->by_queue) || !b->by_queue[req->queue]) {
        return err_set(err, TN_E_INVAL, "no worker group serves queue %u", req->queue);
    }
    if (req->timeout_ms < TIMEOUT_MIN_MS || req->timeout_ms > TIMEOUT_MAX_MS) {
        return err_set(err, TN_E_INVAL, "timeout of %u ms (expected %u..%u)", req->timeout_ms,
                       TIMEOUT_MIN_MS, TIMEOUT_MAX_MS);
    }
    if (req->task_id.n >= sizeof(((tn_call *)0)->task_id)) {
        return err_set(err, TN_E_INVAL, "a call's task id has %zu bytes (at most %zu)",
                       req->task_id.n, sizeof(((tn_call *)0)->task_id) - 1);
    }
    struct group *g = b->by_queue[req->queue];
    if (g->npending >= g->conf.queue_max) {
        b->totals[TN_CALL_OVERLOAD]++;
        return err_set(err, TN_E_LIMIT, "%u calls are waiting in group \"%s\" already", g->npending,
                       g->conf.name);
    }
    *ret = g;
    return TN_OK;
}

tn_rc broker_submit(struct broker *b, const tn_call_req *req, tn_call **ret, tn_err *err)
{
    struct group *g = NULL;
    tn_rc rc = check_req(b, req, &g, err);
    if (rc) {
        return rc;
    }
    tn_call *c = call_new(b);
    if (!c) {
        return err_set(err, TN_E_NOMEM, "call: out of memory");
    }
    if (req->task_id.n) {
        memcpy(c->task_id, req->task_id.s, req->task_id.n);
        c->task_id[req->task_id.n] = '\0';
    } else {
        memcpy(c->task_id, "task-", 5);
        rnd_id(c->task_id + 5, 12);
    }
    c->log = req->log;
    c->http_text = req->http_text;
    c->group = g;
    c->user = req->user;
    c->done = req->done;
    c->timeout_ms = req->timeout_ms;
    c->queued_ns = clock_mono_ns();
    c->trigger_us = broker_wall(b, c->queued_ns);
    c->expires_ns = req->expires_ms ? c->queued_ns + req->expires_ms * NS_PER_MS : 0;
    uint64_t h = map_hash(req->script.s, req->script.n);
    h = (h << 7 | h >> 57) ^ map_hash(req->func.s, req->func.n);
    c->cell = (uint32_t)(h & (COST_CELLS - 1));
    c->figures = b->metrics && !(req->flags & (TN_CALL_DEBUG | TN_CALL_NO_FUNC))
                     ? metrics_of(b->metrics, req->script, req->func, h)
                     : NULL;
    rc = encode(c, req, err);
    if (rc) {
        call_free(c);
        return rc;
    }
    /* A large call is never put behind another one: its descriptor could not be taken back. */
    c->est_ns = c->fd >= 0 ? (uint32_t)WINDOW_NS : UNKNOWN_NS;
    c->state = CALL_QUEUED;
    list_push_back(&g->pending, &c->node);
    g->npending++;
    b->nqueued++;
    group_dispatch_at(g, c->queued_ns);
    if (c->state == CALL_QUEUED) {
        deadline_call(c);
    }
    *ret = c;
    return TN_OK;
}

void broker_orphan(struct broker *b, tn_call *c)
{
    (void)b;
    if (c->state == CALL_QUEUED) {
        list_del(&c->node);
        c->group->npending--;
        b->nqueued--;
        deadline_call_off(c);
        b->totals[TN_CALL_CANCELED]++;
        call_free(c);
        broker_check_drained(b);
    } else {
        call_keep_request(c);
        c->orphan = 1; /* freed when its worker let go of it */
    }
}

/* ---- completion ----------------------------------------------------------------------------------------- */

static void count_figures(const tn_call *c, const struct outcome *o)
{
    if (c->figures) {
        int64_t run = o->cost_us    ? (int64_t)o->cost_us
                      : o->start_us ? clock_wall_us() - o->start_us
                                    : -1;
        metrics_ended(c->figures, o->status, run, o->start_us - c->trigger_us);
    }
}

void call_complete(tn_call *c, const struct outcome *o)
{
    struct broker *b = c->b;
    if (c->cancel && o->status != TN_CALL_CANCELED) {
        /* Whatever its last words were. What it had reached by itself counts. */
        struct outcome canceled = *o;
        if (o->status == TN_CALL_TIMEOUT || o->status == TN_CALL_CRASHED) {
            canceled.status = TN_CALL_CANCELED;
        }
        c->cancel = 0;
        call_complete(c, &canceled);
        return;
    }
    deadline_call_off(c);
    if (c->state == CALL_QUEUED) {
        c->group->npending--;
        b->nqueued--;
    } else {
        b->nclaimed--;
    }
    c->state = CALL_DONE;
    b->totals[o->status]++;
    count_figures(c, o);
    if (!c->orphan && c->done) {
        tn_call_result r = {.size = sizeof(r),
                            .status = o->status,
                            .value_kind = o->value_kind,
                            .retry_ms = o->retry_ms,
                            .task_id = str_of(c->task_id),
                            .value = o->value,
                            .value_fd = o->value.s || !o->value_len ? -1 : o->value_fd,
                            .cost_us = o->cost_us,
                            .value_len = o->value_len,
                            .control = o->control,
                            .error = o->error,
                            .logs = buf_str(&c->logs),
                            .trigger_us = c->trigger_us,
                            .start_us = o->start_us,
                            .end_us = o->end_us ? o->end_us : clock_wall_us(),
                            .peak_bytes = o->peak_bytes,
                            .outside = (uint32_t)c->outside};
        if (r.start_us && (r.start_us < r.trigger_us || r.start_us > r.end_us)) {
            r.start_us = r.start_us < r.trigger_us ? r.trigger_us : r.end_us;
        }
        c->done(c->user, &r);
    }
    call_free(c);
    broker_check_drained(b);
}

void call_fail(tn_call *c, uint32_t status, const char *type, const char *traceback,
               int64_t start_us, const char *fmt, ...)
{
    char text[512];
    struct buf e = BUF_INIT(256u << 10);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    buf_adds(&e, "{\"exception\":");
    buf_quote(&e, str_of(text));
    buf_adds(&e, ",\"exceptionType\":");
    buf_quote(&e, str_of(type));
    buf_adds(&e, ",\"traceback\":");
    buf_quote(&e, str_of(traceback ? traceback : ""));
    buf_addc(&e, '}');
    struct outcome o = {.status = status,
                        .retry_ms = status == TN_CALL_OVERLOAD ? RETRY_MS : 0,
                        .error = buf_str(&e),
                        .start_us = start_us};
    call_complete(c, &o);
    buf_finish(&e);
}

void call_requeue_front(tn_call *c)
{
    struct broker *b = c->b;
    b->nclaimed--;
    if (c->orphan) {
        b->totals[TN_CALL_CANCELED]++;
        call_free(c);
        broker_check_drained(b);
        return;
    }
    b->requeues++;
    c->state = CALL_QUEUED;
    buf_clear(&c->logs);
    list_push_front(&c->group->pending, &c->node);
    c->group->npending++;
    b->nqueued++;
    deadline_call(c);
}

/* ---- life -------------------------------------------------------------------------------------------------- */

void broker_generation(struct broker *b, uint64_t generation)
{
    b->generation = generation;
}

void broker_data_gen(struct broker *b, uint64_t data_gen)
{
    b->data_gen = data_gen;
}

void broker_check_drained(struct broker *b)
{
    if (b->draining == 1 && b->nqueued + b->nclaimed == 0) {
        b->draining = 2;
        broker_soon(b); /* never from inside a completion */
    }
}

void broker_drain(struct broker *b, void (*done)(void *), void *user)
{
    if (!b->draining) {
        b->draining = 1;
        b->drained = done;
        b->drained_user = user;
        broker_check_drained(b);
    }
}

static tn_rc init_groups(struct broker *b, const struct broker_conf *conf, tn_err *err)
{
    b->groups = calloc(conf->ngroups, sizeof(*b->groups));
    if (!b->groups) {
        return err_set(err, TN_E_NOMEM, "broker: out of memory");
    }
    for (unsigned i = 0; i < conf->ngroups; i++) {
        struct group *g = &b->groups[i];
        b->ngroups++;
        tn_rc rc = group_init(g, b, &conf->groups[i], err);
        if (rc) {
            return rc;
        }
        for (unsigned q = 0; q < sizeof(b->by_queue) / sizeof(*b->by_queue); q++) {
            if (g->conf.queues & 1u << q) {
                b->by_queue[q] = g;
            }
        }
    }
    return TN_OK;
}

tn_rc broker_create(struct loop *l, const struct broker_conf *conf,
                    const struct broker_hooks *hooks, struct broker **ret, tn_err *err)
{
    struct broker *b = calloc(1, sizeof(*b));
    if (!b) {
        return err_set(err, TN_E_NOMEM, "broker: out of memory");
    }
    b->loop = l;
    b->hooks = *hooks;
    b->grace_ns = conf->grace_ns ? conf->grace_ns : NS_PER_S;
    b->metrics = conf->metrics;
    b->worker_calls = conf->worker_calls;
    b->young_ns = conf->young_ns;
    b->idle_ns = conf->idle_ns ? conf->idle_ns : IDLE_NS;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    b->processors = cores > 2 ? (unsigned)cores - 1 : 1;
    b->zygote = -1;
    b->next_link = 1;
    list_init(&b->links);
    list_init(&b->spares);
    list_init(&b->other);
    list_init(&b->free_calls);
    list_init(&b->unsent);
    map_init(&b->preloads);
    tn_rc rc = deadline_init(b, err);
    if (!rc) {
        rc = init_groups(b, conf, err);
    }
    if (rc) {
        broker_destroy(b);
        return rc;
    }
    *ret = b;
    return TN_OK;
}

void broker_destroy(struct broker *b)
{
    if (!b) {
        return;
    }
    b->closing = 1;
    b->drained = NULL;
    list_for_each_safe(it, &b->links) {
        struct link *l = list_entry(it, struct link, all);
        /* what its worker has not begun it will not begin: that may run elsewhere */
        link_revoke(l);
        while (!list_empty(&l->sent)) {
            tn_call *c = list_entry(list_pop_front(&l->sent), tn_call, node);
            call_fail(c, TN_CALL_CANCELED, "Cancelled", NULL, clock_wall_us(),
                      "the platform is stopping");
        }
        if (l->lost) {
            call_fail(l->lost, TN_CALL_CANCELED, "Cancelled", NULL, l->lost_us,
                      "the platform is stopping");
            l->lost = NULL;
        }
        link_free(l); /* its worker sees the end of the socket and leaves */
    }
    for (unsigned i = 0; i < b->ngroups; i++) {
        group_finish(&b->groups[i]);
    }
    zygote_close(b);
    preload_finish(b);
    buf_finish(&b->jail);
    deadline_finish(b);
    for (struct list *n; (n = list_pop_front(&b->free_calls));) {
        free(list_entry(n, tn_call, node));
    }
    free(b->groups);
    free(b);
}
