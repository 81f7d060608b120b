/* SPDX-License-Identifier: Apache-2.0 */
/* Triggers: sources that submit calls by themselves. */
#ifndef TENON_TRIGGER_H
#define TENON_TRIGGER_H

#include <tenon/types.h>

typedef struct tn_trigger_ops {
    uint32_t size;
    uint32_t rsvd;
    /* Runs on a thread of its own until stop_fd becomes readable; submits through
     * host->loop->post and host->calls->submit. */
    tn_rc (*run)(void *inst, int32_t stop_fd, tn_err *);
} tn_trigger_ops;

#endif
