/* SPDX-License-Identifier: Apache-2.0 */
/* What the monitor routes share: the figures of host->metrics, series over time, the system's log. */
#pragma once
#include "api.h"

/* host->metrics->read() as JSON; NULL and err set. Helper threads. */
json_t *figures_read(tn_err *err);
/* host->tasks->status() as JSON: an array of queues; an empty one without durable tasks. */
json_t *queues_read(void);

/* series.c: starts the sampling. Helper thread, once. */
tn_rc series_start(tn_err *err);
/* The object of spec 1.12: name to [[ms, value], …] or to such series by label. */
json_t *series_all(void);

extern const struct api_route debug_routes[], overview_routes[];
