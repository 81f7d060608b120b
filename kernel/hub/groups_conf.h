/* SPDX-License-Identifier: Apache-2.0 */
/* The worker groups that the settings ask for. */
#pragma once
#include "kernel/conf/settings.h"
#include "kernel/hub/broker.h"

struct groups_conf {
    struct broker_group_conf groups[10];
    unsigned n;
};
/* TN_E_CONFIG names what is wrong in queue_workers. */
tn_rc groups_conf(const struct settings *s, struct groups_conf *ret, tn_err *err);
