/* SPDX-License-Identifier: Apache-2.0 */
/* The hub's event loop: epoll, one-shot timers with nanosecond sleeps, posts from other threads, and a
 * pool of helper threads for whatever may block. See tn_host_loop for the contracts. */
#pragma once
#include <tenon/host.h>

struct loop;
tn_rc loop_create(struct loop **ret, unsigned helper_threads, tn_err *err);
void loop_destroy(struct loop *l);
tn_rc loop_run(struct loop *l, tn_err *err); /* until loop_stop() */
void loop_stop(struct loop *l);              /* any thread, signal handler */
uint64_t loop_now(const struct loop *l);     /* monotonic ns cached at this wake-up */

tn_rc loop_watch(struct loop *l, int fd, uint32_t events, void (*cb)(void *, uint32_t), void *user,
                 tn_watch **ret, tn_err *err);
void loop_watch_change(struct loop *l, tn_watch *w, uint32_t events);
void loop_unwatch(struct loop *l, tn_watch *w);
tn_rc loop_timer(struct loop *l, void (*cb)(void *), void *user, tn_timer **ret, tn_err *err);
void loop_timer_set(struct loop *l, tn_timer *t, uint64_t at_ns);
void loop_timer_free(struct loop *l, tn_timer *t);
/* Before every sleep; see tn_host_loop.prepare. `woke` (may be NULL) runs right after every sleep. */
tn_rc loop_prepare(struct loop *l, uint64_t (*cb)(void *), void *user, tn_err *err);
tn_rc loop_woke(struct loop *l, void (*cb)(void *), void *user, tn_err *err);
void loop_post(struct loop *l, void (*cb)(void *), void *user);
tn_rc loop_defer(struct loop *l, void (*cb)(void *), void *user, tn_err *err);
