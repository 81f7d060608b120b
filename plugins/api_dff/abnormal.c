/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that were slow or failed (spec 1.12), the newest of each kind. */
#include "mask.h"
#include "operation.h"

#include <stdatomic.h>

#define KEPT       3000
#define PER_SECOND 100 /* more than that tell nothing new, and an overload must not pay for them */
#define SLOW_MS    1000
#define SLOWER_MS  5000

static bool may_pass(void)
{
    static _Atomic int64_t second;
    static _Atomic uint32_t passed;
    int64_t now = api.host->wall_us() / 1000000, old = atomic_load(&second);
    if (old != now && atomic_compare_exchange_strong(&second, &old, now)) {
        atomic_store(&passed, 0);
    }
    return atomic_fetch_add(&passed, 1) < PER_SECOND;
}

static void put(const char *type, const struct str *row)
{
    api.host->records->put(api.host->ctx, "abnormalRequest", text_of(type), KEPT, str_view(row));
}

void abnormal_note(const tn_http_req *req, const struct api_stamp *s, uint32_t status)
{
    int64_t cost = (int64_t)((api.host->now_ns() - req->start_ns) / 1000000);
    if ((status < 400 && cost < SLOW_MS) || api.host->records == NULL || !may_pass()) {
        return;
    }
    struct str row = {0};
    str_puts(&row, "{\"requestJSON\":{\"reqTime\":");
    str_quote(&row, text_of(s->req_time));
    str_printf(&row, ",\"reqCost\":%lld,\"respTime\":", (long long)cost);
    str_quote(&row, text_of(s->resp_time));
    str_printf(&row, ",\"respStatusCode\":%u,\"traceId\":", status);
    str_quote(&row, text_of(s->trace));
    str_puts(&row, ",\"clientIP\":");
    str_quote_any(&row, req->peer);
    str_puts(&row, ",\"request\":");
    (status == 401 ? api_req_dump_closed : api_req_dump)(&row, req);
    str_puts(&row, "}}");
    if (!row.failed) {
        if (cost >= SLOW_MS) {
            put(cost >= SLOWER_MS ? "reqCost5000" : "reqCost1000", &row);
        }
        if (status >= 400) {
            put(status >= 500 ? "statusCode5xx" : "statusCode4xx", &row);
        }
    }
    str_free(&row);
}
