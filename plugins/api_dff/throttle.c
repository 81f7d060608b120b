/* SPDX-License-Identifier: Apache-2.0 */
/* Throttling of a sync API: fixed windows, every call counts, refused ones too (spec 2.3). */
#include "call.h"

bool throttle_pass(const struct snap_api *sapi, int64_t wall_us, struct call_refusal *why)
{
    int64_t now = wall_us / 1000000;
    for (uint32_t i = 0; i < sapi->nrules; i++) {
        const struct snap_rule *rule = &sapi->rules[i];
        const struct snap_rule_info *info = &snap_rule_info[rule->kind];
        struct snap_count *count = &sapi->counts[rule->kind];
        int64_t window = now / info->seconds;
        if (count->window != window) {
            *count = (struct snap_count){window, 0};
        }
        count->calls++;
        if (count->calls > rule->limit) {
            why->retry_s = (window + 1) * info->seconds - now + 1;
            str_printf(
                &why->detail,
                "{\"rule\":\"%s\",\"limit\":%lld,\"currentCount\":%lld,\"waitSeconds\":%lld}",
                info->name, (long long)rule->limit, (long long)count->calls,
                (long long)why->retry_s);
            return call_refuse(why, EClientRateLimit, "APIThrottling",
                               "Maximum calling rate exceeded");
        }
    }
    return true;
}
