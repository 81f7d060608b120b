/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules as a part of the hub. */
#pragma once
#include "kernel/hub/hub.h"
#include "kernel/hub/schedules.h"

/* Is that a trigger which carries schedules? */
int schedules_wants(const struct plug *p);
tn_rc schedules_open(struct hub *h, tn_err *err); /* after tasks_create(), before any plugin */
void schedules_adopt(struct hub *h);              /* after plugins are attached */
extern const tn_host_schedules schedules_ops;
