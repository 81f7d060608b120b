/* SPDX-License-Identifier: Apache-2.0 */
/* The worker: takes one call after the other, claims it, runs it, replies. */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/fd.h"
#include "kernel/base/log.h"
#include "kernel/ipc/sock.h"
#include "kernel/pool/pool.h"
#include "kernel/worker/connectors.h"
#include "kernel/worker/worker_int.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define POOLS_TEXT_MAX (48u << 10) /* more pools than that are not told */
#define ERROR_MAX      (48u << 10) /* bytes of control or error: both fit into one frame */
#define KEEP_MAX       (1u << 20)  /* a larger reply buffer is given back after the call */
#define EXIT_BROKEN    70          /* the hub broke the protocol, or nothing could be set up */

volatile int *worker_self;

/* Takes call `seq`; 0 when it was revoked (see kernel/ipc/ring.h). */
static int claim(struct worker *w, uint64_t seq)
{
    if (seq < w->resume) {
        return 0;
    }
    for (;;) {
        uint64_t last = seq - 1;
        if (atomic_compare_exchange_strong(&w->page->claim, &last, seq)) {
            return 1;
        }
        if (!(last & IPC_REVOKED)) {
            log_error("claim word is %llu, cannot take call %llu", (unsigned long long)last,
                      (unsigned long long)seq);
            _exit(EXIT_BROKEN);
        }
        w->resume = atomic_load(&w->page->resume);
        atomic_store(&w->page->claim, w->resume - 1);
        if (seq < w->resume) {
            return 0;
        }
    }
}

static void run(struct worker *w, const struct ipc_call *c, const tn_str s[IPC_S_CALL_N],
                struct lang_reply *r)
{
    static int64_t wall_offset_us; /* wall clock minus monotonic, refreshed once a second */
    static uint64_t wall_read_ns;
    uint64_t start = clock_mono_ns();
    if (start - wall_read_ns > NS_PER_S) {
        wall_read_ns = start;
        wall_offset_us = clock_wall_us() - (int64_t)(start / 1000);
    }
    const struct lang_call call = {
        .task_id = s[IPC_S_TASK],
        .script = s[IPC_S_SCRIPT],
        .func = s[IPC_S_FUNC],
        .origin = s[IPC_S_ORIGIN],
        .origin_id = s[IPC_S_ORIGIN_ID],
        .args = s[IPC_S_ARGS],
        .http = s[IPC_S_HTTP],
        .vars = s[IPC_S_VARS],
        .code = s[IPC_S_CODE],
        .generation = c->generation,
        .data_gen = c->data_gen,
        .trigger_us = c->trigger_us,
        .start_us = (int64_t)(start / 1000) + wall_offset_us,
        .start_ns = start,
        .timeout_ms = c->timeout_ms,
        .flags = c->flags,
        .queue = c->queue,
        .result_ttl = c->result_ttl,
        .expires_ms = c->expires_ms,
    };
    atomic_store_explicit(&w->page->started_ns, start, memory_order_relaxed);
    w->seq = c->f.seq;
    w->soft_hit = 0;
    atomic_store_explicit(&w->soft_at, start + c->timeout_ms * NS_PER_MS, memory_order_relaxed);
    connectors_calling(call.script, call.func);
    w->conf->lang->run(&call, r);
    connectors_calling((tn_str){NULL, 0}, (tn_str){NULL, 0});
    atomic_store_explicit(&w->soft_at, 0, memory_order_relaxed);
    if (!worker_is_self()) {
        _exit(0); /* a child that the script forked came back: it must not speak for us */
    }
    atomic_store_explicit(&w->page->started_ns, 0, memory_order_relaxed);
    uint64_t end = r->end_ns ? r->end_ns : clock_mono_ns();
    reply_send(w, r, call.start_us, end - start);
    reply_signal(w, end,
                 atomic_load_explicit(&w->page->calls.tail, memory_order_acquire) == w->calls_head);
    if (!scratch_clean(&w->scratch) || r->retire) {
        _exit(0); /* what the script left running ends with us; unclaimed calls go elsewhere */
    }
}

/* One frame out of the ring: 1 done, 0 the ring is empty. */
static int step(struct worker *w, unsigned char *frame, struct lang_reply *r)
{
    tn_err err = TN_ERR_INIT;
    tn_str s[IPC_S_CALL_N];
    struct ipc_call c;
    int64_t n = ipc_ring_take(&w->page->calls, &w->calls_head, frame, IPC_FRAME_MAX);
    if (n == 0) {
        return 0;
    }
    if (n < 0 || ipc_call_parse(frame, (size_t)n, s, &err)) {
        log_error("the hub sent a broken frame: %s", n < 0 ? "ring out of bounds" : err.msg);
        _exit(EXIT_BROKEN);
    }
    memcpy(&c, frame, sizeof(c));
    if (!claim(w, c.f.seq)) {
        return 1;
    }
    buf_clear(&r->value);
    buf_clear(&r->control);
    buf_clear(&r->error);
    r->status = TN_CALL_SUCCESS;
    r->value_kind = TN_VALUE_NONE;
    r->peak_bytes = 0;
    r->end_ns = 0;
    r->retire = 0;
    if (!(c.f.flags & IPC_F_FD)) {
        run(w, &c, s, r);
    } else {
        uint64_t size;
        int fd = channel_call_fd(w, c.f.seq);
        if (fd < 0 || fd_memfd_size(fd, &size)) {
            log_error("the sections of call %llu did not arrive", (unsigned long long)c.f.seq);
            _exit(EXIT_BROKEN);
        }
        void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        close(fd);
        if (p == MAP_FAILED || !ipc_sections(c.len, IPC_S_CALL_N, p, size, s)) {
            log_error("cannot read the sections of call %llu", (unsigned long long)c.f.seq);
            _exit(EXIT_BROKEN);
        }
        run(w, &c, s, r);
        munmap(p, size);
    }
    if (r->value.cap > KEEP_MAX) {
        buf_finish(&r->value);
        buf_init(&r->value, w->conf->result_max);
    }
    return 1;
}

static const char *env_setting(void *ctx, const char *name)
{
    struct worker *w = ctx;
    return w->conf->setting ? w->conf->setting(w->conf->setting_ctx, name) : NULL;
}

static tn_rc setup(struct worker *w, int pagefd, tn_err *err)
{
    if (ipc_page_map(pagefd, &w->page)) {
        return err_sys(err, errno, "mapping the worker's page");
    }
    int *self = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (self == MAP_FAILED || madvise(self, 4096, MADV_WIPEONFORK)) {
        return err_sys(err, errno, "marking the worker's own process");
    }
    *self = 1;
    worker_self = self;
    tn_rc rc = worker_confine(w->conf, &w->slot, &w->sock, &w->scratch, err); /* closes pagefd */
    if (rc) {
        return rc;
    }
    channel_init(w);
    signals_init(w);
    scratch_watch(&w->scratch);
    w->env = (struct lang_env){.ctx = w,
                               .ask = channel_ask,
                               .print = reply_print,
                               .log = log_env,
                               .setting = env_setting,
                               .pools = w->conf->pools,
                               .limit = limits_explain,
                               .scratch = w->scratch.path};
    return w->conf->lang->child(&w->env, err);
}

/* Between two calls: closes idle connections, and tells the hub the figures of the pools when they have
 * changed, once a second at most. When to come again, 0 = never. */
static uint64_t care_for_pools(struct worker *w)
{
    uint64_t again = pools_sweep(w->conf->pools), now = clock_mono_ns();
    struct buf b = BUF_INIT(POOLS_TEXT_MAX);
    if (!pools_used(w->conf->pools)) {
        return again;
    }
    if (now < w->pools_at) {
        return again && again < w->pools_at ? again : w->pools_at;
    }
    buf_printf(&b, "{\"pid\":%d,\"pools\":", (int)w->pid);
    uint64_t sum = pools_status(w->conf->pools, &b);
    buf_addc(&b, '}');
    if (sum != w->pools_told && !b.failed && channel_tell(w, "pools.put", buf_str(&b)) == 0) {
        w->pools_told = sum;
        w->pools_at = now + NS_PER_S;
    }
    buf_finish(&b);
    return again;
}

_Noreturn void worker_main(const struct worker_conf *conf, const struct jail_slot *slot, int sock,
                           int pagefd)
{
    static struct worker w;
    static _Alignas(16) unsigned char frame[IPC_FRAME_MAX];
    tn_err err = TN_ERR_INIT;
    struct lang_reply r = {.value = BUF_INIT(conf->result_max),
                           .control = BUF_INIT(ERROR_MAX / 3),
                           .error = BUF_INIT(ERROR_MAX)};
    w.conf = conf;
    w.slot = *slot;
    w.sock = sock;
    w.pid = getpid();
    w.resume = 1;
    if (setup(&w, pagefd, &err)) {
        log_error("worker cannot start: %s", err.msg);
        _exit(EXIT_BROKEN);
    }
    struct ipc_msg ready = {.type = IPC_M_READY, .id = (uint64_t)w.pid};
    if (ipc_send(w.sock, &ready, sizeof(ready), NULL, 0, NULL, 0, 0)) {
        _exit(0);
    }
    do {
        while (step(&w, frame, &r)) {}
        reply_flush(&w);
        if (conf->lang->idle) {
            conf->lang->idle();
        }
    } while (channel_wait_frame(&w, conf->pools ? care_for_pools(&w) : 0));
    conf->lang->finish();
    pools_destroy(conf->pools); /* says goodbye to the servers */
    _exit(0);
}
