/* SPDX-License-Identifier: Apache-2.0 */
/* The operator's token: who can read <data>/localhost-auth-token on this machine is u-admin. */
#pragma once
#include "api.h"

/* Makes the file (mode 0600, 32 random characters) when there is none. */
tn_rc localhost_start(tn_err *err);
/* Is `given` the content of the file, and does it come from this machine? */
bool localhost_token_ok(const tn_http_req *req, tn_str given);
