/* SPDX-License-Identifier: Apache-2.0 */
/* Figures of every function: counts by outcome, a histogram of execution times, the wait before. */
#pragma once
#include "kernel/base/buf.h"
#include <tenon/calls.h>

#define METRICS_BUCKETS 16 /* the last one is without bound */

struct metrics;
struct metrics_fn;
tn_rc metrics_create(struct metrics **ret, tn_err *err);
void metrics_destroy(struct metrics *m); /* NULL is allowed */
/* Loop thread. The figures of a function, made when it is new; when there are too many functions all
 * further ones share one. hash: of both names. Lives as long as m. */
struct metrics_fn *metrics_of(struct metrics *m, tn_str script, tn_str func, uint64_t hash);
/* Loop thread. A call has ended; figures may be NULL. */
void metrics_ended(struct metrics_fn *f, uint32_t status, int64_t run_us, int64_t wait_us);
/* {"boundsUs":[…],"shared":n,"rows":[{"script","func","statuses":[…],"buckets":[…],"sumUs","waitUs"}]}
 * Any thread; each figure is whole, all together are of about the same moment. */
void metrics_write(struct metrics *m, struct buf *out);
