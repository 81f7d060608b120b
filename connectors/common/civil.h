/* SPDX-License-Identifier: Apache-2.0 */
/* Dates and times of SQL texts. Readers move *pp behind what they took; compiled into each plugin that names it. */
#pragma once
#include <stdint.h>

/* A run of digits; -1: there is none. */
int64_t civil_digits(const char **pp, const char *end);
/* 1 when the next character is c, which is taken. */
int civil_take(const char **pp, const char *end, char c);
/* ".123456" as microseconds; further digits are dropped. */
int64_t civil_fraction(const char **pp, const char *end);
/* "2026-01-31" as days since 1970-01-01; 0: no day of the years 1 to 9999 (Python's). */
int civil_read_date(const char **pp, const char *end, int64_t *ret_days);
/* "08:30:00.25" as microseconds; hours may be any number, a second may be a leap second (60). */
int civil_read_clock(const char **pp, const char *end, int64_t *ret_us);
int64_t civil_days(int64_t y, int64_t m, int64_t d); /* since 1970-01-01; year 0 on */
void civil_date(int64_t days, int64_t *ret_y, int *ret_m, int *ret_d);
