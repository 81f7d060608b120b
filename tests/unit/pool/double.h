/* SPDX-License-Identifier: Apache-2.0 */
/* A connector that lives in the test program and does what the test says, and a pool over it. */
#pragma once
#include "tests/unit/base/unit.h"

#include "kernel/pool/pool_int.h"

#include <stdatomic.h>

struct double_conf {
    const char *name, *long_name_ok;
    tn_secret password;
};

/* What the connector was asked for, and what it answers. */
struct double_state {
    atomic_int opened, closed, broken, resets, checks, alive, most;
    atomic_int open_rc, check_rc, reset_rc, invoke_rc, flags, nap_ms;
    atomic_int endless, works, cancels, slow_cancel_ms; /* operations end when they are canceled */
};
extern struct double_state d;
extern atomic_int *d_open, *d_most; /* connections of several processes; may be NULL */

extern struct pools *ps;
extern struct pool *p; /* of connector c1 */
void start(const char *config);
void stop(void); /* every connection must have been closed */

/* A connection for the call `owner`; asked for by a__b:1. */
struct pool_conn *get(uint64_t owner, int exclusive);
/* Its result is r.method: how often the session has worked since its reset. Method 2 fails once at most. */
tn_rc work(struct pool_conn *c, uint32_t method, tn_result *ret, tn_err *err);
/* For pools_end(): counts. */
void leaked(void *user, const char *id, const char *where);
extern int leaks;
