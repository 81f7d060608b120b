/* SPDX-License-Identifier: Apache-2.0 */
/* Time. Everything asks here, so that tests can inject a clock. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define NS_PER_MS 1000000ull
#define NS_PER_S  1000000000ull
uint64_t clock_mono_ns(void); /* CLOCK_MONOTONIC */
int64_t clock_wall_us(void);  /* microseconds since 1970-01-01 UTC */
void clock_inject(uint64_t (*mono)(void), int64_t (*wall)(void)); /* NULL = real */
/* "2026-01-01T00:00:00.000Z" into out (at least 25 bytes); returns its length. */
size_t clock_iso(int64_t wall_us, char *out);
