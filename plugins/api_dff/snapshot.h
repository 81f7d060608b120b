/* SPDX-License-Identifier: Apache-2.0 */
/* APIs and functions as a call needs them: read from the store once, digested once, immutable
 * afterwards but for the throttle counters, which belong to the loop thread.
 *
 * A new snapshot is built on a helper thread and handed to the loop thread, the only one that looks
 * things up; so a look-up takes no lock and no reference. Whoever needs a row beyond one turn of the
 * loop copies what it needs. */
#pragma once
#include <stdbool.h>
#include <tenon/host.h>

/* Throttling rules in the order of enum; spec 2.3. */
enum snap_rule_kind {
    SNAP_SECOND,
    SNAP_MINUTE,
    SNAP_HOUR,
    SNAP_DAY,
    SNAP_MONTH,
    SNAP_YEAR,
    SNAP_RULES
};
extern const struct snap_rule_info {
    const char *name; /* key of throttlingJSON */
    int64_t seconds;  /* length of a window */
} snap_rule_info[SNAP_RULES];

struct snap_rule {
    uint32_t kind; /* enum snap_rule_kind */
    int64_t limit; /* calls per window */
};
/* Calls in one window; written by the loop thread only. */
struct snap_count {
    int64_t window;
    int64_t calls;
};

struct gate;
struct snap_func {
    tn_str id; /* "set__script.name"; first member: maps are keyed by it */
    tn_str script, name;
    tn_str code_key;    /* code md5 and publish version: changes with every publication */
    uint32_t timeout_s; /* of DFF.API, 0 = none given; the same for the next two */
    uint32_t expires_s;
    uint32_t queue;
    int32_t priority; /* of durable calls */
    uint32_t cache_s; /* cache_result, 0 = off */
    /* Delivery and retries of durable calls; zeroed: once failed stays failed. */
    struct snap_retry {
        bool at_most_once, dead_letter;
        uint32_t max_attempts, backoff_ms, backoff_max_ms, jitter_pct;
        tn_str on; /* JSON array of exception type names, absent = any */
    } retry;
    tn_str cron_expr;           /* fixed_cron_expr, absent = none */
    tn_str auto_cron;           /* cronExpr of an autoRun integration, absent = none */
    bool on_launch, on_publish; /* of an autoRun integration */
    const uint32_t *delays;     /* delayed_cron_job, seconds */
    uint32_t ndelays;
};

/* One configured kwarg. */
struct snap_kwarg {
    tn_str name;     /* unescaped */
    tn_str value;    /* raw JSON */
    int placeholder; /* the caller gives the value */
};

enum snap_kind { SNAP_SYNC, SNAP_ASYNC, SNAP_KINDS };
/* A sync or an async API; async ones have no rules and never expire. */
struct snap_api {
    tn_str id;
    tn_str func_id;
    const struct snap_func *func;    /* NULL: no such function (any more) */
    tn_str auth_id;                  /* absent: none */
    struct gate *gate;               /* of auth_id, owned; NULL: closed */
    const struct snap_kwarg *kwargs; /* sorted by name (bytes) */
    uint32_t nkwargs;
    uint32_t nfixed;
    tn_str fixed;                  /* "a":1,"b":2 - the fixed members as JSON, without braces */
    int64_t expire_us;             /* 0 = never */
    int64_t record_limit;          /* -1 = default */
    const struct snap_rule *rules; /* in stored order */
    uint32_t nrules;
    int disabled;
    int bad_kwargs;            /* the stored configuration is not a JSON object */
    struct snap_count *counts; /* SNAP_RULES of them when nrules > 0 */
};

struct snapshot;

/* Helper thread; reads the store. */
tn_rc snapshot_load(const tn_host *host, struct snapshot **ret, tn_err *err);
void snapshot_free(struct snapshot *s);
/* The APIs of a kind one after the other; i starts at 0. False: that was the last. */
bool snapshot_each(const struct snapshot *s, enum snap_kind kind, size_t *i, struct snap_api **ret);
/* The functions that run by themselves: autoRun integrations; i starts at 0. */
bool snapshot_each_auto(const struct snapshot *s, size_t *i, const struct snap_func **ret);
/* Loop thread. NULL s is an empty snapshot. */
const struct snap_api *snapshot_api(const struct snapshot *s, enum snap_kind kind, tn_str id);
const struct snap_func *snapshot_func(const struct snapshot *s, tn_str id);
/* Loop thread: counters of APIs that exist in both go on counting. */
void snapshot_carry(struct snapshot *to, const struct snapshot *from);
/* The configured kwarg of that name, or NULL. */
const struct snap_kwarg *snap_kwarg_find(const struct snap_api *sapi, tn_str name);
