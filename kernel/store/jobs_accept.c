/* SPDX-License-Identifier: Apache-2.0 */
/* Accepting tasks: bounds, idempotency keys, occurrences of schedules, rows. */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/rnd.h"
#include "kernel/base/str.h"
#include "kernel/store/jobs_int.h"

#include <string.h>

#define BACKOFF_MS     1000
#define BACKOFF_MAX_MS 300000
#define ATTEMPTS_MAX   1000
#define TIMEOUT_MIN_MS 1000
#define TIMEOUT_MAX_MS 3600000
#define KEY_KEEP_MS    (24 * 3600 * 1000ll)
#define YEARS_MS       (1000ll * 86400 * 366 * 100) /* further times are mistakes */

/* ---- checks ---------------------------------------------------------------------------------- */

struct text_rule {
    const char *name;
    size_t at, max;
    int must;
};
#define TEXT(member, max, must)                                                                    \
    {                                                                                              \
#member, offsetof(tn_task_req, member), max, must                                          \
    }
static const struct text_rule texts[] = {
    TEXT(id, 64, 0),           TEXT(script, 256, 1),      TEXT(func, 256, 1),
    TEXT(origin, 64, 0),       TEXT(origin_id, 256, 0),   TEXT(root_id, 64, 0),
    TEXT(retry_on, 4096, 0),   TEXT(overlap_key, 256, 0), TEXT(idempotency, 256, 0),
    TEXT(fingerprint, 128, 0), TEXT(schedule, 256, 0),    TEXT(reason, 512, 0),
};

struct number_rule {
    const char *name;
    int64_t value, min, max;
};

static tn_rc check_texts(const tn_task_req *r, tn_err *err)
{
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        tn_str s;
        memcpy(&s, (const char *)r + texts[i].at, sizeof s);
        if (s.n > texts[i].max) {
            return err_set(err, TN_E_INVAL, "a task's %s has %zu bytes (at most %zu)",
                           texts[i].name, s.n, texts[i].max);
        }
        if (s.n && (memchr(s.s, '\0', s.n) || !str_utf8_valid(s))) {
            return err_set(err, TN_E_INVAL, "a task's %s is not plain UTF-8 text", texts[i].name);
        }
        if (s.n == 0 && texts[i].must && r->outcome != TN_OCCUR_SKIP &&
            r->outcome != TN_OCCUR_MISSED) {
            return err_set(err, TN_E_INVAL, "a task needs a %s", texts[i].name);
        }
    }
    size_t bytes = r->args.n + r->http.n + r->vars.n + r->label.n;
    if (bytes > JOB_BYTES_MAX) {
        return err_set(err, TN_E_LIMIT,
                       "the arguments of a durable call have %zu bytes (at most %u); hand over a "
                       "reference to the data instead",
                       bytes, JOB_BYTES_MAX);
    }
    return TN_OK;
}

static tn_rc check_numbers(const tn_task_req *r, int64_t now_us, tn_err *err)
{
    int runs = r->outcome == TN_OCCUR_RUN || r->outcome == TN_OCCUR_LATE;
    const struct number_rule rules[] = {
        {"queue", r->queue, 0, JOB_QUEUES - 1},
        {"priority", r->priority, -100, 100},
        {"timeout_ms", runs ? r->timeout_ms : TIMEOUT_MIN_MS, TIMEOUT_MIN_MS, TIMEOUT_MAX_MS},
        {"max_attempts", r->max_attempts, 0, ATTEMPTS_MAX},
        {"jitter_pct", r->jitter_pct, 0, 100},
        {"overlap", r->overlap, 0, TN_OVERLAP_CANCEL},
        {"outcome", r->outcome, 0, TN_OCCUR_MISSED},
        {"trigger_us", r->trigger_us, 0, now_us + YEARS_MS * 1000},
        {"due_us", r->due_us, 0, now_us + YEARS_MS * 1000},
    };
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (rules[i].value < rules[i].min || rules[i].value > rules[i].max) {
            return err_set(err, TN_E_INVAL, "a task's %s is %lld (expected %lld..%lld)",
                           rules[i].name, (long long)rules[i].value, (long long)rules[i].min,
                           (long long)rules[i].max);
        }
    }
    if (!runs && r->schedule.n == 0) {
        return err_set(err, TN_E_INVAL,
                       "only an occurrence of a schedule may be skipped or missed");
    }
    return TN_OK;
}

/* ---- from request to row --------------------------------------------------------------------- */

static tn_rc copy(struct arena *mem, tn_str from, tn_str *to)
{
    *to = (tn_str){NULL, 0};
    if (from.s) {
        to->s = arena_dup(mem, from);
        to->n = from.n;
        return to->s ? TN_OK : TN_E_NOMEM;
    }
    return TN_OK;
}

static void fill_numbers(const tn_task_req *r, int64_t now_ms, struct job *j)
{
    j->queue = r->queue;
    j->priority = r->priority;
    j->trigger_ms = r->trigger_us ? r->trigger_us / 1000 : now_ms;
    j->due_ms = r->due_us / 1000 > j->trigger_ms ? r->due_us / 1000 : j->trigger_ms;
    j->wait = j->due_ms > now_ms ? JOB_WAIT_LATER : JOB_WAIT_READY;
    j->rank = job_rank(j->due_ms, j->priority);
    j->expire_ms = r->expires_ms ? j->due_ms + r->expires_ms : 0;
    j->max_attempts = r->max_attempts ? r->max_attempts : 1;
    j->timeout_ms = r->timeout_ms;
    j->expires_ms = r->expires_ms;
    j->flags = r->flags;
    j->backoff_ms = r->backoff_ms ? r->backoff_ms : BACKOFF_MS;
    j->backoff_max_ms = r->backoff_max_ms ? r->backoff_max_ms : BACKOFF_MAX_MS;
    j->jitter_pct = r->jitter_pct;
    j->overlap = r->overlap_key.n ? r->overlap : TN_OVERLAP_ALLOW;
    j->keep_s = r->keep_s;
    j->occurrence_us = r->occurrence_us;
    j->delay_s = r->delay_s;
}

static tn_rc fill_texts(const tn_task_req *r, struct job_new *n)
{
    struct job *j = &n->job;
    struct arena *mem = &j->mem;
    char id[32] = "task-";
    rnd_id(id + 5, 24);
    const struct {
        tn_str from;
        tn_str *to;
    } all[] = {
        {r->id.n ? r->id : str_of(id), &j->id},
        {r->script, &j->script},
        {r->origin, &j->origin},
        {r->origin_id, &j->origin_id},
        {r->retry_on, &j->retry_on},
        {r->overlap_key, &j->overlap_key},
        {r->schedule, &j->schedule},
        {r->label, &j->label},
        {r->args, &j->args},
        {r->http, &j->http},
        {r->vars, &j->vars},
        {r->idempotency, &n->idempotency},
        {r->fingerprint, &n->fingerprint},
        {r->reason, &n->reason},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (copy(mem, all[i].from, all[i].to)) {
            return TN_E_NOMEM;
        }
    }
    if (copy(mem, r->root_id.n ? r->root_id : j->id, &j->root_id)) {
        return TN_E_NOMEM;
    }
    j->func_id.s = arena_printf(mem, "%.*s.%.*s", (int)r->script.n, r->script.s ? r->script.s : "",
                                (int)r->func.n, r->func.s ? r->func.s : "");
    j->func_id.n = r->script.n + 1 + r->func.n;
    j->state = str_of(job_states[TN_TASK_QUEUED]);
    return j->func_id.s ? TN_OK : TN_E_NOMEM;
}

tn_rc job_new_from(const tn_task_req *theirs, int64_t now_us, struct job_new *ret, tn_err *err)
{
    tn_task_req r;
    memset(&r, 0, sizeof r); /* a caller built against an older header hands over less */
    memcpy(&r, theirs, theirs->size < sizeof r ? theirs->size : sizeof r);
    tn_rc rc = check_texts(&r, err);
    rc = rc ? rc : check_numbers(&r, now_us, err);
    if (rc) {
        return rc;
    }
    memset(ret, 0, sizeof *ret);
    job_init(&ret->job);
    ret->outcome = r.outcome;
    fill_numbers(&r, now_us / 1000, &ret->job);
    if (fill_texts(&r, ret)) {
        job_finish(&ret->job);
        return err_set(err, TN_E_NOMEM, "no memory for a task");
    }
    return TN_OK;
}

void job_new_finish(struct job_new *n)
{
    job_finish(&n->job);
}

/* ---- in the transaction ---------------------------------------------------------------------- */

struct known {
    struct job_new *n;
    tn_str fingerprint;
    int found;
};

static tn_rc known_row(void *user, const tn_val *cells)
{
    struct known *k = user;
    k->found = 1;
    tn_rc rc = copy(&k->n->job.mem, cell_str(&cells[0]), &k->n->job.id);
    return rc ? rc : copy(&k->n->job.mem, cell_str(&cells[1]), &k->fingerprint);
}

/* A key that is used again within a day answers with the first task. */
static tn_rc take_key(struct side_txn *t, struct job_new *n, int64_t now_ms, tn_err *err)
{
    struct known k = {.n = n};
    struct binds b = {.n = 0};
    tn_str mine = n->job.id, scope = n->job.origin_id.s ? n->job.origin_id : TN_STR("");
    bind_str(&b, scope);
    bind_str(&b, n->idempotency);
    bind_int(&b, now_ms - KEY_KEEP_MS);
    tn_rc rc = rows_write(t,
                          "SELECT taskId, fingerprint FROM tn_idempotency WHERE scope = ? AND "
                          "name = ? AND createTimeMs > ?",
                          &b, known_row, &k, err);
    if (rc) {
        return rc;
    }
    if (k.found) {
        if (!str_eq(k.fingerprint, n->fingerprint)) {
            return err_set(err, TN_E_CONFLICT,
                           "the idempotency key \"%.*s\" was used for another request (task %.*s)",
                           (int)n->idempotency.n, n->idempotency.s, (int)n->job.id.n, n->job.id.s);
        }
        n->duplicate = 1;
        return TN_OK;
    }
    b.n = 2;
    bind_str(&b, n->fingerprint);
    bind_str(&b, mine);
    bind_int(&b, now_ms);
    return side_exec(t,
                     "INSERT OR REPLACE INTO tn_idempotency (scope, name, fingerprint, taskId, "
                     "createTimeMs) VALUES (?, ?, ?, ?, ?)",
                     b.v, b.n, NULL, err);
}

/* The row of the occurrence and the schedule's cursor; a known occurrence is dropped silently. */
static tn_rc take_occurrence(struct jobs *all, struct side_txn *t, struct job_new *n, tn_err *err)
{
    const struct job *j = &n->job;
    struct binds b = {.n = 0};
    int64_t changed = 0;
    int runs = n->outcome == TN_OCCUR_RUN || n->outcome == TN_OCCUR_LATE;
    bind_str(&b, j->schedule);
    bind_int(&b, j->occurrence_us);
    bind_int(&b, j->delay_s);
    bind_int(&b, n->outcome);
    bind_str(&b, n->reason);
    bind_str(&b, runs ? j->id : (tn_str){NULL, 0});
    tn_rc rc = side_exec(t,
                         "INSERT OR IGNORE INTO tn_occurrence (schedule, occurrenceUs, delayS, "
                         "outcome, reason, taskId) VALUES (?, ?, ?, ?, ?, ?)",
                         b.v, b.n, &changed, err);
    if (rc == TN_OK && changed == 0) {
        n->duplicate = 2;
        n->job.id = TN_STR("");
        return TN_OK;
    }
    all->occurrences += rc == TN_OK;
    b.n = 2;
    return rc ? rc
              : side_exec(t,
                          "INSERT INTO tn_cursor (schedule, cursorUs) VALUES (?1, ?2) ON CONFLICT "
                          "(schedule) DO UPDATE SET cursorUs = max(cursorUs, ?2)",
                          b.v, b.n, NULL, err);
}

tn_rc jobs_accept(struct jobs *j, struct side_txn *t, struct job_new *jobs, uint32_t n,
                  int64_t now_us, tn_err *err)
{
    tn_rc rc = TN_OK;
    for (uint32_t i = 0; i < n && rc == TN_OK; i++) {
        struct job_new *k = &jobs[i];
        int runs = k->outcome == TN_OCCUR_RUN || k->outcome == TN_OCCUR_LATE;
        rc = k->idempotency.n ? take_key(t, k, now_us / 1000, err) : TN_OK;
        if (rc == TN_OK && !k->duplicate && k->job.schedule.n) {
            rc = take_occurrence(j, t, k, err);
        }
        if (rc == TN_OK && !k->duplicate && runs) {
            rc = job_insert(t, &k->job, now_us, err);
        }
        if (rc == TN_OK && !runs) {
            k->job.id = TN_STR("");
        }
    }
    return rc;
}
