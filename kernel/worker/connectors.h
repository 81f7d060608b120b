/* SPDX-License-Identifier: Apache-2.0 */
/* The connector plugins of the zygote and its workers. */
#pragma once
#include "kernel/conf/settings.h"
#include "kernel/pool/pool.h"

/* Opens and loads all connector plugins; forks probes, so call it early in a single-threaded process. A
 * plugin that does not load is logged and left out. r and s must outlive the pools. */
tn_rc connectors_load(const struct settings *s, struct plug_registry *r, struct pools **ret,
                      tn_err *err);
/* What host->caller answers from now on; borrowed until the next. Main thread. */
void connectors_calling(tn_str script, tn_str func);
