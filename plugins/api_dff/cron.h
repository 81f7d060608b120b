/* SPDX-License-Identifier: Apache-2.0 */
/* Cron jobs (spec 1.9, 5.2): what the files cron_*.c share. Helper threads, but where said. */
#pragma once
#include "rows.h"
#include "task_submit.h"

#define CRON_EXPR_MAX 256
#define US            1000000ll          /* microseconds of a second */
#define CRON_AUTO     "autoRun.cronJob-" /* ids of functions that run by themselves */

/* ---- cron_state.c: what scripts have set for a job ------------------------------------------------ */
struct cron_state {
    char expr[CRON_EXPR_MAX + 1]; /* "" = none */
    int64_t expr_until_us;        /* 0 = for ever */
    int64_t paused_until_us;      /* 0 = not paused */
};
tn_rc cron_state_start(tn_err *err); /* loads it, registers the services of scripts */
/* As it is at this moment: what has run out is not there any more. */
struct cron_state cron_state_of(tn_str id);
void cron_state_row(json_t *row); /* dynamicCronExpr, isPaused ... of a row of spec 1.9 */
void cron_state_drop(tn_str id);  /* the job is deleted */
/* Removes what has run out, and what belongs to no job any more. */
tn_rc cron_state_clean(int64_t *n, tn_err *err);

/* ---- cron_plan.c: a job as a schedule -------------------------------------------------------------- */
struct cron_job {
    tn_str id, func_id, expr, timezone, kwargs; /* kwargs: JSON object */
    tn_str overlap, catchup;
    int64_t catchup_window_s, expires_us, record_limit; /* record_limit -1 = default */
    bool disabled;
    bool automatic; /* a function that runs by itself */
};
/* Where the expression comes from that counts. */
enum cron_source { CRON_NONE, CRON_OWN, CRON_FIXED, CRON_DYNAMIC };
extern const char *const cron_sources[];
/* The expression that counts, f may be NULL; "" = never runs. Texts are borrowed from all three. */
enum cron_source cron_effective(const struct cron_job *j, const struct snap_func *f,
                                const struct cron_state *st, tn_str *ret);
/* What a user's expression means to the trigger: a sixth field in front (seconds) only asks whether
 * second 0 counts, unless the setting cron_seconds says that seconds are meant. Absent: never.
 * Borrowed from expr. */
tn_str cron_by_minute(tn_str expr);
/* EClientBadRequest.InvalidCronExpression or a wrong time zone; false: answered. */
bool cron_check(struct api_req *r, tn_str expr, tn_str zone);

/* A schedule with what it points to, but for the texts of the job and of its function. Zeroed is
 * empty; not to be moved. */
struct cron_plan {
    tn_schedule sched;
    tn_task_req task;
    struct str vars;
    char expr[CRON_EXPR_MAX + 1], overlap_key[48], origin_id[320];
};
void cron_plan_make(const struct cron_job *j, const struct snap_func *f,
                    const struct cron_state *st, struct cron_plan *ret);
/* The task of a manual run. */
void cron_plan_manual(const struct cron_job *j, const struct snap_func *f,
                      const struct cron_state *st, struct cron_plan *ret);
void cron_plan_free(struct cron_plan *p);

/* ---- cron_sync.c: the jobs of the store as schedules of the kernel --------------------------------- */
/* A job of the store from raw SQL columns; borrowed from row. */
struct cron_job cron_job_of(const json_t *row);
json_t *cron_job_row(tn_str id, tn_err *err); /* raw columns; NULL with TN_E_NOTFOUND */
/* All jobs; only what has changed is handed on. */
tn_rc cron_sync(tn_err *err);
tn_rc cron_sync_job(tn_str id, tn_err *err);
tn_rc cron_sync_start(tn_err *err); /* the timer for what runs out */

/* ---- flags.c --------------------------------------------------------------------------------------- */
tn_rc flags_start(tn_err *err);

extern const struct api_route cron_job_routes[], cron_view_routes[], flag_routes[];
