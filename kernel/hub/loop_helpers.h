/* SPDX-License-Identifier: Apache-2.0 */
/* Helper threads of the event loop: a bounded queue of jobs that may block. */
#pragma once
#include <tenon/types.h>

struct helpers;
tn_rc helpers_create(struct helpers **ret, unsigned threads, tn_err *err);
void helpers_destroy(struct helpers *h); /* runs what is queued, then joins */
/* Any thread. TN_E_LIMIT when the queue is full, TN_E_UNSUPP without threads. */
tn_rc helpers_add(struct helpers *h, void (*cb)(void *), void *user, tn_err *err);
