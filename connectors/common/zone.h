/* SPDX-License-Identifier: Apache-2.0 */
/* Time zones from the system's tzdata (RFC 8536), as spans of constant offset. */
#pragma once
#include <stdbool.h>
#include <tenon/types.h>

#define ZONE_NAME_MAX  64
#define ZONE_FILE_MAX  (256 * 1024)
#define ZONE_LAST_YEAR 2200 /* rules of the footer are carried on until here */

/* From `at` (seconds since 1970 UTC) on, local time is UTC plus `offset` seconds. */
struct zone_span {
    int64_t at;
    int32_t offset;
};
struct zone {
    char name[ZONE_NAME_MAX + 1];
    struct zone_span
        *spans; /* rising; neighbours differ in offset; the first begins at INT64_MIN */
    uint32_t n;
};

/* [A-Za-z0-9_+-] in parts between slashes: nothing that could leave the folder. TN_E_INVAL. */
tn_rc zone_name_check(tn_str name, char *why, size_t cap);
/* Reads the bytes of a file. TN_E_INVAL: malformed, or with leap seconds ("right/..."); why says it.
 * On success zone_free() it. */
tn_rc zone_parse(const uint8_t *data, size_t n, struct zone **ret, char *why, size_t cap);
/* Opens `folder`/name. TN_E_NOTFOUND: there is no such zone. */
tn_rc zone_load(const char *folder, tn_str name, struct zone **ret, char *why, size_t cap);
void zone_free(struct zone *z);

/* Index of the span that `at` lies in. */
uint32_t zone_find(const struct zone *z, int64_t at);
/* Where span i ends (exclusive), INT64_MAX for the last one. */
static inline int64_t zone_end(const struct zone *z, uint32_t i)
{
    return i + 1 < z->n ? z->spans[i + 1].at : INT64_MAX;
}
