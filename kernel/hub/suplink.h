/* SPDX-License-Identifier: Apache-2.0 */
/* The hub's end of the control channel to the supervisor (SOCK_SEQPACKET, see kernel/supervisor/ctl.h). */
#pragma once
#include "kernel/hub/loop.h"

struct suplink;
struct suplink_hooks {
    void *user;
    void (*zygote)(void *user, int fd); /* takes fd */
    void (*drain)(void *user);          /* SIGTERM reached the supervisor */
    void (*reopened)(void *user); /* our log goes to another file now; the zygote's already did */
};
tn_rc suplink_open(struct loop *l, int fd, const struct suplink_hooks *h, struct suplink **ret,
                   tn_err *err);
void suplink_ready(struct suplink *s, const char *url); /* supervisor prints "READY url" once */
void suplink_sweep(struct suplink *s); /* kill everything adopted from an old zygote */
void suplink_close(struct suplink *s);
