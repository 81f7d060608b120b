/* SPDX-License-Identifier: Apache-2.0 */
/* Cron expressions: whatever is accepted has a next match that is later, or says that it has none. */
#include "plugins/trigger_cron/expr.c"
#include "plugins/trigger_cron/wall.c"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char why[300] = "";
    struct cron_expr e;
    if (expr_parse((tn_str){(const char *)data, n}, &e, why, sizeof why) != TN_OK) {
        if (why[0] == '\0') {
            abort();
        }
        return 0;
    }
    int64_t at = 1700000000, next;
    for (int i = 0; i < 5 && expr_next(&e, at + 1, &next); i++) {
        if (next <= at || (e.min >> (next / 60 % 60) & 1) == 0 ||
            (e.hour >> (next / 3600 % 24) & 1) == 0) {
            abort();
        }
        at = next;
    }
    return 0;
}
