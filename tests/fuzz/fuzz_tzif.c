/* SPDX-License-Identifier: Apache-2.0 */
/* Zone files: spans come in order and stay in range, and occurrences in such a zone never go back. */
#include "common/footer.h"
#include "common/zone.h"

#include <stdlib.h>
#include <string.h>
#include "plugins/trigger_cron/expr.c"
#include "plugins/trigger_cron/occur.c"
/* wall.c has a constant of the same name as occur.c */
#undef DAY_S
#include "plugins/trigger_cron/wall.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void walk(const struct zone *z, const char *expr)
{
    char why[300];
    struct cron_expr e;
    int64_t at = 1700000000, next;
    if (expr_parse((tn_str){expr, strlen(expr)}, &e, why, sizeof why) != TN_OK) {
        abort();
    }
    for (int i = 0; i < 20 && occur_next(&e, z, at, &next); i++) {
        if (next <= at) {
            abort();
        }
        at = next;
    }
    if (occur_count(&e, z, 1700000000, at) > 1000000) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char why[300] = "";
    struct zone *z;
    if (zone_parse(data, n, &z, why, sizeof why) != TN_OK) {
        if (why[0] == '\0') {
            abort();
        }
        return 0;
    }
    for (uint32_t i = 1; i < z->n; i++) {
        if (z->spans[i].at <= z->spans[i - 1].at || z->spans[i].offset == z->spans[i - 1].offset) {
            abort();
        }
    }
    walk(z, "30 2 * * *");
    walk(z, "0 */6 1 * *");
    zone_free(z);
    return 0;
}
