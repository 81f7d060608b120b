/* SPDX-License-Identifier: Apache-2.0 */
/* Defaults of durable tasks by kind of call, function and option (spec 2.1). */
#include "task_submit.h"

const struct call_kind kind_async = {
    .origin = {"asyncAPI", 8},
    .queue = 3,
    .timeout_s = 3600,
    .expires_s = 0,
    .unbox = true,
};
const struct call_kind kind_cron = {
    .origin = {"cronJob", 7},
    .queue = 2,
    .timeout_s = 35,
    .expires_s = 900,
};
const struct call_kind kind_integration = {
    .origin = {"integration", 11},
    .queue = 1,
    .timeout_s = 35,
    .expires_s = 900,
};

static uint32_t first_of(uint32_t option, uint32_t func, uint32_t table)
{
    return option != 0 ? option : func != 0 ? func : table;
}

void call_limits(const struct snap_func *f, const struct call_kind *kind, const struct call_opts *o,
                 struct call_limits *ret)
{
    uint32_t expires = first_of(o->expires_s, f->expires_s, kind->expires_s);
    ret->queue = first_of(o->queue, f->queue, kind->queue);
    ret->timeout_ms = first_of(o->timeout_s, f->timeout_s, kind->timeout_s) * 1000;
    ret->expires_ms = expires != 0 ? expires * 1000 : ret->timeout_ms;
}

void task_req_of_func(const struct snap_func *f, const struct call_kind *kind, tn_str origin_id,
                      const struct call_opts *o, tn_task_req *ret)
{
    static const struct call_opts none = {.unbox = -1};
    const struct snap_retry *r = &f->retry;
    struct call_limits limits;
    o = o != NULL ? o : &none;
    call_limits(f, kind, o, &limits);
    *ret = (tn_task_req){
        .size = sizeof *ret,
        .flags = (r->at_most_once ? TN_TASK_AT_MOST_ONCE : 0) |
                 (r->dead_letter ? TN_TASK_DEAD_LETTER : 0),
        .script = f->script,
        .func = f->name,
        .origin = kind->origin,
        .origin_id = origin_id,
        .queue = limits.queue,
        .priority = o->has_priority ? o->priority : f->priority,
        .timeout_ms = limits.timeout_ms,
        .expires_ms = limits.expires_ms,
        .trigger_us = api.host->wall_us(),
        .max_attempts = r->max_attempts,
        .backoff_ms = r->backoff_ms,
        .backoff_max_ms = r->backoff_max_ms,
        .jitter_pct = r->jitter_pct,
        .retry_on = r->on,
    };
    if (o->eta_us != 0 || o->delay_s != 0) { /* eta wins (spec 2.6) */
        ret->due_us = o->eta_us != 0 ? o->eta_us : ret->trigger_us + (int64_t)o->delay_s * 1000000;
    }
}

void call_vars_write(struct str *out, const struct call_opts *o, int64_t record_limit)
{
    if (o->eta_us == 0 && o->delay_s == 0 && record_limit < 0) {
        return;
    }
    add_lit(out, "{");
    if (o->eta_us != 0) {
        char iso[ISO_LEN + 1];
        iso_time(o->eta_us, iso);
        str_printf(out, "\"eta\":\"%s\",", iso);
    }
    if (record_limit >= 0) {
        add_lit(out,
                "\"taskRecordLimit\":"); /* no printf: this is on the way of nearly every call */
        add_int(out, record_limit);
        add_lit(out, ",");
    }
    add_lit(out, "\"delay\":");
    add_int(out, o->delay_s);
    add_lit(out, "}");
}
