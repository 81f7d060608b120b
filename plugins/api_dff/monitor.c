/* SPDX-License-Identifier: Apache-2.0 */
/* What the platform is doing now: groups, workers, calls by state (ours; the original has no such route). */
#include "api.h"
#include "rows.h"

static void platform_get(struct api_req *r)
{
    tn_text status = {NULL, 0};
    tn_err err = TN_ERR_INIT;
    if (api.host->calls->status(api.host->ctx, &status, &err) != TN_OK) {
        api_fail_err(r, &err);
        return;
    }
    api_ok_text(r, (tn_str){status.s, status.n});
    api.host->free(api.host->ctx, status.s);
}

const struct api_route monitor_routes[] = {{"GET", "/api/v1/monitor/platform/do/get", "general_r",
                                            "Worker groups, workers and calls by state",
                                            platform_get, NULL, NULL, NULL, 0},
                                           {.method = NULL}};
