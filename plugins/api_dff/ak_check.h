/* SPDX-License-Identifier: Apache-2.0 */
/* The access key of a request, checked (spec 1.1): on a helper thread, or from the loop and back. */
#pragma once
#include "api.h"

/* True when the request carries any X-Dff-Ak-* header. */
bool ak_present(const tn_http_req *req);

/* Why a key is refused. */
struct ak_refusal {
    enum api_code code;
    char message[512];
    const char *detail; /* JSON text, static, or NULL */
};
/* The row of the key's owner (new reference, without the password), or NULL and why. Helper threads. */
json_t *ak_owner(const tn_http_req *req, struct ak_refusal *why);

/* Loop thread, requests of TN_ROUTE_LOOP routes: checks on a helper thread, then go_on() runs on the
 * loop, or the refusal is sent. Neither happens when the client goes away meanwhile. */
void ak_check_later(tn_http_req *req, const tn_match *match,
                    void (*go_on)(tn_http_req *req, const tn_match *match));
