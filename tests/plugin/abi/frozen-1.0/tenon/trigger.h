/* SPDX-License-Identifier: Apache-2.0 */
/* Triggers: sources that submit calls by themselves. */
#ifndef TENON_TRIGGER_H
#define TENON_TRIGGER_H

#include <tenon/config.h>
#include <tenon/schedule.h>
#include <tenon/subscription.h>
#include <tenon/types.h>

typedef struct tn_trigger_ops {
    uint32_t size;
    uint32_t rsvd;
    /* Runs on a thread of its own until stop_fd becomes readable; submits through
     * host->loop->post and host->calls->submit. NULL with TN_CAP_SUBSCRIBE alone. */
    tn_rc (*run)(void *inst, int32_t stop_fd, tn_err *);
    /* ---- only a trigger with TN_CAP_SCHEDULE (one per installation); any thread ---- */
    tn_rc (*schedule_put)(void *inst, const tn_schedule *, tn_err *); /* add or replace; copies */
    void (*schedule_drop)(void *inst, tn_str id);
    /* TN_E_INVAL names the field of the expression or the zone. */
    tn_rc (*schedule_check)(void *inst, tn_str expr, tn_str timezone, tn_err *);
    /* Up to n occurrences after after_us, by the code that fires. Returns how many. */
    uint32_t (*schedule_next)(void *inst, tn_str expr, tn_str timezone, int64_t after_us,
                              int64_t *ret_us, uint32_t n);
    /* No occurrence fires until this time (wall clock, INT64_MAX for ever, 0 = go on); they end as
     * skipped. */
    void (*schedule_pause)(void *inst, int64_t until_us);
    tn_rc (*schedule_status)(void *inst, char *ret_json, size_t cap, tn_err *);
    /* ---- only a trigger with TN_CAP_SUBSCRIBE; connectors of the type that is its name ---- */
    const tn_field *sub_config; /* what of a connector's configuration it wants; other keys are ignored */
    uint32_t sub_conf_size;     /* bytes of the struct, zeroed before it is filled */
    uint32_t rsvd2;
    /* One subscription, on a thread of its own: connects, subscribes, says consuming(), delivers,
     * acknowledges what done() tells. When stop_fd becomes readable it stops reading, and returns TN_OK
     * within three seconds. Any other return is a failure that status() shows; it is called again
     * after 1 s, twice as long each time up to 60 s, and up to half of it more at random. */
    tn_rc (*consume)(void *inst, tn_sub *, const tn_sub_info *, tn_err *);
} tn_trigger_ops;
#define TN_CAP_SCHEDULE  (1u << 0)
#define TN_CAP_SUBSCRIBE (1u << 1)

#endif
