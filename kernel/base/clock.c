/* SPDX-License-Identifier: Apache-2.0 */
/* Time, real or injected. */
#include "kernel/base/clock.h"

#include <stdatomic.h>
#include <time.h>

static _Atomic(uint64_t (*)(void)) mono_source;
static _Atomic(int64_t (*)(void)) wall_source;

void clock_inject(uint64_t (*mono)(void), int64_t (*wall)(void))
{
    atomic_store_explicit(&mono_source, mono, memory_order_relaxed);
    atomic_store_explicit(&wall_source, wall, memory_order_relaxed);
}

uint64_t clock_mono_ns(void)
{
    uint64_t (*source)(void) = atomic_load_explicit(&mono_source, memory_order_relaxed);
    if (source != NULL) {
        return source();
    }
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

int64_t clock_wall_us(void)
{
    int64_t (*source)(void) = atomic_load_explicit(&wall_source, memory_order_relaxed);
    if (source != NULL) {
        return source();
    }
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static char *digits(char *p, unsigned v, int n)
{
    for (int i = n - 1; i >= 0; i--, v /= 10) {
        p[i] = (char)('0' + v % 10);
    }
    return p + n;
}

/* Civil date from days since 1970 by 400-year eras of 146097 days that begin in March, so that the
 * leap day comes last. No gmtime(): it takes the time-zone lock and this runs for every log line. */
size_t clock_iso(int64_t wall_us, char *out)
{
    const int64_t us_per_day = 86400000000;
    int64_t days = wall_us / us_per_day, rest = wall_us % us_per_day;
    if (rest < 0) {
        rest += us_per_day;
        days--;
    }
    if (days < -719162 || days > 2932896) { /* years 1..9999 */
        days = days < 0 ? -719162 : 2932896;
        rest = days < 0 ? 0 : us_per_day - 1;
    }
    int64_t z = days + 719468;
    int64_t era = z / 146097;
    unsigned doe = (unsigned)(z - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (5 * doy + 2) / 153;
    unsigned month = mp < 10 ? mp + 3 : mp - 9;
    unsigned year = (unsigned)(era * 400) + yoe + (month <= 2);
    unsigned ms = (unsigned)(rest / 1000);
    char *p = digits(out, year, 4);
    *p++ = '-';
    p = digits(p, month, 2);
    *p++ = '-';
    p = digits(p, doy - (153 * mp + 2) / 5 + 1, 2);
    *p++ = 'T';
    p = digits(p, ms / 3600000, 2);
    *p++ = ':';
    p = digits(p, ms / 60000 % 60, 2);
    *p++ = ':';
    p = digits(p, ms / 1000 % 60, 2);
    *p++ = '.';
    p = digits(p, ms % 1000, 3);
    *p++ = 'Z';
    *p = '\0';
    return (size_t)(p - out);
}
