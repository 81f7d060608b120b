/* SPDX-License-Identifier: Apache-2.0 */
/* Password hashing, for keys.c. */
#pragma once
#include "kernel/base/buf.h"
#include <pthread.h>

#define PASSWORD_MAX 1024 /* bytes */

/* Lets two hashes run at a time: each takes 19 MiB, so a flood of sign-ins is a queue, not an
 * exhausted machine. */
struct password_gate {
    pthread_mutex_t lock;
    pthread_cond_t free;
    unsigned running;
};
void password_gate_init(struct password_gate *g);
void password_gate_finish(struct password_gate *g);
tn_rc password_hash(struct password_gate *g, tn_str password, struct buf *ret, tn_err *err);
tn_rc password_verify(struct password_gate *g, tn_str password, tn_str phc, tn_err *err);
