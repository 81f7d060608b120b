/* SPDX-License-Identifier: Apache-2.0 */
/* Failed API authentications, per API and address and per API: counted by gate_slow.c on the loop thread, kept
 * over a restart by gate_keep.c. */
#pragma once
#include "api.h"

#define SLOW_FORGET_S 600 /* a counter that nothing was added to for so long is dropped */

/* Seconds the caller has to wait, 0 = may try. */
int64_t slow_wait(tn_str api_id, tn_str address, uint64_t now_ns);
void slow_failed(tn_str api_id, tn_str address, uint64_t now_ns);
void slow_passed(tn_str api_id, tn_str address, uint64_t now_ns);

/* What is kept of one counter. key: a keyed hash of API and address; times: wall clock. */
struct slow_count {
    uint64_t key;
    uint32_t failures; /* 0: forget it */
    int64_t last_ms, until_ms;
};
/* Before the first request: the key of the hash, and what was kept. */
void slow_begin(const unsigned char key[16], const struct slow_count *kept, size_t n);
/* Counters that have changed since they were last taken, at most max. */
size_t slow_take(struct slow_count *ret, size_t max);

/* gate_keep.c: something has changed. */
void slow_keep(void);
tn_rc slow_start(tn_err *err); /* start(): reads what was kept */
void slow_stop(void);          /* detach(): writes what has changed */
