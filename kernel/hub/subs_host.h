/* SPDX-License-Identifier: Apache-2.0 */
/* Subscriptions as a part of the hub. */
#pragma once
#include "kernel/hub/hub.h"
#include "kernel/hub/subs.h"

tn_rc subs_open(struct hub *h, tn_err *err); /* after tasks_create(), before any plugin starts */
void subs_close(struct hub *h); /* after subs_stop(), when nobody uses a plugin any more */
extern const tn_host_subs subs_ops;
