/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that the platform itself calls (DFF.API(integration=…), spec 1.1, 5.5). */
#pragma once
#include "api.h"

/* integration.c: signing in by a function. */
extern const struct api_route integration_routes[];

/* autorun.c: start(): functions that want to run at the launch do so a few seconds later. */
tn_rc autorun_start(tn_err *err);
/* Helper thread, after a script was published and every call sees it: its functions that want that run. */
void autorun_published(const char *script_id);
