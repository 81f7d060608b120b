/* SPDX-License-Identifier: Apache-2.0 */
/* Dates and times of SQL texts: nothing is read behind the end; a date that is taken is a day that there is and reads back; every day has
 * its name. Input: a text; its first eight bytes are a day, too. */
#include "connectors/common/civil.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(int holds)
{
    if (!holds) {
        abort();
    }
}

/* There and back, and one day after the day before. */
static void day(int64_t days)
{
    int64_t y, next_y;
    int m, d, next_m, next_d;
    civil_date(days, &y, &m, &d);
    civil_date(days + 1, &next_y, &next_m, &next_d);
    must(m >= 1 && m <= 12 && d >= 1 && d <= 31 && civil_days(y, m, d) == days);
    must(next_d == d + 1
             ? next_m == m && next_y == y
             : next_d == 1 && (next_m == m + 1 ? next_y == y : next_m == 1 && next_y == y + 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *copy = malloc(n != 0 ? n : 1); /* of exactly its size */
    const char *end = copy + n;
    int64_t v = 0, first = 0;
    if (n != 0) {
        memcpy(copy, data, n);
    }
    const char *p = copy;
    if (civil_read_date(&p, end, &v)) {
        int64_t y;
        int m, d;
        const char *q = copy;
        civil_date(v, &y, &m, &d);
        must(p > copy && p <= end && y >= 1 && y <= 9999);
        must(civil_digits(&q, end) == y && civil_take(&q, end, '-') && civil_digits(&q, end) == m &&
             civil_take(&q, end, '-') && civil_digits(&q, end) == d && q == p);
    }
    p = copy;
    if (civil_read_clock(&p, end, &v)) {
        must(v >= 0 && p > copy && p <= end);
    }
    p = copy;
    must(civil_digits(&p, end) >= -1 && p >= copy && p <= end);
    p = copy;
    v = civil_fraction(&p, end);
    must(v >= 0 && v < 1000000 && p >= copy && p <= end);
    if (n >= 8) {
        memcpy(&first, data, 8);
        day((int64_t)((uint64_t)first % 3652059) - 719162); /* the years 1 to 9999 */
    }
    free(copy);
    return 0;
}
