/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules: expressions that make occurrences, each of which ends as a row. */
#ifndef TENON_SCHEDULE_H
#define TENON_SCHEDULE_H

#include <tenon/tasks.h>

/* tn_schedule.catchup: what happens to occurrences whose time passed while nobody was there */
#define TN_CATCHUP_NONE 0 /* they end as missed */
#define TN_CATCHUP_LAST 1 /* the last one runs, late; the others are missed */
#define TN_CATCHUP_ALL  2 /* all within the window run, late, in order */

/* tn_schedule.flags */
#define TN_SCHED_DISABLED (1u << 0) /* no occurrences at all */

typedef struct tn_schedule {
    uint32_t size;
    uint32_t flags;             /* TN_SCHED_* */
    tn_str id;                  /* unique in the installation: "cron-xyz" */
    tn_str expr;                /* see schedule_check(); empty or invalid: never fires */
    tn_str timezone;            /* IANA name or empty = the setting TIMEZONE */
    uint32_t catchup;           /* TN_CATCHUP_* */
    uint32_t catchup_window_s;  /* older ones are missed, 0 = 86400 */
    uint32_t spread_s;          /* fires up to so many seconds later, the same for this id always */
    uint32_t ndelays;           /* each occurrence makes a task per delay; none = one with 0 */
    const uint32_t *delays_s;
    int64_t paused_until_us;    /* occurrences before end as skipped; INT64_MAX for ever, 0 = not */
    int64_t expires_us;         /* no occurrence after, 0 = never */
    int64_t cursor_us;          /* put(): ignored; the trigger gets the last occurrence that is on
                                   record, or the time of the put for a new or changed one */
    const tn_task_req *task;    /* what an occurrence runs; schedule, occurrence_us, delay_s, due_us,
                                   trigger_us, id, outcome are filled per occurrence and expires_ms
                                   grows by the delay. The trigger gets NULL. */
} tn_schedule;

/* An occurrence whose time has come. */
typedef struct tn_fire {
    tn_str id;
    int64_t occurrence_us;
    int64_t due_us;    /* occurrence plus spread */
    uint32_t outcome;  /* TN_OCCUR_* */
    uint32_t rsvd;
    tn_str reason;     /* SKIP, MISSED */
} tn_fire;

typedef struct tn_host_schedules {
    uint32_t size;
    uint32_t rsvd;
    /* ---- api side, any thread but the loop's: mechanism of the trigger with TN_CAP_SCHEDULE, or
     * TN_E_UNSUPP when no such plugin is loaded ---- */
    tn_rc (*put)(void *ctx, const tn_schedule *, uint32_t n, tn_err *);
    void (*drop)(void *ctx, tn_str id);
    tn_rc (*check)(void *ctx, tn_str expr, tn_str timezone, tn_err *);
    uint32_t (*next)(void *ctx, tn_str expr, tn_str timezone, int64_t after_us, int64_t *ret_us,
                     uint32_t n);
    void (*pause)(void *ctx, int64_t until_us);
    /* Helper thread. Occurrences of one schedule, newest first: JSON array of {occurrenceTimeMs,
     * delay, outcome ("ran", "skipped", "late", "missed"), reason, taskId, taskState}. */
    tn_rc (*history)(void *ctx, tn_str id, int64_t limit, int64_t offset, tn_text *ret, tn_err *);
    tn_rc (*status)(void *ctx, tn_text *ret, tn_err *);
    /* ---- trigger side, any thread ---- */
    /* Hands occurrences over; they are on record and enqueued in one transaction, the cursor with
     * them. TN_E_LIMIT: too many are waiting to be written, offer them again a little later. */
    tn_rc (*fire)(void *ctx, const tn_fire *, uint32_t n, tn_err *);
} tn_host_schedules;

#endif
