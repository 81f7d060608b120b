/* SPDX-License-Identifier: Apache-2.0 */
/* The calling function as a label that needs no quoting anywhere. */
#include "common/label.h"

#include <stddef.h>

static int plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
}

size_t label_caller(const tn_host *host, char ret[LABEL_MAX])
{
    size_t n = 0;
    if (host->size >= offsetof(tn_host, caller) + sizeof host->caller && host->caller != NULL) {
        n = host->caller(host->ctx, ret, LABEL_MAX);
    }
    ret[n] = '\0';
    for (size_t i = 0; i < n; i++) {
        ret[i] = plain(ret[i]) ? ret[i] : '_';
    }
    return n;
}
