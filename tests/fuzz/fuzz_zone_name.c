/* SPDX-License-Identifier: Apache-2.0 */
/* Names of time zones: what is accepted stays inside the folder, has no empty part and no dot. */
#include "common/footer.h"
#include "common/zone.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char why[300] = "";
    struct footer f;
    tn_str name = {(const char *)data, n};
    footer_parse(name, &f);
    if (zone_name_check(name, why, sizeof why) != TN_OK) {
        if (why[0] == '\0') {
            abort();
        }
        return 0;
    }
    if (n == 0 || n > ZONE_NAME_MAX || data[0] == '/' || data[n - 1] == '/' ||
        memchr(data, '.', n) != NULL || memchr(data, '\0', n) != NULL ||
        memmem(data, n, "//", 2) != NULL) {
        abort();
    }
    return 0;
}
