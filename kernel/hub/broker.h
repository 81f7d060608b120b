/* SPDX-License-Identifier: Apache-2.0 */
/* The broker: calls, worker groups, claims, deadlines, kill and replacement. Loop thread only. */
#pragma once
#include "kernel/base/buf.h"
#include "kernel/hub/loop.h"
#include <tenon/calls.h>

struct broker;
struct metrics;
struct broker_group_conf {
    const char *name; /* "default", "debug" */
    uint32_t queues;  /* bit mask of queue numbers 0..9 */
    uint32_t workers_min, workers_max;
    uint32_t queue_max;     /* waiting calls before TN_E_LIMIT */
    uint64_t queue_wait_ns; /* longest wait before TN_CALL_OVERLOAD */
};
struct broker_conf {
    const struct broker_group_conf *groups;
    unsigned ngroups;
    uint32_t worker_calls; /* replace a worker after so many calls, +-10 % */
    uint64_t grace_ns;     /* soft deadline to SIGKILL: 1 s */
    uint64_t young_ns; /* a worker younger than that goes on after worker_calls, unless it grows */
    uint64_t idle_ns;  /* without a call, a worker beyond workers_min leaves after it; 0 = 60 s */
    struct metrics *metrics; /* figures of functions; NULL: none are kept */
};
struct broker_hooks {
    void *user;
    /* A script asks: answer with broker_answer(token) exactly once, now or later. */
    void (*ask)(void *user, tn_str service, tn_str payload, void *token);
    /* The zygote compiled a preloaded script. */
    void (*compiled)(void *user, tn_str script, uint64_t generation, tn_str marshal);
    /* All workers of min are ready for the first time. */
    void (*ready)(void *user);
    /* The last worker of a replaced zygote has gone: suplink_sweep() may kill what they left. May be
     * NULL. */
    void (*sweep)(void *user);
};
tn_rc broker_create(struct loop *l, const struct broker_conf *c, const struct broker_hooks *hooks,
                    struct broker **ret, tn_err *err);
void broker_destroy(struct broker *b);
/* A (new) zygote channel arrived from the supervisor; takes fd. Old workers finish and leave. */
void broker_zygote(struct broker *b, int fd);
/* Every worker finishes what it has and leaves; new ones take their places. */
void broker_renew(struct broker *b);
tn_rc broker_submit(struct broker *b, const tn_call_req *req, tn_call **ret, tn_err *err);
void broker_orphan(struct broker *b, tn_call *call);
/* The call ends as CANCELED, done() is called as ever: at once when it has not started, else its script
 * gets the exception of the soft deadline and its process is killed after grace_ms. */
void broker_cancel(struct broker *b, tn_call *call, uint32_t grace_ms);
/* What it has printed so far. */
tn_str broker_logs(const tn_call *call);
/* Nonzero: a worker has taken it. */
int broker_started(const tn_call *call);
/* Processes that serve a queue now, and at most. */
unsigned broker_workers(const struct broker *b, uint32_t queue, unsigned *ret_max);
/* Loop thread. Whether the asking worker is still there. */
int broker_wants(const void *token);
/* Loop thread. Forgotten when the asking worker has gone. */
void broker_answer(struct broker *b, void *token, tn_rc rc, tn_str payload);
/* Answers a worker's question for the HTTP request of a call that it has. */
void broker_request(struct broker *b, tn_str task_id, void *token);
void broker_generation(struct broker *b,
                       uint64_t generation); /* calls submitted from now on need it */
void broker_data_gen(struct broker *b, uint64_t data_gen);
/* Published code for the zygote to compile in idle time; kept by the broker for a new zygote. */
void broker_preload(struct broker *b, tn_str script, uint64_t generation, tn_str source);
void broker_unload(struct broker *b, tn_str script);
/* No new calls are started from the outside; done(user) when nothing is queued or running. */
void broker_drain(struct broker *b, void (*done)(void *), void *user);
/* JSON object: every layer of the workers' isolation, on or off and why; "null" before there are workers. */
void broker_isolation(const struct broker *b, struct buf *out);
/* JSON: groups with queued, running, workers (pid, state, calls, kills), totals by status, leaks. */
/* Is there a worker that can run something? Loop thread. */
int broker_alive(const struct broker *b);
void broker_status(struct broker *b, struct buf *out);
