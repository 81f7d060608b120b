/* SPDX-License-Identifier: Apache-2.0 */
/* A broker with echo workers and no HTTP: the test program is hub and, started again, zygote. */
#pragma once
#include "kernel/base/map.h"
#include "kernel/hub/broker.h"
#include "kernel/hub/loop.h"
#include <sys/types.h>

struct rig {
    struct loop *loop;
    struct broker *broker;
    pid_t zygote;
    int ctl; /* our end of the zygote's control channel */
    int ready, swept;
    unsigned open;    /* submitted and not answered */
    unsigned limit;   /* rig_run() returns when open <= limit */
    uint64_t stop_at; /* or then */
    tn_timer *stop;
    void *held; /* token of a question to the service "hold" */
    void (*on_compiled)(struct rig *r, tn_str script, tn_str marshal);
    void (*on_prepare)(struct rig *r); /* before every sleep */
    void *user;
};

/* One call and its answer. */
struct shot {
    struct rig *rig;
    tn_call *call;
    unsigned answers;
    uint32_t status, kind;
    uint64_t sent_ns, done_ns;
    int64_t start_us, end_us;
    uint32_t cost_us;
    size_t value_len;
    int fd_value; /* the value came as memfd */
    char value[256], error[2048], logs[512];
    size_t logs_len;
    void (*then)(struct shot *s);
    void *user;
};

struct rig_conf {
    unsigned workers_min, workers_max, queue_max;
    uint64_t queue_wait_ns, grace_ns, young_ns;
    uint32_t worker_calls;
};

/* First thing in main(): returns only in the test itself, not in the zygote. */
void rig_main(int argc, char **argv);
void rig_open(struct rig *r, const struct rig_conf *c); /* waits until min workers are ready */
void rig_close(struct rig *r);                          /* asserts that nothing is left behind */
void rig_zygote(struct rig *r);                         /* a new zygote, as the supervisor would */
tn_rc rig_shoot(struct rig *r, struct shot *s, const char *func, const char *args,
                uint32_t timeout_ms);
tn_rc rig_shoot_req(struct rig *r, struct shot *s, const tn_call_req *req);
void rig_wait(struct rig *r, unsigned open, unsigned ms); /* until at most `open` are unanswered */
void rig_idle(struct rig *r, unsigned ms);                /* runs the loop that long */
long rig_number(struct rig *r, const char *key);          /* of the status JSON; -1 absent */
/* Pids of all descendants of ours but the zygote itself. */
unsigned rig_descendants(struct rig *r, pid_t *ret, unsigned cap);
unsigned rig_rounds(unsigned quick, unsigned full); /* TENON_TEST_ROUNDS, TENON_TEST_LONG */
