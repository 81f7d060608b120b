/* SPDX-License-Identifier: Apache-2.0 */
/* Randomness: getrandom(2) through a small per-process pool; refilled after a fork. */
#pragma once
#include <stddef.h>
void rnd_bytes(void *p, size_t n);
void rnd_id(char *out, size_t n);       /* n of 0-9A-Za-z plus NUL */
void rnd_uuid(char out[37], int upper); /* RFC 9562 version 4 */
