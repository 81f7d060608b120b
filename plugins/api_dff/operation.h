/* SPDX-License-Identifier: Apache-2.0 */
/* What users did and which requests were slow or failed (spec 1.11, 1.12). Any thread, never blocks. */
#pragma once
#include "api.h"

/* A managed request goes to its handler, which may change its body. */
void operation_begin(struct api_req *r);
/* A managed request is being answered: kept when its route changes something or is a sign-in. `data` is
 * what the answer carries, NULL = nothing; message: of an error, NULL = success. */
void operation_note(struct api_req *r, const struct api_stamp *s, uint32_t status,
                    const json_t *data, const char *message);
/* Any request is being answered. Costs a comparison unless it was slow or failed. */
void abnormal_note(const tn_http_req *req, const struct api_stamp *s, uint32_t status);

extern const struct api_route operation_routes[];
